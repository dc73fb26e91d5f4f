"""Inputs, adapters and expected values of every lab: solutions and right variants get full marks, mistakes do not."""

import ast
import importlib
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_source import NOTEBOOKS
from test_checks import LABS, MISTAKES

from labkit.adapters.arrays import plain
from labkit.grading.parts import parts_of
from labkit.grading.wants import Between, Near

READY = [lab for lab in LABS if importlib.util.find_spec(f"labkit.grading.inputs.{lab.check.__name__.rpartition('.')[2]}")]


def topic(lab):
    return lab.check.__name__.rpartition(".")[2]


def exercises(lab):
    """The exercises of a notebook: grade_id -> name of the function or class."""
    found = {}
    for cell in json.loads((NOTEBOOKS / f"{lab.LAB}.ipynb").read_text(encoding="utf-8"))["cells"]:
        meta = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "code" and meta.get("solution"):
            found[meta["grade_id"]] = ast.parse("".join(cell["source"])).body[0].name
    return found


def share(lab, exercise, function, seed=0):
    """The share of its cases' weight that a function gets, and what is wrong, in this process."""
    parts = parts_of(topic(lab))
    adapters = importlib.import_module(parts.adapters)
    got, total, faults = 0.0, 0.0, []
    for case in parts.cases(exercise, exercises(lab)[exercise], seed):
        total += case.weight
        inputs = {name: np.array(value) for name, value in case.inputs.items()}
        try:
            with torch.enable_grad():
                fault = parts.fault(case, plain(getattr(adapters, case.adapter)(function, **inputs)))
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        torch.set_grad_enabled(True)
        got += case.weight * (not fault)
        faults += [f"{case.name}: {fault}"] if fault else []
    return got / total, faults


EACH = [pytest.param(lab, exercise, id=f"{lab.LAB[:2]} {exercise}") for lab in READY for exercise in exercises(lab)]
#: Mistakes of the checks' tables that grading does not see, since they change no value that leaves the student's process
UNSEEN = {
    (lab.LAB, name, words): reason for lab in READY for (name, words), reason in getattr(lab, "UNSEEN_BY_GRADING", {}).items()
}


def names(lab):
    return {name: grade_id for grade_id, name in exercises(lab).items()}


def grade_id(lab, name):
    """The exercise that a check is of: checks are named as the function, or as the exercise."""
    return names(lab).get(name) or next(each for each in exercises(lab) if each.replace("-", "_") == name)


@pytest.mark.parametrize(("lab", "exercise"), EACH)
def test_the_solution_gets_full_marks_on_ten_seeds(lab, exercise):
    solution = lab.SOLUTIONS[exercises(lab)[exercise]]
    for seed in range(10):
        assert share(lab, exercise, solution, seed) == (1.0, []), f"seed {seed}"


@pytest.mark.parametrize(
    ("lab", "name", "right"),
    [
        pytest.param(lab, name, right, id=f"{lab.LAB[:2]} {name} {i}")
        for lab in READY
        for i, (name, right) in enumerate(getattr(lab, "ALSO_RIGHT", []))
    ],
)
def test_another_right_way_gets_full_marks(lab, name, right):
    for seed in range(3):
        assert share(lab, grade_id(lab, name), right, seed) == (1.0, [])


@pytest.mark.parametrize(("lab", "name", "wrong", "words"), [case for case in MISTAKES if case.values[0] in READY])
def test_a_mistake_costs_marks(lab, name, wrong, words):
    if (lab.LAB, name, words) not in UNSEEN:
        assert share(lab, grade_id(lab, name), wrong)[0] < 1


@pytest.mark.parametrize("key", UNSEEN, ids=": ".join)
def test_what_grading_is_said_not_to_see_it_does_not_see(key):
    rows = [case.values for case in MISTAKES if (case.values[0].LAB, *case.values[1::2]) == key]
    assert UNSEEN[key] and any(share(lab, grade_id(lab, name), wrong)[0] == 1 for lab, name, wrong, _ in rows)


