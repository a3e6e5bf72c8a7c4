"""Sampled labels: the corrected mass is unbiased, and no positive that was not drawn competes."""

from itertools import combinations

import pytest
import torch
from l2s.data import label_lists
from l2s.labels.extreme_labels import (
    decoupled_softmax,
    multilabel_softmax,
    one_versus_all,
    sample_labels,
    soft_topk_loss,
)

from tests.labels.extreme_cases import close, problem, seeded

POSITIVES = torch.tensor([[7, 2, 4], [2, -1, -1], [9, 0, -1]])


def options(sample):
    return {"excluded": sample.excluded, "log_q": sample.log_q}


def masses(scores, sample):
    """The mass of the negatives that decoupled_softmax used: solved from its value."""
    columns = scores[:, sample.labels].double()
    first = sample.positives[:, :1]
    loss = decoupled_softmax(columns, first, reduction="none", **options(sample))
    return columns.gather(1, first)[:, 0].exp() * loss.expm1()


def true_masses(scores, positives):
    hidden = torch.zeros_like(scores, dtype=torch.bool)
    for row, own in enumerate(positives.tolist()):
        hidden[row, [label for label in own if label >= 0]] = True
    return scores.double().masked_fill(hidden, -torch.inf).exp().sum(dim=1)


def test_the_columns_are_the_positives_and_as_many_others_as_asked():
    sample = sample_labels(POSITIVES, labels=12, negatives=3, generator=seeded())
    assert len(sample.labels) == 5 + 3
    for place, own in ((sample.positives, POSITIVES), (sample.excluded, POSITIVES)):
        found = torch.where(place >= 0, sample.labels[place.clamp(min=0)], -1)
        assert torch.equal(found, own)
    is_positive = torch.isin(sample.labels, POSITIVES)
    close(sample.log_q.exp(), torch.where(is_positive, 1.0, 3 / 7), 1e-6)


def test_some_positives_of_each_row_are_drawn_evenly():
    counts = torch.zeros(12)
    for seed in range(3000):
        sample = sample_labels(
            POSITIVES, labels=12, negatives=0, positives_per_row=1, generator=seeded(seed)
        )
        assert sample.positives.shape == (3, 1)
        counts[sample.labels[sample.positives[0]]] += 1
    expected = torch.zeros(12)
    expected[[2, 4, 7]] = 1000.0
    close(counts, expected, rtol=0, atol=110)  # four standard deviations


def test_the_mean_over_all_samples_of_the_mass_is_the_mass(monkeypatch):
    scores, _ = problem(3, 12)
    others = 7
    totals, count = torch.zeros(3, dtype=torch.float64), 0
    for subset in combinations(range(others), 3):
        rest = [i for i in range(others) if i not in subset]
        monkeypatch.setattr(
            torch, "randperm", lambda n, order=(*subset, *rest), **_: torch.tensor(order)
        )
        totals += masses(scores, sample_labels(POSITIVES, labels=12, negatives=3))
        count += 1
    assert count == 35
    close(totals / count, true_masses(scores, POSITIVES), 1e-6)


def test_the_log_of_an_unbiased_mass_is_too_low_by_half_its_relative_variance():
    scores, mask = problem(1, 400, scale=0.5)
    positives = label_lists(mask)[:, :2]
    full = decoupled_softmax(scores, positives).item()
    losses = []
    for seed in range(600):
        sample = sample_labels(positives, labels=400, negatives=40, generator=seeded(seed))
        losses.append(
            decoupled_softmax(scores[:, sample.labels], sample.positives, **options(sample)).item()
        )
    found = torch.tensor(losses, dtype=torch.float64)
    values = scores[0].exp()
    relative = (values.var() / values.mean() ** 2).item() / 40 * (1 - 40 / 398)
    bias = full - found.mean().item()
    assert bias == pytest.approx(relative / 2, abs=4 * found.std().item() / 600**0.5)
    assert bias > 0


def test_the_binary_cross_entropy_of_a_sample_is_unbiased():
    scores, mask = problem(4, 60, scale=1.0)
    positives = label_lists(mask)
    full = one_versus_all(scores, positives).item()
    found = []
    for seed in range(500):
        sample = sample_labels(positives, labels=60, negatives=5, generator=seeded(seed))
        found.append(
            one_versus_all(scores[:, sample.labels], sample.positives, **options(sample)).item()
        )
    found = torch.tensor(found, dtype=torch.float64)
    assert found.std() > 0
    assert found.mean().item() == pytest.approx(full, abs=4 * found.std().item() / 500**0.5)


def test_the_corrected_top_k_of_a_large_sample_is_near_that_of_all_labels():
    scores, _ = problem(3, 3000, scale=1.0)
    positives = torch.arange(6).view(3, 2)
    full = soft_topk_loss(scores, positives, 30, reduction="none")
    sample = sample_labels(positives, labels=3000, negatives=1000, generator=seeded())
    columns = scores[:, sample.labels]
    corrected = soft_topk_loss(columns, sample.positives, 30, reduction="none", **options(sample))
    naive = soft_topk_loss(columns, sample.positives, 30, reduction="none")
    close(corrected, full, 0.1, 0.1)
    assert ((naive - full).abs() > 5 * (corrected - full).abs()).all()


@pytest.mark.parametrize(
    "loss",
    [
        decoupled_softmax,
        multilabel_softmax,
        one_versus_all,
        lambda s, p, **o: soft_topk_loss(s, p, 2, **o),
    ],
    ids=["decoupled", "multilabel", "one_versus_all", "topk"],
)
def test_no_gradient_reaches_a_positive_that_was_not_drawn(loss):
    scores, _ = problem(3, 12)
    sample = sample_labels(
        POSITIVES, labels=12, negatives=7, positives_per_row=1, generator=seeded(1)
    )
    columns = scores[:, sample.labels].requires_grad_()
    loss(columns, sample.positives, **options(sample)).backward()
    undrawn = [
        (row, place)
        for row in range(3)
        for place in sample.excluded[row].tolist()
        if place >= 0 and place not in sample.positives[row].tolist()
    ]
    assert undrawn
    assert all(columns.grad[row, place] == 0 for row, place in undrawn)
    competing = torch.autograd.grad(loss(columns, sample.positives, log_q=sample.log_q), columns)[0]
    assert all(competing[row, place] > 0 for row, place in undrawn)


def test_a_sample_of_everything_is_everything():
    scores, mask = problem(5, 9)
    sample = sample_labels(label_lists(mask), labels=9, negatives=100)
    assert sample.labels.tolist() == list(range(9))
    assert (sample.log_q == 0).all()
    close(
        decoupled_softmax(scores, sample.positives, **options(sample)),
        decoupled_softmax(scores, mask),
    )


def test_a_generator_decides_all_and_the_global_stream_is_untouched():
    def draw(seed):
        return sample_labels(
            POSITIVES, labels=99, negatives=9, positives_per_row=1, generator=seeded(seed)
        ).labels

    before = torch.get_rng_state()
    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    assert torch.equal(before, torch.get_rng_state())
