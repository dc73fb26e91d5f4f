"""Public sets, from small files in the official layout: whole, damaged, missing, and read-only."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import tarfile
import threading
import time
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets, transforms

from labkit import files
from labkit.public import DamagedData, archives, celeba, celeba_lists, fetch, mnist_m, public_status
from labkit.sets import Images, load

SETS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}
SIZES = {"train": 12, "t10k": 5}


def archive(values: np.ndarray) -> bytes:
    """An idx file of bytes, gzipped: magic number 0x0800 + dimensions, then the sizes, big-endian."""
    header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture
def official(tmp_path, monkeypatch):
    """A workbook without data, a folder with the 'official' archives of both sets, and what is in them."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "workbook"))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    (tmp_path / "workbook" / "notebooks").mkdir(parents=True)
    (tmp_path / "workbook" / "notebooks" / "expected.toml").touch()
    truth = {}
    for number, (name, kind) in enumerate(SETS.items()):
        raw, resources = tmp_path / "official" / kind / "raw", []
        raw.mkdir(parents=True)
        for part, n in SIZES.items():
            rng = np.random.default_rng((number, n))
            images, labels = rng.integers(0, 256, (n, 28, 28)), rng.integers(0, 10, n)
            truth[name, "train" if part == "train" else "test"] = images, labels
            for file, values in ((f"{part}-images-idx3-ubyte.gz", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
                (raw / file).write_bytes(archive(values))
                resources.append((file, hashlib.md5((raw / file).read_bytes()).hexdigest()))
        monkeypatch.setattr(getattr(datasets, kind), "resources", resources)
        monkeypatch.setattr(getattr(datasets, kind), "mirrors", [f"file://{tmp_path}/no-mirror/"])
    return tmp_path / "official", truth


def listing(folder: Path) -> list[tuple]:
    return sorted((str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*"))


def test_what_comes_is_what_the_archives_hold_and_the_data_folder_is_not_written_to(official, monkeypatch):
    data, truth = official
    monkeypatch.setenv("LABKIT_DATA", str(data))
    for path in (data, *data.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = listing(data)
    for _ in range(2):  # unpacked, then from the cache
        for (name, split), (pixels, labels) in truth.items():
            images = load(name, split=split)
            assert images.pixels.shape == (len(labels), 1, 28, 28) and images.pixels.dtype == torch.uint8
            assert np.array_equal(images.pixels[:, 0].numpy(), pixels) and np.array_equal(images.labels.numpy(), labels)
            assert (images.name, images.split, images.provenance) == (name, split, f"torchvision.datasets.{SETS[name]}")
            assert len(images.class_names) == 10
    assert listing(data) == before
    cache = files.cache_dir()
    assert not list(cache.glob(".unpack-*")) and list(cache.rglob("output.pkl"))
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "replaced"])
@pytest.mark.parametrize("loaded_before", [False, True])
def test_a_damaged_archive_is_named_with_its_hash(official, monkeypatch, damage, loaded_before):
    data, _ = official
    monkeypatch.setenv("LABKIT_DATA", str(data))
    if loaded_before:
        load("fashion_mnist", split="test")
    path = data / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    raw = path.read_bytes()
    md5 = hashlib.md5(raw).hexdigest()
    path.write_bytes(
        {"truncated": raw[:-5], "flipped": raw[:20] + bytes([raw[20] ^ 4]) + raw[21:], "replaced": archive(np.zeros(5))}[damage]
    )
    with pytest.raises(DamagedData, match="truncated or not the official file") as caught:
        load("fashion_mnist", split="test")
    assert str(path) in str(caught.value) and md5 in str(caught.value) and "delete it and load again" in str(caught.value)
    assert [row[:2] for row in public_status()[:2]] == [("mnist", "here"), ("fashion_mnist", "damaged")]
    load("mnist")


def test_other_archives_are_not_served_from_an_old_cache_entry(official, monkeypatch):
    data, truth = official
    monkeypatch.setenv("LABKIT_DATA", str(data))
    load("mnist", split="test")
    path = data / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    labels = (truth["mnist", "test"][1] + 1) % 10
    path.write_bytes(archive(labels))
    resources = [(f, hashlib.md5((data / "MNIST" / "raw" / f).read_bytes()).hexdigest()) for f, _ in datasets.MNIST.resources]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert load("mnist", split="test").labels.tolist() == labels.tolist()


def test_offline_says_which_file_to_put_where(official, monkeypatch):
    data, _ = official
    place = files.home() / "data" / "public" / "MNIST" / "raw"
    with pytest.raises(files.OfflineError, match="LABKIT_OFFLINE") as caught:
        load("mnist")
    assert str(place / "train-images-idx3-ubyte.gz") in str(caught.value)
    for file in (data / "MNIST" / "raw").glob("*"):  # done file by file as told, it works
        with pytest.raises(files.OfflineError, match="LABKIT_OFFLINE") as caught:
            load("mnist")
        assert str(place) in str(caught.value)
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).write_bytes(file.read_bytes())
    assert len(load("mnist")) == 12


@pytest.fixture
def mirror(official):
    """Address of a server on this machine that has the official archives of MNIST."""
    folder = str(official[0] / "MNIST" / "raw")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_what_is_downloaded_is_kept_and_fetched_once(official, mirror, monkeypatch):
    data, truth = official
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
    assert np.array_equal(load("mnist", split="test").pixels[:, 0].numpy(), truth["mnist", "test"][0])
    kept = files.home() / "data" / "public" / "MNIST" / "raw"
    assert sorted(p.name for p in kept.iterdir()) == sorted(p.name for p in (data / "MNIST" / "raw").iterdir())
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["file:///gone/"])
    assert np.array_equal(load("mnist").pixels[:, 0].numpy(), truth["mnist", "train"][0])


def test_fetch_downloads_what_is_not_at_hand_whatever_the_cache_holds(official, mirror, monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
    kept = files.home() / "data" / "public" / "MNIST" / "raw"
    for _ in range(2):
        fetch("mnist")
        assert public_status()[0] == ("mnist", "here", kept)
        load("mnist", split="test")  # fills the cache
        (kept / "t10k-labels-idx1-ubyte.gz").unlink()
    fetch("mnist")
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["file:///gone/"])
    fetch("mnist")  # at hand: nothing is asked of the network
    (kept / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")
    with pytest.raises(DamagedData):
        fetch("mnist")
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    with pytest.raises(files.OfflineError, match="LABKIT_OFFLINE"):
        fetch("fashion_mnist")


def test_a_network_that_fails_is_told_with_the_manual_step(official, monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")
    with pytest.raises(files.OfflineError, match=r"MNIST could not be downloaded.*or put its four \.gz files into") as caught:
        load("mnist")
    assert "\n" not in str(caught.value)
    assert str(files.home() / "data" / "public" / "MNIST" / "raw") in str(caught.value)
    assert not list(files.cache_dir().glob(".unpack-*")) and not list(files.cache_dir().rglob("output.pkl"))


def test_archives_that_arrived_are_kept_though_a_later_one_did_not(official, mirror, monkeypatch):
    data, _ = official
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [mirror])
    names = [name for name, _ in datasets.MNIST.resources]
    (data / "MNIST" / "raw" / names[-1]).write_bytes(b"cut off")
    with pytest.raises(files.OfflineError, match="MNIST could not be downloaded"):
        fetch("mnist")
    kept = files.home() / "data" / "public" / "MNIST" / "raw"
    assert sorted(path.name for path in kept.iterdir()) == sorted(names[:-1])


@pytest.mark.parametrize("where", ["copy", "unpack"])
def test_a_full_disk_is_not_taken_for_the_network(official, monkeypatch, where):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC if where == "copy" else None, "No space left on device")

    monkeypatch.setenv("LABKIT_DATA", str(official[0]))
    monkeypatch.setattr(*((shutil, "copy") if where == "copy" else (datasets.MNIST, "download")), full)
    with pytest.raises(OSError, match=r"MNIST could not be unpacked in .*No space left on device; free some space$"):
        load("mnist")


def test_what_a_killed_process_left_half_unpacked_is_swept_after_a_day(official, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(official[0]))
    old, young = (files.cache_dir() / f".unpack-{name}" for name in ("old", "young"))
    for folder in (old, young):
        (folder / "MNIST").mkdir(parents=True)
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    load("mnist")
    assert not old.exists() and young.exists()


def test_a_workbook_that_cannot_be_written_still_loads_what_is_at_hand(official, monkeypatch):
    data, truth = official
    monkeypatch.setenv("LABKIT_DATA", str(data))
    (files.home() / "data").write_text("a file in the way of every folder")
    assert np.array_equal(load("mnist").pixels[:, 0].numpy(), truth["mnist", "train"][0])


def test_status_tells_here_from_absent_and_where_it_is_or_belongs(official, monkeypatch):
    data, _ = official
    public = files.home() / "data" / "public"
    absent = [("mnist_m", "absent", public / "mnist_m"), ("cifar10", "absent", public), ("celeba", "absent", public / "celeba")]
    absent += [(name, "absent", public / name) for name in ("scene15", "imagenet_samples")]
    absent += [("stl10", "absent", public)]
    assert public_status() == [(name, "absent", public / kind / "raw") for name, kind in SETS.items()] + absent
    monkeypatch.setenv("LABKIT_DATA", str(data))
    assert public_status() == [(name, "here", data.resolve() / kind / "raw") for name, kind in SETS.items()] + absent
    (data / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").unlink()
    assert public_status()[0][1] == "absent"


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def blended(official, monkeypatch):
    """A folder of MNIST-M in the official layout with a few images a split, and what is in it."""
    folder, truth = official[0] / "mnist_m", {}
    for number, (split, n) in enumerate({"train": 6, "test": 3}.items()):
        rng = np.random.default_rng((2, number))
        truth[split] = rng.integers(0, 256, (n, 32, 32, 3)), rng.integers(0, 10, n)
        (folder / f"mnist_m_{split}").mkdir(parents=True)
        for k, image in enumerate(truth[split][0]):
            (folder / f"mnist_m_{split}" / f"{k:08}.png").write_bytes(png(image))
        lines = [f"{k:08}.png {label}\n" for k, label in enumerate(truth[split][1])]
        (folder / f"mnist_m_{split}_labels.txt").write_text("".join(lines))
    monkeypatch.setattr(mnist_m, "OFFICIAL", {"train": 6, "test": 3})
    monkeypatch.setattr(mnist_m, "URL", "http://127.0.0.1:9/none")
    monkeypatch.setenv("LABKIT_DATA", str(official[0]))
    return folder, truth


def packed(folder: Path, archive: Path, monkeypatch) -> Path:
    """Pack the folder as the official archive is packed, and take it away."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    shutil.rmtree(folder)
    monkeypatch.setattr(mnist_m, "MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    return archive


def same(images: Images, truth: tuple) -> bool:
    """Whether a set holds these pixels (N, H, W, C) and labels."""
    return np.array_equal(images.pixels.permute(0, 2, 3, 1).numpy(), truth[0]) and images.labels.tolist() == list(truth[1])


@pytest.mark.parametrize("form", ["folder", "archive", "archive in folder"])
def test_mnist_m_is_what_its_folder_or_archive_holds_and_the_data_folder_is_not_written_to(blended, monkeypatch, form):
    folder, truth = blended
    data = folder.parent
    if form != "folder":
        archive = packed(folder, data / mnist_m.ARCHIVE, monkeypatch)
        if form == "archive in folder":
            folder.mkdir()
            archive.rename(folder / archive.name)
    before = listing(data)
    for _ in range(2):  # decoded, then from the cache
        for split in ("train", "test"):
            images = load("mnist_m", split=split)
            assert same(images, truth[split]) and images.pixels.dtype == torch.uint8
            assert (images.name, images.split, images.provenance) == ("mnist_m", split, "MNIST-M")
    assert listing(data) == before
    assert list(files.cache_dir().rglob("output.pkl")) and not list(files.cache_dir().glob(".unpack-*"))
    assert public_status()[2][:2] == ("mnist_m", "here")
    monkeypatch.setattr(mnist_m, "_decode", None)
    assert same(load("mnist_m", split="test"), truth["test"])  # not decoded again
    fetch("mnist_m")


def test_a_part_of_mnist_m_says_so(blended, monkeypatch):
    monkeypatch.setattr(mnist_m, "OFFICIAL", {"train": 59_001, "test": 3})
    assert load("mnist_m").provenance == "MNIST-M (subset: 6 of 59,001 images)"
    assert load("mnist_m", split="test").provenance == "MNIST-M"


def test_mnist_m_is_decoded_anew_when_a_file_changes(blended):
    folder, truth = blended
    load("mnist_m")
    other = 255 - truth["train"][0][4]
    (folder / "mnist_m_train" / "00000004.png").write_bytes(png(other))
    assert np.array_equal(load("mnist_m").pixels[4].permute(1, 2, 0).numpy(), other)
    labels = folder / "mnist_m_train_labels.txt"
    labels.write_text(labels.read_text().replace("00000000.png", "00000005.png", 1).rsplit("00000005.png", 1)[0])
    assert len(load("mnist_m")) == 5 and np.array_equal(
        load("mnist_m").pixels[0].permute(1, 2, 0).numpy(), truth["train"][0][5]
    )


def test_images_of_mnist_m_that_are_not_rgb_become_so(blended):
    folder, truth = blended
    grey = truth["train"][0][1][..., 0]
    (folder / "mnist_m_train" / "00000001.png").write_bytes(png(grey))
    assert np.array_equal(load("mnist_m").pixels[1].numpy(), np.stack([grey] * 3))


DAMAGE = {
    "no labels": (None, r"mnist_m_train_labels.txt is missing: put the official file there, or delete"),
    "empty labels": ("", r"mnist_m_train_labels.txt is empty: put the official file"),
    "wrong label": ("00000000.png 5\n00000001.png x\n", r"line 2 is '00000001.png x', not such as '00000000.png 5': put the"),
    "other folder": ("../00000000.png 5\n", r"line 1 is '../00000000.png 5', not such as"),
    "twice": ("00000000.png 5\n00000000.png 5\n", r"line 2 names 00000000.png again: put the official file"),
    "no image": (
        "00000000.png 5\n00000008.png 5\n00000009.png 5\n",
        r"mnist_m_train.00000008.png is missing, and with it 2 of 3 images that have a label: unpack the official",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_labels_and_images_of_mnist_m_that_do_not_fit_are_named(blended, monkeypatch, damage, form):
    folder, truth = blended
    text, message = DAMAGE[damage]
    path = folder / "mnist_m_train_labels.txt"
    path.unlink() if text is None else path.write_text(text)
    where = folder if form == "folder" else packed(folder, folder.parent / mnist_m.ARCHIVE, monkeypatch)
    with pytest.raises(DamagedData, match=message) as caught:
        load("mnist_m")
    assert str(caught.value).startswith(f"{where}/mnist_m_train")
    if form == "folder":
        assert public_status()[2] == ("mnist_m", "damaged", folder)
        with pytest.raises(DamagedData, match=message):
            fetch("mnist_m")
    assert same(load("mnist_m", split="test"), truth["test"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", r"is truncated or no image \(.*\): "),
        ("text", "is truncated or no image"),
        ("size", "has 28 x 30 pixels"),
    ],
)
def test_an_image_of_mnist_m_that_cannot_be_used_is_named(blended, damage, message):
    path = blended[0] / "mnist_m_train" / "00000003.png"
    raw = path.read_bytes()
    path.write_bytes({"truncated": raw[: len(raw) // 2], "text": b"gone", "size": png(np.zeros((30, 28, 3)))}[damage])
    with pytest.raises(DamagedData, match=f"{message}.*unpack the official mnist_m.tar.gz anew") as caught:
        load("mnist_m")
    assert str(path) in str(caught.value)


def test_a_damaged_archive_of_mnist_m_is_named_with_its_hash(blended, monkeypatch):
    folder, _ = blended
    archive = packed(folder, folder.parent / mnist_m.ARCHIVE, monkeypatch)
    load("mnist_m")
    archive.write_bytes(archive.read_bytes()[:-99])
    with pytest.raises(DamagedData, match=f"{mnist_m.MD5}.: delete it and load again") as caught:
        load("mnist_m")
    assert str(archive) in str(caught.value) and public_status()[2] == ("mnist_m", "damaged", archive)
    monkeypatch.setattr(mnist_m, "MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(DamagedData, match=r"can't be read .*: delete it and load again"):
        load("mnist_m")


def test_without_mnist_m_the_file_its_place_and_the_recipe_are_named(official, monkeypatch):
    place = files.home() / "data" / "public" / "mnist_m" / "mnist_m.tar.gz"
    with pytest.raises(
        files.OfflineError, match=r"LABKIT_OFFLINE.*load\('mnist_m', photos='cifar10'\) makes the set"
    ) as caught:
        load("mnist_m")
    assert str(place) in str(caught.value)
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(mnist_m, "URL", "http://127.0.0.1:9/none")
    with pytest.raises(files.OfflineError, match=r"MNIST-M could not be downloaded .*photos='cifar10'") as caught:
        load("mnist_m")
    assert f"put mnist_m.tar.gz into {place.parent}" in str(caught.value) and not list(place.parent.glob("*"))


def test_mnist_m_is_downloaded_once_and_only_whole(blended, mirror, monkeypatch):
    folder, truth = blended
    archive = packed(folder, folder.parent / "MNIST" / "raw" / mnist_m.ARCHIVE, monkeypatch)  # what the server gives
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(mnist_m, "URL", mirror + archive.name)
    kept = files.home() / "data" / "public" / "mnist_m" / mnist_m.ARCHIVE
    whole = archive.read_bytes()
    archive.write_bytes(whole[:100])
    with pytest.raises(files.OfflineError, match="could not be downloaded"):
        load("mnist_m")
    assert not list(kept.parent.iterdir())
    archive.write_bytes(whole)
    assert same(load("mnist_m", split="test"), truth["test"]) and kept.read_bytes() == whole
    archive.unlink()
    assert same(load("mnist_m"), truth["train"]) and public_status()[2] == ("mnist_m", "here", kept)


def test_a_full_disk_is_told_from_a_network_that_fails(official, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr("torchvision.datasets.utils.download_url", full)
    for name in ("mnist_m", "cifar10"):
        with pytest.raises(OSError, match="the disk is full: free some space"):
            load(name)


@pytest.fixture
def photos(official, monkeypatch):
    """A folder with CIFAR-10's batches in the official format, two photos a batch, and what is in them."""
    folder, truth = official[0] / "cifar-10-batches-py", {"train": ([], []), "test": ([], [])}
    folder.mkdir()

    def write(name: str, content: dict) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    lists = {"train": [], "test": []}
    for number, name in enumerate(["test_batch", *(f"data_batch_{k}" for k in range(1, 6))]):
        rng = np.random.default_rng((3, number))
        data, labels = rng.integers(0, 256, (2, 3072)).astype(np.uint8), rng.integers(0, 10, 2).tolist()
        split = "train" if number else "test"
        truth[split][0].extend(data.reshape(2, 3, 32, 32).transpose(0, 2, 3, 1))
        truth[split][1].extend(labels)
        lists[split].append(write(name, {"data": data, "labels": labels}))
    file, md5 = write("batches.meta", {"label_names": [f"class {k}" for k in range(10)]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", lists["train"])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", lists["test"])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": file, "key": "label_names", "md5": md5})
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/none")
    archive = official[0].parent / datasets.CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setenv("LABKIT_DATA", str(official[0]))
    return folder, archive, truth


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_cifar10_is_what_its_batches_hold_and_the_data_folder_is_not_written_to(photos, form):
    folder, archive, truth = photos
    if form == "archive":
        shutil.rmtree(folder)
        archive.rename(folder.parent / archive.name)
    before = listing(folder.parent)
    for _ in range(2):
        for split in ("train", "test"):
            images = load("cifar10", split=split)
            assert same(images, truth[split]) and images.pixels.is_contiguous()
            assert images.class_names == tuple(f"class {k}" for k in range(10))
            assert (images.name, images.split, images.provenance) == ("cifar10", split, "torchvision.datasets.CIFAR10")
    assert listing(folder.parent) == before and not list(files.cache_dir().glob(".unpack-*"))
    assert public_status()[3] == ("cifar10", "here", folder if form == "folder" else folder.parent / archive.name)
    fetch("cifar10")


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_batch_of_cifar10_is_named_with_its_hash(photos, name, damage):
    path = photos[0] / name
    raw = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(raw[:-1])
    with pytest.raises(DamagedData, match=r"missing, truncated or not the official.*put it there, or delete") as caught:
        load("cifar10")
    assert str(path) in str(caught.value) and hashlib.md5(raw).hexdigest() in str(caught.value)
    assert public_status()[3] == ("cifar10", "damaged", photos[0])


def test_a_damaged_archive_of_cifar10_is_named_with_its_hash(photos, monkeypatch):
    folder, archive, _ = photos
    shutil.rmtree(folder)
    place = folder.parent / archive.name
    place.write_bytes(archive.read_bytes()[:-99])
    with pytest.raises(DamagedData, match=f"{datasets.CIFAR10.tgz_md5}.: delete it and load again") as caught:
        load("cifar10")
    assert str(place) in str(caught.value)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(place.read_bytes()).hexdigest())
    with pytest.raises(DamagedData, match=r"can't be read .*: delete it and load again"):
        load("cifar10")


def test_cifar10_is_downloaded_once_and_offline_names_its_place(photos, mirror, monkeypatch):
    folder, archive, truth = photos
    shutil.rmtree(folder)
    kept = files.home() / "data" / "public" / archive.name
    with pytest.raises(files.OfflineError, match="LABKIT_OFFLINE") as caught:
        load("cifar10")
    assert str(kept) in str(caught.value)
    monkeypatch.delenv("LABKIT_OFFLINE")
    with pytest.raises(files.OfflineError, match=r"CIFAR-10 could not be downloaded .*put cifar-10-python.tar.gz into"):
        load("cifar10")
    archive.rename(folder.parent / "MNIST" / "raw" / archive.name)  # what the server gives
    monkeypatch.setattr(datasets.CIFAR10, "url", mirror + archive.name)
    assert same(load("cifar10"), truth["train"])
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/none")
    assert same(load("cifar10", split="test"), truth["test"]) and public_status()[3] == ("cifar10", "here", kept)


def test_mnist_m_is_made_of_each_digit_and_a_photo_of_the_same_split(official, photos):
    for split in ("train", "test"):
        images, (digits, labels) = load("mnist_m", split=split, photos="cifar10"), official[1]["mnist", split]
        padded = np.pad(digits, ((0, 0), (2, 2), (2, 2)))[..., None]
        candidates = np.stack([np.abs(photo.astype(int) - 255 * (padded > 0)) for photo in photos[2][split][0]], axis=1)
        made = images.pixels.permute(0, 2, 3, 1).numpy()[:, None]
        which = (candidates == made).all((2, 3, 4))
        assert (which.sum(1) == 1).all() and len(set(which.argmax(1))) > 1
        assert images.labels.tolist() == list(labels)
        assert images.provenance == "made by the MNIST-M recipe from MNIST and photos of cifar10, not the official MNIST-M"
        assert torch.equal(load("mnist_m", split=split, photos="cifar10").pixels, images.pixels)
    with pytest.raises(ValueError, match="mnist_m: photos is 'stl10', expected 'cifar10', or None for MNIST-M itself"):
        load("mnist_m", photos="stl10")


@pytest.mark.parametrize("name", SETS)
def test_a_margin_brings_28_pixels_to_more(official, monkeypatch, name):
    monkeypatch.setenv("LABKIT_DATA", str(official[0]))
    small, large = load(name), load(name, size=32)
    assert large.pixels.shape == (12, 1, 32, 32) and torch.equal(large.pixels[..., 2:30, 2:30], small.pixels)
    assert int(large.pixels.long().sum()) == int(small.pixels.long().sum())
    assert large.provenance == f"{small.provenance}, padded to 32x32"
    monkeypatch.delenv("LABKIT_DATA")
    for size in (27, 31, 16):  # told before anything is looked for
        with pytest.raises(
            ValueError, match=rf"{name}: size is {size}, but the images have 28 pixels a side: use 28, or 28 \+"
        ):
            load(name, size=size)


PARTS = [0, 0, 2, 0, 0, 1, 0, 2, 0, 2, 0, 1]  # of the images of `portraits`: 7 train, 2 validation, 3 test
HEADER = " ".join(celeba_lists.ATTRIBUTES)


def jpg(number: int, width: int = 178, height: int = 218) -> bytes:
    """A smooth picture, like no other."""
    coarse = np.random.default_rng((4, number)).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def signs(number: int) -> list[int]:
    """-1 or 1 by column for an image; no two columns are alike among the seven training images."""
    bit = sum(part == 0 for part in PARTS[:number])
    return [1 if (column + 1) >> bit & 1 else -1 for column in range(40)]


def write_lists(folder: Path, monkeypatch, *, order=range(12)) -> None:
    """The five lists, spaced as the official ones are, of which torchvision then knows the md5 sums."""
    names = [(f"{number + 1:06}.jpg", number) for number in order]
    attributes = [f"{name} " + " ".join(f"{sign:2}" for sign in signs(number)) for name, number in names]
    lists = {
        "list_attr_celeba.txt": [str(len(names)), HEADER + " ", *attributes],
        "identity_CelebA.txt": [f"{name} {2880 + 7 * number}" for name, number in names],
        "list_eval_partition.txt": [f"{name} {PARTS[number]}" for name, number in names],
        "list_bbox_celeba.txt": [str(len(names)), "image_id x_1 y_1 width height", *(f"{name} 1 2 3 4" for name, _ in names)],
        "list_landmarks_align_celeba.txt": [str(len(names)), "lefteye_x lefteye_y", *(f"{name} 69 109" for name, _ in names)],
    }
    for file, rows in lists.items():
        (folder / file).write_text("".join(f"{row}\n" for row in rows))
    known = {name: (key, md5) for key, md5, name in datasets.CelebA.file_list}
    known |= {file: (known[file][0], hashlib.md5((folder / file).read_bytes()).hexdigest()) for file in lists}
    monkeypatch.setattr(datasets.CelebA, "file_list", [(key, md5, name) for name, (key, md5) in known.items()])


@pytest.fixture
def portraits(official, monkeypatch):
    """A folder of CelebA in the official layout with twelve images."""
    folder = official[0] / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for number in range(12):
        (folder / "img_align_celeba" / f"{number + 1:06}.jpg").write_bytes(jpg(number))
    write_lists(folder, monkeypatch)
    monkeypatch.setattr(celeba, "OFFICIAL", {"train": 7, "test": 3})
    monkeypatch.setattr(celeba_lists, "TOTAL", 12)
    monkeypatch.setenv("LABKIT_DATA", str(official[0]))
    return folder


def zipped(folder: Path) -> Path:
    """Pack the images as the official archive is packed, with what a Mac adds, and take the folder away."""
    archive = folder / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as into:
        into.mkdir("img_align_celeba")
        for path in sorted((folder / "img_align_celeba").iterdir()):
            into.write(path, f"img_align_celeba/{path.name}")
            into.writestr(f"__MACOSX/img_align_celeba/._{path.name}", b"not an image")
    shutil.rmtree(folder / "img_align_celeba")
    return archive


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_celeba_is_what_torchvision_reads_cut_out_and_reduced_and_nothing_is_written_beside_it(portraits, monkeypatch, form):
    cut = transforms.Compose([transforms.CenterCrop(178), transforms.Resize(48), transforms.PILToTensor()])
    truth = {}
    for split in ("train", "test"):
        reference = datasets.CelebA(str(portraits.parent), split=split, target_type=["attr", "identity"], transform=cut)
        rows = [reference[k] for k in range(len(reference))]
        names = [name for name in reference.attr_names if name]
        truth[split] = (
            torch.stack([image for image, _ in rows]),
            dict(zip(names, torch.stack([target[0] for _, target in rows]).T, strict=True)),
            torch.stack([target[1] for _, target in rows]),
        )
    if form == "archive":
        zipped(portraits)
    before = listing(portraits)
    for _ in range(2):  # decoded, then from the cache
        for split, (pixels, attributes, people) in truth.items():
            images = load("celeba", split=split, size=48)
            assert images.pixels.dtype == torch.uint8 and torch.equal(images.pixels, pixels)
            assert images.attributes.keys() == {*attributes, "identity"} and len(attributes) == 40
            for name, values in attributes.items():
                assert images.attributes[name].dtype == torch.bool and torch.equal(images.attributes[name], values == 1), name
            assert torch.equal(images.attributes["identity"], people)
            assert torch.equal(images.labels, attributes["Smiling"]) and images.class_names == ("neutral", "smiling")
            assert (images.name, images.split, images.provenance) == ("celeba", split, "CelebA")
        monkeypatch.setattr(celeba, "_resized", None)
    assert listing(portraits) == before and list(files.cache_dir().rglob("output.pkl"))
    assert public_status()[4] == ("celeba", "here", portraits)
    fetch("celeba")


def test_each_attribute_of_celeba_is_under_its_own_name_in_whatever_order_the_lists_are(portraits, monkeypatch):
    images = load("celeba", size=8)
    columns = [tuple(images.attributes[name].tolist()) for name in celeba_lists.ATTRIBUTES]
    assert len(set(columns)) == 40  # so that columns that were mixed up would show
    for number, name in enumerate(("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald")):
        assert tuple(images.attributes[name].tolist()) == tuple(bool(number + 1 >> bit & 1) for bit in range(7)), name
    assert [int(v) for v in images.attributes["Smiling"]] == [0, 0, 0, 0, 0, 1, 0]  # column 32 of 1..40
    assert [int(v) for v in images.attributes["Young"]] == [0, 0, 0, 1, 0, 1, 0]  # column 40
    # lines in another order, and columns too
    write_lists(portraits, monkeypatch, order=[5, 11, 0, 3, 2, 1, 8, 7, 6, 9, 4, 10])
    path = portraits / "list_attr_celeba.txt"
    rows = [row.split() for row in path.read_text().splitlines()]
    turned = [rows[0], rows[1][::-1], *([name, *values[::-1]] for name, *values in rows[2:])]
    path.write_text("".join(" ".join(row) + "\n" for row in turned))
    monkeypatch.setattr(celeba_lists, "TOTAL", 99)
    again = load("celeba", size=8)
    assert torch.equal(again.pixels, images.pixels)
    for name, values in images.attributes.items():
        assert torch.equal(again.attributes[name], values), name


def test_a_limit_of_celeba_decodes_no_more_and_draws_what_any_set_would(portraits, monkeypatch):
    whole, decoded = load("celeba", size=8), []
    resized = celeba._resized
    monkeypatch.setattr(celeba, "_resized", lambda names, *rest: decoded.append(len(names)) or resized(names, *rest))
    for seed in (0, 1):
        part = load("celeba", size=8, limit=4, seed=seed)
        kept = celeba.subset_index(whole.labels, 4, seed=seed, what="")
        assert torch.equal(part.pixels, whole.pixels[kept]) and torch.equal(part.labels, whole.labels[kept])
        assert all(torch.equal(values, whole.attributes[name][kept]) for name, values in part.attributes.items())
        assert part.provenance == "CelebA"
    assert decoded == [4, 4]
    for limit in (0, 8):
        with pytest.raises(ValueError, match=rf"limit {limit}: celeba \(train\) has 7 images, ask for 1..7"):
            load("celeba", limit=limit)
    for size in (7, 179):
        with pytest.raises(ValueError, match=rf"celeba: size is {size}, but what is cut out has 178 .*: use 8..178"):
            load("celeba", size=size)
    with pytest.raises(ValueError, match="dataset 'celeba': got an unexpected keyword argument 'width'"):
        load("celeba", width=3)


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_part_of_celeba_says_so_and_keeps_images_and_attributes_together(portraits, form):
    whole = load("celeba", size=8)
    for number in (0, 3, 2, 7, 9):  # two of train, all of test
        (portraits / "img_align_celeba" / f"{number + 1:06}.jpg").unlink()
    where = portraits / "img_align_celeba"
    if form == "archive":
        where = zipped(portraits)
    part = load("celeba", size=8)
    assert part.provenance == "CelebA (subset: 5 of 7 images)"
    kept = torch.tensor([1, 3, 4, 5, 6])
    assert torch.equal(part.pixels, whole.pixels[kept])
    assert all(torch.equal(values, whole.attributes[name][kept]) for name, values in part.attributes.items())
    with pytest.raises(DamagedData, match=r"holds 7 images, but none of the test split, which list_eval_partition.txt marks 2"):
        load("celeba", split="test")
    assert public_status()[4][:2] == ("celeba", "here")
    lists = portraits / "list_attr_celeba.txt"  # a shorter list does as well
    rows = lists.read_text().splitlines(keepends=True)
    lists.write_text("".join(row for row in rows if row[:6] not in ("000001", "000004")))
    assert torch.equal(load("celeba", size=8).pixels, part.pixels)
    (where / "000002.jpg" if form == "folder" else where).touch()
    assert torch.equal(load("celeba", size=8).pixels, part.pixels)


def test_celeba_is_decoded_anew_when_an_image_or_a_list_changes(portraits, monkeypatch):
    before = load("celeba", size=8)
    (portraits / "img_align_celeba" / "000002.jpg").write_bytes(jpg(99))
    after = load("celeba", size=8)
    changed = (before.pixels != after.pixels).flatten(1).any(1)
    assert changed.tolist() == [False, True, False, False, False, False, False]
    monkeypatch.setattr(celeba_lists, "TOTAL", 99)
    people = portraits / "identity_CelebA.txt"
    people.write_text(people.read_text().replace("000002.jpg 2887", "000002.jpg 12345"))
    assert load("celeba", size=8).attributes["identity"].tolist()[:2] == [2880, 12345]


#: a list, what is done with its text, and what is said of it
BROKEN = {
    "cut off": (
        "list_attr_celeba.txt",
        lambda text: text[:-30],
        r"line 14 is '000012.jpg .*'; expected .* and 40 number\(s\) like -1 or 1: put",
    ),
    "cut at a line": (
        "list_attr_celeba.txt",
        lambda text: "".join(text.splitlines(keepends=True)[:-2]),
        r"says nothing of 000011.jpg, and of 2 of 12 images in .*img_align_celeba: put the",
    ),
    "no count": ("list_attr_celeba.txt", lambda text: text[3:], "does not begin with the number of images and then the names"),
    "a word for the count": ("list_attr_celeba.txt", lambda text: "image_id" + text[2:], "does not begin with the number of"),
    "no header": ("list_attr_celeba.txt", lambda text: text.replace(HEADER + " \n", ""), "names of CelebA's 40 attributes: "),
    "a name less": ("list_attr_celeba.txt", lambda text: text.replace("Young ", ""), "names of CelebA's 40 attributes: put"),
    "another name": ("list_attr_celeba.txt", lambda text: text.replace("Young", "Old"), "names of CelebA's 40 attributes: put"),
    "a sign less": ("list_attr_celeba.txt", lambda text: text.replace("000003.jpg -1", "000003.jpg"), "line 5 is '000003.jpg"),
    "a sign more": ("list_attr_celeba.txt", lambda text: text.replace("000003.jpg", "000003.jpg 1"), "line 5 is '000003.jpg"),
    "a zero": ("list_attr_celeba.txt", lambda text: text.replace("000003.jpg -1", "000003.jpg 0"), "line 5 is '000003.jpg  *0"),
    "twice": ("identity_CelebA.txt", lambda text: text.replace("000002", "000001"), "line 2 lists 000001.jpg again; expected"),
    "empty": ("identity_CelebA.txt", lambda text: "", r"says nothing of 000001.jpg, and of 12 of 12 images that list_attr_cel"),
    "no number": ("identity_CelebA.txt", lambda text: text.replace("2880", "x"), r"line 1 is '000001.jpg x'; expected a new"),
    "other split": ("list_eval_partition.txt", lambda text: text.replace("jpg 1", "jpg 3"), "line 6 is '000006.jpg 3'; expect"),
    "outside": ("list_eval_partition.txt", lambda text: "../" + text, r"line 1 is '\.\./000001.jpg 0'; expected a new name"),
    "one less": (
        "list_eval_partition.txt",
        lambda text: text.replace("000012.jpg 1\n", ""),
        r"says nothing of 000012.jpg, and of 1 of 12 images that list_attr_celeba.txt lists: put the official list_eval",
    ),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_lists_of_celeba_that_do_not_fit_are_named(portraits, monkeypatch, damage):
    file, change, message = BROKEN[damage]
    load("celeba", size=8)  # what the cache holds does not hide it
    path = portraits / file
    path.write_text(change(path.read_text()))
    monkeypatch.setattr(celeba_lists, "TOTAL", 99)
    for action in (lambda: load("celeba", size=8), lambda: fetch("celeba")):
        with pytest.raises(DamagedData, match=message) as caught:
            action()
        assert str(caught.value).startswith(str(path)) and f"put the official {file} there (mmlab" in str(caught.value)
    assert public_status()[4] == ("celeba", "damaged", portraits)


@pytest.mark.parametrize("file", celeba_lists.TEXTS)
def test_a_list_of_celeba_of_full_length_has_to_be_the_official_one(portraits, file):
    path = portraits / file
    before = text = path.read_text()
    for old, new in (("000012.jpg -1", "000012.jpg  1"), ("2887", "2888"), ("000009.jpg 0", "000009.jpg 2")):
        text = text.replace(old, new)
    path.write_text(text)
    assert text != before
    with pytest.raises(DamagedData, match=rf"{file} is as long as the official file, but is not the same \(md5 should be"):
        load("celeba")


@pytest.mark.parametrize("form", ["folder", "archive"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", r"is truncated or no image \(.*\): "),
        ("text", r"is truncated or no image \(not a JPEG file\)"),
        ("wild", "has 300 x 200 pixels, e"),
    ],
)
def test_an_image_of_celeba_that_cannot_be_used_is_named(portraits, damage, message, form):
    path = portraits / "img_align_celeba" / "000004.jpg"
    raw = path.read_bytes()
    path.write_bytes({"truncated": raw[: len(raw) // 2], "text": b"gone", "wild": jpg(3, 300, 200)}[damage])
    remedy = (
        "put the official one there .*, or delete it" if form == "folder" else "put the official img_align_celeba.zip there"
    )
    if damage == "wild":
        remedy = "take the images of 'Align&Cropped Images' .img_align_celeba.zip., not those in the wild"
    if form == "archive":
        path = zipped(portraits) / "img_align_celeba" / path.name
    with pytest.raises(DamagedData, match=f"{message}.*{remedy}") as caught:
        load("celeba")
    assert str(path) in str(caught.value)
    assert len(load("celeba", split="test")) == 3


def test_a_damaged_archive_of_celeba_is_named(portraits):
    archive = zipped(portraits)
    raw = archive.read_bytes()
    archive.write_bytes(raw[:-99])
    with pytest.raises(
        DamagedData, match=r"is truncated or no archive \(.*\): put the official img_align_celeba.zip there"
    ) as caught:
        load("celeba")
    assert str(archive) in str(caught.value) and public_status()[4] == ("celeba", "damaged", portraits)
    first = raw.index(b"\xff\xd8") + 2000
    archive.write_bytes(raw[:first] + bytes([raw[first] ^ 4]) + raw[first + 1 :])
    with pytest.raises(DamagedData, match=r"000001.jpg is truncated or no image \(Bad CRC-32"):
        load("celeba")
    with zipfile.ZipFile(archive, "w") as into:
        into.writestr("img_celeba/000001.jpg", jpg(0))
    with pytest.raises(DamagedData, match=r"img_align_celeba.zip holds no image: put the official"):
        load("celeba")


def test_what_is_missing_of_celeba_is_named_with_where_to_put_it(portraits, monkeypatch):
    place = files.home() / "data" / "public" / "celeba"
    names = [*celeba_lists.TEXTS, "img_align_celeba"]
    for number, name in enumerate(names):
        (portraits / name).rename(portraits.parent / name)
        with pytest.raises(files.OfflineError, match=r"LABKIT_OFFLINE.* Google Drive often refuses automatic") as caught:
            load("celeba")
        asked = str(caught.value).split("get ")[1].split(" in a browser")[0]
        assert [other in asked for other in names] == [k <= number for k in range(4)]
        assert f"put them into {place}, or into 'celeba' in the folder that LABKIT_DATA names" in str(caught.value)
        assert public_status()[4][1] == "absent"
    place.mkdir(parents=True)
    for name in names:  # done as told, it works
        (portraits.parent / name).rename(place / name)
    assert len(load("celeba")) == 7 and public_status()[4] == ("celeba", "here", place)
    (place / "identity_CelebA.txt").rename(portraits / "identity_CelebA.txt")  # in two folders
    (portraits / "img_align_celeba").mkdir()  # empty: passed over
    assert len(load("celeba", split="test")) == 3


def test_what_is_downloaded_of_celeba_is_the_official_file_and_a_refusal_says_what_to_do(portraits, monkeypatch):
    zipped(portraits)
    source = portraits.rename(portraits.parent / "drive")
    place, asked = files.home() / "data" / "public" / "celeba", []
    known = {key: name for key, _, name in datasets.CelebA.file_list}
    archive_md5 = hashlib.md5((source / "img_align_celeba.zip").read_bytes()).hexdigest()
    changed = [(key, archive_md5 if name.endswith(".zip") else md5, name) for key, md5, name in datasets.CelebA.file_list]
    monkeypatch.setattr(datasets.CelebA, "file_list", changed)
    monkeypatch.delenv("LABKIT_OFFLINE")

    def drive(url: str, root: str, name: str, md5: str) -> None:
        asked.append(known[url.removeprefix("https://drive.google.com/file/d/").removesuffix("/view")])
        if asked[-1].endswith(".zip") and len(asked) == 4:
            raise LookupError(
                "Too many users have viewed\nor downloaded this file recently"
            )  # gdown's errors are of no common kind
        shutil.copy(source / asked[-1], Path(root) / name)
        assert hashlib.md5((Path(root) / name).read_bytes()).hexdigest() == md5

    monkeypatch.setattr("torchvision.datasets.utils.download_url", drive)
    with pytest.raises(
        files.OfflineError,
        match=r"^CelebA could not be downloaded \(Too many users have viewed or downloaded this file recently\)\. Google Drive "
        r"often refuses automatic downloads: get img_align_celeba.zip in a browser from mmlab",
    ):
        load("celeba")
    assert sorted(path.name for path in place.iterdir()) == sorted(celeba_lists.TEXTS)
    fetch("celeba")
    assert asked == [*celeba_lists.TEXTS, "img_align_celeba.zip", "img_align_celeba.zip"]
    assert len(load("celeba")) == 7 and public_status()[4] == ("celeba", "here", place)


@pytest.mark.parametrize("old", [False, True], ids=["with Python's filter", "with a Python that has none"])
def test_an_archive_unpacks_plain_files_and_nothing_outside_the_folder(old, tmp_path, monkeypatch):
    if old:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    (tmp_path / "a.txt").write_text("a")
    link = tarfile.TarInfo("in/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("in/a.txt", "../out.txt"):
            tar.add(tmp_path / "a.txt", name)
        tar.addfile(link)
    folder = tmp_path / "inner" / "folder"
    folder.mkdir(parents=True)
    with tarfile.open(tmp_path / "x.tar") as tar:
        good, *bad = tar
        archives.unpack(tar, good, folder)
        for member in bad:
            with pytest.raises(tarfile.TarError):
                archives.unpack(tar, member, folder)
    assert [path.name for path in (tmp_path / "inner").rglob("*") if path.is_file()] == ["a.txt"]
