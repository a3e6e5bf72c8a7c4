"""How well points of several series lie on one falling curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from l2s import checks


@dataclass(frozen=True)
class Collapse:
    """How well heights collapse onto one falling curve; see ``collapse``.

    Attributes:
        rank_correlation: Spearman's, -1 where heights fall strictly.
        factor: A typical height is this factor away, up or down, from what the *other* series
            predict for it; 1 is perfect.
        explained: The share of the variance of log heights that the others' curve explains.
    """

    rank_correlation: float
    factor: float
    explained: float


@checks.typed
def collapse(
    losses: Sequence[float] | np.ndarray,
    heights: Sequence[float] | np.ndarray,
    series: Sequence[str] | np.ndarray,
) -> Collapse:
    r"""Measure how well heights are one falling function of the loss, whatever the series.

    The heights of one series are predicted from all others: by the best falling step function of
    log height (isotonic regression), joined by straight lines in log loss. With residuals
    :math:`\delta` of log height over all series the factor is
    :math:`\exp \sqrt{\operatorname{mean} \delta^2}`.

    Args:
        losses: Above 0, shape (points,), at least 4.
        heights: Above 0, shape (points,).
        series: The name of each point's series, shape (points,); at least 2 names.

    Raises:
        ValueError: Too few points or series, lengths that differ, or values that are not positive.

    >>> made = collapse([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], ["a", "b"] * 3)
    >>> made.rank_correlation, made.factor < 1.5
    (-1.0, True)
    """
    x, y, names = np.asarray(losses, float), np.asarray(heights, float), np.asarray(series)
    _check_points(x, y, names)
    log_x, log_y = np.log(x), np.log(y)
    wrong = np.empty_like(log_y)
    for name in np.unique(names):
        own = names == name
        wrong[own] = log_y[own] - _predicted(log_x[~own], log_y[~own], log_x[own])
    return Collapse(
        rank_correlation=float(spearmanr(x, y).statistic),
        factor=math.exp(math.sqrt(float((wrong**2).mean()))),
        explained=1 - float((wrong**2).mean()) / float(log_y.var()),
    )


def _predicted(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The falling curve through these points, read at other places."""
    places, where = np.unique(x, return_inverse=True)
    weights = np.bincount(where).astype(float)
    means = np.bincount(where, y) / weights
    curve = isotonic_regression(means, weights=weights, increasing=False).x
    return np.interp(at, places, curve)


def _check_points(x: np.ndarray, y: np.ndarray, names: np.ndarray) -> None:
    if not (x.ndim == 1 and x.shape == y.shape == names.shape):
        raise ValueError(
            f"`losses`, `heights` and `series` have the shapes {x.shape}, {y.shape} and "
            f"{names.shape}. Pass one of each for every point."
        )
    checks.at_least("len(losses)", len(x), 4, "A curve needs four points or more.")
    checks.at_least("len(set(series))", len(set(names.tolist())), 2, "Name two series or more.")
    for name, array in {"losses": x, "heights": y}.items():
        if not (np.isfinite(array).all() and (array > 0).all()):
            raise ValueError(
                f"`{name}` holds {float(np.min(array))!r}, but must be finite and above 0, because "
                "the curve is fitted to logarithms. Leave such points out."
            )
