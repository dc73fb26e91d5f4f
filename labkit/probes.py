"""What features know: a linear probe, with the interval that its number of test points allows."""

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


def linear_probe(train_x: Any, train_y: Any, test_x: Any, test_y: Any, *, C: float = 1.0) -> Probe:
    """Fit a multinomial logistic regression on train features (N, ...), and count how often it is right on test features.

    Features are standardised with the mean and deviation of the train features. `C` is the inverse strength of the L2
    penalty. The interval covers the draw of the test points, not that of the train points or of the net.

    Raises:
        ValueError: values are not finite, features differ in number between train and test, labels are not one a point,
            there is a single train class, or a test class that training never shows.
    """
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

    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # the order of sums, and so the last digits, depends on the number of threads
        model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-6, max_iter=5000)).fit(x, y)
        predictions = model.predict(held_out)
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
