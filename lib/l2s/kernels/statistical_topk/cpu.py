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

from l2s.kernels import buffers
from l2s.kernels.native import element, loop
from l2s.kernels.native_team import in_team, parts_of
from l2s.kernels.precision import widened

MARKS_BAD_ROWS = True
_CHUNK = 4096


def forward(x: Tensor, quantile: float, correction: int, hard: bool) -> tuple[Tensor, Tensor]:
    """Return y of every row, and the rows' states.

    The state is NaN or infinite in rows with a number that is; their results mean nothing.
    """
    wide = widened(x.detach())
    state = wide.new_empty(len(wide), 3)
    result = buffers.take(wide.numel(), like=wide).view(wide.shape)
    freedom = wide.shape[1] - correction
    arrays = [tensor.numpy() for tensor in (wide, state, result)]
    _forward(*arrays, quantile, freedom, hard, torch.get_num_threads())
    return result.to(x.dtype), state


def mask(x: Tensor, quantile: float, correction: int) -> tuple[Tensor, Tensor]:
    """Return which numbers are kept, and the rows' states."""
    wide = widened(x.detach())
    state = wide.new_empty(len(wide), 3)
    result = torch.empty(wide.shape, dtype=torch.bool)
    freedom = wide.shape[1] - correction
    arrays = [tensor.numpy() for tensor in (wide, state, result)]
    _mask(*arrays, quantile, freedom, torch.get_num_threads())
    return result, state


def backward(
    gradient: Tensor, x: Tensor, state: Tensor, quantile: float, correction: int, hard: bool
) -> Tensor:
    """Return the gradient for x: the part that passes, less the pull of the threshold."""
    wide, pulled = widened(x.detach()), widened(gradient.detach())
    result = buffers.take(wide.numel(), like=wide).view(wide.shape)
    arrays = [tensor.numpy() for tensor in (pulled, wide, state, result)]
    limit = torch.get_num_threads()
    if hard:
        _pass_all(*arrays, limit)
        return result.to(x.dtype)
    pull = _pulls(*arrays[:3], limit)
    slopes = _slopes(arrays[2], pull, quantile, wide.shape[1], correction)
    _pull_all(*arrays, slopes, limit)
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


@element
def _forward(x, state, result, quantile, freedom, hard, limit):
    parts = _find_states(x, state, quantile, freedom, limit)
    in_team(_keep, (x, state, result, hard), len(x) * _chunks(x), parts)


@element
def _mask(x, state, result, quantile, freedom, limit):
    parts = _find_states(x, state, quantile, freedom, limit)
    in_team(_mark, (x, state, result), len(x) * _chunks(x), parts)


@element
def _find_states(x, state, quantile, freedom, limit):
    """Fill in the state of every row; return how many parts the work is worth."""
    moments, chunks = np.empty((len(x), _chunks(x), 3)), len(x) * _chunks(x)
    parts = parts_of(chunks, x.size, limit)
    in_team(_moments, (x, moments), chunks, parts)
    _join(moments, quantile, freedom, state)
    return parts


@element
def _pass_all(gradient, x, state, result, limit):
    chunks = len(x) * _chunks(x)
    in_team(_pass, (gradient, x, state, result), chunks, parts_of(chunks, x.size, limit))


@element
def _pulls(gradient, x, state, limit):
    """How much of the gradient passes in each row."""
    passed, chunks = np.empty((len(x), _chunks(x))), len(x) * _chunks(x)
    in_team(_passed, (gradient, x, state, passed), chunks, parts_of(chunks, x.size, limit))
    return passed.sum(axis=1)


@element
def _pull_all(gradient, x, state, result, slopes, limit):
    chunks = len(x) * _chunks(x)
    given = (gradient, x, state, result, slopes)
    in_team(_pull, given, chunks, parts_of(chunks, x.size, limit))


@element
def _chunks(x):
    """How many chunks a row has."""
    return -(-x.shape[1] // _CHUNK)


@element
def _place(x, number):
    """The row of a chunk, and where it begins."""
    return number // _chunks(x), number % _chunks(x) * _CHUNK


@element
def _moments(x, moments, part, first, last):
    """The length, the mean and the sum of squared distances from it, of each chunk."""
    for number in range(first, last):
        row, start = _place(x, number)
        own = x[row, start : start + _CHUNK]
        total, squares = _sums(own, own[0])
        mean, spread = own[0] + total / own.size, squares - total * total / own.size
        # Where the first number is far from the others, digits are lost; or squares overflowed.
        if not squares <= 100 * spread:
            mean, spread = _careful(own)
        found = moments[row, start // _CHUNK]
        found[0], found[1], found[2] = own.size, mean, spread


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
def _join(moments, quantile, freedom, state):
    """The mean, the deviation and the threshold of each row, from its chunks."""
    for i in range(len(state)):
        count, mean, spread = 0.0, 0.0, 0.0
        for j in range(moments.shape[1]):
            size, centre, inner = moments[i, j, 0], moments[i, j, 1], moments[i, j, 2]
            gap = centre - mean
            spread += inner + gap * gap * (count * size / (count + size))
            mean += gap * (size / (count + size))
            count += size
        deviation = math.sqrt(spread / freedom)
        state[i, 0], state[i, 1], state[i, 2] = mean, deviation, mean + quantile * deviation


@element
def _keep(x, state, result, hard, part, first, last):
    for number in range(last - 1, first - 1, -1):  # what was read last is still in the cache
        row, start = _place(x, number)
        own = slice(start, start + _CHUNK)
        if hard:
            _write_hard(x[row, own], result[row, own], state[row, 2])
        else:
            _write_soft(x[row, own], result[row, own], state[row, 2])


@element
def _write_soft(part, out, threshold):
    for j in range(part.size):
        out[j] = max(part[j] - threshold, 0)


@element
def _write_hard(part, out, threshold):
    for j in range(part.size):
        out[j] = part[j] if part[j] > threshold else 0


@element
def _mark(x, state, result, part, first, last):
    for number in range(first, last):
        row, start = _place(x, number)
        own, out = x[row, start : start + _CHUNK], result[row, start : start + _CHUNK]
        threshold = state[row, 2]
        for j in range(own.size):
            out[j] = own[j] > threshold


@element
def _pass(gradient, x, state, result, part, first, last):
    for number in range(first, last):
        row, start = _place(x, number)
        own = slice(start, start + _CHUNK)
        _write_passed(gradient[row, own], x[row, own], state[row, 2], result[row, own])


@element
def _write_passed(gradient, part, threshold, out):
    for j in range(part.size):
        out[j] = gradient[j] if part[j] > threshold else 0


@element
def _passed(gradient, x, state, sums, part, first, last):
    """The sum of the gradient that passes, of each chunk."""
    for number in range(first, last):
        row, start = _place(x, number)
        own = slice(start, start + _CHUNK)
        sums[row, start // _CHUNK] = _sum_passed(gradient[row, own], x[row, own], state[row, 2])


@loop
def _sum_passed(gradient, part, threshold):
    total = part.dtype.type(0)
    for j in range(part.size):
        total += gradient[j] if part[j] > threshold else 0
    return total


@element
def _pull(gradient, x, state, result, slopes, part, first, last):
    for number in range(first, last):
        row, start = _place(x, number)
        own = slice(start, start + _CHUNK)
        _write_pulled(gradient[row, own], x[row, own], state[row], slopes[row], result[row, own])


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
