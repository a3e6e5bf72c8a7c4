"""A sample of the labels for a batch, with what the losses need to correct for it."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.data.label_sets import check_label_sets


@dataclass(frozen=True, eq=False)
class LabelSample:
    """Labels drawn for a batch, and the batch's positives in terms of them; see ``sample_labels``.

    Attributes:
        labels: Which label each column is, rising, int64 of shape (columns,).
        positives: The positives that were drawn for each row, as columns, padded with -1; int64.
        excluded: All positives of each row that are among the columns, padded with -1; int64.
        log_q: Log of the probability that a label is in the sample, float32 of shape (columns,):
            0 for positives of the batch.
    """

    labels: Int[Tensor, " columns"]
    positives: Int[Tensor, "rows most"]
    excluded: Int[Tensor, "rows all"]
    log_q: Float[Tensor, " columns"]


@checks.typed
def sample_labels(
    positives: Int[Tensor, "rows most"],
    *,
    labels: int,
    negatives: int,
    positives_per_row: int | None = None,
    generator: torch.Generator | None = None,
) -> LabelSample:
    r"""Draw labels for a batch: positives of every row, and others uniformly.

    Every row sees the same columns. A label that was drawn as some row's positive is there for
    certain (q = 1). Of the n others m are drawn without replacement, so that q = m / n, and

    .. math:: \mathbb E \sum_{j\in S\cap N} e^{s_j}/q_j = \sum_{j\in N} e^{s_j}

    for each row, given the positives that were drawn. Pass scores of ``sample.labels`` with
    ``positives=sample.positives, excluded=sample.excluded, log_q=sample.log_q`` to a loss.

    Args:
        positives: Each row's labels, from 0 to ``labels - 1``, padded with -1, integer.
        labels: How many labels there are.
        negatives: m, how many labels to draw besides the positives; all that are left where fewer
            are left.
        positives_per_row: Draw this many of each row's positives; None takes all. The mean over
            those drawn is an unbiased mean over all.
        generator: The source of randomness, on the positives' device; None means PyTorch's default
            generator.

    Raises:
        ValueError: A label out of range or twice in a row, or a number below 1.

    >>> sample = sample_labels(torch.tensor([[7, 2], [2, -1]]), labels=9, negatives=0)
    >>> sample.labels, sample.positives, sample.log_q
    (tensor([2, 7]), tensor([[ 1,  0],
            [ 0, -1]]), tensor([0., 0.]))
    >>> sample = sample_labels(torch.tensor([[7, 2], [2, -1]]), labels=9, negatives=3)
    >>> sample.labels.shape, sample.log_q.exp().sum()  # 2 for certain, and 3 of 7
    (torch.Size([5]), tensor(3.2857))
    """
    check_label_sets("positives", positives, labels)
    checks.at_least("labels", labels, 1, "Say how many labels there are.")
    checks.at_least("negatives", negatives, 0, "Pass how many labels to draw besides.")
    drawn = positives.long()
    if positives_per_row is not None:
        checks.at_least("positives_per_row", positives_per_row, 1, "Pass None to take all.")
        drawn = _some(drawn, positives_per_row, generator)
    chosen = torch.zeros(labels, dtype=torch.bool, device=positives.device)
    chosen[drawn[drawn >= 0]] = True
    others = (~chosen).nonzero().flatten()
    order = torch.randperm(len(others), generator=generator, device=positives.device)
    extra = others[order[:negatives]]
    log_q = torch.zeros(labels, device=positives.device)
    if len(extra):
        log_q[extra] = math.log(len(extra) / len(others))
    chosen[extra] = True
    columns = chosen.nonzero().flatten()
    place = torch.full((labels + 1,), -1, device=positives.device)  # the last is for the padding
    place[columns] = torch.arange(len(columns), device=positives.device)
    return LabelSample(
        labels=columns,
        positives=place[drawn],
        excluded=place[positives.long()],
        log_q=log_q[columns],
    )


def _some(lists: Tensor, number: int, generator: torch.Generator | None) -> Tensor:
    """Return this many of each row's labels, drawn without replacement; the padding comes last."""
    keys = torch.rand(lists.shape, generator=generator, device=lists.device)
    order = keys.masked_fill(lists < 0, 2.0).argsort(dim=1)
    return lists.gather(1, order)[:, :number]
