"""What features know, and how alike they are: probes with intervals, a paired test, and kernel alignment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from labkit.embed import as_labels, as_matrix


@dataclass(frozen=True, eq=False)
class Probe:
    """Test accuracy, 0..1, with its 95 % Wilson interval from `low` to `high`, and `predictions` for `n` test points, (n,)."""

    accuracy: float
    low: float
    high: float
    n: int
    predictions: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Paired:
    """accuracy(first) - accuracy(second) on the same `n` points, -1..1, with its 95 % interval from `low` to `high`.

    `p` is the exact two-sided probability of a split as uneven as that of the points on which one alone is right:
    `only_first` and `only_second`.
    """

    difference: float
    low: float
    high: float
    p: float
    only_first: int
    only_second: int
    n: int


def linear_probe(train_x: Any, train_y: Any, test_x: Any, test_y: Any, *, C: float = 1.0) -> Probe:
    """Fit a multinomial logistic regression on train features (N, ...), and count how often it is right on test features.

    Features are standardised with the mean and deviation of the train features. `C` is the inverse strength of the L2
    penalty. The interval covers the draw of the test points, not that of the train points or of the net.

    Raises:
        ValueError: values are not finite, features differ in number between train and test, labels are not one a point,
            there is a single train class, or a test class that training never shows.
    """
    x, y, held_out, truth = _checked(train_x, train_y, test_x, test_y)

    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # the order of sums, and so the last digits, depends on the number of threads
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-6, max_iter=5000)).fit(x, y)
        predictions = model.predict(held_out)
    return _judged(predictions, truth)


def knn_probe(train_x: Any, train_y: Any, test_x: Any, test_y: Any, *, k: int = 5) -> Probe:
    """Let the `k` nearest train points vote on each test point, and count how often they are right: nothing is fitted.

    Features (N, ...) are standardised with the mean and deviation of the train features, as for `linear_probe`, and
    distances are Euclidean. A tied vote goes to the class that sorts first.

    Raises:
        ValueError: as for `linear_probe`, or `k` is not in 1..N.
    """
    x, y, held_out, truth = _checked(train_x, train_y, test_x, test_y)
    if not 1 <= k <= len(x):
        raise ValueError(f"k is {k} for {len(x)} train points: use 1..{len(x)}, 5 for instance")

    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        predictions = make_pipeline(StandardScaler(), KNeighborsClassifier(k, n_jobs=1)).fit(x, y).predict(held_out)
    return _judged(predictions, truth)


def _checked(train_x: Any, train_y: Any, test_x: Any, test_y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, held_out = as_matrix(train_x, "train features"), as_matrix(test_x, "test features")
    y, truth = as_labels(train_y, len(x), "train labels"), as_labels(test_y, len(held_out), "test labels")
    if x.shape[1] != held_out.shape[1]:
        raise ValueError(f"train points have {x.shape[1]} features, test points {held_out.shape[1]}: take both from one layer")
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"all train labels are {classes[0].item()!r}: a probe needs at least two classes")
    unseen = np.setdiff1d(truth, classes).tolist()
    if unseen:
        raise ValueError(f"test classes {unseen} are not among the train labels: train on them, or leave them out of the test")
    return x, y, held_out, truth


def _judged(predictions: np.ndarray, truth: np.ndarray) -> Probe:
    correct, n = int((predictions == truth).sum()), len(truth)
    return Probe(correct / n, *wilson(correct, n), n, predictions)


def wilson(correct: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval (low, high), within 0..1, that holds the true rate with probability `level` when `correct` of `n` are right.

    Raises:
        ValueError: `correct` is not in 0..n, `n` is not positive, or `level` is not between 0 and 1.
    Source: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.
    """
    if not (0 <= correct <= n and n > 0 and 0 < level < 1):
        raise ValueError(f"{correct} right of {n} at level {level} have no interval: use 0 <= correct <= n, and 0 < level < 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = correct / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)


def mcnemar(truth: Any, first: Any, second: Any) -> Paired:
    """Compare two classifiers by their predictions (N,) on the same points with labels `truth` (N,).

    The p-value is exact (binomial) and looks only at points on which one of the two alone is right; without such a point
    it is 1. The interval is Newcombe's method 10: the two Wilson intervals, joined by the correlation of the two. It
    narrows as the two agree more, which two separate intervals do not.

    Raises:
        ValueError: there are no points, or not one prediction for each.
    Source: McNemar 1947, https://doi.org/10.1007/BF02295996; Newcombe 1998, Statistics in Medicine 17, 2635-2650.
    """
    n = len(truth)
    if n == 0:
        raise ValueError("there are no points: give the labels of at least one, and two predictions for it")
    y = as_labels(truth, n, "true labels")
    a, b = as_labels(first, n, "first predictions") == y, as_labels(second, n, "second predictions") == y

    from scipy.stats import binomtest

    both, only_a, only_b, neither = (int(part.sum()) for part in (a & b, a & ~b, ~a & b, ~a & ~b))
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    rates, limits = (a.mean(), b.mean()), (wilson(both + only_a, n), wilson(both + only_b, n))
    below, above = ([abs(rate - limit[side]) for rate, limit in zip(rates, limits, strict=True)] for side in (0, 1))
    product = float(both * neither - only_a * only_b)
    if product > 0:
        product = max(product - n / 2, 0.0)  # Newcombe's correction for continuity
    scale = math.sqrt((both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither))
    phi = product / scale if scale else 0.0
    difference = (only_a - only_b) / n
    low = difference - math.sqrt(below[0] ** 2 - 2 * phi * below[0] * above[1] + above[1] ** 2)
    high = difference + math.sqrt(above[0] ** 2 - 2 * phi * above[0] * below[1] + below[1] ** 2)
    return Paired(difference, low, high, float(p), only_a, only_b, n)


def linear_cka(x: Any, y: Any, *, debiased: bool = False) -> float:
    """How alike two layers arrange the same images, 0..1: linear centred kernel alignment of (N, ...) and (N, ...).

    1 means equal up to rotation, shift and one scale. Unlike a linear probe, it changes under other invertible maps: it
    weighs directions by their variance, so features are used as they are. With many more features than images it is
    biased towards 1, even for noise. `debiased` puts in estimators of the two kernels' dependence that are unbiased: they
    give about 0 for unrelated features, and may give less than 0.

    Raises:
        ValueError: values are not finite, the numbers of images differ or are below 3 (debiased: 4), or a layer says the
            same of all images (debiased: of all but one).
    Source: Kornblith et al. 2019, arXiv:1905.00414; debiased: Song et al. 2012, JMLR 13, as in Nguyen et al. 2021,
        arXiv:2010.15327.
    """
    a, b = as_matrix(x, "first features"), as_matrix(y, "second features")
    n, fewest = len(a), 4 if debiased else 3
    if len(b) != n:
        raise ValueError(f"there are {n} first and {len(b)} second points: give features of the same images in the same order")
    if n < fewest:
        raise ValueError(f"{n} points have no alignment: give at least {fewest}, better hundreds")

    from threadpoolctl import threadpool_limits

    def inner(p: np.ndarray, q: np.ndarray) -> float:
        """The sum of products of the two Gram matrices, by the smaller of Gram and covariance."""
        value = np.square(p.T @ q).sum() if max(a.shape[1], b.shape[1]) <= n else ((p @ p.T) * (q @ q.T)).sum()
        if not debiased:
            return float(value)
        # what Song et al. 2012, eq. 5 is for kernels of centred features; the factor 1 / n(n-3) falls out
        d, e = np.square(p).sum(1), np.square(q).sum(1)
        return float(value - n / (n - 2) * (d @ e) + d.sum() * e.sum() / ((n - 1) * (n - 2)))

    with threadpool_limits(limits=1):
        a, b = (_centred(part, name) for part, name in ((a, "first"), (b, "second")))
        own, other = inner(a, a), inner(b, b)
        if min(own, other) < 1e-12:
            which = "first" if own < other else "second"
            raise ValueError(f"{which} features are the same for all points but one: the debiased alignment needs more variety")
        value = inner(a, b) / math.sqrt(own * other)
    return value if debiased else min(value, 1.0)


def _centred(x: np.ndarray, name: str) -> np.ndarray:
    x = x - x[0]  # exact where all points are the same
    size = np.abs(x).max()
    if not size > 0:
        raise ValueError(f"{name} features are the same for all {len(x)} points: the layer has collapsed, or a unit is dead")
    x = x / size
    x = x - x.mean(0)
    return x / np.linalg.norm(x)
