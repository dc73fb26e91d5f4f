"""Drawn scenes in grey under the names of the 15-Scene set: a stand-in for it that needs no download."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.sets import Images
from labkit.worlds import scenes_kitchen as kitchen
from labkit.worlds import scenes_land as land
from labkit.worlds import scenes_roads as roads
from labkit.worlds import scenes_rooms as rooms
from labkit.worlds import scenes_suburb as suburb
from labkit.worlds import scenes_town as town
from labkit.worlds import scenes_work as work
from labkit.worlds.canvas import Canvas
from labkit.worlds.labels import drawn_labels, drawn_together
from labkit.worlds.scenes_brush import DRAWS, GRIDS, Draw, Pen, person, tree
from labkit.worlds.scenes_rooms import lamp

SEEDS = {"train": 1506, "test": 2169}  # no test picture is drawn with the numbers of a training picture
SIZES = {"train": 1500, "test": 1500}
BATCH = 128  # pictures drawn at once: what is computed stays in the processor's cache
SMALLEST = 24  # pixels a side
LAYOUTS = 3  # ways to draw each class

#: The classes in the order of the set, and the layouts of each
SCENES: dict[str, tuple[Draw, ...]] = {
    "bedroom": (rooms.bedroom_foot, rooms.bedroom_side, rooms.bedroom_twin),
    "coast": (land.coast_beach, land.coast_cliff, land.coast_bay),
    "forest": (land.forest_trunks, land.forest_oaks, land.forest_path),
    "highway": (roads.highway_plain, roads.highway_bend, roads.highway_bridge),
    "industrial": (town.industrial_works, town.industrial_tanks, town.industrial_power),
    "insidecity": (town.insidecity_shop, town.insidecity_row, town.insidecity_oblique),
    "kitchen": (kitchen.kitchen_line, kitchen.kitchen_galley, kitchen.kitchen_island),
    "livingroom": (rooms.livingroom_sofa, rooms.livingroom_hearth, rooms.livingroom_corner),
    "mountain": (land.mountain_peak, land.mountain_range, land.mountain_lake),
    "office": (work.office_desk, work.office_rows, work.office_corner),
    "opencountry": (land.opencountry_hills, land.opencountry_furrows, land.opencountry_meadow),
    "store": (work.store_wall, work.store_aisle, work.store_racks),
    "street": (roads.street_narrow, roads.street_trees, roads.street_end),
    "suburb": (suburb.suburb_gable, suburb.suburb_eaves, suburb.suburb_wing),
    "tallbuilding": (town.tallbuilding_tower, town.tallbuilding_skyline, town.tallbuilding_facade),
}
CLASSES = tuple(SCENES)
INDOORS = ("bedroom", "kitchen", "livingroom", "office", "store")


def scenes(split: str, *, size: int = 32, n: int | None = None) -> Images:
    """Draw one split: 1,500 train and 1,500 test pictures, or `n`, grey, fifteen classes of equal share, always the same.

    Pixels are uint8 (N, 1, size, size). What the pictures hold is said in `render`.

    Raises:
        ValueError: split is neither 'train' nor 'test', size is below 24, or n below 15.
    """
    if split not in SIZES:
        raise ValueError(f"scenes: split {split!r} is unknown: use 'train' or 'test'")
    n = SIZES[split] if n is None else n
    if n < len(CLASSES):
        raise ValueError(f"scenes: n is {n}, but there are {len(CLASSES)} classes: ask for 15 or more, 1500 for instance")
    return replace(render(n, seed=SEEDS[split], size=size), split=split)


def render(n: int, *, seed: int, size: int = 32, labels: Tensor | None = None) -> Images:
    """Draw n fresh pictures from a seed, which share nothing with those of another seed.

    Pixels are uint8 (n, 1, size, size), labels numbers of classes: those given, int64 (n,), or else all classes equally
    often in random order. A seed gives the same scenes at every size, but for blur and noise, which are in pixels.

    Each class has three layouts. Horizon, vanishing point, distance, mirror image, day or night, tones, counts of things
    and what stands in the way vary freely. Mean and contrast of a picture are drawn without regard to its class: what
    tells classes apart is texture, shape and arrangement.

    Raises:
        ValueError: n is below 1, size below 24, or labels are not int64 (n,) within 0..14.
    Source: the classes are those of Lazebnik et al. 2006, Beyond bags of features, CVPR.
    """
    if n < 1:
        raise ValueError(f"scenes: n is {n}, expected at least 1 picture")
    if size < SMALLEST:
        raise ValueError(f"scenes: size is {size}, but below {SMALLEST} pixels a window is a dot: use 24 or more, such as 32")
    rng = torch.Generator().manual_seed(seed)
    labels = drawn_labels("scenes", n, labels, len(CLASSES), rng)
    sheet = _sheet(n, rng)
    grey = torch.empty(n, size, size)
    for code, rows in drawn_together(labels * LAYOUTS + sheet["layout"], at_most=BATCH):
        _paint(SCENES[CLASSES[code // LAYOUTS]][code % LAYOUTS], grey, rows, sheet, sheet["scene"])
    inside = torch.tensor([name in INDOORS for name in CLASSES])[labels]
    for code, rows in drawn_together(2 * sheet["before"] + inside, at_most=BATCH):
        if code // 2 < len(BEFORE):
            _paint(BEFORE[code // 2][code % 2], grey, rows, sheet, sheet["other"])
    pixels = torch.empty(n, size, size, dtype=torch.uint8)
    for rows in torch.arange(n).split(BATCH):
        pixels[rows[0] : rows[-1] + 1] = _develop(grey[rows[0] : rows[-1] + 1], sheet["film"][rows], rng)
    return Images(
        pixels=pixels.unsqueeze(1),
        labels=labels.clone(),
        class_names=CLASSES,
        name="scenes",
        split=f"seed {seed}",
        provenance="drawn by labkit.worlds.scenes from a fixed seed",
    )


def _sheet(n: int, rng: torch.Generator) -> dict[str, Tensor]:
    """All that chance decides, one row a picture."""
    return {
        "layout": torch.randint(LAYOUTS, (n,), generator=rng),
        "camera": torch.rand(n, 5, generator=rng),
        "film": torch.rand(n, 6, 1, 1, generator=rng),
        "scene": torch.rand(n, DRAWS, generator=rng),
        "other": torch.rand(n, 12, generator=rng),
        "before": torch.randint(9, (n,), generator=rng),
        **{f"field{k}": torch.randn(n, k, k, generator=rng) for k in GRIDS},
    }


def _paint(draw: Draw, grey: Tensor, rows: Tensor, sheet: dict[str, Tensor], numbers: Tensor) -> None:
    """Paint one layout over some of the pictures (N, H, W), 0..1, in place."""
    n = len(rows)
    x, y, zoom, angle, mirror = sheet["camera"].index_select(0, rows).reshape(n, 5, 1, 1).unbind(1)
    canvas = Canvas(
        grey.index_select(0, rows).unsqueeze(1),
        x=0.2 * (x - 0.5),
        y=0.16 * (y - 0.5),
        zoom=0.9 + 0.3 * zoom,
        angle=0.1 * (angle - 0.5),
    )
    canvas.u.mul_(torch.where(mirror < 0.5, -1.0, 1.0))
    pen = Pen(canvas, numbers.index_select(0, rows), tuple(sheet[f"field{k}"].index_select(0, rows) for k in GRIDS))
    draw(pen)
    grey.numpy()[rows.numpy()] = pen.grey.numpy()


def _someone(b: Pen) -> None:
    x = torch.where(b.between(0, 1) < 0.5, b.between(-0.9, -0.2), b.between(0.2, 0.9))
    person(b, x, b.between(0.85, 1.3), b.between(0.5, 1.1), tone=b.between(0.03, 0.5))


def _some_tree(b: Pen) -> None:
    x = torch.where(b.between(0, 1) < 0.5, b.between(-1.0, -0.6), b.between(0.6, 1.0))
    tree(b, x, b.between(0.9, 1.4), b.between(1.0, 2.2), tone=b.between(0.03, 0.35))


def _some_lamp(b: Pen) -> None:
    x = torch.where(b.between(0, 1) < 0.5, b.between(-0.95, -0.5), b.between(0.5, 0.95))
    lamp(b, x, 1.1, b.between(0.9, 1.4))


def _some_post(b: Pen) -> None:
    x, y, tone = b.between(-0.95, 0.95), b.between(-0.9, -0.3), b.between(0.03, 0.3)
    b.paint(tone, b.line((x, 1.5), (x, y), 0.025), b.line((x, y), (x + b.between(-0.25, 0.25), y - 0.04), 0.03))


#: What stands in the way in a third of the pictures: out of doors, and in a room
BEFORE = ((_someone, _someone), (_some_tree, _some_lamp), (_some_post, _some_lamp))


def _develop(grey: Tensor, film: Tensor, rng: torch.Generator) -> Tensor:
    """Light from one side, blur, noise, and a mean and contrast that say nothing of the class: uint8 (B, H, W)."""
    size = grey.shape[-1]
    across, down, blur, gamma, contrast, mean = film.unbind(1)
    axis = torch.linspace(-1, 1, size)
    grey = grey.clamp(0.01, 1) * (1 + 0.5 * (across - 0.5) * axis + 0.4 * (down - 0.5) * axis.unsqueeze(1))
    grey = grey.pow(0.65 + 0.9 * gamma)
    near = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    near = near[:, :-2] + near[:, 1:-1] + near[:, 2:]
    near = (near[..., :-2] + near[..., 1:-1] + near[..., 2:]) / 9
    grey = torch.lerp(grey, near, 0.7 * blur.square())
    grey = grey - grey.mean((1, 2), keepdim=True)
    grey = grey / grey.std((1, 2), keepdim=True).clamp(min=0.02)
    grey = 0.34 + 0.28 * mean + (0.12 + 0.14 * contrast) * grey
    noise = torch.randn(grey.shape, generator=rng)
    return noise.mul_(0.015).add_(grey).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
