"""The functions of lab 06, pulled out of the notebook, against independent references, and its nets under every profile."""

import tomllib
from dataclasses import replace
from types import FunctionType

import numpy as np
import pytest
import torch
from notebook_source import NOTEBOOKS, cells, namespace, shortened
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC
from torch import nn
from torch.nn import functional as F

from labkit import sets
from labkit.ledger import NOT_MEASURED
from labkit.narrow import NarrowVGG
from labkit.public import vision
from labkit.sets import Images

LAB = "06_vgg_svm"
GROUND = ("s0-settings", "s0-svm", "s0-features", "s0-demo")
SMALL = {
    **{"drawn": 75, "test": 60, "epochs": 1, "images": 45, "judged": 30, "seeds": 1, "sample": 15, "folds": 2, "steps": 3},
    **{"sides": (1, 2)},
}


@pytest.fixture(scope="module")
def tiny():
    lab = shortened(LAB, "tiny", **SMALL)
    lab.seeds = lambda n: [0, 1][:n]
    names = (
        "s2-wrong",
        "s2-pass",
        "s2-settings",
        "s2-tune",
        "s2-cifar",
        "s2-maps",
        "one-pass",
        "s3-pass",
        "s3-folds",
        "s3-graft",
    )
    return namespace(
        LAB, *GROUND, *names, "choose-then-test", "s3-fit", "s3-choose", "s3-flattery", "s5-rank", "s8-texture", lab=lab
    )


def test_scores_on_folds_are_those_of_scikit_learn(tiny):
    x = tiny["unit"](tiny["features"][0])
    index = tiny["train_index"][1]
    theirs = cross_val_score(
        LinearSVC(C=2.0, dual=False), x[index], tiny["y_pool"][index], cv=StratifiedKFold(3, shuffle=True, random_state=1)
    )
    assert np.allclose(tiny["fold_scores"](x, 1, C=2.0, k=3), theirs)


def test_an_svm_sees_its_own_training_images_alone(tiny):
    x, z = (tiny["unit"](each) for each in tiny["features"])
    scores = tiny["svm_accuracy"](x, z, C=3.0)
    for index, score in zip(tiny["train_index"], scores, strict=True):
        own = LinearSVC(C=3.0, dual=False).fit(x[index], tiny["y_pool"][index]).score(z, tiny["y_test"])
        assert score == pytest.approx(own)
    spoilt = x.clone()
    others = torch.ones(len(x), dtype=torch.bool)
    others[tiny["train_index"].flatten()] = False
    spoilt[others] = 1e3
    assert torch.equal(tiny["svm_accuracy"](spoilt, z, C=3.0), scores)


