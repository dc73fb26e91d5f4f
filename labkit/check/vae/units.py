"""Checks of lab 04: which units are used."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes, unchanged

_STACK_Z = "count dimensions from the end: z[..., order, k], and average over the images with .mean(-1)"


def active_units(function: Callable[..., Any]) -> None:
    """Check `active_units(mu, threshold)`: posterior means (..., N, K) -> number of units (...)."""

    def encoder(n: int = 4000) -> torch.Tensor:
        spread = torch.tensor([1.0, 0.6, 0.3, 0.02, 0.0], dtype=F64)
        draws = draw(n, 5, seed=7)
        return (draws - draws.mean(0)) * spread

    def plain(f: Callable[..., Any]) -> None:
        takes(f, "mu", "threshold")
        compare(f(encoder(), 0.01), 3, known={
            "means near zero on average are no sign of a dead unit": 0,
            "this is the share of active units: count them": 3 / 5,
            "this is a mask of the active units: count them": [1, 1, 1, 0, 0],
            "the variance was taken over the units: take it over the N images": (encoder().var(-1) > 0.01).sum()})  # fmt: skip

    def standard_deviation(f: Callable[..., Any]) -> None:
        mu = draw(4000, 1, seed=8) * 0.05  # variance 0.0025, standard deviation 0.05
        compare(f(mu, 0.01), 0, known={"the standard deviation was compared: the rule is about the variance": 1})

    def constant(f: Callable[..., Any]) -> None:
        mu = torch.cat([torch.full((4000, 1), 2.0, dtype=F64), draw(4000, 1, seed=9)], dim=1)
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


def ppca_prediction(function: Callable[..., Any]) -> None:
    """Check `ppca_prediction(eigenvalues, sigma2, latent)`: -> (units used, their KL in nats)."""

    def ask(f: Callable[..., Any], values: list[float], sigma2: float, latent: int) -> tuple[Any, Any]:
        takes(f, "eigenvalues", "sigma2", "latent")
        out = f(torch.tensor(values, dtype=F64), sigma2, latent)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise Mistake("a pair (units, nats)", f"{type(out).__name__}")
        return out[0], out[1]

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
        units, nats = ask(f, [1.0, 5.0, 2.0], 0.5, 2)
        compare(units, 2, known={"there are only 2 units": 3})
        compare(nats, math.log(10 * 4) / 2, known={
            "the units take the largest eigenvalues: sort them": math.log(2 * 10) / 2,
            "the units take the largest eigenvalues: these are the smallest": math.log(2 * 4) / 2,
            "the eigenvalues must be divided by sigma^2": math.log(5 * 2) / 2,
            "units that do not exist were paid for": math.log(10 * 4 * 2) / 2})  # fmt: skip

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


def knock_out(function: Callable[..., Any]) -> None:
    """Check `knock_out(decode, z, x, order)`: rise in squared error by unit, (..., K)."""

    weights = torch.tensor([[3.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 0]], dtype=F64)  # unit 2 is not wired to anything

    def decode(z: torch.Tensor) -> torch.Tensor:
        return (z @ weights).unflatten(-1, (1, 2, 2))

    def data(n: int = 500) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        z = draw(n, 3, seed=11)
        return z, decode(z), torch.randperm(n, generator=torch.Generator().manual_seed(0))

    def rises(f: Callable[..., Any]) -> None:
        takes(f, "decode", "z", "x", "order")
        z, x, order = data()
        x = x + 0.3 * draw(*x.shape, seed=12)

        def error(code: torch.Tensor) -> torch.Tensor:
            return (x - decode(code)).square().flatten(1).sum(1).mean()

        def after(change: Callable[[torch.Tensor, int], torch.Tensor], *, keep: bool = False) -> torch.Tensor:
            """Error after `change` of one column at a time, of all up to it with `keep`."""
            code, errors = z.clone(), []
            for k in range(z.shape[1]):
                code = code.clone() if keep else z.clone()
                code[:, k] = change(code, k)
                errors.append(error(code))
            return torch.stack(errors)

        base, dealt = error(z), after(lambda code, k: code[order, k])
        change = torch.stack([(decode(z) - decode(torch.cat([z[:, :k], z[order, k : k + 1], z[:, k + 1 :]], 1)))
                              .square().flatten(1).sum(1).mean() for k in range(3)])  # fmt: skip
        compare(
            f(decode, z.clone(), x, order),
            dealt - base,
            known={
                "the sign is turned: error after minus error before": base - dealt,
                "subtract the error with every unit in place": dealt,
                "the unit was set to zero: shuffle it among the images, so that it keeps its distribution":
                    after(lambda code, k: 0 * code[:, k]) - base,
                "the unit was set to its mean: shuffle it among the images, so that it keeps its distribution":
                    after(lambda code, k: code[:, k].mean().expand(len(code))) - base,
                "units that were knocked out before were not restored": after(lambda code, k: code[order, k], keep=True) - base,
                "the error was averaged over the pixels: sum it": (dealt - base) / 4,
                "the images were shuffled together, not one unit": (error(z[order]) - base).expand(3),
                "this is the change of the output: compare with x, the image": change,
            },
        )  # fmt: skip

    def stacked(f: Callable[..., Any]) -> None:
        z, x, order = data()
        both = torch.stack([z, z.flip(0)])[:, None]  # (2, 1, N, 3)
        try:
            got = f(decode, both, x, order)
        except (RuntimeError, IndexError) as error:
            raise Mistake("shape (2, 1, 3) for stacked nets", f"{type(error).__name__}: {error}", _STACK_Z) from None
        if tuple(torch.as_tensor(got).shape) != (2, 1, 3):
            raise Mistake("shape (2, 1, 3) for stacked nets", f"shape {tuple(torch.as_tensor(got).shape)}", _STACK_Z)
        for i, code in enumerate((z, z.flip(0))):
            compare(got[i, 0], f(decode, code, x, order), known={"the nets of a stack were averaged": got.mean((0, 1))})

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
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
            Case("z stays as it is", leaves_inputs),
        ],
        reread="the recipe: one unit at a time, its values dealt out anew among the images, then the rise in squared error",
    )
