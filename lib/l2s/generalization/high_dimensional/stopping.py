"""When to stop: the best time of one mode, and of all modes together."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from l2s import checks
from l2s.generalization.high_dimensional import arguments
from l2s.generalization.high_dimensional.averages import averages, derivative
from l2s.generalization.high_dimensional.law import mp_edges

_GRID = 33


class StoppingPoint(NamedTuple):
    """The best time to stop, and its error.

    Attributes:
        time: t.
        error: Mean squared error on a fresh sample, noise included.
    """

    time: float
    error: float


@checks.typed
def mode_stopping_time(
    eigenvalue: float | Float[Tensor, "*shape"],
    *,
    signal: float = 1.0,
    noise: float,
    init: float = 0.0,
) -> Float[Tensor, "..."]:
    r"""Best time to stop a mode if each could be stopped by itself.

    .. math:: t_\lambda = \frac1\lambda \log\big(1 + \lambda\, (\mathrm{SNR} + \mathrm{INR})\big)

    Args:
        eigenvalue: λ, at least 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.

    Returns:
        The times, of λ's shape; SNR + INR at λ = 0, and infinite without noise.

    Raises:
        ValueError: If a number is out of its range.

    >>> mode_stopping_time(torch.tensor([0.0, 0.1, 4.0]), noise=0.2)
    tensor([5.0000, 4.0547, 0.7611], dtype=torch.float64)
    """
    arguments.variances(signal=signal, noise=noise, init=init)
    values = torch.as_tensor(eigenvalue, dtype=torch.float64)
    checks.finite("eigenvalue", values)
    if bool((values < 0).any()):
        wrong = float(values[values < 0].reshape(-1)[0])
        raise ValueError(
            f"`eigenvalue` holds {wrong!r}, but X^T X has none below 0. Pass 0 or more."
        )
    size = signal + init
    if size == 0:
        return torch.zeros_like(values)
    ratio = size / noise if noise else math.inf
    if not math.isfinite(ratio):
        return torch.full_like(values, math.inf)
    return torch.where(values > 0, (values * ratio).log1p() / values, ratio)


@checks.typed
def optimal_stopping_time(
    ratio: float, *, signal: float = 1.0, noise: float, init: float = 0.0
) -> StoppingPoint:
    r"""Best time to stop all modes at once, and the error then.

    Every mode of the law wants to stop between :math:`t_{\lambda_+}` and :math:`t_{\lambda_-}`.
    Before both the error falls, after both it rises, so the best time lies between, where

    .. math:: \int \rho\, d\,\big[\sigma_\epsilon^2 (1 - d)
        - \lambda (\bar\sigma^2 + \sigma_0^2)\, d\big]\, d\lambda = 0, \qquad d = e^{-\lambda t}

    Args:
        ratio: α, samples per weight, above 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.

    Returns:
        The point. Without noise there is nothing to fear: the time is infinite. With noise and
        nothing to learn it is 0.

    Raises:
        ValueError: If a number is out of its range.

    >>> optimal_stopping_time(0.5, noise=0.2)
    StoppingPoint(time=2.707..., error=0.8260...)
    >>> optimal_stopping_time(2.0, noise=0.0).time
    inf
    """
    low, high = mp_edges(ratio)
    arguments.variances(signal=signal, noise=noise, init=init)
    edges = torch.tensor([high, low], dtype=torch.float64)
    first, last = mode_stopping_time(edges, signal=signal, noise=noise, init=init).tolist()
    if first == last or math.isinf(last):
        return StoppingPoint(first, _error(first, ratio, signal, noise, init))

    def slope(time: float) -> float:
        return derivative(ratio, time, signal + init, noise)

    grid = torch.logspace(math.log10(first), math.log10(last), _GRID, dtype=torch.float64).tolist()
    rises = [slope(time) > 0 for time in grid]
    # The ends have signs by theory: rounding may hide them there.
    rises[0], rises[-1] = False, True
    turns = [at for at in range(1, _GRID) if rises[at] and not rises[at - 1]]
    found = [_root(slope, grid[at - 1], grid[at]) for at in turns]
    points = [StoppingPoint(time, _error(time, ratio, signal, noise, init)) for time in found]
    return min(points, key=lambda point: point.error)


def _root(slope: Callable[[float], float], left: float, right: float) -> float:
    if slope(left) >= 0 or slope(right) <= 0:  # flat to rounding at an end of the grid
        return left if slope(left) >= 0 else right
    return float(brentq(slope, left, right, xtol=1e-14 * right, rtol=1e-13))


def _error(time: float, ratio: float, signal: float, noise: float, init: float) -> float:
    parts = averages(
        torch.tensor([ratio], dtype=torch.float64),
        torch.tensor([time], dtype=torch.float64),
        None,
        None,
    )
    fitting = noise * float(parts.noise) if noise else 0.0
    return noise + (signal + init) * (1 - float(parts.moved)) + fitting
