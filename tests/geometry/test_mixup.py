"""Best features of mixed samples: against a minimiser, Lambert's function, symmetries, limits."""

import itertools
import math

import numpy as np
import pytest
import torch
from l2s.geometry.mixup import (
    limit_norm_ratio,
    optimal_features,
    optimal_scores,
    pull_strength,
    soft_targets,
    squared_error_features,
)
from l2s.geometry.mixup.optimal import _log_omega
from l2s.maths import simplex_etf
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import lambertw, wrightomega
from torch.testing import assert_close

DECAYS = [1.0, 1e-2, 1e-4, 1e-6]


def frame(classes=10, dim=None, *, length=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    dim = classes + 2 if dim is None else dim
    return simplex_etf(classes, dim, length=length, generator=generator, dtype=torch.float64)


def pair_targets(classes=10, shares=(0.0, 0.1, 0.37, 0.5, 0.7, 1.0), i=2, j=0):
    share = torch.tensor(shares, dtype=torch.float64)
    of = torch.full((len(share),), 1)
    return soft_targets(i * of, j * of, share, classes=classes)


def objective(h, y, W, decay):
    return -(y * (W @ h).log_softmax(0)).sum() + decay / 2 * h.square().sum()


def minimised(y, W, decay):
    """Minimise over the feature by a general method."""

    def value_and_gradient(h):
        h = torch.tensor(h, requires_grad=True)
        value = objective(h, y, W, decay)
        value.backward()
        return value.item(), h.grad.numpy()

    options = {"maxiter": 5000, "gtol": 1e-13, "ftol": 1e-30, "maxcor": 30}
    start = np.zeros(W.shape[1])
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    return torch.tensor(found.x)


@pytest.mark.parametrize("decay", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_features_are_those_of_a_minimiser(classes, decay):
    W, y = frame(classes), pair_targets(classes, i=1)
    h = optimal_features(y, W, feature_decay=decay)
    for row, target in zip(h, y, strict=True):
        other = minimised(target, W, decay)
        assert_close(W @ row, W @ other, atol=3e-5, rtol=0)
        assert objective(row, target, W, decay) <= objective(other, target, W, decay) + 1e-14


@pytest.mark.parametrize("decay", [1e3, *DECAYS, 1e-9])
def test_gradient_is_zero_and_the_hessian_positive(decay):
    W, y = frame(), pair_targets()
    h = optimal_features(y, W, feature_decay=decay)
    r = (h @ W.T).softmax(1)
    gradient = (r - y) @ W + decay * h
    assert gradient.abs().max() < 1e-14
    hessian = torch.autograd.functional.hessian(lambda x: objective(x, y[3], W, decay), h[3])
    assert torch.linalg.eigvalsh(hessian).min() > 0.99 * decay


@pytest.mark.parametrize("strength", [1e-8, 0.3, 1.0, 30.0, 1e3, 1e5])
def test_scores_are_those_of_lamberts_function_and_a_scalar_root(strength):
    """The card's route: r_k = W(ν e^(ν y_k) / S) / ν with S from a bracketing root search."""
    for target in pair_targets(4, shares=(0.2, 0.5, 1.0)):

        def shares(log_s, target=target):
            b = math.log(strength) + strength * target.numpy() - log_s
            small = lambertw(np.exp(np.minimum(b, 600))).real
            return np.where(b > 600, wrightomega(b).real, small) / strength

        log_s = brentq(lambda x: shares(x).sum() - 1, -50, strength + 50, xtol=1e-13)
        expected = strength * (target.numpy() - shares(log_s))
        found = optimal_scores(target[None], strength=strength)[0]
        np.testing.assert_allclose(found, expected, atol=1e-9 * max(1, strength), rtol=1e-7)


def test_log_omega_is_scipys():
    b = torch.linspace(-700, 700, 4001, dtype=torch.float64)
    np.testing.assert_allclose(_log_omega(b).exp(), wrightomega(b.numpy()).real, rtol=1e-12)
    u = _log_omega(torch.tensor([-1e6, -1.0, 0.0, 1.0, 1.5]).double())
    assert_close(u + u.exp(), torch.tensor([-1e6, -1.0, 0.0, 1.0, 1.5]).double())


@pytest.mark.parametrize("strength", [1e-300, 1e-3, 1.0, 1e7, 1e15, 1e300])
def test_scores_hold_at_any_strength(strength):
    y = pair_targets(6, shares=(0.0, 1e-12, 0.3, 0.5, 1.0))
    s = optimal_scores(y, strength=strength)
    assert bool(s.isfinite().all())
    assert s.sum(1).abs().max() < 1e-9
    # What s = ν (y - r) says, without subtracting nearly equal numbers: r = y - s / ν.
    assert_close(s.softmax(1), y - s / strength, atol=1e-12, rtol=1e-9)


def test_any_distribution_is_a_target_and_rows_do_not_meet():
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(50, 7, generator=generator, dtype=torch.float64)
    y = y / y.sum(1, keepdim=True)
    s = optimal_scores(y, strength=200.0)
    assert_close(s, 200 * (y - s.softmax(1)))
    assert_close(torch.cat([optimal_scores(row[None], strength=200.0) for row in y]), s)
    assert_close(optimal_scores(y.float(), strength=200.0), s, atol=1e-4, rtol=1e-4)
    uniform = torch.full((1, 5), 0.2, dtype=torch.float64)
    assert optimal_scores(uniform, strength=50.0).abs().max() < 1e-12


@pytest.mark.parametrize("decay", DECAYS)
def test_symmetries(decay):
    W = frame()
    y = pair_targets()
    h = optimal_features(y, W, feature_decay=decay)
    swapped = pair_targets(shares=tuple((1 - y[:, 2]).tolist()), i=0, j=2)
    assert_close(optimal_features(swapped, W, feature_decay=decay), h)
    turn = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64)).Q
    assert_close(optimal_features(y, W @ turn, feature_decay=decay), h @ turn)
    order = torch.randperm(10)
    assert_close(optimal_features(y[:, order], W[order], feature_decay=decay), h)
    one_hot = torch.eye(10, dtype=torch.float64)[[0, 2]]
    assert_close(optimal_features(one_hot, W, feature_decay=decay), h[[0, -1]])


