"""Docstrings: every public function and class has one, its first sentence ends, and the errors it raises itself are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import labkit

PACKAGE = Path(labkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
Public = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
#: Said in another place or in other words: where `Lost` is defined, and in the first sentence
ALLOWED = {"Sandbox.ask: Lost", "Sandbox.answer: Lost", "Bubblewrap.require: NoSandbox"}
EXIT = "Exit"  # typer's, by which a command ends: no error


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Public]]:
    """Public functions, classes and their public methods, by name."""
    for node in body:
        if isinstance(node, FUNCTIONS | ast.ClassDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def raised(node: ast.AST, caught: bool = False) -> Iterator[str]:
    """Errors that a function's own body raises by name, but not where a handler of its own may catch them."""
    for field, value in ast.iter_fields(node):
        here = caught or (isinstance(node, ast.Try) and field == "body" and bool(node.handlers))
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, FUNCTIONS | ast.Lambda | ast.ClassDef):
                continue
            if isinstance(child, ast.Raise) and child.exc is not None and not here:
                error = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
                name = ast.unparse(error).rpartition(".")[2]
                if name[0].isupper() and name != EXIT:  # what begins in lower case is a variable, or makes the error
                    yield name
            yield from raised(child, here)


def faults(source: str) -> list[str]:
    """What is wrong with the docstrings of a module, a line a fault."""
    found = []
    for name, node in public(ast.parse(source).body):
        text = ast.get_docstring(node) or ""
        sentence = " ".join(text.split("\n\n")[0].split())
        if not text:
            found.append(f"{name}: no docstring")
        elif not re.search(r"[.:](\s|$)", sentence):
            found.append(f"{name}: the first sentence does not end")
        if re.search(r"(?i)^[ \t]*(:?raises?|throws?|exceptions?)\b[ \t]*:?[ \t]*$", text, re.M) and not re.search(
            r"^Raises:\n {4}\S", text, re.M
        ):
            found.append(f"{name}: write 'Raises:', and below it, indented, one error a line")
        if isinstance(node, FUNCTIONS):
            section = text.partition("Raises:\n")[2]
            found += [f"{name}: {error}" for error in sorted(set(raised(node))) if not re.search(rf"\b{error}\b", section)]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_are_whole_and_name_the_errors(path):
    found = [fault for fault in faults(path.read_text(encoding="utf-8")) if fault not in ALLOWED]
    assert not found, "\n".join(found)


def test_what_is_allowed_is_still_needed():
    found = {
        fault for name in ("sandbox", "backends") for fault in faults((PACKAGE / "grading" / f"{name}.py").read_text("utf-8"))
    }
    assert found >= ALLOWED


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def f():\n    return 1", "f: no docstring"),
        ("class C:\n    '''A class.'''\n    def m(self):\n        pass", "C.m: no docstring"),
        ("def f():\n    '''Without an end'''", "f: the first sentence does not end"),
        ("def f():\n    '''One.\n\n    raises:\n        ValueError: x.\n    '''", "f: write 'Raises:', and below it, indented"),
        ("def f():\n    '''One.'''\n    raise ValueError('x')", "f: ValueError"),
        ("def f():\n    '''One ValueError.'''\n    if 1:\n        raise ValueError('x')", "f: ValueError"),
        (
            "def f():\n    '''One.'''\n    try:\n        g()\n    except OSError:\n        raise a.Late('x') from None",
            "f: Late",
        ),
    ],
)
def test_each_fault_is_found(source, fault):
    assert len(found := faults(source)) == 1 and found[0].startswith(fault)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    '''One.\n\n    Raises:\n        ValueError: x.\n    '''\n    raise ValueError('x')",
        "def f():\n    '''One.'''\n    try:\n        raise ValueError('x')\n    except ValueError:\n        return 1",
        "def f():\n    '''One.'''\n    def g():\n        raise ValueError('x')\n    raise error",
        "def _f():\n    raise ValueError('x')",
    ],
)
def test_what_is_right_is_let_pass(source):
    assert faults(source) == []
