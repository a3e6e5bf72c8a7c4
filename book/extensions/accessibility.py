"""Mend what a screen reader would stumble over in pages that the tools below us write."""

from collections.abc import Callable
from typing import Any

from bs4 import BeautifulSoup
from sphinx.application import Sphinx

# What is written, and what a checker (axe) asks for instead.
MENDED = {
    # A signature's parameters are set as a definition list without a term.
    "<dl>\n<dd>": '<dl role="presentation">\n<dd>',
    # Code that scrolls sideways must be reached by keyboard before any script has run.
    "<pre>": '<pre tabindex="0">',
    # A list whose entries are no list items.
    'role="doc-biblioentry"': 'role="listitem"',
}
# The arrow that unfolds a part of the menu has no name.
UNNAMED, NAMED = "<summary>", '<summary aria-label="Show or hide the pages below">'


def setup(app: Sphinx) -> dict[str, bool]:
    """Run late, when the theme has put its menu into the page's context."""
    app.add_css_file("accessibility.css")
    app.connect("html-page-context", _mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mend(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    for written, mended in MENDED.items():
        context["body"] = context.get("body", "").replace(written, mended)
    if pagename == "_modules/index":
        context["body"] = _nested(context["body"])
    context["generate_toctree_html"] = _with_names(context["generate_toctree_html"])


def _nested(body: str) -> str:
    """Put a list that stands between the entries of another into the entry before it."""
    page = BeautifulSoup(body, "html.parser")
    for inner in page.select("ul > ul"):
        inner.find_previous_sibling("li").append(inner)
    return str(page)


def _with_names(menu: Callable[..., object]) -> Callable[..., str]:
    return lambda *args, **options: str(menu(*args, **options)).replace(UNNAMED, NAMED)
