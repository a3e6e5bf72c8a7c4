"""The statistics of top-K softmax gating: WRITE: which oracles hold here (closed form, brute force, peer, invariance)."""

import pytest
import torch
from l2s.sparsity import moe_gating


def test_it_equals_an_oracle():
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    oracle = torch.full((4,), torch.nan)  # WRITE: the oracle, and tests beside this one
    torch.testing.assert_close(moe_gating.method(values), oracle)


def test_bad_input_is_refused_by_name():
    with pytest.raises(ValueError, match="WRITE: the argument, its value, the remedy"):
        moe_gating.method(torch.ones(3))
