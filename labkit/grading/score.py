"""Score the exercises of one submission, each by itself, in a sandbox that has seen nobody else's."""

from __future__ import annotations

import ast
import base64
import io
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labkit.grading.backends import DESK, Backend, Limits, Place
from labkit.grading.parts import Parts
from labkit.grading.sandbox import Lost, Sandbox
from labkit.grading.source import Exercise, Source
from labkit.grading.wants import Case

START = 180.0  # seconds that the driver may take to import torch on a busy machine
LOST = "not run: "  # how messages begin of what may be tried once more
LONGEST = 100_000  # characters of a cell; the longest solution of the labs has 1,400
DRIVER = "import sys; sys.path.insert(0, sys.argv[2]); from labkit.adapters.driver import main; main(*sys.argv[1:])"
#: what became of an exercise; `infrastructure` is nobody's fault but ours, and is never scored
STATUSES = ("right", "wrong", "blank", "timeout", "out of memory", "dead", "bad artefact", "infrastructure")


@dataclass
class CaseResult:
    """One case: right, or what is wrong with it."""

    name: str
    weight: float
    right: bool
    fault: str = ""
    self_reported: bool = False


@dataclass
class Scored:
    """One exercise: its status, its marks (None where it could not be scored), and its cases."""

    grade_id: str
    status: str
    points: float
    marks: float | None
    message: str = ""
    cases: list[CaseResult] = field(default_factory=list)
    log: str = ""  # the end of what the student's code printed; for the instructor alone

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def score(
    source: Source, taken: Mapping[str, str], parts: Parts, *, seed: int, backend: Backend, release: Path, limits: Limits
) -> list[Scored]:
    """Score every exercise of a submission, in the notebook's order; `taken` maps grade_id to what the student wrote.

    A sandbox that is lost is started anew for the exercises that are left; one that can't be used is tried once more.
    """
    results: dict[str, Scored] = {}
    together: list[Exercise] = []
    apart: list[Exercise] = []
    written = {name: tidy(text) for name, text in taken.items()}
    preludes = {}
    before: set[str] = set()  # exercises that are scored by the time that this one is
    for exercise in source.exercises:
        before.add(exercise.grade_id)
        early = _without_running(exercise, written.get(exercise.grade_id))
        if early is not None:
            results[exercise.grade_id] = early
            continue
        preludes[exercise.grade_id] = source.prelude(exercise, written[exercise.grade_id])
        (together if source.lent(preludes[exercise.grade_id]) <= before else apart).append(exercise)
    with tempfile.TemporaryDirectory(prefix="labkit-inputs-") as folder:
        given = Path(folder)
        given.chmod(0o755)
        cases = {exercise.grade_id: parts.cases(exercise.grade_id, exercise.name, seed) for exercise in [*together, *apart]}
        for exercise in [*together, *apart]:
            for i, case in enumerate(cases[exercise.grade_id]):
                np.savez(given / f"{exercise.grade_id}-{i}.npz", **dict[str, Any](case.inputs))
        job = _Job(source, written, preludes, cases, parts, backend, release, given, limits)
        # what is lent a solution to an exercise that is not scored yet is alone in its sandbox, so that it can't pass it on
        for waiting in [together, *([exercise] for exercise in apart)]:
            tries = 0
            while waiting and tries < 3:
                tries += 1
                for scored in job.score(waiting):
                    results[scored.grade_id] = scored
                    if scored.status != "infrastructure":
                        tries = 0
                waiting = [each for each in waiting if results[each.grade_id].message.startswith(LOST)]
    return [results[exercise.grade_id] for exercise in source.exercises]


def tidy(written: str) -> str:
    """A cell without the lines that only Jupyter understands (`%time`, `!ls`), if it is Python without them."""
    if len(written) > LONGEST or _is_python(written):
        return written
    lines = [re.sub(r"^(\s*)[%!?].*$", r"\1pass", line) for line in written.split("\n")]
    return "\n".join(lines) if _is_python("\n".join(lines)) else written


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _without_running(exercise: Exercise, written: str | None) -> Scored | None:
    """The result of an exercise that need not run: blank, far too long, or no Python."""
    if written is None or not written.strip() or written.strip() == exercise.stub.strip():
        words = "the exercise's cell is not in the notebook" if written is None else "not written yet"
        return Scored(exercise.grade_id, "blank", exercise.points, 0.0, words)
    if len(written) > LONGEST:
        words = f"the cell has {len(written)} characters; at most {LONGEST} are read"
        return Scored(exercise.grade_id, "wrong", exercise.points, 0.0, words)
    try:
        ast.parse(written)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Scored(exercise.grade_id, "wrong", exercise.points, 0.0, f"the cell is no Python: {error}")
    return None


