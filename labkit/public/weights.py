"""Official weights of nets: found where torch.hub keeps them, or downloaded there, and read with an eye on their hash."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from labkit import files
from labkit.public.archives import DamagedData


def official(what: str, url: str) -> Path:
    """The file at `url`, from torch.hub's folder of checkpoints; downloaded there, its hash checked, if it is absent.

    Raises:
        labkit.files.OfflineError: it may not, or could not, be downloaded; says which file goes where.
        OSError: the disk is full or may not be written.
    """
    path = Path(torch.hub.get_dir()).expanduser() / "checkpoints" / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    files.require_network(f"{path.name}, the weights of {what},", path)
    hidden = os.environ.get("TQDM_DISABLE", "0") not in ("", "0")  # torch.hub's bar does not heed it by itself
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix(path), progress=not hidden)
    except (OSError, RuntimeError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise OSError(
                error.errno,
                f"{path} could not be written ({error.strerror}): free some space, or set TORCH_HOME to another folder",
            ) from error
        reason = " ".join(str(error).split())
        raise files.OfflineError(
            f"the weights of {what} could not be downloaded ({reason}): connect to the network, or put {path.name} "
            f"into {path.parent}"
        ) from error
    return path


def read(what: str, path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, floats as float32, on the CPU; no code in the file is run.

    Raises:
        DamagedData: it is truncated, or no state dict.
        OSError: it can't be read.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("it holds something else than named tensors")
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch has many for a damaged file
        raise damaged(what, path, (str(error).strip().splitlines() or [type(error).__name__])[0][:120]) from error
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def damaged(what: str, path: Path, reason: str) -> DamagedData:
    """The error that says what a file of weights should be, what it is, and what to do; the file is left alone."""
    return DamagedData(
        f"{path} is not the official file of {what}, or is truncated ({reason}): its SHA-256 should begin with "
        f"{hash_prefix(path)} and begins with {sha256(path)[:8]}. Delete it and load again, or put the official file there"
    )


def told(path: Path) -> str:
    """How a file of weights is named in a provenance: with a remark if its hash is not the official one."""
    expected = hash_prefix(path)
    found = sha256(path)
    return path.name if found.startswith(expected) else f"{path.name}, not the official file: SHA-256 {found[:8]}..."


def hash_prefix(path: Path) -> str:
    """The beginning of the SHA-256 that the name of an official file ends with."""
    match = re.search(r"-([0-9a-f]+)\.[a-z]+$", path.name)
    assert match, f"{path.name} does not end with a hash"
    return match[1]


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
