"""Collects what the benchmarks measure; after the last one the table is printed and runs/benchmarks.json written."""

from __future__ import annotations

import pytest
from record import NOT_RUN, Record, this_machine

RECORD = pytest.StashKey[Record]()


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest) -> Record:
    """The record of this run."""
    if RECORD not in request.config.stash:
        request.config.stash[RECORD] = Record(machine=this_machine())
    return request.config.stash[RECORD]


def pytest_terminal_summary(terminalreporter, config):
    record = config.stash.get(RECORD, None)
    if record is None:
        return
    from table import terminal

    from labkit.files import home

    path = home() / "runs" / "benchmarks.json"
    record.save(path)
    terminalreporter.section("benchmarks")
    terminalreporter.write_line(terminal(record))
    part = "" if record.whole else f", which is of a part of the benchmarks ({NOT_RUN})"
    terminalreporter.write_line(f"written: runs/{path.name}{part}")
