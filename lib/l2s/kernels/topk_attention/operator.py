"""The operator, registered once with PyTorch: autograd, torch.compile and opcheck see one op.

Its backward pass is written with PyTorch's own operations on the scores of all keys, so that
derivatives of any order follow. Which keys are chosen counts as fixed.
"""

from typing import Any

import torch
from torch import Tensor

from l2s import checks
from l2s.kernels.backends import backend
from l2s.kernels.precision import in_dtype, widened
from l2s.kernels.registration import registered
from l2s.kernels.topk_attention.reference import Choice, quantiles, score, visible

NAMES = ("query", "keys", "values", "predictor_query", "predictor_keys")


@registered("topk_attention")
def operator(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    predictor_query: Tensor | None,
    predictor_keys: Tensor | None,
    width: int,
    start: int,
    top_k: int,
    threshold: float,
    scale: float,
    is_causal: bool,
    is_spark: bool,
) -> Tensor:
    """Return the attention over the chosen keys; heads of all batches on one axis.

    What depends on values is checked here, so that it is checked in a compiled graph too.
    """
    choice = Choice(width, start, top_k, threshold, scale, is_causal, is_spark)
    if not (query.shape[0] and query.shape[1] and values.shape[2]):
        return query.new_zeros(*query.shape[:2], values.shape[2])
    own_query = query if predictor_query is None else predictor_query
    own_keys = keys if predictor_keys is None else predictor_keys
    given = [tensor.contiguous() for tensor in (query, keys, values, own_query, own_keys)]
    implementation = backend("topk_attention", query.device.type, keys.numel())
    result: Tensor
    result, is_finite = implementation.forward(*given, choice)
    if not is_finite:
        for name, tensor in zip(NAMES, given, strict=True):
            checks.finite(name, tensor)
    return result


@torch.library.register_fake(operator)
def _shape(query: Tensor, keys: Tensor, values: Tensor, *_: Any) -> Tensor:
    return query.new_empty(*query.shape[:2], values.shape[2])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.choice = Choice(*inputs[5:])


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    choice = ctx.choice
    # As in the forward pass, or half precision would choose other keys.
    query, keys, values = map(widened, ctx.saved_tensors[:3])
    gradient = widened(gradient)
    has_cache = ctx.saved_tensors[3] is not None
    own_query, own_keys = query, keys
    if has_cache:
        own_query, own_keys = (in_dtype(each, query.dtype) for each in ctx.saved_tensors[3:])
    found = score(query, keys, own_query, own_keys, choice)
    is_read = found.is_chosen.any(dim=-2)[..., None]  # the others may be anything
    keys, values = torch.where(is_read, keys, 0), torch.where(is_read, values, 0)
    weights = found.logits.softmax(dim=-1)
    pull = gradient @ values.mT
    pull = weights * (pull - (weights * pull).sum(dim=-1, keepdim=True))  # for the logits
    for_predicted = None
    if choice.is_spark:
        height = torch.where(found.is_chosen, found.predicted - found.threshold, 0)
        for_predicted = _through_threshold(
            pull * torch.nn.functional.softplus(found.scaled), found.predicted, choice
        )
        pull = pull * height * found.scaled.sigmoid()
    pull = choice.scale * pull
    for_query = _placed(pull @ keys[..., choice.start :], query, choice.start)
    for_keys = _placed(pull.mT @ query[..., choice.start :], keys, choice.start)
    for_own_query = for_own_keys = None
    if for_predicted is not None:
        for_own_query = _placed(for_predicted @ own_keys[..., : choice.width], own_query, 0)
        for_own_keys = _placed(for_predicted.mT @ own_query[..., : choice.width], own_keys, 0)
        if not has_cache:
            for_query, for_own_query = for_query + for_own_query, None
            for_keys, for_own_keys = for_keys + for_own_keys, None
    results = (for_query, for_keys, weights.mT @ gradient, for_own_query, for_own_keys)
    given = zip(results, ctx.saved_tensors, strict=True)
    return (*(None if each is None else each.to(like.dtype) for each, like in given), *[None] * 7)


def _through_threshold(pull: Tensor, predicted: Tensor, choice: Choice) -> Tensor:
    """The gradient for the scores p, given that for p less its threshold."""
    if not choice.top_k:
        return pull
    is_seen = visible(predicted, choice.is_causal)
    count = is_seen.sum(dim=-1, keepdim=True)
    mean = torch.where(is_seen, predicted, 0).sum(dim=-1, keepdim=True) / count
    centred = torch.where(is_seen, predicted - mean, 0)
    squares = centred.square().sum(dim=-1, keepdim=True)
    is_flat = squares == 0
    quantile = quantiles(count, choice.top_k).to(predicted.dtype)
    scale = quantile * ((count - 1).clamp(min=1) * torch.where(is_flat, 1, squares)).rsqrt()
    slope = torch.where(is_flat, 0, scale * centred) + is_seen / count
    lost = torch.where(count > choice.top_k, pull.sum(dim=-1, keepdim=True), 0)
    return pull - lost * slope


def _placed(part: Tensor, like: Tensor, start: int) -> Tensor:
    """A gradient for some of the dimensions, with 0 for the others."""
    after = like.shape[-1] - start - part.shape[-1]
    return torch.nn.functional.pad(part, (start, after))


torch.library.register_autograd(operator, _differentiate, setup_context=_save)
