"""Checks of lab 08: the two losses, and the strength that grows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes

_STACK = "count dimensions from the end: images are dimension -2 of the class logits and -1 of the domain logits"


def dann_loss(function: Callable[..., Any]) -> None:
    """Check `dann_loss(class_logits, labels, domain_logits, n_source)`: -> class loss (...), domain loss (...)."""

    def data(*lead: int, seed: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """Three source images and five of the target."""
        rng = torch.Generator().manual_seed(seed)
        labels = torch.randint(10, (*lead, 3), generator=rng)
        return 2 * draw(*lead, 8, 10, seed=seed), labels, 2 * draw(*lead, 8, seed=seed + 1), 3

    def pair(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Any]:
        takes(f, "class_logits", "labels", "domain_logits", "n_source")
        out = f(*args)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair: the class loss and the domain loss", type(out).__name__,
                          "the function has no return statement" if out is None else
                          "return both losses, not their sum: the training loop adds them")  # fmt: skip
        return out[0], out[1]

    def surprise(rows: Tensor, labels: Tensor) -> Tensor:
        """-ln of the probability of each image's class, (..., n)."""
        return rows.logsumexp(-1) - (rows * (labels[..., None] == torch.arange(10))).sum(-1)

    def told_apart(z: Tensor, first: int) -> Tensor:
        """Loss of each image, if the first ones are source and the others target, (..., B)."""
        return softplus(torch.where(torch.arange(z.shape[-1]) < first, z, -z))

    def class_loss(f: Callable[..., Any]) -> None:
        args = data(seed=30)
        rows, labels = args[0], args[1]
        each = surprise(rows[:3], labels)
        compare(pair(f, args)[0], each.mean(), known={
            "the source images were summed: average over them": each.sum(),
            "divided by all 8 images: only the 3 source images have labels, so average over these": each.sum() / 8,
            "these are the last rows of the batch: the source images come first": surprise(rows[-3:], labels).mean(),
            "the softmax was applied twice: cross-entropy takes logits": surprise(rows[:3].softmax(-1), labels).mean(),
            "the sign is turned: a loss is minus the log-likelihood": -each.mean(),
            "this is the logarithm to base 2: use nats": each.mean() / math.log(2),
            "the images were not averaged": each,
            "the pair is swapped: the class loss comes first": told_apart(args[2], 3).mean()})  # fmt: skip

    def domain_loss(f: Callable[..., Any]) -> None:
        args = data(seed=40)
        z = args[2]
        each = told_apart(z, 3)
        source, target = each[:3].mean(), each[3:].mean()
        compare(pair(f, args)[1], each.mean(), known={
            "the two domains are swapped: source is 0, target is 1": told_apart(-z, 3).mean(),
            "only the source images count here: the domain head judges the whole batch": source,
            "only the target images count here: the domain head judges the whole batch": target,
            "this is the average of the two domains' averages: each image counts alike":
                (source + target) / 2,
            "the two domains' averages were added: average over all images": source + target,
            "the images were summed: average over all of them": each.sum(),
            "a sigmoid was applied before a loss that takes logits": told_apart(z.sigmoid(), 3).mean(),
            "the loss was negated: turning it round is the reversal's work, and twice would cancel": -each.mean(),
            "this is the logarithm to base 2: use nats": each.mean() / math.log(2),
            "the batch was split in half: the first n_source images are source": told_apart(z, 4).mean(),
            "the first images were taken for target: the source comes first": softplus(
                torch.where(torch.arange(8) < 5, -z, z)).mean(),
            "the images were not averaged": each})  # fmt: skip

    def stacked(f: Callable[..., Any]) -> None:
        args = data(2, 3, seed=50)
        wants = surprise(args[0][:, :, :3], args[1]).mean(-1), told_apart(args[2], 3).mean(-1)
        try:
            got = pair(f, args)
        except (RuntimeError, IndexError, ValueError) as error:
            raise Mistake("losses (2, 3) for stacked nets", f"{type(error).__name__}: {error}", _STACK) from None
        for name, have, want in zip(("class", "domain"), got, wants, strict=True):
            shape = tuple(torch.as_tensor(have).shape)
            if shape != (2, 3):
                cause = "the nets of a stack were averaged: keep one loss a net; " if shape == () else ""
                raise Mistake(f"{name} loss of shape (2, 3) for stacked nets", f"shape {shape}", cause + _STACK)
            compare(have, want, known={f"{_STACK}; each net has images and labels of its own": want.mean().expand(2, 3)})

    def gradients(f: Callable[..., Any]) -> None:
        rows, labels, z, n = data(seed=60)
        rows.requires_grad_(), z.requires_grad_()
        for name, loss, logits in zip(("class", "domain"), pair(f, (rows, labels, z, n)), (rows, z), strict=True):
            if not isinstance(loss, Tensor) or not loss.requires_grad:
                raise Mistake(f"a {name} loss that gradients flow through", "one without a gradient",
                              "an .item(), float(), detach() or no_grad inside")  # fmt: skip
            loss.sum().backward()
            if logits.grad is None:
                raise Mistake(f"a gradient of the {name} loss at the {name} logits", "none", "the pair is swapped, or cut off")
        assert rows.grad is not None and z.grad is not None
        truth = (torch.arange(8) >= 3).double()
        compare(rows.grad[3:], torch.zeros(5, 10))  # target images have no labels
        compare(z.grad, (z.detach().sigmoid() - truth) / 8)

    def certain(f: Callable[..., Any]) -> None:
        for size in (100.0, 1000.0):
            rows, labels = torch.zeros(8, 10, dtype=F64), torch.tensor([0, 1, 2])
            rows[:, 0] = size  # right for the first image, wrong for the two others
            z = size * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0], dtype=F64)
            for have, share in zip(pair(f, (rows, labels, z, 3)), (2 / 3, 4 / 8), strict=True):
                have = torch.as_tensor(have)
                lost = not math.isfinite(float(have.sum())) or float(have.sum()) < share * size / 2
                if have.shape == () and lost:
                    raise Mistake(f"{share * size:.6g} at logits of {size:g}", f"{float(have):.6g}",
                                  "a probability that is 0 or 1 to machine precision: take a loss that works on logits, "
                                  "rather than softmax or sigmoid and then the logarithm")  # fmt: skip
                compare(have, share * size)

    run_cases(
        "dann_loss",
        function,
        [
            Case("the class loss, 3 source and 5 target images", class_loss),
            Case("the domain loss, 3 source and 5 target images", domain_loss),
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
            Case("gradients reach the logits, and no class gradient the target images", gradients),
            Case("very certain heads: logits of 100 and 1000", certain),
        ],
        reread="the docstring: over which images each loss is averaged, and which domain is 1",
    )


