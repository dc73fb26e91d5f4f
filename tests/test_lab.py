"""The lab object: how it opens, what it keeps, and what its summary says, writes and refuses."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from labkit import lab as module
from labkit import report
from labkit.arms import Arms
from labkit.lab import RESULTS_MIME, Lab, Surprise, open_lab
from labkit.sets import Images

TOML = """
[demo.minutes]
laptop = 7

[demo.claims]
good = { tiny = "holds" }
bad = { tiny = "fails" }
free = { tiny = "open" }

[demo.sources]
A = "a report by <somebody>"

[demo.reported]
loss = [{ value = "23.3", source = "report <A>" }]

[demo.bands.tiny]
command = "labkit calibrate demo"
code = "CODE"
date = 2026-01-02
runs = 10
[demo.bands.tiny.records]
loss = { mean = [2.0, 3.0], sd = [0.1, 0.1] }
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "source": "# not a title\nx = 1", "metadata": {}},
        {
            "cell_type": "markdown",
            "source": ["intro\n", "# Lab 0 · Why does it · and when\n", "\n", "## below"],
            "metadata": {},
        },
    ]
}
UP, DOWN = [1.0, 1.1, 0.9], [-1.0, -1.1, -0.9]


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    for name in ("PROFILE", "SEED", "DEVICE", "STRICT"):
        monkeypatch.delenv(f"LABKIT_{name}", raising=False)
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "demo.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    text = TOML.replace("CODE", module.ledger.code_hash(path))
    (tmp_path / "notebooks" / "expected.toml").write_text(text)
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """What was displayed."""
    bundles: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: bundles.append(data))
    return bundles


def opened(**options) -> Lab:
    return open_lab("demo", device="cpu", **options)


def as_expected(lab: Lab) -> None:
    lab.claim("good", "It grows", UP, at_least=0)
    lab.claim("bad", "It is at least 2", UP, at_least=2)
    lab.claim("free", "It is 1", UP, at_least=1)
    lab.record("loss", [[2.0, 2.1], [3.0, 3.1]], arms=["a", "b"], band=True)


# --- opening


def test_opening_prints_one_line_on_how_it_runs(workbook, capsys):
    opened(profile="laptop", seed=3)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    for part in ("demo", "profile laptop", "cpu", "seed 3", "about 7 min", f"{torch.get_num_threads()} thread"):
        assert part in line
    opened()
    assert "profile tiny" in (line := capsys.readouterr().out) and "minutes not measured yet" in line and "seed 0" in line


def test_arguments_go_before_the_environment(workbook, monkeypatch):
    monkeypatch.setenv("LABKIT_PROFILE", "full")
    monkeypatch.setenv("LABKIT_SEED", "5")
    lab = opened()
    assert (lab.profile, lab.seed, lab.device) == ("full", 5, torch.device("cpu"))
    lab = opened(profile="tiny", seed=0)
    assert (lab.profile, lab.seed) == ("tiny", 0)
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    assert open_lab("demo").device == torch.device("cpu")


@pytest.mark.parametrize(
    ("environment", "options", "message"),
    [
        ({}, {"profile": "fast"}, r"profile 'fast' is unknown: use 'tiny', 'laptop' or 'full' \(set LABKIT_PROFILE"),
        ({"PROFILE": "Tiny"}, {}, r"profile 'Tiny' is unknown"),
        ({}, {"device": "gpu"}, r"device 'gpu' is not on this machine"),
        ({"DEVICE": "tpu"}, {}, r"device 'tpu' is not on this machine"),
        ({"SEED": "one"}, {}, r"LABKIT_SEED is 'one': it must be a whole number in 0\.\.10\*\*12"),
        ({"SEED": "-1"}, {}, r"LABKIT_SEED is '-1'"),
        ({"SEED": "²"}, {}, r"LABKIT_SEED is '²'"),
        ({}, {"seed": -1}, r"seed is '-1': it must be a whole number in 0"),
        ({"SEED": "9" * 23}, {}, r"LABKIT_SEED is '9+': it must be a whole number in 0\.\.10\*\*12$"),
        ({"SEED": "9" * 5000}, {}, r"LABKIT_SEED is '9+': it must be a whole number in 0"),
        ({}, {"seed": 10**12 + 1}, r"seed is '1000000000001': it must be a whole number in 0"),
        ({}, {"seed": 1.5}, r"seed is '1.5'"),
    ],
)
def test_unknown_profile_device_or_seed_is_refused(workbook, monkeypatch, environment, options, message):
    for name, value in environment.items():
        monkeypatch.setenv(f"LABKIT_{name}", value)
    with pytest.raises(ValueError, match=message):
        open_lab("demo", **options)


