"""STL-10 from small files in the official format and from folders of images: order, damage, limits, and what is downloaded."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets, transforms

from labkit import files
from labkit.public import DamagedData, fetch, public_status, stl10
from labkit.sets import Images, load, subset_index

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
NEEDED = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
UNLABELLED = "unlabeled_X.bin"


def listing(folder: Path) -> list[tuple]:
    return sorted((str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*"))


def state() -> tuple:
    return next(row for row in public_status() if row[0] == "stl10")


def same(images: Images, truth: tuple) -> bool:
    """Whether a set holds these pixels (N, C, H, W) and labels."""
    return np.array_equal(images.pixels.numpy(), truth[0]) and images.labels.tolist() == list(truth[1])


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A workbook without data, and an empty folder that LABKIT_DATA names."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "workbook"))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setattr(datasets.STL10, "url", "http://127.0.0.1:9/none")
    (tmp_path / "workbook" / "notebooks").mkdir(parents=True)
    (tmp_path / "workbook" / "notebooks" / "expected.toml").touch()
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def official(data, tmp_path, monkeypatch):
    """A folder in the official format with a few images a split, less the unlabelled ones, and what is in it."""
    folder, truth, sums = data / "stl10_binary", {}, {UNLABELLED: "0" * 32}
    folder.mkdir()
    for number, (split, n) in enumerate({"train": 12, "test": 7}.items()):
        rng = np.random.default_rng((10, number))
        pixels, labels = rng.integers(0, 256, (n, 3, 96, 96), dtype=np.uint8), rng.permutation(np.arange(n) % 10)
        truth[split] = pixels, labels
        (folder / f"{split}_X.bin").write_bytes(pixels.transpose(0, 1, 3, 2).tobytes())  # column by column
        (folder / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    sums |= {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in NEEDED}
    monkeypatch.setattr(datasets.STL10, "train_list", [[name, sums[name]] for name in (*NEEDED[:2], UNLABELLED)])
    monkeypatch.setattr(datasets.STL10, "test_list", [[name, sums[name]] for name in NEEDED[2:]])
    return folder, truth


def packed(folder: Path, monkeypatch, *, names=(*NEEDED, UNLABELLED), below: str = "stl10_binary", cut: int = 0) -> Path:
    """Pack these files as the official archive is packed, beside the folder, which is taken away."""
    archive = folder.parent / datasets.STL10.filename
    noise = np.random.default_rng(0).bytes(200_000)
    with tarfile.open(archive, "w:gz") as tar:
        for name in names:
            content = noise if name == UNLABELLED else (folder / name).read_bytes()
            entry = tarfile.TarInfo(f"{below}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    archive.write_bytes(archive.read_bytes()[: -cut or None])
    shutil.rmtree(folder)
    monkeypatch.setattr(datasets.STL10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    return archive


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_it_is_what_the_official_files_hold_and_the_data_folder_is_not_written_to(official, data, monkeypatch, form):
    folder, truth = official
    place = folder if form == "folder" else packed(folder, monkeypatch)
    before = listing(data)
    for _ in range(2):
        for split in ("train", "test"):
            images = load("stl10", split=split)
            assert same(images, truth[split]) and images.pixels.is_contiguous() and images.pixels.dtype == torch.uint8
            assert images.class_names == CLASSES
            assert (images.name, images.split, images.provenance) == ("stl10", split, "torchvision.datasets.STL10")
        monkeypatch.setattr(stl10, "intact", None)  # hashed once, and unpacked once
        monkeypatch.setattr(tarfile, "open", None)
    fetch("stl10")
    assert listing(data) == before and not list(files.cache_dir().glob(".unpack-*"))
    assert state() == ("stl10", "here", place)


def test_the_published_lists_name_two_files_a_split_and_then_the_unlabelled_one():
    kind = stl10._kind()
    assert [name for name, _ in (*kind.train_list, *kind.test_list)] == list(NEEDED)
    assert [name for name, _ in datasets.STL10.train_list] == [*NEEDED[:2], UNLABELLED]  # torchvision's own is as it was
    assert stl10.TOTALS == {"train": 5000, "test": 8000} and stl10.CLASSES == CLASSES


def test_a_folder_is_read_as_torchvision_reads_it_with_the_unlabelled_images_there(official, monkeypatch):
    folder, _ = official
    (folder / UNLABELLED).write_bytes(bytes(3 * 96 * 96))
    (folder / "class_names.txt").write_text("\n".join(CLASSES))
    sums = [*datasets.STL10.train_list[:2], [UNLABELLED, hashlib.md5(bytes(3 * 96 * 96)).hexdigest()]]
    monkeypatch.setattr(datasets.STL10, "train_list", sums)
    for split in ("train", "test"):
        reference, images = datasets.STL10(str(folder.parent), split=split), load("stl10", split=split)
        assert list(images.class_names) == reference.classes and len(reference) == len(images)
        for k, (picture, label) in enumerate(reference):
            assert np.array_equal(images.pixels[k].permute(1, 2, 0).numpy(), np.asarray(picture)) and images.labels[k] == label


@pytest.mark.parametrize("below", ["stl10_binary", "./stl10_binary"])
@pytest.mark.parametrize("first", [False, True])
def test_of_the_archive_no_more_is_unpacked_than_needed(official, monkeypatch, below, first):
    folder, truth = official
    names = (UNLABELLED, *NEEDED) if first else (*NEEDED, UNLABELLED)
    # where the unlabelled images come last, they are not even read: here they are cut off
    packed(folder, monkeypatch, names=names, below=below, cut=0 if first else 100_000)
    unpacked, extract = [], tarfile.TarFile.extract

    def watched(tar, member, *arguments, **options):
        unpacked.append(Path(member.name).name)
        return extract(tar, member, *arguments, **options)

    monkeypatch.setattr(tarfile.TarFile, "extract", watched)
    assert same(load("stl10", split="test"), truth["test"]) and unpacked == list(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_a_damaged_file_is_named_with_its_hash_also_when_loaded_before(official, name, damage):
    folder, _ = official
    load("stl10")
    raw = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage != "missing":
        (folder / name).write_bytes(raw[:-1] if damage == "truncated" else bytes([raw[0] ^ 1]) + raw[1:])
    for action in (lambda: load("stl10"), lambda: load("stl10", split="test"), lambda: fetch("stl10")):
        with pytest.raises(DamagedData, match=r"is missing, truncated or not the official.*put it there, or delete") as caught:
            action()
        assert str(folder / name) in str(caught.value) and hashlib.md5(raw).hexdigest() in str(caught.value)
    assert state() == ("stl10", "damaged", folder)


def test_a_damaged_archive_is_named_with_its_hash(official, monkeypatch):
    archive = packed(official[0], monkeypatch, names=NEEDED)
    load("stl10")
    archive.write_bytes(archive.read_bytes()[:-20_000])
    with pytest.raises(DamagedData, match=f"{datasets.STL10.tgz_md5}.: delete it and load again") as caught:
        load("stl10")
    assert str(archive) in str(caught.value) and state() == ("stl10", "damaged", archive)
    monkeypatch.setattr(datasets.STL10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(DamagedData, match=r"stl10_binary.tar.gz can't be read \(.*\): delete it and load again"):
        load("stl10")


def test_an_archive_that_lacks_a_file_is_named(official, monkeypatch):
    packed(official[0], monkeypatch, names=(*NEEDED[:3], UNLABELLED))
    with pytest.raises(DamagedData, match=r"stl10_binary.tar.gz can't be read \(.*\): delete it and load again"):
        load("stl10")


def test_a_full_disk_is_told(official, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    packed(official[0], monkeypatch)
    monkeypatch.setattr(tarfile.TarFile, "extract", full)
    with pytest.raises(OSError, match=r"STL-10 could not be unpacked in .*No space left on device; free some space$"):
        load("stl10")


def test_offline_says_what_to_put_where_and_done_as_told_it_works(official, data, monkeypatch):
    folder, truth = official
    shutil.move(folder, data.parent / "elsewhere")
    place = files.home() / "data" / "public"
    with pytest.raises(files.OfflineError, match=r"LABKIT_OFFLINE.* By hand: get http://127.0.0.1:9/none \(2.6 GB\)") as caught:
        load("stl10")
    for part in (str(place / "stl10_binary.tar.gz"), *NEEDED, "stl10_binary/", "LABKIT_DATA", f"into {place} or", *CLASSES):
        assert part in str(caught.value)
    assert "stl10/train/<class>/<number>.png and stl10/test/<class>/" in str(caught.value) and "\n" not in str(caught.value)
    assert state() == ("stl10", "absent", place) and not place.exists()
    fill(place / "stl10")
    assert len(load("stl10")) == 30 and state() == ("stl10", "here", place / "stl10")
    shutil.move(data.parent / "elsewhere", place / "stl10_binary")
    assert same(load("stl10"), truth["train"])


def test_it_is_downloaded_once_and_only_whole(official, data, tmp_path, monkeypatch):
    folder, truth = official
    archive = packed(folder, monkeypatch)
    served = tmp_path / "server"
    served.mkdir()
    shutil.move(archive, served / archive.name)
    kept = files.home() / "data" / "public" / archive.name

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(served))

        def log_message(self, *arguments):
            pass

    monkeypatch.delenv("LABKIT_OFFLINE")
    with pytest.raises(
        files.OfflineError, match=r"STL-10 could not be downloaded .*put stl10_binary.tar.gz into .*By hand: get"
    ):
        load("stl10")
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            monkeypatch.setattr(datasets.STL10, "url", f"http://127.0.0.1:{running.server_port}/{archive.name}")
            whole = (served / archive.name).read_bytes()
            (served / archive.name).write_bytes(whole[:100])
            with pytest.raises(files.OfflineError, match="could not be downloaded"):
                fetch("stl10")
            assert not list(kept.parent.iterdir())
            (served / archive.name).write_bytes(whole)
            fetch("stl10")
        finally:
            running.shutdown()
            thread.join()
    assert kept.read_bytes() == whole and state() == ("stl10", "here", kept) and not list(data.iterdir())
    assert same(load("stl10", split="test"), truth["test"])


def photo(label: int, number: int, *, form: str = "PNG", side: tuple[int, int] = (96, 96)) -> bytes:
    """A smooth picture in colour."""
    coarse = np.random.default_rng((label, number)).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(side, Image.Resampling.BICUBIC).save(buffer, form)
    return buffer.getvalue()


def fill(folder: Path, n: int = 3) -> Path:
    """Folders of splits and classes with n images each to train and two to test, some PNG, some JPEG."""
    for split, count in (("train", n), ("test", 2)):
        for label, kind in enumerate(CLASSES):
            (folder / split / kind).mkdir(parents=True)
            for number in range(count):
                form, suffix = (("PNG", "png"), ("JPEG", "jpg"))[number % 2]
                (folder / split / kind / f"{number:04}.{suffix}").write_bytes(photo(label, number, form=form))
    return folder


def test_folders_are_what_torchvision_reads_in_them_and_nothing_is_written_beside_it(data, monkeypatch):
    folder = fill(data / "stl10")
    references = {split: datasets.ImageFolder(str(folder / split), transforms.PILToTensor()) for split in ("train", "test")}
    truth = {split: torch.stack([pixels for pixels, _ in reference]) for split, reference in references.items()}
    before = listing(data)
    for _ in range(2):  # decoded, then from the cache
        for (split, reference), total in zip(references.items(), ("5,000", "8,000"), strict=True):
            images, n = load("stl10", split=split), len(reference)
            assert images.pixels.dtype == torch.uint8 and torch.equal(images.pixels, truth[split])
            assert images.labels.tolist() == reference.targets and list(images.class_names) == reference.classes
            provenance = f"STL-10 (subset: {n} of {total} images)"
            assert (images.name, images.split, images.provenance) == ("stl10", split, provenance)
        monkeypatch.setattr(Image, "open", None)
    fetch("stl10")
    assert listing(data) == before and state() == ("stl10", "here", folder)


def test_folders_that_hold_each_image_are_no_subset(data, monkeypatch):
    fill(data / "stl10")
    monkeypatch.setattr(stl10, "TOTALS", {"train": 30, "test": 21})
    assert load("stl10", limit=7).provenance == "STL-10"
    assert load("stl10", split="test", limit=7).provenance == "STL-10 (subset: 20 of 21 images)"


def test_images_come_by_number_and_hidden_and_other_files_are_passed_over(data):
    folder = fill(data / "stl10") / "train" / "bird"
    plain = load("stl10").pixels
    for old, new in (("0002.png", "0100.PNG"), ("0001.jpg", "10.JPEG"), ("0000.png", "2.png")):
        (folder / old).rename(folder / new)
    for name in ("._2.png", ".1.png", "Thumbs.db", "names.txt"):
        (folder / name).write_bytes(b"no image")
    for name in (".git", "__MACOSX"):
        (folder.parent / name).mkdir()
    (data / "stl10" / "unlabeled").mkdir()
    (data / "stl10" / "readme.md").touch()
    assert torch.equal(load("stl10").pixels, plain)


@pytest.mark.parametrize("name", ["stl10", "STL10", "stl10_subset"])
def test_the_first_of_the_places_is_taken_and_the_official_files_before_folders(official, data, name):
    folder, truth = official
    fill(data / name)
    fill(files.home() / "data" / "public" / "stl10")
    assert state() == ("stl10", "here", folder) and same(load("stl10"), truth["train"])
    shutil.move(folder, files.home() / "data" / "public" / folder.name)
    if name != "stl10":
        (data / "stl10").mkdir()  # empty: passed over
    assert len(load("stl10")) == 30
    assert state()[2].parent == data and state()[2].name.lower() == name.lower()
    shutil.rmtree(data / name)
    assert state()[2] == files.home() / "data" / "public" / folder.name


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "small"])
def test_an_image_that_cannot_be_used_is_named(data, damage):
    path = fill(data / "stl10") / "train" / "horse" / "0001.jpg"
    raw, small = path.read_bytes(), photo(0, 0, side=(96, 64))
    path.write_bytes({"truncated": raw[: len(raw) // 2], "text": b"<html>", "empty": b"", "small": small}[damage])
    told = "has 96 x 64 pixels, expected 96 x 96 as published" if damage == "small" else r"is truncated or no image \(.*\)"
    with pytest.raises(DamagedData, match=rf"{told}: put the original there, or delete it") as caught:
        load("stl10")
    assert str(path) in str(caught.value) and len(load("stl10", split="test")) == 20
    path.unlink()
    assert len(load("stl10")) == 29


def test_grey_images_become_rgb(data):
    path = fill(data / "stl10") / "train" / "airplane" / "0000.png"
    grey = Image.open(path).convert("L")
    grey.save(path)
    assert np.array_equal(load("stl10").pixels[0].numpy(), np.stack([np.asarray(grey)] * 3))


def test_folders_that_do_not_fit_are_named(data):
    folder = fill(data / "stl10")

    def told(message: str) -> None:
        for action in (lambda: load("stl10"), lambda: fetch("stl10")):
            with pytest.raises(DamagedData, match=message):
                action()
        assert state() == ("stl10", "damaged", folder)

    (folder / "test" / "car").rename(folder / "test" / "automobile")
    told(r"stl10/test/automobile is no class of STL-10: take it away or rename it; known are airplane, bird, car, .* truck$")
    shutil.rmtree(folder / "test" / "automobile")
    told(r"stl10/test has no images of car: put a folder of each there")
    (folder / "test" / "car").mkdir()
    told(r"stl10/test has no images of car: put a folder of each there")
    shutil.rmtree(folder / "test")
    told(r"stl10/test is missing: put it there, with a folder for each of airplane, bird")


def test_an_image_written_anew_is_decoded_anew(data):
    folder = fill(data / "stl10")
    before = load("stl10").pixels
    (folder / "train" / "bird" / "0001.jpg").write_bytes(photo(1, 99, form="JPEG"))
    assert (load("stl10").pixels != before).flatten(1).any(1).nonzero().flatten().tolist() == [4]


def test_a_limit_decodes_no_more_and_draws_what_any_set_would(data, monkeypatch):
    fill(data / "stl10")
    whole, decoded, opened = load("stl10"), [], Image.open
    monkeypatch.setattr(Image, "open", lambda path, **options: decoded.append(path) or opened(path, **options))
    part, kept = load("stl10", limit=10, seed=3), subset_index(whole.labels, 10, seed=3, what="")
    assert same(part, (whole.pixels[kept], whole.labels[kept])) and len(decoded) == 10
    assert sorted(part.labels.tolist()) == list(range(10)) and part.provenance == whole.provenance
    with pytest.raises(ValueError, match=r"limit 31: stl10 \(train\) has 30 images, ask for 1..30"):
        load("stl10", limit=31)


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_limit_draws_the_same_of_the_official_files(official, monkeypatch, form):
    folder, truth = official
    if form == "archive":
        packed(folder, monkeypatch)
    kept = subset_index(torch.from_numpy(truth["test"][1]), 4, seed=5, what="").numpy()
    assert same(load("stl10", split="test", limit=4, seed=5), (truth["test"][0][kept], truth["test"][1][kept]))
    with pytest.raises(ValueError, match=r"limit 8: stl10 \(test\) has 7 images, ask for 1..7"):
        load("stl10", split="test", limit=8)
    with pytest.raises(ValueError, match=r"dataset 'stl10': .*size"):
        load("stl10", size=32)
