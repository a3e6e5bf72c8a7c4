"""In which precision an operator computes: float64 stays, all else is float32."""

import torch
from torch import Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of sums over numbers of a floating dtype.

    >>> wide(torch.bfloat16)
    torch.float32
    """
    return torch.float64 if dtype == torch.float64 else torch.float32


def widened(numbers: Tensor) -> Tensor:
    """Return the numbers in that dtype, the tensor itself where it has it."""
    return in_dtype(numbers, wide(numbers.dtype))


def in_dtype(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the numbers in a dtype; where they have it, PyTorch is not even asked."""
    return numbers if numbers.dtype == dtype else numbers.to(dtype)
