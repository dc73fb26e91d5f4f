"""What is expected in lab 01, transfer with a residual net; He et al. 2016 (arXiv:1512.03385). Nets run in NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn
from torch.nn.functional import cross_entropy

from labkit.adapters import resnet_nets as nets
from labkit.grading.wants import Wants

A = np.ndarray
State = Mapping[str, A]
_EPS = 1e-5  # of a batch norm
_MOMENTUM = 0.1


def _state(net: nn.Module) -> State:
    return {name: values.numpy() for name, values in net.state_dict().items()}


def _conv(x: A, weight: A, stride: int = 1) -> A:
    """(B, C, H, W) -> (B, O, H / stride, W / stride), padded by half the kernel."""
    half = weight.shape[-1] // 2
    padded = np.pad(x, ((0, 0), (0, 0), (half, half), (half, half)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("bchwij,ocij->bohw", windows, weight)


def _norm(x: A, state: State, name: str, training: bool) -> A:
    """Batch norm by the statistics of the batch, or by the stored ones."""
    mean, variance = (x.mean((0, 2, 3)), x.var((0, 2, 3))) if training else (
        state[f"{name}.running_mean"], state[f"{name}.running_var"])  # fmt: skip
    scale = state[f"{name}.weight"] / np.sqrt(variance + _EPS)
    return (x - mean[:, None, None]) * scale[:, None, None] + state[f"{name}.bias"][:, None, None]


def _relu(x: A) -> A:
    return np.maximum(x, 0)


def _block(x: A, state: State, at: str, stride: int, training: bool) -> dict[str, A]:
    """What a block under the prefix `at` gives: 'bn1', F(x) as 'branch', and what it adds as 'shortcut'."""
    strides = (1, stride, 1) if f"{at}conv3.weight" in state else (stride, 1)
    out, found = x, {}
    for i, step in enumerate(strides, 1):
        out = _norm(_conv(out if i == 1 else _relu(out), state[f"{at}conv{i}.weight"], step), state, f"{at}bn{i}", training)
        found[f"{at}bn{i}"] = out
    project = f"{at}downsample.0.weight"
    shortcut = _norm(_conv(x, state[project], stride), state, f"{at}downsample.1", training) if project in state else x
    return {**found, "branch": out, "shortcut": shortcut}


def _inside(name: str, parts: A) -> bool:
    return any(f"{name}.".startswith(f"{part}.") for part in parts)


def train_only(parts: A) -> Wants:
    """Parameters inside the parts."""
    return {"requires gradient": np.array([_inside(name, parts) for name, _ in nets.named_net().named_parameters()])}


def train_only_list(parts: A) -> Wants:
    """Each once, and no other."""
    once = train_only(parts)["requires gradient"] * np.array(1)  # type: ignore[operator]
    return {"times listed": once, "length": once.sum()}


def train_only_modes(parts: A, training: A) -> Wants:
    """Batch norms and dropouts inside the parts."""
    kinds = ((name, m) for name, m in nets.named_net().named_modules() if isinstance(m, nn.BatchNorm2d | nn.Dropout))
    return {"in training mode": np.array([_inside(name, parts) for name, _ in kinds])}


def train_only_again(first: A, parts: A) -> Wants:
    """What the last call asked for."""
    return {**train_only(parts), **train_only_modes(parts, np.array(False))}


def train_only_steps(parts: A, weights: A, x: A, labels: A) -> Wants:
    """SGD by hand: v <- 0.9 v + g + 0.01 w, w <- w - 0.05 v, for what is inside the parts; the rest as it was."""
    net = nets.filled(nets.named_net(), weights)
    for name, module in net.named_modules():
        module.training = _inside(name, parts)
    own = [parameter for name, parameter in net.named_parameters() if _inside(name, parts)]
    speeds = [torch.zeros_like(w) for w in own]
    with torch.enable_grad():
        for images, classes in zip(torch.from_numpy(x), torch.from_numpy(labels), strict=True):
            gradients = torch.autograd.grad(cross_entropy(net(images), classes), own)
            for w, v, g in zip(own, speeds, gradients, strict=True):
                v.mul_(0.9).add_(g + 0.01 * w.detach())
                w.data.sub_(0.05 * v)
    return {"state": np.concatenate([values.ravel() for values in _state(net).values() if values.dtype == np.float64])}


def train_only_unknown(parts: A, unknown: A) -> Wants:
    """An error."""
    return {**train_only(parts), "error": np.array(True)}


def _normed(x: A, norms: A, training: tuple[bool, bool] = (False, False)) -> A:
    for rows, mode in zip(norms, training, strict=True):
        state = dict(zip(("n.weight", "n.bias", "n.running_mean", "n.running_var"), rows, strict=True))
        x = _norm(x, state, "n", mode)
    return x


def _share(norms: A, linear: A, x: A, labels: A) -> A:
    logits = _normed(x, norms).mean((2, 3)) @ linear.T
    return np.array((logits.argmax(1) == labels).mean())


def accuracy(norms: A, linear: A, x: A, labels: A, sizes: A, once: A, guarded: A) -> Wants:
    """The share of all images, and running means as they were: nothing moves them in evaluation mode."""
    return {"accuracy": _share(norms, linear, x, labels), "running means": norms[:, 2]}


def accuracy_is_a_float(norms: A, linear: A, x: A, labels: A, sizes: A) -> Wants:
    """The same, and a float."""
    return {"accuracy": _share(norms, linear, x, labels), "a float": np.array(True)}


def accuracy_then_gradient(norms: A, linear: A, x: A, labels: A, sizes: A) -> Wants:
    """The gradient of z'z / 2 at W, where z = W h, is z h'."""
    features = _normed(x, norms).mean((2, 3))
    return {"accuracy": _share(norms, linear, x, labels), "gradient": (features @ linear.T).T @ features}


def accuracy_then_modes(norms: A, linear: A, x: A, labels: A, sizes: A, modes: A, breaks_at: A) -> Wants:
    """Modes as they were; batch norms, modules 2 and 4, work accordingly."""
    share = _share(norms, linear, x, labels) if breaks_at < 0 else np.array(-1.0)
    return {"accuracy": share, "modes": modes, "batch norms": _normed(x, norms, (bool(modes[2]), bool(modes[4])))}


def no_skip(kind: A, stride: A, training: A, weights: A, x: A) -> Wants:
    """relu(F(x))."""
    state = _state(nets.block_of(kind, stride, training, weights, x))
    return {"out": _relu(_block(x, state, "", int(stride), bool(training))["branch"])}


def block_afterwards(kind: A, stride: A, training: A, weights: A, x: A) -> Wants:
    """relu(F(x)), and relu(F(x) + shortcut(x))."""
    found = _block(x, _state(nets.block_of(kind, stride, training, weights, x)), "", int(stride), bool(training))
    return {"out": _relu(found["branch"]), "block": _relu(found["branch"] + found["shortcut"])}


def block_hooks(kind: A, stride: A, training: A, weights: A, x: A) -> Wants:
    """Nothing is left behind."""
    return {"hooks": np.array(0), "own modules": np.array(True)}


def _outputs(x: A, state: State, training: A, factor: float = 1.0) -> dict[str, A]:
    """What comes out of the layers for one batch, by name, and 'logits'."""
    found = {"conv1": _conv(x, state["conv1.weight"])}
    out = _relu(factor * _norm(found["conv1"], state, "bn1", bool(training[0])))
    for at, stride, mode in (("layer1.0.", 1, training[1]), ("layer1.1.", 1, training[1]), ("layer2.0.", 2, training[2])):
        found |= _block(out, state, at, stride, bool(mode))
        out = _relu(found.pop("branch") + found.pop("shortcut"))
        found[at.partition(".")[0]] = out
    return {**found, "logits": out.mean((2, 3)) @ state["fc.weight"].T}


def _means(weights: A, training: A, x: A, sizes: A, layers: A, factor: float = 1.0) -> dict[str, A]:
    state = _state(nets.stages(weights, training))
    batches = [_outputs(part, state, training, factor) for part in np.split(x, np.cumsum(sizes)[:-1])]
    return {str(name): np.concatenate([batch[name].mean((2, 3)) for batch in batches]) for name in layers}


def hooked_means(weights: A, training: A, x: A, sizes: A, layers: A, once: A, guarded: A) -> Wants:
    """Means over positions; the running means move by a tenth of the way to each batch's, where bn1 is in training mode."""
    state = _state(nets.stages(weights, training))
    moving = state["bn1.running_mean"]
    for part in np.split(x, np.cumsum(sizes)[:-1]) if training[0] else []:
        moving = (1 - _MOMENTUM) * moving + _MOMENTUM * _conv(part, state["conv1.weight"]).mean((0, 2, 3))
    return {**_means(weights, training, x, sizes, layers), "running mean": moving}


