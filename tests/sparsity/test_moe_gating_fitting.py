"""Fits: monotone, at a maximum, equal to least squares where they must be, honest about failure."""

import pytest
import torch
from l2s.sparsity.moe_gating import (
    Mixture,
    fit_em,
    fit_gradient,
    kmeans_starts,
    log_likelihood,
    parameter_errors,
    split_expert,
    stack,
    starts_near,
    voronoi_loss,
)
from torch.testing import assert_close

from tests.sparsity.moe_gating_cases import TRUTH, data, drawn, seeded, uniform

both = pytest.mark.parametrize("fit", [fit_em, fit_gradient])
LINE = Mixture.of([[0.0, 0.0]], [0.0], [[0.0, 0.0]], [0.0], [1.0])


@both
def test_one_expert_is_least_squares(fit):
    inputs = uniform(200, 2)
    targets = inputs @ torch.tensor([2.0, -1.0]).double() + 0.5
    targets = targets + 0.3 * torch.randn(200, generator=seeded(1), dtype=torch.float64)
    wide = torch.cat([inputs, torch.ones(200, 1)], dim=1)
    solution = torch.linalg.lstsq(wide, targets[:, None]).solution[:, 0]
    made = fit(inputs, targets, LINE, 1, tolerance=1e-12)
    assert made.converged.all()
    assert_close(made.mixture.slopes[0, 0], solution[:2], rtol=1e-6, atol=1e-6)
    assert_close(made.mixture.intercepts[0, 0], solution[2], rtol=1e-6, atol=1e-6)
    variance = (targets - wide @ solution).square().mean()
    assert_close(made.mixture.variances[0, 0], variance, rtol=1e-6, atol=1e-6)


@both
@pytest.mark.parametrize(("experts", "dim", "k"), [(3, 1, 2), (4, 2, 2), (5, 3, 5), (3, 2, 1)])
def test_the_likelihood_never_falls(fit, experts, dim, k):
    truth = drawn(experts, dim, seed=2)
    inputs, targets = data(600, mixture=truth, k=k)
    start = starts_near(truth, 8, scale=0.5, generator=seeded(3))
    made = fit(inputs, targets, start, k, row=torch.zeros(8, dtype=torch.int64), iterations=60)
    steady = made.restarts == 0
    assert steady.sum() >= 6
    rise = made.trace.diff(dim=0)[:, steady]
    assert (rise >= -1e-9 * made.trace[-1, steady].abs()).all()
    assert_close(
        made.log_likelihood, log_likelihood(inputs, targets, made.mixture, k), rtol=1e-10, atol=0
    )
    assert (made.trace[-1] >= made.trace[0])[steady].all()


def test_the_jump_of_the_selection_is_met_and_refused():
    """In two dimensions the regions turn with the slopes: steps are cut, and nothing falls."""
    truth = drawn(5, 2, seed=4)
    inputs, targets = data(800, mixture=truth, k=2)
    start = starts_near(truth, 10, scale=1.0, generator=seeded(5))
    row = torch.zeros(10, dtype=torch.int64)
    made = fit_em(inputs, targets, start, 2, row=row, iterations=80)
    assert made.refused.sum() > 0
    rise = made.trace.diff(dim=0)[:, made.restarts == 0]
    assert (rise >= -1e-9 * made.trace.abs().max()).all()


@both
def test_a_fit_ends_where_the_gradient_is_zero(fit):
    inputs, targets = data(2000)
    made = fit(inputs, targets, TRUTH, 2, tolerance=1e-11, iterations=2000)
    assert made.converged.all()
    tensors = [tensor[0].clone().requires_grad_() for tensor in made.mixture.tensors()]
    log_likelihood(inputs, targets, Mixture(*tensors), 2).backward()
    assert max(tensor.grad.abs().max() for tensor in tensors) < 0.01


def test_both_ways_find_the_same_maximum():
    inputs, targets = data(3000, seed=1)
    start = starts_near(TRUTH, 1, scale=0.1, generator=seeded(6))
    by_em = fit_em(inputs, targets, start, 2, tolerance=1e-10)
    by_gradient = fit_gradient(inputs, targets, start, 2, tolerance=1e-10)
    assert by_gradient.iterations < by_em.iterations
    assert_close(by_em.log_likelihood, by_gradient.log_likelihood, rtol=0, atol=1e-6)
    errors = parameter_errors(by_em.mixture, by_gradient.mixture[0])
    assert sum(error.item() for error in errors.values()) < 1e-3


@both
def test_many_fits_are_the_fits_one_by_one(fit):
    rows = [data(900, seed=seed) for seed in range(3)]
    inputs, targets = (torch.stack(parts) for parts in zip(*rows, strict=True))
    start = starts_near(TRUTH, 6, scale=0.1, generator=seeded(7))
    row, count = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([300, 300, 300, 900, 800, 700])
    together = fit(inputs, targets, start, 2, row=row, count=count)
    for i, (r, n) in enumerate(zip(row.tolist(), count.tolist(), strict=True)):
        alone = fit(inputs[r, :n], targets[r, :n], start[i], 2)
        assert_close(together.log_likelihood[i], alone.log_likelihood[0], rtol=1e-10, atol=0)
        assert together.iterations[i] == alone.iterations[0]


@both
def test_fits_come_near_the_truth(fit):
    inputs, targets = data(8000, seed=2)
    start = starts_near(TRUTH, 1, scale=0.1, generator=seeded(8))
    made = fit(inputs, targets, start, 2)
    at_truth = log_likelihood(inputs, targets, TRUTH, 2)
    assert made.log_likelihood > at_truth
    assert made.log_likelihood < at_truth + 25  # about half the parameters, by Wilks
    errors = parameter_errors(made.mixture, TRUTH)
    assert errors["intercepts"] < 0.15
    assert errors["variances"] < 0.15
    assert voronoi_loss(made.mixture, TRUTH, 2) < 4


