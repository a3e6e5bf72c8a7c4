r"""Sums over all pairs of two samples, pair by pair or through Chebyshev nodes.

The sum of softplus(u - s) over all u is a smooth function of s: its nearest singularity is π away
from the real line. So is that over all s, of u. Both samples fall into cells of width 2, and on a
cell such a function is its own interpolant through 20 Chebyshev nodes, to all digits of float64
(the error falls as :math:`(\pi + \sqrt{\pi^2 + 1})^{-20} \approx 10^{-16}`). A sample is then as
good as its weights on the nodes, and only pairs of *nodes* are left: 200 a side for scores from
-10 to 10, however many scores there are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from l2s.labels.extreme_labels.rows import hinge

_AT_ONCE = 2**20  # pairs held at once: they stay in the cache
_NODES = 20
_HALF = 1.0  # half a cell's width
_ROWS = 2**15  # scores whose polynomials are held at once


class PairSums(NamedTuple):
    """The sum of softplus(u - s) over all pairs, and of sigmoid(u - s) for each s and each u."""

    total: Tensor
    of_positive: Tensor
    of_negative: Tensor


def pair_sums(positive: Tensor, negative: Tensor, block_size: int | None) -> PairSums:
    """Return the sums in float64, in the cheaper way; with a block size pair by pair.

    Args:
        positive: s of shape (positives,), float32 or float64.
        negative: u of shape (negatives,), of the same dtype.
        block_size: Positives at a time; None lets the sizes decide.
    """
    if block_size is None:
        pairs = len(positive) * len(negative)
        if pairs > _AT_ONCE:
            sides = _Side(positive.double()), _Side(negative.double())
            if 4 * len(sides[0].nodes) * len(sides[1].nodes) < pairs:
                return _by_nodes(*sides)
    one = torch.ones((), dtype=torch.float64, device=positive.device)
    return _weighted(
        positive, one.expand(len(positive)), negative, one.expand(len(negative)), block_size
    )


def _by_nodes(positive: "_Side", negative: "_Side") -> PairSums:
    sums = _weighted(positive.nodes, positive.weights, negative.nodes, negative.weights, None)
    return PairSums(
        sums.total,
        positive.interpolate(sums.of_positive),
        negative.interpolate(sums.of_negative),
    )


def _weighted(
    positive: Tensor,
    positive_weights: Tensor,
    negative: Tensor,
    negative_weights: Tensor,
    block_size: int | None,
) -> PairSums:
    """Return the sums over all pairs, where each s and u counts as often as its weight says."""
    if block_size is None:
        block_size = max(1, _AT_ONCE // len(negative))
    total = positive_weights.new_zeros(())
    of_positive = torch.empty_like(positive_weights)
    of_negative = torch.zeros_like(negative_weights)
    weights = negative_weights.to(negative.dtype)
    for first in range(0, len(positive), block_size):
        own = slice(first, first + block_size)
        x = negative - positive[own, None]
        own_weights = positive_weights[own]
        total += own_weights @ (hinge(x) @ weights).double()
        x.sigmoid_()
        of_positive[own] = (x @ weights).double()
        of_negative += (own_weights.to(x.dtype) @ x).double()
    return PairSums(total, of_positive, of_negative)


class _Side:
    """A sample as weights on the Chebyshev nodes of the cells in which it has scores.

    Attributes:
        nodes: Float64 of shape (cells x 20,).
        weights: Of the same shape: the sum over the scores of f is that over the nodes of
            weight x f.
    """

    def __init__(self, scores: Tensor) -> None:
        self._scores = scores
        numbers = (scores / (2 * _HALF)).floor()
        cells, self._cell = numbers.unique(return_inverse=True)
        self._centre = (2 * cells + 1) * _HALF
        k = torch.arange(_NODES, dtype=torch.float64, device=scores.device)
        angles = torch.pi * (k + 0.5) / _NODES
        # Row j, column k: how much the value at node k adds to the coefficient of T_j.
        self._coefficients = 2 / _NODES * (k[:, None] * angles).cos()
        self._coefficients[0] /= 2
        self.nodes = (self._centre[:, None] + _HALF * angles.cos()).flatten()
        moments = scores.new_zeros(len(cells), _NODES)
        for part in torch.arange(len(scores), device=scores.device).split(_ROWS):
            moments.index_add_(0, self._cell[part], self._polynomials(part))
        self.weights = (moments @ self._coefficients).flatten()

    def interpolate(self, values: Tensor) -> Tensor:
        """Return at each score what a function is that has these values at the nodes."""
        coefficients = values.view(-1, _NODES) @ self._coefficients.T
        parts = torch.arange(len(self._scores), device=values.device).split(_ROWS)
        return torch.cat(
            [
                (self._polynomials(part) * coefficients[self._cell[part]]).sum(dim=1)
                for part in parts
            ]
        )

    def _polynomials(self, part: Tensor) -> Tensor:
        """Return T_0 to T_19 of the scores' places within their cells, from -1 to 1."""
        y = (self._scores[part] - self._centre[self._cell[part]]) / _HALF
        rows = [torch.ones_like(y), y]
        while len(rows) < _NODES:
            rows.append(2 * y * rows[-1] - rows[-2])
        return torch.stack(rows, dim=1)
