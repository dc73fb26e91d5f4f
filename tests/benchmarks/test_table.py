"""The table, the figure and the README's section say what was measured, and what was not."""

from __future__ import annotations

import json
import statistics
import xml.etree.ElementTree as ElementTree

import plot
import publish
import pytest
import record as record_module
from record import NOT_RUN, Record, read
from rows import BY_KEY, ROWS, Row, target
from table import markdown, terminal

MACHINE = {"cores": 3, "load": 0.5, "date": "2031-02-03", "system": "Linux", "python": "3.12.1", "torch": "2.9.0"}


@pytest.fixture
def clock(monkeypatch):
    """Work 'takes' as many seconds as it returns."""
    monkeypatch.setattr(record_module, "timed", lambda work: work())


def made(*, cuts=((9.0, 2.0), (8.0, 1.0), (6.4, 1.6))):
    """A whole record with a ratio of three repeats, one value, and reasons for the rest."""
    found = Record(machine=MACHINE)
    for row in ROWS:
        if row.key not in ("cuts", "import"):
            found.lacks(row.key, f"no {row.key} today")
    slow, fast = (iter(side) for side in zip(*cuts, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_module, "timed", lambda work: work())
        found.ratio("cuts", lambda: next(slow), lambda: next(fast), repeats=len(cuts))
    found.value("import", [3.25, 2.75], note="two starts")
    return found


def row_of(text, what):
    found = [line for line in text.splitlines() if what in line]
    assert len(found) == 1, found
    return found[0]


def test_a_ratio_is_that_of_best_and_of_median_times_and_the_better_one_is_judged(clock):
    found = Record([Row("cuts", "cuts", target=4)])
    slow, fast = iter([9.0, 8.0, 6.4]), iter([2.0, 1.0, 1.6])
    judged = found.ratio("cuts", lambda: next(slow), lambda: next(fast), repeats=3)
    cuts = found.measured["cuts"]
    assert cuts.best == 6.4 / 1.0 and cuts.median == statistics.median([9, 8, 6.4]) / statistics.median([2, 1, 1.6]) == 5.0
    assert judged == cuts.judged == 6.4 and sorted(cuts.each) == [4.0, 4.5, 8.0]


@pytest.mark.parametrize(("unit", "value", "met"), [("x", 3.9, False), ("x", 4.0, True), ("s", 4.0, True), ("s", 4.1, False)])
def test_ratios_must_reach_their_target_and_costs_must_not_exceed_it(unit, value, met):
    found = Record([Row("a", "a", unit=unit, target=4)])
    found.value("a", [value])
    assert found.measured["a"].met is met
    assert terminal(Record([Row("a", "a")], machine=MACHINE)).count("not measured") == 1
    found.machine = MACHINE
    assert row_of(terminal(found), "<= 4 s" if unit == "s" else ">= 4x").split()[-1] == ("yes" if met else "NO")


def test_the_better_side_of_a_cost_is_the_lower_one():
    found = Record([Row("a", "a", unit="ms", target=50)])
    found.value("a", [90.0, 40.0, 80.0])
    assert found.measured["a"].judged == 40 and found.measured["a"].median == 80 and found.measured["a"].met


@pytest.mark.parametrize("write", [terminal, markdown])
def test_each_row_stands_in_the_table_measured_or_with_the_reason_why_not(write):
    text = write(made())
    for row in ROWS:
        line = next(line for line in text.splitlines() if line.removeprefix("| ").startswith(row.what))
        assert ("not measured" in line and f"no {row.key} today" in line) or row.key in ("cuts", "import")
        assert row.target is None or f" {row.target:g}" in line
    cuts = row_of(text, BY_KEY["cuts"].what)
    assert "6.4x" in cuts and "5.0x" in cuts and "4.0x to 8.0x, n = 3" in cuts and "yes" in cuts
    assert "two starts" in text and "2.8 ms" in text
    assert "NO" in row_of(write(made(cuts=((3.0, 1.0),))), BY_KEY["cuts"].what)


def test_the_terminals_columns_stand_below_each_other():
    lines = terminal(made()).splitlines()
    head = next(line for line in lines if line.startswith("what"))
    for row in ROWS:
        line = next(line for line in lines if line.startswith(row.what))
        due = f"{'>=' if row.at_least else '<='} {row.target:g}" if row.target is not None else "none"
        assert line[head.index(" target") + 1 :].startswith(due), line


def test_the_table_says_where_and_how_busy():
    assert "3 CPU cores" in terminal(made()) and "2031-02-03" in terminal(made()) and "load of 0.5" in terminal(made())


def test_a_busy_machine_is_named_so():
    quiet, busy = made(), made()
    busy.machine = {**MACHINE, "load": 6.0}
    assert "kept this machine busy" in terminal(busy) and "kept this machine busy" in publish.section(busy)
    assert "busy" not in terminal(quiet) and "busy" not in publish.section(quiet)


def test_what_is_stored_is_read_as_it_was_and_worked_out_anew(tmp_path):
    path, found = tmp_path / "benchmarks.json", made()
    found.save(path)
    assert terminal(read(path)) == terminal(found)
    content = json.loads(path.read_text(encoding="utf-8"))
    cuts = next(row for row in content["rows"] if row["key"] == "cuts")
    assert cuts["slow"] == [9.0, 8.0, 6.4] and (cuts["best"], cuts["median"], cuts["met"]) == (6.4, 5.0, True)
    cuts["median"] = cuts["best"] = 99.0  # edited by hand: does not count
    path.write_text(json.dumps(content), encoding="utf-8")
    assert terminal(read(path)) == terminal(found)


def test_a_row_of_which_nothing_was_said_makes_a_record_a_part_and_a_part_is_not_published(tmp_path):
    path, found = tmp_path / "benchmarks.json", Record(machine=MACHINE)
    for row in ROWS:
        assert (found.measured[row.key].why == NOT_RUN) == (not row.why)
    found = made()
    found.lacks("head", NOT_RUN)
    found.save(path)
    assert "not measured" in row_of(terminal(found), NOT_RUN)
    with pytest.raises(ValueError, match=r"head not run.*pytest tests/benchmarks"):
        read(path)
    assert plot.main([str(path), str(tmp_path / "a.svg")]) == 1 and not (tmp_path / "a.svg").exists()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"machine": {}, "rows": [{"key": "old"}]}'])
