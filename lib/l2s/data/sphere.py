"""Latent recovery on a sphere: a contrastive problem whose right answer is known."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from l2s import checks

_WEIGHT_SCALE = 1.5  # the standard deviation of a mixing weight, times sqrt(fan-in)


class SpherePairs(NamedTuple):
    """Two observations of nearly the same latent, and that latent."""

    #: The observation of the latents.
    view_a: Float[Tensor, "samples observed"]
    #: The observation of the moved latents.
    view_b: Float[Tensor, "samples observed"]
    #: Unit rows: what an encoder should recover.
    latents: Float[Tensor, "samples latent"]


@dataclass(frozen=True, eq=False)
class SphereWorld:
    r"""A fixed nonlinear world, seen through observations of latents on a unit sphere.

    A latent z is uniform on the unit sphere in k dimensions. It is observed as

    .. math:: x = \tanh(\sqrt{k}\, z M_1)\, M_2,

    where the factor :math:`\sqrt k` gives the entries of z unit variance. A positive pair observes
    z and :math:`z' = (z + \sigma\epsilon) / \lVert z + \sigma\epsilon\rVert`.

    **Ground truth:** the latent behind every observation, up to a rotation, which no contrastive
    loss can see. So an encoder is scored by the best linear map from its output to the latents
    (``l2s.metrics.linear_r2``).

    Attributes:
        inner: :math:`M_1`, of shape (latent, observed), float32.
        outer: :math:`M_2`, of shape (observed, observed), float32.
    """

    inner: Float[Tensor, "latent observed"]
    outer: Float[Tensor, "observed observed"]

    @checks.typed
    def latents(
        self, samples: int, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "samples latent"]:
        """Draw unit vectors uniformly on the sphere.

        Args:
            samples: How many to draw; at least 1.
            generator: The source of randomness; None means PyTorch's default generator.

        Raises:
            ValueError: ``samples`` is below 1.

        >>> world = sphere_world(generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(world.latents(3).norm(dim=1), torch.ones(3))
        True
        """
        checks.at_least("samples", samples, 1, "Ask for one latent or more.")
        return normalize(torch.randn(samples, len(self.inner), generator=generator), dim=1)

    @checks.typed
    def observe(
        self, latents: Float[Tensor, "samples latent"]
    ) -> Float[Tensor, "samples observed"]:
        """Map latents (unit rows) to observations.

        Args:
            latents: float32 of shape (samples, latent).

        Raises:
            ValueError: The latents have another dimension than this world's.

        >>> world = sphere_world(generator=torch.Generator().manual_seed(0))
        >>> world.observe(world.latents(3)).shape
        torch.Size([3, 20])
        """
        if latents.shape[1] != len(self.inner):
            raise ValueError(
                f"`latents` has shape {tuple(latents.shape)}, but this world's latents have "
                f"dimension {len(self.inner)}. Draw them with this world's latents(...)."
            )
        return torch.tanh(math.sqrt(len(self.inner)) * latents @ self.inner) @ self.outer

    @checks.typed
    def pairs(
        self, samples: int, *, noise: float = 0.1, generator: torch.Generator | None = None
    ) -> SpherePairs:
        """Draw positive pairs: observations of a latent and of a slightly moved one.

        Args:
            samples: How many pairs to draw; at least 1.
            noise: The standard deviation of each entry of the move, before normalising; at
                least 0 (at 0 both views are equal).
            generator: The source of randomness; None means PyTorch's default generator.

        Raises:
            ValueError: ``samples`` is below 1, or ``noise`` is negative or not finite.

        >>> world = sphere_world(generator=torch.Generator().manual_seed(0))
        >>> view_a, view_b, latents = world.pairs(8)
        >>> view_a.shape, view_b.shape, latents.shape
        (torch.Size([8, 20]), torch.Size([8, 20]), torch.Size([8, 5]))
        """
        checks.not_negative("noise", noise)
        latents = self.latents(samples, generator=generator)
        moved = latents + noise * torch.randn(latents.shape, generator=generator)
        both = self.observe(torch.cat([latents, normalize(moved, dim=1)]))
        return SpherePairs(both[:samples], both[samples:], latents)


@checks.typed
def sphere_world(
    *, generator: torch.Generator | None = None, latent_dim: int = 5, observed_dim: int = 20
) -> SphereWorld:
    r"""Draw a world: two Gaussian mixing matrices, which then stay fixed.

    The entries of :math:`M_1` have standard deviation :math:`1.5/\sqrt k` for k latent dimensions,
    those of :math:`M_2` have :math:`1.5/\sqrt m` for m observed ones.

    Args:
        generator: The source of randomness; None means PyTorch's default generator.
        latent_dim: k, at least 2.
        observed_dim: m, at least ``latent_dim`` (fewer could not hold the latent).

    Raises:
        ValueError: A dimension is too small.

    >>> sphere_world(latent_dim=3, observed_dim=7).inner.shape
    torch.Size([3, 7])
    """
    checks.at_least("latent_dim", latent_dim, 2, "A sphere needs two dimensions or more.")
    checks.at_least(
        "observed_dim", observed_dim, latent_dim, "Observe as many dimensions as the latent has."
    )
    inner = torch.randn(latent_dim, observed_dim, generator=generator)
    outer = torch.randn(observed_dim, observed_dim, generator=generator)
    return SphereWorld(
        inner=inner * (_WEIGHT_SCALE / math.sqrt(latent_dim)),
        outer=outer * (_WEIGHT_SCALE / math.sqrt(observed_dim)),
    )
