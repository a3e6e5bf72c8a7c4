"""AUC and the rate at a small false positive rate agree with scikit-learn, scipy and loops."""

import math

import pytest
import torch
from l2s.metrics import auc, tpr_at_fpr
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score, roc_curve


def scores(positives, negatives, *, steps=None, seed=0):
    """Two samples, rounded to a few steps so that many scores tie."""
    generator = torch.Generator().manual_seed(seed)
    both = (
        torch.randn(positives, generator=generator, dtype=torch.float64) + 1,
        torch.randn(negatives, generator=generator, dtype=torch.float64),
    )
    return both if steps is None else tuple((s * steps).round() / steps for s in both)


def as_one(positive, negative):
    labels = torch.cat([torch.ones_like(positive), torch.zeros_like(negative)])
    return labels.numpy(), torch.cat([positive, negative]).numpy()


@pytest.mark.parametrize("steps", [None, 1, 4])
@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (7, 200), (300, 40)])
def test_auc_is_scikit_learns_and_scipys_and_a_loop(positives, negatives, steps):
    positive, negative = scores(positives, negatives, steps=steps)
    found = auc(positive, negative)
    assert found == pytest.approx(roc_auc_score(*as_one(positive, negative)), abs=1e-12)
    statistic = mannwhitneyu(positive, negative).statistic
    assert found == pytest.approx(statistic / (positives * negatives), abs=1e-12)
    wins = (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
    assert found == wins.item() / (positives * negatives)


def test_auc_knows_its_ends_and_is_unchanged_by_a_rising_map():
    positive, negative = scores(50, 90, steps=3)
    assert auc(torch.ones(3), torch.ones(5)) == 0.5
    assert auc(torch.ones(3), torch.zeros(5)) == 1.0
    assert auc(positive.exp(), negative.exp()) == auc(positive, negative)
    assert auc(positive, negative) + auc(-positive, -negative) == pytest.approx(1)
    infinite = torch.tensor([math.inf, -math.inf])
    assert auc(infinite, infinite) == 0.5


def test_auc_counts_ten_billion_pairs_exactly():
    ones, steps = torch.full((10_000,), 0.5), torch.arange(1_000_000.0) / 1_000_000
    below = int((steps < 0.5).sum()) + 0.5 * int((steps == 0.5).sum())
    assert auc(ones, steps) == below / 1_000_000


@pytest.mark.parametrize("steps", [None, 1, 4])
@pytest.mark.parametrize("fpr", [0.0, 0.001, 0.01, 0.07, 0.3, 1.0])
def test_tpr_at_fpr_is_the_best_point_of_scikit_learns_curve(steps, fpr):
    for seed in range(4):
        positive, negative = scores(60, 100, steps=steps, seed=seed)
        false, true, _ = roc_curve(*as_one(positive, negative), drop_intermediate=False)
        expected = true[false <= fpr + 1e-12].max()
        assert tpr_at_fpr(positive, negative, fpr=fpr) == pytest.approx(expected, abs=1e-12)


X = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize("metric", [auc, lambda p, n: tpr_at_fpr(p, n, fpr=0.1)])
@pytest.mark.parametrize(
    ("positive", "negative", "error", "words"),
    [
        (X[:0], X, ValueError, r"`len\(positive_scores\)` is 0"),
        (X, X[:0], ValueError, r"`len\(negative_scores\)` is 0"),
        (X, X * math.nan, ValueError, "`negative_scores` holds 2 values that are NaN"),
        (X, X.double(), TypeError, "share one dtype"),
        (X.long(), X.long(), TypeError, "`positive_scores`.*int64"),
        (X[None], X, ValueError, r"`positive_scores` has shape \(1, 2\)"),
    ],
)
def test_bad_input_is_named(metric, positive, negative, error, words):
    with pytest.raises(error, match=words):
        metric(positive, negative)


@pytest.mark.parametrize("fpr", [-0.1, 1.1, math.nan])
def test_a_rate_out_of_range_is_named(fpr):
    with pytest.raises(ValueError, match="`fpr` is"):
        tpr_at_fpr(X, X, fpr=fpr)
