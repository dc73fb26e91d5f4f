"""Checks of lab 06: a split, and epochs in which each training image is transformed anew."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.frame import F64, Case, Mistake, run_cases, takes
from labkit.check.nets import some, undisturbed

_N, _HELD = 40, 12
_DRAW = 1000  # what a draw adds to an image, whose own values are 0..40
_REPORT = "this is the mistake of the report: only training images are transformed, and validation images stay as they are"
_FROM = "torch.randperm(n, generator=generator), also for the order of each epoch"


class _Transform:
    """Adds to what it is given a number that it never used before, and notes the images."""

    def __init__(self) -> None:
        self.calls, self.given = 0, list[int]()

    def __call__(self, x: Tensor) -> Tensor:
        """An image or a batch, with one draw."""
        self.calls += 1
        images = x if x.ndim == 4 else x[None]
        self.given += [round(float(image[0, 0, 0])) for image in images]
        return x + _DRAW * self.calls


@contextmanager
def _world(seed: int) -> Iterator[None]:
    """Let all global random numbers start from a seed, and put them back."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    with undisturbed():
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)  # noqa: NPY002


def epochs_of(function: Callable[..., Any]) -> None:
    """Check `epochs_of(x, y, n_val, transform, generator)`: -> two functions, by which image comes when, with which draw."""

    def photos() -> tuple[Tensor, Tensor]:
        """Images whose first number says which one they are, and labels of which each is there once."""
        details = torch.arange(12, dtype=F64).reshape(3, 2, 2) / 100
        return torch.arange(_N, dtype=F64).reshape(-1, 1, 1, 1) + details, 7 * torch.arange(_N) % 41

    def split(
        f: Callable[..., Any],
        seed: int = 0,
        *,
        transform: Any = None,
        generator: torch.Generator | None = None,
        data: Any = None,
    ) -> tuple[Any, Any]:
        takes(f, "x", "y", "n_val", "transform", "generator")
        out = f(*(data or photos()), _HELD, transform or _Transform(), generator or torch.Generator().manual_seed(seed))
        if not isinstance(out, tuple | list) or len(out) != 2 or not all(callable(part) for part in out):
            cause = ("the function has no return statement" if out is None else
                     "return train_epoch, validation: the functions themselves, without ()")  # fmt: skip
            raise Mistake("two functions", type(out).__name__, cause)
        return out[0], out[1]

    def read(out: Any, what: str) -> tuple[Tensor, Tensor]:
        """Images and labels as a function gave them."""
        if not isinstance(out, tuple | list) or len(out) != 2 or not all(isinstance(part, Tensor) for part in out):
            cause = "it has no return statement" if out is None else "join the images by torch.stack"
            raise Mistake(f"images and labels from {what}, two tensors", type(out).__name__, cause)
        images, labels = out
        if tuple(images.shape[1:]) != (3, 2, 2) or tuple(labels.shape) != (len(images),):
            got = f"{tuple(images.shape)} and {tuple(labels.shape)}"
            raise Mistake(f"images (n, 3, 2, 2) and labels (n,) from {what}", got,
                          "join the images by torch.stack, in a new first dimension, and give each its label")  # fmt: skip
        return images.double(), labels

    def which(images: Tensor) -> list[int]:
        return [round(float(image[0, 0, 0])) % _DRAW for image in images]

    def draws(images: Tensor) -> list[int]:
        return [round(float(image[0, 0, 0])) // _DRAW for image in images]

    def sizes(f: Callable[..., Any]) -> None:
        train, validation = split(f)
        (x, _), (held, _) = read(train(), "train_epoch()"), read(validation(), "validation()")
        mine, theirs, want = which(x), which(held), (_N - _HELD, _HELD)
        if (len(x), len(held)) != want:
            cause = "some images are lost, or come twice"
            if (len(x), len(held)) == want[::-1]:
                cause = "n_val and the rest are swapped: n_val images are held out"
                if max(draws(x)) == 0:
                    cause = "the two functions are swapped: train_epoch comes first"
            elif len(x) == _N:
                cause = "validation images are trained on, too: leave them out"
            raise Mistake(f"{want[0]} training and {want[1]} validation images of {_N}", f"{len(x)} and {len(held)}", cause)
        both = set(mine) & set(theirs)
        if both:
            raise Mistake("no image in both parts", f"{len(both)} images in both",
                          "cut one and the same random order in two")  # fmt: skip
        lost = set(range(_N)) - set(mine) - set(theirs)
        if lost:
            raise Mistake("each image once, in one part or the other", f"{len(lost)} images in neither, others twice",
                          "take a random order, each image once: drawing with randint, one may come twice")  # fmt: skip

    def labels(f: Callable[..., Any]) -> None:
        x, y = photos()
        for what, function in zip(("train_epoch()", "validation()"), split(f), strict=True):
            for _ in range(2):
                images, given = read(function(), what)
                rows, drawn = torch.tensor(which(images)), torch.tensor(draws(images))
                if bool((rows >= _N).any()) or not torch.allclose(images - _DRAW * drawn.reshape(-1, 1, 1, 1), x[rows]):
                    raise Mistake(
                        f"images of x from {what}", "pixels that are not those of an image", "a reshape, or a transpose"
                    )
                if not torch.equal(given, y[rows]):
                    wrong = int((given != y[rows]).sum())
                    raise Mistake(f"the label of each image from {what}", f"another one for {wrong} of {len(rows)} images",
                                  "the labels are not in the order of the images: use the same rows for both")  # fmt: skip

    def as_they_are(f: Callable[..., Any]) -> None:
        transform = _Transform()
        train, validation = split(f, transform=transform)
        first, _ = read(validation(), "validation()")
        train()
        second, _ = read(validation(), "validation()")
        if max(draws(first) + draws(second)) > 0:
            raise Mistake("validation images as they are", "transformed ones", _REPORT)
        if which(first) != which(second):
            cause = "the split is drawn anew at each call: draw it once, outside the inner functions"
            if set(which(first)) == set(which(second)):
                cause = "the order is drawn anew at each call: the same at each call"
            raise Mistake("the same validation images at each call", "others, or another order", cause)

    def own_draws(f: Callable[..., Any]) -> None:
        transform = _Transform()
        train, validation = split(f, transform=transform)
        epochs = [read(train(), "train_epoch()")[0] for _ in range(3)]
        found = [draws(images) for images in epochs]
        if any(number > _DRAW // 2 for number in transform.given):
            raise Mistake("each image transformed once an epoch", "a transformed one that is transformed again",
                          "start each epoch from the images in x, not from those of the epoch before")  # fmt: skip
        if min(found[0]) == 0:
            raise Mistake("all training images transformed", f"{found[0].count(0)} as they are",
                          "the result of transform is what belongs into the epoch")  # fmt: skip
        if len(set(found[0])) < len(found[0]):
            raise Mistake(f"{len(found[0])} draws for {len(found[0])} images", f"{len(set(found[0]))}",
                          "a batch gets one and the same draw: put each image through transform by itself")  # fmt: skip
        if set(found[0]) & set(found[1]) or set(found[1]) & set(found[2]):
            raise Mistake("new draws in each epoch", "those of the epoch before",
                          "transformed once and kept for all epochs: call transform inside train_epoch")  # fmt: skip
        if set(transform.given) & set(which(read(validation(), "validation()")[0])):
            raise Mistake("training images alone given to transform", "validation images, too", _REPORT)

    def orders(f: Callable[..., Any]) -> None:
        train, _ = split(f)
        rows = [which(read(train(), "train_epoch()")[0]) for _ in range(3)]
        if any(sorted(row) != sorted(rows[0]) for row in rows):
            raise Mistake("the same training images in each epoch", "others", "the split is drawn anew: draw it once, outside "
                          "the inner functions, and in each epoch only the order")  # fmt: skip
        if rows[0] == rows[1] or rows[1] == rows[2] or rows[0] == rows[2]:
            cause = "the order is drawn once and kept, or seeded anew" if rows[0] != sorted(rows[0]) else "nothing is shuffled"
            raise Mistake("a new order in each epoch", "the same order", f"{cause}: draw it inside train_epoch")

    def at_random(f: Callable[..., Any]) -> None:
        def held(**given: Any) -> list[int]:
            return which(read(split(f, **given)[1](), "validation()")[0])

        first, times = set(held()), [0] * _N
        different = set()
        for seed in range(80):
            rows = held(seed=seed)
            different.add(frozenset(rows))
            for i in rows:
                times[i] += 1
        used = torch.Generator().manual_seed(0)
        torch.randperm(_N, generator=used)
        starts = [i for i in range(_N) if {(i + j) % _N for j in range(_HELD)} == first]
        if starts:
            raise Mistake("a random split", f"{_HELD} images in a row, from image {starts[0]} on",
                          "x may be sorted by class: cut a random order in two")  # fmt: skip
        if max(times) == 80 or set(held(generator=used)) == first:
            raise Mistake("other images with another generator, or a later state of it", "the same ones",
                          "the generator is seeded anew, or not used")  # fmt: skip
        if len(different) < 60:
            raise Mistake("80 splits by 80 seeds", f"{len(different)} different ones",
                          "only some of all splits can come: cut a random order of all images in two")  # fmt: skip
        never = [str(i) for i, n in enumerate(times) if n == 0]
        if never:
            raise Mistake("each image held out by some of 80 seeds", f"images {some(never)} never are",
                          "the split leaves some images no chance: cut a random order of all of them in two")  # fmt: skip

    def from_generator(f: Callable[..., Any]) -> None:
        found: list[list[list[int]]] = []
        for world in (1, 2):
            with _world(world):
                before = torch.get_rng_state()
                train, validation = split(f, seed=5)
                rows = [which(read(validation(), "validation()")[0]), *(which(read(train(), "train_epoch()")[0]) for _ in "ab")]
                found.append(rows)
                if not torch.equal(before, torch.get_rng_state()):
                    raise Mistake("torch's global random numbers left alone", "they were used, or seeded anew",
                                  f"what is drawn comes from generator: {_FROM}")  # fmt: skip
        for what, one, other in zip(("split", "order", "order of the second epoch"), *found, strict=True):
            if one != other:
                raise Mistake(f"the same {what} from the same generator", f"another {what}",
                              f"something is drawn from global random numbers: {_FROM}")  # fmt: skip

    def left_alone(f: Callable[..., Any]) -> None:
        x, y = photos()
        train, validation = split(f, data=(x, y))
        for function in (train, validation, train):
            function()
        if not (torch.equal(x, photos()[0]) and torch.equal(y, photos()[1])):
            raise Mistake("x and y unchanged", "changed values", "an assignment into x, such as x[i] = transform(x[i])")

    with _world(0):
        run_cases(
            "epochs_of",
            function,
            [
                Case(f"the sizes of both parts, {_HELD} of {_N} images held out, and each image in one of them", sizes),
                Case("images and labels belong together", labels),
                Case("validation images as they are, the same at each call", as_they_are),
                Case("a draw of its own for each image and epoch", own_draws),
                Case("a new order of the same images in each epoch", orders),
                Case("the split for 80 seeds", at_random),
                Case("all is drawn from generator", from_generator),
                Case("x and y stay as they are", left_alone),
            ],
            reread="section 6, on augmenting: what is drawn once, what in each epoch, and what for each image",
        )
