"""`labkit doctor`: one line for each thing that labs need, with what to do where it is missing."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from labkit import files

PACKAGES = {  # distribution -> does every lab need it?
    "torch": True,
    "torchvision": True,
    "numpy": True,
    "scikit-learn": True,
    "matplotlib": True,
    "ipykernel": True,
    "nbclient": True,
    "nbconvert": True,
    "transformers": False,
    "open_clip_torch": False,
    "umap-learn": False,
    "jupyterlab": False,
}
MEMORY, DISK = 2 * 2**30, 3 * 2**30  # bytes that should be free
HOST = ("download.pytorch.org", 443)
SIGNS = {"good": "✓", "note": "!", "broken": "✗"}


class Finding(NamedTuple):
    """One line: 'good', 'note' (something optional, or to know) or 'broken' (no lab will run)."""

    level: str
    text: str


def examine(say: Callable[[str], object]) -> int:
    """Say every finding through `say`, as it is made, and return the exit code: 1 if something needed is broken."""
    broken = 0
    for check in (packages, device, room, network, data, times, kernel, isolation):
        try:
            for finding in check():
                broken += finding.level == "broken"
                say(f"{SIGNS[finding.level]} {' '.join(finding.text.split())}")
        except Exception as error:  # a check that trips must not hide the ones after it
            text = f"{check.__name__} could not be checked: {type(error).__name__}: {error}"
            say(f"{SIGNS['note']} {text.splitlines()[0]}")
    return int(broken > 0)


def packages() -> Iterator[Finding]:
    """Python and the packages, with their versions."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("good", f"Python {python} at {sys.executable}")
    there = [f"labkit {importlib.import_module('labkit').__version__}"]
    for name, needed in PACKAGES.items():
        try:
            there.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            install = f"`{Path(sys.executable).name} -m pip install {name}`"
            if needed:
                yield Finding("broken", f"{name} is missing and every lab needs it: {install}")
            else:
                yield Finding("note", f"{name} is missing; labs that use it will stop: {install}")
    yield Finding("good", ", ".join(there))


def device() -> Iterator[Finding]:
    """The device that a lab would get, and threads."""
    try:
        import torch

        from labkit.machine import pick_device
    except ImportError as error:
        yield Finding("broken", f"torch can't be imported ({error}): reinstall it, `pip install --force-reinstall torch`")
        return
    try:
        chosen = pick_device()
    except ValueError as error:
        yield Finding("broken", str(error))
        return
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else ""
    forced = ", because LABKIT_DEVICE says so" if os.environ.get("LABKIT_DEVICE") else ""
    threads = torch.get_num_threads()
    yield Finding(
        "good",
        f"device {chosen}{f' ({name})' if name else ''}{forced}; {threads} thread{'' if threads == 1 else 's'} here, "
        "one a kernel in `labkit run`",
    )


def room() -> Iterator[Finding]:
    """Free memory and disk."""
    import psutil

    memory, disk = psutil.virtual_memory().available, shutil.disk_usage(_home() or Path.cwd()).free
    for free, enough, what, todo in (
        (memory, MEMORY, "memory", "close something, or use `labkit run --jobs 1`"),
        (disk, DISK, "disk", "public sets may not fit; `labkit data --clean` empties the cache"),
    ):
        text = f"{free / 2**30:.1f} GB of {what} free"
        yield Finding("good", text) if free >= enough else Finding("note", f"{text}: {todo}")


def network() -> Iterator[Finding]:
    """Whether downloads can work; no call is made while LABKIT_OFFLINE is set."""
    if files.offline():
        yield Finding("good", "network: switched off by LABKIT_OFFLINE; the tiny profile needs none")
        return
    try:
        socket.create_connection(HOST, timeout=3).close()
        yield Finding("good", f"network: {HOST[0]} answers")
    except OSError:
        yield Finding(
            "note", f"network: {HOST[0]} does not answer; the tiny profile needs none, the others only what is not on disk yet"
        )


def data() -> Iterator[Finding]:
    """The workbook's folder, the folders of public data and which sets are in them, and the weights of tiny nets."""
    try:
        yield Finding("good", f"workbook at {files.home()}")
        folders = files.data_dirs()
    except FileNotFoundError as error:
        yield Finding("broken", str(error))
        return
    for folder in folders:
        there = folder.is_dir()
        yield Finding(
            "good" if there else "note", f"data folder {folder}" + ("" if there else " is made at the first download")
        )
    try:
        from labkit import twins
        from labkit.public import public_status
    except ImportError:
        return
    for name, state, path in twins.status():
        todo = "" if state == "here" else f": take it from the repository, or type labkit data --rebuild-weights {name}"
        yield Finding("good" if state == "here" else "note", f"{name} is {state} ({path}){todo}")
    for name, state, path in public_status():
        todo = {
            "here": "",
            "absent": ": the first lab that asks for it downloads it",
        }.get(state, ": delete it, and the first lab that asks for it downloads it again")
        yield Finding("good" if state == "here" else "note", f"{name} is {state} ({path}){todo}")


def times() -> Iterator[Finding]:
    """Minutes last measured, by profile and lab."""
    root = _home()
    for profile in ("tiny", "laptop", "full"):
        measured = []
        for path in sorted((root / "runs" / profile).glob("[0-9][0-9]_*.json")) if root else ():
            try:
                minutes = json.loads(path.read_text(encoding="utf-8")).get("minutes")
            except (OSError, ValueError, AttributeError):
                continue
            if isinstance(minutes, int | float):
                measured.append(f"{path.stem} {minutes:.1f}")
        if measured:
            yield Finding("good", f"minutes last measured, {profile}: {', '.join(measured)}")
        elif profile == "tiny":
            yield Finding("note", "no lab has been timed yet: `labkit run` does it")


def kernel() -> Iterator[Finding]:
    """Whether the Jupyter kernel 'python3', which notebooks ask for, can import labkit."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    advice = "`python -m ipykernel install --user --name labkit` in this environment, then pick 'labkit' in Jupyter"
    try:
        python = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        yield Finding("broken", f"Jupyter has no kernel 'python3': run {advice}")
        return
    python = sys.executable if python in ("python", "python3") else python
    try:
        command = [python, "-c", "import labkit"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path.home())
        reason = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        yield Finding(
            "broken",
            f"Jupyter's kernel 'python3' runs {python}, where labkit can't be imported ({reason}). "
            f"Notebooks would stop with \"No module named 'labkit'\": run {advice}",
        )
    else:
        yield Finding("good", f"Jupyter's kernel 'python3' runs {python} and finds labkit")


def isolation() -> Iterator[Finding]:
    """What `labkit grade` would shut submissions into; nothing in a student's folder, which has no grading."""
    if not (Path(__file__).parent / "grading").is_dir():
        return
    tool = shutil.which("bwrap")
    if tool is None:
        text = "isolation for grading: none; `apt install bubblewrap` (Linux) gives it, the labs do not need it"
        yield Finding("note", text)
        return
    try:
        done = subprocess.run(
            [tool, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True, timeout=10
        )
        reason = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        text = f"isolation for grading: none; bwrap is here, but this system forbids its namespaces ({reason})"
        yield Finding("note", text)
    else:
        yield Finding("good", "isolation for grading: bwrap")


def _home() -> Path | None:
    try:
        return files.home()
    except FileNotFoundError:
        return None