def test_a_way_of_using_the_net_leaves_the_net_and_its_decisions_alone(tiny):
    net, few = tiny["base"].net, tiny["test"]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    right, own = tiny["pass_of"](few, "right")
    drawn, _ = tiny["pass_of"](few, "training mode")
    assert not any(module.training for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert torch.allclose(right, tiny["unit"](tiny["features"][1]), atol=1e-5) and not torch.allclose(drawn, right, atol=1e-3)
    with torch.no_grad():
        assert torch.equal(own, net(tiny["base"].prepare(few.pixels)).argmax(1))
    assert torch.equal(tiny["pass_of"](few, "training mode")[0], drawn)  # drawn from a seed of its own


@pytest.mark.parametrize("way", ["0..1, not normalised", "0..255"])
def test_the_wrong_ways_are_what_their_names_say(tiny, way):
    x = tiny["test"].pixels[:3]
    expected = x.float().expand(-1, 3, -1, -1) / (255 if way.startswith("0..1") else 1)
    assert torch.allclose(tiny["WAYS"][way](x), expected, rtol=1e-5)


def test_fine_tuning_trains_what_requires_gradients_and_ends_in_evaluation_mode(tiny):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    net[1].requires_grad_(False)
    frozen, x, y = net[1].weight.clone(), torch.rand(120, 3, 2, 2), torch.arange(120) % 3
    x[torch.arange(120), y] += 1
    seen, modes = [], []
    net[3].register_forward_hook(lambda m, i, o: modes.append(m.training))
    epoch = tiny["shuffled"](x, y, 0)
    tiny["fine_tune"](epoch, net, prepare=lambda x: x, epochs=30, lr=0.3, after=lambda net, loss: seen.append(net.training))
    assert torch.equal(net[1].weight, frozen) and not any(modes) and seen == [False] * 30  # a head alone: no dropout
    net.requires_grad_(True)
    tiny["fine_tune"](epoch, net, prepare=lambda x: x, epochs=60, lr=0.3)
    assert any(modes) and not net.training and tiny["accuracy"](net, x, y, lambda x: x) > 0.9


def test_an_epoch_is_each_image_once_in_a_new_order(tiny):
    epoch = tiny["shuffled"](torch.arange(50.0)[:, None], torch.arange(50), 3)
    (x, y), (_, again) = epoch(), epoch()
    assert torch.equal(x[:, 0].long(), y) and sorted(y.tolist()) == list(range(50)) and not torch.equal(y, again)


def test_grafted_features_at_the_last_convolution_are_those_of_the_net(tiny):
    last = "features.29"  # relu5_3, before the last pooling, goes through avgpool; pool5 is the net itself
    pool5 = tiny["base"].layers[4]
    few = tiny["test"][:20]
    found, net = tiny["grafts"](few), tiny["base"].net
    with torch.no_grad(), tiny["capture"](net, [pool5, last, "classifier.1", "classifier.4"]) as maps:
        logits = net(tiny["base"].prepare(few.pixels))
    unit = tiny["unit"]
    for end, value in (("flat", maps[pool5].flatten(1)), ("relu6", maps["classifier.1"]), ("relu7", maps["classifier.4"])):
        assert torch.allclose(found[pool5, end], unit(value), atol=1e-5), end
    assert torch.allclose(found[pool5, "logits"], unit(logits), atol=1e-5)
    assert torch.allclose(found[last, "flat"], unit(maps[last].mean((2, 3))), atol=1e-5)
    assert len({cut for cut, _ in found}) == 7


def test_a_vgg_that_pools_to_several_positions_goes_on_through_its_classifier_as_the_net_itself_does(tiny, monkeypatch):
    torch.manual_seed(0)
    net = NarrowVGG(10).eval()
    net.avgpool = nn.AdaptiveAvgPool2d(2)
    net.classifier[0] = nn.Linear(4 * 128, 384)
    base = replace(tiny["base"], net=net)
    scope = {**tiny, "base": base, "prepared": lambda images: iter([base.prepare(images.pixels)])}
    few = tiny["test"][:10]
    with torch.no_grad():
        logits, flat = net(base.prepare(few.pixels)), net.avgpool(net.features(base.prepare(few.pixels))).flatten(1)
    found = FunctionType(tiny["grafts"].__code__, scope)(few)
    assert found[base.layers[4], "flat"].shape == (10, 512)
    assert torch.allclose(found[base.layers[4], "flat"], tiny["unit"](flat), atol=1e-5)
    assert torch.allclose(found[base.layers[4], "logits"], tiny["unit"](logits), atol=1e-4)


def test_ten_images_a_class_are_held_against_all_of_a_seed():
    source = {cell["id"]: cell["source"] for cell in cells(LAB)}
    assert 'curves["pretrained"][ten] - demo[0]' in source["s5-figure"]
    scope = namespace(LAB, "s0-settings", lab=shortened(LAB, "tiny"))
    per_class = eval(source["s5-labels"].split("PER_CLASS = ")[1].split("\n")[0], scope)
    assert max(n for n in per_class if n <= 10) < scope["cfg"].drawn / 15 == max(per_class)


def test_choosing_on_the_images_that_judge_flatters_only_where_there_is_a_choice(tiny):
    rng = torch.Generator().manual_seed(0)
    equal = (torch.rand(30, 2000, generator=rng) < 0.5).double()  # thirty kinds, none of them better than the others
    assert tiny["flattery"](equal, rng, n=100, draws=200) > 0.06
    assert abs(tiny["flattery"](equal[:1], rng, n=100, draws=400)) < 0.02


def test_the_effective_rank_counts_equal_directions(tiny):
    x = torch.zeros(4000, 12)
    x[:, :5] = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0))
    assert tiny["effective_rank"](x + 7) == pytest.approx(5, abs=0.1)
    assert tiny["effective_rank"](torch.arange(10.0)[:, None] * torch.ones(10, 4)) == pytest.approx(1)


