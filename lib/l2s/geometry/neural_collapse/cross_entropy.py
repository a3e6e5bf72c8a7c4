"""Cross-entropy on free features with one linear layer, balanced: the simplex, in closed form."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks
from l2s.maths import simplex_etf


@dataclass(frozen=True, eq=False)
class CrossEntropySolution:
    r"""A global minimum; made by ``cross_entropy_solution``.

    Attributes:
        margin: c, by how much the logit of the right class exceeds every other; 0 where the
            penalties are so large that everything has collapsed.
        probability: What softmax gives to the right class.
        loss: The minimum of the whole objective.
        mean_length: Length of every class mean.
        weight_length: Length of every row of the classifier.
    """

    classes: int
    samples_per_class: int
    margin: float
    probability: float
    loss: float
    mean_length: float
    weight_length: float

    @checks.typed
    def minimiser(
        self, dim: int, *, generator: torch.Generator | None = None
    ) -> tuple[list[Tensor], Float[Tensor, "samples dim"]]:
        """Return the weight (in a list of one layer) and the features, class by class.

        Args:
            dim: How many features, at least K - 1.
            generator: Turns the simplex; None leaves it in the first K - 1 coordinates.
        """
        frame = simplex_etf(self.classes, dim, generator=generator, dtype=torch.float64)
        means = (self.mean_length * frame).repeat_interleave(self.samples_per_class, dim=0)
        return [self.weight_length * frame], means


@checks.typed
def cross_entropy_solution(
    classes: int, samples_per_class: int, weight_decay: float, feature_decay: float
) -> CrossEntropySolution:
    r"""Return the global minimum for balanced classes and a head of *one* layer, dim >= K - 1.

    .. math:: \min_{W, H} \; \frac1N \sum_i -\log \operatorname{softmax}(W h_i)_{y_i}
        + \frac{\lambda_W}{2} \lVert W \rVert_F^2 + \frac{\lambda_H}{2} \lVert H \rVert_F^2

    The logits are those of a simplex, c (I - 1 1^T / K), with

    .. math:: c = \log\Big(\frac{1}{\sqrt{n \lambda_W \lambda_H}} - (K - 1)\Big)

    as long as this is above 0, and 0 otherwise. A bias does not change it. For deeper heads no
    simplex need be a minimum: see the chapter.

    Args:
        classes: K, at least 2.
        samples_per_class: n, at least 1.
        weight_decay: λ_W, above 0.
        feature_decay: λ_H, above 0; its penalty sums over all samples.

    Returns:
        The margin, the loss, and an explicit minimiser.

    Raises:
        ValueError: One class, no samples, or a decay that is not above 0.

    Source: the closed form is derived in the chapter; zhu2021 for the geometry.

    >>> solution = cross_entropy_solution(10, 10, 1e-3, 1e-3)
    >>> round(solution.margin, 4), round(solution.loss, 5)
    (5.7276, 0.19188)
    >>> cross_entropy_solution(10, 10, 0.1, 0.1).margin  # too dear: everything collapses
    0.0
    """
    checks.at_least("classes", classes, 2, "One class leaves nothing to tell apart.")
    checks.at_least("samples_per_class", samples_per_class, 1, "Pass how many each class has.")
    checks.positive("weight_decay", weight_decay)
    checks.positive("feature_decay", feature_decay)
    price = math.sqrt(samples_per_class * weight_decay * feature_decay)
    margin = math.log(1 / price - (classes - 1)) if price * classes < 1 else 0.0
    probability = 1 / (1 + (classes - 1) * math.exp(-margin))
    # The singular value c is the product of one of W and one of H; the two share the penalty.
    ratio = math.sqrt(samples_per_class * feature_decay / weight_decay)
    length = math.sqrt((classes - 1) / classes)
    return CrossEntropySolution(
        classes=classes,
        samples_per_class=samples_per_class,
        margin=margin,
        probability=probability,
        loss=-math.log(probability) + price * (classes - 1) * margin,
        mean_length=math.sqrt(margin / ratio) * length,
        weight_length=math.sqrt(margin * ratio) * length,
    )
