"""The machine a lab runs on: device, threads, seeds, autocast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: What every runner sets for a kernel: one thread each, since two kernels of two threads on two cores are slower than
#: one after the other, no progress bars in stored output, and no controls where nobody is there to use them.
KERNEL_ENV = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
    "LABKIT_STATIC": "1",
}


def pick_device(name: str | None = None) -> torch.device:
    """Choose where tensors live: `name`, else LABKIT_DEVICE, else cuda, mps, cpu, the first that works.

    Raises:
        ValueError: the name is no device, or that device is not on this machine.
    """
    import torch

    name = name or os.environ.get("LABKIT_DEVICE") or None
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name is None:
        return torch.device(next(kind for kind, there in here.items() if there))
    known = ", ".join(kind for kind, there in here.items() if there)
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or not here.get(device.type, False):
        raise ValueError(f"device {name!r} is not on this machine: use one of {known} (set LABKIT_DEVICE, or unset it)")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r}: this machine has {torch.cuda.device_count()} GPU(s), counted from cuda:0")
    return device


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a random number generator of its own, so that no other code's draws change this one's."""
    import torch

    return torch.Generator(device=device).manual_seed(seed)


@contextmanager
def local_seed(seed: int) -> Iterator[None]:
    """Seed torch's, NumPy's and Python's global generators inside the block and put their states back after it.

    For code that takes no generator, such as the initialisation of torch modules.
    """
    import random

    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the legacy state is what must be kept
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []  # by default all, with a warning
    with torch.random.fork_rng(devices=devices):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 autocast where it pays (cuda), a context that does nothing elsewhere."""
    import torch

    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


def settle(device: torch.device, *, small: bool = False) -> None:
    """Steady small-net timings of this process: subnormals count as zero, and torch obeys OMP_NUM_THREADS.

    Where that is not set, `small` nets get one thread: they gain nothing from more, and threads that wait for each other
    on cores that are busy otherwise cost them a factor of ten and more.
    """
    import torch

    torch.set_flush_denormal(True)
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > 0:
        torch.set_num_threads(int(threads))
    elif small:
        torch.set_num_threads(1)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
