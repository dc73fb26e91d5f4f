"""Where things live on disk: project root, data, cache; offline switch; atomic writes."""

from __future__ import annotations

import errno
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
CACHE_LIMIT = 4 * 2**30  # bytes; the least recently used entries go first


class OfflineError(RuntimeError):
    """Something must be downloaded and the network is switched off or out of reach."""


def home() -> Path:
    """Find the project root: LABKIT_HOME, else the nearest folder upwards that holds `notebooks/expected.toml`.

    The search starts in the working directory and then at this file, so an editable install works from anywhere.

    Raises:
        FileNotFoundError: no such folder; the message says how to name it.
    """
    named = os.environ.get("LABKIT_HOME")
    if named:
        folder = Path(named).expanduser()
        if not (folder / "notebooks" / "expected.toml").is_file():
            raise FileNotFoundError(
                f"LABKIT_HOME is {named!r}, but there is no notebooks/expected.toml in it: set it to the workbook's folder"
            )
        return folder.resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "notebooks" / "expected.toml").is_file():
                return folder.resolve()
    raise FileNotFoundError(
        f"no workbook found above {Path.cwd()}: a notebook and `labkit` work inside the folder that you were given. Put the "
        "notebook back into its notebooks/, change into that folder, or set LABKIT_HOME to it"
    )


def data_dirs() -> list[Path]:
    """Folders that are searched for public data, in order: LABKIT_DATA (never written to), then data/public.

    Raises:
        FileNotFoundError: LABKIT_DATA names no folder, or the workbook is not found, as `home` says.
    """
    named = os.environ.get("LABKIT_DATA")
    folders = [home() / "data" / "public"]
    if named:
        folder = Path(named).expanduser().resolve()
        if not folder.is_dir():
            raise FileNotFoundError(f"LABKIT_DATA is {named!r}, which is not a folder: correct it or unset it")
        folders.insert(0, folder)
    return folders


def offline() -> bool:
    """Tell whether LABKIT_OFFLINE forbids every network call."""
    return os.environ.get("LABKIT_OFFLINE", "0") not in ("", "0")


def require_network(what: str, path: Path) -> None:
    """Raise if `what` would have to be downloaded while LABKIT_OFFLINE is set; `path` is where to put it by hand.

    Raises:
        OfflineError: the network is switched off.
    """
    if offline():
        raise OfflineError(
            f"{what} is not on this disk and LABKIT_OFFLINE forbids downloading it: put it at {path}, or unset LABKIT_OFFLINE"
        )


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends well; else nothing changes.

    Raises:
        OSError: the disk is full or read-only, with one line on what to do. The old file, if any, is whole.
    """
    path = Path(path)
    spare: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        spare = Path(name)
        yield spare
        with spare.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; give the new one the rights that a plain open() would give
        mask = os.umask(0)
        os.umask(mask)
        spare.chmod(0o666 & ~mask)
        spare.replace(path)
    except OSError as error:
        advice = {
            errno.ENOSPC: "the disk is full: free some space (`labkit data --clean` empties the cache)",
            errno.EDQUOT: "your disk quota is used up: free some space (`labkit data --clean` empties the cache)",
            errno.EROFS: "the disk is read-only: set LABKIT_HOME to a copy that you may write",
            errno.EACCES: "this folder may not be written: set LABKIT_HOME to a copy that you may write",
        }.get(error.errno or 0)
        if advice:
            raise OSError(error.errno, f"could not write {path}: {advice}") from error
        raise
    finally:
        if spare is not None:
            spare.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 atomically."""
    with atomic_write(path) as spare:
        spare.write_text(text, encoding="utf-8", newline="\n")


def cache_dir() -> Path:
    """Folder of computed arrays and unpacked archives; it may be deleted at any time."""
    return home() / "data" / "cache"


def cached(function: F) -> F:
    """Keep the results of a pure function on disk through joblib.Memory, one entry for each set of arguments.

    An entry is written beside its place and renamed, so two processes may compute it at once and a killed one leaves
    nothing half-written. Entries are compressed, and the compression's checksum finds a corrupt one, which is then
    computed again with a warning. A disk that can't be written costs the cache, not the result. `function.uncached`
    is the plain function.
    """
    kept: dict[Path, Any] = {}

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        import joblib

        folder = cache_dir()
        try:
            if folder not in kept:
                memory = joblib.Memory(folder, verbose=0, compress=1)
                kept[folder] = (memory, memory.cache(function))
            memory, remembered = kept[folder]
            there = remembered.check_call_in_cache(*args, **kwargs)
        except OSError:  # the folder can't be made or written
            return function(*args, **kwargs)
        if there:
            entry = remembered.call_and_shelve(*args, **kwargs)
            try:
                return entry.get()
            except Exception as error:
                warnings.warn(f"a cache entry of {function.__name__} is damaged ({error}): computing it again", stacklevel=2)
                entry.clear()
        result = remembered(*args, **kwargs)
        with suppress(OSError):
            memory.reduce_size(bytes_limit=CACHE_LIMIT)
        return result

    call.uncached = function  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def clean_cache() -> int:
    """Empty the cache and return the bytes that were freed."""
    import shutil

    folder = cache_dir()
    if not folder.exists():
        return 0
    freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return freed
