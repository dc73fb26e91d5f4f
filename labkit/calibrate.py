"""Measure how much a lab's figures move with the seed, and write the bands into expected.toml."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit import files, ledger
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
        CalibrationFailed: a run failed, or two runs recorded different things. The first failure ends the others.
        OSError: expected.toml can't be written; nothing was run.
    """
    if seeds < MIN_SEEDS:
        raise ValueError(f"{seeds} seeds are too few for a band: use at least {MIN_SEEDS}")
    expected = notebook.with_name("expected.toml")
    with files.atomic_write(expected) as spare:  # better to learn now that it can't be written
        spare.write_bytes(expected.read_bytes())
    same = {"LABKIT_PROFILE": profile, "LABKIT_STRICT": "0", "LABKIT_CALIBRATE": "1"}
    work = [Job(notebook, {**same, "LABKIT_SEED": str(1 + i)}, *limits) for i in range(seeds)]

    def finished(job: Job, run: Executed) -> None:
        if done:
            done(int(job.env["LABKIT_SEED"]), run)
        if run.status != "ok" or run.results is None:  # the other runs are of no use without this one
            raise CalibrationFailed(f"seed {job.env['LABKIT_SEED']}: {run.status} {run.where} {run.message or 'no summary'}")

    runs = run_many(work, jobs, finished)
    results = [run.results for run in runs if run.results is not None]
    bands, verdicts = summarise(results)
    header = {
        "command": f"labkit calibrate {notebook.stem} --profile {profile} --seeds {seeds}",
        "code": ledger.code_hash(notebook),
        "date": datetime.now(UTC).date().isoformat(),
        "runs": seeds,
        "verdicts": verdicts,
    }
    ledger.write_bands(notebook.stem, profile, header, bands, path=expected, extended=gathered(results))
    return {"records": bands, "verdicts": verdicts}


def gathered(results: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """What `Lab.calibrated` measured in each of the runs, side by side: name -> arm -> values (runs,).

    Raises:
        CalibrationFailed: the runs differ in names or arms, or a value is not finite.
    """
    each = [{row["name"]: row["values"] for row in result.get("extended", [])} for result in results]
    found: dict[str, dict[str, list[float]]] = {}
    for name in sorted({name for values in each for name in values}):
        if any(list(values.get(name, {})) != list(each[0].get(name, {})) for values in each):
            raise CalibrationFailed(f"not every run measured the same arms of {name!r}: they must not depend on the seed")
        found[name] = {arm: [v for values in each for v in values[name][arm]] for arm in each[0][name]}
        if not all(v is not None and math.isfinite(v) for row in found[name].values() for v in row):
            raise CalibrationFailed(f"{name!r} is not finite in some run, so it can't be kept")
    return found


def summarise(results: list[dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Bands (record -> mean, sd by arm, least width of counts) and verdicts (claim -> '9 holds, 1 undecided') of runs.

    Raises:
        CalibrationFailed: the runs differ in records or arms, or a record is not finite.
    """
    banded = {row["name"]: row["arms"] for row in results[0]["records"] if row["wants_band"]}
    values: dict[str, list[list[float]]] = {name: [] for name in banded}
    counts = set(banded)  # records that hold whole numbers only: one of them more or less is no surprise
    for result in results:
        rows = {row["name"]: row for row in result["records"] if row["wants_band"]}
        if {name: row["arms"] for name, row in rows.items()} != banded:
            raise CalibrationFailed("two runs recorded different names or arms: records must not depend on the seed")
        for name, row in rows.items():
            if any(mean is None or not math.isfinite(mean) for mean in row["mean"]):
                raise CalibrationFailed(f"seed {result['seed']}: the record {name!r} is not finite, so it can have no band")
            values[name].append(row["mean"])
            if any(value != round(value) for arm in row["values"] for value in arm):
                counts.discard(name)
    tally: dict[str, Counter[str]] = {}
    for result in results:
        for claim in result["claims"]:
            tally.setdefault(claim["id"], Counter())[claim["verdict"]] += 1
    verdicts = {claim: ", ".join(f"{n} {word}" for word, n in count.most_common()) for claim, count in tally.items()}
    bands: dict[str, dict[str, Any]] = {name: dict(ledger.spread(runs)) for name, runs in values.items()}
    for name in counts:
        bands[name]["step"] = 1.0
    return bands, verdicts
