r"""The soft top-k operator: a differentiable choice of the k largest of n scores.

Each score gets a share p between 0 and 1 of being chosen, and the shares of a row sum to k. As the
sharpness grows, the shares go to 1 for the k largest scores and to 0 for the others.

``reference.py`` is the definition, ``cpu.py`` (numba) and ``gpu.py`` (Triton) are the fast ways;
``operator.py`` registers them as one operator. On a CPU the first call on more than 4096 scores
compiles for some seconds, or loads what an earlier process compiled; see ``kernels/backends.py``.
"""

import torch
from jaxtyping import BFloat16, Float32, Float64, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.precision import widened
from l2s.kernels.registration import call
from l2s.kernels.soft_topk.operator import operator

__all__ = ["log_soft_topk", "soft_topk"]

_Scores = Float32[Tensor, "..."] | Float64[Tensor, "..."] | BFloat16[Tensor, "..."]


@checks.typed
def soft_topk(
    scores: _Scores,
    k: int | Int[Tensor, "..."],
    *,
    sharpness: float = 1.0,
    dim: int = -1,
) -> _Scores:
    r"""Return the share of each score in a soft choice of the k largest (gupta2024).

    .. math:: p_i = \sigma\big(\alpha (s_i + t)\big), \qquad \text{t such that } \sum_j p_j = k.

    It is the p in [0, 1]^n of sum k that maximises <s, p> + H(p) / α, where H sums the entropies of
    n coins. For k = 1 that is not the softmax. With v_i = α p_i (1 - p_i) the derivative is

    .. math:: \frac{\partial p_i}{\partial s_j} = v_i \delta_{ij} - \frac{v_i v_j}{\sum_m v_m},

    computed from p alone: no step of the search for t is kept. Where the chosen scores are far from
    the others (as 1 / α goes) it is 0, as that of a hard choice.

    Args:
        scores: s, of any shape, float32, float64 or bfloat16 (then computed in float32).
        k: How many to choose, from 1 to n - 1 for the n scores along ``dim``. Or an integer tensor
            with the shape of ``scores`` without ``dim``: for each row its own.
        sharpness: α, above 0, in units of 1 / score. For α beyond 40 / (gap between the k-th score
            and the next) the result equals hard top-k to float64's precision.
        dim: The dimension along which to choose.

    Returns:
        The shares p, of the shape and dtype of ``scores``. Equal scores have equal shares.

    Raises:
        TypeError: Other dtypes, or a k that is no integer.
        ValueError: k outside 1 to n - 1 or of the wrong shape; a sharpness that is not positive and
            finite; scores that are NaN or infinite; a dimension that does not exist.

    Source: Gupta et al. (2024), arXiv:2310.10636.

    >>> soft_topk(torch.tensor([2.0, 1.0, 0.0, -1.0]), 2)
    tensor([0.8176, 0.6225, 0.3775, 0.1824])
    >>> soft_topk(torch.tensor([2.0, 1.0, 0.0, -1.0]), 2, sharpness=1000)
    tensor([1., 1., 0., 0.])
    >>> soft_topk(torch.zeros(2, 4), torch.tensor([1, 3]))  # a k for each row
    tensor([[0.2500, 0.2500, 0.2500, 0.2500],
            [0.7500, 0.7500, 0.7500, 0.7500]])
    >>> soft_topk(torch.tensor([9.0, 5.0, 5.0, 1.0]), 2, sharpness=1e9)  # a tie is shared
    tensor([1.0000, 0.5000, 0.5000, 0.0000])
    >>> soft_topk(torch.zeros(4), 4)
    Traceback (most recent call last):
    ValueError: `k` is 4, but must lie between 1 and n - 1 = 3 for 4 scores...
    """
    return _apply(scores, k, sharpness, dim, log=False)


@checks.typed
def log_soft_topk(
    scores: _Scores,
    k: int | Int[Tensor, "..."],
    *,
    sharpness: float = 1.0,
    dim: int = -1,
) -> _Scores:
    r"""Return the logarithm of :func:`soft_topk`, with all digits where p is near 0 or 1.

    .. math::

        \log p_i = -\operatorname{softplus}\big(-\alpha (s_i + t)\big), \qquad
        \frac{\partial\log p_i}{\partial s_j}
            = \alpha (1 - p_i)\Big(\delta_{ij} - \frac{v_j}{\sum_m v_m}\Big).

    Args:
        scores: As for :func:`soft_topk`.
        k: As there.
        sharpness: As there.
        dim: As there.

    Returns:
        log p, at most 0, of the shape and dtype of ``scores``.

    Raises:
        TypeError: As for :func:`soft_topk`.
        ValueError: As there.

    >>> scores = torch.tensor([300.0, 200.0, 0.0, -1.0])
    >>> soft_topk(scores, 2).log()
    tensor([0., 0., -inf, -inf])
    >>> log_soft_topk(scores, 2)[2:]  # log p is still finite, and falls with the score
    tensor([-100.1566, -101.1566])
    >>> scores.requires_grad_()
    tensor([300., 200.,   0.,  -1.], requires_grad=True)
    >>> log_soft_topk(scores, 2)[2].backward()
    >>> scores.grad[1:]  # pulls the third up, and the threshold's other neighbours down
    tensor([-0.5000,  0.6345, -0.1345])
    """
    return _apply(scores, k, sharpness, dim, log=True)


def _apply(scores: Tensor, k: int | Tensor, sharpness: float, dim: int, log: bool) -> Tensor:
    checks.positive("sharpness", sharpness)
    checks.has_dim("scores", scores, dim)
    moved = scores.movedim(dim, -1)
    rows = moved.reshape(-1, moved.shape[-1]) if moved.numel() else moved.flatten(0, -2)
    each_k = _k_of_rows(k, moved).reshape(-1)
    given = widened(rows).contiguous(), each_k.contiguous(), float(sharpness), log
    result = call(operator, *given)[0]
    return result.to(scores.dtype).view(moved.shape).movedim(-1, dim)


def _k_of_rows(k: int | Tensor, moved: Tensor) -> Tensor:
    """Return k as one whole number a row."""
    shape = moved.shape[:-1]
    if isinstance(k, int):
        return torch.full(shape, k, dtype=torch.int64, device=moved.device)
    if k.dim() and k.shape != shape:
        raise ValueError(
            f"`k` has shape {tuple(k.shape)}, but the rows of `scores` have shape {tuple(shape)}. "
            "Pass an int, or one number for each row."
        )
    checks.same_device(scores=moved, k=k)
    return k.to(torch.int64).expand(shape)
