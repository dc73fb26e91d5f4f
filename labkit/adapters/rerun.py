"""The process inside the sandbox that executes a whole notebook: kernel and all in one place, so that nothing outlives it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any


def main(channel: str, release: str, desk: str) -> None:
    """Read one line, {'notebook', 'cell_timeout', 'lab_timeout', 'limits'}, execute, and answer with one line.

    channel: see `labkit.adapters.driver.lines`. release: the student's folder, read-only. desk: a folder to write in; a
    workbook is laid out there whose data and expectations are links into the release.
    """
    import nbformat

    from labkit.adapters.driver import lines
    from labkit.book.execute import find_results
    from labkit.book.worker import execute

    questions, answers = lines(channel)
    job = json.loads(questions.readline())
    folder = _workbook(Path(release), Path(desk))
    _confine(job["limits"])
    os.environ.update({"LABKIT_HOME": str(folder.parent), "PYTHONPATH": release, "IPYTHONDIR": str(Path(desk) / "ipython")})
    os.environ["JUPYTER_RUNTIME_DIR"] = desk
    notebook = nbformat.from_dict(job["notebook"])
    for cell in notebook.cells:
        cell["source"] = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    limits = {name: job[name] for name in ("cell_timeout", "lab_timeout")}
    started = time.monotonic()
    report = asyncio.run(execute({**limits, "folder": str(folder)}, notebook, Path(desk)))
    failed = report["failed"]
    results = find_results(notebook) or {}
    answer: dict[str, Any] = {
        "status": report["status"],
        "message": str(report["message"])[:2000],
        "cell": notebook.cells[failed].get("id", "") if failed is not None else "",
        "seconds": time.monotonic() - started,
        "nonce": job["nonce"],
        "claims": {str(row.get("id")): row.get("verdict") for row in results.get("claims", [])},
    }
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()
    os._exit(0)  # whatever cells left running


def _workbook(release: Path, desk: Path) -> Path:
    """A workbook at the desk: labs write their runs there, and find the rest in the release. Gives its notebooks folder."""
    home = desk / "workbook"
    for name in ("notebooks", "data"):
        (home / name).mkdir(parents=True)
    (home / "notebooks" / "expected.toml").symlink_to(release / "notebooks" / "expected.toml")
    for name in ("weights", "README.md"):
        (home / "data" / name).symlink_to(release / "data" / name)
    return home / "notebooks"


def _confine(limits: dict[str, Any]) -> None:
    """Limits of each process, as far as the system knows them; the kernel inherits them."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    for what, value in (
        (resource.RLIMIT_DATA, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))
