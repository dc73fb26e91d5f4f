"""Inputs of lab 06, VGG16 and linear SVMs."""

from __future__ import annotations

import numpy as np

from labkit.grading.wants import Case

Arrays = dict[str, np.ndarray]


def count_parameters(rng: np.random.Generator) -> list[Case]:
    """Each kind of layer by itself, a whole net, and the same list twice."""

    def conv(largest: int = 40) -> tuple[str, int, int, int]:
        n_in, n_out = rng.choice(np.arange(2, largest), 2, replace=False)
        return "conv", int(n_in), int(n_out), int(rng.choice([3, 5, 7]))

    def linear(largest: int = 90) -> tuple[str, int, int, int]:
        n_in, n_out = rng.choice(np.arange(2, largest), 2, replace=False)
        return "linear", int(n_in), int(n_out), 0

    def layers(*rows: tuple[str, int, int, int], calls: int = 1) -> Arrays:
        kinds, sizes = [kind for kind, *_ in rows], [sizes for _, *sizes in rows]
        return {"kinds": np.array(kinds), "sizes": np.array(sizes), "calls": np.array(calls)}

    pool = ("pool", 0, 0, 0)
    small = ("conv", int(rng.integers(2, 9)), int(rng.integers(9, 20)), 1)
    return [
        Case("convolutions", layers(conv(), conv(), small)),
        Case("linear layers", layers(linear(), linear())),
        Case("a net with pools", layers(conv(), pool, conv(), conv(), pool, linear(), linear()), weight=1.5),
        Case("wide layers", layers(conv(600), conv(600), linear(9000))),
        Case("a second call with the same list", layers(conv(), pool, linear(), calls=2), weight=0.5),
    ]


def _weights(rng: np.random.Generator) -> Arrays:
    """Weights of the adapter's net, float32. Units 0 and 2 of relu7 are always above 0, and unit 1 is never."""
    found: Arrays = {}
    for name, shape in {"1": (4, 3, 3, 3), "2": (6, 4, 3, 3), "6": (10, 24), "7": (9, 10), "8": (5, 9)}.items():
        found[f"w{name}"] = rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5
        found[f"b{name}"] = rng.normal(size=shape[0]) / 3
    for name, channels in (("1", 4), ("2", 6)):
        scales, shifts = rng.uniform(0.5, 1.5, (2, channels)), rng.normal(size=(2, channels)) / 3
        found[f"n{name}"] = np.stack([scales[0], shifts[0], shifts[1], scales[1]])
    found["w7"][:3] = np.abs(found["w7"][:3]) * np.array([[1], [-1], [1]])  # relu6 is not below 0
    found["b7"][:3] = rng.uniform(0.2, 0.6, 3) * np.array([1, -1, 1])
    return {name: array.astype(np.float32) for name, array in found.items()}


def _called(calls: int = 1, *, training: bool = False) -> Arrays:
    return {"calls": np.array(calls), "training": np.array(training)}


def relu7(rng: np.random.Generator) -> list[Case]:
    """Nets in each mode; what a net does afterwards, also after an error."""

    def photos(n: int, *, after: int = 0) -> Arrays:
        images = {"images": rng.integers(230, size=(n, 1, 8, 8), dtype=np.uint8)}
        if after:
            images["colours"] = rng.normal(size=(after, 3, 8, 8)).astype(np.float32)
        order = rng.permutation(3)
        return images | _weights(rng) | {
            "mean": np.array([0.3, 0.45, 0.6])[order] + rng.uniform(-0.03, 0.03, 3),
            "std": np.array([0.2, 0.32, 0.44])[order[::-1]] + rng.uniform(-0.03, 0.03, 3)}  # fmt: skip

    return [
        Case("several images", photos(5) | _called()),
        Case("a batch of one image keeps its dimension", photos(1) | _called()),
        Case("a net in training mode", photos(6) | _called(training=True)),
        Case("the modes of the net afterwards", photos(4, after=5), "relu7_modes"),
        Case("the net can be trained afterwards", photos(3, after=4), "relu7_gradient", 0.5),
        Case("a second call with the same net and images", photos(4) | _called(2), weight=0.5),
        Case("the modes of the net after an error", photos(3, after=5), "relu7_after_error", 0.5),
        Case("no graph, and no mode or hook of yours on the net", photos(3), "relu7_leaves", 0.5, self_reported=True),
    ]


