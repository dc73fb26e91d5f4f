"""The workbook's parts: execution in child processes, formulas, articles, colours, pages, choice of labs."""

from __future__ import annotations

import base64
import functools
import io
import os
import re
import signal
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from tqdm import tqdm

from labkit.book import build, execute, labs, pace, pages, state, theme
from labkit.book.article import render
from labkit.book.execute import RESULTS_MIME, Job, run_many, run_notebook
from labkit.book.formulas import to_mathml
from labkit.book.outputs import thumbnail
from labkit.book.state import Entry

SOLUTION = {"nbgrader": {"grade_id": "a", "solution": True}}


def png(width: int, height: int) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def write(path: Path, *sources: str) -> Path:
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return path


def gone(pid: int, seconds: float = 3) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


class Page(HTMLParser):
    """What a page's HTML refers to, by an HTML parser that is not the one that wrote it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]

    def check(self, folder: Path | None = None) -> None:
        """Assert that it loads nothing, that its links lead somewhere, and that its images are described and sized."""
        for tag, attrs in self.tags:
            assert tag not in ("script", "link", "iframe", "object", "embed", "base"), tag
            for name in ("src", "srcset", "poster", "data", "background"):
                assert (attrs.get(name) or "data:").startswith("data:"), (tag, attrs)
            assert not any(name.startswith("on") for name in attrs), (tag, attrs)
        for image in self.all("img"):
            assert image.get("alt") and image.get("width") and image.get("height"), list(image)
        assert len(self.ids) == len(set(self.ids))
        for link in self.all("a"):
            file, _, anchor = (link["href"] or "").partition("#")
            if not file:
                assert unquote(anchor) in self.ids, link
            elif folder is not None and not file.startswith("http"):
                assert (folder / file).is_file(), link


# -- execution ---------------------------------------------------------------------------------------------------------


def test_lab_timeout_keeps_outputs_and_leaves_no_process(tmp_path):
    path = write(
        tmp_path / "slow.ipynb",
        "import os, subprocess\nchild = subprocess.Popen(['sleep', '99'], start_new_session=True)\n"
        "print(os.getpid(), child.pid, os.environ['LABKIT_SEED'], os.environ['OMP_NUM_THREADS'], os.getcwd())",
        "import time\ntime.sleep(99)",
        "print('never')",
    )
    done = run_notebook(path, env={"LABKIT_SEED": "7"}, cell_timeout=60, lab_timeout=6)
    assert (done.status, done.failed) == ("timeout", 1)
    assert "6 s, the limit for a lab" in done.message
    assert done.where == "code cell 2 (`import time`)"
    kernel, child, seed, threads, folder = done.notebook.cells[0].outputs[0].text.split()
    assert (seed, threads, folder) == ("7", "1", str(tmp_path))
    assert gone(int(kernel)) and gone(int(child))
    assert done.seconds < 20


def test_run_many_keeps_order_and_kills_what_runs_when_its_caller_raises(tmp_path):
    quick = Job(write(tmp_path / "quick.ipynb", "1 + 1"))
    pid = tmp_path / "pid"
    source = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)"
    slow = Job(write(tmp_path / "slow.ipynb", source))

    def done(job: Job, executed: execute.Executed) -> None:
        assert executed.status == "ok"
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.05)
        raise RuntimeError("the caller stumbles")

    with pytest.raises(RuntimeError, match="stumbles"):
        run_many([slow, quick], 2, done)
    assert gone(int(pid.read_text()))
    assert run_many([], 1) == []
    with pytest.raises(ValueError, match="workers is 0"):
        run_many([quick], 0)
    with pytest.raises(FileNotFoundError, match="no notebook at"):
        run_many([Job(tmp_path / "absent.ipynb")], 1)


def test_a_child_that_hangs_or_ends_without_a_report_is_a_result(tmp_path, monkeypatch):
    path = write(tmp_path / "any.ipynb", "1")
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(execute, "GRACE", 0.2)
    for script, status, message in [
        ("sleep 99", "timeout", "was killed"),
        ("echo out of luck >&2; exit 7", "dead", "with 7: out of luck"),
    ]:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        done = run_notebook(path, env={}, cell_timeout=1, lab_timeout=0.3)
        assert (done.status, done.failed, done.where) == (status, None, "")
        assert message in done.message
        assert len(done.notebook.cells) == 1


def test_a_kernel_starts_also_where_the_path_is_too_long_for_a_socket(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    done = run_notebook(write(tmp_path / "any.ipynb", "1"), env={}, cell_timeout=60, lab_timeout=60)
    assert done.status == "ok", done.message


def test_relative_folders_are_meant_from_where_the_caller_is(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    path = write(tmp_path / "notebooks" / "any.ipynb", "import os\nprint(os.environ['LABKIT_HOME'], os.environ['LABKIT_DATA'])")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_HOME", ".")
    done = run_notebook(path, env={"LABKIT_DATA": "sets"}, cell_timeout=60, lab_timeout=60)
    assert done.notebook.cells[0].outputs[0].text.split() == [str(tmp_path), str(tmp_path / "sets")]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals as POSIX has them")
def test_signals_that_are_ignored_or_not_pythons_are_left_alone(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with build._ends_like_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with pytest.raises(KeyboardInterrupt), build._ends_like_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(1)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        monkeypatch.setattr(signal, "getsignal", lambda number: None)
        monkeypatch.setattr(signal, "signal", lambda number, handler: pytest.fail("a foreign handler was replaced"))
        with build._ends_like_interrupt():
            pass
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGHUP, before)


# -- formulas ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "latex, part",
    [
        (r"\frac{a}{b}", "<mfrac>"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "<mtable"),
        (r"\mathbf{AB}", "𝐀"),
        (r"\boldsymbol{\mu}", "𝝁"),
        (r"\log p", '<mi>log</mi><mspace width="0.17em"></mspace><mi>p</mi>'),
        (r"\operatorname{softmax}(z)", '<mi>softmax</mi><mo stretchy="false">('),
        (r"a < b", "&lt;"),
    ],
)
def test_formulas_become_mathml(latex, part):
    assert part in to_mathml(latex, display=False)
    assert 'display="block"' in to_mathml(latex, display=True)


def test_only_formulas_that_a_phone_must_scroll_can_be_focused():
    short, long = "a^2", r"\varepsilon = 1 - (0.8054 + 0.7524) / 2 = 0.221"
    assert to_mathml(short, display=False).startswith("<math")
    for html in (to_mathml(long, display=False), to_mathml(short, display=True)):
        assert html.startswith("<span") and 'tabindex="0" role="group" aria-label="Formula"' in html


@pytest.mark.parametrize("latex", [r"\nosuchcommand{x}", r"\frac{a", "x^", "a & b"])
def test_a_formula_that_cannot_be_converted_stays_readable(latex):
    html = to_mathml(latex, display=False)
    assert "<math" not in html
    assert latex.replace("&", "&amp;") in html


# -- articles ----------------------------------------------------------------------------------------------------------


def figure(size: tuple[int, int], **about: object) -> object:
    return new_output("display_data", {"image/png": png(*size), "text/plain": "fig"}, metadata={"image/png": about})


def shown(mime: str, value: object, text: str) -> object:
    return new_output("display_data", {mime: value, "text/plain": text})


def noise(text: str) -> object:
    return new_output("stream", name="stderr", text=text)


def rich() -> object:
    """A notebook with one of everything that a page must deal with."""
    gif = io.BytesIO()
    from PIL import Image

    Image.new("P", (12, 8)).save(gif, "GIF")
    return new_notebook(
        cells=[
            new_markdown_cell(
                "# 01 · What is `x` & why?\n\nHere $E = mc^2$, `$HOME` and\n\n```\n$fenced$\n```\n\n$$\\sum_i x_i$$"
            ),
            new_markdown_cell(
                "## Set-up: a & b\n\n![far](https://example.org/a.png) ![gone](no/such.png)\n\n| a |\n|---|\n| 1 |"
            ),
            new_markdown_cell(
                "## Results\n\n[there](#Set-up:-a-&-b), [lab](02_other.ipynb), [file](../README.md), "
                f"<img src='data:image/png;base64,{png(6, 3)}' alt='dot'>"
            ),
            new_markdown_cell("## Results\n\n<script src='https://example.org/x.js'></script><p onclick='x()'>text</p>"),
            new_code_cell("### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION", metadata=SOLUTION),
            new_markdown_cell("Because.", metadata=SOLUTION),
            new_code_cell(
                "plot()",
                outputs=[
                    figure((20, 10), alt="Two bars", width=10, height=5),
                    figure((20, 10), alt="Three bars"),
                    shown("image/gif", base64.b64encode(gif.getvalue()).decode(), "moving"),
                    noise("\r 42%|████      | 42/100 [00:01<00:02, 30.0it/s]\nUserWarning: mind\n"),
                    noise("epoch: 100%|██████████| 3/3 [00:01<00:00,  2.0it/s]\n"),
                    shown("application/javascript", "alert(1)", "a script"),
                    shown("text/html", "<script>alert(2)</script><table border=1><tr><td>cell</td></tr></table>", "t"),
                    shown(RESULTS_MIME, {"secret": 1}, "the summary"),
                ],
            ),
            new_code_cell(
                "1 / 0", outputs=[new_output("error", ename="E", evalue="e", traceback=["\x1b[31mred\x1b[0m alert"])]
            ),
            new_code_cell(""),
        ]
    )


@pytest.fixture(scope="module")
def article(tmp_path_factory):
    return render(rich(), folder=tmp_path_factory.mktemp("notebooks"), failed=7, message="E: e")


def test_article_loads_nothing_and_describes_its_images(article):
    page = Page(article.body)
    page.check()
    assert [(image["alt"], image["width"], image["height"]) for image in page.all("img")] == [
        ("dot", "6", "3"),
        ("Two bars", "10", "5"),
        ("Three bars", "20", "10"),
        ("moving", "12", "8"),
    ]
    assert 'href="https://example.org/a.png">far</a>' in article.body
    assert "alert(" not in article.body
    assert "no/such.png" not in article.body and "gone" in article.body
    assert "README" not in article.body and "file" in article.body


def test_article_converts_formulas_but_not_code(article):
    assert len(Page(article.body).all("math")) == 2
    assert "<code>$HOME</code>" in article.body
    assert "$fenced$" in article.body


def test_article_has_unique_anchors_as_in_jupyter(article):
    assert article.plain_title == "What is x & why?"
    assert article.title == "What is <code>x</code> &amp; why?"
    assert article.sections == [("Set-up:-a-&-b", "Set-up: a & b"), ("Results", "Results"), ("Results-2", "Results")]
    links = Page(article.body).all("a")
    assert {"#Results", "#Results-2"} <= {link["href"] for link in links}
    assert all(link.get("aria-label") for link in links if link.get("class") == "anchor")
    assert 'href="02_other.html"' in article.body


def test_article_folds_solutions_and_opens_the_one_that_failed(article):
    folded = Page(article.body).all("details")
    assert [set(details) for details in folded] == [{"class"}, {"class"}]
    assert re.findall(r"<summary>(.*?)</summary>", article.body) == ["Solution", "Model answer"]
    assert "BEGIN SOLUTION" not in article.body
    stopped = render(rich(), folder=Path(), failed=4, message="E: e").body
    assert "open" in Page(stopped).all("details")[0]


def test_article_folds_the_model_answer_and_not_the_question_above_it():
    meta = {"nbgrader": {"grade": True, "solution": True, "locked": False, "grade_id": "q", "points": 1, "schema_version": 3}}
    cell = nbformat.v4.new_markdown_cell("**Question 1.** Why?\n\n*Model answer.* Because.\n\n- a list", metadata=meta)
    body = render(nbformat.v4.new_notebook(cells=[cell]), folder=Path()).body
    before, _, inside = body.partition("<details")
    assert "Why?" in before and "Because" not in before
    assert "Because" in inside.partition("</details>")[0] and "a list" in inside.partition("</details>")[0]


def test_article_drops_noise_and_keeps_warnings_and_tracebacks(article):
    assert "it/s" not in article.body
    assert "UserWarning: mind" in article.body
    assert "red alert" in article.body and "\x1b" not in article.body
    assert "secret" not in article.body and "the summary" in article.body
    assert "Execution stopped here: E: e" in article.body


def test_tables_and_code_scroll_in_their_own_boxes(article):
    assert len(re.findall(r'<div[^>]*class="scroll"[^>]*>\s*<table', article.body)) == 2
    assert all(block.get("tabindex") == "0" for block in Page(article.body).all("pre"))


def test_thumbnail_is_small_and_described():
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[figure((960, 400), alt="Wide")])])
    thumb = thumbnail(notebook)
    assert (thumb["alt"], thumb["width"], thumb["height"]) == ("Wide", 480, 200)
    assert thumbnail(new_notebook()) is None


def test_thumbnail_prefers_a_result_to_the_diagram_that_labs_begin_with():
    diagram = new_code_cell("plots.diagram(nodes, arrows)", outputs=[figure((20, 10), alt="Boxes")])
    others = [new_code_cell("plot()", outputs=[figure((20, 10), alt=alt)]) for alt in ("Bars", "Lines")]
    assert thumbnail(new_notebook(cells=[diagram, *others]))["alt"] == "Bars"
    assert thumbnail(new_notebook(cells=[diagram]))["alt"] == "Boxes"


# -- colours -----------------------------------------------------------------------------------------------------------


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [theme.LIGHT, theme.DARK], ids=["light", "dark"])
def test_text_and_code_contrast_reaches_wcag_aa(palette):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    on_paper = ["ink", "muted", "accent", "bad"]
    pairs = [(name, "paper") for name in on_paper]
    pairs += [(name, "panel") for name in palette if name.startswith("code-") or name in ("ink", "accent")]
    pairs += [(name, f"{name}-bg") for name in ("good", "contrary", "neutral", "bad")]
    low = {pair: ratio for pair in pairs if (ratio := contrast(palette[pair[0]], palette[pair[1]])) < 4.5}
    assert not low


def test_code_is_coloured_by_the_palette_alone():
    assert theme.LIGHT.keys() == theme.DARK.keys()
    rules = theme.code_rules()
    assert set(re.findall(r"var\(--([\w-]+)\)", rules)) <= theme.LIGHT.keys()
    assert "#" not in rules
    for name, colour in {"k": "keyword", "s2": "string", "c1": "comment", "mi": "number", "nf": "name"}.items():
        assert re.search(rf"\.highlight \.{name}\b[^}}]*{{color:var\(--code-{colour}\)}}", rules), name


# -- pages -------------------------------------------------------------------------------------------------------------


def results() -> dict[str, object]:
    claim = {"id": "a", "text": "Units <collapse>", "verdict": "does not hold", "numbers": "−1 ± 2"}
    claim |= {"expected": "holds", "as_expected": False}
    record = {"name": "r", "label": "Units", "unit": "of 20", "arms": ["one", "two"], "n": 5}
    record |= {
        "mean": [9.0, None],
        "sd": [0.5, None],
        "band": [[8, 10], [8, 10]],
        "inside": False,
        "reported": [{"value": "5 to 12", "source": "Somebody 2018"}],
    }
    return {"device": "cpu", "seed": 0, "claims": [claim], "records": [record], "mismatches": []}


def entry(lab: str, **changes: object) -> Entry:
    values = {"title": lab, "plain_title": lab, "profile": "tiny", "key": "k", "status": "ok", "message": "", "where": ""}
    values |= {"seconds": 61.0, "date": "2025-01-01T10:00+00:00", "thumb": None, "results": results()}
    return Entry(lab=lab, **{**values, **changes})


def test_index_says_verdicts_in_words_and_escapes_them():
    dead = entry("02_b", status="dead", message="the kernel died", results=None)
    html = pages.index_page([entry("01_a"), dead], ["03_c"], "tiny")
    text = " ".join(re.sub(r"<[^>]+>", " ", html.split("</style>")[1]).split())
    assert "Units &lt;collapse&gt;" in html
    assert "✗ does not hold" in text and "expected to hold" in text and "! not as expected" in text
    assert "9 ± 0.5" in text and "8 to 10" in text and "5 to 12 Somebody 2018" in text and "not finite" in text
    assert "kernel died" in text and "Not in this workbook: 03_c" in text
    assert html.count("outside</span>") == 1
    odd = " ".join(re.sub(r"<[^>]+>", " ", html.split('id="unexpected"')[1].split("</section>")[0]).split())
    assert "Units &lt;collapse&gt; does not hold, expected to hold" in odd
    assert "Units, two measured not finite, expected 8 to 10" in odd and "Units, one" not in odd


def test_index_folds_what_is_long_and_says_so_when_all_is_as_expected():
    one = results()
    one["claims"] = [{**one["claims"][0], "as_expected": True}] * 13
    one["records"] = [{**one["records"][0], "mean": [9.0, 9.0]}] * 6
    html = pages.index_page([entry("01_a", results=one)], [], "tiny")
    assert re.findall(r'<details class="fold"( open)?>\s*<summary>(\d+)', html) == [("", "13"), (" open", "12")]
    assert "came out as expected" in html and "unexpected" not in html.split("</style>")[1]


def test_notation_becomes_a_page_that_others_link_to_while_it_is_there(tmp_path, monkeypatch, article):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    note, out = tmp_path / "notebooks" / "NOTATION.md", tmp_path / "book"
    link = new_notebook(cells=[new_markdown_cell("# A\n\n[signs](NOTATION.md#Signs)")])
    assert "<a href" not in render(link, folder=note.parent).body
    note.write_text("# Signs\n\n## Signs\n\n| sign | meaning |\n|---|---|\n| $\\beta$ | weight |\n", encoding="utf-8")
    assert 'href="notation.html#Signs"' in render(link, folder=note.parent).body
    write(note.parent / "01_a.ipynb", "1")
    state.save(out, entry("01_a"))
    (out / "01_a.html").write_text(pages.lab_page(entry("01_a"), article), encoding="utf-8")
    build.write_index(out, "tiny", "ground")
    page = Page((out / "notation.html").read_text(encoding="utf-8"))
    page.check(out)
    assert page.all("math") and page.all("table") and "Signs" in page.ids
    for name in ("01_a.html", "index.html"):
        assert "notation.html" in (out / name).read_text(encoding="utf-8")
    note.unlink()
    build.write_index(out, "tiny", "ground")
    assert not (out / "notation.html").exists()
    for name in ("01_a.html", "index.html"):
        assert "notation.html" not in (out / name).read_text(encoding="utf-8")


def test_pages_link_only_to_pages_that_are_there(tmp_path, article):
    entries = [entry("01_a"), entry("03_c")]
    for one in entries:
        (tmp_path / f"{one.lab}.html").write_text(pages.lab_page(one, article), encoding="utf-8")
    (tmp_path / "index.html").write_text(pages.index_page(entries, ["02_other"], "tiny"), encoding="utf-8")
    pages.link_pages(tmp_path, entries)
    first = (tmp_path / "01_a.html").read_text(encoding="utf-8")
    assert 'rel="next" href="03_c.html"' in first and 'rel="prev"' not in first
    pages.link_pages(tmp_path, entries[:1])
    assert "03_c.html" not in (tmp_path / "01_a.html").read_text(encoding="utf-8")
    Page((tmp_path / "index.html").read_text(encoding="utf-8")).check(tmp_path)
    page = Page(first.replace("02_other.html", "03_c.html"))
    page.check(tmp_path)
    assert page.all("html")[0] == {"lang": "en"}
    assert {"header", "main", "footer", "nav", "title"} <= {tag for tag, _ in page.tags}
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}


# -- pace ---------------------------------------------------------------------------------------------------------------


def test_a_lab_takes_what_it_took_last_else_what_is_expected_else_by_its_cells(house, tmp_path):
    out = tmp_path / "book"
    (house / "notebooks" / "expected.toml").write_text(
        "[04_vae_collapse.minutes]\ntiny = 1.5\n\n[05_vae_gan.minutes]\ntiny = 9\n"
    )
    write(house / "notebooks" / "11_dann.ipynb", "1", "2", "3")
    state.save(out, entry("05_vae_gan", seconds=30.0))
    (out / "05_vae_gan.html").touch()
    found = pace.estimates(labs.all_labs(), profile="tiny", out=out)
    assert found == {"04_vae_collapse": 90.0, "05_vae_gan": 30.0, "11_dann": 3 * 60.0}  # of the others, 60 s a cell
    state.save(out, entry("05_vae_gan", seconds=30.0, status="error"))
    assert pace.estimates(labs.all_labs(), profile="tiny", out=out)["05_vae_gan"] == 540.0
    assert set(pace.estimates(labs.all_labs(), profile="full", out=out).values()) == {pace.CELL, 3 * pace.CELL}


def test_time_left_is_that_of_the_workers_not_a_mean_of_labs():
    expected = {"a": 60.0, "b": 30.0, "c": 20.0, "d": 10.0}

    def left(workers, finished, running, *waiting):
        return pace.remaining(expected, finished=finished, running=running, waiting=waiting, workers=workers)

    assert left(1, {}, {}, "a", "b", "c", "d") == 120
    assert left(2, {}, {"a": 0.0, "b": 0.0}, "c", "d") == 60  # the others go on beside the longest
    assert left(2, {}, {"a": 20.0, "b": 20.0}, "c", "d") == 40
    assert left(1, {"a": 120.0}, {"b": 10.0}, "c", "d") == 50 + 40 + 20  # a machine of half the speed
    assert left(2, {}, {"d": 40.0}) == pytest.approx(4)  # overdue, and not done


def test_the_longest_labs_begin_first_and_entries_keep_their_order(house, monkeypatch, capsys):
    (house / "notebooks" / "expected.toml").write_text("[11_dann.minutes]\ntiny = 2\n\n[05_vae_gan.minutes]\ntiny = 1\n")
    monkeypatch.setattr("tqdm.tqdm", functools.partial(tqdm, disable=False))
    monkeypatch.setattr(build.sys.stderr, "isatty", lambda: False, raising=False)
    begun = []

    def runs(queue, workers, done, tick):
        begun.extend(job.path.stem[:2] for job in queue)
        for i, job in enumerate(queue):
            tick({job.path: 10.0}, [later.path for later in queue[i + 1 :]])
            tick({job.path: 11.0}, [later.path for later in queue[i + 1 :]])
            done(job, execute.Executed(nbformat.read(job.path, as_version=4), "ok", seconds=60.0))

    monkeypatch.setattr(build, "run_many", runs)
    entries = build.build(labs.all_labs(), profile="tiny", out=house / "book", jobs=1)
    assert begun == ["11", "04", "05"]  # 04 is taken to be as slow as the others' cells: 90 s
    assert [entry.lab[:2] for entry in entries] == ["04", "05", "11"]
    drawn = re.findall(r"(\d)/3 \[[\d:]+(?:, ([^\]]*))?\]", capsys.readouterr().err)
    assert drawn[0][0] == "0" and drawn[-1] == ("3", "")
    told = [words for _, words in drawn if words]
    assert told == ["about 4.3 min left", "about 65 s left", "about 24 s left"]  # 60 s of 120, then 120 s of 210


# -- choice of labs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").write_text("")
    for name in ("04_vae_collapse", "05_vae_gan", "11_dann", "scratch"):
        write(tmp_path / "notebooks" / f"{name}.ipynb", "1")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "names, found",
    [
        ([], ["04", "05", "11"]),
        (["4"], ["04"]),
        (["04"], ["04"]),
        (["11", "4", "04_vae_collapse"], ["04", "11"]),
        (["vae_g"], ["05"]),
        (["notebooks/11_dann.ipynb"], ["11"]),
    ],
)
def test_labs_are_found_by_name_number_or_beginning(house, names, found):
    assert [path.stem[:2] for path in labs.find_labs(names)] == found


@pytest.mark.parametrize(
    "name, message",
    [
        ("6", "04_vae_collapse, 05_vae_gan, 11_dann"),
        ("scratch", "there is no lab"),
        ("²", "there is no lab"),
        ("vae", "more than one"),
    ],
)
def test_an_unknown_or_ambiguous_lab_is_an_error_that_lists_labs(house, name, message):
    with pytest.raises(ValueError, match=message):
        labs.find_labs([name])


def test_key_changes_with_all_that_a_page_depends_on(house, monkeypatch):
    path = house / "notebooks" / "11_dann.ipynb"
    keys = [labs.lab_key(path, "tiny", labs.ground_hash()), labs.lab_key(path, "full", labs.ground_hash())]
    (house / "notebooks" / "expected.toml").write_text("# new")
    keys.append(labs.lab_key(path, "tiny", labs.ground_hash()))
    monkeypatch.setenv("LABKIT_SEED", "3")
    keys.append(labs.lab_key(path, "tiny", labs.ground_hash()))
    write(path, "2")
    keys.append(labs.lab_key(path, "tiny", labs.ground_hash()))
    assert len(set(keys)) == 5
    assert keys[-1] == labs.lab_key(path, "tiny", labs.ground_hash())
