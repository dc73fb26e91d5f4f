"""A class of forty: graded with nobody lost, interrupted and resumed, and on a cluster, with the same scores each time."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import sabotage
import small_lab
from test_grading_sandbox import lacking, left_over

pytestmark = [pytest.mark.skipif(bool(lacking()), reason=lacking() or "-"), pytest.mark.timeout(900)]

PARTLY = "def pseudo_labels(logits, threshold):\n    p, labels = logits.softmax(-1).max(-1)\n    return labels, p > threshold"
WRONG = "def ramp(progress, gamma=10.0):\n    return 0.5"


def class_of(n, folder):
    """Hand in n submissions of all kinds; gives what each student should get for the exercises, None if that is open."""
    due = {}
    for i in range(n):
        student = f"s{i:02}"
        kind = i % 10
        if kind == 0:
            notebook, points = small_lab.handed_in(), 0
        elif kind == 1:
            notebook, points = small_lab.right(ramp=WRONG), 4
        elif kind == 2:
            notebook, points = small_lab.right(pseudo_labels=PARTLY), None
        elif kind == 3:
            notebook, points = "{broken", 0
        elif kind == 4:
            notebook, points = small_lab.right(ramp=None), 4
        elif kind == 5 and i < 10:
            notebook, points = small_lab.right(ramp=sabotage.TRICKS["never ends"][0]), 4
        elif kind == 6:
            notebook, points = small_lab.right(ramp=sabotage.TRICKS["kills the driver"][0]), 4
        else:
            notebook, points = small_lab.right(), 5
        small_lab.write(folder, student, notebook)
        due[student] = points
    return due


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    small_lab.workbook(folder / "workbook")
    return folder, class_of(40, folder / "forty")


def command(world, submissions, out, *more):
    folder, _ = world
    words = [sys.executable, "-m", "labkit.cli", "grade", "90", str(folder / submissions), "--out", str(folder / out)]
    env = {**os.environ, "LABKIT_HOME": str(folder / "workbook")}
    more = ("--seed", "7", "--jobs", "2", "--exercise-timeout", "6", *more)
    return subprocess.Popen(
        [*words, *more], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def graded(world, submissions, out, *more):
    process = command(world, submissions, out, *more)
    said = process.communicate(timeout=800)[0]
    return process.returncode, said


def rows(world, out):
    with (world[0] / out / "scores.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def forty(world):
    code, said = graded(world, "forty", "out", "--no-rerun")
    assert code == 0, said
    return rows(world, "out")


def test_nobody_is_lost_and_marks_are_what_they_should_be(world, forty):
    assert list(forty) == sorted(world[1]) and len(forty) == 40
    for student, points in world[1].items():
        if points is not None:
            assert float(forty[student]["auto"] or 0) == points, student
    assert 3 < float(forty["s02"]["auto"]) < 5
    assert forty["s03"]["status"] == "unreadable" and forty["s00"]["status"] != "unreadable"
    assert not left_over()


def test_evidence_feedback_and_summary_are_there_for_all(world, forty):
    out = world[0] / "out"
    for student in forty:
        record = json.loads((out / "evidence" / f"{student}.json").read_text(encoding="utf-8"))
        assert record["student"] == student
        page = (out / "feedback" / f"{student}.html").read_text(encoding="utf-8")
        assert "<script" not in page and not any(f">{other}<" in page for other in forty if other != student)
    record = json.loads((out / "evidence" / "s05.json").read_text(encoding="utf-8"))
    assert {each["grade_id"]: each["status"] for each in record["exercises"]}["ramp"] == "timeout"
    for name in ("summary.html", "hand_marking.html", "hand_marks.csv", "grading.json"):
        assert (out / name).stat().st_size > 0


def scored_in(evidence):
    """What is known of the students whose exercises have been scored."""
    found = {path.name: path.read_bytes() for path in evidence.glob("*.json")}
    return {name: content for name, content in found.items() if json.loads(content)["exercises"]}


def test_interrupted_and_resumed_it_gives_the_same_scores(world, forty):
    process = command(world, "forty", "again", "--no-rerun")
    evidence = world[0] / "again" / "evidence"
    end = time.monotonic() + 300
    while time.monotonic() < end and len(scored_in(evidence)) < 12:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "--resume" in said, said
    done = scored_in(evidence)
    assert 12 <= len(done) < 36
    code, said = graded(world, "forty", "again", "--no-rerun", "--resume")
    assert code == 0, said
    assert all((evidence / name).read_bytes() == content for name, content in done.items()), "what was done is done again"
    assert rows(world, "again") == forty
    assert not left_over()


def test_on_a_cluster_the_scores_are_the_same(world, forty):
    distributed = pytest.importorskip("distributed")
    folder = world[0]
    few = [f"s{i:02}" for i in range(12)]
    for student in few:
        notebook = folder / "forty" / student / f"{small_lab.LAB}.ipynb"
        small_lab.write(folder / "few", student, notebook.read_text(encoding="utf-8"))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        code, said = graded(world, "few", "cluster", "--no-rerun", "--scheduler", cluster.scheduler_address)
    assert code == 0, said
    assert rows(world, "cluster") == {student: forty[student] for student in few}
    code, said = graded(world, "few", "nowhere", "--no-rerun", "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2 and "no Dask scheduler answers" in said
    assert not (folder / "nowhere").exists(), "nothing was graded, and yet something was written"


def test_whole_notebooks_are_executed_and_marks_by_hand_are_merged(world):
    folder = world[0]
    small_lab.write(folder / "two", "ada", small_lab.right())
    small_lab.write(folder / "two", "bob", small_lab.right(ramp=WRONG))
    code, said = graded(world, "two", "both")
    assert code == 0, said
    found = rows(world, "both")
    assert found["ada"]["rerun"] == "ok" and found["bob"]["rerun"] == "error"
    assert "incomplete" in found["ada"]["status"], "the question is not marked yet"
    evidence = {path.name: path.stat().st_mtime_ns for path in (folder / "both" / "evidence").glob("*.json")}
    marks = folder / "both" / "hand_marks.csv"
    marks.write_text("student,question,points,comment\nada,q1,2.5,good\nbob,q1,0,\n", encoding="utf-8")
    before = {name: (folder / "both" / "evidence" / name).read_bytes() for name in evidence}
    code, said = graded(world, "two", "both", "--resume")
    assert code == 0 and "executed" not in said and "scored" not in said, said
    found = rows(world, "both")
    assert float(found["ada"]["total"]) == 7.5 and found["ada"]["status"] == "graded"
    assert {name: (folder / "both" / "evidence" / name).read_bytes() for name in evidence} == before
    assert marks.read_text(encoding="utf-8").startswith("student,question,points,comment\nada"), "filled in by hand, and kept"


def test_a_changed_exercise_is_scored_again_and_executed_again_but_nothing_else(world):
    folder = world[0]
    small_lab.write(folder / "one", "ada", small_lab.right(ramp=WRONG))
    small_lab.write(folder / "one", "bob", small_lab.right())
    assert graded(world, "one", "changed", "--no-rerun")[0] == 0
    small_lab.write(folder / "one", "ada", small_lab.right())
    code, said = graded(world, "one", "changed", "--no-rerun", "--resume")
    assert code == 0 and "1/1 scored: ada" in said
    assert rows(world, "changed")["ada"]["auto"] == rows(world, "changed")["bob"]["auto"]


def test_it_refuses_what_would_lose_something(world, tmp_path):
    code, said = graded(world, "forty", "out", "--no-rerun")
    assert code == 2 and "--resume" in said
    (tmp_path / "mine.txt").write_text("x")
    code, said = graded(world, "forty", str(tmp_path), "--no-rerun")
    assert code == 2 and "give another folder" in said and (tmp_path / "mine.txt").exists()
    code, said = graded(world, "nowhere-at-all", "new", "--no-rerun")
    assert code == 2 and not (world[0] / "new").exists()
    code, said = graded(world, "forty", "new", "--no-rerun", "--backend", "docker")
    assert code == 2 and "bwrap" in said


def test_without_isolation_it_says_so_and_grades(world):
    small_lab.write(world[0] / "single", "ada", small_lab.right())
    code, said = graded(world, "single", "plain", "--no-rerun", "--backend", "none")
    assert code == 0 and "NOT ISOLATED" in said
    assert float(rows(world, "plain")["ada"]["auto"]) == 5


def test_going_on_where_nothing_is_left_changes_no_score(world):
    small_lab.write(world[0] / "pair", "ada", small_lab.right())
    small_lab.write(world[0] / "pair", "bob", small_lab.handed_in())  # has answered no question: that is 0, at once
    assert graded(world, "pair", "still", "--no-rerun")[0] == 0
    scores = (world[0] / "still" / "scores.csv").read_bytes()
    assert rows(world, "still")["bob"]["total"] == "0"
    assert graded(world, "pair", "still", "--no-rerun", "--resume")[0] == 0
    assert (world[0] / "still" / "scores.csv").read_bytes() == scores
