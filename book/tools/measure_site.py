"""Measure how fast the site's pages are: ``make measure [ARGS="book/preface ..."]``.

Chromium shows each page from a server on this machine, with an empty cache and a processor slowed
four times, and scrolls through it. Medians of three visits are printed and written to
_build/site-speed.csv. Nothing is compressed on the way, so a host that does sends less.
"""

import argparse
import csv
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from book.tools import layout
from book.tools.chromium import browser, settle
from book.tools.serve import served

SITE = layout.ROOT / "_build" / "html"
TABLE = layout.ROOT / "_build" / "site-speed.csv"
SLOWER = 4
VISITS = 3
VIEW = {"width": 1280, "height": 800}

# A shift that follows a reader's own action within half a second is no surprise to her.
WATCH = """
window.l2sShifts = [];
new PerformanceObserver(list => {
    for (const entry of list.getEntries())
        if (!entry.hadRecentInput) window.l2sShifts.push([entry.startTime, entry.value]);
}).observe({type: 'layout-shift', buffered: true});
"""
READ = """() => ({
    first_content_ms: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN,
    layout_shift: window.l2sShifts.reduce((sum, [, value]) => sum + value, 0),
    last_shift_ms: Math.max(0, ...window.l2sShifts.map(([time]) => time)),
})"""


@dataclass(frozen=True)
class Speed:
    """One visit: times in milliseconds, the sum of all layout shifts, bytes and requests."""

    first_content_ms: float
    layout_shift: float
    last_shift_ms: float
    kilobytes: float
    requests: float


def main() -> None:
    """Measure pages, print a table and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="such as book/setup; all of _toc.yml if left out")
    pages = parser.parse_args().pages or [*layout.documents(), "search", "genindex"]
    with served(SITE) as address, browser() as chromium:
        rows = {page: measure(chromium, f"{address}{page}.html") for page in pages}
    _write(rows, TABLE)
    print(*_table(rows), f"Written to {TABLE.relative_to(layout.ROOT)}.", sep="\n")


def measure(chromium: Browser, address: str, visits: int = VISITS) -> Speed:
    """The median of several visits to a page."""
    found = [visit(chromium, address) for _ in range(visits)]
    names = [field.name for field in fields(Speed)]
    return Speed(**{n: statistics.median(getattr(one, n) for one in found) for n in names})


def visit(chromium: Browser, address: str, view: dict[str, int] | None = None) -> Speed:
    """Show a page to a reader who comes for the first time, and scroll through it."""
    context = chromium.new_context(viewport=view or VIEW)
    page = context.new_page()
    page.add_init_script(WATCH)
    session = context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    settle(page)
    read: dict[str, Any] = page.evaluate(READ)
    context.close()
    return Speed(**read, kilobytes=sum(sizes) / 1e3, requests=len(sizes))


def _write(rows: dict[str, Speed], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["page", *(field.name for field in fields(Speed))])
        writer.writerows([page, *_rounded(speed)] for page, speed in rows.items())


def _table(rows: dict[str, Speed]) -> Iterable[str]:
    width = max(map(len, rows))
    yield f"{'page':{width}}  first content  layout shift  last shift      weight  requests"
    for page, speed in rows.items():
        first, shift, last, weight, requests = _rounded(speed)
        yield (
            f"{page:{width}}  {first:10.0f} ms  {shift:12.3f}  {last:7.0f} ms  {weight:7.0f} kB"
            f"  {requests:8.0f}"
        )


def _rounded(speed: Speed) -> list[float]:
    return [round(value, 4) for value in asdict(speed).values()]


if __name__ == "__main__":
    main()
