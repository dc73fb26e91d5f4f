"""STL-10 from its official archive or folder, through torchvision's own class, or from folders of images, all or a part."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from labkit import files
from labkit.public.archives import DamagedData, download, intact, scratch, state_of, unpack
from labkit.public.scene15_folders import visible_folders, visible_images
from labkit.sets import SPLITS, Images, subset_index

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
TOTALS = {"train": 5000, "test": 8000}
FOLDERS = ("stl10", "STL10", "stl10_subset")
SIDE = 96


def stl10(split: str, *, limit: int | None = None, seed: int = 0) -> Images:
    """STL-10, 96x96 RGB: 5,000 train and 8,000 test photos, ten classes of equal size; the unlabelled ones are not read.

    From the official files, images come in the official order; from folders of classes, class by class and in the order of
    the numbers in their names, and `provenance` says 'subset' where some are missing. `limit` keeps a random part, drawn from
    `seed`; of folders no more than that is decoded.

    Raises:
        DamagedData: a file is not the official one; or a folder is unknown or a class missing, or an image can't be read
            or has another size.
        labkit.files.OfflineError: it is not at hand and may not, or could not, be downloaded.
        ValueError: limit is out of range.
    Source: Coates, Ng and Lee 2011, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, AISTATS; the photos
    are ImageNet's; no licence stated. The address it is downloaded from could not be tried.
    """
    found = _find() or _download()
    official = _is_official(found)
    if official:
        _check(found)
        pixels, labels = _read(found.parent, split) if found.is_dir() else _read_archive(str(found), split, _kind().tgz_md5)
        provenance = "torchvision.datasets.STL10"
    else:
        names, labels = _listing(found)[split]
        n, total = len(names), TOTALS[split]
        provenance = "STL-10" + ("" if n >= total else f" (subset: {n:,} of {total:,} images)")
    if limit is None:
        kept = np.arange(len(labels))
    else:
        kept = subset_index(torch.from_numpy(labels), limit, seed=seed, what=f"stl10 ({split})").numpy()
    if official:
        pixels = pixels[kept]
    else:
        names = [names[k] for k in kept]
        pixels = _decode(str(found), names, [_stamp(found / name) for name in names])
    return Images(
        pixels=torch.from_numpy(pixels),
        labels=torch.from_numpy(labels[kept]),
        class_names=CLASSES,
        name="stl10",
        split=split,
        provenance=provenance,
    )


def fetch() -> None:
    """Download the archive unless the set is at hand, and check it."""
    _check(_find() or _download())


def status() -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and the folder or archive where it is, or the folder where it belongs."""
    return state_of(_find(), _place(), _check)


def _kind() -> Any:
    from torchvision import datasets

    class Labelled(datasets.STL10):
        # the class refuses a folder that lacks any file in its lists; the third, 2.8 GB of unlabelled images, is not needed
        train_list = datasets.STL10.train_list[:2]

    return Labelled


def _place() -> Path:
    return files.home() / "data" / "public"


def _is_official(found: Path) -> bool:
    return found.name in (_kind().base_folder, _kind().filename)


def _find() -> Path | None:
    """The official folder or archive, or a folder with the splits, whichever comes first in the data folders."""
    for root in files.data_dirs():
        for name in (_kind().base_folder, _kind().filename):
            if (root / name).exists():
                return root / name
        for name in FOLDERS:
            if any((root / name / split).is_dir() for split in SPLITS):
                return root / name
    return None


def _download() -> Path:
    kind = _kind()
    path = _place() / kind.filename
    try:
        download("STL-10", kind.url, kind.tgz_md5, path)
    except files.OfflineError as error:
        needed = ", ".join(file for file, _ in (*kind.train_list, *kind.test_list))
        raise files.OfflineError(
            f"{error}. By hand: get {kind.url} (2.6 GB) in a browser and put it, or the folder {kind.base_folder}/ in it "
            f"(with {needed}), into {_place()} or the folder that LABKIT_DATA names; all or a part of the images as "
            f"{FOLDERS[0]}/train/<class>/<number>.png and {FOLDERS[0]}/test/<class>/<number>.png (or .jpg, {SIDE} x {SIDE} "
            f"pixels; classes are {', '.join(CLASSES)}) will do as well"
        ) from error
    return path


