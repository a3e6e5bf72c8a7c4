"""The benchmark of fits compares ways that end at the same likelihoods."""

import torch

from bench.sparsity import moe_gating_fits as bench


def test_the_table_has_a_line_for_each_way_and_all_agree():
    rows = bench.measure(bench.study(2, 2, 2000), repeats=1)
    assert [row["how"] for row in rows] == ["loop over fits", "fit_em", "fit_gradient"]
    assert all(row["fits"] == 4 for row in rows)
    assert rows[0]["speed-up"] == "1.0"
    assert float(rows[1]["difference"]) < 1e-8
    assert float(rows[2]["difference"]) < 1e-4


def test_the_loop_does_the_same_iterations():
    data = bench.study(1, 1, 1500)
    looped = bench.one_by_loop(data.inputs[0, :500], data.targets[0, :500], data.start[0])
    fit = bench.fit_em(data.inputs, data.targets, data.start, bench.K, count=data.count)
    torch.testing.assert_close(looped.slopes, fit.mixture.slopes[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(looped.gate_slopes, fit.mixture.gate_slopes[0], rtol=1e-5, atol=1e-5)
