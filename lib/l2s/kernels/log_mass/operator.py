"""The operator, registered once with PyTorch: autograd, torch.compile and opcheck see one op."""

import math
from typing import Any

import torch
from torch import Tensor

from l2s.kernels.log_mass import rectangular, symmetric
from l2s.kernels.log_mass.reference import log_mass_reference
from l2s.kernels.registration import registered

_SMALL = 128 * 128  # products up to this size are quicker without the operator
_KEEPING_BLOCK = 512  # rows a block where the exponentials are kept: few calls, in the cache


def unit_log_mass(
    anchors: Tensor,
    candidates: Tensor,
    excluded: Tensor,
    temperature: float,
    block_size: int | None,
) -> Tensor:
    """What ``log_mass`` computes, unchecked, for rows of unit length (within one per cent)."""
    return dispatch(anchors, candidates, excluded, temperature, 1.03 / temperature, block_size)


def dispatch(
    anchors: Tensor,
    candidates: Tensor,
    excluded: Tensor,
    temperature: float,
    bound: float,
    block_size: int | None,
) -> Tensor:
    """Choose the way that suits the sizes and the largest logit."""
    with torch.autocast(anchors.device.type, enabled=False):
        if len(anchors) * len(candidates) <= _SMALL:
            return log_mass_reference(anchors, candidates, excluded, temperature=temperature)
        needs_gradient = anchors.requires_grad or candidates.requires_grad
        # Below this bound no exponential leaves the dtype's range, nor does the sum of a row.
        shifted = bound > 0.7 * math.log(torch.finfo(anchors.dtype).max)
        return operator(
            anchors,
            None if candidates is anchors and not shifted else candidates,
            excluded,
            float(temperature),
            block_size or _KEEPING_BLOCK,
            shifted,
            keep=block_size is None and needs_gradient and torch.is_grad_enabled(),
        )[0]


@registered("log_mass")
def operator(
    anchors: Tensor,
    candidates: Tensor | None,
    excluded: Tensor,
    temperature: float,
    block_size: int,
    shifted: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return log U, and for the backward pass U, the rows' shifts and the kept exponentials.

    ``candidates`` is None where the anchors are their own candidates and no shift is needed.
    """
    if candidates is None:
        mass, kept = symmetric.forward(anchors, excluded, temperature, block_size, keep)
        shift = torch.zeros_like(mass)
    else:
        mass, shift, kept = rectangular.forward(
            anchors, candidates, excluded, temperature, block_size, shifted, keep
        )
    return mass.log().add_(shift), mass, shift, kept


@registered("log_mass_backward")
def operator_backward(
    gradient: Tensor,
    anchors: Tensor,
    candidates: Tensor | None,
    excluded: Tensor,
    temperature: float,
    block_size: int,
    mass: Tensor,
    shift: Tensor,
    kept: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the gradients for anchors and candidates (empty where there are none)."""
    coefficient = gradient / mass
    if candidates is None:
        for_anchors = symmetric.backward(
            coefficient, anchors, excluded, temperature, block_size, kept
        )
        return for_anchors, anchors.new_empty(0)
    return rectangular.backward(
        coefficient, anchors, candidates, excluded, temperature, block_size, shift, kept
    )


@torch.library.register_fake(operator)
def _shapes(
    anchors: Tensor,
    candidates: Tensor | None,
    excluded: Tensor,
    temperature: float,
    block_size: int,
    shifted: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = len(anchors)
    size = 0
    if keep and candidates is None:
        size = symmetric.kept_size(rows, block_size)
    elif keep and candidates is not None:
        size = rows * len(candidates)
    row = anchors.new_empty(rows)
    return row, torch.empty_like(row), torch.empty_like(row), anchors.new_empty(size)


@torch.library.register_fake(operator_backward)
def _backward_shapes(
    gradient: Tensor, anchors: Tensor, candidates: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor]:
    for_candidates = anchors.new_empty(0) if candidates is None else torch.empty_like(candidates)
    return torch.empty_like(anchors), for_candidates


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    anchors, candidates, excluded, temperature, block_size, _, _ = inputs
    _, mass, shift, kept = output
    ctx.mark_non_differentiable(mass, shift, kept)
    ctx.set_materialize_grads(False)  # no zeros as large as `kept` for outputs without a gradient
    ctx.save_for_backward(anchors, candidates, excluded, mass, shift, kept)
    ctx.temperature, ctx.block_size = temperature, block_size


def _differentiate(ctx: Any, gradient: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    anchors, candidates, excluded, mass, shift, kept = ctx.saved_tensors
    if gradient is None:
        return (None,) * 7
    if torch.is_grad_enabled():  # a second derivative is asked for: let autograd see the definition
        for_anchors, for_candidates = _differentiable_backward(
            gradient, anchors, candidates, excluded, ctx.temperature
        )
    else:
        for_anchors, for_candidates = operator_backward(
            gradient,
            anchors,
            candidates,
            excluded,
            ctx.temperature,
            ctx.block_size,
            mass,
            shift,
            kept,
        )
    if candidates is None:
        for_candidates = None
    return for_anchors, for_candidates, None, None, None, None, None


def _differentiable_backward(
    gradient: Tensor,
    anchors: Tensor,
    candidates: Tensor | None,
    excluded: Tensor,
    temperature: float,
) -> tuple[Tensor | None, Tensor | None]:
    # The views tell the two roles apart where one tensor plays both.
    a = anchors.view_as(anchors)
    c = a if candidates is None else candidates.view_as(candidates)
    log_mass = log_mass_reference(a, c, excluded, temperature=temperature)
    wanted = [tensor for tensor in (a, c) if tensor.requires_grad]
    found = torch.autograd.grad(log_mass, wanted, gradient, create_graph=True)
    gradients = dict(zip(map(id, wanted), found, strict=True))
    return gradients.get(id(a)), gradients.get(id(c))


torch.library.register_autograd(operator, _differentiate, setup_context=_save)
