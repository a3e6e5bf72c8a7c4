"""What least squares on random features costs, before it runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import roots_hermitenorm, roots_jacobi
from torch import Tensor

from l2s import checks
from l2s.generalization.double_descent.features import ACTIVATIONS


@checks.typed
def minimum_norm_error(samples: int, width: int, *, signal: float, noise: float) -> float:
    r"""Return the expected excess test error of least squares on Gaussian features, exactly.

    For rows :math:`z \sim N(0, I_N)` and targets :math:`z^\top w + \epsilon` with
    :math:`\lVert w \rVert^2 = S` and :math:`\operatorname{var} \epsilon = \sigma^2`,

    .. math::
        N \le P - 2:\quad \frac{\sigma^2 N}{P - N - 1}, \qquad
        N \ge P + 2:\quad S \Big(1 - \frac PN\Big) + \frac{\sigma^2 P}{N - P - 1},

    and infinite in between: there the solution's expected squared length is.

    Args:
        samples: P, at least 2.
        width: N, at least 1.
        signal: S, at least 0.
        noise: The variance sigma^2, at least 0. What the features cannot see counts as noise.

    Returns:
        The error beyond sigma^2; ``inf`` where \|N - P\| < 2 and the noise is not 0.

    Source: Breiman and Freedman (1983) and Belkin et al. (2020), keys ``breiman1983``,
    ``belkin2020``, theorem 1.

    >>> minimum_norm_error(100, 50, signal=1.0, noise=0.49)
    0.5
    >>> minimum_norm_error(100, 100, signal=1.0, noise=0.49)
    inf
    >>> minimum_norm_error(100, 200, signal=1.0, noise=0.0)  # half the signal is not seen
    0.5
    """
    _check_sizes(samples, width)
    checks.not_negative("signal", signal)
    checks.not_negative("noise", noise)
    missed = signal * max(0.0, 1 - samples / width)
    if noise == 0:
        return missed
    gap = abs(samples - width) - 1
    return missed + noise * min(samples, width) / gap if gap > 0 else math.inf


@dataclass(frozen=True, eq=False)
class SphereSpectrum:
    r"""The eigenvalues of random features on a sphere; see ``sphere_spectrum``.

    Attributes:
        eigenvalues: One for each degree 0, 1, ..., float64 of shape (degrees,).
        multiplicities: How many eigenfunctions share it, float64 of shape (degrees,).
        tail: The sum of all further eigenvalues, each of which is small.
    """

    eigenvalues: Float[Tensor, " degrees"]
    multiplicities: Float[Tensor, " degrees"]
    tail: float


@checks.typed
def sphere_spectrum(
    dim: int, *, activation: str = "relu", scale: float = 1.0, degrees: int = 4
) -> SphereSpectrum:
    r"""Return the spectrum of the features' kernel for inputs uniform on the sphere of radius √d.

    The kernel depends on the angle alone, so its eigenfunctions are the polynomials on the sphere
    (spherical harmonics), and all of one degree share an eigenvalue (Funk and Hecke):

    .. math:: \mu_l = \mathbb E_t\, k(t)\, P_l(t), \qquad p(t) \propto (1 - t^2)^{(d-3)/2},

    with t the cosine of two random inputs and P_l the Legendre polynomial in d dimensions,
    :math:`P_l(1) = 1`.

    Args:
        dim: d, at least 3.
        activation: As in ``random_features``.
        scale: As in ``random_features``.
        degrees: How many degrees to list, at least 2; the rest goes into the tail.

    >>> spectrum = sphere_spectrum(40)
    >>> spectrum.multiplicities.tolist()
    [1.0, 40.0, 819.0, 11440.0]
    >>> total = spectrum.eigenvalues @ spectrum.multiplicities + spectrum.tail
    >>> round(total.item(), 6)  # E relu(u)^2 for a unit Gaussian u
    0.5
    """
    checks.at_least("dim", dim, 3, "On a sphere below three dimensions nothing is spread evenly.")
    checks.one_of("activation", activation, ACTIVATIONS)
    checks.positive("scale", scale)
    checks.at_least("degrees", degrees, 2, "Linear targets need degree 1.")
    half = (dim - 3) / 2
    cosines, weights = roots_jacobi(200, half, half)
    weights = weights / weights.sum()
    kernel = _kernel(cosines, activation, scale)
    legendre = [np.ones_like(cosines), cosines]
    for n in range(1, degrees - 1):
        next_one = ((2 * n + dim - 2) * cosines * legendre[n] - n * legendre[n - 1]) / (n + dim - 2)
        legendre.append(next_one)
    eigenvalues = np.array([(weights * kernel * p).sum() for p in legendre[:degrees]]).clip(min=0)
    multiplicities = np.array([_harmonics(dim, degree) for degree in range(degrees)], dtype=float)
    whole = float(_kernel(np.ones(1), activation, scale)[0])
    tail = max(0.0, whole - float(eigenvalues @ multiplicities))
    return SphereSpectrum(torch.from_numpy(eigenvalues), torch.from_numpy(multiplicities), tail)


@checks.typed
def random_feature_error(
    samples: int,
    width: int,
    *,
    eigenvalues: Float[Tensor, " groups"],
    signal: Float[Tensor, " groups"],
    multiplicities: Float[Tensor, " groups"] | None = None,
    tail: float = 0.0,
    tail_signal: float = 0.0,
    noise: float = 0.0,
    penalty: float = 0.0,
) -> tuple[float, float]:
    r"""Predict bias and variance of ridge regression on random features.

    With the kernel's eigenvalues :math:`\mu`, two numbers solve

    .. math:: P - \frac{P\gamma}{\nu_1} = \operatorname{df}_1(\nu_2), \qquad
        N - \frac{N \nu_1}{\nu_2} = \operatorname{df}_1(\nu_2), \qquad
        \operatorname{df}_j(\nu) = \sum_i \Big(\frac{\mu_i}{\mu_i + \nu}\Big)^j ,

    and with :math:`r = \nu_1 / \nu_2` the errors are

    .. math:: \Upsilon = \frac NP \Big[ (1 - r)^2
            + \frac{r^2 \operatorname{df}_2}{N - \operatorname{df}_2} \Big], \qquad
        \text{variance} = \frac{\sigma^2\, \Upsilon}{1 - \Upsilon},

    .. math:: \text{bias} = \frac{\nu_2^2}{1 - \Upsilon} \Big[ \sum_i \frac{\beta_i^2}
        {(\mu_i + \nu_2)^2} + \chi \sum_i \frac{\beta_i^2 \mu_i}{(\mu_i + \nu_2)^2} \Big], \qquad
        \chi = \frac{1}{N - \operatorname{df}_2} \sum_i \frac{\mu_i}{(\mu_i + \nu_2)^2} .

    They hold as samples and width grow; here they are good to a few per cent from a hundred on.

    Args:
        samples: P, at least 2.
        width: N, at least 1.
        eigenvalues: mu, one for each group of eigenfunctions, at least 0.
        signal: The target's power in each group, the sum of beta^2; at least 0.
        multiplicities: How many eigenfunctions each group has; None means one.
        tail: The sum of infinitely many further eigenvalues, each negligible.
        tail_signal: The target's power there.
        noise: The variance sigma^2 of the noise on training targets.
        penalty: gamma of ``ridge_filter``, at least 0; 0 is the minimum-norm solution.

    Returns:
        Bias and variance; their sum is the expected error on clean test targets. Both are ``inf``
        for N = P without a penalty.

    Raises:
        ValueError: A negative value, or eigenvalues that are too few for so many samples: with a
            finite sum of multiplicities and no tail, it must exceed min(samples, width).

    Source: Defilippis et al. (2024), key ``defilippis2024``, section 3. Extended here by groups and
    a tail.

    >>> spectrum = sphere_spectrum(40)
    >>> one = {"eigenvalues": spectrum.eigenvalues, "multiplicities": spectrum.multiplicities}
    >>> linear = torch.tensor([0.0, 1.0, 0.0, 0.0])
    >>> _, variance = random_feature_error(
    ...     200, 100, **one, tail=spectrum.tail, signal=linear, noise=0.25
    ... )
    >>> round(variance, 4)  # N / (P - N) times the noise
    0.25
    """
    _check_sizes(samples, width)
    for name, value in {
        "tail": tail,
        "tail_signal": tail_signal,
        "noise": noise,
        "penalty": penalty,
    }.items():
        checks.not_negative(name, value)
    groups = _Groups(eigenvalues, signal, multiplicities, tail, tail_signal)
    if samples == width and penalty == 0:
        return math.inf, math.inf if noise else 0.0
    nu, r = _fixed_point(groups, samples, width, samples * penalty)
    df2 = groups.freedom(nu, 2)
    upsilon = width / samples * ((1 - r) ** 2 + r**2 * df2 / (width - df2))
    chi = groups.resolvent(nu) / (width - df2)
    bias = nu**2 / (1 - upsilon) * (groups.missed(nu) + chi * groups.missed_weighted(nu))
    return float(bias), float(noise * upsilon / (1 - upsilon))


class _Groups:
    """The sums over the kernel's spectrum that the equations need."""

    def __init__(
        self,
        eigenvalues: Tensor,
        signal: Tensor,
        multiplicities: Tensor | None,
        tail: float,
        tail_signal: float,
    ) -> None:
        self.mu, self.power = eigenvalues.double().numpy(), signal.double().numpy()
        self.count = (
            np.ones_like(self.mu) if multiplicities is None else multiplicities.double().numpy()
        )
        self.tail, self.tail_signal = tail, tail_signal
        for name, array in {
            "eigenvalues": self.mu,
            "signal": self.power,
            "multiplicities": self.count,
        }.items():
            if not (np.isfinite(array).all() and (array >= 0).all()):
                raise ValueError(
                    f"`{name}` holds {float(array.min())!r}, but must be finite and at least 0. "
                    "Pass 0 or more."
                )

    def freedom(self, nu: float, power: int) -> float:
        rest = self.tail / nu if power == 1 else 0.0
        return float((self.count * (self.mu / (self.mu + nu)) ** power).sum()) + rest

    def resolvent(self, nu: float) -> float:
        return float((self.count * self.mu / (self.mu + nu) ** 2).sum()) + self.tail / nu**2

    def missed(self, nu: float) -> float:
        return float((self.power / (self.mu + nu) ** 2).sum()) + self.tail_signal / nu**2

    def missed_weighted(self, nu: float) -> float:
        return float((self.power * self.mu / (self.mu + nu) ** 2).sum())

    @property
    def rank(self) -> float:
        return math.inf if self.tail else float(self.count[self.mu > 0].sum())


