"""How far weights travel, and what Rademacher bounds make of it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.generalization.high_dimensional import arguments
from l2s.generalization.high_dimensional.averages import averages

_BEST_PRODUCT = 1.2564312086261697  # where (1 - e^-x)^2 / x is largest


@checks.typed
def travel(
    time: float | Float[Tensor, " times"],
    ratio: float | Float[Tensor, " ratios"],
    *,
    signal: float = 1.0,
    noise: float,
    init: float = 0.0,
) -> Float[Tensor, "..."]:
    r"""Mean squared distance that a weight has travelled from its start.

    .. math:: \frac1N \lVert w(t) - w(0) \rVert^2 = \int_{\lambda > 0} \rho(\lambda)\, (1 - d)^2
        \Big[\bar\sigma^2 + \sigma_0^2 + \frac{\sigma_\epsilon^2}{\lambda}\Big] d\lambda

    Args:
        time: t, at least 0; ``math.inf`` is the end of training.
        ratio: α, samples per weight, above 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.

    Returns:
        Every ratio with every time: shape (ratios, times), without the axis of a plain number.

    Raises:
        ValueError: If a number is out of its range.

    >>> travel(torch.inf, torch.tensor([0.5, 2.0]), noise=0.2)  # .5 + .2 and 1 + .2
    tensor([0.7000, 1.2000], dtype=torch.float64)
    """
    arguments.variances(signal=signal, noise=noise, init=init)
    table = _travel(arguments.ratios(ratio), arguments.times(time), signal + init, noise)
    return arguments.shaped(table, ratio, time)


@checks.typed
def rademacher_bound(
    time: float | Float[Tensor, " times"],
    ratio: float | Float[Tensor, " ratios"],
    *,
    signal: float = 1.0,
    noise: float,
    init: float = 0.0,
    kind: str = "travelled",
) -> Float[Tensor, "..."]:
    r"""Rademacher bound on the gap between mean *absolute* errors on fresh and on training samples.

    Students within distance B of the start have a Rademacher complexity of at most
    :math:`B/\sqrt P`, so the expected gap of a loss with slope 1 is at most
    :math:`2 B / \sqrt P = 2\sqrt{B^2 / (N\alpha)}`. The kinds differ in what they know of B:

    - "naive": all N directions travel as far as any direction may, :math:`B^2/N = (\bar\sigma^2 +
      \sigma_0^2)(1 - d_+)^2 + \sigma_\epsilon^2 \max_\lambda (1 - d)^2 / \lambda`,
    - "frozen": only the share min(1, α) of directions with data travels,
    - "travelled": each of these by what its own eigenvalue allows, :math:`B^2/N` = ``travel``.

    Args:
        time: t, at least 0; ``math.inf`` is the end of training.
        ratio: α, samples per weight, above 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.
        kind: "naive", "frozen" or "travelled".

    Returns:
        Every ratio with every time: shape (ratios, times), without the axis of a plain number.

    Raises:
        ValueError: If a number is out of its range or the kind has another name.

    >>> ratios = torch.tensor([0.001, 0.5, 2.0])
    >>> rademacher_bound(torch.inf, ratios, noise=0.2, kind="naive")
    tensor([69.6642,  5.1625,  2.0812], dtype=torch.float64)
    >>> rademacher_bound(torch.inf, ratios, noise=0.2)
    tensor([2.1911, 2.3664, 1.5492], dtype=torch.float64)
    """
    arguments.variances(signal=signal, noise=noise, init=init)
    checks.one_of("kind", kind, ("naive", "frozen", "travelled"))
    alpha, t = arguments.ratios(ratio), arguments.times(time)
    if kind == "travelled":
        squared = _travel(alpha, t, signal + init, noise)
    else:
        squared = _farthest(alpha, t, signal + init, noise)
        squared = squared * alpha.clamp(max=1)[:, None] if kind == "frozen" else squared
    return arguments.shaped(2 * (squared / alpha[:, None]).sqrt(), ratio, time)


def _travel(ratio: Tensor, time: Tensor, size: float, noise: float) -> Tensor:
    parts = averages(ratio, time, None, None)
    fitting = noise * parts.noise if noise else torch.zeros_like(parts.noise)
    return size * (2 * parts.fitted - parts.moved) + fitting


def _farthest(ratio: Tensor, time: Tensor, size: float, noise: float) -> Tensor:
    """The most that one direction may have travelled, squared; the worst eigenvalue's."""
    root = ratio.sqrt()[:, None]
    low, high = (root - 1) ** 2, (root + 1) ** 2
    gone = -torch.expm1(-high * time)
    # (1 - d)^2 / λ rises up to λ t = 1.256 and falls beyond: its maximum is there, or at an edge.
    worst = (_BEST_PRODUCT / time).clamp(min=low, max=high)
    fitting = torch.expm1(-worst * time).square() / worst
    at_the_end = torch.where(low > 0, 1 / low, math.inf)
    fitting = torch.where(torch.isinf(time), at_the_end, fitting)
    return size * gone.square() + (noise * fitting if noise else 0)
