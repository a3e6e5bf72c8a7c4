"""Frames of class vectors: the simplex, the orthogonal frame, and the distance to a frame.

A *frame* here is a set of K vectors, the rows of a matrix of shape (classes, dim). Which way it is
turned carries no meaning (a rotation of features can be undone by the next layer), and often
neither does its scale. So frames are compared after the best rotation and the best scale: the
Procrustes problem, which a singular value decomposition solves.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks


@checks.typed
def simplex_etf(
    classes: int,
    dim: int,
    *,
    length: float = 1.0,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "classes dim"]:
    r"""Return K vectors of equal length whose angles are equal and as wide as they can be.

    The simplex equiangular tight frame: its rows sum to zero, and its Gram matrix is

    .. math:: W W^\top = \ell^2\,\frac{K}{K-1}\Big(I - \frac1K \mathbf 1\mathbf 1^\top\Big),

    so that each row has length ℓ and every cosine is -1 / (K - 1).

    Args:
        classes: K, at least 2.
        dim: Length of a row, at least K - 1.
        length: ℓ, above 0.
        generator: None gives one fixed frame, in the first K - 1 coordinates (of Helmert's basis);
            a generator turns it by a random rotation.
        dtype: Floating; None is torch's default dtype.

    Returns:
        Shape (classes, dim), on the CPU.

    Raises:
        ValueError: One class, too few dimensions, a length that is not above 0.

    Source: papyan2020, section 1.

    >>> simplex_etf(2, 1)
    tensor([[ 1.],
            [-1.]])
    >>> frame = simplex_etf(4, 6, length=2.0, dtype=torch.float64)
    >>> (frame @ frame.T).round(decimals=3)[0]
    tensor([ 4.0000, -1.3330, -1.3330, -1.3330], dtype=torch.float64)
    >>> simplex_etf(4, 2)
    Traceback (most recent call last):
    ValueError: `dim` is 2, but must be at least 3. A simplex of 4 vectors spans 3 dimensions.
    """
    checks.at_least("classes", classes, 2, "One vector makes no angle.")
    spans = f"A simplex of {classes} vectors spans {classes - 1} dimensions."
    checks.at_least("dim", dim, classes - 1, spans)
    checks.positive("length", length)
    size = length * (classes / (classes - 1)) ** 0.5
    return _turned(size * _helmert(classes), dim, generator).to(_chosen(dtype))


@checks.typed
def orthogonal_frame(
    classes: int,
    dim: int,
    *,
    lengths: Sequence[float] | Float[Tensor, " classes"] | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "classes dim"]:
    r"""Return K vectors at right angles, of the given lengths.

    .. math:: W W^\top = \operatorname{diag}(\ell_1^2, \dots, \ell_K^2).

    A length of 0 stands for a class that has collapsed to the origin; it takes no dimension.

    Args:
        classes: K, at least 1.
        dim: Length of a row, at least the number of lengths above 0.
        lengths: One for each class, 0 or above, not all 0. None makes all of them 1.
        generator: None puts the vectors on the first coordinate axes; a generator turns them by a
            random rotation.
        dtype: Floating; None is torch's default dtype.

    Returns:
        Shape (classes, dim), on the CPU.

    Raises:
        ValueError: Too few dimensions, a wrong number of lengths, or a length that is negative or
            not finite.

    Source: dang2023, definition of the general orthogonal frame.

    >>> orthogonal_frame(2, 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    >>> orthogonal_frame(3, 2, lengths=[2.0, 0.0, 1.0])
    tensor([[2., 0.],
            [0., 0.],
            [0., 1.]])
    >>> orthogonal_frame(3, 2)
    Traceback (most recent call last):
    ValueError: `dim` is 2, but must be at least 3. Each vector that is not 0 needs a dimension.
    """
    checks.at_least("classes", classes, 1, "Pass the number of vectors.")
    sizes = torch.ones(classes) if lengths is None else torch.as_tensor(lengths)
    sizes = sizes.detach().cpu().double()
    _check_lengths(sizes, classes)
    living = (sizes > 0).nonzero().flatten()
    checks.at_least("dim", dim, len(living), "Each vector that is not 0 needs a dimension.")
    frame = torch.zeros(classes, len(living), dtype=torch.float64)
    frame[living, torch.arange(len(living))] = sizes[living]
    return _turned(frame, dim, generator).to(_chosen(dtype))


@checks.typed
@torch.no_grad()
def frame_distance(
    vectors: Float[Tensor, "classes dim"],
    frame: Float[Tensor, "classes other"],
    *,
    rescale: bool = True,
) -> float:
    r"""Return how far vectors are from a frame, relative to their size, up to rotation and scale.

    .. math:: \min_{s \ge 0,\; Q^\top Q = I} \frac{\lVert X - s F Q \rVert_F}{\lVert X \rVert_F}

    Rotations include reflections. Nothing is centred: subtract the mean of the rows first where
    the origin carries no meaning. Rows may have another length than the frame's; the shorter ones
    are filled with zeros, which changes no angle.

    Args:
        vectors: X, shape (classes, dim), floating, not all 0.
        frame: F, shape (classes, other), floating, not all 0; row k belongs to row k of X.
        rescale: Choose the best scale s. With False it is 1.

    Returns:
        0 for the frame itself, turned (and scaled); below or equal to 1 with the best scale, and
        without a bound where s is 1. Computed in float64: rounding leaves about 1e-15.

    Raises:
        ValueError: Unequal numbers of rows, NaN, or rows that are all 0.

    Source: schonemann1966, for the rotation.

    >>> import math
    >>> turn = torch.tensor([[0.0, 2.0], [-2.0, 0.0]])  # a quarter turn, and twice as long
    >>> frame_distance(turn, torch.eye(2)) < 1e-12
    True
    >>> round(frame_distance(turn, torch.eye(2), rescale=False), 6)  # half the length is missing
    0.5
    >>> round(frame_distance(torch.eye(3), simplex_etf(3, 2)), 4)  # one of three dimensions is lost
    0.5774
    """
    wide, narrow = (
        _coordinates(_checked(vectors, "vectors")),
        _coordinates(_checked(frame, "frame")),
    )
    wide, narrow = _same_width(wide, narrow)
    return float((wide - _aligned(wide, narrow, rescale)).norm() / wide.norm())


@checks.typed
@torch.no_grad()
def align_frame(
    vectors: Float[Tensor, "classes dim"],
    frame: Float[Tensor, "classes other"],
    *,
    rescale: bool = True,
) -> Float[Tensor, "classes larger"]:
    r"""Return the frame, turned and scaled on to the vectors: s F Q of ``frame_distance``.

    Where ``vectors`` and the result are drawn together, what is left between them is the distance.

    Args:
        vectors: X, shape (classes, dim), floating, not all 0.
        frame: F, shape (classes, other), floating, not all 0.
        rescale: Choose the best scale. With False the frame is only turned.

    Returns:
        Shape (classes, larger of dim and other), in the dtype of ``vectors``.

    Raises:
        ValueError: Unequal numbers of rows, NaN, or rows that are all 0.

    >>> align_frame(torch.tensor([[0.0, 3.0], [-3.0, 0.0]]), torch.eye(2)).round(decimals=4) + 0.0
    tensor([[ 0.,  3.],
            [-3.,  0.]])
    """
    given, wanted = _same_width(_checked(vectors, "vectors"), _checked(frame, "frame"))
    return _aligned(given, wanted, rescale).to(vectors.dtype)


def _aligned(vectors: Tensor, frame: Tensor, rescale: bool) -> Tensor:
    left, singular, right = torch.linalg.svd(frame.T @ vectors)
    scale = singular.sum() / frame.square().sum() if rescale else 1.0
    return scale * frame @ (left @ right)


def _coordinates(vectors: Tensor) -> Tensor:
    """Write rows in an orthonormal basis of their span: at most as many columns as rows."""
    if vectors.shape[1] <= vectors.shape[0]:
        return vectors
    return torch.linalg.qr(vectors.T, mode="r").R.T


def _same_width(vectors: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    width = max(vectors.shape[1], frame.shape[1])
    return _padded(vectors, width), _padded(frame, width).to(vectors.device)


def _padded(rows: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, width - rows.shape[1]))


def _helmert(classes: int) -> Tensor:
    """Return an orthonormal basis, (classes, classes - 1), of what is at right angles to ones."""
    index = torch.arange(1, classes, dtype=torch.float64)
    basis = torch.triu(torch.ones(classes, classes - 1, dtype=torch.float64))
    basis[1:] -= torch.diag(index)  # column j: j ones, then -j, then zeros
    return basis / (index * (index + 1)).sqrt()


def _turned(frame: Tensor, dim: int, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return _padded(frame, dim)
    normal = torch.randn(dim, frame.shape[1], generator=generator, dtype=torch.float64)
    basis, triangle = torch.linalg.qr(normal)
    # Without the signs, a QR of normal numbers does not draw all rotations equally often.
    return frame @ (basis * torch.diagonal(triangle).sign()).T


def _chosen(dtype: torch.dtype | None) -> torch.dtype:
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not dtype.is_floating_point:
        raise TypeError(f"`dtype` is {dtype}. Pass a floating one, such as torch.float32.")
    return dtype


def _checked(rows: Tensor, name: str) -> Tensor:
    checks.finite(name, rows)
    if not rows.any():
        raise ValueError(f"`{name}` are all 0, so they have no direction. Pass rows that are not.")
    return rows.double()


def _check_lengths(sizes: Tensor, classes: int) -> None:
    if sizes.shape != (classes,):
        raise ValueError(
            f"`lengths` has shape {tuple(sizes.shape)}. Pass one length for each of the {classes} "
            "vectors."
        )
    checks.finite("lengths", sizes)
    if (sizes < 0).any() or not sizes.any():
        raise ValueError(
            f"`lengths` is {sizes.tolist()}, but must be at least 0, and one of them above it."
        )
