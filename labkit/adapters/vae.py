"""Adapters of lab 04, posterior collapse of a VAE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def reparameterise(function: Callable[..., Any], mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> dict[str, Any]:
    """Samples (..., K)."""
    return {"z": function(torch.from_numpy(mu), torch.from_numpy(logvar), torch.from_numpy(eps))}


def reparameterise_twice(function: Callable[..., Any], mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray) -> dict[str, Any]:
    """What a second call gives for the same tensors."""
    given = torch.from_numpy(mu), torch.from_numpy(logvar), torch.from_numpy(eps)
    function(*given)
    return {"z": function(*given)}


def reparameterise_gradients(
    function: Callable[..., Any], mu: np.ndarray, logvar: np.ndarray, eps: np.ndarray, upstream: np.ndarray
) -> dict[str, Any]:
    """Gradients at mu and logvar where `upstream`, of the samples' shape, goes in."""
    m, v = torch.from_numpy(mu).requires_grad_(), torch.from_numpy(logvar).requires_grad_()
    at_mu, at_logvar = torch.autograd.grad(function(m, v, torch.from_numpy(eps)), (m, v), torch.from_numpy(upstream))
    return {"at mu": at_mu, "at logvar": at_logvar}


def neg_elbo(
    function: Callable[..., Any], x: np.ndarray, x_hat: np.ndarray, mu: np.ndarray, logvar: np.ndarray, sigma2: np.ndarray
) -> dict[str, Any]:
    """The bound of each image (..., B)."""
    bound, _ = function(*(torch.from_numpy(array) for array in (x, x_hat, mu, logvar, sigma2)))
    return {"bound": bound}


def kl_of_units(
    function: Callable[..., Any], x: np.ndarray, x_hat: np.ndarray, mu: np.ndarray, logvar: np.ndarray, sigma2: np.ndarray
) -> dict[str, Any]:
    """The KL of each image and unit (..., B, K)."""
    _, kl = function(*(torch.from_numpy(array) for array in (x, x_hat, mu, logvar, sigma2)))
    return {"kl": kl}


def neg_elbo_gradients(
    function: Callable[..., Any],
    x: np.ndarray,
    x_hat: np.ndarray,
    mu: np.ndarray,
    logvar: np.ndarray,
    sigma2: np.ndarray,
    upstream: np.ndarray,
) -> dict[str, Any]:
    """Gradients of the bound, weighted by `upstream` (..., B), at what the nets give."""
    given = [torch.from_numpy(array).requires_grad_() for array in (x_hat, mu, logvar)]
    bound, _ = function(torch.from_numpy(x), *given, torch.from_numpy(sigma2))
    at_image, at_mu, at_logvar = torch.autograd.grad(bound, given, torch.from_numpy(upstream))
    return {"at x_hat": at_image, "at mu": at_mu, "at logvar": at_logvar}


def active_units(function: Callable[..., Any], mu: np.ndarray, threshold: np.ndarray) -> dict[str, Any]:
    """How many units of each net (...) are active."""
    return {"units": function(torch.from_numpy(mu), float(threshold))}


def ppca_prediction(
    function: Callable[..., Any], eigenvalues: np.ndarray, sigma2: np.ndarray, latent: np.ndarray
) -> dict[str, Any]:
    """Units used, and their nats."""
    units, nats = function(torch.from_numpy(eigenvalues), float(sigma2), int(latent))
    return {"units": units, "nats": nats}


def ppca_units(function: Callable[..., Any], eigenvalues: np.ndarray, sigma2: np.ndarray, latent: np.ndarray) -> dict[str, Any]:
    """Units used alone."""
    return {"units": function(torch.from_numpy(eigenvalues), float(sigma2), int(latent))[0]}


def ppca_nats(function: Callable[..., Any], eigenvalues: np.ndarray, sigma2: np.ndarray, latent: np.ndarray) -> dict[str, Any]:
    """Their nats alone."""
    return {"nats": function(torch.from_numpy(eigenvalues), float(sigma2), int(latent))[1]}


def beta_eff(function: Callable[..., Any], n_pixels: np.ndarray, batch_size: np.ndarray) -> dict[str, Any]:
    """The weight for each pair of sizes (n,), one call each."""
    return {"betas": [float(function(int(d), int(b))) for d, b in zip(n_pixels, batch_size, strict=True)]}


def free_bits(function: Callable[..., Any], kl: np.ndarray, floor: np.ndarray) -> dict[str, Any]:
    """The penalty of each net (...); a floor of no dimensions goes in as a number, others as a tensor."""
    return {"penalty": function(torch.from_numpy(kl), torch.from_numpy(floor) if floor.ndim else float(floor))}


def free_bits_gradient(function: Callable[..., Any], kl: np.ndarray, floor: np.ndarray) -> dict[str, Any]:
    """The penalty's gradient at the KL of each image and unit."""
    leaf = torch.from_numpy(kl).requires_grad_()
    (gradient,) = torch.autograd.grad(function(leaf, float(floor)).sum(), leaf)
    return {"gradient": gradient}


def _decoder(weights: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Maps codes (..., K) to images (..., C, H, W): the tanh of a linear map with weights (K, C, H, W)."""
    matrix = torch.from_numpy(weights)
    return lambda z: torch.tensordot(z, matrix, dims=1).tanh()


def knock_out(
    function: Callable[..., Any], weights: np.ndarray, z: np.ndarray, x: np.ndarray, order: np.ndarray
) -> dict[str, Any]:
    """The rises of each net (..., K), for a decoder of these weights (K, C, H, W)."""
    return {"rises": function(_decoder(weights), *(torch.from_numpy(array) for array in (z, x, order)))}


def knock_out_twice(
    function: Callable[..., Any], weights: np.ndarray, z: np.ndarray, x: np.ndarray, order: np.ndarray
) -> dict[str, Any]:
    """What a second call gives for the same tensors."""
    given = _decoder(weights), torch.from_numpy(z), torch.from_numpy(x), torch.from_numpy(order)
    function(*given)
    return {"rises": function(*given)}
