r"""Attention over few keys: a cheap predictor chooses them, and only their values are read.

``reference.py`` is the definition, ``cpu.py`` (numba) and ``gpu.py`` (Triton) are the fast ways;
``operator.py`` registers them as one operator.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from l2s import checks
from l2s.kernels.precision import widened
from l2s.kernels.registration import call
from l2s.kernels.topk_attention.operator import operator
from l2s.kernels.topk_attention.reference import FORMS, Choice, choose

__all__ = ["topk_attention", "topk_attention_mask"]

_Query = Float[Tensor, "batch heads queries dim"]
_Keys = Float[Tensor, "batch heads context dim"]
_Values = Float[Tensor, "batch heads context outputs"]


@checks.typed
def topk_attention(
    query: _Query,
    keys: _Keys,
    values: _Values,
    *,
    top_k: int | None = None,
    threshold: float | None = None,
    predictor: int | tuple[Tensor, Tensor] | None = None,
    form: str = "softmax",
    scale: float | None = None,
    is_causal: bool = False,
) -> Float[Tensor, "batch heads queries outputs"]:
    r"""Return the attention of each query to the keys whose predicted score is above a threshold.

    .. math::

        y = \sum_{j \in C} \operatorname{softmax}_{j \in C}(a_j)\, v_j, \qquad
        C = \{ j : p_j > \theta \} \cup \operatorname{argmax}_j p_j .

    The predicted score p is a product of few dimensions. The threshold is that of statistical top-k
    over the keys that the query sees, θ = mean(p) + std(p) Q(1 - top_k / n): about ``top_k`` of the
    n are chosen, and all of them where n <= top_k (then θ = 0). With s the product of the query and
    the key, the logits are

    - in the form "softmax", a = scale · s: attention as usual, over the chosen keys;
    - in the form "spark", a = (p - θ) · softplus(scale · s): a key that enters the choice
      has the lowest logit, 0.

    Decoding has one query and a long context. The queries are the last ones of the context: with
    ``is_causal`` query i of q sees the first n - q + i + 1 of the n keys.

    Args:
        query: Shape (batch, heads, queries, dim), float32, float64, bfloat16 or float16; half
            precision is computed in float32.
        keys: Shape (batch, heads, context, dim), in the dtype of ``query``.
        values: Shape (batch, heads, context, outputs), in that dtype.
        top_k: How many keys are to be chosen, 1 or more; on average over normal scores.
        threshold: θ itself, in place of ``top_k``: one of the two.
        predictor: What p is made of. None: s itself, from all dimensions. A whole number r: the
            first r dimensions of query and keys; in the form "spark" s then takes the others. Two
            tensors, shapes (batch, heads, queries, part) and (batch, heads, context, part): a cache
            of its own, which costs part / dim of the memory of the keys and is read from end to
            end, where the first r dimensions of each key are read with gaps. It may be in
            bfloat16, which costs half of that; p is computed in the precision of the query.
        form: "softmax" or "spark".
        scale: The factor of s; 1 / sqrt(its dimensions) if left out. p is not scaled.
        is_causal: Whether a query sees no key behind its own place.

    Returns:
        y, shape (batch, heads, queries, outputs). It can be differentiated as often as asked; which
        keys are chosen counts as fixed, and the form "softmax" has no gradient for the predictor.
        Where all p are equal all keys are chosen.

    Raises:
        TypeError: Other dtypes, or two of them.
        ValueError: Shapes that do not fit; an empty context; top_k below 1, both or none of top_k
            and threshold; r outside 1 to dim - 1; NaN or infinities in what is read; more queries
            than keys in the causal form; mixed devices.

    Source: You et al. (2025), arXiv:2506.06644.

    >>> import torch
    >>> query = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    >>> keys = torch.tensor([[3.0, 0.0], [0.0, 5.0], [2.0, 1.0], [-1.0, 0.0]]).view(1, 1, 4, 2)
    >>> values = torch.tensor([1.0, 10.0, 100.0, 1000.0]).view(1, 1, 4, 1)
    >>> topk_attention(query, keys, values, top_k=2).squeeze()  # of the scores 3, 0, 2, -1 two
    tensor(33.6936)
    >>> topk_attention(query, keys, values, threshold=2.5).squeeze()  # the first alone
    tensor(1.)
    >>> topk_attention(query, keys, values, top_k=0)
    Traceback (most recent call last):
    ValueError: `top_k` is 0, but must be at least 1. Pass how many keys to choose.
    """
    choice = _choice(query, keys, top_k, threshold, predictor, form, scale, is_causal)
    tensors = {"query": query, "keys": keys, "values": values}
    checks.same_dtype(**tensors)
    own: tuple[Tensor, Tensor] | tuple[None, None] = (None, None)
    if isinstance(predictor, tuple):
        own = predictor
        _check_predictor(query, keys, own)
        tensors |= {"predictor[0]": own[0], "predictor[1]": own[1]}
    checks.same_device(**tensors)
    flat = [None if each is None else each.flatten(0, 1) for each in (query, keys, values, *own)]
    result = call(
        operator,
        *flat,
        choice.width,
        choice.start,
        choice.top_k,
        choice.threshold,
        choice.scale,
        choice.is_causal,
        choice.is_spark,
    )
    return result.view(*query.shape[:2], *result.shape[1:])


@checks.typed
def topk_attention_mask(
    predicted: Float[Tensor, "*heads queries context"],
    *,
    top_k: int | None = None,
    threshold: float | None = None,
    is_causal: bool = False,
) -> Bool[Tensor, "*heads queries context"]:
    """Return which keys :func:`topk_attention` chooses, given their predicted scores.

    Args:
        predicted: p, shape (..., queries, context), of any floating dtype.
        top_k: As there.
        threshold: As there.
        is_causal: As there.

    Returns:
        True where query i attends to key j.

    Raises:
        TypeError: As there.
        ValueError: As there.

    >>> import torch
    >>> topk_attention_mask(torch.tensor([[3.0, 0.0, 2.0, -1.0]]), top_k=2)
    tensor([[ True, False,  True, False]])
    >>> topk_attention_mask(torch.zeros(2, 3), top_k=1, is_causal=True)  # equal scores: all
    tensor([[ True,  True, False],
            [ True,  True,  True]])
    """
    queries, context = predicted.shape[-2:]
    _check_choice(queries, context, top_k, threshold, is_causal)
    checks.finite("predicted", predicted)
    choice = Choice(0, 0, top_k or 0, threshold or 0.0, 1.0, is_causal, False)
    return choose(widened(predicted), choice)[0]


def _choice(
    query: Tensor,
    keys: Tensor,
    top_k: int | None,
    threshold: float | None,
    predictor: int | tuple[Tensor, Tensor] | None,
    form: str,
    scale: float | None,
    is_causal: bool,
) -> Choice:
    checks.one_of("form", form, FORMS)
    _check_choice(query.shape[2], keys.shape[2], top_k, threshold, is_causal)
    dim = query.shape[3]
    width, start = dim, 0
    if isinstance(predictor, tuple):
        width = predictor[0].shape[3]
    elif predictor is not None:
        checks.in_range("predictor", predictor, 1, dim - 1)
        width, start = predictor, predictor if form == "spark" else 0
    if scale is None:
        scale = 1 / math.sqrt(max(dim - start, 1))
    else:
        checks.positive("scale", scale)
    return Choice(
        width, start, top_k or 0, threshold or 0.0, scale, is_causal, is_spark=form == "spark"
    )


def _check_predictor(query: Tensor, keys: Tensor, own: tuple[Tensor, Tensor]) -> None:
    part = own[0].shape[-1:]
    for number, (tensor, beside) in enumerate(zip(own, (query, keys), strict=True)):
        if tensor.shape != beside.shape[:3] + part or not part.numel():
            raise ValueError(
                f"`predictor[{number}]` has shape {tuple(tensor.shape)}, but needs "
                f"{tuple(beside.shape[:3])} and the dimensions of the predictor, 1 or more and the "
                "same in both. Pass the predictor's queries, then its keys."
            )
        if tensor.dtype not in (query.dtype, torch.bfloat16):
            raise TypeError(
                f"`predictor[{number}]` is {tensor.dtype}, but must be {query.dtype}, as `query` "
                "is, or torch.bfloat16. Convert it with .to(query.dtype)."
            )


def _check_choice(
    queries: int, context: int, top_k: int | None, threshold: float | None, is_causal: bool
) -> None:
    if (top_k is None) == (threshold is None):
        raise ValueError(
            f"`top_k` is {top_k} and `threshold` is {threshold}. Pass one of the two: how many "
            "keys to choose, or the score that they must exceed."
        )
    if top_k is not None:
        checks.at_least("top_k", top_k, 1, "Pass how many keys to choose.")
    if threshold is not None and not math.isfinite(threshold):
        raise ValueError(f"`threshold` is {threshold}, but must be finite. Pass a number.")
    if context < 1:
        raise ValueError("`keys` has an empty context, so no key can be chosen. Pass some keys.")
    if is_causal and queries > context:
        raise ValueError(
            f"There are {queries} queries for {context} keys, but is_causal=True takes the queries "
            "as the last ones of the context. Pass the keys of all queries."
        )
