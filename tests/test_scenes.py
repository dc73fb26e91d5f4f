"""The scenes: fifteen classes that pixels alone do not tell apart, but texture and shape do."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import RidgeClassifier
from torch.nn import functional as F

from labkit.sets import load
from labkit.worlds import scenes as drawing
from labkit.worlds.scenes import CLASSES, LAYOUTS, SCENES, render, scenes

LAZEBNIK = (
    *("bedroom", "coast", "forest", "highway", "industrial", "insidecity", "kitchen", "livingroom", "mountain", "office"),
    *("opencountry", "store", "street", "suburb", "tallbuilding"),
)


@pytest.fixture(scope="module")
def drawn():
    return {split: scenes(split) for split in ("train", "test")}


def test_the_splits_hold_the_fifteen_classes_in_equal_shares_and_in_grey(drawn):
    for split in ("train", "test"):
        images = drawn[split]
        assert images.pixels.shape == (1500, 1, 32, 32) and images.pixels.dtype == torch.uint8
        assert (images.name, images.split, images.class_names) == ("scenes", split, LAZEBNIK)
        assert images.provenance == "drawn by labkit.worlds.scenes from a fixed seed"
        assert images.masks is None and images.captions is None and images.attributes == {}
        assert images.labels.bincount().tolist() == [100] * 15
        alike = float((images.labels[1:] == images.labels[:-1]).float().mean())
        assert 0.03 < alike < 0.11  # in random order, neither sorted nor in turn
    assert not torch.equal(drawn["train"].labels, drawn["test"].labels)


def test_the_set_is_found_by_its_name_and_takes_a_size_and_a_number(drawn):
    assert torch.equal(load("scenes", split="test").pixels, drawn["test"].pixels)
    images = load("scenes", split="train", size=40, n=47)
    assert images.pixels.shape == (47, 1, 40, 40)
    assert images.labels.bincount(minlength=15).tolist() == [4, 4] + [3] * 13


@pytest.mark.parametrize("size", [24, 33, 64])
def test_every_size_shows_the_same_scenes(size):
    small, other = render(90, seed=3), render(90, seed=3, size=size)
    assert other.pixels.shape == (90, 1, size, size) and torch.equal(other.labels, small.labels)
    a, b = (F.interpolate(images.floats(), size=(12, 12), mode="area").flatten(1) for images in (small, other))
    a, b = (x - x.mean(1, keepdim=True) for x in (a, b))
    assert float(F.cosine_similarity(a, b).mean()) > 0.95
    assert torch.equal(torch.cdist(F.normalize(a), F.normalize(b)).argmin(1), torch.arange(90))


def test_pictures_depend_on_the_seed_alone_and_no_test_picture_is_a_training_picture(drawn):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = scenes("test")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again.pixels, drawn["test"].pixels) and torch.equal(again.labels, drawn["test"].labels)
    a, b = (F.normalize(x - x.mean(1, keepdim=True)) for x in (drawn[s].floats().flatten(1) for s in ("train", "test")))
    assert float((a @ b.T).max()) < 0.97  # correlation
    assert float((b @ b.T - 2 * torch.eye(len(b))).max()) < 0.97
    assert not torch.equal(render(20, seed=1).pixels, render(20, seed=2).pixels)


def test_pictures_are_the_same_however_many_are_drawn_at_once(monkeypatch):
    images = render(300, seed=8)
    monkeypatch.setattr(drawing, "BATCH", 7)
    change = (render(300, seed=8).pixels.int() - images.pixels.int()).abs()
    assert float((change > 2).float().mean()) < 1e-3


def test_labels_that_are_given_are_drawn(drawn):
    labels = torch.arange(15).repeat(40)
    images = render(600, seed=1, labels=labels)
    assert torch.equal(images.labels, labels)
    assert render(23, seed=0).labels.bincount(minlength=15).tolist() == [2] * 8 + [1] * 7
    # what is drawn fits: gradients learnt from other pictures recognise them
    model = RidgeClassifier(alpha=10).fit(gradients(drawn["train"]), drawn["train"].labels.numpy())
    assert model.score(gradients(images), labels.numpy()) > 0.5


def test_no_layout_runs_out_of_numbers_and_all_of_them_differ(monkeypatch):
    assert tuple(SCENES) == LAZEBNIK and all(len(layouts) == LAYOUTS for layouts in SCENES.values())
    chosen = drawing._sheet
    means = []
    for layout in range(LAYOUTS):

        def sheet(n, rng, layout=layout):
            return {**chosen(n, rng), "layout": torch.full((n,), layout)}

        monkeypatch.setattr(drawing, "_sheet", sheet)
        images = render(600, seed=4, labels=torch.arange(600) % 15)
        x = torch.from_numpy(gradients(images))
        means.append(torch.stack([x[images.labels == label].mean(0) for label in range(15)]))
        assert float(images.floats().std((1, 2, 3)).min()) > 0.04  # none is empty
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert float((means[a] - means[b]).norm(dim=1).min()) > 0.3  # 0 for one layout twice: the same numbers


def gradients(images):
    """Histograms of the direction of the gradient in 8 bins, weighted by its size, in 4 x 4 cells: (N, 128)."""
    x = images.floats()[:, 0]
    across, down = x[:, 1:-1, 2:] - x[:, 1:-1, :-2], x[:, 2:, 1:-1] - x[:, :-2, 1:-1]
    angle = torch.atan2(down, across).remainder(torch.pi) * 8 / torch.pi
    votes = F.one_hot(angle.long().clamp(max=7), 8) * torch.hypot(across, down).unsqueeze(-1)
    cells = F.adaptive_avg_pool2d(votes.permute(0, 3, 1, 2), 4)
    return (cells / (cells.norm(dim=1, keepdim=True) + 0.02)).flatten(1).numpy()


def brightness(images):
    """Shares of eight ranges of brightness, with mean and deviation: (N, 10)."""
    x = images.floats().flatten(1)
    bins = F.one_hot((x * 8).long().clamp(max=7), 8).float().mean(1)
    return torch.cat([bins, x.mean(1, keepdim=True), x.std(1, keepdim=True)], 1).numpy()


def pixels(images):
    """The pixels as they are: (N, 1024)."""
    return images.floats().flatten(1).numpy()


def test_texture_and_shape_tell_the_classes_apart_where_pixels_and_brightness_do_not(drawn):
    train, test = drawn["train"], drawn["test"]
    score = {}
    for view, alpha in ((gradients, 10), (pixels, 100), (brightness, 0.1)):
        model = RidgeClassifier(alpha=alpha).fit(view(train), train.labels.numpy())
        score[view.__name__] = model.score(view(test), test.labels.numpy())
    assert 0.2 < score["pixels"] < 0.4
    assert score["brightness"] < 0.15
    assert score["gradients"] > max(0.55, score["pixels"] + 0.2)


def test_every_class_varies_in_brightness_contrast_and_side(drawn):
    images = drawn["train"]
    x = images.floats()[:, 0]
    for label, name in enumerate(CLASSES):
        mine = x[images.labels == label]
        assert float(mine.mean((1, 2)).std()) > 0.05 and float(mine.std((1, 2)).std()) > 0.02, name
        lean = mine[:, :, 16:].mean((1, 2)) - mine[:, :, :16].mean((1, 2))
        assert 0.3 < float((lean > 0).float().mean()) < 0.7, name
        top = mine[:, :8].mean((1, 2)) - mine[:, 24:].mean((1, 2))
        assert 0.03 < float((top > 0).float().mean()) < 0.97, name  # neither sky nor floor is always the brighter


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes("val"), "scenes: split 'val' is unknown: use 'train' or 'test'"),
        (lambda: scenes("test", n=14), "scenes: n is 14, but there are 15 classes: ask for 15 or more, 1500 for instance"),
        (lambda: scenes("test", size=23), "scenes: size is 23, but below 24 pixels a window is a dot: use 24 or more"),
        (lambda: render(0, seed=0), "scenes: n is 0, expected at least 1 picture"),
        (lambda: render(3, seed=0, labels=torch.zeros(3)), r"labels are torch.float32 \(3,\), expected torch.int64 \(3,\)"),
        (lambda: render(3, seed=0, labels=torch.tensor([1, 2])), r"labels are torch.int64 \(2,\), expected torch.int64 \(3,\)"),
        (lambda: render(2, seed=0, labels=torch.tensor([0, 15])), r"labels run from 0 to 15, expected numbers in 0..14"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.benchmark
def test_scenes_are_drawn_faster_than_3000_a_second():
    import time

    best = 9.0
    for _ in range(3):
        start = time.process_time()
        scenes("test")
        best = min(best, time.process_time() - start)
    print(f"\n{1500 / best:.0f} pictures a second")
    assert 1500 / best >= 3000
