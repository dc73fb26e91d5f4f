"""What a net wants its images turned into."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Preparation:
    """What a net wants its images turned into: `size` pixels a side, RGB, (x - mean) / std by channel.

    Called on images (B, C, H, W), uint8 or floats in 0..1, grey (C = 1) or RGB, it gives floats (B, 3, size, size) on the
    same device. Images of another size are resized whole, without a crop, by antialiased bilinear interpolation; such as are
    not square are squeezed. Gradients pass through. `cache_key` is a text that two preparations share only if they are equal.

    Raises:
        ValueError: on images of another shape or of other integers than uint8.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def cache_key(self) -> str:
        """Part of the key under which features of prepared images are kept."""
        return f"bilinear, antialiased, to {self.size}; mean {self.mean}; std {self.std}"

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 1 | 3, H, W) -> (B, 3, size, size), normalised."""
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise ValueError(
                f"images of shape {tuple(x.shape)}: give a batch (B, C, H, W) with C = 1 or 3; one image as x[None]"
            )
        if not x.is_floating_point():
            if x.dtype != torch.uint8:
                raise ValueError(f"images of type {x.dtype}: give uint8 in 0..255, or floats in 0..1")
            x = x.float() / 255
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        mean, std = (torch.tensor(each, dtype=x.dtype, device=x.device).reshape(-1, 1, 1) for each in (self.mean, self.std))
        return (x - mean) / std  # a grey channel becomes three here
