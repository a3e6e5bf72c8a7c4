"""Real training loops: any optimizer, any model, for some steps or down to a stated error."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from l2s import checks
from l2s.train import DivergedError


@dataclass(frozen=True, eq=False)
class Run:
    """What a training loop did.

    Attributes:
        errors: Training errors over all rows, float64 of shape (checks,); the last one is that of
            the weights that the model now holds.
        at: After how many updates each was measured, int64 of shape (checks,).
        steps: How many updates were made.
        reached: Whether the stated error was reached; False where none was stated.
    """

    errors: np.ndarray
    at: np.ndarray
    steps: int
    reached: bool


@checks.typed
def readout(width: int, outputs: int) -> nn.Linear:
    """Return a linear layer without bias, float64, that starts at zero.

    Zero matters: what a start has outside the modes of the training data, descent never removes.

    >>> readout(3, 2).weight.abs().max().item()
    0.0
    """
    checks.at_least("width", width, 1, "A readout needs a feature.")
    checks.at_least("outputs", outputs, 1, "A readout needs an output.")
    layer = nn.Linear(width, outputs, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    return layer


@checks.typed
def train_to_error(
    model: nn.Module,
    inputs: Float[Tensor, "samples features"],
    targets: Float[Tensor, "samples outputs"],
    *,
    optimizer: Optimizer,
    steps: int,
    until: float | None = None,
    batch: int | None = None,
    every: int | None = None,
    generator: torch.Generator | None = None,
) -> Run:
    r"""Minimise the squared error for some steps, or until it is low enough.

    .. math:: \mathcal L = \frac{1}{2P} \sum_i \lVert f(x_i) - y_i \rVert^2

    The *error* is twice that, as everywhere in this module. On ``readout`` with all rows in a batch
    and SGD this is the recursion of ``descent_filter``.

    Args:
        model: The module to train, in place; it is left in training mode.
        inputs: Floating, of shape (samples, features), in the model's dtype.
        targets: Floating, of shape (samples, outputs), in the model's dtype.
        optimizer: An optimizer of the model's parameters, such as ``torch.optim.Adam``.
        steps: The most updates to make; at least 1.
        until: Stop at the first check whose error is at most this; None makes all steps.
        batch: Rows a step, from 1 to all; the rows are shuffled anew in every epoch. None takes all
            rows, in order.
        every: Check the error before the first step, after every this many, and at the end. None:
            once an epoch, which with all rows in a batch is every step.
        generator: The source of the shuffling; None means PyTorch's default generator.

    Returns:
        A ``Run``.

    Raises:
        l2s.train.DivergedError: The error became NaN or infinite.
        ValueError: A value out of its range, or NaN in the data.

    >>> layer = readout(2, 1)
    >>> sgd = torch.optim.SGD(layer.parameters(), lr=1.0)
    >>> x, y = torch.eye(2).double(), torch.ones(2, 1).double()
    >>> run = train_to_error(layer, x, y, optimizer=sgd, steps=100, until=0.01)
    >>> run.steps, run.reached, round(run.errors[-1].item(), 4)  # each step halves both residuals
    (4, True, 0.0039)
    """
    rows = len(inputs)
    _check_run(inputs, targets, steps, until, batch)
    every = every if every is not None else (1 if batch is None else math.ceil(rows / batch))
    checks.at_least("every", every, 1, "Pass None to check once an epoch.")
    errors: list[float] = []
    at: list[int] = []

    def check(step: int) -> bool:
        with torch.no_grad():
            error = 2 * float(_half_error(model(inputs), targets))
        if not math.isfinite(error):
            raise DivergedError("The error", step, error, float(optimizer.param_groups[0]["lr"]))
        errors.append(error)
        at.append(step)
        return until is not None and error <= until

    model.train()
    done, reached = 0, check(0)
    chosen = _batches(rows, batch, generator)
    while done < steps and not reached:
        some = next(chosen)
        optimizer.zero_grad()
        part = (inputs, targets) if some is None else (inputs[some], targets[some])
        _half_error(model(part[0]), part[1]).backward()
        optimizer.step()
        done += 1
        if done % every == 0 or done == steps:
            reached = check(done)
    return Run(np.array(errors), np.array(at, dtype=np.int64), done, reached)


def _half_error(predicted: Tensor, targets: Tensor) -> Tensor:
    return (predicted - targets).square().sum() / (2 * len(targets))


def _batches(
    rows: int, batch: int | None, generator: torch.Generator | None
) -> Iterator[Tensor | None]:
    """Yield rows, epoch after epoch; None stands for all of them."""
    while True:
        if batch is None:
            yield None
        else:
            yield from torch.randperm(rows, generator=generator).split(batch)


def _check_run(
    inputs: Tensor, targets: Tensor, steps: int, until: float | None, batch: int | None
) -> None:
    checks.at_least("samples", len(inputs), 2, "Pass two samples or more.")
    checks.at_least("steps", steps, 1, "Train for one step or more.")
    checks.finite("inputs", inputs)
    checks.finite("targets", targets)
    checks.same_dtype(inputs=inputs, targets=targets)
    if until is not None:
        checks.not_negative("until", until)
    if batch is not None:
        checks.in_range("batch", batch, 1, len(inputs))
