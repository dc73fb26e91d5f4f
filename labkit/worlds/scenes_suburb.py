"""The suburb: houses in their gardens."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.scenes_brush import Pen, sky, tree


def _garden(b: Pen) -> tuple[Tensor, Tensor]:
    """Sky, perhaps trees, and a lawn: where the house stands, and the tone of the lawn."""
    land, leaf = sky(b)
    foot = b.between(0.25, 0.55)
    far = foot - b.between(0.2, 0.6) - 0.12 * b.rough
    b.paint((leaf * (0.8 + 0.3 * b.leafy)).clamp_(0, 1), far - b.v, strength=b.chance(0.5))
    b.paint((land * (1 + 0.15 * b.leafy)).clamp_(0, 1), foot - b.v)
    return foot, land


def _walls(b: Pen, x: Tensor, y: Tensor, rx: Tensor, ry: Tensor, wall: Tensor) -> None:
    """Walls with a door and two windows."""
    b.paint(wall, b.box(x, y, rx, ry))
    boards = torch.maximum(b.v.remainder(0.07) - 0.02, b.box(x, y, rx, ry))
    b.paint(wall * 0.88, boards, strength=b.chance(0.4))
    glass, frame = b.between(0.05, 0.3), torch.where(wall > 0.6, wall * 0.75, wall + 0.35)
    w, h = b.between(0.09, 0.13), b.between(0.09, 0.13)
    pair = torch.maximum(((b.u - x).abs() - 0.6 * rx).abs() - w, (b.v - y).abs() - h)
    b.paint(frame, pair - 0.03)
    b.paint(glass, pair)
    b.paint(frame, torch.maximum(pair, ((b.u - x).abs() - 0.6 * rx).abs() - 0.012))
    door = b.between(0.1, 0.22) * ry
    b.paint(b.between(0.05, 0.95), b.box(x + b.between(-0.15, 0.15) * rx, y + door, 0.085, ry - door))


def _yard(b: Pen, x: Tensor, foot: Tensor, land: Tensor) -> None:
    """A path to the house, bushes, a tree, a fence."""
    down = (b.v - foot).clamp(min=0)
    path = torch.maximum((b.u - x - b.between(-0.5, 0.5) * down).abs() - 0.07 - b.between(0.1, 0.4) * down, foot - b.v)
    b.paint((land + 0.35).clamp(max=1), path, strength=b.chance(0.75))
    leaf = land * b.between(0.35, 0.8)
    bushes = torch.minimum(b.oval(x - b.between(0.35, 0.6), foot, 0.2, 0.11), b.oval(x + b.between(0.35, 0.6), foot, 0.2, 0.11))
    b.paint((leaf * (1 + 0.3 * b.leafy)).clamp_(0, 1), bushes + 0.04 * b.leafy, strength=b.chance(0.6))
    way = torch.where(b.between(0, 1) < 0.5, -1.0, 1.0)
    tree(b, x + way * b.between(0.6, 0.95), foot + b.between(0.05, 0.3), b.between(0.7, 1.3), tone=leaf, strength=b.chance(0.8))
    y = b.between(0.7, 0.95)
    b.paint(b.between(0.6, 1.0), b.row(-2.0, 2.0, y, 0.03, 0.12, 0.12), (b.v - y).abs() - 0.015, strength=b.chance(0.25))


def suburb_gable(b: Pen) -> None:
    """A house whose gable is in front."""
    foot, land = _garden(b)
    x, rx, ry, wall = b.between(-0.25, 0.25), b.between(0.42, 0.6), b.between(0.17, 0.26), b.between(0.3, 0.95)
    roof, eave = torch.where(wall > 0.55, wall * b.between(0.25, 0.55), wall + b.between(0.2, 0.4)), foot - 2 * ry
    tip = eave - b.between(0.38, 0.65)
    b.paint(wall * 0.95, b.shape((x - rx, eave + 0.01), (x, tip), (x + rx, eave + 0.01)))
    for side in (-1.0, 1.0):
        b.paint(roof, b.line((x, tip), (x + side * (rx + 0.1), eave + 0.06), 0.055))
    b.paint(roof * 0.7, b.box(x, eave - 0.14, 0.08, 0.09), strength=b.chance(0.7))
    _walls(b, x, foot - ry, rx, ry, wall)
    _yard(b, x, foot, land)


def _eaves(b: Pen, x: Tensor, foot: Tensor, rx: Tensor, ry: Tensor, wall: Tensor) -> tuple[Tensor, Tensor]:
    """A house seen along its ridge: walls, roof and chimney; returns the tone of the roof and the height of its eaves."""
    roof, eave = torch.where(wall > 0.55, wall * b.between(0.25, 0.6), wall + b.between(0.2, 0.4)), foot - 2 * ry
    ridge, hip = eave - b.between(0.3, 0.5), b.between(0.02, 0.3)
    at = x + b.between(-0.4, 0.4)
    b.paint(roof * 0.7, b.box(at, ridge, 0.06, 0.14), strength=b.chance(0.6))
    _walls(b, x, foot - ry, rx, ry, wall)
    slab = b.shape((x - rx - 0.1, eave + 0.03), (x - rx + hip, ridge), (x + rx - hip, ridge), (x + rx + 0.1, eave + 0.03))
    b.paint(roof, slab)
    b.paint(roof * 0.8, torch.maximum(slab, b.v.remainder(0.08) - 0.025), strength=0.7)
    return roof, eave


def suburb_eaves(b: Pen) -> None:
    """A long house with a garage."""
    foot, land = _garden(b)
    x, rx, ry, wall = b.between(-0.25, 0.25), b.between(0.5, 0.75), b.between(0.15, 0.22), b.between(0.3, 0.95)
    _eaves(b, x, foot, rx, ry, wall)
    garage, there = x + 0.55 * rx, b.chance(0.6)
    door = b.box(garage, foot - 0.14, 0.2, 0.14)
    b.paint((wall + 0.4).remainder(1), door, strength=there)
    b.paint(wall * 0.6, torch.maximum(door, (b.v - foot).remainder(0.08) - 0.02), strength=there)
    _yard(b, x, foot, land)


def suburb_wing(b: Pen) -> None:
    """A long house with a gabled wing before it."""
    foot, land = _garden(b)
    x, wall = b.between(-0.2, 0.2), b.between(0.3, 0.95)
    roof, eave = _eaves(b, x, foot, b.between(0.6, 0.8), b.between(0.17, 0.22), wall)
    at, r = x - b.between(0.2, 0.45), b.between(0.24, 0.32)
    tip = eave - b.between(0.25, 0.4)
    front = (wall * 1.12).clamp(max=1)
    below = b.box(at, (eave + foot) / 2 + 0.03, r, (foot - eave) / 2 + 0.05)
    b.paint(front, b.shape((at - r, eave), (at, tip), (at + r, eave)), below)
    for side in (-1.0, 1.0):
        b.paint(roof, b.line((at, tip), (at + side * (r + 0.06), eave + 0.05), 0.04))
    pane = b.box(at, (eave + foot) / 2, 0.13, 0.11)
    b.paint(0.9, pane - 0.025)
    b.paint(0.15, pane)
    _yard(b, x, foot + 0.05, land)
