"""Backbones: names, layers and preprocessing against torchvision's own; weights found, fetched, refused, or stood in for."""

from __future__ import annotations

import hashlib
import io
import pickle
import urllib.error
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import get_model, get_weight
from torchvision.transforms._presets import ImageClassification

from labkit import twin_nets, twins, zoo
from labkit.files import OfflineError
from labkit.preparation import Preparation
from labkit.public import DamagedData, vision, weights

PUBLISHED = {  # number of parameters, as torchvision's documentation gives it
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "alexnet": 61_100_840,
    "inception_v3": 27_161_264,
    "squeezenet1_1": 1_235_496,
    "mobilenet_v2": 3_504_872,
}
WIDTHS = {"resnet18": 512, "resnet50": 2048, "resnet152": 2048, "vgg16": 4096, "vgg19": 4096, "alexnet": 4096}
WIDTHS |= {
    "inception_v3": 2048,
    "squeezenet1_1": 512,
    "mobilenet_v2": 1280,
    "tiny_resnet": 256,
    "tiny_resnet_small": 256,
    "tiny_vgg": 384,
    **dict.fromkeys(twin_nets.SQUEEZENETS, 128),
    "toybox_vgg": 384,
    "toybox_resnet": 256,
    **{name: width for name, (width, _) in twin_nets.VITS.items()},
}


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty torch.hub folder, and no network whatever the machine has."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    monkeypatch.delenv("LABKIT_RANDOM_WEIGHTS", raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


def official_file(name: str, hub: Path) -> Path:
    hub.mkdir(parents=True, exist_ok=True)
    return hub / get_weight(vision.TORCHVISION[name].weights).url.rsplit("/", 1)[-1]


def put_checkpoint(name: str, hub: Path, *, seed: int = 7, **options) -> nn.Module:
    """A net of torchvision with random weights, and its state dict under the official name."""
    torch.manual_seed(seed)
    net = get_model(name, weights=None)
    half = options.pop("half", False)
    state = {key: value.half() if half and value.is_floating_point() else value for key, value in net.state_dict().items()}
    torch.save(state, official_file(name, hub), **options)
    return net.eval()


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return twin_nets.TWINS[name].build() if name in twin_nets.TWINS else vision.build(name, init_weights=False)


def plan(name: str):
    return twin_nets.TWINS[name] if name in twin_nets.TWINS else vision.TORCHVISION[name]


def images(n: int = 4, size: int = 64) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


# the nets


def test_known_names():
    assert set(zoo.known()) == set(PUBLISHED) | set(twin_nets.TWINS) | set(zoo.hub.NETS)
    with pytest.raises(ValueError, match=f"backbone 'resnet9' is unknown: use one of {', '.join(twin_nets.TWINS)}, resnet18"):
        zoo.load("resnet9")
    with pytest.raises(ValueError, match="classes is 0"):
        zoo.load("resnet18", classes=0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_architectures_have_the_published_number_of_parameters(name):
    assert sum(p.numel() for p in on_meta(name).parameters()) == PUBLISHED[name]
    assert get_weight(vision.TORCHVISION[name].weights).meta["num_params"] == PUBLISHED[name]
    assert vision.TORCHVISION[name].weights.endswith("IMAGENET1K_V1")


@pytest.mark.parametrize("name", [*twin_nets.TWINS, *vision.TORCHVISION])
def test_layers_come_in_the_order_of_the_forward_pass_and_the_head_last(name):
    net, order, inputs = on_meta(name).eval(), [], {}
    names = (*plan(name).layers, plan(name).head)
    assert set(names) <= {key for key, _ in net.named_modules()} and len(set(names)) == len(names)
    for layer in names:
        net.get_submodule(layer).register_forward_hook(lambda m, i, o, layer=layer: order.append(layer))
        net.get_submodule(layer).register_forward_hook(lambda m, i, o, layer=layer: inputs.update({layer: i[0]}))
    size = plan(name).size
    out = net(torch.empty(2, 3, size, size, device="meta"))
    assert tuple(order) == names
    out = getattr(out, "logits", out)
    assert inputs[names[-1]].shape[1] == WIDTHS[name] == zoo._head_shape(net, names[-1])[0]
    assert out.shape == (2, zoo._head_shape(net, names[-1])[1])
    assert net.get_submodule(names[-1]) is [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "alexnet"])
