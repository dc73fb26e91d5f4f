"""The lab object that every notebook opens first: profile, settings, records, claims, figures, summary."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labkit import files, ledger, machine
from labkit.arms import Arms
from labkit.sets import Images
from labkit.train import Run

PROFILES = ledger.PROFILES
MAX_SETTINGS = 6
SEEDS_EACH = 1000
MAX_SEED = 10**12  # a thousand seeds for each of these still fit where NumPy and torch want them
RESULTS_MIME = "application/vnd.labkit.results+json"


class Surprise(AssertionError):
    """Under LABKIT_STRICT=1: something measured is not what expected.toml says."""


def open_lab(name: str, *, profile: str | None = None, seed: int | None = None, device: str | None = None) -> Lab:
    """Open a lab by its notebook's name and print one line on how it will run.

    Profile, seed and device come from the arguments, else LABKIT_PROFILE, LABKIT_SEED and LABKIT_DEVICE, else tiny, 0
    and the best device there is.

    Raises:
        ValueError: unknown lab, profile or device, or a seed that is no whole number in 0..10**12.
    """
    profile = profile or os.environ.get("LABKIT_PROFILE") or "tiny"
    if profile not in PROFILES:
        raise ValueError(
            f"profile {profile!r} is unknown: use 'tiny', 'laptop' or 'full' "
            "(set LABKIT_PROFILE, or open_lab(..., profile='tiny'))"
        )
    word = str(seed) if seed is not None else os.environ.get("LABKIT_SEED") or "0"
    if not word.isdecimal() or len(word) > len(str(MAX_SEED)) or int(word) > MAX_SEED:
        raise ValueError(f"{'LABKIT_SEED' if seed is None else 'seed'} is {word!r}: it must be a whole number in 0..10**12")
    lab = Lab(name, profile, int(word), machine.pick_device(device))
    if name not in (known := _known_labs(lab.expected.path)):
        raise ValueError(f"there is no lab {name!r}: use one of {', '.join(known) or '(none yet)'}")
    machine.settle(lab.device, small=profile == "tiny")
    torch.manual_seed(lab.seed)  # for code of yours that draws without a generator
    minutes = lab.expected.minutes
    took = f"about {minutes:g} min" if minutes else "minutes not measured yet"
    print(f"{name} · profile {profile} · {lab.device}, {torch.get_num_threads()} thread(s) · seed {lab.seed} · {took}")
    return lab


class Lab:
    """One lab under one profile. Notebooks get it from `open_lab`."""

    def __init__(self, name: str, profile: str, seed: int, device: torch.device) -> None:
        self.name, self.profile, self.seed, self.device = name, profile, seed, device
        self.expected = ledger.Expected(name, profile)
        self.records: dict[str, dict[str, Any]] = {}
        self.claims: dict[str, dict[str, Any]] = {}
        self.extended: dict[str, dict[str, Any]] = {}  # by name: what `calibrated` measured, for `labkit calibrate`
        self.distrust: str | None = None  # a reason why nothing here counts as measured (random weights, say)

    def settings(self, **rows: Any) -> Any:
        """Choose this profile's column of a table: a tuple is (tiny, laptop, full), anything else is the same everywhere.

        Returns a frozen object with one attribute a row.

        Raises:
            ValueError: more than six rows, or a tuple that is not of three.
        """
        if len(rows) > MAX_SETTINGS:
            raise ValueError(f"{len(rows)} settings at once: keep to {MAX_SETTINGS}, beside the experiment they rule")
        for name, row in rows.items():
            if isinstance(row, tuple) and len(row) != len(PROFILES):
                raise ValueError(
                    f"setting {name!r} has {len(row)} values: give (tiny, laptop, full), or a list if it is one value"
                )
        column = PROFILES.index(self.profile)
        chosen = {name: row[column] if isinstance(row, tuple) else row for name, row in rows.items()}

        def unknown(settings: Any, name: str) -> Any:
            raise AttributeError(f"setting {name!r} is unknown: there are {', '.join(chosen)}")

        return make_dataclass("Settings", list(chosen), frozen=True, namespace={"__getattr__": unknown})(**chosen)

    def seeds(self, n: int) -> list[int]:
        """`n` seeds, at most 1000, that belong to this lab's seed and to no other's.

        Raises:
            ValueError: n is not in 1..1000.
        """
        if not 1 <= n <= SEEDS_EACH:
            raise ValueError(f"{n} seeds: ask for 1..{SEEDS_EACH}, as the next ones belong to another LABKIT_SEED")
        return [SEEDS_EACH * self.seed + i for i in range(n)]

    def run(self, images: Images, *, epochs: int, batch_size: int, label: str, arms: Arms | None = None, **options: Any) -> Run:
        """Start a `train.Run` on this lab's device. Outside tiny it can be resumed if `keep=` names what to keep."""
        if self.profile != "tiny":
            slug = "".join(c if c.isalnum() else "-" for c in label)
            options.setdefault("checkpoint", self._folder() / "checkpoints" / f"{self.name}-{slug}-{self.seed}.pt")
        if arms is None:
            options.setdefault("seeds", self.seeds(1))
        options.setdefault("device", self.device)
        return Run(images, epochs=epochs, batch_size=batch_size, label=label, arms=arms, **options)

    def record(
        self,
        name: str,
        value: Any,
        *,
        arms: Sequence[str] | None = None,
        label: str | None = None,
        unit: str = "",
        band: bool = False,
    ) -> None:
        """Keep a measured value under a name: a scalar, (seeds,), or (arms, seeds) with the names of the arms.

        `band=True` marks a number that the prose quotes: `labkit calibrate` measures its spread, and `summary` holds the
        value against it.

        Raises:
            ValueError: the shape does not fit the arms.
        """
        x = torch.as_tensor(value).detach().cpu().double().numpy()
        if (arms is None) != (x.ndim < 2) or x.ndim > 2 or (arms is not None and len(arms) != len(x)):
            raise ValueError(
                f"record {name!r} has shape {x.shape} with {len(arms) if arms is not None else 'no'} arms: "
                "give a scalar, (seeds,), or (arms, seeds) with arms=[...]"
            )
        rows = x if x.ndim == 2 else np.atleast_1d(x)[None]
        self.records[name] = {
            "name": name,
            "label": label or name.replace("_", " "),
            "unit": unit,
            "arms": list(arms) if arms is not None else [""],
            "values": rows.tolist(),
            "mean": rows.mean(1).tolist(),
            "sd": (rows.std(1, ddof=1) if rows.shape[1] > 1 else np.zeros(len(rows))).tolist(),
            "n": rows.shape[1],
            "wants_band": band,
        }

    def claim(
        self,
        name: str,
        text: str,
        value: Any,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        deterministic: bool = False,
    ) -> None:
        """Judge a claim by a quantity measured once a seed, such as the paired difference of two arms, and print it.

        The verdict is 'holds', 'does not hold', 'undecided' or 'not measured' (see `ledger.judge`); `claims` keeps it.
        """
        x = torch.as_tensor(value).detach().cpu().double().numpy()
        verdict = ledger.judge(x, at_least=at_least, at_most=at_most, deterministic=deterministic)
        if self.distrust:
            verdict = ledger.Verdict(ledger.NOT_MEASURED, f"{self.distrust}; {verdict.numbers}")
        word = self.expected.claims.get(name)
        wanted = ledger.EXPECTATIONS.get(word or "open")
        self.claims[name] = {
            "id": name,
            "text": text,
            "verdict": verdict.word,
            "numbers": verdict.numbers,
            "expected": word,
            "as_expected": wanted is None or verdict.word == wanted or self.distrust is not None,
        }
        print(f"{verdict.word.upper()}: {text}\n    {verdict.numbers}")

    def calibrated(
        self, name: str, measure: Callable[[int], Sequence[float]], *, arms: Sequence[str], seeds: int
    ) -> tuple[dict[str, np.ndarray], str]:
        """Values that tiny's minute can't hold, arm -> (seeds,), and where they come from, to be said in the figure.

        `measure(position)` gives one value for each of `arms`, for one of the lab's seeds. Outside tiny it is called here,
        for `seeds` of them. Under tiny only `labkit calibrate` calls it, once a run, and keeps the values beside the bands;
        every other run takes those. Where there are none for these arms, the dict is empty, and a line says so.

        Raises:
            ValueError: `seeds` is below 1, or `measure` does not give one number an arm.
        """
        if seeds < 1:
            raise ValueError(f"{seeds} seeds for {name!r}: ask for at least 1")
        if self.profile != "tiny" or _calibrating():
            n = 1 if self.profile == "tiny" else seeds
            rows = [np.atleast_1d(np.asarray(measure(position), dtype=float)) for position in range(n)]
            if wrong := [row.shape for row in rows if row.shape != (len(arms),)]:
                raise ValueError(
                    f"what measures {name!r} gave shape {wrong[0]}: return one number for each of {len(arms)} arms"
                )
            values = dict(zip(arms, np.stack(rows).T, strict=True))
            if self.profile == "tiny":
                self.extended[name] = {"name": name, "values": {arm: row.tolist() for arm, row in values.items()}}
            return values, f"{n} seed{'s' * (n > 1)}"
        values = self.expected.extended(name)
        if set(values) != set(arms):  # the file keeps them in an order of its own
            why = "calibrated with other settings" if values else "never calibrated"
            print(f"{name}: {why}; `labkit calibrate {self.name}` measures it")
            return {}, "not calibrated"
        values = {arm: values[arm] for arm in arms}
        return values, f"calibrated, {len(values[arms[0]])} seeds"

    def show(self, figure: Any, *, alt: str, dpi: int = 80) -> None:
        """Display a matplotlib figure, which is closed, or a GIF (bytes of `plots.animation`), with alternative text.

        Raises:
            ValueError: the alternative text is missing.
        """
        from labkit.plots import display_animation, display_figure

        if len(alt.split()) < 4:
            raise ValueError("alt: say in a sentence what the figure shows, for a reader who can't see it")
        if isinstance(figure, bytes):
            display_animation(figure, alt=alt)
        else:
            display_figure(figure, alt=alt, dpi=dpi)

    def summary(self) -> None:
        """Show measured against band against reported, and the claims with their verdicts; write runs/<profile>/<lab>.json.

        Raises:
            Surprise: under LABKIT_STRICT=1, once, naming every verdict, band or missing claim that is not as expected.
        """
        from IPython.display import display

        from labkit import report

        results = self.results()
        display(
            {RESULTS_MIME: report.finite(results), "text/html": report.html(results), "text/plain": report.text(results)},
            raw=True,
        )
        suffix = f"-seed{self.seed}" if self.seed else ""
        try:
            files.write_text(self._folder() / f"{self.name}{suffix}.json", report.dumps(results))
        except OSError as error:
            print(f"the results were not kept on disk: {error}", file=sys.stderr)
        if results["mismatches"] and _strict():
            raise Surprise(f"{len(results['mismatches'])} not as expected:\n- " + "\n- ".join(results["mismatches"]))

    def results(self) -> dict[str, Any]:
        """Everything recorded and claimed so far, as plain JSON values."""
        from labkit import report

        records = [self._with_band(row) for row in self.records.values()]
        return report.results(self, records)

    def _with_band(self, row: Mapping[str, Any]) -> dict[str, Any]:
        band = self.expected.band(row["name"]) if row["wants_band"] else None
        if band is not None and len(band) != len(row["mean"]):
            band = None  # the arms have changed since: the stale code hash says so
        inside = None if band is None else all(lo <= m <= hi for m, (lo, hi) in zip(row["mean"], band, strict=True))
        return {**row, "band": band, "inside": inside, "reported": self.expected.reported(row["name"])}

    def _folder(self) -> Path:
        return files.home() / "runs" / self.profile


def _known_labs(path: Path) -> list[str]:
    """Names of the labs: the tables of expected.toml, at `path`, and the notebooks beside it."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return sorted({*tables, *(notebook.stem for notebook in path.parent.glob("*.ipynb"))})


def _calibrating() -> bool:
    return os.environ.get("LABKIT_CALIBRATE", "0") not in ("", "0")


def _strict() -> bool:
    return os.environ.get("LABKIT_STRICT", "0") not in ("", "0")
