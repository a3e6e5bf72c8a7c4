"""The claims ledger: one table of every claim that the book's notebooks make.

``{claims-ledger}`` reads the machine-readable outputs that l2s.claims leaves in the notebooks of
the table of contents, in reading order, and puts filters above them. ``{claims-summary}`` draws how
the verdicts fall. A card is also a label: {ref}`text <claim-ID>` leads there.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from l2s.claims import COLORS, MIME_TYPE, VERDICTS, seeds_text
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxTranslator

from book.extensions import ledger_figure, ledger_filters
from book.tools import layout

logger = logging.getLogger(__name__)

ANCHOR = "ledger"  # of the filters, so that a link with a choice leads to them
CARD = re.compile(r'class="l2s-claim" id="(claim-[a-z0-9-]+)"')
HEADINGS = ("The paper says", "We measured", "Verdict")
WIDTHS = (30, 50, 20)  # per cent
NOTHING = "No chapter has made a claim yet."


@dataclass(frozen=True)
class Chapter:
    """A notebook that makes claims."""

    page: str
    title: str
    part: str
    claims: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """Such as ``labels/contrastive``."""
        return self.page.removeprefix("chapters/")


class ledger_row(nodes.row):  # noqa: N801  (docutils finds a visitor by the class's name)
    """A row that says in its attributes what the filters look at."""


class ledger_cell(nodes.entry):  # noqa: N801
    """A cell that knows its column's heading, for screens on which the head does not fit."""


class ledger_chapter(nodes.entry):  # noqa: N801
    """The heading of a chapter's rows."""


class ClaimsLedger(SphinxDirective):
    """Show the ledger, under filters and a line that counts verdicts."""

    def run(self) -> list[nodes.Node]:
        """Build everything, inside a box with an address."""
        chapters = claims_by_chapter(self.env)
        claims = [claim for chapter in chapters for claim in chapter.claims]
        _warn_of_twins(claims)
        if not claims:
            return [nodes.paragraph("", NOTHING)]
        libraries = [Path(self.env.srcdir, name) for name in self.config.bibtex_bibfiles]
        filters = ledger_filters.html(chapters, libraries, count(claims))
        parts = (nodes.raw("", filters, format="html"), self.table(chapters))
        return [nodes.container("", *parts, ids=[ANCHOR], classes=["l2s-ledger-box"])]

    def table(self, chapters: list[Chapter]) -> nodes.table:
        """Build the table: a body a chapter, a row a claim."""
        group = nodes.tgroup("", *[nodes.colspec(colwidth=width) for width in WIDTHS], cols=3)
        heads = [nodes.entry("", nodes.paragraph("", heading)) for heading in HEADINGS]
        group += nodes.thead("", nodes.row("", *heads))
        for chapter in chapters:
            title = self.markdown(f"{{doc}}`/{chapter.page}`")
            heading = ledger_chapter("", nodes.paragraph("", "", title), morecols=2)
            rows = [self.row(claim, chapter) for claim in chapter.claims]
            group += nodes.tbody("", nodes.row("", heading), *rows)
        return nodes.table("", group, classes=["l2s-ledger", "colwidths-given"])

    def row(self, claim: dict[str, Any], chapter: Chapter) -> nodes.row:
        """Build one row: what the paper says, what we measured, what that means."""
        paper = [self.markdown(f"{{cite:t}}`{claim['paper']}`"), claim["paper_value"]]
        card = self.markdown(f"{{ref}}`{claim['id']} <claim-{claim['id']}>`")
        verdict = [nodes.strong("", claim["verdict"].capitalize()), card]
        cells = [
            ledger_cell("", *[nodes.paragraph("", "", _node(part)) for part in parts], label=label)
            for label, parts in zip(HEADINGS, (paper, _found(claim), verdict), strict=True)
        ]
        seen = {"paper": claim["paper"], "chapter": chapter.name, "verdict": claim["verdict"]}
        return ledger_row("", *cells, ids=[f"ledger-{claim['id']}"], seen=seen)

    def markdown(self, text: str) -> nodes.inline:
        """Parse a role, such as a citation."""
        parsed, _ = self.parse_inline(text)
        return nodes.inline("", "", *parsed)


