"""Adapters of lab 02, attention in vision transformers."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 4  # pixels a side


def top_k(function: Callable[..., Any], logits: np.ndarray, k: np.ndarray) -> dict[str, Any]:
    """Classes and probabilities of logits (B, classes)."""
    classes, probabilities = function(torch.from_numpy(logits), int(k))
    return {"classes": classes, "probabilities": probabilities}


def top_k_twice(function: Callable[..., Any], logits: np.ndarray, k: np.ndarray) -> dict[str, Any]:
    """What a second call with the same tensor gives."""
    z = torch.from_numpy(logits)
    function(z, int(k))
    classes, probabilities = function(z, int(k))
    return {"classes": classes, "probabilities": probabilities}


def top_k_leaves(function: Callable[..., Any], logits: np.ndarray, k: np.ndarray) -> dict[str, Any]:
    """Whether gradients are on afterwards, and logits as they were."""
    z = torch.from_numpy(logits.copy())
    function(z, int(k))
    return {"logits unchanged": torch.equal(z, torch.from_numpy(logits)), "gradients on": torch.is_grad_enabled()}


def attention_map(function: Callable[..., Any], attention: np.ndarray, size: np.ndarray) -> dict[str, Any]:
    """Maps of weights (B, heads, 1 + P, 1 + P)."""
    return {"map": function(torch.from_numpy(attention), int(size))}


def attention_map_leaves(function: Callable[..., Any], attention: np.ndarray, size: np.ndarray) -> dict[str, Any]:
    """Whether gradients are on afterwards, and weights as they were."""
    a = torch.from_numpy(attention.copy())
    function(a, int(size))
    return {"attention unchanged": torch.equal(a, torch.from_numpy(attention)), "gradients on": torch.is_grad_enabled()}


def rollout(function: Callable[..., Any], attentions: np.ndarray) -> dict[str, Any]:
    """Rollout of a list of layers (L, B, heads, 1 + P, 1 + P)."""
    return {"rollout": function(list(torch.from_numpy(attentions)))}


def rollout_of_tuple(function: Callable[..., Any], attentions: np.ndarray) -> dict[str, Any]:
    """Rollout of a tuple of layers, as a net returns them."""
    return {"rollout": function(tuple(torch.from_numpy(attentions)))}


def rollout_twice(function: Callable[..., Any], attentions: np.ndarray) -> dict[str, Any]:
    """What a second call with the same list gives."""
    layers = list(torch.from_numpy(attentions))
    function(layers)
    return {"rollout": function(layers)}


def rollout_leaves(function: Callable[..., Any], attentions: np.ndarray) -> dict[str, Any]:
    """Whether gradients are on afterwards, and weights as they were."""
    layers = list(torch.from_numpy(attentions.copy()))
    function(layers)
    same = len(layers) == len(attentions) and all(map(torch.equal, layers, torch.from_numpy(attentions)))
    return {"attentions unchanged": same, "gradients on": torch.is_grad_enabled()}


_Tokens = namedtuple("_Tokens", ["last_hidden_state", "hidden_states"])
_Scores = namedtuple("_Scores", ["logits", "hidden_states"])


def _linear(weights: np.ndarray) -> nn.Linear:
    """A linear layer of weights (out, in + 1), the last column of which is its bias."""
    made = nn.Linear(weights.shape[1] - 1, weights.shape[0], dtype=torch.float64)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weights[:, :-1]))
        made.bias.copy_(torch.from_numpy(weights[:, -1]))
    return made


def _norm(weights: np.ndarray) -> nn.LayerNorm:
    """A layer norm of a scale and a shift, (2, D)."""
    made = nn.LayerNorm(weights.shape[1], eps=1e-12, dtype=torch.float64)
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(weights[0]))
        made.bias.copy_(torch.from_numpy(weights[1]))
    return made


class _Patches(nn.Module):
    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, len(weights), PATCH, PATCH, dtype=torch.float64)
        with torch.no_grad():
            self.projection.weight.copy_(torch.from_numpy(weights[:, :-1]).view_as(self.projection.weight))
            self.projection.bias.copy_(torch.from_numpy(weights[:, -1]))  # type: ignore[union-attr]

    def forward(self, pixel_values: Tensor) -> Tensor:
        found: Tensor = self.projection(pixel_values)
        return found.flatten(2).transpose(1, 2)


class _Embeddings(nn.Module):
    def __init__(self, w: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.from_numpy(w["cls"]).view(1, 1, -1))
        self.patch_embeddings = _Patches(w["patch"])
        self.position_embeddings = nn.Parameter(torch.from_numpy(w["positions"])[None])
        self.dropout = nn.Dropout(0.5)  # so that a net that is left in training mode gives other logits

    def forward(self, pixel_values: Tensor) -> Tensor:
        tokens = torch.cat([self.cls_token.expand(len(pixel_values), -1, -1), self.patch_embeddings(pixel_values)], 1)
        out: Tensor = self.dropout(tokens + self.position_embeddings)
        return out


class _Layer(nn.Module):
    def __init__(self, w: dict[str, np.ndarray], i: int) -> None:
        super().__init__()
        read = w["read"][i]  # (3, heads, D / heads, D + 1): query, key and value
        self.heads = read.shape[1]
        self.layernorm_before, self.layernorm_after = _norm(w["norms"][2 * i]), _norm(w["norms"][2 * i + 1])
        self.q_proj, self.k_proj, self.v_proj = (_linear(part.reshape(-1, part.shape[-1])) for part in read)
        self.o_proj, self.fc1, self.fc2 = _linear(w["join"][i]), _linear(w["widen"][i]), _linear(w["narrow"][i])

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.layernorm_before(hidden_states)
        q, k, v = (p(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask)
        hidden_states = hidden_states + self.o_proj(x.transpose(1, 2).flatten(2))
        out: Tensor = hidden_states + self.fc2(F.gelu(self.fc1(self.layernorm_after(hidden_states))))
        return out


class _Body(nn.Module):
    def __init__(self, w: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.embeddings = _Embeddings(w)
        self.layers = nn.ModuleList(_Layer(w, i) for i in range(len(w["join"])))
        self.layernorm = _norm(w["norms"][-1])

    def forward(self, pixel_values: Tensor, *, attention_mask: Tensor | None = None, **options: Any) -> _Tokens:
        if attention_mask is not None and attention_mask.ndim == 2:
            attention_mask = attention_mask.bool()[:, None, None]
        states = [self.embeddings(pixel_values)]
        for layer in self.layers:
            states.append(layer(states[-1], attention_mask))
        return _Tokens(self.layernorm(states[-1]), tuple(states))


class SmallVit(nn.Module):
    """A vision transformer (float64) with the interface of transformers' ViTForImageClassification, of given weights.

    patch: (D, 3 PATCH^2 + 1). cls: (D,). positions: (1 + P, D). read: (layers, 3, heads, D / heads, D + 1). join: (layers, D,
    D + 1). widen: (layers, M, D + 1). narrow: (layers, D, M + 1). norms: (2 layers + 1, 2, D). classify: (classes, D + 1).
    The last column of each matrix is its bias.
    """

    def __init__(self, **weights: np.ndarray) -> None:
        super().__init__()
        self.vit, self.classifier = _Body(weights), _linear(weights["classify"])
        sizes = {"hidden_size": len(weights["cls"]), "num_hidden_layers": len(weights["join"]), "patch_size": PATCH}
        self.config = SimpleNamespace(**sizes, num_labels=len(weights["classify"]), output_attentions=False)

    def forward(self, pixel_values: Tensor, *, attention_mask: Tensor | None = None, **options: Any) -> _Scores:
        """Logits (B, classes) and tokens after each layer, for images (B, 3, H, W)."""
        tokens = self.vit(pixel_values, attention_mask=attention_mask)
        return _Scores(self.classifier(tokens.last_hidden_state[:, 0]), tokens.hidden_states)


def _vit(weights: dict[str, np.ndarray]) -> SmallVit:
    return SmallVit(**{name: array.copy() for name, array in weights.items()}).eval()


def keep_tokens(function: Callable[..., Any], x: np.ndarray, keep_mask: np.ndarray, **weights: np.ndarray) -> dict[str, Any]:
    """Logits of a `SmallVit` for images (B, 3, H, W) of which the patches in keep_mask (B, P) are kept."""
    return {"logits": function(_vit(weights), torch.from_numpy(x), torch.from_numpy(keep_mask))}


def keep_tokens_twice(
    function: Callable[..., Any], x: np.ndarray, keep_mask: np.ndarray, **weights: np.ndarray
) -> dict[str, Any]:
    """What a second call with the same net, images and mask gives."""
    net, images, mask = _vit(weights), torch.from_numpy(x), torch.from_numpy(keep_mask)
    function(net, images, mask)
    return {"logits": function(net, images, mask)}


def keep_tokens_leaves(
    function: Callable[..., Any], x: np.ndarray, keep_mask: np.ndarray, **weights: np.ndarray
) -> dict[str, Any]:
    """Whether gradients are on, the net's mode, settings and requires_grad are as they were, and no gradient came in."""
    net, images, mask = _vit(weights), torch.from_numpy(x), torch.from_numpy(keep_mask)
    settings = dict(vars(net.config))
    function(net, images, mask)
    return {
        "gradients on": torch.is_grad_enabled(),
        "settings unchanged": vars(net.config) == settings,
        "evaluation mode": not any(module.training for module in net.modules()),
        "parameters not frozen": all(parameter.requires_grad for parameter in net.parameters()),
        "no gradients": not images.requires_grad and all(parameter.grad is None for parameter in net.parameters()),
    }


