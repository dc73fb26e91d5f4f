"""Checks of lab 05: a classifier of texts, with prompts that lie evenly around a direction known for each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.check.clip.small import Encoder, apply, intact, tensor, unit
from labkit.check.frame import F64, Case, Mistake, draw, judge, run_cases, takes
from labkit.check.nets import undisturbed

_NAMES = ("owl", "cat", "fire engine", "bee", "yak")
_TEMPLATES = ("a photo of a {}.", "{} in the fog", "an old drawing of one {} on paper", "the {}, seen from far away")
_ONE_BY_ONE = "a long feature would weigh more than a short one"
_LIST = "encode takes a list of texts, also of a single one: [text]"
_HINTS = {
    "one text in place of a list": _LIST,
    "no flat list of texts": "encode takes one flat list of texts: encode a class at a time, or all prompts and then reshape",
    "no text at all": "encode was given an empty list: it takes the prompts of a class",
    "expected Tensor as element": "torch.stack takes tensors: one mean (D,) a class",
    "not list": "encode is asked first: F.normalize and mean are of features, not of texts",
    "can only concatenate list": "class names and templates come as any sequence, here tuples: go through them in a loop",
    "'tuple' object": "class names and templates come as any sequence, here tuples: leave them as they are",
}  # fmt: skip


class _Encoder(Encoder):
    """Features (n, D) of texts: a class's prompts lie evenly on a cone around its direction, with unequal lengths."""

    def __init__(self, names: Sequence[str], templates: Sequence[str], d: int, seed: int) -> None:
        self.d, self.asked = d, list[str]()
        self.names, self.templates = tuple(names), tuple(templates)
        self.want = unit(draw(len(names), d, seed=seed))
        self.prompts = [[template.replace("{}", name) for template in templates] for name in names]
        self.table = {}
        for k, (row, texts) in enumerate(zip(self.want, self.prompts, strict=True)):
            across = torch.linalg.qr(torch.stack([row, *draw(2, d, seed=seed + 1 + k)], 1)).Q[:, 1:]
            tilt = 0.7 + 0.1 * k if len(texts) > 1 else 0.0
            for i, text in enumerate(texts):
                turn = 0.4 + k + 2 * math.pi * i / len(texts)
                side = torch.tensor([math.cos(turn), math.sin(turn)], dtype=F64)
                self.table[text] = (math.cos(tilt) * row + math.sin(tilt) * across @ side) * self.length(text)

    def misread(self) -> str:
        """What is wrong with the texts that were encoded, if anything."""
        prompts = [text for texts in self.prompts for text in texts]
        for text in self.asked:
            if text in prompts:
                continue
            filled = [
                t.split("{}") for t in self.templates if text.startswith(t.split("{}")[0]) and text.endswith(t.split("{}")[1])
            ]
            middle = next((text[len(a) : len(text) - len(b)] for a, b in filled), "")
            cause = (
                "a template was not filled in: template.format(name) puts the name in the place of {}" if "{}" in text else
                "the bare name of the class was encoded: fill it into each template" if text in self.names else
                "several prompts were joined to one text: each is a text of its own" if sum(p in text for p in prompts) > 1 else
                "a text was taken apart letter by letter: encode takes a list of texts" if len(text) == 1 else
                "the number of the class was filled in: its name is asked for" if middle.isdigit() else
                "all names were filled in at once: one prompt a name" if sum(name in text for name in self.names) > 1 else
                "this is no prompt: fill a class's name, as it stands, into a template, as it stands")  # fmt: skip
            return f"encode was given {text!r}: {cause}"
        return ""


