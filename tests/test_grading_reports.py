"""Scores, marks by hand, feedback and the pages for the instructor."""

import base64
import copy
import csv
import hashlib
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from labkit.book.theme import DARK, LIGHT
from labkit.grading import feedback, marks, overview, pages, reports
from labkit.grading.backends import Limits
from labkit.grading.rerun import Rerun
from labkit.grading.sandbox import Lost
from labkit.grading.score import CaseResult, Scored, _lost
from labkit.grading.source import Exercise, Question, Source
from labkit.grading.standing import answer, figure, standing
from labkit.grading.wants import Case

CELLS = [
    {"cell_type": "markdown", "id": "t", "metadata": {}, "source": "# A `lab` of two parts\n\nText."},
    {"cell_type": "code", "id": "setup", "metadata": {}, "source": "import torch"},
    {"cell_type": "markdown", "id": "h", "metadata": {}, "source": "## 1 · Turn it round"},
    {
        "cell_type": "code",
        "id": "abc",
        "metadata": {"nbgrader": {"grade_id": "flip", "solution": True}},
        "source": "def flip(): SECRET",
    },
    {
        "cell_type": "markdown",
        "id": "q",
        "metadata": {"nbgrader": {"grade_id": "q1", "solution": True}},
        "source": "# SECRET heading",
    },
    {"cell_type": "code", "id": "run", "metadata": {}, "source": "flip()"},
]
SOURCE = Source(
    "09_demo",
    {"cells": CELLS},
    "demo",
    (Exercise("flip", "flip", 3.0, "SECRET", "STUB"), Exercise("join", "join_up", 2.0, "SECRET", "STUB")),
    (
        Question("q1", 3.0, "Why is it so?", "MODEL one", "**Why** is it so?\n\n*Your answer.*\n"),
        Question("q2", 2.5, "And then?", "MODEL two", "*Your answer.*\n"),
    ),
)
NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[here](javascript:alert(1)) <a href='javascript:alert(1)'>x</a>",
    "]]> --> </pre></style></title></svg>",
    "{{ 7 * 7 }} {% raw %}",
    "a\x00b\x1b[31mc\x7f\x9b",
    "left \u202egnp.exe\u202c \u2066x\u2069",
    "lone \ud800 surrogate",
    "&amp; &lt;",
)


def right(grade_id, points, cases=("a case", "another")):
    return Scored(grade_id, "right", points, points, "", [CaseResult(name, 1.0, True) for name in cases], "THE LOG")


def record(student="ada", *, exercises=None, rerun=None, answers=None, **other):
    """A record as the grading command writes it."""
    exercises = [right("flip", 3.0), right("join", 2.0)] if exercises is None else exercises
    made = {
        "student": student,
        "lab": SOURCE.lab,
        "status": "graded",
        "message": "",
        "submission": {"file": f"{student}/lab.ipynb", "submitted": None, "late": None, "superseded": [], "notes": []},
        "exercises": [each.plain() for each in exercises],
        "rerun": (rerun or Rerun("ok")).plain(),
        "code": {},
        "answers": {each.grade_id: each.stub + "Because." for each in SOURCE.questions} if answers is None else answers,
        **other,
    }
    return json.loads(json.dumps(made))


def none(student, status, message=""):
    return record(student, exercises=[], answers={}, status=status, message=message) | {"rerun": None}


def infrastructure(student="ida", settled=True):
    lost = Scored("flip", "infrastructure", 3.0, None, "the set-up failed: /secret/place", [], "THE LOG")
    return record(student, exercises=[lost, right("join", 2.0)], status="infrastructure", message="not scored: flip")


