"""What is drawn in each picture of the toybox: classes, colours, places and poses, as chance decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from labkit.worlds import toybox_animals as animals
from labkit.worlds import toybox_pets as pets
from labkit.worlds import toybox_vehicles as vehicles
from labkit.worlds.toybox_brush import Subject
from labkit.worlds.toybox_places import PLACES

#: The classes in CIFAR's order, and how each can be drawn
OBJECTS: dict[str, tuple[Callable[[Subject], None], ...]] = {
    "airplane": (vehicles.liner, vehicles.jet_above, vehicles.propeller),
    "automobile": (vehicles.saloon, vehicles.beetle, vehicles.jeep),
    "bird": (animals.songbird, animals.flying, animals.goose),
    "cat": (pets.cat_sits, pets.cat_walks, pets.cat_lies),
    "deer": (animals.deer_stands, animals.deer_leaps, animals.deer_sniffs),
    "dog": (pets.dog_stands, pets.dog_sits, pets.dog_faces),
    "frog": (animals.frog_sits, animals.frog_side, animals.frog_leaps),
    "horse": (animals.horse_stands, animals.horse_gallops, animals.horse_rears),
    "ship": (vehicles.sailboat, vehicles.freighter, vehicles.steamer),
    "truck": (vehicles.box_truck, vehicles.tanker, vehicles.tipper),
}
CLASSES = tuple(OBJECTS)
KINDS = 3  # poses or makes of each class
PALETTE = {
    "red": (0.84, 0.20, 0.20),
    "orange": (0.94, 0.54, 0.18),
    "yellow": (0.97, 0.81, 0.27),
    "green": (0.28, 0.62, 0.32),
    "blue": (0.20, 0.42, 0.80),
    "purple": (0.55, 0.34, 0.72),
    "brown": (0.52, 0.34, 0.21),
    "white": (0.94, 0.94, 0.93),
    "grey": (0.58, 0.60, 0.63),
    "black": (0.22, 0.21, 0.26),
}
COLOURS = tuple(PALETTE)
PAINTED = ("red", "orange", "yellow", "green", "blue", "purple", "white", "grey", "black")
#: The colours that each class comes in: animals as in nature, but for birds
WEAR: dict[str, tuple[str, ...]] = {
    "airplane": PAINTED[:-1],
    "automobile": PAINTED,
    "bird": COLOURS,
    "cat": ("orange", "white", "grey", "black", "brown"),
    "deer": ("brown", "orange", "grey"),
    "dog": ("brown", "yellow", "white", "grey", "black"),
    "frog": ("green", "yellow", "brown", "orange"),
    "horse": ("brown", "black", "white", "grey"),
    "ship": PAINTED,
    "truck": PAINTED,
}
BACKGROUNDS = tuple(PLACES)
#: Where each class is usually found
HABITAT: dict[str, tuple[str, ...]] = {
    "airplane": ("sky",),
    "automobile": ("road",),
    "bird": ("sky", "forest", "grass"),
    "cat": ("room", "grass"),
    "deer": ("forest", "grass", "snow"),
    "dog": ("grass", "room", "sand"),
    "frog": ("grass", "forest"),
    "horse": ("grass", "sand"),
    "ship": ("sea",),
    "truck": ("road",),
}
TILT = {"airplane": 0.18, "bird": 0.1}  # standard deviation in radians; 0.06 for what stands on the ground


def _pick(rows: Tensor, options: Sequence[Sequence[int]], share: Tensor) -> Tensor:
    """One of the options of each row, by a number in 0..1."""
    table = torch.zeros(len(options), max(map(len, options)), dtype=torch.int64)
    for row, values in enumerate(options):
        table[row, : len(values)] = torch.tensor(values)
    many = torch.tensor([len(values) for values in options])
    return table[rows, (share * many[rows]).long()]


def sheet(labels: Tensor, context: float, rng: torch.Generator) -> dict[str, Tensor]:
    """What is drawn, one row a picture: all that chance decides but the grain, so that it is the same at every size."""
    n = len(labels)
    share = torch.rand(8, n, generator=rng)
    colour = _pick(labels, [[COLOURS.index(c) for c in WEAR[name]] for name in CLASSES], share[0])
    usual = _pick(labels, [[BACKGROUNDS.index(p) for p in HABITAT[name]] for name in CLASSES], share[1])
    place = torch.where(share[2] < context, usual, (share[3] * len(BACKGROUNDS)).long())
    large = share[4] < 0.5
    zoom = torch.where(large, 0.76 + 0.17 * share[5], 0.49 + 0.11 * share[5])
    tilt = torch.tensor([TILT.get(name, 0.06) for name in CLASSES])[labels]
    most = (1 - 0.85 * zoom).unsqueeze(1)  # no more than 15 % of half the object's width is cut off
    centre = (0.18 * torch.randn(n, 2, generator=rng)).clamp(-most, most)
    centre[:, 1] -= 0.09 * zoom  # what is drawn hangs that much below its origin, on average
    accent = (colour + 1 + (torch.rand(n, generator=rng) * (len(COLOURS) - 1)).long()) % len(COLOURS)
    paints = torch.tensor(list(PALETTE.values()))
    jitter = 0.02 * torch.randn(2, n, 3, generator=rng) + 0.05 * torch.randn(2, n, 1, generator=rng)
    return {
        "colour": colour,
        "background": place,
        "large": large,
        "facing_right": share[6] < 0.5,
        "kind": (share[7] * KINDS).long(),
        "zoom": zoom,
        "centre": centre,
        "angle": tilt * torch.randn(n, generator=rng).clamp(-2.2, 2.2),
        "body": (paints[colour] + jitter[0]).clamp(0.04, 1),
        "accent": (0.85 * paints[accent] + 0.08 + jitter[1]).clamp(0.04, 1),
        "light": torch.rand(n, 3, generator=rng),
        "camera": 0.12 * (torch.rand(n, generator=rng) - 0.5),
        "scene": torch.rand(n, 56, generator=rng),
        "pose": torch.rand(n, 12, generator=rng),
        "texture": torch.randn(n, 1, 10, 10, generator=rng),
    }
