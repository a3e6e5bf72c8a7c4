"""End each chapter with what it ran with, when it last changed, and how to cite it.

The versions are those that ``make refresh`` stored with the outputs on the page. The date is that
of the last commit that changed the notebook. Where git cannot tell, as in a shallow clone or in an
archive without history, nothing is said about it.
"""

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx_last_updated_by_git import update_file_dates

from book.extensions.citing import block, chapter_entry

# In this order, and by the names that their authors use.
NAMES = {
    "python": "Python",
    "torch": "PyTorch",
    "numpy": "NumPy",
    "matplotlib": "Matplotlib",
    "learning-to-select": "l2s",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the lines when a page is written, so that they belong to no section."""
    app.connect("doctree-resolved", _end)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def stored_versions(notebook: Path) -> dict[str, str]:
    """Return the versions that a notebook's stored run names, or nothing."""
    metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
    return metadata.get("l2s", {}).get("versions", {})


def last_changed(path: Path) -> datetime.date | None:
    """Return the day of the last commit that changed a file, in UTC; None where git cannot tell."""
    dates: dict[str, Any] = {path.name: None}
    try:
        update_file_dates(path.parent, set(), dates)
    except (OSError, subprocess.CalledProcessError, AssertionError):
        return None  # no git, no repository, or a history that is not as git should show it
    if dates[path.name] is None:
        return None  # never committed
    timestamp, too_shallow = dates[path.name]
    if too_shallow:
        return None  # the oldest commit at hand only seems to have changed everything
    return datetime.datetime.fromtimestamp(int(timestamp), datetime.UTC).date()


def _end(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if not docname.startswith("chapters/"):
        return
    path = Path(app.env.doc2path(docname))
    sentences = [_ran_with(stored_versions(path)), _changed(last_changed(path))]
    end = nodes.container(classes=["l2s-colophon"])
    end += nodes.paragraph("", " ".join(filter(None, sentences)))
    end += nodes.raw("", "<details><summary>Cite this chapter</summary>", format="html")
    end += block(chapter_entry(app, docname))
    end += nodes.raw("", "</details>", format="html")
    doctree[0] += end


def _ran_with(versions: dict[str, str]) -> str:
    known = [f"{name} {versions[key]}" for key, name in NAMES.items() if key in versions]
    others = [f"{key} {value}" for key, value in versions.items() if key not in NAMES]
    return f"The outputs on this page were made with {', '.join(known + others)}." * bool(versions)


def _changed(day: datetime.date | None) -> str:
    return f"The chapter last changed on {day.day} {day:%B %Y}." if day else ""
