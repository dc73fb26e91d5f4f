"""Adapters of lab 03, how GANs fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Function = Callable[..., Any]
WIDTH = 8  # of the conditional discriminators that are built here


def saturating_loss(function: Function, fake_logits: np.ndarray) -> dict[str, Any]:
    """The first of the two losses."""
    first, _ = function(torch.from_numpy(fake_logits))
    return {"saturating": first}


def non_saturating_loss(function: Function, fake_logits: np.ndarray) -> dict[str, Any]:
    """The second of the two losses."""
    _, second = function(torch.from_numpy(fake_logits))
    return {"non-saturating": second}


def generator_losses(function: Function, fake_logits: np.ndarray) -> dict[str, Any]:
    """Both losses (...) of logits (..., B)."""
    first, second = function(torch.from_numpy(fake_logits))
    return {"saturating": first, "non-saturating": second}


def generator_slopes(function: Function, fake_logits: np.ndarray) -> dict[str, Any]:
    """The gradient of each loss at the logits."""
    a = torch.from_numpy(fake_logits).requires_grad_()
    first, second = (torch.autograd.grad(loss.sum(), a, retain_graph=True)[0] for loss in function(a))
    return {"saturating gradient": first, "non-saturating gradient": second}


def discriminator_loss(
    function: Function, real_logits: np.ndarray, fake_logits: np.ndarray, smooth: np.ndarray
) -> dict[str, Any]:
    """The loss (...) of logits (..., R) and (..., F), where `smooth` is a number or an array."""
    target = torch.from_numpy(smooth) if smooth.ndim else smooth.item()
    return {"loss": function(torch.from_numpy(real_logits), torch.from_numpy(fake_logits), target)}


def discriminator_loss_as_given(function: Function, real_logits: np.ndarray, fake_logits: np.ndarray) -> dict[str, Any]:
    """The loss with the target of the stub."""
    return {"loss": function(torch.from_numpy(real_logits), torch.from_numpy(fake_logits))}


def discriminator_slopes(
    function: Function, real_logits: np.ndarray, fake_logits: np.ndarray, smooth: np.ndarray
) -> dict[str, Any]:
    """The gradient of the loss at both logits."""
    real, fake = torch.from_numpy(real_logits).requires_grad_(), torch.from_numpy(fake_logits).requires_grad_()
    of_real, of_fake = torch.autograd.grad(function(real, fake, smooth.item()).sum(), (real, fake))
    return {"gradient at real": of_real, "gradient at made": of_fake}


def mode_count(function: Function, labels: np.ndarray) -> dict[str, Any]:
    """The first of the two numbers, for a tensor of labels (N,) and the numbers of the stub."""
    modes, _ = function(torch.from_numpy(labels))
    return {"modes": modes}


def divergence(function: Function, labels: np.ndarray) -> dict[str, Any]:
    """The second of the two numbers, for a tensor of labels (N,) and the numbers of the stub."""
    _, nats = function(torch.from_numpy(labels))
    return {"KL": nats}


def mode_coverage(function: Function, labels: np.ndarray, n_classes: np.ndarray, at_least: np.ndarray) -> dict[str, Any]:
    """Both numbers for each row of labels (sets, N), an array, and its threshold (sets,), one call each."""
    pairs = [function(row, int(n_classes), float(share)) for row, share in zip(labels, at_least, strict=True)]
    return {"modes": [float(modes) for modes, _ in pairs], "KL": [float(nats) for _, nats in pairs]}


def mode_coverage_of_array(function: Function, labels: np.ndarray) -> dict[str, Any]:
    """Both numbers for a NumPy array of labels (N,), with the numbers of the stub."""
    modes, nats = function(labels)
    return {"modes": modes, "KL": nats}


def pack(function: Function, x: np.ndarray, pac: np.ndarray) -> dict[str, Any]:
    """What becomes of images (..., B, P)."""
    return {"rows": function(torch.from_numpy(x), int(pac))}


def pack_again(function: Function, x: np.ndarray, pac: np.ndarray) -> dict[str, Any]:
    """What the second of two calls makes of the same tensor."""
    images = torch.from_numpy(x)
    function(images, int(pac))
    return {"rows": function(images, int(pac))}


def pack_slopes(function: Function, x: np.ndarray, pac: np.ndarray) -> dict[str, Any]:
    """The gradient at the images of half the sum of squares of all rows."""
    images = torch.from_numpy(x).requires_grad_()
    return {"gradient": torch.autograd.grad(function(images, int(pac)).square().sum() / 2, images)[0]}


def slerp(function: Function, a: np.ndarray, b: np.ndarray, times: np.ndarray) -> dict[str, Any]:
    """Points (n, ..., nz) between vectors (..., nz) at n times, one call each, with fresh tensors."""
    return {"points": torch.stack([function(torch.tensor(a), torch.tensor(b), float(t)) for t in times])}


def slerp_again(function: Function, a: np.ndarray, b: np.ndarray, t: np.ndarray) -> dict[str, Any]:
    """What the second of two calls makes of the same tensors."""
    start, end = torch.from_numpy(a), torch.from_numpy(b)
    function(start, end, float(t))
    return {"points": function(start, end, float(t))}


def _net(function: Function, x: np.ndarray, c: np.ndarray, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: nn.Module = function(x.shape[-1], c.shape[-1], WIDTH)
    return net.eval()


def _logits(net: nn.Module, x: np.ndarray, c: np.ndarray, seed: int = 0) -> Tensor:
    """Logits under a seed, so that dropout draws the same masks in each call."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        logits: Tensor = net(torch.tensor(x), torch.tensor(c))
    return logits


