"""Double descent along three axes: the width, the number of samples, the number of steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from l2s import checks
from l2s.generalization.double_descent.features import random_features
from l2s.generalization.double_descent.filters import descent_filter
from l2s.generalization.double_descent.problems import Regression
from l2s.generalization.double_descent.spectrum import Errors, Spectrum, decompose, evaluate

Filters = Callable[[Spectrum], Tensor]


@dataclass(frozen=True, eq=False)
class Curve:
    """Errors along an axis, for several training rules at once.

    Attributes:
        axis: The widths, samples or steps, shape (points,).
        training: Training errors, float64 of shape (points, settings).
        test: Test errors, float64 of shape (points, settings).
        mistakes: Shares of test rows that are misclassified, float64 of shape (points, settings).
        condition_number: Of the features' non-zero eigenvalues, float64 of shape (points,).
    """

    axis: np.ndarray
    training: np.ndarray
    test: np.ndarray
    mistakes: np.ndarray
    condition_number: np.ndarray


@checks.typed
def model_wise(
    problem: Regression,
    widths: Sequence[int],
    filters: Callable[..., Tensor],
    *,
    activation: str = "relu",
    scale: float = 1.0,
    generator: torch.Generator | None = None,
) -> Curve:
    """Return the errors of random features against the width N.

    One decomposition a width serves all training rules.

    Args:
        problem: Data, such as ``noisy_digits()``.
        widths: Each at least 1; features are drawn anew for each.
        filters: From a ``Spectrum`` to residual filters of shape (settings, modes), such as
            ``lambda s: descent_filter(s.eigenvalues, [10, 100], step_size=1 / s.eigenvalues[0])``.
        activation: As in ``random_features``.
        scale: As in ``random_features``.
        generator: The source of the features; None means PyTorch's default generator.

    >>> from l2s.generalization.double_descent import noisy_digits, ridge_filter
    >>> problem = noisy_digits(50, generator=torch.Generator().manual_seed(0))
    >>> ridge = lambda s: ridge_filter(s.eigenvalues, [0.0, 0.1])
    >>> model_wise(problem, [25, 50, 100], ridge).test.shape
    (3, 2)
    """
    _check_axis("widths", widths)
    made = [
        _solve(problem, len(problem), width, filters, activation, scale, generator)
        for width in widths
    ]
    return _curve(widths, made)


@checks.typed
def sample_wise(
    problem: Regression,
    samples: Sequence[int],
    width: int,
    filters: Callable[..., Tensor],
    *,
    activation: str = "relu",
    scale: float = 1.0,
    generator: torch.Generator | None = None,
) -> Curve:
    """Return the errors against the number of training rows P, at one width.

    The first P rows of the problem are used, all with the same features.

    Args:
        problem: Data with at least max(samples) training rows.
        samples: Each from 2 to the number of training rows.
        width: N, at least 1.
        filters: As in ``model_wise``.
        activation: As in ``random_features``.
        scale: As in ``random_features``.
        generator: The source of the features; None means PyTorch's default generator.

    >>> from l2s.generalization.double_descent import noisy_digits, ridge_filter
    >>> problem = noisy_digits(100, generator=torch.Generator().manual_seed(0))
    >>> ridge = lambda s: ridge_filter(s.eigenvalues, [0.0])
    >>> sample_wise(problem, [25, 50, 100], 50, ridge).test.shape
    (3, 1)
    """
    _check_axis("samples", samples)
    for count in samples:
        checks.in_range("samples", count, 2, len(problem))
    state = None if generator is None else generator.get_state()
    made = []
    for count in samples:
        if generator is not None and state is not None:
            generator.set_state(state)  # the same features for every number of rows
        made.append(_solve(problem, count, width, filters, activation, scale, generator))
    return _curve(samples, made)


@checks.typed
def epoch_wise(
    problem: Regression,
    steps: Sequence[int],
    width: int,
    *,
    relative_step: float = 1.0,
    momentum: float = 0.0,
    activation: str = "relu",
    scale: float = 1.0,
    generator: torch.Generator | None = None,
) -> Curve:
    r"""Return the errors against the number of full-batch steps, at one width.

    Args:
        problem: Data, such as ``noisy_digits()``.
        steps: Each at least 0.
        width: N, at least 1.
        relative_step: c in the step size :math:`\eta = c / \lambda_{\max}`, above 0 and below
            2 (1 + momentum).
        momentum: beta, from 0 to below 1.
        activation: As in ``random_features``.
        scale: As in ``random_features``.
        generator: The source of the features; None means PyTorch's default generator.

    >>> from l2s.generalization.double_descent import noisy_digits, ridge_filter
    >>> problem = noisy_digits(50, generator=torch.Generator().manual_seed(0))
    >>> curve = epoch_wise(problem, [0, 10, 100], 50)
    >>> bool((np.diff(curve.training[:, 0]) < 0).all())
    True
    """
    _check_axis("steps", steps)
    checks.positive("relative_step", relative_step)

    def filters(spectrum: Spectrum) -> Tensor:
        top = float(spectrum.eigenvalues[0])
        return descent_filter(
            spectrum.eigenvalues, list(steps), step_size=relative_step / top, momentum=momentum
        )

    spectrum, errors = _solve(problem, len(problem), width, filters, activation, scale, generator)
    return Curve(
        axis=np.array(steps),
        training=errors.training[:, None].numpy(),
        test=errors.test[:, None].numpy(),
        mistakes=errors.mistakes[:, None].numpy(),
        condition_number=np.full(len(steps), spectrum.condition_number),
    )


def _solve(
    problem: Regression,
    samples: int,
    width: int,
    filters: Filters,
    activation: str,
    scale: float,
    generator: torch.Generator | None,
) -> tuple[Spectrum, Errors]:
    layer = random_features(
        problem.inputs.shape[1], width, activation=activation, scale=scale, generator=generator
    )
    spectrum = decompose(layer(problem.inputs[:samples]), problem.targets[:samples])
    errors = evaluate(spectrum, layer(problem.test_inputs), problem.test_targets, filters(spectrum))
    return spectrum, errors


def _curve(axis: Sequence[int], made: list[tuple[Spectrum, Errors]]) -> Curve:
    def along(name: str) -> np.ndarray:
        stacked: np.ndarray = torch.stack([getattr(errors, name) for _, errors in made]).numpy()
        return stacked

    return Curve(
        axis=np.array(axis),
        training=along("training"),
        test=along("test"),
        mistakes=along("mistakes"),
        condition_number=np.array([spectrum.condition_number for spectrum, _ in made]),
    )


def _check_axis(name: str, values: Sequence[int]) -> None:
    if not values:
        raise ValueError(f"`{name}` is empty. Pass one number or more.")
