"""The conditional density of a mixture of experts, its likelihood, and samples from it."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.sparsity.moe_gating.gate import check_single, topk_log_gate
from l2s.sparsity.moe_gating.mixture import Mixture


@checks.typed
def log_density(
    inputs: Float[Tensor, "samples dim"],
    targets: Float[Tensor, " samples"],
    mixture: Mixture,
    k: int,
) -> Float[Tensor, "*fits samples"]:
    r"""Return the logarithm of the conditional density at each sample.

    .. math:: \log g_G(y \mid x) = \log \sum_{i \in \ell(x)} \pi_i(x)\,
        \mathcal N(y;\, a_i^\top x + b_i,\, \sigma_i)

    It can be differentiated in the mixture's tensors; the derivative holds the selection fixed.

    Args:
        inputs: x, shape (samples, dim).
        targets: y, shape (samples,).
        mixture: One fit or several.
        k: K, from 1 to the number of experts.

    Returns:
        In nats, shape (samples,), after an axis of fits where the mixture has one.

    Raises:
        ValueError: If K is out of its range, or data are not finite or do not fit.

    Source: nguyen2024, equation 1.

    >>> one = Mixture.of([[0.0]], [0.0], [[2.0]], [1.0], [1.0])
    >>> log_density(torch.tensor([[1.0]]), torch.tensor([3.0]), one, 1)  # -log sqrt(2 π)
    tensor([-0.9189], dtype=torch.float64)
    """
    checks.finite("targets", targets)
    return _log_experts(inputs, targets[:, None], mixture, k).squeeze(-1)


@checks.typed
def log_likelihood(
    inputs: Float[Tensor, "samples dim"],
    targets: Float[Tensor, " samples"],
    mixture: Mixture,
    k: int,
) -> Float[Tensor, "*fits"]:
    """Return the sum of ``log_density`` over the samples, in nats.

    Args:
        inputs: x, shape (samples, dim).
        targets: y, shape (samples,).
        mixture: One fit or several.
        k: K, from 1 to the number of experts.

    Raises:
        ValueError: As ``log_density``.

    >>> one = Mixture.of([[0.0]], [0.0], [[2.0]], [1.0], [1.0])
    >>> log_likelihood(torch.ones(3, 1), torch.full((3,), 3.0), one, 1)
    tensor(-2.7568, dtype=torch.float64)
    """
    return log_density(inputs, targets, mixture, k).sum(-1)


@checks.typed
def sample_targets(
    inputs: Float[Tensor, "samples dim"],
    mixture: Mixture,
    k: int,
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " samples"]:
    """Draw a target for each input: choose an expert with the gate's weights, then its Gaussian.

    Args:
        inputs: x, shape (samples, dim).
        mixture: A single fit.
        k: K, from 1 to the number of experts.
        generator: The source of random numbers; None means PyTorch's default generator.

    Returns:
        y, float64 of shape (samples,).

    Raises:
        ValueError: If K is out of its range, inputs do not fit, or the mixture holds several fits.

    >>> sure = Mixture.of([[-1.0], [1.0]], [0.0, 0.0], [[0.0], [0.0]], [-5.0, 5.0], [1e-12, 1e-12])
    >>> sample_targets(torch.tensor([[-2.0], [2.0]]), sure, 1).round()
    tensor([-5.,  5.], dtype=torch.float64)
    """
    check_single(mixture)
    weights = topk_log_gate(inputs, mixture, k).exp()
    chosen = weights.multinomial(1, generator=generator)
    mean = inputs.double() @ mixture.slopes.T + mixture.intercepts
    noise = torch.randn(len(inputs), generator=generator, dtype=torch.float64)
    scale = mixture.variances.sqrt()[chosen[:, 0]]
    return mean.gather(1, chosen)[:, 0] + scale * noise


def log_density_on(inputs: Tensor, places: Tensor, mixture: Mixture, k: int) -> Tensor:
    """The logarithm of the density at several targets an input, shape (samples, places)."""
    return _log_experts(inputs, places, mixture, k)


def _log_experts(inputs: Tensor, places: Tensor, mixture: Mixture, k: int) -> Tensor:
    gate = topk_log_gate(inputs, mixture, k)  # ... samples experts
    mean = inputs.double() @ mixture.slopes.transpose(-1, -2) + mixture.intercepts.unsqueeze(-2)
    error = places.double()[..., None] - mean.unsqueeze(-2)  # ... samples places experts
    variance = mixture.variances.unsqueeze(-2).unsqueeze(-2)
    normal = -0.5 * (error.square() / variance + (2 * math.pi * variance).log())
    return (gate.unsqueeze(-2) + normal).logsumexp(dim=-1)
