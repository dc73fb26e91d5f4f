"""Ratios that the design promises, each measured in one run, side by side; below its target, a benchmark fails."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from PIL import Image
from rows import target
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from labkit import smallconv, zoo
from labkit.arms import Arms
from labkit.features import extract
from labkit.machine import local_seed
from labkit.sets import Images, batches, load
from labkit.train import Run

pytestmark = [pytest.mark.benchmark, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Mnist(Dataset):
    """An item as torchvision.datasets.MNIST makes it: tensor -> PIL image -> transform."""

    def __init__(self, images: Images, transform: Callable[[Image.Image], Tensor]) -> None:
        self.data, self.targets, self.transform = images.pixels[:, 0], images.labels, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index].numpy())), int(self.targets[index])


def test_resident_batches_against_a_dataloader_with_transforms(bench):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8, generator=rng)
    images = Images(pixels, torch.arange(60_000) % 10, tuple("0123456789"), "noise", "train", "this benchmark")
    mean, std = (0.1307,), (0.3081,)
    usual = DataLoader(
        Mnist(images, transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])), batch_size=128
    )

    def loader() -> int:
        return sum(len(x) for x, _ in usual)

    def resident() -> int:
        return sum(len(x) for x, _ in batches(images, batch_size=128, generator=rng, mean=mean, std=std))

    x, y = next(iter(usual))
    mine, labels = next(batches(images, batch_size=128, mean=mean, std=std))
    assert torch.allclose(x, mine, atol=1e-5) and torch.equal(y, labels)
    assert resident() == 60_000  # warm
    assert bench.ratio("resident", loader, resident, repeats=2) >= target("resident")


class Vae(nn.Module):
    """A small MLP VAE in one call: (x, noise) -> (reconstruction, KL)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 16))
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 64))

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder(x).chunk(2, -1)
        kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
        return self.decoder(mu + (0.5 * logvar).exp() * noise), kl


BETAS, SEEDS = torch.tensor([0.1, 0.5, 1.0, 4.0]), (0, 1)


def train(net: Any, run: Run, betas: Tensor | float, lead: tuple[int, ...]) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for x, _ in run:
        flat = x.flatten(-3)
        out, kl = net(flat, run.randn_like(torch.empty(*lead, flat.shape[-2], 8)))
        run.step(optimizer, F.mse_loss(out, flat.expand(out.shape), reduction="none").sum(-1) + betas * kl, kl=kl)


def test_eight_arms_at_once_against_in_turn(bench):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1400, 1, 8, 8), dtype=torch.uint8, generator=rng)
    images = Images(pixels, torch.arange(1400) % 10, tuple("0123456789"), "noise", "train", "this benchmark")
    options = {"epochs": 6, "batch_size": 64}
    kept: dict[str, Any] = {}

    def together() -> None:
        net = Arms(Vae, arms=4, seeds=SEEDS)
        train(net, Run(images, **options, arms=net), BETAS.reshape(4, 1, 1), net.lead)
        kept["together"] = net

    def in_turn() -> None:
        kept["in turn"] = {}
        start = Arms(Vae, arms=4, seeds=SEEDS)
        for arm, beta in enumerate(BETAS):
            for position, seed in enumerate(SEEDS):
                net = kept["in turn"][arm, position] = start.net(arm, position)
                train(net, Run(images, **options, seeds=(seed,)), beta, ())

    together(), in_turn()  # warm
    for (arm, seed), net in kept["in turn"].items():
        for name, value in kept["together"].net(arm, seed).state_dict().items():
            assert torch.allclose(value, net.state_dict()[name], rtol=1e-3, atol=1e-4), (arm, seed, name)
    assert bench.ratio("sweep-vae", in_turn, together, repeats=4) >= target("sweep-vae")


def play(nets: tuple[Any, Any], run: Run, lead: tuple[int, ...], smooth: Tensor | float) -> None:
    """A GAN on 8 x 8 pixels whose arms differ in label smoothing."""
    g, d = nets
    adam_d, adam_g = (torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (d, g))
    for x, _ in run:
        x = x.flatten(-3)
        made = g(run.randn_like(torch.empty(*lead, x.shape[-2], 32)))
        a, b = d(x.expand(*lead, *x.shape[-2:])).squeeze(-1), d(made.detach()).squeeze(-1)
        run.step(adam_d, smooth * F.softplus(-a) + (1 - smooth) * F.softplus(a) + F.softplus(b))
        run.step(adam_g, F.softplus(-d(made).squeeze(-1)))


