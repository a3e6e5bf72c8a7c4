"""Real loops, networks, problems and curves."""

import numpy as np
import pytest
import torch
from l2s.generalization.double_descent import (
    TwoLayerNetwork,
    decompose,
    descent_filter,
    epoch_wise,
    model_wise,
    noisy_digits,
    preprocess,
    random_features,
    readout,
    ridge_filter,
    sample_wise,
    tangent_features,
    train_to_error,
    two_layer_threshold,
)
from l2s.train import DivergedError
from torch import nn
from torch.testing import assert_close


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(4)


@pytest.fixture
def data(generator):
    return (
        torch.randn(24, 6, generator=generator, dtype=torch.float64),
        torch.randn(24, 2, generator=generator, dtype=torch.float64),
    )


def both(function):
    """The minimum norm and a ridge, as filters."""
    return function(lambda s: ridge_filter(s.eigenvalues, [0.0, 0.1]))


def test_a_batch_of_all_rows_is_gradient_descent(data):
    x, y = data
    found = []
    for batch in (None, 24):
        layer = readout(6, 2)
        sgd = torch.optim.SGD(layer.parameters(), lr=0.3)
        run = train_to_error(layer, x, y, optimizer=sgd, steps=30, batch=batch)
        found.append((layer.weight.detach(), run.errors))
    assert_close(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1])


def test_torch_momentum_is_heavy_ball(data):
    x, y = data
    layer = readout(6, 2)
    sgd = torch.optim.SGD(layer.parameters(), lr=0.3, momentum=0.8)
    run = train_to_error(layer, x, y, optimizer=sgd, steps=50)
    spectrum = decompose(x, y)
    e = descent_filter(spectrum.eigenvalues, range(51), step_size=0.3, momentum=0.8)
    np.testing.assert_allclose(run.errors, spectrum.training_error(e), rtol=1e-10)


