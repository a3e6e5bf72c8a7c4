"""What a committed notebook holds, and what it must not: outputs, names, sizes, imports.

Each check takes a notebook and returns sentences that tell an author what to do.
"""

import importlib.metadata
import re
import socket
import sys
import tomllib
from html.parser import HTMLParser

from book.tools import layout, provenance, refresh
from tests.book.anatomy import Check
from tests.book.notebooks import Notebook

MEGABYTES = 1.5
LINES = 40

_PATH = re.compile(r"(?<![\w.:/])/(home|root|tmp|usr|var|opt|work|mnt|Users|private|content)/\w")
_BROKEN_BY_COMMENT = re.compile(r"^\s*[)\]}][)\]}\[0-9, :]*\s*#.*$", re.MULTILINE)
_MACHINE = {
    "a path": re.compile(rf"{_PATH.pattern}|\b[A-Z]:\\\\?\w"),
    "a memory address": re.compile(r"\b0x[0-9a-fA-F]{6,}\b"),
    "a progress bar": re.compile(r"\d ?(it/s|s/it)\b|\d\d:\d\d<"),
    "results of an older run": re.compile(r"\d+ answered from the store"),
    "a clock time": re.compile(
        r"\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d|CPU times|Wall time|per loop"
        r"|\b(took|elapsed:?|in) \d+(\.\d+)? ?(s|ms|seconds|minutes)\b"
    ),
}


def kernel_is_python3(notebook: Notebook) -> list[str]:
    kernel = notebook.raw["metadata"].get("kernelspec", {}).get("name")
    return [] if kernel == "python3" else [f"The kernel is {kernel!r}, not 'python3'."]


def cell_ids_last(notebook: Notebook) -> list[str]:
    ids = [cell.id for cell in notebook.cells]
    problems = [f"Cell {at} has no id." for at, name in enumerate(ids) if not name]
    problems += [f"The cell id {name!r} stands twice." for name in set(ids) if ids.count(name) > 1]
    random = [name for name in ids if name and refresh.RANDOM_ID.fullmatch(name)]
    problems += [f"The cell id {name!r} is random." for name in random]
    return [f"{problem} `make refresh` gives it a readable one." for problem in problems]


def every_cell_has_run(notebook: Notebook) -> list[str]:
    """But those that time something: a reader runs them, and nothing is stored."""
    timing = [c for c in notebook.code if "skip-execution" in c.tags]
    cells = [
        c.id
        for c in notebook.code
        if c.source.strip() and c.execution_count is None and c not in timing
    ]
    named = ", ".join(map(repr, cells[:3])) + (", ..." if len(cells) > 3 else "")
    problems = [f"{len(cells)} code cells have not run ({named}): `make refresh`."] if cells else []
    return problems + [
        f"The cell {c.id!r} has the tag skip-execution and stores an output: `make refresh`."
        for c in timing
        if c.outputs or c.execution_count is not None
    ]


def outputs_are_clean(notebook: Notebook) -> list[str]:
    """No error, no warning, no live widget."""
    problems = []
    for cell in notebook.code:
        for output in cell.outputs:
            if output["output_type"] == "error":
                problems.append(f"The cell {cell.id!r} ended with {output['ename']}.")
            if output.get("name") == "stderr":
                said = str(output["text"]).strip()[:80]
                problems.append(f"The cell {cell.id!r} wrote to stderr ({said!r}): mend the cause.")
            if any("widget" in mime for mime in output.get("data", {})):
                problems.append(f"The cell {cell.id!r} stores a live widget, dead on the site.")
    return problems


def text_fits_any_machine(notebook: Notebook) -> list[str]:
    patterns = dict(_MACHINE)
    if len(socket.gethostname()) > 3:
        patterns["this machine's name"] = re.compile(rf"\b{re.escape(socket.gethostname())}\b")
    problems = []
    for cell in notebook.cells:
        if found := _PATH.search(cell.source):
            problems.append(f"The cell {cell.id!r} holds a path: {found[0]!r}.")
        for what, pattern in patterns.items():
            if found := pattern.search(cell.text):
                problems.append(f"The output of cell {cell.id!r} holds {what}: {found[0]!r}.")
    return problems


def images_have_alt_texts(notebook: Notebook) -> list[str]:
    problems = []
    for cell in notebook.cells:
        if any(cell.data(mime) for mime in ("image/png", "image/jpeg", "image/svg+xml")):
            problems.append(
                f"The cell {cell.id!r} shows a bare image: use l2s.plot.show(..., alt=)."
            )
        pages = cell.data("text/html") + ([cell.source] if cell.kind == "markdown" else [])
        if any(_missing_alts(page) for page in pages):
            problems.append(f"The cell {cell.id!r} has an <img> without an alt text.")
        if any("<svg" in page for page in pages):
            problems.append(f"The cell {cell.id!r} has an inline <svg>, which some viewers strip.")
        if cell.kind == "markdown" and re.search(r"!\[\s*\]\(", cell.source):
            problems.append(f"The cell {cell.id!r} has an image without an alt text.")
    return problems


