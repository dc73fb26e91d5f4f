"""Figures: size and alternative text where they are displayed, and the data where it was drawn."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import colors, pyplot
from PIL import Image

from labkit import plots
from labkit.lab import Lab


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, as (data, metadata)."""
    bundles: list[tuple[dict, dict]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, *, metadata, raw: bundles.append((data, metadata)))
    return bundles


@pytest.mark.parametrize(("rows", "columns", "dpi"), [(1, 1, 80), (2, 3, 50)])
def test_a_displayed_figure_carries_alt_text_and_its_size(shown, rows, columns, dpi):
    fig, axes = plots.figure(rows, columns, width=4, height=3)
    assert np.shape(axes) == {(1, 1): (), (2, 3): (2, 3)}[rows, columns]
    plots.display_figure(fig, alt="A flat line at zero.", dpi=dpi)
    ((data, metadata),) = shown
    width, height = 4 * columns * dpi, 3 * rows * dpi
    assert metadata == {"image/png": {"alt": "A flat line at zero.", "width": width, "height": height}}
    assert data["text/plain"] == "A flat line at zero."
    assert Image.open(io.BytesIO(data["image/png"])).size == (2 * width, 2 * height)  # sharp on dense screens
    assert fig.axes == []  # its memory is free


def test_show_displays_with_the_alternative_text(shown):
    Lab.show(None, plots.figure()[0], alt="Six bars stand out.")
    assert shown[0][1]["image/png"]["alt"] == "Six bars stand out."


def test_plotting_changes_no_global_state():
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    _, ax = plots.figure()
    plots.band_line([0, 1], np.zeros((2, 3)), ax=ax)
    plots.arm_bars(np.zeros((2, 3)), ["a", "b"], ax=ax)
    assert dict(matplotlib.rcParams) == before and matplotlib.get_backend() == backend and pyplot.get_fignums() == []


def draw(name: str, ax=None):
    return {
        "image_grid": lambda: plots.image_grid(torch.rand(3, 1, 2, 2), columns=2, ax=ax),
        "band_line": lambda: plots.band_line([0, 1], np.ones((2, 3)), ax=ax),
        "arm_bars": lambda: plots.arm_bars(np.ones((2, 3)), ["a", "b"], ax=ax),
        "embedding": lambda: plots.embedding(np.eye(2), [0, 1], ["a", "b"], ax=ax),
        "diagram": lambda: plots.diagram({"a": (0, 0, "A", 0), "b": (1, 1, "B", 1)}, ["a b"], ax=ax),
    }[name]()


@pytest.mark.parametrize("name", ["image_grid", "band_line", "arm_bars", "diagram", "embedding"])
def test_every_plot_draws_on_the_axes_given_or_on_its_own_and_returns_them(name):
    fig, ax = plots.figure()
    assert draw(name, ax) is ax and (ax.has_data() or ax.texts)
    own = draw(name)
    assert own is not ax and own.figure is not fig
    own.figure.canvas.draw()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_puts_image_i_at_its_row_and_column(channels):
    images = torch.arange(5).reshape(-1, 1, 1, 1).repeat(1, channels, 2, 3) / 10
    ax = plots.image_grid(images, columns=3, titles=["first", "second"])
    canvas = ax.images[0].get_array()
    assert canvas.shape[:2] == (2 * 2 + 1, 3 * 3 + 2)
    for i in range(5):
        top, left = i // 3 * 3, i % 3 * 4
        assert np.allclose(canvas[top : top + 2, left : left + 3], i / 10)
    assert np.allclose(canvas[2], 1) and np.allclose(canvas[3:, 8:], 1)  # gaps and the place that is left are white
    assert ax.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]


def test_a_grid_takes_images_without_channels_and_clips_at_vmax():
    canvas = plots.image_grid(torch.tensor([[[0.0, 2.0], [4.0, -1.0]]]), columns=1, vmax=4.0).images[0].get_array()
    assert np.allclose(canvas, [[0, 0.5], [1, 0]])


