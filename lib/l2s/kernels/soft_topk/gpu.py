"""The operator on a GPU: Triton, one program a row.

The search of ``cpu.py`` without its moments: each step reads the row again, from the second-level
cache where the rows fit there. Numbers of a row are in the dtype of the scores, those of the search
in float64. See ``reference.py`` for what a row's state holds.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from l2s.kernels.triton_maths import log1p

MARKS_BAD_ROWS = True
_BLOCK = 2048
_WARPS = 8
_STEPS = tl.constexpr(300)  # of the search, at most; it takes 2 to 60
_FAINT = tl.constexpr(1e-20)  # tails this small are looked at enlarged
_LOUDEST = tl.constexpr(60.0)  # but not beyond e^60
_BOUND = tl.constexpr(1e30)


def forward(scores: Tensor, k: Tensor, sharpness: float, log: bool) -> tuple[Tensor, Tensor]:
    """Return p (or log p) of every row, and the rows' states for ``backward``.

    The state is NaN in rows that hold a score that is not finite; their result means nothing.
    """
    result, state = torch.empty_like(scores), scores.new_empty(len(scores), 3)
    scale = _scale(scores, sharpness)
    forward_kernel[(len(scores),)](scores, k, scale, result, state, log, **_sizes(scores))
    return result, state


def backward(
    gradient: Tensor, scores: Tensor, state: Tensor, sharpness: float, log: bool
) -> Tensor:
    """Return the gradient for the scores, given the one for p (or log p)."""
    result, scale = torch.empty_like(scores), _scale(scores, sharpness)
    backward_kernel[(len(scores),)](
        gradient.contiguous(), scores, state, scale, result, log, **_sizes(scores)
    )
    return result


def _scale(scores: Tensor, sharpness: float) -> Tensor:
    # A tensor, since Triton rounds a Python number to float32.
    return torch.full((), sharpness, dtype=torch.float64, device=scores.device)


def _sizes(scores: Tensor) -> dict[str, Any]:
    columns = scores.shape[1]
    block = min(_BLOCK, triton.next_power_of_2(columns))
    return {
        "columns": columns,
        "BLOCK": block,
        "BLOCKS": triton.cdiv(columns, block),  # fixed when compiled: n may vary within a block
        "num_warps": max(1, min(_WARPS, block // 128)),
    }


@triton.jit
def forward_kernel(
    scores,
    k,
    scale,
    result,
    state,
    LOG: tl.constexpr,
    columns,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """One row: look for the threshold, then write p or log p and the row's state."""
    row = tl.program_id(0).to(tl.int64)
    kind = result.dtype.element_ty
    own = scores + row * columns
    alpha = tl.load(scale)
    wanted = tl.load(k + row)
    bottom, top, wrong = _ends(own, columns, BLOCK, BLOCKS)
    centre, offset, gap = _search(own, columns, wanted, alpha, bottom, top, wrong, BLOCK, BLOCKS)
    near, rest, slope = centre.to(kind), offset.to(kind), alpha.to(kind)
    if gap > 0:
        under, over = _edges(own, columns, near, slope, rest, BLOCK, BLOCKS)
        gap = tl.minimum(-under, over)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        x = _x(tl.load(own + place, place < columns, other=0), near, slope, rest)
        e = tl.exp(-tl.abs(x))
        if LOG:
            value = tl.minimum(x, 0) - log1p(e)
        else:
            value = tl.where(x >= 0, 1, e) / (1 + e)
        tl.store(result + row * columns + place, value, place < columns)
    marker = tl.where(wrong > 0, float("nan"), 0.0)
    tl.store(state + 3 * row, near + marker)
    tl.store(state + 3 * row + 1, rest + marker)
    tl.store(state + 3 * row + 2, gap.to(kind))


