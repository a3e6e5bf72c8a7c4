"""The losses are their equations, with the signs, floors and limits that the chapter proves."""

import math

import pytest
import torch
from l2s.data import label_lists
from l2s.labels.extreme_labels import (
    decoupled_softmax,
    multilabel_softmax,
    one_versus_all,
    soft_topk_loss,
)
from torch.nn import functional

from tests.labels.extreme_cases import LOSSES, both_forms, by_loops, close, problem, seeded

every_loss = pytest.mark.parametrize("name", LOSSES)
every_form = pytest.mark.parametrize("form", ["mask", "lists"])
WORKED = torch.tensor([[4.0, 0.0, 0.0, -10.0, -10.0]], dtype=torch.float64)
OF_WORKED = torch.tensor([[0, 1, 2]])


@every_loss
@every_form
def test_each_value_is_its_equation_by_loops(name, form):
    scores, mask = problem()
    expected = by_loops(name, scores, mask)
    positives = both_forms(mask)[form]
    close(LOSSES[name](scores, positives, reduction="none"), expected)
    close(LOSSES[name](scores, positives), expected.mean())
    close(LOSSES[name](scores, positives, reduction="sum"), expected.sum())


@every_loss
@every_form
@pytest.mark.parametrize("per_row", [False, True])
def test_exclusion_and_the_sampling_correction_are_their_equations(name, form, per_row):
    scores, mask = problem()
    excluded = torch.rand(scores.shape, generator=seeded(3)) < 0.2
    excluded[:, 1:3] = False
    shape = scores.shape if per_row else scores.shape[1:]
    q = 0.2 + 0.8 * torch.rand(shape, generator=seeded(4), dtype=torch.float64)
    expected = by_loops(name, scores, mask, weights=1 / q, excluded=excluded)
    options = {"log_q": q.log(), "excluded": both_forms(excluded)[form], "reduction": "none"}
    close(LOSSES[name](scores, both_forms(mask)[form], **options), expected)
    mixed = options | {"excluded": both_forms(excluded)["mask" if form == "lists" else "lists"]}
    close(LOSSES[name](scores, both_forms(mask)[form], **mixed), expected)


@every_loss
@pytest.mark.parametrize("sampled", [False, True])
def test_gradcheck(name, sampled):
    scores, mask = problem(3, 6)
    options = {"log_q": torch.full((6,), -0.7).double()} if sampled else {}
    assert torch.autograd.gradcheck(
        lambda s: LOSSES[name](s, mask, reduction="none", **options), scores.requires_grad_()
    )


@every_form
def test_decoupled_is_cross_entropy_once_a_positive(form):
    scores, mask = problem()
    expected = []
    for row, own in zip(scores, mask, strict=True):
        logits = torch.cat([row[own][:, None], row[~own].expand(int(own.sum()), -1)], dim=1)
        expected.append(functional.cross_entropy(logits, torch.zeros(len(logits)).long()))
    close(
        decoupled_softmax(scores, both_forms(mask)[form], reduction="none"), torch.stack(expected)
    )


@pytest.mark.parametrize("name", ["decoupled", "multilabel"])
def test_with_one_positive_both_softmaxes_are_cross_entropy(name):
    scores, _ = problem()
    target = torch.tensor([3, 0, 8, 1, 1])
    close(LOSSES[name](scores, target[:, None]), functional.cross_entropy(scores, target))


def test_one_versus_all_is_binary_cross_entropy():
    scores, mask = problem()
    options = {"pos_weight": torch.tensor(3.0), "reduction": "none"}
    expected = functional.binary_cross_entropy_with_logits(scores, mask.double(), **options)
    close(one_versus_all(scores, mask, positive_weight=3.0, reduction="none"), expected.sum(dim=1))


def test_the_worked_example():
    for loss, value, gradient in (
        (multilabel_softmax, 2.70, [0.631, -0.316, -0.316]),
        (decoupled_softmax, 6.1e-5, [-5.5e-7, -3.0e-5, -3.0e-5]),
    ):
        scores = WORKED.clone().requires_grad_()
        found = loss(scores, OF_WORKED)
        found.backward()
        assert found.item() == pytest.approx(value, rel=0.01)
        assert scores.grad[0, :3].tolist() == pytest.approx(gradient, rel=0.02)


def test_decoupled_gradients_pull_positives_push_negatives_and_sum_to_zero():
    scores, mask = problem(40, 30, scale=4.0)
    scores.requires_grad_()
    decoupled_softmax(scores, mask, reduction="sum").backward()
    assert (scores.grad[mask] <= 0).all()
    assert (scores.grad[~mask] >= 0).all()
    close(scores.grad.sum(dim=1), torch.zeros(40).double())
    coupled = scores.detach().requires_grad_()
    multilabel_softmax(coupled, mask, reduction="sum").backward()
    assert (coupled.grad[mask] > 0).any()  # the fault that it mends


