"""Losses of mixed samples: deleted columns, cross-entropy, gradients, and the trap of row order."""

import math

import pytest
import torch
import torch.nn.functional as F
from l2s.geometry.mixup import (
    decoupled_mixup,
    decoupled_mixup_binary,
    mixup_cross_entropy,
    soft_targets,
)
from torch.testing import assert_close

OPTIONS = [
    {},
    {"weight": 1.0, "exponent": 0.0},
    {"weight": 2.0, "exponent": 0.5, "mode": "less"},
    {"weight": 2.0, "exponent": 0.5, "mode": "more"},
    {"weight": 0.5, "exponent": 2.0, "threshold": 0.4},
]


def batch(rows=12, classes=7, *, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    first, second = torch.randint(classes, (2, rows), generator=generator)
    second[0] = first[0]  # one row of one class
    share = torch.rand(rows, generator=generator, dtype=torch.float64)
    share[1:4] = torch.tensor([0.0, 0.5, 1.0])
    return scores, first, second, share


def looped(scores, first, second, share, weight=0.1, exponent=1.0, threshold=1.0, mode="both"):
    """The definition, row by row: delete the column of the other class and call cross-entropy."""
    rows = []
    for s, i, j, part in zip(scores, first.tolist(), second.tolist(), share.tolist(), strict=True):
        loss = -(part * s.log_softmax(0)[i] + (1 - part) * s.log_softmax(0)[j])
        if i != j:
            for own, other, p in ((i, j, part), (j, i, 1 - part)):
                if p == 0 or (mode == "less" and p > 0.5) or (mode == "more" and p < 0.5):
                    continue
                kept = torch.cat([s[:other], s[other + 1 :]])
                target = torch.tensor(own - (own > other))
                w = min(1, p / threshold) ** exponent
                loss = loss + weight * w * F.cross_entropy(kept, target)
        rows.append(loss)
    return torch.stack(rows)


@pytest.mark.parametrize("options", OPTIONS)
def test_decoupled_mixup_is_cross_entropy_with_a_column_deleted(options):
    made = batch()
    found = decoupled_mixup(*made, **options, reduction="none")
    assert_close(found, looped(*made, **options))
    assert_close(decoupled_mixup(*made, **options), found.mean())
    assert_close(decoupled_mixup(*made, **options, reduction="sum"), found.sum())


def test_without_weight_it_is_pytorchs_cross_entropy_on_soft_targets():
    scores, first, second, share = batch()
    expected = F.cross_entropy(scores, soft_targets(first, second, share, classes=7))
    assert_close(mixup_cross_entropy(scores, first, second, share), expected)
    assert_close(decoupled_mixup(scores, first, second, share, weight=0.0), expected)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_right_and_sum_to_zero(options):
    scores, *pairs = batch()
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: decoupled_mixup(s, *pairs, **options), scores)
    (gradient,) = torch.autograd.grad(decoupled_mixup(scores, *pairs, **options), scores)
    assert gradient.sum(1).abs().max() < 1e-15


def test_the_term_of_one_class_does_not_touch_the_other():
    scores, first, second, _ = batch()
    scores.requires_grad_()
    more = {"weight": 1.0, "exponent": 1.0, "mode": "more", "reduction": "sum"}
    share = torch.full((12,), 0.7, dtype=torch.float64)
    with_term = decoupled_mixup(scores, first, second, share, **more)
    plain = decoupled_mixup(scores, first, second, share, reduction="sum", weight=0.0)
    (gradient,) = torch.autograd.grad(with_term - plain, scores)
    differ = first != second
    # The two cross-entropies cancel to rounding; what is left is the term of `first`.
    assert gradient[differ].gather(1, second[differ, None]).abs().max() < 1e-15
    kept = scores.detach().scatter(1, second[:, None], -torch.inf)
    phi = kept.softmax(1) - F.one_hot(first, 7)
    assert_close(gradient[differ], 0.7 * phi[differ])
    assert gradient[~differ].abs().max() == 0