@pytest.mark.parametrize(("lab", "exercise"), EACH)
@pytest.mark.parametrize("value", [None, 0, 0.5, np.nan, "text", (0, 0), {}], ids=str)
def test_a_constant_gets_next_to_nothing(lab, exercise, value):
    """So that partial credit by case rewards no one who has not begun."""
    got, _ = share(lab, exercise, lambda *args, **kwargs: value)
    assert got <= 0.2


@pytest.mark.parametrize(("lab", "exercise"), EACH)
def test_nothing_is_given_for_nan(lab, exercise):
    """Where the right answer is replaced by NaN, nothing is left of the marks but what the student's process reports."""
    parts = parts_of(topic(lab))
    adapters = importlib.import_module(parts.adapters)
    for case in parts.cases(exercise, exercises(lab)[exercise], 0):
        inputs = {name: np.array(value) for name, value in case.inputs.items()}
        returned = plain(getattr(adapters, case.adapter)(lab.SOLUTIONS[exercises(lab)[exercise]], **inputs))
        spoilt = {name: np.full(np.shape(value), np.nan) for name, value in returned.items()}
        if not case.self_reported:
            assert parts.fault(case, spoilt)


@pytest.mark.parametrize(("lab", "exercise"), EACH)
def test_cases_are_sound(lab, exercise):
    parts = parts_of(topic(lab))
    cases, again, other = (parts.cases(exercise, exercises(lab)[exercise], seed) for seed in (1, 1, 2))
    assert 2 <= len(cases) <= 8 and len({case.name for case in cases}) == len(cases)
    reported = sum(case.weight for case in cases if case.self_reported)
    assert reported <= 0.2 * sum(case.weight for case in cases), "what the student's process reports is worth little"
    for case, same in zip(cases, again, strict=True):
        for key, value in case.inputs.items():
            assert np.array_equal(value, same.inputs[key]) and value.dtype.kind in "fiubU"
    assert any(
        not np.array_equal(value, fresh.inputs[key])
        for case, fresh in zip(cases, other, strict=True)
        for key, value in case.inputs.items()
        if value.shape == fresh.inputs[key].shape
    ), "inputs are drawn anew with each seed"


@pytest.mark.parametrize(("lab", "exercise"), EACH)
def test_what_is_expected_is_worked_out_without_the_solution(lab, exercise):
    """From NumPy arrays, in float64: an error of the notebook's solution would be seen."""
    parts = parts_of(topic(lab))
    for case in parts.cases(exercise, exercises(lab)[exercise], 0):
        wants = getattr(parts.expected, case.adapter)(**case.inputs)
        for want in wants.values():
            value = want.value if isinstance(want, Near) else want.low if isinstance(want, Between) else want
            assert np.asarray(value).dtype.kind in "iub" or np.asarray(value).dtype == np.float64
    source = inspect.getsource(parts.expected)
    assert "notebook" not in source and "labkit.check" not in source


@pytest.mark.parametrize("lab", READY, ids=lambda lab: lab.LAB)
def test_every_exercise_has_its_three_parts(lab):
    parts = parts_of(topic(lab))
    adapters = importlib.import_module(parts.adapters)
    assert set(parts.exercises) == set(exercises(lab))
    for exercise, name in exercises(lab).items():
        for case in parts.cases(exercise, name, 0):
            inside, outside = getattr(adapters, case.adapter), getattr(parts.expected, case.adapter)
            assert list(inspect.signature(inside).parameters)[1:] == list(inspect.signature(outside).parameters)


@pytest.mark.parametrize("lab", READY, ids=lambda lab: lab.LAB)
def test_adapters_know_nothing_of_what_is_expected(lab):
    adapters = importlib.import_module(f"labkit.adapters.{topic(lab)}")
    nets = Path(inspect.getfile(adapters)).with_name(f"{topic(lab)}_nets.py")  # some have their nets beside them
    source = inspect.getsource(adapters) + (nets.read_text(encoding="utf-8") if nets.is_file() else "")
    assert "grading" not in source and "labkit.check" not in source


def test_every_lab_has_its_parts():
    assert [lab.LAB for lab in LABS] == [lab.LAB for lab in READY]
