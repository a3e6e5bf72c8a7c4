"""What a notebook's stored outputs were made from: hashes that ``make refresh`` writes.

Three hashes, so that a stale notebook can say what has changed: the code cells, the chapter's own
module, and the outputs themselves (so that nothing but a refresh can have written them).
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from book.tools import layout

INSTALL_TAG = "remove-cell"


def hashes(cells: list[dict[str, Any]], name: str, root: Path = layout.ROOT) -> dict[str, str]:
    """The hashes of a chapter's code cells, module and outputs, as they stand now.

    The install cell is left out: it changes with the book's address, and does nothing here.
    """
    code = [cell for cell in cells if cell["cell_type"] == "code" and not is_install(cell)]
    module = [path.read_text(encoding="utf-8") for path in layout.modules(name, root)]
    return {
        "cells": _digest([cell["source"] for cell in code]),
        "module": _digest(module),
        "outputs": _digest([cell["outputs"] for cell in code]),
    }


def is_install(cell: dict[str, Any]) -> bool:
    """Whether a cell is the install cell."""
    return INSTALL_TAG in cell["metadata"].get("tags", [])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
