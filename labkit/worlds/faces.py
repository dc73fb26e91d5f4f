"""Drawn faces with attributes under CelebA's names: a stand-in for CelebA whose attributes are true by construction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.sets import Images
from labkit.worlds.canvas import Canvas, ellipse

SEEDS = {"train": 1202, "test": 599}  # no test face is drawn with the numbers of a training face
SIZES = {"train": 4000, "test": 1000}
BATCH = 64  # faces drawn at once: what is computed stays in the processor's cache
SHARES = {"Smiling": 1 / 2, "Mouth_Slightly_Open": 1 / 3, "Eyeglasses": 1 / 3, "Wearing_Hat": 1 / 4, "Bangs": 1 / 3}
CROWNS = ("Bald", "Black_Hair", "Brown_Hair", "Blond_Hair")  # each face has one of them, a quarter of the faces each

SKIN = ((1.0, 0.87, 0.77), (0.97, 0.79, 0.66), (0.90, 0.68, 0.52), (0.78, 0.55, 0.39), (0.66, 0.45, 0.32), (0.52, 0.34, 0.25))
HAIR = ((0.30, 0.20, 0.15), (0.08, 0.07, 0.09), (0.42, 0.20, 0.09), (0.95, 0.80, 0.40))  # as CROWNS; the first: brows only
FRAMES = ((0.08, 0.08, 0.10), (0.12, 0.14, 0.35), (0.40, 0.10, 0.10))
IRIS = ((0.22, 0.13, 0.08), (0.12, 0.25, 0.42), (0.14, 0.30, 0.20))


def faces(split: str, *, size: int = 32) -> Images:
    """Draw one split: 4,000 train and 1,000 test faces, RGB, always the same; the label says whether a face smiles.

    Pixels are uint8 (N, 3, size, size). The attributes are bool (N,): Smiling (half of the faces), Mouth_Slightly_Open
    and Eyeglasses (a third), Wearing_Hat (a quarter), one of Bald, Black_Hair, Brown_Hair and Blond_Hair (a quarter
    each), and Bangs (a third of those who have hair). They are drawn independently except for that: who is bald has
    neither a hair colour nor bangs. What a person is taken for, such as Male or Young, is left out, since nothing in a
    drawing would make it true. Skin, light, pose, the shapes of head, eyes, nose, hair, hat and glasses, and what is
    behind the head vary freely.

    Raises:
        ValueError: size is below 16, where mouths and glasses are no longer told apart.
    """
    if size < 16:
        raise ValueError(f"faces: size is {size}, but below 16 pixels a mouth is a dot: use 16 or more, 32 for instance")
    n, rng = SIZES[split], torch.Generator().manual_seed(SEEDS[split])
    has = {name: torch.rand(n, generator=rng) < share for name, share in SHARES.items()}
    crown = torch.randint(len(CROWNS), (n,), generator=rng)
    has |= {name: crown == number for number, name in enumerate(CROWNS)}
    has["Bangs"] &= ~has["Bald"]
    sheet = _sheet(has, crown, rng)
    pixels = torch.empty(n, 3, size, size, dtype=torch.uint8)
    for first in range(0, n, BATCH):
        part = slice(first, first + BATCH)
        pixels[part] = (_draw({key: value[part] for key, value in sheet.items()}, size) * 255).round().to(torch.uint8)
    return Images(
        pixels=pixels,
        labels=has["Smiling"].long(),
        class_names=("neutral", "smiling"),
        name="faces",
        split=split,
        provenance="drawn by labkit.worlds.faces from a fixed seed",
        attributes=has,
    )


def _sheet(has: dict[str, Tensor], crown: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """What is drawn, one row a face: numbers (n, 1, 1), colours (n, 3, 1, 1). The head is about 1.5 high in a frame of 2."""
    n = len(crown)

    def between(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(n, generator=rng)).reshape(n, 1, 1)

    def hue(low: float, high: float, saturation: float) -> Tensor:
        wheel = 0.5 + 0.5 * torch.cos(2 * math.pi * (torch.rand(n, 1, generator=rng) - torch.arange(3) / 3))
        colour = between(low, high)[..., 0] * (1 - saturation * torch.rand(n, 1, generator=rng) * (1 - wheel))
        return colour.reshape(n, 3, 1, 1)

    def one_of(palette: tuple[tuple[float, ...], ...], which: Tensor | None = None) -> Tensor:
        which = torch.randint(len(palette), (n,), generator=rng) if which is None else which
        return torch.tensor(palette)[which].reshape(n, 3, 1, 1)

    tone = between(0, len(SKIN) - 1)[:, 0, 0]
    lighter, share = tone.floor().long(), tone.frac().reshape(n, 1, 1, 1)
    skin = one_of(SKIN, lighter) * (1 - share) + one_of(SKIN, (lighter + 1).clamp(max=len(SKIN) - 1)) * share
    yes = {name: value.float().reshape(n, 1, 1) for name, value in has.items()}
    # hair that shows beside the head: all that tells bald from not bald under a hat
    style = torch.randint(3, (n,), generator=rng).reshape(n, 1, 1)
    return {
        **yes,
        "hair": 1 - yes["Bald"],
        "long": (style == 2).float() * (1 - yes["Bald"]),
        "hair_end": torch.tensor([0.12, 0.45, 0.8])[style] + between(-0.06, 0.06),
        "angle": between(-0.16, 0.16),
        "zoom": between(0.93, 1.08),
        "x": between(-0.1, 0.1),
        "y": between(-0.03, 0.07),
        "yaw": between(-0.09, 0.09),
        "nod": between(-0.03, 0.04),
        "rx": between(0.5, 0.6),
        "ry": between(0.66, 0.74),
        "jaw": between(0.0, 0.28),
        "eye_x": between(0.21, 0.26),
        "eye_rx": between(0.095, 0.12),
        "eye_ry": between(0.062, 0.085),
        "gaze": between(-0.03, 0.03),
        "brow": between(0.15, 0.19),
        "brow_tilt": between(-0.08, 0.2),
        "nose": between(0.05, 0.08),
        "mouth": between(0.40, 0.45),
        "mouth_w": between(0.23, 0.28) + 0.06 * yes["Smiling"],
        "curve": between(-0.01, 0.03) + yes["Smiling"] * between(0.17, 0.22),
        "open": yes["Mouth_Slightly_Open"] * between(0.075, 0.105),
        "lip": between(0.032, 0.042),
        "part": between(-0.25, 0.25),
        "wave": between(0, 2 * math.pi),
        "brim": between(0.62, 0.9),
        "square": (between(0, 1) < 0.4).float(),
        "light_x": between(-0.22, 0.22),
        "light_y": between(-0.16, 0.02),
        "skin": skin,
        "hair_colour": (one_of(HAIR, crown) * between(0.88, 1.08).unsqueeze(-1)).clamp(0, 1),
        "iris": one_of(IRIS),
        "frame": one_of(FRAMES),
        "shirt": hue(0.35, 0.95, 0.9),
        "hat": hue(0.45, 0.9, 1.0),
        "behind": hue(0.55, 0.95, 0.5) + 0.06 * torch.randn(n, 3, 4, 4, generator=rng) * between(0, 1).unsqueeze(-1),
    }


def _draw(p: dict[str, Tensor], size: int) -> Tensor:
    """Faces from back to front, (B, 3, size, size) in 0..1."""
    behind = F.interpolate(p["behind"], size=(size, size), mode="bicubic", align_corners=False).clamp_(0, 1)
    canvas = Canvas(behind, x=p["x"], y=p["y"], zoom=p["zoom"], angle=p["angle"])
    u, v, skin, hair = canvas.u, canvas.v, p["skin"], p["hair_colour"]
    fu, fv = u - p["yaw"], v - p["nod"]  # the features follow where the head looks
    side = fu.abs()
    shade = skin * torch.tensor((0.80, 0.74, 0.72)).reshape(1, 3, 1, 1)

    canvas.paint(hair * 0.85, ellipse(u, v, 0, 0.2, p["rx"] * 1.28, 0.85), p["long"])
    canvas.paint(shade, torch.maximum(u.abs() - 0.24, 0.3 - v))
    canvas.paint(p["shirt"], ellipse(u, v, 0, 1.3, 0.92, 0.46))
    canvas.paint(shade, ellipse(u.abs(), v, p["rx"] * 0.99, 0.08 + p["nod"], 0.09, 0.15))
    head = ellipse(u * (1 + p["jaw"] * v), v, 0, 0.06, p["rx"], p["ry"])
    canvas.paint(shade, head)
    canvas.paint(skin, head + 0.05, soft=3.0)

    _hair(canvas, p, head)
    _features(canvas, p, side, fu, fv, shade)
    _glasses(canvas, p, side, fv)
    _hat(canvas, p)
    light = 1 + p["light_x"] * u + p["light_y"] * v
    return canvas.picture.mul_(light.unsqueeze(1)).clamp_(0, 1)


def _hair(canvas: Canvas, p: dict[str, Tensor], head: Tensor) -> None:
    u, v, colour = canvas.u, canvas.v, p["hair_colour"]
    canvas.paint(torch.ones(1, 3, 1, 1), ellipse(u, v, p["part"], -0.42, 0.16, 0.09), 0.35 * p["Bald"], soft=4.0)
    whole = ellipse(u, v, 0, 0.02, p["rx"] * 1.14, p["ry"] * 1.14)
    opening = ellipse(u, v, p["yaw"] + 0.3 * p["part"], 0.3, p["rx"] * 0.88, 0.72)
    strands = torch.maximum(torch.maximum(whole, -opening), v - p["hair_end"])
    shadow = p["skin"] * torch.tensor((0.72, 0.62, 0.58)).reshape(1, 3, 1, 1)
    canvas.paint(shadow, torch.maximum(torch.maximum(head, 0.035 - opening), v - 0.5), 0.8 * p["hair"])
    canvas.paint(colour, strands, p["hair"])
    fringe = torch.maximum(head, v - p["nod"] + 0.2 + 0.025 * torch.sin(14 * u + p["wave"]))
    canvas.paint(colour * 0.94, fringe, p["Bangs"])
    shine = torch.maximum(ellipse(u, v, p["part"], -0.53, 0.3, 0.07), strands)
    canvas.paint(torch.ones(1, 3, 1, 1), shine, 0.2 * p["hair"], soft=2.0)


def _features(canvas: Canvas, p: dict[str, Tensor], side: Tensor, fu: Tensor, fv: Tensor, shade: Tensor) -> None:
    blush = 0.6 * p["skin"] + 0.4 * torch.tensor((0.95, 0.35, 0.35)).reshape(1, 3, 1, 1)
    canvas.paint(blush, ellipse(side, fv, 0.33, 0.24, 0.13, 0.1), 0.3 + 0.4 * p["Smiling"], soft=3.0)
    canvas.paint(shade * 0.92, ellipse(fu, fv, 0, 0.2, p["nose"], 0.075), soft=1.5)
    # a smile narrows the eyes
    ry = p["eye_ry"] * (1 - 0.15 * p["Smiling"])
    white = ellipse(side, fv, p["eye_x"], -0.02, p["eye_rx"], ry)
    canvas.paint(torch.full((1, 3, 1, 1), 0.97), white)
    iris = ellipse((fu - p["gaze"]).abs(), fv, p["eye_x"], -0.02, 0.055, ry)
    canvas.paint(p["iris"] * 0.7, iris)
    brow = (fv + p["brow"] - p["brow_tilt"] * (side - p["eye_x"])).abs_().sub_(0.026)
    canvas.paint(p["hair_colour"] * 0.75, torch.maximum(brow, (side - p["eye_x"]).abs_().sub_(0.12)))

    across = fu / p["mouth_w"]
    bow = (1 - across.square()).clamp_(min=-1)  # 1 in the middle, 0 in the corners
    middle = (fv - p["mouth"]).sub_(p["curve"] * (bow - 0.5))
    ends = fu.abs() - p["mouth_w"]
    lips = 0.35 * p["skin"] + 0.65 * torch.tensor((0.72, 0.16, 0.20)).reshape(1, 3, 1, 1)
    canvas.paint(lips, torch.maximum(middle.abs() - p["lip"] - p["open"] * bow, ends))
    gap = torch.maximum(middle.abs() + 0.012 - p["open"] * bow, ends)
    opened = p["Mouth_Slightly_Open"]
    canvas.paint(torch.tensor((0.22, 0.04, 0.06)).reshape(1, 3, 1, 1), gap, opened)
    canvas.paint(torch.full((1, 3, 1, 1), 0.97), torch.maximum(gap, middle + 0.01), opened * (0.15 + 0.85 * p["Smiling"]))


def _glasses(canvas: Canvas, p: dict[str, Tensor], side: Tensor, fv: Tensor) -> None:
    x, rx = p["eye_x"] + 0.01, 0.185
    round_ = ellipse(side, fv, x, -0.01, rx, 0.17)
    box = torch.maximum((side - x).abs_().sub_(rx), (fv + 0.01).abs_().sub_(0.14))
    lens = torch.lerp(round_, box, p["square"])
    canvas.paint(torch.tensor((0.80, 0.90, 1.0)).reshape(1, 3, 1, 1), lens, 0.22 * p["Eyeglasses"])
    rim = lens.abs_().sub_(0.034)
    bridge = torch.maximum((fv + 0.03).abs_().sub_(0.025), side - 0.06)
    temple = torch.maximum((fv + 0.05).abs_().sub_(0.025), (side - (x + rx + 0.06)).abs_().sub_(0.07))
    canvas.paint(p["frame"], torch.minimum(rim, torch.minimum(bridge, temple)), p["Eyeglasses"])


def _hat(canvas: Canvas, p: dict[str, Tensor]) -> None:
    u, v = canvas.u, canvas.v
    dome = torch.maximum(ellipse(u, v, 0, -0.36, p["rx"] * 1.08, 0.56), v + 0.36)
    canvas.paint(p["hat"], dome, p["Wearing_Hat"])
    brim = torch.maximum((v + 0.38).abs_().sub_(0.065), u.abs() - p["brim"])
    canvas.paint(p["hat"] * 0.72, brim, p["Wearing_Hat"])
