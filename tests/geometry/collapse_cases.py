"""Independent, slow and plain versions of what the library computes, for the tests to compare."""

import numpy as np
import torch


def features_of_classes(sizes, dim, *, spread=1.0, offset=0.0, seed=0, dtype=torch.float64):
    """Return normal features about normal class means, shuffled, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    means = torch.randn(len(sizes), dim, generator=generator, dtype=torch.float64) + offset
    noise = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    return (means[labels] + spread * noise).to(dtype), labels


def plain_covariances(features, labels, *, alike=False):
    """Return S_W and S_B by loops over classes; ``alike`` lets every class weigh 1 / K."""
    features, labels = features.double().numpy(), labels.numpy()
    classes = np.unique(labels)
    shares = [1 / len(classes) if alike else (labels == k).mean() for k in classes]
    means = [features[labels == k].mean(0) for k in classes]
    centre = sum(share * mean for share, mean in zip(shares, means, strict=True))
    within = sum(
        share * np.cov(features[labels == k].T, bias=True).reshape(len(centre), -1)
        for share, k in zip(shares, classes, strict=True)
    )
    gaps = [np.outer(mean - centre, mean - centre) for mean in means]
    return within, sum(share * gap for share, gap in zip(shares, gaps, strict=True))


def plain_nc1(features, labels, *, alike=False):
    within, between = plain_covariances(features, labels, alike=alike)
    classes = len(np.unique(labels.numpy()))
    return np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / classes


def schatten_loss(class_sizes, depth, decays, feature_decay, *, width=None, points=200_001):
    """Scan each singular value of Z = A H on a grid: the second form of the same minimum.

    |Z - Y|^2 / (2 N) + (M + 1) / 2 (λ_H Π λ_j)^(1 / (M + 1)) Σ s^(2 / (M + 1)), s the singular
    values of Z; those of Y are the roots of the class sizes.
    """
    samples = sum(class_sizes)
    cost = (depth + 1) / 2 * (feature_decay * np.prod(decays)) ** (1 / (depth + 1))
    total = 0.0
    for place, size in enumerate(sorted(class_sizes, reverse=True)):
        root = np.sqrt(size)
        s = np.linspace(0, root, points) if width is None or place < width else np.zeros(1)
        values = (s - root) ** 2 / (2 * samples) + cost * s ** (2 / (depth + 1))
        total += values.min()
    return total
