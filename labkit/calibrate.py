"""Measure how much a lab's figures move with the seed, and write the bands into expected.toml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit import ledger
from labkit.book.execute import Executed, Job, run_many

MIN_SEEDS = 10


class CalibrationFailed(RuntimeError):
    """A run for the bands failed; expected.toml is as it was."""


def calibrate(
    notebook: Path,
    *,
    profile: str = "tiny",
    seeds: int = MIN_SEEDS,
    jobs: int = 1,
    limits: tuple[float, float] = (600.0, 900.0),
    done: Callable[[int, Executed], None] | None = None,
) -> dict[str, Any]:
    """Run a lab once for each of the seeds 1..`seeds` and write mean and spread of its banded records.

    Seed 0, which everybody runs, takes no part, so it is held against bands that it did not shape. The verdict of every
    claim is counted and written beside the bands. Returns {"records": ..., "verdicts": ...} as written.

    Raises:
        ValueError: fewer than ten seeds: the range of a few runs says little about the next one.
        CalibrationFailed: a run failed, or two runs recorded different things.
    """
    if seeds < MIN_SEEDS:
        raise ValueError(f"{seeds} seeds are too few for a band: use at least {MIN_SEEDS}")
    work = [
        Job(notebook, {"LABKIT_PROFILE": profile, "LABKIT_SEED": str(1 + i), "LABKIT_STRICT": "0"}, *limits)
        for i in range(seeds)
    ]
    runs = run_many(work, jobs, lambda job, executed: done and done(int(job.env["LABKIT_SEED"]), executed))
    for job, run in zip(work, runs, strict=True):
        if run.status != "ok" or run.results is None:
            raise CalibrationFailed(f"seed {job.env['LABKIT_SEED']}: {run.status} {run.where} {run.message or 'no summary'}")
    results = [run.results for run in runs if run.results is not None]
    bands, verdicts = summarise(results)
    header = {
        "command": f"labkit calibrate {notebook.stem} --profile {profile} --seeds {seeds}",
        "code": ledger.code_hash(notebook),
        "date": datetime.now(UTC).date().isoformat(),
        "runs": seeds,
        "verdicts": verdicts,
    }
    ledger.write_bands(notebook.stem, profile, header, bands, path=notebook.with_name("expected.toml"))
    return {"records": bands, "verdicts": verdicts}


def summarise(results: list[dict[str, Any]]) -> tuple[dict[str, dict[str, list[float]]], dict[str, str]]:
    """Bands (record -> mean and sd by arm) and verdicts (claim -> '9 holds, 1 undecided') of several runs.

    Raises:
        CalibrationFailed: the runs differ in records or arms.
    """
    banded = {row["name"]: row["arms"] for row in results[0]["records"] if row["wants_band"]}
    values: dict[str, list[list[float]]] = {name: [] for name in banded}
    for result in results:
        rows = {row["name"]: row for row in result["records"] if row["wants_band"]}
        if {name: row["arms"] for name, row in rows.items()} != banded:
            raise CalibrationFailed("two runs recorded different names or arms: records must not depend on the seed")
        for name, row in rows.items():
            values[name].append(row["mean"])
    counts: dict[str, Counter[str]] = {}
    for result in results:
        for claim in result["claims"]:
            counts.setdefault(claim["id"], Counter())[claim["verdict"]] += 1
    verdicts = {claim: ", ".join(f"{n} {word}" for word, n in count.most_common()) for claim, count in counts.items()}
    return {name: ledger.spread(runs) for name, runs in values.items()}, verdicts
