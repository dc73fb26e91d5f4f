"""Checks of lab 04, VAE posterior collapse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.distributions import Normal, kl_divergence

from labkit.check.frame import Case, Mistake, compare, run_cases, takes, unchanged

F64 = torch.float64


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def reparameterise(function: Callable[..., Any]) -> None:
    """Check `reparameterise(mu, logvar, eps)`: shapes (..., K) -> (..., K)."""

    def worked_example(f: Callable[..., Any]) -> None:
        takes(f, "mu", "logvar", "eps")
        one = torch.ones(1, dtype=F64)
        compare(
            f(3 * one, math.log(16.0) * one, -one),
            [-1.0],
            known={
                "exp(logvar) is the variance; a sample is spread by its square root, the standard deviation": [-13.0],
                "logvar itself was used as the spread: it is the logarithm of the variance": [3 - math.log(16.0)],
                "the noise was added without scaling it": [2.0],
                "the noise was not used": [3.0],
                "the noise was subtracted": [7.0],
                "exp(2 * logvar) was used: the half belongs inside, exp(logvar / 2)": [3 - 256.0],
            },
        )

    def follows_the_noise(f: Callable[..., Any]) -> None:
        mu, logvar = _draw(4, 3, seed=1), _draw(4, 3, seed=2)
        first, second = f(mu, logvar, _draw(4, 3, seed=3)), f(mu, logvar, _draw(4, 3, seed=4))
        if torch.equal(torch.as_tensor(first), torch.as_tensor(second)):
            raise Mistake("another z for another eps", "the same z", "eps is not used")
        again = f(mu, logvar, _draw(4, 3, seed=3))
        if not torch.equal(torch.as_tensor(first), torch.as_tensor(again)):
            raise Mistake("the same z for the same eps", "another z", "it draws noise of its own: use the eps that it is given")

    def right_moments(f: Callable[..., Any]) -> None:
        eps = _draw(200_000, 2, seed=5)
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
        unchanged(f, _draw(2, 3), _draw(2, 3, seed=1), _draw(2, 3, seed=2))

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
        x, x_hat = _draw(b, 1, 4, 4, seed=seed).sigmoid(), _draw(b, 1, 4, 4, seed=seed + 1).sigmoid()
        mu, logvar = _draw(b, 5, seed=seed + 2), _draw(b, 5, seed=seed + 3)
        return x, x_hat, mu, logvar, torch.tensor(sigma2, dtype=F64)

    def reference(x: Any, x_hat: Any, mu: Any, logvar: Any, sigma2: Any) -> tuple[torch.Tensor, torch.Tensor]:
        kl = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(torch.zeros_like(mu), torch.ones_like(mu)))
        return -Normal(x_hat, sigma2.sqrt()).log_prob(x).flatten(1).sum(1), kl

    def pair(f: Callable[..., Any], args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        takes(f, "x", "x_hat", "mu", "logvar", "sigma2")
        out = f(*args)
        if not isinstance(out, tuple) or len(out) != 2:
            raise Mistake("a pair: the negative ELBO (B,) and the KL of each unit (B, K)", type(out).__name__)
        return out

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
        for sigma2 in (0.5, 0.05):
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
            Case("the whole bound at sigma^2 = 0.5 and 0.05, against torch.distributions", bound),
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
        ],
        reread="the two terms of the bound above the exercise, and what is summed over what",
    )


_STACK = "sum over the last dimensions, counted from the end: .flatten(-3).sum(-1) for pixels, .sum(-1) for units"


def active_units(function: Callable[..., Any]) -> None:
    """Check `active_units(mu, threshold)`: posterior means (..., N, K) -> number of units (...)."""

    def encoder(n: int = 4000) -> torch.Tensor:
        spread = torch.tensor([1.0, 0.6, 0.3, 0.02, 0.0], dtype=F64)
        draws = _draw(n, 5, seed=7)
        return (draws - draws.mean(0)) * spread

    def plain(f: Callable[..., Any]) -> None:
        takes(f, "mu", "threshold")
        compare(f(encoder(), 0.01), 3, known={"means near zero on average are no sign of a dead unit": 0})

    def standard_deviation(f: Callable[..., Any]) -> None:
        mu = _draw(4000, 1, seed=8) * 0.05  # variance 0.0025, standard deviation 0.05
        compare(f(mu, 0.01), 0, known={"the standard deviation was compared: the rule is about the variance": 1})

    def constant(f: Callable[..., Any]) -> None:
        mu = torch.cat([torch.full((4000, 1), 2.0, dtype=F64), _draw(4000, 1, seed=9)], dim=1)
        compare(
            f(mu, 0.01),
            1,
            known={"a mean that is the same for every image says nothing about it: take the variance over images, "
                   "not the mean square": 2},
        )  # fmt: skip

    def stacked(f: Callable[..., Any]) -> None:
        mu = torch.stack([encoder(), torch.zeros(4000, 5, dtype=F64)])
        compare(f(mu, 0.01), [3, 0], known={"the nets of a stack were counted together": 3})

    run_cases(
        "active_units",
        function,
        [
            Case("three units that follow the image, two that do not", plain),
            Case("variance against the threshold", standard_deviation),
            Case("a mean that never changes", constant),
            Case("two stacked nets", stacked),
        ],
        reread="the definition: a unit is active if the variance over images of its posterior mean exceeds the threshold",
    )


def knock_out(function: Callable[..., Any]) -> None:
    """Check `knock_out(decode, z, x, order)`: rise in squared error by unit, (..., K)."""

    weights = torch.tensor([[3.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 0]], dtype=F64)  # unit 2 is not wired to anything

    def decode(z: torch.Tensor) -> torch.Tensor:
        return (z @ weights).unflatten(-1, (1, 2, 2))

    def data(n: int = 500) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        z = _draw(n, 3, seed=11)
        return z, decode(z), torch.randperm(n, generator=torch.Generator().manual_seed(0))

    def rises(f: Callable[..., Any]) -> None:
        takes(f, "decode", "z", "x", "order")
        z, x, order = data()
        shuffled = (z - z[order]).square().mean(0)
        want = shuffled * torch.tensor([9.0, 1.0, 0.0], dtype=F64)
        zeroed = z.square().mean(0) * torch.tensor([9.0, 1.0, 0.0], dtype=F64)
        compare(
            f(decode, z, x, order),
            want,
            known={
                "the unit was set to zero: shuffle it among the images, so that it keeps its distribution": zeroed,
                "units that were knocked out before were not restored": want.cumsum(0),
                "the error was averaged over the pixels: sum it": want / 4,
                "the images were shuffled together, not one unit": want.sum().expand(3),
            },
        )

    def against_the_base(f: Callable[..., Any]) -> None:
        z, x, order = data()
        got = torch.as_tensor(f(decode, z, x + 1, order))
        if float(got[2]) > 1:
            raise Mistake(
                "0 for a unit that nothing is wired to", f"{float(got[2]):.3g}", "subtract the error with every unit in place"
            )

    def leaves_inputs(f: Callable[..., Any]) -> None:
        z, x, order = data()
        unchanged(lambda a: f(decode, a, x, order), z, what="z")

    run_cases(
        "knock_out",
        function,
        [
            Case("a decoder that weighs its three units 3, 1 and 0", rises),
            Case("a unit that nothing is wired to costs nothing", against_the_base),
            Case("z stays as it is", leaves_inputs),
        ],
        reread="the recipe: one unit at a time, its values dealt out anew among the images, then the rise in squared error",
    )


def ppca_prediction(function: Callable[..., Any]) -> None:
    """Check `ppca_prediction(eigenvalues, sigma2, latent)`: -> (units used, their KL in nats)."""

    def ask(f: Callable[..., Any], values: list[float], sigma2: float, latent: int) -> tuple[Any, Any]:
        takes(f, "eigenvalues", "sigma2", "latent")
        out = f(torch.tensor(values, dtype=F64), sigma2, latent)
        if not isinstance(out, tuple) or len(out) != 2:
            raise Mistake("a pair (units, nats)", f"{type(out).__name__}")
        return out

    def worked(f: Callable[..., Any]) -> None:
        units, nats = ask(f, [0.5, 8.0, 0.1, 2.0], 0.5 / math.e, 4)
        compare(units, 3, known={"directions below the noise were counted too": 4})
        compare(
            nats,
            (1 + (1 + math.log(4)) + (1 + math.log(16))) / 2,
            known={
                "the factor 1/2 is missing": 3 + math.log(64),
                "directions below the noise must not count: their logarithm is negative": (3 + math.log(64) + 1 - math.log(5))
                / 2,
                "base 2: nats are natural logarithms": (3 + math.log(64)) / 2 / math.log(2),
                "sigma^2 was taken for sigma": sum(0.5 * math.log(v / (0.5 / math.e) ** 2) for v in (0.5, 8.0, 2.0)),
            },
        )

    def few_units(f: Callable[..., Any]) -> None:
        units, nats = ask(f, [1.0, 4.0, 2.0], 0.5, 2)
        compare(units, 2, known={"there are only 2 units": 3})
        compare(nats, math.log(8 * 4) / 2, known={
            "the units take the largest eigenvalues: sort them": math.log(2 * 8) / 2,
            "units that do not exist were paid for": math.log(8 * 4 * 2) / 2})  # fmt: skip

    def none_used(f: Callable[..., Any]) -> None:
        units, nats = ask(f, [0.1, 0.2], 1.0, 2)
        compare(units, 0)
        compare(nats, 0.0)

    run_cases(
        "ppca_prediction",
        function,
        [
            Case("four directions, one of them below the noise", worked),
            Case("more directions than units", few_units),
            Case("nothing above the noise", none_used),
        ],
        reread="used are the directions with lambda above sigma^2, each for ln(lambda / sigma^2) / 2 nats",
    )


def beta_eff(function: Callable[..., Any]) -> None:
    """Check `beta_eff(n_pixels, batch_size)`, the weight that the report's loss really puts on the KL."""

    def worked(f: Callable[..., Any]) -> None:
        takes(f, "n_pixels", "batch_size")
        compare(
            f(784, 128),
            6.125,
            known={
                "this is its inverse": 128 / 784,
                "only the pixels were counted: the KL is divided by the batch size a second time": 784.0,
                "only the batch was counted: the squared error is an average over pixels": 1 / 128,
                "both divide: multiply the whole loss by the pixels and see what is left before the KL": 1 / (784 * 128),
                "both multiply: dividing by the batch size makes the KL count less": 784.0 * 128,
            },
        )

    def by_gradient(f: Callable[..., Any]) -> None:
        """Gradients of the report's loss are parallel to those of SSE + beta_eff KL."""
        d, b = 48, 6
        x_hat, kl = _draw(b, d, seed=1).requires_grad_(), _draw(b, seed=2).exp().requires_grad_()
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
        kl = _draw(8, 4).square()
        compare(f(kl, 0.0), kl.sum(1).mean())

    def stacked(f: Callable[..., Any]) -> None:
        kl = _draw(2, 3, 8, 4).square()
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
