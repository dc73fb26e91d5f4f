"""Checks of lab 02: the most probable classes of each image, with logits that are made from known probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, judge, run_cases, takes, unchanged
from labkit.check.nets import undisturbed
from labkit.check.vit.small import apply

#: Of four images the classes, the most probable first, and their probabilities; every row sums to 1
_ORDER = torch.tensor([[3, 0, 5, 1, 4, 2], [0, 4, 2, 5, 3, 1], [5, 2, 1, 3, 0, 4], [2, 3, 4, 0, 1, 5]])
_CHANCES = torch.tensor(
    [[46, 21, 15, 10, 5, 3], [35, 30, 16, 11, 6, 2], [62, 14, 12, 7, 4, 1], [28, 25, 20, 13, 9, 5]], dtype=F64
).div(100)  # fmt: skip
_ROWS = "row i belongs to image i alone"


def top_k(function: Callable[..., Any]) -> None:
    """Check `top_k(logits, k)`: -> classes int64 (B, k) and probabilities (B, k), from logits made of known ones."""

    def logits(images: list[int]) -> Tensor:
        """The logarithm of each probability, with another number added to each row."""
        placed = torch.empty(len(images), 6, dtype=F64).scatter(1, _ORDER[images], _CHANCES[images])
        return placed.log() + torch.tensor([2.0, -1.0, 4.0, 0.5], dtype=F64)[images, None]

    def pair(f: Callable[..., Any], scores: Tensor, k: int) -> dict[str, Any]:
        takes(f, "logits", "k")
        out = apply(f, scores.clone(), k, hints={
            "selected index k out of range": "topk looks for k images, not k classes: those are dimension 1"})  # fmt: skip
        if not isinstance(out, tuple | list) or len(out) != 2:
            got = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            raise Mistake("a pair: classes and probabilities", got,
                          "the function has no return statement" if out is None else "return both")  # fmt: skip
        return {"classes": out[0], "probabilities": out[1]}

    def best(table: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest of each row, by Python's own sorting."""
        order = [sorted(range(len(row)), key=row.__getitem__, reverse=True)[:k] for row in table.tolist()]
        return torch.tensor(order), torch.stack([row[places] for row, places in zip(table, order, strict=True)])

    def known(images: list[int], k: int) -> dict[str, tuple[Tensor, Tensor]]:
        """What well-known mistakes give."""
        z, order, chances = logits(images), _ORDER[images], _CHANCES[images]
        first, share = order[:, :k], chances[:, :k]
        table = torch.empty_like(z).scatter(1, order, chances)
        powers = z.exp()
        over_images = powers / powers.sum(0)
        by_number = first.sort(1).values
        another = f"these are the classes of another image: {_ROWS}"
        few = best(table.T, min(k, len(images)))
        down = "topk ran over the images, dimension 0: classes are dimension 1"

        def at(values: Tensor, where: Tensor = first) -> Tensor:
            return values.gather(1, where)

        return {
            "the pair is swapped, as topk gives it: classes come first": (share, first),
            another: (first.roll(1, 0), share.roll(1, 0)),
            f"{another}, here of the next": (first.roll(-1, 0), share.roll(-1, 0)),
            f"{another}; the probabilities are right": (first.roll(1, 0), share),
            f"{another}, the next; the probabilities are right": (first.roll(-1, 0), share),
            f"images are in reverse: {_ROWS}": (first.flip(0), share.flip(0)),
            f"all images were given the first one's classes: {_ROWS}": (first[:1].expand_as(first), share[:1].expand_as(share)),
            f"all images were given the first one's classes, with their own probabilities: {_ROWS}":
                (first[:1].expand_as(first), at(table, first[:1].expand_as(first))),
            "softmax over the images, dimension 0: it is over classes, dimension 1": best(over_images, k),
            "softmax over the images, dimension 0, for classes that are right: it is over classes, dimension 1":
                (first, at(over_images)),
            "softmax over the whole table: each image has probabilities of its own": (first, at(powers / powers.sum())),
            down: (few[0].T, few[1].T),
            f"{down}, and images are the columns": few,
            "the least probable come first: the most probable are asked for": (order.flip(1)[:, :k], chances.flip(1)[:, :k]),
            "these are the k most probable, but from the least of them: the most probable comes first":
                (first.flip(1), share.flip(1)),
            "these are the k most probable, in the order of their numbers: the most probable comes first":
                (by_number, at(table, by_number)),
            "these are logits: softmax makes probabilities of them": (first, at(z)),
            "this is exp of the logits: divide by its sum over classes": (first, at(powers)),
            "these are logarithms: probabilities are softmax, not log_softmax": (first, share.log()),
            "the k were scaled to add up to 1: softmax is over all classes, before k of them are taken":
                (first, share / share.sum(1, keepdim=True)),
            "this is sigmoid, of each class on its own: softmax": (first, at(z.sigmoid())),
            "these are per cent: probabilities are 0..1": (first, 100 * share),
            "this is the most probable class alone: k of them are asked for": (order[:, 0], chances[:, 0]),
            "this is the most probable class alone: k of them are asked for!": (order[:, :1], chances[:, :1]),
            "these are all classes: k of them are asked for": (order, chances),
            "images are the columns: (B, k), one row an image": (first.T, share.T),
            "a dimension of 1 is lost: (B, k) without squeeze()": (first.squeeze(), share.squeeze())}  # fmt: skip

    def chosen(f: Callable[..., Any], images: list[int], k: int) -> None:
        got = pair(f, logits(images), k)
        judge(got, {"classes": _ORDER[images, :k], "probabilities": _CHANCES[images, :k]}, lambda: known(images, k))

    def integers(f: Callable[..., Any]) -> None:
        found = pair(f, logits([1, 2]), 2)["classes"]
        if getattr(found, "dtype", None) not in (torch.int64, np.dtype("int64")):
            raise Mistake("classes of dtype int64", f"{getattr(found, 'dtype', type(found).__name__)}",
                          "classes are numbers of columns, as topk or argsort give them")  # fmt: skip

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "logits", "k")
        unchanged(lambda z: f(z, 3), logits([0, 1, 2, 3]), what="logits")

    with undisturbed():
        run_cases(
            "top_k",
            function,
            [
                Case("four images of six classes, k = 3", lambda f: chosen(f, [0, 1, 2, 3], 3)),
                Case("the same images in another order, k = 2", lambda f: chosen(f, [2, 0, 3, 1], 2)),
                Case("two images, all six classes", lambda f: chosen(f, [3, 1], 6)),
                Case("three images, k = 1", lambda f: chosen(f, [1, 2, 0], 1)),
                Case("a batch of one image", lambda f: chosen(f, [2], 4)),
                Case("the dtype of the classes", integers),
                Case("logits stay as they are", left_alone),
            ],
            reread="section 1, on logits, softmax and the top-k table: which dimension are classes, and whose row is whose",
        )
