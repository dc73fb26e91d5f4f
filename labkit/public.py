"""Public sets that are downloaded: through torchvision's own classes wherever it has one."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from labkit import files
from labkit.sets import Images


class DamagedData(RuntimeError):
    """A data file is truncated or corrupt, or is not the official one."""


def mnist(split: str) -> Images:
    """MNIST, 28x28 grey: 60,000 train and 10,000 test images. Source: LeCun et al. 1998; CC BY-SA 3.0."""
    return _idx("MNIST", split, tuple("0123456789"))


def fashion_mnist(split: str) -> Images:
    """Fashion-MNIST, 28x28 grey: 60,000 train and 10,000 test images. Source: Xiao et al. 2017, arXiv:1708.07747; MIT."""
    names = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    return _idx("FashionMNIST", split, names)


#: name for `load` -> torchvision's class, whose folder of archives is <class>/raw
SETS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}


def fetch(name: str) -> None:
    """Download a public set into data/public unless it is at hand, and check it.

    Raises:
        DamagedData: a file at hand is not the official one.
        labkit.files.OfflineError: it may not, or could not, be downloaded.
    """
    kind = SETS[name]
    digests = _digests(kind)
    if any(_find(kind, url) is None for url, _ in _torchvision(kind).resources):
        _read_idx.uncached(kind, "test", digests)  # type: ignore[attr-defined]


def public_status() -> list[tuple[str, str, Path]]:
    """State of each public set: (name, 'here' | 'damaged' | 'absent', the folder where it is or belongs)."""
    rows = []
    for name, kind in SETS.items():
        states, first = [], None
        for url, md5 in _torchvision(kind).resources:
            found = _find(kind, url)
            first = first or found
            states.append("absent" if found is None else "here" if _intact(found, md5) else "damaged")
        state = "damaged" if "damaged" in states else "absent" if "absent" in states else "here"
        rows.append((name, state, first.parent if first else _folder(kind)))
    return rows


def _torchvision(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, name)


def _folder(name: str) -> Path:
    return files.home() / "data" / "public" / name / "raw"


def _find(name: str, url: str) -> Path | None:
    file = url.rsplit("/", 1)[-1]
    return next((f for root in files.data_dirs() if (f := root / name / "raw" / file).is_file()), None)


def _intact(path: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    return check_integrity(str(path), md5)


def _idx(name: str, split: str, class_names: tuple[str, ...]) -> Images:
    pixels, labels = _read_idx(name, split, _digests(name))
    return Images(
        pixels=torch.from_numpy(pixels).unsqueeze(1),
        labels=torch.from_numpy(labels).long(),
        class_names=class_names,
        name=next(key for key, kind in SETS.items() if kind == name),
        split=split,
        provenance=f"torchvision.datasets.{name}",
    )


def _digests(name: str) -> tuple[str, ...]:
    """The md5 sums of a set's archives, after a look at those that are at hand."""
    digests = []
    for url, md5 in _torchvision(name).resources:
        found = _find(name, url)
        if found is None:
            files.require_network(f"{name} ({url.rsplit('/', 1)[-1]})", _folder(name) / url.rsplit("/", 1)[-1])
        elif not _intact(found, md5):
            raise DamagedData(f"{found} is truncated or not the official file (md5 should be {md5}): delete it and load again")
        digests.append(md5)
    return tuple(digests)


@files.cached
def _read_idx(name: str, split: str, digests: tuple[str, ...]) -> Any:
    """Let torchvision unpack the archives in a folder that is thrown away, so that LABKIT_DATA is never written to.

    `digests` are the md5 sums of the archives: they key the cache.
    """
    kind = _torchvision(name)
    _sweep()
    try:
        files.cache_dir().mkdir(parents=True, exist_ok=True)
        unpacked = tempfile.TemporaryDirectory(dir=files.cache_dir(), prefix=".unpack-")
    except OSError:  # a workbook that may not be written
        unpacked = tempfile.TemporaryDirectory(prefix="labkit-")
    with unpacked as folder:
        raw = Path(folder) / name / "raw"
        try:
            raw.mkdir(parents=True)
            for url, _ in kind.resources:
                found = _find(name, url)
                if found is not None:
                    shutil.copy(found, raw)
            dataset = kind(folder, train=split == "train", download=True)
        except (RuntimeError, OSError) as error:
            with suppress(OSError):
                _keep(name, raw)
            reason = " ".join(str(error).split())
            full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            if full or all(_find(name, url) for url, _ in kind.resources):
                raise OSError(f"{name} could not be unpacked in {folder}: {reason}; free some space") from error
            raise files.OfflineError(
                f"{name} could not be downloaded ({reason}): connect to the network, "
                f"or put its four .gz files into {_folder(name)}"
            ) from error
        _keep(name, raw)
        return dataset.data.numpy(), dataset.targets.numpy()


def _keep(name: str, raw: Path) -> None:
    """Copy the archives that were downloaded into `raw` to data/public, so that each is fetched once."""
    for url, md5 in _torchvision(name).resources:
        file = url.rsplit("/", 1)[-1]
        if _find(name, url) is None and _intact(raw / file, md5):
            with files.atomic_write(_folder(name) / file) as spare:
                shutil.copy(raw / file, spare)


def _sweep() -> None:
    """Remove what killed processes left half-unpacked; a folder younger than a day may still be in use."""
    for left in files.cache_dir().glob(".unpack-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > 24 * 3600:
                shutil.rmtree(left)
