"""Bad input: each error names the argument, its value and the remedy."""

import pytest
import torch
from l2s.generalization.double_descent import (
    TwoLayerNetwork,
    collapse,
    decompose,
    descent_filter,
    epoch_wise,
    evaluate,
    largest_stable_step,
    minimum_norm_error,
    model_wise,
    noisy_digits,
    preprocess,
    random_feature_error,
    random_features,
    readout,
    ridge_filter,
    sample_wise,
    sphere_spectrum,
    steps_to_error,
    tangent_features,
    train_to_error,
    two_layer_threshold,
)

ONES = torch.ones(3)
Z, Y = torch.eye(4).double(), torch.ones(4, 2).double()
NAN = torch.tensor([[float("nan")] * 2] * 4).double()


@pytest.mark.parametrize(
    ("step_size", "momentum", "limit"),
    [(2.0, 0.0, "2"), (2.5, 0.0, "2"), (4.0, 0.9, "3.8"), (1e9, 0.5, "3")],
)
def test_an_unstable_step_size_names_the_largest_stable_one(step_size, momentum, limit):
    with pytest.raises(
        ValueError, match=rf"`step_size` is {step_size}.* below {limit}, .*Pass less"
    ):
        descent_filter(ONES, 10, step_size=step_size, momentum=momentum)
    spectrum = decompose(Z, Y)  # eigenvalues 1 / 4
    with pytest.raises(ValueError, match=rf"below {4 * float(limit):g}, "):
        steps_to_error(spectrum, 0.1, step_size=4 * step_size, momentum=momentum)


