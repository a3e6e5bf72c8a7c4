"""Ridge regression on the same problem: what early stopping is compared with."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.generalization.high_dimensional import arguments
from l2s.generalization.high_dimensional.law import mp_stieltjes


class RidgePoint(NamedTuple):
    """The best penalty and its error.

    Attributes:
        penalty: γ.
        error: Mean squared error on a fresh sample, noise included.
    """

    penalty: float
    error: float


@checks.typed
def ridge_error(
    penalty: float | Float[Tensor, "*shape"], ratio: float, *, signal: float = 1.0, noise: float
) -> Float[Tensor, "..."]:
    r"""Error on a fresh sample of ridge regression, in closed form.

    The minimiser of :math:`\lVert y - Xw\rVert^2 + \gamma \lVert w \rVert^2` has

    .. math:: E(\gamma) = \sigma_\epsilon^2 + \int \rho\, \frac{\bar\sigma^2\gamma^2
        + \sigma_\epsilon^2\lambda}{(\lambda + \gamma)^2}\, d\lambda
        = \sigma_\epsilon^2 (1 + m + \gamma m') - \bar\sigma^2\gamma^2 m'

    with the transform m(γ) of ``mp_stieltjes`` and
    :math:`m' = -(m + m^2) / (2 \gamma m + \gamma + \alpha - 1)`.

    Args:
        penalty: γ, above 0.
        ratio: α, samples per weight, above 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.

    Returns:
        The error, noise included, of γ's shape.

    Raises:
        ValueError: If a number is out of its range.

    >>> ridge_error(torch.tensor([0.02, 0.2, 2.0]), 0.5, noise=0.2)
    tensor([0.8741, 0.8217, 0.9669], dtype=torch.float64)
    """
    arguments.variances(signal=signal, noise=noise, init=0)
    gamma = torch.as_tensor(penalty, dtype=torch.float64)
    if not bool((gamma > 0).all()):
        wrong = float(gamma[~(gamma > 0)].reshape(-1)[0])
        raise ValueError(
            f"`penalty` holds {wrong!r}, but must be above 0. Without a penalty the error is that "
            "of training to the end: generalization_error(math.inf, ...)."
        )
    m = mp_stieltjes(gamma, ratio)
    slope = -(m + m**2) / (2 * gamma * m + gamma + ratio - 1)
    return noise * (1 + m + gamma * slope) - signal * gamma**2 * slope


@checks.typed
def optimal_ridge(ratio: float, *, signal: float = 1.0, noise: float) -> RidgePoint:
    r"""Best penalty and its error: no other estimator does better on average.

    .. math:: \gamma^* = \sigma_\epsilon^2 / \bar\sigma^2 = 1 / \mathrm{SNR}, \qquad
        E^* = \sigma_\epsilon^2\,(1 + m(\gamma^*))

    Args:
        ratio: α, samples per weight, above 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.

    Returns:
        The point. Without noise γ is 0 and the error that of the frozen directions,
        (1 - α)_+ σ̄²; without signal γ is infinite and the error the noise.

    Raises:
        ValueError: If a number is out of its range.

    >>> optimal_ridge(0.5, noise=0.2)
    RidgePoint(penalty=0.2, error=0.8216...)
    >>> optimal_ridge(0.25, noise=0.0)
    RidgePoint(penalty=0.0, error=0.75)
    """
    checks.positive("ratio", ratio)
    arguments.variances(signal=signal, noise=noise, init=0)
    if noise == 0:
        return RidgePoint(0.0, signal * max(0.0, 1 - ratio))
    if signal == 0:
        return RidgePoint(math.inf, noise)
    gamma = noise / signal
    if not math.isfinite(gamma):
        return RidgePoint(math.inf, noise)
    return RidgePoint(gamma, noise * (1 + float(mp_stieltjes(gamma, ratio))))


@checks.typed
def ridge_effective_parameters(
    penalty: float | Float[Tensor, "*shape"], ratio: float
) -> Float[Tensor, "..."]:
    r"""Effective number of parameters of ridge regression, as a share of all weights.

    .. math:: \int \rho\, \frac{\lambda}{\lambda + \gamma}\, d\lambda = 1 - \gamma\, m(\gamma)

    Args:
        penalty: γ, at least 0.
        ratio: α, samples per weight, above 0.

    Returns:
        The share, of γ's shape: min(1, α) at γ = 0, and falling.

    Raises:
        ValueError: If a number is out of its range.

    >>> ridge_effective_parameters(torch.tensor([0.0, 0.2, 1e9]), 0.5)
    tensor([5.0000e-01, 3.7830e-01, 5.0000e-10], dtype=torch.float64)
    """
    gamma = torch.as_tensor(penalty, dtype=torch.float64)
    m = mp_stieltjes(gamma, ratio)
    # 1 - γ m cancels for large γ; the quadratic of m gives the same number as α m / (1 + m).
    share = ratio * m / (1 + m)
    return torch.where(torch.isinf(m), min(1.0, ratio), share)
