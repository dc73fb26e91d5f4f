"""Files: the project root, atomic writes and the cache, also when a disk is full or a process is killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import files

posix = pytest.mark.skipif(os.name != "posix", reason="rights, signals and mounts as POSIX has them")


@pytest.fixture
def workbook(tmp_path, monkeypatch):
    folder = tmp_path / "workbook"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(folder))
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    return folder.resolve()


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "data" / "cache").rglob("output.pkl"))


# --- the project root


def test_home_is_what_labkit_home_names(workbook, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert files.home() == workbook


@pytest.mark.parametrize("inside", [".", "notebooks", "runs/tiny/deep"])
def test_home_is_found_upwards_from_any_folder_in_it(workbook, monkeypatch, inside):
    monkeypatch.delenv("LABKIT_HOME")
    (workbook / inside).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(workbook / inside)
    assert files.home() == workbook


def test_home_of_an_editable_install_is_found_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("LABKIT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert files.home() == Path(files.__file__).resolve().parent.parent


def test_home_that_is_nowhere_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("LABKIT_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "site-packages" / "labkit" / "files.py"))
    with pytest.raises(FileNotFoundError, match=r"no workbook found above .*set LABKIT_HOME") as caught:
        files.home()
    assert str(tmp_path) in str(caught.value)


def test_a_labkit_home_without_notebooks_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"LABKIT_HOME is .*no notebooks/expected\.toml in it"):
        files.home()


def test_labkit_data_comes_before_the_workbooks_own_folder(workbook, monkeypatch, tmp_path):
    assert files.data_dirs() == [workbook / "data" / "public"]
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert files.data_dirs() == [tmp_path.resolve(), workbook / "data" / "public"]


def test_a_labkit_data_that_is_no_folder_is_refused_by_name(workbook, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"LABKIT_DATA is .*nowhere.*correct it or unset it"):
        files.data_dirs()


@pytest.mark.parametrize(("value", "off"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline_switch(monkeypatch, value, off):
    monkeypatch.delenv("LABKIT_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("LABKIT_OFFLINE", value)
    assert files.offline() is off
    if not off:
        files.require_network("MNIST", Path("there"))
        return
    with pytest.raises(files.OfflineError, match=r"MNIST is not on this disk.*put it at there, or unset LABKIT_OFFLINE"):
        files.require_network("MNIST", Path("there"))


# --- atomic writes

chunks = st.lists(st.binary(max_size=64), max_size=5)


@settings(max_examples=60, deadline=None)
@given(old=st.none() | st.binary(max_size=64), new=chunks, fail_after=st.none() | st.integers(0, 4))
def test_a_write_gives_the_old_content_or_the_new_one_and_leaves_nothing_else(old, new, fail_after):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.bin"
        if old is not None:
            path.write_bytes(old)
        failed = False
        try:
            with files.atomic_write(path) as spare, spare.open("wb") as file:
                for i, chunk in enumerate(new):
                    if i == fail_after:
                        raise RuntimeError("stop")
                    file.write(chunk)
                    file.flush()
                    assert (path.read_bytes() if path.exists() else None) == old  # nothing shows before the end
        except RuntimeError:
            failed = True
        assert failed == (fail_after is not None and fail_after < len(new))
        content = old if failed else b"".join(new)
        assert (path.read_bytes() if path.exists() else None) == content
        assert os.listdir(folder) == ([] if content is None else ["file.bin"])  # noqa: PTH208


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_any_exception_in_the_block_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(error), files.atomic_write(path) as spare:
        spare.write_text("half of the n")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_made_and_text_is_utf8_with_plain_line_ends(tmp_path):
    files.write_text(tmp_path / "a" / "b" / "c.txt", "β = 1 ± 0\n→\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "β = 1 ± 0\n→\n".encode()


@posix
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_has_the_rights_that_a_plain_open_gives(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "file.txt", "x")
        assert (tmp_path / "file.txt").stat().st_mode & 0o777 == mode
        assert os.umask(mask) == mask  # the process's own mask is as it was
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EDQUOT, "your disk quota is used up: free some space"),
        (errno.EROFS, "the disk is read-only: set LABKIT_HOME"),
        (errno.EACCES, "this folder may not be written: set LABKIT_HOME"),
    ],
)
@pytest.mark.parametrize("step", ["mkstemp", "fsync"])
def test_a_disk_that_refuses_gets_one_line_of_advice(tmp_path, monkeypatch, code, advice, step):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile if step == "mkstemp" else os, step, refuse)
    with pytest.raises(OSError) as caught:
        files.write_text(path, "new")
    assert caught.value.errno == code
    message = str(caught.value)
    assert advice in message and str(path) in message and "\n" not in message
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_other_errors_of_the_disk_come_through_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        files.write_text(tmp_path / "file" / "below.txt", "x")
    assert "could not write" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path):
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    point = tmp_path / "disk"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", point], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield point
    subprocess.run(["umount", point], check=True)


def test_a_disk_that_is_really_full_keeps_the_old_file(small_disk):
    path = small_disk / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(OSError, match="the disk is full"):
        files.write_text(path, "x" * 200_000)
    assert path.read_text() == "old" and list(small_disk.iterdir()) == [path]


def test_a_cache_on_a_full_disk_still_gives_the_result(small_disk, monkeypatch):
    (small_disk / "notebooks").mkdir()
    (small_disk / "notebooks" / "expected.toml").touch()
    monkeypatch.setenv("LABKIT_HOME", str(small_disk))

    @files.cached
    def big(seed):
        return np.random.default_rng(seed).integers(0, 256, 200_000, dtype=np.uint8)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = big(0), big(0)
    assert np.array_equal(first, big.uncached(0)) and np.array_equal(second, first)


@posix
def test_a_reader_never_sees_half_a_file_and_a_killed_writer_leaves_a_whole_one(tmp_path):
    path = tmp_path / "file.txt"
    code = """
        import sys
        from labkit.files import write_text
        while True:
            for letter in "ab":
                write_text(sys.argv[1], letter * 300_000)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(path)])
    try:
        seen, end = set(), time.monotonic() + 10
        while time.monotonic() < end and (len(seen) < 2 or time.monotonic() < end - 9.5):
            if path.exists():
                text = path.read_text()
                assert len(text) == 300_000 and len(set(text)) == 1
                seen.add(text[0])
        assert seen == {"a", "b"}
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    text = path.read_text()
    assert len(text) == 300_000 and len(set(text)) == 1


