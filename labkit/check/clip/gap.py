"""Checks of lab 05: four numbers on two modalities, compared with sums over all pairs and with a case worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.clip.small import apply, features, intact
from labkit.check.frame import F64, Case, Mistake, compare, run_cases, takes
from labkit.check.nets import undisturbed

_KEYS = ("gap", "matched", "mismatched", "rmg")
_LENGTH = "all is computed on features of length 1: F.normalize(x, dim=-1)"
_OTHERS = "the diagonal holds the matched pairs: N² - N cosines are left without it"
_SELF = "each feature's distance of 0 from itself counts in w: it is over two *different* images, and texts"
_HINTS = {
    "mat1 and mat2 shapes cannot be multiplied": "cosines of all pairs are x @ y.T, (N, N)",
    "only one element tensors can be converted": "float(...) makes a number of one value: a mean or a norm is missing",
    "only 0-dimensional arrays can be converted": "float(...) makes a number of one value: a mean or a norm is missing",
    "elements cannot be converted to Scalar": "float(...) makes a number of one value: a mean or a norm is missing",
}  # fmt: skip


class _Pairs:
    """All pairs of two modalities one by one: their dot products and distances, in arrays (N, N)."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y, self.n = x, y, len(x)
        self.xy, self.xx, self.yy = (np.einsum("id,jd->ij", *rows) for rows in ((x, y), (x, x), (y, y)))
        self.own = np.eye(self.n, dtype=bool)

    def numbers(
        self,
        measure: Callable[[np.ndarray], np.ndarray] = lambda cosines: (1 - cosines) / 2,
        within: Callable[[np.ndarray], np.ndarray] | None = None,
        join: Callable[[float, float, float], float] = lambda m, a, b: m / (m + (a + b) / 2),
    ) -> tuple[float, float, float, float]:
        """The four numbers; of rmg with another measure of distance, another one for w, or other sums."""
        own, d, e = self.own, measure, within or measure
        away = np.hypot.reduce(self.x.sum(0) - self.y.sum(0)) / self.n
        m, a, b = d(self.xy)[own].mean(), e(self.xx)[~own].mean(), e(self.yy)[~own].mean()
        return float(away), float(self.xy[own].mean()), float(self.xy[~own].mean()), join(m, a, b)


