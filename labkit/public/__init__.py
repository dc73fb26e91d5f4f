"""Public sets that are downloaded: through torchvision's own classes wherever it has one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from labkit.public import celeba as portraits
from labkit.public import cifar, idx
from labkit.public import imagenet_samples as samples
from labkit.public import mnist_m as blended
from labkit.public import scene15 as places
from labkit.public import stl10 as things
from labkit.public.archives import DamagedData
from labkit.sets import Images

__all__ = ["SETS", "DamagedData", "Source", "fetch", "public_status"]


class Source(NamedTuple):
    """What is done with a public set: load(split, **options), fetch(), and status() -> (state, where)."""

    load: Callable[..., Images]
    fetch: Callable[[], None]
    status: Callable[[], tuple[str, Path]]


#: name for `load` -> what is done with it
SETS = {
    "mnist": Source(idx.mnist, partial(idx.fetch, "MNIST"), partial(idx.status, "MNIST")),
    "fashion_mnist": Source(idx.fashion_mnist, partial(idx.fetch, "FashionMNIST"), partial(idx.status, "FashionMNIST")),
    "mnist_m": Source(blended.mnist_m, blended.fetch, blended.status),
    "cifar10": Source(cifar.cifar10, cifar.fetch, cifar.status),
    "celeba": Source(portraits.celeba, portraits.fetch, portraits.status),
    "scene15": Source(places.scene15, places.fetch, places.status),
    "imagenet_samples": Source(samples.imagenet_samples, samples.fetch, samples.status),
    "stl10": Source(things.stl10, things.fetch, things.status),
}


def fetch(name: str) -> None:
    """Download a public set into data/public unless it is at hand, and check it.

    Raises:
        DamagedData: a file at hand is not the official one.
        labkit.files.OfflineError: it may not, or could not, be downloaded.
    """
    SETS[name].fetch()


def public_status() -> list[tuple[str, str, Path]]:
    """State of each public set: (name, 'here' | 'damaged' | 'absent', where it is or belongs)."""
    return [(name, *source.status()) for name, source in SETS.items()]
