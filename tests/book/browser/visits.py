"""A page as a browser shows it: what is wrong with it, in sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

from book.tools import layout
from book.tools.chromium import listen
from book.tools.screenshots import WIDTHS, picture, shoot

PHONE = {"width": 390, "height": 800}
GRAVE = ("serious", "critical")
FAULTS_ONLY = {"resultTypes": ["violations"]}  # else axe describes every element that is right
# A chapter has ten thousand words of code in a dozen colours; axe would look at each for long.
# One of each kind in each kind of block stands for all; the others are plain text meanwhile.
LESS_CODE = """() => {
    window.allCode = [...document.querySelectorAll('pre')].map(pre => [pre, pre.innerHTML]);
    const seen = new Set();
    const isRepeated = word => {
        const block = word.closest('pre').parentElement, own = getComputedStyle(word);
        const kind = [own.color, own.backgroundColor, own.opacity, own.font, word.className,
            word.parentElement.className, block.className,
            getComputedStyle(block).backgroundColor].join('|');
        const isNew = !seen.has(kind);
        seen.add(kind);
        return !isNew && !word.children.length;
    };
    [...document.querySelectorAll('pre span')].filter(isRepeated)
        .forEach(word => word.replaceWith(word.textContent));
}"""
ALL_CODE = "() => window.allCode.forEach(([pre, html]) => { pre.innerHTML = html; })"
CHAPTER = "chapters/labels/contrastive"
# Pages that Sphinx writes beside those of the contents. Of the pages that show a module's source,
# which are all alike, one stands for all.
MADE = (
    "search",
    "genindex",
    "prf-prf",
    "py-modindex",
    "404",
    "_modules/index",
    "_modules/l2s/train",
)
PAGES = (*layout.documents(), *MADE)

UNREADABLE = """() => {
    const left = [...document.querySelectorAll('article .math')]
        .filter(each => !each.querySelector('mjx-container') || each.querySelector('mjx-merror'));
    return left.map(each => each.textContent.slice(0, 80));
}"""

# The theme lets a formula in a line scroll, which cuts off what stands out of its box.
CUT_OFF = """() => [...document.querySelectorAll('article span.math')].filter(each => {
    const box = each.getBoundingClientRect();
    const drawn = each.querySelector('mjx-math')?.getBoundingClientRect() ?? box;
    return drawn.top < box.top - 2 || drawn.bottom > box.bottom + 2;
}).map(each => each.textContent.slice(0, 80))"""

# Where MathJax finds small type, it sets indices as large as letters, to keep them readable.
LARGE_SCRIPTS = """() => [...document.querySelectorAll('article mjx-script > *')].filter(each => {
    const size = element => parseFloat(getComputedStyle(element).fontSize);
    return size(each) > 0.8 * size(each.parentElement) && each.tagName !== 'MJX-SPACER';
}).map(each => each.closest('.math').textContent.slice(0, 80))"""

# A number that breaks in the middle reads as two.
BROKEN_NUMBERS = """() => [...document.querySelectorAll('article td')].filter(each => {
    if (!/^[-‑−±.,e0-9]+$/.test(each.textContent.trim())) return false;
    const text = document.createRange();
    const leaf = node => node.firstElementChild ? leaf(node.firstElementChild) : node;
    text.selectNodeContents(leaf(each));
    return text.getClientRects().length > 1;
}).map(each => each.textContent)"""


@contextmanager
def phone(browser: Browser, mode: str) -> Iterator[Page]:
    """A page of a phone that prefers light or dark.

    Each test takes one of its own: axe fetches style sheets, and what the browser says of them may
    come when the next page is already being listened to.
    """
    context = browser.new_context(viewport=PHONE, color_scheme=mode, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def faults(page: Page, home: str, name: str, axe: Axe) -> list[str]:
    """Show a page of the site and look at it; every fault is a sentence."""
    heard = listen(page, home)
    page.goto(f"{home}{name}.html")
    typeset(page)
    found = list(heard)  # axe itself asks for a style sheet that is not there
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > PHONE["width"]:
        found.append(f"it scrolls sideways: it is {width} pixels wide")
    found += [f"mathematics is not typeset: {text}" for text in page.evaluate(UNREADABLE)]
    found += [f"a formula is cut off: {text}" for text in page.evaluate(CUT_OFF)]
    found += [f"indices are set large: {text}" for text in page.evaluate(LARGE_SCRIPTS)]
    found += [f"a number is broken: {text}" for text in page.evaluate(BROKEN_NUMBERS)]
    page.evaluate(LESS_CODE)
    seen = axe.run(page, options=FAULTS_ONLY).response
    page.evaluate(ALL_CODE)
    for violation in seen["violations"]:
        if violation["impact"] in GRAVE:
            found += [f"{violation['id']}: {node['html'][:200]}" for node in violation["nodes"]]
    return found


def pictured(page: Page, name: str, mode: str) -> None:
    """Leave pictures of the page that is open, at every width, for a person to look at."""
    for width in sorted(WIDTHS):  # the menu slides in when a page grows
        page.set_viewport_size({**PHONE, "width": width})
        shoot(page, picture(name, width, mode))
    page.set_viewport_size(PHONE)


def typeset(page: Page) -> None:
    """Wait until mathematics is typeset, on a page that has some."""
    page.evaluate("window.MathJax?.startup?.promise")


def follow(page: Page, link: Locator) -> None:
    """Click on a link and wait until its page is there, not only its address."""
    with page.expect_navigation():
        link.click()
