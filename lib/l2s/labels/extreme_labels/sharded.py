"""The losses where each rank of torch.distributed holds the scores of its own part of the labels.

All ranks have the same rows. A row's loss needs sums over all labels: those are added over the
ranks, so that a few numbers a row cross the wire however many labels there are.

Every rank gets the loss of all labels, and the exact gradient for *its own* scores. The gradient of
what all ranks share (the queries, say) is the *sum* of the ranks' gradients; averaging them, as
``DistributedDataParallel`` does, leaves it too small by the number of ranks.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.data.label_sets import LabelSets, label_lists
from l2s.kernels.negative_mass import negative_log_mass
from l2s.labels.extreme_labels import rows as shared
from l2s.labels.extreme_labels.threshold import over_ranks, threshold


@checks.typed
def sharded_decoupled_softmax(
    scores: Float[Tensor, "rows labels"],
    positives: LabelSets,
    *,
    reduction: str = "mean",
    on_empty: str = "error",
    group: Any = None,
) -> Float[Tensor, ""] | Float[Tensor, " rows"]:
    r"""Decoupled softmax over labels that lie on several ranks; see ``decoupled_softmax``.

    .. math:: \ell = \log\sum_r e^{\ell_r}, \qquad \ell_r = \log\sum_{j\in N_r}e^{s_j},

    where N_r are the negatives on rank r. Five numbers a row are exchanged: how many positives
    there are, the largest :math:`\ell_r`, the sum, the loss and, in the backward pass, the gradient
    of :math:`\ell`; and one for all rows, which says whether the scores of all ranks are finite.

    Args:
        scores: Shape (rows, labels), floating, finite: this rank's labels, of all rows. Ranks may
            hold unequally many labels.
        positives: The row's positives among this rank's labels: a mask (rows, labels), or lists of
            this rank's columns (rows, most), padded with -1. A rank may have none.
        reduction: "mean" or "sum" over the rows, or "none" for shape (rows,).
        on_empty: "error", or "ignore" for rows without a positive on any rank.
        group: The process group; None for all ranks.

    Returns:
        The loss over all ranks' labels, the same on every rank, in the scores' dtype.

    Raises:
        TypeError: As ``decoupled_softmax``.
        ValueError: As ``decoupled_softmax``, on every rank where it concerns the whole; or no
            process group.
    """
    task = _Task(scores, positives, reduction, on_empty, group)
    log_mass = negative_log_mass(task.scores, task.positives)
    largest = task.over_ranks(log_mass.detach().clone(), dist.ReduceOp.MAX)
    # A row whose labels are all positive has no mass: any finite shift will do.
    largest = largest.where(largest > -torch.inf, 0)
    total = _SharedSum.apply((log_mass - largest).exp(), group)
    some = total > 0
    log_total = total.where(some, 1).log().where(some, -torch.inf)
    everywhere = _Shared.apply(log_total + largest, group)
    return task.finish(shared.hinge(everywhere[:, None] - task.positive_scores))


@checks.typed
def sharded_soft_topk_loss(
    scores: Float[Tensor, "rows labels"],
    positives: LabelSets,
    k: int | Int[Tensor, " rows"],
    *,
    sharpness: float = 1.0,
    reduction: str = "mean",
    on_empty: str = "error",
    group: Any = None,
) -> Float[Tensor, ""] | Float[Tensor, " rows"]:
    r"""Soft top-k loss over labels that lie on several ranks; see ``soft_topk_loss``.

    Each step of the search for the threshold exchanges two numbers a row, the sums of p and of
    :math:`p(1-p)`; there are about ten steps. The rest takes seven numbers a row.

    Args:
        scores: Shape (rows, labels), floating, finite: this rank's labels, of all rows.
        positives: The row's positives among this rank's labels, as a mask or lists of columns.
        k: How many of all ranks' labels to choose: one number, or one a row; the same on all ranks.
        sharpness: α, above 0.
        reduction: "mean" or "sum" over the rows, or "none" for shape (rows,).
        on_empty: "error", or "ignore" for rows without a positive on any rank.
        group: The process group; None for all ranks.

    Returns:
        The loss over all ranks' labels, the same on every rank, in the scores' dtype.

    Raises:
        ValueError: Or TypeError, as ``soft_topk_loss``; or no process group.
    """
    checks.in_range("sharpness", sharpness, 1e-30, 1e30)
    task = _Task(scores, positives, reduction, on_empty, group)
    total = task.over_ranks(task.scores.new_tensor([scores.shape[1]]), dist.ReduceOp.SUM)
    shared.check_k(k, int(total))
    places = torch.as_tensor(k, device=scores.device).expand(len(scores))
    t = threshold(task.scores, places, sharpness, group=task.group)
    return task.finish(shared.hinge(-sharpness * (task.positive_scores + t[:, None])))


class _Task:
    """What both losses share: checks that all ranks pass or fail together, and the mean."""

    def __init__(
        self, scores: Tensor, positives: Tensor, reduction: str, on_empty: str, group: Any
    ) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError(
                "`group` is of no use, as torch.distributed has no process group. Call "
                "torch.distributed.init_process_group(...) first, or use the loss that is not "
                "sharded."
            )
        shared.check_options(reduction, on_empty)
        shared.check_scores(scores, positives, None, None)
        self.group = dist.group.WORLD if group is None else group
        self._dtype, self._reduction, self._rows = scores.dtype, reduction, len(scores)
        self.scores = shared.wide(scores)
        self._check_finite(scores)
        sizes = shared.positives_per_row(positives).to(self.scores.dtype)
        self._sizes = self.over_ranks(sizes, dist.ReduceOp.SUM)
        self._kept = shared.rows_that_count(self._sizes > 0, on_empty)
        is_mask = positives.dtype == torch.bool
        self.positives = positives if is_mask else positives.long()
        lists = label_lists(positives) if is_mask else self.positives
        self._columns, self._counted = lists.clamp(min=0), lists >= 0

    @property
    def positive_scores(self) -> Tensor:
        return self.scores.gather(1, self._columns)

    def over_ranks(self, numbers: Tensor, operation: Any) -> Tensor:
        return over_ranks(numbers, operation, self.group)

    def finish(self, per_positive: Tensor) -> Tensor:
        """Return the reduced mean over the positives of all ranks."""
        own = per_positive.where(self._counted, 0).sum(dim=1)
        losses = _SharedSum.apply(own, self.group) / self._sizes.clamp(min=1)
        if self._kept is not None:
            losses = losses[self._kept]
        return shared.reduced(losses, self._kept, self._rows, self._reduction).to(self._dtype)

    def _check_finite(self, scores: Tensor) -> None:
        """Raise on every rank where one has NaN or infinite scores: none is left waiting."""
        wrong = self.scores.new_tensor([(~torch.isfinite(scores)).sum().item()])
        self.over_ranks(wrong, dist.ReduceOp.SUM)
        if wrong > 0:
            checks.finite("scores", scores)
            raise ValueError(
                f"`scores` holds {int(wrong)} values that are NaN or infinite on other ranks. "
                "Look at their errors."
            )


class _SharedSum(torch.autograd.Function):
    """The sum over ranks of a part of one loss, which every rank then holds."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Any) -> Tensor:
        return over_ranks(part.clone(), dist.ReduceOp.SUM, group or dist.group.WORLD)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None  # all ranks hold the same loss, so the same gradient


class _Shared(torch.autograd.Function):
    """A number that all ranks hold: its gradient is the sum of what each rank does with it."""

    @staticmethod
    def forward(ctx: Any, number: Tensor, group: Any) -> Tensor:
        ctx.group = group or dist.group.WORLD
        return number.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return over_ranks(gradient.clone(), dist.ReduceOp.SUM, ctx.group), None
