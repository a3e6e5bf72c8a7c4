"""Calibration and costs: closed forms, Monte Carlo, counts by hand, bounds."""

import math

import pytest
import torch
from l2s.kernels.statistical_topk import statistical_topk
from l2s.sparsity.statistical_topk import (
    attention_flops,
    count_variance,
    ffn_flops,
    gaussian_threshold,
    limiting_share,
)
from scipy import stats


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("correction", [0, 1])
def test_the_threshold_is_that_of_the_operator(correction):
    x = normal(5, 200).exp()
    theta = gaussian_threshold(x, 16, correction=correction)
    kept = (x - theta[:, None]).relu()
    torch.testing.assert_close(kept, statistical_topk(x, 16, correction=correction))


def test_the_threshold_moves_and_grows_with_the_numbers():
    x = normal(3, 50)
    moved = gaussian_threshold(2 * x + 5, 7)
    torch.testing.assert_close(moved, 2 * gaussian_threshold(x, 7) + 5)


@pytest.mark.parametrize("k", [0, 50])
def test_the_threshold_refuses_what_has_no_quantile(k):
    with pytest.raises(ValueError, match=f"`k` is {k}"):
        gaussian_threshold(normal(3, 50), k)


def test_the_threshold_refuses_what_is_not_finite():
    x = normal(3, 50)
    x[1, 7] = math.nan
    with pytest.raises(ValueError, match="`x`"):
        gaussian_threshold(x, 5)


def test_another_correction_is_refused():
    with pytest.raises(ValueError, match="`correction` is 2"):
        gaussian_threshold(normal(3, 50), 5, correction=2)


@pytest.mark.parametrize("share", [0.02, 0.08, 0.3, 0.5, 0.9])
def test_the_variance_of_the_count_is_that_of_simulated_rows(share):
    n, rows = 2000, 6000
    x = normal(rows, n, dtype=torch.float32)
    theta = gaussian_threshold(x, round(share * n))
    counts = (x > theta[:, None]).sum(dim=1).double()
    spread = math.sqrt(2 / rows)  # of a variance, as a share of it
    assert math.isclose(counts.var().item() / n, count_variance(share), rel_tol=5 * spread)


def test_a_threshold_of_estimated_moments_is_steadier_than_a_known_one():
    for share in (0.01, 0.08, 0.3, 0.5):
        assert 0 < count_variance(share) < share * (1 - share)
        assert math.isclose(count_variance(share), count_variance(1 - share), rel_tol=1e-9)
    half = count_variance(0.5)  # z = 0: 1/4 - 1/(2 π)
    assert math.isclose(half, 0.25 - 1 / (2 * math.pi))


@pytest.mark.parametrize("share", [0.01, 0.08, 0.4])
def test_the_share_of_laws_with_a_closed_form(share):
    z = stats.norm.isf(share)
    assert math.isclose(limiting_share(share, stats.norm(-3, 7)), share)
    assert math.isclose(limiting_share(share, stats.laplace()), math.exp(-z * math.sqrt(2)) / 2)
    assert math.isclose(limiting_share(share, stats.expon()), math.exp(-1 - z))
    inside = max(0.5 - z / math.sqrt(12), 0)
    assert math.isclose(limiting_share(share, stats.uniform(2, 5)), inside, abs_tol=1e-12)


def test_the_share_is_what_long_rows_show():
    law = stats.gamma(2)
    x = torch.tensor(law.rvs((20, 100_000), random_state=1))
    theta = gaussian_threshold(x, 8000)
    seen = (x > theta[:, None]).double().mean().item()
    assert math.isclose(seen, limiting_share(0.08, law), rel_tol=0.01)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
@pytest.mark.parametrize("function", [count_variance, lambda p: limiting_share(p, stats.norm())])
def test_shares_outside_of_0_to_1_are_refused(share, function):
    with pytest.raises(ValueError, match="`share` is .* Pass k / n"):
        function(share)


def test_a_law_without_a_variance_is_refused():
    with pytest.raises(ValueError, match="`law` has the standard deviation inf"):
        limiting_share(0.1, stats.t(2))


def test_no_law_passes_more_than_cantelli_allows():
    z = stats.norm.isf(0.08)
    bound = 1 / (1 + z * z)
    for law in (
        stats.norm(),
        stats.laplace(),
        stats.expon(),
        stats.uniform(),
        stats.bernoulli(0.3),
    ):
        assert limiting_share(0.08, law) <= bound + 1e-12
    # Reached, up to the strict inequality, by a law of two points.
    near = stats.bernoulli(bound - 1e-9)
    assert math.isclose(limiting_share(0.08, near), bound, abs_tol=1e-8)


def test_costs_are_those_counted_by_hand():
    dense = sum(2 * 4 * 10 for _ in range(3))
    assert ffn_flops(4, 10) == dense
    predicted, keyed, summed = 2 * 3 * 10, 2 * 1 * 2, 2 * 4 * 2
    assert ffn_flops(4, 10, part=3, active=2) == predicted + keyed + summed
    assert attention_flops(7, 6) == 2 * 7 * 6 + 2 * 7 * 6
    assert attention_flops(7, 6, part=4, chosen=3) == 2 * 7 * 4 + 2 * 3 * 2 + 2 * 3 * 6


def test_with_everything_active_the_split_saves_one_product_of_three():
    assert ffn_flops(8, 30, part=4, active=30) == pytest.approx(ffn_flops(8, 20))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ffn_flops(0, 10), "`dim` is 0"),
        (lambda: ffn_flops(4, 0), "`width` is 0"),
        (lambda: ffn_flops(4, 10, part=2), "Of `part` and `active` one is None"),
        (lambda: ffn_flops(4, 10, active=2), "Of `part` and `active` one is None"),
        (lambda: ffn_flops(4, 10, part=4, active=2), "`part` is 4"),
        (lambda: ffn_flops(4, 10, part=2, active=11), "`active` is 11"),
        (lambda: attention_flops(0, 8), "`context` is 0"),
        (lambda: attention_flops(9, 0), "`head_dim` is 0"),
        (lambda: attention_flops(9, 8, part=2), "Of `part` and `chosen` one is None"),
        (lambda: attention_flops(9, 8, part=8, chosen=2), "`part` is 8"),
        (lambda: attention_flops(9, 8, part=2, chosen=10), "`chosen` is 10"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
