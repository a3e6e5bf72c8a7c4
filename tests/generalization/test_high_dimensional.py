"""Error curves: against thirty digits, closed limits, explicit descent and drawn problems."""

import math

import pytest
import torch
from l2s.generalization.high_dimensional import (
    effective_parameters,
    finite_generalization_error,
    finite_training_error,
    generalization_error,
    gradient_flow,
    mp_edges,
    mp_nodes,
    ridge_effective_parameters,
    training_error,
)

from tests.generalization.high_dimensional_cases import (
    RATIOS,
    average,
    descend,
    error_by_definition,
    excess,
    problem,
)

every_ratio = pytest.mark.parametrize("ratio", RATIOS)
TIMES = torch.tensor([0.0, 1e-6, 0.1, 2.0, 100.0], dtype=torch.float64)


@every_ratio
def test_generalization_error_to_twelve_digits(ratio):
    ours = generalization_error(TIMES[1:], ratio, signal=1.5, noise=0.2, init=0.4)
    expected = [error_by_definition(t, ratio, 1.5, 0.2, 0.4) for t in TIMES[1:].tolist()]
    torch.testing.assert_close(
        ours, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("time", [1e4, 1e6])
@pytest.mark.parametrize("ratio", [0.999, 1.0, 1.0001, 1.05])
def test_long_times_near_ratio_one_keep_twelve_digits(ratio, time):
    expected = error_by_definition(time, ratio, 1.0, 0.2, 0.0)
    assert generalization_error(time, ratio, noise=0.2).item() == pytest.approx(expected, rel=1e-12)


def test_long_times_at_ratio_one_grow_like_the_root():
    """At α = 1 the noise term tends to c sqrt(t): the density falls like 1 / sqrt(λ)."""
    early, late = generalization_error(torch.tensor([1e6, 4e6]).double(), 1.0, noise=1.0).tolist()
    assert late / early == pytest.approx(2, rel=1e-3)


@every_ratio
def test_training_error_to_twelve_digits(ratio):
    def by_definition(time):
        def of_mode(value):
            return math.e ** (-2 * value * time) * (value * 1.9 + 0.2)

        return average(of_mode, ratio) / ratio + max(0.0, 1 - 1 / ratio) * 0.2

    ours = training_error(TIMES, ratio, signal=1.5, noise=0.2, init=0.4)
    expected = torch.tensor([by_definition(t) for t in TIMES.tolist()], dtype=torch.float64)
    torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-13)


@every_ratio
def test_ends_of_training(ratio):
    numbers = {"signal": 1.5, "noise": 0.2, "init": 0.4}
    begin, end = torch.tensor([0.0, math.inf]), torch.inf
    assert generalization_error(begin, ratio, **numbers)[0].item() == pytest.approx(2.1)
    assert training_error(begin, ratio, **numbers)[0].item() == pytest.approx(2.1)
    assert effective_parameters(begin, ratio).tolist() == [0, min(1, ratio)]
    if ratio > 1:
        expected, fitted = 0.2 * ratio / (ratio - 1), 0.2 * (1 - 1 / ratio)
    elif ratio < 1:
        expected, fitted = 0.2 / (1 - ratio) + (1 - ratio) * 1.9, 0.0
    else:
        expected, fitted = math.inf, 0.0
    assert generalization_error(end, ratio, **numbers).item() == pytest.approx(expected, rel=1e-7)
    assert training_error(end, ratio, **numbers).item() == pytest.approx(fitted, abs=1e-12)


def test_the_end_is_what_long_times_tend_to():
    for ratio in (0.5, 2.0):
        late, end = generalization_error(torch.tensor([1e4, math.inf]), ratio, noise=0.2, init=1.0)
        assert late.item() == pytest.approx(end.item(), rel=1e-12)


def test_no_noise_no_divergence():
    """At ratio 1 without noise even infinite time is finite: 0 times infinity is avoided."""
    assert generalization_error(math.inf, 1.0, noise=0.0).item() == 0
    assert generalization_error(math.inf, 0.25, noise=0.0, signal=2.0).item() == 1.5


def test_training_error_falls_and_lies_below():
    times = torch.logspace(-2, 4, 60, dtype=torch.float64)
    ratios = torch.tensor([0.3, 1.0, 3.0], dtype=torch.float64)
    train = training_error(times, ratios, noise=0.2)
    test = generalization_error(times, ratios, noise=0.2)
    assert train.shape == test.shape == (3, 60)
    assert (train.diff(dim=1) <= 1e-15).all()
    assert (train <= test).all()


def test_shapes_follow_the_arguments():
    times, ratios = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 2.0])
    table = generalization_error(times, ratios, noise=0.1)
    assert table.shape == (2, 3)
    assert table.dtype == torch.float64
    for row, ratio in zip(table, ratios.tolist(), strict=True):
        torch.testing.assert_close(generalization_error(times, ratio, noise=0.1), row)
    torch.testing.assert_close(generalization_error(2.0, ratios, noise=0.1), table[:, 1])
    assert generalization_error(2, 1, noise=0.1).shape == ()


@pytest.mark.parametrize("ratio", [0.1, 0.95, 1.0, 2.0])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])  # of the largest stable step
@pytest.mark.parametrize("steps", [1, 7, 400])
def test_discrete_steps_are_averages_of_polynomials(ratio, share, steps):
    size = share * 2 / mp_edges(ratio)[1]
    values, weights = mp_nodes(ratio, 4000)
    left = (1 - size * values) ** steps
    moved = (weights * (1 - left**2)).sum()
    fitting = (weights * (1 - left) ** 2 / values).sum()
    expected = 0.2 + 1.3 * (1 - moved) + 0.2 * fitting
    ours = generalization_error(size * steps, ratio, noise=0.2, init=0.3, step_size=size)
    torch.testing.assert_close(ours, expected, rtol=1e-11, atol=0)
    train = (1.3 * (weights * values * left**2).sum() + 0.2 * (weights * left**2).sum()) / ratio
    train += max(0.0, 1 - 1 / ratio) * 0.2
    ours = training_error(size * steps, ratio, noise=0.2, init=0.3, step_size=size)
    torch.testing.assert_close(ours, train, rtol=1e-10, atol=1e-14)


