"""Files of the Hugging Face hub: found on this disk or fetched, checked against the hash they are kept under, or refused."""

from __future__ import annotations

import errno
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from labkit import files
from labkit.public.archives import DamagedData
from labkit.public.weights import sha256


class Wanted(NamedTuple):
    """What a net needs of a repository of the hub: one file of `weights`, the first that is there, and all of `beside`.

    `name` is the net's own. In a folder of public data its files lie in `folder`, where one of `instead` does too.
    """

    name: str
    repository: str
    folder: str
    weights: tuple[str, ...]
    beside: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()

    @property
    def files(self) -> str:
        """The files in words."""
        one_of, of = " or ".join(self.weights), "" if self.repository == self.name else f" of {self.repository}"
        return " and ".join((*self.beside, one_of)) + of + "".join(f", or {each}" for each in self.instead)


def find(wanted: Wanted) -> Path | None:
    """The file of weights on this disk, with what belongs beside it: in a folder of public data, else in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    for here in (place / wanted.folder for place in files.data_dirs()):
        for path in (here / each for each in (*wanted.weights, *wanted.instead)):
            if path.is_file() and all((here / each).is_file() for each in wanted.beside):
                return path
    kept = {each: try_to_load_from_cache(wanted.repository, each) for each in (*wanted.beside, *wanted.weights)}
    if not all(isinstance(kept[each], str) for each in wanted.beside):
        return None
    return next((Path(found) for each in wanted.weights if isinstance(found := kept[each], str)), None)


def fetch(wanted: Wanted) -> Path:
    """The file of weights, downloaded into the hub's cache with what belongs beside it.

    Raises:
        labkit.files.OfflineError: it may not, or could not, be downloaded; says which files go where.
        OSError: the disk is full or may not be written.
    """
    from huggingface_hub import file_exists, hf_hub_download

    name, repository, folder = wanted.name, wanted.repository, files.data_dirs()[-1] / wanted.folder
    files.require_network(f"{name} ({wanted.files})", folder)
    print(f"{name}: fetching from the Hugging Face hub, once", flush=True)  # without a network it tries for half a minute
    try:
        with quiet(bar=False):
            for each in wanted.beside:
                hf_hub_download(repository, each)
        with quiet(bar=os.environ.get("TQDM_DISABLE", "0") in ("", "0")):  # the hub's bar does not heed it by itself
            *first, last = wanted.weights
            path = hf_hub_download(repository, next((each for each in first if file_exists(repository, each)), last))
    except Exception as error:  # the hub's own, those of its HTTP library, and the system's
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise OSError(
                error.errno,
                f"{name} could not be written ({error.strerror}): free some space, or set HF_HOME to another folder",
            ) from error
        reason = re.sub(r"\S+://\S+", "the hub", " ".join(str(error).split()) or type(error).__name__)[:200]
        raise files.OfflineError(
            f"{name} could not be downloaded ({reason}): connect to the network, or put {wanted.files} into {folder}"
        ) from error
    return Path(path)


def digest(wanted: Wanted, path: Path) -> str:
    """SHA-256 of a file of weights, hexadecimal.

    Raises:
        DamagedData: it lies in the hub's cache and is not what it was when it was fetched.
    """
    found, kept_as = sha256(path), path.resolve().name  # the cache keeps a file under the hash that it should have
    if re.fullmatch(r"[0-9a-f]{64}", kept_as) and kept_as != found:
        raise damaged(wanted, path, [f"its SHA-256 begins with {found[:8]}, not {kept_as[:8]}"])
    return found


def damaged(wanted: Wanted, path: Path, faults: Sequence[str]) -> DamagedData:
    """The error that says what is wrong with a file of weights, in at least one fault, and what to do; it is left alone."""
    kept = next((parent for parent in path.parents if parent.name.startswith("models--")), None)
    # in the cache the path is a link, and without it a damaged file would be linked again
    source = "the Hugging Face hub" if wanted.repository == wanted.name else f"{wanted.repository} on the Hugging Face hub"
    remedy = f"delete {kept} and load again" if kept else f"put those of {source} there (`git lfs pull` in a clone)"
    what = " or ".join((str(path), *(f"{each} beside it" for each in wanted.beside)))
    reason = f"{faults[0]}; {len(faults)} such faults" if len(faults) > 1 else faults[0]
    return DamagedData(f"{what} is truncated or of another net ({reason}): {remedy}")


def said(error: Exception) -> str:
    """The first line of an error, shortened, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


@contextmanager
def quiet(*, bar: bool) -> Iterator[None]:
    """Keep back remarks of the hub and of transformers, and bars unless `bar`; what was set before is put back."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as bars

    levels = {logger: logger.level for logger in map(logging.getLogger, ("huggingface_hub", "transformers"))}
    hub, loading = not are_progress_bars_disabled(), bars.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in levels:
            logger.setLevel(logging.ERROR)
        if not bar:
            bars.disable_progress_bar()  # the hub's too
        try:
            yield
        finally:
            for logger, level in levels.items():
                logger.setLevel(level)
            if loading:
                bars.enable_progress_bar()
            (enable_progress_bars if hub else disable_progress_bars)()
