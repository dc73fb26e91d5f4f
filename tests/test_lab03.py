"""The functions of lab 03, pulled out of the notebook, against independent references, and its nets under every profile."""

import numpy as np
import pytest
import torch
from notebook_source import namespace, shortened
from torch import nn
from torch.nn import functional as F

from labkit import sets
from labkit.arms import Arms
from labkit.samples import prdc
from labkit.sets import Images

LAB = "03_gan_pathologies"
EXERCISES = ("generator-losses", "discriminator-loss", "mode-coverage", "pack", "slerp", "conditional-discriminator")
GAME = ("s0-settings", "s0-nets", "s0-fit-settings", "s0-fit-parts", "s0-game", "s0-fit", "s0-measure", "s0-yardsticks")
DCGAN = ("s4-settings", "s4-nets", "s4-stacked", "s4-fit", "s4-train-one", "s4-runs")
CONDITIONAL = ("s4-fit", "s6-fit", "conditional-discriminator", "s6-train", "s6-faces", "s6-components")


@pytest.fixture(scope="module")
def exercises():
    return namespace(LAB, *EXERCISES)


@pytest.fixture(scope="module")
def tiny():
    lab = shortened(LAB, "tiny", seeds=2, epochs=1, images=280)
    return namespace(LAB, *GAME, *DCGAN, lab=lab)


def weights(net):
    return torch.cat([value.flatten() for value in net.state_dict().values()])


def test_the_losses_of_fit_are_those_of_the_exercises(tiny, exercises):
    a, b = torch.randn(2, 3, 7), torch.randn(2, 3, 5)
    original, other = exercises["generator_losses"](b)
    for smooth in (torch.tensor(1.0), torch.tensor([1.0, 0.8])[:, None, None]):
        mine = exercises["discriminator_loss"](a, b, smooth)
        assert torch.allclose(tiny["plain_d_loss"](a, b, smooth), mine, atol=1e-6)
    assert torch.allclose(tiny["plain_g_losses"](b)[1], other, atol=1e-6)
    assert torch.allclose(-tiny["towards"](0.0, b), original, atol=1e-6)


def test_confidence_is_what_each_seeds_discriminator_says_at_the_end():
    lab = shortened(LAB, "tiny", seeds=2, epochs=8, images=280)
    cells = ("s0-demo", "s0-quality", "s0-history", "s0-grid", "s0-claims")
    scope = namespace(LAB, *GAME, *cells, lab=lab)
    real, made = 2 * scope["test"].floats().flatten(1) - 1, 2 * scope["samples"](scope["demo_g"])[0].flatten(2) - 1
    off = torch.zeros(1, 1)
    for s in range(2):
        net = scope["demo_d"].net(0, s).eval()
        said = [1 / (1 + (-net(x, off, off)).exp()).double() for x in (real, made[s])]
        wanted = [each.mean().item() for each in said]
        assert [row[s] for row in lab.records["confidence"]["values"]] == pytest.approx(wanted, abs=1e-5)
    assert lab.records["confidence"]["arms"] == ["real test images", "made ones"]


