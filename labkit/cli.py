"""The `labkit` command. Every import that costs anything is inside the command that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from labkit import course
from labkit.terminal import cores, stop

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run, check and hand out the labs of the workbook.",
)
for command in (course.release, course.restore, course.grade):
    if command is course.restore or (Path(__file__).parent / "grading").is_dir():  # students have no use for the others
        app.command()(command)


@app.callback()
def main() -> None:
    """Run, check and hand out the labs of the workbook."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no ✗ gets a ? for it, not a traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@app.command()
def run(
    labs: Annotated[
        list[str] | None, typer.Argument(metavar="[LAB]...", help="Name, number or start of a name; default: all.")
    ] = None,
    profile: Annotated[str, typer.Option(envvar="LABKIT_PROFILE", help="tiny, laptop or full.")] = "tiny",
    out: Annotated[Path | None, typer.Option(help="Folder of the workbook; default: runs/book-PROFILE.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Labs at a time; default: one a core. Fewer on one GPU.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Skip labs that succeeded and have not changed since.")] = False,
    cell_timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds a cell may take.")] = None,
    lab_timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds a lab may take.")] = None,
) -> None:
    """Execute labs and write the workbook, one HTML file a lab and an index.

    Exit code: 0 all labs ran, 1 a lab failed, 2 wrong arguments, 130 interrupted (--resume goes on from there).
    """
    from labkit.book.build import build
    from labkit.book.labs import find_labs, limits
    from labkit.book.pages import minutes
    from labkit.book.state import last_run
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
    noted = last_run(out)
    took = f" in {minutes(noted['seconds'])}" if noted and noted["labs"] else ""
    typer.echo(f"{len(entries) - len(failed)} of {len(entries)} labs ran{took}. Workbook: {out / 'index.html'}")
    if failed:
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Say what this machine has, what is missing, and what to type.

    Exit code: 0 unless something that every lab needs is broken.
    """
    from labkit.doctor import examine

    raise typer.Exit(examine(typer.echo))


@app.command()
def data(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Public sets to fetch, or 'all'; or tiny nets to remake."),
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Empty the cache of computed and unpacked data.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild-weights", help="Train the named tiny nets anew, or all, and replace their weights.")
    ] = False,
) -> None:
    """List the public sets and the weights of tiny nets, fetch sets, empty the cache, or remake weights.

    Exit code: 0, or 1 if something is damaged, could not be fetched or not be made, 2 wrong arguments, 130 interrupted.
    """
    from labkit.files import OfflineError, clean_cache
    from labkit.public import SETS, DamagedData, fetch, public_status

    if clean and rebuild:
        stop("--clean and --rebuild-weights are two tasks: give one of them", code=2)
    if rebuild:
        rebuild_weights(names or [])
        return
    if clean:
        try:
            freed = clean_cache()
        except OSError as error:
            stop(str(error), code=1)
        typer.echo(f"the cache is empty; {freed / 1e6:.1f} MB are free again")
        return
    chosen = list(SETS) if names and "all" in names else names or []
    if unknown := [name for name in chosen if name not in SETS]:
        stop(f"there is no public set {unknown[0]!r}: use one of {', '.join(SETS)}, or all", code=2)
    try:
        for name in chosen:
            fetch(name)
        rows = public_status()
        for name, state, folder in rows:
            typer.echo(f"{name:18} {state:8} {folder}")
        damaged_net = list_weights()
    except (OfflineError, DamagedData, OSError) as error:
        stop(str(error), code=1)
    if any(state == "damaged" for _, state, _ in rows):
        stop("delete what is damaged and fetch it again: labkit data SET", code=1)
    if damaged_net:
        stop(f"remake what is damaged: labkit data --rebuild-weights {damaged_net}", code=1)


def list_weights() -> str:
    """Print a line for each tiny net and give the names of those whose files are damaged."""
    from labkit import twins

    damaged = []
    for name, state, path in twins.status():
        about = ""
        if state == "here":
            about = f"{twins.told(twins.accuracy(name))}, {path.stat().st_size / 1000:.0f} kB, "
        elif state == "damaged":
            damaged.append(name)
        typer.echo(f"{name:18} {state:8} {about}{path}")
    return " ".join(damaged)


def rebuild_weights(names: list[str]) -> None:
    """Train tiny nets anew, one after the other, and say what came out."""
    from labkit.guards import NonFiniteLoss
    from labkit.machine import pick_device, settle
    from labkit.pretrain import RECIPES, rebuild

    if unknown := [name for name in names if name not in RECIPES]:
        stop(f"there is no tiny net {unknown[0]!r}: use one or more of {', '.join(RECIPES)}", code=2)
    settle(pick_device(), small=True)
    for name in names or RECIPES:
        try:
            typer.echo(rebuild(name))
        except (OSError, ValueError, NonFiniteLoss) as error:
            stop(f"the weights of {name} are as they were: {error}", code=1)
        except KeyboardInterrupt:
            stop(f"interrupted; the weights of {name} are as they were", code=130)


@app.command()
def calibrate(
    lab: Annotated[str, typer.Argument(help="Name, number or beginning of a name.")],
    profile: Annotated[str, typer.Option(envvar="LABKIT_PROFILE", help="tiny, laptop or full.")] = "tiny",
    seeds: Annotated[int, typer.Option(help="Runs, one a seed; at least 10.")] = 10,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: one a core.")] = None,
) -> None:
    """Run a lab over seeds and write the bands of its figures into notebooks/expected.toml.

    Exit code: 0, 1 if a run failed (expected.toml is then as it was), 2 wrong arguments, 130 interrupted.
    """
    from labkit.book.labs import find_labs, limits
    from labkit.calibrate import CalibrationFailed
    from labkit.calibrate import calibrate as measure

    try:
        (notebook,) = find_labs([lab])
        result = measure(
            notebook,
            profile=profile,
            seeds=seeds,
            jobs=jobs or cores(),
            limits=limits(profile),
            done=lambda seed, run: typer.echo(f"seed {seed}: {run.status}, {run.seconds:.0f} s", err=True),
        )
    except (ValueError, FileNotFoundError) as error:
        stop(str(error), code=2)
    except (CalibrationFailed, OSError) as error:
        stop(str(error), code=1)
    except KeyboardInterrupt:
        stop("interrupted; expected.toml is as it was", code=130)
    for claim, verdicts in result["verdicts"].items():
        typer.echo(f"{claim:32} {verdicts}")


if __name__ == "__main__":
    app()
