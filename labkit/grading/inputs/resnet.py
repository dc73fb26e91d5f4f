"""Inputs of lab 01, transfer with a residual net."""

from __future__ import annotations

from typing import Any

import numpy as np

from labkit.grading.wants import Case

_ENOUGH = 1400  # weights, for the largest of the nets
Arrays = dict[str, np.ndarray]


def train_only(rng: np.random.Generator) -> list[Case]:
    """Names that begin alike, nested and overlapping parts, either mode, a frozen net, training, and an unknown name."""

    def some(*parts: str) -> Arrays:
        return {"parts": rng.permutation(parts)}

    inner = f"layer4.{rng.integers(2)}"
    training = {
        "weights": rng.normal(size=_ENOUGH),
        "x": rng.normal(size=(2, 6, 3, 6, 6)),
        "labels": rng.integers(3, size=(2, 6)),
    }
    return [
        Case("what requires a gradient", some("layer1", "fc")),
        Case("the list of the trainable parameters", some("layer1", "fc"), "train_only_list"),
        Case("a nested part", some(inner, "fc2")),
        Case("parts that overlap: each parameter once", some("layer4", inner), "train_only_list"),
        Case("modes of batch norm and dropout", {**some("layer1", inner), "training": np.array(True)}, "train_only_modes"),
        Case("a net that was frozen before",
             {"first": rng.permutation(["layer1", "fc2"]), **some("layer10", "fc")}, "train_only_again"),
        Case("two steps of training", {**some(inner, "fc"), **training}, "train_only_steps"),
        Case("a name that the net does not have is an error",
             {**some("layer10", "fc2"), "unknown": np.array(f"layer{rng.integers(5, 10)}")}, "train_only_unknown", 0.5),
    ]  # fmt: skip


def _photos(rng: np.random.Generator, *hits: int, sizes: tuple[int, ...]) -> Arrays:
    """A classifier, and batches of which so many images each are right, with margins of 1 or more between the logits."""
    n, classes = sum(sizes), 4
    norms = np.stack([rng.uniform(0.5, 1.5, (2, 4)), rng.normal(size=(2, 4)), 2 * rng.normal(size=(2, 4)),
                      rng.uniform(0.5, 2, (2, 4))], axis=1)  # fmt: skip
    linear = 2 * np.linalg.qr(rng.normal(size=(classes, 4)))[0]
    logits = rng.permuted(np.tile([0.0, 2.0, 4.0, 6.0], (n, 1)), axis=1) + rng.uniform(-0.5, 0.5, (n, classes))
    ranked = logits.argsort(axis=1)
    right = np.concatenate([rng.permutation(np.arange(size) < hit) for size, hit in zip(sizes, hits, strict=True)])
    h = logits @ np.linalg.inv(linear).T
    for weight, bias, mean, variance in norms[::-1]:  # back through the batch norms
        h = (h - bias) / weight * np.sqrt(variance + 1e-5) + mean
    spread = rng.normal(size=(n, 4, 2, 2))
    return {
        "norms": norms, "linear": linear, "x": h[:, :, None, None] + spread - spread.mean((2, 3), keepdims=True),
        "labels": np.where(right, ranked[:, -1], ranked[:, -2]), "sizes": np.array(sizes)}  # fmt: skip


def accuracy(rng: np.random.Generator) -> list[Case]:
    """A small last batch, a generator, no graph, and the net afterwards."""

    def photos(**more: Any) -> Arrays:
        # with 16 images in the first two batches, the mean of the batches' accuracies is never that of all images
        last = int(rng.choice([3, 5]))
        return {**_photos(rng, int(rng.integers(5, 8)), int(rng.integers(1, 4)), last, sizes=(8, 8, last)),
                **{name: np.array(value) for name, value in more.items()}}  # fmt: skip

    def modes() -> np.ndarray:
        """Of the net, body, its batch norm, the part inside, its batch norm, head and its 4 modules, and the last one."""
        drawn, outer = rng.random(11) < 0.5, bool(rng.integers(2))
        drawn[[2, 4]] = outer, not outer
        drawn[[0, 3]] = not outer, outer
        return drawn

    plain = {"once": np.array(False), "guarded": np.array(False)}
    return [
        Case("batches of different sizes", {**photos(), **plain}),
        Case("a single batch", {**_photos(rng, int(rng.integers(6, 10)), sizes=(11,)), **plain}, weight=0.5),
        Case("batches from a generator", {**photos(once=True, guarded=False)}),
        Case("no graph is built", photos(once=False, guarded=True)),
        Case("gradients work as before", photos(), "accuracy_then_gradient"),
        Case("modes afterwards", {**photos(breaks_at=-1), "modes": modes()}, "accuracy_then_modes"),
        Case("modes after the net raised an error", {**photos(breaks_at=1), "modes": modes()}, "accuracy_then_modes"),
        Case("a float, not a tensor", photos(), "accuracy_is_a_float", 0.5),
    ]


