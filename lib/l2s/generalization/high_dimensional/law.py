r"""The Marchenko-Pastur law of the eigenvalues of :math:`X^\top X` (marchenko1967).

Written in the angle φ of :math:`\lambda = \lambda_- + 2r\sin^2(\varphi/2)`, which runs from one
edge to the other as φ goes from 0 to π, the law has no square roots, and nothing is lost near 0.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks

_POLE = 40.0  # a midpoint rule errs by about exp(-n |log α|): this many leave nothing in float64
_MOST = 100_000


@checks.typed
def mp_edges(ratio: float) -> tuple[float, float]:
    r"""Return where the positive eigenvalues begin and end.

    .. math:: \lambda_\pm = (\sqrt\alpha \pm 1)^2

    Args:
        ratio: α, samples per weight, above 0.

    Returns:
        The lower and the upper edge.

    Raises:
        ValueError: If the ratio is not above 0.

    >>> mp_edges(4.0)
    (1.0, 9.0)
    >>> mp_edges(1.0)  # as many samples as weights: eigenvalues reach down to 0
    (0.0, 4.0)
    """
    checks.positive("ratio", ratio)
    root = math.sqrt(ratio)
    return (root - 1) ** 2, (root + 1) ** 2


@checks.typed
def mp_atom(ratio: float) -> float:
    r"""Return the share of eigenvalues that are 0: directions without data.

    .. math:: (1 - \alpha)_+

    Args:
        ratio: α, samples per weight, above 0.

    Raises:
        ValueError: If the ratio is not above 0.

    >>> mp_atom(0.25), mp_atom(4.0)
    (0.75, 0.0)
    """
    checks.positive("ratio", ratio)
    return max(0.0, 1 - ratio)


@checks.typed
def mp_density(eigenvalue: float | Float[Tensor, "*shape"], ratio: float) -> Float[Tensor, "..."]:
    r"""Density of the positive eigenvalues; the atom at 0 is left out.

    .. math:: \rho(\lambda) = \frac{\sqrt{(\lambda_+ - \lambda)(\lambda - \lambda_-)}}{2\pi\lambda}

    Args:
        eigenvalue: λ, any real numbers; outside the edges the density is 0.
        ratio: α, samples per weight, above 0.

    Returns:
        The density, of λ's shape. It integrates to min(1, α). At α = 1 it is infinite at λ = 0.

    Raises:
        ValueError: If the ratio is not above 0, or an eigenvalue is NaN or infinite.

    >>> mp_density(2.0, 1.0)  # 1 / (2 pi)
    tensor(0.1592, dtype=torch.float64)
    >>> mp_density(torch.tensor([0.0, 9.0]), 1.0)
    tensor([inf, 0.], dtype=torch.float64)
    """
    low, high = mp_edges(ratio)
    x = _doubles("eigenvalue", eigenvalue)
    inside = (x >= low) & (x <= high)
    root = ((high - x) * (x - low)).clamp(min=0).sqrt()
    density = torch.where(inside & (x > 0), root / (2 * math.pi * x), 0.0)
    return torch.where((x == 0) & (low == 0), math.inf, density)


@checks.typed
def mp_cdf(eigenvalue: float | Float[Tensor, "*shape"], ratio: float) -> Float[Tensor, "..."]:
    r"""Share of eigenvalues up to λ, the atom at 0 included.

    .. math:: F(\lambda) = (1-\alpha)_+ + \frac{1}{2\pi}\Big[(1+\alpha)\varphi + 2\sqrt\alpha
        \sin\varphi - 2\,|1-\alpha| \arctan\Big(\sqrt{\tfrac{\lambda_+}{\lambda_-}}
        \tan\tfrac\varphi2\Big)\Big]

    with the angle φ of λ, see the module.

    Args:
        eigenvalue: λ, any real numbers.
        ratio: α, samples per weight, above 0.

    Returns:
        The share, within [0, 1], of λ's shape.

    Raises:
        ValueError: If the ratio is not above 0, or an eigenvalue is NaN or infinite.

    >>> mp_cdf(torch.tensor([-1.0, 0.0, 9.0]), 0.5)
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    low, high = mp_edges(ratio)
    x = _doubles("eigenvalue", eigenvalue)
    half = ((x - low) / (high - low)).clamp(0, 1).sqrt().asin()
    share = mp_atom(ratio) + _mass_below(2 * half, ratio)
    return torch.where(x < 0, 0.0, share.clamp(0, 1))


