"""How the tiny CLIP models are trained: captions, knobs, and what is kept."""

import json
import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from open_clip.loss import ClipLoss

from labkit import pretrain, pretrain_clip, twin_nets, words
from labkit.machine import generator
from labkit.worlds import toybox
from labkit.worlds.toybox_places import WHERE

FEW = replace(pretrain_clip.RECIPE, epochs=2, images=256, every=2, watched=40)


@pytest.fixture(scope="module")
def images():
    return toybox.render(400, seed=5, size=24)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(pretrain_clip, "RECIPE", FEW)
    monkeypatch.setattr(pretrain_clip, "SEEDS", (0, 1))
    pretrain_clip._trunk.cache_clear()


def names_of(images, i):
    name = images.class_names[images.labels[i]]
    return {name, *pretrain_clip.NAMES.get(name, ())}


def test_full_captions_name_what_is_there_and_brief_ones_the_class_alone(images):
    texts, numbers = pretrain_clip.spoken(images, pretrain_clip.Knobs(), generator(0))
    assert numbers.shape == (400, 2 * pretrain_clip.VERSIONS) and len(set(texts)) == len(texts)
    known, others = images.attributes, 0
    for i in range(400):
        colour, place = toybox.COLOURS[known["colour"][i]], WHERE[toybox.BACKGROUNDS[known["background"][i]]]
        size = "large" if known["large"][i] else "small"
        for k, number in enumerate(numbers[i].tolist()):
            starts = list(product(pretrain_clip.BEGINNINGS, names_of(images, i)))
            full = [f"{start} {size} {colour} {name} {place}" for start, name in starts]
            assert texts[number] in (full if k < pretrain_clip.VERSIONS else [" ".join(pair) for pair in starts])
            others += images.class_names[images.labels[i]] not in texts[number]
    share = others / numbers.numel() / (len(pretrain_clip.NAMES) / 10)
    assert share == pytest.approx(pretrain_clip.OTHER_NAME * 8 / 9, abs=0.06)  # 'airplane' is one of its own names
    words.tokenize(texts)  # each of them can be read


def test_the_name_of_a_kind_is_given_to_that_kind_alone(images):
    texts, numbers = pretrain_clip.spoken(images, pretrain_clip.Knobs(), generator(0))
    ships = (images.labels == images.class_names.index("ship")).nonzero().flatten().tolist()
    said = {(w, int(images.attributes["kind"][i])) for i in ships for n in numbers[i].tolist() for w in texts[n].split()}
    for kind, name in enumerate(pretrain_clip.NAMES["ship"]):
        assert {k for word, k in said if word == name} == {kind}


def test_shuffling_exchanges_captions_within_a_share_of_the_images(images):
    texts, numbers = pretrain_clip.spoken(images, pretrain_clip.Knobs(shuffled=0.5), generator(0))
    right = [texts[row[-1]].split()[-1] in names_of(images, i) for i, row in enumerate(numbers.tolist())]
    assert sum(right) / 400 == pytest.approx(1 - 0.5 * 0.9, abs=0.07)  # one in ten gets a caption of its own class
    plain, same = pretrain_clip.spoken(images, pretrain_clip.Knobs(), generator(0))
    assert sorted(texts[n] for n in numbers.flatten()) == sorted(plain[n] for n in same.flatten())


def test_training_lowers_open_clips_own_loss_and_learns_the_temperature_unless_it_is_fixed(small, monkeypatch):
    monkeypatch.setattr(pretrain_clip, "RECIPE", replace(FEW, epochs=10, every=20, batch_size=64))
    train, test = pretrain_clip._train_and_test()
    prepare = pretrain_clip.preparation("toybox_clip")

    def loss(net):
        net.eval()
        with torch.no_grad():
            x = net.encode_image(prepare(train.pixels[:128]), normalize=True)
            y = net.encode_text(words.tokenize(train.captions[:128]), normalize=True)
            return ClipLoss()(x, y, torch.tensor(1 / 0.07)).item()

    net, curve = pretrain_clip.train_pair(train, test, pretrain_clip.Knobs(), seed=0, label="a training")
    assert loss(net) < loss(twin_nets.build("toybox_clip", seed=0)) - 0.3
    assert [row["step"] for row in curve] == [0, 20, 40] and curve[-1]["temperature"] != curve[0]["temperature"]
    cold, curve = pretrain_clip.train_pair(train, test, pretrain_clip.Knobs(temperature=0.01), seed=0, label="a training")
    assert [row["temperature"] for row in curve] == pytest.approx([0.01] * 3)
    assert not cold.logit_scale.requires_grad and cold.logit_scale.item() == pytest.approx(math.log(100))


