"""Each misuse is an error that names the argument, its value and the remedy; none becomes NaN."""

import math

import pytest
import torch
from l2s.labels.extreme_labels import (
    DualEncoder,
    Tower,
    cached_backward,
    contrastive,
    decoupled_softmax,
    in_batch_pairs,
    mann_whitney,
    one_versus_all,
    pairwise_logistic,
    sample_labels,
    soft_topk_loss,
)
from torch import nn

from tests.labels.extreme_cases import LOSSES, problem

every_loss = pytest.mark.parametrize("name", LOSSES)
SCORES, MASK = problem(3, 4, dtype=torch.float32)
LISTS = torch.tensor([[0, 1], [2, -1], [3, -1]])


def changed(tensor, place, value):
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


COMMON = [
    (
        lambda f: f(SCORES, MASK & False),
        ValueError,
        "3 rows without a label.*row 0.*ignore",
    ),
    (lambda f: f(SCORES, changed(MASK, 1, False)), ValueError, "1 rows without .* row 1"),
    (lambda f: f(SCORES, MASK & False, on_empty="ignore"), ValueError, "if any row has"),
    (lambda f: f(SCORES, MASK.float()), TypeError, "`positives` has dtype float32"),
    (lambda f: f(SCORES, MASK.tolist()), TypeError, "`positives`.*torch.as_tensor"),
    (lambda f: f(SCORES, MASK[:2]), ValueError, r"`positives` has shape \(2, 4\)"),
    (lambda f: f(SCORES, MASK[:, :3]), ValueError, r"`positives` has shape \(3, 3\)"),
    (lambda f: f(SCORES.long(), MASK), TypeError, r"`scores` has dtype int64.*float\(\)"),
    (lambda f: f(SCORES[0], MASK), ValueError, r"`scores` has shape \(4,\)"),
    (lambda f: f(SCORES[:0], MASK[:0]), ValueError, "empty"),
    (lambda f: f(SCORES, LISTS + 1), ValueError, "`positives` names the label 4, but the 4 labels"),
    (lambda f: f(SCORES, LISTS - 1), ValueError, "`positives` names the label -2"),
    (lambda f: f(SCORES, torch.tensor([[1, 1]] * 3)), ValueError, "Row 0.*the label 1 twice"),
    (lambda f: f(SCORES, MASK, excluded=LISTS + 1), ValueError, "`excluded` names the label 4"),
    (lambda f: f(SCORES, MASK, excluded=MASK[:, :2]), ValueError, "`excluded` has shape"),
    (lambda f: f(SCORES, MASK, log_q=torch.zeros(3)), ValueError, "`log_q` has shape"),
    (lambda f: f(SCORES, MASK, log_q=torch.zeros(4) / 0), ValueError, "`log_q` holds 4 values"),
    (lambda f: f(changed(SCORES, (0, 0), math.nan), MASK), ValueError, "`scores` holds 1 values"),
    (lambda f: f(changed(SCORES, (0, 1), math.nan), MASK), ValueError, "`scores` holds 1 values"),
    (lambda f: f(changed(SCORES, (0, 1), math.inf), MASK), ValueError, "`scores` holds 1 values"),
    (lambda f: f(changed(SCORES, (0, 0), math.inf), MASK), ValueError, "`scores` holds 1 values"),
    (lambda f: f(changed(SCORES, (0, 0), -math.inf), MASK), ValueError, "`scores` holds 1 values"),
    (lambda f: f(changed(SCORES, (0, 1), -math.inf), MASK), ValueError, "`scores` holds 1 values"),
    (lambda f: f(SCORES, MASK, reduction="average"), ValueError, "`reduction` is 'average'"),
    (lambda f: f(SCORES, MASK, on_empty="skip"), ValueError, "`on_empty` is 'skip'"),
    (lambda f: f(SCORES, MASK.to("meta")), ValueError, "`positives` is on meta"),
]


@every_loss
@pytest.mark.parametrize(("call", "error", "words"), COMMON)
def test_every_loss_names_what_is_wrong(name, call, error, words):
    with pytest.raises(error, match=words) as caught:
        call(LOSSES[name])
    assert len(str(caught.value)) < 500


