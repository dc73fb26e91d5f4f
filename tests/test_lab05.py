"""The functions of lab 05, pulled out of the notebook, against other ways of computing them, and under every profile."""

import itertools
import json
import math
import tomllib

import numpy as np
import open_clip
import pytest
import torch
from notebook_source import NOTEBOOKS, cells, namespace, shortened
from open_clip.loss import ClipLoss
from scipy.linalg import orthogonal_procrustes
from torch.nn import functional as F

from labkit import clips, sets, twin_nets, twins
from labkit.ledger import NOT_MEASURED
from labkit.machine import generator
from labkit.public import clip_weights
from labkit.sets import Images
from labkit.worlds import toybox

LAB = "05_clip_modality_gap"
SMALL = {"images": 80, "pairs": 80}  # as many: then equal seeds would draw equal pictures
CELLS = (
    *("s0-settings", "s0-images", "s0-features", "zero-shot-classifier", "s1-prompts", "gap-metrics", "s2-measures"),
    *(
        "s2-measured",
        "clip-loss",
        "s3-heads-settings",
        "s3-heads-begun",
        "s3-heads",
        "shifted",
        "s3-shift",
        "procrustes",
        "s4-as-reported",
    ),
    *("repaired", "s4-treatments", "s4-judged"),
)


@pytest.fixture(scope="module")
def tiny():
    lab = shortened(LAB, "tiny", **SMALL)
    return namespace(LAB, *CELLS, lab=lab)


def features(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 0.5])
def test_the_loss_and_its_gradient_are_those_of_open_clip(tiny, temperature):
    x, y = features(12, 6).requires_grad_(), features(12, 6, seed=1).requires_grad_()
    ours = tiny["clip_loss"](x, y, temperature)
    theirs = ClipLoss()(F.normalize(x, dim=-1), F.normalize(y, dim=-1), torch.tensor(1 / temperature, dtype=torch.float64))
    assert ours.item() == pytest.approx(theirs.item())
    for a, b in zip(torch.autograd.grad(ours, (x, y)), torch.autograd.grad(theirs, (x, y)), strict=True):
        assert torch.allclose(a, b)


def test_many_batches_at_once_have_the_losses_of_each(tiny):
    x, y, tau = features(3, 2, 7, 5), features(3, 2, 7, 5, seed=1), torch.tensor([0.02, 0.1, 1.0]).reshape(3, 1, 1, 1)
    together = tiny["clip_loss"](x, y, tau)
    assert together.shape == (3, 2)
    for i, j in itertools.product(range(3), range(2)):
        assert together[i, j].item() == pytest.approx(tiny["clip_loss"](x[i, j], y[i, j], tau[i].item()).item())


def test_lengths_multiply_the_distance_of_the_means():
    lab = shortened(LAB, "tiny", **SMALL)
    scope = namespace(LAB, *CELLS[:3], "s2-length", lab=lab)
    record = lab.records["raw_gap"]
    found = dict(zip(record["arms"], record["values"], strict=True))
    for key, (images, texts) in scope["raw"].items():
        x, y = images.double().numpy(), texts.double().numpy()
        of_one = [v / np.linalg.norm(v, axis=2, keepdims=True) for v in (x, y)]
        means = [[each.mean(1) for each in pair] for pair in ((x, y), of_one)]
        for how, (a, b) in zip(("as it comes", "length 1"), means, strict=True):
            assert found[f"{key}, {how}"] == pytest.approx(np.linalg.norm(a - b, axis=1).tolist(), rel=1e-4)


@pytest.mark.parametrize(("n", "d"), [(30, 5), (4, 9)])
def test_procrustes_is_scipys(tiny, n, d):
    x, y = features(n, d), features(n, d, seed=1)
    ours, (theirs, _) = tiny["procrustes"](x, y), orthogonal_procrustes(x.numpy(), y.numpy())
    assert torch.allclose(ours.T @ ours, torch.eye(d, dtype=torch.float64), atol=1e-9)
    assert (x @ ours - y).norm().item() == pytest.approx(np.linalg.norm(x.numpy() @ theirs - y.numpy()))
    if n > d:
        assert np.allclose(ours.numpy(), theirs)


