"""Checks of lab 07: a step towards a fooling image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import Case, run_cases, takes
from labkit.check.nets import undisturbed
from labkit.check.saliency.left import leaves_all
from labkit.check.saliency.small import Cubic, apply, finite, images, judge, pick, rise, unit, wrong_scores, wrong_steps

_GRAPH = "the step is made of a tensor that requires gradients: .detach() it, or make the step without a graph"


def fooling_step(function: Callable[..., Any]) -> None:
    """Check `fooling_step(net, x, target, eta)`: -> (B, 3, H, W), compared with slopes by central differences."""

    def run(f: Callable[..., Any], x: Tensor, target: Tensor, eta: float, net: Cubic | None = None) -> Any:
        takes(f, "net", "x", "target", "eta")
        return apply(f, net or Cubic(), x.clone(), target.clone(), eta)

    def slope(net: Cubic, x: Tensor, target: Tensor) -> Tensor:
        return rise(lambda z: pick(net.scores(z), target), x)

    def inner(f: Callable[..., Any], n: int, eta: float) -> None:
        net, x, target = Cubic(), images(n, 31, 0.45, 0.55), torch.tensor([1, 3, 0, 1][:n])
        g = slope(net, x, target)

        def known() -> dict[str, Tensor]:
            other = {cause: x + eta * unit(rise(score, x)) for cause, score in wrong_scores(net, target).items()}
            steps = {**wrong_steps(x, g, eta), **other}
            return {**steps, **{f"{cause}; and clipped to 0..1": z.clamp(0, 1) for cause, z in steps.items()}}

        judge(run(f, x, target, eta), x + eta * unit(g), known)

    def clipped(f: Callable[..., Any]) -> None:
        net, x, target = Cubic(), images(3, 32).round(), torch.tensor([2, 0, 3])
        far = x + 15 * unit(slope(net, x, target))
        judge(run(f, x, target, 15.0), far.minimum(torch.ones_like(x)).maximum(torch.zeros_like(x)), lambda: {
            "it was not clipped: pixels are 0..1": far,
            "clipped to -1..1: pixels are 0..1": far.clamp(-1, 1),
            "values below 0 were not clipped: pixels are 0..1": far.clamp(max=1),
            "values above 1 were not clipped: pixels are 0..1": far.clamp(min=0),
            "clipped to 0..255: pixels are 0..1": far.clamp(0, 255),
            "the step was clipped rather than the image": x + (far - x).clamp(0, 1)})  # fmt: skip

    def flat(f: Callable[..., Any]) -> None:
        net, x, target = Cubic(flat=2), images(3, 33, 0.3, 0.7), torch.tensor([0, 2, 1])
        want = x + 0.2 * unit(slope(net, x, torch.tensor([0, 0, 1])))
        want[1] = x[1]
        out = run(f, x, target, 0.2, net)
        black = want.clone()
        black[1] = 0
        finite(out, "where g = 0, g / |g| is 0 / 0: the image stays where it is")
        judge(out, want, lambda: {"an image whose g is 0 turned black": black, "nothing moved": x})

    def stays(f: Callable[..., Any]) -> None:
        takes(f, "net", "x", "target", "eta")
        leaves_all(f, lambda: {"x": images(3, 34), "target": torch.tensor([1, 3, 0])}, 0.3, graph=_GRAPH, detach="x")

    with undisturbed():
        run_cases(
            "fooling_step",
            function,
            [
                Case("four images, eta = 0.25, far from black and white", lambda f: inner(f, 4, 0.25)),
                Case("a batch of one image, eta = 0.1", lambda f: inner(f, 1, 0.1)),
                Case("black and white pixels, and a step of 15", clipped),
                Case("an image whose g is 0, between two others", flat),
                Case("x, target and the gradients of the net afterwards, and no graph", stays),
            ],
            reread="section 4, on walking uphill to another class, and the docstring: which score, and how long the step is",
        )
