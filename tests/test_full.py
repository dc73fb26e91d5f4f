"""The nets that `full` names, in their real size: made, laid down as published, loaded offline, and trained for two steps."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import pytest
import torch
from notebook_source import LABS, cells, namespace, shortened
from safetensors.torch import save_file
from test_zoo_transformers import old
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model, get_weight
from transformers import ViTConfig, ViTForImageClassification, ViTMAEConfig

from labkit import clips, sets, zoo
from labkit.lab import Lab
from labkit.public import clip_weights, hub, vision
from labkit.sets import Images

State = dict[str, Tensor]


class Case(NamedTuple):
    """How a net is tried: pixels of a side, classes of its head (None: its own), what is trained (all by default), images."""

    side: int
    classes: int | None = None
    trained: tuple[str, ...] = ("",)
    images: int = 4


TOP = ("vit.layers.11", "vit.layernorm", "classifier")
NETS = {
    "resnet18": Case(32),
    "resnet50": Case(32),
    "resnet152": Case(32, 10, ("fc",)),
    "vgg16": Case(32, 15, ("classifier",)),
    "vgg19": Case(32, None, ("features.34", "classifier.6")),
    "alexnet": Case(64, 15),
    "inception_v3": Case(75, 15, ("Mixed_7", "fc")),
    "squeezenet1_1": Case(32),
    "google/vit-base-patch16-224": Case(224, 10, TOP, images=2),
    "facebook/deit-base-patch16-224": Case(224, 10, TOP, images=2),
    "google/vit-large-patch16-224": Case(224, None, ("vit.layers.23", "vit.layernorm", "classifier"), images=2),
    "facebook/vit-mae-base": Case(224, 10, TOP, images=2),
}
BLOCKS = ("visual.transformer.resblocks", "transformer.resblocks")
CLIPS = {
    "ViT-B-32/openai": Case(224, images=2),
    "ViT-L-14/openai": Case(224, None, (f"{BLOCKS[0]}.23", f"{BLOCKS[1]}.11", "visual.proj", "text_projection"), images=2),
}
LONG = {"google/vit-large-patch16-224", *CLIPS}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Where files of public data and weights belong, empty, and no network; what a test puts there is deleted after it."""
    for name, value in {"TORCH_HOME": tmp_path / "torch", "LABKIT_DATA": tmp_path, "HOME": tmp_path / "user"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    monkeypatch.delenv("LABKIT_RANDOM_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))  # read at import
    torch.manual_seed(0)  # dropout
    yield tmp_path
    shutil.rmtree(tmp_path)


def drawn(make: Callable[[], nn.Module]) -> State:
    """Weights that no initialisation gives, in the shapes of the net that is made; they keep signals in range."""
    with torch.device("meta"):  # no time for weights that are thrown away
        net = make()
    rng, state = torch.Generator().manual_seed(7), {}
    for key, value in net.state_dict().items():
        noise = torch.empty(value.shape).uniform_(-1, 1, generator=rng) if value.is_floating_point() else torch.tensor(3)
        if value.ndim >= 2:  # a deviation of sqrt(2 / fan-in) behind a convolution, sqrt(1 / fan-in) elsewhere
            noise *= ((6 if value.ndim == 4 else 3) / value[0].numel()) ** 0.5
        elif key == "logit_scale":
            noise = 2 + noise
        elif value.ndim == 1:
            noise = 0.1 * noise + (1 if key.endswith((".running_var", ".weight")) else 0)
        state[key] = noise
    return state


def put_torchvision(name: str, place: Path) -> State:
    options = {"init_weights": False} if name == "inception_v3" else {}
    state = drawn(lambda: get_model(name, weights=None, **options))
    folder = place / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / get_weight(vision.TORCHVISION[name].weights).url.rsplit("/", 1)[-1])
    return state


def put_transformers(name: str, place: Path) -> State:
    """As in a repository of the hub: the names of transformers 4, what the loader drops, and a full configuration."""
    sizes = {"hidden_size": 1024, "num_attention_heads": 16, "num_hidden_layers": 24, "intermediate_size": 4096}
    sizes = sizes if "large" in name else {}
    state = drawn(lambda: ViTForImageClassification(ViTConfig(num_labels=1000, **sizes)))
    folder = place / "transformers" / name
    folder.mkdir(parents=True)
    if "mae" in name:  # an encoder, with the decoder that it was trained with, in the older kind of file
        state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
        torch.save(old(state) | {"decoder.mask_token": torch.ones(1, 1, 512)}, folder / "pytorch_model.bin")
        written = ViTMAEConfig(architectures=["ViTMAEForPreTraining"]).to_dict()
    else:
        pooler = {"vit.pooler.dense.bias": torch.ones(sizes.get("hidden_size", 768))}
        save_file(old(state) | pooler, folder / "model.safetensors", metadata={"format": "pt"})
        written = ViTConfig(num_labels=1000, architectures=["ViTForImageClassification"], **sizes).to_dict()
    (folder / "config.json").write_text(json.dumps(written), encoding="utf-8")
    return state


def put_clip(name: str, place: Path) -> State:
    state = drawn(lambda: open_clip.CLIP(**open_clip.get_model_config(name.split("/")[0] + "-quickgelu")))
    folder = place / "open_clip" / name
    folder.mkdir(parents=True)
    if "B-32" in name:
        save_file(state, folder / "open_clip_model.safetensors")
    else:
        torch.save(state, folder / "open_clip_pytorch_model.bin")
    return state


def assert_loaded(net: nn.Module, state: State, *, but: tuple[str, ...] = ()) -> None:
    """Every tensor of a net, except what begins with `but`, is the one that was put into the file."""
    kept, found = {key for key in state if not key.startswith(but or "-")}, net.state_dict()
    assert kept and kept == {key for key in found if not key.startswith(but or "-")}
    assert not [key for key in kept if not torch.equal(found[key], state[key])]


def two_steps(net: nn.Module, loss: Callable[[], Tensor], trained: tuple[str, ...]) -> None:
    """Two steps of plain SGD: finite losses, every parameter that begins with `trained` moves, and no other does."""
    for name, p in net.named_parameters():
        p.requires_grad_(name.startswith(trained))
    weights = [p for p in net.parameters() if p.requires_grad]
    before = {name: p.detach().clone() if p.requires_grad else _sum(p) for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD(weights, lr=0.05)
    for _ in range(2):
        value = loss()
        assert value.isfinite()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0, error_if_nonfinite=True)
        optimizer.step()
    moved = {name for name, p in net.named_parameters() if not torch.equal(p if p.requires_grad else _sum(p), before[name])}
    due = {name for name in before if name.startswith(trained)}
    # a softmax does not feel what all keys share: in exact arithmetic this gradient is 0
    assert due and due - moved <= {name for name in due if name.endswith("k_proj.bias")} and not moved - due


def _sum(p: Tensor) -> Tensor:
    """In place of a copy, of which a large net would need much memory; two different fillings rarely agree to the bit."""
    return torch.stack([p.detach().double().sum(), p.detach().norm().double()])


def images(case: Case) -> Tensor:
    return torch.randint(0, 256, (case.images, 3, 40, 40), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


# what `full` names


def _named_by_full(lab: str) -> set[str]:
    """Published nets among the last entries of a lab's settings, as the notebook writes them."""
    known, found = {*vision.TORCHVISION, *hub.NETS, *clip_weights.NETS}, set()
    for cell in cells(lab):
        if cell["cell_type"] != "code" or "lab.settings(" not in cell["source"]:
            continue
        for call in ast.walk(ast.parse(cell["source"])):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "lab.settings":
                thirds = [k.value.elts[2] for k in call.keywords if isinstance(k.value, ast.Tuple) and len(k.value.elts) == 3]
                found |= {node.value for third in thirds for node in ast.walk(third) if isinstance(node, ast.Constant)} & known
    return found


def test_each_published_net_that_full_names_is_tried_here():
    assert set().union(*map(_named_by_full, LABS)) == {*NETS, *CLIPS}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in NETS])
