"""All labs read as by one hand: the same anatomy, words, numbers and symbols, and a page of notation that is true of them."""

import re
import tomllib
from functools import cache

import pytest
from notebook_source import LABS, NOTEBOOKS, cells

from labkit import plots
from labkit.handout.student import MODEL_ANSWER, is_answer, is_exercise, student_version

NUMBERS = {lab[:2]: lab for lab in LABS}
EXPECTED = tomllib.loads((NOTEBOOKS / "expected.toml").read_text(encoding="utf-8"))
NOTATION = (NOTEBOOKS / "NOTATION.md").read_text(encoding="utf-8")
TIME = re.compile(r"^\*\*Time and memory\.\*\* `tiny`: (.+) · `laptop`: (.+) · `full`: (.+)$", re.MULTILINE)
ELSEWHERE = "|".join((r"`[^`]*`", r"\$\$.*?\$\$", r"\$[^$\n]+\$", r"\]\([^)]*\)"))  # code, formulas and addresses
VARIANTS = {  # wrong -> right; words are looked for whole, in any case
    r"gr[a]y(?:scale)?": "grey",
    r"colors?": "colour",
    r"back-propagat\w+": "backpropagation",
    r"data-?sets?": "set, or data set",
    r"pre-trained": "pretrained",
    r"fine ?tun\w+": "fine-tuned",
    r"heat-?maps?": "heat map",
    r"held out images?": "held-out images",
    r"\w+(?<!s)iz(?:e|ed|es|ing|ation)(?<!size)(?<!sized)(?<!sizes)(?<!prize)(?<!horizing)": "-ise",
    r"learned": "learnt",
    r"analyz\w+": "analyse",
    r"behavior\w*": "behaviour",
    r"(?-i:[A-Z]\w+) and others": "et al.",
    r"zero shot": "zero-shot",
    r"hyper-parameters?": "hyperparameter",
}


@cache
def markdown(lab):
    return [cell for cell in cells(lab) if cell["cell_type"] == "markdown"]


@cache
def whole(lab):
    return "\n".join(cell["source"] for cell in cells(lab))


@cache
def prose(lab):
    """The text of a lab without titles of works, code, formulas and addresses."""
    text = "\n\n".join(cell["source"] for cell in markdown(lab)).split("**References.**")[0]
    return re.sub(ELSEWHERE, " ", text, flags=re.DOTALL)


def formulas(lab):
    text = "\n\n".join(cell["source"] for cell in markdown(lab))
    return " ".join(a or b for a, b in re.findall(r"\$\$(.*?)\$\$|(?<!\$)\$([^$\n]+)\$(?!\$)", text, re.DOTALL))


def table(title):
    """Rows of the first table below a heading of NOTATION.md, without its head; in the last column a list of labs."""
    body = NOTATION.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in body.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in rows]


def labs_of(row):
    return [NUMBERS[number] for number in row[-1].split(", ")]


def paragraphs(lab, pattern):
    """(index of the cell, match) of every place in markdown where `pattern` stands, in order."""
    found = enumerate(cells(lab))
    return [(i, m) for i, c in found if c["cell_type"] == "markdown" for m in re.finditer(pattern, c["source"])]


@pytest.mark.parametrize("lab", LABS)
def test_title_cell_has_the_same_parts_in_the_same_order(lab):
    text = cells(lab)[0]["source"]
    title, learn, before = re.split(r"\n\n\*\*You will learn\*\*\n\n|\n\n\*\*Before you start\.\*\* ", text)
    assert re.fullmatch(r"# \d\d · [^\n]+\?\n\n[^\n]+", title), "a question, then one paragraph"
    items = learn.splitlines()
    assert len(items) >= 4 and all(item.startswith("- ") and item.endswith((";", ".")) for item in items)
    assert [item[-1] for item in items] == [";"] * (len(items) - 1) + ["."]
    what, time, run = before.split("\n\n")
    assert what.startswith("You should know ") and "`laptop`" in what and "`full`" in what and TIME.fullmatch(time)
    assert what.endswith(cells(LABS[0])[0]["source"].split("\n\n")[-3].split(". ")[-1]), "the link to the notation"
    assert "(NOTATION.md)" in what and run == cells(LABS[0])[0]["source"].split("\n\n")[-1]


@pytest.mark.parametrize("lab", LABS)
def test_minutes_are_those_of_expected_toml(lab):
    told = dict(zip(("tiny", "laptop", "full"), TIME.search(cells(lab)[0]["source"]).groups(), strict=True))
    for profile, minutes in EXPECTED[lab]["minutes"].items():
        assert told[profile].startswith(f"about {minutes:g} min"), f"{profile}: {told[profile]}"


@pytest.mark.parametrize("lab", LABS)
def test_sections_are_numbered_and_end_with_summary_further_and_references(lab):
    heads = [m[1] for _, m in paragraphs(lab, r"(?m)^## (.+)$")]
    assert [re.match(r"\d+ · \S", head) is not None for head in heads] == [True] * (len(heads) - 2) + [False] * 2
    assert [int(head.split(" · ")[0]) for head in heads[:-2]] == list(range(len(heads) - 2))
    assert heads[-2:] == ["Summary", "Going further"]
    intros = [cells(each)[[c["id"] for c in cells(each)].index("summary") - 1]["source"] for each in (lab, LABS[0])]
    assert intros[0] == intros[1], "the summary is announced in the same words"
    further, references = cells(lab)[-1]["source"].split("\n\n**References.**\n\n")
    assert all(line.startswith("- ") for line in [*further.splitlines()[2:], *references.splitlines()])


