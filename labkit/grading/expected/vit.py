"""What is expected in lab 02, attention in vision transformers; Dosovitskiy et al. 2021 (arXiv:2010.11929)."""

from __future__ import annotations

from math import comb, isqrt

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, ndtr, softmax

from labkit.grading.wants import Near, Wants

#: Of a probe's probabilities: scikit-learn's fit stops early, which costs up to 2.5e-3 (900 cases of these inputs); a
#: scaler that has seen the test images as well, the least of known mistakes, moves one of them by .058 or more (15 seeds)
FIT_ATOL = 8e-3


def top_k(logits: np.ndarray, k: np.ndarray) -> Wants:
    """A class's rank is how many are above it; its probability is 1 over the sum of what the others have for its 1."""
    ratios = np.exp(logits[:, None, :] - logits[:, :, None])  # [i, c, d]: how many times as probable d is as c
    ranks, p = (ratios > 1).sum(2), 1 / ratios.sum(2)
    classes = np.argsort(ranks, axis=1)[:, : int(k)]
    return {"classes": Near(classes, dtype="int64"), "probabilities": np.take_along_axis(p, classes, axis=1)}


def top_k_twice(logits: np.ndarray, k: np.ndarray) -> Wants:
    """The same again."""
    return top_k(logits, k)


def top_k_leaves(logits: np.ndarray, k: np.ndarray) -> Wants:
    """Nothing changes."""
    return {"logits unchanged": np.array(True), "gradients on": np.array(True)}


def attention_map(attention: np.ndarray, size: np.ndarray) -> Wants:
    """Row 0 of the mean head over its mean over the patches, drawn through the centres of the patches by lines."""
    rows = attention.mean(axis=1)[:, 0, 1:]
    side = isqrt(rows.shape[1])
    patches = np.arange(side) + 0.5
    pixels = (np.arange(int(size)) + 0.5) * side / int(size)  # beyond the outer centres np.interp keeps the outer values

    def stretched(grid: np.ndarray, axis: int) -> np.ndarray:
        return np.apply_along_axis(lambda line: np.interp(pixels, patches, line), axis, grid)

    grids = (rows / rows.mean(axis=1, keepdims=True)).reshape(-1, side, side)
    return {"map": stretched(stretched(grids, 1), 2)}


def attention_map_leaves(attention: np.ndarray, size: np.ndarray) -> Wants:
    """Nothing changes."""
    return {"attention unchanged": np.array(True), "gradients on": np.array(True)}


def rollout(attentions: np.ndarray) -> Wants:
    """Each token is followed back from the last layer: half of what it holds stays in its place, half is where it read."""
    _, images, _, tokens, _ = attentions.shape
    shares = np.tile(np.eye(tokens), (images, 1, 1))  # [b, i, j]: what i holds of j, after the layers not yet gone back
    for layer in attentions[::-1].mean(axis=2):
        shares = (shares + np.einsum("bij,bjk->bik", shares, layer)) / 2
    return {"rollout": shares}


def rollout_of_tuple(attentions: np.ndarray) -> Wants:
    """As of a list."""
    return rollout(attentions)


def rollout_twice(attentions: np.ndarray) -> Wants:
    """The same again."""
    return rollout(attentions)


def rollout_leaves(attentions: np.ndarray) -> Wants:
    """Nothing changes."""
    return {"attentions unchanged": np.array(True), "gradients on": np.array(True)}


