"""The eight places where the objects of the toybox are found, and the clutter that stands about."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.worlds.canvas import Canvas
from labkit.worlds.toybox_brush import WHITE, Brush

Range = tuple[tuple[float, float, float], tuple[float, float, float]]


def _mix(b: Brush, colours: Range, low: float = 0.0, high: float = 1.0) -> Tensor:
    """A colour (B, 3, 1, 1) somewhere between two."""
    first, last = (torch.tensor(colour).reshape(1, 3, 1, 1) for colour in colours)
    return first + (last - first) * b.between(low, high).unsqueeze(1)


def _fill(b: Brush, top: Tensor, bottom: Tensor) -> None:
    b.canvas.picture.copy_(top + (bottom - top) * ((b.v + 1) / 2).clamp(0, 1).unsqueeze(1))


def _heaven(b: Brush) -> None:
    """A pale sky over a landscape."""
    day, evening = _mix(b, ((0.56, 0.78, 0.94), (0.74, 0.88, 0.93))), _mix(b, ((0.98, 0.80, 0.66), (0.90, 0.80, 0.88)))
    top = torch.lerp(day, evening, b.chance(0.3).unsqueeze(1))
    _fill(b, top, top * 0.4 + 0.58)


def _wave(b: Brush, low: float, high: float, height: float) -> Tensor:
    """What lies below a gently waved line, as a distance."""
    line = b.between(low, high) + height * torch.sin(b.between(1.0, 3.0) * b.u + b.between(0, 2 * math.pi))
    return line - b.v


def sky(b: Brush) -> None:
    """Air alone, with clouds."""
    top = _mix(b, ((0.30, 0.58, 0.88), (0.52, 0.72, 0.92)))
    _fill(b, top, top * 0.35 + _mix(b, ((0.58, 0.62, 0.64), (0.65, 0.56, 0.50))))
    for _ in range(2):
        x, y, r = b.between(-1, 1), b.between(-0.9, 0.9), b.between(0.14, 0.3)
        puffs = (b.oval(x, y, 2 * r, 0.6 * r), b.oval(x + 0.5 * r, y - 0.4 * r, r, 0.7 * r))
        b.paint(WHITE, *puffs, strength=b.between(0.4, 0.8), soft=3.0)


def grass(b: Brush) -> None:
    """A meadow under a pale sky."""
    _heaven(b)
    green = _mix(b, ((0.42, 0.68, 0.30), (0.66, 0.76, 0.36)))
    b.paint(green * 0.85 + 0.08, _wave(b, -0.5, -0.1, 0.12))
    ground = _wave(b, -0.25, 0.3, 0.06)
    b.paint(green, ground)
    tufts = torch.sin(15 * b.u + 2 * torch.sin(4 * b.v + b.between(0, 6))) + torch.sin(12 * b.v + 3 * torch.sin(5 * b.u))
    b.paint(green * 0.86, torch.maximum(ground, 0.7 - tufts), strength=0.6, soft=3.0)


def sea(b: Brush) -> None:
    """Water to the horizon."""
    _heaven(b)
    blue = _mix(b, ((0.16, 0.45, 0.66), (0.26, 0.62, 0.68)))
    surface = b.between(-0.35, 0.3) - b.v
    b.paint(blue, surface)
    waves = torch.sin(b.between(13, 19) * b.v + torch.sin(b.between(3, 5) * b.u + b.between(0, 6)))
    b.paint(blue * 0.7 + 0.3, torch.maximum(surface + 0.04, 0.55 - waves), strength=0.7, soft=2.0)


def sand(b: Brush) -> None:
    """A beach or desert with dunes."""
    _heaven(b)
    tone = _mix(b, ((0.90, 0.78, 0.54), (0.95, 0.86, 0.66)))
    b.paint(tone * 0.9, _wave(b, -0.45, 0.0, 0.15))
    ground = _wave(b, -0.2, 0.35, 0.1)
    b.paint(tone, ground)
    ripples = torch.sin(b.between(14, 18) * b.v + 2 * torch.sin(3 * b.u + b.between(0, 6)))
    b.paint(tone * 0.92, torch.maximum(ground, 0.5 - ripples), strength=0.6, soft=2.0)


def road(b: Brush) -> None:
    """Asphalt with a dashed line in front of houses."""
    _heaven(b)
    edge = b.between(-0.2, 0.2)
    wall = _mix(b, ((0.74, 0.68, 0.64), (0.66, 0.72, 0.76)))
    for _ in range(2):
        x, top = b.between(-0.9, 0.9), b.between(-0.8, -0.3)
        b.paint(wall * b.between(0.8, 1.1).unsqueeze(1), torch.maximum(b.box(x, 0.3, b.between(0.2, 0.45), 5), top - b.v))
    b.paint((0.62, 0.72, 0.48), edge - 0.12 - b.v)
    grey = _mix(b, ((0.40, 0.41, 0.45), (0.54, 0.54, 0.56)))
    b.paint(grey * 0.6 + 0.36, edge - b.v)
    b.paint(grey, edge + 0.08 - b.v)
    b.paint(WHITE, b.row(-2.0, 2.0, edge + b.between(0.45, 0.62), 0.16, 0.03, 0.55), strength=0.85)


def snow(b: Brush) -> None:
    """White hills, and flakes in the air."""
    top = _mix(b, ((0.58, 0.68, 0.80), (0.74, 0.80, 0.88)))
    _fill(b, top, top * 0.5 + 0.42)
    b.paint((0.84, 0.89, 0.95), _wave(b, -0.4, 0.0, 0.15))
    ground = _wave(b, -0.1, 0.35, 0.1)
    b.paint((0.93, 0.95, 0.98), ground)
    b.paint((0.80, 0.86, 0.94), _wave(b, 0.6, 1.1, 0.1), soft=6.0)
    gap = b.between(0.42, 0.55)
    flake = ((b.u + 0.4 * b.v + b.between(0, 1)).remainder(gap) - gap / 2).square() + (
        (b.v - 0.3 * b.u + b.between(0, 1)).remainder(gap) - gap / 2
    ).square()
    b.paint(WHITE, flake.sqrt() - 0.035)


def forest(b: Brush) -> None:
    """Trunks before dark green."""
    green = _mix(b, ((0.22, 0.42, 0.30), (0.36, 0.52, 0.30)))
    _fill(b, green * 0.9, green * 1.25)
    for share in (0.55, 0.0):  # those far away are paler
        bark = _mix(b, ((0.36, 0.26, 0.20), (0.50, 0.38, 0.28)))
        b.paint(
            bark * (1 - share) + green * share, *(b.box(b.between(-1, 1), -0.5, b.between(0.05, 0.12), 1.2) for _ in range(2))
        )
    b.paint(
        green * 1.35,
        b.oval(b.between(-0.8, 0), -1, 0.7, b.between(0.25, 0.5)),
        b.oval(b.between(0, 0.8), -1, 0.7, b.between(0.2, 0.4)),
    )
    ground = _wave(b, 0.35, 0.65, 0.08)
    b.paint(_mix(b, ((0.42, 0.50, 0.26), (0.50, 0.42, 0.28))), ground)


def room(b: Brush) -> None:
    """A wall with a picture or window, and a floor of boards."""
    wall = _mix(b, ((0.92, 0.82, 0.74), (0.70, 0.82, 0.82)))
    _fill(b, wall, wall * 0.92)
    x, y = b.between(-0.7, 0.7), b.between(-0.7, -0.4)
    b.paint(WHITE, b.box(x, y, 0.34, 0.3))
    b.paint(_mix(b, ((0.62, 0.80, 0.90), (0.88, 0.62, 0.45))), b.box(x, y, 0.26, 0.22))
    edge = b.between(0.2, 0.55)
    b.paint(WHITE, edge - 0.1 - b.v)
    wood = _mix(b, ((0.66, 0.48, 0.32), (0.80, 0.64, 0.46)))
    b.paint(wood, edge - b.v)
    b.paint(wood * 0.82, torch.maximum(edge - b.v, (b.v - edge).remainder(0.22) - 0.03))


def clutter(b: Brush) -> None:
    """Up to four things of any colour and no meaning, to be painted before the object."""

    def tint() -> Tensor:
        wheel = 0.58 + 0.26 * torch.cos(b.between(0, 2 * math.pi) - torch.tensor([0.0, 2.1, 4.2]).reshape(1, 3, 1))
        return (wheel * b.between(0.75, 1.15)).unsqueeze(-1)

    for share in (0.6, 0.4):
        x, y = b.between(-1, 1), b.between(-0.9, 0.9)
        b.paint(tint(), b.oval(x, y, b.between(0.08, 0.28), b.between(0.08, 0.28)), strength=b.chance(share) * 0.9)
    x, y = b.between(-1, 1), b.between(-0.9, 0.9)
    b.paint(tint(), b.line((x, y), (x + b.between(-0.5, 0.5), y + b.between(-0.5, 0.5)), 0.05), strength=b.chance(0.5))
    x, y = b.between(-1, 1), b.between(-0.9, 0.9)
    b.paint(tint(), b.box(x, y, b.between(0.08, 0.25), b.between(0.08, 0.25), 0.03), strength=b.chance(0.4) * 0.9)


PLACES = {"sky": sky, "grass": grass, "sea": sea, "sand": sand, "road": road, "snow": snow, "forest": forest, "room": room}
WHERE = {
    "sky": "in the sky",
    "grass": "on grass",
    "sea": "at sea",
    "sand": "on sand",
    "road": "on a road",
    "snow": "in snow",
    "forest": "in a forest",
    "room": "in a room",
}


def background(place: str, scene: Tensor, texture: Tensor, tilt: Tensor, size: int) -> Tensor:
    """Paint one place and its clutter, uint8 (B, 3, size, size).

    `scene` (B, 56), 0..1, says what varies, `texture` (B, 1, K, K) where it is lighter or darker, and `tilt` (B,) how
    far the camera is turned, in radians.
    """
    n = len(scene)
    canvas = Canvas(torch.zeros(n, 3, size, size), x=0.0, y=0.0, zoom=torch.ones(n, 1, 1), angle=tilt.reshape(n, 1, 1))
    brush = Brush(canvas, scene)
    PLACES[place](brush)
    clutter(brush)
    spread = F.interpolate(torch.eye(texture.shape[-1]).unsqueeze(0), size=size, mode="linear")[0]  # (K, size)
    field = spread.T @ texture @ spread
    return canvas.picture.mul_(1 + 0.025 * field).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
