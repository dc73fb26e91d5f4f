"""Checks of lab 03: walks through the generator's latent space."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes, unchanged

_STACK = "each pair has an angle of its own: take it along dim=-1 and keep that dimension (keepdim=True, or unsqueeze)"
_LAST = "the vectors lie along the last dimension: dim=-1 (F.cosine_similarity takes dim=1 by default)"
_SAME = (
    "rounding takes the cosine of parallel vectors above 1, where arccos is NaN, or sin(w) is 0: clamp, and go straight there"
)


def slerp(function: Callable[..., Any]) -> None:
    """Check `slerp(a, b, t)`: latent vectors a, b (..., nz) and a number t of 0..1 -> the vector on the arc, (..., nz).

    Source: White 2016, arXiv:1609.04468 (Shoemake 1985).
    """

    def on_the_arc(w: float, t: float) -> np.ndarray:
        """Weights of two unit vectors at an angle w, from scipy's points on the arc between them."""
        from scipy.spatial import geometric_slerp

        corners = np.array([[1.0, 0.0], [math.cos(w), math.sin(w)]])
        return np.linalg.solve(corners.T, geometric_slerp(*corners, t))

    def blend(a: Tensor, b: Tensor, t: float, angles: Tensor | None = None) -> Tensor:
        """The point at t of every pair, (..., nz)."""
        if angles is None:
            angles = torch.linalg.vecdot(normalize(a, dim=-1), normalize(b, dim=-1)).acos()
        weights = torch.tensor(np.array([on_the_arc(w, t) for w in angles.flatten().tolist()]), dtype=F64)
        weights = weights.reshape(*angles.shape, 1, 2)
        return weights[..., 0] * a + weights[..., 1] * b

    def plane() -> tuple[Tensor, Tensor, float]:
        """Two short vectors of different lengths, 70 degrees apart; the angle in radians."""
        w = math.radians(70)
        return torch.tensor([0.5, 0.0], dtype=F64), 0.8 * torch.tensor([math.cos(w), math.sin(w)], dtype=F64), w

    def along_last(test: Callable[[Callable[..., Any]], None]) -> Callable[[Callable[..., Any]], None]:
        def run(f: Callable[..., Any]) -> None:
            try:
                test(f)
            except IndexError as error:
                if "Dimension out of range" not in str(error):
                    raise
                raise Mistake("a vector for two vectors (nz,)", f"IndexError: {error}", _LAST) from None

        return run

    def half_way(f: Callable[..., Any]) -> None:
        takes(f, "a", "b", "t")
        a, b, w = plane()
        total = a + b
        raw = math.acos(0.5 * 0.8 * math.cos(w))
        compare(f(a, b, 0.5), total / (2 * math.cos(w / 2)), known={
            "this is the straight line": total / 2,
            "the angle came from the unnormalised vectors: divide the dot product by both lengths":
                total / (2 * math.cos(raw / 2)),
            "the result was scaled to length 1: the vectors keep their lengths": normalize(total, dim=-1),
            "the vectors were scaled to length 1: only the angle needs that": normalize(normalize(a, dim=-1)
                + normalize(b, dim=-1), dim=-1),
            "the direction is right, but the length was interpolated by itself": (a.norm() + b.norm()) / 2 * normalize(
                normalize(a, dim=-1) + normalize(b, dim=-1), dim=-1),
            "cosines in place of the sines above": total * math.cos(w / 2) / math.sin(w),
            "cosines in place of sines": total * math.cos(w / 2) / math.cos(w),
            "the division by sin(w) is missing": total * math.sin(w / 2),
            "divided by w in place of sin(w)": total * math.sin(w / 2) / w,
            "the angle is in degrees: sin takes radians": total / (2 * math.cos(math.degrees(w) / 2)),
            "the cosine was taken for the angle: w = arccos(cosine)": total / (2 * math.cos(math.cos(w) / 2))})  # fmt: skip

    def other_times(f: Callable[..., Any]) -> None:
        a, b, _ = plane()
        for t in (0.3, 0.85):
            line, right = torch.lerp(a, b, t), blend(a, b, t)
            compare(f(a, b, t), right, known={
                "this is the straight line": line,
                "t and 1 - t are swapped: t = 0 is a": blend(a, b, 1 - t),
                "the straight line was scaled: it is too fast in the middle": right.norm() * normalize(line, dim=-1),
                "the straight line was scaled to the length between those of a and b":
                    torch.lerp(a.norm(), b.norm(), t) * normalize(line, dim=-1),
                "the result was scaled to length 1: the vectors keep their lengths": normalize(right, dim=-1),
                "t is not used: this is half way": blend(a, b, 0.5)})  # fmt: skip

    def ends(f: Callable[..., Any]) -> None:
        a, b, _ = plane()
        for t, here, there in ((0.0, a, b), (1.0, b, a)):
            compare(f(a, b, t), here, known={
                "t and 1 - t are swapped: t = 0 is a, t = 1 is b": there,
                "the vectors were scaled to length 1: they keep their lengths": normalize(here, dim=-1)})  # fmt: skip

    def steady(f: Callable[..., Any]) -> None:
        """For vectors of one length, that length stays and the angle grows in proportion to t."""
        a, b = (7 * normalize(draw(64, seed=s), dim=-1) for s in (120, 121))
        w = float(torch.dot(a, b).div(49).acos())
        for t in (0.1, 0.25, 0.6):
            z = torch.as_tensor(f(a, b, t))
            if z.shape != a.shape or not bool(z.isfinite().all()):
                compare(z, blend(a, b, t))
            if abs(float(z.norm()) - 7) > 1e-4:
                causes = {"the result was scaled to length 1": 1.0,
                          "the straight line cuts the corner": float(torch.lerp(a, b, t).norm())}  # fmt: skip
                likely = [cause for cause, length in causes.items() if abs(float(z.norm()) - length) < 1e-4]
                raise Mistake("length 7, as a and b have", f"length {float(z.norm()):.4g}", *likely[:1])
            turned = float(torch.dot(a, z).div(49).clamp(-1, 1).acos())
            if abs(turned - t * w) > 1e-4:
                raise Mistake(f"an angle of {t * w:.4g} to a, {t} of the way", f"{turned:.4g}",
                              "t and 1 - t are swapped" if abs(turned - (1 - t) * w) < 1e-4 else
                              "the angle does not grow in proportion to t")  # fmt: skip

    def stacked(f: Callable[..., Any]) -> None:
        for shape in ((6, 6), (2, 3, 5)):
            a, b = draw(*shape, seed=122), 2 * draw(*shape, seed=123)
            try:
                got = f(a, b, 0.35)
            except (RuntimeError, IndexError, ValueError) as error:
                if isinstance(error, NotImplementedError):
                    raise
                cause = "no `if` on a batch: torch.where decides pair by pair" if "ambiguous" in str(error) else _STACK
                raise Mistake(f"shape {shape} for a batch", f"{type(error).__name__}: {error}", cause) from None
            one = torch.dot(a.flatten(), b.flatten()) / (a.norm() * b.norm())
            known = {
                f"one angle for the whole batch: {_STACK}": blend(a, b, 0.35, one.acos().expand(shape[:-1])),
                f"the angles are those of columns, not of rows: {_LAST}": blend(a.mT, b.mT, 0.35).mT}  # fmt: skip
            if len(shape) == 2:
                angles = torch.linalg.vecdot(normalize(a, dim=-1), normalize(b, dim=-1)).acos()
                known[f"each column got an angle, not each row: {_STACK}"] = blend(a.T, b.T, 0.35, angles).T
                across = torch.linalg.vecdot(normalize(a, dim=0), normalize(b, dim=0), dim=0).acos()
                known[f"each row got the angle of a column: {_LAST}"] = blend(a, b, 0.35, across)
            compare(got, blend(a, b, 0.35), known=known)

    def parallel(f: Callable[..., Any]) -> None:
        for dtype in (torch.float32, F64):
            a, other = draw(64, 16, seed=124).to(dtype), draw(64, 16, seed=125).to(dtype)
            aside = torch.arange(64)[:, None] % 4 == 0  # a quarter of the pairs is not parallel
            for scale in (1.0, 3.0):
                b = torch.where(aside, other, scale * a)
                got, line = torch.as_tensor(f(a, b, 0.25)), torch.lerp(a, b, 0.25)
                want = torch.where(aside, torch.zeros_like(line), line).double()
                want[::4] = blend(a[::4].double(), b[::4].double(), 0.25)
                if got.shape == want.shape:
                    if not bool(got.isfinite().all()):
                        raise Mistake("finite vectors, also where a and b are parallel", "NaN or inf", _SAME)
                    if float((got.norm(dim=-1) / want.norm(dim=-1)).min()) < 0.1:
                        raise Mistake("vectors as long as a and b are", "some far shorter",
                                      "an eps in the division makes parallel vectors 0: go straight there")  # fmt: skip
                compare(got, want, rtol=1e-4, atol=1e-4, known={
                    "one parallel pair makes the whole batch go straight: decide pair by pair (torch.where)": line,
                    "parallel vectors of different lengths go straight from a to b: this is a":
                        torch.where(aside, want, a.double()),
                    "parallel vectors of different lengths go straight from a to b: this is b":
                        torch.where(aside, want, b.double())})  # fmt: skip

    run_cases(
        "slerp",
        function,
        [
            Case("half way between two vectors that are 70 degrees apart", along_last(half_way)),
            Case("t = 0.3 and 0.85", along_last(other_times)),
            Case("both ends", along_last(ends)),
            Case("vectors of one length: it stays, and the angle grows in proportion to t", along_last(steady)),
            Case("batches, and stacked nets: leading dimensions", stacked),
            Case("pairs that are parallel, among others that are not", parallel),
            Case("a and b stay as they are", lambda f: unchanged(lambda a, b: f(a, b, 0.3), draw(3, 4), draw(3, 4, seed=1),
                                                                 what="a and b")),
        ],
        reread="section 4: the angle is that of the normalised vectors, the vectors that are added are a and b themselves",
    )  # fmt: skip
