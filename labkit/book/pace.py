"""How long labs will take: which to begin with, and when all will be done."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.book import state

CELL = 2.0  # seconds a code cell, where no lab has ever been measured
OVERDUE = 0.1  # a lab that runs longer than it should is given this share of its time again


def estimates(notebooks: Sequence[Path], *, profile: str, out: Path) -> dict[str, float]:
    """Estimate the seconds of each lab, by name: as last measured in `out`, else as expected.toml says, else by its cells."""
    known = {path.stem: seconds for path in notebooks if (seconds := _measured(path.stem, profile, out))}
    cells = {path.stem: _code_cells(path) for path in notebooks}
    each = sum(known.values()) / sum(cells[lab] for lab in known) if known else CELL
    return {lab: known.get(lab) or each * cells[lab] for lab in cells}


def _measured(lab: str, profile: str, out: Path) -> float | None:
    from labkit.ledger import Expected

    old = state.load(out, lab)
    if old and old.profile == profile and old.status == "ok":
        return old.seconds
    try:
        minutes = Expected(lab, profile).minutes
    except (OSError, ValueError):  # the lab itself will say what is wrong with the file
        return None
    return 60 * minutes if minutes else None


def _code_cells(path: Path) -> int:
    """Count code cells; 1 at least, also of a file that is no notebook."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return max(1, sum(cell["cell_type"] == "code" for cell in cells))
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def remaining(
    expected: Mapping[str, float],
    *,
    finished: Mapping[str, float],
    running: Mapping[str, float],
    waiting: Sequence[str],
    workers: int,
) -> float:
    """Estimate the seconds until all labs are done, when each worker takes the next of `waiting` as soon as it is free.

    expected: seconds by lab, as `estimates` gives them.
    finished: seconds that labs took: all others are taken to be that much faster or slower than expected.
    running: seconds that labs have run so far.
    """
    due = sum(expected[lab] for lab in finished)
    factor = sum(finished.values()) / due if due else 1.0
    free = [max(factor * expected[lab] - spent, OVERDUE * spent) for lab, spent in running.items()]
    free += [0.0] * (workers - len(free))
    heapq.heapify(free)
    for lab in waiting:
        heapq.heappush(free, heapq.heappop(free) + factor * expected[lab])
    return max(free)
