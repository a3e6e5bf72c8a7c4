"""Checks that the functions on mixed pairs share."""

import torch
from torch import Tensor

from l2s import checks


def check_labels(name: str, labels: Tensor, classes: int | None = None) -> None:
    """Raise ``ValueError`` unless labels lie in range."""
    if not labels.numel():
        return
    low, high = (int(end) for end in labels.aminmax())  # one pass: losses check at every step
    if low < 0 or (classes is not None and high >= classes):
        limit = "0 and up" if classes is None else f"0 to {classes - 1}"
        raise ValueError(
            f"`{name}` reaches from {low} to {high}, but labels are {limit}. Pass class numbers."
        )


def check_pairs(
    first: Tensor, second: Tensor, share: Tensor | float, classes: int | None = None
) -> None:
    """Raise ``ValueError`` unless labels lie in range and shares between 0 and 1."""
    check_labels("first", first, classes)
    check_labels("second", second, classes)
    if isinstance(share, Tensor) and not share.numel():
        return
    least, most = (float(end) for end in torch.as_tensor(share).aminmax())
    if not (least >= 0 and most <= 1):
        raise ValueError(
            f"`share` reaches from {least:.4g} to {most:.4g}, but "
            "must lie between 0 and 1. Pass the part of each sample that its first class has."
        )


def check_classes(classes: int) -> None:
    """Raise ``ValueError`` unless there are two classes or more."""
    checks.at_least("classes", classes, 2, "One class cannot be told from another.")
