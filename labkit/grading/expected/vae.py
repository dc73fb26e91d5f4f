"""What is expected in lab 04, posterior collapse of a VAE; Kingma & Welling 2014 (arXiv:1312.6114)."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from labkit.grading.wants import Near, Wants


def reparameterise(mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> Wants:
    """mu + sigma eps, of the type of what came."""
    m, v, e = (array.astype(np.float64) for array in (mu, logvar, eps))
    z = m + np.sqrt(np.exp(v)) * e
    if mu.dtype == np.float64:
        return {"z": Near(z, dtype="float64")}
    return {"z": Near(z, rtol=1e-4, atol=1e-5, dtype=mu.dtype.name)}  # float32: mu and the noise may nearly cancel


def reparameterise_twice(mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> Wants:
    """The same as a first call's."""
    return reparameterise(mu, logvar, eps)


def reparameterise_gradients(mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray, upstream: np.ndarray) -> Wants:
    """1 for mu; half the spread times the noise for logvar."""
    return {"at mu": upstream, "at logvar": upstream * eps * np.sqrt(np.exp(logvar)) / 2}


def _kl(mu: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """E_q[ln q(z) - ln p(z)] by Gauss-Hermite quadrature, which is exact: the integrand is quadratic in the noise."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    spread = np.exp(logvar / 2)
    total = np.zeros_like(mu)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        z = mu + spread * node
        total += weight * (norm.logpdf(z, mu, spread) - norm.logpdf(z))
    return total


def neg_elbo(x: np.ndarray, x_hat: np.ndarray, mu: np.ndarray, logvar: np.ndarray, sigma2: np.ndarray) -> Wants:
    """Minus the log-density of all pixels of an image, plus the KL of all units."""
    scale = np.sqrt(sigma2)[..., None, None, None] if sigma2.ndim else np.sqrt(sigma2)
    pixels = norm.logpdf(x, loc=x_hat, scale=scale)
    return {"bound": _kl(mu, logvar).sum(-1) - pixels.sum((-3, -2, -1))}


def kl_of_units(x: np.ndarray, x_hat: np.ndarray, mu: np.ndarray, logvar: np.ndarray, sigma2: np.ndarray) -> Wants:
    """One number an image and unit."""
    return {"kl": _kl(mu, logvar)}


def neg_elbo_gradients(
    x: np.ndarray, x_hat: np.ndarray, mu: np.ndarray, logvar: np.ndarray, sigma2: np.ndarray, upstream: np.ndarray
) -> Wants:
    """By hand, each image's times its weight."""
    rows = upstream[:, None]
    return {
        "at x_hat": rows[..., None, None] * (x_hat - x) / sigma2,
        "at mu": rows * mu,
        "at logvar": rows * np.expm1(logvar) / 2,
    }


def active_units(mu: np.ndarray, threshold: np.ndarray) -> Wants:
    """Units whose mean varies over the images by more than the threshold; any type of number will do."""
    return {"units": (mu.astype(np.float64).var(axis=-2) > threshold).sum(-1).astype(np.float64)}


def ppca_prediction(eigenvalues: np.ndarray, sigma2: np.ndarray, latent: np.ndarray) -> Wants:
    """At most `latent` directions above the noise, the largest; Lucas et al. 2019, arXiv:1911.02469."""
    ratios = np.maximum(np.sort(eigenvalues / sigma2)[::-1][: int(latent)], 1)  # a ratio of 1 costs nothing
    return {"units": np.array(np.count_nonzero(ratios > 1), dtype=np.float64), "nats": np.log(ratios).sum() / 2}


def ppca_units(eigenvalues: np.ndarray, sigma2: np.ndarray, latent: np.ndarray) -> Wants:
    """The first of the two."""
    return {"units": ppca_prediction(eigenvalues, sigma2, latent)["units"]}


def ppca_nats(eigenvalues: np.ndarray, sigma2: np.ndarray, latent: np.ndarray) -> Wants:
    """The second."""
    return {"nats": ppca_prediction(eigenvalues, sigma2, latent)["nats"]}


def beta_eff(n_pixels: np.ndarray, batch_size: np.ndarray) -> Wants:
    """What the loss gives a nat over what it gives a unit of squared error, both for one image of the batch."""
    a_nat = 1 / batch_size / batch_size  # the mean over the batch, divided by its size again
    an_error = 1 / batch_size / n_pixels  # the mean over images and pixels
    return {"betas": a_nat / an_error}


def free_bits(kl: np.ndarray, floor: np.ndarray) -> Wants:
    """The mean over the batch, no less than the floor, summed over units."""
    by_unit = kl.mean(-2)
    return {"penalty": np.where(by_unit > floor, by_unit, floor).sum(-1)}


def free_bits_gradient(kl: np.ndarray, floor: np.ndarray) -> Wants:
    """One share of the batch for each image of a unit above the floor, nothing below it."""
    return {"gradient": np.broadcast_to(kl.mean(-2, keepdims=True) > floor, kl.shape) / kl.shape[-2]}


def knock_out(weights: np.ndarray, z: np.ndarray, x: np.ndarray, order: np.ndarray) -> Wants:
    """One net, one unit at a time: its column in the order that is given, the error after minus the error before."""

    def error(code: np.ndarray) -> float:
        decoded = np.tanh(np.einsum("nk,kchw->nchw", code, weights))
        return float(((x - decoded) ** 2).sum() / len(x))

    rises = np.empty((*z.shape[:-2], z.shape[-1]))
    for net in np.ndindex(z.shape[:-2]):
        for k in range(z.shape[-1]):
            dealt = np.where(np.arange(z.shape[-1]) == k, z[net][order], z[net])
            rises[(*net, k)] = error(dealt) - error(z[net])
    return {"rises": rises}


def knock_out_twice(weights: np.ndarray, z: np.ndarray, x: np.ndarray, order: np.ndarray) -> Wants:
    """The same as a first call's."""
    return knock_out(weights, z, x, order)
