"""The log of the exponential mass of all candidates but a few: what contrastive losses share.

``reference.py`` is the definition; ``symmetric.py`` and ``rectangular.py`` are the fast ways, in
plain PyTorch too; ``operator.py`` registers them as one operator and chooses.
"""

import math

import torch
from jaxtyping import Float32, Float64, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.log_mass.operator import dispatch, unit_log_mass
from l2s.kernels.log_mass.reference import log_mass_reference

__all__ = ["log_mass", "log_mass_reference", "unit_log_mass"]


@checks.typed
def log_mass(
    anchors: Float32[Tensor, "anchors dim"] | Float64[Tensor, "anchors dim"],
    candidates: Float32[Tensor, "candidates dim"] | Float64[Tensor, "candidates dim"],
    excluded: Int[Tensor, "anchors excluded"],
    *,
    temperature: float,
    bound: float = math.inf,
    block_size: int | None = None,
) -> Float32[Tensor, " anchors"] | Float64[Tensor, " anchors"]:
    r"""Return the log of each anchor's exponential mass over the candidates not excluded for it.

    .. math:: \log U_i = \log\sum_{j\notin X_i} e^{\langle a_i, c_j\rangle/\tau}

    Args:
        anchors: Shape (anchors, dim), float32 or float64.
        candidates: Shape (candidates, dim), of the same dtype. Pass the anchors' own tensor where
            anchors are their own candidates: half of the work is then saved if ``bound`` is small.
        excluded: X, of shape (anchors, excluded), integer: the columns left out for each anchor; a
            column may be named twice. Where anchors are their own candidates, each must exclude
            itself, and i must exclude j where j excludes i.
        temperature: τ, above 0.
        bound: A number that no ``|<a_i, c_j>| / τ`` exceeds, where the caller knows one (1 / τ
            for rows of unit length). A small one saves the search for each row's largest logit.
        block_size: Rows worked on at a time. The memory is then O(candidates x block_size), and
            the backward pass computes each block again. By default all exponentials are kept.

    Returns:
        Shape (anchors,). It can be differentiated twice; the second derivative takes the memory
        of the reference.

    Raises:
        TypeError: Other dtypes, or two of them.
        ValueError: A wrong shape; a temperature or block size that is not positive; an excluded
            column that does not exist, or no column left; exclusions that are not mutual where
            anchors are their own candidates.

    >>> z = torch.eye(3)
    >>> log_mass(z, z, torch.arange(3)[:, None], temperature=1.0)  # two candidates, logits 0
    tensor([0.6931, 0.6931, 0.6931])
    >>> log_mass(z[:1], z, torch.tensor([[1, 2]]), temperature=0.5)  # only itself, logit 2
    tensor([2.])
    """
    checks.positive("temperature", temperature)
    checks.same_dtype(anchors=anchors, candidates=candidates)
    if block_size is not None:
        checks.at_least("block_size", block_size, 1, "Pass rows a block, 256 for example.")
    _check_exclusions(excluded, len(candidates), is_own=candidates is anchors)
    return dispatch(anchors, candidates, excluded, temperature, bound, block_size)


def _check_exclusions(excluded: Tensor, candidates: int, is_own: bool) -> None:
    if excluded.shape[1] >= candidates:
        raise ValueError(
            f"`excluded` names {excluded.shape[1]} columns a row out of {candidates}, so that none "
            "may be left. Pass more candidates."
        )
    if excluded.numel():
        low, high = (int(end) for end in excluded.aminmax())
        if low < 0 or high >= candidates:
            raise ValueError(
                f"`excluded` holds columns from {low} to {high}, but the candidates are numbered "
                f"from 0 to {candidates - 1}. Pass columns in that range."
            )
    if is_own:
        row = torch.arange(len(excluded), device=excluded.device)[:, None]
        itself = (excluded == row).any(dim=1).all()
        back = (excluded[excluded] == row[:, :, None]).any(dim=2).all()
        if not (itself and back):
            raise ValueError(
                "`excluded` is not mutual. Where anchors are their own candidates each must "
                "exclude itself, and i must exclude j where j excludes i. Pass candidates.clone()."
            )
