"""MNIST-M, MNIST's digits over patches of photos: the official images, or made by the published recipe."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from labkit import files
from labkit.public.archives import DamagedData, download, require_intact
from labkit.public.cifar import cifar10
from labkit.public.idx import mnist
from labkit.sets import SPLITS, Images

URL = "https://cornell.box.com/shared/static/jado7quprg6hzzdubvwzh9umr75damwi"
ARCHIVE, MD5 = "mnist_m.tar.gz", "859df31c91afe82e80e5012ba928f279"
OFFICIAL = {"train": 59_001, "test": 9_001}
SIZE = 32
PHOTOS = {"cifar10": cifar10}
PHOTO_SEEDS = {"train": 1505, "test": 7818}


def mnist_m(split: str, *, photos: str | None = None) -> Images:
    """MNIST-M, 32x32 RGB: 59,001 train and 9,001 test images; image k is |patch - digit k of MNIST| by channel.

    The digit has two pixels of margin on each side and no greys: every pixel above 0 counts as 1, so that a stroke is
    the patch inverted. Both were read off the images (on patches that are nearly black at the border, an
    image correlates with that digit at 0.999, with the grey one at 0.88, with a resized one at 0.83 or less).

    Read from the official archive, or from its unpacked folder, which may hold a part of the images: `provenance` then
    says 'subset'. With `photos="cifar10"` it is made in the same way from all of MNIST, with a random photo of
    CIFAR-10's same split as the patch of each digit; `provenance` says that too.

    Raises:
        DamagedData: a label file or image is missing or can't be read.
        labkit.files.OfflineError: it is not at hand and may not, or could not, be downloaded.
    Source: Ganin and Lempitsky 2015, arXiv:1409.7495; the official patches are from BSDS500.
    """
    if photos is not None:
        return _made(split, photos)
    found = _find(split) or _download()
    if found.is_dir():
        pixels, labels = _read_folder(str(found), split, _fingerprint(found, split))
    else:
        require_intact(found, MD5)
        pixels, labels = _read_archive(split, MD5)
    n, all_of_them = len(labels), OFFICIAL[split]
    return Images(
        pixels=torch.from_numpy(pixels),
        labels=torch.from_numpy(labels),
        class_names=tuple("0123456789"),
        name="mnist_m",
        split=split,
        provenance="MNIST-M" if n >= all_of_them else f"MNIST-M (subset: {n:,} of {all_of_them:,} images)",
    )


def fetch() -> None:
    """Download the archive unless the set is at hand, and check what is."""
    for split in SPLITS:
        _check(_find(split) or _download(), split)


def status() -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and the folder or archive where it is, or the folder where it belongs."""
    places = [_find(split) for split in SPLITS]
    first = next((place for place in places if place is not None), None)
    try:
        for place, split in zip(places, SPLITS, strict=True):
            if place is not None:
                _check(place, split)
    except DamagedData:
        return "damaged", first or _archive().parent
    return "absent" if None in places else "here", first or _archive().parent


def _archive() -> Path:
    return files.home() / "data" / "public" / "mnist_m" / ARCHIVE


def _find(split: str) -> Path | None:
    """The folder 'mnist_m' that has something of the split, or the archive, whichever comes first in the data folders."""
    for root in files.data_dirs():
        folder = root / "mnist_m"
        if (folder / f"mnist_m_{split}").is_dir() or (folder / f"mnist_m_{split}_labels.txt").is_file():
            return folder
        for archive in (folder / ARCHIVE, root / ARCHIVE):
            if archive.is_file():
                return archive
    return None


def _download() -> Path:
    try:
        download("MNIST-M", URL, MD5, _archive())
    except files.OfflineError as error:
        recipe = "load('mnist_m', photos='cifar10') makes the set by the published recipe from MNIST and CIFAR-10"
        raise files.OfflineError(f"{error}. Without it, {recipe}") from error
    return _archive()


def _check(found: Path, split: str) -> None:
    """Raise where something is missing; images are not decoded for it."""
    if found.is_dir():
        names, _ = _labels(_text(found, split), found, split)
        _require_images(names, _listing(found, split), found, split)
    else:
        require_intact(found, MD5)


def _text(folder: Path, split: str) -> bytes | None:
    path = folder / f"mnist_m_{split}_labels.txt"
    return path.read_bytes() if path.is_file() else None


def _listing(folder: Path, split: str) -> dict[str, os.stat_result]:
    images = folder / f"mnist_m_{split}"
    if not images.is_dir():
        return {}
    with os.scandir(images) as entries:
        return {entry.name: entry.stat() for entry in entries if entry.name.endswith(".png")}


