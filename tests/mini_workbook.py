"""A workbook of one short lab without torch, for tests of what goes to students."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LAB = "07_mini"
META = {"schema_version": 3, "task": False}


def prose(name: str, source: str, **nbgrader: Any) -> dict[str, Any]:
    meta = {"nbgrader": {**META, "grade_id": name, **nbgrader}} if nbgrader else {}
    return {"cell_type": "markdown", "id": name, "metadata": meta, "source": source.splitlines(keepends=True)}


def code(name: str, source: str, **nbgrader: Any) -> dict[str, Any]:
    return {**prose(name, source, **nbgrader), "cell_type": "code", "execution_count": None, "outputs": []}


def exercise(name: str, head: str, solution: str) -> dict[str, Any]:
    lines = [f"def {head}:", '    """What it returns."""', "    ### BEGIN SOLUTION", f"    {solution}", "    ### END SOLUTION"]
    return code(name, "\n".join(lines), grade=False, solution=True, locked=False)


def check(name: str, source: str) -> dict[str, Any]:
    return code(name, source, grade=True, solution=False, locked=True, points=2)


def question(name: str, source: str, points: int = 2) -> dict[str, Any]:
    return prose(name, source, grade=True, solution=True, locked=False, points=points)


def lab(*cells: dict[str, Any]) -> dict[str, Any]:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": list(cells), "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def source() -> dict[str, Any]:
    """The instructor's notebook: three exercises, two of which stand on each other, and two questions."""
    return lab(
        prose("title", "# 07 · How short can a lab be?"),
        code("setup", "import math"),
        code("helper", "def ready():\n    return settings['start'] + double(1)"),  # reads both when it is called
        exercise("double", "double(x)", "return math.prod([x, 2])"),
        check("check-double", "assert double(4) == 8"),
        code("settings", "settings = {'start': 1}\ntotal = 0"),
        code("later", "def twice_doubled(x):\n    return double(double(x))\n\n\nx = 3"),
        code("free", "print(x + total)"),
        exercise("half-of", "half_of(x)", "return double(x) / math.sqrt(16)"),  # stands on the first
        check("check-half-of", "assert half_of(4) == 2"),
        code("use", "halves = [half_of(each) for each in range(3)]\ntally = total + halves[2]"),
        code("figure", "print(tally)"),
        code("use-later", "x = twice_doubled(x)"),
        code("ready", "print(ready())"),
        code("anew", "halves = [0.0, 0.5]\nx = 5"),  # names get a value that needs no exercise
        code("free-again", "print(halves, x, [total for total in range(3)])"),
        question("q1", "**Question 1.** Why two?\n\n*Model answer.* Since one is not enough for anything at all.\n", points=3),
        exercise("greet", "greet(name)", "return 'How do you do, ' + name"),
        check("check-greet", "assert greet('you')[-1] == 'u'"),
        code("greetings", "found = {}\nfor who in ('a', 'b'):\n    found[who] = greet(who)"),
        code("greeted", "print(found['a'])"),
        question("q2", "*Model answer.* Politeness has never cost a student anything.\n"),
        code("summary", "print('end')"),
    )


def write(folder: Path, notebook: dict[str, Any]) -> Path:
    """Write a notebook of this lab into a workbook's folder, in the normal form of the labs."""
    path = folder / "notebooks" / f"{LAB}.ipynb"
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    return path


def workbook(folder: Path) -> Path:
    """An instructor's workbook of this lab alone, with a package, tests and grading of its own; gives its notebook."""
    for name, content in {
        "notebooks/expected.toml": f"[{LAB}.minutes]\ntiny = 1.0\n\n[08_other.minutes]\ntiny = 1.0\n",
        "labkit/__init__.py": '"""A package."""\n',
        "labkit/grading/expected.py": "WANTED = 8\n",
        "labkit/__pycache__/old.pyc": "0",
        "data/README.md": "# Data\n",
        "data/public/large.bin": "0",
        "data/weights/net.safetensors": "0",
        "data/weights/.net.part": "0",
        "tests/test_it.py": "assert True\n",
        "LICENSE": "MIT\n",
        "CONTRIBUTING.md": "# How a lab is built\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "notebooks" / "08_other.ipynb").write_text("{}", encoding="utf-8")
    return write(folder, source())


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones among them, and empty folders: name and bytes."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in sorted(found.items())}
