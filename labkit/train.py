"""Training runs: the loop stays in the notebook, progress, history, checks and resume stay here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit import checkpoint as checkpoints
from labkit.arms import Arms
from labkit.guards import FiniteWatch, shorten
from labkit.history import History
from labkit.machine import generator
from labkit.sets import Images, gather


class Run:
    """An iterable over the batches of a whole training, which owns progress bar, history, finite check and resume.

        run = Run(images, epochs=5, batch_size=64, seeds=(0, 1), arms=net)
        for x, y in run:
            loss = ...                       # (*lead, B), (*lead) or scalar
            run.step(optimizer, loss, accuracy=...)

    With `arms` (an `Arms`) every batch is x (1, seeds, B, C, H, W), y (1, seeds, B): each seed has an order of its own,
    which its arms share, so that differences between arms are paired. Without, x is (B, C, H, W) and y (B,).

    `keep` names what a checkpoint holds (anything with state_dict and load_state_dict); with `checkpoint` it is written
    after an epoch once `every` seconds have passed, taken up again if the last run was interrupted, and removed at the
    end. A run is taken up only by one with the same data, starting weights, optimiser settings, seeds, batch size, epochs
    and `settings`, a text that names whatever else rules the loss. It then goes on as if it had never stopped.

    With `unlabelled`, a second set, every batch is (x, y, x_unlabelled): as many images of the second set, in an order of its
    own that is drawn anew for each epoch, and again within one when the set is used up. Its labels are not handed out;
    `unlabelled_index` (1, seeds, B) or (B,) says which images these are. An epoch is one pass over `images`.

    Raises:
        NonFiniteLoss: from `step`, at the first loss that is NaN or infinite (on a GPU within 16 steps of it), unless
            `finite=False` lets nets diverge, which then goes into the history as it is.
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
        settings: str = "",
        checkpoint: Path | str | None = None,
        every: float = 60.0,
        unlabelled: Images | None = None,
        finite: bool = True,
    ) -> None:
        if epochs < 1:
            raise ValueError(f"epochs is {epochs}: it must be at least 1")
        for each in (images, images if unlabelled is None else unlabelled):
            if batch_size < 1 or not len(each):
                raise ValueError(f"batch_size is {batch_size}, of {len(each)} images: both must be at least 1")
        if arms is not None:
            seeds, device = arms.seeds, device or arms.device
        elif len(seeds) != 1:
            raise ValueError(f"{len(seeds)} seeds without arms: pass arms=, or one seed")
        self.images = images if device is None else images.to(device)
        self.device = self.images.pixels.device
        self.unlabelled = None if unlabelled is None else unlabelled.to(self.device)
        self.unlabelled_index = torch.empty(0, dtype=torch.int64)
        self.epochs, self.batch_size, self.seeds, self.arms = epochs, batch_size, tuple(seeds), arms
        self.label, self.augment = label, augment
        self.history = History()
        self.epoch = 0  # epochs finished
        self.steps_per_epoch = -(-len(images) // batch_size)
        self._orders = [generator(seed) for seed in self.seeds]
        self._noises = [generator(10_007 + seed, self.device) for seed in self.seeds]
        self._others = [generator(20_011 + seed) for seed in self.seeds] if unlabelled is not None else []
        self._watch = FiniteWatch(label, self.seeds, self.steps_per_epoch) if finite else None
        self._step = 0
        self._weight = 0
        self._lead = arms.lead if arms is not None else ()
        self._keep = dict(keep or {})
        self._checkpoint = Path(checkpoint) if checkpoint and self._keep else None
        self._every = every
        self._settings = settings
        self._left_early = False
        self._epoch_began: list[Tensor] = []  # states of the generators
        # taken before any step, so that a run with other weights, data or learning rate never takes up this one
        self._start = checkpoints.digest(self._keep) if self._checkpoint else ""

    @property
    def progress(self) -> float:
        """Share of all steps that are done, 0..1."""
        return self._step / (self.epochs * self.steps_per_epoch)

    @property
    def epoch_ends(self) -> bool:
        """True while the last batch of an epoch is being worked on."""
        return (self._step + 1) % self.steps_per_epoch == 0

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        import time

        from tqdm.auto import tqdm

        self._resume()
        if self._left_early:  # take the epoch up from its start
            self.history.cut(self.epoch)
            self._set_generators(self._epoch_began)
            self._step, self._left_early = self.epoch * self.steps_per_epoch, False
        total, finished, saved = self.epochs * self.steps_per_epoch, False, time.monotonic()
        hidden = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")  # tqdm's notebook bar does not heed it by itself
        bar = tqdm(total=total, initial=self._step, desc=self.label, leave=False, unit="step", mininterval=0.5, disable=hidden)
        try:
            while self.epoch < self.epochs:
                self._epoch_began = self._generators()
                for batch in self._batches():
                    self._weight = batch[0].shape[len(self._lead)]  # (1, seeds, B, ...) or (B, ...)
                    yield batch
                    self._step += 1
                    bar.update()
                self.history.close_epoch()
                self.epoch += 1
                if self._checkpoint and self.epoch < self.epochs and time.monotonic() - saved > self._every:
                    self._save()
                    saved = time.monotonic()
            if self._watch:
                self._watch.look()
            finished = True
        finally:
            bar.close()
            if finished and self._checkpoint:
                self._checkpoint.unlink(missing_ok=True)
            if not finished:
                self._left_early = True
                self.history.close_epoch()
                print(f"{self.label}: stopped in epoch {self.epoch + 1} of {self.epochs}; the nets keep what they have learnt")

    def _batches(self) -> Iterator[tuple[Tensor, ...]]:
        n = len(self.images)
        orders = self._order(self._orders, n, n)
        if self.unlabelled is None:
            for index in orders.split(self.batch_size, dim=-1):
                yield gather(self.images, index, augment=self.augment)
            return
        others = self._order(self._others, len(self.unlabelled), n)
        for index, other in zip(orders.split(self.batch_size, dim=-1), others.split(self.batch_size, dim=-1), strict=True):
            self.unlabelled_index = other
            x, y = gather(self.images, index, augment=self.augment)
            yield x, y, gather(self.unlabelled, other, augment=self.augment)[0]

    def _order(self, generators: Sequence[torch.Generator], n: int, length: int) -> Tensor:
        """Shuffled numbers below n, passed through again until there are `length`: (1, seeds, length) or (length,)."""
        passes = -(-length // n)
        orders = torch.stack([torch.cat([torch.randperm(n, generator=g) for _ in range(passes)])[:length] for g in generators])
        return (orders.unsqueeze(0) if self._lead else orders[0]).to(self.device)

    def randn_like(self, x: Tensor) -> Tensor:
        """Draw standard normal noise of the shape of `x` from the run's own generators.

        With arms, `x` is (arms, seeds, ...): each seed draws its own noise and its arms share it.

        Raises:
            ValueError: with arms, `x` does not begin with (arms, seeds).
        """
        if not self._lead:
            return torch.randn(x.shape, generator=self._noises[0], device=x.device, dtype=x.dtype)
        if tuple(x.shape[:2]) != self._lead:
            raise ValueError(f"the shape {tuple(x.shape)} does not begin with (arms, seeds) = {self._lead}")
        draws = [torch.randn(x.shape[2:], generator=noise, device=x.device, dtype=x.dtype) for noise in self._noises]
        return torch.stack(draws).expand(x.shape)

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor, *, clip: float | None = None, **terms: Tensor) -> None:
        """Take one optimiser step on `loss` and record it, and each of `terms`, in the history.

        The loss is (*lead, B), (*lead) or a scalar, lead being (arms, seeds) with arms and empty without. It is averaged
        over the samples and summed over the arms, so that each net gets the gradient that it would get alone. May be
        called several times for one batch, with different optimisers (an adversarial pair, say). `clip` is the largest
        norm that the gradient of one net may have within one parameter group of the optimiser; a longer one is shortened,
        each net's by itself.

        Raises:
            NonFiniteLoss: the loss is NaN or infinite, where the run looks for that.
            ValueError: `clip` is not above 0, or the loss, a term or a parameter does not begin with (arms, seeds).
        """
        if clip is not None and not clip > 0:
            raise ValueError(f"clip is {clip}: give the largest gradient norm, above 0, or None")
        per_arm = self._mean(loss, "loss")
        if self._watch:
            self._watch.note(per_arm, self._step, [group["lr"] for group in optimizer.param_groups])
        optimizer.zero_grad(set_to_none=True)
        per_arm.sum().backward()
        if clip is not None:
            for group in optimizer.param_groups:
                shorten([p.grad for p in group["params"] if p.grad is not None], clip, self._lead)
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

    def _generators(self) -> list[Tensor]:
        return [each.get_state() for each in (*self._orders, *self._noises, *self._others)]

    def _set_generators(self, states: Sequence[Tensor]) -> None:
        for each, state in zip((*self._orders, *self._noises, *self._others), states, strict=True):
            each.set_state(state.cpu())

    def _fingerprint(self) -> str:
        def told(images: Images) -> str:
            places = torch.arange(1, len(images) + 1, device=self.device)  # so that another order is noticed, too
            sums = images.pixels.flatten(1).sum(1, dtype=torch.int64), images.labels
            return f"{images.name}/{images.split}/{tuple(images.pixels.shape)}/{[int((each * places).sum()) for each in sums]}"

        data = " ".join(told(each) for each in (self.images, self.unlabelled) if each is not None)
        return f"{self.label} {data} {self.epochs}x{self.batch_size} {self._lead} {self.seeds} {self._start} {self._settings}"

    def _save(self) -> None:
        assert self._checkpoint is not None
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else torch.empty(0)
        state = {
            "fingerprint": self._fingerprint(),
            "epoch": self.epoch,
            "history": self.history.state_dict(),
            "generators": self._generators(),
            "global": [torch.get_rng_state(), cuda],  # for dropout, and code that draws without a generator
            "kept": {name: thing.state_dict() for name, thing in self._keep.items()},
        }
        checkpoints.write(self._checkpoint, state)

    def _resume(self) -> None:
        if not self._checkpoint or not self._checkpoint.exists() or self._step:
            return
        try:
            state = checkpoints.read(self._checkpoint, self.device)
        except (ValueError, OSError) as error:  # costs the time that it would have saved, nothing more
            print(f"{self.label}: the checkpoint {self._checkpoint} can't be read ({error}); starting anew")
            return
        if state.get("fingerprint") != self._fingerprint():
            print(f"{self.label}: the checkpoint {self._checkpoint} is of other settings; starting anew")
            return
        self.epoch, self._step = state["epoch"], state["epoch"] * self.steps_per_epoch
        self.history.load_state_dict(state["history"])
        self._set_generators(state["generators"])
        torch.set_rng_state(state["global"][0].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["global"][1].cpu(), self.device)
        for name, thing in self._keep.items():
            thing.load_state_dict(state["kept"][name])
        print(f"{self.label}: going on after epoch {self.epoch} of {self.epochs} (delete {self._checkpoint} to start anew)")
