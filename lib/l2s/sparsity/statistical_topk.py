"""Statistical top-k, Spark layers and sparse kernels.

WRITE: one paragraph: what this module holds, and where the chapter derives it.
"""

from jaxtyping import Float
from torch import Tensor

from l2s import checks

__all__ = ["method"]


@checks.typed
def method(values: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    r"""WRITE: one line that says what it is, then the equation.

    Args:
        values: WRITE: what it is, its shape, dtype, unit and range.

    Returns:
        WRITE: what it is.

    Raises:
        ValueError: WRITE: when.

    WRITE: the source (BibTeX key and equation), then doctests from the plain case to the odd one.
    """
    raise NotImplementedError("WRITE: the method")
