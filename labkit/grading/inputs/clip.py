"""Inputs of lab 05, CLIP's zero-shot classifier, its loss and the gap between its modalities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labkit.grading.wants import Case

_ANIMALS = ("owl", "cat", "bee", "yak", "eel", "fox", "snow goose", "ibex", "mole", "ant", "polar bear", "hen")
_TEMPLATES = ("a photo of a {}.", "{} in the fog", "an old drawing of one {} on paper", "the {}, seen from far away", "my {}!")


def _features(rng: np.random.Generator, *shape: int, off: float = 0.8) -> np.ndarray:
    """Features (..., N, D) around a mean that is not 0; their lengths differ tenfold."""
    rows = rng.normal(size=shape) + off * rng.normal(size=shape[-1])
    scaled: np.ndarray = rows * np.exp(0.8 * rng.normal(size=(*shape[:-1], 1)))
    return scaled


def _unit(rows: np.ndarray) -> np.ndarray:
    long: np.ndarray = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return long


def _names(rng: np.random.Generator, n: int) -> list[str]:
    """So many different names; more than one are not in the order of the alphabet."""
    names = [str(name) for name in rng.choice(_ANIMALS, n, replace=False)]
    return names[::-1] if names == sorted(names) else names


def zero_shot_classifier(rng: np.random.Generator) -> list[Case]:
    """Several classes and templates, as many of both, one of either."""

    def prompted(k: int, t: int, d: int) -> dict[str, np.ndarray]:
        """Names, templates, prompts (K, T) and features (K, T, D), which lean to a direction of the class's own."""
        names, templates = _names(rng, k), [str(text) for text in rng.choice(_TEMPLATES, t, replace=False)]
        rows = rng.normal(size=(k, t, d)) + 1.5 * _unit(rng.normal(size=(k, 1, d)))
        return {
            "class_names": np.array(names),
            "templates": np.array(templates),
            "prompts": np.array([[template.replace("{}", name) for template in templates] for name in names]),
            "features": rows * np.exp(0.8 * rng.normal(size=(k, t, 1))),
        }

    return [
        Case("five classes, three templates", prompted(5, 3, 7)),
        Case("as many classes as templates", prompted(4, 4, 6)),
        Case("a single template", prompted(4, 1, 6)),
        Case("a single class", prompted(1, 3, 5)),
        Case("names and templates as tuples", prompted(3, 5, 6), "zero_shot_of_tuples"),
        Case("products of images and classes", {**prompted(4, 3, 6), "images": _features(rng, 5, 6)}, "zero_shot_scores"),
        Case("names and templates stay as they are", prompted(4, 2, 5), "zero_shot_leaves", 0.7, self_reported=True),
    ]


def recall_by_name(rng: np.random.Generator) -> list[Case]:
    """A class first, in the middle and last; a name that is part of another; one candidate; the old name among them."""

    def world(names: list[str], label: int, candidates: list[str], n: int, d: int) -> dict[str, np.ndarray]:
        """Images near a direction to which candidates lean more and more; none of them near a tie."""
        words = list(dict.fromkeys([*names, *candidates]))
        middle = _unit(rng.normal(size=d))
        lean = dict(zip(candidates, np.linspace(0.5, 1.5, len(candidates) + 1)[1:], strict=True))
        table = {
            word: (_unit(rng.normal(size=d)) + lean.get(word, 1.1 if word == names[label] else 0.3) * middle)
            * np.exp(0.8 * rng.normal())
            for word in words
        }
        features = np.array([table[name] for name in (*names, *candidates)])
        images = _unit(rng.normal(size=(40 * n, d))) + 0.7 * middle
        cosines = _unit(images) @ _unit(np.array([table[word] for word in words])).T
        best = np.sort(cosines, axis=1)
        clear = images[np.diff(best, axis=1).min(1) > 1e-3][:n]  # no two names suit an image equally well
        return {
            "images": clear * np.exp(0.8 * rng.normal(size=(len(clear), 1))),
            "class_names": np.array(names),
            "label": np.array(label),
            "candidates": np.array(candidates),
            "features": features,
        }

    def drawn(k: int, label: int, c: int, n: int, d: int, *, own: bool = False) -> dict[str, np.ndarray]:
        """Names of which one begins with a vowel; with `own` the class's name is among the candidates."""
        words = ["octopus", *_names(rng, k + c - 1)]
        names, candidates = words[:k], words[k:]
        names = [names[i] for i in rng.permutation(k)]
        return world(names, label, [*candidates[:-1], names[label], candidates[-1]] if own else candidates, n, d)

    engines = ["bee", "fire engine", "engine", "yak"]
    return [
        Case("one of five classes, three names", drawn(5, int(rng.integers(1, 4)), 3, 61, 5)),
        Case("the first class, all names as tuples", drawn(4, 0, 4, 53, 6), "recall_of_tuples"),
        Case("the last class, its own name among the candidates", drawn(3, 2, 3, 59, 4, own=True)),
        Case("a name that is part of another", world(engines, 2, ["motor", "turbine", "machine"], 47, 5)),
        Case("one candidate", drawn(4, int(rng.integers(4)), 1, 43, 5)),
        Case("images and names stay as they are", drawn(3, 1, 2, 9, 4), "recall_leaves", 0.7, self_reported=True),
    ]


