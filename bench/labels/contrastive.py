"""Contrastive losses, forward and backward: ours, public implementations, three matrix products.

    python -m bench.labels.contrastive          # writes bench/results/labels/contrastive.{csv,md}
    python -m bench.labels.contrastive --quick  # small batches, writes nothing

The floor is what any implementation through the full matrix must do: S = Z Z^T forward, S Z and
S^T Z backward, into memory that is there already. It normalises and checks nothing; all others do
their whole work.
"""

import warnings
from collections.abc import Callable

import torch
from l2s.kernels.log_mass import log_mass_reference
from l2s.labels.contrastive import dcl, nt_xent
from torch import Tensor
from torch.nn import functional

from bench import harness
from bench.peers import lightly_loss, metric_learning_losses

DIM, TEMPERATURE, BLOCK = 128, 0.1, 256
LARGEST = {
    "metric-learning NTXentLoss": 256,  # compares all pairs with all: 17 GiB at 512
    "metric-learning SupConLoss": 4096,  # 11 GiB at 8192
}
BATCHES = (256, 512, 1024, 2048, 4096, 8192)
NOTE = (
    f"Forward and backward, two views of each item, dimension {DIM}, float32, temperature "
    f"{TEMPERATURE}. Time is the median of interleaved runs; memory is the peak beyond the inputs. "
    "The floor is the three matrix products alone. A dash: it may need more memory than is free."
)

Loss = Callable[[Tensor, Tensor], Tensor]


def measure(batches: tuple[int, ...], *, repeats: int = 7) -> list[dict[str, object]]:
    """One row for each batch and contender, the contenders of a batch timed in turns."""
    rows: list[dict[str, object]] = []
    peaks: dict[str, list[float]] = {}
    _warm_up()
    for batch in batches:
        runs = {"three products (floor)": three_products(batch)}
        runs |= {name: _forward_backward(loss, batch) for name, loss in losses().items()}
        fitting = {name: run for name, run in runs.items() if _fits(name, batch, peaks)}
        for name, run in fitting.items():
            peaks.setdefault(name, []).append(harness.peak_memory(run))
        medians = harness.interleave(fitting, repeats=repeats)
        rows += [_row(batch, name, medians, peaks) for name in runs]
    return rows


def losses() -> dict[str, Loss]:
    """The contenders: one value where they compute the same loss."""
    lightly, metric_learning = lightly_loss(), metric_learning_losses()
    return {
        "dcl": lambda a, b: dcl(a, b, temperature=TEMPERATURE),
        f"dcl, block_size={BLOCK}": lambda a, b: dcl(
            a, b, temperature=TEMPERATURE, block_size=BLOCK
        ),
        "nt_xent": lambda a, b: nt_xent(a, b, temperature=TEMPERATURE),
        "dcl, readable": readable_dcl,
        "lightly DCLLoss": lightly.DCLLoss(TEMPERATURE),
        "metric-learning SupConLoss": _with_labels(metric_learning.SupConLoss(TEMPERATURE)),
        "metric-learning NTXentLoss": _with_labels(metric_learning.NTXentLoss(TEMPERATURE)),
    }


def readable_dcl(view_a: Tensor, view_b: Tensor) -> Tensor:
    """DCL on the reference of the operator: masked matrix, logsumexp, autograd."""
    a, b = functional.normalize(view_a, dim=1), functional.normalize(view_b, dim=1)
    z, item = torch.cat([a, b]), torch.arange(len(a))
    own_views = torch.stack([item, item + len(a)], dim=1).repeat(2, 1)
    log_u = log_mass_reference(z, z, own_views, temperature=TEMPERATURE)
    return log_u.mean() - (a * b).sum(dim=1).mean() / TEMPERATURE


def three_products(batch: int) -> Callable[[], object]:
    """S = Z Z^T, S Z and S^T Z; the first call makes the memory."""
    z = functional.normalize(_views(batch).flatten(0, 1), dim=1)
    memory: list[Tensor] = []

    def run() -> None:
        if not memory:
            memory.extend([z.new_empty(len(z), len(z)), torch.empty_like(z), torch.empty_like(z)])
        s, rows, columns = memory
        torch.mm(z, z.T, out=s)
        torch.mm(s, z, out=rows)
        torch.mm(s.T, z, out=columns)

    return run


def _forward_backward(loss: Loss, batch: int) -> Callable[[], object]:
    a, b = (view.requires_grad_() for view in _views(batch).unbind())

    def run() -> None:
        a.grad = b.grad = None
        loss(a, b).backward()

    return run


def _with_labels(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A loss of embeddings and labels as one of two views: an item's views share its label."""
    return lambda a, b: loss(torch.cat([a, b]), torch.arange(len(a)).repeat(2))


def _views(batch: int) -> Tensor:
    return torch.randn(2, batch, DIM, generator=torch.Generator().manual_seed(0))


def _warm_up() -> None:
    """Load every library's code, so that it does not count as a loss's memory."""
    for loss in losses().values():
        _forward_backward(loss, 80)()


def _fits(name: str, batch: int, peaks: dict[str, list[float]]) -> bool:
    """Predict the peak of the doubled batch by its last growth, at first by a factor of 8."""
    if batch > LARGEST.get(name, batch):
        return False
    seen = peaks.get(name, [0.0])
    growth = seen[-1] / seen[-2] if len(seen) > 1 else 8.0
    return harness.fits(seen[-1] * max(growth, 4.0))


def _row(
    batch: int, name: str, medians: dict[str, float], peaks: dict[str, list[float]]
) -> dict[str, object]:
    row: dict[str, object] = {"batch": f"2 x {batch}", "loss": name}
    if name not in medians:
        return row | {"time / ms": "-", "time / floor": "-", "time / dcl": "-", "peak / MiB": "-"}
    seconds = medians[name]
    return row | {
        "time / ms": f"{seconds * 1e3:.1f}",
        "time / floor": f"{seconds / medians['three products (floor)']:.2f}",
        "time / dcl": f"{seconds / medians['dcl']:.2f}",
        "peak / MiB": f"{peaks[name][-1] / 2**20:.0f}",
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="lightly")
    harness.main(
        "labels/contrastive", lambda quick: measure(BATCHES[:3] if quick else BATCHES), note=NOTE
    )
