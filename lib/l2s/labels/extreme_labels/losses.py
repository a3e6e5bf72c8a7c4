"""Losses for a row of label scores with several positives."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2s import checks
from l2s.data.label_sets import LabelSets
from l2s.kernels.negative_mass import decoupled_loss_rows, negative_log_mass
from l2s.kernels.soft_topk import log_soft_topk
from l2s.labels.extreme_labels import rows as shared
from l2s.labels.extreme_labels.threshold import threshold, total_weight

Excluded = Bool[Tensor, "rows labels"] | Int[Tensor, "rows most_excluded"] | None
LogQ = Float[Tensor, " labels"] | Float[Tensor, "rows labels"] | None


@checks.typed
def decoupled_softmax(
    scores: Float[Tensor, "rows labels"],
    positives: LabelSets,
    *,
    excluded: Excluded = None,
    log_q: LogQ = None,
    reduction: str = "mean",
    on_empty: str = "error",
) -> Float[Tensor, ""] | Float[Tensor, " rows"]:
    r"""Decoupled softmax (gupta2024): each positive against all negatives, never another positive.

    .. math::

        L = -\frac1{|P|}\sum_{i\in P}\log\frac{e^{s_i}}{e^{s_i}+\sum_{j\in N}e^{s_j}}
          = \frac1{|P|}\sum_{i\in P}\operatorname{softplus}(\ell - s_i),
        \qquad \ell = \log\sum_{j\in N}e^{s_j}.

    Its infimum is 0 and no positive is ever pushed down. A row of positives alone has the loss 0.

    Where the columns are a sample of all labels, ``log_q`` corrects the mass: with q the expected
    number of times that a column's label is in the sample,

    .. math:: \hat\ell = \log\sum_{j\in S\cap N} e^{s_j-\log q_j}, \qquad
        \mathbb E\,e^{\hat\ell} = e^{\ell}.

    The mass is unbiased; its logarithm, and so the loss, is below the full one on average by about
    half the relative variance of the mass. Positives that were not drawn belong in ``excluded``,
    else they compete again. ``sample_labels`` makes all three.

    Args:
        scores: Shape (rows, labels), floating, finite; already divided by a temperature.
        positives: The labels that each row pulls up: a mask (rows, labels), or lists of columns
            (rows, most), padded with -1.
        excluded: Labels that are neither pulled nor negative, as a mask or lists. It may name
            positives again.
        log_q: Shape (labels,) or (rows, labels). None means that every label is there.
        reduction: "mean" or "sum" over the rows, or "none" for shape (rows,).
        on_empty: With "ignore" a row without a positive has the loss 0 and is left out of the
            mean; with "error" it is an error.

    Returns:
        The loss, at least 0, in the scores' dtype.

    Raises:
        TypeError: Scores that are not floating, or positives neither bool nor integer.
        ValueError: A wrong shape, a label outside the columns or twice in a row, a row without a
            positive, NaN or infinite scores, or an unknown option.

    >>> scores = torch.tensor([[4.0, 0.0, 0.0, -10.0, -10.0]])
    >>> positives = torch.tensor([[0, 1, 2]])
    >>> decoupled_softmax(scores, positives)  # all three stand far above the negatives
    tensor(6.1085e-05)
    >>> decoupled_softmax(scores, torch.tensor([[0, -1, -1]]))  # one positive: cross-entropy
    tensor(0.0360)
    >>> decoupled_softmax(scores, positives, excluded=torch.tensor([[3, 4]]))  # no negative is left
    tensor(0.)
    >>> decoupled_softmax(scores, torch.tensor([[-1]]))
    Traceback (most recent call last):
    ValueError: `positives` has 1 rows without a label, such as row 0. Give each row a positive...
    """
    return shared.loss_over_rows(
        _decoupled, scores, positives, excluded, log_q, reduction, on_empty
    )


@checks.typed
def multilabel_softmax(
    scores: Float[Tensor, "rows labels"],
    positives: LabelSets,
    *,
    excluded: Excluded = None,
    log_q: LogQ = None,
    reduction: str = "mean",
    on_empty: str = "error",
) -> Float[Tensor, ""] | Float[Tensor, " rows"]:
    r"""Softmax over all labels, averaged over the positives: InfoNCE with several positives.

    .. math:: L = -\frac1{|P|}\sum_{i\in P}\log\frac{e^{s_i}}{\sum_{j\in P\cup N}e^{s_j}}

    The positives compete: the gradient of one is :math:`p_i - 1/|P|`, so it is pushed *down* once
    its probability is above 1 / \|P\|. The infimum is log \|P\|.

    Args:
        scores: Shape (rows, labels), floating, finite.
        positives: A mask (rows, labels), or lists of columns (rows, most), padded with -1.
        excluded: Labels left out of the row, as a mask or lists.
        log_q: As for ``decoupled_softmax``: corrects the negatives' part of the denominator.
        reduction: "mean" or "sum" over the rows, or "none" for shape (rows,).
        on_empty: "error", or "ignore" for rows without a positive.

    Returns:
        The loss, at least log \|P\| of each row, in the scores' dtype.

    Raises:
        ValueError: Or TypeError, as ``decoupled_softmax``.

    >>> scores = torch.tensor([[4.0, 0.0, 0.0, -10.0, -10.0]], requires_grad=True)
    >>> loss = multilabel_softmax(scores, torch.tensor([[0, 1, 2]]))
    >>> loss.item()  # it cannot go below log 3 = 1.10
    2.702...
    >>> torch.autograd.grad(loss, scores)[0][0, 0]  # the best positive is pushed down
    tensor(0.6313)
    """
    return shared.loss_over_rows(_coupled, scores, positives, excluded, log_q, reduction, on_empty)


@checks.typed
def one_versus_all(
    scores: Float[Tensor, "rows labels"],
    positives: LabelSets,
    *,
    positive_weight: float = 1.0,
    excluded: Excluded = None,
    log_q: LogQ = None,
    reduction: str = "mean",
    on_empty: str = "error",
) -> Float[Tensor, ""] | Float[Tensor, " rows"]:
    r"""Binary cross-entropy of every label on its own, summed over the labels of a row.

    .. math:: L = w\sum_{i\in P}\operatorname{softplus}(-s_i)
            + \sum_{j\in N}\operatorname{softplus}(s_j)

    For a sample of labels each negative term is divided by q, and the loss itself is unbiased.

    Args:
        scores: Shape (rows, labels), floating, finite.
        positives: A mask (rows, labels), or lists of columns (rows, most), padded with -1.
        positive_weight: w, above 0.
        excluded: Labels left out of the row, as a mask or lists.
        log_q: As for ``decoupled_softmax``.
        reduction: "mean" or "sum" over the rows, or "none" for shape (rows,).
        on_empty: "error", or "ignore": a row without a positive is left out here too, so that all
            losses see the same rows.

    Returns:
        The loss, at least 0, in the scores' dtype.

    Raises:
        ValueError: Or TypeError, as ``decoupled_softmax``; a weight that is not positive.

    >>> scores = torch.tensor([[0.0, 0.0, 0.0]])
    >>> one_versus_all(scores, torch.tensor([[1]]))  # 3 log 2
    tensor(2.0794)
    >>> one_versus_all(scores, torch.tensor([[1]]), positive_weight=2.0)  # 4 log 2
    tensor(2.7726)
    """
    checks.positive("positive_weight", positive_weight)

    def row_losses(rows: shared.Rows) -> Tensor:
        checks.finite("scores", rows.scores)
        counted = (rows.share > 0).to(rows.scores.dtype)
        pulled = (shared.hinge(-rows.positive_scores) * counted).sum(dim=1)
        pushed = shared.hinge(_without(rows.scores, rows.hidden))
        if rows.log_q is not None:
            pushed = pushed * (-rows.log_q).exp()
        return positive_weight * pulled + pushed.sum(dim=1)

    return shared.loss_over_rows(
        row_losses, scores, positives, excluded, log_q, reduction, on_empty
    )


@checks.typed
def soft_topk_loss(
    scores: Float[Tensor, "rows labels"],
    positives: LabelSets,
    k: int | Int[Tensor, " rows"],
    *,
    sharpness: float = 1.0,
    excluded: Excluded = None,
    log_q: LogQ = None,
    reduction: str = "mean",
    on_empty: str = "error",
) -> Float[Tensor, ""] | Float[Tensor, " rows"]:
    r"""Soft top-k loss (gupta2024): every positive should be among the k labels that are chosen.

    .. math:: L = -\frac1{|P|}\sum_{i\in P}\log\sigma(\alpha(s_i+t)),
        \qquad t:\ \sum_j\sigma(\alpha(s_j+t)) = k

    The infimum is 0 where \|P\| is at most k, and log(\|P\| / k) above. Where k exceeds \|P\|, the
    other k - \|P\| units of mass must fall on negatives. For a sample of labels the sum that
    defines t is corrected as the mass of ``decoupled_softmax`` is: each negative counts 1 / q
    times. The sum is then unbiased for every t.

    Args:
        scores: Shape (rows, labels), floating, finite.
        positives: A mask (rows, labels), or lists of columns (rows, most), padded with -1.
        k: How many labels to choose, from 1 to one less than there are: one number, or one a row.
        sharpness: α, above 0; as it grows the choice becomes the hard top-k.
        excluded: Labels left out of the row, as a mask or lists.
        log_q: As for ``decoupled_softmax``.
        reduction: "mean" or "sum" over the rows, or "none" for shape (rows,).
        on_empty: "error", or "ignore" for rows without a positive.

    Returns:
        The loss, at least 0, in the scores' dtype.

    Raises:
        ValueError: Or TypeError, as ``decoupled_softmax``; ``k`` or ``sharpness`` out of range.

    >>> scores = torch.tensor([[9.0, 9.0, 9.0, 9.0, -9.0, -9.0]])
    >>> positives = torch.tensor([[0, 1, 2, 3]])
    >>> soft_topk_loss(scores, positives, 4, sharpness=4.0) < 1e-9  # room for all four
    tensor(True)
    >>> soft_topk_loss(scores, positives, 2, sharpness=4.0)  # four share two places: log 2
    tensor(0.6931)
    >>> soft_topk_loss(scores, positives, 6)
    Traceback (most recent call last):
    ValueError: `k` is 6, but must lie between 1 and 5...
    """
    checks.in_range("sharpness", sharpness, 1e-30, 1e30)
    shared.check_k(k, scores.shape[1])

    def row_losses(rows: shared.Rows) -> Tensor:
        own_k = k if isinstance(k, int) or rows.kept is None else k[rows.kept]
        if rows.plain:
            chosen = log_soft_topk(rows.scores, own_k, sharpness=sharpness)
            return -rows.mean(chosen.gather(1, rows.columns))
        checks.finite("scores", rows.scores)
        log_weights = _log_weights(rows)
        _check_room(own_k, total_weight(rows.scores, log_weights))
        places = torch.as_tensor(own_k, device=scores.device).expand(len(rows.scores))
        t = threshold(rows.scores, places, sharpness, log_weights)
        return rows.mean(shared.hinge(-sharpness * (rows.positive_scores + t[:, None])))

    return shared.loss_over_rows(
        row_losses, scores, positives, excluded, log_q, reduction, on_empty
    )


def _decoupled(rows: shared.Rows) -> Tensor:
    if rows.plain:
        return decoupled_loss_rows(rows.scores, rows.positives)
    checks.finite("scores", rows.scores)
    log_mass = negative_log_mass(rows.negative_scores, rows.hidden)
    return rows.mean(shared.hinge(log_mass[:, None] - rows.positive_scores))


def _coupled(rows: shared.Rows) -> Tensor:
    checks.finite("scores", rows.scores)
    if rows.plain:
        log_partition = rows.scores.logsumexp(dim=1)
    else:
        log_mass = negative_log_mass(rows.negative_scores, rows.hidden)
        own = rows.positive_scores.masked_fill(rows.share == 0, -torch.inf)
        log_partition = torch.cat([own, log_mass[:, None]], dim=1).logsumexp(dim=1)
    return log_partition - rows.mean(rows.positive_scores)


def _without(scores: Tensor, hidden: Tensor) -> Tensor:
    """Return the scores with -inf on what is hidden."""
    if hidden.dtype == torch.bool:
        return scores.masked_fill(hidden, -torch.inf)
    padded = torch.nn.functional.pad(scores, (0, 1))  # the padding falls into one column too many
    columns = hidden.long().where(hidden >= 0, scores.shape[1])
    return padded.scatter(1, columns, -torch.inf)[:, :-1]


def _log_weights(rows: shared.Rows) -> Tensor:
    """Return the log of how many labels each column stands for: 0 for positives, -log q else."""
    zero = torch.zeros_like(rows.scores)
    negatives = zero if rows.log_q is None else (zero - rows.log_q)
    outside = _without(negatives, rows.hidden)
    padded = torch.nn.functional.pad(outside, (0, 1))
    columns = rows.columns.where(rows.share > 0, outside.shape[1])
    return padded.scatter(1, columns, 0.0)[:, :-1]


def _check_room(k: int | Tensor, total: Tensor) -> None:
    full = torch.as_tensor(k, device=total.device) >= total
    if full.any():
        row = int(full.nonzero()[0])
        raise ValueError(
            f"`k` is {int(torch.as_tensor(k).expand(len(total))[row])} in row {row}, but only "
            f"{total[row].item():.4g} labels are left there by `excluded` or the sample. "
            "Pass a smaller k, or exclude fewer labels."
        )
