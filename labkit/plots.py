"""Figures that labs share. Every function takes `ax=None` and returns the axes; nothing global is changed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

#: Okabe-Ito, safe for colour-blind readers, in the order in which arms take them
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
#: For ten labels, dark enough for thin strokes on white
TEN = ("#2E75FF", "#D55E00", "#009E73", "#8B1A1A", "#6A0DAD", "#303030", "#C79A00", "#E255B5", "#00A5C8", "#6B6B2E")


def figure(rows: int = 1, columns: int = 1, *, width: float = 5.0, height: float = 3.4, **options: Any) -> tuple[Any, Any]:
    """Make a figure of `rows` x `columns` axes of a size (inches, each), laid out without overlap.

    It belongs to no global state, so it is shown only by `lab.show`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(rows, columns, **options)


def display_figure(fig: Any, *, alt: str, dpi: int = 80) -> None:
    """Display a figure as PNG at twice `dpi`, with its alternative text and its size, so that no page jumps on loading."""
    from IPython.display import display

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=2 * dpi, facecolor="white")
    width, height = (round(inches * dpi) for inches in fig.get_size_inches())
    display(
        {"image/png": buffer.getvalue(), "text/plain": alt},
        metadata={"image/png": {"alt": alt, "width": width, "height": height}},
        raw=True,
    )
    fig.clear()


def display_animation(gif: bytes, *, alt: str) -> None:
    """Display a GIF with its alternative text and its size."""
    import base64

    from IPython.display import display
    from PIL import Image

    with Image.open(io.BytesIO(gif)) as image:
        about = {"alt": alt, "width": image.width, "height": image.height}
    data = {"image/gif": base64.b64encode(gif).decode(), "text/plain": alt}
    display(data, metadata={"image/gif": about}, raw=True)


def _axes(ax: Any) -> Any:
    return figure()[1] if ax is None else ax


