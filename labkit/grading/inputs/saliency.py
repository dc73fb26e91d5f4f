"""Inputs of lab 07, saliency, fooling images and class visualisation: a small net, images, and what each exercise adds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from labkit.grading.wants import Case

_HEIGHT, _WIDTH, _CLASSES, _HIDDEN = 4, 6, 6, 7  # more classes than images, so that each image has its own
_SHAPE = (3, _HEIGHT, _WIDTH)
_BACK = "a second call, then a step of training"

Inputs = dict[str, np.ndarray]


def _net(rng: np.random.Generator, *, flat: int | None = None) -> Inputs:
    """Weights with which tanh bends but does not saturate. Of class `flat` the logit has no slope."""
    values = 3 * _HEIGHT * _WIDTH
    last = rng.normal(size=(_CLASSES, _HIDDEN + 1))
    if flat is not None:
        last[flat, :-1] = 0
    mean, variance = rng.uniform(0.3, 0.7, 3), rng.uniform(0.1, 0.5, 3)
    return {
        "channels": np.stack([rng.uniform(0.5, 1.5, 3), rng.normal(size=3) / 3, mean, variance]),
        "inner": 1.5 * rng.normal(size=(_HIDDEN, 2 * values + 1)) / values**0.5,
        "last": last,
    }


def _images(rng: np.random.Generator, n: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    return rng.uniform(low, high, size=(n, *_SHAPE))


def _classes(rng: np.random.Generator, n: int) -> np.ndarray:
    """A class of its own for each image; not 0 for one alone, which needs no looking up."""
    return 1 + rng.permutation(_CLASSES - 1)[:n] if n == 1 else rng.permutation(_CLASSES)[:n]


def _gradient(rng: np.random.Generator) -> Inputs:
    """What an earlier step has left at the last layer."""
    return {"gradient": rng.normal(size=(_CLASSES, _HIDDEN))}


def _float32(inputs: Mapping[str, np.ndarray]) -> Inputs:
    return {name: array.astype(np.float32) if array.ndim and array.dtype == np.float64 else array
            for name, array in inputs.items()}  # fmt: skip


def saliency(rng: np.random.Generator) -> list[Case]:
    """Nets in evaluation, in training and in mixed modes; errors; what is left behind."""

    def problem(n: int, modes: np.ndarray | None = None) -> Inputs:
        modes = np.zeros(9, dtype=bool) if modes is None else modes
        return {**_net(rng), "x": _images(rng, n), "y": _classes(rng, n), "modes": modes}

    def mixed(root: bool) -> np.ndarray:
        """Modes (9,): the batch norm (1) unlike the net (0), the dropout (4) unlike the modules around it (2, 3)."""
        modes = rng.random(9) < 0.5
        modes[:5] = root, not root, not root, not root, root
        return modes

    def plain(n: int) -> Inputs:
        return {name: array for name, array in problem(n).items() if name != "modes"}

    return [
        Case("a batch of images", problem(5)),
        Case("one image", problem(1)),
        Case("float32 images", _float32(problem(3))),
        Case("a net in training mode", problem(4, np.ones(9, dtype=bool))),
        Case("modes are put back", problem(4, mixed(True)),
             "saliency_and_modes"),
        Case("modes are put back after an error of the net", problem(4, mixed(False)),
             "saliency_after_error"),
        Case(_BACK, {**plain(3), **_gradient(rng)}, "saliency_then_training"),
        Case("x stays as it is; no graph", {**plain(2), "grad": _images(rng, 2)}, "saliency_leaves",
             self_reported=True),
    ]  # fmt: skip


def integrated_gradients(rng: np.random.Generator) -> list[Case]:
    """Few steps, where the rule shows, and many, where it does not."""

    def problem(n: int, steps: int) -> Inputs:
        return {**_net(rng), "x": _images(rng, n), "y": _classes(rng, n), "baseline": _images(rng, n, -0.8, 0.6),
                "steps": np.array(steps)}  # fmt: skip

    black = problem(3, 4)
    black["baseline"] = np.zeros_like(black["x"])
    return [
        Case("a batch of images, few steps", problem(4, int(rng.integers(2, 5)))),
        Case("one image, one step", problem(1, 1)),
        Case("float32 images and a black baseline", _float32(black)),
        Case("many steps add up to what the logit gains", problem(4, 30), "integrated_gradients_add_up"),
        Case(_BACK, {**problem(3, 2), **_gradient(rng)}, "integrated_gradients_then_training"),
        Case("x stays as it is; no graph", problem(2, 3), "integrated_gradients_leaves", 0.5, self_reported=True),
    ]  # fmt: skip


def deletion_curve(rng: np.random.Generator) -> list[Case]:
    """Maps with values of both signs in uneven steps, and shares of which none is halfway between two numbers of pixels."""
    pixels = _HEIGHT * _WIDTH

    def problem(n: int, shares: np.ndarray) -> Inputs:
        values = np.cumsum(rng.uniform(0.05, 0.5, size=(n, pixels)), axis=1)
        values -= values[:, pixels // 3, None] + 0.02
        maps = rng.permuted(values, axis=1).reshape(n, _HEIGHT, _WIDTH)
        return {**_net(rng), "x": _images(rng, n), "y": _classes(rng, n), "maps": maps, "shares": shares,
                "fill": _images(rng, n)}  # fmt: skip

    def shares() -> np.ndarray:
        """Seven, not in rising order, with none and all among them; some round up, others down."""
        counts = np.sort(rng.choice(np.arange(2, pixels - 1), 5, replace=False))[[3, 0, 4, 1, 2]]
        off = rng.uniform(0.2, 0.4, 5) * np.array([1, -1, -1, 1, -1])
        return np.insert((counts + off) / pixels, [2, 4], [0.0, 1.0])

    return [
        Case("a batch of images, several shares", problem(4, shares())),
        Case("one image, one share", problem(1, shares()[:1])),
        Case("float32 images", _float32(problem(3, shares())) | {"shares": shares()}),
        Case(_BACK, {**problem(3, shares()), **_gradient(rng)}, "deletion_curve_then_training"),
        Case("x stays as it is; no graph", problem(2, shares()), "deletion_curve_leaves", 0.5, self_reported=True),
    ]  # fmt: skip


def fooling_step(rng: np.random.Generator) -> list[Case]:
    """Far from black and white, at black and white, and where there is no slope."""

    def problem(n: int, eta: float, x: np.ndarray | None = None) -> Inputs:
        x = _images(rng, n, 0.4, 0.6) if x is None else x
        return {**_net(rng), "x": x, "target": _classes(rng, n), "eta": np.array(eta)}

    flat = problem(3, rng.uniform(0.1, 0.3))
    flat |= _net(rng, flat=int(flat["target"][1]))
    return [
        Case("a batch of images", problem(4, rng.uniform(0.2, 0.35))),
        Case("one image", problem(1, rng.uniform(0.05, 0.15))),
        Case("float32 images", _float32(problem(3, rng.uniform(0.1, 0.3)))),
        Case("black and white pixels, and a long step", problem(3, rng.uniform(12, 16), _images(rng, 3).round())),
        Case("an image whose gradient is 0", flat),
        Case(_BACK, {**problem(3, rng.uniform(0.1, 0.3)), **_gradient(rng)}, "fooling_step_then_training"),
        Case("x stays as it is; no graph", {**problem(2, 0.3), "grad": _images(rng, 2)},
             "fooling_step_leaves", 0.8, self_reported=True),
    ]  # fmt: skip


def project(rng: np.random.Generator) -> list[Case]:
    """Both balls, away from black and white and near them."""

    def ways(n: int) -> np.ndarray:
        """Directions (n, 3, H, W) of length 1."""
        v = rng.normal(size=(n, *_SHAPE))
        return v / np.sqrt((v**2).sum((1, 2, 3), keepdims=True))

    def problem(x: np.ndarray, d: np.ndarray, radius: float, norm: str) -> Inputs:
        return {"z": x + d, "x": x, "radius": np.array(radius), "norm": np.array(norm)}

    def distances(*values: float) -> np.ndarray:
        return np.array(values).reshape(-1, 1, 1, 1)

    cube, ball = rng.uniform(0.06, 0.12), rng.uniform(0.6, 0.75)
    inside_and_out = cube * rng.uniform(0.1, 3, size=(3, *_SHAPE)) * rng.choice([-1, 1], size=(3, *_SHAPE))
    extreme = _images(rng, 3).round() * 0.94 + 0.03
    outward = np.sign(extreme - 0.5) * rng.choice([1, 1, -1], size=extreme.shape) * rng.uniform(0.01, 1, extreme.shape)
    home = problem(_images(rng, 3, 0.4, 0.6), ways(3) * distances(0.2, 0.0, 0.4) * ball, ball, "L2")
    return [
        Case("Linf: values inside and outside", problem(_images(rng, 3, 0.4, 0.6), inside_and_out, cube, "Linf")),
        Case("Linf: pixels near black and white", problem(extreme, outward, cube, "Linf")),
        # of 1.1 radius the square is less than the radius
        Case("L2: images inside and outside",
             problem(_images(rng, 4, 0.4, 0.6), ways(4) * distances(0.3, 0.9, 1.1, 5) * ball, ball, "L2")),
        Case("L2: pixels near black and white", problem(extreme, 4 * ways(3), rng.uniform(1.3, 1.7), "L2")),
        Case("L2: an image that has not moved at all", home),
        Case("L2: one float32 image", _float32(problem(_images(rng, 1, 0.4, 0.6), 2 * ways(1), ball, "L2"))),
        Case("z and x are used again", {"z": _images(rng, 2, -0.5, 1.5), "x": _images(rng, 2), "radius": np.array(cube)},
             "project_twice"),
    ]  # fmt: skip


def visualisation_step(rng: np.random.Generator) -> list[Case]:
    """Either penalty, about as strong as the score; where u or the gradient is 0."""

    def problem(n: int, *, squared: bool) -> Inputs:
        u = rng.normal(size=(n, *_SHAPE)) * rng.uniform(0.2, 0.5, size=(n, 1, 1, 1))
        return {**_net(rng), "u": u, "target": _classes(rng, n), "rate": np.array(rng.uniform(1.5, 5)),
                "lam": np.array(rng.uniform(0.2, 0.6)), "squared": np.array(squared)}  # fmt: skip

    zero, flat = problem(3, squared=False), problem(3, squared=True)
    flat |= _net(rng, flat=int(flat["target"][2]))
    zero["u"][1], flat["u"][2] = 0, 0
    return [
        Case("the penalty |u|", problem(4, squared=False)),
        Case("the penalty |u|^2", problem(4, squared=True)),
        Case("one image", problem(1, squared=bool(rng.random() < 0.5))),
        Case("float32 images", _float32(problem(3, squared=False))),
        Case("the penalty |u| where u = 0", zero),
        Case("an image whose gradient is 0", flat),
        Case(_BACK, {**problem(3, squared=True), **_gradient(rng)}, "visualisation_step_then_training"),
        Case("u stays as it is; no graph", {**problem(2, squared=False), "grad": _images(rng, 2)},
             "visualisation_step_leaves", self_reported=True),
    ]  # fmt: skip


EXERCISES = {
    "saliency": saliency,
    "integrated-gradients": integrated_gradients,
    "deletion-curve": deletion_curve,
    "fooling-step": fooling_step,
    "project": project,
    "visualisation-step": visualisation_step,
}
