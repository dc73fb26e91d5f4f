"""Checkpoints of a training: written whole or not at all, and found out if damaged."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit import files


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a state with its SHA-256 in front, since torch.load overlooks a flipped byte."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with files.atomic_write(path) as spare:
        spare.write_bytes(hashlib.sha256(buffer.getbuffer()).digest() + buffer.getbuffer())


def read(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a state that `write` has written; tensors and plain values only, never code.

    Raises:
        ValueError: it is damaged, or no checkpoint.
        OSError: it can't be read.
    """
    raw = path.read_bytes()
    if hashlib.sha256(raw[32:]).digest() != raw[:32]:
        raise ValueError("it is damaged, or no checkpoint")
    try:
        return torch.load(io.BytesIO(raw[32:]), map_location=device, weights_only=True)
    except Exception as error:
        raise ValueError("it is no checkpoint") from error


def digest(things: Mapping[str, Any]) -> str:
    """Hash the state_dict of each thing: weights to the last bit, and an optimiser's settings such as its learning rate."""
    total = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            add((tuple(value.shape), str(value.dtype)))
            total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                total.update(str(key).encode())
                add(value[key])
        elif isinstance(value, list | tuple):
            for part in value:
                add(part)
        else:
            total.update(repr(value).encode())

    add({name: thing.state_dict() for name, thing in things.items()})
    return total.hexdigest()
