"""The book's figure style: one palette, sizes that read on a phone, and images that never change.

A figure is seen on a white page, on a dark page and on a screen 390 pixels wide, and an image
cannot follow the reader's choice. So the ground is transparent, every colour has enough contrast
on both grounds, lines differ by marker and dash as well as by colour, and two runs write the same
bytes. Nothing here touches matplotlib's global settings or pyplot's list of open figures.
"""

import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray
from scipy.special import stdtrit

from l2s import _page, checks
from l2s._page import INK, PALETTE

__all__ = [
    "INK",
    "PALETTE",
    "figure",
    "label_lines",
    "mean_spread",
    "plain_log",
    "png",
    "show",
    "svg",
]

DPI = 160  # of PNG images: enough for a dense phone screen, small enough for a page

_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1.2)), (0, (8, 2)))

_SHORT = re.compile(r"(\.\d\d)\d+")

# On a phone a point of a figure 5.5 inches wide is 0.9 pixels: 10 points are the least that reads.
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": (
        cycler(color=PALETTE)
        + cycler(marker=_MARKERS)
        + cycler(linestyle=_DASHES)
        + cycler(linewidth=[1.8] * len(PALETTE))
        + cycler(markersize=[4.5] * len(PALETTE))
    ),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so it is the same everywhere
    "font.size": 11,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "grid.linewidth": 0.6,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.color": INK,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",  # letters as outlines look the same on every machine
    "svg.hashsalt": "l2s",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 10,
    "ytick.color": INK,
    "ytick.labelsize": 10,
}


def _in_style(name: str) -> Callable[..., Any]:
    """Matplotlib's method of that name, run in the book's style."""
    method = getattr(Axes, name)

    def styled(self: Axes, *args: Any, **kwargs: Any) -> Any:
        with mpl.rc_context(_STYLE):
            return method(self, *args, **kwargs)

    return styled


class _BookAxes(Axes):
    """Axes whose later texts and legends are in the style too: matplotlib reads it at each call."""

    text = _in_style("text")
    annotate = _in_style("annotate")
    legend = _in_style("legend")

    def imshow(self, *args: Any, **kwargs: Any) -> Any:
        """Matplotlib's ``imshow`` without grid lines across the picture."""
        self.grid(visible=False)
        return super().imshow(*args, **kwargs)


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
        width: Width in inches. Texts read on a phone up to about 6.
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
    with mpl.rc_context(_STYLE):
        made = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(made)
        axes = made.subplots(
            rows, columns, sharex=sharex, sharey=sharey, subplot_kw={"axes_class": _BookAxes}
        )
    return made, axes


@checks.typed
def mean_spread(
    axes: Axes,
    x: Any,
    samples: Any,
    *,
    label: str,
    color: str | None = None,
    spread: Literal["sd", "ci95"] = "sd",
    bars: bool = False,
) -> Line2D:
    r"""Draw the mean over seeds with its spread.

    The half width of the spread is the standard deviation :math:`s` over the seeds, or that of the
    95 % interval of the mean, :math:`t_{0.975, n-1}\, s / \sqrt{n}`.

    Args:
        axes: Where to draw.
        x: Positions, shape (points,).
        samples: Measurements, shape (points, seeds), with at least two seeds.
        label: The name of the line, for ``label_lines``.
        color: A colour; one of ``PALETTE`` also brings its own marker and dash, so that a method
            looks the same in every figure. The next of the palette if left out.
        spread: ``"sd"`` or ``"ci95"``. Say in the caption which, and how many seeds.
        bars: Error bars instead of a band: for a few points that no line should join by area.

    Returns:
        The line of the mean.

    Raises:
        ValueError: If shapes do not fit, a value is not finite, or there is only one seed.

    >>> _, axes = figure()
    >>> line = mean_spread(axes, [1, 2], [[1.0, 3.0], [4.0, 8.0]], label="accuracy")
    >>> line.get_ydata().tolist()
    [2.0, 6.0]
    """
    positions, values = _checked_samples(x, samples)
    mean = values.mean(axis=1)
    half = _half_width(values, spread)
    line: Line2D = axes.plot(positions, mean, label=label, **_look(color))[0]
    shade = line.get_color()
    if bars:
        axes.errorbar(
            positions, mean, yerr=half, fmt="none", ecolor=shade, elinewidth=1.4, capsize=3
        )
    else:
        axes.fill_between(positions, mean - half, mean + half, color=shade, alpha=0.22, linewidth=0)
    return line


