"""Adapters of lab 06, VGG16 and linear SVMs.

A net's weights come as w1, b1, w2, b2 (its convolutions), n1, n2 (4, C) (weight, bias, mean and variance of its batch norms),
and w6, b6, w7, b7, w8, b8 (its linear layers).
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.adapters.vgg_nets import Array, breaks, hooks, mixed, small_vgg

Function = Callable[..., Any]
Returned = dict[str, Any]


def count_parameters(function: Function, kinds: Array, sizes: Array, calls: Array) -> Returned:
    """The counts that the last of so many calls with the same list gives.

    A layer has its kind, of kinds (n,), and of its row of sizes (n, 3) the first 3 numbers, 2 or none.
    """
    length = {"conv": 3, "linear": 2, "pool": 0}
    layers = [(kind, *row[: length[kind]]) for kind, row in zip(kinds.tolist(), sizes.tolist(), strict=True)]
    return {"counts": [function(layers) for _ in range(calls)][-1]}


# relu7: of images (B, 1, 8, 8), bytes. `colours` (B, 3, 8, 8) are what a net is given afterwards.


def _given(images: Array, mean: Array, std: Array) -> tuple[Any, ...]:
    return torch.from_numpy(images), tuple(mean.tolist()), tuple(std.tolist())


def relu7(
    function: Function, images: Array, mean: Array, std: Array, training: Array, calls: Array, **weights: Array
) -> Returned:
    """Features from the last of so many calls with the same images and net, in training mode or not."""
    net, given = small_vgg(weights).train(bool(training)), _given(images, mean, std)
    return {"features": [function(net, *given) for _ in range(calls)][-1]}


def relu7_modes(function: Function, images: Array, mean: Array, std: Array, colours: Array, **weights: Array) -> Returned:
    """Features from a net in both modes, and what its batch norms then make of other images."""
    net = mixed(weights)
    features = function(net, *_given(images, mean, std))
    return {"features": features, "logits afterwards": net(torch.from_numpy(colours))}


def relu7_gradient(function: Function, images: Array, mean: Array, std: Array, colours: Array, **weights: Array) -> Returned:
    """Features, and the gradient of the sum of the net's logits of other images at the weight of its last layer."""
    net = small_vgg(weights)
    features = function(net, *_given(images, mean, std))
    (gradient,) = torch.autograd.grad(net(torch.from_numpy(colours)).sum(), net.classifier[6].weight)
    return {"features": features, "gradient afterwards": gradient}


def relu7_after_error(function: Function, images: Array, mean: Array, std: Array, colours: Array, **weights: Array) -> Returned:
    """Whether a net's error arrives, and what its batch norms then make of other images."""
    net = mixed(weights)
    arrived = breaks(lambda: function(net, *_given(images, mean, std)), net)
    return {"error": arrived, "logits afterwards": net(torch.from_numpy(colours))}


def relu7_leaves(function: Function, images: Array, mean: Array, std: Array, **weights: Array) -> Returned:
    """Whether passes were without a graph, the modes of all modules are as they were, and how many hooks are left."""
    net = mixed(weights)
    before = [module.training for module in net.modules()]
    function(net, *_given(images, mean, std))
    same = [module.training for module in net.modules()] == before
    return {"without a graph": net.features[0].without_graph(), "modes": same, "hooks": hooks(net)}


# one_pass: of images (N, 3, H, W), in batches of the sizes given, at cuts (names of layers)


def _pooled(
    function: Function, net: Any, images: Array, sizes: Array, cuts: Array, sides: Array, kind: type[Tensor] = Tensor
) -> Any:
    batches = [x.as_subclass(kind) for x in torch.from_numpy(images).split(sizes.tolist())]  # type: ignore[arg-type]
    return function(net, batches, [str(cut) for cut in cuts], sides.tolist())


def one_pass(
    function: Function, images: Array, sizes: Array, cuts: Array, sides: Array, training: Array, calls: Array, **weights: Array
) -> Returned:
    """Features of the last of so many calls with the same images, under 'cut side', and how many keys there are."""
    net = small_vgg(weights).train(bool(training))
    out = [_pooled(function, net, images, sizes, cuts, sides) for _ in range(calls)][-1]
    return {f"{cut} {side}": features for (cut, side), features in out.items()} | {"keys": len(out)}


def one_pass_means(function: Function, images: Array, sizes: Array, cuts: Array, sides: Array, **weights: Array) -> Returned:
    """The running means of a net in training mode afterwards: each pass moves them."""
    net = small_vgg(weights).train()
    _pooled(function, net, images, sizes, cuts, sides)
    return {"first mean": net.features[2].running_mean, "second mean": net.features[6].running_mean}


def one_pass_keeps(function: Function, images: Array, sizes: Array, cuts: Array, sides: Array, **weights: Array) -> Returned:
    """Whether passes were without a graph, gradients are on afterwards, and how many maps of the first batch outlive it.

    Maps are told by their sizes: more than 3 channels, and more than 2 positions a side. They are counted in the last pass.
    """
    born: list[weakref.ref[Any]] = []

    class Traced(Tensor):
        """A batch of which all that comes of it is noted."""

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = super().__torch_function__(func, types, args, kwargs or {})
            if type(out) is cls:
                born.append(weakref.ref(out))
            return out

    def maps() -> int:
        shapes = [tensor.shape for ref in list(born) if (tensor := ref()) is not None]
        return sum(len(s) == 4 and s[0] == sizes[0] and s[1] > 3 and s[2] > 2 for s in shapes)

    def look(x: Tensor) -> None:
        if len(x) == sizes[-1] and maps():
            gc.collect()  # what only waits to be collected is not kept
            kept.append(maps())

    net, kept = small_vgg(weights), [0]
    net.features[0].look = look
    _pooled(function, net, images, sizes, cuts, sides, Traced)
    without = net.features[0].without_graph()
    return {"without a graph": without, "gradients on afterwards": torch.is_grad_enabled(), "maps kept": max(kept)}


