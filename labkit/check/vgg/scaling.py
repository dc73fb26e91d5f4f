"""Checks of lab 06: what scaling the features does to a linear SVM."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.frame import Case, Mistake, compare, draw, run_cases, takes, unchanged

_PAY = "shorter features need a longer v for the same decisions, and 1/2 |v|^2 makes the SVM pay for it"


def same_svm(function: Callable[..., Any]) -> None:
    """Check `same_svm(x, C, s)`: -> (u, C_u), judged by the decisions of scikit-learn's LinearSVC on x and on u."""

    def data() -> tuple[Tensor, np.ndarray]:
        """40 points of two classes that overlap, of different lengths."""
        labels = np.arange(40) % 2
        return 2 * draw(40, 3, seed=3) + torch.tensor([1.0, -0.5, 0.3]) * torch.from_numpy(2 * labels - 1)[:, None], labels

    def both(f: Callable[..., Any], x: Any, C: float, s: float) -> tuple[Any, Any]:
        takes(f, "x", "C", "s")
        out = f(x, C, s)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair: u and C_u", type(out).__name__,
                          "the function has no return statement" if out is None else "return both")  # fmt: skip
        return out[0], out[1]

    def features(f: Callable[..., Any]) -> None:
        x, _ = data()
        lengths = x.square().sum(1, keepdim=True).sqrt()
        for s in (4.0, 0.5):
            u, _ = both(f, x.clone(), 1.0, s)
            if np.ndim(u) == 0 and u is not None:
                raise Mistake("features u of shape (40, 3)", "a number", "the pair is swapped: u comes first")
            compare(u, x.numpy() * (1 / s), known={
                "multiplied by s: u is shorter by the factor s": x * s,
                "each row was divided by its own length: one number s for all, or directions alone are left": x / lengths,
                "each row was divided by its own length and by s: s alone": x / lengths / s,
                "divided by the mean length of the rows: divide by s, which is only sometimes that": x / lengths.mean(),
                "divided by s twice": x * s**-2,
                "the mean was subtracted: a shift is no scaling, and there is no intercept": (x - x.mean(0)) / s,
                "divided by the root of s": x * s**-0.5,
                "these are the features x themselves": x})  # fmt: skip

    def weight(f: Callable[..., Any]) -> None:
        x, _ = data()
        for C, s, want in ((0.5, 3.0, 4.5), (7.0, 0.2, 0.28), (2.0, 1.0, 2.0), (1, 10, 100)):
            got = both(f, x.clone(), C, s)[1]
            compare(got, want, known={
                f"C was left as it is: {_PAY}": C,
                "divided by s: u is shorter, so that v is longer, and errors must weigh more": C / s,
                "divided by the square of s: v = s w, so that |v|^2 is larger": C * s**-2,
                "multiplied by s once: it is |v|^2 that grows, not |v|": C * s,
                "multiplied by the root of s": C * math.sqrt(s),
                "multiplied by s three times": C * s * s * s,
                "multiplied by half of the squared s: the 1/2 stands before both |v|^2 and |w|^2": C * s * s / 2,
                "s alone was squared, and C forgotten": s * s,
                "multiplied by the number of features": 3 * C,
                "multiplied by the number of images": 40 * C}, rtol=1e-6)  # fmt: skip

    def decisions(f: Callable[..., Any]) -> None:
        from sklearn.svm import LinearSVC

        def decide(x: Any, C: float, loss: str) -> np.ndarray:
            svm = LinearSVC(C=C, loss=loss, fit_intercept=False, dual=True, tol=1e-9, max_iter=20_000, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a wrong C may be too large to converge: that shows in the numbers
                values: np.ndarray = svm.fit(x, labels).decision_function(x)
            return values

        points, labels = data()
        x = points.numpy()
        for loss, C, s in (("squared_hinge", 0.02, 4.0), ("squared_hinge", 0.05, 0.3), ("hinge", 0.01, 2.5)):
            u, C_u = both(f, points.clone(), C, s)
            try:
                u, C_u = np.asarray(u, dtype=float), float(C_u)
            except (TypeError, ValueError, RuntimeError):
                raise Mistake("an array u and a number C_u", f"{type(u).__name__} and {type(C_u).__name__}") from None
            if u.shape != x.shape or not (np.isfinite(u).all() and 0 < C_u < math.inf):
                raise Mistake(f"u of shape {x.shape} and C_u above 0", f"shape {u.shape} and {C_u:.4g}")
            want, got = decide(x, C, loss), decide(u, C_u, loss)
            off = np.abs(got - want).max() / np.abs(want).max()
            if off > 1e-3:
                ratio = np.linalg.norm(got) / np.linalg.norm(want)
                cause = f"C_u is too {'large' if ratio > 1 else 'small'}" + (f": {_PAY}" if s > 1 > ratio else "")
                if not np.allclose(s * u, x):
                    cause = "u is no x / s, to which this C_u could belong"
                raise Mistake(
                    f"the same decision values, C = {C:g}, s = {s:g}", f"{100 * off:.2g} % off, C_u = {C_u:.4g}", cause
                )

    def left_alone(f: Callable[..., Any]) -> None:
        unchanged(lambda x: both(f, x, 1.0, 4.0), data()[0], what="x")

    run_cases(
        "same_svm",
        function,
        [
            Case("the features u, for s = 4 and s = 0.5", features),
            Case("C_u for four pairs of C and s", weight),
            Case("the decisions of LinearSVC on x and on u", decisions),
            Case("x stays as it is", left_alone),
        ],
        reread="section 4, on scale: put w = v / s into 1/2 |w|^2 + C * sum of losses, and make the first term 1/2 |v|^2",
    )
