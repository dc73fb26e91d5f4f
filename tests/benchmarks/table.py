"""The table of a record, for a terminal and for the README."""

from __future__ import annotations

from record import Measured, Record
from rows import Row

BUSY = 1.0  # processes that wait for a core on average, from which on a run is not by itself
HEAD = ("what", "against", "best", "median", "least to most", "target", "met", "note")


def number(value: float, unit: str) -> str:
    """A measured number with its unit, to two or three digits."""
    digits = 0 if value >= 20 or not unit else 1 if value >= 2 else 2
    return f"{value:.{digits}f}{unit if unit == 'x' else f' {unit}'}".strip()


def promise(row: Row) -> str:
    """The target in words."""
    if row.target is None:
        return "none"
    return f"{'>=' if row.at_least else '<='} {row.target:g}{row.unit if row.unit == 'x' else f' {row.unit}'}".strip()


def line(found: Measured) -> tuple[str, ...]:
    """The cells of one row; of one that is not measured the last says why."""
    row, unit = found.row, found.row.unit
    if not found.each:
        return (row.what, row.plain, "not measured", "", "", promise(row), "-", found.why)
    n = len(found.each)
    spread = f"{number(min(found.each), unit)} to {number(max(found.each), unit)}, n = {n}" if n > 1 else "once"
    met = {True: "yes", False: "NO", None: "-"}[found.met]
    return (row.what, row.plain, number(found.best, unit), number(found.median, unit), spread, promise(row), met, found.note)


def where(record: Record) -> str:
    """On what machine, when, and how busy it was."""
    m = record.machine
    return (
        f"{m['cores']} CPU cores ({m['system']}, Python {m['python']}, PyTorch {m['torch']}, one thread) on {m['date']}, "
        f"with a load of {m['load']} before the start"
    )


def how(record: Record) -> str:
    """How the table is to be read."""
    read = "A target is met if the better of both, best and median, reaches it; the spread is that of n single repeats."
    busy = " Other work kept this machine busy: seconds are too long, and ratios spread widely."
    return read + (busy if record.machine["load"] >= BUSY else "")


def terminal(record: Record) -> str:
    """All rows in columns."""
    lines = [HEAD, *(line(found) for found in record.measured.values())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in lines)
    return "\n".join((f"Measured on {where(record)}.", "", *text, "", how(record)))


def markdown(record: Record) -> str:
    """All rows as a table of Markdown."""
    cells = [HEAD, ("---",) * len(HEAD), *(line(found) for found in record.measured.values())]
    return "\n".join(f"| {' | '.join(each)} |".replace(">=", "≥").replace("<=", "≤") for each in cells)
