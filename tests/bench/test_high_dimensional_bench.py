"""The benchmark of the error curve compares contenders that make the same table."""

import torch

from bench.generalization import high_dimensional as bench


def test_the_table_has_a_line_for_each_contender():
    rows = bench.measure(scale=50, repeats=1, draws=3)
    assert [row["how"].partition(",")[0] for row in rows] == [
        *("generalization_error", "plain quadrature", "simulation", "given inputs"),
        *("generalization_error", "plain quadrature"),
    ]
    assert rows[0]["ratio"] == rows[4]["ratio"] == "1.00"
    assert float(rows[0]["relative error"]) < 1e-12
    assert float(rows[4]["relative error"]) < 1e-10
    assert float(rows[5]["relative error"]) > 1e-3  # what the plain way gets wrong
    simulated = float(rows[2]["ratio"].replace(",", ""))
    assert simulated > float(rows[3]["ratio"].replace(",", "")) > 1


def test_all_ways_make_the_same_table():
    times, ratios = torch.tensor([0.5, 3.0]).double(), torch.tensor([0.5, 2.0]).double()
    expected = bench.theory(times, ratios)
    torch.testing.assert_close(bench.plain(times, ratios), expected, rtol=1e-9, atol=0)
    generator = torch.Generator().manual_seed(1)
    for way, tolerance in ((bench.drawn, 0.05), (bench.given_inputs, 0.02)):
        mean = torch.stack([way(times, ratios, generator) for _ in range(30)]).mean(0)
        torch.testing.assert_close(mean, expected, rtol=tolerance, atol=0)


def test_the_number_of_draws_follows_from_the_spread():
    samples = (
        1 + 0.05 * torch.randn(4000, 3, 2, generator=torch.Generator().manual_seed(0)).double()
    )
    assert 23 <= bench.draws_needed(samples) <= 28  # (5 % / 1 %)^2 = 25
