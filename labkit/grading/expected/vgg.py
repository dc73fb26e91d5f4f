"""What is expected in lab 06, VGG16 and linear SVMs; Simonyan and Zisserman 2015 (arXiv:1409.1556)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import comb

import numpy as np

from labkit.grading.expected.vgg_net import Array, Arrays, cells, layers
from labkit.grading.wants import Between, Near, Wants


def _near(value: Array, dtype: str = "") -> Near:
    """Of a net in float32, whose values here are near 1: its rounding is below 1e-6."""
    return Near(value, rtol=1e-4, atol=1e-5, dtype=dtype)


def count_parameters(kinds: Array, sizes: Array, calls: Array) -> Wants:
    """The sizes of the weight and the bias."""
    weights = {"conv": lambda i, o, k: (o, i, k, k), "linear": lambda i, o, _: (o, i), "pool": lambda *_: (0,)}
    shapes = [weights[str(kind)](*row) for kind, row in zip(kinds, sizes.tolist(), strict=True)]
    return {"counts": np.array([np.prod(shape) + shape[0] for shape in shapes])}


# relu7


def _relu7(images: Array, mean: Array, std: Array, weights: Arrays) -> Near:
    """Grey pixels on the scale of each colour, through the net up to relu7; rows of length 1, in float32."""
    x = (images.astype(np.float64) - 255 * mean[:, None, None]) / (255 * std[:, None, None])
    z = layers(x, weights)["classifier.4"]
    return _near(z / np.linalg.norm(z, axis=1)[:, None], "float32")


def relu7(images: Array, mean: Array, std: Array, training: Array, calls: Array, **weights: Array) -> Wants:
    """Those of evaluation mode, in each mode, and the same again."""
    return {"features": _relu7(images, mean, std, weights)}


def _logits_of_mixed(colours: Array, weights: Arrays) -> Near:
    """Of the net whose first batch norm alone is in training mode."""
    return _near(layers(colours, weights, ("features.2",))["classifier.6"])


def relu7_modes(images: Array, mean: Array, std: Array, colours: Array, **weights: Array) -> Wants:
    """Features, and logits of a net whose batch norms are in the modes in which they were."""
    return {"features": _relu7(images, mean, std, weights), "logits afterwards": _logits_of_mixed(colours, weights)}


def relu7_gradient(images: Array, mean: Array, std: Array, colours: Array, **weights: Array) -> Wants:
    """Features, and the gradient of all logits' sum at the last weight: for each logit relu7 of all images, added up."""
    z = layers(colours, weights)["classifier.4"].sum(0)
    return {"features": _relu7(images, mean, std, weights), "gradient afterwards": _near(np.tile(z, (len(weights["w8"]), 1)))}


def relu7_after_error(images: Array, mean: Array, std: Array, colours: Array, **weights: Array) -> Wants:
    """The error, and logits as if nothing had been."""
    return {"error": np.array(True), "logits afterwards": _logits_of_mixed(colours, weights)}


def relu7_leaves(images: Array, mean: Array, std: Array, **weights: Array) -> Wants:
    """No trace."""
    return {"without a graph": np.array(True), "modes": np.array(True), "hooks": np.array(0)}


# one_pass


def _by_batch(images: Array, sizes: Array, weights: Arrays, training: Collection[str]) -> list[dict[str, Array]]:
    return [layers(x, weights, training) for x in np.split(images, np.cumsum(sizes)[:-1])]


def _pooled(outputs: list[dict[str, Array]], cuts: Array, sides: Array) -> Wants:
    """Maps averaged over cells, channels outermost; vectors whole, under side 1."""
    found: dict[str, Array | Near | Between] = {}
    for cut in cuts:
        z = np.concatenate([output[str(cut)] for output in outputs])
        for side in sides.tolist() if z.ndim == 4 else [1]:
            found[f"{cut} {side}"] = _near(cells(z, side).reshape(len(z), -1) if z.ndim == 4 else z)
    return found | {"keys": np.array(len(found))}


def one_pass(images: Array, sizes: Array, cuts: Array, sides: Array, training: Array, calls: Array, **weights: Array) -> Wants:
    """In training mode both batch norms take the statistics of each batch."""
    return _pooled(_by_batch(images, sizes, weights, ("features.2", "features.6") if training else ()), cuts, sides)


