"""Nets of torchvision: their layers by name, their architecture, and their official weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from labkit.public import weights


class Plan(NamedTuple):
    """A net of torchvision: which weights it gets, and the names of its layers."""

    weights: str
    layers: tuple[str, ...]
    head: str
    size: int = 224


def _features(*numbers: int, then: tuple[str, ...] = ()) -> tuple[str, ...]:
    return (*(f"features.{number}" for number in numbers), *then)


STAGES = ("layer1", "layer2", "layer3", "layer4", "avgpool")
RELU6_RELU7, ALEXNET_RELUS = ("classifier.1", "classifier.4"), ("classifier.2", "classifier.5")
INCEPTION = ("Mixed_5d", "Mixed_6e", "Mixed_7c", "avgpool")
#: The pooling at the end of each stage of a VGG; the ends of the stages of the others
TORCHVISION = {
    "resnet18": Plan("ResNet18_Weights.IMAGENET1K_V1", STAGES, "fc"),
    "resnet50": Plan("ResNet50_Weights.IMAGENET1K_V1", STAGES, "fc"),
    "resnet152": Plan("ResNet152_Weights.IMAGENET1K_V1", STAGES, "fc"),
    "vgg16": Plan("VGG16_Weights.IMAGENET1K_V1", _features(4, 9, 16, 23, 30, then=RELU6_RELU7), "classifier.6"),
    "vgg19": Plan("VGG19_Weights.IMAGENET1K_V1", _features(4, 9, 18, 27, 36, then=RELU6_RELU7), "classifier.6"),
    "alexnet": Plan("AlexNet_Weights.IMAGENET1K_V1", _features(2, 5, 7, 9, 12, then=ALEXNET_RELUS), "classifier.6"),
    "inception_v3": Plan("Inception_V3_Weights.IMAGENET1K_V1", INCEPTION, "fc", 299),
    "squeezenet1_1": Plan("SqueezeNet1_1_Weights.IMAGENET1K_V1", _features(2, 5, 8, 12), "classifier.1"),
    "mobilenet_v2": Plan("MobileNet_V2_Weights.IMAGENET1K_V1", _features(1, 3, 6, 13, 18), "classifier.1"),
}


def build(name: str, *, init_weights: bool) -> nn.Module:
    """The net as torchvision builds it, Inception with its second head, since the official weights hold that too."""
    from torchvision.models import get_model

    # Inception's weights are TensorFlow's: transform_input turns ImageNet's normalisation into -1..1
    options = {"init_weights": init_weights, "transform_input": True} if name == "inception_v3" else {}
    return get_model(name, weights=None, **options)


def load(name: str) -> tuple[nn.Module, str]:
    """A net of torchvision with its official weights, and which those are."""
    from torchvision.models import get_weight

    which = TORCHVISION[name].weights
    path = weights.official(name, get_weight(which).url)
    state = weights.read(name, path)
    with torch.device("meta"):  # no time for random weights that are thrown away
        net = build(name, init_weights=False)
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise weights.damaged(name, path, "its layers are not those of the net") from error
    return net, f"{which} ({weights.told(path)})"
