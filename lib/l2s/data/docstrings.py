"""The documentation of NumPy, SciPy and scikit-learn, read without importing the latter two."""

import ast
import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_NUMPY = ("", ".linalg", ".fft", ".ma", ".random", ".polynomial", ".char", ".lib.stride_tricks")
_SOURCES = ("scipy", "sklearn")  # as files: importing all of their modules takes ten seconds
_NO_TOPIC = {"tests", "externals", "_lib", "conftest.py", "setup.py"}
_LEFT_OUT = {"see also", "examples", "references"}
_HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}[ ]*$", re.MULTILINE)
_ROLE = re.compile(r":[a-z:]+:`~?([^`<]*?)`")
_OUTERMOST = re.compile(r"^(?:def |class |add_newdoc\()", re.MULTILINE)
_QUOTES = '"""'
_NAME = re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Entry:
    """What one function or class says of itself.

    Attributes:
        name: Its public name, such as "scipy.stats.ttest_ind".
        summary: The first paragraph of its documentation.
        text: The documentation without the sections See Also, Examples and References.
        see_also: The names in its section See Also, as they are written there.
    """

    name: str
    summary: str
    text: str
    see_also: tuple[str, ...]


@functools.cache
def read_entries() -> tuple[Entry, ...]:
    """Return one entry a documented function or class, sorted by name; read once a process."""
    found: dict[str, Entry] = {}
    for name, text in (*_numpy(), *(pair for package in _SOURCES for pair in _source(package))):
        if name not in found:
            found[name] = _entry(name, inspect.cleandoc(text))
    return tuple(found[name] for name in sorted(found))


def _numpy() -> Iterator[tuple[str, str]]:
    """Yield names and texts of NumPy's public objects: many are written in C, without a source."""
    known: set[int] = set()
    for suffix in _NUMPY:
        module = importlib.import_module(f"numpy{suffix}")
        for name in sorted(getattr(module, "__all__", ())):
            thing = getattr(module, name, None)
            text = getattr(thing, "__doc__", None)
            if callable(thing) and isinstance(text, str) and id(thing) not in known:
                known.add(id(thing))
                own = getattr(thing, "__name__", name)  # abs is another name of absolute
                true_name = own if getattr(module, own, None) is thing else name
                yield f"{module.__name__}.{true_name}", text


def _source(package: str) -> Iterator[tuple[str, str]]:
    """Yield names and texts of a package's public functions and classes, from its files."""
    specification = importlib.util.find_spec(package)
    assert specification is not None  # a dependency of this library
    assert specification.submodule_search_locations is not None
    root = Path(specification.submodule_search_locations[0])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if _NO_TOPIC.intersection(path.relative_to(root).parts):
            continue
        code = path.read_text(encoding="utf-8")
        if "see also" not in code.lower():
            continue
        module = ".".join([package, *(part for part in parts if not part.startswith("_"))])
        for name, text in _documented(code):
            yield f"{module}.{name}", text


def _documented(code: str) -> Iterator[tuple[str, str]]:
    """Yield what a file documents on its outermost level, and what it says of compiled functions.

    Only the heads are parsed, up to the end of the first long string: whole files take too long.
    """
    starts = [match.start() for match in _OUTERMOST.finditer(code)]
    for start, stop in pairwise([*starts, len(code)]):
        opening = code.find(_QUOTES, start, stop)
        closing = code.find(_QUOTES, opening + 3, stop)
        if opening < 0 or closing < 0:
            continue
        head = code[start : closing + 3]
        try:
            node = ast.parse(head + (")" if head.startswith("add_newdoc") else "")).body[0]
        except SyntaxError:  # the string was no documentation
            continue
        name, text = _said(node)
        if text and not name.startswith("_"):
            yield name, text


def _said(node: ast.stmt) -> tuple[str, str]:
    """Return name and text of a definition, or of a call such as ``add_newdoc("name", "text")``."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name, ast.get_docstring(node, clean=False) or ""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        words = [arg.value for arg in node.value.args if isinstance(arg, ast.Constant)]
        if len(words) == 2:
            return str(words[0]), str(words[1])
    return "", ""


def _entry(name: str, text: str) -> Entry:
    sections = _HEADING.split(text)
    titled = list(zip(sections[1::2], sections[2::2], strict=True))
    kept = [body for title, body in titled if title.lower() not in _LEFT_OUT]
    also = [body for title, body in titled if title.lower() == "see also"]
    opening = sections[0].strip()
    paragraphs = [part for part in opening.split("\n\n") if not _is_signature(part)]
    return Entry(
        name=name,
        summary=" ".join(paragraphs[0].split()) if paragraphs else "",
        text="\n".join([*paragraphs, *kept]),
        see_also=tuple(target for body in also for target in _targets(body)),
    )


def _is_signature(paragraph: str) -> bool:
    """Whether a paragraph is a call such as ``add(x1, x2, /)``, as compiled functions begin."""
    return re.fullmatch(r"[\w.]+\(.*\)(\s*->.*)?", paragraph.strip(), re.DOTALL) is not None


def _targets(body: str) -> Iterator[str]:
    """Yield the names that a section See Also lists: before the colon, on lines not indented."""
    for line in body.split("\n"):
        if not line or line[0].isspace():
            continue
        plain = _ROLE.sub(r"\1", line).replace("`", "")
        names = re.split(r"\s*:\s|\s:$", plain, maxsplit=1)[0].rstrip(" :")
        for name in names.split(","):
            if _NAME.fullmatch(name.strip()):
                yield name.strip()
