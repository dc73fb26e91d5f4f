"""The package as source: what importing costs, which way imports run, and how modules are kept."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import labkit

PACKAGE = Path(labkit.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}

#: From the ground up; a module imports from lower rows, or from its own part of the package. A new module needs a place.
ROWS = (
    ("files", "machine", "terminal"),
    ("sets", "arms", "narrow", "ledger", "checkpoint", "history", "guards", "check.frame", "check.nets", "adapters.arrays"),
    ("public", "worlds", "samples", "plots", "embed", "smallconv", "preparation"),
    ("words",),
    ("twin_nets",),
    ("twins", "kept"),
    ("train", "report", "check", "probes", "features", "duplicates", "zoo", "explore"),
    ("lab", "recipes", "clips"),
    ("pretrain_conv", "pretrain_vit", "pretrain_clip"),
    ("pretrain",),
    ("book",),
    ("adapters", "handout"),
    ("grading",),
    ("calibrate",),
    ("doctor",),
    ("course",),
    ("cli",),
)
#: Imports inside a function that run upwards, since a set is found by its name
LAZY = {("sets", "public"), ("sets", "worlds")}
#: Who alone may import what turns notebooks into a book
IMPORTERS = {
    "book": {"book", "adapters", "grading", "calibrate", "course", "cli"},
    "grading": {"grading", "course"},
    "course": {"cli"},
    "calibrate": {"cli"},
    "doctor": {"cli"},
    "cli": set(),
}


def row(module: str) -> int | None:
    """The row of a module: that of its longest prefix which has a place."""
    while module:
        for number, names in enumerate(ROWS):
            if module in names:
                return number
        module = module.rpartition(".")[0]
    return None


def part(module: str) -> str:
    return module.split(".")[0]


def imports(module: str) -> set[tuple[str, bool]]:
    """Modules of the package that a module imports, each with whether that happens inside a function."""
    found: set[tuple[str, bool]] = set()

    def look(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{module}: write imports from labkit in full")
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            while name.startswith("labkit.") and name.removeprefix("labkit.") not in MODULES:
                name = name.rpartition(".")[0]
            if name.startswith("labkit."):
                found.add((name.removeprefix("labkit."), inside))
        for child in ast.iter_child_nodes(node):
            look(child, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    look(ast.parse(MODULES[module].read_text(encoding="utf-8")), False)
    return found


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def test_importing_labkit_imports_nothing_heavy():
    code = "import sys; import labkit; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "labkit" in loaded
    assert not {"torch", "numpy", "matplotlib", "scipy", "sklearn", "joblib"} & set(loaded)
    assert not [name for name in loaded if name.startswith("labkit.")]


def test_importing_labkit_costs_at_most_50_ms():
    for _ in range(4):  # on a busy machine only the best of several runs says anything
        runs = [(seconds("pass"), seconds("import labkit")) for _ in range(5)]
        cost = min(run[1] for run in runs) - min(run[0] for run in runs)
        if cost <= 0.05:
            return
    raise AssertionError(f"import labkit costs {1000 * cost:.0f} ms")


def test_the_ground_can_be_used_without_torch():
    code = "import sys; from labkit import files, machine; import labkit.cli; assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    mine = row(module)
    assert mine is not None, f"{module} has no place in ROWS: say where it belongs"
    for other, inside in imports(module):
        if part(other) == part(module) or (inside and (module, part(other)) in LAZY):
            continue
        theirs = row(other)
        assert theirs is not None and theirs < mine, f"{module} imports {other}, which is not below it"


@pytest.mark.parametrize("module", MODULES)
def test_the_book_is_imported_by_the_command_alone(module):
    for other, _ in imports(module):
        assert part(module) in IMPORTERS.get(part(other), {part(module)}), f"{module} imports {other}"


def test_no_two_modules_import_each_other_on_import():
    above = {module: {other for other, inside in imports(module) if not inside} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in above[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_a_room_with_a_purpose(module):
    path = MODULES[module]
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 290
    assert not {"utils", "util", "helpers", "common", "misc"} & set(module.split("."))
    assert re.fullmatch(r"[a-z0-9_.]+", module)
    assert ast.get_docstring(ast.parse(text)), f"{module} does not say what is inside"


def public_functions(module: str):
    """Public functions and methods of a module, with their names."""

    def look(body, prefix, public):
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from look(node.body, f"{prefix}{node.name}.", public and not node.name.startswith("_"))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                hidden = node.name.startswith("_") and node.name not in ("__init__", "__call__")
                if public and not hidden:
                    yield f"{prefix}{node.name}", node, bool(prefix)

    yield from look(ast.parse(MODULES[module].read_text(encoding="utf-8")).body, "", True)


@pytest.mark.parametrize("module", MODULES)
def test_public_functions_say_what_they_do_and_have_annotated_signatures(module):
    lacking = []
    for name, node, method in public_functions(module):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [a for a in (node.args.vararg, node.args.kwarg) if a is not None]
        bound = method and not any("staticmethod" in ast.unparse(d) for d in node.decorator_list)
        lacking += [f"{name}({a.arg}) has no annotation" for a in arguments[bound:] if a.annotation is None]
        if node.returns is None:
            lacking.append(f"{name} has no return annotation")
        if not name.endswith("__init__") and not ast.get_docstring(node):
            lacking.append(f"{name} has no docstring")
    assert not lacking, lacking


def test_these_tests_see_the_package():
    assert {"files", "lab", "check.frame", "worlds.digits", "cli"} <= set(MODULES)
    assert ("ledger", False) in imports("lab") and ("report", True) in imports("lab")
    assert ("worlds.digits", True) in imports("sets") and ("lab", False) not in imports("report")
    assert any(name == "Run.step" for name, *_ in public_functions("train"))