def _fixed_point(groups: _Groups, samples: int, width: int, ridge: float) -> tuple[float, float]:
    """Return nu_2 and nu_1 / nu_2; the degrees of freedom stay below samples and width."""
    most = min(samples, width)
    if groups.rank <= most:
        raise ValueError(
            f"`eigenvalues` hold {groups.rank:.0f} eigenfunctions, but {most} are to be fitted. "
            "Give more of them, or a tail."
        )

    def spare(log_nu: float) -> float:
        return groups.freedom(math.exp(log_nu), 1) - most

    low = _root(spare, -80.0, 80.0)
    if ridge == 0:
        return math.exp(low), max(0.0, 1 - samples / width)

    def balance(log_nu: float) -> float:
        freedom = groups.freedom(math.exp(log_nu), 1)
        left = (max(samples - freedom, 1e-300), max(1 - freedom / width, 1e-300))
        return log_nu + math.log(left[0]) + math.log(left[1]) - math.log(ridge)

    nu = math.exp(_root(balance, low, 80.0))
    return nu, 1 - groups.freedom(nu, 1) / width


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=1e-14, rtol=1e-14))


def _kernel(cosines: np.ndarray, activation: str, scale: float) -> np.ndarray:
    """K as a function of the cosine of two inputs of length √d."""
    if activation == "fourier":
        return np.exp(-(scale**2) * (1 - cosines))
    if activation == "relu":  # Cho and Saul (2009)
        angle = np.arccos(cosines.clip(-1, 1))
        bent = np.sin(angle) + (np.pi - angle) * cosines
        return scale**2 * bent / (2 * np.pi)
    nodes, weights = roots_hermitenorm(80)
    weights = weights / weights.sum()
    inner = np.tanh(scale * nodes)
    across = np.sqrt((1 - cosines**2).clip(min=0))[:, None, None]
    other = np.tanh(scale * (cosines[:, None, None] * nodes[:, None] + across * nodes))
    return np.einsum("a,b,a,cab->c", weights, weights, inner, other)


def _harmonics(dim: int, degree: int) -> int:
    """How many independent harmonics of a degree there are in so many dimensions."""
    if degree == 0:
        return 1
    return (2 * degree + dim - 2) * math.comb(degree + dim - 3, degree - 1) // degree


def _check_sizes(samples: int, width: int) -> None:
    checks.at_least("samples", samples, 2, "Pass two samples or more.")
    checks.at_least("width", width, 1, "Pass one feature or more.")
