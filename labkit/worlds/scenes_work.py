"""The scenes to work in: office and store."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.canvas import Number
from labkit.worlds.scenes_brush import Pen, cells, chaos, person
from labkit.worlds.scenes_rooms import opening, room


def goods(b: Pen, x: Tensor, gap: Number, y: Tensor, within: Tensor, *, sx: Number = 1.0, sy: Number = 1.0) -> None:
    """Things in rows, two widths and many heights and tones: y runs from 0 at the board to 1 at the next one above."""
    i, dx = cells(x, gap)
    row = torch.floor(y)
    seed = b.between(0, 1)
    tall = 0.4 + 0.45 * chaos(i, row, seed)
    thing = torch.maximum((dx.abs() - 0.42 * gap) * sx, torch.maximum((y - row - tall) * sy, within))
    b.paint(0.1 + 0.85 * chaos(i, 3 * row, seed + 0.37), thing)


def _screen(b: Pen, x: Tensor, y: Tensor, r: Number) -> None:
    """A computer's screen that stands at y, and its keyboard."""
    case = torch.where(b.between(0, 1) < 0.5, b.between(0.02, 0.2), b.between(0.7, 0.95))
    glow = torch.where(b.between(0, 1) < 0.5, b.between(0.55, 0.95), b.between(0.05, 0.3))
    b.paint(case * 0.8, b.box(x, y - 0.04, 0.3 * r, 0.05))
    b.paint(case, b.box(x, y - 0.1 - 0.75 * r, r, 0.75 * r))
    inner = b.box(x, y - 0.1 - 0.75 * r, r - 0.035, 0.75 * r - 0.035)
    b.paint(glow, inner)
    b.paint((glow + 0.3).remainder(1), torch.maximum(inner, (b.v - y).remainder(0.08) - 0.025), strength=b.chance(0.5) * 0.7)
    b.paint(case, b.box(x, y + 0.035, 0.9 * r, 0.022))


def _chair(b: Pen, x: Tensor, foot: Tensor, r: Tensor) -> None:
    """An office chair from behind."""
    tone = b.between(0.03, 0.35)
    b.paint(tone, b.box(x, foot - 3.6 * r, r, 1.2 * r, 0.08), b.box(x, foot - 1.9 * r, 1.1 * r, 0.3 * r, 0.05))
    b.paint(tone * 0.6, b.box(x, foot - r, 0.035, r), b.line((0.9 * r, foot), (0.0, foot - 0.35 * r), 0.03, fold=x))


def _desk(b: Pen, x: Tensor, top: Tensor, rx: Tensor, foot: Tensor, tone: Tensor) -> None:
    """A desk with drawers, seen from the front."""
    b.paint(tone * 0.35, b.box(x, (top + foot) / 2, rx - 0.04, (foot - top) / 2))
    drawers = b.box(x + rx * 0.7, (top + foot) / 2, rx * 0.28, (foot - top) / 2)
    b.paint(tone * 0.8, drawers, b.box(x - rx * 0.95, (top + foot) / 2, rx * 0.05, (foot - top) / 2))
    b.paint(tone * 0.4, torch.maximum(drawers, (b.v - top).remainder(0.13) - 0.02))
    right = rx + 0.04
    b.paint(
        tone, b.shape((x - rx * 0.9, top - 0.1), (x + rx * 0.9, top - 0.1), (x + right, top + 0.02), (x - right, top + 0.02))
    )


def _shelf(b: Pen, x: Tensor, y: Tensor, rx: Tensor, ry: Tensor, *, strength: Number = 1.0) -> None:
    """A shelf of books and binders."""
    wood = b.between(0.1, 0.9)
    inside = b.box(x, y, rx, ry)
    b.paint(wood, inside - 0.03, strength=strength)
    gap = 0.26
    i, _ = cells(b.u - x, 0.055)
    row = torch.floor((b.v - y) / gap)
    seed = b.between(0, 1)
    tone = chaos(i, row, seed)
    b.paint(tone, inside, strength=strength)
    b.paint(wood, torch.maximum(inside, (b.v - y).remainder(gap) - 0.05), strength=strength)


