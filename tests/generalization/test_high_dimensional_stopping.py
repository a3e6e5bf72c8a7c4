"""Stopping, ridge, frozen directions, units, two layers and bounds, each against its definition."""

import math

import pytest
import torch
from l2s.data import linear_teacher
from l2s.generalization.high_dimensional import (
    deep_linear_flow,
    finite_generalization_error,
    finite_training_error,
    frozen_subspace,
    generalization_error,
    gradient_flow,
    mode_stopping_time,
    mp_edges,
    mp_nodes,
    optimal_ridge,
    optimal_stopping_time,
    rademacher_bound,
    ridge_error,
    theory_time,
    theory_variance,
    training_error,
    travel,
)
from torch.nn.functional import mse_loss

from tests.generalization.high_dimensional_cases import descend, problem, seeded

# ratio, best time, error then, best ridge error, error at the end; signal 1, noise 0.2
TABLE = [
    (0.25, 2.276, 1.00141, 1.00000, 1.01667),
    (0.5, 2.707, 0.82607, 0.82170, 0.90000),
    (0.95, 3.065, 0.58750, 0.57846, 4.05000),
    (1.05, 3.062, 0.54876, 0.53935, 4.20000),
    (2.0, 2.394, 0.35407, 0.34833, 0.40000),
    (4.0, 1.327, 0.26276, 0.26132, 0.26667),
]


@pytest.mark.parametrize(("ratio", "time", "stopped", "ridge", "end"), TABLE)
def test_known_table(ratio, time, stopped, ridge, end):
    point = optimal_stopping_time(ratio, noise=0.2)
    assert point.time == pytest.approx(time, abs=6e-4)
    assert point.error == pytest.approx(stopped, abs=6e-6)
    assert optimal_ridge(ratio, noise=0.2).error == pytest.approx(ridge, abs=6e-6)
    assert generalization_error(math.inf, ratio, noise=0.2).item() == pytest.approx(end, abs=6e-6)


@pytest.mark.parametrize("ratio", [0.1, 0.95, 1.0, 3.0])
@pytest.mark.parametrize("noise", [1e-3, 0.2, 30.0])
@pytest.mark.parametrize("init", [0.0, 2.0])
def test_no_other_time_is_better(ratio, noise, init):
    point = optimal_stopping_time(ratio, noise=noise, init=init)
    times = torch.logspace(-4, 5, 400, dtype=torch.float64)
    errors = generalization_error(times, ratio, noise=noise, init=init)
    assert point.error <= errors.min().item() * (1 + 1e-12)
    again = generalization_error(point.time, ratio, noise=noise, init=init).item()
    assert again == pytest.approx(point.error, rel=1e-14)
    edges = torch.tensor(mp_edges(ratio)[::-1], dtype=torch.float64)
    first, last = mode_stopping_time(edges, noise=noise, init=init).tolist()
    assert first <= point.time <= last


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.05, 2.0])
@pytest.mark.parametrize("snr", [1e-3, 1e-6])
def test_stopping_time_of_a_weak_signal_is_the_snr(ratio, snr):
    time = optimal_stopping_time(ratio, noise=1 / snr).time
    assert time == pytest.approx(snr, rel=2 * snr * (1 + ratio))


def test_one_mode_stops_where_its_error_is_least():
    value, noise, init = 0.7, 0.2, 0.3
    best = mode_stopping_time(value, noise=noise, init=init).item()
    times = torch.tensor([best, 0.999 * best, 1.001 * best], dtype=torch.float64)
    left = torch.exp(-value * times)
    error = 1.3 * left**2 + noise / value * (1 - left) ** 2
    assert error.argmin() == 0
    assert mode_stopping_time(0.0, noise=noise, init=init).item() == pytest.approx(1.3 / 0.2)


def test_without_noise_one_never_stops():
    point = optimal_stopping_time(0.25, noise=0.0)
    assert point.time == math.inf
    assert point.error == 0.75
    assert mode_stopping_time(torch.tensor([0.0, 1.0]), noise=0.0).tolist() == [math.inf] * 2
    assert optimal_stopping_time(1.0, noise=0.0) == (math.inf, 0.0)


def test_without_signal_one_never_starts():
    assert optimal_stopping_time(0.25, signal=0.0, noise=2.0) == (0.0, 2.0)
    assert optimal_ridge(0.25, signal=0.0, noise=2.0) == (math.inf, 2.0)


