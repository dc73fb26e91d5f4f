"""15-Scene, grey photos of fifteen kinds of places, from folders named in any of the ways in which it is passed on."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch

from labkit import files
from labkit.public import scene15_archive as archive
from labkit.public.archives import DamagedData, state_of
from labkit.public.scene15_folders import CLASSES, TOTAL, find, listing, unpacked
from labkit.sets import Images, subset_index

LARGEST = 256


def scene15(split: str, *, size: int = 224, limit: int | None = None, seed: int = 0) -> Images:
    """15-Scene, grey: 4,485 photos of fifteen kinds of places, 100 a class for training and the other 2,985 for the test.

    Each photo is resized whole to `size` x `size`, with antialiasing and without a crop, since nets take squares and a crop
    would cut off what tells a street from a tall building. Six of ten photos are square as they are; most others are
    4:3 or 3:2 and are squeezed by as much (one in twenty by more than 1.5, the narrowest is 0.53 times as wide as
    high, the widest 2.5 times). The originals have some 200..300 pixels a side. Pixels are uint8 (N, 1, size, size).

    Where the folder holds `train` and `test`, they are taken as they are. Where it holds the classes, 100 images of each
    (half of them, where there are fewer than 200) are drawn for training from a fixed seed, from the names in the order of
    their numbers, so that each machine draws the same; `provenance` says so, and 'subset' where images are missing.
    Images come class by class. `limit` keeps a random part, drawn from `seed`, and decodes no more than that.

    Some images stand there twice, also across train and test: see `labkit.duplicates`.

    Raises:
        DamagedData: a class is missing, a folder is unknown, or an image can't be read.
        labkit.files.OfflineError: it is not at hand and may not, or could not, be downloaded or unpacked.
        ValueError: size is not in 8..256, or limit is out of range.
    Source: Lazebnik, Schmid and Ponce 2006, CVPR; eight classes from Oliva and Torralba 2001, five from Fei-Fei and
    Perona 2005. The address it is downloaded from could not be tried.
    """
    if not 8 <= size <= LARGEST:
        raise ValueError(f"scene15: size is {size}, but the photos have some {LARGEST} pixels a side: use 8..{LARGEST}")
    held = listing(_fetch())
    names, labels = held.names[split], torch.tensor(held.labels[split])
    if limit is not None:
        kept = subset_index(labels, limit, seed=seed, what=f"scene15 ({split})")
        names, labels = [names[k] for k in kept.tolist()], labels[kept]
    part = "" if held.total >= TOTAL else f" (subset: {held.total:,} of {TOTAL:,} images)"
    return Images(
        pixels=torch.from_numpy(_decode(str(held.root), names, size, _fingerprint(held.root, names))),
        labels=labels,
        class_names=CLASSES,
        name="scene15",
        split=split,
        provenance=f"15-Scene{part}" + (", split drawn from a fixed seed" if held.drawn else ""),
    )


def fetch() -> None:
    """Download and unpack the set unless it is at hand, and check that each class is there."""
    listing(_fetch())


def status() -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and the folder where it is, or where it belongs."""
    return state_of(find(), archive.place(), listing)


def _fetch() -> Path:
    found = find()
    if found is None:
        archive.bring(unpacked)
        found = find()
    assert found is not None
    return found


def _fingerprint(root: Path, names: list[str]) -> str:
    """What changes when one of these images is written anew."""
    stats = [(root / name).stat() for name in names]
    return hashlib.md5("".join(f"{stat.st_size} {stat.st_mtime_ns}\n" for stat in stats).encode()).hexdigest()


@files.cached
def _decode(root: str, names: list[str], size: int, fingerprint: str) -> np.ndarray:
    """These images, uint8 (N, 1, size, size), one by one; the fingerprint keys the cache."""
    from PIL import Image, UnidentifiedImageError

    pixels = np.empty((len(names), 1, size, size), dtype=np.uint8)
    for number, name in enumerate(names):
        path = Path(root) / name
        try:
            image = Image.open(path, formats=("JPEG", "PNG")).convert("L")
        except (OSError, SyntaxError, ValueError, zlib.error) as error:
            reason = "not a JPEG or PNG file" if isinstance(error, UnidentifiedImageError) else error
            raise DamagedData(
                f"{path} is truncated or no image ({reason}): put the original there ({archive.PAGE}), or delete it"
            ) from error
        pixels[number, 0] = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels
