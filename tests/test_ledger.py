"""Verdicts against scipy's intervals, and expected.toml: what is read, refused and written."""

from __future__ import annotations

import json
import statistics
import tomllib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from labkit import ledger
from labkit.ledger import Expected, code_hash, judge, spread, write_bands

# --- verdicts

numbers = st.floats(-100, 100).map(lambda x: round(x, 3))


def interval(values) -> tuple[float, float]:
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return float(low), float(high)


@settings(max_examples=300, deadline=None)
@given(values=st.lists(numbers, min_size=2, max_size=10), low=st.none() | numbers, high=st.none() | numbers)
def test_a_verdict_is_what_scipys_interval_says_and_never_holds_when_it_crosses(values, low, high):
    assume(low is not None or high is not None)
    assume(np.std(values) > 1e-2)
    below, above = interval(values)
    ends = [end for end in (low, high) if end is not None]
    assume(all(abs(x - end) > 1e-6 for x in (below, above) for end in ends))
    verdict = judge(values, at_least=low, at_most=high)
    if any(below < end < above for end in ends):
        assert verdict.word != ledger.HOLDS
    if (low is None or low <= below) and (high is None or above <= high):
        assert verdict.word == ledger.HOLDS
    elif (low is not None and above < low) or (high is not None and below > high):
        assert verdict.word == ledger.FAILS
    else:
        assert verdict.word == ledger.UNDECIDED


@pytest.mark.parametrize(
    ("values", "bounds", "word"),
    [
        ([1.9, 2.0, 2.1], {"at_least": 1}, "holds"),
        ([1.9, 2.0, 2.1], {"at_most": 1}, "does not hold"),
        ([1.9, 2.0, 2.1], {"at_least": 2}, "undecided"),
        ([1.9, 2.0, 2.1], {"at_least": 1, "at_most": 3}, "holds"),
        ([1.9, 2.0, 2.1], {"at_least": 1, "at_most": 1.5}, "does not hold"),
        ([1.9, 2.0, 2.1], {"at_least": 1, "at_most": 2.05}, "undecided"),
        ([2.0, 2.0, 2.0], {"at_least": 2}, "holds"),  # the threshold itself is on the right side
        (5.0, {"at_least": 1}, "undecided"),  # one seed says nothing
        ([-5.0], {"at_least": 1}, "undecided"),
        ([5.0], {"at_least": 1, "at_most": 9}, "undecided"),
        ([1.0, np.nan, 2.0], {"at_least": 0}, "not measured"),
        ([1.0, np.inf], {"at_least": 0}, "not measured"),
    ],
)
def test_words_of_a_verdict(values, bounds, word):
    assert judge(values, **bounds).word == word


@pytest.mark.parametrize(("value", "word"), [(2, "holds"), (1.0, "holds"), (0.999, "does not hold"), ([2.0, 2.0], "holds")])
def test_a_deterministic_quantity_needs_one_value(value, word):
    verdict = judge(value, at_least=1, deterministic=True)
    assert verdict.word == word and "deterministic" in verdict.numbers


def test_a_verdict_carries_the_numbers_that_it_rests_on():
    low, high = interval([1.0, 2.0, 4.0])
    assert judge([1.0, 2.0, 4.0], at_least=1).numbers == f"2.33 [{low:.3g}, {high:.3g}], 3 seeds; asked: at least 1"
    assert judge(3, at_least=1, at_most=4).numbers == "3, one seed; asked: at least 1 and at most 4"
    assert judge([1, np.nan], at_most=4).numbers == "1 of 2 values are not finite; asked: at most 4"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, 2], {}, "say what is claimed: at_least=, at_most= or both"),
        ([[1, 2]], {"at_least": 0}, r"one number a seed, got shape \(1, 2\): take the difference of two arms first"),
        ([], {"at_least": 0}, r"got shape \(0,\)"),
        ([1, 2], {"at_least": 0, "deterministic": True}, r"declared deterministic, but the values differ: \[1.0, 2.0\]"),
    ],
)
def test_claims_that_cannot_be_judged_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        judge(values, **options)


# --- expected.toml

TOML = """\
# why this file is here

[lab_a.minutes]
tiny = 0.5  # measured on a slow machine

[lab_a.claims]
first = { tiny = "holds", laptop = "fails" }
second = { full = "open" }

[lab_a.reported]
loss = [
    { value = "23.31", source = "a report" },  # not ours
    { value = 8, source = "another" },
]

[lab_a.bands.laptop]
command = "by hand"
code = "abc"
records = { loss = { mean = [1.0], sd = [0.5] } }

[lab_b.claims]
other = { tiny = "fails" }
"""


@pytest.fixture
def toml(tmp_path):
    path = tmp_path / "expected.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def test_expectations_of_one_lab_under_one_profile(toml):
    tiny, full = Expected("lab_a", "tiny", path=toml), Expected("lab_a", "full", path=toml)
    assert tiny.minutes == 0.5 and full.minutes is None
    assert tiny.claims == {"first": "holds", "second": "open"} and full.claims == {"first": "open", "second": "open"}
    assert tiny.reported("loss") == [{"value": "23.31", "source": "a report"}, {"value": "8", "source": "another"}]
    assert tiny.reported("kl") == [] and tiny.band("loss") is None and tiny.calibration == {}
    laptop = Expected("lab_a", "laptop", path=toml)
    assert laptop.band("loss") == [(-1.5, 3.5)] and laptop.calibration == {"command": "by hand", "code": "abc"}
    nobody = Expected("lab_c", "tiny", path=toml)
    assert nobody.claims == {} and nobody.minutes is None


def test_the_file_is_found_in_the_workbook(toml, monkeypatch):
    (toml.parent / "notebooks").mkdir()
    toml.rename(toml.parent / "notebooks" / "expected.toml")
    monkeypatch.setenv("LABKIT_HOME", str(toml.parent))
    assert Expected("lab_b", "tiny").claims == {"other": "fails"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[lab_a\n", "is not valid TOML: .*line 1"),
        ('[lab_a.claims]\nfirst = { tiny = "yes" }', "claim 'first' expects 'yes'; use 'holds', 'fails' or 'open'"),
        ('[lab_a.claims]\nfirst = "holds"', "claim 'first' is 'holds'; give a word by profile"),
        ('[lab_a.claims]\nfirst = { tinny = "holds" }', r"claim 'first' is .*tinny.*\(tiny, laptop, full\)"),
    ],
)
def test_mistakes_in_the_file_are_named_with_its_path(toml, text, message):
    toml.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Expected("lab_a", "tiny", path=toml)
    assert str(toml) in str(caught.value)


def test_a_mistake_in_another_lab_does_not_stop_this_one(toml):
    toml.write_text(TOML + 'more = { tiny = "perhaps" }\n')
    assert Expected("lab_a", "tiny", path=toml).claims


@pytest.mark.parametrize(
    ("mean", "sd", "ends"),
    [(10.0, 1.0, (5.0, 15.0)), (-10.0, 1.0, (-15.0, -5.0)), (-10.0, 0.0, (-10.01, -9.99)), (0.0, 0.0, (0.0, 0.0))],
)
def test_a_band_is_five_sd_wide_either_way_and_never_narrower_than_a_last_digit(toml, mean, sd, ends):
    write_bands("lab_b", "tiny", {"code": "x"}, {"r": {"mean": [mean, 1.0], "sd": [sd, 0.1]}}, path=toml)
    first, second = Expected("lab_b", "tiny", path=toml).band("r")
    assert np.allclose(first, ends) and np.allclose(second, (0.5, 1.5))


HEADER = {"command": "labkit calibrate", "code": "123abc", "runs": 10, "verdicts": {"first": "9 holds, 1 undecided"}}


@pytest.mark.parametrize(("lab", "profile"), [("lab_a", "tiny"), ("lab_a", "laptop"), ("lab_b", "tiny"), ("lab_c", "full")])
def test_written_bands_leave_the_rest_of_the_file_as_it_is(toml, lab, profile):
    before = tomllib.loads(TOML)
    bands = {"kl": {"mean": [1.23456789, 2.0], "sd": [0.1, 0.0]}, "loss": {"mean": [3.0], "sd": [1e-9]}}
    for _ in range(2):  # a second time they take the place of the first
        write_bands(lab, profile, HEADER, bands, path=toml)
        text = toml.read_text(encoding="utf-8")
        after = tomllib.loads(text)
        written = after[lab]["bands"].pop(profile)
        assert {k: v for k, v in written.items() if k != "records"} == HEADER
        assert written["records"] == {"kl": {"mean": [1.235, 2.0], "sd": [0.1, 0.0]}, "loss": {"mean": [3.0], "sd": [1e-9]}}
        expected = json.loads(json.dumps(before))
        bands_before = expected.setdefault(lab, {}).setdefault("bands", {})
        bands_before.pop(profile, None)
        assert after == expected
        kept = [
            line
            for line in TOML.splitlines()
            if profile != "laptop" or not line.startswith(("[lab_a.bands", "comm", "code", "reco"))
        ]
        lines = iter(text.splitlines())
        assert all(line in lines for line in kept)  # every line, comments too, in its order
    assert text.count("labkit calibrate") == 1
    assert Expected(lab, profile, path=toml).calibration["runs"] == 10


