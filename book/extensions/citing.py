"""Say how to cite the book and each of its chapters, from the one place that knows: CITATION.cff.

``{how-to-cite}`` shows an entry for the book, and one for every chapter, each with a copy button.
"""

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from pybtex.database import BibliographyData, Entry, Person
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from book.tools import layout

BOOK_KEY = "learning_to_select"


class HowToCite(SphinxDirective):
    """Show the book's entry. Those of chapters follow when all titles are known."""

    def run(self) -> list[nodes.Node]:
        """Leave a mark for the chapters, because they may be read later than this page."""
        self.env.note_dependency(str(Path(self.env.srcdir, "CITATION.cff")))
        return [block(book_entry(self.env.app)), _chapters()]


class _chapters(nodes.General, nodes.Element):  # noqa: N801  (docutils' way to name a node)
    """Stands where the chapters' entries will."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, and fill its mark when a page is written."""
    app.add_directive("how-to-cite", HowToCite)
    app.add_node(_chapters)
    app.connect("doctree-resolved", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def book_entry(app: Sphinx) -> str:
    """Return the BibTeX entry of the book."""
    return _bibtex(BOOK_KEY, "book", {"title": _kept(_facts(app)["title"])}, app, "")


def chapter_entry(app: Sphinx, docname: str) -> str:
    """Return the BibTeX entry of a chapter."""
    fields = {
        "title": _kept(app.env.titles[docname].astext()),
        "booktitle": _kept(_facts(app)["title"]),
    }
    key = f"{BOOK_KEY}_{docname.rpartition('/')[2]}"
    return _bibtex(key, "incollection", fields, app, f"{docname}.html")


def block(entry: str) -> nodes.literal_block:
    """Show an entry as code, to which the site adds a copy button."""
    return nodes.literal_block(entry, entry, language="bibtex")


def _bibtex(key: str, kind: str, fields: dict[str, str], app: Sphinx, page: str) -> str:
    facts = _facts(app)
    fields |= {
        "year": facts["date-released"][:4],
        "version": facts["version"],
        "url": f"{app.config.html_baseurl}{page}",
    }
    authors = [_person(author) for author in facts["authors"]]
    entry = Entry(kind, fields=fields, persons={"author": authors})
    written = BibliographyData({key: entry}).to_string("bibtex").strip()
    # pybtex escapes every underscore, but an address is read as it stands.
    return written.replace(fields["url"].replace("_", "\\_"), fields["url"])


def _facts(app: Sphinx) -> dict[str, Any]:
    return yaml.safe_load(Path(app.srcdir, "CITATION.cff").read_text(encoding="utf-8"))


def _person(author: dict[str, str]) -> Person:
    if "name" in author:  # a group: no family name to sort by
        return Person(_kept(author["name"]))
    return Person(first=author.get("given-names", ""), last=author["family-names"])


def _kept(text: str) -> str:
    """Put a text in braces, so that BibTeX keeps its capitals."""
    return f"{{{text}}}"


def _fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for mark in list(doctree.findall(_chapters)):
        shown: list[nodes.Node] = []
        for page in layout.documents(Path(app.srcdir)):
            if page.startswith("chapters/"):
                address = app.builder.get_relative_uri(docname, page)
                title = app.env.titles[page].astext()
                link = nodes.reference("", title, internal=True, refuri=address)
                shown += [nodes.paragraph("", "", link), block(chapter_entry(app, page))]
        mark.replace_self(shown)
