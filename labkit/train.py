"""Training runs: the loop stays in the notebook, progress, history, checks and resume stay here."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit import files
from labkit.arms import Arms
from labkit.machine import generator
from labkit.sets import Images, gather


class NonFiniteLoss(FloatingPointError):
    """A loss became NaN or infinite."""


class History:
    """Sample-weighted means of the recorded terms, one row an epoch: `history["kl"]` is (epochs, *lead)."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Tensor]] = {}
        self._sums: dict[str, Tensor] = {}
        self._weight: dict[str, int] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._rows:
            raise KeyError(f"no term {name!r} was recorded: there are {', '.join(self._rows) or 'none yet'}")
        return torch.stack(self._rows[name]).cpu().numpy()

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __len__(self) -> int:
        return max((len(rows) for rows in self._rows.values()), default=0)

    @property
    def names(self) -> list[str]:
        """Names of the recorded terms."""
        return list(self._rows)

    def add(self, terms: Mapping[str, Tensor], weight: int) -> None:
        """Add batch means (*lead) of `weight` samples to the epoch under way."""
        for name, value in terms.items():
            value = value.detach() * weight
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._weight[name] = self._weight.get(name, 0) + weight

    def close_epoch(self) -> None:
        """Turn what was added into one row."""
        for name, total in self._sums.items():
            self._rows.setdefault(name, []).append((total / self._weight[name]).float())
        self._sums, self._weight = {}, {}

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Closed rows by name."""
        return {name: list(rows) for name, rows in self._rows.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Take over closed rows."""
        self._rows = {name: list(rows) for name, rows in state.items()}


