"""Scores agree with scikit-learn and with loops."""

import math
import time
import warnings

import numpy as np
import pytest
import torch
from l2s.metrics import PROBE_GRID, knn_accuracy, linear_probe, linear_r2
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def regression(targets, *, rows=60, dim=4):
    generator = seeded()
    x = torch.randn(2 * rows, dim, generator=generator)
    y = torch.sin(x @ torch.randn(dim, targets, generator=generator)) + 3
    y = y * torch.arange(1.0, targets + 1)  # targets of unequal variance
    return x[:rows], y[:rows], x[rows:], y[rows:]


def blobs(*, rows=150, classes=4, dim=6, spread=1.5):
    generator = seeded()
    means = torch.randn(classes, dim, generator=generator)
    labels = torch.randint(classes, (3 * rows,), generator=generator)
    points = means[labels] + spread * torch.randn(3 * rows, dim, generator=generator)
    return [(points[i::3] * 100 + 7, labels[i::3]) for i in range(3)]  # far from standardised


@pytest.mark.parametrize("targets", [1, 3])
def test_linear_r2_is_scikit_learns_variance_weighted_score(targets):
    x, y, test_x, test_y = regression(targets)
    predicted = LinearRegression().fit(x.double(), y.double()).predict(test_x.double())
    expected = r2_score(test_y, predicted, multioutput="variance_weighted")
    assert linear_r2(x, y, test_x, test_y) == pytest.approx(expected, abs=1e-9)
    assert expected < 0.9


def test_linear_r2_takes_targets_without_an_axis():
    x, y, test_x, test_y = regression(1)
    flat = linear_r2(x, y[:, 0], test_x, test_y[:, 0])
    assert flat == pytest.approx(linear_r2(x, y, test_x, test_y))


def test_linear_r2_has_an_intercept_and_survives_dependent_features():
    x, _, test_x, _ = regression(1)
    y, test_y = x @ torch.ones(4, 2) + 1000, test_x @ torch.ones(4, 2) + 1000
    again, test_again = (
        torch.cat([x, x, x[:, :1] * 0], 1),
        torch.cat([test_x, test_x, test_x[:, :1] * 0], 1),
    )
    assert linear_r2(x, y, test_x, test_y) == pytest.approx(1.0, abs=1e-6)
    assert linear_r2(again, y, test_again, test_y) == pytest.approx(1.0, abs=1e-6)


def test_linear_r2_of_noise_is_not_above_zero():
    generator = seeded()
    x, y, test_x, test_y = (torch.randn(40, 20, generator=generator) for _ in range(4))
    assert linear_r2(x, y, test_x, test_y) < 0


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_linear_probe_is_scikit_learns_on_standardised_features(penalty):
    (x, y), _, (test_x, test_y) = blobs()
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=5000))
    expected = peer.fit(x.double().numpy(), y).score(test_x.double().numpy(), test_y)
    ours = linear_probe(x, y, test_x, test_y, inverse_penalties=[penalty])
    assert ours == pytest.approx(expected, abs=1e-9)
    assert 0.3 < expected < 0.95


def test_linear_probe_takes_the_best_penalty_on_validation_and_no_other():
    train, validation, test = blobs(rows=40, dim=20, spread=3.0)
    scores = {
        penalty: (
            linear_probe(*train, *validation, inverse_penalties=[penalty]),
            linear_probe(*train, *test, inverse_penalties=[penalty]),
        )
        for penalty in PROBE_GRID
    }
    best = max(PROBE_GRID, key=lambda penalty: (scores[penalty][0], -penalty))
    chosen = linear_probe(
        *train, *test, validation_features=validation[0], validation_labels=validation[1]
    )
    assert chosen == scores[best][1]
    assert len({score for _, score in scores.values()}) > 1  # so that the choice matters


