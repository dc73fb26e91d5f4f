"""The student's folder: student notebooks, labkit without grading, data, environment and a guide; the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit import files
from labkit.handout import hosting
from labkit.handout.needs import needs
from labkit.handout.student import NotASource, blanks, is_answer, is_exercise, name_of, student_version, text

MARK = ".labkit-release"  # hashes of all files, as sha256sum writes them: a release that is as it was made may be replaced
STUBS = "stubs.json"  # beside the notebooks: what each exercise was before anything was written
#: What of the workbook a student gets as it is; notebooks, labkit and the guide are made apart
COPIED = ("LICENSE", "environment.yml", "pyproject.toml", ".gitignore")
DATA = ("README.md", "weights")
SUFFIXES = (".py", ".md", ".j2", ".css")  # what a package needs, not what else may lie in its folder
LEFT_OUT = ("grading", "__pycache__")


class ReleaseError(RuntimeError):
    """A release could not be made; nothing has been replaced."""


def release(notebooks: Sequence[Path], out: Path, where: hosting.Repository | None = None) -> list[str]:
    """Write the student's folder with these labs to `out`, whole or not at all; gives the names of the files in it.

    The same source gives the same bytes. `where` is the repository from which labs will be opened on Colab and Binder: its
    address and badges then go into the notebooks and the guide, which name none otherwise. A release that lies there is
    replaced, but only if no student has worked in it.

    Raises:
        ReleaseError: `out` holds something else than an untouched release, or a notebook is no instructor's source.
        OSError: the disk is full or may not be written.
    """
    home, out = files.home(), out.resolve()
    if out == home or (home in out.parents and (home / "runs") not in out.parents) or out in home.parents:
        raise ReleaseError(f"{out} is part of the workbook, or the workbook is in it: give a folder elsewhere, or in runs/")
    _require_free(out)
    contents = dict(sorted(_contents(home, notebooks, where)))  # what can't be released is found before anything is written
    contents[MARK] = "".join(f"{_hash(content)}  {name}\n" for name, content in contents.items()).encode()
    out.parent.mkdir(parents=True, exist_ok=True)
    spare = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        new = spare / "new"
        for name, content in contents.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _swap(new, out, spare / "old")
    finally:
        shutil.rmtree(spare, ignore_errors=True)
    return [name for name in contents if name != MARK]


def _swap(new: Path, out: Path, old: Path) -> None:
    """Put `new` in the place of `out`, and what was there to `old`; an interruption in between puts it back."""
    try:
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise


def _contents(home: Path, notebooks: Sequence[Path], where: hosting.Repository | None) -> Iterator[tuple[str, bytes]]:
    """All files of a release: name and bytes."""
    stubs: dict[str, Any] = {}
    titles: dict[str, str] = {}
    for path in sorted(notebooks, key=lambda each: each.name):
        try:
            source = json.loads(path.read_text(encoding="utf-8"))
            made = student_version(source)
            stubs[path.stem] = {
                "order": [name_of(cell) for cell in made["cells"]],
                "blanks": blanks(made),
                "cells": {name_of(cell): _bare(cell) for cell in made["cells"] if is_exercise(cell) or is_answer(cell)},
                "needs": needs(source),
            }
            titles[path.stem] = text(made["cells"][0]).splitlines()[0].removeprefix("# ")
            made = hosting.addressed(made, path.stem, where) if where else made
        except NotASource as error:
            raise ReleaseError(f"{path.name}: {error}") from error
        except FileNotFoundError as error:
            raise ReleaseError(f"there is no {path}: give the instructor's notebooks, which are in notebooks/") from error
        except (ValueError, LookupError, TypeError, AttributeError, SyntaxError) as error:  # no JSON, no notebook, no Python
            raise ReleaseError(f"{path.name} is no instructor's notebook ({error}): take it from version control") from error
        yield f"notebooks/{path.name}", _as_json(made)
    yield f"notebooks/{STUBS}", _as_json(stubs)
    yield "notebooks/expected.toml", _expected(home, list(titles))
    if (home / "notebooks" / "NOTATION.md").is_file():
        yield "notebooks/NOTATION.md", (home / "notebooks" / "NOTATION.md").read_bytes()
    for path in _package(home / "labkit"):
        yield f"labkit/{path.relative_to(home / 'labkit').as_posix()}", path.read_bytes()
    for name in DATA:
        root = home / "data" / name
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and not path.name.startswith("."):
                yield f"data/{path.relative_to(home / 'data').as_posix()}", path.read_bytes()
    for name in COPIED:
        if (home / name).is_file():
            yield name, (home / name).read_bytes().replace(b"-e .[test]", b"-e .")  # what runs tests is not for students
    if where:
        for name in hosting.COPIED:
            if (home / name).is_file():
                yield name, (home / name).read_bytes()
        try:
            needed = hosting.requirements((home / "pyproject.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError, LookupError) as error:
            raise ReleaseError(f"pyproject.toml does not say what Colab must install ({error}): see to it first") from error
        yield hosting.REQUIREMENTS, needed.encode()
    yield "README.md", _guide(titles, where)


def _package(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES
        and path.is_file()
        and not any(part in LEFT_OUT or part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _bare(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell without what is written in it, for one that a student deletes."""
    return {name: value for name, value in cell.items() if name != "source"}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _expected(home: Path, labs: Sequence[str]) -> bytes:
    """The tables of these labs, as they stand in expected.toml."""
    import tomlkit

    whole = tomlkit.parse((home / "notebooks" / "expected.toml").read_text(encoding="utf-8"))
    known = [path.stem for path in (home / "notebooks").glob("*.ipynb")]
    for lab in known:
        if lab not in labs:
            whole.pop(lab, None)
    return tomlkit.dumps(whole).encode()


def _guide(titles: Mapping[str, str], where: hosting.Repository | None) -> bytes:
    """The student's one-page guide, with the titles of the labs, and badges if there is an address."""
    guide = (Path(__file__).parent / "guide.md").read_text(encoding="utf-8")
    badges = {lab: f" {where.badges(lab)}".rstrip() if where else "" for lab in titles}
    rows = [f"- [{title}](notebooks/{lab}.ipynb){badges[lab]}" for lab, title in titles.items()]
    hosted = hosting.advice(where, next(iter(titles))) if where and titles else ""
    return guide.replace("@LABS@", "\n".join(rows)).replace("@HOSTED@\n\n", hosted).encode()


def _require_free(out: Path) -> None:
    """Refuse to replace anything but a release as it was made."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    mark = out / MARK
    if not mark.is_file():
        raise ReleaseError(f"{out} is there and is no release of labkit: give another folder, or remove it yourself")
    made = {name: digest for digest, _, name in (row.partition("  ") for row in mark.read_text(encoding="utf-8").splitlines())}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_dir() or name == MARK or "__pycache__" in path.parts:
            continue
        if name not in made:
            raise ReleaseError(f"{out} holds {name}, which no release put there: give another folder, or move what you need")
        if _hash(path.read_bytes()) != made[name]:
            raise ReleaseError(f"{out / name} was changed after its release: give another folder, or move what you need")
