"""What the numba kernels share: how they are compiled, and what vectorises.

Only the ``cpu.py`` of an operator imports this module, at the operator's first call, so that
``import l2s`` costs nothing. Two kinds of function are told apart:

- ``@element`` for arithmetic on single numbers, which must be kept as written: ``(s - c) + d`` is
  exact where s is near c, ``s - (c - d)`` is not.
- ``@loop`` for loops that sum: their terms may be added in any order, or nothing would vectorise.
  LLVM inlines elements into loops, and they keep their own rule.

Compiled code is kept on disk (by numba, beside the source or in the user's cache), for the file
that holds the kernel: after a change in this file, clear the ``__pycache__`` of the kernels.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import overload
from torch import Tensor

# The terms of the series that leave an error below half a unit in the last place.
_EXP_TERMS = {np.float32: 7, np.float64: 13}
_LOG_TERMS = 8  # in float32; float64 takes the slower log1p of the C library
# Under this, exp is not a normal number any more, and counts as 0.
_EXP_LOWEST = {np.float32: -87.0, np.float64: -708.0}
# log 2 in two parts: the first has so few digits that its product with a whole number is exact.
_LOG2 = {
    np.float32: (0.693145751953125, 1.4286068203094172e-06),
    np.float64: (0.693147180369123816490, 1.90821492927058770002e-10),
}


def compile_with(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: compile at the first call, without the lock of Python, and keep it on disk."""
    options |= {"error_model": "numpy", "nogil": True}

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # no folder can be written to, so it is compiled in each process
            return numba.njit(**options)(function)

    return decorate


element = compile_with(fastmath={"contract"})
loop = compile_with(fastmath={"contract", "nnan", "nsz", "reassoc"})


def as_array(tensor: Tensor) -> Any:
    """Return a tensor on a CPU as an array on the same memory, without its gradient."""
    return (tensor.detach() if tensor.requires_grad else tensor).numpy()


def exp(x: float) -> float:
    """Return e^x for x <= 80 in the precision of x, as code that vectorises."""
    return math.exp(x)


def log1p(x: float) -> float:
    """log(1 + x) for 0 <= x <= 1 to full relative precision, as code that vectorises."""
    return math.log1p(x)


def as_float(x: Any) -> float:
    """Return a number as it is, or the bfloat16 whose bits an unsigned integer of 16 holds."""
    raise NotImplementedError("compiled code only")


def ordered(x: float) -> int:
    """A whole number in the order of the floats: LLVM vectorises the maximum of these alone.

    It is its own inverse through ``unordered``; NaN comes beyond the infinities.
    """
    raise NotImplementedError("compiled code only")


def unordered(whole: int) -> float:
    """The float that ``ordered`` made this number from."""
    raise NotImplementedError("compiled code only")


@element
def softplus(x: float) -> float:
    """log(1 + e^x), for single numbers: the C library's functions do not vectorise."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@element
def ends(part: Any) -> Any:
    """Return the smallest and the largest number of an array, in one pass that vectorises."""
    low = high = ordered(part[0])
    for i in range(part.size):
        key = ordered(part[i])
        low, high = min(low, key), max(high, key)
    return unordered(low), unordered(high)


@overload(exp, jit_options={"error_model": "numpy", "fastmath": {"contract"}})
def _exp(x: Any) -> Any:
    # x = n log 2 + r with |r| <= log(2) / 2. Adding `magic` rounds to the whole number n and leaves
    # n in the lowest bits, from where a shift makes it the exponent of a float.
    kind, bits, mantissa = _kind(x)
    terms = _EXP_TERMS[kind]
    magic, per_log2 = kind(1.5 * 2**mantissa), kind(1 / math.log(2))
    high, low = (kind(part) for part in _LOG2[kind])
    lowest, zero, one = kind(_EXP_LOWEST[kind]), kind(0), kind(1)
    shift = bits(mantissa)
    series = tuple(kind(1 / math.factorial(n)) for n in range(terms, 0, -1))

    def run(x: Any) -> Any:
        x_inside = max(x, lowest)
        shifted = x_inside * per_log2 + magic
        whole = shifted - magic
        rest = (x_inside - whole * high) - whole * low
        total = zero
        for factor in series:
            total = (total + factor) * rest
        power = kind(bits((kind(shifted).view(bits) << shift) + kind(one).view(bits)).view(kind))
        return power + power * total if x >= lowest else zero

    return run


@overload(log1p, jit_options={"error_model": "numpy", "fastmath": {"contract"}})
def _log1p(x: Any) -> Any:
    # log(1 + x) = 2 artanh(w) = 2 (w + w^3/3 + w^5/5 + ...) with w = x / (2 + x) <= 1/3.
    if x == numba.types.float64:

        def library(x: Any) -> Any:
            return math.log1p(x)

        return library
    two, zero = np.float32(2), np.float32(0)
    series = tuple(np.float32(2 / (2 * n + 1)) for n in range(_LOG_TERMS, -1, -1))

    def run(x: Any) -> Any:
        w = x / (two + x)
        square = w * w
        total = zero
        for factor in series:
            total = total * square + factor
        return total * w

    return run


@overload(as_float, jit_options={"error_model": "numpy"})
def _as_float(x: Any) -> Any:
    def from_bits(x: Any) -> Any:
        return np.int32(np.int32(x) << 16).view(np.float32)

    def itself(x: Any) -> Any:
        return x

    return from_bits if x == numba.types.uint16 else itself


@overload(ordered, jit_options={"error_model": "numpy"})
def _ordered(x: Any) -> Any:
    kind, bits, _ = _kind(x)
    all_but_sign, sign = bits(np.iinfo(bits).max), bits(8 * np.dtype(bits).itemsize - 1)

    def run(x: Any) -> Any:
        whole = kind(x).view(bits)
        return bits(whole ^ ((whole >> sign) & all_but_sign))

    return run


@overload(unordered, jit_options={"error_model": "numpy"})
def _unordered(whole: Any) -> Any:
    kind, bits = (np.float32, np.int32) if whole == numba.types.int32 else (np.float64, np.int64)
    all_but_sign, sign = bits(np.iinfo(bits).max), bits(8 * np.dtype(bits).itemsize - 1)

    def run(whole: Any) -> Any:
        return bits(whole ^ ((whole >> sign) & all_but_sign)).view(kind)

    return run


def _kind(x: Any) -> tuple[Any, Any, int]:
    if x == numba.types.float32:
        return np.float32, np.int32, 23
    return np.float64, np.int64, 52
