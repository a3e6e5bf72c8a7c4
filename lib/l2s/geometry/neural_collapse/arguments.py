"""Checks of class sizes, decays, depths and labels that several files share."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from torch import Tensor

from l2s import checks

# float is here so that a size that is not whole reaches the check that says so.
Sizes = Sequence[int | float] | Int[Tensor, " classes"]
"""How many samples each class has: whole numbers, each at least 1."""


def checked_sizes(class_sizes: Sizes) -> np.ndarray:
    """Return class sizes as int64, or say what is wrong with them."""
    sizes = np.asarray(class_sizes)
    if sizes.size and not np.issubdtype(sizes.dtype, np.integer):
        raise TypeError(f"`class_sizes` is {sizes.tolist()}. Pass whole numbers.")
    checks.at_least("class_sizes", len(sizes), 2, "Pass the sizes of two classes or more.")
    if sizes.min() < 1:
        raise ValueError(
            f"`class_sizes` is {sizes.tolist()}, but each must be at least 1. Leave out classes "
            "without samples."
        )
    return sizes.astype(np.int64)


def checked_decays(weight_decays: float | Sequence[float], depth: int) -> np.ndarray:
    """Return one weight decay a layer, or say what is wrong with them."""
    check_depth(depth)
    decays = np.atleast_1d(np.asarray(weight_decays, dtype=np.float64))
    decays = np.repeat(decays, depth) if np.ndim(weight_decays) == 0 else decays
    if len(decays) != depth:
        raise ValueError(
            f"`weight_decays` holds {len(decays)} numbers, but `depth` is {depth}. Pass one for "
            "each layer, or a single number for all."
        )
    for decay in decays.tolist():
        checks.positive("weight_decays", decay)
    return decays


def check_depth(depth: int) -> None:
    """Raise ``ValueError`` where a head has no layer."""
    checks.at_least("depth", depth, 1, "A head has one linear layer or more.")


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise ``ValueError`` where a label names no class."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"`labels` runs from {int(labels.min())} to {int(labels.max())}, but must lie between "
            f"0 and {classes - 1}. Pass the number of the class."
        )