@pytest.mark.parametrize("lab", LABS)
def test_exercises_are_announced_in_the_cell_before_them_by_number_and_name(lab):
    found = paragraphs(lab, r"(?m)^\*\*Exercise (\d+) \([^)]+\)\.\*\* \S")
    assert [int(m[1]) for _, m in found] == list(range(1, len(found) + 1))
    assert [i + 1 for i, _ in found] == [i for i, cell in enumerate(cells(lab)) if is_exercise(cell)]
    assert len(re.findall(r"\*\*Exercise", whole(lab))) == len(found)


@pytest.mark.parametrize("lab", LABS)
def test_each_question_opens_the_cell_that_answers_it_and_reaches_the_student(lab):
    answers = [i for i, cell in enumerate(cells(lab)) if is_answer(cell)]
    found = paragraphs(lab, r"\*\*Question (\d+)(?: \(responsible use\))?\.\*\* \S")
    assert [i for i, _ in found] == answers and [int(m[1]) for _, m in found] == list(range(1, len(found) + 1))
    assert all(m.start() == 0 and f"\n\n{MODEL_ANSWER} " in cells(lab)[i]["source"] for i, m in found)
    made = student_version({"cells": cells(lab), "metadata": {}})
    asked = "".join("".join(cell["source"]) for cell in made["cells"])
    assert re.findall(r"\*\*Question (\d+)", asked) == [m[1] for _, m in found]


@pytest.mark.parametrize("lab", LABS)
def test_every_citation_has_its_reference(lab):
    references = cells(lab)[-1]["source"].split("**References.**")[1]
    numbers = [int(n) for line in references.splitlines() for n in re.findall(r"\[(\d+)\](?!\()", line.split(" *")[0])]
    assert numbers == list(range(1, len(numbers) + 1))
    assert not re.search(r"(?<!\[)arXiv:\d(?![^\[]*\]\()", references), "arXiv numbers are links"
    for cited in re.findall(r"\[(\d[\d, -]*)[\]:]", prose(lab)):
        assert all(1 <= int(n) <= len(numbers) for n in re.findall(r"\d+", cited)), cited
    assert not re.search(r"et al\.,? \(?(?:19|20)\d\d", prose(lab)), "a number, not a year"


@pytest.mark.parametrize("lab", LABS)
def test_numbers_are_written_in_one_way(lab):
    text = prose(lab)
    assert not re.findall(r"(?<![\w.])\.\d", text + formulas(lab)), "0.5, not .5"
    assert not re.findall(r"(?<![\w.])\d+ ?x ?\d+(?!\w)", text), "3 × 3"


@pytest.mark.parametrize("lab", LABS)
def test_no_word_is_spelt_in_two_ways(lab):
    for wrong, right in VARIANTS.items():
        found = re.findall(rf"(?<![\w-])(?:{wrong})(?![\w-])", prose(lab), re.IGNORECASE)
        assert not found, f"{found}: write {right}"


def test_terms_are_sorted_and_each_occurs_in_the_labs_that_it_names():
    rows = table("Terms")
    terms = [row[0].lower() for row in rows]
    assert terms == sorted(set(terms)) and len(terms) > 60
    for row in rows:
        assert re.match(r"[A-Z0-9].*\.$", row[1]), row
        for lab in labs_of(row):
            assert re.search(rf"(?<!\w){re.escape(row[0])}(?:e?s|ed|ing)?(?!\w)", whole(lab), re.IGNORECASE), (row[0], lab)


@pytest.mark.parametrize("lab", LABS)
def test_every_term_in_bold_is_explained_for_its_lab(lab):
    known = {row[0].lower() for row in table("Terms") if lab in labs_of(row)}
    for i, m in paragraphs(lab, r"\*\*([^*\n]+)\*\*"):
        term = m[1].lower()
        if f"\n{cells(lab)[i]['source']}"[m.start()] == "\n" or term[-1] in ".?:":
            continue  # what opens a paragraph or is a sentence is a heading
        assert {term, term.removesuffix("s"), re.sub("ies$", "y", term)} & known, f"{m[1]} is not in NOTATION.md"


def test_symbols_occur_in_the_labs_that_they_name():
    rows = table("Symbols")
    assert len({(row[0], row[1]) for row in rows}) == len(rows) > 40
    for row in rows:
        signs = [(formulas, rf"(?<![A-Za-z\\]){re.escape(m)}(?![A-Za-z])") for m in re.findall(r"\$([^$]+)\$", row[0])]
        signs += [(whole, rf"(?<!\w){re.escape(m)}(?!\w)") for m in re.findall(r"`([^`]+)`", row[0])]
        assert signs, row
        for lab in labs_of(row):
            assert any(re.search(pattern, text(lab)) for text, pattern in signs), (row[0], lab)


def test_colours_are_the_palette_in_its_order():
    assert [row[1].strip("`") for row in table("Colours")] == list(plots.COLOURS)
    assert all(row[2] and labs_of(row) for row in table("Colours"))


def test_links_of_the_notation_lead_to_its_own_headings():
    heads = re.findall(r"(?m)^## (.+)$", NOTATION)
    assert re.findall(r"\]\(#(.+?)\)", NOTATION) == heads == ["Symbols", "Terms", "Colours"]
