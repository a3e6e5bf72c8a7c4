"""The benchmark of double descent compares ways that give the same answer."""

import numpy as np

from bench.generalization import double_descent as bench


def test_the_table_has_a_line_for_each_contender(monkeypatch):
    monkeypatch.setattr(bench, "WIDTHS", (20, 30))
    monkeypatch.setattr(bench, "sweeps", lambda seeds: {"one process": list, "two workers": list})
    rows, differences = bench.measure(steps=50, seeds=range(1))
    assert [row["how"] for row in rows] == ["loop", "spectral"] * 2 + ["one process", "two workers"]
    assert all(row["speed-up"] == "1.00" for row in rows[::2])
    assert max(differences.values()) < 1e-10


def test_momentum_changes_the_loop():
    z, y = bench.problem(30)
    plain, heavy = (bench.loop(z, y, 20, momentum) for momentum in (0.0, 0.9))
    assert bench.apart(plain, heavy) > 0.1


def test_both_ways_of_the_sweep_give_the_same_numbers(monkeypatch):
    monkeypatch.setattr(bench, "WIDTHS", (20, 30))
    one, two = (run() for run in bench.sweeps(range(2)).values())
    for width in bench.WIDTHS:
        np.testing.assert_array_equal(
            one.values("test", width=width), two.values("test", width=width)
        )
