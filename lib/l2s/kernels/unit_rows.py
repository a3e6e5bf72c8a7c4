"""Rows of unit length, and the check that rows already have it."""

import torch
from torch import Tensor

from l2s import checks

_TOLERANCE = 0.01  # a unit vector that was rounded to bfloat16 is within 0.004


def unit_rows(name: str, rows: Tensor) -> Tensor:
    """Divide each row by its length.

    Args:
        name: What the caller calls the tensor, for the error message.
        rows: Shape (rows, dim), float32 or float64.

    Raises:
        ValueError: An entry is NaN or infinite, or a row is the zero vector.
    """
    checks.finite(name, rows)
    largest = rows.detach().abs().amax(dim=1, keepdim=True)
    zero = (largest == 0).flatten().nonzero().flatten().tolist()
    if zero:
        raise ValueError(
            f"Row {zero[0]} of `{name}` is the zero vector ({len(zero)} such rows), which has no "
            "direction. Drop such rows, or look for a layer whose outputs have died."
        )
    rows = rows / largest
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def check_unit_rows(name: str, rows: Tensor) -> None:
    """Raise ``ValueError`` unless each row is finite and of unit length within one per cent."""
    checks.finite(name, rows)
    lengths = torch.linalg.vector_norm(rows.detach(), dim=1)
    wrong = ((lengths - 1).abs() > _TOLERANCE).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(
            f"Row {wrong[0]} of `{name}` has length {lengths[wrong[0]].item():.4g} ({len(wrong)} "
            "such rows), but normalize=False needs rows of unit length. Pass normalize=True."
        )
