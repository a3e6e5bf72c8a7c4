"""Drawn data match the ground truth that they claim."""

import math

import numpy as np
import pytest
import torch
from l2s.data import flip_labels, gaussian_mixture, linear_teacher
from scipy import integrate
from scipy.stats import norm
from torch.distributions import MultivariateNormal


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mixture(samples=20_000, **changes):
    settings = {"classes": 4, "dim": 5, "separation": 2.0, "generator": seeded()}
    return gaussian_mixture(samples, **{**settings, **changes})


@pytest.mark.parametrize(("classes", "dim"), [(2, 1), (3, 2), (4, 3), (4, 10), (10, 9)])
def test_means_form_a_regular_simplex_about_zero(classes, dim):
    means = mixture(1, classes=classes, dim=dim, separation=3.0).means
    torch.testing.assert_close(torch.pdist(means), torch.full((math.comb(classes, 2),), 3.0))
    torch.testing.assert_close(means.mean(0), torch.zeros(dim), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("classes", "dim"), [(3, 1), (10, 2)])
def test_means_in_too_few_dimensions_keep_the_smallest_distance(classes, dim):
    means = mixture(1, classes=classes, dim=dim, separation=3.0).means
    assert torch.pdist(means).min().item() == pytest.approx(3.0, rel=1e-5)


def test_the_sample_follows_means_priors_and_spread():
    drawn = mixture(imbalance=8.0, standard_deviation=0.7)
    assert (drawn.priors[0] / drawn.priors[-1]).item() == pytest.approx(8.0)
    torch.testing.assert_close(drawn.priors[1:] / drawn.priors[:-1], torch.full((3,), 0.5))
    shares = drawn.labels.bincount(minlength=4) / len(drawn.labels)
    torch.testing.assert_close(shares, drawn.priors, atol=0.015, rtol=0)  # 4 standard errors
    for label in range(4):
        own = drawn.points[drawn.labels == label]
        error = 5 * 0.7 / math.sqrt(len(own))
        torch.testing.assert_close(own.mean(0), drawn.means[label], atol=error, rtol=0)
        torch.testing.assert_close(own.T.cov(), 0.49 * torch.eye(5), atol=error, rtol=0)


def test_posterior_is_bayes_rule():
    drawn = mixture(50, imbalance=5.0, standard_deviation=1.3)
    densities = torch.stack(
        [
            MultivariateNormal(mean.double(), 1.3**2 * torch.eye(5, dtype=torch.float64)).log_prob(
                drawn.points.double()
            )
            for mean in drawn.means
        ],
        dim=1,
    ).exp()
    joint = densities * drawn.priors
    expected = joint / joint.sum(1, keepdim=True)
    torch.testing.assert_close(drawn.posterior(drawn.points).double(), expected, atol=1e-6, rtol=0)
    assert torch.equal(drawn.bayes_prediction(drawn.points), expected.argmax(1))


def test_posterior_of_a_far_point_is_certain_and_not_nan():
    drawn = mixture(1)
    far = drawn.posterior(1e6 * drawn.means)
    torch.testing.assert_close(far, torch.eye(4))


def test_bayes_error_of_two_classes_has_its_closed_form():
    drawn = mixture(100_000, classes=2, separation=3.0, standard_deviation=1.5)
    assert drawn.bayes_error() == pytest.approx(norm.cdf(-1.0), abs=0.003)


def test_bayes_error_of_a_simplex_matches_quadrature():
    classes, distance = 5, 2.5
    right, _ = integrate.quad(
        lambda t: norm.pdf(t) * norm.cdf(t + distance / math.sqrt(2)) ** (classes - 1), -10, 10
    )
    drawn = mixture(50_000, classes=classes, separation=distance)
    assert drawn.bayes_error() == pytest.approx(1 - right, abs=0.005)
    wrong = (drawn.bayes_prediction(drawn.points) != drawn.labels).float().mean().item()
    assert wrong == pytest.approx(1 - right, abs=0.01)


def test_classes_that_coincide_leave_only_the_prior():
    drawn = mixture(10, separation=0.0, imbalance=3.0)
    torch.testing.assert_close(drawn.posterior(drawn.points), drawn.priors.expand(10, 4))


def test_teacher_risk_is_the_expected_squared_error():
    data = linear_teacher(200_000, dim=4, noise=0.5, generator=seeded())
    other = torch.tensor([1.0, -1.0, 0.5, 0.0])
    for weights in (data.weights, other):
        errors = (data.inputs @ weights - data.targets).square()
        assert errors.mean().item() == pytest.approx(data.risk(weights), rel=0.02)
    assert data.irreducible_error == 0.25 == data.risk(data.weights)
    assert data.weights.norm().item() == pytest.approx(1.0)


