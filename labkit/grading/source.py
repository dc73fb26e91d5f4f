"""The instructor's notebook as grading sees it: exercises with their points, questions, and what a name stands for."""

from __future__ import annotations

import ast
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.handout.needs import read_by
from labkit.handout.student import (
    MODEL_ANSWER,
    NotASource,
    blanks,
    defined,
    is_answer,
    is_check,
    is_exercise,
    meta,
    name_of,
    student_version,
    text,
)


@dataclass(frozen=True)
class Exercise:
    """An exercise: `name` is the function that it asks for, `points` are those of its check, `solution` is ours."""

    grade_id: str
    name: str
    points: float
    solution: str
    stub: str


@dataclass(frozen=True)
class Question:
    """A question: the text of its cell before the answer, the cell before it, and the model answer."""

    grade_id: str
    points: float
    asked: str
    model: str
    stub: str


@dataclass(frozen=True)
class Source:
    """A lab to be graded."""

    lab: str
    notebook: dict[str, Any]
    topic: str
    exercises: tuple[Exercise, ...]
    questions: tuple[Question, ...]

    @property
    def points(self) -> dict[str, float]:
        """The points of each exercise and question, in the notebook's order."""
        exercises = {each.grade_id: each.points for each in self.exercises}
        return exercises | {each.grade_id: each.points for each in self.questions}

    def rebuilt(self, taken: Mapping[str, str]) -> dict[str, Any]:
        """Our notebook with what a student wrote in exercises and answers; what is missing is blank."""
        made = copy.deepcopy(self.notebook)
        stubs = {each.grade_id: each.stub for each in self.exercises} | {each.grade_id: each.stub for each in self.questions}
        for cell in made["cells"]:
            if name_of(cell) in stubs:
                cell["source"] = taken.get(name_of(cell), stubs[name_of(cell)])
        return made

    def prelude(self, exercise: Exercise, source: str) -> list[str]:
        """Code that runs before a student's cell: what it reads of imports, functions and constants of the notebook.

        Other exercises come from our solutions, so that a mistake in one costs nothing in the next. Only what is read comes
        along, and nothing of the exercise itself. Functions may lean on what only the whole notebook has, and then fail:
        that matters only to an answer that really needs them.
        """
        providers = self._providers(exercise)
        chosen: set[str] = set()
        wanted = read_by(source)
        while missing := {name for name in wanted if name in providers} - chosen:
            chosen |= missing
            for name in missing:
                wanted |= read_by(providers[name][1])
        return [code for _, code in sorted({providers[name] for name in chosen})]

    def lent(self, prelude: Sequence[str]) -> set[str]:
        """Exercises, as grade_ids, whose solutions are in code that comes along."""
        return {
            each.grade_id for each in self.exercises for word in ("def", "class") if _defines(prelude, f"{word} {each.name}")
        }

    def _providers(self, exercise: Exercise) -> dict[str, tuple[int, str]]:
        """For each name of the top level the place and code of what first gives it a value, if that needs no experiment."""
        found: dict[str, tuple[int, str]] = {}
        place = 0
        for cell in self.notebook["cells"]:
            if cell["cell_type"] != "code" or name_of(cell) == exercise.grade_id:
                continue
            for statement in ast.parse(text(cell)).body:
                place += 1
                for name, code in _given(statement):
                    found.setdefault(name, (place, code))
        return found


def _defines(prelude: Sequence[str], beginning: str) -> bool:
    return any(part.startswith(beginning) for part in prelude)


def _given(statement: ast.stmt) -> list[tuple[str, str]]:
    """Names that an import, a definition or a constant gives, each with the code for it alone."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        parts = []
        for alias in statement.names:
            one = copy.copy(statement)
            one.names = [alias]
            parts.append(((alias.asname or alias.name).partition(".")[0], ast.unparse(one)))
        return parts
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [(statement.name, ast.unparse(statement))]
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        try:
            ast.literal_eval(statement.value)
        except ValueError:
            return []
        return [(statement.targets[0].id, ast.unparse(statement))]
    return []


def read_source(path: Path) -> Source:
    """Read an instructor's notebook.

    Raises:
        NotASource: it is not one, or an exercise has no check with points, or it imports no checks.
        OSError: it can't be read.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    try:
        stubs = blanks(student_version(notebook))
    except NotASource as error:
        raise NotASource(f"{path.name}: {error}") from error
    topic, exercises, questions, before = "", [], [], ""
    pending: dict[str, Any] | None = None
    for cell in notebook["cells"]:
        source = text(cell)
        if cell["cell_type"] == "code":
            topic = topic or _topic(source)
        if is_exercise(cell):
            pending = cell
        elif is_check(cell):
            if pending is None:
                raise NotASource(f"{path.name}: {name_of(cell)} checks no exercise")
            name = name_of(pending)
            exercises.append(Exercise(name, defined(text(pending)), float(meta(cell)["points"]), text(pending), stubs[name]))
            pending = None
        elif is_answer(cell):
            asked, _, model = source.partition(MODEL_ANSWER)
            asked = asked.strip() or before
            questions.append(Question(name_of(cell), float(meta(cell)["points"]), asked, model.strip(), stubs[name_of(cell)]))
        before = source if cell["cell_type"] == "markdown" else before
    if pending is not None:
        raise NotASource(f"{path.name}: exercise {name_of(pending)} has no check, which would hold its points")
    if not topic:
        raise NotASource(f"{path.name}: no `from labkit.check import ... as check`: what grades its exercises is found by that")
    return Source(path.stem, notebook, topic, tuple(exercises), tuple(questions))


def _topic(source: str) -> str:
    """The module of checks that a cell imports as `check`; '' if it does not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "labkit.check":
            return next((alias.name for alias in node.names if alias.asname == "check"), "")
    return ""
