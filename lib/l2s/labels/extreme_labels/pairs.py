"""Losses for pairs of a query and its document: over all pairs of scores, or query by query."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from l2s import checks
from l2s.labels.extreme_labels.pair_sums import pair_sums
from l2s.labels.extreme_labels.rows import hinge, reduced, wide


@checks.typed
def mann_whitney(
    positive_scores: Float[Tensor, " positives"],
    negative_scores: Float[Tensor, " negatives"],
    *,
    block_size: int | None = None,
) -> Float[Tensor, ""]:
    r"""Smooth Mann-Whitney loss (sheikholeslami2025): every positive against every negative.

    .. math:: L = \frac1{n_+n_-}\sum_i\sum_u\operatorname{softplus}(u - s_i^+),
        \qquad 1 - \mathrm{AUC} \le L / \ln 2

    The pairs cross queries, so it needs scores that can be compared between queries. All pairs
    never stand in memory: blocks of them leave the loss and both gradients. Where there are many
    pairs, both samples are first replaced by weights on Chebyshev nodes, which changes no digit of
    float64 but the last few: 10^4 x 10^6 pairs then take about a second.

    Args:
        positive_scores: Shape (positives,), floating, finite; already divided by a temperature.
        negative_scores: Shape (negatives,), of the same dtype.
        block_size: Positives at a time, to go through all pairs themselves. None chooses the faster
            way.

    Returns:
        The mean over all pairs, at least 0, in the scores' dtype.

    Raises:
        TypeError: Scores that are not floating, or of two dtypes.
        ValueError: No positive or no negative, NaN or infinite scores, a block size below 1.

    >>> scores = torch.tensor([[1.0, 0.0], [3.0, 2.0]])  # rows are queries, columns documents
    >>> mann_whitney(scores.diagonal(), torch.stack([scores[0, 1], scores[1, 0]]))
    tensor(0.9701)
    >>> mann_whitney(torch.zeros(3), torch.zeros(1000))  # all equal: log 2
    tensor(0.6931)
    >>> mann_whitney(torch.zeros(0), torch.zeros(5))
    Traceback (most recent call last):
    ValueError: `len(positive_scores)` is 0, but must be at least 1. Pass scores of both kinds.
    """
    both = {"positive_scores": positive_scores, "negative_scores": negative_scores}
    checks.same_dtype(**both)
    checks.same_device(**both)
    for name, scores in both.items():
        checks.at_least(f"len({name})", len(scores), 1, "Pass scores of both kinds.")
        checks.finite(name, scores)
    if block_size is not None:
        checks.at_least("block_size", block_size, 1, "Pass positives at a time, 64 for example.")
    loss = _MannWhitney.apply(wide(positive_scores), wide(negative_scores), block_size)
    return loss.to(positive_scores.dtype)


@checks.typed
def contrastive(
    scores: Float[Tensor, "queries documents"],
    *,
    excluded: Bool[Tensor, "queries documents"] | None = None,
    reduction: str = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " queries"]:
    r"""Contrastive loss of in-batch pairs: query i must find document i among all documents.

    .. math:: L_i = \log\Big(1 + \sum_{j\ne i} e^{S_{ij}-S_{ii}}\Big)

    Unchanged where a constant is added to all scores of a query: it cannot compare queries.

    Args:
        scores: S of shape (queries, documents), floating, finite; already divided by a
            temperature. Columns beyond the queries are further negatives.
        excluded: Shape (queries, documents), bool: pairs that are no negatives, such as a second
            copy of the query's document. The diagonal may be named and stays the positive.
        reduction: "mean" or "sum" over the queries, or "none" for shape (queries,).

    Returns:
        The loss, at least 0, in the scores' dtype.

    Raises:
        TypeError: Scores that are not floating, or a mask that is not bool.
        ValueError: Fewer documents than queries, a query without a negative, NaN or infinite
            scores.

    >>> contrastive(torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
    tensor(0.8133)
    >>> contrastive(torch.tensor([[1.0, 0.0], [-97.0, -98.0]]))  # another level for query 1
    tensor(0.8133)
    """
    negatives = _negatives(scores, excluded, reduction)
    x = wide(scores).masked_fill(~negatives, -torch.inf)
    losses = hinge(x.logsumexp(dim=1) - wide(scores).diagonal())
    return _finished(losses, scores, reduction)


@checks.typed
def pairwise_logistic(
    scores: Float[Tensor, "queries documents"],
    *,
    excluded: Bool[Tensor, "queries documents"] | None = None,
    reduction: str = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " queries"]:
    r"""Pairwise logistic loss query by query (RankNet, BPR): each query against its own negatives.

    .. math:: L_i = \frac1{|N_i|}\sum_{j\in N_i}\operatorname{softplus}(S_{ij}-S_{ii})

    The same terms as in ``mann_whitney``, but only those within a query: it cannot compare
    queries, as ``contrastive`` cannot.

    Args:
        scores: S of shape (queries, documents), as for ``contrastive``.
        excluded: Pairs that are no negatives, as for ``contrastive``.
        reduction: "mean" or "sum" over the queries, or "none" for shape (queries,).

    Returns:
        The loss, at least 0 and at most that of ``contrastive``, in the scores' dtype.

    Raises:
        ValueError: Or TypeError, as ``contrastive``.

    >>> pairwise_logistic(torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
    tensor(0.8133)
    """
    negatives = _negatives(scores, excluded, reduction)
    x = wide(scores)
    terms = hinge(x - x.diagonal()[:, None]).masked_fill(~negatives, 0)
    return _finished(terms.sum(dim=1) / negatives.sum(dim=1), scores, reduction)


@checks.typed
def in_batch_pairs(
    scores: Float[Tensor, "queries documents"],
    *,
    excluded: Bool[Tensor, "queries documents"] | None = None,
) -> tuple[Float[Tensor, " queries"], Float[Tensor, " negatives"]]:
    """Split a matrix of in-batch scores into positives (the diagonal) and negatives (the rest).

    Args:
        scores: Shape (queries, documents), floating.
        excluded: Pairs that are no negatives, as for ``contrastive``.

    Returns:
        What ``mann_whitney`` and ``l2s.metrics.auc`` take.

    Raises:
        ValueError: Or TypeError, as ``contrastive``.

    >>> in_batch_pairs(torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
    (tensor([1., 2.]), tensor([0., 3.]))
    """
    return scores.diagonal(), scores[_negatives(scores, excluded, "none")]


class _MannWhitney(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positive: Tensor, negative: Tensor, block_size: int | None) -> Tensor:
        pairs = len(positive) * len(negative)
        sums = pair_sums(positive, negative, block_size)
        ctx.save_for_backward(
            (-sums.of_positive / pairs).to(positive.dtype),
            (sums.of_negative / pairs).to(negative.dtype),
        )
        return (sums.total / pairs).to(positive.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        for_positive, for_negative = ctx.saved_tensors
        return gradient * for_positive, gradient * for_negative, None


def _negatives(scores: Tensor, excluded: Tensor | None, reduction: str) -> Tensor:
    """Return where the negatives stand, checked."""
    checks.one_of("reduction", reduction, ("mean", "sum", "none"))
    checks.finite("scores", scores)
    queries, documents = scores.shape
    remedy = "Column i belongs to query i: pass one document or more a query."
    checks.at_least("scores.shape[0]", queries, 1, "Pass some queries.")
    checks.at_least("scores.shape[1]", documents, queries, remedy)
    negatives = ~torch.eye(queries, documents, dtype=torch.bool, device=scores.device)
    if excluded is not None:
        checks.same_device(scores=scores, excluded=excluded)
        negatives &= ~excluded
    alone = (~negatives.any(dim=1)).nonzero().flatten().tolist()
    if alone:
        raise ValueError(
            f"`scores` of shape {tuple(scores.shape)} leaves {len(alone)} queries without a "
            f"negative, such as query {alone[0]}. Pass two pairs or more, or exclude fewer."
        )
    return negatives


def _finished(losses: Tensor, scores: Tensor, reduction: str) -> Tensor:
    return reduced(losses, None, len(losses), reduction).to(scores.dtype)
