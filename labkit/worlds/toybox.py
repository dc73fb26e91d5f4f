"""Drawn objects under CIFAR-10's names: a stand-in for CIFAR-10, STL-10 and ImageNet whose ground truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.sets import Images
from labkit.worlds.canvas import Canvas
from labkit.worlds.labels import drawn_labels, drawn_together
from labkit.worlds.toybox_brush import Subject
from labkit.worlds.toybox_places import WHERE, background
from labkit.worlds.toybox_sheet import BACKGROUNDS, CLASSES, COLOURS, KINDS, OBJECTS, sheet
from labkit.worlds.toybox_sheet import HABITAT as HABITAT  # for labs, which read it here

SEEDS = {"train": 1010, "test": 707}
SIZES = {"train": 4000, "test": 2000}
BATCH = 128  # pictures drawn at once: what is computed stays in the processor's cache
SMALLEST = 24  # pixels a side


def toybox(split: str, *, size: int = 32, context: float = 0.5) -> Images:
    """Draw one split: 4,000 train and 2,000 test pictures, RGB, ten classes of equal share, always the same.

    What the set holds, and what `size` and `context` mean, is said in `render`.

    Raises:
        ValueError: split is neither 'train' nor 'test', or an option is out of its range, as in `render`.
    """
    if split not in SIZES:
        raise ValueError(f"toybox: split {split!r} is unknown: use 'train' or 'test'")
    return replace(render(SIZES[split], size=size, seed=SEEDS[split], context=context), split=split)


def render(n: int, *, seed: int, size: int = 32, labels: Tensor | None = None, context: float = 0.5) -> Images:
    """Draw n fresh pictures from a seed, which share nothing with those of another seed.

    Pixels are uint8 (n, 3, size, size), labels numbers of classes: those given, int64 (n,), or else all classes equally
    often in random order. A seed gives the same scenes at every size. With probability `context` an object is in a place
    where its class is usual (HABITAT), else in any of the eight, so that 0 makes background and class independent.

    Masks are True where the object covers at least half of the pixel; shadow, foam, smoke and what lies about do not
    count. Captions read 'a photo of a small red automobile on grass'. Attributes (n,): colour, background and kind, int64,
    number COLOURS, BACKGROUNDS and the three poses or makes of a class (OBJECTS); large is bool (about 0.7 to 0.9 of the
    frame, else 0.45 to 0.6), facing_right bool; area, float32, is the share of pixels in the mask. Objects lean to the
    centre: 0.18 of half the frame is the standard deviation of their place in either direction. Light and second colour
    vary without a record.

    Raises:
        ValueError: n is below 1, size below 24, context not in 0..1, or labels are not int64 (n,) within 0..9.
    """
    if n < 1:
        raise ValueError(f"toybox: n is {n}, expected at least 1 picture")
    if size < SMALLEST:
        raise ValueError(f"toybox: size is {size}, but below {SMALLEST} pixels a dog is a blot: use 24 or more, such as 32")
    if not 0 <= context <= 1:
        raise ValueError(f"toybox: context is {context}, expected a probability: use 0 (any place) to 1 (always a usual one)")
    rng = torch.Generator().manual_seed(seed)
    labels = drawn_labels("toybox", n, labels, len(CLASSES), rng)
    drawn = sheet(labels, context, rng)
    pixels = torch.empty(n, 3, size, size, dtype=torch.uint8)
    masks = torch.empty(n, size, size, dtype=torch.bool)
    for place, rows in drawn_together(drawn["background"], at_most=BATCH):
        scene, texture, tilt = (drawn[key][rows] for key in ("scene", "texture", "camera"))
        _put(pixels, rows, background(BACKGROUNDS[place], scene, texture, tilt, size))
    for code, rows in drawn_together(labels * KINDS + drawn["kind"], at_most=BATCH):
        draw = OBJECTS[CLASSES[code // KINDS]][code % KINDS]
        part = {key: value[rows] for key, value in drawn.items()}
        picture, mask = _object(draw, pixels.index_select(0, rows), part)
        _put(pixels, rows, picture)
        _put(masks, rows, mask)
    _grain(pixels, rng)
    known = {key: drawn[key] for key in ("colour", "background", "large", "facing_right", "kind")}
    return Images(
        pixels=pixels,
        labels=labels.clone(),
        class_names=CLASSES,
        name="toybox",
        split=f"seed {seed}",
        provenance="drawn by labkit.worlds.toybox from a fixed seed",
        masks=masks,
        captions=_captions(labels, known),
        attributes={**known, "area": masks.float().mean((1, 2))},
    )


def with_mark(images: Images, which: Tensor) -> Images:
    """A copy in which the images of `which`, bool (N,), carry a mark in their lower left corner, as a photographer's name.

    The mark covers the pixels of `mark_region`: five dark strokes on white, whatever is behind. Masks stay as they were.

    Raises:
        ValueError: `which` is not bool (N,), or the images are not RGB of at least 24 pixels a side.
    """
    n, channels, *sides = images.pixels.shape
    if which.dtype != torch.bool or which.shape != (n,):
        raise ValueError(f"with_mark: which is {which.dtype} {tuple(which.shape)}, expected torch.bool ({n},)")
    if channels != 3 or min(sides) < SMALLEST:
        raise ValueError(f"with_mark: images are {(channels, *sides)}, expected RGB of at least {SMALLEST} pixels a side")
    top, bottom, left, right = mark_region(sides[0])
    strokes = torch.arange(right - left) * 11 // (right - left) % 2  # 0 is white, so that it begins and ends with it
    paint = torch.where(strokes == 0, 235, 40).to(torch.uint8)
    pixels = images.pixels.clone()
    pixels[which, :, top:bottom, left:right] = paint
    return replace(images, pixels=pixels, provenance=f"{images.provenance}; marks planted")


def mark_region(size: int) -> tuple[int, int, int, int]:
    """Rows top..bottom and columns left..right (the ends not included) of the mark in images of `size` pixels a side."""
    return size - size // 6, size - size // 24, size // 24, size // 24 + 11 * size // 32


def _captions(labels: Tensor, known: dict[str, Tensor]) -> tuple[str, ...]:
    rows = zip(*(x.tolist() for x in (known["large"], known["colour"], labels, known["background"])), strict=True)
    return tuple(
        f"a photo of a {'large' if large else 'small'} {COLOURS[colour]} {CLASSES[label]} {WHERE[BACKGROUNDS[place]]}"
        for large, colour, label, place in rows
    )


def _grain(pixels: Tensor, rng: torch.Generator) -> None:
    """Add noise of up to 4 of 255 to the pixels, in place."""
    numbers = torch.randint(-(2**63), 2**63 - 1, (pixels.numel() // 8 + 1,), generator=rng)
    grain = numbers.view(torch.int8)[: pixels.numel()].reshape(pixels.shape)  # eight bytes a number
    for part, extra in zip(pixels.split(BATCH), grain.split(BATCH), strict=True):
        part.copy_(extra.to(torch.int16).div_(28, rounding_mode="trunc").add_(part).clamp_(0, 255))


def _put(whole: Tensor, rows: Tensor, part: Tensor) -> None:
    """Set rows of a tensor: twenty times faster than indexing in torch, which moves bytes one by one."""
    whole.numpy()[rows.numpy()] = part.numpy()


def _object(draw: Callable[[Subject], None], behind: Tensor, p: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Pictures uint8 (B, 3, size, size) with the objects before what is behind, in their light, and masks."""
    n = len(behind)

    def column(x: Tensor) -> Tensor:
        return x.float().reshape(n, 1, 1)

    canvas = Canvas(
        behind.float().div_(255),
        x=column(p["centre"][:, 0]),
        y=column(p["centre"][:, 1]),
        zoom=column(p["zoom"]),
        angle=column(p["angle"]),
    )
    canvas.u.mul_(column(p["facing_right"]) * 2 - 1)
    aloft, at_sea = (column(p["background"] == BACKGROUNDS.index(name)) for name in ("sky", "sea"))
    subject = Subject(
        canvas,
        p["pose"],
        p["body"].reshape(n, 3, 1, 1),
        p["accent"].reshape(n, 3, 1, 1),
        1 - torch.maximum(aloft, at_sea),
        at_sea,
    )
    draw(subject)
    picture, cover = canvas.picture, canvas.cover
    # a faint dark seam parts an object from a background of its own colour
    near = F.pad(cover, (1, 1, 1, 1))
    near = near[:, :-2] + near[:, 1:-1] + near[:, 2:]
    near = near[..., :-2] + near[..., 1:-1] + near[..., 2:]  # nine times the mean of a pixel and its neighbours
    picture.mul_(1 - (near.mul_(0.18).clamp_(max=1).sub_(cover).clamp_(min=0).mul_(0.35)).unsqueeze(1))
    picture.mul_(1 - 0.14 * (canvas.v * cover).unsqueeze(1))
    axis = torch.linspace(-1, 1, behind.shape[-1])
    light = p["light"].reshape(n, 3, 1, 1)
    shine = 0.92 + 0.14 * light[:, 2] + (light[:, 0] - 0.5) * 0.3 * axis + (light[:, 1] - 0.7) * 0.2 * axis.unsqueeze(1)
    picture.mul_(shine.unsqueeze(1)).clamp_(0, 1)
    return picture.mul_(255).round_().to(torch.uint8), cover >= 0.5
