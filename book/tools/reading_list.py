"""The reading list of the book: book/papers.yml, checked.

Top-level ``parts``: the parts that the book is to have, each a ``caption`` and its ``chapters`` (a
``name`` such as ``labels/contrastive``, a ``title``). Top-level ``papers``: the fields below.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from book.tools import layout

PATH = Path("book/papers.yml")

# Each field of a paper: whether it is needed, and the form that its text has.
FIELDS = {
    "number": (True, r"[1-9]\d*"),
    "title": (True, r".*\S"),
    "authors": (True, r"[^,]*\S"),  # a list, each name as on the paper
    "year": (True, r"(19|20)\d\d"),
    "venue": (False, r".*\S"),
    "arxiv": (False, r"\d\d(0[1-9]|1[0-2])\.\d{4,5}"),
    "doi": (False, r"10\.\d{4,9}/\S+"),
    "note": (False, r".*\S"),
    "chapter": (True, r"[a-z]+/[a-z0-9_]+"),
    "key": (False, r"[A-Za-z][\w:.-]*"),  # of book/references.bib
    "functions": (False, r"l2s(\.\w+)+"),  # a list of names of the library
}
LISTS = ("authors", "functions")
NUMBERS = ("number", "year")  # all others are text: without quotation marks 2501.10130 loses a 0


@dataclass(frozen=True)
class Chapter:
    """A chapter as the reading list has it, and the numbers of its papers."""

    name: str
    title: str
    papers: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """A part of the book, with its chapters in order."""

    caption: str
    chapters: tuple[Chapter, ...]


@dataclass(frozen=True)
class ReadingList:
    """Parts in the book's order, and papers by number."""

    parts: tuple[Part, ...]
    papers: dict[int, dict[str, Any]]

    @property
    def chapters(self) -> list[Chapter]:
        """All chapters in the book's order, planned ones too."""
        return [chapter for part in self.parts for chapter in part.chapters]


def load(root: Path = layout.ROOT) -> ReadingList:
    """Read the list; ``ValueError`` with a sentence for each fault, if there is one."""
    data = yaml.safe_load((root / PATH).read_text(encoding="utf-8"))
    if found := problems(data):
        raise ValueError("\n".join(found))
    parts = tuple(
        Part(
            part["caption"],
            tuple(
                Chapter(one["name"], one["title"], _papers_of(one["name"], data["papers"]))
                for one in part["chapters"]
            ),
        )
        for part in data["parts"]
    )
    return ReadingList(parts, {paper["number"]: paper for paper in data["papers"]})


def written(root: Path = layout.ROOT) -> list[str]:
    """Names of the chapters that a reader can open, in the order of _toc.yml."""
    pages = layout.documents(root)
    return [page.removeprefix("chapters/") for page in pages if page.startswith("chapters/")]


def planned(root: Path = layout.ROOT) -> list[Chapter]:
    """The chapters of the reading list that _toc.yml does not have yet, in order."""
    there = set(written(root))
    return [chapter for chapter in load(root).chapters if chapter.name not in there]


def problems(data: Any) -> list[str]:
    """Sentences that name each fault of the file and how to mend it."""
    try:
        parts, papers = data["parts"], data["papers"]
        names = [chapter["name"] for part in parts for chapter in part["chapters"]]
        blank = [place for place in _captions(parts) if not str(place).strip()]
    except (KeyError, TypeError) as error:
        return [
            f"{PATH} has no {error} where it is needed: write `parts` (each with `caption` and "
            "`chapters`, each of these with `name` and `title`) and `papers`."
        ]
    found = [f"{PATH} has a blank caption or title: write one."] if blank else []
    found += [f"The chapter {name} stands twice: delete one." for name in _twice(names)]
    found += [sentence for paper in papers for sentence in _problems_of(paper, names)]
    for field in ("number", "arxiv", "doi", "key"):
        values = [paper[field] for paper in papers if field in paper]
        found += [f"Two papers have the {field} {value}: mend one." for value in _twice(values)]
    return found + _gaps(papers) + _idle(names, papers)


def _papers_of(name: str, papers: list[dict[str, Any]]) -> tuple[int, ...]:
    """A chapter's papers, in the order of the file."""
    return tuple(paper["number"] for paper in papers if paper["chapter"] == name)


def _captions(parts: list[dict[str, Any]]) -> list[str]:
    captions = [part["caption"] for part in parts]
    return captions + [chapter["title"] for part in parts for chapter in part["chapters"]]


def _twice(values: list[Any]) -> list[Any]:
    return [value for value, times in Counter(values).items() if times > 1]


def _problems_of(paper: dict[str, Any], chapters: list[str]) -> list[str]:
    who = f"Paper {paper.get('number', '?')}"
    found = [f"{who}: `{field}` is no field: see FIELDS." for field in paper if field not in FIELDS]
    for field, (needed, form) in FIELDS.items():
        if field not in paper:
            found += [f"{who} lacks `{field}`: write it."] if needed else []
            continue
        value = paper[field]
        texts = value if field in LISTS else [value]
        if not isinstance(texts, list) or not texts:
            found.append(f"{who}: `{field}` must be a list with at least one entry.")
            continue
        kind = int if field in NUMBERS else str
        found += [
            f"{who}: `{field}` is {text!r}, but must be {kind.__name__} and match {form}."
            for text in texts
            if type(text) is not kind or not re.fullmatch(form, str(text))
        ]
    if paper.get("chapter") not in chapters:
        found.append(f"{who}: `chapter` is {paper.get('chapter')!r}, which no part has: add it.")
    if not {"arxiv", "doi"} & paper.keys():
        found.append(f"{who} has neither `arxiv` nor `doi`, so nobody finds it: write one.")
    return found


def _gaps(papers: list[dict[str, Any]]) -> list[str]:
    numbers = [paper.get("number") for paper in papers]
    missing = sorted(set(range(1, len(papers) + 1)) - set(numbers))
    return [f"There is no paper {number}: number them 1, 2, 3 ..." for number in missing]


def _idle(chapters: list[str], papers: list[dict[str, Any]]) -> list[str]:
    busy = {paper.get("chapter") for paper in papers}
    return [f"The chapter {name} has no paper: add one." for name in chapters if name not in busy]