def test_identity_of_the_two_shares():
    scores, first, second, _ = batch()
    r = scores.softmax(1)
    i, j = first[:, None], second[:, None]
    phi = scores.scatter(1, j, -torch.inf).softmax(1).gather(1, i)
    differ = first != second
    assert_close(r.gather(1, i)[differ], (phi * (1 - r.gather(1, j)))[differ])


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("function", [decoupled_mixup, decoupled_mixup_binary])
def test_invariances(function, options):
    if function is decoupled_mixup_binary:
        options = {k: v for k, v in options.items() if k in ("exponent", "threshold")}
    scores, first, second, share = batch()
    found = function(scores, first, second, share, **options, reduction="none")
    swapped = function(scores, second, first, 1 - share, **options, reduction="none")
    assert_close(swapped, found)
    order = torch.randperm(12)
    moved = (x[order] for x in (scores, first, second, share))
    assert_close(function(*moved, **options, reduction="none"), found[order])
    names = torch.randperm(7)
    renamed = torch.empty_like(scores).index_copy_(1, names, scores)
    again = function(renamed, names[first], names[second], share, **options, reduction="none")
    assert_close(again, found)
    if function is decoupled_mixup:
        shifted = function(scores + 50, first, second, share, **options, reduction="none")
        assert_close(shifted, found)
    one = function(scores, first, second, 0.3, **options)
    assert_close(function(scores, first, second, torch.full((12,), 0.3).double(), **options), one)


def test_weights_go_by_class_and_row_not_by_the_first_row():
    """Public code reads the shares from the first row's class order; half of its batches swap."""
    scores = torch.randn(2, 5, dtype=torch.float64)
    for i, j in ((1, 3), (3, 1)):
        first, second = torch.tensor([i, 0]), torch.tensor([j, 4])
        found = decoupled_mixup(scores, first, second, 0.3, mode="less", reduction="none")
        alone = [
            decoupled_mixup(
                scores[k : k + 1], first[k : k + 1], second[k : k + 1], 0.3, mode="less"
            )
            for k in range(2)
        ]
        assert_close(found, torch.stack(alone))
    less, more = (
        decoupled_mixup(scores, first, second, 0.5, mode=mode) for mode in ("less", "more")
    )
    assert_close(less, more)  # a tie counts both


def test_two_classes_and_one_class_have_no_regulariser():
    scores, first, second, share = batch(classes=2)
    plain = mixup_cross_entropy(scores, first, second, share)
    assert torch.equal(decoupled_mixup(scores, first, second, share, weight=9.0), plain)
    scores, first, _, share = batch()
    found = decoupled_mixup(scores, first, first, share, weight=9.0)
    assert_close(found, F.cross_entropy(scores, first))


def test_confident_and_masked_scores():
    i, j = torch.tensor([0]), torch.tensor([1])
    sure = torch.tensor([[60.0, 60.0, 0.0, 0.0]], requires_grad=True)
    extra = decoupled_mixup(sure, i, j, 0.5, weight=1e30) / 1e30
    assert extra.item() == pytest.approx(2 * math.exp(-60), rel=1e-5)  # not rounded to 0
    masked = torch.tensor([[1.0, 2.0, -math.inf, -math.inf]], requires_grad=True)
    loss = decoupled_mixup(masked, i, j, 0.4, weight=1.0)
    (gradient,) = torch.autograd.grad(loss, masked)
    assert loss.item() == pytest.approx(mixup_cross_entropy(masked, i, j, 0.4).item())
    assert bool(gradient.isfinite().all())
    huge = torch.tensor([[1e4, 9e3, -1e4, 0.0]])
    assert bool(decoupled_mixup(huge, i, j, 0.4).isfinite())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_is_the_float64_result_rounded(dtype):
    scores, first, second, share = batch(scale=5.0)
    rounded = scores.to(dtype)
    for function in (mixup_cross_entropy, decoupled_mixup, decoupled_mixup_binary):
        found = function(rounded, first, second, share.float())
        assert found.dtype == dtype
        exact = function(rounded.double(), first, second, share.float().double())
        assert found.item() == pytest.approx(exact.item(), rel=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("options", [{}, {"exponent": 0.0}, {"exponent": 0.5, "threshold": 0.6}])
def test_binary_version_is_pytorchs_on_two_hot_targets(options):
    scores, first, second, share = batch()
    gamma, xi = options.get("exponent", 1.0), options.get("threshold", 1.0)
    target = torch.zeros(12, 7, dtype=torch.float64)
    for row, (i, j, part) in enumerate(
        zip(first.tolist(), second.tolist(), share.tolist(), strict=True)
    ):
        if i == j:
            target[row, i] = 1
        else:
            for k, p in ((i, part), (j, 1 - part)):
                target[row, k] = min(1, p / xi) ** gamma if p > 0 else 0
    each = F.binary_cross_entropy_with_logits(scores, target, reduction="none").sum(1)
    found = decoupled_mixup_binary(scores, first, second, share, **options, reduction="none")
    assert_close(found, each)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: decoupled_mixup_binary(s, first, second, share, **options), scores
    )


