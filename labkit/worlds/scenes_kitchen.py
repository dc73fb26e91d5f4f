"""The kitchen: cupboards, stove and worktop."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.canvas import Number
from labkit.worlds.scenes_brush import Pen, cells, chaos
from labkit.worlds.scenes_rooms import opening, room


def _cupboards(b: Pen, top: Number, low: Number, gap: Number, tone: Tensor) -> None:
    """A row of cupboard doors with rims and handles."""
    face = torch.maximum(top - b.v, b.v - low)
    b.paint(tone, face)
    _, dx = cells(b.u + b.between(0, 1), gap)
    rim = torch.where(tone > 0.5, tone * 0.55, tone + 0.3)
    b.paint(rim, torch.maximum(face, gap / 2 - 0.018 - dx.abs()))
    panel = torch.maximum(dx.abs() - gap / 2 + 0.07, (b.v - (top + low) / 2).abs() - (low - top) / 2 + 0.07)
    b.paint(rim, torch.maximum(panel.abs() - 0.012, face), strength=b.chance(0.5))
    handle = torch.maximum((dx - gap * 0.36).abs() - 0.016, (b.v - (top + low) / 2).abs() - 0.05)
    b.paint(rim * 0.6, torch.maximum(handle, face))


def _stove(b: Pen, x: Tensor, top: Tensor, low: Tensor, tone: Tensor) -> None:
    """An oven with a dark window, knobs and plates."""
    rx = 0.21
    b.paint(tone, b.box(x, (top + low) / 2, rx, (low - top) / 2))
    b.paint(0.08, b.box(x, (top + low) / 2 + 0.05, rx - 0.05, (low - top) / 2 - 0.12))
    b.paint((tone + 0.5).remainder(1), b.row(x - 0.19, x + 0.19, top + 0.05, 0.02, 0.02, 0.095))
    b.paint((tone + 0.4).remainder(1), b.box(x, top + 0.115, rx - 0.06, 0.014))
    b.paint(0.05, b.box(x, top - 0.01, rx - 0.02, 0.015))
    b.paint(b.between(0.4, 0.9), b.box(x - 0.08, top - 0.08, 0.075, 0.06), strength=b.chance(0.6))


def _hood(b: Pen, x: Tensor, low: Tensor) -> None:
    tone = b.between(0.3, 0.95)
    b.paint(tone * 0.85, b.box(x, low - 0.5, 0.09, 0.45))
    b.paint(tone, b.shape((x - 0.24, low), (x - 0.1, low - 0.17), (x + 0.1, low - 0.17), (x + 0.24, low)))
    b.paint(tone * 0.5, b.box(x, low + 0.015, 0.24, 0.02))


def _worktop(b: Pen, top: Tensor) -> None:
    """Bottles and pots on a worktop, and its board."""
    i, dx = cells(b.u, b.between(0.11, 0.2))
    seed = b.between(0, 1)
    tall = 0.04 + 0.16 * chaos(i, 0.0, seed)
    thing = torch.maximum(torch.maximum(dx.abs() - 0.035, top - tall - b.v), b.v - top)
    missing = (chaos(i, 1.0, seed) - 0.45) * 2  # in about half of the places stands nothing
    b.paint(chaos(i, 2.0, seed), torch.maximum(thing, missing))
    b.paint(b.between(0.05, 0.95), (b.v - top).abs() - 0.03)


def kitchen_line(b: Pen) -> None:
    """Cupboards above and below a worktop, an oven, a hood."""
    r = room(b)
    tone, gap = b.between(0.15, 0.95), b.between(0.28, 0.42)
    low, top = r.floor + b.between(0.2, 0.4), r.floor - b.between(0.1, 0.25)
    under = top - b.between(0.32, 0.42)
    tiles = torch.maximum(cells(b.u, 0.1)[1].abs(), cells(b.v, 0.1)[1].abs()) - 0.042
    b.paint((r.wall * 1.15).clamp(max=1), torch.maximum(tiles, torch.maximum(under - b.v, b.v - top)), strength=b.chance(0.6))
    _cupboards(b, under - b.between(0.45, 0.7), under, gap, tone)
    x, other = b.between(-0.5, 0.5), torch.where(b.between(0, 1) < 0.5, -0.7, 0.7)
    b.paint(r.wall, b.box(x, under - 0.3, 0.27, 0.45))
    _hood(b, x, under + 0.02)
    opening(b, x + other, under - 0.15, 0.24, 0.28, strength=b.chance(0.45))
    _cupboards(b, top, low, gap, tone)
    _worktop(b, top)
    _stove(b, x, top, low, b.between(0.1, 0.95))
    b.paint(r.dark, torch.maximum(low - b.v, b.v - low - 0.05))


def kitchen_galley(b: Pen) -> None:
    """A narrow kitchen in perspective, with cupboards at both sides and a window or fridge at its end."""
    r = room(b)
    x, y = b.between(-0.2, 0.2), b.between(-0.2, 0.05)
    opening(b, x, y - 0.05, 0.16, 0.2, strength=b.chance(0.7))
    tone, end = b.between(0.15, 0.95), b.between(0.22, 0.34)
    rim = torch.where(tone > 0.5, tone * 0.5, tone + 0.35)
    tiles = torch.where((cells(r.across, 0.24)[0] + cells(r.depth, 0.16)[0]).remainder(2) < 1, 0.85, 0.25)
    b.paint(tiles, y + 0.25 - b.v, strength=b.chance(0.6))
    wide = b.between(0.5, 0.7)
    for side in (-1.0, 1.0):
        s = (side * (b.u - x)).clamp(min=0.02)
        along, up = 1 / s, (b.v - y) / s
        ahead = end - side * (b.u - x)
        gap = b.between(0.35, 0.55)
        _, dx = cells(along, gap)
        seams = (gap / 2 - 0.05 - dx.abs()) * s * s
        edge = 0.25 / wide
        for top, low in ((edge, 1.6), (-1.6, -0.64 * edge)):
            face = torch.maximum(torch.maximum((top - up) * s, (up - low) * s), ahead)
            b.paint(tone * (0.75 + 0.25 * side), face)
            b.paint(rim, torch.maximum(face, seams))
            handle = torch.maximum((dx - 0.3 * gap).abs() - 0.05, (up - (top + low) / 2).abs() - 0.12)
            b.paint(rim * 0.6, torch.maximum(face, handle * s))
        b.paint(b.between(0.05, 0.95), torch.maximum(((up - edge).abs() - 0.05) * s, ahead))
    at = torch.where(b.between(0, 1) < 0.5, -0.62, 0.62)
    _stove(b, x + at, y + 0.35, y + 0.85, b.between(0.1, 0.95))
    _hood(b, x + at, y - 0.2)


def kitchen_island(b: Pen) -> None:
    """Cupboards and a fridge behind an island with stools, lamps above it."""
    r = room(b)
    tone, gap = b.between(0.15, 0.95), b.between(0.25, 0.4)
    top, low = r.floor - b.between(0.25, 0.35), r.floor + 0.05
    _cupboards(b, top - 0.85, top - 0.35, gap, tone)
    _cupboards(b, top, low, gap, tone)
    _worktop(b, top)
    x = b.between(-0.4, 0.4)
    b.paint(r.wall, b.box(x, top - 0.5, 0.25, 0.4))
    _hood(b, x, top - 0.35)
    _stove(b, x, top, low, b.between(0.1, 0.95))
    at, steel = torch.where(b.between(0, 1) < 0.5, -0.85, 0.85), b.between(0.5, 0.95)
    b.paint(steel, b.box(at, r.floor - 0.4, 0.22, 0.5))
    b.paint(steel * 0.4, b.box(at, r.floor - 0.55, 0.22, 0.012), b.box(at - 0.16, r.floor - 0.4, 0.014, 0.3))
    slab, y = b.between(0.15, 0.95), r.floor + b.between(0.2, 0.35)
    there = b.chance(0.7)
    centre, rx = b.between(-0.3, 0.3), b.between(0.45, 0.7)
    b.paint(slab, b.box(centre, y + 0.25, rx, 0.25), strength=there)
    b.paint((slab + 0.4).remainder(1), b.box(centre, y, rx + 0.06, 0.04), strength=there)
    for side in (-0.45, 0.45):
        stool = centre + side * rx
        legs = b.line((0.0, y + 0.22), (0.07, y + 0.6), 0.02, fold=stool)
        b.paint(0.08, legs, b.box(stool, y + 0.2, 0.11, 0.03), strength=there)
        b.paint(0.97, b.oval(stool, r.floor - 0.75, 0.1, 0.07), strength=there)
        b.paint(0.3, torch.maximum((b.u - stool).abs() - 0.012, b.v - r.floor + 0.8), strength=there)
