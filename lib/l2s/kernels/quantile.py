"""The quantile of the normal distribution that statistical top-k sets its threshold by."""

import functools
from statistics import NormalDist


@functools.lru_cache(maxsize=64)
def upper_quantile(k: int, n: int) -> float:
    """Return Q(1 - k / n), from the lower tail: no digit is lost where k is small.

    >>> upper_quantile(50, 100)
    -0.0
    >>> round(upper_quantile(8, 100), 4)
    1.4051
    """
    return -NormalDist().inv_cdf(k / n)
