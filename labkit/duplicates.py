"""Images that stand in a set twice: found within and across its two splits, and taken out of the test split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from labkit.sets import Images

SIDE = 32  # of a thumbnail, in pixels
THRESHOLD = 0.995
ROWS = 1024  # of the table of correlations that are in memory at once


@dataclass(frozen=True)
class Pair:
    """Two images that are the same picture, by split and number; `equal` says whether each pixel is the same.

    `same_label` compares class names. `correlation` is that of the thumbnails, and 1 where all pixels are equal.
    """

    first_split: str
    first_index: int
    second_split: str
    second_index: int
    same_label: bool
    correlation: float
    equal: bool


def duplicates(train: Images, test: Images, *, threshold: float = THRESHOLD) -> list[Pair]:
    """Pairs of the same picture within `train`, across, and within `test`, sorted by split, then by number.

    Two images are a pair where all pixels are equal, or where their thumbnails (32x32 averages, or the images themselves
    where they are smaller, less their mean, at unit length) correlate at `threshold` or more. So a copy is found that
    was encoded anew, reduced, or made lighter or darker, but not one that was mirrored or cut. Plain images, all of one
    grey, are compared by their pixels alone.

    Why 0.995: on a copy of 15-Scene (4,485 images at 224x224, ten million pairs) thirty pairs correlate at 0.9969 or
    more, eighteen of them equal, and show the same photo; the next is at 0.988, two shots of one mountain, and at 0.98
    begin photos that merely look alike (empty roads). Of 400 of its images encoded anew as JPEG of quality 30, 99 %
    correlate at 0.9987 or more with the original; halved in size, at 0.9965; at quality 10 (0.990) some would be missed.
    In sets of small, simple pictures different ones can be as close: look at the pairs, or take 1 for equal pixels alone.

    Time grows with N**2: 4 s for 4,485 images on one core.

    Raises:
        ValueError: the sets differ in the shape of their images or share their split's name, or threshold is not in
            0.5..1.
    Source: the idea is that of Barz and Denzler 2020, arXiv:1902.00423, who compare features in place of thumbnails.
    """
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}: use 0.5..1; {THRESHOLD} finds copies encoded anew, 1 equal pixels alone")
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        raise ValueError(
            f"images of {train.name} ({train.split}) are {tuple(train.pixels.shape[1:])}, those of {test.name} "
            f"({test.split}) {tuple(test.pixels.shape[1:])}: load both at one `size`, or make both colour with .rgb()"
        )
    if train.split == test.split:
        raise ValueError(f"both sets are called {train.split!r}: give train and test, or replace(images, split='other')")
    equal = set(_equal(train, test))
    close = {} if threshold == 1 else dict(_close(train, test, threshold))
    split = [train.split] * len(train) + [test.split] * len(test)
    index = [*range(len(train)), *range(len(test))]
    names = [images.class_names[label] for images in (train, test) for label in images.labels.tolist()]
    return [
        Pair(split[i], index[i], split[j], index[j], names[i] == names[j], 1.0 if same else close[i, j], same)
        for i, j in sorted(equal | close.keys())
        for same in ((i, j) in equal,)
    ]


def without_duplicates(train: Images, test: Images, *, threshold: float = THRESHOLD) -> Images:
    """The test set less those images that have a copy in `train`, as `duplicates` finds them; `provenance` tells how many.

    Copies within the test set stay, since they give away nothing: they only count twice.

    Raises:
        ValueError: as `duplicates` does.
    """
    pairs = duplicates(train, test, threshold=threshold)
    leaked = {pair.second_index for pair in pairs if pair.first_split == train.split and pair.second_split == test.split}
    kept = torch.tensor([k for k in range(len(test)) if k not in leaked], dtype=torch.int64, device=test.pixels.device)
    plural = "copy" if len(leaked) == 1 else "copies"
    return replace(test[kept], provenance=f"{test.provenance}, without {len(leaked)} {plural} of {train.split} images")


def _equal(train: Images, test: Images) -> Iterator[tuple[int, int]]:
    """Pairs of equal pixels, numbered through both sets."""
    same = defaultdict(list)
    for number, image in enumerate(image for images in (train, test) for image in images.pixels):
        same[blake2b(image.cpu().contiguous().numpy().tobytes(), digest_size=16).digest()].append(number)
    for numbers in same.values():
        yield from combinations(numbers, 2)


def _close(train: Images, test: Images, threshold: float) -> Iterator[tuple[tuple[int, int], float]]:
    """Pairs of thumbnails that correlate, numbered through both sets, with their correlation."""
    x = torch.cat([_thumbnails(train), _thumbnails(test).to(train.pixels.device)])
    for start in range(0, len(x), ROWS):
        table = x[start : start + ROWS] @ x[start:].T
        # single precision, and less on some accelerators, draws the candidates; double precision decides
        first, second = (table > threshold - 0.004).triu_(1).nonzero().add_(start).unbind(1)
        for a, b in zip(first.split(ROWS), second.split(ROWS), strict=True):
            values = (x[a].double() * x[b].double()).sum(1)
            for i, j, value in zip(a.tolist(), b.tolist(), values.tolist(), strict=True):
                if value >= threshold:
                    yield (i, j), min(value, 1.0)


def _thumbnails(images: Images) -> Tensor:
    """(N, C * side * side), each of mean 0 and length 1; zeros for an image of one grey."""
    height, width = images.pixels.shape[2:]
    side = (min(SIDE, height), min(SIDE, width))
    parts = [adaptive_avg_pool2d(part.float(), side).flatten(1) for part in images.pixels.split(ROWS // 4)]
    x = torch.cat(parts)
    x = x - x.mean(1, keepdim=True)
    length = x.norm(dim=1, keepdim=True)
    return torch.where(length > 1e-3, x / length.clamp(min=1e-3), 0.0)
