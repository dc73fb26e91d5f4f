"""Rooms in perspective and what is in them; the scenes to live in: bedroom and living room."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.worlds.canvas import Number
from labkit.worlds.scenes_brush import Pen, cells


@dataclass
class Room:
    """A room that is looked into: its back wall from (left, top) to (right, floor), and tones that differ from its walls'."""

    left: Tensor
    right: Tensor
    top: Tensor
    floor: Tensor
    wall: Tensor
    dark: Tensor
    pale: Tensor
    on_floor: Tensor  # distances (B, H, W)
    across: Tensor  # coordinates (B, H, W) on the floor
    depth: Tensor


def room(b: Pen) -> Room:
    """Paint the walls, floor and ceiling of a room in perspective; often only one corner of it is in the picture."""
    left, right = b.between(-1.35, -0.5), b.between(0.5, 1.35)
    top, floor = b.between(-1.25, -0.5), b.between(0.1, 0.45)
    vx, vy = (left + right) / 2 + b.between(-0.2, 0.2), b.between(-0.3, 0.0)
    wall = b.between(0.3, 0.9)
    ratios = ((vx - b.u) / (vx - left), (b.u - vx) / (right - vx), (vy - b.v) / (vy - top), (b.v - vy) / (floor - vy))
    most = torch.maximum(torch.maximum(ratios[0], ratios[1]), torch.maximum(ratios[2], ratios[3]))
    b.grey.copy_((wall * (1 + 0.12 * b.u * b.between(-1, 1) - 0.1 * b.v)).expand_as(b.grey))
    tones = (wall * b.between(0.6, 1.15), wall * b.between(0.6, 1.15), wall + b.between(0.0, 0.3), b.between(0.15, 0.8))
    regions = []
    for ratio, tone in zip(ratios, tones, strict=True):
        regions.append(torch.maximum(most - ratio, 1 - ratio) * 0.6)
        b.paint(tone, regions[-1])
    on_floor, down = regions[3], ratios[3].clamp(min=0.6)
    across, depth = (b.u - vx) / down, 1 / down
    pattern = torch.where(b.between(0, 1) < 0.5, cells(across, 0.25)[1], cells(depth, 0.12)[1] * 2)
    b.paint(
        tones[3] * b.between(0.7, 1.3), torch.maximum(on_floor, (pattern.abs() - 0.02) * down), strength=b.chance(0.6) * 0.7
    )
    seam = (most - 1).abs() - 0.015
    b.paint(wall * 0.6, seam, strength=0.5 * b.chance(0.5))
    pale, dark = (wall + b.between(0.25, 0.5)).clamp(max=1), wall * b.between(0.2, 0.55)
    return Room(left, right, top, floor, wall, dark, pale, on_floor, across, depth)


def opening(b: Pen, x: Number, y: Number, rx: Number, ry: Number, *, strength: Number = 1.0) -> None:
    """A window of a room: bright by day, black at night, with bars, and curtains or a blind."""
    glass = torch.where(b.between(0, 1) < 0.65, b.between(0.85, 1.0), b.between(0.02, 0.2))
    frame = (glass + 0.5).remainder(1)
    b.paint(frame, b.box(x, y, rx + 0.05, ry + 0.05), strength=strength)
    inside = b.box(x, y, rx, ry)
    b.paint((glass + 0.08 * b.rough).clamp_(0, 1), inside, strength=strength)
    bars = torch.minimum((b.u - x).abs() - 0.025, (b.v - y).abs() - 0.02)
    b.paint(frame, torch.maximum(bars, inside), strength=strength * b.chance(0.6))
    folds = 0.5 + 0.2 * torch.sin(30 * b.u)
    curtain = torch.maximum(rx * 0.75 - (b.u - x).abs(), b.box(x, y + 0.1, rx * 1.35, ry + 0.2))
    b.paint(folds, curtain, strength=strength * b.chance(0.4))


def picture(b: Pen, x: Number, y: Number, rx: Number, ry: Number, *, strength: Number = 1.0) -> None:
    """A framed picture on the wall."""
    tone = b.between(0.05, 0.95)
    b.paint((tone + 0.5).remainder(1), b.box(x, y, rx, ry), strength=strength)
    b.paint((tone + 0.15 * b.rough).clamp_(0, 1), b.box(x, y, rx - 0.05, ry - 0.05), strength=strength)