def test_opening_seeds_what_draws_without_a_generator(workbook):
    before = torch.get_rng_state()
    opened(seed=4)
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(4))
    torch.set_rng_state(before)


def test_seeds_of_two_labkit_seeds_have_nothing_in_common(workbook):
    mine = [set(opened(seed=seed).seeds(1000)) for seed in (0, 1, 2, 10)]
    assert all(len(seeds) == 1000 for seeds in mine) and len(set.union(*mine)) == 4000
    assert opened(seed=2).seeds(3) == opened(seed=2).seeds(1000)[:3]
    for n in (0, 1001):
        with pytest.raises(ValueError, match=f"{n} seeds: ask for 1..1000"):
            opened().seeds(n)


# --- settings


@pytest.mark.parametrize(("profile", "column"), [("tiny", 1), ("laptop", 2), ("full", 3)])
def test_settings_are_this_profiles_column(workbook, profile, column):
    cfg = opened(profile=profile).settings(epochs=(1, 2, 3), latent=20, widths=[1, 2], name="x", pair=([1], [2], [3]))
    assert (cfg.epochs, cfg.latent, cfg.widths, cfg.name, cfg.pair) == (column, 20, [1, 2], "x", [column])
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.epochs = 9
    assert f"epochs={column}" in repr(cfg)


def test_settings_tables_that_break_the_rules_are_refused(workbook):
    with pytest.raises(ValueError, match=r"setting 'epochs' has 2 values: give \(tiny, laptop, full\), or a list"):
        opened().settings(epochs=(1, 2))
    with pytest.raises(ValueError, match="7 settings at once: keep to 6"):
        opened().settings(**{f"row{i}": i for i in range(7)})
    assert opened().settings(**{f"row{i}": i for i in range(6)}).row5 == 5


def test_a_setting_that_is_not_there_is_named_with_those_that_are(workbook):
    cfg = opened().settings(epochs=(1, 2, 3), batch=64)
    with pytest.raises(AttributeError, match=r"^setting 'epoch' is unknown: there are epochs, batch$"):
        _ = cfg.epoch
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.epochs = 2
    assert repr(cfg).endswith("Settings(epochs=1, batch=64)")


# --- records and claims


@pytest.mark.parametrize(
    ("value", "arms", "mean", "sd", "n"),
    [
        (2, None, [2.0], [0.0], 1),
        (torch.tensor(2.5, requires_grad=True), None, [2.5], [0.0], 1),
        ([1.0, 2.0, 6.0], None, [3.0], [np.std([1, 2, 6], ddof=1)], 3),
        (np.array([[1.0, 3.0], [4.0, 4.0]]), ["a", "b"], [2.0, 4.0], [np.sqrt(2), 0.0], 2),
        (torch.tensor([[1], [4]]), ["a", "b"], [1.0, 4.0], [0.0, 0.0], 1),
    ],
)
def test_a_record_keeps_mean_and_sd_over_seeds(workbook, value, arms, mean, sd, n):
    lab = opened()
    lab.record("active_units", value, arms=arms, unit="nats")
    row = lab.records["active_units"]
    assert np.allclose(row["mean"], mean) and np.allclose(row["sd"], sd) and row["n"] == n
    assert row["arms"] == (arms or [""]) and row["label"] == "active units" and row["unit"] == "nats"
    plain = torch.as_tensor(value).detach().double().numpy()
    assert np.array_equal(row["values"], plain if plain.ndim == 2 else np.atleast_1d(plain)[None])


