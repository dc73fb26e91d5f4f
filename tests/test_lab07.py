"""The functions of lab 07, pulled out of the notebook, against captum, SciPy and closed forms, and under every profile."""

import math
import tomllib

import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion, Saliency
from captum.robust import FGSM
from notebook_source import NOTEBOOKS, cells, namespace, shortened
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from labkit import sets
from labkit.ledger import NOT_MEASURED
from labkit.machine import generator
from labkit.public import vision
from labkit.sets import Images

LAB = "07_saliency_adversarial"
CELLS = (
    *("s0-settings", "s0-gradient", "s0-slope", "s0-images", "s0-figure-of"),
    *("saliency", "s1-maps", "s1-agreement-of", "integrated-gradients", "deletion-curve", "s2-truth", "s2-cam", "s2-methods"),
    *("s2-scores", "s3-boxes", "s3-mark-data", "s3-occlusion", "fooling-step", "s4-settings", "s4-rule-of"),
    *("project", "s5-attacks", "s5-nearest-search", "s5-defences-of", "visualisation-step", "s6-settings", "s6-climb"),
    *("s6-judging", "s7-augment", "s7-train"),
)
SMALL = {"images": 4, "most": 3, "after": 2, "steps": 2, "rounds": 4, "starts": 1, "epochs": 1, "sweep": [2, 4, 6]}


@pytest.fixture(scope="module")
def tiny():
    lab = shortened(LAB, "tiny", **{**SMALL, "starts": 2})
    lab.seeds = lambda n: [0, 1, 2, 3][:n]
    return namespace(LAB, *(name for name in CELLS if name in {cell["id"] for cell in cells(LAB)}), lab=lab)


def some(tiny, n=6):
    return tiny["x"][:n], tiny["y"][:n]


def test_images_are_such_as_both_nets_get_right_and_targets_are_other_classes(tiny):
    for net in (tiny["net"], tiny["second"]):
        with torch.no_grad():
            assert (net(tiny["x"]).argmax(1) == tiny["y"]).all()
            assert (net(tiny["candidates"][tiny["kept"]]).argmax(1) == tiny["labels"][tiny["kept"]]).all()
    assert len(tiny["kept"]) > 0.9 * len(tiny["labels"])
    assert len(tiny["x"]) == 16 and (tiny["target"] != tiny["y"]).all() and tiny["target"].max() < 10
    shares = tiny["masks"].float().mean((1, 2))
    assert torch.isclose(shares, tiny["pool"].attributes["area"][tiny["shuffled"]][tiny["drawn"]]).all()


def test_a_net_in_pixels_is_the_net_behind_its_preparation(tiny):
    x, _ = some(tiny)
    with torch.no_grad():
        assert torch.allclose(tiny["net"](x), tiny["base"].net(tiny["base"].prepare(x)), atol=1e-5)


def test_maps_are_those_of_captum(tiny):
    x, y = some(tiny)
    net = tiny["net"]
    theirs = Saliency(net).attribute(x.clone().requires_grad_(), target=y).amax(1)
    assert torch.allclose(tiny["saliency"](net, x, y), theirs, atol=1e-6)
    assert torch.allclose(tiny["METHODS"]["gradient"](net, x, y), theirs, atol=1e-6)
    grey = torch.full_like(x, 0.5)
    theirs = IntegratedGradients(net).attribute(x, grey, target=y, n_steps=8, method="riemann_middle")
    assert torch.allclose(tiny["integrated_gradients"](net, x, y, grey, 8), theirs, atol=1e-4)
    top = net.net.get_submodule(net.top)
    theirs = LayerGradCam(net, top).attribute(x, target=y, relu_attributions=True)
    theirs = F.interpolate(theirs, size=x.shape[-2:], mode="bilinear", align_corners=False).squeeze(1)
    assert torch.allclose(tiny["grad_cam"](net, x, y), theirs, rtol=1e-3, atol=1e-5 * float(theirs.detach().max()))


def test_occlusion_is_that_of_captum(tiny):
    x, y = some(tiny)
    soft = gaussian_blur(x, [31, 31], [32 / 6, 32 / 6])
    theirs = Occlusion(tiny["net"]).attribute(x, (3, 4, 4), strides=(3, 4, 4), baselines=soft, target=y)[:, 0, ::4, ::4]
    assert torch.allclose(tiny["occlusion"](tiny["net"], x, y), theirs.clamp(min=0), atol=1e-4)


