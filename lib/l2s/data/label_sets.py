"""Sets of labels, one a row: as a boolean mask, or as lists of numbers padded with -1."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from l2s import checks

LabelSets = Bool[Tensor, "rows labels"] | Int[Tensor, "rows most"]
"""Each row's labels: a mask with a column a label, or lists of columns padded with -1."""


@checks.typed
def label_mask(lists: Int[Tensor, "rows most"], *, labels: int) -> Bool[Tensor, "rows labels"]:
    """Return padded lists of labels as a mask.

    Args:
        lists: Shape (rows, most): the labels of each row in any order, padded with -1.
        labels: How many labels there are.

    Raises:
        ValueError: A label outside 0 to ``labels - 1``, or twice in a row.

    >>> label_mask(torch.tensor([[2, 0], [1, -1]]), labels=3)
    tensor([[ True, False,  True],
            [False,  True, False]])
    """
    check_label_sets("lists", lists, labels)
    # The padding falls into one column too many, which is cut off.
    columns = lists.long().where(lists >= 0, labels)
    mask = torch.zeros(len(lists), labels + 1, dtype=torch.bool, device=lists.device)
    return mask.scatter_(1, columns, True)[:, :labels]


@checks.typed
def label_lists(mask: Bool[Tensor, "rows labels"]) -> Int[Tensor, "rows most"]:
    """Return a mask as lists of labels, rising, padded with -1 to the longest.

    Args:
        mask: Shape (rows, labels), bool.

    >>> label_lists(torch.tensor([[True, False, True], [False, True, False]]))
    tensor([[ 0,  2],
            [ 1, -1]])
    """
    row, label = mask.nonzero(as_tuple=True)
    sizes = torch.bincount(row, minlength=len(mask))
    place = torch.arange(len(row), device=mask.device) - (sizes.cumsum(0) - sizes)[row]
    most = int(sizes.max()) if len(sizes) else 0
    lists = torch.full((len(mask), most), -1, dtype=torch.int64, device=mask.device)
    lists[row, place] = label
    return lists


def check_label_sets(name: str, sets: Tensor, labels: int) -> None:
    """Raise ``ValueError`` for a mask of another width, a label that is none, or one twice."""
    if sets.dtype == torch.bool:
        if sets.shape[1] != labels:
            raise ValueError(
                f"`{name}` has shape {tuple(sets.shape)}, but there are {labels} labels. "
                "Pass a mask with one column a label."
            )
        return
    if not sets.numel():
        return
    low, high = (int(end) for end in sets.aminmax())
    if low < -1 or high >= labels:
        wrong = low if low < -1 else high
        raise ValueError(
            f"`{name}` names the label {wrong}, but the {labels} labels are numbered from 0 to "
            f"{labels - 1}. Pass labels in that range, and -1 as padding."
        )
    ordered = sets.sort(dim=1).values
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        row, place = (int(index) for index in twice.nonzero()[0])
        raise ValueError(
            f"Row {row} of `{name}` names the label {int(ordered[row, place])} twice. "
            "Name each label of a row once, and pad with -1."
        )
