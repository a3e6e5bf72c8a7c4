"""What the numba kernels share: elementary functions, compilation."""

import numpy as np
import pytest

pytest.importorskip("numba")
import numba
from l2s.kernels import native


@numba.njit
def _map(function_number, numbers):
    out = np.empty_like(numbers)
    for i in range(numbers.size):
        out[i] = native.exp(numbers[i]) if function_number == 0 else native.log1p(numbers[i])
    return out


@numba.njit
def _keys(numbers):
    return [native.ordered(number) for number in numbers]


@numba.njit
def _there_and_back(numbers):
    return [native.unordered(native.ordered(number)) for number in numbers]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_elementary_functions(kind):
    eps = np.finfo(kind).eps
    x = np.linspace(-87, 80, 100_001).astype(kind)
    np.testing.assert_allclose(_map(0, x), np.exp(x.astype(np.longdouble)), rtol=1.5 * eps)
    assert _map(0, np.array([-1e4, -np.inf, 0.0], kind)).tolist() == [0, 0, 1]
    z = (np.linspace(0, 1, 100_001) ** 9).astype(kind)
    expected = np.log1p(z.astype(np.longdouble))
    np.testing.assert_allclose(_map(1, z), expected, rtol=2.5 * eps, atol=np.finfo(kind).tiny)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_whole_numbers_in_the_order_of_the_floats(kind):
    x = np.array([-np.inf, -1e30, -1, -1e-40, -0.0, 0.0, 1e-40, 1, 1e30, np.inf], kind)
    keys = _keys(x)
    assert keys == sorted(keys)
    assert np.array(_there_and_back(x), kind).tobytes() == x.tobytes()
    assert _keys(np.array([np.nan], kind))[0] > keys[-1]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_ends(kind):
    x = np.array([3, -7, 0, 5, -np.inf, 2], kind)
    assert native.ends(x) == (-np.inf, 5)
    assert native.ends(x[:4]) == (-7, 5)
    assert np.isnan(native.ends(np.array([1, np.nan], kind))[1])


def test_compiles_where_nothing_can_be_written(monkeypatch):
    compiler = numba.njit

    def read_only(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compiler(**options)

    monkeypatch.setattr(numba, "njit", read_only)
    assert native.compile_with()(lambda x: x + 1)(1) == 2
