"""Environment of every test and of every kernel that nbval starts: one thread, no bars or controls, strict verdicts."""

import os
import sys

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TQDM_DISABLE"] = "1"
os.environ["LABKIT_STRICT"] = "1"
os.environ["LABKIT_STATIC"] = "1"
os.environ.setdefault("LABKIT_PROFILE", "tiny")
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")


@pytest.fixture(autouse=True)
def _subnormals_count():
    """`open_lab` makes subnormal numbers zero for its whole process; no other test should notice."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
