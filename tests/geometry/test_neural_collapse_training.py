"""Cross-entropy's closed form, and the trainer against closed forms of its own."""

import math

import pytest
import torch
from l2s.geometry.neural_collapse import (
    cross_entropy_solution,
    head_objective,
    train_free_features,
    train_linear_head,
)
from l2s.maths import frame_distance, simplex_etf
from scipy.optimize import minimize_scalar

from tests.geometry.collapse_cases import features_of_classes

CASES = [(10, 10, 1e-3, 1e-3), (3, 5, 1e-2, 3e-3), (2, 1, 0.05, 0.2), (4, 6, 0.3, 0.3)]


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("classes", "samples", "decay", "feature_decay"), CASES)
def test_the_margin_is_the_minimum_of_the_scalar_problem(classes, samples, decay, feature_decay):
    price = math.sqrt(samples * decay * feature_decay)

    def objective(c):
        return math.log1p((classes - 1) * math.exp(-c)) + price * (classes - 1) * c

    found = minimize_scalar(objective, bounds=(0, 30), method="bounded", options={"xatol": 1e-10})
    solution = cross_entropy_solution(classes, samples, decay, feature_decay)
    assert solution.loss <= found.fun + 1e-12
    assert solution.loss == pytest.approx(found.fun, abs=1e-8)
    assert solution.margin == pytest.approx(found.x, abs=1e-4)


@pytest.mark.parametrize(("classes", "samples", "decay", "feature_decay"), CASES)
def test_cross_entropys_minimiser_has_the_loss_and_no_gradient(
    classes, samples, decay, feature_decay
):
    solution = cross_entropy_solution(classes, samples, decay, feature_decay)
    (weight,), features = solution.minimiser(classes + 2, generator=_generator(3))
    parts = (weight.requires_grad_(), features.requires_grad_())
    labels = torch.arange(classes).repeat_interleave(samples)
    value = head_objective(
        [weight], features, labels,
        weight_decays=decay, feature_decay=feature_decay, loss="cross_entropy",
    )  # fmt: skip
    assert value.item() == pytest.approx(solution.loss, rel=1e-12)
    for gradient in torch.autograd.grad(value, parts):
        assert gradient.abs().max() < 1e-13
    logits = (features @ weight.T).detach()
    assert (logits[0, 0] - logits[0, 1]).item() == pytest.approx(solution.margin, abs=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_cross_entropy_is_trained_to_the_simplex_at_depth_one(bias):
    solution = cross_entropy_solution(5, 4, 5e-3, 5e-3)
    run = train_free_features(
        [4] * 5, 1, 5e-3, 5e-3, loss="cross_entropy", bias=bias, starts=2, generator=_generator()
    )
    assert max(run.losses) == pytest.approx(solution.loss, abs=1e-9)
    simplex = simplex_etf(5, 4, length=solution.mean_length, dtype=torch.float64)
    assert frame_distance(run.class_means, simplex, rescale=False) < 1e-4
    assert run.head.norm(dim=1).tolist() == pytest.approx([solution.weight_length] * 5, rel=1e-4)


def test_a_deep_head_beats_the_simplex_under_cross_entropy():
    """Four pairs of opposite points, margin c: cheaper than seven dimensions of a simplex."""
    c, classes, depth, decay = 5.0, 8, 2, 1e-3
    simplex = c * (torch.eye(classes) - 1 / classes).double()
    pairs = c * torch.kron(torch.eye(4), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])).double()
    values = []
    for logits in (simplex, pairs):
        cost = (depth + 1) / 2 * (6 * decay**3) ** (1 / (depth + 1))
        penalty = cost * (torch.linalg.svdvals(logits) + 1e-300).pow(2 / (depth + 1)).sum()
        fit = torch.nn.functional.cross_entropy(logits, torch.arange(classes))
        values.append((fit + penalty).item())
    assert values[1] < values[0]
    run = train_free_features(
        [6] * 8, depth, decay, decay, loss="cross_entropy", starts=2, generator=_generator()
    )
    assert run.loss < values[1]
    assert torch.linalg.matrix_rank(run.head, atol=1e-3) <= 4


@pytest.mark.parametrize("bias", [False, True])
def test_depth_one_on_given_features_is_ridge_regression(bias):
    features, labels = features_of_classes([9, 6, 4], 5)
    run = train_linear_head(features, labels, 1, 0.1, bias=bias, starts=2, generator=_generator())
    targets = torch.nn.functional.one_hot(labels, 3).double()
    x, y = features, targets
    if bias:
        x, y = x - x.mean(0), y - y.mean(0)
    ridge = torch.linalg.solve(x.T @ x + 0.1 * len(x) * torch.eye(5), x.T @ y).T
    torch.testing.assert_close(run.head, ridge, rtol=0, atol=1e-6)
    assert torch.equal(run.features, features)
    if bias:
        want = targets.mean(0) - features.mean(0) @ ridge.T
        torch.testing.assert_close(run.bias, want, rtol=0, atol=1e-6)


def test_a_deep_head_on_orthogonal_features_shrinks_each_direction_alone():
    """With features e_k, depth 2: the singular value s of class k minimises a scalar loss."""
    features, labels = torch.eye(3).double(), torch.arange(3)
    run = train_linear_head(features, labels, 2, 0.05, starts=4, generator=_generator())

    def objective(s):  # (s - 1)^2 / (2 N) + λ s, since λ/2 (s + s) is least at equal factors
        return (s - 1) ** 2 / 6 + 0.05 * s

    found = minimize_scalar(objective, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    assert run.loss == pytest.approx(3 * found.fun, abs=1e-9)
    torch.testing.assert_close(run.head, found.x * torch.eye(3).double(), rtol=0, atol=1e-5)


def test_the_trainer_tells_of_every_start_and_keeps_the_best():
    run = train_free_features([20, 5], 3, 0.02, 0.02, starts=6, scale=0.4, generator=_generator())
    assert len(run.losses) == 6
    assert run.loss == min(run.losses)
    again = train_free_features([20, 5], 3, 0.02, 0.02, starts=6, scale=0.4, generator=_generator())
    assert again.losses == run.losses
    value = head_objective(
        run.weights, run.features, run.labels, weight_decays=0.02, feature_decay=0.02
    )
    assert value.item() == pytest.approx(run.loss, rel=1e-12)


def test_a_tiny_start_never_leaves_zero_in_a_deep_head():
    run = train_free_features([20, 5], 3, 1e-3, 1e-3, starts=2, scale=1e-3, generator=_generator())
    assert run.losses == pytest.approx((0.5, 0.5), abs=1e-9)


def test_a_run_goes_on_from_another_and_keeps_a_class_alive_beyond_its_threshold():
    """Two equal classes of 6, depth 2: price 2 N (N λ^3)^(1/2) / n, brought from .45 over .5."""
    sizes, samples = [6, 6], 12

    def decay_at(price):
        return ((price * 6 / (2 * samples)) ** 2 / samples) ** (1 / 3)

    run = train_free_features(sizes, 2, *[decay_at(0.45)] * 2, starts=4, generator=_generator())
    assert run.loss < 0.5
    for price, lives in [(0.55, True), (0.6, True), (0.66, False), (0.3, False)]:
        decay = decay_at(price)
        run = train_free_features(sizes, 2, decay, decay, start=run)
        assert len(run.losses) == 1
        assert bool(run.outputs.diagonal().max() > 0.3) == lives, price