@triton.jit
def backward_kernel(
    gradient,
    scores,
    state,
    scale,
    result,
    LOG: tl.constexpr,
    columns,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """One row: sum u and v, both enlarged e^gap times, then write the gradient."""
    row = tl.program_id(0).to(tl.int64)
    kind = result.dtype.element_ty
    centre, offset = tl.load(state + 3 * row), tl.load(state + 3 * row + 1)
    gap = tl.load(state + 3 * row + 2)
    alpha = tl.load(scale).to(kind)
    pulled, slope = tl.zeros([BLOCK], kind), tl.zeros([BLOCK], kind)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        x = _x(tl.load(scores + row * columns + place, inside, other=0), centre, alpha, offset)
        g = tl.load(gradient + row * columns + place, inside, other=0)
        u, v = _pull(x, gap, LOG)
        slope += tl.where(inside, v, 0)
        pulled += tl.where(inside, g * u, 0)
    mean = (tl.sum(pulled.to(tl.float64)) / tl.sum(slope.to(tl.float64))).to(kind)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        x = _x(tl.load(scores + row * columns + place, inside, other=0), centre, alpha, offset)
        g = tl.load(gradient + row * columns + place, inside, other=0)
        if LOG:
            u, v = _pull(x, gap, LOG)
            value = g * u - mean * v
        else:
            u, v = _pull(x, tl.zeros_like(gap), LOG)
            value = v * (g - mean)
        tl.store(result + row * columns + place, alpha * value, inside)


@triton.jit
def _search(
    own, columns, wanted, alpha, bottom, top, wrong, BLOCK: tl.constexpr, BLOCKS: tl.constexpr
):
    """Return centre, offset and gap: x = alpha (s - centre) + offset has sum sigma(x) = k."""
    kind: tl.constexpr = own.dtype.element_ty
    eps: tl.constexpr = 2.0**-23 if kind == tl.float32 else 2.0**-52
    # A step h leaves an error below h^2.
    tolerance = top * 0 + (2e-4 if kind == tl.float32 else 1e-8)
    total = columns.to(tl.float64)
    few = wanted.to(tl.float64)
    logit = tl.log(few / (total - few))
    low, high = logit, logit + alpha * (top - bottom)
    mass = _mass(own, columns, top.to(kind), alpha.to(kind), BLOCK, BLOCKS)
    offset = tl.minimum(tl.maximum(low, tl.log(few) - tl.log(mass)), high)
    centre, gap = top, top * 0
    last, before = high * 0 + float("inf"), high * 0 + float("inf")
    left = tl.where(wrong > 0, 0, _STEPS)
    while left > 0:
        left -= 1
        # The centre follows the threshold, since x is exact only for scores close to the centre.
        nearest = (centre - offset / alpha).to(kind).to(tl.float64)
        nearest = tl.where(tl.abs(nearest) < float("inf"), nearest, centre)
        shift = alpha * (nearest - centre)
        slack = 1e-15 * tl.abs(shift)
        low, high, offset = low + shift - slack, high + shift + slack, offset + shift
        centre = nearest
        below, above, slope_below, slope_above, count = _tails(
            own,
            columns,
            centre.to(kind),
            alpha.to(kind),
            offset.to(kind),
            gap.to(kind),
            BLOCK,
            BLOCKS,
        )
        is_settled = count == few
        if is_settled & (tl.minimum(below, above) < _FAINT):
            # A gap so wide that nothing is left of the tails: look from its middle, through a
            # glass that enlarges both e^gap times. Once: then rounding decides which is nearer.
            is_second = gap > 0
            under, over = _edges(
                own, columns, centre.to(kind), alpha.to(kind), offset.to(kind), BLOCK, BLOCKS
            )
            offset = tl.where(is_second, offset, offset - (over + under) / 2)
            gap = (over - under) / 2
            tolerance = tl.maximum(tolerance, gap * eps)  # x is no better known
            left = tl.where(is_second | (tolerance > 1), 0, left)
        else:
            # In log odds, the difference to those of k / n: no digit is lost near the root.
            surplus = (count - few) + below - above
            mass, others = few + surplus, (total - few) - surplus
            ratio = total * surplus / (few * others)
            logarithm = tl.log(tl.where(is_settled, below / above, 1 + ratio))
            is_small = (tl.abs(ratio) < 1e-4) & (count != few)
            error = tl.where(is_small, ratio - ratio * ratio / 2, logarithm)
            slope = tl.where(
                is_settled,
                slope_below / below + slope_above / above,
                (slope_below + slope_above) * (1 / mass + 1 / others),
            )
            move = tl.where(slope > 0, -error / slope, float("inf"))
            low, high = tl.where(error < 0, offset, low), tl.where(error < 0, high, offset)
            half = (low + high) / 2 - offset
            is_near = tl.abs(move) <= tolerance
            is_narrow = high - low <= 1e-15 * tl.maximum(1, tl.abs(low))
            is_inside = (low < offset + move) & (offset + move < high)
            is_good = is_near | (is_inside & (tl.abs(move) <= before / 2))
            move = tl.where(is_good, move, half)
            before, last = last, tl.abs(move)
            offset += move
            left = tl.where(is_near | is_narrow, 0, left)
    return centre, offset, gap


@triton.jit
def _ends(own, columns, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """The smallest and the largest score, and how many are not finite."""
    low = tl.full([BLOCK], float("inf"), own.dtype.element_ty)
    high, wrong = -low, tl.zeros([BLOCK], tl.int32)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        s = tl.load(own + place, inside, other=0)
        wrong += tl.where(tl.abs(s) < float("inf"), 0, 1)
        low = tl.where(inside & (s < low), s, low)
        high = tl.where(inside & (s > high), s, high)
    return tl.min(low).to(tl.float64), tl.max(high).to(tl.float64), tl.sum(wrong)


@triton.jit
def _mass(own, columns, top, alpha, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """The sum of exp(alpha (s - top))."""
    mass = tl.zeros([BLOCK], own.dtype.element_ty)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        x = _x(tl.load(own + place, inside, other=0), top, alpha, top * 0)
        mass += tl.where(inside, tl.exp(tl.minimum(x, 0)), 0)
    return tl.sum(mass.to(tl.float64))


@triton.jit
def _tails(own, columns, centre, alpha, offset, gap, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """Sums of sigma(-|x|) e^gap and of its slope, below and above 0; and how many x are above."""
    below = tl.zeros([BLOCK], own.dtype.element_ty)
    above, slope_below, slope_above = below, below, below
    count = tl.zeros([BLOCK], tl.int32)
    rest = tl.exp(-gap)
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        x = _x(tl.load(own + place, inside, other=0), centre, alpha, offset)
        e = tl.exp(tl.minimum(gap - tl.abs(x), _LOUDEST))
        share = 1 / (1 + e * rest)
        tail = e * share
        is_over, is_under = inside & (x >= 0), inside & (x < 0)
        below += tl.where(is_under, tail, 0)
        above += tl.where(is_over, tail, 0)
        slope_below += tl.where(is_under, tail * share, 0)
        slope_above += tl.where(is_over, tail * share, 0)
        count += tl.where(is_over, 1, 0)
    return (
        tl.sum(below.to(tl.float64)),
        tl.sum(above.to(tl.float64)),
        tl.sum(slope_below.to(tl.float64)),
        tl.sum(slope_above.to(tl.float64)),
        tl.sum(count).to(tl.float64),
    )


@triton.jit
def _edges(own, columns, centre, alpha, offset, BLOCK: tl.constexpr, BLOCKS: tl.constexpr):
    """The largest x below 0 and the smallest above."""
    over = tl.full([BLOCK], float("inf"), own.dtype.element_ty)
    under = -over
    for block in range(BLOCKS):
        place = block * BLOCK + tl.arange(0, BLOCK)
        inside = place < columns
        x = _x(tl.load(own + place, inside, other=0), centre, alpha, offset)
        over = tl.where(inside & (x >= 0) & (x < over), x, over)
        under = tl.where(inside & (x < 0) & (x > under), x, under)
    return tl.max(under).to(tl.float64), tl.min(over).to(tl.float64)


@triton.jit
def _pull(x, gap, LOG: tl.constexpr):
    """Return u and v for a gradient of 1, enlarged e^gap times (u of log p is not)."""
    e = tl.exp(tl.minimum(gap - tl.abs(x), _LOUDEST))
    tail = e * tl.exp(-gap)
    share = 1 / (1 + tail)
    v = e * share * share
    u = v
    if LOG:
        u = tl.where(x < 0, share, share * tail)
    return u, v


@triton.jit
def _x(score, centre, alpha, offset):
    # Bounded, so that no difference of two infinities can arise.
    return tl.maximum(tl.minimum(alpha * (score - centre) + offset, _BOUND), -_BOUND)
