"""Checks of lab 07: integrated gradients, of a net whose slope is quadratic along a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import Case, Mistake, run_cases, takes
from labkit.check.nets import undisturbed
from labkit.check.saliency.left import leaves_all
from labkit.check.saliency.small import Cubic, apply, images, judge, pick, rise, wrong_scores

_MIDPOINTS = "the docstring asks for the midpoints, at (k + 1/2) / steps"
_GRAPH = (
    "create_graph=True, or what is added up still hangs on a graph: torch.autograd.grad gives slopes without one, "
    "and those of torch.func need .detach()"
)


def integrated_gradients(function: Callable[..., Any]) -> None:
    """Check `integrated_gradients(net, x, y, baseline, steps)`: -> (B, 3, H, W), compared with closed forms of the sums."""

    def problem(n: int = 3) -> tuple[Cubic, Tensor, Tensor, Tensor]:
        return Cubic(), images(n, 11), torch.tensor([1, 3, 0][:n]), images(n, 12, -0.3, 0.6)

    def run(f: Callable[..., Any], x: Tensor, y: Tensor, baseline: Tensor, steps: int) -> Any:
        takes(f, "net", "x", "y", "baseline", "steps")
        return apply(f, Cubic(), x.clone(), y.clone(), baseline.clone(), steps)

    def average(net: Cubic, y: Tensor, start: Tensor, way: Tensor, t: float, tt: float) -> Tensor:
        """The average slope on start + share * way, where t is the mean of the shares and tt that of their squares."""
        u, c, v, _ = (parameter.detach() for parameter in net.parameters())
        a, b = start.flatten(1) @ u.T + c, way.flatten(1) @ u.T
        bend = 3 * (a * a + 2 * t * a * b + tt * b * b)
        return ((bend * v[y]) @ u).view_as(start)

    def answer(net: Cubic, x: Tensor, y: Tensor, b: Tensor, n: int) -> Tensor:
        return (x - b) * average(net, y, b, x - b, 1 / 2, 1 / 3 - 1 / (12 * n**2))

    def known(net: Cubic, x: Tensor, y: Tensor, b: Tensor, n: int) -> dict[str, Tensor]:
        d, middle = x - b, (1 / 2, 1 / 3 - 1 / (12 * n**2))

        def at(t: float, tt: float) -> Tensor:
            return d * average(net, y, b, d, t, tt)

        right, slope = at(*middle), average(net, y, b, d, *middle)
        found = {
            "this is the slope at x alone, times x - b: average it over the way": at(1, 1),
            "this is the slope at the baseline alone, times x - b: average it over the way": at(0, 0),
            f"the slopes are at the left ends of the parts, k / steps: {_MIDPOINTS}":
                at((n - 1) / (2 * n), (n - 1) * (2 * n - 1) / (6 * n * n)),
            f"the slopes are at the right ends of the parts, (k + 1) / steps: {_MIDPOINTS}":
                at((n + 1) / (2 * n), (n + 1) * (2 * n + 1) / (6 * n * n)),
            f"this is the mean over steps + 1 points, with both ends: {_MIDPOINTS}": at(1 / 2, (2 * n + 1) / (6 * n)),
            "this is the sum over steps + 1 points, with both ends, divided by steps: each of the midpoints is one of `steps`":
                at(1 / 2, (2 * n + 1) / (6 * n)) * (n + 1) / n,
            f"this is the trapezoid rule, with half the slopes at both ends: {_MIDPOINTS}": at(1 / 2, 1 / 3 + 1 / (6 * n * n)),
            f"the points are k / (steps + 1): {_MIDPOINTS}": at(1 / 2, (2 * n + 1) / (6 * (n + 1))),
            f"this is the integral itself, by another rule: {_MIDPOINTS}": at(1 / 2, 1 / 3),
            "this is the slope halfway alone: average over the midpoints of all parts": at(1 / 2, 1 / 4),
            "the factor x - b is missing: this is the mean slope": slope,
            "the mean slope was multiplied by x: the factor is x - b": x * slope,
            "the mean slope was multiplied by b: the factor is x - b": b * slope,
            "the mean slope was multiplied by |x - b|: its sign belongs to it": d.abs() * slope,
            "the sign is turned: the way leads from the baseline to x, and the factor is x - b": -right,
            "this is the absolute value: attributions have a sign, or they do not add up": right.abs(),
            "this is the sum over the steps: take their mean": n * right,
            "this is the sum over the steps, without x - b": n * slope,
            "divided by steps twice": right / n,
            "the baseline was ignored, as if it were black: the way begins at b, and the factor is x - b":
                x * average(net, y, torch.zeros_like(x), x, *middle),
            "the way begins at black rather than at b": d * average(net, y, torch.zeros_like(x), x, *middle),
            "the points are b + share * x: they are b + share * (x - b)": d * average(net, y, b, x, *middle),
            "the first image's baseline was used for all":
                (x - b[:1]) * average(net, y, b[:1].expand_as(x), x - b[:1], *middle),
            "the scores were averaged over the batch, which divides by B: sum them": right / len(x),
            "the channels were added up: (B, 3, H, W) is asked for": right.sum(1),
            "the channels were added up: (B, 3, H, W) is asked for, without keepdim": right.sum(1, keepdim=True),
            "of the channels the largest was taken, as for saliency: (B, 3, H, W) is asked for": right.abs().amax(1),
        }  # fmt: skip
        if n > 1:
            inner = (1 / 2, (2 * n - 1) / (6 * (n - 1)))
            found[f"the points are linspace(0, 1, steps), with both ends: {_MIDPOINTS}"] = at(*inner)
        return found

    def several(f: Callable[..., Any], steps: int, n: int = 3) -> None:
        net, x, y, b = problem(n)
        judge(run(f, x, y, b, steps), answer(net, x, y, b, steps), lambda: known(net, x, y, b, steps))

    def one_step(f: Callable[..., Any]) -> None:
        net, x, y, b = problem()
        halfway, d = (x + b) / 2, x - b
        slope = rise(lambda z: pick(net.scores(z), y), halfway)

        def all_known() -> dict[str, Tensor]:
            found = {cause: d * rise(score, halfway) for cause, score in wrong_scores(net, y).items()}
            found["the slopes' absolute values were averaged: attributions have a sign, or they do not add up"] = (
                d * slope.abs()
            )
            return {**found, **known(net, x, y, b, 1)}

        judge(run(f, x, y, b, 1), d * slope, all_known)

    def complete(f: Callable[..., Any]) -> None:
        net, x, y, b = problem()
        out = run(f, x, y, b, 200)
        if getattr(out, "shape", None) != x.shape:
            raise Mistake(f"shape {tuple(x.shape)}", f"{tuple(getattr(out, 'shape', ())) or type(out).__name__}")
        total = out.detach().sum((1, 2, 3)) if isinstance(out, Tensor) else torch.as_tensor(out.sum((1, 2, 3)))
        want = pick(net.scores(x), y) - pick(net.scores(b), y)
        if not torch.allclose(total.double(), want, rtol=1e-3, atol=1e-3):
            said = [", ".join(f"{v:.4g}" for v in values.tolist()) for values in (want, total)]
            raise Mistake(f"sums of {said[0]}, which are s(x) - s(b)", said[1],
                          "completeness: slopes of the class's own logit on the straight way from b to x, times x - b, add up "
                          "to what the logit gains")  # fmt: skip

    def black(f: Callable[..., Any]) -> None:
        net, x, y, _ = problem()
        b = torch.zeros_like(x)
        judge(run(f, x, y, b, 4), answer(net, x, y, b, 4), lambda: known(net, x, y, b, 4))

    def stays(f: Callable[..., Any]) -> None:
        takes(f, "net", "x", "y", "baseline", "steps")
        _, x, y, b = problem()
        leaves_all(f, lambda: {"x": x.clone(), "y": y.clone(), "baseline": b.clone()}, 3, graph=_GRAPH)

    with undisturbed():
        run_cases(
            "integrated_gradients",
            function,
            [
                Case("three images, 5 steps", lambda f: several(f, 5)),
                Case("2 steps", lambda f: several(f, 2)),
                Case("1 step: the slope halfway, times x - b", one_step),
                Case("a baseline that is black", black),
                Case("a batch of one image, 4 steps", lambda f: several(f, 4, 1)),
                Case("200 steps add up to the gain of the logit", complete),
                Case("x, y, the baseline and the gradients of the net afterwards, and no graph", stays),
            ],
            reread="section 2, on integrated gradients, and the docstring: which points, which factor, and what they add up to",
        )
