"""The work of masked convolutions: counted from masks, and predicted from mean shares."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from l2s import checks
from l2s.sparsity.dynamic_pruning.network import DynamicNetwork


class ConvShape(NamedTuple):
    """What the work of a convolution depends on.

    Attributes:
        channels: Input channels C_in.
        filters: Output channels C.
        height: Height H' of the output.
        width: Width W' of the output.
        taps: The kernel's height times its width, K².
        groups: Groups g, which divide both ``channels`` and ``filters``.
    """

    channels: int
    filters: int
    height: int
    width: int
    taps: int
    groups: int = 1


@checks.typed
def conv_flops(
    shape: ConvShape,
    inputs: Bool[Tensor, "*samples channels"] | None = None,
    outputs: Bool[Tensor, "*samples filters"] | None = None,
) -> Float[Tensor, "*samples"]:
    r"""Count the multiplications of a convolution that skips masked channels and filters.

    .. math:: \text{FLOPs}_b = H' W' K^2 \sum_{j=1}^{g} C^{\text{prev}}_{bj}\, k_{bj},

    where :math:`C^{\text{prev}}_{bj}` input channels of group j are not masked, and :math:`k_{bj}`
    of its filters are kept. Without groups this is :math:`H' W' K^2\, C^{\text{prev}}_b k_b`. The
    public code's :math:`k_b C^{\text{prev}}_b / g` for groups is the same where masked channels are
    spread evenly.

    Args:
        shape: The convolution.
        inputs: Which channels enter, shape (samples, channels) or (channels,); None for all.
        outputs: Which filters are kept, shape (samples, filters) or (filters,); None for all.

    Returns:
        For each sample, as float64 (exact up to 2^53); a number where no mask has samples.

    Raises:
        ValueError: A shape below 1, groups that do not divide, or masks of other widths.

    Source: elkerdawy2022 and its public code.

    >>> shape = ConvShape(channels=2, filters=4, height=8, width=8, taps=9)
    >>> conv_flops(shape)  # 8 · 8 · 9 · 2 · 4
    tensor(4608., dtype=torch.float64)
    >>> kept = torch.tensor([[True, True, False, False], [True, False, False, False]])
    >>> conv_flops(shape, torch.tensor([[True, True], [True, False]]), kept)
    tensor([2304.,  576.], dtype=torch.float64)
    """
    _check_shape(shape)
    device = next((mask.device for mask in (inputs, outputs) if mask is not None), None)
    into = _in_groups("inputs", inputs, shape.channels, shape.groups, device)
    out = _in_groups("outputs", outputs, shape.filters, shape.groups, device)
    return shape.height * shape.width * shape.taps * (into * out).sum(dim=-1)


@checks.typed
def network_flops(
    shapes: Sequence[ConvShape], masks: Sequence[Tensor | None]
) -> Float[Tensor, "*samples"]:
    r"""Count the multiplications of a chain of masked convolutions for each sample.

    A filter that is masked in one layer is an input that the next layer need not read, so that
    *both* masks of neighbours count:

    .. math:: \text{FLOPs}_b = \sum_l H'_l W'_l K_l^2\, k_{b, l-1}\, k_{bl} .

    Args:
        shapes: The convolutions, from first to last, as :func:`conv_shapes` gives them.
        masks: For each a boolean mask, shape (samples, filters) or (filters,), or None for all.

    Returns:
        Float64 for each sample; a number where no mask has samples.

    Raises:
        TypeError: A mask that is not boolean.
        ValueError: Not one mask for each convolution, or masks that do not fit.

    Source: elkerdawy2022.

    >>> shapes = [ConvShape(1, 2, 4, 4, 9), ConvShape(2, 2, 4, 4, 9)]
    >>> network_flops(shapes, [None, None])  # 16 · 9 · (1 · 2 + 2 · 2)
    tensor(864., dtype=torch.float64)
    >>> network_flops(shapes, [torch.tensor([[True, False]]), torch.tensor([[True, True]])])
    tensor([432.], dtype=torch.float64)
    """
    _check_chain(shapes, len(masks), "masks")
    total = torch.zeros((), dtype=torch.float64)
    before = None
    for place, (shape, mask) in enumerate(zip(shapes, masks, strict=True)):
        if mask is not None and mask.dtype != torch.bool:
            raise TypeError(
                f"`masks[{place}]` has dtype {mask.dtype}, but must be boolean. Pass mask.bool()."
            )
        total = total + conv_flops(shape, before, mask)
        before = mask
    return total


@checks.typed
def predicted_flops(shapes: Sequence[ConvShape], shares: Sequence[float]) -> float:
    r"""Predict the work from the mean share of filters that each layer keeps.

    .. math:: \sum_l H'_l W'_l K_l^2\, (q_{l-1} C_{l-1})\, (q_l C_l)

    With shares measured on the *dense* network this needs no training. It is exact where counts of
    neighbours are uncorrelated over inputs; otherwise it is off by their covariance.

    Args:
        shapes: As in :func:`network_flops`.
        shares: q for each convolution, between 0 and 1; 1 where nothing is masked.

    Raises:
        ValueError: Not one share for each convolution, a share out of its range, or convolutions
            that do not follow one another.

    Source: elkerdawy2022, which sets its budgets in this way.

    >>> shapes = [ConvShape(1, 2, 4, 4, 9), ConvShape(2, 2, 4, 4, 9)]
    >>> predicted_flops(shapes, [1.0, 0.5])  # 288 · .5 in the second layer, all in the first
    576.0
    """
    _check_chain(shapes, len(shares), "shares")
    total, before = 0.0, 1.0
    for place, (shape, share) in enumerate(zip(shapes, shares, strict=True)):
        checks.in_range(f"shares[{place}]", share, 0.0, 1.0)
        total += before * share * conv_flops(shape).item()
        before = share
    return total


@checks.typed
def conv_shapes(network: DynamicNetwork, height: int, width: int) -> tuple[ConvShape, ...]:
    """List the shapes of a network's convolutions for images of one size.

    Args:
        network: A dynamic network.
        height: The images' height.
        width: The images' width.

    Raises:
        ValueError: A size below 1, or one that the network cannot take.

    >>> from l2s.sparsity.dynamic_pruning import ConvBlock
    >>> from torch import nn
    >>> blocks = [ConvBlock(1, 4, pool=nn.MaxPool2d(2)), ConvBlock(4, 6)]
    >>> for shape in conv_shapes(DynamicNetwork(blocks, classes=10, mass=0.9), 8, 8):
    ...     print(shape)
    ConvShape(channels=1, filters=4, height=8, width=8, taps=9, groups=1)
    ConvShape(channels=4, filters=6, height=4, width=4, taps=9, groups=1)
    """
    checks.at_least("height", height, 1, "Pass the images' height.")
    checks.at_least("width", width, 1, "Pass the images' width.")
    weight = network.blocks[0].conv.weight
    maps = weight.new_zeros(1, network.blocks[0].conv.in_channels, height, width)
    found = []
    with torch.no_grad():
        for block in network.blocks:
            conv = block.conv
            made = conv(maps)
            taps = conv.kernel_size[0] * conv.kernel_size[1]
            tall, wide = made.shape[2:]
            found.append(
                ConvShape(conv.in_channels, conv.out_channels, tall, wide, taps, conv.groups)
            )
            try:
                maps = block.pooled(made)
            except RuntimeError as error:
                raise ValueError(
                    f"`height` and `width` are {height} and {width}, which the network's pooling "
                    f"cannot take. Pass larger ones. ({error})"
                ) from error
    return tuple(found)


@checks.typed
def predictor_flops(network: DynamicNetwork) -> int:
    r"""Count the multiplications of all heads for one sample: :math:`\sum_l n_l^2 C_{l-1} C_l`.

    The paper leaves them out. In a small network they can be a few parts in a hundred.

    Args:
        network: A dynamic network.

    >>> from l2s.sparsity.dynamic_pruning import ConvBlock, MaskPredictor
    >>> blocks = [ConvBlock(1, 4), ConvBlock(4, 6, predictor=MaskPredictor(4, 6, grid=2))]
    >>> predictor_flops(DynamicNetwork(blocks, classes=10, mass=0.9))  # 4 · 4 · 6
    96
    """
    heads = (block.predictor for block in network.blocks)
    return sum(head.weight.numel() for head in heads if head is not None)


def _in_groups(
    name: str, mask: Tensor | None, width: int, groups: int, device: torch.device | None
) -> Tensor:
    """Count the channels of each group that are not masked, as float64."""
    if mask is None:
        return torch.full((groups,), width // groups, dtype=torch.float64, device=device)
    if mask.shape[-1] != width:
        raise ValueError(
            f"`{name}` has shape {tuple(mask.shape)}, but the convolution has {width} of them. "
            f"Pass shape (samples, {width})."
        )
    return mask.unflatten(-1, (groups, width // groups)).sum(dim=-1).double()


def _check_shape(shape: ConvShape) -> None:
    for name, value in shape._asdict().items():
        checks.at_least(f"shape.{name}", value, 1, "Pass a convolution's own numbers.")
    for name in ("channels", "filters"):
        if getattr(shape, name) % shape.groups:
            raise ValueError(
                f"`shape.{name}` is {getattr(shape, name)}, which {shape.groups} groups do not "
                "divide. Pass groups that divide both channels and filters."
            )


def _check_chain(shapes: Sequence[ConvShape], count: int, name: str) -> None:
    if len(shapes) != count:
        raise ValueError(
            f"`{name}` has {count} entries for {len(shapes)} convolutions. Pass one for each."
        )
    for place in range(1, len(shapes)):
        if shapes[place].channels != shapes[place - 1].filters:
            raise ValueError(
                f"`shapes[{place}]` has {shapes[place].channels} channels after "
                f"{shapes[place - 1].filters} filters. Pass convolutions that follow one another."
            )
