"""Drawn data whose right answer is known exactly: a mixture, a linear teacher, flipped labels."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2s import checks


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Points of several Gaussian classes, and the mixture that they were drawn from.

    Attributes:
        points: The sample, float32 of shape (samples, dim).
        labels: The class of each point, int64 of shape (samples,).
        means: The class centres, float32 of shape (classes, dim).
        priors: The probability of each class, float32 of shape (classes,), falling.
        standard_deviation: That of every class in every direction.
    """

    points: Float[Tensor, "samples dim"]
    labels: Int[Tensor, " samples"]
    means: Float[Tensor, "classes dim"]
    priors: Float[Tensor, " classes"]
    standard_deviation: float

    @checks.typed
    def posterior(self, points: Float[Tensor, "points dim"]) -> Float[Tensor, "points classes"]:
        r"""Return the exact probability of each class given each point.

        .. math:: p(c \mid x) \propto \pi_c \exp(-\lVert x - \mu_c \rVert^2 / 2\sigma^2)

        Args:
            points: Floating, of shape (points, dim); these need not be the sample's own.

        Raises:
            ValueError: The points have another dimension than the mixture, or hold NaN.

        >>> mixture = gaussian_mixture(5, classes=2, dim=3, separation=4.0)
        >>> midpoint = mixture.means.mean(0, keepdim=True)
        >>> mixture.posterior(midpoint)
        tensor([[0.5000, 0.5000]])
        """
        if points.shape[1] != self.means.shape[1]:
            raise ValueError(
                f"`points` has shape {tuple(points.shape)}, but this mixture has dimension "
                f"{self.means.shape[1]}. Pass points of that dimension."
            )
        checks.finite("points", points)
        means, variance = self.means.double(), self.standard_deviation**2
        # The term |x|^2 is the same for all classes, so softmax drops it.
        fit = (points.double() @ means.T - means.square().sum(1) / 2) / variance
        return (fit + self.priors.double().log()).softmax(1).to(points.dtype)

    @checks.typed
    def bayes_prediction(self, points: Float[Tensor, "points dim"]) -> Int[Tensor, " points"]:
        """Return the most probable class of each point: no classifier errs less often.

        Args:
            points: Floating, of shape (points, dim).

        Raises:
            ValueError: The points have another dimension than the mixture, or hold NaN.

        >>> mixture = gaussian_mixture(5, classes=3, dim=3, separation=4.0)
        >>> mixture.bayes_prediction(mixture.means)
        tensor([0, 1, 2])
        """
        return self.posterior(points).argmax(1)

    def bayes_error(self) -> float:
        """Estimate the least possible error rate: the mean of 1 - max posterior over the sample.

        It is unbiased, with a standard error below 0.5 / sqrt(samples). Two equally likely classes
        have the exact value Phi(-separation / (2 standard_deviation)).

        >>> easy = gaussian_mixture(100, classes=4, dim=8, separation=100.0)
        >>> easy.bayes_error()
        0.0
        """
        surest = self.posterior(self.points).double().max(1).values
        return float((1 - surest).mean())


