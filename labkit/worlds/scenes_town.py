"""The scenes of high walls: industry, facades and towers."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.canvas import Number
from labkit.worlds.scenes_brush import Pen, car, cells, person, sky, windows


def _smoke(b: Pen, x: Tensor, y: Tensor, *, strength: Number) -> None:
    """Smoke that drifts from a chimney."""
    drift, tone = b.between(0.1, 0.6), b.between(0.55, 1.0)
    puffs = [b.oval(x + drift * k * 0.5, y - 0.11 * k, 0.07 + 0.05 * k, 0.06 + 0.035 * k) + 0.03 * b.rough for k in range(1, 5)]
    b.paint((tone + 0.1 * b.rough).clamp_(0, 1), *puffs, strength=strength * 0.85, soft=3.0)


def _chimney(b: Pen, x: Tensor, foot: Tensor, top: Tensor, r: Tensor, tone: Tensor) -> None:
    """A chimney with rings, and often smoke."""
    _smoke(b, x, top, strength=b.chance(0.7))
    stack = torch.maximum((b.u - x).abs() - r * (1 + 0.5 * (b.v - top)), torch.maximum(top - b.v, b.v - foot))
    b.paint((tone * (1 - 0.35 * (b.u - x) / r)).clamp_(0, 1), stack)
    rings = (b.v - top).remainder(0.22) - 0.09
    b.paint((tone + 0.45).remainder(1), torch.maximum(stack, torch.maximum(rings, b.v - top - 0.5)), strength=b.chance(0.5))


def industrial_works(b: Pen) -> None:
    """Halls under saw-toothed roofs, and chimneys."""
    land, tone = sky(b)
    foot = b.between(0.35, 0.75)
    for low, high in ((-0.8, -0.2), (-0.1, 0.4), (0.4, 0.9)):
        _chimney(b, b.between(low, high), foot, b.between(-0.85, -0.3), b.between(0.045, 0.09), tone * b.between(0.6, 1.3))
    top, gap = foot - b.between(0.4, 0.7), b.between(0.28, 0.5)
    _, dx = cells(b.u + b.between(0, 1), gap)
    saw = top - b.between(0.3, 0.6) * (dx + gap / 2) * b.chance(0.75)
    hall = torch.maximum(saw - b.v, b.v - foot)
    b.paint(tone * b.between(0.8, 1.2), hall)
    b.paint(tone * 0.55, torch.maximum((saw + 0.03 - b.v).abs() - 0.025, hall))
    band = torch.maximum(hall, top + 0.1 - b.v)
    windows(b, b.u, b.v - top, (b.between(0.14, 0.25), foot - top), (0.7, 0.3), band, tone=b.between(0.05, 0.9))
    b.paint((land * (1 + 0.12 * b.leafy)).clamp_(0, 1), foot - b.v)


def industrial_tanks(b: Pen) -> None:
    """Round tanks and silos, pipes between them."""
    land, tone = sky(b)
    foot = b.between(0.3, 0.7)
    _chimney(b, b.between(-0.9, 0.9), foot, b.between(-0.9, -0.5), b.between(0.04, 0.07), tone)
    metal = b.between(0.5, 0.95)
    squat = b.chance(0.5)
    for k, (low, high) in enumerate(((-0.85, -0.5), (0.5, 0.85), (-0.15, 0.15))):
        x, r = b.between(low, high), torch.lerp(b.between(0.16, 0.25), b.between(0.3, 0.42), squat)
        top, base = foot - torch.lerp(b.between(0.7, 1.1), b.between(0.3, 0.5), squat), foot + 0.05 * k
        shine = (1.0 - 0.5 * ((b.u - x) / r + 0.3).square()).clamp_(0.3, 1)
        body = torch.maximum((b.u - x).abs() - r, torch.maximum(top - b.v, b.v - base))
        b.paint(metal * shine, body, b.oval(x, base, r, 0.06))
        b.paint((metal * 1.15).clamp(max=1), b.oval(x, top, r, 0.22 * r + 0.02))
        b.paint(metal * 0.5, torch.maximum((b.v - top).remainder(0.2) - 0.025, body), strength=0.7)
    y = foot - b.between(0.05, 0.25)
    pipes = (b.v - y).abs() - 0.025, (b.v - y - 0.09).abs() - 0.016, b.row(-2.0, 2.0, y + 0.1, 0.02, 0.2, 0.4)
    b.paint(tone * 0.5, *pipes, strength=b.chance(0.7))
    b.paint((land * (1 + 0.12 * b.leafy)).clamp_(0, 1), foot + 0.1 - b.v)


def industrial_power(b: Pen) -> None:
    """Cooling towers, a chimney, and a mast with wires."""
    land, tone = sky(b)
    foot = b.between(0.35, 0.75)
    _chimney(b, b.between(-0.2, 0.2), foot, b.between(-0.95, -0.6), b.between(0.04, 0.07), tone)
    for low, high in ((-0.75, -0.35), (0.3, 0.75)):
        x, top, r = b.between(low, high), b.between(-0.5, -0.1), b.between(0.2, 0.3)
        _smoke(b, x, top, strength=b.chance(0.8))
        along = (b.v - top) / (foot - top)
        waist = r * (0.72 + 0.75 * (along - 0.3).square() * 1.3)
        body = torch.maximum((b.u - x).abs() - waist, torch.maximum(top - b.v, b.v - foot))
        b.paint((tone * (1.15 - 0.5 * (b.u - x) / r)).clamp_(0, 1), body)
    b.paint(tone * 0.7, b.box(b.between(-0.5, 0.5), foot, b.between(0.3, 0.6), b.between(0.1, 0.25)))
    b.paint((land * (1 + 0.12 * b.leafy)).clamp_(0, 1), foot - b.v)
    x, top, mast = b.between(-0.9, 0.9), b.between(-0.7, -0.3), b.chance(0.5)
    arms = torch.minimum(b.box(x, top + 0.12, 0.28, 0.012), b.box(x, top + 0.32, 0.36, 0.012))
    legs = b.line((x, top), (x + 0.16, 0.9), 0.016), b.line((x, top), (x - 0.16, 0.9), 0.016)
    wires = (b.v - top - 0.14 - 0.12 * (b.u - x).square()).abs() - 0.008
    b.paint(tone * 0.3, arms, *legs, wires, strength=mast)


def _shop(b: Pen, top: Tensor, foot: Tensor, wall: Tensor) -> None:
    """A ground floor with shop windows, a door, and an awning with stripes."""
    b.paint(b.between(0.05, 0.5), torch.maximum(top - b.v, b.v - foot))
    glass = b.between(0.05, 0.95)
    gap = (b.between(0.5, 0.9), foot - top)
    windows(b, b.u + b.between(0, 1), b.v - top, gap, (0.82, 0.7), top + 0.1 - b.v, tone=glass, spread=0.25)
    b.paint(wall * 0.4, b.box(b.between(-0.8, 0.8), (top + foot) / 2 + 0.1, 0.12, (foot - top) / 2 - 0.1))
    x, r = b.between(-0.6, 0.6), b.between(0.35, 0.9)
    awning = torch.maximum((b.u - x).abs() - r - 0.3 * (b.v - top), torch.maximum(top - b.v, b.v - top - b.between(0.12, 0.24)))
    light = b.between(0.5, 1.0)
    there = b.chance(0.65)
    b.paint(light, awning, strength=there)
    stripes = torch.maximum(awning, cells(b.u, b.between(0.12, 0.2))[1].abs() - 0.035)
    b.paint(light * 0.3, stripes, strength=there * b.chance(0.75))
    b.paint(b.between(0.3, 0.8), foot - b.v)


def insidecity_shop(b: Pen) -> None:
    """One facade from the front, a shop below it."""
    wall, pane = b.between(0.25, 0.9), b.between(0.03, 0.3)
    b.grey.copy_((wall * (1 + 0.05 * b.leafy)).expand_as(b.grey))
    gap = (b.between(0.4, 0.65), b.between(0.5, 0.75))
    courses = (b.v.remainder(0.09) - 0.012).abs() - 0.012
    b.paint(wall * 0.85, courses, strength=b.chance(0.4))
    top = b.between(0.1, 0.4)
    x, y, above = b.u + b.between(0, 1), b.v - top, b.v - top + 0.08
    rim = torch.where(b.between(0, 1) < 0.5, (wall + 0.3).clamp(max=1), wall * 0.65)
    windows(b, x, y, gap, (0.62, 0.74), above, tone=rim, spread=0.0)
    windows(b, x, y, gap, (0.48, 0.62), above, tone=pane, spread=0.1)
    dx, dy = cells(x, gap[0])[1].abs_(), cells(y, gap[1])[1].abs_()
    bars = torch.maximum(torch.minimum(dx, dy) - 0.014, torch.maximum(dx - 0.24 * gap[0], dy - 0.31 * gap[1]))
    b.paint(rim, torch.maximum(bars, above), strength=b.chance(0.6))
    _shop(b, top, b.between(0.75, 1.0), wall)


def insidecity_row(b: Pen) -> None:
    """Narrow houses side by side, each with its own windows."""
    foot = b.between(0.6, 0.9)
    first, second = b.between(-0.5, -0.1), b.between(0.2, 0.6)
    last = b.between(0.3, 0.9)
    sky(b)
    for left, right in ((first - 2, first), (first, second), (second, second + 2)):
        last = (last + b.between(0.25, 0.6)).remainder(0.8) + 0.15
        house = torch.maximum(torch.maximum(left - b.u, b.u - right), torch.maximum(b.between(-1.5, -0.75) - b.v, b.v - foot))
        b.paint((last * (1 + 0.05 * b.leafy)).clamp(max=1), house)
        gap = (b.between(0.26, 0.42), b.between(0.36, 0.52))
        x, y = b.u - left, b.v - foot
        windows(b, x, y, gap, (0.72, 0.76), house, tone=(last + 0.25).clamp(max=1), spread=0.0)
        windows(b, x, y, gap, (0.52, 0.6), house, tone=b.between(0.02, 0.25) + (last < 0.35).float() * 0.5)
        b.paint(last * 0.45, b.box(left + b.between(0.15, 0.4), foot - 0.17, 0.09, 0.17))
    b.paint(b.between(0.3, 0.8), foot - b.v)
    parked = b.chance(0.5)
    for low, high in ((-0.9, -0.1), (0.1, 0.9)):
        car(b, b.between(low, high), foot + 0.2, b.between(0.2, 0.3), strength=parked)


def insidecity_oblique(b: Pen) -> None:
    """A facade that runs away to one side, with cornices and balconies."""
    sky(b)
    x, y = b.between(1.5, 2.6), b.between(0.1, 0.6)
    near = (x - b.u).clamp(min=0.2)
    along, up = 1 / near, (b.v - y) / near  # the wall is a plane: its far end is at x
    wall, foot = b.between(0.25, 0.85), b.between(0.18, 0.3)
    face = torch.maximum((up - foot) * near, (b.between(-1.3, -0.55) - up) * near)
    b.paint((wall * (0.8 + 0.5 / near)).clamp_(0, 1), face)
    gap = (b.between(0.09, 0.15), b.between(0.2, 0.3))
    upper = torch.maximum(face, (up - foot + gap[1]) * near)
    scale = {"sx": near * near, "sy": near}
    rim = torch.where(wall > 0.55, wall * 0.7, wall + 0.3)
    windows(b, along, up - foot, gap, (0.68, 0.74), upper, tone=rim, spread=0.0, **scale)
    windows(b, along, up - foot, gap, (0.5, 0.6), upper, tone=b.between(0.03, 0.3), **scale)
    balcony = (cells(up - foot, gap[1])[1] - 0.4 * gap[1]).abs() - 0.02
    b.paint(rim * 0.7, torch.maximum(upper, balcony * near), strength=b.chance(0.6))
    b.paint(wall * 0.35, torch.maximum(face, (foot - gap[1] - up) * near))
    windows(b, along, up - foot, (gap[0] * 1.5, gap[1]), (0.75, 0.7), face, tone=b.between(0.5, 1.0), spread=0.4, **scale)
    b.paint(b.between(0.3, 0.75), (foot - up) * near)
    person(
        b, b.between(-0.6, 0.5), b.between(0.75, 0.95), b.between(0.35, 0.55), tone=b.between(0.05, 0.3), strength=b.chance(0.5)
    )


def tallbuilding_tower(b: Pen) -> None:
    """A tower from below: its edges lean together."""
    sky(b)
    x, y = b.between(-0.4, 0.4), b.between(-4.0, -2.0)
    near = (b.v - y).clamp(min=0.3)
    across, up = (b.u - x) / near, 1 / near
    low, high = b.between(-0.32, -0.2), b.between(0.2, 0.32)
    corner, top = low + (high - low) * b.between(0.15, 0.85), b.between(-1.4, -0.55)
    slope = b.between(-0.4, 0.4)
    for left, right, lean in ((low, corner, slope), (corner, high, -slope * b.between(0.3, 1))):
        line = up + lean * 0.3 * (across - corner)
        sides = torch.maximum((left - across) * near, (across - right) * near)
        face = torch.maximum(sides, top - b.v - lean * (across - corner) * near)
        wall = b.between(0.15, 0.9)
        b.paint(wall, face)
        pane = torch.where(wall > 0.5, wall * b.between(0.2, 0.6), wall + b.between(0.2, 0.5))
        gap = (b.between(0.035, 0.07), b.between(0.017, 0.03))
        share = (b.between(0.5, 0.95), b.between(0.45, 0.75))
        windows(b, across - corner, line, gap, share, face, tone=pane, sx=near, sy=near * near)


def tallbuilding_skyline(b: Pen) -> None:
    """Several towers side by side."""
    _, tone = sky(b)
    mast = b.chance(0.5)
    foot = b.between(0.75, 1.3)
    for left, right in ((-1.0, -0.5), (0.3, 0.9), (-0.5, 0.1), (0.6, 1.0), (-0.3, 0.5)):
        x, r, top = b.between(left, right), b.between(0.13, 0.28), b.between(-0.85, 0.0)
        wall = (tone * b.between(0.5, 1.4)).clamp(0.05, 0.95)
        face = torch.maximum((b.u - x).abs() - r, torch.maximum(top - b.v, b.v - foot))
        b.paint(wall, face)
        b.paint(wall, torch.maximum((b.u - x).abs() - 0.02, torch.maximum(top - 0.25 - b.v, b.v - top)), strength=mast)
        pane = torch.where(wall > 0.45, wall * 0.45, wall + 0.3)
        gap = (b.between(0.08, 0.14), b.between(0.09, 0.15))
        windows(b, b.u - x, b.v - top, gap, (b.between(0.5, 0.95), 0.5), face, tone=pane, spread=0.25)
        b.paint(wall * 0.6, torch.maximum(face, x + 0.55 * r - b.u), strength=0.6)
    b.paint((tone * (0.5 + 0.2 * b.leafy)).clamp_(0, 1), foot - b.v + 0.06 * b.rough)


def tallbuilding_facade(b: Pen) -> None:
    """A high wall of windows up close, tilted, with sky at one side and another tower behind."""
    sky(b)
    turn, y = b.between(0.12, 0.5), b.between(-3.5, -1.6)
    near = (b.v - y).clamp(min=0.3)
    back = b.between(0.2, 0.8)
    far = torch.maximum((b.u - b.between(0.4, 0.9)).abs() - b.between(0.15, 0.3), b.between(-0.6, 0.2) - b.v)
    b.paint(back, far)
    windows(b, b.u, b.v, (0.11, 0.12), (0.6, 0.5), far, tone=(back + 0.4).remainder(1))
    edge, wall = b.between(-0.1, 0.5) + turn * 0.5 * (b.v + 1), b.between(0.15, 0.9)
    face = torch.maximum(b.u - edge, (b.between(-1.8, -0.7) - b.v + turn * (edge - b.u) * -0.8))
    b.paint((wall * (1 + 0.1 * b.v)).clamp_(0, 1), face)
    rows = b.v - turn * 1.4 * (b.u - edge) * (0.3 - b.v * 0.5)
    pane = torch.where(wall > 0.5, wall * b.between(0.2, 0.6), wall + b.between(0.2, 0.5))
    gap = (b.between(0.13, 0.22), b.between(0.15, 0.24))
    share = (b.between(0.55, 0.97), b.between(0.4, 0.7))
    windows(b, (b.u - edge) / near * 2, rows, gap, share, face, tone=pane, sx=near / 2, spread=0.2)
