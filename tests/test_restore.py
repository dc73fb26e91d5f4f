"""An exercise given back as it was: what is changed, what is kept, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mini_workbook as mini
import nbformat
import pytest

from labkit.handout.hosting import PLACE, Repository
from labkit.handout.release import STUBS, release
from labkit.handout.restore import CannotRestore, restore
from labkit.handout.student import student_version, text

MINE = "def double(x):\n    return 3 * x  # almost"


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A student's folder with one lab."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    release([mini.workbook(tmp_path / "home")], tmp_path / "student")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "student"))
    return tmp_path / "student"


def load(home: Path) -> dict[str, Any]:
    return json.loads((home / "notebooks" / f"{mini.LAB}.ipynb").read_text(encoding="utf-8"))


def cell_of(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    return next(cell for cell in notebook["cells"] if cell.get("id") == name)


def work(home: Path) -> dict[str, Any]:
    """What a student did in all places: exercises, answers, cells of their own, outputs; gives the notebook."""
    notebook = load(home)
    cell_of(notebook, "double").update(
        source=MINE, execution_count=4, outputs=[{"name": "stdout", "output_type": "stream", "text": "6"}]
    )
    cell_of(notebook, "half-of")["source"] = ["def half_of(x):\n", "    return x / 2"]
    cell_of(notebook, "q1")["source"] += ["Because of É and 二.\n"]
    own = {
        "cell_type": "code",
        "id": "own",
        "metadata": {"tags": ["mine"]},
        "source": "1 + 1",
        "outputs": [],
        "execution_count": 2,
    }
    notebook["cells"].insert(4, own)
    notebook["metadata"]["widgets"] = {"mine": 1}
    mini.write(home, notebook)
    return notebook


def test_in_a_release_with_an_address_a_blank_comes_back_and_address_and_badges_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    mini.workbook(tmp_path / "home")
    (tmp_path / "home" / "pyproject.toml").write_text("[project]\ndependencies = []\n")
    source = mini.source()
    source["cells"].insert(1, mini.code("hosted", PLACE))
    where = Repository("https://github.com/dept/vision")
    release([mini.write(tmp_path / "home", source)], home := tmp_path / "student", where)
    monkeypatch.setenv("LABKIT_HOME", str(home))
    before = load(home)
    assert "mybinder" in text(before["cells"][0]) and where.url in text(before["cells"][1])
    work(home)
    for name in ("double", "half-of", "q1"):
        assert restore("7", name)[1]
    after = load(home)
    assert [cell for cell in after["cells"] if cell["id"] != "own"] == before["cells"]


@pytest.mark.parametrize("lab", ["07_mini", "7", "07", "07_", "07_mini.ipynb", "notebooks/07_mini.ipynb"])
@pytest.mark.parametrize(
    ("name", "cell"),
    [("double", "double"), ("half-of", "half-of"), ("half_of", "half-of"), ("q1", "q1"), ("q2", "q2"), ("greet", "greet")],
)
def test_the_blank_comes_back_and_all_else_stays(home, lab, name, cell):
    before, blank = work(home), cell_of(student_version(mini.source()), cell)
    was = text(cell_of(before, cell))
    path, _, kept = restore(lab, name)
    assert path == home / "notebooks" / "07_mini.ipynb"
    after = load(home)
    assert {**cell_of(after, cell), "source": text(cell_of(after, cell))} == {**blank, "source": text(blank)}
    cell_of(after, cell).clear()
    cell_of(before, cell).clear()
    assert after == before
    if was == text(blank):
        assert not kept and not (home / "notebooks" / "attempts").exists()
    else:
        suffix = "md" if cell.startswith("q") else "py"
        assert kept == [home / "notebooks" / "attempts" / f"07_mini-{cell}-1.{suffix}"]
        assert kept[0].read_text(encoding="utf-8").rstrip("\n") == was.rstrip("\n")


def test_what_is_restored_is_a_valid_notebook_as_text_in_the_usual_form(home):
    work(home)
    restore("7", "double")
    words = (home / "notebooks" / f"{mini.LAB}.ipynb").read_text(encoding="utf-8")
    nbformat.validate(nbformat.reads(words, as_version=4))
    assert words == json.dumps(json.loads(words), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def test_every_attempt_is_kept_and_an_untouched_exercise_gives_none(home):
    for number in (1, 2, 3):
        notebook = load(home)
        cell_of(notebook, "double")["source"] = f"def double(x):\n    return {number}"
        mini.write(home, notebook)
        (kept,) = restore("7", "double")[2]
        assert kept.name == f"07_mini-double-{number}.py"
        before = mini.contents(home)
        assert restore("7", "double")[2] == []
        assert mini.contents(home) == before
    attempts = home / "notebooks" / "attempts"
    assert [path.read_text()[-2] for path in sorted(attempts.iterdir())] == ["1", "2", "3"]


def test_a_copy_of_the_cell_goes_and_is_kept(home):
    """Jupyter copies a cell's name with it: left alone, a copy would define the function anew."""
    before, notebook = load(home), load(home)
    copy = {**cell_of(notebook, "double"), "id": "a-copy", "source": MINE}
    notebook["cells"].append(copy)
    mini.write(home, notebook)
    _, changed, kept = restore("7", "double")
    assert changed and [path.read_text() for path in kept] == [MINE + "\n"]
    assert load(home) == before
    assert restore("7", "double")[1] is False


