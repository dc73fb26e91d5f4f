"""Which labs there are, how long each may take, and a key that changes when a lab's page would."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from labkit.files import home

#: seconds that a cell and a whole lab may take, by profile
LIMITS = {"tiny": (600.0, 900.0), "laptop": (3600.0, 2 * 3600.0), "full": (6 * 3600.0, 24 * 3600.0)}


def all_labs() -> list[Path]:
    """Return the notebooks `notebooks/NN_*.ipynb` in the order of their numbers."""
    found = (home() / "notebooks").glob("*.ipynb")
    return sorted(path for path in found if re.match(r"\d\d_", path.name))


def find_labs(names: Sequence[str]) -> list[Path]:
    """Return the notebooks that `names` mean, each once, in book order; no names mean all.

    A name is a lab's full name, its number ('4' or '04') or the beginning of its name with or without the number.

    Raises:
        ValueError: a name means no lab, or more than one; the message lists what there is.
    """
    labs = all_labs()
    known = ", ".join(path.stem for path in labs) or f"none in {home() / 'notebooks'}"
    if not names:
        if not labs:
            raise ValueError(f"there are no labs in {home() / 'notebooks'}: a lab is a notebook named NN_name.ipynb")
        return labs
    chosen = set()
    for name in names:
        word = Path(name).name.removesuffix(".ipynb")
        if word.isdecimal():
            hits = [path for path in labs if int(path.stem[:2]) == int(word)]
        else:
            exact = [path for path in labs if path.stem == word]
            hits = exact or [path for path in labs if word and (path.stem.startswith(word) or path.stem[3:].startswith(word))]
        if not hits:
            raise ValueError(f"there is no lab {name!r}: use one of {known}")
        if len(hits) > 1:
            raise ValueError(f"{name!r} means more than one lab: {', '.join(path.stem for path in hits)}")
        chosen.update(hits)
    return sorted(chosen)


def limits(profile: str) -> tuple[float, float]:
    """Return the seconds that a cell and a lab may take.

    Raises:
        ValueError: unknown profile.
    """
    if profile not in LIMITS:
        raise ValueError(f"profile {profile!r} is unknown: use {', '.join(LIMITS)}")
    return LIMITS[profile]


def ground_hash() -> str:
    """Hash what every lab stands on: labkit's source, expected.toml, the committed weights, and the settings in force."""
    import labkit

    digest = hashlib.sha256()
    package, root = Path(labkit.__file__).parent, home()
    sources = [path for path in package.rglob("*") if path.suffix in (".py", ".j2", ".css")]
    data = [*(root / "notebooks").glob("*.toml"), *(root / "data" / "weights").rglob("*")]
    for base, paths in ((package, sources), (root, data)):
        for path in sorted(path for path in paths if path.is_file()):
            digest.update(path.relative_to(base).as_posix().encode())
            digest.update(path.read_bytes())
    for name in ("LABKIT_SEED", "LABKIT_DEVICE", "LABKIT_DATA"):
        digest.update(f"{name}={os.environ.get(name, '')}".encode())
    return digest.hexdigest()


def lab_key(path: Path, profile: str, ground: str) -> str:
    """Hash everything that a lab's page depends on; `ground` is `ground_hash()`."""
    return hashlib.sha256(f"{profile} {ground} ".encode() + path.read_bytes()).hexdigest()
