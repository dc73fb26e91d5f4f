"""What a run of the benchmarks has measured: kept as raw times, judged when read, stored as JSON."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rows import ROWS, Row

from labkit.files import write_text

NOT_RUN = "its benchmark was not run or ended before it was measured"
COMMAND = ".venv/bin/pytest tests/benchmarks -m benchmark -s"


@dataclass
class Measured:
    """What is known of a row: times (s) of both sides by turn, or `values` in the row's unit, or `why` there is nothing."""

    row: Row
    slow: list[float] = field(default_factory=list)
    fast: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    note: str = ""
    why: str = ""

    @property
    def each(self) -> list[float]:
        """What each repeat gave by itself, in the row's unit."""
        return self.values or [a / b for a, b in zip(self.slow, self.fast, strict=True)]

    @property
    def best(self) -> float:
        """Ratio of the best times of both sides, or the least of the values: a busy moment makes neither better."""
        return min(self.values) if self.values else min(self.slow) / min(self.fast)

    @property
    def median(self) -> float:
        """Ratio of the median times of both sides, or the median of the values."""
        return statistics.median(self.values) if self.values else statistics.median(self.slow) / statistics.median(self.fast)

    @property
    def judged(self) -> float:
        """What is compared with the target: the better of `best` and `median`."""
        return (max if self.row.at_least else min)(self.best, self.median)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if nothing is measured or nothing is promised."""
        if not self.each or self.row.target is None:
            return None
        return self.judged >= self.row.target if self.row.at_least else self.judged <= self.row.target


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Record:
    """The rows of one run, in the order of `ROWS`; those that nothing was said of count as not measured."""

    def __init__(self, rows: Sequence[Row] = ROWS, *, machine: dict[str, Any] | None = None) -> None:
        self.measured = {row.key: Measured(row, why=row.why or NOT_RUN) for row in rows}
        self.machine = machine or {}

    def ratio(self, key: str, slow: Callable[[], Any], fast: Callable[[], Any], *, repeats: int) -> float:
        """Time both in turns, so that a busy moment strikes both; return what is compared with the target."""
        found = self.measured[key] = Measured(self.measured[key].row)
        for _ in range(repeats):
            found.slow.append(timed(slow))
            found.fast.append(timed(fast))
        return found.judged

    def value(self, key: str, values: Sequence[float], *, note: str = "") -> None:
        """Keep what was measured, in the row's unit."""
        self.measured[key] = Measured(self.measured[key].row, values=list(values), note=note)

    def lacks(self, key: str, why: str) -> None:
        """Say why a row is not measured."""
        self.measured[key] = Measured(self.measured[key].row, why=why)

    @property
    def whole(self) -> bool:
        """Whether each row is measured or says why not."""
        return all(found.why != NOT_RUN for found in self.measured.values())

    def save(self, path: Path) -> None:
        """Write raw times and, for readers of the file, what follows from them."""
        rows = []
        for found in self.measured.values():
            row = found.row
            entry: dict[str, Any] = {"key": row.key, "what": row.what, "plain": row.plain, "unit": row.unit}
            entry |= {"target": row.target, "at_least": row.at_least, "met": found.met, "note": found.note, "why": found.why}
            if found.each:
                entry |= {"best": found.best, "median": found.median, "low": min(found.each), "high": max(found.each)}
            rows.append(entry | {"slow": found.slow, "fast": found.fast, "values": found.values})
        content = {"machine": self.machine, "whole": self.whole, "rows": rows}
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> Record:
    """Read a record of a whole run; only raw times are taken from it, the rest is worked out anew.

    Raises:
        ValueError: the file is missing, no record, or not of a whole run.
    """
    again = f"run all benchmarks first: {COMMAND}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = Record(machine=content["machine"])
        for entry in content["rows"]:
            parts = {name: entry[name] for name in ("slow", "fast", "values", "note", "why")}
            record.measured[entry["key"]] = Measured(record.measured[entry["key"]].row, **parts)
    except OSError as error:
        raise ValueError(f"{path} can't be read ({error.strerror}): {again}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no record of today's rows ({error!r}): {again}") from None
    if not record.whole:
        lacking = [key for key, found in record.measured.items() if found.why == NOT_RUN]
        raise ValueError(f"{path} is of a part of the benchmarks ({', '.join(lacking)} not run): {again}")
    return record


def this_machine() -> dict[str, Any]:
    """Cores that this process may use, the load before anything is measured, versions and date."""
    import platform
    from datetime import date

    import psutil
    import torch

    allowed = getattr(os, "sched_getaffinity", None)
    cores = len(allowed(0)) if allowed else os.cpu_count()
    versions = {"system": platform.system(), "python": platform.python_version(), "torch": torch.__version__}
    return {"cores": cores, "load": round(psutil.getloadavg()[0], 1), "date": date.today().isoformat(), **versions}