def test_a_step_size_just_below_the_limit_passes():
    limit = largest_stable_step(ONES, momentum=0.5)
    assert descent_filter(ONES, 10**6, step_size=limit * 0.999, momentum=0.5).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: random_features(0, 3), "`dim` is 0"),
        (lambda: random_features(3, 0), "`width` is 0"),
        (lambda: random_features(3, 3, activation="gelu"), "`activation` is 'gelu'.*'fourier'"),
        (lambda: random_features(3, 3, scale=0.0), "`scale` is 0.0"),
        (lambda: random_features(3, 3)(torch.ones(2, 4)), "`inputs` has 4 columns.*3"),
        (lambda: random_features(2, 3)(NAN), "`inputs` holds 8 values"),
        (lambda: decompose(Z[:1], Y[:1]), "len.features.` is 1.*two samples"),
        (lambda: decompose(Z[:, :0], Y), "`width` is 0"),
        (lambda: decompose(Z, Y[:3]), "`targets` has shape"),
        (lambda: decompose(Z, NAN), "`targets` holds 8 values"),
        (lambda: decompose(torch.zeros(4, 2), Y), "`features` are all 0"),
        (lambda: decompose(Z, Y, tolerance=2.0), "`tolerance` is 2.0"),
        (lambda: descent_filter(ONES, -1, step_size=1.0), "`steps` is -1"),
        (lambda: descent_filter(ONES, [], step_size=1.0), "`steps` is empty"),
        (lambda: descent_filter(ONES, 1, step_size=0.0), "`step_size` is 0.0"),
        (lambda: descent_filter(ONES, 1, step_size=1.0, momentum=1.0), "`momentum` is 1.0"),
        (lambda: descent_filter(ONES, 1, step_size=1.0, momentum=-0.1), "`momentum` is -0.1"),
        (lambda: descent_filter(0 * ONES, 1, step_size=1.0), "`eigenvalues` is 0.0"),
        (lambda: ridge_filter(ONES, -1.0), "`penalty` is -1.0"),
        (lambda: ridge_filter(ONES, []), "`penalty` is empty"),
        (lambda: ridge_filter(-ONES, 1.0), "`eigenvalues` is -1.0"),
        (
            lambda: steps_to_error(decompose(Z[:, :2], Y), 0.9, step_size=1.0),
            "`error` is 0.9.* leave 1",
        ),
        (lambda: evaluate(decompose(Z, Y), Z[:, :3], Y, Z), "`test_features` has 3 columns.*4"),
        (lambda: evaluate(decompose(Z, Y), Z, Y[:, :1], Z), "`test_targets` has 1 columns.*2"),
        (lambda: evaluate(decompose(Z, Y), Z, Y, Z[:, :3]), "`residuals` has 3 columns.*4"),
        (lambda: readout(0, 1), "`width` is 0"),
        (lambda: TwoLayerNetwork(3, 0, 1), "`width` is 0"),
        (lambda: TwoLayerNetwork(3, 1, 1, normalize="group"), "`normalize` is 'group'"),
        (lambda: TwoLayerNetwork(3, 1, 1, scale=-1.0), "`scale` is -1.0"),
        (lambda: two_layer_threshold(1, dim=3, outputs=1), "`samples` is 1"),
        (lambda: tangent_features(TwoLayerNetwork(2, 1, 1), NAN.float()), "`inputs` holds 8"),
        (lambda: noisy_digits(5), "`samples` is 5"),
        (lambda: noisy_digits(50, noise=1.5), "`noise` is 1.5"),
        (lambda: noisy_digits(50, how="whiten"), "`how` is 'whiten'"),
        (lambda: preprocess(Y, Y, "standardise"), "nothing but constant columns"),
        (lambda: minimum_norm_error(1, 3, signal=1.0, noise=1.0), "`samples` is 1"),
        (lambda: minimum_norm_error(9, 0, signal=1.0, noise=1.0), "`width` is 0"),
        (lambda: minimum_norm_error(9, 3, signal=1.0, noise=-1.0), "`noise` is -1.0"),
        (lambda: sphere_spectrum(2), "`dim` is 2"),
        (lambda: sphere_spectrum(9, degrees=1), "`degrees` is 1"),
        (
            lambda: random_feature_error(9, 9, eigenvalues=ONES, signal=ONES, noise=-1.0),
            "`noise` is -1.0",
        ),
        (
            lambda: random_feature_error(9, 5, eigenvalues=ONES, signal=ONES),
            "hold 3 eigenfunctions, but 5",
        ),
        (
            lambda: random_feature_error(9, 5, eigenvalues=-ONES, signal=ONES, tail=1.0),
            "`eigenvalues` holds -1.0",
        ),
        (lambda: collapse([1, 2, 3], [1, 2, 3], ["a", "b", "a"]), "is 3, but must be at least 4"),
        (lambda: collapse([1, 2, 3, 4], [1, 2, 3, 4], ["a"] * 4), "Name two series"),
        (lambda: collapse([0, 2, 3, 4], [1, 2, 3, 4], ["a", "b"] * 2), "`losses` holds 0.0"),
        (lambda: collapse([1, 2, 3, 4], [1, 2, 3], ["a", "b"] * 2), "have the shapes"),
    ],
)
def test_bad_values(call, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        call()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": 0}, "`steps` is 0"),
        ({"batch": 5}, "`batch` is 5"),
        ({"batch": 0}, "`batch` is 0"),
        ({"until": -1.0}, "`until` is -1.0"),
        ({"every": 0}, "`every` is 0"),
        ({"inputs": Z[:1], "targets": Y[:1]}, "`samples` is 1"),
        ({"targets": NAN}, "`targets` holds 8 values"),
    ],
)
def test_bad_runs(changed, words):
    model = readout(4, 2)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    arguments = {"inputs": Z, "targets": Y, "optimizer": sgd, "steps": 3, **changed}
    with pytest.raises(ValueError, match=words):
        train_to_error(model, **arguments)


def test_mixed_dtypes_are_a_type_error():
    model = readout(4, 2)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="must share one dtype"):
        train_to_error(model, Z, Y.float(), optimizer=sgd, steps=1)


def test_curves_want_an_axis_and_rows():
    problem = noisy_digits(20)

    def filters(spectrum):
        return ridge_filter(spectrum.eigenvalues, [0.0])

    with pytest.raises(ValueError, match="`widths` is empty"):
        model_wise(problem, [], filters)
    with pytest.raises(ValueError, match="`samples` is 21"):
        sample_wise(problem, [21], 5, filters)
    with pytest.raises(ValueError, match="`steps` is empty"):
        epoch_wise(problem, [], 5)
    with pytest.raises(ValueError, match="stable only below"):
        epoch_wise(problem, [1], 5, relative_step=2.0)
