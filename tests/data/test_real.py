# ruff: noqa: NPY002  (the global streams are what is tested)
"""Packaged data come in fixed, disjoint splits, and loading them leaves no trace."""

import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from l2s.data import digits, mnist1d
from mnist1d.data import get_dataset_args, make_dataset
from sklearn.datasets import load_digits

SPLITS = ("train", "validation", "test")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_digits_splits_are_disjoint_and_hold_every_image():
    data = digits()
    stored = load_digits()
    rows = [
        (image.flatten().tolist(), label.item())
        for split in SPLITS
        for image, label in zip(
            (getattr(data, split).images * 16).int(), getattr(data, split).labels, strict=True
        )
    ]
    expected = [
        (row.tolist(), label) for row, label in zip(stored.data, stored.target, strict=True)
    ]
    assert sorted(rows) == sorted(expected)


def test_digits_are_unit_range_and_held_out_splits_are_balanced():
    data = digits()
    for split in SPLITS:
        part = getattr(data, split)
        assert part.images.dtype == torch.float32
        assert part.labels.dtype == torch.int64
        assert part.images.shape == (len(part), 1, 8, 8)
        assert part.images.min() == 0
        assert part.images.max() == 1
    assert data.validation.labels.bincount().tolist() == [30] * 10
    assert data.test.labels.bincount().tolist() == [30] * 10


def test_the_digits_splits_never_change():
    test = digits().test
    digest = hashlib.sha256((test.images * 16).byte().numpy().tobytes()).hexdigest()
    assert digest[:16] == "bd40b63f02188330"


def test_a_generator_draws_other_digits_splits_of_the_same_sizes():
    fixed, first, again = digits(), digits(generator=seeded()), digits(generator=seeded())
    assert torch.equal(first.test.images, again.test.images)
    assert not torch.equal(first.test.images, fixed.test.images)
    assert len(first.train) == len(fixed.train) == 1197
    assert first.test.labels.bincount().tolist() == [30] * 10


def test_mnist1d_is_the_packages_own_data_in_three_splits():
    settings = get_dataset_args()
    settings.num_samples = 200
    expected = make_dataset(settings)
    data = mnist1d(samples=200)
    assert [len(getattr(data, split)) for split in SPLITS] == [120, 40, 40]
    signals = torch.cat([data.train.signals, data.validation.signals]).numpy()
    np.testing.assert_allclose(signals, expected["x"], rtol=1e-6)
    np.testing.assert_allclose(data.test.signals.numpy(), expected["x_test"], rtol=1e-6)
    assert data.test.labels.tolist() == expected["y_test"].tolist()
    assert data.train.signals.dtype == torch.float32
    labels = torch.cat([getattr(data, split).labels for split in SPLITS])
    assert labels.bincount().tolist() == [20] * 10


def test_mnist1d_leaves_the_global_streams_alone_and_ignores_them():
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.rand()
    random.seed(5)
    np.random.seed(5)
    first = mnist1d(samples=50)
    assert (random.random(), np.random.rand()) == expected
    assert torch.equal(first.train.signals, mnist1d(samples=50).train.signals)


def test_a_generator_draws_other_signals():
    fixed = mnist1d(samples=50)
    first, again, other = (mnist1d(samples=50, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.train.signals, again.train.signals)
    assert not torch.equal(first.train.signals, other.train.signals)
    assert not torch.equal(first.train.signals, fixed.train.signals)


@pytest.mark.parametrize("samples", [-10, 0, 40, 55])
def test_bad_sizes_are_named(samples):
    with pytest.raises(ValueError, match=rf"`samples` is {samples}"):
        mnist1d(samples=samples)


def test_a_wrong_generator_is_named():
    with pytest.raises(TypeError, match="`generator` is 3"):
        digits(generator=3)
    with pytest.raises(TypeError, match="`generator` is 3"):
        mnist1d(generator=3)


def test_heavy_packages_are_loaded_only_where_they_are_used():
    code = (
        "import sys, l2s.data, l2s.metrics, l2s.train; l2s.data.see_also();"
        "heavy = ('matplotlib', 'sklearn', 'scipy', 'mnist1d');"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
