"""The sums on a CPU: numba, 256 samples at a time, so that nothing leaves the cache.

A block of samples goes through short loops over samples, one for each expert or pair of experts:
each of them vectorises. Nothing of the size of the data is written. Chunks of samples are summed
apart and then added in their order, so that the result does not depend on the number of threads.
"""

import functools
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from l2s.kernels import native
from l2s.kernels.gated_moments import Moments
from l2s.kernels.native import element, loop
from l2s.kernels.native_team import in_team, parts_of

_BLOCK = 256
_CHUNK = 4096  # samples in one unit of a thread's work
_NEVER = -1e300  # the score of an expert that is not chosen
_RUN = 64  # ratios that are multiplied before a logarithm is taken of them


def moments(
    inputs: Tensor,
    targets: Tensor,
    gate: Tensor,
    lines: Tensor,
    variances: Tensor,
    k: int,
    row: Tensor,
    count: Tensor,
) -> Moments:
    """Return the sums of every fit."""
    fits, experts, wide = gate.shape
    owner, first, last = _chunks(count)
    sums = np.zeros((len(owner), _width(experts, wide)))
    parts = [
        np.ascontiguousarray(part.numpy())
        for part in (inputs.transpose(1, 2), targets, gate, lines, variances, row)
    ]
    ends = np.stack(np.triu_indices(wide), axis=1)
    given = (*parts, k, ends, owner, first, last, sums)
    _sum_all(given, len(owner), int(count.sum()) * experts, torch.get_num_threads())
    total = torch.zeros(fits, sums.shape[1], dtype=torch.float64)
    total.index_add_(0, torch.from_numpy(owner), torch.from_numpy(sums))
    return _unpack(total, experts, wide)


def _chunks(count: Tensor) -> tuple[Any, Any, Any]:
    """Cut each fit's samples into chunks: the fit of each, its first sample and its end."""
    cut = [
        (fit, start, min(start + _CHUNK, n))
        for fit, n in enumerate(count.tolist())
        for start in range(0, n, _CHUNK)
    ]
    table = np.array(cut, dtype=np.int64).reshape(-1, 3)
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2].copy()


def _width(experts: int, wide: int) -> int:
    squares = wide * (wide + 1) // 2
    return 1 + experts * (squares + 2 * wide + 1) + experts * (experts - 1) // 2 * squares


def _unpack(total: Tensor, experts: int, wide: int) -> Moments:
    """Give the packed sums their names and shapes; of symmetric ones half was summed."""
    fits, squares = len(total), wide * (wide + 1) // 2
    couples = experts * (experts - 1) // 2
    sizes = [1, experts * squares, experts * wide, experts, experts * wide, couples * squares]
    one, gram, cross, power, gradient, shared = total.split(sizes, dim=1)
    place, couple = _places(wide, 0), _places(experts, 1)
    # Without its diagonal, which is minus the sum of its row, since the π of a sample sum to 1.
    both = F.pad(shared.view(fits, couples, squares), (0, 0, 0, 1))[:, couple]
    curvature = torch.diag_embed(both.sum(2).transpose(1, 2)).movedim(1, -1) - both
    return Moments(
        one[:, 0],
        gradient.reshape(fits, experts, wide),
        curvature[..., place],
        gram.reshape(fits, experts, squares)[..., place],
        cross.reshape(fits, experts, wide),
        power.reshape(fits, experts),
    )


@functools.cache
def _places(size: int, above: int) -> Tensor:
    """Where each entry of a symmetric matrix stands in its packed upper part, from a diagonal on.

    Entries below that diagonal and above its mirror have the place after the last.
    """
    rows, columns = np.triu_indices(size, above)
    place = torch.full((size, size), len(rows))
    place[rows, columns] = place[columns, rows] = torch.arange(len(rows))
    return place


@element
def _sum_all(given, rows, numbers, limit):
    in_team(_sums, given, rows, parts_of(rows, numbers, limit))


@loop
def _sums(x, y, gate, lines, variances, row, k, pairs, owner, first, last, sums, part, low, high):
    experts, wide = gate.shape[1], gate.shape[2]
    scores, logits = np.empty((experts, _BLOCK)), np.empty((experts, _BLOCK))
    features, squares = np.ones((wide, _BLOCK)), np.empty((len(pairs), _BLOCK))
    scratch = np.empty((5, _BLOCK))
    for item in range(low, high):
        fit = owner[item]
        for start in range(first[item], last[item], _BLOCK):
            size = min(_BLOCK, last[item] - start)
            here = slice(start, start + size)
            for c in range(wide - 1):
                features[c, :size] = x[row[fit], c, here]
            for c in range(len(pairs)):
                a, b = features[pairs[c, 0]], features[pairs[c, 1]]
                for n in range(size):
                    squares[c, n] = a[n] * b[n]
            target = y[row[fit], here]
            _gate_scores(features, gate[fit], k, scores, logits, scratch, size)
            sums[item, 0] += _posterior(
                features, target, lines[fit], variances[fit], scores, logits, scratch, size
            )
            _add(features, squares, target, scores, logits, scratch, sums[item], size)


