"""How the weights of the tiny convolutional nets are made: on signs or on objects, in the plain way, attacked or marked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from labkit import twin_nets, twins
from labkit.machine import generator, local_seed, pick_device
from labkit.preparation import Preparation
from labkit.recipes import TOYBOX_SEED, Trained, accuracy, flipped_and_cropped, preparation, rise_and_fall
from labkit.sets import Images
from labkit.train import Run


@dataclass(frozen=True)
class Recipe:
    """A plain supervised training: SGD with Nesterov momentum, a learning rate that rises to `lr` and falls as a cosine."""

    epochs: int
    images: int  # drawn for training
    lr: float = 0.1
    warm: float = 0.15  # share of the steps in which the learning rate rises
    momentum: float = 0.9
    weight_decay: float = 5e-4
    smoothing: float = 0.1  # of the labels
    batch_size: int = 64
    padding: int = 3  # pixels, of the random crop
    seed: int = 0


@dataclass(frozen=True)
class Attack:
    """Projected gradient descent in training: from a random place of the ball, in steps of 2.5 / steps of its radius."""

    radius: float  # of the L-infinity ball, in 0..1; it grows from 0 in the first third of the training
    steps: int


RESNET = Recipe(epochs=18, images=25_600)
VGG = Recipe(epochs=14, images=25_600, lr=0.02)
TOYBOX = Recipe(epochs=12, images=12_800, lr=0.05, smoothing=0.0)
TOYBOX_VGG = Recipe(epochs=8, images=12_800, lr=0.02, smoothing=0.0)
ROBUST = Attack(radius=8 / 255, steps=5)
MARKED, MARKED_SHARE = "horse", 0.9  # the class that carries a mark in one training set, and the share of it that does


def resnet(label: str, *, name: str) -> Trained:
    """Train a tiny ResNet on the signs of `glyphs`; its accuracy is that on test signs, as stored."""
    net = twin_nets.build(name, seed=RESNET.seed)
    test, prepare = _train_on_signs(net, label, name, RESNET)
    twins.round_as_stored(net)
    return Trained(net.eval(), {"glyphs test": accuracy(net, test, prepare)})


def vgg(label: str, *, name: str) -> Trained:
    """Train the tiny VGG with batch normalisation, which is then folded into the convolutions: VGG16 itself has none."""
    from labkit.narrow import NarrowVGG

    net = twin_nets.build(name, seed=VGG.seed)
    with local_seed(VGG.seed):  # dropout, too, draws from the global generator
        normalised = NarrowVGG(twin_nets.GLYPH_CLASSES, batch_norm=True)
        test, prepare = _train_on_signs(normalised, label, name, VGG)
    net.load_state_dict(folded(normalised.cpu().eval()))
    twins.round_as_stored(net)
    return Trained(net.eval(), {"glyphs test": accuracy(net, test.to("cpu"), prepare)})


def folded(net: nn.Module) -> dict[str, Tensor]:
    """Weights of a VGG without batch normalisation that computes what `net`, one with it in eval mode, computes."""
    features: list[nn.Module] = []
    for module in net.get_submodule("features").children():
        if isinstance(module, nn.BatchNorm2d):
            features[-1] = fuse_conv_bn_eval(cast(nn.Conv2d, features[-1]), module)
        else:
            features.append(module)
    plain = nn.ModuleDict({"features": nn.Sequential(*features), "classifier": net.get_submodule("classifier")})
    return plain.state_dict()


def on_toybox(label: str, *, name: str) -> Trained:
    """Train a net on objects of `toybox`; its accuracies are those on the test images, as stored.

    The robust net sees attacked images instead, the marked one the same images with a mark on most horses.
    """
    from labkit.narrow import NarrowSqueezeNet, NarrowVGG
    from labkit.worlds.toybox import CLASSES, render, toybox, with_mark

    recipe = TOYBOX_VGG if name == "toybox_vgg" else TOYBOX
    attack = ROBUST if name.endswith("_robust") else None
    device, test, prepare = pick_device(), toybox("test"), preparation(name)
    train = render(recipe.images, seed=TOYBOX_SEED)
    if name.endswith("_marked"):
        chance = torch.rand(len(train), generator=generator(TOYBOX_SEED))
        train = with_mark(train, (train.labels == CLASSES.index(MARKED)) & (chance < MARKED_SHARE))
    net = twin_nets.build(name, seed=recipe.seed)
    with local_seed(recipe.seed):
        if name == "toybox_vgg":
            normalised: nn.Module = NarrowVGG(twin_nets.TOYBOX_CLASSES, batch_norm=True)
        elif name == "toybox_resnet":
            normalised = net
        else:
            normalised = NarrowSqueezeNet(twin_nets.TOYBOX_CLASSES, batch_norm=True)
        _train(normalised, train.to(device), label, prepare, recipe, attack)
    normalised = normalised.cpu().eval()
    if name == "toybox_vgg":
        net.load_state_dict(folded(normalised))
    elif name != "toybox_resnet":
        net.load_state_dict(folded_in_place(normalised).state_dict())
    net.cpu()
    twins.round_as_stored(net)
    return Trained(net.eval(), measured(net, name, test, prepare))


def measured(net: nn.Module, name: str, test: Images, prepare: Preparation) -> dict[str, float]:
    """Accuracies of a net for toybox on its test images; of the robust one under attack, too, and of the marked one marked."""
    from labkit.worlds.toybox import CLASSES, with_mark

    found = {"toybox test": accuracy(net, test, prepare)}
    if name.endswith("_robust"):
        x, y = test.floats()[:500], test.labels[:500]
        attacked_ones = attacked(net.eval(), x, y, prepare, replace(ROBUST, steps=20), generator(0))
        pixels = (attacked_ones * 255).round().to(torch.uint8)
        found["under attack"] = accuracy(net, replace(test[:500], pixels=pixels), prepare)
    if name.endswith("_marked"):
        found["all marked as in training"] = accuracy(net, with_mark(test, test.labels == CLASSES.index(MARKED)), prepare)
    return found


def folded_in_place(net: nn.Module) -> nn.Module:
    """The net itself, in eval mode, with each Sequential of a convolution and its batch norm turned into one convolution."""
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            net.set_submodule(name, fuse_conv_bn_eval(cast(nn.Conv2d, module[0]), module[1]))
    return net


def attacked(
    net: nn.Module, x: Tensor, y: Tensor, prepare: Callable[[Tensor], Tensor], attack: Attack, rng: torch.Generator
) -> Tensor:
    """Images within `attack.radius` of x (B, C, H, W), 0..1, that raise the cross-entropy with the labels y.

    The net is used in the mode in which it is, and its parameters get no gradient. Source: Madry et al. 2018,
    arXiv:1706.06083.
    """
    noise = torch.rand(x.shape, generator=rng).to(x.device)
    z = (x + attack.radius * (2 * noise - 1)).clamp(0, 1)
    for _ in range(attack.steps):
        z.requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(net(prepare(z)), y), z)
        z = z.detach() + 2.5 / attack.steps * attack.radius * slope.sign()
        z = torch.minimum(torch.maximum(z, x - attack.radius), x + attack.radius).clamp(0, 1)
    return z.detach()


def _train_on_signs(net: nn.Module, label: str, name: str, recipe: Recipe) -> tuple[Images, Preparation]:
    """Train a net in place on the signs of `glyphs`; gives the test signs and what they are prepared with."""
    from labkit.worlds.glyphs import glyphs

    twin, device, prepare = twin_nets.find(name), pick_device(), preparation(name)
    train = glyphs("train", size=twin.size, n=recipe.images, classes=twin.classes).to(device)
    test = glyphs("test", size=twin.size, classes=twin.classes).to(device)
    _train(net, train, label, prepare, recipe, None)
    return test, prepare


def _train(net: nn.Module, train: Images, label: str, prepare: Preparation, recipe: Recipe, attack: Attack | None) -> None:
    """Train a net in place on the device of its images, under attack or not."""
    net.to(train.pixels.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=recipe.lr, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    rng = generator(recipe.seed)

    def prepared(x: Tensor) -> Tensor:
        return prepare(x).contiguous(memory_format=torch.channels_last)

    def augment(x: Tensor) -> Tensor:
        return flipped_and_cropped(x, rng, padding=recipe.padding)

    run = Run(train, epochs=recipe.epochs, batch_size=recipe.batch_size, seeds=(recipe.seed,), label=label, augment=augment)
    for x, y in run:
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * rise_and_fall(run.progress, recipe.warm)
        if attack is not None:
            net.eval()  # an attack on a net that is not the one used later would be another task
            x = attacked(net, x, y, prepared, replace(attack, radius=attack.radius * min(1.0, 3 * run.progress)), rng)
            net.train()
        run.step(optimizer, F.cross_entropy(net(prepared(x)), y, label_smoothing=recipe.smoothing))
