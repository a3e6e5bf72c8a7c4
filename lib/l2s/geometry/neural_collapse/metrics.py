"""The four measures of neural collapse (Papyan, Han and Donoho, 2020), from class statistics."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.geometry.neural_collapse.statistics import ClassStatistics
from l2s.maths import frame_distance, orthogonal_frame, simplex_etf

_SAME = 1e-12  # a spread of class means below this share of their size is rounding


class FrameGap(NamedTuple):
    """How far class means are from a frame; each is 0 for the frame itself.

    Attributes:
        equinorm: Standard deviation over mean of their lengths (of length over predicted length,
            where lengths were given).
        equiangle: Mean distance of a pair's cosine from the frame's, over all pairs.
        distance: Procrustes distance to the frame, up to rotation and scale; at most 1.
    """

    equinorm: float
    equiangle: float
    distance: float


class DualityGap(NamedTuple):
    """How far the rows of a classifier are from the class means; both are 0 at self-duality.

    Attributes:
        distance: Frobenius distance between the two matrices, each divided by its norm.
        angle: Mean over the classes of 1 - cosine(row, class mean). It stays 0 where each row is
            its class mean times a factor of its own, as in imbalanced data.
    """

    distance: float
    angle: float


@checks.typed
@torch.no_grad()
def nc1(statistics: ClassStatistics, *, variant: Literal["pinv", "trace"] = "pinv") -> float:
    r"""Variability collapse: what is within classes, next to what is between them.

    .. math:: \mathrm{NC1} = \tfrac1K \operatorname{tr}\big(S_W S_B^{+}\big) \quad\text{("pinv")},
        \qquad \operatorname{tr} S_W / \operatorname{tr} S_B \quad\text{("trace")},

    .. math:: S_B = \sum_k \pi_k (\mu_k - \bar\mu)(\mu_k - \bar\mu)^\top, \qquad
        \bar\mu = \sum_k \pi_k \mu_k,

    with weights :math:`\pi_k = n_k / N`, or 1 / K where the statistics were given class sizes.
    The pseudo-inverse counts only directions in which class means differ: S_B has rank K - 1 at
    most and is always singular where dim >= K. Directions in which they differ by rounding alone
    (less than 1e-12 of the largest difference) are left out. "trace" costs no decomposition and
    cannot be ruled by one small direction.

    Args:
        statistics: Every class with one sample at least.
        variant: "pinv" or "trace".

    Returns:
        0 where all features of a class are equal; above it without a bound.

    Raises:
        ValueError: A class without samples, or class means that are all the same point.

    Source: papyan2020, equation for (NC1).

    >>> statistics = ClassStatistics(2, 1)
    >>> statistics.update(torch.tensor([[-2.0], [0.0], [0.0], [2.0]]), torch.tensor([0, 0, 1, 1]))
    >>> [round(nc1(statistics, variant=v), 6) for v in ("pinv", "trace")]  # S_W = 1, S_B = 1
    [0.5, 1.0]
    """
    within, share = statistics.within_covariance(), statistics.shares()
    means = statistics.class_means()
    centred = share.sqrt()[:, None] * (means - share @ means)
    _, singular, right = torch.linalg.svd(centred, full_matrices=False)
    _check_spread(singular[0], means)
    if variant == "trace":
        return float(within.trace() / singular.square().sum())
    kept = singular > _SAME * singular[0]
    inverse = right[kept] / singular[kept, None]  # S_B^+ is its transpose times itself
    return float(((inverse @ within) * inverse).sum() / statistics.classes)


@checks.typed
@torch.no_grad()
def nc2(
    means: Float[Tensor, "classes dim"],
    *,
    frame: Literal["simplex", "orthogonal"] = "simplex",
    lengths: Float[Tensor, " classes"] | None = None,
) -> FrameGap:
    r"""Convergence to a frame: are class means as long, and at such angles, as the frame says?

    For the simplex their mean is subtracted first (each class weighs alike), and every cosine
    should be -1 / (K - 1). The orthogonal frame has its origin at 0, and every cosine should be 0;
    with ``lengths`` it is the general orthogonal frame of imbalanced data, whose dead classes
    (length 0) count in the distance alone.

    Args:
        means: Class means, or the rows of a classifier; shape (classes, dim), floating.
        frame: "simplex" or "orthogonal".
        lengths: Predicted lengths for "orthogonal", 0 or above, up to a common factor.

    Returns:
        The gaps in length and in angle, and the distance to the frame.

    Raises:
        ValueError: One class, NaN, lengths for a simplex, or a mean without a direction (0 after
            the subtraction) that should have one.

    Source: papyan2020, (NC2); dang2023, for the general orthogonal frame.

    >>> max(nc2(torch.eye(3))) < 1e-12  # less their mean, they are a simplex
    True
    >>> unequal = torch.diag(torch.tensor([3.0, 1.0]))
    >>> nc2(unequal, frame="orthogonal")
    FrameGap(equinorm=0.5, equiangle=0.0, distance=0.447213...)
    >>> nc2(unequal, frame="orthogonal", lengths=torch.tensor([6.0, 2.0]))
    FrameGap(equinorm=0.0, equiangle=0.0, distance=0.0)
    """
    classes = len(means)
    checks.at_least("classes", classes, 2, "One class makes no frame.")
    checks.finite("means", means)
    exact = means.double()
    if frame == "simplex":
        if lengths is not None:
            raise ValueError(
                'A simplex has equal lengths: pass `lengths` with frame="orthogonal", or leave them'
                " out."
            )
        exact = exact - exact.mean(0)
        wanted, cosine = simplex_etf(classes, classes, dtype=torch.float64), -1 / (classes - 1)
    else:
        wanted, cosine = orthogonal_frame(classes, classes, lengths=lengths, dtype=torch.float64), 0
    size = exact.new_ones(classes) if lengths is None else lengths.to(exact)
    living = size > 0
    checks.at_least("lengths", int(living.sum()), 2, "One length above 0 makes no angle.")
    norms = exact.norm(dim=1)[living]
    _check_directions(norms, living)
    ratio = norms / size[living]
    unit = exact[living] / norms[:, None]
    pairs = torch.triu_indices(len(unit), len(unit), 1)
    cosines = (unit @ unit.T)[pairs[0], pairs[1]]
    return FrameGap(
        float(ratio.std(correction=0) / ratio.mean()),
        float((cosines - cosine).abs().mean()),
        frame_distance(exact, wanted),
    )


@checks.typed
@torch.no_grad()
def nc3(
    means: Float[Tensor, "classes dim"],
    weight: Float[Tensor, "classes dim"],
    *,
    centre: bool = True,
) -> DualityGap:
    r"""Self-duality: does row k of the classifier point along the mean of class k?

    .. math:: \Big\lVert \frac{W}{\lVert W\rVert_F} - \frac{M}{\lVert M\rVert_F} \Big\rVert_F,
        \qquad \frac1K\sum_k \big(1 - \cos(w_k, m_k)\big)

    Args:
        means: M, class means; shape (classes, dim), floating.
        weight: W, the classifier, of the same shape; for a deep linear head the product of its
            layers.
        centre: Subtract the mean of the rows from both: a shift of all rows of W moves all logits
            alike. With False the origin counts, as for a classifier without a bias under the
            squared loss.

    Returns:
        The distance, from 0 to 2, and the mean gap of the angle, from 0 to 2. A class whose row and
        mean are both 0 (a collapsed minority class) is left out of the angle.

    Raises:
        ValueError: NaN, or a matrix without a direction.

    Source: papyan2020, (NC3).

    >>> max(nc3(torch.eye(3), 2 * torch.eye(3))) < 1e-12
    True
    >>> scaled = nc3(torch.eye(2), torch.diag(torch.tensor([1.0, 3.0])), centre=False)
    >>> round(scaled.distance, 3), scaled.angle  # each row has a factor of its own
    (0.46, 0.0)
    """
    checks.finite("means", means)
    checks.finite("weight", weight)
    rows = [matrix.double() for matrix in (means, weight)]
    if centre:
        rows = [matrix - matrix.mean(0) for matrix in rows]
    for name, matrix in zip(("means", "weight"), rows, strict=True):
        if not matrix.any():
            raise ValueError(f"`{name}` has no direction: all its rows are equal or 0.")
    m, w = (matrix / matrix.norm() for matrix in rows)
    sizes = m.norm(dim=1) * w.norm(dim=1)
    pointing = sizes > _SAME**2
    cosines = (m * w).sum(1)[pointing] / sizes[pointing]
    return DualityGap(float((w - m).norm()), float((1 - cosines).mean().clamp(min=0)))


@checks.typed
@torch.no_grad()
def nc4(
    means: Float[Tensor, "classes dim"],
    features: Float[Tensor, "batch dim"],
    weight: Float[Tensor, "classes dim"],
    bias: Float[Tensor, " classes"] | None = None,
) -> float:
    r"""Nearest class centre: how often does the classifier differ from the nearest class mean?

    .. math:: \Pr_h\big[\arg\max_k (\langle w_k, h\rangle + b_k) \ne
        \arg\min_k \lVert h - \mu_k \rVert\big]

    The centres must be known first, so this needs a second pass where features come in batches:
    average over batches, each weighted by its rows.

    Args:
        means: Class means, shape (classes, dim).
        features: Shape (batch, dim), one row at least.
        weight: The classifier, shape (classes, dim).
        bias: Its bias, shape (classes,), or None.

    Returns:
        The share of rows on which the two differ, from 0 to 1.

    Raises:
        ValueError: No rows, or NaN.

    Source: papyan2020, (NC4).

    >>> centres, rows = torch.eye(2), torch.tensor([[0.9, 0.0], [0.2, 0.8]])
    >>> nc4(centres, rows, torch.eye(2)), nc4(centres, rows, torch.eye(2), torch.tensor([9.0, 0.0]))
    (0.0, 0.5)
    """
    checks.at_least("features", len(features), 1, "Pass one row or more.")
    for name, tensor in {"means": means, "features": features, "weight": weight}.items():
        checks.finite(name, tensor)
    h, centres = features.double(), means.double()
    # |h - mu|^2 less |h|^2, about the centres' mean, so that a common offset costs no digits
    middle = centres.mean(0)
    near, h_near = centres - middle, h - middle
    distances = near.square().sum(1) - 2 * h_near @ near.T
    logits = h @ weight.double().T
    if bias is not None:
        checks.finite("bias", bias)
        logits = logits + bias.double()
    return float((logits.argmax(1) != distances.argmin(1)).double().mean())


def _check_spread(largest: Tensor, means: Tensor) -> None:
    if largest <= _SAME * means.abs().max():
        raise ValueError(
            "All class means are the same point, so nothing is between classes and NC1 has no "
            "value. Look whether the features depend on the input at all."
        )


def _check_directions(norms: Tensor, living: Tensor) -> None:
    lost = (norms <= _SAME * norms.max()).nonzero().flatten()
    if len(lost):
        which = int(living.nonzero().flatten()[lost[0]])
        raise ValueError(
            f"The mean of class {which} has no direction: its length is {float(norms[lost[0]]):.3g}"
            '. For a collapsed class pass frame="orthogonal" with a length of 0.'
        )
