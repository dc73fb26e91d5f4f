"""Checks of lab 07: deletion curves, with maps whose order is known since they are made from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, run_cases, takes
from labkit.check.nets import undisturbed
from labkit.check.saliency.left import leaves_all
from labkit.check.saliency.small import SHAPE, Cubic, apply, images, judge, pick

_SHARES = (0.5, 0.11, 0.0, 0.98, 0.19, 0.33, 1.0)  # not in rising order
_COUNTS = (10, 2, 0, 20, 4, 7, 20)  # of 20 pixels
_RANK = "argsort says which pixel comes first; the rank of each pixel is the argsort of that"


def deletion_curve(function: Callable[..., Any]) -> None:
    """Check `deletion_curve(net, x, y, maps, shares, fill)`: -> (len(shares), B), with maps made from a known order."""
    values = torch.linspace(1, -1, 20, dtype=F64).pow(3) - 0.1  # from the highest to the lowest, in uneven steps

    def problem(n: int = 3) -> tuple[dict[str, Tensor], Tensor]:
        """x, y, maps and fill, and the order of the pixels of each map, from the highest."""
        order = torch.stack([torch.randperm(20, generator=torch.Generator().manual_seed(20 + i)) for i in range(n)])
        maps = torch.empty(n, 20, dtype=F64)
        for row, places in zip(maps, order, strict=True):
            row[places] = values
        given = {"x": images(n, 21), "y": torch.tensor([3, 0, 2][:n]), "maps": maps.view(n, *SHAPE[1:])}
        return {**given, "fill": images(n, 22, 0.2, 0.9)}, order

    def run(f: Callable[..., Any], given: dict[str, Tensor], shares: Sequence[float] = _SHARES) -> Any:
        takes(f, "net", "x", "y", "maps", "shares", "fill")
        copies = {name: tensor.clone() for name, tensor in given.items()}
        return apply(f, Cubic(), copies["x"], copies["y"], copies["maps"], list(shares), copies["fill"])

    def masks(order: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Masks (B, 20) that are 1 at the first places of the order."""
        return [torch.zeros(order.shape, dtype=F64).scatter(1, order[:, :n], 1.0) for n in counts]

    def logits(given: dict[str, Tensor], gone: list[Tensor], channels: Sequence[int] = (1, 1, 1)) -> list[Tensor]:
        x, fill, net = given["x"], given["fill"], Cubic()
        which = torch.tensor(channels, dtype=F64).view(3, 1, 1)
        spots = [mask.view(len(x), 1, *SHAPE[1:]) * which for mask in gone]
        return [net.scores(x * (1 - spot) + fill * spot) for spot in spots]

    def chances(given: dict[str, Tensor], gone: list[Tensor], channels: Sequence[int] = (1, 1, 1)) -> Tensor:
        """Rows of probabilities of classes y."""
        found = [pick(s.exp() / s.exp().sum(1, keepdim=True), given["y"]) for s in logits(given, gone, channels)]
        return torch.cat(found).view(len(gone), -1)

    def swapped(order: Tensor) -> tuple[Tensor, Tensor]:
        """The order as if pixels were counted down the columns: written so, and read so."""
        height, width = SHAPE[1:]
        return order % width * height + order // width, order % height * width + order // height

    def known(given: dict[str, Tensor], order: Tensor) -> dict[str, Tensor]:
        y, maps = given["y"], given["maps"].flatten(1)
        gone = masks(order, _COUNTS)
        right = chances(given, gone)
        top, low = maps.amax(1, keepdim=True), maps.amin(1, keepdim=True)
        after = logits(given, gone)
        by_size = values.abs().sort(descending=True).indices
        ways = [([(maps > edge(share)).to(F64) for share in _SHARES], "a threshold on the map's values: the share is of the "
                 "number of pixels, whatever their values") for edge in (
                     lambda share: share * top, lambda share: (1 - share) * top, lambda share: top - share * (top - low),
                     lambda share: low + share * (top - low))]  # fmt: skip
        columns = "pixels are counted along the rows by flatten, and have to be put back so: height first, then width"
        found = {
            "the lowest values were deleted first: the highest come first": chances(given, masks(order.flip(1), _COUNTS)),
            "the highest values were kept and all others deleted, as if x and fill were swapped: an insertion curve":
                chances(given, [1 - mask for mask in gone]),
            "the share was kept rather than deleted": chances(given, masks(order, [20 - n for n in _COUNTS])),
            "the first map's order was used for all images: each has its own":
                chances(given, masks(order[:1].expand_as(order), _COUNTS)),
            columns: chances(given, masks(swapped(order)[0], _COUNTS)),
            f"{columns}, not in columns": chances(given, masks(swapped(order)[1], _COUNTS)),
            "each share went on from the result of the one before: start from x each time":
                chances(given, masks(order, [max(_COUNTS[: i + 1]) for i in range(len(_COUNTS))])),
            f"one argsort, and its entries were taken for ranks: {_RANK}":
                chances(given, [(order < n).to(F64) for n in _COUNTS]),
            f"one argsort, from the lowest, and its entries were taken for ranks: {_RANK}":
                chances(given, [(order.flip(1) < n).to(F64) for n in _COUNTS]),
            "the values' sizes were ranked: the highest value comes first, and those below 0 last":
                chances(given, masks(order[:, by_size], _COUNTS)),
            "the number of pixels was rounded down: use round": chances(given, masks(order, (10, 2, 0, 19, 3, 6, 20))),
            "the number of pixels was rounded up: use round": chances(given, masks(order, (10, 3, 0, 20, 4, 7, 20))),
            "one pixel too many: ranks begin at 0, so that those below n are n pixels":
                chances(given, masks(order, [n + 1 for n in _COUNTS])),
            "one pixel too few": chances(given, masks(order, [max(n - 1, 0) for n in _COUNTS])),
            "these are logits: softmax makes probabilities of them": torch.cat([pick(s, y) for s in after]).view_as(right),
            "this is the logarithm of the probability": right.log(),
            "this is the probability of the class that is highest: follow class y":
                torch.cat([s.softmax(1).amax(1) for s in after]).view_as(right),
            "this is the probability of the class that is highest for x: follow class y":
                chances({**given, "y": after[2].max(1).indices}, gone),
            "this is the probability of class 0: follow class y": chances({**given, "y": torch.zeros_like(y)}, gone),
            "all images were given the class of the first": chances({**given, "y": y[:1].expand_as(y)}, gone),
            "softmax over the images, dimension 0: it is over classes, dimension 1":
                torch.cat([pick(s.softmax(0), y) for s in after]).view_as(right),
            "deleted pixels were set to 0: they are replaced by those of fill":
                chances({**given, "fill": torch.zeros_like(given["x"])}, gone),
            "fill was averaged: each pixel has its own":
                chances({**given, "fill": given["fill"].mean((2, 3), True).expand_as(given["x"])}, gone),
            "the first image's fill was used for all":
                chances({**given, "fill": given["fill"][:1].expand_as(given["x"])}, gone),
            "only one channel was replaced: delete in all three": chances(given, gone, (1, 0, 0)),
            "only the last channel was replaced: delete in all three": chances(given, gone, (0, 0, 1)),
            "this is what the probability has lost: return the probability": right[2] - right,
            "this is relative to the probability before: return the probability": right / right[2],
            "shares are the rows: (len(shares), B)": right.T,
            "averaged over the images: each has a curve of its own": right.mean(1),
            "averaged over the shares: each has a row of its own": right.mean(0),
            "shares were put into rising order: keep theirs": right[torch.tensor(_SHARES).sort().indices]}  # fmt: skip
        for i, (gone, cause) in enumerate(ways):
            found[cause + "!" * i] = chances(given, gone)
        return found

    def curve(f: Callable[..., Any]) -> None:
        given, order = problem()
        judge(run(f, given), chances(given, masks(order, _COUNTS)), lambda: known(given, order))

    def one(f: Callable[..., Any]) -> None:
        given, order = problem(1)
        judge(run(f, given, [0.26]), chances(given, masks(order, [5])), lambda: {})

    def steep(f: Callable[..., Any]) -> None:
        """Orders alike for all images, in which a wrong rank shows as another pixel."""
        given, _ = problem()
        for k in (0, 7, 19):
            maps = -torch.arange(20, dtype=F64).sub(k + 0.3).abs().repeat(3, 1)
            spot = torch.zeros(3, 20, dtype=F64)
            spot[:, k] = 1
            out = run(f, {**given, "maps": maps.view(3, *SHAPE[1:])}, [0.05])
            judge(out, chances(given, [spot]), lambda: {
                "nothing was deleted": chances(given, [torch.zeros(3, 20, dtype=F64)])})  # fmt: skip

    def stays(f: Callable[..., Any]) -> None:
        given, _ = problem()
        shares = list(_SHARES)
        takes(f, "net", "x", "y", "maps", "shares", "fill")

        def placed(net: Any, x: Tensor, y: Tensor, maps: Tensor, fill: Tensor) -> Any:
            return f(net, x, y, maps, shares, fill)

        leaves_all(placed, lambda: {name: tensor.clone() for name, tensor in given.items()},
                   graph="the net's parameters require gradients: torch.no_grad() around the passes")  # fmt: skip
        if shares != list(_SHARES):
            raise Mistake("the list of shares unchanged", f"{shares}", "read it in a loop rather than by sort() or pop()")

    with undisturbed():
        run_cases(
            "deletion_curve",
            function,
            [
                Case("three images, seven shares that do not rise", curve),
                Case("a batch of one image, and one share", one),
                Case("one pixel alone, the first, the eighth or the last", steep),
                Case("what came in and the gradients of the net afterwards, and no graph", stays),
            ],
            reread="section 2, on deletion curves, and the docstring: which pixels, how many, and what takes their place",
        )
