"""The map of the book: parts and chapters, and which chapter needs which.

``{book-map}`` writes a nested list, which is the map, and beside it a picture that a screen reader
may skip: a dot a chapter, and an arc from each chapter down to those that build on it. List and
picture have rows of one height, so that a dot stands at its line at every width.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from book.tools import contents
from book.tools.contents import Chapter, Part

logger = logging.getLogger(__name__)

ROW = 64  # pixels at the usual size of letters; landing.css says 4rem, for titles of three lines
REM = 16
EDGE = 10  # from the dots to the right edge
COLOURS = 6  # of l2s's palette


class BookMap(SphinxDirective):
    """Show the map; what a chapter says wrongly of its needs is a warning."""

    def run(self) -> list[nodes.Node]:
        """Read _toc.yml and the chapters anew, and this page again when one of them changes."""
        root = Path(self.env.srcdir)
        book = contents.parts(root)
        chapters = contents.chapters(book)
        for path in ("_toc.yml", *(f"{chapter.page}.ipynb" for chapter in chapters)):
            self.env.note_dependency(str(root / path))
        for problem in contents.problems(book):
            logger.warning(problem, location=self.get_location())
        if not book:
            return [nodes.paragraph("", "No chapter has been written yet.")]
        drawn = nodes.raw("", picture(book) + highlights(chapters), format="html")
        whole = nodes.container("", drawn, self.list_of(book), classes=["l2s-map"])
        return [whole] if not any(arcs(book)) else [whole, nodes.paragraph("", _reading_aid())]

    def list_of(self, book: list[Part]) -> nodes.bullet_list:
        """The map as text: parts, and in each its chapters."""
        numbers = {chapter.page: chapter.number for chapter in contents.chapters(book)}
        whole = nodes.bullet_list()
        for part in book:
            inner = nodes.bullet_list()
            inner += [self.chapter(chapter, numbers) for chapter in part.chapters]
            heading = nodes.paragraph("", "", nodes.strong("", part.caption))
            whole += nodes.list_item("", heading, inner)
        return whole

    def chapter(self, chapter: Chapter, numbers: dict[str, int]) -> nodes.list_item:
        """A chapter's line: its number and title, which is a link, and its facts."""
        title, _ = self.parse_inline(f"{chapter.number}. [{chapter.title}](/{chapter.page}.ipynb)")
        facts = nodes.inline("", facts_of(chapter, numbers), classes=["l2s-map-facts"])
        line = nodes.paragraph("", "", *title, nodes.Text(" "), facts)
        return nodes.list_item("", line, classes=[f"l2s-map-{chapter.number}"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("book-map", BookMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def facts_of(chapter: Chapter, numbers: dict[str, int]) -> str:
    """What the list says below a title: ``35 minutes, after 1 and 4``."""
    facts = [] if chapter.minutes is None else [f"{chapter.minutes} minutes"]
    needed = sorted(numbers[page] for page in chapter.needs or () if page in numbers)
    if needed:
        *first, last = map(str, needed)
        facts.append(f"after {', '.join(first)} and {last}" if first else f"after {last}")
    return ", ".join(facts)


def arcs(book: list[Part]) -> Iterator[tuple[Chapter, Chapter]]:
    """Every chapter that another one needs, and that other one."""
    known = {chapter.page: chapter for chapter in contents.chapters(book)}
    for chapter in known.values():
        for page in chapter.needs or ():
            if page in known and known[page].number < chapter.number:
                yield known[page], chapter


def picture(book: list[Part]) -> str:
    """The arcs and dots as SVG, with the colours of the site's style sheet."""
    rows, colours = _places(book)
    heights = {page: ROW * (row + 0.5) for page, row in rows.items()}
    pairs = list(arcs(book))
    width = round(max([_reach(rows, pair) for pair in pairs], default=0) * 0.75) + 2 * EDGE + 4
    height, spine = ROW * (len(rows) + len(book)), width - EDGE
    lines = [
        _line(colours[part.chapters[0].page], spine, [heights[c.page] for c in part.chapters])
        for part in book
    ]
    curves = [
        _arc(pair, colours[pair[0].page], spine, _reach(rows, pair), heights) for pair in pairs
    ]
    dots = [
        f'<circle class="n{chapter.number}" cx="{spine}" cy="{heights[chapter.page]:g}" r="6" '
        f'style="fill:var({colours[chapter.page]})"/>'
        for chapter in contents.chapters(book)
    ]
    return (
        f'<svg aria-hidden="true" viewBox="0 0 {width} {height}" '
        f'style="width:{width / REM:g}rem;height:{height / REM:g}rem">'
        f"{''.join(lines + curves + dots)}</svg>"
    )


def highlights(chapters: list[Chapter]) -> str:
    """Rules that bring a chapter's arcs forward while its line is pointed at or has the focus."""
    rules = [
        f".l2s-map:has(.l2s-map-{c.number} a:is(:hover,:focus-visible)) "
        f"svg :is(.n{c.number},.to{c.number},.from{c.number}){{opacity:1;stroke-width:3}}"
        for c in chapters
    ]
    return f"<style>{''.join(rules)}</style>"


def _places(book: list[Part]) -> tuple[dict[str, int], dict[str, str]]:
    """Each chapter's row (a part's heading takes one, too) and the variable of its colour."""
    rows, colours, row = {}, {}, count()
    for place, part in enumerate(book):
        next(row)
        for chapter in part.chapters:
            rows[chapter.page] = next(row)
            colours[chapter.page] = f"--l2s-{place % COLOURS + 1}"
    return rows, colours


def _reach(rows: dict[str, int], pair: tuple[Chapter, Chapter]) -> float:
    """How far an arc swings out: the root of its length, so that long ones stay on a phone."""
    return 15 * (rows[pair[1].page] - rows[pair[0].page]) ** 0.5


def _line(colour: str, x: float, heights: list[float]) -> str:
    return (
        f'<path d="M{x:g} {heights[0]:g}V{heights[-1]:g}" '
        f'style="stroke:var({colour});stroke-width:2"/>'
    )


def _arc(
    pair: tuple[Chapter, Chapter], colour: str, x: float, reach: float, heights: dict[str, float]
) -> str:
    start, end = (heights[chapter.page] for chapter in pair)
    return (
        f'<path class="arc from{pair[0].number} to{pair[1].number}" '
        f'd="M{x:g} {start:g}C{x - reach:.1f} {start:g} {x - reach:.1f} {end:g} {x:g} {end:g}" '
        f'style="stroke:var({colour})"/>'
    )


def _reading_aid() -> str:
    return "An arc leads from a chapter down to those that build on it."
