"""The objective of a linear head, and a trainer that says which minima it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.optimize import minimize
from torch import Tensor

from l2s import checks
from l2s.geometry.neural_collapse.theory import Sizes, checked_decays, checked_sizes

_MEMORY = 20  # pairs that L-BFGS keeps
_FLAT = 1e-9  # a gradient whose largest entry is below this ends a run

Loss = Literal["squared", "cross_entropy"]


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """The best of several runs, and what became of the others.

    Attributes:
        weights: From the first layer to the last, float64 of shape (width after, width before).
        features: Float64 of shape (samples, dim): free ones as they were trained, given ones as
            they were given.
        bias: Shape (classes,), or None.
        labels: Int64 of shape (samples,).
        loss: The lowest loss.
        losses: The loss of every start, in order. They may differ: with two layers or more there
            are local minima, and the lowest found is an upper bound of the minimum, no more.
        gradient: The largest entry of the gradient at the best point.
    """

    weights: list[Tensor]
    features: Float[Tensor, "samples dim"]
    bias: Float[Tensor, " classes"] | None
    labels: Int[Tensor, " samples"]
    loss: float
    losses: tuple[float, ...]
    gradient: float

    @property
    def head(self) -> Float[Tensor, "classes dim"]:
        """The product of all layers."""
        return _product(self.weights)

    @property
    def class_means(self) -> Float[Tensor, "classes dim"]:
        """The means of the features of each class."""
        sums = torch.zeros_like(self.head)
        counts = torch.bincount(self.labels, minlength=len(sums)).clamp(min=1)
        return sums.index_add(0, self.labels, self.features) / counts[:, None]

    @property
    def outputs(self) -> Float[Tensor, "samples classes"]:
        """What the head says of the features."""
        outputs = self.features @ self.head.T
        return outputs if self.bias is None else outputs + self.bias


@checks.typed
def head_objective(
    weights: Sequence[Tensor],
    features: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    *,
    weight_decays: float | Sequence[float],
    feature_decay: float = 0.0,
    bias: Float[Tensor, " classes"] | None = None,
    loss: Loss = "squared",
) -> Float[Tensor, ""]:
    r"""The loss of a deep linear head on features, with its penalties; differentiable.

    .. math:: \frac{1}{2N} \lVert Z - Y \rVert_F^2
        + \sum_j \frac{\lambda_j}{2} \lVert W_j \rVert_F^2
        + \frac{\lambda_H}{2} \lVert H \rVert_F^2, \qquad Z = W_M \cdots W_1 H + b,

    or with the mean cross-entropy of Z in place of the first term. The bias is not penalised.

    Args:
        weights: W_1 to W_M, each of shape (width after, width before).
        features: One row a sample, (samples, dim).
        labels: From 0 to K - 1, shape (samples,).
        weight_decays: λ_j, one for each layer or one for all; above 0.
        feature_decay: λ_H, at least 0; 0 where the features are given.
        bias: Shape (classes,), or None.
        loss: "squared" or "cross_entropy".

    Returns:
        A scalar tensor.

    Raises:
        ValueError: No layer, labels out of range, or a decay out of range.

    Source: dang2023, the unconstrained features model.

    >>> zero = [torch.zeros(3, 2)]
    >>> head_objective(zero, torch.zeros(4, 2), torch.tensor([0, 1, 2, 0]), weight_decays=0.1)
    tensor(0.5000)
    """
    decays = checked_decays(weight_decays, len(weights)).tolist()
    checks.not_negative("feature_decay", feature_decay)
    outputs = features @ _product(weights).T
    _check_labels(labels, outputs.shape[1])
    outputs = outputs if bias is None else outputs + bias
    if loss == "squared":
        targets = F.one_hot(labels.long(), outputs.shape[1]).to(outputs)
        value = (outputs - targets).square().sum() / (2 * len(features))
    else:
        value = F.cross_entropy(outputs, labels.long())
    penalty = sum(d / 2 * w.square().sum() for d, w in zip(decays, weights, strict=True))
    return value + penalty + feature_decay / 2 * features.square().sum()


@checks.typed
def train_free_features(
    class_sizes: Sizes,
    depth: int,
    weight_decays: float | Sequence[float],
    feature_decay: float,
    *,
    dim: int | None = None,
    bias: bool = False,
    loss: Loss = "squared",
    starts: int = 5,
    scale: float = 0.5,
    steps: int = 5000,
    generator: torch.Generator | None = None,
) -> TrainedHead:
    r"""Minimise ``head_objective`` over the weights *and* the features, from several starts.

    Every run is L-BFGS in float64 from normal numbers. It ends in *a* minimum. With one layer all
    of them are global; with more, a class may be lost too early, or be kept alive at a loss, and
    zero is always a local minimum. So read ``losses``, and compare with ``linear_head_solution``.

    Args:
        class_sizes: n_k, each at least 1.
        depth: M, the number of layers, at least 1.
        weight_decays: λ_j, one for each layer or one for all; above 0.
        feature_decay: λ_H, above 0.
        dim: The width of features and hidden layers; None for twice the number of classes.
        bias: Whether the last layer has a bias, which is not penalised.
        loss: "squared" or "cross_entropy".
        starts: How many runs, at least 1.
        scale: Standard deviation of the numbers at the start, above 0. Small ones are drawn to
            zero.
        steps: The most iterations of a run.
        generator: Draws the starts.

    Returns:
        The best run, and the losses of all.

    Raises:
        ValueError: A size, depth, decay, width or number out of range.

    >>> generator = torch.Generator().manual_seed(0)
    >>> run = train_free_features([6, 3], 2, 1e-2, 1e-2, starts=3, generator=generator)
    >>> from l2s.geometry.neural_collapse import linear_head_solution
    >>> abs(run.loss - linear_head_solution([6, 3], 2, 1e-2, 1e-2).loss) < 1e-9
    True
    """
    sizes = checked_sizes(class_sizes)
    checks.positive("feature_decay", feature_decay)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.from_numpy(sizes))
    dim = 2 * len(sizes) if dim is None else dim
    features = torch.empty(len(labels), dim, dtype=torch.float64)
    return _best_run(
        features, labels, depth, weight_decays, feature_decay,
        free=True, classes=len(sizes), width=dim, bias=bias, loss=loss,
        starts=starts, scale=scale, steps=steps, generator=generator,
    )  # fmt: skip


@checks.typed
def train_linear_head(
    features: Float[Tensor, "samples dim"],
    labels: Int[Tensor, " samples"],
    depth: int,
    weight_decays: float | Sequence[float],
    *,
    width: int | None = None,
    bias: bool = False,
    loss: Loss = "squared",
    starts: int = 5,
    scale: float = 0.5,
    steps: int = 5000,
    generator: torch.Generator | None = None,
) -> TrainedHead:
    """Minimise ``head_objective`` over the weights alone: a deep linear head on real features.

    Args:
        features: Given and fixed; shape (samples, dim), floating.
        labels: From 0 to K - 1, every class at least once; shape (samples,).
        depth: M, at least 1. For depth 1 and the squared loss this is ridge regression.
        weight_decays: λ_j, one for each layer or one for all; above 0.
        width: The width of hidden layers; None for the larger of dim and classes.
        bias: Whether the last layer has a bias, which is not penalised.
        loss: "squared" or "cross_entropy".
        starts: How many runs, at least 1.
        scale: Standard deviation of the numbers at the start, above 0.
        steps: The most iterations of a run.
        generator: Draws the starts.

    Returns:
        The best run, and the losses of all.

    Raises:
        ValueError: NaN, a class without samples, one class, or a number out of range.

    >>> x, y = torch.tensor([[1.0], [1.0], [-1.0]]), torch.tensor([0, 0, 1])
    >>> train_linear_head(x, y, 1, 1.0, starts=1).head  # x^T y / (x^T x + N)
    tensor([[ 0.3333],
            [-0.1667]], dtype=torch.float64)
    """
    checks.finite("features", features)
    classes = int(labels.max()) + 1 if len(labels) else 0
    checks.at_least("labels", classes, 2, "They name fewer than two classes.")
    _check_labels(labels, classes)
    checked_sizes(torch.bincount(labels, minlength=classes))
    return _best_run(
        features.detach().double(), labels, depth, weight_decays, 0.0,
        free=False, classes=classes, width=width or max(features.shape[1], classes),
        bias=bias, loss=loss, starts=starts, scale=scale, steps=steps, generator=generator,
    )  # fmt: skip


def _best_run(
    features: Tensor,
    labels: Tensor,
    depth: int,
    weight_decays: float | Sequence[float],
    feature_decay: float,
    *,
    free: bool,
    classes: int,
    width: int,
    bias: bool,
    loss: Loss,
    starts: int,
    scale: float,
    steps: int,
    generator: torch.Generator | None,
) -> TrainedHead:
    decays = checked_decays(weight_decays, depth).tolist()
    checks.at_least("width", min(width, features.shape[1]), 1, "A layer has one unit or more.")
    checks.at_least("starts", starts, 1, "Pass the number of runs.")
    checks.at_least("steps", steps, 1, "Pass the number of iterations.")
    checks.positive("scale", scale)
    widths = [features.shape[1], *[width] * (depth - 1), classes]
    shapes = [torch.Size(pair) for pair in zip(widths[1:], widths, strict=False)]
    shapes += [features.shape] if free else []
    shapes += [torch.Size([classes])] if bias else []

    def objective(parts: list[Tensor]) -> Tensor:
        return head_objective(
            parts[:depth],
            parts[depth] if free else features,
            labels,
            weight_decays=decays,
            feature_decay=feature_decay,
            bias=parts[-1] if bias else None,
            loss=loss,
        )

    entries = sum(shape.numel() for shape in shapes)
    runs = []
    for _ in range(starts):
        start = scale * torch.randn(entries, generator=generator, dtype=torch.float64)
        runs.append(_lbfgs(objective, start, shapes, steps))
    point, value, slope = min(runs, key=lambda run: run[1])
    parts = _parts(point, shapes)
    return TrainedHead(
        weights=parts[:depth],
        features=parts[depth] if free else features,
        bias=parts[-1] if bias else None,
        labels=labels,
        loss=value,
        losses=tuple(run[1] for run in runs),
        gradient=slope,
    )


def _lbfgs(
    objective: Callable[[list[Tensor]], Tensor],
    start: Tensor,
    shapes: list[torch.Size],
    steps: int,
) -> tuple[Tensor, float, float]:
    """Return the point where L-BFGS ends, its value, and the largest entry of the gradient."""

    def value_and_gradient(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.from_numpy(numbers).requires_grad_()
        value = objective(_parts(point, shapes))
        (gradient,) = torch.autograd.grad(value, point)
        return value.item(), gradient.numpy()

    found = minimize(
        value_and_gradient,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxcor": _MEMORY,
            "maxiter": steps,
            "maxfun": 2 * steps,
            "ftol": 0,
            "gtol": _FLAT,
        },
    )
    return torch.from_numpy(found.x), float(found.fun), float(np.abs(found.jac).max())


def _parts(point: Tensor, shapes: list[torch.Size]) -> list[Tensor]:
    pieces = point.split([shape.numel() for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _product(weights: Sequence[Tensor]) -> Tensor:
    product = weights[0]
    for weight in weights[1:]:
        product = weight @ product
    return product


def _check_labels(labels: Tensor, classes: int) -> None:
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"`labels` runs from {int(labels.min())} to {int(labels.max())}, but must lie between "
            f"0 and {classes - 1}. Pass the number of the class."
        )
