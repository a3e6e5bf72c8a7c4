"""What several Triton kernels use. Only the ``gpu.py`` of an operator imports this module."""

import triton
import triton.language as tl


@triton.jit
def log1p(z):
    """log(1 + z) for 0 <= z <= 1 as 2 artanh(w) = 2 (w + w^3/3 + ...), w = z / (2 + z) <= 1/3."""
    w = z / (2 + z)
    total = w * 0
    for term in tl.static_range(17, -1, -1):
        total = total * (w * w) + 2 / (2 * term + 1)
    return total * w
