"""Regression problems for the curves: digits with label noise, and how inputs are preprocessed."""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from l2s import checks
from l2s.data import Images, digits, flip_labels

PREPROCESSING = ("none", "centre", "standardise")
_CLASSES = 10


@dataclass(frozen=True, eq=False)
class Regression:
    """Training and test rows of a regression problem.

    Attributes:
        inputs: Training inputs, float64 of shape (samples, dim).
        targets: What is trained on, float64 of shape (samples, outputs); columns have mean 0.
        noise: The part of ``targets`` that is noise: with it taken off, a target is clean.
        test_inputs: Float64 of shape (rows, dim).
        test_targets: Clean, in the unit of ``targets``, float64 of shape (rows, outputs).
    """

    inputs: Float[Tensor, "samples dim"]
    targets: Float[Tensor, "samples outputs"]
    noise: Float[Tensor, "samples outputs"]
    test_inputs: Float[Tensor, "rows dim"]
    test_targets: Float[Tensor, "rows outputs"]

    def __len__(self) -> int:
        return len(self.targets)


@checks.typed
def preprocess(
    train: Float[Tensor, "samples dim"], test: Float[Tensor, "rows dim"], how: str
) -> tuple[Float[Tensor, "samples kept"], Float[Tensor, "rows kept"]]:
    """Centre or standardise columns by the mean and spread of the training rows alone.

    Args:
        train: Floating, of shape (samples, dim).
        test: Floating, of shape (rows, dim).
        how: "none" changes nothing, "centre" takes off each column's mean, "standardise" also
            divides by its standard deviation. A column that is constant in the training rows has
            none, and is dropped from both.

    Raises:
        ValueError: NaN, an unknown way, or nothing but constant columns.

    >>> train = torch.tensor([[0.0, 5.0], [2.0, 5.0]])
    >>> preprocess(train, torch.tensor([[3.0, 6.0]]), "standardise")
    (tensor([[-1.],
            [ 1.]]), tensor([[2.]]))
    """
    checks.one_of("how", how, PREPROCESSING)
    checks.finite("train", train)
    checks.finite("test", test)
    if how == "none":
        return train, test
    mean = train.mean(0)
    if how == "centre":
        return train - mean, test - mean
    spread = (train - mean).square().mean(0).sqrt()
    size = train.abs().amax(0).clamp(min=1e-300)
    varies = spread > 1e-6 * size if train.dtype == torch.float32 else spread > 1e-12 * size
    if not varies.any():
        raise ValueError(
            "`train` holds nothing but constant columns, so nothing is left to standardise. Pass "
            "rows that differ."
        )
    standard = [(rows - mean)[:, varies] / spread[varies] for rows in (train, test)]
    return standard[0], standard[1]


@checks.typed
def noisy_digits(
    samples: int = 200,
    *,
    noise: float = 0.2,
    how: str = "standardise",
    generator: torch.Generator | None = None,
) -> Regression:
    """Draw training rows from scikit-learn's digits, flip some labels, and test on all other rows.

    Targets are one-hot, and the mean of the training targets is taken off all of them, so that no
    intercept is needed. Labels of test rows are clean.

    **Ground truth:** which part of the training targets is noise (``noise`` of the result).

    Args:
        samples: P, from 10 to 1000 of the 1797 digits.
        noise: The probability that a training label is flipped to another class, 0 to 1.
        how: As in ``preprocess``: what is done to the 64 pixels.
        generator: The source of the split and of the flips; None means PyTorch's default generator.

    Raises:
        ValueError: A value is out of its range.

    >>> problem = noisy_digits(100, generator=torch.Generator().manual_seed(0))
    >>> problem.inputs.shape[0], problem.test_inputs.shape[0], problem.targets.shape
    (100, 1697, torch.Size([100, 10]))
    """
    checks.in_range("samples", samples, 10, 1000)
    checks.in_range("noise", noise, 0.0, 1.0)
    checks.one_of("how", how, PREPROCESSING)
    pixels, labels = _all_digits()
    order = torch.randperm(len(labels), generator=generator)
    train, test = order[:samples], order[samples:]
    given = flip_labels(labels[train], classes=_CLASSES, rate=noise, generator=generator).labels
    targets, clean = (functional.one_hot(y, _CLASSES).double() for y in (given, labels[train]))
    mean = targets.mean(0)
    inputs, test_inputs = preprocess(pixels[train], pixels[test], how)
    return Regression(
        inputs=inputs,
        targets=targets - mean,
        noise=targets - clean,
        test_inputs=test_inputs,
        test_targets=functional.one_hot(labels[test], _CLASSES).double() - mean,
    )


@functools.cache
def _all_digits() -> tuple[Tensor, Tensor]:
    """All digits as rows of 64 pixels, float64, and their labels; read once a process."""
    data = digits()
    parts: list[Images] = [data.train, data.validation, data.test]
    pixels = torch.cat([part.images.flatten(1) for part in parts]).double()
    return pixels, torch.cat([part.labels for part in parts])