def test_a_net_of_the_zoo_is_loaded_from_the_official_layout_and_trains(name, place):
    case, transformer = NETS[name], name in hub.NETS
    state = (put_transformers if transformer else put_torchvision)(name, place)
    backbone = zoo.load(name, classes=case.classes)
    assert backbone.distrust is None and "SHA-256" in backbone.provenance and backbone.classes == (case.classes or 1000)
    head = (f"{backbone.head}.",) if case.classes else ()
    assert_loaded(backbone.net, state, but=(*head, *(["AuxLogits."] if name == "inception_v3" else [])))
    del state
    x = zoo.Preparation(case.side, backbone.prepare.mean, backbone.prepare.std)(images(case))
    y, net = torch.arange(case.images), backbone.net.train()

    def loss() -> Tensor:
        out = net(x)
        return F.cross_entropy(out.logits if transformer else out, y)

    two_steps(net, loss, case.trained)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_model_is_loaded_from_the_official_layout_and_trains(name, place):
    case, state = CLIPS[name], put_clip(name, place)
    clip = clips.load(name)
    assert clip.distrust is None and "SHA-256" in clip.provenance
    assert_loaded(clip.net, state)
    del state
    x, texts = clip.prepare(images(case)), clip.tokenize(["a cat", "a photo of a ship", "two dogs", "grass"][: case.images])
    loss, net = namespace("05_clip_modality_gap", "clip-loss")["clip_loss"], clip.net
    two_steps(net, lambda: loss(net.encode_image(x), net.encode_text(texts), 1 / net.logit_scale.exp()), case.trained)