def test_small_steps_tend_to_the_flow():
    flow = generalization_error(3.0, 0.7, noise=0.2).item()
    errors = [
        abs(generalization_error(3.0, 0.7, noise=0.2, step_size=size).item() - flow)
        for size in (0.03, 0.003)
    ]
    assert errors[0] == pytest.approx(10 * errors[1], rel=0.05)


@pytest.mark.parametrize(("samples", "parameters"), [(30, 60), (60, 60), (90, 60)])
def test_explicit_descent_is_the_closed_form(samples, parameters):
    inputs, targets, _, start = problem(samples, parameters, init=1.0)
    ours = gradient_flow(inputs, targets, 500 * 0.02, start=start, step_size=0.02)
    by_steps = descend(inputs, targets, start, 0.02, 500)
    assert (ours - by_steps).abs().max() < 2e-14
    flow = gradient_flow(inputs, targets, 500 * 0.02, start=start)
    distance = (flow - by_steps).norm() / flow.norm()
    assert 1e-6 < distance < 2e-3  # close, and not the same


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("step_size", [None, 0.25])
def test_finite_errors_are_averages_over_teachers_noise_and_starts(ratio, step_size):
    """Linear algebra instead of a million draws: w - teacher is linear in all three."""
    parameters, samples = 12, int(12 * ratio)
    inputs, *_ = problem(samples, parameters)
    time = torch.tensor([0.5, 3.0], dtype=torch.float64)

    def moved(targets, start):
        return gradient_flow(inputs, targets, time, start=start, step_size=step_size)

    zeros = torch.zeros(samples, dtype=torch.float64)
    units = torch.eye(parameters, dtype=torch.float64)
    from_start = torch.stack([moved(zeros, unit) for unit in units])
    from_teacher = torch.stack([moved(inputs @ u, 0 * u) - u for u in units])
    from_noise = torch.stack(
        [moved(e, 0 * units[0]) for e in torch.eye(samples, dtype=torch.float64)]
    )
    squares = [part.square().sum((0, 2)) for part in (from_start, from_teacher, from_noise)]
    expected = 0.3 + (0.7 * squares[0] + 1.5 * squares[1] + 0.3 * squares[2]) / parameters
    numbers = {"signal": 1.5, "noise": 0.3, "init": 0.7, "step_size": step_size}
    ours = finite_generalization_error(inputs, time, **numbers)
    torch.testing.assert_close(ours, expected)
    residual = [(part @ inputs.T).square().sum((0, 2)) for part in (from_start, from_teacher)]
    noisy = (from_noise @ inputs.T - torch.eye(samples)[:, None]).square().sum((0, 2))
    expected = (0.7 * residual[0] + 1.5 * residual[1] + 0.3 * noisy) / samples
    torch.testing.assert_close(finite_training_error(inputs, time, **numbers), expected)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0])
def test_large_matrices_have_the_errors_of_the_law(ratio):
    """N = 4,000 within 2 % (eigenvalues of the smaller product, the others are 0)."""
    parameters = 4000 if ratio < 0.5 else 1000
    inputs, *_ = problem(int(ratio * parameters), parameters, seed=5)
    times = torch.tensor([0.5, 2.0, 20.0, math.inf], dtype=torch.float64)
    for infinite, finite in (
        (generalization_error, finite_generalization_error),
        (training_error, finite_training_error),
    ):
        numbers = {"noise": 0.2, "init": 0.5}
        expected, ours = infinite(times, ratio, **numbers), finite(inputs, times, **numbers)
        torch.testing.assert_close(ours, expected, rtol=0.02, atol=1e-6)


def test_simulated_descent_has_the_predicted_error():
    """Forty teachers: the mean lies within four standard errors, and they are small."""
    times = torch.tensor([0.5, 2.0, 20.0], dtype=torch.float64)
    errors = []
    for seed in range(40):
        inputs, targets, teacher, start = problem(100, 200, seed=seed, init=0.3)
        weights = gradient_flow(inputs, targets, times, start=start)
        errors.append(0.2 + excess(weights, teacher))
    errors = torch.stack(errors)
    standard = errors.std(0) / math.sqrt(40)
    expected = generalization_error(times, 0.5, noise=0.2, init=0.3)
    assert ((errors.mean(0) - expected).abs() < 4 * standard).all()
    assert (standard < 0.03 * expected).all()


def test_effective_parameters_are_the_trace_of_the_smoother():
    inputs, *_ = problem(300, 600)
    units = torch.eye(300, dtype=torch.float64)
    trace = sum(float(inputs[p] @ gradient_flow(inputs, units[p], 2.0)) for p in range(0, 300, 10))
    assert trace * 10 / 600 == pytest.approx(effective_parameters(2.0, 0.5).item(), rel=0.02)


def test_ridge_spends_parameters_as_stopping_does():
    assert ridge_effective_parameters(0.0, 0.25).item() == 0.25
    assert ridge_effective_parameters(0.0, 1.0).item() == 1
    values, weights = mp_nodes(0.5)
    expected = (weights * values / (values + 0.3)).sum().item()
    assert ridge_effective_parameters(0.3, 0.5).item() == pytest.approx(expected, rel=1e-12)
