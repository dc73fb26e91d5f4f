"""Pieces of work that a local process or a worker of a cluster does, and who does them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.grading.backends import BACKENDS, Limits
from labkit.grading.rerun import WHOLE, Rerun, rerun
from labkit.grading.score import Scored, score
from labkit.grading.source import Source


@dataclass(frozen=True)
class Task:
    """Score the exercises of one submission ('score'), or execute its notebook ('rerun').

    release: the student's folder that the sandbox shows, on a file system that the worker sees, too.
    """

    kind: str
    student: str
    source: Source
    taken: Mapping[str, str]
    seed: int
    backend: str
    release: str
    limits: Limits


def work(task: Task) -> dict[str, Any]:
    """Do a task: {'exercises': [...]} or {'rerun': {...}}. What goes wrong on our side becomes 'infrastructure'."""
    from labkit.grading.parts import parts_of

    try:
        if not (Path(task.release) / "labkit").is_dir():
            raise FileNotFoundError(f"{task.release} is not seen by this worker: put --out where all see it")
        backend = BACKENDS[task.backend]
        backend.require()
        folder = Path(task.release)
        if task.kind == "rerun":
            done = rerun(task.source, task.taken, backend=backend, release=folder, limits=task.limits)
            return {"rerun": done.plain()}
        parts = parts_of(task.source.topic)
        results = score(task.source, task.taken, parts, seed=task.seed, backend=backend, release=folder, limits=task.limits)
        return {"exercises": [scored.plain() for scored in results]}
    except Exception as error:
        return broken(task, f"{type(error).__name__}: {error}", traceback.format_exc(limit=4))


def broken(task: Task, words: str, log: str = "") -> dict[str, Any]:
    """The result of a task that could not be done: nobody gets 0 for it."""
    if task.kind == "rerun":
        return {"rerun": Rerun("infrastructure", words).plain()}
    left = [Scored(each.grade_id, "infrastructure", each.points, None, words, log=log) for each in task.source.exercises]
    return {"exercises": [scored.plain() for scored in left]}


def in_parallel(tasks: Sequence[Task], *, jobs: int, scheduler: str | None = None) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Do all tasks, as they come: on this machine, or on the Dask cluster whose scheduler has this address.

    Raises:
        ConnectionError: no scheduler answers there.
        ModuleNotFoundError: `distributed` is not installed.
    """
    yield from _on_cluster(tasks, scheduler) if scheduler else _here(tasks, jobs)


def _here(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, dict[str, Any]]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    def numbered(i: int, task: Task) -> tuple[int, dict[str, Any]]:
        return i, work(task)

    left = dict(enumerate(tasks))
    try:
        for i, result in Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(
            delayed(numbered)(i, task) for i, task in enumerate(tasks)
        ):
            yield left.pop(i), result
    except BrokenProcessPool as error:  # a process of the grader itself was killed
        for task in left.values():
            yield task, broken(task, f"a grading process was killed, most often for want of memory ({error})")


def connected(scheduler: str) -> Any:
    """A `distributed.Client` of the scheduler at this address; the caller closes it.

    Raises:
        ConnectionError: no scheduler answers there.
        ModuleNotFoundError: `distributed` is not installed.
    """
    from distributed import Client

    try:
        return Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:  # ValueError: no address at all
        raise ConnectionError(f"no Dask scheduler answers at {scheduler}: start one with `dask scheduler` ({error})") from error


def _on_cluster(tasks: Sequence[Task], scheduler: str) -> Iterator[tuple[Task, dict[str, Any]]]:
    from distributed import as_completed

    with connected(scheduler) as client:
        futures = {client.submit(work, task, pure=False): task for task in tasks}
        for future in as_completed(list(futures)):
            task = futures[future]
            yield (
                task,
                future.result() if future.status == "finished" else broken(task, f"a worker was lost: {future.exception()}"),
            )


def limits_of(kind: str, seconds: float | None) -> Limits:
    """Limits of a task of this kind; `seconds` for an exercise or a whole notebook, None for the usual."""
    usual = WHOLE if kind == "rerun" else Limits()
    return usual if seconds is None else Limits(seconds, usual.memory, usual.processes, usual.output, usual.disk)