VECTOR = torch.tensor([1.0, 2.0])
SQUARE = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: soft_topk_loss(SCORES, MASK, 0), ValueError, "`k` is 0.*1 and 3"),
        (lambda: soft_topk_loss(SCORES, MASK, 4), ValueError, "`k` is 4.*1 and 3"),
        (lambda: soft_topk_loss(SCORES, MASK, 1.5), TypeError, "`k`"),
        (lambda: soft_topk_loss(SCORES, MASK, torch.tensor([1, 4, 2])), ValueError, "`k` is 4"),
        (lambda: soft_topk_loss(SCORES, MASK, torch.tensor([1, 2])), ValueError, "`k` has shape"),
        (lambda: soft_topk_loss(SCORES, MASK, 2, sharpness=0.0), ValueError, "`sharpness` is 0.0"),
        (lambda: soft_topk_loss(SCORES[:, :1], LISTS * 0, 1), ValueError, "two labels or more"),
        (
            lambda: soft_topk_loss(SCORES, LISTS[:, :1], 2, excluded=torch.tensor([[1, 2, 3]] * 3)),
            ValueError,
            "`k` is 2 in row 0, but only 1 labels",
        ),
        (lambda: one_versus_all(SCORES, MASK, positive_weight=0), ValueError, "`positive_weight`"),
        (lambda: mann_whitney(VECTOR[:0], VECTOR), ValueError, r"`len\(positive_scores\)` is 0"),
        (lambda: mann_whitney(VECTOR, VECTOR[:0]), ValueError, r"`len\(negative_scores\)` is 0"),
        (lambda: mann_whitney(VECTOR / 0, VECTOR), ValueError, "`positive_scores` holds 2"),
        (lambda: mann_whitney(VECTOR, VECTOR.double()), TypeError, "share one dtype"),
        (lambda: mann_whitney(VECTOR.long(), VECTOR), TypeError, "`positive_scores`.*int64"),
        (lambda: mann_whitney(VECTOR, VECTOR, block_size=0), ValueError, "`block_size` is 0"),
        (lambda: contrastive(SQUARE[:1, :1]), ValueError, "leaves 1 queries without a negative"),
        (lambda: contrastive(SQUARE[:, :2]), ValueError, r"`scores.shape\[1\]` is 2"),
        (lambda: contrastive(SQUARE.long()), TypeError, "int64"),
        (lambda: contrastive(SQUARE, excluded=SQUARE > -9), ValueError, "leaves 3 queries"),
        (lambda: contrastive(SQUARE / 0), ValueError, "`scores` holds 9 values"),
        (lambda: contrastive(SQUARE, excluded=SQUARE), TypeError, "`excluded`"),
        (lambda: pairwise_logistic(SQUARE, reduction="all"), ValueError, "`reduction`"),
        (lambda: in_batch_pairs(SQUARE[0]), ValueError, r"`scores` has shape \(3,\)"),
        (lambda: sample_labels(LISTS, labels=3, negatives=1), ValueError, "the label 3"),
        (lambda: sample_labels(LISTS, labels=9, negatives=-1), ValueError, "`negatives` is -1"),
        (
            lambda: sample_labels(LISTS, labels=9, negatives=1, positives_per_row=0),
            ValueError,
            "`positives_per_row` is 0",
        ),
        (lambda: DualEncoder(3), ValueError, "exactly one of the three"),
        (lambda: DualEncoder(3, shared=True, free_labels=2), ValueError, "exactly one"),
        (lambda: DualEncoder(3, shared=True, temperature=0), ValueError, "`temperature` is 0"),
        (lambda: DualEncoder(3, shared=True, dropout=1.0), ValueError, "`dropout` is 1.0"),
        (lambda: DualEncoder(3, shared=True, hidden=(0,)), ValueError, "`hidden` is 0"),
        (lambda: DualEncoder(3, shared=True)(SQUARE), ValueError, "`labels` is None"),
        (lambda: Tower(4, 2)(SQUARE), ValueError, r"shape \(3, 3\), but this tower reads 4"),
        (lambda: Tower(3, 2)(SQUARE.long()), TypeError, "int64.*bags"),
        (
            lambda: DualEncoder(3, free_labels=2)(SQUARE, torch.tensor([2])),
            ValueError,
            "`labels` goes from 2 to 2, but there are 2",
        ),
        (lambda: DualEncoder(3, free_labels=2)(SQUARE, SQUARE), TypeError, "no features"),
        (
            lambda: cached_backward([nn.Linear(3, 2)], [], torch.sum, chunk_size=2),
            ValueError,
            "1 entries and `inputs` 0",
        ),
        (
            lambda: cached_backward([nn.Linear(3, 2)], [SQUARE], torch.exp, chunk_size=2),
            ValueError,
            r"`loss` returned shape \(3, 2\)",
        ),
        (
            lambda: cached_backward([nn.Linear(3, 2)], [SQUARE], torch.sum, chunk_size=0),
            ValueError,
            "`chunk_size` is 0",
        ),
        (
            lambda: cached_backward([nn.BatchNorm1d(3)], [SQUARE], torch.sum, chunk_size=2),
            ValueError,
            "BatchNorm1d, which mixes",
        ),
        (lambda: decoupled_softmax(SCORES, LISTS.double()), TypeError, "`positives`.*float64"),
    ],
)
def test_each_function_names_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert len(str(caught.value)) < 500
