"""The workbook's colours, light and dark, and the rules that colour code with them."""

from __future__ import annotations

LIGHT = {
    "paper": "#fffefb",
    "ink": "#22262b",
    "muted": "#5a616b",
    "accent": "#0b5d7a",
    "rule": "#e2ddd2",
    "panel": "#f6f4ee",
    "good": "#14603a",
    "good-bg": "#e2f1e7",
    "contrary": "#7a3d00",
    "contrary-bg": "#fbecd8",
    "neutral": "#474d55",
    "neutral-bg": "#eceae4",
    "bad": "#961b1b",
    "bad-bg": "#fbe6e3",
    "code-keyword": "#7b2d8b",
    "code-string": "#2c662c",
    "code-comment": "#67624f",
    "code-number": "#8f4400",
    "code-name": "#0b5d7a",
    "code-builtin": "#6d4b00",
    "code-error": "#961b1b",
}
DARK = {
    "paper": "#16181c",
    "ink": "#e4e2dc",
    "muted": "#a6abb3",
    "accent": "#7cc4e0",
    "rule": "#353940",
    "panel": "#1f2227",
    "good": "#8fd6a8",
    "good-bg": "#1a3325",
    "contrary": "#f0b775",
    "contrary-bg": "#3a2a16",
    "neutral": "#c6cad0",
    "neutral-bg": "#2c3036",
    "bad": "#f7aaa6",
    "bad-bg": "#421e1e",
    "code-keyword": "#d7a0e6",
    "code-string": "#a5d39a",
    "code-comment": "#a09c8e",
    "code-number": "#f0b775",
    "code-name": "#7cc4e0",
    "code-builtin": "#e0cc8c",
    "code-error": "#f7aaa6",
}

#: pygments token -> colour; a token without an entry takes that of the nearest token above it
TOKENS = {
    "Keyword": "code-keyword",
    "Operator.Word": "code-keyword",
    "Literal.String": "code-string",
    "Comment": "code-comment",
    "Literal.Number": "code-number",
    "Keyword.Constant": "code-number",
    "Name.Function": "code-name",
    "Name.Class": "code-name",
    "Name.Builtin": "code-builtin",
    "Name.Decorator": "code-builtin",
    "Name.Exception": "code-builtin",
    "Error": "code-error",
    "Generic.Error": "code-error",
}


def stylesheet() -> str:
    """Return the CSS of the colours: variables for light, dark and print, and one rule for each class of code token."""
    light, dark = (";".join(f"--{name}:{colour}" for name, colour in p.items()) for p in (LIGHT, DARK))
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"{code_rules()}"
    )


def code_rules() -> str:
    """Return a rule `.highlight .xx{color:...}` for each class that pygments may write."""
    from pygments.token import STANDARD_TYPES

    classes: dict[str, list[str]] = {}
    for token, name in STANDARD_TYPES.items():
        words = list(token)
        while words and ".".join(words) not in TOKENS:
            words.pop()
        if words and name:
            classes.setdefault(TOKENS[".".join(words)], []).append(f".highlight .{name}")
    rules = [f"{','.join(selectors)}{{color:var(--{colour})}}" for colour, selectors in classes.items()]
    return "\n".join([*rules, ".highlight .c,.highlight .c1,.highlight .cm,.highlight .sd{font-style:italic}"])
