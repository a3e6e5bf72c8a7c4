"""The one browser of the book's tools and tests: Chromium as the system installed it.

It reaches this machine alone: every other address goes to a proxy that does not exist, so a page
that asks for one fails here as it would on a reader's train. ``python -m book.tools.chromium``
installs Chromium where it may, or says what to do.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

LOOPBACK = "127.0.0.1"
NOWHERE = f"http://{LOOPBACK}:9"  # the port of "discard": nothing listens there
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
REMEDY = "On Debian and Ubuntu: apt install chromium (as root, or with sudo)."
INSTALL = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium")


def main() -> None:
    """Install Chromium if it is missing and apt may be used; else end with what to do."""
    if chromium_path() is None:
        install()
    if chromium_path() is None:
        sys.exit(f"The browser tests need Chromium, and apt did not bring it. {REMEDY}")


def install() -> None:
    """Ask apt for Chromium, or end the program with the reason why it cannot be asked."""
    if shutil.which("apt-get") is None:
        sys.exit(f"The browser tests need Chromium, and there is no apt here. {REMEDY}")
    if os.geteuid() != 0:
        sys.exit(f"The browser tests need Chromium, and only root may install it. {REMEDY}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("apt-get", "update", "-qq"), INSTALL):
        subprocess.run(command, env=environment, check=False)


def chromium_path() -> str | None:
    """Return the Chromium that the system installed, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, or end the program with the way to install it."""
    path = chromium_path()
    if path is None:
        sys.exit(f"No Chromium here. {REMEDY}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path,
            args=list(ARGUMENTS),
            proxy={"server": NOWHERE, "bypass": LOOPBACK},
        )
        yield started
        started.close()


def listen(page: Page, address: str) -> list[str]:
    """Collect what goes wrong on a page: requests beyond ``address``, and errors of any kind."""
    heard: list[str] = []
    home = _origin(address)

    def request_made(url: str) -> None:
        if not url.startswith(("data:", "blob:")) and _origin(url) != home:
            heard.append(f"foreign request: {url}")

    def said(message: ConsoleMessage) -> None:
        place = message.location["url"]
        # A page that only leads on to another names no icon, and the browser looks for one.
        if message.type == "error" and not place.endswith("/favicon.ico"):
            heard.append(f"console: {message.text} ({place})")

    page.on("request", lambda request: request_made(request.url))
    page.on("pageerror", lambda error: heard.append(f"script error: {error}"))
    page.on("console", said)
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


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


if __name__ == "__main__":
    main()
