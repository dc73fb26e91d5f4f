"""Checks of lab 05: a class under other names, with shares that are known from the cosines of all images and all names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from labkit.check.clip.small import Encoder, apply, features, intact, unit
from labkit.check.frame import F64, Case, Mistake, draw, judge, run_cases, takes
from labkit.check.nets import undisturbed

_ARGUMENTS = ("images", "encode", "class_names", "label", "candidates")
_START = "a photo of a "
_LIST = "encode takes a list of texts, also of a single one: [text]"
_PLACE = "each candidate in turn takes the place of class_names[label]"
_COPY = "class_names is left as it is, here a tuple: work on a list of your own, as list(class_names)"
_ONE = "float(...) makes a number of one value: the mean over the images is missing"
_HINTS = {
    "one text in place of a list": _LIST,
    "no flat list of texts": "encode takes one flat list of texts, a prompt a class",
    "no text at all": "encode was given an empty list: it takes the prompts of all classes",
    "'tuple' object": _COPY,
    "can only concatenate": _COPY,
    "is not in list": "the old name is gone after the first candidate: start from class_names for each",
    "could not infer output dtype": "hits are True or False: .float() before .mean()",
    "only one element tensors can be converted": _ONE,
    "cannot be converted to Scalar": _ONE,
    "to have the same dtype": "the features are float64 here: make new tensors like them, with their dtype",
    "mat1 and mat2 shapes cannot be multiplied": "dot products of all images and prompts are images @ prompts.T, (N, K)",
}  # fmt: skip


class _World(Encoder):
    """Images of one class, and an `encode` whose prompts lie near them if they name it; lengths of both differ tenfold."""

    def __init__(self, names: Sequence[str], label: int, candidates: Sequence[str], *, d: int, n: int, seed: int) -> None:
        self.d, self.asked = d, list[str]()
        self.names, self.label, self.candidates = tuple(names), label, tuple(candidates)
        words = dict.fromkeys((*names, *candidates))
        rows, middle = unit(draw(len(words), d, seed=seed)), unit(draw(d, seed=seed + 1))
        near = dict(zip(self.candidates, torch.linspace(0.5, 1.5, len(self.candidates)).tolist(), strict=True))
        near[names[label]] = 1.1
        self.table = {
            _START + word: self.length(word) * unit(row + near.get(word, 0.3) * middle)
            for word, row in zip(words, rows, strict=True)
        }
        self.images = features(n, d, seed=seed + 2, off=0.0)
        self.images += 0.7 * self.images.square().sum(1, keepdim=True).sqrt() * middle

    def misread(self) -> str:
        """What is wrong with the texts that were encoded, if anything."""
        words, old = (*self.names, *self.candidates), self.names[self.label]
        parts = [_START + name.replace(old, new) for name in self.names for new in self.candidates]
        for text in self.asked:
            if text in self.table:
                continue
            cause = (
                f"the bare name was encoded: all classes get the prompt {_START!r} and their name" if text in words else
                "a text was taken apart letter by letter: encode takes a list of texts" if len(text) == 1 else
                "the name was not filled in: f'...{name}' has an f before the quotes" if "{" in text else
                "a space is missing between the prompt and the name" if text.replace("of a", "of a ", 1) in self.table else
                "several prompts were joined to one text: each is a text of its own" if text.count(_START) > 1 else
                "the number of the class was filled in: its name is asked for" if text.removeprefix(_START).isdigit() else
                "another class, whose name holds the old one as a part, was renamed too: one class alone" if text in parts else
                f"the prompt is {_START!r} and the name, as it stands, and nothing else")  # fmt: skip
            return f"encode was given {text!r}: {cause}"
        return ""

    def unasked(self) -> str:
        """A candidate whose prompt was not encoded, though others were."""
        missing = [name for name in self.candidates if _START + name not in self.asked]
        return f"encode was never asked for {_START + missing[0]!r}: {_PLACE}" if missing and self.asked else ""

    def scores(self, names: Sequence[str], kind: str = "cosine") -> np.ndarray:
        """How well each image suits each name (N, K): the cosine, or what is mistaken for it.

        Of images 'raw' keeps the lengths, 'dot' those of the prompts too; 'columns' normalises prompts along dimension 0.
        """
        prompts, x = np.stack([self.table[_START + name].numpy() for name in names]), self.images.numpy()
        if kind == "distance":
            return -np.hypot.reduce(x[:, None] - prompts, axis=2)
        if kind != "dot":
            prompts = prompts / np.hypot.reduce(prompts, axis=0 if kind == "columns" else 1, keepdims=True)
        if kind in ("cosine", "minus", "size"):
            x = x / np.hypot.reduce(x, axis=1, keepdims=True)
        found: np.ndarray = np.einsum("nd,kd->nk", x, prompts)
        return {"minus": -found, "size": np.abs(found)}.get(kind, found)

    def want(self) -> dict[str, float]:
        """By name, the share of images whose cosine with it is above that with each of the other classes."""
        others = [name for k, name in enumerate(self.names) if k != self.label]
        rival = self.scores(others).max(1)
        own = self.scores(self.candidates).T
        return {name: float((cosines > rival).mean()) for name, cosines in zip(self.candidates, own, strict=True)}

    def known(self) -> dict[str, Any]:
        """What well-known mistakes give."""
        k, label, names, candidates = len(self.names), self.label, self.names, self.candidates
        right, n = self.want(), len(self.images)
        others = (*names[:label], *names[label + 1 :])

        def put(name: str, at: int = label) -> list[str]:
            return [*names[:at], name, *names[at + 1 :]]

        def hit(called: Sequence[str], *places: int, kind: str = "cosine") -> float:
            """The share of images whose best of these names is in one of these places."""
            return float(np.isin(self.scores(called, kind).argmax(1), places).mean())

        def mean_first(called: Sequence[str], kind: str) -> float:
            return float(self.scores(called, kind).mean(0).argmax() == label)

        def odds(called: Sequence[str]) -> np.ndarray:
            z: np.ndarray = np.exp(self.scores(called))
            return z[:, label] / z.sum(1)

        each = list(enumerate(candidates))
        lists = [put(name) for name in candidates]
        shares = np.array(list(right.values()))
        beside, both = "the candidate stands beside the old name", "all candidates are in the list at once"
        piled = "earlier candidates stay in the list"
        found: dict[str, Any] = {
            "the prompts were not normalised: a long one wins by its length": [hit(c, label, kind="dot") for c in lists],
            "prompts were normalised along dimension 0: the length is that of a row, dim=-1":
                [hit(c, label, kind="columns") for c in lists],
            "this is the nearest prompt by distance, with lengths that differ: the highest cosine is asked for":
                [hit(c, label, kind="distance") for c in lists],
            "the lowest cosine wins: the highest is asked for": [hit(c, label, kind="minus") for c in lists],
            "the largest |cosine| wins: the sign matters": [hit(c, label, kind="size") for c in lists],
            "the mean of all images was put into a class: put each into one, and then take the share":
                [mean_first(c, "raw") for c in lists],
            "the mean of all unit images was put into a class: put each into one, and then take the share":
                [mean_first(c, "cosine") for c in lists],
            "argmax is over the images, dimension 0: each image has its best class, dim=-1":
                [np.mean(self.scores(c, "raw").argmax(0) == label) for c in lists],
            "argmax was compared with the candidate's place among the candidates: the class has number `label`":
                [hit(lists[i], i) for i, _ in each],
            "no image has the old name, as it is not in the list: compare argmax with `label`":
                [right[name] if name == names[label] else 0.0 for name in candidates],
            f"{beside}: it takes its place": [hit((*names, name), k) for _, name in each],
            f"{beside}, whose images were counted: it takes its place": [hit((*names, name), label) for _, name in each],
            f"{beside}, and images of either count: it takes its place": [hit((*names, name), label, k) for _, name in each],
            f"{both}: one at a time": [hit((*others, *candidates), k - 1 + i) for i, _ in each],
            f"{both}, and the old name too: one at a time": [hit((*names, *candidates), k + i) for i, _ in each],
            f"{piled}: start from class_names for each": [hit((*others, *candidates[: i + 1]), k - 1 + i) for i, _ in each],
            f"{piled}, and the old name too: start from class_names for each":
                [hit((*names, *candidates[: i + 1]), k + i) for i, _ in each],
            "the classes were sorted, so that `label` is another one": [hit(sorted(c), label) for c in lists],
            "this is the number of images: divide by N": n * shares,
            "this is in percent: a share is 0..1": 100 * shares,
            "this is the share that is lost: 1 - the share asked for": 1 - shares,
            "the number of images was divided by that of the classes: divide by N": n * shares / k,
            "this is the mean cosine with the prompt: the share of images is asked for":
                [self.scores(c)[:, label].mean() for c in lists],
            "this is the mean probability of the class: the share of images is asked for": [odds(c).mean() for c in lists],
            "these are the hits of each image: take their mean":
                [self.scores(c).argmax(1) == label for c in lists]}  # fmt: skip
        for where, at in (("after", label + 1), ("before", label - 1)):
            if 0 <= at < k:
                found[f"the class {where} it was counted: the candidate stands at `label`"] = [hit(c, at) for c in lists]
                found[f"the class {where} it was renamed: {_PLACE}"] = [hit(put(name, at), label) for name in candidates]
                found[f"the class {where} it was renamed and counted: labels count from 0"] = [
                    hit(put(name, at), at) for name in candidates
                ]
        return found


def _shares(out: Any, candidates: Sequence[str]) -> dict[str, Any]:
    """A student's shares, in the order of the candidates.

    Raises:
        Mistake: it is no dict, or its keys are not the candidates.
    """
    keys = f"a dict with the keys {', '.join(map(repr, candidates))}"
    if not isinstance(out, dict):
        cause = "the function has no return statement" if out is None else "shares go by name: found[name] = share"
        raise Mistake(keys, "None" if out is None else type(out).__name__, cause)
    if set(out) != set(candidates):
        cause = ("the dict is new for each candidate: make it once, before the loop" if set(out) == {candidates[-1]} else
                 "a return inside the loop ends it at the first candidate" if set(out) == {candidates[0]} else
                 f"keys are the candidates alone, without {_START!r}" if any(str(key).startswith(_START) for key in out) else
                 "leave out all others: the candidates alone" if set(candidates) < set(out) else
                 "keys are the candidates, as they are")  # fmt: skip
        raise Mistake(keys, f"keys {', '.join(map(repr, out))}" if out else "an empty dict", cause)
    return {name: out[name] for name in candidates}


def recall_by_name(function: Callable[..., Any]) -> None:
    """Check `recall_by_name(images, encode, class_names, label, candidates)`: -> the share of each candidate, 0..1."""

    def told(
        f: Callable[..., Any],
        world: _World,
        kind: Callable[..., Sequence[str]] = list,
        *,
        want: dict[str, float] | None = None,  # given where shares are too few to tell mistakes apart
    ) -> None:
        takes(f, *_ARGUMENTS)
        try:
            given = (world.images.clone(), world, kind(world.names), world.label, kind(world.candidates))
            out = _shares(apply(f, *given, hints=_HINTS), world.candidates)
            judge(out, want or world.want(), lambda: {} if want or world.unasked() else world.known())
        except Mistake as mistake:
            cause = world.misread() or mistake.cause or world.unasked()
            raise Mistake(mistake.expected, mistake.got, cause) from None

    def by_hand(f: Callable[..., Any]) -> None:
        """Images between up and right, with one below: bounds are half-way, at 45, 67.5 and 0 degrees."""
        world = _World(("up", "right"), 1, ("east", "slope", "down"), d=2, n=4, seed=0)
        points = {"up": (0, 7), "right": (3, 0), "east": (0.5, 0), "slope": (1, 1), "down": (0, -2)}
        world.table = {_START + word: torch.tensor(point, dtype=F64) for word, point in points.items()}
        world.images = torch.tensor([[4, -1], [2, 1], [1, 2], [0.1, 1]], dtype=F64)
        told(f, world, want={"east": 0.5, "slope": 0.75, "down": 0.25})

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, *_ARGUMENTS)
        world = _World(("owl", "cat", "bee"), 1, ("tomcat", "kitten"), d=4, n=9, seed=60)
        given = (world.images, world, list(world.names), world.label, list(world.candidates))
        intact(f, dict(zip(_ARGUMENTS, given, strict=True)), hints=_HINTS)
        for name, is_, was in (("class_names", given[2], world.names), ("candidates", given[4], world.candidates)):
            if tuple(is_) != was:
                raise Mistake(f"{name} unchanged", "another list", "work on a list of your own, as list(class_names)")

    third = _World(("owl", "fire engine", "engine", "bee", "yak"), 2, ("motor", "turbine", "machine"), d=5, n=61, seed=238)
    first = _World(("ship", "cat", "yak", "owl"), 0, ("ferry", "boat", "liner", "vessel"), d=6, n=73, seed=612)
    last = _World(("owl", "bee", "cat"), 2, ("tomcat", "kitten", "cat", "pet"), d=4, n=59, seed=74)
    alone = _World(("yak", "bee"), 0, ("ox",), d=3, n=1, seed=40)
    with undisturbed():
        run_cases(
            "recall_by_name",
            function,
            [
                Case("the third of five classes, three names", lambda f: told(f, third)),
                Case("the first of four classes, four names, given as tuples", lambda f: told(f, first, tuple)),
                Case("the last of three classes, its own name among four", lambda f: told(f, last)),
                Case("a single image and a single name", lambda f: told(f, alone, want={"ox": 1.0})),
                Case("four images in the plane, worked out by hand", by_hand),
                Case("images, class_names and candidates stay as they are", left_alone),
            ],
            reread="section 1, on names: which list of classes each candidate is judged in, and whose share is counted",
        )