def _check(found: Path) -> None:
    if not _is_official(found):
        _listing(found)
        return
    kind, packed = _kind(), not found.is_dir()
    needed = {found: kind.tgz_md5} if packed else {found / file: md5 for file, md5 in (*kind.train_list, *kind.test_list)}
    for path, md5 in needed.items():
        if not (path.is_file() and _intact(str(path), md5, _stamp(path))):
            raise DamagedData(
                f"{path} is missing, truncated or not the official file (md5 should be {md5}): "
                + ("delete it and load again" if packed else f"put it there, or delete {found} and load again")
            )


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file is written anew."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@files.cached
def _intact(path: str, md5: str, stamp: tuple[int, int]) -> bool:
    """Whether the file has this md5 sum; the stamp keys the cache, since to read 2.6 GB takes long."""
    return intact(Path(path), md5)


def _read(root: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3, 96, 96) and labels int64 (N,)."""
    dataset = _kind()(str(root), split=split, download=False)
    return np.ascontiguousarray(dataset.data), dataset.labels.astype(np.int64)


@files.cached
def _read_archive(archive: str, split: str, md5: str) -> tuple[np.ndarray, np.ndarray]:
    """Unpack what is needed of the archive in a folder that is thrown away; its md5 sum keys the cache."""
    kind = _kind()
    needed = {PurePosixPath(kind.base_folder, file) for file, _ in (*kind.train_list, *kind.test_list)}
    with scratch() as folder:
        try:
            with tarfile.open(archive, "r|gz") as tar:
                for member in tar:
                    if (name := PurePosixPath(member.name)) in needed:
                        unpack(tar, member, folder)
                        needed.remove(name)
                    if not needed:  # what follows may be the unlabelled images
                        break
            return _read(folder, split)
        except (tarfile.TarError, EOFError, zlib.error, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DamagedData(f"{archive} can't be read ({reason}): delete it and load again") from error
        except OSError as error:
            raise OSError(f"STL-10 could not be unpacked in {folder}: {error}; free some space") from error


def _listing(root: Path) -> dict[str, tuple[list[str], np.ndarray]]:
    """By split, paths below `root`, class by class, and labels int64 (N,): the folders' names are read, not the images."""
    held = {}
    for split in SPLITS:
        folder = root / split
        if not folder.is_dir():
            raise DamagedData(f"{folder} is missing: put it there, with a folder for each of {', '.join(CLASSES)}")
        for path in visible_folders(folder):
            if path.name not in CLASSES:
                known = ", ".join(CLASSES)
                raise DamagedData(f"{path} is no class of STL-10: take it away or rename it; known are {known}")
        images = [visible_images(folder / name) for name in CLASSES]
        if missing := [name for name, paths in zip(CLASSES, images, strict=True) if not paths]:
            raise DamagedData(f"{folder} has no images of {', '.join(missing)}: put a folder of each there")
        names = [str(path.relative_to(root)) for paths in images for path in paths]
        held[split] = names, np.repeat(np.arange(len(CLASSES)), [len(paths) for paths in images])
    return held


@files.cached
def _decode(root: str, names: list[str], stamps: list[tuple[int, int]]) -> np.ndarray:
    """These images, uint8 (N, 3, 96, 96), one by one; the stamps key the cache."""
    from PIL import Image

    pixels = np.empty((len(names), 3, SIDE, SIDE), dtype=np.uint8)
    for number, path in enumerate(Path(root) / name for name in names):
        try:
            image = Image.open(path, formats=("JPEG", "PNG")).convert("RGB")
        except (OSError, SyntaxError, ValueError, zlib.error) as error:
            raise DamagedData(f"{path} is truncated or no image ({error}): put the original there, or delete it") from error
        if image.size != (SIDE, SIDE):
            raise DamagedData(
                f"{path} has {image.width} x {image.height} pixels, expected {SIDE} x {SIDE} as published: "
                "put the original there, or delete it"
            )
        pixels[number] = np.asarray(image).transpose(2, 0, 1)
    return pixels
