"""Residual filters: what a training rule leaves of each mode of a least-squares problem."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.generalization.double_descent.spectrum import Spectrum

_MOST_STEPS = 2**60


@checks.typed
def largest_stable_step(eigenvalues: Float[Tensor, " modes"], *, momentum: float = 0.0) -> float:
    r"""Return the step size above which heavy ball (momentum 0: gradient descent) diverges.

    .. math:: \eta < \frac{2 (1 + \beta)}{\lambda_{\max}}

    Args:
        eigenvalues: Curvatures, above 0, of shape (modes,).
        momentum: beta, from 0 to below 1.

    Raises:
        ValueError: An eigenvalue that is not positive, or a momentum out of its range.

    >>> largest_stable_step(torch.tensor([0.5, 0.1]))
    4.0
    """
    _check_eigenvalues(eigenvalues)
    _check_momentum(momentum)
    return 2 * (1 + momentum) / float(eigenvalues.max())


@checks.typed
def descent_filter(
    eigenvalues: Float[Tensor, " modes"],
    steps: int | Sequence[int],
    *,
    step_size: float,
    momentum: float = 0.0,
) -> Float[Tensor, "settings modes"] | Float[Tensor, " modes"]:
    r"""Return what gradient descent or heavy ball leaves of each mode after some steps.

    .. math:: e_k = (1 - \eta\lambda)^k, \qquad
        e_{k+1} = (1 + \beta - \eta\lambda)\, e_k - \beta\, e_{k-1}
        \quad (e_0 = 1,\ e_1 = 1 - \eta\lambda)

    The recursion is not run: its 2 x 2 matrix is squared again and again, so a million steps cost
    twenty products, and double roots need no case of their own.

    Args:
        eigenvalues: lambda, above 0, of shape (modes,).
        steps: k, at least 0: one number, or several for a row of the result each.
        step_size: eta, above 0 and below ``largest_stable_step``.
        momentum: beta, from 0 to below 1.

    Returns:
        e, float64 of shape (modes,), or (settings, modes) where ``steps`` is a sequence.

    Raises:
        ValueError: A step size at which some mode does not shrink; the error names the largest
            stable one. Or another value out of its range.

    Source: Polyak (1964), key ``polyak1964``, for heavy ball.

    >>> descent_filter(torch.tensor([1.0, 0.5]), 2, step_size=1.0)
    tensor([0.0000, 0.2500], dtype=torch.float64)
    >>> descent_filter(torch.tensor([1.0, 0.5]), [0, 1], step_size=1.0).shape
    torch.Size([2, 2])
    >>> descent_filter(torch.tensor([1.0, 0.5]), 2, step_size=3.0)
    Traceback (most recent call last):
    ValueError: `step_size` is 3.0, but gradient descent is stable only below 2... Pass less.
    """
    _check_step_size(eigenvalues, step_size, momentum)
    several = list(steps) if isinstance(steps, Sequence) else [steps]
    for count in several:
        checks.at_least("steps", count, 0, "Count steps from 0.")
    if not several:
        raise ValueError("`steps` is empty. Pass one number of steps or more.")
    move = step_size * eigenvalues.double()
    rule = _power_of_one if momentum == 0 else _heavy_ball
    rows = [rule(move, count, momentum) for count in several]
    return torch.stack(rows) if isinstance(steps, Sequence) else rows[0]


@checks.typed
def ridge_filter(
    eigenvalues: Float[Tensor, " modes"], penalty: float | Sequence[float]
) -> Float[Tensor, "settings modes"] | Float[Tensor, " modes"]:
    r"""Return what ridge regression leaves of each mode.

    .. math:: e = \frac{\gamma}{\lambda + \gamma}
        \qquad\text{for the loss}\qquad
        \frac{1}{2P} \lVert ZW - Y \rVert^2 + \frac\gamma2 \lVert W \rVert^2

    Args:
        eigenvalues: lambda, above 0, of shape (modes,).
        penalty: gamma, at least 0; 0 is the minimum-norm solution. One number or several.

    Returns:
        e, float64 of shape (modes,), or (settings, modes) where ``penalty`` is a sequence.

    Raises:
        ValueError: A negative penalty, or an eigenvalue that is not positive.

    Source: Hoerl and Kennard (1970), key ``hoerl1970``.

    >>> ridge_filter(torch.tensor([1.0, 0.5]), 0.5)
    tensor([0.3333, 0.5000], dtype=torch.float64)
    >>> ridge_filter(torch.tensor([1.0, 0.5]), [0.0])
    tensor([[0., 0.]], dtype=torch.float64)
    """
    _check_eigenvalues(eigenvalues)
    several = list(penalty) if isinstance(penalty, Sequence) else [penalty]
    for one in several:
        checks.not_negative("penalty", one)
    if not several:
        raise ValueError("`penalty` is empty. Pass one number or more.")
    rows = torch.stack([one / (eigenvalues.double() + one) for one in several])
    return rows if isinstance(penalty, Sequence) else rows[0]


@checks.typed
def steps_to_error(
    spectrum: Spectrum, error: float, *, step_size: float, momentum: float = 0.0
) -> int:
    """Return after how many steps from zero weights the training error is at most ``error``.

    For gradient descent this is the first such step, because the error only falls. With momentum
    the error may swing: then it is a step at which the error comes down to the stated one.

    Args:
        spectrum: The training problem.
        error: The stated training error (mean over samples, summed over outputs), above the floor
            that the features leave.
        step_size: eta, below ``largest_stable_step``.
        momentum: beta, from 0 to below 1.

    Raises:
        ValueError: An error at or below the floor, which no number of steps reaches, or a step
            size that is not stable.

    >>> features, targets = torch.diag(torch.tensor([1.0, 0.1])), torch.ones(2, 1)
    >>> from l2s.generalization.double_descent import decompose
    >>> spectrum = decompose(features, targets)
    >>> steps_to_error(spectrum, 0.3, step_size=2.0)  # the second mode shrinks by 1 % a step
    26
    """
    _check_step_size(spectrum.eigenvalues, step_size, momentum)
    checks.positive("error", error)
    if error <= spectrum.floor:
        raise ValueError(
            f"`error` is {error!r}, but these features leave {spectrum.floor:.6g} whatever the "
            "weights are. Ask for more, or use more features."
        )

    def reached(steps: int) -> bool:
        residual = descent_filter(
            spectrum.eigenvalues, steps, step_size=step_size, momentum=momentum
        )
        return float(spectrum.training_error(residual)) <= error

    return _first(reached)


def _first(reached: Callable[[int], bool]) -> int:
    """Double until it is reached, then halve the bracket."""
    if reached(0):
        return 0
    high = 1
    while not reached(high):
        high *= 2
        if high > _MOST_STEPS:
            raise ValueError(
                f"`error` is not reached in {_MOST_STEPS} steps. Take a larger `step_size`, or "
                "state a larger error."
            )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _power_of_one(move: Tensor, steps: int, momentum: float) -> Tensor:
    """Return (1 - move)^steps; log1p keeps the digits that 1 - move would round away."""
    size = torch.where(move < 1, torch.log1p(-move.clamp(max=1)), (move - 1).clamp(min=0).log())
    magnitude = (steps * size).exp() if steps else torch.ones_like(move)
    return torch.where((move > 1) & (steps % 2 == 1), -magnitude, magnitude)


def _heavy_ball(move: Tensor, steps: int, momentum: float) -> Tensor:
    """Return e_steps: the matrix [[t, -beta], [1, 0]] to a power, applied to (e_1, e_0)."""
    if steps == 0:
        return torch.ones_like(move)
    trace, ones, zeros = 1 + momentum - move, torch.ones_like(move), torch.zeros_like(move)
    square = torch.stack(
        [torch.stack([trace, -momentum * ones], 1), torch.stack([ones, zeros], 1)], 1
    )
    power = torch.eye(2, dtype=torch.float64).expand_as(square)
    left = steps - 1
    while left:
        power = power @ square if left & 1 else power
        square = square @ square
        left >>= 1
    return power[:, 0, 0] * (1 - move) + power[:, 0, 1]


def _check_eigenvalues(eigenvalues: Tensor) -> None:
    checks.at_least("modes", len(eigenvalues), 1, "Pass one eigenvalue or more.")
    checks.finite("eigenvalues", eigenvalues)
    checks.positive("eigenvalues", float(eigenvalues.min()))


def _check_momentum(momentum: float) -> None:
    if not 0 <= momentum < 1:
        raise ValueError(
            f"`momentum` is {momentum!r}, but must be at least 0 and below 1. Pass 0 for plain "
            "gradient descent."
        )


def _check_step_size(eigenvalues: Tensor, step_size: float, momentum: float) -> None:
    checks.positive("step_size", step_size)
    limit = largest_stable_step(eigenvalues, momentum=momentum)
    if not step_size < limit * (1 - 1e-15) or not math.isfinite(limit):
        rule = "heavy ball" if momentum else "gradient descent"
        raise ValueError(
            f"`step_size` is {step_size!r}, but {rule} is stable only below {limit:.10g}, "
            f"{2 * (1 + momentum):g} over the largest eigenvalue. Pass less."
        )
