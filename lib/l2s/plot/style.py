"""The figure style, and figures that keep to it."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from l2s import _page, checks
from l2s._page import INK, PALETTE

MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1.2)), (0, (8, 2)))

LABEL_SIZE = 10  # points

# On a phone a point of a figure 5.5 inches wide is 0.9 pixels: 10 points are the least that reads.
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": (
        cycler(color=PALETTE)
        + cycler(marker=MARKERS)
        + cycler(linestyle=DASHES)
        + cycler(linewidth=[1.8] * len(PALETTE))
        + cycler(markersize=[4.5] * len(PALETTE))
    ),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 100,  # notebooks set their own, and letters' hinted widths depend on it
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so it is the same everywhere
    "font.size": 11,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "legend.fontsize": LABEL_SIZE,
    "legend.frameon": False,
    "lines.color": INK,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",  # letters as outlines look the same on every machine
    "svg.hashsalt": "l2s",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": LABEL_SIZE,
    "ytick.color": INK,
    "ytick.labelsize": LABEL_SIZE,
}


@checks.typed
def figure(
    rows: int = 1,
    columns: int = 1,
    *,
    height: float | None = None,
    width: float = 5.5,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, Any]:
    """Make a figure in the book's style.

    Args:
        rows: Rows of axes, at least 1. Stack panels rather than setting them side by side: a
            phone is narrow.
        columns: Columns of axes, at least 1.
        height: Height in inches; 3.4 for one row and 2.5 for each of several if left out.
        width: Width in inches. At 5.5 the smallest letters are 9 pixels high on a phone; a wider
            figure is shrunk, and they with it.
        sharex: Whether panels share the x axis.
        sharey: Whether panels share the y axis.

    Returns:
        The figure, and its axes: one for a single panel, else an array of them.

    Raises:
        ValueError: If a count is below 1 or a size is not positive.

    >>> picture, axes = figure()
    >>> line = axes.plot([0, 1], [1, 2], label="loss")
    >>> picture, panels = figure(rows=2, sharex=True)
    >>> panels.shape
    (2,)
    """
    checks.at_least("rows", rows, 1, "A figure needs one panel.")
    checks.at_least("columns", columns, 1, "A figure needs one panel.")
    height = height if height is not None else (3.4 if rows == 1 else 2.5 * rows)
    checks.positive("height", height)
    checks.positive("width", width)
    with mpl.rc_context(STYLE):
        made = _BookFigure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(made)
        axes = made.subplots(
            rows, columns, sharex=sharex, sharey=sharey, subplot_kw={"axes_class": _BookAxes}
        )
    return made, axes


@checks.typed
def plain_log(axis: Axis, ticks: Sequence[Any] | np.ndarray) -> None:
    """Give an axis a logarithmic scale with ticks in plain numbers, such as 0.001, 0.01.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
        ticks: Where to write a number, each above 0.

    Raises:
        ValueError: If a tick is not positive.

    >>> _, axes = figure()
    >>> plain_log(axes.xaxis, [0.00001, 0.1, 4096])
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['0.00001', '0.1', '4096']
    """
    places = _page.numbers("ticks", ticks)
    for place in places.tolist():
        checks.positive("ticks", place)
    axis.axes.set(**{"xscale" if axis is axis.axes.xaxis else "yscale": "log"})
    axis.set_major_locator(FixedLocator(places.tolist()))
    axis.set_major_formatter(
        FixedFormatter([np.format_float_positional(place, trim="-") for place in places])
    )
    axis.set_minor_locator(NullLocator())


def _in_style(method: Any) -> Any:
    """A method of matplotlib, run in the book's style."""

    def styled(*args: Any, **kwargs: Any) -> Any:
        with mpl.rc_context(STYLE):
            return method(*args, **kwargs)

    return styled


class _BookAxes(Axes):
    """Axes that stay in the style: matplotlib reads its settings again at each of these calls."""

    annotate = _in_style(Axes.annotate)
    axhline = _in_style(Axes.axhline)
    axvline = _in_style(Axes.axvline)
    legend = _in_style(Axes.legend)
    set_title = _in_style(Axes.set_title)
    text = _in_style(Axes.text)

    def imshow(self, *args: Any, **kwargs: Any) -> Any:
        """Matplotlib's ``imshow`` without grid lines across the picture."""
        self.grid(visible=False)
        return super().imshow(*args, **kwargs)


class _BookFigure(Figure):
    """A figure that stays in the style."""

    colorbar = _in_style(Figure.colorbar)
    draw_without_rendering = _in_style(Figure.draw_without_rendering)
    legend = _in_style(Figure.legend)
    supxlabel = _in_style(Figure.supxlabel)
    supylabel = _in_style(Figure.supylabel)
    suptitle = _in_style(Figure.suptitle)
    text = _in_style(Figure.text)
