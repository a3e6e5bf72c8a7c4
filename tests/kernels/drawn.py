"""Random inputs of the tests."""

import torch


def normal(*shape, seed=0, dtype=torch.float64):
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
