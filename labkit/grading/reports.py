"""The scores of a class as one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labkit.grading.marks import table
from labkit.grading.source import Source
from labkit.grading.standing import Marks, Record, Standing, figure, standings


def scores_csv(
    records: Iterable[Record], source: Source, marks: Marks, extra: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Scores as csv, one row a student, sorted by student; the same records and marks give the same bytes.

    Columns: student; points of each exercise and question, as 'reverse [3]'; auto (sum of exercises), hand (sum of
    questions), total, of (the most); status, late, rerun, message; then those of `extra`, {student: {column: text}}.
    What is not known yet is an empty cell, never 0: sums are of what is known, and status says what is not, as
    'incomplete: q1, q2'. Cells that a spreadsheet would take for a formula begin with an apostrophe.

    Raises:
        ValueError: a student has two records, or a record is of another lab or other points.
    """
    extra = extra or {}
    more = sorted({column for row in extra.values() for column in row})
    columns = [f"{grade_id} [{figure(most)}]" for grade_id, most in source.points.items()]
    rows = [["student", *columns, "auto", "hand", "total", "of", "status", "late", "rerun", "message", *more]]
    for record, stand in standings(records, source, marks):
        late = record["submission"].get("late")
        rows.append(
            [
                stand.student,
                *(figure(mark.points) for mark in stand.marks),
                *(figure(points) for points in (stand.auto, stand.hand, stand.total, stand.of)),
                status_words(stand),
                "" if late is None else "yes" if late else "no",
                (record["rerun"] or {}).get("status", ""),
                _message(record, stand),
                *(extra.get(stand.student, {}).get(column, "") for column in more),
            ]
        )
    return table(rows)


def status_words(stand: Standing) -> str:
    """The status, and what has no points yet where others have some."""
    return f"{stand.status}: {', '.join(stand.unknown)}" if stand.status in ("incomplete", "infrastructure") else stand.status


def _message(record: Record, stand: Standing) -> str:
    """What the record says, unless hand marks have settled it, and which exercises were corrected by hand."""
    settled = record["status"] == "infrastructure" and stand.status != "infrastructure"
    parts = [] if settled or not record["message"] else [str(record["message"])]
    for mark in stand.marks:
        if mark.corrected:
            parts.append(
                f"{mark.grade_id} by hand ({'was ' + figure(mark.before) if mark.before is not None else 'not scored'})"
            )
    return "; ".join(parts)
