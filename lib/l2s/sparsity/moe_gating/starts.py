"""Where a fit may start: k-means++ on the samples, and points near a known mixture."""

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.sparsity.moe_gating.fitting import with_ridge
from l2s.sparsity.moe_gating.gate import check_single
from l2s.sparsity.moe_gating.mixture import Mixture, stack

_ROUNDS = 10  # of k-means after its seeding


@checks.typed
def kmeans_starts(
    inputs: Float[Tensor, "samples dim"],
    targets: Float[Tensor, " samples"],
    experts: int,
    starts: int,
    *,
    generator: torch.Generator | None = None,
) -> Mixture:
    r"""Return several starts for a fit from k-means on standardised (x, y), seeded by k-means++.

    Each cluster gives one expert: its line by least squares, its variance by what is left, and a
    gate as a linear discriminant with one covariance would have it, from the clusters' mean inputs
    :math:`m`: :math:`\beta_1 = \Sigma^{-1} m,\; \beta_0 = -\tfrac12 m^\top \Sigma^{-1} m +
    \log(\text{share})`.

    Args:
        inputs: x, shape (samples, dim).
        targets: y, shape (samples,).
        experts: How many, at least 1; at most a quarter of the samples.
        starts: How many starts, at least 1.
        generator: The source of the seeds; None means PyTorch's default generator.

    Returns:
        A mixture with an axis of ``starts`` fits, for ``fit_em``.

    Raises:
        ValueError: If a count is out of its range, or data are not finite.

    Source: the seeding is that of Arthur and Vassilvitskii (arthur2007).

    >>> x = torch.cat([torch.full((20, 1), -1.0), torch.full((20, 1), 1.0)])
    >>> y = 5 * x[:, 0] + torch.linspace(-1, 1, 40)
    >>> kmeans_starts(x, y, 2, 3).slopes.shape
    torch.Size([3, 2, 1])
    """
    checks.finite("inputs", inputs)
    checks.finite("targets", targets)
    checks.at_least("experts", experts, 1, "Pass one expert or more.")
    checks.at_least("starts", starts, 1, "Pass one start or more.")
    checks.at_least("len(inputs)", len(inputs), 4 * experts, "Pass four samples an expert or more.")
    x, y = inputs.double(), targets.double()
    points = torch.cat([x, y[:, None]], dim=1)
    points = (points - points.mean(0)) / points.std(0).clamp(min=1e-12)
    return stack(
        [_one(x, y, _clusters(points, experts, generator), experts) for _ in range(starts)]
    )


@checks.typed
def starts_near(
    mixture: Mixture, starts: int, *, scale: float, generator: torch.Generator | None = None
) -> Mixture:
    """Return starts at a mixture plus normal noise, for the study of rates near the truth.

    Args:
        mixture: A single fit.
        starts: How many starts, at least 1.
        scale: Standard deviation of the noise on slopes, biases, intercepts and the logarithm of
            variances, at least 0.
        generator: The source of the noise; None means PyTorch's default generator.

    Returns:
        A mixture with an axis of ``starts`` fits.

    >>> one = Mixture.of([[0.0]], [0.0], [[1.0]], [0.0], [1.0])
    >>> starts_near(one, 2, scale=0.0).slopes.tolist()
    [[[1.0]], [[1.0]]]
    """
    check_single(mixture)
    checks.at_least("starts", starts, 1, "Pass one start or more.")
    checks.not_negative("scale", scale)
    middle = mixture.repeated(starts)
    moved = [
        scale * torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        for tensor in middle.tensors()
    ]
    return Mixture(
        middle.gate_slopes + moved[0],
        middle.gate_biases + moved[1],
        middle.slopes + moved[2],
        middle.intercepts + moved[3],
        middle.variances * moved[4].exp(),
    )


def _clusters(points: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """The cluster of each point."""
    first = torch.randint(len(points), (1,), generator=generator)
    centres = points[first]
    for _ in range(1, count):
        distance = torch.cdist(points, centres).amin(1).square()
        weights = distance + 1e-12 * distance.mean() + 1e-300
        drawn = weights.multinomial(1, generator=generator)
        centres = torch.cat([centres, points[drawn]])
    for _ in range(_ROUNDS):
        distance = torch.cdist(points, centres)
        labels = distance.argmin(1)
        for cluster in range(count):
            own = labels == cluster
            if int(own.sum()) < 2:  # take the points that fit their centres worst
                labels[distance.amin(1).topk(len(points) // (2 * count) + 1).indices] = cluster
                own = labels == cluster
            centres[cluster] = points[own].mean(0)
    return labels


def _one(x: Tensor, y: Tensor, labels: Tensor, count: int) -> Mixture:
    wide = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    precision = torch.linalg.inv(with_ridge(torch.atleast_2d(x.T.cov())))
    whole = y.var().clamp(min=1e-300)
    gates, lines, variances = [], [], []
    for cluster in range(count):
        own = labels == cluster
        if int(own.sum()) < 2:  # where points coincide: the line of all
            own = torch.ones_like(own)
        rows, values = wide[own], y[own]
        line = torch.linalg.solve(with_ridge(rows.T @ rows), rows.T @ values)
        centre = precision @ x[own].mean(0)
        bias = -0.5 * x[own].mean(0) @ centre + own.double().mean().log()
        gates.append(torch.cat([centre, bias[None]]))
        lines.append(line)
        variances.append((values - rows @ line).square().mean().maximum(1e-2 * whole))
    gate, line = torch.stack(gates), torch.stack(lines)
    return Mixture(gate[:, :-1], gate[:, -1], line[:, :-1], line[:, -1], torch.stack(variances))
