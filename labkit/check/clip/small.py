"""What the checks of lab 05 share: features of unequal lengths, known rotations, and inputs that are to stay as they are."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from labkit.check.frame import F64, Mistake, draw
from labkit.check.nets import call_watched

Point = torch.complex128


def features(*shape: int, seed: int, off: float = 0.8) -> Tensor:
    """Features (..., N, D) of lengths that differ tenfold, around a mean that is not 0."""
    rows = draw(*shape, seed=seed) + off * draw(shape[-1], seed=1000 + seed)
    return rows * (0.8 * draw(*shape[:-1], 1, seed=2000 + seed)).exp()


def unit(rows: Tensor, dim: int = -1) -> Tensor:
    """Rows divided by their lengths."""
    return rows / rows.square().sum(dim, keepdim=True).sqrt()


class Encoder:
    """An `encode` of d dimensions: features of a table, others for texts that it lacks; `asked` keeps what was encoded."""

    d: int
    table: dict[str, Tensor]
    asked: list[str]

    @staticmethod
    def length(text: str) -> float:
        """The length of the feature of a text that the table lacks."""
        return 0.5 + zlib.crc32(text.encode()) % 97 / 20

    def feature(self, text: str) -> Tensor:
        """The feature (d,) of one text."""
        drawn = draw(self.d, seed=zlib.crc32(text.encode()))
        return self.table.get(text, unit(drawn) * self.length(text))

    def __call__(self, texts: Any) -> Tensor:
        """Features (B, d) of a list of texts."""
        if isinstance(texts, str):
            raise TypeError(f"{texts!r} is one text in place of a list")
        texts = list(texts)
        if not texts:
            raise ValueError("no text at all")
        if any(not isinstance(text, str) for text in texts):
            raise TypeError(f"a list of {type(texts[0]).__name__} is no flat list of texts")
        self.asked += texts
        return torch.stack([self.feature(text) for text in texts])


def orthogonal(d: int, seed: int, *, reflects: bool = False) -> Tensor:
    """A known orthogonal matrix (D, D): an even number of mirrors one after the other, or with `reflects` an odd one."""
    out, mirrors = torch.eye(d, dtype=F64), d + (d % 2 == 0) if reflects else d + d % 2
    for row in unit(draw(mirrors, d, seed=seed)):
        out = out - 2 * torch.outer(out @ row, row)
    return out


def plane(source: Tensor, target: Tensor, *, mirrors: bool = True) -> Tensor:
    """The best orthogonal matrix of the plane (2, 2), by its angle; without `mirrors` the best that turns and does not mirror.

    A turn takes the number s to s w, a mirror takes it to conj(s) w, for a w of length 1.
    """
    s, t = (torch.complex(*rows.to(F64).T.contiguous()) for rows in (source, target))
    turn, mirror = (s.conj() * t).sum(), (s * t).sum()
    mirrored = mirrors and bool(mirror.abs() > turn.abs())
    w = torch.sgn(mirror if mirrored else turn)
    ends = torch.stack([w, (-1j if mirrored else 1j) * w])  # where (1, 0) and (0, 1) go
    return torch.stack([ends.real, ends.imag], 1)


def apply(f: Callable[..., Any], *args: Any, hints: Mapping[str, str]) -> Any:
    """Call a student's function; errors whose words are among the hints become a `Mistake` with its cause.

    Raises:
        Mistake: such an error, or gradients are off afterwards.
    """
    return call_watched(f, *args, hints=hints)


def tensor(out: Any, shape: str, *, name: str = "") -> Tensor:
    """A student's result, which has to be a tensor.

    Raises:
        Mistake: it is something else.
    """
    if isinstance(out, Tensor):
        return out
    kind = type(out).__name__
    causes = {"NoneType": "the function has no return statement", "list": "torch.stack joins tensors to one",
              "tuple": "return one tensor alone", "ndarray": "torch.from_numpy makes a tensor of an array"}  # fmt: skip
    raise Mistake(f"{name}a tensor {shape}", "None" if out is None else f"{name}{kind}", causes.get(kind, ""))


def intact(f: Callable[..., Any], given: Mapping[str, Any], *, hints: Mapping[str, str]) -> None:
    """Call a student's function with named arguments, in this order, and see that its tensors are as they were.

    Raises:
        Mistake: one was changed, or asked to gather gradients.
    """
    before = {name: value.clone() for name, value in given.items() if isinstance(value, Tensor)}
    apply(f, *given.values(), hints=hints)
    for name, was in before.items():
        if not torch.equal(given[name], was):
            raise Mistake(f"{name} unchanged", "changed values", "an operation in place (a name ending in _, *= or -=)")
        if given[name].requires_grad:
            raise Mistake(f"{name} as it was", "a tensor that requires gradients", "leave out requires_grad_()")
