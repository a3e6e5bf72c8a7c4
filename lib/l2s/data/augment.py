"""Two random views of every image: the positive pairs of contrastive learning."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from l2s import checks


@dataclass(frozen=True, eq=False)
class TwoViews:
    """Two independent augmentations: row i of each view comes from image i."""

    view_a: Float[Tensor, "samples ..."]
    view_b: Float[Tensor, "samples ..."]


@checks.typed
def two_view(
    images: Float[Tensor, "samples channels height width"] | Float[Tensor, "samples height width"],
    *,
    shift: float = 1.0,
    rotation: float = 15.0,
    scaling: float = 0.15,
    noise: float = 0.1,
    occlusion: int = 2,
    generator: torch.Generator | None = None,
) -> TwoViews:
    """Make two independent random views of every image.

    A view is the image rotated and scaled about its centre, then shifted; what comes in from
    outside is 0, what leaves is cropped; a square patch is set to 0; then Gaussian noise is added.
    Each strength may be 0, which switches that part off. Mirroring is left out on purpose: a
    mirrored digit is another thing. The defaults suit 8 x 8 digits with values in [0, 1].

    **Ground truth:** row i of both views comes from image i, so a pair shares the image and
    everything about it (its class, its writer); the two augmentations are independent.

    Args:
        images: Floating images of shape (samples, channels, height, width) or
            (samples, height, width), with 0 as the background.
        shift: The largest shift along each axis, in pixels, drawn uniformly; at least 0.
        rotation: The largest turn either way, in degrees, drawn uniformly; 0 to 180.
        scaling: The size is multiplied by a factor between 1/(1+scaling) and 1+scaling, uniform
            in its logarithm; at least 0.
        noise: The standard deviation of the noise, in the images' unit; at least 0. Values are
            not clipped, so they may leave [0, 1].
        occlusion: The side of the patch, in whole pixels, placed uniformly inside the image; from
            0 to the shorter side of the image.
        generator: The source of randomness, on the images' device; None means PyTorch's default
            generator.

    Returns:
        ``TwoViews`` with ``view_a`` and ``view_b``, each of the images' shape and dtype.

    Raises:
        TypeError: The images are not floating: convert counts with ``images.float() / 255``.
        ValueError: The batch is empty, an image holds NaN, or a strength is out of its range.

    >>> images = torch.rand(6, 1, 8, 8)
    >>> views = two_view(images, generator=torch.Generator().manual_seed(0))
    >>> views.view_a.shape, torch.equal(views.view_a, views.view_b)
    (torch.Size([6, 1, 8, 8]), False)

    With every strength at 0 a view is the image itself:

    >>> plain = two_view(images, shift=0, rotation=0, scaling=0, noise=0, occlusion=0)
    >>> torch.allclose(plain.view_a, images, atol=1e-6)
    True
    """
    _check(images, shift, rotation, scaling, noise, occlusion)
    stack = images if images.ndim == 4 else images[:, None]
    both = torch.cat([stack, stack])
    if shift or rotation or scaling:
        both = _moved(both, shift, rotation, scaling, generator)
    if occlusion:
        both = both * _visible(both, occlusion, generator)
    if noise:
        both = both + noise * torch.randn(
            both.shape, generator=generator, dtype=both.dtype, device=both.device
        )
    view_a, view_b = both.view(2, *images.shape)
    return TwoViews(view_a, view_b)


def _check(
    images: Tensor, shift: float, rotation: float, scaling: float, noise: float, occlusion: int
) -> None:
    if images.numel() == 0:
        raise ValueError(
            f"`images` has shape {tuple(images.shape)}, which is empty. Pass one image or more."
        )
    checks.finite("images", images)
    for name, value in (("shift", shift), ("scaling", scaling), ("noise", noise)):
        checks.not_negative(name, value)
    checks.in_range("rotation", rotation, 0, 180)
    checks.in_range("occlusion", occlusion, 0, min(images.shape[-2:]))


def _moved(
    images: Tensor,
    shift: float,
    rotation: float,
    scaling: float,
    generator: torch.Generator | None,
) -> Tensor:
    """Rotate and scale each image about its centre, then shift it; outside is 0."""
    _, _, height, width = images.shape
    turn, size, right, down = _uniform(images, 4, generator)
    angle = math.radians(rotation) * turn
    factor = torch.exp(-math.log1p(scaling) * size)  # of the inverse map: from view to image
    cosine, sine = factor * torch.cos(angle), factor * torch.sin(angle)
    # The map takes a pixel of the view to its place in the image, in units of half a side.
    right, down = right * (2 * shift / width), down * (2 * shift / height)
    aspect = height / width
    across = torch.stack([cosine, -sine * aspect, -cosine * right + sine * aspect * down], dim=1)
    along = torch.stack([sine / aspect, cosine, -sine / aspect * right - cosine * down], dim=1)
    grid = affine_grid(torch.stack([across, along], dim=1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _visible(images: Tensor, occlusion: int, generator: torch.Generator | None) -> Tensor:
    """Return 1 where an image is seen and 0 inside its square patch."""
    samples, _, height, width = images.shape
    first, second = torch.rand(
        2, samples, 1, generator=generator, dtype=images.dtype, device=images.device
    )
    rows = _covered(first, height, occlusion)
    columns = _covered(second, width, occlusion)
    return (~(rows[:, :, None] & columns[:, None, :]))[:, None].to(images.dtype)


def _covered(draw: Tensor, length: int, occlusion: int) -> Tensor:
    """Mark the pixels of one axis that a patch at a uniform place covers."""
    start = (draw * (length - occlusion + 1)).floor()
    pixel = torch.arange(length, dtype=draw.dtype, device=draw.device)
    return (pixel >= start) & (pixel < start + occlusion)


def _uniform(images: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Draw ``count`` numbers an image, uniform in [-1, 1]."""
    draw = torch.rand(
        count, len(images), generator=generator, dtype=images.dtype, device=images.device
    )
    return 2 * draw - 1
