"""Birds, deer, frogs and horses of the toybox, three poses of each; they look to the right."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.canvas import Number
from labkit.worlds.toybox_brush import AMBER, INK, TAN, WHITE, WOOD, Subject


def songbird(m: Subject) -> None:
    """A small bird that stands."""
    fat, lift = m.between(0.32, 0.42), m.between(-0.1, 0.1)
    m.shadow(0.92, 0.45)
    m.paint(AMBER, m.line((0.0, 0.4), (0.05, 0.88), 0.035), m.line((0.18, 0.4), (0.22, 0.88), 0.035))
    m.paint(AMBER, m.box(0.16, 0.9, 0.22, 0.035))
    m.paint(m.dark, m.line((-0.35, 0.2), (-0.9, 0.35 + 2 * lift), 0.13, 0.07))
    m.paint(AMBER, m.shape((0.6, -0.52), (0.98, -0.38), (0.6, -0.27)))
    m.paint(m.body, m.line((-0.15, 0.18), (0.2, 0.0), fat, 0.3), m.oval(0.38, -0.4, 0.32, 0.3))
    m.paint(m.pale, m.oval(0.25, 0.2, 0.22, 0.24), soft=2.0)
    m.paint(m.accent, m.oval(0.3, -0.64, 0.16, 0.12), strength=m.chance(0.4))
    m.paint(m.dark, m.line((0.0, 0.02), (-0.5, 0.22), 0.2, 0.06))
    m.eye(0.45, -0.44)


def flying(m: Subject) -> None:
    """A bird on the wing."""
    flap, tip = m.between(-0.75, 0.6), m.between(0.2, 0.4)
    flap = flap - 0.45 * (flap.abs() < 0.25)
    m.paint(
        m.dark,
        m.line((0.1, -0.05), (0.25, 0.8 * flap), 0.16, 0.13),
        m.line((0.25, 0.8 * flap), (0.02, 1.25 * flap), 0.13, 0.03),
    )
    m.paint(m.dark, m.shape((-0.95, -0.1), (-0.4, 0.0), (-0.4, 0.14), (-0.98, 0.26)))
    m.paint(AMBER, m.shape((0.72, -0.18), (1.0, -0.04), (0.72, 0.04)))
    m.paint(m.body, m.line((-0.4, 0.08), (0.3, 0.02), 0.13, 0.24), m.oval(0.56, -0.08, 0.23, 0.21))
    m.paint(m.pale, m.oval(0.15, 0.15, 0.3, 0.1), soft=2.0)
    m.paint(m.dark, m.line((0.05, 0.0), (-0.15, flap), 0.2, 0.17), m.line((-0.15, flap), (-0.35 - tip, 1.2 * flap), 0.17, 0.04))
    m.paint(m.body, m.line((0.05, 0.0), (-0.15, flap), 0.13, 0.1))
    m.eye(0.62, -0.12)


def goose(m: Subject) -> None:
    """A bird with a long neck that walks."""
    neck, legs = m.between(-0.5, -0.3), m.between(0.0, 0.2)
    m.shadow(0.78 + legs, 0.55)
    m.paint(AMBER, m.line((-0.15, 0.5), (-0.15, 0.74 + legs), 0.045), m.line((0.1, 0.5), (0.1, 0.74 + legs), 0.045))
    m.paint(AMBER, m.box(-0.08, 0.76 + legs, 0.14, 0.04), m.box(0.17, 0.76 + legs, 0.14, 0.04))
    m.paint(m.dark, m.shape((-0.98, -0.02), (-0.5, 0.12), (-0.4, 0.4)))
    m.paint(AMBER, m.box(0.8, neck + 0.02, 0.17, 0.075, 0.06))
    m.paint(
        m.body, m.oval(-0.15, 0.28, 0.62, 0.34), m.line((0.28, 0.25), (0.5, neck), 0.19, 0.13), m.oval(0.53, neck, 0.2, 0.18)
    )
    m.paint(m.pale, m.line((0.38, 0.02), (0.42, -0.06), 0.15), strength=m.chance(0.5))
    m.paint(m.dark, m.line((0.05, 0.2), (-0.55, 0.22), 0.2, 0.07))
    m.eye(0.57, neck - 0.04, 0.065)


def _antlers(m: Subject, x: Number, y: Number, tall: Tensor) -> None:
    """Antlers and an ear on a head at (x, y)."""
    m.paint(m.dark, m.line((x, y), (x - 0.22, y - 0.04), 0.09, 0.04))
    for colour, dx in ((WOOD, 0.12), (TAN, 0.0)):
        knee = (x + dx - 0.12, y - 0.1 - 0.4 * tall)
        top = (x + dx + 0.02, y - 0.12 - 0.8 * tall)
        m.paint(colour, m.line((x + 0.02, y - 0.06), knee, 0.045), m.line(knee, top, 0.045, 0.03))
        m.paint(colour, m.line(knee, (x + dx - 0.34, y - 0.12 - 0.62 * tall), 0.04, 0.03))


def _deer(m: Subject, x: Number, y: Number, stride: Tensor) -> None:
    """A deer whose head is at (x, y)."""
    m.legs((-0.5, 0.18), 0.2, 0.9, 0.055, stride, INK)
    m.paint(WHITE, m.oval(-0.66, 0.08, 0.11, 0.13))
    m.paint(m.body, m.oval(-0.15, 0.16, 0.52, m.between(0.2, 0.25)), m.line((0.18, 0.1), (x - 0.05, y + 0.02), 0.17, 0.11))
    m.paint(m.pale, m.oval(-0.12, 0.33, 0.3, 0.07), soft=2.0)
    m.paint(WHITE, *(m.oval(sx, sy, 0.045, 0.045) for sx, sy in ((-0.45, 0.06), (-0.26, 0.14), (-0.22, 0.0), (-0.02, 0.08))))
    m.paint(m.body, m.line((x, y), (x + 0.26, y + 0.1), 0.13, 0.085))
    m.paint(INK, m.oval(x + 0.32, y + 0.1, 0.06, 0.055), m.oval(x + 0.06, y - 0.02, 0.045, 0.05))


def deer_stands(m: Subject) -> None:
    """A deer that stands, head up."""
    x, y = m.between(0.38, 0.5), m.between(-0.42, -0.3)
    m.shadow(0.94, 0.65)
    _antlers(m, x, y - 0.06, m.between(0.6, 0.75))
    _deer(m, x, y, m.between(0.0, 0.06))


def deer_leaps(m: Subject) -> None:
    """A deer at a run."""
    x, y = m.between(0.48, 0.58), m.between(-0.36, -0.25)
    m.shadow(0.95, 0.55)
    _antlers(m, x, y - 0.06, m.between(0.55, 0.7))
    _deer(m, x, y, m.between(0.28, 0.42))


def deer_sniffs(m: Subject) -> None:
    """A deer with its head low."""
    x, y = m.between(0.5, 0.58), m.between(-0.16, 0.06)
    m.shadow(0.94, 0.65)
    _antlers(m, x, y - 0.06, m.between(0.6, 0.75))
    _deer(m, x, y, m.between(0.08, 0.2))


def frog_sits(m: Subject) -> None:
    """A frog from the front."""
    turn, wide = m.between(0.0, 0.14), m.between(0.5, 0.62)
    m.shadow(0.72, 0.95)
    m.paint(m.dark, m.oval(0.66, 0.4, 0.3, 0.33, fold=0.0), m.oval(0.68, 0.68, 0.3, 0.08, fold=0.0))
    m.paint(m.body, m.oval(0, 0.25, wide, 0.45), m.oval(turn, -0.12, 0.6, 0.36), m.oval(0.36, -0.46, 0.2, 0.21, fold=turn))
    m.paint(m.pale, m.oval(turn / 2, 0.4, 0.36, 0.27), soft=2.0)
    m.paint(m.body, m.line((0.3, 0.35), (0.26, 0.66), 0.09, fold=turn / 2), m.oval(0.3, 0.7, 0.18, 0.07, fold=turn / 2))
    look = turn + 0.05
    m.paint(WHITE, m.oval(0.36, -0.47, 0.15, 0.15, fold=look))
    m.paint(INK, m.oval(0.36, -0.46, 0.08, 0.1, fold=look))
    m.paint(INK, torch.maximum(m.oval(look, -0.14, 0.44, 0.22).abs() - 0.03, -0.1 - m.v))


def frog_side(m: Subject) -> None:
    """A frog from the side."""
    rise = m.between(-0.1, 0.12)
    m.shadow(0.7, 0.9)
    m.paint(m.dark, m.line((-0.05, 0.62), (-0.75, 0.66), 0.07))
    m.paint(m.body, m.line((-0.5, 0.3), (0.4, -0.02 + rise), 0.3, 0.34), m.oval(0.36, -0.36 + rise, 0.21, 0.21))
    m.paint(m.pale, m.oval(0.3, 0.22 + rise, 0.3, 0.16), soft=2.0)
    m.paint(
        m.dark, *(m.oval(x, y, 0.07, 0.06) for x, y in ((-0.4, 0.02), (-0.12, -0.04), (0.02, 0.12))), strength=m.chance(0.7)
    )
    m.paint(INK, m.line((0.38, 0.06 + rise), (0.74, -0.02 + rise), 0.03))
    m.paint(m.dark, m.line((0.3, 0.3), (0.42, 0.6), 0.11, 0.08), m.line((0.42, 0.66), (0.66, 0.66), 0.06))
    m.paint(m.dark, m.oval(-0.48, 0.38, 0.4, 0.25))
    m.paint(m.body, m.oval(-0.5, 0.35, 0.34, 0.19))
    m.paint(m.dark, m.line((-0.7, 0.6), (-0.15, 0.66), 0.09, 0.06))
    m.paint(WHITE, m.oval(0.4, -0.38 + rise, 0.145, 0.145))
    m.paint(INK, m.oval(0.44, -0.38 + rise, 0.08, 0.09))


def frog_leaps(m: Subject) -> None:
    """A frog in mid-leap."""
    reach = m.between(-0.1, 0.15)
    m.shadow(0.95, 0.5)
    m.paint(m.dark, m.line((-0.25, 0.15), (-0.6, 0.05), 0.13, 0.1), m.line((-0.6, 0.05), (-0.92, 0.35), 0.09, 0.06))
    m.paint(m.dark, m.line((0.3, 0.1), (0.7, 0.35 + reach), 0.09, 0.06), m.line((0.7, 0.35 + reach), (0.88, 0.3 + reach), 0.07))
    m.paint(m.body, m.line((-0.35, 0.2), (0.4, -0.2), 0.22, 0.31), m.oval(0.32, -0.52, 0.19, 0.19))
    m.paint(m.pale, m.line((-0.15, 0.28), (0.45, 0.0), 0.08, 0.13), soft=2.0)
    m.paint(m.body, m.line((-0.3, 0.25), (-0.62, 0.45), 0.16, 0.11), m.line((-0.62, 0.45), (-0.85, 0.78), 0.1, 0.07))
    m.paint(m.body, m.line((-0.85, 0.8), (-0.98, 0.82), 0.08), m.line((0.25, 0.1), (0.5, 0.5 + reach), 0.1, 0.06))
    m.paint(INK, m.line((0.45, -0.12), (0.7, -0.22), 0.03))
    m.paint(WHITE, m.oval(0.36, -0.54, 0.135, 0.135))
    m.paint(INK, m.oval(0.4, -0.55, 0.075, 0.085))


def _horse(m: Subject, x: Number, y: Number, stride: Tensor) -> None:
    """A horse whose head is at (x, y)."""
    hair = m.body * 0.38 + 0.05 + (m.chance(0.4) * 0.5).unsqueeze(1) * m.pale
    m.legs((-0.5, 0.22), 0.2, 0.88, 0.075, stride, INK)
    m.paint(hair, m.line((-0.6, 0.0), (-0.82, 0.1), 0.1), m.line((-0.82, 0.1), (-0.9 - 0.1 * stride, 0.62), 0.1, 0.06))
    m.paint(m.body, m.oval(-0.14, 0.12, 0.54, m.between(0.28, 0.33)), m.line((0.16, 0.02), (x, y), 0.27, 0.16))
    m.paint(
        hair, m.line((0.02, -0.16), (x - 0.16, y - 0.06), 0.09), m.line((x - 0.16, y - 0.06), (x + 0.02, y - 0.16), 0.09, 0.06)
    )
    m.paint(
        m.body,
        m.line((x + 0.01, y), (x + 0.33, y + 0.28), 0.165, 0.105),
        m.line((x - 0.02, y - 0.1), (x, y - 0.27), 0.07, 0.03),
    )
    m.paint(m.dark, m.oval(x + 0.36, y + 0.31, 0.09, 0.08))
    m.eye(x + 0.09, y + 0.02, 0.05)
    saddle = m.chance(0.35)
    m.paint(m.accent, m.box(-0.14, -0.06, 0.19, 0.15, 0.06), strength=saddle)
    m.paint(WOOD, m.box(-0.14, -0.19, 0.16, 0.05, 0.04), strength=saddle)


def horse_stands(m: Subject) -> None:
    """A horse that stands or walks."""
    m.shadow(0.93, 0.7)
    _horse(m, m.between(0.42, 0.52), m.between(-0.62, -0.48), m.between(0.0, 0.1))


def horse_gallops(m: Subject) -> None:
    """A horse at a gallop."""
    m.shadow(0.95, 0.75)
    _horse(m, m.between(0.52, 0.6), m.between(-0.5, -0.36), m.between(0.25, 0.42))


def horse_rears(m: Subject) -> None:
    """A horse on its hind legs."""
    m.shadow(0.96, 0.5)
    u, v = m.u, m.v
    m.u, m.v = 0.92 * u - 0.38 * v - 0.02, 0.38 * u + 0.92 * v - 0.04
    _horse(m, m.between(0.42, 0.52), m.between(-0.5, -0.4), m.between(0.1, 0.24))
    m.u, m.v = u, v
