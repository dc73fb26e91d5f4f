"""What a page keeps of a notebook's cells and outputs, decided before they become HTML."""

from __future__ import annotations

import base64
import copy
import html
import io
import re
from typing import Any

from labkit.book.execute import RESULTS_MIME
from labkit.book.formulas import to_mathml

ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
PROGRESS = re.compile(r"\d+%\|.*\||\b\d+(it|batch|epoch|step)s?\s*\[\d\d:\d\d|\[\d\d:\d\d<(\d\d|\?)")  # a tqdm bar
MARKER = re.compile(r"^\s*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\s*$\n?", re.MULTILINE)
DROPPED = (RESULTS_MIME, "application/vnd.jupyter.widget-view+json", "application/javascript", "text/vnd.mermaid")


def prepare(notebook: Any, failed: int | None) -> Any:
    """Return a copy to be rendered: no progress bars, no scripts, no terminal colours, and cells tagged for the page.

    A cell that holds a solution is tagged 'solution', the one at index `failed` 'failed'. Empty code cells go.
    """
    notebook = copy.deepcopy(notebook)
    for index, cell in enumerate(notebook.cells):
        tags = [tag for tag in cell.metadata.get("tags", []) if tag not in ("solution", "failed")]
        if cell.metadata.get("nbgrader", {}).get("solution"):
            tags.append("solution")
        if index == failed:
            tags.append("failed")
        cell.metadata["tags"] = tags
        if cell.cell_type == "code":
            cell.source = MARKER.sub("", cell.source)
            cell.outputs = [kept for output in cell.outputs if (kept := _clean(output)) is not None]
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    notebook.metadata.pop("widgets", None)
    return notebook


def _clean(output: Any) -> Any | None:
    """Return the output as the page shows it, or None if nothing of it is left."""
    if output.output_type == "stream":
        lines = ANSI.sub("", output.text).split("\n")
        lines = [line.rsplit("\r", 1)[-1] for line in (line.rstrip("\r") for line in lines)]
        output.text = "\n".join(line for line in lines if not PROGRESS.search(line))
        return output if output.text.strip() else None
    if output.output_type == "error":
        output.traceback = [ANSI.sub("", line) for line in output.traceback]
        return output
    data = output.data
    for mime in DROPPED:
        data.pop(mime, None)
    if "image/gif" in data:
        data["text/html"] = _animation(data.pop("image/gif"), output.metadata.get("image/gif", {}), data.get("text/plain", ""))
    elif "text/latex" in data and "text/html" not in data and "image/png" not in data:
        latex = data.pop("text/latex").strip()
        data["text/html"] = to_mathml(latex.strip("$").strip(), display=latex.startswith("$$"))
    if isinstance(data.get("text/plain"), str):
        data["text/plain"] = ANSI.sub("", data["text/plain"])
    return output if data else None


def _animation(encoded: str, about: dict[str, Any], fallback: str) -> str:
    source = "data:image/gif;base64," + re.sub(r"\s", "", encoded)
    width, height = (about.get("width"), about.get("height")) if about.get("width") else image_size(source) or (None, None)
    size = f' width="{width}" height="{height}"' if width and height else ""
    return f'<div class="output_png"><img src="{source}" alt="{html.escape(about.get("alt") or fallback)}"{size}></div>'


def image_size(source: str) -> tuple[int, int] | None:
    """Read width and height, in pixels, of a data: URI; None if it can't be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1]))) as image:
            return image.size
    except (OSError, ValueError, IndexError):
        return None


def thumbnail(notebook: Any, *, width: int = 480) -> dict[str, Any] | None:
    """Return the first figure, scaled down, as {'src', 'alt', 'width', 'height'}; None if there is none.

    A diagram of boxes and arrows is taken only where a lab has no other figure: all labs begin with one.
    """
    from PIL import Image

    for cell in sorted(notebook.cells, key=lambda cell: "plots.diagram(" in cell.source):  # stable: else in book order
        for output in cell.get("outputs", []):
            encoded = output.get("data", {}).get("image/png")
            if not encoded:
                continue
            with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
                small = image.convert("RGBA")
            white = Image.new("RGBA", small.size, "white")
            white.alpha_composite(small)
            small = white.convert("RGB")
            if small.width > width:
                small = small.resize((width, max(1, round(small.height * width / small.width))), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            small.quantize(128).save(buffer, "PNG", optimize=True)
            about = output.get("metadata", {}).get("image/png", {})
            return {
                "src": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
                "alt": about.get("alt") or "First figure of the lab",
                "width": small.width,
                "height": small.height,
            }
    return None
