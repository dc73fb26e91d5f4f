"""Features: what hooks see and leave behind, pooling against plain means, one pass for all layers, and what is kept."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import time
import warnings
from collections import namedtuple
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck
from transformers.modeling_outputs import BaseModelOutput

from labkit import features as module
from labkit import files
from labkit.features import capture, extract, pool
from labkit.sets import Images

Pair = namedtuple("Pair", ["first", "second"])


class Net(nn.Module):
    """Names and in-place operations of torchvision's ResNet, at a width of 4."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        down = nn.Sequential(nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.layer1 = nn.Sequential(Bottleneck(4, 2, downsample=down), Bottleneck(8, 2))
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Identity()
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = self.layer1(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.drop(x.mean((2, 3))))


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net()
        for _ in range(3):  # statistics that are not those of a new net
            model(torch.randn(16, 3, 8, 8) * 0.3 + 0.4)
    return model.eval()


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    folder = tmp_path / "workbook"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(folder))
    return folder


def pictures(n: int = 10, seed: int = 0, size: int = 8) -> Images:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (n, 3, size, size), generator=rng, dtype=torch.uint8)
    return Images(pixels, torch.zeros(n, dtype=torch.int64), ("a",), "made", "test", "this test")


def batch(n: int = 5) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


# --- capture


