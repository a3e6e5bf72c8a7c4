"""Each misuse is an error that names the argument, its value and the remedy; none becomes NaN."""

import math
import warnings

import pytest
import torch
from l2s.generalization.high_dimensional import (
    deep_linear_flow,
    effective_parameters,
    finite_generalization_error,
    finite_training_error,
    frozen_subspace,
    generalization_error,
    gradient_flow,
    mode_stopping_time,
    mp_cdf,
    mp_density,
    mp_edges,
    mp_nodes,
    mp_quantile,
    mp_sample,
    mp_stieltjes,
    optimal_ridge,
    optimal_stopping_time,
    rademacher_bound,
    ridge_error,
    theory_time,
    theory_variance,
    training_error,
    travel,
)

X = torch.eye(2, dtype=torch.float64)
Y = torch.ones(2, dtype=torch.float64)
NAN = torch.tensor([math.nan, 1.0])
CURVES = [
    generalization_error,
    training_error,
    travel,
    rademacher_bound,
]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    ("time", "ratio", "numbers", "words"),
    [
        (1.0, 0.0, {}, "`ratio` holds 0.0.*above 0.*P / N"),
        (1.0, -2, {}, "`ratio` holds -2.0"),
        (1.0, math.inf, {}, "`ratio` holds inf"),
        (1.0, torch.tensor([0.5, math.nan]), {}, "`ratio` holds nan"),
        (-0.1, 1.0, {}, "`time` holds -0.1.*at least 0.*math.inf"),
        (NAN, 1.0, {}, "`time` holds nan"),
        (torch.ones(0), 1.0, {}, "`time` is empty"),
        (1.0, torch.ones(0), {}, "`ratio` is empty"),
        (1.0, 1.0, {"noise": -0.2}, "`noise` is -0.2.*at least 0"),
        (1.0, 1.0, {"signal": -1.0}, "`signal` is -1.0"),
        (1.0, 1.0, {"signal": math.inf}, "`signal` is inf"),
        (1.0, 1.0, {"init": math.nan}, "`init` is nan"),
        (1e16, 1.0, {}, "`time` holds 1e[+]16.*math.inf"),
    ],
)
def test_curves_name_what_is_wrong(curve, time, ratio, numbers, words):
    with pytest.raises(ValueError, match=words) as caught:
        curve(time, ratio, **({"noise": 0.1} | numbers))
    assert len(str(caught.value)) < 400


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="`time`.*int64.*float"):
        generalization_error(torch.tensor([1, 2]), 1.0, noise=0.1)
    with pytest.raises(ValueError, match="`time` has shape"):
        generalization_error(torch.ones(2, 2), 1.0, noise=0.1)
    with pytest.raises(TypeError, match="`ratio`"):
        generalization_error(1.0, "half", noise=0.1)


@pytest.mark.parametrize("curve", [generalization_error, training_error])
def test_an_unstable_step_names_the_largest_stable_one(curve):
    limit = 2 / mp_edges(0.5)[1]
    with pytest.raises(ValueError, match=f"`step_size` is 0.7.*{limit:.6g}.*Pass less"):
        curve(1.4, 0.5, noise=0.1, step_size=0.7)
    with pytest.raises(ValueError, match="`step_size` is"):
        curve(limit, 0.5, noise=0.1, step_size=limit)
    assert math.isfinite(curve(0.999 * limit, 0.5, noise=0.1, step_size=0.999 * limit))
    with pytest.raises(ValueError, match="`step_size` is 0"):
        curve(1.0, 0.5, noise=0.1, step_size=0)
    with pytest.raises(ValueError, match="holds 0.35, which is no whole number of steps.*0.4"):
        curve(0.35, 0.5, noise=0.1, step_size=0.2)


def test_an_unstable_step_on_given_inputs():
    with pytest.raises(ValueError, match="diverges unless it is below 2 / λ_max = 0.5 .*4"):
        gradient_flow(2 * X, Y, 1.0, step_size=0.5)
    with pytest.raises(ValueError, match="`step_size` is 2.5.*= 2 "):
        finite_generalization_error(X, 2.5, noise=0.1, step_size=2.5)
    with pytest.raises(ValueError, match="`step_size`"):
        effective_parameters(1.0, 1.0, step_size=1.0)


def test_ratio_one_at_the_end_is_infinite_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert generalization_error(math.inf, 1.0, noise=0.1).item() == math.inf
        assert travel(math.inf, 1.0, noise=0.1).item() == math.inf
        assert rademacher_bound(math.inf, 1.0, noise=0.1, kind="naive").item() == math.inf
        assert training_error(math.inf, 1.0, noise=0.1).item() == 0
        assert mp_stieltjes(0.0, 1.0).item() == math.inf


