"""The head that predicts a mask from a layer's input, and its loss."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from l2s import checks


class MaskPredictor(nn.Module):
    r"""A head that predicts, from what enters a layer, which of its filters will respond strongly.

    .. math:: z = W \operatorname{softmax}\big(\operatorname{pool}(x)\big) + b,

    where pool averages each channel over a grid of n × n cells (n = 1: over the whole map) and
    the softmax runs over channels. The 1 × 1 convolution W costs :math:`n^2 C_{in} C`
    multiplications an input, little beside the layer's :math:`H' W' K^2 C_{in} C`.

    Args:
        channels: C_in, the channels that enter the layer.
        filters: C, the layer's filters.
        grid: n, at least 1.
        softmax: Take the softmax, as the public code does by default; without it the averages go
            in as they are.
        generator: The source of the first weights; None means PyTorch's default generator.

    Raises:
        ValueError: A number below 1.

    Source: elkerdawy2022 and its public code.

    >>> head = MaskPredictor(16, 32)
    >>> head(torch.randn(5, 16, 4, 4)).shape
    torch.Size([5, 32])
    >>> head(torch.randn(5, 8, 4, 4))
    Traceback (most recent call last):
    ValueError: `inputs` has 8 channels, but this predictor takes 16. Pass what enters the layer...
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        *,
        grid: int = 1,
        softmax: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        checks.at_least("channels", channels, 1, "A layer has one channel or more.")
        checks.at_least("filters", filters, 1, "A layer has one filter or more.")
        checks.at_least("grid", grid, 1, "Pool to one cell or more.")
        self.channels, self.grid, self.softmax = channels, grid, softmax
        width = channels * grid**2
        device = None if generator is None else generator.device
        drawn = torch.rand(filters, width, 1, 1, generator=generator, device=device) * 2 - 1
        self.weight = nn.Parameter(drawn / width**0.5)
        self.bias = nn.Parameter(torch.zeros(filters))

    @checks.typed
    def forward(
        self, inputs: Float[Tensor, "samples channels height width"]
    ) -> Float[Tensor, "samples filters"]:
        """Return the logits z; a filter is predicted to respond where they are above 0.

        Args:
            inputs: x, shape (samples, channels, height, width).

        Raises:
            ValueError: Other than four axes, another number of channels, or maps without a place.
        """
        if inputs.shape[1] != self.channels:
            raise ValueError(
                f"`inputs` has {inputs.shape[1]} channels, but this predictor takes "
                f"{self.channels}. Pass what enters the layer that it stands before."
            )
        checks.at_least("inputs.shape[2:].numel()", inputs.shape[2:].numel(), 1, "Pass whole maps.")
        pooled = F.adaptive_avg_pool2d(inputs, self.grid)
        if self.softmax:
            pooled = pooled.softmax(dim=1)
        cells = pooled.flatten(1)[:, :, None, None]
        return F.conv2d(cells, self.weight, self.bias).flatten(1)


@checks.typed
def mask_loss(
    logits: Float[Tensor, "samples filters"],
    targets: Bool[Tensor, "samples filters"],
    *,
    positive_weight: float = 1.0,
) -> Float[Tensor, ""]:
    r"""Return the binary cross-entropy of predicted masks.

    .. math:: -\frac{1}{BC} \sum_{bc} \Big[ w\, m_{bc} \log \sigma(z_{bc})
        + (1 - m_{bc}) \log\big(1 - \sigma(z_{bc})\big) \Big]

    Args:
        logits: z, shape (samples, filters).
        targets: m, the masks made from the layer's own output.
        positive_weight: w, above 0: what a filter that is to be kept counts, against 1 for one
            that is not. The paper has 1; :func:`constant_logit` says what it moves.

    Raises:
        ValueError: A weight that is not positive, shapes that differ, nothing to average, or NaN
            or infinite logits.

    Source: elkerdawy2022; w is ours.

    >>> mask_loss(torch.zeros(1, 2), torch.tensor([[True, False]]))  # log 2
    tensor(0.6931)
    """
    checks.positive("positive_weight", positive_weight)
    checks.at_least("logits.numel()", logits.numel(), 1, "Pass one sample or more.")
    checks.finite("logits", logits)
    weight = logits.new_tensor(positive_weight)
    return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), pos_weight=weight)


@checks.typed
def constant_logit(share: float, *, positive_weight: float = 1.0) -> float:
    r"""Return the logit that a head settles on if its input tells it nothing.

    .. math:: z^* = \log \frac{w\, q}{1 - q}

    minimises :func:`mask_loss` over constants if a filter is kept for a share q of the inputs. It
    is negative, and the filter is never computed, whenever :math:`w\,q < 1 - q`; without a weight
    that is q < 1/2.

    Args:
        share: q, strictly between 0 and 1.
        positive_weight: w, above 0.

    Raises:
        ValueError: A number out of its range.

    >>> round(constant_logit(0.25), 3)  # log(1/3)
    -1.099
    >>> abs(constant_logit(0.25, positive_weight=3.0)) < 1e-12
    True
    """
    if not 0 < share < 1:
        raise ValueError(
            f"`share` is {share!r}, but must lie strictly between 0 and 1: else the best logit is "
            "infinite. Pass a share such as 0.25."
        )
    checks.positive("positive_weight", positive_weight)
    return math.log(positive_weight * share / (1 - share))
