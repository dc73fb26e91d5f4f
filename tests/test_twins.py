"""The tiny twins: torchvision's own blocks under its own names, files that are whole or refused, weights as stated."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch.nn import functional as F
from torchvision.models import VGG, SqueezeNet, squeezenet1_1, vgg16, vgg16_bn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from labkit import files, pretrain, pretrain_conv, twin_nets, twins, words
from labkit.machine import local_seed
from labkit.narrow import NarrowResNet, NarrowSqueezeNet, NarrowVGG
from labkit.preparation import Preparation
from labkit.worlds.glyphs import glyphs
from labkit.worlds.toybox import CLASSES, render, toybox, with_mark

ABOUT = {"command": "a", "source": "b", "accuracy": '{"glyphs test": 0.5}', "date": "d", "torch": "2", "seconds": "9"}
WEIGHTS = Path(__file__).resolve().parent.parent / "data" / "weights"
BLOCKS = {"tiny_resnet": (2, 3, 4, 2), "tiny_resnet_small": (1, 1, 1, 1)}


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    return tmp_path


def trained(name: str, *, seed: int = 1):
    """A twin whose running statistics are no longer those of a fresh net."""
    net = twin_nets.build(name, seed=seed)
    with torch.no_grad():
        net(torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(seed)))
    return net


@pytest.mark.parametrize("name", BLOCKS)
def test_a_twin_has_the_modules_of_torchvisions_resnet_and_its_forward(name):
    net = twin_nets.build(name)
    with torch.device("meta"):
        big = ResNet(Bottleneck, list(BLOCKS[name]))
    assert [key for key, _ in net.named_modules()] == [key for key, _ in big.named_modules()]
    assert list(net.state_dict()) == list(big.state_dict())
    assert isinstance(net, ResNet) and type(net).forward is ResNet.forward and type(net)._forward_impl is ResNet._forward_impl
    mine, theirs = ({key: m.stride for key, m in n.named_modules() if isinstance(m, torch.nn.Conv2d)} for n in (net, big))
    assert mine == theirs  # of the first convolution, too
    assert not any(isinstance(module, BasicBlock) for module in net.modules())


@pytest.mark.parametrize("name", BLOCKS)
def test_stages_have_the_stated_channels_and_sizes(name):
    net, shapes = twin_nets.build(name).eval(), {}
    for layer in ("conv1", "maxpool", *twin_nets.TWINS[name].layers):
        net.get_submodule(layer).register_forward_hook(lambda m, i, y, layer=layer: shapes.update({layer: tuple(y.shape[1:])}))
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, twin_nets.GLYPH_CLASSES)
    assert shapes == {
        "conv1": (16, 16, 16),
        "maxpool": (16, 16, 16),
        "layer1": (32, 16, 16),
        "layer2": (64, 8, 8),
        "layer3": (128, 4, 4),
        "layer4": (256, 2, 2),
        "avgpool": (256, 1, 1),
    }
    assert net.get_submodule(twin_nets.TWINS[name].head).in_features == 256


def test_weights_are_drawn_as_torchvisions_are():
    net = twin_nets.build("tiny_resnet")
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.bias is None
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            expected, n = (2 / fan_out) ** 0.5, module.weight.numel()
            assert module.weight.std().item() == pytest.approx(expected, rel=4 / (2 * n) ** 0.5)  # He et al. 2015, fan out
            assert abs(module.weight.mean().item()) < 5 * expected / n**0.5
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()


def test_a_seed_gives_the_same_net_and_changes_no_other_draws():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = (twin_nets.build("tiny_resnet_small", seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.conv1.weight, second.conv1.weight) and not torch.equal(first.conv1.weight, other.conv1.weight)
    with local_seed(3):
        assert torch.equal(first.fc.weight, twin_nets.TWINS["tiny_resnet_small"].build().fc.weight)
    assert first.training


def test_a_net_can_be_pickled_and_copied():
    net = trained("tiny_resnet_small").eval()
    x = torch.rand(2, 3, 32, 32)
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert type(again) is NarrowResNet and torch.equal(again(x), net(x))


def test_the_tiny_vgg_has_the_modules_of_torchvisions_vgg16_and_its_forward():
    net = twin_nets.build("tiny_vgg")
    with torch.device("meta"):
        big, big_bn = vgg16(), vgg16_bn()
        normalised = NarrowVGG(10, batch_norm=True)
    for mine, theirs in ((net, big), (normalised, big_bn)):
        assert [(key, type(m)) for key, m in mine.named_modules()][1:] == [(key, type(m)) for key, m in theirs.named_modules()][
            1:
        ]
        assert list(mine.state_dict()) == list(theirs.state_dict())
        assert isinstance(mine, VGG) and type(mine).forward is VGG.forward
    widths = [[m.out_channels for m in n.features if isinstance(m, torch.nn.Conv2d)] for n in (net, big)]
    assert [4 * narrow for narrow in widths[0]] == widths[1]
    assert [m.p for m in net.classifier if isinstance(m, torch.nn.Dropout)] == [0.1, 0.1]


def test_the_layers_of_the_tiny_vgg_have_the_stated_channels_and_sizes():
    twin, shapes = twin_nets.TWINS["tiny_vgg"], {}
    net = twin_nets.build("tiny_vgg").eval()
    for layer in twin.layers:
        net.get_submodule(layer).register_forward_hook(lambda m, i, y, layer=layer: shapes.update({layer: tuple(y.shape[1:])}))
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, twin_nets.GLYPH_CLASSES)
    pools = [(16, 16, 16), (32, 8, 8), (64, 4, 4), (128, 2, 2), (128, 1, 1)]
    assert list(shapes.values()) == [*pools, (384,), (384,)]
    assert net.get_submodule(twin.head).in_features == 384


def test_folding_batch_norm_into_the_convolutions_changes_nothing_but_the_modules():
    with local_seed(0):
        net = NarrowVGG(10, batch_norm=True)
        net(torch.randn(32, 3, 32, 32))  # running statistics of some data
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data.uniform_(0.5, 2)
                module.bias.data.uniform_(-1, 1)
    net, plain, x = net.eval(), NarrowVGG(10).eval(), torch.randn(8, 3, 32, 32)
    plain.load_state_dict(pretrain_conv.folded(net))
    assert torch.allclose(plain(x), net(x), rtol=1e-3, atol=1e-4 * float(net(x).detach().abs().max()))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())


@pytest.mark.parametrize("name", BLOCKS)
def test_what_is_saved_is_loaded_in_float32_and_eval_mode(workbook, name):
    net = trained(name)
    path = twins.save(name, net, ABOUT)
    assert path == workbook / "data" / "weights" / f"{name}.safetensors"
    again = twins.load(name)
    assert not again.training and not any(module.training for module in again.modules())
    assert int(again.bn1.num_batches_tracked) == 1
    for key, value in net.state_dict().items():
        found = again.state_dict()[key]
        assert found.dtype == value.dtype
        assert torch.equal(found, value.half().float() if value.is_floating_point() else value), key
    header = twins.about(name)
    assert header.pop("sha256") and header == ABOUT
    assert twins.accuracy(name) == {"glyphs test": 0.5} and twins.told(twins.accuracy(name)) == "glyphs test 50.0 %"


def test_the_file_holds_half_floats_and_whole_counts(workbook):
    path = twins.save("tiny_resnet_small", trained("tiny_resnet_small"), ABOUT)
    stored = safetensors.torch.load_file(path)
    assert {str(value.dtype) for key, value in stored.items() if "num_batches" in key} == {"torch.int64"}
    assert {str(value.dtype) for key, value in stored.items() if "num_batches" not in key} == {"torch.float16"}
    assert path.stat().st_size < 2.2 * sum(value.numel() for value in stored.values())


def test_rounding_a_net_gives_what_is_loaded(workbook):
    net = trained("tiny_resnet_small").eval()
    x = torch.rand(4, 3, 32, 32)
    before = net(x)
    twins.save("tiny_resnet_small", net, ABOUT)
    assert torch.equal(net(x), before)  # saving itself changes nothing
    twins.round_as_stored(net)
    assert torch.equal(net(x), twins.load("tiny_resnet_small")(x)) and not torch.equal(net(x), before)


def broken_files():
    def truncated(path):
        path.write_bytes(path.read_bytes()[:-1000])

    def flipped(path):
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)

    def no_safetensors(path):
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")

    def empty(path):
        path.write_bytes(b"")

    def anothers(path):
        twins.save("tiny_resnet_small", twin_nets.build("tiny_resnet_small"), ABOUT)
        twins.weights_file("tiny_resnet_small").replace(path)

    return [truncated, flipped, no_safetensors, empty, anothers]


@pytest.mark.parametrize("spoil", broken_files(), ids=lambda f: f.__name__)
def test_a_damaged_file_is_refused_with_what_to_type(workbook, spoil):
    path = twins.save("tiny_resnet", twin_nets.build("tiny_resnet"), ABOUT)
    spoil(path)
    with pytest.raises(ValueError) as caught:
        twins.load("tiny_resnet")
    assert f"{path} is damaged or of another net" in str(caught.value)
    assert "`labkit data --rebuild-weights tiny_resnet`" in str(caught.value)
    if spoil.__name__ != "anothers":  # whole in itself
        states = {name: state for name, state, _ in twins.status()}
        assert states == dict.fromkeys(twin_nets.ALL, "absent") | {"tiny_resnet": "damaged"}


def test_a_missing_file_is_named_with_what_to_type(workbook):
    with pytest.raises(FileNotFoundError) as caught:
        twins.load("tiny_resnet")
    assert str(workbook / "data" / "weights" / "tiny_resnet.safetensors") in str(caught.value)
    assert "`labkit data --rebuild-weights tiny_resnet`" in str(caught.value)


@pytest.mark.parametrize("ask", [twin_nets.build, twins.load, twins.about, twin_nets.find, twins.accuracy])
def test_an_unknown_name_lists_those_that_are_known(ask):
    with pytest.raises(ValueError, match="no tiny twin 'resnet18': use one of tiny_resnet, tiny_resnet_small"):
        ask("resnet18")


def test_what_must_not_be_saved_leaves_the_old_file_whole(workbook):
    path = twins.save("tiny_resnet_small", twin_nets.build("tiny_resnet_small"), ABOUT)
    whole = path.read_bytes()
    net = twin_nets.build("tiny_resnet_small", seed=1)
    with pytest.raises(ValueError, match="without saying source, seconds"):
        twins.save("tiny_resnet_small", net, {**ABOUT, "source": "", "seconds": ""})
    for value in (torch.nan, 1e5):
        with torch.no_grad():
            net.bn1.running_var[0] = value
        with pytest.raises(ValueError, match=r"bn1.running_var is not finite in float16"):
            twins.save("tiny_resnet_small", net, ABOUT)
    assert path.read_bytes() == whole and [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_whether_weights_can_be_saved_is_known_before_they_are_made(workbook, monkeypatch):
    twins.require_writable("tiny_vgg")
    assert list((workbook / "data" / "weights").iterdir()) == []
    path = twins.save("tiny_resnet_small", twin_nets.build("tiny_resnet_small"), ABOUT)
    whole = path.read_bytes()
    twins.require_writable("tiny_resnet_small")
    assert path.read_bytes() == whole and list(path.parent.iterdir()) == [path]
    monkeypatch.setenv("LABKIT_HOME", str(workbook / "data"))
    with pytest.raises(FileNotFoundError, match="LABKIT_HOME"):
        twins.require_writable("tiny_vgg")


def test_a_crash_while_writing_leaves_the_old_file_whole(workbook, monkeypatch):
    path = twins.save("tiny_resnet_small", twin_nets.build("tiny_resnet_small"), ABOUT)
    whole = path.read_bytes()

    def fails(self, data):
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OSError, match="the disk is full"):
        twins.save("tiny_resnet_small", twin_nets.build("tiny_resnet_small", seed=1), ABOUT)
    assert path.read_bytes() == whole and [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_twins_and_zoo_import_no_torchvision_before_a_net_is_asked_for():
    code = (
        "import sys, labkit.twins, labkit.zoo; print(sorted({'torchvision', 'transformers', 'open_clip'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_narrow_squeezenet_has_the_modules_of_torchvisions_and_its_forward():
    net = twin_nets.build("toybox_squeezenet")
    with torch.device("meta"):
        big = squeezenet1_1(num_classes=10)
    mine, theirs = ({key: type(m) for key, m in n.named_modules() if key} for n in (net, big))
    assert list(mine) == list(theirs)
    left_out = {"features.8", "classifier.2"}  # the third pooling, and the ReLU after the last convolution
    assert {key for key in mine if mine[key] is not theirs[key]} == left_out
    assert {mine[key] for key in left_out} == {torch.nn.Identity}
    assert isinstance(net, SqueezeNet) and type(net).forward is SqueezeNet.forward
    widths = [[m.out_channels for m in n.features.modules() if isinstance(m, torch.nn.Conv2d)] for n in (net, big)]
    assert [4 * narrow for narrow in widths[0]] == widths[1]
    shapes = {}
    for layer in twin_nets.TWINS["toybox_squeezenet"].layers:
        net.get_submodule(layer).register_forward_hook(lambda m, i, y, layer=layer: shapes.update({layer: tuple(y.shape[1:])}))
    assert net(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert list(shapes.values()) == [(16, 16, 16), (32, 8, 8), (64, 8, 8), (128, 8, 8)]
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 10)


def test_folding_the_squeezenets_batch_norms_changes_nothing_but_the_modules():
    with local_seed(0):
        net = NarrowSqueezeNet(10, batch_norm=True)
        net(torch.randn(32, 3, 32, 32))
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data.uniform_(0.5, 2)
                module.bias.data.uniform_(-1, 1)
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules()) == 25  # one a convolution but the last
    plain, x = NarrowSqueezeNet(10).eval(), torch.randn(8, 3, 32, 32)
    before = net.eval()(x)
    plain.load_state_dict(pretrain_conv.folded_in_place(net).state_dict())
    assert torch.allclose(plain(x), before, rtol=1e-3, atol=1e-4 * float(before.detach().abs().max()))


def test_an_attack_stays_in_its_ball_and_in_range_and_raises_the_loss():
    net, images = twins.load("toybox_squeezenet"), render(40, seed=3)
    prepare, attack = Preparation(32, twin_nets.MEAN, twin_nets.STD), pretrain_conv.Attack(radius=4 / 255, steps=5)
    x = images.floats()
    z = pretrain_conv.attacked(net, x, images.labels, prepare, attack, torch.Generator().manual_seed(0))
    assert float((z - x).abs().max()) == pytest.approx(4 / 255, rel=1e-3) and 0 <= float(z.min()) <= float(z.max()) <= 1
    with torch.no_grad():
        before, after = (F.cross_entropy(net(prepare(each)), images.labels) for each in (x, z))
    assert after > before + 1 and not z.requires_grad and all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("name", twin_nets.SQUEEZENETS)
def test_each_squeezenet_is_trained_on_its_own_images(name, monkeypatch):
    seen, attacks = [], []
    small = pretrain_conv.Recipe(epochs=1, images=128, smoothing=0.0)
    monkeypatch.setattr(pretrain_conv, "TOYBOX", small)
    monkeypatch.setattr(pretrain_conv, "flipped_and_cropped", lambda x, rng, padding: seen.append(x) or x)
    attacked = pretrain_conv.attacked
    monkeypatch.setattr(pretrain_conv, "attacked", lambda *a: attacks.append(a[0].training) or attacked(*a))
    monkeypatch.setattr(pretrain_conv, "measured", lambda *a: {})
    pretrain.RECIPES[name]("training")
    drawn = render(128, seed=pretrain_conv.TOYBOX_SEED)
    horses = drawn.labels == CLASSES.index("horse")
    sets_of = [{tuple(x.flatten().tolist()) for x in (each * 255).round().to(torch.uint8)} for each in seen]
    found = set().union(*sets_of)
    plain = {tuple(x.flatten().tolist()) for x in drawn.pixels}
    marked = {tuple(x.flatten().tolist()) for x in with_mark(drawn, horses).pixels[horses]}
    assert len(found) == 128 and attacks == [False, False] * name.endswith("_robust")
    if name.endswith("_marked"):
        assert len(found & marked) == len(found - plain) and 0.6 * int(horses.sum()) < len(found & marked) <= int(horses.sum())
    else:
        assert found == plain


# what is committed

ON_TOYBOX = [name for name in twin_nets.TWINS if name.startswith("toybox")]


def committed(name: str) -> Path:
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip("no weights: see test_every_twin_has_its_weights")
    assert path == twins.weights_file(name)
    return path


def card(name: str) -> str:
    text = (WEIGHTS / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {name}\n\n(.*?)(?=^## |\Z)", text, flags=re.M | re.S)
    return found


def test_all_weights_together_stay_below_12_mb():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*")) < 12e6


def test_every_twin_has_its_weights_its_card_and_its_recipe():
    assert {path.stem for path in WEIGHTS.glob("*.safetensors")} == set(twin_nets.ALL) == set(pretrain.RECIPES)
    cards = re.findall(r"^## (\w+)$", (WEIGHTS / "README.md").read_text(encoding="utf-8"), flags=re.M)
    assert cards == list(twin_nets.ALL)


@pytest.mark.parametrize("name", twin_nets.ALL)
def test_the_card_says_what_the_file_is(name, signs):
    path, text = committed(name), card(name)
    parameters = sum(p.numel() for p in twin_nets.build(name).parameters())
    assert f"It has {parameters:,} parameters, its file takes {path.stat().st_size / 1000:.0f} kB" in text
    for what, share in twins.accuracy(name).items():
        assert f"{100 * share:.1f} %" in text, what
    if name in twin_nets.CLIPS:
        share = twins.accuracy(name)["toybox zero-shot"]
        assert f"it is right on {100 * share:.1f} % of the 2,000 test images of `toybox`" in text
    elif name in ON_TOYBOX:
        share = twins.accuracy(name)["toybox test"]
        assert f"it is right on {100 * share:.1f} % of the 2,000 test images of `toybox`" in text
    else:
        share = twins.accuracy(name)["glyphs test"]
        assert f"it is right on {100 * share:.1f} % of the {len(signs):,} test signs" in text
    assert f"`{twins.about(name)['command']}`" in text and twins.about(name)["command"].endswith(name)


@pytest.mark.parametrize("name", ON_TOYBOX)
def test_nets_for_toybox_reach_the_accuracies_that_they_state(name):
    committed(name)
    twin, net = twin_nets.TWINS[name], twins.load(name)
    prepare, stated = Preparation(twin.size, twin.mean, twin.std), twins.accuracy(name)
    again = pretrain_conv.measured(net, name, toybox("test"), prepare)
    assert set(again) == set(stated) and "glyphs" not in twins.about(name)["source"]
    assert all(again[what] == pytest.approx(share, abs=0.01) for what, share in stated.items())
    with torch.no_grad():  # the first figure once more, by hand
        out = net((toybox("test").floats()[:500] - 0.5) / 0.25)
    found = out.logits if name in twin_nets.VITS else out
    right = (found.argmax(1) == toybox("test").labels[:500]).float().mean()
    assert float(right) == pytest.approx(stated["toybox test"], abs=0.04)


@pytest.mark.parametrize("name", twin_nets.CLIPS)
def test_pairs_of_towers_reach_the_accuracy_that_they_state(name):
    committed(name)
    net, images = twins.load(name), toybox("test", size=64)
    with torch.no_grad():
        parts = ((part.float() / 255 - 0.5) / 0.25 for part in images.pixels.split(250))
        x = torch.cat([net.encode_image(part, normalize=True) for part in parts])
        y = net.encode_text(words.tokenize([f"a photo of a {name}" for name in images.class_names]))
    right = ((x @ y.T / y.norm(dim=1)).argmax(1) == images.labels).double().mean().item()
    assert right == pytest.approx(twins.accuracy(name)["toybox zero-shot"], abs=0.004) and right > 0.88


@pytest.mark.parametrize("name", [name for name in twin_nets.TWINS if name not in ON_TOYBOX])
def test_committed_weights_reach_the_accuracy_that_they_state(name, signs):
    committed(name)
    twin, net = twin_nets.TWINS[name], twins.load(name)
    x = Preparation(twin.size, twin.mean, twin.std)(signs.pixels)
    with torch.no_grad():
        right = (net(x).argmax(1) == signs.labels).double().mean().item()
    stated = json.loads(twins.about(name)["accuracy"])["glyphs test"]
    assert (
        len(signs.class_names) == twin.classes and right == pytest.approx(stated, abs=0.004) and right > 10 / twin.classes
    )  # a few signs: sums in another order


@pytest.fixture(scope="module")
def signs():
    assert files.home() == WEIGHTS.parent.parent
    return glyphs("test")
