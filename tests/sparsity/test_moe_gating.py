"""The gate and the density: against every subset, dense softmax, quadrature and frequencies."""

import itertools
import math

import pytest
import torch
from l2s.sparsity.moe_gating import (
    Mixture,
    active_sets,
    fix_gauge,
    log_density,
    log_likelihood,
    sample_targets,
    select,
    shift_gate,
    split_expert,
    stack,
    topk_log_gate,
)
from scipy.stats import kstest
from torch.testing import assert_close

from tests.sparsity.moe_gating_cases import TRUTH, data, density_by_hand, drawn, seeded, uniform

every_size = pytest.mark.parametrize(
    ("experts", "dim", "k"), [(1, 1, 1), (3, 1, 2), (4, 2, 1), (5, 3, 3), (4, 2, 4)]
)


@every_size
def test_density_against_every_subset_by_hand(experts, dim, k):
    mixture, inputs = drawn(experts, dim), uniform(30, dim)
    targets = 3 * torch.randn(30, generator=seeded(2), dtype=torch.float64)
    by_hand = [
        math.log(density_by_hand(x, y, mixture, k))
        for x, y in zip(inputs.tolist(), targets.tolist(), strict=True)
    ]
    ours = log_density(inputs, targets, mixture, k)
    assert_close(ours, torch.tensor(by_hand, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert log_likelihood(inputs, targets, mixture, k).item() == pytest.approx(sum(by_hand))


@every_size
def test_density_integrates_to_one(experts, dim, k):
    mixture = drawn(experts, dim, seed=3)
    places = torch.linspace(-40, 40, 8001, dtype=torch.float64)
    for x in uniform(3, dim):
        density = log_density(x.expand(len(places), dim), places, mixture, k).exp()
        assert density.sum().item() * 0.01 == pytest.approx(1, abs=1e-12)


def test_all_experts_are_a_dense_softmax_mixture():
    mixture, inputs = drawn(4, 2), uniform(50, 2)
    scores = inputs @ mixture.gate_slopes.T + mixture.gate_biases
    assert_close(topk_log_gate(inputs, mixture, 4), scores.log_softmax(1))


def test_one_expert_is_hard_routing_without_bias():
    mixture, inputs = drawn(4, 2), uniform(50, 2)
    weights = topk_log_gate(inputs, mixture, 1).exp()
    assert_close(weights.amax(1), torch.ones(50, dtype=torch.float64), rtol=0, atol=0)
    assert weights.argmax(1).equal((inputs @ mixture.gate_slopes.T).argmax(1))
    moved = Mixture(mixture.gate_slopes, 10 * mixture.gate_biases, *mixture.tensors()[2:])
    targets = torch.zeros(50, dtype=torch.float64)
    assert log_density(inputs, targets, mixture, 1).equal(log_density(inputs, targets, moved, 1))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_selection_against_every_subset(k):
    scores = torch.randn(200, 4, generator=seeded(), dtype=torch.float64)
    subsets = list(itertools.combinations(range(4), k))
    sums = torch.stack([scores[:, list(subset)].sum(1) for subset in subsets], dim=1)
    best = torch.tensor(subsets)[sums.argmax(1)]
    assert select(scores, k).equal(torch.zeros(200, 4).scatter(1, best, 1.0).bool())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_go_to_the_lower_index(dtype):
    scores = torch.tensor([[1.0, 2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]], dtype=dtype)
    assert select(scores, 2).tolist() == [[True, True, False, False]] * 2
    many = torch.zeros(500, 64, dtype=dtype)
    assert select(many, 10)[:, :10].all()
    assert select(many, 10).sum() == 5000


def test_the_bias_has_no_say_in_the_selection():
    mixture, inputs = drawn(5, 2), uniform(100, 2)
    loud = Mixture(mixture.gate_slopes, 50 * mixture.gate_biases, *mixture.tensors()[2:])
    chosen = topk_log_gate(inputs, mixture, 2) > -math.inf
    assert chosen.equal(topk_log_gate(inputs, loud, 2) > -math.inf)
    assert (chosen.sum(1) == 2).all()


@every_size
def test_a_shift_of_the_gate_changes_nothing(experts, dim, k):
    mixture = drawn(experts, dim)
    inputs, targets = data(60, mixture=mixture, k=k)
    before = log_density(inputs, targets, mixture, k)
    shift = torch.randn(dim, generator=seeded(5), dtype=torch.float64)
    for moved in (shift_gate(mixture, shift, 1.7), fix_gauge(mixture), fix_gauge(mixture, 0)):
        assert_close(log_density(inputs, targets, moved, k), before, rtol=0, atol=1e-12)
    assert fix_gauge(mixture).gate_slopes[-1].abs().max() == 0


def test_relabelling_changes_nothing():
    mixture, order = drawn(5, 2), torch.tensor([3, 0, 4, 1, 2])
    other = Mixture(*(tensor[order] for tensor in mixture.tensors()))
    inputs, targets = data(60, mixture=mixture, k=3)
    assert_close(
        log_density(inputs, targets, other, 3),
        log_density(inputs, targets, mixture, 3),
        rtol=0,
        atol=1e-12,
    )


def test_a_split_at_offset_zero_leaves_the_dense_density():
    inputs, targets = data(100, k=3)
    split = split_expert(TRUTH, 1)
    assert split.experts == 4
    assert_close(log_density(inputs, targets, split, 4), log_density(inputs, targets, TRUTH, 3))


def test_samples_have_the_density():
    """The distribution function at the drawn targets is uniform (Kolmogorov and Smirnov)."""
    inputs, targets = data(20_000, seed=4)
    weights = topk_log_gate(inputs, TRUTH, 2).exp()
    mean = inputs @ TRUTH.slopes.T + TRUTH.intercepts
    below = torch.special.ndtr((targets[:, None] - mean) / TRUTH.variances.sqrt())
    assert kstest((weights * below).sum(1).numpy(), "uniform").pvalue > 1e-3
    wrong = split_expert(TRUTH, 2, 0.2).variances[1:]
    below = torch.special.ndtr((targets[:, None] - mean - 0.05) / wrong.sqrt())
    assert kstest((weights * below).sum(1).numpy(), "uniform").pvalue < 1e-3


def test_samples_are_reproducible_and_use_their_generator():
    inputs = uniform(10)
    one = sample_targets(inputs, TRUTH, 2, generator=seeded(7))
    torch.manual_seed(3)
    assert one.equal(sample_targets(inputs, TRUTH, 2, generator=seeded(7)))
    assert not one.equal(sample_targets(inputs, TRUTH, 2, generator=seeded(8)))


def test_active_sets_of_the_truth():
    sets, share = active_sets(uniform(4000), TRUTH, 2)
    assert sets.tolist() == [[0, 1], [1, 2]]  # two of the three that could be
    assert share.sum() == 1
    assert abs(share[0] - 0.5) < 0.05
    every, _ = active_sets(uniform(4000, 2), drawn(4, 2), 4)
    assert every.tolist() == [[0, 1, 2, 3]]


def test_several_fits_are_one_fit_each():
    mixtures = [drawn(3, 2, seed=seed) for seed in range(4)]
    together, (inputs, targets) = stack(mixtures), data(20, mixture=mixtures[0])
    assert together.fits == 4
    assert together[2].slopes.equal(mixtures[2].slopes)
    apart = torch.stack([log_density(inputs, targets, mixture, 2) for mixture in mixtures])
    assert_close(log_density(inputs, targets, together, 2), apart)
    assert log_likelihood(inputs, targets, together, 2).shape == (4,)
    assert fix_gauge(together).gate_biases[:, -1].abs().max() == 0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_gradient_of_the_likelihood(k):
    mixture = drawn(3, 2, seed=6)
    inputs, targets = data(12, mixture=mixture, k=k)

    def value(*tensors):
        return log_likelihood(inputs, targets, Mixture(*tensors), k)

    tensors = tuple(tensor.clone().requires_grad_() for tensor in mixture.tensors())
    assert torch.autograd.gradcheck(value, tensors)


def test_far_targets_have_finite_density_and_gradient():
    targets = torch.tensor([1e6], dtype=torch.float64)
    intercepts = TRUTH.intercepts.clone().requires_grad_()
    far = Mixture(*TRUTH.tensors()[:3], intercepts, TRUTH.variances)
    value = log_likelihood(torch.ones(1, 1), targets, far, 2)
    value.backward()
    assert math.isfinite(value.item())
    assert intercepts.grad.isfinite().all()
