"""Mend two faults of the tools below us, so that a page is quiet and the site is small.

Thebe's loader is written into every page twice, which is a script error, and points to foreign
hosts; the book has no use for it, so it is switched off. MathJax comes whole (24 MB); what no page
can load goes.
"""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

# tex-chtml.js holds the loader, the TeX input and the HTML output; the rest is fetched on demand:
# fonts, rare TeX packages, the menu, and speech for readers who switch it on there.
MATHJAX_KEPT = (
    "a11y",
    "input/tex/extensions",
    "output/chtml/fonts",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
    "tex-chtml.js",
    "ui",
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Take Thebe off the events it listens to, and tidy up when all is written."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [
        (name, options) for name, options in app.registry.css_files if "thebe" not in name
    ]
    app.connect("build-finished", _trim_mathjax, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _trim_mathjax(app: Sphinx, exception: Exception | None) -> None:
    folder = Path(app.outdir, "_static", "mathjax")
    if exception is not None or not folder.is_dir():
        return
    kept = [folder / name for name in MATHJAX_KEPT]
    for path in sorted(folder.rglob("*"), reverse=True):  # children before their folder
        if any(path == one or one in path.parents or path in one.parents for one in kept):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
