"""Checks of lab 03: what the generator minimises, and how a loss on logits is compared with torch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes

STACK = "average over the images alone, which are the last dimension: .mean(-1)"
_LOGS = (
    "a probability that is 0 or 1 to machine precision, or an eps or a clamp that takes the gradient away: "
    "work on the logits, rather than with a sigmoid and then a logarithm"
)
_CUT = "an .item(), float(), detach() or no_grad inside"


def bce(logits: Tensor, target: float) -> Tensor:
    """The cross-entropy of each image with a target, as torch has it."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction="none")


def slopes(loss: Any, name: str, *logits: Tensor) -> tuple[Tensor, ...]:
    """Gradients of a student's loss at the logits.

    Raises:
        Mistake: the loss has no gradient, or not at all of the logits.
    """
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise Mistake(f"a {name} loss that gradients flow through", "one without a gradient", _CUT)
    found = torch.autograd.grad(loss.sum(), logits, retain_graph=True, allow_unused=True)
    if any(g is None for g in found):
        raise Mistake(f"a gradient of the {name} loss at all logits", "none", _CUT)
    return found


def same_at_extremes(what: str, got: Any, expected: Any) -> None:
    """Compare a result at huge logits; the function is right at small ones, so only the arithmetic can be wrong.

    Raises:
        Mistake: they differ.
    """
    try:
        compare(got, expected, rtol=1e-5, atol=1e-5)
    except Mistake as mistake:
        raise Mistake(f"{what} {mistake.expected}", mistake.got, _LOGS) from None


def one_a_net(loss: Any, name: str) -> None:
    """See that two arms of three seeds give a loss each.

    Raises:
        Mistake: the shape of the loss is not (2, 3).
    """
    shape = tuple(torch.as_tensor(loss).shape)
    if shape != (2, 3):
        cause = "the nets of a stack were averaged: keep one loss a net; " if shape == () else ""
        raise Mistake(f"{name} loss of shape (2, 3) for stacked nets", f"shape {shape}", cause + STACK)


def generator_losses(function: Callable[..., Any]) -> None:
    """Check `generator_losses(fake_logits)`: logits (..., B) -> saturating (...), non-saturating (...), in nats, to minimise.

    Source: Goodfellow et al. 2014, section 3, arXiv:1406.2661.
    """

    def pair(f: Callable[..., Any], a: Tensor) -> tuple[Any, Any]:
        takes(f, "fake_logits")
        out = f(a)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair: the saturating and the non-saturating loss", type(out).__name__,
                          "the function has no return statement" if out is None else "return both losses")  # fmt: skip
        return out[0], out[1]

    def slips(each: Tensor, p: Tensor, raw: Tensor, again: Tensor) -> dict[str, Tensor]:
        """What goes wrong in either loss; p is the probability that each image's logarithm is taken of, up to the sign."""
        return {
            "the images were summed: average over them": each.sum(),
            "the images were not averaged": each,
            "this is the logarithm to base 2: use nats": each.mean() / math.log(2),
            "the logarithm of the mean probability: average the logarithms": each.sign()[0] * p.mean().log().abs(),
            "the logarithm is missing": p.mean(),
            "the logarithm is missing, and the sign is turned": -p.mean(),
            "the logits were taken for probabilities: D = sigmoid(logits)": each.sign()[0] * raw.log().mean().abs(),
            "the sigmoid was applied twice": again.mean(),
        }

    small = torch.tensor([0.15, 0.8, 0.35, 0.65], dtype=F64)  # also valid as probabilities

    def saturating(f: Callable[..., Any]) -> None:
        each, other, p = -bce(small, 0), bce(small, 1), small.sigmoid()
        compare(pair(f, small)[0], each.mean(), known={
            "the pair is swapped: the saturating loss comes first": other.mean(),
            "the sign is turned: G is to minimise ln(1 - D), which is below 0": -each.mean(),
            "this is ln D: the saturating loss is about 1 - D": -other.mean(),
            "the target was smoothed: smoothing belongs to D and its real images": -bce(small, 0.1).mean(),
            **slips(each, 1 - p, 1 - small, -bce(p, 0))})  # fmt: skip

    def non_saturating(f: Callable[..., Any]) -> None:
        each, other, p = bce(small, 1), -bce(small, 0), small.sigmoid()
        smooth = {f"the target was smoothed to {y}: smoothing belongs to D and its real images, for G they are 1":
                  bce(small, y).mean() for y in (0.9, 0.95, 0.8)}  # fmt: skip
        compare(pair(f, small)[1], each.mean(), known={
            "the pair is swapped: the non-saturating loss comes second": other.mean(),
            "the sign is turned: G is to maximise ln D, so the loss to minimise is -ln D": -each.mean(),
            "this is -ln(1 - D), the loss of D: G wants its images to be called real": -other.mean(),
            **smooth, **slips(each, p, small, bce(p, 1))})  # fmt: skip

    def stacked(f: Callable[..., Any]) -> None:
        a = 2 * draw(2, 3, 5, seed=70)
        wants = -bce(a, 0).mean(-1), bce(a, 1).mean(-1)
        for name, have, want in zip(("saturating", "non-saturating"), pair(f, a), wants, strict=True):
            one_a_net(have, name)
            compare(have, want, known={f"each net has images of its own: {STACK}": want.mean().expand(2, 3)})

    def truth(a: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Both losses and their gradients at the logits."""
        a = a.detach().double().requires_grad_()
        losses = -bce(a, 0).mean(-1), bce(a, 1).mean(-1)
        return [(loss.detach(), torch.autograd.grad(loss.sum(), a)[0]) for loss in losses]

    def gradients(f: Callable[..., Any]) -> None:
        a = draw(2, 5, seed=71).requires_grad_()
        (sat, want_sat), (ns, want_ns) = truth(a)
        for name, loss, (_, want) in zip(("saturating", "non-saturating"), pair(f, a), ((sat, want_sat), (ns, want_ns)),
                                         strict=True):  # fmt: skip
            compare(slopes(loss, name, a)[0], want, known={
                "the sign is turned": -want, "the pair is swapped": want_ns if name == "saturating" else want_sat,
                f"the gradient is too small: {STACK}": want / 2, f"the gradient is too large: {STACK}": 5 * want})  # fmt: skip

    def certain(f: Callable[..., Any]) -> None:
        for have, (want, _) in zip(pair(f, small), truth(small), strict=True):
            compare(have, want)
        for dtype in (torch.float32, F64):
            for size in (26.0, -32.0, 100.0, -100.0):
                a = torch.tensor([size, 0.5], dtype=dtype, requires_grad=True)
                for name, loss, (want, slope) in zip(("saturating", "non-saturating"), pair(f, a), truth(a), strict=True):
                    where = f"at logits {size:g} and 0.5"
                    same_at_extremes(f"a {name} loss {where} of", loss, want)
                    same_at_extremes(f"a gradient of the {name} loss {where} of", slopes(loss, name, a)[0], slope)

    run_cases(
        "generator_losses",
        function,
        [
            Case("the saturating loss, four images", saturating),
            Case("the non-saturating loss, four images", non_saturating),
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
            Case("gradients at the logits, against autograd", gradients),
            Case("a very certain D: logits of 26, -32 and +-100, values and gradients", certain),
        ],
        reread="section 1: both losses are to be minimised, and D = sigmoid(a) is the probability of 'real'",
    )
