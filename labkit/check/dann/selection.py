"""Checks of lab 08: labels that a net gives itself, and how far two domains are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes, unchanged

_STACK = "classes are the last dimension, -1: count from the end"
_ROUND = 1e-6  # rates may come in float32


def pseudo_labels(function: Callable[..., Any]) -> None:
    """Check `pseudo_labels(logits, threshold)`: (..., N, C) -> labels (..., N) int64, keep (..., N) bool."""

    def pair(f: Callable[..., Any], logits: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        takes(f, "logits", "threshold")
        out = f(logits, threshold)
        if not isinstance(out, tuple | list) or len(out) != 2 or not all(isinstance(part, Tensor) for part in out):
            raise Mistake("a pair of tensors: labels and keep", type(out).__name__,
                          "the function has no return statement" if out is None else "")  # fmt: skip
        labels, keep = out
        if labels.dtype == torch.bool and keep.dtype != torch.bool:
            raise Mistake("labels first, then keep", "a mask first", "the pair is swapped")
        return labels, keep

    def table() -> Tensor:
        """Eight images and four classes; the best class of each has a probability between 0.34 and 1."""
        return draw(8, 4, seed=83) * torch.tensor([3.0, 1.0, 4.0, 0.6, 2.0, 3.0, 1.0, 5.0], dtype=F64)[:, None]

    def labels_of(f: Callable[..., Any]) -> None:
        logits = table()
        labels, right = pair(f, logits, 0.8)[0], logits.sort(-1).indices[:, -1]
        best = logits.exp().amax(-1) / logits.exp().sum(-1)
        sure = best >= 0.8
        compare(labels, right, known={
            "these are the least likely classes": logits.sort(-1).indices[:, 0],
            f"the best image of each class, not the best class of each image: {_STACK}": logits.sort(0).indices[-1],
            "the unsure images were left out: give every image a label, and say in keep which count": right[sure],
            "unsure images were marked in the labels: give every image its class, and say in keep which count":
                torch.where(sure, right, -1),
            "unsure images were set to class 0: give every image its class, and say in keep which count": right * sure,
            "these are probabilities, not classes (max gives values, then indices)": best})  # fmt: skip
        if labels.dtype != torch.int64:
            raise Mistake("labels of type int64", str(labels.dtype).removeprefix("torch."), "leave the numbers as they come")

    def keep_of(f: Callable[..., Any]) -> None:
        logits = table()
        p = logits.exp() / logits.exp().sum(-1, keepdim=True)
        best = p.amax(-1)
        for threshold in (0.8, 0.6):
            keep, right = pair(f, logits, threshold)[1], best >= threshold
            if keep.dtype == torch.int64 and keep.shape != right.shape:
                raise Mistake("a mask: one bool an image", f"{len(keep)} numbers",
                              "these are the numbers of the images that are kept: return the comparison itself")  # fmt: skip
            compare(keep, right, known={
                "turned round: keep is True for the sure images": ~right,
                "the threshold was compared with logits: it is a probability": logits.amax(-1) >= threshold,
                f"the probabilities do not add up to 1 for each image: {_STACK}": logits.softmax(-2).amax(-1) >= threshold,
                "this is the probability of class 0: take that of the most likely class": p[:, 0] >= threshold,
                "a sigmoid in place of the softmax: the classes compete": logits.sigmoid().amax(-1) >= threshold,
                "this keeps a share of the images, however unsure: the threshold is a probability":
                    best >= best.quantile(threshold),
                "this keeps the best share of the images, however unsure: the threshold is a probability":
                    best >= best.quantile(1 - threshold),
                "compared with the mean over the images: compare with the threshold": best >= best.mean(),
                "everything is kept: the threshold is not used": torch.ones(8),
                "nothing is kept: the mean probability of the classes is always 1 / C, take the largest": torch.zeros(8),
                "this is the probability of the best class: compare it with the threshold": best})  # fmt: skip
            if keep.dtype != torch.bool:
                raise Mistake("a mask of type bool", str(keep.dtype).removeprefix("torch."),
                              "a comparison is bool already: return it as it is")  # fmt: skip

    def on_the_threshold(f: Callable[..., Any]) -> None:
        for classes in (2, 4):  # equal logits: the probability is exactly 1/2, or 1/4
            keep = pair(f, torch.zeros(3, classes, dtype=F64), 1 / classes)[1]
            compare(keep, [1, 1, 1], known={"'at least' includes the threshold itself: >= rather than >": [0, 0, 0]})

    def stacked(f: Callable[..., Any]) -> None:
        nets = [table(), -table(), table().flip(0), 2 * table(), table() / 2, table().flip(1)]
        logits = torch.stack(nets).unflatten(0, (2, 3))
        try:
            labels, keep = pair(f, logits, 0.8)
        except (RuntimeError, IndexError) as error:
            raise Mistake("shapes (2, 3, 8) for stacked nets", f"{type(error).__name__}: {error}", _STACK) from None
        if tuple(labels.shape) != (2, 3, 8) or tuple(keep.shape) != (2, 3, 8):
            raise Mistake("labels and keep of shape (2, 3, 8) for stacked nets",
                          f"shapes {tuple(labels.shape)} and {tuple(keep.shape)}", _STACK)  # fmt: skip
        compare(labels, logits.sort(-1).indices[..., -1])
        compare(keep, logits.amax(-1).exp() / logits.exp().sum(-1) >= 0.8, known={
            f"the probabilities do not add up to 1 for each image: {_STACK}": logits.softmax(1).amax(-1) >= 0.8})  # fmt: skip

    run_cases(
        "pseudo_labels",
        function,
        [
            Case("the labels of eight images", labels_of),
            Case("which of them to keep, at 0.8 and 0.6", keep_of),
            Case("a probability exactly on the threshold", on_the_threshold),
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
            Case("logits stay as they are", lambda f: unchanged(lambda x: f(x, 0.8), table(), what="the logits")),
        ],
        reread="the docstring: keep says whether the probability of the most likely class is at least the threshold",
    )


def proxy_a_distance(function: Callable[..., Any]) -> None:
    """Check `proxy_a_distance(source_rate, target_rate)`: a domain classifier's accuracies -> 0 (alike) .. 2 (apart)."""

    def published(f: Callable[..., Any]) -> None:
        takes(f, "source_rate", "target_rate")
        compare(f(0.8054, 0.7524), 1.1156, atol=_ROUND, known={
            "the accuracy was taken for eps: eps is the error": -1.1156,
            "only the source was looked at: the error is that of both domains": 2 * (2 * 0.8054 - 1),
            "only the target was looked at: the error is that of both domains": 2 * (2 * 0.7524 - 1),
            "the outer factor 2 is missing: the distance runs up to 2": 0.5578,
            "the 2 before eps is missing: a head that guesses must give 0": 2 * 0.7789,
            "the rates were multiplied: average them": 2 * (2 * 0.8054 * 0.7524 - 1),
            "the errors were multiplied: average them": 2 * (1 - 2 * 0.1946 * 0.2476),
            "the errors were added: average them": 2 * (1 - 2 * (0.1946 + 0.2476)),
            "this is the mean accuracy": 0.7789,
            "this is the mean error, eps": 0.2211})  # fmt: skip

    def ends(f: Callable[..., Any]) -> None:
        compare(f(1.0, 1.0), 2.0, atol=_ROUND)
        compare(f(0.5, 0.5), 0.0, atol=_ROUND)

    def one_answer(f: Callable[..., Any]) -> None:
        compare(f(0.9, 0.2), 0.2, atol=_ROUND, known={
            "each domain's rate was turned round by itself: average them first": 1.4,
            "the better of the two was taken: average them": 1.6,
            "the worse of the two was taken: average them": -1.2})  # fmt: skip
        compare(f(0.9, 0.1), 0.0, atol=_ROUND)

    def below_chance(f: Callable[..., Any]) -> None:
        compare(f(0.2, 0.4), -0.8, atol=_ROUND, known={
            "the absolute value was taken: a head worse than chance gives a negative distance": 0.8,
            "cut off at 0: a head worse than chance gives a negative distance": 0.0})  # fmt: skip

    def elementwise(f: Callable[..., Any]) -> None:
        source, target = torch.tensor([[0.9, 0.6], [0.5, 1.0]], dtype=F64), torch.tensor([[0.7, 0.8], [0.5, 0.9]], dtype=F64)
        want = [[1.2, 0.8], [0.0, 1.8]]
        compare(f(source, target), want, atol=_ROUND, known={"the nets were averaged: keep one distance a net": 0.95})

    run_cases(
        "proxy_a_distance",
        function,
        [
            Case("a published example: 80.54 % of the source and 75.24 % of the target", published),
            Case("perfect, and guessing", ends),
            Case("a head that says 'source' to nearly everything", one_answer),
            Case("a head that is worse than chance", below_chance),
            Case("tensors, one rate a net", elementwise),
        ],
        reread="the definition: eps is the error, averaged over the two domains; the distance is 2 (1 - 2 eps)",
    )
