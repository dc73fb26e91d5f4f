"""The frame of a check: cases that all run, and messages that name the mistake."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

F64 = torch.float64


class CheckFailed(AssertionError):
    """An exercise is not right yet. Jupyter shows the message alone, without a traceback through the check."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Mistake(Exception):
    """One case went wrong: what was expected, what came, the likely cause."""

    def __init__(self, expected: str, got: str, cause: str = "") -> None:
        super().__init__(expected, got, cause)
        self.expected, self.got, self.cause = expected, got, cause


@dataclass(frozen=True)
class Case:
    """One case of a check: `test(function)` raises `Mistake` where the student's function is wrong."""

    name: str
    test: Callable[[Callable[..., Any]], None]


def run_cases(exercise: str, function: Callable[..., Any], cases: Sequence[Case], *, reread: str) -> None:
    """Run every case on a student's function and report all that fail, each with its likely cause.

    Prints one line if all pass.

    Raises:
        CheckFailed: at least one case failed, or the exercise is still blank.
    """
    if not callable(function):
        raise CheckFailed(f"{exercise}: this is {type(function).__name__}, not a function: run the exercise's cell first")
    failed = []
    for case in cases:
        try:
            case.test(function)
        except Mistake as mistake:
            cause = f"\n      likely cause: {mistake.cause}" if mistake.cause else ""
            failed.append(f"  ✗ {case.name}\n      expected {mistake.expected}\n      got {mistake.got}{cause}")
        except Exception as error:
            if isinstance(error, NotImplementedError) and not error.args:  # torch's own come with a message
                raise CheckFailed(
                    f"{exercise}: not written yet. Replace the line `raise NotImplementedError` in the cell above"
                ) from None
            failed.append(f"  ✗ {case.name}\n      it raised {type(error).__name__}: {error}\n      {_where(error, function)}")
    if failed:
        passed = len(cases) - len(failed)
        raise CheckFailed(
            "\n".join([f"{exercise}: {passed} of {len(cases)} cases pass", *failed, f"  Reread: {reread}"])
        ) from None
    print(f"✓ {exercise}: all {len(cases)} cases pass")


def _where(error: Exception, function: Callable[..., Any]) -> str:
    """The line of the student's own code at which an error arose."""
    import traceback

    code = getattr(function, "__code__", None)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if code and frame.filename == code.co_filename]
    return f"at line {lines[-1].lineno} of the cell: {lines[-1].line}" if lines else "in code that your function calls"


def compare(got: Any, expected: Any, *, known: Mapping[str, Any] | None = None, rtol: float = 1e-6, atol: float = 1e-8) -> None:
    """Compare a result with what is expected, and with what known mistakes would have given.

    `known` maps a likely cause to the value that it produces.

    Raises:
        Mistake: type, shape or values differ, or a value is not finite.
    """
    want = np.asarray(_array(expected), dtype=float)
    if got is None:
        raise Mistake(_say(want), "None", "the function has no return statement")
    try:
        have = np.asarray(_array(got), dtype=float)
    except (TypeError, ValueError, RuntimeError):
        raise Mistake(_say(want), f"{type(got).__name__}", "return numbers or a tensor") from None
    if have.shape == want.shape and np.allclose(have, want, rtol=rtol, atol=atol):
        return
    for cause, value in (known or {}).items():
        other = np.asarray(_array(value), dtype=float)
        if have.shape == other.shape and np.allclose(have, other, rtol=max(rtol, 1e-6), atol=atol):
            raise Mistake(_say(want), _say(have), cause)
    if have.shape != want.shape:
        raise Mistake(f"shape {want.shape}", f"shape {have.shape}", "look at which dimension is summed or averaged")
    if not np.isfinite(have).all():
        raise Mistake(_say(want), _say(have), "exp or log overflows, or a division by zero")
    off = f" (off by up to {np.abs(have - want).max():.2g})" if _say(want) == _say(have) else ""
    raise Mistake(_say(want), _say(have) + off)


def unchanged(function: Callable[..., Any], *inputs: torch.Tensor, what: str = "the input") -> None:
    """Call a function and see that it leaves its tensors as they were.

    Raises:
        Mistake: a tensor was changed in place.
    """
    copies = [x.clone() for x in inputs]
    with torch.enable_grad():  # what the function does to gradients ends with its call
        function(*inputs)
    if any(not torch.equal(x, copy) for x, copy in zip(inputs, copies, strict=True)):
        raise Mistake(f"{what} unchanged", "changed values", "an operation in place (a name ending in _, or +=)")


def takes(function: Callable[..., Any], *names: str) -> None:
    """See that a function still has the parameters of its stub.

    Raises:
        Mistake: a parameter is missing or renamed.
    """
    have = list(inspect.signature(function).parameters)
    if have[: len(names)] != list(names):
        raise Mistake(f"parameters {', '.join(names)}", ", ".join(have) or "none", "keep the first line of the stub as it is")


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


def _say(x: np.ndarray) -> str:
    if x.size == 1:
        return f"{x.item():.6g}" + (f" (shape {x.shape})" if x.ndim else "")
    values = ", ".join(f"{v:.4g}" for v in x.flatten()[:6]) + (", ..." if x.size > 6 else "")
    return f"[{values}] (shape {x.shape})"


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal float64 tensor, the same for the same seed."""
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def judge(
    got: Mapping[str, Any],
    want: Mapping[str, Any],
    known: Callable[[], Mapping[str, Sequence[Any]]],
    *,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    near: float = 0.0,
) -> None:
    """Compare each named part of an answer with what is wanted, and all parts together with what mistakes would have given.

    `known` maps a likely cause to all parts that it produces, and is worked out only if something differs. A cause is
    recognised within `near`, relative and absolute, where that is wider than the tolerances of a right answer.

    Raises:
        Mistake: a part is not what is wanted; it says which.
    """

    def same(one: Any, other: Any) -> bool:
        try:
            compare(one, other, rtol=max(rtol, near), atol=max(atol, near))
        except Mistake:
            return False
        return True

    for name, value in want.items():
        try:
            compare(got[name], value, rtol=rtol, atol=atol)
        except Mistake as mistake:
            causes = (c for c, parts in known().items() if all(map(same, got.values(), parts)))
            cause = mistake.cause if got[name] is None else next(causes, mistake.cause)
            label = f"{name}: " if len(want) > 1 else ""
            raise Mistake(label + mistake.expected, label + mistake.got, cause) from None