def lamp(b: Pen, x: Number, foot: Number, high: Number, *, strength: Number = 1.0) -> None:
    """A lamp with a stem and a bright shade."""
    b.paint(b.between(0.05, 0.4), b.line((x, foot), (x, foot - high), 0.022), strength=strength)
    r = 0.3 * high
    low, top = foot - 0.75 * high, foot - 1.15 * high
    shade = b.shape((x - 1.1 * r, low), (x - 0.6 * r, top), (x + 0.6 * r, top), (x + 1.1 * r, low))
    b.paint(b.between(0.8, 1.0), shade, strength=strength)


def _pillow(b: Pen, x: Tensor, y: Tensor, rx: Number, ry: Tensor) -> None:
    b.paint(0.5, b.box(x, y + 0.03, rx + 0.01, ry, 0.05))
    b.paint(b.between(0.85, 1.0), b.box(x, y, rx, ry, 0.05))


def bedroom_foot(b: Pen) -> None:
    """A bed from its foot, its head at the wall, with a lamp beside it."""
    r = room(b)
    x, y = b.between(-0.35, 0.35), r.floor
    picture(b, x, y - b.between(0.75, 0.95), b.between(0.15, 0.4), 0.16, strength=b.chance(0.5))
    opening(b, x + b.between(0.75, 1.0), y - 0.65, 0.22, 0.33, strength=b.chance(0.6))
    head, rx = b.between(0.3, 0.5), b.between(0.36, 0.5)
    b.paint(r.dark, b.box(x - rx - 0.25, y + 0.02, 0.17, 0.16))
    lamp(b, x - rx - 0.25, y - 0.13, b.between(0.35, 0.5), strength=b.chance(0.85))
    b.paint(b.between(0.1, 0.7), b.box(x, y - head / 2, rx + 0.05, head / 2 + 0.1, 0.06))
    cover, near = b.between(0.1, 0.95), b.between(0.4, 0.75)
    wide, shift = rx * (1 + near * 0.7), b.between(-0.2, 0.2)
    top = y - 0.12
    low = (x + shift + wide, top + near), (x + shift - wide, top + near)
    b.paint(0.92, b.shape((x - rx, top), (x + rx, top), *low))
    for side in (-0.5, 0.5):
        _pillow(b, x + side * rx, top + 0.02, rx * 0.42, b.between(0.08, 0.11))
    fold = 0.26
    spread = b.shape((x - rx * 1.1, top + fold), (x + rx * 1.1, top + fold), *low)
    b.paint((cover + 0.1 * b.rough).clamp_(0, 1), spread, b.box(x + shift, top + near + 0.14, wide, 0.14))
    stripes = torch.maximum((cells(b.u + 0.3 * b.v, 0.2)[1]).abs() - 0.05, b.box(x + shift, top + near + 0.02, rx, near - fold))
    b.paint((cover + 0.3).remainder(1), stripes, strength=b.chance(0.3) * 0.6)
    b.paint(cover * 0.65, b.box(x + shift, top + near + 0.15, wide, 0.13))


def bedroom_side(b: Pen) -> None:
    """A bed along the wall, its head at one end."""
    r = room(b)
    x, y = b.between(-0.2, 0.2), r.floor + b.between(0.2, 0.35)
    opening(b, b.between(-0.2, 0.6), r.floor - 0.65, b.between(0.2, 0.35), 0.3, strength=b.chance(0.6))
    picture(b, b.between(-0.6, 0.1), r.floor - 0.75, 0.2, 0.15, strength=b.chance(0.4))
    rx, deep = b.between(0.6, 0.75), (b.between(0.15, 0.3), b.between(0.16, 0.26))
    wood, cover = b.between(0.05, 0.5), b.between(0.1, 0.95)
    lamp(b, x - rx - 0.1, y - 0.2, b.between(0.5, 0.65), strength=b.chance(0.7))
    b.block(x - rx, y - 0.2, 0.05, b.between(0.34, 0.44), deep=deep, tone=wood)
    b.block(x, y, rx, 0.13, deep=deep, tone=cover * 0.75)
    b.paint(wood, b.box(x, y + 0.14, rx, 0.05), b.box(x + rx, y - 0.02, 0.04, b.between(0.2, 0.28)))
    left = x - rx + 0.5 * deep[0]
    near, far = y - 0.12, y - 0.12 - deep[1]
    b.paint(0.95, b.shape((x - rx, near), (x - rx + deep[0], far), (x - 0.2, far), (x - 0.2 - deep[0], near)))
    _pillow(b, left + 0.22, y - 0.14 - 0.5 * deep[1], 0.17, b.between(0.08, 0.11))
    _pillow(b, left + 0.12, y - 0.2 - 0.5 * deep[1], 0.13, b.between(0.08, 0.11))


