"""What the table of contents promises: the parts, their chapters, and which chapter needs which.

A chapter says what it needs in the line of facts below its title. Every link in it that leads to
another chapter is a prerequisite, so that the reader and the map of the book read the same words::

    *Needs*: softmax, and [the coupling](../labels/contrastive.ipynb). *Reading*: 35 minutes.
"""

import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from book.tools import layout

_TITLE = re.compile(r"^# +(.+?)\s*$", re.MULTILINE)
_NEEDS = re.compile(r"^\*Needs\*:(.*?)(?=\*Reading\*:|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s#]+)\.ipynb(?:#[^()\s]*)?\)")
_MINUTES = re.compile(r"\*Reading\*: *(\d+) min")


@dataclass(frozen=True)
class Chapter:
    """A chapter as its page and its first words give it."""

    page: str  # such as chapters/labels/contrastive
    number: int  # as the site shows it
    title: str  # Markdown
    minutes: int | None  # to read; None where the line of facts does not say
    needs: tuple[str, ...] | None  # pages; None where the line of facts does not say

    @property
    def name(self) -> str:
        """Its part and slug, such as ``labels/contrastive``."""
        return self.page.removeprefix("chapters/")


@dataclass(frozen=True)
class Part:
    """A part that holds chapters."""

    caption: str
    chapters: tuple[Chapter, ...]


def parts(root: Path = layout.ROOT) -> list[Part]:
    """The parts of _toc.yml that hold chapters, in reading order."""
    found, number = [], 0
    for caption, pages in layout.parts(root):
        chapters = []
        for page in (page for page in pages if page.startswith("chapters/")):
            number += 1
            chapters.append(_chapter(root, page, number))
        if chapters:
            found.append(Part(caption, tuple(chapters)))
    return found


def chapters(book: list[Part]) -> list[Chapter]:
    """All chapters in reading order."""
    return [chapter for part in book for chapter in part.chapters]


def problems(book: list[Part]) -> list[str]:
    """Sentences for an author whose chapter does not say, or says wrongly, what it needs.

    A chapter may need only what comes before it. So the order of the book is an order of study,
    and no two chapters can need each other.
    """
    numbers = {chapter.page: chapter.number for chapter in chapters(book)}
    found = []
    for chapter in chapters(book):
        if chapter.needs is None:
            found.append(
                f"The chapter {chapter.name} does not say what it needs: begin the line of facts "
                "below its title with `*Needs*:`, and link the chapters that it builds on."
            )
        for page in chapter.needs or ():
            if page not in numbers:
                found.append(
                    f"The chapter {chapter.name} needs {page}, which _toc.yml does not list: mend "
                    "the link in its line of facts, or add that chapter."
                )
            elif numbers[page] >= chapter.number:
                found.append(
                    f"The chapter {chapter.name} needs {page}, which does not come before it in "
                    "_toc.yml: move one of the two, or take the link out of its line of facts."
                )
    return found


def _chapter(root: Path, page: str, number: int) -> Chapter:
    opening = _opening(root / f"{page}.ipynb")
    title = _TITLE.search(opening)
    minutes = _MINUTES.search(opening)
    return Chapter(
        page=page,
        number=number,
        title=title[1] if title else page.rpartition("/")[2].replace("_", " "),
        minutes=int(minutes[1]) if minutes else None,
        needs=_needs(opening, page),
    )


def _needs(opening: str, page: str) -> tuple[str, ...] | None:
    said = _NEEDS.search(opening)
    if said is None:
        return None
    home = posixpath.dirname(page)
    linked = [posixpath.normpath(posixpath.join(home, path)) for path in _LINK.findall(said[1])]
    return tuple(dict.fromkeys(one for one in linked if one.startswith("chapters/")))


def _opening(notebook: Path) -> str:
    """The first Markdown cell of a notebook; empty if there is none."""
    if not notebook.is_file():  # Sphinx says so itself
        return ""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return next(("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"), "")