def two_probes(
    function: Callable[..., Any], train_tokens: np.ndarray, train_y: np.ndarray, test_tokens: np.ndarray
) -> dict[str, Any]:
    """Probabilities (n, classes) of both probes."""
    found = function(train_tokens, train_y, test_tokens)
    return {"CLS": found["CLS"], "mean": found["mean"]}


def two_probes_twice(
    function: Callable[..., Any], train_tokens: np.ndarray, train_y: np.ndarray, test_tokens: np.ndarray
) -> dict[str, Any]:
    """What a second call with the same arrays gives."""
    function(train_tokens, train_y, test_tokens)
    return two_probes(function, train_tokens, train_y, test_tokens)


def two_probes_as_arrays(
    function: Callable[..., Any], train_tokens: np.ndarray, train_y: np.ndarray, test_tokens: np.ndarray
) -> dict[str, Any]:
    """The mean probability of each class (classes,), by the method of what came."""
    found = function(train_tokens, train_y, test_tokens)
    return {"CLS": found["CLS"].mean(axis=0), "mean": found["mean"].mean(axis=0)}


def mcnemar(function: Callable[..., Any], first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Both counts and p."""
    only_first, only_second, p = function(first, second)
    return {"only_first": only_first, "only_second": only_second, "p": p}


def mcnemar_twice(function: Callable[..., Any], first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """What a second call with the same arrays gives."""
    function(first, second)
    return mcnemar(function, first, second)
