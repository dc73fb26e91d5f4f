"""One call for every backbone: the net, its named layers, its preprocessing, and where its weights come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from labkit import twin_nets, twins
from labkit.files import OfflineError
from labkit.machine import local_seed, pick_device
from labkit.preparation import Preparation
from labkit.public import hub, vision
from labkit.public.vision import TORCHVISION as TORCHVISION  # labs read the names of classes through it

IMAGENET_MEAN, IMAGENET_STD = hub.IMAGENET


@dataclass(frozen=True, eq=False)
class Backbone:
    """A net that is ready for use: in eval mode, in channels_last format, on its device.

    `layers` are module names in the order of the forward pass, `head` is the name of the last layer, a Linear or a 1x1
    convolution with `width` input channels, and `classes` are what it tells apart. `provenance` says in words where the
    weights come from. `distrust` is None, or why no claim may rest on this net: 'random weights' that stand in for others.
    Called on images, a net of transformers gives a ModelOutput with `.logits`, any other the logits themselves.
    """

    name: str
    net: nn.Module = field(repr=False)
    layers: tuple[str, ...]
    head: str
    width: int
    classes: int
    prepare: Preparation
    provenance: str
    distrust: str | None


class Parts(NamedTuple):
    """What a library gives: a net on the CPU, and what belongs to it."""

    net: nn.Module
    layers: tuple[str, ...]
    head: str
    prepare: Preparation
    provenance: str
    distrust: str | None


def known() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(_libraries())


def load(
    name: str,
    *,
    device: torch.device | str | None = None,
    pretrained: bool = True,
    classes: int | None = None,
    seed: int = 0,
) -> Backbone:
    """Load a backbone by name: a tiny twin, a net of torchvision, or a vision transformer by its id on the Hugging Face hub.

    With `pretrained` it has its committed weights, or those published, which are downloaded once; without, random ones drawn
    from `seed`. `classes` puts a fresh head of so many classes, drawn from `seed`, in the place of its own. Where published
    weights can't be had and LABKIT_RANDOM_WEIGHTS is set, random ones stand in, and `distrust` says so.

    Raises:
        ValueError: the name is unknown, classes is below 1, or a twin's file is damaged.
        FileNotFoundError: a twin's file is missing, or a folder of data that is named.
        labkit.files.OfflineError: weights may not, or could not, be downloaded; says which file goes where.
        labkit.public.DamagedData: a file of weights is truncated or of another net.
    """
    libraries = _libraries()
    if name not in libraries:
        raise ValueError(f"backbone {name!r} is unknown: use one of {', '.join(libraries)}")
    if classes is not None and classes < 1:
        raise ValueError(f"classes is {classes}: give the number of classes of the new head, at least 1, or None")
    device = device if isinstance(device, torch.device) else pick_device(device)
    parts = libraries[name](name, pretrained, seed)
    provenance = parts.provenance
    if classes is not None:
        _replace_head(parts.net, parts.head, classes, seed)
        provenance += f"; a fresh head of {classes} classes (seed {seed})"
    width, n_classes = _head_shape(parts.net, parts.head)
    return Backbone(
        name=name,
        net=parts.net.eval().to(device).to(memory_format=torch.channels_last),
        layers=parts.layers,
        head=parts.head,
        width=width,
        classes=n_classes,
        prepare=parts.prepare,
        provenance=provenance,
        distrust=parts.distrust,
    )


def random_like(backbone: Backbone, seed: int) -> Backbone:
    """The control of a backbone: the same architecture, head and device with random weights drawn from `seed`."""
    device = next(backbone.net.parameters()).device
    return load(backbone.name, device=device, pretrained=False, classes=backbone.classes, seed=seed)


def _libraries() -> dict[str, Callable[[str, bool, int], Parts]]:
    """Name -> what loads it, called with (name, pretrained, seed). A further library is one more function and one more row."""
    rows = ((twin_nets.TWINS, _twin), (TORCHVISION, _torchvision), (hub.NETS, _transformers))
    return {name: library for names, library in rows for name in names}


def chosen_twin(name: str, *, pretrained: bool, seed: int) -> tuple[nn.Module, str]:
    """A twin with its committed weights, or with random ones drawn from `seed`, and words on where they come from.

    Raises:
        ValueError, FileNotFoundError: as `labkit.twins.load`.
    """
    if pretrained:
        return twins.load(name), f"{name}: committed weights, made by `{twins.about(name)['command']}`"
    return twin_nets.build(name, seed=seed), f"{name}: random weights (seed {seed})"


def _twin(name: str, pretrained: bool, seed: int) -> Parts:
    twin, (net, provenance) = twin_nets.find(name), chosen_twin(name, pretrained=pretrained, seed=seed)
    return Parts(net, twin.layers, twin.head, Preparation(twin.size, twin.mean, twin.std), provenance, None)


def _torchvision(name: str, pretrained: bool, seed: int) -> Parts:
    plan, random = TORCHVISION[name], partial(vision.build, name, init_weights=True)
    official = partial(vision.load, name) if pretrained else None
    net, provenance, distrust = official_or_random(name, plan.weights, official, random, seed)
    if name == "inception_v3":  # what is wanted of it are its features and its logits, in training too
        net.aux_logits, net.AuxLogits = False, None
    return Parts(net, plan.layers, plan.head, Preparation(plan.size, IMAGENET_MEAN, IMAGENET_STD), provenance, distrust)


def _transformers(name: str, pretrained: bool, seed: int) -> Parts:
    plan, official = hub.NETS[name], partial(hub.load, name, seed=seed) if pretrained else None
    net, provenance, distrust = official_or_random(name, "the hub's", official, partial(hub.build, name), seed)
    layers = tuple(f"vit.layers.{number}" for number in range(plan.options["num_hidden_layers"]))
    return Parts(net, layers, "classifier", Preparation(plan.options["image_size"], *plan.statistics), provenance, distrust)


Official = Callable[[], tuple[Any, str]] | None


def official_or_random(
    name: str, which: str, official: Official, random: Callable[[], Any], seed: int
) -> tuple[Any, str, str | None]:
    """A net with the published weights that `official` gives, or with random ones drawn from `seed`; provenance, and distrust.

    Random ones it gets without `official`, and where that is offline and LABKIT_RANDOM_WEIGHTS lets them stand in for `which`.

    Raises:
        labkit.files.OfflineError: from `official`, where nothing may stand in.
    """
    provenance, distrust = f"{name}: random weights (seed {seed})", None
    if official:
        try:
            net, source = official()
            return net, f"{name}: {source}", None
        except OfflineError:
            if os.environ.get("LABKIT_RANDOM_WEIGHTS", "0") in ("", "0"):
                raise
            distrust = "random weights"
            provenance += f" in place of {which}, as LABKIT_RANDOM_WEIGHTS asks"
    with local_seed(seed):
        return random(), provenance, distrust


def _replace_head(net: nn.Module, head: str, classes: int, seed: int) -> None:
    old = net.get_submodule(head)
    with local_seed(seed):
        if isinstance(old, nn.Conv2d):
            fresh: nn.Module = nn.Conv2d(old.in_channels, classes, kernel_size=1)
            net.num_classes = classes  # type: ignore[assignment]  # SqueezeNet notes it
        else:
            fresh = nn.Linear(_head_shape(net, head)[0], classes)
    net.set_submodule(head, fresh)
    noted: Any = net
    if hasattr(net, "config"):  # transformers notes it twice, for its loss
        noted.num_labels = noted.config.num_labels = classes


def _head_shape(net: nn.Module, head: str) -> tuple[int, int]:
    """Features into the head, and classes."""
    layer: Any = net.get_submodule(head)
    return (layer.in_channels, layer.out_channels) if isinstance(layer, nn.Conv2d) else (layer.in_features, layer.out_features)
