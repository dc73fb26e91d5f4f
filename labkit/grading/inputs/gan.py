"""Inputs of lab 03, how GANs fail."""

from __future__ import annotations

from itertools import product

import numpy as np

from labkit.grading.wants import Case


def _certain(rng: np.random.Generator) -> np.ndarray:
    """Logits (8,) of both signs, in float32: moderate ones, and those where a sigmoid is 0 or 1 or its exp overflows."""
    sizes = [rng.uniform(low, high) * sign for low, high in ((0.3, 2), (4, 8), (26, 35), (106, 120)) for sign in (1, -1)]
    return rng.permutation(np.array(sizes, dtype=np.float32))


def generator_losses(rng: np.random.Generator) -> list[Case]:
    """Each loss by itself, stacked nets, gradients, and logits where a probability is 0 or 1 to machine precision."""

    def logits(*shape: int) -> dict[str, np.ndarray]:
        return {"fake_logits": 2 * rng.normal(size=shape) + rng.uniform(0.3, 0.8)}

    return [
        Case("the saturating loss", logits(7), "saturating_loss"),
        Case("the non-saturating loss", logits(6), "non_saturating_loss"),
        Case("stacked nets", logits(2, 3, 5)),
        Case("gradients", logits(5), "generator_slopes"),
        Case("a very certain D", {"fake_logits": _certain(rng)}),
        Case("gradients under a very certain D", {"fake_logits": _certain(rng)}, "generator_slopes"),
    ]


def discriminator_loss(rng: np.random.Generator) -> list[Case]:
    """Targets of 1 and below, for all nets or one an arm; other numbers of images; gradients; extreme logits."""

    def logits(*lead: int, real: int, fake: int) -> dict[str, np.ndarray]:
        return {
            "real_logits": 1.5 * rng.normal(size=(*lead, real)) + 0.5,
            "fake_logits": 1.5 * rng.normal(size=(*lead, fake)) - 0.5,
        }

    def smooth() -> dict[str, np.ndarray]:
        return {"smooth": np.array(rng.uniform(0.65, 0.95))}

    def certain() -> dict[str, np.ndarray]:
        return {"real_logits": _certain(rng), "fake_logits": _certain(rng), **smooth()}

    levels = np.array([1.0, rng.uniform(0.6, 0.8)]).reshape(2, 1, 1)
    return [
        Case("the target of the stub", logits(real=6, fake=6), "discriminator_loss_as_given"),
        Case("a smoothed target", {**logits(real=5, fake=5), **smooth()}),
        Case("more made than real images", {**logits(real=3, fake=7), **smooth()}),
        Case("one target an arm", {**logits(2, 3, real=4, fake=4), "smooth": levels}),
        Case("stacked nets", {**logits(2, 3, real=5, fake=5), **smooth()}),
        Case("gradients", {**logits(real=5, fake=5), **smooth()}, "discriminator_slopes"),
        Case("a very certain D", certain()),
        Case("gradients under a very certain D", certain(), "discriminator_slopes"),
    ]


def mode_coverage(rng: np.random.Generator) -> list[Case]:
    """Missing, rare and even classes; other thresholds, one of which is a share; tensors and arrays."""

    def labels(counts: np.ndarray) -> np.ndarray:
        return rng.permutation(np.repeat(np.arange(len(counts)), counts))

    def skewed() -> np.ndarray:
        """A thousand labels of ten classes: four of 3 % and more, one of less than 1 %, and never the last two."""
        rare, tall = int(rng.integers(3, 7)), rng.choice(np.arange(30, 200), 3, replace=False)
        return labels(rng.permutation([rare, *tall, 1000 - rare - tall.sum(), 0, 0, 0]))

    few = np.array([10, 22, 36]) + rng.integers(-4, 5, 3)
    halves = labels(rng.permutation([8, 4, 2, 1, 0, 1]))  # shares of 1/2, 1/4, ... so that no rounding decides
    ends = np.stack([np.full(70, rng.integers(7)), labels(np.full(7, 10))])
    return [
        Case("the number of modes, labels as a tensor", {"labels": skewed()}, "mode_count"),
        Case("the KL, labels as a tensor", {"labels": skewed()}, "divergence"),
        Case("four classes, all present", {
            "labels": labels(rng.permutation([*few, 120 - few.sum()]))[None], "n_classes": np.array(4),
            "at_least": np.array([0.01])}),
        Case("other thresholds, some of them a share", {
            "labels": np.stack([halves] * 4), "n_classes": np.array(12),
            "at_least": rng.permutation([0.5, 0.125, 0.0625, 0.3])}),
        Case("one class only, and all alike", {"labels": ends, "n_classes": np.array(7), "at_least": np.full(2, 0.02)}),
        Case("both, labels as a NumPy array", {"labels": skewed()}, "mode_coverage_of_array"),
    ]  # fmt: skip


def pack(rng: np.random.Generator) -> list[Case]:
    """Full groups, images left over, stacked nets; gradients and a second call."""

    def images(pac: int, *shape: int) -> dict[str, np.ndarray]:
        return {"x": rng.normal(size=shape).astype(np.float32), "pac": np.array(pac)}

    return [
        Case("two images a row", images(2, 2 * int(rng.integers(3, 7)), 4)),
        Case("three images a row", images(3, 3 * int(rng.integers(4, 7)), 6)),
        Case("images left over", images(3, 12 + int(rng.integers(1, 3)), 6)),
        Case("one image a row", images(1, 5, 4), weight=0.5),
        Case("stacked nets", images(2, 2, 3, 8, 4)),
        Case("stacked nets, images left over", images(3, 2, 3, 6 + int(rng.integers(1, 3)), 6)),
        Case("gradients flow back", images(2, 6, 4), "pack_slopes"),
        Case("a second call with the same images", images(2, 8, 4), "pack_again", 0.5),
    ]


