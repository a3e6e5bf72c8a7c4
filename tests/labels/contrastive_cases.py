"""What the tests of the contrastive losses share: the losses by name, inputs, comparisons."""

import pytest
import torch
from l2s.labels.contrastive import dcl, info_nce, nt_xent, supervised_contrastive
from torch.nn import functional

TWO_VIEW_LOSSES = {
    "nt_xent": nt_xent,
    "dcl": dcl,
    "dclw": lambda a, b, **options: dcl(a, b, weighting="von_mises_fisher", **options),
}
LOSSES = TWO_VIEW_LOSSES | {
    "info_nce": info_nce,
    "supervised": lambda a, b, **options: supervised_contrastive(
        torch.cat([a, b]), torch.arange(len(a)).repeat(2) % 7, no_positive="ignore", **options
    ),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
two_view_loss = pytest.mark.parametrize("loss", TWO_VIEW_LOSSES.values(), ids=TWO_VIEW_LOSSES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def views(batch=5, dim=4, *, noise=0.5, seed=0, dtype=torch.float64):
    """Two noisy views of random directions, not normalised."""
    a = torch.randn(batch, dim, generator=seeded(seed), dtype=torch.float64)
    b = a + noise * torch.randn(batch, dim, generator=seeded(seed + 1), dtype=torch.float64)
    return a.to(dtype), b.to(dtype)


def unit_views(*args, **options):
    return tuple(functional.normalize(view, dim=1) for view in views(*args, **options))


def gradients(loss, *inputs):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    return torch.autograd.grad(loss(*leaves), leaves)


def close(actual, expected, rtol=1e-11, atol=1e-12):
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)