def test_fgsm_is_that_of_captum(tiny):
    x, y = some(tiny)
    attack = FGSM(tiny["net"], nn.CrossEntropyLoss(reduction="none"), lower_bound=0, upper_bound=1)
    attack.zero_thresh = 0  # by default it holds still where the gradient is below 1e-6, as it is where the net is sure
    theirs = attack.perturb(x, epsilon=4 / 255, target=y)
    same = (tiny["fgsm"](tiny["net"], x, y, 4 / 255) - theirs).abs() < 1e-6
    assert same.float().mean() > 0.999  # next to 0 the sign is one of rounding


def test_pgd_stays_in_its_ball_and_harms_more_than_its_start(tiny):
    x, y = tiny["x"], tiny["y"]
    z = tiny["pgd"](tiny["net"], x, y, 8 / 255, 5)
    assert float((z - x).abs().max()) <= 8 / 255 + 1e-6 and float(z.min()) >= 0 and float(z.max()) <= 1
    start = tiny["pgd"](tiny["net"], x, y, 8 / 255, 0)
    with torch.no_grad():
        assert F.cross_entropy(tiny["net"](z), y) > F.cross_entropy(tiny["net"](start), y) + 1


def test_rank_correlation_is_spearmans(tiny):
    a, b = torch.randn(3, 5, 5, generator=generator(0)), torch.randn(3, 5, 5, generator=generator(1))
    found = tiny["rank_correlation"](a, b)
    assert found.tolist() == pytest.approx(
        [spearmanr(p.abs().flatten(), q.abs().flatten())[0] for p, q in zip(a, b, strict=True)]
    )


def test_a_mosaic_shows_its_own_image_where_the_truth_says(tiny):
    x = torch.rand(8, 3, 4, 4, generator=generator(0))
    y = torch.tensor([0, 1, 2, 3, 0, 1, 1, 2])
    whole, truth, mixed = tiny["mosaics"](x, y)
    assert whole.shape == (8, 3, 8, 8) and (truth.sum((1, 2)) == 16).all()
    for i in range(8):
        assert torch.equal(whole[i][:, truth[i]].reshape(3, 4, 4), x[i])
        quarters = {tuple(q.flatten().tolist()) for rows in whole[i].split(4, 1) for q in rows.split(4, 2)}
        assert quarters == {tuple(x[(i + k) % 8].flatten().tolist()) for k in range(4)}
        assert bool(mixed[i]) == all(y[(i + k) % 8] != y[i] for k in range(1, 4))


def test_what_lies_on_the_object_is_counted(tiny):
    maps = torch.tensor([[[4.0, 3.0], [2.0, 1.0]], [[1.0, 2.0], [3.0, 4.0]], [[4.0, 1.0], [3.0, 2.0]]])
    truth = torch.tensor([[True, True], [False, False]]).expand(3, -1, -1)
    pointing, iou, mass = tiny["on_object"](maps, truth)
    assert pointing.tolist() == [1, 0, 1] and iou.tolist() == pytest.approx([1, 0, 1 / 3])
    assert mass.tolist() == pytest.approx([0.7, 0.3, 0.5])


def test_boxes_hold_their_mask_and_their_overlap_is_counted(tiny):
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 3:7] = True
    assert tiny["box_of"](mask) == (2, 5, 3, 7)
    assert tiny["overlap"]((0, 2, 0, 2), (1, 3, 1, 3)) == pytest.approx(1 / 7)
    assert tiny["overlap"]((0, 2, 0, 2), (2, 3, 0, 2)) == 0 and tiny["overlap"]((0, 2, 0, 2), (0, 2, 0, 2)) == 1
    blob = torch.zeros(32, 32)
    blob[8:20, 10:24] = 1
    blob[27:32, 27:32] = 1  # a smaller patch does not matter
    assert tiny["overlap"](tiny["box_from"](blob), (8, 20, 10, 24)) > 0.7