def test_the_repaired_code_is_procrustes_on_the_fitted_pairs_and_the_reports_has_both_slips(tiny):
    x, y = F.normalize(features(20, 4), dim=1), F.normalize(features(20, 4, seed=1), dim=1)
    chosen = torch.arange(20) % 3 > 0
    rotation = torch.from_numpy(orthogonal_procrustes(x[chosen].numpy(), y[chosen].numpy())[0])
    assert torch.allclose(tiny["repaired"](x, y, chosen), x @ rotation)
    every = torch.from_numpy(orthogonal_procrustes(x.numpy(), y.numpy())[0])
    cosine, turned = tiny["as_reported"](x, y)
    assert cosine.item() == pytest.approx((x @ every * y).sum(1).mean().item()) and torch.allclose(turned, x @ every.T)


def test_the_classifier_of_words_is_that_of_open_clip(tiny):
    clip, templates = tiny["nets"]["usual"], tiny["PROMPTS"]["variants"]
    ours = tiny["zero_shot_classifier"](clip.encode_texts, toybox.CLASSES, templates)
    theirs = open_clip.build_zero_shot_classifier(clip.net, clip.tokenize, toybox.CLASSES, templates)
    assert torch.allclose(ours, theirs.T, atol=1e-5)


def test_the_prompt_of_a_single_sentence_is_the_short_list(tiny):
    for key, clip in tiny["nets"].items():
        ours = tiny["zero_shot_classifier"](clip.encode_texts, tiny["names"], tiny["PROMPTS"]["short"])
        assert torch.allclose(tiny["prompts"][key], ours, atol=1e-5)
    assert [len(tiny["PROMPTS"][key]) for key in ("plain", "short", "variants")] == [1, 1, 12]


def test_measures_of_the_gap_agree_with_loops(tiny):
    x, y = F.normalize(features(9, 4), dim=1), F.normalize(features(9, 4, seed=1), dim=1)
    pairs = list(itertools.combinations(range(9), 2))
    assert tiny["cone"](x) == pytest.approx(np.mean([float(x[i] @ x[j]) for i, j in pairs]))
    close = [math.exp(-2 * float((x[i] - x[j]).square().sum())) for i, j in pairs]
    assert tiny["uniformity"](x) == pytest.approx(math.log(np.mean(close)))
    found = tiny["gap_metrics"](x, y)
    apart = np.mean([(1 - float(x[i] @ y[i])) / 2 for i in range(9)])
    within = np.mean([[(1 - float(z[i] @ z[j])) / 2 for i, j in pairs] for z in (x, y)])
    assert found["rmg"] == pytest.approx(apart / (apart + within))
    numbers = tiny["measured"](x.float(), y.float(), [str(i) for i in range(9)])
    assert numbers["alignment"] == pytest.approx(np.mean([float((x[i] - y[i]).square().sum()) for i in range(9)]), rel=1e-5)


def test_separability_is_chance_for_one_cloud_and_sure_for_two_and_scored_on_other_pairs(tiny):
    x, y = features(400, 5).float(), features(400, 5, seed=1).float()
    assert tiny["separability"](x, y) == pytest.approx(0.5, abs=0.08)
    assert tiny["separability"](x, y + 6) == 1
    wide = features(40, 400, seed=2).float(), features(40, 400, seed=3).float()  # fits its own half whatever it is
    assert 0.2 < tiny["separability"](*wide) < 0.8


def test_retrieval_counts_an_equal_text_as_the_own_one(tiny):
    x = torch.eye(4)
    y = x[[1, 0, 2, 3]]
    assert tiny["retrieval"](x, y, ["a", "b", "c", "d"]) == 0.5
    assert tiny["retrieval"](x, y, ["a", "a", "c", "d"]) == 1


def test_seeds_draw_other_pictures_and_none_is_fitted_and_scored(tiny):
    drawn = [tuple(image.flatten().tolist()) for images in (*tiny["tests"], *tiny["fits"]) for image in images.pixels]
    assert len(set(drawn)) == len(drawn) == 4 * 160
    assert {key: tuple(x.shape) for key, (x, _) in tiny["unit"].items()} == dict.fromkeys(tiny["nets"], (4, 80, 64))
    assert all(torch.allclose(x.norm(dim=-1), torch.ones(4, 80)) for pair in tiny["unit"].values() for x in pair)


