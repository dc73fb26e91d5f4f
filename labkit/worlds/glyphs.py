"""An unlimited family of drawn signs with many classes: what tiny nets are pretrained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.sets import Images
from labkit.worlds.canvas import Canvas, box, ellipse, limb, polygon
from labkit.worlds.textures import textures
from labkit.worlds.toybox_brush import Brush
from labkit.worlds.toybox_places import PLACES

SEEDS = {"train": 6421, "test": 3307}  # no test picture is drawn with the numbers of a training picture
SIZES = {"train": 12800, "test": 2560}
ALPHABET = 17  # the seed of the classes: sign k is the same in every set
DRAWS = 64  # random numbers that a place may use up
BATCH = 128  # pictures drawn at once: what is computed stays in the processor's cache
SHAPES = ("disc", "slab", "bar", "wedge", "ring", "arc")
FILLS = ("plain", "plain", "plain", "stripes", "dots", "two-tone")


@dataclass(frozen=True)
class Part:
    """One shape of a sign: where it lies in the sign's frame (-1 to 1), its half sizes, its turn, colour and fill."""

    shape: str
    fill: str
    x: float
    y: float
    rx: float
    ry: float
    turn: float
    colour: int  # 0: the main colour, 1: the second, 2: nearly black, 3: nearly white
    mirrored: bool  # drawn twice, left and right


def sign(k: int) -> tuple[Part, ...]:
    """The parts of sign number `k` >= 0, from back to front: a body and one to four parts on or beside it."""
    rng = torch.Generator().manual_seed(1000 * ALPHABET + k)

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=rng))

    def one_of(n: int) -> int:
        return int(torch.randint(n, (), generator=rng))

    long = between(0.25, 0.62)
    body = Part(
        SHAPES[one_of(4)], FILLS[one_of(6)], 0.0, between(-0.1, 0.2), long, between(0.25, 0.62), between(-0.5, 0.5), 0, False
    )
    parts = [body]
    for _ in range(1 + one_of(4)):
        angle, away, mirrored = between(0, 2 * math.pi), between(0.15, 0.72), one_of(2) == 0
        x, y = away * math.cos(angle), away * math.sin(angle)
        size = between(0.11, 0.38)
        shape, fill = SHAPES[one_of(6)], FILLS[one_of(6)]
        parts.append(
            Part(shape, fill, x, y, size, size * between(0.35, 1.0), between(-1.6, 1.6), (0, 1, 1, 2, 3)[one_of(5)], mirrored)
        )
    # half of the signs have a part behind the body
    return (parts[1], body, *parts[2:]) if one_of(2) else tuple(parts)


def glyphs(split: str, *, size: int = 32, n: int | None = None, classes: int = 128) -> Images:
    """Draw one split: 12,800 train and 2,560 test pictures, or `n`, of `classes` signs in equal numbers, RGB.

    Pixels are uint8 (N, 3, size, size); masks bool (N, size, size) are True on the sign. A sign is an arrangement of two
    to five shapes, plain or patterned; sign k is the same whatever the number of classes. Pictures of one sign differ in
    place, size, turn, proportions, colours, light, background and in what else lies about. The same arguments always give
    the same pictures.

    Raises:
        ValueError: the split is unknown, size is below 16, or there are fewer than 2 classes or pictures than classes.
    Source: the idea of pretraining without photos is Kataoka et al. 2020, arXiv:2101.08515.
    """
    if split not in SIZES:
        raise ValueError(f"glyphs: split {split!r} is unknown: use 'train' or 'test'")
    n = SIZES[split] if n is None else n
    if size < 16:
        raise ValueError(f"glyphs: size is {size}, but below 16 pixels the parts of a sign run together: use 16 or more")
    if classes < 2 or n < classes:
        raise ValueError(f"glyphs: n={n} pictures of classes={classes}: ask for at least 2 classes, and a picture of each")
    pixels, masks = torch.empty(n, 3, size, size, dtype=torch.uint8), torch.empty(n, size, size, dtype=torch.bool)
    place = torch.randperm(n, generator=torch.Generator().manual_seed(SEEDS[split]))
    labels = torch.arange(n) % classes
    for k in range(classes):
        mine = place[labels == k]
        for number, rows in enumerate(mine.split(BATCH)):
            picture, cover = _draw(len(rows), sign(k), size, seed=SEEDS[split] + 100_003 * k + 7919 * number)
            pixels[rows], masks[rows] = (picture * 255).round().to(torch.uint8), cover >= 0.5
    return Images(
        pixels=pixels,
        labels=torch.empty_like(labels).scatter_(0, place, labels),
        class_names=tuple(f"sign {k}" for k in range(classes)),
        name="glyphs",
        split=split,
        provenance="drawn by labkit.worlds.glyphs from a fixed seed",
        masks=masks,
    )


