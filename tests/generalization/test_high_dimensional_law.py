"""The Marchenko-Pastur law: against its density, its moments, and eigenvalues of matrices."""

import math

import numpy as np
import pytest
import torch
from l2s.generalization.high_dimensional import (
    mp_atom,
    mp_cdf,
    mp_density,
    mp_edges,
    mp_nodes,
    mp_quantile,
    mp_sample,
    mp_stieltjes,
)
from scipy.integrate import quad

from tests.generalization.high_dimensional_cases import RATIOS, average, seeded

# Ratio, eigenvalue, density and distribution function, as scikit-rmt 2.1.1 (Santorum, BSD license)
# has them. It cannot be installed beside us, as it asks for an older NumPy. Its law is that of
# X^T X / P, ours of X^T X / N, so that its eigenvalues are ours divided by the ratio.
SCIKIT_RMT = [
    (0.25, 0.45, 0.212206590789, 0.786013443792),
    (0.25, 1.45, 0.107544386377, 0.946936399989),
    (0.5, 0.368629150102, 0.366350429385, 0.614326809616),
    (0.5, 2.77279220614, 0.0353829961606, 0.996696323855),
    (0.9, 0.382106723119, 0.474174236185, 0.428285793304),
    (0.9, 2.27947331922, 0.129799340337, 0.882447952577),
    (1.0, 0.4, 0.477464829276, 0.395818696409),
    (1.0, 3.8, 0.0365126480686, 0.995181769532),
    (1.5, 0.540408205773, 0.432837691714, 0.286783435544),
    (1.5, 4.7045407685, 0.0361206303698, 0.994160978067),
    (4.0, 1.8, 0.212206590789, 0.144053775168),
    (4.0, 5.8, 0.107544386377, 0.787745599954),
    (16.0, 10.6, 0.0720701629095, 0.0838052185273),
    (16.0, 24.2, 0.0229335640761, 0.987802072638),
]
every_ratio = pytest.mark.parametrize("ratio", RATIOS)


@every_ratio
def test_moments_of_the_nodes(ratio):
    values, weights = mp_nodes(ratio)
    near = 0 < abs(ratio - 1) < 1e-6  # the nodes are capped there, and only the first one suffers
    assert weights.sum().item() == pytest.approx(min(1, ratio), rel=1e-4 if near else 1e-12)
    for power, moment in ((1, ratio), (2, ratio + ratio**2), (3, ratio + 3 * ratio**2 + ratio**3)):
        assert (weights * values**power).sum().item() == pytest.approx(moment, rel=1e-13)


@pytest.mark.parametrize(("ratio", "eigenvalue", "density", "cdf"), SCIKIT_RMT)
def test_density_and_cdf_are_those_of_an_independent_package(ratio, eigenvalue, density, cdf):
    assert mp_density(eigenvalue, ratio).item() == pytest.approx(density, rel=1e-10)
    assert mp_cdf(eigenvalue, ratio).item() == pytest.approx(cdf, rel=1e-10)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.95, 1.05, 2.0, 10.0])
def test_inverse_moment_is_that_of_least_squares(ratio):
    values, weights = mp_nodes(ratio)
    expected = 1 / (ratio - 1) if ratio > 1 else ratio / (1 - ratio)
    assert (weights / values).sum().item() == pytest.approx(expected, rel=1e-12)


@every_ratio
def test_density_and_cdf_agree(ratio):
    low, high = mp_edges(ratio)
    a, b = low + 0.1 * (high - low), low + 0.7 * (high - low)
    mass = quad(lambda x: mp_density(x, ratio).item(), a, b, epsabs=1e-12)[0]
    between = mp_cdf(torch.tensor([a, b], dtype=torch.float64), ratio).diff().item()
    assert between == pytest.approx(mass, abs=1e-10)


