"""Give a student the stub of one exercise back; what was written is kept beside the notebook, and all else stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labkit import files
from labkit.handout.release import STUBS
from labkit.handout.student import NotASource, defined, name_of, text


class CannotRestore(RuntimeError):
    """An exercise can't be restored; the notebook is as it was."""


def restore(lab: str, exercise: str) -> tuple[Path, bool, list[Path]]:
    """Put the stub of `exercise` (its cell's grade_id, or the function it asks for) back into the notebook of `lab`.

    Gives the notebook, whether it was changed, and the files to which the old text of the cell and of copies of it went;
    copies are taken out. A cell that was deleted comes back in its place. `lab` is a name, a number or the beginning of a name.

    Raises:
        CannotRestore: there are no stubs here, the lab or exercise is unknown, or the notebook is no notebook.
        OSError: a file can't be written.
    """
    folder = files.home() / "notebooks"
    if not (folder / STUBS).is_file():
        raise CannotRestore(
            f"there is no {STUBS} in {folder}: stubs come with a student's folder, which `labkit release` makes; "
            "in the instructor's source the solutions are under version control"
        )
    try:
        known = json.loads((folder / STUBS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CannotRestore(f"{folder / STUBS} is damaged ({error}): take it from the folder that you were given") from error
    name = _one(Path(lab).name.removesuffix(".ipynb"), list(known))
    made = known[name]
    blanks = {each: made["blanks"][each] for each in made["order"] if each in made["blanks"]}
    grade_id = _exercise(exercise, blanks, name)
    path = folder / f"{name}.ipynb"
    notebook = _read(path)
    cells = notebook["cells"]
    ids = [name_of(each) for each in cells]
    blank = blanks[grade_id]
    # cell type and metadata as they were released: a cell that became prose becomes an exercise again
    fresh = {**made["cells"][grade_id], "source": blank.splitlines(keepends=True)}
    if notebook.get("nbformat_minor", 0) < 5:  # before 4.5 cells had no id
        fresh.pop("id")
    kept = []
    if grade_id in ids:
        place = ids.index(grade_id)
        old, copies = cells[place], [cells[i] for i, each in enumerate(ids) if each == grade_id and i > place]
        if text(old) == blank and old["cell_type"] == fresh["cell_type"] and not copies:
            return path, False, []
        for cell in (old, *copies):  # a copied cell keeps its name, and would define the function anew
            if text(cell) != blank:
                kept.append(_keep(folder, name, grade_id, text(cell), code=cell["cell_type"] == "code"))
        cells[place] = {**fresh, "id": old["id"]} if "id" in old else fresh
        notebook["cells"] = [cell for cell in cells if not any(cell is copy for copy in copies)]
    else:
        before = made["order"][: made["order"].index(grade_id)]
        place = max((ids.index(each) for each in before if each in ids), default=-1) + 1
        cells.insert(place, fresh)
    files.write_text(path, json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return path, True, kept


def _read(path: Path) -> dict[str, Any]:
    """A student's notebook, if it still is one."""
    try:
        notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            name_of(cell), text(cell), cell["cell_type"]
    except FileNotFoundError as error:
        raise CannotRestore(f"{path} is not there: take it from the folder that you were given") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CannotRestore(f"{path} is no notebook any more ({error}): take it from the folder that you were given") from error
    return notebook


def _one(given: str, labs: list[str]) -> str:
    """The lab that is meant: its name, its number, or the beginning of its name."""
    found = [
        lab
        for lab in labs
        if lab == given or (given.isdecimal() and lab.split("_")[0].isdecimal() and int(lab.split("_")[0]) == int(given))
    ]
    found = found or [lab for lab in labs if given and lab.startswith(given)]
    if len(found) != 1:
        raise CannotRestore(f"lab {given!r} is {'more than one' if found else 'unknown'}: use one of {', '.join(labs)}")
    return found[0]


def _exercise(given: str, blanks: dict[str, str], lab: str) -> str:
    """The grade_id that is meant: itself, with - for _, or the function that the exercise asks for."""
    found = [grade_id for grade_id in blanks if given.replace("_", "-") == grade_id.replace("_", "-")]
    found = found or [grade_id for grade_id, source in blanks.items() if given and given == _function(source)]
    if not found:
        raise CannotRestore(f"lab {lab} has no exercise or question {given!r}: use one of {', '.join(blanks)}")
    return found[0]


def _function(source: str) -> str:
    """The function that an exercise asks for; '' for a question."""
    try:
        return defined(source)
    except NotASource:
        return ""


def _keep(folder: Path, lab: str, grade_id: str, old: str, *, code: bool) -> Path:
    """Write the old text to the first free number."""
    attempts = folder / "attempts"
    attempts.mkdir(exist_ok=True)
    suffix = "py" if code else "md"
    number = 1
    while (path := attempts / f"{lab}-{grade_id}-{number}.{suffix}").exists():
        number += 1
    path.write_text(old if old.endswith("\n") else old + "\n", encoding="utf-8")
    return path
