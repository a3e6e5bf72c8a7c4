"""Which implementation runs, and that it makes no difference but in time."""

import subprocess
import sys

import pytest
import torch
from l2s.kernels import backends
from l2s.kernels.negative_mass import decoupled_loss_rows
from l2s.kernels.soft_topk import log_soft_topk
from l2s.kernels.statistical_topk import statistical_topk

CALLS = {
    "soft_topk": lambda scores: log_soft_topk(scores, 5),
    "statistical_topk": lambda scores: statistical_topk(scores, 900),
    "negative_mass": lambda scores: decoupled_loss_rows(scores, torch.tensor([[3, 7]])),
}


def chosen(operator, device, numbers):
    return backends.backend(operator, device, numbers).__name__.rpartition(".")[2]


@pytest.mark.parametrize("operator", CALLS)
def test_the_choice(operator, monkeypatch):
    limit = backends._SMALL[operator]
    monkeypatch.setattr(backends, "_is_installed", lambda _: True)
    assert chosen(operator, "cpu", limit) == "reference"
    assert chosen(operator, "mps", limit + 1) == "reference"
    pytest.importorskip("numba")
    assert chosen(operator, "cpu", limit + 1) == "cpu"
    pytest.importorskip("triton")
    assert chosen(operator, "cuda", 1) == "gpu"


@pytest.mark.parametrize("operator", CALLS)
def test_without_the_library_the_definition_stands_in(operator, monkeypatch):
    monkeypatch.setattr(backends, "_is_installed", lambda _: False)
    for device in ("cpu", "cuda"):
        assert chosen(operator, device, 2**40) == "reference"


@pytest.mark.parametrize("operator", CALLS)
@pytest.mark.parametrize("beyond", [0, 1])
def test_both_sides_of_the_limit_agree(operator, beyond, monkeypatch):
    pytest.importorskip("numba")
    columns = backends._SMALL[operator] + beyond
    scores = torch.randn(1, columns, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def run():
        value = CALLS[operator](scores)
        return value.detach(), torch.autograd.grad(value.sum(), scores)[0]

    as_chosen = run()
    names = []
    for limit in (-1, 2**63):
        monkeypatch.setitem(backends._SMALL, operator, limit)
        names.append(chosen(operator, "cpu", columns))
        torch.testing.assert_close(run(), as_chosen, rtol=1e-5, atol=1e-6)
    assert names == ["cpu", "reference"]


SMALL = """
import sys, torch
from l2s.kernels.negative_mass import decoupled_loss_rows
from l2s.kernels.soft_topk import soft_topk

scores = torch.randn(4, 30, requires_grad=True)
soft_topk(scores, 3).square().sum().backward()
decoupled_loss_rows(scores, torch.eye(4, 30) > 0).sum().backward()
assert "numba" not in sys.modules
"""


def test_small_inputs_load_no_compiler():
    done = subprocess.run([sys.executable, "-c", SMALL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
