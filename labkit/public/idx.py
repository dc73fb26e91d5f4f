"""MNIST and Fashion-MNIST, four idx archives each, through torchvision's own classes."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from labkit import files
from labkit.public.archives import full, intact, require_intact, scratch
from labkit.sets import Images

SIZE = 28  # pixels a side in the archives


def mnist(split: str, *, size: int = 28) -> Images:
    """MNIST, grey: 60,000 train and 10,000 test images of 28x28 pixels, or more with a black margin around them.

    `size` 32 puts two black pixels on each side. That is where MNIST-M has its digits, which are not resized: laid so,
    they fit to the pixel.

    Source: LeCun et al. 1998; CC BY-SA 3.0.
    """
    return _idx("MNIST", "mnist", split, tuple("0123456789"), size)


def fashion_mnist(split: str, *, size: int = 28) -> Images:
    """Fashion-MNIST, grey: 60,000 train and 10,000 test images of 28x28 pixels, or more with a black margin around them.

    Source: Xiao et al. 2017, arXiv:1708.07747; MIT.
    """
    names = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    return _idx("FashionMNIST", "fashion_mnist", split, names, size)


def fetch(kind: str) -> None:
    """Download the archives of a torchvision class unless they are at hand, and check them."""
    digests = _digests(kind)
    if any(_find(kind, url) is None for url, _ in _torchvision(kind).resources):
        _read_idx.uncached(kind, "test", digests)  # type: ignore[attr-defined]


def status(kind: str) -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and the folder where the archives are or belong."""
    states, first = [], None
    for url, md5 in _torchvision(kind).resources:
        found = _find(kind, url)
        first = first or found
        states.append("absent" if found is None else "here" if intact(found, md5) else "damaged")
    state = "damaged" if "damaged" in states else "absent" if "absent" in states else "here"
    return state, first.parent if first else _folder(kind)


def _torchvision(kind: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, kind)


def _folder(kind: str) -> Path:
    return files.home() / "data" / "public" / kind / "raw"


def _find(kind: str, url: str) -> Path | None:
    file = url.rsplit("/", 1)[-1]
    return next((f for root in files.data_dirs() if (f := root / kind / "raw" / file).is_file()), None)


def _idx(kind: str, name: str, split: str, class_names: tuple[str, ...], size: int) -> Images:
    if size < SIZE or (size - SIZE) % 2:
        raise ValueError(f"{name}: size is {size}, but the images have {SIZE} pixels a side: use {SIZE}, or {SIZE} + 2 k")
    pixels, labels = _read_idx(kind, split, _digests(kind))
    margin = (size - SIZE) // 2
    return Images(
        pixels=F.pad(torch.from_numpy(pixels).unsqueeze(1), (margin,) * 4),
        labels=torch.from_numpy(labels).long(),
        class_names=class_names,
        name=name,
        split=split,
        provenance=f"torchvision.datasets.{kind}" + (f", padded to {size}x{size}" if margin else ""),
    )


def _digests(kind: str) -> tuple[str, ...]:
    """The md5 sums of a set's archives, after a look at those that are at hand."""
    digests = []
    for url, md5 in _torchvision(kind).resources:
        found = _find(kind, url)
        if found is None:
            files.require_network(f"{kind} ({url.rsplit('/', 1)[-1]})", _folder(kind) / url.rsplit("/", 1)[-1])
        else:
            require_intact(found, md5)
        digests.append(md5)
    return tuple(digests)


@files.cached
def _read_idx(name: str, split: str, digests: tuple[str, ...]) -> Any:
    """Let torchvision unpack the archives in a folder that is thrown away, so that LABKIT_DATA is never written to.

    `digests` are the md5 sums of the archives: they key the cache.
    """
    kind = _torchvision(name)
    with scratch() as folder:
        raw = folder / name / "raw"
        try:
            raw.mkdir(parents=True)
            for url, _ in kind.resources:
                found = _find(name, url)
                if found is not None:
                    shutil.copy(found, raw)
            dataset = kind(str(folder), train=split == "train", download=True)
        except (RuntimeError, OSError) as error:
            with suppress(OSError):
                _keep(name, raw)
            reason = " ".join(str(error).split())
            if full(error) or all(_find(name, url) for url, _ in kind.resources):
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
        if _find(name, url) is None and intact(raw / file, md5):
            with files.atomic_write(_folder(name) / file) as spare:
                shutil.copy(raw / file, spare)
