"""Where a student stands: points of each exercise and question, from the sandbox or by hand, and what is not known yet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from labkit.grading.source import Question, Source
from labkit.handout.student import YOUR_ANSWER

Record = Mapping[str, Any]
#: (student, grade_id) -> (points, comment), as an instructor gave them
Marks = Mapping[tuple[str, str], tuple[float, str]]


@dataclass(frozen=True)
class Mark:
    """Points of an exercise or a question; None while nobody knows them. scored: what the sandbox found of an exercise."""

    grade_id: str
    most: float
    question: bool
    points: float | None
    by_hand: bool = False
    comment: str = ""
    scored: Mapping[str, Any] | None = None

    @property
    def corrected(self) -> bool:
        """Whether an instructor's points stand in place of the sandbox's."""
        return self.by_hand and not self.question

    @property
    def before(self) -> float | None:
        """The points that the sandbox gave, also where they were corrected."""
        return self.scored["marks"] if self.scored else None


@dataclass(frozen=True)
class Standing:
    """All marks of a student, in the notebook's order, exercises first.

    status: 'graded' (every mark is known), 'incomplete', 'unreadable', 'missing' or 'infrastructure'.
    """

    student: str
    status: str
    marks: tuple[Mark, ...]

    @property
    def unknown(self) -> list[str]:
        """What has no points yet."""
        return [mark.grade_id for mark in self.marks if mark.points is None]

    @property
    def auto(self) -> float | None:
        """Points of the exercises that are known; None if none is."""
        return _sum(mark for mark in self.marks if not mark.question)

    @property
    def hand(self) -> float | None:
        """Points of the questions that are marked; None if none is."""
        return _sum(mark for mark in self.marks if mark.question)

    @property
    def total(self) -> float | None:
        """All points that are known; None if none is."""
        return _sum(self.marks)

    @property
    def of(self) -> float:
        """The most that can be had."""
        return math.fsum(mark.most for mark in self.marks)


def _sum(marks: Iterable[Mark]) -> float | None:
    known = [mark.points for mark in marks if mark.points is not None]
    return round(math.fsum(known), 2) if known else None


def standing(record: Record, source: Source, marks: Marks) -> Standing:
    """Where the student of a record stands; marks given by hand stand before those of the sandbox.

    Raises:
        ValueError: the record is of another lab, or was graded with other points.
    """
    student = record["student"]
    if record["lab"] != source.lab:
        raise ValueError(
            f"the record of {student} is of {record['lab']}, not of {source.lab}: give the folder of this lab's grading"
        )
    scored = {each["grade_id"]: each for each in record["exercises"]}
    questions = {each.grade_id for each in source.questions}
    found = []
    for grade_id, most in source.points.items():
        own = scored.get(grade_id)
        if own and own["points"] != most:
            raise ValueError(
                f"{grade_id} of {student} was graded out of {figure(own['points'])} points, the notebook now gives "
                f"{figure(most)}: grade again"
            )
        points, by_hand, comment = own["marks"] if own else None, False, ""
        if (student, grade_id) in marks:
            (points, comment), by_hand = marks[student, grade_id], True
        found.append(Mark(grade_id, most, grade_id in questions, points, by_hand, comment, own))
    return Standing(student, _status(record, found), tuple(found))


def _status(record: Record, marks: list[Mark]) -> str:
    unknown = [mark for mark in marks if mark.points is None]
    if not unknown:
        return "graded"
    if record["status"] in ("missing", "unreadable"):
        return str(record["status"])
    lost = [mark for mark in unknown if not mark.question]
    if lost and (record["status"] == "infrastructure" or any(mark.scored for mark in lost)):
        return "infrastructure"
    return "incomplete"


def standings(records: Iterable[Record], source: Source, marks: Marks) -> list[tuple[Record, Standing]]:
    """Each record with where its student stands, sorted by student.

    Raises:
        ValueError: a student has two records, or as `standing` does.
    """
    rows = sorted(records, key=lambda record: record["student"])
    for one, other in pairwise(rows):
        if one["student"] == other["student"]:
            raise ValueError(f"{one['student']} has two records: remove one from the evidence folder")
    return [(record, standing(record, source, marks)) for record in rows]


def strangers(records: Iterable[Record], marks: Marks) -> list[str]:
    """Students with marks by hand of whom there is no record: slips of the pen, most often."""
    return sorted({student for student, _ in marks} - {record["student"] for record in records})


def answer(record: Record, question: Question) -> str:
    """What a student wrote in answer to a question, without the question itself and the placeholder; '' if nothing."""
    written = str(record["answers"].get(question.grade_id, "")).replace("\r\n", "\n").strip()
    asked = question.stub.partition(YOUR_ANSWER)[0].strip()
    return written.removeprefix(asked).replace(YOUR_ANSWER, "", 1).strip()


def figure(points: float | None) -> str:
    """Points as one writes them: 3, 2.5, 0.33; '' if they are not known."""
    return "" if points is None else f"{points:.2f}".rstrip("0").rstrip(".")