@pytest.mark.parametrize("name", ["double", "half-of", "greet", "q1", "q2"])
def test_a_deleted_cell_comes_back_in_its_place_with_its_metadata(home, name):
    before = load(home)
    notebook = load(home)
    notebook["cells"].remove(cell_of(notebook, name))
    mini.write(home, notebook)
    assert restore("7", name)[2] == []
    assert load(home) == before


def test_a_deleted_cell_comes_back_after_what_stood_before_it(home):
    notebook = work(home)
    gone = {"check-double", "double", "settings", "q1"}
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] not in gone]
    mini.write(home, notebook)
    restore("7", "q1")
    restore("7", "double")
    names = [cell["id"] for cell in load(home)["cells"]]
    assert names[:5] == ["title", "setup", "helper", "double", "own"] and names[names.index("q1") - 1] == "free-again"
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] == "own"]
    mini.write(home, notebook)
    restore("7", "half_of")
    assert [cell["id"] for cell in load(home)["cells"]] == ["half-of", "own"]


@pytest.mark.parametrize(("name", "kind"), [("double", "markdown"), ("double", "raw"), ("q1", "code"), ("q1", "raw")])
@pytest.mark.parametrize("written", [True, False])
def test_a_cell_of_another_type_becomes_what_it_was(home, name, kind, written):
    before, notebook = load(home), load(home)
    cell = cell_of(notebook, name)
    cell["cell_type"] = kind
    for part in ("outputs", "execution_count"):
        cell.pop(part, None)
    if kind == "code":
        cell |= {"outputs": [], "execution_count": 1}
    if written:
        cell["source"] = "what I wrote"
    mini.write(home, notebook)
    kept = restore("7", name)[2]
    assert load(home) == before
    assert [path.read_text() for path in kept] == ["what I wrote\n"] * written
    assert all(path.suffix == (".py" if kind == "code" else ".md") for path in kept)


def test_a_cell_that_lost_its_metadata_is_known_by_its_id_and_gets_it_back(home):
    before, notebook = load(home), load(home)
    cell_of(notebook, "double")["metadata"] = {"collapsed": True}
    cell_of(notebook, "double")["source"] = MINE
    mini.write(home, notebook)
    assert restore("7", "double")[2][0].read_text() == MINE + "\n"
    assert load(home) == before