@pytest.mark.parametrize(
    ("value", "arms", "words"),
    [
        ([[1, 2]], None, r"shape \(1, 2\) with no arms"),
        ([1, 2], ["a", "b"], r"shape \(2,\) with 2 arms"),
        ([[1, 2]], ["a", "b"], r"shape \(1, 2\) with 2 arms"),
        (np.zeros((1, 1, 1)), ["a"], r"shape \(1, 1, 1\) with 1 arms"),
    ],
)
def test_a_record_of_another_shape_is_refused(workbook, value, arms, words):
    with pytest.raises(ValueError, match=rf"record 'x' has {words}: give a scalar, \(seeds,\), or \(arms, seeds\)"):
        opened().record("x", value, arms=arms)


def test_a_claim_prints_its_verdict_with_the_numbers_and_keeps_it(workbook, capsys):
    lab = opened()
    capsys.readouterr()
    lab.claim("good", "It grows", torch.tensor(UP, requires_grad=True), at_least=0)
    out = capsys.readouterr().out
    assert out.startswith("HOLDS: It grows\n") and "1 [0.752, 1.25], 3 seeds; asked: at least 0" in out
    lab.claim("one", "One seed", 5.0, at_least=0)
    lab.claim("counted", "Counted", 5.0, at_least=0, deterministic=True)
    assert [claim["verdict"] for claim in lab.claims.values()] == ["holds", "undecided", "holds"]


def test_a_figure_needs_a_sentence_of_alternative_text(workbook, monkeypatch):
    shown = []
    monkeypatch.setattr("labkit.plots.display_figure", lambda figure, *, alt, dpi: shown.append((figure, alt, dpi)))
    for alt in ("", "   ", "a figure", "three words here"):
        with pytest.raises(ValueError, match="alt: say in a sentence what the figure shows"):
            opened().show("fig", alt=alt)
    assert shown == []
    opened().show("fig", alt="Six bars stand out.")
    assert shown == [("fig", "Six bars stand out.", 80)]


# --- runs


def test_a_run_is_seeded_by_the_lab_and_resumable_outside_tiny(workbook):
    images = Images(torch.zeros(4, 1, 1, 1, dtype=torch.uint8), torch.zeros(4).long(), ("a",), "made", "train", "")
    options = {"epochs": 1, "batch_size": 2, "label": "β = 4, all", "keep": {"net": nn.Linear(1, 1)}}
    tiny = opened(seed=3).run(images, **options)
    assert tiny.seeds == (3000,) and tiny._checkpoint is None
    laptop = opened(seed=3, profile="laptop").run(images, **options)
    path = laptop._checkpoint
    assert path.parent == workbook / "runs" / "laptop" / "checkpoints" and re.fullmatch(r"demo-[\w-]*-3\.pt", path.name)
    assert opened(seed=4, profile="laptop").run(images, **options)._checkpoint != path
    arms = Arms(lambda: nn.Linear(1, 1), seeds=(8, 9))
    assert opened().run(images, arms=arms, **options).seeds == (8, 9)


# --- summary


@pytest.mark.parametrize("strict", ["1", "0", ""])
def test_a_lab_that_is_as_expected_passes_and_an_expected_failure_is_as_expected(workbook, shown, monkeypatch, strict):
    monkeypatch.setenv("LABKIT_STRICT", strict)
    lab = opened()
    as_expected(lab)
    lab.summary()
    (bundle,) = shown
    results = bundle[RESULTS_MIME]
    assert results["mismatches"] == [] and "Not as expected" not in bundle["text/plain"]
    assert {c["id"]: (c["verdict"], c["expected"]) for c in results["claims"]} == {
        "good": ("holds", "holds"),
        "bad": ("does not hold", "fails"),
        "free": ("undecided", "open"),
    }


SURPRISES = {
    "fails for holds": (
        lambda lab: lab.claim("good", "It grows", DOWN, at_least=0),
        "claim 'good': does not hold, expected holds",
    ),
    "holds for fails": (lambda lab: lab.claim("bad", "It is 2", UP, at_least=0), "claim 'bad': holds, expected does not hold"),
    "undecided": (lambda lab: lab.claim("good", "It grows", 1.0, at_least=0), "claim 'good': undecided, expected holds"),
    "not finite": (lambda lab: lab.claim("good", "It grows", [1.0, np.nan], at_least=0), "claim 'good': not measured"),
    "never made": (lambda lab: lab.claims.pop("free"), "claim 'free' was never made"),
    "unknown": (lambda lab: lab.claim("new", "New", UP, at_least=0), "claim 'new' has no line in expected.toml"),
    "band": (
        lambda lab: lab.record("loss", [[2.0], [3.6]], arms=["a", "b"], band=True),
        "record 'loss' b: 3.6 is outside its band 2.5 .. 3.5",
    ),
    "band of nothing": (
        lambda lab: lab.record("loss", [[np.nan], [3.0]], arms=["a", "b"], band=True),
        "record 'loss' a: nan is outside its band 1.5 .. 2.5",
    ),
}


