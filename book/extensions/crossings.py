"""Lead from the library's pages to the chapters: "Derived in", "Discussed in", "Used in".

Nothing is written by hand. A chapter's text refers to a function with {py:func}`...`, and its code
calls it; both are collected while pages are read, section by section. A section that numbers an
equation or states a theorem derives what it names of the chapter's own module.

A function of a chapter's module that its chapter never names is a warning.
"""

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from book.tools import layout

logger = logging.getLogger(__name__)

CHAPTERS = "chapters/"
API = "book/api/"
RESULTS = {"theorem", "lemma", "proposition", "corollary", "property", "criterion"}
KINDS = ("Derived in", "Discussed in", "Used in")
DERIVED, DISCUSSED, USED = KINDS


class Crossing(NamedTuple):
    """A place in a chapter that has to do with an object of the library."""

    target: str
    page: str
    anchor: str
    title: str
    kind: str


def setup(app: Sphinx) -> dict[str, bool]:
    """Collect while chapters are read, check when all are, and write into the library's pages."""
    app.connect("doctree-read", _collect)
    app.connect("env-purge-doc", lambda app, env, docname: _kept(env).pop(docname, None))
    app.connect("env-merge-info", lambda app, env, names, other: _kept(env).update(_kept(other)))
    app.connect("env-check-consistency", _warn_of_unnamed)
    app.connect("doctree-resolved", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def module_of(docname: str) -> str:
    """Return the module that a page is about, from its path below chapters/ or book/api/."""
    return "l2s." + docname.removeprefix(CHAPTERS).removeprefix(API).replace("/", ".")


def crossings_of(doctree: nodes.document, docname: str) -> Iterator[Crossing]:
    """Yield what each section of a chapter names and calls; a place occurs once."""
    imported = _imported(_code(doctree.findall()))
    own = f"{module_of(docname)}."
    for section in _sections(doctree):
        inside = list(_own_nodes(section))
        derives = any(map(_is_result, inside))
        place = (docname, section["ids"][0], section[0].astext())
        named = {
            node["reftarget"]
            for node in inside
            if isinstance(node, addnodes.pending_xref) and node.get("refdomain") == "py"
        }
        for target in sorted(named):
            kind = DERIVED if derives and target.startswith(own) else DISCUSSED
            yield Crossing(target, *place, kind)
        for target in sorted(_used(_code(inside), imported) - named):
            yield Crossing(target, *place, USED)


def _collect(app: Sphinx, doctree: nodes.document) -> None:
    docname = app.env.docname
    if docname.startswith(CHAPTERS):
        _kept(app.env)[docname] = list(crossings_of(doctree, docname))


def _kept(env: BuildEnvironment) -> dict[str, list[Crossing]]:
    if not hasattr(env, "l2s_crossings"):
        env.l2s_crossings = {}
    return env.l2s_crossings


def _warn_of_unnamed(app: Sphinx, env: BuildEnvironment) -> None:
    objects = env.get_domain("py").objects
    for docname, crossings in _kept(env).items():
        named = {one.target for one in crossings if one.kind != USED}
        for name, entry in objects.items():
            in_module = name.rpartition(".")[0] == module_of(docname)
            if in_module and entry.objtype in ("function", "class") and name not in named:
                logger.warning(
                    f"the chapter never names {name}: write {{py:func}}`~{name}` in the section "
                    "that derives it",
                    location=docname,
                )


def _write(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if not docname.startswith(API):
        return
    chapter = CHAPTERS + docname.removeprefix(API)
    if chapter in app.env.found_docs:
        title = next(doctree.findall(nodes.title))
        link = _link(app, docname, chapter, "", app.env.titles[chapter].astext())
        line = nodes.paragraph("", "The module of the chapter ", link, nodes.Text("."))
        title.parent.insert(title.parent.index(title) + 1, line)
    for entry in list(doctree.findall(addnodes.desc)):
        signature, content = entry[0], entry[-1]
        found = [
            one
            for crossings in _in_reading_order(app.env)
            for one in crossings
            if one.target in signature.get("ids", [])
        ]
        for kind in reversed(KINDS):
            if chosen := [one for one in found if one.kind == kind]:
                content.insert(1, _line(app, docname, kind, chosen))


def _in_reading_order(env: BuildEnvironment) -> list[list[Crossing]]:
    order = layout.documents(Path(env.srcdir))
    return [found for _, found in sorted(_kept(env).items(), key=lambda item: order.index(item[0]))]


def _line(app: Sphinx, docname: str, kind: str, found: list[Crossing]) -> nodes.paragraph:
    """Set sections of each chapter in a line; for mere use the first of each chapter is enough."""
    line = nodes.paragraph("", "", nodes.strong("", kind), classes=["l2s-crossing"])
    pages = list(dict.fromkeys(one.page for one in found))
    for page in pages:
        here = [one for one in found if one.page == page]
        title = app.env.titles[page].astext()
        line += nodes.Text(" " if page == pages[0] else "; ")
        if kind == USED:
            line += _link(app, docname, page, here[0].anchor, title)
            continue
        for one in here:
            line += _link(app, docname, page, one.anchor, one.title)
            line += nodes.Text(", " if one is not here[-1] else f" ({title})")
    return line


def _link(app: Sphinx, docname: str, page: str, anchor: str, text: str) -> nodes.reference:
    address = app.builder.get_relative_uri(docname, page)
    return nodes.reference(
        "", text, internal=True, refuri=f"{address}#{anchor}" if anchor else address
    )


def _sections(doctree: nodes.document) -> Iterator[nodes.section]:
    """Yield the sections with a heading; a theorem's body is a section without one."""
    for section in doctree.findall(nodes.section):
        if section.children and isinstance(section[0], nodes.title):
            yield section


def _own_nodes(section: nodes.section) -> Iterator[nodes.Node]:
    """Yield what stands in a section, but in none of the sections inside it."""
    for child in section.children:
        if not (isinstance(child, nodes.section) and isinstance(child[0], nodes.title)):
            yield from child.findall()


def _is_result(node: nodes.Node) -> bool:
    if isinstance(node, nodes.math_block):
        return bool(node.get("label"))
    return isinstance(node, nodes.Element) and node.get("realtype") in RESULTS


def _code(found: Iterable[nodes.Node]) -> list[ast.AST]:
    """Parse the notebook's code cells among these nodes; one with a magic command is left out."""
    trees = []
    for node in found:
        if isinstance(node, nodes.literal_block) and "python" in node.get("language", ""):
            with suppress(SyntaxError):
                trees.append(ast.parse(node.astext()))
    return trees


def _imported(trees: list[ast.AST]) -> dict[str, str]:
    """Return what each name that code takes from the library stands for."""
    statements = (
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    )
    return {
        alias.asname or alias.name: f"{statement.module}.{alias.name}"
        for statement in statements
        if (statement.module or "").partition(".")[0] == "l2s"
        for alias in statement.names
    }


def _used(trees: list[ast.AST], imported: dict[str, str]) -> set[str]:
    """Return the full names that code uses, such as l2s.data.digits and l2s.plot.show."""
    found = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Name):
            found.add(imported.get(node.id))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{imported.get(node.value.id)}.{node.attr}")
    return {name for name in found if name and not name.startswith("None.")}
