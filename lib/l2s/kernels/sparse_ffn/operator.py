"""The operator, registered once with PyTorch: autograd, torch.compile and opcheck see one op.

Its backward pass is written with PyTorch's own operations on the dense layer with a mask, so that
derivatives of any order follow.
"""

import math
from typing import Any

import torch
from torch import Tensor

from l2s.kernels.backends import backend
from l2s.kernels.registration import registered
from l2s.kernels.sparse_ffn.reference import activate, check_lists


@registered("sparse_ffn")
def operator(
    x: Tensor, keys: Tensor, values: Tensor, active: Tensor, gates: Tensor | None, activation: str
) -> Tensor:
    """Return the sum over the active neurons of each token.

    What depends on values is checked here, so that it is checked in a compiled graph too.
    """
    if not (x.numel() and active.numel() and values.numel()):
        return x.new_zeros(len(x), values.shape[1])
    implementation = backend("sparse_ffn", x.device.type, keys.numel())
    if not implementation.MARKS_BAD_LISTS:
        check_lists(active, len(keys))
    result: Tensor = implementation.forward(
        x.contiguous(),
        keys.contiguous(),
        values.contiguous(),
        active.contiguous(),
        None if gates is None else gates.contiguous(),
        activation,
    )
    return result


@torch.library.register_fake(operator)
def _shape(x: Tensor, keys: Tensor, values: Tensor, *_: Any) -> Tensor:
    return x.new_empty(len(x), values.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.activation = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, keys, values, active, gates = ctx.saved_tensors
    needs_x, needs_keys, needs_values, _, needs_gates, _ = ctx.needs_input_grad
    mask = _everywhere(torch.ones_like(active, dtype=x.dtype), active, len(keys))
    scores = x @ keys.T
    pull = gradient @ values.T
    hidden = activate(scores, ctx.activation)
    gated = mask if gates is None else _everywhere(gates, active, len(keys))
    slopes = gated * _slope(scores, ctx.activation) * pull
    return (
        slopes @ keys if needs_x else None,
        slopes.T @ x if needs_keys else None,
        (gated * hidden).T @ gradient if needs_values else None,
        None,
        _beside(mask * hidden * pull, active) if needs_gates else None,
        None,
    )


def _everywhere(entries: Tensor, active: Tensor, neurons: int) -> Tensor:
    """Entries of the shape of ``active`` as one for every neuron, 0 for those not active."""
    if active.dtype == torch.bool:
        return torch.where(active, entries, 0)
    kept = torch.where(active >= 0, entries, 0)
    return kept.new_zeros(len(kept), neurons).scatter_add(1, active.clamp(min=0), kept)


def _beside(everywhere: Tensor, active: Tensor) -> Tensor:
    """The reverse: what stands at the neurons of ``active``."""
    if active.dtype == torch.bool:
        return torch.where(active, everywhere, 0)
    return torch.where(active >= 0, everywhere.gather(1, active.clamp(min=0)), 0)


def _slope(scores: Tensor, activation: str) -> Tensor:
    """The derivative of φ."""
    if activation == "relu":
        return (scores > 0).to(scores.dtype)
    if activation == "linear":
        return torch.ones_like(scores)
    density = (-scores.square() / 2).exp() / math.sqrt(2 * math.pi)
    return torch.special.ndtr(scores) + scores * density


torch.library.register_autograd(operator, _differentiate, setup_context=_save)
