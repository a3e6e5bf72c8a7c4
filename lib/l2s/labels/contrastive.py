"""Contrastive losses and the negative-positive coupling (Yeh et al., 2022).

Anchor i has one positive, with logit p_i = <z_i, z_i'> / tau, and many negatives, with mass
U_i = sum over its negatives of exp(<z_i, z_j> / tau). Every loss here is a function of those two:

    InfoNCE   -log(e^p / (e^p + U)) = softplus(log U - p)
    coupling                      q = sigmoid(log U - p)
    DCL       log U - p
    DCLW      log U - w p

InfoNCE is a soft hinge on DCL, and its gradient is DCL's times the coupling q. Embeddings are
normalised to unit length here. log U is the work of ``l2s.kernels.log_mass``; the rest reads like
the chapter ``labels/contrastive``.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (as the field writes it)
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.gather import gather_rows
from l2s.kernels.log_mass import log_mass
from l2s.kernels.unit_rows import check_unit_rows, unit_rows

Reduction = Literal["mean", "sum", "none"]


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
    """Find each query's own key among all keys: cross-entropy of a classification among N keys.

    L_i = -log( exp(<q_i, k_i> / tau) / sum_j exp(<q_i, k_j> / tau) ) = softplus(log U_i - p_i),
    where U_i sums over the other N - 1 keys.
    """
    _check_options(temperature, reduction, block_size)
    (query, key), dtype = _embeddings(normalize, query=query, key=key)
    keys, first = gather_rows(key) if gather_negatives else (key, 0)
    _check_negatives("query", keys.shape[0])
    p = (query * key).sum(dim=1) / temperature
    own = torch.arange(first, first + query.shape[0], device=query.device)
    log_u = log_mass(query, keys, own[:, None], temperature=temperature, block_size=block_size)
    return _reduce(_softplus(log_u - p), reduction, dtype)


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
    """SimCLR's loss: each of the 2N views finds its partner among the other 2N - 1 views.

    L_i^(k) = softplus(log U_i^(k) - p_i)
    """
    _check_options(temperature, reduction, block_size)
    pairs = _pairs(view_a, view_b, temperature, normalize, block_size, gather_negatives)
    return _reduce(_softplus(pairs.log_u - pairs.p), reduction, view_a.dtype)


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
    """The negative-positive coupling of every anchor: q = sigmoid(log U - p), in (0, 1).

    Row k holds the anchors of view k.
    """
    _check_options(temperature, "none", block_size)
    pairs = _pairs(view_a, view_b, temperature, normalize, block_size, gather_negatives)
    return torch.sigmoid(pairs.log_u - pairs.p).to(view_a.dtype)


@checks.typed
def dcl(
    view_a: Float[Tensor, "batch dim"],
    view_b: Float[Tensor, "batch dim"],
    *,
    temperature: float = 0.1,
    weighting: str | None = None,
    sigma: float = 0.5,
    reduction: str = "mean",
    normalize: bool = True,
    block_size: int | None = None,
    gather_negatives: bool = False,
) -> Float[Tensor, ""] | Float[Tensor, "2 batch"]:
    """Decoupled contrastive loss: the positive leaves the denominator, so that q becomes 1.

    L_i^(k) = log U_i^(k) - w_i p_i, with w_i = 1 (DCL) or the von Mises-Fisher weights (DCLW).
    """
    _check_options(temperature, reduction, block_size)
    checks.one_of("weighting", weighting, (None, "von_mises_fisher"))
    checks.positive("sigma", sigma)
    pairs = _pairs(view_a, view_b, temperature, normalize, block_size, gather_negatives)
    if weighting is None:
        return _reduce(pairs.log_u - pairs.p, reduction, view_a.dtype)
    w = _von_mises_fisher(pairs.cosines, sigma)[pairs.own]
    return _reduce(pairs.log_u - w * pairs.p, reduction, view_a.dtype)


@checks.typed
def von_mises_fisher_weights(
    view_a: Float[Tensor, "batch dim"],
    view_b: Float[Tensor, "batch dim"],
    *,
    sigma: float = 0.5,
    normalize: bool = True,
) -> Float[Tensor, " batch"]:
    """DCLW's weight of every pair: w_i = 2 - exp(c_i / sigma) / mean_j exp(c_j / sigma).

    c_i is the cosine of the pair. The mean of w is 1, and w lies in (2 - N, 2).
    """
    checks.positive("sigma", sigma)
    (a, b), dtype = _embeddings(normalize, view_a=view_a, view_b=view_b)
    return _von_mises_fisher((a * b).sum(dim=1), sigma).to(dtype)


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
    """Contrastive loss where every other item of the anchor's class is a positive.

    L_i = log sum_{j != i} exp(<z_i, z_j> / tau) - mean_{j in P(i)} <z_i, z_j> / tau
    """
    _check_options(temperature, reduction, block_size)
    checks.one_of("no_positive", no_positive, ("error", "ignore"))
    (z,), dtype = _embeddings(normalize, features=features)
    _check_same_device(features=features, labels=labels)
    everyone, first = gather_rows(z) if gather_negatives else (z, 0)
    every_label, _ = gather_rows(labels) if gather_negatives else (labels, 0)
    _check_negatives("features", everyone.shape[0])
    own = slice(first, first + z.shape[0])

    _, classes, sizes = every_label.unique(return_inverse=True, return_counts=True)
    positives = sizes[classes] - 1
    _check_positives(every_label, positives, no_positive)
    sums = z.new_zeros(len(sizes), z.shape[1]).index_add(0, classes, everyone)
    mean_positive = (z * (sums[classes[own]] - z)).sum(dim=1) / positives[own].clamp(min=1)
    log_partition = log_mass(
        z,
        everyone,
        torch.arange(own.start, own.stop, device=z.device)[:, None],
        temperature=temperature,
        block_size=block_size,
    )
    has_positive = positives > 0
    # An anchor without a positive counts nothing; the mean is over those that have one, on all
    # ranks, so that the ranks' average is the mean over the whole batch.
    share = has_positive[own].to(z.dtype)
    if reduction == "mean":
        share = share / has_positive.to(z.dtype).mean()
    return _reduce((log_partition - mean_positive / temperature) * share, reduction, dtype)


class _Pairs(NamedTuple):
    """What the two-view losses are made of."""

    p: Tensor  # (batch,) positive logits of the own pairs
    log_u: Tensor  # (2, batch) log of the negative mass, row k for the anchors of view k
    cosines: Tensor  # (batch of all ranks,) cosine of every pair
    own: slice  # which of those are this rank's


def _pairs(
    view_a: Tensor,
    view_b: Tensor,
    temperature: float,
    normalize: bool,
    block_size: int | None,
    gather_negatives: bool,
) -> _Pairs:
    (a, b), _ = _embeddings(normalize, view_a=view_a, view_b=view_b)
    anchors = torch.cat([a, b])
    batch, first, candidates = len(a), 0, anchors
    if gather_negatives:
        both, first = gather_rows(torch.stack([a, b], dim=1))
        a, b = both.unbind(dim=1)
        candidates = torch.cat([a, b])
    everyone = len(a)
    _check_negatives("view_a", everyone)
    item = torch.arange(first, first + batch, device=a.device)
    own_views = torch.stack([item, item + everyone], dim=1).repeat(2, 1)
    log_u = log_mass(anchors, candidates, own_views, temperature=temperature, block_size=block_size)
    cosines = (a * b).sum(dim=1)
    own = slice(first, first + batch)
    return _Pairs(cosines[own] / temperature, log_u.view(2, batch), cosines, own)


def _von_mises_fisher(cosines: Tensor, sigma: float) -> Tensor:
    return 2 - len(cosines) * torch.softmax(cosines / sigma, dim=0)


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=40)  # PyTorch's own threshold of 20 errs by 2e-9


def _reduce(losses: Tensor, reduction: str, dtype: torch.dtype) -> Tensor:
    if reduction == "mean":
        losses = losses.mean()
    elif reduction == "sum":
        losses = losses.sum()
    return losses.to(dtype)


def _embeddings(normalize: bool, **features: Tensor) -> tuple[list[Tensor], torch.dtype]:
    """Return the checked embeddings of unit length, at least in float32, and the caller's dtype."""
    checks.same_dtype(**features)
    _check_same_device(**features)
    embeddings = []
    for name, rows in features.items():
        checks.at_least(f"{name}.shape[0]", rows.shape[0], 1, "The batch is empty. Pass rows.")
        checks.at_least(f"{name}.shape[1]", rows.shape[1], 1, "Rows are empty. Pass features.")
        wide = rows if rows.dtype == torch.float64 else rows.float()
        if normalize:
            wide = unit_rows(name, wide)
        else:
            check_unit_rows(name, wide)
        embeddings.append(wide)
    return embeddings, rows.dtype


