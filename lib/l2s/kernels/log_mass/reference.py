"""The definition of the operator: one masked matrix and one logsumexp."""

import torch
from torch import Tensor


def log_mass_reference(
    anchors: Tensor, candidates: Tensor, excluded: Tensor, *, temperature: float
) -> Tensor:
    """Return log U_i = log of the sum over j not in excluded(i) of exp(<a_i, c_j> / tau).

    Plain PyTorch: autograd differentiates it as often as asked. It holds several matrices of
    anchors x candidates.
    """
    logits = anchors @ candidates.T / temperature
    hidden = torch.zeros_like(logits, dtype=torch.bool).scatter(1, excluded, True)
    return logits.masked_fill(hidden, -torch.inf).logsumexp(dim=1)
