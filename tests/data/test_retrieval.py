"""Drawn retrieval problems match the ground truth that they claim."""

import math

import pytest
import torch
from l2s.data import (
    label_lists,
    label_mask,
    label_retrieval,
    unequal_queries,
)
from l2s.metrics import auc, ndcg_at_k, precision_at_k, recall_at_k, tpr_at_fpr
from sklearn.linear_model import LinearRegression


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_masks_and_lists_are_one_another():
    mask = torch.rand(50, 9, generator=seeded()) < 0.3
    mask[3] = False
    lists = label_lists(mask)
    assert lists.shape[1] == mask.sum(1).max()
    assert torch.equal(label_mask(lists, labels=9), mask)
    shuffled = lists[:, torch.randperm(lists.shape[1], generator=seeded())]
    assert torch.equal(label_mask(shuffled, labels=9), mask)
    assert label_lists(mask & False).shape == (50, 0)


def test_the_number_of_positives_is_that_of_the_equation():
    counts = label_retrieval(20_000, 1, generator=seeded()).train.positives.sum(1)
    assert counts.min() == 1
    assert counts.max() == 20
    for c in (1, 2, 10, 20):  # 1 + floor(20 u^2) is at most c where u^2 < c / 20
        share = (counts <= c).double().mean().item()
        assert share == pytest.approx(math.sqrt(c / 20), abs=0.015)


def test_single_positives_are_drawn_with_the_softmax_of_the_best_scores():
    problem = label_retrieval(20_000, 1, labels=25, topics=1, generator=seeded())
    one = problem.train.positives.sum(1) == 1
    queries, drawn = problem.train.features[one], problem.train.positives[one]
    expected = problem.best_scores(queries).softmax(1).mean(0)
    torch.testing.assert_close(drawn.float().mean(0), expected, rtol=0.15, atol=0.01)


def test_no_other_scores_beat_the_best_scores():
    problem = label_retrieval(10, 2000, generator=seeded())
    best, positives = problem.best_scores(problem.test.features), problem.test.positives
    others = [
        best - problem.popularity / 2,
        best + 0.5 * torch.randn(best.shape, generator=seeded(1)),
        problem.test.features @ problem.label_vectors.T,
    ]
    for metric, k in ((precision_at_k, 1), (precision_at_k, 5), (recall_at_k, 20), (ndcg_at_k, 5)):
        for other in others:
            assert metric(best, positives, k=k) > metric(other, positives, k=k)


def test_unseen_labels_are_right_in_the_test_alone():
    problem = label_retrieval(600, 1000, unseen=60, generator=seeded())
    assert int((~problem.seen).sum()) == 60
    assert not problem.train.positives[:, ~problem.seen].any()
    assert problem.test.positives[:, ~problem.seen].any(1).float().mean() > 0.3
    assert (problem.train.positives.sum(1) >= 1).all()
    assert label_retrieval(10, 10).seen.all()


def test_label_features_tell_the_label_vectors_and_the_popularity():
    problem = label_retrieval(1, 1, labels=300, generator=seeded())
    hidden = torch.cat([problem.label_vectors, problem.popularity[:, None]], 1).numpy()
    known = problem.label_features.numpy()
    fit = LinearRegression().fit(known[:200], hidden[:200])
    assert fit.score(known[200:], hidden[200:]) > 0.85


def test_the_best_scores_of_pairs_are_the_log_likelihood_ratio():
    pairs = unequal_queries(2, 30, generator=seeded()).test
    noisy, found = pairs.queries[:, :-1].double(), pairs.best_scores()
    torch.testing.assert_close(pairs.queries[:, -1], pairs.noise.log())
    for i in (0, 7, 29):
        own = torch.distributions.Normal(pairs.latent.double(), pairs.noise[i].double())
        chance = torch.distributions.Normal(0.0, (1 + pairs.noise[i].double() ** 2).sqrt())
        expected = own.log_prob(noisy[i]).sum(1) - chance.log_prob(noisy[i]).sum()
        torch.testing.assert_close(found[i].double(), expected, rtol=1e-4, atol=1e-4)


def test_queries_are_as_noisy_as_they_say_and_documents_come_from_the_latent():
    pairs = unequal_queries(20_000, 2, generator=seeded()).train
    error = (pairs.queries[:, :-1] - pairs.latent) / pairs.noise[:, None]
    assert error.std().item() == pytest.approx(1, abs=0.01)
    assert pairs.noise.min() >= 0.1
    assert pairs.noise.max() <= 1.3
    assert pairs.latent.std().item() == pytest.approx(1, abs=0.01)
    # atanh of the documents is linear in the latent, but for the noise and the flat ends.
    inside = pairs.documents.clamp(-0.9, 0.9).atanh().numpy()
    assert LinearRegression().fit(pairs.latent, inside).score(pairs.latent, inside) > 0.85


def test_no_other_scores_separate_pairs_as_well():
    pairs = unequal_queries(2, 500, generator=seeded()).test
    own = torch.eye(500, dtype=torch.bool)
    best = pairs.best_scores()
    cosine = torch.nn.functional.normalize(pairs.queries[:, :-1]) @ pairs.latent.T
    levels = best + 4 * torch.randn(500, 1, generator=seeded(1))  # the same order in each row
    for other in (cosine, levels, -torch.cdist(pairs.queries[:, :-1], pairs.latent)):
        assert auc(best[own], best[~own]) > auc(other[own], other[~own])
        assert tpr_at_fpr(best[own], best[~own], fpr=0.01) > tpr_at_fpr(
            other[own], other[~own], fpr=0.01
        )


DRAWS = {
    "labels": lambda generator: label_retrieval(5, 5, unseen=9, generator=generator).test.features,
    "pairs": lambda generator: unequal_queries(5, 5, generator=generator).test.documents,
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_decides_all_and_the_global_stream_is_untouched(name):
    before = torch.get_rng_state()
    first, again, other = (DRAWS[name](seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: label_retrieval(0, 1), "`train` is 0"),
        (lambda: label_retrieval(1, 0), "`test` is 0"),
        (lambda: label_retrieval(1, 1, topics=0), "`topics` is 0"),
        (lambda: label_retrieval(1, 1, labels=20), "`labels` is 20.*at least 21"),
        (lambda: label_retrieval(1, 1, labels=30, unseen=10), "`unseen` is 10.*0 and 9"),
        (lambda: label_retrieval(1, 1).best_scores(torch.ones(2, 3)), r"\(2, 3\).* 10 topics"),
        (lambda: label_retrieval(1, 1).best_scores(torch.ones(2, 10) / 0), "`features` holds 20"),
        (lambda: unequal_queries(1, 5), "`train` is 1"),
        (lambda: unequal_queries(5, 1), "`test` is 1"),
        (lambda: unequal_queries(5, 5, latent=0), "`latent` is 0"),
        (lambda: unequal_queries(5, 5, document_features=0), "`document_features` is 0"),
        (lambda: label_mask(torch.tensor([[3]]), labels=3), "`lists` names the label 3"),
        (lambda: label_mask(torch.tensor([[1, 1]]), labels=3), "label 1 twice"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
