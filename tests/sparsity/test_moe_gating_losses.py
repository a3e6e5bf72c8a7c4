"""Losses and distances: zero at the truth, invariant, and equal to definitions written out."""

import itertools
import math

import pytest
import torch
from l2s.sparsity.moe_gating import (
    Mixture,
    hellinger,
    parameter_errors,
    polynomial_system,
    sampled_distance,
    shift_gate,
    solution_order,
    split_expert,
    stack,
    starts_near,
    total_variation,
    voronoi_cells,
    voronoi_loss,
)
from scipy.optimize import least_squares
from torch.testing import assert_close

from tests.sparsity.moe_gating_cases import TRUTH, drawn, seeded, uniform

kinds = pytest.mark.parametrize("kind", ["exact", "over"])


def by_definition(fitted, truth, k, kind):
    """The loss, subset by subset and atom by atom; both gates have one gauge already."""
    atoms = [
        torch.cat([m.gate_slopes, m.slopes, m.intercepts[:, None], m.variances[:, None]], 1)
        for m in (fitted, truth)
    ]
    near = torch.cdist(*atoms).argmin(1).tolist()
    best = 0.0
    for subset in itertools.combinations(range(truth.experts), k):
        total = 0.0
        for j in subset:
            cell = [i for i, place in enumerate(near) if place == j]
            r = solution_order(len(cell)) if kind == "over" and len(cell) > 1 else 1
            half = r / 2 if r > 1 else 1
            for i in cell:
                total += math.exp(fitted.gate_biases[i]) * (
                    (fitted.gate_slopes[i] - truth.gate_slopes[j]).norm().item() ** r
                    + (fitted.slopes[i] - truth.slopes[j]).norm().item() ** half
                    + (fitted.intercepts[i] - truth.intercepts[j]).abs().item() ** r
                    + (fitted.variances[i] - truth.variances[j]).abs().item() ** half
                )
            mass = sum(math.exp(fitted.gate_biases[i]) for i in cell)
            total += abs(mass - math.exp(truth.gate_biases[j]))
        best = max(best, total)
    return best


@kinds
@pytest.mark.parametrize(("experts", "dim", "k"), [(3, 1, 2), (4, 2, 1), (4, 3, 3)])
def test_loss_against_its_definition(experts, dim, k, kind):
    truth = drawn(experts, dim, seed=1)
    truth = shift_gate(truth, -truth.gate_slopes[-1], -truth.gate_biases[-1].item())
    fitted = split_expert(starts_near(truth, 1, scale=0.05, generator=seeded(2))[0], 0, 0.03)
    last = fitted.experts - 1
    fitted = shift_gate(fitted, -fitted.gate_slopes[last], -fitted.gate_biases[last].item())
    ours = voronoi_loss(fitted, truth, k, kind=kind).item()
    assert ours == pytest.approx(by_definition(fitted, truth, k, kind), rel=1e-12)


@kinds
def test_loss_is_zero_at_the_truth_in_any_order_and_gauge(kind):
    order = torch.tensor([2, 0, 1])
    same = Mixture(*(tensor[order] for tensor in TRUTH.tensors()))
    for fitted in (TRUTH, same, shift_gate(TRUTH, 1.3, -0.4), shift_gate(same, -5.0, 2.0)):
        assert voronoi_loss(fitted, TRUTH, 2, kind=kind).item() < 1e-12
        assert all(error < 1e-12 for error in parameter_errors(fitted, TRUTH).values())
    split = split_expert(TRUTH, 2)  # also where the last cell is shared
    assert voronoi_loss(shift_gate(split, 0.7, 3.0), TRUTH, 2, kind=kind).item() < 1e-12


@kinds
def test_loss_is_invariant_to_order_and_gauge_away_from_the_truth(kind):
    fitted = split_expert(starts_near(TRUTH, 1, scale=0.05, generator=seeded(3))[0], 1, 0.05)
    order = torch.tensor([3, 1, 0, 2])
    moved = shift_gate(Mixture(*(t[order] for t in fitted.tensors())), 2.0, 0.9)
    assert_close(
        voronoi_loss(moved, TRUTH, 2, kind=kind), voronoi_loss(fitted, TRUTH, 2, kind=kind)
    )
    before, after = parameter_errors(fitted, TRUTH, 1), parameter_errors(moved, TRUTH, 1)
    for name in before:
        assert_close(before[name], after[name])