def gap_metrics(function: Callable[..., Any]) -> None:
    """Check `gap_metrics(images, texts)`: -> the numbers 'gap', 'matched', 'mismatched' and 'rmg' of N pairs (N, D)."""

    def scaled(v: np.ndarray, *, dim: int | None = -1, power: int = 2) -> np.ndarray:
        size: np.ndarray = (np.abs(v) ** power).sum(axis=dim, keepdims=True) ** (1 / power)
        return np.divide(v, size, out=np.zeros_like(v), where=size > 0)

    def known(images: Tensor, texts: Tensor) -> dict[str, dict[str, Any]]:
        """What well-known mistakes give, by number and cause."""
        raw = (images.numpy(), texts.numpy())
        x, y = (scaled(v) for v in raw)
        pairs = _Pairs(x, y)
        right, own, n = dict(zip(_KEYS, pairs.numbers(), strict=True)), pairs.own, pairs.n
        mx, my = x.mean(0), y.mean(0)
        between, apart = mx - my, np.sqrt(((x[:, None] - y) ** 2).sum(2))
        upper = np.triu(np.ones((n, n), bool), 1)

        def euclid(c: np.ndarray) -> np.ndarray:
            return np.sqrt(np.maximum(2 - 2 * c, 0))

        def half(c: np.ndarray) -> np.ndarray:
            return (1 - c) / 2

        def rmg(**options: Any) -> float:
            return pairs.numbers(**options)[3]

        m, w_all = half(pairs.xy[own].mean()), (half(pairs.xx).mean() + half(pairs.yy).mean()) / 2
        w = m / right["rmg"] - m if right["rmg"] else 1.0
        triangle = half((pairs.xx[upper].sum() + pairs.yy[upper].sum()) / (n * n - n) / 2)
        found: dict[str, dict[str, Any]] = {
            "gap": {
                "this is the mean distance of the pairs: the distance is that of the two means": apart[own].mean(),
                "this is the mean distance of every image from every text: the distance is that of the two means": apart.mean(),
                "this is the squared distance: take the root": between @ between,
                "the means were normalised before their distance was taken: take them as they are":
                    np.hypot.reduce(scaled(mx) - scaled(my)),
                "this is the cosine of the two means: their distance is asked for": scaled(mx) @ scaled(my),
                "this is 1 - the cosine of the two means: the Euclidean distance is asked for": 1 - scaled(mx) @ scaled(my),
                "this is (1 - cosine) / 2 of the two means: the Euclidean distance is asked for": half(scaled(mx) @ scaled(my)),
                "this is the dot product of the two means": mx @ my,
                "this is the sum of the |differences|: the Euclidean distance is asked for": np.abs(between).sum(),
                "this is the mean of the |differences|: the Euclidean distance is asked for": np.abs(between).mean(),
                "this is the largest |difference|: the Euclidean distance is asked for": np.abs(between).max(),
                "the squares were averaged over D: they are added up": np.sqrt((between**2).mean()),
                "this is the difference of the lengths of the means: take the length of the difference":
                    np.hypot.reduce(mx) - np.hypot.reduce(my),
                "this is the difference of the means, a vector: take its length": between,
                "this is the distance of the sums: divide by N": n * right["gap"],
                "means are over the features, dimension 1: they are over the images, dimension 0":
                    np.hypot.reduce(x.mean(1) - y.mean(1)),
                "this is the median point of each modality: take the mean": np.hypot.reduce(np.median(x, 0) - np.median(y, 0)),
                "the sign is turned round: a distance is not below 0": -right["gap"]},
            "matched": {
                "this is the mean over all pairs: an image's own text stands on the diagonal": pairs.xy.mean(),
                "this is the mismatched ones' number": right["mismatched"],
                "this is the sum over the pairs: divide by N": n * right["matched"],
                "the diagonal was divided by N²: it has N numbers": right["matched"] / n,
                "the products were averaged over D, too: a cosine is their sum": right["matched"] / x.shape[1],
                "this is the mean distance: the cosine is asked for": m,
                "this is 1 - cosine: the cosine is asked for": 2 * m,
                "this is the Euclidean distance: the cosine is asked for": apart[own].mean(),
                "this is the cosine of the two means: take the mean of the cosines": scaled(mx) @ scaled(my),
                "these are the cosines of each pair: take their mean": pairs.xy[own],
                "this is the median: take the mean": np.median(pairs.xy[own])},
            "mismatched": {
                f"this is the mean over all pairs, with the matched ones: {_OTHERS}": pairs.xy.mean(),
                f"the diagonal was set to 0 or subtracted, but it still counts: {_OTHERS}": pairs.xy[~own].sum() / n**2,
                f"the sum was divided by N² - 1: {_OTHERS}": pairs.xy[~own].sum() / (n**2 - 1) if n > 1 else np.nan,
                f"the sum was divided by N: {_OTHERS}": pairs.xy[~own].sum() / n,
                f"the sum of all, with the diagonal, was divided by N² - N: {_OTHERS}": pairs.xy.sum() / (n * n - n),
                "this is the sum: divide by their number, N² - N": pairs.xy[~own].sum(),
                "this is the matched ones' number": right["matched"],
                "these are texts among themselves: an image with each other one's text": pairs.yy[~own].mean(),
                "these are images among themselves: an image with each other one's text": pairs.xx[~own].mean(),
                "these are images among themselves, and texts: an image with each other one's text":
                    (pairs.xx[~own].mean() + pairs.yy[~own].mean()) / 2,
                "each image has one other text alone, that of the pair before: all others count":
                    (x * np.roll(y, 1, 0)).sum(1).mean(),
                "each image has one other text alone, that of the next pair: all others count":
                    (x * np.roll(y, -1, 0)).sum(1).mean(),
                "half of the pairs are missing: (i, j) and (j, i) differ, both triangles count": pairs.xy[upper].mean(),
                "half of the pairs are missing: (i, j) and (j, i) differ, the other triangle counts too":
                    pairs.xy.T[upper].mean(),
                "this is the mean distance: the cosine is asked for": half(pairs.xy[~own].mean()),
                "this is 1 - cosine: the cosine is asked for": 1 - pairs.xy[~own].mean(),
                "these are the cosines of each pair: take their mean": pairs.xy[~own]},
            "rmg": {
                "this is m / w: divide by m + w": m / w,
                "this is 1 - rmg, w / (m + w)": 1 - right["rmg"],
                "this is m - w": m - w,
                "this is m alone": m,
                "this is w alone": w,
                "w is twice as large: it is the mean of two numbers, not their sum, and its distances are halved as those of m":
                    rmg(join=lambda m, a, b: m / (m + a + b)),
                f"{_SELF}": m / (m + w_all),
                "w is of images alone: take the mean with that of texts": rmg(join=lambda m, a, b: m / (m + a)),
                "w is of texts alone: take the mean with that of images": rmg(join=lambda m, a, b: m / (m + b)),
                "w is the distance of mismatched pairs: it is within a modality": m / (m + half(pairs.xy[~own].mean())),
                "m is the mean over all pairs: it is over images and their own texts":
                    half(pairs.xy.mean()) / (half(pairs.xy.mean()) + w),
                "m is over mismatched pairs: it is over images and their own texts":
                    half(pairs.xy[~own].mean()) / (half(pairs.xy[~own].mean()) + w),
                "w was halved and m was not: distances are (1 - cosine) / 2 in both":
                    rmg(measure=lambda c: 1 - c, within=half),
                "these are Euclidean distances: (1 - cosine) / 2 is asked for": rmg(measure=euclid),
                f"these are Euclidean distances, and {_SELF}": (e := apart[own].mean()) / (
                    e + (euclid(pairs.xx).mean() + euclid(pairs.yy).mean()) / 2),
                "these are cosines in place of distances, (1 - cosine) / 2": rmg(measure=lambda c: c),
                "these are 1 + cosine in place of distances, (1 - cosine) / 2": rmg(measure=lambda c: 1 + c),
                "these are angles: distances are (1 - cosine) / 2": rmg(measure=lambda c: np.arccos(c.clip(-1, 1))),
                "this is gap / (gap + w): m is the mean distance of the pairs": right["gap"] / (right["gap"] + w),
                "one triangle was added up and divided by N² - N, the number of both": m / (m + triangle)}}  # fmt: skip
        others = {
            f"the features were not normalised: {_LENGTH}": raw,
            "the images were not normalised": (raw[0], y),
            "the texts were not normalised": (x, raw[1]),
            "normalised along dimension 0: the length is that of a row, dim=-1": tuple(scaled(v, dim=0) for v in raw),
            "all rows were divided by one length, that of the whole table: each has its own":
                tuple(scaled(v, dim=None) for v in raw),
            "rows were divided by the sum of their |values|: the length is the root of the sum of squares":
                tuple(scaled(v, power=1) for v in raw),
            "the features were centred: the mean is what this is about": tuple(scaled(v - v.mean(0)) for v in raw),
            "the unit features were centred: the mean is what this is about": (x - mx, y - my),
            "the unit features were centred and normalised again: the mean is what this is about": (
                scaled(x - mx), scaled(y - my))}  # fmt: skip
        for cause, rows in others.items():
            for name, value in zip(_KEYS, _Pairs(*rows).numbers(), strict=True):
                found[name].setdefault(cause, value)
        return found

    def run(f: Callable[..., Any], images: Tensor, texts: Tensor) -> dict[str, Any]:
        takes(f, "images", "texts")
        out = apply(f, images.clone(), texts.clone(), hints=_HINTS)
        if not isinstance(out, dict) or not set(_KEYS) <= set(out):
            got = f"keys {', '.join(map(repr, out))}" if isinstance(out, dict) else type(out).__name__
            raise Mistake(f"a dict with the keys {', '.join(map(repr, _KEYS))}", got if out is not None else "None",
                          "the function has no return statement" if out is None else
                          "the names are as they stand in the docstring" if isinstance(out, dict) else "")  # fmt: skip
        if extra := [key for key in out if key not in _KEYS]:
            raise Mistake(f"the keys {', '.join(map(repr, _KEYS))} alone", f"{extra[0]!r} too", "leave it out")
        return out

    def told(f: Callable[..., Any], images: Tensor, texts: Tensor, want: tuple[float, ...] | None = None) -> None:
        out = run(f, images, texts)
        if want is None:
            want = _Pairs(*(scaled(v.numpy()) for v in (images, texts))).numbers()
        for name, value in zip(_KEYS, want, strict=True):
            if getattr(out[name], "requires_grad", False):
                raise Mistake(f"{name}: a number", "a tensor with a graph", "float(...) makes a number of a tensor")
            try:
                try:
                    compare(out[name], value, rtol=1e-5, atol=1e-6)
                except Mistake:
                    compare(out[name], value, rtol=1e-5, atol=1e-6, known=known(images, texts)[name])
            except Mistake as mistake:
                raise Mistake(f"{name}: {mistake.expected}", f"{name}: {mistake.got}", mistake.cause) from None

    def by_hand(f: Callable[..., Any]) -> None:
        """Cosines are 0.6 within a pair, 0 between pairs and images, 0.64 between the texts."""
        images = torch.tensor([[5, 0, 0], [0, 0.5, 0]], dtype=F64)
        texts = torch.tensor([[3, 0, 4], [0, 6, 8]], dtype=F64)
        told(f, images, texts, (0.72**0.5, 0.6, 0.0, 10 / 27))

    def drawn(n: int, d: int, seed: int, off: float = 0.8) -> tuple[Tensor, Tensor]:
        return features(n, d, seed=seed, off=off), features(n, d, seed=seed + 1, off=off)

    def same(f: Callable[..., Any]) -> None:
        """Texts of the same directions as the images: no gap, whatever their lengths."""
        images = features(6, 4, seed=23)
        within = float(_Pairs(rows := scaled(images.numpy()), rows).numbers()[2])
        told(f, images, images * torch.arange(1, 7)[:, None], (0.0, 1.0, within, 0.0))

    with undisturbed():
        run_cases(
            "gap_metrics",
            function,
            [
                Case("two pairs worked out by hand", by_hand),
                Case("seven pairs of five features", lambda f: told(f, *drawn(7, 5, 20))),
                Case("nine pairs, both far from 0", lambda f: told(f, *drawn(9, 4, 24, off=3.0))),
                Case("four pairs of twelve features", lambda f: told(f, *drawn(4, 12, 26))),
                Case("texts of the same directions as the images", same),
                Case("images and texts stay as they are",
                     lambda f: intact(f, {"images": features(5, 4, seed=28), "texts": features(5, 4, seed=29)}, hints=_HINTS)),
            ],
            reread="section 2, on measuring the gap: lengths of 1, and which pairs each of the four numbers is a mean of",
        )  # fmt: skip
