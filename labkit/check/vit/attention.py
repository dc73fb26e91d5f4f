"""Checks of lab 02: what the class token reads, with weights of attention that are made from a known map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Case, draw, judge, run_cases, takes, unchanged
from labkit.check.nets import undisturbed
from labkit.check.vit.small import apply, reading

_ONE = "1 stands for as much as on average"
_HINTS = {
    "is invalid for input of size": "the grid has as many places a side as the root of P, the number of patches, which is the "
    "number of tokens less 1: the class token is none of them, and P differs from net to net",
    "Input and output must have the same number of spatial dimensions": "F.interpolate wants (B, channels, H, W): give the "
    "grid one channel",
    "Got 3D input, but bilinear mode needs 4D input": "F.interpolate wants (B, channels, H, W): give the grid one channel",
    "must have the same dtype": "the weights are float64 here: make new tensors like them, with their dtype",
}  # fmt: skip


def attention_map(function: Callable[..., Any]) -> None:
    """Check `attention_map(attention, size)`: -> (B, size, size), from weights of attention made of a known map."""

    def grids(n: int, side: int) -> Tensor:
        """Maps (n, side, side) whose mean is 1."""
        values = draw(n, side * side, seed=10 * side + n).exp() + 0.1
        return (values * side**2 / values.sum(1, keepdim=True)).view(n, side, side)

    def weights(grid: Tensor, heads: int = 3) -> Tensor:
        """Rows of attention whose class token reads from the patches as the map says, on average over heads that differ."""
        n, places = len(grid), grid[0].numel()
        own = torch.linspace(0.5, 0.2, n, dtype=F64)[:, None]  # what the class token reads from itself
        row = torch.cat([own, (1 - own) * grid.flatten(1) / places], 1)
        sway = torch.where(draw(n, places + 1, seed=5) > 0, 0.4, -0.2)
        sway = row * (sway - (row * sway).sum(1, keepdim=True))  # adds up to 0
        rest = reading(n, heads, 1 + places, 1 + places, seed=6)
        rest[:, :, 0] = torch.stack([row + sign * sway for sign in (1, 0.5, -1.5)[:heads]], 1) if heads > 1 else row[:, None]
        return rest

    def hats(side: int, size: int, *, corners: bool = False) -> Tensor:
        """Shares (size, side) of the places in each pixel: those next to it, the nearer the more."""
        pixels, places = torch.arange(size, dtype=F64), torch.arange(side, dtype=F64)
        at = pixels * (side - 1) / max(size - 1, 1) if corners else (pixels + 0.5) * side / size - 0.5
        return (1 - (at.clamp(0, side - 1)[:, None] - places).abs()).clamp(min=0)

    def enlarged(grid: Tensor, size: int, *, corners: bool = False) -> Tensor:
        spread = hats(grid.shape[1], size, corners=corners)
        return torch.stack([spread @ one @ spread.T for one in grid])

    def known(grid: Tensor, a: Tensor, size: int) -> dict[str, tuple[Tensor]]:
        """What well-known mistakes give."""
        n, side = len(grid), grid.shape[1]
        right, places = enlarged(grid, size), side * side
        own = a[:, :, 0, 0].mean(1)  # (B,)
        read = grid * ((1 - own) / places).view(-1, 1, 1)  # as it is read, not yet divided
        low, high = grid.amin((1, 2), keepdim=True), grid.amax((1, 2), keepdim=True)
        big = enlarged(read, size)

        def even(rows: Tensor) -> Tensor:
            """Rows (B, P) or sums of them, relative to their mean, enlarged."""
            return enlarged((rows * places / rows.sum(1, keepdim=True)).reshape(-1, side, side), size)

        total = a.sum(1)  # (B, 1 + P, 1 + P)
        heads = a[:, :, 0, 1:]
        each = heads / heads.mean(2, keepdim=True)
        softer = read.flatten(1).exp()
        nearest = (torch.arange(size) * side).div(size, rounding_mode="floor")
        rows = {
            "this is the column of the class token, what others read from it: row 0 says what it reads": total[:, 1:, 0],
            "this is the first head alone: take the mean over heads": heads[:, 0],
            "this is the last head alone: take the mean over heads": heads[:, -1],
            "this is the largest head at each place: take the mean over heads": heads.amax(1),
            "this is the smallest head at each place: take the mean over heads": heads.amin(1),
            "what the class token reads from itself was kept as the first place, and the last patch is lost: patches begin "
            "at token 1": total[:, 0, :-1],
            "this is what the last patch reads: the class token is token 0": total[:, -1, 1:],
            "this is what the first patch reads: the class token is token 0": total[:, 1, 1:],
            "this is the mean over what all tokens read: take the row of the class token, token 0": total.sum(1)[:, 1:],
            "this is the mean over what all patches read: take the row of the class token": total[:, 1:].sum(1)[:, 1:],
            "each head was divided by its own mean: first the mean over heads": each.sum(1),
            "softmax once more: the weights are behind a softmax already": softer}  # fmt: skip
        found = {
            f"not divided by its mean: {_ONE}": big,
            f"not divided by its mean, and heads were added up: {_ONE}": a.shape[1] * big,
            f"divided by the mean over all tokens, with what the class token reads from itself: {_ONE} over the patches":
                big * (places + 1),
            f"multiplied by P, as if the patches got all of it: the class token reads from itself too, and {_ONE}":
                big * places,
            f"the sum over patches was made 1: {_ONE}": right / places,
            f"divided by its largest value: {_ONE}": enlarged(grid / high, size),
            f"divided by its largest value after enlarging: {_ONE}": right / right.amax((1, 2), keepdim=True),
            f"stretched to 0..1: {_ONE}": enlarged((grid - low) / (high - low), size),
            f"stretched to 0..1 after enlarging: {_ONE}":
                (right - right.amin((1, 2), True)) / (right.amax((1, 2), True) - right.amin((1, 2), True)),
            "divided by the mean over the whole batch: each image has its own": big / read.mean(),
            "divided by the mean of the enlarged map: the mean is over the patches, before": right / right.mean((1, 2), True),
            "the mean was subtracted: divide by it": big - read.mean((1, 2), True),
            "the grid is transposed: patches lie row by row": right.transpose(1, 2),
            "enlarged with mode nearest: bilinear": grid[:, nearest][:, :, nearest],
            "enlarged with align_corners=True: False": enlarged(grid, size, corners=True),
            "the map is as small as the grid: enlarge it to `size`": grid,
            "the channel of F.interpolate is still there: (B, size, size)": right[:, None],
            "the batch dimension is lost: without squeeze() it is (1, size, size)": right.squeeze(0),
            "this is the map of the first image alone: each has its own": right[0],
            "all images were given the map of the first": right[:1].expand_as(right),
            "the maps of all images were averaged": right.mean(0)}  # fmt: skip
        found = {**{cause: even(row) for cause, row in rows.items()}, **found}
        found["softmax once more, and not divided by the mean"] = enlarged(
            (softer / softer.sum(1, keepdim=True)).view(n, side, side), size
        )
        return {cause: (value,) for cause, value in found.items()}

    def mapped(f: Callable[..., Any], n: int, side: int, size: int, heads: int = 3) -> None:
        takes(f, "attention", "size")
        grid = grids(n, side)
        a = weights(grid, heads)
        out = apply(f, a.clone(), size, hints=_HINTS)
        judge({"map": out}, {"map": enlarged(grid, size)}, lambda: known(grid, a, size))

    def even(f: Callable[..., Any]) -> None:
        """Whatever the class token reads from itself, equal patches give a map of ones."""
        takes(f, "attention", "size")
        grid = torch.ones(2, 3, 3, dtype=F64)
        a = weights(grid)
        a[:, :, 0, 1:] = a[:, :, 0, 1:].mean((1, 2), keepdim=True)
        out = apply(f, a.clone(), 6, hints=_HINTS)
        judge({"map": out}, {"map": torch.ones(2, 6, 6)}, lambda: known(grid, a, 6))

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "attention", "size")
        unchanged(lambda a: f(a, 6), weights(grids(2, 3)), what="attention")

    with undisturbed():
        run_cases(
            "attention_map",
            function,
            [
                Case("three images of 3 x 3 patches, enlarged to 12 pixels", lambda f: mapped(f, 3, 3, 12)),
                Case("two images of 3 x 3 patches, enlarged to 10 pixels", lambda f: mapped(f, 2, 3, 10)),
                Case("one image of 5 x 5 patches and one head", lambda f: mapped(f, 1, 5, 20, 1)),
                Case("as many pixels as patches", lambda f: mapped(f, 2, 4, 4)),
                Case("all patches are read alike", even),
                Case("the weights stay as they are", left_alone),
            ],
            reread="section 2, on what the class token reads: rows and columns, token 0, and what a 1 in the map stands for",
        )
