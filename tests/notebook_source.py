"""Read the labs as source: cells, and the functions that they define."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from labkit.lab import Lab, open_lab

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LABS = sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def cells(lab: str) -> list[dict[str, Any]]:
    """The cells of a lab, `source` joined to one string."""
    raw = json.loads((NOTEBOOKS / f"{lab}.ipynb").read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in raw]


def namespace(notebook: str, *ids: str, **given: Any) -> dict[str, Any]:
    """Run the cells named by `ids`, after the imports of the set-up cell, and return what they define."""
    source = {cell["id"]: cell["source"] for cell in cells(notebook)}
    scope: dict[str, Any] = dict(given)
    exec(source["setup"].split("lab = open_lab(")[0], scope)
    for name in ids:
        exec(source[name], scope)
    return scope


def shortened(notebook: str, profile: str, **changes: Any) -> Lab:
    """The lab under a profile, on the CPU, showing nothing, with some settings changed so that a test takes no time."""
    lab = open_lab(notebook, profile=profile, device="cpu")
    settings = lab.settings

    def changed(**rows: Any) -> SimpleNamespace:
        chosen = vars(settings(**rows))
        return SimpleNamespace(**{**chosen, **{name: value for name, value in changes.items() if name in chosen}})

    lab.settings, lab.show = changed, lambda figure, *, alt: None
    return lab


def touching(solutions: dict[str, Any], signatures: dict[str, Any]) -> Any:
    """Makes wrong answers: `touched(name, touch)` is a solution that then does something to what came in."""

    def touched(name: str, touch: Any) -> Any:
        def f(*args: Any) -> Any:
            out = solutions[name](*args)
            touch(*args)
            return out

        f.__signature__ = signatures[name]  # type: ignore[attr-defined]
        return f

    return touched


def altering(solutions: dict[str, Any], signatures: dict[str, Any]) -> tuple[Any, Any]:
    """Makes wrong answers: `then(name, change)` alters what a solution returns, `given(name, change)` what it is given."""

    def then(name: str, change: Any) -> Any:
        def f(*args: Any) -> Any:
            return change(solutions[name](*args))

        f.__signature__ = signatures[name]  # type: ignore[attr-defined]
        return f

    def given(name: str, change: Any) -> Any:
        def f(*args: Any) -> Any:
            return solutions[name](*change(*args))

        f.__signature__ = signatures[name]  # type: ignore[attr-defined]
        return f

    return then, given


def gradients_off(*args: Any) -> None:
    """What `touched` may do: switch gradients off for whatever comes next."""
    import torch

    torch.set_grad_enabled(False)
