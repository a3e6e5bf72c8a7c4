"""Mend faults of the tools below us, so that a page is quiet and light.

Thebe's loader is written into every page twice, which is a script error, and points to foreign
hosts; the book has no use for it. The theme draws its icons twice, from a font and from a script of
1.5 MB; the font stays. MathJax comes whole (24 MB); what no page loads goes. The theme has each
page fetch the index of the search, for results while one types, which are off. The search fetches
the pages that it has found to quote them, which a browser forbids where the site is read from a
folder.
"""

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# The parts of MathJax that a page needs. The usual bundle is 0.4 MB larger by a menu, which also
# makes each formula a stop of the Tab key. Readers of MathML (screen readers) get it in any case.
MATHJAX_PARTS = ("input/tex", "output/chtml", "a11y/assistive-mml")
MATHJAX_KEPT = (
    "core.js",
    "startup.js",
    *(f"{part}.js" for part in MATHJAX_PARTS),
    "input/tex/extensions",  # rare TeX packages, fetched on demand
    "output/chtml/fonts",
)
ICON_SCRIPT = re.compile(rb"<script defer src=[^>]*fontawesome\.js[^>]*></script>")
SEARCH_SCRIPTS = re.compile(
    rb"<script src=[^>]*(?:searchtools|language_data|searchindex)\.js[^>]*></script>\s*"
)

NO_QUOTES = "if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;"
# A display that is wider than the page scrolls, so the keyboard must reach it.
REACH_WIDE_FORMULAS = """
if (window.MathJax) window.MathJax.startup = {pageReady: async () => {
    await MathJax.startup.defaultPageReady();
    for (const one of document.querySelectorAll("mjx-container[display]"))
        if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
}};
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Take Thebe off the events it listens to, and tidy up when all is written."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [
        (name, options) for name, options in app.registry.css_files if "thebe" not in name
    ]
    app.add_js_file(None, body=NO_QUOTES)
    app.add_js_file(None, body=REACH_WIDE_FORMULAS, priority=900)
    app.connect("config-inited", _choose_mathjax, priority=900)
    app.connect("build-finished", _trim_mathjax, priority=950)
    app.connect("build-finished", _drop_scripts, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _choose_mathjax(app: Sphinx, config: Config) -> None:
    config.mathjax_path = "mathjax/startup.js"
    settings = config.mathjax3_config or {}
    config.mathjax3_config = {**settings, "loader": {"load": list(MATHJAX_PARTS)}}


def _trim_mathjax(app: Sphinx, exception: Exception | None) -> None:
    folder = Path(app.outdir, "_static", "mathjax")
    if exception is not None or not folder.is_dir():
        return
    kept = [folder / name for name in MATHJAX_KEPT]
    for path in sorted(folder.rglob("*"), reverse=True):  # children before their folder
        if any(path == one or one in path.parents or path in one.parents for one in kept):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _drop_scripts(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None:
        return
    for path in Path(app.outdir, "_static", "scripts").glob("*.js.map"):
        path.unlink()
    Path(app.outdir, "_static", "scripts", "fontawesome.js").unlink(missing_ok=True)
    for path in Path(app.outdir).rglob("*.html"):
        page = ICON_SCRIPT.sub(b"", path.read_bytes())
        path.write_bytes(page if path.name == "search.html" else SEARCH_SCRIPTS.sub(b"", page))
