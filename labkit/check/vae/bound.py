"""Checks of lab 04: sampling and the bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.distributions import Normal, kl_divergence

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes, unchanged

_STACK = "sum over the last dimensions, counted from the end: .flatten(-3).sum(-1) for pixels, .sum(-1) for units"


def reparameterise(function: Callable[..., Any]) -> None:
    """Check `reparameterise(mu, logvar, eps)`: shapes (..., K) -> (..., K)."""

    def worked_example(f: Callable[..., Any]) -> None:
        takes(f, "mu", "logvar", "eps")
        one = torch.ones(1, dtype=F64)
        compare(
            f(3 * one, math.log(16.0) * one, -one),
            [-1.0],
            known={
                "exp(logvar) / 2 halves the variance; the half belongs inside, exp(logvar / 2)": [-5.0],
                "the root was taken of logvar: it is exp(logvar) that has to be rooted": [3 - math.sqrt(math.log(16.0))],
                "exp(logvar) is the variance; a sample is spread by its square root, the standard deviation": [-13.0],
                "logvar itself was used as the spread: it is the logarithm of the variance": [3 - math.log(16.0)],
                "the noise was added without scaling it": [2.0],
                "the noise was not used": [3.0],
                "the noise was subtracted": [7.0],
                "exp(2 * logvar) was used: the half belongs inside, exp(logvar / 2)": [3 - 256.0],
            },
        )

    def follows_the_noise(f: Callable[..., Any]) -> None:
        mu, logvar = draw(4, 3, seed=1), draw(4, 3, seed=2)

        def sample(seed: int) -> torch.Tensor:
            return torch.as_tensor(f(mu.clone(), logvar.clone(), draw(4, 3, seed=seed))).nan_to_num()

        first, second = sample(3), sample(4)
        if torch.equal(first, second):
            raise Mistake("another z for another eps", "the same z", "eps is not used")
        if not torch.equal(first, sample(3)):
            raise Mistake("the same z for the same eps", "another z", "it draws noise of its own: use the eps that it is given")

    def right_moments(f: Callable[..., Any]) -> None:
        eps = draw(200_000, 2, seed=5)
        mu, logvar = torch.tensor([0.5, -2.0], dtype=F64), torch.tensor([-1.0, 0.8], dtype=F64)
        z = f(mu.expand_as(eps), logvar.expand_as(eps), eps)
        compare(z.mean(0), mu, atol=0.02)
        compare(z.var(0), logvar.exp(), rtol=0.02)

    def gradient_flows(f: Callable[..., Any]) -> None:
        mu, logvar = torch.zeros(3, dtype=F64, requires_grad=True), torch.zeros(3, dtype=F64, requires_grad=True)
        z = f(mu, logvar, torch.full((3,), 2.0, dtype=F64))
        if not z.requires_grad:
            raise Mistake("a z that gradients flow through", "a z without a gradient", "a detach(), .data or no_grad inside")
        z.sum().backward()
        compare(mu.grad, torch.ones(3))
        compare(logvar.grad, torch.ones(3))  # dz/dlogvar = eps * std / 2

    def leaves_inputs(f: Callable[..., Any]) -> None:
        unchanged(f, draw(2, 3), draw(2, 3, seed=1), draw(2, 3, seed=2))

    run_cases(
        "reparameterise",
        function,
        [
            Case("mu = 3, variance 16, eps = -1", worked_example),
            Case("the noise is the one that is given", follows_the_noise),
            Case("mean and variance of 200,000 draws", right_moments),
            Case("gradients reach mu and logvar", gradient_flows),
            Case("inputs stay as they are", leaves_inputs),
        ],
        reread="the equation z = mu + sigma * eps above the exercise; logvar = ln sigma^2",
    )


def neg_elbo(function: Callable[..., Any]) -> None:
    """Check `neg_elbo(x, x_hat, mu, logvar, sigma2)`: -> (B,) negative ELBO in nats and (B, K) KL of each unit."""

    def case(b: int, sigma2: float, seed: int) -> tuple[torch.Tensor, ...]:
        x, x_hat = draw(b, 1, 4, 4, seed=seed).sigmoid(), draw(b, 1, 4, 4, seed=seed + 1).sigmoid()
        mu, logvar = draw(b, 5, seed=seed + 2), draw(b, 5, seed=seed + 3)
        return x, x_hat, mu, logvar, torch.tensor(sigma2, dtype=F64)

    def reference(x: Any, x_hat: Any, mu: Any, logvar: Any, sigma2: Any) -> tuple[torch.Tensor, torch.Tensor]:
        kl = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu)))
        return -Normal(x_hat, sigma2.sqrt()).log_prob(x).flatten(1).sum(1), kl

    def pair(f: Callable[..., Any], args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        takes(f, "x", "x_hat", "mu", "logvar", "sigma2")
        out = f(*args)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair: the negative ELBO (B,) and the KL of each unit (B, K)", type(out).__name__)
        return out[0], out[1]

    def kl_by_unit(f: Callable[..., Any]) -> None:
        args = case(6, 0.5, 10)
        _, kl = reference(*args)
        mu, logvar = args[2], args[3]
        compare(
            pair(f, args)[1],
            kl,
            known={
                "the factor 1/2 is missing": 2 * kl,
                "the sign is turned: the KL divergence is never negative": -kl,
                "the KL was summed over the units: keep one number a unit": kl.sum(1),
                "the KL was averaged over the batch: keep one row an image": kl.mean(0),
                "logvar was taken for the standard deviation's logarithm (exp(2 * logvar))": kl_divergence(
                    Normal(mu, logvar.exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu))
                ),
                "the divergence was taken the wrong way round, KL(p || q)": kl_divergence(
                    Normal(torch.zeros_like(mu), torch.ones_like(mu)), Normal(mu, (logvar / 2).exp())
                ),
            },
        )

    def bound(f: Callable[..., Any]) -> None:
        for sigma2 in (0.3, 0.05):
            args = case(6, sigma2, 20)
            rec, kl = reference(*args)
            sse = (args[0] - args[1]).square().flatten(1).sum(1)
            log_norm = 8 * math.log(2 * math.pi * sigma2)
            total = rec + kl.sum(1)
            compare(
                pair(f, args)[0],
                total,
                known={
                    "the normalising constant D/2 ln(2 pi sigma^2) is missing: without it bounds of two sigma can't be "
                    "compared": total - log_norm,
                    "the half is missing in D/2 ln(2 pi sigma^2)": total + log_norm,
                    "D is the number of pixels of one image (16 here), not of the batch": total + 5 * log_norm,
                    "D is the number of pixels (16 here), not of latent units": total - log_norm * 11 / 16,
                    "the constant holds for each of the D pixels: D/2 ln(2 pi sigma^2)": total - log_norm * 15 / 16,
                    "sigma2 is the variance already: do not square it": sse / (2 * sigma2**2) + log_norm + kl.sum(1),
                    "the squared error is not divided by 2 sigma^2": sse + log_norm + kl.sum(1),
                    "the squared error is divided by sigma^2, the 2 is missing": sse / sigma2 + log_norm + kl.sum(1),
                    "the squared error was averaged over the pixels: a likelihood is a product over pixels, so "
                    "its logarithm is a sum": sse / 16 / (2 * sigma2) + log_norm + kl.sum(1),
                    "the KL was averaged over the units: it is a sum": rec + kl.mean(1),
                    "this is the ELBO itself, not its negative": -total,
                    "the KL was subtracted: -ELBO = -log p(x|z) + KL": rec - kl.sum(1),
                    "the KL is missing": rec,
                    "the batch was averaged: keep one number an image": total.mean(),
                    "the batch was summed: keep one number an image": total.sum(),
                },
            )

    def stacked(f: Callable[..., Any]) -> None:
        """Leading dimensions (arms, seeds) come through: K is the last dimension, the pixels are the last three."""
        args = case(6, 0.5, 30)
        rec, kl = reference(*args)
        doubled = tuple(a.expand(2, 3, *a.shape) for a in args[:4])
        try:
            got = pair(f, (*doubled, torch.full((2, 1, 1), 0.5, dtype=F64)))
        except (RuntimeError, IndexError) as error:
            raise Mistake("shapes (2, 3, B) for stacked nets", f"{type(error).__name__}: {error}", _STACK) from None
        if tuple(got[0].shape) != (2, 3, 6):
            raise Mistake("shape (2, 3, 6) for stacked nets", f"shape {tuple(got[0].shape)}", _STACK)
        compare(got[0], (rec + kl.sum(1)).expand(2, 3, 6))

    run_cases(
        "neg_elbo",
        function,
        [
            Case("KL of each unit, against torch.distributions", kl_by_unit),
            Case("the whole bound at sigma^2 = 0.3 and 0.05, against torch.distributions", bound),
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
        ],
        reread="the two terms of the bound above the exercise, and what is summed over what",
    )