@pytest.mark.parametrize("ratio", [0.1, 0.95, 1.0, 3.0])
@pytest.mark.parametrize("penalty", [0.01, 0.2, 5.0])
def test_ridge_error_is_the_average_over_the_law(ratio, penalty):
    values, weights = mp_nodes(ratio)
    of_mode = (1.5 * penalty**2 + 0.2 * values) / (values + penalty) ** 2
    expected = 0.2 + (weights * of_mode).sum().item() + max(0, 1 - ratio) * 1.5
    ours = ridge_error(penalty, ratio, signal=1.5, noise=0.2).item()
    assert ours == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 3.0])
def test_best_ridge_is_flat_and_no_other_is_better(ratio):
    best = optimal_ridge(ratio, signal=1.5, noise=0.3)
    assert best.penalty == pytest.approx(0.2)
    nearby = ridge_error(
        best.penalty * torch.tensor([0.99, 1, 1.01]).double(), ratio, signal=1.5, noise=0.3
    )
    assert nearby.argmin() == 1
    assert nearby[1].item() == pytest.approx(best.error, rel=1e-13)
    slope = (nearby[2] - nearby[0]) / (0.02 * best.penalty)
    assert abs(slope) < 1e-3 * best.error


def test_ridge_regression_of_drawn_problems_has_the_error():
    errors = []
    for seed in range(30):
        inputs, targets, teacher, _ = problem(100, 200, seed=seed)
        gram = inputs.T @ inputs + 0.2 * torch.eye(200)
        weights = torch.linalg.solve(gram, inputs.T @ targets)
        errors.append(0.2 + (weights - teacher).square().mean())
    errors = torch.stack(errors)
    distance = abs(errors.mean().item() - optimal_ridge(0.5, noise=0.2).error)
    assert distance < 4 * errors.std().item() / math.sqrt(30) < 0.1


def test_stopping_never_beats_ridge_and_stays_close():
    for ratio in (0.1, 0.5, 1.0, 1.36, 5.0):
        for noise in (1e-3, 0.063, 1.0, 100.0):
            stopped = optimal_stopping_time(ratio, noise=noise).error - noise
            best = optimal_ridge(ratio, noise=noise).error - noise
            assert 1 <= stopped / best < 1.05


@pytest.mark.parametrize("kind", ["mean", "sum", "half mean", "half sum"])
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_training_script_has_the_theory_s_clock(kind, scale):
    """Twenty steps of autograd on unscaled inputs are the closed form at the converted time."""
    samples, parameters, steps = 40, 25, 20
    data = linear_teacher(samples, dim=parameters, noise=0.4, generator=seeded(1))
    inputs, targets = scale * data.inputs.double(), data.targets.double()
    weights = torch.zeros(parameters, dtype=torch.float64, requires_grad=True)
    reduction, half = kind.split()[-1], 0.5 if "half" in kind else 1.0
    rate = (0.02 if reduction == "mean" else 0.02 / samples) / scale**2
    for _ in range(steps):
        loss = half * mse_loss(inputs @ weights, targets, reduction=reduction)
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - rate * gradient).detach().requires_grad_()

    def clock(count):
        sizes = {"samples": samples, "parameters": parameters, "input_scale": scale}
        return theory_time(count, step_size=rate, loss=kind, **sizes)

    shrink = scale * math.sqrt(parameters)
    expected = gradient_flow(inputs / shrink, targets, clock(steps), step_size=clock(1))
    torch.testing.assert_close(shrink * weights.detach(), expected)
    variance = theory_variance(1 / parameters / scale**2, parameters=parameters, input_scale=scale)
    assert variance == pytest.approx(1)


def test_times_of_several_steps_convert_at_once():
    sizes = {"step_size": 0.1, "samples": 10, "parameters": 20}
    times = theory_time(torch.tensor([0.0, 5.0]), **sizes)
    assert times.tolist() == [0, theory_time(5, **sizes)]
    assert theory_time(5, **sizes) == pytest.approx(2 * 5 * 0.1 / 0.5)


def test_frozen_directions_do_not_move():
    inputs, targets, _, start = problem(30, 60, init=1.0)
    frozen, gap = frozen_subspace(inputs)
    assert frozen.shape == (60, 30)
    torch.testing.assert_close(frozen.T @ frozen, torch.eye(30).double())
    moved = descend(inputs, targets, start, 0.1, 300) - start
    assert (frozen.T @ moved).abs().max() < 1e-13
    assert moved.norm() > 1
    eigenvalues = torch.linalg.eigvalsh(inputs @ inputs.T)
    assert gap == pytest.approx(eigenvalues[0].item())


