"""Grade a class: from a folder of submissions to scores, evidence, feedback and a summary."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit import files
from labkit.grading import feedback, overview, records, reports, similar
from labkit.grading.backends import BACKENDS, Limits
from labkit.grading.ingest import Submission, ingest
from labkit.grading.marks import read, template
from labkit.grading.parts import parts_of
from labkit.grading.source import Source, read_source
from labkit.grading.standing import answer
from labkit.grading.tasks import Task, connected, in_parallel, limits_of
from labkit.handout.release import release

STATE = "grading.json"
KINDS = {"score": "exercises", "rerun": "rerun"}  # kind of work -> where its result is in a record


NO_ANSWER = (0.0, "no answer")  # what the template of hand marks holds where nothing was written


class CannotGrade(ValueError):
    """Grading can't begin; nothing has been written."""


@dataclass(frozen=True)
class Options:
    """How to grade. due: what comes later is late. seed: of the hidden inputs, None for one drawn now."""

    jobs: int = 1
    backend: str = "bwrap"
    rerun: bool = True
    resume: bool = False
    ids: Path | None = None
    hand_marks: Path | None = None
    scheduler: str | None = None
    due: datetime | None = None
    seed: int | None = None
    exercise_seconds: float | None = None
    lab_seconds: float | None = None
    models: bool = False

    def limits(self, kind: str) -> Limits:
        """What a task of this kind may use."""
        return limits_of(kind, self.exercise_seconds if kind == "score" else self.lab_seconds)


