"""The committed weights of the tiny twins: loaded, saved, and what their header says of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from labkit import files
from labkit.twin_nets import ALL, build, find


def load(name: str) -> nn.Module:
    """Make a twin with its committed weights, float32 on the CPU, in eval mode.

    Raises:
        ValueError: there is no such twin, or its file is damaged or belongs to another net.
        FileNotFoundError: its file is missing.
    """
    net = build(name)
    state, _ = _read(name)
    try:
        net.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    except RuntimeError as error:
        raise _damaged(name, "its layers are not those of the net") from error
    return net.eval()


def save(name: str, net: nn.Module, about: Mapping[str, str]) -> Path:
    """Write the weights of a twin, floats as float16, with `about` and a SHA-256 of them in the header; whole or not at all.

    `about` says by which command the weights were made, on which source, with what accuracy (a JSON object of measures), when
    (date), under which torch and in how many seconds, each under that name.

    Raises:
        ValueError: there is no such twin, `about` lacks something, or a weight is not finite in float16.
        OSError: the file can't be written; the old one is whole.
    """
    from safetensors.torch import save as as_bytes

    find(name)
    if lacking := [key for key in ("command", "source", "accuracy", "date", "torch", "seconds") if not about.get(key)]:
        raise ValueError(f"the weights of {name} can't be saved without saying {', '.join(lacking)}: add it to about")
    state = {key: _stored(value).cpu().contiguous() for key, value in net.state_dict().items()}
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: {key} is not finite in float16 (up to 65504): train again, with a lower learning rate")
    with files.atomic_write(weights_file(name)) as spare:
        spare.write_bytes(as_bytes(state, metadata={**about, "sha256": _digest(state)}))
    return weights_file(name)


@torch.no_grad()
def round_as_stored(net: nn.Module) -> None:
    """Round a net's weights and buffers in place to what its file will hold, so that what is measured is what is loaded."""
    for value in net.state_dict().values():  # these share memory with the net
        value.copy_(_stored(value))


def about(name: str) -> dict[str, str]:
    """What the header of a twin's file says: command, source, accuracy, date, torch, seconds, sha256.

    Raises:
        ValueError: there is no such twin, or its file is damaged.
        FileNotFoundError: its file is missing.
    """
    return _read(name)[1]


def accuracy(name: str) -> dict[str, float]:
    """The accuracies, 0..1, that the header of a twin's file states: what was measured -> share of right answers.

    Raises:
        ValueError, FileNotFoundError: as `about`.
    """
    return json.loads(about(name)["accuracy"])


def told(accuracies: dict[str, float]) -> str:
    """Accuracies as text: 'glyphs test 87.3 %'."""
    return ", ".join(f"{what} {100 * value:.1f} %" for what, value in accuracies.items())


def status() -> list[tuple[str, str, Path]]:
    """State of each twin's weights: (name, 'here' | 'damaged' | 'absent', where they are or belong)."""
    rows = []
    for name in ALL:
        try:
            _read(name)
            state = "here"
        except FileNotFoundError:
            state = "absent"
        except ValueError:
            state = "damaged"
        rows.append((name, state, weights_file(name)))
    return rows


def weights_file(name: str) -> Path:
    """Where the weights of a twin lie, or belong."""
    return files.home() / "data" / "weights" / f"{name}.safetensors"


def require_writable(name: str) -> None:
    """See that the weights of a twin can be saved, before minutes go into making them; nothing is left behind.

    Raises:
        FileNotFoundError: the workbook's folder is not found, as `files.home` says.
        OSError: their folder can't be written.
    """
    with suppress(_Unsaved), files.atomic_write(weights_file(name)):
        raise _Unsaved


class _Unsaved(Exception):
    """Ends an atomic write before anything takes the place of the file."""


def _stored(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def _read(name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a twin's file."""
    from safetensors import SafetensorError, safe_open

    find(name)
    path = weights_file(name)
    if not path.is_file():
        raise FileNotFoundError(f"the weights of {name} are not at {path}: take them from the repository, or {_remedy(name)}")
    try:
        with safe_open(path, framework="pt") as file:
            state, header = {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise _damaged(name, " ".join(str(error).split())) from error
    if header.get("sha256") != _digest(state):  # safetensors itself overlooks a flipped byte
        raise _damaged(name, "its SHA-256 is not the one in its header")
    return state, header


def _damaged(name: str, reason: str) -> ValueError:
    return ValueError(f"{weights_file(name)} is damaged or of another net ({reason}): {_remedy(name)}")


def _remedy(name: str) -> str:
    return f"remake it with `labkit data --rebuild-weights {name}`"


def _digest(state: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for key in sorted(state):
        total.update(f"{key} {state[key].dtype} {tuple(state[key].shape)}".encode())
        total.update(state[key].contiguous().numpy().tobytes())
    return total.hexdigest()
