"""Small networks that the tests of dynamic pruning share."""

import torch
from l2s.sparsity.dynamic_pruning import ConvBlock, DynamicNetwork, MaskPredictor
from torch import nn


def drawn(seed):
    """Return a generator that starts at a seed."""
    return torch.Generator().manual_seed(seed)


def network_of(seed=0, grid=1, softmax=False, mass=0.7, **options):
    """Three blocks of 4, 6 and 5 filters; the last two have heads. Its numbers are not trivial."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        blocks = [ConvBlock(1, 4, pool=nn.MaxPool2d(2))]
        for channels, filters in ((4, 6), (6, 5)):
            head = MaskPredictor(channels, filters, grid=grid, softmax=softmax)
            nn.init.normal_(head.weight, std=2.0)
            nn.init.normal_(head.bias, std=0.3)
            blocks.append(ConvBlock(channels, filters, predictor=head))
        network = DynamicNetwork(blocks, classes=3, mass=mass, **options)
        for block in blocks:
            nn.init.uniform_(block.norm.weight, 0.5, 1.5)
            nn.init.normal_(block.norm.bias, std=0.3)
            block.norm.running_mean.normal_(std=0.2)
            block.norm.running_var.uniform_(0.3, 1.5)
    return network


def images_of(samples, seed=1):
    """Random images of 8 x 8."""
    return torch.randn(samples, 1, 8, 8, generator=drawn(seed))
