"""The operator on a GPU: Triton, one program a row.

The mean takes one pass, the deviation a second, and the threshold a third: a row comes from the
memory once and then from the cache. Two passes keep the digits that a large mean would cost. Lanes
sum in float32 (or float64), and are joined in float64.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from l2s import checks
from l2s.kernels.precision import wide
from l2s.kernels.triton_rows import halves, sizes


def forward(x: Tensor, quantile: float, correction: int, hard: bool) -> tuple[Tensor, Tensor, bool]:
    """Return y of every row, the rows' states, and whether these are finite.

    They are not where a number is NaN or infinite; the results of such rows mean nothing.
    """
    result = torch.empty_like(x)
    state = _launch(x, quantile, correction, result, "hard" if hard else "soft")
    return result, state, checks.sum_is_finite(state)


def mask(x: Tensor, quantile: float, correction: int) -> tuple[Tensor, bool]:
    """Return which numbers are kept, and whether the rows' states are finite."""
    result = torch.empty_like(x, dtype=torch.bool)
    state = _launch(x, quantile, correction, result.view(torch.int8), "mask")
    return result, checks.sum_is_finite(state)


def backward(
    gradient: Tensor, x: Tensor, state: Tensor, quantile: float, correction: int, hard: bool
) -> Tensor:
    """Return the gradient for x: the part that passes, less the pull of the threshold."""
    result = torch.empty_like(x)
    backward_kernel[(len(x),)](
        gradient,
        x,
        state,
        result,
        *_numbers(x, quantile, correction),
        HARD=hard,
        **sizes(x.shape[1]),
    )
    return result


def _launch(x: Tensor, quantile: float, correction: int, result: Tensor, kind: str) -> Tensor:
    state = x.new_empty(len(x), 3, dtype=wide(x.dtype))
    forward_kernel[(len(x),)](
        x,
        result,
        state,
        *_numbers(x, quantile, correction),
        KIND=kind,
        **sizes(x.shape[1]),
    )
    return state


def _numbers(x: Tensor, quantile: float, correction: int) -> tuple[float, float, int]:
    return *halves(quantile), x.shape[1] - correction


@triton.jit
def forward_kernel(
    x,
    result,
    state,
    quantile,
    rest_of_quantile,
    freedom,
    columns,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """One row: its mean, its deviation, its threshold, and what is kept."""
    row = tl.program_id(0).to(tl.int64)
    own, out = x + row * columns, result + row * columns
    kind: tl.constexpr = state.dtype.element_ty
    first = tl.load(own).to(kind)
    total = tl.zeros([BLOCK], kind)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        total += tl.where(inside, tl.load(own + place, inside, other=0).to(kind) - first, 0)
    # As distances from the first number: the mean of equal numbers is that number.
    centre = tl.sum(total.to(tl.float64)) / columns
    near = first + centre.to(kind)
    squares, rest = tl.zeros([BLOCK], kind), tl.zeros([BLOCK], kind)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        gap = tl.where(inside, tl.load(own + place, inside, other=0).to(kind) - near, 0)
        squares += gap * gap
        rest += gap
    # What rounding the mean left over is put back.
    missing = tl.sum(rest.to(tl.float64)) / columns
    spread = tl.sum(squares.to(tl.float64)) - missing * missing * columns
    deviation = tl.sqrt(tl.maximum(spread, 0) / freedom)
    mean = near.to(tl.float64) + missing
    above = deviation * quantile + deviation * rest_of_quantile
    threshold = (mean + above).to(kind)
    tl.store(state + 3 * row, mean.to(kind))
    tl.store(state + 3 * row + 1, deviation.to(kind))
    tl.store(state + 3 * row + 2, threshold)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        number = tl.load(own + place, inside, other=0).to(kind)
        is_kept = number > threshold
        if KIND == "mask":
            tl.store(out + place, is_kept.to(tl.int8), inside)
        else:
            kept = number if KIND == "hard" else number - threshold
            tl.store(out + place, tl.where(is_kept, kept, 0).to(out.dtype.element_ty), inside)


@triton.jit
def backward_kernel(
    gradient,
    x,
    state,
    result,
    quantile,
    rest_of_quantile,
    freedom,
    columns,
    HARD: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """One row: the sum of the gradient that passes, then the gradient of all."""
    row = tl.program_id(0).to(tl.int64)
    pulled, own, out = gradient + row * columns, x + row * columns, result + row * columns
    kind: tl.constexpr = state.dtype.element_ty
    mean, threshold = tl.load(state + 3 * row), tl.load(state + 3 * row + 2)
    passed = tl.zeros([BLOCK], kind)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        is_kept = inside & (tl.load(own + place, inside, other=0).to(kind) > threshold)
        passed += tl.where(is_kept, tl.load(pulled + place, inside, other=0).to(kind), 0)
    pull = tl.sum(passed.to(tl.float64))
    deviation = tl.load(state + 3 * row + 1).to(tl.float64)
    is_flat = deviation == 0
    slope = pull * quantile + pull * rest_of_quantile
    slope = slope / (freedom * tl.where(is_flat, 1, deviation))
    slope = tl.where(is_flat, 0, slope).to(kind)
    constant = (pull / columns).to(kind)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        number = tl.load(own + place, inside, other=0).to(kind)
        value = tl.where(number > threshold, tl.load(pulled + place, inside, other=0).to(kind), 0)
        if not HARD:
            value -= constant + slope * (number - mean)
        tl.store(out + place, value.to(out.dtype.element_ty), inside)