def test_exponents_of_a_shared_cell():
    """Move one parameter of a split by ε: the loss scales with its own power."""
    for place, power in ((0, 4), (2, 2), (3, 4), (4, 2)):
        losses = []
        for offset in (0.02, 0.04):
            tensors = [tensor.clone() for tensor in split_expert(TRUTH, 0).tensors()]
            tensors[place][0] += offset
            losses.append(voronoi_loss(Mixture(*tensors), TRUTH, 2, kind="over").item())
        assert losses[1] / losses[0] == pytest.approx(2**power, rel=1e-6)


def test_a_weight_beyond_all_bounds_gives_a_large_loss_and_no_nan():
    biases = torch.tensor([900.0, 0.0, 0.0], dtype=torch.float64)
    steep = Mixture(TRUTH.gate_slopes, biases, *TRUTH.tensors()[2:])
    assert voronoi_loss(steep, TRUTH, 2) > 1e200
    far = Mixture(1e9 * TRUTH.gate_slopes, biases, *TRUTH.tensors()[2:])
    assert voronoi_loss(far, TRUTH, 2, kind="over") > 1e200


def test_cells_and_fits_side_by_side():
    fits = stack([split_expert(TRUTH, place, 0.02) for place in range(3)])
    cells = voronoi_cells(fits, TRUTH)
    assert cells.tolist() == [[0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 2, 2]]
    apart = torch.stack([voronoi_loss(fits[i], TRUTH, 2) for i in range(3)])
    assert_close(voronoi_loss(fits, TRUTH, 2), apart)
    only = parameter_errors(fits, TRUTH, 1)["intercepts"]
    assert_close(only, torch.tensor([0.0, 0.02, 0.0], dtype=torch.float64))  # two, half each


def test_errors_weigh_an_expert_by_its_share_of_the_cell():
    tensors = [tensor.clone() for tensor in split_expert(TRUTH, 1).tensors()]
    tensors[1][1:3] = torch.tensor([0.8, 0.2]).log()
    tensors[3][2] += 0.5
    one = parameter_errors(Mixture(*tensors), TRUTH, 1)
    assert one["intercepts"].item() == pytest.approx(0.1)
    assert parameter_errors(Mixture(*tensors), TRUTH)["intercepts"].item() == pytest.approx(0.1)
    fourth = parameter_errors(Mixture(*tensors), TRUTH, 1, power=4)["intercepts"].item()
    assert fourth == pytest.approx((0.2 * 0.5**4) ** 0.25)
    with pytest.raises(ValueError, match="`power` is 0"):
        parameter_errors(TRUTH, TRUTH, power=0)


def test_an_expert_that_no_fit_is_near_to_is_infinitely_far():
    pair = Mixture(*(tensor[:2] for tensor in TRUTH.tensors()))
    assert parameter_errors(pair, TRUTH, 0)["slopes"] < 10
    assert math.isinf(parameter_errors(stack([pair, pair]), TRUTH)["slopes"][1])


def test_the_system_of_two_atoms_has_a_solution_at_order_three_and_none_at_four():
    half = torch.tensor([0.5, 0.5])
    c = torch.tensor([0.6, -0.6])
    split = (0 * c, 0 * c, c, torch.full((2,), -0.18), half)  # p4 = -p3^2 / 2
    assert max(abs(v) for v in polynomial_system(*split, 3).values()) < 1e-7
    assert abs(polynomial_system(*split, 4)[0, 4]) > 1e-3
    assert solution_order(2) == 4


@pytest.mark.parametrize(
    ("atoms", "solvable", "order"), [(2, True, 3), (2, False, 4), (3, True, 5)]
)
def test_orders_by_search(atoms, solvable, order):
    """Least squares from many starts, with the largest intercept fixed at 1: is 0 reached?"""

    def sides(vector):
        p1, p2, p3, p4, log_w = torch.tensor(vector).reshape(5, atoms)
        p3 = torch.cat([torch.ones(1, dtype=p3.dtype), p3[1:]])  # some p3 is not 0
        weights = (3 * torch.tanh(log_w / 3)).exp()  # all weights stay away from 0
        found = polynomial_system(p1, p2, p3, p4, weights, order)
        return torch.stack(list(found.values())).numpy()

    generator = seeded(1)
    best = min(
        least_squares(
            sides,
            torch.randn(5 * atoms, generator=generator, dtype=torch.float64).numpy(),
            max_nfev=300 if solvable else 40,
        ).cost
        for _ in range(4)
    )
    assert (best < 1e-12) == solvable


def test_gate_slopes_cannot_hide():
    """The equation (2, 0) is the weighted sum of squares of p1, so that only p1 = 0 solves it."""
    p1 = torch.tensor([0.3, -0.5])
    sides = polynomial_system(
        p1, *[torch.randn(2, generator=seeded(4)) for _ in range(3)], p1**2, 2
    )
    assert_close(sides[2, 0], 0.5 * (p1.double() ** 4).sum())


