"""A tiny honest training loop: it stops where the loss diverges and hides nothing it did."""

import contextlib
import copy
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from l2s import checks


@dataclass(frozen=True, eq=False)
class History:
    """What a training run did, as plain numpy arrays.

    Attributes:
        loss: The training loss of every step, before its update; float64 of shape (steps,).
        metrics: For each name that ``evaluate`` returned, its values; float64 of shape
            (evaluations,).
        metric_steps: How many updates the model had made at each evaluation; int64 of shape
            (evaluations,). 0 is the untrained model.
        stopped_at: How many updates were made in all.
        best_step: Where a monitor chose the weights that the model now holds, how many updates
            they had; otherwise None.
    """

    loss: np.ndarray
    metrics: Mapping[str, np.ndarray]
    metric_steps: np.ndarray
    stopped_at: int
    best_step: int | None


class DivergedError(ValueError):
    """The training loss, or a weight, became NaN or infinite.

    Attributes:
        what: What became NaN or infinite.
        step: The step (from 0) at which it was seen.
        loss: The loss of that step.
        learning_rate: The learning rate of the optimizer's first group at that step.
    """

    def __init__(self, what: str, step: int, loss: float, learning_rate: float) -> None:
        super().__init__(what, step, loss, learning_rate)
        self.what, self.step, self.loss, self.learning_rate = what, step, loss, learning_rate

    def __str__(self) -> str:
        remedy = (
            f"Lower the learning rate (try {self.learning_rate / 3:.1g}), warm it up, or clip "
            "the gradient."
            if self.step
            else "At the first step the batch or the loss is at fault: look for NaN in the data."
        )
        return (
            f"{self.what} became NaN or infinite at step {self.step}: loss {self.loss:.6g}, "
            f"learning rate {self.learning_rate:g}. {remedy}"
        )


@checks.typed
def fit(
    model: nn.Module,
    loss: Callable[[Any], Any],
    batches: Iterable[Any] | Callable[[int], Any],
    *,
    optimizer: Optimizer,
    schedule: LRScheduler | None = None,
    steps: int,
    evaluate: Callable[[], Mapping[str, float]] | None = None,
    every: int | None = None,
    patience: int | None = None,
    monitor: str | None = None,
    mode: Literal["max", "min"] | None = None,
    progress: bool = False,
) -> History:
    """Train a model for a number of steps and return what happened.

    A step takes a batch, computes ``loss(batch)``, and lets the optimizer (then the schedule)
    step once. The loss is read at every step, so a diverging run stops at once.

    Args:
        model: The module to train, in place. It is in training mode during steps and in
            evaluation mode during ``evaluate``; it is left in training mode.
        loss: From a batch to a scalar tensor that depends on the model's parameters; usually a
            closure over the model.
        batches: A function from the step (0, 1, ...) to a batch, or an iterable. An iterable
            that can start anew (a list, a ``DataLoader``) is passed through as often as needed;
            an iterator (a generator) is read once and must hold ``steps`` batches.
        optimizer: An optimizer of the model's parameters.
        schedule: A learning-rate schedule of that optimizer, stepped after every step.
        steps: How many updates to make; at least 1.
        evaluate: Returns named numbers, the same names each time; called without gradients.
        every: Evaluate before the first step, after every this many, and after the last. None:
            only after the last.
        patience: Stop after this many evaluations in a row without an improvement; needs
            ``monitor`` and ``every``.
        monitor: The metric that chooses the weights: at the end the model gets back those of its
            best evaluation (the earliest where several tie), the untrained ones included.
        mode: Whether the monitored metric is better at its "max" or its "min"; needed with
            ``monitor``.
        progress: Show a tqdm bar, unless the environment variable L2S_PROGRESS is 0.

    Returns:
        A ``History`` of losses and metrics.

    Raises:
        DivergedError: The loss or a weight became NaN or infinite.
        TypeError: The loss is not a tensor, or ``batches`` is one.
        ValueError: Arguments that do not go together, an optimizer of other parameters, batches
            that ran out, a loss that is not a scalar or has no gradient, metrics that change
            their names, or a monitored metric that is missing or NaN.

    >>> from torch.nn.functional import mse_loss
    >>> x = torch.linspace(-1, 1, 20)[:, None]
    >>> line = nn.Linear(1, 1)
    >>> sgd = torch.optim.SGD(line.parameters(), lr=0.3)
    >>> history = fit(line, lambda b: mse_loss(line(b), 2 * b + 1), [x], optimizer=sgd, steps=200)
    >>> history.loss.shape, history.stopped_at, round(line.bias.item(), 3)
    ((200,), 200, 1.0)
    """
    _check_plan(steps, evaluate, every, patience, monitor, mode)
    _check_pieces(model, optimizer, batches)
    losses = np.empty(steps)
    log = _Log(model, evaluate, monitor, mode)
    model.train()
    if every:
        log.evaluate(0)
    step = done = 0
    with _tiny_as_zero():
        for step, batch in enumerate(_with_bar(_stream(batches, steps), steps, progress)):
            optimizer.zero_grad()
            value = loss(batch)
            losses[step] = _number(value, step, optimizer)
            value.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            done = step + 1
            if done == steps or (every and done % every == 0):
                _check_weights(model, step, losses[step], optimizer)
                log.evaluate(done)
                if patience and log.without_improvement >= patience:
                    break
    log.restore_best()
    return History(
        loss=losses[:done].copy(),
        metrics=log.arrays(),
        metric_steps=np.array(log.steps, dtype=np.int64),
        stopped_at=done,
        best_step=log.best_step,
    )


