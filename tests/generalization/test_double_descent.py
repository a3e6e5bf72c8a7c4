"""Spectral forms against explicit loops, libraries and closed forms."""

import math

import numpy as np
import pytest
import torch
from l2s.generalization.double_descent import (
    decompose,
    descent_filter,
    evaluate,
    largest_stable_step,
    random_features,
    readout,
    ridge_filter,
    steps_to_error,
    train_to_error,
)
from scipy.linalg import lstsq
from sklearn.linear_model import Ridge
from torch.testing import assert_close

ROWS, OUTPUTS = 30, 3


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(11)


@pytest.fixture(params=[12, 30, 70], ids=lambda width: f"N={width}")
def problem(request, generator):
    """Features, targets, test features and test targets, below, at and above the threshold."""
    layer = random_features(8, request.param, activation="tanh", generator=generator)
    rows = torch.randn(ROWS + 20, 8, generator=generator, dtype=torch.float64)
    y = torch.randn(ROWS + 20, OUTPUTS, generator=generator, dtype=torch.float64)
    z = layer(rows)
    return z[:ROWS], y[:ROWS], z[ROWS:], y[ROWS:]


def by_loop(z, y, step_size, momentum, steps):
    """Heavy ball as one would write it, from zero weights."""
    w = before = torch.zeros(z.shape[1], y.shape[1], dtype=torch.float64)
    for _ in range(steps):
        gradient = z.T @ (z @ w - y) / len(z)
        w, before = w - step_size * gradient + momentum * (w - before), w
    return w


@pytest.mark.parametrize(("c", "momentum"), [(1.0, 0.0), (1.9, 0.0), (1.0, 0.9), (3.5, 0.9)])
def test_the_filter_is_the_loop(problem, c, momentum):
    z, y, zt, yt = problem
    spectrum = decompose(z, y)
    step_size = c / float(spectrum.eigenvalues[0])
    for steps in (0, 1, 2, 7, 500):
        e = descent_filter(spectrum.eigenvalues, steps, step_size=step_size, momentum=momentum)
        w = by_loop(z, y, step_size, momentum, steps)
        assert_close(spectrum.weights(e), w, atol=1e-9, rtol=1e-10)
        assert_close(spectrum.training_error(e), (z @ w - y).square().sum() / ROWS)
        assert_close(evaluate(spectrum, zt, yt, e[None]).test[0], (zt @ w - yt).square().sum() / 20)


def test_many_steps_at_once_are_the_rows_of_each(problem):
    spectrum = decompose(*problem[:2])
    each = {"step_size": 0.5 / float(spectrum.eigenvalues[0]), "momentum": 0.5}
    several = descent_filter(spectrum.eigenvalues, [3, 0, 10**6], **each)
    for row, steps in zip(several, [3, 0, 10**6], strict=True):
        assert_close(row, descent_filter(spectrum.eigenvalues, steps, **each))


def test_gradient_descent_keeps_digits_where_one_minus_a_small_number_loses_them():
    tiny = torch.tensor([1.0, 1e-15], dtype=torch.float64)
    e = descent_filter(tiny, 10**15, step_size=1.0)
    assert_close(e, torch.tensor([0.0, math.exp(-1)], dtype=torch.float64), rtol=1e-12, atol=0)


def test_a_negative_factor_alternates():
    e = descent_filter(torch.tensor([1.0]), [1, 2, 3], step_size=1.5)
    assert_close(e[:, 0], torch.tensor([-0.5, 0.25, -0.125], dtype=torch.float64))


@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-5, -1e-9])
def test_heavy_ball_is_right_at_and_near_its_double_root(gap):
    momentum = 0.81
    move = torch.tensor([(1 - math.sqrt(momentum)) ** 2 + gap, 1.0], dtype=torch.float64)
    one, e = torch.ones(2, dtype=torch.float64), 1 - move
    for _ in range(199):
        one, e = e, (1 + momentum - move) * e - momentum * one
    got = descent_filter(move, 200, step_size=1.0, momentum=momentum)
    assert_close(got, e, rtol=1e-9, atol=1e-18)


def test_the_limit_is_the_minimum_norm_solution(problem):
    z, y, *_ = problem
    spectrum = decompose(z, y)
    w = spectrum.weights(torch.zeros(spectrum.rank))
    scale = spectrum.condition_number**0.5 * 1e-12
    assert_close(w, torch.from_numpy(lstsq(z.numpy(), y.numpy())[0]), atol=scale, rtol=scale)
    late = descent_filter(spectrum.eigenvalues, 2**55, step_size=1 / float(spectrum.eigenvalues[0]))
    assert_close(late, torch.zeros(spectrum.rank, dtype=torch.float64))


def test_ridge_is_that_of_scikit_learn(problem):
    z, y, *_ = problem
    spectrum = decompose(z, y)
    peer = Ridge(alpha=ROWS * 0.01, fit_intercept=False, solver="svd").fit(z.numpy(), y.numpy())
    w = spectrum.weights(ridge_filter(spectrum.eigenvalues, 0.01))
    np.testing.assert_allclose(w.T, peer.coef_, rtol=1e-9, atol=1e-11)


def test_the_floor_is_what_no_weights_reach(problem):
    z, y, *_ = problem
    spectrum = decompose(z, y)
    best = torch.from_numpy(lstsq(z.numpy(), y.numpy())[0])
    assert_close(spectrum.floor, float((z @ best - y).square().sum() / ROWS), atol=1e-12, rtol=1e-9)
    assert (spectrum.floor < 1e-20) == (z.shape[1] >= ROWS)
    assert_close(spectrum.initial_error, float(y.square().sum() / ROWS))