def test_linear_probe_depends_on_no_units_and_takes_constant_features():
    (x, y), _, (test_x, test_y) = blobs()
    expected = linear_probe(x, y, test_x, test_y)
    units = torch.tensor([1e-6, 1.0, 1e6, 1.0, 1.0, 3.0])
    assert linear_probe(x * units, y, test_x * units, test_y) == expected
    padded, test_padded = (torch.cat([t, 0 * t + 0.1], 1) for t in (x, test_x))
    assert linear_probe(padded, y, test_padded, test_y) == expected


def test_linear_probe_counts_an_unseen_class_as_an_error_and_keeps_odd_labels():
    x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
    y = torch.tensor([-7, -7, 90, 90])
    assert linear_probe(x, y, x, y) == 1.0
    assert linear_probe(x, y, x, torch.tensor([-7, -7, 5, 90])) == 0.75


@pytest.mark.measures
def test_linear_probe_is_fast_and_silent_at_the_chapters_size():
    generator = seeded()
    x = torch.randn(1000, 64, generator=generator)
    y = (x[:, :10] + 0.3 * torch.randn(1000, 10, generator=generator)).argmax(1)
    linear_probe(x, y, x, y)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert linear_probe(x, y, x, y, inverse_penalties=[100.0]) > 0.95
    assert time.perf_counter() - start < 1.5


def test_linear_probe_says_when_it_does_not_converge(monkeypatch):
    monkeypatch.setattr("l2s.metrics.probes._PROBE_ITERATIONS", 1)
    (x, y), _, (test_x, test_y) = blobs()
    with pytest.raises(ValueError, match="`inverse_penalties` 1.0 did not converge"):
        linear_probe(x, y, test_x, test_y)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 4, 5, 150])
def test_knn_is_scikit_learns(metric, k):
    (x, y), _, (test_x, test_y) = blobs()
    peer = KNeighborsClassifier(k, metric=metric, algorithm="brute").fit(x.double().numpy(), y)
    expected = peer.score(test_x.double().numpy(), test_y)
    assert knn_accuracy(x, y, test_x, test_y, k=k, metric=metric) == pytest.approx(expected)


def test_knn_equals_a_loop_where_distances_and_votes_tie():
    generator = seeded()
    x = torch.randint(0, 3, (40, 2), generator=generator).float()  # a grid: many equal distances
    y = torch.randint(0, 4, (40,), generator=generator) * 10 - 5
    test_x = torch.randint(0, 3, (50, 2), generator=generator).float()
    test_y = torch.randint(0, 4, (50,), generator=generator) * 10 - 5
    for k in (1, 2, 3, 6):
        right = 0
        for row, label in zip(test_x, test_y, strict=True):
            order = sorted(range(40), key=lambda i: (((x[i] - row) ** 2).sum().item(), i))
            votes = [y[i].item() for i in order[:k]]
            elected = min(set(votes), key=lambda vote: (-votes.count(vote), vote))
            right += elected == label.item()
        assert knn_accuracy(x, y, test_x, test_y, k=k, metric="euclidean") == right / 50


def test_knn_is_the_same_in_blocks(monkeypatch):
    (x, y), _, (test_x, test_y) = blobs()
    whole = knn_accuracy(x, y, test_x, test_y)
    monkeypatch.setattr("l2s.metrics.probes._ROWS_AT_ONCE", 7)
    assert knn_accuracy(x, y, test_x, test_y) == whole


def test_knn_tells_close_points_far_from_the_origin_apart():
    x = torch.tensor([[10_000.0, 1.0], [10_000.0, 1.5]])
    y = torch.tensor([0, 1])
    assert knn_accuracy(x, y, x, y, k=1) == 1.0
    assert knn_accuracy(x, y, x, y, k=1, metric="euclidean") == 1.0


def test_features_with_a_gradient_and_half_precision_are_taken():
    (x, y), _, (test_x, test_y) = blobs()
    half, test_half = (x / 100).half().requires_grad_(), (test_x / 100).half()
    targets = torch.nn.functional.one_hot(y).half()
    assert 0 < linear_probe(half, y, test_half, test_y) < 1
    assert 0 < knn_accuracy(half, y, test_half, test_y) < 1
    assert 0 < linear_r2(half, targets, half, targets) < 1