def _affine(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights (out, in + 1), the last column of which is the bias."""
    return np.asarray(x @ weights[:, :-1].T + weights[:, -1])


def _normed(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True)) * weights[0] + weights[1])


def _logits(image: np.ndarray, kept: np.ndarray, w: dict[str, np.ndarray]) -> np.ndarray:
    """Logits (classes,) of an image (3, H, W) whose patches of these numbers are all that there is."""
    side = round(((w["patch"].shape[1] - 1) / 3) ** 0.5)
    across = image.shape[2] // side
    tokens = [w["cls"] + w["positions"][0]]
    for place in kept:
        top, left = side * (place // across), side * (place % across)
        pixels = image[:, top : top + side, left : left + side].ravel()
        tokens.append(_affine(pixels, w["patch"]) + w["positions"][1 + place])
    x = np.stack(tokens)  # (1 + K, D)
    for i in range(len(w["join"])):
        seen = _normed(x, w["norms"][2 * i])
        heads = []
        for q, k, v in zip(*w["read"][i], strict=True):
            query, key, value = _affine(seen, q), _affine(seen, k), _affine(seen, v)
            heads.append(softmax(query @ key.T / query.shape[1] ** 0.5, axis=1) @ value)
        x = x + _affine(np.concatenate(heads, axis=1), w["join"][i])
        inner = _affine(_normed(x, w["norms"][2 * i + 1]), w["widen"][i])
        x = x + _affine(inner * ndtr(inner), w["narrow"][i])  # GELU
    return _affine(_normed(x, w["norms"][-1])[0], w["classify"])


def keep_tokens(x: np.ndarray, keep_mask: np.ndarray, **weights: np.ndarray) -> Wants:
    """Each image's logits from the class token and the kept patches, at the positions that they have in the image."""
    return {"logits": np.stack([_logits(image, np.flatnonzero(row), weights) for image, row in zip(x, keep_mask, strict=True)])}


def keep_tokens_twice(x: np.ndarray, keep_mask: np.ndarray, **weights: np.ndarray) -> Wants:
    """The same again."""
    return keep_tokens(x, keep_mask, **weights)


def keep_tokens_leaves(x: np.ndarray, keep_mask: np.ndarray, **weights: np.ndarray) -> Wants:
    """Nothing changes."""
    names = ("gradients on", "settings unchanged", "evaluation mode", "parameters not frozen", "no gradients")
    return {name: np.array(True) for name in names}


def _probed(train: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes) where the sum of cross-entropies + |w|^2 / 2 is least, the intercepts free."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    a = np.column_stack([(train - mean) / spread, np.ones(len(train))])
    truth = np.eye(y.max() + 1)[y]
    free = np.append(np.ones(train.shape[1]), 0)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(-1, truth.shape[1])
        z = a @ w
        slope = a.T @ (softmax(z, axis=1) - truth) + free[:, None] * w
        return float(-(truth * log_softmax(z, axis=1)).sum() + (free[:, None] * w**2).sum() / 2), slope.ravel()

    best = minimize(loss, np.zeros(a.shape[1] * truth.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-6})
    b = np.column_stack([(test - mean) / spread, np.ones(len(test))])
    return np.asarray(softmax(b @ best.x.reshape(-1, truth.shape[1]), axis=1))


def two_probes(train_tokens: np.ndarray, train_y: np.ndarray, test_tokens: np.ndarray) -> Wants:
    """Probes of token 0 and of the mean of the others."""
    cls = _probed(train_tokens[:, 0], train_y, test_tokens[:, 0])
    mean = _probed(train_tokens[:, 1:].mean(axis=1), train_y, test_tokens[:, 1:].mean(axis=1))
    return {"CLS": Near(cls, rtol=0, atol=FIT_ATOL), "mean": Near(mean, rtol=0, atol=FIT_ATOL)}


def two_probes_twice(train_tokens: np.ndarray, train_y: np.ndarray, test_tokens: np.ndarray) -> Wants:
    """The same again."""
    return two_probes(train_tokens, train_y, test_tokens)


def two_probes_as_arrays(train_tokens: np.ndarray, train_y: np.ndarray, test_tokens: np.ndarray) -> Wants:
    """Means over the test images."""
    cls = _probed(train_tokens[:, 0], train_y, test_tokens[:, 0]).mean(axis=0)
    mean = _probed(train_tokens[:, 1:].mean(axis=1), train_y, test_tokens[:, 1:].mean(axis=1)).mean(axis=0)
    return {"CLS": Near(cls, rtol=0, atol=FIT_ATOL), "mean": Near(mean, rtol=0, atol=FIT_ATOL)}


def mcnemar(first: np.ndarray, second: np.ndarray) -> Wants:
    """Whole numbers: of 2^m ways in which m coins can fall, twice those below k, and those at k."""
    ways = list(zip(first.tolist(), second.tolist(), strict=True))
    a, b = ways.count((True, False)), ways.count((False, True))
    m, k = a + b, min(a, b)
    p = (2 * sum(comb(m, i) for i in range(k)) + comb(m, k)) / 2**m
    # SciPy's cdf is good to about 1e-12 of itself; approximations of p differ in the second or third digit
    return {"only_first": np.array(a), "only_second": np.array(b), "p": Near(np.array(p), rtol=1e-7, atol=1e-12)}


def mcnemar_twice(first: np.ndarray, second: np.ndarray) -> Wants:
    """The same again."""
    return mcnemar(first, second)
