"""Join the pages of the built site into one page to print: title, contents, all that one reads.

Pages are taken as they were built, so numbers, figures and citations are those of the site.
"""

import html
import re
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from string import Template

import yaml
from bs4 import BeautifulSoup
from bs4.element import Tag

from book.extensions.address import site_url
from book.tools import layout
from book.tools.print_article import article, name

LEFT_OUT = ("book/api/",)  # looked up, not read, and so best on the site
TEMPLATE = layout.ROOT / "book" / "tools" / "templates" / "pdf.html"
STYLE = TEMPLATE.with_suffix(".css")


def join(site: Path, root: Path = layout.ROOT) -> str:
    """Return the page that holds the whole book; its addresses start at the folder ``site``."""
    parts = [(caption, printed_pages(pages)) for caption, pages in layout.parts(root)]
    parts = [(caption, pages) for caption, pages in parts if pages]
    every = [page for _, pages in parts for page in pages]
    home = site_url(layout.repository(root)[0])
    soups = {page: _read(site / f"{page}.html") for page in every}
    articles = {page: article(soups[page], page, every, home) for page in every}
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        head=_head(soups),
        style=STYLE.read_text(encoding="utf-8") + "\n".join(_running_titles(articles)),
        title=html.escape(citation["title"]),
        abstract=html.escape(citation["abstract"]),
        authors=html.escape(", ".join(author["name"] for author in citation["authors"])),
        version=html.escape(str(citation["version"])),
        home=home,
        contents="\n".join(_contents(parts, articles)),
        body="\n".join(_body(parts, articles)),
    )


def printed_pages(pages: list[str]) -> list[str]:
    """Those of some pages that the printed book holds."""
    return [page for page in pages if not page.startswith(LEFT_OUT)]


def _read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def _head(soups: dict[str, BeautifulSoup]) -> str:
    """The style sheets of all pages, and of their scripts the ones for mathematics."""
    kept: dict[str, None] = {}
    for page, soup in soups.items():
        up = "../" * page.count("/")
        for tag in soup.head.find_all(["link", "script", "style"]):
            is_sheet = tag.name == "link" and "stylesheet" in tag.get("rel", [])
            is_mathematics = tag.name == "script" and "mathjax" in str(tag).lower()
            if is_sheet or is_mathematics:
                kept[str(tag).replace(f'="{up}_static', '="_static') if up else str(tag)] = None
    return "\n".join(kept)


def _running_titles(articles: dict[str, Tag]) -> Iterator[str]:
    """A kind of paper for each page of the site, with its title at the head."""
    for page, found in articles.items():
        title = re.sub(r'["\\\n]', " ", _plain(found.h1))
        yield f"#{name(page)} {{ page: {name(page)}; }}"
        yield f'@page {name(page)} {{ @top-right {{ content: "{title}"; }} }}'


def _contents(parts: list[tuple[str, list[str]]], articles: dict[str, Tag]) -> Iterator[str]:
    for caption, pages in parts:
        if caption:
            yield f'<p class="l2s-part">{html.escape(caption)}</p>'
        for page in pages:
            yield _line(articles[page].h1, name(page), "l2s-entry")
            if page.startswith("chapters/"):
                for heading in articles[page].find_all("h2"):
                    yield _line(heading, heading["id"], "l2s-subentry")


def _line(heading: Tag, anchor: str, css: str) -> str:
    """One line of the contents; its page number is filled in once the book has been laid out."""
    words = copy(heading)
    for link in words.find_all("a"):
        link.unwrap()
    return (
        f'<p class="{css}"><a href="#{anchor}"><span>{words.decode_contents()}</span>'
        f'<span class="l2s-dots"></span><span class="l2s-number" data-anchor="{anchor}"></span>'
        "</a></p>"
    )


def _body(parts: list[tuple[str, list[str]]], articles: dict[str, Tag]) -> Iterator[str]:
    for caption, pages in parts:
        for page in pages:
            if caption:
                caption_line = BeautifulSoup("", "html.parser").new_tag("p")
                caption_line["class"] = "l2s-part-name"
                caption_line.string = caption
                articles[page].insert(0, caption_line)
            yield str(articles[page])


def _plain(heading: Tag) -> str:
    """A heading's words; mathematics in it as it is written, without its marks."""
    return " ".join(re.sub(r"\\[()]", "", heading.get_text()).split())
