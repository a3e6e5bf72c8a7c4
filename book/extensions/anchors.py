"""Let a link such as ``notation.md#symbol-tau`` or ``glossary.md#term-anchor`` lead to its row.

Markdown links work everywhere: on the site, in Jupyter, on GitHub. MyST knows a page's headings by
name; this adds the rows of the notation page, which begin with ``<a id="symbol-..."></a>``, and the
terms of a glossary. A link to one of them gets what stands there as its title: a mouse shows it,
and a screen reader has a name for a link that is nothing but mathematics.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx

SYMBOL = re.compile(r'<a id="(symbol-[a-z0-9-]+)">')


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect late: MyST keeps the headings of a page at the usual priority."""
    app.connect("doctree-read", _keep, priority=900)
    app.connect("doctree-resolved", _add_titles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def meanings(doctree: nodes.document) -> dict[str, str]:
    """Return, for each symbol and term of a page, what it says about it, up to the first colon.

    Nothing is said where words do not come first: a title cannot show mathematics.
    """
    found = dict([*_symbols(doctree), *_terms(doctree)])
    brief = {name: re.split(r"[:.](?=\s|$)", text)[0].strip() for name, text in found.items()}
    return {name: "" if "\\" in text else text for name, text in brief.items()}


def _keep(app: Sphinx, doctree: nodes.document) -> None:
    if found := meanings(doctree):
        metadata = app.env.metadata[app.env.docname]
        metadata["l2s_meanings"] = found
        slugs = metadata.setdefault("myst_slugs", {})
        slugs |= {name: (0, name, text) for name, text in found.items()}


def _symbols(doctree: nodes.document) -> Iterator[tuple[str, str]]:
    for raw in doctree.findall(nodes.raw):
        for name in SYMBOL.findall(raw.astext()):
            meaning = raw.parent.parent.next_node(nodes.entry, descend=False, siblings=True)
            yield name, meaning.astext() if meaning else ""  # a row of a table, or of a list


def _terms(doctree: nodes.document) -> Iterator[tuple[str, str]]:
    for term in doctree.findall(nodes.term):
        definition = next(term.parent.findall(nodes.definition))
        for name in term["ids"]:
            yield name, definition.astext().replace("\n", " ")


def _add_titles(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    known = {
        name: text
        for metadata in app.env.metadata.values()
        for name, text in metadata.get("l2s_meanings", {}).items()
    }
    for link in doctree.findall(nodes.reference):
        anchor = link.get("refuri", "").partition("#")[2]
        if known.get(anchor):
            link["reftitle"] = known[anchor]
