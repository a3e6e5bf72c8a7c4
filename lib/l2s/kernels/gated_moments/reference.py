"""The definition, in plain PyTorch, a fit at a time; it runs on every device."""

import math

import torch
from torch import Tensor

from l2s.kernels.gated_moments import Moments


def moments(
    inputs: Tensor,
    targets: Tensor,
    gate: Tensor,
    lines: Tensor,
    variances: Tensor,
    k: int,
    row: Tensor,
    count: Tensor,
) -> Moments:
    """Return the sums of every fit."""
    each = [
        _one(inputs[r, :n], targets[r, :n], gate[fit], lines[fit], variances[fit], k)
        for fit, (r, n) in enumerate(zip(row.tolist(), count.tolist(), strict=True))
    ]
    return Moments(*(torch.stack(parts) for parts in zip(*each, strict=True)))


def _one(x: Tensor, y: Tensor, gate: Tensor, lines: Tensor, variances: Tensor, k: int) -> Moments:
    wide = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    scores = x @ gate[:, :-1].T
    # A stable sort keeps equal scores in the order of their index.
    chosen = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    out = torch.full_like(scores, -math.inf).scatter(1, chosen, 0.0)
    log_gate = (scores + gate[:, -1] + out).log_softmax(dim=1)
    error = y[:, None] - wide @ lines.T
    joint = log_gate - 0.5 * (error.square() / variances + (2 * math.pi * variances).log())
    total = joint.logsumexp(dim=1)
    pi, r = log_gate.exp(), (joint - total[:, None]).exp()
    weighted = r.T[:, :, None] * wide  # experts, samples, dim + 1
    squares = (wide[:, :, None] * wide[:, None, :]).flatten(1)
    size = (len(gate), len(gate), wide.shape[1], wide.shape[1])
    shared = torch.einsum("ni,nj,nq->ijq", pi, pi, squares).view(size)
    own = torch.diag_embed((pi.T @ squares).T).permute(1, 2, 0).view(size)
    return Moments(
        total.sum(),
        (r - pi).T @ wide,
        own - shared,
        weighted.transpose(1, 2) @ wide,
        weighted.transpose(1, 2) @ y,
        r.T @ y.square(),
    )