def one_pass(rng: np.random.Generator) -> list[Case]:
    """Maps and vectors, grids that divide a map and some that don't; how often the net runs, and what stays on it."""

    def photos(cuts: list[str], sides: list[int], height: int = 12, width: int = 8) -> Arrays:
        sizes = rng.permutation([2, 3, 4, 5])[:3]
        images = rng.normal(size=(sizes.sum(), 3, height, width)).astype(np.float32)
        return {"images": images, "sizes": sizes, "cuts": np.array(cuts), "sides": np.array(sides)} | _weights(rng)

    def one_of(*names: str) -> str:
        return str(rng.choice(names))

    early, late = one_of("features.2", "features.4"), one_of("features.5", "features.6")
    vectors = one_of("classifier.0", "classifier.3")
    return [
        Case("two layers with maps", photos([late, early], [1, 2]) | _called()),
        Case("a layer with vectors has no grid", photos(["features.6", vectors], [1, 2]) | _called()),
        Case("maps that the grid does not divide", photos(["features.4", "features.5"], [3, 2], 10, 14) | _called()),
        Case("a net in training mode stays so", photos(["features.6", "features.2"], [2]) | _called(training=True)),
        Case("the net runs once a batch", photos(["features.2", late, "classifier.0"], [1, 2]), "one_pass_means"),
        Case("a second call with the same batches", photos([early, vectors], [1]) | _called(2), weight=0.5),
        Case("no graph, and only averages are kept", photos(["features.2", "features.6"], [1, 2]), "one_pass_keeps", 0.5,
             self_reported=True),
        Case("hooks afterwards, also after an error", photos(["features.2", "classifier.0"], [1]), "one_pass_hooks", 0.5,
             self_reported=True),
    ]  # fmt: skip


def choose_then_test(rng: np.random.Generator) -> list[Case]:
    """Arms among which other rules choose otherwise; equal arms, exactly; a choice that the test agrees with."""

    def accuracies(arms: int, k: int) -> Arrays:
        """The best mean is higher than the next by .03; test accuracies in no two arms the same."""
        folds, test = rng.uniform(0.3, 0.9, (arms, k)), rng.permutation(np.linspace(0.3, 0.8, arms))
        best = folds.mean(1).argmax()
        folds[best] += 0.03
        return {"folds": folds, "test": test + rng.uniform(-0.002, 0.002, arms)}

    def contested() -> Arrays:
        """By their means row 0 is the best; 1 has the best fold, 2 the best worst, 3 the best median, 4 the best test."""
        rows = np.array([[0.62, 0.70, 0.72, 0.80, 0.86], [0.50, 0.60, 0.70, 0.74, 0.95], [0.69, 0.70, 0.70, 0.70, 0.71],
                         [0.40, 0.60, 0.78, 0.78, 0.79], [0.60, 0.62, 0.65, 0.66, 0.67], [0.40, 0.45, 0.50, 0.52, 0.48],
                         [0.55, 0.60, 0.58, 0.61, 0.63], [0.52, 0.48, 0.57, 0.54, 0.50]])  # fmt: skip
        rows += rng.uniform(-0.004, 0.004, rows.shape) + rng.uniform(-0.05, 0.04)
        test = np.array([0.67, 0.75, 0.76, 0.74, 0.90, 0.72, 0.73, 0.71]) + rng.uniform(-0.004, 0.004, 8)
        place = rng.integers(5, 8)  # of the best arm: no number of a fold
        order = np.insert(rng.permutation(np.arange(1, 8)), place, 0)
        return {"folds": rng.permuted(rows, axis=1)[order], "test": test[order]}

    def equal() -> Arrays:
        """Three of six arms share the best mean, to the bit, as all accuracies are of 64 images; the first's test is worst."""
        a, b = rng.permutation(np.arange(1, 9))[:6], rng.integers(1, 9, 6)
        level = np.array([40, 40, 40, 36, 33, 30])
        counts = np.stack([level - a, level + b, level + a, level - b], axis=1)
        test = np.array([0.45, 0.62, 0.55, 0.71, 0.5, 0.6]) + rng.uniform(-0.02, 0.02, 6)
        order = rng.permutation(6)
        order[order < 3] = [0, *rng.permutation([1, 2])]
        return {"folds": counts[order] / 64, "test": test[order]}

    agreed = accuracies(6, 4)
    best, top = agreed["folds"].mean(1).argmax(), agreed["test"].argmax()
    agreed["test"][[best, top]] = agreed["test"][[top, best]]
    return [
        Case("eight arms, five folds", contested(), weight=1.5),
        Case("many arms", accuracies(30, 3)),
        Case("a single arm", accuracies(1, 4), weight=0.5),
        Case("arms that are equal over folds", equal()),
        Case("folds and test agree", agreed),
        Case("folds and test stay as they are", accuracies(4, 3), "choose_then_test_leaves", 0.4, self_reported=True),
    ]