@checks.typed
def gaussian_mixture(
    samples: int,
    *,
    classes: int,
    dim: int,
    separation: float,
    imbalance: float = 1.0,
    standard_deviation: float = 1.0,
    generator: torch.Generator | None = None,
) -> GaussianMixture:
    """Draw points from Gaussian classes that are equally far from one another.

    Labels are drawn from the priors, then points around their class's mean. The means are a
    randomly turned regular simplex about 0, so that any two are ``separation`` apart. Where
    ``dim < classes - 1`` no such simplex exists: then the means are Gaussian draws, scaled so that
    the closest two are ``separation`` apart.

    **Ground truth:** means, priors and standard deviation, hence the exact posterior, the best
    possible prediction and its error (methods of the result).

    Args:
        samples: How many points; at least 1.
        classes: How many classes; at least 2.
        dim: The dimension of the points; at least 1.
        separation: The distance between means, in the points' unit; at least 0.
        imbalance: The prior of the first class over that of the last, at least 1; in between the
            priors fall geometrically. A rare class may be absent from a small sample.
        standard_deviation: That of every class in every direction; above 0.
        generator: The source of randomness; None means PyTorch's default generator.

    Raises:
        ValueError: A value is out of its range.

    >>> mixture = gaussian_mixture(6, classes=3, dim=2, separation=4.0, imbalance=100.0)
    >>> mixture.points.shape, mixture.labels.shape
    (torch.Size([6, 2]), torch.Size([6]))
    >>> torch.allclose(torch.pdist(mixture.means), torch.tensor(4.0))
    True
    >>> mixture.priors
    tensor([0.9009, 0.0901, 0.0090])
    """
    checks.at_least("samples", samples, 1, "Ask for one point or more.")
    checks.at_least("classes", classes, 2, "A mixture has two classes or more.")
    checks.at_least("dim", dim, 1, "Points have one dimension or more.")
    checks.not_negative("separation", separation)
    checks.positive("standard_deviation", standard_deviation)
    if not (math.isfinite(imbalance) and imbalance >= 1):
        raise ValueError(
            f"`imbalance` is {imbalance!r}, but must be finite and at least 1 (the largest prior "
            "over the smallest). Pass 1 for equal priors."
        )
    means = separation * _spread_directions(classes, dim, generator)
    falling = imbalance ** -(torch.arange(classes, dtype=torch.float64) / (classes - 1))
    priors = falling / falling.sum()
    labels = torch.multinomial(priors, samples, replacement=True, generator=generator)
    noise = torch.randn(samples, dim, generator=generator)
    return GaussianMixture(
        points=means.float()[labels] + standard_deviation * noise,
        labels=labels,
        means=means.float(),
        priors=priors.float(),
        standard_deviation=float(standard_deviation),
    )


@dataclass(frozen=True, eq=False)
class LinearTeacher:
    """A regression sample, and the linear function behind it.

    Attributes:
        inputs: Float32 of shape (samples, dim).
        targets: Float32 of shape (samples,).
        weights: The teacher, a unit vector, float32 of shape (dim,).
        noise: The standard deviation of the noise on the targets.
    """

    inputs: Float[Tensor, "samples dim"]
    targets: Float[Tensor, " samples"]
    weights: Float[Tensor, " dim"]
    noise: float

    @property
    def irreducible_error(self) -> float:
        """The mean squared error of the teacher itself, noise^2: no predictor has less."""
        return self.noise**2

    @checks.typed
    def risk(self, weights: Float[Tensor, " dim"]) -> float:
        r"""Return the exact expected squared error of a linear predictor on a fresh row.

        .. math:: \mathbb E (x^\top w - y)^2 = \lVert w - w^* \rVert^2 + \sigma^2

        Args:
            weights: The predictor w, floating, of shape (dim,).

        Raises:
            ValueError: The weights have another dimension than the teacher, or hold NaN.

        >>> teacher = linear_teacher(10, dim=3, noise=0.5)
        >>> teacher.risk(teacher.weights)
        0.25
        """
        if weights.shape != self.weights.shape:
            raise ValueError(
                f"`weights` has shape {tuple(weights.shape)}, but the teacher has "
                f"{tuple(self.weights.shape)}. Pass one weight an input."
            )
        checks.finite("weights", weights)
        distance = (weights.double() - self.weights.double()).square().sum()
        return float(distance) + self.irreducible_error


