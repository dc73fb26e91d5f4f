"""The shell of grading's HTML pages: nothing runs, nothing is loaded, and whatever a student wrote is shown as text."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import Any

from labkit.grading.source import Source
from labkit.grading.standing import figure
from labkit.handout.student import is_answer, name_of, text

MOST = 20_000  # characters of one text; a page with more of them is of no use to anyone
#: what would act on the text around it, or not be seen: controls, overrides and isolates of direction, lone surrogates
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]")
#: status of an exercise -> (class, sign, words, what it means)
STATUSES = {
    "right": ("good", "✓", "right", ""),
    "partly": ("contrary", "◐", "partly right", ""),
    "wrong": ("contrary", "✗", "not right", ""),
    "blank": ("blank", "–", "not written", ""),
    "timeout": ("bad", "!", "ran too long", "Your code was still running when its time was up, and was stopped."),
    "out of memory": (
        "bad",
        "!",
        "out of memory",
        "Your code asked for more memory than an exercise may use, and was stopped.",
    ),
    "dead": ("bad", "!", "stopped early", "The process in which your code ran ended before it had answered."),
    "bad artefact": ("bad", "!", "unusable result", "What your code returned could not be read as arrays of numbers."),
    "infrastructure": (
        "neutral",
        "…",
        "not scored yet",
        "The grading itself failed here. That is not your fault and costs no points; it will be settled.",
    ),
    "settled": ("neutral", "✎", "settled by hand", ""),
    "unknown": ("neutral", "…", "not scored yet", ""),
}
#: status of the execution of the whole notebook -> (class, sign, words)
RERUNS = {
    "ok": ("good", "✓", "ran to its end"),
    "error": ("contrary", "✗", "stopped with an error"),
    "timeout": ("bad", "!", "ran too long"),
    "out of memory": ("bad", "!", "ran out of memory"),
    "dead": ("bad", "!", "ended before its time"),
    "infrastructure": ("neutral", "…", "could not be run here, which is not your fault"),
    "not run": ("neutral", "–", "was not run"),
}


def page(template: str, **values: Any) -> str:
    """Fill in one of the templates: every value is escaped, and shown as `shown` does."""
    return str(_templates().get_template(template).render(**values))


@lru_cache(maxsize=1)
def _templates() -> Any:
    from jinja2 import ChoiceLoader, Environment, PackageLoader
    from markupsafe import Markup

    from labkit.book.theme import stylesheet

    def finalize(value: Any) -> Any:
        return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else "" if value is None else value

    book, own = PackageLoader("labkit.book"), PackageLoader("labkit.grading")
    env = Environment(
        loader=ChoiceLoader([own, book]), autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=finalize
    )
    css = "\n".join([stylesheet(), book.get_source(env, "style.css")[0], own.get_source(env, "grading.css")[0]])
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    env.globals.update(css=Markup(css), policy=policy, statuses=STATUSES, reruns=RERUNS)
    env.filters.update(figure=figure, percent=lambda share: f"{100 * share:.0f} %")
    return env


def shown(words: str) -> str:
    """A text in which nothing acts: characters that would are named, as ⟦U+202E⟧, and an endless one is cut."""
    kept = words[:MOST].replace("\r\n", "\n")
    kept = ACTING.sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", kept)
    return kept if len(words) <= MOST else f"{kept} … ({len(words) - MOST} more characters)"


def title_of(source: Source) -> str:
    """The notebook's first heading, or else its name."""
    for cell in source.notebook["cells"]:
        if cell["cell_type"] == "markdown" and (found := re.search(r"^# +(.+)$", text(cell), re.MULTILINE)):
            return found[1].replace("`", "").strip()
    return source.lab


def where(source: Source, cell_id: str) -> str:
    """A cell as a reader finds it: 'code cell 12 of 40 (reverse), in "The reversal layer"'; '' for no cell."""
    total = sum(cell["cell_type"] == "code" for cell in source.notebook["cells"])
    number, heading = 0, ""
    for cell in source.notebook["cells"]:
        number += cell["cell_type"] == "code"
        if cell["cell_type"] == "markdown" and not is_answer(cell):
            headings = re.findall(r"^#+ +(.+)$", text(cell), re.MULTILINE)
            heading = headings[-1].replace("`", "").strip() if headings else heading
        if cell_id and cell_id in (cell.get("id"), name_of(cell)) and cell["cell_type"] == "code":
            return f"code cell {number} of {total} ({name_of(cell)})" + (f", in “{heading}”" if heading else "")
    return f"cell {cell_id}" if cell_id else ""
