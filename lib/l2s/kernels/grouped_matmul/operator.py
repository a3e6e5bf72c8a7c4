"""The operator, registered once with PyTorch: autograd, torch.compile and opcheck see one op.

It has two halves. ``operator`` multiplies rows by their group's matrix, ``outer`` sums outer
products over the rows of each group. The derivative of each is made of the two, so that derivatives
of any order follow.
"""

from typing import Any

import torch
from torch import Tensor

from l2s.kernels.backends import backend
from l2s.kernels.registration import registered


@registered("grouped_matmul")
def operator(x: Tensor, weights: Tensor, sizes: Tensor) -> Tensor:
    """Return x_i W_g(i) for every row i.

    What depends on values is checked here, so that it is checked in a compiled graph too.
    """
    counts = _counts(sizes, len(x))
    if not (x.numel() and weights.numel()):
        return x.new_zeros(len(x), weights.shape[2])
    implementation = backend("grouped_matmul", x.device.type, x.numel())
    result: Tensor = implementation.multiply(x, weights, counts)
    return result


@registered("grouped_outer")
def outer(x: Tensor, y: Tensor, sizes: Tensor) -> Tensor:
    """Return for every group the sum of x_i y_i^T over its rows."""
    counts = _counts(sizes, len(x))
    if not (x.numel() and y.numel()):
        return x.new_zeros(len(sizes), x.shape[1], y.shape[1])
    implementation = backend("grouped_matmul", x.device.type, x.numel())
    result: Tensor = implementation.outer(x, y, counts)
    return result


@torch.library.register_fake(operator)
def _shape(x: Tensor, weights: Tensor, sizes: Tensor) -> Tensor:
    return x.new_empty(len(x), weights.shape[2])


@torch.library.register_fake(outer)
def _outer_shape(x: Tensor, y: Tensor, sizes: Tensor) -> Tensor:
    return x.new_empty(len(sizes), x.shape[1], y.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, weights, sizes = ctx.saved_tensors
    needs_x, needs_weights, _ = ctx.needs_input_grad
    return (
        operator(gradient, weights.transpose(1, 2), sizes) if needs_x else None,
        outer(x, gradient, sizes) if needs_weights else None,
        None,
    )


def _differentiate_outer(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, y, sizes = ctx.saved_tensors
    needs_x, needs_y, _ = ctx.needs_input_grad
    return (
        operator(y, gradient.transpose(1, 2), sizes) if needs_x else None,
        operator(x, gradient, sizes) if needs_y else None,
        None,
    )


def _counts(sizes: Tensor, rows: int) -> list[int]:
    counts: list[int] = sizes.tolist()
    if min(counts, default=0) < 0 or sum(counts) != rows:
        raise ValueError(
            f"`group_sizes` has the smallest entry {min(counts, default=0)} and the sum "
            f"{sum(counts)}, but must count the {rows} rows of `x`, each once. Pass how many rows "
            "each group has, in the order of the rows."
        )
    return counts


torch.library.register_autograd(operator, _differentiate, setup_context=_save)
torch.library.register_autograd(outer, _differentiate_outer, setup_context=_save)
