"""Execute the rebuilt notebook of a submission from top to bottom in the sandbox."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from labkit.grading.backends import DESK, Backend, Limits, Place
from labkit.grading.sandbox import Lost, Sandbox
from labkit.grading.source import Source

CODE = "import sys; sys.path.insert(0, sys.argv[2]); from labkit.adapters.rerun import main; main(*sys.argv[1:])"
#: what a whole lab may use
WHOLE = Limits(seconds=1800.0, memory=6 * 2**30, processes=128, output=4 * 2**20, disk=2**30)
START = 120.0  # seconds beyond the lab's limit in which the kernel starts and ends


@dataclass
class Rerun:
    """What came of a notebook: 'ok', 'error', 'timeout', 'out of memory', 'dead', 'infrastructure', or 'not run'."""

    status: str
    message: str = ""
    cell: str = ""  # id of the cell at which it stopped
    minutes: float = 0.0
    claims: dict[str, Any] = field(default_factory=dict)  # verdicts as the student's kernel reported them

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def rerun(
    source: Source,
    taken: Mapping[str, str],
    *,
    backend: Backend,
    release: Path,
    limits: Limits = WHOLE,
    cell_timeout: float = 600.0,
) -> Rerun:
    """Execute our notebook with a student's exercises in it; `limits.seconds` is for the whole notebook."""
    place = Place({"/lab/release": release}, limits, {"LABKIT_PROFILE": "tiny"})
    job = {
        "notebook": source.rebuilt(taken),
        "cell_timeout": cell_timeout,
        "lab_timeout": limits.seconds,
        "limits": asdict(limits),
    }
    try:
        with Sandbox(backend, CODE, ["/lab/release", DESK], place) as sandbox:
            answer = sandbox.ask(job, limits.seconds + START)
    except Lost as lost:
        status = {"timeout": "timeout", "memory": "out of memory"}.get(lost.reason, "dead")
        return Rerun(status, f"the sandbox was lost: {lost}")
    except OSError as error:
        return Rerun("infrastructure", f"the sandbox can't be used: {error}")
    ended = answer.get("status")
    claims = answer.get("claims")
    try:
        minutes = round(float(answer["seconds"]) / 60, 2)
    except (KeyError, TypeError, ValueError, OverflowError):
        minutes = 0.0
    return Rerun(
        str(ended) if ended in ("ok", "error", "timeout", "dead") else "dead",
        str(answer.get("message", ""))[:2000],
        str(answer.get("cell", ""))[:100],
        minutes if math.isfinite(minutes) else 0.0,
        {str(name)[:100]: str(verdict)[:40] for name, verdict in claims.items()} if isinstance(claims, dict) else {},
    )
