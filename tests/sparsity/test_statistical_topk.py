"""Statistical top-k, Spark layers and sparse kernels: WRITE: which oracles hold here (closed form, brute force, peer, invariance)."""

import pytest
import torch
from l2s.sparsity import statistical_topk


def test_it_equals_an_oracle():
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    oracle = torch.full((4,), torch.nan)  # WRITE: the oracle, and tests beside this one
    torch.testing.assert_close(statistical_topk.method(values), oracle)


def test_bad_input_is_refused_by_name():
    with pytest.raises(ValueError, match="WRITE: the argument, its value, the remedy"):
        statistical_topk.method(torch.ones(3))
