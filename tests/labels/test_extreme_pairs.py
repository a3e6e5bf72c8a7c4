"""The losses of in-batch pairs are their sums over pairs; what each can see of a query's level."""

import math

import pytest
import torch
from l2s.labels.extreme_labels import (
    contrastive,
    in_batch_pairs,
    mann_whitney,
    pair_sums,
    pairwise_logistic,
)
from l2s.metrics import auc
from torch.nn import functional

from tests.labels.extreme_cases import close, seeded

PER_QUERY = {"contrastive": contrastive, "pairwise": pairwise_logistic}
per_query = pytest.mark.parametrize("loss", PER_QUERY.values(), ids=PER_QUERY)


def square(queries=6, documents=None, seed=0, scale=2.0):
    shape = queries, documents or queries
    return scale * torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def of_matrix(scores, excluded=None):
    return mann_whitney(*in_batch_pairs(scores, excluded=excluded))


def all_pairs(positive, negative):
    """Binary cross-entropy with target 1 on every difference."""
    differences = (positive[:, None] - negative).flatten()
    return functional.binary_cross_entropy_with_logits(differences, torch.ones_like(differences))


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (7, 5), (40, 300), (300, 3)])
@pytest.mark.parametrize("block_size", [None, 1, 3, 1000])
def test_mann_whitney_is_binary_cross_entropy_over_all_pairs(positives, negatives, block_size):
    leaves = [
        (3 * torch.randn(n, generator=seeded(n), dtype=torch.float64)).requires_grad_()
        for n in (positives, negatives)
    ]
    value, expected = mann_whitney(*leaves, block_size=block_size), all_pairs(*leaves)
    close(value, expected, 1e-13)
    found, wanted = (torch.autograd.grad(v, leaves) for v in (value, expected))
    for ours, theirs in zip(found, wanted, strict=True):
        close(ours, theirs, 1e-12, 1e-17)
    assert abs(found[0].sum() + found[1].sum()) < 1e-14


def test_gradcheck():
    positive, negative = square(3).flatten()[:4], square(3, seed=1).flatten()
    assert torch.autograd.gradcheck(
        mann_whitney, (positive.requires_grad_(), negative.requires_grad_())
    )
    scores, excluded = square(4, 6).requires_grad_(), square(4, 6, seed=2) > 2
    for loss in PER_QUERY.values():
        assert torch.autograd.gradcheck(lambda s, f=loss: f(s, excluded=excluded), scores)


def test_the_example_by_hand():
    scores = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    pairs = [0 - 1, 3 - 1, 0 - 2, 3 - 2]  # a negative less a positive
    by_hand = sum(math.log1p(math.exp(x)) for x in pairs) / 4
    assert of_matrix(scores).item() == pytest.approx(by_hand, rel=1e-6)
    assert by_hand == pytest.approx(0.970095, abs=1e-6)


def test_all_scores_equal():
    leaves = [torch.full((n,), 7.0, requires_grad=True) for n in (4, 10)]
    value = mann_whitney(*leaves)
    assert value.item() == pytest.approx(math.log(2))
    value.backward()
    close(leaves[0].grad, torch.full((4,), -1 / 8))
    close(leaves[1].grad, torch.full((10,), 1 / 20))


def test_it_bounds_the_area_over_the_curve():
    for seed in range(20):
        positive, negative = in_batch_pairs(square(8, seed=seed, scale=0.1 + seed))
        area_over = 1 - auc(positive, negative)
        assert area_over <= mann_whitney(positive, negative).item() / math.log(2) + 1e-12


@per_query
def test_a_level_of_each_query_is_seen_by_mann_whitney_alone(loss):
    scores = square()
    levels = 10 * torch.randn(6, 1, generator=seeded(5), dtype=torch.float64)
    close(loss(scores + levels), loss(scores))
    close(of_matrix(scores + 3), of_matrix(scores))
    assert abs(of_matrix(scores + levels) - of_matrix(scores)) > 0.1


@pytest.mark.parametrize("batch", [4, 16, 64])
def test_the_contrastive_loss_is_blind_to_an_auc_near_a_half(batch):
    scores = 30 * torch.eye(batch).double() + 1000 * torch.arange(batch)[:, None]
    assert contrastive(scores).item() < 1e-9
    assert auc(*in_batch_pairs(scores)) == (batch + 1) / (2 * batch)


