"""Take pictures of the built site in a browser: ``python -m book.tools.screenshots [page ...]``.

Each page (all of _toc.yml if none is named) is shown at two widths, light and dark, from a server
on this machine with every other address blocked. Pictures go to _build/screenshots/; what a page
asked of another host, and what it wrote to the console, is printed.
"""

import argparse
import functools
import http.server
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Route, sync_playwright

from book.extensions.address import site_url
from book.tools import layout

SITE = layout.ROOT / "_build" / "html"
PICTURES = layout.ROOT / "_build" / "screenshots"
WIDTHS = (1280, 390)
MODES = ("light", "dark")
BROWSER_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def main() -> None:
    """Take the pictures; leave with status 1 if a page complained or called a foreign host."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="such as book/setup; all pages if left out")
    pages = parser.parse_args().pages or layout.documents()
    PICTURES.mkdir(parents=True, exist_ok=True)
    complaints = 0
    with served(SITE) as address, browser() as chromium:
        for page in pages:
            for width in WIDTHS:
                for mode in MODES:
                    target = PICTURES / f"{page.replace('/', '-')}-{width}-{mode}.png"
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
    settle(page)
    page.screenshot(path=target, full_page=True)
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        heard.append("the page scrolls sideways")
    context.close()
    return heard


def listen(page: Page, address: str) -> list[str]:
    """Block every foreign address, and collect blocked requests and console errors."""
    heard: list[str] = []
    home = address.split("/", 3)[2]

    def guard(route: Route) -> None:
        if route.request.url.startswith(("data:", "blob:")) or f"//{home}/" in route.request.url:
            route.continue_()
        else:
            heard.append(f"foreign request: {route.request.url}")
            route.abort()

    page.route("**/*", guard)
    page.on("pageerror", lambda error: heard.append(f"script error: {error}"))
    page.on(
        "console",
        lambda message: (
            heard.append(f"console: {message.text}") if message.type == "error" else None
        ),
    )
    return heard


def settle(page: Page) -> None:
    """Wait for mathematics, and scroll once through the page so that lazy pictures are loaded."""
    page.evaluate("window.MathJax?.startup?.promise")
    page.evaluate(
        """async () => {
            for (let y = 0; y < document.body.scrollHeight; y += 600) {
                window.scrollTo(0, y);
                await new Promise(resume => setTimeout(resume, 40));
            }
            window.scrollTo(0, 0);
        }"""
    )
    page.wait_for_load_state("networkidle")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a site on a free port of this machine, below the path that its host will use."""
    url, _ = layout.repository()
    prefix = urlsplit(site_url(url)).path
    handler = functools.partial(_Server, prefix, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, or end the program with the way to install it."""
    path = chromium_path()
    if path is None:
        sys.exit("No Chromium here. On Debian and Ubuntu: apt install chromium.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(BROWSER_ARGUMENTS))
        yield started
        started.close()


def chromium_path() -> str | None:
    """Return the Chromium that the system installed, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class _Server(http.server.SimpleHTTPRequestHandler):
    def __init__(self, prefix: str, *args: Any, **options: Any) -> None:
        self.prefix = prefix
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        """Find the file of an address below the prefix; any other address has none."""
        inside = path.removeprefix(self.prefix)
        return super().translate_path(f"/{inside}" if inside != path else "/404-outside")

    def log_message(self, *words: object) -> None:
        """Write no line for each request."""


if __name__ == "__main__":
    main()
