"""The operator on a CPU: numba, a row at a time, so that a row is in the cache when it is reread.

One pass gives each block of 512 scores its largest m and the moments sum e^n, n = 1 to 5, with
e = exp(alpha (s - m)). Where a block lies some units below the threshold, sigma(x) is
e^x - e^2x + ... + e^5x to all digits, so its part of the sum costs five numbers instead of 512
sigmoids at each step of the search. Near the threshold and above it the sigmoids are computed. See
``reference.py`` for what a row's state holds.
"""

import math

import numpy as np
import torch
from torch import Tensor

from l2s.kernels import buffers, native
from l2s.kernels.native import as_array, element, loop
from l2s.kernels.native_team import in_team, parts_of

MARKS_BAD_ROWS = True
_BLOCK = 512
_BOUND = np.float32(1e30)
_LOUDEST = np.float32(60)  # no tail is enlarged beyond e^60
_STEPS = 300  # the search takes 2 to 60: each third step halves the bracket
_TOLERANCE = {torch.float32: 2e-4, torch.float64: 1e-8}  # a step h leaves an error below h^2
_FAINT = 1e-20  # tails this small are looked at enlarged
_FAR = {torch.float32: -3.25, torch.float64: -7.35}  # e^(5 x) is below the precision


def forward(scores: Tensor, k: Tensor, sharpness: float, log: bool) -> tuple[Tensor, Tensor]:
    """Return p (or log p) of every row, and the rows' states for ``backward``.

    The state is NaN in rows that hold a score that is not finite; their result means nothing.
    """
    rows, columns = scores.shape
    given = as_array(scores)
    result, state = buffers.array(given.shape, given.dtype), np.empty((rows, 3), given.dtype)
    arrays, scale = (given, as_array(k), result, state), given.dtype.type(sharpness)
    far, tolerance = _FAR[scores.dtype], _TOLERANCE[scores.dtype]
    _forward((*arrays, scale, far, tolerance, log), rows, rows * columns, torch.get_num_threads())
    return torch.from_numpy(result), torch.from_numpy(state)


def backward(
    gradient: Tensor, scores: Tensor, state: Tensor, sharpness: float, log: bool
) -> Tensor:
    """Return the gradient for the scores, given the one for p (or log p)."""
    given = as_array(scores)
    result = buffers.array(given.shape, given.dtype)
    arrays = (as_array(gradient.contiguous()), given, as_array(state), result)
    scale = given.dtype.type(sharpness)
    _backward((*arrays, scale, log), len(scores), scores.numel(), torch.get_num_threads())
    return torch.from_numpy(result)


@element
def _forward(given, rows, numbers, limit):
    in_team(_find, given, rows, parts_of(rows, numbers, limit))


@element
def _backward(given, rows, numbers, limit):
    in_team(_return, given, rows, parts_of(rows, numbers, limit))


@element
def _find(scores, k, result, state, scale, far, tolerance, log, part, first, last):
    blocks = (scores.shape[1] + _BLOCK - 1) // _BLOCK
    moments = np.empty((blocks, 6))
    for i in range(first, last):
        row = scores[i]
        bottom, top = _summarise(row, scale, moments)
        if not (math.isfinite(bottom) and math.isfinite(top)):
            state[i] = np.nan
            continue
        centre, offset, gap = _search(row, k[i], float(scale), bottom, top, moments, far, tolerance)
        state[i, 0], state[i, 1], state[i, 2] = centre, offset, 0
        if gap > 0:
            under, over = _edges(row, state[i, 0], scale, state[i, 1])
            state[i, 2] = min(-under, over)
        for block in range(blocks):
            part = slice(block * _BLOCK, (block + 1) * _BLOCK)
            if log:
                _write_log(row[part], result[i][part], state[i, 0], scale, state[i, 1])
            else:
                _write_p(row[part], result[i][part], state[i, 0], scale, state[i, 1])


@element
def _summarise(row, scale, moments):
    """Write the largest of each block and its five moments; return the row's ends."""
    bottom, top = np.inf, -np.inf
    for block in range(len(moments)):
        part = row[block * _BLOCK : (block + 1) * _BLOCK]
        low, high = native.ends(part)
        if not (math.isfinite(low) and math.isfinite(high)):
            return np.nan, np.nan
        bottom, top = min(bottom, float(low)), max(top, float(high))
        moments[block, 0] = high
        one, two, three, four, five = _powers(part, high, scale)
        moments[block, 1], moments[block, 2], moments[block, 3] = one, two, three
        moments[block, 4], moments[block, 5] = four, five
    return bottom, top


