"""What each implementation of attention over few keys must compute: one set of cases for all.

TRITON_INTERPRET=1 python -m tests.kernels.topk_attention_cases gpu   # one line a failed case
"""

import importlib
import itertools
import math
import sys
from dataclasses import replace
from statistics import NormalDist

import torch
from l2s.kernels.topk_attention.reference import Choice
from torch.nn.functional import softplus

# Relative to the largest value. Triton's interpreter cuts bfloat16 off where a GPU rounds it.
PRECISION = {
    torch.float32: 1e-5,
    torch.float64: 1e-13,
    torch.bfloat16: 2e-2,
    torch.float16: 2e-3,
}
# Heads, queries, context, dim, outputs, width of the predictor.
SHAPES = {
    "one of each": (1, 1, 1, 1, 1, 1),
    "decoding": (3, 1, 700, 33, 20, 9),
    "one block and one more": (2, 1, 129, 16, 16, 8),
    "prefill": (2, 19, 19, 12, 5, 4),
    "part of a prefill": (1, 5, 90, 8, 8, 3),
}
TOP_K = 12


def inputs(heads, queries, context, dim, outputs, width):
    """Query, keys, values, and a predictor's query and keys, in float64."""
    generator = torch.Generator().manual_seed(9)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return (
        normal(heads, queries, dim),
        normal(heads, context, dim),
        normal(heads, context, outputs),
        normal(heads, queries, width),
        normal(heads, context, width),
    )


def choices(dim, width):
    """Both forms; causal or not; and where the scores come from.

    None: the keys' own dimensions, all or some. "as the keys" or bfloat16: a cache of that dtype.
    """
    first = Choice(width, 0, TOP_K, 0.0, dim**-0.5, False, False)
    own = replace(first, width=dim)
    return {
        "own scores": (own, None),
        "first dimensions": (first, None),
        "spark": (replace(first, start=min(width, dim - 1), is_spark=True), None),
        "a cache, causal": (replace(first, is_causal=True), "as the keys"),
        "a cache, spark, causal": (
            replace(first, is_causal=True, is_spark=True),
            "as the keys",
        ),
        "a cache in bfloat16": (first, torch.bfloat16),
        "a threshold": (replace(first, top_k=0, threshold=1.0), None),
        "out of reach": (replace(first, top_k=0, threshold=1e6), "as the keys"),
        "far apart": (replace(own, scale=100.0), None),
    }


def by_loop(query, keys, values, predictor_query, predictor_keys, choice):
    """One query of one head after the other, as the text has it."""
    result = query.new_zeros(*query.shape[:2], values.shape[2])
    for head, place in itertools.product(*map(range, query.shape[:2])):
        n = keys.shape[1]
        if choice.is_causal:
            n += place + 1 - query.shape[1]
        p = predictor_keys[head, :n, : choice.width] @ predictor_query[head, place, : choice.width]
        threshold = choice.threshold
        is_chosen = torch.ones(n, dtype=torch.bool)
        if choice.top_k:
            above = NormalDist().inv_cdf(1 - choice.top_k / n) if n > choice.top_k else None
            threshold = 0.0 if above is None else p.mean() + above * p.std()
        if not choice.top_k or n > choice.top_k:
            is_chosen = (p > threshold) | (p == p.max())
        logits = choice.scale * keys[head, :n, choice.start :] @ query[head, place, choice.start :]
        if choice.is_spark:
            logits = (p - threshold) * softplus(logits)
        weights = logits.masked_fill(~is_chosen, -math.inf).softmax(dim=0)
        result[head, place] = weights @ values[head, :n]
    return result


def failures(name, quick=False):
    """Compare with the loop in float64 on the same rounded numbers."""
    implementation = importlib.import_module(f"l2s.kernels.topk_attention.{name}")
    for (case, shape), dtype in itertools.product(SHAPES.items(), PRECISION):
        if quick and dtype != torch.float32 and case != "decoding":
            continue
        given = [tensor.to(dtype) for tensor in inputs(*shape)]
        for how, (choice, kind) in choices(shape[3], shape[5]).items():
            query, keys = given[:2]
            if how == "far apart":  # logits of 1,000: of eighths they are exact, in any order
                query, keys = (query * 8).round() / 8, (keys * 8).round() / 8
            cache = given[3:] if kind else (query, keys)
            if kind == torch.bfloat16:
                cache = [tensor.to(kind) for tensor in cache]
            tensors = [query, keys, given[2], *cache]
            expected = by_loop(*(tensor.double() for tensor in tensors), choice)
            found, is_finite = implementation.forward(*tensors, choice)
            scale = given[2].double().abs().max()
            error = ((found.double() - expected).abs() / scale).nan_to_num(torch.inf).max().item()
            if found.dtype != dtype or not is_finite or not error < PRECISION[dtype]:
                yield f"{case}, {dtype}, {how}: {found.dtype}, {error / PRECISION[dtype]:.1f}"


if __name__ == "__main__":
    wrong = list(failures(sys.argv[1], quick=True))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