@loop
def _gate_scores(features, gate, k, scores, logits, scratch, size):
    """Write the scores with bias of the chosen experts, and a very low one for the others."""
    experts, wide = gate.shape
    rank = scratch[0]
    for i in range(experts):
        one = logits[i]  # borrowed for the scores without bias
        for n in range(size):
            one[n] = 0.0
        for c in range(wide - 1):
            factor, feature = gate[i, c], features[c]
            for n in range(size):
                one[n] += factor * feature[n]
    for i in range(experts):
        one, result, bias = logits[i], scores[i], gate[i, wide - 1]
        for n in range(size):
            rank[n] = 0.0
        if k < experts:
            for j in range(experts):
                other = logits[j]
                if j < i:  # of equal scores the lower index goes first
                    for n in range(size):
                        rank[n] += 1.0 if other[n] >= one[n] else 0.0
                else:
                    for n in range(size):
                        rank[n] += 1.0 if other[n] > one[n] else 0.0
        for n in range(size):
            result[n] = one[n] + bias if rank[n] < k else _NEVER


@loop
def _posterior(features, target, lines, variances, scores, logits, scratch, size):
    """Turn scores into π and logits into r; return the sum of the log-likelihoods."""
    experts, wide = lines.shape
    top, best, mass, joint, ratio = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for n in range(size):
        top[n], best[n], mass[n], joint[n] = _NEVER, _NEVER, 0.0, 0.0
    for i in range(experts):
        half, constant = 0.5 / variances[i], 0.5 * math.log(2 * math.pi * variances[i])
        one, score = logits[i], scores[i]
        for n in range(size):
            one[n] = target[n] - lines[i, wide - 1]
        for c in range(wide - 1):
            factor, feature = lines[i, c], features[c]
            for n in range(size):
                one[n] -= factor * feature[n]
        for n in range(size):
            one[n] = score[n] - constant - half * one[n] * one[n]
            top[n], best[n] = max(top[n], score[n]), max(best[n], one[n])
    for i in range(experts):
        one, score = logits[i], scores[i]
        for n in range(size):
            score[n] = native.exp(score[n] - top[n])
            one[n] = native.exp(one[n] - best[n])
            mass[n] += score[n]
            joint[n] += one[n]
    total = 0.0
    for n in range(size):
        total += best[n] - top[n]
        ratio[n] = joint[n] / mass[n]
        mass[n], joint[n] = 1 / mass[n], 1 / joint[n]
    for start in range(0, size, _RUN):  # each ratio lies between 1 / experts and experts
        product = 1.0
        for n in range(start, min(start + _RUN, size)):
            product *= ratio[n]
        total += math.log(product)
    for i in range(experts):
        one, score = logits[i], scores[i]
        for n in range(size):
            score[n] *= mass[n]
            one[n] *= joint[n]
    return total


@loop
def _add(features, squares, target, pi, r, scratch, sums, size):
    """Add a block's sums behind each other, in the order in which ``_unpack`` reads them."""
    experts, wide, count = len(pi), len(features), len(squares)
    at, weight = 1, scratch[0]
    for i in range(experts):
        for c in range(count):
            sums[at] += _dot(r[i], squares[c], size)
            at += 1
    for i in range(experts):
        for n in range(size):
            weight[n] = r[i, n] * target[n]
        for c in range(wide):
            sums[at] += _dot(weight, features[c], size)
            at += 1
    for i in range(experts):
        for n in range(size):
            weight[n] = r[i, n] * target[n]
        sums[at] += _dot(weight, target, size)
        at += 1
    for i in range(experts):
        for n in range(size):
            weight[n] = r[i, n] - pi[i, n]
        for c in range(wide):
            sums[at] += _dot(weight, features[c], size)
            at += 1
    for i in range(experts):
        for j in range(i + 1, experts):
            for n in range(size):
                weight[n] = pi[i, n] * pi[j, n]
            for c in range(count):
                sums[at] += _dot(weight, squares[c], size)
                at += 1


@loop
def _dot(a, b, size):
    total = 0.0
    for n in range(size):
        total += a[n] * b[n]
    return total
