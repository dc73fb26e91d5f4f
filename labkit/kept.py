"""Features of images kept on disk, under a hash of all that could change them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit import files

PLAIN = str | bytes | int | float | complex
CODE = CodeType | FunctionType | MethodType | staticmethod | classmethod | property | partial
#: What tells one piece of code from another
INSIDE = ("co_code", "co_consts", "co_names", "__code__", "__defaults__", "__kwdefaults__", "__func__", "__self__", "fget")


def entry_for(model: nn.Module, prepare: Callable[[Tensor], Tensor] | None, *rest: Any) -> Path | None:
    """The file where these features are kept, or None where that must not be, or there is no folder for it."""
    everywhere = torch.nn.modules.module
    touched = any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in model.modules())
    if touched or everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks:
        return None
    key = getattr(prepare, "cache_key", None)
    frozen = is_dataclass(prepare) and type(prepare).__dataclass_params__.frozen  # type: ignore[attr-defined]
    if prepare is not None and key is None and not frozen:
        return None
    digest = blake2b(digest_size=20)
    _feed(digest, (model, repr(model), prepare if key is None else str(key), torch.__version__, *rest), {})
    with suppress(OSError):
        return files.cache_dir() / "features" / f"{digest.hexdigest()}.npz"
    return None


def _feed(digest: Any, value: Any, seen: dict[int, tuple[int, Any]]) -> None:
    """Add all that tells a value from another: bytes of tensors; code of functions and classes; attributes of objects.

    Weights and repr alone would not do: a forward pass that was edited in a notebook leaves both as they are.
    """
    if isinstance(value, PLAIN | None):
        digest.update(f"{type(value).__name__} {value!r};".encode())
        return
    if not isinstance(value, tuple | frozenset | CodeType):  # of those, copies may be one object or two, by chance
        if id(value) in seen:
            digest.update(f"again {seen[id(value)][0]};".encode())
            return
        seen[id(value)] = (len(seen), value)  # the value too, so that no other gets its id meanwhile
    digest.update(f"{type(value).__module__} {type(value).__qualname__};".encode())
    parts: Iterable[Any] = ()
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"{value.dtype} {value.shape};".encode() + value.tobytes())
    elif isinstance(value, Mapping):
        parts = (len(value), *chain.from_iterable(value.items()))
    elif isinstance(value, set | frozenset):
        parts = sorted(map(repr, value))
    elif isinstance(value, tuple | list):
        parts = (len(value), *value)
    elif isinstance(value, CODE):
        parts = [getattr(value, name) for name in (*INSIDE, "func", "args", "keywords") if hasattr(value, name)]
        parts += _reached(value) if isinstance(value, FunctionType) else []
    elif isinstance(value, type):
        own = [item for kind in value.__mro__ if kind not in (nn.Module, object) for item in vars(kind).items()]
        plain = [(name, item) for name, item in own if isinstance(item, PLAIN | tuple) and not name.startswith("__")]
        parts = (value.__qualname__, plain, [(name, item) for name, item in own if isinstance(item, CODE)])
    elif isinstance(value, nn.Module):
        passing = set(vars(nn.Module())) - {"_parameters", "_buffers", "_modules"}  # mode and hooks
        parts = (type(value), {name: item for name, item in vars(value).items() if name not in passing})
    elif is_dataclass(value):
        parts = (type(value), {field.name: getattr(value, field.name) for field in fields(value)})
    elif type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__"):
        parts = (type(value), vars(value))
    else:
        digest.update(re.sub(r" at 0x[0-9a-f]+", "", repr(value)).encode())
    for part in parts:
        _feed(digest, part, seen)


def _reached(function: FunctionType) -> list[Any]:
    """What a function reads from outside: what it closes over, and functions and plain values of its own module."""
    found: list[Any] = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a cell that is still empty
            found.append(cell.cell_contents)
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        near = isinstance(value, FunctionType) and value.__module__ == function.__module__
        if near or isinstance(value, PLAIN | tuple):
            found.append((name, value))
    return found


def read(entry: Path, names: list[str]) -> dict[str, Tensor] | None:
    """The features of these layers, or None where there are none, or damaged ones, which a warning says."""
    try:
        with np.load(entry, allow_pickle=False) as arrays:  # a zip, whose checksums find what has been damaged
            found = {name: torch.from_numpy(arrays[str(sorted(names).index(name))]) for name in names}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        warnings.warn(f"kept features are damaged ({error}): computing them again", stacklevel=3)
        return None
    with suppress(OSError):
        entry.touch()  # used now
    return found


def write(entry: Path, features: dict[str, Tensor]) -> None:
    """Keep features, and remove the least recently used where there are too many; a disk that refuses costs only that."""
    if sum(feature.nbytes for feature in features.values()) > files.CACHE_LIMIT:
        return
    with suppress(OSError):
        with files.atomic_write(entry) as spare, spare.open("wb") as file:
            np.savez(file, **{str(i): features[name].numpy() for i, name in enumerate(sorted(features))})  # type: ignore[arg-type]
        room = files.CACHE_LIMIT
        kept = [(other.stat(), other) for other in entry.parent.iterdir()]
        for status, old in sorted(kept, key=lambda pair: -pair[0].st_mtime_ns):
            room -= status.st_size
            if room < 0:
                old.unlink(missing_ok=True)