def test_a_slowed_step_is_the_step_of_a_smaller_rate(tiny):
    """Adam's step is proportional to its rate, so shortening it is the same as a smaller rate, also over many steps."""
    make = lambda: nn.Linear(3, 2)  # noqa: E731
    both, alone = Arms(make, arms=2, seeds=(0,)), Arms(make, arms=1, seeds=(0,))
    adams = tiny["adam_of"](both, 0.1), tiny["adam_of"](alone, 0.025)
    rate = torch.tensor([1.0, 0.25])[:, None, None, None]
    for step in range(5):
        x = torch.randn(1, 1, 8, 3, generator=torch.Generator().manual_seed(step))
        for net, adam in zip((both, alone), adams, strict=True):
            adam.zero_grad()
            net(x).square().sum().backward()
            with tiny["slowed"](net, rate if net is both else None):
                adam.step()
    for mine, theirs in zip(both.net(1, 0).parameters(), alone.net(0, 0).parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert not torch.allclose(weights(both.pick([0])), weights(both.pick([1])))


def test_an_arm_of_a_stack_ends_as_it_would_alone(tiny):
    arm, other = {"noise": 0.5, "smooth": 0.9}, {"saturating": True, "noise": 0.2, "rate": 0.5}
    losses = tiny["plain_d_loss"], lambda logits: (-tiny["towards"](0.0, logits), tiny["towards"](1.0, logits))
    alone = tiny["fit"]("alone", [arm], steps=(2, 2), losses=losses)[0]
    stacked = tiny["fit"]("stacked", [arm, other], steps=(2, 2), losses=losses)[0]
    assert torch.allclose(weights(alone), weights(stacked.pick([0])), atol=1e-4)
    other_alone = tiny["fit"]("other alone", [other], steps=(2, 2), losses=losses)[0]
    assert torch.allclose(weights(other_alone), weights(stacked.pick([1])), atol=1e-4)
    assert not torch.allclose(weights(alone), weights(other_alone), atol=1e-3)


def test_the_control_arm_learns_from_the_whole_set_and_the_others_from_the_few(tiny):
    ends = [tiny["fit"]("few", [{}, {"control": True}], images=few, control=tiny["real"])[0]
            for few in (tiny["real"][:56], tiny["real"][100:156])]  # fmt: skip
    assert torch.equal(*(weights(end.pick([1])) for end in ends))
    assert not torch.allclose(*(weights(end.pick([0])) for end in ends))


def test_statistics_reach_the_discriminator_only_if_it_is_told(tiny):
    torch.manual_seed(0)
    D = tiny["Discriminator"](statistics=True)
    x = torch.randn(6, 64)
    off, on = torch.zeros(1, 1), torch.ones(1, 1)
    alone, together = D(x[:2], off, off), D(x, off, off)[:2]
    assert torch.allclose(alone, together, atol=1e-6)
    assert not torch.allclose(D(x[:2], off, on), D(x, off, on)[:2], atol=1e-3)
    same = x[:1].expand(6, -1).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(D(same, off, on).sum(), same)
    assert gradient.isfinite().all()  # also where all images are the same


def test_dropout_thins_in_training_only_and_keeps_the_mean(tiny):
    D = tiny["Discriminator"](dropout=True)
    h = torch.ones(2000, 64)
    thinned = D.thinned(h, torch.tensor([[0.4]]))
    assert (thinned == 0).float().mean().item() == pytest.approx(0.4, abs=0.02)
    assert thinned.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(D.eval().thinned(h, torch.tensor([[0.4]])), h)


def test_quality_is_that_of_plain_loops(tiny):
    x = torch.rand(1, 2, 60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    numbers, labels = tiny["quality"](x)
    flat = x[0, 1].flatten(1) * 2 - 1
    pairs = [F.cosine_similarity(flat[i], flat[j], dim=0) for i in range(60) for j in range(60) if i != j]
    assert numbers["cosine"][0, 1] == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-5)
    assert numbers["pixel std"][0, 1] == pytest.approx(flat.std().item())
    assert numbers["coverage"][0, 1] == prdc(tiny["test"].floats(), x[0, 1])["coverage"]
    assert labels.shape == (1, 2, 60) and labels[0, 0].tolist() == tiny["judge"](x[0, 0]).tolist()


def test_coverage_over_time_is_that_of_prdc_and_sharpness_is_one_for_real_images(tiny):
    x = tiny["samples"](Arms(tiny["make_generator"], seeds=(0, 1)))
    numbers, _ = tiny["quality"](x)
    assert tiny["covered"](x).float().mean(-1).numpy() == pytest.approx(numbers["coverage"], abs=1e-6)
    test = tiny["test"].floats()
    assert tiny["sharpness"](test[None]) == pytest.approx([1.0], abs=1e-5)
    assert tiny["sharpness"](test[None] * 0 + 0.3)[0] < 1e-3


def test_fit_hands_each_arm_its_options_and_watches_when_asked(tiny, exercises):
    seen, watched = [], []

    def d_loss(real_logits, fake_logits, smooth):
        seen.append((real_logits.shape[-1], torch.as_tensor(smooth).flatten().tolist()))
        return tiny["plain_d_loss"](real_logits, fake_logits, smooth)

    pairs = {"make_d": lambda: tiny["Discriminator"](2 * tiny["PIXELS"]), "join": lambda x: exercises["pack"](x, 2)}
    options = {"losses": (d_loss, tiny["plain_g_losses"]), "epochs": 4, "steps": (2, 1), "every": 2}
    tiny["fit"]("spied", [{"smooth": 0.9}, {}], watch=lambda G, D: watched.append(G) or {}, **options, **pairs)
    assert seen[1][0] == 14 and seen[1][1] == pytest.approx([0.9, 1.0]) and len(watched) == 2
    noisy = tiny["fit"]("noise", [{}, {"noise": 0.5}, {"drop": 0.4}], make_d=lambda: tiny["Discriminator"](dropout=True))[0]
    ends = [weights(noisy.pick([arm])) for arm in range(3)]
    assert not torch.allclose(ends[0], ends[1], atol=1e-3) and not torch.allclose(ends[0], ends[2], atol=1e-3)


def test_nets_stop_at_the_first_look_that_finds_the_gap(tiny):
    looks, gaps = [], torch.tensor([[0.0, 0.0], [0.3, 0.0], [0.3, 0.1], [0.3, 0.1]])  # of the looks, by seed

    def watch(G, D):
        looks.append([[tuple(weights(net.net(a, s)).clone() for net in (G, D)) for s in range(2)] for a in range(3)])
        gap = gaps[len(looks) - 1].expand(3, 2)
        return {"trained on": 0.5 + gap, "held out": torch.full((3, 2), 0.5)}

    tiny["fit"]("stopped", [{}, {"stop": 0.2}, {"stop": 0.2, "both": True}], epochs=4, watch=watch)
    for a in range(3):
        for s in range(2):
            for look in range(3):
                G_stays, D_stays = (torch.equal(*pair) for pair in zip(looks[look][a][s], looks[look + 1][a][s], strict=True))
                stopped = s == 0 and look >= 1  # the other seed's gap stays below 0.2
                assert D_stays == (stopped and a > 0), (a, s, look)
                assert G_stays == (stopped and a == 2), (a, s, look)


def test_rates_are_each_arms_own_until_its_gap_was_reached(tiny):
    game = tiny["Game"]([{"rate": 0.5}, {"rate": 0.5, "stop": 0.25}, {"stop": 0.25, "both": True}], seeds=(0, 1))
    held = np.zeros((3, 3, 2), dtype=np.float32)  # looks, arms, seeds
    trained = held.copy()
    trained[1, :, 0] = 0.25  # reached exactly, and only at the second of three looks
    of_d, of_g = game.rates({"trained on": trained, "held out": held})
    assert of_d.squeeze().tolist() == [[0.5, 0.5], [0, 0.5], [0, 1]]
    assert of_g.squeeze().tolist() == [[1, 1], [1, 1], [0, 1]]
    with pytest.raises(ValueError, match="pass a `watch`"):
        tiny["fit"]("unwatched", [{"stop": 0.25}])


def test_gradient_norms_are_those_of_each_net_alone(tiny):
    scope = namespace(LAB, *GAME, "generator-losses", "discriminator-loss", "s1-runs", lab=shortened(LAB, "tiny", images=280))
    G, D = (Arms(make, arms=2, seeds=(0, 1)) for make in (scope["make_generator"], scope["Discriminator"]))
    found = scope["gradient_norms"](G, D)
    z = torch.randn(256, scope["NZ"], generator=torch.Generator().manual_seed(3))
    g, d = G.net(1, 1), D.net(1, 1)
    a = d(g(z), torch.zeros(1, 1), torch.zeros(1, 1))
    for name, loss in (("saturating", torch.log(1 - a.sigmoid()).mean()), ("non-saturating", -torch.log(a.sigmoid()).mean())):
        grads = torch.autograd.grad(loss, list(g.parameters()), retain_graph=True)
        norm = torch.cat([x.flatten() for x in grads]).norm()
        assert found[name][1, 1].item() == pytest.approx(norm.item(), rel=1e-3)


def test_memory_is_watched_without_dropout_and_distances_are_to_the_nearest():
    cells = ("s3-runs", "s3-train", "s3-figure")
    scope = namespace(LAB, *GAME, *cells, lab=shortened(LAB, "tiny", images=560, seeds=2, epochs=40, few=30, width=16))
    D = Arms(scope["able"], arms=5, seeds=(0, 1))
    first, again = scope["watch_held_out"](None, D), scope["watch_held_out"](None, D)
    assert all(torch.equal(first[name], again[name]) for name in first)
    off = torch.zeros(1, 1)
    for arm, images in ((0, scope["few"]), (2, scope["few"]), (4, scope["real"][: len(scope["test"])])):
        answer = D.eval().net(arm, 1)((2 * images.floats() - 1).flatten(1), off, off).sigmoid().mean()
        assert first["trained on"][arm, 1].item() == pytest.approx(answer.item(), abs=1e-5)
    x = torch.rand(1, 1, 4, 1, 8, 8)
    plain = [min((a - b).norm().item() for b in scope["few"].floats()) for a in x[0, 0]]
    assert scope["nearest"](x, scope["few"])[0, 0] == pytest.approx(np.mean(plain), abs=1e-4)
    assert scope["updates"].tolist() == [40, 80]  # two looks, the second after 80 updates


def test_a_dcgan_heeds_mask_and_loss_and_returns_the_running_mean(tiny):
    updates = []

    class Spy(tiny["Average"]):
        def update(self):
            updates.append(self)
            super().update()

    mask = (torch.arange(100) < torch.tensor([100, 2, 100])[:, None]).float()[:, None, None, :, None, None]
    G, D, images = tiny["nets"](4, 4, 100, [False] * 3)
    start = weights(G.pick([0])), G.net(1, 0)[0].weight.clone()
    saturating = torch.tensor([0.0, 0.0, 1.0])[:, None]
    original = tiny["fit_dcgan"].__globals__["Average"]
    tiny["fit_dcgan"].__globals__["Average"] = Spy
    try:
        mean, _ = tiny["fit_dcgan"]("spied", G, D, images[:128], epochs=2, batch=32, lr=1e-2, noise=100, mask=mask,
                                    saturating=saturating)  # fmt: skip
    finally:
        tiny["fit_dcgan"].__globals__["Average"] = original
    assert len(updates) == 8 and mean is updates[0].net
    assert not torch.allclose(weights(mean), weights(G), atol=1e-3)
    ends = [weights(G.pick([arm])) for arm in (0, 2)]
    assert not torch.allclose(*ends, atol=1e-3) and not torch.allclose(start[0], ends[0], atol=1e-3)
    moved = (G.net(1, 0)[0].weight - start[1]).abs().amax((1, 2, 3)) > 0
    assert moved[:2].all() and not moved[2:].any()  # numbers that are masked teach nothing


def test_a_running_mean_taken_up_from_a_checkpoint_goes_on_where_it_was(tiny):
    net = Arms(lambda: nn.Linear(2, 2))
    mean = tiny["Average"](net)
    for _ in range(5):
        next(net.parameters()).data.add_(1.0)
        mean.update()
    other = tiny["Average"](net)
    other.load_state_dict({name: value.clone() for name, value in mean.state_dict().items()})
    next(net.parameters()).data.add_(1.0)
    mean.update(), other.update()
    assert torch.equal(weights(mean.net), weights(other.net))


def test_who_is_not_told_the_condition_does_not_learn_from_it():
    scope = namespace(LAB, *GAME, *CONDITIONAL, lab=shortened(LAB, "tiny", images=300, parts=16))
    made = []

    class Kept(Arms):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append((self, [self.net(arm, 0) for arm in range(self.lead[0])]))

    scope["fit_conditional"].__globals__["Arms"] = Kept
    scope["fit_conditional"]("spied", scope["coded"], 2.0 * scope["combos"] - 1, [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0)],
                             encode=scope["encode"], outputs=16, last=nn.Identity(), epochs=1, width=8, lr=(1e-2, 1e-2),
                             seeds=(0,))  # fmt: skip
    (G, g_start), (D, d_start) = made
    heard = [not torch.equal(D.net(arm, 0).condition[0].weight, d_start[arm].condition[0].weight) for arm in range(3)]
    heeded = [not torch.equal(G.net(arm, 0).c[0].weight, g_start[arm].c[0].weight) for arm in range(3)]
    assert heard == [True, False, False] and heeded == [True, True, False]


