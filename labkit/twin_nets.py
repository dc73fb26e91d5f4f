"""Tiny twins of well-known nets, built from the blocks of the real libraries: what they are, and how one is built anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from labkit.machine import local_seed
from labkit.public.vision import STAGES

GLYPH_CLASSES = 128
TOYBOX_CLASSES = 10
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Twin:
    """What is known of a twin before it is built.

    `build` gives the net with random weights from torch's global generator. `layers` are module names in the order of the
    forward pass, `head` is the last layer. The net takes RGB images of `size` pixels a side, (x - mean) / std by channel
    with x in 0..1, and gives logits of `classes` classes. A pair of towers (CLIPS) has no head and no classes.
    """

    name: str
    build: Callable[[], nn.Module]
    layers: tuple[str, ...]
    head: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int


def _narrow_resnet(blocks: tuple[int, int, int, int]) -> nn.Module:
    from labkit.narrow import NarrowResNet  # torchvision takes seconds to import

    return NarrowResNet(blocks, GLYPH_CLASSES)


def _narrow_vgg() -> nn.Module:
    from labkit.narrow import NarrowVGG

    return NarrowVGG(GLYPH_CLASSES)


def _narrow_squeezenet() -> nn.Module:
    from labkit.narrow import NarrowSqueezeNet

    return NarrowSqueezeNet(TOYBOX_CLASSES)


def _toybox_vgg() -> nn.Module:
    from labkit.narrow import NarrowVGG

    return NarrowVGG(TOYBOX_CLASSES)


def _vit(hidden: int, depth: int) -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    net = ViTForImageClassification(ViTConfig(**{**_vit_options(hidden, depth), "num_labels": TOYBOX_CLASSES}))
    net.vit.embeddings.position_embeddings.data[0, 1:] = 0.5 * _positions(8, hidden)  # free to change in training
    return net


def _positions(side: int, width: int) -> Tensor:
    """Sines and cosines of row and column, (side * side, width): where a patch is, before anything is learnt.

    Source: Vaswani et al. 2017, arXiv:1706.03762, for two axes as He et al. 2022, arXiv:2111.06377.
    """
    rates = 10_000 ** (-torch.arange(width // 4) / (width // 4))
    angles = torch.arange(side).unsqueeze(1) * rates  # (side, width / 4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.cat([waves.repeat_interleave(side, 0), waves.repeat(side, 1)], dim=1)


def _vit_layers(depth: int) -> tuple[str, ...]:
    return tuple(f"vit.layers.{i}" for i in range(depth))


def _vit_options(hidden: int, depth: int) -> dict[str, Any]:
    """Options that a ViT of transformers and its masked autoencoder share: 8 x 8 patches of an image of 32 pixels a side.

    Weights start with deviation 0.1: the library's 0.02 is meant for a width of 768. Attention is computed
    so that it can be read; a head has 16 numbers (ViT-B/16: 64).
    """
    return {
        "hidden_size": hidden,
        "num_hidden_layers": depth,
        "num_attention_heads": hidden // 16,
        "intermediate_size": 2 * hidden,
        "image_size": 32,
        "patch_size": 4,
        "initializer_range": 0.1,
        "attn_implementation": "eager",
    }


def _clip() -> nn.Module:
    from open_clip.model import CLIP

    from labkit import words

    vision = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64}  # RN50: 224, [3, 4, 6, 3], 64
    text = {"context_length": words.CONTEXT, "vocab_size": words.VOCABULARY, "width": 64, "heads": 4, "layers": 1}
    return CLIP(embed_dim=64, vision_cfg=vision, text_cfg=text)


def _toybox_resnet() -> nn.Module:
    from labkit.narrow import NarrowResNet

    return NarrowResNet((1, 1, 1, 1), TOYBOX_CLASSES)


#: The pooling at the end of each block of VGG16, and the ReLUs of its classifier, relu6 and relu7
POOLS = ("features.4", "features.9", "features.16", "features.23", "features.30", "classifier.1", "classifier.4")
#: The ends of the stages of SqueezeNet 1.1: two poolings, what a third would pool, and the last Fire
FIRES = ("features.2", "features.5", "features.8", "features.12")
#: Trained on toybox: in the plain way, against attacks, and on images in which horses are marked
SQUEEZENETS = ("toybox_squeezenet", "toybox_squeezenet_robust", "toybox_squeezenet_marked")
#: Width and depth: trained with labels; smaller; as large, with less training; and without labels, as a masked autoencoder
VITS = {"toybox_vit": (64, 6), "toybox_vit_small": (32, 3), "toybox_vit_short": (64, 6), "toybox_mae": (64, 6)}
TWINS = {
    twin.name: twin
    for twin in (
        Twin("tiny_resnet", partial(_narrow_resnet, (2, 3, 4, 2)), STAGES, "fc", 32, MEAN, STD, GLYPH_CLASSES),
        Twin("tiny_resnet_small", partial(_narrow_resnet, (1, 1, 1, 1)), STAGES, "fc", 32, MEAN, STD, GLYPH_CLASSES),
        Twin("tiny_vgg", _narrow_vgg, POOLS, "classifier.6", 32, MEAN, STD, GLYPH_CLASSES),
        *(Twin(name, _narrow_squeezenet, FIRES, "classifier.1", 32, MEAN, STD, TOYBOX_CLASSES) for name in SQUEEZENETS),
        Twin("toybox_vgg", _toybox_vgg, POOLS, "classifier.6", 32, MEAN, STD, TOYBOX_CLASSES),
        Twin("toybox_resnet", _toybox_resnet, STAGES, "fc", 32, MEAN, STD, TOYBOX_CLASSES),
        *(
            Twin(name, partial(_vit, hidden, depth), _vit_layers(depth), "classifier", 32, MEAN, STD, TOYBOX_CLASSES)
            for name, (hidden, depth) in VITS.items()
        ),
    )
}
#: Pairs of an image and a text tower: trained in the usual way; at a low temperature; so, on captions that vary in detail, as
#: those of the web do; on captions that name the class alone; and on captions of which half are another image's
CLIPS = {
    name: Twin(name, _clip, ("visual", "transformer"), "", 64, MEAN, STD, 0)
    for name in ("toybox_clip", "toybox_clip_cold", "toybox_clip_web", "toybox_clip_class", "toybox_clip_noisy")
}
ALL = {**TWINS, **CLIPS}


def build(name: str, *, seed: int = 0) -> nn.Module:
    """Make a twin with random weights drawn from `seed`, in training mode; no other code's draws change.

    Raises:
        ValueError: there is no such twin.
    """
    with local_seed(seed):
        return find(name).build()


def find(name: str) -> Twin:
    """The twin of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in ALL:
        raise ValueError(f"there is no tiny twin {name!r}: use one of {', '.join(ALL)}")
    return ALL[name]
