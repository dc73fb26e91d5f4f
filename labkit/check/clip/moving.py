"""Checks of lab 05: two modalities that are moved along the gap, compared with one table of weights for all features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.clip.small import apply, features, intact, tensor, unit
from labkit.check.frame import F64, Case, Mistake, judge, run_cases, takes
from labkit.check.nets import undisturbed

_GAP = "the gap is one vector, the mean of the unit images less the mean of the unit texts"
_HALF = "images lose half of `amount`, texts gain the other half"
_LAST = "all are normalised again, as the last step"
_PAIRS = f"the numbers of images and texts may differ: {_GAP}"
_HINTS = {
    "must match the size of tensor b": _PAIRS,
    "must be the same size": _PAIRS,
    "is a view of a leaf": "an operation in place: make new tensors",
    "must have the same dtype": "the features are float64 here: make new tensors like them, with their dtype",
}  # fmt: skip


def shifted(function: Callable[..., Any]) -> None:
    """Check `shifted(images, texts, amount)`: -> unit images (N, D) and unit texts (M, D), moved towards each other."""

    def moved(
        images: Tensor,
        texts: Tensor,
        a: float,
        b: float,
        gap: Tensor | None = None,
        start: Callable[[Tensor], Tensor] = unit,
        end: Callable[[Tensor], Tensor] = unit,
    ) -> tuple[Tensor, Tensor]:
        """Images that lose `a` of the gap, and texts that gain `b` of it, each a weighted sum of all features."""
        n, m = len(images), len(texts)
        means = torch.tensor([1 / n] * n + [-1 / m] * m, dtype=F64)  # the weights of the gap
        share = torch.tensor([-a] * n + [b] * m, dtype=F64)
        rows = torch.cat([start(images), start(texts)])
        every = torch.cat([unit(images), unit(texts)])
        out = end(rows + (torch.outer(share, means) @ every if gap is None else torch.outer(share, gap)))
        return out[:n], out[n:]

    def known(images: Tensor, texts: Tensor, amount: float) -> dict[str, tuple[Tensor, Tensor]]:
        """What well-known mistakes give."""
        n, m = len(images), len(texts)
        x, y, half = unit(images), unit(texts), amount / 2
        mx, my = x.sum(0) / n, y.sum(0) / m
        raw = images.sum(0) / n - texts.sum(0) / m
        middle = x.median(0).values - y.median(0).values

        def by(a: float, b: float, gap: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
            return moved(images, texts, a, b, gap, **options)

        def plain(rows: Tensor) -> Tensor:
            return rows

        def after(first: Tensor) -> tuple[Tensor, Tensor]:
            """Texts move by the gap that is left when images have moved."""
            return unit(first), unit(y + half * (first.sum(0) / n - my))

        right = by(half, half)
        found = {
            f"each side moved by all of `amount`, so that 1 makes them change places: {_HALF}": by(amount, amount),
            f"only the images moved: {_HALF}": by(half, 0),
            f"only the texts moved: {_HALF}": by(0, half),
            f"only the images moved, all the way: {_HALF}": by(amount, 0),
            f"only the texts moved, all the way: {_HALF}": by(0, amount),
            f"each side moved by a quarter of `amount`: {_HALF}": by(half / 2, half / 2),
            "the wrong sign, which widens the gap: images lose what texts gain": by(-half, -half),
            "the wrong sign and all of `amount`, which widens the gap": by(-amount, -amount),
            "both moved the same way, and the gap stays: images lose what texts gain": by(half, -half),
            "both moved the same way, and the gap stays: texts gain what images lose": by(-half, half),
            f"not normalised after the move: {_LAST}": by(half, half, end=plain),
            f"not normalised after the move, and by all of `amount`: {_LAST}": by(amount, amount, end=plain),
            "not normalised before the move, though the gap is that of unit features": by(half, half, start=plain),
            "neither before nor after the move were features normalised": by(half, half, start=plain, end=plain),
            f"the features were not normalised before all this: {_GAP}": by(half, half, raw, start=plain),
            f"nothing was normalised, neither before nor after: {_GAP}": by(half, half, raw, start=plain, end=plain),
            f"the gap is that of features as they came: {_GAP}": by(half, half, raw),
            f"the gap was made a vector of length 1: {_GAP}": by(half, half, unit(mx - my)),
            f"the means were normalised before their difference was taken: {_GAP}": by(half, half, unit(mx) - unit(my)),
            f"the gap is that of the sums: {_GAP}": by(half, half, x.sum(0) - y.sum(0)),
            f"the gap is that of the medians: {_GAP}": by(half, half, middle),
            "the gap is that of the first image and the first text: take the means": by(half, half, x[0] - y[0]),
            "`amount` was ignored, as if it were 1: both means were moved onto the centre between them": by(0.5, 0.5),
            "`amount` was ignored, and each side moved by the whole gap": by(1, 1),
            "nothing moved: these are the features at length 1": (x, y),
            "nothing moved: these are the features as they came": (images, texts),
            "each modality was centred, on its own mean: what moves is the gap, by `amount`": (unit(x - mx), unit(y - my)),
            "each modality was centred and not normalised: what moves is the gap, by `amount`": (x - mx, y - my),
            "each modality lost `amount` of its own mean: what moves is the gap":
                (unit(x - amount * mx), unit(y - amount * my)),
            "each modality lost half of `amount` of its own mean: what moves is the gap":
                (unit(x - half * mx), unit(y - half * my)),
            "each modality moved by all of `amount` towards the mean of all features":
                tuple(unit(rows - amount * (mean - torch.cat([x, y]).mean(0))) for rows, mean in ((x, mx), (y, my))),
            "the gap was worked out again after the images had moved: it is that of the start": after(x - half * (mx - my)),
            "the gap was worked out again after the images had moved, and were normalised: it is that of the start":
                after(right[0]),
            "normalised along dimension 0: the length is that of a row, dim=-1": moved(
                images, texts, half, half, unit(images, 0).mean(0) - unit(texts, 0).mean(0),
                start=lambda rows: torch.cat([unit(rows, 0)]), end=plain),
            "the pair is swapped: images come first": right[::-1]}  # fmt: skip
        ends = tuple(unit(rows, 0) for rows in by(half, half, end=plain))
        found["normalised along dimension 0 in the last step: the length is that of a row, dim=-1"] = ends
        if n == m:
            found[f"each pair has its own gap here: {_GAP}"] = (unit(x - half * (x - y)), unit(y + half * (x - y)))
            found[f"each pair has its own gap here, not normalised after: {_GAP}"] = (x - half * (x - y), y + half * (x - y))
        return found  # type: ignore[return-value]

    def pair(f: Callable[..., Any], images: Tensor, texts: Tensor, amount: float) -> dict[str, Tensor]:
        takes(f, "images", "texts", "amount")
        out = apply(f, images.clone(), texts.clone(), amount, hints=_HINTS)
        if not isinstance(out, tuple | list) or len(out) != 2:
            got = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            raise Mistake("a pair: images and texts", "None" if out is None else got,
                          "the function has no return statement" if out is None else "return both")  # fmt: skip
        return {name: tensor(part, "(N, D)", name=f"{name}: ") for name, part in zip(("images", "texts"), out, strict=True)}

    def told(f: Callable[..., Any], images: Tensor, texts: Tensor, amount: float) -> None:
        want = dict(zip(("images", "texts"), moved(images, texts, amount / 2, amount / 2), strict=True))
        judge(pair(f, images, texts, amount), want, lambda: known(images, texts, amount))

    def by_hand(f: Callable[..., Any]) -> None:
        """The gap is (1, 1): what the amount takes away from each is easily seen."""
        images, texts = (
            torch.tensor([[3, 0], [0, 5]], dtype=F64),
            torch.tensor([[-2, 0], [0, -0.1], [-1, 0], [0, -4]], dtype=F64),
        )
        for amount, (high, low) in {1.0: (0.5, -0.5), 0.5: (0.75, -0.25), -2.0: (2.0, 1.0)}.items():
            ends = unit(torch.tensor([[high, low], [low, high]], dtype=F64))
            want = {"images": ends, "texts": -ends[[0, 1, 0, 1]]}
            judge(pair(f, images, texts, amount), want, lambda amount=amount: known(images, texts, amount))  # type: ignore[misc]

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "images", "texts", "amount")
        images, texts = (unit(features(5, 4, seed=seed)) for seed in (98, 99))
        intact(f, {"images": images, "texts": texts, "amount": 0.7}, hints=_HINTS)

    def drawn(n: int, m: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
        return features(n, d, seed=seed), features(m, d, seed=seed + 1)

    with undisturbed():
        run_cases(
            "shifted",
            function,
            [
                Case("six images, four texts, amount 0.6", lambda f: told(f, *drawn(6, 4, 5, 80), 0.6)),
                Case("as many images as texts, amount 1.5", lambda f: told(f, *drawn(5, 5, 4, 82), 1.5)),
                Case("three images, seven texts, amount 1", lambda f: told(f, *drawn(3, 7, 6, 84), 1)),
                Case("a wider gap: amount -0.8", lambda f: told(f, *drawn(5, 3, 4, 86), -0.8)),
                Case("amount 0: no direction changes", lambda f: told(f, *drawn(4, 5, 3, 88), 0.0)),
                Case("features in the plane worked out by hand", by_hand),
                Case("images and texts stay as they are", left_alone),
            ],
            reread="section 3, on moving along the gap: which vector it is, how much of it each side takes, and the last step",
        )
