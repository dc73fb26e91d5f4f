"""Hints at similar code: copies in disguise, right answers of the checks' tables, simulated classes, unreadable cells."""

import ast
import inspect
import os
import re
import subprocess
import sys
import tempfile
import types
import warnings

import pytest
from notebook_source import LABS as NAMES
from notebook_source import NOTEBOOKS
from test_checks import LABS

from labkit.grading.similar import LEAST_TOKENS, Hint, hints
from labkit.grading.source import Exercise, Source, read_source

copydetect = pytest.importorskip("copydetect")
SOURCES = {name: read_source(NOTEBOOKS / f"{name}.ipynb") for name in NAMES}

STUB = '''def task(x, y):
    """Return something.

    Hint: a long one, with many words that are in all cells.
    """
    # your code here
    raise NotImplementedError
'''
LONG = """def task(x, y):
    total = torch.zeros(len(x), dtype=x.dtype)
    for row, label in zip(x, y):
        score = F.log_softmax(row / 2, dim=-1)[label]
        total = total + score.exp() * row.mean()
    return total.sum() / len(total), total.std()
"""
OTHER = """def task(x, y):
    rows = torch.arange(x.shape[0])
    chosen = x.softmax(1).mul(0.5)[rows, y]
    weights = chosen.cumsum(0).flip(0).sqrt().reshape(-1, 1)
    return (weights * x).amax(dim=1).median(), torch.linalg.norm(weights - chosen[:, None], ord=2)
"""


def one(solution=LONG, stub=STUB):
    """A lab with one exercise."""
    return Source("99_test", {"cells": []}, "none", (Exercise("task", "task", 1.0, solution, stub),), ())


def unlike(i):
    """Code of a student that has little in common with that of another: calls of their own in each line."""
    lines = [f"    v{j} = tool{i}_{j}.run{i}_{j}(x, {i}{j}) ** {i * 7 + j}" for j in range(6)]
    return "\n".join(["def task(x, y):", *lines, "    return v0"])


