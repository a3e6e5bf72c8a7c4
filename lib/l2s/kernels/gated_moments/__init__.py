r"""One pass of maximum likelihood for mixtures of linear experts behind a top-K gate.

An expert is a line with Gaussian noise; the gate scores each expert by a linear function of the
input, keeps the K largest scores, adds a bias to them, and takes a softmax. One pass over the
samples gives everything that a step of EM, of gradient ascent or of a quasi-Newton method needs:
the likelihood, and sums whose size does not depend on the number of samples.

``reference.py`` is the definition, ``cpu.py`` (numba) the fast way. Many fits run in one call, each
on as many of the first samples of its own row of data as it asks for.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.backends import backend

__all__ = ["Moments", "gated_moments"]


class Moments(NamedTuple):
    r"""Sums over the samples of each fit, float64. Here x̃ = (x, 1), and the dim + 1 axis is its.

    With π the gate's probabilities and r the responsibilities (the gate's, after seeing y):

    Attributes:
        log_likelihood: :math:`\sum \log \sum_i \pi_i f_i(y)`, shape (fits,).
        gate_gradient: :math:`\sum (r_i - \pi_i)\, \tilde x`, the derivative of the log-likelihood
            in the gate's slopes and biases with the selection held fixed; (fits, experts, dim + 1).
        gate_curvature: :math:`\sum \pi_i (\delta_{ij} - \pi_j)\, \tilde x \tilde x^\top`, shape
            (fits, experts, experts, dim + 1, dim + 1).
        gram: :math:`\sum r_i\, \tilde x \tilde x^\top`, shape (fits, experts, dim + 1, dim + 1).
        cross: :math:`\sum r_i\, \tilde x y`, shape (fits, experts, dim + 1).
        power: :math:`\sum r_i\, y^2`, shape (fits, experts).
    """

    log_likelihood: Tensor
    gate_gradient: Tensor
    gate_curvature: Tensor
    gram: Tensor
    cross: Tensor
    power: Tensor


@checks.typed
def gated_moments(
    inputs: Float64[Tensor, "rows samples dim"],
    targets: Float64[Tensor, "rows samples"],
    gate: Float64[Tensor, "fits experts inputs"],
    lines: Float64[Tensor, "fits experts inputs"],
    variances: Float64[Tensor, "fits experts"],
    k: int,
    *,
    row: Int[Tensor, " fits"] | None = None,
    count: Int[Tensor, " fits"] | None = None,
) -> Moments:
    r"""Return the log-likelihood of each fit and the sums that its next step needs.

    .. math:: \log \sum_i \pi_i(x)\, \mathcal N(y;\, a_i^\top x + b_i,\, \sigma_i), \qquad
        \pi = \operatorname{softmax}(\beta_1^\top x + \beta_0 \text{ on the } K \text{ largest }
        \beta_1^\top x)

    Args:
        inputs: x, shape (rows, samples, dim). Where dim is above 1, a transposed view of contiguous
            memory of shape (rows, dim, samples) saves a copy.
        targets: y, shape (rows, samples).
        gate: (β₁, β₀) of each expert, shape (fits, experts, dim + 1), the bias last.
        lines: (a, b) of each expert, shape (fits, experts, dim + 1), the intercept last.
        variances: σ of each expert, above 0; shape (fits, experts).
        k: K, how many experts take part, from 1 to all. Of equal scores the lower index goes first.
        row: Which row of data each fit sees; left out, the fit of the same number.
        count: How many of the first samples each fit sees; left out, all.

    Returns:
        The ``Moments`` of each fit.

    Raises:
        TypeError: If a dtype is not float64.
        ValueError: If a shape, K, a row, a count or a variance is out of its range.

    >>> x, y = torch.tensor([[[0.0], [1.0]]]).double(), torch.tensor([[1.0, 3.0]]).double()
    >>> line, no_gate = torch.tensor([[[2.0, 1.0]]]).double(), torch.zeros(1, 1, 2).double()
    >>> moments = gated_moments(x, y, no_gate, line, torch.ones(1, 1).double(), 1)
    >>> moments.gram[0, 0].tolist(), moments.cross[0, 0].tolist()
    ([[1.0, 1.0], [1.0, 2.0]], [3.0, 4.0])
    """
    fits, experts, width = gate.shape
    rows, samples, dim = inputs.shape
    if width != dim + 1:
        raise ValueError(
            f"`gate` has {width} numbers an expert, but inputs of {dim} dimensions need {dim + 1}: "
            "pass the slopes and, last, the bias."
        )
    checks.at_least("experts", experts, 1, "Pass one expert or more.")
    checks.in_range("k", k, 1, experts)
    if not bool((variances > 0).all()):
        raise ValueError(
            f"`variances` holds {float(variances.min())!r}, but all must be above 0. Keep a floor."
        )
    if row is None and fits != rows:
        raise ValueError(f"There are {fits} fits and {rows} rows of data. Pass `row` for each fit.")
    row = torch.arange(fits, device=gate.device) if row is None else row.long()
    count = torch.full_like(row, samples) if count is None else count.long()
    _check_within("row", row, 0, rows - 1)
    _check_within("count", count, 1, samples)
    implementation = backend("gated_moments", inputs.device.type, int(count.sum()) * experts)
    made: Moments = implementation.moments(inputs, targets, gate, lines, variances, k, row, count)
    return made


def _check_within(name: str, values: Tensor, low: int, high: int) -> None:
    if values.numel():
        least, most = (int(end) for end in values.aminmax())
        if least < low or most > high:
            raise ValueError(
                f"`{name}` runs from {least} to {most}, but must lie between {low} and {high}. "
                "Pass numbers in that range."
            )
