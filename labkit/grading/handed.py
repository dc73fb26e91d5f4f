"""The files that were handed in, in a folder or in a zip archive that stays packed; nothing of them can do harm."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

IGNORED = ("__MACOSX",)  # and all that is hidden, such as .ipynb_checkpoints
MEMBERS = 100_000  # files in an archive of a student's; more would fill memory with names alone
MIB = 2**20
#: what a broken, encrypted or malicious archive makes zipfile raise
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, LookupError, OverflowError, MemoryError)


class Unreadable(ValueError):
    """What was handed in can't be read; the message says what is wrong and what to ask of the student."""


@dataclass(frozen=True)
class Handed:
    """A file: `parts` of its path below the root, `label` as it is shown, `date` of its last change where that is known.

    `read(most)` gives its bytes, and raises Unreadable if there are more than `most` or they can't be had. `fault` says why
    it must not be read at all, '' if it may.
    """

    parts: tuple[str, ...]
    label: str
    date: datetime | None
    read: Callable[[int], bytes]
    fault: str = ""

    @property
    def suffix(self) -> str:
        """The ending of its name in lower case, with the dot."""
        return Path(self.parts[-1]).suffix.lower()


def clean(words: str) -> str:
    """Without lone surrogates and control characters, so that it can be written into one line of any file."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]", "\ufffd", words)


@contextmanager
def handed_in(root: Path) -> Iterator[list[Handed]]:
    """All files in a folder or a zip archive, sorted; they can be read while the context is open.

    Raises:
        ValueError: there is no such folder or archive, or the archive is broken.
    """
    if root.is_dir():
        yield sorted(_in_folder(root), key=lambda each: each.parts)
    elif root.is_file():
        try:
            archive = zipfile.ZipFile(root)
        except BROKEN as error:
            raise ValueError(f"{root} is no folder and no zip archive that can be read ({error}): download it again") from error
        with archive:
            yield sorted(_in_archive(archive, root.name), key=lambda each: each.parts)
    else:
        raise ValueError(f"{root} is not there: give the folder, or the zip archive, of submissions from your LMS")


def unpacked(data: bytes, label: str) -> list[Handed]:
    """The files in a student's archive, in memory.

    Raises:
        Unreadable: it is no zip archive, or holds absurdly many files.
    """
    if data.count(b"PK\x01\x02") > MEMBERS:
        raise Unreadable(f"{label} holds more than {MEMBERS} files: ask for the notebook itself")
    try:
        return list(_in_archive(zipfile.ZipFile(io.BytesIO(data)), label))
    except BROKEN as error:
        raise Unreadable(
            f"{label} is no zip archive that can be read ({clean(str(error))}): ask for the notebook itself"
        ) from error


def _in_folder(root: Path) -> Iterator[Handed]:
    closed: list[Path] = []
    for folder, names, files in os.walk(root, onerror=lambda error: closed.append(Path(error.filename))):
        here = Path(folder).relative_to(root).parts
        names[:] = [name for name in names if _counts(name)]
        for name in (*names, *filter(_counts, files)):
            path = Path(folder, name)
            try:
                state = path.lstat()
            except OSError:
                continue  # gone since it was listed
            label, fault = clean("/".join((*here, name))), ""
            if stat.S_ISLNK(state.st_mode):
                fault = f"{label} is a link, which is not followed: ask for the file itself"
            elif stat.S_ISDIR(state.st_mode):
                continue
            elif not stat.S_ISREG(state.st_mode):
                fault = f"{label} is no regular file: ask for the notebook itself"
            # a link to a folder stands for a folder: what is in it would be handed in under that name
            parts = (*here, name, "") if fault and _leads_to_folder(path) else (*here, name)
            yield Handed(parts, label, _moment(state.st_mtime), _reader(path, label), fault)
    for path in closed:
        if path == root:
            raise ValueError(f"{root} can't be opened: see whether you may read this folder")
        parts = path.relative_to(root).parts
        label = clean("/".join(parts))
        yield Handed((*parts, ""), label, None, _reader(path, label), f"{label} can't be opened: you may not read this folder")


def _in_archive(archive: zipfile.ZipFile, label: str) -> Iterator[Handed]:
    for info in archive.infolist():
        # absolute names and '..' lead nowhere, since nothing is unpacked; some Windows programs write backslashes
        parts = tuple(part for part in info.filename.replace("\\", "/").split("/") if part.strip(". ") and part[-1] != ":")
        if info.is_dir() or not parts or not all(_counts(part) for part in parts):
            continue
        name = f"{label}!{clean('/'.join(parts))}"
        fault = ""
        if stat.S_ISLNK(info.external_attr >> 16):
            fault = f"{name} is a link, which is not followed: ask for the file itself"
        elif info.flag_bits & 1:
            fault = f"{name} is encrypted: ask for the notebook itself"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile unpacks others without a limit
            fault = f"{name} is packed in an uncommon way (method {info.compress_type}): ask for the notebook itself"
        yield Handed(parts, name, _packed(info), _member(archive, info, name), fault)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in IGNORED


def _leads_to_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _packed(info: zipfile.ZipInfo) -> datetime | None:
    """The date of a member, which archives keep in local time; None for 1980, which stands for no date."""
    try:
        return datetime(*info.date_time).astimezone() if info.date_time[0] > 1980 else None
    except (ValueError, OverflowError, OSError):
        return None


def _reader(path: Path, label: str) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        try:
            with path.open("rb") as file:
                return _within(file.read(most + 1), most, label)
        except OSError as error:
            raise Unreadable(f"{label} can't be read ({error.strerror}): look at the file yourself") from error

    return read


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        try:
            with archive.open(info) as file:
                data = file.read(most + 1)
        except BROKEN as error:
            raise Unreadable(f"{label} can't be unpacked ({clean(str(error))}): ask for the notebook itself") from error
        return _within(data, most, label)

    return read


def _within(data: bytes, most: int, label: str) -> bytes:
    if len(data) > most:
        limit = f"{most / MIB:.3g} MiB"
        raise Unreadable(f"{label} is larger than {limit}: ask for the notebook with its outputs cleared, and nothing else")
    return data
