"""How well the scores of each row order its labels; equal scores count as their average order.

Labels with the same score have no order of their own. Every metric is the mean over all orders of
equal scores, so it depends on no accident of storage and cannot be raised by rounding scores.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.data.label_sets import LabelSets, check_label_sets, label_mask


@checks.typed
@torch.no_grad()
def precision_at_k(scores: Float[Tensor, "rows labels"], positives: LabelSets, *, k: int) -> float:
    r"""Return the share of the k highest scores that are right, averaged over the rows.

    .. math:: \frac1k\,\lvert P \cap \mathrm{top}_k(s) \rvert

    Args:
        scores: Shape (rows, labels), floating. -inf takes a label out of the ranking's top.
        positives: Each row's right labels: a mask (rows, labels), or lists (rows, most) padded
            with -1.
        k: From 1 to the number of labels.

    Returns:
        From 0 to 1. At most the mean of min(\|P\|, k) / k.

    Raises:
        TypeError: Scores that are not floating, or positives neither bool nor integer.
        ValueError: A wrong shape, no rows, a row without a positive, a label out of range or twice
            in a row, NaN, or ``k`` out of range.

    >>> scores = torch.tensor([[0.9, 0.8, 0.1, 0.0]])
    >>> precision_at_k(scores, torch.tensor([[0, 2]]), k=2)
    0.5
    >>> precision_at_k(torch.zeros(1, 4), torch.tensor([[0, 2]]), k=1)  # all equal: by chance
    0.5
    """
    return _hits(scores, positives, k).div(k).mean().item()


@checks.typed
@torch.no_grad()
def recall_at_k(scores: Float[Tensor, "rows labels"], positives: LabelSets, *, k: int) -> float:
    r"""Return the share of a row's right labels among its k highest scores, averaged over the rows.

    .. math:: \frac1{\lvert P \rvert}\,\lvert P \cap \mathrm{top}_k(s) \rvert

    Args:
        scores: Shape (rows, labels), floating.
        positives: A mask (rows, labels), or lists (rows, most) padded with -1.
        k: From 1 to the number of labels.

    Raises:
        ValueError: Or TypeError, as ``precision_at_k``.

    >>> scores = torch.tensor([[0.9, 0.8, 0.1, 0.0]])
    >>> recall_at_k(scores, torch.tensor([[0, 1, 2, -1]]), k=2)
    0.666...
    """
    hits = _hits(scores, positives, k)
    return (hits / _mask(positives, scores).sum(dim=1)).mean().item()


@checks.typed
@torch.no_grad()
def ndcg_at_k(scores: Float[Tensor, "rows labels"], positives: LabelSets, *, k: int) -> float:
    r"""Return the discounted gain of the k highest scores over the best possible, averaged.

    .. math:: \Big(\sum_{r=1}^{k}\frac{1[\text{the label at rank } r \in P]}{\log_2(r+1)}\Big)\Big/
        \sum_{r=1}^{\min(k,\lvert P\rvert)}\frac1{\log_2(r+1)}

    Args:
        scores: Shape (rows, labels), floating.
        positives: A mask (rows, labels), or lists (rows, most) padded with -1.
        k: From 1 to the number of labels.

    Returns:
        From 0 to 1; scikit-learn's ``ndcg_score`` for gains of 0 and 1.

    Raises:
        ValueError: Or TypeError, as ``precision_at_k``.

    >>> scores = torch.tensor([[0.9, 0.8, 0.1, 0.0]])
    >>> ndcg_at_k(scores, torch.tensor([[1]]), k=4)  # 1 / log2(3)
    0.630...
    """
    mask = _checked(scores, positives, k)
    ranks = torch.arange(scores.shape[1], dtype=torch.float64, device=scores.device)
    discounts = (1 / torch.log2(ranks + 2)) * (ranks < k)
    gains = (_spread(scores, discounts) * mask).sum(dim=1)
    best = discounts.cumsum(0)[mask.sum(dim=1) - 1]
    return (gains / best).mean().item()


@checks.typed
@torch.no_grad()
def mrr(scores: Float[Tensor, "rows labels"], positives: LabelSets) -> float:
    r"""Return the mean reciprocal rank of each row's best right label.

    The rank is 1, plus the wrong labels above the best right one, plus half of those level with it:
    the mean rank over all orders of equal scores, before the reciprocal is taken.

    Args:
        scores: Shape (rows, labels), floating.
        positives: A mask (rows, labels), or lists (rows, most) padded with -1.

    Raises:
        ValueError: Or TypeError, as ``precision_at_k``.

    >>> mrr(torch.tensor([[0.9, 0.8], [0.8, 0.9]]), torch.tensor([[0], [0]]))  # ranks 1 and 2
    0.75
    """
    mask = _checked(scores, positives, 1)
    best = scores.masked_fill(~mask, -torch.inf).amax(dim=1, keepdim=True)
    above = ((scores > best) & ~mask).sum(dim=1) + ((scores == best) & ~mask).sum(dim=1) / 2
    return (1 / (1 + above.double())).mean().item()


@checks.typed
@torch.no_grad()
def propensity_precision_at_k(
    scores: Float[Tensor, "rows labels"],
    positives: LabelSets,
    propensity: Float[Tensor, " labels"],
    *,
    k: int,
    normalize: bool = True,
) -> float:
    r"""Return precision@k with rare labels weighing more (jain2016).

    .. math:: \mathrm{PSP@}k = \frac1k \sum_{j \in P \cap \mathrm{top}_k(s)} \frac1{p_j}

    If labels are missing at random with probability 1 - p, this is an unbiased estimate of the
    precision on complete labels. It can exceed 1; ``normalize`` divides the mean over the rows by
    the highest mean that any scores reach, as the public leaderboards do.

    Args:
        scores: Shape (rows, labels), floating.
        positives: A mask (rows, labels), or lists (rows, most) padded with -1.
        propensity: p of shape (labels,), floating, above 0 and at most 1.
        k: From 1 to the number of labels.
        normalize: Divide by the best possible, so that the result is from 0 to 1.

    Raises:
        ValueError: Or TypeError, as ``precision_at_k``; a propensity outside (0, 1].

    >>> scores, positives = torch.tensor([[0.9, 0.8]]), torch.tensor([[0, 1]])
    >>> propensity = torch.tensor([1.0, 0.25])  # label 1 is rare: it weighs four times as much
    >>> propensity_precision_at_k(scores, positives, propensity, k=1)
    0.25
    """
    mask = _checked(scores, positives, k)
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise ValueError(
            f"`propensity` goes from {propensity.min().item():.4g} to "
            f"{propensity.max().item():.4g}, but must lie above 0 and at most at 1. "
            "Pass probabilities, such as propensities(counts, samples=...)."
        )
    weights = mask / propensity.double()
    reached = (_chosen(scores, k) * weights).sum(dim=1)
    if not normalize:
        return (reached / k).mean().item()
    best = weights.topk(k, dim=1).values.sum(dim=1)
    return (reached.sum() / best.sum()).item()


@checks.typed
def propensities(
    counts: Int[Tensor, " labels"], *, samples: int, a: float = 0.55, b: float = 1.5
) -> Float[Tensor, " labels"]:
    r"""Return how likely a right label is to be recorded, from how often it was (jain2016).

    .. math:: p_j = \frac1{1 + C e^{-a\log(N_j+b)}}, \qquad C = (\log N - 1)(b+1)^a

    The model was fitted on data where the missing labels are known; a and b depend on the data
    (0.55 and 1.5 are the usual default; 0.5 and 0.4 for Wikipedia, 0.6 and 2.6 for Amazon).

    Args:
        counts: N_j, how often each label occurs in the training rows, integer, shape (labels,).
        samples: N, how many training rows there are; at least 3, so that C is above 0.
        a: Above 0.
        b: Above 0.

    Returns:
        Float64 of shape (labels,), above 0 and below 1, rising with the count.

    Raises:
        TypeError: Counts that are not integer.
        ValueError: A negative count, or a number out of its range.

    >>> propensities(torch.tensor([0, 1, 1000]), samples=10_000)
    tensor([0.0842, 0.1086, 0.7669], dtype=torch.float64)
    """
    checks.at_least("samples", samples, 3, "Pass how many training rows the counts come from.")
    checks.positive("a", a)
    checks.positive("b", b)
    if (counts < 0).any():
        raise ValueError(f"`counts` holds {int(counts.min())}. Pass counts of 0 or more.")
    c = (math.log(samples) - 1) * (b + 1) ** a
    return 1 / (1 + c * (counts.double() + b) ** -a)


def _hits(scores: Tensor, positives: Tensor, k: int) -> Tensor:
    """Return how many right labels are among the k highest scores of each row, in float64."""
    mask = _checked(scores, positives, k)
    return (_chosen(scores, k) * mask).sum(dim=1)


def _chosen(scores: Tensor, k: int) -> Tensor:
    """Return the share of the orders of equal scores in which each label is among the top k."""
    last = scores.topk(k, dim=1).values[:, -1:]
    above, level = scores > last, scores == last
    places = k - above.sum(dim=1, keepdim=True)
    return above + level * (places / level.sum(dim=1, keepdim=True).double())


def _spread(scores: Tensor, discounts: Tensor) -> Tensor:
    """Return each label's discount, averaged over the ranks that equal scores share."""
    ordered, order = scores.sort(dim=1, descending=True)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = new.cumsum(dim=1) - 1
    zeros = torch.zeros_like(ordered, dtype=torch.float64)
    totals = zeros.scatter_add(1, group, discounts.expand_as(zeros))
    sizes = zeros.scatter_add(1, group, torch.ones_like(zeros))
    return zeros.scatter(1, order, (totals / sizes.clamp(min=1)).gather(1, group))


def _mask(positives: Tensor, scores: Tensor) -> Tensor:
    if positives.dtype == torch.bool:
        return positives
    return label_mask(positives, labels=scores.shape[1])


def _checked(scores: Tensor, positives: Tensor, k: int) -> Tensor:
    """Check everything and return the positives as a mask."""
    checks.at_least("len(scores)", len(scores), 1, "Pass some rows.")
    checks.same_device(scores=scores, positives=positives)
    checks.in_range("k", k, 1, scores.shape[1])
    check_label_sets("positives", positives, scores.shape[1])
    wrong = int(scores.isnan().sum())
    if wrong:
        raise ValueError(
            f"`scores` holds {wrong} values that are NaN, out of {scores.numel()}, and NaN has no "
            "place in an order. Remove them."
        )
    mask = _mask(positives, scores)
    empty = (~mask.any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"`positives` has {len(empty)} rows without a label, such as row {empty[0]}, and no "
            "order of such a row is better than another. Drop those rows."
        )
    return mask