def test_bands_that_cannot_be_written_leave_the_file_whole(toml, monkeypatch):
    def refuse(*args):
        raise OSError(28, "full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="the disk is full"):
        write_bands("lab_a", "tiny", {}, {}, path=toml)
    assert toml.read_text() == TOML


# --- code hash and spread


def notebook(path, *cells):
    path.write_text(json.dumps({"cells": [{"metadata": {}, "outputs": [], **cell} for cell in cells]}), encoding="utf-8")
    return code_hash(path)


def test_the_code_hash_changes_with_the_code_and_not_with_solutions_text_or_outputs(tmp_path):
    path = tmp_path / "lab.ipynb"
    code = {"cell_type": "code", "source": ["x = 1\n", "y = 2"]}
    text = {"cell_type": "markdown", "source": "words"}
    solution = {"cell_type": "code", "source": "answer = 42", "metadata": {"nbgrader": {"solution": True}}}
    check = {"cell_type": "code", "source": "check(answer)", "metadata": {"nbgrader": {"solution": False, "grade": True}}}
    first = notebook(path, text, code, solution, check)
    same = [
        (text, code, {**solution, "source": "raise NotImplementedError"}, check),
        ({**text, "source": "other words"}, code, solution, check),
        (text, {**code, "outputs": [{"text": "3"}]}, solution, check),
        (text, {**code, "source": "x = 1\ny = 2"}, solution, check),
    ]
    other = [
        (text, {**code, "source": "x = 1\ny = 3"}, solution, check),
        (text, code, solution, {**check, "source": "check(answer, 1)"}),
        (text, code, solution),
        (text, check, solution, code),
        (text, {**code, "source": "x = 1"}, {**code, "source": "y = 2"}, solution, check),
    ]
    assert all(notebook(path, *cells) == first for cells in same)
    assert all(notebook(path, *cells) != first for cells in other)


def test_the_code_hash_looks_from_the_opening_to_the_summary_and_not_at_layout(tmp_path):
    path = tmp_path / "lab.ipynb"

    def made(*sources):
        return notebook(path, *({"cell_type": "code", "source": source} for source in sources))

    first = made("hosted()", 'lab = open_lab("x")', "a  =  'b # c'  # why\n\nif a:\n    b = 1", "lab.summary()", "explore()")
    assert made('lab = open_lab("x")', "a = 'b # c'\nif a:\n    b   = 1  # other", "lab.summary()") == first
    for other in ("a = 'b # d'\nif a:\n    b = 1", "a = 'b # c'\nif a:\n  b = 1", "a = 'b # c'\nif a:\n    b = 2", "a = ("):
        assert made('lab = open_lab("x")', other, "lab.summary()") != first
    assert made('lab = open_lab("x")', "a = ('", "lab.summary()") != made('lab = open_lab("x")', "a = ('b", "lab.summary()")


def test_spread_is_mean_and_sample_sd_by_arm():
    runs = [[1.0, 5.0], [2.0, 5.0], [4.0, 8.0]]
    got = spread(runs)
    for arm in range(2):
        column = [run[arm] for run in runs]
        assert got["mean"][arm] == pytest.approx(statistics.mean(column))
        assert got["sd"][arm] == pytest.approx(statistics.stdev(column))


def test_at_least_zero_claims_an_effect_that_no_effect_does_not_show():
    assert judge([0.0, 0.0, 0.0], at_least=0.0).word == ledger.FAILS
    assert judge([5.0, 5.0, 5.0], at_least=5.0).word == ledger.HOLDS
    assert judge([0.1, 0.1, 0.1], at_least=0.0).word == ledger.HOLDS


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="a threshold must be a number"):
        judge([1.0, 2.0], at_least=float("nan"))


def test_the_band_of_a_count_is_at_least_one_wide(tmp_path):
    path = tmp_path / "expected.toml"
    path.write_text(
        "[lab.bands.tiny.records]\nn = { mean = [20.0], sd = [0.0], step = 1.0 }\nx = { mean = [20.0], sd = [0.0] }\n"
    )
    expected = Expected("lab", "tiny", path=path)
    assert expected.band("n") == [(19.0, 21.0)] and expected.band("x") == [pytest.approx((19.98, 20.02))]
