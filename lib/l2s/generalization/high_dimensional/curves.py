"""Error curves of gradient descent with infinitely many weights and samples."""

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.generalization.high_dimensional import arguments
from l2s.generalization.high_dimensional.averages import Averages, averages


@checks.typed
def generalization_error(
    time: float | Float[Tensor, " times"],
    ratio: float | Float[Tensor, " ratios"],
    *,
    signal: float = 1.0,
    noise: float,
    init: float = 0.0,
    step_size: float | None = None,
) -> Float[Tensor, "..."]:
    r"""Mean squared error on a fresh sample, noise included (advani2020).

    .. math:: E_g(t) = \sigma_\epsilon^2 + \int \rho(\lambda) \Big[(\bar\sigma^2 + \sigma_0^2)\, d^2
        + \sigma_\epsilon^2 \frac{(1 - d)^2}{\lambda}\Big] d\lambda, \qquad d = e^{-\lambda t}

    The atom of ρ at 0 has d = 1 and no noise. With a step size, :math:`d = (1 - \eta\lambda)^k`
    after k steps, exactly. The absolute error of the numbers is below 1e-12 of their scale.

    Args:
        time: t, at least 0 (``math.inf`` is the end of training): η k, see ``theory_time``.
        ratio: α, samples per weight, above 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.
        step_size: η, below 2 / λ_+; the times are then multiples of it. None is gradient flow.

    Returns:
        Every ratio with every time: shape (ratios, times), without the axis of a plain number.
        Infinite where α = 1 and t is infinite, unless there is no noise.

    Raises:
        ValueError: If a number is out of its range, or a step size is unstable (the error names
            the largest stable one).

    >>> generalization_error(0.0, 0.5, noise=0.2)  # signal and noise: nothing is learned yet
    tensor(1.2000, dtype=torch.float64)
    >>> times = torch.tensor([2.0, 100.0, torch.inf])
    >>> generalization_error(times, torch.tensor([0.5, 1.0]), noise=0.2)
    tensor([[0.8295, 0.9000, 0.9000],
            [0.5777, 1.4637,    inf]], dtype=torch.float64)
    >>> generalization_error(2.0, 0.5, noise=0.2, step_size=0.5)  # four steps
    tensor(0.8298, dtype=torch.float64)
    """
    parts = _averages(time, ratio, signal, noise, init, step_size)
    fitting = noise * parts.noise if noise else torch.zeros_like(parts.noise)
    table = noise + (signal + init) * (1 - parts.moved) + fitting
    return arguments.shaped(table, ratio, time)


@checks.typed
def training_error(
    time: float | Float[Tensor, " times"],
    ratio: float | Float[Tensor, " ratios"],
    *,
    signal: float = 1.0,
    noise: float,
    init: float = 0.0,
    step_size: float | None = None,
) -> Float[Tensor, "..."]:
    r"""Mean squared error on the samples that are learned.

    .. math:: E_t(t) = \frac1\alpha \int_{\lambda > 0} \rho(\lambda)\, d^2 \big[\lambda(\bar\sigma^2
        + \sigma_0^2) + \sigma_\epsilon^2\big] d\lambda + (1 - 1/\alpha)_+\, \sigma_\epsilon^2

    Args:
        time: t, at least 0; ``math.inf`` is the end of training.
        ratio: α, samples per weight, above 0.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.
        step_size: η, below 2 / λ_+; the times are then multiples of it. None is gradient flow.

    Returns:
        Every ratio with every time, as ``generalization_error``.

    Raises:
        ValueError: As ``generalization_error``.

    >>> training_error(0.0, 0.5, noise=0.2)
    tensor(1.2000, dtype=torch.float64)
    >>> training_error(torch.inf, torch.tensor([0.5, 2.0]), noise=0.2)  # 0, and half the noise
    tensor([0.0000, 0.1000], dtype=torch.float64)
    """
    parts = _averages(time, ratio, signal, noise, init, step_size)
    column = arguments.ratios(ratio)[:, None]
    unfitted = (column.clamp(max=1) - parts.moved).clamp(min=0)  # rounding may go below
    table = ((signal + init) * parts.left + noise * unfitted) / column
    table = table + noise * (1 - 1 / column).clamp(min=0)
    return arguments.shaped(table, ratio, time)


@checks.typed
def effective_parameters(
    time: float | Float[Tensor, " times"],
    ratio: float | Float[Tensor, " ratios"],
    *,
    step_size: float | None = None,
) -> Float[Tensor, "..."]:
    r"""Effective number of parameters at a time, as a share of all weights.

    .. math:: \frac1N \sum_p \frac{\partial \hat y_p}{\partial y_p}
        = \int \rho(\lambda)\,(1 - d)\, d\lambda

    How far the predictions follow the targets: 0 before training, min(1, α) at its end.

    Args:
        time: t, at least 0; ``math.inf`` is the end of training.
        ratio: α, samples per weight, above 0.
        step_size: η, below 2 / λ_+; the times are then multiples of it. None is gradient flow.

    Returns:
        Every ratio with every time, as ``generalization_error``.

    Raises:
        ValueError: As ``generalization_error``.

    >>> effective_parameters(torch.tensor([0.0, 1.0, torch.inf]), 0.5)
    tensor([0.0000, 0.2737, 0.5000], dtype=torch.float64)
    """
    return arguments.shaped(_averages(time, ratio, 0, 0, 0, step_size).fitted, ratio, time)


def _averages(
    time: float | Tensor,
    ratio: float | Tensor,
    signal: float,
    noise: float,
    init: float,
    step_size: float | None,
) -> Averages:
    arguments.variances(signal=signal, noise=noise, init=init)
    alpha, t = arguments.ratios(ratio), arguments.times(time)
    count = None
    if step_size is not None:
        largest = float((alpha.sqrt() + 1).max()) ** 2
        count = arguments.steps(t, step_size, largest)
    return averages(alpha, t, step_size, count)
