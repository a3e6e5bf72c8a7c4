"""Each misuse is an error that names the argument, its value and the remedy; none becomes NaN."""

import math

import pytest
import torch
from l2s.geometry.neural_collapse import (
    ClassStatistics,
    class_output,
    class_prices,
    collapse_price,
    cross_entropy_solution,
    head_objective,
    linear_head_solution,
    metastable_price,
    nc1,
    nc2,
    nc3,
    nc4,
    train_free_features,
    train_linear_head,
)

ROWS, LABELS = torch.eye(4), torch.tensor([0, 0, 1, 1])


def _seen(features=ROWS, labels=LABELS, classes=2, **options):
    statistics = ClassStatistics(classes, features.shape[1], **options)
    statistics.update(features, labels)
    return statistics


def _merged(**options):
    _seen().merge(_seen(**options))


THEORY = [
    (lambda: linear_head_solution([5], 1, 0.1, 0.1), ValueError, "`class_sizes` is 1.*two classes"),
    (lambda: linear_head_solution([], 1, 0.1, 0.1), ValueError, "`class_sizes` is 0"),
    (lambda: linear_head_solution([5, 0], 1, 0.1, 0.1), ValueError, r"\[5, 0\].*at least 1"),
    (lambda: linear_head_solution([5, 2.5], 1, 0.1, 0.1), TypeError, "`class_sizes`"),
    (lambda: linear_head_solution([5, 2], 0, 0.1, 0.1), ValueError, "`depth` is 0"),
    (lambda: linear_head_solution([5, 2], 1, 0.0, 0.1), ValueError, "`weight_decays` is 0.0"),
    (lambda: linear_head_solution([5, 2], 1, -1.0, 0.1), ValueError, "`weight_decays` is -1.0"),
    (lambda: linear_head_solution([5, 2], 1, math.nan, 0.1), ValueError, "`weight_decays` is nan"),
    (
        lambda: linear_head_solution([5, 2], 2, [0.1], 0.1),
        ValueError,
        "1 numbers, but `depth` is 2",
    ),
    (lambda: linear_head_solution([5, 2], 1, 0.1, 0.0), ValueError, "`feature_decay` is 0.0"),
    (lambda: linear_head_solution([5, 2], 1, 0.1, 0.1, width=0), ValueError, "`width` is 0"),
    (lambda: linear_head_solution([5, 2], 1, 0.1, 0.1, bias=True), ValueError, "equal sizes"),
    (lambda: class_prices([5, -2], 1, 0.1, 0.1), ValueError, r"\[5, -2\]"),
    (lambda: class_output(torch.tensor([0.0]), 2), ValueError, "`price` is as low as 0"),
    (lambda: class_output(torch.tensor([math.nan]), 2), ValueError, "`price` holds 1"),
    (lambda: class_output(torch.tensor([0.1]), 2, branch="dead"), TypeError, "`branch`"),
    (lambda: collapse_price(0), ValueError, "`depth` is 0"),
    (lambda: metastable_price(-1), ValueError, "`depth` is -1"),
    (
        lambda: linear_head_solution([5, 5], 1, 1e-4, 1e-4).minimiser(1),
        ValueError,
        "`dim` is 1, but must be at least 2",
    ),
    (lambda: cross_entropy_solution(1, 3, 0.1, 0.1), ValueError, "`classes` is 1"),
    (lambda: cross_entropy_solution(3, 0, 0.1, 0.1), ValueError, "`samples_per_class` is 0"),
    (lambda: cross_entropy_solution(3, 3, 0.0, 0.1), ValueError, "`weight_decay` is 0.0"),
    (lambda: cross_entropy_solution(3, 3, 0.1, -0.1), ValueError, "`feature_decay` is -0.1"),
    (lambda: cross_entropy_solution(4, 3, 0.1, 0.01).minimiser(2), ValueError, "`dim` is 2"),
]