def one_pass_hooks(function: Function, images: Array, sizes: Array, cuts: Array, sides: Array, **weights: Array) -> Returned:
    """How many hooks are on a net that had one, after a call and after an error; whether the error arrived."""
    net = small_vgg(weights)
    net.features[4].register_forward_hook(lambda module, args, out: None)
    _pooled(function, net, images, sizes, cuts, sides)
    after = hooks(net)
    arrived = breaks(lambda: _pooled(function, net, images, sizes, cuts, sides), net)
    return {"hooks": after, "error": arrived, "hooks after the error": hooks(net)}


def choose_then_test(function: Function, folds: Array, test: Array) -> Returned:
    """The arm, its accuracy and the overstatement."""
    arm, accuracy, over = function(torch.from_numpy(folds), torch.from_numpy(test))
    return {"arm": arm, "accuracy": accuracy, "overstatement": over}


def choose_then_test_leaves(function: Function, folds: Array, test: Array) -> Returned:
    """Folds and test after a call."""
    given = torch.from_numpy(folds), torch.from_numpy(test)
    function(*given)
    return {"folds": given[0], "test": given[1]}


def same_svm(function: Function, x: Array, C: Array, s: Array, calls: Array) -> Returned:
    """The features u from the last of so many calls with the same x."""
    given = torch.from_numpy(x), C.item(), s.item()
    u, _ = [function(*given) for _ in range(calls)][-1]
    return {"u": u}


def same_svm_weight(function: Function, x: Array, C: Array, s: Array) -> Returned:
    """C_u of each pair of C and s (n,), one call each."""
    pairs = zip(C.tolist(), s.tolist(), strict=True)
    return {"C_u": [float(function(torch.from_numpy(x), c, scale)[1]) for c, scale in pairs]}


# epochs_of: of images (N, 3, H, W), 0..1


class _Halve:
    """Halves what it is given, an image or a batch, and adds how often it was called; notes the images."""

    def __init__(self) -> None:
        self.calls, self.given = 0, list[Tensor]()

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.given += [image.clone() for image in (x if x.ndim == 4 else x[None])]
        return x / 2 + self.calls


def _generator(seed: int, drawn: int = 0) -> torch.Generator:
    generator = torch.Generator().manual_seed(seed)
    torch.rand(drawn, generator=generator)
    return generator


def _epochs(function: Function, x: Tensor, y: Tensor, n_val: int, generator: torch.Generator) -> Returned:
    """Three epochs (3, n, ...), with the validation images before and after them (2, n_val, ...)."""
    transform = _Halve()
    train, validation = function(x, y, n_val, transform, generator)
    first = validation()
    epochs = [train() for _ in range(3)]
    held = [first, validation()]
    return {
        "images": torch.stack([images for images, _ in epochs]),
        "labels": torch.stack([labels for _, labels in epochs]),
        "held out": torch.stack([images for images, _ in held]),
        "held out labels": torch.stack([labels for _, labels in held]),
        "given to transform": torch.stack(transform.given) if transform.given else x[:0],
    }


def epochs_of(function: Function, x: Array, y: Array, n_val: Array, seed: Array, calls: Array) -> Returned:
    """Epochs of the last of so many functions, made one after the other of the same images."""
    given = torch.from_numpy(x), torch.from_numpy(y), int(n_val), _generator(int(seed))
    return [_epochs(function, *given) for _ in range(calls)][-1]


#: What is wanted of the same epochs differs by case
epochs_labels = epochs_validation = epochs_draws = epochs_orders = epochs_again = epochs_of


def epochs_splits(function: Function, x: Array, y: Array, n_val: Array, seeds: Array, drawn: Array) -> Returned:
    """Validation images (n, n_val, ...) of n generators, from which so many numbers were drawn before."""
    pairs = zip(seeds.tolist(), drawn.tolist(), strict=True)
    data = torch.from_numpy(x), torch.from_numpy(y), int(n_val)
    return {"held out": torch.stack([function(*data, _Halve(), _generator(*pair))[1]()[0] for pair in pairs])}


def epochs_from_generator(function: Function, x: Array, y: Array, n_val: Array, seed: Array, worlds: Array) -> Returned:
    """Labels of epochs where all global random numbers have one of two states, and what torch's give afterwards."""
    found: list[dict[str, Any]] = []
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            for world in worlds.tolist():
                torch.default_generator.manual_seed(world)
                random.seed(world)
                np.random.seed(world)  # noqa: NPY002
                found.append(epochs_of(function, x, y, n_val, seed, np.array(1)) | {"global numbers": torch.rand(4)})
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    return {name: torch.stack([each[name] for each in found]) for name in ("labels", "held out labels", "global numbers")}
