"""From a heap of submissions, as a learning management system hands it out, to one submission a student."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from labkit.grading.handed import Handed, Unreadable, handed_in, unpacked
from labkit.grading.owners import ARCHIVE, NOTEBOOK, Owner, by_owner, stamp_of
from labkit.grading.roster import aware, read_roster
from labkit.grading.source import Source
from labkit.grading.written import Written, written

ARCHIVES, TOGETHER = 5, 10  # times the largest notebook: a student's archive, and all that is unpacked of a student's
NOTES = 20  # a student with a thousand odd files gets no longer list


@dataclass(frozen=True)
class Submission:
    """What a student handed in: `cells` maps grade_id to what was written, None if that can't be read; `fault` says why.

    file: path below the root, '!' before what lies in a zip archive; '' if nothing was handed in. submitted: when, None if
    the files don't tell. late: None if that is not known. superseded: other notebooks of this lab, latest first.
    """

    student: str
    file: str
    submitted: datetime | None
    late: bool | None
    superseded: tuple[str, ...]
    notes: tuple[str, ...]
    cells: dict[str, str] | None
    fault: str = ""


@dataclass(frozen=True)
class _Found:
    """A notebook, or a file that can't be read, of a student's."""

    label: str
    owner: Owner
    date: datetime | None  # by which the latest is found: timestamp.txt, or else the next
    own: datetime | None  # of the file or the archive's member itself
    submitted: datetime | None
    stamped: bool
    notes: tuple[str, ...] = ()
    holds: Written | None = None
    fault: str = ""

    @property
    def order(self) -> tuple[bool, tuple[int, int], float, float]:
        """Greatest for the notebook to be graded."""
        ours = not (self.holds and self.holds.foreign)
        return ours, self.owner.attempt, _seconds(self.date), _seconds(self.own)


def _seconds(date: datetime | None) -> float:
    return date.timestamp() if date else 0.0


def ingest(
    root: Path, source: Source, *, ids: Path | None = None, due: datetime | None = None, most: int = 20 * 2**20
) -> list[Submission]:
    """Find one submission of a lab for each student in a folder or zip archive, sorted by student; nothing is unpacked to disk.

    Known are `<student>/lab.ipynb`, `<student>.ipynb`, nbgrader's folders, Moodle's and Canvas's downloads, and archives in
    them. Whose a file is, the LMS's part of the path says, never a name that a student gave. Of several notebooks the last is
    taken: by Canvas's attempt, or else by timestamp.txt, the date in an archive or the file's own.

    ids: table of the class: each student in it gets a submission, and what one handed in under several names is put together.
    due: what comes later is late; a time without a zone is local. most: bytes of the largest notebook that is read.

    Raises:
        ValueError: there are no submissions, the table is none, or a name in it means two students.
    """
    roster = read_roster(ids) if ids else None
    due = aware(due) if due else None
    with handed_in(root) as files:
        owned, stamps = by_owner(files, source.lab, root.stem, roster)
        if not owned:
            raise ValueError(
                f"{root} holds no submissions: give a folder such as <student>/{source.lab}.ipynb, or an LMS's download"
            )
        students: dict[str, list[tuple[Owner, Handed]]] = {name: [] for name in roster.due} if roster else {}
        strangers = set()
        for owner, file in owned:
            name = roster.id_of(owner.names, file.label) if roster else ""
            if roster and not name:
                strangers.add(owner.key)
            students.setdefault(name or owner.key, []).append((owner, file))
        made = []
        for student in sorted(students):
            personal = roster.due.get(student) if roster else None
            one = _submission(student, students[student], stamps, source, personal, due, most)
            made.append(replace(one, notes=("not in the ids file", *one.notes)) if student in strangers else one)
    return made


def _submission(
    student: str,
    files: Sequence[tuple[Owner, Handed]],
    stamps: dict[tuple[str, ...], Handed],
    source: Source,
    personal: datetime | None,
    due: datetime | None,
    most: int,
) -> Submission:
    if not files:
        return Submission(student, "", None, None, (), (), None, "nothing was handed in")
    found = sorted(_all_found(files, stamps, source, most), key=lambda each: (each.order, each.label), reverse=True)
    ours = [each for each in found if each.holds]
    broken = [each for each in found if each.fault]
    if not found:
        taken = _plain(*files[0], stamps)
        taken = replace(taken, fault=f"no notebook was handed in, but {taken.label}: ask for the .ipynb file", notes=())
    else:
        taken = (ours or broken or found)[0]
    fault = taken.fault
    if not taken.holds and not fault:
        fault = f"{taken.label} holds no exercise of {source.lab}: ask for the notebook of this lab"
    late = _late(taken, personal or due)
    notes = _notes(taken, [each for each in found if each is not taken], late, personal)
    superseded = tuple(each.label for each in ours if each is not taken)
    cells = taken.holds.cells if taken.holds else None
    return Submission(student, taken.label, taken.submitted, late, superseded, notes, cells, fault)


def _notes(taken: _Found, others: Sequence[_Found], late: bool | None, personal: datetime | None) -> tuple[str, ...]:
    """What the instructor should know of the notebook that is taken, and of the others, which are not."""
    notes = list(taken.notes)
    if taken.holds:
        notes += taken.holds.notes
        if taken.holds.foreign:
            notes.append("most exercises in this notebook are another lab's")
    ours = [each for each in others if each.holds]
    if ours and ours[0].order == taken.order and taken.holds != ours[0].holds:
        notes.append(f"{ours[0].label} is of the same time and differs: see which one was meant")
    if late and taken.owner.late is None and not taken.stamped:
        notes.append("late by the date of the file, which copying may have changed: see the LMS")
    if taken.owner.late and personal:
        notes.append("marked late by Canvas, which may not know the personal deadline: see there")
    for each in others:
        if each.fault:
            notes.append(f"{'later, but ' if each.order > taken.order else ''}not used: {each.fault}")
        elif not each.holds:
            notes.append(f"{each.label} is another lab's")
    if len(notes) > NOTES:
        notes[NOTES - 1 :] = [f"and {len(notes) - NOTES + 1} notes more"]
    return tuple(notes)


def _late(taken: _Found, due: datetime | None) -> bool | None:
    """Canvas's own mark where there is one: the dates of its files are those of the download."""
    if taken.owner.late is not None:
        return taken.owner.late
    return taken.submitted > due if taken.submitted and due else None


