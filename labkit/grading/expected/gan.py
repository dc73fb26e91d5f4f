"""What is expected in lab 03, how GANs fail.

Sources: Goodfellow et al. 2014, arXiv:1406.2661 (losses); Salimans et al. 2016, arXiv:1606.03498 (smoothing); Lin et al.
2018, arXiv:1712.04086 (packing, modes); Mirza and Osindero 2014, arXiv:1411.1784 (conditions); White 2016,
arXiv:1609.04468 (slerp).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import expit, log_expit
from scipy.stats import entropy

from labkit.grading.wants import Between, Near, Wants

Got = Mapping[str, np.ndarray]


def _by_dtype(value: np.ndarray, inputs: np.ndarray) -> Near:
    """Sums of logits up to 120 are off by some 1e-5 in float32; in float64 only `smooth` may be, as a float32 tensor."""
    return Near(value, rtol=1e-5, atol=1e-5) if inputs.dtype == np.float32 else Near(value, rtol=1e-6, atol=1e-7)


def generator_losses(fake_logits: np.ndarray) -> Wants:
    """Mean ln(1 - D) and mean -ln D."""
    a = fake_logits.astype(np.float64)
    return {
        "saturating": _by_dtype(log_expit(-a).mean(-1), fake_logits),
        "non-saturating": _by_dtype(-log_expit(a).mean(-1), fake_logits),
    }


def saturating_loss(fake_logits: np.ndarray) -> Wants:
    """Mean ln(1 - D)."""
    return {"saturating": generator_losses(fake_logits)["saturating"]}


def non_saturating_loss(fake_logits: np.ndarray) -> Wants:
    """Mean -ln D."""
    return {"non-saturating": generator_losses(fake_logits)["non-saturating"]}


def generator_slopes(fake_logits: np.ndarray) -> Wants:
    """-D and -(1 - D) for each image, over their number."""
    a, n = fake_logits.astype(np.float64), fake_logits.shape[-1]
    return {
        "saturating gradient": _by_dtype(-expit(a) / n, fake_logits),
        "non-saturating gradient": _by_dtype(-expit(-a) / n, fake_logits),
    }


def discriminator_loss(real_logits: np.ndarray, fake_logits: np.ndarray, smooth: np.ndarray) -> Wants:
    """Cross-entropy towards `smooth` of real images plus that towards 0 of made ones, each a mean."""
    real, fake = real_logits.astype(np.float64), fake_logits.astype(np.float64)
    on_real = -smooth * log_expit(real) - (1 - smooth) * log_expit(-real)
    return {"loss": _by_dtype(on_real.mean(-1) - log_expit(-fake).mean(-1), real_logits)}


def discriminator_loss_as_given(real_logits: np.ndarray, fake_logits: np.ndarray) -> Wants:
    """The target is 1."""
    return discriminator_loss(real_logits, fake_logits, np.array(1.0))


def discriminator_slopes(real_logits: np.ndarray, fake_logits: np.ndarray, smooth: np.ndarray) -> Wants:
    """D minus the target for each image, over the number of its kind."""
    real, fake = expit(real_logits.astype(np.float64)), expit(fake_logits.astype(np.float64))
    return {
        "gradient at real": _by_dtype((real - smooth) / real.shape[-1], real_logits),
        "gradient at made": _by_dtype(fake / fake.shape[-1], fake_logits),
    }


def _coverage(labels: np.ndarray, n_classes: int, at_least: float) -> tuple[float, float]:
    shares = np.array([(labels == k).mean() for k in range(n_classes)])
    return float((shares >= at_least).sum()), float(entropy(shares, np.full(n_classes, 1 / n_classes)))


def _nats(value: np.ndarray | float) -> Near:
    """Shares may be float32, and 1e-12 may stand in the logarithm; an eps of 1e-6 there is seen."""
    return Near(np.array(value), rtol=1e-6, atol=1e-6)


def mode_coverage(labels: np.ndarray, n_classes: np.ndarray, at_least: np.ndarray) -> Wants:
    """Classes with that share, and KL(q || uniform) of all shares."""
    pairs = [_coverage(row, int(n_classes), float(share)) for row, share in zip(labels, at_least, strict=True)]
    return {"modes": np.array([modes for modes, _ in pairs]), "KL": _nats(np.array([nats for _, nats in pairs]))}


def mode_coverage_of_array(labels: np.ndarray) -> Wants:
    """Ten classes, 1 %."""
    modes, nats = _coverage(labels, 10, 0.01)
    return {"modes": np.array(modes), "KL": _nats(nats)}


def mode_count(labels: np.ndarray) -> Wants:
    """Ten classes, 1 %."""
    return {"modes": mode_coverage_of_array(labels)["modes"]}


def divergence(labels: np.ndarray) -> Wants:
    """Ten classes."""
    return {"KL": mode_coverage_of_array(labels)["KL"]}


def pack(x: np.ndarray, pac: np.ndarray) -> Wants:
    """Rows of whole images of their own net, each used once; which ones stand side by side is open."""
    *lead, b, p = x.shape
    groups, nets = b // int(pac), math.prod(lead)

    def shape(got: Got) -> tuple[int, ...]:
        return np.shape(got["rows"])

    def images(got: Got) -> np.ndarray:
        """(nets, 2): places in which an image of the net stands, and images of the net that stand somewhere."""
        places = np.asarray(got["rows"]).reshape(nets, groups * int(pac), 1, p)
        same = (places == x.reshape(nets, 1, b, p)).all(-1)
        return np.stack([same.any(2).sum(1), same.any(1).sum(1)], axis=1)

    return {
        "shape of the rows": Near(np.array([*lead, groups, int(pac) * p]), of=shape),
        "images in the rows": Near(np.full((nets, 2), groups * int(pac)), of=images),
    }


def pack_again(x: np.ndarray, pac: np.ndarray) -> Wants:
    """As in the first call."""
    return pack(x, pac)


def pack_slopes(x: np.ndarray, pac: np.ndarray) -> Wants:
    """The images themselves, since each stands in one place."""
    return {"gradient": x.astype(np.float64)}


def slerp(a: np.ndarray, b: np.ndarray, times: np.ndarray) -> Wants:
    """Weights sin((1-t)w) / sin(w) and sin(tw) / sin(w), by sinc, which at w = 0 makes them 1 - t and t."""
    start, end = a.astype(np.float64), b.astype(np.float64)
    u, v = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (start, end))
    apart, across = (np.linalg.norm(x, axis=-1, keepdims=True) for x in (u - v, u + v))
    turns = 2 * np.arctan2(apart, across) / np.pi  # the angle, exact for parallel vectors too
    points = [((1 - t) * np.sinc((1 - t) * turns) * start + t * np.sinc(t * turns) * end) / np.sinc(turns) for t in times]
    # in float32 the cosine of parallel vectors is known to 1e-7 only, so that their arc may be bent by some 1e-5
    return {"points": Near(np.stack(points), rtol=1e-4, atol=1e-4) if a.dtype == np.float32 else Near(np.stack(points), 1e-6)}


def slerp_again(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> Wants:
    """As in the first call."""
    first = slerp(a, b, t[None])["points"]
    assert isinstance(first, Near)
    return {"points": Near(first.value[0], first.rtol)}


# Any net that joins x and c before a hidden layer is right, so what is expected of one are properties of its logits, in
# units of the largest, as a net may start from small weights. Those weights are chance. None of 8000 draws (of 37 000 where
# one net is drawn) of right nets with leaky or plain ReLU, torch's weights or a normal distribution of 0.02, came nearer to
# a bound than by a factor of 50; the worst in a hundred is 90 away, the worst in a thousand 60.
_FALSE_FAIL = 1e-5


def _in_largest(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """x in units of the largest logit; where all are 0 it is NaN, which is never right."""
    with np.errstate(all="ignore"):
        return np.asarray(x / np.abs(logits).max())


def _shape(name: str, *shape: int) -> Near:
    return Near(np.array(shape), of=lambda got: np.shape(got[name]))


def _varied(pick: Callable[[Got], np.ndarray]) -> Between:
    """Logits that are not all the same."""
    return Between(1e-5, 1.0, _FALSE_FAIL, of=lambda got: _in_largest(pick(got).std(), pick(got)))


def _unchanged(name: str, pick: Callable[[Got], np.ndarray], *shape: int) -> Near:
    """Differences from logits of this name that are 0, but for the order of sums in float32."""
    return Near(np.zeros(shape), atol=1e-4, of=lambda got: _in_largest(pick(got), got[name]))


def two_batches(x: np.ndarray, c: np.ndarray, seed: np.ndarray) -> Wants:
    """Two images that are in both batches have the same logits in both; the first batch has one condition for all."""
    return {
        "shape of the logits": _shape("logits", *x.shape[:2]),
        "logits under one condition": _varied(lambda got: got["logits"][0]),
        "change with the rest of the batch": _unchanged("logits", lambda got: got["logits"][1, :2] - got["logits"][0, :2], 2),
    }


def one_image(x: np.ndarray, c: np.ndarray, seed: np.ndarray) -> Wants:
    """One logit, the one that the image has in a batch."""
    return {
        "shape for one image": _shape("alone", 1),
        "shape for a batch": _shape("batch", len(x)),
        "logits of a batch": _varied(lambda got: got["batch"]),
        "change without a batch": _unchanged("batch", lambda got: got["alone"] - got["batch"][:1], 1),
    }


def conditions_told_apart(x: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> Wants:
    """No two conditions have the same logits for all images and nets."""

    def nearest(got: Got) -> np.ndarray:
        logits = got["table"].reshape(-1, len(codes))
        apart = np.abs(logits[:, :, None] - logits[:, None, :]).max(0)
        return _in_largest(apart[np.triu_indices(len(codes), 1)].min(), logits)

    return {"two conditions apart": Between(1e-4, 2.0, _FALSE_FAIL, of=nearest)}


def images_and_conditions(x: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> Wants:
    """Logits are no sum of a function of x and one of c: something is left beyond the means of rows and columns."""

    def left(got: Got) -> np.ndarray:
        t = got["table"].astype(np.float64)
        rest = t - t.mean(1, keepdims=True) - t.mean(2, keepdims=True) + t.mean((1, 2), keepdims=True)
        return _in_largest(np.abs(rest).max(), t)

    return {"beyond a sum of two parts": Between(1e-4, 4.0, _FALSE_FAIL, of=left)}


def large_images(x: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> Wants:
    """For huge pixels, logits far below and above those that a sigmoid, a tanh or a ReLU lets through."""
    return {
        "lowest logit": Between(-1e30, -2.0, _FALSE_FAIL, of=lambda got: got["table"].min()),
        "highest logit": Between(2.0, 1e30, _FALSE_FAIL, of=lambda got: got["table"].max()),
    }


def same_state(x: np.ndarray, c: np.ndarray, seeds: np.ndarray) -> Wants:
    """Equal logits, and not those of a net that gives the same for all."""
    return {
        "shape of the logits": _shape("logits", len(x)),
        "logits": _varied(lambda got: got["logits"]),
        "change in a second call": _unchanged("logits", lambda got: got["again"] - got["logits"], len(x)),
        "change in a net of the same state": _unchanged("logits", lambda got: got["twin"] - got["logits"], len(x)),
    }


def stacked_nets(x: np.ndarray, c: np.ndarray, seeds: np.ndarray) -> Wants:
    """Logits of the stack are those of its nets."""
    return {
        "shape of the logits": _shape("stacked", *x.shape[:-1]),
        "logits": _varied(lambda got: got["alone"]),
        "change in a stack": _unchanged("alone", lambda got: got["stacked"] - got["alone"], *x.shape[:-1]),
    }


def gradients_of_layers(x: np.ndarray, c: np.ndarray, seed: np.ndarray) -> Wants:
    """None is 0."""
    return {"smallest of the layers": Between(1e-12, 1e12, _FALSE_FAIL, of=lambda got: got["largest"].min())}
