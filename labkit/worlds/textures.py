"""Coloured texture patches rendered from a seed: a stand-in for random crops of photos."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GRIDS = (2, 3, 5, 9, 17, 33)  # control points a side, one grid an octave
BATCH = 256  # patches rendered at once: what is computed stays in the processor's cache


def textures(n: int, *, size: int, seed: int) -> Tensor:
    """Render n patches, floats (n, 3, size, size) in 0..1; the same seed gives the same patches.

    Each patch holds two surfaces, which differ in colour and are clouded by noise of several octaves whose amplitude
    falls with the frequency, as the spectrum of photos does. A soft mask lays one over the other: a straight or curved
    edge, stripes, blobs, or clouds that hardly part.

    Raises:
        ValueError: n or size is below 1.
    """
    if n < 1 or size < 1:
        raise ValueError(f"textures(n={n}, size={size}): both must be at least 1")
    rng = torch.Generator().manual_seed(seed)
    out = torch.empty(n, 3, size, size)
    for first in range(0, n, BATCH):
        part = out[first : first + BATCH]
        mask = _masks(len(part), size, rng)
        under, over = _surfaces(len(part), size, rng)
        part.copy_((under + (over - under) * mask).clamp_(0, 1))
    return out


def _uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=rng)


def _spline(size: int, grid: int) -> Tensor:
    """Weights (size, grid + 2) of cubic B-splines: they turn grid + 2 control points into `size` smooth values."""
    at = torch.linspace(0, grid - 1, size).unsqueeze(1) - torch.arange(-1, grid + 1)
    far = at.abs()
    inside, outside = (4 - 6 * far**2 + 3 * far**3) / 6, (2 - far).clamp(min=0) ** 3 / 6
    return torch.where(far < 1, inside, outside)


def _clouds(n: int, layers: int, size: int, rng: torch.Generator) -> Tensor:
    """Smooth noise (n, layers, size, size) of unit scale; how rough it is differs from patch to patch."""
    falloff = _uniform(rng, 0.4, 1.05, n, 1, 1, 1)
    splines = [_spline(size, grid) for grid in GRIDS if grid <= size + 1]
    scales = torch.stack([falloff**octave for octave in range(len(splines))])
    scales /= 0.5 * scales.square().sum(0).sqrt()  # 0.5: what a spline leaves of its control points' standard deviation
    field = torch.zeros(n, layers, size, size)
    for scale, spline in zip(scales, splines, strict=True):
        points = torch.randn(n, layers, spline.shape[1], spline.shape[1], generator=rng)
        field += spline @ (points * scale) @ spline.T
    return field


def _surfaces(n: int, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two coloured surfaces a patch, each (n, 3, size, size), values about 0..1."""
    light = _clouds(n, 2, size, rng).unsqueeze(2)
    tint = _clouds(n, 3, size, rng).unsqueeze(1)
    base = _colours(2 * n, rng).reshape(n, 2, 3, 1, 1)
    # the second surface is another shade of the first in a third of the patches
    kin = (torch.rand(n, 1, 1, 1, generator=rng) < 0.35).float()
    base[:, 1] = kin * (base[:, 0] + _uniform(rng, -0.35, 0.35, n, 1, 1, 1)) + (1 - kin) * base[:, 1]
    contrast = _uniform(rng, 0.03, 0.3, n, 2, 1, 1, 1)
    colour = base * (1 + contrast * light) + contrast * (0.35 * light + 0.3 * tint)
    return colour[:, 0], colour[:, 1]


def _colours(n: int, rng: torch.Generator) -> Tensor:
    """Colours (n, 3): any hue, mostly muted, dark to bright."""
    hue, value = torch.rand(n, 1, generator=rng), _uniform(rng, 0.12, 1.0, n, 1)
    saturation = torch.rand(n, 1, generator=rng) ** 1.3
    wheel = (0.5 + 0.5 * torch.cos(2 * math.pi * (hue - torch.arange(3) / 3))) ** 0.8
    return value * (1 - saturation * (1 - wheel))


def _masks(n: int, size: int, rng: torch.Generator) -> Tensor:
    """Soft masks (n, 1, size, size), each of one of four kinds."""
    axis = torch.linspace(-1, 1, size)
    angle = _uniform(rng, 0, 2 * math.pi, n, 1, 1)
    across = torch.cos(angle) * axis + torch.sin(angle) * axis.unsqueeze(1)
    along = torch.cos(angle) * axis.unsqueeze(1) - torch.sin(angle) * axis
    warp, blob = _clouds(n, 2, size, rng).unbind(1)
    edge = across + _uniform(rng, -0.5, 0.5, n, 1, 1) + _uniform(rng, -0.6, 0.6, n, 1, 1) * along**2 + 0.08 * warp
    waves = _uniform(rng, 1.0, 3.5, n, 1, 1) * math.pi * (across + 0.07 * warp)
    stripes = torch.sin(waves + _uniform(rng, 0, 2 * math.pi, n, 1, 1))
    kinds = torch.stack([edge, 0.5 * stripes, 0.8 * blob - _uniform(rng, -0.5, 0.5, n, 1, 1), 0.3 * warp], dim=1)
    sharpness = torch.stack([_uniform(rng, low, high, n) for low, high in ((8, 60), (3, 20), (3, 20), (1, 3))], dim=1)
    kind = torch.multinomial(torch.tensor([0.3, 0.15, 0.3, 0.25]), n, replacement=True, generator=rng)
    every = torch.arange(n)
    return torch.sigmoid(kinds[every, kind] * sharpness[every, kind].reshape(-1, 1, 1)).unsqueeze(1)