# the labs' own steps


def noise(name: str, *, split: str = "train", limit: int | None = None, size: int | None = None, **options: Any) -> Images:
    """Few images of noise in the shape and with the number of classes of a public set, half of it the same in a class."""
    grey, rng = {"mnist": 28, "fashion_mnist": 28, "scene15": size or 64}, torch.Generator().manual_seed(len(split))
    side = grey.get(name, size or 32)
    n = min(limit or 320, 320 if split == "train" else 40)
    names = tuple(map(str, range({"scene15": 15, "imagenet_samples": 1000}.get(name, 10))))
    attributes = {key: torch.rand(n, generator=rng) < 0.5 for key in ("Smiling", "Bald", "Eyeglasses")}
    labels, shape = torch.arange(n) % len(names), (1 if name in grey else 3, side, side)
    dark = torch.rand(len(names), shape[0], 4, 4, generator=torch.Generator().manual_seed(5)) < 0.5
    ground = 200.0 * F.interpolate(dark.float(), size=side)  # coarse enough to be learnt in a few steps
    pixels = (ground[labels] + torch.randint(0, 56, (n, *shape), generator=rng)).to(torch.uint8)
    return Images(pixels, labels, names, name, split, "noise", attributes=attributes if name == "celeba" else {})


@pytest.fixture
def full(place, monkeypatch):
    """Opens a lab under `full` on noise, with some settings changed; it keeps its files in the place."""
    monkeypatch.setattr(sets, "load", noise)
    monkeypatch.setattr(Lab, "_folder", lambda self: place)
    return lambda lab, **changes: shortened(lab, changes.pop("profile", "full"), **changes)


def assert_all_moved(before: State, net: nn.Module) -> None:
    after = net.state_dict()
    assert before and not [key for key in before if torch.equal(before[key], after[key]) or not after[key].isfinite().all()]


