"""The pages of a built site, as the checks see them: links, anchors, resources."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup

_RESOURCES = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
_LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect"}


@dataclass(frozen=True)
class Page:
    """One HTML file of a site; ``home`` is the folder of the site."""

    path: Path
    home: Path

    @property
    def name(self) -> str:
        """Its address within the site."""
        return self.path.relative_to(self.home).as_posix()

    @cached_property
    def html(self) -> BeautifulSoup:
        """The parsed page."""
        return BeautifulSoup(self.path.read_text(encoding="utf-8"), "html.parser")

    @cached_property
    def anchors(self) -> set[str]:
        """Every id that a link may lead to."""
        return {tag["id"] for tag in self.html.find_all(id=True)}

    @cached_property
    def resources(self) -> list[str]:
        """Every address that a browser asks for when it shows the page."""
        found = [
            tag[attribute]
            for name, attribute in _RESOURCES.items()
            for tag in self.html.find_all(name)
            if tag.get(attribute)
        ]
        found += [
            link["href"]
            for link in self.html.find_all("link", href=True)
            if _LOADED_LINKS & set(link.get("rel", []))
        ]
        styles = [tag.get_text() for tag in self.html.find_all("style")]
        styles += [tag["style"] for tag in self.html.find_all(style=True)]
        return found + style_resources("\n".join(styles))

    @cached_property
    def links(self) -> list[str]:
        """Every address that a reader can follow."""
        return [tag["href"] for tag in self.html.find_all("a", href=True)]

    @property
    def text(self) -> str:
        """What the article says, with single spaces."""
        return " ".join(self.html.find("article").get_text().split())


def pages(home: Path) -> dict[str, Page]:
    """All pages of a site by address."""
    found = (Page(path, home) for path in sorted(home.rglob("*.html")))
    return {page.name: page for page in found if not page.name.startswith("_static/")}


def style_resources(css: str) -> list[str]:
    """Every address that a style sheet asks for."""
    named = re.findall(r"""url\(\s*["']?([^"')]+)""", css)
    return named + re.findall(r"""@import\s+["']([^"']+)""", css)


def is_foreign(address: str) -> bool:
    """Whether an address leads to another host."""
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "ftp", "ws")


def broken_links(site: dict[str, Page], prefix: str) -> list[str]:
    """Sentences for links within the site that lead nowhere; ``prefix`` is where a host shows it.

    Only 404.html, which a host may show at any address, starts its links with the prefix.
    """
    found = []
    for page in site.values():
        for link in page.links + page.resources:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            address = urljoin(prefix + page.name, link)
            target, _, anchor = address.partition("#")
            name = unquote(target.partition("?")[0]).removeprefix(prefix)
            if not (page.home / name).is_file():
                found.append(f"{page.name} links to {link}, and there is no such file.")
            elif anchor and name in site and unquote(anchor) not in site[name].anchors:
                found.append(f"{page.name} links to {link}, and there is no such anchor.")
    return found
