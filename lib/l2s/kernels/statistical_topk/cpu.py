"""The operator on a CPU: numba, one pass for the moments and one for the threshold.

A row is cut into chunks of 4096 numbers that stay in the cache, and threads share the chunks: one
long row is as fast as many short ones. A chunk sums its numbers and their squares as differences
from a number of its own, so that a large mean costs no digits, and chunks are joined in float64.
Half precision goes through float32.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2s.kernels import buffers, threads
from l2s.kernels.native import element, loop
from l2s.kernels.precision import widened

MARKS_BAD_ROWS = True
_CHUNK = 4096


def forward(x: Tensor, quantile: float, correction: int, hard: bool) -> tuple[Tensor, Tensor]:
    """Return y of every row, and the rows' states.

    The state is NaN or infinite in rows with a number that is; their results mean nothing.
    """
    wide = widened(x.detach())
    state = _state(wide, quantile, correction)
    result = buffers.take(wide.numel(), like=wide).view(wide.shape)
    arrays = [tensor.numpy() for tensor in (wide, state, result)]
    _share(lambda first, last: _keep(*arrays, hard, first, last), wide)
    return result.to(x.dtype), state


def mask(x: Tensor, quantile: float, correction: int) -> tuple[Tensor, Tensor]:
    """Return which numbers are kept, and the rows' states."""
    wide = widened(x.detach())
    state = _state(wide, quantile, correction)
    result = torch.empty(wide.shape, dtype=torch.bool)
    arrays = [tensor.numpy() for tensor in (wide, state, result)]
    _share(lambda first, last: _mark(*arrays, first, last), wide)
    return result, state


def backward(
    gradient: Tensor, x: Tensor, state: Tensor, quantile: float, correction: int, hard: bool
) -> Tensor:
    """Return the gradient for x: the part that passes, less the pull of the threshold."""
    wide, pulled = widened(x.detach()), widened(gradient.detach())
    result = buffers.take(wide.numel(), like=wide).view(wide.shape)
    arrays = [tensor.numpy() for tensor in (pulled, wide, state, result)]
    if hard:
        _share(lambda first, last: _pass(*arrays, first, last), wide)
        return result.to(x.dtype)
    parts = np.empty((len(wide), _chunks(wide)))
    _share(lambda first, last: _passed(*arrays[:3], parts, first, last), wide)
    slopes = _slopes(state.numpy(), parts.sum(axis=1), quantile, wide.shape[1], correction)
    _share(lambda first, last: _pull(*arrays, slopes, first, last), wide)
    return result.to(x.dtype)


def _slopes(state: Any, pull: Any, quantile: float, columns: int, correction: int) -> Any:
    """What each gradient loses: a constant, and a slope in the distance from the mean."""
    deviation = state[:, 1].astype(np.float64)
    per_deviation = np.divide(
        quantile * pull,
        (columns - correction) * deviation,
        out=np.zeros_like(pull),
        where=deviation > 0,
    )
    return np.stack([pull / columns, per_deviation], axis=1).astype(state.dtype)


def _state(x: Tensor, quantile: float, correction: int) -> Tensor:
    parts = np.empty((len(x), _chunks(x), 3))
    _share(lambda first, last: _moments(x.numpy(), parts, first, last), x)
    state = x.new_empty(len(x), 3)
    _join(parts, quantile, x.shape[1] - correction, state.numpy())
    return state


def _share(work: Any, x: Tensor) -> None:
    threads.in_threads(work, len(x) * _chunks(x), x.numel())