def office_desk(b: Pen) -> None:
    """A desk with a screen, a chair before it, a shelf beside it."""
    r = room(b)
    x, top = b.between(-0.35, 0.25), r.floor - b.between(0.05, 0.2)
    foot, rx = r.floor + b.between(0.3, 0.45), b.between(0.5, 0.75)
    _shelf(b, x + b.between(0.75, 0.95), r.floor - 0.5, b.between(0.22, 0.32), b.between(0.4, 0.55), strength=b.chance(0.7))
    opening(b, x - b.between(0.3, 0.6), top - b.between(0.65, 0.8), 0.3, 0.25, strength=b.chance(0.5))
    b.paint(0.95, *(b.box(x + k, top - 0.55, 0.05, 0.07) for k in (0.1, 0.28)), strength=b.chance(0.5))
    _desk(b, x, top, rx, foot, b.between(0.3, 0.95))
    at = x + b.between(-0.25, 0.15)
    _screen(b, at, top - 0.03, b.between(0.17, 0.25))
    papers = b.shape((x + 0.25, top - 0.08), (x + 0.4, top - 0.08), (x + 0.45, top), (x + 0.28, top))
    b.paint(1.0, papers, strength=b.chance(0.7))
    _chair(b, at + b.between(0.0, 0.35), foot + b.between(0.1, 0.3), b.between(0.15, 0.2))


def office_rows(b: Pen) -> None:
    """An open office: rows of desks with screens, lights in the ceiling."""
    room(b)
    x, y = b.between(-0.3, 0.3), b.between(-0.25, 0.0)
    up = (y - b.v).clamp(min=0.03)
    across, deep = (b.u - x) / up, 1 / up
    light = torch.maximum(cells(across, b.between(0.9, 1.4))[1].abs() - 0.25, cells(deep, 0.8)[1].abs() - 0.25)
    b.paint(b.between(0.45, 0.85), b.v - y + 0.2)
    b.paint(1.0, torch.maximum(light * up, b.v - y + 0.22))
    b.paint(b.between(0.2, 0.7), y + 0.12 - b.v)
    tone, wall = b.between(0.35, 0.95), b.between(0.3, 0.8)
    for d, n in ((0.35, 3), (0.6, 2), (1.0, 2)):
        top = y + 0.45 * d
        b.paint(wall, b.box(x, top - 0.1 * d, 3.0, 0.2 * d), strength=b.chance(0.5))
        b.paint(tone * (0.6 + 0.4 * d), b.box(x, top + 0.02, 3.0, 0.05 * d + 0.01))
        b.paint(tone * 0.35, b.box(x, top + 0.25 * d, 3.0, 0.2 * d))
        shift = b.between(-0.3, 0.3)
        for k in range(n):
            at = x + shift + (k - (n - 1) / 2) * 1.1 * d * (1.0 if n == 3 else 1.2)
            _screen(b, at, top, 0.24 * d)
            if d < 1:
                b.paint(0.1, b.box(at + 0.3 * d, top + 0.1 * d, 0.15 * d, 0.26 * d, 0.04), strength=b.chance(0.6))


def office_corner(b: Pen) -> None:
    """A desk seen across its corner, blinds at the window, a bookcase."""
    r = room(b)
    x, y = b.between(-0.3, 0.1), r.floor + b.between(0.1, 0.25)
    at, w = b.between(-0.5, 0.0), b.between(0.35, 0.55)
    pane = b.box(at, r.floor - 0.6, w, 0.35)
    light = b.between(0.7, 1.0)
    b.paint(light, pane)
    b.paint(light * 0.5, torch.maximum(pane, b.v.remainder(0.09) - 0.04), strength=b.chance(0.85))
    _shelf(b, b.between(0.65, 0.9), r.floor - 0.4, b.between(0.24, 0.32), b.between(0.5, 0.65), strength=b.chance(0.75))
    rx, tone, deep = b.between(0.4, 0.55), b.between(0.3, 0.9), (b.between(0.25, 0.4), b.between(0.18, 0.28))
    b.paint(tone * 0.25, b.box(x, y + 0.15, rx, 0.22))
    b.block(x, y, rx, 0.05, deep=deep, tone=tone)
    b.paint(tone * 0.7, b.box(x - rx + 0.14, y + 0.22, 0.14, 0.22))
    _screen(b, x + b.between(0.0, 0.3), y - 0.5 * deep[1] - 0.04, b.between(0.19, 0.26))
    b.paint(
        0.97,
        b.shape((x - 0.35, y - 0.15), (x - 0.15, y - 0.18), (x - 0.12, y - 0.08), (x - 0.33, y - 0.06)),
        strength=b.chance(0.7),
    )
    _chair(b, x + b.between(0.1, 0.5), y + b.between(0.45, 0.65), b.between(0.15, 0.2))


