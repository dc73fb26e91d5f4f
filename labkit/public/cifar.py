"""CIFAR-10 from its official archive or folder, through torchvision's own class."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any

import torch

from labkit import files
from labkit.public.archives import DamagedData, download, intact, require_intact, scratch, state_of, unpack
from labkit.sets import Images


def cifar10(split: str) -> Images:
    """CIFAR-10, 32x32 RGB: 50,000 train and 10,000 test photos, ten classes of equal size.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images; no licence stated.
    """
    found = _find() or _download()
    _check(found)
    pixels, labels, class_names = _read(found.parent, split) if found.is_dir() else _read_archive(split, _kind().tgz_md5)
    return Images(
        pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        labels=torch.tensor(labels),
        class_names=tuple(class_names),
        name="cifar10",
        split=split,
        provenance="torchvision.datasets.CIFAR10",
    )


def fetch() -> None:
    """Download the archive unless the set is at hand, and check it."""
    _check(_find() or _download())


def status() -> tuple[str, Path]:
    """'here', 'damaged' or 'absent', and the folder or archive where it is, or the folder where it belongs."""
    return state_of(_find(), _archive().parent, _check)


def _kind() -> Any:
    from torchvision import datasets

    return datasets.CIFAR10


def _archive() -> Path:
    return files.home() / "data" / "public" / _kind().filename


def _find() -> Path | None:
    """The folder of batches or the archive, whichever comes first in the data folders."""
    names = (_kind().base_folder, _kind().filename)
    return next((path for root in files.data_dirs() for name in names if (path := root / name).exists()), None)


def _download() -> Path:
    download("CIFAR-10", _kind().url, _kind().tgz_md5, _archive())
    return _archive()


def _check(found: Path) -> None:
    if not found.is_dir():
        require_intact(found, _kind().tgz_md5)
        return
    kind = _kind()
    for file, md5 in (*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])):
        if not intact(found / file, md5):
            raise DamagedData(
                f"{found / file} is missing, truncated or not the official file (md5 should be {md5}): "
                f"put it there, or delete {found} and load again"
            )


def _read(root: Path, split: str) -> Any:
    dataset = _kind()(str(root), train=split == "train", download=False)
    return dataset.data, dataset.targets, dataset.classes


@files.cached
def _read_archive(split: str, md5: str) -> Any:
    """Unpack the archive in a folder that is thrown away; its md5 sum keys the cache."""
    archive = _find()
    assert archive is not None
    with scratch() as folder:
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    unpack(tar, member, folder)
            return _read(folder, split)
        except (tarfile.TarError, EOFError, zlib.error, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DamagedData(f"{archive} can't be read ({reason}): delete it and load again") from error
        except OSError as error:
            raise OSError(f"CIFAR-10 could not be unpacked in {folder}: {error}; free some space") from error
