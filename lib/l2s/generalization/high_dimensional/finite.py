"""Given inputs instead of infinitely many: exact errors, and the weights at any time."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.generalization.high_dimensional import arguments
from l2s.generalization.high_dimensional.averages import gone_after


@checks.typed
def finite_generalization_error(
    inputs: Float[Tensor, "samples parameters"],
    time: float | Float[Tensor, " times"],
    *,
    signal: float = 1.0,
    noise: float,
    init: float = 0.0,
    step_size: float | None = None,
) -> Float[Tensor, "..."]:
    r"""``generalization_error`` for given inputs: the average over teachers, noise and starts.

    .. math:: E_g(t) = \sigma_\epsilon^2 + \frac1N \sum_{i=1}^N \Big[(\bar\sigma^2 + \sigma_0^2)\,
        d_i^2 + \frac{\sigma_\epsilon^2}{\lambda_i} (1 - d_i)^2\Big], \qquad d_i = e^{-\lambda_i t}

    with the eigenvalues of :math:`X^\top X`, zeros included; fresh inputs have variance 1/N.

    Args:
        inputs: X, shape (samples, parameters), entries of variance 1/N.
        time: t, at least 0; ``math.inf`` is the end of training.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.
        step_size: η, below 2 / λ_max; the times are then multiples of it. None is gradient flow.

    Returns:
        The error at each time, of time's shape.

    Raises:
        ValueError: If a number is out of its range, a step size is unstable, or the inputs have
            another scale.

    >>> inputs = torch.eye(4)[:2] * 1.0  # two of four directions have data, λ = 1
    >>> finite_generalization_error(inputs, torch.tensor([0.0, math.inf]), noise=0.2)
    tensor([1.2000, 0.8000], dtype=torch.float64)
    >>> finite_generalization_error(10 * inputs, 1.0, noise=0.2)
    Traceback (most recent call last):
    ValueError: `inputs` has rows of mean squared length 100, but entries of variance 1/N make it...
    """
    values = _scaled_eigenvalues(inputs)
    arguments.variances(signal=signal, noise=noise, init=init)
    gone = _gone(values, arguments.times(time), step_size)
    parameters = inputs.shape[1]
    learned = values > 0
    fitting = (gone[:, learned].square() / values[learned]).sum(1)
    left = (1 - gone).square().sum(1) + parameters - len(values)
    table = noise + ((signal + init) * left + noise * fitting) / parameters
    return arguments.shaped(table, time)


@checks.typed
def finite_training_error(
    inputs: Float[Tensor, "samples parameters"],
    time: float | Float[Tensor, " times"],
    *,
    signal: float = 1.0,
    noise: float,
    init: float = 0.0,
    step_size: float | None = None,
) -> Float[Tensor, "..."]:
    r"""``training_error`` for given inputs: the average over teachers, noise and starts.

    .. math:: E_t(t) = \frac1P \Big[\sum_{\lambda_i > 0} d_i^2 \big(\lambda_i (\bar\sigma^2 +
        \sigma_0^2) + \sigma_\epsilon^2\big) + (P - \operatorname{rank} X)\,\sigma_\epsilon^2\Big]

    Args:
        inputs: X, shape (samples, parameters), entries of variance 1/N.
        time: t, at least 0; ``math.inf`` is the end of training.
        signal: σ̄², variance of a teacher's weight, at least 0.
        noise: σ_ε², variance of the noise on a target, at least 0.
        init: σ₀², variance of an initial weight, at least 0.
        step_size: η, below 2 / λ_max; the times are then multiples of it. None is gradient flow.

    Returns:
        The error at each time, of time's shape.

    Raises:
        ValueError: As ``finite_generalization_error``.

    >>> finite_training_error(torch.eye(2), torch.tensor([0.0, math.inf]), noise=0.2)
    tensor([1.2000, 0.0000], dtype=torch.float64)
    """
    values = _scaled_eigenvalues(inputs)
    arguments.variances(signal=signal, noise=noise, init=init)
    gone = _gone(values, arguments.times(time), step_size)
    learned = values > 0
    left = (1 - gone[:, learned]).square() * (values[learned] * (signal + init) + noise)
    samples = len(inputs)
    table = (left.sum(1) + noise * (samples - int(learned.sum()))) / samples
    return arguments.shaped(table, time)


@checks.typed
def gradient_flow(
    inputs: Float[Tensor, "samples parameters"],
    targets: Float[Tensor, " samples"],
    time: float | Float[Tensor, " times"],
    *,
    start: Float[Tensor, " parameters"] | None = None,
    step_size: float | None = None,
) -> Float[Tensor, "times parameters"] | Float[Tensor, " parameters"]:
    r"""Weights of a linear student at any times, by one singular value decomposition.

    Descends :math:`\frac12 \lVert y - Xw \rVert^2`. With :math:`X = U S V^\top` and λ = s²,

    .. math:: w(t) = w_0 + V\, \frac{1 - d}{\lambda}\, \big(S U^\top y - \lambda V^\top w_0\big)

    Args:
        inputs: X, shape (samples, parameters), of any scale.
        targets: y, shape (samples,).
        time: t, at least 0; ``math.inf`` is the end of training.
        start: w_0, shape (parameters,); zeros if left out.
        step_size: η, below 2 / λ_max; the times are then multiples of it. None is gradient flow.

    Returns:
        The weights, float64: one row a time, or a vector for a plain number.

    Raises:
        ValueError: If shapes do not fit, a value is NaN, or a step size is unstable.

    >>> inputs, targets = torch.tensor([[1.0, 0.0]]), torch.tensor([2.0])
    >>> gradient_flow(inputs, targets, torch.tensor([0.0, 0.6931, math.inf]))
    tensor([[0.0000, 0.0000],
            [1.0000, 0.0000],
            [2.0000, 0.0000]], dtype=torch.float64)
    >>> gradient_flow(inputs, targets, math.inf, start=torch.tensor([5.0, 7.0]))  # 7 is frozen
    tensor([2., 7.], dtype=torch.float64)
    """
    checks.finite("inputs", inputs)
    checks.finite("targets", targets)
    first = torch.zeros(inputs.shape[1], dtype=torch.float64)
    if start is not None:
        checks.finite("start", start)
        first = start.double()
    left, singular, right = torch.linalg.svd(inputs.double(), full_matrices=False)
    singular = _without_rounding(singular, inputs.shape)
    gone = _gone(singular**2, arguments.times(time), step_size)
    aim = torch.where(singular > 0, left.T @ targets.double() / singular, 0.0)
    weights = first + (gone * (aim - right @ first)) @ right
    return weights.reshape(-1) if not isinstance(time, Tensor) or not time.ndim else weights


def _scaled_eigenvalues(inputs: Tensor) -> Tensor:
    """Return the eigenvalues of X^T X that may be positive; refuse inputs of another scale."""
    checks.finite("inputs", inputs)
    samples, parameters = inputs.shape
    checks.at_least("len(inputs)", samples, 1, "Pass one sample or more.")
    checks.at_least("inputs.shape[1]", parameters, 1, "Pass inputs with one weight or more.")
    length = float(inputs.double().square().sum() / samples)
    tolerance = 0.5 + 6 * math.sqrt(2 / (samples * parameters))
    if abs(length - 1) > tolerance:
        scale = f"Divide by sqrt(N) = {math.sqrt(parameters):.4g} where they are standardised"
        raise ValueError(
            f"`inputs` has rows of mean squared length {length:.4g}, but entries of variance 1/N "
            f"make it about 1. {scale}, and convert times with theory_time."
        )
    singular = torch.linalg.svdvals(inputs.double())
    return _without_rounding(singular, inputs.shape) ** 2


def _without_rounding(singular: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Set singular values to 0 that are only the rounding of larger ones."""
    smallest = float(singular.max()) * max(shape) * torch.finfo(torch.float64).eps
    return torch.where(singular > smallest, singular, 0.0)


def _gone(values: Tensor, time: Tensor, step_size: float | None) -> Tensor:
    """Return the part of each mode that is learned, shape (times, modes)."""
    if step_size is None:
        gone = -torch.expm1(-values * time[:, None])
    else:
        steps = arguments.steps(time, step_size, float(values.max()))
        gone = gone_after(values, step_size, steps[:, None])
    at_the_end = (values > 0).double().expand_as(gone)
    gone = torch.where(torch.isinf(time)[:, None], at_the_end, gone)
    return torch.where(values > 0, gone, 0.0)
