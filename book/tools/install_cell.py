"""The cell that makes a notebook run where ``l2s`` is missing, such as in Colab."""

from pathlib import Path

from book.tools import layout

_TEXT = """\
import importlib.util

if importlib.util.find_spec("l2s") is None:
    # Adds what is missing, and leaves the torch and numpy that are here alone.
    %pip install -q "learning-to-select @ git+{url}@{reference}"
"""


def install_cell(root: Path = layout.ROOT) -> str:
    """The source of the install cell: the address of _config.yml, at the tag of the version."""
    url, reference = layout.repository(root)
    return _TEXT.format(url=url, reference=reference).rstrip("\n")
