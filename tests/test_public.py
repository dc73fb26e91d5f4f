"""Public sets, from small files in the official layout: whole, damaged, missing, and read-only."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import struct
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from labkit import files
from labkit.public import DamagedData, fetch, public_status
from labkit.sets import load

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
    assert [row[:2] for row in public_status()] == [("mnist", "here"), ("fashion_mnist", "damaged")]
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
    assert public_status() == [(name, "absent", public / kind / "raw") for name, kind in SETS.items()]
    monkeypatch.setenv("LABKIT_DATA", str(data))
    assert public_status() == [(name, "here", data.resolve() / kind / "raw") for name, kind in SETS.items()]
    (data / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").unlink()
    assert public_status()[0][1] == "absent"
