"""Whether the table of contents and the files agree, both ways."""

import re
from pathlib import Path

from book.tools import layout


def problems(root: Path) -> list[str]:
    """Sentences that say which page is missing where."""
    pages = layout.documents(root)
    found = [f"{page} stands twice in _toc.yml." for page in set(pages) if pages.count(page) > 1]
    found += [
        f"_toc.yml lists {page}, but there is no such page: delete the line."
        for page in pages
        if not any((root / f"{page}{kind}").is_file() for kind in (".md", ".ipynb"))
    ]
    found += [
        f"{page} is not in _toc.yml, so no reader finds it: add a line."
        for page in _pages(root)
        if page not in pages
    ]
    return found + [
        f"_toc.yml lists {page}, which holds solutions: list the copy in exercises/release/."
        for page in pages
        if page.startswith("exercises/source/")
    ]


def missing_floors(root: Path) -> list[str]:
    """Sentences for files that a chapter lacks on its path."""
    found = []
    for name in layout.chapters(root):
        part, slug = name.split("/")
        wanted = [
            layout.modules(name, root)[0],
            root / "tests" / part / f"test_{slug}.py",
            root / "book" / "api" / part / f"{slug}.md",
        ]
        found += [
            f"The chapter {name} has no {path.relative_to(root)}."
            for path in wanted
            if not path.is_file()
        ]
    return found


def _pages(root: Path) -> list[str]:
    """Every file that is meant to be a page: chapters, released exercises, pages of book/."""
    found = [
        *(root / "chapters").glob("*/*.ipynb"),
        *(root / "exercises" / "release").glob("*/*.ipynb"),
        *root.glob("index.md"),
        *(root / "book").glob("*.md"),
        *(root / "book" / "api").rglob("*.md"),
    ]
    names = (path.relative_to(root).with_suffix("").as_posix() for path in found)
    return sorted(name for name in names if not re.search(r"(^|/)[._]", name))