@dataclass(frozen=True)
class _Job:
    """The exercises of one submission, and where they are to run."""

    source: Source
    written: Mapping[str, str]
    preludes: Mapping[str, list[str]]
    cases: Mapping[str, list[Case]]
    parts: Parts
    backend: Backend
    release: Path
    given: Path
    limits: Limits

    def score(self, waiting: list[Exercise]) -> list[Scored]:
        """Score as many of these as one sandbox lives for; what is left of them then is 'infrastructure'."""
        done: list[Scored] = []
        place = Place({"/lab/release": self.release, "/lab/inputs": self.given}, self.limits)
        namespace = Path("/proc/self/ns/pid")
        outside = str(namespace.readlink()) if namespace.exists() else "none"
        words = "the sandbox was lost before"
        try:
            with Sandbox(self.backend, DRIVER, ["/lab/release", DESK, "/lab/inputs", outside], place) as sandbox:
                sandbox.answer(START)
                for exercise in waiting:
                    try:
                        answer = sandbox.ask(self._question(exercise), self.limits.seconds + 30)
                    except Lost as lost:
                        done.append(_lost(exercise, self.cases[exercise.grade_id], lost, self.limits))
                        break
                    done.append(self._judged(exercise, answer))
        except Lost as lost:
            words = f"the sandbox did not start: {lost}"
        except OSError as error:
            words = f"the sandbox can't be used: {error}"
        left = [each for each in waiting if each.grade_id not in {scored.grade_id for scored in done}]
        return [*done, *(Scored(each.grade_id, "infrastructure", each.points, None, LOST + words) for each in left)]

    def _question(self, exercise: Exercise) -> dict[str, Any]:
        name = exercise.grade_id
        return {
            "source": self.written[name],
            "prelude": self.preludes[name],
            "name": exercise.name,
            "adapters": self.parts.adapters,
            "calls": [[case.adapter, f"{name}-{i}.npz"] for i, case in enumerate(self.cases[name])],
            "limits": asdict(self.limits),
        }

    def _judged(self, exercise: Exercise, answer: Mapping[str, Any]) -> Scored:
        scored = judged(exercise, self.cases[exercise.grade_id], answer, self.parts, self.limits)
        if self.source.lent(self.preludes[exercise.grade_id]):  # words of the student's choice could carry a solution out
            for case in scored.cases:
                case.fault = case.fault.partition(":")[0][:60]
        return scored


def _lost(exercise: Exercise, cases: list[Case], lost: Lost, limits: Limits) -> Scored:
    status = {"timeout": "timeout", "memory": "out of memory", "flood": "bad artefact"}.get(lost.reason, "dead")
    results = [CaseResult(case.name, case.weight, False, "no result", case.self_reported) for case in cases]
    return Scored(exercise.grade_id, status, exercise.points, 0.0, f"the sandbox was lost: {lost}", results)


def judged(exercise: Exercise, cases: list[Case], answer: Mapping[str, Any], parts: Parts, limits: Limits) -> Scored:
    """What the driver's answer on one exercise is worth. Whatever the inside sent, this does not raise."""
    try:
        prepared, calls = bool(answer["prepared"]), list(answer["calls"])
        reason, log = str(answer["reason"]), str(answer["log"])
        code, killed = answer.get("exit"), answer.get("signal")
    except (KeyError, TypeError):
        return _lost(exercise, cases, Lost("flood", "what came is no answer"), limits)
    if not prepared and not reason:
        return Scored(exercise.grade_id, "infrastructure", exercise.points, None, f"the set-up failed: {log[-300:]}", [], log)
    results, bad, blank, starved = [], "", 0, False
    for i, case in enumerate(cases):
        call = calls[i] if i < len(calls) and isinstance(calls[i], dict) else {}
        fault = ""
        if "arrays" in call:
            try:
                fault = parts.fault(case, arrays_of(call["arrays"], limits.output))
            except BadArtefact as error:
                fault = bad = str(error)
        elif "error" in call:
            fault = str(call["error"])[:500]
            blank += fault == "NotImplementedError"
            starved |= fault.startswith("MemoryError") or "can't allocate memory" in fault or "not enough memory" in fault
        elif "large" in call:
            fault = bad = f"what came back has {call['large']} bytes"
        else:
            fault = "no result"
        results.append(CaseResult(case.name, case.weight, not fault, fault, case.self_reported))
    got, total = sum(case.weight for case in results if case.right), sum(case.weight for case in results)
    status, message = "right" if got == total else "wrong", ""
    if reason == "timeout":
        status, message = "timeout", f"still running after {limits.seconds:g} s"
    elif reason == "memory" or starved:
        status, message = "out of memory", f"more than {limits.memory / 2**30:.1f} GiB of memory"
    elif reason == "processes":
        status, message = "dead", f"stopped: more than {limits.processes} processes"
    elif killed == 25:  # SIGXFSZ
        status, message = "dead", f"stopped: wrote more than {limits.output / 2**20:.0f} MiB"
    elif killed or code:
        status, message = "dead", f"its process {f'was killed by signal {killed}' if killed else f'ended with code {code}'}"
    elif any(case.fault == "no result" for case in results):
        status, message = "dead", "its process ended before it was asked for results"
    elif bad:
        status, message = "bad artefact", bad
    elif blank == len(cases):
        status, message = "blank", "not written yet"
    return Scored(exercise.grade_id, status, exercise.points, round(exercise.points * got / total, 2), message, results, log)


class BadArtefact(ValueError):
    """What came out of the sandbox is not what an adapter returns."""


def arrays_of(encoded: Any, most: int) -> dict[str, np.ndarray]:
    """Arrays of numbers from an npz file in base64; nothing in it is executed, and it may not swell beyond `most` bytes.

    Raises:
        BadArtefact: it is something else.
    """
    try:
        raw = base64.b64decode(encoded, validate=True)
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            inside = archive.infolist()
            if len(inside) > 64 or sum(info.file_size for info in inside) > most:
                raise BadArtefact("what came back is too large")
            if any(not info.filename.endswith(".npy") or info.compress_type != zipfile.ZIP_STORED for info in inside):
                raise BadArtefact("what came back is no file of arrays")
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            arrays = {str(name)[:100]: np.asarray(file[name]) for name in file.files}
    except BadArtefact:
        raise
    except Exception as error:
        raise BadArtefact(f"what came back is no file of arrays ({type(error).__name__})") from error
    if any(array.dtype.kind not in "fiub" for array in arrays.values()):
        raise BadArtefact("what came back holds something else than numbers")
    return arrays