def test_features_of_deficient_rank_have_fewer_modes(generator):
    thin = torch.randn(ROWS, 4, generator=generator, dtype=torch.float64)
    z = thin @ torch.randn(4, 50, generator=generator, dtype=torch.float64)
    y = torch.randn(ROWS, OUTPUTS, generator=generator, dtype=torch.float64)
    spectrum = decompose(z, y)
    assert spectrum.rank == 4
    assert spectrum.condition_number < 1e6
    w = spectrum.weights(torch.zeros(4))
    peer = torch.from_numpy(lstsq(z.numpy(), y.numpy(), cond=1e-10)[0])
    assert_close(w, peer, atol=1e-10, rtol=1e-8)
    assert_close(z @ by_loop(z, y, 1 / float(spectrum.eigenvalues[0]), 0.0, 20000), z @ w)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_just_below_the_largest_stable_step_the_loop_shrinks_and_above_it_grows(momentum):
    z, y = torch.eye(3).double(), torch.ones(3, 1).double()
    limit = largest_stable_step(decompose(z, y).eigenvalues, momentum=momentum)
    errors = [
        float((z @ by_loop(z, y, limit * share, momentum, 3000) - y).square().sum())
        for share in (0.99, 1.01)
    ]
    assert errors[0] < 1e-6 < 1e6 < errors[1]


def test_gradient_descent_only_goes_down(problem):
    spectrum = decompose(*problem[:2])
    for c in (0.5, 1.0, 1.99):
        step_size = c / float(spectrum.eigenvalues[0])
        e = descent_filter(spectrum.eigenvalues, range(200), step_size=step_size)
        assert (spectrum.training_error(e).diff() < 0).all()


def test_a_stated_error_is_reached_at_that_step_and_not_before(problem):
    spectrum = decompose(*problem[:2])
    step_size = 1 / float(spectrum.eigenvalues[0])
    stated = spectrum.floor + 0.3 * (spectrum.initial_error - spectrum.floor)
    steps = steps_to_error(spectrum, stated, step_size=step_size)
    two = descent_filter(spectrum.eigenvalues, [steps - 1, steps], step_size=step_size)
    before, after = spectrum.training_error(two)
    assert after <= stated < before
    assert steps_to_error(spectrum, spectrum.initial_error + 1, step_size=step_size) == 0


def test_with_momentum_the_error_comes_down_to_the_stated_one(problem):
    spectrum = decompose(*problem[:2])
    rule = {"step_size": 1 / float(spectrum.eigenvalues[0]), "momentum": 0.9}
    stated = spectrum.floor + 0.3 * (spectrum.initial_error - spectrum.floor)
    steps = steps_to_error(spectrum, stated, **rule)
    two = descent_filter(spectrum.eigenvalues, [steps - 1, steps], **rule)
    before, after = spectrum.training_error(two)
    assert after <= stated < before
    assert steps < steps_to_error(spectrum, stated, step_size=rule["step_size"])


def test_a_real_loop_stops_where_the_spectrum_says(problem):
    z, y, *_ = problem
    spectrum = decompose(z, y)
    step_size = 1 / float(spectrum.eigenvalues[0])
    stated = spectrum.floor + 0.4 * (spectrum.initial_error - spectrum.floor)
    layer = readout(z.shape[1], OUTPUTS)
    run = train_to_error(
        layer,
        z,
        y,
        optimizer=torch.optim.SGD(layer.parameters(), lr=step_size),
        steps=100_000,
        until=stated,
    )
    assert run.reached
    assert run.steps == steps_to_error(spectrum, stated, step_size=step_size)
    assert (run.at == np.arange(run.steps + 1)).all()
    e = descent_filter(spectrum.eigenvalues, run.steps, step_size=step_size)
    assert_close(layer.weight.detach().T, spectrum.weights(e), atol=1e-10, rtol=1e-8)


def test_predictions_do_not_see_the_unit_of_the_features_nor_a_rotation(problem, generator):
    z, y, zt, yt = problem
    spectrum = decompose(z, y)
    step_size = 1 / float(spectrum.eigenvalues[0])
    e = descent_filter(spectrum.eigenvalues, [50], step_size=step_size)
    plain = evaluate(spectrum, zt, yt, e).test
    scaled = decompose(7 * z, y)
    e = descent_filter(scaled.eigenvalues, [50], step_size=step_size / 49)
    assert_close(evaluate(scaled, 7 * zt, yt, e).test, plain)
    width = z.shape[1]
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator).double()).Q
    turned = decompose(z @ turn, y)
    e = descent_filter(turned.eigenvalues, [50], step_size=step_size)
    assert_close(evaluate(turned, zt @ turn, yt, e).test, plain)


def test_on_its_own_training_rows_the_test_error_is_the_training_error(problem):
    z, y, *_ = problem
    spectrum = decompose(z, y)
    e = ridge_filter(spectrum.eigenvalues, [0.0, 0.1])
    errors = evaluate(spectrum, z, y, e)
    assert_close(errors.test, errors.training, atol=1e-12, rtol=1e-9)


def test_mistakes_are_counted_by_the_largest_output():
    z = torch.eye(4, dtype=torch.float64)
    y = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 2]]
    spectrum = decompose(z, y)
    errors = evaluate(spectrum, z, torch.eye(4), torch.zeros(1, 4))
    assert errors.mistakes.tolist() == [0.25]
    one = evaluate(decompose(z, y[:, :1]), z, y[:, :1], torch.zeros(1, 4))
    assert one.mistakes.isnan().all()
