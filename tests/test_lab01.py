"""The functions of lab 01, pulled out of the notebook, against independent references, and its nets under every profile."""

import tomllib

import pytest
import torch
from notebook_source import NOTEBOOKS, namespace, shortened
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchvision.models.resnet import Bottleneck

from labkit import sets, zoo
from labkit.ledger import HOLDS, NOT_MEASURED
from labkit.sets import Images

LAB = "01_resnet_transfer"
GROUND = ("s0-settings", "s0-fit-head", "s0-heads", "s0-demo")
SMALL = {
    **{"pool": 120, "drawn": (60, 40), "test": 60, "epochs": 1, "judged": 40, "images": 30, "steps": 12},
    **{"few": (20, 30), "more": (20, 40), "probed": 24, "held_out": 24},
}


@pytest.fixture(scope="module")
def tiny():
    return namespace(LAB, *GROUND, "s3-lesion", "s4-fit", "s4-tune", lab=shortened(LAB, "tiny", **SMALL))


def test_seeds_draw_their_own_images_and_validate_on_others(tiny):
    train, val = tiny["train_index"], tiny["val_index"]
    assert train.shape == (4, 60) and val.shape == (4, 40)
    assert all(not set(a.tolist()) & set(b.tolist()) for a, b in zip(train, val, strict=True))
    assert len({tuple(sorted(row.tolist())) for row in train}) == 4


def test_heads_are_linear_classifiers_of_standardised_features(tiny):
    x, z = tiny["intact"]["avgpool"]
    said = tiny["fit_head"](x, steps=400)(z)
    for s in range(4):
        i = tiny["train_index"][s]
        mean, std = x[tiny["train_index"]].mean((0, 1)), x[tiny["train_index"]].std((0, 1)) + 1e-6
        model = LogisticRegression(C=0.05, max_iter=2000).fit((x[i] - mean) / std, tiny["y_pool"][i])
        theirs = torch.as_tensor(model.predict((z - mean) / std))
        assert (said[s] == theirs).float().mean() > 0.75


def test_the_features_of_all_layers_have_one_dimension_and_the_random_net_is_another(tiny):
    assert {tuple(pair[0].shape) for pair in tiny["intact"].values()} == {(120, tiny["WIDTH"])}
    assert not torch.allclose(tiny["intact"]["layer1"][0], tiny["untrained"]["layer1"][0])
    assert tiny["demo"][2].mean() > tiny["demo"][1].mean() + 0.1  # also with so few labels


def test_a_lesion_is_undone_also_after_an_error_and_is_not_taken_from_the_cache(tiny):
    block, few = tiny["base"].net.layer2[1], tiny["test"]
    before = tiny["features_of"](tiny["base"].net, images=[few])["avgpool"][0]
    with tiny["lesioned"]([block], tiny["no_branch"]):
        assert not torch.allclose(tiny["features_of"](tiny["base"].net, images=[few])["avgpool"][0], before)
    with pytest.raises(KeyError), tiny["lesioned"]([block], tiny["no_branch"]):
        raise KeyError
    assert "forward" not in vars(block)
    assert torch.equal(tiny["features_of"](tiny["base"].net, images=[few])["avgpool"][0], before)


@pytest.mark.parametrize("stride", [1, 2])
def test_no_branch_is_the_block_with_a_branch_of_zeros(tiny, stride):
    torch.manual_seed(0)
    shortcut = nn.Conv2d(8, 16, 1, stride, bias=False) if stride == 2 else None
    block = Bottleneck(8 if stride == 2 else 16, 4, stride, shortcut).eval()
    x = torch.randn(2, 8 if stride == 2 else 16, 6, 6)
    wanted = tiny["no_branch"](block, x)
    nn.init.zeros_(block.bn3.weight)
    assert torch.allclose(wanted, block(x))


@pytest.mark.parametrize(("part", "first"), [("last stage", "layer4"), ("everything", "conv1")])
def test_fine_tuning_changes_the_upper_part_and_nothing_below_it(tiny, part, first):
    before = zoo.load("tiny_resnet", device="cpu", classes=10, seed=tiny["seeds"][0]).net.state_dict()
    net, seconds, weights = tiny["fine_tune"]("pretrained", part, 0)
    names = [name for name, _ in net.named_children()]
    frozen = tuple(f"{name}." for name in names[: names.index(first)])
    for name, value in net.state_dict().items():
        same = torch.equal(value, before[name])
        assert same if name.startswith(frozen) else not same or "layer" not in name, name
    assert not net.training and seconds > 0
    assert weights == sum(p.numel() for name, p in net.named_parameters() if not name.startswith(frozen))


