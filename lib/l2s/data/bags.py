"""Sparse rows, such as bags of words: each row lists its columns and their values."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks


@dataclass(frozen=True, eq=False)
class Bags:
    """Sparse rows in compressed form, which can be indexed by rows; see ``bags``.

    Attributes:
        offsets: Where each row starts, and where the last one ends; int64 of shape (rows + 1,).
        columns: The columns of all rows, one after the other; int64 of shape (entries,).
        values: Their values, floating, of shape (entries,).
        width: How many columns there are.
    """

    offsets: Int[Tensor, " ends"]
    columns: Int[Tensor, " entries"]
    values: Float[Tensor, " entries"]
    width: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: slice | Tensor | Sequence[int]) -> "Bags":
        """Return the rows that a slice, a mask or a list of numbers chooses, as bags."""
        chosen = torch.arange(len(self), device=self.offsets.device)[rows]
        if chosen.ndim != 1:
            raise TypeError(f"bags[{rows!r}] is one row. Pass bags[{rows!r}:{rows!r} + 1].")
        sizes = self.offsets.diff()[chosen]
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        # Entry e of a new row stands as far from the row's start as it did before.
        shift = (self.offsets[chosen] - offsets[:-1]).repeat_interleave(sizes)
        entries = torch.arange(len(shift), device=shift.device) + shift
        return Bags(offsets, self.columns[entries], self.values[entries], self.width)

    def dense(self) -> Float[Tensor, "rows width"]:
        """Return the rows as a matrix; a column that a row names twice is added."""
        row = torch.arange(len(self), device=self.offsets.device)
        matrix = self.values.new_zeros(len(self), self.width)
        place = row.repeat_interleave(self.offsets.diff()), self.columns
        return matrix.index_put_(place, self.values, accumulate=True)


@checks.typed
def bags(
    lists: Int[Tensor, "rows most"], *, width: int, values: Float[Tensor, "rows most"] | None = None
) -> Bags:
    """Make sparse rows from lists of columns, padded with -1.

    Args:
        lists: Shape (rows, most), integer: the columns of each row in any order, padded with -1.
        width: How many columns there are.
        values: Shape (rows, most), floating; None for ones.

    Raises:
        ValueError: A column outside 0 to ``width - 1``.

    >>> rows = bags(torch.tensor([[2, 0], [1, -1]]), width=3)
    >>> rows.dense()
    tensor([[1., 0., 1.],
            [0., 1., 0.]])
    >>> rows[1:].dense()
    tensor([[0., 1., 0.]])
    """
    checks.at_least("width", width, 1, "Say how many columns there are.")
    if lists.numel() and not -1 <= int(lists.min()) <= int(lists.max()) < width:
        raise ValueError(
            f"`lists` holds columns from {int(lists.min())} to {int(lists.max())}, but they are "
            f"numbered from 0 to {width - 1}, with -1 as padding. Pass columns in that range."
        )
    real = lists >= 0
    ends = real.sum(dim=1).cumsum(0)
    return Bags(
        offsets=torch.cat([ends.new_zeros(1), ends]),
        columns=lists[real].long(),
        values=torch.ones_like(lists, dtype=torch.float32)[real]
        if values is None
        else values[real],
        width=width,
    )
