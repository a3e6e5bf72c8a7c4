"""The paper index: every paper of the reading list, and what the book has of it.

``{paper-index}`` reads book/papers.yml, the table of contents, and the claims of the chapters. What
the list promises and the book does not hold is a warning, which says how to mend it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from docutils import nodes
from docutils.parsers.rst import directives
from l2s.claims import VERDICTS
from pybtex.database import parse_file
from sphinx.application import Sphinx
from sphinx.util import docname_join, logging
from sphinx.util.docutils import SphinxDirective

from book.extensions.ledger import ANCHOR, claims_by_chapter, title_of
from book.tools import layout, reading_list
from book.tools.reading_list import Chapter, Part, ReadingList

logger = logging.getLogger(__name__)

MOST_AUTHORS = 8  # a longer list of names ends with "and 5 others"
CLASS = "l2s-papers"

Verdicts = Mapping[str, Counter]  # by BibTeX key


class PaperIndex(SphinxDirective):
    """Show the reading list by part and chapter. Option ``ledger``: the page with the claims."""

    option_spec: ClassVar = {"ledger": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Read all anew, and have Sphinx read this page anew when something changes."""
        root = Path(self.env.srcdir)
        for name in (reading_list.PATH, "_toc.yml", *self.config.bibtex_bibfiles):
            self.env.note_dependency(str(root / name))
        try:
            reading = reading_list.load(root)
        except ValueError as error:
            for sentence in str(error).splitlines():
                self.warn(sentence)
            return []
        self.pages = {name.removeprefix("chapters/"): name for name in layout.documents(root)}
        self.verdicts = verdicts_by_paper(
            claim for one in claims_by_chapter(self.env) for claim in one.claims
        )
        libraries = [root / name for name in self.config.bibtex_bibfiles]
        known = {key for library in libraries for key in parse_file(library).entries}
        for sentence in faults(reading, reading_list.written(root), self.verdicts, known):
            self.warn(sentence)
        lead = nodes.paragraph("", summary(reading, reading_list.written(root)))
        return [lead, *(self.part(part, reading) for part in reading.parts)]

    def part(self, part: Part, reading: ReadingList) -> nodes.section:
        """Build a part's section."""
        section = nodes.section(ids=[f"part-{_address(part.caption)}"])
        section += nodes.title("", part.caption)
        for chapter in part.chapters:
            section += self.chapter(chapter, reading)
        return section

    def chapter(self, chapter: Chapter, reading: ReadingList) -> nodes.section:
        """Build a chapter's section: its papers, or that it is planned and its papers."""
        section = nodes.section(ids=[f"chapter-{_address(chapter.name)}"])
        is_written = chapter.name in self.pages
        if is_written:
            page = self.pages[chapter.name]
            title = title_of(Path(self.env.srcdir, f"{page}.ipynb"))
            section += nodes.title("", "", self.markdown(f"{{doc}}`{title} </{page}>`"))
        else:
            section += nodes.title("", chapter.title)
            section += nodes.paragraph("", "Planned: not yet in the book.", classes=["l2s-planned"])
        papers = [self.paper(reading.papers[number], is_written) for number in chapter.papers]
        section += nodes.bullet_list("", *papers, classes=[CLASS])
        return section

    def paper(self, paper: dict[str, Any], is_written: bool) -> nodes.list_item:
        """Build a paper's entry: title, source, functions, verdicts."""
        number = nodes.inline("", str(paper["number"]), classes=["l2s-number"])
        title = nodes.paragraph("", "", number, nodes.Text(" "), nodes.strong("", paper["title"]))
        entry = nodes.list_item("", title, ids=[f"paper-{paper['number']}"])
        entry += self.source(paper)
        if "note" in paper:
            entry += nodes.paragraph("", paper["note"], classes=["l2s-source"])
        functions = [name for name in paper.get("functions", ()) if exists(name)]
        counts = self.verdicts.get(paper.get("key", ""), Counter())
        if functions or is_written:
            links = [self.markdown(f"{{py:obj}}`~{name}`") for name in functions]
            entry += _line("Library", links)
        if counts or is_written:
            links = [
                self.verdict(paper["key"], one, counts[one]) for one in VERDICTS if counts[one]
            ]
            entry += _line("Verdicts", links)
        return entry

    def source(self, paper: dict[str, Any]) -> nodes.paragraph:
        """Write who, where and when, and a link to the paper."""
        where = f"{paper['venue']} {paper['year']}" if "venue" in paper else str(paper["year"])
        text, address = (
            (f"arXiv\N{NO-BREAK SPACE}{paper['arxiv']}", f"https://arxiv.org/abs/{paper['arxiv']}")
            if "arxiv" in paper
            else (f"doi\N{NO-BREAK SPACE}{paper['doi']}", f"https://doi.org/{paper['doi']}")
        )
        link = nodes.reference("", text, refuri=address)
        who = nodes.Text(f"{authors(paper['authors'])}. {where}. ")
        return nodes.paragraph("", "", who, link, classes=["l2s-source"])

    def verdict(self, key: str, verdict: str, number: int) -> nodes.Node:
        """Write a count that leads to these claims in the ledger."""
        text = f"{number} {verdict}"
        builder = self.env.app.builder
        has_filters = builder.format == "html" and builder.name != "singlehtml"
        if not has_filters or "ledger" not in self.options:
            return nodes.Text(text)
        page = docname_join(self.env.docname, self.options["ledger"])
        address = builder.get_relative_uri(self.env.docname, page)
        choice = urlencode({"paper": key, "verdict": verdict})
        return nodes.reference("", text, refuri=f"{address}?{choice}#{ANCHOR}", internal=True)

    def markdown(self, text: str) -> nodes.inline:
        """Parse a role, such as a link to a page."""
        parsed, _ = self.parse_inline(text)
        return nodes.inline("", "", *parsed)

    def warn(self, sentence: str) -> None:
        """Warn at the place of the directive."""
        logger.warning(sentence, location=self.get_location())


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, and give its page its style."""
    app.add_directive("paper-index", PaperIndex)
    app.connect("html-page-context", _load_style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def verdicts_by_paper(claims: Iterable[dict[str, Any]]) -> dict[str, Counter]:
    """Count the verdicts on each paper, by BibTeX key."""
    counts: dict[str, Counter] = {}
    for claim in claims:
        counts.setdefault(claim["paper"], Counter())[claim["verdict"]] += 1
    return counts


def faults(
    reading: ReadingList, written: Iterable[str], verdicts: Verdicts, known: set[str]
) -> list[str]:
    """Sentences for what the list promises and the book does not hold."""
    there = set(written)
    found = []
    for number, paper in reading.papers.items():
        key = paper.get("key")
        if key is not None and key not in known:
            found.append(
                f"Paper {number} has the key {key!r}, which is not in book/references.bib: "
                "add the entry, or mend `key` in book/papers.yml."
            )
        if paper["chapter"] in there and key not in verdicts:
            how = "add `key` to it in book/papers.yml" if key is None else f"claim({key!r}) in it"
            found.append(
                f"The chapter {paper['chapter']} is in _toc.yml, but no claim judges its paper "
                f"{number}: {how}, or give the paper to a planned chapter."
            )
        found += [
            f"Paper {number} names {name}, which the library does not have: write it, or mend "
            "`functions` in book/papers.yml."
            for name in paper.get("functions", ())
            if not exists(name)
        ]
    return found


def exists(name: str) -> bool:
    """Whether the library has a function or class of this name."""
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(import_module(module), attribute)
    except ModuleNotFoundError:
        return False


def summary(reading: ReadingList, written: Iterable[str]) -> str:
    """Say how far the book is."""
    there = set(written)
    done = [paper for paper in reading.papers.values() if paper["chapter"] in there]
    chapters = [chapter for chapter in reading.chapters if chapter.name in there]
    return (
        f"{len(reading.papers)} papers in {len(reading.chapters)} chapters. Today the book has "
        f"{len(chapters)} of these chapters, with {len(done)} of the papers. The other "
        f"{len(reading.papers) - len(done)} papers: not yet."
    )


def authors(names: list[str]) -> str:
    """Write names as a list; a very long one is cut."""
    if len(names) > MOST_AUTHORS:
        shown = names[: MOST_AUTHORS - 2]
        return f"{', '.join(shown)} and {len(names) - len(shown)} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _line(head: str, links: list[nodes.Node]) -> nodes.paragraph:
    """A line such as ``Library: dcl, coupling``, or an honest ``Library: not yet``."""
    line = nodes.paragraph("", f"{head}: " if links else f"{head}: not yet")
    for place, link in enumerate(links):
        line += [nodes.Text(", "), link] if place else [link]
    return line


def _address(name: str) -> str:
    return nodes.make_id(name)


def _load_style(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    lists = doctree.findall(nodes.bullet_list) if doctree is not None else ()
    if any(CLASS in one["classes"] for one in lists):
        app.add_css_file("ledger.css")
