"""ImageNet samples from small files in both layouts: order, labels, the crop, damage, and what is downloaded."""

from __future__ import annotations

import io
import shutil
import threading
import zipfile
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_weight
from torchvision.transforms import v2

from labkit import files
from labkit.public import DamagedData, fetch, imagenet_samples, public_status
from labkit.sets import Images, load, subset_index

WNIDS = [f"n{1440764 + 7919 * k:08}" for k in range(1000)]
MASTER = "imagenet-sample-images-master"
PART = (7, 0, 999, 134, 517)  # classes of the subset, in the order of its list


def jpeg(image: Image.Image, form: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **({"quality": 95} if form == "JPEG" else {}))
    return buffer.getvalue()


@cache
def flat(label: int) -> bytes:
    """8 x 8 pixels of a colour whose channels tell the digits of the label."""
    return jpeg(Image.new("RGB", (8, 8), tuple(25 * int(digit) + 10 for digit in f"{label:03}")))


def told(images: Images) -> list[int]:
    """Labels that the pixels tell."""
    digits = ((images.pixels.float().mean((2, 3)) - 10) / 25).round().long()
    return (digits * torch.tensor([100, 10, 1])).sum(1).tolist()


def name(label: int, suffix: str = ".JPEG") -> str:
    return f"{WNIDS[label]}_{'crane' if label in (134, 517) else f'thing {label}'}{suffix}"


def fill(folder: Path, suffix: str = ".JPEG") -> Path:
    """The whole collection, tiny, written in an order that is not that of the classes."""
    folder.mkdir(parents=True)
    for label in sorted(range(1000), key=lambda label: label * 617 % 1000):
        (folder / name(label, suffix)).write_bytes(flat(label))
    return folder


def listed(folder: Path, rows: list[str] | None = None, head: str = "file,class_index,wnid,name") -> Path:
    """Five images of 40 x 30 pixels with their list."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for label in PART:
        image = Image.open(io.BytesIO(flat(label))).resize((40, 30))
        (folder / "images" / name(label, ".jpg")).write_bytes(jpeg(image))
    (folder / "labels.csv").write_text("\n".join([head, *(rows or lines())]) + "\n", encoding="utf-8")
    return folder


def lines() -> list[str]:
    return [f"{name(label, '.jpg')},{label},{WNIDS[label]},thing" for label in PART]


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Smooth noise."""
    coarse = np.random.default_rng((width, height)).integers(0, 256, (9, 11, 4)).astype(np.uint8)
    return Image.fromarray(coarse, "CMYK").resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def state() -> tuple:
    return next(row for row in public_status() if row[0] == "imagenet_samples")


def samples(**options) -> Images:
    return load("imagenet_samples", split="test", **options)