@pytest.mark.slow
def test_lab_01_tunes_the_last_stage_and_the_whole_of_its_net(full, place):
    state = put_torchvision("resnet152", place)
    few = {"pool": 16, "drawn": (8, 8), "test": 4, "size": 32, "batch": 4, "epochs": 1}
    scope = namespace("01_resnet_transfer", "s0-settings", "s1-fit", "s4-fit", "s4-tune", lab=full("01_resnet_transfer", **few))
    assert scope["cfg"].net == "resnet152" and scope["lab"].distrust is None
    assert_loaded(scope["base"].net, state)
    for part, frozen in (("last stage", ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")), ("everything", ())):
        net, _, _ = scope["fine_tune"]("pretrained", part, 0)
        parameters = {name: p for name, p in net.named_parameters() if not name.startswith("fc.")}
        assert all(p.isfinite().all() for p in parameters.values())
        still = {name for name, p in parameters.items() if torch.equal(p, state[name])}
        assert still == {name for name in parameters if name.startswith(frozen or "-")}


def test_lab_01_trains_its_deepest_twins(full):
    scope = namespace(
        "01_resnet_transfer", "s3-twin-nets", "s3-twin", "s3-twin-fit", "s3-twin-train", "s3-twin-loop",
        lab=full("01_resnet_transfer", steps=2, batch=4), seeds=[0],
    )  # fmt: skip
    depth = scope["cfg4"].depth[1]
    assert depth == 27
    for skip in (True, False):
        losses, norms, _, _ = scope["train_twin"](depth, skip, 0)
        assert losses.shape == (2,) and losses.isfinite().all() and norms.shape == (27,) and (norms > 0).all()


@pytest.mark.slow
def test_lab_06_tunes_the_whole_of_its_net(full, place):
    state, lab = put_torchvision("vgg16", place), full("06_vgg_svm", drawn=8, side=32, batch=4)
    scope = namespace("06_vgg_svm", "s0-settings", "s2-settings", "s2-tune", lab=lab)
    assert scope["cfg"].net == "vgg16" and lab.distrust is None
    assert_loaded(scope["base"].net, state)
    del state
    source, losses, pool = scope["backbone"](classes=15), [], scope["pool"]
    before = {key: value.clone() for key, value in source.net.state_dict().items()}
    epoch = lambda: (pool.floats()[:8], pool.labels[:8])  # noqa: E731
    scope["fine_tune"](
        epoch, source.net, prepare=scope["tune_prepare"], epochs=1, lr=0.001, after=lambda n, v: losses.append(v)
    )
    assert torch.tensor(losses).isfinite().all() and len(losses) == 1
    assert_all_moved(before, source.net)


@pytest.mark.slow
def test_lab_07_steps_along_the_gradients_of_its_nets_which_stay_as_loaded(full, place):
    states, lab = (
        [put_torchvision(name, place) for name in ("squeezenet1_1", "vgg16")],
        full("07_saliency_adversarial", side=32),
    )
    scope = namespace("07_saliency_adversarial", "s0-settings", "s0-gradient", "s0-slope", "s4-settings", lab=lab)
    assert lab.distrust is None and len(scope["pool"]) == 40
    x = scope["pool"].floats()[:4]
    for net, state in zip((scope["net"], scope["second"]), states, strict=True):
        target = scope["logits"](net, x).topk(2).indices[:, 1]  # another class, whose logit SqueezeNet's last ReLU lets through
        z, count, _ = scope["follow"](net, x, target, 1e-3, scope["loose_step"], most=2)
        moved = (z - x).flatten(1).norm(dim=1)  # up to two steps of this length, fewer where it succeeds before
        assert count.shape == (4,) and (moved > 0.9e-3).all() and (moved < 2.01e-3).all()
        assert_loaded(net.net, state)


GAN = ("s0-settings", "s0-nets", "s0-fit-settings", "s0-fit-parts", "s0-game", "s0-fit", "s0-measure", "s0-yardsticks")
GAN += ("s4-settings", "s4-nets", "s4-stacked", "s4-fit", "s4-train-one", "s4-runs")


def test_lab_03_trains_its_gans_at_full_width(full):
    scope = namespace("03_gan_pathologies", *GAN, lab=full("03_gan_pathologies", seeds=1))
    ends = [scope["fit"](f"{n} images", [{"noise": 0.3}], images=scope["real"][:n], epochs=1)[:2] for n in (128, 64)]
    for net, earlier in zip(*ends, strict=True):  # after two steps and after one
        assert_all_moved(earlier.state_dict(), net)
    dcfg = scope["dcfg"]
    assert dcfg.side == 32 and dcfg.unequal == (256, 8)
    for ngf, ndf in ((dcfg.maps, dcfg.maps), dcfg.unequal, dcfg.unequal[::-1]):
        G, D, small = scope["nets"](ngf, ndf, 100, [True])
        before = [{key: value.clone() for key, value in net.state_dict().items()} for net in (G, D)]
        options = {"epochs": 1, "batch": 8, "lr": dcfg.lr, "noise": 100}
        _, history = scope["fit_dcgan"](f"{ngf} {ndf}", G, D, small[:16], **options)
        assert torch.as_tensor(history["g_loss"]).isfinite().all()
        for start, net in zip(before, (G, D), strict=True):
            assert_all_moved(start, net)


def test_lab_08_trains_its_three_parts(full):
    cut = ("s0-settings", "s0-nets", "s0-build", "s0-fit-settings", "s0-pieces", "s0-outputs", "s0-fit")
    scope = namespace("08_dann", *cut, lab=full("08_dann", seeds=2, side_epochs=1))
    assert scope["cfg"].source == "mnist" and scope["cfg"].net == "conv"
    nets, history = scope["fit"]("two steps", [0.0, 1.0], source=scope["source_set"][:128])
    assert torch.as_tensor(history["class_loss"]).isfinite().all()
    for start, net in zip(scope["build"](2), nets, strict=True):
        assert_all_moved(start.state_dict(), net)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "net"), [("laptop", "mlp"), ("full", "conv")])
def test_lab_04_goes_through_every_cell(profile, net, full):
    name, left_out = "04_vae_posterior_collapse", {"setup", "summary", "hosted", "diagram", "explore"}
    few = {"epochs": 2, "sweep_epochs": 1, "sweep_images": 96, "batch": 16, "lr": 5e-3}
    lab = full(name, profile=profile, seeds=2, **few)  # a loss that is not finite would stop it
    code = [cell["id"] for cell in cells(name) if cell["cell_type"] == "code"]
    scope = namespace(name, *(each for each in code if each not in left_out and not each.startswith("check-")), lab=lab)
    assert scope["cfg"].net == net and scope["cfg"].data == "fashion_mnist"
    assert set(lab.claims) == {part.split('"')[1] for cell in cells(name) for part in cell["source"].split("lab.claim(")[1:]}
    assert any(isinstance(m, nn.Conv2d) for m in scope["make_encoder"]()) == (net == "conv")
    assert lab.records