@pytest.mark.parametrize("decay", DECAYS)
def test_features_lie_in_the_plane_of_their_pair_as_the_formula_says(decay):
    W, y = frame(), pair_targets()
    h = optimal_features(y, W, feature_decay=decay)
    r = (h @ W.T).softmax(1)
    rest = r[:, 5:6]
    assert_close(r[:, [1, *range(3, 10)]], rest.expand(-1, 8))
    a, b = y[:, 2:3] - r[:, 2:3] + rest, y[:, 0:1] - r[:, 0:1] + rest
    assert_close(h, (a * W[2] + b * W[0]) / decay, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("decay", DECAYS)
def test_same_class_and_midpoint_equations(decay):
    """Both scalar equations of the chapter, down to a residual of 1e-8."""
    K, W = 10, frame()
    nu = pull_strength(W, feature_decay=decay)
    assert nu == pytest.approx(9 * 10 / 9 / decay)
    s = optimal_scores(pair_targets(K, shares=(1.0, 0.5)), strength=nu)
    r = s.softmax(1)
    rest = r[:, 5]
    assert abs((r[0, 2] / rest[0]).log() - nu * K * rest[0]) < 1e-8
    assert abs((r[1, 2] / rest[1]).log() - nu * K * rest[1] / 2) < 1e-8
    assert_close(r[1, 2], (1 - (K - 2) * rest[1]) / 2)
    h = optimal_features(pair_targets(K, shares=(1.0, 0.5)), W, feature_decay=decay)
    across = torch.nn.functional.cosine_similarity
    assert across(h[0], W[2], dim=0) == pytest.approx(1)
    assert across(h[1], W[2] + W[0], dim=0) == pytest.approx(1)
    length = s.square().sum(1) * (K - 1) / (K * 9)
    assert_close(h.square().sum(1), length)


def test_two_classes_have_one_axis():
    W, decay = frame(2, 3), 1e-3
    y = pair_targets(2, shares=(0.5, 0.8), i=0, j=1)
    h = optimal_features(y, W, feature_decay=decay)
    assert h[0].norm() < 1e-12
    s, nu = h @ W.T, pull_strength(W, feature_decay=decay)
    assert_close(s[1, 0] - s[1, 1], 2 * nu * (0.8 - s[1].softmax(0)[0]))
    assert limit_norm_ratio(2) == 0


def test_numbers_of_the_table():
    """Gap at λ = .7 and the three norms, K = 10, κ = 3, as the chapter prints them."""
    known = {
        1e-2: (0.8544, 2.168, 2.385, 2.408),
        1e-3: (0.8483, 2.785, 3.191, 3.216),
        1e-4: (0.8474, 3.415, 4.019, 4.046),
        1e-6: (0.8473, 4.701, 5.718, 5.748),
    }
    W = frame()
    for decay, (gap, *norms) in known.items():
        h = optimal_features(pair_targets(shares=(1.0, 0.7, 0.5)), W, feature_decay=decay)
        s = h @ W.T
        assert (s[1, 2] - s[1, 0]).item() == pytest.approx(gap, abs=6e-5)
        assert h.norm(dim=1).tolist() == pytest.approx(norms, abs=6e-4)


def test_limits():
    W, share = frame(), torch.tensor([0.1, 0.3, 0.5, 0.9], dtype=torch.float64)
    y = pair_targets(shares=tuple(share.tolist()))
    s = optimal_features(y, W, feature_decay=1e-12) @ W.T
    assert_close(s[:, 2] - s[:, 0], torch.logit(share), atol=1e-9, rtol=0)
    away = [
        (optimal_features(y, W, feature_decay=decay) @ W.T)[:, [0, 2]].amin() for decay in DECAYS
    ]
    assert all(b > a + 1 for a, b in itertools.pairwise(away))  # runs away as a log

    def ratio(decay):
        h = optimal_features(pair_targets(shares=(0.5, 1.0)), W, feature_decay=decay)
        return float(h[0].norm() / h[1].norm())

    gaps = [limit_norm_ratio(10) - ratio(decay) for decay in (1e-2, 1e-6, 1e-30, 1e-150)]
    assert gaps == sorted(gaps, reverse=True)
    assert 0 < gaps[-1] < 0.006
    big = optimal_features(y, W, feature_decay=1e6)  # r goes to 1/K, and h to W'(y - 1/K) / λ_H
    assert_close(big * 1e6, y @ W, atol=1e-4, rtol=1e-4)


def test_squared_error_is_linear_stationary_and_a_convex_combination():
    W, decay = torch.randn(5, 7, dtype=torch.float64), 0.3
    y = pair_targets(5, shares=(0.25, 1.0, 0.0), i=4, j=1)
    h = squared_error_features(y, W, feature_decay=decay)
    assert_close(h[0], 0.25 * h[1] + 0.75 * h[2])
    assert ((h @ W.T - y) @ W + decay * h).abs().max() < 1e-12
    half, whole = squared_error_features(
        pair_targets(shares=(0.5, 1.0)), frame(), feature_decay=decay
    )
    found = float(half.norm() / whole.norm())
    assert found == pytest.approx(limit_norm_ratio(10, loss="squared error"), abs=1e-12)
    assert found == pytest.approx(math.sqrt(8 / 18), abs=1e-12)
    assert limit_norm_ratio(10) == pytest.approx(2 * found)


def test_free_classifier_finds_no_better_point_than_the_frame():
    """With W free too, no start of L-BFGS goes below the best scaled simplex frame."""
    K, d, decay = 4, 6, 0.02
    share = (torch.arange(4, dtype=torch.float64) + 0.5) / 4
    grid = torch.cartesian_prod(torch.arange(K).double(), torch.arange(K).double(), share)
    (i, j), part = grid[:, :2].long().T, grid[:, 2]
    y = soft_targets(i, j, part, classes=K)

    def value(W, h):
        fit = -(y * (h @ W.T).log_softmax(1)).sum(1).mean()
        return fit + decay / 2 * (h.square().sum(1).mean() + W.square().sum())

    def on_frame(length):
        W = frame(K, d, length=length)
        return float(value(W, optimal_features(y, W, feature_decay=decay)))

    best = minimize_scalar(on_frame, bounds=(1.1, 1.4), method="bounded").fun
    for seed in range(2):
        start = torch.Generator().manual_seed(seed)
        W = torch.randn(K, d, generator=start, dtype=torch.float64).requires_grad_()
        h = torch.randn(len(y), d, generator=start, dtype=torch.float64).requires_grad_()
        optimizer = torch.optim.LBFGS([W, h], max_iter=2000, line_search_fn="strong_wolfe")

        def closure(W=W, h=h, optimizer=optimizer):
            optimizer.zero_grad()
            loss = value(W, h)
            loss.backward()
            return loss

        optimizer.step(closure)
        assert best - 1e-8 < value(W, h).item() < best + 1e-7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_decay": 0.0}, "`feature_decay` is 0.0"),
        ({"feature_decay": math.inf}, "`feature_decay` is inf"),
        ({"classifier": torch.eye(3)}, "no simplex frame"),
        ({"classifier": torch.zeros(3, 3)}, "no simplex frame"),
        ({"classifier": torch.full((3, 3), math.nan)}, "`classifier` holds 9"),
        ({"classifier": frame(4).float()}, "`classifier` has shape"),
        ({"targets": torch.tensor([[0.5, 0.6, 0.0]])}, "`targets` has rows that sum to 1.1"),
        ({"targets": torch.tensor([[1.5, -0.5, 0.0]])}, "least entry of -0.5"),
        ({"targets": torch.tensor([[math.nan, 0.0, 0.0]])}, "`targets` holds 1"),
        ({"classifier": torch.ones(1, 3), "targets": torch.ones(1, 1)}, "`classes` is 1"),
    ],
)
def test_bad_input_of_the_theory(change, message):
    good = {
        "targets": torch.eye(3)[:1],
        "classifier": frame(3).float(),
        "feature_decay": 0.1,
    }
    optimal_features(**good)
    with pytest.raises(ValueError, match=message):
        optimal_features(**(good | change))


def test_more_bad_input_of_the_theory():
    with pytest.raises(ValueError, match="`strength` is 0"):
        optimal_scores(torch.eye(3), strength=0.0)
    with pytest.raises(ValueError, match="`classes` is 1"):
        limit_norm_ratio(1)
    with pytest.raises(ValueError, match="`loss` is 'mse'"):
        limit_norm_ratio(3, loss="mse")
    with pytest.raises(ValueError, match="`dim` is 2"):
        simplex_etf(4, 2)
    with pytest.raises(TypeError, match="`targets` has dtype int64"):
        optimal_scores(torch.eye(3).long(), strength=1.0)
