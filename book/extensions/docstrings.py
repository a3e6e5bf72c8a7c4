"""Read the house's docstrings as they are meant: types stand in signatures, never in docstrings.

Napoleon takes the words before a colon for a type, in ``Returns:`` and below an attribute. A plain
sentence may hold a colon, so these two readings are replaced by ones that find no type.
"""

from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring


def setup(app: Sphinx) -> dict[str, bool]:
    """Replace the two readings. Napoleon offers no setting for them."""
    GoogleDocstring._consume_returns_section = _returns
    GoogleDocstring._consume_inline_attribute = _attribute
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _returns(
    docstring: GoogleDocstring, preprocess_types: bool = False
) -> list[tuple[str, str, list[str]]]:
    lines = docstring._dedent(docstring._consume_to_next_section())
    return [("", "", lines)] if lines else []


def _attribute(docstring: GoogleDocstring) -> tuple[str, list[str]]:
    return "", docstring._dedent(docstring._consume_to_end())