def test_layers_of_vgg_are_all_poolings_and_both_hidden_layers(name):
    net = on_meta(name)
    features = [f"features.{k}" for k, m in enumerate(net.features) if isinstance(m, nn.MaxPool2d)]
    layers = vision.TORCHVISION[name].layers
    assert set(features) <= set(layers)
    assert name == "alexnet" or features == [layer for layer in layers if layer.startswith("features")]
    hidden = [layer for layer in layers if layer.startswith("classifier")]
    assert len(hidden) == 2
    for layer, before in zip(hidden, (0, 3) if name != "alexnet" else (1, 4), strict=True):
        assert isinstance(net.get_submodule(layer), nn.ReLU) and isinstance(net.classifier[before], nn.Linear)
        assert int(layer.split(".")[1]) == before + 1


@pytest.mark.parametrize("name", ["tiny_resnet", "resnet18", "alexnet", "squeezenet1_1", "mobilenet_v2"])
def test_what_a_layer_gives_is_not_overwritten_by_what_comes_after_it(name):
    backbone, kept = zoo.load(name, pretrained=False), {}
    for layer in backbone.layers:
        module = backbone.net.get_submodule(layer)
        module.register_forward_hook(lambda m, i, o, layer=layer: kept.update({layer: (o, o.clone())}))
    with torch.no_grad():
        backbone.net(backbone.prepare(images())[:, :, :96, :96])
    assert all(torch.equal(given, then) for given, then in kept.values()) and len(kept) == len(backbone.layers)


# their weights


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_weights_at_hand_give_torchvisions_own_outputs(hub, name):
    reference = put_checkpoint(name, hub)
    backbone = zoo.load(name)
    x = images()
    with torch.no_grad():
        assert torch.allclose(backbone.net(x), reference(x), atol=1e-4)
    for key, value in reference.state_dict().items():
        assert torch.equal(backbone.net.state_dict()[key], value), key
    assert backbone.name == name and backbone.width == WIDTHS[name] and backbone.classes == 1000
    assert backbone.distrust is None
    assert all(p.requires_grad and not p.is_meta for p in backbone.net.parameters())
    file = official_file(name, hub)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert backbone.provenance == (
        f"{name}: {vision.TORCHVISION[name].weights} ({file.name}, not the official file: SHA-256 {digest}...)"
    )


def test_inception_reads_a_file_with_the_second_head_and_then_works_without_it(hub):
    reference = put_checkpoint("inception_v3", hub)
    reference.transform_input = True  # as torchvision sets it for these weights
    backbone = zoo.load("inception_v3", classes=10)
    assert backbone.net.AuxLogits is None and not backbone.net.aux_logits and backbone.prepare.size == 299
    x, found = torch.rand(2, 3, 299, 299), {}
    for net in (reference, backbone.net):
        net.avgpool.register_forward_hook(lambda m, i, o, net=net: found.update({net: o}))
    with torch.no_grad():
        reference(x)
        assert backbone.net(x).shape == (2, 10)
    assert (found[reference] - found[backbone.net]).norm() < 1e-3 * found[reference].norm()
    assert backbone.net.train()(x).shape == (2, 10)  # a plain tensor in training, too


@pytest.mark.parametrize("options", [{"half": True}, {"_use_new_zipfile_serialization": False}], ids=["float16", "old format"])
def test_other_formats_of_a_checkpoint_are_taken(hub, options):
    reference = put_checkpoint("squeezenet1_1", hub, **options)
    backbone = zoo.load("squeezenet1_1")
    assert {p.dtype for p in backbone.net.parameters()} == {torch.float32}
    for p, q in zip(backbone.net.parameters(), reference.parameters(), strict=True):
        assert torch.equal(p, q.half().float() if "half" in options else q)


def test_a_backbone_is_in_eval_mode_and_channels_last_on_its_device(hub):
    put_checkpoint("resnet18", hub)
    for backbone in (zoo.load("resnet18"), zoo.load("tiny_resnet", pretrained=False), zoo.load("resnet18", pretrained=False)):
        assert not any(module.training for module in backbone.net.modules())
        convs = [m.weight for m in backbone.net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1]
        assert convs and all(w.is_contiguous(memory_format=torch.channels_last) for w in convs)
        assert {p.device.type for p in backbone.net.parameters()} == {"cpu"}
    with pytest.raises(ValueError, match="device 'tpu' is not on this machine"):
        zoo.load("resnet18", device="tpu")


