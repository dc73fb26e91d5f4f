"""What an instructor reads of a class: a summary, and all answers question by question for marking by hand."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.grading import pages
from labkit.grading.pages import title_of, where
from labkit.grading.source import Question, Source
from labkit.grading.standing import Marks, Record, Standing, answer, figure, standings, strangers

STATES = ("graded", "incomplete", "infrastructure", "unreadable", "missing")
ODD = ("timeout", "out of memory", "dead", "bad artefact", "infrastructure")  # of an exercise or a whole notebook
SHARES = ("0", "to 25 %", "to 50 %", "to 75 %", "under 100 %", "full")
MISSED = 15  # rows of the table of cases
CLAIMS = 40
FEW = 3  # reruns below which no majority is spoken of


@dataclass(frozen=True)
class Histogram:
    """How many fall into each of some bins; `words` say it to those who can't see the bars."""

    name: str
    labels: Sequence[str]
    counts: list[int]
    values: list[float]
    of: float
    unknown: int = 0

    @property
    def words(self) -> str:
        """All of it in a sentence."""
        bins = "; ".join(f"{label}: {count}" for label, count in zip(self.labels, self.counts, strict=True))
        return f"{self.name}, {len(self.values)} students by points of {figure(self.of)}. {bins}"

    @property
    def mean(self) -> float | None:
        """Mean of the known values."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def median(self) -> float | None:
        """Median of the known values."""
        return statistics.median(self.values) if self.values else None


@dataclass(frozen=True)
class Missed:
    """A case with the number that it was put to and that failed, and the fault that came most often with its count."""

    exercise: str
    case: str
    self_reported: bool
    asked: int
    failed: int
    fault: str
    times: int


def summary(records: Iterable[Record], source: Source, marks: Marks, hints: Iterable[Sequence[Any]] = ()) -> str:
    """The class on one page: statuses, histograms, missed cases, notebooks that stopped, claims, who needs attention.

    hints: (student, student, exercise, share of common code from 0 to 1) where two submissions are alike; they stand
    under 'Look here', which is no verdict.

    Raises:
        ValueError: a student has two records, or a record is of another lab or other points.
    """
    rows = standings(records, source, marks)
    known = [record for record, _ in rows]
    states = [(state, [stand.student for _, stand in rows if stand.status == state]) for state in STATES]
    exercises = [_by_share([stand for _, stand in rows], each.grade_id, each.points) for each in source.exercises]
    corrected = [(stand.student, mark) for _, stand in rows for mark in stand.marks if mark.corrected]
    claims = _claims(known)
    return pages.page(
        "summary.html.j2",
        title=title_of(source),
        lab=source.lab,
        states=states,
        n=len(rows),
        totals=_totals(rows, source),
        shares=SHARES,
        exercises=exercises,
        missed=_missed(known, source),
        stops=_stops(known, source),
        claims=claims[:CLAIMS],
        more_claims=len(claims[CLAIMS:]),
        attention=[(record["student"], reasons) for record, stand in rows if (reasons := _reasons(record, stand))],
        corrected=corrected,
        strangers=strangers(known, marks),
        hints=[tuple(hint)[:4] for hint in hints],
    )


def hand_marking(records: Iterable[Record], source: Source) -> str:
    """All answers to one question after the other, each question with what was asked, its points and the model answer.

    Raises:
        ValueError: a student has two records, or a record is of another lab or other points.
    """
    known = [record for record, _ in standings(records, source, {})]
    readable = [record for record in known if record["status"] not in ("missing", "unreadable")]
    return pages.page(
        "hand_marking.html.j2",
        title=title_of(source),
        lab=source.lab,
        questions=[_question(each, readable) for each in source.questions],
        absent=[record["student"] for record in known if record not in readable],
    )


def _question(question: Question, records: list[Record]) -> tuple[Question, list[tuple[str, str]], list[str]]:
    """A question with the answers (student, text), and the students who left it blank."""
    found = [(record["student"], answer(record, question)) for record in records]
    return question, [pair for pair in found if pair[1]], [student for student, written in found if not written]


def _totals(rows: list[tuple[Record, Standing]], source: Source) -> list[Histogram]:
    """Histograms of all exercises together, and of everything, over the students of whom it is all known."""
    groups = {"All exercises": {each.grade_id for each in source.exercises}, "Total": set(source.points)}
    found = []
    for name, parts in groups.items():
        of = math.fsum(source.points[part] for part in parts)
        points = [[mark.points for mark in stand.marks if mark.grade_id in parts] for _, stand in rows]
        values = [math.fsum(each) for each in points if None not in each]  # type: ignore[arg-type]
        edges = [of * i / 10 for i in range(11)]
        labels = [f"{edges[i]:.3g}–{edges[i + 1]:.3g}" for i in range(10)]
        bins = Counter(min(9, math.floor(round(10 * value / of, 9))) for value in values) if of else Counter()
        found.append(Histogram(name, labels, [bins[i] for i in range(10)], values, of, len(rows) - len(values)))
    return found


def _by_share(stands: list[Standing], grade_id: str, of: float) -> Histogram:
    """An exercise's histogram: none, four quarters without their ends, full."""
    points = [mark.points for stand in stands for mark in stand.marks if mark.grade_id == grade_id]
    values = [each for each in points if each is not None]
    bins = Counter(5 if each >= of else min(4, math.ceil(round(4 * each / of, 9))) for each in values)
    return Histogram(grade_id, SHARES, [bins[i] for i in range(6)], values, of, len(points) - len(values))


