"""The theory's curve against the simulation that it replaces, and against plain quadrature.

    python -m bench.generalization.high_dimensional          # writes bench/results/generalization/
    python -m bench.generalization.high_dimensional --quick  # small, writes nothing

All make the same table: the test error at 100 times for each of 200 ratios. A simulation draws
inputs, teacher and noise, and has the weights at all times from one decomposition, so that it needs
no loop over steps. One draw errs by several per cent; the number of draws that a mean to one per
cent takes follows from their spread.
"""

import math
from collections.abc import Callable

import torch
from l2s.generalization.high_dimensional import (
    finite_generalization_error,
    generalization_error,
    gradient_flow,
    mp_atom,
    mp_nodes,
)
from torch import Tensor

from bench import harness

RATIOS, TIMES, WEIGHTS = 200, 100, 200
NOISE, TARGET = 0.2, 0.01
FEW_NODES, MANY_NODES = 256, 2**15
NOTE = (
    f"{RATIOS} ratios from 0.1 to 10 times {TIMES} times, float64. Time is the median of "
    "interleaved runs, and the ratio is to the group's first line. The error is relative: for the "
    f"averages the largest against {MANY_NODES:,} nodes, at every tenth ratio and at ratio 1; for "
    f"simulations the standard error, {TARGET:.0%} by the number of draws that is named, at "
    f"N = {WEIGHTS}. The time of a draw is measured, that of all of them is the product. "
    f'"Given inputs" averages over teacher and noise by formula, and draws inputs alone. Plain '
    f"quadrature averages the direct formula over {FEW_NODES} nodes: fast, right for short times, "
    "and wrong near ratio 1 for long ones."
)

Curve = Callable[[Tensor, Tensor], Tensor]


def measure(*, scale: int = 1, repeats: int = 7, draws: int = 8) -> list[dict[str, object]]:
    """One line for each contender; counts of ratios divided by ``scale``."""
    ratios = torch.logspace(-1, 1, RATIOS // scale, dtype=torch.float64)
    rows: list[dict[str, object]] = []
    for last in (2, 6):
        times = torch.logspace(-2, last, TIMES, dtype=torch.float64)
        curves: dict[str, Curve] = {"generalization_error": theory, "plain quadrature": plain}
        medians = harness.interleave(_bound(curves, times, ratios), repeats=repeats)
        first = medians["generalization_error"]
        for name, seconds in medians.items():
            rows.append(_row(last, name, seconds, first, f"{error_of(curves[name], times):.0e}"))
        if last == 2:
            rows += _simulations(times, ratios, first, draws)
    return rows


def theory(times: Tensor, ratios: Tensor) -> Tensor:
    """The library's curve, shape (ratios, times)."""
    return generalization_error(times, ratios, noise=NOISE)


def plain(times: Tensor, ratios: Tensor) -> Tensor:
    """The direct formula over a few nodes: exp(-2 λ t) and 1 / λ are averaged as they stand."""
    return torch.stack([direct(times, ratio, FEW_NODES) for ratio in ratios.tolist()])


def direct(times: Tensor, ratio: float, nodes: int) -> Tensor:
    """The error at one ratio, by the direct formula."""
    values, weights = mp_nodes(ratio, nodes)
    left = torch.exp(-values[:, None] * times)
    average = weights @ (left**2 + NOISE * (1 - left) ** 2 / values[:, None])
    return NOISE + mp_atom(ratio) + average


def exact(times: Tensor, ratio: float) -> Tensor:
    """The error at one ratio without the pole at λ = 0, over very many nodes."""
    values, weights = mp_nodes(ratio, MANY_NODES)
    gone = -torch.expm1(-values[:, None] * times)
    moved = weights @ (gone * (2 - gone))
    return NOISE + 1 - moved + NOISE * (weights / values) @ gone**2


def error_of(curve: Curve, times: Tensor) -> float:
    """The largest relative error over all times, at a tenth of the ratios and at ratio 1."""
    ratios = torch.cat([torch.logspace(-1, 1, 20, dtype=torch.float64), torch.ones(1).double()])
    expected = torch.stack([exact(times, ratio) for ratio in ratios.tolist()])
    return float((curve(times, ratios) / expected - 1).abs().max())


def drawn(times: Tensor, ratios: Tensor, generator: torch.Generator) -> Tensor:
    """One simulation of the table: its own inputs, teacher and noise for every ratio."""
    rows = []
    for ratio in ratios.tolist():
        inputs = _inputs(ratio, generator)
        teacher, noise = (
            torch.randn(size, generator=generator, dtype=torch.float64)
            for size in (WEIGHTS, len(inputs))
        )
        weights = gradient_flow(inputs, inputs @ teacher + math.sqrt(NOISE) * noise, times)
        rows.append(NOISE + (weights - teacher).square().mean(dim=1))
    return torch.stack(rows)


def given_inputs(times: Tensor, ratios: Tensor, generator: torch.Generator) -> Tensor:
    """The same with teacher and noise averaged by formula."""
    return torch.stack(
        [
            finite_generalization_error(_inputs(ratio, generator), times, noise=NOISE)
            for ratio in ratios.tolist()
        ]
    )


def draws_needed(samples: Tensor) -> int:
    """How many draws give the target as the standard error, for the median entry of the table."""
    spread = samples.std(dim=0) / samples.mean(dim=0)
    return max(1, math.ceil(float((spread / TARGET).square().median())))


def _simulations(
    times: Tensor, ratios: Tensor, first: float, draws: int
) -> list[dict[str, object]]:
    rows = []
    for name, simulate in {"simulation": drawn, "given inputs": given_inputs}.items():
        generator = torch.Generator().manual_seed(0)
        samples: list[Tensor] = []
        seconds = harness.interleave(
            {name: lambda s=simulate, g=generator, kept=samples: kept.append(s(times, ratios, g))},
            repeats=draws,
        )[name]
        needed = draws_needed(torch.stack(samples))
        label = f"{name}, {needed} draw{'s' * (needed > 1)}"
        rows.append(_row(2, label, needed * seconds, first, f"{TARGET:.0e}"))
    return rows


def _bound(
    curves: dict[str, Curve], times: Tensor, ratios: Tensor
) -> dict[str, Callable[[], object]]:
    return {name: lambda c=curve: c(times, ratios) for name, curve in curves.items()}


def _inputs(ratio: float, generator: torch.Generator) -> Tensor:
    shape = (max(1, round(ratio * WEIGHTS)), WEIGHTS)
    return torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(WEIGHTS)


def _row(last: int, how: str, seconds: float, first: float, error: str) -> dict[str, object]:
    return {
        "work": f"times up to 10^{last}",
        "how": how,
        "time / ms": f"{seconds * 1e3:.1f}",
        "ratio": f"{seconds / first:,.2f}" if seconds < 100 * first else f"{seconds / first:,.0f}",
        "relative error": error,
    }


if __name__ == "__main__":
    harness.main(
        "generalization/high_dimensional",
        lambda quick: measure(scale=20 if quick else 1),
        note=NOTE,
    )
