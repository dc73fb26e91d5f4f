"""CelebA, photos of celebrities' faces with 40 attributes by name, from the official files, whole or a part of them."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from labkit import files
from labkit.public.archives import DamagedData, download
from labkit.public.celeba_lists import ATTRIBUTES, PAGE, TEXTS, Table, advice, official, read_table
from labkit.sets import Images, subset_index

OFFICIAL = {"train": 162_770, "test": 19_962}  # and 19,867 that are meant for validation
PARTITION = {"train": 0, "test": 2}
FOLDER, ARCHIVE = "img_align_celeba", "img_align_celeba.zip"
WIDTH, HEIGHT, CROP = 178, 218, 178


def celeba(split: str, *, size: int = 64, limit: int | None = None, seed: int = 0) -> Images:
    """CelebA, RGB: 162,770 train and 19,962 test photos by the official partition; the label says whether a face smiles.

    Read from the official aligned images of 178x218 pixels, of which the middle 178x178 are cut out (rows 20..197, so
    that hats and bald heads stay in) and resized to `size` with antialiasing. Pixels are uint8. Each of the 40 attributes
    is bool (N,) under its own name, as in `attributes["Smiling"]`; `attributes["identity"]` is the person, int64 (N,).

    Where some of the images are not at hand, the others are taken, and `provenance` says 'subset'. `limit` keeps a
    random part, drawn from `seed`, and decodes no more than that: all of train takes 3 * size**2 * 162,770 bytes, 2 GB
    at 64 pixels, and some minutes once.

    Raises:
        DamagedData: a list or image is missing or can't be read, or they don't fit each other.
        labkit.files.OfflineError: it is not at hand and may not, or could not, be downloaded.
        ValueError: size is not in 8..178, or limit is out of range.
    Source: Liu et al. 2015, arXiv:1411.7766; for non-commercial research only.
    """
    if not 8 <= size <= CROP:
        raise ValueError(f"celeba: size is {size}, but what is cut out has {CROP} pixels a side: use 8..{CROP}")
    images = _fetch()
    table = read_table(_lists())
    mine = _of_split(table, images, split)
    n = len(mine)
    smiling = torch.from_numpy(table.attributes[mine, ATTRIBUTES.index("Smiling")]).long()
    if limit is not None:
        kept = subset_index(smiling, limit, seed=seed, what=f"celeba ({split})")
        mine, smiling = mine[kept.numpy()], smiling[kept]
    names = table.names[mine]
    attributes = {name: torch.from_numpy(table.attributes[mine, column]) for column, name in enumerate(ATTRIBUTES)}
    attributes["identity"] = torch.from_numpy(table.identities[mine])
    return Images(
        pixels=torch.from_numpy(_decode(str(images), names, size, _fingerprint(images, names))),
        labels=smiling,
        class_names=("neutral", "smiling"),
        name="celeba",
        split=split,
        provenance="CelebA" if n >= OFFICIAL[split] else f"CelebA (subset: {n:,} of {OFFICIAL[split]:,} images)",
        attributes=attributes,
    )


def fetch() -> None:
    """Download what is not at hand of images and lists, and check that they fit each other."""
    _at_hand(_fetch(), read_table(_lists()))


def status() -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and the folder where it is, or where it belongs."""
    images = _pictures()
    if images is None:
        return "absent", _folder()
    if len(_lists()) < len(TEXTS):
        return "absent", images.parent
    try:
        _at_hand(images, read_table(_lists()))
    except DamagedData:
        return "damaged", images.parent
    return "here", images.parent


def _folder() -> Path:
    return files.home() / "data" / "public" / "celeba"


def _find(text: str) -> Path | None:
    return next((path for root in files.data_dirs() if (path := root / "celeba" / text).is_file()), None)


def _lists() -> list[Path]:
    """The lists that are at hand, in the order of TEXTS."""
    return [path for text in TEXTS if (path := _find(text)) is not None]


def _pictures() -> Path | None:
    """The folder of images or the archive of them, whichever comes first in the data folders; None if there is none."""
    for root in files.data_dirs():
        folder, archive = root / "celeba" / FOLDER, root / "celeba" / ARCHIVE
        if folder.is_dir() and _names(folder):
            return folder
        if archive.is_file():
            return archive
    return None