def listing(folder: Path) -> list[tuple]:
    return sorted((str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*"))


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A workbook without data, and an empty folder that LABKIT_DATA names."""
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "workbook"))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setattr(imagenet_samples, "URL", "http://127.0.0.1:9/none")
    (tmp_path / "workbook" / "notebooks").mkdir(parents=True)
    (tmp_path / "workbook" / "notebooks" / "expected.toml").touch()
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("place", [MASTER, "imagenet_samples/images", f"imagenet_samples/{MASTER}", "ImageNet-Sample-Images"])
def test_of_the_whole_collection_classes_are_the_ranks_of_the_wnids(data, monkeypatch, place):
    fill(data / place, ".jpg" if "images" in place.split("/") else ".JPEG")
    (data / place / "._n01440764_tench.JPEG").write_bytes(b"no image")
    (data / place / "README.md").touch()
    before = listing(data)
    for _ in range(2):  # decoded, then from the cache
        images = samples(size=8)
        assert images.pixels.dtype == torch.uint8 and images.pixels.shape == (1000, 3, 8, 8)
        assert images.labels.tolist() == told(images) == list(range(1000))
        assert (images.name, images.split, images.provenance) == ("imagenet_samples", "test", "ImageNet samples")
        monkeypatch.setattr(Image, "open", None)
    assert listing(data) == before and list(files.cache_dir().rglob("output.pkl"))
    assert state() == ("imagenet_samples", "here", data / place.removesuffix("/images"))
    fetch("imagenet_samples")


def test_of_a_part_classes_are_those_of_its_list_and_it_is_called_a_subset(data):
    listed(data / "imagenet_samples")
    before = listing(data)
    images = samples(size=16)
    assert images.labels.tolist() == told(images) == sorted(PART)
    assert images.provenance == "ImageNet samples (subset: 5 of 1,000 images)"
    assert listing(data) == before and state() == ("imagenet_samples", "here", data / "imagenet_samples")
    text = (data / "imagenet_samples" / "labels.csv").read_text(encoding="utf-8")
    (data / "imagenet_samples" / "labels.csv").write_text(text, encoding="utf-8-sig")  # as spreadsheets save it
    assert samples(size=16).labels.tolist() == sorted(PART)


def test_the_folder_of_labkit_data_comes_before_that_of_the_workbook(data):
    other = files.home() / "data" / "public" / "imagenet_samples"
    listed(other)
    assert state()[2] == other
    (data / "imagenet_samples").mkdir()  # empty: passed over
    assert state()[2] == other
    listed(data / "imagenet_samples", rows=lines()[:3])
    assert state()[2] == data / "imagenet_samples" and len(samples(size=8)) == 3


def test_class_names_are_the_thousand_categories_of_torchvision(data):
    listed(data / "imagenet_samples")
    names = samples(size=8).class_names
    assert list(names) == get_weight("ResNet50_Weights.IMAGENET1K_V2").meta["categories"]
    assert (names[0], names[134], names[517]) == ("tench", "crane bird", "crane") and len(set(names)) == 1000


@pytest.mark.parametrize(("size", "short"), [(224, 256), (112, 128), (300, 343)])
@pytest.mark.parametrize("shape", [(333, 500), (500, 375), (401, 401), (90, 61)])
def test_the_crop_is_that_of_torchvision(data, size, short, shape):
    folder = listed(data / "imagenet_samples", rows=lines()[:1])
    path = folder / "images" / name(PART[0], ".jpg")
    path.write_bytes(jpeg(photo(*shape)))
    reference = v2.Compose([v2.Resize(short), v2.CenterCrop(size), v2.PILToTensor()])(Image.open(path))
    options = {} if size == 224 else {"size": size}
    pixels = samples(**options).pixels[0]
    assert pixels.shape == (3, size, size) and (pixels.int() - reference.int()).abs().max() <= 1


@pytest.mark.parametrize(("mode", "form"), [("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG")])
def test_grey_and_cmyk_files_become_rgb_and_so_does_a_png_file_called_jpeg(data, mode, form):
    folder = listed(data / "imagenet_samples", rows=lines()[:1])
    image = photo(40, 30, mode)
    (folder / "images" / name(PART[0], ".jpg")).write_bytes(jpeg(image, form))
    reference = v2.Compose([v2.Resize(37), v2.CenterCrop(32), v2.PILToTensor()])(image.convert("RGB"))
    pixels = samples(size=32).pixels[0]
    assert (pixels.int() - reference.int()).abs().float().mean() < 4  # a JPEG file loses some
    assert mode != "L" or torch.equal(pixels[0], pixels[2])


def test_a_limit_decodes_no_more_and_keeps_the_order_of_classes(data, monkeypatch):
    fill(data / MASTER)
    decoded, opened = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path, **options: decoded.append(path) or opened(path, **options))
    part = samples(size=8, limit=20, seed=3)
    kept = subset_index(torch.arange(1000), 20, seed=3, what="")
    assert part.labels.tolist() == told(part) == sorted(kept.tolist()) and len(decoded) == 20
    assert part.provenance == "ImageNet samples"
    assert samples(size=8, limit=20, seed=4).labels.tolist() != part.labels.tolist()
    with pytest.raises(ValueError, match=r"limit 1001: imagenet_samples \(test\) has 1000 images, ask for 1..1000"):
        samples(limit=1001)


def test_there_is_no_split_but_test_and_accuracies_are_said_to_be_inflated(data):
    listed(data / "imagenet_samples")
    for call in (lambda: load("imagenet_samples"), lambda: imagenet_samples.imagenet_samples("val")):
        with pytest.raises(ValueError, match=r"has no split '(train|val)': use split='test', .* training images.* inflated"):
            call()


@pytest.mark.parametrize("size", [7, 513])
def test_sizes_that_photos_do_not_have_are_refused(data, size):
    with pytest.raises(ValueError, match=rf"imagenet_samples: size is {size}, but photos have some 500 .*: use 8..512"):
        samples(size=size)


def refused(message: str) -> None:
    for action in (lambda: samples(size=8), lambda: fetch("imagenet_samples")):
        with pytest.raises(DamagedData, match=message):
            action()
    assert state()[1] == "damaged"


def test_without_a_list_all_thousand_classes_have_to_be_there_once(data):
    folder = fill(data / MASTER)
    spare = (folder / name(500)).rename(data / "spare")
    refused(
        rf"{MASTER} holds 999 images of 999 classes, expected one of each of 1,000 \(1 are missing\): put all of "
        r"github.com/EliSchwartz/imagenet-sample-images there, or list a part in labels.csv \(file,class_index,wnid,name\)"
    )
    spare.rename(folder / name(500))
    assert state()[1] == "here"
    for extra, n in ((f"{WNIDS[3]}_other.JPEG", 1000), ("n99999999_other.JPEG", 1001)):
        (folder / extra).write_bytes(flat(3))
        refused(rf"holds 1,001 images of {n:,} classes, expected one of each of 1,000 \(some do not belong there\)")
        (folder / extra).unlink()


@pytest.mark.parametrize(
    ("line", "row", "message"),
    [
        (
            3,
            "gone.jpg,0,n01440764,thing",
            r"line 3, names 'gone.jpg', which is not in .*images: put it there or delete",
        ),
        (4, f"{name(999, '.jpg')},1000,{WNIDS[999]},thing", r"line 4: class_index is '1000', expected 0..999"),
        (4, f"{name(999, '.jpg')},-1,{WNIDS[999]},thing", r"line 4: class_index is '-1', expected 0..999"),
        (2, f"{name(7, '.jpg')}", r"line 2: class_index is '', expected 0..999"),
        (6, f"{name(517, '.jpg')},5,{WNIDS[517]},thing", r"lines 5 and 6: class_index must follow the order of wnids"),
        (6, f"{name(517, '.jpg')},134,{WNIDS[517]},thing", r"lines 5 and 6: class_index must follow the order of wnids"),
    ],
)
def test_a_line_of_the_list_that_does_not_fit_is_named(data, line, row, message):
    rows = lines()
    rows[line - 2] = row
    listed(data / "imagenet_samples", rows=rows)
    refused(rf"imagenet_samples/labels.csv, {message}")


@pytest.mark.parametrize("column", ["file", "class_index", "wnid", "name"])
def test_a_list_that_lacks_a_column_or_has_no_rows_is_told(data, column):
    listed(data / "imagenet_samples", head="file,class_index,wnid,name".replace(column, "other"))
    refused(rf"labels.csv, line 1, lacks {column}: it should be file,class_index,wnid,name")
    (data / "imagenet_samples" / "labels.csv").write_text("file,class_index,wnid,name\n", encoding="utf-8")
    refused(r"labels.csv has no line after its first: list the images in .*images, one a line")


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_an_image_that_cannot_be_read_is_named(data, damage):
    path = listed(data / "imagenet_samples") / "images" / name(999, ".jpg")
    raw = path.read_bytes()
    path.write_bytes({"truncated": raw[: len(raw) // 2], "text": b"<html>", "empty": b""}[damage])
    with pytest.raises(DamagedData, match=r"is truncated or no image \(.*\): put the original there \(github.com") as caught:
        samples(size=8)
    assert str(caught.value).startswith(str(path))


def test_an_image_written_anew_is_decoded_anew(data):
    path = listed(data / "imagenet_samples") / "images" / name(134, ".jpg")
    before = samples(size=8)
    path.write_bytes(jpeg(Image.new("RGB", (31, 40), "white")))
    after = samples(size=8)
    assert (before.pixels != after.pixels).flatten(1).any(1).nonzero().flatten().tolist() == [2]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that a server on this machine gives; the network is allowed."""
    folder = tmp_path / "server"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.delenv("LABKIT_OFFLINE")
        monkeypatch.setattr(imagenet_samples, "URL", f"http://127.0.0.1:{running.server_port}/master.zip")
        yield folder
        running.shutdown()
        thread.join()


def packed(n: int = 1000) -> bytes:
    """An archive as GitHub packs a repository."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as into:
        into.writestr(f"{MASTER}/README.md", "samples")
        for label in range(n):
            into.writestr(f"{MASTER}/{name(label)}", flat(label))
    return buffer.getvalue()


def test_what_is_downloaded_is_unpacked_into_the_workbook_once(data, server):
    (server / "master.zip").write_bytes(packed())
    place = files.home() / "data" / "public" / "imagenet_samples"
    assert state() == ("imagenet_samples", "absent", place)
    fetch("imagenet_samples")
    assert state() == ("imagenet_samples", "here", place / MASTER) and not list(data.iterdir())
    (server / "master.zip").unlink()
    images = samples(size=8)
    assert images.labels.tolist() == told(images) == list(range(1000))
    assert sorted(path.name for path in place.iterdir()) == [MASTER, f"{MASTER}.zip"]
    assert not list(files.cache_dir().glob(".unpack-*"))
    shutil.rmtree(place / MASTER)
    fetch("imagenet_samples")  # from the archive that is kept


@pytest.mark.parametrize("folder", ["", "imagenet_samples"])
def test_an_archive_put_there_by_hand_needs_no_network_and_is_not_unpacked_beside_itself(data, folder):
    (data / folder).mkdir(exist_ok=True)
    (data / folder / f"{MASTER}.zip").write_bytes(packed())
    before = listing(data)
    assert len(samples(size=8, limit=9)) == 9 and listing(data) == before


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"<html>one moment, please", "cut off, or no archive"), (packed(9)[:-30], "cut off, or no archive"), (None, "404")],
)
def test_a_server_that_gives_no_archive_is_told_with_the_manual_step(data, server, answer, reason):
    if answer is not None:
        (server / "master.zip").write_bytes(answer)
    with pytest.raises(files.OfflineError, match=rf"imagenet_samples could not be downloaded \(.*{reason}.*\)\. By hand: get"):
        samples()
    assert not list((files.home() / "data" / "public" / "imagenet_samples").glob("*"))


def test_an_archive_with_too_few_images_or_damaged_is_named_and_nothing_of_it_is_kept(data):
    place = files.home() / "data" / "public" / "imagenet_samples"
    place.mkdir(parents=True)
    archive = place / f"{MASTER}.zip"
    for raw in (packed(999), packed(0)):
        archive.write_bytes(raw)
        with pytest.raises(DamagedData, match=rf"{archive} holds less than 1,000 images named by a wnid: delete it and load"):
            samples()
    middle = packed().rindex(b"\xff\xd8") + 60
    for raw in (packed()[:middle] + b"damage" + packed()[middle + 6 :], b"<html>"):
        archive.write_bytes(raw)
        with pytest.raises(DamagedData, match=rf"{archive} can't be read \(.*\): delete it and load again"):
            samples()
    assert [path.name for path in place.iterdir()] == [archive.name] and state()[1] == "absent"


def test_offline_says_what_to_put_where_and_done_as_told_it_works(data):
    place = files.home() / "data" / "public" / "imagenet_samples"
    with pytest.raises(files.OfflineError, match=r"LABKIT_OFFLINE.* By hand: get http") as caught:
        samples()
    for part in (imagenet_samples.URL, f"its folder '{MASTER}' (with n01440764_tench.JPEG and 999 more) into {place}"):
        assert part in str(caught.value)
    assert "LABKIT_DATA" in str(caught.value) and "imagenet_samples/labels.csv (file,class_index," in str(caught.value)
    assert "\n" not in str(caught.value) and not place.exists()
    fill(place / MASTER)
    assert len(samples(size=8, limit=1)) == 1
