"""CLIP models: towers, tokenizer and preprocessing against open_clip's own; weights found, fetched, refused, stood in for."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import socket
import subprocess
import sys
import warnings
from copy import deepcopy
from pathlib import Path

import huggingface_hub
import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labkit import clips, twin_nets, twins, words, zoo
from labkit.files import OfflineError
from labkit.preparation import Preparation
from labkit.public import DamagedData, clip_weights
from labkit.sets import Images

REAL = dict(clip_weights.NETS)
VIT, RN, LAION = "ViT-B-32/openai", "RN50/openai", "ViT-B-32/laion2b_s34b_b79k"
SAFE, BIN = clip_weights.WEIGHTS
PUBLISHED = {  # number of parameters, in millions, as open_clip's documentation lists them
    VIT: 151.28,
    "ViT-B-16/openai": 149.62,
    RN: 102.01,
    "RN101/openai": 119.69,
    "ViT-L-14/openai": 427.62,
    LAION: 151.28,
}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
TOWER = {"image_size": 32, "layers": 2, "width": 24, "head_width": 8, "patch_size": 8}
PLAIN = {"embed_dim": 12, "vision_cfg": TOWER, "text_cfg": TEXT}
TINY = {
    "tiny-quickgelu": PLAIN | {"quick_gelu": True},
    "tiny": PLAIN,
    "tiny-rn-quickgelu": PLAIN
    | {"quick_gelu": True, "vision_cfg": {"image_size": 64, "layers": [1, 1, 2, 1], "width": 8, "patch_size": None}},
}
SMALL = {VIT: "tiny-quickgelu", RN: "tiny-rn-quickgelu", LAION: "tiny"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Small nets, an empty workbook, empty caches, and no network whatever the machine has."""
    for name, config in TINY.items():
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
    monkeypatch.setattr(clip_weights, "NETS", {name: REAL[name]._replace(architecture=SMALL[name]) for name in SMALL})
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.delenv("LABKIT_RANDOM_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))  # read at import
    return tmp_path


def model(name: str = VIT, seed: int = 7, **config) -> nn.Module:
    """A small net that no draw of ours made, with other numbers than zero and one in every tensor."""
    net, rng = open_clip.CLIP(**TINY[SMALL[name]] | config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.state_dict().values():
            if value.is_floating_point():
                value += 0.1 * torch.rand(value.shape, generator=rng)
    return net.eval()


def put(folder: Path, net: nn.Module | dict, file: str = SAFE) -> Path:
    """A checkpoint as in a repository of the hub, or as open_clip's training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous() for key, value in (net if isinstance(net, dict) else net.state_dict()).items()}
    save_file(state, folder / file) if file.endswith("safetensors") else torch.save(state, folder / file)
    return folder / file


def local(home: Path, name: str = VIT) -> Path:
    return home / "data" / "public" / "open_clip" / name


def cached(home: Path, net: nn.Module, name: str = VIT, file: str = SAFE) -> tuple[Path, Path]:
    """A folder of the hub's cache, as huggingface_hub lays it out: a link to a blob; gives both."""
    repository = home / "hub" / f"models--{REAL[name].repository.replace('/', '--')}"
    spare = put(home / "spare", net, file)
    blob = repository / "blobs" / hashlib.sha256(spare.read_bytes()).hexdigest()
    snapshot = repository / "snapshots" / ("c0ffee" * 7)[:40]
    for folder in (blob.parent, snapshot, repository / "refs"):
        folder.mkdir(parents=True)
    spare.rename(blob)
    (repository / "refs" / "main").write_text(snapshot.name)
    (snapshot / file).symlink_to(Path("../../blobs") / blob.name)
    return snapshot / file, blob


def archived(net: nn.Module, path: Path) -> str:
    """A TorchScript archive as OpenAI's: weights in float16, and three notes; gives its SHA-256."""
    own = deepcopy(net)

    class Noted(nn.Module):
        def __init__(self):
            super().__init__()
            for key, value in own.named_children():
                self.add_module(key, value)
            for key in ("positional_embedding", "text_projection", "logit_scale"):
                setattr(self, key, getattr(own, key))
            for key in ("input_resolution", "context_length", "vocab_size"):
                self.register_buffer(key, torch.tensor(1))

        def forward(self, x):
            return self.visual(x)

    path.parent.mkdir(parents=True, exist_ok=True)
    size = net.visual.image_size
    size = size if isinstance(size, int) else size[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(Noted(), torch.zeros(1, 3, size, size))
        torch.jit.save(traced.half(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pixels(n: int = 5, size: int = 48, channels: int = 3) -> Tensor:
    return torch.randint(0, 256, (n, channels, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


PROMPTS = ["a photo of a cat", "Ein Kuchen, für zwei.", "", "ship " * 100, "a"]


def same(net: nn.Module, reference: nn.Module) -> bool:
    mine, theirs = net.state_dict(), reference.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


# names and architectures


def test_known_names():
    assert set(clips.known()) == set(twin_nets.CLIPS) | set(SMALL) and set(REAL) == set(PUBLISHED)
    with pytest.raises(ValueError, match=r"CLIP model 'ViT-B-32' is unknown: use one of toybox_clip, .*ViT-B-32/openai"):
        clips.load("ViT-B-32")


def test_the_zoo_lists_no_net_without_a_head():
    assert twin_nets.CLIPS and not set(clips.known()) & set(zoo.known())
    assert not any(twin_nets.find(name).head for name in twin_nets.CLIPS)
    assert all(twin_nets.find(name).head for name in zoo.known() if name in twin_nets.ALL)


@pytest.mark.parametrize("name", REAL)
def test_the_plans_are_those_of_open_clips_own_table(name):
    plan, (architecture, tag) = REAL[name], name.split("/")
    theirs = open_clip.get_pretrained_cfg(architecture, tag)
    assert theirs["hf_hub"] == f"{plan.repository}/" and plan.statistics == (theirs["mean"], theirs["std"])
    assert (theirs["interpolation"], theirs["resize_mode"]) == ("bicubic", "shortest")  # as the docstring says
    mine = dict(open_clip.get_model_config(plan.architecture))
    assert mine.pop("quick_gelu", False) == theirs.get("quick_gelu", False) == (tag == "openai")
    assert mine == open_clip.get_model_config(architecture) and mine["vision_cfg"]["image_size"] == 224
    assert "hf_tokenizer_name" not in mine["text_cfg"] and "custom_text" not in mine
    if tag == "openai":
        assert theirs["url"].endswith(f"/{plan.original}/{architecture}.pt") and len(plan.original) == 64
    else:
        assert not plan.original and not theirs["url"]


@pytest.mark.parametrize("name", REAL)
def test_published_nets_have_their_number_of_parameters_and_openais_the_quick_gelu(monkeypatch, name):
    monkeypatch.setattr(clip_weights, "NETS", REAL)
    with torch.device("meta"):
        net = clip_weights.build(name)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == PUBLISHED[name]
    kinds = {type(m) for m in net.modules() if isinstance(m, QuickGELU | nn.GELU)}
    assert kinds == ({QuickGELU} if name.endswith("/openai") else {nn.GELU}) and type(net) is open_clip.CLIP


def test_importing_imports_no_open_clip():
    code = "import sys; import labkit.clips; assert not {'open_clip', 'timm', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# their weights


@pytest.mark.parametrize(
    "name, file, form",
    [*((name, SAFE, "bare") for name in SMALL), *((VIT, BIN, form) for form in ("bare", "training", "distributed"))],
)
def test_a_local_file_gives_open_clips_own_features(home, name, file, form):
    path = put(local(home, name), reference := model(name), file)
    if form != "bare":
        state = {("module." if form == "distributed" else "") + key: value for key, value in reference.state_dict().items()}
        torch.save({"epoch": 3, "name": "run", "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}, path)
    theirs = open_clip.create_model(SMALL[name], pretrained=str(path)).eval()
    clip = clips.load(name)
    assert type(clip.net) is open_clip.CLIP and same(clip.net, reference) and same(clip.net, theirs)
    tokens = open_clip.get_tokenizer(SMALL[name])(PROMPTS)
    with torch.no_grad():
        x = clip.prepare(pixels())
        assert torch.allclose(clip.encode_images(pixels()), theirs.encode_image(x, normalize=False), atol=1e-5)
        assert torch.allclose(clip.encode_texts(PROMPTS), theirs.encode_text(tokens, normalize=False), atol=1e-5)
        assert torch.equal(clip.net(x, tokens)[2], theirs(x, tokens)[2])
    assert not any(module.training for module in clip.net.modules())
    values = [*clip.net.parameters(), *clip.net.buffers()]
    assert not any(value.is_meta for value in values) and all(p.requires_grad for p in clip.net.parameters())
    assert {value.dtype for value in values if value.is_floating_point()} == {torch.float32}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert clip.provenance == f"{name}: {file}, SHA-256 {digest}..." and clip.distrust is None
    assert (clip.name, clip.width) == (name, 12)
    assert clip.prepare == Preparation(64 if name == RN else 32, *clip_weights.OPENAI)


def test_the_activation_is_that_of_the_name_and_not_of_the_file(home):
    for name in (VIT, LAION):
        put(local(home, name), model(VIT))
    quick, plain = (clips.load(name).encode_images(pixels()) for name in (VIT, LAION))
    assert (quick - plain).abs().max() > 1e-4


def test_float16_is_widened_and_training_leaves_the_file_alone(home):
    reference = model()
    path = put(local(home), {key: value.half() for key, value in reference.state_dict().items()})
    net = clips.load(VIT).net
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert torch.equal(net.visual.proj, reference.visual.proj.half().float())
    put(local(home), reference)
    net, content = clips.load(VIT).net, path.read_bytes()
    with torch.no_grad():
        net.visual.proj.add_(1)
    assert path.read_bytes() == content and same(clips.load(VIT).net, reference)


def test_counters_of_batch_norm_may_be_missing_as_open_clip_lets_them(home):
    whole = model(RN).state_dict()
    state = {key: value for key, value in whole.items() if "num_batches" not in key}
    assert len(state) < len(whole)
    path = put(local(home, RN), state)
    assert same(clips.load(RN).net, open_clip.create_model(SMALL[RN], pretrained=str(path)))


def test_gradients_reach_both_towers(home):
    put(local(home), model())
    net = clips.load(VIT).net
    image, text, scale = net(torch.rand(2, 3, 32, 32), open_clip.tokenize(["a", "b"]))
    (scale * image @ text.T).diagonal().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_folders_of_data_go_before_the_cache_and_the_cache_before_openais_and_the_network(home, monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")

    def never(*arguments, **options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", never)
    nets = [model(seed=seed) for seed in range(5)]
    official = archived(nets[0], home / "user" / ".cache" / "clip" / "ViT-B-32.pt")
    monkeypatch.setitem(clip_weights.NETS, VIT, clip_weights.NETS[VIT]._replace(original=official))
    assert same(clips.load(VIT).net, deepcopy(nets[0]).half().float())
    cached(home, nets[1], file=BIN)
    assert same(clips.load(VIT).net, nets[1])
    put(local(home), nets[2], BIN)
    assert same(clips.load(VIT).net, nets[2])
    put(local(home), nets[3], SAFE)
    assert same(clips.load(VIT).net, nets[3])
    monkeypatch.setenv("LABKIT_DATA", str(home))
    put(home / "open_clip" / VIT, nets[4])
    assert same(clips.load(VIT).net, nets[4])


def test_absent_weights_offline_name_files_repository_and_folder(home):
    with pytest.raises(OfflineError) as caught:
        clips.load(VIT)
    files = f"{SAFE} or {BIN} of timm/vit_base_patch32_clip_224.openai, or ViT-B-32.pt"
    assert f"{VIT} ({files}) is not on this disk" in str(caught.value)
    assert f"put it at {local(home)}, or unset LABKIT_OFFLINE" in str(caught.value)
    with pytest.raises(OfflineError, match=rf"{BIN} of laion/CLIP-ViT-B-32-laion2B-s34B-b79K\) is not"):
        clips.load(LAION)
    assert not (home / "hub").exists() and not (home / "data").exists() and not (home / "user").exists()


@pytest.mark.parametrize("file", clip_weights.WEIGHTS)
def test_the_network_is_asked_for_either_kind_in_the_repository_of_open_clips_table(home, monkeypatch, file):
    path, asked = put(home / "served", net := model(), file), []
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *what: asked.append(what) or str(home / "served" / what[1]))
    monkeypatch.setattr(huggingface_hub, "file_exists", lambda repository, file: (home / "served" / file).is_file())
    assert same(clips.load(VIT).net, net) and asked == [(REAL[VIT].repository, path.name)]


def test_a_failed_download_names_files_and_folder(home, monkeypatch):
    def fails(*what):
        raise TimeoutError("timed out at https://example.org/x")

    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "file_exists", fails)
    with pytest.raises(OfflineError) as caught:
        clips.load(RN)
    message = str(caught.value)
    assert message.startswith(f"{RN} could not be downloaded (timed out at the hub): connect to the network, or put ")
    assert message.endswith(f"{SAFE} or {BIN} of timm/resnet50_clip.openai, or RN50.pt into {local(home, RN)}")


@pytest.mark.parametrize("name", [VIT, RN])
def test_openais_own_archive_is_taken(home, monkeypatch, name):
    reference = model(name)
    official = archived(reference, local(home, name) / f"{name.split('/')[0]}.pt")
    monkeypatch.setitem(clip_weights.NETS, name, clip_weights.NETS[name]._replace(original=official))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = clips.load(name)
    assert same(clip.net, reference.half().float()) and {p.dtype for p in clip.net.parameters()} == {torch.float32}
    assert clip.provenance == f"{name}: {name.split('/')[0]}.pt, SHA-256 {official[:8]}..."


@pytest.mark.parametrize("where", ["data", "OpenAI's cache"])
def test_another_archive_is_refused_before_any_of_its_code_could_run(home, monkeypatch, where):
    def never(*arguments, **options):
        raise AssertionError("an archive was opened")

    path = (local(home) if where == "data" else home / "user" / ".cache" / "clip") / "ViT-B-32.pt"
    digest = archived(model(), path)
    monkeypatch.setattr(torch.jit, "load", never)
    with pytest.raises(DamagedData) as caught:
        clips.load(VIT)
    assert str(caught.value).startswith(f"{path} is truncated or not OpenAI's own (its SHA-256 should begin with 40d36571 and")
    assert digest[:8] in str(caught.value) and f"put {SAFE} of {REAL[VIT].repository} in its place" in str(caught.value)
    path.rename(path.with_name(BIN))  # not under another name either
    if where == "data":
        with pytest.raises(DamagedData, match=rf"{BIN} is truncated or of another net \(Cannot use"):
            clips.load(VIT)


# what is refused


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a checkpoint was run')",))


def changed(path: Path, change) -> None:
    state = {key: value.clone() for key, value in load_file(path).items()}
    change(state)
    save_file(state, path)


SPOILERS = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-50]), r"\(.+\)"),
    "empty": (lambda path: path.write_bytes(b""), r"\(.+\)"),
    "page": (lambda path: path.write_text("<html>please log in</html>"), r"\(.+\)"),
    "pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "`git lfs pull` in a clone"),
    "lacking": (lambda path: changed(path, lambda s: s.pop("ln_final.bias")), r"\(ln_final.bias is missing\)"),
    "more": (lambda path: changed(path, lambda s: s.update(x=torch.ones(1))), r"\(x is not of the net\)"),
    "wider": (lambda path: put(path.parent, model(embed_dim=13)), r"\(text_projection is \(16, 13\), not \(16, 12\); 2 such"),
    "deeper": (lambda path: put(path.parent, model(vision_cfg=TOWER | {"layers": 3})), "of the net; 12 such faults"),
    "larger images": (
        lambda path: put(path.parent, model(vision_cfg=TOWER | {"image_size": 40})),
        r"\(visual.positional_embedding is \(26, 24\), not \(17, 24\)\)",
    ),
    "other tower": (lambda path: put(path.parent, model(RN)), "such faults"),
    "bias": (lambda path: put(path.parent, model(init_logit_bias=-10)), r"\(logit_bias is not of the net\)"),
    "integers": (lambda path: changed(path, lambda s: s.update(logit_scale=torch.tensor(3))), r"\(.+\)"),
}


@pytest.mark.parametrize("case", SPOILERS)
def test_a_damaged_or_wrong_checkpoint_is_refused_and_left_alone(home, monkeypatch, capfd, case):
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")  # for absent files, not for damaged ones
    path = put(local(home), model())
    spoil, reason = SPOILERS[case]
    spoil(path)
    content = path.read_bytes()
    with pytest.raises(DamagedData, match=reason) as caught:
        clips.load(VIT)
    message = str(caught.value)
    assert message.startswith(f"{path} is truncated or of another net (") and "\n" not in message
    assert message.endswith(
        "): put those of timm/vit_base_patch32_clip_224.openai on the Hugging Face hub there (`git lfs pull` in a clone)"
    )
    assert capfd.readouterr() == ("", "") and path.read_bytes() == content


@pytest.mark.parametrize("content", ["code", "nested code", "whole net", "a tensor", "a list", "numbers"])
def test_no_code_of_a_checkpoint_is_run(home, content):
    path, net = put(local(home), model(), BIN), model()
    contents = {"code": {"logit_scale": Evil()}, "nested code": {"state_dict": {"logit_scale": Evil()}}, "whole net": net}
    contents |= {"a tensor": torch.ones(3), "a list": [torch.ones(3)], "numbers": {"state_dict": {"logit_scale": 1.0}}}
    torch.save(contents[content], path)
    with pytest.raises(DamagedData, match=rf"{BIN} is truncated or of another net"):
        clips.load(VIT)


@pytest.mark.parametrize("spoil", ["cut", "flipped"])
def test_a_damaged_file_in_the_cache_says_which_folder_to_delete(home, spoil):
    path, blob = cached(home, model())
    content = bytearray(blob.read_bytes())
    content[-9] ^= 64
    blob.write_bytes(content[:-50] if spoil == "cut" else content)
    with pytest.raises(DamagedData) as caught:
        clips.load(VIT)
    assert str(caught.value).startswith(f"{path} is truncated or of another net (its SHA-256 begins with ")
    assert str(caught.value).endswith(f"not {blob.name[:8]}): delete {blob.parents[1]} and load again")


# random weights


def test_random_weights_stand_in_only_when_asked_to_and_are_not_trusted(home, monkeypatch):
    for value in ("", "0"):
        monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", value)
        with pytest.raises(OfflineError):
            clips.load(RN)
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    clip, meant = clips.load(RN, seed=3), clips.load(RN, seed=3, pretrained=False)
    assert clip.distrust == "random weights" and meant.distrust is None and same(clip.net, meant.net)
    assert clip.provenance == f"{RN}: random weights (seed 3) in place of the published ones, as LABKIT_RANDOM_WEIGHTS asks"
    assert meant.provenance == f"{RN}: random weights (seed 3)"
    put(local(home, RN), net := model(RN))
    assert same(clips.load(RN).net, net) and clips.load(RN).distrust is None


def test_random_weights_are_open_clips_under_the_seed_and_need_no_files(home, monkeypatch):
    monkeypatch.setenv("LABKIT_HOME", str(home / "nowhere"))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    clip = clips.load(VIT, pretrained=False, seed=11)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(11)
    assert same(clip.net, open_clip.CLIP(**TINY[SMALL[VIT]]))
    assert clip.encode_texts(["a"]).isfinite().all() and not any(module.training for module in clip.net.modules())


@pytest.mark.parametrize("name", [VIT, "toybox_clip"])
def test_the_control_has_the_same_shape_and_device_and_other_weights(home, name):
    clip = clips.load(name, pretrained=False)
    control, again, other = (clips.random_like(clip, seed) for seed in (4, 4, 5))
    mine, theirs = clip.net.state_dict(), control.net.state_dict()
    assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in theirs.items()}
    assert not torch.equal(mine["text_projection"], theirs["text_projection"])
    assert same(control.net, again.net) and not torch.equal(other.net.text_projection, control.net.text_projection)
    assert (control.name, control.width, control.prepare) == (clip.name, clip.width, clip.prepare)
    assert control.distrust is None and control.provenance == f"{name}: random weights (seed 4)"
    abroad = clips.load(name, pretrained=False, device=torch.device("meta"))
    assert all(p.is_meta for c in (abroad, clips.random_like(abroad, 1)) for p in c.net.parameters())
    with pytest.raises(ValueError, match="device 'tpu' is not on this machine"):
        clips.load(name, device="tpu")


# the tiny ones


def test_a_tiny_model_comes_with_its_own_tokenizer_and_preparation(home):
    with pytest.raises(FileNotFoundError, match="labkit data --rebuild-weights toybox_clip"):
        clips.load("toybox_clip")
    about = {"command": "this one", "source": "b", "accuracy": "{}", "date": "d", "torch": "2", "seconds": "9"}
    twins.save("toybox_clip", net := twin_nets.build("toybox_clip", seed=8), about)
    twins.round_as_stored(net)
    clip, texts = clips.load("toybox_clip"), ["a photo of a cat", "a drawing of a red ship"]
    assert clip.provenance == "toybox_clip: committed weights, made by `this one`" and clip.distrust is None
    twin = twin_nets.find("toybox_clip")
    assert clip.prepare == Preparation(twin.size, twin.mean, twin.std) and clip.tokenize is words.tokenize
    assert same(clip.net, net) and not clip.net.training and clip.width == clip.encode_texts(texts).shape[1]
    net.eval()
    with torch.no_grad():
        assert torch.allclose(clip.encode_texts(texts), net.encode_text(words.tokenize(texts)), atol=1e-5)
        assert torch.allclose(clip.encode_images(pixels(size=32)), net.encode_image(clip.prepare(pixels(size=32))), atol=1e-5)


# encoding


@pytest.fixture
def clip(home) -> clips.Clip:
    put(local(home), model())
    return clips.load(VIT)


def test_the_tokenizer_is_open_clips_and_needs_no_network(clip, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    tokens = clip.tokenize(PROMPTS)
    assert tokens.shape == (5, 77) and tokens.dtype == torch.int64
    for name in REAL:
        assert torch.equal(tokens, open_clip.get_tokenizer(REAL[name].architecture)(PROMPTS))
    assert all(clips.load(name, pretrained=False).tokenize is clip.tokenize for name in SMALL)  # made once
    assert clip.tokenize(["a cat"])[0, :4].tolist() == [49406, 320, 2368, 49407]  # as in OpenAI's vocabulary


def test_the_batch_size_does_not_change_what_comes_out(clip):
    texts = [f"a photo of {n} cats" for n in range(7)]
    for batch_size in (1, 3, 7, 100):
        assert torch.allclose(clip.encode_images(pixels(7), batch_size=batch_size), clip.encode_images(pixels(7)), atol=1e-5)
        assert torch.allclose(clip.encode_texts(texts, batch_size=batch_size), clip.encode_texts(texts), atol=1e-5)
    assert clip.encode_images(pixels(7)).shape == clip.encode_texts(texts).shape == (7, 12)
    sizes = []
    clip.net.visual.register_forward_hook(lambda m, i, o: sizes.append(len(o)))
    clip.encode_images(pixels(7), batch_size=3)
    assert sizes == [3, 3, 1]


def test_features_are_not_of_unit_length_and_on_the_cpu_without_gradient(clip):
    for features in (clip.encode_images(pixels()), clip.encode_texts(PROMPTS)):
        assert (features.norm(dim=1) - 1).abs().min() > 0.01 and features.norm(dim=1).std() > 0
        assert features.dtype == torch.float32 and features.device.type == "cpu" and not features.requires_grad
        assert not features.is_inference()
        nn.Linear(12, 2)(features).sum().backward()  # a probe can be trained on them


def test_sets_tensors_and_grey_images_are_taken(clip):
    x = pixels(3, channels=1)
    grey = Images(x, torch.zeros(3).long(), ("a",), "three", "test", "drawn")
    features = clip.encode_images(grey)
    assert torch.equal(features, clip.encode_images(x))
    assert torch.allclose(features, clip.encode_images(grey.rgb()), atol=1e-5)
    assert torch.allclose(clip.encode_texts(("a", "b")), clip.encode_texts(["a", "b"]))


@pytest.mark.parametrize("grad", [True, False])
def test_modes_and_gradients_are_left_as_they_were(clip, grad):
    net = clip.net
    still = clip.encode_images(pixels()), clip.encode_texts(PROMPTS)
    net.visual.patch_dropout = nn.Dropout(0.5)  # would show in training mode
    net.visual.train()
    net.transformer.resblocks[1].train()
    net.ln_final.requires_grad_(False)
    modes = [module.training for module in net.modules()]
    wanted = [p.requires_grad for p in net.parameters()]

    def as_before() -> bool:
        state = [module.training for module in net.modules()], [p.requires_grad for p in net.parameters()]
        return state == (modes, wanted) and torch.is_grad_enabled() == grad and all(p.grad is None for p in net.parameters())

    with torch.set_grad_enabled(grad):
        assert torch.allclose(clip.encode_images(pixels()), still[0], atol=1e-5)
        assert torch.allclose(clip.encode_texts(PROMPTS), still[1], atol=1e-5) and as_before()

        def breaks(*inputs):
            raise KeyError("on purpose")

        for module in (net.visual, net.transformer):
            module.register_forward_pre_hook(breaks)
        for encode, inputs in ((clip.encode_images, pixels()), (clip.encode_texts, PROMPTS)):
            with pytest.raises(KeyError):
                encode(inputs)
            assert as_before()


def test_loading_is_quiet_and_changes_no_settings(home, monkeypatch, capfd):
    def settings():
        return torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device(), logging.root.level

    put(local(home), model(), BIN)
    put(local(home, RN), model(RN))
    monkeypatch.setattr(logging.root, "handlers", [])  # where there are none, one remark on the root logger makes one
    clips._tokenizer.cache_clear()
    before = settings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, pretrained in ((VIT, True), (RN, True), (LAION, False)):
            clips.load(name, pretrained=pretrained).encode_texts(PROMPTS)
    assert settings() == before and logging.root.handlers == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "x, found",
    [
        (pixels()[0], r"torch.uint8 \(3, 48, 48\)"),
        (pixels()[:0], r"torch.uint8 \(0, 3, 48, 48\)"),
        (pixels() / 255, r"torch.float32 \(5, 3, 48, 48\)"),
        ([1, 2], "list"),
    ],
    ids=["one image", "none", "floats", "a list"],
)
def test_images_of_another_kind_are_refused(clip, x, found):
    with pytest.raises(ValueError, match=rf"encode_images: the images are {found}: give a set, or its pixels, uint8"):
        clip.encode_images(x)


def test_texts_of_another_kind_and_batches_of_none_are_refused(clip):
    with pytest.raises(TypeError, match=re.escape("encode_texts: 'a cat' is one text: give a list of texts, ['a cat']")):
        clip.encode_texts("a cat")
    with pytest.raises(TypeError, match="encode_texts: 3 is int, not text"):
        clip.encode_texts(["a", 3])
    with pytest.raises(ValueError, match="the list of texts is empty: give at least one"):
        clip.encode_texts([])
    for encode, inputs in ((clip.encode_images, pixels()), (clip.encode_texts, ["a"])):
        with pytest.raises(ValueError, match="batch_size is 0: it must be at least 1"):
            encode(inputs, batch_size=0)
    with pytest.raises(ValueError, match=r"shape \(5, 2, 48, 48\)"):
        clip.encode_images(pixels(channels=2))


def test_the_temperature_divides_cosines_into_open_clips_logits(clip):
    assert math.isclose(clips.load(LAION, pretrained=False).temperature, 0.07, rel_tol=1e-6)  # as CLIP starts
    image, text = (nn.functional.normalize(x) for x in (clip.encode_images(pixels()), clip.encode_texts(PROMPTS)))
    with torch.no_grad():
        logits, _ = clip.net.get_logits(clip.prepare(pixels()), clip.tokenize(PROMPTS))
    assert torch.allclose(image @ text.T / clip.temperature, logits, atol=1e-4) and isinstance(clip.temperature, float)


def test_preparation_is_open_clips_transform_but_for_the_interpolation(clip):
    transform = open_clip.image_transform(32, is_train=False)

    def theirs(x: Tensor) -> Tensor:
        return torch.stack([transform(Image.fromarray(each.permute(1, 2, 0).numpy())) for each in x])

    assert torch.allclose(clip.prepare(pixels(size=32)), theirs(pixels(size=32)), atol=1e-5)  # nothing to interpolate
    smooth = (nn.functional.interpolate(torch.rand(2, 3, 8, 8), size=96, mode="bilinear") * 255).to(torch.uint8)
    assert (clip.prepare(smooth) - theirs(smooth)).abs().max() < 0.15  # half of a deviation is 0.13 of the grey scale
