"""Directions without data: no gradient ever points there."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks


class FrozenSubspace(NamedTuple):
    """The directions that gradient descent never moves, and how slow the slowest other one is.

    Attributes:
        basis: Orthonormal columns, float64 of shape (parameters, frozen).
        gap: The smallest eigenvalue of X^T X that is not 0.
    """

    basis: Float[Tensor, "parameters frozen"]
    gap: float


@checks.typed
def frozen_subspace(
    inputs: Float[Tensor, "samples parameters"], *, tolerance: float | None = None
) -> FrozenSubspace:
    r"""Find the null space of the inputs, in which weights stay where they started.

    Every gradient of a loss of Xw is :math:`X^\top(\ldots)`, a combination of the samples, and is
    orthogonal to all v with Xv = 0. There are at least :math:`N - P` such directions.

    Args:
        inputs: X, shape (samples, parameters), of any scale: inputs, or the features of a layer
            whose outgoing weights alone are trained.
        tolerance: Singular values up to this share of the largest count as 0; a rounding's share
            if left out.

    Returns:
        An orthonormal basis of the frozen directions (none where every direction has data), and
        the smallest eigenvalue of X^T X that is not 0, the spectral gap.

    Raises:
        ValueError: If the inputs are all 0 or hold NaN, or the tolerance is not within [0, 1).

    >>> frozen, gap = frozen_subspace(torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    >>> frozen.T.abs(), gap
    (tensor([[0., 0., 1.]], dtype=torch.float64), 1.0)
    """
    checks.finite("inputs", inputs)
    if tolerance is None:
        tolerance = max(inputs.shape) * torch.finfo(torch.float64).eps
    if not 0 <= tolerance < 1:
        raise ValueError(f"`tolerance` is {tolerance!r}. Pass a share: at least 0 and below 1.")
    if not bool(inputs.any()):
        raise ValueError(
            f"`inputs` of shape {tuple(inputs.shape)} has no entry but 0, so that nothing can be "
            "learned from it. Pass inputs with data."
        )
    _, singular, right = torch.linalg.svd(inputs.double())
    rank = int((singular > tolerance * singular[0]).sum())
    return FrozenSubspace(right[rank:].T, float(singular[rank - 1] ** 2))
