"""The paper's losses between parameters: Voronoi cells, exponents, errors group by group."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.sparsity.moe_gating.gate import check_k, check_single
from l2s.sparsity.moe_gating.mixture import Mixture, fix_gauge

# The smallest order at which the polynomial system of m atoms has no solution but the trivial one.
_ORDERS = {1: 1, 2: 4, 3: 6}
_LARGEST = 1e300  # a weight or a loss: infinity times 0 would be NaN


@checks.typed
def solution_order(atoms: int) -> int:
    r"""Return :math:`\bar r(m)`, the exponent of a cell that m fitted experts share.

    It is the smallest order r at which ``polynomial_system`` has no solution but the trivial one: 4
    for two atoms, 6 for three. For one atom, where the loss is of first order, it is 1 here. From
    four on only :math:`\bar r \ge 7` is known.

    Args:
        atoms: m, 1 to 3.

    Raises:
        ValueError: If m is below 1 or above 3.

    Source: nguyen2024, lemma 1, after the system of ho2016.

    >>> [solution_order(atoms) for atoms in (1, 2, 3)]
    [1, 4, 6]
    """
    checks.at_least("atoms", atoms, 1, "A cell of no expert has no order.")
    if atoms not in _ORDERS:
        raise ValueError(
            f"`atoms` is {atoms}, but from 4 on the order is not known: it is at least 7. "
            "Pass 1, 2 or 3."
        )
    return _ORDERS[atoms]


@checks.typed
def polynomial_system(
    gate_slopes: Float[Tensor, " atoms"],
    slopes: Float[Tensor, " atoms"],
    intercepts: Float[Tensor, " atoms"],
    variances: Float[Tensor, " atoms"],
    weights: Float[Tensor, " atoms"],
    order: int,
) -> dict[tuple[int, int], Tensor]:
    r"""Return the left sides of the polynomial system of a cell, in one dimension.

    .. math:: \sum_i w_i \sum_\alpha \frac{p_{1i}^{\alpha_1} p_{2i}^{\alpha_2}
        p_{3i}^{\alpha_3} p_{4i}^{\alpha_4}}{\alpha_1!\, \alpha_2!\, \alpha_3!\, \alpha_4!},
        \qquad \alpha_1 + \alpha_2 = \ell_1,\; \alpha_2 + \alpha_3 + 2 \alpha_4 = \ell_2,

    for all :math:`1 \le \ell_1 + \ell_2 \le r`. They are the coefficients of
    :math:`x^{\ell_1}\, \partial^{\ell_2} f / \partial b^{\ell_2}` in the Taylor series of a split
    atom, with :math:`p_4` in halves of the change of variance. Where all vanish up to order r, the
    density does not feel the split up to that order.

    Args:
        gate_slopes: p₁, shape (atoms,).
        slopes: p₂.
        intercepts: p₃.
        variances: p₄, half of the change of σ.
        weights: w, the squares of p₅.
        order: r, at least 1.

    Returns:
        One number for each (ℓ₁, ℓ₂).

    Source: nguyen2024, equation 10, with d = 1.

    >>> up = torch.tensor([1.0, -1.0])
    >>> sides = polynomial_system(0 * up, 0 * up, up, 0 * up - 0.5, torch.ones(2), 3)
    >>> all(side == 0 for side in sides.values())  # two intercepts apart, variances reduced
    True
    """
    checks.at_least("order", order, 1, "The first equations are those of order 1.")
    powers = [
        _over_factorials(p.double(), order) for p in (gate_slopes, slopes, intercepts, variances)
    ]
    sides = {}
    for first in range(order + 1):
        for second in range(order + 1 - first):
            if first + second:
                sides[first, second] = _side(powers, weights.double(), first, second)
    return sides


@checks.typed
def voronoi_cells(fitted: Mixture, truth: Mixture) -> Int[Tensor, "*fits experts"]:
    r"""Return for each fitted expert the true one that is nearest in (β₁, a, b, σ).

    The gate's bias does not count. Both gates are first given the same gauge: the truth's last
    expert gets the slope 0, and so does, in the fit, the expert that is nearest to it in (a, b, σ).

    Args:
        fitted: One fit or several, with any number of experts.
        truth: A single mixture.

    Returns:
        Numbers of true experts, shape (experts,), after an axis of fits where there is one.

    Raises:
        ValueError: If the dimensions differ, or the truth holds several fits.

    >>> truth = Mixture.of([[-2.0], [0.0]], [0.0, 0.0], [[1.0], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> fitted = Mixture.of([[9.0], [7.1]], [0.0, 0.0], [[4.0], [1.1]], [2.0, 0.1], [0.5, 0.3])
    >>> voronoi_cells(fitted, truth)
    tensor([1, 0])
    """
    fitted, truth = align_gauge(fitted, truth)
    return _distance(_atoms(fitted), _atoms(truth)).argmin(-1)


@checks.typed
def voronoi_loss(
    fitted: Mixture, truth: Mixture, k: int, *, kind: Literal["exact", "over"] = "exact"
) -> Float[Tensor, "*fits"]:
    r"""Return the paper's loss between fitted and true parameters.

    With the cell :math:`A_j` of fitted experts around the true expert j and differences Δ to it,

    .. math:: D = \max_{|\ell| = K} \sum_{j \in \ell} \Big[ \sum_{i \in A_j} e^{\beta_{0i}} \big(
        \lVert \Delta \beta_{1} \rVert^{r} + \lVert \Delta a \rVert^{r'} + |\Delta b|^{r}
        + |\Delta \sigma|^{r'} \big) + \Big| \sum_{i \in A_j} e^{\beta_{0i}} - e^{\beta^*_{0j}}
        \Big| \Big] .

    "exact" has all exponents 1. "over" has :math:`r = \bar r(|A_j|)` and :math:`r' = \bar r / 2` in
    cells of two or more, see ``solution_order``. The largest sum over K of the cells is that of the
    K largest, so that no subset is listed.

    Args:
        fitted: One fit or several.
        truth: A single mixture.
        k: K of the truth.
        kind: "exact" for D₁, "over" for D₂.

    Returns:
        The loss, 0 where the fit equals the truth up to order and shift of the gate.

    Raises:
        ValueError: If a cell of more than three is met for "over", or arguments do not fit.

    Source: nguyen2024, equations 5 and 9.

    >>> truth = Mixture.of([[-2.0], [0.0]], [0.0, 0.0], [[1.0], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> voronoi_loss(truth, truth, 2).item()
    0.0
    """
    check_k("k", k, truth.experts)
    fitted, truth = align_gauge(fitted, truth)
    cells = _distance(_atoms(fitted), _atoms(truth)).argmin(-1)
    member = torch.nn.functional.one_hot(cells, truth.experts).double()  # ... experts true
    size = member.sum(-2)
    if kind == "over" and int(size.max()) > 3:
        solution_order(int(size.max()))  # says that it is not known
    own = (member @ size[..., None])[..., 0]  # the size of the cell that each expert is in
    order = torch.ones_like(own)
    if kind == "over":
        for atoms, value in _ORDERS.items():
            order = torch.where(own == atoms, float(value), order)
    half = torch.where(own > 1, order / 2, order) if kind == "over" else order
    total = torch.zeros_like(own)
    for name, distance in _group_distances(fitted, truth, cells).items():
        total = total + distance ** (half if name in ("slopes", "variances") else order)
    weight = fitted.gate_biases.exp().clamp(max=_LARGEST)
    inside = ((weight * total).clamp(max=_LARGEST)[..., None] * member).sum(-2)
    missing = ((weight[..., None] * member).sum(-2) - truth.gate_biases.exp()).abs()
    return (inside + missing).topk(k, dim=-1).values.sum(-1)


@checks.typed
def parameter_errors(
    fitted: Mixture, truth: Mixture, expert: int | None = None, *, power: float = 1.0
) -> Mapping[str, Float[Tensor, "*fits"]]:
    r"""Return how far the fitted experts of a cell are from the true one, group by group.

    .. math:: \Big( \sum_{i \in A_j} \frac{e^{\beta_{0i}}}{\sum_{m \in A_j} e^{\beta_{0m}}}\,
        \lVert \Delta_i \rVert^p \Big)^{1/p}

    The weights are those of the loss: an expert that hardly ever speaks may be anywhere. With the
    loss's own exponent as p, a group is bounded by the p-th root of the loss.

    Args:
        fitted: One fit or several.
        truth: A single mixture.
        expert: The true expert j whose cell counts; None adds up all cells.
        power: p, above 0.

    Returns:
        For "gate_slopes", "slopes", "intercepts" and "variances" the weighted mean of the Euclidean
        distances, after both gates have one gauge. Infinite where no fitted expert is in the cell.

    Raises:
        ValueError: If there is no such expert, or arguments do not fit.

    >>> truth = Mixture.of([[-2.0], [0.0]], [0.0, 0.0], [[1.0], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> fitted = Mixture.of([[-2.0], [0.0]], [0.0, 0.0], [[1.5], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> {name: error.item() for name, error in parameter_errors(fitted, truth).items()}
    {'gate_slopes': 0.0, 'slopes': 0.5, 'intercepts': 0.0, 'variances': 0.0}
    """
    if expert is not None:
        checks.in_range("expert", expert, 0, truth.experts - 1)
    checks.positive("power", power)
    fitted, truth = align_gauge(fitted, truth)
    cells = _distance(_atoms(fitted), _atoms(truth)).argmin(-1)
    chosen = range(truth.experts) if expert is None else [expert]
    shares = [
        fitted.gate_biases.masked_fill(cells != j, -torch.inf).softmax(-1).nan_to_num(torch.inf)
        for j in chosen
    ]
    distances = _group_distances(fitted, truth, cells)
    return {
        name: torch.stack([_mean_in_cell(share, distance, power) for share in shares]).sum(0)
        for name, distance in distances.items()
    }


def _mean_in_cell(share: Tensor, distance: Tensor, power: float) -> Tensor:
    """The power mean by shares; infinite for an empty cell, whose shares are infinite."""
    inside = torch.where(share > 0, share * distance**power, 0.0).sum(-1) ** (1 / power)
    return torch.where(torch.isinf(share).all(-1), torch.inf, inside)


def align_gauge(fitted: Mixture, truth: Mixture) -> tuple[Mixture, Mixture]:
    """Give the truth's last expert the gate 0, and so the fitted one nearest to it."""
    check_single(truth, "truth")
    if fitted.dim != truth.dim:
        raise ValueError(
            f"`fitted` has {fitted.dim} dimensions and `truth` {truth.dim}. Make them agree."
        )
    truth = fix_gauge(truth)
    known = [_experts_only(mixture) for mixture in (fitted, truth)]
    to_last = (known[0] - known[1][-1]).square().sum(-1)
    at = to_last.argmin(-1, keepdim=True)
    slope = fitted.gate_slopes.gather(-2, at[..., None].expand(*at.shape, fitted.dim))
    slopes = fitted.gate_slopes - slope
    moved = Mixture(slopes, fitted.gate_biases, *fitted.tensors()[2:])
    in_last = _distance(_atoms(moved), _atoms(truth)).argmin(-1) == truth.experts - 1
    in_last = in_last.scatter(-1, at, True)
    # Where several share the last cell, it is their weights' sum that becomes 1.
    bias = fitted.gate_biases.masked_fill(~in_last, -torch.inf).logsumexp(-1, keepdim=True)
    return Mixture(slopes, fitted.gate_biases - bias, *fitted.tensors()[2:]), truth


def _experts_only(mixture: Mixture) -> Tensor:
    parts = (mixture.slopes, mixture.intercepts[..., None], mixture.variances[..., None])
    return torch.cat(parts, dim=-1)


def _atoms(mixture: Mixture) -> Tensor:
    return torch.cat([mixture.gate_slopes, _experts_only(mixture)], dim=-1)


def _distance(fitted: Tensor, truth: Tensor) -> Tensor:
    return (fitted[..., :, None, :] - truth).norm(dim=-1)


def _group_distances(fitted: Mixture, truth: Mixture, cells: Tensor) -> dict[str, Tensor]:
    """How far each fitted expert is from its true one in each group of parameters."""
    return {
        "gate_slopes": (fitted.gate_slopes - truth.gate_slopes[cells]).norm(dim=-1),
        "slopes": (fitted.slopes - truth.slopes[cells]).norm(dim=-1),
        "intercepts": (fitted.intercepts - truth.intercepts[cells]).abs(),
        "variances": (fitted.variances - truth.variances[cells]).abs(),
    }


def _over_factorials(values: Tensor, order: int) -> list[Tensor]:
    powers = [torch.ones_like(values)]
    for n in range(1, order + 1):
        powers.append(powers[-1] * values / n)
    return powers


def _side(powers: list[list[Tensor]], weights: Tensor, first: int, second: int) -> Tensor:
    total = torch.zeros_like(weights)
    for by_slope in range(min(first, second) + 1):
        for by_variance in range((second - by_slope) // 2 + 1):
            by_intercept = second - by_slope - 2 * by_variance
            total = total + (
                powers[0][first - by_slope]
                * powers[1][by_slope]
                * powers[2][by_intercept]
                * powers[3][by_variance]
            )
    return (weights * total).sum()