def no_skip(rng: np.random.Generator) -> list[Case]:
    """Both kinds of blocks with identity and projection, training mode, and the block afterwards."""

    def block(kind: str, stride: int, *, training: bool = False) -> Arrays:
        return {
            "kind": np.array(kind), "stride": np.array(stride), "training": np.array(training),
            "weights": rng.normal(size=_ENOUGH), "x": rng.normal(size=(int(rng.integers(2, 5)), 8, 5, 6))}  # fmt: skip

    return [
        Case("a Bottleneck with the identity", block("Bottleneck", 1)),
        Case("a Bottleneck with a projection", block("Bottleneck", 2)),
        Case("a BasicBlock with the identity", block("BasicBlock", 1)),
        Case("a BasicBlock with a projection", block("BasicBlock", 2)),
        Case("a block in training mode", block("Bottleneck", 1, training=True)),
        Case("the block gives afterwards what it gave before", block("Bottleneck", 2), "block_afterwards"),
        Case("no hook is left, no module replaced", block("Bottleneck", 1), "block_hooks", 0.5, self_reported=True),
    ]


def hooked_means(rng: np.random.Generator) -> list[Case]:
    """Several layers, a nested one, modes, a generator, no graph, a hook of somebody else, and hooks afterwards."""

    def pass_through(*layers: str, training: tuple[bool, bool, bool] = (False, False, False), **more: Any) -> Arrays:
        sizes = rng.permutation([4, 3, 2])
        return {"weights": rng.normal(size=_ENOUGH), "training": np.array(training), "x": rng.normal(size=(9, 3, 6, 6)),
                "sizes": sizes, "layers": rng.permutation(layers),
                **{name: np.array(value) for name, value in more.items()}}  # fmt: skip

    plain: dict[str, Any] = {"once": False, "guarded": False}
    mixed, inner = bool(rng.integers(2)), f"layer1.{rng.integers(2)}.bn1"
    return [
        Case("several layers", pass_through("conv1", "layer1", "layer2", **plain)),
        Case("a layer inside a layer, with a relu in place after it", pass_through(inner, **plain)),
        Case("a net of which a part is in training mode",
             pass_through("layer1", "layer2", training=(False, mixed, not mixed), **plain)),
        Case("batches from a generator, one pass each",
             pass_through("layer1", "layer2", training=(True, False, False), once=True, guarded=False)),
        Case("no graph is built", pass_through("layer1", "layer2", once=False, guarded=True)),
        Case("a hook of somebody else stays",
             pass_through("layer1", "layer2", factor=rng.uniform(1.5, 3)), "hooked_means_beside_hook"),
        Case("no hook is left", pass_through("conv1", "layer1", breaks_at=-1), "hooks_left", 0.5, self_reported=True),
        Case("no hook is left after the net raised an error",
             pass_through("conv1", "layer1", breaks_at=1), "hooks_left", 0.5, self_reported=True),
    ]  # fmt: skip


def residual_gradient(rng: np.random.Generator) -> list[Case]:
    """Units on and off, all of either kind, a constant F, one image, and the arguments afterwards."""

    def problem(n: int, sign: float = 0.0, slope: float = 1.0) -> Arrays:
        """The relu sees F(x) + x, at least 0.1 away from 0; `sign`: of all of them."""
        x, seen = 1.5 * rng.normal(size=(n, 4)), rng.uniform(0.1, 2, (n, 4)) * (sign or rng.choice([-1, 1], (n, 4)))
        return {"x": x, "f": seen - x, "jacobian": slope * rng.normal(size=(n, 4, 4)), "upstream": rng.normal(size=(n, 4))}

    return [
        Case("units on and off", problem(int(rng.integers(5, 9)))),
        Case("all units on", problem(5, 1.0)),
        Case("all units off", problem(5, -1.0)),
        Case("a constant F", problem(6, slope=0.0)),
        Case("one image", problem(1)),
        Case("the arguments stay as they are", problem(6), "residual_gradient_leaves", 0.5, self_reported=True),
    ]


def lesion_drops(rng: np.random.Generator) -> list[Case]:
    """Lesions that cost, help, do nothing and cancel; a single one; many; and the same tensors twice."""

    def lesions(*, only: int | None = None) -> Arrays:
        """N images, of which 7 are wrong; so many are lost and gained by each lesion, and one wrong class turns to another."""
        n = int(rng.integers(20, 40))
        labels, order = rng.integers(4, size=n), rng.permutation(n)
        wrong, correct = order[:7], order[7:]
        intact = labels.copy()
        intact[wrong] = (labels[wrong] + 1) % 4
        effects = [(rng.integers(5, 9), 1), (1, rng.integers(3, 6)), (0, 0), (3, 3)]
        lesioned = np.tile(intact, (4, 1))
        for row, (lost, gained) in zip(lesioned, effects, strict=True):
            row[correct[:lost]] = (labels[correct[:lost]] + 3) % 4
            row[wrong[:gained]] = labels[wrong[:gained]]
            row[wrong[6]] = (labels[wrong[6]] + 2) % 4
        return {"labels": labels, "intact": intact, "lesioned": lesioned if only is None else lesioned[[only]]}

    one = int(rng.integers(2))
    return [
        Case("drops of four lesions", {**lesions(), "which": np.array(0)}, "one_of_both", 2.0),
        Case("standard errors of four lesions", {**lesions(), "which": np.array(1)}, "one_of_both", 2.0),
        Case("a single lesion", {**lesions(only=one), "calls": np.array(1)}),
        Case("other images", {**lesions(), "calls": np.array(1)}),
        Case("the same tensors a second time", {**lesions(), "calls": np.array(2)}),
    ]


EXERCISES = {
    "train-only": train_only,
    "accuracy": accuracy,
    "no-skip": no_skip,
    "lesion-drops": lesion_drops,
    "residual-gradient": residual_gradient,
    "hooked-means": hooked_means,
}