def _chunks(x: Tensor) -> int:
    return -(-x.shape[1] // _CHUNK)


@element
def _place(x, number):
    """The row of a chunk, and where it begins."""
    chunks = -(-x.shape[1] // _CHUNK)
    return number // chunks, number % chunks * _CHUNK


@element
def _moments(x, parts, first, last):
    """The length, the mean and the sum of squared distances from it, of each chunk."""
    for number in range(first, last):
        row, start = _place(x, number)
        part = x[row, start : start + _CHUNK]
        total, squares = _sums(part, part[0])
        mean, spread = part[0] + total / part.size, squares - total * total / part.size
        # Where the first number is far from the others, digits are lost; or squares overflowed.
        if not squares <= 100 * spread:
            mean, spread = _careful(part)
        own = parts[row, start // _CHUNK]
        own[0], own[1], own[2] = part.size, mean, spread


@loop
def _sums(part, shift):
    total = squares = part.dtype.type(0)
    for j in range(part.size):
        gap = _less(part[j], shift)
        total += gap
        squares += gap * gap
    return float(total), float(squares)


@element
def _careful(part):
    total = 0.0
    for j in range(part.size):
        total += part[j]
    mean, spread = total / part.size, 0.0
    for j in range(part.size):
        spread += (part[j] - mean) ** 2
    return mean, spread


@element
def _join(parts, quantile, freedom, state):
    """The mean, the deviation and the threshold of each row, from its chunks."""
    for i in range(len(state)):
        count, mean, spread = 0.0, 0.0, 0.0
        for j in range(parts.shape[1]):
            size, centre, inner = parts[i, j, 0], parts[i, j, 1], parts[i, j, 2]
            gap = centre - mean
            spread += inner + gap * gap * (count * size / (count + size))
            mean += gap * (size / (count + size))
            count += size
        deviation = math.sqrt(spread / freedom)
        state[i, 0], state[i, 1], state[i, 2] = mean, deviation, mean + quantile * deviation


@element
def _keep(x, state, result, hard, first, last):
    for number in range(first, last):
        row, start = _place(x, number)
        part = slice(start, start + _CHUNK)
        if hard:
            _write_hard(x[row, part], result[row, part], state[row, 2])
        else:
            _write_soft(x[row, part], result[row, part], state[row, 2])


@element
def _write_soft(part, out, threshold):
    for j in range(part.size):
        out[j] = max(part[j] - threshold, 0)


@element
def _write_hard(part, out, threshold):
    for j in range(part.size):
        out[j] = part[j] if part[j] > threshold else 0


@element
def _mark(x, state, result, first, last):
    for number in range(first, last):
        row, start = _place(x, number)
        part, out = x[row, start : start + _CHUNK], result[row, start : start + _CHUNK]
        threshold = state[row, 2]
        for j in range(part.size):
            out[j] = part[j] > threshold


@element
def _pass(gradient, x, state, result, first, last):
    for number in range(first, last):
        row, start = _place(x, number)
        part = slice(start, start + _CHUNK)
        _write_passed(gradient[row, part], x[row, part], state[row, 2], result[row, part])


@element
def _write_passed(gradient, part, threshold, out):
    for j in range(part.size):
        out[j] = gradient[j] if part[j] > threshold else 0


@element
def _passed(gradient, x, state, parts, first, last):
    """The sum of the gradient that passes, of each chunk."""
    for number in range(first, last):
        row, start = _place(x, number)
        part = slice(start, start + _CHUNK)
        parts[row, start // _CHUNK] = _sum_passed(gradient[row, part], x[row, part], state[row, 2])


@loop
def _sum_passed(gradient, part, threshold):
    total = part.dtype.type(0)
    for j in range(part.size):
        total += gradient[j] if part[j] > threshold else 0
    return total


@element
def _pull(gradient, x, state, result, slopes, first, last):
    for number in range(first, last):
        row, start = _place(x, number)
        part = slice(start, start + _CHUNK)
        _write_pulled(gradient[row, part], x[row, part], state[row], slopes[row], result[row, part])


@element
def _write_pulled(gradient, part, state, slopes, out):
    mean, threshold = state[0], state[2]
    constant, slope = slopes[0], slopes[1]
    for j in range(part.size):
        passed = gradient[j] if part[j] > threshold else 0
        out[j] = passed - (constant + slope * (part[j] - mean))


@element
def _less(number, shift):
    return number - shift