@checks.typed
def mp_quantile(probability: float | Float[Tensor, "*shape"], ratio: float) -> Float[Tensor, "..."]:
    r"""Eigenvalue below which a given share of all lies: the inverse of ``mp_cdf``.

    Args:
        probability: Shares within [0, 1].
        ratio: α, samples per weight, above 0.

    Returns:
        The smallest λ of which ``mp_cdf`` is at least the share; 0 for shares within the atom.

    Raises:
        ValueError: If the ratio is not above 0, or a share lies outside [0, 1].

    >>> mp_quantile(torch.tensor([0.0, 0.5, 1.0]), 0.5).tolist()
    [0.0, 0.0, 2.914...]
    >>> mp_cdf(mp_quantile(0.3, 2.0), 2.0)
    tensor(0.3000, dtype=torch.float64)
    """
    low, high = mp_edges(ratio)
    share = _doubles("probability", probability)
    if bool(((share < 0) | (share > 1)).any()):
        wrong = float(share[(share < 0) | (share > 1)].reshape(-1)[0])
        raise ValueError(f"`probability` holds {wrong!r}. Pass shares between 0 and 1.")
    mass = share - mp_atom(ratio)
    left, right = torch.zeros_like(mass), torch.full_like(mass, math.pi)
    for _ in range(60):  # halves the angle's interval: 60 leave less than a rounding
        middle = (left + right) / 2
        below = _mass_below(middle, ratio) < mass
        left, right = torch.where(below, middle, left), torch.where(below, right, middle)
    found = low + (high - low) * (right / 2).sin() ** 2
    atom = mp_atom(ratio)
    return torch.where((share <= atom) & (atom > 0), 0.0, found)


@checks.typed
def mp_sample(
    count: int, ratio: float, *, generator: torch.Generator | None = None
) -> Float[Tensor, " count"]:
    """Draw independent eigenvalues from the law.

    The eigenvalues of *one* matrix repel each other and lie far more evenly.

    Args:
        count: How many; at least 1.
        ratio: α, samples per weight, above 0.
        generator: The source of randomness; None means PyTorch's default generator.

    Raises:
        ValueError: If a number is out of its range.

    >>> draws = mp_sample(1000, 0.5, generator=torch.Generator().manual_seed(0))
    >>> bool(((draws == 0).double().mean() - 0.5).abs() < 0.05)
    True
    """
    checks.at_least("count", count, 1, "Draw one eigenvalue or more.")
    return mp_quantile(torch.rand(count, generator=generator, dtype=torch.float64), ratio)


