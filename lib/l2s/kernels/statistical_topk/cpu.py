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
from l2s.kernels.native import as_array, element, loop
from l2s.kernels.native_team import in_team, parts_of
from l2s.kernels.precision import in_dtype, widened

_CHUNK = 4096


def forward(x: Tensor, quantile: float, correction: int, hard: bool) -> tuple[Tensor, Tensor, bool]:
    """Return y of every row, the rows' states, and whether these are finite.

    They are not where a number is NaN or infinite; the results of such rows mean nothing.
    """
    wide = as_array(widened(x))
    rows, columns = wide.shape
    state, result = np.empty((rows, 3), wide.dtype), buffers.array(wide.shape, wide.dtype)
    limit, freedom = torch.get_num_threads(), columns - correction
    is_finite = _forward(wide, state, result, quantile, freedom, hard, limit)
    return in_dtype(torch.from_numpy(result), x.dtype), torch.from_numpy(state), is_finite


def mask(x: Tensor, quantile: float, correction: int) -> tuple[Tensor, bool]:
    """Return which numbers are kept, and whether the rows' states are finite."""
    wide = as_array(widened(x))
    rows, columns = wide.shape
    state, result = np.empty((rows, 3), wide.dtype), np.empty(wide.shape, np.bool_)
    is_finite = _mask(wide, state, result, quantile, columns - correction, torch.get_num_threads())
    return torch.from_numpy(result), is_finite


def backward(
    gradient: Tensor, x: Tensor, state: Tensor, quantile: float, correction: int, hard: bool
) -> Tensor:
    """Return the gradient for x: the part that passes, less the pull of the threshold."""
    wide, pulled = as_array(widened(x)), as_array(widened(gradient))
    result = buffers.array(wide.shape, wide.dtype)
    given, limit = (pulled, wide, as_array(state)), torch.get_num_threads()
    if hard:
        _pass_all(*given, result, limit)
    else:
        pull = _pulls(*given, limit)
        slopes = _slopes(given[2], pull, quantile, wide.shape[1], correction)
        _pull_all(*given, result, slopes, limit)
    return in_dtype(torch.from_numpy(result), x.dtype)


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
    parts, is_finite = _find_states(x, state, quantile, freedom, limit)
    in_team(_keep, (x, state, result, hard), len(x) * _chunks(x), parts)
    return is_finite


@element
def _mask(x, state, result, quantile, freedom, limit):
    parts, is_finite = _find_states(x, state, quantile, freedom, limit)
    in_team(_mark, (x, state, result), len(x) * _chunks(x), parts)
    return is_finite


@element
def _find_states(x, state, quantile, freedom, limit):
    """Fill in all states; return how many parts the work is worth, and whether they are finite."""
    moments, chunks = np.empty((len(x), _chunks(x), 3)), len(x) * _chunks(x)
    parts = parts_of(chunks, x.size, limit)
    in_team(_moments, (x, moments), chunks, parts)
    return parts, _join(moments, quantile, freedom, state)


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
    """The mean, the deviation and the threshold of each row, from its chunks; are they finite?"""
    are_finite = True
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
        are_finite &= math.isfinite(state[i, 0] + state[i, 1] + state[i, 2])
    return are_finite


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
