"""Arguments that several functions of the chapter share, checked and made float64."""

import math

import torch
from torch import Tensor

from l2s import checks

RATIO_REMEDY = (
    "It is samples per weight, P / N: pass a number above 0, and below 1 where there are more "
    "weights than samples."
)


def ratios(ratio: float | Tensor) -> Tensor:
    """Return the ratios as a vector, each finite and above 0."""
    vector = torch.as_tensor(ratio, dtype=torch.float64).reshape(-1)
    _check(
        "ratio", vector, torch.isfinite(vector) & (vector > 0), "finite and above 0", RATIO_REMEDY
    )
    return vector


def times(time: float | Tensor) -> Tensor:
    """Return the times as a vector, each at least 0; infinity is the end of training."""
    vector = torch.as_tensor(time, dtype=torch.float64).reshape(-1)
    remedy = "Pass step size times steps, or math.inf for the end of training."
    _check("time", vector, vector >= 0, "at least 0", remedy)
    return vector


def variances(*, signal: float, noise: float, init: float) -> None:
    """Raise ``ValueError`` unless all are finite and at least 0."""
    checks.not_negative("signal", signal)
    checks.not_negative("noise", noise)
    checks.not_negative("init", init)


def shaped(table: Tensor, *axes: float | Tensor) -> Tensor:
    """Drop the axes of a table that belong to plain numbers."""
    shape: list[int] = []
    for axis, size in zip(axes, table.shape, strict=True):
        shape += [size] if isinstance(axis, Tensor) and axis.ndim else []
    return table.reshape(shape)


def steps(time: Tensor, step_size: float, largest_eigenvalue: float) -> Tensor:
    """Return the whole numbers of steps that lead to the times; refuse an unstable step size."""
    checks.positive("step_size", step_size)
    limit = 2 / largest_eigenvalue if largest_eigenvalue > 0 else math.inf
    if not step_size < limit:
        raise ValueError(
            f"`step_size` is {step_size!r}, but descent diverges unless it is below 2 / λ_max = "
            f"{limit:.6g} (λ_max is {largest_eigenvalue:.6g}). Pass less, such as {limit / 2:.3g}."
        )
    count = time / step_size
    whole = count.round()
    wrong = torch.isfinite(count) & ((count - whole).abs() > 1e-6 * whole.clamp(min=1))
    if bool(wrong.any()):
        first = float(time[wrong][0])
        near = float(whole[wrong][0]) * step_size
        raise ValueError(
            f"`time` holds {first!r}, which is no whole number of steps of {step_size!r}. "
            f"Pass step_size * steps, such as {near:.6g}."
        )
    return whole


def _check(name: str, vector: Tensor, good: Tensor, must: str, remedy: str) -> None:
    if not vector.numel():
        raise ValueError(f"`{name}` is empty. Pass one value or more.")
    if not bool(good.all()):
        raise ValueError(
            f"`{name}` holds {float(vector[~good][0])!r}, but must be {must}. {remedy}"
        )
