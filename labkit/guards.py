"""What guards the steps of a training: losses watched for NaN, and gradients shortened, each net's by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EVERY = 16  # steps between two looks on a GPU, since looking waits for it


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite."""


class FiniteWatch:
    """Notes the first step at which the loss of each net, (arms, seeds) or a scalar, is not finite, and looks for it."""

    def __init__(self, label: str, seeds: Sequence[int], steps_per_epoch: int) -> None:
        self._label, self._seeds, self._steps_per_epoch = label, seeds, steps_per_epoch
        self._first_bad: Tensor | None = None
        self._rates: list[float] = []

    def note(self, losses: Tensor, step: int, rates: Sequence[float]) -> None:
        """Note the losses of a step, and the optimiser's learning rates; look at once, but on a GPU every 16 steps.

        Raises:
            NonFiniteLoss: as `look`.
        """
        self._rates = list(rates)
        now = torch.where(torch.isfinite(losses.detach()), torch.inf, float(step))
        self._first_bad = now if self._first_bad is None else torch.minimum(self._first_bad, now)
        if losses.device.type == "cpu" or step % EVERY == 0:
            self.look()

    def look(self) -> None:
        """See that all losses so far were finite.

        Raises:
            NonFiniteLoss: one was not; the message says at which step, of which net, and at which learning rate.
        """
        if self._first_bad is None or not bool(torch.isfinite(self._first_bad).any()):
            return
        step = int(self._first_bad.min())
        where = ""
        if self._first_bad.ndim:
            arm, seed = (int(i[0]) for i in torch.where(self._first_bad == self._first_bad.min()))
            where = f" in arm {arm}, seed {self._seeds[seed]}"
        lr = ", ".join(f"{rate:g}" for rate in sorted(set(self._rates)))
        raise NonFiniteLoss(
            f"{self._label}: the loss is not finite at step {step} (epoch {step // self._steps_per_epoch + 1}){where}, "
            f"learning rate {lr}. Look for exp, log or a division that overflows; try a tenth of the learning rate"
        )


def shorten(grads: Sequence[Tensor], largest: float, lead: tuple[int, ...]) -> None:
    """Scale gradients in place so that none is longer than `largest`, over all of `grads` together.

    With `lead`, (arms, seeds), they are of stacked nets, (arms * seeds, ...), and each net's is scaled by itself; without,
    `lead` is empty and they are of one net.

    Raises:
        ValueError: a stacked gradient does not begin with the number of nets.
    """
    nets = lead[0] * lead[1] if lead else 1
    if not grads:
        return
    for g in grads:
        if lead and (g.ndim < 1 or len(g) != nets):
            raise ValueError(f"clip is for stacked nets: a parameter of shape {tuple(g.shape)} does not begin with {nets}")
    norm = torch.stack([g.reshape(nets, -1).square().sum(1) for g in grads]).sum(0).sqrt()  # (nets,)
    factor = (largest / norm.clamp_min(1e-12)).clamp_max(1)
    for g in grads:
        g.mul_(factor.reshape(-1, *[1] * (g.ndim - 1)) if lead else factor[0])