@element
def _search(row, k, scale, bottom, top, moments, far, tolerance):
    """Return centre, offset and gap: x = scale (s - centre) + offset has sum sigma(x) = k."""
    kind = row.dtype.type
    logit = math.log(k / (row.size - k))
    low, high = logit, logit + scale * (top - bottom)  # holds the root, in offsets from the top
    high = min(high, _enough(moments, k, scale, bottom, top))
    offset = min(max(low, math.log(k) - _log_mass(moments, scale, top)), high)
    centre, gap, last, before = top, 0.0, np.inf, np.inf
    for _ in range(_STEPS):
        # The centre follows the threshold, since x is exact only for scores close to the centre.
        nearest = float(kind(centre - offset / scale))
        if math.isfinite(nearest):
            shift = scale * (nearest - centre)
            slack = 1e-15 * abs(shift)
            low, high, offset = low + shift - slack, high + shift + slack, offset + shift
            centre = nearest
        below, above, slope_below, slope_above, count = _tails(
            row, centre, scale, offset, gap, moments, far
        )
        if count == k and min(below, above) < _FAINT:
            if gap > 0:  # so wide that rounding decides which side is nearer
                return centre, offset, gap
            # A gap so wide that nothing is left of the tails: look from its middle, through a
            # glass that enlarges both e^gap times.
            under, over = _edges(row, centre, scale, offset)
            offset, gap = offset - (over + under) / 2, (over - under) / 2
            tolerance = max(tolerance, gap * np.finfo(kind).eps)  # x is no better known
            if tolerance > 1:  # and the middle is all that its digits can tell
                return centre, offset, gap
            continue
        if count == k:
            error = math.log(below / above)
            move = -error / (slope_below / below + slope_above / above)
        else:
            # In log odds, the difference to those of k / n: no digit is lost near the root.
            surplus = (count - k) + below - above
            mass, others = k + surplus, (row.size - k) - surplus
            error = math.log1p(row.size * surplus / (k * others))
            slope = (slope_below + slope_above) * (1 / mass + 1 / others)
            move = -error / slope if slope > 0 else np.inf
        if error < 0:
            low = offset
        else:
            high = offset
        if abs(move) <= tolerance:
            return centre, offset + move, gap
        if high - low <= 1e-15 * max(1.0, abs(low)):
            return centre, (low + high) / 2, gap
        if not low < offset + move < high or abs(move) > before / 2:
            move = (low + high) / 2 - offset
        before, last = last, abs(move)
        offset += move
    return centre, offset, gap


@element
def _enough(moments, k, scale, bottom, top):
    """An offset that is too high: 2 k blocks hold a score above, and each gives a half or more."""
    if 2 * k > len(moments):
        return np.inf
    low, high = bottom, top
    for _ in range(20):
        middle = (low + high) / 2
        count = 0
        for block in range(len(moments)):
            count += 1 if moments[block, 0] >= middle else 0
        if count >= 2 * k:
            low = middle
        else:
            high = middle
    return scale * (top - low)


@element
def _log_mass(moments, scale, top):
    """The log of sum exp(scale (s - top)), from the blocks' first moments."""
    mass = 0.0
    for block in range(len(moments)):
        mass += moments[block, 1] * math.exp(scale * (moments[block, 0] - top))
    return math.log(mass)


@element
def _tails(row, centre, scale, offset, gap, moments, far):
    """Sums of sigma(-|x|) e^gap and of its slope, below and above 0; and how many x are above.

    So sum sigma(x) - k is (count - k) + below - above without any cancellation.
    """
    kind = row.dtype.type
    below, above, slope_below, slope_above = 0.0, 0.0, 0.0, 0.0
    count = 0
    rest = math.exp(-gap)
    for block in range(len(moments)):
        largest = scale * (moments[block, 0] - centre) + offset
        if largest < far:
            e, ratio = math.exp(largest + gap), -math.exp(largest)
            for power in range(1, 6):
                below += moments[block, power] * e
                slope_below += power * moments[block, power] * e
                e *= ratio
            continue
        part = row[block * _BLOCK : (block + 1) * _BLOCK]
        sums = _block_tails(part, kind(centre), kind(scale), kind(offset), kind(gap), kind(rest))
        below += sums[0]
        above += sums[1]
        slope_below += sums[2]
        slope_above += sums[3]
        count += int(sums[4])
    return below, above, slope_below, slope_above, count


