"""Inputs of lab 02, attention in vision transformers."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from labkit.grading.wants import Case


def top_k(rng: np.random.Generator) -> list[Case]:
    """Batches, one image, one class, all classes; a second call; what is left behind."""

    def scores(images: int, classes: int, k: int) -> dict[str, np.ndarray]:
        """Logits (images, classes), within a row at least .2 apart, whose order no two neighbouring rows share."""
        order = rng.permutation(classes)
        ladder = np.arange(classes) * 0.6 + rng.uniform(0, 0.4, (images, classes))
        rows = [row[np.roll(order, i)] for i, row in enumerate(ladder)]
        return {"logits": np.stack(rows) + rng.uniform(-3, 3, (images, 1)), "k": np.array(k)}

    return [
        Case("three classes of each of four images", scores(4, 7, 3)),
        Case("two classes of each of five images", scores(5, 6, 2)),
        Case("a batch of one image", scores(1, 8, 4)),
        Case("k = 1", scores(3, 5, 1)),
        Case("as many classes as there are", scores(2, 6, 6)),
        Case("a second call with the same logits", scores(3, 6, 3), "top_k_twice"),
        Case("logits and gradients are left as they were", scores(3, 5, 2), "top_k_leaves", 0.5, self_reported=True),
    ]


def _reading(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Uneven weights of attention (..., tokens, tokens), whose rows sum to 1."""
    return np.asarray(softmax(1.2 * rng.normal(size=shape), axis=-1))


def attention_map(rng: np.random.Generator) -> list[Case]:
    """Grids of several sizes, enlarged by whole and broken factors, and not at all."""

    def weights(images: int, heads: int, side: int, size: int) -> dict[str, np.ndarray]:
        return {"attention": _reading(rng, images, heads, 1 + side**2, 1 + side**2), "size": np.array(size)}

    return [
        Case("three images of 3 x 3 patches, 10 pixels", weights(3, 3, 3, 10)),
        Case("two images of 4 x 4 patches, 15 pixels", weights(2, 2, 4, 15)),
        Case("one image of 5 x 5 patches, four heads", weights(1, 4, 5, 15)),
        Case("one head", weights(2, 1, 3, 9)),
        Case("as many pixels as patches", weights(3, 2, 4, 4)),
        Case("weights and gradients are left as they were", weights(2, 2, 3, 6), "attention_map_leaves", 0.5,
             self_reported=True),
    ]  # fmt: skip


def rollout(rng: np.random.Generator) -> list[Case]:
    """One layer and several, in a list and a tuple; a second call with the same list."""

    def layers(depth: int, images: int, heads: int, tokens: int) -> dict[str, np.ndarray]:
        return {"attentions": _reading(rng, depth, images, heads, tokens, tokens)}

    return [
        Case("two images, three layers", layers(3, 2, 2, 5)),
        Case("three images, two layers of three heads", layers(2, 3, 3, 10)),
        Case("one layer", layers(1, 2, 2, 5)),
        Case("one image, four layers in a tuple, as a net returns them", layers(4, 1, 2, 5), "rollout_of_tuple"),
        Case("a second call with the same list", layers(3, 2, 2, 4), "rollout_twice"),
        Case("weights and gradients are left as they were", layers(2, 2, 2, 4), "rollout_leaves", 0.5, self_reported=True),
    ]