def test_large_scales_leave_the_mean_of_what_is_wrong():
    positive, negative = in_batch_pairs(square())
    limit = (negative - positive[:, None]).clamp(min=0).mean()
    for scale in (1e3, 1e4):
        close(mann_whitney(scale * positive, scale * negative) / scale, limit, 1e-4)


def test_contrastive_is_cross_entropy_and_pairwise_a_mean_below_it():
    scores = square(5, 9)
    target = torch.arange(5)
    close(contrastive(scores), functional.cross_entropy(scores, target))
    loops = [
        sum(functional.softplus(scores[i, j] - scores[i, i]) for j in range(9) if j != i) / 8
        for i in range(5)
    ]
    close(pairwise_logistic(scores, reduction="none"), torch.stack(loops))
    assert (
        pairwise_logistic(scores, reduction="none") <= contrastive(scores, reduction="none")
    ).all()


@pytest.mark.parametrize("name", ["contrastive", "pairwise", "mann_whitney"])
def test_a_false_negative_is_as_if_it_were_not_there(name):
    loss = (PER_QUERY | {"mann_whitney": of_matrix})[name]
    scores = square(4, 7)
    excluded = torch.zeros(4, 7, dtype=torch.bool)
    excluded[:, 4:6] = True
    excluded[1, 1] = True  # the diagonal stays the positive
    close(loss(scores, excluded=excluded), loss(scores[:, [0, 1, 2, 3, 6]]))
    leaf = scores.clone().requires_grad_()
    loss(leaf, excluded=excluded).backward()
    assert (leaf.grad[:, 4:6] == 0).all()


@per_query
def test_reductions(loss):
    scores = square(5)
    each = loss(scores, reduction="none")
    assert each.shape == (5,)
    close(loss(scores), each.mean())
    close(loss(scores, reduction="sum"), each.sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_narrow_dtypes(dtype, scale):
    scores = square(8, scale=scale).to(dtype)
    for loss in (of_matrix, *PER_QUERY.values()):
        found = loss(scores)
        assert found.dtype == dtype
        close(found.double(), loss(scores.double()), rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize(
    ("level", "spreads"),
    [
        (1, (1, 1)),
        (30, (0.5, 0.5)),  # a loss of 1e-13
        (-40, (3, 1)),
        (0, (0, 0)),  # all equal
        (0, (1e-9, 1)),
        (5, (10, 50)),
        (0, (1000, 1000)),  # too wide for nodes
    ],
)
def test_the_way_through_nodes_changes_no_digit_but_the_last_few(level, spreads):
    leaves = [
        (shift + spread * torch.randn(n, generator=seeded(n), dtype=torch.float64)).requires_grad_()
        for shift, spread, n in zip((level, 0), spreads, (1500, 2500), strict=True)
    ]
    value, expected = mann_whitney(*leaves), mann_whitney(*leaves, block_size=100)
    close(value, expected, 1e-12, 0)
    found, wanted = (torch.autograd.grad(v, leaves) for v in (value, expected))
    for ours, theirs in zip(found, wanted, strict=True):
        close(ours, theirs, 1e-11, 1e-25)


def test_ten_billion_pairs_take_a_moment(monkeypatch):
    counted = []
    monkeypatch.setattr(
        pair_sums, "hinge", lambda x: counted.append(x.numel()) or functional.softplus(x)
    )
    # Copies of few scores: the mean over all pairs is that over the few.
    few, others = square(10).flatten(), square(20, 50, seed=1).flatten()
    value = mann_whitney(few.repeat(100), others.repeat(1000))
    assert sum(counted) < 1e6  # pairs of nodes, not 1e10
    close(value, all_pairs(few, others), 1e-12)


def test_pairs_in_blocks_never_stand_in_memory_together(monkeypatch):
    counted = []
    monkeypatch.setattr(
        pair_sums, "hinge", lambda x: counted.append(x.numel()) or functional.softplus(x)
    )
    mann_whitney(torch.zeros(10), torch.zeros(1000), block_size=3)
    assert counted == [3000, 3000, 3000, 1000]
