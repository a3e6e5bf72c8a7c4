"""Where the feature of a mixed sample is best: the unconstrained features model, solved.

For one target y and a classifier W that is a simplex frame of length κ, the feature h is free::

    minimise  -sum of y_k log softmax(W h)_k  +  λ_H/2 ‖h‖²

The problem is strictly convex. Its solution has scores s with s_k + ν r_k = ν y_k, and
r_k = e^(s_k - a), where a is the logarithm of the sum of e^s. So u_k = s_k - a + log ν = log(ν r_k)
solves u + e^u = log ν + ν y_k - a, and a is the one unknown: all s_k must sum to 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.geometry.mixup.pairs import check_classes

_STEPS = 200  # Newton's method needs about 10; each loop stops at rounding
_FRAME = 1e-4  # how far a Gram matrix may be from a simplex frame's, relative to κ²


@checks.typed
@torch.no_grad()
def optimal_scores(
    targets: Float[Tensor, "mixed classes"], *, strength: float
) -> Float[Tensor, "mixed classes"]:
    r"""Return the scores s = W h of the best features.

    .. math:: s = \nu\,\big(y - \text{softmax}(s)\big)

    Each row is one equation in one unknown, solved by a Newton iteration that climbs to the root
    from below and cannot overshoot. Everything is kept as logarithms, so any ν that is a float will
    do.

    Args:
        targets: y, shape (mixed, classes): rows from 0 to 1 that sum to 1, see ``soft_targets``.
        strength: ν, above 0; see ``pull_strength``.

    Returns:
        Shape (mixed, classes), float64; each row sums to 0.

    Raises:
        ValueError: One class, targets that are no distribution, or a strength that is not above 0.

    Source: fisher2024, section 3, where the solution is given by an implicit equation.

    >>> y = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    >>> s = optimal_scores(y, strength=10.0)
    >>> s.round(decimals=4)
    tensor([[ 1.0640, -1.0640],
            [ 0.0000,  0.0000]], dtype=torch.float64)
    >>> torch.allclose(s, 10 * (y - s.softmax(1)))
    True
    """
    _check_targets(targets)
    checks.positive("strength", strength)
    y, log_nu = targets.double(), torch.tensor(strength, dtype=torch.float64).log()
    classes = y.shape[1]
    # Scores sum to 0, so by Jensen the log of the sum of e^s is at least log K: start from there.
    a = torch.full((len(y), 1), float(classes), dtype=torch.float64, device=y.device).log()
    log_nu = log_nu.to(y.device)
    for _ in range(_STEPS):
        u = _log_omega(log_nu + strength * y - a)
        total = (u - log_nu + a).sum(1, keepdim=True)  # rises with a, and is concave
        step = -total / torch.sigmoid(u).sum(1, keepdim=True)
        a = a + step.clamp(min=0)
        if bool((step <= 1e-15 * a.clamp(min=1)).all()):
            break
    u = _log_omega(log_nu + strength * y - a)
    # The two expressions are equal; each is exact to rounding where the other is not.
    return u - log_nu + a if strength > 1 else strength * y - u.exp()


@checks.typed
@torch.no_grad()
def optimal_features(
    targets: Float[Tensor, "mixed classes"],
    classifier: Float[Tensor, "classes dim"],
    *,
    feature_decay: float,
) -> Float[Tensor, "mixed dim"]:
    r"""Return the features that are best for cross-entropy on mixed targets.

    .. math:: h = \frac1{\lambda_H} W^\top (y - r)
        = \frac{K-1}{K\kappa^2}\, W^\top s, \qquad r = \text{softmax}(Wh)

    For a pair (i, j) it lies in the plane of w_i and w_j; for one class it is parallel to w_i.

    Args:
        targets: y, shape (mixed, classes): rows from 0 to 1 that sum to 1.
        classifier: W, shape (classes, dim), a simplex frame such as ``l2s.maths.simplex_etf``.
        feature_decay: λ_H of the penalty λ_H/2 ‖h‖² on each feature, above 0.

    Returns:
        Shape (mixed, dim), float64.

    Raises:
        ValueError: As ``optimal_scores``, or a classifier that is no simplex frame.

    Source: fisher2024, section 3.

    >>> from l2s.maths import simplex_etf
    >>> W = simplex_etf(4, 3, length=2.0, dtype=torch.float64)
    >>> h = optimal_features(torch.eye(4), W, feature_decay=1e-3)
    >>> torch.nn.functional.cosine_similarity(h, W).round(decimals=6).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    nu = pull_strength(classifier, feature_decay=feature_decay)
    s = optimal_scores(targets, strength=nu)
    W = classifier.double()  # noqa: N806  as in the equation
    return s @ W / (nu * feature_decay)


