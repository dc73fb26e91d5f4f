"""Which classes a drawn world draws, and which of its pictures are drawn together."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def drawn_labels(world: str, n: int, labels: Tensor | None, classes: int, rng: torch.Generator) -> Tensor:
    """The labels given, once checked, or else all classes equally often in random order, int64 (n,).

    Raises:
        ValueError: labels are not int64 (n,) within 0..classes-1; the message begins with `world`.
    """
    if labels is None:
        return (torch.arange(n) % classes)[torch.randperm(n, generator=rng)]
    if labels.dtype != torch.int64 or labels.shape != (n,):
        raise ValueError(f"{world}: labels are {labels.dtype} {tuple(labels.shape)}, expected torch.int64 ({n},)")
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        low, high = int(labels.min()), int(labels.max())
        raise ValueError(f"{world}: labels run from {low} to {high}, expected numbers in 0..{classes - 1}")
    return labels


def drawn_together(codes: Tensor, *, at_most: int) -> Iterator[tuple[int, Tensor]]:
    """Each code of (n,) with the numbers of its pictures, at most so many at a time."""
    for code in codes.unique().tolist():
        for rows in (codes == code).nonzero().squeeze(1).split(at_most):
            yield code, rows