def test_numbers_of_the_mechanism():
    """Gradients at (i, j, another) that the chapter prints: ten classes, λ = 1/2, η = 1, t = 1."""
    i, j = torch.tensor([0]), torch.tensor([1])
    known = {
        (4.0, 0.0): ((0.359, -0.484, 0.016), (0.295, -0.929, 0.079)),
        (2.0, 2.0): ((-0.176, -0.176, 0.044), (-0.436, -0.436, 0.109)),
    }
    for (a, b), expected in known.items():
        scores = torch.zeros(1, 10, dtype=torch.float64)
        scores[0, :2] = torch.tensor([a, b])
        scores.requires_grad_()
        for weight, numbers in zip((0.0, 1.0), expected, strict=True):
            loss = decoupled_mixup(scores, i, j, 0.5, weight=weight)
            (gradient,) = torch.autograd.grad(loss, scores)
            assert gradient[0, [0, 1, 5]].tolist() == pytest.approx(numbers, abs=6e-4)


@pytest.mark.parametrize("function", [mixup_cross_entropy, decoupled_mixup, decoupled_mixup_binary])
def test_bad_input_of_losses(function):
    scores, first, second, share = batch()
    changes = [
        ((scores, first, second, share + 0.5), ValueError, "`share` reaches"),
        ((scores, first, second, -0.1), ValueError, "`share` reaches from -0.1"),
        ((scores, first, second, share * math.nan), ValueError, "`share` reaches"),
        ((scores, first, second, share[:3]), ValueError, "`share` has shape"),
        ((scores, first + 5, second, share), ValueError, "`first` reaches"),
        ((scores, first, second - 5, share), ValueError, "`second` reaches"),
        ((scores, first.double(), second, share), TypeError, "`first` has dtype"),
        ((scores[:, :1], first * 0, second * 0, share), ValueError, "`classes` is 1"),
        ((scores * math.nan, first, second, share), ValueError, "`scores` holds"),
        ((scores[:0], first[:0], second[:0], share[:0]), ValueError, r"`len\(scores\)` is 0"),
    ]
    for arguments, kind, message in changes:
        with pytest.raises(kind, match=message):
            function(*arguments)
    with pytest.raises(ValueError, match="`reduction` is 'max'"):
        function(scores, first, second, share, reduction="max")
    lost = scores.scatter(1, first[:, None], -math.inf)
    with pytest.raises(ValueError, match="`scores` is -inf at the class of `first`"):
        function(lost, first, second, share)


def test_bad_options_of_losses():
    made = batch()
    for options, message in (
        ({"weight": -1.0}, "`weight` is -1"),
        ({"mode": "all"}, "`mode` is 'all'"),
        ({"exponent": -0.5}, "`exponent` is -0.5"),
        ({"threshold": 0.0}, "`threshold` is 0"),
        ({"threshold": 1.5}, "`threshold` is 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            decoupled_mixup(*made, **options)
    with pytest.raises(ValueError, match="`exponent`"):
        decoupled_mixup_binary(*made, exponent=math.nan)
