"""Which cells a sweep has, and what it says to a grid, seeds or function that cannot be."""

import functools
import threading

import numpy as np
import pytest
from l2s.sweep import sweep

from tests.sweep import cases


def plain(*, seed, a=0, b=0):
    return {"a": a, "b": b, "seed": seed}


def cells(grid, seeds=(0,)):
    found = sweep(plain, grid, seeds=seeds, jobs=1).cells
    return [(cell.settings, cell.seed) for cell in found]


def test_a_mapping_is_every_combination_in_order():
    assert cells({"a": [2, 1], "b": ("x", "y")}, seeds=(5, 3)) == [
        ({"a": a, "b": b}, seed) for a in (2, 1) for b in ("x", "y") for seed in (5, 3)
    ]


def test_a_list_is_taken_as_it_is():
    grid = [{"a": 1, "b": 2}, {"b": 3}, {}]
    assert cells(grid) == [(setting, 0) for setting in grid]


def test_numpy_settings_and_seeds_become_plain():
    (cell, _) = sweep(
        plain, {"a": np.array([0.5]), "b": [np.int64(3)]}, seeds=np.arange(2), jobs=1
    ).cells
    assert [type(value) for value in (*cell.settings.values(), cell.seed)] == [float, int, int]


def test_a_tuple_none_or_infinity_may_be_a_setting():
    grid = {"a": [(1, (2, "x")), None, float("inf"), True]}
    assert [settings["a"] for settings, _ in cells(grid)] == grid["a"]


@pytest.mark.parametrize(
    ("grid", "error", "words"),
    [
        ({}, ValueError, "`grid` is {}"),
        ([], ValueError, "`grid` is \\[\\]"),
        ({"a": []}, ValueError, "`grid\\['a'\\]` is empty"),
        ({"a": 3}, TypeError, "Pass \\[3\\] for a single value"),
        ({"a": "dcl"}, TypeError, "Pass \\['dcl'\\] for a single value"),
        ({"a": {1, 2}}, TypeError, "must be a list"),
        ({"seed": [1]}, ValueError, "Pass the seeds by `seeds=`"),
        ([{"seed": 1}], ValueError, "Pass the seeds by `seeds=`"),
        ({1: [1]}, TypeError, "1"),
        ([1], TypeError, "`grid`"),
        ({"a": [[1]]}, TypeError, "holds \\[1\\] of type list; .* tuples"),
        ({"a": [{}]}, TypeError, "of type dict; .* build the object inside"),
        ({"a": [threading.Lock()]}, TypeError, "build the object inside"),
        ({"a": [(1, [2])]}, TypeError, "holds \\[2\\] of type list"),
        ({"a": [print]}, TypeError, "builtin_function"),
        ({"a": [float("nan")]}, ValueError, "NaN, which equals nothing"),
        ({"a": [1, 2, 1]}, ValueError, "{'a': 1} twice"),
        ({"a": [1, True]}, ValueError, "1, 1.0 and True are equal"),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], ValueError, "twice"),
        ({"c": [1]}, TypeError, "parameters .* seed, c: .*unexpected keyword argument 'c'"),
    ],
)
def test_a_bad_grid(grid, error, words):
    with pytest.raises(error, match=words):
        sweep(plain, grid, seeds=[0], jobs=1)


@pytest.mark.parametrize(
    ("seeds", "error", "words"),
    [
        ([], ValueError, "`seeds` is empty"),
        ([1, 1], ValueError, "`seeds` holds 1 twice"),
        ([0.5], TypeError, "`seeds` holds 0.5 of type float"),
        (["1"], TypeError, "`seeds` holds '1' of type str"),
        ([True], TypeError, "`seeds` holds True"),
        (3, TypeError, "`seeds` is 3"),
    ],
)
def test_bad_seeds(seeds, error, words):
    with pytest.raises(error, match=words):
        sweep(plain, {"a": [1]}, seeds=seeds, jobs=1)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"jobs": 0}, ValueError, "`jobs` is 0"),
        ({"jobs": -1}, ValueError, "`jobs` is -1"),
        ({"jobs": 1.5}, TypeError, "`jobs` is 1.5"),
        ({"timeout": 0.0}, ValueError, "`timeout` is 0"),
        ({"timeout": float("nan")}, ValueError, "`timeout` is nan"),
        ({"on_error": "ignore"}, ValueError, "`on_error` is 'ignore'. Pass one of 'raise', 'keep'"),
        ({"store": 3}, TypeError, "`store` is 3"),
    ],
)
def test_bad_options(changes, error, words):
    with pytest.raises(error, match=words):
        sweep(plain, {"a": [1]}, seeds=[0], **({"jobs": 1} | changes))


async def coroutine(*, seed):
    return {}


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: {}, "unexpected keyword argument 'seed'"),
        (lambda x, *, seed: {}, "missing a required argument: 'x'"),
        (lambda seed, /: {}, "'seed'"),
        (coroutine, "coroutine"),
        ("draw", "`function` is 'draw'"),
    ],
)
def test_a_function_that_does_not_take_the_settings(function, words):
    with pytest.raises(TypeError, match=words):
        sweep(function, [{}], seeds=[0], jobs=1)


class Study:
    factor = 3

    def run(self, *, seed, scale):
        return {"product": self.factor * scale}

    def __call__(self, *, seed, scale):
        return {"product": self.factor * scale + 1}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (functools.partial(cases.draw, scale=2), None),
        (lambda *, seed, **settings: {"product": settings["scale"]}, 2),
        (Study().run, 6),
        (Study(), 7),
    ],
)
def test_any_callable_will_do(function, expected):
    result = sweep(function, {"scale": [2]}, seeds=[1], jobs=1)
    if expected is not None:
        assert result.values("product").tolist() == [expected]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "returned 3 of type int, but must return a mapping"),
        (None, "returned None"),
        ({1: 2}, "a metric named 1"),
        ({"a": object()}, "the metric 'a' is <object"),
        ({"a": {"b": 1}}, "the metric 'a' is .* of type dict"),
        ({"a": np.array([None])}, "the metric 'a' is .* of type ndarray"),
    ],
)
def test_a_result_that_cannot_be_kept(value, words):
    with pytest.raises(ValueError, match=f"1 of 1 cells failed.*\n.*{words}"):
        sweep(lambda *, seed: value, [{}], seeds=[0], jobs=1)