@checks.typed
def label_lines(axes: Axes, *, gap: float = 1.15) -> None:
    """Write each line's label beside its right end, in its colour, without overlaps.

    Labels are moved up or down as little as possible (in least squares) until none overlaps, and
    the right margin grows to hold them. Call it last: labels do not follow later changes of limits
    or scales.

    Args:
        axes: Axes with labelled lines.
        gap: Distance between neighbouring labels in line heights, at least 1.

    Raises:
        ValueError: If no line has a label, or there is no room for all.

    >>> _, axes = figure()
    >>> lines = axes.plot([0, 1], [[1.0, 1.0], [2.0, 2.01]], label=["one", "other"])
    >>> label_lines(axes)
    >>> [text.get_text() for text in axes.texts]
    ['one', 'other']
    """
    if not gap >= 1:
        raise ValueError(f"`gap` is {gap}, but labels overlap below 1. Pass at least 1.")
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    if not lines:
        raise ValueError("`axes` has no labelled line. Draw with label=... first.")
    parent = axes.get_figure(root=True)
    assert parent is not None  # axes that can be drawn on belong to a figure
    parent.draw_without_rendering()  # settles limits and the height of the axes
    points = 72 / parent.dpi
    box = axes.get_window_extent()
    ends = [_right_end(axes, line) for line in lines]
    step = gap * _STYLE["legend.fontsize"] * 1.2
    wanted = np.array([(y - box.y0) * points for _, y in ends])
    heights = _spaced(wanted, step, box.height * points)
    for line, (x, y), height in zip(lines, ends, heights, strict=True):
        moved = abs(height - (y - box.y0) * points) > step / 4
        away = (box.x1 - x) * points > 12
        axes.annotate(
            str(line.get_label()),
            xy=tuple(axes.transAxes.inverted().transform((x, y))),
            xycoords="axes fraction",
            xytext=(1 + 8 / (box.width * points), height / (box.height * points)),
            textcoords="axes fraction",
            color=line.get_color(),
            fontsize=_STYLE["legend.fontsize"],
            va="center",
            annotation_clip=False,
            arrowprops=(
                {"arrowstyle": "-", "color": line.get_color(), "linewidth": 0.7, "alpha": 0.7}
                if moved or away
                else None
            ),
        )


@checks.typed
def plain_log(axis: Axis, ticks: Sequence[float]) -> None:
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
    for tick in ticks:
        checks.positive("ticks", tick)
    axis.axes.set(**{"xscale" if axis is axis.axes.xaxis else "yscale": "log"})
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(
        FixedFormatter([np.format_float_positional(tick, trim="-") for tick in ticks])
    )
    axis.set_minor_locator(NullLocator())


@checks.typed
def svg(figure: Figure) -> str:
    """Write a figure as SVG text: the same bytes in every run with the same matplotlib.

    >>> picture, axes = figure()
    >>> svg(picture) == svg(picture)
    True
    """
    buffer = io.StringIO()
    nothing = {"Creator": None, "Date": None, "Format": None, "Type": None}
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return _slim(buffer.getvalue())


@checks.typed
def png(figure: Figure) -> bytes:
    """Write a figure as PNG bytes: the same in every run with the same matplotlib.

    >>> picture, axes = figure()
    >>> png(picture)[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
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


def _checked_samples(x: Any, samples: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    positions, values = np.asarray(x, dtype=float), np.asarray(samples, dtype=float)
    if positions.ndim != 1 or values.ndim != 2 or len(values) != len(positions):
        raise ValueError(
            f"`x` has shape {positions.shape} and `samples` {values.shape}, but (points,) and "
            "(points, seeds) are needed. Transpose samples if its first axis holds the seeds."
        )
    if values.shape[1] < 2:
        raise ValueError(
            f"`samples` has {values.shape[1]} seeds, and one seed has no spread. "
            "Run at least two, or draw with axes.plot."
        )
    for name, array in (("x", positions), ("samples", values)):
        wrong = int((~np.isfinite(array)).sum())
        if wrong:
            raise ValueError(
                f"`{name}` holds {wrong} values that are NaN or infinite. Find the runs that made "
                "them, or leave their points out and say so."
            )
    return positions, values


def _half_width(values: NDArray[np.float64], spread: str) -> NDArray[np.float64]:
    deviation: NDArray[np.float64] = values.std(axis=1, ddof=1)
    if spread == "sd":
        return deviation
    seeds = values.shape[1]
    return deviation * stdtrit(seeds - 1, 0.975) / np.sqrt(seeds)


def _look(color: str | None) -> dict[str, Any]:
    if color is None:
        return {}
    if color not in PALETTE:
        return {"color": color}
    place = PALETTE.index(color)
    return {"color": color, "marker": _MARKERS[place], "linestyle": _DASHES[place]}


def _right_end(axes: Axes, line: Line2D) -> tuple[float, float]:
    """The line's rightmost point on the screen."""
    places = line.get_transform().transform(line.get_xydata())
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        raise ValueError(f"The line {line.get_label()!r} has no finite point. Give it data.")
    x, y = places[places[:, 0].argmax()]
    return float(x), float(y)


def _spaced(wanted: NDArray[np.float64], step: float, room: float) -> NDArray[np.float64]:
    """Move heights as little as possible (least squares) to be ``step`` apart within the room.

    With ``step`` times the rank taken off, "at least a step apart" reads "not decreasing", so the
    answer is an isotonic regression (pooling neighbours that violate the order), then clipped.
    """
    count = len(wanted)
    if (count - 1) * step > room:
        raise ValueError(
            f"{count} labels need {(count - 1) * step:.0f} points, but the axes are {room:.0f} "
            "high. Make the figure higher, or label fewer lines."
        )
    order = np.argsort(wanted, kind="stable")
    pools: list[tuple[float, int]] = []  # mean height and number of labels
    for target in wanted[order] - step * np.arange(count):
        mean, size = float(target), 1
        while pools and pools[-1][0] > mean:
            below, members = pools.pop()
            mean, size = (mean * size + below * members) / (size + members), size + members
        pools.append((mean, size))
    level = np.repeat([mean for mean, _ in pools], [size for _, size in pools])
    placed = np.empty(count)
    placed[order] = np.clip(level, 0, room - (count - 1) * step) + step * np.arange(count)
    return placed


def _slim(text: str) -> str:
    """Drop comments, and the digits of coordinates that nobody can see (of a point's hundredth)."""
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    return re.sub(r'\b[dxy]="[^"]*"', lambda place: _SHORT.sub(r"\1", place[0]), text)
