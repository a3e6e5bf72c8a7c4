"""Random features: a first layer that is drawn once and never trained."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks

ACTIVATIONS = ("relu", "tanh", "fourier")


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    r"""A drawn first layer; call it on inputs to get their features.

    .. math:: z(x) = \frac{1}{\sqrt N}\,\phi(W_0^\top x + b)

    Attributes:
        weights: :math:`W_0`, float64 of shape (dim, width).
        phases: b, float64 of shape (width,): zeros, but for Fourier features.
        activation: "relu", "tanh", or "fourier" for :math:`\phi(u) = \sqrt 2 \cos u`.
    """

    weights: Float[Tensor, "dim width"]
    phases: Float[Tensor, " width"]
    activation: str

    @property
    def width(self) -> int:
        """The number of features N."""
        return len(self.phases)

    @checks.typed
    def __call__(self, inputs: Float[Tensor, "samples dim"]) -> Float[Tensor, "samples width"]:
        """Return the features of the inputs, float64, scaled by 1 / sqrt(width).

        Raises:
            ValueError: The inputs have another dimension than the layer, or hold NaN.

        >>> layer = random_features(3, 5, activation="relu")
        >>> layer(torch.zeros(2, 3)).sum()
        tensor(0., dtype=torch.float64)
        """
        if inputs.shape[1] != len(self.weights):
            raise ValueError(
                f"`inputs` has {inputs.shape[1]} columns, but the layer was drawn for "
                f"{len(self.weights)}. Draw it with random_features({inputs.shape[1]}, ...)."
            )
        checks.finite("inputs", inputs)
        before = inputs.double() @ self.weights + self.phases
        return activate(before, self.activation) / math.sqrt(self.width)


@checks.typed
def random_features(
    dim: int,
    width: int,
    *,
    activation: str = "relu",
    scale: float = 1.0,
    generator: torch.Generator | None = None,
) -> RandomFeatures:
    r"""Draw a random first layer, weights :math:`N(0, s^2 / d)`.

    As the width grows, inner products of features become a kernel
    :math:`k(x, x') = \mathbb E\, \phi(w^\top x + b)\, \phi(w^\top x' + b)`. For Fourier features
    with their uniform random phase it is :math:`\exp(-s^2 \lVert x - x' \rVert^2 / 2d)`.

    Args:
        dim: d, the number of inputs; at least 1.
        width: N, the number of features; at least 1.
        activation: "relu", "tanh" or "fourier".
        scale: s, the initial scale, above 0. ReLU features only grow with it; for tanh it sets how
            bent they are, for Fourier features how fast they turn.
        generator: The source of randomness; None means PyTorch's default generator.

    Raises:
        ValueError: A value is out of its range.

    Source: Rahimi and Recht (2007), key ``rahimi2007``, for Fourier features.

    >>> layer = random_features(64, 200, generator=torch.Generator().manual_seed(0))
    >>> layer(torch.ones(10, 64)).shape
    torch.Size([10, 200])
    """
    checks.at_least("dim", dim, 1, "Features need one input or more.")
    checks.at_least("width", width, 1, "Ask for one feature or more.")
    checks.one_of("activation", activation, ACTIVATIONS)
    checks.positive("scale", scale)
    weights = torch.randn(dim, width, generator=generator, dtype=torch.float64)
    phases = torch.zeros(width, dtype=torch.float64)
    if activation == "fourier":
        phases = 2 * math.pi * torch.rand(width, generator=generator, dtype=torch.float64)
    return RandomFeatures(weights * (scale / math.sqrt(dim)), phases, activation)


def activate(before: Tensor, activation: str) -> Tensor:
    """Return phi of the pre-activations."""
    if activation == "relu":
        return before.clamp(min=0)
    if activation == "tanh":
        return before.tanh()
    return math.sqrt(2) * before.cos()
