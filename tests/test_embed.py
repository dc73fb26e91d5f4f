"""Pictures of features against linear algebra and neighbour lists, and separability against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_info, threadpool_limits

from labkit.embed import embed, separability
from labkit.sets import load


def blobs(n_classes: int, each: int, d: int, *, distance: float) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(n_classes), each)
    centres = distance * np.eye(n_classes, d)
    return centres[labels] + np.random.default_rng(0).normal(size=(len(labels), d)), labels


@pytest.fixture
def watched(monkeypatch):
    """What t-SNE was asked for, and the threads that it could have used."""
    calls: list[dict] = []

    def fit_transform(self, x):
        threads = [pool["num_threads"] for pool in threadpool_info()]
        calls.append({"perplexity": self.perplexity, "n_jobs": self.n_jobs, "shape": x.shape, "threads": threads})
        return np.zeros((len(x), 2))

    monkeypatch.setattr(TSNE, "fit_transform", fit_transform)
    return calls


def test_pca_projects_on_the_two_strongest_directions():
    x = np.random.default_rng(0).normal(size=(60, 2, 3)) * [1.0, 5.0, 3.0] + 7
    centred = x.reshape(60, 6) - x.reshape(60, 6).mean(0)
    directions = np.linalg.svd(centred)[2][:2]
    for direction in directions:
        direction *= np.sign(direction[np.abs(direction).argmax()])
    assert np.allclose(embed(x, method="pca"), centred @ directions.T)
    assert np.allclose(embed(torch.tensor(x, requires_grad=True), method="pca"), centred @ directions.T)


def test_a_pca_picture_is_not_mirrored_when_the_solver_turns_its_directions(monkeypatch):
    x = np.random.default_rng(0).normal(size=(60, 6)) * [1, 5, 3, 1, 1, 1]
    before, fit = embed(x, method="pca"), PCA.fit

    def turned(self, *args):
        fit(self, *args).components_ *= -1
        return self

    monkeypatch.setattr(PCA, "fit", turned)
    assert np.allclose(embed(x, method="pca"), before)


def test_tsne_keeps_neighbours_and_a_seed_gives_one_picture():
    digits = load("digits")[:150]
    flat = digits.floats().flatten(1).numpy()
    points = embed(digits.floats())
    assert points.shape == (150, 2) and points.dtype == np.float64
    assert (
        trustworthiness(flat, points, n_neighbors=10) > 0.93 > trustworthiness(flat, embed(flat, method="pca"), n_neighbors=10)
    )
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert (embed(digits.floats()) == points).all()


@pytest.mark.parametrize(("n", "d", "perplexity", "kept"), [(10, 3, 3, 3), (22, 70, 7, 21), (200, 70, 30, 50)])
def test_tsne_runs_on_one_thread_with_neighbours_and_dimensions_that_fit(watched, n, d, perplexity, kept):
    with threadpool_limits(limits=2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        embed(np.random.default_rng(0).normal(size=(n, d)))
        after = [pool["num_threads"] for pool in threadpool_info()]
    (call,) = watched
    assert call["perplexity"] == perplexity and call["shape"] == (n, kept)
    assert call["n_jobs"] == 1 and set(call["threads"]) == {1}
    assert max(before) == 2 and after == before


@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize("scale", [2.0**-150, 2.0**100])
def test_features_of_any_size_make_the_same_picture(method, scale):
    x = np.random.default_rng(0).normal(size=(20, 4))
    assert (embed(scale * x, method=method) == embed(x, method=method) * (scale if method == "pca" else 1)).all()


@pytest.mark.slow
def test_umap_keeps_neighbours_on_one_thread_and_a_seed_gives_one_picture(monkeypatch):
    umap = pytest.importorskip("umap")
    x, labels = blobs(3, 12, 8, distance=20)
    seen, fit = [], umap.UMAP.fit

    def watched_fit(self, *args, **options):
        seen.append((self.n_jobs, self.n_neighbors, {pool["num_threads"] for pool in threadpool_info()}))
        return fit(self, *args, **options)

    monkeypatch.setattr(umap.UMAP, "fit", watched_fit)
    with threadpool_limits(limits=2):
        points = embed(x, method="umap")
    assert points.shape == (36, 2) and separability(points, labels) == 1
    assert (embed(x, method="umap") == points).all() and (embed(x, method="umap", seed=1) != points).any()
    assert np.isfinite(embed(x[:10], method="umap")).all()
    assert seen[0] == (1, 15, {1}) and seen[-1][1] == 9


GOOD = np.random.default_rng(0).normal(size=(12, 4))
HOLED = GOOD.copy()
HOLED[3, :2], HOLED[5, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("features", "method", "message"),
    [
        (GOOD, "lda", "method 'lda' is unknown: use 'pca', 'tsne' or 'umap'"),
        (HOLED, "pca", "features hold 3 values that are NaN or infinite, in 2 of 12 points: look at the net"),
        (torch.tensor(HOLED), "tsne", "features hold 3 values"),
        (GOOD[:9], "pca", "9 points of 4 features make no picture: give at least 10 points of 2 features"),
        (GOOD[:, :1], "pca", "12 points of 1 features make no picture"),
        (GOOD[:, 0], "pca", r"features have shape \(12,\): give \(N, ...\)"),
        (np.zeros((0, 4)), "pca", r"features have shape \(0, 4\)"),
        (np.ones((12, 4)), "tsne", "all 12 points are the same: the net has collapsed"),
        (
            np.zeros((5001, 2)),
            "tsne",
            r"5001 points take tsne too long: give a subset of at most 5000, such as features\[:5000\]",
        ),
        (np.zeros((5001, 2)), "umap", "5001 points take umap too long"),
    ],
)
def test_features_that_make_no_picture_are_refused(features, method, message):
    with pytest.raises(ValueError, match=message):
        embed(features, method=method)


def test_pca_takes_any_number_of_points():
    assert embed(np.random.default_rng(0).normal(size=(5001, 3)), method="pca").shape == (5001, 2)


def test_separability_is_what_its_definition_says():
    x, y = blobs(3, 40, 4, distance=1.5)
    x, y = x[:90] * [1, 100, 1, 1], y[:90]  # the last class is small, and one feature is large
    right = np.zeros(90, dtype=bool)
    for train, test in StratifiedKFold(4, shuffle=True, random_state=3).split(x, y):
        sd = x[train].std(0)
        for i in test:
            nearest = np.argsort((((x[train] - x[i]) / sd) ** 2).sum(1))[:5]
            right[i] = np.bincount(y[train][nearest], minlength=3).argmax() == y[i]
    by_hand = np.mean([right[y == k].mean() for k in range(3)])
    assert separability(x, y, folds=4, seed=3) == pytest.approx(by_hand)
    assert abs(by_hand - right.mean()) > 0.01 and 0.4 < by_hand < 0.9  # a case where the weights and the distances matter
    tensor = torch.tensor(x).reshape(90, 2, 2)
    assert separability(tensor, torch.tensor(y), folds=4, seed=3) == pytest.approx(by_hand)
    assert separability(x, ["abc"[k] for k in y], folds=4, seed=3) == pytest.approx(by_hand)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_separability_is_chance_for_random_labels_and_1_for_classes_far_apart(n_classes):
    x, y = blobs(n_classes, 400 // n_classes, 6, distance=30)
    assert separability(x, y) == 1
    noise = np.random.default_rng(1).normal(size=x.shape)
    few_of_one = np.where(np.random.default_rng(2).random(400) < 0.7, 0, y)
    assert separability(noise, y) == pytest.approx(1 / n_classes, abs=0.08)
    assert separability(noise, few_of_one) == pytest.approx(1 / n_classes, abs=0.08)  # not the share of the largest class


@pytest.mark.parametrize(
    ("features", "labels", "folds", "message"),
    [
        (HOLED, [0, 1] * 6, 5, "features hold 3 values"),
        (GOOD, [0, 1] * 5, 5, r"labels have shape \(10,\) for 12 points: give one label a point, shape \(12,\)"),
        (GOOD, [0] * 9 + [7] * 3, 5, "class 7 has 3 members for 5 folds: give more, or folds=3"),
        (GOOD, [0] * 12, 5, "12 points of 1 classes in 5 folds measure nothing"),
        (GOOD, [0, 1] * 6, 1, "12 points of 2 classes in 1 folds measure nothing"),
        (GOOD[:8], [0, 1] * 4, 2, "give at least 10 points of 2 classes, and 2 folds"),
    ],
)
def test_labels_that_cannot_be_separated_are_refused(features, labels, folds, message):
    with pytest.raises(ValueError, match=message):
        separability(features, labels, folds=folds)


@pytest.mark.slow
def test_what_umap_compiles_is_kept_on_disk():
    """A version of umap-learn that names these functions otherwise would cost each process twenty seconds, silently."""
    from umap import layouts, umap_, utils

    embed(np.random.default_rng(0).normal(size=(20, 3)), method="umap")
    for module, name in (
        (utils, "fast_knn_indices"),
        (umap_, "smooth_knn_dist"),
        (umap_, "compute_membership_strengths"),
        (layouts, "_nb_optimize_layout_euclidean_single_epoch"),
    ):
        assert type(getattr(module, name)._cache).__name__ == "FunctionCache", name
