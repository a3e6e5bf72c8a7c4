"""The last layer of a trained network on mixed samples: what the theory says, measured."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.geometry.mixup.pairs import check_classes, check_pairs

_MIDDLE = (0.4, 0.6)  # shares that count as half-half
_INNER = (0.05, 0.95)  # shares whose log-odds are not ruled by a few far ones


@dataclass(frozen=True)
class MixupGeometry:
    """Where a network puts mixed samples; see ``mixup_geometry``.

    Attributes:
        same_cosine: Mean cosine of same-class mixtures with the row of their class; 1 in theory.
        span_energy: Part of the squared length of different-class mixtures that lies in the plane
            of the two rows; 1 in theory.
        convex_r2: R² of the prediction λ h_i + (1 - λ) h_j from the class means; 1 for the squared
            error, less for cross-entropy.
        norm_ratio: Mean length of half-half mixtures over that of same-class ones; see
            ``limit_norm_ratio``.
        slope: Of s_i - s_j on the log-odds of λ, by least squares; 1 in the limit.
        log_odds_correlation: Of s_i - s_j with the log-odds of λ.
        share_correlation: Of s_i - s_j with λ itself.
    """

    same_cosine: float
    span_energy: float
    convex_r2: float
    norm_ratio: float
    slope: float
    log_odds_correlation: float
    share_correlation: float


@checks.typed
@torch.no_grad()
def mixup_geometry(
    features: Float[Tensor, "mixed dim"],
    first: Int[Tensor, " mixed"],
    second: Int[Tensor, " mixed"],
    share: Float[Tensor, " mixed"],
    *,
    class_means: Float[Tensor, "classes dim"],
    classifier: Float[Tensor, "classes dim"],
) -> MixupGeometry:
    r"""Measure the last-layer geometry of mixed samples.

    Features are centred by the mean of the class means, and W by the mean of its rows. With
    centred h, means h_i, rows w_i, and the projection P_ij on the plane of w_i and w_j:

    .. math:: \frac{\sum\lVert P_{ij} h\rVert^2}{\sum\lVert h\rVert^2}, \qquad
        R^2 = 1 - \frac{\sum\lVert h - \lambda h_i - (1-\lambda) h_j\rVert^2}{\sum\lVert h\rVert^2}

    over different-class mixtures. Half-half means a share from 0.4 to 0.6; the regression leaves
    out shares beyond 0.05 and 0.95.

    Args:
        features: Last-layer features of mixed samples, shape (mixed, dim).
        first: i, shape (mixed,).
        second: j, shape (mixed,); equal to i for a same-class mixture. Both kinds are needed.
        share: λ, shape (mixed,), from 0 to 1.
        class_means: Means of the features of *unmixed* samples, shape (classes, dim).
        classifier: W, shape (classes, dim), of a head without bias.

    Returns:
        The measures, computed in float64.

    Raises:
        ValueError: NaN, a label or share out of range, no same-class mixture, or too few
            different-class ones with shares near a half.

    Source: fisher2024, section 2, for what is looked at; the measures are this chapter's.

    >>> from l2s.geometry.mixup import optimal_features, soft_targets
    >>> from l2s.maths import simplex_etf
    >>> W = simplex_etf(4, 3, length=2.0, dtype=torch.float64)
    >>> i, j = torch.tensor([0, 0, 0, 0]), torch.tensor([0, 1, 1, 1])
    >>> share = torch.tensor([0.3, 0.2, 0.5, 0.8], dtype=torch.float64)
    >>> y = soft_targets(i, j, share, classes=4)
    >>> h = optimal_features(y, W, feature_decay=1e-6)
    >>> means = optimal_features(torch.eye(4), W, feature_decay=1e-6)
    >>> found = mixup_geometry(h, i, j, share, class_means=means, classifier=W)
    >>> round(found.same_cosine, 6), round(found.span_energy, 6), round(found.slope, 3)
    (1.0, 1.0, 1.0)
    >>> found.norm_ratio > 1 > found.convex_r2
    True
    """
    _check_measured(features, first, second, share, class_means, classifier)
    h, means = features.double(), class_means.double()
    rows, part = classifier.double(), share.double()[:, None]
    gap = ((rows[first] - rows[second]) * h).sum(1)  # s_i - s_j, which needs no centring
    centre = means.mean(0)
    h, means, rows = h - centre, means - centre, rows - rows.mean(0)
    same = first == second
    length = h.norm(dim=1)
    middle = ~same & _within(share, _MIDDLE)
    inner = ~same & _within(share, _INNER)
    for name, chosen, least in (("same-class", same, 1), ("half-half", middle, 1), ("", inner, 3)):
        kind = f"{name} mixtures in `share`" if name else "different-class mixtures in `share`"
        checks.at_least(f"number of {kind}", int(chosen.sum()), least, "Mix more pairs.")
    cosine = torch.nn.functional.cosine_similarity(h[same], rows[first[same]], dim=1)
    mixed, pair = h[~same], (rows[first[~same]], rows[second[~same]])
    energy = mixed.square().sum()
    convex = (part * means[first] + (1 - part) * means[second])[~same]
    log_odds = torch.logit(part[inner, 0])
    odds_correlation, slope = _regressed(log_odds, gap[inner])
    return MixupGeometry(
        same_cosine=float(cosine.mean()),
        span_energy=float(_in_plane(mixed, *pair) / energy),
        convex_r2=float(1 - (mixed - convex).square().sum() / energy),
        norm_ratio=float(length[middle].mean() / length[same].mean()),
        slope=slope,
        log_odds_correlation=odds_correlation,
        share_correlation=_regressed(part[inner, 0], gap[inner])[0],
    )


@checks.typed
@torch.no_grad()
def channel_coordinates(
    features: Float[Tensor, "mixed dim"],
    first: Int[Tensor, " mixed"],
    second: Int[Tensor, " mixed"],
    classifier: Float[Tensor, "classes dim"],
) -> Float[Tensor, "mixed 2"]:
    r"""Return where each mixed sample lies in the plane of its own two classes.

    .. math:: \Big\langle h, \frac{w_i - w_j}{\lVert w_i - w_j\rVert}\Big\rangle, \qquad
        \Big\langle h, \frac{w_i + w_j}{\lVert w_i + w_j\rVert}\Big\rangle

    The first number is *across* the decision boundary (0 on it, above 0 on the side of i), the
    second *along* it. Rows of W are centred first. So all pairs can be drawn in one picture.

    Args:
        features: Shape (mixed, dim), centred as the caller likes.
        first: i, shape (mixed,).
        second: j, shape (mixed,), different from i.
        classifier: W, shape (classes, dim), with three classes or more.

    Returns:
        Shape (mixed, 2), float64.

    Raises:
        ValueError: NaN, a label out of range, a pair of one class, or fewer than three classes.

    >>> from l2s.maths import simplex_etf
    >>> W = simplex_etf(3, 2)
    >>> i, j = torch.tensor([0, 1]), torch.tensor([1, 0])
    >>> channel_coordinates(W[[0, 0]], i, j, W)  # the row of class 0, seen from both sides
    tensor([[ 0.8660,  0.5000],
            [-0.8660,  0.5000]], dtype=torch.float64)
    """
    checks.finite("features", features)
    checks.finite("classifier", classifier)
    checks.at_least("len(classifier)", len(classifier), 3, "Two classes have one axis only.")
    check_pairs(first, second, 0.0, len(classifier))
    if bool((first == second).any()):
        raise ValueError(
            "`first` equals `second` in a row, but one class has no boundary. Drop it."
        )
    rows = classifier.double() - classifier.double().mean(0)
    a, b = rows[first], rows[second]
    axes = torch.stack([a - b, a + b], dim=1)
    axes = axes / axes.norm(dim=2, keepdim=True)
    return (axes @ features.double()[:, :, None])[:, :, 0]


@checks.typed
@torch.no_grad()
def classifier_plane(
    classifier: Float[Tensor, "classes dim"], *, classes: tuple[int, int, int] = (0, 1, 2)
) -> Float[Tensor, "dim 2"]:
    r"""Return the map to the plane of three classifier rows, drawn as a regular triangle.

    .. math:: h \mapsto h\,R^{+} T

    where R (3 x dim) holds the three rows minus their mean, and T the corners of a regular triangle
    of the rows' mean length, the first on top. For a simplex frame it is an orthogonal projection.

    Args:
        classifier: W, shape (classes, dim).
        classes: Three different classes.

    Returns:
        Shape (dim, 2), float64: multiply features by it from the right.

    Raises:
        ValueError: NaN, classes out of range or repeated, or three rows on a line.

    Source: fisher2024, figure 1, which projects in this way.

    >>> from l2s.maths import simplex_etf
    >>> W = simplex_etf(3, 2, dtype=torch.float64)
    >>> (W @ classifier_plane(W)).round(decimals=3) + 0.0
    tensor([[ 0.0000,  1.0000],
            [-0.8660, -0.5000],
            [ 0.8660, -0.5000]], dtype=torch.float64)
    """
    checks.finite("classifier", classifier)
    for chosen in classes:
        checks.in_range("classes", chosen, 0, len(classifier) - 1)
    if len(set(classes)) < 3:
        raise ValueError(f"`classes` is {classes}. Pass three different classes.")
    rows = classifier.double()[list(classes)]
    rows = rows - rows.mean(0)
    singular = torch.linalg.svdvals(rows)
    if len(singular) < 2 or singular[1] < 1e-9 * singular[0]:
        raise ValueError(f"`classifier` has the rows {classes} on one line. Choose other classes.")
    angles = torch.tensor([0, 2, 4], dtype=torch.float64, device=rows.device) * math.pi / 3
    triangle = rows.norm(dim=1).mean() * torch.stack([-angles.sin(), angles.cos()], dim=1)
    # Only two singular values are not rounding: the rows sum to zero.
    return torch.linalg.pinv(rows, rtol=1e-10) @ triangle


def _in_plane(h: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the squared length of h in the planes of a and b, summed."""
    basis, _ = torch.linalg.qr(torch.stack([a, b], dim=2))
    return (basis.transpose(1, 2) @ h[:, :, None]).square().sum()


def _regressed(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return the correlation of y and x, and the slope of y on x."""
    x, y = x - x.mean(), y - y.mean()
    covariance = (x * y).sum()
    scale = (x.square().sum() * y.square().sum()).sqrt()
    return float(covariance / scale), float(covariance / x.square().sum())


def _within(share: Tensor, ends: tuple[float, float]) -> Tensor:
    return (share >= ends[0]) & (share <= ends[1])


def _check_measured(
    features: Tensor,
    first: Tensor,
    second: Tensor,
    share: Tensor,
    class_means: Tensor,
    classifier: Tensor,
) -> None:
    checks.finite("features", features)
    checks.finite("class_means", class_means)
    checks.finite("classifier", classifier)
    check_classes(len(classifier))
    check_pairs(first, second, share, len(classifier))