def test_absent_weights_offline_name_file_and_folder(hub):
    with pytest.raises(OfflineError) as caught:
        zoo.load("resnet18")
    assert str(hub / "resnet18-f37072fd.pth") in str(caught.value) and "LABKIT_OFFLINE" in str(caught.value)
    assert not hub.exists()


def served(content: bytes, monkeypatch):
    class Answer(io.BytesIO):
        def info(self):
            return {}

    class Headers(dict):
        def get_all(self, name):
            return [str(len(content))]

    monkeypatch.setattr(Answer, "info", lambda self: Headers())
    asked = []
    monkeypatch.setattr("torch.hub.urlopen", lambda request: asked.append(request.full_url) or Answer(content))
    return asked


def test_weights_are_downloaded_once_into_torch_hubs_folder(hub, monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")
    content = b"weights"
    url = f"https://example.org/models/net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    asked = served(content, monkeypatch)
    path = weights.official("net", url)
    assert path == hub / url.rsplit("/", 1)[-1] and path.read_bytes() == content
    assert weights.official("net", url) == path and asked == [url]
    assert weights.told(path) == path.name  # the official file
    assert [entry.name for entry in hub.iterdir()] == [path.name]


def test_the_url_is_torchvisions_own(hub, monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")
    asked = served(b"", monkeypatch)
    with pytest.raises(OfflineError, match="invalid hash value"):
        zoo.load("resnet18")
    assert asked == [torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url]


@pytest.mark.parametrize("failure", ["no network", "refused", "other bytes", "time out"])
def test_a_failed_download_names_file_and_folder_and_leaves_nothing(hub, monkeypatch, failure):
    monkeypatch.delenv("LABKIT_OFFLINE")
    errors = {
        "no network": urllib.error.URLError("Temporary failure in name resolution"),
        "refused": urllib.error.HTTPError("https://example.org/x", 403, "Forbidden", None, None),  # type: ignore[arg-type]
        "time out": TimeoutError("timed out"),
    }

    def fails(request):
        raise errors[failure]

    if failure == "other bytes":
        served(b"a login page", monkeypatch)
    else:
        monkeypatch.setattr("torch.hub.urlopen", fails)
    with pytest.raises(OfflineError) as caught:
        zoo.load("squeezenet1_1")
    message = str(caught.value)
    assert "the weights of squeezenet1_1 could not be downloaded" in message and "://" not in message
    assert f"put squeezenet1_1-b8a52dc0.pth into {hub}" in message
    assert not list(hub.iterdir())


def test_a_full_disk_is_no_failure_of_the_network(hub, monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")

    def fails(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.hub.download_url_to_file", fails)
    with pytest.raises(OSError, match=r"squeezenet1_1-b8a52dc0.pth could not be written .* set TORCH_HOME") as caught:
        zoo.load("squeezenet1_1")
    assert not isinstance(caught.value, OfflineError)


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a checkpoint was run')",))


def spoilers():
    def truncated(path):
        path.write_bytes(path.read_bytes()[:-5000])

    def empty(path):
        path.write_bytes(b"")

    def page(path):
        path.write_text("<html>please log in</html>")

    def another_net(path):
        torch.save(get_model("mobilenet_v2", weights=None).state_dict(), path)

    def other_shapes(path):
        torch.save(get_model("squeezenet1_1", weights=None, num_classes=7).state_dict(), path)

    def lacking(path):
        state = get_model("squeezenet1_1", weights=None).state_dict()
        torch.save({key: value for key, value in state.items() if key != "features.3.squeeze.bias"}, path)

    def whole_net(path):
        torch.save(get_model("squeezenet1_1", weights=None), path)

    def nested(path):
        torch.save({"state_dict": get_model("squeezenet1_1", weights=None).state_dict()}, path)

    def code(path):
        torch.save({"features.0.weight": Evil()}, path)

    def old_code(path):
        path.write_bytes(pickle.dumps(Evil()))

    return [truncated, empty, page, another_net, other_shapes, lacking, whole_net, nested, code, old_code]


@pytest.mark.parametrize("spoil", spoilers(), ids=lambda f: f.__name__)
def test_a_damaged_or_wrong_file_is_refused_and_left_alone(hub, monkeypatch, spoil):
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")  # for absent files, not for damaged ones
    put_checkpoint("squeezenet1_1", hub)
    path = official_file("squeezenet1_1", hub)
    spoil(path)
    content = path.read_bytes()
    with pytest.raises(DamagedData) as caught:
        zoo.load("squeezenet1_1")
    message = str(caught.value)
    assert message.startswith(f"{path} is not the official file of squeezenet1_1, or is truncated (")
    assert f"should begin with b8a52dc0 and begins with {hashlib.sha256(content).hexdigest()[:8]}. Delete it" in message
    assert len(message) < len(str(path)) + 400 and "\n" not in message
    assert path.read_bytes() == content


@pytest.mark.parametrize("why", ["offline", "no network"])
def test_random_weights_stand_in_only_when_asked_to_and_are_not_trusted(hub, monkeypatch, why):
    if why == "no network":
        monkeypatch.delenv("LABKIT_OFFLINE")

        def fails(request):
            raise urllib.error.URLError("no network")

        monkeypatch.setattr("torch.hub.urlopen", fails)
    for value in ("", "0"):
        monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", value)
        with pytest.raises(OfflineError):
            zoo.load("squeezenet1_1")
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    backbone = zoo.load("squeezenet1_1", seed=3)
    assert backbone.distrust == "random weights"
    assert "random weights (seed 3) in place of SqueezeNet1_1_Weights.IMAGENET1K_V1" in backbone.provenance
    meant = zoo.load("squeezenet1_1", seed=3, pretrained=False)
    assert meant.distrust is None and "in place of" not in meant.provenance
    assert torch.equal(meant.net.features[0].weight, backbone.net.features[0].weight)


def test_weights_at_hand_go_before_random_ones(hub, monkeypatch):
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    reference = put_checkpoint("squeezenet1_1", hub)
    backbone = zoo.load("squeezenet1_1")
    assert backbone.distrust is None and torch.equal(backbone.net.features[0].weight, reference.features[0].weight)


# random weights and fresh heads


def test_random_weights_are_torchvisions_under_the_seed_and_change_no_other_draws():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    backbone = zoo.load("resnet18", pretrained=False, seed=11)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(11)
    reference = get_model("resnet18", weights=None)
    assert all(torch.equal(p, q) for p, q in zip(backbone.net.parameters(), reference.parameters(), strict=True))
    assert backbone.provenance == "resnet18: random weights (seed 11)"


@pytest.mark.parametrize("name", ["tiny_resnet_small", "resnet18", "squeezenet1_1", "mobilenet_v2"])
def test_a_fresh_head_leaves_the_rest_and_is_drawn_from_the_seed(name):
    plain = zoo.load(name, pretrained=False, seed=2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (zoo.load(name, pretrained=False, classes=10, seed=2) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert first.classes == 10 and first.width == plain.width == WIDTHS[name] and first.head == plain.head
    assert "a fresh head of 10 classes (seed 2)" in first.provenance
    for key, value in plain.net.state_dict().items():
        if not key.startswith(plain.head + "."):
            assert torch.equal(first.net.state_dict()[key], value), key
    head, again = first.net.get_submodule(first.head), second.net.get_submodule(first.head)
    assert torch.equal(head.weight, again.weight) and torch.equal(head.bias, again.bias)
    other = zoo.load(name, pretrained=False, classes=10, seed=3)
    assert not torch.equal(head.weight, other.net.get_submodule(first.head).weight)
    with torch.no_grad():
        assert first.net(images(2, 96)).shape == (2, 10)
    assert not any(m.training for m in first.net.modules())


def test_a_fresh_head_on_weights_at_hand_keeps_the_features(hub):
    reference = put_checkpoint("squeezenet1_1", hub)
    backbone = zoo.load("squeezenet1_1", classes=3, seed=1)
    x = images()
    with torch.no_grad():
        assert torch.allclose(backbone.net.features(x), reference.features(x), atol=1e-4)
    assert backbone.net.classifier[1].out_channels == 3 and backbone.distrust is None


def test_the_control_has_the_same_shape_and_other_weights(hub):
    put_checkpoint("resnet18", hub)
    backbone = zoo.load("resnet18", classes=10)
    control = zoo.random_like(backbone, 4)
    mine, theirs = backbone.net.state_dict(), control.net.state_dict()
    assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in theirs.items()}
    assert not torch.equal(mine["layer3.0.conv1.weight"], theirs["layer3.0.conv1.weight"])
    assert (control.layers, control.head, control.prepare) == (backbone.layers, backbone.head, backbone.prepare)
    assert control.distrust is None and "random weights (seed 4)" in control.provenance
    assert torch.equal(zoo.random_like(backbone, 4).net.conv1.weight, control.net.conv1.weight)
    assert not torch.equal(zoo.random_like(backbone, 5).net.conv1.weight, control.net.conv1.weight)


def test_a_twin_comes_with_its_own_preparation(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="labkit data --rebuild-weights tiny_resnet"):
        zoo.load("tiny_resnet")
    about = {"command": "this one", "source": "b", "accuracy": "{}", "date": "d", "torch": "2", "seconds": "9"}
    net = twin_nets.build("tiny_resnet", seed=8)
    twins.save("tiny_resnet", net, about)
    backbone = zoo.load("tiny_resnet")
    assert backbone.prepare == Preparation(32, (0.5,) * 3, (0.25,) * 3)
    assert "made by `this one`" in backbone.provenance and backbone.distrust is None
    assert torch.equal(backbone.net.fc.weight, net.fc.weight.half().float()) and backbone.layers[-1] == "avgpool"
    assert backbone.classes == twin_nets.GLYPH_CLASSES


# preparation


@pytest.mark.parametrize("name", PUBLISHED)
def test_size_mean_and_deviation_are_those_of_the_weights(name):
    official = get_weight(vision.TORCHVISION[name].weights).transforms()
    assert [vision.TORCHVISION[name].size] == official.crop_size
    assert list(zoo.IMAGENET_MEAN) == official.mean and list(zoo.IMAGENET_STD) == official.std
    assert official.interpolation.value == "bilinear"


@pytest.mark.parametrize("side", [32, 96, 224, 300])
def test_preparation_is_torchvisions_transform_without_the_crop(side):
    prepare = Preparation(224, zoo.IMAGENET_MEAN, zoo.IMAGENET_STD)
    reference = ImageClassification(crop_size=224, resize_size=224)
    x = torch.randint(0, 256, (3, 3, side, side), generator=torch.Generator().manual_seed(side), dtype=torch.uint8)
    assert torch.allclose(prepare(x / 255), reference(x / 255), atol=1e-5)
    assert torch.allclose(prepare(x), prepare(x / 255), atol=1e-5)
    # torchvision rounds resized bytes to bytes; one step is 1 / 255 / 0.224
    assert (prepare(x) - reference(x)).abs().max() < 0.6 / 255 / 0.224


def test_grey_images_become_three_equal_channels_before_they_are_normalised():
    prepare = Preparation(32, zoo.IMAGENET_MEAN, zoo.IMAGENET_STD)
    x = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    assert prepare(x).shape == (2, 3, 32, 32)
    assert torch.allclose(prepare(x), prepare(x.expand(-1, 3, -1, -1)), atol=1e-5)


def test_an_image_of_the_right_size_is_only_normalised_and_not_changed_in_place():
    prepare = Preparation(8, (0.5, 0.4, 0.3), (0.25, 0.5, 1.0))
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    y = prepare(x)
    expected = torch.stack([(before[:, 0] - 0.5) / 0.25, (before[:, 1] - 0.4) / 0.5, before[:, 2] - 0.3], 1)
    assert y.dtype == torch.float64 and torch.allclose(y, expected, atol=1e-12) and torch.equal(x, before)
    y.sum().backward()
    assert x.grad is not None and torch.allclose(x.grad[:, 1], torch.tensor(2.0).double())


@pytest.mark.parametrize(
    "x, message",
    [
        (torch.rand(3, 8, 8), r"shape \(3, 8, 8\): give a batch \(B, C, H, W\) with C = 1 or 3; one image as x\[None\]"),
        (torch.rand(1, 4, 8, 8), r"shape \(1, 4, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "type torch.int64: give uint8 in 0..255, or floats in 0..1"),
    ],
)
def test_images_of_another_kind_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        Preparation(8, (0.5,) * 3, (0.5,) * 3)(x)


def test_the_cache_key_tells_preparations_apart_and_does_not_change():
    one = Preparation(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    others = [replace(one, size=64), replace(one, mean=(0.5, 0.5, 0.4)), replace(one, std=(0.25, 0.25, 0.3))]
    assert len({each.cache_key for each in (one, *others)}) == 4
    assert one.cache_key == "bilinear, antialiased, to 32; mean (0.5, 0.5, 0.5); std (0.25, 0.25, 0.25)"
    assert repr(one) == "Preparation(size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))"
