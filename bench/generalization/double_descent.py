"""Spectral descent against the loop that it replaces, and a sweep of widths on two workers.

    python -m bench.generalization.double_descent          # results/generalization/double_descent.*
    python -m bench.generalization.double_descent --quick  # small, writes nothing

The loop is as lean as PyTorch allows: two products with buffers that are there already. The sweep
is that of the chapter; its two ways run in turns, on workers that are started beforehand.
"""

import argparse
from collections.abc import Callable

import torch
from l2s.generalization.double_descent import (
    decompose,
    descent_filter,
    evaluate,
    noisy_digits,
    random_features,
)
from l2s.sweep import sweep
from torch import Tensor

from bench import harness

SAMPLES, WIDTH, STEPS = 200, 200, 100_000
WIDTHS = (100, 150, 200, 250, 400, 800, 1600)
SEEDS = range(8)
NOTE = (
    f"Descent: {SAMPLES} digits, {WIDTH} ReLU features, {STEPS} full-batch steps, float64, with "
    "momentum 0.9 for heavy ball. The spectral form includes its decomposition. Its weights differ "
    "from the loop's by {difference:.0e} (descent) and {heavy:.0e} (heavy ball) of the largest "
    f"weight. Sweep: {len(WIDTHS)} widths up to {max(WIDTHS)}, {len(SEEDS)} seeds, one "
    "decomposition and 20 training rules a cell. Medians of interleaved runs."
)

Run = Callable[[], object]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and, unless quick, write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.generalization.double_descent")
    parser.add_argument("--quick", action="store_true", help="small; writes nothing")
    quick = parser.parse_args(arguments).quick
    rows, differences = measure(steps=1000 if quick else STEPS, seeds=SEEDS[:1] if quick else SEEDS)
    print(f"{harness.table(rows)}\n\n{harness.machine()}")
    print("differences", differences)
    if not quick:
        note = NOTE.format(difference=differences[0], heavy=differences[0.9])
        harness.write("generalization/double_descent", rows, note=note)


def measure(
    *, steps: int = STEPS, seeds: range = SEEDS
) -> tuple[list[dict[str, object]], dict[float, float]]:
    """One line for each contender, and how far the spectral weights are from the loop's."""
    features, targets = problem(WIDTH)
    rows: list[dict[str, object]] = []
    differences: dict[float, float] = {}
    for momentum in (0, 0.9):
        runs = {
            "loop": lambda m=momentum: loop(features, targets, steps, m),
            "spectral": lambda m=momentum: spectral(features, targets, steps, m),
        }
        differences[momentum] = apart(runs["loop"](), runs["spectral"]())
        work = "heavy ball" if momentum else "gradient descent"
        medians = harness.interleave(runs, repeats=3, warmup=0)
        rows += _lines(f"{work}, {steps} steps", medians)
    medians = harness.interleave(sweeps(seeds), repeats=5)
    rows += _lines(f"sweep, {len(WIDTHS) * len(seeds)} cells", medians)
    return rows, differences


def problem(width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features and targets of noisy digits."""
    generator = torch.Generator().manual_seed(seed)
    data = noisy_digits(SAMPLES, generator=generator)
    layer = random_features(data.inputs.shape[1], width, generator=generator)
    return layer(data.inputs), data.targets


def loop(z: Tensor, y: Tensor, steps: int, momentum: float) -> Tensor:
    """Heavy ball step by step, without a fresh tensor in the loop."""
    step = 1 / float(decompose(z, y).eigenvalues[0])
    w = torch.zeros(z.shape[1], y.shape[1], dtype=z.dtype)
    velocity, residual = torch.zeros_like(w), torch.empty_like(y)
    for _ in range(steps):
        torch.addmm(y, z, w, beta=-1, out=residual)
        velocity.addmm_(z.T, residual, beta=momentum, alpha=-step / len(z))
        w += velocity
    return w


def spectral(z: Tensor, y: Tensor, steps: int, momentum: float) -> Tensor:
    """The same weights from one decomposition."""
    spectrum = decompose(z, y)
    step = 1 / float(spectrum.eigenvalues[0])
    e = descent_filter(spectrum.eigenvalues, steps, step_size=step, momentum=momentum)
    return spectrum.weights(e)


def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to the largest weight."""
    return float((a - b).abs().max() / a.abs().max())


def cell(*, seed: int, width: int) -> dict[str, list[float]]:
    """All training rules at one width."""
    generator = torch.Generator().manual_seed(seed)
    data = noisy_digits(SAMPLES, generator=generator)
    layer = random_features(data.inputs.shape[1], width, generator=generator)
    spectrum = decompose(layer(data.inputs), data.targets)
    steps = [int(10 ** (i / 4)) for i in range(4, 24)]
    e = descent_filter(spectrum.eigenvalues, steps, step_size=1 / float(spectrum.eigenvalues[0]))
    errors = evaluate(spectrum, layer(data.test_inputs), data.test_targets, e)
    return {"test": errors.test.tolist()}


def sweeps(seeds: range) -> dict[str, Run]:
    """The sweep in this process and on two workers."""
    grid = {"width": list(WIDTHS)}
    return {
        "one process": lambda: sweep(cell, grid, seeds=seeds, jobs=1, progress=False),
        "two workers": lambda: sweep(cell, grid, seeds=seeds, jobs=2, progress=False),
    }


def _lines(work: str, medians: dict[str, float]) -> list[dict[str, object]]:
    first = next(iter(medians.values()))
    return [
        {
            "work": work,
            "how": name,
            "time / ms": f"{seconds * 1e3:.1f}",
            "speed-up": f"{first / seconds:.2f}",
        }
        for name, seconds in medians.items()
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)  # a process is one core here, so that two workers are two
    main()
