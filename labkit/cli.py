"""The `labkit` command. Every import that costs anything is inside the command that needs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run, check and hand out the labs of the workbook.",
)


@app.callback()
def main() -> None:
    """Run, check and hand out the labs of the workbook."""


@app.command()
def run(
    labs: Annotated[
        list[str] | None, typer.Argument(metavar="[LAB]...", help="Name, number or beginning of a name; default: all.")
    ] = None,
    profile: Annotated[str, typer.Option(envvar="LABKIT_PROFILE", help="tiny, laptop or full.")] = "tiny",
    out: Annotated[Path | None, typer.Option(help="Folder of the workbook; default: runs/book-PROFILE.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Labs at a time; default: one a core. Fewer if they share a GPU.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Skip labs that succeeded and have not changed since.")] = False,
    cell_timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds a cell may take.")] = None,
    lab_timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds a lab may take.")] = None,
) -> None:
    """Execute labs and write the workbook, one HTML file a lab and an index.

    Exit code: 0 all labs ran, 1 a lab failed, 2 wrong arguments, 130 interrupted (--resume goes on from there).
    """
    from labkit.book.build import build
    from labkit.book.labs import find_labs, limits
    from labkit.files import home

    try:
        limits(profile)
        chosen = find_labs(labs or [])
        out = (out or home() / "runs" / f"book-{profile}").resolve()
    except (ValueError, FileNotFoundError) as error:
        stop(str(error), code=2)
    try:
        entries = build(
            chosen,
            profile=profile,
            out=out,
            jobs=jobs or cores(),
            resume=resume,
            cell_timeout=cell_timeout,
            lab_timeout=lab_timeout,
        )
    except KeyboardInterrupt:
        stop(f"interrupted; go on with `labkit run --resume`. What is done is in {out}", code=130)
    except OSError as error:
        stop(f"the workbook could not be written: {error}", code=1)
    failed = [entry for entry in entries if entry.status != "ok"]
    for entry in failed:
        typer.echo(f"✗ {entry.line}", err=True)
    typer.echo(f"{len(entries) - len(failed)} of {len(entries)} labs ran. Workbook: {out / 'index.html'}")
    if failed:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Say what this machine has, what is missing, and what to type.

    Exit code: 0 unless something that every lab needs is broken.
    """
    from labkit.doctor import examine

    raise typer.Exit(examine(typer.echo))


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stop(message: str, *, code: int) -> NoReturn:
    """Print one line to stderr and end with `code`."""
    typer.echo(f"labkit: {message}", err=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