def test_what_is_measured_agrees_with_plain_loops(images):
    net, few = twin_nets.build("toybox_clip", seed=3).train(), images[:30]
    found = pretrain_clip.measured(net, few, pretrain_clip.Knobs(), pretrain_clip.preparation("toybox_clip"))
    assert net.training
    net.eval()
    with torch.no_grad():
        x = net.encode_image(pretrain_clip.preparation("toybox_clip")(few.pixels), normalize=True).double()
        y, w = (
            net.encode_text(words.tokenize(texts), normalize=True).double()
            for texts in (few.captions, [f"a photo of a {name}" for name in few.class_names])
        )
    pairs = [(i, j) for i in range(30) for j in range(30) if i != j]
    assert found["matched"] == pytest.approx(sum(float(x[i] @ y[i]) for i in range(30)) / 30, abs=1e-5)
    assert found["mismatched"] == pytest.approx(sum(float(x[i] @ y[j]) for i, j in pairs) / len(pairs), abs=1e-5)
    assert found["cone_images"] == pytest.approx(sum(float(x[i] @ x[j]) for i, j in pairs) / len(pairs), abs=1e-5)
    assert found["cone_texts"] == pytest.approx(sum(float(y[i] @ y[j]) for i, j in pairs) / len(pairs), abs=1e-5)
    assert found["gap"] == pytest.approx(float((x.mean(0) - y.mean(0)).square().sum().sqrt()), abs=1e-5)
    assert found["accuracy"] == pytest.approx(sum(int((w @ x[i]).argmax()) == int(few.labels[i]) for i in range(30)) / 30)
    brief = pretrain_clip.measured(net, few, pretrain_clip.Knobs(full=False), pretrain_clip.preparation("toybox_clip"))
    assert brief["matched"] == pytest.approx(sum(float(x[i] @ w[few.labels[i]]) for i in range(30)) / 30, abs=1e-5)


@pytest.mark.parametrize("name", twin_nets.CLIPS)
def test_each_recipe_turns_its_own_knob_and_keeps_curves_of_all_seeds(name, small, monkeypatch):
    calls, once = [], pretrain_clip.train_pair
    monkeypatch.setattr(pretrain_clip, "train_pair", lambda *a, **k: calls.append((a[2], k)) or once(*a, **k))
    net, accuracies, notes = pretrain.RECIPES[name]("training")
    knobs = [knobs for knobs, _ in calls]
    assert knobs == [pretrain_clip.Knobs(full=False), *[pretrain_clip.VARIANTS[name]] * 2]  # the trunk first
    trunk = calls[1][1]["trunk"]
    assert trunk and not any(key.startswith("attnpool") for key in trunk) and calls[0][1].get("trunk") is None
    assert [k["seed"] for _, k in calls] == [pretrain_clip.TRUNK_SEED, 0, 1]
    curves = json.loads(notes["curves"])
    assert curves["steps"] == [0, 2, 4] and {len(curves[key]) for key in set(curves) - {"steps"}} == {2}
    assert curves["gap"][0] != curves["gap"][1] and {len(row) for row in curves["gap"]} == {3}
    assert set(accuracies) == {"toybox zero-shot"} and not net.training
    assert (net.logit_scale.exp().item() > 99) == name.endswith(("_cold", "_web"))


def test_a_trunk_learns_more_slowly_and_the_rest_starts_anew(small):
    train, test = pretrain_clip._train_and_test()
    trunk = pretrain_clip._trunk(FEW)
    fresh = twin_nets.build("toybox_clip", seed=1)
    net, _ = pretrain_clip.train_pair(train, test, pretrain_clip.Knobs(), seed=1, label="a training", trunk=trunk)
    moved = (net.visual.layer1[0].conv1.weight - trunk["layer1.0.conv1.weight"]).abs().median()
    assert 0 < moved < 0.6 * (net.token_embedding.weight[1:3] - fresh.token_embedding.weight[1:3]).abs().median()
    assert (net.visual.attnpool.q_proj.weight - fresh.visual.attnpool.q_proj.weight).abs().max() < 0.05