def _check_options(temperature: float, reduction: str, block_size: int | None) -> None:
    checks.positive("temperature", temperature)
    checks.one_of("reduction", reduction, ("mean", "sum", "none"))
    if block_size is not None:
        checks.at_least("block_size", block_size, 1, "Pass rows per block, 256 for example.")


def _check_negatives(name: str, batch: int) -> None:
    checks.at_least(
        f"{name}.shape[0]", batch, 2, "A batch of one has no negative. Pass two items or more."
    )


def _check_positives(labels: Tensor, positives: Tensor, no_positive: str) -> None:
    alone = labels[positives == 0].tolist()
    if alone and (no_positive == "error" or len(alone) == len(labels)):
        raise ValueError(
            f"`labels` holds {len(alone)} labels that occur only once ({alone[:5]}), so that their "
            "anchors have no positive. Sample two items or more of each class, pass two views of "
            "each item, or pass no_positive='ignore' to leave such anchors out of the mean."
        )


def _check_same_device(**tensors: Tensor) -> None:
    devices = {name: tensor.device for name, tensor in tensors.items()}
    if len(set(devices.values())) > 1:
        found = ", ".join(f"`{name}` is on {device}" for name, device in devices.items())
        raise ValueError(f"{found}; they must share one device. Move one with .to(other.device).")
