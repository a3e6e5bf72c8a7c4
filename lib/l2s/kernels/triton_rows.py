"""What the Triton kernels share: how a row is cut into blocks, exact numbers, and a function.

Only the ``gpu.py`` of an operator imports this module.
"""

from typing import Any

import torch
import triton
import triton.language as tl

_BLOCK = 2048
_WARPS = 8


def sizes(columns: int) -> dict[str, Any]:
    """Return what a kernel with one program a row is launched with, for rows of this length."""
    block = min(_BLOCK, triton.next_power_of_2(columns))
    return {
        "columns": columns,
        "BLOCK": block,
        "BLOCKS": triton.cdiv(columns, block),  # fixed when compiled: n may vary within a block
        "num_warps": max(1, min(_WARPS, block // 128)),
    }


def halves(number: float) -> tuple[float, float]:
    """Return a number as the nearest float32 and the rest: Triton rounds a Python float to one."""
    near = float(torch.tensor(number, dtype=torch.float32))
    return near, number - near


@triton.jit
def log1p(z):
    """log(1 + z) for 0 <= z <= 1 as 2 artanh(w) = 2 (w + w^3/3 + ...), w = z / (2 + z) <= 1/3."""
    w = z / (2 + z)
    total = w * 0
    for term in tl.static_range(17, -1, -1):
        total = total * (w * w) + 2 / (2 * term + 1)
    return total * w
