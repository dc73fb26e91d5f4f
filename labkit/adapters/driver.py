"""The process inside the sandbox that scores exercises: it imports once, and forks a fresh child for each exercise.

It talks in lines of JSON, a job a line in, an answer a line out, and never runs what a student wrote: the children do.
It imports nothing of grading. Started as `python -I`, with the released labkit put on the path.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

TICK = 0.01  # seconds between two looks at a child


def lines(channel: str) -> tuple[Any, Any]:
    """Where questions come from and answers go to: the open file of this number, for '0' stdin and stdout.

    A file of its own is better: the first process of a sandbox keeps stdin and stdout open, where others could find them.
    """
    number = int(channel)
    questions, answers = os.fdopen(os.dup(number), "rb"), os.fdopen(os.dup(number or 1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if number:
        os.close(number)
    return questions, answers


def main(channel: str, release: str, work: str, given: str, outside: str) -> None:
    """Answer jobs until nobody asks any more.

    channel: see `lines`. release: the released labkit, on the path already. work: a writable folder. given: the folder of
    inputs. outside: the pid namespace of who asks, so that everything can be killed after a job where this process has one
    of its own.
    """
    questions, answers = lines(channel)
    import torch

    from labkit.adapters import arrays  # noqa: F401 - children find it loaded

    torch.set_num_threads(1)
    _close_to_others()
    alone = Path("/proc/self/ns/pid").exists() and str(Path("/proc/self/ns/pid").readlink()) != outside
    _say(answers, {"ready": True})
    private = [questions.fileno(), answers.fileno()]
    while line := questions.readline():
        job = json.loads(line)
        nonce, line = job.pop("nonce"), b""
        answer = _Exercise(job, Path(work), Path(given), private, alone).run()
        _say(answers, {**answer, "nonce": nonce})


def held(pid: int) -> int:
    """Bytes of memory that a process holds and that are no file's: its own, and what it shares with others (Linux)."""
    try:
        words = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").split()
        return 1024 * sum(int(words[words.index(name) + 1]) for name in ("RssAnon:", "RssShmem:"))
    except (OSError, ValueError, IndexError):
        return 0


def _close_to_others() -> None:
    """Keep children out of this process's memory and files (Linux): they run as the same user."""
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE


def _say(answers: Any, words: dict[str, Any]) -> None:
    answers.write(json.dumps(words).encode() + b"\n")
    answers.flush()


