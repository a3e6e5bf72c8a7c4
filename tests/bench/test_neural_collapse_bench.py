"""The benchmark's contenders compute the same thing, and its table says what it should."""

import pytest

from bench.geometry import neural_collapse as bench


def test_contenders_compute_the_same_nc1():
    features, labels = bench.data(3000, 16, 12)
    features -= bench.OFFSET  # at the offset the one without a shift is wrong, on purpose
    truth = bench.exact_nc1(features, labels, 12)
    for name, run in bench.contenders(features, labels, 12).items():
        value = run()
        if "floor" in name:
            assert value is None
        else:
            assert value == pytest.approx(truth, rel=1e-4), name


def test_the_table_has_a_row_for_each_contender_and_ours_is_right():
    rows = bench.measures(9000, 8, 5, repeats=1)
    assert [row["how"] for row in rows] == [
        "reading and product (floor)",
        "l2s, one pass",
        "straightforward, all at once",
        "one pass without a shift",
    ]
    assert rows[0]["time / floor"] == "1.00"
    assert float(rows[1]["error"]) < 1e-5 < float(rows[3]["error"])


def test_theory_is_timed_against_training():
    closed, trained = bench.theory(6)
    assert (closed["time / floor"], closed["peak / MiB"]) == ("1.00", "-")
    assert float(trained["time / floor"]) > 1
