"""Which cells need an exercise: what is read from the source against what happens when cells run."""

from __future__ import annotations

import json
import shutil

import nbformat
import pytest
from mini_workbook import check, code, exercise, lab, source
from nbclient import NotebookClient
from notebook_source import LABS, NOTEBOOKS

from labkit.handout.needs import needs
from labkit.handout.release import release
from labkit.handout.student import is_check, is_exercise, name_of, student_version, text


def blanked(notebook, *exercises):
    """The notebook with these exercises as a student gets them, the others solved."""
    blank = {name_of(cell): cell for cell in student_version(notebook)["cells"]} if exercises else {}
    cells = [blank[name_of(cell)] if name_of(cell) in exercises else cell for cell in notebook["cells"]]
    return {**notebook, "cells": [{**cell, "source": text(cell)} for cell in cells]}


def errors_in_jupyter(notebook, **options):
    """Execute all cells, whatever fails; the errors by cell."""
    made = nbformat.from_dict(notebook)
    NotebookClient(made, allow_errors=True, kernel_name="python3", **options).execute()
    outputs = {cell.id: cell.get("outputs", []) for cell in made.cells}
    return {name: out for name, found in outputs.items() for out in found if out.output_type == "error"}


def failing_here(notebook):
    """Ids of the cells that fail, run in this process."""
    scope, failed = {}, []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        try:
            exec(cell["source"], scope)
        except Exception:
            failed.append(cell["id"])
    return failed


@pytest.mark.parametrize("blank", ["double", "half-of", "greet"])
def test_a_blank_exercise_stops_the_cells_that_need_it_and_no_other(blank):
    errors = errors_in_jupyter(blanked(source(), blank), timeout=60)
    assert list(errors) == needs(source())[blank]
    assert errors[f"check-{blank}"].ename == "NotImplementedError"


def test_with_nothing_blank_all_cells_run():
    assert failing_here(blanked(source())) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # what is read when a function is called, not when it is defined
        ("def g():\n    return f(1)", "g()", ["after"]),
        ("def g():\n    return h()", "def h():\n    return f(1)\n\n\ng()", ["after"]),
        ("def g():\n    return g() + f(1) if f else 0", "g()", ["after"]),
        ("", "def g(n=2):\n    return f(n)", []),
        ("", "def g(n=f(2)):\n    return n", ["after"]),
        ("", "@f\ndef g():\n    return 1", ["after"]),
        ("", "class A:\n    n = f(1)", ["after"]),
        ("class A:\n    def n(self):\n        return f(1)", "A().n()", ["after"]),
        ("", "g = [f(k) for k in range(2)]", ["after"]),
        # names that only look alike
        ("k = 1", "print([f for f in range(2)])", []),
        ("", "print((lambda f: f)(1))", []),
        ("", "def g(f):\n    return f\n\n\ng(1)", []),
        ("", "def g():\n    f = 1\n    return f\n\n\ng()", []),
        ("", "def g(*f, **k):\n    return f\n\n\ng()", []),
        ("", "import math as f\nf.pi", []),
        ("", "for f in range(2):\n    print(f)", []),
        ("", "f = 3\nprint(f)", []),
        ("", "for k in range(2):\n    f = k\n    for _ in range(2):\n        print(f)", []),
        ("import contextlib", "with contextlib.nullcontext(3) as f:\n    print(f)", []),
        ("k = 1", "if k:\n    import math as f\n\n    f.pi", []),
        ("k = 1", "if k:\n    f(1)\n    f = 2", ["after"]),
        ("", "for f in f(2):\n    pass", ["after"]),
        ("", "print(f.__name__ if False else [g for g in [1] if (lambda g: g)(g)])\nx = f(1)", ["after"]),
    ],
)
def test_what_a_cell_reads_is_seen_through_functions_and_scopes(before, after, expected):
    notebook = lab(code("before", before), exercise("f", "f(x)", "return x"), check("check", "f(1)"), code("after", after))
    assert needs(notebook)["f"] == ["check", *expected] == failing_here(blanked(notebook, "f"))


