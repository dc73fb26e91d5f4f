"""The scenes along a road: highway and street."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.scenes_brush import Pen, car, chaos, person, sky, tree, windows
from labkit.worlds.scenes_land import ground


def _road(b: Pen, horizon: Tensor, x: Tensor, bend: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    """A road of two or more lanes that goes to the horizon: coordinate across it (edges at -1, 1), and its distance."""
    far = (b.v - horizon).clamp(min=0.004)
    across = (b.u - x - bend * (1 - far).clamp(min=0) ** 2 * far) / (far * wide)
    road = torch.maximum((across.abs() - 1) * far * wide, horizon - b.v)
    tone = b.between(0.2, 0.6)
    b.paint(tone * (1 + 0.05 * b.leafy), road)
    paint = (tone + b.between(0.3, 0.5)).clamp(max=1)
    dash = torch.sin(b.between(3.5, 6.0) / far + b.between(0, 6)) * 0.2 * far
    line = ((across.abs() - 0.9).abs() - 0.045) * far * wide
    lanes = b.between(0, 1)
    middle = torch.where(lanes < 0.5, across.abs(), (across.abs() - 0.33).abs())
    b.paint(paint, torch.maximum(torch.minimum(line, torch.maximum((middle - 0.035) * far * wide, dash)), horizon + 0.02 - b.v))
    return across, road


def _traffic(b: Pen, horizon: Tensor, x: Tensor, bend: Tensor, wide: Tensor) -> None:
    """Up to three cars on the lanes of a road."""
    for near, far in ((0.1, 0.25), (0.25, 0.5), (0.5, 0.95)):
        d = b.between(near, far)
        lane = torch.where(b.between(0, 1) < 0.5, -0.5, 0.5) + b.between(-0.12, 0.12)
        at = x + bend * (1 - d) ** 2 * d + lane * d * wide
        car(b, at, horizon + d, 0.26 * d * wide, strength=b.chance(0.6))


def highway_plain(b: Pen) -> None:
    """A straight road through fields."""
    land, hills = sky(b)
    horizon, x = b.between(-0.35, 0.15), b.between(-0.5, 0.5)
    b.paint(
        hills, horizon - 0.05 - b.between(0, 0.12) * (1 + torch.sin(3 * b.u + b.between(0, 6))) - b.v, strength=b.chance(0.7)
    )
    ground(b, horizon, land)
    wide, none = b.between(0.8, 1.5), torch.zeros_like(x)
    _road(b, horizon, x, none, wide)
    _traffic(b, horizon, x, none, wide)
    for side in (-1.0, 1.0):
        there = b.chance(0.5)
        for d in (0.15, 0.35):
            at = x + side * d * wide * 1.25
            b.paint(land * 0.7, b.line((at, horizon + d), (at, horizon - d), 0.03 * d + 0.008), strength=there)


def highway_bend(b: Pen) -> None:
    """A road that bends away, trees or slopes at its sides, a rail along it."""
    land, hills = sky(b)
    horizon, x = b.between(-0.4, 0.05), b.between(-0.3, 0.3)
    bend = b.between(0.6, 1.6) * torch.where(b.between(0, 1) < 0.5, -1.0, 1.0)
    slope = horizon - b.between(0.0, 0.7) * (b.u * b.between(-1, 1)).clamp(min=0) - 0.1 + 0.08 * b.rough
    b.paint((hills * (1 + 0.3 * b.leafy)).clamp_(0, 1), slope - b.v)
    ground(b, horizon, land)
    wide = b.between(0.9, 1.5)
    across, _ = _road(b, horizon, x, bend, wide)
    far = (b.v - horizon).clamp(min=0.004)
    rail = torch.maximum(((across.abs() - 1.22).abs() - 0.06) * far * wide, horizon + 0.03 - b.v)
    b.paint(b.between(0.6, 1.0), rail, strength=b.chance(0.6))
    _traffic(b, horizon, x, bend, wide)


def highway_bridge(b: Pen) -> None:
    """Two carriageways under a bridge or a gantry of signs."""
    land, hills = sky(b)
    horizon, x = b.between(-0.2, 0.2), b.between(-0.35, 0.35)
    b.paint((hills * (1 + 0.25 * b.leafy)).clamp_(0, 1), horizon - b.between(0.05, 0.25) + 0.06 * b.rough - b.v)
    ground(b, horizon, land)
    wide, none = b.between(1.1, 1.9), torch.zeros_like(x)
    across, _ = _road(b, horizon, x, none, wide)
    far = (b.v - horizon).clamp(min=0.004)
    b.paint(land, torch.maximum((across.abs() - 0.12) * far * wide, horizon - b.v), strength=b.chance(0.6))
    y, r = horizon - b.between(0.2, 0.5), b.between(0.04, 0.1)
    tone = b.between(0.1, 0.9)
    bridge = b.chance(0.5)
    b.paint(tone, b.box(0.0, y, 3.0, r), strength=bridge)
    b.paint(tone * 0.6, b.box(x, (y + horizon) / 2, 0.04, (horizon - y) / 2 + 0.1), strength=bridge)
    pillars = torch.maximum(((b.u - x).abs() - 0.6).abs() - 0.05, torch.maximum(b.v - horizon - 0.1, y - b.v))
    b.paint(tone * 0.6, pillars, strength=bridge)
    posts = torch.maximum(((b.u - x).abs() - 0.75).abs() - 0.025, torch.maximum(y - b.v, b.v - horizon - 0.4))
    b.paint(0.5, posts, torch.maximum((b.v - y).abs() - 0.02, (b.u - x).abs() - 0.75), strength=1 - bridge)
    sign = torch.where(tone < 0.5, tone * 0.5, tone)
    b.paint(sign, b.box(x - 0.35, y, 0.24, 0.14), b.box(x + 0.3, y, 0.2, 0.14), strength=1 - bridge)
    b.paint((sign + 0.5).remainder(1), b.row(x - 0.55, x + 0.45, y, 0.08, 0.03, 0.25), strength=1 - bridge)
    _traffic(b, horizon, x, none, wide)


def _terrace(b: Pen, side: float, x: Tensor, horizon: Tensor, foot: Tensor, end: Tensor, tall: tuple[float, float]) -> None:
    """A row of houses on one side of a street that runs to (x, horizon)."""
    s = (side * (b.u - x)).clamp(min=0.02)
    along, up = 1 / s, (b.v - horizon) / s
    i = torch.floor(torch.log(along) * b.between(1.8, 3.0))
    seed, wall = b.between(0, 1), b.between(0.25, 0.85)
    top = tall[0] + (tall[1] - tall[0]) * chaos(i, 1.0, seed)
    tone = (wall + 0.35 * (chaos(i, 2.0, seed) - 0.5)).clamp(0.1, 1)
    face = torch.maximum(torch.maximum((up - foot) * s, (-top - up) * s), end - side * (b.u - x))
    b.paint(tone, face)
    gap = (b.between(0.28, 0.5), b.between(0.32, 0.5))
    upper = torch.maximum(face, (up - foot + 0.25) * s)
    windows(b, along, up - foot, gap, (0.5, 0.58), upper, tone=tone * 0.3, sx=s * s, sy=s, spread=0.2)
    b.paint(tone * 0.45, torch.maximum(face, (foot - 0.3 - up) * s), strength=b.chance(0.6))


def _street(b: Pen, tall: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    sky(b)
    x, horizon = b.between(-0.4, 0.4), b.between(-0.05, 0.3)
    foot, wide = b.between(0.3, 0.5), b.between(1.0, 2.0)
    tone = b.between(0.2, 0.7)
    b.paint(tone, horizon - b.v)
    kerb = torch.maximum((b.u - x).abs() - wide * (b.v - horizon), horizon - b.v)
    b.paint(torch.where(tone < 0.45, tone + 0.25, tone * 0.6), torch.maximum(-kerb, horizon - b.v))
    line = torch.maximum((b.u - x).abs() - 0.04 * (b.v - horizon), horizon - b.v)
    b.paint(0.95, torch.maximum(line, torch.sin(3 / (b.v - horizon).clamp(min=0.03)) * 0.1), strength=b.chance(0.5))
    end = b.between(0.06, 0.18)
    for side in (-1.0, 1.0):
        _terrace(b, side, x, horizon, foot, end, tall)
    return x, horizon, foot


def _parked(b: Pen, x: Tensor, horizon: Tensor, foot: Tensor) -> None:
    for side in (-1.0, 1.0):
        for near, far in ((0.2, 0.35), (0.4, 0.7)):
            d = b.between(near, far)
            car(b, x + side * d / foot * b.between(0.6, 0.8), horizon + d, 0.38 * d, strength=b.chance(0.55))


def street_narrow(b: Pen) -> None:
    """A street between tall houses."""
    x, horizon, foot = _street(b, (1.1, 2.4))
    _parked(b, x, horizon, foot)
    person(b, x + b.between(-0.3, 0.3), horizon + 0.45, 0.5, tone=b.between(0.02, 0.3), strength=b.chance(0.5))


def street_trees(b: Pen) -> None:
    """A street of low houses with trees or lamps along it."""
    x, horizon, foot = _street(b, (0.5, 1.1))
    kind, leaf, whole = b.between(0, 1), b.between(0.1, 0.6), b.u
    b.u = (whole - x).abs()  # both sides at once
    for d in (0.14, 0.32):
        at, base = d / foot * b.between(0.9, 1.2), horizon + d
        tree(b, at, base, 2.2 * d + 0.1, tone=leaf, strength=(kind < 0.6).float())
        top = base - 2.4 * d
        post = b.line((at, base), (at, top), 0.03 * d + 0.006), b.line((at, top), (at - 0.4 * d, top), 0.04 * d)
        b.paint(0.1, *post, strength=(kind > 0.5).float())
    b.u = whole
    _parked(b, x, horizon, foot)


def street_end(b: Pen) -> None:
    """A street that ends at a building or a tower."""
    x, horizon, foot = _street(b, (0.7, 1.7))
    r, top, tone = b.between(0.1, 0.2), b.between(0.25, 0.7), b.between(0.2, 0.9)
    b.paint(tone, b.box(x, horizon - top / 2 + 0.05, r, top / 2))
    spire = b.shape((x - r, horizon - top + 0.05), (x, horizon - top - 0.3), (x + r, horizon - top + 0.05))
    b.paint(tone * 0.6, spire, strength=b.chance(0.6))
    inside = b.box(x, horizon - top / 2, r - 0.02, top / 2 - 0.05)
    windows(b, b.u - x, b.v, (0.12, 0.16), (0.5, 0.6), inside, tone=tone * 0.35)
    _parked(b, x, horizon, foot)
