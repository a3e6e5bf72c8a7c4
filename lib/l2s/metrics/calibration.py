"""Whether a classifier's confidence is its accuracy: reliability, calibration error, temperature.

Everything here reads two numbers a sample: the confidence c, from 0 to 1, and whether the
prediction was right. Samples are put into bins of equal width by their confidence; bin b is
(b/B, (b+1)/B], and 0 belongs to the first.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2s import checks

_AT_ONCE = 2**22  # resampled samples that are held at a time
_ROUNDING = 1e-6  # a softmax or a mean of them may exceed 1 by its rounding
_Z95 = 1.959963984540054
_STEPS = 100  # of bisection, from a range of e^14: far below rounding


@dataclass(frozen=True, eq=False)
class Reliability:
    """What a reliability diagram shows, bin by bin; see ``reliability``.

    Attributes:
        edges: Ends of the bins, float64 of shape (bins + 1,).
        count: Samples in each bin, int64 of shape (bins,).
        confidence: Mean confidence in each bin, float64 of shape (bins,); NaN in an empty bin.
        accuracy: Share of right predictions in each bin, likewise.
        accuracy_error: Half width of the 95 % interval of the accuracy (Wilson's, the longer side),
            likewise.
    """

    edges: Float[Tensor, " edges"]
    count: Int[Tensor, " bins"]
    confidence: Float[Tensor, " bins"]
    accuracy: Float[Tensor, " bins"]
    accuracy_error: Float[Tensor, " bins"]


@dataclass(frozen=True)
class CalibrationError:
    """An expected calibration error with what is needed to read it.

    Attributes:
        value: The expected calibration error, 0 to 1.
        standard_error: Standard deviation of ``value`` over bootstrap samples.
        chance: What a perfectly calibrated classifier of the same confidences shows on average on
            as many samples: never 0, because an accuracy is measured on a finite bin.
        chance_95: The value that such a classifier exceeds in one of twenty draws.
        signed: Mean confidence minus accuracy: above 0 is overconfident, below 0 underconfident.
    """

    value: float
    standard_error: float
    chance: float
    chance_95: float
    signed: float


@checks.typed
@torch.no_grad()
def top_label(
    probabilities: Float[Tensor, "samples classes"], labels: Int[Tensor, " samples"]
) -> tuple[Float[Tensor, " samples"], Bool[Tensor, " samples"]]:
    """Return the confidence in the first label, and whether that label is right.

    Args:
        probabilities: Shape (samples, classes), from 0 to 1. Rows need not sum to 1: clamped
            outputs of a regression will do.
        labels: Shape (samples,), from 0 to classes - 1.

    Returns:
        Confidence and correctness, both of shape (samples,).

    Raises:
        ValueError: NaN, a value outside 0 to 1, or a label out of range.

    >>> top_label(torch.tensor([[0.7, 0.3], [0.4, 0.6]]), torch.tensor([0, 0]))
    (tensor([0.7000, 0.6000]), tensor([ True, False]))
    """
    _check_unit("probabilities", probabilities)
    _check_labels(labels, probabilities.shape[1])
    confidence, first = probabilities.max(dim=1)
    return confidence, first == labels


@checks.typed
@torch.no_grad()
def reliability(
    confidence: Float[Tensor, " samples"], correct: Bool[Tensor, " samples"], *, bins: int = 15
) -> Reliability:
    r"""Return the accuracy at each level of confidence.

    .. math:: \text{acc}_b = \frac1{n_b}\sum_{i\in b} 1[\text{right}_i],
        \qquad \text{conf}_b = \frac1{n_b}\sum_{i\in b} c_i

    Args:
        confidence: Shape (samples,), from 0 to 1.
        correct: Shape (samples,), bool.
        bins: How many bins of equal width, at least 1.

    Raises:
        ValueError: No sample, NaN, a confidence outside 0 to 1, or no bin.

    Source: guo2017, section 2.

    >>> confidence = torch.tensor([0.1, 0.9, 0.8, 0.7])
    >>> found = reliability(confidence, torch.tensor([False, True, True, False]), bins=2)
    >>> found.count.tolist(), found.confidence[1].item(), found.accuracy[1].item()
    ([1, 3], 0.799..., 0.666...)
    """
    place, edges = _placed(confidence, correct, bins)
    count = place.bincount(minlength=bins)
    sums = torch.zeros(2, bins, dtype=torch.float64, device=place.device)
    sums.index_add_(1, place, torch.stack([confidence.double(), correct.double()]))
    conf, accuracy = sums / count
    return Reliability(edges, count, conf, accuracy, _wilson(accuracy, count))


@checks.typed
@torch.no_grad()
def calibration_error(
    confidence: Float[Tensor, " samples"],
    correct: Bool[Tensor, " samples"],
    *,
    bins: int = 15,
    resamples: int = 1000,
    generator: torch.Generator | None = None,
) -> CalibrationError:
    r"""Return the expected calibration error, its bootstrap error, and its value at chance.

    .. math:: \text{ECE} = \sum_b \frac{n_b}{n}\,\lvert\text{acc}_b - \text{conf}_b\rvert

    The absolute value makes it positive even for a perfect classifier, the more so the fewer
    samples a bin has. So compare ``value`` with ``chance``, not with 0: ``chance`` is the mean of
    the same sum where each sample is right with the probability that its confidence says.

    Args:
        confidence: Shape (samples,), from 0 to 1.
        correct: Shape (samples,), bool.
        bins: How many bins of equal width, at least 1.
        resamples: Draws of the bootstrap and of chance, at least 2.
        generator: Source of those draws.

    Raises:
        ValueError: No sample, NaN, a confidence outside 0 to 1, or a count out of range.

    Source: naeini2015; guo2017, equation 3.

    >>> confidence = torch.tensor([0.9, 0.9, 0.9, 0.9])
    >>> correct = torch.tensor([True, True, False, False])
    >>> error = calibration_error(confidence, correct, generator=torch.Generator().manual_seed(0))
    >>> round(error.value, 6), round(error.signed, 6)
    (0.4, 0.4)
    >>> error.chance < error.value
    True
    """
    place, _ = _placed(confidence, correct, bins)
    checks.at_least("resamples", resamples, 2, "An error bar needs two draws or more.")
    confidence, right = confidence.double(), correct.double()
    gap = right - confidence
    boot, chance = [], []
    device = generator.device if generator is not None else place.device
    for draws in _chunks(resamples, len(gap)):
        picked = torch.randint(len(gap), (draws, len(gap)), generator=generator, device=device)
        picked = picked.to(place.device)
        boot.append(_summed_gaps(gap[picked], place[picked], bins))
        coins = torch.rand(
            draws, len(gap), generator=generator, device=device, dtype=torch.float64
        ).to(place.device)
        drawn = (coins < confidence).double() - confidence
        chance.append(_summed_gaps(drawn, place.expand(draws, -1), bins))
    null = torch.cat(chance)
    return CalibrationError(
        value=float(_summed_gaps(gap[None], place[None], bins)),
        standard_error=float(torch.cat(boot).std()),
        chance=float(null.mean()),
        chance_95=float(null.quantile(0.95)),
        signed=float(-gap.mean()),
    )


@checks.typed
@torch.no_grad()
def fit_temperature(
    logits: Float[Tensor, "samples classes"], labels: Int[Tensor, " samples"]
) -> float:
    r"""Return the temperature that minimises the negative log likelihood.

    .. math:: \min_T\; -\frac1n\sum_i \log\text{softmax}(z_i/T)_{y_i}

    Convex in 1/T, so the root of its derivative is found by bisection: at the answer the mean logit
    of the right label equals the mean logit under the model. Fit it on validation data; dividing
    logits by T changes no prediction.

    Args:
        logits: Shape (samples, classes), finite.
        labels: Shape (samples,), from 0 to classes - 1.

    Returns:
        T, from 1e-3 to 1e3: an end of this range where the best temperature lies beyond it, as it
        does when every label is right (0) or the logits are no better than guessing (infinity).

    Raises:
        ValueError: No sample, NaN, or a label out of range.

    Source: guo2017, section 4.2.

    >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> labels = torch.tensor([0, 0, 0, 1])  # right three times of four: log 3 is the logit to have
    >>> round(fit_temperature(logits, labels), 4)  # 4 / log 3
    3.641
    """
    checks.at_least("len(logits)", len(logits), 1, "Pass a row or more.")
    checks.finite("logits", logits)
    _check_labels(labels, logits.shape[1])
    z = logits.double()
    z = z - z.amax(dim=1, keepdim=True)
    wanted = z.gather(1, labels[:, None].long()).mean()
    low, high = -3.0, 3.0  # decimal logarithm of 1/T
    for _ in range(_STEPS):
        middle = (low + high) / 2
        expected = (F.softmax(z * 10**middle, dim=1) * z).sum(1).mean()
        low, high = (middle, high) if expected <= wanted else (low, middle)
    return float(10 ** (-(low + high) / 2))


def _placed(confidence: Tensor, correct: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Check the input; return the bin of each sample, and the edges."""
    checks.at_least("len(confidence)", len(confidence), 1, "Pass a sample or more.")
    checks.at_least("bins", bins, 1, "Pass the number of bins, such as 15.")
    checks.same_device(confidence=confidence, correct=correct)
    _check_unit("confidence", confidence)
    edges = torch.arange(bins + 1, dtype=torch.float64, device=confidence.device) / bins
    return torch.searchsorted(edges[1:-1].contiguous(), confidence.double().contiguous()), edges


def _summed_gaps(gap: Tensor, place: Tensor, bins: int) -> Tensor:
    """Return the calibration error of each row of (draws, samples)."""
    sums = torch.zeros(len(gap), bins, dtype=torch.float64, device=gap.device)
    return sums.scatter_add_(1, place, gap).abs().sum(1) / gap.shape[1]


def _chunks(draws: int, samples: int) -> list[int]:
    at_once = max(1, _AT_ONCE // samples)
    return [min(at_once, draws - first) for first in range(0, draws, at_once)]


def _wilson(share: Tensor, count: Tensor) -> Tensor:
    """Return the longer arm of Wilson's 95 % interval around the observed share."""
    spread = _Z95**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = (share * (1 - share) * spread + spread.square() / 4).sqrt() / (1 + spread)
    return half + (centre - share).abs()


def _check_unit(name: str, values: Tensor) -> None:
    checks.finite(name, values)
    if values.numel() and not (values.min() >= 0 and values.max() <= 1 + _ROUNDING):
        raise ValueError(
            f"`{name}` reaches from {float(values.min()):.4g} to {float(values.max()):.4g}, but "
            "must lie between 0 and 1. Pass probabilities, such as logits.softmax(1)."
        )


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.numel() and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"`labels` reaches from {int(labels.min())} to {int(labels.max())}, but there are "
            f"{classes} classes. Pass labels from 0 to {classes - 1}."
        )