def grade(
    notebook: Path, submissions: Path, out: Path, options: Options, say: Callable[[str], None] = lambda line: None
) -> list[dict[str, Any]]:
    """Grade all submissions of a lab and write everything to `out`; gives the records, sorted by student.

    Each result is on disk as soon as it is there: after an interruption `resume` goes on. Hidden inputs are the same for
    all students, and drawn anew for each grading; the seed is kept in `out`.

    Raises:
        CannotGrade, NoSandbox, NotASource, LookupError, ValueError: it can't begin; the message says what to do.
        OSError: a file can't be read or written.
    """
    backend = BACKENDS[options.backend]
    backend.require()
    source = read_source(notebook)
    parts = parts_of(source.topic)
    if missing := [each.grade_id for each in source.exercises if each.grade_id not in parts.exercises]:
        raise CannotGrade(f"no inputs are known for {', '.join(missing)}: add them to labkit/grading/inputs/{source.topic}.py")
    options = _resumed(out, options)
    if options.scheduler:
        _reach(options.scheduler)
    handed_in = ingest(submissions, source, ids=options.ids, due=options.due)
    by_hand = options.hand_marks or out / "hand_marks.csv"
    marks = read(by_hand, source) if options.hand_marks or by_hand.is_file() else {}
    answered = {(each.student, name) for each in handed_in for name in each.cells or () if _answered(each, name, source)}
    marks = {key: mark for key, mark in marks.items() if key not in answered or tuple(mark) != NO_ANSWER}
    state = _state(out, source, options)
    folder = tempfile.mkdtemp(prefix="labkit-release-") if options.scheduler is None else str(out.absolute() / ".release")
    known = {submission.student: records.begin(submission, source) for submission in handed_in}
    marks = _unanswered(known.values(), source) | marks
    try:
        release([notebook], Path(folder) / "student")
        _carry_over(known, source, state["seed"], out, options)
        for kind in KINDS if options.rerun else ("score",):
            _do(kind, known, source, state, out, str(Path(folder) / "student"), options, say)
            _report(known, source, marks, out, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [known[student] for student in sorted(known)]


def _reach(scheduler: str) -> None:
    """See that the cluster answers, before anything is written.

    Raises:
        CannotGrade: it does not, or `distributed` is not installed.
    """
    try:
        connected(scheduler).close()
    except (ConnectionError, ModuleNotFoundError) as error:
        raise CannotGrade(str(error)) from error


def _given(options: Options) -> dict[str, Any]:
    """What must be the same when grading is resumed, since marks, names or lateness depend on it; as JSON values."""
    return {
        "ids": str(options.ids.absolute()) if options.ids else None,
        "due": options.due.isoformat() if options.due else None,
        "exercise-timeout": options.exercise_seconds,
        "lab-timeout": options.lab_seconds,
    }


def _resumed(out: Path, options: Options) -> Options:
    """Options with what the earlier run in this folder was given, where nothing else is given now."""
    if not options.resume or not (out / STATE).is_file():
        return options
    old = json.loads((out / STATE).read_text(encoding="utf-8")).get("options", {})
    return replace(
        options,
        ids=options.ids or (Path(old["ids"]) if old.get("ids") else None),
        due=options.due or (datetime.fromisoformat(old["due"]) if old.get("due") else None),
        exercise_seconds=options.exercise_seconds or old.get("exercise-timeout"),
        lab_seconds=options.lab_seconds or old.get("lab-timeout"),
    )


def _unanswered(known: Iterable[Mapping[str, Any]], source: Source) -> dict[tuple[str, str], tuple[float, str]]:
    """Marks for the questions below which nothing stands, as the template of hand marks has them."""
    readable = [record for record in known if _readable(record)]
    return {
        (record["student"], question.grade_id): NO_ANSWER
        for record in readable
        for question in source.questions
        if not answer(record, question)
    }


def _answered(submission: Submission, name: str, source: Source) -> bool:
    """Whether something stands in an answer by now."""
    stub = next((each.stub for each in source.questions if each.grade_id == name), None)
    return stub is not None and submission.cells is not None and submission.cells[name].strip() not in ("", stub.strip())


def _state(out: Path, source: Source, options: Options) -> dict[str, Any]:
    """What an earlier run in this folder left, or a new state.

    Raises:
        CannotGrade: the folder holds another lab's grading, or one that nobody asked to resume.
    """
    path = out / STATE
    if path.is_file():
        state = json.loads(path.read_text(encoding="utf-8"))
        if state.get("lab") != source.lab:
            raise CannotGrade(f"{out} holds the grading of {state.get('lab')}: give another folder")
        if not options.resume:
            raise CannotGrade(f"{out} holds a grading already: --resume goes on with it, or give another folder")
        for name, value in _given(options).items():
            if value not in (None, state.get("options", {}).get(name)):
                raise CannotGrade(
                    f"{out} was begun with {name} {state['options'].get(name)}: leave it away, or give another folder"
                )
        if options.seed not in (None, state["seed"]):
            raise CannotGrade(f"{out} was graded with seed {state['seed']}: leave --seed away, or give another folder")
        return state
    if out.is_dir() and any(out.iterdir()):
        raise CannotGrade(f"{out} is not empty and holds no grading: give another folder")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    state = {
        "lab": source.lab,
        "seed": seed,
        "options": _given(options),
        "backend": options.backend,
        "isolated": BACKENDS[options.backend].isolated,
    }
    out.mkdir(parents=True, exist_ok=True)
    files.write_text(path, json.dumps(state, indent=1, sort_keys=True) + "\n")
    return state


def _do(
    kind: str,
    known: dict[str, dict[str, Any]],
    source: Source,
    state: Mapping[str, Any],
    out: Path,
    release_folder: str,
    options: Options,
    say: Callable[[str], None],
) -> None:
    """Do what is left of one kind of work, and keep each result at once."""
    left = [record for record in known.values() if _readable(record) and kind not in record["keys"]]
    tasks = [
        Task(
            kind,
            record["student"],
            source,
            record["code"],
            state["seed"],
            options.backend,
            release_folder,
            options.limits(kind),
        )
        for record in left
    ]
    started, words = time.monotonic(), "scored" if kind == "score" else "executed"
    for done, (task, result) in enumerate(in_parallel(tasks, jobs=options.jobs, scheduler=options.scheduler), 1):
        record = known[task.student]
        record.update(result)
        if not _lost(result):
            record["keys"][kind] = record["wanted"][kind]
        records.save(out, records.settle(record))
        seconds = (time.monotonic() - started) / done * (len(tasks) - done)
        say(f"{done}/{len(tasks)} {words}: {task.student}" + (f", {seconds:.0f} s left" if seconds >= 1 else ""))


def _carry_over(known: Mapping[str, dict[str, Any]], source: Source, seed: int, out: Path, options: Options) -> None:
    """Say what each result of each record depends on, and take over those of an earlier run that depend on the same."""
    settings = {kind: f"{options.backend} {options.limits(kind)}" for kind in KINDS}
    ground = records.ground(source, seed, settings)
    for student, record in known.items():
        record["wanted"] = records.keys(record, ground)
        old = records.load(out, student) if options.resume else {}
        for kind, what in KINDS.items():
            if _readable(record) and old.get("keys", {}).get(kind) == record["wanted"][kind]:
                record[what], record["keys"][kind] = old[what], record["wanted"][kind]
        records.save(out, records.settle(record))


def _readable(record: Mapping[str, Any]) -> bool:
    return record["status"] not in ("missing", "unreadable")


def _lost(result: Mapping[str, Any]) -> bool:
    """Whether a result is nobody's but ours, to be worked out again when resumed."""
    if "rerun" in result:
        return result["rerun"]["status"] == "infrastructure"
    return any(each["status"] == "infrastructure" for each in result["exercises"])


def _report(known: Mapping[str, dict[str, Any]], source: Source, marks: Mapping[Any, Any], out: Path, options: Options) -> None:
    """Write all reports; scores.csv last, since it vouches for the others."""
    rows = [known[student] for student in sorted(known)]
    for record in rows:
        page = feedback.page(record, source, marks, models=options.models)
        files.write_text(out / "feedback" / f"{records.slug(record['student'])}.html", page)
    hints: Sequence[Any] = ()
    (out / "similarity.txt").unlink(missing_ok=True)
    try:
        hints = similar.hints({row["student"]: row["code"] for row in rows if row["code"]}, source)
    except ImportError as error:
        files.write_text(out / "similarity.txt", f"no hints on similar code: {error}\n")
    files.write_text(out / "summary.html", overview.summary(rows, source, marks, hints))
    files.write_text(out / "hand_marking.html", overview.hand_marking(rows, source))
    if not (out / "hand_marks.csv").is_file():  # somebody may be filling it in
        files.write_text(out / "hand_marks.csv", template(rows, source))
    files.write_text(out / "scores.csv", reports.scores_csv(rows, source, marks))