@pytest.mark.parametrize("case", SURPRISES)
def test_a_surprise_fails_once_in_the_summary_after_the_results_are_kept(workbook, shown, monkeypatch, case):
    change, message = SURPRISES[case]
    monkeypatch.setenv("LABKIT_STRICT", "1")
    lab = opened()
    as_expected(lab)
    change(lab)  # does not raise by itself
    with pytest.raises(Surprise) as caught:
        lab.summary()
    assert str(caught.value).startswith("1 not as expected:\n- ") and message in str(caught.value)
    written = json.loads((workbook / "runs" / "tiny" / "demo.json").read_text())
    assert len(written["mismatches"]) == 1 and message in written["mismatches"][0]


def test_all_surprises_are_named_together(workbook, shown, monkeypatch):
    monkeypatch.setenv("LABKIT_STRICT", "1")
    lab = opened()
    as_expected(lab)
    for case in ("fails for holds", "holds for fails", "never made", "unknown", "band"):
        SURPRISES[case][0](lab)
    with pytest.raises(Surprise) as caught:
        lab.summary()
    message = str(caught.value)
    assert message.startswith("5 not as expected") and message.count("\n- ") == 5
    assert all(part in message for part in ("'good'", "'bad'", "'free'", "'new'", "'loss'"))


def test_a_claim_that_a_profile_says_nothing_of_may_stay_unmade(workbook, shown):
    lab = opened(profile="laptop")  # a word for tiny alone, as of a claim on a net that only tiny has
    as_expected(lab)
    del lab.claims["free"]
    lab.summary()
    assert not json.loads((workbook / "runs" / "laptop" / "demo.json").read_text())["mismatches"]


def test_without_strict_a_surprise_is_told_and_nothing_is_raised(workbook, shown):
    lab = opened()
    as_expected(lab)
    SURPRISES["fails for holds"][0](lab)
    lab.summary()
    for kind in ("text/plain", "text/html"):
        assert re.search("Not as expected: claim .*good.*: does not hold, expected holds", shown[0][kind])
    assert shown[0][RESULTS_MIME]["minutes"] is None


def test_what_is_distrusted_is_not_measured_and_no_surprise(workbook, shown, monkeypatch):
    monkeypatch.setenv("LABKIT_STRICT", "1")
    lab = opened()
    lab.distrust = "random weights"
    as_expected(lab)
    lab.summary()
    assert {c["verdict"] for c in shown[0][RESULTS_MIME]["claims"]} == {"not measured"}
    assert all(c["numbers"].startswith("random weights; ") for c in shown[0][RESULTS_MIME]["claims"])


def test_another_number_of_arms_has_no_band_and_other_code_makes_it_stale(workbook, shown):
    lab = opened()
    lab.record("loss", 9.0, band=True)
    lab.summary()
    assert shown[0][RESULTS_MIME]["records"][0]["band"] is None and not shown[0][RESULTS_MIME]["stale"]
    path = workbook / "notebooks" / "demo.ipynb"
    path.write_text(path.read_text().replace("x = 1", "x = 2"))
    opened().summary()
    assert shown[1][RESULTS_MIME]["stale"] and "code cells have changed" in shown[1]["text/plain"]


def test_a_record_without_band_is_not_held_against_one(workbook):
    lab = opened()
    lab.record("loss", [[99.0], [99.0]], arms=["a", "b"])
    assert lab.results()["records"][0]["band"] is None


