"""Checks of lab 04: what a loss really asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes


def beta_eff(function: Callable[..., Any]) -> None:
    """Check `beta_eff(n_pixels, batch_size)`, the weight that the report's loss really puts on the KL."""

    def worked(f: Callable[..., Any]) -> None:
        takes(f, "n_pixels", "batch_size")
        compare(
            f(784, 128),
            6.125,
            known={
                "this is its inverse": 128 / 784,
                "// rounds down: divide with /": 6.0,
                "there is no factor 2 here: the loss is SSE + beta KL, without a half": 12.25,
                "only the pixels were counted: the KL is divided by the batch size a second time": 784.0,
                "only the batch was counted: the squared error is an average over pixels": 1 / 128,
                "both divide: multiply the whole loss by the pixels and see what is left before the KL": 1 / (784 * 128),
                "both multiply: dividing by the batch size makes the KL count less": 784.0 * 128,
            },
        )

    def by_gradient(f: Callable[..., Any]) -> None:
        """Gradients of the report's loss are parallel to those of SSE + beta_eff KL."""
        d, b = 48, 6
        x_hat, kl = draw(b, d, seed=1).requires_grad_(), draw(b, seed=2).exp().requires_grad_()
        ((x_hat - 0.3).square().mean() + kl.mean() / b).backward()
        assert x_hat.grad is not None and kl.grad is not None
        ratio = kl.grad / x_hat.grad[0, 0] * 2 * (x_hat - 0.3)[0, 0].detach()
        compare(f(d, b), float(ratio.mean()), rtol=1e-6)

    run_cases(
        "beta_eff",
        function,
        [Case("28 x 28 pixels, batches of 128", worked), Case("by autograd: 48 pixels, batches of 6", by_gradient)],
        reread="multiply the report's loss by the number of pixels, so that its first term becomes the summed squared error",
    )


def free_bits(function: Callable[..., Any]) -> None:
    """Check `free_bits(kl, floor)`: KL (..., B, K) -> penalised KL (...) in nats."""

    def worked(f: Callable[..., Any]) -> None:
        takes(f, "kl", "floor")
        kl = torch.tensor([[0.0, 0.4, 1.0], [0.0, 0.0, 3.0]], dtype=F64)
        compare(
            f(kl, 0.1),
            2.3,
            known={
                "the floor was applied to single images: average over the batch first": 2.35,
                "the floor was applied to the sum over units: it holds for each unit": 2.2,
                "min in place of max": 0.2,
                "the floor was added: it only counts below": 2.5,
                "the units were averaged: sum them": 2.3 / 3,
                "the floor was subtracted": 2.0,
            },
        )

    def no_gradient_below(f: Callable[..., Any]) -> None:
        kl = torch.tensor([[0.02, 2.0], [0.04, 1.0]], dtype=F64, requires_grad=True)
        out = f(kl, 0.1)
        out.backward()
        if kl.grad is None or float(kl.grad[:, 0].abs().sum()) > 0:
            raise Mistake(
                "no gradient for a unit below the floor", "a gradient", "the floor must replace the KL, not add to it"
            )
        compare(kl.grad[:, 1], [0.5, 0.5])

    def zero_floor(f: Callable[..., Any]) -> None:
        kl = draw(8, 4).square()
        compare(f(kl, 0.0), kl.sum(1).mean())

    def stacked(f: Callable[..., Any]) -> None:
        kl = draw(2, 3, 8, 4).square()
        floor = torch.tensor([0.0, 5.0], dtype=F64)[:, None, None]
        got = f(kl, floor)
        if tuple(torch.as_tensor(got).shape) != (2, 3):
            raise Mistake("shape (2, 3) for stacked nets", f"shape {tuple(torch.as_tensor(got).shape)}",
                          "average over dimension -2 (the batch) and sum over -1 (the units)")  # fmt: skip
        compare(got[1], [20.0] * 3)

    run_cases(
        "free_bits",
        function,
        [
            Case("two images, three units, a floor of 0.1", worked),
            Case("a unit below its floor is left in peace", no_gradient_below),
            Case("a floor of 0 is the plain KL", zero_floor),
            Case("stacked nets, each with a floor of its own", stacked),
        ],
        reread="the order: average over the batch, then the larger of KL and floor for each unit, then the sum over units",
    )
