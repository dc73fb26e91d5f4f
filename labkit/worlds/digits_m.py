"""The handwritten digits over coloured textures: a target domain for `digits`, made as MNIST-M is made from MNIST."""

from __future__ import annotations

import torch

from labkit.sets import Images
from labkit.worlds.digits import digits
from labkit.worlds.textures import textures

SEEDS = {"train": 815, "test": 1409}  # of the textures: no test digit lies on a texture seen in training


def digits_m(split: str, *, size: int = 8, background: tuple[float, float] = (0.25, 0.5)) -> Images:
    """Load one split of `digits` blended with a texture each: |patch - digit| by channel, same order, same labels.

    Pixels are uint8 (N, 3, size, size). As in MNIST-M, where every pixel that is not black counts as ink, a stroke is
    the patch inverted; a pixel is ink here if it is at least mid-grey, since scans of 8 x 8 pixels would run into blots.
    `patch` is a texture in 0..1 spread over `background` = (low, high), which is the knob for the domain gap: (0, 0)
    gives the bare strokes, and the wider the range, the larger the gap, since beside bright strokes on dark patches
    dark strokes on bright ones then occur. (0.5, 1) has the dark ones alone.

    Raises:
        ValueError: size is below 8, or background is not a range within 0..1.
    Source: the recipe is that of MNIST-M, Ganin and Lempitsky 2015, arXiv:1409.7495.
    """
    if size < 8:
        raise ValueError(f"digits_m: size is {size}, but the digits are scans of 8 x 8 pixels: use 8 or more")
    ends = tuple(background)
    if len(ends) != 2 or not 0 <= ends[0] <= ends[1] <= 1:
        raise ValueError(f"digits_m: background is {background}, expected (low, high) with 0 <= low <= high <= 1")
    source = digits(split, size=size)
    low, high = ends
    ink = (source.floats() >= 0.5).float()
    patches = low + (high - low) * textures(len(source), size=size, seed=SEEDS[split])
    return Images(
        pixels=((patches - ink).abs() * 255).round().to(torch.uint8),
        labels=source.labels,
        class_names=source.class_names,
        name="digits_m",
        split=split,
        provenance=f"{source.provenance}, blended with rendered textures",
    )