def test_noisy_captions_are_exchanged_among_half_of_the_fitted_pairs_alone(tiny):
    full, noisy, fit, held = (tiny["given_y"]["full"], tiny["given_y"]["noisy"], tiny["fit"], tiny["held"])
    same = (full == noisy).all(1)
    assert same[held].all() and 0.5 <= same[fit].float().mean() < 0.52
    assert len(set(fit.tolist()) & set(held.tolist())) == 0
    assert torch.equal(torch.unique(full[fit], dim=0), torch.unique(noisy[fit], dim=0))


def test_heads_are_trained_each_on_its_own_captions_and_temperature(tiny):
    assert tiny["curve"].shape == (tiny["STEPS"] // 20 + 1, len(tiny["SETTINGS"]), 4)
    assert torch.allclose(tiny["curve"][0, 0], tiny["curve"][0, 1]), "arms of a seed start alike"
    assert torch.equal(tiny["curve"][-1], tiny["gaps"])
    for i, (_, kind) in enumerate(tiny["SETTINGS"]):
        assert torch.equal(tiny["texts"][i], tiny["given_y"][kind])


def test_treatments_are_fitted_on_other_pairs_and_do_what_they_say(tiny):
    x, y, w = (part.double() for part in (tiny["unit"]["other"][0][1], tiny["unit"]["other"][1][1], tiny["prompts"]["other"]))
    moved = tiny["treated"]("other", 1)
    fit_x, fit_y = (part[1].double().numpy() for part in tiny["fitting"]["other"])
    rotation = torch.from_numpy(orthogonal_procrustes(fit_x, fit_y)[0])
    assert torch.allclose(moved["R"][0], x @ rotation) and torch.equal(moved["R"][1], y) and torch.equal(moved["R"][2], w)
    assert torch.allclose(moved["R transposed"][0], x @ rotation.T)
    assert torch.allclose(moved["R on both"][0] @ moved["R on both"][1].T, x @ y.T, atol=1e-5)
    assert torch.allclose(moved["random"][0] @ moved["random"][0].T, x @ x.T)
    half = torch.from_numpy(fit_x.mean(0) - fit_y.mean(0)) / 2
    assert torch.allclose(moved["shift"][1], F.normalize(y + half, dim=-1), atol=1e-6)
    q = tiny["random_rotation"](5, 0)
    assert torch.allclose(q.T @ q, torch.eye(5, dtype=torch.float64))


def test_what_is_judged_are_cosine_margin_gap_and_accuracy_of_each_treatment(tiny):
    table, labels = tiny["judged"]("usual"), tiny["labels"]
    for s, t in itertools.product(range(4), range(len(tiny["TREATMENTS"]))):
        x, y, w = list(tiny["treated"]("usual", s).values())[t]
        found = tiny["gap_metrics"](x, y)
        assert table["matched"][t, s].item() == pytest.approx(found["matched"], abs=1e-5)
        assert table["margin"][t, s].item() == pytest.approx(found["matched"] - found["mismatched"], abs=1e-5)
        assert table["gap"][t, s].item() == pytest.approx(found["gap"], abs=1e-4)
        assert table["accuracy"][t, s] == ((x @ w.T).argmax(1) == labels[s]).double().mean()


def test_along_the_gap_prompts_move_as_texts_do(tiny):
    loss, rate = tiny["along_the_gap"]("other", 0.0)
    x, y = (part[2] for part in tiny["unit"]["other"])
    texts = tiny["captions_of"](tiny["tests"][2])
    once = [i for i in range(80) if texts[i] not in texts[:i]]
    assert 30 < len(once) < 80
    temperature = tiny["nets"]["other"].temperature
    assert loss[2].item() == pytest.approx(tiny["clip_loss"](x[once], y[once], temperature).item(), rel=1e-4)
    assert rate[2] == (tiny["named"](x, tiny["prompts"]["other"]) == tiny["labels"][2]).float().mean()
    amount, gap = 4.0, x.mean(0) - y.mean(0)
    moved_x, moved_w = x - amount / 2 * gap, tiny["prompts"]["other"] + amount / 2 * gap
    expected = (F.normalize(moved_x, dim=1) @ F.normalize(moved_w, dim=1).T).argmax(1) == tiny["labels"][2]
    assert tiny["along_the_gap"]("other", amount)[1][2] == expected.float().mean()
    still = (F.normalize(moved_x, dim=1) @ tiny["prompts"]["other"].T).argmax(1) == tiny["labels"][2]
    assert expected.float().mean() != still.float().mean()


def test_all_claims_have_an_expectation_and_no_other():
    assert _claimed() == set(tomllib.loads((NOTEBOOKS / "expected.toml").read_text())[LAB]["claims"])


def _claimed() -> set[str]:
    source = "\n".join(cell["source"] for cell in cells(LAB) if cell["cell_type"] == "code")
    return {part.split('"')[1] for part in source.split("lab.claim(")[1:]}


# the other profiles

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
TINY = {
    "tiny": {"embed_dim": 24, "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8}},
    "tiny-rn": {"embed_dim": 20, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}},
}


def stand_in(name, *, split, limit=None, **options):
    """As STL-10: few images of noise, no captions."""
    assert name == "stl10"
    n = limit or 340
    pixels = torch.randint(0, 256, (n, 3, 96, 96), generator=generator(len(split)), dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % 10, CLASSES, name, split, "noise")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Published nets are small ones; their checkpoints belong to a folder that LABKIT_DATA names."""
    plans = clip_weights.NETS
    for name, config in TINY.items():
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, {**config, "text_cfg": TEXT, "quick_gelu": True})
    monkeypatch.setattr(
        clip_weights, "NETS", {name: plans[name]._replace(architecture="tiny-rn" if "RN" in name else "tiny") for name in plans}
    )
    monkeypatch.setattr(sets, "load", stand_in)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return tmp_path


def run_through(profile):
    lab = shortened(LAB, profile, **SMALL)
    scope = namespace(LAB, lab=lab)
    for cell in cells(LAB):
        name = cell["id"]
        if cell["cell_type"] == "code" and name not in ("setup", "summary"):
            exec(compile(cell["source"], name, "exec"), scope)
    assert set(lab.claims) == _claimed()
    return lab, scope


@pytest.mark.parametrize("profile", ["laptop", "full"])
def test_every_cell_runs_on_checkpoints_of_open_clip_from_a_local_folder(profile, published):
    made = {}
    for name in ("ViT-B-32/openai", "RN50/openai", "ViT-L-14/openai"):
        made[name] = clip_weights.build(name).eval()
        folder = published / "open_clip" / name
        folder.mkdir(parents=True)
        torch.save({"epoch": 1, "state_dict": made[name].state_dict()}, folder / "open_clip_pytorch_model.bin")
    lab, scope = run_through(profile)
    assert lab.distrust is None and NOT_MEASURED not in {claim["verdict"] for claim in lab.claims.values()}
    assert scope["nets"]["usual"].name == "ViT-B-32/openai" and "SHA-256" in scope["nets"]["usual"].provenance
    images = scope["tests"][0].pixels[:4]
    with torch.no_grad():
        expected = made["ViT-B-32/openai"].encode_image(scope["nets"]["usual"].prepare(images), normalize=True)
    assert torch.allclose(scope["unit"]["usual"][0][0, :4], expected, atol=1e-5)
    assert scope["captions_of"](scope["tests"][0])[0].startswith("a photo of a ")


def test_random_weights_that_stand_in_are_not_measured(published, monkeypatch):
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    lab, _ = run_through("laptop")
    assert lab.distrust == "random weights"
    assert {claim["verdict"] for claim in lab.claims.values()} == {NOT_MEASURED}


def test_the_curves_in_the_notebook_are_those_in_the_weights():
    assert set(twin_nets.CLIPS) <= set(clips.known())
    for name in twin_nets.CLIPS:
        assert twins.load(name).logit_scale.exp().item() == pytest.approx(
            1 / json.loads(twins.about(name)["curves"])["temperature"][0][-1], rel=0.02
        )
