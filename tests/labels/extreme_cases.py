"""What the tests of the losses with several positives share: problems, loops, comparisons."""

import math

import torch
from l2s.data import label_lists
from l2s.labels.extreme_labels import (
    decoupled_softmax,
    multilabel_softmax,
    one_versus_all,
    soft_topk_loss,
)

LOSSES = {
    "decoupled": decoupled_softmax,
    "multilabel": multilabel_softmax,
    "one_versus_all": one_versus_all,
    "topk": lambda s, p, **options: soft_topk_loss(s, p, 3, sharpness=1.5, **options),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def problem(rows=5, labels=9, *, scale=2.0, seed=0, dtype=torch.float64):
    """Scores, and a mask in which every row has a positive and a negative."""
    scores = scale * torch.randn(rows, labels, generator=seeded(seed), dtype=torch.float64)
    mask = torch.rand(rows, labels, generator=seeded(seed + 1)) < 0.3
    mask[:, 0], mask[:, 1] = True, False
    return scores.to(dtype), mask


def both_forms(mask):
    return {"mask": mask, "lists": label_lists(mask)}


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def log_sum(values):
    top = max(values, default=-math.inf)
    return top + math.log(sum(math.exp(v - top) for v in values)) if values else -math.inf


def by_loops(name, scores, mask, *, weights=None, excluded=None):
    """Each row's loss, number by number. A negative of weight w stands for w labels."""
    losses = []
    for i, row in enumerate(scores.double().tolist()):
        positive = [j for j in range(len(row)) if mask[i, j]]
        out = set(positive) | {
            j for j in range(len(row)) if excluded is not None and excluded[i, j]
        }
        negative = [j for j in range(len(row)) if j not in out]
        w = [1.0] * len(row) if weights is None else weights.expand_as(scores)[i].tolist()
        mass = log_sum([row[j] + math.log(w[j]) for j in negative])
        losses.append(_row(name, row, positive, negative, w, mass))
    return torch.tensor(losses, dtype=torch.float64)


def _row(name, row, positive, negative, w, mass):
    if name == "decoupled":
        return sum(softplus(mass - row[i]) for i in positive) / len(positive)
    if name == "multilabel":
        total = log_sum([row[i] for i in positive] + [mass])
        return sum(total - row[i] for i in positive) / len(positive)
    if name == "one_versus_all":
        return sum(softplus(-row[i]) for i in positive) + sum(
            w[j] * softplus(row[j]) for j in negative
        )
    t = _threshold(row, positive, negative, w, k=3, sharpness=1.5)
    return sum(softplus(-1.5 * (row[i] + t)) for i in positive) / len(positive)


def _threshold(row, positive, negative, w, k, sharpness):
    from scipy.optimize import brentq
    from scipy.special import expit

    # Exact in the tails on both sides, so that a wide gap between the scores has its middle.
    terms = [(row[i], 1.0) for i in positive] + [(row[j], w[j]) for j in negative]

    def excess(t):
        x = [(sharpness * (s + t), weight) for s, weight in terms]
        above = sum(weight for value, weight in x if value > 0) - k
        tails = math.fsum(math.copysign(weight * expit(-abs(v)), -v) for v, weight in x)
        return above + tails

    return brentq(excess, -1e6, 1e6, xtol=1e-14, rtol=1e-14, maxiter=500)


def close(actual, expected, rtol=1e-11, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)
