"""The operator on a CPU: numba, one query of one head at a time, in threads over these.

The predictor's scores of a query are kept in a buffer. Then come the moments, the threshold, a list
of the chosen keys, and one visit to each key and to each value of the list. Half precision has no
type in numba: there the reference runs. A predictor's cache in bfloat16 comes as whole numbers, and
their bits are those of a float32, cut off.
"""

import math

import numpy as np
import torch
from torch import Tensor

from l2s.kernels import native, native_rows
from l2s.kernels.native import as_array, element, loop
from l2s.kernels.native_team import in_team, parts_of
from l2s.kernels.topk_attention import reference
from l2s.kernels.topk_attention.reference import Choice, seen_by


def forward(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    predictor_query: Tensor,
    predictor_keys: Tensor,
    choice: Choice,
) -> tuple[Tensor, bool]:
    """Return the values of the chosen keys, weighed by the softmax of their logits; all finite?"""
    given = (query, keys, values, predictor_query, predictor_keys)
    if query.dtype not in (torch.float32, torch.float64):
        return reference.forward(*given, choice)
    given = (query, keys, values, _bits(predictor_query), _bits(predictor_keys))
    heads, queries, context = len(query), query.shape[1], keys.shape[1]
    seen, above = (np.array(each) for each in seen_by(queries, context, choice))
    arrays = [as_array(tensor) for tensor in given]
    result = np.empty((heads, queries, values.shape[2]), arrays[0].dtype)
    options = (
        choice.width,
        choice.start,
        choice.top_k,
        choice.threshold,
        choice.scale,
        choice.is_spark,
    )
    rows = heads * queries
    work, limit = rows * context * choice.width, torch.get_num_threads()
    is_finite = _forward((*arrays, seen, above, result, *options), result, rows, work, limit)
    return torch.from_numpy(result), is_finite


def _bits(tensor: Tensor) -> Tensor:
    """Return numbers in bfloat16 as whole numbers, others as they are."""
    return tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor


@element
def _forward(given, result, rows, numbers, limit):
    in_team(_attend, given, rows, parts_of(rows, numbers, limit))
    return math.isfinite(result.sum())


@element
def _attend(
    query,
    keys,
    values,
    predictor_query,
    predictor_keys,
    seen,
    above,
    result,
    width,
    start,
    top_k,
    given_threshold,
    scale,
    is_spark,
    part,
    first,
    last,
):
    queries = query.shape[1]
    scores = np.empty(keys.shape[1], query.dtype)
    logits = np.empty(keys.shape[1], query.dtype)
    places = np.empty(keys.shape[1], np.int64)
    own_query = np.empty(width, query.dtype)
    for number in range(first, last):
        head, place = number // queries, number % queries
        count = seen[place]
        own = scores[:count]
        for i in range(width):
            own_query[i] = native.as_float(predictor_query[head, place, i])
        _predict(own_query, predictor_keys[head], own)
        largest = native.ends(own)[1]
        mean = _sum(own) / count
        exact, is_whole = given_threshold, False
        if top_k:
            is_whole = count <= top_k
            deviation = math.sqrt(_squares(own, mean) / max(count - 1, 1))
            exact = 0.0 if is_whole else mean + above[place] * deviation
        threshold = query.dtype.type(exact)
        out = result[head, place]
        if not math.isfinite(mean):  # NaN would choose nothing: it must be heard of
            out[:] = np.nan
            continue
        chosen = places[: _gather(own, threshold, largest, is_whole, places)]
        weights = logits[: chosen.size]
        native_rows.dots(keys[head], chosen, start, query[head, place, start:], weights)
        _weigh(own, chosen, threshold, scale, is_spark, weights)
        out[:] = 0
        native_rows.add_rows(values[head], chosen, weights, out)


@element
def _gather(scores, threshold, largest, is_whole, places):
    """List the keys that are chosen, and return how many there are."""
    count = 0
    if is_whole:
        for j in range(scores.size):
            places[j] = j
        return scores.size
    # Each place is written, and counts if it is to stay: that takes no guess at what comes next.
    if largest > threshold:
        for j in range(scores.size):
            places[count] = j
            count += scores[j] > threshold
    else:
        for j in range(scores.size):
            places[count] = j
            count += scores[j] == largest
    return count


@element
def _weigh(scores, chosen, threshold, scale, is_spark, weights):
    """From products to the softmax of the logits, in place."""
    top = -np.inf
    for n in range(chosen.size):
        logit = scale * weights[n]
        if is_spark:
            logit = (scores[chosen[n]] - threshold) * native.softplus(logit)
        weights[n] = logit
        top = max(top, weights[n])
    total = 0.0
    for n in range(chosen.size):
        weights[n] = math.exp(weights[n] - top)
        total += weights[n]
    for n in range(chosen.size):
        weights[n] /= total


@loop
def _predict(query, keys, scores):
    # Four places of the context at a time: one stream would wait for the memory, four share it.
    width, quarter = query.size, scores.size // 4
    kind = scores.dtype.type
    for j in range(quarter):
        one, two = keys[j, :width], keys[j + quarter, :width]
        three, four = keys[j + 2 * quarter, :width], keys[j + 3 * quarter, :width]
        a = b = c = d = kind(0)
        for i in range(width):
            a += query[i] * native.as_float(one[i])
            b += query[i] * native.as_float(two[i])
            c += query[i] * native.as_float(three[i])
            d += query[i] * native.as_float(four[i])
        scores[j], scores[j + quarter] = a, b
        scores[j + 2 * quarter], scores[j + 3 * quarter] = c, d
    for j in range(4 * quarter, scores.size):
        e = kind(0)
        for i in range(width):
            e += query[i] * native.as_float(keys[j, i])
        scores[j] = e


@loop
def _sum(scores):
    total = 0.0
    for j in range(scores.size):
        total += scores[j]
    return total


@loop
def _squares(scores, mean):
    total = 0.0
    for j in range(scores.size):
        gap = _less(scores[j], mean)
        total += gap * gap
    return total


@element
def _less(number, other):
    return number - other
