"""Submissions as learning management systems hand them out, made by hand here: whose they are and what is in them."""

import copy
import io
import json
import os
import random
import time
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from labkit import files as workbook
from labkit.grading.ingest import ingest
from labkit.grading.source import read_source
from labkit.handout.student import student_version

NOTEBOOKS = workbook.home() / "notebooks"
LAB, OTHER = "08_dann", "02_vit_attention"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def source():
    return read_source(NOTEBOOKS / f"{LAB}.ipynb")


def released(lab=LAB):
    return student_version(json.loads((NOTEBOOKS / f"{lab}.ipynb").read_text(encoding="utf-8")))


BLANK = released()


def cell(notebook, name):
    return next(each for each in notebook["cells"] if each["metadata"].get("nbgrader", {}).get("grade_id") == name)


def notebook(ramp="def ramp(): return 1", **more):
    """A student's notebook in which some cells are written, as a file's bytes; `-` in names of cells is `_` here."""
    made = copy.deepcopy(BLANK)
    for name, text in {"ramp": ramp, **more}.items():
        cell(made, name.replace("_", "-"))["source"] = text
    return json.dumps(made).encode()


def packed(files, *, date=(2026, 11, 20, 12, 0, 0), method=zipfile.ZIP_DEFLATED):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as archive:
        for name, (data, when) in {n: v if isinstance(v, tuple) else (v, date) for n, v in files.items()}.items():
            info = zipfile.ZipInfo(name, when)
            info.compress_type = method
            archive.writestr(info, data)
    return whole.getvalue()