def marked(*students):
    return {(student, question): (1.5, "") for student in students for question in ("q1", "q2")}


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def read(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "marks.csv"
    path.write_bytes(text.encode(encoding))
    return marks.read(path, SOURCE)


class Seen(HTMLParser):
    """A page as a browser's parser sees it: tags, and text outside of the style sheet."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.parts, self.open, self.style = [], [], [], ""
        self.feed(html)
        self.text = "".join(self.parts)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.parts.append(data)

    def row(self, head):
        """The text of the table row that begins with a cell of this text."""
        return next(line for line in re.split(r"\n(?=\S)", self.text) if line.startswith(head))


def all_pages(records, given=()):
    given = dict(given)
    html = {f"feedback {each['student']}": feedback.page(each, SOURCE, given, models=True) for each in records}
    html["summary"] = overview.summary(records, SOURCE, given, [("ada", "bob", "flip", 0.93)])
    html["hand marking"] = overview.hand_marking(records, SOURCE)
    return html


def every_status():
    """A student with every status of a submission, of an exercise and of a notebook."""
    scored = [("wrong", 1.5), ("blank", 0.0), ("timeout", 0.0), ("out of memory", 1.0), ("dead", 0.0), ("bad artefact", 0.0)]
    found = [none("mia", "missing", "nothing was handed in"), none("uma", "unreadable", "it is no notebook"), infrastructure()]
    for i, (status, points) in enumerate(scored):
        cases = [CaseResult("a case", 1.0, False, "expected 1, got 2"), CaseResult("another", 1.0, points > 0)]
        found.append(record(f"s{i}", exercises=[Scored("flip", status, 3.0, points, "words", cases), right("join", 2.0)]))
    for i, status in enumerate(("ok", "error", "timeout", "out of memory", "dead", "infrastructure", "not run")):
        found.append(record(f"t{i}", rerun=Rerun(status, "words", "abc")))
    return found


def test_scores_have_a_column_for_everything_with_its_points_and_add_up():
    text = reports.scores_csv([record("bob"), record("ada")], SOURCE, {("ada", "q1"): (2.25, ""), ("ada", "q2"): (0.1, "")})
    assert text.splitlines()[0] == ("student,flip [3],join [2],q1 [3],q2 [2.5],auto,hand,total,of,status,late,rerun,message")
    ada, bob = rows(text)
    assert list(ada.values()) == ["ada", "3", "2", "2.25", "0.1", "5", "2.35", "7.35", "10.5", "graded", "", "ok", ""]
    assert (bob["student"], bob["total"]) == ("bob", "5")


def test_what_is_not_known_is_an_empty_cell_and_never_0():
    table = rows(reports.scores_csv([record("ada"), infrastructure()], SOURCE, {("ada", "q1"): (0.0, "")}))
    assert [table[0][name] for name in ("q1 [3]", "q2 [2.5]", "hand", "total", "status")] == [
        "0",
        "",
        "0",
        "5",
        "incomplete: q2",
    ]
    ida = [table[1][name] for name in ("flip [3]", "auto", "hand", "total", "status")]
    assert ida == ["", "2", "", "2", "infrastructure: flip, q1, q2"]
    for status in ("missing", "unreadable"):
        (row,) = rows(reports.scores_csv([none("mia", status, "why")], SOURCE, {}))
        assert [row[name] for name in ("flip [3]", "q1 [3]", "auto", "hand", "total")] == [""] * 5
        assert (row["status"], row["message"], row["rerun"]) == (status, "why", "")


def test_a_hand_mark_settles_what_could_not_be_scored_and_shows_as_such():
    given = marked("ida") | {("ida", "flip"): (2.5, "I ran it myself")}
    (row,) = rows(reports.scores_csv([infrastructure()], SOURCE, given))
    assert (row["flip [3]"], row["total"], row["status"]) == ("2.5", "7.5", "graded")
    assert row["message"] == "flip by hand (not scored)"
    seen = Seen(feedback.page(infrastructure(), SOURCE, given)).text
    assert "settled by hand" in seen and "I ran it myself" in seen and "not scored yet" not in seen
    (row,) = rows(reports.scores_csv([record()], SOURCE, marked("ada") | {("ada", "join"): (0.5, "")}))
    assert (row["auto"], row["message"]) == ("3.5", "join by hand (was 2)")
    seen = Seen(feedback.page(record(), SOURCE, {("ada", "join"): (0.5, "copied")})).text
    assert "0.5 of 2" in seen and "set by hand" in seen and "the automatic score was 2" in seen


def test_hand_marks_can_give_points_to_a_student_without_a_submission():
    given = marked("mia") | {("mia", name): (0.0, "") for name in ("flip", "join")}
    (row,) = rows(reports.scores_csv([none("mia", "missing", "nothing was handed in")], SOURCE, given))
    assert (row["status"], row["total"]) == ("graded", "3") and row["message"].startswith("nothing was handed in")
    seen = " ".join(Seen(feedback.page(none("mia", "missing"), SOURCE, given)).text.split())
    assert "3 of 10.5" in seen and "q1 1.5 of 3" in seen and "Nothing was graded" not in seen
    assert "Nothing was graded" in Seen(feedback.page(none("mia", "missing"), SOURCE, {})).text


def test_lateness_and_extra_columns_are_written():
    late = record("ada", submission={**record()["submission"], "late": True})
    early = record("bob", submission={**record()["submission"], "late": False})
    table = rows(reports.scores_csv([late, early], SOURCE, {}, {"bob": {"group": "B"}}))
    assert [(row["late"], row["group"]) for row in table] == [("yes", ""), ("no", "B")]


def test_the_same_scores_give_the_same_bytes_in_any_order():
    known, given = every_status(), marked("s1", "t0", "ida")
    first = reports.scores_csv(known, SOURCE, given)
    backwards = dict(reversed(given.items()))
    assert first == reports.scores_csv(reversed(copy.deepcopy(known)), SOURCE, backwards)
    assert [row["student"] for row in rows(first)] == sorted(each["student"] for each in known)
    for name, page in all_pages(known, given).items():
        assert page == all_pages(list(reversed(known)), backwards)[name]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "  =1", "'=1", "＝1", "a\n=1"])
def test_no_cell_is_taken_for_a_formula_or_breaks_its_line(cell):
    text = reports.scores_csv([none(cell, "unreadable", cell)], SOURCE, {})
    assert len(text.splitlines()) == 2
    (row,) = rows(text)
    for written in (row["student"], row["message"]):
        assert written[0] in "'a" and not re.match(r"\s*[=+\-@＝]", written)
    assert marks.template([none(cell, "missing")], SOURCE).count("\n") == 3


@pytest.mark.parametrize("student", ["=1+1", "'=1", "''@x", "-x", "O'Neil", "'quoted'", "Zoë, the 2nd", 'say "x"'])
def test_a_student_is_the_same_after_template_and_reading(tmp_path, student):
    text = marks.template([record(student, answers={})], SOURCE)
    assert read(tmp_path, text) == {(student, "q1"): (0.0, "no answer"), (student, "q2"): (0.0, "no answer")}


def test_two_records_of_a_student_other_points_and_another_lab_are_errors():
    with pytest.raises(ValueError, match="ada has two records"):
        reports.scores_csv([record(), record()], SOURCE, {})
    with pytest.raises(ValueError, match="graded out of 4 points, the notebook now gives 3: grade again"):
        reports.scores_csv([record(exercises=[right("flip", 4.0)])], SOURCE, {})
    with pytest.raises(ValueError, match="is of 08_dann, not of 09_demo"):
        feedback.page(record(lab="08_dann"), SOURCE, {})


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_marks_are_read_from_what_spreadsheets_write(tmp_path, delimiter, encoding):
    lines = [
        ["Student", "Question", "Points", "Comment", "mine"],
        ["ada", "q1", '"2,5"', '"good, but\nshort"', ""],
        ["", "", "", "", ""],
        [" Zoë ", "q2", "2.5", "", "x"],
        ["Zoë", "flip", "0", "", ""],
        ["Zoë", "q1", "", "later", ""],
    ]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    expected = {("ada", "q1"): (2.5, "good, but\nshort"), ("Zoë", "q2"): (2.5, ""), ("Zoë", "flip"): (0.0, "")}
    assert read(tmp_path, text, encoding) == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ada,q9,1,", "line 4: 09_demo has no 'q9': use one of flip, join, q1, q2"),
        ("ada,q1,3.1,", "line 4: 3.1 points: give 0 to 3"),
        ("ada,q1,-1,", "line 4: -1 points"),
        ("ada,q1,nan,", "line 4: 'nan' is no number"),
        ("ada,q1,inf,", "line 4: 'inf' is no number"),
        ("ada,q1,1_0,", "'1_0' is no number"),
        ("ada,q1,two,", "'two' is no number: give points from 0 to 3, or leave the cell empty"),
        (f"ada,q1,{'9' * 400},", "points: give 0 to 3"),
        (",q1,2,", "line 4: no student"),
        ("bob,q1,2,", "line 4: q1 of bob stands in line 2 already"),
        ("bob,q2,2,5,", "line 4: 5 cells, expected 4"),
        ("ada,q1,2,5", "line 4: the comment is '5'; for 2.5 points write that"),
    ],
)
def test_a_wrong_line_of_marks_is_named_with_what_to_do(tmp_path, line, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read(tmp_path, f'student,question,points,comment\nbob,q1,,"two\nlines"\n{line}\n')


@pytest.mark.parametrize(
    ("text", "encoding", "words"),
    [
        ("", "utf-8", "no column 'student'"),
        ("student,question,comment\n", "utf-8", "no column 'points', or two: its first line must be student,question,points"),
        ("student,question,points,points\n", "utf-8", "no column 'points', or two"),
        ("student,question,points\nZoë,q1,1\n", "latin-1", "save it as 'CSV UTF-8'"),
        ("student,question,points\nZoë,q1,1\n", "utf-16", "save it as 'CSV UTF-8'"),
        ('student,question,points\n"' + "x" * 200_000 + '",q1,1\n', "utf-8", "is no table"),
    ],
)
def test_a_file_that_is_no_table_of_marks_is_refused(tmp_path, text, encoding, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read(tmp_path, text, encoding)


def test_the_template_has_a_row_for_each_student_and_question_with_0_where_nothing_was_written():
    blank = record("bob", answers={"q1": SOURCE.questions[0].stub, "q2": "*Your answer.*\r\n  \r\nYes."})
    text = marks.template([none("mia", "missing"), blank, infrastructure("ada")], SOURCE)
    assert text == ("student,question,points,comment\nada,q1,,\nada,q2,,\nbob,q1,0,no answer\nbob,q2,,\nmia,q1,,\nmia,q2,,\n")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("**Why** is it so?\n\n*Your answer.*\n", ""),
        ("**Why** is it so?\r\n\r\n*Your answer.*\r\nFor\r\n*this*.\r\n", "For\n*this*."),
        ("**Why** is it so?\n\nAbove.\n\n*Your answer.*\n", "Above."),
        ("**Why** is it so?\n\nIn its place.", "In its place."),
        ("All replaced.", "All replaced."),
        ("", ""),
    ],
)
def test_an_answer_is_what_the_student_added_to_the_cell(written, expected):
    assert answer(record(answers={"q1": written}), SOURCE.questions[0]) == expected


def test_feedback_says_what_was_expected_and_came_and_what_a_case_counts():
    cases = [
        CaseResult("of two", 1.0, False, "value: expected 1, got 2"),
        CaseResult("of one", 0.5, True),
        CaseResult("left alone", 0.5, True, self_reported=True),
    ]
    mixed = record(exercises=[Scored("flip", "wrong", 3.0, 1.5, "", cases), right("join", 2.0)])
    html = feedback.page(mixed, SOURCE, marked("ada") | {("ada", "q1"): (2.0, "Go on!")})
    seen = Seen(html)
    words = " ".join(seen.text.split())
    assert (
        "flip 1.5 of 3 ◐ partly right ✗ of two 50 % value: expected 1, got 2 ✓ of one 25 % ✓ left alone · self-reported 25 %"
        in words
    )
    assert "join_up 2 of 2 ✓ right" in words and "takes its word for it" in words
    assert "q1 2 of 3" in words and "Your answer Because. Comment Go on!" in words and "7 of 10.5 points" in words
    assert "self-reported" not in Seen(feedback.page(record(), SOURCE, {})).text


def test_feedback_holds_neither_model_answers_nor_solutions_nor_the_sandboxs_log():
    lost = _lost(SOURCE.exercises[0], [Case("a case", {})], Lost("ended", "it ended (1): THE LOG"), Limits())
    stopped = record(
        "ada", exercises=[lost, right("join", 2.0)], rerun=Rerun("dead", "the sandbox was lost: it ended: THE LOG")
    )
    ours = record("bob", rerun=Rerun("infrastructure", "the sandbox can't be used: THE LOG"))
    for each in (stopped, ours, infrastructure(), none("cem", "infrastructure", "THE LOG")):
        text = feedback.page(each, SOURCE, {})
        for secret in ("THE LOG", "MODEL", "SECRET", "/secret"):
            assert secret not in text, (each["student"], secret)
    assert "stopped early" in Seen(feedback.page(stopped, SOURCE, {})).text
    assert "MODEL one" in feedback.page(stopped, SOURCE, {}, models=True)


def test_feedback_names_the_cell_at_which_the_notebook_stopped():
    seen = Seen(feedback.page(record(rerun=Rerun("error", "NameError: name 'x'", "run")), SOURCE, {})).text
    assert "stopped with an error at code cell 3 of 3 (run), in “1 · Turn it round”" in seen and "NameError: name 'x'" in seen
    assert pages.where(SOURCE, "abc") == "code cell 2 of 3 (flip), in “1 · Turn it round”"
    assert (pages.where(SOURCE, "no such"), pages.where(SOURCE, "")) == ("cell no such", "")
    nameless = replace(SOURCE, notebook={"cells": [{"cell_type": "code", "metadata": {}, "source": ""}]})
    assert pages.where(nameless, "") == ""


def test_feedback_is_of_nobody_else():
    known = [record("ada"), record("bob", answers={"q1": "bob's own words"})]
    given = {("bob", "q1"): (1.0, "for bob alone")}
    assert "bob" not in feedback.page(known[0], SOURCE, given)


def test_every_status_has_words():
    words = {
        "s0": "partly right", "s1": "not written", "s2": "ran too long", "s3": "out of memory", "s4": "stopped early",
        "s5": "unusable result", "ida": "not scored yet", "mia": "No submission of yours", "uma": "could not be read",
        "t0": "ran to its end", "t1": "stopped with an error", "t2": "ran too long", "t3": "ran out of memory",
        "t4": "ended before its time", "t5": "could not be run here", "t6": "was not run",
    }  # fmt: skip
    for each in every_status():
        assert words[each["student"]] in Seen(feedback.page(each, SOURCE, {})).text, each["student"]


def nasty_records():
    found = []
    for i, words in enumerate(NASTY):
        cases = [CaseResult(words, 1.0, False, words)]
        made = record("x", exercises=[Scored("flip", "dead", 3.0, 0.0, words, cases), right("join", 2.0)], message=words)
        made["rerun"] = Rerun("error", words, words, 0.0, {words: words}).plain()
        made |= {"student": f"{i} {words}", "answers": {"q1": words, "q2": words}}
        made["submission"] |= {"file": words, "notes": [words], "superseded": [words], "submitted": words}
        found.append(made)
    return [*found, none("u " + NASTY[0], "unreadable", NASTY[1]), record("ok", rerun=Rerun("ok", claims={"a": "holds"}))]


def test_nothing_that_a_student_wrote_becomes_markup_or_acts():
    known = nasty_records()
    given = {
        (each["student"], name): (1.0, words) for each, words in zip(known, NASTY, strict=False) for name in ("q1", "flip")
    }
    given[NASTY[0], "q2"] = (1.0, "")
    plain = [record("a plain name") | {"student": str(i)} for i in range(len(known))]
    html = all_pages(known, given) | {"hints": overview.summary(known, SOURCE, given, [(NASTY[0], NASTY[1], NASTY[3], 0.9)])}
    allowed = {tag for page in all_pages(plain + every_status(), {}).values() for tag, _ in Seen(page).tags} | {
        "ul",
        "li",
        "pre",
    }
    for name, page in html.items():
        seen = Seen(page)
        assert not {tag for tag, _ in seen.tags} - allowed - {"aside"}, name
        assert not {"script", "img", "iframe", "object", "form", "link", "base"} & {tag for tag, _ in seen.tags}
        for tag, attrs in seen.tags:
            assert not any(key.startswith("on") or key in ("style", "src", "srcset", "action") for key in attrs), (name, tag)
            assert re.fullmatch(r"#[\w-]+", attrs.get("href") or "#x"), attrs
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page), name
        page.encode()
    seen = "".join(Seen(page).text for page in html.values())
    for words in (*NASTY[:5], "a⟦U+0000⟧b⟦U+001B⟧[31mc", "left ⟦U+202E⟧gnp.exe", "lone ⟦U+D800⟧ surrogate", "&amp; &lt;"):
        assert words in seen, "it is there to be read"


def test_pages_load_nothing_and_forbid_it_by_a_policy_that_fits_their_style():
    for name, html in all_pages(every_status()).items():
        seen = Seen(html)
        policy = next(attrs["content"] for tag, attrs in seen.tags if attrs.get("http-equiv") == "Content-Security-Policy")
        digest = base64.b64encode(hashlib.sha256(seen.style.encode()).digest()).decode()
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules == {
            "default-src": "'none'", "style-src": f"'sha256-{digest}'", "base-uri": "'none'", "form-action": "'none'",
        }, name  # fmt: skip
        assert html.index("Content-Security-Policy") < html.index("<style>")
        assert "url(" not in seen.style and "@import" not in seen.style and "http" not in html.replace("http-equiv", "")
        assert len(re.findall(r' id="([^"]+)"', html)) == len(set(re.findall(r' id="([^"]+)"', html)))
        assert {f'"{attrs["href"][1:]}"' for tag, attrs in seen.tags if tag == "a"} <= set(re.findall(r' id=("[^"]+")', html))


def test_pages_fit_a_phone_and_the_dark():
    html = overview.hand_marking([record(answers={"q1": "x" * 30_000, "q2": "y" * 9_000})], SOURCE)
    seen = Seen(html)
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in seen.tags
    assert "prefers-color-scheme:dark" in seen.style and DARK["paper"] in seen.style and LIGHT["paper"] in seen.style
    assert re.search(r"\.said\{[^}]*white-space:pre-wrap;overflow-wrap:anywhere", seen.style)
    assert "x" * 20_000 + " … (10000 more characters)" in seen.text and "x" * 20_001 not in seen.text
    assert all(attrs.get("class", "").startswith("said") for tag, attrs in seen.tags if tag == "pre")
    own = seen.style.partition(".said")[2]
    assert not re.search(r"#[0-9a-f]{3,6}\b|rgb\(", own), "colours come from the theme, which has two"


def test_a_right_to_left_text_does_not_turn_what_stands_around_it():
    html = overview.hand_marking([record("\u05d0\u05d1", answers={"q1": "\u05d0\u05d1\u05d2 123"})], SOURCE)
    assert "<h3><bdi>\u05d0\u05d1</bdi></h3>" in html
    assert re.search(r'<pre class="said[^"]*" dir="auto">\u05d0\u05d1\u05d2 123</pre>', html)


def class_of(n=10):
    """A class in which the i-th student has i of 10 points, so to say."""
    found = []
    for i in range(n):
        cases = [
            CaseResult("first", 1.0, i > 6, "" if i > 6 else f"expected {i}.5, got {i}e-3"),
            CaseResult("second", 1.0, i > 1),
        ]
        cases[1].fault = "" if i > 1 else "ValueError: no"
        if i == 3:
            cases[0].fault = "nothing usable came"
        points = 3.0 * sum(case.right for case in cases) / 2
        claims = {"gap": "holds" if i else "does not hold", "even": "holds" if i % 2 else "undecided", "same": "holds"}
        claims |= {"my own": "holds"} if i == 4 else {"tie": "holds" if i < 2 else "undecided"} if i < 4 else {}
        done = (
            Rerun("error", "E", "run") if i in (7, 8) else Rerun("dead", "d", "abc") if i == 9 else Rerun("ok", claims=claims)
        )
        scored = Scored("flip", "right" if points == 3 else "wrong", 3.0, points, "", cases)
        found.append(record(f"s{i}", exercises=[scored, right("join", 2.0)], rerun=done))
    return found


def table_after(html, heading):
    """Rows of the first table after a heading, by an XML parser that is not the one that wrote it."""
    part = html[html.index(f">{heading}<") :]
    part = part[part.index("<table") : part.index("</table>") + 8].replace("<br>", " ")
    clean = [[" ".join("".join(cell.itertext()).split()) for cell in row] for row in ET.fromstring(part).iter("tr")]
    return clean[1:]


def test_the_summary_counts_students_by_status():
    known = every_status()
    table = table_after(overview.summary(known, SOURCE, marked("t0")), "Status")
    assert [row[:2] for row in table] == [
        ["graded", "1"], ["incomplete", str(len(known) - 4)], ["infrastructure", "1"], ["unreadable", "1"], ["missing", "1"],
    ]  # fmt: skip
    assert [row[2] for row in table] == ["", "", "ida", "uma", "mia"]


def test_histograms_count_everyone_once_and_say_so_in_words():
    known = [*class_of(), none("mia", "missing")]
    html = overview.summary(known, SOURCE, {("s0", "q1"): (3.0, ""), ("s0", "q2"): (2.5, "")})
    table = dict(table_after(html, "All exercises, of 5"))
    assert {name: count for name, count in table.items() if count != "0"} == {"2–2.5": "2", "3.5–4": "5", "4.5–5": "3"}
    assert dict(table_after(html, "Total, of 10.5"))["7.35–8.4"] == "1"
    flip, join = table_after(html, "Exercise by exercise")
    assert flip[0] == "flip [3]" and flip[2:] == ["2", "0", "5", "0", "0", "3", "1", "1.65"]
    assert join[2:] == ["0", "0", "0", "0", "0", "10", "1", "2"]
    charts = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    assert len(charts) == 4
    for chart in charts:
        assert chart.get("role") == "img" and chart.get("aria-label") == chart.findtext("title")
        counts = [int(count) for count in re.findall(r": (\d+)", chart.get("aria-label"))]
        heights = [float(bar.get("height")) for bar in chart.iter("rect")]
        assert sum(counts) == int(re.search(r"(\d+) students", chart.get("aria-label"))[1])
        assert heights == pytest.approx([max(heights) * count / max(counts) for count in counts], abs=0.1)
        _, _, width, height = map(float, chart.get("viewBox").split())
        ground = float(next(chart.iter("line")).get("y1")) - 0.5
        for bar in chart.iter("rect"):
            assert float(bar.get("y")) + float(bar.get("height")) == pytest.approx(ground)
            assert float(bar.get("x")) + float(bar.get("width")) <= width
            assert float(bar.get("y")) >= 0 and ground <= height
    assert "median 3.5, mean 3.65" in " ".join(html.split())


def test_a_value_at_the_edge_of_a_bin_falls_where_the_table_says():
    thirds = [replace(right("flip", 3.0), marks=m, status="wrong") for m in (0.0, 0.75, 1.5, 2.25, 2.99, 3.0)]
    known = [record(f"s{i}", exercises=[each, right("join", 2.0)]) for i, each in enumerate(thirds)]
    html = overview.summary(known, SOURCE, {})
    assert table_after(html, "Exercise by exercise")[0][2:8] == ["1"] * 6
    assert [row[1] for row in table_after(html, "All exercises, of 5")] == ["0", "0", "0", "0", "1", "1", "0", "1", "1", "2"]


def test_the_most_missed_cases_come_with_their_share_and_most_common_fault():
    known = class_of()
    known += [
        record(
            "bea", exercises=[Scored("flip", "blank", 3.0, 0.0, "", [CaseResult("first", 1.0, False, "NotImplementedError")])]
        )
    ]
    first, second = table_after(overview.summary(known, SOURCE, {}), "Most missed cases")
    assert first == ["flip", "first", "70 % 7 of 10", "expected 0.5, got 0e-3 (6 of 7)"]
    assert second == ["flip", "second", "20 % 2 of 10", "ValueError: no (2 of 2)"]


def test_notebooks_that_stopped_are_counted_by_cell():
    known = [*class_of(), record("ned", rerun=Rerun("not run"))]
    table = table_after(overview.summary(known, SOURCE, {}), "Notebooks that did not run to their end")
    assert table == [
        ["code cell 3 of 3 (run), in “1 · Turn it round”", "error", "2", "s7, s8"],
        ["code cell 2 of 3 (flip), in “1 · Turn it round”", "dead", "1", "s9"],
    ]


def test_claims_that_differ_are_held_against_the_majority():
    table = table_after(overview.summary(class_of(), SOURCE, {}), "Claims that differ from the majority")
    assert table == [
        ["even", "undecided (4)", "holds (3): s1, s3, s5"],
        ["gap", "holds (6)", "does not hold (1): s0"],
        ["my own", "none", "holds (1): s4"],
        ["tie", "none", "holds (2): s0, s1 undecided (2): s2, s3"],
    ]
    many = record("eve", rerun=Rerun("ok", claims={f"c{i:03}": "holds" for i in range(100)}))
    agreeing = [record(name, rerun=Rerun("ok", claims={"c": "holds"})) for name in ("ada", "bob")]
    html = overview.summary([many, *agreeing], SOURCE, {})
    assert len(table_after(html, "Claims that differ from the majority")) == 40 and "And 61 more." in html
    assert "c</bdi>" not in overview.summary(agreeing, SOURCE, {})


def test_students_who_need_attention_are_listed_with_the_reason():
    noted = record("noa", submission={**record()["submission"], "notes": ["not in the ids file"]})
    table = dict(table_after(overview.summary([*every_status(), noted], SOURCE, {}), "Students needing attention"))
    assert set(table) == {"uma", "ida", "s2", "s3", "s4", "s5", "t2", "t3", "t4", "t5", "noa"}
    assert table["uma"] == "unreadable: it is no notebook" and table["s2"] == "flip: timeout: words"
    assert table["ida"] == "flip: infrastructure: the set-up failed: /secret/place" and table["t4"] == "notebook: dead: words"
    assert table["noa"] == "note: not in the ids file"
    assert "Nobody." in overview.summary([record()], SOURCE, {})


def test_corrections_and_marks_of_unknown_students_are_shown():
    html = overview.summary([record()], SOURCE, {("ada", "flip"): (1.0, "see talk"), ("adda", "q1"): (1.0, "")})
    assert table_after(html, "Exercises corrected by hand") == [["ada", "flip", "3", "1", "see talk"]]
    assert "there is no record, and count for nobody: adda." in Seen(html).text


def test_hints_stand_under_look_here_and_are_no_verdict():
    html = overview.summary([record()], SOURCE, {}, [("ada", "bob", "flip", 0.934, 120)])
    assert table_after(html, "Look here") == [["ada", "bob", "flip", "93 %"]]
    assert "This is no verdict" in Seen(html).text
    assert "No hints." in overview.summary([record()], SOURCE, {})


def test_all_answers_to_one_question_are_read_in_a_row():
    known = [
        record("bob", answers={"q1": "B one", "q2": "B two"}),
        record("ada", answers={"q1": "A one", "q2": "*Your answer.*"}),
        none("mia", "missing"),
    ]
    text = " ".join(Seen(overview.hand_marking(known, SOURCE)).text.split())
    assert "q1, 3 points Asked Why is it so? Model answerMODEL one ada / 3 A one bob / 3 B one Nobody left this blank." in text
    assert "q2, 2.5 points Asked And then? Model answerMODEL two bob / 2.5 B two No answer: ada." in text
    assert "Without a readable submission: mia." in text


def test_reports_of_nobody_and_of_a_lab_without_questions_are_whole():
    empty = replace(SOURCE, questions=())
    assert reports.scores_csv([], SOURCE, {}).count("\n") == 1
    assert "0 students" in overview.summary([], SOURCE, {}) and overview.hand_marking([], SOURCE)
    assert reports.scores_csv([record()], empty, {}).splitlines()[1] == "ada,3,2,5,,5,5,graded,,ok,"
    assert "Questions" not in Seen(feedback.page(record(), empty, {})).text and overview.hand_marking([record()], empty)


@pytest.mark.parametrize(
    ("points", "written"), [(None, ""), (0.0, "0"), (3.0, "3"), (2.5, "2.5"), (10.0, "10"), (1 / 3, "0.33")]
)
def test_points_are_written_as_one_writes_them(points, written):
    assert figure(points) == written


def test_points_add_up_without_the_dust_of_floats():
    source = replace(SOURCE, exercises=tuple(Exercise(f"e{i}", "f", 0.1, "", "") for i in range(3)), questions=())
    tenths = record(exercises=[right(f"e{i}", 0.1) for i in range(3)])
    assert standing(tenths, source, {}).total == 0.3