def test_in_the_format_before_cells_had_ids_a_cell_gets_none(home):
    notebook = load(home)
    notebook["nbformat_minor"] = 4
    for cell in notebook["cells"]:
        del cell["id"]
    notebook["cells"] = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") != "q1"]
    mini.write(home, notebook)
    restore("7", "q1")
    restore("7", "double")
    assert not [cell for cell in load(home)["cells"] if "id" in cell]
    nbformat.validate(nbformat.from_dict(load(home)))


@pytest.mark.parametrize(
    ("lab", "name", "message"),
    [
        ("8", "double", "lab '8' is unknown: use one of 07_mini"),
        ("", "double", "lab '' is unknown: use one of 07_mini"),
        ("7", "triple", "lab 07_mini has no exercise or question 'triple': use one of double, half-of, q1, greet, q2"),
        ("7", "check-double", "has no exercise or question 'check-double'"),
        ("7", "", "has no exercise or question ''"),
    ],
)
def test_an_unknown_name_lists_what_there_is(home, lab, name, message):
    work(home)
    before = mini.contents(home)
    with pytest.raises(CannotRestore, match=re.escape(message)):
        restore(lab, name)
    assert mini.contents(home) == before


def test_a_number_means_one_lab_among_many_and_a_beginning_must_mean_one(home):
    stubs = json.loads((home / "notebooks" / STUBS).read_text(encoding="utf-8"))
    one = stubs.pop(mini.LAB)
    for lab in ("01_first", "10_tenth", "11_next", mini.LAB):
        stubs[lab] = one
        (home / "notebooks" / f"{lab}.ipynb").write_text(json.dumps(load(home)), encoding="utf-8")
    (home / "notebooks" / STUBS).write_text(json.dumps(stubs), encoding="utf-8")
    given = {"1": "01_first", "01": "01_first", "10": "10_tenth", "010": "10_tenth", "11_": "11_next", "7": mini.LAB}
    assert {name: restore(name, "double")[0].stem for name in given} == given
    with pytest.raises(CannotRestore, match="lab '0' is more than one: use one of 01_first, 10_tenth, 11_next, 07_mini"):
        restore("0", "double")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "{",
        "[]",
        "null",
        '{"cells": 3}',
        '{"cells": [3]}',
        '{"cells": [{"cell_type": "code"}]}',
        '{"cells": [{"source": "x"}]}',
    ],
)
def test_a_broken_notebook_is_refused_and_nothing_is_lost(home, words):
    path = home / "notebooks" / f"{mini.LAB}.ipynb"
    path.write_text(words)
    before = mini.contents(home)
    with pytest.raises(CannotRestore, match=r"07_mini.ipynb is no notebook any more .*take it from the folder"):
        restore("7", "double")
    assert mini.contents(home) == before
    path.unlink()
    with pytest.raises(CannotRestore, match=r"07_mini.ipynb is not there: take it from the folder"):
        restore("7", "double")


def test_a_disk_that_can_not_be_written_loses_nothing(home, monkeypatch):
    work(home)
    path = home / "notebooks" / f"{mini.LAB}.ipynb"
    before = path.read_bytes()

    def full(spare: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="the disk is full"):
        restore("7", "double")
    assert path.read_bytes() == before
    assert (home / "notebooks" / "attempts" / "07_mini-double-1.py").read_text() == MINE + "\n"
    assert not [each for each in path.parent.iterdir() if each.name.endswith(".part")]


def test_in_the_instructors_workbook_and_with_damaged_stubs_it_refuses(home, tmp_path, monkeypatch):
    (home / "notebooks" / STUBS).write_text("{")
    with pytest.raises(CannotRestore, match=r"stubs.json is damaged .*take it from the folder"):
        restore("7", "double")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    before = mini.contents(tmp_path / "home")
    with pytest.raises(CannotRestore, match=r"there is no stubs.json in .*the solutions are under version control"):
        restore("7", "double")
    assert mini.contents(tmp_path / "home") == before