class Run:
    """An iterable over the batches of a whole training, which owns progress bar, history, finite check and resume.

        run = Run(images, epochs=5, batch_size=64, seeds=(0, 1), arms=net)
        for x, y in run:
            loss = ...                       # (*lead, B), (*lead) or scalar
            run.step(optimizer, loss, accuracy=...)

    With `arms` (an `Arms`) every batch is x (1, seeds, B, C, H, W), y (1, seeds, B): each seed has an order of its own,
    which its arms share, so that differences between arms are paired. Without, x is (B, C, H, W) and y (B,).

    `keep` names what a checkpoint holds (anything with state_dict and load_state_dict); with `checkpoint` it is written
    after an epoch once `every` seconds have passed, taken up again if the last run was interrupted, and removed at the end.

    Raises:
        NonFiniteLoss: from `step`, at the first loss that is NaN or infinite (on a GPU within 16 steps of it).
        ValueError: epochs, batch size or checkpoint do not fit.
    """

    def __init__(
        self,
        images: Images,
        *,
        epochs: int,
        batch_size: int,
        seeds: Sequence[int] = (0,),
        arms: Arms | None = None,
        label: str = "training",
        device: torch.device | str | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        keep: Mapping[str, Any] | None = None,
        checkpoint: Path | str | None = None,
        every: float = 60.0,
    ) -> None:
        if epochs < 1:
            raise ValueError(f"epochs is {epochs}: it must be at least 1")
        if batch_size < 1 or not len(images):
            raise ValueError(f"batch_size is {batch_size}, of {len(images)} images: both must be at least 1")
        if arms is not None:
            seeds, device = arms.seeds, device or arms.device
        elif len(seeds) != 1:
            raise ValueError(f"{len(seeds)} seeds without arms: pass arms=, or one seed")
        self.images = images if device is None else images.to(device)
        self.device = self.images.pixels.device
        self.epochs, self.batch_size, self.seeds, self.arms = epochs, batch_size, tuple(seeds), arms
        self.label, self.augment = label, augment
        self.history = History()
        self.epoch = 0  # epochs finished
        self.steps_per_epoch = -(-len(images) // batch_size)
        self._orders = [generator(seed) for seed in self.seeds]
        self._noises = [generator(10_007 + seed, self.device) for seed in self.seeds]
        self._step = 0
        self._weight = 0
        self._lead = arms.lead if arms is not None else ()
        self._first_bad: Tensor | None = None
        self._lr: list[float] = []
        self._keep = dict(keep or {})
        self._checkpoint = Path(checkpoint) if checkpoint and self._keep else None
        self._every = every

    @property
    def progress(self) -> float:
        """Share of all steps that are done, 0..1."""
        return self._step / (self.epochs * self.steps_per_epoch)

    @property
    def epoch_ends(self) -> bool:
        """True while the last batch of an epoch is being worked on."""
        return (self._step + 1) % self.steps_per_epoch == 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        import time

        from tqdm.auto import tqdm

        self._resume()
        self._step = self.epoch * self.steps_per_epoch  # a loop that was left early takes its epoch up from the start
        total, finished, saved = self.epochs * self.steps_per_epoch, False, time.monotonic()
        hidden = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")  # tqdm's notebook bar does not heed it by itself
        bar = tqdm(total=total, initial=self._step, desc=self.label, leave=False, unit="step", mininterval=0.5, disable=hidden)
        try:
            while self.epoch < self.epochs:
                for x, y in self._batches():
                    self._weight = x.shape[len(self._lead)]  # (1, seeds, B, ...) or (B, ...)
                    yield x, y
                    self._step += 1
                    bar.update()
                self.history.close_epoch()
                self.epoch += 1
                if self._checkpoint and self.epoch < self.epochs and time.monotonic() - saved > self._every:
                    self._save()
                    saved = time.monotonic()
            self._look_for_bad()
            finished = True
        finally:
            bar.close()
            if finished and self._checkpoint:
                self._checkpoint.unlink(missing_ok=True)
            if not finished:
                self.history.close_epoch()
                print(f"{self.label}: stopped in epoch {self.epoch + 1} of {self.epochs}; the nets keep what they have learnt")

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        orders = torch.stack([torch.randperm(len(self.images), generator=order) for order in self._orders])
        orders = orders.unsqueeze(0) if self._lead else orders[0]  # (1, seeds, N) or (N,)
        for index in orders.to(self.device).split(self.batch_size, dim=-1):
            yield gather(self.images, index, augment=self.augment)

    def randn_like(self, x: Tensor) -> Tensor:
        """Draw standard normal noise of the shape of `x` from the run's own generators.

        With arms, `x` is (arms, seeds, ...): each seed draws its own noise and its arms share it.
        """
        if not self._lead:
            return torch.randn(x.shape, generator=self._noises[0], device=x.device, dtype=x.dtype)
        if tuple(x.shape[:2]) != self._lead:
            raise ValueError(f"the shape {tuple(x.shape)} does not begin with (arms, seeds) = {self._lead}")
        draws = [torch.randn(x.shape[2:], generator=noise, device=x.device, dtype=x.dtype) for noise in self._noises]
        return torch.stack(draws).expand(x.shape)

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor, **terms: Tensor) -> None:
        """Take one optimiser step on `loss` and record it, and each of `terms`, in the history.

        The loss is (*lead, B), (*lead) or a scalar, lead being (arms, seeds) with arms and empty without. It is averaged
        over the samples and summed over the arms, so that each net gets the gradient that it would get alone. May be
        called several times for one batch, with different optimisers (an adversarial pair, say).
        """
        per_arm = self._mean(loss, "loss")
        self._lr = [group["lr"] for group in optimizer.param_groups]
        self._watch(per_arm)
        optimizer.zero_grad(set_to_none=True)
        per_arm.sum().backward()
        optimizer.step()
        self.history.add({"loss": per_arm, **{k: self._mean(v, k) for k, v in terms.items()}}, self._weight)

    def log(self, **values: Tensor) -> None:
        """Record values (*lead), such as a validation score, for the epoch under way without taking a step."""
        self.history.add({name: self._mean(value, name) for name, value in values.items()}, self._weight)

    def _mean(self, value: Any, name: str) -> Tensor:
        lead, value = len(self._lead), torch.as_tensor(value)
        if tuple(value.shape[:lead]) != self._lead:
            raise ValueError(f"{name} has shape {tuple(value.shape)}: it must begin with (arms, seeds) = {self._lead}")
        return value.flatten(lead).mean(-1) if value.ndim > lead else value

    def _watch(self, per_arm: Tensor) -> None:
        """Note the first step at which each arm's loss is not finite; on a GPU look only now and then, as looking waits."""
        now = torch.where(torch.isfinite(per_arm.detach()), torch.inf, float(self._step))
        self._first_bad = now if self._first_bad is None else torch.minimum(self._first_bad, now)
        if self.device.type == "cpu" or self._step % 16 == 0:
            self._look_for_bad()

    def _look_for_bad(self) -> None:
        if self._first_bad is None or not bool(torch.isfinite(self._first_bad).any()):
            return
        step = int(self._first_bad.min())
        where = ""
        if self._lead:
            arm, seed = (int(i[0]) for i in torch.where(self._first_bad == self._first_bad.min()))
            where = f" in arm {arm}, seed {self.seeds[seed]}"
        lr = ", ".join(f"{rate:g}" for rate in sorted(set(self._lr)))
        raise NonFiniteLoss(
            f"{self.label}: the loss is not finite at step {step} (epoch {step // self.steps_per_epoch + 1}){where}, "
            f"learning rate {lr}. Look for exp, log or a division that overflows; try a tenth of the learning rate"
        )

    def _fingerprint(self) -> str:
        shapes = {
            name: {key: tuple(value.shape) for key, value in thing.state_dict().items() if isinstance(value, Tensor)}
            for name, thing in sorted(self._keep.items())
        }
        data = f"{self.images.name}/{self.images.split}/{len(self.images)}"
        return f"{self.label} {data} {self.epochs}x{self.batch_size} {self._lead} {self.seeds} {shapes}"

    def _save(self) -> None:
        state = {
            "fingerprint": self._fingerprint(),
            "epoch": self.epoch,
            "history": self.history.state_dict(),
            "orders": [order.get_state() for order in self._orders],
            "noises": [noise.get_state() for noise in self._noises],
            "kept": {name: thing.state_dict() for name, thing in self._keep.items()},
        }
        assert self._checkpoint is not None
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with files.atomic_write(self._checkpoint) as spare:  # torch.load overlooks flipped bytes, so a hash goes first
            spare.write_bytes(hashlib.sha256(buffer.getbuffer()).digest() + buffer.getbuffer())

    def _resume(self) -> None:
        if not self._checkpoint or not self._checkpoint.exists() or self._step:
            return
        try:
            raw = self._checkpoint.read_bytes()
            if hashlib.sha256(raw[32:]).digest() != raw[:32]:
                raise ValueError("it is damaged, or no checkpoint")
            state = torch.load(io.BytesIO(raw[32:]), map_location=self.device, weights_only=True)
        except Exception as error:  # a damaged checkpoint costs the time it would have saved, nothing more
            print(f"{self.label}: the checkpoint {self._checkpoint} can't be read ({error}); starting anew")
            return
        if state["fingerprint"] != self._fingerprint():
            print(f"{self.label}: the checkpoint {self._checkpoint} is of other settings; starting anew")
            return
        self.epoch, self._step = state["epoch"], state["epoch"] * self.steps_per_epoch
        self.history.load_state_dict(state["history"])
        for mine, theirs in zip(self._orders + self._noises, state["orders"] + state["noises"], strict=True):
            mine.set_state(theirs.cpu())
        for name, thing in self._keep.items():
            thing.load_state_dict(state["kept"][name])
        print(f"{self.label}: going on after epoch {self.epoch} of {self.epochs} (delete {self._checkpoint} to start anew)")


def parameter_count(net: nn.Module) -> int:
    """Number of parameters of a net."""
    return sum(p.numel() for p in net.parameters())
