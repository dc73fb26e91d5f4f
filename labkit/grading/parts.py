"""The three parts of a lab's grading: inputs and what is expected (outside), and the adapter that calls (inside)."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from labkit.grading.wants import Case, Wants, fault


@dataclass(frozen=True)
class Parts:
    """Inputs, adapter and expectations of the exercises of one lab; `topic` is the name of its module of checks."""

    topic: str
    exercises: Mapping[str, Callable[[np.random.Generator], list[Case]]]
    expected: ModuleType
    adapters: str  # name of the module that runs inside; nothing outside imports it

    def cases(self, exercise: str, name: str, seed: int) -> list[Case]:
        """The cases of an exercise (its grade_id; `name` is the function that it asks for), the same for the same seed.

        Raises:
            KeyError: no inputs are known for this exercise.
        """
        rng = np.random.default_rng([seed, zlib.crc32(f"{self.topic} {exercise}".encode())])
        return [
            Case(case.name, dict(case.inputs), case.adapter or name, case.weight, case.self_reported)
            for case in self.exercises[exercise](rng)
        ]

    def fault(self, case: Case, got: Mapping[str, np.ndarray]) -> str:
        """What is wrong with what a case's adapter returned, '' if nothing is."""
        wants: Wants = getattr(self.expected, case.adapter)(**case.inputs)
        return fault(got, wants)


def parts_of(topic: str) -> Parts:
    """The parts of the lab whose checks are `labkit.check.<topic>`.

    Raises:
        LookupError: there are none.
    """
    try:
        inputs: Any = importlib.import_module(f"labkit.grading.inputs.{topic}")
        expected = importlib.import_module(f"labkit.grading.expected.{topic}")
    except ModuleNotFoundError as error:
        raise LookupError(
            f"no inputs and expected values are known for labkit.check.{topic}: "
            f"they belong into labkit/grading/inputs/{topic}.py and labkit/grading/expected/{topic}.py"
        ) from error
    return Parts(topic, inputs.EXERCISES, expected, f"labkit.adapters.{topic}")