def one_pass_means(images: Array, sizes: Array, cuts: Array, sides: Array, **weights: Array) -> Wants:
    """A tenth of each batch's mean goes into the running mean, once."""
    outputs = _by_batch(images, sizes, weights, ("features.2", "features.6"))

    def running(start: Array, layer: str) -> Near:
        mean = start.astype(np.float64)
        for output in outputs:
            mean = 0.9 * mean + 0.1 * output[layer].mean((0, 2, 3))
        return _near(mean)

    return {
        "first mean": running(weights["n1"][2], "features.1"),
        "second mean": running(weights["n2"][2], "features.5"),
    }


def one_pass_keeps(images: Array, sizes: Array, cuts: Array, sides: Array, **weights: Array) -> Wants:
    """No graph, no map."""
    return {"without a graph": np.array(True), "gradients on afterwards": np.array(True), "maps kept": np.array(0)}


def one_pass_hooks(images: Array, sizes: Array, cuts: Array, sides: Array, **weights: Array) -> Wants:
    """The hook that was there, alone."""
    return {"hooks": np.array(1), "error": np.array(True), "hooks after the error": np.array(1)}


def choose_then_test(folds: Array, test: Array) -> Wants:
    """The first arm with the highest sum over folds; test accuracies may come in float32."""
    arm = max(range(len(folds)), key=lambda i: (folds[i].sum(), -i))
    return {
        "arm": np.array(arm),
        "accuracy": Near(np.array(test[arm]), rtol=1e-6),
        "overstatement": Near(np.array(test.max() - test[arm]), atol=1e-6),
    }


def choose_then_test_leaves(folds: Array, test: Array) -> Wants:
    """Nothing changes."""
    return {"folds": folds, "test": test}


def same_svm(x: Array, C: Array, s: Array, calls: Array) -> Wants:
    """u = x / s."""
    return {"u": x / s}


def same_svm_weight(x: Array, C: Array, s: Array) -> Wants:
    """v = s w makes v . u = w . x and 1/2 |v|^2 = s^2 / 2 |w|^2: the losses must weigh s^2 as much."""
    return {"C_u": np.array([c * scale * scale for c, scale in zip(C.astype(float), s.astype(float), strict=True)])}


# epochs_of: the transform puts out x / 2 + the number of its call, so that each image says which it is, and its draw


def _which(images: Array, x: Array) -> tuple[Array, Array]:
    """The rows of x that images (..., C, H, W) are of, and their draws; 0 where not transformed, -1 and -1 of none."""
    flat, known = images.reshape(-1, *x.shape[1:]), x.reshape(len(x), -1)
    draws = np.where(flat[:, 0, 0, 0] < 1, 0, np.floor(flat[:, 0, 0, 0]))
    pixels = np.where(draws > 0, 2 * (flat.reshape(len(flat), -1).T - draws), flat.reshape(len(flat), -1).T).T
    same = np.abs(pixels[:, None] - known).max(-1) < 1e-3  # float32 of numbers up to some hundreds
    rows = np.where(same.any(1), same.argmax(1), -1)
    return rows.reshape(images.shape[:-3]), np.where(rows < 0, -1, draws).astype(int).reshape(images.shape[:-3])


def _rows(name: str, x: Array) -> Callable[[Arrays], Array]:
    return lambda got: _which(got[name], x)[0]


def epochs_of(x: Array, y: Array, n_val: Array, seed: Array, calls: Array) -> Wants:
    """N - n_val images in an epoch and n_val held out: together each image once."""
    n = len(x)

    def together(got: Arrays) -> Array:
        return np.sort(np.concatenate([_rows("images", x)(got)[0], _rows("held out", x)(got)[0]]))

    return {
        "training images": Near(np.array(n - int(n_val)), of=lambda got: got["images"].shape[1]),
        "validation images": Near(np.array(int(n_val)), of=lambda got: got["held out"].shape[1]),
        "images of both parts": Near(np.arange(n), of=together),
    }


def epochs_labels(x: Array, y: Array, n_val: Array, seed: Array, calls: Array) -> Wants:
    """The label of the image beside it; labels are distinct."""

    def wrong(images: str, labels: str) -> Near:
        def count(got: Arrays) -> int:
            rows = _rows(images, x)(got)
            if rows.shape != got[labels].shape:
                raise ValueError(f"labels have shape {got[labels].shape}, images are {rows.shape}")
            return int(((rows < 0) | (got[labels] != y[rows])).sum())

        return Near(np.array(0), of=count)

    return {"labels off": wrong("images", "labels"), "validation labels off": wrong("held out", "held out labels")}