def same_svm(rng: np.random.Generator) -> list[Case]:
    """Features and C by themselves, for factors above and below 1."""

    def points(s: float, n: int = 7, *, calls: int = 1) -> Arrays:
        x, C = rng.normal(size=(n, 4)) * 3 + 1, rng.uniform(0.1, 5)
        return {"x": x, "C": np.array(C), "s": np.array(s), "calls": np.array(calls)}

    def pairs(low: float, high: float) -> Arrays:
        return {"x": rng.normal(size=(5, 3)), "C": rng.uniform(1.5, 9, 4) * rng.choice([0.01, 1], 4),
                "s": rng.uniform(low, high, 4)}  # fmt: skip

    whole = {"x": rng.normal(size=(4, 3)), "C": rng.integers(3, 9, 3), "s": rng.integers(3, 9, 3)}
    return [
        Case("the features u, s above 1", points(rng.uniform(2, 6)), weight=0.5),
        Case("the features u, s below 1", points(rng.uniform(0.1, 0.5), 12), weight=0.5),
        Case("C_u, s above 1", pairs(2, 8), "same_svm_weight"),
        Case("C_u, s below 1", pairs(0.1, 0.5), "same_svm_weight"),
        Case("C_u, whole numbers", whole, "same_svm_weight", 0.5),
        Case("a second call with the same x", points(rng.uniform(2, 6), calls=2), weight=0.5),
    ]


def epochs_of(rng: np.random.Generator) -> list[Case]:
    """Which image comes when, with which draw, and from where what is random comes."""

    def data(n: int = 40) -> Arrays:
        """Images inside 0..1, and labels of which each is there once."""
        x = rng.uniform(0.05, 0.95, (n, 3, 2, 2)).astype(np.float32)
        return {"x": x, "y": rng.permutation(n) + 5, "n_val": np.array(rng.integers(12, 17))}

    def one(calls: int = 1) -> Arrays:
        return data() | {"seed": np.array(rng.integers(2**31)), "calls": np.array(calls)}

    seeds = rng.choice(2**31, 60)
    seeds[40:] = seeds[40]  # one generator in twenty states, so far apart that no two splits share a number
    drawn = np.concatenate([np.zeros(40, dtype=int), 200 * np.arange(1, 21)])
    return [
        Case("each image in one of the two parts", one()),
        Case("images and their labels", one(), "epochs_labels"),
        Case("validation images as they are, the same at each call", one(), "epochs_validation"),
        Case("each image gets a draw of its own in each epoch", one(), "epochs_draws"),
        Case("the same images in a new order in each epoch", one(), "epochs_orders"),
        Case("splits by sixty generators", data() | {"seeds": seeds, "drawn": drawn}, "epochs_splits"),
        Case(
            "all is drawn from generator",
            data() | {"seed": np.array(rng.integers(2**31)), "worlds": rng.choice(2**31, 2)},
            "epochs_from_generator",
        ),
        Case("x and y can be used again", one(2), "epochs_again", 0.5),
    ]


EXERCISES = {
    "count-parameters": count_parameters,
    "relu7": relu7,
    "one-pass": one_pass,
    "choose-then-test": choose_then_test,
    "same-svm": same_svm,
    "epochs-of": epochs_of,
}