@pytest.mark.parametrize("side", [8, 16, 32])
def test_dcgan_nets_make_and_judge_images_of_the_side_asked_for(tiny, side):
    generator = tiny["dcgan_generator"](4, side, 100, 3)
    images = generator(torch.randn(5, 100, 1, 1))
    assert images.shape == (5, 3, side, side) and images.abs().max() <= 1
    discriminator = tiny["dcgan_discriminator"](4, side, 3)
    assert discriminator(images).shape == (5,)
    if side == 32:  # the practical's: nz -> 4f x 4 x 4 -> 2f x 8 x 8 -> f x 16 x 16 -> 32 x 32
        assert [layer.out_channels for layer in generator if isinstance(layer, nn.ConvTranspose2d)] == [16, 8, 4, 3]


def test_stacked_arms_start_from_the_initialisation_that_is_named(tiny):
    def make(paper):
        return tiny["dcgan_generator"](8, 8, 100, 1, paper=paper)

    net = tiny["stacked"](make, [False, True, False], (0, 1))
    spreads = [[net.net(arm, seed)[0].weight.std().item() for seed in range(2)] for arm in range(3)]
    assert spreads[1] == pytest.approx([0.02, 0.02], rel=0.1)
    assert min(spreads[0]) > 0.03 and spreads[0] == spreads[2]


