"""Calibration agrees with scikit-learn, with loops, with exact enumeration and with a minimiser."""

import itertools
import math

import numpy as np
import pytest
import torch
from l2s.metrics import calibration_error, fit_temperature, reliability, top_label
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest
from sklearn.calibration import calibration_curve


def forecasts(samples=400, *, seed=0, power=1.0, steps=None):
    """Confidences, and answers that are right with confidence ** power."""
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.rand(samples, generator=generator, dtype=torch.float64)
    if steps:  # so that some fall on the edge of a bin
        confidence = (confidence * steps).round() / steps
    coins = torch.rand(samples, generator=generator, dtype=torch.float64)
    return confidence, coins < confidence**power


def looped_error(confidence, correct, bins):
    total = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        inside |= (confidence == 0) & (b == 0)
        if inside.any():
            gap = correct[inside].double().mean() - confidence[inside].double().mean()
            total += float(inside.double().mean() * gap.abs())
    return total


@pytest.mark.parametrize("bins", [1, 2, 7, 16])
@pytest.mark.parametrize("steps", [None, 16])
def test_bins_are_scikit_learns(bins, steps):
    confidence, correct = forecasts(steps=steps)
    found = reliability(confidence, correct, bins=bins)
    accuracy, mean = calibration_curve(correct.numpy(), confidence.numpy(), n_bins=bins)
    filled = found.count > 0
    np.testing.assert_allclose(found.accuracy[filled], accuracy, atol=1e-12)
    np.testing.assert_allclose(found.confidence[filled], mean, atol=1e-12)
    assert int(found.count.sum()) == 400
    assert found.edges.tolist() == pytest.approx([b / bins for b in range(bins + 1)])
    assert bool(found.accuracy[~filled].isnan().all())


@pytest.mark.parametrize("bins", [1, 5, 16])
def test_error_is_the_looped_one(bins):
    for seed in range(3):
        confidence, correct = forecasts(seed=seed, power=2.0, steps=16)
        found = calibration_error(confidence, correct, bins=bins, resamples=2)
        assert found.value == pytest.approx(looped_error(confidence, correct, bins), abs=1e-12)
        bias = (confidence - correct.double()).mean()
        assert found.signed == pytest.approx(float(bias), abs=1e-12)
    one = calibration_error(confidence, correct, bins=1, resamples=2)
    assert one.value == pytest.approx(abs(one.signed))


def test_error_bar_is_the_spread_over_fresh_samples():
    errors = [calibration_error(*forecasts(seed=s, power=2.0), resamples=2) for s in range(300)]
    truth = np.std([e.value for e in errors])
    generator = torch.Generator().manual_seed(0)
    told = [
        calibration_error(*forecasts(seed=s, power=2.0), resamples=300, generator=generator)
        for s in range(10)
    ]
    assert np.mean([e.standard_error for e in told]) == pytest.approx(truth, rel=0.2)


def test_bootstrap_in_one_bin_is_the_binomial_formula():
    """With one bin and one confidence above the accuracy, the error is a mean of coins."""
    confidence = torch.full((200,), 0.95, dtype=torch.float64)
    correct = torch.arange(200) < 120
    generator = torch.Generator().manual_seed(0)
    found = calibration_error(confidence, correct, bins=1, resamples=4000, generator=generator)
    assert found.standard_error == pytest.approx(math.sqrt(0.6 * 0.4 / 200), rel=0.05)


def test_chance_is_the_exact_mean_for_one_confidence():
    count, p = 20, 0.7
    exact = sum(abs(k / count - p) * binom.pmf(k, count, p) for k in range(count + 1))
    confidence = torch.full((count,), p, dtype=torch.float64)
    correct = torch.arange(count) < 14
    generator = torch.Generator().manual_seed(0)
    found = calibration_error(confidence, correct, resamples=20_000, generator=generator)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.chance == pytest.approx(exact, rel=0.02)
    values = sorted(abs(k / count - p) for k in range(count + 1))
    tail = [
        sum(binom.pmf(k, count, p) for k in range(21) if abs(k / count - p) > v) for v in values
    ]
    limit = next(v for v, t in zip(values, tail, strict=True) if t <= 0.05)
    assert found.chance_95 == pytest.approx(limit, abs=1e-9)


