"""A layer of experts for networks: a top-K gate, and experts that see only their own tokens."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from l2s import checks
from l2s.sparsity.moe_gating import ranks
from l2s.sparsity.moe_gating.dispatch import dispatch
from l2s.sparsity.moe_gating.experts import ACTIVATIONS, run_experts
from l2s.sparsity.moe_gating.routing import (
    TopKGate,
    balance,
    check_tokens,
    counts_of,
    router_z_loss,
)


class Mixed(NamedTuple):
    """What a layer of experts returns.

    Attributes:
        outputs: One for each token, of the shape of the inputs.
        loss: The balance and z losses, times their factors, to be added to the task's; a number.
        load: How many choices each expert works on, shape (experts,); on all ranks together.
        dropped: The share of choices that found no place, a number; 0 without a capacity.
    """

    outputs: Tensor
    loss: Tensor
    load: Tensor
    dropped: Tensor


class MixtureOfExperts(nn.Module):
    r"""A layer of experts behind a top-K gate (shazeer2017).

    .. math:: y = \sum_{i \in \ell(x)} \pi_i(x)\, f(x W^{in}_i)\, W^{out}_i,

    where :math:`\ell` and π are those of :class:`TopKGate`, and f acts on each number. A token
    costs as much as K small dense layers, however many experts there are. Tokens are sorted by
    expert, and each expert multiplies its rows at once (:func:`grouped_matmul
    <l2s.kernels.grouped_matmul.grouped_matmul>`).

    Without a ``capacity`` the layer is dropless: every choice is worked on. With one, an expert
    takes at most ``capacity`` times an even share of the choices, first choices before second ones
    and earlier tokens before later ones. A dropped choice adds nothing to its token's output, and
    the other weights stay as they are; put the layer beside a skip connection.

    Over the ranks of a process ``group`` each rank holds its part of the experts and brings its own
    tokens, which travel to their experts and back. The layer must then begin from the same
    ``generator`` state on all ranks. Gradients are those of ``DistributedDataParallel``: the loss
    of the whole is the *mean* of the ranks' losses; experts' gradients are complete, and those of
    the gate are to be averaged over ranks. With equally many tokens a rank, and no capacity, this
    equals one process on all tokens.

    Args:
        dim: How many numbers a token has.
        hidden: The width of an expert between its two matrices.
        experts: How many experts there are, a multiple of the ranks of ``group``.
        k: K, from 1 to ``experts``.
        activation: f: "relu", "gelu" or "silu".
        bias: As for :class:`TopKGate`.
        noise: As there.
        softmax_over: As there.
        balance: The factor of :func:`load_balancing_loss`, 0 or more; 0.01 is usual.
        z: The factor of :func:`router_z_loss`, 0 or more; 0.001 is usual.
        capacity: The most that an expert takes, in even shares; None for dropless.
        group: The process group over which experts are spread; None if all are here.
        generator: The source of the first weights; None means PyTorch's default generator.

    Raises:
        ValueError: A number out of its range, an unknown activation, or experts that cannot be
            spread evenly over the ranks.

    Source: Shazeer et al. (2017), arXiv:1701.06538; capacity as Lepikhin et al. (2021),
    arXiv:2006.16668, have it; dropless as Gale et al. (2023), arXiv:2211.15841.

    >>> layer = MixtureOfExperts(8, 16, experts=4, k=2, balance=0.01)
    >>> mixed = layer(torch.randn(3, 10, 8))  # any shape that ends in dim
    >>> mixed.outputs.shape
    torch.Size([3, 10, 8])
    >>> int(mixed.load.sum())  # 30 tokens, two choices each
    60
    >>> (mixed.outputs.square().mean() + mixed.loss).backward()
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        *,
        experts: int,
        k: int,
        activation: str = "relu",
        bias: bool = False,
        noise: bool = False,
        softmax_over: str = "kept",
        balance: float = 0.0,
        z: float = 0.0,
        capacity: float | None = None,
        group: Any = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        checks.at_least("hidden", hidden, 1, "An expert has one hidden unit or more.")
        checks.one_of("activation", activation, ACTIVATIONS)
        checks.not_negative("balance", balance)
        checks.not_negative("z", z)
        if capacity is not None:
            checks.positive("capacity", capacity)
        self.gate = TopKGate(
            dim,
            experts,
            k,
            bias=bias,
            noise=noise,
            softmax_over=softmax_over,
            generator=generator,
        )
        self.experts, self.activation, self.capacity = experts, activation, capacity
        self.balance, self.z, self.group = balance, z, group
        # All ranks draw all experts, so that the layer does not depend on how many ranks there are.
        own = ranks.own_experts(experts, group)
        w_in = torch.randn(experts, dim, hidden, generator=generator) * math.sqrt(2 / dim)
        w_out = torch.randn(experts, hidden, dim, generator=generator) / math.sqrt(hidden)
        self.w_in = nn.Parameter(w_in[own].clone())
        self.w_out = nn.Parameter(w_out[own].clone())

    @checks.typed
    def forward(self, inputs: Float[Tensor, "*batch dim"]) -> Mixed:
        """Return outputs, the gate's losses, and how the experts were loaded.

        Args:
            inputs: Tokens, of any shape that ends in dim, in the dtype of the layer. Under
                ``torch.autocast`` any dtype will do; the gate then stays in that of the layer, and
                the experts work in autocast's.

        Raises:
            TypeError: Another dtype.
            ValueError: Another width, or entries that are NaN or infinite, on any rank.
        """
        device = inputs.device.type
        wide = self.gate.slopes.dtype
        work = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else wide
        with torch.autocast(device, enabled=False):  # the gate keeps its dtype, experts take work's
            tokens = inputs.reshape(-1, inputs.shape[-1])
            tokens = tokens.to(wide) if work != wide else tokens
            check_tokens(tokens, self.gate.slopes)
            ranks.check_finite(tokens, self.group)
            routing = self.gate(tokens)
            counts = ranks.total(counts_of(routing.experts, self.experts), self.group)
            plan = dispatch(routing.experts, self.experts, self._places(len(tokens)))
            run = run_experts if self.group is None else ranks.run_experts_of(self.group)
            outputs = run(
                tokens.to(work),
                routing.weights.to(work),
                self.w_in.to(work),
                self.w_out.to(work),
                plan,
                self.activation,
            )
            load = counts if self.capacity is None else ranks.total(plan.sizes, self.group)
            return Mixed(
                outputs.view(inputs.shape),
                self._loss(routing.logits, counts),
                load,
                (counts - load).sum() / counts.sum().clamp(min=1),
            )

    def _places(self, tokens: int) -> int | None:
        if self.capacity is None:
            return None
        return max(1, math.ceil(self.capacity * tokens * self.gate.k / self.experts))

    def _loss(self, logits: Tensor, counts: Tensor) -> Tensor:
        loss = logits.new_zeros(())
        if not len(logits):
            return loss
        if self.balance:
            loss = loss + self.balance * balance(logits, counts)
        if self.z:
            loss = loss + self.z * router_z_loss(logits)
        return loss