class _Exercise:
    """One job: {'source', 'prelude' (a list), 'name', 'adapters', 'calls': [[adapter, file]], 'limits': {...}}."""

    def __init__(self, job: dict[str, Any], work: Path, given: Path, private: list[int], alone: bool) -> None:
        self.job, self.given, self.private, self.alone = job, given, private, alone
        self.limits = job["limits"]
        self.folder = work / "exercise"

    def run(self) -> dict[str, Any]:
        """Fork a child, watch it, and collect what it left: an answer for each call, and how the child ended."""
        self._clear()
        self.folder.mkdir(mode=0o700)
        prepared, child_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.close(prepared)
                code = self._child(child_end)
            except BaseException as error:  # of ours: what the student's code raises is caught where it runs
                print(_words(error), file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        os.close(child_end)
        reason, state = self._watch(pid)
        self._kill_rest(pid)
        stage = os.read(prepared, 1)
        os.close(prepared)
        ended = {"signal": os.WTERMSIG(state)} if os.WIFSIGNALED(state) else {"exit": os.WEXITSTATUS(state)}
        answer = {**ended, "reason": reason, "prepared": stage == b"p", "calls": [self._collect(i) for i in range(self._n)]}
        answer["log"] = self._text("log", 2000)
        return answer

    @property
    def _n(self) -> int:
        return len(self.job["calls"])

    def _watch(self, pid: int) -> tuple[str, int]:
        """Wait for a child within its limits; the reason it was killed, '' if it ended by itself, and its state."""
        end, look = time.monotonic() + self.limits["seconds"], 0.0
        while True:
            found, state = os.waitpid(pid, os.WNOHANG)
            if found:
                return "", state
            now, reason = time.monotonic(), ""
            if now > end:
                reason = "timeout"
            elif self.alone and now > look:
                look = now + 5 * TICK
                reason = self._beyond()
            if reason:
                self._kill_rest(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                try:
                    return reason, os.waitpid(pid, 0)[1]
                except ChildProcessError:
                    return reason, signal.SIGKILL
            time.sleep(TICK)

    def _beyond(self) -> str:
        """Which limit all processes of this namespace together are beyond, '' if none."""
        others = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        others = [pid for pid in others if pid not in (1, os.getpid())]
        if len(others) > self.limits["processes"]:
            return "processes"
        own = held(os.getpid())  # what a child shares with this process until it writes
        return "memory" if sum(max(0, held(pid) - own) for pid in others) > 1.2 * self.limits["memory"] else ""

    def _kill_rest(self, pid: int) -> None:
        """Kill all that a child started, and collect the dead."""
        for _ in range(20):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            if self.alone:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(-1, signal.SIGKILL)  # all of this namespace but its first process and this one
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not self.alone or self._count() == 0:
                return
            time.sleep(TICK)

    def _count(self) -> int:
        return sum(entry.name.isdecimal() and int(entry.name) not in (1, os.getpid()) for entry in Path("/proc").iterdir())

    def _clear(self) -> None:
        """Empty the folders in which children write; what can't be removed goes with the sandbox."""
        import shutil

        desks = [self.folder.parent, Path("/tmp"), Path("/dev/shm")]
        for entry in [entry for desk in desks for entry in desk.iterdir()] if self.alone else [self.folder]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with suppress(OSError):
                    entry.unlink()

    def _collect(self, i: int) -> dict[str, Any]:
        """The arrays of call i as bytes of an npz file in base64, or the error that it ended in."""
        path = self.folder / f"{i}.npz"
        if path.is_file() and not path.is_symlink():
            if path.stat().st_size > self.limits["output"]:
                return {"large": path.stat().st_size}
            return {"arrays": base64.b64encode(path.read_bytes()).decode()}
        error = self._text(f"{i}.txt", 500)
        return {"error": error} if error else {}

    def _text(self, name: str, most: int) -> str:
        path = self.folder / name
        if not path.is_file() or path.is_symlink():
            return ""
        with path.open("rb") as file:
            return file.read(4 * most).decode("utf-8", "replace")[:most]

    def _child(self, prepared: int) -> int:
        """In the child: set limits, run the prelude, then the student's cell, then each call."""
        import numpy as np

        _confine(self.limits, self.folder / "log", self.private)
        space: dict[str, Any] = {"__name__": "exercise", "__builtins__": __builtins__}
        source, prelude = self.job.pop("source"), self.job.pop("prelude")
        for part in prelude:
            try:
                exec(compile("from __future__ import annotations\n" + part, "<set-up>", "exec"), space)
            except Exception:
                if part.startswith(("import ", "from ")):
                    raise
        del prelude  # it may hold solutions of other exercises, which the student's code has no need to find
        adapters = importlib.import_module(self.job["adapters"])
        os.write(prepared, b"p")
        os.close(prepared)
        stopped: BaseException | None = None
        try:
            exec(compile(source, "<your cell>", "exec"), space)
        except BaseException as error:  # what stands below the function may need the whole notebook
            stopped = error
        function = space.get(self.job["name"])
        if function is None:
            words = _words(stopped) if stopped else f"the cell defines no {self.job['name']}"
            for i in range(self._n):
                (self.folder / f"{i}.txt").write_text(words, encoding="utf-8")
            return 0
        from labkit.adapters.arrays import plain

        for i, (adapter, file) in enumerate(self.job["calls"]):
            import torch

            torch.manual_seed(0)
            torch.set_grad_enabled(True)
            try:
                with np.load(self.given / file, allow_pickle=False) as inputs:
                    returned = plain(getattr(adapters, adapter)(function, **inputs))
                part = self.folder / f"{i}.part"
                with part.open("wb") as out:
                    np.savez(out, **dict[str, Any](returned))
                part.rename(self.folder / f"{i}.npz")
            except BaseException as error:
                (self.folder / f"{i}.txt").write_text(_words(error), encoding="utf-8")
        return 0


def _words(error: BaseException) -> str:
    """An error in one line; a bare NotImplementedError is what a stub raises."""
    with suppress(Exception):
        return f"{type(error).__name__}: {error}" if error.args else type(error).__name__
    return "an error that can't be printed"


def _confine(limits: dict[str, Any], log: Path, private: list[int]) -> None:
    """Take limits that can't be lifted again, leave the driver's files, and let output go to a log."""
    import resource

    os.setsid()
    for what, value in (
        (resource.RLIMIT_DATA, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["output"]),
        (resource.RLIMIT_CPU, int(limits["seconds"]) + 5),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # who writes too much ends here, in place of going on for ever
    for fd in private:
        with suppress(OSError):
            os.close(fd)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
