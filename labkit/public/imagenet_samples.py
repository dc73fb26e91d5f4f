"""A thousand photos, one for each class of ImageNet-1k: the whole collection, or a part with a list of its labels."""

from __future__ import annotations

import csv
import errno
import re
import shutil
import zipfile
import zlib
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from labkit import files
from labkit.public.archives import DamagedData, full, scratch, state_of
from labkit.sets import Images, subset_index

PAGE = "github.com/EliSchwartz/imagenet-sample-images"
URL = f"https://{PAGE}/archive/refs/heads/master.zip"
FOLDER = "imagenet-sample-images-master"
FOLDERS = ("imagenet_samples", FOLDER, "imagenet-sample-images")
ARCHIVE, LIST, COLUMNS = f"{FOLDER}.zip", "labels.csv", ("file", "class_index", "wnid", "name")
PICTURE = re.compile(r"n\d{8}_.+\.jpe?g", re.IGNORECASE)
TOTAL, LARGEST = 1000, 512


def imagenet_samples(split: str, *, size: int = 224, limit: int | None = None, seed: int = 0) -> Images:
    """ImageNet samples, RGB: 1,000 photos, one for each class of ImageNet-1k, whose index 0..999 is the label.

    Each is prepared as ImageNet's photos are for testing: the short side is resized to size * 256 / 224 pixels (bilinear,
    antialiased) and the middle `size` x `size` cut out, in uint8 (N, 3, size, size); grey and CMYK become RGB. Images come
    class by class; `class_names` are torchvision's 1,000 categories. `limit` keeps a random part, drawn from `seed`, and
    decodes no more than that. Where only a part is at hand, `provenance` says 'subset'.

    They were very likely taken from ImageNet's training images: accuracies on them of nets trained there are inflated.

    Raises:
        DamagedData: images are missing, the list of labels does not fit them, or an image can't be read.
        labkit.files.OfflineError: it is not at hand and may not, or could not, be downloaded.
        ValueError: split is not 'test', size is not in 8..512, or limit is out of range.
    Source: github.com/EliSchwartz/imagenet-sample-images, of Russakovsky et al. 2015, arXiv:1409.0575; for non-commercial
    research and education only. The address it is downloaded from could not be tried.
    """
    if split != "test":
        inflated = "very likely taken from ImageNet's training images, so that accuracies on them are inflated"
        raise ValueError(f"imagenet_samples has no split {split!r}: use split='test', whose images were {inflated}")
    if not 8 <= size <= LARGEST:
        raise ValueError(f"imagenet_samples: size is {size}, but photos have some 500 pixels a side: use 8..{LARGEST}")
    from torchvision.models import get_weight

    root = _fetch()
    names, listed = _listing(root)
    labels, n = torch.tensor(listed), len(names)
    if limit is not None:
        kept = subset_index(labels, limit, seed=seed, what="imagenet_samples (test)").sort().values
        names, labels = [names[k] for k in kept.tolist()], labels[kept]
    stamps = [(stat.st_size, stat.st_mtime_ns) for name in names for stat in [(root / name).stat()]]
    return Images(
        pixels=torch.from_numpy(_decode(str(root), names, size, stamps)),
        labels=labels,
        class_names=tuple(get_weight("SqueezeNet1_1_Weights.IMAGENET1K_V1").meta["categories"]),
        name="imagenet_samples",
        split=split,
        provenance="ImageNet samples" + ("" if n >= TOTAL else f" (subset: {n} of {TOTAL:,} images)"),
    )


def fetch() -> None:
    """Download and unpack the set unless it is at hand, and check that its images are there and their classes known."""
    _listing(_fetch())