def bedroom_twin(b: Pen) -> None:
    """Two beds side by side, a lamp between them, curtains behind."""
    r = room(b)
    x, y = b.between(-0.2, 0.2), r.floor
    opening(b, x, y - 0.7, b.between(0.25, 0.45), 0.28, strength=b.chance(0.6))
    cover, wood, near = b.between(0.1, 0.95), b.between(0.05, 0.6), b.between(0.4, 0.7)
    away, rx, shift = b.between(0.45, 0.6), b.between(0.24, 0.3), b.between(-0.15, 0.15)
    b.paint(r.dark, b.box(x, y, 0.11, 0.14))
    lamp(b, x, y - 0.1, b.between(0.35, 0.5))
    for side in (-1.0, 1.0):
        at, top = x + side * away, y - 0.1
        low = x + shift + side * away * 1.45
        b.paint(wood, b.box(at, top - 0.12, rx + 0.03, 0.2, 0.05))
        end = (low + rx * 1.4, top + near), (low - rx * 1.4, top + near)
        b.paint(0.93, b.shape((at - rx, top), (at + rx, top), *end))
        _pillow(b, at, top + 0.02, rx * 0.75, b.between(0.07, 0.1))
        spread = b.shape((at - rx * 1.05, top + 0.22), (at + rx * 1.05, top + 0.22), *end)
        b.paint((cover + 0.08 * b.rough).clamp_(0, 1), spread)
        b.paint(cover * 0.6, b.box(low, top + near + 0.12, rx * 1.4, 0.12))


def _sofa(b: Pen, x: Tensor, y: Tensor, rx: Tensor, tone: Tensor) -> None:
    """A sofa from the front: back, seat, arms, cushions."""
    seats = torch.maximum((cells(b.u - x, rx)[1]).abs() - rx / 2 + 0.02, b.box(x, y - 0.04, rx, 0.07))
    b.paint(tone * 0.8, b.box(x, y - 0.2, rx, 0.2, 0.07))
    b.paint(tone * 0.5, b.box(x, y + 0.05, rx, 0.14))
    b.paint((tone * 1.15).clamp(max=1), seats)
    b.paint(tone * 0.95, *(b.box(x + side * (rx + 0.05), y + 0.02, 0.085, 0.19, 0.07) for side in (-1.0, 1.0)))
    spare = (tone + b.between(0.35, 0.6)).remainder(1)
    for side in (-0.6, 0.6):
        b.paint(spare, b.box(x + side * rx, y - 0.16, 0.09, 0.09, 0.03), strength=b.chance(0.6))


def _carpet(b: Pen, x: Tensor, y: Tensor) -> None:
    """A carpet with a border."""
    rx, ry = b.between(0.6, 0.95), b.between(0.16, 0.26)
    tone = b.between(0.1, 0.9)
    border = torch.where(tone > 0.5, tone - b.between(0.1, 0.4), tone + b.between(0.1, 0.4))
    for k, colour in ((0.0, tone), (0.07, border), (0.15, tone)):
        right, top, low = rx - k, y - ry + k / 2, y + ry - k / 2
        body = b.shape((x - right + 0.25, top), (x + right - 0.25, top), (x + right, low), (x - right, low))
        b.paint((colour + 0.04 * b.leafy).clamp_(0, 1), body)


def _table(b: Pen, x: Tensor, y: Tensor) -> None:
    """A low table with something on it."""
    tone, rx = b.between(0.05, 0.7), b.between(0.22, 0.36)
    b.paint(tone * 0.7, *(b.box(x + side * rx * 0.85, y + 0.1, 0.022, 0.1) for side in (-1.0, 1.0)))
    b.paint(tone, b.shape((x - rx * 0.8, y - 0.08), (x + rx * 0.8, y - 0.08), (x + rx, y + 0.02), (x - rx, y + 0.02)))
    b.paint(b.between(0.5, 1.0), b.oval(x + b.between(-0.1, 0.1), y - 0.08, 0.05, 0.06), strength=b.chance(0.6))


