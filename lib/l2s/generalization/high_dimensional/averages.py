r"""Averages over the Marchenko-Pastur law that the error curves are made of.

The direct average of :math:`e^{-2\lambda t}` has a pole at λ = 0, close to the interval when α is
near 1. Here every integrand is :math:`(1 - d^2)/\lambda`, :math:`((1 - d)/\lambda)^2` or
:math:`d^2`, where d is the part of a mode that is left: these have no pole, whatever α is. In the
angle φ they are periodic and entire, so a midpoint rule errs exponentially little as soon as its
nodes see the width :math:`1/\sqrt{t}` of the modes that are still learning.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from l2s.generalization.high_dimensional.law import raw_nodes

_BASE = 32  # nodes that small times need
_DIGITS = 40.0  # exp(-40) is below a rounding
_MOST_NODES = 2**24
_CHUNK = 1_000_000  # entries of a table of modes: 8 MB, so that memory stays small


@dataclass(frozen=True)
class Averages:
    """Averages over λ > 0, each of shape (ratios, times).

    Attributes:
        moved: Of 1 - d^2.
        fitted: Of 1 - d: the share of a mode's noise that has been fitted.
        noise: Of (1 - d)^2 / λ.
        left: Of λ d^2.
    """

    moved: Tensor
    fitted: Tensor
    noise: Tensor
    left: Tensor


def averages(
    ratio: Tensor, time: Tensor, step_size: float | None, steps: Tensor | None
) -> Averages:
    """Average over the law for every ratio and time; steps belong to times, with a step size."""
    table = torch.empty(4, len(ratio), len(time), dtype=torch.float64)
    for nodes, rows, columns in _blocks(ratio, time, step_size is None):
        values, weights = raw_nodes(ratio[rows], nodes)
        if steps is None:
            gone = -torch.expm1(-values[:, :, None] * time[columns])
        else:
            gone = gone_after(values[:, :, None], step_size or 0.0, steps[columns])
        table[:, rows[:, None], columns] = _sums(values, weights, gone)
    for column in torch.isinf(time).nonzero()[:, 0].tolist():
        table[:, :, column] = _at_the_end(ratio)
    return Averages(*table)


def gone_after(values: Tensor, step_size: float, steps: Tensor) -> Tensor:
    """Return 1 - (1 - step_size λ)^steps without cancellation where little is gone."""
    base = 1 - step_size * values
    slow = -torch.expm1(steps * torch.log1p(-(step_size * values).clamp(max=0.5)))
    return torch.where(base > 0.5, slow, 1 - base**steps)


def _sums(values: Tensor, weights: Tensor, gone: Tensor) -> Tensor:
    """Reduce over the nodes, axis 1 of ``gone`` (ratios, nodes, times)."""
    over = (weights / values)[:, None]
    twice = (weights / values**2)[:, None]
    plain = weights[:, None]
    square = gone * gone
    fitted = over @ gone
    noise = twice @ square
    moved = 2 * fitted - over @ square  # 1 - d^2 = 2 (1 - d) - (1 - d)^2
    left = plain @ (1 - gone).square()
    return torch.cat([moved, fitted, noise, left], dim=1).transpose(0, 1)


def _at_the_end(ratio: Tensor) -> Tensor:
    """The limit of infinite time: everything with data is fitted."""
    mass = ratio.clamp(max=1)
    distance = (ratio - 1).abs()
    noise = torch.where(distance > 0, ratio.clamp(max=1) / distance, math.inf)
    return torch.stack([mass, mass, noise, torch.zeros_like(mass)])


def _blocks(ratio: Tensor, time: Tensor, flow: bool) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (nodes, rows, columns) that cover all ratios and finite times."""
    needed = _needed(ratio, time, flow)
    columns = torch.isfinite(time).nonzero()[:, 0]
    most = needed[:, columns].amax(dim=0) if len(columns) else columns
    if len(columns) and int(most.max()) > _MOST_NODES:
        raise ValueError(
            f"`time` holds {float(time[columns].max()):.3g}, too long to average with `ratio` so "
            "close to 1. Pass math.inf for the end of training, or a shorter time."
        )
    for size in most.unique().tolist():
        alike = columns[most == size]
        # Ratios far from 1 need fewer nodes than the worst one does.
        own = needed[:, alike].amax(dim=1)
        for nodes in own.unique().tolist():
            rows = (own == nodes).nonzero()[:, 0]
            per_row = max(1, _CHUNK // (nodes * len(alike)))
            per_column = max(1, _CHUNK // (nodes * min(per_row, len(rows))))
            for some, few in itertools.product(rows.split(per_row), alike.split(per_column)):
                yield nodes, some, few


def _needed(ratio: Tensor, time: Tensor, flow: bool) -> Tensor:
    """Nodes for each ratio and time, rounded up to powers of the square root of 2.

    On a strip of width y in the complex plane of φ the integrand grows like
    exp(t r (cosh y - 1)) at most, and the rule with n nodes errs by exp(-2 n y): n^2 = 40 t r is
    enough. For the flow nothing grows up to the pole, y = |log α| / 2, so that n = 40 / |log α| is.
    """
    width = 2 * ratio.sqrt()[:, None]
    nodes = (_DIGITS * time * width).sqrt()
    if flow:
        by_pole = (_DIGITS + time.log1p()) / ratio.log().abs()[:, None]
        nodes = torch.minimum(nodes, by_pole)
    exponent = (2 * (nodes.nan_to_num(posinf=0.0) + _BASE).log2()).ceil() / 2
    return (2**exponent).ceil().long()


def derivative(ratio: float, time: float, size: float, noise: float) -> float:
    """Half the derivative of the generalization error in a finite time; ``size`` is σ̄² + σ₀²."""
    alpha = torch.tensor([ratio], dtype=torch.float64)
    nodes = int(_needed(alpha, torch.tensor([time], dtype=torch.float64), flow=True))
    values, weights = raw_nodes(alpha, nodes)
    gone, left = -torch.expm1(-values * time), torch.exp(-values * time)
    return float((weights * left * (noise * gone / values - size * left)).sum())