def test_high_frequencies_are_those_above_half_of_the_highest(tiny):
    axis = torch.arange(32.0)
    slow, fast = (torch.sin(2 * math.pi * k * axis / 32).expand(1, 3, 32, 32) for k in (4, 12))
    assert float(tiny["high_share"](slow)) < 1e-6 and float(tiny["high_share"](fast)) > 1 - 1e-6
    assert float(tiny["high_share"](fast.transpose(2, 3) + 7)) > 1 - 1e-6
    noise = torch.randn(20, 3, 32, 32, generator=generator(0))
    assert float(tiny["high_share"](noise).mean()) == pytest.approx(1 - (17 / 32) ** 2, abs=0.02)


def test_the_rule_counts_its_steps_and_stops_when_the_net_is_fooled(tiny):
    net, x, target = tiny["net"], tiny["x"], tiny["target"]
    z, count, success = tiny["follow"](net, x, target, 0.4, tiny["fooling_step"], most=20)
    again = x.clone()
    for k in range(21):
        fooled = tiny["predict"](net, again) == target
        assert torch.equal(fooled, count <= k)
        if k < 20:
            again = torch.where(fooled.reshape(-1, 1, 1, 1), again, tiny["fooling_step"](net, again, target, 0.4))
    assert torch.allclose(z, again, atol=1e-3) and torch.equal(success.cpu(), count.isfinite()) and success.float().mean() > 0.8
    few, _, _ = tiny["follow"](net, x, target, 0.4, tiny["fooling_step"], most=3)
    assert not torch.equal(few, z)
    further, same, _ = tiny["follow"](net, x, target, 0.4, tiny["fooling_step"], most=25, after=3)
    assert torch.equal(same[count <= 20], count[count <= 20])
    moved = (further - z).flatten(1).norm(dim=1)
    assert float(moved[success].min()) > 0.1


def test_the_search_finds_the_nearest_point_of_a_linear_net(tiny):
    """The distance from a plane is the margin divided by the length of the difference of the rows."""
    weight = torch.randn(2, 3 * 8 * 8, generator=generator(0))
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2, bias=False)).eval()
    net[1].weight.data = weight
    x = 0.3 + 0.4 * torch.rand(10, 3, 8, 8, generator=generator(1))
    s = net(x).detach()
    y = s.argmax(1)
    exact = (s[:, 0] - s[:, 1]).abs() / (weight[0] - weight[1]).norm()
    z, found = tiny["nearest"](net, x, y, steps=80)
    ok = exact < 1  # far from the range's ends, which the closed form does not know
    assert (found >= exact - 1e-4).all() and (found[ok] < 1.15 * exact[ok] + 0.01).all()
    assert torch.allclose((z - x).flatten(1).norm(dim=1), found, atol=1e-5) and (net(z).argmax(1) != y).all()
    _, from_near = tiny["nearest"](net, x, y, steps=80, first=0.02)  # its radius has to grow
    assert (from_near[ok] < 1.15 * exact[ok] + 0.01).all()
    _, rough = tiny["nearest"](net, x, y, steps=81, rate=0.5)  # it leaps to and fro: the best of all counts, not the last
    assert (rough[ok] < 1.6 * exact[ok] + 0.01).all()


def test_the_sham_has_no_gradient_and_decides_as_the_net_on_rounded_pixels(tiny):
    x, y = some(tiny)
    sham = tiny["Rounded"](tiny["honest"])
    assert float(tiny["slope"](sham, x, y).abs().max()) == 0
    with torch.no_grad():
        assert torch.equal(sham(x), tiny["honest"]((x * 15).round() / 15))


def test_a_climb_keeps_what_is_asked_stays_in_range_and_climbs(tiny):
    net, u, goal = tiny["net"], 0.2 * tiny["noise"], tiny["goal"]
    seen = tiny["climb"](net, u, goal, rounds=12, keep=(3, 12))
    assert len(seen) == 2 and all(float(each.min()) >= 0 and float(each.max()) <= 1 for each in seen)
    again = tiny["climb"](net, u, goal, rounds=3)
    assert len(again) == 1 and torch.equal(again[0], seen[0])
    before, after = (tiny["judged"](each)[0].mean() for each in (tiny["net"].mean + tiny["net"].std * u, seen[1]))
    assert after > before + 0.3
    largest = []
    hook = net.net.register_forward_pre_hook(lambda module, args: largest.append(float(args[0].abs().max())))
    tiny["climb"](net, u, goal, rounds=3, rate=100.0)
    hook.remove()
    assert max(largest) <= 2 + 1e-5  # what the net sees stays between black and white, (0 - 0.5) / 0.25 and (1 - 0.5) / 0.25
    still = tiny["climb"](net, u, goal, rounds=7, rate=1e-6, blur=0)[0]  # what jitter shifts, it shifts back
    assert torch.allclose(still, (net.mean + net.std * u).clamp(0, 1), atol=1e-4)
    held = tiny["climb"](net, u, goal, rounds=12, lam=1.0, squared=True)[0]
    assert float((held - 0.5).abs().mean()) < float((seen[1] - 0.5).abs().mean())


