"""Checks of lab 03: what the discriminator minimises, with its real images' targets smoothed or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, compare, draw, run_cases, takes
from labkit.check.gan.generator import STACK, bce, one_a_net, same_at_extremes, slopes

_COUNT = "there may be more fake than real images: average each before you add them, and give each a target of its own size"


def discriminator_loss(function: Callable[..., Any]) -> None:
    """Check `discriminator_loss(real_logits, fake_logits, smooth=1.0)`: (..., R), (..., F) -> (...) in nats, to minimise.

    `smooth` is the target of the real images, a number or a tensor such as (arms, 1, 1); that of the fakes is always 0.

    Source: Goodfellow et al. 2014, arXiv:1406.2661; one-sided smoothing: Salimans et al. 2016, section 3.4, arXiv:1606.03498.
    """

    def call(f: Callable[..., Any], *args: Any) -> Any:
        takes(f, "real_logits", "fake_logits", "smooth")
        try:
            out = f(*args)
        except (RuntimeError, ValueError) as error:
            sizes = "must match the size" in str(error) or "same as input size" in str(error) or "same size" in str(error)
            if sizes and not any(isinstance(x, Tensor) for x in args[2:]):
                raise Mistake("a loss", f"{type(error).__name__}: {error}", _COUNT) from None
            raise
        if isinstance(out, tuple | list):
            raise Mistake("one loss", f"{type(out).__name__} of {len(out)}", "add the terms of the real and of the fake images")
        return out

    def reference(real: Tensor, fake: Tensor, y: float = 1.0, z: float = 0.0) -> Tensor:
        return bce(real, y).mean(-1) + bce(fake, z).mean(-1)

    def data(*lead: int, seed: int) -> tuple[Tensor, Tensor]:
        return 1.5 * draw(*lead, 3, seed=seed) + 0.5, 1.5 * draw(*lead, 5, seed=seed + 1) - 0.5

    def plain(f: Callable[..., Any]) -> None:
        real, fake = data(seed=80)
        r, g = bce(real, 1), bce(fake, 0)
        right = r.mean() + g.mean()
        compare(call(f, real, fake), right, known={
            "the targets are swapped: real is 1, fake is 0": reference(real, fake, 0, 1),
            "half the loss: add the two averages, do not average them": right / 2,
            "all images were averaged together: average the real and the fake ones, then add": torch.cat([r, g]).mean(),
            "the images were summed: average over them": r.sum() + g.sum(),
            "this is what D maximises: a loss is its negative": -right,
            "the terms were subtracted: add them": r.mean() - g.mean(),
            "the fake images are missing": r.mean(),
            "the real images are missing": g.mean(),
            "fake images were called real, which is what G wants: their target is 0": reference(real, fake, 1, 1),
            "without `smooth`, the target of real images is 1, not 0.9": reference(real, fake, 0.9),
            "a sigmoid was applied before a loss that takes logits": reference(real.sigmoid(), fake.sigmoid()),
            "this is the logarithm to base 2: use nats": right / math.log(2)})  # fmt: skip

    def smoothed(f: Callable[..., Any]) -> None:
        real, fake = data(seed=82)
        for y in (0.9, 0.7):
            compare(call(f, real, fake, y), reference(real, fake, y), known={
                "the smoothing was ignored": reference(real, fake),
                "both sides were smoothed: the target of fakes stays at 0": reference(real, fake, y, 1 - y),
                "the fakes were smoothed, not the real images": reference(real, fake, 1, 1 - y),
                "the fakes got the target of the real images: theirs is 0": reference(real, fake, y, y),
                "the real images got 1 - smooth: smooth is their target": reference(real, fake, 1 - y),
                "smooth is the target itself, not shared out among two classes": reference(real, fake, (1 + y) / 2),
                "the real term was only scaled: BCE has a second part, -(1 - smooth) ln(1 - D)":
                    y * bce(real, 1).mean() + bce(fake, 0).mean(),
                "the whole loss was scaled with smooth: it is a target": y * reference(real, fake),
                "the logits were scaled with smooth: it is a target": reference(y * real, fake),
                "half the loss: add the two averages, do not average them": reference(real, fake, y) / 2})  # fmt: skip

    def one_for_each_arm(f: Callable[..., Any]) -> None:
        real, fake = data(2, 3, seed=84)
        levels = torch.tensor([1.0, 0.7], dtype=F64)
        try:
            got = call(f, real, fake, levels.reshape(2, 1, 1))
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, NotImplementedError):
                raise
            raise Mistake("a `smooth` of shape (2, 1, 1)", f"{type(error).__name__}: {error}", "`smooth` may be a tensor that "
                          "broadcasts: no float(), .item() or `if`; torch's own BCE wants a target as large as the logits, "
                          "so multiply with ones_like") from None  # fmt: skip
        one_a_net(got, "a")
        by_arm = [reference(real, fake, y) for y in (1.0, 0.7, 0.85)]
        compare(got, torch.stack([by_arm[0][0], by_arm[1][1]]), known={
            "the arms share one target: let the tensor broadcast": by_arm[2],
            "the target of the first arm was used for all": by_arm[0]})  # fmt: skip

    def stacked(f: Callable[..., Any]) -> None:
        real, fake = data(2, 3, seed=86)
        for args in ((), (0.8,)):
            got, want = call(f, real, fake, *args), reference(real, fake, *args)
            one_a_net(got, "a")
            compare(got, want, known={f"each net has images of its own: {STACK}": want.mean().expand(2, 3)})

    def both(f: Callable[..., Any], real: Tensor, fake: Tensor, y: float) -> tuple[Any, Any, Any, Any]:
        """Loss and gradients: the student's, then torch's in float64."""
        loss, pair = call(f, real, fake, y), (real.detach().double().requires_grad_(), fake.detach().double().requires_grad_())
        want = reference(*pair, y)
        return loss, slopes(loss, "discriminator's", real, fake), want.detach(), torch.autograd.grad(want.sum(), pair)

    def gradients(f: Callable[..., Any]) -> None:
        real, fake = (x.requires_grad_() for x in data(seed=88))
        _, got, _, want = both(f, real, fake, 0.9)
        for have, right in zip(got, want, strict=True):
            compare(have, right, known={"the sign is turned": -right, "half the gradient: add the two averages": right / 2})

    def certain(f: Callable[..., Any]) -> None:
        start = data(seed=90)
        compare(call(f, *start, 0.9), reference(*start, 0.9))
        for dtype in (torch.float32, F64):
            for y in (1.0, 0.9):
                for size in (26.0, 100.0, -100.0):
                    real = torch.tensor([size, 0.5], dtype=dtype, requires_grad=True)
                    fake = torch.tensor([-size, 0.5, 1.0], dtype=dtype, requires_grad=True)
                    loss, got, want, right = both(f, real, fake, y)
                    same_at_extremes(f"at real {size:g}, fake {-size:g} a loss of", loss, want)
                    for have, slope in zip(got, right, strict=True):
                        same_at_extremes(f"at real {size:g}, fake {-size:g} a gradient of", have, slope)

    run_cases(
        "discriminator_loss",
        function,
        [
            Case("three real and five fake images", plain),
            Case("smooth = 0.9 and 0.7", smoothed),
            Case("a target for each of two arms", one_for_each_arm),
            Case("stacked nets: leading dimensions (arms, seeds)", stacked),
            Case("gradients at the logits, against autograd", gradients),
            Case("a very certain D: logits of 26 and +-100, values and gradients", certain),
        ],
        reread="section 1: real images have the target `smooth`, fakes have 0; each term is an average, and they are added",
    )
