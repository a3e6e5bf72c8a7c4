"""The study of rates by EM: all fits in the same passes, against a loop over the fits.

    python -m bench.sparsity.moe_gating_fits          # writes bench/results/sparsity/
    python -m bench.sparsity.moe_gating_fits --quick  # small, writes nothing

Both do the same iterations from the same starts and end by the same rule. The loop takes one fit at
a time and is vectorised over its samples, as lean as PyTorch allows: no safeguard, nothing computed
twice. ``fit_gradient`` makes the same study by fewer passes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from l2s.sparsity.moe_gating import (
    Mixture,
    fit_em,
    fit_gradient,
    log_likelihood,
    sample_targets,
    starts_near,
)
from torch import Tensor

from bench import harness

TRUTH = Mixture.of(
    [[-2.0], [0.0], [3.0]],
    [0.3, 0.0, -0.2],
    [[-3.0], [0.5], [4.0]],
    [-4.0, 0.0, 4.0],
    [0.3, 0.4, 0.5],
)
K, SEEDS, SIZES = 2, 20, 20
SMALLEST, LARGEST, TOLERANCE = 500, 32_000, 1e-6
NOTE = (
    f"{SEEDS} seeds times {SIZES} sample sizes from {SMALLEST} to {LARGEST:,}, three experts of "
    f"which two take part, float64; each fit until an iteration gains less than {TOLERANCE:g} "
    "nats. The loop and `fit_em` do the same iterations. Medians of interleaved runs. The "
    "difference is the largest one of log-likelihoods, in nats, to the loop's."
)


@dataclass(frozen=True)
class Study:
    """Data of every seed, and for every fit its row of data, its samples and its start."""

    inputs: Tensor
    targets: Tensor
    row: Tensor
    count: Tensor
    start: Mixture


def study(seeds: int = SEEDS, sizes: int = SIZES, largest: int = LARGEST) -> Study:
    """Draw the data and the starts."""
    counts = torch.logspace(math.log10(SMALLEST), math.log10(largest), sizes).round().long()
    inputs, targets = [], []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(largest, 1, generator=generator, dtype=torch.float64) * 2 - 1
        inputs.append(x)
        targets.append(sample_targets(x, TRUTH, K, generator=generator))
    return Study(
        torch.stack(inputs),
        torch.stack(targets),
        torch.arange(seeds).repeat_interleave(sizes),
        counts.repeat(seeds),
        starts_near(TRUTH, seeds * sizes, scale=0.05, generator=torch.Generator().manual_seed(99)),
    )


def measure(data: Study, *, repeats: int) -> list[dict[str, object]]:
    """One line for each way, the loop first."""
    results: dict[str, Tensor] = {}

    def kept(name: str, way: Callable[[Study], Tensor]) -> Callable[[], None]:
        def run() -> None:
            results[name] = way(data)

        return run

    ways = {"loop over fits": loop, "fit_em": together, "fit_gradient": by_gradient}
    medians = harness.interleave({n: kept(n, w) for n, w in ways.items()}, repeats=repeats)
    first = medians["loop over fits"]
    return [
        {
            "how": name,
            "fits": len(data.row),
            "time / s": f"{seconds:.2f}",
            "speed-up": f"{first / seconds:.1f}",
            "difference": f"{float((results[name] - results['loop over fits']).abs().max()):.0e}",
        }
        for name, seconds in medians.items()
    ]


def together(data: Study) -> Tensor:
    """All fits by EM in the same passes; their log-likelihoods."""
    options = {"row": data.row, "count": data.count, "tolerance": TOLERANCE}
    return fit_em(data.inputs, data.targets, data.start, K, **options).log_likelihood


def by_gradient(data: Study) -> Tensor:
    """All fits by quasi-Newton steps in the same passes."""
    options = {"row": data.row, "count": data.count, "tolerance": TOLERANCE}
    return fit_gradient(data.inputs, data.targets, data.start, K, **options).log_likelihood


def loop(data: Study) -> Tensor:
    """One fit after the other."""
    values = []
    for fit, (row, count) in enumerate(zip(data.row.tolist(), data.count.tolist(), strict=True)):
        x, y = data.inputs[row, :count], data.targets[row, :count]
        values.append(log_likelihood(x, y, one_by_loop(x, y, data.start[fit]), K))
    return torch.stack(values)


def one_by_loop(x: Tensor, y: Tensor, start: Mixture) -> Mixture:
    """EM with a Newton step for the gate, vectorised over the samples."""
    wide = torch.cat([x, torch.ones_like(x)], dim=1)
    size = wide.shape[1]
    squares = (wide[:, :, None] * wide[:, None, :]).flatten(1)
    crossed, power = wide * y[:, None], y.square()
    gate = torch.cat([start.gate_slopes, start.gate_biases[:, None]], dim=1)
    lines = torch.cat([start.slopes, start.intercepts[:, None]], dim=1)
    variances, value = start.variances, -math.inf
    free = (start.experts - 1) * size
    while True:
        scores = x @ gate[:, :-1].T
        chosen = scores.topk(K, dim=1, sorted=False).indices
        out = torch.full_like(scores, -math.inf).scatter_(1, chosen, 0.0)
        log_pi = (out.add_(scores).add_(gate[:, -1])).log_softmax(dim=1)
        error = torch.addmm(y[:, None], wide, lines.T, alpha=-1)
        constant = 0.5 * (2 * math.pi * variances).log()
        joint = error.square_().mul_(-0.5 / variances).sub_(constant).add_(log_pi)
        total = joint.logsumexp(dim=1)
        before, value = value, float(total.sum())
        if value - before < TOLERANCE:
            return Mixture(gate[:, :-1], gate[:, -1], lines[:, :-1], lines[:, -1], variances)
        pi, r = log_pi.exp_(), joint.sub_(total[:, None]).exp_()
        gram = (r.T @ squares).view(-1, size, size)
        cross = r.T @ crossed
        gradient = ((r - pi).T @ wide)[:-1].flatten()
        own = pi[:, :-1]
        shared = (own[:, :, None] * own[:, None, :]).flatten(1).T @ squares
        shared = shared.view(own.shape[1], own.shape[1], size, size)
        curvature = torch.zeros_like(shared)
        curvature.diagonal().copy_((own.T @ squares).view(-1, size, size).permute(1, 2, 0))
        curvature = (curvature - shared).transpose(1, 2).reshape(free, free)
        lines = torch.linalg.solve(gram, cross)
        explained = (lines * (2 * cross - (gram @ lines[..., None])[..., 0])).sum(1)
        variances = (r.T @ power - explained) / gram[:, -1, -1]
        move = torch.linalg.solve(curvature, gradient).view(-1, size)
        gate = torch.cat([gate[:-1] + move, gate[-1:]])


if __name__ == "__main__":
    harness.main(
        "sparsity/moe_gating_fits",
        lambda quick: (
            measure(study(2, 3, 2000), repeats=1) if quick else measure(study(), repeats=3)
        ),
        note=NOTE,
    )