@every_ratio
def test_cdf_begins_at_the_atom_and_ends_at_one(ratio):
    low, high = mp_edges(ratio)
    points = torch.tensor([-1e-9, low, high, high + 1], dtype=torch.float64)
    before, at, end, beyond = mp_cdf(points, ratio).tolist()
    assert before == 0
    assert at == pytest.approx(mp_atom(ratio), abs=1e-14)
    assert end == pytest.approx(1, abs=1e-14)
    assert beyond == pytest.approx(1, abs=1e-14)


@every_ratio
def test_quantile_inverts_the_cdf(ratio):
    shares = torch.linspace(mp_atom(ratio) + 1e-6, 1 - 1e-6, 41, dtype=torch.float64)
    values = mp_quantile(shares, ratio)
    torch.testing.assert_close(mp_cdf(values, ratio), shares, rtol=0, atol=1e-13)
    assert (values.diff() > 0).all()


def test_quantiles_within_the_atom_are_zero():
    assert mp_quantile(torch.tensor([0.0, 0.3, 0.75]), 0.25).tolist() == [0, 0, 0]
    assert mp_quantile(0.0, 4.0).item() == 1


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
def test_samples_follow_the_law(ratio):
    draws = mp_sample(4000, ratio, generator=seeded(3))
    positive = draws[draws > 0]
    share = len(positive) / 4000
    assert share == pytest.approx(min(1, ratio), abs=0.03)
    ranks = (torch.arange(len(positive)) + 0.5) / len(positive)
    model = (mp_cdf(positive.sort().values, ratio) - mp_atom(ratio)) / min(1, ratio)
    assert (model - ranks).abs().max() < 1.6 / math.sqrt(len(positive))  # Kolmogorov-Smirnov, 1 %
    assert draws.equal(mp_sample(4000, ratio, generator=seeded(3)))


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["normal", "signs"])
def test_eigenvalues_of_a_matrix_lie_at_the_quantiles(ratio, kind):
    parameters = 400
    shape = (int(ratio * parameters), parameters)
    inputs = torch.randn(shape, generator=seeded(), dtype=torch.float64)
    if kind == "signs":  # the law holds for any independent entries
        inputs = inputs.sign()
    eigenvalues = torch.linalg.eigvalsh(inputs.T @ inputs / parameters).clamp(min=0)
    middles = (torch.arange(parameters, dtype=torch.float64) + 0.5) / parameters
    expected = mp_quantile(middles, ratio)
    assert (eigenvalues - expected).abs().mean() < 0.01 * (1 + ratio)


@every_ratio
@pytest.mark.parametrize("penalty", [1e-3, 0.2, 50.0])
def test_stieltjes_is_the_average_and_the_root(ratio, penalty):
    m = mp_stieltjes(penalty, ratio).item()
    by_hand = average(lambda x: 1 / (x + penalty), ratio) + mp_atom(ratio) / penalty
    assert m == pytest.approx(by_hand, rel=1e-9)
    assert penalty * m**2 + (penalty + ratio - 1) * m == pytest.approx(1, rel=1e-9)


def test_stieltjes_keeps_its_digits_on_both_sides():
    # for α < 1 and a tiny γ the atom alone is left; for a huge γ the law is a point
    assert mp_stieltjes(1e-14, 0.5).item() == pytest.approx(0.5e14, rel=1e-12)
    assert mp_stieltjes(1e14, 2.0).item() == pytest.approx(1e-14, rel=1e-12)
    assert mp_stieltjes(1e-14, 2.0).item() == pytest.approx(1, rel=1e-12)


def test_density_outside_the_edges_is_zero():
    assert mp_density(torch.tensor([-1.0, 0.0, 0.9, 9.1]), 4.0).tolist() == [0, 0, 0, 0]
    assert mp_density(0.0, 1.0).item() == math.inf
    inside = mp_density(torch.linspace(1.01, 8.99, 9, dtype=torch.float64), 4.0).numpy()
    x = np.linspace(1.01, 8.99, 9)
    np.testing.assert_allclose(inside, np.sqrt((9 - x) * (x - 1)) / (2 * np.pi * x), rtol=1e-12)
