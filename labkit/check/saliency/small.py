"""Small nets for the checks of lab 07, whose slopes are found without autograd, and the mistakes that its exercises share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from labkit.check.frame import F64, Mistake, compare
from labkit.check.nets import Broken, Log, call_watched, settle

SHAPE = (3, 4, 5)
_SCORE = "s is the logit of the class asked for, as it comes out of the net"
_RTOL, _ATOL = 1e-5, 1e-6  # slopes by differences are good to about 1e-8; sums may be kept in float32

HINTS = {
    "does not require grad": "gradients have to be on, and the tensor that goes into the net needs requires_grad_()",
    "can be implicitly created only for scalar outputs": "sum the scores of all images: each depends on its own image alone",
    "appears to not have been used in the graph": "differentiate by the very tensor that went into the net, not by a copy",
    "leaf Variable that requires grad": "an operation in place on a tensor that requires gradients",
    "cannot be converted to Scalar": "this works for a batch of one image only: .item() and float() take one number",
    "only integer tensors of a single element": "this works for a batch of one image only",
    "must match the size of tensor": "one number for each image multiplies (B, 3, H, W) after reshape(-1, 1, 1, 1)",
    "must have the same dtype": "the net and the images are float64 here: make new tensors like x, with its dtype",
}  # fmt: skip


class Cubic(nn.Module):
    """Logits (B, 4) of images (B, 3, 4, 5): V (U x + c)^3 + d, in float64 and evaluation mode. Class `flat` has no slope."""

    def __init__(self, *, flat: int | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(60, 6), nn.Linear(6, 4)
        settle(self, 7).eval()
        with torch.no_grad():
            self.first.weight.mul_(1.5)
            if flat is not None:
                self.last.weight[flat] = 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 4)."""
        logits: Tensor = self.last(self.first(x.flatten(1)) ** 3)
        return logits

    def scores(self, x: Tensor) -> Tensor:
        """The same logits, from the numbers in the net."""
        u, c, v, d = (parameter.detach() for parameter in self.parameters())
        inner = x.flatten(1) @ u.T + c
        return inner * inner * inner @ v.T + d


class Modes(nn.Module):
    """A batch norm, a dropout and a linear layer, which note their modes: in evaluation mode the logits are linear in x."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__()
        self.seen, self.breaks = Log(), breaks
        self.norm = nn.BatchNorm2d(3)
        self.body = nn.Sequential(nn.Sequential(nn.Dropout(0.5), nn.Flatten()), nn.Linear(60, 4))
        settle(self, 9).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 4).

        Raises:
            Broken: it has been told to break.
        """
        named = {"batch norm": self.norm, "dropout": self.body.get_submodule("0.0")}
        self.seen.append([name for name, module in named.items() if module.training])
        z = self.norm(x)
        if self.breaks:
            raise Broken
        logits: Tensor = self.body(z)
        return logits

    def rows(self, y: Tensor) -> Tensor:
        """The slope (B, 3, 4, 5) of each class in y: its row of weights, times what batch norm multiplies a channel with."""
        w = self.state_dict()
        gain = w["norm.weight"] * (w["norm.running_var"] + self.norm.eps).pow(-0.5)
        return w["body.1.weight"][y].view(-1, *SHAPE) * gain.view(3, 1, 1)


