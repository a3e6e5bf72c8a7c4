"""What a deep linear head makes of free features under the squared loss (Dang et al., 2023).

Every class is a problem in one variable of its own. With classes of n_k samples, N in all, depth M,
weight decays λ_j and a feature decay λ_H, the class has the *price*

    γ_k = b / n_k,    b = M N (N λ_H λ_1 ... λ_M)^(1/M),

and the minimum of the whole loss is the sum over classes of n_k / (2 N) times the minimum of

    g(x) = 1 / (1 + x^M) + γ_k x    over x >= 0.

x^M = a_k^2 / (N λ_H), where a_k is the singular value of the head that belongs to the class; the
output on the class itself is ρ_k = x^M / (1 + x^M).
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import expit
from torch import Tensor

from l2s import checks
from l2s.geometry.neural_collapse.arguments import (
    Sizes,
    check_depth,
    checked_decays,
    checked_sizes,
)
from l2s.geometry.neural_collapse.solution import LinearHeadSolution

_STEPS = 100  # Newton's method needs about 8; from the right it cannot leave the bracket


@checks.typed
def collapse_price(depth: int) -> float:
    r"""Return τ_M, the price up to which a class lives in the global minimum.

    .. math:: \tau_M = \frac{(M-1)^{(M-1)/M}}{M}, \qquad \tau_1 = 1

    At this price the output jumps from (M - 1) / M to 0: continuously for depth 1 alone.

    Args:
        depth: M, the number of linear layers, at least 1.

    Raises:
        ValueError: A depth below 1.

    Source: dang2023, theorem on imbalanced data; the jump is derived in the chapter.

    >>> [round(collapse_price(depth), 4) for depth in (1, 2, 3, 6)]
    [1.0, 0.5, 0.5291, 0.6373]
    """
    check_depth(depth)
    return (depth - 1) ** ((depth - 1) / depth) / depth


@checks.typed
def metastable_price(depth: int) -> float:
    r"""Return the price up to which a living class is still a *local* minimum.

    .. math:: M \Big(\frac{M-1}{M+1}\Big)^{\frac{M-1}{M}} \Big(\frac{M+1}{2M}\Big)^2

    Between ``collapse_price`` and this one a class that lives stays alive in training, although
    its death would lower the loss. For depth 1 the two are equal.

    Args:
        depth: M, at least 1.

    Raises:
        ValueError: A depth below 1.

    >>> [round(metastable_price(depth), 4) for depth in (1, 2, 3, 6)]
    [1.0, 0.6495, 0.8399, 1.5425]
    """
    check_depth(depth)
    root = ((depth - 1) / (depth + 1)) ** ((depth - 1) / depth)
    return depth * root * ((depth + 1) / (2 * depth)) ** 2


@checks.typed
def class_prices(
    class_sizes: Sizes,
    depth: int,
    weight_decays: float | Sequence[float],
    feature_decay: float,
) -> Float[Tensor, " classes"]:
    r"""Return γ_k = b / n_k for every class: what its output costs next to what it brings.

    .. math:: \gamma_k = \frac{M N}{n_k} \Big(N \lambda_H \prod_j \lambda_j\Big)^{1/M}

    Args:
        class_sizes: n_k, each at least 1.
        depth: M, at least 1.
        weight_decays: λ_j for each layer, or one for all; above 0.
        feature_decay: λ_H, above 0.

    Returns:
        Float64 of shape (classes,), above 0.

    Raises:
        ValueError: A size below 1, one class, a depth below 1, or a decay that is not above 0.

    >>> class_prices([40, 10], 1, 0.01, 0.01)  # N^2 λ_W λ_H / n_k
    tensor([0.0063, 0.0250], dtype=torch.float64)
    """
    sizes = checked_sizes(class_sizes)
    decays = checked_decays(weight_decays, depth)
    checks.positive("feature_decay", feature_decay)
    return torch.from_numpy(_prices(sizes, decays, feature_decay))


@checks.typed
def class_output(
    price: Float[Tensor, " classes"],
    depth: int,
    *,
    branch: Literal["global", "living"] = "global",
) -> Float[Tensor, " classes"]:
    r"""Return ρ, the output of a class on itself, for given prices.

    .. math:: \rho = \frac{x^M}{1 + x^M}, \qquad \frac{M x^{M-1}}{(1 + x^M)^2} = \gamma,

    x the larger root, where it is the global minimum ("global"), or wherever it exists
    ("living", up to ``metastable_price``); 0 elsewhere.

    Args:
        price: γ, above 0, floating; any number of them.
        depth: M, at least 1.
        branch: Which minimum to take where there are two.

    Returns:
        From 0 to below 1, float64.

    Raises:
        ValueError: A price that is not above 0, or a depth below 1.

    >>> class_output(torch.tensor([0.1, 0.49, 0.51]), 2)  # it jumps from 1/2 at a price of 1/2
    tensor([0.8571, 0.5099, 0.0000], dtype=torch.float64)
    >>> class_output(torch.tensor([0.1, 0.49, 0.51]), 2, branch="living")
    tensor([0.8571, 0.5099, 0.4899], dtype=torch.float64)
    >>> class_output(torch.tensor([0.25, 1.0, 4.0]), 1)  # depth 1: 1 - sqrt(price)
    tensor([0.5000, 0.0000, 0.0000], dtype=torch.float64)
    """
    check_depth(depth)
    checks.finite("price", price)
    if len(price) and price.min() <= 0:
        raise ValueError(f"`price` is as low as {float(price.min()):g}, but must be above 0.")
    bound = collapse_price(depth) if branch == "global" else metastable_price(depth)
    log_x = _log_root(price.detach().cpu().double().numpy(), depth, bound)
    return torch.from_numpy(expit(depth * log_x)).to(price.device)


@checks.typed
def linear_head_solution(
    class_sizes: Sizes,
    depth: int,
    weight_decays: float | Sequence[float],
    feature_decay: float,
    width: int | None = None,
    bias: bool = False,
) -> LinearHeadSolution:
    r"""Return the global minimum of a deep linear head on free features, in closed form.

    .. math:: \min_{W_j, H} \; \frac{1}{2N} \lVert H W_1^\top \cdots W_M^\top - Y \rVert_F^2
        + \sum_{j=1}^M \frac{\lambda_j}{2} \lVert W_j \rVert_F^2
        + \frac{\lambda_H}{2} \lVert H \rVert_F^2,

    Y one-hot. At most ``width`` classes live: the largest ones. With a bias (free, not penalised,
    in the last layer; balanced classes alone) the targets lose one direction, and the class means
    are a simplex instead of an orthogonal frame.

    Args:
        class_sizes: n_k, each at least 1; two classes or more.
        depth: M, the number of linear layers, at least 1.
        weight_decays: λ_j from the first layer to the last, or one for all; above 0.
        feature_decay: λ_H, above 0; its penalty sums over all samples.
        width: The narrowest of all feature and layer widths; None for wide enough (K).
        bias: Whether the last layer has a bias.

    Returns:
        Outputs, singular values, lengths, loss, and an explicit minimiser. Where classes of one
        size compete for a narrow width, or a class is exactly at its threshold, the loss is right
        and the rest is one minimiser of several: then ``unique`` is False.

    Raises:
        ValueError: Sizes below 1, one class, a depth or width below 1, decays that are not above 0,
            or a bias with unequal sizes.

    Source: dang2023, theorems for the squared loss; scalar form, thresholds and narrow widths are
    derived in the chapter ``geometry/neural_collapse``.

    >>> solution = linear_head_solution([40, 20, 10, 5], 3, 5e-4, 5e-4)
    >>> solution.outputs
    tensor([0.9976, 0.9960, 0.9933, 0.9887], dtype=torch.float64)
    >>> round(solution.loss, 8)
    0.00789246
    >>> linear_head_solution([40, 20, 10, 5], 1, 0.03, 0.03).living  # the smallest has collapsed
    tensor([ True,  True,  True, False])
    """
    sizes = checked_sizes(class_sizes)
    decays = checked_decays(weight_decays, depth)
    checks.positive("feature_decay", feature_decay)
    if width is not None:
        checks.at_least("width", width, 1, "A layer has one unit or more.")
    if bias and len(set(sizes.tolist())) > 1:
        raise ValueError(
            f"`bias` is True, but `class_sizes` is {sizes.tolist()}. With a bias only equal sizes "
            "have a known solution: pass equal sizes, or bias=False."
        )
    prices = _prices(sizes, decays, feature_decay)
    directions = len(sizes) - 1 if bias else len(sizes)
    rank = directions if width is None else min(width, directions)
    # Largest first; of equal sizes the first ones, which is one choice of several.
    kept = np.argsort(-sizes[:directions], kind="stable")[:rank]
    log_x = np.full(directions, -np.inf)
    log_x[kept] = _log_root(prices[kept], depth, collapse_price(depth))
    outputs = expit(depth * log_x)
    least = 1 - outputs + prices[:directions] * np.exp(log_x)  # the minimum of g
    return LinearHeadSolution(
        class_sizes=torch.from_numpy(sizes),
        weight_decays=tuple(decays.tolist()),
        feature_decay=feature_decay,
        bias=bias,
        prices=torch.from_numpy(prices),
        outputs=torch.from_numpy(outputs),
        singular_values=torch.from_numpy(
            np.sqrt(sizes.sum() * feature_decay) * np.exp(depth * log_x / 2)
        ),
        loss=float((sizes[:directions] * least).sum() / (2 * sizes.sum())),
        unique=_unique(prices, depth, kept, directions),
    )


def _prices(sizes: np.ndarray, decays: np.ndarray, feature_decay: float) -> np.ndarray:
    samples, depth = sizes.sum(), len(decays)
    logs = np.log(decays).sum() + math.log(samples) + math.log(feature_decay)
    return depth * samples * np.exp(logs / depth) / sizes


def _log_root(prices: np.ndarray, depth: int, bound: float) -> np.ndarray:
    r"""Return log x of the larger root where the price is below the bound, and -inf elsewhere.

    With u = log x the equation is φ(u) = log M + (M - 1) u - 2 log(1 + e^(Mu)) - log γ = 0. φ is
    concave and falls beyond its maximum, so Newton's method that starts to the right of the root
    walks down to it and never passes it. log(1 + e^v) >= v gives such a start.
    """
    living = prices < bound
    log_x = np.full(prices.shape, -np.inf)
    log_price = np.log(prices[living])
    if depth == 1:
        log_x[living] = np.log(np.expm1(-log_price / 2))  # x = 1 / sqrt(γ) - 1
        return log_x
    u = (math.log(depth) - log_price) / (depth + 1)
    for _ in range(_STEPS):
        v = depth * u
        value = math.log(depth) + (depth - 1) * u - 2 * np.logaddexp(0, v) - log_price
        step = value / (depth - 1 - 2 * depth * expit(v))
        u = u - step
        if not (np.abs(step) > 4 * np.finfo(float).eps * (1 + np.abs(u))).any():
            break
    log_x[living] = u
    return log_x


def _unique(prices: np.ndarray, depth: int, kept: np.ndarray, directions: int) -> bool:
    """Whether no class sits on its threshold and none that was dropped equals one that was kept."""
    bound = collapse_price(depth)
    if np.isclose(prices, bound, rtol=1e-12, atol=0).any() and depth > 1:
        return False
    dropped = np.setdiff1d(np.arange(directions), kept)
    return not (len(dropped) and prices[dropped].min() <= prices[kept].max() < bound)
