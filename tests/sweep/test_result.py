"""Reading a sweep: arrays over seeds, tables, CSV, the line that a notebook shows."""

import dataclasses

import numpy as np
import pytest
from l2s.sweep import SweepError, read_csv, sweep


def score(*, seed, batch, rate, method="dcl"):
    if rate == 9:
        raise ZeroDivisionError("rate")
    return {
        "score": 100 * batch + 10 * rate + seed,
        "curve": np.array([batch, rate, seed]),
        "ragged": [0] * (seed + 1),
        **({"extra": 1} if batch == 2 else {}),
    }


GRID = {"batch": [2, 1], "rate": [0, 5, 3]}


@pytest.fixture(scope="module")
def result():
    return sweep(score, GRID, seeds=(7, 4), jobs=1)


@pytest.fixture(scope="module")
def partial():
    return sweep(score, {"batch": [1], "rate": [9, 1]}, seeds=(7, 4), jobs=1, on_error="keep")


def test_values_are_over_seeds_in_their_order(result):
    assert result.values("score", batch=1, rate=5).tolist() == [157, 154]
    assert result.values("curve", batch=1, rate=5).tolist() == [[1, 5, 7], [1, 5, 4]]


def test_a_setting_with_one_value_needs_no_naming():
    result = sweep(score, {"batch": [1, 2], "rate": [3]}, seeds=[0], jobs=1)
    assert result.values("score", batch=2).tolist() == [230]


def test_a_table_runs_along_the_grid(result):
    table = result.table("score", rows="rate", columns="batch")
    expected = [[[100 * b + 10 * r + s for s in (7, 4)] for b in (2, 1)] for r in (0, 5, 3)]
    assert table.tolist() == expected
    assert result.table("score", rows="rate", batch=1).tolist() == table[:, 1].tolist()


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda r: r.values("loss", batch=1, rate=0), "'loss'.* Pass one of score, curve, ragged"),
        (lambda r: r.values("extra", batch=1, rate=0), "'extra', which batch=1, rate=0, seed=7"),
        (lambda r: r.values("score", depth=1), "`depth` is no setting.* Pass one of batch, rate"),
        (lambda r: r.values("score", batch=3), "`batch` is 3. Pass one of 2, 1"),
        (lambda r: r.values("score", batch=1), "3 settings match batch=1.* Give also rate"),
        (lambda r: r.values("score"), "6 settings match no condition.* Give also batch or rate"),
        (lambda r: r.values("ragged", batch=1, rate=0), r"shapes \(5,\), \(8,\) over seeds"),
        (lambda r: r.table("score", rows="depth"), "`rows` is 'depth'. Pass one of batch, rate"),
        (lambda r: r.table("score", rows="rate", columns="x"), "`columns` is 'x'"),
        (lambda r: r.table("score", rows="rate"), "2 settings match rate=0.* Give also batch"),
    ],
)
def test_what_is_not_there_is_named(result, read, words):
    with pytest.raises(ValueError, match=words):
        read(result)


def test_no_setting_matches_a_combination_outside_of_a_list():
    grid = [{"batch": 1, "rate": 2}, {"batch": 2, "rate": 1}]
    result = sweep(score, grid, seeds=[0], jobs=1)
    with pytest.raises(ValueError, match="0 settings match batch=1, rate=1"):
        result.values("score", batch=1, rate=1)


def test_the_line_that_a_notebook_shows(result, partial):
    assert repr(result) == "12 cells: 6 settings × 2 seeds"
    assert repr(partial) == "4 cells: 2 settings × 2 seeds (2 failed)"
    one = sweep(score, {"batch": [1], "rate": [1]}, seeds=[0], jobs=1)
    assert repr(one) == "1 cell: 1 setting × 1 seed"


