"""The summary of a lab: as JSON values, as text and as HTML."""

from __future__ import annotations

import html as markup
import json
import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labkit import files, ledger

if TYPE_CHECKING:
    from labkit.lab import Lab


def results(lab: Lab, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Collect a lab's results as plain JSON values."""
    import torch

    notebook = files.home() / "notebooks" / f"{lab.name}.ipynb"
    code = ledger.code_hash(notebook) if notebook.exists() else None
    calibration = lab.expected.calibration
    return {
        "lab": lab.name,
        "title": _title(notebook) or lab.name,
        "profile": lab.profile,
        "seed": lab.seed,
        "device": str(lab.device),
        "minutes": _minutes() if "LABKIT_CHILD" in os.environ else None,  # set by `labkit run`: the kernel did nothing else
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "code": code,
        "stale": bool(calibration) and code != calibration.get("code"),
        "calibration": {key: str(value) for key, value in calibration.items()},
        "sources": lab.expected.sources,
        "claims": list(lab.claims.values()),
        "records": records,
        "extended": list(lab.extended.values()),
        "mismatches": _mismatches(lab, records),
    }


def _mismatches(lab: Lab, records: list[dict[str, Any]]) -> list[str]:
    found = []
    for claim in lab.claims.values():
        if claim["expected"] is None:
            found.append(f"claim {claim['id']!r} has no line in expected.toml")
        elif not claim["as_expected"]:
            wanted = ledger.EXPECTATIONS[claim["expected"]]
            found.append(f"claim {claim['id']!r}: {claim['verdict']}, expected {wanted} ({claim['numbers']})")
    found += [f"claim {name!r} was never made" for name in lab.expected.promised if name not in lab.claims]
    for row in records:
        if row["inside"] is False:
            for arm, mean, (low, high) in zip(row["arms"], row["mean"], row["band"], strict=True):
                if not low <= mean <= high:
                    found.append(f"record {row['name']!r} {arm}: {mean:.4g} is outside its band {low:.4g} .. {high:.4g}")
    return found


def _title(notebook: Any) -> str | None:
    if not notebook.exists():
        return None
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for line in "".join(cell["source"]).splitlines():
            if cell["cell_type"] == "markdown" and line.startswith("# "):
                return line[2:].partition(" · ")[2].strip() or line[2:].strip()
    return None


def _minutes() -> float:
    import time

    import psutil

    return round((time.time() - psutil.Process().create_time()) / 60, 2)


def dumps(values: dict[str, Any]) -> str:
    """JSON text of results, NaN and infinity as null."""
    return json.dumps(finite(values), indent=1, ensure_ascii=False) + "\n"


def finite(value: Any) -> Any:
    """The same JSON values with null in place of NaN and infinity, which JSON has no words for."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value


def _rows(values: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """One row an arm: what, measured, band, reported elsewhere."""
    rows = []
    for record in values["records"]:
        reported = "; ".join(f"{r['value']} ({r['source']})" for r in record["reported"])
        for i, arm in enumerate(record["arms"]):
            what = record["label"] + (f", {arm}" if arm else "") + (f" [{record['unit']}]" if record["unit"] else "")
            spread = f" ± {record['sd'][i]:.2g}" if record["n"] > 1 else ""
            band = "{:.4g} … {:.4g}".format(*record["band"][i]) if record["band"] else ""
            rows.append((what, f"{record['mean'][i]:.4g}{spread}", band, reported if i == 0 else ""))
    return rows


def text(values: dict[str, Any]) -> str:
    """Plain-text summary."""
    lines = [f"{what}: {measured}" + (f" · band {band}" if band else "") for what, measured, band, _ in _rows(values)]
    lines += [f"{c['verdict'].upper()}: {c['text']} ({c['numbers']})" for c in values["claims"]]
    return "\n".join(lines + _notes(values))


def html(values: dict[str, Any]) -> str:
    """HTML summary: two tables with captions, no styles of their own beyond alignment."""
    cell = markup.escape
    head = "".join(f"<th scope='col'>{h}</th>" for h in ("Quantity", "Measured here", "Band", "Reported elsewhere"))
    body = "".join("<tr>" + "".join(f"<td>{cell(c)}</td>" for c in row) + "</tr>" for row in _rows(values))
    claims = "".join(
        f"<tr><td><strong>{cell(c['verdict'])}</strong></td><td>{cell(c['text'])}</td><td>{cell(c['numbers'])}</td>"
        f"<td>{'' if c['as_expected'] else 'not as expected'}</td></tr>"
        for c in values["claims"]
    )
    claim_head = "".join(f"<th scope='col'>{h}</th>" for h in ("Verdict", "Claim", "Numbers", "Note"))
    notes = "".join(f"<p>{cell(note)}</p>" for note in _notes(values))
    return (
        f"<table><caption>Measured (mean ± sd over seeds)</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<table><caption>Claims</caption><thead><tr>{claim_head}</tr></thead><tbody>{claims}</tbody></table>{notes}"
    )


def _notes(values: dict[str, Any]) -> list[str]:
    notes = []
    if values.get("sources"):
        notes.append("Reported by " + "; ".join(f"{name}: {words}" for name, words in values["sources"].items()) + ".")
    if values["calibration"]:
        c = values["calibration"]
        notes.append(
            f"Bands: mean ± {ledger.SPREADS} sd of {c.get('runs', '?')} runs, {c.get('command', '')}, {c.get('date', '')}."
        )
    if values["stale"]:
        notes.append(
            "The code cells have changed since the bands were measured: bands may no longer fit (labkit calibrate renews them)."
        )
    if values["mismatches"]:
        notes.append("Not as expected: " + "; ".join(values["mismatches"]) + ".")
    return notes
