"""Adapters of lab 01, transfer with a residual net: which parameters learn, modes, hooks, and what a lesion costs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labkit.adapters.resnet_nets import A, Broken, Guard, block_of, classifier, filled, named_net, stages

Function = Callable[..., Any]
Out = dict[str, Any]


def _free(net: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in net.parameters()]


def _modes(net: nn.Module) -> list[bool]:
    return [m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d | nn.Dropout)]


def _hooks(net: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def train_only(function: Function, parts: A) -> Out:
    """Which parameters of the net require a gradient, in order."""
    net = named_net()
    function(net, parts.tolist())
    return {"requires gradient": _free(net)}


def train_only_list(function: Function, parts: A) -> Out:
    """How often each parameter of the net is in the list that was returned, and how long that is."""
    net = named_net()
    returned = function(net, parts.tolist())
    listed = [returned[i] for i in range(len(returned))]
    return {"times listed": [sum(p is q for q in listed) for p in net.parameters()], "length": len(listed)}


def train_only_modes(function: Function, parts: A, training: A) -> Out:
    """Which batch norms and dropouts are in training mode, of a net that came in a mode."""
    net = named_net().train(bool(training))
    function(net, parts.tolist())
    return {"in training mode": _modes(net)}


def train_only_again(function: Function, first: A, parts: A) -> Out:
    """What requires a gradient and what is in training mode after two calls on a frozen net."""
    net = named_net().eval().requires_grad_(False)
    function(net, first.tolist())
    function(net, parts.tolist())
    return {"requires gradient": _free(net), "in training mode": _modes(net)}


def train_only_steps(function: Function, parts: A, weights: A, x: A, labels: A) -> Out:
    """Weights and statistics after a step of SGD for each batch of x (steps, B, 3, H, W), labels (steps, B)."""
    net = filled(named_net(), weights)
    optimiser = torch.optim.SGD(list(function(net, parts.tolist())), lr=0.05, momentum=0.9, weight_decay=0.01)
    for images, classes in zip(torch.from_numpy(x), torch.from_numpy(labels), strict=True):
        optimiser.zero_grad()
        cross_entropy(net(images), classes).backward()
        optimiser.step()
    return {"state": torch.cat([values.flatten() for values in net.state_dict().values() if values.is_floating_point()])}


def train_only_unknown(function: Function, parts: A, unknown: A) -> Out:
    """What requires a gradient, and whether a name that the net does not have is an error."""
    found = train_only(function, parts)
    try:
        function(named_net(), [*parts.tolist(), str(unknown)])
    except Exception:
        return {**found, "error": True}
    return {**found, "error": False}


def _pairs(x: A, labels: A, sizes: A) -> list[tuple[Tensor, Tensor]]:
    both = (torch.from_numpy(array).split(sizes.tolist()) for array in (x, labels))
    return list(zip(*both, strict=True))


def accuracy(function: Function, norms: A, linear: A, x: A, labels: A, sizes: A, once: A, guarded: A) -> Out:
    """Accuracy of a net in training mode, and its running means afterwards; batches can be read `once`, or are a list.

    `guarded`: with a graph the logits are others.
    """
    net, batches = classifier(norms, linear, Guard() if guarded else None), _pairs(x, labels, sizes)
    share = function(net, iter(batches) if once else batches)
    return {"accuracy": share, "running means": torch.stack([v for name, v in net.state_dict().items() if "_mean" in name])}


def accuracy_is_a_float(function: Function, norms: A, linear: A, x: A, labels: A, sizes: A) -> Out:
    """Accuracy, and whether it is a float."""
    share = function(classifier(norms, linear), _pairs(x, labels, sizes))
    return {"accuracy": share, "a float": isinstance(share, float)}


def accuracy_then_gradient(function: Function, norms: A, linear: A, x: A, labels: A, sizes: A) -> Out:
    """Accuracy, and afterwards the gradient of half the squared logits at the head's weights, in evaluation mode."""
    net = classifier(norms, linear)
    share = function(net, _pairs(x, labels, sizes))
    loss = net.eval()(torch.from_numpy(x)).square().sum() / 2
    return {"accuracy": share, "gradient": torch.autograd.grad(loss, net.get_parameter("head.3.weight"))[0]}


