"""Each misuse is an error that names the argument, its value and the remedy; none becomes NaN."""

import math

import pytest
import torch
from l2s.sparsity.moe_gating import (
    Mixture,
    active_sets,
    fit_em,
    fit_gradient,
    fix_gauge,
    hellinger,
    kmeans_starts,
    log_density,
    polynomial_system,
    sample_targets,
    sampled_distance,
    select,
    solution_order,
    split_expert,
    stack,
    starts_near,
    topk_log_gate,
    total_variation,
    voronoi_cells,
    voronoi_loss,
)

from tests.sparsity.moe_gating_cases import TRUTH, data, drawn

X, Y = data(50)
NAN = torch.full_like(X, math.nan)
MANY = stack([TRUTH, TRUTH])
NARROW = Mixture.of([[0.0]], [0.0], [[0.0]], [0.0], [1e-8])


@pytest.mark.parametrize("k", [0, -1, 4])
@pytest.mark.parametrize(
    "call",
    [
        lambda k: log_density(X, Y, TRUTH, k),
        lambda k: topk_log_gate(X, TRUTH, k),
        lambda k: sample_targets(X, TRUTH, k),
        lambda k: active_sets(X, TRUTH, k),
        lambda k: select(X @ TRUTH.gate_slopes.T, k),
        lambda k: fit_em(X, Y, TRUTH, k),
        lambda k: fit_gradient(X, Y, TRUTH, k),
        lambda k: voronoi_loss(TRUTH, TRUTH, k),
        lambda k: hellinger(X, TRUTH, TRUTH, k, 2),
        lambda k: total_variation(X, TRUTH, TRUTH, 2, k),
    ],
)
def test_a_wrong_k(call, k):
    with pytest.raises(ValueError, match=f"`k` is {k}, but must lie between 1 and.*experts, 3"):
        call(k)


def test_a_k_that_is_no_integer():
    with pytest.raises(TypeError, match="`k` is 1.5"):
        log_density(X, Y, TRUTH, 1.5)


@pytest.mark.parametrize("fit", [fit_em, fit_gradient])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((NAN, Y, TRUTH, 2), "`inputs` holds 50 values that are NaN"),
        ((X, Y / 0, TRUTH, 2), "`targets` holds 50"),
        ((X[:12], Y[:12], TRUTH, 2), "`count` is 12, but must be at least 13.*fewer experts"),
        ((X, Y[:-1], TRUTH, 2), "`targets` has shape"),
        ((X, Y, drawn(3, 2), 2), "`inputs` has 1 dimensions, but the start has 2"),
        ((X, 0 * Y, TRUTH, 2), "`targets` are all the same"),
    ],
)
def test_data_that_cannot_be_fitted(fit, arguments, words):
    with pytest.raises(ValueError, match=words):
        fit(*arguments)


@pytest.mark.parametrize("fit", [fit_em, fit_gradient])
@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"iterations": 0}, "`iterations` is 0"),
        ({"tolerance": 0.0}, "`tolerance` is 0.0"),
        ({"variance_floor": 0.0}, "`variance_floor` is 0.0"),
        ({"row": torch.tensor([1])}, "`row` has shape"),
        ({"count": torch.tensor([51])}, "`count` has shape.*up to 50"),
        ({"count": torch.tensor([50, 50])}, "`count` has shape"),
    ],
)
def test_numbers_of_a_fit_out_of_range(fit, numbers, words):
    with pytest.raises(ValueError, match=words):
        fit(X, Y, TRUTH, 2, **numbers)


