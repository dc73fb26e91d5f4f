"""Checks of lab 03: which modes a generator covers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import Case, Mistake, compare, run_cases, takes

_ROUND = 1e-6  # shares may come in float32, with a tiny eps in the logarithm
_KEYS = (
    "right for a numpy array, wrong for a tensor: as keys of a Counter, dict or set, the elements of a tensor are all "
    "distinct, so use labels.tolist()"
)
_BOTH = "labels may be a numpy array or a tensor: np.asarray(labels) and torch.as_tensor(labels) take either"


def mode_coverage(function: Callable[..., Any]) -> None:
    """Check `mode_coverage(labels, n_classes=10, at_least=0.01)`: (N,) -> classes with that share, KL(q || uniform) in nats.

    Source: both numbers are those of Metz et al. 2017, arXiv:1611.02163, and Lin et al. 2018, arXiv:1712.04086.
    """

    def labels_of(counts: Sequence[int]) -> Tensor:
        """That many labels of each class, in a mixed order."""
        labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]

    def pair(f: Callable[..., Any], labels: Any, *args: Any) -> tuple[Any, Any]:
        takes(f, "labels", "n_classes", "at_least")
        out = f(labels, *args)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair: the number of modes and the KL", type(out).__name__,
                          "the function has no return statement" if out is None else "return both numbers")  # fmt: skip
        return out[0], out[1]

    def nats(counts: Sequence[int], n_classes: int) -> float:
        from scipy.stats import entropy

        padded = [*counts, *[0] * (n_classes - len(counts))]
        return float(entropy(padded, [1 / n_classes] * n_classes))

    def same_nats(have: Any, counts: Sequence[int], n_classes: int) -> None:
        """Compare the KL with scipy's."""
        n, used = sum(counts), [c for c in counts if c]
        right, top = nats(counts, n_classes), math.log(n_classes)
        entropy, many = top - right, [c for c in counts if c >= 0.01 * n]
        known = {
            "this is the logarithm to base 2: use nats": right / math.log(2),
            "the sign is turned: a KL divergence is never below 0": -right,
            "this is the entropy of the shares, not their divergence from uniform": entropy,
            "this is minus the entropy: the uniform distribution is missing, q ln(q * n_classes)": -entropy,
            "divide the shares by 1 / n_classes, not by n_classes": -entropy - top,
            "the terms were averaged over the classes: sum them": right / n_classes,
            "counts were taken for shares: divide them by the number of samples": n * (right + math.log(n)),
            "the logarithm is of shares, but its weights are counts: divide them by the number of samples": n * right,
            "only the classes that are present were compared: uniform is 1 / n_classes": math.log(len(used)) - entropy,
            "the classes after the last one that is present are missing (minlength)": math.log(len(counts)) - entropy,
            "classes below at_least were left out: they count for the KL":
                sum(c / n * math.log(c / n * n_classes) for c in many),
            "classes below at_least were left out, and the others shared out anew: all count for the KL": nats(many, n_classes),
        }  # fmt: skip
        if len(used) == n_classes:
            known["the divergence was taken the other way round: it is KL(q || uniform)"] = sum(
                math.log(n / (c * n_classes)) / n_classes for c in used)  # fmt: skip
        try:
            compare(have, right, rtol=_ROUND, atol=_ROUND, known=known)
        except Mistake as mistake:
            if not mistake.cause or mistake.cause.startswith("exp or log"):
                value, cause = float(torch.as_tensor(have)), mistake.cause
                if math.isnan(value):
                    cause = "0 ln 0 is 0, not NaN: leave the empty classes out, or take torch.xlogy"
                elif value > top + 0.1:
                    cause = ("more than ln(n_classes), the most that KL(q || uniform) can be: the divergence was taken the "
                             "other way round, and an empty class made it large")  # fmt: skip
                elif abs(value - right) < 0.05:
                    cause = "an eps or a pseudo-count distorts it: 0 ln 0 is 0, so leave the empty classes out"
                raise Mistake(mistake.expected, mistake.got, cause) from None
            raise

    skewed = [600, 250, 100, 0, 45, 0, 0, 5]  # and none of the classes 8 and 9

    def modes(f: Callable[..., Any]) -> None:
        compare(pair(f, labels_of(skewed))[0], 4, known={
            "every class that is present was counted: it takes a share of at_least": 5,
            "the missing classes were counted": 6,
            "the number of classes was returned": 10,
            "this is the share of the classes: count them": 0.4,
            "the pair is swapped: modes come first": nats(skewed, 10),
            "this is a mask of the classes: count them": [1, 1, 1, 0, 1, 0, 0, 0, 0, 0]})  # fmt: skip

    def divergence(f: Callable[..., Any]) -> None:
        same_nats(pair(f, labels_of(skewed))[1], skewed, 10)

    def no_gaps(f: Callable[..., Any]) -> None:
        counts = [12, 30, 6, 32]
        count, kl = pair(f, labels_of(counts), 4)
        compare(count, 4)
        same_nats(kl, counts, 4)

    def thresholds(f: Callable[..., Any]) -> None:
        counts = [4, 2, 9, 0, 1]
        for at_least, want in ((0.125, 3), (0.5, 1), (0.03125, 4)):
            compare(pair(f, labels_of(counts), 12, at_least)[0], want, known={
                "'at least' includes the threshold itself: >= rather than >": 2 if want == 3 else -1,
                "the threshold is 0.01 whatever is given: use the parameter": 4})  # fmt: skip
        same_nats(pair(f, labels_of(counts), 12, 0.125)[1], counts, 12)

    def ends(f: Callable[..., Any]) -> None:
        for counts in ([0, 0, 50], [20] * 10):
            count, kl = pair(f, labels_of(counts))
            compare(count, sum(c > 0 for c in counts))
            same_nats(kl, counts, 10)

    def numpy_too(f: Callable[..., Any]) -> None:
        try:
            count, kl = pair(f, labels_of(skewed).numpy())
        except (TypeError, AttributeError) as error:
            raise Mistake("a pair for a numpy array", f"{type(error).__name__}: {error}", _BOTH) from None
        compare(count, 4)
        same_nats(kl, skewed, 10)

    def tensor_too(g: Callable[[Callable[..., Any]], None]) -> Callable[[Callable[..., Any]], None]:
        def test(f: Callable[..., Any]) -> None:
            @functools.wraps(f)
            def of_numpy(labels: Tensor, *args: Any) -> Any:
                return f(labels.numpy(), *args)

            try:
                g(f)
            except Mistake as mistake:
                try:
                    g(of_numpy)
                except Exception:
                    raise mistake from None
                raise Mistake(mistake.expected, mistake.got, _KEYS) from None
            except (TypeError, AttributeError, RuntimeError) as error:
                if isinstance(error, NotImplementedError):
                    raise
                raise Mistake("a pair for a tensor", f"{type(error).__name__}: {error}", _BOTH) from None

        return test

    run_cases(
        "mode_coverage",
        function,
        [
            Case("modes: five classes are present, one with 0.5 %", tensor_too(modes)),
            Case("KL: five of ten classes are present", tensor_too(divergence)),
            Case("four classes, all present", tensor_too(no_gaps)),
            Case("twelve classes, other thresholds, a share on the threshold", tensor_too(thresholds)),
            Case("one class only, and all alike", tensor_too(ends)),
            Case("labels as a numpy array", numpy_too),
        ],
        reread="section 2: q is the share of each of the n_classes classes, KL is the sum of q ln(q * n_classes), 0 ln 0 is 0",
    )
