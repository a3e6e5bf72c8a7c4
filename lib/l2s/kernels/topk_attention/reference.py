r"""The definition of the operator, in plain PyTorch: all scores, and a mask.

All tensors have one axis for heads of all batches, then queries or keys, then dimensions. The
predictor's score p of a key uses the first ``width`` dimensions of the predictor's vectors, the
attention score s the dimensions from ``start`` on.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from l2s import checks
from l2s.kernels.precision import in_dtype, wide, widened
from l2s.kernels.quantile import upper_quantile

FORMS = ("softmax", "spark")


@dataclass(frozen=True)
class Choice:
    """How keys are chosen and weighed, for all heads alike."""

    width: int
    start: int
    top_k: int  # 0: the threshold is given
    threshold: float
    scale: float
    is_causal: bool
    is_spark: bool


@dataclass(frozen=True)
class Scores:
    """What the dense layer knows of every query and key."""

    predicted: Tensor  # p
    is_chosen: Tensor
    threshold: Tensor  # of each query, with a last axis of 1
    scaled: Tensor  # scale * s, 0 for keys that are not chosen
    logits: Tensor  # minus infinity for keys that are not chosen


def forward(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    predictor_query: Tensor,
    predictor_keys: Tensor,
    choice: Choice,
) -> tuple[Tensor, bool]:
    """Return the values of the chosen keys, weighed by the softmax of their logits; all finite?"""
    kind = wide(query.dtype)
    predictor = (in_dtype(predictor_query, kind), in_dtype(predictor_keys, kind))
    found = score(widened(query), widened(keys), *predictor, choice)
    is_used = found.is_chosen.any(dim=-2)[..., None]  # what no query reads may be anything
    read = torch.where(is_used, widened(values), 0)
    result = (found.logits.softmax(dim=-1) @ read).to(query.dtype)
    return result, checks.sum_is_finite(result)


def score(
    query: Tensor, keys: Tensor, predictor_query: Tensor, predictor_keys: Tensor, choice: Choice
) -> Scores:
    """Return the scores of all keys, and which of them are chosen."""
    predicted = predictor_query[..., : choice.width] @ predictor_keys[..., : choice.width].mT
    is_chosen, threshold = choose(predicted, choice)
    scaled = choice.scale * (query[..., choice.start :] @ keys[..., choice.start :].mT)
    scaled = scaled.masked_fill(~is_chosen, 0)  # keys that are not read may be anything
    logits = (predicted - threshold) * softplus(scaled) if choice.is_spark else scaled
    logits = logits.masked_fill(~is_chosen, -math.inf)
    return Scores(predicted, is_chosen, threshold, scaled, logits)


def choose(predicted: Tensor, choice: Choice) -> tuple[Tensor, Tensor]:
    """Return which keys are above the threshold, and the thresholds.

    A query that sees at most ``top_k`` keys takes them all, at threshold 0. The largest score is
    always taken.
    """
    is_seen = visible(predicted, choice.is_causal)
    if choice.top_k:
        count = is_seen.sum(dim=-1, keepdim=True)
        exact = torch.where(is_seen, predicted.double(), 0)
        mean = exact.sum(dim=-1, keepdim=True) / count
        squares = torch.where(is_seen, exact - mean, 0).square().sum(dim=-1, keepdim=True)
        deviation = (squares / (count - 1).clamp(min=1)).sqrt()
        quantile = quantiles(count, choice.top_k)
        is_whole = count <= choice.top_k
        threshold = torch.where(is_whole, 0, mean + quantile * deviation).to(predicted.dtype)
    else:
        is_whole = torch.zeros_like(is_seen[..., :1])
        threshold = torch.full_like(predicted[..., :1], choice.threshold)
    seen = predicted.masked_fill(~is_seen, -math.inf)
    is_top = seen == seen.amax(dim=-1, keepdim=True)
    return is_seen & (is_whole | (predicted > threshold) | is_top), threshold


def quantiles(count: Tensor, top_k: int) -> Tensor:
    """Q(1 - top_k / n) for each number n of visible keys, in float64; 0 where all are taken."""
    share = torch.where(count > top_k, top_k / count.double(), 0.5)  # Q(1/2) = 0
    return -torch.special.ndtri(share)


def seen_by(queries: int, context: int, choice: Choice) -> tuple[list[int], list[float]]:
    """How many keys each place of a query sees, and the quantile of its threshold."""
    counts = [context] * queries
    if choice.is_causal:
        counts = list(range(context - queries + 1, context + 1))
    k = choice.top_k
    return counts, [upper_quantile(k, n) if 0 < k < n else 0.0 for n in counts]


def visible(predicted: Tensor, is_causal: bool) -> Tensor:
    """Which keys a query sees: all, or those up to its place, where the last query is last."""
    queries, context = predicted.shape[-2:]
    if not is_causal:
        return torch.ones_like(predicted, dtype=torch.bool)
    place = torch.arange(queries, device=predicted.device)[:, None] + (context - queries)
    seen = torch.arange(context, device=predicted.device) <= place
    return seen.expand_as(predicted)
