"""The scenes without people's works: coast, forest, mountain and open country."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.canvas import Number
from labkit.worlds.scenes_brush import Pen, cells, chaos, sky, tree


def _water(b: Pen, horizon: Tensor, surface: Tensor, tone: Tensor) -> None:
    """A sea with waves that grow towards the viewer."""
    far = (b.v - horizon).clamp(min=0) + 0.06
    b.paint(tone * (1 + 0.25 * far), surface)
    swell = torch.sin(b.between(9, 15) * torch.log(far) + 1.5 * b.rough + b.between(-2, 2) * b.u)
    crest = torch.maximum(surface, (b.between(0.2, 0.8) - swell) * far * 0.3)
    b.paint((tone + b.between(0.15, 0.4)).clamp(max=1), crest, strength=0.85)
    b.paint(tone * 0.6, torch.maximum(surface, (swell + 0.65) * far * 0.3), strength=b.between(0.1, 0.6))


def _surf(b: Pen, shore: Tensor) -> None:
    """White lines of foam along a shore."""
    ragged = shore + 0.05 * b.rough
    b.paint(b.between(0.85, 1.0), (ragged.abs() - b.between(0.02, 0.05)))
    b.paint(0.9, (ragged + b.between(0.14, 0.24)).abs() - 0.018, strength=b.chance(0.7) * 0.8)


def coast_beach(b: Pen) -> None:
    """The open sea, and sand before it."""
    sky(b)
    horizon = b.between(-0.45, 0.15)
    sea = b.between(0.12, 0.6)
    _water(b, horizon, horizon - b.v, sea)
    line = horizon + b.between(0.35, 0.8) + b.between(-0.35, 0.5) * b.u
    shore = torch.maximum(line - b.v + 0.06 * torch.sin(3 * b.u + b.between(0, 6)), horizon + 0.05 - b.v)
    sand = b.between(0.55, 0.9)
    b.paint((sand * (1 + 0.06 * b.leafy)).clamp(max=1), shore)
    _surf(b, shore)
    sun = b.between(-0.8, 0.8)
    b.paint(1.0, torch.maximum((b.u - sun).abs() - 0.12 - 0.1 * b.rough, horizon - b.v), strength=b.chance(0.3) * 0.6)


def coast_cliff(b: Pen) -> None:
    """A headland that falls into the sea."""
    _, rock = sky(b)
    horizon = b.between(-0.4, 0.2)
    sea = b.between(0.12, 0.6)
    _water(b, horizon, horizon - b.v, sea)
    edge = b.between(-0.3, 0.35)
    top = horizon - b.between(0.15, 0.6) + 0.07 * b.rough
    foot = horizon + b.between(0.08, 0.4) + b.between(0.0, 0.35) * (edge - b.u)
    slope = edge + b.between(0.25, 0.7) * (b.v - horizon) + 0.12 * b.rough
    land = torch.maximum(torch.maximum(b.u - slope, (top - b.v) * 0.9), b.v - foot)
    b.paint((rock * (1 + 0.35 * b.rough + 0.2 * b.leafy)).clamp_(0.02, 1), land)
    b.paint((rock * 0.6 + 0.1 * b.leafy).clamp_(0, 1), torch.maximum(land, b.v - top - 0.12), strength=0.8)
    wash = torch.maximum((b.v - foot).abs() - 0.05 - 0.04 * b.rough, b.u - slope - 0.1)
    b.paint(0.95, wash, strength=0.9)


def coast_bay(b: Pen) -> None:
    """A bay from above: the shore runs away to the horizon, hills behind it."""
    land, hills = sky(b)
    horizon = b.between(-0.45, 0.0)
    b.paint(hills, torch.maximum(horizon - 0.12 - 0.1 * torch.sin(2.5 * b.u + b.between(0, 6)) - b.v, b.v - horizon))
    _water(b, horizon, horizon - b.v, b.between(0.15, 0.6))
    far = (b.v - horizon).clamp(min=0.01)
    line = b.between(-0.2, 0.5) - b.between(0.6, 1.4) * far + 0.25 * torch.sin(5 * far.sqrt() + b.between(0, 6)) * far
    shore = torch.maximum(b.u - line, horizon - b.v)
    b.paint((b.between(0.6, 0.95) * (1 + 0.05 * b.leafy)).clamp(max=1), shore)
    _surf(b, shore)
    bush = shore + b.between(0.25, 0.5) * far + 0.1 * b.rough
    b.paint((land * (0.8 + 0.35 * b.leafy)).clamp_(0, 1), bush)


def _trunks(b: Pen, gap: Number, wide: Number, tone: Tensor, foot: Tensor) -> None:
    i, dx = cells(b.u + b.between(-0.08, 0.08) * b.v + b.between(0, 1), gap)
    seed = b.between(0, 1)
    off = dx - (chaos(i, 0.0, seed) - 0.5) * gap * 0.6
    r = wide * (0.5 + chaos(i, 1.0, seed)) * (1 + 0.12 * b.v)
    round_ = (1.1 - 0.5 * off / r * torch.sign(seed - 0.5) + 0.2 * b.leafy).clamp_(0.2, 1.8)
    b.paint((tone * round_).clamp_(0, 1), torch.maximum(off.abs() - r, b.v - foot - 0.15 * chaos(i, 2.0, seed)))


def forest_trunks(b: Pen) -> None:
    """Many thin trunks, pale or dark, with light between them."""
    back = b.between(0.2, 0.85)
    b.grey.copy_((back * (1 + 0.25 * b.leafy + 0.2 * b.coarse)).clamp_(0, 1))
    floor = b.between(0.3, 0.75)
    b.paint((back * b.between(0.5, 0.9) + 0.14 * b.leafy).clamp_(0, 1), floor - 0.15 - b.v + 0.1 * b.rough)
    tone = torch.where(back > 0.5, back * b.between(0.1, 0.5), back + b.between(0.25, 0.5))
    _trunks(b, b.between(0.16, 0.26), b.between(0.018, 0.03), torch.lerp(tone, back, 0.5), floor - 0.1)
    _trunks(b, b.between(0.35, 0.55), b.between(0.035, 0.055), tone, floor)
    _trunks(b, b.between(0.7, 1.1), b.between(0.06, 0.1), tone * 0.9, floor + 0.25)


def forest_oaks(b: Pen) -> None:
    """A few big trunks with branches under leaves."""
    back = b.between(0.25, 0.8)
    b.grey.copy_((back * (1 + 0.4 * b.leafy)).clamp_(0, 1))
    floor = b.between(0.35, 0.75)
    b.paint((back * b.between(0.6, 1.2) * (1 + 0.25 * b.leafy)).clamp_(0, 1), floor - b.v)
    tone = back * b.between(0.15, 0.45)
    _trunks(b, b.between(0.4, 0.7), b.between(0.03, 0.05), torch.lerp(tone, back, 0.35), floor)
    for low, high in ((-0.9, -0.1), (0.1, 0.9)):
        x, r, fork = b.between(low, high), b.between(0.08, 0.15), b.between(-0.6, 0.1)
        lean = b.between(-0.2, 0.2)
        bark = (tone * (1 + 0.35 * b.leafy)).clamp_(0, 1)
        arm = b.line((x, fork + 0.2), (x + b.between(0.3, 0.7), fork - 0.5), r * 0.5, r * 0.2)
        other = b.line((x, fork), (x - b.between(0.3, 0.7), fork - 0.5), r * 0.45, r * 0.2)
        b.paint(bark, b.line((x, floor + b.between(0.0, 0.4)), (x + lean, -1.6), r, r * 0.7), arm, other)
    leaves = b.between(0.1, 0.9) - b.rough * 0.9 - 0.5 * b.leafy - 0.8 * (-b.v - 0.2)
    b.paint((back * b.between(0.6, 1.5) * (1 + 0.45 * b.leafy)).clamp_(0, 1), leaves * 0.3, strength=0.9)


def forest_path(b: Pen) -> None:
    """A path between trees whose leaves close above it."""
    back = b.between(0.25, 0.7)
    b.grey.copy_((back * (1 + 0.45 * b.leafy + 0.15 * b.coarse)).clamp_(0, 1))
    x, end = b.between(-0.35, 0.35), b.between(-0.1, 0.25)
    glow = b.between(0.75, 1.0)
    b.paint((glow + 0.1 * b.leafy).clamp_(0, 1), b.oval(x, end - 0.25, b.between(0.15, 0.3), 0.4) + 0.08 * b.leafy, soft=3.0)
    b.paint((back * b.between(0.6, 1.1) * (1 + 0.3 * b.leafy)).clamp_(0, 1), end - b.v + 0.03 * b.rough)
    far = (b.v - end).clamp(min=0)
    way = (b.u - x - b.between(-0.5, 0.5) * far * far).abs() - 0.05 - b.between(0.3, 0.6) * far + 0.05 * b.rough
    b.paint((back + b.between(0.2, 0.4) + 0.06 * b.leafy).clamp_(0, 1), torch.maximum(way, end - b.v))
    tone = back * b.between(0.12, 0.45)
    for side in (-1.0, 1.0):
        for away in (0.28, 0.55, 1.0):
            at = x + side * away * b.between(0.75, 1.2)
            r = 0.1 * away * b.between(0.5, 1.1)
            b.paint(tone * (1.9 - 0.9 * away), b.line((at, end + 0.55 * away), (at + 0.1 * side * away, -1.5), r, 0.7 * r))


def _peak(b: Pen, x: Tensor, y: Tensor, rock: Tensor, snow: Tensor, line: Tensor, light: Tensor) -> None:
    """A peak with its tip at (x, y), snow above `line`, one flank in the light."""
    left, right = b.between(0.55, 1.2), b.between(0.55, 1.2)
    dx = b.u - x
    slope = torch.where(dx < 0, -dx * left, dx * right)
    body = y + slope + 0.07 * b.rough - b.v
    crest = dx - 0.28 * b.rough * (b.v - y).clamp(0, 1) - b.between(-0.3, 0.3) * (b.v - y)
    lit = ((crest * light * 8).clamp(-1, 1) + 1) / 2
    b.paint((rock * (0.6 + 0.8 * lit) * (1 + 0.18 * b.leafy)).clamp_(0, 1), body)
    cap = line + 0.22 * b.rough + 0.1 * b.leafy
    b.paint((snow * (0.55 + 0.45 * lit)).clamp_(0, 1), torch.maximum(body, b.v - cap))


def _range(b: Pen, places: tuple[tuple[float, float, float, float], ...]) -> Tensor:
    """Peaks from back to front, each within (left, right, highest, lowest)."""
    land, rock = sky(b)
    rock, snow = rock * b.between(0.5, 1.0), b.between(0.85, 1.0)
    line, light = b.between(-0.35, 0.3), torch.where(b.between(0, 1) < 0.5, -1.0, 1.0)
    for left, right, high, low in places:
        y = b.between(high, low)
        _peak(b, b.between(left, right), y, rock, snow, torch.maximum(line, y + 0.15), light)
    return land


def mountain_peak(b: Pen) -> None:
    """One great peak behind foothills."""
    land = _range(b, ((-1.0, 1.0, -0.4, 0.0), (-0.45, 0.45, -0.85, -0.35)))
    b.paint((land * (1 + 0.3 * b.leafy)).clamp_(0, 1), b.wave(0.35, 0.9, 0.12) + 0.05 * b.leafy)


def mountain_range(b: Pen) -> None:
    """Several peaks, woods below them."""
    land = _range(b, ((-0.9, -0.2, -0.7, -0.3), (0.2, 0.9, -0.75, -0.3), (-0.5, 0.5, -0.4, 0.05)))
    i, dx = cells(b.u + b.between(0, 1), b.between(0.1, 0.18))
    tips = b.between(0.5, 0.95) - 0.25 * chaos(i, 0.0, b.between(0, 1)) + 2.2 * dx.abs() - b.v
    b.paint((land * (0.55 + 0.2 * b.leafy)).clamp_(0, 1), tips * 0.5, strength=b.chance(0.7))


def mountain_lake(b: Pen) -> None:
    """Peaks and their image in a lake."""
    level = b.between(0.2, 0.55)
    whole = b.v
    b.v = level - (b.v - level).abs()  # all is drawn twice, the second time upside down
    land = _range(b, ((-0.9, -0.1, -0.6, -0.2), (0.1, 0.8, -0.75, -0.3)))
    b.paint(
        (land * (0.8 + 0.3 * b.leafy)).clamp_(0, 1), level - 0.06 - 0.1 * torch.sin(2.2 * b.u + b.between(0, 6)).abs() - b.v
    )
    b.v = whole
    water = level - b.v
    b.paint(b.between(0.2, 0.7), water, strength=b.between(0.15, 0.5))
    ripple = torch.sin(b.between(25, 40) * (b.v - level).clamp(min=0).sqrt() + b.rough)
    b.paint(0.85, torch.maximum(water, (0.75 - ripple) * 0.05), strength=0.35)
    b.paint(land * 0.5, water.abs() - 0.018)


def ground(b: Pen, horizon: Tensor, tone: Tensor) -> None:
    """Land below the horizon."""
    b.paint((tone * (1 + 0.14 * b.leafy + 0.1 * b.coarse)).clamp_(0, 1), horizon - b.v)


def opencountry_hills(b: Pen) -> None:
    """Rolling hills, a patchwork of fields, a tree."""
    land, other = sky(b)
    for k in range(4):
        tone = torch.lerp(land, other, b.between(0, 1)) * b.between(0.8, 1.25)
        hill = b.wave(-0.4 + 0.3 * k, -0.15 + 0.33 * k, 0.12)
        stripes = torch.sin(b.between(8, 16) * (b.u * b.between(-1, 1) + b.v * 1.2))
        b.paint((tone * (1 + 0.1 * b.leafy)).clamp_(0, 1), hill)
        b.paint(tone * 0.75, torch.maximum(hill, (0.2 - stripes) * 0.08), strength=b.chance(0.35) * 0.6)
        b.paint(tone * 0.5, torch.maximum(hill.abs() - 0.025 - 0.04 * b.leafy, -0.2 * b.rough), strength=b.chance(0.5))
    tree(
        b,
        b.between(-0.7, 0.7),
        b.between(0.1, 0.5),
        b.between(0.3, 0.7),
        tone=land * b.between(0.3, 0.6),
        strength=b.chance(0.6),
    )


def opencountry_furrows(b: Pen) -> None:
    """A ploughed field whose furrows run to the horizon, and a lone tree."""
    land, other = sky(b)
    horizon, x = b.between(-0.3, 0.25), b.between(-0.9, 0.9)
    b.paint(other, horizon - b.between(0.0, 0.12) - 0.06 * torch.sin(2.5 * b.u + b.between(0, 6)) - b.v)
    ground(b, horizon, land)
    far = (b.v - horizon).clamp(min=0.004)
    furrow = torch.sin(b.between(7, 14) * (b.u - x) / (far + 0.12))
    b.paint(land * b.between(0.55, 0.75), torch.maximum((0.1 - furrow) * far * 0.3, horizon + 0.04 - b.v), strength=0.8)
    hedge = torch.maximum((b.v - horizon).abs() - 0.035 + 0.03 * b.leafy, b.between(-1, 0.5) - b.u)
    b.paint(land * 0.45, hedge, strength=b.chance(0.7))
    tree(b, b.between(-0.75, 0.75), horizon + b.between(0.02, 0.3), b.between(0.35, 0.85), tone=land * b.between(0.3, 0.6))


def opencountry_meadow(b: Pen) -> None:
    """A meadow under a wide sky, with bales or bushes, and a fence."""
    land, other = sky(b)
    horizon = b.between(-0.1, 0.5)
    b.paint((other * (1 + 0.15 * b.rough)).clamp_(0, 1), horizon - 0.08 - 0.1 * torch.sin(2 * b.u + b.between(0, 6)) - b.v)
    ground(b, horizon, land)
    bales = b.chance(0.5)
    for d in (0.06, 0.14, 0.28, 0.45):
        x, r = b.between(-1, 1), 0.03 + 0.3 * d
        tone = land * b.between(0.45, 0.7)
        bush = b.oval(x, horizon + d - r, 1.6 * r, r) + 0.05 * b.leafy
        b.paint(tone, torch.lerp(bush, b.oval(x, horizon + d - r, r, r), bales))
        b.paint(land * 1.3, b.oval(x - 0.3 * r, horizon + d - r, 0.5 * r, 0.6 * r), strength=bales * 0.7)
    fence, y = b.chance(0.5), horizon + b.between(0.25, 0.5)
    rails = (b.v - y + 0.02).abs().sub_(0.05).abs_() - 0.014
    b.paint(land * 0.35, b.row(-2.0, 2.0, y, 0.022, 0.14, 0.36), rails, strength=fence)
