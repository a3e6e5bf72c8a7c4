"""Experts that lie on several ranks of torch.distributed: tokens travel to them and back.

Rank r of R holds the r-th part of the experts. Rows sorted by expert are sorted by rank too, so one
exchange sends each rank its rows. They arrive sorted by sender first, are sorted by expert once
more, worked on, and go back the same way. The backward pass makes the same journeys.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from l2s import checks
from l2s.sparsity.moe_gating.dispatch import Dispatch, dispatch
from l2s.sparsity.moe_gating.experts import combine, run_experts


def own_experts(experts: int, group: Any) -> slice:
    """Which experts this rank holds."""
    if group is None:
        return slice(None)
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            "`group` is given, but torch.distributed has no process group. Call "
            "torch.distributed.init_process_group(...) first, or pass group=None."
        )
    size = dist.get_world_size(group)
    if experts % size:
        raise ValueError(
            f"`experts` is {experts}, but must be a multiple of the {size} ranks of `group`. "
            "Change one of them."
        )
    each = experts // size
    first = dist.get_rank(group) * each
    return slice(first, first + each)


def check_finite(inputs: Tensor, group: Any) -> None:
    """Raise on all ranks where one of them has tokens that are NaN or infinite: none may wait."""
    if group is None:
        return  # the gate looks at them
    wrong = (~torch.isfinite(inputs)).sum()
    everywhere = total(wrong.clone(), group)
    if everywhere:
        checks.finite("inputs", inputs)
        raise ValueError(
            f"`inputs` holds {int(everywhere)} values that are NaN or infinite on other ranks. "
            "Remove them, or lower the step size that made them."
        )


def total(numbers: Tensor, group: Any) -> Tensor:
    """The sum over the ranks of a group, the numbers themselves where there is none."""
    if group is None:
        return numbers
    numbers = numbers.clone()
    dist.all_reduce(numbers, group=group)
    return numbers


def run_experts_of(group: Any) -> Callable[..., Tensor]:
    """``run_experts`` for experts that are spread over the ranks of a group."""

    def run(
        inputs: Tensor, gates: Tensor, w_in: Tensor, w_out: Tensor, plan: Dispatch, activation: str
    ) -> Tensor:
        size, each = dist.get_world_size(group), len(w_in)
        sent = plan.sizes.view(size, each)
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent.contiguous(), group=group)
        there, here = sent.sum(dim=1).tolist(), received.sum(dim=1).tolist()
        rows = _Exchange.apply(inputs.index_select(0, plan.tokens), there, here, group)
        owner = torch.arange(each, device=inputs.device).repeat(size)
        chosen = owner.repeat_interleave(received.flatten())[:, None]
        worked = run_experts(
            rows,
            rows.new_ones(chosen.shape),
            _Mean.apply(w_in, size),
            _Mean.apply(w_out, size),
            dispatch(chosen, each),
            activation,
        )
        return combine(_Exchange.apply(worked, here, there, group), gates, plan)

    return run


class _Exchange(torch.autograd.Function):
    """Send each rank its part of the rows, and receive the parts for this one."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int], group: Any) -> Tensor:
        ctx.sent, ctx.received, ctx.group = sent, received, group
        return _exchange(rows, sent, received, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _exchange(gradient, ctx.received, ctx.sent, ctx.group), None, None, None


class _Mean(torch.autograd.Function):
    """The weights themselves; their gradients add up over ranks, and are divided to be a mean."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, size: int) -> Tensor:
        ctx.size = size
        return weights.view_as(weights)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient / ctx.size, None


def _exchange(rows: Tensor, sent: list[int], received: list[int], group: Any) -> Tensor:
    result = rows.new_empty(sum(received), rows.shape[1])
    dist.all_to_all_single(result, rows.contiguous(), received, sent, group=group)
    return result
