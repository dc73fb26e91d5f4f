"""Bands and verdict counts over seeds, from runs of a lab that stands in for a real one."""

import math
import tomllib

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit.calibrate import CalibrationFailed, calibrate, gathered, summarise
from labkit.lab import open_lab
from labkit.ledger import write_bands

CELL = """
from IPython.display import display
import os
seed = int(os.environ["LABKIT_SEED"])
{before}
values = {{"seed": seed, "claims": [{{"id": "c", "verdict": "holds" if seed > 2 else "undecided"}}],
          "records": [{{"name": "r", "arms": ["a", "b"], "wants_band": True, "mean": [seed, 2.5], "values": [[seed], [2.5]]}},
                      {{"name": "count", "arms": [""], "wants_band": True, "mean": [4.5], "values": [[4, 5]]}},
                      {{"name": "other", "arms": [""], "wants_band": False, "mean": [0], "values": [[0]]}}]}}
display({{"application/vnd.labkit.results+json": values}}, raw=True)
"""


def results(seed, *, mean=1.5, arms=("a",)):
    row = {"name": "r", "arms": list(arms), "wants_band": True, "mean": [mean] * len(arms), "values": [[mean]] * len(arms)}
    return {"seed": seed, "records": [row], "claims": [{"id": "c", "verdict": "holds"}]}


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A function that writes the lab; its home holds nothing else."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").write_text("# a comment\n[01_t.claims]\nc = { tiny = 'holds' }\n")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    path = tmp_path / "notebooks" / "01_t.ipynb"

    def write(before=""):
        nbformat.write(new_notebook(cells=[new_code_cell(CELL.format(before=before))]), path)
        return path

    return write


@pytest.mark.slow
def test_bands_are_mean_and_sd_over_the_seeds_1_to_10_and_the_rest_of_the_file_stays(notebook):
    path = notebook('assert os.environ["LABKIT_CALIBRATE"] == "1"')
    calibrate(path, jobs=2)
    text = path.with_name("expected.toml").read_text()
    part = tomllib.loads(text)["01_t"]
    assert text.startswith("# a comment\n") and part["claims"] == {"c": {"tiny": "holds"}}
    bands = part["bands"]["tiny"]
    assert bands["runs"] == 10 and bands["verdicts"] == {"c": "8 holds, 2 undecided"}
    assert set(bands["records"]) == {"r", "count"}
    assert bands["records"]["r"] == {"mean": [5.5, 2.5], "sd": [3.028, 0.0]}
    assert bands["records"]["count"]["step"] == 1.0


@pytest.mark.slow
def test_a_run_that_fails_leaves_the_file_as_it_was_and_ends_the_others(notebook):
    path = notebook("import time\nif seed == 1: raise KeyError('no')\nif seed > 1: time.sleep(60)")
    before = path.with_name("expected.toml").read_text()
    with pytest.raises(CalibrationFailed, match=r"seed 1: error .*KeyError"):
        calibrate(path, jobs=2)
    assert path.with_name("expected.toml").read_text() == before


def test_too_few_seeds_are_refused(notebook):
    with pytest.raises(ValueError, match="9 seeds are too few"):
        calibrate(notebook(), seeds=9)


@pytest.mark.parametrize("mean", [None, float("nan"), float("inf")])
def test_a_record_that_is_not_finite_gets_no_band(mean):
    with pytest.raises(CalibrationFailed, match="seed 2: the record 'r' is not finite"):
        summarise([results(1), {**results(2), "records": [{**results(2)["records"][0], "mean": [mean]}]}])


def test_runs_that_record_different_arms_are_refused():
    with pytest.raises(CalibrationFailed, match="different names or arms"):
        summarise([results(1), results(2, arms=("a", "b"))])


def extended(*runs):
    return [{"seed": seed, "records": [], "claims": [], "extended": rows} for seed, rows in enumerate(runs)]


def labels(**values):
    return [{"name": "labels", "values": values}]


def test_what_only_a_calibration_measures_is_gathered_by_arm():
    runs = [labels(few=[seed], many=[10 + seed]) for seed in range(3)]
    assert gathered(extended(*runs)) == {"labels": {"few": [0, 1, 2], "many": [10, 11, 12]}}
    assert gathered(extended([], [])) == {}


