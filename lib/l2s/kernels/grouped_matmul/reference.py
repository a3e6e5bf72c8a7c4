"""The definition of the operator, in plain PyTorch: one product for each group of rows."""

import torch
from torch import Tensor


def multiply(x: Tensor, weights: Tensor, sizes: list[int]) -> Tensor:
    """Return every row of ``x`` times the matrix of its group."""
    return torch.cat([part @ w for part, w in zip(x.split(sizes), weights, strict=True)])


def outer(x: Tensor, y: Tensor, sizes: list[int]) -> Tensor:
    """Return for each group the sum over its rows of x_i y_i^T."""
    parts = zip(x.split(sizes), y.split(sizes), strict=True)
    return torch.stack([left.T @ right for left, right in parts])
