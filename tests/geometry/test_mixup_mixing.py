"""Mixed samples hold what they say: one-hot inputs are their own targets, pixels are counted."""

import math

import numpy as np
import pytest
import torch
from l2s.geometry.mixup import cutmix, manifold_mixup, mixup, soft_targets
from scipy.stats import beta, kstest
from torch import nn
from torch.testing import assert_close

LABELS = torch.tensor([0, 1, 2, 3, 1, 0])


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def seen(labels=LABELS, height=8, width=6):
    """Images whose every pixel is the one-hot class, one channel a class."""
    return torch.eye(4)[labels][:, :, None, None].expand(-1, -1, height, width).clone()


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("concentration", [1e-3, 0.2, 1.0, 8.0])
def test_mixup_of_one_hot_inputs_is_their_target(per_sample, concentration):
    for seed in range(5):
        mixed = mixup(
            seen(),
            LABELS,
            concentration=concentration,
            per_sample=per_sample,
            generator=source(seed),
        )
        assert_close(mixed.values[:, :, 3, 2], mixed.targets(4))
        assert torch.equal(mixed.first, LABELS)
        assert sorted(mixed.second.tolist()) == sorted(LABELS.tolist())
        assert (len(set(mixed.share.tolist())) > 1) <= per_sample


def test_targets_are_the_loops_and_keep_the_dtype():
    share = torch.tensor([0.25, 0.6, 1.0], dtype=torch.float64)
    i, j = torch.tensor([0, 2, 1]), torch.tensor([3, 2, 0])
    y = soft_targets(i, j, share, classes=4)
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for row in range(3):
        expected[row, i[row]] += share[row]
        expected[row, j[row]] += 1 - share[row]
    assert_close(y, expected)


@pytest.mark.parametrize("concentration", [0.2, 1.0, 3.0])
def test_shares_are_beta_distributed(concentration):
    x = torch.zeros(4000, 1)
    found = mixup(
        x,
        torch.zeros(4000).long(),
        concentration=concentration,
        per_sample=True,
        generator=source(),
    )
    assert (
        kstest(found.share.double().numpy(), beta(concentration, concentration).cdf).pvalue > 0.01
    )
    alike = [mixup(x[:2], LABELS[:2], generator=source(s)).share[0].item() for s in range(500)]
    assert kstest(alike, "uniform").pvalue > 0.01


def test_one_generator_one_result():
    for function in (mixup, cutmix):
        one, two, other = (function(seen(), LABELS, generator=source(s)) for s in (3, 3, 4))
        assert torch.equal(one.values, two.values)
        assert not torch.equal(one.values, other.values)
    state = torch.get_rng_state()
    mixup(seen(), LABELS, generator=source())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("per_sample", [False, True])
def test_cutmix_counts_its_pixels_and_pastes_one_box(per_sample):
    for seed in range(20):
        mixed = cutmix(seen(), LABELS, per_sample=per_sample, generator=source(seed))
        assert_close(mixed.values.mean((2, 3)), mixed.targets(4))
        assert bool(((mixed.values == 0) | (mixed.values == 1)).all())
        pasted = mixed.values[torch.arange(6), LABELS] == 0  # what is not of the first class
        for box, i, j in zip(pasted, mixed.first, mixed.second, strict=True):
            rows, columns = box.any(1), box.any(0)
            assert torch.equal(box, rows[:, None] & columns) or i == j
            for side in (rows, columns):  # without a gap
                assert int((side.int().diff() == 1).sum() + side[0]) <= 1


def test_cutmix_box_has_the_drawn_size_where_nothing_is_cut_off(monkeypatch):
    """With the centre in the middle, 1 - share is the rounded box over the image."""
    monkeypatch.setattr(torch, "randint", _middle(torch.randint))
    images = torch.zeros(1, 1, 40, 20)
    for seed in range(10):
        drawn = mixup(images, torch.tensor([0]), generator=source(seed)).share.item()
        share = cutmix(images, torch.tensor([0]), generator=source(seed)).share.item()
        cut = math.sqrt(1 - drawn)
        assert 1 - share == pytest.approx(round(40 * cut) * round(20 * cut) / 800, abs=1e-6)


