"""Checks that the functions on mixed pairs share."""

import torch
from torch import Tensor

from l2s import checks


def check_pairs(
    first: Tensor, second: Tensor, share: Tensor | float, classes: int | None = None
) -> None:
    """Raise ``ValueError`` unless labels lie in range and shares between 0 and 1."""
    for name, labels in (("first", first), ("second", second)):
        if not labels.numel():
            continue
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or (classes is not None and high >= classes):
            limit = "0 and up" if classes is None else f"0 to {classes - 1}"
            raise ValueError(
                f"`{name}` reaches from {low} to {high}, but labels are {limit}. "
                "Pass class numbers."
            )
    values = torch.as_tensor(share)
    if values.numel() and not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError(
            f"`share` reaches from {float(values.min()):.4g} to {float(values.max()):.4g}, but "
            "must lie between 0 and 1. Pass the part of each sample that its first class has."
        )


def check_classes(classes: int) -> None:
    """Raise ``ValueError`` unless there are two classes or more."""
    checks.at_least("classes", classes, 2, "One class cannot be told from another.")