def zero_shot_classifier(function: Callable[..., Any]) -> None:
    """Check `zero_shot_classifier(encode, class_names, templates)`: -> unit rows (K, D), known for each class."""

    def known(encode: _Encoder) -> dict[str, tuple[Tensor]]:
        """What well-known mistakes give."""
        raw = torch.stack([torch.stack([encode.feature(text) for text in texts]) for texts in encode.prompts])  # (K, T, D)
        ones, right = unit(raw), encode.want
        k, t, d = raw.shape
        mean, flat, turned = ones.sum(1) / t, ones.view(-1, d), ones.transpose(0, 1).reshape(-1, d)
        by_name = sorted(range(k), key=encode.names.__getitem__)
        every = unit(ones.sum((0, 1)))
        mixed = "classes and templates are mixed up: reshape to (K, T, D) where a class's prompts follow each other"
        middle = torch.from_numpy(np.median(ones.numpy(), 1))
        found = {
            "the dimension of the classes is lost: (K, D), also for one class": right[0],
            "rows have no length of 1, and prompts were not normalised either": raw.sum(1) / t,
            f"the prompts were not normalised before they were averaged: {_ONE_BY_ONE}": unit(raw.sum(1)),
            "the mean of unit vectors is shorter than 1: normalise it again": mean,
            "the sum was not normalised": t * mean,
            "only the first template was used": ones[:, 0],
            "only the first template was used, and not normalised": raw[:, 0],
            "only the last template was used": ones[:, -1],
            "only the last template was used, and not normalised": raw[:, -1],
            mixed: unit(flat.view(t, k, d).sum(0)),
            f"{mixed}: here the templates are the outer loop": unit(turned.view(k, t, d).sum(1)),
            "this is the mean over classes, one row a template: average over templates": unit(ones.sum(0)),
            "this is (D, K): one row a class, so that image features @ weights.T are logits": right.T,
            "normalised along dimension 0: the length is that of a row, dim=-1": mean / mean.square().sum(0).sqrt(),
            "the prompts were right, and their sum was normalised along dimension 0": unit(mean, 0),
            "prompts were normalised along dimension 0, over the templates: dim=-1": unit(unit(raw, 1).sum(1)),
            "prompts were normalised along dimension 0, over all prompts: dim=-1":
                unit(unit(raw.view(-1, d), 0).view(k, t, d).sum(1)),
            "all rows were divided by one length, that of the whole table: each row has its own":
                mean / mean.square().sum().sqrt(),
            "rows were divided by the sum of their |values|: the length is the root of the sum of squares":
                right / right.abs().sum(1, keepdim=True),
            "this is the median over templates: take the mean": unit(ones.median(1).values),
            "this is the median over templates, the mean of the two in the middle: take the mean": unit(middle),
            "this is the largest value over templates: take the mean": unit(ones.amax(1)),
            "this is the smallest value over templates: take the mean": unit(ones.amin(1)),
            "all prompts of all classes were averaged together: one row a class": every,
            "all prompts of all classes were averaged together, in one row: one row a class": every[None],
            "all classes were given the mean of all prompts: one row a class": every.expand(k, -1),
            "all classes were given the row of the first": right[:1].expand(k, -1),
            "all classes were given the row of the last": right[-1:].expand(k, -1),
            "rows are in alphabetical order: they follow class_names": right[by_name],
            "rows are in reverse: they follow class_names": right.flip(0),
            "each prompt is a row: average over a class's templates": flat,
            "each prompt is a row, templates first: average over a class's templates": turned,
            "the templates are still there, (K, T, D): average over them": ones,
            "a dimension of 1 is lost: (K, D) without squeeze()": right.squeeze()}  # fmt: skip
        return {cause: (value,) for cause, value in found.items()}

    def built(f: Callable[..., Any], k: int, t: int, d: int, seed: int, kind: Callable[..., Sequence[str]] = list) -> None:
        takes(f, "encode", "class_names", "templates")
        encode = _Encoder(_NAMES[:k], _TEMPLATES[:t], d, seed)
        try:
            out = apply(f, encode, kind(encode.names), kind(encode.templates), hints=_HINTS)
            judge({"rows": tensor(out, "(K, D)")}, {"rows": encode.want}, lambda: known(encode))
        except Mistake as mistake:
            unasked = [text for texts in encode.prompts for text in texts if text not in encode.asked]
            cause = encode.misread() or (mistake.cause if mistake.cause in known(encode) else "")
            cause = cause or (f"encode was never asked for {unasked[0]!r}" if unasked and encode.asked else mistake.cause)
            raise Mistake(mistake.expected, mistake.got, cause) from None

    def by_hand(f: Callable[..., Any]) -> None:
        """Lengths 3 and 4 on the axes: each counts as much, and their mean points half-way between them."""
        takes(f, "encode", "class_names", "templates")
        encode = _Encoder(("up", "down"), ("the {}", "so {}!"), 3, 0)
        points = {"the up": (3, 0, 0), "so up!": (0, 4, 0), "the down": (0, 0, -2), "so down!": (0, 0, -7)}
        encode.table = {text: torch.tensor(point, dtype=F64) for text, point in points.items()}
        encode.want = torch.tensor([[math.sqrt(0.5), math.sqrt(0.5), 0], [0, 0, -1]], dtype=F64)
        out = tensor(apply(f, encode, list(encode.names), list(encode.templates), hints=_HINTS), "(K, D)")
        judge({"rows": out}, {"rows": encode.want}, lambda: known(encode))

    def left_alone(f: Callable[..., Any]) -> None:
        takes(f, "encode", "class_names", "templates")
        encode = _Encoder(_NAMES, _TEMPLATES, 6, 5)
        given: dict[str, Any] = {"class_names": list(_NAMES), "templates": list(_TEMPLATES)}
        intact(f, {"encode": encode, **given}, hints=_HINTS)
        for name, was in (("class_names", _NAMES), ("templates", _TEMPLATES)):
            if tuple(given[name]) != was:
                raise Mistake(f"{name} unchanged", "another list", "sort(), pop(), append() or an assignment changed it")

    with undisturbed():
        run_cases(
            "zero_shot_classifier",
            function,
            [
                Case("five classes, three templates", lambda f: built(f, 5, 3, 7, 100)),
                Case("three classes, four templates, given as tuples", lambda f: built(f, 3, 4, 5, 120, tuple)),
                Case("as many classes as templates", lambda f: built(f, 4, 4, 6, 140)),
                Case("a single template", lambda f: built(f, 4, 1, 6, 160)),
                Case("a single class, two templates", lambda f: built(f, 1, 2, 5, 180)),
                Case("two classes of two prompts worked out by hand", by_hand),
                Case("class names and templates stay as they are", left_alone),
            ],
            reread="section 1, on prompts: what is normalised, when, and what is averaged with what",
        )
