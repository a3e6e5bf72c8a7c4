"""The operator, registered once with PyTorch: autograd, torch.compile and opcheck see one op."""

from typing import Any

import torch
from torch import Tensor

from l2s import checks
from l2s.kernels.backends import backend
from l2s.kernels.precision import wide
from l2s.kernels.quantile import upper_quantile
from l2s.kernels.registration import registered


@registered("statistical_topk")
def operator(x: Tensor, k: int, correction: int, hard: bool) -> tuple[Tensor, Tensor]:
    """Return y of contiguous rows, and the rows' states for the backward pass.

    What depends on values is checked here, so that it is checked in a compiled graph too.
    """
    if not x.numel():
        return torch.empty_like(x), _empty_state(x)
    implementation = backend("statistical_topk", x.device.type, x.numel())
    result, state, is_finite = implementation.forward(
        x, upper_quantile(k, x.shape[1]), correction, hard
    )
    if not is_finite:
        checks.finite("x", x)
    return result, state


@registered("statistical_topk_mask")
def mask_operator(x: Tensor, k: int, correction: int) -> Tensor:
    """Return which numbers of contiguous rows are kept."""
    if not x.numel():
        return torch.empty_like(x, dtype=torch.bool)
    implementation = backend("statistical_topk", x.device.type, x.numel())
    result, is_finite = implementation.mask(x, upper_quantile(k, x.shape[1]), correction)
    if not is_finite:
        checks.finite("x", x)
    return result


@registered("statistical_topk_backward")
def operator_backward(
    gradient: Tensor, x: Tensor, state: Tensor, k: int, correction: int, hard: bool
) -> Tensor:
    """Return the gradient for x."""
    if not x.numel():
        return torch.empty_like(x)
    implementation = backend("statistical_topk", x.device.type, x.numel())
    result: Tensor = implementation.backward(
        gradient.contiguous(), x, state, upper_quantile(k, x.shape[1]), correction, hard
    )
    return result


@torch.library.register_fake(operator)
def _shapes(x: Tensor, k: int, correction: int, hard: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), _empty_state(x)


@torch.library.register_fake(mask_operator)
def _mask_shape(x: Tensor, k: int, correction: int) -> Tensor:
    return torch.empty_like(x, dtype=torch.bool)


@torch.library.register_fake(operator_backward)
def _backward_shape(gradient: Tensor, x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


def _empty_state(x: Tensor) -> Tensor:
    return x.new_empty(len(x), 3, dtype=wide(x.dtype))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, ctx.k, ctx.correction, ctx.hard = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, output[1])


def _differentiate(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    x, state = ctx.saved_tensors
    if gradient is None:
        return None, None, None, None
    given = (ctx.k, ctx.correction, ctx.hard)
    if torch.is_grad_enabled():  # a further derivative is asked for
        result = _differentiable_backward(gradient, x, state, *given)
    else:
        result = operator_backward(gradient, x, state, *given)
    return result, None, None, None


def _differentiable_backward(
    gradient: Tensor, x: Tensor, state: Tensor, k: int, correction: int, hard: bool
) -> Tensor:
    """The same gradient as a formula in x and the gradient of y: any order follows."""
    passed = torch.where(x > state[:, 2:], gradient, 0)
    if hard:
        return passed
    centred = x - x.mean(dim=1, keepdim=True)
    squares = centred.square().sum(dim=1, keepdim=True)
    is_flat = squares == 0
    # c / ((n - c) s), written without the deviation: s^2 = squares / (n - c)
    scale = ((x.shape[1] - correction) * torch.where(is_flat, 1, squares)).rsqrt()
    slope = torch.where(is_flat, 0, upper_quantile(k, x.shape[1]) * centred * scale)
    return passed - passed.sum(dim=1, keepdim=True) * (1 / x.shape[1] + slope)


torch.library.register_autograd(operator, _differentiate, setup_context=_save)
