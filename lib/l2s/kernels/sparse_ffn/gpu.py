"""The operator on a GPU: Triton, one kernel for the hidden numbers and one for their sum.

Both read the rows of active neurons only. No two programs add into the same place, so results do
not change from run to run.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from l2s.kernels.precision import wide
from l2s.kernels.sparse_ffn.reference import ACTIVATIONS

MARKS_BAD_LISTS = False
_WARPS = 4


def forward(
    x: Tensor, keys: Tensor, values: Tensor, active: Tensor, gates: Tensor | None, activation: str
) -> Tensor:
    """Return the sum over the neurons that are active for each token: a mask, or lists."""
    is_mask = active.dtype == torch.bool
    rows, gates = _as_lists(active, gates) if is_mask else (active, gates)
    tokens, width = rows.shape
    hidden = x.new_empty(tokens, width, dtype=wide(x.dtype))
    result = x.new_empty(tokens, values.shape[1])
    if not width:
        return result.zero_()
    hidden_kernel[(tokens, triton.cdiv(width, ROWS))](
        x,
        keys,
        rows,
        hidden if gates is None else gates,
        hidden,
        width,
        keys.shape[1],
        num_warps=_WARPS,
        **hidden_constants(keys.shape[1], gates is not None, activation),
    )
    sum_kernel[(tokens, triton.cdiv(values.shape[1], COLUMNS))](
        values,
        rows,
        hidden,
        result,
        width,
        values.shape[1],
        num_warps=_WARPS,
        **sum_constants(width),
    )
    return result


ROWS, INNER = 16, 256  # neurons and inputs that a program of the first kernel takes at a time
COLUMNS, NEURONS = 128, 16  # outputs and neurons, of the second


def hidden_constants(inputs: int, is_gated: bool, activation: str) -> dict[str, Any]:
    """What the first kernel is compiled for."""
    return {
        "IS_GATED": is_gated,
        "ACTIVATION": ACTIVATIONS.index(activation),
        "ROWS": ROWS,
        "BLOCK": INNER,
        "BLOCKS": triton.cdiv(inputs, INNER),
    }


def sum_constants(width: int) -> dict[str, Any]:
    """What the second kernel is compiled for: widths up to the next power of two share one."""
    blocks = triton.next_power_of_2(triton.cdiv(width, NEURONS))
    return {"COLUMNS": COLUMNS, "NEURONS": NEURONS, "BLOCKS": blocks}


def _as_lists(mask: Tensor, gates: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The active neurons of each token, filled with -1, and the gates beside them."""
    counts = mask.sum(dim=1)
    width = int(counts.max())
    places = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]
    is_filled = torch.arange(width, device=mask.device) < counts[:, None]
    beside = None if gates is None else gates.gather(1, places).contiguous()
    return torch.where(is_filled, places, -1).contiguous(), beside


@triton.jit
def hidden_kernel(
    x,
    keys,
    rows,
    gates,
    hidden,
    width,
    inputs,
    IS_GATED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Some entries of one token's list: φ of the scores, times the gates; 0 where it is filled."""
    token = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    is_listed = place < width
    neuron = tl.load(rows + token * width + place, is_listed, other=-1)
    is_active = neuron >= 0
    kind: tl.constexpr = hidden.dtype.element_ty
    total = tl.zeros([ROWS, BLOCK], kind)
    for block in range(BLOCKS):
        column = block * BLOCK + tl.arange(0, BLOCK)
        inside = column < inputs
        own = tl.load(x + token * inputs + column, inside, other=0).to(kind)
        key = tl.load(
            keys + neuron[:, None] * inputs + column[None, :],
            is_active[:, None] & inside[None, :],
            other=0,
        )
        total += key.to(kind) * own[None, :]
    score = tl.sum(total, axis=1)
    if ACTIVATION == 0:
        score = tl.where(score < 0, 0, score)
    if ACTIVATION == 1:
        score = score * 0.5 * (1 + tl.erf(score * 0.7071067811865476))
    if IS_GATED:
        score *= tl.load(gates + token * width + place, is_active, other=0).to(kind)
    tl.store(hidden + token * width + place, tl.where(is_active, score, 0), is_listed)


@triton.jit
def sum_kernel(
    values,
    rows,
    hidden,
    result,
    width,
    outputs,
    COLUMNS: tl.constexpr,
    NEURONS: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Some outputs of one token: the sum over its neurons."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = column < outputs
    kind: tl.constexpr = hidden.dtype.element_ty
    total = tl.zeros([NEURONS, COLUMNS], kind)
    for block in range(BLOCKS):
        place = block * NEURONS + tl.arange(0, NEURONS)
        neuron = tl.load(rows + token * width + place, place < width, other=-1)
        is_active = neuron >= 0
        share = tl.load(hidden + token * width + place, is_active, other=0)
        value = tl.load(
            values + neuron[:, None] * outputs + column[None, :],
            is_active[:, None] & is_column[None, :],
            other=0,
        )
        total += share[:, None] * value.to(kind)
    total = tl.sum(total, axis=0).to(result.dtype.element_ty)
    tl.store(result + token * outputs + column, total, is_column)
