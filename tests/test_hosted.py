"""The cell that fetches the course on Colab, run as it is released: against a stand-in for Colab, with git itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bare_python import SITE, cell, environment, python
from notebook_source import NOTEBOOKS

from labkit.handout.hosting import FRONT_END, Repository
from labkit.handout.release import release

LAB = "08_dann"
URL = "https://github.com/dept/vision"
#: Runs the hosted cell `times` times, then `after`, and says what it met and what it left
DRIVER = """
import json, os, subprocess, sys, types
told = json.loads(sys.argv[1])
if told["colab"]:
    sys.modules["google.colab"] = types.ModuleType("google.colab")
if told["forbidden"]:
    def forbidden(*words, **options):
        raise AssertionError(f"a process was started: {words}")
    subprocess.run = subprocess.Popen = os.system = forbidden
if told["recorded"]:
    calls = []
    subprocess.run = lambda command, **options: calls.append(command) or types.SimpleNamespace(returncode=0, stderr="")
before = [dict(os.environ), list(sys.path), set(sys.modules)]
states, error = [], None
try:
    for _ in range(told["times"]):
        exec(told["cell"], {})
        states.append([dict(os.environ), list(sys.path)])
    exec(told["after"], {})
except Exception as caught:
    error = f"{type(caught).__name__}: {caught}"
print(json.dumps({
    "error": error, "before": before[:2], "states": states, "calls": calls if told["recorded"] else [],
    "home": os.environ.get("LABKIT_HOME"), "courses": sorted(n for n in set(sys.modules) - before[2] if "labkit" in n),
}))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A git repository with the release of one lab; not to be written in."""
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    folder = tmp_path_factory.mktemp("repository") / "vision"
    release([NOTEBOOKS / f"{LAB}.ipynb"], folder, Repository(URL))
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Labs"]):
        name = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def colab(repository, tmp_path):
    """Run the hosted cell as on a fresh machine of Colab's, whose course goes to tmp_path/course; pip is a stand-in."""
    pip = tmp_path / "fake" / "pip"
    pip.mkdir(parents=True)
    (pip / "__init__.py").touch()
    (pip / "__main__.py").write_text(
        "import os, sys\n"
        f"open({str(tmp_path / 'pip.log')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "sys.exit(os.environ.get('PIP_SAYS'))\n"
    )

    def run(**told: Any) -> dict[str, Any]:
        source = told.pop("source", repository)
        lent = [tmp_path / "fake", *told.pop("lent", [])]
        # git itself asks this folder whenever it is told the address: the cell stays as it was released
        git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.file://{source}.insteadOf", "GIT_CONFIG_VALUE_0": URL}
        more = {"LABKIT_HOME": str(tmp_path / "course"), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **told.pop("env", {})}
        env = {name: value for name, value in environment(*lent, **git, **more).items() if value}
        told = {"colab": True, "forbidden": False, "recorded": False, "times": 1, "after": "", **told}
        told.setdefault("cell", cell(repository / "notebooks" / f"{LAB}.ipynb", "hosted"))
        done = python(DRIVER, json.dumps(told), cwd=tmp_path / "content", env=env)
        assert done.returncode == 0, done.stderr
        log = tmp_path / "pip.log"
        return {**json.loads(done.stdout.splitlines()[-1]), "pip": log.read_text().splitlines() if log.exists() else []}

    return run


@pytest.mark.slow
def test_the_course_is_fetched_and_the_lab_opens_with_what_colab_has_and_a_second_run_changes_nothing(colab, tmp_path):
    setup = cell(NOTEBOOKS / f"{LAB}.ipynb", "setup")
    after = f"""
import importlib.abc, sys
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(FRONT_END)!r}:
            raise ModuleNotFoundError(f"a lab wants {{name}}, which Colab is not asked for")
sys.meta_path.insert(0, Without())
scope = {{}}
exec({setup!r}, scope)
from labkit import files
import labkit, os
from pathlib import Path
assert scope["lab"].name == {LAB!r} and files.home() == Path(os.environ["LABKIT_HOME"]).resolve(), files.home()
assert Path(labkit.__file__).resolve().is_relative_to(files.home()), labkit.__file__
scope["lab"].record("x", 1.0)
"""
    found = colab(times=2, after=after, lent=SITE)
    assert found["error"] is None
    course = tmp_path / "course"
    assert (course / "notebooks" / f"{LAB}.ipynb").is_file() and "labkit.lab" in found["courses"]
    assert found["pip"] == [f"install -q -r {course}/.binder/colab.txt"] and (course / ".binder" / "colab.txt").is_file()
    assert found["states"][0] == found["states"][1]
    assert found["states"][0][1] == [str(course), *found["before"][1]]


def test_after_a_restart_what_is_there_is_used_and_not_fetched_again(colab, tmp_path):
    assert colab()["error"] is None
    (tmp_path / "course" / "mine.txt").write_text("work")
    again = colab(source=tmp_path / "gone")
    assert again["error"] is None and again["states"][0][1][0] == str(tmp_path / "course")
    assert (tmp_path / "course" / "mine.txt").read_text() == "work" and len(again["pip"]) == 2


def test_the_course_goes_where_colab_has_its_files_unless_told_otherwise(colab):
    found = colab(recorded=True, env={"LABKIT_HOME": ""})
    assert found["home"] == "/content/course"
    (clone, install) = found["calls"]
    assert clone == ["git", "clone", "-q", "--depth", "1", "-b", "main", URL, "/content/course"]
    assert install[1:] == ["-m", "pip", "install", "-q", "-r", "/content/course/.binder/colab.txt"]
    assert found["error"].startswith("ModuleNotFoundError: No module named labkit")  # as nothing came


@pytest.mark.parametrize("where", ["elsewhere", "elsewhere without an address", "on Colab without an address", "installed"])
def test_anywhere_else_it_does_nothing(colab, repository, where):
    told: dict[str, Any] = {"colab": "Colab" in where or where == "installed", "forbidden": True, "lent": [repository]}
    if "without" in where:
        told["cell"] = cell(NOTEBOOKS / f"{LAB}.ipynb", "hosted")
    found = colab(times=2, **told)
    assert found["error"] is None and found["states"] == [found["before"]] * 2
    assert found["pip"] == [] and found["courses"] == []


@pytest.mark.parametrize(
    ("cause", "words"),
    [("address", "does not (exist|appear to be a git repository)"), ("branch", "Remote branch .* not found")],
)
def test_a_clone_that_fails_stops_with_what_git_said_and_leaves_nothing(colab, repository, tmp_path, cause, words):
    if cause == "address":
        found = colab(source=tmp_path / "gone")
    else:
        hosted = cell(repository / "notebooks" / f"{LAB}.ipynb", "hosted")
        found = colab(cell=hosted.replace('"main"', '"autumn"'))
    assert found["error"].startswith("RuntimeError: The course could not be fetched: `git clone -q")
    assert URL in found["error"]
    assert re.search(words, found["error"])
    assert not (tmp_path / "course").exists() and found["pip"] == [] and found["states"] == []


def test_an_installation_that_fails_says_so_and_the_next_run_goes_on_from_there(colab, tmp_path):
    found = colab(env={"PIP_SAYS": "no matching distribution"})
    assert found["error"].startswith("RuntimeError: The course could not be fetched: `")
    assert "pip install" in found["error"] and found["error"].endswith("said: no matching distribution")
    again = colab(source=tmp_path / "gone")  # git would fail
    assert again["error"] is None and len(again["pip"]) == 2
