"""The parameters of a mixture of linear experts, one fit or many, and what leaves them the same."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from l2s import checks


@dataclass(frozen=True, eq=False)
class Mixture:
    r"""A Gaussian mixture of linear experts behind a softmax gate, float64 (nguyen2024).

    Expert i says :math:`y \sim \mathcal N(a_i^\top x + b_i,\, \sigma_i)`, where σ is a *variance*.
    The gate scores it by :math:`\beta_{1i}^\top x`, and adds :math:`\beta_{0i}` once it is chosen.
    Tensors may begin with an axis of fits; ``mixture[3]`` is then the fourth of them.

    Attributes:
        gate_slopes: β₁, shape (experts, dim) or (fits, experts, dim).
        gate_biases: β₀, shape (experts,) or (fits, experts).
        slopes: a, shape (experts, dim) or (fits, experts, dim).
        intercepts: b, shape (experts,) or (fits, experts).
        variances: σ, above 0, shape (experts,) or (fits, experts).

    Raises:
        TypeError: If a field is no floating-point tensor.
        ValueError: If shapes do not fit, a number is not finite, or a variance is not positive.

    >>> mixture = Mixture.of([[-2.0], [3.0]], [0.0, 0.0], [[1.0], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> mixture.experts, mixture.dim, mixture.fits
    (2, 1, None)
    >>> Mixture.of([[-2.0]], [0.0], [[1.0]], [0.0], [-0.1])
    Traceback (most recent call last):
    ValueError: `variances` holds -0.1, but a variance must be above 0...
    """

    gate_slopes: Tensor
    gate_biases: Tensor
    slopes: Tensor
    intercepts: Tensor
    variances: Tensor

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, Tensor) and value.is_floating_point()):
                raise TypeError(
                    f"`{field.name}` is {type(value).__name__}, but must be a floating-point "
                    "tensor. Use Mixture.of for lists."
                )
            object.__setattr__(self, field.name, value.double())
        self._check_shapes()
        for field in fields(self):
            checks.finite(field.name, getattr(self, field.name))
        if not bool((self.variances > 0).all()):
            raise ValueError(
                f"`variances` holds {float(self.variances.min())!r}, but a variance must be above "
                "0. Pass the square of a standard deviation."
            )

    @classmethod
    def of(
        cls,
        gate_slopes: Sequence[Sequence[float]],
        gate_biases: Sequence[float],
        slopes: Sequence[Sequence[float]],
        intercepts: Sequence[float],
        variances: Sequence[float],
    ) -> "Mixture":
        """Make a mixture from lists."""
        lists = (gate_slopes, gate_biases, slopes, intercepts, variances)
        return cls(*(torch.tensor(numbers, dtype=torch.float64) for numbers in lists))

    @property
    def experts(self) -> int:
        """The number of experts."""
        return self.gate_biases.shape[-1]

    @property
    def dim(self) -> int:
        """The dimension of the inputs."""
        return self.slopes.shape[-1]

    @property
    def fits(self) -> int | None:
        """The number of fits, or None for a single one."""
        return len(self.gate_biases) if self.gate_biases.ndim == 2 else None

    @property
    def parameters(self) -> int:
        """How many numbers one fit is free to choose: the gate of one expert is fixed."""
        return self.experts * (2 * self.dim + 3) - self.dim - 1

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The five fields in their order."""
        return self.gate_slopes, self.gate_biases, self.slopes, self.intercepts, self.variances

    def __getitem__(self, index: int | slice | Tensor) -> "Mixture":
        if self.fits is None:
            raise ValueError("This mixture is a single fit. Index one that holds several.")
        return Mixture(*(tensor[index] for tensor in self.tensors()))

    def repeated(self, fits: int) -> "Mixture":
        """The same parameters for a number of fits."""
        return Mixture(*(t.expand(fits, *t.shape).clone() for t in self.tensors()))

    def _check_shapes(self) -> None:
        lead, (experts, dim) = self.slopes.shape[:-2], (*self.slopes.shape, 0, 0)[-2:][:2]
        if self.slopes.ndim in (2, 3):
            experts, dim = self.slopes.shape[-2:]
        wanted = {
            "slopes": (*lead, experts, dim),
            "gate_slopes": (*lead, experts, dim),
            "gate_biases": (*lead, experts),
            "intercepts": (*lead, experts),
            "variances": (*lead, experts),
        }
        for name, shape in wanted.items():
            found = tuple(getattr(self, name).shape)
            if found != shape or len(lead) > 1 or not experts or not dim:
                raise ValueError(
                    f"`{name}` has shape {found}, but slopes of shape {tuple(self.slopes.shape)} "
                    f"need {shape}: (experts, dim) or (experts,), all with the same axis of fits "
                    "before it or none. Make the shapes agree."
                )


def stack(mixtures: Sequence[Mixture]) -> Mixture:
    """Join single mixtures into one that holds several fits.

    >>> one = Mixture.of([[0.0]], [0.0], [[1.0]], [0.0], [1.0])
    >>> stack([one, one]).fits
    2
    """
    if not mixtures:
        raise ValueError("`mixtures` is empty. Pass one mixture or more.")
    return Mixture(
        *(torch.stack(parts) for parts in zip(*(m.tensors() for m in mixtures), strict=True))
    )


@checks.typed
def shift_gate(
    mixture: Mixture, slope: Float[Tensor, " dim"] | float, bias: float = 0.0
) -> Mixture:
    r"""Add one vector to every gate slope and one number to every gate bias.

    The density stays: selection compares scores, softmax divides by their sum, and both lose
    :math:`t_1^\top x + t_0`.

    Args:
        mixture: One fit or several.
        slope: t₁, shape (dim,), or a number for all its entries.
        bias: t₀.

    >>> mixture = Mixture.of([[-2.0], [3.0]], [0.0, 0.5], [[1.0], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> shift_gate(mixture, 1.0, -0.5).gate_biases.tolist()
    [-0.5, 0.0]
    """
    moved = (mixture.gate_slopes + slope, mixture.gate_biases + bias)
    return Mixture(*moved, *mixture.tensors()[2:])


@checks.typed
def fix_gauge(mixture: Mixture, expert: int = -1) -> Mixture:
    """Shift the gate so that one expert's slope and bias are 0, which makes parameters comparable.

    Args:
        mixture: One fit or several.
        expert: Whose gate becomes 0; the paper takes the last.

    Raises:
        ValueError: If there is no such expert.

    >>> mixture = Mixture.of([[-2.0], [3.0]], [0.0, 0.5], [[1.0], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> fix_gauge(mixture).gate_slopes.tolist()
    [[-5.0], [0.0]]
    """
    checks.in_range("expert", expert, -mixture.experts, mixture.experts - 1)
    slope = mixture.gate_slopes[..., expert, :].unsqueeze(-2)
    bias = mixture.gate_biases[..., expert].unsqueeze(-1)
    moved = (mixture.gate_slopes - slope, mixture.gate_biases - bias)
    return Mixture(*moved, *mixture.tensors()[2:])


@checks.typed
def split_expert(mixture: Mixture, expert: int, offset: float = 0.0) -> Mixture:
    r"""Replace an expert by two that stand beside it and share its weight.

    Each has the bias :math:`\beta_0 - \log 2`; gate slope, slope, intercept and variance move by
    ``+offset`` in the first and ``-offset`` in the second, which stand in the expert's place.

    Args:
        mixture: A single fit.
        expert: Which one, from 0.
        offset: ε, with an absolute value below the expert's variance.

    Returns:
        A mixture with one expert more.

    Raises:
        ValueError: If there is no such expert, or a variance would not stay positive.

    >>> mixture = Mixture.of([[-2.0], [3.0]], [0.0, 0.5], [[1.0], [4.0]], [0.0, 2.0], [0.3, 0.5])
    >>> split_expert(mixture, 0, 0.1).slopes.tolist()
    [[1.1], [0.9], [4.0]]
    """
    if mixture.fits is not None:
        raise ValueError("`mixture` holds several fits. Split one of them, such as mixture[0].")
    checks.in_range("expert", expert, 0, mixture.experts - 1)
    if not abs(offset) < float(mixture.variances[expert]):
        raise ValueError(
            f"`offset` is {offset!r}, but the variance {float(mixture.variances[expert]):.6g} "
            "moves by it and must stay positive. Pass less."
        )
    before, after = slice(0, expert), slice(expert + 1, None)
    parts = []
    for name, tensor in zip((f.name for f in fields(mixture)), mixture.tensors(), strict=True):
        own = tensor[expert]
        if name == "gate_biases":
            pair = torch.stack([own, own]) - torch.log(torch.tensor(2.0, dtype=torch.float64))
        else:
            pair = torch.stack([own + offset, own - offset])
        parts.append(torch.cat([tensor[before], pair, tensor[after]]))
    return Mixture(*parts)
