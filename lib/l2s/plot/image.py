"""Figures as SVG and PNG that never change, and on the page."""

import io
import re
import sys
from typing import Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from l2s import _page, checks
from l2s.plot.style import STYLE

DPI = 160  # of PNG images: enough for a dense phone screen, small enough for a page


@checks.typed
def svg(figure: Figure) -> str:
    """Write a figure as SVG text: the same bytes in every run with the same matplotlib.

    >>> from l2s.plot import figure
    >>> picture, axes = figure()
    >>> svg(picture) == svg(picture)
    True
    """
    buffer = io.StringIO()
    nothing = {"Creator": None, "Date": None, "Format": None, "Type": None}
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _slim(buffer.getvalue())


@checks.typed
def png(figure: Figure) -> bytes:
    """Write a figure as PNG bytes: the same in every run with the same matplotlib.

    >>> from l2s.plot import figure
    >>> picture, axes = figure()
    >>> png(picture)[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, transparent=True, metadata={"Software": None})
    return buffer.getvalue()


@checks.typed
def show(
    figure: Figure,
    *,
    alt: str,
    name: str,
    caption: str,
    format: Literal["svg", "png"] = "svg",
) -> None:
    """Show a figure in the notebook and on the site, and close it.

    Args:
        figure: The figure.
        alt: What is to be seen, for those who cannot see it: the finding, not the drawing.
        name: Its address on the page is ``fig-NAME``: lower-case letters, digits, hyphens.
        caption: The text below it, with spread and seeds where there are any.
        format: ``"svg"`` for lines, ``"png"`` for images and dense clouds of points.

    Raises:
        ValueError: If ``alt`` or ``caption`` is blank, or ``name`` cannot be an address.

    >>> from l2s.plot import figure
    >>> picture, axes = figure()
    >>> show(picture, alt="", name="empty", caption="Nothing yet.")
    Traceback (most recent call last):
    ValueError: `alt` is '', but must say something. Describe what is to be seen in the figure.
    """
    _page.check_name("name", name)
    _page.check_text("alt", alt, "Describe what is to be seen in the figure.")
    _page.check_text("caption", caption, "Write what the figure shows.")
    picture = _page.image(
        svg(figure) if format == "svg" else png(figure), alt=alt, size=page_size(figure)
    )
    _page.display(_page.framed(picture, kind="l2s-figure", name=name, caption=caption), alt)
    close(figure)


def page_size(figure: Figure) -> tuple[int, int]:
    """Width and height of a figure on a wide page, in pixels."""
    width, height = figure.get_size_inches() * _page.PIXELS_PER_INCH
    return round(width), round(height)


def close(figure: Figure) -> None:
    """Close a figure that pyplot made, so that the notebook does not show it a second time."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)


def _slim(text: str) -> str:
    """Drop comments, indentation, and digits of coordinates that nobody can see."""
    text = re.sub(r"<!--.*?-->|^\s+", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r'\b[dxy]="[^"]*"', _slim_place, text)


def _slim_place(place: re.Match[str]) -> str:
    """One coordinate, or a path of them, to a hundredth of a point."""
    cut = re.sub(r"(\.\d\d)\d+", r"\1", place[0])
    return re.sub(r"\s*\b([A-Zz])\b\s*", r"\1", cut)
