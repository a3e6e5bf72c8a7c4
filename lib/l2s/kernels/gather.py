"""Gather rows across the ranks of torch.distributed, with gradients."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from l2s import checks


@checks.typed
def gather_rows(
    rows: Shaped[Tensor, "batch ..."],
) -> tuple[Shaped[Tensor, "everyone ..."], int]:
    """Return the rows of all ranks, in rank order, and the index of this rank's first row.

    The gradient of a row is the sum of its gradients on all ranks, so that a loss of which every
    rank holds its own part has the gradient of the whole once the ranks' gradients are averaged
    (as ``DistributedDataParallel`` does) and each part is a mean over equally many rows.

    Args:
        rows: Shape (batch, ...), the same on every rank.

    Raises:
        ValueError: No process group is initialised, or the ranks hold different shapes.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            "`gather_negatives` is True, but torch.distributed has no process group. Call "
            "torch.distributed.init_process_group(...) first, or pass gather_negatives=False."
        )
    _check_same_shape(rows)
    return _GatherRows.apply(rows), dist.get_rank() * rows.shape[0]


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.batch = rows.shape[0]
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        first = dist.get_rank() * ctx.batch
        return total[first : first + ctx.batch]


def _check_same_shape(rows: Tensor) -> None:
    own = torch.tensor(rows.shape, device=rows.device)
    shapes = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, own)
    found = [tuple(shape.tolist()) for shape in shapes]
    if len(set(found)) > 1:
        raise ValueError(
            f"The ranks hold batches of different shapes, {found}, but gathering needs equal ones. "
            "Drop the last incomplete batch (drop_last=True), or pass gather_negatives=False."
        )
