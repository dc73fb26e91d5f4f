"""The student's folder: the same bytes each time, nothing of the instructor's in it, and it works by itself."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mini_workbook as mini
import nbformat
import pytest
from notebook_source import LABS, NOTEBOOKS

from labkit.handout.hosting import FRONT_END, PLACE, Repository, repository
from labkit.handout.release import MARK, STUBS, ReleaseError, release
from labkit.handout.student import is_answer, is_exercise, name_of, text

ROOT = NOTEBOOKS.parent
PATHS = [NOTEBOOKS / f"{lab}.ipynb" for lab in LABS]

#: Lines of solutions that stand in a release for another purpose: file and line without blanks, and why that is no leak
KNOWN = {
    (
        "labkit/pretrain_clip.py",
        '"gap":float((x.mean(0)-y.mean(0)).norm()),',
    ): "measures tiny nets; the docstring says the same",
    ("labkit/check/vgg/epochs.py", "returntrain_epoch,validation"): "names alone; the check's own way to count is another",
    ("notebooks/08_dann.ipynb", "returntorch.stack(rows)"): "an idiom; another function",
    ("labkit/clips.py", "modes=[(module,module.training)formoduleinnet.modules()]"): "keeps the modes of a net",
    ("labkit/clips.py", "formodule,modeinmodes:"): "gives a net its modes back",
    ("labkit/features.py", "formodule,modeinmodes:"): "gives a net its modes back",
}
IDIOMS = {"withtorch.no_grad():", "module.training=mode"}


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """All labs, released once; not to be written in."""
    out = tmp_path_factory.mktemp("release") / "student"
    release(PATHS, out)
    return out


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def strings(value: Any) -> Iterator[str]:
    """All strings of a JSON value; a list of strings is one, as the source of a cell is."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        yield "".join(value)
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def bare(words: str) -> str:
    return re.sub(r"\s+", "", words)


@functools.cache
def secrets() -> set[str]:
    """Lines of solutions and sentences of model answers, without blanks, that stand nowhere else in their notebook."""
    found: set[str] = set()
    for path in PATHS:
        own, public = [], []
        for cell in load(path)["cells"]:
            source = text(cell)
            if is_exercise(cell):
                before, rest = source.split("### BEGIN SOLUTION")
                inside, after = rest.split("### END SOLUTION")
                own += [line.split("  # ")[0] for line in inside.splitlines()]
            elif is_answer(cell):
                before, answer = source.split("*Model answer.*")
                own, after = own + re.split(r"(?<=[.!?:;])\s+", answer), ""
            else:
                before, after = source, ""
            public.append(before + after)
        shown = bare("\n".join(public))
        found |= {line for line in map(bare, own) if len(line) >= 20 and line not in shown}
    return found - IDIOMS