# --- the cache


def counting():
    """A cached function of (n, seed) that notes its calls."""
    calls: list[tuple[int, int]] = []

    @files.cached
    def numbers(n, seed=0):
        calls.append((n, seed))
        return {"bytes": np.random.default_rng(seed).integers(0, 256, n, dtype=np.uint8), "n": n}

    return numbers, calls


def test_a_second_call_is_read_from_the_disk_and_other_arguments_are_computed(workbook):
    numbers, calls = counting()
    first, second = numbers(50), numbers(n=50, seed=0)
    assert calls == [(50, 0)] and np.array_equal(first["bytes"], second["bytes"])
    assert not np.array_equal(numbers(50, seed=1)["bytes"], first["bytes"]) and calls == [(50, 0), (50, 1)]
    assert all(path.is_relative_to(workbook / "data" / "cache") for path in entries(workbook)) and len(entries(workbook)) == 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "overwritten", "flipped"])
def test_a_damaged_entry_is_computed_again_with_a_warning_and_then_trusted_again(workbook, damage):
    numbers, calls = counting()
    right = numbers(5000)
    (path,) = entries(workbook)
    raw = path.read_bytes()
    broken = {"truncated": raw[: len(raw) // 2], "empty": b"", "overwritten": b"x" * len(raw)}
    path.write_bytes(broken.get(damage, raw[:2000] + bytes([raw[2000] ^ 1]) + raw[2001:]))
    with pytest.warns(UserWarning, match="a cache entry of numbers is damaged.*computing it again"):
        again = numbers(5000)
    assert len(calls) == 2 and np.array_equal(again["bytes"], right["bytes"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        third = numbers(5000)
    assert len(calls) == 2 and np.array_equal(third["bytes"], right["bytes"])


def test_no_flipped_bit_anywhere_in_an_entry_changes_the_result(workbook):
    numbers, calls = counting()
    right = numbers(20)["bytes"]
    (path,) = entries(workbook)
    raw = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(len(raw)):
            path.write_bytes(raw[:i] + bytes([raw[i] ^ (1 << i % 8)]) + raw[i + 1 :])
            assert np.array_equal(numbers(20)["bytes"], right), f"byte {i} of {len(raw)}"
    found = (len(calls) - 1) / len(raw)  # the rest are bits that the format leaves unused
    assert found > 0.98


PROGRAM = """
    import os, signal, sys, time
    from pathlib import Path
    import numpy as np
    from labkit.files import cached

    class Last:
        def __reduce__(self):  # by now the array before it is on the disk
            if os.environ.get("DIE"):
                os.kill(os.getpid(), signal.SIGKILL)
            return (int, (7,))

    @cached
    def work(seed):
        with open("calls", "a") as file:
            file.write("x")
        while os.environ.get("TOGETHER") and len(Path("calls").read_text()) < 2:
            time.sleep(0.01)  # until both are at it
        return [np.random.default_rng(seed).integers(0, 256, 3_000_000, dtype=np.uint8), Last()]

    array, last = work(3)
    expected = np.random.default_rng(3).integers(0, 256, 3_000_000, dtype=np.uint8)
    print("right" if np.array_equal(array, expected) else "wrong")
"""


@pytest.fixture
def program(workbook):
    (workbook / "program.py").write_text(textwrap.dedent(PROGRAM))

    def start(**env):
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", "import program"],
            cwd=workbook,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_two_processes_may_compute_one_entry_at_once(program, workbook):
    both = [program(TOGETHER="1"), program(TOGETHER="1")]
    for child in both:
        out, err = child.communicate(timeout=60)
        assert out.strip() == "right", err
    assert (workbook / "calls").read_text() == "xx"
    out, err = program().communicate(timeout=60)
    assert out.strip() == "right", err
    assert (workbook / "calls").read_text() == "xx" and len(entries(workbook)) == 1


@posix
def test_a_process_killed_while_writing_leaves_nothing_that_is_trusted(program, workbook):
    child = program(DIE="1")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    half = [path for path in (workbook / "data" / "cache").rglob("output.pkl*") if path.stat().st_size > 1_000_000]
    assert half and not entries(workbook)  # it was killed in the middle of writing
    for calls in ("xx", "xx"):
        out, err = program().communicate(timeout=60)
        assert out.strip() == "right", err
        assert (workbook / "calls").read_text() == calls


def test_a_cache_that_cannot_be_made_costs_the_cache_and_not_the_result(workbook):
    (workbook / "data").mkdir()
    (workbook / "data" / "cache").write_text("a file in the way")
    numbers, calls = counting()
    assert np.array_equal(numbers(50)["bytes"], numbers.uncached(50)["bytes"])
    numbers(50)
    assert len(calls) == 3  # once uncached


def test_a_function_that_fails_on_a_file_of_its_own_is_not_called_twice(workbook):
    calls = []

    @files.cached
    def read(name):
        calls.append(name)
        raise FileNotFoundError(name)

    with pytest.raises(FileNotFoundError):
        read("nowhere")
    assert calls == ["nowhere"]


def test_the_least_recently_used_entries_go_when_the_cache_grows_too_big(workbook, monkeypatch):
    numbers, calls = counting()
    monkeypatch.setattr(files, "CACHE_LIMIT", 25_000)
    now = time.time()
    for seed in range(2):
        before = set(entries(workbook))
        numbers(10_000, seed)
        (new,) = set(entries(workbook)) - before
        os.utime(new, (now - 1000 + 500 * (seed == 0), now - 1000))  # seed 0 was used after seed 1
    numbers(10_000, 2)
    assert sum(path.stat().st_size for path in entries(workbook)) <= 25_000
    calls.clear()
    numbers(10_000, 0)
    numbers(10_000, 2)
    assert calls == []
    numbers(10_000, 1)
    assert calls == [(10_000, 1)]


def test_clean_cache_frees_what_it_says(workbook):
    assert files.clean_cache() == 0
    numbers, calls = counting()
    numbers(10_000)
    size = sum(path.stat().st_size for path in (workbook / "data" / "cache").rglob("*") if path.is_file())
    assert size > 10_000 and files.clean_cache() == size and not (workbook / "data" / "cache").exists()
    numbers(10_000)
    assert len(calls) == 2
    numbers(10_000)
    assert len(calls) == 2
