"""`labkit data --rebuild-weights` and the list: a stand-in world, two steps, and old files that stay whole."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

from labkit import machine, pretrain, pretrain_clip, pretrain_conv, pretrain_vit, twin_nets, twins
from labkit.cli import app
from labkit.guards import NonFiniteLoss
from labkit.preparation import Preparation
from labkit.sets import Images
from labkit.worlds import toybox

ABOUT = {"command": "a", "source": "b", "accuracy": '{"glyphs test": 0.25}', "date": "d", "torch": "2", "seconds": "9"}
SMALL = "tiny_resnet_small"


def world(split: str, *, size: int = 32, n: int | None = None, classes: int = twin_nets.GLYPH_CLASSES) -> Images:
    """Flat colours with noise, one a class."""
    n = {"train": n, "test": 192}[split]
    rng = torch.Generator().manual_seed(len(split))
    labels = torch.arange(n) % classes
    colours = torch.stack([labels % 6, labels // 6 % 6, labels // 36], 1) * 40 + 20
    pixels = colours.reshape(n, 3, 1, 1) + torch.randint(-20, 21, (n, 3, size, size), generator=rng)
    return Images(pixels.to(torch.uint8), labels, tuple(map(str, range(classes))), "world", split, "made up")


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setattr("labkit.worlds.glyphs.glyphs", world)
    monkeypatch.setattr(machine, "settle", lambda *arguments, **options: None)  # it is for a whole process
    for recipe in ("RESNET", "VGG", "TOYBOX", "TOYBOX_VGG"):  # two steps each
        monkeypatch.setattr(pretrain_conv, recipe, replace(getattr(pretrain_conv, recipe), epochs=1, images=128))
    for recipe in ("SUPERVISED", "SHORT", "MASKED"):
        monkeypatch.setattr(pretrain_vit, recipe, replace(getattr(pretrain_vit, recipe), epochs=1, images=128))
    monkeypatch.setattr(pretrain_vit, "LABELLED", 100)
    monkeypatch.setattr(pretrain_clip, "RECIPE", replace(pretrain_clip.RECIPE, epochs=1, images=128, watched=20))
    monkeypatch.setattr(pretrain_clip, "SEEDS", (0,))
    monkeypatch.setattr("labkit.worlds.toybox.toybox", lambda split, size=32: toybox.render(40, seed=1, size=size))
    return tmp_path


def data(*words: str):
    return CliRunner().invoke(app, ["data", *words])


def old_file() -> bytes:
    return twins.save(SMALL, twin_nets.build(SMALL, seed=9), ABOUT).read_bytes()


def test_the_named_weights_are_remade_and_told_against_those_before(workbook):
    old_file()
    result = data("--rebuild-weights", SMALL)
    assert result.exit_code == 0, result.stderr
    measured = twins.accuracy(SMALL)["glyphs test"]
    assert result.stdout.startswith(f"{SMALL}: glyphs test {100 * measured:.1f} % (before: glyphs test 25.0 %), 0.")
    assert f"kB in {twins.weights_file(SMALL)}" in result.stdout and result.stdout.count("\n") == 1
    about = twins.about(SMALL)
    assert about["command"] == f"labkit data --rebuild-weights {SMALL}" and about["torch"] == torch.__version__
    assert not twins.weights_file("tiny_resnet").exists()


def test_without_a_name_all_are_remade(workbook):
    result = data("--rebuild-weights")
    assert result.exit_code == 0, result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == list(twin_nets.ALL)
    assert result.stdout.count("(before: no weights)") == len(twin_nets.ALL)
    assert {state for _, state, _ in twins.status()} == {"here"}


def test_nothing_is_trained_where_nothing_can_be_saved(workbook, monkeypatch):
    trained = []
    monkeypatch.setitem(pretrain.RECIPES, SMALL, lambda label: trained.append(label))
    (workbook / "data").write_text("a file where the folder belongs")
    result = data("--rebuild-weights", SMALL)
    assert result.exit_code == 1 and f"the weights of {SMALL} are as they were" in result.stderr and not trained


def test_the_tiny_vgg_is_trained_with_batch_norm_and_kept_without(workbook, monkeypatch):
    monkeypatch.setattr(pretrain_conv, "VGG", replace(pretrain_conv.VGG, epochs=2, images=128))
    kept, fold = [], pretrain_conv.folded
    monkeypatch.setattr(pretrain_conv, "folded", lambda net: kept.append(net) or fold(net))
    net, accuracies, _ = pretrain.RECIPES["tiny_vgg"]("training")
    (normalised,) = kept
    state = torch.get_rng_state()
    torch.rand(7)  # what others draw changes nothing, and nothing is drawn at their cost
    drawn = torch.get_rng_state()
    again, *_ = pretrain.RECIPES["tiny_vgg"]("training")
    assert torch.equal(torch.get_rng_state(), drawn) and not torch.equal(drawn, state)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), again.parameters(), strict=True))
    kept.pop()
    assert int(normalised.features[1].num_batches_tracked) == 4 and not normalised.training and not net.training
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(x), normalised(x), rtol=0.05, atol=0.05 * float(normalised(x).abs().max()))  # float16
    assert set(accuracies) == {"glyphs test"}


def test_the_accuracy_stated_is_that_of_the_net_as_loaded(workbook, monkeypatch):
    measure, rounded = pretrain_conv.accuracy, []

    def spy(net, images, prepare):
        rounded.append(all(torch.equal(p, p.half().float()) for p in net.parameters()))
        return measure(net, images, prepare)

    monkeypatch.setattr(pretrain_conv, "accuracy", spy)
    data("--rebuild-weights", SMALL)
    assert rounded == [True]
    twin, images = twin_nets.TWINS[SMALL], world("test")
    x = (images.pixels / 255 - 0.5) / 0.25
    assert torch.allclose(Preparation(twin.size, twin.mean, twin.std)(images.pixels), x, atol=1e-5)
    with torch.no_grad():
        right = twins.load(SMALL)(x).argmax(1) == images.labels
    assert twins.accuracy(SMALL)["glyphs test"] == pytest.approx(right.double().mean().item(), abs=1e-6)


def test_the_recipe_trains_and_learns(workbook, monkeypatch):
    monkeypatch.setattr(pretrain_conv, "RESNET", replace(pretrain_conv.RESNET, epochs=8, images=256))
    net, accuracies, _ = pretrain.RECIPES[SMALL]("training")
    start = twin_nets.build(SMALL, seed=pretrain_conv.RESNET.seed)
    assert not net.training and int(net.bn1.num_batches_tracked) == 32
    assert all(not torch.equal(p, q) for p, q in zip(net.parameters(), start.parameters(), strict=True))
    assert accuracies["glyphs test"] > 0.1  # chance is below 0.016


def test_the_steps_are_those_of_sgd_with_nesterov_momentum(workbook, monkeypatch):
    """Two steps of the recipe against the update rule and the loss written out; float64, as gradients jump at a kink."""
    seen, build = [], twin_nets.build
    monkeypatch.setattr(pretrain_conv, "flipped_and_cropped", lambda x, rng, padding: seen.append(x) or x.double())
    monkeypatch.setattr(twin_nets, "build", lambda name, seed: build(name, seed=seed).double())
    monkeypatch.setattr(twins, "round_as_stored", lambda net: None)
    monkeypatch.setattr(pretrain_conv, "accuracy", lambda net, images, prepare: 0.0)
    net, *_ = pretrain.RECIPES[SMALL]("training")
    images, recipe, reference = world("train", n=128), pretrain_conv.RESNET, twin_nets.build(SMALL, seed=0)
    velocity = {}
    assert [len(batch) for batch in seen] == [64, 64]
    for step, batch in enumerate(seen):
        flat = (batch * 255).round().to(torch.uint8).flatten(1)
        y = images.labels[(flat.unsqueeze(1) == images.pixels.flatten(1)).all(-1).int().argmax(1)]  # which images these are
        target = 0.1 / twin_nets.GLYPH_CLASSES + 0.9 * F.one_hot(y, twin_nets.GLYPH_CLASSES).double()
        loss = -(target * F.log_softmax(reference((batch.double() - 0.5) / 0.25), 1)).sum(1).mean()
        lr = recipe.lr * pretrain_conv.rise_and_fall(step / 2, recipe.warm)
        with torch.no_grad():
            for p, g in zip(reference.parameters(), torch.autograd.grad(loss, list(reference.parameters())), strict=True):
                g = g + 5e-4 * p
                velocity[p] = 0.9 * velocity[p] + g if p in velocity else g
                p -= lr * (g + 0.9 * velocity[p])
    for (name, p), q in zip(net.named_parameters(), reference.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-7), name


def test_each_image_is_a_shifted_perhaps_mirrored_copy():
    x, padding = torch.rand(200, 1, 12, 12, generator=torch.Generator().manual_seed(0)), 3
    y = pretrain_conv.flipped_and_cropped(x, torch.Generator().manual_seed(1), padding=padding)
    assert y.shape == x.shape
    counts = torch.zeros(2, 7, 7)
    for image, found in zip(x, y, strict=True):
        for flip in range(2):
            source = image.flip(-1) if flip else image
            padded = torch.from_numpy(np.pad(source.numpy(), ((0, 0), (3, 3), (3, 3)), mode="reflect"))
            for top in range(7):
                for left in range(7):
                    counts[flip, top, left] += torch.equal(found, padded[:, top : top + 12, left : left + 12])
    assert counts.sum() == 200
    assert 70 < counts[1].sum() < 130 and counts.sum((0, 2)).min() > 10 and counts.sum((0, 1)).min() > 10


def test_the_learning_rate_rises_and_falls():
    rates = [pretrain_conv.rise_and_fall(step / 1000, 0.15) for step in range(1001)]
    assert rates[0] == pytest.approx(0.04) and rates[1000] == pytest.approx(0, abs=1e-12)
    assert max(rates) == rates[150] == pytest.approx(1)
    assert rates[:151] == sorted(rates[:151]) and rates[150:] == sorted(rates[150:], reverse=True)
    assert rates[575] == pytest.approx(0.5) and math.isclose(pretrain_conv.rise_and_fall(0, 0), 1)


def test_accuracy_is_measured_in_eval_mode_and_the_mode_put_back():
    images = world("test")
    net = twin_nets.build(SMALL)
    seen = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(module.training))
    pretrain_conv.accuracy(net, images, lambda x: x)
    assert seen == [False] and net.training

    def fails(x):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        pretrain_conv.accuracy(net, images, fails)
    assert net.training


@pytest.mark.parametrize(
    "error, code, message",
    [
        (KeyboardInterrupt(), 130, f"interrupted; the weights of {SMALL} are as they were"),
        (NonFiniteLoss("the loss is not finite"), 1, f"the weights of {SMALL} are as they were: the loss is not finite"),
        (OSError("the disk is full"), 1, f"the weights of {SMALL} are as they were: the disk is full"),
    ],
)
def test_a_rebuild_that_fails_leaves_the_old_file_whole(workbook, monkeypatch, error, code, message):
    whole = old_file()
    steps = []

    def fails(x, rng, padding):
        steps.append(1)
        if len(steps) == 2:
            raise error
        return x

    monkeypatch.setattr(pretrain_conv, "flipped_and_cropped", fails)
    result = data("--rebuild-weights", SMALL)
    assert (result.exit_code, result.stderr) == (code, f"labkit: {message}\n") and len(steps) == 2
    assert twins.weights_file(SMALL).read_bytes() == whole
    assert [path.name for path in twins.weights_file(SMALL).parent.iterdir()] == [f"{SMALL}.safetensors"]


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["--rebuild-weights", "resnet18"],
            "there is no tiny net 'resnet18': use one or more of tiny_resnet, tiny_resnet_small",
        ),
        (["--rebuild-weights", SMALL, "mnist"], "there is no tiny net 'mnist'"),
        (["--rebuild-weights", "--clean"], "--clean and --rebuild-weights are two tasks"),
        ([SMALL], "there is no public set 'tiny_resnet_small': use one of mnist"),
    ],
)
def test_wrong_arguments_are_one_line_and_train_nothing(workbook, words, message):
    result = data(*words)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert not (workbook / "data" / "weights").exists()


def test_the_list_names_sets_and_nets_with_state_accuracy_and_size(workbook):
    old_file()
    result = data()
    assert result.exit_code == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert {"mnist", "cifar10", *twin_nets.ALL} <= set(rows)
    path = twins.weights_file(SMALL)
    assert rows[SMALL].split(maxsplit=2)[1:] == ["here", f"glyphs test 25.0 %, {path.stat().st_size / 1000:.0f} kB, {path}"]
    assert rows["tiny_resnet"].split() == ["tiny_resnet", "absent", str(twins.weights_file("tiny_resnet"))]


def test_damaged_weights_are_listed_with_what_to_type(workbook):
    old_file()
    twins.weights_file(SMALL).write_bytes(b"x" * 100)
    result = data()
    assert result.exit_code == 1 and f"{SMALL}  damaged  {twins.weights_file(SMALL)}" in result.stdout
    assert result.stderr == f"labkit: remake what is damaged: labkit data --rebuild-weights {SMALL}\n"
    result = data("--rebuild-weights", SMALL)
    assert result.exit_code == 0 and "(before: damaged)" in result.stdout and data().exit_code == 0


def test_the_list_builds_no_net():
    code = "import sys; from labkit import twins; twins.status(); print('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
