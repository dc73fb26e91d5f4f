"""What was measured against what is expected: verdicts, bands, notebooks/expected.toml."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tokenize
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labkit import files

PROFILES = ("tiny", "laptop", "full")
HOLDS, FAILS, UNDECIDED, NOT_MEASURED = "holds", "does not hold", "undecided", "not measured"
#: words of expected.toml -> the verdict they ask for; 'open' asks for none
EXPECTATIONS = {"holds": HOLDS, "fails": FAILS, "open": None}
LEVEL = 0.95  # of the two-sided t interval that a verdict rests on
SPREADS = 5  # a band is mean +- 5 sd of at least ten runs: the range of ten runs alone misses one run in five


@dataclass(frozen=True)
class Verdict:
    """A word, and the numbers that it rests on."""

    word: str
    numbers: str


def judge(values: Any, *, at_least: float | None = None, at_most: float | None = None, deterministic: bool = False) -> Verdict:
    """Judge a quantity, measured once a seed, against a threshold.

    'holds' if the whole 95 % t interval of the mean lies on the right side of the threshold, 'does not hold' if it lies
    on the wrong one, 'undecided' between, and always 'undecided' from a single seed unless the quantity is declared
    deterministic. NaN or infinity is 'not measured'. `at_least=0` claims an effect: it must lie beyond 0.

    Args:
        values: scalar or (seeds,).
    Raises:
        ValueError: no threshold, or values of another shape.
    """
    from scipy import stats

    if at_least is None and at_most is None:
        raise ValueError("say what is claimed: at_least=, at_most= or both")
    if not all(math.isfinite(bound) for bound in (at_least, at_most) if bound is not None):
        raise ValueError(f"a threshold must be a number, got at_least={at_least}, at_most={at_most}")
    x = np.atleast_1d(np.asarray(values, dtype=float))
    if x.ndim != 1 or not len(x):
        raise ValueError(f"a claim needs one number a seed, got shape {x.shape}: take the difference of two arms first")
    bounds = [("at least", at_least), ("at most", at_most)]
    asked = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    if not np.isfinite(x).all():
        return Verdict(NOT_MEASURED, f"{int((~np.isfinite(x)).sum())} of {len(x)} values are not finite; asked: {asked}")
    mean = float(x.mean())
    if deterministic:
        half, how = 0.0, "deterministic"
        if np.ptp(x) > 1e-9 * max(1.0, abs(mean)):
            raise ValueError(f"declared deterministic, but the values differ: {x.tolist()}")
    elif len(x) == 1:
        half, how = math.inf, "one seed"
    else:
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))
        how = f"{len(x)} seeds"
    low, high = mean - half, mean + half
    # 'at least 0' claims an effect, so an interval that only touches 0 is not enough
    right = (at_least is None or (low > 0 if at_least == 0 else low >= at_least)) and (at_most is None or high <= at_most)
    wrong = (at_least is not None and (high <= 0 if at_least == 0 else high < at_least)) or (
        at_most is not None and low > at_most
    )
    interval = f" [{low:.3g}, {high:.3g}]" if math.isfinite(half) and half else ""
    return Verdict(HOLDS if right else FAILS if wrong else UNDECIDED, f"{mean:.3g}{interval}, {how}; asked: {asked}")


class Expected:
    """One lab's part of notebooks/expected.toml: minutes, expected verdicts, reported figures, bands."""

    def __init__(self, lab: str, profile: str, *, path: Path | None = None) -> None:
        self.lab, self.profile = lab, profile
        self.path = path or files.home() / "notebooks" / "expected.toml"
        try:
            whole = tomllib.loads(self.path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{self.path} is not valid TOML: {error}") from error
        self._part: dict[str, Any] = whole.get(lab, {})
        for claim, words in self._part.get("claims", {}).items():
            if not isinstance(words, dict) or not set(words) <= set(PROFILES):
                raise ValueError(
                    f"{self.path}: claim {claim!r} is {words!r}; give a word by profile ({', '.join(PROFILES)}), "
                    'such as { tiny = "holds" }'
                )
            for word in words.values():
                if word not in EXPECTATIONS:
                    raise ValueError(f"{self.path}: claim {claim!r} expects {word!r}; use 'holds', 'fails' or 'open'")

    @property
    def minutes(self) -> float | None:
        """Minutes that this profile took when it was last measured for the book."""
        return self._part.get("minutes", {}).get(self.profile)

    @property
    def claims(self) -> dict[str, str]:
        """Expected word by claim, for this profile ('open' where the file says nothing of it)."""
        return {claim: words.get(self.profile, "open") for claim, words in self._part.get("claims", {}).items()}

    @property
    def promised(self) -> list[str]:
        """Claims of which the file says something for this profile: a run that never makes one of them is a surprise."""
        return [claim for claim, words in self._part.get("claims", {}).items() if self.profile in words]

    @property
    def sources(self) -> dict[str, str]:
        """What the short names of sources in `reported` stand for."""
        return {name: str(words) for name, words in self._part.get("sources", {}).items()}

    def reported(self, record: str) -> list[dict[str, str]]:
        """Figures reported elsewhere for a record: [{"value", "source"}]."""
        rows = self._part.get("reported", {}).get(record, [])
        return [{"value": str(row["value"]), "source": row["source"]} for row in rows]

    def band(self, record: str) -> list[tuple[float, float]] | None:
        """Lower and upper end for each arm of a record, or None where it was never calibrated."""
        row = self._part.get("bands", {}).get(self.profile, {}).get("records", {}).get(record)
        if row is None:
            return None
        ends = []
        for mean, sd in zip(row["mean"], row["sd"], strict=True):
            # a figure that no seed moves may still differ in its last digits between machines
            half = max(SPREADS * sd, 1e-3 * abs(mean), row.get("step", 0.0))
            ends.append((mean - half, mean + half))
        return ends

    def extended(self, name: str) -> dict[str, np.ndarray]:
        """What `Lab.calibrated` measured under `labkit calibrate`, arm -> (seeds,); empty where there is nothing."""
        rows = self._part.get("bands", {}).get(self.profile, {}).get("extended", {}).get(name, {})
        return {arm: np.array(row, dtype=float) for arm, row in rows.items()}

    @property
    def calibration(self) -> dict[str, Any]:
        """Command, code hash, date and number of seeds of this profile's bands; empty where there are none."""
        bands = self._part.get("bands", {}).get(self.profile, {})
        return {key: value for key, value in bands.items() if key not in ("records", "extended")}


def write_bands(
    lab: str,
    profile: str,
    header: dict[str, Any],
    bands: dict[str, dict[str, Any]],
    *,
    path: Path,
    extended: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> None:
    """Put a lab's bands for one profile into expected.toml and leave everything else in it as it is, comments too.

    bands: record -> {"mean": [..], "sd": [..]}, one entry an arm, and {"step": s} if the band must be at least +-s wide.
    extended: name -> arm -> values (seeds,) that only a calibration measures.
    """
    import tomlkit

    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    part = document.setdefault(lab, tomlkit.table())
    all_bands = part.setdefault("bands", tomlkit.table(is_super_table=True))
    table = tomlkit.table()
    for key, value in header.items():
        table[key] = value
    records = tomlkit.table()
    for name, row in bands.items():
        inline = tomlkit.inline_table()
        inline.update({key: [float(f"{v:.4g}") for v in row[key]] for key in ("mean", "sd")})
        if "step" in row:
            inline["step"] = row["step"]
        records[name] = inline
    table["records"] = records
    if extended:
        kept = tomlkit.table()
        for name, rows in extended.items():
            kept[name] = {arm: [float(f"{v:.4g}") for v in row] for arm, row in rows.items()}
        table["extended"] = kept
    all_bands[profile] = table
    files.write_text(path, tomlkit.dumps(document))


def code_hash(notebook: Path) -> str:
    """Hash of the code that a lab's figures come from: its cells from the one that opens the lab to its summary.

    Solutions don't count, as they differ between the two editions; nor do comments, blank lines and the width of gaps.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and not cell.get("metadata", {}).get("nbgrader", {}).get("solution")
    ]
    first = next((i for i, source in enumerate(code) if "open_lab(" in source), 0)
    last = next((i for i, source in enumerate(code) if "lab.summary(" in source), len(code) - 1)
    return hashlib.sha256("\n\n".join(map(_bare, code[first : last + 1])).encode()).hexdigest()[:12]


def _bare(source: str) -> str:
    """Code without comments and blank lines, each gap one space wide, its indentation as it is."""
    lines = source.splitlines()
    with suppress(tokenize.TokenError, SyntaxError):  # of a cell that is no Python all that is written counts
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
    return "\n".join(re.sub(r"(?<=\S) +", " ", line.rstrip()) for line in lines if line.strip())


def spread(values: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Mean and standard deviation over runs, by arm: values is (runs, arms)."""
    x = np.asarray(values, dtype=float)
    return {"mean": x.mean(0).tolist(), "sd": x.std(0, ddof=1).tolist()}