def by_hand(net: Net, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The inner outputs of the net, without any in-place operation."""
    out = {"conv1": net.conv1(x)}
    out["bn1"] = net.bn1(out["conv1"])
    out["relu"] = h = F.relu(out["bn1"])
    for i, block in enumerate(net.layer1):
        name = f"layer1.{i}"
        out[f"{name}.bn1"] = block.bn1(block.conv1(h))
        out[f"{name}.bn2"] = block.bn2(block.conv2(F.relu(out[f"{name}.bn1"])))
        out[f"{name}.conv3"] = block.conv3(F.relu(out[f"{name}.bn2"]))
        out[f"{name}.bn3"] = block.bn3(out[f"{name}.conv3"])
        shortcut = h
        if block.downsample is not None:
            out[f"{name}.downsample"] = shortcut = block.downsample(h)
        out[name] = h = F.relu(out[f"{name}.bn3"] + shortcut)
    out["layer1"] = h
    out[""] = net.fc(h.mean((2, 3)))
    return out


@pytest.mark.parametrize("grad", [False, True])
def test_captured_outputs_are_those_before_any_inplace_operation(net, grad):
    expected = by_hand(net, batch())
    plain = net(batch())
    with torch.set_grad_enabled(grad), capture(net, expected) as maps:
        out = net(batch())
    assert set(maps) == set(expected) and torch.equal(out, plain)
    for name, value in expected.items():
        torch.testing.assert_close(maps[name], value, rtol=0, atol=0, msg=name)
        assert maps[name].requires_grad is grad
    assert (maps["layer1.0.bn1"] < 0).any() and (maps["layer1.0.bn3"] < 0).any()
    assert hooks(net) == 0 and torch.equal(net(batch()), plain)


def test_what_is_done_to_a_captured_tensor_does_not_reach_the_net_nor_its_input_through_an_alias():
    class Alias(nn.Module):
        def __init__(self):
            super().__init__()
            self.same = nn.Identity()

        def forward(self, x):
            y = self.same(x)  # y is x
            x.add_(1)
            return x + y

    for requires_grad in (False, True):
        x = torch.ones(2, 3, requires_grad=requires_grad) * 1.0
        model = Alias()
        with capture(model, ["same"]) as maps:
            model(x)
        assert maps["same"].tolist() == torch.ones(2, 3).tolist()
        with torch.no_grad():
            maps["same"].zero_()
        assert x.tolist() == (2 * torch.ones(2, 3)).tolist()


def test_gradients_reach_a_captured_tensor_from_the_output_and_the_input_from_it(net):
    x = batch().requires_grad_()
    expected = by_hand(net, x)
    names = ["layer1.0.bn1", "layer1.0", "layer1.1.bn3"]
    wanted = torch.autograd.grad(expected[""].square().sum(), [expected[name] for name in names], retain_graph=True)
    with capture(net, names) as maps:
        loss = net(x).square().sum()
    found = torch.autograd.grad(loss, [maps[name] for name in names], retain_graph=True)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)
        assert a.abs().sum() > 0
    (back,) = torch.autograd.grad(maps["layer1.0.bn1"].square().sum(), x)
    torch.testing.assert_close(back, torch.autograd.grad(expected["layer1.0.bn1"].square().sum(), x)[0])
    for a, b in zip(net(batch()), by_hand(net, batch())[""], strict=True):
        torch.testing.assert_close(a, b)


def test_parameter_gradients_are_the_same_with_and_without_hooks(net):
    net.train()
    twin = deepcopy(net)
    for model, names in ((net, ["conv1", "layer1.0.bn3", "layer1"]), (twin, ["unused"])):
        torch.manual_seed(3)
        with capture(model, names):
            model(batch()).square().sum().backward()
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_go_also_after_an_exception_and_others_stay(net, error):
    handle = net.bn1.register_forward_hook(lambda *_: None)
    with pytest.raises(error), capture(net, ["bn1", "layer1"]):
        raise error
    assert hooks(net) == 1
    with pytest.raises(RuntimeError), capture(net, ["bn1", "layer1"]):
        net(torch.zeros(2, 4, 8, 8))  # one channel too many
    handle.remove()
    assert hooks(net) == 0


def test_each_pass_fills_the_dict_anew(net):
    x, z = batch(), batch(2)
    with torch.no_grad(), capture(net, ["layer1", "unused"]) as maps:
        net(x)
        first = maps["layer1"]
        net.unused(z)
        assert set(maps) == {"layer1", "unused"}
        net(z)
        assert set(maps) == {"layer1"} and len(maps["layer1"]) == 2 and len(first) == 5


def test_another_hooks_change_is_what_is_captured(net):
    handle = net.layer1.register_forward_hook(lambda module, args, output: output * 0)
    with torch.no_grad(), capture(net, ["layer1"]) as maps:
        net(batch())
    handle.remove()
    assert not maps["layer1"].any()


class Gives(nn.Module):
    """A net whose layer gives x * 2 in some container, and which goes on from the first tensor in it."""

    def __init__(self, wrap, take):
        super().__init__()
        self.layer, self.wrap, self.take = nn.Identity(), wrap, take
        self.layer.forward = lambda x: wrap(x * 2)

    def forward(self, x):
        out = self.layer(x)
        return self.take(out).relu_() * 3, out


CONTAINERS = {
    "tuple": (lambda t: (t, 1), lambda out: out[0]),
    "named": (lambda t: Pair("text", t), lambda out: out.second),
    "list": (lambda t: [None, t], lambda out: out[1]),
    "dict": (lambda t: {"n": 3, "maps": t}, lambda out: out["maps"]),
    "max": (lambda t: torch.max(torch.stack([t, t - 1]), 0), lambda out: out.values),
    "model output": (lambda t: BaseModelOutput(last_hidden_state=t), lambda out: out.last_hidden_state),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_the_first_tensor_of_a_container_is_taken_and_its_kind_kept(kind):
    model = Gives(*CONTAINERS[kind])
    x = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
    with capture(model, ["layer"]) as maps:
        result, out = model(x)
    assert torch.equal(maps["layer"], x * 2) and torch.equal(result, (x * 2).relu() * 3)
    assert type(out) is type(model.wrap(x))
    if kind == "model output":
        assert out["last_hidden_state"] is out.last_hidden_state and torch.equal(out[0], (x * 2).relu())
    (grad,) = torch.autograd.grad(result.sum(), maps["layer"])
    assert torch.equal(grad, 3.0 * (x > 0))


def test_a_layer_without_a_tensor_is_refused():
    model = Gives(lambda t: ("no", {"tensor": t}), lambda out: out[1]["tensor"])
    with capture(model, ["layer"]), pytest.raises(TypeError, match=r"layer 'layer' puts out tuple without a tensor: name a"):
        model(torch.ones(1, 1))
    assert hooks(model) == 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["layer1.0.bn4"], r"no layer 'layer1.0.bn4': did you mean one of .*layer1\.0\.bn1"),
        (["conv1", "Layer1"], r"no layer 'Layer1': did you mean one of .*layer1"),
        (["xyzzy"], r"no layer 'xyzzy': did you mean one of conv1, bn1"),
        ("layer1", r"layers is the string 'layer1': give a list, \['layer1'\]"),
        ([], "no layer is named: give at least one"),
    ],
)
def test_unknown_layers_are_refused_with_similar_names(net, layers, message):
    with pytest.raises(ValueError, match=message), capture(net, layers):
        pass
    with pytest.raises(ValueError, match=message):
        extract(net, pictures(), layers)
    assert hooks(net) == 0


# --- pool


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((32, 8, 8), (2, 4)), ((64, 4, 4), (2, 2)), ((128, 2, 2), (1, 2)), ((256, 1, 1), (1, 1)), ((64, 2, 8), (2, 2)),
     ((32, 8, 2), (4, 2)), ((32, 1, 8), (1, 8)), ((32, 12, 4), (2, 4))],
)  # fmt: skip
def test_maps_are_averaged_over_the_most_square_grid(shape, grid):
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (h, w), (c, height, width) = grid, shape
    expected = x.numpy().reshape(3, c, h, height // h, w, width // w).mean((3, 5)).reshape(3, -1)
    found = pool(x, 256)
    assert found.shape == (3, 256) and found.dtype == torch.float64
    np.testing.assert_allclose(found, expected)


def test_every_dimension_a_map_can_give_has_the_least_elongated_grid():
    height, width = 6, 7
    x = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    ratios = {}
    for h in range(1, height + 1):
        for w in range(1, width + 1):
            ratios.setdefault(h * w, []).append((max(h / w, w / h), h, w))
    for cells, options in ratios.items():
        _, h, w = min(options)
        assert torch.equal(pool(x, cells), F.adaptive_avg_pool2d(x, (h, w)).flatten(1)), (cells, h, w)


def test_tokens_are_averaged_and_vectors_pass():
    tokens = torch.randn(4, 5, 6)
    torch.testing.assert_close(pool(tokens, 6), tokens.sum(1) / 5)
    assert torch.equal(pool(tokens[:, 0], 6), tokens[:, 0])
    assert pool(tokens.bfloat16(), 6).dtype == torch.float32
    assert pool(tokens.requires_grad_(), 6).requires_grad


@pytest.mark.parametrize(
    ("shape", "dim", "message"),
    [
        ((2, 32, 4, 4), 100, r"features \(2, 32, 4, 4\) cannot be pooled to 100 numbers: nearest are 32, 64, 96, 128, 192"),
        ((2, 32, 4, 4), 16, r"to 16 numbers: nearest are 32, 64"),
        ((2, 32, 2, 2), 96, r"to 96 numbers: nearest are 32, 64, 128; "),
        ((2, 5, 6), 5, r"features \(2, 5, 6\) cannot be pooled to 5 numbers: use dim=6"),
        ((2, 7), 5, r"cannot be pooled to 5 numbers: use dim=7"),
        ((2, 3, 4, 4, 4), 5, r"shape \(2, 3, 4, 4, 4\): give \(N, C, H, W\)"),
    ],
)
def test_shapes_that_cannot_give_a_dimension_say_which_they_can(shape, dim, message):
    with pytest.raises(ValueError, match=message):
        pool(torch.zeros(shape), dim)


# --- extract


def test_one_pass_gives_every_layer_of_every_image_in_order(net, workbook, monkeypatch):
    images, names = pictures(10), ["layer1", "conv1", "", "layer1.0.bn1"]
    with torch.no_grad():
        expected = by_hand(net, images.floats() * 2 - 1)
    sizes: list[int] = []
    real = Net.forward
    monkeypatch.setattr(Net, "forward", lambda self, x: (sizes.append(len(x)), real(self, x))[1])
    found = extract(net, images, names, prepare=lambda x: x * 2 - 1, batch_size=4)
    assert list(found) == names and sizes == [4, 4, 2]
    for name in names:
        torch.testing.assert_close(found[name], expected[name], msg=name)
        assert found[name].dtype == torch.float32 and not found[name].is_inference()
    pooled = extract(net, images, ["conv1", "layer1"], prepare=lambda x: x * 2 - 1, dim=16)
    for name, value in pooled.items():
        torch.testing.assert_close(value, pool(expected[name], 16))


def test_features_are_those_of_evaluation_mode_and_the_mode_is_put_back(net, workbook):
    expected = extract(net, pictures(), ["", "bn1"], cache=False)
    net.train()
    net.layer1.eval()
    before = [m.training for m in net.modules()]
    statistics = deepcopy(net.state_dict())
    found = extract(net, pictures(), ["", "bn1"], cache=False)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [m.training for m in net.modules()] == before and True in before and False in before
    assert all(torch.equal(value, statistics[name]) for name, value in net.state_dict().items())
    with pytest.raises(RuntimeError):
        extract(net, pictures(), ["bn1"], prepare=lambda x: x[:, :2], cache=False)
    assert [m.training for m in net.modules()] == before and hooks(net) == 0 and torch.is_grad_enabled()


def test_a_head_can_be_trained_on_extracted_features(net, workbook):
    found = extract(net, pictures(), ["layer1"], dim=8)["layer1"]
    head = nn.Linear(8, 2)
    head(found).sum().backward()
    assert head.weight.grad is not None and not found.requires_grad


def test_half_precision_comes_back_as_float32(net, workbook):
    found = extract(net.to(torch.bfloat16), pictures(), ["layer1"], prepare=lambda x: x.bfloat16())
    assert found["layer1"].dtype == torch.float32


def test_a_net_runs_where_it_is(net, workbook):
    assert torch.equal(
        extract(net, pictures(), ["conv1"], device="cpu")["conv1"], extract(net, pictures(), ["conv1"], cache=False)["conv1"]
    )
    with pytest.raises(ValueError, match=r"the net is on cpu, device says meta: use model\.to\('meta'\) first"):
        extract(net, pictures(), ["conv1"], device="meta")
    assert extract(nn.Sequential(nn.Flatten()), pictures(2), ["0"])["0"].shape == (2, 192)


class Windows(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.unused, self.total = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x):
        return self.a(x.reshape(-1, 3, 4, 4)), self.total(x.mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("layer", "n", "message"),
    [
        ("a", 4, r"layer 'a' gives \(16, 3, 4, 4\) for 4 images"),
        ("total", 4, r"layer 'total' gives \(4,\) for 4 images"),
        ("unused", 4, "layer 'unused' does not run when the net is called"),
        ("a", 0, r"made \(test\) holds no images"),
    ],
)
def test_layers_that_give_no_features_of_images_are_refused(workbook, layer, n, message):
    with pytest.raises(ValueError, match=message):
        extract(Windows(), pictures(n), [layer])


# --- what is kept


@pytest.fixture
def passes(monkeypatch):
    """The number of times that a net has really been run."""
    counted: list[int] = []
    real = module._one_pass
    monkeypatch.setattr(module, "_one_pass", lambda *args: (counted.append(1), real(*args))[1])
    return counted


def kept(workbook) -> list:
    return sorted((workbook / "data" / "cache" / "features").glob("*.npz"))


@dataclass(frozen=True)
class Scale:
    by: float
    shift: torch.Tensor | None = None

    def __call__(self, x):
        return x * self.by + (0 if self.shift is None else self.shift)


class Keyed:
    cache_key = "times two"

    def __call__(self, x):
        return x * 2


def test_a_second_call_is_read_from_the_disk(net, workbook, passes):
    first = extract(net, pictures(), ["layer1", ""], dim=None)
    again = extract(deepcopy(net).train(), pictures(), ["", "layer1"], batch_size=3)
    assert len(passes) == 1 and len(kept(workbook)) == 1 and list(again) == ["", "layer1"]
    assert all(torch.equal(first[name], again[name]) for name in first)
    again["layer1"].zero_()  # what is done to it stays there
    assert torch.equal(extract(net, pictures(), ["layer1", ""])["layer1"], first["layer1"]) and len(passes) == 1
    extract(net, pictures(), ["layer1", ""], cache=False)
    assert len(passes) == 2


def drift(net):
    net.train()
    with torch.no_grad():
        net(batch())
    net.eval()


class Twice(Net):
    def forward(self, x):
        return 2 * super().forward(x)


OTHERS = {
    "weights": (lambda net: net.conv1.weight.data[0, 0, 0, 0].add_(1e-3), {}),
    "drifted statistics": (drift, {}),
    "stride": (lambda net: setattr(net.conv1, "dilation", (2, 2)), {}),
    "an attribute": (lambda net: setattr(net.layer1[0], "alpha", 0.5), {}),
    "a buffer that is not saved": (lambda net: net.register_buffer("t", torch.ones(1), persistent=False), {}),
    "a class of its own": (lambda net: setattr(net, "__class__", Twice), {}),
    "a block gone": (lambda net: net.layer1.__delitem__(1), {}),
    "pixels": (lambda net: None, {"images": pictures(seed=1)}),
    "fewer images": (lambda net: None, {"images": pictures(9)}),
    "layers": (lambda net: None, {"layers": ["layer1"]}),
    "dim": (lambda net: None, {"dim": 16}),
    "prepare": (lambda net: None, {"prepare": Scale(2.0)}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_anything_that_changes_features_makes_another_entry(net, workbook, passes, what):
    change, options = OTHERS[what]
    given = {"images": pictures(), "layers": ["layer1", "conv1"], **options}
    extract(net, pictures(), ["layer1", "conv1"])
    change(net)
    found = extract(net, **given)
    assert len(passes) == 2 and len(kept(workbook)) == 2, what
    fresh = extract(net, **given, cache=False)
    assert all(torch.equal(found[name], fresh[name]) for name in fresh)


def test_an_edited_forward_is_another_net_though_weights_and_repr_are_the_same(net, workbook, passes, monkeypatch):
    intact = extract(net, pictures(), ["layer1"])["layer1"]

    def no_skip(self, x):
        return self.relu(self.bn3(self.conv3(self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))))))

    def scaled(alpha):
        return lambda self, x: alpha * no_skip(self, x)

    seen = [intact]
    for forward in (no_skip, scaled(0.5), scaled(0.25)):
        monkeypatch.setattr(Bottleneck, "forward", forward)
        found = extract(net, pictures(), ["layer1"])["layer1"]
        assert all(not torch.equal(found, other) for other in seen)
        seen.append(found)
    assert len(passes) == 4
    monkeypatch.undo()


EDITED = """
    from torch import nn

    SCALE = {scale}

    def helper(x):
        return x {sign} 1

    class Edited(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Identity()

        @staticmethod
        def turned(x):
            return helper(x) * SCALE

        def forward(self, x):
            return self.last(self.turned(x))
"""


def test_functions_and_numbers_beside_a_class_count_with_it(workbook, passes):
    for scale, sign in ((1, "+"), (1, "+"), (2, "+"), (1, "-")):
        room = {"__name__": "notebook"}
        exec(textwrap.dedent(EDITED.format(scale=scale, sign=sign)), room)
        found = extract(room["Edited"](), pictures(), ["last"])["last"]
        x = pictures().floats()
        torch.testing.assert_close(found, (x + 1 if sign == "+" else x - 1) * scale)
    assert len(passes) == 3


@pytest.mark.parametrize("how", ["hook", "pre-hook", "forward", "global"])
def test_a_lesioned_net_never_gets_the_features_of_the_intact_one(net, workbook, passes, how):
    intact = extract(net, pictures(), ["layer1"])["layer1"]
    block = net.layer1[1]
    handle = None
    if how == "hook":
        handle = block.register_forward_hook(lambda module, args, output: output * 0)
    elif how == "pre-hook":
        handle = block.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    elif how == "forward":
        block.forward = lambda x: x * 0
    else:
        handle = nn.modules.module.register_module_forward_hook(lambda module, args, output: output * 0)
    try:
        lesioned = extract(net, pictures(), ["layer1"])["layer1"]
        extract(net, pictures(), ["layer1"])
    finally:
        if handle is not None:
            handle.remove()
    assert not torch.equal(lesioned, intact) and len(passes) == 3 and len(kept(workbook)) == 1
    block.__dict__.pop("forward", None)
    assert torch.equal(extract(net, pictures(), ["layer1"])["layer1"], intact) and len(passes) == 3


def test_only_a_prepare_that_can_be_told_from_others_is_kept(net, workbook, passes):
    def plain(x):
        return x * 2

    def go(prepare):
        return extract(net, pictures(4, size=20), ["layer1"], prepare=prepare)["layer1"]

    for prepare in (plain, lambda x: x * 2):
        go(prepare)
        go(prepare)
    assert len(passes) == 4 and kept(workbook) == []
    long = torch.zeros(3, 20, 20)  # more numbers than its repr shows
    other = long.clone()
    other[1, 10, 10] = 1
    for prepare in (Keyed(), Scale(2.0), Scale(3.0), Scale(2.0, long), Scale(2.0, other)):
        before = len(passes)
        first, again = go(prepare), go(deepcopy(prepare))
        assert len(passes) == before + 1 and torch.equal(first, again)
    assert len(kept(workbook)) == 5
    plain.cache_key = "doubled"
    go(plain)
    go(plain)
    assert len(kept(workbook)) == 6 and len(passes) == 10


PROGRAM = """
    import os, time
    from pathlib import Path
    import torch
    from torch import nn
    from labkit import features
    from labkit.sets import Images

    class Own(nn.Module):
        MODES = ("a", "b", "c")

        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
            self.names = {"x", "y", "z", "u"}

        def forward(self, x):
            return self.block(x) if "a" in {"a", "b", "c", "d"} else x

    torch.manual_seed(0)
    pixels = torch.arange(8 * 64).reshape(1, 8, 8, 8).repeat(6, 1, 1, 1).to(torch.uint8)
    images = Images(pixels, torch.zeros(6, dtype=torch.int64), ("a",), "made", "test", "this test")
    real, ran = features._one_pass, []

    def run(*args):
        ran.append(1)
        with open("calls", "a") as file:
            file.write("x")
        while os.environ["TOGETHER"] and len(Path("calls").read_text()) < 2:
            time.sleep(0.01)  # until both are at it
        return real(*args)

    features._one_pass = run
    found = features.extract(Own(), images, ["block.1", ""])
    print(len(ran), float(found[""].double().sum()))
"""


def test_two_processes_may_compute_at_once_and_the_next_reads(workbook, monkeypatch, capsys):
    (workbook / "program.py").write_text(textwrap.dedent(PROGRAM))

    monkeypatch.chdir(workbook)
    monkeypatch.setenv("TOGETHER", "yes")
    monkeypatch.setattr(module, "_one_pass", module._one_pass)  # put back, since the program changes it

    def here() -> list[str]:
        with torch.random.fork_rng():
            exec(compile((workbook / "program.py").read_text(), "program.py", "exec"), {"__name__": "program"})
        return capsys.readouterr().out.split()

    command = [sys.executable, "-W", "error::UserWarning", "-c", "import program"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = here()
    out, err = child.communicate(timeout=60)
    assert first[0] == "1" and out.split() == first, err
    monkeypatch.setenv("TOGETHER", "")
    assert here() == ["0", first[1]]
    assert len(kept(workbook)) == 1 and len(list(kept(workbook)[0].parent.iterdir())) == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "overwritten", "flipped", "another file"])
def test_a_damaged_entry_is_computed_again_with_a_warning(net, workbook, passes, damage):
    right = extract(net, pictures(), ["layer1"])["layer1"]
    (path,) = kept(workbook)
    raw = path.read_bytes()
    if damage == "another file":
        with path.open("wb") as file:
            np.savez(file, other=np.zeros(3))
    else:
        flipped = raw[:2000] + bytes([raw[2000] ^ 1]) + raw[2001:]
        path.write_bytes({"truncated": raw[:-99], "empty": b"", "overwritten": b"x" * len(raw), "flipped": flipped}[damage])
    with pytest.warns(UserWarning, match="kept features are damaged.*computing them again"):
        again = extract(net, pictures(), ["layer1"])["layer1"]
    assert len(passes) == 2 and torch.equal(again, right)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(extract(net, pictures(), ["layer1"])["layer1"], right) and len(passes) == 2


@pytest.mark.parametrize("trouble", ["file in the way", "full", "nowhere"])
def test_a_disk_that_cannot_be_used_costs_the_cache_only(net, workbook, passes, monkeypatch, trouble):
    right = extract(net, pictures(), ["layer1"], cache=False)["layer1"]
    if trouble == "file in the way":
        (workbook / "data").mkdir()
        (workbook / "data" / "cache").write_text("a file")
    elif trouble == "nowhere":
        monkeypatch.setenv("LABKIT_HOME", str(workbook / "elsewhere"))
    else:

        def refuse(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            assert torch.equal(extract(net, pictures(), ["layer1"])["layer1"], right)
    assert len(passes) == 3 and kept(workbook) == []


def test_the_least_recently_used_go_when_there_are_too_many(net, workbook, passes, monkeypatch):
    def go(seed: int) -> None:
        extract(net, pictures(20, seed), ["layer1"])  # 8 * 8 * 8 * 4 bytes each: 40,960

    monkeypatch.setattr(files, "CACHE_LIMIT", 100_000)
    for seed in range(2):
        before = set(kept(workbook))
        go(seed)
        (new,) = set(kept(workbook)) - before
        os.utime(new, (time.time() - 1000 + seed, time.time() - 1000 + seed))
    go(0)  # used after 1, though made before
    go(2)
    assert len(passes) == 3 and sum(path.stat().st_size for path in kept(workbook)) <= 100_000
    go(0)
    go(2)
    assert len(passes) == 3
    go(1)
    assert len(passes) == 4


def test_features_larger_than_the_limit_are_not_kept_and_push_nothing_out(net, workbook, passes, monkeypatch):
    monkeypatch.setattr(files, "CACHE_LIMIT", 30_000)
    extract(net, pictures(), ["layer1"])
    extract(net, pictures(40), ["layer1"])
    assert len(kept(workbook)) == 1
    extract(net, pictures(), ["layer1"])
    assert len(passes) == 2 and math.isclose(kept(workbook)[0].stat().st_size, 20_480, rel_tol=0.1)
