"""What the pictures of the toybox are painted with: shapes, chances and colours, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.worlds.canvas import Canvas, Number, box, ellipse, limb, polygon

Point = Sequence[Number]
Colour = Tensor | tuple[float, float, float]

INK, WHITE, GREY, GLASS = (0.13, 0.12, 0.16), (0.97, 0.97, 0.95), (0.62, 0.64, 0.67), (0.74, 0.89, 0.95)
RED, AMBER, PINK, TAN, WOOD = (0.86, 0.20, 0.20), (0.98, 0.78, 0.28), (0.95, 0.58, 0.60), (0.87, 0.75, 0.56), (0.45, 0.29, 0.18)


class Brush:
    """A canvas with shapes and chances at hand: distances (B, H, W) to paint, numbers (B, 1, 1) that vary the picture.

    `numbers` (B, K), 0..1, are used up column by column, so that a picture is the same in whatever batch it is drawn.
    """

    def __init__(self, canvas: Canvas, numbers: Tensor) -> None:
        self.canvas, self.u, self.v = canvas, canvas.u, canvas.v
        self._columns = iter(numbers.reshape(*numbers.shape, 1, 1).unbind(1))

    def between(self, low: Number, high: Number) -> Tensor:
        """Numbers (B, 1, 1), uniform from low to high."""
        return low + (high - low) * next(self._columns)

    def chance(self, share: float) -> Tensor:
        """One in that share of the pictures, zero in the others, (B, 1, 1)."""
        return (next(self._columns) < share).float()

    def oval(self, x: Number, y: Number, rx: Number, ry: Number, *, fold: Number | None = None) -> Tensor:
        """An ellipse; with `fold`, two of them, x to the left and right of it."""
        return ellipse(self.u if fold is None else (self.u - fold).abs(), self.v, x, y, rx, ry)

    def box(self, x: Number, y: Number, rx: Number, ry: Number, round_: Number = 0.0) -> Tensor:
        """A box with half sides rx, ry."""
        if isinstance(round_, float) and not round_:  # sharp corners need no root
            return torch.maximum((self.u - x).abs_().sub_(rx), (self.v - y).abs_().sub_(ry))
        return box(self.u, self.v, x, y, rx, ry, round_=round_)

    def line(self, start: Point, end: Point, r: Number, r_end: Number | None = None, *, fold: Number | None = None) -> Tensor:
        """A limb; with `fold`, two of them."""
        return limb(self.u if fold is None else (self.u - fold).abs(), self.v, start, end, r, r_end)

    def shape(self, *corners: Point, fold: Number | None = None) -> Tensor:
        """A convex polygon, clockwise as seen; with `fold`, two of them."""
        return polygon(self.u if fold is None else (self.u - fold).abs(), self.v, corners)

    def row(self, first: Number, last: Number, y: Number, rx: float, ry: Number, gap: Number) -> Tensor:
        """Small boxes side by side, `gap` from centre to centre."""
        return torch.maximum(
            ((self.u - first).remainder(gap) - gap / 2).abs_().sub_(rx),
            torch.maximum((self.v - y).abs_().sub_(ry), torch.maximum(first - self.u, self.u - last)),
        )

    def paint(self, colour: Colour, *parts: Tensor, strength: Number = 1.0, **how: Any) -> None:
        """Lay one colour over all parts."""
        whole = parts[0]
        for part in parts[1:]:
            whole = torch.minimum(whole, part)
        tint = colour if isinstance(colour, Tensor) else torch.tensor(colour).reshape(1, 3, 1, 1)
        self.canvas.paint(tint, whole, strength, **how)


class Subject(Brush):
    """A brush for the object: it knows its colours.

    `body` and `accent` are (B, 3, 1, 1); `ground` and `sea`, (B, 1, 1), are one where the object stands or swims there.
    """

    def __init__(self, canvas: Canvas, numbers: Tensor, body: Tensor, accent: Tensor, ground: Tensor, sea: Tensor) -> None:
        super().__init__(canvas, numbers)
        self.body, self.dark, self.pale, self.accent = body, body * 0.72, body * 0.55 + 0.43, accent
        self.ground, self.sea = ground, sea

    def shadow(self, y: Number, rx: Number, x: Number = 0.0) -> None:
        """A soft shadow on the ground, none in the sky or at sea."""
        self.paint(INK, self.oval(x, y, rx, 0.11), strength=0.4 * self.ground, soft=3.0, solid=False)

    def wheels(self, middle: Number, apart: Number, y: float, r: Number) -> None:
        """Two wheels."""
        self.paint(INK, self.oval(apart, y, r, r, fold=middle))
        self.paint(GREY, self.oval(apart, y, r * 0.45, r * 0.45, fold=middle))

    def legs(
        self, xs: tuple[float, float], top: float, foot: float, r: float, stride: Tensor, tips: Colour | None = None
    ) -> None:
        """Four legs of an animal seen from the side, the far ones darker; `stride` swings them."""
        back, front = xs
        for colour, way in ((self.dark, -1.0), (self.body, 1.0)):
            ends = [(back - way * stride * 0.9, foot), (front + way * stride, foot)]
            shift = 0.05 * way
            self.paint(colour, *(self.line((x - shift, top), e, r * 1.25, r) for x, e in zip((back, front), ends, strict=True)))
            if tips is not None:
                self.paint(tips, *(self.oval(x, y, r * 1.25, r) for x, y in ends))

    def eye(self, x: Number, y: Number, r: float = 0.08) -> None:
        """A dark eye with a light rim."""
        self.paint(WHITE, self.oval(x, y, r * 1.5, r * 1.5), strength=0.85)
        self.paint(INK, self.oval(x + 0.02, y, r, r))
