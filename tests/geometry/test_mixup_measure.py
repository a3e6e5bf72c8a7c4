"""Measures of the last layer: exact on constructed features, equal to loops, invariant."""

import math

import numpy as np
import pytest
import torch
from l2s.geometry.mixup import (
    channel_coordinates,
    classifier_plane,
    limit_norm_ratio,
    mixup_geometry,
    optimal_features,
    soft_targets,
    squared_error_features,
)
from l2s.maths import simplex_etf
from scipy.stats import linregress, pearsonr
from torch.testing import assert_close


def mixtures(classes=6, count=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(classes, (2, count), generator=generator)
    return first, second, torch.rand(count, generator=generator, dtype=torch.float64)


def frame(classes=6, dim=8):
    source = torch.Generator().manual_seed(1)
    return simplex_etf(classes, dim, length=3.0, generator=source, dtype=torch.float64)


def measured(features, means, W, pairs, **changes):
    return mixup_geometry(features, *pairs, **({"class_means": means, "classifier": W} | changes))


def test_theory_measures_as_the_theory_says():
    W, pairs = frame(), mixtures()
    y, one_hot = soft_targets(*pairs, classes=6), torch.eye(6, dtype=torch.float64)
    found = measured(
        optimal_features(y, W, feature_decay=1e-9),
        optimal_features(one_hot, W, feature_decay=1e-9),
        W,
        pairs,
    )
    assert found.same_cosine == pytest.approx(1)
    assert found.span_energy == pytest.approx(1)
    assert found.slope == pytest.approx(1, abs=1e-3)
    assert found.log_odds_correlation == pytest.approx(1, abs=1e-6)
    assert 1.1 < found.norm_ratio < limit_norm_ratio(6)
    squared = measured(
        squared_error_features(y, W, feature_decay=0.1),
        squared_error_features(one_hot, W, feature_decay=0.1),
        W,
        pairs,
    )
    assert squared.convex_r2 == pytest.approx(1)
    assert squared.share_correlation == pytest.approx(1)
    assert squared.norm_ratio == pytest.approx(limit_norm_ratio(6, loss="squared error"), abs=0.02)
    assert squared.convex_r2 > found.convex_r2 + 0.2


def test_measures_are_the_loops():
    generator = torch.Generator().manual_seed(5)
    first, second, share = pairs = mixtures(count=150)
    h = torch.randn(150, 8, generator=generator, dtype=torch.float64)
    means = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    W = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    found = measured(h, means, W, pairs)
    centred, rows = h - means.mean(0), W - W.mean(0)
    cosines, inside, whole, missed, middle, same, gaps, shares = ([] for _ in range(8))
    for x, raw, i, j, part in zip(centred, h, first, second, share, strict=True):
        if i == j:
            cosines.append(float(x @ rows[i] / x.norm() / rows[i].norm()))
            same.append(float(x.norm()))
            continue
        basis = rows[[int(i), int(j)]].T
        projected = basis @ torch.linalg.lstsq(basis, x[:, None]).solution
        inside.append(float(projected.square().sum()))
        whole.append(float(x.square().sum()))
        predicted = part * means[i] + (1 - part) * means[j] - means.mean(0)
        missed.append(float((x - predicted).square().sum()))
        if 0.4 <= part <= 0.6:
            middle.append(float(x.norm()))
        if 0.05 <= part <= 0.95:
            gaps.append(float(raw @ W[i] - raw @ W[j]))
            shares.append(float(part))
    odds = [math.log(p / (1 - p)) for p in shares]
    assert found.same_cosine == pytest.approx(np.mean(cosines))
    assert found.span_energy == pytest.approx(sum(inside) / sum(whole))
    assert found.convex_r2 == pytest.approx(1 - sum(missed) / sum(whole))
    assert found.norm_ratio == pytest.approx(np.mean(middle) / np.mean(same))
    assert found.slope == pytest.approx(linregress(odds, gaps).slope)
    assert found.log_odds_correlation == pytest.approx(pearsonr(odds, gaps)[0])
    assert found.share_correlation == pytest.approx(pearsonr(shares, gaps)[0])


def test_measures_do_not_depend_on_rotation_scale_shift_or_order():
    generator = torch.Generator().manual_seed(5)
    pairs = mixtures()
    h = torch.randn(400, 8, generator=generator, dtype=torch.float64)
    means = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    W = frame()
    found = measured(h, means, W, pairs)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(400, generator=generator)
    for other in (
        measured(h @ turn, means @ turn, W @ turn, pairs),
        measured(4 * h, 4 * means, W / 4, pairs),
        measured(h[order], means, W, [x[order] for x in pairs]),
        measured(h, means, W, (pairs[1], pairs[0], 1 - pairs[2])),
    ):
        assert list(vars(other).values()) == pytest.approx(list(vars(found).values()))
    shifted = measured(h + 1, means + 1, W, pairs)
    assert shifted.convex_r2 == pytest.approx(found.convex_r2)
    assert shifted.norm_ratio == pytest.approx(found.norm_ratio)


def test_channel_coordinates_are_the_cosines_of_a_pairs_own_axes():
    W = frame()
    first, second = torch.tensor([0, 3, 2]), torch.tensor([1, 5, 0])
    h = torch.stack([W[0] + W[1], 2 * W[3] - 2 * W[5], W[4]])
    found = channel_coordinates(h, first, second, W)
    length = [float((W[0] + W[1]).norm()), float(2 * (W[3] - W[5]).norm())]
    assert_close(found[0], torch.tensor([0.0, length[0]]).double())
    assert_close(found[1], torch.tensor([length[1], 0.0]).double())
    swapped = channel_coordinates(h, second, first, W)
    assert_close(swapped, found * torch.tensor([-1.0, 1.0]))
    assert_close(channel_coordinates(h, first, second, W + 7), found)  # softmax sees no shift


def test_plane_of_a_frame_is_an_orthogonal_projection():
    W = frame()
    plane = classifier_plane(W, classes=(4, 0, 2))
    assert_close(plane.T @ plane, torch.eye(2, dtype=torch.float64))
    rows = W[[4, 0, 2]] - W[[4, 0, 2]].mean(0)
    drawn = W[[4, 0, 2]] @ plane
    assert_close(drawn[0], torch.tensor([0.0, 1.0]).double() * rows[0].norm(), atol=1e-9, rtol=0)
    assert (W[1] @ plane).norm() < 1e-9  # the others are drawn in the middle
    uneven = torch.randn(5, 7, dtype=torch.float64)
    three = uneven[[1, 2, 3]] - uneven[[1, 2, 3]].mean(0)
    corners = three @ classifier_plane(uneven, classes=(1, 2, 3))
    assert_close(torch.pdist(corners), torch.pdist(corners).mean().expand(3))


def test_bad_input_of_measures():
    W, (first, second, share) = frame(), mixtures(count=60)
    h, means = torch.randn(60, 8, dtype=torch.float64), torch.randn(6, 8, dtype=torch.float64)

    def measure(keep=slice(None), **changes):
        arguments = {"features": h, "first": first, "second": second, "share": share} | changes
        rows = {name: value[keep] for name, value in arguments.items()}
        return mixup_geometry(**rows, class_means=means, classifier=W)

    measure()
    with pytest.raises(ValueError, match="number of same-class mixtures"):
        measure(first != second)
    with pytest.raises(ValueError, match="number of half-half mixtures"):
        measure(share=torch.full((60,), 0.9).double())
    with pytest.raises(ValueError, match="`share` reaches"):
        measure(share=share * 2)
    with pytest.raises(ValueError, match="`features` holds 1 "):
        measure(features=h.masked_fill(torch.arange(480).reshape(60, 8) == 7, math.nan))
    with pytest.raises(ValueError, match="`first` reaches"):
        measure(first=first + 3)
    with pytest.raises(ValueError, match="one class has no boundary"):
        channel_coordinates(h, first, first, W)
    with pytest.raises(ValueError, match=r"`len\(classifier\)` is 2"):
        channel_coordinates(h[:1], torch.tensor([0]), torch.tensor([1]), W[:2])
    with pytest.raises(ValueError, match="`classes` is 6"):
        classifier_plane(W, classes=(0, 1, 6))
    with pytest.raises(ValueError, match="three different"):
        classifier_plane(W, classes=(0, 1, 1))
    with pytest.raises(ValueError, match="on one line"):
        classifier_plane(torch.arange(3.0)[:, None] * torch.ones(3, 4))
