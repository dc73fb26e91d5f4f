"""Draw the ratios of a record as bars: python tests/benchmarks/plot.py runs/benchmarks.json .github/benchmarks.svg."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from record import Measured, Record, read
from table import number, where

from labkit.files import atomic_write


def ratios(record: Record) -> list[Measured]:
    """The rows that are ratios of two times, measured or not."""
    return [found for found in record.measured.values() if found.row.unit == "x"]


def draw(record: Record, path: Path) -> None:
    """Write the ratios as SVG: bars of the medians, whiskers from the least to the greatest repeat, marks at the targets.

    The background is white, so that it can be read on a dark page, too; the same record gives the same bytes.
    """
    import matplotlib
    from matplotlib.lines import Line2D

    from labkit.plots import COLOURS, figure

    found = ratios(record)
    fig, ax = figure(width=9.0, height=0.55 * len(found) + 1.4)
    for y, each in enumerate(found):
        if not each.each:
            ax.text(1.05, y, f"not measured: {each.why}", va="center", fontsize=9, style="italic")
            continue
        ax.barh(y, each.median - 1, left=1, height=0.6, color=COLOURS[5])  # a log axis has no 0: bars begin at 'no faster'
        low, high = min(each.each), max(each.each)
        ax.hlines(y, low, high, color="black", linewidth=1.5)
        ax.plot([low, high], [y, y], "|", color="black", markersize=8)
        if each.row.target:
            ax.plot([each.row.target] * 2, [y - 0.38, y + 0.38], color=COLOURS[3], linewidth=3)
        ax.annotate(number(each.median, "x"), (max(high, each.median), y), (6, 0), textcoords="offset points", va="center")
    ax.set_xscale("log")
    every = [value for each in found for value in (*each.each, each.row.target or 1.0)]
    ax.set_xlim(0.97 * min(1.0, *every), 1.7 * max(every))  # room for the number behind the longest bar
    ax.set_yticks(range(len(found)), [label(each) for each in found])
    ax.invert_yaxis()
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= ax.get_xlim()[1]]
    ax.set_xticks(ticks, [f"{tick}x" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("how many times faster than the plain way (log scale)")
    fig.suptitle(f"What labkit saves against the plain way, measured on\n{where(record)}", fontsize=9)
    marks = [
        Line2D([], [], color=COLOURS[5], linewidth=8, label="ratio of medians"),
        Line2D([], [], color="black", marker="|", markersize=8, label="least to greatest repeat"),
        Line2D([], [], color=COLOURS[3], linewidth=3, label="target: at least"),
    ]
    fig.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    with atomic_write(path) as file, matplotlib.rc_context({"svg.hashsalt": "labkit"}):
        fig.savefig(file, format="svg", facecolor="white", metadata={"Date": None})
        text = Path(file).read_text(encoding="utf-8")
        Path(file).write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8", newline="\n")


def label(found: Measured) -> str:
    """What stands beside a bar, in short lines."""
    return textwrap.fill(f"{found.row.what} (against: {found.row.plain})".replace("`", ""), 46)


def alt_text(record: Record) -> str:
    """What the figure shows, in a sentence."""
    parts = []
    for each in ratios(record):
        what = each.row.what.replace("`", "")
        if not each.each:
            parts.append(f"{what} not measured")
        else:
            due = f" (target {each.row.target:g})" if each.row.target else ""
            parts.append(f"{what} {number(each.median, 'x')}{due}")
    return "Bars of how many times faster than the plain way: " + "; ".join(parts)


def main(words: list[str]) -> int:
    """Draw a record; returns the exit code."""
    if len(words) != 2:
        print("usage: python tests/benchmarks/plot.py runs/benchmarks.json .github/benchmarks.svg", file=sys.stderr)
        return 2
    try:
        draw(read(Path(words[0])), Path(words[1]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
