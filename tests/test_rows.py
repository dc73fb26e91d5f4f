"""The README's table of what the reports say: its places, claims and verdicts must be those of the labs."""

import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from notebook_source import LABS, NOTEBOOKS, cells

README = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
EXPECTED = tomllib.loads((NOTEBOOKS / "expected.toml").read_text(encoding="utf-8"))
MARKS = {"holds": "✓", "fails": "✗", "open": "?"}
ORDER = ("holds", "does not hold", "open")
TESTED_BY = re.compile(
    r"(?P<against>against )?`(?P<claim>[^`]+)` (?P<mark>[✓✗?])|(?P<kind>question|exercise) (?P<number>\d+)|figure|text"
)


class Row(NamedTuple):
    lab: str
    reported: str
    section: int
    tested_by: list[re.Match[str]]
    said: str
    details: str

    def claims(self) -> list[re.Match[str]]:
        return [match for match in self.tested_by if match["claim"]]


def tables() -> dict[str, tuple[int, list[str]]]:
    """Of each lab: how many rows its summary promises, and the rows."""
    part = README.split("\n## What the reports say, and what holds\n")[1].split("\n## ")[0]
    found = re.findall(r"<details><summary>Lab (\d\d): (\d+) rows</summary>\n\n(.+?)\n</details>", part, flags=re.S)
    assert len(found) == part.count("<details>") == len({lab for lab, _, _ in found})
    by_number = {lab[:2]: lab for lab in LABS}
    return {by_number[lab]: (int(n), re.findall(r"^\| (?!reported \|).*$", text, flags=re.M)) for lab, n, text in found}


def rows() -> Iterator[Row]:
    for lab, (_, lines) in tables().items():
        for line in lines:
            reported, where, tested, holds = (cell.strip() for cell in line.strip("|").split(" | "))
            place = re.fullmatch(rf"`{lab[:2]} §(\d+)`", where)
            assert place, f"{lab}, {reported}: {where} is no place of the lab"
            parts = [TESTED_BY.fullmatch(each) for each in tested.split(", ")]
            assert all(parts), f"{lab}, {reported}: can't read '{tested}'"
            verdict = re.fullmatch(r"\*\*(.+?)\*\*: (.+)", holds)
            assert verdict, f"{lab}, {reported}: '{holds}' does not begin with a verdict"
            yield Row(lab, reported, int(place[1]), [part for part in parts if part], verdict[1], verdict[2])


ROWS = list(rows())


def sections(lab: str) -> dict[int, str]:
    """The source of each numbered section, from its heading to the next one."""
    found: dict[int, str] = {}
    now = None
    for cell in cells(lab):
        heading = re.match(r"## (?:(\d+) ·|)", cell["source"]) if cell["cell_type"] == "markdown" else None
        if heading:
            now = int(heading[1]) if heading[1] else None
        if now is not None:
            found[now] = found.get(now, "") + cell["source"] + "\n"
    return found


def what_follows(row: Row) -> str:
    """The verdict on the reported statement: what its claims say, turned round for those against it."""
    said = set()
    for match in row.claims():
        verdict = EXPECTED[row.lab]["claims"][match["claim"]]["tiny"]
        for_it = (verdict == "holds") == (not match["against"])
        said.add("open" if verdict == "open" else "holds" if for_it else "does not hold")
    if {"holds", "does not hold"} <= said:
        return "mixed"
    if said:
        return " or ".join(word for word in ORDER if word in said)
    return "answered" if any(match["kind"] for match in row.tested_by) else "shown"


@pytest.mark.parametrize("lab", LABS)
def test_every_lab_has_its_rows_and_as_many_as_its_summary_says(lab):
    n, lines = tables()[lab]
    assert n == len(lines) == sum(row.lab == lab for row in ROWS) >= 15
    assert len({row.reported for row in ROWS if row.lab == lab}) == n


@pytest.mark.parametrize("lab", LABS)
def test_what_a_row_names_stands_in_the_section_it_names(lab):
    found = sections(lab)
    for row in (row for row in ROWS if row.lab == lab):
        assert row.section in found, f"{lab} has no section {row.section}: {row.reported}"
        for match in row.tested_by:
            if match["claim"]:
                wanted = rf'lab\.claim\(\s*"{re.escape(match["claim"])}"'
            elif match["kind"]:
                wanted = rf"\*\*{match['kind'].capitalize()} {match['number']}\b"
            else:
                continue
            assert re.search(wanted, found[row.section]), f"{lab} §{row.section} does not hold {match[0]}: {row.reported}"


@pytest.mark.parametrize("lab", LABS)
def test_every_claim_carries_the_mark_of_its_expected_verdict(lab):
    for row in (row for row in ROWS if row.lab == lab):
        for match in row.claims():
            verdict = EXPECTED[lab]["claims"].get(match["claim"], {}).get("tiny")
            assert verdict is not None, f"{lab}: no claim '{match['claim']}' in expected.toml"
            assert match["mark"] == MARKS[verdict], f"{lab}, {match['claim']}: {verdict} is marked {match['mark']}"


@pytest.mark.parametrize("lab", LABS)
def test_the_verdict_on_what_is_reported_follows_from_the_claims(lab):
    for row in (row for row in ROWS if row.lab == lab):
        assert row.said == what_follows(row), f"{lab}, {row.reported}: says '{row.said}', its claims '{what_follows(row)}'"