@contextlib.contextmanager
def _tiny_as_zero() -> Iterator[None]:
    """Let a processor take numbers below the normal range as 0, and then as it did before.

    Where a gradient stays 0, as for a pixel that is always dark, Adam's means of it decay into that
    range after some 800 steps, and from there on a step was seen to take four times as long.
    """
    was_so = bool(torch.tensor(1e-40) * 1.0 == 0.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_so)


@checks.typed
def cosine_with_warmup(
    optimizer: Optimizer, *, steps: int, warmup: int = 0, floor: float = 0.0
) -> LambdaLR:
    r"""Raise the learning rate in a line for the warmup, then lower it along a cosine.

    With the optimizer's own rate :math:`\eta`, warmup w, T steps and floor f, step t uses

    .. math::
        \eta\, \frac{t + 1}{w} \quad (t < w), \qquad
        \eta \left(f + (1 - f)\, \frac{1 + \cos(\pi (t - w)/(T - w))}{2}\right) \quad (t \ge w),

    and :math:`\eta f` from step T on.

    Args:
        optimizer: Its learning rates are the peaks.
        steps: T, at least 1.
        warmup: w, from 0 to ``steps``.
        floor: f, the share of the peak that is left at the end; 0 to 1.

    Raises:
        ValueError: A value is out of its range.

    Source: Loshchilov and Hutter (2017), SGDR, arXiv:1608.03983; without restarts.

    >>> sgd = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.4)
    >>> schedule = cosine_with_warmup(sgd, steps=6, warmup=2)
    >>> rates = []
    >>> for _ in range(7):
    ...     rates.append(round(sgd.param_groups[0]["lr"], 3))
    ...     sgd.step()
    ...     schedule.step()
    >>> rates
    [0.2, 0.4, 0.4, 0.341, 0.2, 0.059, 0.0]
    """
    checks.at_least("steps", steps, 1, "Train for one step or more.")
    checks.in_range("warmup", warmup, 0, steps)
    checks.in_range("floor", floor, 0.0, 1.0)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if step >= steps:
            return floor
        along = (step - warmup) / (steps - warmup)
        return floor + (1 - floor) * (1 + math.cos(math.pi * along)) / 2

    return LambdaLR(optimizer, factor)


class _Log:
    """The evaluations so far, and the best weights among them where a metric is monitored."""

    def __init__(
        self,
        model: nn.Module,
        evaluate: Callable[[], Mapping[str, float]] | None,
        monitor: str | None,
        mode: str | None,
    ) -> None:
        self._model, self._evaluate, self._monitor, self._mode = model, evaluate, monitor, mode
        self._rows: list[dict[str, float]] = []
        self._best = -math.inf
        self._best_weights: dict[str, Any] = {}
        self.steps: list[int] = []
        self.best_step: int | None = None
        self.without_improvement = 0

    def evaluate(self, step: int) -> None:
        if self._evaluate is None:
            return
        self._model.eval()
        with torch.no_grad():
            row = {name: float(value) for name, value in self._evaluate().items()}
        self._model.train()
        if self._rows and row.keys() != self._rows[0].keys():
            raise ValueError(
                f"`evaluate` returned {sorted(row)} after {step} steps, but "
                f"{sorted(self._rows[0])} before. Return the same names each time."
            )
        self._rows.append(row)
        self.steps.append(step)
        if self._monitor is not None:
            self._keep_if_best(row, step, self._monitor)

    def _keep_if_best(self, row: dict[str, float], step: int, monitor: str) -> None:
        if monitor not in row:
            raise ValueError(
                f"`monitor` is {monitor!r}, but `evaluate` returned {sorted(row)}. "
                "Monitor one of those."
            )
        if math.isnan(row[monitor]):
            raise ValueError(
                f"`evaluate` returned NaN for the monitored {monitor!r} after {step} steps. "
                "Monitor a metric that is defined at every evaluation."
            )
        score = row[monitor] if self._mode == "max" else -row[monitor]
        self.without_improvement += 1
        if score > self._best or self.best_step is None:
            self._best, self.best_step, self.without_improvement = score, step, 0
            self._best_weights = copy.deepcopy(self._model.state_dict())

    def restore_best(self) -> None:
        if self.best_step is not None:
            self._model.load_state_dict(self._best_weights)

    def arrays(self) -> dict[str, np.ndarray]:
        names = self._rows[0] if self._rows else ()
        return {name: np.array([row[name] for row in self._rows]) for name in names}