def test_results_hold_what_was_measured_and_how(workbook, shown, monkeypatch):
    monkeypatch.setenv("LABKIT_STRICT", "1")
    monkeypatch.setenv("LABKIT_CHILD", "run")
    lab = opened()
    as_expected(lab)
    lab.summary()
    results = json.loads((workbook / "runs" / "tiny" / "demo.json").read_text(encoding="utf-8"))
    assert results == json.loads(json.dumps(shown[0][RESULTS_MIME]))
    assert (results["lab"], results["title"], results["profile"]) == ("demo", "Why does it · and when", "tiny")
    assert results["versions"]["torch"] == torch.__version__ and 0 < results["minutes"] < 600
    (row,) = results["records"]
    assert np.allclose(row["band"], [[1.5, 2.5], [2.5, 3.5]]) and row["inside"] is True
    assert row["reported"] == [{"value": "23.3", "source": "report <A>"}]
    assert results["calibration"]["runs"] == "10" and not results["stale"]
    assert "Reported by A: a report by <somebody>." in shown[0]["text/plain"]
    assert "Reported by A: a report by &lt;somebody&gt;." in shown[0]["text/html"]


def test_values_that_are_not_finite_are_null_on_disk_and_in_the_notebook(workbook, shown):
    lab = opened()
    lab.record("loss", [[np.nan, 1.0], [np.inf, 1.0]], arms=["a", "b"])
    lab.summary()
    text = (workbook / "runs" / "tiny" / "demo.json").read_text()
    for results in (json.loads(text, parse_constant=pytest.fail), shown[0][RESULTS_MIME]):
        assert results["records"][0]["mean"] == [None, None]
        json.dumps(results, allow_nan=False)
    assert "nan" in shown[0]["text/html"] and "inf" in shown[0]["text/plain"]


def test_a_home_that_cannot_be_written_does_not_lose_the_results(workbook, shown, capsys, monkeypatch):
    monkeypatch.setenv("LABKIT_STRICT", "1")
    (workbook / "runs").write_text("a file in the way")
    lab = opened()
    as_expected(lab)
    lab.summary()
    assert shown[0][RESULTS_MIME]["claims"] and "the results were not kept on disk" in capsys.readouterr().err


def test_each_seed_has_its_own_results_file(workbook, shown):
    opened(seed=2).summary()
    opened(profile="full").summary()
    files = sorted(str(path.relative_to(workbook / "runs")) for path in (workbook / "runs").rglob("*.json"))
    assert files == ["full/demo.json", "tiny/demo-seed2.json"]


def test_the_html_summary_escapes_and_has_every_row_and_verdict(workbook, shown):
    lab = opened()
    as_expected(lab)
    lab.record("size", 3.14159, unit="<nats>", label="Size & more")
    lab.claim("good", "a < b & c", UP, at_least=0)
    lab.summary()
    page = shown[0]["text/html"]
    for part in (
        "Size &amp; more [&lt;nats&gt;]",
        "3.142",
        "loss, a",
        "2.05 ± 0.071",
        "1.5 … 2.5",
        "23.3 (report &lt;A&gt;)",
        "a &lt; b &amp; c",
        "<strong>does not hold</strong>",
        "Bands: mean ± 5 sd of 10 runs",
    ):
        assert part in page, part
    assert "<nats>" not in page and page.count("<caption>") == 2 and page.count("scope='col'") == 8
    assert page.count("not as expected") == 0
    lab.claim("good", "It grows", DOWN, at_least=0)
    assert report.html(lab.results()).count("<td>not as expected</td>") == 1


def test_a_mistyped_lab_is_refused_with_those_there_are(workbook):
    (workbook / "notebooks" / "new.ipynb").write_text(json.dumps(NOTEBOOK))
    with pytest.raises(ValueError, match=r"^there is no lab 'dmo': use one of demo, new$"):
        open_lab("dmo", device="cpu")
    assert open_lab("new", device="cpu").expected.claims == {}


def test_the_greatest_seed_can_be_used(workbook):
    lab = opened(seed=10**12)
    with module.machine.local_seed(lab.seeds(1000)[-1]):
        assert torch.rand((), generator=module.machine.generator(lab.seeds(1)[0])) < 1


def test_a_lab_without_notebook_can_be_opened_and_summed_up(workbook, shown):
    with (workbook / "notebooks" / "expected.toml").open("a") as file:
        file.write("\n[sketch.minutes]\n")
    lab = open_lab("sketch", device="cpu")
    lab.record("x", 1.0)
    lab.summary()
    assert shown[0][RESULTS_MIME]["title"] == "sketch" and shown[0][RESULTS_MIME]["code"] is None
