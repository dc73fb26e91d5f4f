"""Explorers: a picture that a lab draws from a few values, with controls for them where somebody can use these."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Draws into a part of a figure (matplotlib's `SubFigure`) for values given by name, and says in a sentence what is seen.
Draw = Callable[..., str]
DPI = 80


def explore(
    draw: Draw,
    *,
    static: Sequence[Mapping[str, Any]],
    alt: str,
    size: tuple[float, float] = (4.2, 2.6),
    columns: int = 2,
    **controls: Any,
) -> None:
    """Show what `draw(part, **values)` makes of each setting in `static`, and below that, where it can be used, controls.

    A control is named like the value that it sets: (low, high, step) is a range of numbers, a list holds choices. The
    controls begin at the first of `static`. The settings stand `columns` a row; `size` is that of one, width and height
    in inches. The picture comes first in any case, so that a saved or executed notebook never has a hole.

    Raises:
        ValueError: no control, one that is no range or choice, a setting that the controls don't allow, or no real `alt`.
        TypeError: `draw` returned no sentence.
    """
    from labkit.plots import display_figure

    if len(alt.split()) < 4:
        raise ValueError("alt: say in a sentence what the figure shows, for a reader who can't see it")
    _require(controls, static)
    fig, told = _drawn(draw, static, size, columns)
    display_figure(fig, alt=f"{alt} {told}", dpi=DPI)
    if somebody_is_there():
        from IPython.display import display

        box = panel(draw, start=static[0], alt=alt, size=size, **controls)
        saved = {"text/plain": "Run this cell to get its controls."}  # where the widgets themselves are gone
        display({**box._repr_mimebundle_(), **saved}, raw=True)


def somebody_is_there() -> bool:
    """Whether controls would be seen: this is a Jupyter kernel, it has ipywidgets, and no runner has set LABKIT_STATIC=1."""
    if os.environ.get("LABKIT_STATIC", "0") not in ("", "0"):
        return False
    try:
        import ipywidgets  # noqa: F401
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


def panel(draw: Draw, *, start: Mapping[str, Any], alt: str, size: tuple[float, float] = (4.2, 2.6), **controls: Any) -> Any:
    """Make the controls and, below them, their picture, as one ipywidgets box; see `explore`.

    A number can be typed or slid, since a slider's handle has no name that a screen reader could say. The picture is
    written as HTML and not into an Output widget, which knows no alternative text. What `draw` raises is shown in its
    place: nobody sees what fails in a callback.

    Raises:
        ValueError: no control, one that is no range or choice, or a start that the controls don't allow.
    """
    import ipywidgets as widgets

    _require(controls, [start])
    picture = widgets.HTML()
    boxes, rows = {}, []
    for name, control in controls.items():
        about = {"description": _label(name), "value": start[name], "style": {"description_width": "initial"}}
        if isinstance(control, list):
            boxes[name] = widgets.Dropdown(options=control, **about)
            rows.append(boxes[name])
            continue
        low, high, step = control
        whole = all(isinstance(value, int) for value in control)
        limits = {"min": low, "max": high, "step": step, "continuous_update": False}
        typed, slid = (widgets.BoundedIntText, widgets.IntSlider) if whole else (widgets.BoundedFloatText, widgets.FloatSlider)
        boxes[name] = typed(**about, **limits)
        slider = slid(value=start[name], readout=False, **limits)
        widgets.link((boxes[name], "value"), (slider, "value"))
        rows.append(widgets.HBox([boxes[name], slider]))

    def update(_: Any = None) -> None:
        values = {name: box.value for name, box in boxes.items()}
        try:
            fig, told = _drawn(draw, [values], size, 1)
            picture.value = _as_html(fig, alt=f"{alt} {told}", size=size)
        except Exception as error:
            picture.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"

    for box in boxes.values():
        box.observe(update, names="value")
    update()
    return widgets.VBox([*rows, picture])


def _drawn(draw: Draw, settings: Sequence[Mapping[str, Any]], size: tuple[float, float], columns: int) -> tuple[Any, str]:
    """A figure with one part a setting, and the sentences that go with them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(columns, len(settings))
    rows = -(-len(settings) // columns)
    fig = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    FigureCanvasAgg(fig)
    told = []
    for part, values in zip(fig.subfigures(rows, columns, squeeze=False).flat, settings, strict=False):
        said = draw(part, **values)
        if not isinstance(said, str):
            raise TypeError(f"draw returned {said!r}: return a sentence on what it drew, for readers who can't see it")
        part.suptitle(words := _words(values), fontsize=10)
        told.append(f"With {words}: {said}")
    return fig, " ".join(told)


def _as_html(fig: Any, *, alt: str, size: tuple[float, float]) -> str:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=2 * DPI, facecolor="white")
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    width, height = (round(inches * DPI) for inches in size)
    return f'<img src="{source}" alt="{html.escape(alt)}" width="{width}" height="{height}">'


def _label(name: str) -> str:
    return name.replace("_", " ")


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{_label(name)} {v:.4g}" if isinstance(v, float) else f"{_label(name)} {v}" for name, v in values.items())


def _require(controls: Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError unless the controls are ranges or choices and all settings are within them."""
    if not controls:
        raise ValueError("there is nothing to control: name a value of draw, as in share=(0.0, 1.0, 0.1)")
    if not settings:
        raise ValueError("static is empty: give at least one setting to be drawn, as in static=[{'share': 0.5}]")
    for name, control in controls.items():
        if isinstance(control, list):
            ok = len(control) > 0 and not any(choice in control[:i] for i, choice in enumerate(control))
        else:
            ok = isinstance(control, tuple) and len(control) == 3 and all(_number(value) for value in control)
            ok = ok and control[0] < control[1] and control[2] > 0
        if not ok:
            raise ValueError(f"control {name} is {control!r}: give (low, high, step), or a list of different choices")
    for values in settings:
        if set(values) != set(controls):
            raise ValueError(f"setting {dict(values)} names other values than the controls do: give {', '.join(controls)}")
        for name, value in values.items():
            control = controls[name]
            if isinstance(control, list) and value not in control:
                raise ValueError(f"{name} is {value!r} in a setting: choose one of {', '.join(map(repr, control))}")
            if isinstance(control, tuple) and not (_number(value) and control[0] <= value <= control[1]):
                raise ValueError(f"{name} is {value!r} in a setting: give a number from {control[0]} to {control[1]}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
