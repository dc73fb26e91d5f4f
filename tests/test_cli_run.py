"""`labkit run` on small notebooks: what fails, what goes on, what is skipped, what an interrupt leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_book import Page, gone, png
from typer.testing import CliRunner

RUNS = "import os\nwith open(os.environ['LABKIT_HOME'] + '/runs.txt', 'a') as file:\n    print({lab!r}, file=file)\n"
RESULTS = {
    "lab": "x",
    "title": "x",
    "profile": "tiny",
    "seed": 0,
    "device": "cpu",
    "claims": [
        {"id": "c", "text": "It holds water", "verdict": "holds", "expected": "holds", "numbers": "1 of 1", "as_expected": True}
    ],
    "records": [],
    "mismatches": [],
}
SUMMARY = (
    "from IPython.display import display\n"
    f"display({{'application/vnd.labkit.results+json': {RESULTS!r}, 'text/plain': 'summary'}}, raw=True)\n"
)
FIGURE = (
    "import base64\nfrom IPython.display import display\n"
    "about = {'image/png': {'alt': 'Two bars', 'width': 20, 'height': 10}}\n"
    f"display({{'image/png': base64.b64decode({png(40, 20)!r})}}, metadata=about, raw=True)"
)
FAILING = {  # lab -> cells, status, cell at which it stops, part of the message
    "02_raises": (["x = 1", SUMMARY + "raise AssertionError('claim c')"], "error", 2, "AssertionError: claim c"),
    "03_hangs": (
        ["print('so far')", "import time\nprint('begun', flush=True)\ntime.sleep(99)"],
        "timeout",
        2,
        "after 3 s, the limit for a cell",
    ),
    "04_shell": ([RUNS.format(lab="04_shell"), "!exit 3"], "error", 2, "non-zero exit status 3"),
    "05_captured": (["lines = !ls /no/such/folder"], "error", 1, "non-zero exit status 2"),
    "06_line_magic": (["%nosuchmagic 1"], "error", 1, "nosuchmagic"),
    "07_cell_magic": (["%%nosuchmagic\n1"], "error", 1, "nosuchmagic"),
    "08_killed": (["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"], "dead", 1, "killed by signal 9"),
    "09_exits": (["1", "import os\nos._exit(3)"], "dead", 2, "exit code 3"),
}
FINE = {
    "01_fine": [RUNS.format(lab="01_fine"), "word = 'hello'\n!echo {word}\nlines = !echo a; echo b\nlines", FIGURE, SUMMARY],
    "10_after": [RUNS.format(lab="10_after")],
}


def make_house(folder: Path, labs: dict[str, list[str]]) -> Path:
    (folder / "notebooks").mkdir(parents=True)
    (folder / "notebooks" / "expected.toml").write_text("")
    for lab, sources in labs.items():
        write(folder, lab, sources)
    return folder


def write(folder: Path, lab: str, sources: list[str]) -> None:
    cells = [new_markdown_cell(f"# Why {lab}?\n\nA formula, $a^2$."), new_markdown_cell("## Run")]
    nbformat.write(new_notebook(cells=[*cells, *map(new_code_cell, sources)]), folder / "notebooks" / f"{lab}.ipynb")


def command(house: Path, *words: str) -> tuple[list[str], dict[str, object]]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LABKIT_", "TQDM_"))}
    env |= {"LABKIT_HOME": str(house), "OMP_NUM_THREADS": "1"}
    return [sys.executable, "-m", "labkit.cli", "run", *words], {"env": env, "text": True, "cwd": house}


def labkit_run(house: Path, *words: str) -> subprocess.CompletedProcess[str]:
    arguments, options = command(house, *words)
    return subprocess.run(arguments, capture_output=True, timeout=120, **options)


def states(house: Path) -> dict[str, dict[str, object]]:
    files = sorted((house / "runs" / "book-tiny" / ".state").glob("[0-9]*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def ran(house: Path) -> list[str]:
    return sorted((house / "runs.txt").read_text().split())


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """All labs run once."""
    house = make_house(tmp_path_factory.mktemp("house"), FINE | {lab: case[0] for lab, case in FAILING.items()})
    return house, labkit_run(house, "--jobs", "2", "--cell-timeout", "3"), house / "runs" / "book-tiny"


def test_every_lab_is_run_though_others_fail(book):
    house, process, _ = book
    expected = {lab: case[1] for lab, case in FAILING.items()} | dict.fromkeys(FINE, "ok")
    assert {lab: state["status"] for lab, state in states(house).items()} == expected, process.stderr
    assert ran(house) == ["01_fine", "04_shell", "10_after"]


def test_exit_code_and_a_line_for_each_failed_lab(book):
    _, process, out = book
    assert process.returncode == 1
    for lab, (cells, _, number, message) in FAILING.items():
        (line,) = [line for line in process.stderr.splitlines() if line.startswith(f"✗ {lab}")]
        first = cells[number - 1].splitlines()[0]
        assert f"code cell {number} (`{first[:70]}`)" in line and message in line
    index = re.escape(str(out / "index.html"))
    (took,) = re.findall(rf"^2 of 10 labs ran in (\d+) s\. Workbook: {index}$", process.stdout, re.M)
    assert 2 < float(took) < 90  # one of them reaches its limit of three seconds
    assert "tiny labs: 100%" in process.stderr


def test_a_dead_kernel_is_not_waited_for(book):
    house, _, _ = book
    # a kernel takes seconds to start; death is looked for once a second, and the limit for a cell is 3 s, for a lab 900 s
    assert states(house)["08_killed"]["seconds"] < 30 and states(house)["09_exits"]["seconds"] < 30


def test_outputs_before_a_failure_and_its_traceback_are_shown(book):
    _, _, out = book
    page = (out / "03_hangs.html").read_text(encoding="utf-8")
    assert "so far" in page and "begun" in page and "This lab did not run to its end." in page and "timed out" in page
    assert "AssertionError" in (out / "02_raises.html").read_text(encoding="utf-8")


def test_results_are_kept_also_of_a_lab_that_fails_in_its_summary(book):
    _, _, out = book
    for lab in ("01_fine", "02_raises"):
        assert json.loads((out / f"{lab}.json").read_text(encoding="utf-8")) == RESULTS
    assert not (out / "04_shell.json").exists()
    assert (out / "index.html").read_text(encoding="utf-8").count("It holds water") == 2


def test_every_file_is_self_contained_and_its_links_lead_somewhere(book):
    _, _, out = book
    assert {path.suffix for path in out.iterdir() if path.is_file()} == {".html", ".json"}
    files = sorted(out.glob("*.html"))
    assert len(files) == 11
    for path in files:
        page = Page(path.read_text(encoding="utf-8"))
        page.check(out)
        assert path.name == "index.html" or page.all("math")
    fine = (out / "01_fine.html").read_text(encoding="utf-8")
    assert 'alt="Two bars"' in fine and "hello" in fine
    assert "[&#39;a&#39;, &#39;b&#39;]" in fine or "['a', 'b']" in fine


def test_resume_skips_what_succeeded_and_repeats_what_failed_or_changed(book):
    house, _, _ = book
    write(house, "02_raises", [RUNS.format(lab="02_raises"), "1 / 0"])
    write(house, "10_after", [RUNS.format(lab="10_after"), "'changed'"])
    before = ran(house)
    process = labkit_run(house, "--resume", "1", "2", "4", "after", "--jobs", "2")
    assert process.returncode == 1
    assert sorted(ran(house)) == sorted([*before, "02_raises", "04_shell", "10_after"])
    assert states(house)["10_after"]["status"] == "ok"
    assert re.search(r"^2 of 4 labs ran in \d+ s\.", process.stdout, re.M)
    noted = json.loads((house / "runs" / "book-tiny" / ".state" / "last run.json").read_text())
    assert (noted["labs"], noted["jobs"]) == (["02_raises", "04_shell", "10_after"], 2) and noted["seconds"] > 0.5


def test_an_interrupt_ends_every_process_and_resume_goes_on(tmp_path):
    pids = tmp_path / "pids"
    slow = (
        "import os, subprocess, time\nchild = subprocess.Popen(['sleep', '99'], start_new_session=True)\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}} {{child.pid}}.')\ntime.sleep(99)"
    )
    house = make_house(tmp_path / "house", {"01_quick": [RUNS.format(lab="01_quick")], "02_slow": [slow]})
    out = house / "runs" / "book-tiny"
    arguments, options = command(house, "--jobs", "2")
    if os.name == "posix":  # a shell starts background jobs with SIGINT ignored, and so would be what they start
        options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (out / ".state" / "01_quick.json").exists() and pids.exists() and "." in pids.read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "labkit run --resume" in errors
    assert all(gone(int(pid)) for pid in pids.read_text().strip(".").split())
    assert not list(house.rglob("*.part"))
    assert list(states(house)) == ["01_quick"]
    for path in out.glob("*.html"):
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        Page(path.read_text(encoding="utf-8")).check(out)

    write(house, "02_slow", ["'quick now'"])
    assert labkit_run(house, "--resume").returncode == 0
    assert ran(house) == ["01_quick"]
    assert list(states(house)) == ["01_quick", "02_slow"]


@pytest.mark.parametrize(
    "words, message", [(["77"], "there is no lab '77': use one of 01_a"), (["--profile", "huge"], "use tiny, laptop, full")]
)
def test_wrong_arguments_are_one_line_and_exit_code_2(tmp_path, monkeypatch, words, message):
    from labkit.cli import app

    monkeypatch.setenv("LABKIT_HOME", str(make_house(tmp_path / "house", {"01_a": ["1"]})))
    result = CliRunner().invoke(app, ["run", *words])
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["file", "below a file", "read-only", "no such place"])
def test_a_folder_that_cannot_be_written_is_told_before_any_lab_runs(tmp_path, kind):
    house = make_house(tmp_path / "house", {"01_a": [RUNS.format(lab="01_a")]})
    (tmp_path / "file").touch()
    (tmp_path / "fixed").mkdir(mode=0o555)
    if kind == "read-only" and os.access(tmp_path / "fixed", os.W_OK):
        pytest.skip("this user may write anywhere")
    out = {"file": "file", "below a file": "file/book", "read-only": "fixed/book", "no such place": "/proc/book"}[kind]
    process = labkit_run(house, "--out", str(tmp_path / out))
    assert process.returncode == 1 and not (house / "runs.txt").exists()
    assert process.stderr.count("\n") == 1 and process.stderr.endswith("): choose another folder with --out\n")


def test_other_commands_say_in_one_line_what_the_disk_refuses(tmp_path, monkeypatch):
    from labkit import calibrate
    from labkit.cli import app

    def fails(*arguments, **options):
        raise OSError("could not write expected.toml: the disk is read-only")

    house = make_house(tmp_path / "house", {"01_a": ["1"]})
    monkeypatch.setenv("LABKIT_HOME", str(house))
    monkeypatch.setattr(calibrate, "calibrate", fails)
    result = CliRunner().invoke(app, ["calibrate", "01_a"])
    assert (result.exit_code, result.stderr) == (1, "labkit: could not write expected.toml: the disk is read-only\n")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "absent"))
    result = CliRunner().invoke(app, ["data", "--clean"])
    assert result.exit_code == 1 and result.stderr.startswith("labkit: LABKIT_HOME is ") and result.stderr.count("\n") == 1


def test_an_encoding_without_a_sign_costs_that_sign_alone(tmp_path):
    house = make_house(tmp_path / "house", {})
    _, options = command(house)
    options["env"] |= {"PYTHONIOENCODING": "cp1252:strict"}
    code = "import typer; from labkit.cli import app; app.command('sign')(lambda: typer.echo('✗ a'))\napp(['sign'])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, **options)
    assert (process.returncode, process.stdout) == (0, "? a\n"), process.stderr


def test_the_command_imports_nothing_heavy_before_it_is_needed():
    heavy = {"torch", "numpy", "nbclient", "nbconvert", "nbformat", "jinja2", "bs4", "matplotlib", "IPython"}
    code = f"import sys, labkit.cli; print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
