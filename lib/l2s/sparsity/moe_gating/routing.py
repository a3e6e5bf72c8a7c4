"""The gate of a layer of experts, and the losses that keep its choice healthy."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from l2s import checks
from l2s.sparsity.moe_gating.gate import best, check_k


class Routing(NamedTuple):
    """Which experts each token goes to, and with which weight.

    Attributes:
        experts: The chosen experts, the best first, int64 of shape (tokens, k).
        weights: What their outputs are multiplied by, shape (tokens, k).
        logits: What the softmax is taken of, shape (tokens, experts), noise included.
    """

    experts: Tensor
    weights: Tensor
    logits: Tensor


class TopKGate(nn.Module):
    r"""A gate that sends each token to the K experts with the largest scores (shazeer2017).

    .. math:: s = B_1 x, \qquad \ell(x) = \text{the } K \text{ largest of } s, \qquad
        \pi_i = \frac{e^{s_i + \beta_{0i}}}{\sum_{j\in\ell(x)} e^{s_j + \beta_{0j}}}
        \quad\text{for } i\in\ell(x).

    It is the gate of the mixture: the bias has no say in the choice. With ``noise``, training adds
    to each score a normal number of standard deviation :math:`\operatorname{softplus}(N x)_i`,
    with N learned, so that experts near the border of the choice are tried. Of equal scores the one
    with the lower index goes first.

    Args:
        dim: How many numbers a token has.
        experts: How many experts there are.
        k: K, from 1 to ``experts``.
        bias: Learn :math:`\beta_0`; else it is 0.
        noise: Add noise to the scores in training.
        softmax_over: "kept", as above; or "all": the weights are the chosen experts' shares among
            *all* experts, which sum to less than 1. With K = 1 "kept" weights are constant 1, and
            the gate learns nothing from the task; "all" (fedus2022) is for that case.
        generator: The source of the first weights; None means PyTorch's default generator.

    Raises:
        ValueError: A number out of its range, or an unknown ``softmax_over``.

    Source: Shazeer et al. (2017), arXiv:1701.06538, equations 3 to 5, and, for "all", Fedus et al.
    (2022), arXiv:2101.03961.

    >>> gate = TopKGate(2, 3, 2)
    >>> _ = gate.slopes.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    >>> routing = gate(torch.tensor([[2.0, 1.0], [-3.0, 0.0]]))
    >>> routing.experts
    tensor([[0, 1],
            [2, 1]])
    >>> routing.weights
    tensor([[0.7311, 0.2689],
            [0.9526, 0.0474]], grad_fn=<SoftmaxBackward0>)
    """

    def __init__(
        self,
        dim: int,
        experts: int,
        k: int,
        *,
        bias: bool = False,
        noise: bool = False,
        softmax_over: str = "kept",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        checks.at_least("dim", dim, 1, "A token has one number or more.")
        checks.at_least("experts", experts, 1, "A layer has one expert or more.")
        check_k("k", k, experts)
        checks.one_of("softmax_over", softmax_over, ("kept", "all"))
        self.k, self.softmax_over = k, softmax_over
        drawn = torch.randn(experts, dim, generator=generator) / dim**0.5
        self.slopes = nn.Parameter(drawn)
        self.biases = nn.Parameter(torch.zeros(experts)) if bias else None
        self.noise = nn.Parameter(torch.zeros(experts, dim)) if noise else None

    @checks.typed
    def forward(self, inputs: Float[Tensor, "tokens dim"]) -> Routing:
        """Return the choice for each token.

        Args:
            inputs: x, shape (tokens, dim), in the dtype of the gate's own numbers.

        Raises:
            TypeError: Another dtype.
            ValueError: Another width, or entries that are NaN or infinite.
        """
        check_tokens(inputs, self.slopes)
        scores = inputs @ self.slopes.T
        if self.noise is not None and self.training:
            scores = scores + torch.randn_like(scores) * F.softplus(inputs @ self.noise.T)
        if not torch.compiler.is_compiling():
            checks.finite("inputs", inputs)
            checks.finite("scores", scores)
        chosen = best(scores.detach(), self.k)
        logits = scores if self.biases is None else scores + self.biases
        if self.softmax_over == "all":
            return Routing(chosen, logits.softmax(dim=1).gather(1, chosen), logits)
        return Routing(chosen, logits.gather(1, chosen).softmax(dim=1), logits)


@checks.typed
def load_balancing_loss(
    logits: Float[Tensor, "tokens experts"], chosen: Int64[Tensor, "tokens k"]
) -> Float[Tensor, ""]:
    r"""Return how unevenly tokens are spread over experts, in a form that has a gradient.

    .. math:: E \sum_{i=1}^{E} f_i P_i, \qquad
        f_i = \frac{\#\{\text{choices of } i\}}{\text{tokens}\cdot K}, \qquad
        P_i = \frac{1}{\text{tokens}} \sum_t \operatorname{softmax}_i(\text{logits}_t).

    The share f has no derivative, P has. Their product pulls most on the logits of those experts
    that get most tokens. It is 1 where all experts get the same share, and E where one gets all.

    Args:
        logits: Shape (tokens, experts).
        chosen: The chosen experts, shape (tokens, k).

    Raises:
        ValueError: No token, or an expert that does not exist.

    Source: Fedus et al. (2022), arXiv:2101.03961, equation 4, for any K.

    >>> logits = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    >>> load_balancing_loss(logits, torch.tensor([[0], [1]]))
    tensor(1.)
    >>> load_balancing_loss(logits[[0, 0]], torch.tensor([[0], [0]]))
    tensor(1.9998)
    """
    checks.at_least("len(logits)", len(logits), 1, "Pass one token or more.")
    _check_chosen(chosen, logits.shape[1])
    return balance(logits, counts_of(chosen, logits.shape[1]))


@checks.typed
def router_z_loss(logits: Float[Tensor, "tokens experts"]) -> Float[Tensor, ""]:
    r"""Return how far the gate's logits are from being normalised, which keeps them small.

    .. math:: \frac{1}{\text{tokens}} \sum_t \Big(\log\sum_i e^{\text{logits}_{ti}}\Big)^2

    Softmax does not see a constant that is added to all logits of a token; this loss does, and it
    holds them where exponentials are precise.

    Args:
        logits: Shape (tokens, experts).

    Raises:
        ValueError: No token.

    Source: Zoph et al. (2022), arXiv:2202.08906, equation 5.

    >>> router_z_loss(torch.tensor([[0.0, 0.0]]))  # log 2, squared
    tensor(0.4805)
    """
    checks.at_least("len(logits)", len(logits), 1, "Pass one token or more.")
    return logits.logsumexp(dim=1).square().mean()


def balance(logits: Tensor, counts: Tensor) -> Tensor:
    """The loss of ``load_balancing_loss``, given how often each expert was chosen."""
    share = counts.to(logits.dtype) / counts.sum()
    return len(counts) * (share @ logits.softmax(dim=1).mean(dim=0))


def counts_of(chosen: Tensor, experts: int) -> Tensor:
    """How often each expert was chosen, shape (experts,)."""
    flat = chosen.flatten()
    return flat.new_zeros(experts).scatter_add(0, flat, torch.ones_like(flat))


def check_tokens(inputs: Tensor, slopes: Tensor) -> None:
    """Raise where tokens do not fit the layer that they are for."""
    if inputs.shape[-1] != slopes.shape[1]:
        raise ValueError(
            f"`inputs` has shape {tuple(inputs.shape)}, but a token of this layer has "
            f"{slopes.shape[1]} numbers. Pass shape (tokens, {slopes.shape[1]})."
        )
    checks.same_dtype(inputs=inputs, weights=slopes)
    checks.same_device(inputs=inputs, weights=slopes)


def _check_chosen(chosen: Tensor, experts: int) -> None:
    if torch.compiler.is_compiling() or not chosen.numel():
        return
    low, high = (int(end) for end in chosen.aminmax())
    if low < 0 or high >= experts:
        raise ValueError(
            f"`chosen` names experts from {low} to {high}, but `logits` has the experts 0 to "
            f"{experts - 1}. Pass indices of columns of `logits`."
        )
