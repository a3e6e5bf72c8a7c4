"""Small books with this one's configuration and extensions, to see what Sphinx makes of them."""

import shutil
from pathlib import Path
from typing import Any

from l2s import _page
from l2s.claims import claim
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book.tools import layout

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def write_frame(
    root: Path,
    toc: str,
    address: str = "https://github.com/Someone/other-book",
    version: str = "0.2.0",  # a release, so that links name its tag
) -> None:
    """Everything but the pages: extensions, tools, style, references, configuration, contents."""
    for name in ("extensions", "static", "tools"):
        shutil.copytree(layout.ROOT / "book" / name, root / "book" / name)
    for name in ("cover.py", "references.bib"):
        shutil.copy(layout.ROOT / "book" / name, root / "book")
    shutil.copy(layout.ROOT / "CITATION.cff", root)
    config = (layout.ROOT / "_config.yml").read_text(encoding="utf-8")
    (root / "_config.yml").write_text(config.replace(layout.repository()[0], address))
    (root / "_toc.yml").write_text(toc)
    (root / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')


def write_notebook(path: Path, opening: str, stored: list[Any]) -> None:
    """A notebook with an opening, and a code cell that left the stored outputs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [new_markdown_cell(opening), new_code_cell("show()", outputs=stored)]
    write(new_notebook(cells=cells, metadata=KERNEL), path)


def claim_output(monkeypatch: Any, id: str, **told: Any) -> Any:
    """What a notebook stores when it makes a claim; all but the id may be left out."""
    shown = []

    def keep(markup: str, text: str, extra: dict[str, Any] | None = None) -> None:
        bundle = {"text/html": markup, "text/plain": text, **(extra or {})}
        shown.append(new_output("display_data", bundle))

    usual = {
        "paper": "yeh2022",
        "statement": "It rises with <x>.",
        "paper_value": "Table 1: 2 points",
        "verdict": "reproduced",
        "setting": "two cores",
    }
    usual |= told
    if usual["verdict"] in ("not reproduced", "out of reach here"):
        usual.setdefault("reason", "It needs a cluster.")
    if usual["verdict"] != "out of reach here":
        usual.setdefault("measured", {"gain": [1.0, 2.0, 3.0, 4.0]})
        usual.setdefault("seeds", [1000, 1001, 1002, 1003])
        usual.setdefault("holds", True)
    with monkeypatch.context() as patch:
        patch.setattr(_page, "display", keep)
        claim(id, **usual)
    return shown[0]
