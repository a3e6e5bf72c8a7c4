"""What each implementation of the mass of negatives must compute: one set of cases for all.

TRITON_INTERPRET=1 python -m tests.kernels.negative_mass_cases gpu   # one line a failed case
"""

import importlib
import itertools
import sys

import torch
from torch.nn.functional import cross_entropy

PRECISION = {torch.float32: 2e-6, torch.float64: 2e-14}


def inputs():
    """Scores in float64 and positives as a mask: no, few, many and only positives."""
    generator = torch.Generator().manual_seed(4)

    def normal(rows, columns):
        return torch.randn(rows, columns, generator=generator, dtype=torch.float64)

    def some(rows, columns, share):
        mask = torch.rand(rows, columns, generator=generator) < share
        mask[:, columns // 2] = True
        return mask

    dominant = normal(2, 1500)
    dominant[:, 750] = 200.0
    bounds = torch.zeros(2, 2049, dtype=torch.bool)
    bounds[:, [0, 1023, 1024, 2047, 2048]] = True
    whole_block = torch.zeros(1, 2500, dtype=torch.bool)
    whole_block[:, :1100] = True
    return {
        "one label": (normal(2, 1), torch.tensor([[True], [False]])),
        "few labels": (normal(3, 5), some(3, 5, 0.3)),
        "ends of blocks": (normal(2, 2049), bounds),
        "a block of positives": (normal(1, 2500), whole_block),
        "half": (normal(2, 1300), some(2, 1300, 0.5)),
        "only positives": (normal(1, 1100), torch.ones(1, 1100, dtype=torch.bool)),
        "no positive": (normal(1, 1100), torch.zeros(1, 1100, dtype=torch.bool)),
        "dominant positives": (dominant, some(2, 1500, 0.0)),
        "large scores": (normal(2, 1200) + 1e4, some(2, 1200, 0.01)),
        "far apart": (1e3 * normal(2, 1200), some(2, 1200, 0.01)),
    }


def by_loop(scores, mask):
    """l and the loss of every row, one cross-entropy for each positive; in float64."""
    masses, losses = [], []
    for row, positive in zip(scores, mask, strict=True):
        shift = row.detach().max()  # changes no loss, and keeps the digits of large scores
        row = row - shift
        negatives = row[~positive]
        masses.append(negatives.logsumexp(dim=0) + shift)
        each = [
            cross_entropy(torch.cat([row[i : i + 1], negatives]), torch.tensor(0))
            for i in positive.nonzero().flatten()
        ]
        losses.append(torch.stack(each).mean() if each else row.sum() * 0)
    return torch.stack(masses), torch.stack(losses)


def as_lists(mask):
    """The same positives as shuffled lists, filled with -1 at random places."""
    width = int(mask.sum(dim=1).max()) + 2
    lists = torch.full((len(mask), width), -1)
    generator = torch.Generator().manual_seed(5)
    for row, positive in zip(lists, mask, strict=True):
        columns = positive.nonzero().flatten()
        row[torch.randperm(width, generator=generator)[: len(columns)]] = columns
    return lists


def failures(name, dtypes=(torch.float32, torch.float64)):
    """Compare values and gradients with the loop in float64 on the same rounded scores."""
    implementation = importlib.import_module(f"l2s.kernels.negative_mass.{name}")
    for (case, (exact, mask)), dtype in itertools.product(inputs().items(), dtypes):
        scores = exact.to(dtype)
        for_mass, for_loss = torch.randn(2, len(scores), generator=torch.Generator().manual_seed(1))
        for_mass[mask.all(dim=1)] = 0  # minus infinity has no gradient
        leaf = scores.double().requires_grad_()
        mass, loss = by_loop(leaf, mask)
        total = (mass.nan_to_num(neginf=0) * for_mass + loss * for_loss).sum()
        expected = (mass.detach(), loss.detach(), torch.autograd.grad(total, leaf)[0])
        for positives in (mask, as_lists(mask)):
            found = list(implementation.forward(scores, positives))
            pulls = (for_mass.to(dtype), for_loss.to(dtype))
            found[2] = implementation.backward(*pulls, scores, positives, found[2])
            for part, one, other in zip(("l", "loss", "gradient"), found, expected, strict=True):
                error = _error(one, other) / PRECISION[dtype]
                if not error < 1:
                    yield f"{case}, {dtype}, {positives.dtype}: {part} {error:.1f}"


def _error(found, expected):
    """The largest error, relative to the number or, for small ones, to 0.03."""
    usual = expected.abs().clamp(min=0.03)
    error = torch.where(found == expected, 0, (found - expected).abs() / usual)
    return error.detach().nan_to_num(torch.inf).max().item()


if __name__ == "__main__":
    wrong = list(failures(sys.argv[1]))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