def _fetch() -> Path:
    """Where the images are, once what is not at hand is downloaded, small files first."""
    missing = [text for text in TEXTS if _find(text) is None] + [ARCHIVE] * (_pictures() is None)
    for number, name in enumerate(missing):
        key, md5 = official()[name]
        try:
            download("CelebA", f"https://drive.google.com/file/d/{key}/view", md5, _folder() / name)
        except OSError:  # the disk
            raise
        except Exception as error:  # the network, or one of gdown's own errors, which torchvision lets through
            reason = " ".join(str(error).split())
            what = reason if isinstance(error, files.OfflineError) else f"CelebA could not be downloaded ({reason})"
            raise files.OfflineError(
                f"{what}. Google Drive often refuses automatic downloads: get {', '.join(missing[number:])} in a browser from "
                f"{PAGE} and put them into {_folder()}, or into 'celeba' in the folder that LABKIT_DATA names "
                f"(unpacked, the images are {FOLDER}/*.jpg; a part of them will do)"
            ) from error
    found = _pictures()
    assert found is not None
    return found


def _at_hand(images: Path, table: Table) -> np.ndarray:
    """Which rows of the table have their image there, bool (N,)."""
    held = _names(images)
    if strange := sorted(held - set(table.names.tolist())):
        listed = _lists()[0]
        raise DamagedData(
            f"{listed} says nothing of {strange[0]}, and of {len(strange):,} of {len(held):,} images in {images}: "
            f"{advice(listed)}"
        )
    there = np.array([name in held for name in table.names.tolist()], dtype=bool)
    if not there.any():
        raise DamagedData(f"{images} holds no image: {advice(images)}")
    return there


def _of_split(table: Table, images: Path, split: str) -> np.ndarray:
    """Rows of the split whose image is there, (n,)."""
    there = _at_hand(images, table)
    mine = np.flatnonzero(there & (table.partition == PARTITION[split]))
    if len(mine) == 0:
        raise DamagedData(
            f"{images} holds {int(there.sum()):,} images, but none of the {split} split, which {TEXTS[2]} marks "
            f"{PARTITION[split]}: put some of them there"
        )
    return mine


def _is_image(name: str) -> bool:
    return name.endswith(".jpg") and not name.startswith(".")  # '._000001.jpg' comes from another system's archives


def _names(images: Path) -> set[str]:
    if images.is_dir():
        with os.scandir(images) as entries:
            return {entry.name for entry in entries if _is_image(entry.name)}
    return set(_members(images))


def _members(archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Images in the archive by file name."""
    try:
        with zipfile.ZipFile(archive) as held:
            inside = {PurePosixPath(info.filename): info for info in held.infolist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise DamagedData(f"{archive} is truncated or no archive ({error}): {advice(archive)}") from error
    return {path.name: info for path, info in inside.items() if _is_image(path.name) and path.parent.name == FOLDER}


def _fingerprint(images: Path, names: np.ndarray) -> str:
    """What changes when one of these images is written anew."""
    digest = hashlib.md5()
    for path in (images / name for name in names.tolist()) if images.is_dir() else (images,):
        stat = path.stat()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@files.cached
def _decode(images: str, names: np.ndarray, size: int, fingerprint: str) -> np.ndarray:
    """These images, uint8 (N, 3, size, size), cut out and resized one by one; the fingerprint keys the cache."""
    where = Path(images)
    if where.is_dir():
        remedy = f"put the official one there ({PAGE}), or delete it"
        return _resized(names, lambda name: (where / name).read_bytes(), size, where, remedy)
    members = _members(where)
    with zipfile.ZipFile(where) as archive:
        return _resized(names, lambda name: archive.read(members[name]), size, where / FOLDER, advice(where))


def _resized(names: np.ndarray, read: Callable[[str], bytes], size: int, where: Path, remedy: str) -> np.ndarray:
    """Decoded one by one, so that no more than what is kept is ever in memory."""
    from PIL import Image, UnidentifiedImageError

    pixels = np.empty((len(names), 3, size, size), dtype=np.uint8)
    top = (HEIGHT - CROP) // 2
    for number, name in enumerate(names.tolist()):
        try:
            image = Image.open(BytesIO(read(name)), formats=("JPEG",)).convert("RGB")
        except (OSError, SyntaxError, ValueError, zlib.error, zipfile.BadZipFile) as error:
            reason = "not a JPEG file" if isinstance(error, UnidentifiedImageError) else error
            raise DamagedData(f"{where / name} is truncated or no image ({reason}): {remedy}") from error
        if image.size != (WIDTH, HEIGHT):
            raise DamagedData(
                f"{where / name} has {image.width} x {image.height} pixels, expected {WIDTH} x {HEIGHT}: take the images of "
                f"'Align&Cropped Images' ({ARCHIVE}), not those in the wild"
            )
        small = image.crop((0, top, WIDTH, top + CROP)).resize((size, size), Image.Resampling.BILINEAR)
        pixels[number] = np.asarray(small).transpose(2, 0, 1)
    return pixels
