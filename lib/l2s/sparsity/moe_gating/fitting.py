"""What both ways to fit a mixture share: the data, one pass over them, and the report of a fit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2s import checks
from l2s.kernels.backends import backend
from l2s.kernels.gated_moments import Moments
from l2s.sparsity.moe_gating.gate import check_k
from l2s.sparsity.moe_gating.mixture import Mixture


@dataclass(frozen=True, eq=False)
class Fit:
    """Many fits of a mixture, and how each of them went.

    Attributes:
        mixture: The fitted parameters, with an axis of fits.
        log_likelihood: In nats, the sum over a fit's samples; shape (fits,).
        trace: The log-likelihood after each iteration, shape (iterations + 1, fits); a fit that has
            ended keeps its last value. It never falls, but where an expert was restarted.
        iterations: How many iterations each fit took, shape (fits,).
        converged: Whether it ended by its tolerance, and not by the number of iterations or at a
            jump of the likelihood; shape (fits,).
        refused: How many steps were cut back because the likelihood fell, shape (fits,).
        restarts: How many collapsed experts were replaced, shape (fits,).
        collapsed: Whether an expert is collapsed at the end, shape (fits,).
    """

    mixture: Mixture
    log_likelihood: Tensor
    trace: Tensor
    iterations: Tensor
    converged: Tensor
    refused: Tensor
    restarts: Tensor
    collapsed: Tensor

    def best(self) -> Mixture:
        """The fit with the largest likelihood, such as the best of several starts."""
        return self.mixture[int(self.log_likelihood.argmax())]


@dataclass(frozen=True, eq=False)
class State:
    """Packed parameters of some fits: gate and lines with their constant last, and variances."""

    gate: Tensor
    lines: Tensor
    variances: Tensor

    @classmethod
    def of(cls, mixture: Mixture) -> "State":
        """Pack a mixture with an axis of fits."""
        gate = torch.cat([mixture.gate_slopes, mixture.gate_biases[..., None]], dim=-1)
        lines = torch.cat([mixture.slopes, mixture.intercepts[..., None]], dim=-1)
        return cls(gate.detach(), lines.detach(), mixture.variances.detach())

    def mixture(self) -> Mixture:
        """Unpack."""
        return Mixture(
            self.gate[..., :-1],
            self.gate[..., -1],
            self.lines[..., :-1],
            self.lines[..., -1],
            self.variances,
        )

    def __getitem__(self, index: Tensor) -> "State":
        return State(self.gate[index], self.lines[index], self.variances[index])

    def put(self, index: Tensor, other: "State") -> None:
        """Write the states of some fits in place."""
        self.gate[index], self.lines[index] = other.gate, other.lines
        self.variances[index] = other.variances

    def clone(self) -> "State":
        """A copy with its own memory."""
        return State(self.gate.clone(), self.lines.clone(), self.variances.clone())


@dataclass(frozen=True, eq=False)
class Problem:
    """Data of many fits, checked: which row of data each sees, and how many samples of it."""

    inputs: Tensor  # a transposed view of contiguous memory, as the pass wants it
    targets: Tensor
    row: Tensor
    count: Tensor
    k: int
    floor: Tensor  # the least variance of an expert, for each fit

    def moments(self, state: State, fits: Tensor) -> Moments:
        """One pass over the data of some fits; ``state`` holds theirs."""
        count = self.count[fits]
        numbers = int(count.sum()) * state.gate.shape[1]
        way = backend("gated_moments", self.inputs.device.type, numbers)  # all is checked already
        made: Moments = way.moments(
            self.inputs,
            self.targets,
            state.gate,
            state.lines,
            state.variances,
            self.k,
            self.row[fits],
            count,
        )
        return made


def prepare(
    inputs: Tensor,
    targets: Tensor,
    start: Mixture,
    k: int,
    row: Tensor | None,
    count: Tensor | None,
    variance_floor: float,
) -> tuple[Problem, State]:
    """Check data and start, and give both their axis of fits."""
    check_k("k", k, start.experts)
    checks.positive("variance_floor", variance_floor)
    x, y = (inputs[None], targets[None]) if inputs.ndim == 2 else (inputs, targets)
    if y.shape != x.shape[:2]:
        raise ValueError(
            f"`targets` has shape {tuple(targets.shape)}, but inputs of shape "
            f"{tuple(inputs.shape)} need {tuple(inputs.shape[:-1])}. Pass one target a sample."
        )
    checks.finite("inputs", x)
    checks.finite("targets", y)
    if x.shape[2] != start.dim:
        raise ValueError(
            f"`inputs` has {x.shape[2]} dimensions, but the start has {start.dim}. Make them agree."
        )
    fits = start.fits or (len(row) if row is not None else len(x))
    row = torch.arange(fits) % len(x) if row is None else row.long()
    if row.shape != (fits,) or int(row.min()) < 0 or int(row.max()) >= len(x):
        raise ValueError(
            f"`row` has shape {tuple(row.shape)} and values up to {int(row.max())}, but needs one "
            f"number below {len(x)} for each of {fits} fits. Pass the row of data that a fit sees."
        )
    if count is None:
        count = torch.full((fits,), x.shape[1])
    if count.shape != (fits,) or int(count.max()) > x.shape[1]:
        raise ValueError(
            f"`count` has shape {tuple(count.shape)} and values up to {int(count.max())}, but "
            f"needs one number up to {x.shape[1]} for each of {fits} fits. Pass how many samples "
            "it sees."
        )
    checks.at_least("count", int(count.min()), start.parameters, _FEW.format(start.parameters))
    state = State.of(start if start.fits else start.repeated(fits)).clone()
    x = x.double().transpose(1, 2).contiguous().transpose(1, 2)
    y = y.double().contiguous()
    floor = variance_floor * _spread(y, row, count)
    state.variances.copy_(state.variances.maximum(floor[:, None]))
    return Problem(x, y, row, count.long(), k, floor), state


_FEW = "It is the number of samples of a fit with {} parameters: fit fewer experts, or more data."


def _spread(targets: Tensor, row: Tensor, count: Tensor) -> Tensor:
    """The variance of the targets that each fit sees."""
    each = [targets[r, :n].var() for r, n in zip(row.tolist(), count.tolist(), strict=True)]
    spread = torch.stack(each)
    if not bool((spread > 0).all()):
        raise ValueError(
            "`targets` are all the same, so that no variance can be fitted. Check them."
        )
    return spread


def expert_sums(moments: Moments, lines: Tensor) -> tuple[Tensor, Tensor]:
    """Each expert's weight and weighted sum of squared errors for given lines."""
    weight = moments.gram[..., -1, -1]
    explained = (lines * (2 * moments.cross - (moments.gram @ lines[..., None])[..., 0])).sum(-1)
    return weight, (moments.power - explained).clamp(min=0)


def gate_system(moments: Moments) -> tuple[Tensor, Tensor]:
    """Curvature and gradient for the gates of all experts but the last, whose gate stays."""
    fits, experts, wide = moments.gate_gradient.shape
    size = (experts - 1) * wide
    curvature = moments.gate_curvature[:, :-1, :-1].permute(0, 1, 3, 2, 4).reshape(fits, size, size)
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    # Experts that are never chosen have no curvature; a little ridge leaves their gates alone.
    ridge = 1e-9 * diagonal.mean(1, keepdim=True) + 1e-9
    eye = torch.eye(size, dtype=curvature.dtype)
    return curvature + ridge[..., None] * eye, moments.gate_gradient[:, :-1].reshape(fits, size)


def with_ridge(gram: Tensor) -> Tensor:
    """Gram matrices that can be solved, also where an expert has hardly a sample."""
    scale = gram.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    return gram + (1e-12 * scale + 1e-30) * torch.eye(gram.shape[-1], dtype=gram.dtype)
