"""Read the house's docstrings as they are meant.

Types stand in signatures, never in docstrings. Napoleon takes the words before a colon in
``Returns:`` for a type, and a plain sentence may hold a colon; so that section is made a field here,
before Napoleon sees it.
"""

from sphinx.application import Sphinx

HEADING = "Returns:"


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before Napoleon, which listens at the default priority of 500."""
    app.connect("autodoc-process-docstring", _returns_as_field, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _returns_as_field(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    if HEADING not in lines:
        return
    start = lines.index(HEADING)
    end = start + 1
    while end < len(lines) and (lines[end].startswith(" ") or not lines[end]):
        end += 1
    lines[start:end] = ["", ":returns:", *lines[start + 1 : end], ""]
