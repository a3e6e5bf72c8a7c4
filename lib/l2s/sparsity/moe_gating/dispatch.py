"""Sorting tokens by their experts, so that each expert has its rows side by side."""

from typing import NamedTuple

import torch
from torch import Tensor

from l2s.sparsity.moe_gating.routing import counts_of


class Dispatch(NamedTuple):
    """Where each choice of each token goes.

    A *choice* is one of the K experts of one token, and a *row* is a choice that an expert works
    on. Choices are numbered with all first choices first, then all second ones.

    Attributes:
        choices: The choice of each row, rows sorted by expert, shape (rows,).
        tokens: The token of each row, shape (rows,).
        rows: The row of each choice, -1 where it was dropped, shape (tokens, k).
        sizes: How many rows each expert has, shape (experts,).
    """

    choices: Tensor
    tokens: Tensor
    rows: Tensor
    sizes: Tensor


def dispatch(chosen: Tensor, experts: int, capacity: int | None = None) -> Dispatch:
    """Sort the choices, shape (tokens, k), by expert; beyond its capacity an expert drops them.

    First choices have their place before second ones, and within these the earlier token. A token
    is never moved to another expert.
    """
    tokens, k = chosen.shape
    flat = chosen.T.flatten()
    choices = flat.argsort(stable=True)
    sizes = counts_of(chosen, experts)
    if capacity is not None:
        first = sizes.cumsum(0) - sizes
        place = torch.arange(len(flat), device=flat.device) - first[flat[choices]]
        choices = choices[place < capacity]
        sizes = sizes.clamp(max=capacity)
    rows = torch.full_like(flat, -1)
    rows[choices] = torch.arange(len(choices), device=flat.device)
    return Dispatch(choices, choices % max(tokens, 1), rows.view(k, tokens).T.contiguous(), sizes)
