"""The operator on a CPU: PyTorch's product of two matrices, group by group, into one memory.

The products are as fast as dense ones of the same size. What a careless version adds is the memory
of its results, above all of the matrices' gradients, where every fresh page costs a page fault; so
the results lie in memory that is used again.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from l2s.kernels import buffers


def multiply(x: Tensor, weights: Tensor, sizes: list[int]) -> Tensor:
    """Return every row of ``x`` times the matrix of its group."""
    result = empty(len(x), weights.shape[2], like=x)
    for group, rows in enumerate(slices(sizes)):
        torch.mm(x[rows], weights[group], out=result[rows])
    return result


def outer(x: Tensor, y: Tensor, sizes: list[int]) -> Tensor:
    """Return for each group the sum over its rows of x_i y_i^T."""
    result = empty(len(sizes), x.shape[1], y.shape[1], like=x)
    for group, rows in enumerate(slices(sizes)):
        torch.mm(x[rows].T, y[rows], out=result[group])
    return result


def slices(sizes: list[int]) -> Iterator[slice]:
    """The rows of each group, where groups lie one behind the other.

    >>> list(slices([2, 0, 1]))
    [slice(0, 2, None), slice(2, 2, None), slice(2, 3, None)]
    """
    ends = np.cumsum([0, *sizes]).tolist()
    return (slice(first, last) for first, last in pairwise(ends))


def empty(*shape: int, like: Tensor) -> Tensor:
    """An uninitialised tensor, in memory that was used before where there is some."""
    return buffers.take(int(np.prod(shape)), like=like).view(shape)