@pytest.mark.parametrize("function", [finite_generalization_error, finite_training_error])
def test_inputs_of_another_scale_are_refused(function):
    inputs = torch.randn(50, 100, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"squared length.*sqrt\(N\) = 10.*theory_time"):
        function(inputs, 1.0, noise=0.1)
    assert function(inputs / 10, 1.0, noise=0.1) > 0
    with pytest.raises(ValueError, match="`inputs` holds 1 values that are NaN"):
        function(torch.tensor([[math.nan, 1.0]]), 1.0, noise=0.1)
    with pytest.raises(ValueError, match=r"`len\(inputs\)` is 0"):
        function(torch.ones(0, 3), 1.0, noise=0.1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mp_edges(0.0), ValueError, "`ratio` is 0.0"),
        (lambda: mp_density(math.nan, 1.0), ValueError, "`eigenvalue` holds 1"),
        (lambda: mp_cdf(torch.tensor([math.inf]), 1.0), ValueError, "`eigenvalue` holds 1"),
        (lambda: mp_quantile(1.2, 1.0), ValueError, "`probability` holds 1.2"),
        (lambda: mp_quantile(-0.1, 1.0), ValueError, "`probability` holds -0.1"),
        (lambda: mp_sample(0, 1.0), ValueError, "`count` is 0"),
        (lambda: mp_nodes(1.0, 0), ValueError, "`nodes` is 0"),
        (lambda: mp_nodes(-1.0), ValueError, "`ratio` is -1.0"),
        (lambda: mp_stieltjes(-0.1, 1.0), ValueError, "`penalty` holds -0.1"),
        (lambda: ridge_error(0.0, 1.0, noise=0.1), ValueError, "`penalty` holds 0.*math.inf"),
        (lambda: ridge_error(1.0, 0.0, noise=0.1), ValueError, "`ratio` is 0.0"),
        (lambda: optimal_ridge(1.0, noise=-1.0), ValueError, "`noise` is -1.0"),
        (lambda: optimal_stopping_time(0.0, noise=0.1), ValueError, "`ratio` is 0.0"),
        (lambda: optimal_stopping_time(1.0, noise=0.1, init=-1), ValueError, "`init` is -1"),
        (lambda: mode_stopping_time(-1.0, noise=0.1), ValueError, "`eigenvalue` holds -1.0"),
        (
            lambda: rademacher_bound(1.0, 1.0, noise=0.1, kind="best"),
            ValueError,
            "`kind` is 'best'",
        ),
        (lambda: frozen_subspace(0 * X), ValueError, "no entry but 0"),
        (lambda: frozen_subspace(X, tolerance=1.0), ValueError, "`tolerance` is 1.0"),
        (lambda: gradient_flow(X, Y[:1], 1.0), ValueError, "`targets` has shape"),
        (lambda: gradient_flow(X, Y, 1.0, start=Y[:1]), ValueError, "`start` has shape"),
        (lambda: gradient_flow(X, Y, -1.0), ValueError, "`time` holds -1.0"),
        (lambda: gradient_flow(X, NAN.double(), 1.0), ValueError, "`targets` holds 1"),
        (lambda: deep_linear_flow(X, Y, Y, start=Y), ValueError, "`time` does not rise"),
        (lambda: deep_linear_flow(X, Y, Y[:1], start=0 * Y), ValueError, "`start` is 0"),
        (lambda: deep_linear_flow(X, Y, Y[:1] / 0, start=Y), ValueError, "`time` holds 1 values"),
        (lambda: theory_time(-1, step_size=0.1, samples=2, parameters=2), ValueError, "`steps`"),
        (lambda: theory_time(1, step_size=0, samples=2, parameters=2), ValueError, "`step_size`"),
        (lambda: theory_time(1, step_size=0.1, samples=0, parameters=2), ValueError, "`samples`"),
        (
            lambda: theory_time(1, step_size=0.1, samples=2, parameters=0),
            ValueError,
            "`parameters`",
        ),
        (
            lambda: theory_time(1, step_size=0.1, samples=2, parameters=2, loss="mse"),
            ValueError,
            "`loss` is 'mse'. Pass one of 'half sum'",
        ),
        (lambda: theory_variance(-1.0, parameters=2), ValueError, "`variance` is -1.0"),
        (lambda: theory_variance(1.0, parameters=2, input_scale=0), ValueError, "`input_scale`"),
    ],
)
def test_errors_name_argument_value_and_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