def test_a_result_cannot_be_altered(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.seeds = ()


def test_failures_stand_beside_what_finished(partial):
    assert [(f.settings, f.seed, f.error) for f in partial.failures] == [
        ({"batch": 1, "rate": 9}, seed, "ZeroDivisionError: rate") for seed in (7, 4)
    ]
    assert 'raise ZeroDivisionError("rate")' in partial.failures[0].traceback
    assert "worker.py" not in partial.failures[0].traceback  # the reader's frames alone
    assert partial.axes == {"batch": (1,), "rate": (9, 1)}
    assert partial.values("score", rate=1).tolist() == [117, 114]
    with pytest.raises(ValueError, match="missing where the cell failed: .*rate=9, seed=7"):
        partial.values("score", rate=9)


def test_a_failure_is_raised_after_all_others_finished():
    with pytest.raises(SweepError, match="2 of 4 cells failed") as caught:
        sweep(score, {"batch": [1], "rate": [9, 1]}, seeds=(7, 4), jobs=1)
    text = str(caught.value)
    assert "batch=1, rate=9, seed=7: ZeroDivisionError: rate" in text
    assert "batch=1, rate=9, seed=4: ZeroDivisionError: rate" in text
    assert 'raise ZeroDivisionError("rate")' in text
    assert len(caught.value.sweep.cells) == 2
    assert len(caught.value.failures) == 2


def test_a_long_list_of_failures_is_cut():
    def never(*, seed):
        raise ValueError(f"number {seed}")

    with pytest.raises(SweepError, match="100 of 100 cells failed") as caught:
        sweep(never, [{}], seeds=range(100), jobs=1)
    text = str(caught.value)
    assert "number 19\n  and 80 more, in `.failures`" in text
    assert "number 20" not in text


ODD = [
    {"a": "plain", "b": 1},
    {"a": "1", "b": 1.0 / 3},
    {"a": "", "b": None},
    {"a": "# no note", "b": True},
    {"a": 'a "quoted", text\nin two lines', "b": (1, ("x", 2.5))},
    {"a": "null", "b": float("inf")},
    {"a": "NaN"},
]


def odd(*, seed, a, b=0):
    values = {"text": a, "number": 0.1 + seed, "none": None, "nan": float("nan"), "list": [1, 2.5]}
    return values | ({"only": 1} if b == 1 else {})


def test_a_table_on_disk_gives_everything_back(tmp_path):
    result = sweep(odd, ODD, seeds=[-3, 10**20], jobs=1)
    path = tmp_path / "table.csv"
    result.to_csv(path, note="made by: make run\n\ntorch 2.13")
    back = read_csv(path)
    assert repr([(c.settings, c.seed, c.values) for c in back.cells]) == repr(
        [(c.settings, c.seed, c.values) for c in result.cells]
    )
    assert (back.settings, back.seeds) == (result.settings, result.seeds)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:4] == [
        "# made by: make run",
        "#",
        "# torch 2.13",
        "a,b,seed,text,number,none,nan,list,only",
    ]
    assert lines[4] == 'plain,1,-3,plain,-2.9,null,NaN,"[1, 2.5]",1'
    again = tmp_path / "again.csv"
    back.to_csv(again, note="made by: make run\n\ntorch 2.13")
    assert again.read_bytes() == path.read_bytes()


def test_arrays_become_lists_in_a_table(result, tmp_path):
    result.to_csv(tmp_path / "table.csv")
    back = read_csv(tmp_path / "table.csv")
    expected = result.values("curve", batch=1, rate=5)
    np.testing.assert_array_equal(back.values("curve", batch=1, rate=5), expected)


def test_a_table_hides_no_failure(partial, tmp_path):
    with pytest.raises(ValueError, match="2 cells failed, and a table would hide it"):
        partial.to_csv(tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column 'seed'"),
        ("a,b\n1,2\n", "has no column 'seed'"),
        ("a,seed,b\n1,2\n", "row '1,2' has 2 of 3 columns"),
    ],
)
def test_another_file_is_no_table(tmp_path, text, words):
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_csv(tmp_path / "other.csv")
