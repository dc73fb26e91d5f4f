"""What the checks of lab 02 share: small vision transformers, weights of attention, and how answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import draw
from labkit.check.nets import call_watched, settle

PATCH = 4  # pixels a side


def vit(height: int, width: int, *, layers: int = 2, classes: int = 5) -> Any:
    """A ViTForImageClassification of 8 numbers a token and 2 heads, with known weights: float64, in evaluation mode."""
    from transformers import ViTConfig, ViTForImageClassification

    options: dict[str, Any] = {"num_labels": classes, "attn_implementation": "eager"}
    sizes: dict[str, Any] = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "patch_size": PATCH}
    config = ViTConfig(image_size=(height, width), num_hidden_layers=layers, **sizes, **options)
    net = settle(ViTForImageClassification(config), 2).eval()
    with torch.no_grad():
        net.vit.embeddings.position_embeddings.mul_(4)  # so that it matters where a patch is
    return net


def reading(*shape: int, seed: int) -> Tensor:
    """Uneven weights of attention (..., tokens, tokens): above 0, and each row sums to 1."""
    weights = draw(*shape, seed=seed).exp()
    return weights / weights.sum(-1, keepdim=True)


def apply(f: Callable[..., Any], *args: Any, hints: Mapping[str, str]) -> Any:
    """Call a student's function; errors whose words are among the hints become a `Mistake` with its cause.

    Raises:
        Mistake: such an error, or gradients are off afterwards.
    """
    return call_watched(f, *args, hints=hints)