def images(n: int, seed: int = 0, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Images (n, 3, 4, 5) with values between `low` and `high`."""
    return low + (high - low) * torch.rand(n, *SHAPE, dtype=F64, generator=torch.Generator().manual_seed(seed))


def pick(values: Tensor, y: Tensor) -> Tensor:
    """Of each row the entry that y (B,) names; rows may be those of several batches, one after the other."""
    return values[torch.arange(len(values)), y.repeat(len(values) // len(y))]


def rise(value: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-4) -> Tensor:
    """Slopes (B, 3, H, W) of a value (B,) that each image has, by central differences."""
    h = step * torch.eye(x[0].numel(), dtype=x.dtype).view(-1, 1, *x.shape[1:])  # one place at a time
    up, down = value((x + h).flatten(0, 1)), value((x - h).flatten(0, 1))
    return ((up - down) / (2 * step)).view(-1, len(x)).T.reshape(x.shape)


def lengths(v: Tensor) -> Tensor:
    """The Euclidean length of each image, (B, 1, 1, 1)."""
    return v.square().sum((1, 2, 3), keepdim=True).sqrt()


def unit(v: Tensor) -> Tensor:
    """Each image divided by its length; 0 stays 0."""
    return torch.where(v == 0, v, v / lengths(v))


def wrong_scores(net: Cubic, y: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    """What well-known mistakes differentiate in place of the logits of classes y, by cause."""
    return {
        f"this is the slope of the probability, after softmax (its logarithm has the same direction): {_SCORE}":
            lambda x: pick(net.scores(x).softmax(1), y),
        f"this is the slope of log-softmax, as in the cross-entropy: {_SCORE}":
            lambda x: pick(net.scores(x).log_softmax(1), y),
        f"this is the slope of the cross-entropy, the other sign of log-softmax: {_SCORE}":
            lambda x: -pick(net.scores(x).log_softmax(1), y),
        "this is the slope of the highest logit, whatever class was asked for": lambda x: net.scores(x).amax(1),
        "this is the slope of the sum of all logits": lambda x: net.scores(x).sum(1),
        "logits[:, y] is (B, B), each image with the classes of all images: gather(1, y[:, None]) takes its own":
            lambda x: net.scores(x)[:, y].sum(1),
        "all images were given the class of the first": lambda x: net.scores(x)[:, y[0]],
        "this is the slope of class 0, whatever class was asked for": lambda x: net.scores(x)[:, 0]}  # fmt: skip


def wrong_steps(x: Tensor, g: Tensor, rate: float) -> dict[str, Tensor]:
    """What well-known mistakes make of a step from x along g / |g|, by cause."""
    one = g.square().sum().sqrt()
    return {
        "the step goes downhill: it is added": x - rate * unit(g),
        "this is the sign of g in place of g / |g|": x + rate * g.sign(),
        "g was not divided by its length: |g| is missing": x + rate * g,
        "|g| was taken over the whole batch: each image has its own": x + rate * g / one,
        "|g| was taken of each channel: it is of all values of an image": x + rate * g / g.square().sum((2, 3), True).sqrt(),
        "g was divided by the squared length: take the root": x + rate * g / lengths(g).square(),
        "g was divided by its largest value: |g| is the Euclidean length": x + rate * g / g.abs().amax((1, 2, 3), True),
        "g was divided by the sum of |values|: |g| is the Euclidean length": x + rate * g / g.abs().sum((1, 2, 3), True),
        "g was divided by the mean of |values|: |g| is the Euclidean length": x + rate * g / g.abs().mean((1, 2, 3), True),
        "the length of the step was ignored: multiply g / |g| by it": x + unit(g),
        "the step went twice as far": x + 2 * rate * unit(g),
        "this is the step alone: add it to what came": rate * unit(g),
        "this is what came, unmoved": x}  # fmt: skip


def apply(f: Callable[..., Any], *args: Any) -> Any:
    """Call a student's function; frequent errors of torch become a `Mistake` with its cause.

    Raises:
        Mistake: such an error, or gradients are off afterwards.
    """
    return call_watched(f, *args, hints=HINTS)


def judge(out: Any, want: Tensor, known: Callable[[], Mapping[str, Any]]) -> None:
    """Compare, and work out what mistakes would have given only if it differs.

    Raises:
        Mistake: the result is not the one wanted.
    """
    try:
        compare(out, want, rtol=_RTOL, atol=_ATOL)
    except Mistake:
        compare(out, want, known=known(), rtol=_RTOL, atol=_ATOL)


def no_graph(out: Any, cause: str) -> None:
    """See that a result carries no graph.

    Raises:
        Mistake: it requires gradients.
    """
    if getattr(out, "requires_grad", False):
        raise Mistake("a result without a graph", "one that requires gradients", cause)


def finite(out: Any, cause: str) -> None:
    """See that a result holds numbers alone.

    Raises:
        Mistake: it has NaN or infinity.
    """
    if isinstance(out, Tensor) and not bool(out.detach().isfinite().all()):
        raise Mistake("finite numbers", "NaN or infinity", cause)