def test_twins_share_their_first_weights_and_differ_by_the_skip_alone():
    scope = namespace(LAB, "s3-twin-nets", "s3-twin", lab=shortened(LAB, "tiny", **SMALL))
    residual, plain = (scope["twin"](3, skip, 7) for skip in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(residual.parameters(), plain.parameters(), strict=True))
    block, x = residual[3], torch.randn(2, 16, 4, 4)
    block.eval()
    branch = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    assert torch.allclose(block(x), (branch + x).relu())
    block.skip = False
    assert torch.allclose(block(x), branch.relu())


def test_a_head_seen_early_ends_as_the_head_of_the_stages_and_without_shortcuts_is_worse(tiny):
    lab = tiny["lab"]
    scope = namespace(LAB, *GROUND, "no-skip", "s3-lesion", "s3-stages", "s3-dynamics", lab=lab)
    record = lab.records["head_dynamics"]
    values = torch.tensor(record["values"]).reshape(2, 4, -1)  # (shortcuts, looks, seeds)
    assert torch.allclose(values[0, -1], scope["cut"][0].float()) and torch.allclose(values[1, -1], scope["cut"][-1].float())
    assert record["arms"][3] == "with shortcuts, 150 steps" and record["arms"][4] == "without, 10 steps"
    assert not torch.equal(values[:, 0], values[:, -1])  # ten steps are not all
    assert (values[0].mean(1) > values[1].mean(1) + 0.1).all()


def test_memorising_is_judged_from_the_ten_stored_seeds():
    lab = shortened(LAB, "tiny", **{name: value for name, value in SMALL.items() if name != "more"})
    namespace(LAB, *GROUND, "s4-fit", "s4-labels", "s4-memorises", lab=lab)
    expected = tomllib.loads((NOTEBOOKS / "expected.toml").read_text(encoding="utf-8"))[LAB]
    stored = expected["bands"]["tiny"]["extended"]["labels"]
    assert lab.records["memorised"]["values"] == [stored["patient, training"], stored["patient, test"]]
    claim = lab.claims["scratch-memorises"]
    apart = sum(a - b for a, b in zip(*lab.records["memorised"]["values"], strict=True)) / 10
    assert claim["verdict"] == HOLDS and claim["as_expected"] and claim["numbers"].startswith(f"{apart:.3g} [")


def stand_in(name, *, split="train", limit=None, seed=0, **options):
    """Noise in the shapes of CIFAR-10; the real digits."""
    if name == "digits":
        return real_load(name, split=split, limit=limit, seed=seed, **options)
    rng = torch.Generator().manual_seed(seed)
    n = limit or 64
    pixels = torch.randint(0, 256, (n, 3, 32, 32), generator=rng, dtype=torch.uint8)
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return Images(pixels, torch.arange(n) % 10, names, name, split, "noise")


real_load = sets.load
ALL = (
    *GROUND, "train-only", "accuracy", "s1-fit", "s1-train", "s1-run", "s1-drift", "s1-claims", "s1-cache", "s2-run",
    "no-skip", "lesion-drops", "s3-lesion", "s3-lesion-run", "s3-lesion-table", "s3-lesion-figure", "s3-lesion-claims",
    "s3-stages", "s3-dynamics", "s3-twin-nets", "s3-twin", "s3-twin-fit", "s3-twin-train", "s3-twin-loop", "s3-twin-run",
    "s3-profiles", "s3-twin-claims", "s4-fit", "s4-tune", "s4-grid", "s4-heads", "s4-table", "s4-pareto", "s4-claims",
    "s4-labels", "s4-labels-figure", "s4-memorises", "hooked-means", "s5-maps", "s5-depth", "s5-cka", "s5-figure", "s5-claims",
    "s5-dimension", "s6-negative", "s6-confused", "s6-small",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("net", "other"), [("resnet18", "resnet50")])
def test_nets_of_larger_profiles_go_through_every_cell_and_random_weights_are_not_measured(net, other, monkeypatch, tmp_path):
    monkeypatch.setattr(sets, "load", stand_in)
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    sizes = {"net": net, "other": other, "size": 32, "small": 16, "depth": (1, 2), "batch": 16, "batch_size": 16}
    sizes |= {"pool": 80, "drawn": (60, 16), "test": 30, "judged": 20, "images": 20, "probed": 60}
    lab = shortened(LAB, "laptop", **{**SMALL, **sizes})
    monkeypatch.setattr(type(lab), "_folder", lambda self: tmp_path)
    lab.seeds = lambda n: [0, 1][:n]
    namespace(LAB, *ALL, lab=lab)
    assert lab.distrust == "random weights"
    assert len(lab.claims) > 30 and {claim["verdict"] for claim in lab.claims.values()} == {NOT_MEASURED}