def _draw(n: int, parts: tuple[Part, ...], size: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Pictures of one sign, (n, 3, size, size) in 0..1, and how much of each pixel it covers, (n, size, size)."""
    rng = torch.Generator().manual_seed(seed)

    def between(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(n, generator=rng)).reshape(n, 1, 1)

    behind = _ground(n, size, seed, rng)
    colours = _palette(behind.mean((2, 3)), rng)
    litter = Canvas(behind, x=between(-0.9, 0.9), y=between(-0.9, 0.9), zoom=between(0.12, 0.3), angle=between(0, 6.3))
    shape = torch.where(between(0, 1) < 0.5, ellipse(litter.u, litter.v, 0, 0, 1, 0.8), box(litter.u, litter.v, 0, 0, 1, 0.4))
    litter.paint(colours[4], shape, (between(0, 1) < 0.6).float(), solid=False)

    zoom = between(0.65, 1.15)
    room = (1.1 - 0.75 * zoom).clamp(min=0.1)
    canvas = Canvas(behind, x=room * between(-1, 1), y=room * between(-1, 1), zoom=zoom, angle=between(-0.45, 0.45))
    u, v = canvas.u * between(0.85, 1.18), canvas.v
    u = u * torch.where(between(0, 1) < 0.5, -1.0, 1.0)
    for part in parts:
        j = [between(-0.05, 0.05), between(-0.05, 0.05), between(0.85, 1.18), between(0.85, 1.18), between(-0.15, 0.15)]
        for mirror in (1.0, -1.0) if part.mirrored else (1.0,):
            x, y = (mirror * u) - (part.x + j[0]), v - (part.y + j[1])
            cos, sin = torch.cos(part.turn + j[4]), torch.sin(part.turn + j[4])
            x, y = cos * x + sin * y, cos * y - sin * x
            rx, ry = part.rx * j[2], part.ry * j[3]
            distance = _shape(part.shape, x, y, rx, ry)
            canvas.paint(colours[part.colour], distance)
            if part.fill != "plain":
                canvas.paint(colours[(part.colour + 1) % 4], torch.maximum(distance, _fill(part.fill, x, y)))
    light = 1 + between(-0.2, 0.2) * canvas.u + between(-0.2, 0.2) * canvas.v
    picture = canvas.picture * light.unsqueeze(1) + 0.015 * torch.randn(n, 3, size, size, generator=rng)
    return picture.clamp_(0, 1), canvas.cover


def _ground(n: int, size: int, seed: int, rng: torch.Generator) -> Tensor:
    """What lies behind, (n, 3, size, size): one of the places of the toybox for half of the pictures, else a calm texture."""
    kind = torch.randint(2 * len(PLACES), (n,), generator=rng)
    # a little out of focus: drawn at half the size, and most of the contrast taken away
    behind = F.interpolate(textures(n, size=size // 2, seed=seed), size=(size, size), mode="bilinear")
    share = 0.25 + 0.6 * torch.rand(n, 1, 1, 1, generator=rng)
    behind.lerp_(behind.mean((2, 3), keepdim=True), share)
    for number, place in enumerate(PLACES.values()):
        mine = (kind == number).nonzero().squeeze(1)
        if len(mine):
            one = torch.ones(len(mine), 1, 1)
            canvas = Canvas(behind[mine], x=0.0, y=0.0, zoom=one, angle=0 * one)
            place(Brush(canvas, torch.rand(len(mine), DRAWS, generator=rng)))
            behind[mine] = canvas.picture
    return behind


def _shape(name: str, x: Tensor, y: Tensor, rx: Tensor, ry: Tensor) -> Tensor:
    if name == "disc":
        return ellipse(x, y, 0, 0, rx, ry)
    if name == "slab":
        return box(x, y, 0, 0, rx, ry, round_=0.04)
    if name == "bar":
        return limb(x, y, (-rx, 0.0), (rx, 0.0), 0.35 * ry)
    if name == "wedge":
        return polygon(x, y, [(-rx, ry), (torch.zeros_like(rx), -ry), (rx, ry)])
    ring = (torch.hypot(x, y) - 0.8 * rx).abs() - 0.22 * rx
    return ring if name == "ring" else torch.maximum(ring, -y)  # an arc is the lower half of a ring


def _fill(name: str, x: Tensor, y: Tensor) -> Tensor:
    """Distance to the pattern of a filled part: stripes across, dots, or its lower half."""
    if name == "stripes":
        return torch.sin(18 * x) * 0.055
    if name == "dots":
        return 0.1 - 0.055 * (2 + torch.cos(17 * x) + torch.cos(17 * y))
    return -y


def _palette(ground: Tensor, rng: torch.Generator) -> list[Tensor]:
    """Five colours (n, 3, 1, 1): main, second, dark, light and one for litter; main stands out from the ground (n, 3)."""
    n = len(ground)
    hue = torch.rand(n, 1, generator=rng)

    def tone(turn: Tensor | float, value: Tensor, saturation: float) -> Tensor:
        wheel = 0.5 + 0.5 * torch.cos(2 * math.pi * (hue + turn - torch.arange(3) / 3))
        return value * (1 - saturation * torch.rand(n, 1, generator=rng).clamp(min=0.3) * (1 - wheel))

    light_ground = (ground.mean(1, keepdim=True) > 0.45).float()
    value = 0.25 + 0.25 * torch.rand(n, 1, generator=rng) + (1 - light_ground) * 0.45
    turn = torch.where(torch.rand(n, 1, generator=rng) < 0.5, 0.5, 0.18)
    main, second = tone(0.0, value, 1.0), tone(turn, 0.35 + 0.6 * torch.rand(n, 1, generator=rng), 1.0)
    dark = 0.05 + 0.12 * torch.rand(n, 3, generator=rng)
    light = 0.86 + 0.12 * torch.rand(n, 3, generator=rng)
    litter = tone(torch.rand(n, 1, generator=rng), torch.rand(n, 1, generator=rng).clamp(min=0.2), 1.0)
    return [each.reshape(n, 3, 1, 1) for each in (main, second, dark, light, litter)]
