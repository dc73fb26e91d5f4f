"""Checks of lab 02: attention rollout, compared with a sum over all paths from token to token."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, judge, run_cases, takes, unchanged
from labkit.check.nets import undisturbed
from labkit.check.vit.small import apply, reading

_ORDER = "what the last layer reads is a mixture that the layers before have made: the last layer's matrix stands on the left"
_HALF = "half of a token is what it was, and half what it reads"
_HINTS = {
    "'tuple' object": "a net's attentions come as a tuple: read it in a loop, rather than change it in place",
    "'list' object": "attentions is a list, one tensor a layer: take them in a loop",
    "'reversed' object": "reversed(...) can be read only once, and has no indices",
    "The size of tensor a": "the mean over heads comes first: (B, heads, 1 + P, 1 + P) -> (B, 1 + P, 1 + P)",
    "must have the same dtype": "the weights are float64 here: torch.eye takes a dtype",
    "expected m1 and m2 to have the same dtype": "the weights are float64 here: torch.eye takes a dtype",
}  # fmt: skip


def rollout(function: Callable[..., Any]) -> None:
    """Check `rollout(attentions)`: -> (B, 1 + P, 1 + P), compared with all paths from token to token."""

    def layers(n: int, depth: int, tokens: int = 5, heads: int = 2) -> list[Tensor]:
        return [reading(n, heads, tokens, tokens, seed=30 + i) for i in range(depth)]

    def paths(shares: Sequence[np.ndarray]) -> np.ndarray:
        """From shares (B, tokens, tokens), first layer first: each way down from i to k counts the product of its shares."""
        n, tokens = shares[0].shape[:2]
        total = np.zeros((n, tokens, tokens))
        for way in itertools.product(range(tokens), repeat=len(shares) + 1):  # a token at the input, and one after each layer
            part = np.ones(n)
            for layer, low, high in zip(shares, way, way[1:], strict=False):
                part = part * layer[:, high, low]
            total[:, way[-1], way[0]] += part
        return total

    def halves(reads: np.ndarray) -> np.ndarray:
        """What each token holds of each after a layer."""
        shares = reads / 2
        for token in range(reads.shape[-1]):
            shares[..., token, token] += 0.5
        return shares

    def known(attentions: Sequence[Tensor]) -> dict[str, tuple[Any]]:
        """What well-known mistakes give."""
        every = [a.numpy() for a in attentions]
        means, eye = [a.sum(1) / a.shape[1] for a in every], np.eye(every[0].shape[-1])
        shares = [halves(a) for a in means]
        right, depth, whole = paths(shares), len(every), np.sum(shares, axis=0)
        top = [halves(a.max(1)) for a in every]
        each = [paths([halves(a[:, h]) for a in every]) for h in range(every[0].shape[1])]
        found: dict[str, Any] = {
            f"the layers are multiplied in the wrong order: {_ORDER}": paths(shares[::-1]),
            f"the residual connection is missing: {_HALF}": paths(means),
            f"the residual connection is missing, and the order is wrong: {_HALF}": paths(means[::-1]),
            "this is A + I, so that rows add up to 2 in each layer: take half of both": right * 2.0**depth,
            "this is A + I, so that rows add up to 2 in each layer, and the order is wrong":
                paths(shares[::-1]) * 2.0**depth,
            "this is 0.5 A + I, so that rows add up to 1.5: take half of both": paths([s + eye / 2 for s in shares]),
            "this is A + 0.5 I, so that rows add up to 1.5: take half of both": paths([s + a / 2 for s, a in
                                                                                     zip(shares, means, strict=True)]),
            f"this is 0.5 A, without 0.5 I: {_HALF}": paths([a / 2 for a in means]),
            "this is the largest head at each place: take the mean over heads": paths(top),
            "this is the largest head at each place, scaled to rows of 1: take the mean over heads":
                paths([s / s.sum(2, keepdims=True) for s in top]),
            "this is the largest head at each place, its rows scaled to 1: take the mean over heads":
                paths([halves(a.max(1) / a.max(1).sum(2, keepdims=True)) for a in every]),
            "this is the smallest head at each place: take the mean over heads": paths([halves(a.min(1)) for a in every]),
            "heads were added up: take their mean": paths([halves(a.sum(1)) for a in every]),
            "this is the first head alone: take the mean over heads": paths([halves(a[:, 0]) for a in every]),
            "this is the last head alone: take the mean over heads": paths([halves(a[:, -1]) for a in every]),
            "each head was rolled out on its own, and then averaged: the mean over heads comes first, in each layer":
                sum(each) / len(each),
            "each head was rolled out on its own: the mean over heads comes first, in each layer": np.stack(each, 1),
            "the layers were added up: they follow each other, which is a product": whole,
            "this is the mean over layers: they follow each other, which is a product": whole / depth,
            "the attention of the layers was averaged: they follow each other, which is a product": sum(means) / depth,
            "the average layer was taken depth times: each layer has its own": paths([whole / depth] * depth),
            "the layers are multiplied entry by entry (*): the matrix product is @": np.prod(shares, axis=0),
            "the attention is multiplied entry by entry (*): the matrix product is @": np.prod(means, axis=0),
            "this is the last layer alone": shares[-1],
            "this is the first layer alone": shares[0],
            "the last layer is missing": paths(shares[:-1]) if depth > 1 else eye + 0 * right,
            "the first layer is missing": paths(shares[1:]) if depth > 1 else eye + 0 * right,
            "the first layer is there twice": paths([shares[0], *shares]),
            "the last layer is there twice": paths([*shares, shares[-1]]),
            "transposed: row i says what token i holds": right.transpose(0, 2, 1),
            "each layer was transposed: its row i says what token i reads": paths([s.transpose(0, 2, 1) for s in shares]),
            f"the last layer has no residual connection: {_HALF}": paths([*shares[:-1], means[-1]]),
            f"the first layer has no residual connection: {_HALF}": paths([means[0], *shares[1:]]),
            f"the residual connection came in once, at the end: {_HALF}, in each layer": halves(paths(means)),
            "this is the row of the class token alone: all rows are asked for": right[:, 0],
            "this is what the class token holds of the patches: all rows are asked for": right[:, 0, 1:],
            "the class token was left out: all tokens are asked for": right[:, 1:, 1:],
            "this is the identity, before all layers": eye + 0 * right,
            "columns were scaled to 1: rows add up to 1, without scaling": right / right.sum(1, keepdims=True),
            "the identity was subtracted in the end": right - eye,
            "this is of the first image alone": right[0],
            "all images were given the first one's": right[:1] + 0 * right,
            "the images were averaged: each has its own": right.mean(0)}  # fmt: skip
        return {cause: (value,) for cause, value in found.items()}

    def run(f: Callable[..., Any], attentions: Sequence[Tensor]) -> Any:
        takes(f, "attentions")
        return apply(f, attentions, hints=_HINTS)

    def rolled(f: Callable[..., Any], given: Sequence[Tensor]) -> None:
        out = run(f, type(given)(a.clone() for a in given))  # type: ignore[call-arg]
        want = paths([halves(a.numpy().sum(1) / a.shape[1]) for a in given])
        judge({"rollout": out}, {"rollout": want}, lambda: known(given))

    def by_hand(f: Callable[..., Any]) -> None:
        """First all tokens read token 2, then each reads the one before it."""
        first, second = torch.zeros(1, 3, 3, dtype=F64), torch.zeros(1, 3, 3, dtype=F64)
        first[0, :, 2] = 1
        second[0, [0, 1, 2], [2, 0, 1]] = 1
        given = [a.repeat(1, 2, 1, 1) for a in (first, second)]
        want = torch.tensor([[[1, 0, 3], [1, 1, 2], [0, 1, 3]]], dtype=F64) / 4
        judge({"rollout": run(f, [a.clone() for a in given])}, {"rollout": want}, lambda: known(given))

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "attentions")
        given = layers(2, 3)
        passed = list(given)
        unchanged(lambda *tensors: f(passed), *given, what="the attention of each layer")
        if len(passed) != len(given) or any(a is not b for a, b in zip(passed, given, strict=True)):
            raise Mistake("the list of layers unchanged", "another list", "reverse(), pop() or an assignment changed it")

    with undisturbed():
        run_cases(
            "rollout",
            function,
            [
                Case("two images, three layers", lambda f: rolled(f, layers(2, 3))),
                Case("three images, two layers of three heads", lambda f: rolled(f, layers(3, 2, 4, 3))),
                Case("one layer alone", lambda f: rolled(f, layers(2, 1))),
                Case("a batch of one image, four layers in a tuple, as a net returns them",
                     lambda f: rolled(f, tuple(layers(1, 4, 3)))),
                Case("three tokens, two layers worked out by hand", by_hand),
                Case("the list and its tensors stay as they are", left_alone),
            ],
            reread="section 3, on rollout: the residual connection in each layer, and which layer's matrix stands on the left",
        )  # fmt: skip
