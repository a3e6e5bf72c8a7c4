r"""Statistical top-k: about k of n numbers kept, by a threshold that needs no sorting.

The threshold comes from the mean and the standard deviation of a row, as if its numbers were
normal. One pass finds it, whatever k is, and it has a gradient.

``reference.py`` is the definition, ``cpu.py`` (numba) and ``gpu.py`` (Triton) are the fast ways;
``operator.py`` registers them as one operator. On a CPU the first call on a large input compiles
for some seconds, or loads what an earlier process compiled; see ``kernels/backends.py``.
"""

import torch
from jaxtyping import BFloat16, Bool, Float16, Float32, Float64
from torch import Tensor

from l2s import checks
from l2s.kernels.registration import call
from l2s.kernels.statistical_topk.operator import mask_operator, operator

__all__ = ["statistical_topk", "statistical_topk_mask"]

_Numbers = (
    Float32[Tensor, "..."]
    | Float64[Tensor, "..."]
    | BFloat16[Tensor, "..."]
    | Float16[Tensor, "..."]
)


@checks.typed
def statistical_topk(
    x: _Numbers, k: int, *, dim: int = -1, correction: int = 1, hard: bool = False
) -> _Numbers:
    r"""Return what the numbers of each row have beyond a threshold that about k of them pass.

    .. math::

        y_i = \max(x_i - \theta, 0), \qquad
        \theta = \operatorname{mean}(x) + \operatorname{std}(x)\, Q(1 - k / n),

    where Q is the quantile function of the normal distribution and n the length of a row. For
    independent normal numbers the expected number of y_i > 0 is k; for others it is off by a factor
    that depends on the shape of their tails, and not on n. The map is continuous, and its
    derivative is

    .. math::

        \frac{\partial y_i}{\partial x_j} = [x_i > \theta]\Big(\delta_{ij} - \frac1n
            - Q\,\frac{x_j - \operatorname{mean}(x)}{(n - c)\operatorname{std}(x)}\Big).

    Args:
        x: Rows along ``dim``: float32, float64, bfloat16 or float16, the latter two computed in
            float32. Any shape and strides.
        k: How many to keep, from 1 to n. With k = n no threshold is taken: the result is x.
        dim: The dimension along which to choose.
        correction: c, 0 or 1: the standard deviation divides by n - c. Implementations differ.
        hard: Return x_i itself where x_i > θ. This jumps at θ, and its derivative is that of a
            fixed choice.

    Returns:
        y, of the shape and dtype of ``x``. A row of equal numbers has standard deviation 0: none
        of them passes, and the result and its gradient are 0.

    Raises:
        TypeError: Other dtypes, or a k that is no integer.
        ValueError: k outside 1 to n; a correction that is neither 0 nor 1; numbers that are NaN or
            infinite; a dimension that does not exist.

    Source: You et al. (2025), arXiv:2506.06644.

    >>> x = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 8.0])
    >>> statistical_topk(x, 3)  # Q(1/2) = 0: the threshold is the mean, 3
    tensor([0., 0., 0., 0., 1., 5.])
    >>> statistical_topk(x, 3, hard=True)
    tensor([0., 0., 0., 0., 4., 8.])
    >>> statistical_topk(torch.full((2, 4), 0.1), 1)  # nothing stands out
    tensor([[0., 0., 0., 0.],
            [0., 0., 0., 0.]])
    >>> statistical_topk(x, 7)
    Traceback (most recent call last):
    ValueError: `k` is 7, but must lie between 1 and n = 6...
    """
    rows = _rows(x, k, dim, correction)
    if rows is None:
        return x.clone()
    return _as_before(call(operator, rows, k, correction, hard)[0], x, dim)


@checks.typed
def statistical_topk_mask(
    x: _Numbers, k: int, *, dim: int = -1, correction: int = 1
) -> Bool[Tensor, "..."]:
    r"""Return which numbers :func:`statistical_topk` keeps: those above θ.

    Args:
        x: As there.
        k: As there. With k = n all are kept.
        dim: As there.
        correction: As there.

    Returns:
        True where x_i > θ, in the shape of ``x``.

    Raises:
        TypeError: As there.
        ValueError: As there.

    >>> statistical_topk_mask(torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 8.0]), 3)
    tensor([False, False, False, False,  True,  True])
    """
    rows = _rows(x, k, dim, correction)
    if rows is None:
        return torch.ones_like(x, dtype=torch.bool)
    return _as_before(call(mask_operator, rows.detach(), k, correction), x, dim)


def _rows(x: Tensor, k: int, dim: int, correction: int) -> Tensor | None:
    """Return the input as contiguous rows, or None where all numbers are kept."""
    checks.one_of("correction", correction, (0, 1))
    checks.has_dim("x", x, dim)
    n = x.shape[dim]
    if not 1 <= k <= n:
        raise ValueError(
            f"`k` is {k}, but must lie between 1 and n = {n}, the length of `x` along dimension "
            f"{dim}. Pass fewer, or a longer row."
        )
    if k == n:
        checks.finite("x", x)
        return None
    if x.dim() == 2 and dim in (1, -1) and n:  # the usual case costs nothing
        return x.contiguous()
    moved = x.movedim(dim, -1)
    return (moved.reshape(-1, n) if x.numel() else moved.flatten(0, -2)).contiguous()


def _as_before(rows: Tensor, x: Tensor, dim: int) -> Tensor:
    if rows.shape == x.shape and dim in (rows.dim() - 1, -1):
        return rows
    return rows.view(x.movedim(dim, -1).shape).movedim(-1, dim)
