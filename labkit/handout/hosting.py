"""A release that is put on the web: its address, badges that open a lab from there, and what a host has to install."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from labkit.handout.student import NotASource, name_of, text

CELL, PLACE = "hosted", 'COURSE, BRANCH = "", "main"'  # the cell that fetches the course, and the line that says from where
REQUIREMENTS = ".binder/colab.txt"  # as that cell has it
COPIED = (".binder/environment.yml", ".binder/postBuild")
#: Colab brings these itself, in versions of its own, and falls over if they are replaced; no cell of a lab imports them
FRONT_END = {"jupyter", "jupyterlab", "ipywidgets", "ipykernel", "nbformat", "nbclient", "nbconvert"}


@dataclass(frozen=True)
class Repository:
    """A public git repository: `url` without a slash at its end, and the branch that holds the release."""

    url: str
    branch: str = "main"

    @property
    def _place(self) -> tuple[str, str]:
        """Host and path, without slashes around them."""
        parts = urlsplit(self.url)
        return parts.netloc, parts.path.strip("/")

    def colab(self, lab: str) -> str | None:
        """The address that opens a lab on Colab; None where Colab can't read notebooks, which is anywhere but on github.com."""
        host, path = self._place
        if host != "github.com":
            return None
        return f"https://colab.research.google.com/github/{path}/blob/{self.branch}/notebooks/{lab}.ipynb"

    def binder(self, lab: str) -> str | None:
        """The address that opens a lab on mybinder.org; None if it is neither on github.com nor on gitlab.com."""
        host, path = self._place
        where = {"github.com": f"gh/{path}", "gitlab.com": f"gl/{quote(path, safe='')}"}.get(host)
        branch = quote(self.branch, safe="")
        return where and f"https://mybinder.org/v2/{where}/{branch}?labpath=notebooks/{lab}.ipynb"

    def badges(self, lab: str) -> str:
        """The badges of a lab, as one line of Markdown; '' if there are none."""
        links = (
            ("Open in Colab", "https://colab.research.google.com/assets/colab-badge.svg", self.colab(lab)),
            ("Launch Binder", "https://mybinder.org/badge_logo.svg", self.binder(lab)),
        )
        return " ".join(f"[![{words}]({picture})]({link})" for words, picture, link in links if link)


def repository(url: str, branch: str = "main") -> Repository:
    """The repository at an address as a browser shows it, https://github.com/OWNER/REPO, on github.com or elsewhere.

    Raises:
        ValueError: it is no address that everybody can clone from, or no name of a branch.
    """
    wanted = "give the address as a browser shows it, such as https://github.com/OWNER/REPO"
    if not url.startswith("https://"):
        raise ValueError(f"--repo-url {url!r} does not begin with https://: {wanted}")
    if "@" in url:
        raise ValueError("--repo-url holds '@', so perhaps a name or a password, which all students would see: leave it out")
    if odd := re.search(r"[^A-Za-z0-9:/._~%-]", url):
        raise ValueError(f"--repo-url {url!r} holds {odd.group()!r}: {wanted}")
    host, _, path = url.removeprefix("https://").rstrip("/").partition("/")
    host, parts = host.lower().removeprefix("www."), path.split("/")
    if not re.fullmatch(r"[a-z0-9.-]+(:\d+)?", host) or any(part.strip(".") == "" for part in parts):
        raise ValueError(f"--repo-url {url!r} names no repository: {wanted}")
    if host in ("github.com", "gitlab.com") and path.endswith(".git"):
        raise ValueError(f"--repo-url {url!r} ends in .git, which the badges' addresses must not: leave it off")
    if (host == "github.com" and len(parts) != 2) or (host == "gitlab.com" and (len(parts) < 2 or "-" in parts)):
        raise ValueError(f"--repo-url {url!r} is no repository itself: {wanted}; a branch goes to --branch")
    if not re.fullmatch(r"(?!.*(\.\.|//|/\.|\.lock(/|$)|[./]$))[A-Za-z0-9][A-Za-z0-9._/-]*", branch):
        raise ValueError(f"--branch {branch!r} is no name of a branch: use letters, digits, and - _ . / between them")
    return Repository(f"https://{host}/{path}", branch)


def addressed(notebook: dict[str, Any], lab: str, where: Repository) -> dict[str, Any]:
    """A student's notebook that knows its address: badges below its title, and the cell that fetches the course filled in.

    Raises:
        NotASource: that cell is not there, or its line does not stand in it once.
    """
    made = copy.deepcopy(notebook)
    cells = [cell for cell in made["cells"] if name_of(cell) == CELL]
    if len(cells) != 1 or len(re.findall(rf"^{re.escape(PLACE)}(?=\s|$)", text(cells[0]), flags=re.MULTILINE)) != 1:
        raise NotASource(f"the address goes into one cell '{CELL}' with one line that begins with '{PLACE}': it is not there")
    filled = f"COURSE, BRANCH = {json.dumps(where.url)}, {json.dumps(where.branch)}"
    cells[0]["source"] = text(cells[0]).replace(PLACE, filled).splitlines(keepends=True)
    if badges := where.badges(lab):
        title, *rest = text(made["cells"][0]).split("\n")
        made["cells"][0]["source"] = "\n".join([title, "", badges, *rest]).splitlines(keepends=True)
    return made


def requirements(pyproject: str) -> str:
    """What labs need besides Python and the notebook itself, a line each, from the text of pyproject.toml."""
    lines = tomllib.loads(pyproject)["project"]["dependencies"]
    return "".join(f"{line}\n" for line in lines if re.split(r"[^\w.-]", line)[0].lower() not in FRONT_END)


def advice(where: Repository, lab: str) -> str:
    """What a student has to know who opens `lab` or another one on a host; '' if no badge leads to one."""
    if not where.badges(lab):
        return ""
    colab = "On Colab run the first cell before all others: it fetches the course. " if where.colab(lab) else ""
    return (
        "Install nothing, if you like: a badge opens its lab in the browser, on a machine that is lent to you. "
        f"{colab}What you write there is gone when the session ends: download the notebook "
        "before that (on Colab *File → Download → Download .ipynb*, on Binder *File → Download*). Restoring an exercise "
        "works only where you set the labs up yourself.\n\n"
    )
