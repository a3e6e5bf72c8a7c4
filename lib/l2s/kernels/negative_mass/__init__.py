r"""The exponential mass of a row's negatives, and the decoupled softmax loss that rests on it.

``reference.py`` is the definition, ``cpu.py`` (numba) and ``gpu.py`` (Triton) are the fast ways;
``operator.py`` registers them as one operator. On a CPU the first call on more than 65536 scores
compiles for some seconds, or loads what an earlier process compiled; see ``kernels/backends.py``.
"""

import torch
from jaxtyping import BFloat16, Bool, Float32, Float64, Int64
from torch import Tensor

from l2s import checks
from l2s.kernels.negative_mass.operator import operator
from l2s.kernels.precision import widened
from l2s.kernels.registration import call

__all__ = ["decoupled_loss_rows", "negative_log_mass"]

_Scores = (
    Float32[Tensor, "rows labels"]
    | Float64[Tensor, "rows labels"]
    | BFloat16[Tensor, "rows labels"]
)
_Rows = Float32[Tensor, " rows"] | Float64[Tensor, " rows"] | BFloat16[Tensor, " rows"]


@checks.typed
def negative_log_mass(
    scores: _Scores, positives: Bool[Tensor, "rows labels"] | Int64[Tensor, "rows listed"]
) -> _Rows:
    r"""Return the log of the exponential mass of each row's negatives.

    .. math:: \ell = \log\sum_{j\notin P} e^{s_j}

    The positives are left out of the sum, never subtracted from it: where they dominate it, a
    difference would hold nothing of the negatives.

    Args:
        scores: s, of shape (rows, labels), float32, float64 or bfloat16 (computed in float32).
        positives: P, what to leave out. A boolean mask of the same shape, or the column numbers in
            lists of shape (rows, listed), int64, each column once, shorter lists filled with -1.

    Returns:
        Shape (rows,), in the dtype of ``scores``; minus infinity where all labels are positive. It
        can be differentiated twice; the second derivative takes the memory of the definition.

    Raises:
        TypeError: Other dtypes.
        ValueError: A wrong shape; scores that are NaN or infinite; a column that does not exist or
            is named twice.

    >>> scores = torch.tensor([[2.0, 0.0, 0.0, 1e4]])
    >>> negative_log_mass(scores, torch.tensor([[True, False, False, True]]))  # log 2
    tensor([0.6931])
    >>> negative_log_mass(scores, torch.tensor([[3, 0, -1]]))  # the same, as a list
    tensor([0.6931])
    >>> negative_log_mass(scores, torch.ones(1, 4, dtype=torch.bool))
    tensor([-inf])
    """
    return _apply(scores, positives)[0].to(scores.dtype)


@checks.typed
def decoupled_loss_rows(
    scores: _Scores, positives: Bool[Tensor, "rows labels"] | Int64[Tensor, "rows listed"]
) -> _Rows:
    r"""Return each row's decoupled softmax loss: every positive against all negatives (gupta2024).

    .. math::

        L = \frac{1}{|P|}\sum_{i\in P} \log\big(1 + e^{\ell - s_i}\big), \qquad
        \ell = \log\sum_{j\notin P} e^{s_j}

    With q_i = σ(l - s_i) the gradient is -q_i over their number on a positive, and on a negative
    its share e^(s_j - l) of the mean of q. Value and gradient take one pass over the scores each.

    Args:
        scores: As for :func:`negative_log_mass`.
        positives: As there, at least one a row.

    Returns:
        Shape (rows,), at least 0, in the dtype of ``scores``; 0 where all labels are positive.

    Raises:
        TypeError: As there.
        ValueError: As there, or a row without a positive.

    Source: Gupta et al. (2024), arXiv:2310.10636.

    >>> scores = torch.tensor([[4.0, 0.0, 0.0, -10.0, -10.0]], requires_grad=True)
    >>> loss = decoupled_loss_rows(scores, torch.tensor([[0, 1, 2]]))
    >>> loss.detach()  # all three are far above the negatives, and none competes with another
    tensor([6.1085e-05])
    >>> loss.sum().backward()
    >>> scores.grad
    tensor([[-5.5435e-07, -3.0264e-05, -3.0264e-05,  3.0541e-05,  3.0541e-05]])
    """
    _check_any(positives)
    return _apply(scores, positives)[1].to(scores.dtype)


def _apply(scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    checks.same_device(scores=scores, positives=positives)
    mass, loss, _ = call(operator, widened(scores).contiguous(), positives.contiguous())
    return mass, loss


def _check_any(positives: Tensor) -> None:
    if torch.compiler.is_compiling():
        return
    has_some = (
        positives.any(dim=1) if positives.dtype == torch.bool else (positives >= 0).any(dim=1)
    )
    lacking = (~has_some).nonzero().flatten().tolist()
    if lacking:
        raise ValueError(
            f"Row {lacking[0]} of `positives` has no positive ({len(lacking)} such rows), and the "
            "mean over none is undefined. Drop such rows."
        )
