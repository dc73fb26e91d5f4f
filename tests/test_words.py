"""The tokenizer of whole words that the tiny text towers read with."""

import pytest
import torch

from labkit import words
from labkit.worlds.toybox import render


def test_what_is_tokenized_reads_the_same_again():
    texts = [*render(300, seed=1, size=24).captions, "a", "an image of a ferry", *words.WORDS]
    tokens = words.tokenize(texts)
    assert tokens.dtype == torch.int64 and tokens.shape == (len(texts), words.CONTEXT)
    read = [" ".join(words.WORDS[token - 1] for token in row if 0 < token < words.START) for row in tokens.tolist()]
    assert read == texts


def test_a_text_stands_between_start_and_end_and_the_end_is_the_highest_number():
    tokens = words.tokenize(["a photo of a red ship", "ship"])
    assert tokens[:, 0].tolist() == [words.START] * 2
    assert tokens.argmax(1).tolist() == [7, 2]  # open_clip reads a text's feature there
    assert tokens.max() == words.END == words.VOCABULARY - 1 and (tokens[0, 8:] == 0).all()
    assert len(set(words.WORDS)) == len(words.WORDS)


def test_capitals_and_marks_make_no_difference():
    assert torch.equal(words.tokenize(["A photo, of a Ship!"]), words.tokenize(["a photo of a ship"]))


def test_an_unknown_word_a_long_text_and_a_bare_text_are_refused():
    with pytest.raises(ValueError, match="has never read 'zebra': use words of captions of toybox, which are a, an"):
        words.tokenize(["a photo of a ship", "a photo of a zebra"])
    assert words.tokenize(["a " * 14]).argmax() == 15
    with pytest.raises(ValueError, match="has 15 words: the tiny text tower reads at most 14"):
        words.tokenize(["a " * 15])
    with pytest.raises(TypeError, match="is one text: give a list of texts"):
        words.tokenize("a ship")
