"""The operator on a GPU: Triton, one program a row, positives as a mask.

Each lane keeps its own (largest, sum of exp(s - largest)) over the blocks of a row; they are joined
at the end. Positives count as minus infinity. The positives' own terms take a second pass, which
loads only them. As in ``cpu.py``, l is kept in two parts.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from l2s.kernels.negative_mass.reference import as_mask
from l2s.kernels.triton_rows import log1p, sizes

MARKS_BAD_ROWS = False  # a list of positives must be looked at before it becomes a mask


def forward(scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return l, the loss of every row, and the rows' states (l in two parts) for ``backward``."""
    rows = len(scores)
    mass, loss, state = scores.new_empty(rows), scores.new_empty(rows), scores.new_empty(rows, 2)
    launched = sizes(scores.shape[1])
    forward_kernel[(rows,)](scores, _bytes(scores, positives), mass, loss, state, **launched)
    return mass, loss, state


def backward(
    for_mass: Tensor, for_loss: Tensor, scores: Tensor, positives: Tensor, state: Tensor
) -> Tensor:
    """Return the gradient for the scores, given those for l and for the loss."""
    result = torch.empty_like(scores)
    backward_kernel[(len(scores),)](
        for_mass.contiguous(),
        for_loss.contiguous(),
        scores,
        _bytes(scores, positives),
        state,
        result,
        **sizes(scores.shape[1]),
    )
    return result


def _bytes(scores: Tensor, positives: Tensor) -> Tensor:
    return as_mask(positives, scores.shape[1]).contiguous().view(torch.int8)


@triton.jit
def forward_kernel(
    scores, positives, mass, loss, state, columns, BLOCK: tl.constexpr, BLOCKS: tl.constexpr
):
    """One row: l, and the mean of softplus(l - s) over the positives."""
    row = tl.program_id(0).to(tl.int64)
    own, hidden = scores + row * columns, positives + row * columns
    near, rest = _log_mass(own, hidden, columns, BLOCK, BLOCKS)
    losses, count = tl.zeros([BLOCK], near.dtype), tl.zeros([BLOCK], tl.int32)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        is_positive = tl.load(hidden + place, place < columns, other=0) != 0
        x = (near - tl.load(own + place, is_positive, other=0)) + rest
        softplus = tl.maximum(x, 0) + log1p(tl.exp(-tl.abs(x)))
        losses += tl.where(is_positive, softplus, 0)
        count += tl.where(is_positive, 1, 0)
    tl.store(mass + row, near)
    tl.store(loss + row, tl.sum(losses) / tl.maximum(tl.sum(count), 1))
    tl.store(state + 2 * row, near)
    tl.store(state + 2 * row + 1, rest)


@triton.jit
def backward_kernel(
    for_mass,
    for_loss,
    scores,
    positives,
    state,
    result,
    columns,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """One row: the sum of q over the positives, then the gradient of all."""
    row = tl.program_id(0).to(tl.int64)
    own, hidden = scores + row * columns, positives + row * columns
    near, rest = tl.load(state + 2 * row), tl.load(state + 2 * row + 1)
    q, count = tl.zeros([BLOCK], near.dtype), tl.zeros([BLOCK], tl.int32)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        is_positive = tl.load(hidden + place, place < columns, other=0) != 0
        s = tl.load(own + place, is_positive, other=0)
        q += tl.where(is_positive, _sigmoid((near - s) + rest), 0)
        count += tl.where(is_positive, 1, 0)
    share = tl.load(for_loss + row) / tl.maximum(tl.sum(count), 1)
    pull = tl.load(for_mass + row) + share * tl.sum(q)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        is_positive = tl.load(hidden + place, inside, other=0) != 0
        x = (near - tl.load(own + place, inside, other=0)) + rest
        value = tl.where(is_positive, -share * _sigmoid(x), tl.exp(-x) * pull)
        tl.store(result + row * columns + place, value, inside)


@triton.jit
def _log_mass(own, hidden, columns, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """The log of the sum of exp(s) over the negatives, as the nearest float and the rest."""
    kind: tl.constexpr = own.dtype.element_ty
    largest = tl.full([BLOCK], float("-inf"), kind)
    total = tl.zeros([BLOCK], kind)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        is_positive = tl.load(hidden + place, place < columns, other=1) != 0
        s = tl.load(own + place, place < columns, other=0)
        s = tl.where(is_positive, float("-inf"), s)
        higher = tl.maximum(largest, s)
        zero = tl.where(higher == float("-inf"), 0, higher)  # no difference of two infinities
        total = total * tl.exp(largest - zero) + tl.exp(s - zero)
        largest = higher
    top = tl.max(largest)
    shift = tl.where(top == float("-inf"), 0, top)
    mass = tl.sum((total * tl.exp(largest - shift)).to(tl.float64))
    near = (top.to(tl.float64) + tl.log(mass)).to(kind)
    rest = (top.to(tl.float64) - near.to(tl.float64)) + tl.log(mass)
    rest = tl.where(top == float("-inf"), 0, rest)
    return near, rest.to(kind)


@triton.jit
def _sigmoid(x):
    e = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1, e) / (1 + e)
