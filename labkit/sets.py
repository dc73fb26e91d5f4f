"""Sets of images: one container, one way to load, one way to iterate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Images:
    """A labelled set of images that lives in memory whole.

    pixels: uint8 (N, C, H, W), 0..255. labels: int64 (N,), each in 0..len(class_names)-1. Where the set knows them:
    masks bool (N, H, W), True on the object; captions, one string an image; attributes, name -> tensor (N,).

    Raises:
        ValueError: a shape, type or label does not fit, or floats hold NaN; the message says which.
    """

    pixels: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    name: str
    split: str
    provenance: str
    masks: Tensor | None = None
    captions: tuple[str, ...] | None = None
    attributes: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        x, y, what = self.pixels, self.labels, f"{self.name} ({self.split})"
        if x.is_floating_point():
            bad = int((~torch.isfinite(x)).sum())
            found = f"{bad} of {x.numel()} values are NaN or infinite" if bad else "the values are floats"
            raise ValueError(f"{what}: {found}; pixels must be uint8 0..255: clean them, then (x * 255).to(torch.uint8)")
        if x.dtype != torch.uint8 or x.ndim != 4:
            raise ValueError(f"{what}: pixels are {x.dtype} {tuple(x.shape)}, expected uint8 (N, C, H, W)")
        if y.shape != (len(x),):
            raise ValueError(f"{what}: {len(x)} images but labels of shape {tuple(y.shape)}")
        if y.dtype != torch.int64:
            raise ValueError(f"{what}: labels are {y.dtype}, expected torch.int64: use labels.long()")
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(self.class_names):
            raise ValueError(
                f"{what}: labels run from {int(y.min())} to {int(y.max())}, but there are {len(self.class_names)} classes"
            )
        m = self.masks
        if m is not None and (m.dtype != torch.bool or m.shape != (len(x), *x.shape[2:])):
            raise ValueError(f"{what}: masks are {m.dtype} {tuple(m.shape)}, expected bool {(len(x), *x.shape[2:])}")
        lengths = {f"attribute {key!r}": len(value) for key, value in self.attributes.items()}
        lengths["captions"] = len(x) if self.captions is None else len(self.captions)
        for part, n in lengths.items():
            if n != len(x):
                raise ValueError(f"{what}: {len(x)} images but {part} of length {n}")

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: slice | Tensor) -> Images:
        """Select by slice, index tensor or boolean mask."""
        numbers = torch.arange(len(self), device=self.pixels.device)[index]
        return replace(
            self,
            pixels=self.pixels[numbers],
            labels=self.labels[numbers],
            masks=None if self.masks is None else self.masks[numbers],
            captions=None if self.captions is None else tuple(self.captions[int(i)] for i in numbers),
            attributes={key: value[numbers] for key, value in self.attributes.items()},
        )

    def to(self, device: torch.device | str) -> Images:
        """Move the tensors to a device."""
        return replace(
            self,
            pixels=self.pixels.to(device),
            labels=self.labels.to(device),
            masks=None if self.masks is None else self.masks.to(device),
            attributes={key: value.to(device) for key, value in self.attributes.items()},
        )

    def floats(self) -> Tensor:
        """All pixels as float32 in 0..1, (N, C, H, W)."""
        return self.pixels.float() / 255

    def rgb(self) -> Images:
        """The same set in three channels: grey images with the three equal, colour ones as they are.

        Raises:
            ValueError: the images have neither one channel nor three.
        """
        channels = self.pixels.shape[1]
        if channels not in (1, 3):
            raise ValueError(f"{self.name} ({self.split}) has {channels} channels: only 1 (grey) or 3 (colour) can be RGB")
        return self if channels == 3 else replace(self, pixels=self.pixels.repeat(1, 3, 1, 1))


def load(name: str, *, split: str = "train", limit: int | None = None, seed: int = 0, **options: Any) -> Images:
    """Load a set by name: an embedded world or a public set.

    `limit` keeps a random subset, drawn from `seed`, with the classes in their proportions. Further options go to the
    set (`size` of digits, say).

    Raises:
        ValueError: unknown name, split, limit or option.
        labkit.files.OfflineError: a public set is not on this disk and may not be downloaded.
    """
    sets = _sets()
    if name not in sets:
        raise ValueError(f"dataset {name!r} is unknown: use one of {', '.join(sets)}")
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown: use 'train' or 'test'")
    itself = "limit" in signature(sets[name]).parameters  # a set so large that it draws before it decodes
    if itself:
        options |= {"limit": limit, "seed": seed}
    try:
        images = sets[name](split, **options)
    except TypeError as error:
        if "keyword argument" not in str(error):
            raise
        raise ValueError(f"dataset {name!r}: {str(error).split('()')[-1].strip()}") from None
    return images if limit is None or itself else _subset(images, limit, seed)


def _sets() -> dict[str, Callable[..., Images]]:
    from labkit import public
    from labkit.worlds.digits import digits
    from labkit.worlds.digits_m import digits_m
    from labkit.worlds.faces import faces
    from labkit.worlds.glyphs import glyphs
    from labkit.worlds.scenes import scenes
    from labkit.worlds.toybox import toybox

    embedded = (digits, digits_m, faces, glyphs, scenes, toybox)
    worlds: dict[str, Callable[..., Images]] = {world.__name__: world for world in embedded}
    return {**worlds, **{name: source.load for name, source in public.SETS.items()}}


def _subset(images: Images, limit: int, seed: int) -> Images:
    return images[subset_index(images.labels, limit, seed=seed, what=f"{images.name} ({images.split})")]


def subset_index(labels: Tensor, limit: int, *, seed: int, what: str) -> Tensor:
    """Numbers (limit,) of images drawn at random from `seed`, with the classes in their proportions.

    Raises:
        ValueError: limit is not in 1..len(labels); `what` names the set.
    """
    n = len(labels)
    if not 1 <= limit <= n:
        raise ValueError(f"limit {limit}: {what} has {n} images, ask for 1..{n}")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    # walk through the classes in proportion: sort by the rank that each image has within its own class
    labels = labels[order]
    rank = torch.empty(n)
    for label in labels.unique():
        mine = (labels == label).nonzero().squeeze(1)
        rank[mine] = (torch.arange(len(mine)) + 0.5) / len(mine)
    kept = order[rank.argsort(stable=True)[:limit]]
    return kept[torch.randperm(limit, generator=torch.Generator().manual_seed(seed + 1))]


def batches(
    images: Images,
    *,
    batch_size: int,
    generator: torch.Generator | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of (float pixels (B, C, H, W), labels (B,)) from a set that lives on its device whole.

    Pixels are 0..1, or (x - mean) / std by channel. With a generator the order is drawn anew, without one it is the
    set's. `augment` maps a float batch to a float batch on the device. The last batch may be smaller. No worker
    processes and no work on single images: move the set to the device once with `images.to(device)`.

    Raises:
        ValueError: batch_size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: it must be at least 1")
    device = images.pixels.device
    if generator is None:
        order = torch.arange(len(images), device=device)
    else:
        order = torch.randperm(len(images), generator=generator, device=generator.device).to(device)
    for index in order.split(batch_size):
        yield gather(images, index, augment=augment, mean=mean, std=std)


def gather(
    images: Images,
    index: Tensor,
    *,
    augment: Callable[[Tensor], Tensor] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> tuple[Tensor, Tensor]:
    """Pick images by an index tensor of any shape: (float pixels (*index, C, H, W), labels (*index)), as `batches` does."""
    shift, scale = _affine(images, mean, std)
    x = images.pixels[index.flatten()].to(torch.float32).mul_(scale)
    if mean is not None:
        x.add_(shift)
    if augment is not None:
        x = augment(x)
    return x.unflatten(0, index.shape), images.labels[index]


def _affine(images: Images, mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> tuple[Tensor, Tensor]:
    """Shift and scale, each (C, 1, 1), that turn bytes into normalised floats in one step."""
    channels = images.pixels.shape[1]
    m = torch.tensor(mean or (0.0,) * channels)
    s = torch.tensor(std or (1.0,) * channels)
    if len(m) != channels or len(s) != channels:
        raise ValueError(f"{images.name} has {channels} channel(s), but mean has {len(m)} and std {len(s)}")
    device = images.pixels.device
    return (-m / s).reshape(-1, 1, 1).to(device), (1 / (255 * s)).reshape(-1, 1, 1).to(device)