def _fingerprint(folder: Path, split: str) -> tuple[Any, ...]:
    """What changes when a file comes, goes or is written, at the price of a listing."""
    stats = _listing(folder, split).values()
    return (
        hashlib.md5(_text(folder, split) or b"").hexdigest(),
        len(stats),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    )


@files.cached
def _read_folder(folder: str, split: str, fingerprint: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of an unpacked folder; its fingerprint keys the cache."""
    where = Path(folder)
    names, labels = _labels(_text(where, split), where, split)
    _require_images(names, _listing(where, split), where, split)
    images = where / f"mnist_m_{split}"
    return _decode(names, lambda name: (images / name).read_bytes(), images), labels


@files.cached
def _read_archive(split: str, md5: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the archive, read where they are in it, so that nothing is unpacked; its md5 keys the cache."""
    archive = _find(split)
    assert archive is not None
    held: dict[str, bytes] = {}
    text = None
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path, file = PurePosixPath(member.name), tar.extractfile(member) if member.isfile() else None
                if file is not None and path.name == f"mnist_m_{split}_labels.txt":
                    text = file.read()
                elif file is not None and path.parent.name == f"mnist_m_{split}":
                    held[path.name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DamagedData(f"{archive} can't be read ({error}): delete it and load again") from error
    names, labels = _labels(text, archive, split)
    _require_images(names, held, archive, split)
    return _decode(names, held.__getitem__, archive / f"mnist_m_{split}"), labels


def _labels(text: bytes | None, where: Path, split: str) -> tuple[list[str], np.ndarray]:
    """File names and labels (N,) from lines such as '00000000.png 5'."""
    path = where / f"mnist_m_{split}_labels.txt"
    advice = "put the official file there, or delete the images of this split and load again"
    if text is None:
        raise DamagedData(f"{path} is missing: {advice}")
    names: dict[str, int] = {}
    for number, line in enumerate(text.decode("utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"(\w[\w.-]*\.png)\s+(\d)\s*", line)
        if match is None or match[1] in names:
            found = f"names {match[1]} again" if match else f"is {line[:40]!r}, not such as '00000000.png 5'"
            raise DamagedData(f"{path}: line {number} {found}: {advice}")
        names[match[1]] = int(match[2])
    if not names:
        raise DamagedData(f"{path} is empty: {advice}")
    return list(names), np.array(list(names.values()), dtype=np.int64)


def _require_images(names: list[str], held: Any, where: Path, split: str) -> None:
    missing = [name for name in names if name not in held]
    if missing:
        raise DamagedData(
            f"{where / f'mnist_m_{split}' / missing[0]} is missing, and with it {len(missing):,} of {len(names):,} images that "
            f"have a label: unpack the official {ARCHIVE} anew, or take their lines out of mnist_m_{split}_labels.txt"
        )


def _decode(names: list[str], read: Callable[[str], bytes], where: Path) -> np.ndarray:
    """The images (N, 3, 32, 32)."""
    from PIL import Image

    pixels = np.empty((len(names), 3, SIZE, SIZE), dtype=np.uint8)
    for number, name in enumerate(names):
        try:
            image = Image.open(BytesIO(read(name)), formats=("PNG",))
            found = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, zlib.error) as error:
            raise DamagedData(
                f"{where / name} is truncated or no image ({error}): unpack the official {ARCHIVE} anew"
            ) from error
        if found.shape != (SIZE, SIZE, 3):
            height, width = found.shape[:2]
            raise DamagedData(
                f"{where / name} has {width} x {height} pixels, expected {SIZE} x {SIZE}: unpack the official {ARCHIVE} anew"
            )
        pixels[number] = found.transpose(2, 0, 1)
    return pixels


def _made(split: str, photos: str) -> Images:
    """|photo - digit| for all digits of MNIST, without greys, each with a photo drawn from a fixed seed."""
    if photos not in PHOTOS:
        raise ValueError(
            f"mnist_m: photos is {photos!r}, expected {' or '.join(map(repr, PHOTOS))}, or None for MNIST-M itself"
        )
    source, patches = mnist(split, size=SIZE), PHOTOS[photos](split)
    rng = torch.Generator().manual_seed(PHOTO_SEEDS[split])
    pixels = patches.pixels[torch.randint(len(patches), (len(source),), generator=rng)]
    for part, digit in zip(pixels.split(4096), source.pixels.split(4096), strict=True):
        part.copy_(torch.where(digit > 0, 255 - part, part))  # |part - digit| for digits of 0 and 255
    return Images(
        pixels=pixels,
        labels=source.labels,
        class_names=source.class_names,
        name="mnist_m",
        split=split,
        provenance=f"made by the MNIST-M recipe from MNIST and photos of {patches.name}, not the official MNIST-M",
    )
