"""What is expected in lab 08, domain adaptation with DANN; Ganin et al. 2016 (arXiv:1505.07818)."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

from labkit.grading.wants import Near, Wants


def reverse(features: np.ndarray, strength: np.ndarray, upstream: np.ndarray) -> Wants:
    """Features as they came, and the gradient times -strength."""
    wide = features.astype(np.float64)
    return {"forward": Near(wide, dtype=features.dtype.name), "gradient": -strength * upstream.astype(np.float64)}


def reverse_twice(features: np.ndarray, strengths: np.ndarray, upstream: np.ndarray) -> Wants:
    """Each layer turns the gradient by its own strength."""
    return {"gradients": -strengths[:, None, None] * upstream}


def reverse_leaves(features: np.ndarray, upstream: np.ndarray) -> Wants:
    """Nothing changes."""
    return {"unchanged": np.array(True)}


def three_parts(x: np.ndarray, extract: np.ndarray, classify: np.ndarray, tell: np.ndarray) -> Wants:
    """Both heads read tanh(x W); a domain logit's gradient comes back at W doubled and turned around."""
    features = np.tanh(x @ extract)
    slope = 1 - features**2

    def at_weights(at_features: np.ndarray) -> np.ndarray:
        through = (at_features * slope).reshape(-1, slope.shape[-1])
        return x.reshape(-1, x.shape[-1]).T @ through

    classes = features @ classify
    return {
        "classes": classes,
        "domains": (features @ tell)[..., 0],
        "domain gradient": at_weights(-2 * np.broadcast_to(tell[:, 0], features.shape)),
        "at the head": features.reshape(-1, features.shape[-1]).sum(0)[:, None],
        "class gradient": at_weights(2 * classes @ classify.T),
    }


def calls_of_extractor(x: np.ndarray) -> Wants:
    """One pass."""
    return {"calls": np.array(1)}


def dann_loss(class_logits: np.ndarray, labels: np.ndarray, domain_logits: np.ndarray) -> Wants:
    """Cross-entropy of the source images; binary cross-entropy of all, source 0 and target 1; gradients by hand."""
    n, total = labels.shape[-1], domain_logits.shape[-1]
    source, chosen = class_logits[..., :n, :], np.eye(10)[labels]
    of_classes = np.zeros_like(class_logits)
    of_classes[..., :n, :] = (softmax(source, axis=-1) - chosen) / n
    target = (np.arange(total) >= n).astype(float)
    entropy = -target * log_expit(domain_logits) - (1 - target) * log_expit(-domain_logits)
    return {
        "class loss": -(log_softmax(source, axis=-1) * chosen).sum(-1).mean(-1),
        "domain loss": entropy.mean(-1),
        "class gradient": of_classes,
        "domain gradient": 2 * (expit(domain_logits) - target) / total,
    }


def ramp(progress: np.ndarray, gamma: np.ndarray) -> Wants:
    """2 / (1 + exp(-gamma p)) - 1, which is tanh(gamma p / 2)."""
    return {"factors": np.tanh(gamma * progress / 2)}


def ramp_as_given(progress: np.ndarray) -> Wants:
    """With gamma 10."""
    return ramp(progress, np.array(10.0))


def proxy_a_distance(source_rate: np.ndarray, target_rate: np.ndarray) -> Wants:
    """2 (1 - 2 error), where the error is 1 minus the mean rate."""
    return {"distances": 2 * (source_rate + target_rate) - 2}


def proxy_a_distance_of_arms(source_rate: np.ndarray, target_rate: np.ndarray) -> Wants:
    """Each net's own distance."""
    return proxy_a_distance(source_rate, target_rate)


def pseudo_labels(logits: np.ndarray, threshold: np.ndarray) -> Wants:
    """The most probable class, kept where its probability is at least the threshold."""
    p = softmax(logits, axis=-1)
    return {"labels": p.argmax(-1), "keep": p.max(-1) >= threshold}


def pseudo_labels_at_threshold(gaps: np.ndarray, threshold: np.ndarray) -> Wants:
    """All, as 1 is at least 1."""
    return {"keep": np.ones(len(gaps), dtype=bool)}


def pseudo_labels_leave(logits: np.ndarray, threshold: np.ndarray) -> Wants:
    """Nothing changes."""
    return {"unchanged": np.array(True)}
