"""The losses by loops over anchors, as their equations are written: slow, and hard to get wrong.

All take embeddings of unit length and return one value for each anchor.
"""

import math

import torch


def info_nce(query, key, tau):
    rows = []
    for i in range(len(query)):
        keys = [query[i] @ key[j] / tau for j in range(len(key))]
        rows.append(torch.stack(keys).logsumexp(0) - keys[i])
    return torch.stack(rows)


def negative_masses(a, b, tau):
    """log U_i^(k), shape (2, batch)."""
    rows = []
    for anchors in (a, b):
        for i in range(len(a)):
            logits = [
                anchors[i] @ view[j] / tau for view in (a, b) for j in range(len(a)) if j != i
            ]
            rows.append(torch.stack(logits).logsumexp(0))
    return torch.stack(rows).view(2, -1)


def positives(a, b, tau):
    return torch.stack([a[i] @ b[i] for i in range(len(a))]) / tau


def nt_xent(a, b, tau):
    p, log_u = positives(a, b, tau).expand(2, -1), negative_masses(a, b, tau)
    return torch.logaddexp(p, log_u) - p


def dcl(a, b, tau):
    return negative_masses(a, b, tau) - positives(a, b, tau)


def dclw(a, b, tau, sigma=0.5):
    return negative_masses(a, b, tau) - weights(a, b, sigma) * positives(a, b, tau)


def weights(a, b, sigma=0.5):
    e = (positives(a, b, 1) / sigma).exp()
    return 2 - e / e.mean()


def coupling(a, b, tau):
    p, mass = positives(a, b, tau).exp(), negative_masses(a, b, tau).exp()
    return 1 - p / (p + mass)


def supervised(z, labels, tau):
    """Anchors without a positive have the loss 0."""
    rows = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        partition = torch.stack([z[i] @ z[j] / tau for j in others]).logsumexp(0)
        same = [j for j in others if labels[j] == labels[i]]
        terms = [partition - z[i] @ z[j] / tau for j in same]
        rows.append(torch.stack(terms).mean() if terms else 0 * partition)
    return torch.stack(rows)


def simplex(vertices):
    """A regular simplex of unit vectors around 0: all cosines are -1 / (vertices - 1)."""
    centred = torch.eye(vertices, dtype=torch.float64) - 1 / vertices
    return centred * math.sqrt(vertices / (vertices - 1))