def texts(folder: Path) -> dict[str, str]:
    """All text files below a folder, without blanks; of JSON the strings."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".safetensors", ".pyc"):
            whole = path.read_text(encoding="utf-8")
            is_json = path.suffix in (".ipynb", ".json")
            found[path.relative_to(folder).as_posix()] = bare("\n".join(strings(json.loads(whole))) if is_json else whole)
    return found


def leaks(folder: Path, hidden: set[str]) -> set[tuple[str, str]]:
    """What stands in a release and should not: file, and what it gives away."""
    found = set()
    for name, whole in texts(folder).items():
        found |= {(name, line) for line in hidden if line in whole} - set(KNOWN)
        if name != "labkit/handout/student.py":  # names the markers, in order to cut what is between them
            marks = ("BEGINSOLUTION", "ENDSOLUTION", "*Modelanswer")
            found |= {(name, mark) for mark in marks if mark.lower() in whole.lower()}
    theirs = [*(ROOT / "tests").rglob("*"), *(ROOT / "labkit" / "grading").rglob("*"), *(ROOT / ".ci").rglob("*"), *PATHS]
    theirs += [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    hashes = {hashlib.sha256(path.read_bytes()).digest() for path in theirs if path.is_file() and path.stat().st_size}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if {"grading", "tests", "__pycache__", "public", "cache", "runs"} & set(name.removeprefix("labkit/public").split("/")):
            found.add((name, "does not belong here"))
        elif path.is_file() and hashlib.sha256(path.read_bytes()).digest() in hashes:
            found.add((name, "is a file of the instructor's"))
    return found


def test_two_releases_have_the_same_bytes_wherever_and_in_whatever_order(released, tmp_path):
    code = "import sys; from pathlib import Path; from labkit.handout.release import release\n"
    code += "release([Path(name) for name in sys.argv[2:]], Path(sys.argv[1]))"
    again = [sys.executable, "-c", code, "there/again", *map(str, reversed(PATHS))]
    subprocess.run(again, cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}, check=True)
    assert mini.contents(tmp_path / "there" / "again") == mini.contents(released)
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["again"]


def test_a_release_holds_what_a_student_needs_and_its_list_of_hashes_is_right(released):
    top = {path.name for path in released.iterdir()}
    assert top == {
        "labkit",
        "notebooks",
        "data",
        "LICENSE",
        "README.md",
        "environment.yml",
        "pyproject.toml",
        ".gitignore",
        MARK,
    }
    beside = {"expected.toml", "NOTATION.md", STUBS}
    assert {path.name for path in (released / "notebooks").iterdir()} == {*(p.name for p in PATHS), *beside}
    names = {name for name, content in mini.contents(released).items() if content and name != MARK}
    rows = dict(reversed(row.split("  ")) for row in (released / MARK).read_text(encoding="utf-8").splitlines())
    assert rows == {name: hashlib.sha256((released / name).read_bytes()).hexdigest() for name in names | set(rows)}
    guide = (released / "README.md").read_text(encoding="utf-8")
    assert all((released / link).is_file() for link in re.findall(r"\]\((notebooks/[^)]+)", guide))
    assert guide.count("](notebooks/") == len(LABS) and "@" not in guide
    lab, name = re.search(r"labkit restore (\d+) ([\w-]+)", guide).groups()
    assert [name in stubs["blanks"] for key, stubs in load(released / "notebooks" / STUBS).items() if key[:2] == lab] == [True]


def test_no_solution_no_model_answer_and_no_file_of_the_instructors_is_released(released):
    hidden = secrets()
    assert len(hidden) > 700, "secrets() finds the solutions and model answers"
    assert leaks(released, hidden) == set()
    whole = texts(released)
    assert not [(name, line) for name, line in KNOWN if line not in whole.get(name, "")], "rows of KNOWN that nothing needs"


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("labkit/check/more.py", "    return  -ctx.strength * gradient,\n        None\n"),
        (
            "notebooks/stubs.json",
            json.dumps({"x": ["Class shares should be\n", "watched: an easy class takes over.\n"]}),
        ),
        ("notebooks/expected.toml", "# ### Begin  solution\n"),
        ("README.md", "*Model answer.* It depends.\n"),
        ("labkit/grading/more.py", "pass\n"),
        ("tests/test_more.py", "pass\n"),
        ("labkit/more.py", (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")),
        ("data/public/more.md", "large\n"),
    ],
)
def test_a_planted_leak_is_found(tmp_path, where, what):
    (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / where).write_text(what, encoding="utf-8")
    assert leaks(tmp_path, secrets())


@pytest.mark.parametrize("path", PATHS, ids=LABS)
def test_with_its_solutions_put_back_a_released_notebook_is_the_source(released, path):
    source, made = load(path), load(released / "notebooks" / path.name)
    assert {**made, "cells": 0} == {**source, "cells": 0} and len(made["cells"]) == len(source["cells"])
    for ours, theirs in zip(source["cells"], made["cells"], strict=True):
        if is_exercise(ours):
            (block,) = re.findall(r"^ *### BEGIN SOLUTION\n.*### END SOLUTION", text(ours), flags=re.M | re.S)
            indent = block[: block.index("#")]
            stub = f"{indent}# your code here\n{indent}raise NotImplementedError"
            assert text(theirs).count(stub) == 1
            theirs = {**theirs, "source": text(theirs).replace(stub, block).splitlines(keepends=True)}
        elif is_answer(ours):
            asked, answer = text(ours).split("*Model answer.*")
            assert text(theirs).split() == [*asked.split(), "*Your", "answer.*"] and answer
            theirs = {**theirs, "source": ours["source"]}
        assert {**theirs, "source": text(theirs)} == {**ours, "source": text(ours)}


@pytest.mark.parametrize("path", PATHS, ids=LABS)
def test_an_exercise_keeps_signature_and_docstring_and_ends_in_a_bare_error(released, path):
    solved = {name_of(cell): ast.parse(text(cell)).body[-1] for cell in load(path)["cells"] if is_exercise(cell)}
    cells = {name_of(cell): text(cell) for cell in load(released / "notebooks" / path.name)["cells"] if is_exercise(cell)}
    assert list(cells) == list(solved) and len(cells) >= 5
    for name, source in cells.items():
        made, ours = ast.parse(source).body[-1], solved[name]
        assert made.name == ours.name and ast.get_docstring(made) == ast.get_docstring(ours)
        assert len(ast.get_docstring(made)) > 40
        if isinstance(made, ast.ClassDef):
            made, ours = made.body[-1], next(node for node in ours.body if getattr(node, "name", "") == made.body[-1].name)
        assert ast.unparse(made.args) == ast.unparse(ours.args)
        assert ast.unparse(made.body[-1]) == "raise NotImplementedError"
        assert [line.strip() for line in source.splitlines()[-2:]] == ["# your code here", "raise NotImplementedError"]


@pytest.mark.parametrize("path", PATHS, ids=LABS)
def test_a_released_notebook_is_valid_and_holds_no_outputs(released, path):
    notebook = load(released / "notebooks" / path.name)
    nbformat.validate(nbformat.from_dict(notebook), relax_add_props=False)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_outputs_of_a_source_that_was_run_do_not_go_along(tmp_path, monkeypatch):
    source = mini.source()
    for cell in source["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [{"name": "stdout", "output_type": "stream", "text": "8"}], 3
    _house(tmp_path, monkeypatch)
    release([mini.write(tmp_path / "home", source)], tmp_path / "out")
    assert '"text"' not in (tmp_path / "out" / "notebooks" / f"{mini.LAB}.ipynb").read_text(encoding="utf-8")


def test_a_release_works_by_itself(released, tmp_path):
    folder = shutil.copytree(released, tmp_path / "student")
    code = """