X, Y = torch.randn(6, 3, generator=seeded()), torch.tensor([0, 0, 1, 1, 2, 2])
NAN = X.clone().fill_(math.nan)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: linear_r2(X, X, X[:, :2], X), ValueError, r"`test_features`.*\(6, 2\)"),
        (lambda: linear_r2(X, X[:5], X, X), ValueError, r"`train_targets`.*\(5, 3\)"),
        (lambda: linear_r2(X, X, X, X[:, :1]), ValueError, r"`test_targets`.*\(6, 1\)"),
        (lambda: linear_r2(X, X[:, 0], X, X), ValueError, "both with, or both without"),
        (lambda: linear_r2(X[:1], X[:1], X, X), ValueError, "train_features.* at least 2"),
        (lambda: linear_r2(X, X, X[:0], X[:0]), ValueError, "test_features.* at least 2"),
        (lambda: linear_r2(NAN, X, X, X), ValueError, "`train_features` holds 18"),
        (lambda: linear_r2(X, X, X, NAN), ValueError, "`test_targets` holds 18"),
        (lambda: linear_r2(X, X, X, X * 0), ValueError, "`test_targets` are all equal"),
        (lambda: linear_r2(X, X, X, X * 0 + 0.1), ValueError, "`test_targets` are all equal"),
        (lambda: linear_r2(X, Y, X, Y), TypeError, r"`train_targets`.*int64.*float\(\)"),
        (lambda: linear_probe(X, Y, X[:, :2], Y), ValueError, "`test_features`"),
        (lambda: linear_probe(X, Y[:4], X, Y), ValueError, r"`train_labels` has shape \(4,\)"),
        (lambda: linear_probe(X, Y * 0 + 4, X, Y), ValueError, r"one class only \(4\)"),
        (lambda: linear_probe(X, Y.float(), X, Y), TypeError, r"`train_labels`.*long\(\)"),
        (lambda: linear_probe(X, Y, NAN, Y), ValueError, "`test_features` holds 18"),
        (lambda: linear_probe(X[:0], Y[:0], X, Y), ValueError, "train_features.* at least 1"),
        (lambda: linear_probe(X, Y, X, Y, inverse_penalties=[0.0]), ValueError, "is 0.0"),
        (lambda: linear_probe(X, Y, X, Y, inverse_penalties=[]), ValueError, "at least 1"),
        (lambda: linear_probe(X, Y, X, Y, inverse_penalties=[1, 2]), ValueError, "no validation"),
        (lambda: linear_probe(X, Y, X, Y, validation_labels=Y), ValueError, "both or neither"),
        (
            lambda: linear_probe(X, Y, X, Y, validation_features=NAN, validation_labels=Y),
            ValueError,
            "`validation_features` holds 18",
        ),
        (
            lambda: linear_probe(X, Y, X, Y, validation_features=X[:0], validation_labels=Y[:0]),
            ValueError,
            "validation_features.* at least 1",
        ),
        (lambda: knn_accuracy(X, Y, X, Y, k=7), ValueError, "`k` is 7.*1 and 6"),
        (lambda: knn_accuracy(X, Y, X, Y, k=0), ValueError, "`k` is 0"),
        (lambda: knn_accuracy(X, Y, X, Y, metric="l1"), ValueError, "'cosine', 'euclidean'"),
        (lambda: knn_accuracy(X * 0, Y, X, Y), ValueError, "`train_features` holds 6 rows"),
        (lambda: knn_accuracy(X, Y, X[:0], Y[:0]), ValueError, "test_features.* at least 1"),
        (lambda: knn_accuracy(X, Y, X[0], Y), ValueError, r"`test_features` has shape \(3,\)"),
        (lambda: knn_accuracy(X, Y, X, Y[:2]), ValueError, "`test_labels`"),
        (lambda: knn_accuracy(NAN, Y, X, Y), ValueError, "`train_features` holds 18"),
        (lambda: knn_accuracy(np.ones((6, 3)), Y, X, Y), TypeError, "torch.as_tensor"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
