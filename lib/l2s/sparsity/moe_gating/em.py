"""Expectation maximisation for many mixtures at once, safeguarded where the gate's choice jumps."""

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

_CUT = 0.25  # a refused gate step is cut to this share, and given up after the tries
_TRIES = 4
_RESTARTS = 3  # collapsed experts that a fit may replace
_ROUNDING = 1e-12  # relative to the log-likelihood: a smaller fall is no fall


@checks.typed
def fit_em(
    inputs: Float[Tensor, "samples dim"] | Float[Tensor, "rows samples dim"],
    targets: Float[Tensor, " samples"] | Float[Tensor, "rows samples"],
    start: Mixture,
    k: int,
    *,
    row: Int[Tensor, " fits"] | None = None,
    count: Int[Tensor, " fits"] | None = None,
    iterations: int = 500,
    tolerance: float = 1e-6,
    variance_floor: float = 1e-4,
    generator: torch.Generator | None = None,
) -> Fit:
    r"""Fit mixtures by EM, all of them in the same passes over the data.

    With the responsibilities :math:`r_i = \pi_i f_i / \sum_j \pi_j f_j`, an iteration solves

    .. math:: (a_i, b_i) = \arg\min \sum_n r_{ni} (y_n - a^\top x_n - b)^2, \qquad
        \sigma_i = \frac{\sum_n r_{ni} (y_n - a_i^\top x_n - b_i)^2}{\sum_n r_{ni}},

    and takes one Newton step for the gate on :math:`\sum_n \sum_i r_{ni} \log \pi_i(x_n)` with the
    selection held fixed. The selection makes the likelihood jump as slopes change, so the gate step
    is cut, and in the end given up, until the likelihood does not fall. The gate of the last expert
    stays.

    Args:
        inputs: x, shape (samples, dim), or (rows, samples, dim) for several data sets.
        targets: y, of the same shape without dim.
        start: Where to start: one mixture for all, or one a fit. See ``kmeans_starts``.
        k: K, from 1 to the number of experts.
        row: Which data set each fit sees; left out, fit i sees row i modulo rows.
        count: How many of the first samples each fit sees; left out, all.
        iterations: At most this many.
        tolerance: A fit has converged when an iteration gains less than this many nats. EM is slow
            where experts overlap: the gain that is still to come is many times the last one.
        variance_floor: The least variance, as a share of the targets'. Without it the likelihood
            has no maximum: an expert that passes through a few samples can shrink its variance to
            0.
        generator: For the places of restarted experts; None means PyTorch's default generator.

    Returns:
        A ``Fit``. An expert that has less weight than its line has numbers, or whose variance
        reaches the floor, has *collapsed*: up to three are restarted, and all are reported.

    Raises:
        ValueError: If data are not finite or do not fit, there are fewer samples than parameters,
            or a number is out of its range.

    >>> generator = torch.Generator().manual_seed(0)
    >>> x = torch.rand(400, 1, generator=generator) * 2 - 1
    >>> y = 3 * x[:, 0] + 1 + 0.5 * torch.randn(400, generator=generator)
    >>> line = Mixture.of([[0.0]], [0.0], [[0.0]], [0.0], [1.0])
    >>> fit = fit_em(x, y, line, 1)  # one expert: least squares
    >>> fit.mixture.slopes.round(decimals=1).item(), bool(fit.converged)
    (3.0, True)
    """
    checks.at_least("iterations", iterations, 1, "Let it take one step or more.")
    checks.positive("tolerance", tolerance)
    problem, state = prepare(inputs, targets, start, k, row, count, variance_floor)
    run = _Run(problem, state, tolerance, generator)
    for _ in range(iterations * (_TRIES + 1)):
        if not len(run.active):
            break
        run.step(iterations)
    return run.report()


