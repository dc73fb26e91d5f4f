"""The functions of lab 02, pulled out of the notebook, against other ways of computing them, and under every profile."""

import itertools
import math
import tomllib

import numpy as np
import pytest
import torch
from notebook_source import NOTEBOOKS, cells, namespace, shortened
from scipy.stats import entropy, spearmanr
from torch import nn
from torch.nn import functional as F

from labkit import sets
from labkit.files import OfflineError
from labkit.ledger import NOT_MEASURED
from labkit.machine import generator
from labkit.public import hub, vision
from labkit.sets import Images
from labkit.worlds import toybox

LAB = "02_vit_attention"
CELLS = (
    *("s0-settings", "s0-head", "s0-images", "s0-demo", "s1-places", "s1-places-claims", "s1-hat-of", "s1-hat"),
    *("attention-map", "s2-attentions", "s2-judges", "s2-measured", "rollout", "s3-gradients", "s3-leave-one-out"),
    *("s3-maps", "s3-judged", "s3-scores", "keep-tokens", "s4-sweep-of", "s4-area-of", "s4-shuffle-of"),
    *("two-probes", "mcnemar", "s5-settings"),
)
SMALL = {"images": 4, "train": 60, "test": 60}


@pytest.fixture(scope="module")
def tiny():
    lab = shortened(LAB, "tiny", **SMALL)
    return namespace(LAB, *CELLS, lab=lab)


def random_masks(n, patches, k, seed=0):
    """bool (n, patches), k True in each row."""
    return torch.rand(n, patches, generator=generator(seed)).argsort(1).argsort(1) < k