def test_adam_is_the_textbook_one(data):
    x, y = data
    layer = readout(6, 2)
    adam = torch.optim.Adam(layer.parameters(), lr=0.01)
    train_to_error(layer, x, y, optimizer=adam, steps=40)
    w = m = v = torch.zeros(6, 2, dtype=torch.float64)
    for step in range(1, 41):
        g = x.T @ (x @ w - y) / len(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.01 * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    assert_close(layer.weight.detach().T, w)


def test_an_epoch_sees_every_row_once(generator):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
            self.seen = []

        def forward(self, x):
            if torch.is_grad_enabled():
                self.seen.append(x[:, 0].tolist())
            return x @ self.weight

    model = Counts()
    x = torch.arange(10, dtype=torch.float64)[:, None]
    sgd = torch.optim.SGD(model.parameters(), lr=1e-4)
    run = train_to_error(model, x, x, optimizer=sgd, steps=6, batch=4, generator=generator)
    assert [len(rows) for rows in model.seen] == [4, 4, 2, 4, 4, 2]
    for epoch in (model.seen[:3], model.seen[3:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(10))
    assert model.seen[:3] != model.seen[3:]
    assert run.at.tolist() == [0, 3, 6]


def test_the_run_stops_at_the_stated_error_and_says_so(data):
    x, y = data
    floor = decompose(x, y).floor
    layer = readout(6, 2)
    adam = torch.optim.Adam(layer.parameters(), lr=0.05)
    run = train_to_error(layer, x, y, optimizer=adam, steps=5000, until=floor + 0.01)
    assert run.reached
    assert run.errors[-1] <= floor + 0.01 < run.errors[-2]
    again = train_to_error(layer, x, y, optimizer=adam, steps=5, until=floor / 2)
    assert (again.steps, again.reached) == (5, False)
    at_once = train_to_error(layer, x, y, optimizer=adam, steps=5, until=100.0)
    assert (at_once.steps, at_once.reached) == (0, True)


def test_a_diverging_run_is_an_error(data):
    x, y = data
    layer = readout(6, 2)
    sgd = torch.optim.SGD(layer.parameters(), lr=100.0)
    with pytest.raises(DivergedError, match="learning rate 100"):
        train_to_error(layer, x, y, optimizer=sgd, steps=1000)


@pytest.mark.parametrize("normalize", ["none", "layer", "batch"])
def test_tangent_features_are_finite_differences(normalize, generator):
    network = TwoLayerNetwork(
        5, 4, 2, activation="tanh", normalize=normalize, generator=generator
    ).double()
    x = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    z = tangent_features(network, x)
    network.eval()
    values = nn.utils.parameters_to_vector(network.parameters()).detach()
    direction = torch.randn(len(values), generator=generator, dtype=torch.float64)
    sides = []
    for sign in (1, -1):
        nn.utils.vector_to_parameters(values + sign * 1e-5 * direction, network.parameters())
        sides.append(network(x).detach().flatten())
    assert_close(z @ direction, (sides[0] - sides[1]) / 2e-5, rtol=1e-6, atol=1e-8)


def test_initial_weights_have_the_stated_spread(generator):
    for scale in (1.0, 0.1):
        network = TwoLayerNetwork(400, 300, 200, scale=scale, generator=generator)
        assert network.hidden.weight.std().item() == pytest.approx(scale / 20, rel=0.01)
        assert network.readout.weight.std().item() == pytest.approx(scale / 300**0.5, rel=0.02)
        assert not network.hidden.bias.any()
        assert not network.readout.bias.any()


def test_the_threshold_counts_parameters():
    width = two_layer_threshold(200, dim=61, outputs=10)
    assert width * 62 + 10 * (width + 1) == pytest.approx(2000)


def test_digits_have_centred_targets_known_noise_and_no_row_twice(generator):
    problem = noisy_digits(150, noise=0.3, generator=generator)
    assert_close(problem.targets.mean(0), torch.zeros(10, dtype=torch.float64))
    flipped = problem.noise.abs().sum(1) > 0
    assert 0.2 < flipped.double().mean() < 0.4
    clean = problem.targets - problem.noise
    apart = torch.cdist(clean, clean)  # clean targets are one-hot up to a shift
    assert_close(apart, (2**0.5 * (apart > 1)).double(), atol=1e-6, rtol=0)
    assert_close(problem.noise.abs().sum(1), 2 * flipped.double())
    assert not noisy_digits(150, noise=0.0, generator=generator).noise.any()
    rows = torch.cat([problem.inputs, problem.test_inputs])
    assert len(rows) == 1797
    assert (torch.cdist(problem.inputs, problem.test_inputs) > 0.1).all()


def test_preprocessing_uses_the_training_rows_alone(data, generator):
    train = data[0] * 3 + 2
    test = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    a, b = preprocess(train, test, "standardise")
    assert_close(a.mean(0), torch.zeros(6, dtype=torch.float64))
    assert_close(a.square().mean(0), torch.ones(6, dtype=torch.float64))
    assert_close(b, (test - train.mean(0)) / train.std(0, correction=0))
    a, b = preprocess(train, test, "centre")
    assert_close(a, train - train.mean(0))
    assert_close(b, test - train.mean(0))
    assert preprocess(train, test, "none")[0] is train


def test_a_constant_column_is_dropped():
    train = torch.tensor([[1.0, 0.1], [2.0, 0.1], [4.0, 0.1]])
    a, b = preprocess(train, torch.ones(2, 2), "standardise")
    assert a.shape == (3, 1)
    assert b.shape == (2, 1)


def test_a_test_error_peaks_where_width_meets_samples(generator):
    problem = noisy_digits(60, generator=generator)
    curve = both(lambda f: model_wise(problem, [20, 60, 400], f, generator=generator))
    least, ridge = curve.test.T
    assert least[1] > 5 * max(least[0], least[2])
    assert ridge[1] < 1.5 * max(ridge[0], ridge[2])
    assert curve.condition_number.argmax() == 1
    assert (curve.training[1:, 0] < 1e-12).all()


def test_more_rows_hurt_where_they_meet_the_width(generator):
    problem = noisy_digits(400, generator=generator)
    curve = both(lambda f: sample_wise(problem, [30, 100, 400], 100, f, generator=generator))
    assert curve.test[1, 0] > 5 * max(curve.test[0, 0], curve.test[2, 0])
    assert curve.axis.tolist() == [30, 100, 400]


def test_sample_wise_curves_share_their_features():
    problem = noisy_digits(100, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    curve = both(lambda f: sample_wise(problem, [50, 50], 70, f, generator=generator))
    np.testing.assert_array_equal(curve.test[0], curve.test[1])


def test_the_curve_over_steps_is_a_real_loop(generator):
    problem = noisy_digits(40, generator=torch.Generator().manual_seed(0))
    curve = epoch_wise(
        problem, [0, 5, 60], 30, relative_step=1.5, generator=torch.Generator().manual_seed(1)
    )
    layer = random_features(problem.inputs.shape[1], 30, generator=torch.Generator().manual_seed(1))
    z, zt = layer(problem.inputs), layer(problem.test_inputs)
    top = float(decompose(z, problem.targets).eigenvalues[0])
    model = readout(30, 10)
    sgd = torch.optim.SGD(model.parameters(), lr=1.5 / top)
    train_to_error(model, z, problem.targets, optimizer=sgd, steps=60)
    test = (model(zt) - problem.test_targets).square().sum(1).mean()
    assert curve.test[2, 0] == pytest.approx(test.item())
    assert (np.diff(curve.training[:, 0]) < 0).all()