def test_calibrated_forecasts_exceed_their_95_percent_level_once_in_twenty():
    generator = torch.Generator().manual_seed(1)
    above = [
        (e := calibration_error(*forecasts(200, seed=s), generator=generator, resamples=200)).value
        > e.chance_95
        for s in range(400)
    ]
    assert 0.02 < np.mean(above) < 0.09
    wrong = calibration_error(*forecasts(200, power=2.0), generator=generator)
    assert wrong.value > 1.4 * wrong.chance_95


def test_draws_in_pieces_are_the_draws_in_one(monkeypatch):
    confidence, correct = forecasts(50)
    whole = calibration_error(confidence, correct, resamples=4000)
    monkeypatch.setattr("l2s.metrics.calibration._AT_ONCE", 120)
    pieces = calibration_error(confidence, correct, resamples=4000)
    assert pieces.value == whole.value
    assert pieces.standard_error == pytest.approx(whole.standard_error, rel=0.1)
    assert pieces.chance == pytest.approx(whole.chance, rel=0.1)


def test_interval_of_an_accuracy_is_the_longer_arm_of_wilsons():
    confidence, correct = forecasts()
    found = reliability(confidence, correct, bins=6)
    for b in range(6):
        right = int((found.accuracy[b] * found.count[b]).round())
        low, high = binomtest(right, int(found.count[b])).proportion_ci(method="wilson")
        arm = max(high - float(found.accuracy[b]), float(found.accuracy[b]) - low)
        assert float(found.accuracy_error[b]) == pytest.approx(arm, abs=1e-7)


def test_top_label_takes_the_first_of_the_highest():
    p = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
    confidence, correct = top_label(p, torch.tensor([1, 2]))
    assert confidence.tolist() == pytest.approx([0.5, 0.6])
    assert correct.tolist() == [True, False]


@pytest.mark.parametrize("scale", [0.2, 1.0, 6.0])
def test_temperature_is_the_minimisers_and_undoes_a_scale(scale):
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(500, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]

    def nll(log_t):
        return float(torch.nn.functional.cross_entropy(scale * logits / math.exp(log_t), labels))

    found = fit_temperature(scale * logits, labels)
    best = minimize_scalar(nll, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    assert math.log(found) == pytest.approx(best.x, abs=1e-4)
    assert found == pytest.approx(scale * fit_temperature(logits, labels), rel=1e-9)
    assert fit_temperature(scale * logits + 7, labels) == pytest.approx(found, rel=1e-9)


def test_temperature_has_ends():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert fit_temperature(logits, torch.tensor([0, 1])) == pytest.approx(1e-3)
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(1e3)


BAD = torch.tensor([0.5, math.nan]), torch.tensor([0.5, 1.2]), torch.tensor([-0.1, 0.2])


@pytest.mark.parametrize(("function", "confidence"), list(itertools.product(range(2), BAD)))
def test_bad_confidences_are_named(function, confidence):
    with pytest.raises(ValueError, match="`confidence`"):
        (reliability, calibration_error)[function](confidence, torch.tensor([True, False]))


def test_other_bad_input_is_named():
    confidence, correct = forecasts(4)
    with pytest.raises(ValueError, match="`bins` is 0"):
        reliability(confidence, correct, bins=0)
    with pytest.raises(ValueError, match="`resamples` is 1"):
        calibration_error(confidence, correct, resamples=1)
    with pytest.raises(ValueError, match="`correct` has shape"):
        reliability(confidence, correct[:3])
    with pytest.raises(TypeError, match="`correct` has dtype"):
        reliability(confidence, correct.long())
    with pytest.raises(ValueError, match=r"`len\(confidence\)` is 0"):
        reliability(confidence[:0], correct[:0])
    with pytest.raises(ValueError, match="`labels` reaches from 0 to 3"):
        top_label(torch.full((2, 3), 0.3), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="`probabilities` reaches"):
        top_label(torch.randn(2, 3) - 5, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="`labels` reaches from -1"):
        fit_temperature(torch.randn(2, 3), torch.tensor([-1, 0]))
    with pytest.raises(ValueError, match="`logits` holds 1"):
        fit_temperature(torch.tensor([[math.inf, 0.0]]), torch.tensor([0]))
