"""The operator on a GPU: Triton, one program for a query of a head.

A first walk over the context finds the moments of the predictor's scores, block by block, and the
largest. A second computes them again, loads the chosen keys and values alone, and keeps a running
softmax: no scores are written to memory.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from l2s import checks
from l2s.kernels.topk_attention.reference import Choice, seen_by
from l2s.kernels.triton_rows import halves

_BLOCK = 32
_WARPS = 8


def forward(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    predictor_query: Tensor,
    predictor_keys: Tensor,
    choice: Choice,
) -> tuple[Tensor, bool]:
    """Return the values of the chosen keys, weighed by the softmax of their logits; all finite?"""
    heads, queries, context = len(query), query.shape[1], keys.shape[1]
    counts, quantiles = seen_by(queries, context, choice)
    seen = torch.tensor(counts, device=query.device)
    above = torch.tensor(quantiles, device=query.device, dtype=torch.float64)
    result = query.new_empty(heads, queries, values.shape[2])
    attend_kernel[(heads * queries,)](
        query,
        keys,
        values,
        predictor_query,
        predictor_keys,
        seen,
        above,
        result,
        queries,
        context,
        choice.top_k,
        *halves(choice.threshold),
        *halves(choice.scale),
        num_warps=_WARPS,
        **constants(query, values, predictor_query, choice),
    )
    return result, checks.sum_is_finite(result)


def constants(
    query: Tensor, values: Tensor, predictor_query: Tensor, choice: Choice
) -> dict[str, Any]:
    """What the kernel is compiled for."""
    return {
        "DIM": query.shape[2],
        "OUTPUTS": values.shape[2],
        "PART": predictor_query.shape[2],
        "WIDTH": choice.width,
        "START": choice.start,
        "IS_TOP_K": choice.top_k > 0,
        "IS_SPARK": choice.is_spark,
        "BLOCK": _BLOCK,
        "DIM_BLOCK": triton.next_power_of_2(query.shape[2]),
        "OUTPUT_BLOCK": triton.next_power_of_2(values.shape[2]),
        "WIDTH_BLOCK": triton.next_power_of_2(choice.width),
    }


@triton.jit
def attend_kernel(
    query,
    keys,
    values,
    predictor_query,
    predictor_keys,
    seen,
    above,
    result,
    queries,
    context,
    top_k,
    given_threshold,
    rest_of_threshold,
    near_scale,
    rest_of_scale,
    DIM: tl.constexpr,
    OUTPUTS: tl.constexpr,
    PART: tl.constexpr,
    WIDTH: tl.constexpr,
    START: tl.constexpr,
    IS_TOP_K: tl.constexpr,
    IS_SPARK: tl.constexpr,
    BLOCK: tl.constexpr,
    DIM_BLOCK: tl.constexpr,
    OUTPUT_BLOCK: tl.constexpr,
    WIDTH_BLOCK: tl.constexpr,
):
    """One query: its choice, then the softmax over it."""
    number = tl.program_id(0).to(tl.int64)
    head, place = number // queries, number % queries
    wide: tl.constexpr = tl.float64 if result.dtype.element_ty == tl.float64 else tl.float32
    count = tl.load(seen + place)
    part = tl.arange(0, WIDTH_BLOCK)
    own_query = tl.load(predictor_query + number * PART + part, part < WIDTH, other=0).to(wide)
    own_keys = predictor_keys + head * context * PART

    met, mean, spread = count.to(tl.float64) * 0, count.to(tl.float64) * 0, count.to(tl.float64) * 0
    largest = tl.full([], float("-inf"), wide)
    first = 0
    while first < count:
        key = first + tl.arange(0, BLOCK)
        inside = key < count
        p = _predict(own_query, own_keys, key, inside, part, PART, WIDTH)
        largest = tl.maximum(largest, tl.max(tl.where(inside, p, float("-inf"))))
        size = tl.sum(tl.where(inside, 1, 0)).to(tl.float64)
        centre = tl.sum(tl.where(inside, p, 0).to(tl.float64)) / size
        gap = tl.where(inside, p.to(tl.float64) - centre, 0)
        step = centre - mean
        spread += tl.sum(gap * gap) + step * step * (met * size / (met + size))
        mean += step * (size / (met + size))
        met += size
        first += BLOCK

    threshold = tl.full([], 0, wide) + given_threshold + rest_of_threshold
    scale = tl.full([], 0, wide) + near_scale + rest_of_scale
    is_whole = count < 0
    if IS_TOP_K:
        is_whole = count <= top_k
        deviation = tl.sqrt(spread / tl.maximum(count - 1, 1))
        exact = mean + tl.load(above + place) * deviation
        threshold = tl.where(is_whole, 0, exact).to(wide)

    column, output = tl.arange(0, DIM_BLOCK), tl.arange(0, OUTPUT_BLOCK)
    is_column = (column >= START) & (column < DIM)
    q = tl.load(query + number * DIM + column, is_column, other=0).to(wide)
    out = tl.zeros([OUTPUT_BLOCK], wide)
    top, total = tl.full([], float("-inf"), wide), tl.full([], 0, wide)
    first = 0
    while first < count:
        key = first + tl.arange(0, BLOCK)
        inside = key < count
        p = _predict(own_query, own_keys, key, inside, part, PART, WIDTH)
        is_chosen = inside & (is_whole | (p > threshold) | (p == largest))
        k = tl.load(
            keys + (head * context + key[:, None]) * DIM + column[None, :],
            is_chosen[:, None] & is_column[None, :],
            other=0,
        )
        logit = scale * tl.sum(k.to(wide) * q[None, :], axis=1)
        if IS_SPARK:
            rest = tl.exp(-tl.abs(logit))
            softplus = tl.maximum(logit, 0) + tl.where(rest < 1e-4, rest, tl.log(1 + rest))
            logit = (p - threshold) * softplus
        logit = tl.where(is_chosen, logit, float("-inf"))
        higher = tl.maximum(top, tl.max(logit))
        shift = tl.where(higher == float("-inf"), 0, higher)  # no difference of two infinities
        share = tl.exp(logit - shift)
        shrunk = tl.exp(top - shift)
        v = tl.load(
            values + (head * context + key[:, None]) * OUTPUTS + output[None, :],
            is_chosen[:, None] & (output < OUTPUTS)[None, :],
            other=0,
        )
        out = out * shrunk + tl.sum(share[:, None] * v.to(wide), axis=0)
        total = total * shrunk + tl.sum(share)
        top = higher
        first += BLOCK
    # NaN among the scores chooses nothing: it must be heard of.
    out = tl.where(mean - mean == 0, out / total, float("nan"))
    place = result + number * OUTPUTS + output
    tl.store(place, out.to(result.dtype.element_ty), output < OUTPUTS)


@triton.jit
def _predict(query, keys, key, inside, part, PART: tl.constexpr, WIDTH: tl.constexpr):
    """The predictor's scores of a block of keys."""
    own = tl.load(
        keys + key.to(tl.int64)[:, None] * PART + part[None, :],
        inside[:, None] & (part < WIDTH)[None, :],
        other=0,
    )
    return tl.sum(own.to(query.dtype) * query[None, :], axis=1)