import importlib.util, json, sys
from pathlib import Path
import labkit
here = Path.cwd().resolve()
assert Path(labkit.__file__).resolve().is_relative_to(here), labkit.__file__
assert importlib.util.find_spec("labkit.grading") is None
from labkit import doctor, files
assert files.home() == here, files.home()
lines = []
assert doctor.examine(lines.append) == 0, lines
assert f"✓ workbook at {here}" in lines and not any(" is absent" in line and "weights" in line for line in lines), lines
scope = {}
for cell in json.loads((here / "notebooks" / "08_dann.ipynb").read_text(encoding="utf-8"))["cells"]:
    if cell["id"] in ("setup", "reverse"):
        exec("".join(cell["source"]), scope)
from labkit.check.frame import CheckFailed
try:
    scope["check"].reverse(scope["reverse"])
except CheckFailed as error:
    assert "not written yet" in str(error)
else:
    raise AssertionError("a blank exercise passed")
assert not [m for m in sys.modules.values() if "labkit" in m.__name__ and not Path(m.__file__).resolve().is_relative_to(here)]
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("LABKIT_HOME", "LABKIT_DATA")}
    environment |= {"PYTHONPATH": str(folder), "LABKIT_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nbgrader_reads_every_lab_and_validates_a_released_notebook(released, tmp_path):
    needed = "needs nbgrader 0.9.6 or newer: pip install 'nbgrader>=0.9.6'"
    nbgraderformat = pytest.importorskip("nbgrader.nbgraderformat", reason=needed)
    from nbgrader import __version__
    from nbgrader.validator import Validator

    if tuple(map(int, __version__.split(".")[:3])) < (0, 9, 6):
        pytest.skip(needed)
    for path in PATHS:
        graded = nbgraderformat.reads((released / "notebooks" / path.name).read_text(encoding="utf-8"), as_version=4)
        assert sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in graded.cells) >= 20
    from labkit.handout.student import student_version

    found = {}
    for name, notebook in (("solved", mini.source()), ("blank", student_version(mini.source()))):
        path = mini.write(_folder(tmp_path / name), notebook)
        found[name] = [each["source"] for each in Validator().validate(str(path)).get("failed", [])]
    assert found == {
        "solved": [],
        "blank": ["assert double(4) == 8", "assert half_of(4) == 2", "assert greet('you')[-1] == 'u'"],
    }


