"""What a function of lab 07 must leave as it was: modes, values and gradients of a net and of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.check.frame import Mistake, draw
from labkit.check.nets import hooks, modes, moved, some, state
from labkit.check.saliency.small import Cubic, apply, no_graph

_STORES = "backward() adds to .grad of all that it passes, where torch.autograd.grad(s.sum(), z) stores nothing"
_ALIKE = "net.train(), also with a mode, sets all modules alike"


def used(net: Cubic) -> Cubic:
    """Give most parameters of a net a gradient, as a training has it, and freeze one."""
    for i, parameter in enumerate(list(net.parameters())[1:]):
        parameter.grad = draw(*parameter.shape, seed=70 + i)
    net.first.bias.requires_grad_(False)
    return net


class Before:
    """How a net and some tensors are now, to be compared afterwards."""

    def __init__(self, net: nn.Module, **tensors: Tensor) -> None:
        self.net, self.tensors = net, tensors
        self.modes, self.state, self.hooks = modes(net), state(net), hooks(net)
        self.parameters = {name: _of(p) for name, p in net.named_parameters()}
        self.inputs = {name: (tensor.detach().clone(), *_of(tensor)) for name, tensor in tensors.items()}

    def same(self, cause: str = "") -> None:
        """See that nothing has changed; `cause` goes before the usual causes.

        Raises:
            Mistake: something has.
        """
        self._net(cause)
        for name, tensor in self.tensors.items():
            values, required, grad = self.inputs[name]
            if not torch.equal(tensor.detach(), values):
                raise Mistake(f"{name} unchanged", "changed values",
                              cause or "an operation in place (a name ending in _, or +=)")  # fmt: skip
            if tensor.requires_grad != required:
                raise Mistake(f"{name}.requires_grad as it was, {required}", f"{tensor.requires_grad}", cause or
                              f"requires_grad_() on the caller's {name}: on a copy, {name}.detach().clone(), it harms no one"
                              )  # fmt: skip
            if not _equal(tensor.grad, grad):
                usual = f"{_STORES}; and a copy that is not detached leads back to {name}"
                if tensor.grad is None:
                    usual = f"what was in {name}.grad before was cleared: it belongs to the caller"
                raise Mistake(f"{name}.grad as it was", _change(grad, tensor.grad), cause or usual)

    def _net(self, cause: str) -> None:
        net = self.net
        after = modes(net)
        wrong = [name or "the net itself" for name in after if after[name] != self.modes[name]]
        if wrong:
            usual = (
                f"everything was put into training mode, also what was not: {_ALIKE}" if all(after.values()) else
                f"it is still in evaluation mode: nothing was put back, or by net.train(mode), and {_ALIKE}"
                if not any(after.values()) else
                f"only some modes were put back: note that of each of net.modules(), children of children too; {_ALIKE}"
            )  # fmt: skip
            raise Mistake("each module in the mode in which it was", f"another mode in {some(wrong)}", cause or usual)
        written = moved(net, self.state)
        if written:
            raise Mistake("weights and statistics unchanged", f"{some(written)} changed",
                          "batch norm took new statistics, or something was written into the net")  # fmt: skip
        for name, parameter in net.named_parameters():
            required, grad = self.parameters[name]
            if parameter.requires_grad != required:
                raise Mistake(f"requires_grad of {name} as it was, {required}", f"{parameter.requires_grad}",
                              cause or "the net is to stay as it was: no requires_grad_() on its parameters")  # fmt: skip
            if not _equal(parameter.grad, grad):
                usual = "zero_grad() clears also what was there before, and " if grad is not None else ""
                raise Mistake(f"the gradient of the parameter {name} as it was", _change(grad, parameter.grad),
                              cause or usual + _STORES)  # fmt: skip
        if hooks(net) != self.hooks:
            raise Mistake("no hook left on the net", f"{hooks(net) - self.hooks} left", "remove the handle of each hook")


def leaves_all(
    function: Callable[..., Any],
    inputs: Callable[[], dict[str, Tensor]],
    *rest: Any,
    graph: str = "",
    detach: str = "",
) -> None:
    """Call function(net, *inputs, *rest) on nets with and without gradients, and see that nothing is left behind.

    `graph` is the likely cause of a graph on the result. `detach` names the input that may require gradients itself.

    Raises:
        Mistake: something changed, or the result has a graph.
    """
    for net in (Cubic(), used(Cubic())):
        given = inputs()
        before = Before(net, **given)
        out = apply(function, net, *given.values(), *rest)
        before.same()
        if graph:
            no_graph(out, graph)
    if detach:
        given = inputs()
        given[detach].requires_grad_()
        out = apply(function, Cubic(), *given.values(), *rest)
        no_graph(out, f"{detach} may require gradients itself, and then what is made of it does so too: {detach}.detach()")


def _of(tensor: Tensor) -> tuple[bool, Tensor | None]:
    return tensor.requires_grad, None if tensor.grad is None else tensor.grad.clone()


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return (one is None) == (other is None) and (one is None or other is None or torch.equal(one, other))


def _change(before: Tensor | None, after: Tensor | None) -> str:
    return "a gradient where there was none" if before is None else "none any more" if after is None else "another gradient"
