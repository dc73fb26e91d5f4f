"""Checks of lab 02: McNemar's mid-p value of two classifiers, with numbers that were worked out in fractions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.check.frame import Case, Mistake, judge, run_cases, takes
from labkit.check.nets import undisturbed
from labkit.check.vit.small import apply

_DIFFER = "only questions count that one of the two alone got right"
_ARRAYS = "`and`, `or` and `not` take one truth value: & | ~ work on arrays, question by question"
_HINTS = {
    "truth value of an array": _ARRAYS,
    "boolean subtract": "bool arrays have no minus: first & ~second is where the first alone is right",
    "boolean negative": "bool arrays have no minus: ~second is where the second is wrong",
    "division by zero": "m = 0: the two never differ, which a fair coin always explains: p = 1",
}  # fmt: skip


def mcnemar(function: Callable[..., Any]) -> None:
    """Check `mcnemar(first, second)`: -> (only_first, only_second, p), with p known for each pair of counts."""

    def answers(a: int, b: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
        """Answers with known counts: the first alone right, the second alone, both, neither; mixed in a known order."""
        first = np.repeat([True, False, True, False], (a, b, both, neither))
        second = np.repeat([False, True, True, False], (a, b, both, neither))
        order = np.argsort(np.arange(len(first)) * 0.6180339887 % 1)
        return first[order], second[order]

    def coins(m: int) -> np.ndarray:
        """Chances of 0, 1, ... m heads of m coins, coin by coin."""
        chances = np.ones(1)
        for _ in range(m):
            chances = (np.append(chances, 0) + np.append(0, chances)) / 2
        return chances

    def known(a: int, b: int, both: int, neither: int, want: float) -> dict[str, tuple[float, float, float]]:
        """What well-known mistakes give."""
        n, m, k, top = a + b + both + neither, a + b, min(a, b), max(a, b)
        chances = coins(m)
        below, at = float(chances[:k].sum()), float(chances[k])

        def far(x: float) -> float:
            """The chance that a squared standard normal number is above x."""
            return math.erfc(math.sqrt(x / 2))

        def mid(one: int, other: int, of: int | None = None) -> float:
            """The mid-p value of other counts: each number of heads has its weight, 2, 1 or 0."""
            row = coins(one + other if of is None else of)
            return float(row @ (1 - np.sign(np.arange(len(row)) - min(one, other))))

        right_a, right_b = a + both, b + both
        pooled = (right_a + right_b) / (2 * n)
        spread = math.sqrt(2 * pooled * (1 - pooled) / n)
        unpaired = far(((right_a - right_b) / n / spread) ** 2) if spread else math.nan
        chi, corrected = ((a - b) ** 2 / m, (max(abs(a - b) - 1, 0)) ** 2 / m) if m else (math.nan, math.nan)
        plain = (max(abs(a - b) - 1, -9) ** 2 / m) if m else math.nan
        normal = "this is an approximation by the normal distribution"
        ps = {
            "m = 0: the two never differ, which a fair coin always explains: p = 1": 0.0 if not m else math.inf,
            "this is the exact p, 2 P(K <= k) at most 1: it is more conservative than mid-p, which counts P(K = k) once":
                min(1.0, 2 * (below + at)),
            "this is 2 P(K <= k), which may be above 1: mid-p counts P(K = k) once": 2 * (below + at),
            "this is one-sided, P(K <= k): a difference may be to either side": below + at,
            "this is half of it, the one-sided mid-p: a difference may be to either side": want / 2,
            "this is P(K < k), one-sided, and P(K = k) is missing": below,
            "this is 2 P(K < k): P(K = k) is missing": 2 * below,
            "this is 2 P(K <= k) + P(K = k): cdf(k) has P(K = k) in it, cdf(k - 1) has not": 2 * below + 3 * at,
            "this is P(K = k) alone": at,
            "k is the larger of the two counts: it is the smaller": 2 * float(chances[:top].sum()) + float(chances[top]),
            "k is the larger of the two counts, and p was cut off at 1: k is the smaller": 1.0,
            f"this is the chi-square test, without a correction: {normal}": far(chi),
            f"this is the chi-square test, with the continuity correction: {normal}": far(corrected),
            f"this is the chi-square test, with a continuity correction also for equal counts: {normal}": far(plain),
            "this is the test of two proportions, as if they had answered different questions: pairs tell more": unpaired,
            f"the binomial is over all n questions: {_DIFFER}, m": mid(a, b, n),
            f"the binomial is over the questions that both got right or both wrong: {_DIFFER}": mid(a, b, both + neither),
            "this is 1 - p": 1 - want}  # fmt: skip
        found = {cause: (a, b, p) for cause, p in ps.items()}
        counts = {
            "the counts are swapped: only_first is where the first alone is right": (b, a),
            f"these are all right answers of each: {_DIFFER}": (right_a, right_b),
            f"these are all wrong answers of each: {_DIFFER}": (b + neither, a + neither),
            f"these are the questions that both got right, and those that both got wrong: {_DIFFER}": (both, neither),
            f"these are the questions that both got wrong, and those that both got right: {_DIFFER}": (neither, both),
            "questions on which they agree were counted, by == or ~(first ^ second)": (both + neither,) * 2,
            "each of the two is the number of questions on which they differ": (m, m)}  # fmt: skip
        for cause, (one, other) in counts.items():
            found[f"{cause}; p is right for the counts asked for"] = (one, other, want)
            found[cause] = (one, other, mid(one, other))
        return {
            **found,
            "p comes last": (want, a, b),
            "these are shares of the questions: return how many they are": (a / n, b / n, want),
            f"p was worked out from all right answers of each: {_DIFFER}": (a, b, mid(right_a, right_b)),
        }

    def run(f: Callable[..., Any], first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
        takes(f, "first", "second")
        with np.errstate(all="ignore"):
            out = apply(f, first, second, hints=_HINTS)
        if not isinstance(out, tuple | list) or len(out) != 3:
            raise Mistake("only_first, only_second and p", type(out).__name__,
                          "the function has no return statement" if out is None else "return all three")  # fmt: skip
        return dict(zip(("only_first", "only_second", "p"), out, strict=True))

    def told(f: Callable[..., Any], *rows: tuple[int, int, int, int, float]) -> None:
        for a, b, both, neither, p in rows:
            got = run(f, *answers(a, b, both, neither))
            for name, value in got.items():
                if np.ndim(value):
                    raise Mistake(f"a number for {name}", f"shape {np.shape(value)}",
                                  "float(...) makes one of an array of one number, sum() counts")  # fmt: skip
                if not isinstance(value, str) and value is not None and np.isnan(float(value)):
                    raise Mistake(f"{name} is a number", "NaN", "0 / 0: where m = 0 the two never differ, and p = 1")
            wrong = functools.partial(known, a, b, both, neither, p)
            judge(got, {"only_first": a, "only_second": b, "p": p}, wrong, rtol=1e-6, atol=1e-12)

    def left_alone(f: Callable[..., Any]) -> None:
        first, second = answers(4, 2, 3, 5)
        run(f, first, second)
        if any(not np.array_equal(x, y) for x, y in zip((first, second), answers(4, 2, 3, 5), strict=True)):
            raise Mistake("first and second unchanged", "changed values", "an operation in place (&=, or out=)")

    with undisturbed():
        run_cases(
            "mcnemar",
            function,
            [
                Case("the first alone is right 9 times, the second 3 times", lambda f: told(f, (9, 3, 17, 6, 189 / 2048))),
                Case("the second alone is right more often", lambda f: told(f, (2, 7, 5, 30, 7 / 64), (1, 3, 8, 2, 3 / 8))),
                Case("only one of them is ever right alone", lambda f: told(f, (5, 0, 4, 1, 1 / 32), (0, 1, 0, 0, 1 / 2))),
                Case("as many to either side", lambda f: told(f, (6, 6, 10, 3, 1.0), (1, 1, 0, 0, 1.0))),
                Case("they never differ, so that m = 0", lambda f: told(f, (0, 0, 5, 7, 1.0), (0, 0, 3, 0, 1.0))),
                Case("2,000 questions", lambda f: told(f, (130, 90, 1500, 280, 0.00699472939295214))),
                Case("first and second stay as they are", left_alone),
            ],
            reread="section 5, on McNemar's test: which questions count, what K is, and how often P(K = k) is counted",
        )