@element
def _edges(row, centre, scale, offset):
    """The largest x below 0 and the smallest above."""
    kind = row.dtype.type
    under, over = -np.inf, np.inf
    for i in range(row.size):
        x = float(_x(row[i], kind(centre), kind(scale), kind(offset)))
        under = x if under < x < 0 else under
        over = x if 0 <= x < over else over
    return under, over


@element
def _return(gradient, scores, state, result, scale, log, part, first, last):
    kind = scores.dtype.type
    blocks = (scores.shape[1] + _BLOCK - 1) // _BLOCK
    for i in range(first, last):
        centre, offset, gap = state[i]
        rest = kind(math.exp(-gap))
        pulled, slope = 0.0, 0.0
        for block in range(blocks):
            here = slice(block * _BLOCK, (block + 1) * _BLOCK)
            g, s = gradient[i][here], scores[i][here]
            sums = _pull(g, s, centre, scale, offset, gap, rest, log)
            pulled += sums[0]
            slope += sums[1]
        mean = kind(pulled / slope)
        for block in range(blocks):
            here = slice(block * _BLOCK, (block + 1) * _BLOCK)
            g, s, out = gradient[i][here], scores[i][here], result[i][here]
            if log:
                _push_log(g, s, out, centre, scale, offset, gap, rest, mean)
            else:
                _push_p(g, s, out, centre, scale, offset, mean)


@element
def _x(score, centre, scale, offset):
    # Bounded, so that no difference of two infinities can arise.
    return max(min(scale * (score - centre) + offset, _BOUND), -_BOUND)


@loop
def _powers(part, high, scale):
    one = two = three = four = five = zero = part.dtype.type(0)
    for i in range(part.size):
        e = native.exp(_x(part[i], high, scale, zero))
        square = e * e
        one += e
        two += square
        three += square * e
        four += square * square
        five += square * square * e
    return one, two, three, four, five


@loop
def _block_tails(part, centre, scale, offset, gap, rest):
    zero, unit = part.dtype.type(0), part.dtype.type(1)
    below = above = slope_below = slope_above = count = zero
    for i in range(part.size):
        x = _x(part[i], centre, scale, offset)
        e = native.exp(min(gap - abs(x), _LOUDEST))
        share = unit / (unit + e * rest)
        tail = e * share
        slope = tail * share
        is_over = x >= zero
        below += zero if is_over else tail
        above += tail if is_over else zero
        slope_below += zero if is_over else slope
        slope_above += slope if is_over else zero
        count += unit if is_over else zero
    return below, above, slope_below, slope_above, count


@element
def _write_p(part, out, centre, scale, offset):
    zero, unit = part.dtype.type(0), part.dtype.type(1)
    for i in range(part.size):
        x = _x(part[i], centre, scale, offset)
        e = native.exp(-abs(x))
        out[i] = (unit if x >= zero else e) / (unit + e)


@element
def _write_log(part, out, centre, scale, offset):
    zero = part.dtype.type(0)
    for i in range(part.size):
        x = _x(part[i], centre, scale, offset)
        out[i] = min(x, zero) - native.log1p(native.exp(-abs(x)))


@loop
def _pull(gradient, scores, centre, scale, offset, gap, rest, log):
    """The sums of u and v, both enlarged e^gap times where only their ratio counts."""
    zero, unit = scores.dtype.type(0), scores.dtype.type(1)
    pulled = slope = zero
    for i in range(scores.size):
        x = _x(scores[i], centre, scale, offset)
        e = native.exp(min(gap - abs(x), _LOUDEST))
        tail = e * rest
        share = unit / (unit + tail)
        v = e * share * share
        u = (share if x < zero else share * tail) if log else v
        slope += v
        pulled += gradient[i] * u
    return pulled, slope


@element
def _push_p(gradient, scores, out, centre, scale, offset, mean):
    unit = scores.dtype.type(1)
    for i in range(scores.size):
        e = native.exp(-abs(_x(scores[i], centre, scale, offset)))
        share = unit / (unit + e)
        out[i] = scale * (e * share * share * (gradient[i] - mean))


@element
def _push_log(gradient, scores, out, centre, scale, offset, gap, rest, mean):
    zero, unit = scores.dtype.type(0), scores.dtype.type(1)
    for i in range(scores.size):
        x = _x(scores[i], centre, scale, offset)
        e = native.exp(min(gap - abs(x), _LOUDEST))
        tail = e * rest
        share = unit / (unit + tail)
        u = share if x < zero else share * tail
        out[i] = scale * (gradient[i] * u - mean * (e * share * share))
