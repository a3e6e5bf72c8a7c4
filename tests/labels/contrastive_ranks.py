"""What each of two processes does in the test of gathered negatives, and the whole batch alone."""

import torch
from l2s.labels.contrastive import coupling, dcl, info_nce, nt_xent, supervised_contrastive
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.ranks import RANKS, error_of

BATCH, DIM = 70, 6  # 140 x 280 logits a rank: the operator's work, not the definition's

LOSSES = {
    "info_nce": info_nce,
    "nt_xent": nt_xent,
    "dcl": dcl,
    "dclw": lambda a, b, **options: dcl(a, b, weighting="von_mises_fisher", **options),
    "supervised": lambda a, b, **options: supervised_contrastive(
        a, labels_of(a, b), no_positive="ignore", **options
    ),
    "blocks": lambda a, b, **options: nt_xent(a, b, block_size=32, **options),
    "few": lambda a, b, **options: dcl(a[:3], b[:3], **options),  # the definition's work
}


def labels_of(a, b):
    """Labels that depend on the item alone, some of which occur once in the whole batch."""
    return (b.detach().double().sum(dim=1) * 20).round().long().to(a.device)


def items():
    """Two views of the whole batch, before the encoder."""
    return torch.randn(2, RANKS * BATCH, DIM, generator=torch.Generator().manual_seed(0))


def encoder(dtype):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(DIM, 8), nn.Tanh(), nn.Linear(8, DIM)).to(dtype)


def losses_and_gradients(model, a, b, **options):
    """Each loss, and the gradients that it leaves in the model."""
    found = {}
    for name, loss in LOSSES.items():
        model.zero_grad()
        za, zb = model(torch.cat([a, b])).chunk(2)
        value = loss(za, zb, **options) if name != "supervised" else loss(za, b, **options)
        value.backward()
        found[name] = value.detach(), [weight.grad.clone() for weight in model.parameters()]
    with torch.no_grad():
        za, zb = model(torch.cat([a, b])).chunk(2)
        found["coupling"] = coupling(za, zb, **options)
        found["each"] = nt_xent(za, zb, reduction="none", **options)
    return found


def job(rank):
    """Compute each loss on this rank's half under DDP."""
    own = slice(rank * BATCH, (rank + 1) * BATCH)
    found = {}
    for dtype in (torch.float32, torch.float64):
        a, b = items()[:, own].to(dtype)
        model = DistributedDataParallel(encoder(dtype))
        found[dtype] = losses_and_gradients(model, a, b, gather_negatives=True)
    found["unequal"] = error_of(lambda: nt_xent(a[rank:], b[rank:], gather_negatives=True))
    labels = torch.arange(BATCH) + rank  # the first and the last of all occur once
    found["alone"] = error_of(lambda: supervised_contrastive(a, labels, gather_negatives=True))
    one = slice(0, 1)  # one item a rank has the other rank's as negatives
    found["one"] = nt_xent(a[one], b[one], gather_negatives=True).item()
    return found