def _folder(path: Path) -> Path:
    (path / "notebooks").mkdir(parents=True)
    return path


def _house(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    return mini.workbook(tmp_path / "home")


@pytest.fixture
def notebook(tmp_path, monkeypatch) -> Path:
    """The notebook of a small workbook in tmp_path/home."""
    return _house(tmp_path, monkeypatch)


def test_of_the_workbook_goes_along_what_belongs_to_these_labs(notebook, tmp_path):
    names = release([notebook], tmp_path / "out")
    expected = ["LICENSE", "README.md", "data/README.md", "data/weights/net.safetensors", "labkit/__init__.py"]
    assert names == [*expected, "notebooks/07_mini.ipynb", "notebooks/expected.toml", f"notebooks/{STUBS}"]
    assert (tmp_path / "out" / "notebooks" / "expected.toml").read_text() == "[07_mini.minutes]\ntiny = 1.0\n\n"
    assert "[07 · How short can a lab be?](notebooks/07_mini.ipynb)" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_an_untouched_release_is_replaced_and_what_python_leaves_in_it_does_not_matter(notebook, tmp_path):
    release([notebook], tmp_path / "out")
    (tmp_path / "out" / "labkit" / "__pycache__").mkdir()
    (tmp_path / "out" / "labkit" / "__pycache__" / "a.pyc").write_bytes(b"0")
    (tmp_path / "out" / "LICENSE").unlink()
    (notebook.parent / "expected.toml").write_text("[07_mini.minutes]\ntiny = 2.0\n")
    release([notebook], tmp_path / "out")
    assert (tmp_path / "out" / "LICENSE").is_file() and not (tmp_path / "out" / "labkit" / "__pycache__").exists()
    assert "tiny = 2.0" in (tmp_path / "out" / "notebooks" / "expected.toml").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"home", "out"}


def test_a_folder_in_runs_and_an_empty_one_will_do_and_a_link_is_followed(notebook, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    release([notebook], tmp_path / "home" / "runs" / "student")
    release([notebook], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert mini.contents(tmp_path / "empty") == mini.contents(tmp_path / "home" / "runs" / "student") != {}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("home", "part of the workbook"),
        ("home/notebooks", "part of the workbook"),
        ("home/new", "part of the workbook"),
        ("home/runs/../new", "part of the workbook"),
        ("link/new", "part of the workbook"),
        (".", "the workbook is in it"),
        ("full", "is there and is no release"),
        ("full/file.txt", "is there and is no release"),
        ("added", "holds notebooks/attempts/1.py, which no release put there"),
        ("worked", "07_mini.ipynb was changed after its release"),
        ("kept", "holds .git/HEAD, which"),
    ],
)
def test_nothing_but_an_untouched_release_is_replaced(notebook, tmp_path, out, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "home")
    for name, changed in (("added", "notebooks/attempts/1.py"), ("worked", "notebooks/07_mini.ipynb"), ("kept", ".git/HEAD")):
        release([notebook], tmp_path / name)
        (tmp_path / name / changed).parent.mkdir(exist_ok=True)
        (tmp_path / name / changed).write_text("mine")
    before = mini.contents(tmp_path)
    with pytest.raises(ReleaseError, match=re.escape(message)):
        release([notebook], tmp_path / out)
    assert mini.contents(tmp_path) == before


