"""Checks of lab 05: the closest orthogonal map, with features that are made so that it is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.clip.small import apply, features, intact, orthogonal, plane, tensor, unit
from labkit.check.frame import F64, Case, Mistake, judge, run_cases, takes
from labkit.check.nets import undisturbed

_VH = "torch.linalg.svd and numpy give V already transposed, as Vh: source.T @ target = U diag(S) Vh"
_AS_THEY_ARE = "features are taken as they are"
_HINTS = {
    "singular": "nothing is to be inverted: with fewer rows than dimensions, source.T @ target has no inverse",
    "Singular": "nothing is to be inverted: with fewer rows than dimensions, source.T @ target has no inverse",
    "mat1 and mat2 shapes cannot be multiplied": "source.T @ target is (D, D), for any number of rows",
    "must have the same dtype": "R has the dtype of the features: make new tensors like them",
    "expected m1 and m2 to have the same dtype": "R has the dtype of the features: make new tensors like them",
}  # fmt: skip


def procrustes(function: Callable[..., Any]) -> None:
    """Check `procrustes(source, target)`: -> the orthogonal R (D, D), known, for which source @ R is closest to target."""

    def made(n: int, d: int, seed: int, *, reflects: bool = False) -> tuple[Tensor, Tensor, dict[str, tuple[Tensor]], Tensor]:
        """Source, target, what well-known mistakes give, and R.

        The target is such that source.T @ target = R @ H, for an H = V S V.T that only stretches; then R is the closest.
        """
        source, r, v = features(n, d, seed=seed), orthogonal(d, seed + 1, reflects=reflects), orthogonal(d, seed + 2)
        s = 5.0 * 0.6 ** torch.arange(d, dtype=F64)
        product = r @ (v * s) @ v.T
        grown = source @ torch.linalg.solve(source.T @ source, product)
        rest = features(n, d, seed=seed + 3)
        target = grown + rest - source @ torch.linalg.solve(source.T @ source, source.T @ rest)  # the rest is across the source
        fit = torch.linalg.solve(source.T @ source, product)
        u, last = r @ v, torch.ones(d, dtype=F64)
        last[-1] = -1
        found = {
            "R is transposed: this brings target @ R closest to source. The product is U Vh, of the SVD of source.T @ target":
                r.T,
            "this is source.T @ target itself: the singular values are left out of the product": product,
            "this is target.T @ source itself": product.T,
            "this is least squares, which stretches, too: R is orthogonal": fit,
            "this is least squares the other way, from target to source: R is orthogonal":
                torch.linalg.lstsq(target, source).solution,
            "this is the inverse of source.T @ target": torch.linalg.inv(product),
            "this is the transposed inverse of source.T @ target": torch.linalg.inv(product).T,
            "this is the identity: nothing is turned": torch.eye(d, dtype=F64),
            "R was scaled to fit best: rotations and reflections alone keep lengths": r * s.sum() / source.square().sum(),
            "the sign of R is turned round": -r,
            "a sign was changed so that the determinant is 1: reflections are allowed": (u * last) @ v.T,
            "a sign was changed so that the determinant is 1, in the wrong place too: reflections are allowed":
                (u * last.flip(0)) @ v.T,
            "this is source @ R: return R": source @ r,
            "these are the singular values": s}  # fmt: skip
        signs = [torch.tensor(row, dtype=F64) for row in itertools.product((1, -1), repeat=d)]  # an SVD leaves them open
        for a in signs:
            for cause, other in {
                "this is U alone: R is U Vh": u * a, "this is U, transposed: R is U Vh": (u * a).T,
                "this is V alone: R is U Vh": v * a, "this is Vh alone: R is U Vh": (v * a).T,
                f"this is U V, with the transpose of what is transposed already: {_VH}": (u * a) @ (v * a),
                f"this is U.T Vh: R is U Vh. {_VH}": (u * a).T @ (v * a).T,
                f"this is U.T V: R is U Vh. {_VH}": (u * a).T @ (v * a),
                f"this is Vh U, in the wrong order: R is U Vh. {_VH}": (v * a).T @ (u * a)}.items():  # fmt: skip
                found[f"{cause}{' ' * len(found)}"] = other
        return source, target, {cause: (value,) for cause, value in found.items()}, r

    def mapped(f: Callable[..., Any], source: Tensor, target: Tensor) -> Tensor:
        takes(f, "source", "target")
        out = apply(f, source.clone(), target.clone(), hints=_HINTS)
        if isinstance(out, tuple | list) and len(out) == 2:
            raise Mistake("one tensor (D, D)", "a pair", "scipy's orthogonal_procrustes returns R and a number: return R alone")
        if isinstance(out, tuple | list) and len(out) == 3:
            raise Mistake("one tensor (D, D)", "three", "this is U, S and Vh: R is a product of two of them")
        out = tensor(out, "(D, D)")
        n, d = source.shape
        if tuple(out.shape) != (d, d):
            causes: dict[tuple[int, ...], str] = {
                (n, n): "source @ target.T is (N, N), of pairs of rows: source.T @ target is (D, D)",
                (n, d): "these are features: return R itself"}  # fmt: skip
            raise Mistake(f"R of shape {(d, d)}", f"shape {tuple(out.shape)}", causes.get(tuple(out.shape), ""))
        if out.dtype != source.dtype:
            raise Mistake(f"R of dtype {str(source.dtype)[6:]}, as the features are", str(out.dtype)[6:],
                          "leave the dtype as it comes, without float() or a new tensor of another one")  # fmt: skip
        return out

    def told(
        f: Callable[..., Any], source: Tensor, target: Tensor, known: Callable[[], Any], want: Tensor, atol: float = 1e-6
    ) -> None:
        out = mapped(f, source, target)
        try:
            judge({"R": out}, {"R": want}, known, atol=atol)
        except Mistake as mistake:
            cause = mistake.cause.strip()
            raise Mistake(mistake.expected, mistake.got, cause or reason(out, source, target, want)) from None

    def reason(out: Tensor, source: Tensor, target: Tensor, want: Tensor) -> str:
        """What can be said of an R that no known mistake explains."""
        got = out.detach()
        off = float((got.T @ got - torch.eye(len(got), dtype=got.dtype)).abs().max())
        if off > 1e-4:
            return f"R is not orthogonal, since R.T @ R is not the identity: {_VH}"
        sums = [float((source @ r - target).square().sum()) for r in (got, want)]
        return (f"R is orthogonal, but it leaves a sum of squared distances of {sums[0]:.4g} where {sums[1]:.4g} is possible: "
                f"the SVD is that of source.T @ target, and {_AS_THEY_ARE}")  # fmt: skip

    def noisy(f: Callable[..., Any], n: int, d: int, seed: int, **options: bool) -> None:
        source, target, causes, want = made(n, d, seed, **options)
        told(f, source, target, lambda: causes, want)

    def flat(f: Callable[..., Any], seed: int, *, reflects: bool) -> None:
        """In the plane the best R has an angle that can be worked out."""
        source = features(9, 2, seed=seed)
        target = source @ orthogonal(2, seed + 1, reflects=reflects) * 2 + features(9, 2, seed=seed + 2, off=2.0)

        def known() -> dict[str, tuple[Tensor]]:
            ones, middle = (unit(source), unit(target)), (source - source.mean(0), target - target.mean(0))
            line = torch.linalg.lstsq(source, target).solution
            return {cause: (value,) for cause, value in {
                f"the rows were normalised first: {_AS_THEY_ARE}": plane(*ones),
                f"the source's rows were normalised first: {_AS_THEY_ARE}": plane(ones[0], target),
                f"the target's rows were normalised first: {_AS_THEY_ARE}": plane(source, ones[1]),
                f"the features were centred first: {_AS_THEY_ARE}": plane(*middle),
                f"the features were centred and normalised first: {_AS_THEY_ARE}": plane(*map(unit, middle)),
                "reflections are allowed, and one fits best here: leave the determinant as it is":
                    plane(source, target, mirrors=False),
                "R is transposed: this brings target @ R closest to source": plane(target, source),
                "this is least squares made orthogonal: R is closest of the orthogonal ones, for the features themselves":
                    plane(torch.eye(2, dtype=F64), line),
                "only the means were brought close: all rows count": plane(source.mean(0)[None], target.mean(0)[None]),
                "only the first row was brought close: all rows count": plane(source[:1], target[:1]),
                "this is the identity: nothing is turned": torch.eye(2, dtype=F64)}.items()}  # fmt: skip

        told(f, source, target, known, plane(source, target))

    def by_hand(f: Callable[..., Any]) -> None:
        """A quarter of a turn: (1, 0) goes to (0, 1), and (0, 1) to (-1, 0)."""
        source = torch.tensor([[2, 0], [0, 1], [1, 1]], dtype=F64)
        target, want = (torch.tensor(rows, dtype=F64) for rows in ([[0, 2], [-1, 0], [-1, 1]], [[0, 1], [-1, 0]]))
        turned = "R is transposed: rows are multiplied from the left, source @ R"
        told(f, source, target, lambda: {turned: (want.T,)}, want)

    def few(f: Callable[..., Any], n: int, d: int, seed: int) -> None:
        """With fewer rows than dimensions many R are equally good: R is orthogonal, and the distance the least."""
        source, target = features(n, d, seed=seed), features(n, d, seed=seed + 1)
        out = mapped(f, source, target).detach()
        if not torch.allclose(out.T @ out, torch.eye(d, dtype=F64), atol=1e-6):
            raise Mistake("an orthogonal R", "R.T @ R that is not the identity",
                          "there are fewer rows than dimensions, so that "
                          "some singular values are 0: divide by none, and keep all D columns of U and rows of Vh")  # fmt: skip
        least = float(source.square().sum() + target.square().sum()) - 2 * np.linalg.norm((source.T @ target).numpy(), "nuc")
        got = float((source @ out - target).square().sum())
        if got > least + 1e-6 * (1 + least):
            raise Mistake(f"a sum of squared distances of {least:.6g}", f"{got:.6g}",
                          "another R brings the rows closer: the SVD is that of source.T @ target, "
                          f"and {_AS_THEY_ARE}")  # fmt: skip

    def single(f: Callable[..., Any]) -> None:
        source, target, causes, want = made(40, 4, 250)
        told(f, source.float(), target.float(), lambda: causes, want, 2e-4)

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "source", "target")
        intact(f, {"source": features(6, 4, seed=260), "target": features(6, 4, seed=261)}, hints=_HINTS)

    with undisturbed():
        run_cases(
            "procrustes",
            function,
            [
                Case("twelve rows of four features, a rotation", lambda f: noisy(f, 12, 4, 200)),
                Case("nine rows of three features, a reflection", lambda f: noisy(f, 9, 3, 210, reflects=True)),
                Case("three rows in the plane, worked out by hand", by_hand),
                Case("nine rows in the plane, of unequal lengths and off centre", lambda f: flat(f, 220, reflects=False)),
                Case("nine rows in the plane, mirrored", lambda f: flat(f, 230, reflects=True)),
                Case("three rows of six features: fewer rows than dimensions", lambda f: few(f, 3, 6, 240)),
                Case("features in float32", single),
                Case("source and target stay as they are", left_alone),
            ],
            reread="section 4, on Procrustes: which matrix the SVD is of, which two factors stay, and on which side R stands",
        )
