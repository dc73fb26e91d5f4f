"""The linear probe against its objective, minimised by torch in float64, and its interval against scipy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.linear_model
import torch
from scipy.stats import binomtest
from sklearn.exceptions import ConvergenceWarning

from labkit.probes import linear_probe, wilson


def sample(n: int, seed: int, *, n_classes: int = 3, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Classes that overlap, in features (N, 2, 3) of unlike scales and offsets; `shift` moves all of them."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = (np.eye(n_classes, 6)[y] * 1.5 + rng.normal(size=(n, 6)) + shift) * [1, 10, 0.1, 1, 100, 1] + [5, 0, 0, -3, 0, 0]
    return x.reshape(n, 2, 3), y


def by_torch(x, y, held_out, C: float, n_classes: int) -> np.ndarray:
    x, held_out, y = torch.tensor(x).flatten(1), torch.tensor(held_out).flatten(1), torch.tensor(y)
    mean, sd = x.mean(0), x.std(0, correction=0)
    weight = torch.zeros(6, n_classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(n_classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=1000, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        logits = (x - mean) / sd @ weight + bias
        loss = weight.square().sum() / 2 + C * torch.nn.functional.cross_entropy(logits, y, reduction="sum")
        loss.backward()
        return loss

    solver.step(closure)
    return ((held_out - mean) / sd @ weight + bias).argmax(1).numpy()


@pytest.mark.parametrize("C", [0.003, 1.0])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_a_probe_minimises_its_objective_on_train_statistics(C, shift):
    (x, y), (held_out, truth) = sample(150, 0), sample(400, 1, shift=shift)
    expected = by_torch(x, y, held_out, C, 3)
    probe = linear_probe(x, y, held_out, truth, C=C)
    assert (probe.predictions != expected).sum() <= 1  # a point on the border may go either way
    assert probe.n == 400 and probe.accuracy == pytest.approx((probe.predictions == truth).mean())
    interval = binomtest(int((probe.predictions == truth).sum()), 400).proportion_ci(method="wilson")
    assert (probe.low, probe.high) == pytest.approx((interval.low, interval.high))
    assert 0.4 < probe.accuracy < 0.9


def test_the_penalty_and_the_shift_change_predictions():
    (x, y), (held_out, truth) = sample(150, 0), sample(400, 1, shift=1.0)
    strong, weak = (linear_probe(x, y, held_out, truth, C=C).predictions for C in (0.003, 1.0))
    moved = linear_probe(x, y, sample(400, 1)[0], truth).predictions
    assert (strong != weak).sum() > 10 and (moved != weak).sum() > 10


def test_a_probe_takes_tensors_and_names_and_gives_the_same_each_time():
    (x, y), (held_out, truth) = sample(150, 0), sample(400, 1)
    first = linear_probe(x, y, held_out, truth)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    again = linear_probe(*(torch.tensor(part) for part in (x, y, held_out, truth)))
    named = linear_probe(x, ["abc"[k] for k in y], held_out, ["abc"[k] for k in truth])
    assert (again.predictions == first.predictions).all() and again.accuracy == first.accuracy == named.accuracy
    assert named.predictions.tolist() == ["abc"[k] for k in first.predictions]


@pytest.mark.parametrize("n", [60, 400])
def test_ordinary_features_of_a_net_give_no_warning(n):
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(n, 512)), 0) * rng.lognormal(sigma=2, size=512)
    x[:, :9] = 0.1  # dead units
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_probe(x.astype(np.float32), rng.integers(0, 10, n), x, rng.integers(0, 10, n), C=100)


def test_a_fit_that_stops_short_says_so(monkeypatch):
    real = sklearn.linear_model.LogisticRegression
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", lambda **options: real(**{**options, "max_iter": 1}))
    with pytest.warns(ConvergenceWarning):
        linear_probe(*sample(150, 0), *sample(20, 1))


X, Y = sample(30, 0)
HOLED = X.copy()
HOLED[4, 0, 1] = np.nan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((HOLED, Y, X, Y), "train features hold 1 values that are NaN or infinite, in 1 of 30 points"),
        ((X, Y, HOLED, Y), "test features hold 1 values"),
        ((X, Y[:29], X, Y), r"train labels have shape \(29,\) for 30 points"),
        ((X, Y, X, Y[:29]), r"test labels have shape \(29,\) for 30 points"),
        ((X, Y, X, np.eye(3)[Y]), r"test labels have shape \(30, 3\) for 30 points"),
        ((X, Y, X[:, :1], Y), "train points have 6 features, test points 3: take both from one layer"),
        ((X, np.ones(30, int), X, Y), "all train labels are 1: a probe needs at least two classes"),
        ((X, Y % 2, X, Y + 1), r"test classes \[2, 3\] are not among the train labels"),
        ((X, Y, X[:0], Y[:0]), r"test features have shape \(0, 2, 3\)"),
    ],
)
def test_features_that_cannot_be_probed_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear_probe(*arguments)


@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 7), (385, 397), (5, 10**6)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilson_is_scipys_interval(correct, n, level):
    expected = binomtest(correct, n).proportion_ci(confidence_level=level, method="wilson")
    low, high = wilson(correct, n, level=level)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12) and 0 <= low < high <= 1


def test_the_limits_of_wilson_solve_its_equation():
    for limit in wilson(37, 50):  # Wilson 1927: |rate - p| is z standard errors at p
        assert abs(37 / 50 - limit) == pytest.approx(1.959964 * (limit * (1 - limit) / 50) ** 0.5, rel=1e-6)


@pytest.mark.parametrize(("correct", "n", "level"), [(-1, 5, 0.95), (6, 5, 0.95), (0, 0, 0.95), (1, 5, 1.0), (1, 5, 0)])
def test_counts_without_an_interval_are_refused(correct, n, level):
    with pytest.raises(ValueError, match=f"{correct} right of {n} at level {level} have no interval"):
        wilson(correct, n, level=level)
