"""A notebook with its outputs as the HTML of one article that loads nothing from anywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from labkit.book.formulas import to_mathml
from labkit.book.outputs import image_size, prepare

NOTATION = "notation.html"  # the page that notebooks/NOTATION.md becomes
LOADERS = ("script", "link", "iframe", "object", "embed", "base", "meta")


@dataclass(frozen=True)
class Article:
    """The parts of a page that come from the notebook; all HTML but `plain_title`."""

    title: str
    plain_title: str
    body: str
    sections: list[tuple[str, str]]  # (id, text) of each h2


def render(notebook: Any, *, folder: Path, failed: int | None = None, message: str = "") -> Article:
    """Render an executed notebook; images of its markdown are read from `folder`.

    `failed` is the index of the cell at which execution stopped, and `message` says why.
    """
    from bs4 import BeautifulSoup

    html, _ = _exporter().from_notebook_node(prepare(notebook, failed), resources={"metadata": {"path": str(folder)}})
    soup = BeautifulSoup(html, "html.parser")
    _keep_inside(soup, folder)
    _size_images(soup)
    _fold_solutions(soup)
    _mark_failure(soup, message)
    _box_wide(soup)
    _widen_formulas(soup)
    heading = soup.find("h1")
    title, plain = "Untitled lab", "Untitled lab"
    if heading:
        first = heading.find(string=True)
        if first is not None:  # the page says the lab's number beside the title
            first.replace_with(re.sub(r"^\s*\d\d\s*[·:.–-]\s*", "", first))
        title, plain = heading.decode_contents(), " ".join(heading.get_text().split())
        heading.extract()
    return Article(title, plain, *_anchor(soup))


def _exporter() -> Any:
    """Return nbconvert's HTML exporter with our formulas; its 'basic' template loads nothing and keeps alt text."""
    from jinja2 import pass_context
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        """Markdown whose formulas, which the parser tells from code, become MathML."""

        def block_math(self, body: str) -> str:
            return to_mathml(body, display=True)

        def inline_math(self, body: str) -> str:
            return to_mathml(body, display=False)

        def latex_environment(self, name: str, body: str) -> str:
            return to_mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", display=True)

    class Exporter(HTMLExporter):
        @pass_context
        def markdown2html(self, context: Any, source: str) -> str:
            renderer = Renderer(
                escape=False,
                attachments=context.get("cell", {}).get("attachments", {}),
                embed_images=True,
                path=context.get("resources", {}).get("metadata", {}).get("path", ""),
                exclude_anchor_links=True,
            )
            return MarkdownWithMath(renderer=renderer).render(source)

    return Exporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)


def _keep_inside(soup: Any, folder: Path) -> None:
    """Remove what would load something from outside the file, and point links between files of `folder` at their pages."""
    for element in soup.find_all(LOADERS):
        element.decompose()
    for element in soup.find_all("style"):
        if "url(" in element.text or "@import" in element.text:
            element.decompose()
    for element in soup.find_all(True):
        for name in [name for name in element.attrs if name.startswith("on") or name in ("srcset", "ping", "background")]:
            del element[name]
        if "url(" in element.get("style", ""):
            del element["style"]
        source = element.get("src")
        if source is not None and not source.startswith("data:"):
            link = soup.new_tag("a", href=source)
            link.string = element.get("alt") or source
            element.replace_with(link)
    for link in soup.find_all("a", href=True):
        link["href"] = re.sub(r"^(?:\./)?(\d\d_\w+)\.ipynb(?=$|#)", r"\1.html", link["href"])
        if (folder / "NOTATION.md").is_file():
            link["href"] = re.sub(r"^(?:\./)?NOTATION\.md(?=$|#)", NOTATION, link["href"])
        if not re.match(rf"#|\d\d_\w+\.html|{re.escape(NOTATION)}|https?://|mailto:", link["href"]):
            link.unwrap()  # a file beside the notebook is not beside the page


def _size_images(soup: Any) -> None:
    """Give every image a width and a height, so that the page does not jump while it is drawn."""
    for image in soup.find_all("img"):
        if not (image.get("width") and image.get("height")):
            size = image_size(image["src"])
            if size:
                given = re.match(r"[\d.]+", str(image.get("width")))  # an author may give the width alone, also as '80%'
                width = float(given[0]) if given and not str(image["width"]).endswith("%") else size[0]
                image["width"], image["height"] = round(width), round(size[1] * width / size[0])


def _fold_solutions(soup: Any) -> None:
    """Fold solutions and model answers; the question above an answer stays in sight."""
    for cell in soup.select("div.celltag_solution"):
        stopped = "celltag_failed" in cell["class"]
        details = soup.new_tag("details", attrs={"class": "solution", **({"open": ""} if stopped else {})})
        summary = soup.new_tag("summary")
        summary.string = "Solution" if "code_cell" in cell["class"] else "Model answer"
        answer = next((each for each in cell.find_all("p") if each.get_text().startswith("Model answer.")), None)
        if answer is None:
            cell.wrap(details)
        else:
            rest = [answer, *answer.find_next_siblings()]
            answer.insert_before(details)
            for each in rest:
                details.append(each.extract())
        details.insert(0, summary)


def _mark_failure(soup: Any, message: str) -> None:
    for cell in soup.select("div.celltag_failed"):
        note = soup.new_tag("p", attrs={"class": "stopped", "id": "failed-cell"})
        reason = message.splitlines()[0] if message else "no reason given"
        note.string = f"Execution stopped here: {reason}. Cells below were not run."
        cell.append(note)


def _box_wide(soup: Any) -> None:
    """Let tables and code scroll in their own boxes, also by keyboard."""
    for table in soup.find_all("table"):
        caption = table.find("caption")
        label = " ".join(caption.get_text().split()) if caption else "Table"
        table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0", "role": "region", "aria-label": label}))
        if table.has_attr("border"):
            del table["border"]
    for block in soup.find_all("pre"):
        block["tabindex"] = "0"


def _widen_formulas(soup: Any) -> None:
    """Take a displayed formula that stands alone out of its paragraph, whose width is that of text."""
    for formula in soup.select("p > .formula"):
        if all(child is formula or not str(child).strip() for child in formula.parent.children):
            formula.parent.name = "div"


def _anchor(soup: Any) -> tuple[str, list[tuple[str, str]]]:
    """Give each heading an id, unique and as Jupyter makes it, and a link to itself; return the HTML and the h2 list."""
    taken = {element["id"] for element in soup.find_all(id=True)} | {"top", "main"}
    sections = []
    for heading in soup.find_all(re.compile(r"^h[1-6]$")):
        text = " ".join(heading.get_text().split())
        wanted = "-".join(text.split()) or "section"
        name, count = wanted, 1
        while name in taken:
            count += 1
            name = f"{wanted}-{count}"
        taken.add(name)
        heading["id"] = name
        if heading.name == "h2":
            sections.append((name, text))
        link = soup.new_tag("a", href=f"#{quote(name)}", attrs={"class": "anchor", "aria-label": f"Link to: {text}"})
        link.string = "#"
        heading.append(link)
    return str(soup), sections
