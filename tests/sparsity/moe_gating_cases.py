"""What the tests share: the chapter's truth, drawn mixtures and data, and the density by hand."""

import itertools
import math

import torch
from l2s.sparsity.moe_gating import Mixture, sample_targets

TRUTH = Mixture.of(
    [[-2.0], [0.0], [3.0]],
    [0.3, 0.0, -0.2],
    [[-3.0], [0.5], [4.0]],
    [-4.0, 0.0, 4.0],
    [0.3, 0.4, 0.5],
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(experts, dim, *, seed=0):
    """A mixture of random parameters."""
    generator = seeded(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    spread = 0.2 + torch.rand(experts, generator=generator, dtype=torch.float64)
    return Mixture(
        normal(experts, dim), normal(experts), normal(experts, dim), 2 * normal(experts), spread
    )


def uniform(samples, dim=1, *, seed=0):
    """Inputs in [-1, 1]."""
    return torch.rand(samples, dim, generator=seeded(seed), dtype=torch.float64) * 2 - 1


def data(samples, *, mixture=TRUTH, k=2, seed=0):
    """Inputs and targets of a mixture."""
    inputs = uniform(samples, mixture.dim, seed=seed)
    return inputs, sample_targets(inputs, mixture, k, generator=seeded(1000 + seed))


def density_by_hand(x, y, mixture, k):
    """One density: try every set of K experts, take the one with the largest sum of scores."""
    scores = [
        sum(w * v for w, v in zip(row, x, strict=True)) for row in mixture.gate_slopes.tolist()
    ]
    best = max(
        itertools.combinations(range(len(scores)), k), key=lambda s: sum(scores[i] for i in s)
    )
    biases, variances = mixture.gate_biases.tolist(), mixture.variances.tolist()
    masses = {i: math.exp(scores[i] + biases[i]) for i in best}
    total = 0.0
    for i, mass in masses.items():
        mean = sum(a * v for a, v in zip(mixture.slopes[i].tolist(), x, strict=True))
        error = y - mean - mixture.intercepts[i].item()
        normal = math.exp(-0.5 * error**2 / variances[i]) / math.sqrt(2 * math.pi * variances[i])
        total += mass / sum(masses.values()) * normal
    return total
