"""Execute notebooks, each in a child process with a kernel of its own that nothing outlives."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.book.processes import MARK, kill_marked
from labkit.machine import KERNEL_ENV

RESULTS_MIME = "application/vnd.labkit.results+json"
GRACE = 15.0  # seconds past the lab limit after which the child, which should have stopped by itself, is killed


@dataclass(frozen=True)
class Job:
    """One notebook to execute: `env` is added to this process's environment; the limits are seconds."""

    path: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cell_timeout: float = 600.0
    lab_timeout: float = 900.0


@dataclass
class Executed:
    """What came of a notebook: it holds the outputs as far as execution got."""

    notebook: Any
    status: str  # 'ok', 'error', 'timeout' or 'dead'
    message: str = ""  # one line on what went wrong
    failed: int | None = None  # index of the cell at which it stopped
    seconds: float = 0.0
    results: dict[str, Any] | None = None  # what the lab's summary handed over, also of a lab that failed in it

    @property
    def where(self) -> str:
        """Name the cell at which execution stopped, as in 'code cell 3 (`x = 1 / 0`)'; '' if it did not."""
        if self.failed is None:
            return ""
        cells = self.notebook.cells[: self.failed + 1]
        number = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells)
        first = next((line.strip() for line in cells[-1].source.splitlines() if line.strip()), "")
        return f"code cell {number} (`{first[:70]}`)"


def run_notebook(path: Path, *, env: Mapping[str, str], cell_timeout: float, lab_timeout: float) -> Executed:
    """Execute one notebook and return what came of it; a notebook that fails is a result, not an exception.

    Args: see `Job`. Each kernel gets one thread (`machine.KERNEL_ENV`) unless `env` says otherwise.

    Raises:
        FileNotFoundError: no such notebook.
    """
    return run_many([Job(Path(path), env, cell_timeout, lab_timeout)], workers=1)[0]


def run_many(
    jobs: Sequence[Job],
    workers: int,
    done: Callable[[Job, Executed], None] | None = None,
    tick: Callable[[Mapping[Path, float], Sequence[Path]], None] | None = None,
) -> list[Executed]:
    """Execute `jobs`, `workers` at a time, and return the results in the order of `jobs`.

    `done(job, executed)` is called as each one ends, and `tick(running, waiting)`, with seconds so far by notebook and the
    notebooks still to come, about once a second. When anything raises here, Ctrl-C included, every child and kernel
    is killed before the exception leaves.

    Raises:
        FileNotFoundError: a notebook isn't there; nothing was started.
        ValueError: workers < 1.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: use at least 1")
    for job in jobs:
        if not job.path.is_file():
            raise FileNotFoundError(f"no notebook at {job.path}")
    waiting = list(enumerate(jobs))
    running: dict[int, _Child] = {}
    results: dict[int, Executed] = {}
    last = -math.inf
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                index, job = waiting.pop(0)
                running[index] = _Child(job)
            for index, child in list(running.items()):
                if child.ended():
                    results[index] = running.pop(index).collect()
                    last = -math.inf
                    if done:
                        done(child.job, results[index])
            now = time.monotonic()
            if tick and running and now - last >= 1:
                last = now
                tick({child.job.path: now - child.started for child in running.values()}, [job.path for _, job in waiting])
            time.sleep(0.05)
    finally:
        for child in running.values():
            child.close()
    return [results[index] for index in range(len(jobs))]


class _Child:
    """A running execution and its scratch folder."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.started = time.monotonic()
        self.mark = uuid.uuid4().hex
        self.folder = tempfile.TemporaryDirectory(prefix="labkit-", ignore_cleanup_errors=True)
        scratch = Path(self.folder.name)
        path = job.path.resolve()
        env = {
            **os.environ,
            **KERNEL_ENV,
            "IPYTHONDIR": str(scratch / "ipython"),  # no start-up files or history of the user's
            "JUPYTER_RUNTIME_DIR": str(scratch),
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYTHONUNBUFFERED": "1",
            **job.env,
            MARK: self.mark,
        }
        for key in ("LABKIT_DATA", "LABKIT_HOME"):  # the child works in the notebook's folder, not in the caller's
            if env.get(key):
                env[key] = str(Path(env[key]).expanduser().resolve())
        order = {
            "path": str(path),
            "folder": str(path.parent),
            "scratch": str(scratch),
            "cell_timeout": job.cell_timeout,
            "lab_timeout": job.lab_timeout,
        }
        with (scratch / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "labkit.book.worker"],
                stdin=subprocess.PIPE,
                bufsize=0,  # what a child that died can't read is not kept, to fail again when the pipe is closed
                stdout=log,
                stderr=log,
                cwd=path.parent,
                env=env,
                start_new_session=True,  # Ctrl-C comes to this process alone, which then ends the others
            )
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once: collect() says so
            self.process.stdin.write(json.dumps(order).encode() + b"\n")

    def ended(self) -> bool:
        late = time.monotonic() - self.started > self.job.lab_timeout + GRACE
        return self.process.poll() is not None or late

    def collect(self) -> Executed:
        """Read what the child left, then remove it and everything that it started."""
        import nbformat

        code = self.process.poll()
        scratch = Path(self.folder.name)
        try:
            if (scratch / "report.json").is_file():
                report = json.loads((scratch / "report.json").read_text(encoding="utf-8"))
                notebook = nbformat.read(scratch / "executed.ipynb", as_version=4)
            else:
                notebook = nbformat.read(self.job.path, as_version=4)
                limit = f"the lab did not stop at its limit of {self.job.lab_timeout:g} s and was killed"
                tail = (scratch / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                ended = f"the process that runs the notebook ended with {code}: {' '.join(tail) or 'no message'}"
                late = code is None
                report = {"status": "timeout" if late else "dead", "message": limit if late else ended, "failed": None}
        finally:
            self.close()
        seconds = time.monotonic() - self.started
        return Executed(notebook, **report, seconds=seconds, results=find_results(notebook))

    def close(self) -> None:
        kill_marked(self.mark, self.process.pid)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self.folder.cleanup()


def find_results(notebook: Any) -> dict[str, Any] | None:
    """Return the bundle that the lab's summary displayed, the last one if there are several."""
    for cell in reversed(notebook.cells):
        for output in reversed(cell.get("outputs", [])):
            bundle = output.get("data", {}).get(RESULTS_MIME)
            if isinstance(bundle, dict):
                return bundle
    return None
