r"""Dynamic pruning with predicted masks, "fire together, wire together" (elkerdawy2022).

For each input a small head looks at what enters a convolution and predicts which of its filters
will respond strongly; only those are computed. The head's labels are made by the layer itself: the
filters that hold a chosen share r of the responses' mass. This module has the masks, the head and
its loss, a network that trains and runs under masks, inference that skips what is masked, and the
work that this saves, before training and after.

Work is counted in multiplications of a convolution, as the paper does; batch normalisation,
activations and pooling are not counted.

The chapter is ``sparsity/dynamic_pruning``.
"""

from l2s.sparsity.dynamic_pruning.flops import (
    ConvShape,
    conv_flops,
    conv_shapes,
    network_flops,
    predicted_flops,
    predictor_flops,
)
from l2s.sparsity.dynamic_pruning.masks import (
    filter_response,
    magnitude_mask,
    mass_mask,
    random_mask,
    uniform_mask,
)
from l2s.sparsity.dynamic_pruning.network import ConvBlock, DynamicNetwork, Pruned
from l2s.sparsity.dynamic_pruning.predictor import MaskPredictor, constant_logit, mask_loss
from l2s.sparsity.dynamic_pruning.skipping import skip_block, skip_network

__all__ = [
    "ConvBlock",
    "ConvShape",
    "DynamicNetwork",
    "MaskPredictor",
    "Pruned",
    "constant_logit",
    "conv_flops",
    "conv_shapes",
    "filter_response",
    "magnitude_mask",
    "mask_loss",
    "mass_mask",
    "network_flops",
    "predicted_flops",
    "predictor_flops",
    "random_mask",
    "skip_block",
    "skip_network",
    "uniform_mask",
]
