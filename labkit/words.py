"""A tokenizer of whole words, for tiny text towers that have read nothing but captions of `toybox`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from labkit.worlds.toybox import CLASSES, COLOURS
from labkit.worlds.toybox_places import WHERE

CONTEXT = 16  # tokens a text
#: Words of prompts, and other names of classes or of one kind of them
PROMPTS = ("a", "an", "of", "photo", "picture", "drawing", "image", "small", "large")
NOUNS = ("plane", "jet", "car", "jeep", "sailboat", "freighter", "ferry")


def _in_order(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


#: All words, by number from 1 on; 0 fills up
WORDS = _in_order((*PROMPTS, *NOUNS, *CLASSES, *COLOURS, *(word for where in WHERE.values() for word in where.split())))
NUMBERS = {word: number for number, word in enumerate(WORDS, start=1)}
START, END = len(WORDS) + 1, len(WORDS) + 2  # open_clip reads a text's feature at its highest number, the end
VOCABULARY = END + 1


def tokenize(texts: Sequence[str]) -> Tensor:
    """Turn texts into int64 (N, 16): a start, one number a word, an end, then zeros. Capitals and . , ! ? are dropped.

    Raises:
        ValueError: a word is none that the tiny nets have read, or a text is longer than 14 words.
        TypeError: one text is given in place of a list of texts.
    """
    if isinstance(texts, str):
        raise TypeError(f"tokenize: {texts!r} is one text: give a list of texts, [{texts!r}]")
    tokens = torch.zeros(len(texts), CONTEXT, dtype=torch.int64)
    for row, text in zip(tokens, texts, strict=True):
        words = re.sub(r"[.,!?]", " ", text.lower()).split()
        if unknown := [word for word in words if word not in NUMBERS]:
            raise ValueError(
                f"{text!r}: the tiny text tower has never read {unknown[0]!r}: use words of captions of toybox, "
                f"which are {', '.join(WORDS)}"
            )
        if len(words) > CONTEXT - 2:
            raise ValueError(f"{text!r} has {len(words)} words: the tiny text tower reads at most {CONTEXT - 2}")
        row[: len(words) + 2] = torch.tensor([START, *(NUMBERS[word] for word in words), END])
    return tokens
