"""Checks of lab 07: the way back into a ball around an image, and into 0..1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Case, draw, run_cases, takes, unchanged
from labkit.check.nets import undisturbed
from labkit.check.saliency.small import SHAPE, apply, finite, images, judge, lengths, unit

_INSIDE = "what is inside the ball stays where it is"


def project(function: Callable[..., Any]) -> None:
    """Check `project(z, x, radius, norm)`: -> (B, 3, H, W); images are put at known places inside and outside the ball."""

    def run(f: Callable[..., Any], z: Tensor, x: Tensor, radius: float, norm: str) -> Any:
        takes(f, "z", "x", "radius", "norm")
        return apply(f, z.clone(), x.clone(), radius, norm)

    def both(found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mistakes as they are, and clipped to 0..1 in the end."""
        return {**found, **{f"{cause}; and clipped to 0..1": image.clamp(0, 1) for cause, image in found.items()}}

    def cube_known(z: Tensor, x: Tensor, want: Tensor, r: float) -> dict[str, Tensor]:
        d = z - x
        return both({
            "z was clipped to -radius..radius: clip how far it is from x": z.clamp(-r, r),
            "the difference was clipped to 0..radius: it may be negative": x + d.clamp(0, r),
            "values above x were brought back, but not those below": torch.where(d > 0, want, z),
            "values below x were brought back, but not those above": torch.where(d < 0, want, z),
            "each value was moved by all of radius: what is inside stays": x + r * d.sign(),
            "this is the L2 ball: with Linf each value is clipped on its own": x + r * unit(d),  # all are outside
            "the whole image was scaled: with Linf each value is clipped on its own": x + r * d / d.abs().amax((1, 2, 3), True),
            "this is the way from x: add it to x": want - x,
            "nothing was brought back": z,
            "this is x itself": x,
            "z and x are swapped": z - (want - x)})  # fmt: skip

    def cube(f: Callable[..., Any]) -> None:
        r = 0.1
        x = images(3, 41, 0.3, 0.7)
        share = torch.tensor([-1.0, -0.6, 0.0, 0.3, 1.0, 1.0, 0.9], dtype=F64).repeat(26)[: x.numel()].view_as(x)
        beyond = (share.abs() == 1) * images(3, 42, 0.0, 0.5)  # what is at the border goes outwards
        beyond[0, 0] = 0
        z, want = x + share * (r + beyond), x + share * r
        judge(run(f, z, x, r, "Linf"), want, lambda: cube_known(z, x, want, r))

    def clipped(ball: Tensor) -> Tensor:
        return ball.minimum(torch.ones_like(ball)).maximum(torch.zeros_like(ball))

    def clip_known(z: Tensor, ball: Tensor) -> dict[str, Tensor]:
        return {
            "it was not clipped to 0..1 in the end": ball,
            "values below 0 were not clipped": ball.clamp(max=1),
            "values above 1 were not clipped": ball.clamp(min=0),
            "clipped to -1..1: pixels are 0..1": ball.clamp(-1, 1),
            "it was clipped to 0..1, but not brought back to the ball": z.clamp(0, 1),
        }

    def cube_clipped(f: Callable[..., Any]) -> None:
        wide = [(0.9, 3.5, 3.5), (0.1, -2.5, -2.5), (0.5, 0.7, 0.7), (0.2, -0.5, -0.5)]  # x, z, and z brought to the ball
        near = [(0.97, 1.3, 1.07), (0.97, 0.5, 0.87), (0.97, 1.02, 1.02), (0.03, -0.5, -0.07),
                (0.03, 0.2, 0.13), (0.03, -0.04, -0.04), (0.5, 0.55, 0.55), (0.5, -2.0, 0.4)]  # fmt: skip
        for places, r in ((wide, 3.0), (near, 0.1)):
            columns = torch.tensor(places, dtype=F64).repeat(120 // len(places), 1).T
            x, z, ball = (column.reshape(2, *SHAPE) for column in columns)
            known = clip_known(z, ball)
            judge(run(f, z, x, r, "Linf"), clipped(ball), lambda known=known: known)  # type: ignore[misc]

    def round_known(z: Tensor, x: Tensor, want: Tensor, r: float) -> dict[str, Tensor]:
        d = z - x
        inside = lengths(d) <= r

        def by(length: Tensor) -> Tensor:
            """The factor of an image, with a length that is not that of z - x."""
            return torch.where(length > r, r / length, torch.ones_like(length))

        wrong = {
            "the distance was taken over the whole batch: each image has its own": d.square().sum().sqrt(),
            "the distance was taken of each channel: it is of all values of an image": d.square().sum((2, 3), True).sqrt(),
            "divided by |z|: the distance is |z - x|": lengths(z),
            "divided by |x|: the distance is |z - x|": lengths(x),
            "divided by the squared distance: take the root": lengths(d).square(),
            "divided by the largest difference: the distance is Euclidean": d.abs().amax((1, 2, 3), True),
            "divided by the sum of |differences|: the distance is Euclidean": d.abs().sum((1, 2, 3), True)}  # fmt: skip
        return both({
            f"what was inside the ball was pushed out to its surface: {_INSIDE}": x + r * unit(d),
            "this is the Linf ball: with L2 the whole image is scaled": x + torch.where(d.abs() > r, r * d.sign(), d),
            **{cause: x + d * by(length) for cause, length in wrong.items()},
            "z itself was brought to the length of radius: it is z - x that is scaled": z * by(lengths(z)),
            "z itself was scaled by radius / |z - x|: it is z - x that is scaled": z * lengths(want - x) / lengths(d),
            "the squared distance was compared with the radius": torch.where(lengths(d).square() > r, x + r * unit(d), z),
            "what is outside was brought to a distance of 1, not of radius": torch.where(inside, z, x + unit(d)),
            "what is outside was sent back to x: it comes to the nearest point of the ball": torch.where(inside, z, x),
            "this is the way from x: add it to x": want - x,
            "nothing was brought back": z,
            "this is x itself": x,
            "z and x are swapped": z - (want - x)})  # fmt: skip

    def sphere(f: Callable[..., Any]) -> None:
        ways = unit(draw(5, *SHAPE, seed=43))
        x, r = images(5, 44, 0.4, 0.6), 0.7
        z = x + ways * torch.tensor([0.2, 0.63, 0.69, 0.8, 3.5], dtype=F64).view(-1, 1, 1, 1)
        want = x + ways * torch.tensor([0.2, 0.63, 0.69, 0.7, 0.7], dtype=F64).view(-1, 1, 1, 1)
        for rows in (slice(0, 5), slice(1, 2), slice(3, 4)):
            known = round_known(z[rows], x[rows], want[rows], r)
            judge(run(f, z[rows], x[rows], r, "L2"), want[rows], lambda known=known: known)  # type: ignore[misc]

    def sphere_clipped(f: Callable[..., Any]) -> None:
        x, ways = images(3, 45).round() * 0.94 + 0.03, unit(draw(3, *SHAPE, seed=46))
        z, ball = x + 4 * ways, x + 1.5 * ways
        early = "it was clipped to 0..1 before the ball, which turns the straight line to x: clip afterwards"
        known = {early: x + 1.5 * unit(z.clamp(0, 1) - x), **clip_known(z, ball)}  # also then all are outside
        judge(run(f, z, x, 1.5, "L2"), clipped(ball), lambda: known)

    def at_home(f: Callable[..., Any]) -> None:
        ways = unit(draw(3, *SHAPE, seed=47))
        x = images(3, 48, 0.4, 0.6)
        for norm, z in (("L2", x + ways * 0.05), ("Linf", x + ways * 0.05)):
            z[1] = x[1]
            out = run(f, z, x, 0.5, norm)
            finite(out, "where z = x, radius / |z - x| divides by 0: such an image stays where it is")
            judge(out, z, lambda z=z: {  # type: ignore[misc]
                f"what was inside was moved to the border: {_INSIDE}": x + 0.5 * unit(z - x)})  # fmt: skip

    def stays(f: Callable[..., Any]) -> None:
        z, x = images(2, 49, -0.5, 1.5), images(2, 50)
        for norm in ("Linf", "L2"):
            unchanged(lambda *args, norm=norm: f(*args, 0.2, norm), z, x, what="z and x")  # type: ignore[misc]

    with undisturbed():
        run_cases(
            "project",
            function,
            [
                Case("Linf: values inside, at the border and outside", cube),
                Case("Linf: pixels near black and white", cube_clipped),
                Case("L2: images inside, just inside, just outside and far outside", sphere),
                Case("L2: pixels near black and white", sphere_clipped),
                Case("all inside, and one image at z = x", at_home),
                Case("z and x stay as they are", stays),
            ],
            reread="section 5, on balls around an image: Linf clips each value of z - x, L2 scales all of an image's z - x",
        )
