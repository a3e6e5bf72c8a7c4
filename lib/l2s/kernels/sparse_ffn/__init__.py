r"""A feed-forward layer of which each token uses a few neurons: only their weights are read.

A decoder with one token at a time is bound by reading weights, so a layer with 8 % of its neurons
active can take little more than 8 % of the time.

``reference.py`` is the definition, ``cpu.py`` (numba) and ``gpu.py`` (Triton) are the fast ways;
``operator.py`` registers them as one operator.
"""

import torch
from jaxtyping import BFloat16, Bool, Float16, Float32, Float64, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.precision import in_dtype
from l2s.kernels.registration import call
from l2s.kernels.sparse_ffn.operator import operator
from l2s.kernels.sparse_ffn.reference import ACTIVATIONS

__all__ = ["sparse_ffn"]

_Tokens = (
    Float32[Tensor, "tokens inputs"]
    | Float64[Tensor, "tokens inputs"]
    | BFloat16[Tensor, "tokens inputs"]
    | Float16[Tensor, "tokens inputs"]
)
_Keys = (
    Float32[Tensor, "neurons inputs"]
    | Float64[Tensor, "neurons inputs"]
    | BFloat16[Tensor, "neurons inputs"]
    | Float16[Tensor, "neurons inputs"]
)
_Values = (
    Float32[Tensor, "neurons outputs"]
    | Float64[Tensor, "neurons outputs"]
    | BFloat16[Tensor, "neurons outputs"]
    | Float16[Tensor, "neurons outputs"]
)
_Gates = (
    Float32[Tensor, "tokens width"]
    | Float64[Tensor, "tokens width"]
    | BFloat16[Tensor, "tokens width"]
    | Float16[Tensor, "tokens width"]
)
_Results = (
    Float32[Tensor, "tokens outputs"]
    | Float64[Tensor, "tokens outputs"]
    | BFloat16[Tensor, "tokens outputs"]
    | Float16[Tensor, "tokens outputs"]
)
_Active = Bool[Tensor, "tokens neurons"] | Int[Tensor, "tokens width"]


@checks.typed
def sparse_ffn(
    x: _Tokens,
    keys: _Keys,
    values: _Values,
    active: _Active,
    *,
    gates: _Gates | None = None,
    activation: str = "relu",
) -> _Results:
    r"""Return what the active neurons of a feed-forward layer add up to, for each token.

    .. math::

        y_t = \sum_{i \in A_t} g_{ti}\, \varphi(\langle k_i, x_t\rangle)\, v_i,

    where neuron i has the key k_i and the value v_i, both a row in memory, and A_t are the active
    neurons of token t. Without gates g = 1: a plain layer. A gated layer has the activation
    "linear", and its gates come from a predictor that also says which neurons are active, as in
    Spark FFN. The result is that of the dense layer with a mask, up to rounding.

    The forward pass reads the rows of neurons that some token uses, each once; it is made for 1 to
    16 tokens. The backward pass, for training, goes through the dense layer with a mask. NaN and
    infinities go the way of any product.

    Args:
        x: One row a token, shape (tokens, inputs): float32, float64, bfloat16 or float16, the
            latter two with sums in float32.
        keys: Shape (neurons, inputs), in the dtype of ``x``.
        values: Shape (neurons, outputs), in the dtype of ``x``.
        active: A mask of shape (tokens, neurons), or for each token a list of neurons, integers
            from 0 to neurons - 1, each at most once; fill lists with -1. A token may have none:
            its result is 0.
        gates: g, in the shape of ``active`` and the dtype of ``x``: beside each neuron of a list,
            or for every neuron. Entries that are not active count for nothing.
        activation: φ: "relu", "gelu" or "linear".

    Returns:
        y, shape (tokens, outputs). It can be differentiated as often as asked.

    Raises:
        TypeError: Other dtypes, or two of them.
        ValueError: Shapes that do not fit; a neuron that does not exist, or is listed twice for a
            token; another activation; mixed devices.

    Source: You et al. (2025), arXiv:2506.06644.

    >>> x = torch.tensor([[1.0, 2.0]])
    >>> keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> values = torch.tensor([[1.0], [10.0], [100.0]])
    >>> sparse_ffn(x, keys, values, torch.tensor([[1, 0]]))  # 1 * 1 + 2 * 10
    tensor([[21.]])
    >>> sparse_ffn(x, keys, values, torch.tensor([[False, False, True]]))  # relu(-3) = 0
    tensor([[0.]])
    >>> gates = torch.tensor([[0.5, 2.0]])
    >>> sparse_ffn(x, keys, values, torch.tensor([[2, 0]]), gates=gates, activation="linear")
    tensor([[-148.]])
    >>> sparse_ffn(x, keys, values, torch.tensor([[3, -1]]))
    Traceback (most recent call last):
    ValueError: `active` names the neurons -1 to 3, but there are 3: pass 0 to 2, and -1 to fill...
    """
    checks.one_of("activation", activation, ACTIVATIONS)
    given = {"x": x, "keys": keys, "values": values}
    if gates is not None:
        given["gates"] = gates
    checks.same_dtype(**given)
    checks.same_device(active=active, **given)
    if gates is not None and gates.shape != active.shape:
        raise ValueError(
            f"`gates` has shape {tuple(gates.shape)}, but `active` has {tuple(active.shape)}. Pass "
            "a gate beside each entry of `active`."
        )
    lists = active if active.dtype == torch.bool else in_dtype(active, torch.int64)
    return call(operator, x, keys, values, lists, gates, activation)
