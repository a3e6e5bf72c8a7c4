"""The operator on a CPU: numba, one pass over each row, in threads over the rows.

A row is read in blocks of 1024 scores. A block without positives is summed where it is; another is
copied, with minus infinity in place of its positives. The sum is kept as (largest, sum of
exp(s - largest)) while blocks come in. The backward pass computes the exponentials again, so the
gradient is the only large memory.

l is kept in two parts, the nearest float and the rest: s - l is then exact to the last digit even
where scores are so large that one float would be off by 1e-3.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2s.kernels import buffers, native
from l2s.kernels.native import as_array, element, loop
from l2s.kernels.native_team import in_team, parts_of

MARKS_BAD_ROWS = True
_BLOCK = 1024


def forward(scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return l, the loss of every row, and the rows' states (l in two parts) for ``backward``.

    The state is NaN in rows with a score that is not finite, or with positives that are no proper
    list; their results mean nothing.
    """
    rows = len(scores)
    mass, loss, state = scores.new_empty(rows), scores.new_empty(rows), scores.new_empty(rows, 2)
    arrays = [_array(tensor) for tensor in (scores, positives, mass, loss, state)]
    is_mask = positives.dtype == torch.bool
    _forward((*arrays, is_mask), rows, scores.numel(), torch.get_num_threads())
    return mass, loss, state


def backward(
    for_mass: Tensor, for_loss: Tensor, scores: Tensor, positives: Tensor, state: Tensor
) -> Tensor:
    """Return the gradient for the scores, given those for l and for the loss."""
    result = buffers.take(scores.numel(), like=scores).view(scores.shape)
    tensors = (for_mass.contiguous(), for_loss.contiguous(), scores, positives, state, result)
    arrays = [_array(tensor) for tensor in tensors]
    is_mask = positives.dtype == torch.bool
    _backward((*arrays, is_mask), len(scores), scores.numel(), torch.get_num_threads())
    return result


def _array(tensor: Tensor) -> Any:
    return as_array(tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor)


@element
def _forward(given, rows, numbers, limit):
    in_team(_sum, given, rows, parts_of(rows, numbers, limit))


@element
def _backward(given, rows, numbers, limit):
    in_team(_return, given, rows, parts_of(rows, numbers, limit))


@element
def _sum(scores, positives, mass, loss, state, is_mask, part, first, last):
    columns = scores.shape[1]
    memory = np.empty(max(columns, positives.shape[1]), np.int64)  # touched only where needed
    scratch = np.empty(_BLOCK, scores.dtype)
    for i in range(first, last):
        row = scores[i]
        own = _sorted_positives(positives[i], is_mask, memory)
        if not _is_proper(own, columns):
            state[i] = np.nan
            continue
        largest, rest = _log_mass(row, own, scratch)
        mass[i] = state[i, 0] = largest + rest
        near = float(state[i, 0])
        rest = (largest - near) + rest if math.isfinite(near) else 0.0
        state[i, 1] = rest
        losses = 0.0
        for j in own:
            losses += native.softplus((near - row[j]) + rest)
        loss[i] = losses / max(own.size, 1)


@element
def _return(for_mass, for_loss, scores, positives, state, result, is_mask, part, first, last):
    columns = scores.shape[1]
    memory = np.empty(max(columns, positives.shape[1]), np.int64)
    for i in range(first, last):
        row, out = scores[i], result[i]
        own = _sorted_positives(positives[i], is_mask, memory)
        near, rest = float(state[i, 0]), float(state[i, 1])
        share = for_loss[i] / max(own.size, 1)
        pull = float(for_mass[i])
        for j in own:
            pull += share * _sigmoid((near - row[j]) + rest)
        if own.size < columns:
            for block in range(0, columns, _BLOCK):
                part = slice(block, block + _BLOCK)
                _write(row[part], out[part], state[i, 0], state[i, 1], scores.dtype.type(pull))
        for j in own:
            out[j] = -share * _sigmoid((near - row[j]) + rest)


@element
def _sorted_positives(entries, is_mask, memory):
    """The positive columns of a row in ascending order, as a part of the given memory."""
    count = 0
    if is_mask:
        for block in range(0, entries.size, _BLOCK):
            part = entries[block : block + _BLOCK]
            if _total(part):
                for j in range(part.size):
                    memory[count] = block + j
                    count += 1 if part[j] else 0
        return memory[:count]
    for j in entries:
        if j != -1:
            memory[count] = j
            count += 1
    own = memory[:count]
    own.sort()
    return own


@element
def _is_proper(own, columns):
    for n in range(own.size):
        if not 0 <= own[n] < columns or (n and own[n] == own[n - 1]):
            return False
    return True


@element
def _log_mass(row, own, scratch):
    """The largest s and log sum exp(s - largest) over the columns that are not in ``own``."""
    largest, total = -np.inf, 0.0
    met = 0
    for start in range(0, row.size, _BLOCK):
        part = row[start : start + _BLOCK]
        low, high = native.ends(part)
        if not (math.isfinite(low) and math.isfinite(high)):
            return np.nan, np.nan
        begin = met
        while met < own.size and own[met] < start + part.size:
            met += 1
        if met > begin:
            if met - begin == part.size:
                continue
            scratch[: part.size] = part
            for j in own[begin:met]:
                scratch[j - start] = -np.inf
            part = scratch[: part.size]
            high = native.ends(part)[1]
        mass = float(_sum_exp(part, high))
        if high > largest:
            total *= math.exp(largest - high)
            largest = float(high)
        total += mass * math.exp(high - largest)
    return largest, math.log(total)


@loop
def _sum_exp(part, high):
    total = part.dtype.type(0)
    for j in range(part.size):
        total += native.exp(_less(part[j], high))
    return total


@element
def _write(part, out, near, rest, pull):
    for j in range(part.size):
        out[j] = native.exp((part[j] - near) - rest) * pull


@loop
def _total(part):
    total = 0
    for j in range(part.size):
        total += part[j]
    return total


@element
def _less(score, high):
    return score - high


@element
def _sigmoid(x):
    return (1.0 if x >= 0 else math.exp(x)) / (1 + math.exp(-abs(x)))