def _table(function: Function, x: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> Tensor:
    """Logits (nets, images, codes) of each image under each condition."""
    pairs = np.repeat(x, len(codes), axis=0), np.tile(codes, (len(x), 1))
    nets = [_net(function, x, codes, int(seed)) for seed in seeds]
    return torch.stack([_logits(net, *pairs).reshape(len(x), len(codes)) for net in nets])


def two_batches(function: Function, x: np.ndarray, c: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """Logits (2, B) of one net, in training mode, for two batches of images (2, B, P) and conditions (2, B, C)."""
    net = _net(function, x, c, int(seed)).train()
    return {"logits": torch.stack([_logits(net, *batch, int(seed)) for batch in zip(x, c, strict=True)])}


def one_image(function: Function, x: np.ndarray, c: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """Logits of a batch, and of its first image alone."""
    net = _net(function, x, c, int(seed))
    return {"batch": _logits(net, x, c), "alone": _logits(net, x[:1], c[:1])}


def conditions_told_apart(function: Function, x: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> dict[str, Any]:
    """Logits (nets, images, codes) of each image under each condition."""
    return {"table": _table(function, x, codes, seeds)}


def images_and_conditions(function: Function, x: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> dict[str, Any]:
    """Logits (nets, images, codes) of each image under each condition."""
    return {"table": _table(function, x, codes, seeds)}


def large_images(function: Function, x: np.ndarray, codes: np.ndarray, seeds: np.ndarray) -> dict[str, Any]:
    """Logits (nets, images, codes) of each image under each condition."""
    return {"table": _table(function, x, codes, seeds)}


def same_state(function: Function, x: np.ndarray, c: np.ndarray, seeds: np.ndarray) -> dict[str, Any]:
    """Logits of a net in two calls, and of another one that has been given its state."""
    net, twin = (_net(function, x, c, int(seed)) for seed in seeds)
    twin.load_state_dict(net.state_dict())
    return {"logits": _logits(net, x, c), "again": _logits(net, x, c, 1), "twin": _logits(twin, x, c, 2)}


def stacked_nets(function: Function, x: np.ndarray, c: np.ndarray, seeds: np.ndarray) -> dict[str, Any]:
    """Logits (arms, seeds, B) of a stack of nets for images (arms, seeds, B, P), and of its nets one by one."""
    from labkit.arms import Arms

    images, conditions = torch.from_numpy(x), torch.from_numpy(c)
    arms = Arms(lambda: function(x.shape[-1], c.shape[-1], WIDTH), arms=len(x), seeds=[int(s) for s in seeds])
    with torch.no_grad():
        arms(images, conditions)  # in training mode, too
        stacked = arms.eval()(images, conditions)
        alone = [
            torch.stack([arms.net(i, j)(images[i, j], conditions[i, j]) for j in range(len(seeds))]) for i in range(len(x))
        ]
    return {"stacked": stacked, "alone": torch.stack(alone)}


def gradients_of_layers(function: Function, x: np.ndarray, c: np.ndarray, seed: np.ndarray) -> dict[str, Any]:
    """The largest gradient of each parameter, 0 for one that gets none, where the squares of the logits are summed."""
    net = _net(function, x, c, int(seed))
    net(torch.from_numpy(x), torch.from_numpy(c)).square().sum().backward()
    return {"largest": [0.0 if p.grad is None else float(p.grad.abs().max()) for p in net.parameters()]}
