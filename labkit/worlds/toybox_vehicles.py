"""Airplanes, automobiles, ships and trucks of the toybox, three makes of each; they head to the right."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.worlds.toybox_brush import AMBER, GLASS, GREY, INK, RED, WHITE, Colour, Subject


def liner(m: Subject) -> None:
    """An airliner from the side."""
    r, sweep = m.between(0.15, 0.2), m.between(0.25, 0.45)
    m.paint(m.dark, m.shape((-0.05, -0.08), (0.25, -0.08), (0.12 - sweep, -0.5), (-0.05 - sweep, -0.5)))
    m.paint(m.accent, m.shape((-0.98, -0.58), (-0.74, -0.58), (-0.4, -0.05), (-0.88, -0.05)))
    m.paint(m.body, m.line((-0.85, -0.04), (0.76, 0.0), 0.1, r))
    m.paint(m.accent, m.box(-0.1, 0.07, 0.72, 0.03), strength=m.chance(0.5))
    m.paint(INK, m.row(-0.5, 0.55, -0.05, 0.04, 0.045, m.between(0.15, 0.21)), strength=0.8)
    m.paint(INK, m.shape((0.72, -0.15), (0.84, -0.14), (0.92, -0.03), (0.72, -0.03)))
    m.paint(m.dark, m.line((0.1 - sweep / 2, 0.3), (0.26 - sweep / 2, 0.3), 0.09))
    m.paint(m.pale, m.shape((-0.15, 0.05), (0.3, 0.05), (0.05 - sweep, 0.62), (-0.15 - sweep, 0.62)))
    m.paint(m.pale, m.shape((-0.88, -0.04), (-0.62, -0.04), (-0.86, 0.2), (-0.98, 0.2)))


def jet_above(m: Subject) -> None:
    """A jet from above."""
    sweep, span = m.between(0.2, 0.6), m.between(0.72, 0.9)
    root = m.between(0.15, 0.35)
    m.paint(m.dark, m.line((root - 0.3 * sweep, 0), (root - 0.3 * sweep + 0.18, 0), 0.01))
    v = m.v
    m.v = v.abs()
    m.paint(m.dark, m.box(root - sweep * 0.5, 0.4, 0.16, 0.08, 0.07))
    m.paint(m.pale, m.shape((root - 0.5, 0.0), (root, 0.0), (root - sweep - 0.05, span), (root - sweep - 0.25, span)))
    m.paint(m.accent, m.shape((-0.88, 0.0), (-0.55, 0.0), (-0.8, 0.38), (-0.95, 0.38)))
    m.v = v
    m.paint(m.body, m.line((-0.85, 0.0), (0.78, 0.0), 0.09, m.between(0.13, 0.17)))
    m.paint(INK, m.oval(0.74, 0.0, 0.08, 0.1))
    m.paint(m.accent, m.line((-0.95, 0.0), (-0.6, 0.0), 0.035))


def propeller(m: Subject) -> None:
    """A propeller aircraft or biplane from the side."""
    high, double = m.between(0.36, 0.46), m.chance(0.6)
    m.paint(m.accent, m.shape((-0.98, -0.5), (-0.75, -0.5), (-0.45, -0.02), (-0.85, -0.02)))
    m.paint(INK, m.line((0.25, 0.2), (0.3, 0.52), 0.035))
    m.paint(INK, m.oval(0.3, 0.55, 0.14, 0.14))
    m.paint(GREY, m.oval(0.3, 0.55, 0.05, 0.05))
    m.paint(m.body, m.line((-0.82, -0.02), (0.55, 0.0), 0.08, 0.24))
    m.paint(GLASS, m.shape((-0.15, -0.35), (0.12, -0.35), (0.25, -0.14), (-0.2, -0.14)))
    m.paint(INK, m.line((0.35, -high), (0.3, 0.1), 0.03), m.line((0.05, -high), (0.0, 0.1), 0.03), strength=double)
    m.paint(m.accent, m.box(0.18, -high, 0.42, 0.07, 0.06), strength=double)
    m.paint(m.pale, m.box(0.16, 0.12, 0.44, 0.07, 0.06))
    m.paint(m.pale, m.box(-0.8, -0.02, 0.17, 0.05, 0.04))
    m.paint(INK, m.oval(0.84, 0.0, 0.08, 0.1))
    m.paint(WHITE, m.oval(0.9, 0.0, 0.07, 0.5), strength=0.75)


def saloon(m: Subject) -> None:
    """A saloon car."""
    top, back, nose = m.between(-0.5, -0.36), m.between(-0.85, -0.6), m.between(0.42, 0.62)
    m.shadow(0.56, 0.98)
    cabin = m.shape((back + 0.25, top), (nose - 0.35, top), (nose, -0.02), (back, -0.02))
    m.paint(m.body, cabin, m.box(0.0, 0.16, 0.98, 0.24, 0.13))
    m.paint(GLASS, torch.maximum(cabin + 0.08, m.v + 0.06))
    m.paint(m.body, m.box((back + nose) / 2 - 0.02, -0.2, 0.045, 0.25))
    m.paint(m.dark, m.box(0.0, 0.36, 0.9, 0.06, 0.04))
    m.paint(AMBER, m.oval(0.91, 0.1, 0.08, 0.09))
    m.paint(RED, m.box(-0.92, 0.1, 0.06, 0.08, 0.02))
    m.wheels(0.0, m.between(0.52, 0.6), 0.4, m.between(0.2, 0.24))


def beetle(m: Subject) -> None:
    """A small car with a round roof."""
    top = m.between(-0.58, -0.46)
    m.shadow(0.58, 0.95)
    dome = torch.maximum(m.oval(-0.08, 0.12, m.between(0.62, 0.72), 0.12 - top), m.v - 0.2)
    m.paint(m.body, dome, m.oval(0.55, 0.22, 0.42, 0.27), m.oval(-0.58, 0.22, 0.4, 0.3), m.box(0.0, 0.26, 0.75, 0.16))
    m.paint(GLASS, torch.maximum(dome + 0.13, m.v + 0.04))
    m.paint(m.body, m.box(-0.05, -0.2, 0.05, 0.25))
    m.paint(m.pale, m.box(0.0, 0.38, 0.5, 0.045))
    m.paint(AMBER, m.oval(0.86, 0.14, 0.09, 0.1))
    m.wheels(0.0, 0.57, 0.42, m.between(0.21, 0.25))


def jeep(m: Subject) -> None:
    """A boxy car with a spare wheel at the back."""
    top, front = m.between(-0.56, -0.44), m.between(0.28, 0.42)
    m.shadow(0.6, 0.95)
    m.paint(INK, m.oval(-0.93, 0.02, 0.08, 0.2))
    m.paint(
        m.body, m.shape((-0.85, top), (front - 0.1, top), (front + 0.04, 0.0), (-0.85, 0.0)), m.box(0.03, 0.15, 0.9, 0.24, 0.06)
    )
    m.paint(m.accent, m.box(-0.28, top, front + 0.42, 0.055, 0.04))
    m.paint(
        GLASS, m.box(-0.62, top / 2, 0.15, 0.14), m.box(-0.24, top / 2, 0.16, 0.14), m.box(front - 0.18, top / 2, 0.12, 0.14)
    )
    m.paint(m.dark, m.box(0.0, 0.37, 0.92, 0.06))
    m.paint(AMBER, m.oval(0.87, 0.08, 0.07, 0.09))
    m.paint(GREY, m.box(0.93, 0.32, 0.06, 0.07))
    m.wheels(0.0, 0.54, 0.42, m.between(0.23, 0.27))


def _foam(m: Subject, y: float) -> None:
    m.paint(WHITE, m.oval(0, y, 0.95, 0.09), strength=0.75 * m.sea, soft=2.0, solid=False)
    m.shadow(y + 0.02, 0.85)


def sailboat(m: Subject) -> None:
    """A boat with two sails."""
    mast, lean = m.between(-0.08, 0.12), m.between(-0.05, 0.12)
    _foam(m, 0.88)
    m.paint(m.dark, m.line((mast, 0.5), (mast, -0.95), 0.04))
    m.paint(WHITE, m.shape((mast - 0.05, -0.88), (mast - 0.05, 0.38), (-0.72 + lean, 0.38)))
    m.paint(m.body, m.shape((mast + 0.08, -0.7), (0.75 + lean, 0.38), (mast + 0.08, 0.38)))
    m.paint(m.accent, m.box(mast - 0.22, 0.12, 0.14, 0.06), strength=m.chance(0.5))
    m.paint(m.body, m.shape((-0.8, 0.48), (0.98, 0.46), (0.62, 0.88), (-0.6, 0.88)))
    m.paint(WHITE, m.box(0.02, 0.53, 0.76, 0.035))


def freighter(m: Subject) -> None:
    """A ship with containers on deck."""
    high = m.between(0.0, 0.16)
    _foam(m, 0.64)
    columns: list[Colour] = [m.accent, (0.93, 0.70, 0.30), m.pale, (0.35, 0.58, 0.72), (0.80, 0.38, 0.32)]
    for number, colour in enumerate(columns[:4]):
        top = m.between(-0.35, 0.05) if number < 3 else torch.tensor(0.05)
        m.paint(colour, m.shape(*((-0.34 + 0.29 * number + dx, y) for dx, y in ((0, top), (0.26, top), (0.26, 0.3), (0, 0.3)))))
    m.paint(WHITE, m.box(-0.62, -0.12, 0.2, 0.42 + high / 2))
    m.paint(INK, m.row(-0.8, -0.44, -0.4, 0.04, 0.05, 0.12))
    m.paint(m.accent, m.box(-0.7, -0.66, 0.08, 0.14))
    m.paint(
        m.body,
        m.shape((-0.96, 0.2), (0.7, 0.25), (0.78, 0.64), (-0.85, 0.64)),
        m.shape((0.5, 0.25), (1.0, 0.08), (0.78, 0.64), (0.5, 0.64)),
    )
    m.paint(m.dark, m.shape((-0.88, 0.54), (0.8, 0.54), (0.76, 0.66), (-0.85, 0.66)))


def steamer(m: Subject) -> None:
    """A liner with one funnel or two."""
    lean, two = m.between(0.0, 0.1), m.chance(0.6)
    _foam(m, 0.68)
    m.paint(WHITE, m.oval(-0.5, -0.82, 0.22, 0.12), m.oval(-0.75, -0.9, 0.2, 0.1), strength=0.6, soft=2.0, solid=False)
    for x, here in ((-0.3, torch.ones_like(two)), (0.15, two)):
        m.paint(
            m.body,
            m.shape((x - 0.11 - lean, -0.72), (x + 0.11 - lean, -0.72), (x + 0.11, -0.1), (x - 0.11, -0.1)),
            strength=here,
        )
        m.paint(INK, m.box(x - lean, -0.68, 0.12, 0.07), strength=here)
    m.paint(WHITE, m.box(-0.1, 0.06, 0.62, 0.22, 0.04), m.box(-0.08, -0.18, 0.44, 0.1, 0.03))
    m.paint((0.25, 0.42, 0.58), m.row(-0.66, 0.46, 0.05, 0.05, 0.05, m.between(0.15, 0.2)))
    m.paint(m.body, m.shape((-0.98, 0.2), (1.0, 0.14), (0.72, 0.68), (-0.8, 0.68)))
    m.paint(m.dark, m.shape((-0.87, 0.55), (0.8, 0.55), (0.72, 0.7), (-0.8, 0.7)))
    m.paint(m.pale, m.row(-0.7, 0.75, 0.36, 0.05, 0.05, 0.2))


def _cab(m: Subject, colour: Tensor, front: float = 0.97) -> None:
    """Chassis, cab and three wheels of a truck; a long bonnet, or none."""
    bonnet = m.between(0.0, 0.22) * m.chance(0.6)
    left, top = 0.4, m.between(-0.36, -0.22)
    m.shadow(0.66, 0.98)
    m.paint(INK, m.box(0.0, 0.36, 0.95, 0.07))
    m.paint(
        colour, m.shape((left, top), (front - bonnet - 0.1, top), (front - bonnet, 0.05), (front - bonnet, 0.4), (left, 0.4))
    )
    m.paint(colour, m.box(front - 0.2, 0.24, 0.2, 0.18, 0.06))
    m.paint(
        GLASS,
        m.shape(
            (left + 0.12, top + 0.1), (front - bonnet - 0.14, top + 0.1), (front - bonnet - 0.05, 0.04), (left + 0.12, 0.04)
        ),
    )
    m.paint(AMBER, m.oval(front - 0.04, 0.24, 0.06, 0.075))
    m.paint(GREY, m.box(front - 0.02, 0.39, 0.07, 0.045))
    r = m.between(0.17, 0.2)
    m.wheels(-0.52, m.between(0.21, 0.24), 0.46, r)
    m.wheels(0.66, 0.0, 0.46, r)


def box_truck(m: Subject) -> None:
    """A truck with a closed box."""
    top = m.between(-0.68, -0.5)
    _cab(m, m.accent)
    m.paint(m.body, m.shape((-0.98, top), (0.34, top), (0.34, 0.32), (-0.98, 0.32)))
    m.paint(m.pale, m.box(-0.32, top + 0.36, 0.45, 0.11, 0.05), strength=m.chance(0.5))
    m.paint(m.dark, m.box(-0.32, 0.27, 0.66, 0.05), m.box(-0.32, top + 0.04, 0.66, 0.04))


def tanker(m: Subject) -> None:
    """A truck with a tank."""
    r = m.between(0.3, 0.36)
    _cab(m, m.accent)
    m.paint(m.body, m.line((-0.68, 0.0), (0.04, 0.0), r))
    m.paint(m.pale, m.line((-0.62, -0.15), (0.0, -0.15), 0.06), soft=1.5)
    m.paint(m.dark, torch.maximum(m.row(-0.66, 0.06, 0.0, 0.03, 0.4, 0.36), m.line((-0.68, 0.0), (0.04, 0.0), r)))
    m.paint(INK, m.box(-0.32, -r - 0.02, 0.12, 0.05))


def tipper(m: Subject) -> None:
    """A truck with an open body, often loaded."""
    load = m.chance(0.7)
    _cab(m, m.body)
    heap = torch.maximum(m.oval(-0.32, -0.2, 0.52, m.between(0.26, 0.44)), m.v + 0.15)
    m.paint((0.60, 0.46, 0.32), heap, strength=load)
    m.paint(m.body, m.shape((-1.0, -0.28), (0.44, -0.28), (0.3, 0.28), (-0.84, 0.28)))
    m.paint(m.dark, m.row(-0.7, 0.25, 0.0, 0.035, 0.22, 0.26), m.box(-0.28, -0.26, 0.7, 0.045))
