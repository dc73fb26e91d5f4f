"""A Python as a student may have it by mistake: labkit hidden, and only those of our packages that a test lends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

SITE = list(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib")))


def cell(notebook: Path, name: str) -> str:
    """The source of the cell with this id."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "".join(next(each for each in cells if each["id"] == name)["source"])


def environment(*lent: Path | str, **more: str) -> dict[str, str]:
    """Variables of a process that imports from these folders, and of ours none that is labkit's or Python's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABKIT_", "PYTHON", "HF_", "TORCH_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, lent)), "PYTHONDONTWRITEBYTECODE": "1", **more}


def python(code: str, *words: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run code in this Python without its site-packages, and so without a package that is installed by a link to its folder."""
    if any(Path(folder, "labkit").exists() for folder in SITE):
        pytest.skip("labkit is installed as a copy: pip install -e .")
    return run([sys.executable, "-S", "-c", code, *words], cwd=cwd, env=env)


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    cwd.mkdir(parents=True, exist_ok=True)
    return subprocess.run(command, cwd=cwd, env=dict(env), capture_output=True, text=True)
