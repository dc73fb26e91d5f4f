"""The frame of a check: every case is reported, and the message names the mistake."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labkit.check.frame import Case, CheckFailed, Mistake, compare, run_cases, takes, unchanged


def expects(value):
    """A case's test: function(2) should give `value`."""

    def test(function):
        compare(function(2), value, known={"you halved in place of doubling": 1.0})

    return test


CASES = [Case("doubles two", expects(4.0)), Case("is positive", expects(4.0)), Case("takes n", lambda f: takes(f, "n"))]


def failure(function, cases=CASES) -> str:
    with pytest.raises(CheckFailed) as caught:
        run_cases("Exercise 1", function, cases, reread="section 2")
    return str(caught.value)


def test_all_cases_pass_with_one_line(capsys):
    run_cases("Exercise 1", lambda n: 2 * n, CASES, reread="section 2")
    assert capsys.readouterr().out == "✓ Exercise 1: all 3 cases pass\n"


def test_every_case_that_fails_is_reported_with_its_cause_and_where_to_reread(capsys):
    ran = []
    cases = [Case("one", lambda f: ran.append(1)), *CASES[:2], Case("last", lambda f: ran.append(2))]
    message = failure(lambda n: n / 2, cases)
    assert ran == [1, 2]  # the cases after a failure run too
    assert message.splitlines() == [
        "Exercise 1: 2 of 4 cases pass",
        "  ✗ doubles two",
        "      expected 4",
        "      got 1",
        "      likely cause: you halved in place of doubling",
        "  ✗ is positive",
        "      expected 4",
        "      got 1",
        "      likely cause: you halved in place of doubling",
        "  Reread: section 2",
    ]
    assert capsys.readouterr().out == ""


def test_a_mistake_without_a_known_cause_names_none():
    assert "likely cause" not in failure(lambda n: 5.0)


def test_a_blank_exercise_is_told_apart_from_a_wrong_one():
    def blank(n):
        raise NotImplementedError

    message = failure(blank)
    assert message == "Exercise 1: not written yet. Replace the line `raise NotImplementedError` in the cell above"


def test_what_torch_has_not_implemented_is_not_taken_for_a_blank_exercise():
    def wrong(n):
        raise NotImplementedError("'normal_' is not implemented for 'Long'")  # as torch does

    message = failure(wrong, CASES[:1])
    assert "not written yet" not in message and "it raised NotImplementedError" in message


def test_an_exercise_whose_cell_was_not_run_is_told():
    assert failure(3.5) == "Exercise 1: this is float, not a function: run the exercise's cell first"


def test_an_error_is_reported_with_the_line_of_the_students_own_code():
    def wrong(n):
        table = {"a": 1}
        return table["b"]

    message = failure(wrong)
    assert "it raised KeyError: 'b'" in message
    assert f'at line {wrong.__code__.co_firstlineno + 2} of the cell: return table["b"]' in message
    assert message.count("✗") == 2  # the third case does not call it


def test_an_error_outside_the_students_code_says_so():
    assert "in code that your function calls" in failure(torch.nn.Linear(3, 3), CASES[:1])


def test_jupyter_shows_the_message_alone():
    assert CheckFailed("line one\nline two")._render_traceback_() == ["line one\nline two"]
    with pytest.raises(CheckFailed) as caught:
        run_cases("Exercise 1", lambda n: 5.0, CASES, reread="")
    assert caught.value.__suppress_context__


def test_an_interruption_is_not_taken_for_a_mistake():
    def stop(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cases("Exercise 1", stop, CASES, reread="")


# --- compare


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (2, 2.0),
        (torch.tensor([1.0, 2.0], requires_grad=True), [1, 2]),
        ([torch.tensor(1.0), torch.tensor(2.0)], np.array([1.0, 2.0])),
        (1 + 5e-7, 1.0),
        (torch.inf, np.inf),
        (torch.zeros(0), torch.zeros(0)),
        (torch.tensor(True), 1.0),
    ],
)
def test_what_is_equal_within_the_tolerance_passes(got, expected):
    compare(got, expected)