@pytest.mark.parametrize(
    ("place", "value", "error", "words"),
    [
        ("variances", torch.tensor([0.3, 0.0, 0.5]), ValueError, "`variances` holds 0.0.*above 0"),
        ("variances", torch.tensor([0.3, -1.0, 0.5]), ValueError, "`variances` holds -1.0"),
        ("variances", torch.tensor([0.3, math.nan, 0.5]), ValueError, "`variances` holds 1"),
        ("gate_slopes", torch.full((3, 1), math.inf), ValueError, "`gate_slopes` holds 3"),
        ("gate_slopes", torch.ones(3, 2), ValueError, "`gate_slopes` has shape"),
        ("intercepts", torch.ones(2), ValueError, "`intercepts` has shape"),
        ("gate_biases", torch.ones(3, dtype=torch.int64), TypeError, "`gate_biases`"),
        ("slopes", [[1.0]], TypeError, "`slopes` is list.*Mixture.of"),
    ],
)
def test_parameters_that_make_no_mixture(place, value, error, words):
    names = ("gate_slopes", "gate_biases", "slopes", "intercepts", "variances")
    parts = dict(zip(names, TRUTH.tensors(), strict=True)) | {place: value}
    with pytest.raises(error, match=words):
        Mixture(**parts)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: log_density(NAN, Y, TRUTH, 2), "`inputs` holds 50"),
        (lambda: log_density(X, Y / 0, TRUTH, 2), "`targets` holds 50"),
        (lambda: log_density(X, Y[:3], TRUTH, 2), "`targets` has shape"),
        (lambda: log_density(X[:0], Y[:0], TRUTH, 2), r"`len\(inputs\)` is 0"),
        (lambda: topk_log_gate(torch.ones(3, 2), TRUTH, 2), "`inputs` has 2 dimensions"),
        (lambda: select(torch.tensor([math.nan, 1.0]), 1), "`scores` holds 1"),
        (lambda: sample_targets(X, MANY, 2), "`mixture` holds 2 fits"),
        (lambda: active_sets(X, MANY, 2), "`mixture` holds 2 fits"),
        (lambda: TRUTH[0], "single fit"),
        (lambda: stack([]), "`mixtures` is empty"),
        (lambda: fix_gauge(TRUTH, 3), "`expert` is 3"),
        (lambda: split_expert(TRUTH, 3), "`expert` is 3"),
        (lambda: split_expert(TRUTH, 0, 0.3), "`offset` is 0.3.*0.3.*Pass less"),
        (lambda: split_expert(MANY, 0), "`mixture` holds several fits"),
        (lambda: voronoi_cells(TRUTH, MANY), "`truth` holds 2 fits"),
        (lambda: voronoi_cells(TRUTH, drawn(3, 2)), "`fitted` has 1 dimensions"),
        (lambda: solution_order(0), "`atoms` is 0"),
        (lambda: solution_order(4), "`atoms` is 4.*at least 7"),
        (lambda: polynomial_system(*[torch.ones(2)] * 5, 0), "`order` is 0"),
        (lambda: hellinger(X, MANY, TRUTH, 2, 2), "`first` holds 2 fits"),
        (lambda: hellinger(X, TRUTH, TRUTH, 2, 2, places=4), "`places` is 4"),
        (lambda: hellinger(X, TRUTH, NARROW, 2, 1), "`places` is 1024.*Pass .* or more"),
        (lambda: sampled_distance(X[:1], TRUTH, TRUTH, 2, 2), r"`len\(inputs\)` is 1"),
        (lambda: kmeans_starts(X, Y, 13, 1), r"`len\(inputs\)` is 50.*at least 52"),
        (lambda: kmeans_starts(X, Y, 0, 1), "`experts` is 0"),
        (lambda: kmeans_starts(X, Y, 2, 0), "`starts` is 0"),
        (lambda: kmeans_starts(NAN, Y, 2, 1), "`inputs` holds 50"),
        (lambda: starts_near(TRUTH, 0, scale=1.0), "`starts` is 0"),
        (lambda: starts_near(TRUTH, 1, scale=-1.0), "`scale` is -1.0"),
        (lambda: starts_near(MANY, 1, scale=1.0), "`mixture` holds 2 fits"),
    ],
)
def test_errors_name_argument_value_and_remedy(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert len(str(caught.value)) < 400


def test_a_cell_of_four_has_no_known_exponent():
    four = TRUTH
    for _ in range(3):
        four = split_expert(four, 1, 0.01)
    assert voronoi_loss(four, TRUTH, 2) > 0
    with pytest.raises(ValueError, match="`atoms` is 4"):
        voronoi_loss(four, TRUTH, 2, kind="over")