def test_total_variation_is_the_mean_difference_of_neighbours(tiny):
    x = torch.rand(2, 3, 5, 6, generator=generator(0))
    down = [abs(float(a[c, i + 1, j] - a[c, i, j])) for a in x[:1] for c in range(3) for i in range(4) for j in range(6)]
    along = [abs(float(a[c, i, j + 1] - a[c, i, j])) for a in x[:1] for c in range(3) for i in range(5) for j in range(5)]
    expected = sum(down) / len(down) + sum(along) / len(along)
    assert float(tiny["variation"](x)[0]) == pytest.approx(expected, rel=1e-5)


def test_erasing_covers_one_square_where_the_score_is_highest(tiny):
    x = torch.rand(30, 3, 32, 32, generator=generator(0))
    score = torch.zeros(30, 32, 32)
    score[:, :16] = 1  # the upper half
    high, low = (tiny["cover"](x, sign * score, generator(2)) for sign in (1, -1))
    rows = []
    for each in (high, low):
        changed = (each != x).any(1)
        assert (changed.sum((1, 2)) == 144).all() and (each[changed[:, None].expand_as(each)] == 0.5).all()
        rows.append(changed.float().sum(2).argmax(1).float().mean())
    assert rows[0] < 8 < rows[1]


def test_guidance_follows_the_map_that_is_named(tiny):
    x, y = tiny["x"].clone(), tiny["y"]
    model, covered = tiny["net"], {}
    slope = tiny["slope"](model, x, y).abs().amax(1)
    for arm in tiny["ARMS_7"][1:]:
        z = tiny["guided"](arm, model.eval(), x, y, generator(3))
        model.eval()
        hole = (z != x).any(1)
        covered[arm] = float((slope * hole).sum() / slope.sum())
    assert covered["erased where low"] < covered["erased at random"] < covered["erased where high"]
    assert tiny["guided"]("nothing", model, x, y, generator(3)) is x


def _claimed():
    toml = tomllib.loads((NOTEBOOKS / "expected.toml").read_text(encoding="utf-8"))
    return set(toml[LAB]["claims"])


def stand_in(name, *, split="train", limit=None, seed=0, size=32, **options):
    """Noise in the shape of the samples of ImageNet; toybox as it is."""
    if name == "toybox":
        from labkit.worlds.toybox import toybox

        return toybox(split)
    categories = ["tarantula", "gorilla", "hay", *(f"class {k}" for k in range(997))]
    pixels = torch.randint(0, 256, (60, 3, 64, 64), generator=generator(0), dtype=torch.uint8)
    return Images(pixels, torch.arange(60), tuple(categories), name, split, "noise")


def test_larger_profiles_go_through_every_cell_and_random_weights_are_not_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(sets, "load", stand_in)
    monkeypatch.setenv("LABKIT_RANDOM_WEIGHTS", "1")
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("mobilenet_v2", "squeezenet1_1", "resnet18"):  # small images, so that it takes no minutes
        monkeypatch.setitem(vision.TORCHVISION, name, vision.TORCHVISION[name]._replace(size=64))
    lab = shortened(LAB, "laptop", **SMALL, side=64, chunk=8, seeds=1)
    lab.seeds = lambda n: [0, 1][:n]
    source = {cell["id"]: cell["source"] for cell in cells(LAB) if cell["cell_type"] == "code"}
    skipped = {"setup", "summary", "s0-diagram"} | {name for name in source if name.startswith("check-")}
    scope = namespace(LAB, "s0-settings", "s0-gradient", "s0-slope", lab=lab)
    for name in source:
        if name not in skipped | {"s0-settings", "s0-gradient", "s0-slope"}:
            exec(compile(source[name], name, "exec"), scope)
    assert lab.distrust == "random weights"
    assert set(lab.claims) == _claimed()
    assert {claim["verdict"] for claim in lab.claims.values()} == {NOT_MEASURED}