def test_rank_deficient_inputs_freeze_more():
    inputs, *_ = problem(50, 20)
    inputs[:, 0] = inputs[:, 1]
    frozen, gap = frozen_subspace(inputs)
    assert frozen.shape == (20, 1)
    assert frozen[:2, 0].abs().tolist() == pytest.approx([math.sqrt(0.5)] * 2)
    assert gap > 1e-3
    shares = finite_generalization_error(inputs, torch.tensor([math.inf]), noise=0.0)
    assert shares.item() == pytest.approx(1 / 20)
    residual = finite_training_error(inputs, math.inf, noise=0.2)
    assert residual.item() == pytest.approx(0.2 * (50 - 19) / 50)
    assert frozen_subspace(inputs, tolerance=0.999)[0].shape == (20, 19)


@pytest.mark.parametrize(("samples", "parameters"), [(10, 20), (40, 20)])
def test_two_layers_descend_as_the_reduced_equation(samples, parameters):
    inputs, targets, _, start = problem(samples, parameters, init=0.01)
    times = torch.tensor([0.0, 0.2, 0.6, 2.0], dtype=torch.float64)
    ours = deep_linear_flow(inputs, targets, times, start=start)
    by_steps = [_two_layers(inputs, targets, start, 2e-4, round(t / 2e-4)) for t in times.tolist()]
    distance = (ours - torch.stack(by_steps)).norm(dim=1) / ours.norm(dim=1)
    assert distance.max() < 2e-3  # of the order of the step
    coarse = _two_layers(inputs, targets, start, 4e-4, 5000) - ours[-1]
    assert coarse.norm() == pytest.approx(2 * (by_steps[-1] - ours[-1]).norm().item(), rel=0.05)


def test_two_layers_thaw_the_frozen_directions():
    inputs, targets, _, start = problem(10, 20, init=0.01)
    frozen, _ = frozen_subspace(inputs)
    path = deep_linear_flow(inputs, targets, torch.tensor([0.0, 1.0, 9.0]), start=start)
    grown = (path @ frozen).norm(dim=1) / (start @ frozen).norm()
    torch.testing.assert_close(grown, (path.norm(dim=1) / start.norm()).sqrt(), rtol=1e-6, atol=0)
    assert grown[-1] > 2


@pytest.mark.parametrize("ratio", [0.5, 2.0])
@pytest.mark.parametrize("time", [1.0, math.inf])
def test_travel_is_the_distance_of_drawn_weights(ratio, time):
    distances = []
    for seed in range(40):
        inputs, targets, _, start = problem(int(200 * ratio), 200, seed=seed, init=0.5)
        weights = gradient_flow(inputs, targets, time, start=start)
        distances.append((weights - start).square().mean())
    distances = torch.stack(distances)
    expected = travel(time, ratio, noise=0.2, init=0.5).item()
    assert distances.mean().item() == pytest.approx(expected, abs=4 * distances.std().item() / 6)
    assert distances.mean().item() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("ratio", [0.02, 0.5, 0.9, 1.5, 4.0])
@pytest.mark.parametrize("time", [0.3, 3.0, 100.0, math.inf])
def test_bounds_hold_and_the_more_they_know_the_lower_they_are(ratio, time):
    numbers = {"noise": 0.2, "init": 0.4}
    test, train = (e(time, ratio, **numbers) for e in (generalization_error, training_error))
    gap = math.sqrt(2 / math.pi) * (test.sqrt() - train.sqrt()).item()  # both errors are normal
    naive, frozen, travelled = (
        rademacher_bound(time, ratio, kind=kind, **numbers).item()
        for kind in ("naive", "frozen", "travelled")
    )
    assert gap <= travelled <= frozen <= naive


def test_the_farthest_mode_is_the_largest_over_the_law():
    values = torch.linspace(*mp_edges(0.5), 200_001, dtype=torch.float64)
    for time in (0.1, 1.0, 5.0, 50.0):
        gone = 1 - torch.exp(-values * time)
        largest = 1.0 * gone.max() ** 2 + 0.2 * (gone**2 / values).max()
        bound = rademacher_bound(time, 0.5, noise=0.2, kind="naive")
        assert bound.item() == pytest.approx(2 * math.sqrt(largest / 0.5), rel=1e-9)


def _two_layers(inputs, targets, start, step_size, steps, hidden=3):
    """Descend in both layers, step by step, from a balanced start; return their product."""
    unit = torch.nn.functional.normalize(torch.ones(hidden, dtype=torch.float64), dim=0)
    size = start.norm().sqrt()
    second, first = size * unit, torch.outer(unit, start / size)
    for _ in range(steps):
        pull = inputs.T @ (targets - inputs @ (first.T @ second))
        second, first = (
            second + step_size * first @ pull,
            first + step_size * torch.outer(second, pull),
        )
    return first.T @ second
