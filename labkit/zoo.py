"""One call for every backbone: the net, its named layers, its preprocessing, and where its weights come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import twins
from labkit.files import OfflineError
from labkit.machine import local_seed, pick_device
from labkit.public import hub, weights

IMAGENET_MEAN, IMAGENET_STD = hub.IMAGENET


@dataclass(frozen=True)
class Preparation:
    """What a net wants its images turned into: `size` pixels a side, RGB, (x - mean) / std by channel.

    Called on images (B, C, H, W), uint8 or floats in 0..1, grey (C = 1) or RGB, it gives floats (B, 3, size, size) on the
    same device. Images of another size are resized whole, without a crop, by antialiased bilinear interpolation; such as are
    not square are squeezed. Gradients pass through. `cache_key` is a text that two preparations share only if they are equal.

    Raises:
        ValueError: on images of another shape or of other integers than uint8.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def cache_key(self) -> str:
        """Part of the key under which features of prepared images are kept."""
        return f"bilinear, antialiased, to {self.size}; mean {self.mean}; std {self.std}"

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 1 | 3, H, W) -> (B, 3, size, size), normalised."""
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise ValueError(
                f"images of shape {tuple(x.shape)}: give a batch (B, C, H, W) with C = 1 or 3; one image as x[None]"
            )
        if not x.is_floating_point():
            if x.dtype != torch.uint8:
                raise ValueError(f"images of type {x.dtype}: give uint8 in 0..255, or floats in 0..1")
            x = x.float() / 255
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        mean, std = (torch.tensor(each, dtype=x.dtype, device=x.device).reshape(-1, 1, 1) for each in (self.mean, self.std))
        return (x - mean) / std  # a grey channel becomes three here


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


class Plan(NamedTuple):
    """A net of torchvision: which weights it gets, and the names of its layers."""

    weights: str
    layers: tuple[str, ...]
    head: str
    size: int = 224


def _features(*numbers: int, then: tuple[str, ...] = ()) -> tuple[str, ...]:
    return (*(f"features.{number}" for number in numbers), *then)


RELU6_RELU7, ALEXNET_RELUS = ("classifier.1", "classifier.4"), ("classifier.2", "classifier.5")
INCEPTION = ("Mixed_5d", "Mixed_6e", "Mixed_7c", "avgpool")
#: The pooling at the end of each stage of a VGG; the ends of the stages of the others
TORCHVISION = {
    "resnet18": Plan("ResNet18_Weights.IMAGENET1K_V1", twins.STAGES, "fc"),
    "resnet50": Plan("ResNet50_Weights.IMAGENET1K_V1", twins.STAGES, "fc"),
    "resnet152": Plan("ResNet152_Weights.IMAGENET1K_V1", twins.STAGES, "fc"),
    "vgg16": Plan("VGG16_Weights.IMAGENET1K_V1", _features(4, 9, 16, 23, 30, then=RELU6_RELU7), "classifier.6"),
    "vgg19": Plan("VGG19_Weights.IMAGENET1K_V1", _features(4, 9, 18, 27, 36, then=RELU6_RELU7), "classifier.6"),
    "alexnet": Plan("AlexNet_Weights.IMAGENET1K_V1", _features(2, 5, 7, 9, 12, then=ALEXNET_RELUS), "classifier.6"),
    "inception_v3": Plan("Inception_V3_Weights.IMAGENET1K_V1", INCEPTION, "fc", 299),
    "squeezenet1_1": Plan("SqueezeNet1_1_Weights.IMAGENET1K_V1", _features(2, 5, 8, 12), "classifier.1"),
    "mobilenet_v2": Plan("MobileNet_V2_Weights.IMAGENET1K_V1", _features(1, 3, 6, 13, 18), "classifier.1"),
}


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
    rows = ((twins.TWINS, _twin), (TORCHVISION, _torchvision), (hub.NETS, _transformers))
    return {name: library for names, library in rows for name in names}


def _twin(name: str, pretrained: bool, seed: int) -> Parts:
    twin = twins.find(name)
    if pretrained:
        net, provenance = twins.load(name), f"{name}: committed weights, made by `{twins.about(name)['command']}`"
    else:
        net, provenance = twins.build(name, seed=seed), f"{name}: random weights (seed {seed})"
    return Parts(net, twin.layers, twin.head, Preparation(twin.size, twin.mean, twin.std), provenance, None)


def _torchvision(name: str, pretrained: bool, seed: int) -> Parts:
    plan, random = TORCHVISION[name], partial(_architecture, name, init_weights=True)
    official = partial(_filled, name) if pretrained else None
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


def _architecture(name: str, *, init_weights: bool) -> nn.Module:
    """The net as torchvision builds it, Inception with its second head, since the official weights hold that too."""
    from torchvision.models import get_model

    # Inception's weights are TensorFlow's: transform_input turns ImageNet's normalisation into -1..1
    options = {"init_weights": init_weights, "transform_input": True} if name == "inception_v3" else {}
    return get_model(name, weights=None, **options)


def _filled(name: str) -> tuple[nn.Module, str]:
    """A net of torchvision with its official weights, and which those are."""
    from torchvision.models import get_weight

    which = TORCHVISION[name].weights
    path = weights.official(name, get_weight(which).url)
    state = weights.read(name, path)
    with torch.device("meta"):  # no time for random weights that are thrown away
        net = _architecture(name, init_weights=False)
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise weights.damaged(name, path, "its layers are not those of the net") from error
    return net, f"{which} ({weights.told(path)})"


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