def test_least_squares_finds_a_noiseless_teacher():
    data = linear_teacher(30, dim=7, generator=seeded())
    found = torch.linalg.lstsq(data.inputs, data.targets[:, None]).solution[:, 0]
    torch.testing.assert_close(found, data.weights)


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_flips_follow_the_transition_matrix(kind, rate):
    clean = torch.arange(5).repeat(20_000)
    noisy = flip_labels(clean, classes=5, rate=rate, kind=kind, generator=seeded())
    assert torch.equal(noisy.flipped, noisy.labels != clean)
    torch.testing.assert_close(noisy.transition.sum(1), torch.ones(5))
    torch.testing.assert_close(noisy.transition.diagonal(), torch.full((5,), 1 - rate))
    counts = np.zeros((5, 5))
    np.add.at(counts, (clean.numpy(), noisy.labels.numpy()), 1)
    np.testing.assert_allclose(counts / 20_000, noisy.transition.numpy(), atol=0.017)


def test_pair_flips_go_to_the_next_class_and_wrap():
    noisy = flip_labels(torch.tensor([0, 1, 2, 2]), classes=3, rate=1.0, kind="pair")
    assert noisy.labels.tolist() == [1, 2, 0, 0]


def test_narrow_integers_do_not_overflow():
    clean = torch.full((1000,), 99, dtype=torch.int8)
    noisy = flip_labels(clean, classes=100, rate=1.0, generator=seeded())
    assert noisy.labels.dtype == torch.int64
    assert noisy.labels.min() >= 0
    assert noisy.labels.max() < 99


DRAWS = {
    "mixture": lambda generator: mixture(5, generator=generator).points,
    "teacher": lambda generator: linear_teacher(5, dim=3, noise=1.0, generator=generator).targets,
    "flips": lambda generator: (
        flip_labels(torch.zeros(99).long(), classes=3, rate=0.5, generator=generator).labels
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_decides_all_and_the_global_stream_is_untouched(name):
    before = torch.get_rng_state()
    first, again, other = (DRAWS[name](seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def noisy(**changes):
    settings = {"labels": torch.tensor([0, 1]), "classes": 2, "rate": 0.1}
    return flip_labels(**{**settings, **changes})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mixture(-3), ValueError, "`samples` is -3.*Ask for"),
        (lambda: mixture(1, classes=1), ValueError, "`classes` is 1.*at least 2"),
        (lambda: mixture(1, dim=0), ValueError, "`dim` is 0"),
        (lambda: mixture(1, separation=-1.0), ValueError, "`separation` is -1.0"),
        (lambda: mixture(1, separation=math.nan), ValueError, "`separation` is nan"),
        (lambda: mixture(1, standard_deviation=0), ValueError, "`standard_deviation` is 0"),
        (lambda: mixture(1, imbalance=0.5), ValueError, "`imbalance` is 0.5.*Pass 1"),
        (lambda: mixture(1, imbalance=math.inf), ValueError, "`imbalance` is inf"),
        (lambda: mixture(1.5), TypeError, "`samples` is 1.5"),
        (lambda: mixture(1).posterior(torch.ones(2, 3)), ValueError, "dimension 5"),
        (lambda: mixture(1).posterior(torch.full((1, 5), math.nan)), ValueError, "`points`.*NaN"),
        (lambda: mixture(1).bayes_prediction(torch.ones(5)), ValueError, "'points dim'"),
        (lambda: linear_teacher(0, dim=1), ValueError, "`samples` is 0"),
        (lambda: linear_teacher(1, dim=0), ValueError, "`dim` is 0"),
        (lambda: linear_teacher(1, dim=1, noise=-0.1), ValueError, "`noise` is -0.1"),
        (lambda: linear_teacher(1, dim=2).risk(torch.ones(3)), ValueError, r"\(3,\).*\(2,\)"),
        (lambda: noisy(rate=1.1), ValueError, "`rate` is 1.1"),
        (lambda: noisy(rate=math.nan), ValueError, "`rate` is nan"),
        (lambda: noisy(kind="flip"), ValueError, "'symmetric', 'pair'"),
        (lambda: noisy(classes=1), ValueError, "`classes` is 1"),
        (lambda: noisy(labels=torch.tensor([0, 2])), ValueError, "from 0 to 2.*0 and 1"),
        (lambda: noisy(labels=torch.tensor([-1, 0])), ValueError, "from -1 to 0"),
        (lambda: noisy(labels=torch.tensor([0.0])), TypeError, "`labels`.*float32"),
        (lambda: noisy(labels=torch.zeros(2, 2).long()), ValueError, r"`labels`.*\(2, 2\)"),
        (lambda: noisy(labels=torch.zeros(0).long()), ValueError, "Pass one label"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