def spread(root, files):
    """Write a tree of files; a value is the bytes, or the bytes and the time of the last change."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data, when = value if isinstance(value, tuple) else (value, NOON)
        path.write_bytes(data)
        os.utime(path, (when.timestamp(),) * 2)
    return root


@pytest.fixture
def handed(tmp_path, source):
    """Ingest a tree of files: student -> submission."""

    def take(files, *, ids=None, **options):
        if ids is not None:
            options["ids"] = tmp_path / "ids.csv"
            options["ids"].write_bytes(ids if isinstance(ids, bytes) else ids.encode())
        found = ingest(spread(tmp_path / "all", files), source, **options)
        assert [each.student for each in found] == sorted(each.student for each in found)
        json.dumps([str(each) for each in found]).encode("utf-8")
        return {each.student: each for each in found}

    return take


@pytest.fixture
def prague(monkeypatch):
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


LAYOUTS = {
    "a folder a student": ("ann/lab.ipynb", "ann"),
    "a folder, any name of the notebook": ("ann/my solution (final).IPYNB", "ann"),
    "a folder, deeper": ("ann/dann/handed in/lab.ipynb", "ann"),
    "a file a student": ("ann.ipynb", "ann"),
    "nbgrader": ("ann/08_dann/08_dann.ipynb", "ann"),
    "nbgrader from above": ("submitted/ann/08_dann/08_dann.ipynb", "ann"),
    "Moodle": ("Ann van der Lee_1234567_assignsubmission_file_/lab.ipynb", "1234567"),
    "Moodle without the last _": ("Ann Lee_1234567_assignsubmission_file/lab.ipynb", "1234567"),
    "Moodle, flat": ("Ann Lee_1234567_assignsubmission_file_lab_v2.ipynb", "1234567"),
    "Canvas": ("leeann_12345_678901_lab.ipynb", "12345"),
    "Canvas, late, once more": ("leeann_LATE_12345_678901_my_lab-2.ipynb", "12345"),
    "not Latin": ("Žluťoučký 学生/lab.ipynb", "Žluťoučký 学生"),
}


@pytest.mark.parametrize("wrapped", ["folder", "archive in a folder", "archive of all"])
@pytest.mark.parametrize("name, student", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_recognised_in_folders_and_archives(tmp_path, source, name, student, wrapped):
    other = name.replace("ann", "ben").replace("Ann", "Ben").replace("1234", "9876").replace("学", "生")
    mine, others = notebook("mine"), {other: notebook("ben's")}
    if wrapped == "archive in a folder":
        inside = packed({"work/lab.ipynb": mine})
        name = name[: -len(".ipynb")] + ".zip"
        files = {name: inside, **others}
    else:
        files = {name: mine, **others}
    root = spread(tmp_path / "all", files)
    if wrapped == "archive of all":
        root = tmp_path / "download.zip"
        root.write_bytes(packed(files))
    found = {each.student: each for each in ingest(root, source)}
    label = {"folder": name, "archive in a folder": f"{name}!work/lab.ipynb", "archive of all": f"download.zip!{name}"}[wrapped]
    assert found[student].file == label and found[student].fault == ""
    assert (found[student].cells or {})["ramp"] == "mine" and len(found) == 2


def test_layouts_may_be_mixed(handed):
    found = handed({name: notebook(name) for name, _ in LAYOUTS.values() if not name.startswith("submitted")})
    assert set(found) == {"ann", "1234567", "12345", "Žluťoučký 学生"}


@pytest.mark.parametrize("top", ["submissions", "download", "Lab 8, group B"])
def test_folders_around_those_of_students_are_no_students(tmp_path, source, top):
    files = {f"{top}/ann/lab.ipynb": notebook("a"), f"{top}/ben/lab.ipynb": notebook("b")}
    root = tmp_path / "download.zip"
    root.write_bytes(packed(files))
    assert [each.student for each in ingest(root, source)] == ["ann", "ben"]
    assert [each.student for each in ingest(spread(tmp_path / "all", files), source)] == ["ann", "ben"]


@pytest.mark.parametrize("top", ["Submitted", "submissions", "all"])
def test_a_folder_called_submissions_or_as_the_whole_is_no_student(handed, top):
    assert set(handed({f"{top}/ann.ipynb": notebook(), f"{top}/ben.ipynb": notebook()})) == {"ann", "ben"}


@pytest.mark.parametrize(
    "names", [("08_dann/lab.ipynb", "02/lab.ipynb"), ("lab.ipynb", "scratch/lab.ipynb"), ("a_1_2_x.ipynb",)]
)
def test_a_single_student_is_no_folder_of_students(handed, names):
    assert set(handed({f"ann/{name}": notebook() for name in names})) == {"ann"}


def test_groups_of_moodle_folders_are_no_students(handed):
    files = {"A/Ann_12_assignsubmission_file_/l.ipynb": notebook(), "B/Ben_34_assignsubmission_file_/l.ipynb": notebook()}
    assert set(handed(files)) == {"12", "34"}


def test_groups_by_the_table_are_no_students(handed):
    found = handed({"A/ann/lab.ipynb": notebook(), "B/ben.ipynb": notebook()}, ids="id\nann\nben\n")
    assert {name: each.fault for name, each in found.items()} == {"ann": "", "ben": ""}


def test_names_with_numbers_are_not_taken_for_canvas(handed):
    """With a wrong guess all three would be one student, 2026."""
    found = handed({f"{name}_2026_08_dann.ipynb": notebook() for name in ("ann", "ben", "eva")})
    assert set(found) == {"ann_2026_08_dann", "ben_2026_08_dann", "eva_2026_08_dann"}


def test_what_a_student_names_makes_nobody_else(handed):
    """Names within archives and folders, and the ends of flat names, are the student's own choice."""
    theirs = "Ann Lee_1111_assignsubmission_file_/lab.ipynb"
    found = handed(
        {
            theirs: notebook("hers"),
            "Mal_2222_assignsubmission_file_/work.zip": packed({theirs: notebook("his")}),
            "Eve_3333_assignsubmission_file_Ann Lee_1111_assignsubmission_file_x.ipynb": notebook("hers too"),
            "eve/leeann_1111_5_lab.ipynb": notebook("once more"),
            "canvas_4444_5_leeann_1111_6_lab-9.ipynb": notebook("and more"),
        }
    )
    assert set(found) == {"1111", "2222", "3333", "eve", "4444"}
    assert found["1111"].cells["ramp"] == "hers" and found["1111"].superseded == ()


def test_what_programs_leave_and_texts_online_are_ignored(handed):
    found = handed(
        {
            "ann/lab.ipynb": notebook("right"),
            "ann/.ipynb_checkpoints/lab-checkpoint.ipynb": (notebook("old"), NOON + timedelta(1)),
            "ann/._lab.ipynb": b"\0\5\x16\7",
            "ann/mac.zip": packed({"__MACOSX/._x.ipynb": b"\0", ".hidden/x.ipynb": notebook("hidden"), "x.txt": b""}),
            "__MACOSX/ben/lab.ipynb": notebook(),
            "Ben_77_assignsubmission_onlinetext_/onlinetext.html": b"<p>",
            "Ben_77_assignsubmission_onlinetext_/onlinetext.ipynb": notebook(),
            "readme.txt": b"",
            "grades.csv": b"",
        }
    )
    assert set(found) == {"ann"}
    assert found["ann"].cells["ramp"] == "right" and found["ann"].superseded == ()
    assert found["ann"].notes == ("not used: ann/mac.zip holds no notebook: ask for the .ipynb file",)


