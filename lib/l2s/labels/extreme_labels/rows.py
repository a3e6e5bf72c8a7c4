"""What every loss over rows of label scores shares: checks, the rows that count, the reduction."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from l2s import checks
from l2s.data.label_sets import check_label_sets, label_lists, label_mask

EXACT = 40  # softplus(x) is x to all digits from here on; the default, 20, is 2e-9 off


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that have a positive, ready for a loss.

    Attributes:
        scores: Float32 or float64 of shape (rows, labels).
        positives: What each row pulls up, as it was given: a mask or lists.
        hidden: What is no negative of the row: positives, and what was excluded.
        log_q: Log of how often each column is expected in the sample, or None.
        kept: Which of the caller's rows these are, or None for all of them.
    """

    scores: Tensor
    positives: Tensor
    hidden: Tensor
    log_q: Tensor | None
    kept: Tensor | None

    @property
    def plain(self) -> bool:
        """Whether every label stands for itself, and is either a positive or a negative."""
        return self.hidden is self.positives and self.log_q is None

    @cached_property
    def _lists(self) -> Tensor:
        is_mask = self.positives.dtype == torch.bool
        return label_lists(self.positives) if is_mask else self.positives

    @property
    def columns(self) -> Tensor:
        """The positives as lists of columns, padded with 0."""
        return self._lists.clamp(min=0)

    @cached_property
    def share(self) -> Tensor:
        """Each positive's share in its row's mean; 0 on the padding."""
        counted = (self._lists >= 0).to(self.scores.dtype)
        return counted / counted.sum(dim=1, keepdim=True)

    @property
    def positive_scores(self) -> Tensor:
        """The scores of the positives, and anything on the padding."""
        return self.scores.gather(1, self.columns)

    @property
    def negative_scores(self) -> Tensor:
        """The scores, each with the weight of the labels that it stands for: s - log q."""
        return self.scores if self.log_q is None else self.scores - self.log_q

    def mean(self, per_positive: Tensor) -> Tensor:
        """Return each row's mean over its positives."""
        return (per_positive.where(self.share > 0, 0) * self.share).sum(dim=1)


def loss_over_rows(
    row_losses: Callable[[Rows], Tensor],
    scores: Tensor,
    positives: Tensor,
    excluded: Tensor | None,
    log_q: Tensor | None,
    reduction: str,
    on_empty: str,
) -> Tensor:
    """Check the arguments, compute the loss of the rows that have a positive, and reduce."""
    check_scores(scores, positives, excluded, log_q)
    check_options(reduction, on_empty)
    kept = rows_that_count(_found(positives).any(dim=1), on_empty)
    rows = _rows(scores, positives, excluded, log_q, kept)
    losses = row_losses(rows)
    return reduced(losses, kept, len(scores), reduction).to(scores.dtype)


def check_scores(
    scores: Tensor, positives: Tensor, excluded: Tensor | None, log_q: Tensor | None
) -> None:
    """Raise where the arguments do not fit together."""
    if not scores.numel():
        raise ValueError(f"`scores` has shape {tuple(scores.shape)} and is empty. Pass some rows.")
    sets = {"positives": positives} | ({} if excluded is None else {"excluded": excluded})
    checks.same_device(scores=scores, **sets)
    for name, labels in sets.items():
        check_label_sets(name, labels, scores.shape[1])
    if log_q is not None:
        checks.same_device(scores=scores, log_q=log_q)
        checks.finite("log_q", log_q)


def check_options(reduction: str, on_empty: str) -> None:
    """Raise where an option is none of the known ones."""
    checks.one_of("reduction", reduction, ("mean", "sum", "none"))
    checks.one_of("on_empty", on_empty, ("error", "ignore"))


def check_k(k: int | Tensor, labels: int) -> None:
    """Raise unless k, or each row's k, leaves something to choose and something to leave."""
    checks.at_least("scores.shape[1]", labels, 2, "Choosing needs two labels or more.")
    if isinstance(k, Tensor):
        for end in k.aminmax():
            checks.in_range("k", int(end), 1, labels - 1)
    else:
        checks.in_range("k", k, 1, labels - 1)


def positives_per_row(positives: Tensor) -> Tensor:
    """Return how many positives each row has."""
    return _found(positives).count_nonzero(dim=1)


def rows_that_count(has_positive: Tensor, on_empty: str) -> Tensor | None:
    """Return the rows that have a positive, None if all have one, or raise."""
    empty = ~has_positive
    if not empty.any():
        return None
    if on_empty == "error" or empty.all():
        raise ValueError(
            f"`positives` has {int(empty.sum())} rows without a label, such as row "
            f"{int(empty.nonzero()[0])}. Give each row a positive, drop such rows, or pass "
            "on_empty='ignore' (if any row has a positive)."
        )
    return (~empty).nonzero().flatten()


def reduced(losses: Tensor, kept: Tensor | None, rows: int, reduction: str) -> Tensor:
    """Return the mean or sum over the rows that count, or one loss a row, 0 for the others."""
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    return losses if kept is None else losses.new_zeros(rows).index_copy(0, kept, losses)


def wide(scores: Tensor) -> Tensor:
    """Return the scores in float32 or float64."""
    return scores if scores.dtype == torch.float64 else scores.float()


def hinge(x: Tensor) -> Tensor:
    """Return log(1 + e^x) to all digits."""
    return F.softplus(x, threshold=EXACT)


def _rows(
    scores: Tensor,
    positives: Tensor,
    excluded: Tensor | None,
    log_q: Tensor | None,
    kept: Tensor | None,
) -> Rows:
    if kept is not None:
        scores, positives = scores[kept], positives[kept]
        excluded = None if excluded is None else excluded[kept]
        log_q = log_q[kept] if log_q is not None and log_q.ndim == 2 else log_q
    if positives.dtype != torch.bool:
        positives = positives.long()
    return Rows(
        scores=wide(scores),
        positives=positives,
        hidden=positives if excluded is None else _union(positives, excluded, scores.shape[1]),
        log_q=log_q,
        kept=kept,
    )


def _found(positives: Tensor) -> Tensor:
    return positives if positives.dtype == torch.bool else positives >= 0


def _union(first: Tensor, second: Tensor, labels: int) -> Tensor:
    """Return the union of two label sets: lists where both are lists, else a mask."""
    if first.dtype != torch.bool and second.dtype != torch.bool:
        both = torch.cat([first.long(), second.long()], dim=1).sort(dim=1).values
        again = torch.zeros_like(both, dtype=torch.bool)
        again[:, 1:] = both[:, 1:] == both[:, :-1]
        return both.masked_fill(again, -1)
    masks = [s if s.dtype == torch.bool else label_mask(s, labels=labels) for s in (first, second)]
    return masks[0] | masks[1]