def mlp(*sizes: int) -> nn.Sequential:
    hidden = [part for i, o in pairwise(sizes[:-1]) for part in (nn.Linear(i, o), nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(*sizes[-2:]))


def test_eight_gans_at_once_against_in_turn(bench):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1400, 1, 8, 8), dtype=torch.uint8, generator=rng)
    images = Images(pixels, torch.arange(1400) % 10, tuple("0123456789"), "noise", "train", "this benchmark")
    smooth, options, kept = torch.tensor([0.7, 0.8, 0.9, 1.0]), {"epochs": 2, "batch_size": 28}, {}

    def makers() -> tuple[Arms, Arms]:
        return tuple(Arms(lambda s=s: mlp(*s), arms=4, seeds=SEEDS) for s in ((32, 64, 64, 64), (64, 64, 64, 1)))

    def together() -> None:
        nets = kept["together"] = makers()
        play(nets, Run(images, **options, arms=nets[0]), nets[0].lead, smooth.reshape(4, 1, 1))

    def in_turn() -> None:
        start, kept["in turn"] = makers(), {}
        for arm, value in enumerate(smooth):
            for position, seed in enumerate(SEEDS):
                nets = kept["in turn"][arm, position] = tuple(net.net(arm, position) for net in start)
                play(nets, Run(images, **options, seeds=(seed,)), (), value)

    together(), in_turn()  # warm
    for (arm, seed), (g, _) in kept["in turn"].items():
        for name, value in kept["together"][0].net(arm, seed).state_dict().items():
            assert torch.allclose(value, g.state_dict()[name], rtol=1e-2, atol=1e-3), (arm, seed, name)
    assert bench.ratio("sweep-gan", in_turn, together, repeats=4) >= target("sweep-gan")


def test_small_convolutions_against_those_of_torch_in_a_stack(bench):
    x = torch.rand(1, 1, 64, 1, 8, 8)

    def stack(kind: Any) -> Arms:
        def make() -> nn.Module:
            return nn.Sequential(kind.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), kind.Conv2d(8, 16, 4, 2, 1), nn.Flatten())

        return Arms(make, arms=6, seeds=(0, 1))

    mine, theirs = stack(smallconv), stack(nn)
    assert torch.allclose(mine(x), theirs(x), atol=1e-4)

    def work(net: Arms) -> None:
        for _ in range(20):
            torch.autograd.grad(net(x).square().sum(), list(net.parameters()))

    assert bench.ratio("smallconv", lambda: work(theirs), lambda: work(mine), repeats=5) >= target("smallconv")


def test_a_head_on_cached_features_against_forwarding_every_epoch(bench):
    """Ten epochs of the same batches, the one pass that makes the features included; the heads come out the same."""
    backbone, images = zoo.load("tiny_resnet", device="cpu"), load("toybox", limit=1000)
    body = nn.Sequential(*list(backbone.net.children())[:-1], nn.Flatten()).eval()
    heads: dict[str, nn.Linear] = {}

    def train(name: str, features: Tensor | None) -> None:
        with local_seed(0):
            head = heads[name] = nn.Linear(backbone.width, 10)
        optimizer, rng = torch.optim.SGD(head.parameters(), lr=0.05, momentum=0.9), torch.Generator().manual_seed(0)
        for _ in range(10):
            for index in torch.randperm(len(images), generator=rng).split(50):
                with torch.no_grad():
                    z = body(backbone.prepare(images.pixels[index])) if features is None else features[index]
                loss = nn.functional.cross_entropy(head(z), images.labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def cached() -> None:
        found = extract(backbone.net, images, ["avgpool"], prepare=backbone.prepare, dim=backbone.width, cache=False)
        train("cached", found["avgpool"])

    fast = bench.ratio("head", lambda: train("forwarded", None), cached, repeats=2)
    assert torch.allclose(heads["cached"].weight, heads["forwarded"].weight, atol=1e-3)
    assert fast >= target("head")


def test_all_cuts_of_a_vgg_in_one_pass_against_a_pass_each(bench):
    """Each pass of the plain way stops at its cut; what comes out is the same."""
    backbone, images = zoo.load("tiny_vgg", device="cpu"), load("toybox", limit=400)
    net: Any = backbone.net
    chain = nn.Sequential(*net.features, net.avgpool, nn.Flatten(), *net.classifier)
    relus = [i for i, module in enumerate(chain) if isinstance(module, nn.ReLU | nn.MaxPool2d)]
    names = [f"features.{i}" if i < len(net.features) else f"classifier.{i - len(net.features) - 2}" for i in relus]
    found: dict[str, dict[str, Tensor]] = {"each": {}, "one": {}}
    options: dict[str, Any] = {"prepare": backbone.prepare, "cache": False}

    def each() -> None:
        for i, name in zip(relus, names, strict=True):
            found["each"][name] = extract(chain[: i + 1], images, [str(i)], **options)[str(i)]

    def one() -> None:
        found["one"] = extract(net, images, names, **options)

    fast = bench.ratio("cuts", each, one, repeats=3)
    assert all(torch.allclose(found["one"][name], found["each"][name], atol=1e-4) for name in names)
    assert fast >= target("cuts")
