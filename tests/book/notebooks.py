"""Notebooks as the checks see them: cells, sections, and what the code in them says and calls."""

import ast
import dataclasses
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat.v4

CLAIM = "application/vnd.l2s.claim+json"
SECTION_LEVELS = 3  # a deeper heading starts no section of its own

_HEADING = re.compile(r"(#{1,6}) +(.+?)\s*#*$")
_FENCE = re.compile(r"\s*(```+|~~~+|:::+)")
_MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """A cell, or the part of a text cell that belongs to one section."""

    kind: str  # "code" | "markdown" | "raw"
    source: str
    id: str = ""
    tags: frozenset[str] = frozenset()
    outputs: tuple[dict[str, Any], ...] = ()
    execution_count: int | None = None

    @cached_property
    def tree(self) -> ast.Module:
        """The code's syntax, with notebook magics taken out; empty for a text cell."""
        return ast.parse(_MAGIC.sub(r"\1pass", self.source) if self.kind == "code" else "")

    @cached_property
    def calls(self) -> set[str]:
        """The last word of every name that is called: ``plot.show(...)`` gives ``show``."""
        called = (node.func for node in ast.walk(self.tree) if isinstance(node, ast.Call))
        return {getattr(f, "attr", getattr(f, "id", "")) for f in called}

    @cached_property
    def names(self) -> set[str]:
        """Every name that is read."""
        return {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)}

    @property
    def checks_something(self) -> bool:
        """Whether it asserts, by statement or by a function such as ``assert_close``."""
        asserts = any(isinstance(node, ast.Assert) for node in ast.walk(self.tree))
        return asserts or any(c.startswith("assert_") or c == "claim" for c in self.calls)

    @cached_property
    def text(self) -> str:
        """All text that its outputs show, without the pictures inside them."""
        parts = []
        for output in self.outputs:
            parts.append(output.get("text", ""))
            parts += output.get("traceback", [])
            parts += [v for v in output.get("data", {}).values() if isinstance(v, str)]
        return re.sub(r"base64,[A-Za-z0-9+/=\s]+", "base64,", "\n".join(parts))

    def data(self, mime: str) -> list[Any]:
        """What its outputs hold under a MIME type."""
        return [o["data"][mime] for o in self.outputs if mime in o.get("data", {})]


@dataclass(frozen=True)
class Section:
    """A heading of level 1 to 3 and what follows it, up to the next one."""

    title: str
    level: int
    cells: tuple[Cell, ...]

    @property
    def prose(self) -> str:
        return "\n".join(cell.source for cell in self.cells if cell.kind == "markdown")

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "code"]


@dataclass(frozen=True)
class Notebook:
    """A chapter's notebook, and the tree that it stands in."""

    path: Path
    cells: tuple[Cell, ...]
    raw: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Notebook":
        # not nbformat.read, which would quietly mend what a check should see
        raw = nbformat.v4.reads(path.read_text(encoding="utf-8"))
        return cls(path, tuple(map(_cell, raw.cells)), raw)

    @property
    def root(self) -> Path:
        return self.path.parents[2]

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "code"]

    @property
    def claims(self) -> list[dict[str, Any]]:
        return [claim for cell in self.code for claim in cell.data(CLAIM)]

    @cached_property
    def sections(self) -> list[Section]:
        """The sections in order; what stands before the first heading is one without a title."""
        found = [("", 0, [])]
        for cell in self.cells:
            if cell.kind == "markdown":
                for title, level, text in _split(cell.source):
                    if level:
                        found.append((title, level, []))
                    found[-1][2].append(dataclasses.replace(cell, source=text))
            else:
                found[-1][2].append(cell)
        return [Section(title, level, tuple(cells)) for title, level, cells in found if cells]

    def section(self, title: str) -> Section | None:
        """The first section with this title, or None."""
        return next((s for s in self.sections if s.title.lower() == title.lower()), None)

    @cached_property
    def imports(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each import as (module, names taken from it); no names for a plain ``import``."""
        found = []
        for node in (node for cell in self.code for node in ast.walk(cell.tree)):
            if isinstance(node, ast.Import):
                found += [(alias.name, ()) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found.append((node.module or "", tuple(alias.name for alias in node.names)))
        return found


def _cell(raw: dict[str, Any]) -> Cell:
    return Cell(
        kind=raw["cell_type"],
        source=raw["source"],
        id=raw.get("id", ""),
        tags=frozenset(raw["metadata"].get("tags", [])),
        outputs=tuple(raw.get("outputs", [])),
        execution_count=raw.get("execution_count"),
    )


def _split(text: str) -> list[tuple[str, int, str]]:
    """Split a text at its headings into (title, level, text); level 0 where none begins it."""
    pieces: list[tuple[str, int, list[str]]] = [("", 0, [])]
    fence = ""
    for line in text.splitlines():
        if mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif line.strip().startswith(fence):
                fence = ""
        heading = None if fence else _HEADING.match(line)
        if heading and len(heading[1]) <= SECTION_LEVELS:
            pieces.append((heading[2], len(heading[1]), []))
        pieces[-1][2].append(line)
    joined = [(title, level, "\n".join(lines)) for title, level, lines in pieces]
    return [piece for piece in joined if piece[2].strip()]