SOLUTION = "    ### BEGIN SOLUTION\n    return math.prod([x, 2])\n    ### END SOLUTION"


def changed(name: str, old: str, new: str):
    def change(source: dict[str, Any]) -> None:
        cell = next(cell for cell in source["cells"] if cell["id"] == name)
        assert old in text(cell)
        cell["source"] = text(cell).replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed("double", "    ### BEGIN SOLUTION\n", ""),
            "07_mini.ipynb: exercise double: expected one line '### BEGIN SOLUTION'",
        ),
        (changed("double", "### END SOLUTION", "### END"), "exercise double: expected one line"),
        (changed("double", "### END SOLUTION", "### END SOLUTION\n    ### END SOLUTION"), "exercise double: expected one line"),
        (changed("double", "    ### END SOLUTION", "    x = 1  ### END SOLUTION"), "exercise double: expected one line"),
        (changed("double", SOLUTION, "\n".join(reversed(SOLUTION.split("\n")))), "exercise double: expected one line"),
        (changed("double", "def double(x):", "def double(x:"), "exercise double: this is no Python"),
        (changed("double", "def double(x):", "if True:"), "exercise double: it defines no function"),
        (
            changed("double", "### END SOLUTION", "### END SOLUTION\n    # begin  Solution"),
            "cell double: 'begin  Solution' stands",
        ),
        (
            changed("q1", "*Model answer.*", "*Model answer.* *Model answer.*"),
            "question q1: expected one '*Model answer.*', found 2",
        ),
        (changed("q1", "*Model answer.*", "*Model Answer.*"), "question q1: expected one '*Model answer.*', found 0"),
        (changed("q1", "Why two?", "Why two? *model answer* no"), "cell q1: '*model answer' stands where"),
        (changed("setup", "import math", "import math\n### BEGIN SOLUTION"), "cell setup: 'BEGIN SOLUTION' stands where"),
        (changed("title", "lab be?", "lab be?\n\n*Model answer.* Very."), "cell title: '*Model answer' stands where"),
        (changed("free", "print(x", "print(x x"), "is no instructor's notebook (invalid syntax"),
        (lambda source: source["cells"].append(mini.question("q1", "*Model answer.* Twice.")), "two cells are called q1"),
        (lambda source: source["cells"][3].pop("source"), "is no instructor's notebook"),
        (lambda source: source.pop("cells"), "is no instructor's notebook"),
        (lambda source: source["cells"].clear(), "is no instructor's notebook"),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_a_notebook_that_is_no_source_is_refused_and_nothing_is_written(notebook, tmp_path, change, message, there):
    if there:
        release([notebook], tmp_path / "new" / "out")
    source = mini.source()
    change(source)
    mini.write(tmp_path / "home", source)
    before = mini.contents(tmp_path)
    with pytest.raises(ReleaseError, match=re.escape(message)):
        release([notebook], tmp_path / "new" / "out")
    assert mini.contents(tmp_path) == before


@pytest.mark.parametrize("words", ["", "{", "[]", "null"])
def test_a_file_that_is_no_notebook_is_refused(notebook, tmp_path, words):
    notebook.write_text(words)
    with pytest.raises(ReleaseError, match=r"07_mini.ipynb is no instructor's notebook"):
        release([notebook], tmp_path / "out")
    with pytest.raises(ReleaseError, match="give the instructor's notebooks"):
        release([notebook.with_name("09_none.ipynb")], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("method", "call"), [("write_bytes", 0), ("write_bytes", 3), ("mkdir", 2), ("rename", 0), ("rename", 1), ("moved", 0)]
)
def test_an_interrupted_release_leaves_the_old_one(notebook, tmp_path, monkeypatch, there, method, call):
    if there:
        release([notebook], tmp_path / "out")
        (notebook.parent / "expected.toml").write_text("")
    elif (method, call) == ("rename", 1):
        pytest.skip("without an old release one rename is all")
    before, calls = mini.contents(tmp_path), []
    real = getattr(Path, method.replace("moved", "rename"))

    def fails(path: Path, *arguments: Any, **options: Any) -> Any:
        calls.append(path)
        if method == "moved" and len(calls) == 1:
            real(path, *arguments, **options)  # interrupted when the work was just done
        if len(calls) == call + 1:
            raise KeyboardInterrupt
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, method.replace("moved", "rename"), fails)
    with pytest.raises(KeyboardInterrupt):
        release([notebook], tmp_path / "out")
    monkeypatch.undo()
    if method == "moved" and not there:
        assert set(mini.contents(tmp_path / "out")) >= {MARK, "README.md"}  # whole already
    else:
        assert mini.contents(tmp_path) == before