@checks.typed
def mp_stieltjes(penalty: float | Float[Tensor, "*shape"], ratio: float) -> Float[Tensor, "..."]:
    r"""Stieltjes transform at a negative argument: the average of :math:`1/(\lambda + \gamma)`.

    .. math:: m = \int \frac{\rho(\lambda)}{\lambda + \gamma}\,d\lambda, \qquad
        \gamma m^2 + (\gamma + \alpha - 1)\, m - 1 = 0, \quad m > 0

    Args:
        penalty: γ, at least 0.
        ratio: α, samples per weight, above 0.

    Returns:
        m, of γ's shape: infinite at γ = 0 unless α > 1, where it is 1 / (α - 1).

    Raises:
        ValueError: If a penalty is negative or not finite, or the ratio is not above 0.

    >>> mp_stieltjes(0.0, 3.0)
    tensor(0.5000, dtype=torch.float64)
    >>> mp_stieltjes(torch.tensor([0.0, 1.0]), 1.0)
    tensor([   inf, 0.6180], dtype=torch.float64)
    """
    checks.positive("ratio", ratio)
    gamma = _doubles("penalty", penalty)
    if bool((gamma < 0).any()):
        wrong = float(gamma[gamma < 0].reshape(-1)[0])
        raise ValueError(f"`penalty` holds {wrong!r}, but must be at least 0. Pass 0 or more.")
    slope = gamma + ratio - 1
    root = (slope**2 + 4 * gamma).sqrt()
    # Two ways to write the positive root: each is without cancellation on its side.
    m = torch.where(slope > 0, 2 / (slope + root), (root - slope) / (2 * gamma))
    return torch.where((gamma == 0) & (slope <= 0), math.inf, m)


@checks.typed
def mp_nodes(
    ratio: float, nodes: int | None = None
) -> tuple[Float[Tensor, " nodes"], Float[Tensor, " nodes"]]:
    r"""Nodes and weights that average a function over the *positive* eigenvalues.

    .. math:: \int_{\lambda > 0} \rho f \approx \sum_i w_i f(\lambda_i), \qquad
        \lambda_i = \lambda_- + 2r \sin^2\tfrac{\varphi_i}{2}, \quad
        w_i = \frac{(r \sin\varphi_i)^2}{2 n \lambda_i}, \quad r = 2\sqrt\alpha

    at the midpoints :math:`\varphi_i = (i + \frac12)\pi/n`. Everything is periodic in φ, so that
    the midpoint rule errs exponentially little; the atom's part, (1 - α)_+ f(0), is added by hand.

    Args:
        ratio: α, samples per weight, above 0.
        nodes: n, at least 1. None takes as many as 1/λ needs near α = 1, at most 100,000.

    Returns:
        λ_i and w_i.

    Raises:
        ValueError: If a number is out of its range.

    >>> values, weights = mp_nodes(2.0)
    >>> moments = weights.sum().item(), (weights * values).sum().item()
    >>> [round(moment, 12) for moment in moments]  # 1 and α
    [1.0, 2.0]
    """
    checks.positive("ratio", ratio)
    if nodes is None:
        nodes = _default_nodes(ratio)
    checks.at_least("nodes", nodes, 1, "A quadrature has one node or more.")
    values, weights = raw_nodes(torch.tensor([ratio], dtype=torch.float64), nodes)
    return values[0], weights[0] / values[0]


def raw_nodes(ratio: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Return λ and w λ for each of several ratios, shape (ratios, nodes).

    The weights are those for functions that carry a factor 1/λ themselves, and are smooth in α.
    """
    angle = (torch.arange(nodes, dtype=torch.float64) + 0.5) * (math.pi / nodes)
    root = ratio.sqrt()[:, None]
    values = (root - 1) ** 2 + 4 * root * (angle / 2).sin() ** 2
    return values, (2 * root * angle.sin()) ** 2 / (2 * nodes)


def _default_nodes(ratio: float) -> int:
    distance = abs(math.log(ratio))
    return 160 if distance == 0 else min(_MOST, 160 + math.ceil(_POLE / distance))


def _mass_below(angle: Tensor, ratio: float) -> Tensor:
    root = math.sqrt(ratio)
    turned = torch.atan2((1 + root) * (angle / 2).sin(), abs(1 - root) * (angle / 2).cos())
    plain = (1 + ratio) * angle + 2 * root * angle.sin()
    return (plain - 2 * abs(1 - ratio) * turned) / (2 * math.pi)


def _doubles(name: str, value: float | Tensor) -> Tensor:
    tensor = torch.as_tensor(value, dtype=torch.float64)
    checks.finite(name, tensor)
    return tensor
