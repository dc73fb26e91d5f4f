"""What each layer of lab 06's small VGG puts out, in float64."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Arrays = Mapping[str, Array]


def cells(maps: Array, side: int) -> Array:
    """(B, C, H, W) -> (B, C, side, side), averages. Cell i of n pixels goes from i n / side, down, to (i + 1) n / side, up."""

    def averages(x: Array) -> Array:
        n = x.shape[-1]
        return np.stack([x[..., i * n // side : -(-(i + 1) * n // side)].mean(-1) for i in range(side)], axis=-1)

    def across(x: Array) -> Array:
        return averages(x).swapaxes(-1, -2)

    # rows of a cell weigh alike in each column, so that averaging one way, then the other, is averaging over the cell
    return across(across(maps))


def _convolved(x: Array, w: Array, b: Array) -> Array:
    windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(2, 3))
    return np.einsum("bchwij,ocij->bohw", windows, w) + b[:, None, None]


def _normed(x: Array, norm: Array, *, by_batch: bool) -> Array:
    weight, bias, mean, var = norm[:, :, None, None]
    if by_batch:
        mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def layers(x: Array, weights: Arrays, training: Collection[str] = ()) -> dict[str, Array]:
    """Outputs for images (B, 3, H, W), without dropout. training: batch norms that take the batch's statistics."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    found = {"features.1": _convolved(x.astype(np.float64), w["w1"], w["b1"])}
    found["features.2"] = _normed(found["features.1"], w["n1"], by_batch="features.2" in training)
    relu = found["features.3"] = np.maximum(found["features.2"], 0)
    pooled = found["features.4"] = sliding_window_view(relu, (2, 2), axis=(2, 3))[:, :, ::2, ::2].max((-1, -2))
    found["features.5"] = _convolved(pooled, w["w2"], w["b2"])
    found["features.6"] = _normed(found["features.5"], w["n2"], by_batch="features.6" in training)
    z = cells(np.maximum(found["features.6"], 0), 2).reshape(len(x), -1)
    for layer, number in ((0, 6), (3, 7), (6, 8)):
        z = found[f"classifier.{layer}"] = z @ w[f"w{number}"].T + w[f"b{number}"]
        z = found[f"classifier.{layer + 1}"] = np.maximum(z, 0)
    return found
