"""A book of nine parts and thirty-three chapters that do not exist, to try the map on."""

from collections.abc import Sequence
from pathlib import Path

import nbformat.v4
import yaml

SIZES = (6, 2, 6, 6, 4, 4, 1, 3, 1)  # chapters in each part
TITLES = (
    "Short",
    "A title of middling length",
    "Out of distribution: averages, domains, clients and noisy graphs",
)
INDEX = """# The book

```{book-map}
```

```{toctree}
:glob:
:hidden:
chapters/*/*
```
"""
CONFIG = """
extensions = ["myst_nb", "book.extensions.palette", "book.extensions.book_map"]
html_theme, nb_execution_mode, root_doc = "alabaster", "off", "index"
exclude_patterns = ["_build"]
"""


def pages(sizes: Sequence[int] = SIZES) -> list[str]:
    """The chapters' pages in reading order."""
    return [f"chapters/part{p}/c{c}" for p, size in enumerate(sizes, 1) for c in range(1, size + 1)]


def write(root: Path, needs: dict[str, list[str]], sizes: Sequence[int] = SIZES) -> Path:
    """Write the book; ``needs`` gives for a page the pages that it links in its line of facts."""
    parts = [
        {
            "caption": f"Part {place}",
            "numbered": True,
            "chapters": [{"file": page} for page in pages(sizes) if f"/part{place}/" in page],
        }
        for place in range(1, len(sizes) + 1)
    ]
    toc = {"root": "index", "parts": [{"chapters": [{"file": "book/setup"}]}, *parts]}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc), encoding="utf-8")
    (root / "conf.py").write_text(CONFIG, encoding="utf-8")
    (root / "index.md").write_text(INDEX, encoding="utf-8")
    for place, page in enumerate(pages(sizes)):
        path = root / f"{page}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        links = "".join(f", [it](../../{one}.ipynb)" for one in needs.get(page, ()))
        text = f"# {TITLES[place % 3]}\n\nWhy?\n\n*Needs*: algebra{links}. *Reading*: 30 minutes."
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text, id="one")])
        path.write_text(nbformat.v4.writes(notebook), encoding="utf-8")
    return root


def usual_needs() -> dict[str, list[str]]:
    """Each chapter needs the one before it in its part, and some need the very first."""
    needs: dict[str, list[str]] = {}
    for before, page in zip(pages(), pages()[1:], strict=False):
        same = before.rpartition("/")[0] == page.rpartition("/")[0]
        needs[page] = [before] if same else [pages()[0]]
    needs[pages()[20]].append(pages()[3])
    return needs
