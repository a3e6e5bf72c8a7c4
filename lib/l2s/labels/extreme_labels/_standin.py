"""Short definitions of the kernels' operators, until those are there."""

import torch
from torch import Tensor

from l2s.data.label_sets import label_mask
from l2s.labels.extreme_labels.threshold import threshold


def log_soft_topk(scores: Tensor, k: int | Tensor, *, sharpness: float = 1.0) -> Tensor:
    t = threshold(scores, torch.as_tensor(k).expand(len(scores)), sharpness)
    return torch.nn.functional.logsigmoid(sharpness * (scores + t[:, None]))


def negative_log_mass(scores: Tensor, positives: Tensor) -> Tensor:
    mask = (
        positives
        if positives.dtype == torch.bool
        else label_mask(positives, labels=scores.shape[1])
    )
    # A finite stand-in for log 0 first: the logsumexp of nothing has no gradient.
    alone = mask.all(dim=1)
    masked = scores.masked_fill(mask & ~alone[:, None], -torch.inf)
    return masked.logsumexp(dim=1).masked_fill(alone, -torch.inf)


def decoupled_loss_rows(scores: Tensor, positives: Tensor) -> Tensor:
    mask = (
        positives
        if positives.dtype == torch.bool
        else label_mask(positives, labels=scores.shape[1])
    )
    hinges = torch.nn.functional.softplus(
        negative_log_mass(scores, positives)[:, None] - scores, threshold=40
    )
    return hinges.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)
