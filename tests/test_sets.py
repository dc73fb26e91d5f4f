"""Sets of images: what a container refuses, how a set is loaded, and what an epoch of batches is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torchvision import transforms

from labkit import sets
from labkit.sets import Images, batches, gather, load


def made(n: int = 7, channels: int = 1, size: int = 4, **parts) -> Images:
    """Image i is filled with i, has label i % 3, caption str(i), attribute 10 i, and one masked pixel."""
    numbers = torch.arange(n)
    masks = torch.zeros(n, size, size, dtype=torch.bool)
    masks[numbers, numbers % size, 0] = True
    given = {
        "pixels": numbers.to(torch.uint8).reshape(-1, 1, 1, 1).repeat(1, channels, size, size),
        "labels": numbers % 3,
        "class_names": ("a", "b", "c"),
        "name": "made",
        "split": "train",
        "provenance": "this test",
        "masks": masks,
        "captions": tuple(str(i) for i in range(n)),
        "attributes": {"ten": 10 * numbers},
    }
    return Images(**{**given, **parts})


WRONG = {
    "floats": ({"pixels": torch.rand(7, 1, 4, 4)}, r"made \(train\): the values are floats.*\(x \* 255\)\.to\(torch\.uint8\)"),
    "nan": ({"pixels": torch.full((7, 1, 4, 4), torch.nan)}, r"112 of 112 values are NaN or infinite"),
    "type": ({"pixels": torch.zeros(7, 1, 4, 4, dtype=torch.int64)}, r"pixels are torch.int64 \(7, 1, 4, 4\), expected uint8"),
    "shape": (
        {"pixels": torch.zeros(7, 4, 4, dtype=torch.uint8)},
        r"pixels are torch.uint8 \(7, 4, 4\), expected.*\(N, C, H, W\)",
    ),
    "labels": ({"labels": torch.zeros(6, dtype=torch.int64)}, r"7 images but labels of shape \(6,\)"),
    "one-hot": ({"labels": torch.zeros(7, 3, dtype=torch.int64)}, r"7 images but labels of shape \(7, 3\)"),
    "too high": ({"labels": torch.full((7,), 3)}, r"labels run from 3 to 3, but there are 3 classes"),
    "negative": ({"labels": torch.arange(7) % 3 - 1}, r"labels run from -1 to 1"),
    "float labels": ({"labels": torch.zeros(7)}, r"labels are torch.float32, expected torch.int64: use labels.long\(\)"),
    "masks": (
        {"masks": torch.zeros(6, 4, 4, dtype=torch.bool)},
        r"masks are torch.bool \(6, 4, 4\), expected bool \(7, 4, 4\)",
    ),
    "mask type": ({"masks": torch.zeros(7, 4, 4)}, r"masks are torch.float32"),
    "captions": ({"captions": ("one",)}, r"7 images but captions of length 1"),
    "attributes": ({"attributes": {"ten": torch.zeros(8)}}, r"7 images but attribute 'ten' of length 8"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_with_what_was_given(case):
    parts, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        made(**parts)


def test_a_few_nan_are_counted():
    pixels = torch.rand(7, 1, 4, 4)
    pixels[0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match="4 of 112 values are NaN or infinite"):
        made(pixels=pixels)


def test_rgb_repeats_grey_keeps_colour_and_refuses_the_rest():
    grey, colour = made(), made(channels=3)
    assert torch.equal(grey.rgb().pixels, grey.pixels.expand(-1, 3, -1, -1)) and grey.rgb().pixels.is_contiguous()
    assert grey.rgb().captions == grey.captions and torch.equal(grey.rgb().labels, grey.labels)
    assert colour.rgb() is colour
    with pytest.raises(ValueError, match=r"made \(train\) has 2 channels: only 1 \(grey\) or 3 \(colour\) can be RGB"):
        made(channels=2).rgb()


def test_an_empty_set_is_a_set():
    assert len(made()[:0]) == 0 and made()[:0].captions == ()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_selection_keeps_masks_captions_and_attributes_with_their_images(data):
    images = made()
    kind = data.draw(st.sampled_from(["slice", "index", "mask"]))
    if kind == "slice":
        index = data.draw(st.slices(7).filter(lambda s: s.step is None or s.step > 0))
        kept = list(range(7))[index]
    elif kind == "index":
        kept = data.draw(st.lists(st.integers(0, 6), max_size=9))
        index = torch.tensor(kept, dtype=torch.int64)
    else:
        keep = data.draw(st.lists(st.booleans(), min_size=7, max_size=7))
        kept, index = [i for i in range(7) if keep[i]], torch.tensor(keep)
    part = images[index]
    assert part.pixels[:, 0, 0, 0].tolist() == kept
    assert part.labels.tolist() == [i % 3 for i in kept]
    assert part.captions == tuple(map(str, kept))
    assert part.attributes["ten"].tolist() == [10 * i for i in kept]
    assert part.masks.shape == (len(kept), 4, 4) and all(part.masks[j, i % 4, 0] for j, i in enumerate(kept))
    assert (part.name, part.split, part.provenance) == ("made", "train", "this test")


def test_a_set_without_masks_and_captions_can_be_sliced_and_moved():
    bare = made(masks=None, captions=None, attributes={})[2:4].to("cpu")
    assert bare.masks is None and bare.captions is None and bare.attributes == {} and len(bare) == 2


def test_moving_takes_every_tensor_along(monkeypatch):
    images, moved = made(), []
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: moved.append((id(tensor), device)) or tensor)
    images.to("cpu")
    parts = (images.pixels, images.labels, images.masks, images.attributes["ten"])
    assert sorted(moved) == sorted((id(tensor), "cpu") for tensor in parts)


def test_floats_are_0_to_1():
    x = made(
        pixels=torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1),
        labels=torch.zeros(3).long(),
        masks=None,
        captions=None,
        attributes={},
    ).floats()
    assert x.dtype == torch.float32 and torch.allclose(x.flatten(), torch.tensor([0, 0.2, 1]))


# --- load


def test_digits_are_scikit_learns_each_in_one_split_and_stratified():
    train, test = load("digits"), load("digits", split="test")
    assert (len(train), len(test), train.split, test.split) == (1400, 397, "train", "test")
    data, target = load_digits(return_X_y=True)
    both = torch.cat([train.pixels, test.pixels]).flatten(1).numpy()
    grey = np.round(data / 16 * 255).astype(np.uint8)
    mine = sorted(zip(both.tolist(), torch.cat([train.labels, test.labels]).tolist(), strict=True))
    assert mine == sorted(zip(grey.tolist(), target.tolist(), strict=True))
    shares = torch.bincount(test.labels).double() / 397 - torch.bincount(train.labels).double() / 1400
    assert shares.abs().max() < 0.003
    assert torch.equal(load("digits").pixels, train.pixels)


def test_upscaled_digits_are_the_same_digits():
    small, large = load("digits", split="test"), load("digits", split="test", size=24)
    assert large.pixels.shape == (397, 1, 24, 24) and torch.equal(large.labels, small.labels)
    assert len(large.pixels.unique()) > 100  # smooth, where the original has 17 grey levels
    back = torch.nn.functional.avg_pool2d(large.floats(), 3)
    assert (back - small.floats()).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "digitz"},
            r"dataset 'digitz' is unknown: use one of digits, digits_m, .*toybox, .*mnist, fashion_mnist, .*cifar10",
        ),
        ({"name": "digits", "split": "valid"}, r"split 'valid' is unknown: use 'train' or 'test'"),
        ({"name": "digits", "limit": 0}, r"limit 0: digits \(train\) has 1400 images, ask for 1\.\.1400"),
        ({"name": "digits", "limit": 1401}, r"limit 1401: digits \(train\) has 1400 images"),
        ({"name": "digits", "sise": 16}, r"dataset 'digits': got an unexpected keyword argument 'sise'"),
        ({"name": "mnist", "width": 16}, r"dataset 'mnist': got an unexpected keyword argument 'width'"),
    ],
)
def test_what_load_does_not_know_is_named_with_what_it_knows(arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


def test_a_type_error_inside_a_set_is_not_taken_for_an_unknown_option(monkeypatch):
    def broken(split):
        raise TypeError("unsupported operand")

    monkeypatch.setattr(sets, "_sets", lambda: {"broken": broken})
    with pytest.raises(TypeError, match="unsupported operand"):
        load("broken")


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 60), min_size=2, max_size=4), share=st.floats(0.05, 1), seed=st.integers(0, 99))
def test_a_limit_keeps_the_proportions_of_the_classes(sizes, share, seed):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    n = len(labels)
    images = Images(
        torch.zeros(n, 1, 1, 1, dtype=torch.uint8),
        labels,
        tuple("abcd")[: len(sizes)],
        "made",
        "train",
        "",
        attributes={"number": torch.arange(n)},
    )
    limit = max(1, int(share * n))
    kept = sets._subset(images, limit, seed)
    assert len(kept) == limit and len(set(kept.attributes["number"].tolist())) == limit
    counts = torch.bincount(kept.labels, minlength=len(sizes)).tolist()
    assert all(abs(count - limit * size / n) < 0.5 + 0.5 * len(sizes) for count, size in zip(counts, sizes, strict=True))


def test_a_limit_on_digits_is_drawn_from_the_seed_and_mixed():
    a, again, b = (load("digits", limit=100, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.pixels, again.pixels) and torch.equal(a.labels, again.labels)
    assert sorted(a.pixels.flatten(1).tolist()) != sorted(b.pixels.flatten(1).tolist())  # others, not only another order
    assert torch.bincount(a.labels).tolist() == [10] * 10  # 1400 digits are almost balanced
    assert len(set(a.labels[:20].tolist())) > 5 and a.labels[:10].sort().values.tolist() != list(range(10))
    whole = load("digits", limit=1400)
    assert sorted(whole.pixels.flatten(1).tolist()) == sorted(load("digits").pixels.flatten(1).tolist())


# --- batches


def test_without_a_generator_batches_come_in_order_and_the_last_one_is_smaller():
    got = list(batches(made(), batch_size=3))
    assert [tuple(x.shape) for x, _ in got] == [(3, 1, 4, 4), (3, 1, 4, 4), (1, 1, 4, 4)]
    assert torch.allclose(torch.cat([x for x, _ in got]), made().floats())
    assert torch.cat([y for _, y in got]).tolist() == made().labels.tolist()
    assert got[0][0].dtype == torch.float32


def test_a_generator_gives_each_image_once_in_a_new_order_with_its_label():
    images = made(50)
    rng = torch.Generator().manual_seed(1)
    orders = []
    for _ in range(2):
        numbers = []
        for x, y in batches(images, batch_size=8, generator=rng):
            batch = (x[:, 0, 0, 0] * 255).round().long()
            assert torch.equal(y, batch % 3)
            numbers += batch.tolist()
        assert sorted(numbers) == list(range(50)) and numbers != list(range(50))
        orders.append(numbers)
    assert orders[0] != orders[1]
    rng = torch.Generator().manual_seed(1)
    again = torch.cat([x for x, _ in batches(images, batch_size=8, generator=rng)])[:, 0, 0, 0] * 255
    assert again.round().long().tolist() == orders[0]


def test_batches_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    list(batches(made(), batch_size=3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalised_batches_are_torchvisions(channels):
    pixels = torch.randint(0, 256, (7, channels, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = made(pixels=pixels)
    mean, std = (0.49, 0.48, 0.44)[:channels], (0.2, 0.25, 0.3)[:channels]
    expected = transforms.Normalize(mean, std)(pixels.float() / 255)
    ((x, _),) = batches(images, batch_size=7, mean=mean, std=std)
    assert torch.allclose(x, expected, atol=1e-5)
    ((x, _),) = batches(images, batch_size=7, std=std)
    assert torch.allclose(x, transforms.Normalize((0.0,) * channels, std)(pixels.float() / 255), atol=1e-5)
    assert torch.equal(images.pixels, pixels)


def test_augment_gets_the_normalised_batch_and_its_result_is_what_comes():
    seen = []

    def augment(x):
        seen.append(x.clone())
        return x.flip(-1) + 1

    images = made(pixels=torch.arange(7 * 16, dtype=torch.uint8).reshape(7, 1, 4, 4))
    plain = [x for x, _ in batches(images, batch_size=3, mean=(0.5,), std=(0.2,))]
    got = [x for x, _ in batches(images, batch_size=3, mean=(0.5,), std=(0.2,), augment=augment)]
    assert all(torch.equal(a, b) for a, b in zip(seen, plain, strict=True))
    assert all(torch.equal(a, b.flip(-1) + 1) for a, b in zip(got, plain, strict=True))


def test_gather_takes_an_index_of_any_shape():
    index = torch.tensor([[[3, 1], [0, 6]]])
    x, y = gather(made(), index, augment=lambda batch: batch * 2 if batch.ndim == 4 else None)
    assert x.shape == (1, 2, 2, 1, 4, 4) and torch.equal((x[..., 0, 0, 0] * 255 / 2).round().long(), index)
    assert torch.equal(y, index % 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: it must be at least 1"),
        ({"batch_size": 2, "mean": (0.5, 0.5), "std": (1.0, 1.0)}, r"made has 1 channel\(s\), but mean has 2 and std 2"),
        ({"batch_size": 2, "mean": (0.5, 0.5, 0.5)}, r"made has 1 channel\(s\), but mean has 3 and std 1"),
    ],
)
def test_batches_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        next(batches(made(), **options))


def test_a_set_cannot_be_changed_by_assignment():
    with pytest.raises(AttributeError):
        made().labels = torch.zeros(7)
    assert replace(made(), name="other").name == "other"
