"""Checks of lab 01: what a lesion costs in accuracy, and how sure that is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, compare, run_cases, takes, unchanged
from labkit.check.nets import call

_ROUND = 1e-6  # shares may come in float32
_N = 20
_PAIRED = "here the same images are judged twice, so take the spread of the paired differences"
_ONE = "this is the error of one accuracy, that with the lesion: take the spread of the differences"


def lesion_drops(function: Callable[..., Any]) -> None:
    """Check `lesion_drops(labels, intact, lesioned)`: -> drop and its standard error, each (lesions,), by paired images."""

    def data() -> tuple[Tensor, Tensor, Tensor]:
        """20 images, 15 of them right; four lesions: costly, helpful, without effect, and with effects that cancel."""
        labels, wrong = torch.arange(_N) % 4, torch.tensor([3, 7, 11, 12, 15])
        intact = labels.clone()
        intact[wrong] = (labels[wrong] + 1) % 4
        lesioned = intact.repeat(4, 1)
        for lesion, lost, gained in ((0, [0, 1, 2, 4, 5, 6], [3]), (1, [0], [3, 7, 11]), (3, [0, 1], [12, 15])):
            lesioned[lesion, lost] = (labels[lost] + 3) % 4
            lesioned[lesion, gained] = labels[gained]
        lesioned[0, 7] = (labels[7] + 2) % 4  # from one wrong class to another
        return labels, intact, lesioned

    def tally(labels: Tensor, intact: Tensor, lesioned: Tensor) -> list[list[int]]:
        """Right before minus right after, image by image, a list for each lesion."""
        images = list(zip(labels.tolist(), intact.tolist(), strict=True))
        return [[(b == y) - (a == y) for (y, b), a in zip(images, row, strict=True)] for row in lesioned.tolist()]

    def errors_of(counts: list[list[int]]) -> Tensor:
        return torch.tensor([statistics.stdev(row) / math.sqrt(len(row)) for row in counts], dtype=F64)

    def pair(f: Callable[..., Any], args: tuple[Tensor, Tensor, Tensor]) -> tuple[Any, Any]:
        takes(f, "labels", "intact", "lesioned")
        out = call(f, *args, hints={
            "two bool tensors": "torch does not subtract truth values: turn them into numbers first, .double()",
            "numpy boolean subtract": "numpy does not subtract truth values: turn them into numbers first, .astype(float)",
            "only support floating point": "a spread is taken of floating numbers: .double() first",
            "could not infer output dtype": "a mean is taken of floating numbers: .double() first"})  # fmt: skip
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair: drop and error", type(out).__name__,
                          "the function has no return statement" if out is None else "return both")  # fmt: skip
        return out[0], out[1]

    def drops(f: Callable[..., Any]) -> None:
        _, intact, lesioned = args = data()
        counts = tally(*args)
        signs = torch.tensor(counts, dtype=F64)
        want = torch.tensor([statistics.fmean(row) for row in counts], dtype=F64)
        before, after = torch.tensor(15 / 20, dtype=F64), 15 / 20 - want
        compare(pair(f, args)[0], want, rtol=_ROUND, known={
            "the sign is turned: a lesion that costs accuracy has a drop above 0": -want,
            "this is in percent: shares are in 0..1": 100 * want,
            "this is a number of images: divide by N": _N * want,
            "this is the accuracy with the lesion, not what the lesion costs": after,
            "this is the share of errors with the lesion, not what the lesion costs": 1 - after,
            "this is the accuracy of the whole net": before.expand(4),
            "this is the share of predictions that changed: a change from one wrong class to another costs nothing, and one "
            "from wrong to right is a gain": (lesioned != intact).sum(1) / _N,
            "this is the share of predictions that stayed the same: compare with the labels":
                (lesioned == intact).sum(1) / _N,
            "only what was lost was counted: images that are right only with the lesion make up for it":
                signs.clamp(min=0).sum(1) / _N,
            "the absolute value was taken: a lesion may help": want.abs(),
            "the absolute value was taken of each image: -1 and 1 cancel": signs.abs().sum(1) / _N,
            "cut off at 0: a lesion may help": want.clamp(min=0),
            "this is the drop relative to the whole net's accuracy: it is a difference of accuracies": want / before,
            "a byte has no -1: 0 - 1 came out as 255, so turn truth values into .double() first":
                (signs % 256).sum(1) / _N,
            "averaged over the lesions: give one number a lesion": want.mean(),
            "averaged over the lesions, to one number an image: images are dimension 1 of lesioned": signs.sum(0) / 4,
            "the images were not averaged": signs,
            "the pair is swapped: the drop comes first": errors_of(counts)})  # fmt: skip

    def errors(f: Callable[..., Any]) -> None:
        args = data()
        counts = tally(*args)
        want, drop = errors_of(counts), torch.tensor([statistics.fmean(row) for row in counts], dtype=F64)
        n, before, after = _N, 15 / 20, 15 / 20 - drop
        alone, both = after * (1 - after), before * (1 - before) + after * (1 - after)
        got = pair(f, args)[1]
        if torch.is_tensor(got) and bool(got.isnan().any()) and bool((drop < 0).any()):
            raise Mistake("numbers", "NaN",
                          "a root of a negative number: p (1 - p) is the variance of a share, and a drop, "
                          "which may be below 0, is none; take the spread of the differences")  # fmt: skip
        compare(got, want, rtol=_ROUND, known={
            f"this is the error for two separate samples of images: {_PAIRED}": (both / n).sqrt(),
            f"this is the error for two separate samples of images (with N - 1): {_PAIRED}": (both / (n - 1)).sqrt(),
            _ONE: (alone / n).sqrt(),
            f"(with N - 1) {_ONE}": (alone / (n - 1)).sqrt(),
            "the variance was divided by N: it takes N - 1 (correction=1)": want * math.sqrt((n - 1) / n),
            "N - 1 was used twice: it is right in the variance, but the mean is one of N numbers":
                want * math.sqrt(n / (n - 1)),
            "this is the standard deviation of one difference: divide by the root of N for that of their mean":
                want * math.sqrt(n),
            "this is the standard deviation, with N: take N - 1 in the variance, and divide by the root of N":
                want * math.sqrt(n - 1),
            "this is the variance of the differences: take the root, and divide by the root of N": want**2 * n,
            "this is the variance of the mean: take the root": want**2,
            "divided by N: it is the root of N": want / math.sqrt(n),
            "divided by the root of the number of lesions: N is the number of images": want * math.sqrt(n / 4),
            "divided by the number of lesions: it is the root of the number of images": want * math.sqrt(n) / 4,
            "this is half a 95 % interval: one standard error is asked for": 1.96 * want,
            "this is in percent: shares are in 0..1": 100 * want,
            "averaged over the lesions: give one number a lesion": want.mean(),
            "this is the spread over the lesions: take it over the images, dimension 1":
                torch.tensor(counts, dtype=F64).std(0) / math.sqrt(n),
            "the pair is swapped: the drop comes first": drop})  # fmt: skip

    def one_lesion(f: Callable[..., Any]) -> None:
        labels, intact, lesioned = data()
        few = labels[:5], intact[:5], lesioned[:1, :5]
        counts = tally(*few)
        drop, error = pair(f, few)
        for name, have, want in (("drop", drop, [statistics.fmean(counts[0])]), ("error", error, errors_of(counts))):
            if tuple(torch.as_tensor(have).shape) == ():
                raise Mistake(f"{name} of shape (1,) for one lesion", "shape ()", "a squeeze() or a mean took the lesions away")
            compare(have, want, rtol=_ROUND)

    run_cases(
        "lesion_drops",
        function,
        [
            Case("the drop by four lesions: costly, helpful, without effect, with effects that cancel", drops),
            Case("its standard error", errors),
            Case("a single lesion, and five images", one_lesion),
            Case("labels and predictions stay as they are", lambda f: unchanged(lambda *args: pair(f, args), *data())),
        ],
        reread="the docstring: the same N images are judged with and without the lesion, so their differences are paired",
    )
