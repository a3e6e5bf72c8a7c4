"""The benchmark of the operators compares like with like."""

import time

import pytest
import torch
from l2s.kernels.statistical_topk import statistical_topk
from l2s.kernels.topk_attention import topk_attention_mask

from bench import harness
from bench import kernels as bench


def test_the_table_has_a_line_for_each_contender():
    rows = bench.measure(scale=64, repeats=1)
    groups = list(dict.fromkeys(row["work"] for row in rows))
    assert len(groups) == 6
    for group in groups:
        own = [row for row in rows if row["work"] == group]
        assert "floor" in own[0]["how"]
        assert own[0]["ratio"] == "1.00"
        assert len(own) >= 5


def test_statistical_topk_in_four_operations_is_the_operator():
    x = torch.randn(3, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(bench.by_moments(x, 40), statistical_topk(x, 40), rtol=0, atol=1e-6)


def test_all_plain_layers_give_the_same_but_the_dense_one():
    runs = bench.layer_runs(16)
    found = {name: run() for name, run in runs.items()}
    expected = found["active rows alone (floor)"]
    for name in ("sparse_ffn", "gather, then dense"):
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-3)
    assert (found["dense"] - expected).abs().max() > 1
    assert found["predictor, threshold, sparse_ffn"].shape == expected.shape


def test_the_floor_of_attention_reads_what_is_chosen():
    query, keys = (
        torch.randn(1, 4, rows, 64, generator=torch.Generator().manual_seed(rows))
        for rows in (1, bench.CONTEXT)
    )
    count = topk_attention_mask(query @ keys.mT, top_k=bench.TOP_K).sum(dim=-1).double()
    assert count.mean().item() == pytest.approx(bench.TOP_K, rel=0.1)


def test_before_runs_before_each_turn():
    turns = []
    harness.interleave(
        {"one": lambda: turns.append("one"), "two": lambda: turns.append("two")},
        repeats=2,
        before=lambda: turns.append("before"),
    )
    assert turns == ["one", "two", *["before", "one", "before", "two"] * 2]


def test_of_calls_in_a_row_the_last_is_timed():
    turns, slow = [], iter([0, 0.02, 0] * 2)

    def run():
        turns.append("run")
        time.sleep(next(slow, 0))

    found = harness.interleave(
        {"run": run}, repeats=2, warmup=0, before=lambda: turns.append("before"), calls=3
    )
    assert turns == ["before", "run", "run", "run"] * 2
    assert found["run"] < 0.01
