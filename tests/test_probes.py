"""Probes, a paired test and kernel alignment against plain implementations, published numbers, torch and scipy."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import sklearn.linear_model
import torch
from scipy.stats import binomtest
from sklearn.exceptions import ConvergenceWarning

from labkit.probes import knn_probe, linear_cka, linear_probe, mcnemar, wilson


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
    for probe in (linear_probe, knn_probe):
        with pytest.raises(ValueError, match=message):
            probe(*arguments)


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


# --- nearest neighbours


def votes(x, y, held_out, k: int) -> np.ndarray:
    """Predictions by sorting all distances, one point after the other."""
    x, held_out = x.reshape(len(x), -1), held_out.reshape(len(held_out), -1)
    mean, sd = x.mean(0), x.std(0)
    x, held_out = (x - mean) / sd, (held_out - mean) / sd
    near = [np.argsort(((x - point) ** 2).sum(1))[:k] for point in held_out]
    return np.array([np.bincount(y[index]).argmax() for index in near])  # a tie goes to the lowest class


@pytest.mark.parametrize("k", [1, 4, 5, 150])
def test_the_nearest_train_points_vote_in_standardised_features(k):
    (x, y), (held_out, truth) = sample(150, 0), sample(300, 1, shift=0.5)
    expected = votes(x, y, held_out, k)
    probe = knn_probe(torch.tensor(x), y, held_out, torch.tensor(truth), k=k)
    assert (probe.predictions == expected).all() and probe.accuracy == pytest.approx((expected == truth).mean())
    assert (probe.low, probe.high, probe.n) == (*wilson(int((expected == truth).sum()), 300), 300)
    assert (knn_probe(x, y, held_out, truth).predictions == votes(x, y, held_out, 5)).all()


@pytest.mark.parametrize("k", [0, -1, 31])
def test_a_number_of_neighbours_that_cannot_vote_is_refused(k):
    with pytest.raises(ValueError, match=rf"k is {k} for 30 train points: use 1\.\.30"):
        knn_probe(X, Y, X, Y, k=k)


# --- a paired test


def paired(both: int, first: int, second: int, neither: int):
    """Labels and two predictions with these counts of right ones, in three classes."""
    counts = (both, first, second, neither)
    truth = np.random.default_rng(0).integers(0, 3, sum(counts))
    a = truth + np.repeat([0, 0, 1, 1], counts)
    b = truth + np.repeat([0, 1, 0, 2], counts)
    return truth, a % 3, b % 3


@pytest.mark.parametrize(
    ("counts", "low", "high"),  # as printed in Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10
    [((36, 12, 2, 0), 0.0569, 0.3404), ((18, 12, 2, 18), 0.0562, 0.3290), ((53, 0, 0, 1), -0.0729, 0.0729)],
)
def test_the_paired_interval_is_the_published_one(counts, low, high):
    found = mcnemar(*paired(*counts))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert (found.only_first, found.only_second, found.n) == (counts[1], counts[2], sum(counts))
    assert found.difference == pytest.approx((counts[1] - counts[2]) / sum(counts))


@pytest.mark.parametrize("rates", [(0.8, 0.1, 0.05, 0.05), (0.4, 0.2, 0.2, 0.2), (0.9, 0.02, 0.06, 0.02), (0.2, 0.5, 0.2, 0.1)])
def test_the_paired_interval_holds_the_difference_95_times_in_100(rates):
    n, rng = 60, np.random.default_rng(0)
    tables, times = np.unique(rng.multinomial(n, rates, size=1200), axis=0, return_counts=True)
    found = [mcnemar(*paired(*table)) for table in tables]
    inside = np.array([one.low <= rates[1] - rates[2] <= one.high for one in found])
    assert 0.93 < np.average(inside, weights=times) < 0.985  # standard error 0.006


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (7, 1), (1, 7), (20, 12), (5, 5)])
def test_p_adds_up_all_splits_as_uneven(first, second):
    total = first + second
    as_uneven = [k for k in range(total + 1) if abs(k - total / 2) >= abs(first - total / 2)]
    expected = sum(math.comb(total, k) for k in as_uneven) / 2**total
    found = mcnemar(*paired(30, first, second, 10))
    assert found.p == pytest.approx(expected) and found.p <= 1
    swapped = mcnemar(*(paired(30, first, second, 10)[i] for i in (0, 2, 1)))
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low)) and swapped.p == found.p
    assert swapped.difference == -found.difference and swapped.only_first == second


def test_predictions_that_agree_have_p_1_and_an_interval_around_0():
    for counts in ((20, 0, 0, 5), (20, 0, 0, 0), (0, 0, 0, 20)):
        found = mcnemar(*paired(*counts))
        assert found.p == 1 and found.difference == 0 and found.low < 0 < found.high and found.high == pytest.approx(-found.low)


def test_a_paired_interval_is_narrower_where_the_two_err_together():
    together, apart = mcnemar(*paired(78, 12, 2, 8)), mcnemar(*paired(70, 20, 10, 0))
    assert together.difference == apart.difference and together.high - together.low < 0.8 * (apart.high - apart.low)


def test_paired_predictions_may_be_tensors_or_names():
    truth, a, b = paired(12, 5, 3, 4)
    expected = mcnemar(truth, a, b)
    assert mcnemar(*map(torch.tensor, (truth, a, b))) == expected
    assert mcnemar(*(["xyz"[k] for k in part] for part in (truth, a, b))) == expected
    probes = [linear_probe(X, Y, X, Y).predictions, knn_probe(X, Y, X, Y).predictions]
    found = mcnemar(Y, *probes)
    assert found.difference == pytest.approx(np.mean(probes[0] == Y) - np.mean(probes[1] == Y))


def test_predictions_that_are_not_paired_are_refused():
    with pytest.raises(ValueError, match=r"first predictions have shape \(29,\) for 30 points"):
        mcnemar(Y, Y[:29], Y)
    with pytest.raises(ValueError, match=r"second predictions have shape \(30, 3\) for 30 points"):
        mcnemar(Y, Y, np.eye(3)[Y])
    with pytest.raises(ValueError, match="there are no points"):
        mcnemar([], [], [])


# --- kernel alignment


def by_gram(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC of Gram matrices with a centring matrix, as in Kornblith et al. 2019, eq. 3 and 4."""
    n = len(x)
    h = np.eye(n) - 1 / n
    k, m = x @ x.T, y @ y.T
    return np.trace(k @ h @ m @ h) / np.sqrt(np.trace(k @ h @ k @ h) * np.trace(m @ h @ m @ h))