def test_all_exercises_and_answers_are_taken_and_nothing_else(handed, source):
    blanks = {each.grade_id: each.stub for each in (*source.exercises, *source.questions)}
    cells = handed({"ann/lab.ipynb": notebook("def ramp(): pass\n", q3="## I think\n")})["ann"].cells
    assert cells == {**blanks, "ramp": "def ramp(): pass\n", "q3": "## I think\n"}


def test_other_edits_change_nothing(handed):
    made = json.loads(notebook("mine", q1="because"))
    rng = random.Random(0)
    made["cells"] = [each for each in made["cells"] if "nbgrader" in each["metadata"] or rng.random() < 0.3]
    rng.shuffle(made["cells"])
    made["cells"] = [each for each in made["cells"] if each["id"] != "reverse"]
    for place, each in enumerate(made["cells"]):
        if each["id"] not in ("ramp", "q1"):
            each["source"] = ["import os\n", "os.abort()"]
        each["id"] = f"renamed-{place}"
        each["metadata"]["tags"] = None
    made["cells"] += [{"cell_type": "code", "source": "1/0"}, {"cell_type": "raw", "source": [], "metadata": None, "id": 3}]
    made["metadata"] = {"ramp": ["nonsense"]}
    cells = handed({"ann/lab.ipynb": json.dumps(made).encode()})["ann"].cells
    assert "reverse" not in cells and cells["ramp"] == "mine" and cells["q1"] == "because"
    assert cells["three-parts"] == "import os\nos.abort()"


def test_without_metadata_the_id_of_a_cell_is_its_name(handed):
    made = json.loads(notebook("mine"))
    for each in made["cells"]:
        each["metadata"] = {}
    assert handed({"ann/lab.ipynb": json.dumps(made).encode()})["ann"].cells["ramp"] == "mine"


COPIES = {
    "the stub after it": (["def ramp(): return 2", None], "def ramp(): return 2", 0),
    "the stub before it": ([None, "def ramp(): return 2"], "def ramp(): return 2", 0),
    "nothing after it": (["def ramp(): return 2", " \n"], "def ramp(): return 2", 0),
    "the stub with other space after it": (["def ramp(): return 2", "STUB"], "def ramp(): return 2", 0),
    "twice the same": (["mine", "mine\n"], "mine\n", 0),
    "two that differ": (["first", None, "second"], "second", 1),
}


@pytest.mark.parametrize("texts, taken, notes", COPIES.values(), ids=COPIES)
def test_of_copied_cells_the_last_that_was_written_in_counts(handed, source, texts, taken, notes):
    made, stub = copy.deepcopy(BLANK), next(each.stub for each in source.exercises if each.grade_id == "ramp")
    place = made["cells"].index(cell(made, "ramp"))
    original = made["cells"].pop(place)
    for text in texts:
        text = stub if text is None else text.replace("STUB", stub.replace("\n", "  \n"))
        made["cells"].append({**original, "id": f"x{len(made['cells'])}", "source": text})
    one = handed({"ann/lab.ipynb": json.dumps(made).encode()})["ann"]
    assert one.cells["ramp"] == taken
    assert len([note for note in one.notes if note.startswith("ramp: ") and "differ" in note]) == notes


def test_a_cell_of_another_type_is_lost_and_noted(handed):
    made = json.loads(notebook("mine", reverse="kept"))
    cell(made, "ramp")["cell_type"] = "markdown"
    cell(made, "q2")["cell_type"] = "raw"
    made["cells"].append({**cell(made, "reverse"), "cell_type": "raw", "source": "no"})
    one = handed({"ann/lab.ipynb": json.dumps(made).encode()})["ann"]
    assert "ramp" not in one.cells and "q2" not in one.cells and one.cells["reverse"] == "kept"
    assert one.notes == (
        "ramp: its cell was changed from code to markdown: it counts as not written",
        "q2: its cell was changed from markdown to raw: it counts as not written",
    )


def test_halves_of_characters_are_replaced_and_whole_ones_stay(handed):
    made = json.loads(notebook("a\ud800b 𝛼", q1=["x\udfff", "\n", "y"]))
    cells = handed({"ann/lab.ipynb": json.dumps(made).encode()})["ann"].cells
    assert cells["ramp"] == "a\ufffdb 𝛼" and cells["q1"] == "x\ufffd\ny"