def gap_metrics(rng: np.random.Generator) -> list[Case]:
    """Each number on its own; pairs far from 0, few pairs, and no gap at all."""

    def pairs(n: int, d: int, off: float = 0.8) -> dict[str, np.ndarray]:
        images = _features(rng, n, d, off=off)
        return {"images": images, "texts": 0.5 * images + _features(rng, n, d, off=off)}

    same = _features(rng, 6, 4)
    return [
        Case("gap: the distance of the means", pairs(8, 5), "gap_of_means"),
        Case("matched and mismatched: the mean cosines", pairs(7, 5), "gap_cosines"),
        Case("rmg: the relative gap", pairs(7, 5), "gap_relative"),
        Case("all four, both modalities far from 0", pairs(9, 4, off=3.0)),
        Case("all four, few pairs of many features", pairs(4, 12)),
        Case("no gap: texts in the directions of the images", {"images": same, "texts": same * rng.uniform(0.2, 5, (6, 1))}),
        Case("four entries, and each of them a number", pairs(5, 4), "gap_as_row"),
        Case("images and texts stay as they are", pairs(5, 4), "gap_leaves", 0.7, self_reported=True),
    ]


def clip_loss(rng: np.random.Generator) -> list[Case]:
    """One batch and several, temperatures as a number, one a batch and very low, and gradients."""

    def pairs(*shape: int, t: float | np.ndarray = 0.3) -> dict[str, np.ndarray]:
        images = _features(rng, *shape)
        texts = 0.5 * images + _features(rng, *shape)
        return {"images": images, "texts": texts, "temperature": np.asarray(t * rng.uniform(0.8, 1.2))}

    # angles near 0 and near pi: two pairs match and two do not, so that right texts have probabilities of 1 and of 0
    angles = np.array([[0.0, 0.3, 3.0, 3.2], [0.1, 3.1, 0.2, 3.25]]) + rng.uniform(-0.04, 0.04, (2, 4))
    images, texts = np.stack([np.cos(angles), np.sin(angles)], -1)
    cold = {"images": 2 * images, "texts": texts, "temperature": np.array(rng.uniform(0.001, 0.0015))}
    return [
        Case("a batch of five pairs", pairs(5, 4)),
        Case("three batches", pairs(3, 5, 4)),
        Case("as many batches as pairs, and as many features", pairs(4, 4, 4, t=0.6)),
        Case("2 x 3 batches, a temperature for each of the 2", pairs(2, 3, 4, 5, t=np.array([0.2, 1.5]).reshape(2, 1, 1, 1))),
        Case("a temperature of 0.001, cosines near 1 and -1", cold),
        Case("gradients at images and texts", pairs(4, 3), "clip_loss_slopes"),
        Case("the gradient at the temperature", pairs(4, 3), "clip_loss_slope_of_temperature"),
        Case("features and temperature stay as they are", pairs(4, 3), "clip_loss_leaves", 0.7, self_reported=True),
    ]


def shifted(rng: np.random.Generator) -> list[Case]:
    """More images or more texts, less than all of the gap, all, more, less than nothing, nothing."""

    def given(n: int, m: int, d: int, amount: float) -> dict[str, np.ndarray]:
        return {"images": _features(rng, n, d), "texts": _features(rng, m, d), "amount": np.array(amount)}

    return [
        Case("more images than texts, part of the way", given(6, 4, 5, rng.uniform(0.4, 0.8))),
        Case("more texts than images, amount 1", given(3, 7, 6, 1.0)),
        Case("as many images as texts, past each other", given(5, 5, 6, rng.uniform(1.3, 1.7))),
        Case("a wider gap: an amount below 0", given(5, 3, 4, -rng.uniform(0.5, 0.9))),
        Case("amount 0 changes no direction", given(4, 5, 3, 0.0)),
        Case("images and texts joined to one tensor", given(4, 6, 5, rng.uniform(0.4, 0.8)), "shifted_joined"),
        Case("images and texts stay as they are", given(5, 4, 4, rng.uniform(0.4, 0.8)), "shifted_leaves", 0.7,
             self_reported=True),
    ]  # fmt: skip