def hooked_means_beside_hook(weights: A, training: A, x: A, sizes: A, layers: A, factor: A) -> Wants:
    """The factor is there during the call and afterwards."""
    logits = _outputs(x, _state(nets.stages(weights, training)), training, float(factor))["logits"]
    return {**_means(weights, training, x, sizes, layers, float(factor)), "logits": logits}


def hooks_left(weights: A, training: A, x: A, sizes: A, layers: A, breaks_at: A) -> Wants:
    """None, and the error arrives where there is one."""
    return {"hooks": np.array(0), "error": breaks_at >= 0}


def residual_gradient(x: A, f: A, jacobian: A, upstream: A) -> Wants:
    """(upstream * 1[F(x) + x > 0]) (F'(x) + 1), image by image."""
    rows = [(g * (a + b > 0)) @ (j + np.eye(len(g))) for a, b, j, g in zip(x, f, jacobian, upstream, strict=True)]
    return {"gradient": np.stack(rows)}


def residual_gradient_leaves(x: A, f: A, jacobian: A, upstream: A) -> Wants:
    """The same, and arguments that nothing changed."""
    return {
        **residual_gradient(x, f, jacobian, upstream),
        "arguments": np.concatenate([array.ravel() for array in (x, f, jacobian, upstream)]),
    }


def _paired(labels: A, intact: A, lesioned: A) -> tuple[A, A]:
    """By counts of what was lost and gained: the differences' squares sum to lost + gained."""
    n, before, after = len(labels), intact == labels, lesioned == labels
    lost, gained = (before & ~after).sum(1), (after & ~before).sum(1)
    drop = (lost - gained) / n
    return drop, np.sqrt(((lost + gained) / n - drop**2) / (n - 1))


def lesion_drops(labels: A, intact: A, lesioned: A, calls: A) -> Wants:
    """The mean of paired differences, and its standard error; the same for each call."""
    drop, error = _paired(labels, intact, lesioned)
    return {"drop": drop, "error": error}


def one_of_both(labels: A, intact: A, lesioned: A, which: A) -> Wants:
    """Drops, or errors."""
    return {"values": _paired(labels, intact, lesioned)[int(which)]}
