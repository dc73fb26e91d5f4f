"""A command that runs isolated: it talks in lines of JSON, is kept within limits, and is ended with all that it started."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from labkit.adapters.driver import held
from labkit.book.processes import kill_marked
from labkit.grading.backends import Backend, Place, environment


class Lost(RuntimeError):
    """The process inside no longer answers; `reason` is one of 'timeout', 'memory', 'processes', 'flood', 'ended'."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class Sandbox:
    """A running command inside, which answers a line of JSON with a line of JSON; a context manager that ends it.

    Raises (from `ask` and `answer`):
        Lost: it ended, said too much, or took too long.
    """

    def __init__(self, backend: Backend, code: str, arguments: Sequence[str], place: Place) -> None:
        """Start `python -I -c code channel arguments`; paths inside are translated for the backend.

        channel is the number of an open file by which the inside talks (see `labkit.adapters.driver.lines`).
        """
        self.mark = uuid.uuid4().hex
        self.work = Path(tempfile.mkdtemp(prefix="labkit-grade-"))
        env = {**environment(self.mark), **place.env}
        if not backend.isolated:
            env |= {name: str(self.work) for name in ("HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR")}
        inner = Place(place.visible, place.limits, env)
        words = [backend.path(word, inner, self.work) if word.startswith("/") else word for word in arguments]
        mine, theirs = socket.socketpair()
        number = theirs.fileno() if backend.hands_on else 0
        argv = [sys.executable, "-I", "-B", "-c", code, str(number), *words]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the sandbox is
        self.backend, self.limits, self._buffer = backend, place.limits, bytearray()
        try:
            self.process = subprocess.Popen(
                backend.command(argv, inner, self.work),
                stdin=subprocess.DEVNULL if backend.hands_on else subprocess.PIPE,
                stdout=subprocess.DEVNULL if backend.hands_on else subprocess.PIPE,
                stderr=self.log,
                bufsize=0,
                start_new_session=True,
                pass_fds=[number] if number else [],
            )
        except OSError:
            mine.close()
            self.log.close()
            shutil.rmtree(self.work, ignore_errors=True)
            raise
        finally:
            theirs.close()
        self._socket = mine
        self._in = self._out = mine.fileno()
        if self.process.stdin is not None and self.process.stdout is not None:
            self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._in, False)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a line and wait for the answer to it, at most so many seconds; one that nobody asked for ends it."""
        nonce, end = uuid.uuid4().hex, time.monotonic() + seconds
        self._send(json.dumps({**question, "nonce": nonce}).encode() + b"\n", end)
        answer = self.answer(max(0.0, end - time.monotonic()))
        if answer.get("nonce") != nonce:
            raise Lost("flood", "an answer came that nobody asked for")
        return answer

    def _send(self, words: bytes, end: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_WRITE)
            while words:
                if time.monotonic() > end:
                    raise Lost("timeout", "it does not listen")
                if selector.select(0.05):
                    try:
                        words = words[os.write(self._in, words) :]
                    except (BrokenPipeError, ConnectionError):
                        raise Lost("ended", self._last_words()) from None

    def answer(self, seconds: float, most: int | None = None) -> dict[str, Any]:
        """The next line that comes, at most so many seconds from now and so many bytes long."""
        end, most = time.monotonic() + seconds, most or 8 * self.limits.output
        look = time.monotonic() + 0.2
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                now = time.monotonic()
                if now > end:
                    raise Lost("timeout", f"no answer within {seconds:g} s")
                if now > look:
                    look = now + 0.2
                    self._require_modest()
                if selector.select(min(0.05, max(0.0, end - now))):
                    try:
                        part = os.read(self._out, 2**16)
                    except ConnectionError:
                        part = b""
                    if not part:
                        raise Lost("ended", self._last_words())
                    self._buffer += part
                    if len(self._buffer) > most:
                        raise Lost("flood", f"an answer of more than {most} bytes")
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Lost("ended", "what came is no answer")
        return dict(_readable(found))

    def _require_modest(self) -> None:
        """The outside's own look at processes and memory, in case the driver's look inside was put to sleep."""
        import psutil

        with suppress(psutil.Error):
            inside = psutil.Process(self.process.pid).children(recursive=True)
            if len(inside) > self.limits.processes + 8:
                raise Lost("processes", f"more than {self.limits.processes} processes")
            used = [held(process.pid) for process in inside]
            shared = used[1] if len(used) > 1 else 0  # what forks of the driver, which comes second, share with it
            if sum(max(0, each - shared) for each in used) > 2 * self.limits.memory:
                raise Lost("memory", f"more than {self.limits.memory / 2**30:.1f} GiB of memory")

    def _last_words(self) -> str:
        self.log.seek(0)
        words = self.log.read(4000).decode("utf-8", "replace").strip().splitlines()
        code = self.process.poll()
        return f"it ended ({'killed' if code is None else code})" + (f": {words[-1][:300]}" if words else "")

    def close(self) -> None:
        """End the command with everything that it started, and remove its folder."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        if not self.backend.isolated:
            kill_marked(self.mark, self.process.pid)
        for stream in (self.process.stdin, self.process.stdout, self._socket, self.log):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        shutil.rmtree(self.work, ignore_errors=True)


def _readable(value: Any) -> Any:
    """JSON values whose strings can be written anywhere: half a character, which JSON allows, becomes a question mark."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_readable(each) for each in value]
    if isinstance(value, dict):
        return {_readable(name): _readable(each) for name, each in value.items()}
    return value
