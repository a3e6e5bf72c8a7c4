"""NC1 to NC4 and the streaming statistics: plain loops, constructed collapse, invariances."""

import pickle

import pytest
import torch
from l2s.geometry.neural_collapse import ClassStatistics, nc1, nc2, nc3, nc4
from l2s.maths import orthogonal_frame, simplex_etf

from tests.geometry.collapse_cases import features_of_classes, plain_covariances, plain_nc1

SIZES = [30, 12, 7, 2]


def _statistics(features, labels, classes, **options):
    statistics = ClassStatistics(classes, features.shape[1], **options)
    statistics.update(features, labels)
    return statistics


def _turn(dim, seed=0):
    normal = torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed)).double()
    return torch.linalg.qr(normal).Q


@pytest.mark.parametrize("dim", [2, 3, 9, 200])
@pytest.mark.parametrize("alike", [False, True])
def test_statistics_and_nc1_equal_plain_loops(dim, alike):
    features, labels = features_of_classes(SIZES, dim)
    options = {"class_sizes": SIZES} if alike else {}
    statistics = _statistics(features, labels, 4, **options)
    within, between = plain_covariances(features, labels, alike=alike)
    torch.testing.assert_close(statistics.within_covariance(), torch.from_numpy(within))
    for k in range(4):
        torch.testing.assert_close(statistics.class_means()[k], features[labels == k].mean(0))
    assert nc1(statistics) == pytest.approx(plain_nc1(features, labels, alike=alike), rel=1e-9)
    want = within.trace() / between.trace()
    assert nc1(statistics, variant="trace") == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 7, 20])
def test_batches_give_what_the_whole_gives(batch):
    features, labels = features_of_classes(SIZES, 6)
    whole = _statistics(features, labels, 4)
    parts = ClassStatistics(4, 6)
    for rows, own in zip(features.split(batch), labels.split(batch), strict=True):
        parts.update(rows, own)
    torch.testing.assert_close(
        parts.within_covariance(), whole.within_covariance(), rtol=1e-12, atol=1e-14
    )
    assert nc1(parts) == pytest.approx(nc1(whole), rel=1e-12)


@pytest.mark.parametrize("alike", [False, True])
def test_workers_merge_into_the_whole(alike):
    options = {"class_sizes": SIZES} if alike else {}
    features, labels = features_of_classes(SIZES, 6, offset=50.0)
    order = labels.argsort()  # some workers see some classes alone, one sees nothing
    features, labels = features[order], labels[order]
    merged = ClassStatistics(4, 6, **options)
    for start, end in [(0, 5), (5, 5), (5, 33), (33, 51)]:
        worker = ClassStatistics(4, 6, **options)
        worker.update(features[start:end], labels[start:end])
        merged.merge(pickle.loads(pickle.dumps(worker)))
        assert merged.counts.sum() == end
    whole = _statistics(features, labels, 4, **options)
    torch.testing.assert_close(merged.class_means(), whole.class_means(), rtol=1e-13, atol=0)
    torch.testing.assert_close(
        merged.within_covariance(), whole.within_covariance(), rtol=1e-10, atol=1e-13
    )
    merged.update(features[:3].float(), labels[:3])  # and it goes on, in another dtype
    assert merged.counts.sum() == 54


def test_a_large_offset_costs_no_digits_in_float32():
    features, labels = features_of_classes([2000] * 5, 20, offset=100.0, dtype=torch.float32)
    statistics = _statistics(features, labels, 5)
    assert nc1(statistics) == pytest.approx(plain_nc1(features, labels), rel=1e-5)


def test_a_deep_collapse_is_seen_in_float32():
    """Within-class deviations a million times smaller than the means are still measured."""
    features, labels = features_of_classes([500] * 4, 16, spread=0.0)
    noise = 2.0**-20 * torch.randint(
        -4, 5, features.shape, generator=torch.Generator().manual_seed(1)
    )
    means = (features * 8).round() / 8  # so that mean + noise is exact in float32
    collapsed = (means + noise).float()
    assert torch.equal(collapsed.double(), means + noise)
    got = nc1(_statistics(collapsed, labels, 4), variant="trace")
    within, between = plain_covariances(collapsed, labels)
    assert got == pytest.approx(within.trace() / between.trace(), rel=1e-5)
    assert got < 1e-10


def test_many_rows_are_folded_and_narrow_dtypes_are_widened():
    features, labels = features_of_classes([60_000, 50_000], 3, dtype=torch.float32, offset=10.0)
    statistics = _statistics(features, labels, 2)
    assert nc1(statistics) == pytest.approx(plain_nc1(features, labels), rel=1e-5)
    half = features[:5000].bfloat16()
    want = plain_nc1(half, labels[:5000])
    assert nc1(_statistics(half, labels[:5000], 2)) == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("frame", ["simplex", "orthogonal"])