def test_a_band_line_is_the_mean_with_one_sd_either_way():
    values = np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])
    ax = plots.band_line([10, 20], values, label="beta = 1", arm=1)
    (line,), (band,) = ax.lines, ax.collections
    assert line.get_xdata().tolist() == [10, 20] and line.get_ydata().tolist() == [3, 4] and line.get_label() == "beta = 1"
    sd = np.std([1, 2, 6], ddof=1)
    edges = band.get_paths()[0].vertices
    assert edges[:, 1].min() == pytest.approx(3 - sd) and edges[:, 1].max() == pytest.approx(3 + sd)
    assert colors.to_hex(line.get_color()).upper() == plots.COLOURS[1] and line.get_linestyle() == "--"
    assert len(plots.band_line([0, 1], values[:, :1]).lines) == 1  # one seed: no spread, no error


def test_arms_differ_in_line_style_as_well_as_colour():
    ax = plots.figure()[1]
    for arm in range(4):
        plots.band_line([0, 1], np.ones((2, 2)), ax=ax, arm=arm)
    assert len({line.get_linestyle() for line in ax.lines}) == len({line.get_color() for line in ax.lines}) == 4


def test_arm_bars_show_the_mean_and_every_seed():
    values = np.array([[1.0, 3.0], [5.0, 9.0]])
    ax = plots.arm_bars(values, ["low", "high"], colours=[0, 0])
    assert [bar.get_height() for bar in ax.patches] == [2, 7]
    assert [line.get_ydata().tolist() for line in ax.lines] == values.tolist()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["low", "high"]
    assert len({bar.get_facecolor() for bar in ax.patches}) == 1


def test_a_diagram_has_a_box_for_each_node_and_an_arrow_for_each_pair():
    ax = plots.diagram({"x": (0, 0, "image", 0), "z": (2, 1, "code", 1)}, ["x z"])
    boxes = {text.get_text(): text for text in ax.texts if text.get_text()}
    assert set(boxes) == {"image", "code"} and boxes["code"].get_position() == (2, 1)
    (arrow,) = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    assert arrow.patchA is boxes["image"].get_bbox_patch() and arrow.patchB is boxes["code"].get_bbox_patch()
    assert ax.get_xlim()[0] < 0 and ax.get_xlim()[1] > 2


def drawn(ax) -> dict[tuple[float, float], tuple[str, tuple]]:
    """Point -> its colour and the outline of its symbol."""
    (dots,) = ax.collections
    return {
        tuple(point): (colors.to_hex(colour).upper(), path.vertices.round(6).tobytes())
        for point, colour, path in zip(dots.get_offsets().tolist(), dots.get_facecolors(), dots.get_paths(), strict=True)
    }


@pytest.mark.parametrize(("n_labels", "palette"), [(2, plots.COLOURS), (8, plots.COLOURS), (9, plots.TEN), (10, plots.TEN)])
def test_an_embedding_gives_each_label_a_colour_and_a_symbol_of_its_own(n_labels, palette):
    points = np.random.default_rng(0).normal(size=(30, 2))
    labels = torch.arange(30) % n_labels
    ax = plots.embedding(torch.tensor(points), labels, [f"class {i}" for i in range(n_labels)])
    by_point = drawn(ax)
    of_label = [{by_point[tuple(point)] for point in points[labels == k]} for k in range(n_labels)]
    assert [len(looks) for looks in of_label] == [1] * n_labels
    assert [next(iter(looks))[0] for looks in of_label] == list(palette[:n_labels])
    assert len({next(iter(looks))[1] for looks in of_label}) == n_labels
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [f"class {i}" for i in range(n_labels)]
    assert [colors.to_hex(h.get_color()).upper() for h in legend.legend_handles] == list(palette[:n_labels])
    assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0 and ax.get_aspect() == 1 and ax.get_title() == ""
    ax.figure.canvas.draw()


def test_names_of_one_letter_are_their_own_legend():
    looks = {}
    for names in ("0123456789", "1023456789"):
        ax = plots.embedding(np.eye(2), [0, 1], names)
        looks[names] = [look for _, look in (drawn(ax)[0.0, 1.0], drawn(ax)[1.0, 0.0])]
        assert ax.get_legend() is None
    assert looks["0123456789"] == looks["1023456789"][::-1]  # the text drawn is the name
    ax = plots.embedding(np.eye(2), [0, 1], ["$", *"123456789"])  # no letter or digit
    assert ax.get_legend() is not None
    ax.figure.canvas.draw()
    assert plots.embedding(np.eye(2), [0, 1], ["a", "b"], legend=False).get_legend() is None


