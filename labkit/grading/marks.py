"""Marks given by hand, as a table that a spreadsheet opens: student, question, points, comment."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from labkit.grading.source import Source
from labkit.grading.standing import Record, answer, figure

COLUMNS = ("student", "question", "points", "comment")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)", re.ASCII)
#: a spreadsheet takes a cell that begins so for a formula
FORMULA = re.compile(r"'*\s*[=+\-@\t\r＝＋－＠]")
#: what would break a line or a file: control characters, lone surrogates, Unicode's line separators
BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def read(path: Path, source: Source) -> dict[tuple[str, str], tuple[float, str]]:
    """Read marks: (student, grade_id) -> (points, comment). Blank points mean 'not marked yet' and are left out.

    `question` may also name an exercise, whose points are then corrected. Commas, semicolons and tabs divide cells.

    Raises:
        ValueError: with the line and what to do: a question that the lab has not, points that are no number or not
            between 0 and the most, a student's question twice, a column missing, a file that is no table.
        OSError: it can't be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not in UTF-8: save it as 'CSV UTF-8' in your spreadsheet program") from error
    head = lines.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        rows = _rows(lines, delimiter)
    except csv.Error as error:
        raise ValueError(f"{path.name} is no table ({error}): save it as 'CSV UTF-8'") from error
    names = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    if missing := [name for name in COLUMNS[:3] if names.count(name) != 1]:
        raise ValueError(f"{path.name} has no column {missing[0]!r}, or two: its first line must be {','.join(COLUMNS)}")
    found: dict[tuple[str, str], tuple[float, str]] = {}
    seen: dict[tuple[str, str], int] = {}
    for number, cells in rows[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        place = f"{path.name}, line {number}"
        if len(cells) > len(names):
            raise ValueError(
                f'{place}: {len(cells)} cells, expected {len(names)}: put "quotes" around text with a {delimiter!r}'
            )
        row = dict(zip(names, (unguarded(cell.strip()) for cell in cells), strict=False))
        pair = row.get("student", ""), row.get("question", "")
        if not pair[0]:
            raise ValueError(f"{place}: no student: fill in who these points are for, or delete the line")
        if pair[1] not in source.points:
            raise ValueError(f"{place}: {source.lab} has no {pair[1]!r}: use one of {', '.join(source.points)}")
        if pair in seen:
            raise ValueError(f"{place}: {pair[1]} of {pair[0]} stands in line {seen[pair]} already: delete one of the two")
        seen[pair] = number
        points, comment = _points(row.get("points", ""), source.points[pair[1]], place), row.get("comment", "")
        if delimiter == "," and re.fullmatch(r"\d{1,2}", comment):
            raise ValueError(
                f'{place}: the comment is {comment!r}; for {figure(points)}.{comment} points write that, or use "quotes"'
            )
        if points is not None:
            found[pair] = points, comment
    return found


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Rows with the number of the line at which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows, begin = [], 1
    for cells in reader:
        rows.append((begin, cells))
        begin = reader.line_num + 1
    return rows


def _points(written: str, most: float, place: str) -> float | None:
    if not written:
        return None
    if not NUMBER.fullmatch(written):
        raise ValueError(f"{place}: {written!r} is no number: give points from 0 to {figure(most)}, or leave the cell empty")
    points = float(written.replace(",", "."))
    if not 0 <= points <= most:
        raise ValueError(f"{place}: {written} points: give 0 to {figure(most)}")
    return round(points, 2)


def template(records: Iterable[Record], source: Source) -> str:
    """A table to be filled in, a row for each student and question, sorted by student; blank answers have their 0 already.

    Where nothing could be read (missing, unreadable) nothing is filled in.
    """
    rows = [COLUMNS]
    for record in sorted(records, key=lambda each: each["student"]):
        for question in source.questions:
            blank = record["status"] not in ("missing", "unreadable") and not answer(record, question)
            rows.append((record["student"], question.grade_id, *(("0", "no answer") if blank else ("", ""))))
    return table(rows)


def table(rows: Iterable[Iterable[str]]) -> str:
    """Rows as csv with one line each; no cell can break its line or be taken for a formula."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([guarded(cell) for cell in row] for row in rows)
    return text.getvalue()


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe stands before what looks like one."""
    plain = BREAKING.sub(" ", cell)
    return f"'{plain}" if FORMULA.match(cell) or FORMULA.match(plain) else plain


def unguarded(cell: str) -> str:
    """A cell as it was before `guarded`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