def epochs_validation(x: Array, y: Array, n_val: Array, seed: Array, calls: Array) -> Wants:
    """Not transformed, and the same before and after the epochs."""
    return {
        "draws of validation images": Near(np.zeros(int(n_val), dtype=int), of=lambda got: _which(got["held out"], x)[1][0]),
        "change between calls": Near(np.array(0.0), of=lambda got: np.abs(np.diff(got["held out"], axis=0)).max()),
    }


def epochs_draws(x: Array, y: Array, n_val: Array, seed: Array, calls: Array) -> Wants:
    """Each training image of each epoch was transformed once, by a call of its own; validation images were not given."""
    images = 3 * (len(x) - int(n_val))

    def distinct(got: Arrays) -> int:
        draws = _which(got["images"], x)[1]
        return len(np.unique(draws[draws > 0]))

    def misplaced(got: Arrays) -> int:
        return int(np.isin(_rows("given to transform", x)(got), [*_rows("held out", x)(got)[0], -1]).sum())

    return {
        "images in three epochs": Near(np.array(images), of=lambda got: got["images"].shape[0] * got["images"].shape[1]),
        "draws in three epochs": Near(np.array(images), of=distinct),
        "given to transform, though not of the training images": Near(np.array(0), of=misplaced),
    }


def epochs_orders(x: Array, y: Array, n_val: Array, seed: Array, calls: Array) -> Wants:
    """Three different orders of what is not held out. Two of 24 or more images are the same once in 24! times."""

    def orders(got: Arrays) -> int:
        return len({tuple(row) for row in _rows("images", x)(got).tolist()})

    def kept(got: Arrays) -> list[bool]:
        train = np.setdiff1d(np.arange(len(x)), _rows("held out", x)(got)[0])
        return [np.array_equal(np.sort(row), train) for row in _rows("images", x)(got)]

    return {"the same images": Near(np.ones(3, dtype=bool), of=kept), "orders": Near(np.array(3), of=orders)}


def epochs_again(x: Array, y: Array, n_val: Array, seed: Array, calls: Array) -> Wants:
    """Images and labels of x and y as they were."""
    return {**epochs_labels(x, y, n_val, seed, calls), **epochs_validation(x, y, n_val, seed, calls)}


def epochs_splits(x: Array, y: Array, n_val: Array, seeds: Array, drawn: Array) -> Wants:
    """All splits differ; each image is held out by one of them at least, and by not all."""
    n, k, runs, apart = len(x), int(n_val), len(seeds), len(set(seeds.tolist()))

    def times(got: Arrays) -> Array:
        return np.bincount(_rows("held out", x)(got).ravel() + 1, minlength=n + 1)[1:]

    def different(got: Arrays) -> int:
        return len({tuple(sorted(row)) for row in _rows("held out", x)(got).tolist()})

    # two of all pairs agree with probability 1 / comb(n, k); an image is never, or always, held out by those of `apart` seeds
    alike = runs**2 / 2 / comb(n, k)
    never_or_always = n * ((1 - k / n) ** apart + (k / n) ** apart)
    return {
        "different splits": Between(runs, runs, alike, of=different),
        "how often each image is held out": Between(np.ones(n), np.full(n, runs - 1), never_or_always, of=times),
    }


def epochs_from_generator(x: Array, y: Array, n_val: Array, seed: Array, worlds: Array) -> Wants:
    """The same split and orders in both worlds, and torch's numbers of each world as if none had been drawn before."""
    import torch

    fresh = np.stack([torch.rand(4, generator=torch.Generator().manual_seed(int(world))).double() for world in worlds])

    def differs(name: str) -> Near:
        return Near(np.array(0), of=lambda got: int((got[name][0] != got[name][1]).sum()))

    return {
        "labels that differ": differs("labels"),
        "validation labels that differ": differs("held out labels"),
        "labels in three epochs": Near(np.array(3 * (len(x) - int(n_val))), of=lambda got: got["labels"][0].size),
        "global numbers": Near(fresh, rtol=1e-6),
    }
