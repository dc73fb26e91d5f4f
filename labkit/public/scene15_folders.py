"""Folders of 15-Scene: where they may lie, how their classes may be called, and which images are for training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import torch

from labkit import files
from labkit.public.archives import DamagedData
from labkit.sets import SPLITS

#: class -> images of it in the whole set
COUNTS = {
    "bedroom": 216,
    "coast": 360,
    "forest": 328,
    "highway": 260,
    "industrial": 311,
    "insidecity": 308,
    "kitchen": 210,
    "livingroom": 289,
    "mountain": 374,
    "office": 215,
    "opencountry": 410,
    "store": 315,
    "street": 292,
    "suburb": 241,
    "tallbuilding": 356,
}
CLASSES = tuple(COUNTS)
TOTAL = sum(COUNTS.values())
#: folders of the first copy, which the numbers 00..14 of figshare's copy follow
ORIGINAL = (
    *("bedroom", "CALsuburb", "industrial", "kitchen", "livingroom", "MITcoast", "MITforest", "MIThighway", "MITinsidecity"),
    *("MITmountain", "MITopencountry", "MITstreet", "MITtallbuilding", "PARoffice", "store"),
)
FOLDERS = ("scene15", "15SceneData", "15-Scene", "scene_categories", "15-Scene Image Dataset")
SUFFIXES = (".jpg", ".jpeg", ".png")
TRAIN, SEED = 100, 2006  # images a class for training, and what they are drawn from


class Listing(NamedTuple):
    """What lies in a folder: by split, paths below `root` and labels; `drawn` says that the split is not the folder's."""

    root: Path
    names: dict[str, list[str]]
    labels: dict[str, list[int]]
    total: int
    drawn: bool


def class_of(folder: str) -> str | None:
    """The class that a folder's name means: 'InsideCity', 'inside_city', 'MITinsidecity' and '08' are all 'insidecity'."""
    plain = re.sub(r"[\s_-]", "", folder).lower()
    meanings = {name: name for name in CLASSES}
    for number, original in enumerate(ORIGINAL):
        name = re.sub("^(MIT|CAL|PAR)", "", original)
        meanings |= {original.lower(): name, f"{number:02}": name}
    return meanings.get(plain)


def find() -> Path | None:
    """The folder with the splits or classes, whichever comes first in the data folders."""
    for root in files.data_dirs():
        there = _subfolders(root)
        for name in FOLDERS:
            if name.lower() in there and (found := inner(there[name.lower()])):
                return found
    return None


def inner(folder: Path) -> Path | None:
    """This folder, or that inside it which an archive has put the classes in; None where there is nothing."""
    there = _subfolders(folder)
    if any(name in SPLITS or class_of(name) for name in there):
        return folder
    known = [there[name.lower()] for name in FOLDERS if name.lower() in there]
    return next((found for path in known if (found := inner(path))), folder if there and not known else None)


def unpacked(folder: Path) -> Path | None:
    """The outermost folder with splits or classes in what an archive held; None where there is none."""
    level = [folder]
    while level:
        for path in level:
            if any(name in SPLITS or class_of(name) for name in _subfolders(path)):
                return path
        level = [below for path in level for below in visible_folders(path)]
    return None


def visible_folders(folder: Path) -> list[Path]:
    """Folders inside, less hidden ones and what a Mac adds to archives."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in paths if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _subfolders(folder: Path) -> dict[str, Path]:
    """Folders inside, by their name in lower case."""
    return {path.name.lower(): path for path in visible_folders(folder)}


def listing(root: Path) -> Listing:
    """Read the folders' names, not the images.

    Raises:
        DamagedData: a split or a class is missing, a folder is unknown or wrongly numbered, or a class has one image.
    """
    there = _subfolders(root)
    drawn = not any(split in there for split in SPLITS)
    if drawn:
        classes = _classes(root)
        parts: dict[str, dict[str, list[Path]]] = {split: {} for split in SPLITS}
        for name, paths in classes.items():
            if len(paths) < 2:
                raise DamagedData(f"{paths[0].parent} holds one image, but {name} needs one to train and one to test: add some")
            for split, mine in zip(SPLITS, _draw(name, paths), strict=True):
                parts[split][name] = mine
    else:
        if absent := [split for split in SPLITS if split not in there]:
            raise DamagedData(
                f"{root / absent[0]} is missing beside {root / next(s for s in SPLITS if s in there)}: put it there"
            )
        parts = {split: _classes(there[split]) for split in SPLITS}
    _check_numbers(root, parts)
    names = {split: [str(path.relative_to(root)) for name in CLASSES for path in parts[split][name]] for split in SPLITS}
    labels = {split: [k for k, name in enumerate(CLASSES) for _ in parts[split][name]] for split in SPLITS}
    return Listing(root, names, labels, sum(map(len, names.values())), drawn)


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Images by class, in the order of their numbers."""
    known = f"{', '.join(CLASSES)} (or {ORIGINAL[1]}, {ORIGINAL[5]} and so on, or 00..14)"
    found: dict[str, list[Path]] = {}
    for path in visible_folders(folder):
        name = class_of(path.name)
        if name is None:
            raise DamagedData(f"{path} is no class of 15-Scene: take it away or rename it; known are {known}")
        images = visible_images(path)
        if images and name in found:
            raise DamagedData(f"{path} and {found[name][0].parent} both hold {name}: keep one of them")
        if images:
            found[name] = images
    if missing := [name for name in CLASSES if name not in found]:
        raise DamagedData(f"{folder} has no images of {', '.join(missing)}: put a folder of each there; known are {known}")
    return found


def visible_images(folder: Path) -> list[Path]:
    """Images inside, in the order of their numbers, less hidden ones (as are those that a Mac adds)."""
    paths = folder.iterdir() if folder.is_dir() else ()
    images = [path for path in paths if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()]
    return sorted(images, key=_by_number)


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    """'2.jpg' before '10.jpg', and no two names alike, whatever order the file system gives."""
    parts = re.findall(r"\d+|\D+", path.stem.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def _draw(name: str, paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Images for training and the rest; each class has a generator of its own, so that no other class matters."""
    generator = torch.Generator().manual_seed(SEED + CLASSES.index(name))
    chosen = set(torch.randperm(len(paths), generator=generator)[: min(TRAIN, len(paths) // 2)].tolist())
    return [p for k, p in enumerate(paths) if k in chosen], [p for k, p in enumerate(paths) if k not in chosen]


def _check_numbers(root: Path, parts: dict[str, dict[str, list[Path]]]) -> None:
    """In a whole set the counts tell whether numbers mean the classes that they should: no two classes are of one size."""
    held = {name: sum(len(parts[split][name]) for split in SPLITS) for name in CLASSES}
    numbered = [name for name in CLASSES if parts["train"][name][0].parent.name.isdecimal()]
    wrong = [name for name in numbered if held[name] != COUNTS[name]]
    if sum(held.values()) == TOTAL and wrong:
        folder = parts["train"][wrong[0]][0].parent.name
        raise DamagedData(
            f"{root}: folder {folder} should be {wrong[0]}, but holds {held[wrong[0]]} images and not {COUNTS[wrong[0]]}: "
            f"the numbers are in another order; rename the folders to the names of their classes ({', '.join(CLASSES)})"
        )
