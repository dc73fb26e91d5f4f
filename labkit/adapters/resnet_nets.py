"""Small nets that the adapters of lab 01 hand to an exercise; their weights come with the case."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

A = np.ndarray  # short, so that a signature stays on its line
Net = TypeVar("Net", bound=nn.Module)


class Broken(Exception):
    """What a net of a case raises on purpose."""


class Guard(nn.Module):
    """The identity; with a graph the sign is turned, so that the pass gives other values; and it may break at a pass."""

    def __init__(self, breaks_at: int = -1) -> None:
        super().__init__()
        self.breaks_in = breaks_at + 1

    def forward(self, x: Tensor) -> Tensor:
        """Values of the same shape.

        Raises:
            Broken: it is the pass at which to break.
        """
        self.breaks_in -= 1
        if self.breaks_in == 0:
            raise Broken("this net breaks on purpose")
        return -x if x.requires_grad else x


class BasicBlock(nn.Module):
    """A residual block of two convolutions, with torchvision's names, arguments and order of modules."""

    expansion = 1
    kernels: tuple[int, ...] = (3, 3)

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        for i, size in enumerate(self.kernels):
            wide = planes * (self.expansion if i + 1 == len(self.kernels) else 1)
            step = stride if i == self.kernels.index(3) else 1
            self.add_module(f"conv{i + 1}", nn.Conv2d(inplanes, wide, size, step, size // 2, bias=False))
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(wide))
            inplanes = wide
        self.relu, self.downsample, self.stride = nn.ReLU(inplace=True), downsample, stride

    def forward(self, x: Tensor) -> Tensor:
        """relu(F(x) + shortcut(x))."""
        out = x
        for i in range(len(self.kernels)):
            out = out if i == 0 else self.relu(out)
            out = self.get_submodule(f"bn{i + 1}")(self.get_submodule(f"conv{i + 1}")(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(BasicBlock):
    """The block of three convolutions, of which the last widens."""

    expansion = 4
    kernels = (1, 3, 1)


def filled(net: Net, weights: A) -> Net:
    """The net in float64 with its parameters and statistics from the front of `weights` (n,), scaled by their kind.

    Raises:
        ValueError: `weights` has too few numbers.
    """
    state = {name: values for name, values in net.double().state_dict().items() if values.is_floating_point()}
    rest, n = torch.from_numpy(weights), sum(values.numel() for values in state.values())
    if n > len(weights):
        raise ValueError(f"got {len(weights)} weights, expected at least {n}: draw more of them")
    for name, values in state.items():
        drawn, rest = rest[: values.numel()].view_as(values), rest[values.numel() :]
        scaled = 0.5 + drawn.abs() if name.endswith("running_var") else drawn
        values.copy_(scaled / values[0].numel() ** 0.5 if values.ndim > 1 else scaled)
    return net


def block_of(kind: A, stride: A, training: A, weights: A, x: A, function: Any = None) -> Any:
    """A 'Bottleneck' or 'BasicBlock' for images x (B, C, H, W), with C channels at its end; with a projection if it strides.

    Those of torchvision, which takes seconds to import, only where `function` names it: it may ask isinstance().
    """
    if any("torchvision" in name for name in getattr(getattr(function, "__code__", None), "co_names", ())):
        import torchvision.models.resnet  # noqa: F401 - found in sys.modules
    vision, wide = sys.modules.get("torchvision.models.resnet"), x.shape[1]
    block: Any = getattr(vision, str(kind)) if vision else {"Bottleneck": Bottleneck, "BasicBlock": BasicBlock}[str(kind)]
    strided = nn.Sequential(nn.Conv2d(wide, wide, 1, int(stride), bias=False), nn.BatchNorm2d(wide))
    project = None if stride == 1 else strided
    return filled(block(wide, wide // block.expansion, int(stride), project), weights).train(bool(training))


def named_net() -> nn.Sequential:
    """A net with names that begin alike, nested stages, batch norm, and dropout in layer1 and layer10; 3 classes."""

    def stage(*more: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), *more)

    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(3, 4, 3), bn1=nn.BatchNorm2d(4), layer1=stage(nn.Dropout(0.25)), layer10=stage(nn.Dropout(0.25)),
        layer4=nn.Sequential(stage(), stage()), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
        fc=nn.Linear(4, 6), fc2=nn.Linear(6, 3)))  # fmt: skip


def classifier(norms: A, linear: A, guard: nn.Module | None = None) -> nn.Sequential:
    """A net with a batch norm (4 rows of C: weight, bias, mean, variance), a deeper one, and a linear head with dropout."""
    classes, channels = linear.shape
    net = nn.Sequential(OrderedDict(
        body=nn.Sequential(nn.BatchNorm2d(channels), nn.Sequential(nn.BatchNorm2d(channels))),
        head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels, classes, bias=False)),
        guard=guard or nn.Identity())).double()  # fmt: skip
    given = torch.from_numpy(np.concatenate([norms.ravel(), linear.ravel()]))
    own = [values for values in net.state_dict().values() if values.is_floating_point()]
    for values, new in zip(own, given.split([values.numel() for values in own]), strict=True):
        values.copy_(new.view_as(values))
    return net


def stages(weights: A, training: A, guard: nn.Module | None = None) -> nn.Sequential:
    """A residual net for images (B, 3, H, W), 3 classes; training (3,): which of bn1, layer1, layer2 are in that mode."""
    project = nn.Sequential(nn.Conv2d(4, 5, 1, 2, bias=False), nn.BatchNorm2d(5))
    net = nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(3, 4, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(4), relu=nn.ReLU(inplace=True),
        guard=guard or nn.Identity(), layer1=nn.Sequential(Bottleneck(4, 1), Bottleneck(4, 1)),
        layer2=nn.Sequential(BasicBlock(4, 5, 2, project)), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
        fc=nn.Linear(5, 3, bias=False)))  # fmt: skip
    filled(net, weights).eval()
    for name, mode in zip(("bn1", "layer1", "layer2"), training.tolist(), strict=True):
        net.get_submodule(name).train(mode)
    return net
