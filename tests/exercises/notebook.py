"""Masters and student copies as the tests use them: cells by name, answers exchanged, run here."""

import contextlib
import importlib.util
import io
import linecache
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import nbformat
import pytest
from nbformat import NotebookNode

from book.tools import layout

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def master(slug: str = "contrastive", root: Path = layout.ROOT) -> NotebookNode:
    """The exercises with solutions."""
    return nbformat.read(root / f"exercises/source/{slug}/{slug}.ipynb", as_version=4)


def released(slug: str = "contrastive", root: Path = layout.ROOT) -> NotebookNode:
    """The student's copy."""
    return nbformat.read(root / f"exercises/release/{slug}/{slug}.ipynb", as_version=4)


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    """The cell with this id."""
    (found,) = (cell for cell in notebook.cells if cell.id == name)
    return found


def with_body(source: str, body: str) -> str:
    """An answer cell's source with another body in place of the solution or of the stub."""
    if BEGIN in source:
        head, _, rest = source.partition(BEGIN)
        tail = rest.partition(END)[2]
    else:
        head, _, tail = source.partition("# YOUR CODE HERE")
        tail = tail.partition("raise NotImplementedError()")[2]
    indent = head[len(head.rstrip(" ")) :]
    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), indent)
    return head.rstrip(" ") + lines + tail


def answered(bodies: dict[str, str] | None = None, slug: str = "contrastive") -> NotebookNode:
    """A student's copy with the master's solutions, or with other bodies for some answers."""
    copy, solved = released(slug), master(slug)
    for one in copy.cells:
        if one.metadata.get("nbgrader", {}).get("solution"):
            source = cell(solved, one.id).source
            one.source = source.replace(BEGIN, "").replace(END, "")
            if bodies and one.id in bodies:
                one.source = with_body(source, bodies[one.id])
    return copy


def cells_before_checks(notebook: NotebookNode, answer: str) -> list[str]:
    """The names of the cells that an answer's checks need, in order, and of the answer itself."""
    number = answer.rpartition("-")[2]
    parts = (f"numbers-{number}", answer, f"helpers-{number}")
    return ["imports", *(one.id for one in notebook.cells if one.id.startswith(parts))]


def hidden_lines(*kinds: str, slug: str = "contrastive") -> set[str]:
    """Lines that only the master has, of hidden tests and solutions; short ones are anybody's."""
    kinds = kinds or ("HIDDEN TESTS", "SOLUTION")
    lines, visible = set(), set()
    for one in master(slug).cells:
        kind = ""
        for line in map(str.strip, one.source.splitlines()):
            if line.startswith(("### BEGIN ", "### END ")):
                kind = line.removeprefix("### BEGIN ") if "BEGIN" in line else ""
            elif kind in kinds and len(line) >= 24 and "import" not in line:
                lines.add(line)
            elif not kind:
                visible.add(line)
    return lines - visible


class Session:
    """Runs cells in this process, which is faster than a kernel and enough for honest answers."""

    def __init__(self, notebook: NotebookNode):
        self.notebook = notebook
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def run(self, *names: str) -> str:
        """Run cells by name and return what they print."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), self.surroundings():
            for name in names:
                source = cell(self.notebook, name).source
                # As in a kernel, the source of a function can be found: Triton reads it.
                linecache.cache[name] = (len(source), None, source.splitlines(True), name)
                exec(compile(source, name, "exec"), self.names)
        return said.getvalue()

    def surroundings(self) -> contextlib.AbstractContextManager[None]:
        """What a kernel of its own would give to a notebook that runs Triton's interpreter."""
        asks = any("TRITON_INTERPRET" in one.source for one in self.notebook.cells)
        return interpreted_triton() if asks else contextlib.nullcontext()


_INTERPRETED: dict[str, ModuleType] = {}


def skip_without_triton() -> None:
    """Skip a test that runs kernels in Triton, where there is none."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")


@contextlib.contextmanager
def interpreted_triton() -> Iterator[None]:
    """Exchange a Triton that this process has loaded for one that interprets, for a while.

    Triton decides when it is imported, and this process may need its compiler elsewhere.
    """
    skip_without_triton()
    outside = _without_triton()
    with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
        sys.modules.update(_INTERPRETED)
        try:
            yield
        finally:
            _INTERPRETED.update(_without_triton())
            sys.modules.update(outside)


def _without_triton() -> dict[str, ModuleType]:
    """Take Triton's modules out of those that are loaded; what is compiled in C may be shared."""
    names = [name for name in sys.modules if name.partition(".")[0] == "triton"]
    return {name: sys.modules.pop(name) for name in names if not name.startswith("triton._C")}
