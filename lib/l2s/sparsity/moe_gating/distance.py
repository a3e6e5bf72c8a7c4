"""How far two conditional densities are apart: Hellinger and total variation."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.sparsity.moe_gating.density import log_density, log_density_on, sample_targets
from l2s.sparsity.moe_gating.gate import check_inputs, check_single
from l2s.sparsity.moe_gating.mixture import Mixture

_REACH = 9.0  # standard deviations beyond the outermost means: all but 1e-18 of the mass
_BLOCK = 1 << 20  # numbers of one density that are held at a time


@checks.typed
def hellinger(
    inputs: Float[Tensor, "samples dim"],
    first: Mixture,
    second: Mixture,
    k: int,
    second_k: int,
    *,
    places: int = 1024,
) -> Float[Tensor, " samples"]:
    r"""Return the Hellinger distance of two conditional densities at each input, by quadrature.

    .. math:: h(x) = \Big( \tfrac12 \int \big(\sqrt{p(y \mid x)} - \sqrt{q(y \mid x)}\big)^2 dy
        \Big)^{1/2} \in [0, 1]

    The mean over inputs is the paper's distance. It is computed as a difference of roots, so that
    it has seven digits also where the densities nearly agree.

    Args:
        inputs: x, shape (samples, dim).
        first: p, a single fit.
        second: q, a single fit; it may have more experts.
        k: K of the first.
        second_k: K of the second.
        places: Points of the trapezoidal rule, from 16. The step must be below the smallest
            standard deviation; 1024 are enough where the targets span 500 of those.

    Returns:
        Shape (samples,), float64.

    Raises:
        ValueError: If a K is out of its range, inputs do not fit, or places are too few.

    >>> at = Mixture.of([[0.0]], [0.0], [[0.0]], [0.0], [1.0])
    >>> off = Mixture.of([[0.0]], [0.0], [[0.0]], [2.0], [1.0])
    >>> h = hellinger(torch.zeros(1, 1), at, off, 1, 1)
    >>> math.isclose(h.item(), math.sqrt(1 - math.exp(-4 / 8)), rel_tol=1e-12)
    True
    """

    def integrand(log_p: Tensor, log_q: Tensor) -> Tensor:
        return 0.5 * ((0.5 * log_p).exp() - (0.5 * log_q).exp()).square()

    return _integrate(inputs, first, second, k, second_k, places, integrand).clamp(0, 1).sqrt()


@checks.typed
def total_variation(
    inputs: Float[Tensor, "samples dim"],
    first: Mixture,
    second: Mixture,
    k: int,
    second_k: int,
    *,
    places: int = 1024,
) -> Float[Tensor, " samples"]:
    r"""Return the total variation distance at each input, by quadrature.

    .. math:: V(x) = \tfrac12 \int \lvert p(y \mid x) - q(y \mid x) \rvert\, dy, \qquad
        h^2 \le V \le \sqrt2\, h

    Args:
        inputs: x, shape (samples, dim).
        first: p, a single fit.
        second: q, a single fit; it may have more experts.
        k: K of the first.
        second_k: K of the second.
        places: Points of the trapezoidal rule, from 16. The kinks leave an error of the step
            squared.

    Returns:
        Shape (samples,), float64.

    Raises:
        ValueError: As ``hellinger``.

    >>> at = Mixture.of([[0.0]], [0.0], [[0.0]], [0.0], [1.0])
    >>> off = Mixture.of([[0.0]], [0.0], [[0.0]], [2.0], [1.0])
    >>> total_variation(torch.zeros(1, 1), at, off, 1, 1)  # the normal mass within one deviation
    tensor([0.6827], dtype=torch.float64)
    """

    def integrand(log_p: Tensor, log_q: Tensor) -> Tensor:
        return 0.5 * (log_p.exp() - log_q.exp()).abs()

    return _integrate(inputs, first, second, k, second_k, places, integrand).clamp(0, 1)


@checks.typed
def sampled_distance(
    inputs: Float[Tensor, "samples dim"],
    first: Mixture,
    second: Mixture,
    k: int,
    second_k: int,
    *,
    kind: Literal["squared hellinger", "total variation"] = "squared hellinger",
    generator: torch.Generator | None = None,
) -> tuple[float, float]:
    r"""Estimate a distance, averaged over inputs, from one target drawn for each input.

    .. math:: \mathbb E\, h^2 = 1 - \mathbb E_p \sqrt{q / p}, \qquad
        \mathbb E\, V = \mathbb E_p \max(0, 1 - q / p)

    It needs no bounds for y, and serves targets of any spread; its error falls like one over the
    root of the samples.

    Args:
        inputs: x, shape (samples, dim); at least two.
        first: p, a single fit, from which targets are drawn.
        second: q, a single fit.
        k: K of the first.
        second_k: K of the second.
        kind: Which distance. The Hellinger distance is estimated *squared*, which is unbiased.
        generator: The source of random numbers; None means PyTorch's default generator.

    Returns:
        The estimate and its standard error.

    Raises:
        ValueError: As ``hellinger``, or for fewer than two inputs.

    >>> at = Mixture.of([[0.0]], [0.0], [[0.0]], [0.0], [1.0])
    >>> sampled_distance(torch.zeros(9, 1), at, at, 1, 1)
    (0.0, 0.0)
    """
    checks.at_least("len(inputs)", len(inputs), 2, "A standard error needs two samples.")
    targets = sample_targets(inputs, first, k, generator=generator)
    check_single(second, "second")
    log_ratio = log_density(inputs, targets, second, second_k) - log_density(
        inputs, targets, first, k
    )
    if kind == "squared hellinger":
        each = -torch.expm1(0.5 * log_ratio)
    else:
        each = -torch.expm1(log_ratio.clamp(max=0))
    return float(each.mean()), float(each.std() / math.sqrt(len(each)))


def _integrate(
    inputs: Tensor,
    first: Mixture,
    second: Mixture,
    k: int,
    second_k: int,
    places: int,
    integrand: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Integrate over y, over a range that holds both densities at each input."""
    checks.at_least("places", places, 16, "Pass 1024, for example.")
    for name, mixture in (("first", first), ("second", second)):
        check_single(mixture, name)
        check_inputs(inputs, mixture)
    along = torch.linspace(0, 1, places, dtype=torch.float64)
    size = max(1, _BLOCK // (places * max(first.experts, second.experts)))
    parts = []
    for block in inputs.double().split(size):
        low, high = _range(block, (first, second))
        step = (high - low) / (places - 1)
        _check_step(step, first, second, places)
        y = low[:, None] + (high - low)[:, None] * along
        values = integrand(
            log_density_on(block, y, first, k), log_density_on(block, y, second, second_k)
        )
        parts.append(values.sum(dim=1) * step)  # what lies at both ends is 0
    return torch.cat(parts)


def _range(inputs: Tensor, mixtures: tuple[Mixture, ...]) -> tuple[Tensor, Tensor]:
    lows, highs = [], []
    for mixture in mixtures:
        mean = inputs @ mixture.slopes.T + mixture.intercepts
        reach = _REACH * mixture.variances.sqrt()
        lows.append((mean - reach).amin(1))
        highs.append((mean + reach).amax(1))
    return torch.minimum(*lows), torch.maximum(*highs)


def _check_step(step: Tensor, first: Mixture, second: Mixture, places: int) -> None:
    narrow = min(float(m.variances.min()) for m in (first, second)) ** 0.5
    if float(step.max()) > narrow:
        needed = math.ceil(places * float(step.max()) / narrow)
        raise ValueError(
            f"`places` is {places}, but then a step of {float(step.max()):.3g} skips experts of "
            f"standard deviation {narrow:.3g}. Pass {needed} or more."
        )