class Renamed(ast.NodeTransformer):
    """New names for whatever the code itself names, but the exercise."""

    def __init__(self, source, name):
        nodes = list(ast.walk(ast.parse(source)))
        own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        own |= {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        own -= {name, "self", "__init__", "forward", "backward"}
        self.new = {old: f"my{i}" for i, old in enumerate(sorted(own))}

    def visit_Name(self, node):
        node.id = self.new.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        node.arg = self.new.get(node.arg, node.arg)
        return node

    def visit_FunctionDef(self, node):
        node.name = self.new.get(node.name, node.name)
        return self.generic_visit(node)

    visit_ClassDef = visit_FunctionDef


def renamed(source, name):
    code = ast.unparse(Renamed(source, name).visit(ast.parse(source)))
    return "\n\n".join(f"{line}  # step {i}" for i, line in enumerate(code.split("\n")))


def tokens_added(exercise):
    """Words, numbers and signs of a solution that are not in its stub; a rough count, by a pattern."""
    count = [re.findall(r"\w+|[^\w\s]", re.sub(r'"""(.|\n)*?"""|#.*', "", code)) for code in (exercise.solution, exercise.stub)]
    return len(count[0]) - len(count[1])


@pytest.mark.parametrize("lab", NAMES)
def test_a_copy_under_new_names_is_found_in_every_longer_exercise(lab):
    source = SOURCES[lab]
    code = {
        "ada": {each.grade_id: each.solution for each in source.exercises},
        "bob": {each.grade_id: renamed(each.solution, each.name) for each in source.exercises},
    }
    assert all(code["ada"][key] != code["bob"][key] for key in code["ada"])
    found = {hint.exercise: hint for hint in hints(code, source)}
    assert all(hint[:2] == ("ada", "bob") and hint.share == 1 and hint.lines >= 2 for hint in found.values())
    assert {each.grade_id for each in source.exercises if tokens_added(each) > LEAST_TOKENS + 12} <= set(found)
    assert not {each.grade_id for each in source.exercises if tokens_added(each) < LEAST_TOKENS - 12} & set(found)


def test_comments_docstrings_formatting_annotations_and_imports_hide_nothing():
    copy = """import torch
import torch.nn.functional as F
from math import *

def task(images: torch.Tensor, truth: "labels") -> tuple:
    '''My own work.'''
    # begin with nothing
    s: torch.Tensor = torch.zeros( len(images),
                     dtype = images.dtype,)

    for one , wanted in zip( images,truth ) :
      '''each row'''
      p = ( F.log_softmax( (row_of := one) / 2 if False else one / 2, dim=-1 ) [wanted] )
      s = (s + (p.exp()) * one.mean()) ; "done"
    return ( s.sum() / len(s) , # the mean
             s.std() )
""".replace("(row_of := one) / 2 if False else ", "")
    assert hints({"ada": {"task": LONG}, "bob": {"task": copy}}, one()) == [Hint("ada", "bob", "task", 1.0, 5)]


NESTED = """def task(x, y):
    def scored(row, label):
        return F.log_softmax(row / 2, dim=-1)[label].exp() * row.mean()

    rows = [scored(row, label) for row, label in zip(x, y)]
    return torch.stack(rows).sum() / len(rows), torch.stack(rows).std()
"""


def test_annotations_of_functions_inside_hide_nothing():
    copy = NESTED.replace("scored(row, label):", "f(a: Tensor, b: int | None) -> dict[str, Tensor]:")
    copy = copy.replace("row / 2", "a / 2").replace("[label].exp() * row", "[b].exp() * a").replace("scored", "f")
    assert [hint.share for hint in hints({"ada": {"task": NESTED}, "bob": {"task": copy}}, one())] == [1.0]


def test_new_names_for_attributes_hide_nothing():
    source = SOURCES["03_gan_pathologies"]
    (exercise,) = (each for each in source.exercises if each.name == "ConditionalDiscriminator")
    copy = exercise.solution.replace("self.image", "self.a").replace("self.condition", "self.b").replace("self.judge", "self.c")
    code = {"ada": {exercise.grade_id: exercise.solution}, "bob": {exercise.grade_id: copy}}
    assert copy != exercise.solution and [hint.share for hint in hints(code, source)] == [1.0]


@pytest.mark.parametrize(("names", "below"), [("zeros|log_softmax|exp|mean|sum|std", 0.8), ("torch|F|zip|len", 0.9)])
def test_names_of_libraries_tell_solutions_apart(names, below):
    """Same shape, other calls: not one name that a student chose freely differs."""
    other = re.sub(rf"\b({names})\b", lambda found: f"{found[0]}_like", LONG)
    found = hints({"ada": {"task": LONG}, "bob": {"task": other}}, one(), least=0.01)
    assert max((hint.share for hint in found), default=0) < below


def test_the_share_is_that_of_both_cells():
    """A copy with as much again after it that is the student's own: half of one, all of the other, so two thirds."""
    own = unlike(3).split("\n", 1)[1]
    longer = LONG.replace("    return", "    result =") + own
    (hint,) = hints({"ada": {"task": LONG}, "bob": {"task": longer}}, one(), least=0.3)
    size = [len(re.findall(r"\w+|[^\w\s]", code.split("\n", 1)[1])) for code in (LONG, longer)]
    assert hint.share == pytest.approx(2 * size[0] / sum(size), abs=0.05) and hint.lines == 5
    assert hints({"ada": {"task": LONG}, "bob": {"task": longer}}, one(), least=0.9) == []


def test_lines_are_those_of_the_cell_with_fewer():
    split = LONG.replace("return total.sum() / len(total),", "result = total.sum() / len(total)\n    return result,")
    (hint,) = hints({"ada": {"task": LONG}, "bob": {"task": split}}, one())
    assert hint.lines == 5 and 0.8 < hint.share < 1


def test_what_the_stub_gives_does_not_count():
    given = "\n".join(f"    given{i} = torch.linspace({i}, x.max(), len(y)).reshape(-1, 1)" for i in range(12))
    stub = STUB.replace("    # your code here", f"{given}\n    # your code here")
    cells = {name: code.replace("):\n", f"):\n{given}\n", 1) for name, code in (("ada", LONG), ("bob", OTHER))}
    code = {name: {"task": cell} for name, cell in cells.items()}
    assert hints(code, one(cells["ada"], stub), least=0.2) == []
    assert len(hints(code, one(cells["ada"]), least=0.2)) == 1  # where it is not in the stub, it is theirs


def test_methods_that_the_stub_gives_do_not_count():
    source = SOURCES["03_gan_pathologies"]
    exercise = next(each for each in source.exercises if each.name == "ConditionalDiscriminator")
    bodies = {name: code.split("\n", 1)[1].replace("\n", "\n    ") for name, code in (("ada", LONG), ("bob", OTHER))}
    code = {name: {exercise.grade_id: exercise.stub.rstrip() + f"\n    {body}"} for name, body in bodies.items()}
    assert hints(code, source, least=0.2) == []


def test_right_answers_that_were_written_to_differ_are_no_hint():
    """The functions of the checks' tables that stand by themselves, against the solution and each other."""
    compared = 0
    for lab in LABS:
        source, helpers = SOURCES[lab.LAB], {key for key, value in vars(lab).items() if isinstance(value, types.FunctionType)}
        ids = {each.grade_id.replace("-", "_"): each for each in source.exercises} | {
            each.name: each for each in source.exercises
        }
        code = {"solution": {each.grade_id: each.solution for each in source.exercises}}
        for i, (name, right) in enumerate(getattr(lab, "ALSO_RIGHT", [])):
            if not isinstance(right, types.FunctionType) or "<" in right.__qualname__ or set(right.__code__.co_names) & helpers:
                continue
            text = re.sub(rf"^def {right.__name__}\(", f"def {ids[name].name}(", inspect.getsource(right))
            code[f"variant {i}"] = {ids[name].grade_id: text}
            compared += 1
        assert hints(code, source, least=0.75) == []
    assert compared > 30


def test_an_answer_that_much_of_a_class_gives_is_no_hint_but_an_odd_copy_is():
    """Twelve of forty write the natural thing; two others share something else; the rest write their own."""
    code = {f"s{i:02}": {"task": LONG if i < 12 else unlike(i)} for i in range(38)}
    code |= {"bob": {"task": OTHER}, "zoe": {"task": renamed(OTHER, "task")}}
    assert hints(code, one()) == [Hint("bob", "zoe", "task", 1.0, 4)]
    assert len(hints({key: code[key] for key in ("s00", "s01", "s02", "bob")}, one())) == 3  # too few to say what is usual


def test_a_small_ring_in_a_class_is_found():
    code = {f"s{i:02}": {"task": LONG if i < 4 else unlike(i)} for i in range(40)}
    assert [hint[:2] for hint in hints(code, one())] == [
        ("s00", "s01"), ("s00", "s02"), ("s00", "s03"), ("s01", "s02"), ("s01", "s03"), ("s02", "s03"),
    ]  # fmt: skip


def test_a_pair_just_above_what_is_usual_is_no_hint():
    """All of a class have nearly the same, with a line of their own each; two have exactly the same."""
    code = {f"s{i:02}": {"task": LONG.replace("    return", f"    print(x, {i}, y)\n    return")} for i in range(20)}
    code["s19"] = code["s18"]
    assert hints(code, one()) == []
    assert len(hints({key: code[key] for key in ("s00", "s18", "s19")}, one())) == 3


def test_short_exercises_and_short_cells_are_left_out():
    short = "def task(x, y):\n    return x.softmax(-1).max(-1)\n"
    assert hints({"ada": {"task": LONG}, "bob": {"task": LONG}}, one(short)) == []
    assert hints({"ada": {"task": short}, "bob": {"task": short}}, one(LONG)) == []


BAD = {
    "blank": "",
    "stub": STUB,
    "syntax": "def task(x, y:\n    return",
    "magic": "%timeit 3\n!ls",
    "null": "def task(x, y):\n    return '\0'",
    "half a pair": LONG + "# \ud800",
    "deep": "def task(x, y):\n    return " + "-" * 5000 + "1",
    "brackets": "def task(x, y):\n    return " + "(" * 2900 + ")" * 2900,
    "number": "def task(x, y):\n    return " + "0x" + "f" * 5500 + LONG.split(":", 1)[1],
    "huge": LONG + "# and on\n" * 10_000,
    "tabs": "def task(x, y):\n\tif x:\n        return 1",
    "direction": LONG.replace("total", "\u202etotal"),
    "stops": "raise SystemExit\n" + STUB,
}


def test_a_cell_that_cannot_be_read_costs_nobody_elses_hints(recwarn):
    code = {name: {"task": cell} for name, cell in BAD.items()} | {"nothing": {}, "other cells": {"else": LONG}}
    code |= {"ada": {"task": LONG}, "bob": {"task": LONG}}
    assert [hint[:2] for hint in hints(code, one())] == [("ada", "bob")]
    assert not recwarn.list


def test_odd_literals_and_letters_are_read_without_a_warning():
    odd = LONG.replace("total", "итог_ß").replace("    return", "    x = '\\d', 1is 2, '🐍'\n    return")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [hint.share for hint in hints({"ada": {"task": odd}, "bob": {"task": odd}}, one())] == [1.0]


def test_nothing_a_student_wrote_is_executed(tmp_path):
    mark = tmp_path / "ran"
    evil = f"__import__('pathlib').Path({str(mark)!r}).touch()\n" + LONG
    assert len(hints({"ada": {"task": evil}, "bob": {"task": evil}}, one())) == 1
    assert not mark.exists()


def test_the_order_is_that_of_shares_then_names_whatever_the_order_given():
    near = LONG.replace("    return", "    print(x)\n    return")
    rows = [("dan", near), ("bob", LONG), ("eve", near), ("ada", LONG)]
    found = [hints({name: {"task": cell} for name, cell in order}, one()) for order in (rows, rows[::-1])]
    assert found[0] == found[1]
    assert [hint[:2] for hint in found[0]] == [
        ("ada", "bob"), ("dan", "eve"), ("ada", "dan"), ("ada", "eve"), ("bob", "dan"), ("bob", "eve"),
    ]  # fmt: skip
    assert found[0][2].share < 1


def test_of_equal_shares_the_students_names_come_before_the_exercise():
    exercises = tuple(Exercise(name, "task", 1.0, LONG, STUB) for name in ("zebra", "ant"))
    code = {name: {"zebra": LONG, "ant": LONG} for name in ("ada", "bob", "dan")}
    found = [hint[:3] for hint in hints(code, Source("99_test", {}, "none", exercises, ()))]
    assert found == sorted(found) and len(found) == 6


def test_the_seed_of_pythons_hash_changes_nothing():
    cells = [LONG, OTHER, OTHER + LONG, LONG.replace("    return", "    print(x)\n    return")]
    code = {f"s{i}": {"task": cell} for i, cell in enumerate(cells)}
    script = f"""
from labkit.grading.similar import hints
from labkit.grading.source import Exercise, Source
exercise = Exercise("task", "task", 1.0, {LONG!r}, {STUB!r})
print(hints({code!r}, Source("99_test", {{}}, "none", (exercise,), ()), least=0.05))
"""
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1] and printed[0].count("Hint(") == 4


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    hints({"ada": {"task": LONG}, "bob": {"task": LONG}}, one())
    assert not list(tmp_path.iterdir())


def test_without_copydetect_one_is_told_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "copydetect", None)
    with pytest.raises(ImportError, match=r"pip install labkit\[grade\]"):
        hints({}, one())


@pytest.mark.parametrize("least", [0, -1, 1.5, float("nan")])
def test_a_share_outside_its_range_is_refused(least):
    with pytest.raises(ValueError, match=r"least=0\.8"):
        hints({}, one(), least=least)
