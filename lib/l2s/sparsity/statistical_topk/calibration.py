"""How many numbers pass a threshold that was made for normal numbers."""

import math
from statistics import NormalDist
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from l2s import checks

_NORMAL = NormalDist()


@runtime_checkable
class Law(Protocol):
    """A distribution with a mean, a standard deviation and a survival function.

    Those of ``scipy.stats`` are ones.
    """

    def mean(self) -> Any:
        """Return the mean."""

    def std(self) -> Any:
        """Return the standard deviation."""

    def sf(self, x: Any, /) -> Any:
        """Return the probability of more than x."""


@checks.typed
def gaussian_threshold(
    x: Float[Tensor, "*rows n"], k: int, *, correction: int = 1
) -> Float[Tensor, "*rows"]:
    r"""Return the threshold that k of n normal numbers with these moments pass on average.

    .. math:: \theta = \operatorname{mean}(x) + \operatorname{std}(x)\, Q(1 - k / n)

    Args:
        x: Rows of n numbers, 2 or more.
        k: How many are to pass, from 1 to n - 1.
        correction: 0 or 1; the standard deviation divides by n - correction.

    Returns:
        θ of each row.

    Raises:
        ValueError: k outside 1 to n - 1; another correction; NaN or infinities in ``x``.

    Source: You et al. (2025), arXiv:2506.06644. The operator
    :func:`l2s.kernels.statistical_topk.statistical_topk` does this and what follows in one go.

    >>> import torch
    >>> gaussian_threshold(torch.tensor([1.0, 2.0, 3.0, 10.0]), 2)  # Q(1/2) = 0: the mean
    tensor(4.)
    """
    checks.in_range("k", k, 1, x.shape[-1] - 1)
    checks.one_of("correction", correction, (0, 1))
    checks.finite("x", x)
    return x.mean(dim=-1) + _quantile(k / x.shape[-1]) * x.std(dim=-1, correction=correction)


@checks.typed
def count_variance(share: float) -> float:
    r"""Return the variance of the count of normal numbers that pass, divided by n, for large n.

    .. math:: \frac{\operatorname{Var}(\text{count})}{n} \to
        p (1 - p) - \varphi(z)^2 \Big( 1 + \frac{z^2}{2} \Big), \qquad z = Q(1 - p)

    The first term is that of a threshold which is known; estimating it from the same numbers makes
    the count steadier.

    Args:
        share: p, the share that is to pass, between 0 and 1.

    Returns:
        The limit, above 0.

    Raises:
        ValueError: share outside of 0 to 1.

    Source: derived in the chapter by the delta method.

    >>> round(count_variance(0.08), 4), round(0.08 * 0.92, 4)
    (0.0297, 0.0736)
    """
    z = _quantile(share)
    return share * (1 - share) - _NORMAL.pdf(z) ** 2 * (1 + z * z / 2)


@checks.typed
def limiting_share(share: float, law: Law) -> float:
    r"""Return the share that passes when numbers of another law meet the threshold, for large n.

    .. math:: \Pr\big( X > \operatorname{mean} + \operatorname{std} \cdot Q(1 - p) \big)

    Args:
        share: p, the share that is asked for, between 0 and 1.
        law: The law of the numbers, such as ``scipy.stats.laplace()``.

    Returns:
        The share that passes, 0 to 1. It depends on the shape of the law alone.

    Raises:
        ValueError: share outside of 0 to 1; a law without a finite variance.

    Source: the law of large numbers for mean and standard deviation.

    >>> from scipy import stats
    >>> round(limiting_share(0.08, stats.norm(3, 2)), 4)
    0.08
    >>> round(limiting_share(0.08, stats.laplace()), 4)  # exp(-z √2) / 2
    0.0685
    >>> limiting_share(0.08, stats.cauchy())
    Traceback (most recent call last):
    ValueError: `law` has the standard deviation nan. Pass one whose variance is finite.
    """
    deviation = float(law.std())
    if not math.isfinite(deviation):
        raise ValueError(
            f"`law` has the standard deviation {deviation}. Pass one whose variance is finite."
        )
    return float(law.sf(law.mean() + deviation * _quantile(share)))


def _quantile(share: float) -> float:
    if not 0 < share < 1:
        raise ValueError(f"`share` is {share}, but must be between 0 and 1. Pass k / n.")
    return -_NORMAL.inv_cdf(share)
