r"""The definition of the operator, in plain PyTorch.

The *state* of a row, shape (rows, 3), is all that the backward pass needs beside the numbers: their
mean, their standard deviation and the threshold. Half precision is computed in float32, and sums
are taken in float64.
"""

import math

import torch
from torch import Tensor

from l2s import checks
from l2s.kernels.precision import in_dtype, wide, widened


def forward(x: Tensor, quantile: float, correction: int, hard: bool) -> tuple[Tensor, Tensor, bool]:
    """Return y of every row, the rows' states, and whether these are finite.

    They are not where a number is NaN or infinite; the results of such rows mean nothing.
    """
    state, numbers = _state(x, quantile, correction), widened(x)
    threshold = state[:, 2:]
    result = torch.where(numbers > threshold, numbers, 0) if hard else (numbers - threshold).relu()
    return in_dtype(result, x.dtype), state, checks.sum_is_finite(state)


def mask(x: Tensor, quantile: float, correction: int) -> tuple[Tensor, bool]:
    """Return which numbers are kept, and whether the rows' states are finite."""
    state = _state(x, quantile, correction)
    return widened(x) > state[:, 2:], checks.sum_is_finite(state)


def backward(
    gradient: Tensor, x: Tensor, state: Tensor, quantile: float, correction: int, hard: bool
) -> Tensor:
    """Return the gradient for x: the part that passes, less the pull of the threshold."""
    numbers, columns = widened(x), x.shape[1]
    mean, deviation, threshold = (state[:, i : i + 1] for i in range(3))
    passed = torch.where(numbers > threshold, gradient.to(numbers.dtype), 0)
    if hard:
        return passed.to(x.dtype)
    pull = passed.sum(dim=1, keepdim=True, dtype=torch.float64).to(numbers.dtype)
    per_deviation = torch.where(deviation > 0, quantile / ((columns - correction) * deviation), 0)
    return (passed - pull * (1 / columns + per_deviation * (numbers - mean))).to(x.dtype)


def _state(x: Tensor, quantile: float, correction: int) -> Tensor:
    exact = x.double()
    lowest, highest = exact.amin(dim=1, keepdim=True), exact.amax(dim=1, keepdim=True)
    # The mean of equal numbers may be rounded to another one: it lies between the ends.
    mean = exact.mean(dim=1, keepdim=True).clamp(lowest, highest)
    distance = torch.linalg.vector_norm(exact - mean, dim=1, keepdim=True)
    deviation = distance / math.sqrt(x.shape[1] - correction)
    state = torch.cat([mean, deviation, mean + quantile * deviation], dim=1)
    return in_dtype(state, wide(x.dtype))