@checks.typed
def linear_teacher(
    samples: int, *, dim: int, noise: float = 0.0, generator: torch.Generator | None = None
) -> LinearTeacher:
    r"""Draw a regression problem whose best predictor and least error are known.

    .. math:: y = x^\top w^* + \sigma\epsilon, \qquad x \sim N(0, I), \quad \lVert w^* \rVert = 1

    The signal has variance 1, so the signal-to-noise ratio is 1 / noise^2.

    **Ground truth:** the teacher's weights, the noise, and so the exact risk of any linear
    predictor (``risk``) and the least one (``irreducible_error``).

    Args:
        samples: How many rows; at least 1.
        dim: How many inputs; at least 1.
        noise: The standard deviation of the noise; at least 0.
        generator: The source of randomness; None means PyTorch's default generator.

    Raises:
        ValueError: A value is out of its range.

    >>> data = linear_teacher(100, dim=3)
    >>> torch.allclose(data.inputs @ data.weights, data.targets)
    True
    """
    checks.at_least("samples", samples, 1, "Ask for one row or more.")
    checks.at_least("dim", dim, 1, "A teacher has one input or more.")
    checks.not_negative("noise", noise)
    weights = torch.nn.functional.normalize(torch.randn(dim, generator=generator), dim=0)
    inputs = torch.randn(samples, dim, generator=generator)
    targets = inputs @ weights + noise * torch.randn(samples, generator=generator)
    return LinearTeacher(inputs=inputs, targets=targets, weights=weights, noise=float(noise))


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels of which some were flipped, and which.

    Attributes:
        labels: The noisy labels, int64 of shape (samples,).
        flipped: Where they differ from the clean ones, bool of shape (samples,).
        transition: Row i is the distribution of the noisy label of class i, float32 of shape
            (classes, classes).
    """

    labels: Int[Tensor, " samples"]
    flipped: Bool[Tensor, " samples"]
    transition: Float[Tensor, "classes classes"]


@checks.typed
def flip_labels(
    labels: Int[Tensor, " samples"],
    *,
    classes: int,
    rate: float,
    kind: str = "symmetric",
    generator: torch.Generator | None = None,
) -> NoisyLabels:
    """Flip each label to a wrong one with a given probability, independently.

    **Ground truth:** which labels were flipped, and the transition matrix. Its row i has 1 - rate
    on the diagonal; the rest is spread evenly over all other classes ("symmetric") or falls on the
    next class, i + 1 modulo ``classes`` ("pair"). A flipped label is always wrong.

    Args:
        labels: Clean labels from 0 to ``classes - 1``, of shape (samples,).
        classes: How many classes there are; at least 2.
        rate: The probability of a flip, 0 to 1; the share in a sample varies about it.
        kind: "symmetric" or "pair".
        generator: The source of randomness, on the labels' device; None means PyTorch's default
            generator.

    Raises:
        ValueError: No labels, a label outside the classes, or a value out of its range.

    >>> noisy = flip_labels(torch.tensor([0, 1, 2]), classes=3, rate=1.0, kind="pair")
    >>> noisy.labels
    tensor([1, 2, 0])
    >>> flip_labels(torch.tensor([0, 1, 2]), classes=3, rate=0.2).transition
    tensor([[0.8000, 0.1000, 0.1000],
            [0.1000, 0.8000, 0.1000],
            [0.1000, 0.1000, 0.8000]])
    """
    checks.at_least("classes", classes, 2, "A label can only flip between two classes or more.")
    checks.at_least("len(labels)", len(labels), 1, "Pass one label or more.")
    checks.in_range("rate", rate, 0.0, 1.0)
    checks.one_of("kind", kind, ("symmetric", "pair"))
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"`labels` go from {low} to {high}, but must lie between 0 and {classes - 1}. "
            "Pass the right number of `classes`, or renumber the labels."
        )
    device = labels.device
    flipped = torch.rand(len(labels), generator=generator, device=device) < rate
    last_step = classes if kind == "symmetric" else 2
    step = torch.randint(1, last_step, labels.shape, generator=generator, device=device)
    wrong = (labels.long() + step) % classes
    return NoisyLabels(
        labels=torch.where(flipped, wrong, labels.long()),
        flipped=flipped,
        transition=_transition(classes, rate, kind).to(device),
    )


def _spread_directions(classes: int, dim: int, generator: torch.Generator | None) -> Tensor:
    """Return ``classes`` points, float64, of which the closest two are 1 apart."""
    if dim < classes - 1:
        draws = torch.randn(classes, dim, generator=generator, dtype=torch.float64)
        return (draws - draws.mean(0)) / torch.pdist(draws).min()
    # An orthonormal basis of the vectors that sum to 0: its rows are a regular simplex, sqrt(2)
    # apart, which an isometry into `dim` dimensions then turns at random.
    with_ones = torch.eye(classes, dtype=torch.float64)
    with_ones[:, 0] = 1
    simplex = torch.linalg.qr(with_ones).Q[:, 1:]
    turn = torch.linalg.qr(
        torch.randn(dim, classes - 1, generator=generator, dtype=torch.float64)
    ).Q
    return simplex @ turn.T / math.sqrt(2)


def _transition(classes: int, rate: float, kind: str) -> Tensor:
    stay = torch.eye(classes)
    wrong = stay.roll(1, dims=1) if kind == "pair" else (1 - stay) / (classes - 1)
    return (1 - rate) * stay + rate * wrong
