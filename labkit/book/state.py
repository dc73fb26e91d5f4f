"""What the workbook remembers of each lab: enough to write the index and to know what need not run again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.files import write_text

LAST = "last run.json"  # no lab has such a name


@dataclass
class Entry:
    """One lab in the workbook."""

    lab: str
    title: str  # HTML
    plain_title: str
    profile: str
    key: str  # of what the page was made from
    status: str  # 'ok', 'error', 'timeout' or 'dead'
    message: str
    where: str  # the cell at which a failed lab stopped
    seconds: float
    date: str
    thumb: dict[str, Any] | None
    results: dict[str, Any] | None
    stale: bool = False  # notebook or source have changed since; not stored

    @property
    def number(self) -> str:
        """Number of the lab, as in '04'."""
        return self.lab[:2]

    @property
    def line(self) -> str:
        """One line on a failed lab, for a terminal."""
        reason = self.message.strip().splitlines() or ["no reason given"]
        more = f" (and {len(reason) - 1} more lines on its page)" if len(reason) > 1 else ""
        return f"{self.lab}: {self.where + ': ' if self.where else ''}{reason[0]}{more}"


def page_path(out: Path, lab: str) -> Path:
    """Where a lab's page is."""
    return out / f"{lab}.html"


def _path(out: Path, lab: str) -> Path:
    return out / ".state" / f"{lab}.json"


def save(out: Path, entry: Entry) -> None:
    """Write an entry; it is written last of a lab's files, so that it vouches for them."""
    values = asdict(entry)
    del values["stale"]
    write_text(_path(out, entry.lab), json.dumps(values, ensure_ascii=False) + "\n")


def load(out: Path, lab: str) -> Entry | None:
    """Read a lab's entry; None if there is none, no page, or one that can't be read, which counts as none."""
    try:
        entry = Entry(**json.loads(_path(out, lab).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return entry if page_path(out, lab).is_file() else None


def note_run(out: Path, ran: Sequence[str], jobs: int, seconds: float) -> None:
    """Write down how long it took to execute the labs `ran`, `jobs` at a time."""
    write_text(out / ".state" / LAST, json.dumps({"labs": sorted(ran), "jobs": jobs, "seconds": round(seconds, 1)}) + "\n")


def last_run(out: Path) -> dict[str, Any] | None:
    """What `note_run` wrote last, {"labs", "jobs", "seconds"}; None if nothing, or nothing that can be read."""
    try:
        noted = json.loads((out / ".state" / LAST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return noted if isinstance(noted, dict) and set(noted) == {"labs", "jobs", "seconds"} else None


def forget(out: Path, lab: str) -> None:
    """Withdraw an entry before its lab's files are replaced."""
    _path(out, lab).unlink(missing_ok=True)
