"""Mixed samples: mixup on inputs, on hidden layers, and CutMix on images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from l2s import checks
from l2s.geometry.mixup.pairs import check_classes, check_labels, check_pairs


@dataclass(frozen=True, eq=False)
class Mixed:
    """Mixed samples with what they were made of.

    Attributes:
        values: What was mixed, or what became of it: inputs for ``mixup`` and ``cutmix``, the
            outputs of the last layer for ``manifold_mixup``. Shape (batch, ...).
        first: Class of the sample that has ``share``; integers of shape (batch,).
        second: Class of the other sample; integers of shape (batch,).
        share: λ, the part of the first sample, 0 to 1; of shape (batch,).
    """

    values: Float[Tensor, "batch ..."]
    first: Int[Tensor, " batch"]
    second: Int[Tensor, " batch"]
    share: Float[Tensor, " batch"]

    def targets(self, classes: int) -> Float[Tensor, "batch classes"]:
        """Return ``soft_targets`` of these samples."""
        return soft_targets(self.first, self.second, self.share, classes=classes)


@checks.typed
def mixup(
    inputs: Float[Tensor, "batch ..."],
    labels: Int[Tensor, " batch"],
    *,
    concentration: float = 1.0,
    per_sample: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    r"""Mix each sample with another one of the batch, inputs and labels alike.

    .. math:: \tilde x_b = \lambda x_b + (1 - \lambda) x_{\pi(b)},
        \qquad \lambda \sim \mathrm{Beta}(\beta, \beta)

    with a random permutation π, so that a sample may meet itself or one of its own class.

    Args:
        inputs: Shape (batch, ...), floating: images, or features of any layer.
        labels: Shape (batch,), integers from 0.
        concentration: β, above 0: 1 makes all shares equally likely, less prefers 0 and 1. Papers
            call it alpha.
        per_sample: Draw a share for each sample; False draws one for the batch, as is usual.
        generator: Source of the shares and of the permutation.

    Raises:
        ValueError: An empty batch, a negative label, or a concentration that is not above 0.

    Source: zhang2018, section 2.

    >>> x, labels = torch.eye(4), torch.arange(4)
    >>> mixed = mixup(x, labels, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(mixed.values, mixed.targets(4))  # a one-hot input is its own target
    True
    """
    share, partner = _drawn(inputs, labels, concentration, per_sample, generator)
    return Mixed(_blend(inputs, inputs[partner], share), labels, labels[partner], share)


@checks.typed
def cutmix(
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, " batch"],
    *,
    concentration: float = 1.0,
    per_sample: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    r"""Paste a box of another image of the batch into each image.

    A share λ is drawn from Beta(β, β), and a box whose sides are √(1 - λ) of the image's, rounded
    to pixels, is laid around a random pixel. What reaches over the edge is cut off, so the share
    that comes back is not the drawn one but the part of the pixels that is left:

    .. math:: \lambda = 1 - \frac{\text{pixels of the box in the image}}{\text{pixels of the image}}

    Args:
        images: Shape (batch, channels, height, width), floating.
        labels: Shape (batch,), integers from 0.
        concentration: β, above 0.
        per_sample: Draw a box for each image; False draws one for the batch.
        generator: Source of shares, boxes and permutation.

    Raises:
        ValueError: An empty batch, a negative label, or a concentration that is not above 0.

    Source: yun2019, equations 1 and 2.

    >>> pairs = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 8, 8)
    >>> labels, generator = torch.arange(2), torch.Generator().manual_seed(1)
    >>> mixed = cutmix(pairs, labels, per_sample=True, generator=generator)
    >>> torch.equal(mixed.values.mean((1, 2, 3)), mixed.targets(2)[:, 1])
    True
    """
    drawn, partner = _drawn(images, labels, concentration, per_sample, generator)
    count = len(drawn) if per_sample else 1
    cut = (1 - drawn[:count].double()).sqrt()
    inside = torch.ones(count, 1, 1, dtype=torch.bool, device=images.device)
    for axis, size in enumerate(images.shape[2:]):
        side = (size * cut).round().long()
        centre = torch.randint(size, (count,), generator=generator, device=_device(generator))
        low = centre.to(images.device) - side // 2
        pixel = torch.arange(size, device=images.device)
        within = (pixel >= low[:, None]) & (pixel < (low + side)[:, None])
        inside = inside & (within[:, :, None] if axis == 0 else within[:, None, :])
    pasted = torch.where(inside[:, None], images[partner], images)
    left = 1 - inside.double().mean(dim=(1, 2))
    share = left.to(drawn.dtype).expand(len(images)).contiguous()
    return Mixed(pasted, labels, labels[partner], share)


@checks.typed
def manifold_mixup(
    layers: Sequence[nn.Module] | nn.Sequential,
    inputs: Float[Tensor, "batch ..."],
    labels: Int[Tensor, " batch"],
    *,
    eligible: Sequence[int] | None = None,
    concentration: float = 1.0,
    per_sample: bool = False,
    generator: torch.Generator | None = None,
) -> Mixed:
    r"""Run a network and mix its batch at a layer drawn at random.

    With the layers g_1 ... g_n, and k drawn from ``eligible``,

    .. math:: g_n \circ \dots \circ g_{k+1}\big(\text{mixup}(g_k \circ \dots \circ g_1(x))\big),

    so that k = 0 is ``mixup`` of the inputs.

    Args:
        layers: The network's parts in order; each maps a batch to a batch.
        inputs: Shape (batch, ...), floating.
        labels: Shape (batch,), integers from 0.
        eligible: The k to choose from, each from 0 to the number of layers. None allows all but
            the last, which would mix outputs.
        concentration: β, above 0.
        per_sample: Draw a share for each sample; False draws one for the batch.
        generator: Source of the layer, the shares and the permutation.

    Returns:
        The last layer's outputs as ``values``, with the classes and shares of the mixed batch.

    Raises:
        ValueError: As ``mixup``; no layer to choose from, or one out of range.

    Source: verma2019, section 2.

    >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> mixed = manifold_mixup(network, torch.eye(4), torch.tensor([0, 1, 0, 1]), eligible=[1])
    >>> mixed.values.shape
    torch.Size([4, 2])
    """
    parts = list(layers)
    choices = list(range(len(parts))) if eligible is None else list(eligible)
    checks.at_least("len(eligible)", len(choices), 1, "Name a layer to mix at, such as 0.")
    for choice in choices:
        checks.in_range("eligible", choice, 0, len(parts))
    place = torch.randint(len(choices), (1,), generator=generator, device=_device(generator))
    at = choices[int(place)]
    values: Tensor = inputs
    for part in parts[:at]:
        values = part(values)
    mixed = mixup(
        values,
        labels,
        concentration=concentration,
        per_sample=per_sample,
        generator=generator,
    )
    values = mixed.values
    for part in parts[at:]:
        values = part(values)
    return Mixed(values, mixed.first, mixed.second, mixed.share)


@checks.typed
def soft_targets(
    first: Int[Tensor, " mixed"],
    second: Int[Tensor, " mixed"],
    share: Float[Tensor, " mixed"],
    *,
    classes: int,
) -> Float[Tensor, "mixed classes"]:
    r"""Return the targets of mixed samples: y = λ e_i + (1 - λ) e_j.

    Two of one class give a one-hot row, whatever the share.

    Args:
        first: i, shape (mixed,), from 0 to classes - 1.
        second: j, likewise.
        share: λ, shape (mixed,), from 0 to 1.
        classes: K, at least 2.

    Raises:
        ValueError: A label or a share out of range, or fewer than two classes.

    >>> i, j = torch.tensor([0, 2]), torch.tensor([1, 2])
    >>> soft_targets(i, j, torch.tensor([0.75, 0.5]), classes=3)
    tensor([[0.7500, 0.2500, 0.0000],
            [0.0000, 0.0000, 1.0000]])
    """
    check_classes(classes)
    check_pairs(first, second, share, classes)
    y = share.new_zeros(len(share), classes)
    y.scatter_add_(1, first[:, None].long(), share[:, None])
    return y.scatter_add_(1, second[:, None].long(), 1 - share[:, None])


def _drawn(
    inputs: Tensor,
    labels: Tensor,
    concentration: float,
    per_sample: bool,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """Return the share of each sample, and its partner."""
    checks.at_least("len(inputs)", len(inputs), 1, "Pass a sample or more.")
    checks.positive("concentration", concentration)
    checks.same_device(inputs=inputs, labels=labels)
    check_labels("labels", labels)
    device = _device(generator)
    # numpy's beta works in logarithms where needed, so that a tiny concentration gives 0 or 1, not
    # NaN; torch's takes no generator.
    seed = int(torch.randint(2**62, (1,), generator=generator, device=device))
    shares = np.random.default_rng(seed).beta(concentration, concentration, size=len(inputs))
    if not per_sample:
        shares[:] = shares[0]
    partner = torch.randperm(len(inputs), generator=generator, device=device)
    dtype = inputs.dtype if inputs.dtype == torch.float64 else torch.float32
    share = torch.as_tensor(shares, dtype=dtype, device=inputs.device)
    return share, partner.to(inputs.device)


def _blend(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    weight = share.reshape(-1, *[1] * (own.ndim - 1))
    return (weight * own + (1 - weight) * other).to(own.dtype)


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