def status() -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and the folder where it is, or where it belongs."""
    return state_of(_find(), _place(), _listing)


def _listing(root: Path) -> tuple[list[str], list[int]]:
    """Paths below `root` and labels, class by class; without a list of labels, classes are the ranks of 1,000 wnids."""
    path, folder = root / LIST, root / "images"
    if not path.is_file():
        paths = _pictures(root)
        of = {image.name[:9].lower(): str(image.relative_to(root)) for image in paths}
        if not len(of) == len(paths) == TOTAL:
            amiss = f"{TOTAL - len(of):,} are missing" if len(of) < TOTAL else "some do not belong there"
            raise DamagedData(
                f"{root} holds {len(paths):,} images of {len(of):,} classes, expected one of each of {TOTAL:,} ({amiss}): "
                f"put all of {PAGE} there, or list a part in {LIST} ({','.join(COLUMNS)}) beside a folder images with them"
            )
        return [of[wnid] for wnid in sorted(of)], list(range(TOTAL))
    table = csv.DictReader(path.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    if lacking := [column for column in COLUMNS if column not in (table.fieldnames or ())]:
        raise DamagedData(f"{path}, line 1, lacks {', '.join(lacking)}: it should be {','.join(COLUMNS)}")
    held = {image.name for image in folder.iterdir()} if folder.is_dir() else set()
    rows: list[tuple[str, int, str, int]] = []
    for row in table:
        line, file, index = table.line_num, row["file"], (row["class_index"] or "").strip()
        if file not in held:
            raise DamagedData(f"{path}, line {line}, names {file!r}, which is not in {folder}: put it there or delete the line")
        if not index.isdecimal() or int(index) >= TOTAL:
            raise DamagedData(f"{path}, line {line}: class_index is {index!r}, expected 0..{TOTAL - 1}: correct it")
        rows.append((row["wnid"] or "", int(index), file, line))
    if not rows:
        raise DamagedData(f"{path} has no line after its first: list the images in {folder}, one a line")
    for (wnid, label, _, line), (other, larger, _, below) in pairwise(rows := sorted(rows)):
        if (wnid < other) != (label < larger):
            raise DamagedData(f"{path}, lines {line} and {below}: class_index must follow the order of wnids: correct it")
    return [f"images/{file}" for _, _, file, _ in rows], [label for _, label, _, _ in rows]


def _place() -> Path:
    return files.home() / "data" / "public" / "imagenet_samples"


def _find(*folders: Path) -> Path | None:
    """The folder with the images or the list of labels, whichever comes first in these folders or the data folders."""
    for folder in folders or files.data_dirs():
        there = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else {}
        for path in (there[name] for name in FOLDERS if name in there):
            if found := path if (path / LIST).is_file() or _pictures(path) else _find(path):
                return found
    return None


def _pictures(folder: Path) -> list[Path]:
    """Images named by a wnid, in the folder or else in `images` inside it."""
    for place in (folder, folder / "images"):
        if found := [path for path in (place.iterdir() if place.is_dir() else ()) if PICTURE.fullmatch(path.name)]:
            return found
    return []


def _fetch() -> Path:
    """Where the set is, once the archive is downloaded and unpacked if need be."""
    if found := _find():
        return found
    places = [place for root in files.data_dirs() for place in (root / "imagenet_samples", root)]
    archive = next((path for place in places if (path := place / ARCHIVE).is_file()), None) or _download()
    with scratch() as folder:
        try:
            shutil.unpack_archive(archive, folder)
        except (shutil.ReadError, zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise DamagedData(f"{archive} can't be read ({error}): delete it and load again") from error
        inside = _find(folder)
        if inside is None or len(_pictures(inside)) < TOTAL:
            raise DamagedData(f"{archive} holds less than {TOTAL:,} images named by a wnid: delete it and load again")
        spare = _place() / f".{FOLDER}.part"
        shutil.rmtree(spare, ignore_errors=True)
        shutil.move(inside, spare)  # scratch may be on another disk
        return spare.rename(_place() / FOLDER)


def _download() -> Path:
    from urllib.request import Request, urlopen

    try:
        files.require_network("imagenet_samples", _place())
        with files.atomic_write(path := _place() / ARCHIVE) as spare:
            with urlopen(Request(URL, headers={"User-Agent": "labkit"}), timeout=30) as answer, spare.open("wb") as into:
                shutil.copyfileobj(answer, into)
            if not zipfile.is_zipfile(spare):  # its directory comes last
                raise HTTPException("what came is cut off, or no archive, but perhaps a page for browsers")
    except (OSError, HTTPException, files.OfflineError) as error:
        if full(error) or (isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES)):
            raise
        what = error if isinstance(error, files.OfflineError) else f"imagenet_samples could not be downloaded ({error})"
        raise files.OfflineError(
            f"{what}. By hand: get {URL} in a browser, unpack it, and put its folder '{FOLDER}' (with n01440764_tench.JPEG and "
            f"999 more) into {_place()} or the folder that LABKIT_DATA names; a part of them in imagenet_samples/images, with "
            f"imagenet_samples/{LIST} ({','.join(COLUMNS)}), will do as well"
        ) from error
    return path


@files.cached
def _decode(root: str, names: list[str], size: int, stamps: list[tuple[int, int]]) -> np.ndarray:
    """These images, uint8 (N, 3, size, size), one by one; the stamps (bytes, time) key the cache."""
    from PIL import Image

    pixels = np.empty((len(names), 3, size, size), dtype=np.uint8)
    for number, path in enumerate(Path(root) / name for name in names):
        try:
            image = Image.open(path, formats=("JPEG", "PNG")).convert("RGB")  # ImageNet has a PNG file called JPEG
        except (OSError, SyntaxError, ValueError, zlib.error) as error:
            raise DamagedData(f"{path} is truncated or no image ({error}): put the original there ({PAGE})") from error
        width, height = (round(size * 256 / 224) * side // min(image.size) for side in image.size)
        left, top = round((width - size) / 2), round((height - size) / 2)
        image = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
        pixels[number] = np.asarray(image).transpose(2, 0, 1)
    return pixels
