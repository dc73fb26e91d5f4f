"""Where what students wrote runs: bubblewrap, or nothing at all; a container fits behind the same interface.

A backend turns a command into another one that runs it isolated; `labkit.grading.sandbox` starts that. A backend promises of
the inside: no network but its own loopback; no user but an unprivileged one; nothing of the file system but Python, the
system's libraries and the folders named, all read-only; `DESK`, a folder of limited size that is gone afterwards; no process
outlives the command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from labkit import files
from labkit.book.processes import MARK
from labkit.machine import KERNEL_ENV

DESK = "/lab/desk"  # where the inside may write; no path of a real machine


class NoSandbox(RuntimeError):
    """Nothing can be graded here: the backend does not work; the message says what to install."""


@dataclass(frozen=True)
class Limits:
    """What the inside may use: seconds, bytes, number of processes."""

    seconds: float = 20.0
    memory: int = 3 * 2**30  # of data a process has, and of all together
    processes: int = 64
    output: int = 16 * 2**20  # of one file, or of one answer
    disk: int = 256 * 2**20  # of the desk


@dataclass(frozen=True)
class Place:
    """A command for the inside: folders that it sees (path inside -> path outside), and what it may use."""

    visible: Mapping[str, Path]
    limits: Limits = Limits()
    env: Mapping[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """How to run a command isolated. `docker run --rm -i --network none --read-only ...` would be one, too."""

    name: str
    isolated: bool
    hands_on: bool  # whether an open file can be given to the inside; a container would talk by stdin and stdout

    def require(self) -> None:
        """Raise `NoSandbox` unless this works here."""

    def command(self, argv: Sequence[str], place: Place, work: Path) -> list[str]:
        """The command that runs `argv` inside. `work`: an empty folder outside, for backends that need one."""

    def path(self, inside: str, place: Place, work: Path) -> str:
        """Where the inside finds a path of `place.visible`, or `DESK`."""


def python_folders() -> list[Path]:
    """Folders that this Python needs, its virtual environment and the Python below it, without the system's `/usr`."""
    found: list[Path] = []
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve().parent.parent)):
        path = Path(prefix)
        if path != Path("/usr") and Path("/usr") not in path.parents and path not in found and path != Path("/"):
            found.append(path)
    return found


def _installed() -> list[Path]:
    """Copies of labkit among the installed packages: an instructor's one has `grading` in it, so the inside must not see it."""
    import sysconfig

    places = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    return [Path(place) / "labkit" for place in sorted(places) if (Path(place) / "labkit").is_dir()]


def _of_the_project(bound: Sequence[Path]) -> list[Path]:
    """Folders of the workbook that lie below what the inside sees, as in /usr/src: to be covered.

    Raises:
        NoSandbox: Python itself lies in such a folder.
    """
    found = []
    folders = {Path(__file__).resolve().parents[2]}
    with suppress(FileNotFoundError):  # a worker may have no workbook of its own
        folders.add(files.home())
    for folder in sorted(folders):
        if any(root == folder or root in folder.parents for root in (*bound, Path("/usr"))):
            if any(folder == root or folder in root.parents for root in bound):
                raise NoSandbox(
                    f"{folder} is a Python environment and the workbook at once, so the inside would see both: "
                    f"make the environment in a folder of its own, as {folder / '.venv'}"
                )
            if folder.name != "site-packages":
                found.append(folder)
    return found


@cache
def _help() -> str:
    return subprocess.run(["bwrap", "--help"], capture_output=True, text=True).stdout


class Bubblewrap:
    """bubblewrap: namespaces of its own for users, processes, network, mounts, IPC; needs no root."""

    name, isolated, hands_on = "bwrap", True, True

    def require(self) -> None:
        """Raise `NoSandbox` where the program is missing or namespaces are forbidden."""
        if shutil.which("bwrap") is None:
            raise NoSandbox(
                "bubblewrap is not installed: `apt install bubblewrap` (Debian, Ubuntu) or `dnf install bubblewrap` (Fedora). "
                "On macOS and Windows grade in a Linux virtual machine"
            )
        done = subprocess.run(
            [*self._walls(Limits()), "--ro-bind", "/", "/", "--proc", "/proc", "--", "true"], capture_output=True, text=True
        )
        if done.returncode:
            raise NoSandbox(
                f"bubblewrap does not work here ({done.stderr.strip() or done.returncode}): user namespaces are forbidden. "
                "In a container start it with --security-opt seccomp=unconfined --cap-add SYS_ADMIN or grade outside of it; on "
                "Ubuntu 24.04 allow bwrap an AppArmor profile with `userns,`"
            )

    def _walls(self, limits: Limits) -> list[str]:
        walls = ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        if "--disable-userns" in _help():
            walls.append("--disable-userns")
        return [*walls, "--uid", "1000", "--gid", "1000", "--hostname", "lab", "--clearenv"]

    def command(self, argv: Sequence[str], place: Place, work: Path) -> list[str]:
        """The command with its walls: everything read-only but the desk, /tmp and /dev/shm, which are in memory and limited."""
        size = str(place.limits.disk)
        words = self._walls(place.limits)
        for folder in ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin"):
            if Path(folder).is_symlink():
                words += ["--symlink", str(Path(folder).readlink()), folder]
            elif Path(folder).is_dir():
                words += ["--ro-bind", folder, folder]
        for file in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts"):
            words += ["--ro-bind-try", file, file]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for desk in ("/dev/shm", "/tmp", DESK):
            words += ["--size", size, "--tmpfs", desk]
        for path in python_folders():
            words += ["--ro-bind", str(path), str(path)]
        for path in _installed():
            words += ["--tmpfs", str(path), "--remount-ro", str(path)]
        for path in _of_the_project(python_folders()):
            words += ["--tmpfs", str(path), "--remount-ro", str(path)]
        for inside, outside in place.visible.items():
            words += ["--ro-bind", str(outside), inside]
        words += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", DESK]
        for name, value in place.env.items():
            words += ["--setenv", name, value]
        return [*words, "--", *argv]

    def path(self, inside: str, place: Place, work: Path) -> str:
        """The inside has its own paths."""
        return inside


class Nothing:
    """No isolation: what students wrote runs as you, and can read, write and send whatever you can."""

    name, isolated, hands_on = "none", False, os.name != "nt"

    def require(self) -> None:
        """It always works."""

    def command(self, argv: Sequence[str], place: Place, work: Path) -> list[str]:
        """The command as it is, with a clean environment."""
        env = [f"{name}={value}" for name, value in place.env.items()]
        return ["env", "-i", "-C", str(work), *env, *argv] if os.name != "nt" else list(argv)

    def path(self, inside: str, place: Place, work: Path) -> str:
        """Paths of the outside."""
        for visible, outside in place.visible.items():
            if inside == visible or inside.startswith(visible + "/"):
                return str(outside) + inside[len(visible) :]
        return str(work) if inside == DESK else inside


BACKENDS: dict[str, Backend] = {"bwrap": Bubblewrap(), "none": Nothing()}


def environment(mark: str) -> dict[str, str]:
    """Variables of every process inside: no more than Python and the labs need."""
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    words = {"PATH": path, "LANG": "C.UTF-8", "HOME": DESK, "LABKIT_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", MARK: mark}
    return {**words, **KERNEL_ENV, "PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": "/tmp", "NUMBA_CACHE_DIR": "/tmp"}