def livingroom_sofa(b: Pen) -> None:
    """A sofa at the wall under a picture, a table on a carpet before it."""
    r = room(b)
    x, y = b.between(-0.3, 0.3), r.floor
    picture(
        b,
        x + b.between(-0.2, 0.2),
        y - b.between(0.75, 0.9),
        b.between(0.2, 0.4),
        b.between(0.14, 0.22),
        strength=b.chance(0.85),
    )
    rx = b.between(0.38, 0.56)
    opening(b, x + 1.0, y - 0.6, 0.25, 0.38, strength=b.chance(0.5))
    lamp(b, x - rx - b.between(0.22, 0.35), y + 0.2, b.between(0.8, 1.0), strength=b.chance(0.7))
    _carpet(b, x, y + b.between(0.3, 0.4))
    _sofa(b, x, y, rx, b.between(0.15, 0.9))
    _table(b, x + b.between(-0.15, 0.15), y + b.between(0.3, 0.42))


def livingroom_hearth(b: Pen) -> None:
    """A fireplace or a screen at the wall, armchairs at both sides."""
    r = room(b)
    x, y = b.between(-0.25, 0.25), r.floor
    stone, fire = b.between(0.3, 0.95), b.chance(0.6)
    b.paint(stone, b.box(x, y - 0.2, 0.34, 0.26), strength=fire)
    b.paint((stone + 0.4).remainder(1), b.box(x, y - 0.48, 0.4, 0.035), strength=fire)
    b.paint(0.05, b.box(x, y - 0.12, 0.2, 0.17), strength=fire)
    b.paint(0.9, b.oval(x, y - 0.02, 0.1, 0.08), strength=fire * b.chance(0.6), soft=2.0)
    b.paint(r.dark, b.box(x, y - 0.05, 0.5, 0.1), strength=1 - fire)
    b.paint(0.06, b.box(x, y - 0.36, 0.33, 0.2), strength=1 - fire)
    picture(b, x, y - b.between(0.8, 0.95), b.between(0.15, 0.3), 0.18, strength=b.chance(0.8))
    opening(b, x + 0.85, y - 0.6, 0.2, 0.35, strength=b.chance(0.5))
    _carpet(b, x, y + b.between(0.3, 0.4))
    tone = b.between(0.15, 0.9)
    for side in (-1.0, 1.0):
        _sofa(b, x + side * b.between(0.68, 0.85), y + b.between(0.2, 0.35), b.between(0.13, 0.18), tone)
    _table(b, x, y + b.between(0.35, 0.5))


def livingroom_corner(b: Pen) -> None:
    """A sofa that goes round a corner, a wide window, a plant."""
    r = room(b)
    x, y = b.between(-0.2, 0.3), r.floor
    opening(b, x + b.between(0.0, 0.3), y - b.between(0.65, 0.8), b.between(0.35, 0.55), 0.32, strength=b.chance(0.75))
    picture(b, x - 0.7, y - 0.75, 0.16, 0.2, strength=b.chance(0.5))
    _carpet(b, x, y + b.between(0.35, 0.45))
    tone, rx = b.between(0.15, 0.9), b.between(0.45, 0.6)
    leaf = torch.maximum(b.oval(x + rx + 0.28, y - 0.3, 0.2, 0.3) + 0.12 * b.leafy, b.v - y)
    plant = b.chance(0.6)
    b.paint(b.between(0.05, 0.4), leaf, strength=plant)
    b.paint(b.between(0.3, 0.9), b.box(x + rx + 0.28, y + 0.08, 0.09, 0.1), strength=plant)
    _sofa(b, x, y, rx, tone)
    deep = (b.between(0.08, 0.16), b.between(0.25, 0.35))
    b.block(x - rx, y + 0.28, b.between(0.13, 0.2), 0.12, deep=deep, tone=tone * 0.75)
    _table(b, x + b.between(0.1, 0.3), y + b.between(0.33, 0.45))
