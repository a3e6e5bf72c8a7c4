"""The operator on a CPU: numba, one query of one head at a time, in threads over these.

The predictor's scores of a query are kept in a buffer. Then the moments, the threshold, and one
visit to each chosen key: its score, and its value into a running softmax. Half precision has no
type in numba: there the reference runs.
"""

import math

import numpy as np
import torch
from torch import Tensor

from l2s.kernels import native
from l2s.kernels.native import element, loop
from l2s.kernels.topk_attention import reference
from l2s.kernels.topk_attention.reference import Choice, quantiles


def forward(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    predictor_query: Tensor,
    predictor_keys: Tensor,
    choice: Choice,
) -> Tensor:
    """Return the values of the chosen keys, weighed by the softmax of their logits."""
    given = (query, keys, values, predictor_query, predictor_keys)
    if query.dtype not in (torch.float32, torch.float64):
        return reference.forward(*given, choice)
    heads, queries, context = len(query), query.shape[1], keys.shape[1]
    seen = torch.full((queries,), context)
    if choice.is_causal:
        seen = torch.arange(context - queries, context) + 1
    above = quantiles(seen, choice.top_k) if choice.top_k else torch.zeros(queries)
    result = query.new_empty(heads, queries, values.shape[2])
    arrays = [tensor.numpy() for tensor in (*given, seen, above.double(), result)]
    options = (
        choice.width,
        choice.start,
        choice.top_k,
        choice.threshold,
        choice.scale,
        choice.is_spark,
    )
    native.in_threads(
        lambda first, last: _attend(*arrays, *options, first, last),
        heads * queries,
        heads * queries * context * choice.width,
    )
    return result


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
    first,
    last,
):
    queries = query.shape[1]
    scores = np.empty(keys.shape[1], query.dtype)
    for number in range(first, last):
        head, place = number // queries, number % queries
        count = seen[place]
        own = scores[:count]
        _predict(predictor_query[head, place, :width], predictor_keys[head], own)
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
        out[:] = 0
        top, total = -np.inf, 0.0
        for j in range(count):
            if not (is_whole or own[j] > threshold or own[j] == largest):
                continue
            logit = scale * _dot(query[head, place, start:], keys[head, j, start:])
            if is_spark:
                logit = (own[j] - threshold) * _softplus(logit)
            if logit > top:
                _shrink(out, query.dtype.type(math.exp(top - logit)))
                total *= math.exp(top - logit)
                top = logit
            share = math.exp(logit - top)
            total += share
            _add(values[head, j], query.dtype.type(share), out)
        _shrink(out, query.dtype.type(1 / total))


@element
def _predict(query, keys, scores):
    for j in range(scores.size):
        scores[j] = _dot(query, keys[j, : query.size])


@loop
def _dot(left, right):
    total = left.dtype.type(0)
    for j in range(left.size):
        total += left[j] * right[j]
    return total


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
def _shrink(out, factor):
    for j in range(out.size):
        out[j] *= factor


@element
def _add(value, share, out):
    for j in range(out.size):
        out[j] += share * value[j]


@element
def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@element
def _less(number, other):
    return number - other
