"""`labkit doctor`: what it finds, what it advises, and what it leaves alone."""

from __future__ import annotations

import json
import socket
import sys
from importlib import metadata
from pathlib import Path

import pytest

from labkit import doctor


@pytest.fixture
def house(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "expected.toml").write_text("")
    for name in ("LABKIT_DATA", "LABKIT_DEVICE", "LABKIT_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    return tmp_path


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_each_finding_is_one_line_with_a_sign_and_a_whole_machine_gives_0(house, monkeypatch):
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    lines: list[str] = []
    code = doctor.examine(lines.append)
    assert code == 0, lines
    assert all(line[:2] in ("✓ ", "! ") and "\n" not in line for line in lines)
    assert not any("could not be checked" in line for line in lines)
    assert any(f"torch {metadata.version('torch')}" in line for line in lines)
    assert f"✓ workbook at {house}" in lines


def test_a_missing_package_is_broken_only_where_every_lab_needs_it(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", {"nosuch-needed": True, "nosuch-optional": False})
    found = {finding.level: finding.text for finding in doctor.packages()}
    assert "pip install nosuch-needed" in found["broken"]
    assert "pip install nosuch-optional" in found["note"]
    assert doctor.examine(lambda line: None) == 1


def test_a_check_that_trips_does_not_hide_the_others(house, monkeypatch):
    def room():
        raise RuntimeError("no such counter\nsecond line")
        yield

    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setattr(doctor, "room", room)
    lines: list[str] = []
    assert doctor.examine(lines.append) == 0
    assert "! room could not be checked: RuntimeError: no such counter" in lines
    assert any("isolation for grading" in line for line in lines)


def test_no_call_is_made_while_offline(monkeypatch):
    calls: list[object] = []

    def connect(address: object, timeout: float) -> object:
        calls.append(address)
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    (finding,) = doctor.network()
    assert "switched off" in finding.text and not calls
    monkeypatch.setenv("LABKIT_OFFLINE", "0")
    (finding,) = doctor.network()
    assert finding.level == "note" and "does not answer" in finding.text and len(calls) == 1


def test_a_kernel_without_labkit_is_explained(tmp_path, monkeypatch):
    python = script(tmp_path / "python", "echo \"ModuleNotFoundError: No module named 'labkit'\" >&2; exit 1")
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    for argv, level in ([str(python), "-m", "ipykernel_launcher"], "broken"), ([sys.executable], "good"):
        (folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
        (finding,) = doctor.kernel()
        assert finding.level == level, finding
        if level == "broken":
            assert "No module named 'labkit'" in finding.text
            assert "python -m ipykernel install --user --name labkit" in finding.text
            assert str(python) in finding.text


def test_isolation_is_tried_not_assumed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = doctor.isolation()
    assert finding.text.startswith("isolation for grading: none")
    script(tmp_path / "bwrap", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    (finding,) = doctor.isolation()
    assert finding.level == "note" and "No permissions to create new namespace" in finding.text
    script(tmp_path / "bwrap", 'test "$*" = "--unshare-all --ro-bind / / true"')
    (finding,) = doctor.isolation()
    assert finding == ("good", "isolation for grading: bwrap")


def test_minutes_are_read_from_runs(house):
    (finding,) = doctor.times()
    assert "no lab has been timed" in finding.text
    folder = house / "runs" / "laptop"
    folder.mkdir(parents=True)
    (folder / "04_vae.json").write_text('{"minutes": 3.26}')
    (folder / "05_gan.json").write_text("{half")
    (folder / "06_vit.json").write_text('{"minutes": null}')
    assert [finding.text for finding in doctor.times()][-1] == "minutes last measured, laptop: 04_vae 3.3"


def test_data_names_its_folders_and_a_wrong_one_is_broken(house, monkeypatch):
    assert any(str(house / "data" / "public") in finding.text for finding in doctor.data())
    monkeypatch.setenv("LABKIT_DATA", str(house / "absent"))
    assert [finding.level for finding in doctor.data()][-1] == "broken"


def test_missing_weights_of_a_tiny_net_are_noted_with_what_to_do(house):
    noted = [finding for finding in doctor.data() if finding.text.startswith("tiny_resnet is absent")]
    assert len(noted) == 1 and noted[0].level == "note"
    assert noted[0].text.endswith("or type labkit data --rebuild-weights tiny_resnet")


def test_little_room_is_noted_with_what_to_do(house, monkeypatch):
    monkeypatch.setattr(doctor, "MEMORY", 2**60)
    monkeypatch.setattr(doctor, "DISK", 2**60)
    memory, disk = doctor.room()
    assert memory.level == disk.level == "note"
    assert "--jobs 1" in memory.text and "labkit data --clean" in disk.text