def test_starts_of_kmeans_find_the_truth_without_knowing_it():
    inputs, targets = data(4000, seed=3)
    start = kmeans_starts(inputs, targets, 3, 20, generator=seeded(9))
    made = fit_em(
        inputs, targets, start, 2, row=torch.zeros(20, dtype=torch.int64), generator=seeded(10)
    )
    known = fit_em(inputs, targets, TRUTH, 2)
    assert made.log_likelihood.max() > known.log_likelihood.item() - 0.1
    assert voronoi_loss(made.best(), TRUTH, 2) < 4
    assert (made.log_likelihood > made.log_likelihood.max() - 0.1).sum() >= 10


def test_kmeans_recovers_clusters_that_are_far_apart():
    inputs, targets = data(600, seed=4)
    start = kmeans_starts(inputs, targets, 3, 5, generator=seeded(11))
    assert start.fits == 5
    assert (start.variances > 0).all()
    again = kmeans_starts(inputs, targets, 3, 5, generator=seeded(11))
    assert start.slopes.equal(again.slopes)
    same = torch.zeros(40, 1)
    assert kmeans_starts(same, torch.zeros(40), 3, 2).slopes.isfinite().all()


def test_a_collapsed_expert_is_restarted_and_reported():
    inputs, targets = data(500, seed=5)
    far = Mixture(*TRUTH.tensors()[:3], torch.tensor([-4.0, 1e4, 4.0]), TRUTH.variances)
    made = fit_em(inputs, targets, far, 2, generator=seeded(12))
    assert made.restarts.item() > 0
    assert made.mixture.intercepts.abs().max() < 100
    assert made.log_likelihood.isfinite().all()


def test_a_collapse_that_stays_is_reported():
    """More experts than the data have lines, with two samples alone in a corner."""
    inputs = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    targets = torch.where(inputs[:, 0] > 0, 1.0, -1.0).double()
    targets = targets + 1e-4 * torch.randn(40, generator=seeded(13), dtype=torch.float64)
    start = stack([drawn(4, 1, seed=s) for s in range(6)])
    row = torch.zeros(6, dtype=torch.int64)
    made = fit_em(inputs, targets, start, 4, row=row, generator=seeded(14), iterations=100)
    assert made.collapsed.any()
    assert (made.restarts[made.collapsed] > 0).all()
    assert made.mixture.variances.min() >= 1e-4 * targets.var() * (1 - 1e-9)
    by_gradient = fit_gradient(inputs, targets, start, 4, row=row, iterations=100)
    assert by_gradient.log_likelihood.isfinite().all()


def test_the_number_of_iterations_is_kept_and_reported():
    inputs, targets = data(2000, seed=6)
    start = split_expert(TRUTH, 1, 0.2)
    for fit in (fit_em, fit_gradient):
        made = fit(inputs, targets, start, 3, iterations=5)
        assert made.iterations.item() == 5
        assert not made.converged.item()
        assert made.trace.shape == (6, 1)


def test_the_gradient_is_far_ahead_of_em_where_experts_merge():
    inputs, targets = data(4000, seed=7)
    start = starts_near(split_expert(TRUTH, 1, 0.15), 1, scale=0.1, generator=seeded(15))
    slow = fit_em(inputs, targets, start, 3, iterations=150)
    fast = fit_gradient(inputs, targets, start, 3, iterations=150)
    assert fast.log_likelihood > slow.log_likelihood
    assert not slow.converged.item()


def test_nothing_is_drawn_from_the_global_generator():
    inputs, targets = data(500)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    fit_em(inputs, targets, TRUTH, 2, generator=seeded())
    kmeans_starts(inputs, targets, 2, 2, generator=seeded())
    starts_near(TRUTH, 2, scale=0.1, generator=seeded())
    assert torch.get_rng_state().equal(before)


def test_gradient_of_the_inputs_is_not_kept():
    inputs, targets = data(200)
    start = Mixture(*(tensor.clone().requires_grad_() for tensor in TRUTH.tensors()))
    assert not fit_em(inputs, targets, start, 2).mixture.slopes.requires_grad
    assert not fit_gradient(inputs, targets, start, 2).mixture.slopes.requires_grad


def test_a_gate_at_a_jump_is_held_and_the_rest_is_fitted():
    """A copy's slope wants to pass another expert's: EM cannot improve on where it ends."""
    inputs, targets = data(2000, seed=6)
    start = starts_near(split_expert(TRUTH, 1, 0.2), 12, scale=0.4, generator=seeded(16))
    row = torch.zeros(12, dtype=torch.int64)
    made = fit_gradient(inputs, targets, start, 3, row=row)
    held = ~made.converged
    assert held.any()
    more = fit_em(inputs, targets, made.mixture, 3, row=row, iterations=50)
    assert (more.log_likelihood - made.log_likelihood)[held].median() < 0.01


def test_a_loose_tolerance_leaves_likelihood_where_experts_merge():
    """The promise of a step begins far too small: the default is strict for a reason."""
    rows = [data(8000, seed=seed) for seed in range(4)]
    inputs, targets = (torch.stack(parts) for parts in zip(*rows, strict=True))
    start = starts_near(split_expert(TRUTH, 1, 0.15), 4, scale=0.1, generator=seeded(17))
    loose, strict = (
        fit_gradient(inputs, targets, start, 3, tolerance=tolerance).log_likelihood
        for tolerance in (1e-3, 1e-8)
    )
    best = fit_gradient(inputs, targets, start, 3, tolerance=1e-12).log_likelihood
    assert (best - strict).max() < 1e-3
    assert (best - loose).max() > 0.05
