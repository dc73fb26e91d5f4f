"""Which cells of a notebook can't run while an exercise is blank, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from labkit.handout.student import defined, is_exercise, name_of, text

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FILLING = ("add", "append", "extend", "insert", "setdefault", "update")  # methods that put something into a container


def needs(notebook: dict[str, Any]) -> dict[str, list[str]]:
    """For each exercise (grade_id) the ids of the code cells that need it, in the notebook's order: no other fails without it.

    A cell needs it if a statement at its top level reads the exercise's function, or a value that can only be had by
    calling it. Defining a function that calls it needs nothing, calling that function does. Its check always needs it.
    A few such cells run all the same, where what they read is used in another profile only, or where an older value of the
    same name is still there. Other exercises are taken as `notebook` has them: give the source, where they are solved.
    """
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    cells = [(name_of(cell), [_Statement(each) for each in ast.parse(text(cell)).body]) for cell in code]
    return {name_of(cell): _failing(cells, defined(text(cell)), name_of(cell)) for cell in code if is_exercise(cell)}


def read_by(source: str) -> set[str]:
    """Names that the code of a cell reads from outside itself, at once or later; none if it is no Python."""
    try:
        return _block(ast.parse(source).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()


class _Statement:
    """What a statement at the top level of a cell does with names."""

    def __init__(self, node: ast.stmt) -> None:
        self.made = set(_bound([node]))
        self.filled = set(_filled(node))
        self.reads = _reads(node)  # at once, or when what it defines is called
        self.defines = node.name if isinstance(node, _DEFINITIONS) else None
        self.at_once = _at_once(node) if isinstance(node, _DEFINITIONS) else self.reads


def _failing(cells: list[tuple[str, list[_Statement]]], function: str, exercise: str) -> list[str]:
    """Ids of the cells that fail while `function`, which the cell `exercise` defines, is blank."""
    lacking: set[str] = set()  # names without a value of their own, or whose value lacks something
    behind: dict[str, set[str]] = {}  # what a function or class of the notebook reads when it is called
    failing = []
    for cell, statements in cells:
        failed = False
        for statement in statements:
            failed = failed or bool(_reached(statement.at_once, behind) & lacking)
            for name in statement.made:
                behind.pop(name, None)
            if failed:
                lacking |= statement.made | statement.filled
                continue
            lacking -= statement.made
            if statement.defines:
                behind[statement.defines] = statement.reads
        if cell == exercise:
            lacking.add(function)
            behind.pop(function, None)
        if failed:
            failing.append(cell)
    return failing


def _reached(names: set[str], behind: dict[str, set[str]]) -> set[str]:
    """These names, and all that is read when the functions among them are called."""
    found: set[str] = set()
    while names:
        found |= names
        names = set[str]().union(*(behind.get(name, set()) for name in names)) - found
    return found


def _reads(node: ast.AST) -> set[str]:
    """Names that a piece of code reads from outside itself, at once or when what it defines is called."""
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Store) else {node.id}
    if isinstance(node, ast.AugAssign):
        old = {node.target.id} if isinstance(node.target, ast.Name) else _reads(node.target)
        return old | _reads(node.value)
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        body = node.body if isinstance(node.body, list) else [node.body]
        return _at_once(node) | _all(body) - _local(node)
    if isinstance(node, _COMPREHENSIONS):
        first, *others = node.generators
        parts = [each.iter for each in others] + [test for each in node.generators for test in each.ifs]
        parts += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        targets = set(_bound(each.target for each in node.generators))
        return _reads(first.iter) | _all(parts) - targets  # the first iterator sees nothing of the comprehension's own names
    own: set[str] = set()  # what the body is sure to find
    if isinstance(node, ast.For | ast.AsyncFor):
        own = set(_bound([node.target]))
    elif isinstance(node, ast.With | ast.AsyncWith):
        own = set(_bound(node.items))
    blocks = [
        value for _, value in ast.iter_fields(node) if isinstance(value, list) and value and isinstance(value[0], ast.stmt)
    ]
    inside = {id(part) for block in blocks for part in block}
    outside = _all(child for child in ast.iter_child_nodes(node) if id(child) not in inside)
    return outside | set[str]().union(*map(_block, blocks)) - own


def _block(statements: list[ast.stmt]) -> set[str]:
    """Names that statements in a row read from outside: not those to which one above gave a value for certain."""
    found: set[str] = set()
    given: set[str] = set()
    for statement in statements:
        found |= _reads(statement) - given
        if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, *_DEFINITIONS)):
            given |= set(_bound([statement]))
    return found


def _all(nodes: Iterable[ast.AST]) -> set[str]:
    return set[str]().union(*map(_reads, nodes))


def _at_once(node: ast.AST) -> set[str]:
    """What a definition reads before anything is called: decorators, defaults, bases, and the body of a class."""
    if isinstance(node, ast.ClassDef):
        body = _all(part for part in node.body if not isinstance(part, _FUNCTIONS))
        methods = set[str]().union(*(_at_once(part) for part in node.body if isinstance(part, _FUNCTIONS)))
        return _all([*node.decorator_list, *node.bases, *node.keywords]) | (body | methods) - set(_bound(node.body))
    assert isinstance(node, _FUNCTIONS)
    defaults = [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
    return _all(defaults) if isinstance(node, ast.Lambda) else _all([*node.decorator_list, *defaults])


def _local(node: ast.AST) -> set[str]:
    """A function's parameters and the names to which its body gives a value, or those of a class body."""
    if isinstance(node, ast.ClassDef):
        return set()  # methods don't see the names of the class
    assert isinstance(node, _FUNCTIONS)
    of = node.args
    names = {each.arg for each in (*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg) if each is not None}
    if isinstance(node, ast.Lambda):
        return names
    shared = {name for part in ast.walk(node) if isinstance(part, ast.Global) for name in part.names}
    return names | set(_bound(node.body)) - shared


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names to which code gives a value in its own scope."""
    for node in nodes:
        if isinstance(node, _DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id
        elif not isinstance(node, (*_COMPREHENSIONS, ast.Lambda)):
            if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
            yield from _bound(ast.iter_child_nodes(node))


def _filled(statement: ast.stmt) -> Iterator[str]:
    """Containers into which a statement puts something: `a[k] = ...` and `a.append(...)` leave `a` lacking if they fail."""
    for node in ast.walk(statement):
        target: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            target = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _FILLING:
            target = node.func.value
        while isinstance(target, ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name):
            yield target.id
