"""Checks of lab 07: a step of class visualisation, with either penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import Case, draw, run_cases, takes
from labkit.check.nets import undisturbed
from labkit.check.saliency.left import leaves_all
from labkit.check.saliency.small import SHAPE, Cubic, apply, finite, judge, lengths, pick, rise, unit, wrong_scores, wrong_steps

_GRAPH = "the step is made of a tensor that requires gradients: .detach() it, or make the step without a graph"
_ZERO = "where u = 0, u / |u| is 0 / 0: the gradient of the penalty counts as 0 there"


def visualisation_step(function: Callable[..., Any]) -> None:
    """Check `visualisation_step(net, u, target, rate, lam, squared)`: -> (B, 3, H, W), by central differences of J."""

    def problem(n: int = 3) -> tuple[Tensor, Tensor]:
        u = 0.3 * draw(n, *SHAPE, seed=61)
        return u * torch.linspace(1, 1.6, n, dtype=u.dtype).view(-1, 1, 1, 1), torch.tensor([3, 1, 0][:n])

    def run(f: Callable[..., Any], u: Tensor, target: Tensor, rate: float, lam: float, squared: bool, **flat: int) -> Any:
        takes(f, "net", "u", "target", "rate", "lam", "squared")
        return apply(f, Cubic(**flat), u.clone(), target.clone(), rate, lam, squared)

    def climb(score: Callable[[Tensor], Tensor], u: Tensor, lam: float, squared: bool) -> Tensor:
        """The slope of J, with the score given."""
        power = 2 if squared else 1
        return rise(lambda z: score(z) - lam * z.square().sum((1, 2, 3)).sqrt() ** power, u)

    def known(u: Tensor, target: Tensor, rate: float, lam: float, squared: bool) -> dict[str, Tensor]:
        net = Cubic()

        def logit(z: Tensor) -> Tensor:
            return pick(net.scores(z), target)

        slope, right = rise(logit, u), climb(logit, u, lam, squared)
        pull = slope - right  # lam times the slope of the penalty
        length, all_of_it = lengths(u), u.square().sum().sqrt()
        first = {
            "the penalty is |u|: with `squared` its gradient is 2 u": slope - lam * unit(u),
            "the 2 is missing: the gradient of |u|^2 is 2 u": slope - lam * u,
            "divided by the squared length: the gradient of |u|^2 is 2 u": slope - 2 * lam * u / length.square(),
            "the gradient of |u|^2 was multiplied by |u|": slope - 2 * lam * u * length,
        } if squared else {
            "the penalty is |u|^2: without `squared` its gradient is u / |u|, of length 1": slope - 2 * lam * u,
            "this is the gradient of half of |u|^2: that of |u| is u / |u|, of length 1": slope - lam * u,
            "divided by the squared length: the gradient of |u| is u / |u|, of length 1": slope - lam * u / length.square(),
            "the gradient of |u| has length 1, not 2": slope - 2 * lam * unit(u),
        }  # fmt: skip
        wrong = {
            **first,
            "the penalty is missing": slope,
            "the penalty was added: it is subtracted": slope + pull,
            "lam is missing": slope - pull / lam,
            "the score is missing: this is the penalty alone": -pull,
            "the penalty itself was subtracted from each value: its gradient is meant":
                slope - lam * (length.square() if squared else length),
            "the penalty is the sum of |values|: it is the Euclidean norm": slope - lam * u.sign(),
            "|u| was taken over the whole batch: each image has its own": slope - lam * u / all_of_it,
            "|u| was taken over the whole batch, and squared": slope - 2 * lam * u * all_of_it,
            "|u| was taken of each channel: it is of all values of an image":
                slope - lam * u / u.square().sum((2, 3), keepdim=True).sqrt(),
            "the penalty was averaged over the batch: each image has its own": slope - pull / len(u),
            "the penalty was averaged over the values: it is the sum of squares, or its root": slope - pull / u[0].numel(),
            "the slope of the score was divided by its length before the penalty came in": unit(slope) - pull,
        }  # fmt: skip
        steps = {**wrong_steps(u, right, rate), **{cause: u + rate * unit(g) for cause, g in wrong.items()},
                 "only the slope of the score was divided by its length: g is all of dJ/du": u + rate * (unit(slope) - pull),
                 "g was divided by the length of the score's slope: |g| is that of all of dJ/du":
                     u + rate * right / lengths(slope),
                 "the penalty came in after g / |g|": u + rate * unit(slope) - pull,
                 "u was scaled down as weight decay does, after the step": (u + rate * unit(slope)) * (1 - lam)}  # fmt: skip
        for cause, score in wrong_scores(net, target).items():
            steps[cause] = u + rate * unit(climb(score, u, lam, squared))
            steps[f"{cause}; and the penalty is missing"] = u + rate * unit(rise(score, u))
        return {**steps, "it was clipped to 0..1: u is in the units of the net, without clipping":
                (u + rate * unit(right)).clamp(0, 1)}  # fmt: skip

    def penalised(f: Callable[..., Any], n: int, rate: float, lam: float, squared: bool) -> None:
        (u, target), net = problem(n), Cubic()
        g = climb(lambda z: pick(net.scores(z), target), u, lam, squared)
        out = run(f, u, target, rate, lam, squared)
        judge(out, u + rate * unit(g), lambda: known(u, target, rate, lam, squared))

    def at_zero(f: Callable[..., Any]) -> None:
        for squared in (False, True):
            (u, target), net = problem(), Cubic()
            u[1] = 0
            g = climb(lambda z: pick(net.scores(z), target), u, 0.4, squared)  # noqa: B023 - called at once
            out = run(f, u, target, 0.5, 0.4, squared)
            finite(out, _ZERO)
            alone = rise(lambda z: pick(net.scores(z), target), u)  # noqa: B023
            judge(out, u + 0.5 * unit(g), lambda: {"the penalty is missing": u + 0.5 * unit(alone)})  # noqa: B023

    def flat(f: Callable[..., Any]) -> None:
        for squared, lam in ((False, 0.0), (True, 0.0), (False, 0.3), (True, 0.3)):
            (u, _), target, net = problem(), torch.tensor([3, 2, 0]), Cubic(flat=2)
            if lam:
                u[1] = 0
            g = climb(lambda z: pick(net.scores(z), target), u, lam, squared)  # noqa: B023 - called at once
            out = run(f, u, target, 0.5, lam, squared, flat=2)
            finite(out, "where g = 0, g / |g| is 0 / 0: u stays there")
            judge(out, u + 0.5 * unit(g), lambda: {})

    def one(f: Callable[..., Any]) -> None:
        for squared in (True, False):
            penalised(f, 1, 2.5, 0.3, squared)

    def stays(f: Callable[..., Any]) -> None:
        takes(f, "net", "u", "target", "rate", "lam", "squared")
        u, target = problem()
        for squared in (True, False):
            leaves_all(f, lambda: {"u": u.clone(), "target": target.clone()}, 0.3, 0.1, squared, graph=_GRAPH, detach="u")

    with undisturbed():
        run_cases(
            "visualisation_step",
            function,
            [
                Case("three images, penalty |u|^2", lambda f: penalised(f, 3, 0.4, 0.15, True)),
                Case("three images, penalty |u|", lambda f: penalised(f, 3, 0.4, 0.8, False)),
                Case("a batch of one image, a longer step, both penalties", one),
                Case("no penalty at all, lam = 0", lambda f: penalised(f, 3, 0.4, 0.0, False)),
                Case("an image u = 0, between two others", at_zero),
                Case("an image whose g is 0, between two others", flat),
                Case("u, target and the gradients of the net afterwards, and no graph", stays),
            ],
            reread="section 6, on class visualisation: the gradient of each penalty, and of what |g| is the length",
        )  # fmt: skip