class _Run:
    """The fits that are under way: where each stands, where it wants to go, and how far."""

    def __init__(
        self, problem: Problem, state: State, tolerance: float, generator: torch.Generator | None
    ) -> None:
        self.problem, self.state, self.tolerance = problem, state, tolerance
        self.generator = generator
        fits = len(state.gate)
        self.active = torch.arange(fits)
        self.goal, self.start_gate = state.clone(), state.gate.clone()
        self.value = torch.full((fits,), -torch.inf, dtype=torch.float64)
        self.tries = torch.zeros(fits, dtype=torch.int64)
        self.count = torch.zeros(fits, dtype=torch.int64)
        self.refused, self.restarts = self.count.clone(), self.count.clone()
        self.converged = torch.zeros(fits, dtype=torch.bool)
        self.collapsed = self.converged.clone()
        self.trace: list[list[float]] = [[] for _ in range(fits)]

    def step(self, iterations: int) -> None:
        """One pass over the data of all active fits, and what follows from it for each."""
        fits = self.active
        trial = self.goal[fits]
        if len(fits) and bool((self.tries[fits] > 0).any()):
            share = _CUT ** self.tries[fits].double()
            share[self.tries[fits] >= _TRIES] = 0.0
            back = self.state.gate[fits]
            trial = State(
                back + share[:, None, None] * (trial.gate - back), trial.lines, trial.variances
            )
        moments = self.problem.moments(trial, fits)
        value = moments.log_likelihood
        slack = _ROUNDING * value.abs()
        rises = value >= self.value[fits] - slack
        stuck = ~rises & (self.tries[fits] >= _TRIES)  # no gate step at all: only rounding is left
        again = fits[~rises & ~stuck]
        self.tries[again] += 1
        self.refused[again] += 1
        self._accept(fits[rises], trial[rises], Moments(*(part[rises] for part in moments)))
        self.converged[fits[stuck]] = True
        done = self.converged | (self.count >= iterations)
        self.active = fits[~done[fits]]

    def _accept(self, fits: Tensor, state: State, moments: Moments) -> None:
        if not len(fits):
            return
        gain = moments.log_likelihood - self.value[fits]
        self.converged[fits] = gain < self.tolerance
        self.count[fits] += torch.isfinite(gain)
        self.value[fits], self.tries[fits] = moments.log_likelihood, 0
        self.state.put(fits, state)
        for fit, value in zip(fits.tolist(), moments.log_likelihood.tolist(), strict=True):
            self.trace[fit].append(value)
        goal, collapsed = maximise(state, moments, self.problem.floor[fits])
        self.collapsed[fits] = collapsed.any(1)
        mend = collapsed.any(1) & (self.restarts[fits] < _RESTARTS)
        for place in mend.nonzero()[:, 0].tolist():
            self._restart(int(fits[place]), place, goal, collapsed[place], moments)
        self.goal.put(fits, goal)

    def _restart(
        self, fit: int, place: int, goal: State, collapsed: Tensor, moments: Moments
    ) -> None:
        """Put the collapsed experts of a fit at random samples, as wide as all errors together."""
        weight, squares = expert_sums(
            Moments(*(part[[place]] for part in moments)), goal.lines[[place]]
        )
        spread = squares.sum() / weight.sum()
        row, samples = int(self.problem.row[fit]), int(self.problem.count[fit])
        for expert in collapsed.nonzero()[:, 0].tolist():
            at = int(torch.randint(samples, (1,), generator=self.generator))
            goal.lines[place, expert] = 0.0
            goal.lines[place, expert, -1] = self.problem.targets[row, at]
            goal.variances[place, expert] = spread.maximum(self.problem.floor[fit])
            if expert < goal.gate.shape[1] - 1:
                goal.gate[place, expert] = goal.gate[place].mean(0)
        self.restarts[fit] += 1
        self.converged[fit] = False
        self.value[fit] = -torch.inf  # the next may be lower, and is reported as a restart

    def report(self) -> Fit:
        longest = max(map(len, self.trace))
        full = [values + values[-1:] * (longest - len(values)) for values in self.trace]
        trace = torch.tensor(full, dtype=torch.float64).T
        return Fit(
            self.state.mixture(),
            trace[-1].clone(),
            trace,
            self.count,
            self.converged,
            self.refused,
            self.restarts,
            self.collapsed,
        )


def maximise(state: State, moments: Moments, floor: Tensor) -> tuple[State, Tensor]:
    """The M-step: exact for the experts, one Newton step for the gate; and who has collapsed."""
    lines = torch.linalg.solve(with_ridge(moments.gram), moments.cross)
    weight, squares = expert_sums(moments, lines)
    enough = weight >= lines.shape[-1] + 1
    lines = torch.where(enough[..., None], lines, state.lines)
    variances = torch.where(enough, squares / weight.clamp(min=1e-300), state.variances)
    low = variances < floor[:, None]
    gate = state.gate.clone()
    if gate.shape[1] > 1:
        curvature, gradient = gate_system(moments)
        move = torch.linalg.solve(curvature, gradient)
        gate[:, :-1] += move.view(len(gate), -1, gate.shape[2])
    return State(gate, lines, variances.maximum(floor[:, None])), ~enough | low
