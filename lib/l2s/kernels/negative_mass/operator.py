"""The operator, registered once with PyTorch: autograd, torch.compile and opcheck see one op."""

from typing import Any

import torch
from torch import Tensor

from l2s import checks
from l2s.kernels.backends import backend
from l2s.kernels.negative_mass.reference import differentiable
from l2s.kernels.registration import registered


@registered("negative_mass")
def operator(scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return l of contiguous rows, their decoupled loss, and their states for the backward pass.

    What depends on values is checked here, so that it is checked in a compiled graph too.
    """
    rows = len(scores)
    if not scores.numel():
        return scores.new_empty(rows), scores.new_empty(rows), scores.new_empty(rows, 2)
    implementation = backend("negative_mass", scores.device.type, scores.numel())
    checks_itself: bool = implementation.MARKS_BAD_ROWS
    if not checks_itself:
        _check(scores, positives)
    mass, loss, state = implementation.forward(scores, positives)
    if checks_itself and state.isnan().any():
        _check(scores, positives)
    return mass, loss, state


@registered("negative_mass_backward")
def operator_backward(
    for_mass: Tensor, for_loss: Tensor, scores: Tensor, positives: Tensor, state: Tensor
) -> Tensor:
    """Return the gradient for the scores, given those for l and for the loss."""
    if not scores.numel():
        return torch.empty_like(scores)
    implementation = backend("negative_mass", scores.device.type, scores.numel())
    result: Tensor = implementation.backward(for_mass, for_loss, scores, positives, state)
    return result


@torch.library.register_fake(operator)
def _shapes(scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    rows = len(scores)
    return scores.new_empty(rows), scores.new_empty(rows), scores.new_empty(rows, 2)


@torch.library.register_fake(operator_backward)
def _backward_shapes(for_mass: Tensor, for_loss: Tensor, scores: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(scores)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    scores, positives = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.save_for_backward(scores, positives, output[2])


def _differentiate(ctx: Any, for_mass: Tensor, for_loss: Tensor, _: Tensor) -> tuple[Tensor, None]:
    scores, positives, state = ctx.saved_tensors
    if torch.is_grad_enabled():  # a further derivative is asked for: autograd sees the definition
        own = scores.view_as(scores)
        found = torch.autograd.grad(
            differentiable(own, positives), own, (for_mass, for_loss), create_graph=True
        )
        return found[0], None
    return operator_backward(for_mass, for_loss, scores, positives, state), None


def _check(scores: Tensor, positives: Tensor) -> None:
    checks.finite("scores", scores)
    if positives.dtype == torch.bool or not positives.numel():
        return
    columns = scores.shape[1]
    low, high = (int(end) for end in positives.aminmax())
    if low < -1 or high >= columns:
        raise ValueError(
            f"`positives` names columns from {low} to {high}, but `scores` has the columns 0 to "
            f"{columns - 1}. Pass column numbers, and -1 to fill a shorter list."
        )
    ordered = positives.sort(dim=1).values
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if repeated.any():
        row, place = (int(index) for index in repeated.nonzero()[0])
        raise ValueError(
            f"Row {row} of `positives` names column {int(ordered[row, place])} twice. "
            "Name each positive once, and fill a shorter list with -1."
        )


torch.library.register_autograd(operator, _differentiate, setup_context=_save)
