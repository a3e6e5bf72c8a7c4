"""Mend two faults of the tools below us, so that a page is quiet and the site is small.

Thebe's loader is written into every page twice, which is a script error, and it points to a foreign
host; the book has no use for it, so it goes. MathJax comes whole (24 MB); what no page can load
goes as well.
"""

import shutil
from pathlib import Path
from typing import Any

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
    """Run after the extensions that need mending."""
    app.connect("html-page-context", _drop_thebe, priority=950)
    app.connect("build-finished", _trim_mathjax, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _drop_thebe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context.get(kind, []) if not _is_thebe(asset)]


def _is_thebe(asset: Any) -> bool:
    body = getattr(asset, "attributes", {}).get("body") or ""
    return "THEBE_JS_URL" in body or "thebe" in str(getattr(asset, "filename", asset) or "")


def _trim_mathjax(app: Sphinx, exception: Exception | None) -> None:
    folder = Path(app.outdir, "_static", "mathjax")
    if exception is not None or not folder.is_dir():
        return
    kept = [folder / name for name in MATHJAX_KEPT]
    for path in sorted(folder.rglob("*"), reverse=True):  # children before their folder
        if any(path == one or one in path.parents or path in one.parents for one in kept):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