def unbiased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al. 2012, eq. 5, with sums written out."""
    n = len(k)
    k, m = k * (1 - np.eye(n)), m * (1 - np.eye(n))
    trace = sum(k[i, j] * m[j, i] for i in range(n) for j in range(n))
    cross = sum(k[i] @ m[:, j] for i in range(n) for j in range(n))
    return (trace + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * cross / (n - 2)) / (n * (n - 3))


def layers(n: int, d1: int, d2: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features that have something in common, off centre."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3))
    return tuple(common @ rng.normal(size=(3, d)) + rng.normal(size=(n, d)) + rng.normal(size=d) * 5 for d in (d1, d2))


SHAPES = [(40, 5, 9), (40, 9, 5), (12, 30, 7), (12, 7, 30), (12, 25, 31), (4, 1, 6)]


@pytest.mark.parametrize("shape", SHAPES)
def test_cka_is_the_normalised_hsic_of_gram_matrices(shape):
    x, y = layers(*shape)
    assert linear_cka(x, y) == pytest.approx(by_gram(x, y), rel=1e-9) and 0 < linear_cka(x, y) < 1
    k, m = x @ x.T, y @ y.T
    expected = unbiased_hsic(k, m) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(m, m))
    assert linear_cka(x, y, debiased=True) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_cka_sees_neither_rotation_shift_nor_scale_but_any_other_map(shape, debiased):
    x, y = layers(*shape)
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(shape[2], shape[2])))[0]
    value = linear_cka(x, y, debiased=debiased)
    assert linear_cka(x * 1e-200, y @ turn * 1e12 + 7e12, debiased=debiased) == pytest.approx(value, abs=1e-6)
    assert linear_cka(y, x, debiased=debiased) == pytest.approx(value)
    order = rng.permutation(shape[0])
    assert linear_cka(x[order], y[order], debiased=debiased) == pytest.approx(value)
    assert linear_cka(x, x @ np.eye(shape[1]) * -3, debiased=debiased) == pytest.approx(1)
    stretched = y * np.geomspace(0.05, 20, shape[2])
    assert abs(linear_cka(x, stretched, debiased=debiased) - value) > 0.02


def test_cka_of_noise_rises_with_the_number_of_features_and_the_debiased_one_does_not():
    def mean(d: int, debiased: bool) -> float:
        rng = np.random.default_rng(d)
        pairs = [rng.normal(size=(2, 50, d)) for _ in range(30)]
        return float(np.mean([linear_cka(x, y, debiased=debiased) for x, y in pairs]))

    assert mean(5, False) < 0.2 and mean(1000, False) > 0.9
    assert abs(mean(5, True)) < 0.03 and abs(mean(1000, True)) < 0.03


def test_cka_takes_maps_and_never_exceeds_1():
    x, y = layers(30, 12, 18)
    maps = torch.tensor(x).reshape(30, 3, 2, 2)
    assert linear_cka(maps, torch.tensor(y).reshape(30, 2, 9)) == pytest.approx(linear_cka(x, y))
    assert all(linear_cka(a, a * 3) <= 1 for a in (layers(n, d, 1)[0] for n in range(4, 20) for d in (1, 7, 40)))


@pytest.mark.parametrize(
    ("x", "y", "debiased", "message"),
    [
        (np.ones((5, 2)), np.eye(6), False, "there are 5 first and 6 second points: give features of the same images"),
        (np.eye(2), np.eye(2), False, "2 points have no alignment: give at least 3"),
        (np.eye(3), np.eye(3), True, "3 points have no alignment: give at least 4"),
        (np.eye(5), np.full((5, 3), 0.1), False, "second features are the same for all 5 points"),
        (np.full((5, 3), 1e9 / 3), np.eye(5), True, "first features are the same for all 5 points"),
        (
            np.eye(5)[:, :1],
            np.random.default_rng(0).normal(size=(5, 3)),
            True,
            "first features are the same for all points but",
        ),
        (np.eye(5), np.full((5, 3), np.nan), False, "second features hold 15 values that are NaN or infinite"),
        (np.arange(5.0), np.eye(5), False, r"first features have shape \(5,\)"),
    ],
)
def test_features_without_an_alignment_are_refused(x, y, debiased, message):
    with pytest.raises(ValueError, match=message):
        linear_cka(x, y, debiased=debiased)
