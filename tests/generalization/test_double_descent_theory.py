"""Theory against simulation, quadrature and limits."""

import math

import numpy as np
import pytest
import torch
from l2s.generalization.double_descent import (
    collapse,
    decompose,
    evaluate,
    minimum_norm_error,
    random_feature_error,
    random_features,
    ridge_filter,
    sphere_spectrum,
)
from torch.testing import assert_close

DIM, N = 40, 200
LINEAR = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize("width", [20, 40, 90, 300])
def test_minimum_norm_error_on_gaussian_features(width):
    generator = torch.Generator().manual_seed(width)
    samples, noise, draws = 60, 0.3, 400
    z = torch.randn(draws, samples, width, generator=generator, dtype=torch.float64)
    w = torch.randn(draws, width, 1, generator=generator, dtype=torch.float64)
    w = w / w.norm(dim=1, keepdim=True)
    y = z @ w + noise**0.5 * torch.randn(draws, samples, 1, generator=generator).double()
    excess = (torch.linalg.pinv(z) @ y - w).square().sum((1, 2))
    expected = minimum_norm_error(samples, width, signal=1.0, noise=noise)
    assert abs(excess.mean() - expected) < 4 * excess.std() / draws**0.5


def test_minimum_norm_error_at_the_threshold():
    assert minimum_norm_error(50, 49, signal=1.0, noise=0.1) == math.inf
    assert minimum_norm_error(50, 51, signal=1.0, noise=0.1) == math.inf
    assert minimum_norm_error(50, 50, signal=1.0, noise=0.0) == 0.0
    assert minimum_norm_error(50, 48, signal=1.0, noise=0.1) == pytest.approx(4.8)


@pytest.mark.parametrize("activation", ["relu", "tanh", "fourier"])
def test_the_kernel_of_the_sphere_has_the_features_spectrum(activation):
    """The sum over degrees of eigenvalue x multiplicity x Legendre is the kernel itself."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    x = x / x.norm(dim=1, keepdim=True) * 12**0.5
    layer = random_features(12, 400_000, activation=activation, scale=0.8, generator=generator)
    z = layer(x)
    spectrum = sphere_spectrum(12, activation=activation, scale=0.8, degrees=8)
    t = float(x[0] @ x[1]) / 12
    legendre = [1.0, t]
    for n in range(1, 7):
        legendre.append(((2 * n + 10) * t * legendre[n] - n * legendre[n - 1]) / (n + 10))
    weights = spectrum.eigenvalues * spectrum.multiplicities
    series = float((weights * torch.tensor(legendre)).sum())
    assert_close(series, float(z[0] @ z[1]), atol=0.005, rtol=0.01)
    whole = float(weights.sum()) + spectrum.tail
    assert_close(whole, float(z[0] @ z[0]), atol=0.005, rtol=0.01)


def test_relu_on_the_sphere_in_closed_form():
    spectrum = sphere_spectrum(1000)  # a large sphere is Gaussian: E relu(u), E u relu(u)
    assert float(spectrum.eigenvalues[0]) == pytest.approx(1 / (2 * math.pi), rel=2e-3)
    assert float(spectrum.eigenvalues[1]) * 1000 == pytest.approx(1 / 4, rel=2e-3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "fourier"])
@pytest.mark.parametrize(("width", "penalty"), [(100, 0.0), (300, 0.0), (1200, 0.0), (200, 1e-3)])
def test_random_features_cost_what_theory_says(activation, width, penalty):
    generator = torch.Generator().manual_seed(5)
    noise, draws, costs = 0.25, 16, []
    for _ in range(draws):
        x = torch.randn(N + 1000, DIM, generator=generator, dtype=torch.float64)
        x = x / x.norm(dim=1, keepdim=True) * DIM**0.5
        w = torch.randn(DIM, 1, generator=generator, dtype=torch.float64)
        y = x @ (w / w.norm())
        noisy = y[:N] + noise**0.5 * torch.randn(N, 1, generator=generator, dtype=torch.float64)
        z = random_features(DIM, width, activation=activation, generator=generator)(x)
        spectrum = decompose(z[:N], noisy)
        e = ridge_filter(spectrum.eigenvalues, [penalty])
        costs.append(float(evaluate(spectrum, z[N:], y[N:], e).test))
    theory = sphere_spectrum(DIM, activation=activation)
    expected = sum(
        random_feature_error(
            N,
            width,
            eigenvalues=theory.eigenvalues,
            multiplicities=theory.multiplicities,
            tail=theory.tail,
            signal=LINEAR,
            noise=noise,
            penalty=penalty,
        )
    )
    error = np.std(costs, ddof=1) / draws**0.5
    assert abs(np.mean(costs) - expected) < 4 * error + 0.03 * expected


def test_below_the_threshold_the_variance_is_that_of_least_squares():
    _, variance = _linear(width=80, noise=0.5)
    assert variance == pytest.approx(0.5 * 80 / 120)
    assert _linear(width=200, noise=0.5) == (math.inf, math.inf)


def test_a_vanishing_penalty_is_the_minimum_norm_solution():
    for width in (120, 600):
        assert _linear(width=width, penalty=1e-12) == pytest.approx(_linear(width=width), rel=1e-4)


def test_a_huge_penalty_learns_nothing():
    assert _linear(width=300, penalty=1e9) == pytest.approx((1.0, 0.0), abs=1e-4)


def test_far_beyond_the_threshold_the_kernel_is_left():
    """An independent formula for kernel regression: degrees of freedom against samples."""
    bias, variance = _linear(width=10**8, noise=0.3)
    theory = sphere_spectrum(DIM)
    mu, count = theory.eigenvalues.numpy(), theory.multiplicities.numpy()
    low, high = 1e-9, 10.0
    for _ in range(200):
        nu = math.sqrt(low * high)
        low, high = (
            (nu, high) if (count * mu / (mu + nu)).sum() + theory.tail / nu > N else (low, nu)
        )
    df2 = (count * (mu / (mu + nu)) ** 2).sum()
    assert variance == pytest.approx(0.3 * df2 / (N - df2), rel=1e-4)
    assert bias == pytest.approx((nu / (mu[1] + nu)) ** 2 / (1 - df2 / N), rel=1e-4)


def test_series_on_one_curve_collapse_and_others_do_not():
    x = np.geomspace(0.01, 1, 40)
    names = np.array(["a", "b"] * 20)
    on_one = collapse(x, x**-1.5, names)
    assert on_one.rank_correlation == -1
    assert on_one.factor < 1.25
    assert on_one.explained > 0.98
    apart = collapse(x, np.where(names == "a", 10, 1) * x**-1.5, names)
    assert apart.factor == pytest.approx(10, rel=0.3)  # each predicts the other ten times off
    assert apart.explained < on_one.explained


def _linear(*, width, noise=0.25, penalty=0.0):
    theory = sphere_spectrum(DIM)
    return random_feature_error(
        N,
        width,
        eigenvalues=theory.eigenvalues,
        multiplicities=theory.multiplicities,
        tail=theory.tail,
        signal=LINEAR,
        noise=noise,
        penalty=penalty,
    )
