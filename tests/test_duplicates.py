"""Duplicates: what counts as the same picture, within and across splits, and what is taken out."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from labkit import duplicates as module
from labkit.duplicates import Pair, duplicates, without_duplicates
from labkit.sets import Images


def pictures(n: int, *, seed: int = 0, size: int = 48, channels: int = 1) -> torch.Tensor:
    """Smooth random pictures with some grain, no two alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (n, channels, 6, 6)).astype(np.uint8)
    smooth = torch.nn.functional.interpolate(torch.from_numpy(coarse).float(), size=(size, size), mode="bicubic")
    return (smooth + torch.from_numpy(rng.normal(0, 3, smooth.shape))).clamp(0, 255).to(torch.uint8)


def images(pixels: torch.Tensor, split: str, *, labels=None, class_names=("a", "b")) -> Images:
    labels = torch.zeros(len(pixels), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Images(pixels, labels, class_names, "things", split, "made here")


def encoded(picture: torch.Tensor, quality: int) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray(picture[0].numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(buffer)).copy())[None]


def reference(train: torch.Tensor, test: torch.Tensor, threshold: float) -> dict[tuple[int, int], float]:
    """Correlations by numpy, pair by pair, of blocks that PIL averages."""
    rows = []
    for picture in torch.cat([train, test]):
        bands = [Image.fromarray(band.numpy()).convert("F").resize((32, 32), Image.Resampling.BOX) for band in picture]
        rows.append(np.concatenate([np.asarray(band).ravel() for band in bands]).astype(float))
    table = np.corrcoef(rows)
    return {(i, j): table[i, j] for i in range(len(rows)) for j in range(i + 1, len(rows)) if table[i, j] >= threshold}


def test_equal_images_are_found_within_and_across_and_sorted():
    x = pictures(9)
    train = images(torch.stack([x[0], x[1], x[2], x[1]]), "train", labels=[0, 1, 0, 1])
    test = images(torch.stack([x[3], x[2], x[4], x[3], x[1]]), "test", labels=[0, 1, 0, 0, 1])
    for threshold in (module.THRESHOLD, 1):
        assert duplicates(train, test, threshold=threshold) == [
            Pair("train", 1, "train", 3, True, 1.0, True),
            Pair("train", 1, "test", 4, True, 1.0, True),
            Pair("train", 2, "test", 1, False, 1.0, True),
            Pair("train", 3, "test", 4, True, 1.0, True),
            Pair("test", 0, "test", 3, True, 1.0, True),
        ]


@pytest.mark.parametrize("channels", [1, 3])
def test_correlations_are_those_of_numpy_whatever_the_blocks_of_the_table(monkeypatch, channels):
    train, test = pictures(23, size=64, channels=channels), pictures(11, seed=1, size=64, channels=channels)
    train[20], test[5], test[7] = train[3] // 2 + 30, train[4] // 3 * 2, test[6].flip(-1)
    test[9] = (test[9] // 2 + train[0] // 2).to(torch.uint8)  # correlates with two by half
    for rows in (1024, 4, 8):
        monkeypatch.setattr(module, "ROWS", rows)
        for threshold in (0.5, 0.995):
            pairs = duplicates(images(train, "train"), images(test, "test"), threshold=threshold)
            assert not any(pair.equal for pair in pairs)
            found = {
                (
                    p.first_index + 23 * (p.first_split == "test"),
                    p.second_index + 23 * (p.second_split == "test"),
                ): p.correlation
                for p in pairs
            }
            expected = reference(train, test, threshold)
            assert found.keys() == expected.keys() and list(found) == sorted(found)
            assert all(abs(found[pair] - expected[pair]) < 1e-5 for pair in found)
    assert {(3, 20), (4, 28)} == found.keys()


def test_a_copy_that_was_encoded_anew_reduced_or_made_lighter_is_found_and_another_picture_is_not():
    x = pictures(30, size=96)
    small = torch.nn.functional.interpolate(x[12:13].float(), scale_factor=0.5, mode="bilinear", antialias=True)
    copies = [encoded(x[10], 75), encoded(x[11], 40), torch.nn.functional.interpolate(small, size=96)[0].to(torch.uint8)]
    copies += [x[13] // 2 + 60, x[14].flip(-1), x[15].roll(20, -1)]
    pairs = duplicates(images(x, "train"), images(torch.stack(copies), "test"))
    assert [(p.first_index, p.second_index, p.equal) for p in pairs] == [(10 + k, k, False) for k in range(4)]
    assert all(module.THRESHOLD <= p.correlation <= 1 for p in pairs)
    assert not duplicates(images(x, "train"), images(torch.stack(copies), "test"), threshold=1)


def test_plain_images_are_compared_by_their_pixels_alone():
    grey = torch.stack([torch.full((1, 16, 16), value, dtype=torch.uint8) for value in (7, 7, 200, 0)])
    assert duplicates(images(grey, "train"), images(grey[3:] + 90, "test")) == [Pair("train", 0, "train", 1, True, 1.0, True)]


def test_labels_are_compared_by_the_names_of_their_classes():
    x = pictures(2)
    train = images(x, "train", labels=[0, 1])
    other = images(x, "test", labels=[1, 1], class_names=("b", "a"))
    assert [pair.same_label for pair in duplicates(train, other)] == [True, False]


def test_images_smaller_than_a_thumbnail_and_not_square_will_do():
    x = pictures(6, size=40)[..., :20, :8]
    pairs = duplicates(images(x[:4], "train"), images(x[3:], "test"))
    assert [(p.first_index, p.second_index) for p in pairs] == [(3, 0)]
    lighter = (x[1].int() // 2 + 90).to(torch.uint8)  # found by its thumbnail alone
    pairs = duplicates(images(x[:4], "train"), images(torch.stack([x[5], lighter]), "test"))
    assert [(p.first_index, p.second_index, p.equal) for p in pairs] == [(1, 1, False)]


def test_without_duplicates_takes_out_of_the_test_what_train_holds_and_nothing_else():
    x = pictures(12)
    train = images(x[:6], "train")
    mixed = torch.stack([x[7], x[2], x[7], encoded(x[4], 75), x[8], x[2]])
    test = replace(images(mixed, "test", labels=[0, 1, 1, 0, 1, 0]), attributes={"number": torch.arange(6)})
    left = without_duplicates(train, test)
    assert left.attributes["number"].tolist() == [0, 2, 4] and left.labels.tolist() == [0, 1, 1]
    assert torch.equal(left.pixels, mixed[[0, 2, 4]])
    assert (left.split, left.provenance) == ("test", "made here, without 3 copies of train images")
    exact = without_duplicates(train, test, threshold=1)
    assert exact.attributes["number"].tolist() == [0, 2, 3, 4]
    assert without_duplicates(train, test[3:4]).provenance == "made here, without 1 copy of train images"
    assert len(without_duplicates(train, test[3:4])) == 0 and duplicates(train, test[:0]) == []


def test_sets_that_cannot_be_compared_are_told():
    x = pictures(3)
    with pytest.raises(
        ValueError, match=r"things \(train\) are \(1, 48, 48\), those of things \(test\) \(3, 48, 48\): load both"
    ):
        duplicates(images(x, "train"), images(x, "test").rgb())
    with pytest.raises(ValueError, match=r"both sets are called 'train': give train and test, or replace\("):
        duplicates(images(x, "train"), images(x, "train"))
    for threshold in (0.4, 1.01, float("nan")):
        with pytest.raises(ValueError, match=r"threshold is .*: use 0.5..1; 0.995 finds copies"):
            duplicates(images(x, "train"), images(x, "test"), threshold=threshold)
