"""Arrays in and out of a case: what an adapter returned as plain arrays, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def plain(returned: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What an adapter returned as arrays of numbers or booleans; a tensor's graph goes.

    Raises:
        TypeError: a value is no array, tensor or number.
    """
    arrays = {}
    for name, value in returned.items():
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().resolve_conj().resolve_neg().numpy()
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(value, dtype=object)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name}: expected numbers, got {type(value).__name__} of {array.dtype}")
        arrays[name] = array
    return arrays
