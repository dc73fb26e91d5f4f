"""CelebA's lists: 40 attributes by name, the person and the split of each image, joined by file name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit import files
from labkit.public.archives import DamagedData

# fmt: off
ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses", "Goatee",
    "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard",
    "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair",
    "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)
# fmt: on
TEXTS = ("list_attr_celeba.txt", "identity_CelebA.txt", "list_eval_partition.txt")
TOTAL = 202_599  # images
PAGE = "mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


class Table(NamedTuple):
    """The text files, joined by file name: one row for each image that has an attribute line."""

    names: np.ndarray  # str (N,), sorted
    attributes: np.ndarray  # bool (N, 40), columns as in ATTRIBUTES
    identities: np.ndarray  # int64 (N,)
    partition: np.ndarray  # int64 (N,): 0 train, 1 validation, 2 test


def official() -> dict[str, tuple[str, str]]:
    """File name -> (its id at Google Drive, md5), from torchvision."""
    from torchvision import datasets

    return {name: (key, md5) for key, md5, name in datasets.CelebA.file_list}


def read_table(paths: list[Path]) -> Table:
    """Read the lists, which are in the order of TEXTS.

    Raises:
        DamagedData: a line is not as it should be, a list lacks images, or one of official length is not the official one.
    """
    stats = [path.stat() for path in paths]
    return Table(*_read(list(map(str, paths)), [(stat.st_size, stat.st_mtime_ns) for stat in stats]))


@files.cached
def _read(paths: list[str], fingerprint: list[tuple[int, int]]) -> tuple[np.ndarray, ...]:
    """The fields of Table; sizes and times of the files key the cache."""
    listed, identified, parted = map(Path, paths)
    rows = _lines(listed, heading=2)
    header = rows[1].split() if len(rows) > 1 else []
    if sorted(header) != sorted(ATTRIBUTES) or not rows[0].strip().isdigit():
        raise DamagedData(
            f"{listed} does not begin with the number of images and then the names of CelebA's 40 attributes: {advice(listed)}"
        )
    order = [header.index(name) for name in ATTRIBUTES]
    signs = _fields(listed, rows[2:], first=3, pattern="-1|1", width=len(ATTRIBUTES))
    people = _fields(identified, _lines(identified), first=1, pattern=r"\d+", width=1)
    parts = _fields(parted, _lines(parted), first=1, pattern="[012]", width=1)
    for path, known in ((identified, people), (parted, parts)):
        if lacking := sorted(signs.keys() - known.keys()):
            raise DamagedData(
                f"{path} says nothing of {lacking[0]}, and of {len(lacking):,} of {len(signs):,} images that {listed.name} "
                f"lists: {advice(path)}"
            )
    names = sorted(signs)
    values = np.array([signs[name] for name in names], dtype=np.int8).reshape(len(names), len(ATTRIBUTES))
    return (
        np.array(names, dtype=np.str_),
        values[:, order] == 1,
        np.array([people[name][0] for name in names], dtype=np.int64),
        np.array([parts[name][0] for name in names], dtype=np.int64),
    )


def advice(path: Path) -> str:
    """What to do about a file that is missing or damaged."""
    return f"put the official {path.name} there ({PAGE})"


def _lines(path: Path, *, heading: int = 0) -> list[str]:
    """Lines of a list. One that is as long as the official one has to be it; a shorter one may belong to a subset."""
    raw = path.read_bytes()
    rows = raw.decode("utf-8", errors="replace").rstrip().splitlines()
    md5 = official()[path.name][1]
    if len(rows) - heading >= TOTAL and hashlib.md5(raw).hexdigest() != md5:
        raise DamagedData(f"{path} is as long as the official file, but is not the same (md5 should be {md5}): {advice(path)}")
    return rows


def _fields(path: Path, rows: list[str], *, first: int, pattern: str, width: int) -> dict[str, list[int]]:
    """Numbers by file name, from lines such as '000001.jpg 1 -1'; `first` is the number of the first line."""
    found: dict[str, list[int]] = {}
    number = re.compile(pattern)
    known: dict[str, int] = {}  # text -> its number: few differ, so each is looked at once
    for line, row in enumerate(rows, start=first):
        name, *values = row.split() or [""]
        for value in values:
            if value not in known and number.fullmatch(value):
                known[value] = int(value)
        fits = len(values) == width and all(value in known for value in values)
        if not fits or name in found or not re.fullmatch(r"\w[\w-]*\.jpg", name):
            what = f"lists {name} again" if name in found else f"is {row[:40]!r}"
            raise DamagedData(
                f"{path}: line {line} {what}; expected a new name such as 000001.jpg and {width} number(s) like "
                f"{pattern.replace('|', ' or ')}: {advice(path)}"
            )
        found[name] = [known[value] for value in values]
    return found
