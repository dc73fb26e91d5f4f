"""From the instructor's notebook to the student's: solutions become stubs, model answers empty places."""

from __future__ import annotations

import ast
import copy
import re
from typing import Any

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
MODEL_ANSWER, YOUR_ANSWER = "*Model answer.*", "*Your answer.*"
LEFT = re.compile(r"(begin|end)\s+solution|\*\s*model\s+answer", re.IGNORECASE)  # a marker, also one that is mistyped
STUB = ("# your code here", "raise NotImplementedError")  # bare: the checks tell by it what is not written yet


class NotASource(ValueError):
    """A notebook is not an instructor's source from which a student's version can be made."""


def meta(cell: dict[str, Any]) -> dict[str, Any]:
    """nbgrader's metadata of a cell; empty where it has none."""
    found = cell.get("metadata", {}).get("nbgrader", {})
    return found if isinstance(found, dict) else {}


def name_of(cell: dict[str, Any]) -> str:
    """The grade_id of a cell, or else its id; '' if it has neither."""
    return str(meta(cell).get("grade_id", cell.get("id", "")))


def is_exercise(cell: dict[str, Any]) -> bool:
    """Whether a student writes code into this cell."""
    return cell["cell_type"] == "code" and bool(meta(cell).get("solution"))


def is_check(cell: dict[str, Any]) -> bool:
    """Whether this cell checks an exercise; it holds the exercise's points."""
    return cell["cell_type"] == "code" and bool(meta(cell).get("grade")) and not meta(cell).get("solution")


def is_answer(cell: dict[str, Any]) -> bool:
    """Whether a student writes text into this cell."""
    return cell["cell_type"] == "markdown" and bool(meta(cell).get("solution"))


def text(cell: dict[str, Any]) -> str:
    """The source of a cell as one string, however the file holds it."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def defined(source: str) -> str:
    """The function or class that the code of an exercise defines: the last one at its top level.

    Raises:
        NotASource: it defines none, or is no Python.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise NotASource(f"this is no Python: {error}") from error
    names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if not names:
        raise NotASource("it defines no function and no class")
    return names[-1]


def stub(source: str, name: str) -> str:
    """An exercise as the student gets it: signature, docstring and hint, and a line that says what is missing.

    What stands between the markers, they included, becomes `raise NotImplementedError`, indented as the first marker is.

    Raises:
        NotASource: the markers are not there, each once, in this order.
    """
    lines = source.split("\n")
    begins, ends = ([i for i, line in enumerate(lines) if line.strip() == mark] for mark in (BEGIN, END))
    if len(begins) != 1 or len(ends) != 1 or begins > ends:
        raise NotASource(f"exercise {name}: expected one line '{BEGIN}' and after it one line '{END}'")
    first, last = begins[0], ends[0]
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    return "\n".join([*lines[:first], *(indent + line for line in STUB), *lines[last + 1 :]])


def question(source: str, name: str) -> str:
    """A question as the student gets it: what stands before the model answer, and a place for an answer.

    Raises:
        NotASource: there is no model answer, or more than one.
    """
    if source.count(MODEL_ANSWER) != 1:
        raise NotASource(f"question {name}: expected one '{MODEL_ANSWER}', found {source.count(MODEL_ANSWER)}")
    return f"{source.split(MODEL_ANSWER)[0].rstrip()}\n\n{YOUR_ANSWER}\n".lstrip()


def student_version(notebook: dict[str, Any]) -> dict[str, Any]:
    """The student's version of an instructor's notebook, as nbformat's JSON object; the argument stays as it is.

    Outputs and execution counts go, all other cells and all metadata stay.

    Raises:
        NotASource: an exercise or a question is not as it should be, or a solution stands elsewhere.
    """
    released = copy.deepcopy(notebook)
    seen: set[str] = set()
    for cell in released["cells"]:
        source, name = text(cell), name_of(cell)
        if is_exercise(cell):
            source = stub(source, name)
            try:
                defined(source)
            except NotASource as error:
                raise NotASource(f"exercise {name}: {error}") from error
        elif is_answer(cell):
            source = question(source, name)
        if found := LEFT.search(source):
            raise NotASource(f"cell {name}: '{found.group()}' stands where no solution and no model answer belongs")
        if name in seen:
            raise NotASource(f"two cells are called {name}: give one of them another id and grade_id")
        seen |= {name} - {""}
        cell["source"] = source.splitlines(keepends=True)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return released


def blanks(notebook: dict[str, Any]) -> dict[str, str]:
    """What each exercise and question of a student's version holds before anything is written: grade_id -> source."""
    return {name_of(cell): text(cell) for cell in notebook["cells"] if is_exercise(cell) or is_answer(cell)}
