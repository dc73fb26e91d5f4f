"""What the drawn scenes are painted with: grey tones, noise, and what several share, such as sky, windows and trees."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.worlds.canvas import Canvas, Number
from labkit.worlds.toybox_brush import Brush

GRIDS = (5, 11, 26)  # points a side of the coarse, the middle and the fine noise
DRAWS = 128  # random numbers that a scene may use up


class Pen(Brush):
    """A brush that paints in grey: tones are numbers (B, 1, 1) or textures (B, H, W), 0 black to 1 white.

    `fields` holds standard normal numbers, one tensor (B, K, K) for each K in GRIDS.
    """

    def __init__(self, canvas: Canvas, numbers: Tensor, fields: tuple[Tensor, ...]) -> None:
        super().__init__(canvas, numbers)
        self.grey, self._fields = canvas.picture[:, 0], fields

    def _field(self, octave: int) -> Tensor:
        size, grid = self.grey.shape[-1], GRIDS[octave]
        spread = F.interpolate(torch.eye(grid).unsqueeze(0), size=size, mode="linear")[0]  # (K, size)
        return spread.T @ self._fields[octave] @ spread

    @cached_property
    def coarse(self) -> Tensor:
        """Smooth noise as of clouds, (B, H, W)."""
        return self._field(0)

    @cached_property
    def rough(self) -> Tensor:
        """Noise as of rocks and bushes, (B, H, W)."""
        return 0.6 * self._field(1) + 0.4 * self.coarse

    @cached_property
    def leafy(self) -> Tensor:
        """Fine noise as of leaves and gravel, (B, H, W)."""
        return 0.75 * self._field(2) + 0.5 * self._field(1)

    def paint(  # type: ignore[override]  # tones in place of colours
        self, tone: Number, *parts: Tensor, strength: Number = 1.0, soft: float = 1.0
    ) -> None:
        """Lay one tone over all parts; the edge is `soft` pixels wide."""
        whole = parts[0]
        for part in parts[1:]:
            whole = torch.minimum(whole, part)
        cover = (whole * (self.canvas.sharp / -soft)).add_(0.5).clamp_(0, 1)
        if not isinstance(strength, float) or strength != 1:
            cover.mul_(strength)
        self.grey.lerp_(torch.as_tensor(tone, dtype=torch.float32).expand_as(self.grey), cover)

    def block(self, x: Number, y: Number, rx: Number, ry: Number, *, deep: tuple[Number, Number], tone: Tensor) -> None:
        """A box whose front is centred on (x, y); its top and right side go back by `deep`, to the right and up."""
        (dx, dy), left, right, top = deep, x - rx, x + rx, y - ry
        back = (right + dx, top - dy)
        self.paint((tone * 1.25).clamp(max=1), self.shape((left, top), (left + dx, top - dy), back, (right, top)))
        self.paint(tone * 0.6, self.shape((right, top), back, (right + dx, y + ry - dy), (right, y + ry)))
        self.paint(tone, self.box(x, y, rx, ry))

    def wave(self, low: float, high: float, height: float) -> Tensor:
        """What lies below a gently waved line, as a distance."""
        line = self.between(low, high) + height * torch.sin(self.between(1.0, 3.0) * self.u + self.between(0, 6.3))
        return line - self.v


def cells(x: Tensor, gap: Number) -> tuple[Tensor, Tensor]:
    """Numbers of the cells of width `gap` that x lies in, and where in them it lies, from their centres."""
    number = torch.floor(x / gap)
    return number, x - (number + 0.5) * gap


def chaos(i: Number, j: Number, seed: Tensor) -> Tensor:
    """A number in 0..1 for each cell (i, j), without pattern."""
    return (torch.sin(12.99 * i + 78.23 * j + 40 * seed) * 97).remainder(1)


def windows(
    b: Pen, x: Tensor, y: Tensor, gap: tuple[Number, Number], share: tuple[Number, Number], within: Tensor,
    *, tone: Number, sx: Number = 1.0, sy: Number = 1.0, spread: Number = 0.15,
) -> None:  # fmt: skip
    """A grid of panes over a wall, whose distance is `within`; x and y are coordinates on it, sx and sy their scales."""
    i, dx = cells(x, gap[0])
    j, dy = cells(y, gap[1])
    across, down = (dx.abs_() - share[0] * gap[0] / 2) * sx, (dy.abs_() - share[1] * gap[1] / 2) * sy
    pane = torch.maximum(torch.maximum(across, down), within)
    b.paint((tone + spread * (chaos(i, j, b.between(0, 1)) - 0.5) * 2).clamp_(0, 1), pane)


def sky(b: Pen) -> tuple[Tensor, Tensor]:
    """Fill the picture with a sky, bright or at night, with or without clouds; returns two tones for what stands below."""
    night = b.chance(0.2)
    low = torch.lerp(b.between(0.68, 1.0), b.between(0.08, 0.3), night)
    top = torch.lerp(low * b.between(0.55, 1.0), low * b.between(0.4, 1.6), night)
    b.grey.copy_(top + (low - top) * ((b.v + 0.9) / 1.3).clamp_(0, 1))
    cloud = b.between(-0.4, 0.7) - b.rough - 0.4 * b.coarse
    b.paint(torch.lerp(b.between(0.45, 1.0), b.between(0.2, 0.45), night), cloud * 0.3, strength=b.chance(0.6) * 0.75, soft=5.0)
    first, second = (torch.lerp(low * b.between(0.3, 0.78), low + b.between(0.15, 0.5), night) for _ in range(2))
    return first, second


def tree(b: Pen, x: Number, foot: Number, high: Number, *, tone: Number, strength: Number = 1.0) -> None:
    """A tree with a round or a pointed crown."""
    pointed = b.chance(0.35)
    b.paint(tone * 0.6, b.line((x, foot), (x, foot - 0.6 * high), 0.045 * high), strength=strength)
    r = b.between(0.28, 0.42) * high
    ball = b.oval(x, foot - 0.66 * high, r, 0.36 * high)
    along = (b.v - foot + high) / high  # 0 at the tip, 1 at the foot
    cone = torch.maximum((b.u - x).abs() - 0.8 * r * along, b.v - foot + 0.12 * high)
    crown = torch.lerp(ball, cone, pointed) + 0.11 * high * b.leafy.clamp(-1, 1)
    b.paint((tone * (1 + 0.35 * b.leafy - 0.5 * (b.u - x))).clamp_(0, 1), crown, strength=strength)


def car(b: Pen, x: Number, y: Number, r: Number, *, strength: Number = 1.0) -> None:
    """A car as seen from the front or the back, 2r wide, that stands at y."""
    tone = b.between(0.05, 0.95)
    b.paint(0.05, b.box(x, y - 0.1 * r, 0.9 * r, 0.2 * r), strength=strength)
    b.paint(tone, b.box(x, y - 0.6 * r, r, 0.38 * r), b.box(x, y - 1.05 * r, 0.74 * r, 0.4 * r), strength=strength)
    b.paint(0.9 - tone * 0.85, b.box(x, y - 1.12 * r, 0.6 * r, 0.22 * r), strength=strength)


def person(b: Pen, x: Number, foot: Number, high: Number, *, tone: Number, strength: Number = 1.0) -> None:
    """A person who stands there."""
    b.paint(tone, b.oval(x, foot - 0.9 * high, 0.075 * high, 0.1 * high), strength=strength)
    legs = (b.line((x, foot - 0.5 * high), (x + side * high, foot), 0.05 * high) for side in (-0.08, 0.08))
    b.paint(tone * 0.6, b.line((x, foot - 0.7 * high), (x, foot - 0.45 * high), 0.11 * high), *legs, strength=strength)


Draw = Callable[[Pen], None]
