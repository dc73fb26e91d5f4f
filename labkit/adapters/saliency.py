"""Adapters of lab 07, saliency, fooling images and class visualisation, with the small net that they ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Broken(RuntimeError):
    """What a `Scorer` raises that was told to."""


def _linear(weight: np.ndarray, bias: np.ndarray | None = None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")  # no weights are drawn
    layer.weight = nn.Parameter(torch.tensor(weight))
    if bias is not None:
        layer.bias = nn.Parameter(torch.tensor(bias))
    return layer


class Scorer(nn.Module):
    """Logits (B, C) of images (B, 3, H, W), with P = 3 H W: V tanh(U norm(x) + W drop(x) + c) + d, in evaluation mode.

    channels: (4, 3): gain, shift, mean and variance of a batch norm. inner: (D, 2 P + 1): U, W and c. last: (C, D + 1):
    V and d. The dropout drops everything in training mode, so that nothing is left to chance.
    """

    def __init__(self, channels: np.ndarray, inner: np.ndarray, last: np.ndarray) -> None:
        super().__init__()
        gain, shift, mean, variance = torch.tensor(channels)
        p = inner.shape[1] // 2
        self.norm = nn.BatchNorm2d(3, dtype=gain.dtype)
        self.norm.load_state_dict(
            {"weight": gain, "bias": shift, "running_mean": mean, "running_var": variance}, strict=False
        )  # the count of batches stays 0
        self.side = nn.Sequential(nn.Sequential(nn.Dropout(1.0), nn.Flatten()), _linear(inner[:, p:-1], inner[:, -1]))
        self.main = _linear(inner[:, :p])
        self.last = _linear(last[:, :-1], last[:, -1])
        self.breaks = False
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C).

        Raises:
            Broken: `breaks` is set.
        """
        main = self.main(self.norm(x).flatten(1))
        if self.breaks:
            raise Broken("this net breaks on purpose, to see what is left behind")
        logits: Tensor = self.last(torch.tanh(main + self.side(x)))
        return logits


def _in_modes(net: Scorer, modes: np.ndarray) -> Scorer:
    for module, mode in zip(net.modules(), modes.tolist(), strict=True):
        module.training = mode
    return net


def _modes(net: Scorer) -> list[bool]:
    return [module.training for module in net.modules()]


def _then_training(run: Callable[[], Any], net: Scorer, x: np.ndarray, gradient: np.ndarray) -> dict[str, Any]:
    """The result of a second call; then gradients of half the sum of squared logits, added to `gradient` at V; d is frozen."""
    net.last.weight.grad = torch.tensor(gradient)
    net.last.bias.requires_grad_(False)
    run()
    out = run()
    (net(torch.tensor(x)).square().sum() / 2).backward()
    frozen = net.last.bias.grad
    return {
        "second result": out,
        "gradient at the last layer": net.last.weight.grad,
        "gradient at the first layer": net.main.weight.grad,
        "gradient of what is frozen": torch.zeros_like(net.last.bias) if frozen is None else frozen,
    }


def _left(run: Callable[[Tensor], Any], x: np.ndarray, grad: np.ndarray | None = None) -> dict[str, Any]:
    """Whether x and its gradient are what they were, and the result has no graph; with `grad`, x requires gradients, too."""
    same, graph = True, False
    for kept in [None] if grad is None else [None, torch.tensor(grad)]:
        z = torch.tensor(x, requires_grad=kept is not None)
        z.grad = None if kept is None else kept.clone()
        graph |= bool(getattr(run(z), "requires_grad", False))
        same &= z.requires_grad == (kept is not None) and torch.equal(z.detach(), torch.tensor(x))
        same &= z.grad is None if kept is None else z.grad is not None and torch.equal(z.grad, kept)
    return {"unchanged": same, "no graph": not graph}