class ClaimsSummary(SphinxDirective):
    """Draw how the verdicts fall, chapter by chapter or part by part."""

    def run(self) -> list[nodes.Node]:
        """Hand the picture to the transform that numbers the figures of notebooks."""
        chapters = claims_by_chapter(self.env)
        if not chapters:
            return []
        html = ledger_figure.html([(one.title, one.part, one.claims) for one in chapters])
        raw = nodes.raw("", html, format="html")
        return [nodes.container("", raw, nb_element="mime_bundle")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives, how HTML writes their rows, and make a label of every card."""
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_directive("claims-summary", ClaimsSummary)
    app.add_node(ledger_row, html=(_visit_row, _depart_row))
    app.add_node(ledger_cell, html=(_visit_cell, _depart_cell))
    app.add_node(ledger_chapter, html=(_visit_chapter, _depart_chapter))
    app.connect("doctree-read", _label_cards)
    app.connect("html-page-context", _load_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def claims_by_chapter(env: BuildEnvironment) -> list[Chapter]:
    """Every notebook of the book that makes claims, in reading order.

    Sphinx reads the page that asks anew when one of the notebooks changes.
    """
    root = Path(env.srcdir)
    captions = layout.captions(root)
    found = []
    for page in layout.documents(root):
        notebook = root / f"{page}.ipynb"
        if notebook.exists():
            env.note_dependency(str(notebook))
            if claims := tuple(claims_of(notebook)):
                found.append(Chapter(page, title_of(notebook), captions.get(page, ""), claims))
    return found


def claims_of(notebook: Path) -> Iterator[dict[str, Any]]:
    """Yield the claims stored in a notebook, top to bottom."""
    for cell in _cells(notebook):
        for output in cell.get("outputs", []):
            if MIME_TYPE in output.get("data", {}):
                yield output["data"][MIME_TYPE]


def title_of(notebook: Path) -> str:
    """The notebook's title, without marks of Markdown."""
    texts = ("".join(one["source"]) for one in _cells(notebook) if one["cell_type"] == "markdown")
    titles = (re.search(r"^# +(.+?)\s*$", text, re.MULTILINE) for text in texts)
    return next((re.sub(r"[`*]", "", title[1]) for title in titles if title), notebook.stem)


def count(claims: list[dict[str, Any]]) -> str:
    """Say how many claims there are, and with which verdicts."""
    number = Counter(claim["verdict"] for claim in claims)
    parts = [f"{number[verdict]} {verdict}" for verdict in VERDICTS if number[verdict]]
    noun = "claim" if len(claims) == 1 else "claims"
    return f"{len(claims)} {noun}: {', '.join(parts)}."


def _cells(notebook: Path) -> list[dict[str, Any]]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def _found(claim: dict[str, Any]) -> list[str | nodes.Node]:
    """Our finding, the numbers with their spread, and what one needs to judge them."""
    parts: list[str | nodes.Node] = [claim["statement"]]
    parts += [f"{item['name']}: {item['text']}" for item in claim["measured"]]
    facts = {
        "Seeds": seeds_text(claim["seeds"]),
        "Setting": claim["setting"],
        "Reason": claim["reason"],
    }
    return parts + [f"{head}: {text}" for head, text in facts.items() if text]


def _warn_of_twins(claims: list[dict[str, Any]]) -> None:
    for name, times in Counter(claim["id"] for claim in claims).items():
        if times > 1:
            logger.warning(f"{times} claims have the id {name!r}; give each its own")


def _node(part: str | nodes.Node) -> nodes.Node:
    return nodes.Text(part) if isinstance(part, str) else part


def _visit_row(translator: SphinxTranslator, node: ledger_row) -> None:
    seen = {f"data-{key}": value for key, value in node["seen"].items()}
    style = f"--verdict:{COLORS[node['seen']['verdict']]}"
    translator.body.append(translator.starttag(node, "tr", "", style=style, **seen))
    node.column = 0


def _depart_row(translator: SphinxTranslator, node: ledger_row) -> None:
    translator.body.append("</tr>\n")


def _visit_cell(translator: SphinxTranslator, node: ledger_cell) -> None:
    translator.body.append(translator.starttag(node, "td", "", **{"data-label": node["label"]}))


def _depart_cell(translator: SphinxTranslator, node: ledger_cell) -> None:
    translator.body.append("</td>\n")


def _visit_chapter(translator: SphinxTranslator, node: ledger_chapter) -> None:
    columns = node["morecols"] + 1
    translator.body.append(
        translator.starttag(node, "th", "", scope="rowgroup", colspan=str(columns))
    )


def _depart_chapter(translator: SphinxTranslator, node: ledger_chapter) -> None:
    translator.body.append("</th>\n")


def _label_cards(app: Sphinx, doctree: nodes.document) -> None:
    domain = app.env.get_domain("std")
    for raw in doctree.findall(nodes.raw):
        for anchor in CARD.findall(raw.astext()):
            domain.note_hyperlink_target(anchor, app.env.docname, anchor, anchor)


def _load_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Give the script and the style to pages with a ledger alone."""
    if doctree is not None and next(doctree.findall(ledger_row), None) is not None:
        app.add_js_file("ledger.js", loading_method="defer")
        app.add_css_file("ledger.css")
