"""Checks of lab 06: an arm that is chosen by cross-validation, and what the choice is worth."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes, unchanged

_ROUND = 1e-6  # accuracies may come in float32
_BY_TEST = "this is the arm that is best on the test images: choose by the folds alone"


def choose_then_test(function: Callable[..., Any]) -> None:
    """Check `choose_then_test(folds, test)`: -> the chosen arm, its test accuracy, and what choosing by the test would add."""

    def data() -> tuple[Tensor, Tensor]:
        """Seven arms and four folds. Arm 1 has the best mean, 4 the best fold, 0 the best worst fold, and 5 the best test."""
        folds = [[0.75, 0.75, 0.75, 0.74], [0.78, 0.72, 0.80, 0.86], [0.70, 0.71, 0.69, 0.72], [0.66, 0.70, 0.68, 0.72],
                 [0.60, 0.62, 0.84, 0.94], [0.70, 0.74, 0.66, 0.70], [0.50, 0.52, 0.55, 0.58]]  # fmt: skip
        return torch.tensor(folds, dtype=F64), torch.tensor([0.73, 0.75, 0.70, 0.71, 0.74, 0.84, 0.55], dtype=F64)

    def three(f: Callable[..., Any], folds: Tensor, test: Tensor) -> tuple[Any, Any, Any]:
        takes(f, "folds", "test")
        out = f(folds, test)
        if not isinstance(out, tuple | list) or len(out) != 3:
            cause = "the function has no return statement" if out is None else "return all three: arm, accuracy, overstatement"
            got = f"{len(out)} things" if isinstance(out, tuple | list) else type(out).__name__
            raise Mistake("three things", got, cause)
        return out[0], out[1], out[2]

    def best(values: list[float]) -> int:
        return max(range(len(values)), key=lambda arm: (values[arm], -arm))

    def arm(f: Callable[..., Any]) -> None:
        folds, test = data()
        rows = folds.tolist()
        want = best([fmean(row) for row in rows])
        compare(three(f, folds, test)[0], want, known={
            _BY_TEST: best(test.tolist()),
            "this is the arm with the best single fold: by chance one of many is high, so take the mean over folds":
                best([max(row) for row in rows]),
            "this is the arm whose worst fold is best: take the mean over folds": best([min(row) for row in rows]),
            "averaged over the arms, dimension 0: this is a fold. Average over the folds, dimension 1":
                best([fmean(column) for column in zip(*rows, strict=True)]),
            "this is the arm with the lowest mean": best([-fmean(row) for row in rows]),
            "arms are counted from 0": want + 1,
            "argmax without a mean counts through all of folds": best(folds.flatten().tolist()),
            "this is the arm's mean over folds: give its number first": fmean(rows[want]),
            "the order is arm, accuracy, overstatement": float(test[want])})  # fmt: skip

    def accuracy(f: Callable[..., Any]) -> None:
        folds, test = data()
        rows, marks = folds.tolist(), test.tolist()
        chosen = best([fmean(row) for row in rows])
        compare(three(f, folds, test)[1], marks[chosen], rtol=_ROUND, known={
            "this is the mean over folds, by which it was chosen: report the accuracy on the test images":
                fmean(rows[chosen]),
            "this is the best accuracy on the test images: report that of the chosen arm": max(marks),
            "this is the chosen arm's best fold: report its accuracy on the test images": max(rows[chosen]),
            "this is the mean of all arms on the test images": fmean(marks),
            "this is the test accuracy of the arm with the best single fold": marks[best([max(row) for row in rows])],
            "this is in percent: give it as in test": 100 * marks[chosen],
            "this is the overstatement: the order is arm, accuracy, overstatement": max(marks) - marks[chosen],
            **{f"this is the test accuracy of arm {i}, which was not to be chosen: see the first case": mark
               for i, mark in enumerate(marks) if i != chosen}})  # fmt: skip

    def overstatement(f: Callable[..., Any]) -> None:
        folds, test = data()
        means, marks = [fmean(row) for row in folds.tolist()], test.tolist()
        chosen = best(means)
        mark = marks[chosen]
        compare(three(f, folds, test)[2], max(marks) - mark, rtol=_ROUND, known={
            "the sign is turned: what overstates is above 0": mark - max(marks),
            "compared with the mean over folds: both are accuracies on the test images": max(marks) - means[chosen],
            "compared with the mean over folds, and the sign is turned": means[chosen] - max(marks),
            "this is the mean over folds minus the test accuracy: take the highest test accuracy of all arms":
                means[chosen] - mark,
            "this is the test accuracy minus the mean over folds: take the highest test accuracy of all arms":
                mark - means[chosen],
            "this is the best single fold minus the test accuracy: take the highest test accuracy":
                float(folds.max()) - mark,
            "this is relative to the test accuracy: it is a difference": max(marks) / mark - 1,
            "this is the highest test accuracy itself: subtract that of the chosen arm": max(marks),
            "this is 0, as if the arm had been chosen by the test": 0.0,
            "the arm that the test likes best was compared with its own folds":
                max(marks) - means[best(marks)]})  # fmt: skip

    def equals(f: Callable[..., Any]) -> None:
        folds = torch.tensor([[0.25, 0.5], [0.75, 0.5], [0.5, 0.75], [0.625, 0.625], [0.5, 0.5]], dtype=F64)
        for order, marks, last in (
            ([0, 1, 2, 3, 4], [0.3, 0.4, 0.6, 0.5, 0.7], 3),
            ([4, 3, 0, 2, 1], [0.3, 0.4, 0.7, 0.6, 0.5], 4),
        ):
            test = torch.tensor(marks, dtype=F64)
            got = three(f, folds[order], test)  # three arms have a mean of 0.625, exactly
            known = {
                "this is the last of equals: the first is asked for": last,
                "of equals the one that is best on the test was taken: the test is for the end, so take the first":
                    marks.index(0.6),
                _BY_TEST: marks.index(0.7)}  # fmt: skip
            plain = three(f, *data())[0]  # a choice that is wrong without equals has another cause
            compare(got[0], 1, known=known if plain is not None and np.all(np.asarray(plain) == 1) else {})
            compare(got[1], 0.4, rtol=_ROUND)

    def agreed(f: Callable[..., Any]) -> None:
        folds, test = data()
        test[1] = 0.9
        compare(three(f, folds, test)[2], 0.0, atol=_ROUND, known={
            "compared with the mean over folds: both are accuracies on the test images": 0.9 - fmean(folds[1].tolist()),
            "the chosen arm was left out of the highest test accuracy": 0.84 - 0.9})  # fmt: skip

    def drawn(f: Callable[..., Any]) -> None:
        for seed, (arms, k) in enumerate(((6, 3), (3, 6), (4, 4), (2, 5), (7, 2), (1, 3), (30, 5))):
            folds, test = draw(arms, k, seed=seed).sigmoid(), draw(arms, seed=50 + seed).sigmoid()
            chosen = best([fmean(row) for row in folds.tolist()])
            mark = float(test[chosen])
            got = three(f, folds, test)
            compare(got[0], chosen, known={_BY_TEST: best(test.tolist())} if best(test.tolist()) != chosen else {})
            compare(got[1], mark, rtol=_ROUND)
            compare(got[2], max(test.tolist()) - mark, rtol=_ROUND, atol=_ROUND)

    run_cases(
        "choose_then_test",
        function,
        [
            Case("the chosen arm, of seven with four folds", arm),
            Case("its accuracy on the test images", accuracy),
            Case("by how much choosing on the test images would overstate it", overstatement),
            Case("arms that are equal over folds", equals),
            Case("folds and test that agree", agreed),
            Case("random accuracies of 1 to 30 arms", drawn),
            Case("folds and test stay as they are", lambda f: unchanged(lambda *args: three(f, *args), *data(),
                                                                         what="folds and test")),
        ],
        reread="section 3, on choosing among arms: folds are for choosing, and the test images for one number at the end",
    )  # fmt: skip
