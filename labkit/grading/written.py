"""What a student wrote into a notebook, found by the names of exercises and questions, whatever else became of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from labkit.grading.handed import Unreadable
from labkit.grading.source import Source
from labkit.handout.student import name_of

AGAIN = "ask for the notebook, opened and saved again in JupyterLab"


@dataclass(frozen=True)
class Written:
    """What was written, grade_id -> source; `notes` for the instructor; `foreign`: most exercises are another lab's."""

    cells: dict[str, str]
    notes: tuple[str, ...]
    foreign: bool = False


def written(data: bytes, source: Source) -> Written | None:
    """What the bytes of a notebook hold of a lab; None if it is another lab's.

    A cell is found by nbgrader's grade_id, or else by its id; of several with one name the last that was written in counts.

    Raises:
        Unreadable: it is no notebook; the message goes on after the file's name.
    """
    cells = _cells(data)
    if not _belongs(cells, source):
        return None
    stubs = {each.grade_id: ("code", each.stub) for each in source.exercises}
    stubs |= {each.grade_id: ("markdown", each.stub) for each in source.questions}
    taken: dict[str, str] = {}
    notes = []
    for name, (kind, stub) in stubs.items():
        named = [cell for cell in cells if _name(cell) == name]
        texts = [_text(cell) for cell in named if cell.get("cell_type") == kind]
        if named and not texts:
            now = ", ".join(sorted({str(cell.get("cell_type"))[:20] for cell in named}))
            notes.append(f"{name}: its cell was changed from {kind} to {now}: it counts as not written")
        if not texts:
            continue
        own = [text for text in texts if _lines(text) and _lines(text) != _lines(stub)]
        taken[name] = own[-1] if own else texts[-1]
        if len({tuple(_lines(text)) for text in own}) > 1:
            notes.append(f"{name}: {len(own)} cells of this name differ: the last is taken; was a cell split or copied?")
    mixed = len(_foreign(cells, source)) > len({each.grade_id for each in source.exercises} & taken.keys())
    return Written(taken, tuple(notes), mixed)


def _belongs(cells: list[dict[str, Any]], source: Source) -> bool:
    """Whether a notebook is this lab's.

    Labs share names of questions such as q1: these alone say something only if no other lab's names are there.
    """
    names = {_name(cell) for cell in cells}
    if names & {each.grade_id for each in source.exercises}:
        return True
    marked = {_grade_id(cell) for cell in cells} & {each.grade_id for each in source.questions}
    return bool(marked) and not _foreign(cells, source)


def _known(source: Source) -> set[str]:
    return {name_of(cell) for cell in source.notebook["cells"]}


def _foreign(cells: Iterable[dict[str, Any]], source: Source) -> set[str]:
    """grade_ids that the lab does not know."""
    return {_grade_id(cell) for cell in cells} - _known(source) - {""}


def _cells(data: bytes) -> list[dict[str, Any]]:
    """The cells of a notebook; each is an object with a source.

    Raises:
        Unreadable: they can't be had.
    """
    if not data.strip():
        raise Unreadable(f"is empty: {AGAIN}")
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not in UTF-8 (byte {error.start + 1}): {AGAIN}") from error
    except json.JSONDecodeError as error:
        raise Unreadable(f"is no JSON, or only a part of it (line {error.lineno}: {error.msg}): {AGAIN}") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise Unreadable(f"is nested too deeply or holds absurd numbers: {AGAIN}") from error
    if not isinstance(found, dict):
        raise Unreadable(f"holds JSON, but no notebook: {AGAIN}")
    old = found.get("nbformat")
    if "cells" not in found and ("worksheets" in found or (isinstance(old, int) and old < 4)):
        raise Unreadable(f"is in a format of notebooks of before 2015 (nbformat 3): {AGAIN}")
    cells = found.get("cells")
    if not isinstance(cells, list):
        raise Unreadable(f"holds JSON, but no list of cells: {AGAIN}")
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            raise Unreadable(f"is damaged: cell {number} is no object: {AGAIN}")
        lines = cell.get("source")
        if not isinstance(lines, str) and not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):
            raise Unreadable(f"is damaged: the source of cell {number} is no text: {AGAIN}")
    return cells


def _grade_id(cell: dict[str, Any]) -> str:
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    found = marks.get("grade_id") if isinstance(marks, dict) else None
    return found if isinstance(found, str) else ""


def _name(cell: dict[str, Any]) -> str:
    found = cell.get("id")
    return _grade_id(cell) or (found if isinstance(found, str) else "")


def _text(cell: dict[str, Any]) -> str:
    """The source of a cell, without halves of characters, which no file could hold."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", "".join(cell["source"]))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]
