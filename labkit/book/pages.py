"""The workbook's HTML files: one page a lab and the index, each complete in itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from labkit.book.article import NOTATION, Article
from labkit.book.state import Entry, page_path
from labkit.book.theme import stylesheet
from labkit.files import write_text

VERDICTS = {  # verdict -> (class, symbol, plural)
    "holds": ("good", "✓", "hold"),
    "does not hold": ("contrary", "✗", "do not hold"),
    "undecided": ("neutral", "?", "undecided"),
    "not measured": ("blank", "–", "not measured"),
}
STATUSES = {"ok": "complete", "error": "failed", "timeout": "timed out", "dead": "kernel died"}
EXPECTATIONS = {"holds": "expected to hold", "fails": "expected not to hold", "open": "an open question"}
SHORT = 12  # rows of claims or figures that the index shows unfolded
SIBLINGS = re.compile(r'<nav class="siblings".*?</nav>', re.DOTALL)


@lru_cache(maxsize=1)
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader

    env = Environment(loader=PackageLoader("labkit.book"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    source = env.loader.get_source(env, "style.css")[0]  # type: ignore[union-attr]
    env.globals.update(css=stylesheet() + source, verdicts=VERDICTS, statuses=STATUSES, expectations=EXPECTATIONS)
    env.globals.update(short=SHORT, notation_file=NOTATION)
    env.filters.update(minutes=minutes, number=number, ticked=ticked)
    return env


def minutes(seconds: float) -> str:
    """Write a duration as a reader says it: '48 s', '3.4 min', '2.1 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def number(value: float | None, digits: int = 4) -> str:
    """Write a measured value in `digits` significant digits, with a true minus sign; a value that is not finite is None."""
    return "not finite" if value is None else f"{value:.{digits}g}".replace("-", "−")


def ticked(text: str) -> Any:
    """Return HTML of plain text in which `backticks` mark code."""
    from markupsafe import Markup, escape

    parts = re.split(r"(`.+`)", text)
    return Markup("").join(Markup("<code>{}</code>").format(p[1:-1]) if i % 2 else escape(p) for i, p in enumerate(parts))


def claim_counts(entry: Entry) -> list[tuple[str, int]]:
    """Count an entry's claims by verdict, in the order of `VERDICTS`, leaving out those that don't occur."""
    counts = Counter(claim["verdict"] for claim in (entry.results or {}).get("claims", []))
    return [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]]


def unexpected(entry: Entry) -> int:
    """Count the claims that did not come out as expected."""
    return sum(not claim["as_expected"] for claim in (entry.results or {}).get("claims", []))


def surprises(entry: Entry) -> list[tuple[str, str]]:
    """Say what did not come out as expected, claims and then figures, as (what, how it came out)."""
    results = entry.results or {}
    found = []
    for claim in results.get("claims", []):
        if not claim["as_expected"]:
            found.append(
                (claim["text"], f"{claim['verdict']}, {EXPECTATIONS.get(claim['expected'], 'no expectation on file')}")
            )
    for record in results.get("records", []):
        for arm, mean, (low, high) in zip(record["arms"], record["mean"], record["band"] or [], strict=False):
            if mean is None or not low <= mean <= high:
                what = record["label"] + (f", {arm}" if arm else "")
                found.append((what, f"measured {number(mean)}, expected {number(low)} to {number(high)}"))
    return found


def lab_page(entry: Entry, article: Article) -> str:
    """Return a lab's page; `link_pages` puts in the links to its neighbours."""
    return (
        _templates()
        .get_template("lab.html.j2")
        .render(entry=entry, article=article, counts=claim_counts(entry), unexpected=unexpected(entry))
    )


def notation_page(article: Article) -> str:
    """Return the page of notation and terms; `link_pages` puts in its links."""
    return _templates().get_template("notation.html.j2").render(article=article)


def index_page(entries: Sequence[Entry], missing: Sequence[str], profile: str, *, notation: bool = False) -> str:
    """Return the index of `entries`; `missing` names the labs that have no page, `notation` says if that page is there."""
    rows = [(entry, claim_counts(entry), unexpected(entry)) for entry in entries]
    totals: Counter[str] = Counter()
    for _, counts, _ in rows:
        totals.update(dict(counts))
    return (
        _templates()
        .get_template("index.html.j2")
        .render(
            rows=rows,
            missing=missing,
            profile=profile,
            totals=[(verdict, totals[verdict]) for verdict in VERDICTS if totals[verdict]],
            odd=[(entry, found) for entry in entries if (found := surprises(entry))],
            judged=sum(totals.values()),
            notation=notation,
            failed=sum(entry.status != "ok" for entry in entries),
            seconds=sum(entry.seconds for entry in entries),
            date=max((entry.date for entry in entries), default=""),
        )
    )


def link_pages(out: Path, entries: Sequence[Entry], *, notation: bool = False) -> None:
    """Renew the links to previous and next lab, and to the notation, in every page of `entries`: none leads nowhere."""
    template = _templates().get_template("siblings.html.j2")
    for i, entry in enumerate(entries):
        path = page_path(out, entry.lab)
        old = path.read_text(encoding="utf-8")
        after = entries[i + 1] if i + 1 < len(entries) else None
        links = template.render(before=entries[i - 1] if i else None, after=after, notation=notation).strip()
        new = SIBLINGS.sub(links.replace("\\", r"\\"), old, count=1)
        if new != old:
            write_text(path, new)
