"""Vision transformers of the Hugging Face hub: both layouts against transformers' own; files found, fetched, or refused."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torchvision.models import ViT_B_16_Weights, ViT_L_16_Weights
from transformers import ViTConfig, ViTForImageClassification, ViTMAEConfig, ViTMAEForPreTraining, ViTMAEModel, ViTModel

from labkit import features, zoo
from labkit.files import OfflineError
from labkit.public import DamagedData, hub
from labkit.sets import Images

REAL = dict(hub.NETS)
DEIT, VIT, DINO, MAE = (
    "facebook/deit-tiny-patch16-224",
    "google/vit-base-patch16-224",
    "facebook/dino-vits16",
    "facebook/vit-mae-base",
)
TINY = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 24}
TINY |= {"image_size": 32, "patch_size": 8}
DECODER = {f"decoder_{key}": 8 for key in ("hidden_size", "intermediate_size")} | {"decoder_num_hidden_layers": 1}
DECODER |= {"decoder_num_attention_heads": 2}
B_16, L_16 = (each.IMAGENET1K_V1.meta["num_params"] for each in (ViT_B_16_Weights, ViT_L_16_Weights))
PUBLISHED = {  # number of parameters: of torchvision's equal nets, and as timm lists DeiT's; encoders with a head of 1000
    DEIT: 5_717_416,
    "facebook/deit-small-patch16-224": 22_050_664,
    "facebook/deit-base-patch16-224": B_16,
    VIT: B_16,
    "google/vit-large-patch16-224": L_16,
    DINO: 22_050_664,
    MAE: B_16,
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Small nets, an empty workbook, an empty cache of the hub, and no network whatever the machine has."""
    monkeypatch.setattr(hub, "NETS", {name: plan._replace(options=TINY) for name, plan in REAL.items()})
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.delenv("LABKIT_RANDOM_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))  # read at import
    return tmp_path


def classifier(seed: int = 7, **options) -> ViTForImageClassification:
    """A small net that no draw of ours made, with other numbers than zero and one in every tensor."""
    config = ViTConfig(**{**TINY, "num_labels": 1000, "attn_implementation": "eager", **options})
    return stirred(ViTForImageClassification(config), seed)


def stirred(net, seed: int = 7):
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in net.state_dict().values():
            value += 0.1 * torch.randn(value.shape, generator=rng)
    return net.eval()


def old(state: dict) -> dict:
    """A state dict as transformers 4 saved it; that this is right shows in what transformers 5 makes of it."""
    pairs = [(r"(q|k|v)_proj", lambda m: "attention." + {"q": "query", "k": "key", "v": "value"}[m[1]])]
    pairs += [(r"attention\.o_proj", "attention.output.dense"), (r"mlp\.fc1", "intermediate.dense")]
    pairs += [(r"mlp\.fc2", "output.dense"), (r"^(vit\.)?layers\.", r"\1encoder.layer.")]
    renamed = {}
    for key, value in state.items():
        for pattern, other in pairs:
            key = re.sub(pattern, other, key)
        renamed[key] = value
    return renamed


def put(folder: Path, net, state: dict | None = None, *, file: str = "model.safetensors") -> Path:
    """The files of a net as in a repository of the hub; gives that of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous() for key, value in (net.state_dict() if state is None else state).items()}
    save_file(state, folder / file, metadata={"format": "pt"}) if file.endswith("safetensors") else torch.save(
        state, folder / file
    )
    (folder / "config.json").write_text(json.dumps(net.config.to_dict()), encoding="utf-8")
    return folder / file


def local(home: Path, name: str = DEIT) -> Path:
    return home / "data" / "public" / "transformers" / name


def cached(home: Path, net, name: str = DEIT, *, file: str = "model.safetensors") -> tuple[Path, Path]:
    """A folder of the hub's cache, as huggingface_hub lays it out: a link to a blob; gives both."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    spare = put(home / "spare", net, file=file)
    blob = repository / "blobs" / hashlib.sha256(spare.read_bytes()).hexdigest()
    snapshot = repository / "snapshots" / ("c0ffee" * 7)[:40]
    for folder in (blob.parent, snapshot, repository / "refs"):
        folder.mkdir(parents=True)
    spare.rename(blob)
    (repository / "refs" / "main").write_text(snapshot.name)
    (home / "spare" / "config.json").rename(snapshot / "config.json")
    (snapshot / file).symlink_to(Path("../../blobs") / blob.name)
    return snapshot / file, blob


def images(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def same(net, reference) -> bool:
    mine, theirs = net.state_dict(), reference.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


# the nets


def test_the_ids_are_known_and_their_nets_have_the_published_number_of_parameters(monkeypatch):
    assert set(hub.NETS) == set(PUBLISHED) <= set(zoo.known())
    monkeypatch.setattr(hub, "NETS", REAL)
    for name, n in PUBLISHED.items():
        with torch.device("meta"):
            net = hub.build(name)
        assert sum(p.numel() for p in net.parameters()) == n, name
        assert (net.config.image_size, net.config.patch_size, net.config.num_labels) == (224, 16, 1000)
        assert net.config.hidden_size // net.config.num_attention_heads == 64  # in all of them
        assert net(torch.empty(1, 3, 224, 224, device="meta")).logits.shape == (1, 1000)


def test_size_mean_and_deviation_are_those_of_the_hub(monkeypatch):
    monkeypatch.setattr(hub, "NETS", REAL)
    for name in REAL:
        half = name.startswith("google/")
        with torch.device("meta"):
            parts = zoo._transformers(name, False, 0)
        assert parts.prepare.size == 224
        assert parts.prepare.mean == ((0.5, 0.5, 0.5) if half else (0.485, 0.456, 0.406))
        assert parts.prepare.std == ((0.5, 0.5, 0.5) if half else (0.229, 0.224, 0.225))
        assert len(parts.layers) == (24 if "large" in name else 12)


def test_layers_come_in_the_order_of_the_forward_pass_and_the_head_last(home):
    backbone, order = zoo.load(DEIT, pretrained=False), []
    assert backbone.layers == ("vit.layers.0", "vit.layers.1") and backbone.head == "classifier"
    for layer in (*backbone.layers, backbone.head):
        backbone.net.get_submodule(layer).register_forward_hook(lambda m, i, o, layer=layer: order.append(layer))
    assert backbone.net(images()).logits.shape == (3, 1000)
    assert order == [*backbone.layers, "classifier"] and (backbone.width, backbone.classes) == (16, 1000)


def test_importing_the_zoo_imports_no_transformers():
    code = "import sys; import labkit.zoo; assert not {'transformers', 'huggingface_hub'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# their weights


@pytest.mark.parametrize("file", hub.WEIGHTS)
@pytest.mark.parametrize("layout", ["present", "old"])
def test_a_local_folder_gives_transformers_own_outputs(home, file, layout):
    reference = classifier()
    path = put(local(home), reference, old(reference.state_dict()) if layout == "old" else None, file=file)
    backbone = zoo.load(DEIT)
    assert same(backbone.net, reference)
    with torch.no_grad():
        assert torch.allclose(backbone.net(images()).logits, reference(images()).logits, atol=1e-6)
    assert type(backbone.net) is ViTForImageClassification
    assert not any(module.training for module in backbone.net.modules())
    assert all(p.requires_grad and p.dtype == torch.float32 and not p.is_meta for p in backbone.net.parameters())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert backbone.provenance == f"{DEIT}: {file}, SHA-256 {digest}..." and backbone.distrust is None
    assert (backbone.name, backbone.width, backbone.classes) == (DEIT, 16, 1000)


def test_the_folder_that_save_pretrained_leaves_is_taken(home):
    reference = classifier()
    reference.save_pretrained(local(home))
    assert same(zoo.load(DEIT).net, reference)


def test_the_old_layout_with_a_pooler_is_read_as_transformers_reads_it(home):
    net = classifier()
    state = old(net.state_dict()) | {"vit.pooler.dense.weight": torch.zeros(16, 16), "vit.pooler.dense.bias": torch.zeros(16)}
    assert "vit.encoder.layer.0.attention.attention.query.weight" in state and "vit.encoder.layer.1.output.dense.bias" in state
    put(local(home, VIT), net, state)
    reference, about = ViTForImageClassification.from_pretrained(local(home, VIT), output_loading_info=True)
    assert not about["missing_keys"]
    assert same(zoo.load(VIT).net, reference) and same(reference, net)


@pytest.mark.parametrize("layout", ["present", "old"])
@pytest.mark.parametrize("pooler", [True, False])
def test_a_dino_checkpoint_gives_the_features_of_transformers_vit(home, layout, pooler):
    net = stirred(ViTModel(ViTConfig(**TINY), add_pooling_layer=pooler))
    state = old(net.state_dict()) if layout == "old" else net.state_dict()
    assert layout == "present" or "encoder.layer.0.attention.output.dense.weight" in state
    assert any(key.startswith("pooler.") for key in state) == pooler
    put(local(home, DINO), net, state, file="pytorch_model.bin")
    reference, about = ViTModel.from_pretrained(local(home, DINO), add_pooling_layer=pooler, output_loading_info=True)
    assert not about["missing_keys"] and not about["unexpected_keys"]
    backbone = zoo.load(DINO)
    with torch.no_grad():
        mine = backbone.net.vit(images()).last_hidden_state
        assert torch.allclose(mine, reference.eval()(images()).last_hidden_state, atol=1e-5)
    assert "an encoder; its head of 1000 is untrained (seed 0)" in backbone.provenance and backbone.distrust is None


@pytest.mark.parametrize("layout", ["present", "old"])
def test_a_masked_autoencoder_gives_its_encoder_and_its_decoder_is_dropped(home, layout):
    net = stirred(ViTMAEForPreTraining(ViTMAEConfig(**TINY, **DECODER)))
    state = old(net.state_dict()) if layout == "old" else net.state_dict()
    assert any(key.startswith("decoder.decoder_layers.0.") for key in state)
    put(local(home, MAE), net, state, file="pytorch_model.bin")
    reference, about = ViTMAEModel.from_pretrained(local(home, MAE), mask_ratio=0.0, output_loading_info=True)
    assert not about["missing_keys"]
    backbone = zoo.load(MAE)
    with torch.no_grad():
        all_in_order = torch.arange(16.0).expand(3, -1)
        theirs = reference.eval()(images(), noise=all_in_order).last_hidden_state
        assert torch.allclose(backbone.net.vit(images()).last_hidden_state, theirs, atol=1e-5)
    assert backbone.net.config.model_type == "vit" and not any("decoder" in key for key in backbone.net.state_dict())
    assert "an encoder; its head of 1000 is untrained (seed 0)" in backbone.provenance


def test_the_head_of_an_encoder_is_drawn_from_the_seed_and_changes_no_other_draws(home):
    put(local(home, DINO), net := stirred(ViTModel(ViTConfig(**TINY))))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = (zoo.load(DINO, seed=seed).net for seed in (2, 2, 3))
    assert torch.equal(torch.rand(3), expected)
    assert 0 < first.classifier.weight.std() < 1 and same(first, second)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert torch.equal(first.vit.layernorm.weight, net.layernorm.weight)
    assert "untrained (seed 3)" in zoo.load(DINO, seed=3).provenance


def test_attentions_are_really_there(home):
    put(local(home), reference := classifier())
    for backbone in (zoo.load(DEIT), zoo.load(DEIT, pretrained=False), zoo.load(DEIT, classes=4)):
        attentions = backbone.net(images(), output_attentions=True).attentions
        assert [a.shape for a in attentions] == [(3, 2, 17, 17)] * 2
        assert all(torch.allclose(a.sum(-1), torch.ones(3, 2, 17), atol=1e-5) for a in attentions)
    with torch.no_grad():
        pairs = zip(
            zoo.load(DEIT).net(images(), output_attentions=True).attentions,
            reference(images(), output_attentions=True).attentions,
            strict=True,
        )
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_float16_is_widened_and_training_leaves_the_file_alone(home):
    reference = classifier()
    path = put(local(home), reference, {key: value.half() for key, value in reference.state_dict().items()})
    net = zoo.load(DEIT).net
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert torch.equal(net.vit.layernorm.weight, reference.vit.layernorm.weight.half().float())
    put(local(home), reference)
    net, content = zoo.load(DEIT).net, path.read_bytes()
    with torch.no_grad():
        net.vit.layernorm.weight.add_(1)
    assert path.read_bytes() == content and same(zoo.load(DEIT).net, reference)


def test_the_epsilon_of_the_configuration_is_kept(home):
    put(local(home), classifier(layer_norm_eps=1e-3))
    net = zoo.load(DEIT).net
    assert net.vit.layernorm.eps == net.vit.layers[1].layernorm_after.eps == net.config.layer_norm_eps == 1e-3


def test_folders_of_data_go_before_the_cache_and_the_cache_before_the_network(home, monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")

    def never(*arguments, **options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", never)
    nets = [classifier(seed) for seed in range(3)]
    cached(home, nets[0])
    assert same(zoo.load(DEIT).net, nets[0])
    put(local(home), nets[1])
    assert same(zoo.load(DEIT).net, nets[1])
    monkeypatch.setenv("LABKIT_DATA", str(home))
    put(home / "transformers" / DEIT, nets[2])
    assert same(zoo.load(DEIT).net, nets[2])
    (home / "transformers" / DEIT / "model.safetensors").unlink()  # as good as no folder
    assert same(zoo.load(DEIT).net, nets[1])


def test_the_cache_may_hold_the_older_kind_of_file(home):
    cached(home, net := classifier(), file="pytorch_model.bin")
    assert same(zoo.load(DEIT).net, net)


def test_absent_weights_offline_name_files_and_folder(home):
    with pytest.raises(OfflineError) as caught:
        zoo.load(DEIT)
    message = str(caught.value)
    assert f"{DEIT} (config.json and model.safetensors or pytorch_model.bin) is not on this disk" in message
    assert f"put it at {local(home)}, or unset LABKIT_OFFLINE" in message
    assert not (home / "hub").exists() and not (home / "data").exists()


def test_a_configuration_without_weights_does_not_do(home):
    path, _ = cached(home, classifier())
    path.unlink()
    with pytest.raises(OfflineError):
        zoo.load(DEIT)


def served(monkeypatch, source: Path):
    """A network that has the files in a folder; notes what was asked for, with the state of bars and remarks."""
    asked = []

    def download(name, file):
        asked.append((name, file, are_progress_bars_disabled(), logging.getLogger("huggingface_hub").level))
        warnings.warn("you are not logged in", stacklevel=1)
        return str(source / file)

    monkeypatch.delenv("LABKIT_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "file_exists", lambda name, file: name == DEIT and (source / file).is_file())
    return asked


@pytest.mark.parametrize("file", hub.WEIGHTS)
@pytest.mark.parametrize("hidden", ["0", "1"])
def test_the_network_is_asked_for_either_kind_with_one_bar_and_no_remarks(home, monkeypatch, capfd, file, hidden):
    put(home / "served", net := classifier(), file=file)
    asked = served(monkeypatch, home / "served")
    monkeypatch.setenv("TQDM_DISABLE", hidden)
    enable_progress_bars()
    level = logging.getLogger("huggingface_hub").level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(zoo.load(DEIT).net, net)
    assert asked == [(DEIT, "config.json", True, logging.ERROR), (DEIT, file, hidden == "1", logging.ERROR)]
    assert not are_progress_bars_disabled() and logging.getLogger("huggingface_hub").level == level
    assert capfd.readouterr() == (f"{DEIT}: fetching from the Hugging Face hub, once\n", "")  # but for this line, nothing


def response(status: int):
    import httpx

    return httpx.Response(status, request=httpx.Request("GET", "https://example.org/x"))


@pytest.mark.parametrize(
    "failure",
    [
        LocalEntryNotFoundError("no connection, see https://example.org/x"),
        HfHubHTTPError("403 for https://example.org/x", response=response(403)),
        TimeoutError("timed out"),
        RuntimeError("a reset"),
    ],
    ids=["no network", "refused", "time out", "reset"],
)
def test_a_failed_download_names_files_and_folder(home, monkeypatch, failure):
    asked = []

    def fails(name, file):
        asked.append(file)
        if file != "config.json":
            raise failure
        return str(home)

    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    monkeypatch.setattr(huggingface_hub, "file_exists", lambda *repository_and_file: True)
    level = logging.getLogger("huggingface_hub").level
    with pytest.raises(OfflineError) as caught:
        zoo.load(DEIT)
    message = str(caught.value)
    assert message.startswith(f"{DEIT} could not be downloaded (") and "://" not in message and "\n" not in message
    assert message.endswith(f"put config.json and model.safetensors or pytorch_model.bin into {local(home)}")
    assert asked == ["config.json", "model.safetensors"]
    assert str(failure).split()[0] in message and logging.getLogger("huggingface_hub").level == level


def test_a_full_disk_is_no_failure_of_the_network(home, monkeypatch):
    def fails(name, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    with pytest.raises(OSError, match=f"{DEIT} could not be written .* set HF_HOME to another folder") as caught:
        zoo.load(DEIT)
    assert not isinstance(caught.value, OfflineError)


def test_random_weights_stand_in_only_when_asked_to_and_are_not_trusted(home, monkeypatch):
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "0")
    with pytest.raises(OfflineError):
        zoo.load(DINO)
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    backbone, meant = zoo.load(DINO, seed=3), zoo.load(DINO, seed=3, pretrained=False)
    assert backbone.distrust == "random weights" and meant.distrust is None
    assert backbone.provenance == f"{DINO}: random weights (seed 3) in place of the hub's, as LABKIT_RANDOM_WEIGHTS asks"
    assert meant.provenance == f"{DINO}: random weights (seed 3)" and same(backbone.net, meant.net)
    put(local(home, DINO), net := stirred(ViTModel(ViTConfig(**TINY))))
    backbone = zoo.load(DINO)
    assert backbone.distrust is None and torch.equal(backbone.net.vit.layernorm.weight, net.layernorm.weight)


# what is refused


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a checkpoint was run')",))


def changed(path: Path, change) -> None:
    state = load_file(path)
    state = {key: value.clone() for key, value in state.items()}
    change(state)
    save_file(state, path)


def configured(path: Path, **said) -> None:
    config = path.with_name("config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | said))


SPOILERS = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-50]), r"\(.+\)"),
    "empty": (lambda path: path.write_bytes(b""), r"\(.+\)"),
    "page": (lambda path: path.write_text("<html>please log in</html>"), r"\(.+\)"),
    "pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "`git lfs pull` in a clone"),
    "lacking": (lambda path: changed(path, lambda s: s.pop("vit.layernorm.bias")), r"\(vit.layernorm.bias is missing\)"),
    "no head": (lambda path: changed(path, lambda s: s.pop("classifier.weight")), "classifier.weight is missing"),
    "more": (lambda path: changed(path, lambda s: s.update(x=torch.ones(1))), r"\(x is not of the net\)"),
    "deeper": (lambda path: save_file(classifier(num_hidden_layers=3).state_dict(), path), "of the net; 16 such faults"),
    "ten classes": (lambda path: save_file(classifier(num_labels=10).state_dict(), path), r"bias is \(10,\), not \(1000,\)"),
    "other heads": (lambda path: configured(path, num_attention_heads=4), "num_attention_heads is 4, not 2"),
    "other activation": (lambda path: configured(path, hidden_act="relu"), "hidden_act is 'relu', not 'gelu'"),
    "no number": (lambda path: configured(path, layer_norm_eps="x"), "layer_norm_eps"),
    "no configuration": (lambda path: path.with_name("config.json").write_text("[]"), r"\(.+\)"),
    "no json": (lambda path: path.with_name("config.json").write_text("<html>"), "config.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILERS)
def test_a_damaged_or_wrong_checkpoint_is_refused_and_left_alone(home, monkeypatch, capfd, case):
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")  # for absent files, not for damaged ones
    path = put(local(home), classifier())
    spoil, reason = SPOILERS[case]
    spoil(path)
    content = [path.read_bytes(), path.with_name("config.json").read_bytes()]
    with pytest.raises(DamagedData, match=reason) as caught:
        zoo.load(DEIT)
    message = str(caught.value)
    assert message.startswith(f"{path} or config.json beside it is truncated or of another net (") and "\n" not in message
    assert message.endswith("): put those of the Hugging Face hub there (`git lfs pull` in a clone)")
    assert capfd.readouterr() == ("", "")
    assert [path.read_bytes(), path.with_name("config.json").read_bytes()] == content


def test_no_code_of_a_checkpoint_is_run(home):
    path = put(local(home), net := classifier(), file="pytorch_model.bin")
    for content in ({"vit.layernorm.bias": Evil()}, net, {**net.state_dict(), "vit.layernorm.bias": 0.0}):
        torch.save(content, path)
        with pytest.raises(DamagedData, match=r"pytorch_model\.bin or config\.json beside it is truncated"):
            zoo.load(DEIT)
    path = put(local(home), net)  # goes before the other kind
    configured(path, auto_map={"AutoModelForImageClassification": "modeling.Mine"}, architectures=["Mine"])
    (local(home) / "modeling.py").write_text("raise SystemExit('code in a checkpoint was run')")
    assert same(zoo.load(DEIT).net, net)


def test_weights_without_their_configuration_are_not_guessed_at(home):
    path = put(local(home), classifier())
    path.with_name("config.json").unlink()
    with pytest.raises(OfflineError, match=r"\(config\.json and model\.safetensors or .* is not on this disk"):
        zoo.load(DEIT)


@pytest.mark.parametrize("spoil", ["cut", "flipped"])
def test_a_damaged_file_in_the_cache_says_which_folder_to_delete(home, spoil):
    path, blob = cached(home, classifier())
    content = bytearray(blob.read_bytes())
    content[-9] ^= 64
    blob.write_bytes(content[:-50] if spoil == "cut" else content)
    with pytest.raises(DamagedData) as caught:
        zoo.load(DEIT)
    assert str(caught.value).startswith(f"{path} or config.json beside it is truncated or of another net (its SHA-256 ")
    assert str(caught.value).endswith(f"not {blob.name[:8]}): delete {blob.parents[1]} and load again")


# random weights, fresh heads, features


def test_random_weights_are_transformers_under_the_seed_and_need_no_files(home, monkeypatch):
    monkeypatch.setenv("LABKIT_HOME", str(home / "nowhere"))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    backbone = zoo.load(MAE, pretrained=False, seed=11)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(11)
    assert same(backbone.net, ViTForImageClassification(ViTConfig(**TINY, num_labels=1000)))


@pytest.mark.parametrize("name", [DEIT, DINO])
def test_a_fresh_head_is_noted_where_the_loss_looks(home, name):
    put(local(home, DEIT), classifier())
    put(local(home, DINO), stirred(ViTModel(ViTConfig(**TINY))))
    plain, backbone = zoo.load(name), zoo.load(name, classes=5, seed=2)
    assert backbone.classes == 5 and backbone.width == 16 and "a fresh head of 5 classes (seed 2)" in backbone.provenance
    assert backbone.net.num_labels == backbone.net.config.num_labels == 5 and plain.net.config.num_labels == 1000
    assert same(backbone.net.vit, plain.net.vit)
    labels = torch.tensor([0, 4, 2])
    out = backbone.net(images(), labels=labels)
    assert out.logits.shape == (3, 5) and torch.allclose(out.loss, F.cross_entropy(out.logits, labels))
    torch.manual_seed(2)
    assert torch.equal(backbone.net.classifier.weight, torch.nn.Linear(16, 5).weight)


def test_the_control_has_the_same_shape_and_other_weights(home):
    put(local(home), classifier())
    backbone = zoo.load(DEIT, classes=5)
    control, again = zoo.random_like(backbone, 4), zoo.random_like(backbone, 4)
    mine, theirs = backbone.net.state_dict(), control.net.state_dict()
    assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in theirs.items()}
    assert not torch.equal(mine["vit.layers.0.mlp.fc1.weight"], theirs["vit.layers.0.mlp.fc1.weight"])
    assert (control.layers, control.head, control.prepare) == (backbone.layers, backbone.head, backbone.prepare)
    assert same(control.net, again.net) and control.distrust is None and "random weights (seed 4)" in control.provenance


def test_features_are_captured_kept_and_found_again(home, monkeypatch):
    put(local(home), reference := classifier())
    pixels = (images(4) * 255).to(torch.uint8)
    set_ = Images(pixels, torch.zeros(4).long(), ("a",), "four", "test", "drawn")
    first, runs = zoo.load(DEIT), []
    with torch.no_grad():
        out = reference(first.prepare(pixels), output_hidden_states=True).hidden_states
    whole = features.extract(first.net, set_, first.layers, prepare=first.prepare, dim=None, cache=False)
    assert torch.allclose(whole["vit.layers.0"], out[1], atol=1e-5) and whole["vit.layers.1"].shape == (4, 17, 16)
    kept = features.extract(first.net, set_, first.layers, prepare=first.prepare, dim=16)
    assert torch.allclose(kept["vit.layers.0"], out[1].mean(1), atol=1e-5)
    second = zoo.load(DEIT)
    monkeypatch.setattr(features, "_one_pass", lambda *arguments: runs.append(1))
    found = features.extract(second.net, set_, second.layers, prepare=second.prepare, dim=16)
    assert not runs and torch.equal(found["vit.layers.1"], kept["vit.layers.1"])


@pytest.mark.parametrize("bars_of_the_hub", [True, False])
def test_loading_is_quiet_and_changes_no_settings(home, monkeypatch, capfd, bars_of_the_hub):
    def settings():
        bars = (not are_progress_bars_disabled(), transformers.utils.logging.is_progress_bar_enabled())
        return transformers.logging.get_verbosity(), *bars, torch.is_grad_enabled(), torch.get_default_dtype()

    def never(*arguments, **options):
        raise AssertionError("a bar was shown")

    put(local(home), classifier(), old(classifier().state_dict()))
    put(local(home, DINO), stirred(ViTModel(ViTConfig(**TINY))), file="pytorch_model.bin")
    monkeypatch.setattr("tqdm.auto.tqdm", never)  # TQDM_DISABLE, which the tests set, would hide it
    monkeypatch.setattr("transformers.utils.logging._tqdm_active", True)
    (enable_progress_bars if bars_of_the_hub else disable_progress_bars)()
    before = settings()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in (DEIT, DINO):
            zoo.load(name, classes=3)
    enabled, after = not are_progress_bars_disabled(), settings()
    enable_progress_bars()
    assert capfd.readouterr() == ("", "") and after == before and enabled == bars_of_the_hub
