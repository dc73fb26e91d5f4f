"""The commands with which a course runs: hand out, give a stub back, grade."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from labkit.terminal import cores, stop


def release(
    labs: Annotated[
        list[str] | None, typer.Argument(metavar="[LAB]...", help="Name, number or start of a name; default: all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default: runs/student.")] = None,
    repo_url: Annotated[
        str | None, typer.Option(help="Where you will publish the folder, as https://github.com/OWNER/REPO: badges open labs.")
    ] = None,
    branch: Annotated[str | None, typer.Option(help="Branch of that repository; default: main.")] = None,
) -> None:
    """Write the folder that students get: notebooks without solutions, labkit without grading, data, a guide.

    With --repo-url each notebook and the guide get badges that open a lab on Colab (github.com only) and on Binder (github.com
    and gitlab.com), and the first cell of a notebook fetches the course from there when it runs on Colab.

    Exit code: 0, 1 if it could not be made (what was there is as it was), 2 wrong arguments.
    """
    from labkit.book.labs import find_labs
    from labkit.files import home
    from labkit.handout.hosting import repository
    from labkit.handout.release import ReleaseError
    from labkit.handout.release import release as write

    try:
        if branch is not None and repo_url is None:
            raise ValueError("--branch says where in a repository the release will be: give --repo-url, too")
        where = repository(repo_url, "main" if branch is None else branch) if repo_url is not None else None
        chosen = find_labs(labs or [])
        out = out or home() / "runs" / "student"
    except (ValueError, FileNotFoundError) as error:
        stop(str(error), code=2)
    try:
        names = write(chosen, out, where)
    except (ReleaseError, OSError) as error:
        stop(str(error), code=1)
    typer.echo(f"{len(chosen)} labs for students, {len(names)} files: {out}")
    if where and not where.colab("lab"):
        which = "no badge 'Open in Colab'" if where.binder("lab") else "no badges"
        typer.echo(f"{which}: Colab opens notebooks of github.com only, and badges for Binder know github.com and gitlab.com")
    if where:
        typer.echo(f"now put what is in this folder, hidden files too, into branch {where.branch} of {where.url}")


def restore(
    lab: Annotated[str, typer.Argument(help="Name, number or start of a name.")],
    exercise: Annotated[str, typer.Argument(help="The function that the exercise asks for, or the name of its cell.")],
) -> None:
    """Give the blank of one exercise or question back; what was saved of it is kept in notebooks/attempts.

    Exit code: 0, 1 if it could not be done (the notebook is as it was).
    """
    from labkit.handout.restore import CannotRestore
    from labkit.handout.restore import restore as give_back

    try:
        path, changed, kept = give_back(lab, exercise)
    except (CannotRestore, FileNotFoundError, OSError) as error:
        stop(str(error), code=1)
    if not changed:
        typer.echo(f"{path}: it is blank already, nothing was changed")
        return
    typer.echo(f"{path}: blank again. Reload it in Jupyter (File, Reload Notebook from Disk) before you save anything there")
    for file in kept:
        typer.echo(f"what you had written: {file}")


def grade(
    lab: Annotated[str, typer.Argument(help="Name, number or start of a name.")],
    submissions: Annotated[Path, typer.Argument(help="Folder or zip of submissions, as Moodle, Canvas or nbgrader give it.")],
    out: Annotated[Path, typer.Option(help="Folder for scores, evidence, feedback and summary.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Submissions at a time; default: one a core.")] = None,
    backend: Annotated[str, typer.Option(help="bwrap, or none: no isolation at all.")] = "bwrap",
    no_rerun: Annotated[bool, typer.Option("--no-rerun", help="Score exercises only; don't execute whole notebooks.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the grading in the folder: do what is left.")] = False,
    ids: Annotated[Path | None, typer.Option(help="Csv with a column id and others by which students are known.")] = None,
    hand_marks: Annotated[
        Path | None, typer.Option(help="Csv with student, question, points; default: hand_marks.csv in the folder.")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, as tcp://host:8786.")] = None,
    due: Annotated[datetime | None, typer.Option(help="What comes later is late; local time.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the hidden inputs; default: drawn anew.")] = None,
    exercise_timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds for one exercise.")] = None,
    lab_timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds for one whole notebook.")] = None,
    models: Annotated[bool, typer.Option("--models", help="Show model answers in the feedback.")] = False,
) -> None:
    """Grade what students handed in, each exercise by itself in a sandbox, and write scores.csv and all that explains it.

    Exit code: 0 all submissions have marks, 1 some have none through no fault of theirs or it stopped halfway (--resume goes
    on), 2 it could not begin, 130 interrupted (--resume goes on from there).
    """
    try:
        from labkit.grading.backends import BACKENDS, NoSandbox
        from labkit.grading.grade import STATE, CannotGrade, Options
        from labkit.grading.grade import grade as work
    except ModuleNotFoundError as error:
        if error.name != "labkit.grading":
            raise
        stop("grading belongs to the instructor's workbook; a student's folder does not have it", code=2)
    from labkit.book.labs import find_labs

    if backend not in BACKENDS:
        stop(f"there is no backend {backend!r}: use one of {', '.join(BACKENDS)}", code=2)
    if not BACKENDS[backend].isolated:
        typer.echo("NOT ISOLATED: what students wrote runs as you, with your files and your network", err=True)
    options = Options(
        jobs=jobs or cores(),
        backend=backend,
        rerun=not no_rerun,
        resume=resume,
        ids=ids,
        hand_marks=hand_marks,
        scheduler=scheduler,
        due=due,
        seed=seed,
        exercise_seconds=exercise_timeout,
        lab_seconds=lab_timeout,
        models=models,
    )
    try:
        (notebook,) = find_labs([lab])
        records = work(notebook, submissions, out, options, lambda line: typer.echo(line, err=True))
    except (ValueError, LookupError, ModuleNotFoundError, OSError, NoSandbox) as error:
        if isinstance(error, CannotGrade | NoSandbox) or not (out / STATE).is_file():
            stop(str(error), code=2)
        stop(f"stopped: {error}. What is done is in {out}; --resume goes on with it", code=1)
    except KeyboardInterrupt:
        stop(f"interrupted; go on with --resume. What is done is in {out}", code=130)
    lost = [record["student"] for record in records if record["status"] == "infrastructure"]
    typer.echo(f"{len(records)} students, {len(lost)} without marks through no fault of theirs. Scores: {out / 'scores.csv'}")
    if lost:
        raise typer.Exit(1)
