"""Cats and dogs of the toybox, three poses of each; they look to the right."""

from __future__ import annotations

import torch

from labkit.worlds.canvas import Number
from labkit.worlds.toybox_brush import INK, PINK, WHITE, Subject


def _cat_head(m: Subject, x: Number, y: Number, s: float) -> None:
    """A cat's face, seen from the front."""
    look = x + 0.08 * s
    m.paint(m.body, m.shape((0.08 * s, y - 0.5 * s), (0.74 * s, y - 1.25 * s), (0.95 * s, y - 0.1 * s), fold=x))
    m.paint(PINK, m.shape((0.42 * s, y - 0.7 * s), (0.68 * s, y - 0.98 * s), (0.78 * s, y - 0.45 * s), fold=x))
    m.paint(m.body, m.oval(x, y, s, 0.85 * s))
    m.paint(m.dark, m.box(look, y - 0.62 * s, 0.09 * s, 0.2 * s), m.box(look, y - 0.7 * s, 0.38 * s, 0.07 * s), strength=0.8)
    m.paint(m.pale, m.oval(look, y + 0.38 * s, 0.45 * s, 0.32 * s), soft=1.5)
    iris = m.chance(0.6).unsqueeze(1) * torch.tensor((-0.45, 0.1, 0.1)).reshape(1, 3, 1, 1) + torch.tensor(
        (0.95, 0.8, 0.25)
    ).reshape(1, 3, 1, 1)
    m.paint(iris, m.oval(0.42 * s, y - 0.08 * s, 0.25 * s, 0.23 * s, fold=look))
    m.paint(INK, m.oval(0.42 * s, y - 0.08 * s, 0.1 * s, 0.21 * s, fold=look))
    m.paint(PINK, m.oval(look, y + 0.26 * s, 0.14 * s, 0.1 * s))
    whiskers = [m.line((0.4 * s, y + 0.33 * s), (1.25 * s, y + e * s), 0.018, fold=look) for e in (0.2, 0.52)]
    m.paint(m.pale * 0.6 + 0.4, *whiskers, strength=0.9)


def cat_sits(m: Subject) -> None:
    """A cat that sits and looks at you."""
    fat, turn = m.between(0.3, 0.4), m.between(0.0, 0.18)
    m.shadow(0.92, 0.6)
    m.paint(m.dark, m.line((-0.3, 0.78), (-0.72, 0.6), 0.1), m.line((-0.72, 0.6), (-0.68, m.between(0.0, 0.3)), 0.1, 0.08))
    m.paint(m.body, m.line((turn / 2, 0.15), (0, 0.58), 0.26, fat))
    m.paint(m.pale, m.oval(turn / 2, 0.32, 0.16, 0.26), soft=2.0)
    m.paint(m.dark, m.line((0.12, 0.5), (0.13, 0.84), 0.03, fold=turn / 2), strength=0.7)
    m.paint(m.pale, m.oval(0.15, 0.9, 0.14, 0.08, fold=turn / 2))
    _cat_head(m, turn, -0.32, 0.46)


def cat_walks(m: Subject) -> None:
    """A cat that walks, tail up."""
    stride, tail = m.between(0.02, 0.22), m.between(-0.3, 0.15)
    m.shadow(0.8, 0.75)
    m.paint(m.dark, m.line((-0.6, 0.05), (-0.88, -0.2), 0.09), m.line((-0.88, -0.2), (-0.8 + tail / 2, -0.75), 0.09, 0.07))
    m.legs((-0.48, 0.32), 0.2, 0.72, 0.09, stride)
    m.paint(m.body, m.line((-0.45, 0.1), (0.35, 0.08), 0.25, 0.24))
    stripes = torch.maximum(m.row(-0.55, 0.2, 0.0, 0.05, 0.16, 0.22), m.line((-0.45, 0.1), (0.35, 0.08), 0.25, 0.24))
    m.paint(m.dark, stripes, strength=m.chance(0.6))
    _cat_head(m, 0.52, -0.22, 0.37)


def cat_lies(m: Subject) -> None:
    """A cat at rest."""
    m.shadow(0.62, 0.95)
    long = m.between(0.62, 0.72)
    m.paint(m.body, m.oval(-0.22, 0.25, long, m.between(0.34, 0.42)))
    shape = m.oval(-0.22, 0.25, long, 0.36)
    m.paint(m.dark, torch.maximum(m.row(-0.65, 0.1, 0.05, 0.05, 0.16, 0.22), shape), strength=m.chance(0.6))
    m.paint(m.dark, m.line((-0.75, 0.45), (-0.1, 0.56), 0.1, 0.08))
    m.paint(m.pale, m.line((0.2, 0.55), (0.6, 0.55), 0.1))
    _cat_head(m, 0.46, m.between(-0.12, 0.1), 0.42)


