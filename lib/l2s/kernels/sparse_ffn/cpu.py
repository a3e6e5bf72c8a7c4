"""The operator on a CPU: numba, one visit to each neuron that some token uses.

First a plan turns tokens and their neurons around: for each neuron, the tokens that use it. Then
its key is read once for all of them, and its value once; both stay in the cache between tokens.
Threads share the neurons, and each sums results of its own. Half precision has no type in numba:
there the reference runs.
"""

import math

import numpy as np
import torch
from torch import Tensor

from l2s.kernels import native_rows
from l2s.kernels.native import as_array, element
from l2s.kernels.native_team import in_team, parts_of
from l2s.kernels.sparse_ffn import reference
from l2s.kernels.sparse_ffn.reference import ACTIVATIONS, check_lists

MARKS_BAD_LISTS = True


def forward(
    x: Tensor, keys: Tensor, values: Tensor, active: Tensor, gates: Tensor | None, activation: str
) -> Tensor:
    """Return the sum over the neurons that are active for each token: a mask, or lists."""
    is_mask = active.dtype == torch.bool
    if x.dtype not in (torch.float32, torch.float64):
        check_lists(active, len(keys))
        return reference.forward(x, keys, values, active, gates, activation)
    entries = active.view(torch.uint8) if is_mask else active
    weights = x if gates is None else gates  # where there are no gates, nobody reads them
    arrays = [as_array(tensor) for tensor in (x, keys, values, entries, weights)]
    number = ACTIVATIONS.index(activation)
    result, is_proper = _forward(
        *arrays, is_mask, gates is not None, number, torch.get_num_threads()
    )
    if not is_proper:
        check_lists(active, len(keys))
    return torch.from_numpy(result)


@element
def _forward(x, keys, values, entries, gates, is_mask, is_gated, activation, limit):
    ends = tokens = np.empty(0, np.int64)
    if len(x) == 1:
        used, places, is_proper = _plan_one(entries[0], is_mask, len(keys))
    else:
        ends, tokens, places, is_proper = _plan(entries, is_mask, len(keys))
        used = np.flatnonzero(ends[1:] > ends[:-1])
    if not is_proper:
        used = used[:0]  # nothing is read
    parts = parts_of(used.size, used.size * (keys.shape[1] + values.shape[1]), limit)
    sums = np.zeros((parts, len(x), values.shape[1]), x.dtype)
    given = (x, keys, values, gates, used, ends, tokens, places, is_gated, activation, sums)
    in_team(_add, given, used.size, parts)
    # In the order of the parts, so that the sum does not depend on which thread came first.
    result = sums[0]
    for part in range(1, parts):
        result += sums[part]
    return result, is_proper


@element
def _named(entries, place, is_mask):
    """The neuron that an entry of a token's mask or list stands for; -1 for none."""
    if is_mask:
        return place if entries[place] else -1
    return entries[place]


@element
def _plan_one(entries, is_mask, neurons):
    """For a single token: its neurons, in the order of its list, and their places there."""
    used, places = np.empty(entries.size, np.int64), np.empty(entries.size, np.int64)
    is_seen, count, is_proper = np.zeros(neurons, np.bool_), 0, True
    for place in range(entries.size):
        neuron = _named(entries, place, is_mask)
        if neuron == -1:
            continue
        if not 0 <= neuron < neurons or is_seen[neuron]:
            is_proper = False
            continue
        is_seen[neuron] = True
        used[count], places[count] = neuron, place
        count += 1
    return used[:count], places[:count], is_proper


@element
def _plan(entries, is_mask, neurons):
    """For neuron i its tokens, and their places in the lists: those from ends[i] to ends[i + 1]."""
    ends = np.zeros(neurons + 1, np.int64)
    last_token = np.full(neurons, -1, np.int64)
    is_proper = True
    for token in range(entries.shape[0]):
        for place in range(entries.shape[1]):
            neuron = _named(entries[token], place, is_mask)
            if neuron == -1:
                continue
            if not 0 <= neuron < neurons or last_token[neuron] == token:
                is_proper = False
                continue
            last_token[neuron] = token
            ends[neuron + 1] += 1
    for neuron in range(neurons):
        ends[neuron + 1] += ends[neuron]
    tokens, places = np.empty(ends[-1], np.int64), np.empty(ends[-1], np.int64)
    if is_proper:
        filled = ends[:-1].copy()
        for token in range(entries.shape[0]):
            for place in range(entries.shape[1]):
                neuron = _named(entries[token], place, is_mask)
                if neuron == -1:
                    continue
                tokens[filled[neuron]], places[filled[neuron]] = token, place
                filled[neuron] += 1
    return ends, tokens, places, is_proper


@element
def _add(
    x,
    keys,
    values,
    gates,
    used,
    ends,
    tokens,
    places,
    is_gated,
    activation,
    sums,
    part,
    first,
    last,
):
    """Add what some neurons give, to a sum of this part's own."""
    result = sums[part]
    if len(x) == 1:
        own = slice(first, last)
        _add_to_one(
            x[0], keys, values, gates[0], used[own], places[own], is_gated, activation, result
        )
        return
    for number in range(first, last):
        neuron = used[number]
        for entry in range(ends[neuron], ends[neuron + 1]):
            token = tokens[entry]
            hidden = _activated(native_rows.dot(keys[neuron], x[token]), activation)
            if is_gated:
                hidden *= gates[token, places[entry]]
            native_rows.add_row(values[neuron], x.dtype.type(hidden), result[token])


@element
def _add_to_one(x, keys, values, gates, neurons, places, is_gated, activation, result):
    """The same for a single token."""
    hidden = np.empty(neurons.size, x.dtype)
    native_rows.dots(keys, neurons, 0, x, hidden)
    for n in range(neurons.size):
        hidden[n] = _activated(hidden[n], activation)
        if is_gated:
            hidden[n] *= gates[places[n]]
    native_rows.add_rows(values, neurons, hidden, result[0])


@element
def _activated(score, activation):
    if activation == 0:
        return max(score, score * 0)
    if activation == 1:
        return score * 0.5 * (1 + math.erf(score * math.sqrt(0.5)))
    return score
