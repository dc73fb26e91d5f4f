"""The workbook in a real browser: Chromium, without a window, over files; nothing is served and nothing is fetched."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_book import Page, png

from labkit.book import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REAL = Path(__file__).parent.parent / "runs" / "book-tiny"
PHONE, TABLET, DESK, PAPER = (
    (360, 740),
    (740, 1000),
    (1280, 900),
    (718, 1000),
)  # CSS pixels; A4 is 718 wide between margins of 1 cm
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AXE = {"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the real workbook weighs 20 MB, and each test opens every page
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


# -- a small workbook with one of everything ---------------------------------------------------------------------------


def claim(name: str, verdict: str, expected: str | None, as_expected: bool = True) -> dict[str, Any]:
    numbers = "0.12 [0.1, 0.14], 5 seeds; asked: at least 0.1"
    text = f"Claim {name}: a unit that the decoder ignores scores zero"
    return {"id": name, "text": text, "verdict": verdict, "expected": expected, "numbers": numbers, "as_expected": as_expected}


def record(name: str, arms: list[str], band: bool, reported: bool) -> dict[str, Any]:
    values = {"name": name, "label": f"Quantity {name}", "unit": "nats", "arms": arms, "n": 5, "inside": band or None}
    values |= {"mean": [1.25] * len(arms), "sd": [0.1] * len(arms), "band": [[1.0, 2.0]] * len(arms) if band else None}
    return values | {"reported": [{"value": "1.1 to 1.3", "source": "Somebody and others 2018, table 2"}] if reported else []}


RESULTS = {
    "lab": "01_rich",
    "title": "What is shown?",
    "profile": "tiny",
    "seed": 0,
    "device": "cpu",
    "minutes": 0.1,
    "calibration": {"runs": 10, "command": "labkit calibrate 01_rich", "date": "2025-01-01"},
    "stale": False,
    "claims": [
        claim("one", "holds", "holds"),
        claim("two", "does not hold", "fails"),
        claim("three", "undecided", "open"),
        claim("four", "not measured", None),
        claim("five", "does not hold", "holds", as_expected=False),
        *[claim(f"more-{i}", "holds", "holds") for i in range(12)],
    ],
    "records": [
        record("both", ["free bits", "plain"], True, True),
        record("none", [""], False, False),
        *[record(f"more_{i}", ["a", "b", "c"], True, False) for i in range(6)],
    ],
    "mismatches": ["claim 'five': does not hold, expected holds"],
}
HAND_OVER = (
    "from IPython.display import display\nfrom labkit import report\n"
    f"results = {RESULTS!r}\n"
    "data = {'application/vnd.labkit.results+json': results, 'text/html': report.html(results), 'text/plain': 'summary'}\n"
    "display(data, raw=True)"
)
FIGURE = (
    "import base64\nfrom IPython.display import display\n"
    "about = {'image/png': {'alt': 'Two bars, of which the left one is the longer', 'width': 700, 'height': 300}}\n"
    f"display({{'image/png': base64.b64decode({png(1400, 600)!r})}}, metadata=about, raw=True)"
)
TEXT = """## Text

