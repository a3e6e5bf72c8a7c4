"""Results survive as text, bit by bit."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from l2s.sweep.codec import decode, encode

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(["<f8", ">f4", "<f2", "<i8", "|u1", "|b1", "<c16"])
grids = kinds.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_side=0)))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), plain, max_size=4))
def test_plain_values_come_back(values):
    assert repr(decode(encode(values))) == repr(values)


@settings(max_examples=60, deadline=None)
@given(grids)
def test_arrays_come_back_bit_by_bit(array):
    back = decode(encode({"a": array}))["a"]
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("<")
    assert back.tobytes() == array.astype(back.dtype).tobytes()
    assert back.flags.writeable


def test_what_is_not_finite_comes_back():
    back = decode(encode({"a": [math.inf, -math.inf, -0.0, math.nan]}))["a"]
    assert repr(back) == "[inf, -inf, -0.0, nan]"
    array = np.array([[np.nan, np.inf]], dtype=np.float32)
    np.testing.assert_array_equal(decode(encode({"a": array}))["a"], array)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_come_back_as_arrays(dtype):
    tensor = torch.linspace(-2, 2, 6).reshape(2, 3).to(dtype)
    back = decode(encode({"a": tensor, "b": tensor.t()}))
    np.testing.assert_array_equal(back["a"], tensor.to(torch.float64).numpy())
    np.testing.assert_array_equal(back["b"], tensor.t().to(torch.float64).numpy())


def test_a_single_number_is_a_plain_one():
    values = {"a": torch.tensor(0.1, requires_grad=True), "b": np.float32(0.1), "c": np.array(3)}
    tenth = float(np.float32(0.1))
    assert decode(encode(values)) == {"a": tenth, "b": tenth, "c": 3}


def test_a_tensor_elsewhere_is_refused():
    with pytest.raises(TypeError, match="a tensor on meta. Return it with .cpu()"):
        encode({"a": torch.ones(2, device="meta")})
