r"""Rows that lie in groups, each group times its own matrix: the product behind a layer of experts.

``reference.py`` is the definition, ``cpu.py`` and ``gpu.py`` (Triton) are the fast ways;
``operator.py`` registers them as one operator.
"""

from jaxtyping import BFloat16, Float16, Float32, Float64, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.grouped_matmul.operator import operator
from l2s.kernels.registration import call

__all__ = ["grouped_matmul"]

_Rows = (
    Float32[Tensor, "rows inputs"]
    | Float64[Tensor, "rows inputs"]
    | BFloat16[Tensor, "rows inputs"]
    | Float16[Tensor, "rows inputs"]
)
_Weights = (
    Float32[Tensor, "groups inputs outputs"]
    | Float64[Tensor, "groups inputs outputs"]
    | BFloat16[Tensor, "groups inputs outputs"]
    | Float16[Tensor, "groups inputs outputs"]
)
_Products = (
    Float32[Tensor, "rows outputs"]
    | Float64[Tensor, "rows outputs"]
    | BFloat16[Tensor, "rows outputs"]
    | Float16[Tensor, "rows outputs"]
)


@checks.typed
def grouped_matmul(x: _Rows, weights: _Weights, group_sizes: Int[Tensor, " groups"]) -> _Products:
    r"""Return each row times the matrix of its group.

    .. math:: y_i = x_i W_{g(i)}, \qquad g = (0,\dots,0,\ 1,\dots,1,\ \dots)

    where group g has ``group_sizes[g]`` rows, one behind the other. A layer of experts sorts its
    rows by their expert, and then this is its product: nothing is padded, no row is multiplied by a
    matrix that is not its own, and a group may be empty. The gradients are a product of the same
    kind for ``x``, and for each matrix the sum of outer products over its group's rows:

    .. math::

        \frac{\partial L}{\partial x_i} = \frac{\partial L}{\partial y_i} W_{g(i)}^\top, \qquad
        \frac{\partial L}{\partial W_g}
            = \sum_{i:\,g(i) = g} x_i^\top\frac{\partial L}{\partial y_i}.

    Args:
        x: The rows, shape (rows, inputs): float32, float64, bfloat16 or float16, the latter two
            with sums in float32. Any strides.
        weights: The matrices, shape (groups, inputs, outputs), in the dtype of ``x``. Any strides.
        group_sizes: How many rows each group has, integers of 0 or more. They sum to ``rows``.

    Returns:
        Shape (rows, outputs). It can be differentiated as often as asked. NaN and infinities go the
        way of any product: they stay in the results of their row, and of their group's matrix.

    Raises:
        TypeError: Other dtypes, or two of them.
        ValueError: Shapes that do not fit; sizes below 0 or of another sum; mixed devices.

    >>> import torch
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> weights = torch.tensor([[[1.0], [1.0]], [[9.0], [9.0]], [[1.0], [-1.0]]])
    >>> grouped_matmul(x, weights, torch.tensor([1, 0, 2]))  # sum the first, subtract in the others
    tensor([[ 3.],
            [-1.],
            [-1.]])
    >>> grouped_matmul(x, weights, torch.tensor([1, 1, 2]))
    Traceback (most recent call last):
    ValueError: `group_sizes` has the smallest entry 1 and the sum 4, but must count the 3 rows...
    """
    checks.same_dtype(x=x, weights=weights)
    checks.same_device(x=x, weights=weights, group_sizes=group_sizes)
    return call(operator, x, weights, group_sizes)
