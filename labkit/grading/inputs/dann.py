"""Inputs of lab 08, domain adaptation with DANN."""

from __future__ import annotations

import numpy as np

from labkit.grading.wants import Case


def reverse(rng: np.random.Generator) -> list[Case]:
    """A number as strength, none at all, and one strength an arm."""

    def features(*shape: int) -> dict[str, np.ndarray]:
        return {"features": rng.normal(size=shape), "upstream": rng.normal(size=shape)}

    return [
        Case("a number as strength", {**features(5, 7), "strength": np.array(rng.uniform(0.2, 3))}),
        Case("strength 0 lets no gradient back", {**features(4, 3), "strength": np.array(0.0)}),
        Case("one strength an arm", {**features(3, 6, 4), "strength": rng.uniform(0.1, 2, (3, 1, 1))}),
        Case("float32 and a large strength", {
            **{name: array.astype(np.float32) for name, array in features(5, 3).items()}, "strength": np.array(1e6)}),
        Case("two layers, two strengths", {**features(4, 4), "strengths": rng.uniform(0.5, 3, 2)}, "reverse_twice"),
        Case("features and gradient stay as they are", features(3, 3), "reverse_leaves", 0.5, self_reported=True),
    ]  # fmt: skip


def three_parts(rng: np.random.Generator) -> list[Case]:
    """One net and stacked nets; a batch of one image; how often features are computed."""

    def parts(*shape: int) -> dict[str, np.ndarray]:
        p, d = shape[-1], 6
        return {
            "x": rng.normal(size=shape),
            "extract": rng.normal(size=(p, d)) / p**0.5,
            "classify": rng.normal(size=(d, 10)),
            "tell": rng.normal(size=(d, 1)),
        }

    return [
        Case("a batch of images", parts(9, 8)),
        Case("stacked nets", parts(2, 5, 8)),
        Case("a batch of one image keeps its dimension", parts(1, 8)),
        Case("features are computed once", {"x": rng.normal(size=(4, 3))}, "calls_of_extractor", 0.3, self_reported=True),
    ]


def dann_loss(rng: np.random.Generator) -> list[Case]:
    """Halves of different sizes, stacked nets, and logits so large that exp overflows."""

    def batch(*arms: int, source: int, target: int, scale: float = 2.0) -> dict[str, np.ndarray]:
        n = source + target
        return {
            "class_logits": rng.normal(size=(*arms, n, 10)) * scale,
            "labels": rng.integers(10, size=(*arms, source)),
            "domain_logits": rng.normal(size=(*arms, n)) * scale,
        }

    return [
        Case("more target than source images", batch(source=5, target=9)),
        Case("more source than target images", batch(source=8, target=3)),
        Case("stacked nets", batch(3, source=4, target=6)),
        Case("large logits", batch(source=6, target=6, scale=800.0)),
    ]


def ramp(rng: np.random.Generator) -> list[Case]:
    """The default slope and others."""
    inside = np.sort(rng.uniform(0.02, 0.98, 6))
    return [
        Case("the gamma of the stub", {"progress": inside}, "ramp_as_given"),
        Case("another gamma", {"progress": inside, "gamma": np.array(rng.uniform(2, 8))}),
        Case("from 0 to almost 1", {"progress": np.array([0.0, rng.uniform(0.1, 0.2), 1.0]), "gamma": np.array(10.0)}),
    ]


def proxy_a_distance(rng: np.random.Generator) -> list[Case]:
    """Domains that can be told apart, and worse than chance."""
    return [
        Case("domains that differ", {"source_rate": rng.uniform(0.6, 1, 5), "target_rate": rng.uniform(0.5, 1, 5)}),
        Case("worse than chance", {"source_rate": rng.uniform(0, 0.5, 5), "target_rate": rng.uniform(0, 0.45, 5)}),
        Case("several nets at once", {"source_rate": rng.uniform(size=4), "target_rate": rng.uniform(size=4)},
             "proxy_a_distance_of_arms"),
    ]  # fmt: skip


def pseudo_labels(rng: np.random.Generator) -> list[Case]:
    """Images, stacked images, a threshold that none or all pass; what happens to the argument."""

    def logits(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) * rng.choice([0.5, 2.0, 6.0], size=(*shape[:-1], 1))

    return [
        Case("one net's logits", {"logits": logits(40, 4), "threshold": np.array(0.8)}),
        Case("stacked nets", {"logits": logits(3, 11, 5), "threshold": np.array(0.6)}),
        Case("a threshold that few pass", {"logits": logits(30, 10), "threshold": np.array(0.97)}),
        Case("a probability of just the threshold is kept", {"gaps": rng.uniform(800, 900, 5), "threshold": np.array(1.0)},
             "pseudo_labels_at_threshold"),
        Case("logits stay as they are", {"logits": logits(6, 3), "threshold": np.array(0.7)}, "pseudo_labels_leave", 0.3,
             self_reported=True),
    ]  # fmt: skip


EXERCISES = {
    "reverse": reverse,
    "three-parts": three_parts,
    "dann-loss": dann_loss,
    "ramp": ramp,
    "proxy-a-distance": proxy_a_distance,
    "pseudo-labels": pseudo_labels,
}
