"""What a case of an exercise is, what is wanted of it, and whether what came is that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call of an exercise: the arrays that its adapter gets, and how much it counts among the cases of the exercise.

    name: what the student reads. inputs: arrays of numbers or strings. adapter: which function calls the exercise; '' means
    the one named as the exercise. self_reported: what is wanted can only be seen by the student's own process (nothing
    changed in place, a mode restored), so that a cheat could fake it: it counts little.
    """

    name: str
    inputs: Mapping[str, np.ndarray]
    adapter: str = ""
    weight: float = 1.0
    self_reported: bool = False


@dataclass(frozen=True)
class Near:
    """Wanted: this array, same shape, within tolerances. Booleans and integers must be such, and equal.

    of: what to compare, computed from all arrays that came; default: the one of this name. dtype: the type that it must
    have, such as 'float32'; '' for any kind of number.
    """

    value: np.ndarray
    rtol: float = 1e-5
    atol: float = 1e-7
    of: Callable[[Mapping[str, np.ndarray]], Any] | None = None
    dtype: str = ""


@dataclass(frozen=True)
class Between:
    """Wanted: every value of a statistic that depends on chance lies in this band.

    false_fail: how often a right answer lies outside, computed or measured, not guessed. of: as in `Near`.
    """

    low: float | np.ndarray
    high: float | np.ndarray
    false_fail: float
    of: Callable[[Mapping[str, np.ndarray]], Any] | None = field(default=None)


#: What is wanted of a case, by the name of what its adapter returns; a bare array means `Near(array)`
Wants = Mapping[str, "np.ndarray | Near | Between"]
MAX_FALSE_FAIL = 1e-4  # of one band: a class of forty sees some thousand of them


def fault(got: Mapping[str, np.ndarray], wants: Wants) -> str:
    """What is wrong with what came, '' if nothing is. It never raises for what a student's process sent.

    Raises:
        ValueError: what is wanted is itself not finite, or a band fails right answers too often.
    """
    for name, want in wants.items():
        want = want if isinstance(want, Near | Between) else Near(np.asarray(want))
        _require_sound(name, want)
        try:
            have = np.asarray(got[name] if want.of is None else want.of(got))
        except Exception as error:
            return f"{name}: nothing usable came ({type(error).__name__}: {error})"[:300]
        if words := _near(have, want) if isinstance(want, Near) else _between(have, want):
            return f"{name}: {words}"
    return ""


def _require_sound(name: str, want: Near | Between) -> None:
    values = [np.asarray(want.value)] if isinstance(want, Near) else [np.asarray(want.low), np.asarray(want.high)]
    if not all(np.isfinite(value).all() for value in values if value.dtype.kind in "fiub"):
        raise ValueError(f"{name}: what is expected is not finite")
    if isinstance(want, Between) and not 0 <= want.false_fail <= MAX_FALSE_FAIL:
        raise ValueError(f"{name}: a band that fails {want.false_fail:g} of right answers; at most {MAX_FALSE_FAIL:g}")


def _near(have: np.ndarray, want: Near) -> str:
    value = np.asarray(want.value)
    if have.shape != value.shape:
        return f"expected shape {value.shape}, got {have.shape}"
    if value.dtype.kind == "b" and have.dtype.kind != "b":
        return f"expected true or false, got {have.dtype}"
    if value.dtype.kind in "iu" and have.dtype.kind not in "iu":
        return f"expected whole numbers, got {have.dtype}"
    if have.dtype.kind not in "fiub":
        return f"expected numbers, got {have.dtype}"
    if want.dtype and have.dtype.name != want.dtype:
        return f"expected {want.dtype}, got {have.dtype}"
    if value.dtype.kind in "iub":
        right = have == value
    else:
        have = have.astype(np.float64)
        if not np.isfinite(have).all():
            return f"{int((~np.isfinite(have)).sum())} of {have.size} values are not finite"
        right = np.isclose(have, value, rtol=want.rtol, atol=want.atol)
    if right.all():
        return ""
    first = tuple(int(i) for i in np.argwhere(~np.atleast_1d(right))[0])
    place = f" at {list(first)}" if value.ndim else ""
    return (
        f"{int((~right).sum())} of {right.size} values differ; expected{place} {np.atleast_1d(value)[first]:.6g}, "
        f"got {np.atleast_1d(have)[first]:.6g}"
    )


def _between(have: np.ndarray, want: Between) -> str:
    shape = np.broadcast(np.asarray(want.low), np.asarray(want.high)).shape
    if have.dtype.kind not in "fiub" or have.shape != shape:
        return f"expected numbers of shape {shape}, got {have.dtype} of shape {have.shape}"
    have = have.astype(np.float64)
    if not np.isfinite(have).all():
        return "not finite"
    outside = ~((have >= want.low) & (have <= want.high))  # so that a NaN is outside
    if not outside.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(np.atleast_1d(outside))[0])
    low, high = (np.atleast_1d(np.broadcast_to(bound, shape))[first] for bound in (want.low, want.high))
    return f"expected {low:.4g} to {high:.4g}, got {np.atleast_1d(have)[first]:.4g}"