@pytest.mark.parametrize("other", [[], labels(few=[1.0]), labels(many=[1.0], few=[2.0])])
def test_calibrated_arms_must_not_depend_on_the_seed(other):
    for runs in ((labels(few=[1.0], many=[2.0]), other), (other, labels(few=[1.0], many=[2.0]))):
        with pytest.raises(CalibrationFailed, match="not every run measured the same arms of 'labels'"):
            gathered(extended(*runs))


@pytest.mark.parametrize("value", [math.nan, None])
def test_a_calibrated_value_that_is_not_finite_is_refused(value):
    with pytest.raises(CalibrationFailed, match="'labels' is not finite in some run"):
        gathered(extended(labels(few=[value])))


def test_under_labkit_calibrate_a_lab_measures_what_every_other_run_reads(notebook, monkeypatch, capsys):
    path, arms = notebook(), ["few", "100, random"]
    monkeypatch.setenv("LABKIT_CALIBRATE", "1")
    lab = open_lab(path.stem, profile="tiny", seed=4)
    values, origin = lab.calibrated("more", lambda position: [lab.seed, 2 * lab.seed + position], arms=arms, seeds=3)
    assert {arm: row.tolist() for arm, row in values.items()} == {"few": [4], "100, random": [8]} and origin == "1 seed"
    assert gathered([lab.results()]) == {"more": {"few": [4.0], "100, random": [8.0]}}

    monkeypatch.delenv("LABKIT_CALIBRATE")
    kept = {"more": {"few": [4.0, 5.0], "100, random": [8.0, 10.0]}}
    write_bands(path.stem, "tiny", {"runs": 10}, {}, path=path.with_name("expected.toml"), extended=kept)
    lab = open_lab(path.stem, profile="tiny")
    values, origin = lab.calibrated("more", pytest.fail, arms=arms, seeds=3)
    assert {arm: row.tolist() for arm, row in values.items()} == kept["more"] and origin == "calibrated, 2 seeds"
    assert lab.expected.calibration == {"runs": 10} and lab.results()["extended"] == []
    other_way_round = lab.calibrated("more", pytest.fail, arms=arms[::-1], seeds=3)[0]
    assert list(values) == arms and list(other_way_round) == arms[::-1] and other_way_round["few"].tolist() == [4, 5]

    capsys.readouterr()
    assert lab.calibrated("more", pytest.fail, arms=["few"], seeds=3) == ({}, "not calibrated")
    assert capsys.readouterr().out == f"more: calibrated with other settings; `labkit calibrate {path.stem}` measures it\n"
    assert lab.calibrated("never", pytest.fail, arms=arms, seeds=3) == ({}, "not calibrated")
    assert "never: never calibrated; `labkit calibrate" in capsys.readouterr().out


def test_outside_tiny_calibrated_values_are_measured_at_once_and_not_kept(notebook, monkeypatch):
    monkeypatch.setenv("LABKIT_CALIBRATE", "1")
    lab = open_lab(notebook().stem, profile="laptop")
    values, origin = lab.calibrated("more", lambda position: [position, 10 + position], arms=["a", "b"], seeds=3)
    assert values["a"].tolist() == [0, 1, 2] and values["b"].tolist() == [10, 11, 12] and origin == "3 seeds"
    assert lab.results()["extended"] == []


@pytest.mark.parametrize(
    ("measure", "seeds", "message"),
    [
        (lambda position: 1.0, 2, r"what measures 'more' gave shape \(1,\): return one number for each of 2 arms"),
        (lambda position: [[1.0, 2.0]], 2, r"gave shape \(1, 2\)"),
        (lambda position: [1.0, 2.0], 0, "0 seeds for 'more': ask for at least 1"),
    ],
)
def test_what_is_no_value_an_arm_is_refused(notebook, measure, seeds, message):
    lab = open_lab(notebook().stem, profile="laptop")
    with pytest.raises(ValueError, match=message):
        lab.calibrated("more", measure, arms=["a", "b"], seeds=seeds)
