"""Inference that computes kept filters alone, from channels that are not masked."""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from l2s import checks
from l2s.sparsity.dynamic_pruning.network import (
    ConvBlock,
    DynamicNetwork,
    Pruned,
    check_images,
)


@checks.typed
def skip_block(
    block: ConvBlock,
    inputs: Float[Tensor, "samples channels height width"],
    into: Bool[Tensor, "samples channels"] | None,
    kept: Bool[Tensor, "samples filters"] | None,
) -> Float[Tensor, "samples filters out_height out_width"]:
    """Compute the maps of kept filters, and leave zeros for the others.

    Samples with the same two masks are worked on together: the rows of the weight that are kept,
    and of these the columns that can be other than 0, are gathered into a smaller convolution. One
    mask for all samples is then one convolution, and masks that all differ are one for each sample.

    Args:
        block: In evaluation mode: batch normalisation is a line for each filter.
        inputs: Zero in the channels that ``into`` masks.
        into: Which channels can be other than 0; None for all.
        kept: Which filters to compute; None for all.

    Returns:
        What ``block.pooled(block.maps(inputs) * kept)`` would be, to rounding.

    Raises:
        ValueError: A block in training mode, one with groups, inputs of another number of
            channels, or masks of another shape.

    Source: elkerdawy2022; the gathering is ours.

    >>> block = ConvBlock(2, 3).eval()
    >>> inputs, kept = torch.randn(1, 2, 4, 4), torch.tensor([[True, False, True]])
    >>> skip_block(block, inputs, None, kept)[0, 1].abs().max()
    tensor(0., grad_fn=<MaxBackward1>)
    """
    _check_block(block)
    if inputs.shape[1] != block.conv.in_channels:
        raise ValueError(
            f"`inputs` has {inputs.shape[1]} channels, but the block takes "
            f"{block.conv.in_channels}. Pass what enters the layer."
        )
    conv, norm, samples = block.conv, block.norm, len(inputs)
    scale = norm.weight / (cast("Tensor", norm.running_var) + norm.eps).sqrt()
    shift = norm.bias - cast("Tensor", norm.running_mean) * scale
    everything = inputs.new_ones(samples, 1, dtype=torch.bool)
    if into is None:
        into = everything.expand(samples, conv.in_channels)
    if kept is None:
        kept = everything.expand(samples, conv.out_channels)
    _check_width("into", into, conv.in_channels)
    _check_width("kept", kept, conv.out_channels)
    padding = cast("tuple[int, int]", conv.padding)
    size = inputs.shape[2:]  # a block's maps keep their size
    made = inputs.new_zeros(samples, conv.out_channels, *size)
    pairs, place = torch.cat([into, kept], dim=1).unique(dim=0, return_inverse=True)
    for number, pair in enumerate(pairs):
        rows = (place == number).nonzero()[:, 0]
        columns = pair[: conv.in_channels].nonzero()[:, 0]
        filters = pair[conv.in_channels :].nonzero()[:, 0]
        if not len(filters):
            continue
        if len(columns):
            weight = conv.weight[filters][:, columns] * scale[filters][:, None, None, None]
            some = inputs[rows][:, columns]
            maps = F.conv2d(some, weight, shift[filters], 1, padding)
        else:  # nothing enters: what normalisation makes of zeros
            maps = shift[filters][None, :, None, None].expand(len(rows), -1, *size)
        made[rows[:, None], filters] = F.relu(maps)
    return block.pooled(made)


@checks.typed
def skip_network(
    network: DynamicNetwork, images: Float[Tensor, "samples channels height width"]
) -> Pruned:
    """Run a network under predicted masks: predict first, then compute only kept filters.

    No target is made and no filter is computed that is not kept, so :attr:`Pruned.targets` holds
    None, and the loss is 0. Outputs are those of ``network(images)`` in evaluation mode, to
    rounding.

    Args:
        network: In evaluation mode.
        images: Shape (samples, channels, height, width).

    Raises:
        ValueError: A network in training mode, or with groups; images as in the network's forward.

    >>> from l2s.sparsity.dynamic_pruning import MaskPredictor
    >>> blocks = [ConvBlock(1, 4), ConvBlock(4, 6, predictor=MaskPredictor(4, 6))]
    >>> network = DynamicNetwork(blocks, classes=10, mass=0.8).eval()
    >>> images = torch.randn(5, 1, 8, 8)
    >>> skipped, masked = skip_network(network, images), network(images)
    >>> torch.testing.assert_close(skipped.outputs, masked.outputs)
    """
    check_images(network, images)
    maps, into = images, None
    masks: list[Tensor | None] = []
    for block in network.blocks:
        kept = None
        if block.predictor is not None:
            kept = block.mask(block.predictor(maps).detach(), network.at_least)
        maps = skip_block(block, maps, into, kept)
        masks.append(kept)
        into = kept
    outputs = network.head(maps.mean(dim=(2, 3)))
    nothing = (None,) * len(masks)
    return Pruned(outputs, images.new_zeros(()), tuple(masks), nothing)


def _check_block(block: ConvBlock) -> None:
    if block.training:
        raise ValueError(
            "`block` is in training mode, where batch normalisation needs all maps of a batch. "
            "Call .eval() first."
        )
    if block.conv.groups > 1:
        raise ValueError(
            f"`block` has {block.conv.groups} groups, whose filters read different channels. "
            "Pass a block without groups."
        )


def _check_width(name: str, mask: Tensor, width: int) -> None:
    if mask.shape[1] != width:
        raise ValueError(
            f"`{name}` has shape {tuple(mask.shape)}, but the block has {width} of them. "
            f"Pass shape (samples, {width})."
        )
