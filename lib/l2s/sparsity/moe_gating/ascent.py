"""Maximum likelihood by gradient: BFGS for many mixtures at once, begun with EM's curvature."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks
from l2s.kernels.gated_moments import Moments
from l2s.sparsity.moe_gating.fitting import (
    Fit,
    Problem,
    State,
    expert_sums,
    gate_system,
    prepare,
    with_ridge,
)
from l2s.sparsity.moe_gating.mixture import Mixture

_ARMIJO = 1e-4  # share of the linear gain that a step must bring
_CUT = 0.25  # a step that does not rise is cut to this share
_TRIES = 7


@checks.typed
def fit_gradient(
    inputs: Float[Tensor, "samples dim"] | Float[Tensor, "rows samples dim"],
    targets: Float[Tensor, " samples"] | Float[Tensor, "rows samples"],
    start: Mixture,
    k: int,
    *,
    row: Int[Tensor, " fits"] | None = None,
    count: Int[Tensor, " fits"] | None = None,
    iterations: int = 500,
    tolerance: float = 1e-8,
    variance_floor: float = 1e-4,
) -> Fit:
    r"""Fit mixtures by quasi-Newton ascent, all of them in the same passes over the data.

    The gradient of the likelihood comes from the same sums as EM's step, and for an expert's line
    it is :math:`\sum_n r_{ni} (y_n - a_i^\top x_n - b_i)\, \tilde x_n / \sigma_i`. The first
    curvature is that of the *complete* data, with which a step equals EM's to first order; BFGS
    then learns what EM lacks, the information that is lost because nobody told which expert spoke.
    Where experts overlap this saves hundreds of iterations. Variances are searched as logarithms.

    Args:
        inputs: As in ``fit_em``.
        targets: As in ``fit_em``.
        start: As in ``fit_em``; ideally a result of some iterations of it.
        k: K, from 1 to the number of experts.
        row: As in ``fit_em``.
        count: As in ``fit_em``.
        iterations: At most this many.
        tolerance: A fit has converged when a full step promises less than this many nats. The
            promise rests on the curvature learnt so far, which begins far too large where experts
            merge: there 1e-5 can leave several nats.
        variance_floor: As in ``fit_em``.

    Returns:
        A ``Fit``; it restarts nothing, and says where an expert's variance ends at the floor. Where
        the best gate lies at a jump of the likelihood, the gates are held there, the rest is
        fitted, and the fit counts as not converged.

    Raises:
        ValueError: As ``fit_em``.

    Source: the start by EM's curvature is due to Jamshidian and Jennrich (jamshidian1997).

    >>> x = torch.linspace(-1, 1, 50)[:, None]
    >>> y = 3 * x[:, 0] + 1 + torch.linspace(-1, 1, 50).square()
    >>> line = Mixture.of([[0.0]], [0.0], [[0.0]], [0.0], [1.0])
    >>> fit = fit_gradient(x, y, line, 1)
    >>> fit.mixture.slopes.round(decimals=3).item(), bool(fit.converged)
    (3.0, True)
    """
    checks.at_least("iterations", iterations, 1, "Let it take one step or more.")
    checks.positive("tolerance", tolerance)
    problem, state = prepare(inputs, targets, start, k, row, count, variance_floor)
    run = _Ascent(problem, state, tolerance)
    for _ in range(iterations * _TRIES):
        if not len(run.active):
            break
        run.step(iterations)
    return run.report()


class _Ascent:
    """The fits that are under way, as vectors: free gates, lines, logarithms of variances."""

    def __init__(self, problem: Problem, state: State, tolerance: float) -> None:
        self.problem, self.tolerance = problem, tolerance
        self.fixed = state.gate[:, -1:].clone()
        self.shape = state.gate.shape
        self.at = self._pack(state)
        fits = len(self.at)
        everyone = torch.arange(fits)
        moments = problem.moments(state, everyone)
        self.value = moments.log_likelihood.clone()
        self.gradient = self._gradient(state, moments)
        self.inverse = _complete_inverse(state, moments)
        self.direction = torch.zeros_like(self.at)
        self.size = torch.ones(fits, dtype=torch.float64)
        self.count = torch.zeros(fits, dtype=torch.int64)
        self.refused = self.count.clone()
        self.fresh = torch.ones(fits, dtype=torch.bool)
        self.held = torch.zeros(fits, dtype=torch.bool)  # fits whose gates stand at a jump
        self.converged = torch.zeros(fits, dtype=torch.bool)
        self.stuck = self.converged.clone()
        self.trace: list[list[float]] = [[value] for value in self.value.tolist()]
        self.active = everyone
        self._aim(everyone)
        self.active = everyone[~self.converged]

    def step(self, iterations: int) -> None:
        """Try a step for every active fit; keep it, or halve it."""
        fits = self.active
        trial = self.at[fits] + self.size[fits, None] * self.direction[fits]
        log_floor = self.problem.floor[fits].log()[:, None]
        experts = self.shape[1]
        trial[:, -experts:] = trial[:, -experts:].maximum(log_floor)
        state = self._unpack(trial, fits)
        moments = self.problem.moments(state, fits)
        promised = self.size[fits] * (self.gradient[fits] * self.direction[fits]).sum(1)
        good = moments.log_likelihood >= self.value[fits] + _ARMIJO * promised.clamp(min=0)
        self._reject(fits[~good], state, moments)
        kept = fits[good]
        if len(kept):
            new = self._gradient(state[good], Moments(*(part[good] for part in moments)))
            moved, change = trial[good] - self.at[kept], self.gradient[kept] - new
            change[:, : (self.shape[1] - 1) * self.shape[2]][self.held[kept]] = 0.0
            self.inverse[kept] = _bfgs(self.inverse[kept], moved, change)
            self.at[kept], self.gradient[kept] = trial[good], new
            self.value[kept], self.size[kept] = moments.log_likelihood[good], 1.0
            self.count[kept] += 1
            self.fresh[kept] = False
            for fit, value in zip(kept.tolist(), self.value[kept].tolist(), strict=True):
                self.trace[fit].append(value)
            self._aim(kept)
        done = self.converged | self.stuck | (self.count >= iterations)
        self.active = fits[~done[fits]]

    def _reject(self, fits: Tensor, state: State, moments: Moments) -> None:
        self.size[fits] *= _CUT
        self.refused[fits] += 1
        lost = fits[self.size[fits] < _CUT**_TRIES]
        if not len(lost):
            return
        # No step along this direction helps: forget the learnt curvature. If that was new, a gate
        # stands at a jump: hold the gates, and let lines and variances go on. Then give up.
        old, held = ~self.fresh[lost], self.held[lost]
        self.stuck[lost[~old & held]] = True
        self.held[lost[~old & ~held]] = True
        again = lost[old | ~held]
        if len(again):
            here = self._unpack(self.at[again], again)
            self.inverse[again] = _complete_inverse(here, self.problem.moments(here, again))
            self.fresh[again], self.size[again] = True, 1.0
            self._aim(again)

    def _aim(self, fits: Tensor) -> None:
        """Set the directions, and see which fits have nothing left to gain."""
        gradient = self.gradient[fits].clone()
        experts = self.shape[1]
        at_floor = self.at[fits, -experts:] <= self.problem.floor[fits].log()[:, None] + 1e-12
        gradient[:, -experts:][at_floor & (gradient[:, -experts:] < 0)] = 0.0
        gates = (self.shape[1] - 1) * self.shape[2]
        held = self.held[fits]
        gradient[:, :gates][held] = 0.0
        self.direction[fits] = (self.inverse[fits] @ gradient[..., None])[..., 0]
        self.direction[fits[held], :gates] = 0.0
        promised = (gradient * self.direction[fits]).sum(1)
        self.converged[fits] = promised < 2 * self.tolerance

    def _pack(self, state: State) -> Tensor:
        parts = (state.gate[:, :-1].flatten(1), state.lines.flatten(1), state.variances.log())
        return torch.cat(parts, dim=1)

    def _unpack(self, vector: Tensor, fits: Tensor) -> State:
        _, experts, wide = self.shape
        free, lines, logs = vector.split([(experts - 1) * wide, experts * wide, experts], dim=1)
        gate = torch.cat([free.reshape(len(vector), experts - 1, wide), self.fixed[fits]], dim=1)
        return State(gate, lines.reshape(len(vector), experts, wide), logs.exp())

    def _gradient(self, state: State, moments: Moments) -> Tensor:
        weight, squares = expert_sums(moments, state.lines)
        for_lines = moments.cross - (moments.gram @ state.lines[..., None])[..., 0]
        return torch.cat(
            [
                moments.gate_gradient[:, :-1].flatten(1),
                (for_lines / state.variances[..., None]).flatten(1),
                0.5 * (squares / state.variances - weight),
            ],
            dim=1,
        )

    def report(self) -> Fit:
        everyone = torch.arange(len(self.at))
        state = self._unpack(self.at, everyone)
        longest = max(map(len, self.trace))
        full = [values + values[-1:] * (longest - len(values)) for values in self.trace]
        low = state.variances <= self.problem.floor[:, None] * (1 + 1e-9)
        return Fit(
            state.mixture(),
            self.value.clone(),
            torch.tensor(full, dtype=torch.float64).T,
            self.count,
            self.converged & ~self.held,
            self.refused,
            torch.zeros_like(self.count),
            low.any(1),
        )


def _complete_inverse(state: State, moments: Moments) -> Tensor:
    """The inverse of the information of complete data, block by block."""
    fits, experts, wide = state.gate.shape
    free, lines = (experts - 1) * wide, experts * wide
    inverse = torch.zeros(fits, free + lines + experts, free + lines + experts, dtype=torch.float64)
    if free:
        inverse[:, :free, :free] = torch.linalg.inv(gate_system(moments)[0])
    of_lines = torch.linalg.inv(with_ridge(moments.gram)) * state.variances[..., None, None]
    for expert in range(experts):
        own = slice(free + expert * wide, free + (expert + 1) * wide)
        inverse[:, own, own] = of_lines[:, expert]
    weight = moments.gram[..., -1, -1].clamp(min=1.0)
    inverse[:, free + lines :, free + lines :] = torch.diag_embed(2 / weight)
    return inverse


def _bfgs(inverse: Tensor, moved: Tensor, change: Tensor) -> Tensor:
    """Update the inverse curvature, where the step has seen a positive one."""
    product = (moved * change).sum(1)
    good = product > 1e-12 * moved.norm(dim=1) * change.norm(dim=1)
    rho = torch.where(good, 1 / torch.where(good, product, 1.0), 0.0)[:, None, None]
    s, y = moved[..., None], change[..., None]
    hy = inverse @ y
    middle = (y.transpose(1, 2) @ hy) * rho**2 + rho
    return (
        inverse
        + middle * (s @ s.transpose(1, 2))
        - rho * (hy @ s.transpose(1, 2) + s @ hy.transpose(1, 2))
    )