def test_shuffled_patches_are_the_same_patches_elsewhere(tiny):
    pixels = torch.randint(0, 256, (6, 1, 33, 32), dtype=torch.uint8)
    images = Images(pixels[:, :, :32].contiguous(), torch.zeros(6).long(), ("a",), "noise", "test", "noise")
    moved = tiny["shuffled_patches"](images, 4, 0)
    cut = [
        F.unfold(each.pixels.double(), 8, stride=8).transpose(1, 2).to(torch.long).tolist() for each in (images, moved)
    ]  # (N, 16 patches, 64)
    assert all(sorted(a) == sorted(b) and a != b for a, b in zip(*cut, strict=True))
    orders = [[a.index(patch) for patch in b] for a, b in zip(*cut, strict=True)]
    assert len({tuple(order) for order in orders}) == 6  # an order of its own for each image


def test_a_gram_matrix_holds_each_product_once(tiny):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    found = tiny["gram"](x)
    expected = [[(x[n, i] * x[n, j]).mean() for i in range(3) for j in range(i, 3)] for n in range(2)]
    assert torch.allclose(found, torch.tensor(expected))


def test_each_class_gives_the_same_number_of_its_first_images():
    scope = namespace(LAB, "s0-settings", lab=shortened(LAB, "tiny", **SMALL))
    source = next(cell["source"] for cell in cells(LAB) if cell["id"] == "s5-labels")
    exec(source[source.index("def first_of_each") : source.index("curves = {")], scope)
    index = scope["order"][0, :300]
    found = scope["first_of_each"](index, 4)
    assert torch.bincount(scope["y_pool"][found], minlength=15).tolist() == [4] * 15
    for k in range(15):
        assert found[scope["y_pool"][found] == k].tolist() == index[scope["y_pool"][index] == k][:4].tolist()


def _claimed():
    toml = tomllib.loads((NOTEBOOKS / "expected.toml").read_text(encoding="utf-8"))
    return set(toml[LAB]["claims"])


def stand_in(name, *, split="train", limit=None, seed=0, size=32, **options):
    """Noise in the shapes of 15-Scene and CIFAR-10."""
    rng = torch.Generator().manual_seed(seed + (split == "test"))
    grey = name == "scene15"
    n = limit or 195
    pixels = torch.randint(0, 256, (n, 1, 64, 64) if grey else (n, 3, 32, 32), generator=rng, dtype=torch.uint8)
    classes = 15 if grey else 10
    return Images(pixels, torch.arange(n) % classes, tuple(map(str, range(classes))), name, split, "noise")


def test_a_net_of_the_larger_profiles_goes_through_every_cell_and_random_weights_are_not_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(sets, "load", stand_in)
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("mobilenet_v2", "squeezenet1_1"):  # small images, so that it takes no minutes
        monkeypatch.setitem(vision.TORCHVISION, name, vision.TORCHVISION[name]._replace(size=64))
    lab = shortened(LAB, "laptop", **{**SMALL, "side": 64, "drawn": 60, "images": 30, "judged": 20})
    lab.seeds = lambda n: [0, 1][:n]
    code = [cell["id"] for cell in cells(LAB) if cell["cell_type"] == "code"]
    skipped = {"setup", "summary", "s0-diagram"} | {name for name in code if name.startswith("check-")}
    namespace(LAB, *(name for name in code if name not in skipped), lab=lab)
    assert lab.distrust == "random weights"
    only_vgg = {"later-compensates", "reported-cut"}
    assert set(lab.claims) == _claimed() - only_vgg
    assert {claim["verdict"] for claim in lab.claims.values()} == {NOT_MEASURED}