MEASURES = [
    (lambda: ClassStatistics(1, 3), ValueError, "`classes` is 1"),
    (lambda: ClassStatistics(2, 0), ValueError, "`dim` is 0"),
    (lambda: ClassStatistics(2, 3, class_sizes=[2, 0]), ValueError, r"\[2, 0\]"),
    (lambda: ClassStatistics(2, 3, class_sizes=[2, 2, 2]), ValueError, "`classes` is 2"),
    (lambda: nc1(_seen(classes=3)), ValueError, "Class 2 has no samples"),
    (lambda: ClassStatistics(2, 3).class_means(), ValueError, r"Class 0 has no samples \(2 of 2"),
    (lambda: nc1(_seen(class_sizes=[2, 3])), ValueError, "Class 1 has 2 samples so far.*says 3"),
    (lambda: nc1(_seen(ROWS * 0)), ValueError, "same point"),
    (lambda: nc1(_seen(ROWS * 0 + 7.1)), ValueError, "same point"),
    (lambda: nc1(_seen(), variant="cheap"), TypeError, "`variant`"),
    (lambda: _seen(ROWS / 0), ValueError, "`features` holds"),
    (lambda: _seen(ROWS.int()), TypeError, "`features`"),
    (lambda: _seen(labels=LABELS.float()), TypeError, "`labels`"),
    (lambda: _seen(labels=LABELS + 1), ValueError, "`labels` runs from 1 to 2"),
    (lambda: _seen(labels=LABELS - 1), ValueError, "`labels` runs from -1 to 0"),
    (lambda: _seen(labels=LABELS[:3]), ValueError, "`labels` has shape"),
    (lambda: ClassStatistics(2, 3).update(ROWS, LABELS), ValueError, "of 3 features"),
    (lambda: _merged(classes=3), ValueError, "3 classes and 4 features"),
    (lambda: _merged(class_sizes=[2, 2]), ValueError, "`class_sizes`"),
    (lambda: nc2(torch.eye(1)), ValueError, "`classes` is 1"),
    (lambda: nc2(torch.eye(2), lengths=torch.ones(2)), ValueError, "equal lengths"),
    (lambda: nc2(torch.eye(2), frame="etf"), TypeError, "`frame`"),
    (lambda: nc2(torch.eye(2) / 0), ValueError, "`means` holds"),
    (lambda: nc2(torch.ones(3, 3)), ValueError, "no direction"),
    (lambda: nc2(torch.diag(torch.tensor([1.0, 0.0])), frame="orthogonal"), ValueError, "class 1"),
    (
        lambda: nc2(torch.eye(2), frame="orthogonal", lengths=torch.tensor([1.0, 0.0])),
        ValueError,
        "`lengths` is 1",
    ),
    (
        lambda: nc2(torch.eye(2), frame="orthogonal", lengths=torch.tensor([1.0, -1.0])),
        ValueError,
        "`lengths` is",
    ),
    (lambda: nc3(torch.eye(2), torch.eye(3)), ValueError, "`weight` has shape"),
    (lambda: nc3(torch.ones(2, 2), torch.eye(2)), ValueError, "`means` has no direction"),
    (lambda: nc3(torch.eye(2), torch.zeros(2, 2), centre=False), ValueError, "`weight` has no"),
    (lambda: nc3(torch.eye(2), torch.eye(2) / 0), ValueError, "`weight` holds"),
    (lambda: nc4(torch.eye(2), torch.eye(2)[:0], torch.eye(2)), ValueError, "`features` is 0"),
    (lambda: nc4(torch.eye(2), torch.eye(2) / 0, torch.eye(2)), ValueError, "`features` holds"),
    (
        lambda: nc4(torch.eye(2), torch.eye(2), torch.eye(2), torch.ones(2) / 0),
        ValueError,
        "`bias` holds",
    ),
]


def _free(sizes=(3, 2), depth=1, decays=0.1, feature_decay=0.1, **options):
    return train_free_features(list(sizes), depth, decays, feature_decay, **options)


TRAINING = [
    (lambda: _free(sizes=(3,)), ValueError, "`class_sizes` is 1"),
    (lambda: _free(depth=0), ValueError, "`depth` is 0"),
    (lambda: _free(decays=-0.1), ValueError, "`weight_decays` is -0.1"),
    (lambda: _free(feature_decay=0.0), ValueError, "`feature_decay` is 0.0"),
    (lambda: _free(dim=0), ValueError, "`dim` is 0"),
    (lambda: _free(start=_free(sizes=(2, 3))), ValueError, "`start` has"),
    (lambda: _free(start=_free(depth=2)), ValueError, "`start` has"),
    (lambda: _free(starts=0), ValueError, "`starts` is 0"),
    (lambda: _free(steps=0), ValueError, "`steps` is 0"),
    (lambda: _free(scale=0.0), ValueError, "`scale` is 0.0"),
    (lambda: _free(loss="hinge"), TypeError, "`loss`"),
    (lambda: train_linear_head(ROWS / 0, LABELS, 1, 0.1), ValueError, "`features` holds"),
    (lambda: train_linear_head(ROWS, LABELS * 0, 1, 0.1), ValueError, "`labels` is 1"),
    (lambda: train_linear_head(ROWS, LABELS - 1, 1, 0.1), ValueError, "`labels`"),
    (lambda: train_linear_head(ROWS, LABELS * 2, 1, 0.1), ValueError, "each must be at least 1"),
    (lambda: train_linear_head(ROWS, LABELS, 2, 0.1, width=-1), ValueError, "`width` is -1"),
    (lambda: train_linear_head(ROWS[:0], LABELS[:0], 1, 0.1), ValueError, "`labels` is 0"),
    (lambda: head_objective([], ROWS, LABELS, weight_decays=0.1), ValueError, "`depth` is 0"),
    (
        lambda: head_objective([torch.eye(4)], ROWS, LABELS, weight_decays=0.1, feature_decay=-1.0),
        ValueError,
        "`feature_decay` is -1.0",
    ),
    (
        lambda: head_objective([torch.eye(4)], ROWS, LABELS + 9, weight_decays=0.1),
        ValueError,
        "`labels` runs from 9 to 10",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), [*THEORY, *MEASURES, *TRAINING])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_batch_that_is_refused_leaves_no_trace():
    statistics = _seen()
    before = nc1(statistics)
    with pytest.raises(ValueError, match="NaN"):
        statistics.update(torch.full((2, 4), math.nan), torch.tensor([0, 1]))
    assert nc1(statistics) == before
    statistics.update(ROWS[:0], LABELS[:0])  # and an empty batch is fine
    assert nc1(statistics) == before