def test_no_label_lies_on_top_of_all_others():
    points = np.stack([np.arange(200), np.zeros(200)], axis=1)
    x = plots.embedding(points, np.arange(200) // 100, ["source", "target"]).collections[0].get_offsets()[:, 0]
    assert 30 < (x[:100] < 100).sum() < 70  # of the points drawn first


@pytest.mark.parametrize(
    ("points", "labels", "n_names", "message"),
    [
        (np.zeros((3, 3)), [0, 0, 0], 2, r"points \(3, 3\) and labels \(3,\) don't fit"),
        (np.zeros((3, 2)), [0, 0], 2, r"points \(3, 2\) and labels \(2,\) don't fit"),
        (np.zeros((3, 2)), [0, 2, -1], 2, r"labels \[-1, 2\] have no name: 2 names are for labels 0 to 1"),
        (np.zeros((3, 2)), [0, 0.5, 1], 2, r"labels \[0.5\] have no name"),
        (np.zeros((3, 2)), [0, 0, 0], 11, "11 labels can't be told apart in one picture: give at most 10"),
    ],
)
def test_points_that_cannot_be_drawn_are_refused(points, labels, n_names, message):
    with pytest.raises(ValueError, match=message):
        plots.embedding(points, labels, [str(i) for i in range(n_names)])


def test_an_animation_has_a_frame_for_each_grid_and_its_text_plays_twice_and_stands_still():
    frames = torch.zeros(3, 4, 1, 2, 2)
    frames[1] = 1.0
    with Image.open(io.BytesIO(plots.animation(frames, columns=2, texts=["a", "b", "c"], width=60, seconds=3))) as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 1
        shown, durations = [], []
        for i in range(3):
            gif.seek(i)
            shown.append(np.asarray(gif.convert("L")))
            durations.append(gif.info["duration"])
    assert durations == [1000, 1000, 2000]
    assert shown[0].shape == (5 * 10 + 24, 5 * 10)  # two images of two pixels and a gap, ten times as large, and the text
    assert shown[0][:20, :20].max() < 8 and shown[1][:50].min() > 247
    texts = [page[50:] for page in shown]
    assert all(text.min() < 128 for text in texts) and not np.array_equal(texts[0], texts[1])


def test_a_frame_of_an_animation_lasts_at_least_20_ms():
    frames = (torch.arange(8) % 2).float().reshape(8, 1, 1, 1, 1).expand(8, 1, 1, 2, 2)
    with Image.open(io.BytesIO(plots.animation(frames, columns=1, width=4, seconds=0.024))) as gif:
        durations = []
        for i in range(gif.n_frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
    assert durations == [20] * 7 + [1020]


def test_an_animation_takes_colour_and_clips_what_is_beyond_0_and_1():
    colour = torch.tensor([2.0, -1.0, 0.5]).reshape(1, 1, 3, 1, 1).expand(2, 1, 3, 4, 4)
    with Image.open(io.BytesIO(plots.animation(colour, columns=1, width=10))) as gif:
        pixel = np.asarray(gif.convert("RGB"))[1, 1]
    assert np.abs(pixel.astype(int) - [255, 0, 128]).max() < 8


@pytest.mark.parametrize(
    ("shape", "texts", "message"),
    [
        ((4, 1, 2, 2), [], "T, N, C, H, W"),
        ((1, 4, 2, 2, 2), [], "one channel or three"),
        ((2, 1, 1, 2, 2), ["a"], "one text a frame"),
    ],
)
def test_an_animation_says_what_does_not_fit(shape, texts, message):
    with pytest.raises(ValueError, match=message):
        plots.animation(torch.zeros(shape), columns=1, texts=texts)


def test_a_lab_shows_an_animation_with_its_text_and_size(shown):
    gif = plots.animation(torch.rand(2, 4, 1, 3, 3), columns=2, width=42)
    Lab("demo", "tiny", 0, torch.device("cpu")).show(gif, alt="Four squares flicker at random.")
    ((data, metadata),) = shown
    assert base64.b64decode(data["image/gif"]) == gif and data["text/plain"] == "Four squares flicker at random."
    assert metadata["image/gif"] == {"alt": "Four squares flicker at random.", "width": 35, "height": 35}
