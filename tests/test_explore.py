"""Explorers: their picture, who gets controls, what these do, and what is refused."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from types import SimpleNamespace

import IPython
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from labkit import explore as module
from labkit.explore import explore, panel, somebody_is_there

ALT = "A square in one grey tone"
WIDGET = "application/vnd.jupyter.widget-view+json"
LEVELS = [{"level": value} for value in (0.0, 0.5, 1.0)]
CONTROLS = {"level": (0.0, 1.0, 0.25)}


def square(part, level):
    part.add_axes((0, 0, 1, 0.6)).imshow([[level]], cmap="gray", vmin=0, vmax=1, aspect="auto")
    return f"the square's level is {level}."


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L")).astype(int)


def in_html(text):
    """The picture of a panel as pixels, and its alternative text."""
    found = re.fullmatch(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)" width="\d+" height="\d+">', text)
    return pixels(base64.b64decode(found[1])), found[2]


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options.get("metadata"))))
    return shown


@pytest.fixture
def kernel(monkeypatch):
    """As in a notebook that somebody has open."""
    monkeypatch.delenv("LABKIT_STATIC")
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))


def test_the_picture_holds_every_setting_in_order_and_says_so(displayed):
    explore(square, static=LEVELS, alt=ALT, columns=2, size=(2.0, 1.0), **CONTROLS)
    ((data, metadata),) = displayed
    grey, about = pixels(data["image/png"]), metadata["image/png"]
    assert (about["width"], about["height"]) == (320, 160) and grey.shape == (320, 640)
    levels = [grey[row, column] for row in (120, 280) for column in (160, 480)]
    assert levels == pytest.approx([0, 128, 255, 255], abs=1), "three squares, and one place left white"
    told = [f"With level {value:.4g}: the square's level is {value}." for value in (0.0, 0.5, 1.0)]
    assert about["alt"] == data["text/plain"] == " ".join([ALT, *told])


def test_controls_come_below_the_picture_in_a_notebook_that_somebody_has_open(displayed, kernel):
    explore(square, static=LEVELS, alt=ALT, **CONTROLS)
    (picture, _), (controls, _) = displayed
    assert "image/png" in picture and WIDGET in controls
    assert controls["text/plain"] == "Run this cell to get its controls."


@pytest.mark.parametrize("reason", ["a runner says so", "no ipywidgets", "no kernel", "no notebook"])
def test_where_nobody_is_there_the_picture_stands_alone(reason, displayed, kernel, monkeypatch):
    assert somebody_is_there()
    if reason == "a runner says so":
        monkeypatch.setenv("LABKIT_STATIC", "1")
    elif reason == "no ipywidgets":
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
    else:
        monkeypatch.setattr(IPython, "get_ipython", lambda: None if reason == "no notebook" else object())
    assert not somebody_is_there()
    explore(square, static=LEVELS, alt=ALT, **CONTROLS)
    ((data, _),) = displayed
    assert "image/png" in data


@pytest.mark.parametrize("value", ["", "0"])
def test_the_variable_can_be_switched_off(value, kernel, monkeypatch):
    monkeypatch.setenv("LABKIT_STATIC", value)
    assert somebody_is_there()


@pytest.mark.slow
def test_a_real_kernel_gets_controls_unless_its_runner_forbids_them(monkeypatch):
    monkeypatch.delenv("LABKIT_STATIC")
    drawing = (
        "from labkit.explore import explore\n"
        "def draw(part, level):\n    part.subplots().plot([level])\n    return 'a dot.'\n"
        "explore(draw, static=[{'level': 1}], alt='A dot at a level', level=(0, 9, 1))\n"
    )
    sources = (drawing, "import os\nos.environ['LABKIT_STATIC'] = '1'\n" + drawing)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=150).execute()
    for cell, expected in zip(notebook.cells, ([False, True], [False]), strict=True):
        assert [WIDGET in output.data for output in cell.outputs] == expected
        assert cell.outputs[0].metadata["image/png"]["alt"] == "A dot at a level With level 1: a dot."


def test_a_number_typed_or_slid_redraws_the_picture():
    box = panel(square, start={"level": 0.0}, alt=ALT, **CONTROLS)
    row, picture = box.children
    typed, slider = row.children
    assert (slider.min, slider.max, slider.step, typed.min, typed.max, typed.step) == (0, 1, 0.25, 0, 1, 0.25)
    assert slider.continuous_update is typed.continuous_update is False, "drawing takes a while: not while it is dragged"
    assert typed.description == "level", "the label of a number box is read out, the handle of a slider has none"
    for turned, other, value in ((slider, typed, 1.0), (typed, slider, 0.5)):
        turned.value = value
        grey, alt = in_html(picture.value)
        assert other.value == value and alt == f"{ALT} With level {value:.4g}: the square&#x27;s level is {value}."
        assert grey[300, 100] == pytest.approx(255 * value, abs=1)


def test_whole_numbers_and_choices_reach_draw_as_they_are():
    seen = []

    def draw(part, how_many, kind):
        seen.append((how_many, kind))
        return "nothing."

    box = panel(draw, start={"how_many": 2, "kind": "b"}, alt=ALT, how_many=(1, 3, 1), kind=["a", "b"])
    (typed, slider), choice = box.children[0].children, box.children[1]
    assert (typed.description, choice.description, choice.options) == ("how many", "kind", ("a", "b"))
    slider.value, choice.value = 3, "a"
    assert seen == [(2, "b"), (3, "b"), (3, "a")] and all(type(n) is int for n, _ in seen), "each change draws once"


def test_what_fails_while_controls_are_used_is_shown_and_the_next_value_draws_again():
    def draw(part, level):
        if level == 1:
            raise RuntimeError("level <1> is too much")
        return "fine."

    box = panel(draw, start={"level": 0.0}, alt=ALT, **CONTROLS)
    slider, picture = box.children[0].children[1], box.children[-1]
    slider.value = 1.0
    assert picture.value == "<pre>RuntimeError: level &lt;1&gt; is too much</pre>"
    slider.value = 0.5
    assert in_html(picture.value)[1].endswith("fine.")


def test_what_fails_in_the_picture_fails_the_cell(displayed):
    with pytest.raises(ZeroDivisionError):
        explore(lambda part, level: 1 / level, static=LEVELS, alt=ALT, **CONTROLS)
    with pytest.raises(TypeError, match="draw returned None: return a sentence on what it drew"):
        explore(lambda part, level: None, static=LEVELS, alt=ALT, **CONTROLS)
    assert not displayed


BAD = {
    "no control": ({"static": [{}]}, "nothing to control: name a value of draw"),
    "nothing to draw": ({"static": [], **CONTROLS}, "static is empty: give at least one setting"),
    "no alternative text": ({"static": LEVELS, "alt": "squares", **CONTROLS}, "alt: say in a sentence"),
    "two numbers": ({"static": LEVELS, "level": (0, 1)}, r"control level is \(0, 1\): give \(low, high, step\), or a list"),
    "upside down": ({"static": LEVELS, "level": (1, 0, 0.1)}, "control level is"),
    "no step": ({"static": LEVELS, "level": (0, 1, 0)}, "control level is"),
    "no number": ({"static": LEVELS, "level": (0, "1", 0.1)}, "control level is"),
    "a yes or no": ({"static": LEVELS, "level": (False, True, True)}, "control level is"),
    "no choices": ({"static": LEVELS, "level": []}, "control level is"),
    "a choice twice": ({"static": LEVELS, "level": [0.0, 0.5, 0.0]}, "control level is"),
    "another name": ({"static": [{"depth": 1}], **CONTROLS}, r"setting {'depth': 1} names other .*: give level"),
    "out of range": ({"static": [*LEVELS, {"level": 1.5}], **CONTROLS}, "level is 1.5 in a setting: .* from 0.0 to 1.0"),
    "below it": ({"static": [{"level": -1}], **CONTROLS}, "level is -1 in a setting"),
    "a word for a number": ({"static": [{"level": "1"}], **CONTROLS}, "level is '1' in a setting"),
    "no such choice": ({"static": [{"level": 2}], "level": [0, 1]}, "level is 2 in a setting: choose one of 0, 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_drawn_is_refused_with_what_to_give(name, displayed):
    options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        explore(square, **{"alt": ALT, **options})
    assert not displayed


def test_a_panel_refuses_a_start_that_its_controls_do_not_allow():
    with pytest.raises(ValueError, match="level is 7 in a setting"):
        panel(square, start={"level": 7}, alt=ALT, **CONTROLS)


def test_importing_it_imports_neither_torch_nor_widgets():
    code = f"import sys; import {module.__name__}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert module.__name__ in loaded and not {"torch", "numpy", "matplotlib", "ipywidgets", "IPython"} & set(loaded)
