"""Promises in seconds, on this machine: reported, not enforced, since another machine or a busy one is no fault of the code."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time

import pytest
import small_lab
from rows import LABS

from labkit.book import state
from labkit.files import home

pytestmark = [pytest.mark.benchmark, pytest.mark.slow, pytest.mark.timeout(1800)]

IMPORT = """
import sys, time
start = time.perf_counter()
import {0}
print(1000 * (time.perf_counter() - start), "torch" in sys.modules)
"""


def test_importing_labkit_against_importing_torch(bench):
    took: list[float] = []
    heavy: set[str] = set()

    def fresh(name: str) -> tuple[float, str]:
        said = subprocess.run([sys.executable, "-c", IMPORT.format(name)], check=True, capture_output=True, text=True)
        ms, torch_too = said.stdout.split()
        return float(ms), torch_too

    def mine() -> None:
        ms, torch_too = fresh("labkit")
        took.append(ms)
        heavy.add(torch_too)

    bench.ratio("import-torch", lambda: fresh("torch"), mine, repeats=3)
    bench.value("import", took)
    assert heavy == {"False"}, "import labkit imports torch"


def test_minutes_of_the_last_run_of_all_labs(bench):
    noted = state.last_run(home() / "runs" / "book-tiny")
    if noted is None or noted["labs"] != list(LABS) or noted["jobs"] != 2:
        bench.lacks("book", "the last labkit run here was not one of all labs, two at a time")
    else:
        bench.value("book", [noted["seconds"] / 60])


@pytest.mark.parametrize("lab", LABS)
def test_seconds_of_each_lab_in_the_last_workbook(bench, lab):
    entry = state.load(home() / "runs" / "book-tiny", lab)
    if entry is None or entry.profile != "tiny" or entry.status != "ok":
        bench.lacks(lab, "no workbook of this machine holds it: labkit run")
    else:
        bench.value(lab, [entry.seconds], note=f"labkit run of {entry.date[:10]}")


def test_seconds_of_grading_a_submission(bench, tmp_path):
    """The whole command, its start and the students' release included, with one job: that makes six a small class."""
    from labkit.grading.backends import BACKENDS, NoSandbox

    try:
        BACKENDS["bwrap"].require()
    except NoSandbox:
        for key in ("grading", "lost"):
            bench.lacks(key, "no sandbox here: labkit doctor says why")
        pytest.skip("bubblewrap does not work here")
    small_lab.workbook(tmp_path / "workbook")
    wrong = "def ramp(progress, gamma=10.0):\n    return 0.5"
    kinds = [{}, {}, {}, {"ramp": wrong}, {"ramp": None}]
    class_of_six = [*(small_lab.right(**kind) for kind in kinds), small_lab.handed_in()]
    for i, notebook in enumerate(class_of_six):
        small_lab.write(tmp_path / "six", f"s{i}", notebook)
    words = ["grade", "90", str(tmp_path / "six"), "--out", str(tmp_path / "out"), "--seed", "7", "--jobs", "1"]
    words += ["--no-rerun", "--exercise-timeout", "120"]  # a busy machine must not turn a right answer into a late one
    env = {**os.environ, "LABKIT_HOME": str(tmp_path / "workbook")}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "labkit.cli", *words], env=env, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stdout + done.stderr
    with (tmp_path / "out" / "scores.csv").open(encoding="utf-8", newline="") as file:
        known = {row["student"]: row["auto"] for row in csv.DictReader(file)}
    lost = [student for student in (f"s{i}" for i in range(len(class_of_six))) if not known.get(student)]
    bench.value("grading", [seconds / len(class_of_six)], note=f"the command's start shared by {len(class_of_six)}")
    bench.value("lost", [len(lost)], note=f"of {len(class_of_six)}")
    assert not lost and json.loads((tmp_path / "out" / "grading.json").read_text(encoding="utf-8"))
    assert [float(known[f"s{i}"]) for i in (0, 3, 5)] == [5, 4, 0]
