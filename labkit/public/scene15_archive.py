"""The archive of 15-Scene: downloaded from figshare, and unpacked by whatever program of this machine can."""

from __future__ import annotations

import errno
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from labkit import files
from labkit.public.archives import DamagedData, full, scratch

PAGE = "figshare.com/articles/dataset/15-Scene_Image_Dataset/7007177"
URL = "https://figshare.com/ndownloader/files/12855452"
NAMES = ("15SceneImageDataset.rar", "15SceneImageDataset.zip", "15-Scene.zip")
FOLDER = "15-Scene"
BEGINNINGS = (b"Rar!\x1a\x07", b"PK\x03\x04")
#: program -> its arguments, tried in this order; `tar` of Windows and macOS reads such archives, that of Linux does not
PROGRAMS = {
    "bsdtar": ("-xf", "{archive}", "-C", "{folder}"),
    "unar": ("-quiet", "-output-directory", "{folder}", "{archive}"),
    "7z": ("x", "-y", "-o{folder}", "{archive}"),
    "7zz": ("x", "-y", "-o{folder}", "{archive}"),
    "unrar": ("x", "-y", "{archive}", "{folder}/"),
    "tar": ("-xf", "{archive}", "-C", "{folder}"),
}


def place() -> Path:
    """Where the set belongs."""
    return files.home() / "data" / "public" / "scene15"


def bring(inside: Callable[[Path], Path | None]) -> None:
    """Unpack the archive into `place()`, and download it first unless it lies there or in the folder of LABKIT_DATA.

    `inside` finds the folder with the classes in what was unpacked. Public projects call the file a RAR archive, which
    Python can't read, so that a program of this machine does; no md5 sum is known, and neither file nor address could be
    tried: what comes has to begin as an archive does and be as long as the server says.

    Raises:
        DamagedData: the archive holds no classes, or is truncated.
        labkit.files.OfflineError: it may not, or could not, be downloaded, or no program here unpacks it.
        OSError: the disk is full or may not be written.
    """
    folders = [root / "scene15" for root in files.data_dirs()]
    found = next((path for folder in folders for name in NAMES if (path := folder / name).is_file()), None) or _download()
    with scratch() as folder:
        _unpack(found, folder)
        classes = inside(folder)
        if classes is None:
            raise DamagedData(f"{found} holds no folders of classes: delete it; {_advice()}")
        spare, target = place() / f".{FOLDER}.part", place() / FOLDER
        shutil.rmtree(spare, ignore_errors=True)
        shutil.move(classes, spare)  # scratch may be on another disk
        spare.rename(target)


def _advice() -> str:
    return (
        f"get the archive in a browser from {PAGE}, unpack it, and put its folder '{FOLDER}' (with 00/*.jpg to 14/*.jpg) into "
        f"{place()}, or into 'scene15' in the folder that LABKIT_DATA names; scene15/<class>/*.jpg, and "
        "scene15/train/<class>/*.jpg with scene15/test/<class>/*.jpg, will do as well"
    )


def _download() -> Path:
    from urllib.request import Request, urlopen

    path = place() / NAMES[0]
    try:
        files.require_network("15-Scene", place())
        with files.atomic_write(path) as spare, urlopen(Request(URL, headers={"User-Agent": "labkit"}), timeout=30) as answer:
            with spare.open("wb") as into:
                shutil.copyfileobj(answer, into)
            length = answer.headers.get("Content-Length")
            if length is not None and spare.stat().st_size != int(length):
                raise HTTPException(f"{spare.stat().st_size:,} of {int(length):,} bytes came")
            with spare.open("rb") as begun:
                if not begun.read(8).startswith(BEGINNINGS):
                    raise HTTPException("what came is no archive, but perhaps a page for browsers")
    except (OSError, HTTPException, files.OfflineError) as error:
        if full(error) or (isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES)):
            raise
        reason = " ".join(str(error).split())
        what = reason if isinstance(error, files.OfflineError) else f"15-Scene could not be downloaded ({reason})"
        raise files.OfflineError(f"{what}. By hand: {_advice()}") from error
    return path


def _unpack(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        try:
            with zipfile.ZipFile(archive) as held:
                held.extractall(folder)
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise DamagedData(f"{archive} can't be read ({error}): delete it and load again") from error
        return
    there = {name: program for name in PROGRAMS if (program := shutil.which(name))}
    for name, program in there.items():
        arguments = [argument.format(archive=archive, folder=folder) for argument in PROGRAMS[name]]
        done = subprocess.run([program, *arguments], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return
        shutil.rmtree(folder)
        folder.mkdir()
    tried = f"({', '.join(there)} could not)" if there else f"(tried {', '.join(PROGRAMS)})"
    raise files.OfflineError(
        f"{archive} is at hand, but no program here unpacks it {tried}: unpack it with 7-Zip, The Unarchiver or bsdtar, and "
        f"put its folder '{FOLDER}' (with 00/*.jpg to 14/*.jpg) into {place()}; if it is damaged, delete it and load again"
    )
