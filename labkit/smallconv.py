"""Convolutions of very small images as one matrix product: the layers of torch, faster on a CPU when nets are stacked."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` for square images and kernels: the same parameters and results (up to rounding), other arithmetic.

    The kernel is spread out to a matrix (C * H * W, C' * H' * W'), which pays while that is small: about 1.5x faster for
    stacks of nets on images of 8 pixels a side, slower from 16 on (measured on two CPU cores).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, H) -> (B, C', H', H').

        Raises:
            ValueError: x is not (B, C, H, W), images or kernel are not square, or the layer has groups, dilation or padding
                other than zeros.
        """
        _plain(self, x)
        channels, side = self.in_channels, x.shape[-1]
        taps, out = _taps(side, self.kernel_size[0], self.stride[0], int(self.padding[0]), x.dtype, x.device)
        spread = (self.weight.flatten(2) @ taps.flatten(1)).reshape(self.out_channels, channels * side**2, out**2)
        y = x.flatten(1) @ spread.transpose(0, 1).reshape(channels * side**2, self.out_channels * out**2)
        y = y.reshape(-1, self.out_channels, out, out)
        return y if self.bias is None else y + self.bias[:, None, None]


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` for square images and kernels, as `Conv2d` above."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C, H, H) -> (B, C', H', H').

        Raises:
            ValueError: as `Conv2d.forward`, or an output size or padding is asked for.
        """
        _plain(self, x)
        if output_size is not None or any(self.output_padding):
            raise ValueError("smallconv.ConvTranspose2d takes no output size or output padding: use nn.ConvTranspose2d")
        kernel, stride, padding, side = self.kernel_size[0], self.stride[0], int(self.padding[0]), x.shape[-1]
        out = (side - 1) * stride - 2 * padding + kernel
        taps, _ = _taps(out, kernel, stride, padding, x.dtype, x.device)  # of the convolution that this one transposes
        spread = (self.weight.flatten(2) @ taps.flatten(1)).reshape(self.in_channels, self.out_channels * out**2, side**2)
        y = x.flatten(1) @ spread.transpose(1, 2).reshape(self.in_channels * side**2, self.out_channels * out**2)
        y = y.reshape(-1, self.out_channels, out, out)
        return y if self.bias is None else y + self.bias[:, None, None]


def _plain(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> None:
    if x.ndim != 4:
        raise ValueError(f"smallconv: an input of shape {tuple(x.shape)}: give images (B, C, H, W), one as x[None]")
    pairs = (layer.kernel_size, layer.stride, layer.padding, x.shape[-2:])
    square = all(not isinstance(pair, str) and len(set(pair)) == 1 for pair in pairs)
    if not square or layer.groups != 1 or set(layer.dilation) != {1} or layer.padding_mode != "zeros":
        raise ValueError(
            f"smallconv: {layer} on images {tuple(x.shape[-2:])}: only square images and kernels with zero padding, "
            "without groups or dilation; use torch.nn for others"
        )


@lru_cache
def _taps(side: int, kernel: int, stride: int, padding: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, int]:
    """Which pixel meets which tap of the kernel at which place, 0 or 1, (kernel**2, side**2, out**2); and out."""
    out = (side + 2 * padding - kernel) // stride + 1
    with torch.inference_mode(False):  # what is kept from a call under inference_mode must not spoil a later backward
        pixels = torch.eye(side * side).reshape(-1, 1, side, side)
        columns = nn.functional.unfold(pixels, kernel, padding=padding, stride=stride)  # (side**2, kernel**2, out**2)
        return columns.transpose(0, 1).contiguous().to(device, dtype), out
