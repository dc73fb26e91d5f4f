"""Small nets for the checks of lab 06, with the parts of torchvision's VGG: they note how they are called, and may break."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labkit.check.frame import draw
from labkit.check.nets import Broken, Log, settle


class Note(NamedTuple):
    """How a layer was called: where in the net, in training mode or not, with a graph or not, and what else was seen."""

    where: str
    training: bool
    graph: bool
    looked: Any = None


class Watch(nn.Module):
    """Passes on what comes, and notes how; it breaks at the call number `breaks_at`."""

    def __init__(self, seen: Log, *, breaks_at: int = -1) -> None:
        super().__init__()
        self.seen, self.breaks_at = seen, breaks_at
        self.look: Callable[[Tensor], Any] = lambda x: None

    def forward(self, x: Tensor) -> Tensor:
        """The input.

        Raises:
            Broken: it is the pass at which to break.
        """
        if len(self.seen) == self.breaks_at:
            raise Broken
        self.seen.append(Note("net.features", self.training, torch.is_grad_enabled(), self.look(x)))
        return x


class Dropout(nn.Dropout):
    """Dropout that notes how it is called."""

    def __init__(self, seen: Log) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        """Drop out, in training mode."""
        self.seen.append(Note("net.classifier", self.training, torch.is_grad_enabled()))
        return super().forward(x)


class Vgg(nn.Module):
    """A VGG for images of 8 x 8 pixels, with 9 numbers at relu7, in float32. Pooling changes the size of its maps."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__()
        self.seen = seen = Log()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True), nn.MaxPool2d(2),
            Watch(seen, breaks_at=0 if breaks else -1))  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(
            nn.Linear(16, 12), nn.ReLU(True), Dropout(seen), nn.Linear(12, 9), nn.ReLU(True), Dropout(seen), nn.Linear(9, 5)
        )
        settle(self, 6).float()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 5)."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits


def chain() -> tuple[nn.Module, Watch]:
    """A VGG of layers that run one after the other, for images of about 12 x 8 pixels, and its first layer, which notes."""
    watch = Watch(Log())
    features = nn.Sequential(watch, nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2),
                             nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(True))  # fmt: skip
    classifier = nn.Sequential(nn.Linear(24, 5), nn.ReLU(True), nn.Dropout(), nn.Linear(5, 3))
    layers = OrderedDict(features=features, avgpool=nn.AdaptiveAvgPool2d(2), flat=nn.Flatten(), classifier=classifier)
    return settle(nn.Sequential(layers), 8).eval(), watch


def photos(height: int = 12, width: int = 8) -> list[Tensor]:
    """Batches (B, 3, H, W) of 4, 3 and 2 images for `chain`."""
    return [draw(n, 3, height, width, seed=30 + n) for n in (4, 3, 2)]
