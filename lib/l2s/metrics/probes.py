"""Scores of a representation: linear recovery, a linear probe and nearest neighbours.

Each one fits on training rows and returns one number measured on test rows.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from l2s import checks

PROBE_GRID = (0.01, 0.1, 1.0, 10.0)
"""The inverse penalties that ``linear_probe`` tries where it is given a validation split."""

_PROBE_ITERATIONS = 2000
_ROWS_AT_ONCE = 1024  # test rows whose distances are held at once in knn_accuracy


@checks.typed
@torch.no_grad()
def linear_r2(
    train_features: Float[Tensor, "train dim"],
    train_targets: Float[Tensor, "train target"] | Float[Tensor, " train"],
    test_features: Float[Tensor, "test dim"],
    test_targets: Float[Tensor, "test target"] | Float[Tensor, " test"],
) -> float:
    r"""Return the test R^2 of the best linear map, with intercept, from features to targets.

    The map is the least-squares fit on the training rows (the one of smallest norm where several
    fit equally well). With the test residuals r and the mean of the *test* targets,

    .. math:: R^2 = 1 - \frac{\sum_{ij} r_{ij}^2}{\sum_{ij} (y_{ij} - \bar y_j)^2}.

    Several targets are pooled in both sums, so each counts by its variance: scikit-learn's
    ``r2_score(..., multioutput="variance_weighted")``. The sums are taken in float64.

    Args:
        train_features: Floating, of shape (train, dim).
        train_targets: Floating, of shape (train,) or (train, targets).
        test_features: Floating, of shape (test, dim).
        test_targets: Floating, of shape (test,) or (test, targets).

    Returns:
        1 for a perfect fit, 0 for one as good as the mean; below 0 where it is worse than that.

    Raises:
        ValueError: Fewer than 2 rows, shapes that do not match, NaN, or test targets that are all
            equal (then R^2 is not defined).

    >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    >>> y = x @ torch.tensor([[1.0], [2.0], [3.0]]) + 4
    >>> round(linear_r2(x[:50], y[:50], x[50:], y[50:]), 6)
    1.0
    """
    _check_rows(2, train_features=train_features, test_features=test_features)
    _check_rows(2, train_targets=train_targets, test_targets=test_targets)
    if train_targets.ndim != test_targets.ndim:
        raise ValueError(
            f"`test_targets` has shape {tuple(test_targets.shape)}, but `train_targets` has "
            f"{tuple(train_targets.shape)}. Pass both with, or both without, a target axis."
        )
    inputs, outputs = train_features.double(), _columns(train_targets)
    truth = _columns(test_targets)
    if (truth == truth[0]).all():
        raise ValueError(
            "`test_targets` are all equal, so R^2 is not defined. Pass targets that vary."
        )
    weights = torch.linalg.pinv(inputs - inputs.mean(0)) @ (outputs - outputs.mean(0))
    fitted = (test_features.double() - inputs.mean(0)) @ weights + outputs.mean(0)
    total = (truth - truth.mean(0)).square().sum()
    return float(1 - (truth - fitted).square().sum() / total)


@checks.typed
@torch.no_grad()
def linear_probe(
    train_features: Float[Tensor, "train dim"],
    train_labels: Int[Tensor, " train"],
    test_features: Float[Tensor, "test dim"],
    test_labels: Int[Tensor, " test"],
    *,
    validation_features: Float[Tensor, "validation dim"] | None = None,
    validation_labels: Int[Tensor, " validation"] | None = None,
    inverse_penalties: Sequence[float] | None = None,
) -> float:
    r"""Return the test accuracy of multinomial logistic regression on frozen features.

    Features are standardised with the training rows' mean and standard deviation (a constant
    feature is only centred). The probe minimises

    .. math:: \sum_i -\log p(y_i \mid x_i) + \frac{1}{2C} \lVert W \rVert^2,

    with the intercept left free. With a validation split, C is the value of the grid with the
    highest validation accuracy, the smallest one where several tie; the probe is not refitted on
    the validation rows.

    Args:
        train_features: Floating, of shape (train, dim).
        train_labels: Integers, of shape (train,), from two classes or more.
        test_features: Floating, of shape (test, dim).
        test_labels: Integers, of shape (test,). A class that was not seen in training counts as
            an error.
        validation_features: Floating, of shape (validation, dim), or None.
        validation_labels: Integers, of shape (validation,), or None.
        inverse_penalties: The grid of C, each above 0. None means 1.0 without a validation split,
            and ``PROBE_GRID`` with one.

    Returns:
        The share of test rows that are classified correctly, from 0 to 1.

    Raises:
        ValueError: Shapes that do not match, NaN, a single training class, several
            penalties without a validation split, or a probe that did not converge.

    >>> x = torch.tensor([[0.0], [1.0], [4.0], [5.0]])
    >>> y = torch.tensor([0, 0, 1, 1])
    >>> linear_probe(x, y, torch.tensor([[0.5], [3.0]]), torch.tensor([0, 0]))
    0.5
    """
    _check_rows(1, train_features=train_features, test_features=test_features)
    grid = _penalties(inverse_penalties, validation_features, validation_labels)
    if len(train_labels.unique()) < 2:
        raise ValueError(
            f"`train_labels` holds one class only ({int(train_labels[0])}). "
            "Pass rows of two classes or more."
        )
    mean, deviation = train_features.double().mean(0), train_features.double().std(0, correction=0)
    deviation[deviation <= 1e-12 * mean.abs()] = 1.0  # constant up to rounding

    def scaled(features: Tensor) -> Tensor:
        return (features.double() - mean) / deviation

    inputs = scaled(train_features)
    probes = [_fitted(inputs, train_labels, penalty) for penalty in grid]
    best = probes[0]
    if validation_features is not None and validation_labels is not None:
        _check_rows(1, validation_features=validation_features)
        rows = scaled(validation_features)
        best = max(probes, key=lambda probe: _share_right(probe, rows, validation_labels))
    return _share_right(best, scaled(test_features), test_labels)


@checks.typed
@torch.no_grad()
def knn_accuracy(
    train_features: Float[Tensor, "train dim"],
    train_labels: Int[Tensor, " train"],
    test_features: Float[Tensor, "test dim"],
    test_labels: Int[Tensor, " test"],
    *,
    k: int = 5,
    metric: str = "cosine",
) -> float:
    """Return the test accuracy of a vote among the k nearest training rows.

    Each neighbour has one vote. Where classes tie, the smallest label wins; where rows are
    equally far, the earlier one is nearer. Distances are computed in float64.

    Args:
        train_features: Floating, of shape (train, dim).
        train_labels: Integers, of shape (train,).
        test_features: Floating, of shape (test, dim).
        test_labels: Integers, of shape (test,).
        k: How many neighbours vote, from 1 to the number of training rows.
        metric: "cosine" (the largest cosine is nearest) or "euclidean".

    Returns:
        The share of test rows that are classified correctly, from 0 to 1.

    Raises:
        ValueError: Shapes that do not match, NaN, ``k`` out of its range, an unknown metric, or a
            row of zeros where the metric is "cosine" (it has no direction).

    >>> x = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    >>> y = torch.tensor([7, 7, 3])
    >>> knn_accuracy(x, y, torch.tensor([[2.0, 0.0], [0.0, 5.0]]), torch.tensor([7, 3]), k=1)
    1.0
    """
    _check_rows(1, train_features=train_features, test_features=test_features)
    checks.one_of("metric", metric, ("cosine", "euclidean"))
    checks.in_range("k", k, 1, len(train_features))
    if metric == "cosine":
        _check_directions(train_features=train_features, test_features=test_features)
    classes, votes_for = train_labels.unique(return_inverse=True)
    ballots = one_hot(votes_for, len(classes))
    right = 0
    for rows, labels in zip(
        test_features.split(_ROWS_AT_ONCE), test_labels.split(_ROWS_AT_ONCE), strict=True
    ):
        nearest = _farness(rows, train_features, metric).sort(dim=1, stable=True).indices[:, :k]
        elected = ballots[nearest].sum(1).argmax(1)  # argmax takes the first of equal counts
        right += int((classes[elected] == labels).sum())
    return right / len(test_labels)


def _columns(targets: Tensor) -> Tensor:
    return targets.double().reshape(len(targets), -1)


def _check_rows(minimum: int, **features: Tensor) -> None:
    for name, rows in features.items():
        checks.at_least(f"len({name})", len(rows), minimum, "Pass more rows.")
        checks.finite(name, rows)


def _check_directions(**features: Tensor) -> None:
    for name, rows in features.items():
        zeros = int((rows == 0).all(1).sum())
        if zeros:
            raise ValueError(
                f"`{name}` holds {zeros} rows of zeros, which have no direction. "
                'Remove them, or use metric="euclidean".'
            )


def _penalties(
    given: Sequence[float] | None, features: Tensor | None, labels: Tensor | None
) -> Sequence[float]:
    """Return the grid in rising order, checked against the presence of a validation split."""
    if (features is None) != (labels is None):
        raise ValueError(
            "`validation_features` and `validation_labels` go together. Pass both or neither."
        )
    if given is None:
        return (1.0,) if features is None else PROBE_GRID
    checks.at_least("len(inverse_penalties)", len(given), 1, "Pass one value or more.")
    for penalty in given:
        checks.positive("inverse_penalties", penalty)
    if len(given) > 1 and features is None:
        raise ValueError(
            f"`inverse_penalties` has {len(given)} values but there is no validation split to "
            "choose among them. Pass validation_features and validation_labels, or one value."
        )
    return sorted(given)


def _fitted(features: Tensor, labels: Tensor, penalty: float) -> Any:
    """Return scikit-learn's probe, or raise where it did not converge."""
    from sklearn.exceptions import ConvergenceWarning  # a second: paid by those who probe
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    probe = LogisticRegression(C=penalty, max_iter=_PROBE_ITERATIONS)
    # One thread: the matrices are so small that more would only wait for one another, and the
    # result does not depend on the number of cores.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return probe.fit(features.numpy(force=True), labels.numpy(force=True))
        except ConvergenceWarning as warning:
            raise ValueError(
                f"The probe with `inverse_penalties` {penalty!r} did not converge within "
                f"{_PROBE_ITERATIONS} iterations. Pass a smaller value."
            ) from warning


def _share_right(probe: Any, features: Tensor, labels: Tensor) -> float:
    return float((probe.predict(features.numpy(force=True)) == labels.numpy(force=True)).mean())


def _farness(rows: Tensor, train: Tensor, metric: str) -> Tensor:
    """Return a (row, train) matrix that sorts like the distance."""
    rows, train = rows.double(), train.double()
    if metric == "euclidean":  # |t|^2 - 2 r.t, the squared distance less |r|^2
        return train.square().sum(1) - 2 * rows @ train.T
    return -normalize(rows, dim=1) @ normalize(train, dim=1).T