A formula, $q(z\\mid x) = N(\\mu, \\sigma^2)$, `code`, a [link](#The-end), another [lab](02_fails.ipynb),
the [notation](NOTATION.md), one in a line, $\\varepsilon = 1 - (0.8054 + 0.7524 + 0.6012 + 0.5) / 4 = 0.335$, and a long one:

$$\\ln p(x) \\ge E_{q(z\\mid x)}[\\ln p(x\\mid z)] - KL(q(z\\mid x)\\,\\|\\,N(0, I)) + a_1 + a_2 + a_3 + a_4 + a_5 + a_6 + a_7$$

| method | what it does to the units that nobody reads | source of the figures that are given here |
|---|---|---|
| free bits | counts every unit as active, whatever it says | Kingma and others 2016, improved inference |
"""
NOTATION = """# Notation and terms

## Notation

| sign | meaning | labs |
|---|---|---|
| $\\beta$ | weight of the KL term | 04 |

## Terms

| term | meaning |
|---|---|
| arm | one of the settings that are compared |

See [lab 01](01_rich.ipynb).
"""
LONG = "long = [" + ", ".join(f"'a line of code that no screen holds, part {i}'" for i in range(8)) + "]\nlong"
WARNS = "import warnings\nwarnings.warn('mind')\nprint('x' * 400)\nprint('\\n'.join(map(str, range(80))))"
LABS = {  # lab -> text and sources of its cells; a source that begins with # is text
    "01_rich": [TEXT, FIGURE, LONG, "### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION", HAND_OVER, "## The end"],
    "02_fails": ["## Fails", WARNS, FIGURE, "raise ValueError('a reason')", "print('never')"],
    "03_plain": ["## Plain", "1 + 1"],
}


def small_workbook(house: Path) -> Path:
    """Build the workbook of LABS with labkit's own `build`, and give its folder."""
    (house / "notebooks").mkdir()
    (house / "notebooks" / "expected.toml").write_text("")
    (house / "notebooks" / "NOTATION.md").write_text(NOTATION, encoding="utf-8")
    paths = []
    for lab, sources in LABS.items():
        cells = [new_markdown_cell(f"# {lab[:2]} · What is shown, and by whom?\n\nLab `{lab}`.")]
        for source in sources:
            solution = {"nbgrader": {"grade_id": "a", "solution": True}} if "SOLUTION" in source else {}
            make = new_markdown_cell if re.match(r"## ", source) else new_code_cell
            cells.append(make(source, metadata=solution))
        paths.append(house / "notebooks" / f"{lab}.ipynb")
        nbformat.write(new_notebook(cells=cells), paths[-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_HOME", str(house))
        build.build(paths, profile="tiny", out=house / "runs" / "book-tiny", jobs=1)
    return house / "runs" / "book-tiny"


@pytest.fixture(scope="module", params=["small", "real"])
def book(request, tmp_path_factory):
    """A folder with a workbook: one of three short labs, and that of all labs where `labkit run` has made one."""
    pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    if request.param == "small":
        return small_workbook(tmp_path_factory.mktemp("house"))
    if not (REAL / "index.html").is_file():
        pytest.skip(f"no workbook in {REAL}: labkit run makes it")
    return REAL


@pytest.fixture(scope="module")
def browser(book):  # after the book: a browser leaves an event loop running in this thread
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Open:
    """A page that is open, and what it asked for and said while it was loaded."""

    def __init__(self, page: Any, file: Path) -> None:
        self.page, self.file = page, file
        self.asked: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url[:100]))
        page.on("requestfailed", lambda request: self.said.append(f"failed: {request.url[:100]}"))
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.goto(file.as_uri(), wait_until="load")

    def __call__(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)


@pytest.fixture
def every_page(browser, book):
    """Give a function that opens the pages of the workbook, one after the other."""

    def pages(size: tuple[int, int] = DESK, media: str = "screen", scheme: str = "light") -> Iterator[Open]:
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        context.add_init_script(SHIFTS)
        try:
            for file in sorted(book.glob("*.html")):
                page = context.new_page()
                page.emulate_media(media=media)
                yield Open(page, file)
                page.close()
        finally:
            context.close()

    return pages


@pytest.fixture
def first_page(every_page):
    """Give a function that opens one page, which stays open until the test ends."""
    running = []

    def one(name: str = "", **options: Any) -> Open:
        running.append(every_page(**options))
        return next(page for page in running[-1] if page.file.name.startswith(name))

    yield one
    for pages in running:
        pages.close()


#: runs in each page before anything of it is drawn
SHIFTS = """
window.shifts = 0
new PerformanceObserver(list => { for (const entry of list.getEntries()) window.shifts += entry.value })
  .observe({ type: 'layout-shift', buffered: true })
"""
#: scrolls through the page so that all of it has been laid out and drawn
THROUGH = """async () => {
  for (let y = 0; y < document.documentElement.scrollHeight; y += 4 * innerHeight) {
    scrollTo({ top: y, behavior: 'instant' })
    await new Promise(requestAnimationFrame)
  }
  scrollTo({ top: 0, behavior: 'instant' })
  await new Promise(done => setTimeout(done, 100))
}"""
#: of each picture: is it there, described, and of a size that is known before it arrives?
PICTURES = """[...document.images].map(i => [
  i.complete && i.naturalWidth > 0, i.alt.trim().length > 8, i.getAttribute('width') > 0 && i.getAttribute('height') > 0,
])"""
#: writes a page piece by piece, and has each drawn before the next
FEED = """async pieces => {
  document.open()
  for (const piece of pieces) {
    document.write(piece)
    await new Promise(requestAnimationFrame)
    await new Promise(requestAnimationFrame)
  }
  document.close()
}"""
OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true })"
TOO_WIDE = """() => {
  const wide = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth <= wide) return []
  const boxed = e => e && (getComputedStyle(e).overflowX !== 'visible' || boxed(e.parentElement))
  return [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > wide + 1 && !boxed(e.parentElement))
    .map(e => `${e.tagName}.${e.className} ${Math.round(e.getBoundingClientRect().right)} ${e.textContent.slice(0, 60)}`)
}"""


