"""What every lab's notebook must look like before anyone runs it."""

import ast
import importlib
import inspect
import json
import re
import tomllib

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from notebook_source import LABS, NOTEBOOKS, cells

EXPECTED = tomllib.loads((NOTEBOOKS / "expected.toml").read_text(encoding="utf-8"))
HOSTED = cells(LABS[0])[1]["source"]


def grading(cell):
    return cell["metadata"].get("nbgrader", {})


@pytest.mark.parametrize("lab", LABS)
def test_is_valid_and_in_normal_form(lab):
    path = NOTEBOOKS / f"{lab}.ipynb"
    text = path.read_text(encoding="utf-8")
    nbformat.validate(nbformat.reads(text, as_version=4))
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    assert json.loads(text)["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("lab", LABS)
def test_holds_no_outputs_and_every_cell_has_its_own_id(lab):
    ids = [cell["id"] for cell in cells(lab)]
    assert len(set(ids)) == len(ids)
    for cell in cells(lab):
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None, cell["id"]


@pytest.mark.parametrize("lab", LABS)
def test_has_no_magics_and_no_shell_commands(lab):
    """Both fail silently under nbval, so a broken one would pass."""
    for cell in cells(lab):
        if cell["cell_type"] == "code":
            assert TransformerManager().transform_cell(cell["source"]).rstrip() == cell["source"].rstrip(), cell["id"]
            ast.parse(cell["source"])


@pytest.mark.parametrize("lab", LABS)
def test_cells_fit_on_a_screen(lab):
    for cell in cells(lab):
        if cell["cell_type"] == "code":
            assert len(cell["source"].splitlines()) <= 30, cell["id"]


@pytest.mark.parametrize("lab", LABS)
def test_grading_metadata_is_complete(lab):
    kinds = {"exercise": 0, "check": 0, "answer": 0}
    for cell in cells(lab):
        meta = grading(cell)
        if not meta:
            assert "BEGIN SOLUTION" not in cell["source"], f"{cell['id']}: a solution outside an exercise"
            continue
        assert meta["schema_version"] == 3 and meta["grade_id"] == cell["id"] and meta["task"] is False
        kind = "answer" if cell["cell_type"] == "markdown" else "exercise" if meta["solution"] else "check"
        kinds[kind] += 1
        assert meta["solution"] == (kind != "check") and meta["grade"] == (kind != "exercise")
        assert meta["locked"] == (kind == "check") and (meta.get("points", 0) > 0) == (kind != "exercise")
        if kind == "exercise":
            assert cell["source"].count("### BEGIN SOLUTION") == cell["source"].count("### END SOLUTION") == 1
            assert ast.get_docstring(ast.parse(cell["source"]).body[0]), f"{cell['id']}: a stub needs a docstring"
        if kind == "check":
            assert cell["source"].startswith("check.")
        if kind == "answer":
            assert len(cell["source"].split()) > 30, f"{cell['id']}: no model answer"
    assert kinds["exercise"] >= 5 and kinds["exercise"] == kinds["check"] and kinds["answer"] >= 5


@pytest.mark.parametrize("lab", LABS)
def test_anatomy(lab):
    all_cells = cells(lab)
    first, code = all_cells[0]["source"], "\n".join(c["source"] for c in all_cells if c["cell_type"] == "code")
    assert re.match(r"# \d\d · .*\?$", first.splitlines()[0]), "the title is a number and a question"
    assert "**You will learn**" in first and "**Before you start.**" in first
    assert all_cells[1]["id"] == "hosted" and all_cells[1]["source"] == HOSTED, "the same in all labs"
    assert f'open_lab("{lab}")' in all_cells[2]["source"]
    last = [cell["id"] for cell in all_cells].index("summary")
    assert all_cells[last]["source"] == "lab.summary()" and "**References.**" in all_cells[-1]["source"]
    assert [cell["id"] for cell in all_cells[last + 1 : -1]] in ([], ["explore-md", "explore"]), "an explorer, if any"
    prose = "\n".join(c["source"] for c in all_cells if c["cell_type"] == "markdown")
    assert prose.count("**What you should see.**") >= 4
    exercise = next(i for i, c in enumerate(all_cells) if grading(c).get("solution"))
    shown = [i for i, c in enumerate(all_cells) if "lab.show(" in c["source"]]
    assert shown[1] < exercise, "a demo with a figure comes before the first exercise"
    assert code.count("lab.show(") + code.count("\nexplore(") == len(re.findall(r"alt=", code))


@pytest.mark.parametrize("lab", LABS)
def test_claims_are_those_of_expected_toml_and_at_least_six(lab):
    code = "\n".join(c["source"] for c in cells(lab) if c["cell_type"] == "code")
    made = re.findall(r"lab\.claim\(\s*\"([^\"]+)\"", code)
    assert len(set(made)) == len(made) >= 6
    assert set(made) == set(EXPECTED[lab]["claims"])
    assert all("tiny" in words for words in EXPECTED[lab]["claims"].values())


@pytest.mark.parametrize("lab", LABS)
def test_bands_are_few_and_fresh(lab):
    from labkit.ledger import code_hash

    tiny = EXPECTED[lab]["bands"]["tiny"]
    assert tiny["runs"] >= 10 and len(tiny["records"]) <= 8
    assert tiny["code"] == code_hash(NOTEBOOKS / f"{lab}.ipynb"), f"run: labkit calibrate {lab}"


@pytest.mark.parametrize("lab", LABS)
def test_reported_figures_belong_to_records(lab):
    code = "\n".join(c["source"] for c in cells(lab) if c["cell_type"] == "code")
    recorded = re.findall(r"lab\.record\(\s*\"([^\"]+)\"", code)
    for name, rows in EXPECTED[lab].get("reported", {}).items():
        assert name in recorded and all(row["value"] and row["source"] for row in rows)


@pytest.mark.parametrize("lab", LABS)
def test_short_names_of_sources_are_explained_and_used(lab):
    rows = [row["source"] for each in EXPECTED[lab].get("reported", {}).values() for row in each]
    short = {name for source in rows for name in re.findall(r"^[A-Z]{1,2}\d?\b", source) if name == source.split(",")[0]}
    assert short == set(EXPECTED[lab].get("sources", {}))


@pytest.mark.parametrize("lab", LABS)
def test_what_a_lab_takes_from_labkit_is_there(lab):
    """Also in cells that run in the larger profiles alone."""
    trees = [ast.parse(cell["source"]) for cell in cells(lab) if cell["cell_type"] == "code"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("labkit"):
            home = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(home, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                if inspect.ismodule(thing := getattr(home, alias.name)):
                    modules[alias.asname or alias.name] = thing
    assert modules
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{node.value.id}.{node.attr}"
