"""Soft top-k and decoupled softmax, forward and backward: ours, PyTorch's, public ones, a floor.

    python -m bench.labels.extreme_labels          # bench/results/labels/extreme_labels.{csv,md}
    python -m bench.labels.extreme_labels --quick  # small, writes nothing

entmax comes with the extra "bench"; softtorch needs Python 3.12, and joins where it is installed.
The floor of soft top-k reads the scores and writes as many numbers, forward, and reads the scores
and a gradient and writes as many, backward, into memory that is there already.
"""

from collections.abc import Callable

import torch
from l2s.kernels.negative_mass import decoupled_loss_rows
from l2s.kernels.negative_mass.reference import differentiable
from l2s.kernels.soft_topk import log_soft_topk, soft_topk
from torch import Tensor
from torch.nn import functional

from bench import harness
from bench.peers import optional

LABELS, QUERIES, POSITIVES = 131_072, 512, 5
SIZES = (64, 4)  # rows: many, and as few as the sorting relaxation can do for k = 100
NOTE = (
    f"Forward and backward, {LABELS} labels, float32, normal scores, sharpness 1. Time is the "
    "median of interleaved runs, and the ratio is to the group's first line; memory is the peak "
    "beyond the inputs. torch.topk has no derivative in the choice and runs forward only. entmax "
    "solves the same problem with a quadratic in place of the entropy, by 24 bisections, enough "
    "for float32. softtorch, where it is installed, relaxes sorting, and holds k rows for each of "
    "ours. "
    f"The losses have {POSITIVES} positives a query, cross-entropy one."
)

Run = Callable[[], object]


def measure(*, scale: int = 1, repeats: int = 7) -> list[dict[str, object]]:
    """One line for each contender, those of a group timed in turns; sizes divided by ``scale``."""
    rows: list[dict[str, object]] = []
    labels = LABELS // scale
    for queries in SIZES:
        for k in (5, 100):
            work = f"soft top-k, {queries} x {labels}, k = {k}"
            rows += _group(work, soft_topk_runs(queries, labels, k), repeats)
    queries = QUERIES // scale
    rows += _group(f"loss, {queries} x {labels}", loss_runs(queries, labels), repeats)
    return rows


def soft_topk_runs(queries: int, labels: int, k: int) -> dict[str, Run]:
    """The contenders for a choice of k; the relaxation of sorting where its memory allows."""
    scores, gradient = _normal(2, queries, labels).unbind()
    scores = scores.requires_grad_()
    plain = scores.detach()

    def differentiated(function: Callable[[Tensor], Tensor]) -> Run:
        def run() -> None:
            function(scores).backward(gradient)
            scores.grad = None  # so that the peak of the next run holds its gradient

        return run

    runs: dict[str, Run] = {
        "torch.topk, forward": lambda: plain.topk(k),
        "soft_topk": differentiated(lambda s: soft_topk(s, k)),
        "log_soft_topk": differentiated(lambda s: log_soft_topk(s, k)),
        "one pass each (floor)": _floor(plain, gradient),
    }
    entmax, softtorch = optional("entmax"), optional("softtorch")
    if entmax:
        budget = entmax.budget_bisect
        runs["entmax budget_bisect"] = differentiated(lambda s: budget(s, float(k), n_iter=24))
    if softtorch and queries < max(SIZES) and harness.fits(12 * 4 * k * scores.numel()):
        options = {"dim": -1, "softness": 1.0, "method": "softsort", "standardize": False}
        runs["softtorch topk, softsort"] = differentiated(
            lambda s: softtorch.topk(s, k, **options)[1].sum(dim=-2)
        )
    return runs


def loss_runs(queries: int, labels: int) -> dict[str, Run]:
    """The contenders for a loss over all labels."""
    scores = _normal(queries, labels).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    lists = torch.stack(
        [torch.randperm(labels, generator=generator)[:POSITIVES] for _ in range(queries)]
    )
    mask = torch.zeros(queries, labels, dtype=torch.bool).scatter_(1, lists, True)
    losses: dict[str, Callable[[], Tensor]] = {
        "F.cross_entropy": lambda: functional.cross_entropy(scores, lists[:, 0]),
        "decoupled, lists": lambda: decoupled_loss_rows(scores, lists).mean(),
        "decoupled, mask": lambda: decoupled_loss_rows(scores, mask).mean(),
        "decoupled, readable": lambda: differentiable(scores, mask)[1].mean(),
    }

    def differentiated(loss: Callable[[], Tensor]) -> Run:
        def run() -> None:
            loss().backward()
            scores.grad = None

        return run

    return {name: differentiated(loss) for name, loss in losses.items()}


def _floor(scores: Tensor, gradient: Tensor) -> Run:
    memory: list[Tensor] = []

    def run() -> None:
        if not memory:
            memory.extend([torch.empty_like(scores), torch.empty_like(scores)])
        torch.mul(scores, 2, out=memory[0])
        torch.mul(scores, gradient, out=memory[1])

    return run


def _group(work: str, runs: dict[str, Run], repeats: int) -> list[dict[str, object]]:
    for run in runs.values():  # load the code, so that it does not count as memory
        run()
    peaks = {name: harness.peak_memory(run) for name, run in runs.items()}
    medians = harness.interleave(runs, repeats=repeats)
    first = next(iter(medians.values()))
    return [
        {
            "work": work,
            "how": name,
            "time / ms": f"{seconds * 1e3:.1f}",
            "ratio": f"{seconds / first:.2f}",
            "peak / MiB": f"{peaks[name] / 2**20:.0f}",
        }
        for name, seconds in medians.items()
    ]


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


if __name__ == "__main__":
    harness.main(
        "labels/extreme_labels", lambda quick: measure(scale=32 if quick else 1), note=NOTE
    )