def ramp(function: Callable[..., Any]) -> None:
    """Check `ramp(progress, gamma=10.0)`: the share of training that is done -> the strength of the reversal."""

    def early(f: Callable[..., Any]) -> None:
        takes(f, "progress", "gamma")
        compare(f(0.05), math.tanh(0.25), known={
            "the - 1 is missing: the ramp starts at 0": 1 + math.tanh(0.25),
            "brackets are missing around the denominator": 1 + math.exp(-0.5),
            "this is the plain sigmoid, which starts at 1/2: stretch it to 0..1": 1 / (1 + math.exp(-0.5)),
            "the exponent has the wrong sign: the ramp grows": -math.tanh(0.25),
            "the factor 2 is missing": 1 / (1 + math.exp(-0.5)) - 1,
            "twice as steep as asked: compare the exponents": math.tanh(0.5),
            "this is 1 already after a twentieth of the training: progress is a share, 0..1, and no percentage": 1.0,
            "progress was divided by 100: it is a share, 0..1, and no percentage": math.tanh(0.0025),
            "gamma was not used": math.tanh(0.025),
            "gamma times progress, without the curve": 0.5,
            "progress itself: a straight line, without the curve": 0.05})  # fmt: skip

    def ends(f: Callable[..., Any]) -> None:
        compare(f(0.0), 0.0, known={
            "no ramp: the strength is 1 from the first step": 1.0,
            "the plain sigmoid starts at 1/2: stretch it to 0..1": 0.5,
            "the factor 2 is missing": -0.5})  # fmt: skip
        compare(f(0.5), math.tanh(2.5))
        compare(f(1.0), math.tanh(5.0), known={"it is not clipped: after all steps it is just below 1": 1.0})

    def other_gammas(f: Callable[..., Any]) -> None:
        compare(f(0.5, 2.0), math.tanh(0.5), known={"gamma is 10 whatever is given: use the parameter": math.tanh(2.5)})
        compare(f(0.7, 0.0), 0.0)

    run_cases(
        "ramp",
        function,
        [
            Case("after a twentieth of the training, gamma = 10", early),
            Case("at the start, half way and at the end", ends),
            Case("gamma = 2 half way, and gamma = 0", other_gammas),
        ],
        reread="the equation above the exercise: 0 at the start, nearly 1 half way",
    )
