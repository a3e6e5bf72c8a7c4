"""Networks with one hidden layer, both layers trained, and their tangent features."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from l2s import checks
from l2s.generalization.double_descent.features import activate

_ACTIVATIONS = ("relu", "tanh")
_NORMALIZE = ("none", "batch", "layer")


class TwoLayerNetwork(nn.Module):
    r"""One hidden layer; all weights and biases are trained.

    .. math:: f(x) = V^\top \phi(\operatorname{norm}(W^\top x + b)) + c

    Weights start as :math:`W \sim N(0, s^2 / d)`, :math:`V \sim N(0, s^2 / h)`, biases at 0.
    PyTorch's own layers have the variances of :math:`s = 1/\sqrt 3`.

    Args:
        dim: d, the number of inputs; at least 1.
        width: h, the number of hidden units; at least 1.
        outputs: K, at least 1.
        activation: "relu" or "tanh".
        scale: s, the initial scale, above 0.
        normalize: "none", or "batch" or "layer" normalisation before the activation.
        generator: The source of the initial weights; None means PyTorch's default generator.

    Raises:
        ValueError: A value is out of its range.

    >>> network = TwoLayerNetwork(64, 20, 10)
    >>> network(torch.zeros(3, 64)).shape
    torch.Size([3, 10])
    >>> sum(p.numel() for p in network.parameters())  # h (d + 1) + K (h + 1)
    1510
    """

    @checks.typed
    def __init__(
        self,
        dim: int,
        width: int,
        outputs: int,
        *,
        activation: str = "relu",
        scale: float = 1.0,
        normalize: str = "none",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, size in {"dim": dim, "width": width, "outputs": outputs}.items():
            checks.at_least(name, size, 1, "A network needs one or more.")
        checks.one_of("activation", activation, _ACTIVATIONS)
        checks.one_of("normalize", normalize, _NORMALIZE)
        checks.positive("scale", scale)
        self.activation = activation
        self.hidden = _layer(dim, width, scale / math.sqrt(dim), generator)
        self.norm = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[
            normalize
        ](width)
        self.readout = _layer(width, outputs, scale / math.sqrt(width), generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, shape (rows, outputs)."""
        before = self.norm(self.hidden(inputs))
        outputs: Tensor = self.readout(activate(before, self.activation))
        return outputs


@checks.typed
def two_layer_threshold(samples: int, *, dim: int, outputs: int) -> float:
    r"""Return the width at which a two-layer network has as many parameters as targets.

    .. math:: h (d + 1) + K (h + 1) = P K
        \quad\Rightarrow\quad h = \frac{K (P - 1)}{d + 1 + K}

    Counting parameters says where interpolation becomes possible, not that training finds it.

    Args:
        samples: P, at least 2.
        dim: d, at least 1.
        outputs: K, at least 1.

    >>> round(two_layer_threshold(200, dim=64, outputs=10), 1)
    26.5
    """
    checks.at_least("samples", samples, 2, "Pass two samples or more.")
    checks.at_least("dim", dim, 1, "Pass one input or more.")
    checks.at_least("outputs", outputs, 1, "Pass one output or more.")
    return outputs * (samples - 1) / (dim + 1 + outputs)


@checks.typed
def tangent_features(
    model: nn.Module, inputs: Float[Tensor, "samples dim"]
) -> Float[Tensor, "values parameters"]:
    r"""Return the derivative of every output at every row in every parameter.

    .. math:: Z_{(i,k),\, j} = \partial f_k(x_i) / \partial \theta_j

    Near its weights a network is a linear model on these features, so ``decompose`` gives the
    modes, the condition number and the stable steps of its training there.

    Args:
        model: A module that maps each row on its own; batch normalisation is used in its evaluation
            mode. Left in the mode that it is in.
        inputs: Floating, of shape (samples, dim).

    Returns:
        Shape (samples * outputs, parameters), outputs running fastest, in the parameters' dtype.

    Source: Jacot et al. (2018), key ``jacot2018``.

    >>> tangent_features(TwoLayerNetwork(4, 3, 2), torch.ones(5, 4)).shape
    torch.Size([10, 23])
    """
    checks.finite("inputs", inputs)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())
    training = model.training
    model.eval()

    def outputs(weights: dict[str, Tensor], row: Tensor) -> Tensor:
        made: Tensor = torch.func.functional_call(model, (weights, buffers), (row[None],))
        return made[0]

    jacobian = torch.func.vmap(torch.func.jacrev(outputs), in_dims=(None, 0))(parameters, inputs)
    model.train(training)
    return torch.cat([part.flatten(2) for part in jacobian.values()], dim=2).flatten(0, 1)


def _layer(
    inputs: int, outputs: int, deviation: float, generator: torch.Generator | None
) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        layer.weight.normal_(0, deviation, generator=generator)
        layer.bias.zero_()
    return layer
