"""What is known of each student's submission, as JSON files that outlive an interruption, and what need not be done again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.files import write_text
from labkit.grading.ingest import Submission
from labkit.grading.source import Source


def slug(student: str) -> str:
    """A file name for a student; one that says so if it had to change, so that no two students share one."""
    plain = re.sub(r"[^\w.-]", "_", student, flags=re.ASCII).strip(".")[:80]
    if plain == student:
        return plain
    return f"{plain}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


def path_of(out: Path, student: str) -> Path:
    """Where the evidence on a student lies."""
    return out / "evidence" / f"{slug(student)}.json"


def load(out: Path, student: str) -> dict[str, Any]:
    """The record of a student; empty if there is none that can be read."""
    try:
        found = json.loads(path_of(out, student).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("student") == student else {}


def save(out: Path, record: Mapping[str, Any]) -> None:
    """Write a record, whole or not at all."""
    record = {name: value for name, value in record.items() if name != "wanted"}
    write_text(path_of(out, record["student"]), json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def begin(submission: Submission, source: Source) -> dict[str, Any]:
    """The record of a submission before anything has run."""
    status = "graded" if submission.cells is not None else "missing" if not submission.file else "unreadable"
    cells = dict(submission.cells or {})
    questions = {question.grade_id for question in source.questions}
    return {
        "student": submission.student,
        "lab": source.lab,
        "status": status,
        "message": submission.fault,
        "submission": {
            "file": submission.file,
            "submitted": submission.submitted.isoformat() if submission.submitted else None,
            "late": submission.late,
            "superseded": list(submission.superseded),
            "notes": list(submission.notes),
        },
        "exercises": [],
        "rerun": None,
        "code": {name: text for name, text in cells.items() if name not in questions},
        "answers": {name: text for name, text in cells.items() if name in questions},
        "keys": {},
    }


def ground(source: Source, seed: int, settings: Mapping[str, str]) -> dict[str, str]:
    """What the results of all records depend on, as hashes by kind of work.

    Scores depend on the exercises, the grader and the seed; an execution on the notebook and on labkit without its checks
    and grading: who mends a check or an expected value grades again, but need not execute again. settings: limits, by kind.
    """
    import labkit

    package = Path(labkit.__file__).parent
    found = {"score": hashlib.sha256(str(seed).encode()), "rerun": hashlib.sha256()}
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).parts[0]
        if part in ("grading", "adapters"):
            _add(found["score"], path.read_bytes())
        elif part not in ("check", "book", "handout", "cli.py", "course.py"):
            _add(found["rerun"], path.read_bytes())
    for kind, digest in found.items():
        _add(digest, json.dumps(source.notebook, sort_keys=True).encode())
        _add(digest, settings[kind].encode())
    return {kind: digest.hexdigest() for kind, digest in found.items()}


def keys(record: Mapping[str, Any], ground: Mapping[str, str]) -> dict[str, str]:
    """The same for one record, with what the student wrote: a result with the same key need not be worked out again."""
    code = json.dumps(record["code"], sort_keys=True)
    return {kind: hashlib.sha256(f"{digest} {code}".encode()).hexdigest() for kind, digest in ground.items()}


def _add(digest: Any, part: bytes) -> None:
    digest.update(len(part).to_bytes(8, "big") + part)


def settle(record: dict[str, Any]) -> dict[str, Any]:
    """Set the status of a record by what is in it."""
    if record["status"] in ("graded", "infrastructure"):
        lost = [each["grade_id"] for each in record["exercises"] if each["marks"] is None]
        record["status"] = "infrastructure" if lost else "graded"
        record["message"] = f"not scored: {', '.join(lost)}; run again with --resume" if lost else ""
    return record