def test_hiding_takes_the_highest_patches_and_paints_just_those(tiny):
    score = torch.rand(3, 64, generator=generator(0))
    keep = tiny["hide"](score, 0.25)
    assert keep.dtype == torch.bool and (keep.sum(1) == 48).all()
    assert all(row[~k].min() > row[k].max() for row, k in zip(score, keep, strict=True))
    x = torch.rand(3, 3, 32, 32, generator=generator(1))
    z = tiny["painted"](x, keep, 0.5)
    for i, (row, column) in ((i, divmod(p, 8)) for i in range(3) for p in range(64)):
        cell = (slice(None), slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
        assert torch.equal(z[i][cell], x[i][cell] if keep[i, 8 * row + column] else torch.full((3, 4, 4), 0.5))


def test_what_is_covered_is_the_share_of_the_mask_in_each_patch(tiny):
    i, row, column = 5, 3, 4
    cell = tiny["masks"][i, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
    assert tiny["covered"][i, 8 * row + column] == pytest.approx(cell.float().mean().item())


def test_leaving_one_out_is_dropping_its_token(tiny):
    x, y, net = tiny["x"][:3], tiny["y"][:3], tiny["vit"]
    falls = tiny["without_each"](net, x, y)
    whole = tiny["logits"](net, x).gather(1, y[:, None]).squeeze(1)
    for j in (0, 17, 63):
        keep = torch.ones(3, 64, dtype=torch.bool)
        keep[:, j] = False
        with torch.no_grad():
            rest = tiny["keep_tokens"](net.net, net.prepare(x), keep).gather(1, y[:, None]).squeeze(1)
        assert torch.allclose(falls[:, j], whole - rest, atol=1e-4)
    assert falls.abs().max() > 0.01


def test_the_gradients_are_those_of_the_logit_and_grad_cam_is_captums(tiny):
    from captum.attr import LayerGradCam

    x, y, vit = tiny["x"][:4], tiny["y"][:4], tiny["vit"]
    found = tiny["gradient_maps"](vit, x, y)
    z = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(vit.net(vit.prepare(z)).logits.gather(1, y[:, None]).sum(), z)
    cells_of = slope.abs().sum(1).reshape(4, 8, 4, 8, 4).sum((2, 4)).flatten(1)
    assert torch.allclose(found[0], cells_of, rtol=1e-3, atol=1e-6)
    times = (slope * (x - tiny["mean_colour"])).sum(1).reshape(4, 8, 4, 8, 4).sum((2, 4)).flatten(1).abs()
    assert torch.allclose(found[1], times, rtol=1e-3, atol=1e-6)

    class Turned(nn.Module):
        """Patch tokens as (B, D, P), as captum wants the maps of a layer."""

        def __init__(self):
            super().__init__()
            self.turned = nn.Identity()

        def forward(self, tokens):
            turned = self.turned(tokens[:, 1:].transpose(1, 2)).transpose(1, 2)
            last = vit.net.vit.layers[-1]
            tokens_in = torch.cat([self.first, turned], 1)
            out = last.attention(tokens_in)[0] + self.residual
            return vit.net.classifier(vit.net.vit.layernorm(out + last.mlp(last.layernorm_after(out)))[:, 0])

    turned, last = Turned(), vit.net.vit.layers[-1]
    with torch.no_grad():
        turned.residual = vit.net.vit(vit.prepare(x), output_hidden_states=True).hidden_states[-2]
        tokens = last.layernorm_before(turned.residual)
        turned.first = tokens[:, :1]
        assert torch.allclose(turned(tokens), tiny["logits"](vit, x), atol=1e-4)
    theirs = LayerGradCam(turned, turned.turned).attribute(tokens.requires_grad_(), target=y, relu_attributions=True)
    assert torch.allclose(found[2], theirs.squeeze(1), rtol=1e-3, atol=1e-5 * float(theirs.detach().max()))


def test_judges_agree_with_a_map_that_can_be_counted(tiny):
    covered = tiny["covered"]
    pointing, mass, iou, even = tiny["judged"](covered + 1e-9)
    assert (pointing == 1).all() and torch.allclose(mass, covered.square().sum(1) / covered.sum(1), atol=1e-5)
    assert (iou == 1).all()
    p = covered[3] / covered[3].sum()
    assert even[3].item() == pytest.approx(entropy(p.numpy()) / math.log(64), abs=1e-4)
    flat = tiny["judged"](torch.ones_like(covered))
    assert torch.allclose(flat[1], covered.mean(1), atol=1e-5) and torch.allclose(flat[3], torch.ones(len(covered)), atol=1e-5)
    objects = covered >= 0.5
    half = torch.where(objects, 0.0, 1e-3)  # half of the object's patches, and as many others
    for row, mine in zip(half, objects, strict=True):
        n = int(mine.sum())
        row[mine.nonzero()[: n // 2, 0]] = 2.0
        row[(~mine).nonzero()[: n - n // 2, 0]] = 1.0
    kept = objects.sum(1) // 2
    assert torch.allclose(tiny["judged"](half)[2], kept / (2 * objects.sum(1) - kept))
    opposite = tiny["judged"](1 - covered + 1e-9)
    assert (opposite[0] == 0).all() and (opposite[2] == 0).all()


def test_rank_correlation_is_spearmans(tiny):
    a, b = torch.rand(3, 64, generator=generator(0)), torch.rand(3, 64, generator=generator(1))
    assert tiny["spearman"](a, b).tolist() == pytest.approx([spearmanr(p, q)[0] for p, q in zip(a, b, strict=True)], abs=1e-5)


def test_as_much_object_goes_from_each_kind_of_patch_and_at_random(tiny):
    covered, keep = tiny["covered"], tiny["hide"](-tiny["far"], 0.25)
    one, two = (tiny["as_much_object"](keep, torch.rand(keep.shape, generator=generator(s))) for s in (0, 1))
    for group in (covered >= 0.5, (covered > 0) & (covered < 0.5), covered == 0):
        assert torch.equal((group & ~one).sum(1), (group & ~keep).sum(1))
    assert torch.equal(one.sum(1), keep.sum(1)) and not torch.equal(one, two)


def test_the_centre_goes_first_and_ground_last(tiny):
    centre = (~tiny["hide"](tiny["KINDS"]["centre"], 0.25))[0].reshape(8, 8)
    assert centre[2:6, 2:6].all() and centre.sum() == 16
    object_first, ground_first = (tiny["hide"](tiny["KINDS"][kind], 0.1) for kind in ("object", "ground"))
    covered = tiny["covered"]
    assert (covered * ~object_first).sum() > 0.95 * covered.topk(6, 1).values.sum()
    assert (covered * ~ground_first).sum() == 0


def test_shuffling_moves_whole_squares_and_loses_none(tiny):
    x = torch.arange(2 * 3 * 16 * 16.0).reshape(2, 3, 16, 16)
    z = tiny["shuffled"](x, 4, generator(0))
    for image, moved in zip(x, z, strict=True):
        squares = [{tuple(s.flatten().tolist()) for s in v.unfold(1, 4, 4).unfold(2, 4, 4).permute(1, 2, 0, 3, 4).flatten(0, 1)}
                   for v in (image, moved)]  # fmt: skip
        assert squares[0] == squares[1] and len(squares[0]) == 16
    assert not torch.equal(x, z) and torch.equal(tiny["shuffled"](x, 1, generator(0)), x)
    order = [v[0, ::4, ::4].flatten() % 256 for v in z]
    assert not torch.equal(*order)  # each image in an order of its own


def test_the_same_objects_stand_in_both_kinds_of_places(tiny):
    usual, anywhere = tiny["worlds"].values()
    assert torch.equal(usual["masks"], anywhere["masks"])
    on = usual["masks"].unsqueeze(1).expand_as(usual["x"])
    off = (usual["x"] - anywhere["x"]).abs()
    assert off[on].median() < 0.02 and off[~on].mean() > 0.1  # what is drawn with soft edges mixes with the ground
    lives = tiny["lives"]
    assert lives.shape == (8, 10) and lives[toybox.BACKGROUNDS.index("sea")].tolist() == [n == "ship" for n in toybox.CLASSES]
    strange = tiny["strange"]
    places = [toybox.BACKGROUNDS[k] for k in anywhere["place"].tolist()]
    assert strange.tolist() == [
        place not in toybox.HABITAT[toybox.CLASSES[c]] for place, c in zip(places, tiny["truth"].tolist(), strict=True)
    ]


def test_agreement_on_few_pixels_is_counted_over_pairs_of_nets():
    lab = shortened(LAB, "tiny", **SMALL)
    scope = namespace(LAB, *CELLS[:3], "top-k", "s1-table", "s1-few-pixels", "s1-few-pixels-figure", lab=lab)
    assert len(scope["trio"]) == 3 and scope["coarse"].shape == scope["sharp"].shape
    sharp, coarse = (F.avg_pool2d(scope[name], 4) for name in ("sharp", "coarse"))
    assert (coarse - sharp).abs().mean() < 0.25 * (sharp - sharp.mean((2, 3), keepdim=True)).abs().mean()  # the same pictures
    edges = [scope[name].diff(dim=3).abs().mean() for name in ("sharp", "coarse")]
    assert edges[1] < 0.8 * edges[0]  # with less detail
    found = [row[0] for row in lab.records["small_image_agreement"]["values"]]
    for x, agree in zip((scope["sharp"], scope["coarse"]), found, strict=True):
        said = [[int(k) for k in scope["logits"](net, x).argmax(1)] for net in scope["trio"].values()]
        pairs = [a == b for votes in zip(*said, strict=True) for a, b in itertools.combinations(votes, 2)]
        assert agree == pytest.approx(sum(pairs) / len(pairs))
    assert found[1] < found[0]  # the nets were not trained on such pictures


def test_a_hat_is_the_other_object_within_its_outline(tiny):
    thing, outline = tiny["cut_out"](tiny["x"][0], tiny["masks"][0])
    h, w = outline.shape[1:]
    assert max(h, w) == 9 and thing.shape == (3, h, w)
    top, bottom, left, right = tiny["box_of"](tiny["masks"][0])
    assert h / w == pytest.approx((bottom - top) / (right - left), rel=0.12)
    image = torch.zeros(3, 32, 32)
    worn = tiny["put"](image, thing + 1, outline, -5.0, 31.0)  # moved into the frame
    changed = worn.ne(0).any(0)
    assert torch.equal(changed[:h, 32 - w :], outline[0]) and changed.sum() == outline.sum() and not image.any()
    tops = tiny["beside_at"].any(2).float().argmax(1)
    assert tiny["beside_at"].sum((1, 2)).min() > 0 and ((tops <= 1) | (tops > 20)).all()


def test_a_fitted_head_is_a_logistic_regression_on_frozen_features(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(vision.TORCHVISION, "resnet18", vision.TORCHVISION["resnet18"]._replace(size=32))
    fitted = tiny["with_toybox_head"]("resnet18")
    assert fitted.net.fc.out_features == 10 and fitted.distrust == "random weights"
    drawn = toybox.render(1000, seed=4040, size=32)
    found = tiny["logits"](fitted, drawn.pixels / 255).argmax(1)
    assert (found == drawn.labels).float().mean() > 0.5  # of the images on which it was fitted
    assert not any(p.requires_grad for p in fitted.net.parameters())


def test_mcnemar_is_between_the_exact_test_and_half_of_it(tiny):
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.random(60) < 0.7, rng.random(60) < 0.8
        a, b, p = tiny["mcnemar"](first, second)
        exact = sum(math.comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b)
        point = math.comb(a + b, min(a, b)) / 2 ** (a + b)
        assert p == pytest.approx(min(1.0, 2 * exact - point)) and (a, b) == ((first & ~second).sum(), (second & ~first).sum())


def test_all_claims_have_an_expectation_and_no_other():
    assert _claimed() == set(tomllib.loads((NOTEBOOKS / "expected.toml").read_text())[LAB]["claims"])


def _claimed() -> set[str]:
    source = "\n".join(cell["source"] for cell in cells(LAB) if cell["cell_type"] == "code")
    return {part.split('"')[1] for part in source.split("lab.claim(")[1:]}


def stand_in(name, *, split, size=64, limit=None, **options):
    """A public set of few images of noise; toybox itself."""
    if name == "toybox":
        return toybox.render(40, seed=len(split), size=size)
    classes = {"cifar10": 10, "imagenet_samples": 1000}[name]
    n = min(400, limit or 60)
    pixels = torch.randint(0, 256, (n, 3, 64, 64), generator=generator(0), dtype=torch.uint8)
    names = tuple(f"class {k}, other name" for k in range(classes))
    return Images(pixels, torch.arange(n) % classes, names, name, split, "noise")


@pytest.mark.parametrize("profile", ["laptop", "full"])
def test_larger_profiles_go_through_every_cell_and_random_weights_are_not_measured(profile, monkeypatch, tmp_path):
    monkeypatch.setattr(sets, "load", stand_in)
    for key in ("LABKIT_RANDOM_WEIGHTS", "LABKIT_OFFLINE"):
        monkeypatch.setenv(key, "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(hub, "load", _absent)
    for name in ("resnet18", "resnet152"):  # small images and nets, so that it takes no minutes
        monkeypatch.setitem(vision.TORCHVISION, name, vision.TORCHVISION["resnet18"]._replace(size=64))
    monkeypatch.setattr(vision, "build", _small_cnn(vision.build))
    for i, (name, plan) in enumerate(list(hub.NETS.items())):
        small = {"hidden_size": 16 + 16 * (i % 2), "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
        monkeypatch.setitem(hub.NETS, name, plan._replace(options={**small, "image_size": 64, "patch_size": 16}))
    lab = shortened(LAB, profile, **SMALL, side=64, chunk=8)
    scope = namespace(LAB, lab=lab)
    for cell in cells(LAB):
        name = cell["id"]
        if cell["cell_type"] == "code" and name not in ("setup", "summary") and not name.startswith("check-"):
            exec(compile(cell["source"], name, "exec"), scope)
    assert lab.distrust == "random weights"
    assert set(lab.claims) == _claimed()
    assert {claim["verdict"] for claim in lab.claims.values()} == {NOT_MEASURED}


def _absent(name, **options):
    raise OfflineError(f"{name} is not here")


def _small_cnn(architecture):
    return lambda name, **options: architecture("resnet18", **options)