def _missed(records: list[Record], source: Source) -> list[Missed]:
    """The cases that most failed, among those whose code ran; numbers in a fault don't make it another one."""
    asked: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for record in records:
        for scored in record["exercises"]:
            if scored["status"] not in ("blank", "infrastructure"):
                for case in scored["cases"]:
                    asked[scored["grade_id"], case["name"]].append(case)
    found = []
    for (exercise, name), cases in asked.items():
        faults = [case["fault"] for case in cases if not case["right"]]
        kinds = Counter(_kind(fault) for fault in faults)
        if faults:
            kind, times = min(kinds.items(), key=lambda item: (-item[1], item[0]))
            same = Counter(fault for fault in faults if _kind(fault) == kind)
            fault = min(same.items(), key=lambda item: (-item[1], item[0]))[0]
            found.append(Missed(exercise, name, cases[0]["self_reported"], len(cases), len(faults), fault, times))
    place = list(source.points).index
    found.sort(key=lambda each: (-each.failed / each.asked, -each.failed, place(each.exercise), each.case))
    return found[:MISSED]


def _kind(fault: str) -> str:
    """A fault without its numbers."""
    return re.sub(r"(?<!\w)-?\d[\w.+-]*", "#", fault)


def _stops(records: list[Record], source: Source) -> list[tuple[str, str, list[str]]]:
    """Where notebooks stopped: (cell, status, students), the cell at which most did first."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in records:
        rerun = record["rerun"]
        if rerun and rerun["status"] not in ("ok", "not run"):
            found[where(source, rerun["cell"]) or "no cell", rerun["status"]].append(record["student"])
    return sorted(((*key, students) for key, students in found.items()), key=lambda row: (-len(row[2]), row[:2]))


def _claims(records: list[Record]) -> list[tuple[str, str, list[tuple[str, list[str]]]]]:
    """Claims on which notebooks differ: (claim, verdict of the majority or '', [(other verdict, students)])."""
    verdicts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for claim, verdict in (record["rerun"] or {}).get("claims", {}).items():
            verdicts[claim][verdict].append(record["student"])
    found = []
    reruns = sum(bool((record["rerun"] or {}).get("claims")) for record in records)
    for claim, groups in sorted(verdicts.items()):
        total = sum(len(students) for students in groups.values())
        most = max(groups.values(), key=len)
        majority = next((v for v, s in groups.items() if s is most and 2 * len(s) > total >= FEW), "")
        others = [(verdict, students) for verdict, students in sorted(groups.items()) if verdict != majority]
        if len(groups) > 1 or total < FEW <= reruns:  # what hardly anyone reports is no claim of the lab's
            found.append((claim, f"{majority} ({len(most)})" if majority else "", others))
    return found


def _reasons(record: Record, stand: Standing) -> list[str]:
    """Why someone should look at a submission; [] if there is no reason."""
    reasons = [f"{record['status']}: {record['message']}"] if record["status"] == "unreadable" else []
    for mark in stand.marks:
        if mark.scored and mark.scored["status"] in ODD:
            settled = ", settled by hand" if mark.corrected else ""
            reasons.append(f"{mark.grade_id}: {mark.scored['status']}{settled}: {mark.scored['message']}".removesuffix(": "))
    if stand.status == "infrastructure" and not reasons:
        reasons.append(f"infrastructure: {record['message']}")
    rerun = record["rerun"]
    if rerun and rerun["status"] in ODD:
        reasons.append(f"notebook: {rerun['status']}: {rerun['message']}".removesuffix(": "))
    reasons += [f"note: {note}" for note in record["submission"].get("notes", [])]
    return [reason[:300] for reason in reasons]
