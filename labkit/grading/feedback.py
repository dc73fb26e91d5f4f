"""What one student gets to read about a submission, as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.grading import pages
from labkit.grading.pages import STATUSES, title_of, where
from labkit.grading.source import Question, Source
from labkit.grading.standing import Mark, Marks, Record, answer, standing

PAGE = "feedback.html.j2"
LOST = "the sandbox was lost"  # such a message may quote the sandbox's log, which is for the instructor alone
#: what became of a submission that has no marks at all
UNGRADED = {
    "unreadable": "Your submission could not be read.",
    "missing": "No submission of yours was found.",
}


@dataclass(frozen=True)
class Part:
    """An exercise as its student reads of it; `shares` are what the cases count, of 1."""

    name: str
    mark: Mark
    status: str
    message: str
    cases: list[Mapping[str, Any]]
    shares: list[float]


@dataclass(frozen=True)
class Reply:
    """A question with the student's own answer."""

    question: Question
    mark: Mark
    answer: str


def page(record: Record, source: Source, marks: Marks, *, models: bool = False) -> str:
    """The page of one student; nothing on it is of another one, and model answers only with `models`.

    The sandbox's log is not shown, nor a message that quotes it.

    Raises:
        ValueError: the record is of another lab or other points.
    """
    stand = standing(record, source, marks)
    by_id = {mark.grade_id: mark for mark in stand.marks}
    ungraded = UNGRADED.get(record["status"], "")
    rerun = record["rerun"] or {"status": "not run", "message": "", "cell": ""}
    return pages.page(
        PAGE,
        title=title_of(source),
        record=record,
        stand=stand,
        ungraded=ungraded,
        parts=[_part(each.name, by_id[each.grade_id]) for each in source.exercises],
        replies=[Reply(each, by_id[each.grade_id], answer(record, each)) for each in source.questions],
        rerun=rerun,
        rerun_message=_message(rerun),
        place=where(source, rerun["cell"]),
        models=models,
    )


def _part(name: str, mark: Mark) -> Part:
    scored = mark.scored or {"status": "unknown", "marks": None, "message": "", "cases": []}
    status = scored["status"] if scored["status"] in STATUSES else "unknown"
    if status == "wrong" and scored["marks"]:
        status = "partly"
    if mark.corrected and scored["marks"] is None:
        status = "settled"
    total = sum(case["weight"] for case in scored["cases"])
    return Part(
        name, mark, status, _message(scored), list(scored["cases"]), [case["weight"] / total for case in scored["cases"]]
    )


def _message(result: Mapping[str, Any]) -> str:
    """A result's message where it is the student's business."""
    message = str(result["message"])
    return "" if result["status"] == "infrastructure" or message.startswith(LOST) else message
