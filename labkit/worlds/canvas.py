"""Batches of pictures painted from simple shapes with soft edges: what the drawn worlds have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Number = Tensor | float


class Canvas:
    """A batch of pictures (B, 3, H, W), 0..1, that shapes are painted on from back to front.

    The frame runs from -1 to 1 in both directions, x to the right and y down. `u`, `v` (B, H, W) are the coordinates of
    what is drawn: shifted by (x, y), magnified by `zoom` and turned by `angle` (radians), each (B, 1, 1). `cover`
    (B, H, W), 0..1, is how much of each pixel the object fills: all that was painted since the canvas was made, but for
    paint with `solid=False` (shadows, what lies behind).
    """

    def __init__(self, behind: Tensor, *, x: Number, y: Number, zoom: Tensor, angle: Tensor) -> None:
        size = behind.shape[-1]
        axis = (torch.arange(size) + 0.5) * 2 / size - 1
        across, down = (axis - x) / zoom, (axis.unsqueeze(1) - y) / zoom
        cos, sin = torch.cos(angle), torch.sin(angle)
        self.u, self.v = cos * across + sin * down, cos * down - sin * across
        self.sharp = zoom * size / 2  # pixels in a unit of length
        self.picture = behind
        self.cover = torch.zeros_like(self.u)

    def paint(self, colour: Tensor, distance: Tensor, strength: Number = 1.0, *, soft: float = 1.0, solid: bool = True) -> None:
        """Lay a colour, (B | 1, 3, 1, 1) or a picture, over where the signed distance is negative.

        The edge is `soft` pixels wide; `strength`, 0..1, is how opaque the paint is, in each picture or everywhere.
        """
        cover = (distance * (self.sharp / -soft)).add_(0.5).clamp_(0, 1).mul_(strength)
        self.picture.lerp_(colour.expand_as(self.picture), cover.unsqueeze(1).expand_as(self.picture))
        if solid:
            self.cover = torch.maximum(self.cover, cover)


def ellipse(u: Tensor, v: Tensor, x: Number, y: Number, rx: Number, ry: Number) -> Tensor:
    """Signed distance to an ellipse around (x, y), exact enough near its edge for the soft edge of a shape."""
    least = torch.minimum(torch.as_tensor(rx), torch.as_tensor(ry))
    return ((u - x) / rx).square_().add_(((v - y) / ry).square_()).sub_(1).mul_(least / 2)


def box(u: Tensor, v: Tensor, x: Number, y: Number, rx: Number, ry: Number, *, round_: Number = 0.0) -> Tensor:
    """Signed distance to a box around (x, y) with half sides rx, ry, the corners cut by a radius `round_`."""
    du, dv = (u - x).abs_().sub_(rx - round_), (v - y).abs_().sub_(ry - round_)
    outside = torch.hypot(du.clamp(min=0), dv.clamp(min=0))
    return outside.add_(torch.maximum(du, dv).clamp_(max=0)).sub_(round_)


def limb(
    u: Tensor, v: Tensor, start: Sequence[Number], end: Sequence[Number], r: Number, r_end: Number | None = None
) -> Tensor:
    """Signed distance to a thick line with round ends from `start` to `end`, (x, y) each, of radius r that tapers to r_end."""
    (ax, ay), (bx, by) = start, end
    lx, ly = bx - ax, by - ay
    pu, pv = u - ax, v - ay
    square = lx * lx + ly * ly + 1e-6
    along = (pu * (lx / square)).add_(pv * (ly / square)).clamp_(0, 1)
    pu, pv = pu - along * lx, pv - along * ly
    away = pu.mul_(pu).addcmul_(pv, pv).sqrt_()
    return away.sub_(r) if r_end is None else away.sub_(along.mul_(r_end - r).add_(r))


def polygon(u: Tensor, v: Tensor, corners: Sequence[Sequence[Number]]) -> Tensor:
    """Signed distance to a convex polygon whose corners (x, y) go round clockwise as seen (y points down)."""
    inside: Tensor | None = None
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        ex, ey = bx - ax, by - ay
        length = (ex * ex + ey * ey) ** 0.5
        edge = (u * (ey / length)).sub_(v * (ex / length)).sub_((ax * ey - ay * ex) / length)
        inside = edge if inside is None else torch.maximum(inside, edge)
    assert inside is not None
    return inside
