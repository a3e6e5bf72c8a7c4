"""The operator on a GPU: Triton, one program for a tile of the result.

Tiles never cross the end of a group, so that a tile has one matrix; a list of them tells a program
where to begin. Only the last tile of a group does work that is thrown away.
"""

import os
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_WARPS = 8
# Rows and columns of a tile, and how much of the sum is loaded at a time.
_TILE = {2: (128, 128, 64), 4: (128, 64, 32), 8: (64, 64, 16)}  # by the bytes of a number


def multiply(x: Tensor, weights: Tensor, sizes: list[int]) -> Tensor:
    """Return every row of ``x`` times the matrix of its group."""
    columns = weights.shape[2]
    result = x.new_empty(len(x), columns)
    launched = constants(x)
    tiles = _tiles(sizes, launched["ROWS"])
    grid = (len(tiles), triton.cdiv(columns, launched["COLUMNS"]))
    multiply_kernel[grid](
        x,
        weights,
        torch.tensor(tiles, dtype=torch.int32, device=x.device),
        result,
        columns,
        *x.stride(),
        *weights.stride(),
        DEPTH=x.shape[1],
        BLOCKS=triton.cdiv(x.shape[1], launched["BLOCK"]),
        num_warps=_WARPS,
        **launched,
    )
    return result


def outer(x: Tensor, y: Tensor, sizes: list[int]) -> Tensor:
    """Return for each group the sum over its rows of x_i y_i^T."""
    rows, columns = x.shape[1], y.shape[1]
    result = x.new_empty(len(sizes), rows, columns)
    launched = constants(x)
    ends = torch.tensor([0, *sizes], dtype=torch.int32, device=x.device).cumsum(0).int()
    grid = (
        len(sizes),
        triton.cdiv(rows, launched["ROWS"]),
        triton.cdiv(columns, launched["COLUMNS"]),
    )
    outer_kernel[grid](
        x, y, ends, result, rows, columns, *x.stride(), *y.stride(), num_warps=_WARPS, **launched
    )
    return result


def constants(x: Tensor) -> dict[str, Any]:
    """The sizes of a tile, and how precise products of float32 are, as PyTorch is told to be."""
    rows, columns, block = _TILE[x.element_size()]
    is_exact = torch.get_float32_matmul_precision() == "highest"
    return {
        "ROWS": rows,
        "COLUMNS": columns,
        "BLOCK": block,
        "PRECISION": "ieee" if is_exact else "tf32",
        # Triton's interpreter takes no loop between bounds that it loads, and multiplies the bits
        # of bfloat16 as if they were whole numbers.
        "INTERPRETED": os.environ.get("TRITON_INTERPRET") == "1",
    }


def _tiles(sizes: list[int], rows: int) -> list[tuple[int, int, int]]:
    """For each tile its group, its first row, and the end of its group."""
    tiles, start = [], 0
    for group, size in enumerate(sizes):
        tiles += [(group, first, start + size) for first in range(start, start + size, rows)]
        start += size
    return tiles


@triton.jit
def multiply_kernel(
    x,
    weights,
    tiles,
    result,
    columns,
    x_row,
    x_column,
    w_group,
    w_row,
    w_column,
    DEPTH: tl.constexpr,
    BLOCKS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """One tile: sum over blocks of the rows' entries."""
    tile = tiles + 3 * tl.program_id(0)
    group = tl.load(tile).to(tl.int64)
    row = tl.load(tile + 1) + tl.arange(0, ROWS)
    is_row = row < tl.load(tile + 2)
    row = row.to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = column < columns
    step = tl.arange(0, BLOCK)
    left = x + row[:, None] * x_row + step[None, :] * x_column
    right = weights + group * w_group + step[:, None] * w_row + column[None, :] * w_column
    kind: tl.constexpr = tl.float64 if result.dtype.element_ty == tl.float64 else tl.float32
    total = tl.zeros([ROWS, COLUMNS], kind)
    for block in range(BLOCKS):
        inside = block * BLOCK + step < DEPTH
        a = tl.load(left, is_row[:, None] & inside[None, :], other=0)
        b = tl.load(right, inside[:, None] & is_column[None, :], other=0)
        total = _add_product(total, a, b, PRECISION, INTERPRETED)
        left += BLOCK * x_column
        right += BLOCK * w_row
    place = result + row[:, None] * columns + column[None, :]
    tl.store(place, total.to(result.dtype.element_ty), is_row[:, None] & is_column[None, :])


@triton.jit
def outer_kernel(
    x,
    y,
    ends,
    result,
    rows,
    columns,
    x_row,
    x_column,
    y_row,
    y_column,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    """One tile of one group's matrix: sum over blocks of the group's rows."""
    group = tl.program_id(0)
    first, last = tl.load(ends + group), tl.load(ends + group + 1)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    kind: tl.constexpr = tl.float64 if result.dtype.element_ty == tl.float64 else tl.float32
    total = tl.zeros([ROWS, COLUMNS], kind)
    if INTERPRETED:
        while first < last:
            total = _add_block(
                total,
                x,
                y,
                row,
                column,
                rows,
                columns,
                first,
                last,
                x_row,
                x_column,
                y_row,
                y_column,
                BLOCK,
                PRECISION,
                INTERPRETED,
            )
            first += BLOCK
    else:
        for start in range(first, last, BLOCK):
            total = _add_block(
                total,
                x,
                y,
                row,
                column,
                rows,
                columns,
                start,
                last,
                x_row,
                x_column,
                y_row,
                y_column,
                BLOCK,
                PRECISION,
                INTERPRETED,
            )
    place = result + (group.to(tl.int64) * rows + row[:, None]) * columns + column[None, :]
    is_inside = (row < rows)[:, None] & (column < columns)[None, :]
    tl.store(place, total.to(result.dtype.element_ty), is_inside)


@triton.jit
def _add_block(
    total,
    x,
    y,
    row,
    column,
    rows,
    columns,
    first,
    last,
    x_row,
    x_column,
    y_row,
    y_column,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    member = first + tl.arange(0, BLOCK)
    inside = member < last
    member = member.to(tl.int64)
    left = x + row[:, None] * x_column + member[None, :] * x_row
    right = y + member[:, None] * y_row + column[None, :] * y_column
    a = tl.load(left, (row < rows)[:, None] & inside[None, :], other=0)
    b = tl.load(right, inside[:, None] & (column < columns)[None, :], other=0)
    return _add_product(total, a, b, PRECISION, INTERPRETED)


@triton.jit
def _add_product(total, a, b, PRECISION: tl.constexpr, INTERPRETED: tl.constexpr):
    if INTERPRETED and a.dtype == tl.bfloat16:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, input_precision=PRECISION, out_dtype=total.dtype)