def test_a_constructed_collapse_measures_zero(frame):
    generator = torch.Generator().manual_seed(0)
    made = {"simplex": simplex_etf, "orthogonal": orthogonal_frame}[frame]
    means = 3 * made(6, 10, generator=generator, dtype=torch.float64)
    shift = 5.0 if frame == "simplex" else 0.0
    labels = torch.arange(6).repeat_interleave(torch.tensor([9, 5, 5, 3, 2, 1]))
    features = (means + shift)[labels]
    statistics = _statistics(features, labels, 6)
    assert abs(nc1(statistics)) < 1e-12
    assert abs(nc1(statistics, variant="trace")) < 1e-12
    assert max(nc2(statistics.class_means(), frame=frame)) < 1e-12
    centre = frame == "simplex"
    assert max(nc3(statistics.class_means(), 0.2 * means, centre=centre)) < 1e-12
    bias = -shift * means.sum(1)
    assert nc4(statistics.class_means(), features, means, bias) == 0


def test_turning_scaling_and_renaming_change_nothing():
    features, labels = features_of_classes(SIZES, 6)
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)).double()
    statistics = _statistics(features, labels, 4)
    means = statistics.class_means()
    turned = 1e-3 * features @ _turn(6)
    other = _statistics(turned, labels, 4)
    assert nc1(other) == pytest.approx(nc1(statistics), rel=1e-11)
    assert nc2(other.class_means()) == pytest.approx(nc2(means), rel=1e-11)
    assert nc3(other.class_means(), weight @ _turn(6)) == pytest.approx(
        nc3(means, weight), rel=1e-11
    )
    new = torch.tensor([2, 0, 3, 1])
    renamed = _statistics(features, new[labels], 4)
    assert nc1(renamed) == pytest.approx(nc1(statistics), rel=1e-11)
    assert nc2(renamed.class_means()) == pytest.approx(nc2(means), rel=1e-11)
    moved = _statistics(features + 7.0, labels, 4)
    assert nc1(moved) == pytest.approx(nc1(statistics), rel=1e-11)


def test_nc1_does_not_depend_on_the_map_of_features_but_trace_does():
    """The pseudo-inverse undoes any invertible map when class means span the space."""
    features, labels = features_of_classes(SIZES, 3)
    stretch = torch.diag(torch.tensor([1.0, 10.0, 0.1]).double()) @ _turn(3)
    plain, mapped = _statistics(features, labels, 4), _statistics(features @ stretch, labels, 4)
    assert nc1(mapped) == pytest.approx(nc1(plain), rel=1e-9)
    assert nc1(mapped, variant="trace") != pytest.approx(nc1(plain, variant="trace"), rel=0.1)


def test_two_classes_with_one_mean_leave_a_direction_out():
    """S_B has rank 1 of 2: the value is that of the direction that is left."""
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    features = torch.tensor([[-1, 1], [1, 1], [-1, 1], [1, 1], [-1, -2], [1, -2.0]]).double()
    features[:, 1] += torch.tensor([0.1, -0.1] * 3)
    assert nc1(_statistics(features, labels, 3)) == pytest.approx(0.01 / 2 / 3)


def test_the_gaps_of_frames_are_what_they_say():
    lengths = torch.tensor([2.0, 1.0, 0.0]).double()
    means = orthogonal_frame(3, 5, lengths=lengths, dtype=torch.float64)
    assert max(nc2(means, frame="orthogonal", lengths=lengths)) < 1e-12
    assert nc2(means + 1e-3, frame="orthogonal", lengths=lengths).distance > 1e-4
    pair = torch.tensor([[1.0, 0.0], [3**0.5 / 2, 0.5]])  # 30 degrees
    assert nc2(pair, frame="orthogonal").equiangle == pytest.approx(3**0.5 / 2)
    triangle = simplex_etf(3, 2) * torch.tensor([[1.0], [1.0], [2.0]])
    gap = nc2(triangle - triangle.mean(0) + 4.0)
    assert gap == pytest.approx(nc2(triangle), rel=1e-5)
    dead = torch.cat([torch.eye(2), torch.zeros(1, 2)])
    assert nc3(dead, 3 * dead, centre=False).angle == pytest.approx(0, abs=1e-12)


def test_nc4_equals_a_loop_and_reads_the_bias():
    features, labels = features_of_classes(SIZES, 6, spread=2.0, offset=3.0)
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)).double()
    bias = torch.tensor([1.0, -1.0, 0.5, 0.0]).double()
    means = _statistics(features, labels, 4).class_means()
    wrong = 0
    for row in features:
        nearest = min(range(4), key=lambda k: float((row - means[k]).norm()))
        chosen = max(range(4), key=lambda k: float(weight[k] @ row + bias[k]))
        wrong += nearest != chosen
    assert 0 < wrong < len(features)
    assert nc4(means, features, weight, bias) == pytest.approx(wrong / len(features))
