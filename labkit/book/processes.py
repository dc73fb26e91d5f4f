"""End processes, and all that they started, by a mark that they inherit."""

from __future__ import annotations

import os
import time
from typing import Any

MARK = "LABKIT_CHILD"  # environment variable that every process of one execution inherits


def kill_marked(mark: str, pid: int) -> None:
    """Kill every process that inherited `mark`, and `pid` with its descendants.

    Jupyter puts kernels into sessions of their own and a cell may leave processes behind: parentage alone misses both.
    """
    import psutil

    for _ in range(5):  # a process may fork while the others are being killed
        found = []
        try:
            parent = psutil.Process(pid)
            found = [parent, *parent.children(recursive=True)]
        except psutil.Error:
            pass
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == mark:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        found = [process for process in set(found) if process.pid != os.getpid() and alive(process)]
        if not found:
            return
        for process in found:
            try:
                process.kill()
            except psutil.Error:
                continue
        end = time.monotonic() + 2
        while any(map(alive, found)) and time.monotonic() < end:
            time.sleep(0.02)


def alive(process: Any) -> bool:
    """Tell a process from the entry of one that has ended and waits to be collected."""
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