def size_is_bounded(notebook: Notebook) -> list[str]:
    size = notebook.path.stat().st_size / 1e6
    problems = [] if size < MEGABYTES else [f"It takes {size:.1f} MB; the limit is {MEGABYTES} MB."]
    return problems + [
        f"The cell {cell.id!r} has {lines} lines of code; the limit is {LINES}."
        for cell in notebook.code
        if (lines := len(cell.source.splitlines())) > LINES
    ]


def comments_fit_behind_their_code(notebook: Notebook) -> list[str]:
    """A line that its comment makes too long is broken by the formatter, and then hard to read."""
    return [
        f"The cell {cell.id!r} has a comment behind a bracket alone ({found[0].strip()[:40]!r}): "
        "put it on a line of its own, above the statement."
        for cell in notebook.code
        if (found := _BROKEN_BY_COMMENT.search(cell.source))
    ]


def outputs_are_those_of_these_cells(notebook: Notebook) -> list[str]:
    stored = notebook.raw["metadata"].get("l2s", {}).get("hashes", {})
    now = provenance.hashes(notebook.raw["cells"], notebook.name, notebook.root)
    said = {
        "cells": "The code cells changed since the last refresh.",
        "module": f"lib/l2s/{notebook.name} changed since the last refresh.",
        "outputs": "The outputs were not written by a refresh.",
    }
    return [
        f"{said[what]} Run `make refresh CHAPTER={notebook.name}`."
        for what in said
        if stored.get(what) != now[what]
    ]


def versions_are_the_pinned_ones(notebook: Notebook) -> list[str]:
    """Pictures and last digits depend on the versions that drew and computed them."""
    pins = (notebook.root / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", pins, re.MULTILINE))
    used = notebook.raw["metadata"].get("l2s", {}).get("versions", {})
    return [
        f"It was refreshed with {name} {used.get(name)}, but constraints.txt has {pinned[name]}: "
        f"run `make refresh CHAPTER={notebook.name}` in the environment that make builds."
        for name in ("matplotlib", "numpy", "torch")
        if used.get(name) != pinned[name]
    ]


def imports_point_down(notebook: Notebook) -> list[str]:
    """Own module, floors, modules of earlier chapters; else only what l2s itself requires."""
    order = [page.removeprefix("chapters/") for page in layout.documents(notebook.root)]
    earlier = set(order[: order.index(notebook.name)]) if notebook.name in order else set()
    allowed = {*layout.FLOORS, *(name.replace("/", ".") for name in {*earlier, notebook.name})}
    problems = []
    for module, names in notebook.imports:
        top = module.partition(".")[0]
        if top == "l2s":
            paths = [f"{module}.{name}".removeprefix("l2s.") for name in names] or [module[4:]]
            problems += [_refused(path) for path in paths if not _stands_in(path, allowed)]
        elif top not in sys.stdlib_module_names and not _required(top, notebook):
            problems.append(f"It imports {top}, which an installation of l2s does not bring.")
    return problems


CHECKS: tuple[Check, ...] = (
    kernel_is_python3,
    cell_ids_last,
    every_cell_has_run,
    outputs_are_clean,
    text_fits_any_machine,
    images_have_alt_texts,
    size_is_bounded,
    comments_fit_behind_their_code,
    outputs_are_those_of_these_cells,
    versions_are_the_pinned_ones,
    imports_point_down,
)


def _stands_in(path: str, allowed: set[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in allowed)


def _refused(path: str) -> str:
    what = f"l2s.{path}" if path else "l2s as a whole"
    return (
        f"It imports {what}; a chapter imports by name its own module, the floors "
        f"({', '.join(sorted(layout.FLOORS))}) and modules of chapters before it in _toc.yml."
    )


def _required(top: str, notebook: Notebook) -> bool:
    project = tomllib.loads((notebook.root / "pyproject.toml").read_text(encoding="utf-8"))
    required = [re.match(r"[\w.-]+", line)[0] for line in project["project"]["dependencies"]]
    brought = {*map(_normal, required), "ipython"}  # a notebook's kernel brings IPython
    by_module = importlib.metadata.packages_distributions()
    return any(_normal(name) in brought for name in by_module.get(top, []))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class _Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.missing = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img" and not (dict(attrs).get("alt") or "").strip():
            self.missing += 1


def _missing_alts(page: str) -> int:
    parser = _Images()
    parser.feed(page)
    return parser.missing
