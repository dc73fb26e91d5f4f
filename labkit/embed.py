"""Pictures of features in two dimensions, and how far apart the classes lie: a number to go with each picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

METHODS = ("pca", "tsne", "umap")
FEWEST, MOST, KEPT, NEIGHBOURS = 10, 5000, 50, 5  # points of any picture, points of a slow one, dimensions, and voters


def as_matrix(features: Any, name: str = "features") -> np.ndarray:
    """Turn a tensor on any device or an array (N, ...) into a float64 array (N, D).

    Raises:
        ValueError: there is no axis of features, or a value is NaN or infinite; the message calls them `name`.
    """
    x = features.detach().cpu().double().numpy() if isinstance(features, Tensor) else np.asarray(features, dtype=float)
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"{name} have shape {x.shape}: give (N, ...), at least one point with at least one feature")
    x = x.reshape(len(x), -1)
    bad = ~np.isfinite(x)
    if bad.any():
        raise ValueError(
            f"{name} hold {bad.sum()} values that are NaN or infinite, in {bad.any(1).sum()} of {len(x)} points: "
            "look at the net that made them, or leave those points out"
        )
    return x


def as_labels(labels: Any, n: int, name: str = "labels") -> np.ndarray:
    """Turn a tensor on any device or a sequence of `n` labels into an array (n,).

    Raises:
        ValueError: there is not one label a point; the message calls them `name`.
    """
    y = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if y.shape != (n,):
        raise ValueError(f"{name} have shape {y.shape} for {n} points: give one label a point, shape ({n},)")
    return y


def embed(features: Any, *, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """Place points (N, ...) in a plane, (N, 2), by 'pca', 'tsne' or 'umap'; a seed gives the same picture each time.

    Features are used as they are, not standardised. In PCA both axes are in the features' unit, and each points to where
    the feature with the largest weight grows, so that a picture is never mirrored. t-SNE and UMAP see the first 50
    principal components and keep neighbours: their axes, distances and gaps between clusters have no unit. They run on
    one thread, since many threads on busy cores are many times slower.

    Raises:
        ValueError: the method is unknown, values are not finite or all the same, there are fewer than 2 features or
            fewer than 10 points, or more than 5,000 for t-SNE and UMAP.
    Source: van der Maaten and Hinton 2008, JMLR 9; McInnes et al. 2018, arXiv:1802.03426.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown: use 'pca', 'tsne' or 'umap'")
    x = as_matrix(features)
    n, d = x.shape
    if n < FEWEST or d < 2:
        raise ValueError(f"{n} points of {d} features make no picture: give at least {FEWEST} points of 2 features")
    if method != "pca" and n > MOST:
        raise ValueError(f"{n} points take {method} too long: give a subset of at most {MOST}, such as features[:{MOST}]")
    x = x - x[0]
    scale = np.abs(x).max()
    if not scale > 0:
        raise ValueError(f"all {n} points are the same: the net has collapsed, and there is nothing to draw")

    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if method == "umap":
        from umap import UMAP  # before the limit, which reaches only libraries that are loaded

        _keep_compiled()

    with threadpool_limits(limits=1):
        pca = PCA(2 if method == "pca" else min(KEPT, n - 1, d), random_state=seed).fit(x / scale)
        strongest = np.abs(pca.components_).argmax(1)
        signs = np.sign(pca.components_[np.arange(len(strongest)), strongest])
        x = pca.transform(x / scale) * signs  # around 1, since scikit-learn's t-SNE dies when float32 makes points the same
        if method == "tsne":
            perplexity = min(30.0, (n - 1) / 3)  # each point has n - 1 neighbours, and t-SNE looks at three times as many
            x = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(x)
        elif method == "umap":
            x = UMAP(n_neighbors=min(15, n - 1), random_state=seed, n_jobs=1).fit_transform(x)
    return x * scale if method == "pca" else np.asarray(x, dtype=float)


def _keep_compiled() -> None:
    """Let numba keep on disk what it compiles for UMAP: the first picture after an installation takes half a minute, and in
    each later process half a second in place of twenty.

    umap-learn leaves that off for these functions. They are looked up by name, so that a version without them only costs time.
    This holds for all of the process; what UMAP computes stays the same.
    """
    from contextlib import suppress

    from umap import layouts, umap_, utils

    for module, name in (
        (utils, "fast_knn_indices"),
        (umap_, "smooth_knn_dist"),
        (umap_, "compute_membership_strengths"),
        (layouts, "_nb_optimize_layout_euclidean_single_epoch"),
    ):
        with suppress(AttributeError, RuntimeError, OSError):  # not there, or there is no folder that may be written
            getattr(module, name).enable_caching()


def separability(features: Any, labels: Any, *, folds: int = 5, seed: int = 0) -> float:
    """Balanced accuracy, 0..1, of 5 nearest neighbours on points (N, ...) that were held out: chance is 1 / n_classes.

    Each point is judged once, by its neighbours among the other folds, and each class counts the same. Features are
    standardised by the folds that are not held out. On a picture by `embed` it says how separate the classes look; the
    picture itself has seen every point.

    Raises:
        ValueError: values are not finite, there are fewer than 10 points, fewer than 2 folds or 2 classes, a class has
            fewer members than folds, or the labels are not one a point.
    """
    x = as_matrix(features)
    y = as_labels(labels, len(x))
    classes, members = np.unique(y, return_counts=True)
    if len(x) < FEWEST or folds < 2 or len(classes) < 2:
        raise ValueError(
            f"{len(x)} points of {len(classes)} classes in {folds} folds measure nothing: "
            f"give at least {FEWEST} points of 2 classes, and 2 folds"
        )
    if members.min() < folds:
        few = classes[members.argmin()].item()
        raise ValueError(f"class {few!r} has {members.min()} members for {folds} folds: give more, or folds={members.min()}")

    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), KNeighborsClassifier(NEIGHBOURS, n_jobs=1))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with threadpool_limits(limits=1):
        return float(balanced_accuracy_score(y, cross_val_predict(model, x, y, cv=split)))
