"""Run labs and write the workbook as they end."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit.book import article, labs, outputs, pace, pages, state
from labkit.book.execute import Executed, Job, run_many
from labkit.files import home, write_text

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


def build(
    notebooks: Sequence[Path],
    *,
    profile: str,
    out: Path,
    jobs: int,
    resume: bool = False,
    cell_timeout: float | None = None,
    lab_timeout: float | None = None,
) -> list[state.Entry]:
    """Execute `notebooks`, write their pages and the index into `out`, and return an entry for each, in order.

    With `resume`, a lab that succeeded and of which nothing has changed since is not run again. Limits are seconds; None
    takes the profile's. The longest labs begin first. Progress goes to stderr, with the time left as `pace` reckons it.

    Raises:
        ValueError: unknown profile, or jobs < 1.
        OSError: `out` can't be written.
        KeyboardInterrupt: interrupted; children are gone, and the files in `out` are whole.
    """
    from tqdm import tqdm

    cell_limit, lab_limit = labs.limits(profile)
    _probe(out)
    env = {"LABKIT_PROFILE": profile, "LABKIT_STRICT": "1"}
    ground = labs.ground_hash()
    keys = {path.stem: labs.lab_key(path, profile, ground) for path in notebooks}
    entries: dict[str, state.Entry] = {}
    for path in notebooks if resume else ():
        old = state.load(out, path.stem)
        if old and old.status == "ok" and old.key == keys[path.stem]:
            entries[path.stem] = old
    expected = pace.estimates(notebooks, profile=profile, out=out)
    todo = sorted((path for path in notebooks if path.stem not in entries), key=lambda path: -expected[path.stem])
    finished: dict[str, float] = {}
    drawn: list[int] = []
    queue = [Job(path, env, cell_timeout or cell_limit, lab_timeout or lab_limit) for path in todo]

    with (
        _ends_like_interrupt(),
        tqdm(total=len(notebooks), initial=len(entries), desc=f"{profile} labs", bar_format=BAR, file=sys.stderr) as bar,
    ):

        def done(job: Job, executed: Executed) -> None:
            entry = bind(out, job.path, executed, profile=profile, key=keys[job.path.stem])
            entries[entry.lab] = entry
            write_index(out, profile, ground)
            if entry.status == "ok":  # a lab that stopped early says nothing of the others' time
                finished[entry.lab] = executed.seconds
            bar.set_postfix_str(_failed(entries), refresh=False)
            bar.n += 1  # drawn by the tick that follows, or by the end

        def tick(running: Mapping[Path, float], waiting: Sequence[Path]) -> None:
            left = pace.remaining(
                expected,
                finished=finished,
                running={path.stem: seconds for path, seconds in running.items()},
                waiting=[path.stem for path in waiting],
                workers=jobs,
            )
            words = [f"about {pages.minutes(left)} left", _failed(entries)]
            new = not drawn or drawn[-1] != bar.n
            drawn.append(bar.n)
            bar.set_postfix_str(", ".join(filter(None, words)), refresh=new or sys.stderr.isatty())  # a log gets a line a lab

        begun = time.monotonic()
        try:
            run_many(queue, jobs, done, tick)
            state.note_run(out, [path.stem for path in todo], jobs, time.monotonic() - begun)
        finally:  # also of an interrupted run: a page may have come after the last index
            if out.is_dir():
                write_index(out, profile, ground)
    return [entries[path.stem] for path in notebooks]


def _failed(entries: Mapping[str, state.Entry]) -> str:
    failed = sum(entry.status != "ok" for entry in entries.values())
    return f"{failed} failed" if failed else ""


def _probe(out: Path) -> None:
    """Write and remove a file where the workbook goes, since hours may pass before its first page is written."""
    try:
        (out / ".state").mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out / ".state") as file:
            file.write(b"a workbook goes here")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"nothing can be written in {out} ({reason}): choose another folder with --out") from error


def bind(out: Path, path: Path, executed: Executed, *, profile: str, key: str) -> state.Entry:
    """Write what one lab left: its page, its results as JSON, and last the entry that vouches for both."""
    from labkit.report import dumps

    lab = path.stem
    entry = state.Entry(
        lab=lab,
        title=lab,
        plain_title=lab,
        profile=profile,
        key=key,
        status=executed.status,
        message=executed.message,
        where=executed.where,
        seconds=round(executed.seconds, 1),
        date=datetime.now().astimezone().isoformat(timespec="minutes"),
        thumb=outputs.thumbnail(executed.notebook),
        results=_finite(executed.results),
    )
    body = article.render(executed.notebook, folder=path.parent, failed=executed.failed, message=executed.message)
    entry.title, entry.plain_title = body.title, body.plain_title
    state.forget(out, lab)
    write_text(state.page_path(out, lab), pages.lab_page(entry, body))
    if executed.results:
        write_text(out / f"{lab}.json", dumps(executed.results))
    else:
        (out / f"{lab}.json").unlink(missing_ok=True)
    state.save(out, entry)
    return entry


def write_index(out: Path, profile: str, ground: str) -> None:
    """Write the index of every page in `out` and renew the links between them."""
    entries, missing = [], []
    for path in labs.all_labs():
        entry = state.load(out, path.stem)
        if entry is None:
            missing.append(path.stem)
        else:
            entry.stale = entry.key != labs.lab_key(path, profile, ground)
            entries.append(entry)
    notation = _write_notation(out)
    pages.link_pages(out, entries, notation=notation)
    write_text(out / "index.html", pages.index_page(entries, missing, profile, notation=notation))


def _write_notation(out: Path) -> bool:
    """Write the page of notebooks/NOTATION.md, and say whether there is one."""
    from nbformat.v4 import new_markdown_cell, new_notebook

    source, page = home() / "notebooks" / "NOTATION.md", out / article.NOTATION
    if not source.is_file():
        page.unlink(missing_ok=True)
        return False
    cell = new_markdown_cell(source.read_text(encoding="utf-8"))
    write_text(page, pages.notation_page(article.render(new_notebook(cells=[cell]), folder=source.parent)))
    return True


def _finite(results: dict[str, Any] | None) -> dict[str, Any] | None:
    """Results as they come back from JSON, where NaN and infinity are null."""
    import json

    from labkit.report import dumps

    return json.loads(dumps(results)) if results else None


@contextmanager
def _ends_like_interrupt() -> Iterator[None]:
    """Treat a terminal that closes and a polite kill like Ctrl-C, so that kernels end then too."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    # ignored, as under nohup, stays ignored; None is a handler that Python did not set and could not put back
    ours = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    old = {number: signal.signal(number, stop) for number in ours}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