@pytest.mark.parametrize(
    ("filling", "using"),
    [
        ("a = f(1)", "print(a)"),
        ("a = f(1)\n\n\ndef g():\n    return 1", "g()"),
        ("import math\nb = f(1)\nc = 2", "print(c)"),
        ("for a in [f(1)]:\n    pass", "print(a)"),
        ("n += f(1)\nm = 0", "m += 1"),
        ("n = 1\nm = f(1)", "def g():\n    global m\n    m += 1\n\n\ng()"),
        ("rows['a'] = f(1)", "rows['a']"),
        ("rows['b']['c'] = f(1)", "rows['b']['c']"),
        ("found.append(f(1))", "found[0]"),
        ("rows['list'].append(f(1))", "rows['list'][0]"),
        ("try:\n    f(1)\nfinally:\n    print()\nm = 1", "print(m)"),
        ("with open(f(1)) as m:\n    pass", "m.read()"),
        ("a, (b, *c) = 1, (2, f(3))", "print(c)"),
        ("m = 1\ndel m\nif (m := f(1)):\n    pass", "print(m)"),
    ],
)
def test_what_a_failed_cell_would_have_given_or_filled_is_lacking_after_it(filling, using):
    notebook = lab(
        code("begin", "n, rows, found = 0, {'b': {}, 'list': []}, []"),
        exercise("f", "f(x)", "return x"),
        check("check", "f(1)"),
        code("filling", filling),
        code("other", "print(n, len)"),
        code("using", using),
    )
    failing = failing_here(blanked(notebook, "f"))
    assert failing == ["check", "filling", "using"]
    assert set(needs(notebook)["f"]) - {"other"} == set(failing)  # `other` shows an older value where n is given again


def test_an_older_value_of_a_name_is_no_value():
    """A cell that would go on with what an earlier one left there is named, though it may run."""
    cells = [
        code("a", "m = 1"),
        exercise("f", "f(x)", "return x"),
        check("c", "f(1)"),
        code("b", "m = f(2)"),
        code("d", "m + 1"),
    ]
    assert needs(lab(*cells))["f"] == ["c", "b", "d"]


def test_a_helper_beside_an_exercise_counts_as_its_own():
    written = exercise("f", "f(x)", "return x")
    written["source"] = ["def helper():\n", "    return 1\n", "\n", "\n", *written["source"]]
    notebook = lab(written, check("check", "f(1)"), code("after", "helper()"))
    assert needs(notebook)["f"] == ["check"] == failing_here(blanked(notebook, "f"))


@pytest.mark.parametrize("name", LABS)
def test_each_exercise_of_a_lab_is_needed_first_by_its_own_check_and_by_no_set_up(name):
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    code_cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = needs(notebook)
    assert list(found) == [name_of(cell) for cell in code_cells if is_exercise(cell)]
    checks = {name_of(cell) for cell in code_cells if is_check(cell)}
    for blank, cells in found.items():
        own = next(i for i, cell in enumerate(code_cells) if name_of(cell) == blank) + 1
        assert is_check(code_cells[own]) and cells[0] == name_of(code_cells[own])
        assert not set(cells) & {name_of(cell) for cell in code_cells[:own]}
        assert set(cells) & checks == {cells[0]}, "a check needs no other exercise than its own"
        assert "summary" not in cells and not any(cell.startswith("s0") for cell in cells)


@pytest.mark.whole
@pytest.mark.timeout(900)
def test_a_lab_with_all_exercises_blank_stops_only_where_it_must(tmp_path, monkeypatch):
    path = NOTEBOOKS / "04_vae_posterior_collapse.ipynb"
    release([path], tmp_path / "student")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "student"))
    monkeypatch.setenv("LABKIT_PROFILE", "tiny")
    monkeypatch.delenv("LABKIT_STRICT")
    released = json.loads((tmp_path / "student" / "notebooks" / path.name).read_text(encoding="utf-8"))
    place = {"metadata": {"path": str(tmp_path / "student" / "notebooks")}}
    errors = errors_in_jupyter(blanked(released), timeout=600, resources=place)
    shutil.rmtree(tmp_path / "student")
    needed = {cell for cells in needs(json.loads(path.read_text(encoding="utf-8"))).values() for cell in cells}
    assert set(errors) <= needed
    for cell in released["cells"]:
        if is_check(cell):
            assert errors[cell["id"]].ename == "CheckFailed" and "not written yet" in errors[cell["id"]].evalue
    # AttributeError: a list that a cell which failed was to turn into an array
    kinds = {"NotImplementedError", "CheckFailed", "NameError", "TypeError", "AttributeError"}
    assert {error.ename for error in errors.values()} <= kinds
