"""What the recipes of the tiny twins share: a schedule of learning rates, chance in the images, and how a net is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import twin_nets
from labkit.preparation import Preparation
from labkit.sets import Images, batches

TOYBOX_SEED = 2020  # of the training images


class Trained(NamedTuple):
    """A net, its accuracies by what was measured, and notes that go into the header of its file."""

    net: nn.Module
    accuracies: dict[str, float]
    notes: Mapping[str, str] = MappingProxyType({})


def rise_and_fall(progress: float, warm: float) -> float:
    """Share of the largest learning rate at `progress`, 0..1: in the first share `warm` from 1/25 to 1, then a cosine to 0."""
    if progress < warm:
        return 0.04 + 0.96 * progress / warm
    return 0.5 + 0.5 * math.cos(math.pi * (progress - warm) / (1 - warm))


def flipped_and_cropped(x: Tensor, rng: torch.Generator, *, padding: int) -> Tensor:
    """Mirror half of the images (B, C, H, W), and shift each by up to `padding` pixels; its reflection fills the edge."""
    n, _, height, width = x.shape
    flip = torch.rand(n, generator=rng) < 0.5
    down, right = torch.randint(2 * padding + 1, (2, n), generator=rng)
    x = torch.where(flip.to(x.device).reshape(-1, 1, 1, 1), x.flip(-1), x)
    # all crops of all images as a view, (B, C, 2 padding + 1, 2 padding + 1, H, W), of which one an image is copied
    crops = F.pad(x, (padding,) * 4, mode="reflect").unfold(2, height, 1).unfold(3, width, 1)
    return crops[torch.arange(n, device=x.device), :, down.to(x.device), right.to(x.device)]


def preparation(name: str) -> Preparation:
    """What the images of a twin are prepared with."""
    twin = twin_nets.find(name)
    return Preparation(twin.size, twin.mean, twin.std)


@torch.no_grad()
def accuracy(net: nn.Module, images: Images, prepare: Callable[[Tensor], Tensor]) -> float:
    """Share, 0..1, of images that the net, in eval mode for as long, puts into the right class."""
    was_training = net.training
    net.eval()
    try:
        found = ((net(prepare(x)), y) for x, y in batches(images, batch_size=256))
        right = [getattr(out, "logits", out).argmax(1) == y for out, y in found]  # transformers: .logits
    finally:
        net.train(was_training)
    return float(torch.cat(right).float().mean())
