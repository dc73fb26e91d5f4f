"""Official files of public sets: found, checked, downloaded, and a folder to unpack them in that is thrown away."""

from __future__ import annotations

import errno
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from labkit import files


class DamagedData(RuntimeError):
    """A data file is truncated or corrupt, or is not the official one."""


def intact(path: Path, md5: str) -> bool:
    """Whether the file is there and has this md5 sum."""
    from torchvision.datasets.utils import check_integrity

    return check_integrity(str(path), md5)


def require_intact(path: Path, md5: str) -> None:
    """Raise unless the file is the official one.

    Raises:
        DamagedData: it has another md5 sum.
    """
    if not intact(path, md5):
        raise DamagedData(f"{path} is truncated or not the official file (md5 should be {md5}): delete it and load again")


def state_of(found: Path | None, place: Path, check: Callable[[Path], object]) -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and where a set was found, or the `place` where it belongs.

    `check` raises DamagedData where what was found is not the official set.
    """
    if found is None:
        return "absent", place
    try:
        check(found)
    except DamagedData:
        return "damaged", found
    return "here", found


def full(error: Exception) -> bool:
    """Whether an error says that there is no room on the disk."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def download(what: str, url: str, md5: str, path: Path) -> None:
    """Download one file to `path` through torchvision, check it, and only then give it its name.

    Raises:
        labkit.files.OfflineError: it may not, or could not, be downloaded; the message says where to put it by hand.
        OSError: the disk is full or may not be written.
    """
    from torchvision.datasets.utils import download_url

    files.require_network(f"{what} ({path.name})", path)
    try:
        with files.atomic_write(path) as spare:
            download_url(url, str(spare.parent), spare.name, md5)
    except (RuntimeError, OSError) as error:
        if full(error) or (isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES)):
            raise
        reason = " ".join(str(error).split())
        raise files.OfflineError(
            f"{what} could not be downloaded ({reason}): connect to the network, or put {path.name} into {path.parent}"
        ) from error


def unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Unpack one member of a tar archive into `folder`, and never anything outside it.

    Python has a filter for that; Python 3.11.0 to 3.11.3, which some systems come with, has not.

    Raises:
        tarfile.TarError: the member is neither a file nor a folder, or its name leads elsewhere.
    """
    if hasattr(tarfile, "data_filter"):
        tar.extract(member, folder, filter="data")
        return
    name = PurePosixPath(member.name)
    if not (member.isfile() or member.isdir()) or name.is_absolute() or ".." in name.parts:
        raise tarfile.TarError(f"{member.name} is no plain file within the archive")
    tar.extract(member, folder)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder to unpack in, in the cache where that may be written, and remove it afterwards."""
    _sweep()
    try:
        files.cache_dir().mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=files.cache_dir(), prefix=".unpack-")
    except OSError:  # a workbook that may not be written
        folder = tempfile.TemporaryDirectory(prefix="labkit-")
    with folder as name:
        yield Path(name)


def _sweep() -> None:
    """Remove what killed processes left half-unpacked; a folder younger than a day may still be in use."""
    for left in files.cache_dir().glob(".unpack-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > 24 * 3600:
                shutil.rmtree(left)
