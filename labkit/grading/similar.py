"""Hints where two submissions of a class hold nearly the same code: 'look here', never a verdict."""

from __future__ import annotations

import ast
import io
import itertools
import tokenize
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from labkit.grading.source import Exercise, Source

LEAST_TOKENS = 40  # about four lines; of 50 exercises of the labs 12 have shorter solutions, which most students will share
RUN = 6  # tokens in a row that count as shared; see `hints` for what was measured with it
LARGEST = 6_000  # characters; the labs' longest exercise has 1,400
USUAL = 0.8  # of a pair's likenesses to the others, how many say what is usual
MARGIN = 0.2  # by how much a pair must exceed what is usual
CLASS = 10  # students; with fewer, three who copy would themselves be what is usual
OWN = "_"
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Hint(NamedTuple):
    """Two students, in the order of their names, whose code in an exercise (its grade_id) is nearly the same.

    share: of the tokens of both, those in runs that they have in common, 0..1. lines: how many lines these runs touch, in
    whichever of the two it is fewer, comments and blank lines left out.
    """

    first: str
    second: str
    exercise: str
    share: float
    lines: int


def hints(code: Mapping[str, Mapping[str, str]], source: Source, *, least: float = 0.8) -> list[Hint]:
    """Pairs of students to look at, the most alike first, then by names.

    code: student -> grade_id -> what stands in the cell. Compared are runs of six tokens or more, exercise by exercise.
    What the stub gives does not count, nor do comments, docstrings, formatting, annotations and imports; a name that the cell
    itself gives a value to is as good as any other, while torch's names stay what they are. An exercise is left out if its
    solution has fewer than 40 tokens beyond the stub; so is a cell that has fewer, is no Python or is very long. Nothing
    is executed.

    A pair counts if its share is at least `least`, and in a class of ten or more also 0.2 above what is usual: four in five
    of the shares that either of the two has with anybody else are no higher. So an answer that more than about a fifth of
    the class gives is no hint, and neither is one that as many have copied.

    Measured on the labs' 38 longer exercises: 61 pairs of right answers that were written to differ share 0.21 in the
    median, 0.41 in nine of ten, 0.74 at most. A solution and its copy under new names share 1.00; with a line added as well
    0.91 or more, with its result put into a variable 0.91, with `dim=` before numbers 0.87; with all four changes 0.64 or
    more, and 0.8 in 34 of 38. No real class's answers were at hand: they will be more alike than those written to differ.

    Raises:
        ImportError: copydetect is not installed.
        ValueError: least is not in 0..1, or is 0.
    Source: Schleimer et al. 2003, Winnowing; https://github.com/blingenf/copydetect.
    """
    if not 0 < least <= 1:
        raise ValueError(f"least is {least:g}: use a share above 0 and up to 1, such as least=0.8")
    try:
        from copydetect import CodeFingerprint
    except ImportError as error:
        raise ImportError("hints at similar code need copydetect: pip install labkit[grade]") from error
    found = []
    for exercise in source.exercises:
        alphabet: dict[str, str] = {}
        if len(_cell(exercise.solution, exercise, alphabet).symbols) < LEAST_TOKENS:
            continue
        prints, cells = {}, {}
        for student in sorted(code):
            cell = _cell(code[student].get(exercise.grade_id, ""), exercise, alphabet)
            if len(cell.symbols) >= LEAST_TOKENS:
                # a window of 1 keeps all runs: which ones a larger window keeps hangs on the seed of Python's hash
                prints[student] = CodeFingerprint(student, RUN, 1, filter=False, fp=io.StringIO(cell.symbols))
                cells[student] = cell
        for one, two, share in _alike(prints, least):
            lines = _lines([prints[one], prints[two]], [cells[one], cells[two]])
            found.append(Hint(one, two, exercise.grade_id, share, lines))
    return sorted(found, key=lambda hint: (-hint.share, *hint))


class _Cell(NamedTuple):
    """What a student added to a stub: a character for each token, and the line in which each token stands."""

    symbols: str
    lines: list[int]


def _cell(written: str, exercise: Exercise, alphabet: dict[str, str]) -> _Cell:
    """A cell without what the stub gives, empty if it can't be read; new tokens get a character in `alphabet`."""
    if len(written) > LARGEST:
        return _Cell("", [])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd literals that it reads
            tree = ast.parse(written)
        bare = _Bare().visit(tree).body
        added = _added(bare, _Bare().visit(ast.parse(exercise.stub)).body)
        _rename(tree)
        text = io.StringIO(ast.unparse(ast.Module(added, [])))
        tokens = [token for token in tokenize.generate_tokens(text.readline) if token.string.strip()]
        # from the private-use area on, where no character is a line end or half of a pair
        symbols = "".join(alphabet.setdefault(token.string, chr(0xE000 + len(alphabet))) for token in tokens)
        return _Cell(symbols, [token.start[0] for token in tokens])
    except Exception:  # whatever a student wrote, the others' hints are made
        return _Cell("", [])


class _Bare(ast.NodeTransformer):
    """Takes out bare strings such as docstrings, imports and annotations."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        return None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.generic_visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)


def _rename(tree: ast.AST) -> None:
    """Give one name to all names and attributes that a piece of code gives a value to: its writer chose them freely."""
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    names |= {node.name for node in nodes if isinstance(node, DEFINITION)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in names:
            node.id = OWN
        elif isinstance(node, ast.Attribute) and node.attr in attributes:
            node.attr = OWN
        elif isinstance(node, ast.arg):
            node.arg = OWN
        elif isinstance(node, (*DEFINITION, ast.ExceptHandler)):
            node.name = OWN


def _added(body: Iterable[ast.stmt], given: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Statements that are not given; of a function or class that is given, those in its body, without its first line."""
    inside = {node.name: node.body for node in given if isinstance(node, DEFINITION)}
    same = {ast.dump(node) for node in given}
    added: list[ast.stmt] = []
    for node in body:
        if isinstance(node, DEFINITION) and node.name in inside:
            added += _added(node.body, inside[node.name])
        elif ast.dump(node) not in same:
            added.append(node)
    return added


def _alike(prints: Mapping[str, Any], least: float) -> list[tuple[str, str, float]]:
    """Pairs that share at least `least`, and clearly more than either of the two shares with the others."""
    from copydetect import compare_files

    shares: dict[str, dict[str, float]] = {student: {} for student in prints}
    for one, two in itertools.combinations(prints, 2):
        sizes = [prints[each].token_coverage for each in (one, two)]
        _, parts, _ = compare_files(prints[one], prints[two])
        shares[one][two] = shares[two][one] = round(float(np.average(parts, weights=sizes)), 3)
    found = []
    for one, two in itertools.combinations(prints, 2):
        share = shares[one][two]
        if len(prints) >= CLASS and share >= least:
            others = [shares[each][other] for each in (one, two) for other in prints if other not in (one, two)]
            share = share if share >= np.quantile(others, USUAL, method="lower") + MARGIN else 0.0
        if share >= least:
            found.append((one, two, share))
    return found


def _lines(prints: Iterable[Any], cells: Iterable[_Cell]) -> int:
    """How many lines of two cells hold what they share, in whichever it is fewer."""
    from copydetect import compare_files

    _, _, slices = compare_files(*prints)
    runs = (zip(*ranges.astype(int), strict=True) for ranges in slices)
    return min(
        len({line for first, last in run for line in cell.lines[first:last]}) for run, cell in zip(runs, cells, strict=True)
    )