def conditional_discriminator(rng: np.random.Generator) -> list[Case]:
    """What logits depend on and what not; their range; what is trained; stacked nets. Any net of the kind is right."""

    def data(*lead: int, conditions: int = 4) -> dict[str, np.ndarray]:
        """Images with one-hot conditions."""
        x = 2 * rng.normal(size=(*lead, int(rng.integers(5, 10))))
        return {"x": x.astype(np.float32), "c": np.eye(conditions, dtype=np.float32)[rng.integers(conditions, size=lead)]}

    def table(images: int, nets: int, scale: float) -> dict[str, np.ndarray]:
        """Images for every pair with a condition of three attributes."""
        x = scale * rng.normal(size=(images, int(rng.integers(5, 10))))
        codes = rng.permutation(np.array(list(product([0, 1], repeat=3)), dtype=np.float32))
        return {"x": x.astype(np.float32), "codes": codes, "seeds": rng.integers(2**31, size=nets)}

    def seed() -> dict[str, np.ndarray]:
        return {"seed": np.array(rng.integers(2**31))}

    batches = data(2, 8)
    batches["c"][0] = batches["c"][0, 0]  # one condition, so that the logits differ by the images alone
    batches["x"][1, :2], batches["c"][1, :2] = batches["x"][0, :2], batches["c"][0, :2]
    batches["x"][1, 2:] = 3 * batches["x"][1, 2:] + 1
    return [
        Case("a logit an image, whatever the others are", {**batches, **seed()}, "two_batches"),
        Case("a batch of one image", {**data(5), **seed()}, "one_image"),
        Case("all attributes are heeded", table(32, 3, 2.0), "conditions_told_apart"),
        Case("what the condition changes depends on the image", table(48, 3, 6.0), "images_and_conditions", 2.0),
        Case("logits of any size and sign", table(24, 8, 1e8), "large_images"),
        Case("the state dict holds the whole net", {**data(12), "seeds": rng.integers(2**31, size=2)}, "same_state"),
        Case("stacked nets", {**data(2, 2, 5), "seeds": rng.integers(2**31, size=2)}, "stacked_nets"),
        Case("every layer is trained", {**data(32), **seed()}, "gradients_of_layers", self_reported=True),
    ]


def slerp(rng: np.random.Generator) -> list[Case]:
    """One pair of vectors and many, at several times; parallel ones; a second call."""

    def pairs(*lead: int, nz: int, short: float = 0.4, long: float = 0.9) -> dict[str, np.ndarray]:
        """Vectors of different lengths; angles of 50 to 75 or 105 to 130 degrees, as at 90 several mistakes do not show."""
        a, side = rng.normal(size=(2, *lead, nz))
        a /= np.linalg.norm(a, axis=-1, keepdims=True)
        side -= (side * a).sum(-1, keepdims=True) * a
        side /= np.linalg.norm(side, axis=-1, keepdims=True)
        w = np.radians(90 + rng.choice([-1, 1], size=(*lead, 1)) * rng.uniform(15, 40, size=(*lead, 1)))
        return {
            "a": a * rng.uniform(short, 1.2 * short, size=(*lead, 1)),
            "b": (np.cos(w) * a + np.sin(w) * side) * rng.uniform(0.8 * long, long, size=(*lead, 1)),
        }

    def between(n: int) -> np.ndarray:
        return np.concatenate([rng.uniform(0.1, 0.4, n - n // 2), rng.uniform(0.6, 0.9, n // 2)])

    level, mixed = pairs(nz=64, short=1.0, long=1.0), pairs(64, nz=16, short=2.0, long=6.0)
    level = {name: 7 * x / np.linalg.norm(x) for name, x in level.items()}
    mixed = {name: x.astype(np.float32) for name, x in mixed.items()}
    stretch = rng.choice(np.array([1, 0.5, 3], dtype=np.float32), size=(64, 1))
    mixed["b"] = np.where(np.arange(64)[:, None] % 4 > 0, stretch * mixed["a"], mixed["b"])
    return [
        Case("half way", {**pairs(nz=5), "times": np.array([0.5])}),
        Case("other times", {**pairs(nz=4), "times": between(3)}),
        Case("both ends", {**pairs(nz=6), "times": np.array([0.0, 1.0])}, weight=0.5),
        Case("vectors of one length", {**level, "times": between(3)}),
        Case("a batch", {**pairs(6, nz=6), "times": between(2)}),
        Case("stacked nets", {**pairs(2, 3, nz=5), "times": between(2)}),
        Case("parallel pairs among others", {**mixed, "times": between(2)}),
        Case(
            "a second call with the same vectors", {**pairs(3, nz=4), "t": np.array(rng.uniform(0.2, 0.4))}, "slerp_again", 0.5
        ),
    ]


EXERCISES = {
    "generator-losses": generator_losses,
    "discriminator-loss": discriminator_loss,
    "mode-coverage": mode_coverage,
    "pack": pack,
    "conditional-discriminator": conditional_discriminator,
    "slerp": slerp,
}
