"""What README and CI promise must be there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert all("://" in link or (ROOT / link).exists() for link in links), links


def test_ci_runs_the_commands_of_the_readme():
    names = re.findall(r"<!-- command: (\w+) -->\n```bash\n(.+)\n```", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert [name for name, _ in names] == ["run", "test", "bench"]
    assert all(name in (ROOT / ".ci" / "run").read_text(encoding="utf-8") for name, _ in names)


def test_every_environment_variable_in_the_code_stands_in_the_readmes_table():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "labkit").rglob("*.py"))
    used = set(re.findall(r"[\"'](LABKIT_[A-Z_]+)[\"']", code))
    used -= {"LABKIT_CHILD", "LABKIT_CALIBRATE"}  # internal: mark what `labkit run` and `labkit calibrate` started
    table = set(re.findall(r"^\| `(LABKIT_[A-Z_]+)`", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M))
    assert used == table


def test_no_tracked_file_names_a_path_of_a_machine():
    try:
        names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    for name in names:
        if not name.endswith((".png", ".safetensors")):
            text = (ROOT / name).read_text(encoding="utf-8")
            assert not re.search(r"(?<![\w.])/(home|root|Users|work)/\w", text), name
