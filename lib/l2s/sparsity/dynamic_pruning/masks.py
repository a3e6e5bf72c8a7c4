"""Masks over filters: by mass of their responses, by rank, by size of weights, at random."""

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from l2s import checks

TINY = 1e-5  # the δ of the public code: rounding room in sums, and the response of a dead filter


@checks.typed
def filter_response(
    maps: Float[Tensor, "samples filters height width"],
) -> Float[Tensor, "samples filters"]:
    r"""Return how strongly each filter responds to each input: the peak of its map.

    .. math:: s_{bc} = \max_{h, w} |o_{bchw}|

    Args:
        maps: o, what the layer puts out after normalisation and activation, shape (samples,
            filters, height, width).

    Raises:
        ValueError: Other than four axes, maps without a place, or entries that are NaN or infinite.

    Source: the public code of elkerdawy2022, which pools :math:`|o|` by its maximum.

    >>> maps = torch.tensor([[[[0.0, 2.0]], [[-3.0, 1.0]]]])
    >>> filter_response(maps)
    tensor([[2., 3.]])
    """
    if not maps.shape[2] * maps.shape[3]:
        raise ValueError(
            f"`maps` has shape {tuple(maps.shape)}, whose maps hold no place. "
            "Pass maps of 1 x 1 or more."
        )
    checks.finite("maps", maps)
    return maps.abs().amax(dim=(2, 3))


@checks.typed
def mass_mask(
    responses: Float[Tensor, "samples filters"], mass: float, *, at_least: int = 1
) -> Bool[Tensor, "samples filters"]:
    r"""Keep the strongest filters of each input, as long as together they hold at most a mass r.

    With shares :math:`p_{bc} = s_{bc} / \sum_c s_{bc}` in decreasing order and their running sums
    :math:`c_{bj} = p_{b(1)} + \dots + p_{b(j)}`,

    .. math:: \text{keep the first } k_b = \max\big(\#\{j : c_{bj} \le r + \delta\},\
        \text{at\_least}\big) \text{ filters}, \qquad \delta = 10^{-5}.

    The filter at which the sum passes r is dropped. With r = 1 the rule is another: keep those with
    :math:`p_{bc} > \delta`, which drops only dead filters. Of equal responses the lower index goes
    first.

    The public code has no ``at_least``: where one filter alone holds more than r it keeps
    *nothing*, and the layer puts out zeros. That is ``at_least=0``.

    Args:
        responses: s, at least 0, shape (samples, filters).
        mass: r, above 0 and at most 1.
        at_least: How many filters each input keeps in any case, 0 to the number of filters. An
            input with no response at all keeps just these.

    Raises:
        ValueError: A number out of its range, or responses that are negative, NaN or infinite.

    Source: elkerdawy2022 and its public code.

    >>> responses = torch.tensor([[5.0, 3.0, 1.0, 1.0]])  # shares .5, .3, .1, .1
    >>> mass_mask(responses, 0.8)
    tensor([[ True,  True, False, False]])
    >>> mass_mask(responses, 0.9).sum().item()
    3
    >>> mass_mask(responses, 0.4), mass_mask(responses, 0.4, at_least=0).any()
    (tensor([[ True, False, False, False]]), tensor(False))
    >>> mass_mask(torch.tensor([[2.0, 0.0, 1.0]]), 1.0)
    tensor([[ True, False,  True]])
    """
    if not (math.isfinite(mass) and 0 < mass <= 1):
        raise ValueError(
            f"`mass` is {mass!r}, but must be above 0 and at most 1. Pass the share of the "
            "responses that kept filters may hold, such as 0.9."
        )
    _check_responses(responses, at_least)
    total = responses.sum(dim=1, keepdim=True, dtype=torch.float64)
    shares = responses.double() / torch.where(total > 0, total, 1.0)
    ordered, order = shares.sort(dim=1, descending=True, stable=True)
    alive = ordered > (TINY if mass == 1 else 0.0)
    kept = alive if mass == 1 else alive & (ordered.cumsum(dim=1) <= mass + TINY)
    kept[:, :at_least] = True
    return torch.zeros_like(kept).scatter(1, order, kept)


