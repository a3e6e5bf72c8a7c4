"""Print the built site as one book: ``python -m book.tools.build_pdf``.

All pages but those of the library's reference are joined into one, which Chromium prints twice:
once to learn where each heading falls, and once with these numbers in the contents. Running titles
and page numbers stand in the margins by style, which Chromium knows from version 131 on.
"""

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pikepdf
from playwright.sync_api import Page
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from book.tools import layout
from book.tools.chromium import browser, listen
from book.tools.join_pages import join
from book.tools.screenshots import SITE
from book.tools.serve import served

TARGET = layout.ROOT / "_build" / "learning-to-select.pdf"
JOINED = "the-whole-book.html"  # an address of the site that only this program answers
PAPER: dict[str, Any] = {
    "prefer_css_page_size": True,
    "print_background": True,
    "outline": True,
    "tagged": True,
}
SHEET = {"width": 658, "height": 971}  # A4 within the margins of print.css, in CSS pixels
DRAFT = PAPER | {"outline": False, "tagged": False}  # the same sheets in half the time
PATIENCE = 300_000  # milliseconds

READY = """async () => {
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    await Promise.all([...document.images].map(image => image.decode()));
}"""
TOO_WIDE = """() => {
    const book = document.querySelector('.bd-article'), edge = book.getBoundingClientRect().right;
    const wide = [...book.querySelectorAll('pre, table, img, p, mjx-container, h1, h2, h3')]
        .filter(part => part.getBoundingClientRect().right > edge + 2
            || part.tagName == 'PRE' && part.scrollWidth > part.clientWidth + 2);
    return wide.map(part => `${part.closest('[id]').id}: ${part.textContent.trim().slice(0, 60)}`);
}"""
HEADINGS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(heading => {
    const words = heading.cloneNode(true);
    for (const formula of words.querySelectorAll('mjx-container'))
        formula.replaceWith(formula.querySelector('mjx-assistive-mml')?.textContent ?? '');
    return words.textContent.replace(/\\s+/g, ' ').trim();
})"""
FILL_IN = """numbers => {
    for (const place of document.querySelectorAll('.l2s-number'))
        place.textContent = numbers[place.dataset.anchor] ?? '';
}"""


def main() -> None:
    """Print the book, and say where it is, or leave with what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=SITE, help="the folder of the built site")
    parser.add_argument("--target", type=Path, default=TARGET, help="the file to write")
    options = parser.parse_args()
    if not (options.site / "index.html").is_file():
        sys.exit(f"There is no site at {options.site}. Build it first: make book.")
    complaints = build(options.site, options.target)
    if complaints:
        sys.exit("\n".join(["The book was printed with complaints:", *complaints]))
    size = options.target.stat().st_size / 1e6
    print(f"The book is printed ({size:.1f} MB). Open {options.target.resolve().as_uri()}")


def build(site: Path, target: Path) -> list[str]:
    """Print the book of a built site into ``target``, and return what went wrong."""
    text = join(site)
    with served(site) as address, browser() as chromium:
        page = chromium.new_page(viewport=SHEET, color_scheme="light", reduced_motion="reduce")
        page.set_default_timeout(PATIENCE)
        heard = listen(page, address)
        page.route(
            f"{address}{JOINED}",
            lambda route: route.fulfill(body=text, content_type="text/html; charset=utf-8"),
        )
        page.goto(f"{address}{JOINED}", wait_until="load")
        page.emulate_media(media="print")
        page.evaluate(READY)
        heard += [f"wider than the paper: {part}" for part in page.evaluate(TOO_WIDE)]
        printed = print_twice(page)
        headings = page.evaluate(HEADINGS)
        author = page.evaluate("document.querySelector('meta[name=author]').content")
    target.parent.mkdir(parents=True, exist_ok=True)
    finish(printed, target, headings, author)
    return heard


def print_twice(page: Page) -> bytes:
    """Print, fill the page numbers into the contents, and print again."""
    numbers = page_numbers(page.pdf(**DRAFT))
    page.evaluate(FILL_IN, numbers)
    printed = page.pdf(**PAPER)
    if page_numbers(printed) != numbers:
        raise RuntimeError("The contents moved the pages that they number: mend templates/pdf.css.")
    return printed


def page_numbers(printed: bytes) -> dict[str, int]:
    """The page on which each anchor of a link stands, counted from 1."""
    reader = PdfReader(io.BytesIO(printed))
    found = reader.named_destinations.items()
    return {
        anchor.removeprefix("/"): reader.get_destination_page_number(place) + 1
        for anchor, place in found
    }


def finish(printed: bytes, target: Path, headings: list[str], author: str) -> None:
    """Write the file, with who made it, and have readers open its outline beside it."""
    writer = PdfWriter(clone_from=io.BytesIO(printed))
    writer.add_metadata({"/Author": author, "/Creator": "Learning to Select, make pdf"})
    writer.page_mode = "/UseOutlines"
    entries = list(_entries(writer.root_object["/Outlines"]))
    if len(entries) != len(headings):
        raise RuntimeError(f"The outline has {len(entries)} entries for {len(headings)} headings.")
    for entry, heading in zip(entries, headings, strict=True):
        # Chromium writes a heading's words twice where it had moved it to the next sheet.
        entry[NameObject("/Title")] = TextStringObject(heading)
    plain = io.BytesIO()
    writer.write(plain)
    with pikepdf.open(plain) as book:  # packs the 100,000 small objects of the tags: less than half
        book.save(target, object_stream_mode=pikepdf.ObjectStreamMode.generate)


def _entries(parent: DictionaryObject) -> Iterator[DictionaryObject]:
    """The entries of an outline in reading order."""
    entry = parent.get("/First")
    while entry is not None:
        found = entry.get_object()
        yield found
        yield from _entries(found)
        entry = found.get("/Next")


if __name__ == "__main__":
    main()