def mistake(*arguments, **options) -> Mistake:
    with pytest.raises(Mistake) as caught:
        compare(*arguments, **options)
    return caught.value


@pytest.mark.parametrize(
    ("got", "expected", "says", "cause"),
    [
        (None, 1.0, ("1", "None"), "the function has no return statement"),
        ("text", 1.0, ("1", "str"), "return numbers or a tensor"),
        ({"a": 1}, 1.0, ("1", "dict"), "return numbers or a tensor"),
        ([torch.zeros(2), torch.zeros(3)], 1.0, ("1", "list"), "return numbers or a tensor"),
        ([torch.ones(2, requires_grad=True)], 1.0, ("1", "list"), "return numbers or a tensor"),
        (torch.ones(3), torch.ones(2, 3), ("shape (2, 3)", "shape (3,)"), "look at which dimension is summed or averaged"),
        (torch.ones(1), torch.tensor(1.0), ("shape ()", "shape (1,)"), "look at which dimension is summed or averaged"),
        (
            torch.tensor([1.0, torch.nan]),
            [1.0, 2.0],
            ("[1, 2] (shape (2,))", "[1, nan] (shape (2,))"),
            "exp or log overflows, or a division by zero",
        ),
        (torch.inf, 1.0, ("1", "inf"), "exp or log overflows, or a division by zero"),
        (1.5, 1.0, ("1", "1.5"), ""),
        (1 + 3e-6, 1.0, ("1", "1 (off by up to 3e-06)"), ""),
        ([1, 2.0001], [1, 2], ("[1, 2] (shape (2,))", "[1, 2] (shape (2,)) (off by up to 0.0001)"), ""),
    ],
)
def test_what_differs_is_told_with_expected_got_and_cause(got, expected, says, cause):
    wrong = mistake(got, expected)
    assert (wrong.expected, wrong.got) == says and wrong.cause == cause


def test_a_known_mistake_goes_before_the_general_causes():
    known = {"summed in place of averaged": [10.0, 20.0], "wrong dimension": torch.ones(3), "overflow": torch.inf}
    assert mistake([10.0, 20.0], [1.0, 2.0], known=known).cause == "summed in place of averaged"
    assert mistake(torch.ones(3), [1.0, 2.0], known=known).cause == "wrong dimension"
    assert mistake(torch.inf, 1.0, known=known).cause == "overflow"
    assert mistake([9.0, 20.0], [1.0, 2.0], known=known).cause == ""
    compare([1.0, 2.0], [1.0, 2.0], known={"the right answer is not a mistake": [1.0, 2.0]})


def test_tolerances_can_be_set():
    compare(1.05, 1.0, rtol=0.1)
    compare(0.05, 0.0, atol=0.1)
    assert mistake(1e-7, 0.0).got == "1e-07"


def test_long_results_are_shortened():
    assert mistake(torch.zeros(9), torch.arange(9.0)).expected == "[0, 1, 2, 3, 4, 5, ...] (shape (9,))"


# --- unchanged and takes


def test_a_function_that_changes_its_input_is_found_whichever_input_it_is():
    def second(a, b):
        b += 1
        return a + b

    unchanged(torch.add, torch.ones(2), torch.ones(2))
    with pytest.raises(Mistake) as caught:
        unchanged(second, torch.ones(2), torch.ones(2), what="the code z")
    assert caught.value.expected == "the code z unchanged" and "in place" in caught.value.cause


@pytest.mark.parametrize(("function", "got"), [(lambda: 0, "none"), (lambda mu: 0, "mu"), (lambda logvar, mu: 0, "logvar, mu")])
def test_a_function_without_its_stubs_parameters_is_found(function, got):
    takes(lambda mu, logvar, extra=1: 0, "mu", "logvar")
    with pytest.raises(Mistake) as caught:
        takes(function, "mu", "logvar")
    assert (caught.value.expected, caught.value.got) == ("parameters mu, logvar", got)
    assert caught.value.cause == "keep the first line of the stub as it is"
