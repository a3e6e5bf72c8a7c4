"""What each of two processes does in the test of sharded labels, and one process with all."""

import torch
import torch.distributed as dist
from l2s.data import label_lists
from l2s.labels.extreme_labels import (
    decoupled_softmax,
    sharded_decoupled_softmax,
    sharded_soft_topk_loss,
    soft_topk_loss,
)

from tests.ranks import error_of

ROWS, LABELS, DIM = 7, 50, 6
SPLIT = 31  # unequal parts: the ranks hold 31 and 19 labels
EACH_K = torch.tensor([1, 5, 2, 30, 49, 3, 7])

# Each: the loss of one process, and the loss of sharded labels.
LOSSES = {
    "decoupled": (decoupled_softmax, sharded_decoupled_softmax),
    "topk": (
        lambda s, p, **o: soft_topk_loss(s, p, 5, sharpness=2.0, **o),
        lambda s, p, **o: sharded_soft_topk_loss(s, p, 5, sharpness=2.0, **o),
    ),
    "each_k": (
        lambda s, p, **o: soft_topk_loss(s, p, EACH_K, **o),
        lambda s, p, **o: sharded_soft_topk_loss(s, p, EACH_K, **o),
    ),
}


def problem(dtype, *, labels=LABELS):
    """Query and label embeddings and a mask: row 0 has positives on rank 0 only, row 1 on both."""
    generator = torch.Generator().manual_seed(0)
    queries = 2 * torch.randn(ROWS, DIM, generator=generator, dtype=torch.float64)
    vectors = torch.randn(labels, DIM, generator=generator, dtype=torch.float64)
    mask = torch.rand(ROWS, labels, generator=generator) < 0.1
    mask[0] = torch.arange(labels) < 3
    mask[1] = True  # no negative anywhere
    mask[2] = torch.arange(labels) >= SPLIT  # no negative on rank 1
    mask[3, 0] = mask[4, 1] = mask[5, 40] = mask[6, 2] = True
    return queries.to(dtype), vectors.to(dtype), mask


def loss_and_gradients(loss, queries, vectors, positives, **options):
    """The loss, and its gradients for the queries and for these labels."""
    queries, vectors = (tensor.clone().requires_grad_() for tensor in (queries, vectors))
    value = loss(queries @ vectors.T, positives, **options)
    weights = torch.arange(1.0, value.numel() + 1, dtype=value.dtype).view(value.shape)
    (value * weights).sum().backward()
    return value.detach(), queries.grad, vectors.grad


def job(rank):
    """Compute each loss on this rank's labels."""
    own = slice(0, SPLIT) if rank == 0 else slice(SPLIT, None)
    found = {}
    for dtype in (torch.float32, torch.float64):
        queries, vectors, mask = problem(dtype)
        for name, (_, loss) in LOSSES.items():
            for form, positives in (("mask", mask[:, own]), ("lists", label_lists(mask[:, own]))):
                for reduction in ("mean", "none"):
                    found[dtype, name, form, reduction] = loss_and_gradients(
                        loss, queries, vectors[own], positives, reduction=reduction
                    )
    found["exchanged"] = _exchanged(own)
    found.update(_errors(rank, own))
    return found


def _exchanged(own):
    """How many numbers each loss hands to all_reduce, for 50 labels and for 5000."""
    counts, real = {}, dist.all_reduce

    def counting(numbers, *args, **options):
        counts[key] = counts.get(key, 0) + numbers.numel()
        return real(numbers, *args, **options)

    dist.all_reduce = counting
    try:
        for labels in (LABELS, 100 * LABELS):
            queries, vectors, mask = problem(torch.float64, labels=labels)
            for name, (_, loss) in LOSSES.items():
                key = name, labels
                loss_and_gradients(loss, queries, vectors[own], mask[:, own])
    finally:
        dist.all_reduce = real
    return counts


def _errors(rank, own):
    queries, vectors, mask = problem(torch.float64)
    scores, mask = (queries @ vectors.T)[:, own], mask[:, own]
    wrong = scores.clone()
    if rank == 0:
        wrong[0, 0] = torch.nan
    empty = mask.clone()
    empty[5] = False
    return {
        "nan": error_of(lambda: sharded_decoupled_softmax(wrong, mask)),
        "empty": error_of(lambda: sharded_decoupled_softmax(scores, empty)),
        "k": error_of(lambda: sharded_soft_topk_loss(scores, mask, LABELS)),
        "ignored": sharded_decoupled_softmax(scores, empty, on_empty="ignore", reduction="none"),
    }
