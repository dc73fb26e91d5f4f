"""The mistakes of the first day, really made: what a student then reads must say what to type."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bare_python import SITE, cell, environment, python, run
from notebook_source import LABS, NOTEBOOKS

from labkit.handout.release import release

ROOT = NOTEBOOKS.parent
LAB = "08_dann"
PATH = NOTEBOOKS / f"{LAB}.ipynb"


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> Path:
    """A student's folder with one lab; not to be written in."""
    release([PATH], out := tmp_path_factory.mktemp("release") / "student")
    return out


@pytest.fixture
def workbook(tmp_path, monkeypatch) -> Path:
    """A folder with expected.toml alone, as LABKIT_HOME."""
    for name in ("PROFILE", "SEED", "DEVICE", "STRICT"):
        monkeypatch.delenv(f"LABKIT_{name}", raising=False)
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "notebooks").mkdir(parents=True)
    shutil.copy(NOTEBOOKS / "expected.toml", tmp_path / "home" / "notebooks")
    return tmp_path / "home"


# --- the wrong Python


def test_a_notebook_on_a_python_without_the_course_names_it_and_says_what_to_type(student, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    (found,) = [path for path in (tmp_path / "bare").glob("*/python*") if path.stem == "python"]
    done = run([str(found), "-c", cell(student / "notebooks" / PATH.name, "hosted")], cwd=tmp_path, env=environment())
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ModuleNotFoundError")]
    assert f"No module named labkit: this notebook runs on {found}, without the course" in line
    assert "Choose its kernel (Kernel, Change Kernel)" in line
    assert ".venv/bin/python -m ipykernel install --user --name labkit" in line
    for guide in (ROOT / "README.md", student / "README.md"):  # what to type is the same everywhere
        assert ".venv/bin/python -m ipykernel install --user --name labkit" in guide.read_text(encoding="utf-8")


# --- the wrong folder


@pytest.mark.slow
@pytest.mark.parametrize("what", ["notebook", "run", "restore"])
def test_outside_the_folder_both_notebook_and_command_say_where_they_are_and_what_to_set(student, tmp_path, what):
    """With labkit installed as a copy, as `pip install .` does it: installed by a link it finds its workbook from anywhere."""
    shutil.copytree(student / "labkit", tmp_path / "site" / "labkit")
    shutil.copytree(ROOT / "labkit" / "grading", tmp_path / "site" / "labkit" / "grading")  # `restore` alone would hide `run`
    desk = tmp_path / "desk"
    env = environment(tmp_path / "site", *SITE)
    if what == "notebook":  # told off first, and then done as told
        setup = repr(cell(student / "notebooks" / PATH.name, "setup"))
        code = f"import os, sys\ntry:\n    exec({setup}, {{}})\nexcept FileNotFoundError as error:\n"
        code += f"    print(error, file=sys.stderr)\nos.environ['LABKIT_HOME'] = {str(student)!r}\nexec({setup}, {{}})\n"
        done = python(code, cwd=desk, env=env)
        assert done.returncode == 0 and done.stdout.startswith(f"{LAB} · profile tiny"), done.stderr
    else:
        words = {"run": ["run"], "restore": ["restore", "8", "ramp"]}[what]
        done = python("import sys; from labkit.cli import app; app(sys.argv[1:])", *words, cwd=desk, env=env)
        assert done.returncode == (2 if what == "run" else 1) and "Traceback" not in done.stderr, done.stderr
    last = done.stderr.splitlines()[-1]
    assert f"no workbook found above {desk.resolve()}: " in last
    assert "Put the notebook back into its notebooks/" in last and last.endswith("set LABKIT_HOME to it")


# --- no network

LOADS = """
import json, os
from labkit import clips, sets, zoo
from labkit.files import OfflineError
nets = ((zoo.load, "resnet18"), (zoo.load, "facebook/deit-tiny-patch16-224"), (clips.load, "ViT-B-32/openai"))
said = {"1": [], "0": []}
for off in said:
    os.environ["LABKIT_OFFLINE"] = off
    for load, name in ((sets.load, "mnist"), *nets):
        try:
            load(name)
        except OfflineError as error:
            said[off].append(str(error))
print(json.dumps(said))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)  # imports transformers and open_clip in a process of its own
def test_without_a_network_the_file_and_its_place_are_named_for_data_and_nets(workbook, tmp_path):
    nowhere = "http://127.0.0.1:9"  # the port of 'discard', which nobody serves
    proxies = {f"{name}_proxy": nowhere for name in ("http", "https", "all")} | {"no_proxy": ""}
    proxies |= {name.upper(): value for name, value in proxies.items()}
    folders = {"HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch"), "HOME": str(tmp_path / "user")}
    env = environment(ROOT, *SITE, LABKIT_HOME=str(workbook), LABKIT_PROFILE="laptop", **folders, **proxies)
    done = python(LOADS, cwd=tmp_path / "desk", env=env)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    public = workbook / "data" / "public"
    places = (
        (public / "MNIST" / "raw", ".gz"),
        (tmp_path / "torch" / "hub" / "checkpoints", "resnet18-f37072fd.pth"),
        (public / "transformers" / "facebook" / "deit-tiny-patch16-224", "model.safetensors"),
        (public / "open_clip" / "ViT-B-32" / "openai", "ViT-B-32.pt"),
    )
    for off, away in zip(said["1"], said["0"], strict=True):
        assert "LABKIT_OFFLINE forbids downloading it: put it at " in off and "or unset LABKIT_OFFLINE" in off
        assert "could not be downloaded (" in away and ": connect to the network, or put " in away
    for lines in said.values():
        assert all(str(place) in line and file in line for line, (place, file) in zip(lines, places, strict=True)), lines
    assert not list(public.rglob("*.*"))


# --- settings that are misspelt


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROFILE", "Tiny", "profile 'Tiny' is unknown: use 'tiny', 'laptop' or 'full' (set LABKIT_PROFILE, or"),
        ("PROFILE", "tiny ", "profile 'tiny ' is unknown: use 'tiny'"),
        ("SEED", "seven", "LABKIT_SEED is 'seven': it must be a whole number in 0..10**12"),
        ("SEED", "1.5", "LABKIT_SEED is '1.5': it must be a whole number"),
        ("DEVICE", "gpu", "device 'gpu' is not on this machine: use one of "),
    ],
)
def test_a_misspelt_setting_stops_the_set_up_cell_with_the_words_that_would_do(workbook, monkeypatch, name, value, message):
    monkeypatch.setenv(f"LABKIT_{name}", value)
    with pytest.raises(ValueError) as caught:
        exec(cell(PATH, "setup"), {})
    assert message in str(caught.value)
    if name == "DEVICE":
        assert "cpu" in str(caught.value).split("use one of ")[1] and "LABKIT_DEVICE" in str(caught.value)


def test_a_misspelt_profile_stops_the_command_before_anything_runs(monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from labkit.cli import app

    monkeypatch.setenv("LABKIT_PROFILE", "Tiny")
    result = CliRunner().invoke(app, ["run", "8", "--out", str(tmp_path / "book")])
    assert result.exit_code == 2 and "profile 'Tiny' is unknown: use tiny, laptop, full" in result.output
    assert not (tmp_path / "book").exists()


# --- copies of a notebook


@pytest.mark.parametrize("lab", [LABS[0], LABS[3], LAB])
@pytest.mark.parametrize("beside", [True, False], ids=["beside the original", "alone"])
def test_a_copy_under_another_name_opens_the_lab_that_it_is(workbook, capsys, lab, beside):
    for name in [f"{lab} (1)", *[lab] * beside]:
        shutil.copy(NOTEBOOKS / f"{lab}.ipynb", workbook / "notebooks" / f"{name}.ipynb")
    scope: dict = {}
    exec(cell(workbook / "notebooks" / f"{lab} (1).ipynb", "setup"), scope)
    assert scope["lab"].name == lab and capsys.readouterr().out.startswith(f"{lab} · profile tiny · ")
    assert scope["lab"].results()["lab"] == lab


def test_beside_a_copy_a_number_means_two_labs_and_the_name_one(workbook):
    from labkit.book.labs import find_labs

    for name in (LAB, f"{LAB} (1)"):
        shutil.copy(PATH, workbook / "notebooks" / f"{name}.ipynb")
    with pytest.raises(ValueError, match=r"'8' means more than one lab: 08_dann, 08_dann \(1\)|08_dann \(1\), 08_dann"):
        find_labs(["8"])
    assert [path.stem for path in find_labs([LAB])] == [LAB]
    assert [path.stem for path in find_labs([f"{LAB} (1).ipynb"])] == [f"{LAB} (1)"]


def test_the_same_lab_may_run_in_two_notebooks_at_once(workbook, tmp_path):
    code = f"""
import json, os
from labkit.lab import open_lab
lab = open_lab({LAB!r}, device="cpu")
for turn in range(25):
    lab.record("x", float(turn), label="turn")
    lab.summary()
    kept = json.loads(open(os.path.join({str(workbook)!r}, "runs", "tiny", {LAB + ".json"!r})).read())
    assert kept["lab"] == {LAB!r} and [row["name"] for row in kept["records"]] == ["x"]
"""
    env = environment(ROOT, *SITE, LABKIT_HOME=str(workbook))
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.communicate()[1][-500:] * bool(process.returncode) for process in both] == [b"", b""]
    assert [path.name for path in (workbook / "runs" / "tiny").iterdir()] == [f"{LAB}.json"]
    assert json.loads((workbook / "runs" / "tiny" / f"{LAB}.json").read_text(encoding="utf-8"))["records"]
