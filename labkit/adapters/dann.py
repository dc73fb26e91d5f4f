"""Adapters of lab 08, domain adaptation with DANN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def _number_or_tensor(value: np.ndarray) -> Any:
    return torch.from_numpy(value) if value.ndim else value.item()


def reverse(function: Callable[..., Any], features: np.ndarray, strength: np.ndarray, upstream: np.ndarray) -> dict[str, Any]:
    """Features through the layer, and the gradient that comes back where `upstream`, of their shape, goes in."""
    x = torch.from_numpy(features).requires_grad_()
    out = function(x, _number_or_tensor(strength))
    (gradient,) = torch.autograd.grad(out, x, torch.from_numpy(upstream))
    return {"forward": out, "gradient": gradient}


def reverse_twice(
    function: Callable[..., Any], features: np.ndarray, strengths: np.ndarray, upstream: np.ndarray
) -> dict[str, Any]:
    """Gradients (2, ...) of two layers of different strengths (2,), both laid before either is gone back through."""
    x = torch.from_numpy(features).requires_grad_()
    outs = [function(x, float(strength)) for strength in strengths]
    return {"gradients": torch.stack([torch.autograd.grad(out, x, torch.from_numpy(upstream))[0] for out in outs])}


def reverse_leaves(function: Callable[..., Any], features: np.ndarray, upstream: np.ndarray) -> dict[str, Any]:
    """Whether features and the gradient that went in are what they were."""
    x, g = torch.from_numpy(features), torch.from_numpy(upstream)
    before = x.clone(), g.clone()
    leaf = x.requires_grad_()
    torch.autograd.grad(function(leaf, 2.0), leaf, g)
    return {"unchanged": torch.equal(x, before[0]) and torch.equal(g, before[1])}


def three_parts(
    function: Callable[..., Any], x: np.ndarray, extract: np.ndarray, classify: np.ndarray, tell: np.ndarray
) -> dict[str, Any]:
    """Logits of linear parts for images x (..., B, P), and gradients: of all domain logits' sum at both parts, of classes.

    extract: (P, D). classify: (D, 10). tell: (D, 1). The layer that reverses is one of strength 2.
    """
    weights, last = torch.from_numpy(extract).requires_grad_(), torch.from_numpy(tell).requires_grad_()
    logits, domain = function(
        lambda images: (images @ weights).tanh(),
        lambda features: features @ torch.from_numpy(classify),
        lambda features: features @ last,
        lambda features: 3 * features.detach() - 2 * features,
        torch.from_numpy(x),
    )
    turned, at_head = torch.autograd.grad(domain.sum(), (weights, last), retain_graph=True)
    (direct,) = torch.autograd.grad(logits.square().sum(), weights)
    return {"classes": logits, "domains": domain, "domain gradient": turned, "at the head": at_head, "class gradient": direct}


def calls_of_extractor(function: Callable[..., Any], x: np.ndarray) -> dict[str, Any]:
    """How often `three_parts` runs the extractor."""
    calls = []

    def extractor(images: Tensor) -> Tensor:
        calls.append(1)
        return images

    function(extractor, lambda f: f, lambda f: f[..., :1], lambda f: f, torch.from_numpy(x))
    return {"calls": len(calls)}


def dann_loss(
    function: Callable[..., Any], class_logits: np.ndarray, labels: np.ndarray, domain_logits: np.ndarray
) -> dict[str, Any]:
    """Both losses, and the gradient of their weighted sum (the class loss once, the domain loss twice) at both logits."""
    c = torch.from_numpy(class_logits).requires_grad_()
    d = torch.from_numpy(domain_logits).requires_grad_()
    class_loss, domain_loss = function(c, torch.from_numpy(labels), d, labels.shape[-1])
    of_classes, of_domains = torch.autograd.grad((class_loss + 2 * domain_loss).sum(), (c, d))
    return {"class loss": class_loss, "domain loss": domain_loss, "class gradient": of_classes, "domain gradient": of_domains}


def ramp(function: Callable[..., Any], progress: np.ndarray, gamma: np.ndarray) -> dict[str, Any]:
    """The factor at each progress (n,), one call each."""
    return {"factors": [float(function(float(p), float(gamma))) for p in progress]}


def ramp_as_given(function: Callable[..., Any], progress: np.ndarray) -> dict[str, Any]:
    """The factor at each progress (n,) with the gamma of the stub."""
    return {"factors": [float(function(float(p))) for p in progress]}


def proxy_a_distance(function: Callable[..., Any], source_rate: np.ndarray, target_rate: np.ndarray) -> dict[str, Any]:
    """The distance of each pair of rates (n,), one call each."""
    return {"distances": [float(function(float(s), float(t))) for s, t in zip(source_rate, target_rate, strict=True)]}


def proxy_a_distance_of_arms(function: Callable[..., Any], source_rate: np.ndarray, target_rate: np.ndarray) -> dict[str, Any]:
    """The distances (n,) of n nets at once."""
    return {"distances": function(torch.from_numpy(source_rate), torch.from_numpy(target_rate))}


def pseudo_labels(function: Callable[..., Any], logits: np.ndarray, threshold: np.ndarray) -> dict[str, Any]:
    """Labels and which of them are kept."""
    labels, keep = function(torch.from_numpy(logits), float(threshold))
    return {"labels": labels, "keep": keep}


def pseudo_labels_at_threshold(function: Callable[..., Any], gaps: np.ndarray, threshold: np.ndarray) -> dict[str, Any]:
    """What is kept of images (n,) whose two logits are 0 and so far below it that the first probability is 1 to the bit."""
    logits = torch.stack([torch.zeros(len(gaps), dtype=torch.float64), torch.from_numpy(-gaps)], dim=1)
    return {"keep": function(logits, float(threshold))[1]}


def pseudo_labels_leave(function: Callable[..., Any], logits: np.ndarray, threshold: np.ndarray) -> dict[str, Any]:
    """Whether the logits are what they were."""
    z = torch.from_numpy(logits)
    before = z.clone()
    function(z, float(threshold))
    return {"unchanged": torch.equal(z, before)}
