"""The general case: any anchors, any candidates, logits of any size.

Blocks of rows reach over all columns. Each row's logits are shifted by their maximum m_i, unless
they are known to be small: E_ij = exp(<a_i, c_j> / tau - m_i), and U_i stands for the shifted mass.
With g_i = (gradient for log U_i) / U_i the backward pass is two products,

    dL/da_i = (g_i / tau) sum_j E_ij c_j,        dL/dc_j = (1 / tau) sum_i E_ij g_i a_i.
"""

import torch
from torch import Tensor

from l2s.kernels import buffers


def forward(
    anchors: Tensor,
    candidates: Tensor,
    excluded: Tensor,
    temperature: float,
    block_size: int,
    shifted: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the shifted U of every row, the shifts, and E where it is kept."""
    rows, columns = len(anchors), len(candidates)
    mass, shift = anchors.new_empty(rows), anchors.new_zeros(rows)
    kept = buffers.take(rows * columns if keep else 0, like=anchors)
    scratch = kept if keep else buffers.take(min(block_size, rows) * columns, like=anchors)
    for first in range(0, rows, block_size):
        own = slice(first, min(first + block_size, rows))
        memory = _part(scratch, own, columns, keep)
        block = _logits(anchors[own], candidates, excluded[own], temperature, memory)
        if shifted:
            torch.amax(block, dim=1, out=shift[own])
            block -= shift[own, None]
        mass[own] = block.exp_().sum(dim=1)
    return mass, shift, kept


def backward(
    coefficient: Tensor,
    anchors: Tensor,
    candidates: Tensor,
    excluded: Tensor,
    temperature: float,
    block_size: int,
    shift: Tensor,
    kept: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the gradients for anchors and candidates, given g_i = (gradient for log U_i) / U_i."""
    rows, columns = len(anchors), len(candidates)
    for_anchors, for_candidates = torch.empty_like(anchors), torch.zeros_like(candidates)
    keep = len(kept) > 0
    scratch = kept if keep else buffers.take(min(block_size, rows) * columns, like=anchors)
    factor = (coefficient / temperature)[:, None]
    for first in range(0, rows, block_size):
        own = slice(first, min(first + block_size, rows))
        block = _part(scratch, own, columns, keep)
        if not keep:
            block = _logits(anchors[own], candidates, excluded[own], temperature, block)
            block.sub_(shift[own, None]).exp_()
        torch.mm(block, candidates, out=for_anchors[own])
        for_candidates.addmm_(block.T, anchors[own] * factor[own])
    return for_anchors.mul_(factor), for_candidates


def _part(memory: Tensor, own: slice, columns: int, keep: bool) -> Tensor:
    """The memory of a block of rows: its own where all are kept, else the same for each."""
    height = own.stop - own.start
    start = own.start * columns if keep else 0
    return memory[start : start + height * columns].view(height, columns)


def _logits(
    anchors: Tensor, candidates: Tensor, excluded: Tensor, temperature: float, memory: Tensor
) -> Tensor:
    torch.mm(anchors / temperature, candidates.T, out=memory)
    return memory.scatter_(1, excluded, -torch.inf)
