"""Bands and verdict counts over seeds, from runs of a lab that stands in for a real one."""

import tomllib

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from labkit.calibrate import CalibrationFailed, calibrate, summarise

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
    path = notebook()
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