def test_the_average_lags_behind_the_weights_by_its_memory(tiny):
    net = Arms(lambda: nn.Linear(1, 1, bias=False))
    mean = tiny["Average"](net)
    for step in range(400):
        with torch.no_grad():
            next(net.parameters()).fill_(float(step))
        mean.update()
    assert 399 - 50 < next(mean.net.parameters()).item() < 399 - 35  # it lags by up to 50 steps, a tenth of them at first


def test_components_go_there_and_back():
    scope = namespace(LAB, *GAME, *CONDITIONAL, lab=shortened(LAB, "tiny", images=300, parts=64))
    u = torch.randn(5, 64) * 0.01
    assert torch.allclose(scope["encode"](scope["decode"](u)), u, atol=1e-3)
    faces = scope["people"].floats()[:50]
    back = scope["decode"](scope["encode"](faces))
    assert (back - faces).square().mean() < 0.2 * (faces - scope["centre"]).square().mean()
    assert scope["coded"].labels[:3].tolist() == [int(4 * s + 2 * b + e) for s, b, e in scope["bits"][:3].tolist()]


def stand_in(name, *, split="train", limit=None, seed=0, size=None, **options):
    """Noise in the shapes of MNIST, CIFAR-10 and CelebA."""
    rng = torch.Generator().manual_seed(seed)
    shape = (1, 28, 28) if name == "mnist" else (3, size or 32, size or 32)
    n = 320 if split == "train" else 40
    pixels = torch.randint(0, 256, (n, *shape), generator=rng, dtype=torch.uint8)
    attributes = {name: torch.rand(n, generator=rng) < 0.5 for name in ("Smiling", "Bald", "Eyeglasses")}
    labels = torch.randint(0, 10, (n,), generator=rng)
    return Images(pixels, labels, tuple("0123456789"), name, split, "noise", attributes=attributes)