def test_a_byte_order_mark_and_nan_do_no_harm(handed):
    made = json.loads(notebook("mine"))
    made["metadata"]["loss"] = float("nan")
    data = json.dumps(made).encode()
    assert b"NaN" in data
    assert handed({"ann/lab.ipynb": b"\xef\xbb\xbf" + data})["ann"].cells["ramp"] == "mine"


FAULTS = {
    "empty": (b"  \n", "is empty"),
    "half": (notebook()[:5000], "only a part"),
    "a web page": (b"<!doctype html>", "no JSON"),
    "bad UTF-8": (notebook().replace(b"ramp", b"r\xe1mp"), "not in UTF-8"),
    "UTF-16": (notebook().decode().encode("utf-16"), "not in UTF-8"),
    "too deep": (b"[" * 200_000, "too deeply"),
    "absurd numbers": (b"9" * 5000, "absurd numbers"),
    "a list": (b"[]", "no notebook"),
    "NaN": (b"NaN", "no notebook"),
    "nbformat 3": (b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "nbformat 3"),
    "no cells": (b'{"nbformat": 4}', "no list of cells"),
    "cells by name": (b'{"cells": {}}', "no list of cells"),
    "a cell is none": (b'{"cells": [null]}', "cell 1 is no object"),
    "no source": (b'{"cells": [{"cell_type": "code", "id": "ramp"}]}', "source of cell 1"),
    "a source of numbers": (b'{"cells": [{"cell_type": "code", "id": "ramp", "source": ["a", 1]}]}', "source of cell 1"),
    "other cells alone": (b'{"cells": [{"cell_type": "code", "id": "x", "source": ""}]}', "holds no exercise of 08_dann"),
    "too large": (notebook(" " * 2**20), "larger than 1 MiB"),
    "no archive": (("x.zip", b"PK\3\4 nonsense"), "no zip archive"),
    "half an archive": (("x.zip", packed({"lab.ipynb": notebook()})[:3000]), "no zip archive"),
    "an archive with nothing": (("x.zip", packed({})), "holds no notebook"),
    "an archive in an archive": (("x.zip", packed({"y.zip": packed({"lab.ipynb": notebook()})})), "an archive in an archive"),
    "bzip2": (("x.zip", packed({"lab.ipynb": notebook()}, method=zipfile.ZIP_BZIP2)), "uncommon way"),
    "a bad sum": (
        ("x.zip", packed({"lab.ipynb": b"abcdefgh" * 9}, method=0).replace(b"abcd", b"abxd", 1)),
        "can't be unpacked",
    ),
    "no notebook": (("work.rar", b"Rar!"), "no notebook was handed in, but ann/work.rar"),
}


