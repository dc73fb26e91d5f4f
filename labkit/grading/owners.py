"""Whose a file is: the layouts in which learning management systems hand submissions out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

from labkit.grading.handed import Handed, clean
from labkit.grading.roster import Roster, moment

NOTEBOOK, ARCHIVE, STAMP = ".ipynb", ".zip", "timestamp.txt"
#: What students can name themselves comes last in both, and the first match counts: nobody can pass for another
MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d{1,20})_assignsubmission_(?P<kind>file|onlinetext)(?:_.*)?")
CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d{1,20})_(?P<upload>\d{1,20})_(?P<file>.+)")


@dataclass(frozen=True)
class Owner:
    """Whose a file is, as its path says: a key, all names, and for Canvas its marks: late or not, attempt, upload."""

    key: str
    names: tuple[str, ...]
    moodle: bool = False
    late: bool | None = None
    attempt: tuple[int, int] = (0, 0)


def by_owner(
    files: Sequence[Handed], lab: str, stem: str, roster: Roster | None
) -> tuple[list[tuple[Owner, Handed]], dict[tuple[str, ...], Handed]]:
    """Files with whose they are, and the timestamp.txt of folders."""
    depth = _depth([each.parts for each in files if each.suffix in (NOTEBOOK, ARCHIVE)], lab, stem, roster)
    files = [each for each in files if len(each.parts) > depth]
    flat = [CANVAS.fullmatch(each.parts[depth]) for each in files if len(each.parts) == depth + 1]
    named: dict[str, set[str]] = {}
    for match in filter(None, flat):
        named.setdefault(match["id"], set()).add(match["name"])
    owned, stamps = [], {}
    for each in files:
        owner = _owner(each, depth, {number for number, names in named.items() if len(names) == 1})
        if owner is None:
            continue
        if each.parts[-1] == STAMP and len(each.parts) > depth + 1 and not owner.moodle:
            stamps[each.parts[:-1]] = each
        owned.append((owner, each))
    return owned, stamps


def _depth(paths: Sequence[tuple[str, ...]], lab: str, stem: str, roster: Roster | None) -> int:
    """How many folders lie around those of the students, such as 'submissions/' in an archive."""
    depth = 0
    while paths and all(len(path) > depth + 1 for path in paths):
        inside: dict[str, list[tuple[str, ...]]] = {}
        for path in paths:
            inside.setdefault(path[depth], []).append(path[depth + 1 :])
        if not all(_around(top, below, lab, stem, roster, depth, len(inside) == 1) for top, below in inside.items()):
            break
        depth += 1
    return depth


def _around(
    top: str, below: Sequence[tuple[str, ...]], lab: str, stem: str, roster: Roster | None, depth: int, alone: bool
) -> bool:
    """Whether a folder is no student's, but has those of students in it."""
    children = {path[0] for path in below}
    if MOODLE.fullmatch(top) or (roster and roster.knows(top)):
        return False
    if all(MOODLE.fullmatch(child) for child in children):
        return True
    flat = [CANVAS.fullmatch(path[0]) if len(path) == 1 else None for path in below]
    if alone and all(flat) and len({match["id"] for match in flat if match}) > 1:
        return True
    if roster and any(roster.knows(child) or roster.knows(PurePosixPath(child).stem) for child in children):
        return True
    folders = len(children) > 1 and all(len(path) > 1 for path in below) and lab not in children
    named = top.lower() in ("submitted", "submissions") or (top == stem and len(children) > 1)
    return alone and (named or (folders and depth == 0))


def _owner(file: Handed, depth: int, canvas_ids: set[str]) -> Owner | None:
    """Whose a file is; None if it is nobody's."""
    top, flat = file.parts[depth], len(file.parts) == depth + 1
    if match := MOODLE.fullmatch(top):
        names = (match["id"], match["name"], top)
        return Owner(match["id"], names, moodle=True) if match["kind"] == "file" else None
    if not flat:
        return Owner(clean(top), (top,))
    match = CANVAS.fullmatch(top)
    if match and match["id"] in canvas_ids:  # with two names to one number it is no Canvas's: novak_2026_08_dann.ipynb
        again = re.search(r"-(\d{1,6})$", PurePosixPath(match["file"]).stem)
        attempt = (int(again[1]) if again else 0, int(match["upload"]))
        return Owner(match["id"], (match["id"], match["name"]), late=bool(match["late"]), attempt=attempt)
    key = PurePosixPath(top).stem
    return Owner(clean(key), (key,)) if file.suffix in (NOTEBOOK, ARCHIVE) else None


def stamp_of(words: str) -> datetime:
    """The time that nbgrader wrote, such as '2026-11-20 12:00:00.123456 UTC'.

    Raises:
        ValueError: it is none.
    """
    when, _, zone = words.strip().rpartition(" ")
    zone = "+00:00" if zone in ("UTC", "GMT") else zone  # not every machine has a table of zones
    if when and zone[0] in "+-":
        return moment(when + zone)
    if not when or ":" in zone:
        return moment(words)
    try:
        return datetime.fromisoformat(when).replace(tzinfo=ZoneInfo(zone))
    except (LookupError, OSError) as error:
        raise ValueError(f"{zone} is no time zone") from error
