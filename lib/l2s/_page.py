"""What a page needs from code: colours, checked texts, images and one way to display them.

Floor 0, beside ``l2s.plot``, because cards need the colours and must not load matplotlib.
"""

import base64
import html
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Six colours with a contrast of at least 3 to 1 on white and on the dark page's ground (#14181e),
# and a CIE Lab distance of at least 30 between any two under deuteranopia and protanopia.
PALETTE = ("#693cff", "#c38700", "#00a587", "#a54b2d", "#7887ff", "#5a6996")

# The grey that reads equally well on both grounds: no grey has more than 4.22 to 1 on each.
INK = "#777c85"

PIXELS_PER_INCH = 104  # a figure of the default width is 572 pixels wide on a wide page


def check_name(argument: str, value: str) -> None:
    """Raise ``ValueError`` unless ``value`` can serve as an address on a page."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
        raise ValueError(
            f"`{argument}` is {value!r}, but becomes an address on the page. Use lower-case "
            "letters, digits and single hyphens, for example 'batch-size'."
        )


def check_text(argument: str, value: str, remedy: str) -> None:
    """Raise ``ValueError`` where a text that a reader depends on is blank."""
    if not value.strip():
        raise ValueError(f"`{argument}` is {value!r}, but must say something. {remedy}")


def numbers(argument: str, values: Any) -> NDArray[np.float64]:
    """Convert to a float array, or raise ``ValueError`` where there is anything but numbers."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{argument}` is {values!r}, which is no array of numbers ({error}). "
            "Pass numbers, in rows of equal length."
        ) from None
    wrong = int((~np.isfinite(array)).sum())
    if wrong:
        raise ValueError(
            f"`{argument}` holds {wrong} values that are NaN or infinite, out of {array.size}. "
            "Find the run that made them, or leave its point out and say so."
        )
    return array


def image(source: str | bytes, *, alt: str, size: tuple[int, int], extra: str = "") -> str:
    """Write an ``<img>`` with its picture inside: SVG text or PNG bytes.

    Width and height keep the page from jumping when a picture is loaded late. The class is the
    site theme's own mark for a picture that needs no white box on a dark page.
    """
    kind, data = ("png", source) if isinstance(source, bytes) else ("svg+xml", source.encode())
    width, height = size
    return (
        f'<img class="dark-light" alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'style="max-width:100%;height:auto;background:none;padding:0"{extra} loading="lazy" '
        f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
    )


def display(markup: str, text: str, extra: Mapping[str, Any] | None = None) -> None:
    """Show HTML in a notebook, with a plain text beside it; do nothing elsewhere."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return
    if get_ipython() is None:
        return
    from IPython.display import display as show_bundle

    show_bundle({"text/html": markup, "text/plain": text, **(extra or {})}, raw=True)


def framed(inside: str, *, kind: str, name: str, caption: str) -> str:
    """Write a ``<figure>`` with an address and a caption."""
    return (
        f'<figure class="{kind}" id="fig-{name}" style="margin:1em 0">{inside}'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
