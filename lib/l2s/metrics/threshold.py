"""How well one threshold tells all positives from all negatives."""

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks


@checks.typed
@torch.no_grad()
def auc(
    positive_scores: Float[Tensor, " positives"], negative_scores: Float[Tensor, " negatives"]
) -> float:
    r"""Return the area under the ROC curve: how often a positive is above a negative.

    .. math:: \frac1{n_+n_-}\sum_i\sum_u\big(1[s_i^+>u] + \tfrac12\,1[s_i^+=u]\big)

    Exact: pairs are counted as integers, a tie as half a pair. The negatives are sorted once, so
    the time is O((m + n) log(m + n)). Scores of +inf or -inf are ordinary ends of the line.

    Args:
        positive_scores: Shape (positives,), floating.
        negative_scores: Shape (negatives,), of the same dtype.

    Returns:
        From 0 to 1; 0.5 where all scores are equal.

    Raises:
        TypeError: Scores that are not floating, or of two dtypes.
        ValueError: No positive or no negative, or NaN.

    >>> auc(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0]))
    0.75
    >>> auc(torch.tensor([3.0, 2.0]), torch.tensor([2.0, 0.0]))  # one tie
    0.875
    """
    _check_both(positive_scores, negative_scores)
    ordered = negative_scores.sort().values
    below = torch.searchsorted(ordered, positive_scores.contiguous(), right=False)
    not_above = torch.searchsorted(ordered, positive_scores.contiguous(), right=True)
    twice = int(below.sum()) + int(not_above.sum())
    return twice / (2 * len(positive_scores) * len(negative_scores))


@checks.typed
@torch.no_grad()
def tpr_at_fpr(
    positive_scores: Float[Tensor, " positives"],
    negative_scores: Float[Tensor, " negatives"],
    *,
    fpr: float,
) -> float:
    """Return the largest share of positives accepted while at most ``fpr`` of negatives are.

    A threshold accepts the scores at or above it, so equal scores are accepted together or not at
    all: a positive that ties with the first negative too many is not accepted. There is no
    interpolation between thresholds.

    Args:
        positive_scores: Shape (positives,), floating.
        negative_scores: Shape (negatives,), of the same dtype.
        fpr: The false positive rate allowed, 0 to 1.

    Raises:
        TypeError: Scores that are not floating, or of two dtypes.
        ValueError: No positive or no negative, NaN, or a rate outside 0 to 1.

    >>> positive, negative = torch.tensor([4.0, 2.0, 1.0]), torch.tensor([3.0, 1.0, 0.0, -1.0])
    >>> tpr_at_fpr(positive, negative, fpr=0.0)
    0.333...
    >>> tpr_at_fpr(positive, negative, fpr=0.25)  # the last positive ties with a negative
    0.666...
    """
    _check_both(positive_scores, negative_scores)
    checks.in_range("fpr", fpr, 0.0, 1.0)
    # The tolerance keeps 0.07 x 100 negatives at seven, not six, whatever the rounding.
    allowed = int(fpr * len(negative_scores) * (1 + 1e-12) + 1e-12)
    if allowed >= len(negative_scores):
        return 1.0
    first_too_many = negative_scores.sort(descending=True).values[allowed]
    return int((positive_scores > first_too_many).sum()) / len(positive_scores)


def _check_both(positive_scores: Tensor, negative_scores: Tensor) -> None:
    both = {"positive_scores": positive_scores, "negative_scores": negative_scores}
    checks.same_dtype(**both)
    checks.same_device(**both)
    for name, scores in both.items():
        checks.at_least(f"len({name})", len(scores), 1, "Pass scores of both kinds.")
        wrong = int(scores.isnan().sum())
        if wrong:
            raise ValueError(
                f"`{name}` holds {wrong} values that are NaN, out of {scores.numel()}, and NaN "
                "has no place in an order. Remove them."
            )