def accuracy_then_modes(function: Function, norms: A, linear: A, x: A, labels: A, sizes: A, modes: A, breaks_at: A) -> Out:
    """Accuracy of a net whose modules come in `modes`, how it was left, and what its batch norms then give.

    breaks_at: the pass at which the net raises an error, or -1; where that error arrives the accuracy is -1.
    """
    net, share = classifier(norms, linear, Guard(int(breaks_at)) if breaks_at >= 0 else None), -1.0
    for module, mode in zip(net.modules(), modes.tolist(), strict=True):
        module.training = mode
    with contextlib.suppress(Broken):
        share = function(net, _pairs(x, labels, sizes))
    left = [m.training for m in net.modules()]
    return {"accuracy": share, "modes": left, "batch norms": net.get_submodule("body")(torch.from_numpy(x))}


def no_skip(function: Function, kind: A, stride: A, training: A, weights: A, x: A) -> Out:
    """What comes of a block for x."""
    return {"out": function(block_of(kind, stride, training, weights, x, function), torch.from_numpy(x))}


def block_afterwards(function: Function, kind: A, stride: A, training: A, weights: A, x: A) -> Out:
    """What comes of a block for x, and what the block itself gives for the same x afterwards."""
    block, images = block_of(kind, stride, training, weights, x, function), torch.from_numpy(x)
    return {"out": function(block, images), "block": block(images)}


def block_hooks(function: Function, kind: A, stride: A, training: A, weights: A, x: A) -> Out:
    """Hooks on a block afterwards, and whether its modules are its own."""
    block = block_of(kind, stride, training, weights, x, function)
    before = list(block.modules())
    function(block, torch.from_numpy(x))
    return {"hooks": _hooks(block), "own modules": before == list(block.modules())}


def hooked_means(function: Function, weights: A, training: A, x: A, sizes: A, layers: A, once: A, guarded: A) -> Out:
    """The means of layers, by name, and the running means of bn1, which each pass in training mode moves.

    Batches can be read `once`, or are a list. `guarded`: with a graph the net gives other values.
    """
    net, batches = stages(weights, training, Guard() if guarded else None), torch.from_numpy(x).split(sizes.tolist())
    found = function(net, layers.tolist(), iter(batches) if once else list(batches))
    return {**{name: found[name] for name in layers.tolist()}, "running mean": net.state_dict()["bn1.running_mean"]}


def hooked_means_beside_hook(function: Function, weights: A, training: A, x: A, sizes: A, layers: A, factor: A) -> Out:
    """The means of layers of a net on which a hook multiplies what bn1 gives, and the net's logits afterwards."""
    net, images = stages(weights, training), torch.from_numpy(x)
    net.get_submodule("bn1").register_forward_hook(lambda m, i, o: o * float(factor))
    found = function(net, layers.tolist(), list(images.split(sizes.tolist())))
    return {**{name: found[name] for name in layers.tolist()}, "logits": net(images)}


def hooks_left(function: Function, weights: A, training: A, x: A, sizes: A, layers: A, breaks_at: A) -> Out:
    """How many hooks are left, and whether the error arrives that the net raises at pass `breaks_at`, if that is not -1."""
    net, arrived = stages(weights, training, Guard(int(breaks_at))), False
    try:
        function(net, layers.tolist(), list(torch.from_numpy(x).split(sizes.tolist())))
    except Broken:
        arrived = True
    return {"hooks": _hooks(net), "error": arrived}


def residual_gradient(function: Function, x: A, f: A, jacobian: A, upstream: A) -> Out:
    """dL/dx, (B, D)."""
    return {"gradient": function(*(torch.from_numpy(array) for array in (x, f, jacobian, upstream)))}


def residual_gradient_leaves(function: Function, x: A, f: A, jacobian: A, upstream: A) -> Out:
    """dL/dx, and all arguments after the call, one after the other, flat."""
    given = [torch.from_numpy(array) for array in (x, f, jacobian, upstream)]
    return {"gradient": function(*given), "arguments": torch.cat([array.flatten() for array in given])}


def lesion_drops(function: Function, labels: A, intact: A, lesioned: A, calls: A) -> Out:
    """Drops and their errors, of the last of so many calls with the same tensors."""
    given = [torch.from_numpy(array) for array in (labels, intact, lesioned)]
    drop, error = [function(*given) for _ in range(int(calls))][-1]
    return {"drop": drop, "error": error}


def one_of_both(function: Function, labels: A, intact: A, lesioned: A, which: A) -> Out:
    """The drops (0) or their errors (1)."""
    drop, error = function(*(torch.from_numpy(array) for array in (labels, intact, lesioned)))
    return {"values": error if which else drop}
