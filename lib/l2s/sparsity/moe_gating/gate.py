"""The top-K gate: who is chosen, with which weight, and the regions that this cuts space into."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2s import checks
from l2s.sparsity.moe_gating.mixture import Mixture


@checks.typed
def select(scores: Float[Tensor, "... experts"], k: int) -> Bool[Tensor, "... experts"]:
    r"""Say which K scores of each row are the largest.

    Of equal scores the one with the lower index goes first, so that exactly K are chosen and the
    choice never depends on the machine.

    Args:
        scores: :math:`\beta_1^\top x` for each expert, without a bias: shape (..., experts).
        k: K, from 1 to the number of experts.

    Returns:
        True for the chosen ones, of the shape of ``scores``.

    Raises:
        ValueError: If K is out of its range, or a score is NaN or infinite.

    Source: nguyen2024, equation 3.

    >>> select(torch.tensor([0.3, -1.0, 2.0]), 2)
    tensor([ True, False,  True])
    >>> select(torch.tensor([1.0, 1.0, 1.0]), 2)  # a tie: the first two
    tensor([ True,  True, False])
    """
    check_k("k", k, scores.shape[-1])
    checks.finite("scores", scores)
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, best(scores, k), True)


@checks.typed
def topk_log_gate(
    inputs: Float[Tensor, "samples dim"], mixture: Mixture, k: int
) -> Float[Tensor, "*fits samples experts"]:
    r"""Return the logarithm of the gate's weights, :math:`-\infty` where an expert is not chosen.

    .. math:: \log \pi_i(x) = \beta_{1i}^\top x + \beta_{0i} - \log \sum_{j \in \ell(x)}
        e^{\beta_{1j}^\top x + \beta_{0j}} \quad \text{for } i \in \ell(x),

    where :math:`\ell(x)` are the K experts with the largest :math:`\beta_{1i}^\top x`. The bias has
    no say in the choice. With K = 1 it has none at all, since the one weight is 1.

    Args:
        inputs: x, shape (samples, dim).
        mixture: One fit or several.
        k: K, from 1 to the number of experts.

    Returns:
        Shape (samples, experts), after an axis of fits where the mixture has one.

    Raises:
        ValueError: If K is out of its range, or inputs do not fit.

    Source: nguyen2024, equations 2 and 3.

    >>> gate = [[-2.0], [0.0], [3.0]], [0.0, 2.0, 0.0]
    >>> mixture = Mixture.of(*gate, [[1.0]] * 3, [0.0] * 3, [1.0] * 3)
    >>> (100 * topk_log_gate(torch.tensor([[-1.0], [1.0]]), mixture, 2).exp()).round()
    tensor([[50., 50.,  0.],
            [ 0., 27., 73.]], dtype=torch.float64)
    """
    check_inputs(inputs, mixture)
    scores = inputs.double() @ mixture.gate_slopes.transpose(-1, -2)
    chosen = select(scores, k)
    logits = scores + mixture.gate_biases.unsqueeze(-2)
    return logits.masked_fill(~chosen, -math.inf).log_softmax(dim=-1)


@checks.typed
def active_sets(
    inputs: Float[Tensor, "samples dim"], mixture: Mixture, k: int
) -> tuple[Int[Tensor, "sets k"], Float[Tensor, " sets"]]:
    r"""List the sets of experts that the gate chooses anywhere, and how often.

    There are :math:`\binom{\text{experts}}{K}` sets of K experts. Each belongs to a region of input
    space, a cone with its tip in 0, and most of the regions may be empty.

    Args:
        inputs: Where to look, shape (samples, dim): samples, or a grid.
        mixture: A single fit.
        k: K, from 1 to the number of experts.

    Returns:
        The sets, one a row with its experts in order, and the share of the inputs in each region.

    >>> mixture = Mixture.of([[-2.0], [0.0], [3.0]], [0.0] * 3, [[1.0]] * 3, [0.0] * 3, [1.0] * 3)
    >>> active_sets(torch.tensor([[-1.0], [0.5], [1.0], [1.5]]), mixture, 2)
    (tensor([[0, 1],
            [1, 2]]), tensor([0.2500, 0.7500], dtype=torch.float64))
    """
    check_single(mixture)
    chosen = select(_scores(inputs, mixture), k)
    members = chosen.nonzero()[:, 1].reshape(-1, k)
    sets, count = members.unique(dim=0, return_counts=True)
    return sets, count.double() / len(inputs)


def best(scores: Tensor, k: int) -> Tensor:
    """The indices of the K largest scores, the best first; of equal ones, the lower index first."""
    return scores.argsort(dim=-1, descending=True, stable=True)[..., :k]


def _scores(inputs: Tensor, mixture: Mixture) -> Tensor:
    check_inputs(inputs, mixture)
    return inputs.double() @ mixture.gate_slopes.T


def check_k(name: str, k: int, experts: int) -> None:
    """Raise ``ValueError`` unless ``k`` experts can be chosen."""
    if not 1 <= k <= experts:
        raise ValueError(
            f"`{name}` is {k}, but must lie between 1 and the number of experts, {experts}. "
            "Choose at least one expert, and no more than there are."
        )


def check_single(mixture: Mixture, name: str = "mixture") -> None:
    """Raise ``ValueError`` where a mixture holds several fits."""
    if mixture.fits is not None:
        raise ValueError(
            f"`{name}` holds {mixture.fits} fits. Pass one of them, such as {name}[0]."
        )


def check_inputs(inputs: Tensor, mixture: Mixture) -> None:
    """Raise ``ValueError`` where inputs are none, not finite, or of another dimension."""
    checks.at_least("len(inputs)", len(inputs), 1, "Pass one sample or more.")
    if inputs.shape[-1] != mixture.dim:
        raise ValueError(
            f"`inputs` has {inputs.shape[-1]} dimensions, but the mixture has {mixture.dim}. "
            "Pass shape (samples, dim)."
        )
    checks.finite("inputs", inputs)
