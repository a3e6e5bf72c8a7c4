"""The closed-form minimum of a deep linear head on free features, as an object to look at."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2s import checks
from l2s.maths import simplex_etf


@dataclass(frozen=True, eq=False)
class LinearHeadSolution:
    r"""A global minimum; made by ``linear_head_solution``.

    Everything follows from one number for each *direction* of the outputs. Without a bias there are
    K directions, and direction k is class k. With a bias there are K - 1 equal ones, at right
    angles to the vector of ones. Tensors are float64.

    Attributes:
        class_sizes: n_k, int64 of shape (classes,).
        weight_decays: λ_j, one for each layer.
        feature_decay: λ_H.
        bias: Whether the last layer has a free bias; then it is 1 / K for every class.
        prices: γ_k = b / n_k, shape (classes,).
        outputs: ρ, how much of its target a direction reaches; shape (directions,).
        singular_values: a, of the product of all layers; shape (directions,).
        loss: The minimum of the whole objective.
        unique: Whether all minima are rotations of this one.
    """

    class_sizes: Int[Tensor, " classes"]
    weight_decays: tuple[float, ...]
    feature_decay: float
    bias: bool
    prices: Float[Tensor, " classes"]
    outputs: Float[Tensor, " directions"]
    singular_values: Float[Tensor, " directions"]
    loss: float
    unique: bool

    @property
    def depth(self) -> int:
        """M, the number of linear layers."""
        return len(self.weight_decays)

    @property
    def living(self) -> Bool[Tensor, " directions"]:
        """Which directions (without a bias: classes) have not collapsed to zero."""
        return self.outputs > 0

    @property
    def layer_energies(self) -> Float[Tensor, " directions"]:
        r"""t, what each layer pays for a direction: equal for all layers and for the features.

        .. math:: t = \lambda_j \sigma_j^2 = \lambda_H n_k \lVert h_k \rVert^2, \qquad
            t^M = a^2 \lambda_1 \cdots \lambda_M
        """
        product = torch.tensor(self.weight_decays, dtype=torch.float64).log().sum()
        return (self.singular_values.square().log() / self.depth + product / self.depth).exp()

    @property
    def mean_lengths(self) -> Float[Tensor, " classes"]:
        r"""Lengths of the class means: :math:`a_k / (a_k^2 + N \lambda_H)` without a bias."""
        return self.mean_gram.diagonal().sqrt()

    @property
    def mean_gram(self) -> Float[Tensor, "classes classes"]:
        """Inner products of the class means: diagonal, or with a bias those of a simplex."""
        return self._between_classes(self._feature_scale().square())

    @property
    def head_gram(self) -> Float[Tensor, "classes classes"]:
        """A A^T, inner products of the rows of the product of all layers."""
        return self._between_classes(self.singular_values.square())

    @property
    def output_matrix(self) -> Float[Tensor, "classes classes"]:
        """What the head says: row k holds the outputs for a sample of class k, bias included."""
        outputs = self._between_classes(self.outputs)
        return outputs + 1 / len(outputs) if self.bias else outputs

    @checks.typed
    def minimiser(
        self, dim: int | None = None, *, generator: torch.Generator | None = None
    ) -> tuple[list[Tensor], Float[Tensor, "samples dim"], Float[Tensor, " classes"] | None]:
        """Return weights, features and bias at which the objective is ``loss``.

        Args:
            dim: The width of the features and of every hidden layer, at least the number of living
                directions; None for the number of directions.
            generator: Turns every hidden layer by a random rotation; None leaves all of them on the
                coordinate axes.

        Returns:
            The weights from the first layer to the last, of shape (width after, width before); the
            features, of shape (samples, dim), class by class; the bias, or None.

        Raises:
            ValueError: Too few dimensions.

        >>> from l2s.geometry.neural_collapse import linear_head_solution
        >>> weights, features, bias = linear_head_solution([2, 1], 2, 1e-3, 1e-3).minimiser(3)
        >>> [tuple(weight.shape) for weight in weights], tuple(features.shape), bias
        ([(3, 3), (2, 3)], (3, 3), None)
        >>> (features @ weights[0].T @ weights[1].T).round(decimals=3)
        tensor([[0.9980, 0.0000],
                [0.9980, 0.0000],
                [0.0000, 0.9970]], dtype=torch.float64)
        """
        living = self.living.nonzero().flatten()
        dim = len(self.outputs) if dim is None else dim
        checks.at_least("dim", dim, max(1, len(living)), "Each living direction needs one.")
        basis = self._basis()[:, living]
        means = torch.zeros(len(basis), dim, dtype=torch.float64)
        means[:, : len(living)] = basis * self._feature_scale()[living]
        roots = self.layer_energies[living].sqrt()
        hidden = torch.zeros(dim, dim, dtype=torch.float64)
        hidden[range(len(living)), range(len(living))] = roots
        last = torch.zeros(len(basis), dim, dtype=torch.float64)
        last[:, : len(living)] = basis * roots
        weights = [hidden / decay**0.5 for decay in self.weight_decays[:-1]]
        weights.append(last / self.weight_decays[-1] ** 0.5)
        if generator is not None:
            turns = [_rotation(dim, generator) for _ in weights]
            means = means @ turns[0].T
            weights = [weight @ turn.T for weight, turn in zip(weights, turns, strict=True)]
            weights[:-1] = [t @ w for t, w in zip(turns[1:], weights[:-1], strict=True)]
        features = means.repeat_interleave(self.class_sizes, dim=0)
        return weights, features, torch.full_like(last[:, 0], 1 / len(last)) if self.bias else None

    def _feature_scale(self) -> Tensor:
        """The factor a / (a^2 + N λ_H) from a direction's output to the class means."""
        a = self.singular_values
        return a / (a.square() + int(self.class_sizes.sum()) * self.feature_decay)

    def _basis(self) -> Tensor:
        """Return the directions as columns, (classes, directions), orthonormal."""
        classes = len(self.class_sizes)
        if not self.bias:
            return torch.eye(classes, dtype=torch.float64)
        length = ((classes - 1) / classes) ** 0.5
        return simplex_etf(classes, classes - 1, length=length, dtype=torch.float64)

    def _between_classes(self, values: Tensor) -> Tensor:
        """Return the matrix that has these values on the directions."""
        if not self.bias:
            return torch.diag(values)
        basis = self._basis()
        return basis @ (values[:, None] * basis.T)


def _rotation(dim: int, generator: torch.Generator) -> Tensor:
    normal = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(normal).Q