@pytest.mark.parametrize("content, words", FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_read_is_a_fault_that_says_what_to_ask_for(handed, content, words):
    name, data = content if isinstance(content, tuple) else ("lab.ipynb", content)
    one = handed({f"ann/{name}": data, "ben/lab.ipynb": notebook()}, most=2**20)
    assert one["ben"].cells["ramp"]
    assert one["ann"].cells is None and words in one["ann"].fault and f"ann/{name}" in one["ann"].fault
    assert "ask for" in one["ann"].fault and one["ann"].file.startswith(f"ann/{name}")


def test_an_encrypted_archive_is_a_fault(handed):
    whole = bytearray(packed({"lab.ipynb": notebook()}))
    for mark, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        whole[whole.index(mark) + place] |= 1
    assert "is encrypted: ask for the notebook" in handed({"ann/x.zip": bytes(whole)})["ann"].fault


def test_a_bomb_is_not_unpacked_even_if_it_lies_about_its_size(handed):
    bomb = packed({"lab.ipynb": b" " * 80 * 2**20})
    lying = bytearray(bomb)
    place = lying.index(b"PK\1\2") + 24
    lying[place : place + 4] = (1000).to_bytes(4, "little")
    hoard = packed({f"{i}.ipynb": b" " * 2**21 for i in range(15)})
    many = packed({f"{i}.ipynb": b" " * 10**6 for i in range(30)})
    tracemalloc.start()
    found = handed({"ann/x.zip": bomb, "ben/x.zip": bytes(lying), "eva/x.zip": many, "zoe/x.zip": hoard}, most=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20
    assert "larger than 1 MiB" in found["ann"].fault and found["ben"].cells is None and found["eva"].cells is None
    assert "too large together" in " ".join([found["eva"].fault, *found["eva"].notes])
    assert len(found["eva"].notes) <= 20
    faults = [found["zoe"].fault, *found["zoe"].notes]
    assert len([each for each in faults if "too large together" in each]) == 5 and "larger than 1 MiB" in " ".join(faults)


def test_names_that_lead_out_of_an_archive_lead_nowhere(tmp_path, handed):
    before = set(tmp_path.rglob("*"))
    names = ["../../../evil.ipynb", "/abs.ipynb", "C:\\back\\slash.ipynb", "a/../.././b.ipynb"]
    found = handed({"ann/x.zip": packed({name: notebook(name) for name in names})})
    assert found["ann"].cells is not None and set(found) == {"ann"}
    labels = {found["ann"].file, *found["ann"].superseded}
    assert labels == {f"ann/x.zip!{name}" for name in ("evil.ipynb", "abs.ipynb", "back/slash.ipynb", "a/b.ipynb")}
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "all", tmp_path / "all/ann", tmp_path / "all/ann/x.zip"}


def test_a_damaged_archive_never_stops_the_others(tmp_path, source):
    whole, rng, wrong = packed({"lab.ipynb": notebook(), "a/b.ipynb": b"{}"}), random.Random(0), []
    root = spread(tmp_path / "all", {f"s{i:03}/x.zip": b"" for i in range(300)})
    for path in root.rglob("*.zip"):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            place = rng.randrange(len(data)) if rng.random() < 0.3 else len(data) - 1 - rng.randrange(200)
            data[place] = rng.randrange(256)
        path.write_bytes(data)
    found = ingest(root, source)
    wrong = [each for each in found if each.cells is None]
    assert len(found) == 300 and 30 < len(wrong) < 300 and all(each.fault for each in wrong)


def test_links_are_not_followed(tmp_path, handed):
    secret = spread(tmp_path / "outside", {"lab.ipynb": notebook("secret"), "d/lab.ipynb": notebook("secret")})
    root = spread(tmp_path / "all", {"ann/own.ipynb": (notebook("own"), NOON - timedelta(99)), "ben/x.txt": b""})
    (root / "ann" / "lab.ipynb").symlink_to(secret / "lab.ipynb")
    (root / "ben" / "lab.ipynb").symlink_to(secret / "lab.ipynb")
    (root / "ben" / "loop").symlink_to(root)
    (root / "eva").symlink_to(secret / "d")
    info = zipfile.ZipInfo("lab.ipynb")
    info.external_attr = 0o120777 << 16
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    os.mkfifo(root / "ben" / "pipe.ipynb")
    found = handed({"zoe/x.zip": whole.getvalue()})
    assert set(found) == {"ann", "ben", "eva", "zoe"}
    assert found["ann"].cells["ramp"] == "own"
    assert any("ann/lab.ipynb is a link, which is not followed" in note for note in found["ann"].notes)
    assert any("ben/pipe.ipynb is no regular file" in words for words in [found["ben"].fault, *found["ben"].notes])
    for name in ("ben", "eva", "zoe"):
        assert found[name].cells is None
        assert "link, which is not followed" in " ".join([found[name].fault, *found[name].notes])
    assert "secret" not in str(found)


def test_another_labs_notebook_is_a_fault_alone_and_a_note_beside(handed):
    """Labs share names such as q1; those alone don't make a notebook this lab's."""
    other = json.dumps(released(OTHER)).encode()
    assert b'"q1"' in other
    found = handed({"ann/x.ipynb": other, "ben/lab.ipynb": notebook(), "ben/x.ipynb": (other, NOON + timedelta(1))})
    assert found["ann"].cells is None
    assert found["ann"].fault == "ann/x.ipynb holds no exercise of 08_dann: ask for the notebook of this lab"
    assert found["ben"].file == "ben/lab.ipynb" and found["ben"].notes == ("ben/x.ipynb is another lab's",)
    assert found["ben"].superseded == ()


def test_a_notebook_with_answers_alone_is_this_labs(handed):
    made = json.loads(notebook(q1="words"))
    made["cells"] = [each for each in made["cells"] if each["cell_type"] == "markdown"]
    assert handed({"ann/lab.ipynb": json.dumps(made).encode()})["ann"].cells["q1"] == "words"


def test_a_cell_pasted_into_another_labs_notebook_does_not_replace_the_right_one(handed):
    other = released(OTHER)
    other["cells"].append(copy.deepcopy(cell(BLANK, "reverse")))
    late = NOON + timedelta(1)
    found = handed({"ann/lab.ipynb": notebook("mine"), "ann/x.ipynb": (json.dumps(other).encode(), late)})["ann"]
    assert found.file == "ann/lab.ipynb" and found.superseded == ("ann/x.ipynb",)


HOUR = timedelta(hours=1)
LATEST = {
    "file dates": ({"ann/a.ipynb": NOON, "ann/c.ipynb": NOON - HOUR, "ann/b.ipynb": NOON + HOUR}, "bac"),
    "timestamps": (
        {"ann/1/a.ipynb": NOON, "ann/2/b.ipynb": NOON - HOUR, "1": "2026-11-18 12:00:00 UTC", "2": "2026-11-19 12:00:00 UTC"},
        "ba",
    ),
    "a timestamp against a date": ({"ann/1/a.ipynb": NOON + HOUR, "ann/b.ipynb": NOON, "1": "2026-11-18 12:00:00 UTC"}, "ba"),
    "Canvas's attempts": ({f"lee_5_{90 - n}_a-{n}.ipynb": NOON - n * HOUR for n in (2, 10, 9)}, ["10", "9", "2"]),
    "Canvas's uploads": ({"lee_5_10_a.ipynb": NOON, "lee_5_11_b.ipynb": NOON - HOUR, "lee_5_9_c.ipynb": NOON + HOUR}, "bac"),
    "Canvas's first": ({"lee_5_10_a-1.ipynb": NOON, "lee_5_9_b.ipynb": NOON + HOUR}, ["a-1", "b"]),
}


@pytest.mark.parametrize("files, order", LATEST.values(), ids=LATEST)
def test_the_latest_counts_and_the_others_are_superseded(handed, files, order):
    tree = {}
    for name, when in files.items():
        if isinstance(when, str):
            tree[f"ann/{name}/timestamp.txt"] = (when.encode(), NOON + 9 * HOUR)
        else:
            tree[name] = (notebook(name), when)
    found = handed({**tree, "zoe/x.ipynb": b""})
    assert found.pop("zoe").fault
    (one,) = found.values()
    assert len(one.superseded) == len(order) - 1
    assert all(label.endswith(f"{end}.ipynb") for label, end in zip([one.file, *one.superseded], order, strict=True))
    assert one.cells["ramp"] == one.file and one.notes == ()


def test_all_of_many_small_notebooks_are_read(handed):
    one = handed({f"ann/{i:02}.ipynb": (notebook(str(i)), NOON + i * HOUR) for i in range(25)}, most=2**20)["ann"]
    assert one.cells["ramp"] == "24" and len(one.superseded) == 24


def test_in_an_archive_the_dates_of_its_members_count(handed):
    files = {"a.ipynb": (notebook("a"), (2026, 11, 1, 0, 0, 0)), "b.ipynb": (notebook("b"), (2026, 11, 2, 0, 0, 0))}
    files |= {"c.ipynb": (notebook("c"), (2026, 10, 31, 0, 0, 0))}
    one = handed({"ann/x.zip": (packed(files), NOON), "ann/old.ipynb": (notebook("old"), NOON - timedelta(60))})["ann"]
    assert one.cells["ramp"] == "b" and one.superseded == ("ann/x.zip!a.ipynb", "ann/x.zip!c.ipynb", "ann/old.ipynb")
    assert one.submitted == NOON  # the archive's own date: those inside are of the student's clock


def test_a_later_notebook_that_cannot_be_read_is_noted(handed):
    one = handed({"ann/a.ipynb": notebook("a"), "ann/b.ipynb": (b"{", NOON + HOUR), "ann/c.ipynb": (b"{", NOON - HOUR)})["ann"]
    assert one.cells["ramp"] == "a" and one.fault == ""
    assert one.notes[0].startswith("later, but not used: ann/b.ipynb is no JSON")
    assert one.notes[1].startswith("not used: ann/c.ipynb is no JSON")


def test_two_of_the_same_time_that_differ_are_noted(handed):
    found = handed(
        {"ann/a.ipynb": notebook("a"), "ann/b.ipynb": notebook("b"), "ben/a.ipynb": notebook(), "ben/b.ipynb": notebook()}
    )
    assert found["ann"].notes == ("ann/a.ipynb is of the same time and differs: see which one was meant",)
    assert found["ben"].notes == () and found["ben"].superseded == ("ben/a.ipynb",)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_names_in_the_table_lead_to_ids(handed, mark):
    rows = [["ID", "Name", "login"], [" x1 ", "Ann Ångström", "aang"], ["x2", '"Ben; Jr, III\t"', "12345"], ["x3", "Eva", ""]]
    found = handed(
        {
            "ann a\u030angstro\u0308m_77_assignsubmission_file_/lab.ipynb": (notebook("first"), NOON),  # decomposed letters
            "AANG/lab.ipynb": (notebook("second"), NOON + HOUR),
            "benjr_12345_1_lab.ipynb": notebook("ben"),
            "stranger/lab.ipynb": notebook("who"),
        },
        ids=b"\xef\xbb\xbf" + "\r\n".join(mark.join(row) for row in [*rows, ["", "", ""]]).encode(),
    )
    assert set(found) == {"x1", "x2", "x3", "stranger"}
    assert found["x1"].cells["ramp"] == "second" and len(found["x1"].superseded) == 1
    assert found["x2"].cells["ramp"] == "ben" and found["x2"].notes == ()
    assert (found["x3"].file, found["x3"].fault, found["x3"].cells) == ("", "nothing was handed in", None)
    assert found["stranger"].notes == ("not in the ids file",)


def test_a_name_of_two_students_is_an_error_only_where_it_decides(handed):
    table = "id,name,section\n1,Jan Novak,A\n2,Jan Novak,A\n3,Eva,A\n"
    assert set(handed({"Jan Novak_1_assignsubmission_file_/x.ipynb": notebook()}, ids=table)) == {"1", "2", "3"}
    with pytest.raises(ValueError, match=r"more than one student.*'Jan Novak' is 1 and 2"):
        handed({"Jan Novak_9_assignsubmission_file_/x.ipynb": notebook()}, ids=table)


def test_names_that_contradict_each_other_are_an_error(handed):
    with pytest.raises(ValueError, match="'1' is 1; 'Eva' is 3"):
        handed({"Eva_1_assignsubmission_file_/x.ipynb": notebook()}, ids="id,name\n1,Jan\n3,Eva\n")


TABLES = {
    "no id": ("name,login\nAnn,a\n", "columns name, login; expected one 'id'"),
    "nothing": ("", "columns none"),
    "two ids": ("id,ID\na,b\n", "expected one 'id'"),
    "a header alone": ("id,name\n", "names no student"),
    "twice": ("id\nann\nben\nAnn \n", "line 4: id 'Ann' stands in line 2 too"),
    "an id is missing": ("id,name\n,Ann\n", "line 2: the id is ''"),
    "a slash": ("id\na/../b\n", "line 2: the id is 'a/../b'"),
    "too many cells": ("id,name\na,Lee, Ann\n", "line 2: 3 cells for 2 columns"),
    "no time": ("id,due\na,tomorrow\n", "line 2: due is 'tomorrow'"),
    "no UTF-8": ("id,name\na,Žluť\n".encode("cp1250"), "is not in UTF-8"),
    "an open quote": ('id,name\na,"Ann\n', "is no table"),
}


@pytest.mark.parametrize("table, words", TABLES.values(), ids=TABLES)
def test_a_table_that_is_none_is_an_error_that_says_where(handed, table, words):
    with pytest.raises(ValueError, match=r"ids file ids\.csv") as caught:
        handed({"ann/lab.ipynb": notebook()}, ids=table)
    assert words in str(caught.value)


def test_what_is_no_heap_of_submissions_is_an_error(tmp_path, source):
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    (tmp_path / "x.zip").write_bytes(b"PK")
    (tmp_path / "none.zip").write_bytes(packed({}))
    for name, words in {"gone": "is not there", "empty": "no submissions", "x.zip": "no zip", "none.zip": "no subm"}.items():
        with pytest.raises(ValueError, match=f"{name}.*{words}"):
            ingest(tmp_path / name, source)
    with pytest.raises(ValueError, match=r"ids file .*gone\.csv can't be read"):
        ingest(tmp_path / "empty", source, ids=tmp_path / "gone.csv")


STAMPS = {
    "2026-11-20 12:00:00 UTC": NOON,
    "2026-11-20 12:00:00.250000 UTC\n": NOON + timedelta(seconds=0.25),
    "2026-11-20 13:00:00 +0100": NOON,
    "2026-11-20T13:00:00+01:00": NOON,
    "2026-11-20 13:00:00": NOON,  # local
    "2026-11-20 21:00:00 Asia/Tokyo": NOON,
}


@pytest.mark.parametrize("words", STAMPS)
def test_a_timestamp_is_the_time_of_submission(handed, prague, words):
    files = {"ann/08_dann/lab.ipynb": (notebook(), NOON + 99 * HOUR), "ann/08_dann/timestamp.txt": words.encode()}
    at, before = (handed(files, due=due)["ann"] for due in (STAMPS[words], STAMPS[words] - timedelta(seconds=0.1)))
    assert at.submitted == STAMPS[words] and at.late is False and at.notes == ()
    assert before.late is True and before.notes == ()


@pytest.mark.parametrize("words", [b"yesterday", b"2026-11-20 12:00:00 Mars/Base", b"\xff", b"", b"0001-01-01 00:00:00"])
def test_a_timestamp_that_is_none_is_noted(handed, prague, words):
    files = {"ann/08_dann/lab.ipynb": notebook(), "ann/08_dann/timestamp.txt": words}
    one = handed(files)["ann"]
    assert one.submitted == NOON and one.notes == ("ann/08_dann/timestamp.txt can't be read: the file's date is used",)


def test_a_timestamp_that_a_student_made_does_not_count(handed):
    early = b"2026-11-01 12:00:00 UTC"
    found = handed(
        {
            "Ann_1_assignsubmission_file_/lab.ipynb": notebook(),
            "Ann_1_assignsubmission_file_/timestamp.txt": early,
            "ben/x.zip": packed({"lab.ipynb": notebook(), "timestamp.txt": early}),
            "eva/08_dann/timestamp.txt": b"2026-11-20 12:00:00 UTC",
            "eva/08_dann/sub/lab.ipynb": notebook(),
            "eva/08_dann/sub/timestamp.txt": early,
        }
    )
    assert {each.submitted for each in found.values()} == {NOON}


def test_late_is_what_came_after_the_deadline_in_whatever_zone(handed, prague):
    files = {"ann/lab.ipynb": notebook()}  # 12:00 UTC, 13:00 here
    words = ("late by the date of the file, which copying may have changed: see the LMS",)
    for due, late in {
        None: None,
        NOON: False,
        NOON - HOUR: True,
        datetime(2026, 11, 20, 13): False,
        datetime(2026, 11, 20, 12, 59): True,
    }.items():
        one = handed(files, due=due)["ann"]
        assert one.late is late and one.notes == (words if late else ()) and one.submitted == NOON


@pytest.mark.parametrize("zone", ["EST5", "CET-1"])
def test_a_deadline_beyond_the_calendar_is_an_error(handed, prague, monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    with pytest.raises(ValueError, match="no time that this machine can tell"):
        handed({"ann/lab.ipynb": notebook()}, due=datetime.max)


def test_a_personal_deadline_goes_before_the_common_one(handed, prague):
    table = "id,due\nann,2026-11-20T13:00\nben,\neva,2026-11-20T11:59+00:00\nzoe,2026-11-20\n"
    files = {f"{name}/lab.ipynb": notebook() for name in ("ann", "ben", "eva", "zoe")}
    late = {name: each.late for name, each in handed(files, ids=table, due=NOON - HOUR).items()}
    assert late == {"ann": False, "ben": True, "eva": True, "zoe": False}  # a day alone is the whole day


def test_canvas_says_itself_what_is_late(handed):
    """The dates of its files are those of the download, after the deadline for all."""
    files = {"lee_LATE_1_2_a.ipynb": notebook(), "may_3_4_a.ipynb": notebook()}
    found = handed(files, due=NOON - HOUR, ids="id,due\n1,2027-01-01\n3,\n")
    assert {name: (each.late, each.submitted) for name, each in found.items()} == {"1": (True, None), "3": (False, None)}
    assert found["1"].notes == ("marked late by Canvas, which may not know the personal deadline: see there",)
    assert found["3"].notes == ()


def test_names_of_files_cannot_break_lines_or_encodings(tmp_path, source):
    root = spread(tmp_path / "all", {"ann/lab.ipynb": notebook()})
    (root / "ann" / "a\nStudent: ben.ipynb").write_bytes(b"{")
    with open(os.fsencode(root) + b"/ann/\xe9.ipynb", "wb") as file:  # noqa: PTH123
        file.write(b"{")
    (one,) = ingest(root, source)
    assert len(one.notes) == 2
    "".join([one.file, *one.notes]).encode("utf-8")
    assert not any("\n" in note for note in one.notes)
