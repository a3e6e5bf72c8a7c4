"""Neural collapse: its measures in one pass over many features, and its theory next to training.

    python -m bench.geometry.neural_collapse          # writes bench/results/geometry/...
    python -m bench.geometry.neural_collapse --quick  # small, writes nothing

The floor of the measures is what no implementation can leave out: reading every feature once, and
the product of the covariance, into memory that is there already. The straightforward way holds the
centred features beside the features, and needs all of them at once.
"""

import time
from collections.abc import Callable

import torch
from l2s.geometry.neural_collapse import (
    ClassStatistics,
    linear_head_solution,
    nc1,
    train_free_features,
)
from torch import Tensor

from bench import harness

ROWS, DIM, CLASSES, BATCH, OFFSET = 1_000_000, 512, 1000, 8192, 100.0
HEADS, DEPTH, DECAY, STEPS = 1000, 6, 1e-4, 20
NOTE = (
    f"NC1 of {ROWS:,} x {DIM} float32 features, {CLASSES:,} classes, spread 1 about means of "
    f"spread 1 at an offset of {OFFSET:g}, in batches of {BATCH}; errors are relative to float64. "
    f"The floor is one reading and the covariance product. Theory: the closed form for {HEADS:,} "
    f"classes of 1 to {HEADS:,} samples and {DEPTH} layers. Training: the same model with one "
    f"sample a class, and {STEPS} iterations of L-BFGS only, far from the minimum. Time is the "
    "median of interleaved runs; memory is the peak beyond the inputs."
)

Row = dict[str, object]


def both(quick: bool) -> list[Row]:
    """The measures, then the theory."""
    sizes = (20_000, 64, 50) if quick else (ROWS, DIM, CLASSES)
    return measures(*sizes) + theory(20 if quick else HEADS)


def measures(rows: int, dim: int, classes: int, *, repeats: int = 5) -> list[Row]:
    """One line for each way to measure NC1."""
    features, labels = data(rows, dim, classes)
    truth = exact_nc1(features, labels, classes)
    runs = contenders(features, labels, classes)
    peaks = {name: harness.peak_memory(run) for name, run in runs.items()}
    medians = harness.interleave(runs, repeats=repeats)
    floor = medians["reading and product (floor)"]
    lines = []
    for name, run in runs.items():
        value = run()
        error = f"{abs(value / truth - 1):.0e}" if isinstance(value, float) else "-"
        lines.append(
            _line(f"NC1, {rows:,} x {dim}", name, medians[name], floor, peaks[name], error)
        )
    return lines


def contenders(features: Tensor, labels: Tensor, classes: int) -> dict[str, Callable[[], object]]:
    """The ways, by name; all but the floor return NC1."""
    return {
        "reading and product (floor)": _floor(features),
        "l2s, one pass": lambda: one_pass(features, labels, classes),
        "straightforward, all at once": lambda: straightforward(features, labels, classes),
        "one pass without a shift": lambda: unshifted(features, labels, classes),
    }


def one_pass(features: Tensor, labels: Tensor, classes: int) -> float:
    statistics = ClassStatistics(classes, features.shape[1])
    for rows, own in zip(features.split(BATCH), labels.split(BATCH), strict=True):
        statistics.update(rows, own)
    return nc1(statistics)


def straightforward(features: Tensor, labels: Tensor, classes: int) -> float:
    """By the definition: means, then centred features, then their product."""
    counts = torch.bincount(labels, minlength=classes)
    means = torch.zeros(classes, features.shape[1]).index_add_(0, labels, features)
    means /= counts[:, None]
    centred = features - means[labels]
    within = centred.T @ centred / len(labels)
    return _nc1(within.double(), means.double(), counts)


def unshifted(features: Tensor, labels: Tensor, classes: int) -> float:
    """The textbook's sums: of rows, and of products of rows."""
    dim = features.shape[1]
    sums, products = torch.zeros(classes, dim), torch.zeros(dim, dim)
    for rows, own in zip(features.split(BATCH), labels.split(BATCH), strict=True):
        sums.index_add_(0, own, rows)
        products.addmm_(rows.T, rows)
    counts = torch.bincount(labels, minlength=classes)
    means = sums.double() / counts[:, None]
    within = products.double() - means.T @ (counts[:, None] * means)
    return _nc1(within / len(labels), means, counts)


def exact_nc1(features: Tensor, labels: Tensor, classes: int) -> float:
    """Two passes in float64."""
    counts = torch.bincount(labels, minlength=classes)
    means = torch.zeros(classes, features.shape[1], dtype=torch.float64)
    within = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
    batches = list(zip(features.split(BATCH), labels.split(BATCH), strict=True))
    for rows, own in batches:
        means.index_add_(0, own, rows.double())
    means /= counts[:, None]
    for rows, own in batches:
        centred = rows.double() - means[own]
        within.addmm_(centred.T, centred)
    return _nc1(within / len(labels), means, counts)


def theory(classes: int) -> list[Row]:
    """The closed form, and some steps of training in its place."""

    def closed_form() -> object:
        return linear_head_solution(range(1, classes + 1), DEPTH, DECAY, DECAY).loss

    def training() -> object:
        generator = torch.Generator().manual_seed(0)
        return train_free_features(
            [1] * classes, DEPTH, DECAY, DECAY,
            dim=classes, starts=1, scale=classes**-0.5, steps=STEPS, generator=generator,
        ).loss  # fmt: skip

    start = time.perf_counter()
    training()
    trained = time.perf_counter() - start
    closed = harness.interleave({"closed form": closed_form})["closed form"]
    work = f"theory, {classes:,} classes, {DEPTH} layers"
    return [
        _line(work, "l2s, closed form", closed, closed),
        _line(work, f"training, {STEPS} iterations", trained, closed),
    ]


def data(rows: int, dim: int, classes: int) -> tuple[Tensor, Tensor]:
    """Normal features about normal class means, at an offset; made in place."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (rows,), generator=generator)
    labels[:classes] = torch.arange(classes)
    means = OFFSET + torch.randn(classes, dim, generator=generator)
    features = torch.randn(rows, dim, generator=generator)
    for part, own in zip(features.split(BATCH), labels.split(BATCH), strict=True):
        part += means[own]
    return features, labels


def _floor(features: Tensor) -> Callable[[], object]:
    products = torch.zeros(features.shape[1], features.shape[1])

    def run() -> None:
        for rows in features.split(BATCH):
            rows.sum()
            products.addmm_(rows.T, rows)

    return run


def _nc1(within: Tensor, means: Tensor, counts: Tensor) -> float:
    share = counts.double() / counts.sum()
    centred = share.sqrt()[:, None] * (means - share @ means)
    inverse = torch.linalg.pinv(centred.T @ centred, rtol=1e-10, hermitian=True)
    return float((within * inverse).sum() / len(means))


def _line(
    work: str, how: str, seconds: float, base: float, peak: float | None = None, error: str = "-"
) -> Row:
    return {
        "work": work,
        "how": how,
        "time / ms": f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}",
        "time / floor": f"{seconds / base:.2f}"
        if seconds < 100 * base
        else f"{seconds / base:.0f}",
        "peak / MiB": "-" if peak is None else f"{peak / 2**20:.0f}",
        "error": error,
    }


if __name__ == "__main__":
    harness.main("geometry/neural_collapse", both, note=NOTE)