def test_what_is_no_record_is_refused_with_what_to_type(tmp_path, content):
    path = tmp_path / "benchmarks.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="run all benchmarks first"):
        read(path)


def test_a_target_that_is_not_promised_is_no_floor():
    assert target("cuts") == BY_KEY["cuts"].target
    with pytest.raises(ValueError, match="has no target"):
        target("import-torch")


def test_the_figure_draws_what_was_measured_and_names_what_was_not(tmp_path, monkeypatch):
    import matplotlib

    found, path = made(), tmp_path / "deep" / "benchmarks.svg"
    found.save(tmp_path / "benchmarks.json")
    assert plot.main([str(tmp_path / "benchmarks.json"), str(path)]) == 0
    first = path.read_bytes()
    plot.draw(found, path)
    assert path.read_bytes() == first, "the same record must give the same bytes"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot.draw(found, path)
    drawn = "\n".join("".join(node.itertext()) for node in ElementTree.parse(path).iter() if node.tag.endswith("text"))
    assert "5.0x" in drawn and "not measured: no head today" in drawn and "3 CPU cores" in drawn
    plot.draw(made(cuts=((30.0, 1.0),)), path)
    assert path.read_bytes() != first


def test_the_alternative_text_gives_numbers_targets_and_gaps():
    text = plot.alt_text(made())
    assert f"{BY_KEY['cuts'].what} 5.0x (target 4)" in text and f"{BY_KEY['head'].what} not measured" in text
    assert not set('[]"\n') & set(text)


def test_the_readmes_section_is_replaced_and_nothing_else():
    old = f"before\n\n{publish.START}\nold\n{publish.END}\n\nafter \\1\n"
    new = publish.replaced(old, made())
    assert new.startswith("before\n\n" + publish.START) and new.endswith(publish.END + "\n\nafter \\1\n") and "old" not in new
    assert markdown(made()) in new and "(.github/benchmarks.svg)" in new and "3 CPU cores" in new
    assert publish.replaced(new, made()) == new
    for text in ("none", old + old):
        with pytest.raises(ValueError, match="put the lines"):
            publish.replaced(text, made())


def test_the_readme_holds_a_section_of_every_row():
    text = (publish.ROOT / "README.md").read_text(encoding="utf-8")
    assert publish.replaced(text, made()) != text
    for row in ROWS:
        row_of(text, f"| {row.what} |")