def _all_found(
    files: Iterable[tuple[Owner, Handed]], stamps: dict[tuple[str, ...], Handed], source: Source, most: int
) -> Iterator[_Found]:
    """All notebooks of a student, those in archives too, and what can't be read."""
    left = TOGETHER * most
    for owner, file in files:
        plain = _plain(owner, file, stamps)
        if file.suffix not in (NOTEBOOK, ARCHIVE):
            if file.fault and not file.parts[-1]:  # a folder, in which a notebook may be
                yield replace(plain, fault=file.fault)
            continue
        packed = file.suffix == ARCHIVE
        try:
            inside = unpacked(_read(file, ARCHIVES * most), file.label) if packed else [file]
        except Unreadable as error:
            yield replace(plain, fault=str(error))
            continue
        inside = [each for each in inside if each.suffix in (NOTEBOOK, ARCHIVE)]
        if not inside:
            yield replace(plain, fault=f"{file.label} holds no notebook: ask for the .ipynb file")
        for each in inside:
            one = replace(plain, label=each.label)
            if packed and each.date:
                one = replace(one, own=each.date, date=plain.date if plain.stamped else each.date)
            try:
                if packed and each.suffix == ARCHIVE:
                    raise Unreadable(f"{each.label} is an archive in an archive: ask for the notebook itself")
                if left <= 0:
                    raise Unreadable(f"{each.label} was not read: this student's files are too large together")
                if not each.fault:
                    left -= most  # what is too large costs as much, and is only seen when it is read
                data = _read(each, most)
                left += most - len(data)
                yield replace(one, holds=_holds(data, each.label, source))
            except Unreadable as error:
                yield replace(one, fault=str(error))


def _holds(data: bytes, label: str, source: Source) -> Written | None:
    try:
        return written(data, source)
    except Unreadable as error:
        raise Unreadable(f"{label} {error}") from error


def _read(file: Handed, most: int) -> bytes:
    if file.fault:
        raise Unreadable(file.fault)
    return file.read(most)


def _plain(owner: Owner, file: Handed, stamps: dict[tuple[str, ...], Handed]) -> _Found:
    """A file with its times: those of timestamp.txt, the outermost above it, or else its own date."""
    found = _Found(file.label, owner, file.date, file.date, None if owner.late is not None else file.date, stamped=False)
    stamp = next((stamps[file.parts[:n]] for n in range(1, len(file.parts)) if file.parts[:n] in stamps), None)
    if stamp is None:
        return found
    try:
        time = stamp_of(_read(stamp, 1000).decode("utf-8-sig"))
    except ValueError:
        return replace(found, notes=(f"{stamp.label} can't be read: the file's date is used",))
    return replace(found, date=time, submitted=time, stamped=True)