def test_the_system_is_the_taylor_series_of_the_density():
    """Coefficients of x^l1 f^(l2), against the difference of the densities themselves."""
    p = [torch.tensor(v, dtype=torch.float64) for v in ((0.3, -0.2), (0.1, 0.4), (-0.3, 0.5))]
    p4, w = torch.tensor([0.2, -0.1]).double(), torch.tensor([0.4, 0.6]).double()
    x, z, order, scale = 0.7, 0.4, 5, 0.05

    def normal(mean, variance):
        return torch.exp(-0.5 * (z - mean) ** 2 / variance) / (2 * math.pi * variance).sqrt()

    p1, p2, p3 = (scale * v for v in p)
    atoms = torch.exp(p1 * x) * normal(p2 * x + p3, 1 + 2 * scale * p4)
    exact = (w * atoms).sum() - w.sum() * normal(torch.tensor(0.0), torch.tensor(1.0))
    hermite = [1.0, z]
    for n in range(1, order):
        hermite.append(z * hermite[-1] - n * hermite[-2])
    base = math.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    sides = polynomial_system(p1, p2, p3, scale * p4, w, order)
    series = sum(side * x**one * hermite[two] * base for (one, two), side in sides.items())
    assert abs(series / exact - 1) < 1e-3


def gaussians(mean, variance):
    return (
        Mixture.of([[0.0]], [0.0], [[0.0]], [0.0], [1.0]),
        Mixture.of([[0.0]], [0.0], [[0.0]], [mean], [variance]),
    )


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (0.01, 1.0), (3.0, 0.25), (30.0, 2.0)])
def test_hellinger_of_two_gaussians(mean, variance):
    one, other = gaussians(mean, variance)
    root = variance**0.25 * math.sqrt(2 / (1 + variance))
    squared = -math.expm1(math.log(root) - 0.25 * mean**2 / (1 + variance))
    ours = hellinger(torch.zeros(1, 1), one, other, 1, 1).item()
    assert ours == pytest.approx(math.sqrt(squared), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("mean", [0.0, 0.1, 1.0, 5.0])
def test_total_variation_of_two_gaussians(mean):
    one, other = gaussians(mean, 1.0)
    ours = total_variation(torch.zeros(1, 1), one, other, 1, 1, places=8192).item()
    assert ours == pytest.approx(math.erf(mean / math.sqrt(8)), abs=1e-6)


def test_distances_are_ordered_symmetric_and_those_of_a_finer_grid():
    inputs, one, other = uniform(40, 2), drawn(3, 2), drawn(4, 2, seed=5)
    h = hellinger(inputs, one, other, 2, 3)
    v = total_variation(inputs, one, other, 2, 3)
    assert (h**2 <= v + 1e-9).all()
    assert (v <= math.sqrt(2) * h + 1e-9).all()
    assert_close(h, hellinger(inputs, other, one, 3, 2))
    assert_close(h, hellinger(inputs, one, other, 2, 3, places=3000), rtol=1e-9, atol=1e-9)
    assert hellinger(inputs, one, shift_gate(one, 2.0, 1.0), 2, 2).max() < 1e-7


@pytest.mark.parametrize("kind", ["squared hellinger", "total variation"])
def test_sampling_agrees_with_quadrature(kind):
    inputs, one, other = (
        uniform(40_000),
        TRUTH,
        starts_near(TRUTH, 1, scale=0.2, generator=seeded(1))[0],
    )
    mean, error = sampled_distance(inputs, one, other, 2, 2, kind=kind, generator=seeded(6))
    grid = uniform(500, seed=9)
    if kind == "total variation":
        exact = total_variation(grid, one, other, 2, 2).mean()
    else:
        exact = hellinger(grid, one, other, 2, 2).square().mean()
    assert abs(mean - exact.item()) < 4 * error + 0.03 * exact.item()
    assert 0 < error < 0.01


def test_the_cards_voronoi_condition():
    """A split middle expert: the density is found again with K̄ = 3 and neither with 2 nor 4."""
    inputs = torch.linspace(-1, 1, 200, dtype=torch.float64)[:, None]
    split = split_expert(TRUTH, 1, 0.01)
    h = [hellinger(inputs, TRUTH, split, 2, k).mean().item() for k in (2, 3, 4)]
    assert h[1] < 0.001
    assert h[0] > 0.05
    assert h[2] > 0.1