@pytest.mark.parametrize("profile", ["laptop", "full"])
def test_the_nets_of_the_larger_profiles_train_and_are_measured(profile, monkeypatch, tmp_path):
    monkeypatch.setattr(sets, "load", stand_in)
    lab = shortened(LAB, profile, seeds=2, epochs=1, parts=20)
    monkeypatch.setattr(type(lab), "_folder", lambda self: tmp_path)
    scope = namespace(LAB, *GAME, *DCGAN, *CONDITIONAL[1:], lab=lab)
    G, _, history = scope["fit"]("a few steps", [{"noise": 0.3}, {"saturating": False, "smooth": 0.9}], steps=(2, 1))
    assert len(history) == 1 and np.isfinite(history["g_loss"]).all()
    numbers, _ = scope["quality"](scope["samples"](G))
    assert numbers["precision"].shape == (2, 2)
    small = scope["small"][:64]
    assert small.pixels.shape[-1] == scope["dcfg"].side
    mean, history = scope["fit_dcgan"]("a step", *scope["nets"](4, 4, 100, [True, False])[:2], small, epochs=1, batch=64,
                                       lr=1e-3, noise=100, mask=scope["mask"][:2])  # fmt: skip
    assert np.isfinite(history["g_loss"]).all()
    assert scope["pictures"](mean, scope["mask"][:2]).shape == (2, 2, 40, 1, *[scope["dcfg"].side] * 2)
    made = scope["fit_conditional"]("steps", scope["coded"], 2.0 * scope["combos"] - 1, [(1.0, 1.0), (1.0, 0.0)],
                                    encode=scope["encode"], outputs=20, last=nn.Identity(), epochs=1, width=32,
                                    lr=(1e-3, 1e-3), seeds=(0, 1))  # fmt: skip
    with torch.no_grad():
        faces = scope["decode"](made(torch.randn(1, 1, 3, 32), torch.ones(1, 1, 3, 3)))
    assert faces.shape == (2, 2, 3, 3, 32, 32) and faces.isfinite().all()