def _dog_head(m: Subject, x: Number, y: Number) -> None:
    """A dog's head from the side."""
    m.paint(m.body, m.oval(x, y, 0.29, 0.26))
    m.paint(m.pale, m.box(x + 0.3, y + 0.09, 0.2, 0.13, 0.11))
    m.paint(INK, m.oval(x + 0.47, y + 0.02, 0.085, 0.07))
    m.paint(INK, m.line((x + 0.22, y + 0.17), (x + 0.42, y + 0.15), 0.02), strength=0.7)
    m.paint(m.dark, m.line((x - 0.1, y - 0.15), (x - 0.18, y + m.between(0.2, 0.34)), 0.12, 0.14))
    m.eye(x + 0.13, y - 0.05, 0.06)


def dog_stands(m: Subject) -> None:
    """A dog on four legs."""
    x, y = m.between(0.42, 0.5), m.between(-0.45, -0.25)
    m.shadow(0.76, 0.72)
    m.paint(m.body, m.line((-0.6, -0.02), (-0.9, m.between(-0.6, -0.2)), 0.1, 0.06))
    m.legs((-0.5, 0.28), 0.2, 0.68, 0.1, m.between(0.0, 0.16))
    m.paint(m.body, m.box(-0.12, 0.12, 0.56, m.between(0.22, 0.28), 0.2), m.line((0.25, 0.05), (x - 0.02, y), 0.22, 0.2))
    m.paint(m.dark, m.oval(-0.25, 0.04, 0.2, 0.15), strength=m.chance(0.5))
    m.paint(m.accent, m.line((x - 0.24, y + 0.2), (x + 0.1, y + 0.3), 0.06))
    _dog_head(m, x, y)


def dog_sits(m: Subject) -> None:
    """A dog that sits, from the side."""
    x, y = m.between(0.2, 0.3), m.between(-0.58, -0.48)
    m.shadow(0.88, 0.65)
    m.paint(m.body, m.line((-0.5, 0.75), (-0.9, m.between(0.3, 0.8)), 0.1, 0.07))
    m.paint(m.dark, m.line((0.18, 0.2), (0.28, 0.82), 0.11, 0.1))
    m.paint(m.body, m.line((-0.3, 0.5), (x - 0.08, y + 0.4), 0.36, 0.24))
    m.paint(m.body, m.line((0.08, 0.1), (0.12, 0.82), 0.13, 0.1), m.oval(0.2, 0.86, 0.14, 0.08))
    m.paint(m.dark, torch.maximum(m.oval(-0.35, 0.58, 0.3, 0.3).abs() - 0.03, -0.5 - m.u), strength=0.7)
    m.paint(m.pale, m.oval(0.16, 0.08, 0.1, 0.2), soft=2.0)
    m.paint(m.body, m.oval(-0.1, 0.86, 0.25, 0.08))
    m.paint(m.accent, m.line((x - 0.24, y + 0.24), (x + 0.12, y + 0.28), 0.06))
    _dog_head(m, x, y)


def dog_faces(m: Subject) -> None:
    """A dog that sits and looks at you."""
    turn, fat = m.between(0.02, 0.14), m.between(0.3, 0.4)
    m.shadow(0.92, 0.6)
    m.paint(m.dark, m.line((-0.3, 0.75), (-0.72, m.between(0.25, 0.7)), 0.1, 0.07))
    m.paint(m.body, m.line((0, 0.2), (0, 0.58), 0.27, fat))
    m.paint(m.pale, m.oval(turn / 2, 0.38, 0.17, 0.25), m.oval(0.17, 0.88, 0.15, 0.09, fold=turn / 2))
    m.paint(m.accent, m.box(turn / 2, 0.12, 0.28, 0.065, 0.05))
    m.paint(m.body, m.oval(turn, -0.35, 0.42, 0.42))
    m.paint(m.dark, m.line((0.34, -0.62), (0.5, m.between(-0.2, 0.0)), 0.13, 0.16, fold=turn))
    look = turn + 0.06
    m.paint(m.pale, m.oval(look, -0.14, 0.26, 0.22))
    m.paint(PINK, m.oval(look, 0.06, 0.09, 0.12), strength=m.chance(0.6))
    m.paint(WHITE, m.oval(0.18, -0.45, 0.11, 0.12, fold=look), strength=0.8)
    m.paint(INK, m.oval(look, -0.23, 0.12, 0.09), m.oval(0.18, -0.45, 0.075, 0.085, fold=look))