@checks.typed
def uniform_mask(
    responses: Float[Tensor, "samples filters"], ratio: float, *, at_least: int = 1
) -> Bool[Tensor, "samples filters"]:
    r"""Drop the same number of filters for each input: the weakest :math:`\lfloor\rho C\rfloor`.

    Filters that do not respond (:math:`s \le 10^{-5}`) are dropped too. Which filters go differs
    from input to input; how many does not, as long as enough respond.

    Args:
        responses: s, at least 0, shape (samples, filters).
        ratio: ρ, the share to drop, from 0 to below 1.
        at_least: As in :func:`mass_mask`.

    Raises:
        ValueError: A number out of its range, or responses that are negative, NaN or infinite.

    Source: the public code of elkerdawy2022.

    >>> uniform_mask(torch.tensor([[5.0, 3.0, 1.0, 0.0], [1.0, 2.0, 3.0, 4.0]]), 0.25)
    tensor([[ True,  True,  True, False],
            [False,  True,  True,  True]])
    """
    if not 0 <= ratio < 1:
        raise ValueError(
            f"`ratio` is {ratio!r}, but must be at least 0 and below 1. Pass the share of filters "
            "to drop, such as 0.5."
        )
    _check_responses(responses, at_least)
    filters = responses.shape[1]
    ordered, order = responses.sort(dim=1, descending=True, stable=True)
    kept = ordered > TINY
    kept[:, filters - math.floor(ratio * filters + 1e-9) :] = False
    kept[:, :at_least] = True
    return torch.zeros_like(kept).scatter(1, order, kept)


@checks.typed
def random_mask(
    kept: Int64[Tensor, " samples"], filters: int, *, generator: torch.Generator | None = None
) -> Bool[Tensor, "samples filters"]:
    """Draw filters at random: as many for each input as ``kept`` says, any set equally likely.

    The control for every other mask: it spends the same and knows nothing.

    Args:
        kept: How many filters each input keeps, from 0 to ``filters``.
        filters: How many there are.
        generator: The source of randomness; None means PyTorch's default generator.

    Raises:
        ValueError: A number out of its range.

    >>> mask = random_mask(torch.tensor([1, 3]), 4, generator=torch.Generator().manual_seed(0))
    >>> mask.sum(dim=1)
    tensor([1, 3])
    """
    checks.at_least("filters", filters, 1, "A layer has one filter or more.")
    if len(kept) and not (kept.min() >= 0 and kept.max() <= filters):
        raise ValueError(
            f"`kept` holds numbers from {int(kept.min())} to {int(kept.max())}, but must lie "
            f"between 0 and `filters`, {filters}. Keep no more filters than there are."
        )
    device = kept.device if generator is None else generator.device
    drawn = torch.rand(len(kept), filters, generator=generator, device=device).to(kept.device)
    return drawn.argsort(dim=1).argsort(dim=1) < kept[:, None]


@checks.typed
def magnitude_mask(
    weight: Float[Tensor, "filters channels height width"],
    share: float,
    *,
    scale: Float[Tensor, " filters"] | None = None,
) -> Bool[Tensor, " filters"]:
    r"""Keep the filters whose weights are largest: static pruning, one mask for all inputs.

    .. math:: \text{keep the } \max(1, \operatorname{round}(qC)) \text{ filters with the largest }
        |\gamma_c| \sum_{i, h, w} |w_{cihw}|

    Of equal filters the lower index goes first.

    Args:
        weight: The convolution's weight, shape (filters, channels, height, width).
        share: q, the share of filters to keep, above 0 and at most 1.
        scale: γ, what batch normalisation multiplies each filter by; None for 1.

    Raises:
        ValueError: A share out of its range, no filter, or numbers that are NaN or infinite.

    Source: Li et al. (2017), li2017.

    >>> magnitude_mask(torch.tensor([1.0, -3.0, 2.0])[:, None, None, None], 0.67)
    tensor([False,  True,  True])
    """
    if not 0 < share <= 1:
        raise ValueError(
            f"`share` is {share!r}, but must be above 0 and at most 1. Pass the share of filters "
            "to keep, such as 0.5."
        )
    filters = len(weight)
    checks.at_least("len(weight)", filters, 1, "A layer has one filter or more.")
    checks.finite("weight", weight)
    size = weight.detach().abs().sum(dim=(1, 2, 3))
    if scale is not None:
        checks.finite("scale", scale)
        size = size * scale.detach().abs()
    order = size.argsort(descending=True, stable=True)
    mask = torch.zeros(filters, dtype=torch.bool, device=weight.device)
    mask[order[: max(1, round(share * filters))]] = True
    return mask


def _check_responses(responses: Tensor, at_least: int) -> None:
    filters = responses.shape[1]
    checks.at_least("filters", filters, 1, "Pass responses of one filter or more.")
    checks.finite("responses", responses)
    if responses.numel() and (low := responses.min().item()) < 0:
        raise ValueError(
            f"`responses` holds {low:g}, but a response is at least 0. "
            "Make them with filter_response, which takes absolute values."
        )
    if not 0 <= at_least <= filters:
        raise ValueError(
            f"`at_least` is {at_least}, but must lie between 0 and the number of filters, "
            f"{filters}. Pass 1, or 0 for the public code's rule."
        )
