"""What commands share: how many cores there are, and how a command ends with a message."""

from __future__ import annotations

import os
from typing import NoReturn

import typer


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stop(message: str, *, code: int) -> NoReturn:
    """Print one line to stderr and end with `code`."""
    typer.echo(f"labkit: {message}", err=True)
    raise typer.Exit(code)
