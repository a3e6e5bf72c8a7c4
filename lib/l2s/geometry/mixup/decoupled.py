"""Losses for mixed samples: mixup cross-entropy, and the decoupled regulariser on top of it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.geometry.mixup.pairs import check_classes, check_pairs

_EXACT = 40  # softplus(x) is x to all digits from here on
_MODES = ("both", "less", "more")


@checks.typed
def mixup_cross_entropy(
    scores: Float[Tensor, "batch classes"],
    first: Int[Tensor, " batch"],
    second: Int[Tensor, " batch"],
    share: Float[Tensor, " batch"] | float,
    *,
    reduction: str = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    r"""Return the cross-entropy with the mixed target.

    .. math:: L = -\lambda \log r_i - (1 - \lambda) \log r_j, \qquad r = \text{softmax}(s)

    Args:
        scores: s, shape (batch, classes), floating; -inf marks a class that is out of the question.
        first: i, shape (batch,).
        second: j, shape (batch,).
        share: λ from 0 to 1, one for each row or one for all.
        reduction: "mean" or "sum" over rows, or "none" for shape (batch,).

    Raises:
        ValueError: NaN or +inf, -inf at a true class, a label or share out of range, or fewer than
            two classes.

    Source: zhang2018, section 2.

    >>> s, i, j = torch.zeros(1, 4), torch.tensor([0]), torch.tensor([1])
    >>> mixup_cross_entropy(s, i, j, 0.3)  # log 4, whatever the share
    tensor(1.3863)
    """
    share = _checked(scores, first, second, share, reduction)
    s = _wide(scores)
    return _reduced(_mixed_entropy(s, first, second, share.to(s.dtype)), reduction, scores.dtype)


@checks.typed
def decoupled_mixup(
    scores: Float[Tensor, "batch classes"],
    first: Int[Tensor, " batch"],
    second: Int[Tensor, " batch"],
    share: Float[Tensor, " batch"] | float,
    *,
    weight: float = 0.1,
    exponent: float = 1.0,
    threshold: float = 1.0,
    mode: str = "both",
    reduction: str = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    r"""Return mixup cross-entropy plus the decoupled regulariser, DM(CE).

    .. math::

        L &= L_{\mathrm{mixup}} + \eta\,\big(w_i(-\log\phi_i) + w_j(-\log\phi_j)\big), \\
        \phi_i &= \frac{e^{s_i}}{\sum_{k\ne j} e^{s_k}}, \qquad
        w_i = \min(1, \lambda/\xi)^{\zeta}, \quad w_j = \min(1, (1-\lambda)/\xi)^{\zeta}

    Each true class faces the wrong classes only, so it need not push the other true class down:
    the gradient of -log φ_i at j is exactly 0. A row of one class (i = j), and a problem of two
    classes, have no regulariser; neither has a class whose share is 0.

    Args:
        scores: s, shape (batch, classes), floating; -inf marks a class that is out of the question.
        first: i, shape (batch,).
        second: j, shape (batch,).
        share: λ from 0 to 1, one for each row or one for all.
        weight: η, 0 or above.
        exponent: ζ, 0 or above; 0 weighs both classes alike.
        threshold: ξ, above 0 up to 1: a class with more than this share has the full weight.
        mode: "both", or only the class with the "less" or "more" share (a tie counts both).
        reduction: "mean" or "sum" over rows, or "none" for shape (batch,).

    Raises:
        ValueError: As ``mixup_cross_entropy``, or an option out of range.

    Source: liu2023; weights and modes as in the released code, but by class and row.

    >>> s = torch.tensor([[2.0, 2.0, 0.0, 0.0]])
    >>> i, j = torch.tensor([0]), torch.tensor([1])
    >>> decoupled_mixup(s, i, j, 0.5, weight=0.0)
    tensor(0.8201)
    >>> decoupled_mixup(s, i, j, 0.5, weight=1.0)  # and log(1 + 2 e^-2), half for each class
    tensor(1.0596)
    """
    share = _checked(scores, first, second, share, reduction)
    checks.not_negative("weight", weight)
    checks.one_of("mode", mode, _MODES)
    _check_scaling(exponent, threshold)
    s = _wide(scores)
    share = share.to(s.dtype)
    losses = _mixed_entropy(s, first, second, share)
    if weight > 0:
        w_i, w_j = (_scaled(part, exponent, threshold) for part in (share, 1 - share))
        if mode == "less":
            w_i, w_j = w_i * (share <= 0.5), w_j * (share >= 0.5)
        elif mode == "more":
            w_i, w_j = w_i * (share >= 0.5), w_j * (share <= 0.5)
        i, j = first[:, None].long(), second[:, None].long()
        # Out of place, and with -inf: the scores of the true classes must survive.
        log_u = _log_sum(s.scatter(1, i, -torch.inf).scatter(1, j, -torch.inf))
        minus_log_phi = (F.softplus(log_u - s.gather(1, k)[:, 0], threshold=_EXACT) for k in (i, j))
        regulariser = sum(w * term for w, term in zip((w_i, w_j), minus_log_phi, strict=True))
        losses = losses + weight * torch.where(first == second, 0.0, regulariser)
    return _reduced(losses, reduction, scores.dtype)


@checks.typed
def decoupled_mixup_binary(
    scores: Float[Tensor, "batch classes"],
    first: Int[Tensor, " batch"],
    second: Int[Tensor, " batch"],
    share: Float[Tensor, " batch"] | float,
    *,
    exponent: float = 1.0,
    threshold: float = 1.0,
    reduction: str = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    r"""Return the binary version, DM(BCE): each class is a yes-or-no question.

    .. math:: L = \sum_k \text{softplus}(s_k) - t_k s_k, \qquad
        t_i = \min(1, \lambda/\xi)^\zeta, \quad t_j = \min(1, (1-\lambda)/\xi)^\zeta

    and t = 0 at other classes. Sigmoids do not compete, so nothing needs decoupling; what ζ and ξ
    do is to ask for more than λ and 1 - λ. A row of one class has t = 1.

    Args:
        scores: s, shape (batch, classes), finite: one sigmoid for each class.
        first: i, shape (batch,).
        second: j, shape (batch,).
        share: λ from 0 to 1, one for each row or one for all.
        exponent: ζ, 0 or above; 0 asks for both classes in full.
        threshold: ξ, above 0 up to 1.
        reduction: "mean" or "sum" over rows, or "none" for shape (batch,). Classes are summed.

    Raises:
        ValueError: As ``mixup_cross_entropy``, or an option out of range.

    Source: liu2023.

    >>> s, i, j = torch.zeros(1, 4), torch.tensor([0]), torch.tensor([1])
    >>> decoupled_mixup_binary(s, i, j, 0.3)  # four coins: 4 log 2
    tensor(2.7726)
    """
    share = _checked(scores, first, second, share, reduction)
    checks.finite("scores", scores)
    _check_scaling(exponent, threshold)
    s = _wide(scores)
    share = share.to(s.dtype)
    t_i, t_j = (_scaled(part, exponent, threshold) for part in (share, 1 - share))
    same = first == second
    t_i, t_j = torch.where(same, 1.0, t_i), torch.where(same, 0.0, t_j)  # asked for once
    at_i, at_j = (s.gather(1, k[:, None].long())[:, 0] for k in (first, second))
    losses = F.softplus(s, threshold=_EXACT).sum(1) - t_i * at_i - t_j * at_j
    return _reduced(losses, reduction, scores.dtype)


def _mixed_entropy(s: Tensor, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    log_r = s.log_softmax(1)
    at_i, at_j = (log_r.gather(1, k[:, None].long())[:, 0] for k in (first, second))
    return -share * at_i - (1 - share) * at_j


def _log_sum(s: Tensor) -> Tensor:
    """Return logsumexp of each row, and -inf without a gradient where all of a row is -inf."""
    empty = s.amax(1) == -torch.inf
    return torch.where(empty, -torch.inf, torch.where(empty[:, None], 0.0, s).logsumexp(1))


def _scaled(share: Tensor, exponent: float, threshold: float) -> Tensor:
    """Return min(1, share / threshold) ** exponent, and 0 where the share is 0."""
    scaled = (share / threshold).clamp(max=1) ** exponent
    return torch.where(share > 0, scaled, 0.0)


def _wide(scores: Tensor) -> Tensor:
    return scores if scores.dtype == torch.float64 else scores.float()


def _reduced(losses: Tensor, reduction: str, dtype: torch.dtype) -> Tensor:
    if reduction != "none":
        losses = losses.sum() if reduction == "sum" else losses.mean()
    return losses.to(dtype)


def _check_scaling(exponent: float, threshold: float) -> None:
    checks.not_negative("exponent", exponent)
    checks.positive("threshold", threshold)
    checks.in_range("threshold", threshold, 0.0, 1.0)


def _checked(
    scores: Tensor, first: Tensor, second: Tensor, share: Tensor | float, reduction: str
) -> Tensor:
    """Check what all losses share; return one share for each row."""
    checks.one_of("reduction", reduction, ("mean", "sum", "none"))
    checks.at_least("len(scores)", len(scores), 1, "Pass a row or more.")
    check_classes(scores.shape[1])
    check_pairs(first, second, share, scores.shape[1])
    checks.same_device(scores=scores, first=first, second=second)
    own = scores.gather(1, torch.stack([first, second], dim=1).long())
    if not (scores.max().item() < torch.inf and own.min().item() > -torch.inf):  # or NaN
        _refuse(scores, first, second)
    return torch.as_tensor(share, dtype=_wide(scores).dtype, device=scores.device).expand(
        len(scores)
    )


def _refuse(scores: Tensor, first: Tensor, second: Tensor) -> None:
    """Say what is wrong with scores of which something is."""
    wrong = int((scores.isnan() | (scores == torch.inf)).sum())
    if wrong:
        raise ValueError(
            f"`scores` holds {wrong} values that are NaN or +inf, out of {scores.numel()}. Lower "
            "the step size that made them; -inf may mark a class that is out of the question."
        )
    for name, labels in (("first", first), ("second", second)):
        lost = int((scores.gather(1, labels[:, None].long()) == -torch.inf).sum())
        if lost:
            raise ValueError(
                f"`scores` is -inf at the class of `{name}` in {lost} rows, so the loss is "
                "infinite. Mask wrong classes only."
            )
