"""A lab of a few seconds and a class that hands it in, for the tests of grading; its exercises are three of lab 08."""

import json
from pathlib import Path

from notebook_source import NOTEBOOKS, cells

import labkit

LAB = "90_small"
EXERCISES = ("ramp", "proxy-a-distance", "pseudo-labels")


def markdown(name, source, **meta):
    return {"cell_type": "markdown", "id": name, "metadata": {"nbgrader": meta} if meta else {}, "source": source}


def code(name, source, **meta):
    graded = {"nbgrader": meta} if meta else {}
    return {"cell_type": "code", "id": name, "metadata": graded, "source": source, "outputs": [], "execution_count": None}


def instructor():
    """The instructor's notebook: set-up, three exercises with their checks, a question, and a cell that needs the first."""
    real = {cell["id"]: cell for cell in cells("08_dann")}
    setup = "import math\n\nimport torch\n\nfrom labkit.check import dann as check"
    found = [markdown("title", "# 90 · How little is a lab?"), code("setup", setup)]
    for name in EXERCISES:
        for cell in (real[name], real[f"check-{name}"]):
            found.append(json.loads(json.dumps(cell)))
    answer = {
        "grade": True,
        "grade_id": "q1",
        "locked": False,
        "points": 3,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    found += [
        code("use", "factors = [ramp(i / 4) for i in range(5)]\nprint(factors)"),
        markdown(
            "q1", "**Question.** Why does it start at 0?\n\n*Model answer.* The features are worth little at first.", **answer
        ),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": found, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def workbook(folder: Path) -> Path:
    """A workbook with this lab alone; labkit in it is the one that runs. Gives its notebook."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "notebooks" / "expected.toml").write_text(f"[{LAB}]\n", encoding="utf-8")
    (folder / "labkit").symlink_to(Path(labkit.__file__).parent)
    for name in ("LICENSE", "pyproject.toml"):
        (folder / name).write_bytes((NOTEBOOKS.parent / name).read_bytes())
    path = folder / "notebooks" / f"{LAB}.ipynb"
    path.write_text(json.dumps(instructor(), indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    return path


def solution(name):
    return next("".join(cell["source"]) for cell in instructor()["cells"] if cell["id"] == name)


def handed_in(**written):
    """A student's notebook: the release's, with these cells (names with _ for -) in it; None takes a cell out."""
    from labkit.handout.student import student_version

    made = student_version(instructor())
    changes = {name.replace("_", "-"): source for name, source in written.items()}
    made["cells"] = [cell for cell in made["cells"] if changes.get(cell["id"], "") is not None]
    for cell in made["cells"]:
        if cell["id"] in changes:
            cell["source"] = changes[cell["id"]]
    return made


def right(**more):
    """A student's notebook in which all is right, but what is given."""
    best = {name.replace("-", "_"): solution(name) for name in EXERCISES}
    return handed_in(**{**best, "q1": "**Question.**\n\n*Your answer.* Nothing to align yet.", **more})


def write(folder: Path, student: str, notebook) -> Path:
    """Hand a notebook (or text) in as `<folder>/<student>/90_small.ipynb`."""
    path = folder / student / f"{LAB}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook), encoding="utf-8")
    return path