@checks.typed
@torch.no_grad()
def squared_error_features(
    targets: Float[Tensor, "mixed classes"],
    classifier: Float[Tensor, "classes dim"],
    *,
    feature_decay: float,
) -> Float[Tensor, "mixed dim"]:
    r"""Return the features that are best for the squared error: linear in the target.

    .. math:: h = (W^\top W + \lambda_H I)^{-1} W^\top y \quad\text{minimises}\quad
        \tfrac12\lVert Wh - y\rVert^2 + \tfrac{\lambda_H}2\lVert h\rVert^2

    So the feature of a mixture is the mixture of the features: λ h_i + (1 - λ) h_j.

    Args:
        targets: y, shape (mixed, classes).
        classifier: W, shape (classes, dim); any matrix.
        feature_decay: λ_H, above 0.

    Returns:
        Shape (mixed, dim), float64.

    Raises:
        ValueError: NaN, unequal numbers of classes, or a decay that is not above 0.

    >>> squared_error_features(torch.eye(2), torch.eye(2), feature_decay=1.0)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]], dtype=torch.float64)
    """
    checks.positive("feature_decay", feature_decay)
    checks.finite("targets", targets)
    checks.finite("classifier", classifier)
    W = classifier.double()  # noqa: N806
    damped = W.T @ W + feature_decay * torch.eye(W.shape[1], dtype=W.dtype, device=W.device)
    return torch.linalg.solve(damped, W.T @ targets.double().T).T


@checks.typed
def pull_strength(classifier: Float[Tensor, "classes dim"], *, feature_decay: float) -> float:
    r"""Return ν, the one number of classifier and penalty on which the best scores depend.

    .. math:: \nu = \frac{K}{K-1}\,\frac{\kappa^2}{\lambda_H}

    where κ is the length of the rows of W. As ν grows, r comes to y.

    Args:
        classifier: W, shape (classes, dim), a simplex frame: rows of one length κ whose cosines are
            all -1 / (K - 1).
        feature_decay: λ_H, above 0.

    Raises:
        ValueError: One class, a classifier that is no simplex frame, or a decay not above 0.

    >>> from l2s.maths import simplex_etf
    >>> round(pull_strength(simplex_etf(10, 9, length=3.0), feature_decay=0.01), 3)
    1000.0
    """
    checks.positive("feature_decay", feature_decay)
    check_classes(len(classifier))
    checks.finite("classifier", classifier)
    gram = classifier.detach().double() @ classifier.detach().double().T
    classes, squared = len(gram), float(gram.diagonal().mean())
    ideal = torch.eye(classes, dtype=gram.dtype, device=gram.device) - 1 / classes
    off = float((gram - squared * classes / (classes - 1) * ideal).abs().max())
    if not squared > 0 or off > _FRAME * squared:
        raise ValueError(
            f"`classifier` is no simplex frame: its Gram matrix is off by {off:.3g}, with rows of "
            f"squared length {squared:.3g}. Build one with l2s.maths.simplex_etf."
        )
    return classes / (classes - 1) * squared / feature_decay


@checks.typed
def limit_norm_ratio(classes: int, *, loss: str = "cross-entropy") -> float:
    r"""Return how long the feature of a half-half mixture is beside a same-class one, as λ_H -> 0.

    .. math:: \sqrt{\frac{2(K-2)}{K-1}} \;\text{(cross-entropy)}, \qquad
        \sqrt{\frac{K-2}{2(K-1)}} \;\text{(squared error: the convex combination)}

    Exactly a factor 2: cross-entropy lifts two scores above the others by as much as it lifts one,
    a convex combination lifts each by half of that.

    Args:
        classes: K, at least 2.
        loss: "cross-entropy" or "squared error".

    Raises:
        ValueError: One class, or another loss.

    >>> round(limit_norm_ratio(10), 4), round(limit_norm_ratio(10, loss="squared error"), 4)
    (1.3333, 0.6667)
    """
    check_classes(classes)
    checks.one_of("loss", loss, ("cross-entropy", "squared error"))
    ratio: float = (2 * (classes - 2) / (classes - 1)) ** 0.5
    return ratio if loss == "cross-entropy" else ratio / 2


def _log_omega(b: Tensor) -> Tensor:
    """Solve u + e^u = b: u is the logarithm of Wright's omega function."""
    # Where b is large e^u carries it, where it is small u does; the start is right at both ends.
    u = torch.where(b > 1, b.clamp(min=1).log(), b - b.clamp(max=1).exp().clamp(max=1))
    for _ in range(_STEPS):
        e = u.exp()
        step = (b - u - e) / (1 + e)
        u = u + step
        if bool((step.abs() <= 4e-16 * u.abs().clamp(min=1)).all()):
            break
    return u


def _check_targets(targets: Tensor) -> None:
    check_classes(targets.shape[1])
    checks.finite("targets", targets)
    sums = targets.double().sum(1)
    tolerance = 1e-12 if targets.dtype == torch.float64 else 1e-5
    if targets.numel() and (targets.min() < 0 or (sums - 1).abs().max() > tolerance):
        raise ValueError(
            f"`targets` has rows that sum to {float(sums.min()):.6g} up to {float(sums.max()):.6g} "
            f"and a least entry of {float(targets.min()):.4g}. Pass probabilities that sum to 1."
        )
