"""Ranking metrics agree with scikit-learn, and with all orders of equal scores."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from l2s.data import label_lists
from l2s.metrics import (
    mrr,
    ndcg_at_k,
    precision_at_k,
    propensities,
    propensity_precision_at_k,
    recall_at_k,
)
from sklearn.metrics import (
    label_ranking_average_precision_score,
    ndcg_score,
    top_k_accuracy_score,
)

PROPENSITY = torch.tensor([1.0, 0.5, 0.25, 0.8, 0.1, 0.9, 1.0])
METRICS = {
    "precision": precision_at_k,
    "recall": recall_at_k,
    "ndcg": ndcg_at_k,
    "propensity": lambda s, p, *, k: propensity_precision_at_k(s, p, PROPENSITY, k=k),
    "mrr": lambda s, p, *, k: mrr(s, p),
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def problem(rows=30, labels=7, *, steps=None, seed=0):
    scores = torch.randn(rows, labels, generator=seeded(seed))
    mask = torch.rand(rows, labels, generator=seeded(seed + 1)) < 0.4
    mask[:, 2] = True
    return (scores if steps is None else (scores * steps).round()), mask


@pytest.mark.parametrize("k", [1, 3, 7])
def test_precision_and_recall_are_counts(k):
    scores, mask = problem()
    hits = [
        len(set(s.argsort(descending=True)[:k].tolist()) & set(m.nonzero().flatten().tolist()))
        for s, m in zip(scores, mask, strict=True)
    ]
    assert precision_at_k(scores, mask, k=k) == pytest.approx(np.mean(hits) / k)
    recalls = np.array(hits) / mask.sum(1).numpy()
    assert recall_at_k(scores, mask, k=k) == pytest.approx(recalls.mean())


@pytest.mark.parametrize("k", [1, 2, 5])
def test_recall_with_one_positive_is_scikit_learns_top_k_accuracy(k):
    scores, _ = problem()
    target = torch.randint(7, (30,), generator=seeded(3))
    expected = top_k_accuracy_score(target, scores.numpy(), k=k, labels=range(7))
    assert recall_at_k(scores, target[:, None], k=k) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [None, 1, 2])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_ndcg_is_scikit_learns_with_its_ties(steps, k):
    scores, mask = problem(steps=steps)
    expected = ndcg_score(mask.numpy(), scores.numpy(), k=k)
    assert ndcg_at_k(scores, mask, k=k) == pytest.approx(expected, abs=1e-9)


def test_mrr_with_one_positive_is_scikit_learns_ranking_precision():
    scores, _ = problem()
    one = torch.nn.functional.one_hot(torch.randint(7, (30,), generator=seeded(3)), 7)
    expected = label_ranking_average_precision_score(one.numpy(), scores.numpy())
    assert mrr(scores, one.bool()) == pytest.approx(expected)


def test_mrr_takes_the_best_positive_and_half_of_what_is_level_with_it():
    scores = torch.tensor([[5.0, 4.0, 4.0, 4.0, 1.0]])
    assert mrr(scores, torch.tensor([[4, 2]])) == 1 / (1 + 1 + 2 / 2)
    assert mrr(scores, torch.tensor([[1, 2, 3]])) == 1 / 2


@pytest.mark.parametrize("name", ["precision", "recall", "ndcg", "propensity"])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_equal_scores_count_as_the_mean_over_all_their_orders(name, k):
    scores = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]])
    mask = torch.tensor([[False, True, False, True, True]])
    metric = METRICS[name]
    if name == "propensity":
        metric = lambda s, p, *, k: propensity_precision_at_k(s, p, PROPENSITY[:5], k=k)  # noqa: E731
    broken = []
    for order in permutations([0.01, 0.02, 0.03]):
        nudged = scores.clone()
        nudged[0, 1:4] += torch.tensor(order)
        broken.append(metric(nudged, mask, k=k))
    assert metric(scores, mask, k=k) == pytest.approx(np.mean(broken), abs=1e-7)


@pytest.mark.parametrize("normalize", [True, False])
def test_propensity_scored_precision_is_its_equation(normalize):
    scores, mask = problem()
    k, reached, best = 3, 0.0, 0.0
    for s, m in zip(scores, mask, strict=True):
        top = s.argsort(descending=True)[:k].tolist()
        reached += sum(1 / PROPENSITY[j].item() for j in top if m[j]) / k
        weights = sorted((1 / PROPENSITY[m]).tolist(), reverse=True)
        best += sum(weights[:k]) / k
    expected = reached / best if normalize else reached / 30
    found = propensity_precision_at_k(scores, mask, PROPENSITY, k=k, normalize=normalize)
    assert found == pytest.approx(expected)
    plain = propensity_precision_at_k(scores, mask, torch.ones(7), k=k, normalize=False)
    assert plain == pytest.approx(precision_at_k(scores, mask, k=k))


def test_propensities_are_their_equation():
    counts = torch.tensor([0, 3, 500])
    for a, b in ((0.55, 1.5), (0.5, 0.4), (0.6, 2.6)):
        c = (math.log(2000) - 1) * (b + 1) ** a
        expected = [1 / (1 + c * math.exp(-a * math.log(n + b))) for n in counts.tolist()]
        assert propensities(counts, samples=2000, a=a, b=b).tolist() == pytest.approx(expected)


def test_missing_labels_leave_the_propensity_scored_precision_unbiased():
    scores, mask = problem(400)
    true = precision_at_k(scores, mask, k=3)
    found = []
    for seed in range(200):
        kept = mask & (torch.rand(mask.shape, generator=seeded(seed + 9)) < PROPENSITY)
        kept[:, 0] |= ~kept.any(dim=1)  # label 0 of propensity 1: a row needs some label
        allowed = scores.masked_fill(~mask.any(1, keepdim=True), 0)
        weights = (kept & mask) / PROPENSITY
        top = allowed.topk(3).indices
        found.append((weights.gather(1, top).sum(1) / 3).mean().item())
        if (kept == (kept & mask)).all():
            ours = propensity_precision_at_k(scores, kept, PROPENSITY, k=3, normalize=False)
            assert ours == pytest.approx(found[-1])
    assert np.mean(found) == pytest.approx(true, abs=4 * np.std(found) / 200**0.5)


@every_metric
def test_lists_and_masks_are_one_and_perfect_scores_score_one(metric):
    scores, mask = problem(steps=2)
    assert metric(scores, label_lists(mask), k=2) == metric(scores, mask, k=2)
    single = torch.zeros(4, 7, dtype=torch.bool)
    single[range(4), [0, 3, 6, 3]] = True
    assert metric(single.float(), single, k=1) == pytest.approx(1.0)
    assert metric(1 - single.float(), single, k=1) < 0.2


@every_metric
def test_the_order_of_rows_and_labels_does_not_matter(metric):
    if metric is METRICS["propensity"]:
        pytest.skip("its weights belong to the labels")
    scores, mask = problem(steps=2)
    rows, labels = torch.randperm(30, generator=seeded()), torch.randperm(7, generator=seeded())
    moved = metric(scores[rows][:, labels], mask[rows][:, labels], k=3)
    assert moved == pytest.approx(metric(scores, mask, k=3), abs=1e-12)


S, M = problem(3)


@every_metric
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: f(S, M[:, :5], k=1), ValueError, "`positives` has shape"),
        (lambda f: f(S, M & False, k=1), ValueError, "3 rows without a label, such as row 0"),
        (lambda f: f(S, torch.tensor([[7]] * 3), k=1), ValueError, "the label 7"),
        (lambda f: f(S, torch.tensor([[2, 2]] * 3), k=1), ValueError, "the label 2 twice"),
        (lambda f: f(S, M.float(), k=1), TypeError, "`positives` has dtype float32"),
        (lambda f: f(S.long(), M, k=1), TypeError, "`scores` has dtype int64"),
        (lambda f: f(S * math.nan, M, k=1), ValueError, "`scores` holds 21 values that are NaN"),
        (lambda f: f(S[:0], M[:0], k=1), ValueError, r"`len\(scores\)` is 0"),
    ],
)
def test_bad_input_is_named(metric, call, error, words):
    with pytest.raises(error, match=words):
        call(metric)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: precision_at_k(S, M, k=0), "`k` is 0.*1 and 7"),
        (lambda: recall_at_k(S, M, k=8), "`k` is 8.*1 and 7"),
        (lambda: propensity_precision_at_k(S, M, PROPENSITY * 0, k=1), "`propensity` goes from 0"),
        (lambda: propensity_precision_at_k(S, M, PROPENSITY[:3], k=1), "`propensity` has shape"),
        (lambda: propensities(torch.tensor([-1]), samples=9), "`counts` holds -1"),
        (lambda: propensities(torch.tensor([1]), samples=2), "`samples` is 2"),
        (lambda: propensities(torch.tensor([1]), samples=9, a=0), "`a` is 0"),
    ],
)
def test_numbers_out_of_range_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