def test_a_full_disk_is_said_and_leaves_nothing(notebook, tmp_path, monkeypatch):
    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        release([notebook], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


# --- a release that is put on the web

BADGES = {
    "https://github.com/dept/vision": (
        "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        "(https://colab.research.google.com/github/dept/vision/blob/spring/26/notebooks/07_mini.ipynb) "
        "[![Launch Binder](https://mybinder.org/badge_logo.svg)]"
        "(https://mybinder.org/v2/gh/dept/vision/spring%2F26?labpath=notebooks/07_mini.ipynb)"
    ),
    "https://gitlab.com/uni/dept/vision": (
        "[![Launch Binder](https://mybinder.org/badge_logo.svg)]"
        "(https://mybinder.org/v2/gl/uni%2Fdept%2Fvision/spring%2F26?labpath=notebooks/07_mini.ipynb)"
    ),
    "https://git.example.edu:8443/vision.git": "",
}
HOSTS = r"colab\.research|mybinder|github\.com|gitlab"


@pytest.fixture
def hosted(notebook) -> Path:
    """The small workbook with what only a hosted release needs; gives its notebook."""
    source = mini.source()
    source["cells"].insert(1, mini.code("hosted", f"import sys\n\n{PLACE}  # where the course is"))
    source["cells"][0]["source"] = ["# 07 · How short can a lab be?\n", "\n", "Very."]
    home = notebook.parent.parent
    (home / ".binder").mkdir()
    (home / ".binder" / "environment.yml").write_text("name: labkit\n")
    (home / ".binder" / "postBuild").write_text("pip install -e .\n")
    (home / "pyproject.toml").write_text('[project]\ndependencies = ["torch>=2.5", "jupyterlab>=4", "open_clip_torch>=2"]\n')
    return mini.write(home, source)


@pytest.mark.parametrize("url", BADGES)
def test_with_an_address_the_notebooks_first_cell_and_badges_know_it_and_nothing_else_changes(hosted, tmp_path, url):
    release([hosted], tmp_path / "plain")
    for out in ("one", "two"):
        release([hosted], tmp_path / out, repository(url + "/", "spring/26"))
    plain, made = (mini.contents(tmp_path / out) for out in ("plain", "one"))
    assert made == mini.contents(tmp_path / "two")
    binder = {".binder", ".binder/environment.yml", ".binder/postBuild", ".binder/colab.txt"}
    assert set(made) - set(plain) == binder and made[".binder/colab.txt"] == b"torch>=2.5\nopen_clip_torch>=2\n"
    changed = {name for name in plain if plain[name] != made[name]}
    assert changed == {"notebooks/07_mini.ipynb", MARK} | ({"README.md"} if BADGES[url] else set())
    first, cell, *rest = json.loads(made["notebooks/07_mini.ipynb"])["cells"]
    assert text(cell) == f'import sys\n\nCOURSE, BRANCH = "{url}", "spring/26"  # where the course is'
    lines = ["# 07 · How short can a lab be?", "", "Very."]
    assert text(first).split("\n") == ([*lines[:2], BADGES[url], *lines[1:]] if BADGES[url] else lines)
    assert rest == json.loads(plain["notebooks/07_mini.ipynb"])["cells"][2:]
    guide = made["README.md"].decode()
    row = "- [07 · How short can a lab be?](notebooks/07_mini.ipynb)"
    assert f"{row} {BADGES[url]}".rstrip() + "\n" in guide and "@" not in guide
    assert ("Install nothing" in guide, "On Colab run" in guide) == (bool(BADGES[url]), "Colab" in BADGES[url])


def test_without_an_address_nothing_of_a_host_is_in_the_source_or_a_release(released, hosted, tmp_path):
    release([hosted], tmp_path / "out")
    for folder in (released, tmp_path / "out"):
        assert not (folder / ".binder").exists()
        for path in (*(folder / "notebooks").glob("*.ipynb"), folder / "README.md", *PATHS):
            found = re.findall(HOSTS, path.read_text(encoding="utf-8"))
            assert not set(found) - {"github.com"} and (path.suffix == ".ipynb" or not found), path


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """All labs, released once with an address; not to be written in."""
    out = tmp_path_factory.mktemp("published") / "student"
    release(PATHS, out, Repository("https://github.com/dept/vision"))
    return out


def test_every_lab_has_its_badges_and_the_address_and_is_otherwise_the_lab_without(published, released):
    guide = (published / "README.md").read_text(encoding="utf-8")
    for lab in LABS:
        made, plain = (load(folder / "notebooks" / f"{lab}.ipynb") for folder in (published, released))
        nbformat.validate(nbformat.from_dict(made), relax_add_props=False)
        assert text(made["cells"][1]).count('COURSE, BRANCH = "https://github.com/dept/vision", "main"  #') == 1
        badges = text(made["cells"][0]).split("\n")[2]
        assert badges in guide and badges.count(f"notebooks/{lab}.ipynb)") == 2
        assert made["cells"][2:] == plain["cells"][2:] and made["metadata"] == plain["metadata"]
    assert (published / "notebooks" / STUBS).read_bytes() == (released / "notebooks" / STUBS).read_bytes()
    assert leaks(published, secrets()) == set()


def test_what_colab_installs_is_all_that_the_package_asks_for_but_the_notebook_itself(published):
    import tomllib

    asked = tomllib.loads((published / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    brought = (published / ".binder" / "colab.txt").read_text(encoding="utf-8").splitlines()
    left = {re.match(r"[\w-]+", line).group() for line in set(asked) - set(brought)}
    assert set(brought) < set(asked) and left == FRONT_END
    for name in ("environment.yml", "postBuild"):
        assert (published / ".binder" / name).read_bytes() == (ROOT / ".binder" / name).read_bytes()


def test_a_submission_made_from_a_hosted_release_is_taken_as_any_other(published, released, tmp_path):
    from labkit.grading.ingest import ingest
    from labkit.grading.source import read_source

    source = read_source(NOTEBOOKS / "08_dann.ipynb")
    for student, folder in (("ann", published), ("bob", released)):
        notebook = load(folder / "notebooks" / "08_dann.ipynb")
        next(cell for cell in notebook["cells"] if name_of(cell) == "ramp")["source"] = "def ramp(): return 1"
        (tmp_path / student).mkdir()
        (tmp_path / student / "08_dann.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    ann, bob = ingest(tmp_path, source)
    assert ann.cells == bob.cells and ann.cells["ramp"] == "def ramp(): return 1"
    assert (ann.notes, ann.fault) == (bob.notes, bob.fault) == ((), "")
    rebuilt = source.rebuilt(ann.cells)
    assert 'COURSE, BRANCH = "", "main"' in text(rebuilt["cells"][1]) and "badge" not in json.dumps(rebuilt)


@pytest.mark.parametrize(
    ("url", "branch", "message"),
    [
        ("http://github.com/dept/vision", "main", "does not begin with https://: give the address as a browser shows it"),
        ("git@github.com:dept/vision.git", "main", "does not begin with https://"),
        ("dept/vision", "main", "does not begin with https://"),
        ("", "main", "does not begin with https://"),
        ("https://me:secret@github.com/dept/vision", "main", "holds '@', so perhaps a name or a password"),
        ("https://github.com/dept/vision.git", "main", "ends in .git, which the badges' addresses must not: leave it off"),
        ("https://gitlab.com/dept/vision.git/", "main", "ends in .git"),
        ("https://github.com/dept/vi sion", "main", "holds ' '"),
        ("https://github.com/dept/vision ", "main", "holds ' '"),
        ('https://github.com/dept/"vision"', "main", "holds '\"'"),
        ("https://github.com/dept/it's", "main", 'holds "\'"'),
        ("https://github.com/dept/vision?tab=readme", "main", "holds '?'"),
        ("https://github.com/dept/vision\nimport os", "main", r"holds '\n'"),
        ("https://github.com/dept/vision/tree/main", "main", "is no repository itself"),
        ("https://gitlab.com/dept/vision/-/tree/main", "main", "is no repository itself"),
        ("https://github.com/dept", "main", "is no repository itself"),
        ("https://github.com", "main", "names no repository"),
        ("https:///dept/vision", "main", "names no repository"),
        ("https://git.example.edu/../vision", "main", "names no repository"),
        ("https://git.example.edu//vision", "main", "names no repository"),
        ("https://github.com/dept/vision", "", "--branch '' is no name of a branch"),
        ("https://github.com/dept/vision", "-u", "--branch '-u' is no name"),
        ("https://github.com/dept/vision", "a..b", "is no name of a branch"),
        ("https://github.com/dept/vision", "a/", "is no name of a branch"),
        ("https://github.com/dept/vision", 'a"b', "is no name of a branch"),
        ("https://github.com/dept/vision", "main\n", "is no name of a branch"),
    ],
)
def test_what_is_no_address_of_a_repository_is_refused(url, branch, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        repository(url, branch)
    assert "secret" not in str(caught.value)


def test_an_address_is_brought_to_one_form():
    assert repository("https://www.GitHub.com/Dept/vision.x/") == Repository("https://github.com/Dept/vision.x", "main")


@pytest.mark.parametrize(
    "cell", ["import sys", f"# {PLACE}", f"{PLACE}\n{PLACE}", f"{PLACE}.strip()", 'COURSE, BRANCH = "https://x.org/y", "main"']
)
def test_an_address_without_its_place_is_refused_and_nothing_is_written(hosted, tmp_path, cell):
    source = load(hosted)
    source["cells"][1]["source"] = cell
    mini.write(hosted.parent.parent, source)
    with pytest.raises(ReleaseError, match=r"07_mini.ipynb: the address goes into one cell 'hosted' with one line"):
        release([hosted], tmp_path / "out", Repository("https://github.com/dept/vision"))
    assert not (tmp_path / "out").exists()


def test_without_a_list_of_packages_there_is_nothing_to_publish(hosted, tmp_path):
    (hosted.parent.parent / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ReleaseError, match=r"pyproject.toml does not say what Colab must install"):
        release([hosted], tmp_path / "out", Repository("https://github.com/dept/vision"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--repo-url", "https://github.com/dept/vision"], 0, "into branch main of https://github.com/dept/vision\n"),
        (["--repo-url", "https://github.com/dept/vision", "--branch", "v2"], 0, "into branch v2 of https://github.com"),
        (
            ["--repo-url", "https://gitlab.com/dept/vision"],
            0,
            "no badge 'Open in Colab': Colab opens notebooks of github.com only",
        ),
        (["--repo-url", "https://git.example.edu/vision"], 0, "no badges: Colab opens"),
        (["--repo-url", "vision"], 2, "does not begin with https://"),
        (["--repo-url", ""], 2, "does not begin with https://"),
        (["--branch", "v2"], 2, "give --repo-url, too"),
        ([], 0, "1 labs for students"),
    ],
)
def test_the_command_takes_an_address_and_says_what_comes_next(hosted, tmp_path, words, code, said):
    from typer.testing import CliRunner

    from labkit.cli import app

    result = CliRunner().invoke(app, ["release", "7", "--out", str(tmp_path / "out"), *words])
    assert result.exit_code == code and said in result.output
    assert (tmp_path / "out").exists() == (code == 0)
    if code == 0:
        assert (tmp_path / "out" / ".binder").exists() == bool(words) == ("put what is in this folder" in result.output)