# -- tests -------------------------------------------------------------------------------------------------------------


def test_a_page_asks_for_nothing_says_nothing_and_shows_every_picture(every_page):
    for opened in every_page():
        opened(THROUGH)
        asked = [url for url in opened.asked if not url.startswith("data:")]
        assert asked == [opened.file.as_uri()]
        assert opened.said == []
        pictures = opened(PICTURES)
        assert all(map(all, pictures)), (opened.file.name, pictures)
        if opened.file.name[:2] in ("01", "in"):
            assert pictures


def pieces(html: str, most: int = 40) -> list[str]:
    """Cut a page where its blocks end, as a slow disk might deliver it; their sum is the page."""
    ends = [match.end() for match in re.finditer(r"</(?:p|li|tr|thead|pre|div|h\d|nav|header|details)>", html)]
    cuts = [0, *ends[:: max(1, len(ends) // most)], len(html)]
    return [html[begin:end] for begin, end in itertools.pairwise(cuts)]


@pytest.mark.parametrize("size", [PHONE, TABLET, DESK], ids=["phone", "tablet", "desk"])
def test_a_page_neither_scrolls_sideways_nor_jumps_while_it_loads(every_page, size):
    # how a browser cuts up a file depends on the load of the machine, and half a formula moves: so the test cuts
    for opened in every_page(size):
        html = opened.file.read_text(encoding="utf-8")
        opened.page.goto("about:blank")
        opened(SHIFTS)
        opened(FEED, pieces(html))
        opened(THROUGH)
        assert opened("document.documentElement.textContent.length") > 1000
        assert opened("shifts") < 0.01, opened.file.name
        opened(OPEN_ALL)
        assert opened(TOO_WIDE) == [], opened.file.name


def test_every_link_leads_somewhere(every_page, book):
    known = {path.name: set(Page(path.read_text(encoding="utf-8")).ids) for path in book.glob("*.html")}
    for opened in every_page():
        for link in opened("[...document.links].map(link => link.getAttribute('href'))"):
            if re.match(r"https?://[\w.-]+\.\w+(/|$)|mailto:\S+@\S+$", link):
                continue
            file, _, anchor = link.partition("#")
            assert (file or opened.file.name) in known, (opened.file.name, link)
            assert not anchor or unquote(anchor) in known[file or opened.file.name], (opened.file.name, link)


@pytest.mark.parametrize("size, scheme", [(PHONE, "light"), (DESK, "dark")], ids=["phone-light", "desk-dark"])
def test_axe_finds_nothing_against_wcag_2_a_and_aa(every_page, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install axe-playwright-python")
    found = {}
    for opened in every_page(size, scheme=scheme):
        opened(OPEN_ALL)
        response = axe.Axe().run(opened.page, options=AXE).response
        assert len(response["passes"]) > 10, opened.file.name
        for rule in response["violations"]:
            nodes = [(node["target"], node["any"] and node["any"][0]["message"]) for node in rule["nodes"][:3]]
            found[f"{opened.file.name}: {rule['id']}"] = (len(rule["nodes"]), nodes)
    assert not found


def test_dark_mode_is_dark(first_page):
    for scheme, dark in (("light", False), ("dark", True)):
        opened = first_page(scheme=scheme)
        channels = re.findall(r"\d+", opened("getComputedStyle(document.body).backgroundColor"))
        assert (sum(map(int, channels[:3])) < 200) == dark


#: marks and counts what a keyboard must reach: links, summaries and whatever scrolls
WANTED = """() => {
  const scrolls = e => ['auto', 'scroll'].some(word => {
    const style = getComputedStyle(e)
    return style.overflowX === word && e.scrollWidth > e.clientWidth ||
      style.overflowY === word && e.scrollHeight > e.clientHeight
  })
  const wanted = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() &&
    (e.matches('a[href], summary, [tabindex="0"]') || scrolls(e) && !e.querySelector('a[href], summary')))
  wanted.forEach((e, i) => { e.dataset.wanted = i })
  return wanted.map(e => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 40)}`)
}"""
FOCUSED = """() => {
  const e = document.activeElement
  if (e === document.body) return null
  const style = getComputedStyle(e), box = e.getBoundingClientRect()
  const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && style.outlineColor !== 'rgba(0, 0, 0, 0)'
  const seen = box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight && style.opacity > 0
  return [e.dataset.wanted ?? e.outerHTML.slice(0, 80), ring && seen, e.className]
}"""


def test_the_keyboard_reaches_the_skip_link_first_and_then_all_that_links_or_scrolls(every_page):
    for opened in every_page(PHONE):
        opened(OPEN_ALL)
        opened("document.documentElement.style.scrollBehavior = 'auto'")
        wanted = opened(WANTED)
        opened.page.keyboard.press("Tab")
        assert opened(FOCUSED)[1:] == [True, "skip"], opened.file.name
        reached = {}
        for _ in range(len(wanted) + 5):
            focused = opened(FOCUSED)
            if focused is None:
                break
            reached[focused[0]] = focused[1]
            opened.page.keyboard.press("Tab")
        missed = [what for i, what in enumerate(wanted) if str(i) not in reached]
        assert not missed, (opened.file.name, missed[:5])
        blind = [wanted[int(i)] if i.isdecimal() else i for i, seen in reached.items() if not seen]
        assert not blind, (opened.file.name, blind[:5])


def test_the_skip_link_skips_to_the_content(first_page):
    opened = first_page()
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    opened.page.keyboard.press("Tab")
    assert opened("document.querySelector('main').contains(document.activeElement)")


#: text below <main> that paper would not show: hidden, folded away, cut off or beyond the edge
UNPRINTED = """() => {
  const lost = [], wide = document.documentElement.clientWidth
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const text = walker.currentNode, e = text.parentElement
    if (!text.data.trim() || e.closest('.anchor, math, style')) continue
    const range = document.createRange()
    range.selectNodeContents(text)
    const box = range.getBoundingClientRect()
    const shown = e.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true })
    if (shown && box.width && box.right < wide + 1 && box.left >= 0) continue
    lost.push(`${e.tagName}: ${text.data.trim().slice(0, 60)}`)
  }
  const cut = [...document.querySelectorAll('main *')].filter(e => {
    const style = getComputedStyle(e)
    return style.overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1 && e.clientWidth ||
      style.overflowY !== 'visible' && e.scrollHeight > e.clientHeight + 1 && e.clientHeight
  }).map(e => `cut: ${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`)
  const pictures = [...document.images].filter(i => !i.checkVisibility() || i.getBoundingClientRect().right > wide + 1)
  return [...lost, ...cut, ...pictures.map(i => `picture: ${i.alt}`)]
}"""


def test_paper_hides_nothing(every_page):
    for opened in every_page(PAPER, media="print"):
        lost = opened(UNPRINTED)
        assert not lost, (opened.file.name, len(lost), lost[:8])


def test_the_index_says_what_came_out_otherwise_and_folds_long_tables(first_page, book):
    opened = first_page("index.html")
    labs = [path.name for path in sorted(book.glob("[0-9][0-9]_*.html"))]
    linked = opened("[...document.querySelectorAll('table.labs th[scope=row] a')].map(a => a.getAttribute('href'))")
    assert linked == labs
    folds = opened("[...document.querySelectorAll('details.fold')].map(d => [d.querySelectorAll('tr, li').length, d.open])")
    assert folds and all(length <= 14 for length, is_open in folds if is_open)  # a table has a row of heads, too
    if len(labs) == len(LABS):
        odd = opened("[...document.querySelectorAll('ul.odd li')].map(e => e.innerText)")
        assert len(odd) == 1 and "Claim five" in odd[0] and "does not hold, expected to hold" in odd[0]
        assert [is_open for _, is_open in folds] == [False, False]
        text = opened("document.querySelector('.masthead').innerText")
        assert all(words in text for words in ("17 claims", "13 hold", "2 do not hold", "1 undecided", "1 not measured"))
        assert opened("document.querySelectorAll('a[href=\"notation.html\"]').length") == 1
