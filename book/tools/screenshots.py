"""Take pictures of the built site in a browser: ``python -m book.tools.screenshots [page ...]``.

Each page (one of every type if none is named) is shown at two widths, light and dark, from a
server on this machine with every other address blocked. Pictures go to _build/screenshots/; what a
page asked of another host, and what it wrote to the console, is printed.
"""

import argparse
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

from book.tools import layout
from book.tools.chromium import browser, listen, settle
from book.tools.serve import served

SITE = layout.ROOT / "_build" / "html"
PICTURES = layout.ROOT / "_build" / "screenshots"
WIDTHS = (1280, 390)
MODES = ("light", "dark")
# A page of every type.
TYPES = (
    "index",
    "book/setup",
    "book/glossary",
    "book/claims",
    "book/papers",
    "book/references",
    "book/api/index",
    "book/api/train",
    "chapters/labels/contrastive",
    "exercises/release/contrastive/contrastive",
    "search",
    "genindex",
    "404",
)


def main() -> None:
    """Take the pictures; leave with status 1 if a page complained or called a foreign host."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "pages", nargs="*", help="such as book/setup; one of every type if left out"
    )
    pages = parser.parse_args().pages or TYPES
    complaints = 0
    with served(SITE) as address, browser() as chromium:
        for page in pages:
            for width in WIDTHS:
                for mode in MODES:
                    target = picture(page, width, mode)
                    heard = take(chromium, f"{address}{page}.html", target, width, mode)
                    print(target.relative_to(layout.ROOT), *heard, sep="\n  ")
                    complaints += len(heard)
    sys.exit(1 if complaints else 0)


def take(chromium: Browser, address: str, target: Path, width: int, mode: str) -> list[str]:
    """Write one full-page picture, and return what went wrong on the page."""
    context = chromium.new_context(
        viewport={"width": width, "height": 900}, color_scheme=mode, reduced_motion="reduce"
    )
    page = context.new_page()
    heard = listen(page, address)
    page.goto(address, wait_until="networkidle")
    shoot(page, target)
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        heard.append("the page scrolls sideways")
    context.close()
    return heard


def shoot(page: Page, target: Path) -> None:
    """Write a picture of the whole of a page that is open, with its lazy pictures loaded."""
    settle(page)
    target.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=target, full_page=True)


def picture(page: str, width: int, mode: str) -> Path:
    """Where the picture of a page of the site goes."""
    return PICTURES / f"{page.replace('/', '-')}-{width}-{mode}.png"


if __name__ == "__main__":
    main()
