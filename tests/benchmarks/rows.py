"""What is promised, row by row: the targets that `test_ratios.py` and `test_absolute.py` measure against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LABS = tuple(path.stem for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")))
ELSEWHERE = "this command does not measure it"


@dataclass(frozen=True)
class Row:
    """One promise: `what`, against which `plain` way, and the target in `unit`.

    unit: 'x', how many times faster: at least that; 'times' a cost, 'ms', 's', 'min' or '' (a count): at most that.
    """

    key: str
    what: str
    plain: str = ""
    unit: str = "x"
    target: float | None = None
    why: str = ""  # why it is not measured here; empty where a benchmark measures it

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.unit == "x"


def lab_row(lab: str) -> Row:
    """The promise of one lab."""
    return Row(lab, f"lab {lab[:2]}, tiny, one thread, kernel start included", unit="s", target=70 if lab[:2] == "03" else 60)


ROWS = (
    Row("clone", "from clone to workbook, installation included", unit="min", target=12, why=f"{ELSEWHERE}: .ci/run does it"),
    Row("book", "of these, all labs, two at a time", unit="min", target=6),
    *(lab_row(lab) for lab in LABS),
    Row("suite", "all tests, two at a time", unit="min", target=12, why=f"{ELSEWHERE}: pytest says how long it took"),
    Row("import", "`import labkit`", unit="ms", target=50),
    Row("import-torch", "`import labkit` in a fresh Python, its start included", "`import torch` there"),
    Row("sweep-vae", "eight small VAEs at once, same weights at the end", "one after the other", target=2.5),
    Row("sweep-gan", "eight small GANs at once, likewise", "one after the other", target=2.5),
    Row("sweep-gpu", "eight small arms at once on a GPU", "one", unit="times", target=2.5, why=f"{ELSEWHERE}: it needs a GPU"),
    Row("head", "ten epochs of a head on cached features, extraction included", "forwarding every epoch", target=6),
    Row("cuts", "all cuts of a VGG in one pass over the images", "a pass each, which stops at its cut", target=4),
    Row("resident", "one MNIST epoch of data alone, resident on the device", "`DataLoader` and transforms", target=10),
    Row("smallconv", "stacks of convolutions on 8 x 8 pixels as one matrix product", "`torch.nn`", target=1.25),
    Row("grading", "grading by exercise, a submission and core (a lab of three exercises)", unit="s", target=4),
    Row("lost", "submissions lost in that", unit="", target=0),
)
BY_KEY = {row.key: row for row in ROWS}


def target(key: str) -> float:
    """The target of a row.

    Raises:
        KeyError: no such row.
        ValueError: it has no target.
    """
    found = BY_KEY[key].target
    if found is None:
        raise ValueError(f"row {key!r} has no target: give it one in {Path(__file__).name}")
    return found
