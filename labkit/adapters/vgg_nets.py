"""The small VGG that the adapters of lab 06 hand to an exercise, whose first layer watches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray


class Broken(Exception):
    """What a net raises on purpose."""


class Notes(list[bool]):
    """Notes of a net, which its copies share."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Notes:
        return self


class Watch(nn.Module):
    """Passes on what comes, and notes whether there is a graph; or breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.graphs, self.breaks = Notes(), False
        self.look: Callable[[Tensor], None] = lambda x: None

    def forward(self, x: Tensor) -> Tensor:
        """The input.

        Raises:
            Broken: it has been told to break.
        """
        if self.breaks:
            raise Broken("this net breaks on purpose")
        self.graphs.append(torch.is_grad_enabled())
        self.look(x)
        return x

    def without_graph(self) -> bool:
        """Whether it was called, and never with a graph."""
        return bool(self.graphs) and not any(self.graphs)


def small_vgg(weights: dict[str, Array]) -> Any:
    """A small VGG in evaluation mode, whose modules run one after the other; the first of net.features is a `Watch`."""
    channels = [len(weights[name]) for name in ("w1", "w2", "w6", "w7", "w8")]
    features = nn.Sequential(
        Watch(), nn.Conv2d(3, channels[0], 3, padding=1), nn.BatchNorm2d(channels[0]), nn.ReLU(True), nn.MaxPool2d(2),
        nn.Conv2d(channels[0], channels[1], 3, padding=1), nn.BatchNorm2d(channels[1]), nn.ReLU(True))  # fmt: skip
    classifier = nn.Sequential(
        nn.Linear(4 * channels[1], channels[2]), nn.ReLU(True), nn.Dropout(), nn.Linear(channels[2], channels[3]),
        nn.ReLU(True), nn.Dropout(), nn.Linear(channels[3], channels[4]))  # fmt: skip
    with torch.no_grad():
        for number, layer in zip("12678", (features[1], features[5], *classifier[::3]), strict=True):
            layer.weight.copy_(torch.from_numpy(weights[f"w{number}"]))
            layer.bias.copy_(torch.from_numpy(weights[f"b{number}"]))
        for number, norm in zip("12", (features[2], features[6]), strict=True):
            for name, row in zip(("weight", "bias", "running_mean", "running_var"), weights[f"n{number}"], strict=True):
                getattr(norm, name).copy_(torch.from_numpy(row))
    parts = OrderedDict(features=features, avgpool=nn.AdaptiveAvgPool2d(2), flat=nn.Flatten(), classifier=classifier)
    return nn.Sequential(parts).eval()


def mixed(weights: dict[str, Array]) -> Any:
    """A net whose modules are not all in one mode; its first batch norm is in training mode, the second is not."""
    net = small_vgg(weights)
    net.training = net.features[2].training = net.features[7].training = net.classifier.training = True
    return net


def hooks(net: nn.Module) -> int:
    """How many hooks are on a net and its modules."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in net.modules() for kind in kinds)


def breaks(function: Callable[[], Any], net: Any) -> bool:
    """Whether the error of a net that breaks arrives; afterwards it no longer breaks."""
    net.features[0].breaks = True
    try:
        function()
    except Broken:
        return True
    finally:
        net.features[0].breaks = False
    return False