def _turn(rng: np.random.Generator, d: int, sign: int) -> np.ndarray:
    """A random orthogonal matrix (D, D) whose determinant is `sign`."""
    r: np.ndarray = np.linalg.qr(rng.normal(size=(d, d)))[0]
    if np.linalg.det(r) * sign < 0:
        r[0] *= -1
    return r


def _until_clear(
    draw: Callable[[], dict[str, np.ndarray]], product: Callable[..., np.ndarray], sign: int
) -> dict[str, np.ndarray]:
    """Draw until the matrix that is decomposed has but one best R, and this the determinant `sign`."""
    while True:
        given = draw()
        m = product(**given)
        s = np.linalg.svd(m, compute_uv=False)
        if s[-1] > 0.1 * s[0] and np.linalg.det(m) * sign > 0:
            return given


def procrustes(rng: np.random.Generator) -> list[Case]:
    """Rotations and reflections, features off centre, fewer rows than dimensions, single precision."""

    def pairs(n: int, d: int, *, sign: int = 1, off: float = 0.6) -> dict[str, np.ndarray]:
        def draw() -> dict[str, np.ndarray]:
            source = _features(rng, n, d, off=off)
            rest = rng.normal(size=(n, d)) + off * rng.normal(size=d)
            return {"source": source, "target": 1.5 * source @ _turn(rng, d, sign) + rest}

        return _until_clear(draw, lambda source, target: source.T @ target, sign)

    single = {name: rows.astype(np.float32) for name, rows in pairs(40, 4).items()}
    few = {"source": _features(rng, 3, 6), "target": _features(rng, 3, 6)}
    return [
        Case("a rotation fits best", pairs(12, 4)),
        Case("a reflection fits best", pairs(9, 3, sign=-1)),
        Case("two dimensions, far off centre", pairs(9, 2, off=1.5)),
        Case("fewer rows than dimensions", few, "procrustes_of_few"),
        Case("features turned by R", pairs(10, 5), "procrustes_turned"),
        Case("features in float32 turned by R", single, "procrustes_turned"),
        Case("source and target stay as they are", pairs(8, 3), "procrustes_leaves", 0.7, self_reported=True),
    ]


def repaired(rng: np.random.Generator) -> list[Case]:
    """Some pairs fitted on, or all; those that are not belong to another rotation."""

    def pairs(n: int, d: int, fitted: int) -> dict[str, np.ndarray]:
        def draw() -> dict[str, np.ndarray]:
            fit_on = np.zeros(n, dtype=bool)
            first = int(fitted < n)  # unless all are fitted on, pair 0 is not: the mask never names just the first pairs
            fit_on[first + rng.permutation(n - first)[:fitted]] = True
            images = _features(rng, n, d)
            lengths = np.linalg.norm(images, axis=1, keepdims=True)
            turned = np.where(fit_on[:, None], images @ _turn(rng, d, 1), images @ _turn(rng, d, 1))
            texts = turned + 0.4 * lengths * rng.normal(size=(n, d))
            return {"images": images, "texts": texts * np.exp(0.5 * rng.normal(size=(n, 1))), "fit_on": fit_on}

        def product(images: np.ndarray, texts: np.ndarray, fit_on: np.ndarray) -> np.ndarray:
            m: np.ndarray = _unit(images)[fit_on].T @ _unit(texts)[fit_on]
            return m

        return _until_clear(draw, product, 1)

    single = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in pairs(12, 4, 8).items()}
    return [
        Case("some pairs are fitted on", pairs(16, 4, 9)),
        Case("two dimensions", pairs(11, 2, 6)),
        Case("all pairs are fitted on", pairs(9, 3, 9)),
        Case("features in float32", single),
        Case("products of turned images and texts", pairs(14, 5, 9), "repaired_compared"),
        Case("features and fit_on stay as they are", pairs(9, 3, 6), "repaired_leaves", 0.7, self_reported=True),
    ]


EXERCISES = {
    "zero-shot-classifier": zero_shot_classifier,
    "recall-by-name": recall_by_name,
    "gap-metrics": gap_metrics,
    "clip-loss": clip_loss,
    "shifted": shifted,
    "procrustes": procrustes,
    "repaired": repaired,
}