def saliency(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray,
             y: np.ndarray, modes: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """Maps of a net whose modules are in `modes` (9,), in the order of net.modules()."""
    return {"maps": function(_in_modes(Scorer(channels, inner, last), modes), torch.tensor(x), torch.tensor(y))}


def saliency_and_modes(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray,
                       y: np.ndarray, modes: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """As `saliency`, and afterwards the modes, and logits of x in them."""
    net = _in_modes(Scorer(channels, inner, last), modes)
    maps = function(net, torch.tensor(x), torch.tensor(y))
    return {"maps": maps, "modes afterwards": _modes(net), "logits afterwards": net(torch.tensor(x))}


def saliency_after_error(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                         x: np.ndarray, y: np.ndarray, modes: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """Whether an error of the net arrives, and what it leaves; and the maps of a net that is whole."""
    net = _in_modes(Scorer(channels, inner, last), modes)
    net.breaks, arrived = True, False
    try:
        function(net, torch.tensor(x), torch.tensor(y))
    except Broken:
        arrived = True
    net.breaks = False
    after = {"the error arrives": arrived, "modes afterwards": _modes(net), "logits afterwards": net(torch.tensor(x))}
    whole = _in_modes(Scorer(channels, inner, last), modes)
    return {**after, "maps": function(whole, torch.tensor(x), torch.tensor(y))}


def saliency_then_training(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                           x: np.ndarray, y: np.ndarray, gradient: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """A second call, and a training step."""
    net, z, k = Scorer(channels, inner, last), torch.tensor(x), torch.tensor(y)
    return _then_training(lambda: function(net, z, k), net, x, gradient)


def saliency_leaves(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray,
                    y: np.ndarray, grad: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """What is left behind at x."""
    return _left(lambda z: function(Scorer(channels, inner, last), z, torch.tensor(y)), x, grad)


def integrated_gradients(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                         x: np.ndarray, y: np.ndarray, baseline: np.ndarray, steps: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """Attributions."""
    net = Scorer(channels, inner, last)
    return {"attributions": function(net, torch.tensor(x), torch.tensor(y), torch.tensor(baseline), int(steps))}


def integrated_gradients_add_up(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                                x: np.ndarray, y: np.ndarray, baseline: np.ndarray, steps: np.ndarray
                                ) -> dict[str, Any]:  # fmt: skip
    """As `integrated_gradients`."""
    return integrated_gradients(function, channels, inner, last, x, y, baseline, steps)


def integrated_gradients_then_training(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                                       x: np.ndarray, y: np.ndarray, baseline: np.ndarray, steps: np.ndarray,
                                       gradient: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """A second call, and a training step."""
    net, z, k, b = Scorer(channels, inner, last), torch.tensor(x), torch.tensor(y), torch.tensor(baseline)
    return _then_training(lambda: function(net, z, k, b, int(steps)), net, x, gradient)


def integrated_gradients_leaves(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                                x: np.ndarray, y: np.ndarray, baseline: np.ndarray, steps: np.ndarray
                                ) -> dict[str, Any]:  # fmt: skip
    """What is left behind at x."""
    net, k, b = Scorer(channels, inner, last), torch.tensor(y), torch.tensor(baseline)
    return _left(lambda z: function(net, z, k, b, int(steps)), x)


def deletion_curve(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray,
                   y: np.ndarray, maps: np.ndarray, shares: np.ndarray, fill: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """Probabilities; shares go in as a list."""
    net, z, k = Scorer(channels, inner, last), torch.tensor(x), torch.tensor(y)
    return {"probabilities": function(net, z, k, torch.tensor(maps), shares.tolist(), torch.tensor(fill))}


def deletion_curve_then_training(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                                 x: np.ndarray, y: np.ndarray, maps: np.ndarray, shares: np.ndarray, fill: np.ndarray,
                                 gradient: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """A second call with what the first has left, and a training step."""
    net, given = Scorer(channels, inner, last), shares.tolist()
    z, k, m, paint = (torch.tensor(array) for array in (x, y, maps, fill))
    return _then_training(lambda: function(net, z, k, m, given, paint), net, x, gradient)


def deletion_curve_leaves(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                          x: np.ndarray, y: np.ndarray, maps: np.ndarray, shares: np.ndarray, fill: np.ndarray
                          ) -> dict[str, Any]:  # fmt: skip
    """What is left behind at x."""
    net, k, m, paint = Scorer(channels, inner, last), torch.tensor(y), torch.tensor(maps), torch.tensor(fill)
    return _left(lambda z: function(net, z, k, m, shares.tolist(), paint), x)


def fooling_step(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray,
                 target: np.ndarray, eta: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """Images after a step."""
    return {"images": function(Scorer(channels, inner, last), torch.tensor(x), torch.tensor(target), float(eta))}


def fooling_step_then_training(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                               x: np.ndarray, target: np.ndarray, eta: np.ndarray, gradient: np.ndarray
                               ) -> dict[str, Any]:  # fmt: skip
    """A second call with the same tensors, and a training step."""
    net, z, k = Scorer(channels, inner, last), torch.tensor(x), torch.tensor(target)
    return _then_training(lambda: function(net, z, k, float(eta)), net, x, gradient)


def fooling_step_leaves(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray, x: np.ndarray,
                        target: np.ndarray, eta: np.ndarray, grad: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """What is left behind at x."""
    net = Scorer(channels, inner, last)
    return _left(lambda z: function(net, z, torch.tensor(target), float(eta)), x, grad)


def project(function: Callable[..., Any], z: np.ndarray, x: np.ndarray, radius: np.ndarray, norm: np.ndarray) -> dict[str, Any]:
    """Images in the ball."""
    return {"images": function(torch.tensor(z), torch.tensor(x), float(radius), str(norm))}


def project_twice(function: Callable[..., Any], z: np.ndarray, x: np.ndarray, radius: np.ndarray) -> dict[str, Any]:
    """Images in both balls, each from a second call with what the first has left of z and x."""
    found = {}
    for norm in ("Linf", "L2"):
        away, home = torch.tensor(z), torch.tensor(x)
        function(away, home, float(radius), norm)
        found[norm] = function(away, home, float(radius), norm)
    return found


def visualisation_step(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray, u: np.ndarray,
                       target: np.ndarray, rate: np.ndarray, lam: np.ndarray, squared: np.ndarray
                       ) -> dict[str, Any]:  # fmt: skip
    """u after a step."""
    net, k = Scorer(channels, inner, last), torch.tensor(target)
    return {"u": function(net, torch.tensor(u), k, float(rate), float(lam), bool(squared))}


def visualisation_step_then_training(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                                     u: np.ndarray, target: np.ndarray, rate: np.ndarray, lam: np.ndarray,
                                     squared: np.ndarray, gradient: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """A second call with the same tensors, and a training step."""
    net, v, k = Scorer(channels, inner, last), torch.tensor(u), torch.tensor(target)
    return _then_training(lambda: function(net, v, k, float(rate), float(lam), bool(squared)), net, u, gradient)


def visualisation_step_leaves(function: Callable[..., Any], channels: np.ndarray, inner: np.ndarray, last: np.ndarray,
                              u: np.ndarray, target: np.ndarray, rate: np.ndarray, lam: np.ndarray, squared: np.ndarray,
                              grad: np.ndarray) -> dict[str, Any]:  # fmt: skip
    """What is left behind at u."""
    net, k = Scorer(channels, inner, last), torch.tensor(target)
    return _left(lambda v: function(net, v, k, float(rate), float(lam), bool(squared)), u, grad)
