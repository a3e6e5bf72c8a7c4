"""Let a link such as ``notation.md#symbol-tau`` or ``glossary.md#term-anchor`` lead to its row.

Markdown links work everywhere: on the site, in Jupyter, on GitHub. MyST knows a page's headings by
name; this adds the rows of the notation page, which begin with ``<a id="symbol-..."></a>``, and the
terms of a glossary.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx

SYMBOL = re.compile(r'<a id="(symbol-[a-z0-9-]+)">')


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect late: MyST keeps the headings of a page at the usual priority."""
    app.connect("doctree-read", _keep, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _keep(app: Sphinx, doctree: nodes.document) -> None:
    found = {
        name: raw.parent.astext()
        for raw in doctree.findall(nodes.raw)
        for name in SYMBOL.findall(raw.astext())
    }
    for term in doctree.findall(nodes.term):
        found |= {name: term.astext() for name in term["ids"]}
    if found:
        slugs = app.env.metadata[app.env.docname].setdefault("myst_slugs", {})
        slugs |= {name: (0, name, text) for name, text in found.items()}
