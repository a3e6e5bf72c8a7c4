"""The fast case: the anchors are their own candidates, and no logit is large.

E_ij = exp(<z_i, z_j> / tau) is symmetric, so only blocks on and above its diagonal are computed.
A block of rows reaches from its own diagonal square to the last column; its row sums belong to its
rows, and the sums of its columns beyond the square to the rows of those columns. The backward pass
works the same way: with c_i = dL/dlogU_i / U_i,

    dL/dz_i = (1 / tau) sum_j (c_i + c_j) E_ij z_j.

Half of E is kept between the passes, or each block is computed again where nothing was kept.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from l2s.kernels import buffers


def forward(
    z: Tensor, excluded: Tensor, temperature: float, block_size: int, keep: bool
) -> tuple[Tensor, Tensor]:
    """Return U of every row, and the blocks of E one after another where they are kept."""
    rows = len(z)
    mass = z.new_zeros(rows)
    kept = buffers.take(kept_size(rows, block_size) if keep else 0, like=z)
    scratch = kept if keep else buffers.take(min(block_size, rows) * rows, like=z)
    scaled = z / temperature
    for first, last, start, stop in _blocks(rows, block_size):
        memory = scratch[start:stop] if keep else scratch[: stop - start]
        block = _exponentials(scaled, z, excluded, first, last, memory)
        mass[first:last] += block.sum(dim=1)
        mass[last:] += block[:, last - first :].sum(dim=0)
    return mass, kept


def backward(
    coefficient: Tensor,
    z: Tensor,
    excluded: Tensor,
    temperature: float,
    block_size: int,
    kept: Tensor,
) -> Tensor:
    """Return the gradient for z, given c_i = (gradient for log U_i) / U_i."""
    rows = len(z)
    gradient = torch.zeros_like(z)
    largest = min(block_size, rows) * rows
    weights = buffers.take(largest, like=z)
    scratch = kept if len(kept) else buffers.take(largest, like=z)
    scaled = z / temperature
    for first, last, start, stop in _blocks(rows, block_size):
        size, shape = stop - start, (last - first, rows - first)
        if len(kept):
            block = kept[start:stop].view(shape)
        else:
            block = _exponentials(scaled, z, excluded, first, last, scratch[:size])
        weight = weights[:size].view(shape)
        torch.add(coefficient[first:last, None], coefficient[first:], out=weight)
        weight *= block
        gradient[first:last].addmm_(weight, scaled[first:])
        gradient[last:].addmm_(weight[:, last - first :].T, scaled[first:last])
    return gradient


def kept_size(rows: int, block_size: int) -> int:
    """How many numbers all blocks hold together."""
    full, rest = divmod(rows, block_size)
    return block_size * (full * rows - block_size * (full * (full - 1) // 2)) + rest * rest


def _blocks(rows: int, block_size: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield each block's first and last row, and where it starts and stops in the kept memory."""
    start = 0
    for first in range(0, rows, block_size):
        last = min(first + block_size, rows)
        stop = start + (last - first) * (rows - first)
        yield first, last, start, stop
        start = stop


def _exponentials(
    scaled: Tensor, z: Tensor, excluded: Tensor, first: int, last: int, memory: Tensor
) -> Tensor:
    """Write E for the rows first to last and the columns from first on into the given memory."""
    block = memory.view(last - first, len(z) - first)
    torch.mm(scaled[first:last], z[first:].T, out=block)
    block.exp_()
    column = excluded[first:last] - first
    # A column before the block was met by an earlier one: name the row's own column twice instead.
    diagonal = torch.arange(last - first, device=z.device)[:, None]
    return block.scatter_(1, torch.where(column < 0, diagonal, column), 0)