def _check_plan(
    steps: int,
    evaluate: Callable[[], Mapping[str, float]] | None,
    every: int | None,
    patience: int | None,
    monitor: str | None,
    mode: str | None,
) -> None:
    checks.at_least("steps", steps, 1, "Train for one step or more.")
    if every is not None:
        checks.at_least("every", every, 1, "Pass None to evaluate only at the end.")
    if patience is not None:
        checks.at_least("patience", patience, 1, "Pass None to never stop early.")
    for name, value, needed, partner in (
        ("every", every, "evaluate", evaluate),
        ("monitor", monitor, "evaluate", evaluate),
        ("patience", patience, "monitor", monitor),
        ("patience", patience, "every", every),
        ("mode", mode, "monitor", monitor),
    ):
        if value is not None and partner is None:
            raise ValueError(f"`{name}` is {value!r} but `{needed}` is None. Pass `{needed}` too.")
    if monitor is not None and mode is None:
        raise ValueError(
            f"`monitor` is {monitor!r} but `mode` is None. Pass mode='max' where more is better "
            "(an accuracy), mode='min' where less is (a loss)."
        )


def _check_pieces(model: nn.Module, optimizer: Optimizer, batches: object) -> None:
    if isinstance(batches, Tensor):
        raise TypeError(
            f"`batches` is a tensor of shape {tuple(batches.shape)}, which would be read row by "
            "row. Pass [tensor] to train on the whole of it, or a function from step to batch."
        )
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "`optimizer` holds none of the model's parameters, so the model would never change. "
            "Make it from model.parameters()."
        )


def _stream(batches: Iterable[Any] | Callable[[int], Any], steps: int) -> Iterator[Any]:
    """Yield one batch a step, starting an iterable anew where it ends."""
    if not isinstance(batches, Iterable):
        yield from map(batches, range(steps))
        return
    given = 0
    while given < steps:
        before = given
        for batch in islice(batches, steps - given):
            yield batch
            given += 1
        if given < steps and (given == before or isinstance(batches, Iterator)):
            raise ValueError(
                f"`batches` ran out after {given} of {steps} steps. Pass a function from the step "
                "to a batch, a list or DataLoader (it starts anew), or fewer steps."
            )


def _with_bar(stream: Iterator[Any], steps: int, progress: bool) -> Iterable[Any]:
    if not progress or os.environ.get("L2S_PROGRESS") == "0":
        return stream
    from tqdm.auto import tqdm  # loaded only where a bar is shown

    bar: Iterable[Any] = tqdm(stream, total=steps, unit="step")
    return bar


def _number(value: object, step: int, optimizer: Optimizer) -> float:
    """Return the loss as a float, or say what is wrong with it."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"`loss` returned {value!r} of type {type(value).__name__}, but must return a scalar "
            "tensor. Leave out .item()."
        )
    if value.ndim:
        raise ValueError(
            f"`loss` returned a tensor of shape {tuple(value.shape)}, but must return a scalar. "
            "Reduce it, for example with .mean()."
        )
    number = value.item()
    if not math.isfinite(number):
        raise DivergedError("The loss", step, number, _rate(optimizer))
    if not value.requires_grad:
        raise ValueError(
            "`loss` returned a tensor without a gradient. Compute it from the model's parameters, "
            "without .detach() or no_grad()."
        )
    return number


def _check_weights(model: nn.Module, step: int, loss: float, optimizer: Optimizer) -> None:
    if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
        raise DivergedError("A weight", step, float(loss), _rate(optimizer))


def _rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])
