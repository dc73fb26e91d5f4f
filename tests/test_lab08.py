"""The functions of lab 08, pulled out of the notebook, against independent references, and its nets under every profile."""

import math

import numpy as np
import pytest
import torch
from notebook_source import namespace, shortened
from sklearn.linear_model import LogisticRegression
from torch import nn

from labkit import sets
from labkit.sets import Images

LAB = "08_dann"
EXERCISES = ("reverse", "three-parts", "dann-loss", "ramp", "proxy-a-distance", "pseudo-labels")
TRAINING = ("s0-settings", "s0-nets", "s0-build", "s0-fit-settings", "s0-pieces", "s0-outputs", "s0-fit")
F64 = torch.float64


@pytest.fixture(scope="module")
def exercises():
    return namespace(LAB, *EXERCISES)


@pytest.fixture(scope="module")
def tiny():
    changes = {"seeds": 2, "epochs": 1, "side_epochs": 1, "source_images": 320, "target_images": 320, "clip": 0.3}
    return namespace(LAB, *TRAINING, lab=shortened(LAB, "tiny", **changes))


def weights(nets):
    return torch.cat([value.flatten() for net in nets[:2] for value in net.state_dict().values()])


def test_your_four_functions_have_the_gradients_of_the_objective(exercises):
    """d/dfeatures is that of class loss - strength * domain loss; d/ddomain head is that of + domain loss."""
    torch.manual_seed(0)
    parts = [nn.Linear(6, 5).double(), nn.Linear(5, 10).double(), nn.Linear(5, 1).double()]
    x, labels, strength = torch.randn(7, 6, dtype=F64), torch.tensor([1, 4, 4]), 0.7
    reverse, three_parts, dann_loss = (exercises[name] for name in ("reverse", "three_parts", "dann_loss"))
    class_logits, domain_logits = three_parts(*parts, lambda features: reverse(features, strength), x)
    class_loss, domain_loss = dann_loss(class_logits, labels, domain_logits, 3)
    ours = torch.autograd.grad(class_loss + domain_loss, [part.weight for part in parts])

    features = parts[0](x)
    p = parts[1](features[:3]).softmax(-1)
    classes = -torch.log(p[torch.arange(3), labels]).mean()
    d = torch.sigmoid(parts[2](features)).squeeze(1)
    domains = -(torch.log(1 - d[:3]).sum() + torch.log(d[3:]).sum()) / 7
    wanted = [
        torch.autograd.grad(classes - strength * domains, parts[0].weight, retain_graph=True)[0],
        torch.autograd.grad(classes, parts[1].weight, retain_graph=True)[0],
        torch.autograd.grad(domains, parts[2].weight)[0],
    ]
    for mine, theirs in zip(ours, wanted, strict=True):
        assert torch.allclose(mine, theirs)


def test_the_ramp_is_the_one_that_fit_uses(exercises):
    for p in (0.0, 0.1, 0.37, 1.0):
        assert exercises["ramp"](p) == pytest.approx(math.tanh(5 * p))


def test_proxy_a_distance_grows_with_the_distance_of_two_clouds(exercises):
    rng, found = np.random.default_rng(0), []
    for apart in (0.0, 1.0, 8.0):
        a, b = rng.normal(size=(500, 3)), rng.normal(size=(500, 3)) + apart
        judge = LogisticRegression().fit(np.concatenate([a[:250], b[:250]]), np.repeat([0, 1], 250))
        rates = (judge.predict(a[250:]) == 0).mean(), (judge.predict(b[250:]) == 1).mean()
        found.append(exercises["proxy_a_distance"](*rates))
    assert abs(found[0]) < 0.3 < found[1] < found[2] == pytest.approx(2.0, abs=0.01)


def test_an_arm_that_learns_from_the_source_alone_does_not_feel_the_target(tiny):
    """Also where gradients are clipped: with strength 0 its weights are the same to the bit for any unlabelled set."""
    few = tiny["target_set"][tiny["target_set"].labels < 3]
    ends = {}
    for name, target in (("all", tiny["target_set"]), ("few", few)):
        nets, _ = tiny["fit"](f"target {name}", [0.0, 1.0], target=target)
        ends[name] = [weights([net.pick([arm]) for net in nets]) for arm in range(2)]
    assert torch.equal(ends["all"][0], ends["few"][0])
    assert not torch.allclose(ends["all"][1], ends["few"][1])


def test_the_trick_in_fit_reverses_as_your_function_does(tiny, exercises):
    features, upstream = torch.randn(2, 1, 4, 3, dtype=F64, requires_grad=True), torch.randn(2, 1, 4, 3, dtype=F64)
    strength = torch.tensor([-1.0, 0.3], dtype=F64)[:, None, None, None]
    trick = features.detach() * (1 + strength) - features * strength
    (one,) = torch.autograd.grad(trick, features, upstream)
    (two,) = torch.autograd.grad(exercises["reverse"](features, strength), features, upstream)
    assert torch.allclose(one, two) and torch.allclose(trick, features)


def test_scores_are_those_of_a_plain_count(tiny):
    nets, _ = tiny["fit"]("scores", [0.0])
    found = tiny["scores"](nets)
    x = tiny["scaled"](tiny["target_test"].floats(), tiny["ONE"])
    for seed in range(2):
        extractor, label_head, domain_head = (net.eval().net(0, seed) for net in nets)
        features = extractor(x)
        right = (label_head(features).argmax(1) == tiny["target_test"].labels).float().mean()
        said = (domain_head(features)[:, 0] > 0).float().mean()
        assert found["target accuracy"][0, seed].item() == pytest.approx(right.item(), abs=1e-6)
        assert found["target domain accuracy"][0, seed].item() == pytest.approx(said.item(), abs=1e-6)


def stand_in(name, *, split="train", limit=None, seed=0, **options):
    """Noise in the shapes of MNIST and MNIST-M."""
    rng = torch.Generator().manual_seed(seed)
    shape = (3, 32, 32) if name == "mnist_m" else (1, 28, 28)
    n = 129 if split == "train" else 40
    pixels = torch.randint(0, 256, (n, *shape), generator=rng, dtype=torch.uint8)
    return Images(pixels, torch.randint(0, 10, (n,), generator=rng), tuple("0123456789"), name, split, "noise")


@pytest.mark.parametrize("profile", ["laptop", "full"])
def test_the_nets_of_the_larger_profiles_train_and_are_scored(profile, monkeypatch, tmp_path):
    monkeypatch.setattr(sets, "load", stand_in)
    lab = shortened(LAB, profile, seeds=2, epochs=1, side_epochs=1)
    monkeypatch.setattr(type(lab), "_folder", lambda self: tmp_path)
    scope = namespace(LAB, *TRAINING, lab=lab)
    assert scope["target_set"].pixels.shape == (128, 3, 28, 28)  # the margin is off, and a rest of one image with it
    nets, history = scope["fit"]("two steps", [-1.0, 1.0], source=scope["source_set"][:128], watch=True)
    found = scope["scores"](nets)
    assert len(history) == 1 and found["target accuracy"].shape == (2, 2)
    assert all(value.isfinite().all() for value in found.values())
    trained = weights(nets)
    assert not torch.equal(trained, weights(scope["build"](2)))
