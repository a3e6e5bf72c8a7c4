"""The claims ledger: one table of every claim that the book's notebooks make.

``{claims-ledger}`` reads the machine-readable outputs that l2s.claims leaves in the notebooks of
the table of contents, in reading order. A card is also a label: {ref}`text <claim-ID>` leads there.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from l2s.claims import MIME_TYPE, VERDICTS
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from book.tools import layout

logger = logging.getLogger(__name__)

CARD = re.compile(r'class="l2s-claim" id="(claim-[a-z0-9-]+)"')
HEADINGS = ("The paper says", "We found", "Verdict")
WIDTHS = (30, 50, 20)  # per cent


class ClaimsLedger(SphinxDirective):
    """Show the ledger, under a line that counts verdicts."""

    def run(self) -> list[nodes.Node]:
        """Read the notebooks anew, and have Sphinx read this page anew when one changes."""
        claims = []
        for page in layout.documents(Path(self.env.srcdir)):
            notebook = Path(self.env.srcdir, f"{page}.ipynb")
            if notebook.exists():
                self.env.note_dependency(str(notebook))
                claims += claims_of(notebook)
        _warn_of_twins(claims)
        if not claims:
            return [nodes.paragraph("", "No chapter has made a claim yet.")]
        return [nodes.paragraph("", count(claims)), self.table(claims)]

    def table(self, claims: list[dict[str, Any]]) -> nodes.table:
        """Build the table, a row a claim."""
        group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in WIDTHS], cols=3)
        heads = [nodes.entry("", nodes.paragraph("", heading)) for heading in HEADINGS]
        group += nodes.thead("", nodes.row("", *heads))
        group += nodes.tbody("", *[self.row(claim) for claim in claims])
        return nodes.table("", group, classes=["l2s-ledger", "colwidths-given"])

    def row(self, claim: dict[str, Any]) -> nodes.row:
        """Build one row: what the paper says, what we found, what that means."""
        paper = [self.markdown(f"{{cite:t}}`{claim['paper']}`"), claim["paper_value"]]
        found = [claim["statement"]]
        found += [f"{item['name']}: {item['text']}" for item in claim["measured"]]
        found += [
            f"{key.capitalize()}: {claim[key]}" for key in ("setting", "reason") if claim[key]
        ]
        card = self.markdown(f"{{ref}}`{claim['id']} <claim-{claim['id']}>`")
        verdict = [nodes.strong("", claim["verdict"].capitalize()), card]
        cells = [_cell(parts) for parts in (paper, found, verdict)]
        return nodes.row("", *cells, ids=[f"ledger-{claim['id']}"])

    def markdown(self, text: str) -> nodes.inline:
        """Parse a role, such as a citation."""
        parsed, _ = self.parse_inline(text)
        return nodes.inline("", "", *parsed)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, and make a label of every card."""
    app.add_directive("claims-ledger", ClaimsLedger)
    app.connect("doctree-read", _label_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def claims_of(notebook: Path) -> Iterator[dict[str, Any]]:
    """Yield the claims stored in a notebook, top to bottom."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if MIME_TYPE in output.get("data", {}):
                yield output["data"][MIME_TYPE]


def count(claims: list[dict[str, Any]]) -> str:
    """Say how many claims there are, and with which verdicts."""
    number = Counter(claim["verdict"] for claim in claims)
    parts = [f"{number[verdict]} {verdict}" for verdict in VERDICTS if number[verdict]]
    noun = "claim" if len(claims) == 1 else "claims"
    return f"{len(claims)} {noun}: {', '.join(parts)}."


def _warn_of_twins(claims: list[dict[str, Any]]) -> None:
    for name, times in Counter(claim["id"] for claim in claims).items():
        if times > 1:
            logger.warning(f"{times} claims have the id {name!r}; give each its own")


def _cell(parts: list[str | nodes.Node]) -> nodes.entry:
    return nodes.entry("", *[nodes.paragraph("", "", _node(part)) for part in parts])


def _node(part: str | nodes.Node) -> nodes.Node:
    return nodes.Text(part) if isinstance(part, str) else part


def _label_cards(app: Sphinx, doctree: nodes.document) -> None:
    domain = app.env.get_domain("std")
    for raw in doctree.findall(nodes.raw):
        for anchor in CARD.findall(raw.astext()):
            domain.note_hyperlink_target(anchor, app.env.docname, anchor, anchor)