def test_floors():
    separated = torch.full((1, 50), -40.0, dtype=torch.float64)
    separated[0, :10] = 40.0
    ten = torch.arange(10)[None]
    assert multilabel_softmax(separated, ten).item() == pytest.approx(math.log(10))
    assert decoupled_softmax(separated, ten).item() < 1e-30
    assert soft_topk_loss(separated, ten, 5).item() == pytest.approx(math.log(2), abs=1e-9)
    assert soft_topk_loss(separated, ten, 10).item() < 1e-9
    assert soft_topk_loss(separated, ten[:, :5], 10).item() < 1.0


def test_a_k_a_row_is_each_rows_own():
    scores, mask = problem()
    k = torch.tensor([1, 2, 8, 3, 5])
    together = soft_topk_loss(scores, mask, k, reduction="none")
    for i in range(5):
        alone = soft_topk_loss(scores[i : i + 1], mask[i : i + 1], int(k[i]))
        close(together[i], alone)
        sampled = soft_topk_loss(scores, mask, k, log_q=torch.zeros(9), reduction="none")[i]
        close(sampled, alone)


def test_soft_topk_knows_its_limits():
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0]], dtype=torch.float64)
    first = torch.tensor([[0]])
    flat = soft_topk_loss(scores, first, 3, sharpness=1e-6)
    assert flat.item() == pytest.approx(-math.log(3 / 4), abs=1e-5)
    assert soft_topk_loss(scores, first, 2, sharpness=1e3).item() < 1e-12
    assert soft_topk_loss(0 * scores, first, 3).item() == pytest.approx(-math.log(3 / 4))


def test_a_row_of_positives_alone_has_no_loss_and_no_gradient():
    scores, mask = problem(2)
    mask[0] = True
    for options in ({}, {"log_q": torch.zeros(9)}):
        leaf = scores.clone().requires_grad_()
        losses = decoupled_softmax(leaf, mask, reduction="none", **options)
        losses.sum().backward()
        assert losses[0] == 0
        assert (leaf.grad[0] == 0).all()
        assert (leaf.grad[1] != 0).any()


@every_loss
def test_rows_without_a_positive_are_left_out_on_request(name):
    scores, mask = problem()
    mask[2] = False
    scores.requires_grad_()
    kept = [0, 1, 3, 4]
    for positives in both_forms(mask).values():
        losses = LOSSES[name](scores, positives, on_empty="ignore", reduction="none")
        assert losses[2] == 0
        close(losses[kept], LOSSES[name](scores[kept], mask[kept], reduction="none"))
        mean = LOSSES[name](scores, positives, on_empty="ignore")
        close(mean, LOSSES[name](scores[kept], mask[kept]))
        gradient = torch.autograd.grad(mean, scores)[0]
        assert (gradient[2] == 0).all()
        assert gradient.isfinite().all()


def test_an_ignored_row_takes_its_k_and_its_correction_with_it():
    scores, mask = problem()
    mask[2] = False
    k, log_q = torch.tensor([1, 2, 8, 3, 5]), -0.5 * torch.rand(5, 9, generator=seeded())
    kept = [0, 1, 3, 4]
    close(
        soft_topk_loss(scores, mask, k, log_q=log_q, on_empty="ignore"),
        soft_topk_loss(scores[kept], mask[kept], k[kept], log_q=log_q[kept]),
    )


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
def test_narrow_dtypes_are_right_for_large_scores(name, dtype, scale):
    scores, mask = problem(scale=scale, dtype=dtype)
    if not scores.isfinite().all() or (name == "topk" and scale > 1000):
        pytest.skip("float16 ends at 65504; the threshold of float32 scores has their rounding")
    found = LOSSES[name](scores, mask, reduction="none")
    assert found.dtype == dtype
    tolerance = max(torch.finfo(dtype).eps, 3e-6)
    close(found.double(), by_loops(name, scores, mask), rtol=2 * tolerance, atol=1e-5)


@every_loss
def test_nothing_depends_on_the_order_of_labels_or_of_the_list(name):
    scores, mask = problem()
    order = torch.randperm(9, generator=seeded())
    close(LOSSES[name](scores[:, order], mask[:, order]), LOSSES[name](scores, mask))
    close(LOSSES[name](scores, label_lists(mask).flip(1)), LOSSES[name](scores, mask))


@pytest.mark.parametrize("name", ["decoupled", "multilabel", "topk"])
def test_a_constant_added_to_a_row_changes_nothing(name):
    scores, mask = problem()
    close(LOSSES[name](scores + 7, mask), LOSSES[name](scores, mask))