def store_wall(b: Pen) -> None:
    """Shelves of goods from the front."""
    board, gap = b.between(0.3, 0.95), b.between(0.26, 0.42)
    b.grey.copy_((board * b.between(0.15, 0.5)).expand_as(b.grey))
    y = (b.between(0.6, 1.0) - b.v) / gap
    goods(b, b.u, b.between(0.09, 0.2), y, b.v - 9, sy=gap)
    b.paint(board, (0.45 - cells(y, 1.0)[1].abs()) * gap)
    post = cells(b.u + b.between(0, 1), b.between(0.8, 1.3))[1].abs() - 0.03
    b.paint(board, post, strength=b.chance(0.6))
    floor = b.between(0.6, 0.9)
    b.paint(b.between(0.3, 0.9), floor - b.v)
    top = b.between(-1.2, -0.6)
    b.paint(b.between(0.5, 1.0), b.v - top)
    b.paint((board + 0.5).remainder(1), b.box(b.between(-0.5, 0.5), top, b.between(0.2, 0.5), 0.1), strength=b.chance(0.6))
    person(b, b.between(-0.6, 0.6), 1.05, b.between(0.8, 1.2), tone=b.between(0.05, 0.4), strength=b.chance(0.35))


def store_aisle(b: Pen) -> None:
    """An aisle between shelves, lights above."""
    x, y, floor = b.between(-0.35, 0.35), b.between(-0.2, 0.15), b.between(0.2, 0.9)
    b.grey.copy_(b.between(0.3, 0.9).expand_as(b.grey))
    b.paint(floor, y - b.v)
    up = (y - b.v).clamp(min=0.03)
    lights = torch.maximum(((b.u - x).abs() - 0.45 * up).abs() - 0.1 * up, torch.sin(3 / up) * 0.2 * up - 0.1 * up)
    b.paint(b.between(0.2, 0.7), b.v - y)
    b.paint(1.0, torch.maximum(lights, b.v - y + 0.08), strength=b.chance(0.8))
    end, board = b.between(0.1, 0.25), b.between(0.3, 0.95)
    foot, tall = b.between(0.8, 1.3), b.between(0.6, 1.3)
    for side in (-1.0, 1.0):
        s = (side * (b.u - x)).clamp(min=0.03)
        along, up = 1 / s, (b.v - y) / s
        face = torch.maximum(torch.maximum((up - foot) * s, (-tall - up) * s), end - side * (b.u - x))
        b.paint(board * 0.35, face)
        gap = b.between(0.32, 0.5)
        goods(b, along, b.between(0.18, 0.36), (foot - up) / gap, face, sx=s * s, sy=gap * s)
        b.paint(board, torch.maximum(face, (0.44 * gap - cells(foot - up, gap)[1].abs()) * s))
    person(b, x + b.between(-0.2, 0.2), y + 0.55, b.between(0.5, 0.7), tone=b.between(0.05, 0.4), strength=b.chance(0.5))


def store_racks(b: Pen) -> None:
    """Clothes on rails, or crates of fruit, before a wall of shelves."""
    wall, gap = b.between(0.3, 0.95), b.between(0.24, 0.34)
    b.grey.copy_((wall * 0.8).expand_as(b.grey))
    edge = b.between(-0.25, 0.05)
    y = (edge - b.v) / gap
    upper = b.v - edge
    goods(b, b.u + 0.3, b.between(0.1, 0.18), y, torch.maximum(upper, b.between(-1.2, -0.7) - b.v), sy=gap)
    b.paint(wall, torch.maximum(upper, (0.44 - cells(y, 1.0)[1].abs()) * gap))
    b.paint(b.between(0.3, 0.9), edge - b.v)
    fruit = b.chance(0.45)
    for k in range(2):
        top = edge + 0.12 + 0.45 * k + b.between(0, 0.1)
        i, dx = cells(b.u + b.between(0, 1), b.between(0.07, 0.11) * (1 + 0.4 * k))
        seed = b.between(0, 1)
        hem = top + 0.25 + 0.16 * chaos(torch.floor(i / 3), 1.0, seed) + 0.1 * k
        rail = (b.u - b.between(-0.3, 0.3)).abs() - b.between(0.7, 1.1)
        cloth = torch.maximum(torch.maximum(rail, top - b.v), b.v - hem)
        b.paint((0.1 + 0.85 * chaos(torch.floor(i / 2), 0.0, seed)) * (1 - 3.5 * dx.abs()), cloth, strength=1 - fruit)
        b.paint(0.15, torch.maximum((b.v - top).abs() - 0.02, rail), strength=1 - fruit)
        size = 0.12 * (1 + 0.4 * k)
        m, du = cells(b.u + 0.05 * k, size)
        _, dv = cells(b.v - top, size)
        crate = torch.maximum(top - b.v, b.v - top - 0.38)
        b.paint(0.08, crate, strength=fruit)
        ball = torch.maximum((du.square() + dv.square()).sqrt() - 0.46 * size, crate)
        b.paint(0.25 + 0.7 * chaos(torch.floor(m / 4), float(k), seed) - 1.5 * (du + dv), ball, strength=fruit)
    person(b, b.between(-0.7, 0.7), 0.95, b.between(0.7, 1.1), tone=b.between(0.05, 0.4), strength=b.chance(0.4))
