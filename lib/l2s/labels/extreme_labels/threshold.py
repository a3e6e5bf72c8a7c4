"""The soft top-k threshold of weighted labels that may lie on several ranks.

:mod:`l2s.kernels.soft_topk` is the fast way where every label is there once. Here a label may weigh
more than one (it stands for those that were not sampled) or nothing (it is left out), and the sums
over labels may reach over ranks: only numbers of one a row are exchanged.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

_STEPS = 200  # halving alone needs fewer, from any bracket of float64 numbers that the data give


def threshold(
    scores: Tensor,
    k: Tensor,
    sharpness: float,
    log_weights: Tensor | None = None,
    group: Any = None,
) -> Tensor:
    r"""Return t of :math:`\sum_j w_j \sigma(\alpha(s_j + t)) = k` for every row, with gradients.

    .. math:: \partial t / \partial s_j = -v_j / \textstyle\sum_m v_m, \qquad
        v_j = w_j p_j (1 - p_j), \quad p_j = \sigma(\alpha(s_j + t))

    Args:
        scores: s of shape (rows, labels), float32 or float64, finite where the weight is not 0.
        k: Shape (rows,), above 0 and below each row's total weight.
        sharpness: α.
        log_weights: log w, of a shape that broadcasts to that of the scores; None for w = 1.
        group: The ranks that hold one part of the labels each, with the same rows; None for one.
    """
    weights = torch.zeros((), dtype=scores.dtype) if log_weights is None else log_weights
    return _Threshold.apply(scores, k.to(scores), sharpness, weights.to(scores), group)


def total_weight(scores: Tensor, log_weights: Tensor | None, group: Any = None) -> Tensor:
    """Return each row's total weight over all ranks."""
    if log_weights is None:
        total = torch.full_like(scores[:, 0], scores.shape[1])
    else:
        total = log_weights.exp().expand_as(scores).sum(dim=1)
    return over_ranks(total, dist.ReduceOp.SUM, group)


def over_ranks(numbers: Tensor, operation: Any, group: Any) -> Tensor:
    """Combine numbers over the ranks of a group, in place; with None there is one rank only."""
    if group is not None:
        dist.all_reduce(numbers, op=operation, group=group)
    return numbers


class _Threshold(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, k: Tensor, sharpness: float, log_weights: Tensor, group: Any
    ) -> Tensor:
        t, slope = _solve(scores.double(), k.double(), sharpness, log_weights.double(), group)
        ctx.save_for_backward(scores, log_weights, t, slope)
        ctx.sharpness, ctx.group = sharpness, group
        return t.to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scores, log_weights, t, slope = ctx.saved_tensors
        # Each rank's part of the loss depends on the one threshold: its gradient is their sum.
        gradient = over_ranks(gradient.double(), dist.ReduceOp.SUM, ctx.group)
        v = _parts(scores.double(), t, ctx.sharpness, log_weights.double())[2]
        return (v * (-gradient / slope)[:, None]).to(scores.dtype), None, None, None, None


def _solve(
    scores: Tensor, k: Tensor, sharpness: float, log_weights: Tensor, group: Any
) -> tuple[Tensor, Tensor]:
    """Return t and the sum of v: Newton steps, and halving wherever they do not pay.

    In float64 whatever the scores are: between well separated scores the sum is k to all digits of
    float32, and t is where the tails on both sides balance.
    """

    def sums(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = torch.stack([part.sum(dim=1) for part in _parts(scores, t, sharpness, log_weights)])
        above, tails, slope = over_ranks(parts, dist.ReduceOp.SUM, group)
        return above - k, tails, slope

    low, high = _bracket(scores, k, sharpness, log_weights, group)
    t, last = (low + high) / 2, high - low
    smallest = torch.finfo(scores.dtype).eps
    for _ in range(_STEPS):
        rest, tails, slope = sums(t)
        excess = rest + tails
        low, high = torch.where(excess < 0, t, low), torch.where(excess < 0, high, t)
        step = -excess / (sharpness * slope)
        newton = t + step
        # A row's Newton step pays if it stays inside and is less than half the one before.
        pays = (low <= newton) & (newton <= high) & (2 * step.abs() <= last)
        # The sum is known to some roundings of its parts: closer than that no step leads.
        there = excess.abs() <= 8 * smallest * (rest.abs() + slope)
        following = torch.where(there, t, torch.where(pays, newton, (low + high) / 2))
        last = (following - t).abs()
        settled = last <= smallest * (t.abs() + 1 / sharpness)
        t = following
        if bool(settled.all()):
            break
    return t, sums(t)[2].clamp(min=torch.finfo(scores.dtype).tiny)


def _bracket(
    scores: Tensor, k: Tensor, sharpness: float, log_weights: Tensor, group: Any
) -> tuple[Tensor, Tensor]:
    """Return the ends between which t lies: those for all scores equal to the extremes."""
    counted = log_weights.expand_as(scores) > -torch.inf
    largest = scores.masked_fill(~counted, -torch.inf).amax(dim=1)
    smallest = scores.masked_fill(~counted, torch.inf).amin(dim=1)
    ends = over_ranks(torch.stack([largest, -smallest]), dist.ReduceOp.MAX, group)
    total = total_weight(scores, log_weights, group)
    level = (k / (total - k)).log() / sharpness
    return level - ends[0], level + ends[1]


def _parts(
    scores: Tensor, t: Tensor, sharpness: float, log_weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return w [x > 0], its distance to w p, and v = w p (1 - p).

    The first is counted without rounding, and the second is right to all digits on both sides.
    """
    x = (scores + t[:, None]) * sharpness
    weights = log_weights.exp()
    above = x > 0
    tails = weights * (-x.abs()).sigmoid()
    return weights * above, torch.where(above, -tails, tails), tails * x.abs().sigmoid()
