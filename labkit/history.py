"""What a training recorded, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor


class History:
    """Sample-weighted means of the recorded terms, one row an epoch: `history["kl"]` is (epochs, *lead).

    Rows are kept on the CPU, so that those of a device and those of a resumed training stack.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[Tensor]] = {}
        self._sums: dict[str, Tensor] = {}
        self._weight: dict[str, int] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._rows:
            raise KeyError(f"no term {name!r} was recorded: there are {', '.join(self._rows) or 'none yet'}")
        return torch.stack(self._rows[name]).numpy()

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
            self._rows.setdefault(name, []).append((total / self._weight[name]).float().cpu())
        self._sums, self._weight = {}, {}

    def cut(self, epochs: int) -> None:
        """Forget everything after the first `epochs` rows."""
        self._rows = {name: rows[:epochs] for name, rows in self._rows.items()}
        self._sums, self._weight = {}, {}

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Closed rows by name."""
        return {name: list(rows) for name, rows in self._rows.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Take over closed rows."""
        self._rows = {name: [row.cpu() for row in rows] for name, rows in state.items()}
