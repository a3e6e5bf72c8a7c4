"""The operator, registered once with PyTorch: autograd, torch.compile and opcheck see one op."""

from typing import Any

import torch
from torch import Tensor

from l2s import checks
from l2s.kernels.backends import backend
from l2s.kernels.registration import registered

_SHARPEST = 1e30  # beyond it, scores that float32 can tell apart have long been chosen or not


@registered("soft_topk")
def operator(scores: Tensor, k: Tensor, sharpness: float, log: bool) -> tuple[Tensor, Tensor]:
    """Return p (or log p) of contiguous rows, and the rows' states for the backward pass.

    What depends on values is checked here, so that it is checked in a compiled graph too.
    """
    _check_k(k, scores.shape[1])
    if not scores.numel():
        return torch.empty_like(scores), scores.new_empty(len(scores), 3)
    implementation = backend("soft_topk", scores.device.type, scores.numel())
    if not implementation.MARKS_BAD_ROWS:
        checks.finite("scores", scores)
    result, state = implementation.forward(scores, k, min(sharpness, _SHARPEST), log)
    if implementation.MARKS_BAD_ROWS and state.isnan().any():
        checks.finite("scores", scores)
    return result, state


@registered("soft_topk_backward")
def operator_backward(
    gradient: Tensor, scores: Tensor, state: Tensor, sharpness: float, log: bool
) -> Tensor:
    """Return the gradient for the scores."""
    if not scores.numel():
        return torch.empty_like(scores)
    implementation = backend("soft_topk", scores.device.type, scores.numel())
    sharpness = min(sharpness, _SHARPEST)
    result: Tensor = implementation.backward(gradient, scores, state, sharpness, log)
    return result


@torch.library.register_fake(operator)
def _shapes(scores: Tensor, k: Tensor, sharpness: float, log: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(scores), scores.new_empty(len(scores), 3)


@torch.library.register_fake(operator_backward)
def _backward_shapes(gradient: Tensor, scores: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(scores)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    scores, k, sharpness, log = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(scores, k, output[1])
    ctx.sharpness, ctx.log = sharpness, log


def _differentiate(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    scores, k, state = ctx.saved_tensors
    if gradient is None:
        return None, None, None, None
    if torch.is_grad_enabled():  # a further derivative is asked for
        result = _differentiable_backward(gradient, scores, k, ctx.sharpness, ctx.log)
    else:
        result = operator_backward(gradient, scores, state, ctx.sharpness, ctx.log)
    return result, None, None, None


def _differentiable_backward(
    gradient: Tensor, scores: Tensor, k: Tensor, sharpness: float, log: bool
) -> Tensor:
    """The same gradient as a formula in p, which is the operator again: any order follows."""
    result = operator(scores, k, sharpness, log)[0]
    p, q = (result.exp(), -result.expm1()) if log else (result, 1 - result)
    v = p * q
    weight = v / v.sum(dim=1, keepdim=True).clamp(min=torch.finfo(v.dtype).tiny)
    u = gradient * (q if log else v)
    return sharpness * (u - weight * u.sum(dim=1, keepdim=True))


def _check_k(k: Tensor, columns: int) -> None:
    if not k.numel():
        return
    low, high = (int(end) for end in k.aminmax())
    if low < 1 or high >= columns:
        found = str(low) if low == high else f"{low} to {high}"
        raise ValueError(
            f"`k` is {found}, but must lie between 1 and n - 1 = {columns - 1} for {columns} "
            "scores: a soft choice of none or of all of them is no choice. Pass fewer, or more "
            "scores."
        )


torch.library.register_autograd(operator, _differentiate, setup_context=_save)
