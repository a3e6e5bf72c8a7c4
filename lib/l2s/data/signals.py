"""Small one-dimensional signals: MNIST-1D, generated on the spot."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2s import checks

_SEED = 42  # the package's own default


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals and their classes.

    Attributes:
        signals: Float32 of shape (samples, length).
        labels: Int64 of shape (samples,).
    """

    signals: Float[Tensor, "samples length"]
    labels: Int[Tensor, " samples"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Mnist1d:
    """MNIST-1D in three splits that share no signal; see ``mnist1d``."""

    train: Signals
    validation: Signals
    test: Signals


@checks.typed
def mnist1d(*, samples: int = 5000, generator: torch.Generator | None = None) -> Mnist1d:
    """Generate MNIST-1D: ten digit-like shapes of 12 points, moved, scaled, sheared and noisy.

    Signals are float32 of shape (samples, 40), standardised with the mean and standard deviation
    of the whole set; labels are int64 from 0 to 9. Of ``samples``, in random order, the first 60 %
    train, the next 20 % validate and the last 20 % test. Without a generator the data are always
    the same (those of the package's own settings: its test split is ours). Nothing is downloaded,
    and the global random states are left as they were.

    **Ground truth:** the template behind each signal, that is, its label.

    Args:
        samples: How many signals in all, equally many a class: a multiple of 10, at least 50.
        generator: None gives the fixed data; a generator draws other signals.

    Raises:
        ValueError: ``samples`` is too small or no multiple of 10.

    Source: Greydanus (2020), bibliography key ``greydanus2020``; the ``mnist1d`` package.

    >>> data = mnist1d(samples=100)
    >>> data.train.signals.shape, len(data.validation), len(data.test)
    (torch.Size([60, 40]), 20, 20)
    """
    checks.at_least("samples", samples, 50, "Ask for 50 signals or more.")
    if samples % 10:
        raise ValueError(
            f"`samples` is {samples}, but must be a multiple of 10, as there are ten classes. "
            f"Pass {samples - samples % 10}."
        )
    seed = _SEED
    if generator is not None:
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    made = _generated(samples, seed)
    held_out = samples // 5
    train = len(made["y"]) - held_out
    return Mnist1d(
        train=_signals(made["x"][:train], made["y"][:train]),
        validation=_signals(made["x"][train:], made["y"][train:]),
        test=_signals(made["x_test"], made["y_test"]),
    )


def _generated(samples: int, seed: int) -> dict[str, Any]:
    # The package brings matplotlib and requests along, so it is loaded only where it is needed.
    from mnist1d.data import get_dataset_args, make_dataset

    settings = get_dataset_args()
    settings.num_samples, settings.seed = samples, seed
    with _global_states_restored():  # the package seeds and draws from both global streams
        made: dict[str, Any] = make_dataset(settings)
    return made


@contextmanager
def _global_states_restored() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _signals(signals: np.ndarray, labels: np.ndarray) -> Signals:
    return Signals(torch.from_numpy(signals).float(), torch.from_numpy(labels).long())
