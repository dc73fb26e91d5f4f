"""Measure, draw and write the README's table in one go: python tests/benchmarks/publish.py [--drawn-only]."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from plot import alt_text, draw
from record import Record, read
from table import how, markdown, where

ROOT = Path(__file__).resolve().parents[2]
START, END = "<!-- benchmarks: written by tests/benchmarks/publish.py -->", "<!-- end of benchmarks -->"


def section(record: Record) -> str:
    """What stands in the README between the markers: figure, table, and where that was measured."""
    figure = f"![{alt_text(record)}](.github/benchmarks.svg)"
    return f"{START}\n\n{figure}\n\nMeasured on {where(record)}. {how(record)}\n\n{markdown(record)}\n\n{END}"


def replaced(text: str, record: Record) -> str:
    """Put a record's section in place of the old one.

    Raises:
        ValueError: the text has no such section, or two.
    """
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"README.md must hold one section of benchmarks: put the lines {START} and {END} where it belongs")
    return pattern.sub(lambda _: section(record), text)


def main(words: list[str]) -> int:
    """Run the benchmarks (not with `--drawn-only`), then write figure and README; returns the exit code."""
    from labkit.files import write_text

    if words not in ([], ["--drawn-only"]):
        print("usage: python tests/benchmarks/publish.py [--drawn-only]", file=sys.stderr)
        return 2
    stored = ROOT / "runs" / "benchmarks.json"
    if not words:
        stored.unlink(missing_ok=True)  # else an old run could be taken for this one
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/benchmarks", "-m", "benchmark", "-s"], cwd=ROOT
        ).returncode
        if code:
            print("a benchmark failed or fell below its target: nothing is published", file=sys.stderr)
            return code
    try:
        record, readme = read(stored), ROOT / "README.md"
        text = replaced(readme.read_text(encoding="utf-8"), record)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    draw(record, ROOT / ".github" / "benchmarks.svg")
    write_text(readme, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
