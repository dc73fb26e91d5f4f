"""Checks of lab 05: the contrastive loss, compared with each row and column on its own, also at a temperature of 0.001."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.clip.small import apply, features, intact, tensor, unit
from labkit.check.frame import F64, Case, Mistake, compare, judge, run_cases, takes
from labkit.check.nets import undisturbed

_TURN = "x.transpose(-1, -2) turns the last two dimensions, and leaves the leading ones"
_BATCHES = "leading dimensions are separate batches, with a loss each"
_LAST = "the pairs are the last two dimensions: count them from the end, -1 and -2"
_HINTS = {
    "expected scalar type Long": "the right classes are int64: torch.arange(N)",
    "Expected target size": f"F.cross_entropy takes classes from dimension 1, and one batch here: {_BATCHES}",
    "Expected input batch_size": f"F.cross_entropy takes one batch here: {_BATCHES}",
    "Expected floating point type for target": "the right classes are numbers of rows, torch.arange(N), one a row",
    "t() expects a tensor with <= 2 dimensions": _TURN,
    "Expected size for first two dimensions of batch2": _TURN,
    "must match the size of tensor b": f"{_TURN}; a temperature broadcasts with the (..., N, N) logits",
    "must have the same dtype": "the features are float64 here: make new tensors like them, with their dtype",
    "only one element tensors can be converted": "the temperature may be a tensor, one a batch: divide by it as it is",
    "cannot be converted to Scalar": f"the temperature may be a tensor, and so may the loss: {_BATCHES}",
    "must be real number, not Tensor": "the temperature may be a tensor: divide by it as it is",
    "does not require grad": "an .item(), float(), detach() or no_grad inside cuts the loss off from the features",
}  # fmt: skip


def _surprise(z: np.ndarray) -> np.ndarray:
    """What the right text costs each image, (..., N): how far the log-sum-exp of a row (..., N, N) is above its own entry."""
    own = np.einsum("...ii->...i", z)
    return np.logaddexp.reduce(z - own[..., None], -1)


def _loss(z: np.ndarray) -> np.ndarray:
    """The loss (...) of logits (..., N, N)."""
    n = z.shape[-1]
    total: np.ndarray = (_surprise(z) + _surprise(z.swapaxes(-1, -2))).sum(-1) / (2 * n)
    return total


def _cosines(images: Tensor, texts: Tensor) -> np.ndarray:
    found: np.ndarray = np.einsum("...id,...jd->...ij", unit(images).numpy(), unit(texts).numpy())
    return found


def clip_loss(function: Callable[..., Any]) -> None:
    """Check `clip_loss(images, texts, temperature)`: features (..., N, D) -> the symmetric loss (...), with its gradient."""

    def temperatures(t: float | Tensor) -> Any:
        return t.numpy() if isinstance(t, Tensor) else t

    def known(images: Tensor, texts: Tensor, temperature: float | Tensor) -> dict[str, tuple[Any]]:
        """What well-known mistakes give."""
        t, c = temperatures(temperature), _cosines(images, texts)
        z, n, d = c / t, c.shape[-1], images.shape[-1]
        flip = z.swapaxes(-1, -2)
        rows, columns, right = _surprise(z), _surprise(flip), _loss(z)
        own, eye = np.einsum("...ii->...i", z), np.eye(n)
        ones, whole = (unit(images).numpy(), unit(texts).numpy()), np.logaddexp.reduce(z.reshape(*z.shape[:-2], -1), -1)

        def dots(x: Any, y: Any) -> np.ndarray:
            return _loss(np.einsum("...id,...jd->...ij", np.asarray(x), np.asarray(y)) / t)

        def total(z: np.ndarray, axis: int) -> np.ndarray:
            return np.logaddexp.reduce(z, axis, keepdims=True)

        def softly(eps: float, *, least: bool = False) -> np.ndarray:
            """log(p + eps), or the logarithm of at least eps."""
            p = [np.exp(-side) for side in (rows, columns)]
            return -sum(np.log(np.maximum(q, eps) if least else q + eps) for q in p).mean(-1) / 2  # type: ignore[union-attr]

        def without_own(z: np.ndarray) -> np.ndarray:
            """The right one is left out of the sum below."""
            return (np.logaddexp.reduce(np.where(eye > 0, -np.inf, z), -1) - own).mean(-1)

        def first(z: np.ndarray) -> np.ndarray:
            return (total(z, -1)[..., 0] - z[..., 0]).mean(-1)

        def chances(z: np.ndarray, axis: int) -> np.ndarray:
            return np.exp(z - total(z, axis))

        apart = np.logaddexp(0, np.where(eye > 0, -z, z))  # each of the N² pairs, a yes or no of its own
        found: dict[str, Any] = {
            "this is the images' cross-entropy alone: the texts choose among the images, too": rows.mean(-1),
            "this is the texts' cross-entropy alone: the images choose among the texts, too": columns.mean(-1),
            "both directions were added up: take their mean": 2 * right,
            "this is the sum over the pairs: take the mean": n * right,
            "this is the sum over the pairs and both directions: take the mean": 2 * n * right,
            "the mean is over N² numbers: there is one cross-entropy a row": right / n,
            "the sign is turned round: a cross-entropy is above 0": -right,
            "multiplied by the temperature: divide the cosines by it": _loss(c * t),
            "the temperature is missing: divide the cosines by it": _loss(c),
            "divided by the temperature twice": _loss(z / t),
            "divided by exp(temperature): it is a temperature, not the logarithm of one": _loss(c / np.exp(t)),
            "multiplied by exp(temperature), as a logit scale: divide by the temperature": _loss(c * np.exp(t)),
            "divided by the logarithm of the temperature": _loss(c / np.log(t)),
            "the loss was divided by the temperature, not the cosines": _loss(c) / (t[..., 0, 0] if np.ndim(t) > 1 else t),
            "neither images nor texts were normalised: logits are cosines": dots(images, texts),
            "the images were not normalised: logits are cosines": dots(images, ones[1]),
            "the texts were not normalised: logits are cosines": dots(ones[0], texts),
            "normalised over the pairs, dimension -2: the length is that of a row, dim=-1":
                dots(unit(images, -2), unit(texts, -2)),
            "logits are minus squared distances: they are cosines": _loss((2 * c - 2) / t),
            "one softmax over all N² pairs: each row has its own, and each column": (whole[..., None] - own).mean(-1),
            "the right one is missing from the sum below: it is one of the N classes":
                (without_own(z) + without_own(flip)) / 2,
            "class 0 is right for all rows: row i has class i": (first(z) + first(flip)) / 2,
            "class 0 is right for all images: row i has class i": (first(z) + columns.mean(-1)) / 2,
            "class 0 is right for all texts: row i has class i": (rows.mean(-1) + first(flip)) / 2,
            "this is the binary cross-entropy of the N² pairs: each row is a choice among N classes": apart.mean((-1, -2)),
            "this is the binary cross-entropy, summed over each row: each row is a choice among N classes":
                apart.sum(-1).mean(-1),
            "this is the mean cosine of the pairs: take the cross-entropies": np.einsum("...ii->...i", c).mean(-1),
            "this is 1 - the mean cosine of the pairs: take the cross-entropies": 1 - np.einsum("...ii->...i", c).mean(-1),
            "this is the mean logit of the pairs: log_softmax is missing": own.mean(-1),
            "this is minus the mean logit of the pairs: log_softmax is missing": -own.mean(-1),
            "these are probabilities: take their logarithm": -(np.exp(-rows) + np.exp(-columns)).mean(-1) / 2,
            "softmax came before the cross-entropy, which does it again":
                (_surprise(chances(z, -1)).mean(-1) + _surprise(chances(flip, -1)).mean(-1)) / 2,
            "this is the loss of each pair: take the mean over them": (rows + columns) / 2,
            "these are the two directions, not yet joined: take their mean": np.stack([rows.mean(-1), columns.mean(-1)]),
            "this is the logarithm to base 2": right / math.log(2),
            "this is log10": right / math.log(10)}  # fmt: skip
        for eps in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 1e-20, 1e-30):
            small = f"log(p + {eps:g}) is off where p is small: log_softmax, or F.cross_entropy on logits, needs no such term"
            found[small] = softly(eps)
            found[small.replace("p +", "at least")] = softly(eps, least=True)
        if z.ndim > 2:
            flat = [rows.reshape(-1, d) for rows in ones]
            found[f"the batches were averaged: {_BATCHES}"] = right.mean()
            found[f"the batches were added up: {_BATCHES}"] = right.sum()
            found[f"all batches were given the loss of the first: {_BATCHES}"] = right.flat[0] + 0 * right
            found[f"this is the loss of the first batch: {_BATCHES}"] = right.flat[0]
            if np.ndim(t) > 1:
                found["all batches were given the temperature of the first: it broadcasts"] = _loss(c / t.flat[0])
            else:
                found[f"the batches were joined to one long one: {_BATCHES}"] = _loss(np.einsum("id,jd->ij", *flat) / t)
            first_two = [np.diagonal(z - total(z, axis), 0, 0, 1).mean(-1) for axis in (-1, -2)]
            found[f"the diagonal is of the first two dimensions: {_LAST}"] = -(first_two[0] + first_two[1]) / 2
            for a, b in ((1, 0), (0, 1), (-1, 1), (1, -1), (-1, 0), (2, 1)):
                both = [z - total(z, axis) for axis in (a, b)]
                for what, pick in (("softmax over wrong dimensions", (-2, -1)), ("softmax and diagonal of wrong ones", (0, 1))):
                    mine = [np.diagonal(side, 0, *pick).mean(-1) for side in both]
                    found.setdefault(f"{what}: {_LAST}", -(mine[0] + mine[1]) / 2)
                    found[f"{what}, {a} and {b}: {_LAST}"] = -(mine[0] + mine[1]) / 2
        return {cause: (value,) for cause, value in found.items()}

    def run(f: Callable[..., Any], images: Tensor, texts: Tensor, t: float | Tensor) -> Tensor:
        takes(f, "images", "texts", "temperature")
        given = t.clone() if isinstance(t, Tensor) else t
        out = apply(f, images.clone(), texts.clone(), given, hints=_HINTS)
        if isinstance(out, float | np.generic | np.ndarray):
            raise Mistake("a tensor (...)", type(out).__name__, "training needs the gradient: stay with tensors to the end")
        return tensor(out, "(...)")

    def lost(f: Callable[..., Any], images: Tensor, texts: Tensor, t: float | Tensor, want: Any = None) -> None:
        out = run(f, images, texts, t)
        want = _loss(_cosines(images, texts) / temperatures(t)) if want is None else want
        with np.errstate(all="ignore"):
            judge({"loss": out}, {"loss": want}, lambda: known(images, texts, t), rtol=1e-5, atol=1e-7)

    def pair(*shape: int, seed: int) -> tuple[Tensor, Tensor]:
        """Images, and texts that resemble them a little."""
        images = features(*shape, seed=seed)
        return images, 0.5 * images + features(*shape, seed=seed + 1)

    def by_hand(f: Callable[..., Any]) -> None:
        axes = torch.tensor([[2, 0], [0, 0.5]], dtype=F64)
        lost(f, axes, 3 * axes, 0.5, math.log1p(math.exp(-2)))
        lost(f, axes, axes.flip(0), 0.5, math.log1p(math.exp(2)))
        lost(f, axes[[0, 0, 0]], axes[[0, 0, 0]], 0.2, math.log(3))
        up = (math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 2  # what the texts pay where both are the first axis
        lost(f, axes, axes[[0, 0]], 0.5, (math.log(2) + up) / 2)

    def cold(f: Callable[..., Any]) -> None:
        """Cosines near 1 and -1, at a temperature at which probabilities are 0 or 1 to machine precision."""
        angles = torch.tensor([[0.0, 0.3, 3.0, 3.2], [0.1, 3.1, 0.2, 3.25]], dtype=F64)
        images, texts = (torch.stack([row.cos(), row.sin()], 1) for row in angles)
        lost(f, 2 * images, texts, 0.001)
        lost(f, images, images, 0.001, float(_loss(_cosines(images, images) / 0.001)))

    def gradients(f: Callable[..., Any]) -> None:
        """Gradients of images, texts and the temperature, compared with small steps of each number."""
        names = ("images", "texts", "temperature")
        given = dict(zip(names, (*pair(4, 3, seed=70), torch.tensor(0.4, dtype=F64)), strict=True))
        takes(f, *names)
        leaves = {name: value.clone().requires_grad_() for name, value in given.items()}
        out = tensor(apply(f, *leaves.values(), hints=_HINTS), "(...)")
        if not out.requires_grad:
            raise Mistake("a loss that gradients flow through", "one without a gradient", _HINTS["does not require grad"])
        out.sum().backward()
        for name, leaf in leaves.items():
            slope = torch.zeros_like(leaf)
            for place in range(leaf.numel()):
                ends = []
                for step in (1e-5, -1e-5):
                    moved = {**given, name: given[name].clone()}
                    moved[name].view(-1)[place] += step
                    ends.append(float(_loss(_cosines(moved["images"], moved["texts"]) / float(moved["temperature"]))))
                slope.view(-1)[place] = (ends[0] - ends[1]) / 2e-5
            if leaf.grad is None or not leaf.grad.any():
                raise Mistake(f"a gradient at the {name}", "none", f"a detach(), float() or no_grad cuts the {name} off")
            try:
                compare(leaf.grad, slope, rtol=1e-5, atol=1e-6)
            except Mistake as mistake:
                raise Mistake(f"the gradient at the {name} {mistake.expected}", mistake.got, "a detach() or no_grad cuts a "
                              "part of the loss off, or the loss itself is wrong (see the cases above)") from None  # fmt: skip

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "images", "texts", "temperature")
        images, texts = pair(4, 3, seed=75)
        intact(f, {"images": images, "texts": texts, "temperature": torch.tensor(0.3, dtype=F64)}, hints=_HINTS)

    each = torch.tensor([0.2, 1.5], dtype=F64).view(2, 1, 1, 1)
    with undisturbed():
        run_cases(
            "clip_loss",
            function,
            [
                Case("five pairs of four features, temperature 0.3", lambda f: lost(f, *pair(5, 4, seed=60), 0.3)),
                Case("two and three pairs worked out by hand", by_hand),
                Case("three batches of five pairs", lambda f: lost(f, *pair(3, 5, 4, seed=62), 0.3)),
                Case("2 x 3 batches of four pairs, a temperature for each of the 2",
                     lambda f: lost(f, *pair(2, 3, 4, 5, seed=64), each)),
                Case("as many batches as pairs, a temperature that is a tensor",
                     lambda f: lost(f, *pair(4, 4, 4, seed=66), torch.tensor(0.7, dtype=F64))),
                Case("a single pair, which is always right", lambda f: lost(f, *pair(1, 3, seed=68), 0.3, 0.0)),
                Case("a temperature of 0.001, cosines near 1 and -1", cold),
                Case("gradients reach images, texts and the temperature", gradients),
                Case("images, texts and temperature stay as they are", left_alone),
            ],
            reread="section 3, on the contrastive loss: logits, both directions, and which class is right",
        )  # fmt: skip