def _middle(randint):
    def drawn(high, size, **options):
        value = randint(high, size, **options)
        return torch.full(size, high // 2) if high < 1000 else value

    return drawn


def test_cutmix_reaches_every_pixel():
    x = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 5, 5)
    hit = torch.zeros(5, 5)
    for seed in range(300):
        mixed = cutmix(x, torch.tensor([0, 1]), generator=source(seed))
        hit += mixed.values[0, 0]
    assert hit.min() > 0


def test_manifold_mixup_at_the_input_is_mixup_and_at_the_end_mixes_outputs():
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    x = torch.eye(4)[LABELS]
    drawn = source(1)
    torch.randint(1, (1,), generator=drawn)  # the draw of the layer
    plain = mixup(x, LABELS, generator=drawn)
    first = manifold_mixup(network, x, LABELS, eligible=[0], generator=source(1))
    assert_close(first.values, network(plain.values))
    assert_close(first.share, plain.share)
    last = manifold_mixup(network, x, LABELS, eligible=[3], generator=source(1))
    whole = network(x)
    share = last.share[:, None]
    partner = torch.stack([(whole[k] == whole).all(1) for k in range(6)])  # equal inputs
    assert bool(partner.any())
    by_class = network(torch.eye(4))
    assert_close(last.values, share * whole + (1 - share) * by_class[last.second])


def test_manifold_mixup_visits_the_eligible_layers():
    visited = []

    class Spy(nn.Module):
        def __init__(self, place):
            super().__init__()
            self.place = place

        def forward(self, x):
            # One-hot rows that have been mixed are no longer one-hot.
            visited.append((self.place, bool((x.amax(1) < 1).any())))
            return x

    layers = [Spy(place) for place in range(3)]
    mixed_first = []
    for seed in range(40):
        visited.clear()
        manifold_mixup(layers, torch.eye(8), torch.arange(8), generator=source(seed))
        mixed_first.append(next((place for place, mixed in visited if mixed), None))
    assert {0, 1, 2} <= set(mixed_first)
    assert None not in mixed_first


def test_features_of_half_precision_stay_so_and_gradients_flow():
    x = torch.randn(4, 3, dtype=torch.bfloat16, requires_grad=True)
    mixed = mixup(x, torch.arange(4), generator=source())
    assert mixed.values.dtype == torch.bfloat16
    assert mixed.share.dtype == torch.float32
    mixed.values.sum().backward()
    np.testing.assert_allclose(x.grad.float(), 1, atol=0.02)  # each sample is used once in all


@pytest.mark.parametrize("function", [mixup, cutmix])
def test_bad_input_of_mixing(function):
    with pytest.raises(ValueError, match="`concentration` is 0"):
        function(seen(), LABELS, concentration=0.0)
    with pytest.raises(ValueError, match="`concentration` is -1"):
        function(seen(), LABELS, concentration=-1.0)
    with pytest.raises(ValueError, match=r"`len\(inputs\)` is 0"):
        function(seen()[:0], LABELS[:0])
    with pytest.raises(ValueError, match="`labels` reaches from -1"):
        function(seen(), LABELS - 1)
    with pytest.raises(ValueError, match="`labels` has shape"):
        function(seen(), LABELS[:3])
    with pytest.raises(TypeError, match="`labels` has dtype"):
        function(seen(), LABELS.float())


def test_bad_input_of_targets_and_layers():
    share = torch.tensor([0.5])
    with pytest.raises(ValueError, match="`share` reaches from 1.5"):
        soft_targets(LABELS[:1], LABELS[:1], share + 1, classes=4)
    with pytest.raises(ValueError, match="`share` reaches from nan"):
        soft_targets(LABELS[:1], LABELS[:1], share * math.nan, classes=4)
    with pytest.raises(ValueError, match="`second` reaches from 3 to 3"):
        soft_targets(LABELS[:1], LABELS[3:4], share, classes=3)
    with pytest.raises(ValueError, match="`classes` is 1"):
        soft_targets(LABELS[:1], LABELS[:1], share, classes=1)
    network = nn.Sequential(nn.Identity())
    with pytest.raises(ValueError, match="`eligible` is 2"):
        manifold_mixup(network, torch.eye(2), torch.arange(2), eligible=[2])
    with pytest.raises(ValueError, match=r"`len\(eligible\)` is 0"):
        manifold_mixup(network, torch.eye(2), torch.arange(2), eligible=[])