def keep_tokens(rng: np.random.Generator) -> list[Case]:
    """Nets of one to three layers, square and oblong grids, one patch, all patches; a second call; what is left behind."""

    def shown(images: int, down: int, across: int, kept: int, layers: int = 2) -> dict[str, np.ndarray]:
        d, heads, wide, places, patch = 8, 2, 12, down * across, 4

        def matrix(*shape: int) -> np.ndarray:
            return rng.normal(size=shape) * 1.5 / shape[-1] ** 0.5

        norms = 0.3 * rng.normal(size=(2 * layers + 1, 2, d))
        norms[:, 0] += 1
        return {
            "x": rng.normal(size=(images, 3, patch * down, patch * across)),
            "keep_mask": rng.permuted(np.tile(np.arange(places) < kept, (images, 1)), axis=1),
            "patch": matrix(d, 3 * patch**2 + 1),
            "cls": rng.normal(size=d),
            "positions": rng.normal(size=(1 + places, d)),
            "read": matrix(layers, 3, heads, d // heads, d + 1),
            "join": matrix(layers, d, d + 1),
            "widen": matrix(layers, wide, d + 1),
            "narrow": matrix(layers, d, wide + 1),
            "norms": norms,
            "classify": matrix(5, d + 1),
        }

    return [
        Case("three images, 4 of 9 patches", shown(3, 3, 3, 4)),
        Case("two images of 2 x 3 patches, 5 kept, one layer", shown(2, 2, 3, 5, layers=1)),
        Case("two images of 4 x 4 patches, 12 kept", shown(2, 4, 4, 12)),
        Case("one image, one patch, three layers", shown(1, 3, 3, 1, layers=3)),
        Case("all patches are kept", shown(2, 3, 3, 9)),
        Case("a second call with the same net, images and mask", shown(3, 3, 3, 5), "keep_tokens_twice"),
        Case("net and gradients are left as they were", shown(2, 3, 3, 4), "keep_tokens_leaves", 0.5, self_reported=True),
    ]


def two_probes(rng: np.random.Generator) -> list[Case]:
    """Classes of unequal numbers, features of unequal scales, test images brighter than training images."""

    def tokens(n: int, test_n: int, kinds: int, patches: int, width: int) -> dict[str, np.ndarray]:
        centres = 0.7 * rng.normal(size=(2, kinds, width))
        scales = rng.permutation(np.array([1.0, 6.0, 0.2, 2.0, 0.5])[:width])

        def drawn(y: np.ndarray, brighter: float) -> np.ndarray:
            noise = rng.normal(size=(len(y), 1 + patches, width))
            means = np.concatenate([centres[0][y][:, None], np.repeat(centres[1][y][:, None], patches, axis=1)], axis=1)
            return np.asarray((means + noise + brighter) * scales * (1 + 0.4 * brighter) + 2 * scales[::-1])

        y = rng.permutation(np.arange(n) % (2 * kinds - 1) % kinds)  # the last class is half as frequent
        return {
            "train_tokens": drawn(y, 0.0),
            "train_y": y,
            "test_tokens": drawn(np.arange(test_n) % kinds, 0.5),
        }

    return [
        Case("three classes, 4 patches", tokens(30, 25, 3, 4, 4)),
        Case("four classes, 3 patches, 5 features", tokens(35, 14, 4, 3, 5)),
        Case("one test image", tokens(30, 1, 3, 4, 4)),
        Case("both values are NumPy arrays", tokens(30, 12, 3, 5, 4), "two_probes_as_arrays", 0.5),
        Case("a second call with the same tokens and labels", tokens(30, 10, 3, 4, 3), "two_probes_twice"),
    ]


def mcnemar(rng: np.random.Generator) -> list[Case]:
    """More right answers on either side, as many on both, on one side alone, none; many questions."""

    def answers(n: int, first: int, second: int) -> dict[str, np.ndarray]:
        """n questions, of which so many are answered by the first alone and by the second alone; more by both than neither."""
        both = int((n - first - second) * rng.uniform(0.55, 0.85))
        kinds = rng.permutation(np.repeat([0, 1, 2, 3], [first, second, both, n - first - second - both]))
        return {"first": np.isin(kinds, [0, 2]), "second": np.isin(kinds, [1, 2])}

    def some(low: int, high: int) -> int:
        return int(rng.integers(low, high))

    return [
        Case("the first is right more often", answers(40, some(8, 13), some(2, 5))),
        Case("the second is right more often", answers(50, some(3, 6), some(9, 14))),
        Case("as many to either side", answers(35, *[some(4, 9)] * 2)),
        Case("only the second is ever right alone", answers(30, 0, some(3, 8))),
        Case("they never differ", answers(30, 0, 0)),
        Case("2,000 questions", answers(2000, some(110, 140), some(80, 100))),
        Case("a second call with the same answers", answers(40, some(5, 9), some(2, 4)), "mcnemar_twice"),
    ]


EXERCISES = {
    "top-k": top_k,
    "attention-map": attention_map,
    "rollout": rollout,
    "keep-tokens": keep_tokens,
    "two-probes": two_probes,
    "mcnemar": mcnemar,
}
