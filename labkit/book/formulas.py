"""LaTeX formulas to MathML that browsers draw without any script."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

#: elements that MathML gives a fixed number of children; the converter leaves some out where the LaTeX is incomplete
ARITY = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3, "mroot": 2}
LONG = 18  # characters of an inline formula that fit into a phone's line
FENCES = set("([{|‖⌊⌈⟨)]}⌋⌉⟩,;.:")
#: where Unicode's bold forms of A-Z, a-z, capital and small Greek letters begin
BOLD = {"bold": (0x1D400, 0x1D41A, 0x1D6A8, 0x1D6C2), "bold-italic": (0x1D468, 0x1D482, 0x1D71C, 0x1D736)}
RANGES = (("A", "Z"), ("a", "z"), ("Α", "Ω"), ("α", "ω"))


def to_mathml(latex: str, *, display: bool) -> str:
    """Return a <math> element, or the LaTeX itself in <code class="latex"> where it can't be converted."""
    try:
        root = _convert(latex.strip(), display)
    except Exception:  # the converter raises whatever its parser stumbles over; a page must come out all the same
        mark = "$$" if display else "$"
        return f'<code class="latex">{html.escape(mark + latex + mark)}</code>'
    root.set("alttext", latex.strip())
    text = ET.tostring(root, encoding="unicode", short_empty_elements=False)
    if not display and len("".join(root.itertext())) <= LONG:
        return text
    # a phone scrolls what is wider than its screen, and so must a keyboard
    name = "formula" if display else "formula-long"
    return f'<span class="{name}" tabindex="0" role="group" aria-label="Formula">{text}</span>'


def _convert(latex: str, display: bool) -> ET.Element:
    """Convert and repair; raises if the result is no proper MathML."""
    from latex2mathml.converter import convert

    latex = re.sub(r"\\(begin|end)\{(aligned|gathered|align|equation|gather)\}", r"\\\1{align*}", latex)
    xml = convert(latex, display="block" if display else "inline")
    root = ET.fromstring(xml.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1))
    for element in root.iter():
        if "\\" in (element.text or "") or len(element) != ARITY.get(element.tag, len(element)):
            raise ValueError(f"{latex!r} has a part that can't be converted")
        if element.get("mathvariant") in BOLD:  # browsers know only mathvariant="normal"
            element.text = _bold(element.text or "", *BOLD[element.attrib.pop("mathvariant")])
        if element.tag == "mo" and re.fullmatch(r"[A-Za-z]{2,}", element.text or "") and not element.get("movablelimits"):
            element.tag = "mi"  # an operator's space belongs between names, not before a bracket
    for parent in list(root.iter()):
        _space_names(parent)
    return root


def _bold(text: str, *starts: int) -> str:
    def letter(char: str) -> str:
        for (first, last), start in zip(RANGES, starts, strict=True):
            if first <= char <= last:
                return chr(start + ord(char) - ord(first))
        return char

    return "".join(map(letter, text))


def _space_names(parent: ET.Element) -> None:
    """Put a thin space between a name such as log and its neighbours, but none before a bracket."""
    if parent.tag not in ("math", "mrow", "mtd", "mstyle"):
        return
    children = list(parent)
    for i in reversed(range(len(children) - 1)):
        left, right = children[i], children[i + 1]
        after = _is_name(left) and right.tag not in ("mo", "mspace", "mtext") and not _fence(right)
        before = _is_name(right) and left.tag not in ("mo", "mspace", "mtext") and not (_is_name(left) and after)
        if after or before:
            parent.insert(i + 1, ET.Element("mspace", width="0.17em"))


def _is_name(element: ET.Element) -> bool:
    core = element[0] if element.tag in ("msub", "msup", "msubsup", "munder") else element
    return core.tag == "mi" and len(core.text or "") > 1 and (core.text or "").isascii()


def _fence(element: ET.Element) -> bool:
    first = next((e for e in element.iter() if e.text), None)
    return first is not None and (first.text or "")[:1] in FENCES
