"""Lines over seeds, and labels beside them."""

from typing import Any, Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray
from scipy.special import stdtrit

from l2s import _page, checks
from l2s._page import PALETTE
from l2s.plot.style import DASHES, LABEL_SIZE, MARKERS


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
        ValueError: If shapes do not fit, a value is not a finite number, or there is one seed.

    >>> from l2s.plot import figure
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

    >>> from l2s.plot import figure
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
    parent = cast("Figure", axes.get_figure())
    parent.draw_without_rendering()  # settles limits and the height of the axes
    points = 72 / parent.dpi
    box = axes.get_window_extent()
    ends = [_right_end(axes, line) for line in lines]
    step = gap * LABEL_SIZE * 1.2
    wanted = np.array([(y - box.y0) * points for _, y in ends])
    heights = _spaced(wanted, step, box.height * points)
    beside = axes.transAxes + ScaledTranslation(8 / 72, 0, parent.dpi_scale_trans)
    for line, (x, y), height in zip(lines, ends, heights, strict=True):
        moved = abs(height - (y - box.y0) * points) > step / 4
        away = (box.x1 - x) * points > 24
        axes.annotate(
            str(line.get_label()),
            xy=tuple(axes.transAxes.inverted().transform((x, y))),
            xycoords="axes fraction",
            xytext=(1, height / (box.height * points)),
            textcoords=beside,
            color=line.get_color(),
            fontsize=LABEL_SIZE,
            va="center",
            annotation_clip=False,
            arrowprops=_leader(line) if moved or away else None,
        )


def _checked_samples(x: Any, samples: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    positions, values = _page.numbers("x", x), _page.numbers("samples", samples)
    if positions.ndim != 1 or values.ndim != 2 or len(values) != len(positions):
        raise ValueError(
            f"`x` has shape {positions.shape} and `samples` {values.shape}, but (points,) and "
            "(points, seeds) are needed. Transpose samples if its first axis holds the seeds."
        )
    if not positions.size:
        raise ValueError("`x` is empty. Pass at least one point.")
    if values.shape[1] < 2:
        raise ValueError(
            f"`samples` has {values.shape[1]} seeds, and one seed has no spread. "
            "Run at least two, or draw with axes.plot."
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
    return {"color": color, "marker": MARKERS[place], "linestyle": DASHES[place]}


def _leader(line: Line2D) -> dict[str, Any]:
    """A thin line from a label's left edge to the end that it names."""
    return {
        "arrowstyle": "-",
        "alpha": 0.7,
        "color": line.get_color(),
        "linewidth": 0.7,
        "relpos": (0, 0.5),
        "shrinkA": 1,
        "shrinkB": 2,
    }


def _right_end(axes: Axes, line: Line2D) -> tuple[float, float]:
    """The line's rightmost point on the screen, among those within the limits of x if any is."""
    places = line.get_transform().transform(line.get_xydata())
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        raise ValueError(f"The line {line.get_label()!r} has no finite point. Give it data.")
    box = axes.get_window_extent()
    within = places[(places[:, 0] >= box.x0 - 1) & (places[:, 0] <= box.x1 + 1)]
    x, y = max(within if len(within) else places, key=lambda place: place[0])
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
