"""Rows of unit length, and the check that rows already have it."""

import torch
from torch import Tensor

from l2s import checks
from l2s.kernels.precision import widened

_TOLERANCE = 0.01  # a unit vector that was rounded to bfloat16 is within 0.004


def unit_rows(normalize: bool, **rows: Tensor) -> list[Tensor]:
    """Return each tensor of rows with rows of unit length, in float32 at least.

    Args:
        normalize: Divide rows by their length. With False only check that it is 1.
        rows: Under the names that the caller's reader knows, tensors of shape (rows, dim) of one
            floating dtype, on one device.

    Raises:
        TypeError: The tensors have two dtypes.
        ValueError: A tensor is empty or on another device, an entry is NaN or infinite, a row is
            the zero vector or, with normalize=False, not of unit length within one per cent.

    >>> unit_rows(True, features=torch.tensor([[3.0, 4.0], [0.0, 1e-30]]))
    [tensor([[0.6000, 0.8000],
            [0.0000, 1.0000]])]
    >>> unit_rows(False, features=torch.tensor([[3.0, 4.0]]))
    Traceback (most recent call last):
    ValueError: Row 0 of `features` has length 5, but normalize=False needs rows of unit length...
    """
    checks.same_dtype(**rows)
    checks.same_device(**rows)
    return [_unit(name, tensor, normalize) for name, tensor in rows.items()]


def _unit(name: str, rows: Tensor, normalize: bool) -> Tensor:
    if not rows.numel():
        raise ValueError(f"`{name}` has shape {tuple(rows.shape)} and is empty. Pass some rows.")
    wide = widened(rows)
    if normalize:
        return _divide(name, wide)
    _check_length(name, wide)
    return wide


def _divide(name: str, rows: Tensor) -> Tensor:
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    shortest, longest = (float(end) for end in lengths.detach().aminmax())
    if torch.finfo(rows.dtype).tiny ** 0.4 < shortest and longest < float("inf"):
        return rows / lengths
    # The squares left the range of the dtype, or an entry is no number.
    checks.finite(name, rows)
    largest = rows.detach().abs().amax(dim=1, keepdim=True)
    _check_not_zero(name, largest)
    rows = rows / largest
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)


def _check_length(name: str, rows: Tensor) -> None:
    checks.finite(name, rows)
    lengths = torch.linalg.vector_norm(rows.detach(), dim=1)
    off = (lengths - 1).abs()
    if off.amax() > _TOLERANCE:
        worst = int(off.argmax())
        raise ValueError(
            f"Row {worst} of `{name}` has length {lengths[worst].item():.4g}, but normalize=False "
            "needs rows of unit length. Pass normalize=True."
        )


def _check_not_zero(name: str, largest: Tensor) -> None:
    zero = (largest == 0).flatten().nonzero().flatten().tolist()
    if zero:
        raise ValueError(
            f"Row {zero[0]} of `{name}` is the zero vector ({len(zero)} such rows), which has no "
            "direction. Drop such rows, or look for a layer whose outputs have died."
        )
