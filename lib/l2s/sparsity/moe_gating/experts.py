r"""The experts' work: two layers for each expert, on the rows that are its own.

:func:`by_operator` is the definition, made of ``grouped_matmul``: it runs everywhere and can be
differentiated as often as asked. On a CPU the same is done expert by expert, both layers of one
after the other: what an expert needs stays in the cache, and only the sums before the activation
are kept for the backward pass. With act = f(pre), pre = x W_in, and a gate weight g,

.. math::

    y = g\, f(x W_{in})\, W_{out}, \qquad
    \frac{\partial L}{\partial g} = \Big\langle \frac{\partial L}{\partial y} W_{out}^\top,\
    f(x W_{in})\Big\rangle,

so that the backward pass needs no output of an expert either.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from l2s.kernels.grouped_matmul import grouped_matmul
from l2s.kernels.grouped_matmul.cpu import empty, slices
from l2s.sparsity.moe_gating.dispatch import Dispatch

_aten = torch.ops.aten
# Each activation, and its gradient for the sums before it.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (F.relu, lambda gradient, pre: _aten.threshold_backward(gradient, pre, 0)),
    "gelu": (F.gelu, _aten.gelu_backward),
    "silu": (F.silu, _aten.silu_backward),
}


def run_experts(
    inputs: Tensor, gates: Tensor, w_in: Tensor, w_out: Tensor, plan: Dispatch, activation: str
) -> Tensor:
    """Return for each token the sum of its experts' outputs, each times its gate weight.

    Args:
        inputs: Shape (tokens, dim).
        gates: The weights of the choices, shape (tokens, k).
        w_in: Shape (experts, dim, hidden).
        w_out: Shape (experts, hidden, dim).
        plan: Which row is whose.
        activation: A key of ``ACTIVATIONS``.
    """
    if inputs.device.type != "cpu" or torch.compiler.is_compiling() or not len(plan.tokens):
        return by_operator(inputs, gates, w_in, w_out, plan, activation)
    result: Tensor = _Experts.apply(inputs, gates, w_in, w_out, plan, activation)
    return result


def by_operator(
    inputs: Tensor, gates: Tensor, w_in: Tensor, w_out: Tensor, plan: Dispatch, activation: str
) -> Tensor:
    """The definition of ``run_experts``."""
    rows = inputs.index_select(0, plan.tokens)
    hidden = ACTIVATIONS[activation][0](grouped_matmul(rows, w_in, plan.sizes))
    return combine(grouped_matmul(hidden, w_out, plan.sizes), gates, plan)


def combine(rows: Tensor, gates: Tensor, plan: Dispatch) -> Tensor:
    """Add up the rows of each token, each times its gate weight; shape (tokens, dim)."""
    share = gates.T.flatten().index_select(0, plan.choices)
    result = rows.new_zeros(len(gates), rows.shape[1])
    return result.index_add(0, plan.tokens, rows * share[:, None])


class _Experts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        gates: Tensor,
        w_in: Tensor,
        w_out: Tensor,
        plan: Dispatch,
        activation: str,
    ) -> Tensor:
        function = ACTIVATIONS[activation][0]
        pre = empty(len(plan.tokens), w_in.shape[2], like=inputs)
        y = empty(len(plan.tokens), inputs.shape[1], like=inputs)
        for expert, rows in enumerate(slices(plan.sizes.tolist())):
            own = inputs.index_select(0, plan.tokens[rows])
            torch.mm(own, w_in[expert], out=pre[rows])
            torch.mm(function(pre[rows]), w_out[expert], out=y[rows])
        ctx.save_for_backward(inputs, gates, w_in, w_out, pre)
        ctx.plan, ctx.activation = plan, activation
        return _sum_of_rows(y, plan.rows, gates)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # a further derivative is asked for
            return *_differentiable(ctx, gradient), None, None
        return *_gradients(ctx, gradient), None, None


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    inputs, gates, w_in, w_out, pre = ctx.saved_tensors
    plan: Dispatch = ctx.plan
    function, derivative = ACTIVATIONS[ctx.activation]
    for_inputs, _, for_in, for_out = ctx.needs_input_grad[:4]
    share = gates.T.flatten().index_select(0, plan.choices)[:, None]
    d_gates = share.new_zeros(gates.numel())
    d_rows = empty(len(pre), inputs.shape[1], like=inputs) if for_inputs else None
    d_in = empty(*w_in.shape, like=w_in) if for_in else None
    d_out = empty(*w_out.shape, like=w_out) if for_out else None
    for expert, rows in enumerate(slices(plan.sizes.tolist())):
        tokens, act = plan.tokens[rows], function(pre[rows])
        d_y = gradient.index_select(0, tokens)
        d_act = d_y @ w_out[expert].T
        d_gates[plan.choices[rows]] = (d_act * act).sum(dim=1)
        if d_out is not None:
            torch.mm(act.T, d_y.mul_(share[rows]), out=d_out[expert])
        d_pre = derivative(d_act.mul_(share[rows]), pre[rows])
        if d_in is not None:
            torch.mm(inputs.index_select(0, tokens).T, d_pre, out=d_in[expert])
        if d_rows is not None:
            torch.mm(d_pre, w_in[expert].T, out=d_rows[rows])
    d_inputs = None if d_rows is None else _sum_of_rows(d_rows, plan.rows)
    return d_inputs, d_gates.view(gates.T.shape).T, d_in, d_out


def _differentiable(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The same gradients, through the definition."""
    wanted = [n for n in range(4) if ctx.needs_input_grad[n]]
    own = [tensor.view_as(tensor) for tensor in ctx.saved_tensors[:4]]
    inputs, gates, w_in, w_out = own
    result = by_operator(inputs, gates, w_in, w_out, ctx.plan, ctx.activation)
    found = torch.autograd.grad(result, [own[n] for n in wanted], gradient, create_graph=True)
    return tuple(found[wanted.index(n)] if n in wanted else None for n in range(4))


def _sum_of_rows(y: Tensor, rows: Tensor, gates: Tensor | None = None) -> Tensor:
    """The sum of each token's rows, shape (tokens, dim); a row of -1 counts as zeros."""
    kept = rows >= 0
    weights = kept.to(y.dtype) if gates is None else gates * kept
    return F.embedding_bag(
        rows.clamp(min=0), y, mode="sum", per_sample_weights=weights.contiguous()
    )
