"""Contrastive losses and the negative-positive coupling (Yeh et al., 2022).

Anchor i has a positive of logit p = <z, z'> / τ, and negatives of mass U = sum of exp(<z, z_j> / τ)
over all its negatives z_j. Each loss is a function of these two::

    InfoNCE     -log(e^p / (e^p + U))  =  softplus(log U - p)
    coupling    q = U / (e^p + U)      =  sigmoid(log U - p)
    DCL         log U - p
    DCLW        log U - w p

So InfoNCE is a soft hinge on DCL, and its gradient is q times DCL's. log U comes from
:mod:`l2s.kernels.log_mass`; what remains here reads like the chapter ``labels/contrastive``.

``block_size`` leaves value and gradient exact, and makes the memory O(batch x block_size) instead
of O(batch^2). ``gather_negatives`` takes negatives from all ranks of torch.distributed, with
gradients. Every rank must call the function, with equally many items, and gets the loss of its own
anchors: once ``DistributedDataParallel`` has averaged, value and gradient of the mean equal those
of one process on the whole batch.

Features may be float16, bfloat16, float32 or float64; the work is done in float32 or float64 and
holds for logits up to 1e4; the result has the features' dtype.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.gather import gather_rows
from l2s.kernels.log_mass import unit_log_mass
from l2s.kernels.unit_rows import unit_rows

_SMALLEST = 1e-30  # a cosine divided by less may overflow
_EXACT = 40  # softplus(x) is x to all digits from here on; the default, 20, is 2e-9 off
_ALONE = "A batch of one has no negative. Pass two items or more."


@checks.typed
def info_nce(
    query: Float[Tensor, "batch dim"],
    key: Float[Tensor, "batch dim"],
    *,
    temperature: float = 0.1,
    reduction: str = "mean",
    normalize: bool = True,
    block_size: int | None = None,
    gather_negatives: bool = False,
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    r"""InfoNCE (oord2018): each query must find its own key among all keys.

    .. math::

        L_i = -\log\frac{e^{\langle q_i, k_i\rangle/\tau}}{\sum_j e^{\langle q_i, k_j\rangle/\tau}}
            = \operatorname{softplus}(\log U_i - p_i),

    where U sums over the other N - 1 keys. One direction only: keys do not look for queries.

    Args:
        query: Shape (batch, dim), floating; row i belongs to row i of ``key``.
        key: The same shape and dtype.
        temperature: τ, above 0.
        reduction: "mean" or "sum" over the queries, or "none" for shape (batch,).
        normalize: Divide rows by their length; with False they must have unit length.
        block_size: Anchors at a time, to save memory. None keeps everything.
        gather_negatives: Use the keys of all ranks.

    Returns:
        The loss, at least 0, in the features' dtype.

    Raises:
        TypeError: No floating tensors, or two dtypes.
        ValueError: Unequal shapes, no negative, a zero row, NaN, or an option out of range.

    >>> info_nce(torch.eye(3), torch.eye(3), temperature=1.0)  # log(1 + 2 / e)
    tensor(0.5514)
    >>> info_nce(torch.eye(3), torch.eye(3), temperature=0.05)  # easy: 2 e^-20, not rounded to 0
    tensor(4.1223e-09)
    >>> info_nce(torch.ones(1, 3), torch.ones(1, 3))
    Traceback (most recent call last):
    ValueError: `query.shape[0]` is 1, but must be at least 2. A batch of one has no negative...
    """
    _check_options(temperature, reduction, block_size)
    dtype = query.dtype
    query, key = unit_rows(normalize, query=query, key=key)
    keys, first = gather_rows(key) if gather_negatives else (key, 0)
    checks.at_least("query.shape[0]", len(keys), 2, _ALONE)
    p = (query * key).sum(dim=1) / temperature
    own_key = torch.arange(first, first + len(query), device=query.device)[:, None]
    log_u = unit_log_mass(query, keys, own_key, temperature, block_size)
    return _reduce(F.softplus(log_u - p, threshold=_EXACT), reduction).to(dtype)


@checks.typed
def nt_xent(
    view_a: Float[Tensor, "batch dim"],
    view_b: Float[Tensor, "batch dim"],
    *,
    temperature: float = 0.1,
    reduction: str = "mean",
    normalize: bool = True,
    block_size: int | None = None,
    gather_negatives: bool = False,
) -> Float[Tensor, ""] | Float[Tensor, "2 batch"]:
    r"""NT-Xent (chen2020): each of 2N views must find its partner among the others.

    .. math:: L_i^{(k)} = \operatorname{softplus}(\log U_i^{(k)} - p_i),

    where k is the anchor's view, and U sums over both views of all other items.

    Args:
        view_a: Shape (batch, dim), floating; row i is one view of item i.
        view_b: The same shape and dtype; row i is the other view of item i.
        temperature: τ, above 0.
        reduction: "mean" or "sum" over all 2N anchors, or "none" for shape (2, batch), the
            anchors of ``view_a`` first.
        normalize: Divide rows by their length; with False they must have unit length.
        block_size: Anchors at a time, to save memory. None keeps everything.
        gather_negatives: Use the keys of all ranks.

    Returns:
        The loss, at least 0, in the features' dtype.

    Raises:
        ValueError: Or TypeError, as ``info_nce``.

    >>> nt_xent(torch.eye(2), torch.eye(2), temperature=1.0)  # two negatives: log(1 + 2 / e)
    tensor(0.5514)
    >>> nt_xent(torch.eye(2), torch.eye(2), temperature=1.0, reduction="none").tolist()
    [[0.551..., 0.551...], [0.551..., 0.551...]]
    """
    _check_options(temperature, reduction, block_size)
    p, log_u, *_ = _pairs(view_a, view_b, temperature, normalize, block_size, gather_negatives)
    return _reduce(F.softplus(log_u - p, threshold=_EXACT), reduction).to(view_a.dtype)


@checks.typed
@torch.no_grad()
def coupling(
    view_a: Float[Tensor, "batch dim"],
    view_b: Float[Tensor, "batch dim"],
    *,
    temperature: float = 0.1,
    normalize: bool = True,
    block_size: int | None = None,
    gather_negatives: bool = False,
) -> Float[Tensor, "2 batch"]:
    r"""The factor that ``nt_xent``'s gradients have over ``dcl``'s (yeh2022, proposition 1).

    .. math:: q_i^{(k)} = U_i^{(k)} / (e^{p_i} + U_i^{(k)}) = \sigma(\log U_i^{(k)} - p_i)

    Small where the pair is easy or the batch is small. No gradient flows through it.

    Args:
        view_a: Shape (batch, dim), floating; row i is one view of item i.
        view_b: The same shape and dtype; row i is the other view of item i.
        temperature: τ, above 0.
        normalize: Divide rows by their length; with False they must have unit length.
        block_size: Anchors at a time, to save memory. None keeps everything.
        gather_negatives: Use the keys of all ranks.

    Returns:
        Shape (2, batch), within (0, 1), the anchors of ``view_a`` first.

    Raises:
        ValueError: Or TypeError, as ``info_nce``.

    >>> coupling(torch.eye(2), torch.eye(2), temperature=1.0)[0, 0]  # 2 / (e + 2)
    tensor(0.4239)
    >>> coupling(torch.eye(9), torch.eye(9), temperature=1.0)[0, 0]  # 16 / (e + 16)
    tensor(0.8548)
    """
    _check_options(temperature, "none", block_size)
    p, log_u, *_ = _pairs(view_a, view_b, temperature, normalize, block_size, gather_negatives)
    return torch.sigmoid(log_u - p).to(view_a.dtype)


@checks.typed
def dcl(
    view_a: Float[Tensor, "batch dim"],
    view_b: Float[Tensor, "batch dim"],
    *,
    temperature: float = 0.1,
    weighting: str | None = None,
    sigma: float = 0.5,
    detach_weights: bool = False,
    reduction: str = "mean",
    normalize: bool = True,
    block_size: int | None = None,
    gather_negatives: bool = False,
) -> Float[Tensor, ""] | Float[Tensor, "2 batch"]:
    r"""Decoupled contrastive loss (yeh2022): no positive in the denominator, so that q is 1.

    .. math:: L_i^{(k)} = \log U_i^{(k)} - w_i p_i,

    with w_i = 1 (DCL) or the weights of ``von_mises_fisher_weights`` (DCLW).

    Args:
        view_a: Shape (batch, dim), floating; row i is one view of item i.
        view_b: The same shape and dtype; row i is the other view of item i.
        temperature: τ, above 0.
        weighting: None for DCL, "von_mises_fisher" for DCLW.
        sigma: Width σ of DCLW's weights, above 0.
        detach_weights: Take DCLW's weights as constants. By default they have gradients too, as the
            equation says; public implementations do either.
        reduction: "mean" or "sum" over all 2N anchors, or "none" for shape (2, batch), the
            anchors of ``view_a`` first.
        normalize: Divide rows by their length; with False they must have unit length.
        block_size: Anchors at a time, to save memory. None keeps everything.
        gather_negatives: Use the keys of all ranks.

    Returns:
        The loss, in the features' dtype. The mean of DCL is at least
        log(2(N - 1)) - N / ((N - 1) τ), which may be negative.

    Raises:
        ValueError: Or TypeError, as ``info_nce``.

    >>> dcl(torch.eye(2), torch.eye(2), temperature=1.0)  # log 2 - 1
    tensor(-0.3069)
    >>> F.softplus(dcl(torch.eye(2), torch.eye(2), temperature=1.0))  # InfoNCE again
    tensor(0.5514)
    """
    _check_options(temperature, reduction, block_size)
    checks.one_of("weighting", weighting, (None, "von_mises_fisher"))
    checks.in_range("sigma", sigma, _SMALLEST, math.inf)
    p, log_u, cosines, own = _pairs(
        view_a, view_b, temperature, normalize, block_size, gather_negatives
    )
    if weighting is None:
        return _reduce(log_u - p, reduction).to(view_a.dtype)
    w = _von_mises_fisher(cosines, sigma)[own]
    if detach_weights:
        w = w.detach()
    return _reduce(log_u - w * p, reduction).to(view_a.dtype)


@checks.typed
def von_mises_fisher_weights(
    view_a: Float[Tensor, "batch dim"],
    view_b: Float[Tensor, "batch dim"],
    *,
    sigma: float = 0.5,
    normalize: bool = True,
) -> Float[Tensor, " batch"]:
    r"""DCLW's weight of each pair (yeh2022): the better a pair is aligned, the less it weighs.

    .. math:: w_i = 2 - \frac{e^{c_i/\sigma}}{\frac1N\sum_j e^{c_j/\sigma}},

    where c is the cosine of a pair. The mean of w is 1. A pair far more aligned than the rest
    has a negative weight, which pushes it apart. Gradients flow through the weights.

    Args:
        view_a: Shape (batch, dim), floating; row i is one view of item i.
        view_b: The same shape and dtype; row i is the other view of item i.
        sigma: Width σ, above 0; as it grows all weights go to 1.
        normalize: Divide rows by their length; with False they must have unit length.

    Returns:
        Shape (batch,), within (2 - batch, 2).

    Raises:
        ValueError: Or TypeError, as ``info_nce``.

    >>> von_mises_fisher_weights(torch.eye(3), torch.eye(3))
    tensor([1., 1., 1.])
    >>> a, b = torch.eye(4)[[0, 0, 0, 0]], torch.eye(4)[[0, 1, 2, 3]]  # one aligned pair of four
    >>> von_mises_fisher_weights(a, b)
    tensor([-0.8449,  1.6150,  1.6150,  1.6150])
    """
    checks.in_range("sigma", sigma, _SMALLEST, math.inf)
    a, b = unit_rows(normalize, view_a=view_a, view_b=view_b)
    return _von_mises_fisher((a * b).sum(dim=1), sigma).to(view_a.dtype)


@checks.typed
def supervised_contrastive(
    features: Float[Tensor, "batch dim"],
    labels: Int[Tensor, " batch"],
    *,
    temperature: float = 0.1,
    no_positive: str = "error",
    reduction: str = "mean",
    normalize: bool = True,
    block_size: int | None = None,
    gather_negatives: bool = False,
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    r"""Supervised contrastive loss (khosla2020): positives share the anchor's label.

    .. math::

        L_i = \log\sum_{j\ne i} e^{\langle z_i, z_j\rangle/\tau}
            - \frac{1}{|P_i|}\sum_{j\in P_i} \langle z_i, z_j\rangle/\tau,

    where P are the other items with the anchor's label. The mean over them stands outside the
    logarithm. With two views of each item and its number as their label it is ``nt_xent``.

    Args:
        features: Shape (batch, dim), floating.
        labels: Shape (batch,), integer; any numbers.
        temperature: τ, above 0.
        no_positive: With "ignore" an anchor whose label occurs once has the loss 0 and is left out
            of the mean; with "error" it is an error.
        reduction: "mean" or "sum" over the anchors, or "none" for shape (batch,).
        normalize: Divide rows by their length; with False they must have unit length.
        block_size: Anchors at a time, to save memory. None keeps everything.
        gather_negatives: Use the keys of all ranks.

    Returns:
        The loss, at least 0, in the features' dtype.

    Raises:
        ValueError: Or TypeError, as ``info_nce``; other labels, or an anchor without a positive.

    >>> z, labels = torch.eye(2)[[0, 0, 1, 1]], torch.tensor([0, 0, 1, 1])
    >>> supervised_contrastive(z, labels, temperature=1.0)  # log(e + 2) - 1
    tensor(0.5514)
    >>> supervised_contrastive(z[:3], labels[:3], temperature=1.0, no_positive="ignore")
    tensor(0.3133)
    >>> supervised_contrastive(z[:3], labels[:3])
    Traceback (most recent call last):
    ValueError: `labels` holds 1 labels that occur only once, such as 1, and their anchors have...
    """
    _check_options(temperature, reduction, block_size)
    checks.one_of("no_positive", no_positive, ("error", "ignore"))
    checks.same_device(features=features, labels=labels)
    (z,) = unit_rows(normalize, features=features)
    everyone, labels, first = z, labels.long(), 0
    if gather_negatives:
        everyone, first = gather_rows(z)
        labels, _ = gather_rows(labels)
    checks.at_least("features.shape[0]", len(everyone), 2, _ALONE)
    own = slice(first, first + len(z))

    _, classes, sizes = labels.unique(return_inverse=True, return_counts=True)
    positives = sizes[classes] - 1
    _check_positives(labels, positives, no_positive)
    sums = z.new_zeros(len(sizes), z.shape[1]).index_add(0, classes, everyone)
    mean_positive = (z * (sums[classes[own]] - z)).sum(dim=1) / positives[own].clamp(min=1)

    itself = torch.arange(own.start, own.stop, device=z.device)[:, None]
    log_partition = unit_log_mass(z, everyone, itself, temperature, block_size)
    # The mean is over the anchors of all ranks that have a positive: each counts 1 / their share.
    counted = (positives > 0).to(z.dtype)
    counts = counted[own] / (counted.mean() if reduction == "mean" else 1)
    losses = (log_partition - mean_positive / temperature) * counts
    return _reduce(losses, reduction).to(features.dtype)


def _pairs(
    view_a: Tensor,
    view_b: Tensor,
    temperature: float,
    normalize: bool,
    block_size: int | None,
    gather_negatives: bool,
) -> tuple[Tensor, Tensor, Tensor, slice]:
    """Return p (batch,), log U (2, batch), the cosines of all ranks' pairs, and which are own."""
    a, b = unit_rows(normalize, view_a=view_a, view_b=view_b)
    batch, first = len(a), 0
    anchors = candidates = torch.cat([a, b])
    if gather_negatives:
        both, first = gather_rows(torch.stack([a, b], dim=1))
        a, b = both.unbind(dim=1)
        candidates = torch.cat([a, b])
    checks.at_least("view_a.shape[0]", len(a), 2, _ALONE)
    own = slice(first, first + batch)
    cosines = (a * b).sum(dim=1)
    item = torch.arange(own.start, own.stop, device=a.device)
    own_views = torch.stack([item, item + len(a)], dim=1).repeat(2, 1)
    log_u = unit_log_mass(anchors, candidates, own_views, temperature, block_size)
    return cosines[own] / temperature, log_u.view(2, batch), cosines, own


def _von_mises_fisher(cosines: Tensor, sigma: float) -> Tensor:
    return 2 - len(cosines) * torch.softmax(cosines / sigma, dim=0)


def _reduce(losses: Tensor, reduction: str) -> Tensor:
    return losses if reduction == "none" else getattr(losses, reduction)()


def _check_options(temperature: float, reduction: str, block_size: int | None) -> None:
    checks.in_range("temperature", temperature, _SMALLEST, math.inf)
    checks.one_of("reduction", reduction, ("mean", "sum", "none"))
    if block_size is not None:
        checks.at_least("block_size", block_size, 1, "Pass anchors at a time, 256 for example.")


def _check_positives(labels: Tensor, positives: Tensor, no_positive: str) -> None:
    alone = labels[positives == 0]
    if len(alone) and (no_positive == "error" or len(alone) == len(labels)):
        raise ValueError(
            f"`labels` holds {len(alone)} labels that occur only once, such as {int(alone[0])}, "
            "and their anchors have no positive. Draw two items or more of each class, pass two "
            "views of each item, or pass no_positive='ignore' (if any anchor has a positive)."
        )
