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
from l2s.geometry.neural_collapse.arguments import (
    Sizes,
    check_labels,
    checked_decays,
    checked_sizes,
)

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
        + \frac{\lambda_H}{2} \lVert H \rVert_F^2, \qquad Z = H W_1^\top \cdots W_M^\top + b,

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
    check_labels(labels, outputs.shape[1])
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
    start: TrainedHead | None = None,
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
        start: A trained head to go on from, in one run, such as the one of a slightly smaller
            decay; then ``dim``, ``starts`` and ``scale`` are not used.
        generator: Draws the starts.

    Returns:
        The best run, and the losses of all.

    Raises:
        ValueError: A size, depth, decay, width or number out of range, or a start of other shapes.

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
    checks.at_least("dim", dim, 1, "A layer has one unit or more.")
    problem = _Problem(
        None, labels, checked_decays(weight_decays, depth), feature_decay, bias, loss
    )
    if start is not None:
        points = [_going_on(start, problem, len(sizes))]
        shapes = problem.shapes_like(start)
    else:
        shapes = problem.shapes(len(sizes), dim, dim)
        points = _random_points(shapes, starts, scale, generator)
    return _best_run(problem, points, shapes, steps)


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
    check_labels(labels, classes)
    checked_sizes(torch.bincount(labels, minlength=classes))
    width = max(features.shape[1], classes) if width is None else width
    checks.at_least("width", width, 1, "A layer has one unit or more.")
    decays = checked_decays(weight_decays, depth)
    problem = _Problem(features.detach().double(), labels, decays, 0.0, bias, loss)
    shapes = problem.shapes(classes, features.shape[1], width)
    return _best_run(problem, _random_points(shapes, starts, scale, generator), shapes, steps)


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is minimised, as a function of a list of parts: weights, free features, bias."""

    features: Tensor | None  # None: they are free
    labels: Tensor
    decays: np.ndarray
    feature_decay: float
    bias: bool
    loss: Loss

    def shapes(self, classes: int, dim: int, width: int) -> list[torch.Size]:
        widths = [dim, *[width] * (len(self.decays) - 1), classes]
        pairs = [torch.Size(pair) for pair in zip(widths[1:], widths, strict=False)]
        free = [torch.Size([len(self.labels), dim])] if self.features is None else []
        return pairs + free + ([torch.Size([classes])] if self.bias else [])

    def shapes_like(self, head: TrainedHead) -> list[torch.Size]:
        return self.shapes(len(head.head), head.features.shape[1], head.weights[0].shape[0])

    def split(self, parts: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor | None]:
        depth = len(self.decays)
        features = parts[depth] if self.features is None else self.features
        return parts[:depth], features, parts[-1] if self.bias else None

    def value(self, parts: list[Tensor]) -> Tensor:
        weights, features, bias = self.split(parts)
        return head_objective(
            weights,
            features,
            self.labels,
            weight_decays=self.decays.tolist(),
            feature_decay=self.feature_decay,
            bias=bias,
            loss=self.loss,
        )


def _random_points(
    shapes: list[torch.Size], starts: int, scale: float, generator: torch.Generator | None
) -> list[Tensor]:
    checks.at_least("starts", starts, 1, "Pass the number of runs.")
    checks.positive("scale", scale)
    entries = sum(shape.numel() for shape in shapes)
    return [
        scale * torch.randn(entries, generator=generator, dtype=torch.float64)
        for _ in range(starts)
    ]


def _going_on(start: TrainedHead, problem: _Problem, classes: int) -> Tensor:
    """Return a trained head as the point to start from."""
    same = (len(start.weights), len(start.head), start.bias is not None, len(start.labels))
    asked = (len(problem.decays), classes, problem.bias, len(problem.labels))
    if same != asked or not torch.equal(start.labels, problem.labels):
        raise ValueError(
            f"`start` has (depth, classes, bias, samples) {same}, but {asked} is asked for, with "
            "the same class sizes. Go on from a head of the same problem."
        )
    parts = [*start.weights, start.features, *([start.bias] if start.bias is not None else [])]
    return torch.cat([part.flatten() for part in parts])


def _best_run(
    problem: _Problem, points: list[Tensor], shapes: list[torch.Size], steps: int
) -> TrainedHead:
    checks.at_least("steps", steps, 1, "Pass the number of iterations.")
    runs = [_lbfgs(problem.value, point, shapes, steps) for point in points]
    point, value, slope = min(runs, key=lambda run: run[1])
    weights, features, bias = problem.split(_parts(point, shapes))
    return TrainedHead(
        weights=weights,
        features=features,
        bias=bias,
        labels=problem.labels,
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
