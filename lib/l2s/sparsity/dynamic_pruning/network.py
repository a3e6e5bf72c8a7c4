"""A convolutional network that trains and runs under masks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from l2s import checks
from l2s.sparsity.dynamic_pruning.masks import filter_response, mass_mask
from l2s.sparsity.dynamic_pruning.predictor import MaskPredictor, mask_loss

SOURCES = ("all", "target", "predicted")


class Pruned(NamedTuple):
    """What a network under masks returns.

    Attributes:
        outputs: The scores of the classes, shape (samples, classes).
        loss: The heads' loss, summed over layers; a number, 0 where nothing was predicted.
        masks: The mask of each layer that was executed, shape (samples, filters); None for layers
            that compute everything.
        targets: The masks that each layer's own responses make; None for layers without a head.
    """

    outputs: Tensor
    loss: Tensor
    masks: tuple[Tensor | None, ...]
    targets: tuple[Tensor | None, ...]


class ConvBlock(nn.Module):
    r"""A convolution with batch normalisation, ReLU, and a head that may mask its filters.

    .. math:: o = \operatorname{ReLU}(\operatorname{BN}(\operatorname{conv}(x))), \qquad
        y = \operatorname{pool}(o \odot m)

    Args:
        channels: Input channels.
        filters: Output channels.
        kernel: The kernel's height and width, an odd number; maps keep their size.
        groups: Groups of the convolution, which divide channels and filters.
        pool: A module applied at the end, such as ``nn.MaxPool2d(2)``; None for none.
        predictor: The head; None for a layer that always computes all its filters.

    Raises:
        ValueError: Numbers that make no convolution, or a head of another width.

    >>> block = ConvBlock(3, 8, predictor=MaskPredictor(3, 8))
    >>> block(torch.randn(2, 3, 6, 6)).shape
    torch.Size([2, 8, 6, 6])
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        *,
        kernel: int = 3,
        groups: int = 1,
        pool: nn.Module | None = None,
        predictor: MaskPredictor | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("filters", filters), ("groups", groups)):
            checks.at_least(name, value, 1, "A convolution has one or more.")
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"`kernel` is {kernel}, but must be odd. Pass 1, 3 or 5.")
        for name, value in (("channels", channels), ("filters", filters)):
            if value % groups:
                raise ValueError(
                    f"`{name}` is {value}, which {groups} groups do not divide. "
                    "Pass groups that divide both channels and filters."
                )
        if predictor is not None:
            found = (predictor.channels, len(predictor.bias))
            if found != (channels, filters):
                raise ValueError(
                    f"`predictor` maps {found[0]} channels to {found[1]} filters, but the block "
                    f"has {channels} and {filters}. Pass MaskPredictor({channels}, {filters})."
                )
        self.conv = nn.Conv2d(
            channels, filters, kernel, padding=kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(filters)
        self.pool = pool
        self.predictor = predictor
        # Filters with a logit above this are computed; moved only where shares are matched.
        self.offset: Tensor
        self.register_buffer("offset", torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the block puts out without a mask."""
        return self.pooled(self.maps(inputs))

    def maps(self, inputs: Tensor) -> Tensor:
        """Return o, before the mask and pooling."""
        made: Tensor = F.relu(self.norm(self.conv(inputs)))
        return made

    def pooled(self, maps: Tensor) -> Tensor:
        """Apply what comes after the mask."""
        if self.pool is None:
            return maps
        made: Tensor = self.pool(maps)
        return made

    def mask(self, logits: Tensor, at_least: int, threshold: Tensor | None = None) -> Tensor:
        """Return the mask that logits stand for: those above the threshold, and the largest.

        Without a threshold it is the block's offset.
        """
        kept = logits > (self.offset if threshold is None else threshold)
        if at_least:
            best = logits.argsort(dim=1, descending=True, stable=True)[:, :at_least]
            kept = kept.scatter(1, best, True)
        return kept


def check_images(network: "DynamicNetwork", images: Tensor) -> None:
    """Refuse images that the network cannot take, or that would become NaN."""
    channels = network.blocks[0].conv.in_channels
    if images.shape[1] != channels:
        raise ValueError(
            f"`images` has {images.shape[1]} channels, but the network takes {channels}. "
            f"Pass shape (samples, {channels}, height, width)."
        )
    checks.finite("images", images)


class DynamicNetwork(nn.Module):
    r"""A chain of blocks and a linear classifier, each block under a mask of its filters.

    In training every filter is computed, since the targets are made from all responses; what is
    passed on is masked. So training costs more than without masks, not less. At inference
    :func:`skip_network` computes kept filters alone.

    The loss of the heads is :math:`\sum_l \text{BCE}(z_l, m_l)`. In "decoupled" mode a head reads a
    copy of its input that is cut from the graph: its loss has gradient 0 in every weight of the
    backbone. In "joint" mode the loss reaches earlier layers too. No gradient passes through the
    mask itself in either mode.

    Args:
        blocks: The blocks, from first to last. Those without a head keep all filters unless masks
            are given.
        classes: How many classes the linear classifier has; it reads each map's mean.
        mass: r, the mass of the targets; see :func:`mass_mask`.
        mode: "decoupled" or "joint".
        at_least: How many filters each input keeps in any case, in targets and in predictions. The
            public code has 0.
        positive_weight: As in :func:`mask_loss`; or "balanced" for :math:`(1 - q) / q` with the
            share q of the layer's targets in the batch, so that kept and dropped count the same
            (1 where all or none are kept).
        match_shares: Move each layer's threshold on the logits so that as large a share is
            predicted as the targets have: in training to the batch's own, and along with it the
            running one that evaluation uses.

    Raises:
        ValueError: No block, blocks that do not follow one another, or an option out of its range.

    Source: elkerdawy2022; ``at_least``, ``positive_weight`` and ``match_shares`` are
    ours.

    >>> blocks = [ConvBlock(1, 4), ConvBlock(4, 6, predictor=MaskPredictor(4, 6))]
    >>> network = DynamicNetwork(blocks, classes=10, mass=0.8)
    >>> images = torch.randn(5, 1, 8, 8)
    >>> made = network(images)
    >>> made.outputs.shape, made.masks[0], made.masks[1].shape
    (torch.Size([5, 10]), None, torch.Size([5, 6]))
    >>> (F.cross_entropy(made.outputs, torch.zeros(5).long()) + made.loss).backward()
    """

    def __init__(
        self,
        blocks: Sequence[ConvBlock],
        *,
        classes: int,
        mass: float,
        mode: str = "decoupled",
        at_least: int = 1,
        positive_weight: float | str = 1.0,
        match_shares: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least("len(blocks)", len(blocks), 1, "Pass one block or more.")
        checks.at_least("classes", classes, 1, "Pass the number of classes.")
        checks.one_of("mode", mode, ("decoupled", "joint"))
        for place in range(1, len(blocks)):
            before, after = blocks[place - 1].conv.out_channels, blocks[place].conv.in_channels
            if before != after:
                raise ValueError(
                    f"`blocks[{place}]` takes {after} channels, but the block before it has "
                    f"{before} filters. Pass blocks that follow one another."
                )
        if isinstance(positive_weight, str):
            checks.one_of("positive_weight", positive_weight, ("balanced",))
        else:
            checks.positive("positive_weight", positive_weight)
        mass_mask(torch.ones(1, min(b.conv.out_channels for b in blocks)), mass, at_least=at_least)
        self.blocks: Any = nn.ModuleList(blocks)
        self.head = nn.Linear(blocks[-1].conv.out_channels, classes)
        self.mass, self.mode, self.at_least = mass, mode, at_least
        self.positive_weight, self.match_shares = positive_weight, match_shares

    @checks.typed
    def forward(
        self,
        images: Float[Tensor, "samples channels height width"],
        masks: str | Sequence[Tensor | None] = "predicted",
    ) -> Pruned:
        """Return scores, the heads' loss, and the masks that were executed and aimed at.

        Args:
            images: Shape (samples, channels, height, width).
            masks: "predicted" by the heads; "target", made from the responses themselves, which
                an inference could not know; "all" for the dense network; or a mask for each block
                (None: all), boolean of shape (filters,) or (samples, filters).

        Raises:
            TypeError: A mask that is not boolean.
            ValueError: An unknown name, masks that do not fit the blocks, images with
                another number of channels, or with NaN or infinities.
        """
        check_images(self, images)
        self._check_masks(masks, len(images))
        maps, loss = images, images.new_zeros(())
        executed: list[Tensor | None] = []
        targets: list[Tensor | None] = []
        for place, block in enumerate(self.blocks):
            made = block.maps(maps)
            mask = target = None
            if block.predictor is not None:
                response = filter_response(made.detach())
                target = mass_mask(response, self.mass, at_least=self.at_least)
            if not isinstance(masks, str):
                mask = masks[place]
            elif masks == "target":
                mask = target
            elif masks == "predicted" and target is not None:
                logits = block.predictor(maps.detach() if self.mode == "decoupled" else maps)
                if len(images):
                    weight = self._weight(target)
                    loss = loss + mask_loss(logits, target, positive_weight=weight)
                if self.match_shares and self.training:
                    mask = self._matched(block, logits.detach(), target)
                else:
                    mask = block.mask(logits.detach(), self.at_least)
            if mask is not None:
                mask = mask.expand(len(images), -1)
                made = made * mask[:, :, None, None]
            executed.append(mask)
            targets.append(target)
            maps = block.pooled(made)
        return Pruned(self.head(maps.mean(dim=(2, 3))), loss, tuple(executed), tuple(targets))

    def backbone(self) -> list[nn.Parameter]:
        """Return the weights that the task trains: all but the heads'."""
        heads = {id(parameter) for parameter in self.predictors()}
        return [parameter for parameter in self.parameters() if id(parameter) not in heads]

    def predictors(self) -> list[nn.Parameter]:
        """Return the weights of the heads that predict masks."""
        heads = (block.predictor for block in self.blocks if block.predictor is not None)
        return [parameter for head in heads for parameter in head.parameters()]

    def _weight(self, target: Tensor) -> float:
        if not isinstance(self.positive_weight, str):
            return self.positive_weight
        share = target.double().mean().item()
        return (1 - share) / share if 0 < share < 1 else 1.0

    def _matched(self, block: ConvBlock, logits: Tensor, target: Tensor) -> Tensor:
        """Mask a batch at the threshold that keeps the targets' share, and remember it."""
        wide = logits.float()  # quantiles are not there for half precision
        threshold = wide.quantile(1 - target.float().mean()).to(logits.dtype)
        block.offset += 0.1 * (threshold - block.offset)
        return block.mask(logits, self.at_least, threshold)

    def _check_masks(self, masks: str | Sequence[Tensor | None], samples: int) -> None:
        if isinstance(masks, str):
            checks.one_of("masks", masks, SOURCES)
            return
        if len(masks) != len(self.blocks):
            raise ValueError(
                f"`masks` has {len(masks)} entries for {len(self.blocks)} blocks. "
                "Pass one for each, None where all filters are computed."
            )
        for place, (mask, block) in enumerate(zip(masks, self.blocks, strict=True)):
            if mask is None:
                continue
            if mask.dtype != torch.bool:
                raise TypeError(
                    f"`masks[{place}]` has dtype {mask.dtype}, but must be boolean. "
                    "Pass mask.bool()."
                )
            filters = block.conv.out_channels
            if mask.shape not in ((filters,), (samples, filters)):
                raise ValueError(
                    f"`masks[{place}]` has shape {tuple(mask.shape)}, but the block has {filters} "
                    f"filters. Pass shape ({filters},) or ({samples}, {filters})."
                )