def animation(
    frames: Any, *, columns: int, texts: Sequence[str] = (), width: int = 420, seconds: float = 4.0, gap: int = 1
) -> bytes:
    """Make a GIF of image grids: frames (T, N, C, H, W), 0..1, each with one of `texts` under it; show it by `lab.show`.

    It plays twice and then stands still on its last frame, which it shows a second longer. A frame lasts 20 ms at least,
    so that many take longer than `seconds`. `width` is in pixels, about.

    Raises:
        ValueError: frames are not (T, N, C, H, W) with 1 or 3 channels, or there are texts, but not one a frame.
    """
    from PIL import Image, ImageDraw, ImageFont

    x = torch.as_tensor(frames).detach().cpu().float()
    if x.ndim != 5 or x.shape[2] not in (1, 3) or not x.shape[0] * x.shape[1]:
        raise ValueError(f"frames have shape {tuple(x.shape)}: give (T, N, C, H, W) with one channel or three")
    if texts and len(texts) != len(x):
        raise ValueError(f"{len(texts)} texts for {len(x)} frames: give one text a frame, or none")
    scale = max(1, width // (columns * (x.shape[-1] + gap)))
    pages = []
    for i, images in enumerate(x):
        canvas = (tile(images, columns=columns, gap=gap) * 255).round().astype(np.uint8)
        grid = Image.fromarray(canvas.repeat(3, -1) if canvas.shape[-1] == 1 else canvas)
        grid = grid.resize((grid.width * scale, grid.height * scale), Image.Resampling.NEAREST)
        page = Image.new("RGB", (grid.width, grid.height + (24 if texts else 0)), "white")
        page.paste(grid)
        if texts:
            ImageDraw.Draw(page).text((4, grid.height + 4), texts[i], fill="black", font=ImageFont.load_default(14))
        pages.append(page.quantize(128))
    each = max(20, round(1000 * seconds / len(pages)))  # GIF counts in 10 ms, and players slow down what is below 20
    buffer, durations = io.BytesIO(), [each] * (len(pages) - 1) + [each + 1000]
    pages[0].save(buffer, "GIF", save_all=True, append_images=pages[1:], duration=durations, loop=1, disposal=1)
    return buffer.getvalue()


def tile(images: Any, *, columns: int, gap: int = 1) -> np.ndarray:
    """Lay images (N, C, H, W), 0..1 (clipped), on one white canvas (rows x H, columns x W, C), row by row."""
    x = torch.as_tensor(images).detach().cpu().float()
    n, c, h, w = x.shape
    canvas = np.ones((-(-n // columns) * (h + gap) - gap, columns * (w + gap) - gap, c))
    for i, image in enumerate(x.clamp(0, 1).permute(0, 2, 3, 1).numpy()):
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        canvas[top : top + h, left : left + w] = image
    return canvas


def image_grid(
    images: Any, *, columns: int, ax: Any = None, titles: Sequence[str] = (), gap: int = 1, vmax: float = 1.0
) -> Any:
    """Draw images (N, C, H, W) or (N, H, W), 0..vmax, as one grid, row by row; `titles` name the rows on the left."""
    x = torch.as_tensor(images).detach().cpu().float()
    x = x.unsqueeze(1) if x.ndim == 3 else x
    h = x.shape[-2]
    rows = -(-len(x) // columns)
    canvas = tile(x / vmax, columns=columns, gap=gap)
    ax = _axes(ax)
    ax.imshow(canvas.squeeze(-1) if canvas.shape[-1] == 1 else canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([(h + gap) * r + h / 2 for r in range(rows)] if titles else [], list(titles) or None)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def band_line(x: Any, values: Any, *, ax: Any = None, label: str = "", arm: int = 0, **options: Any) -> Any:
    """Draw the mean over seeds with a band of one standard deviation; values is (points, seeds)."""
    ax, y = _axes(ax), np.asarray(values, dtype=float)
    mean, sd = y.mean(1), y.std(1, ddof=1) if y.shape[1] > 1 else np.zeros(len(y))
    colour, style = COLOURS[arm % len(COLOURS)], STYLES[arm % len(STYLES)]
    ax.plot(x, mean, color=colour, linestyle=style, label=label, **options)
    ax.fill_between(x, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0)
    return ax


def arm_bars(values: Any, arms: Sequence[str], *, ax: Any = None, colours: Sequence[int] | None = None) -> Any:
    """Draw one bar an arm at the mean over seeds, and every seed as a dot; values is (arms, seeds)."""
    ax, y = _axes(ax), np.asarray(values, dtype=float)
    for i, row in enumerate(y):
        colour = COLOURS[(colours[i] if colours is not None else i) % len(COLOURS)]
        ax.bar(i, row.mean(), color=colour, alpha=0.55, width=0.7)
        ax.plot(i + np.linspace(-0.2, 0.2, len(row)) * (len(row) > 1), row, "o", color=colour, mec="black", mew=0.5, ms=4)
    ax.set_xticks(range(len(arms)), list(arms))
    return ax


def diagram(nodes: dict[str, tuple[float, float, str, int]], arrows: Sequence[str], *, ax: Any = None) -> Any:
    """Draw boxes joined by arrows: nodes are name -> (x, y, text, colour number), arrows are 'from to'."""
    ax, boxes = _axes(ax), {}
    for name, (x, y, text, colour) in nodes.items():
        style = {"boxstyle": "round,pad=0.45", "facecolor": COLOURS[colour % len(COLOURS)] + "33", "edgecolor": "black"}
        boxes[name] = ax.text(x, y, text, ha="center", va="center", fontsize=10, bbox=style).get_bbox_patch()
    for arrow in arrows:
        start, end = arrow.split()
        arrow_style = {"arrowstyle": "-|>", "color": "black", "lw": 1.2, "patchA": boxes[start], "patchB": boxes[end]}
        ax.annotate("", xy=nodes[end][:2], xytext=nodes[start][:2], arrowprops={**arrow_style, "shrinkA": 2, "shrinkB": 2})
    xs, ys = [n[0] for n in nodes.values()], [n[1] for n in nodes.values()]
    ax.set(xlim=(min(xs) - 0.8, max(xs) + 0.8), ylim=(min(ys) - 0.5, max(ys) + 0.5))
    ax.axis("off")
    return ax


def embedding(
    points: Any, labels: Any, names: Sequence[str], *, ax: Any = None, size: float | None = None, legend: bool = True
) -> Any:
    """Scatter points (N, 2) by label, whole numbers that index `names`: markers up to 8 names, short texts for 9 or 10.

    A text is the name itself if all have at most two letters or digits, and otherwise the label's number, explained in
    the legend. `size` is a symbol's area in square points. The axes have equal scales and no ticks, since t-SNE and UMAP
    have no unit.

    Raises:
        ValueError: points are not (N, 2), a label is no index of `names`, or there are more than 10 names.
    """
    from matplotlib.lines import Line2D
    from matplotlib.markers import MarkerStyle

    xy, y = np.asarray(torch.as_tensor(points).detach().cpu()), np.asarray(torch.as_tensor(labels).detach().cpu())
    if xy.ndim != 2 or xy.shape[1] != 2 or y.shape != (len(xy),):
        raise ValueError(f"points {xy.shape} and labels {y.shape} don't fit: give points (N, 2) and one label a point, (N,)")
    if len(names) > len(TEN):
        raise ValueError(f"{len(names)} labels can't be told apart in one picture: give at most {len(TEN)}")
    strange = np.setdiff1d(y, np.arange(len(names))).tolist()
    if strange:
        raise ValueError(f"labels {strange} have no name: {len(names)} names are for labels 0 to {len(names) - 1}")
    few = len(names) <= len(COLOURS)
    short = len(set(names)) == len(names) and all(len(name) <= 2 and name.isalnum() and name.isascii() for name in names)
    texts = names if short else [str(i) for i in range(len(names))]
    markers = MARKERS if few else [rf"$\mathrm{{{text}}}$" for text in texts]
    styles = [MarkerStyle(marker) for marker in markers[: len(names)]]
    paths = [style.get_path().transformed(style.get_transform()) for style in styles]
    colours = np.array(COLOURS if few else TEN)
    edge = {"edgecolors": "black", "linewidths": 0.3} if few else {"linewidths": 0}

    ax = _axes(ax)
    order = np.random.default_rng(0).permutation(len(y))  # so that no label lies on top of all others
    y = y[order].astype(int)
    ax.scatter(*xy[order].T, s=size or (18 if few else 26), c=colours[y], **edge).set_paths([paths[k] for k in y])
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xticks([])
    ax.set_yticks([])
    if legend and (few or not short):
        line: dict[str, Any] = {"linestyle": "", "markersize": 6, "markeredgewidth": 0.3 if few else 0}
        handles = [
            Line2D([], [], marker=marker, color=colour, markeredgecolor="black" if few else colour, label=name, **line)
            for marker, colour, name in zip(markers, colours, names, strict=False)
        ]
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize="small")
    return ax
