"""Who is in the class: a table of ids, with the other names under which an LMS may know a student, and deadlines."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path

UNCHANGED = "save it as CSV in UTF-8, with a header row and a column 'id'"


@dataclass(frozen=True)
class Roster:
    """Students of a class: `due` maps each id to a personal deadline or None; `names` maps each folded name to its ids."""

    due: dict[str, datetime | None]
    names: dict[str, frozenset[str]]

    def knows(self, name: str) -> bool:
        """Whether a name is anyone's."""
        return folded(name) in self.names

    def id_of(self, names: Iterable[str], where: str) -> str:
        """The id of whom all these names mean, those that mean nobody aside; '' if all do. `where` is for the message.

        Raises:
            ValueError: they mean two students.
        """
        meant = {name: self.names[folded(name)] for name in names if self.knows(name)}
        if not meant:
            return ""
        one = frozenset.intersection(*meant.values())
        if len(one) != 1:
            said = "; ".join(f"{name!r} is {' and '.join(sorted(ids))}" for name, ids in meant.items())
            raise ValueError(f"{where} could be of more than one student in the ids file ({said}): change the names there")
        return next(iter(one))


def folded(name: str) -> str:
    """A name for comparison: letters in one form and in lower case, without space around."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def moment(words: str) -> datetime:
    """A date and time in ISO form; without a zone it is local, and a date alone means the end of that day.

    Raises:
        ValueError: it is none.
    """
    words = words.strip()
    found = datetime.fromisoformat(words)
    if len(words) <= 10:
        found = datetime.combine(found, time(23, 59, 59))
    return aware(found)


def aware(found: datetime) -> datetime:
    """A time with a zone; one without is taken as local.

    Raises:
        ValueError: it is so far off that no zone fits.
    """
    try:
        return found if found.tzinfo else found.astimezone()
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{found} is no time that this machine can tell: give one such as 2026-11-20T23:59") from error


def read_roster(path: Path) -> Roster:
    """Read the table of ids: column `id`, `due` if there are personal deadlines, and any others with further names.

    Columns are parted by comma, semicolon or tab; empty rows are left out.

    Raises:
        ValueError: it is not there or no such table, or an id stands in two rows; the message says where.
    """
    try:
        whole = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"the ids file {path} can't be read ({error.strerror}): give a CSV file with a column 'id'") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the ids file {path.name} is not in UTF-8: {UNCHANGED}") from error
    first = next((line for line in whole.splitlines() if line.strip()), "")
    try:
        table = csv.reader(io.StringIO(whole, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
        rows = [(table.line_num, [cell.strip() for cell in row]) for row in table]
    except csv.Error as error:
        raise ValueError(f"the ids file {path.name} is no table ({error}): {UNCHANGED}") from error
    rows = [(number, row) for number, row in rows if any(row)]
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    if header.count("id") != 1 or header.count("due") > 1:
        raise ValueError(f"the ids file {path.name} has columns {', '.join(header) or 'none'}; expected one 'id': {UNCHANGED}")
    due: dict[str, datetime | None] = {}
    names: dict[str, set[str]] = {}
    seen: dict[str, int] = {}
    for number, row in rows[1:]:
        where = f"the ids file {path.name}, line {number}"
        if len(row) > len(header) and any(row[len(header) :]):
            raise ValueError(
                f"{where}: {len(row)} cells for {len(header)} columns: put quotes around a cell with a comma in it"
            )
        cells = dict(zip(header, row, strict=False))
        student = cells.get("id", "")
        if not student or any(c in "/\\" or not c.isprintable() for c in student):
            raise ValueError(f"{where}: the id is {student!r}, expected a name without slashes: fill it in, or remove the row")
        if folded(student) in seen:
            raise ValueError(f"{where}: id {student!r} stands in line {seen[folded(student)]} too: keep one of them")
        seen[folded(student)] = number
        try:
            due[student] = moment(cells["due"]) if cells.get("due") else None
        except ValueError as error:
            raise ValueError(f"{where}: due is {cells['due']!r}, expected a time such as 2026-11-20T23:59") from error
        for column, name in zip(header, row, strict=False):
            if column != "due" and name:
                names.setdefault(folded(name), set()).add(student)
    if not due:
        raise ValueError(f"the ids file {path.name} names no student: {UNCHANGED}")
    return Roster(due, {name: frozenset(ids) for name, ids in names.items()})
