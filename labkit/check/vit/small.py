"""What the checks of lab 02 share: small vision transformers, weights of attention, and how answers are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import Mistake, compare, draw
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


def judge(
    got: Mapping[str, Any],
    want: Mapping[str, Any],
    known: Callable[[], Mapping[str, Sequence[Any]]],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    near: float = 0.0,
) -> None:
    """Compare each named part of an answer with what is wanted, and all parts together with what mistakes would have given.

    `known` maps a likely cause to all parts that it produces, and is worked out only if something differs. A cause is
    recognised within `near`, relative and absolute, where that is wider than the tolerances of a right answer.

    Raises:
        Mistake: a part is not what is wanted; it says which.
    """

    def same(one: Any, other: Any) -> bool:
        try:
            compare(one, other, rtol=max(rtol, near), atol=max(atol, near))
        except Mistake:
            return False
        return True

    for name, value in want.items():
        try:
            compare(got[name], value, rtol=rtol, atol=atol)
        except Mistake as mistake:
            causes = (c for c, parts in known().items() if all(map(same, got.values(), parts)))
            cause = mistake.cause if got[name] is None else next(causes, mistake.cause)
            label = f"{name}: " if len(want) > 1 else ""
            raise Mistake(label + mistake.expected, label + mistake.got, cause) from None
