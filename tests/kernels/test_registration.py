"""Operators as PyTorch sees them, and what a call leaves out where no gradient is asked for."""

import importlib

import pytest
import torch
from l2s.kernels import registration
from l2s.kernels.registration import call
from l2s.sweep.fingerprint import fingerprint_of

RECORDED = []


@registration.registered("cubed_in_a_test")
def cubed(x: torch.Tensor) -> torch.Tensor:
    return x**3


@torch.library.register_fake(cubed)
def _shape(x):
    return torch.empty_like(x)


def _save(ctx, inputs, output):
    RECORDED.append("forward")
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, gradient):
    return 3 * ctx.saved_tensors[0] ** 2 * gradient


torch.library.register_autograd(cubed, _differentiate, setup_context=_save)


def test_it_is_one_of_pytorchs_operators():
    assert torch.ops.l2s.cubed_in_a_test.default is cubed
    assert "(Tensor x) -> Tensor" in str(cubed._schema)
    torch.library.opcheck(cubed, (torch.randn(3, requires_grad=True),))


def test_a_gradient_flows_where_it_is_asked_for():
    RECORDED.clear()
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    call(cubed, x).sum().backward()
    assert x.grad.equal(torch.tensor([3.0, 12.0]))
    assert RECORDED == ["forward"]


def test_in_no_grad_mode_the_recording_layer_is_passed_by():
    passes = []

    @registration.registered("looked_at_in_a_test")
    def operator(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    def layer(x):
        passes.append(torch.is_grad_enabled())
        with torch._C._AutoDispatchBelowAutograd():
            return operator(x)

    library = torch.library.Library("l2s", "FRAGMENT")
    library.impl("looked_at_in_a_test", layer, "Autograd")
    x = torch.ones(2)
    assert call(operator, x).sum() == 4
    with torch.no_grad():
        assert call(operator, x).sum() == 4
        assert passes == [True]
        operator(x)
    assert passes == [True, False]  # it is there for those who call the operator itself


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_recorded(mode):
    RECORDED.clear()
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with mode():
        result = call(cubed, x)
    assert result.equal(torch.tensor([1.0, 8.0]))
    assert not result.requires_grad
    assert not RECORDED
    if mode is torch.no_grad:  # it may take part in what follows
        (x * result).sum().backward()
        assert x.grad.equal(result)


@pytest.mark.parametrize("records", [False, True])
def test_it_compiles_in_one_piece(records):
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    compiled = torch.compile(lambda x: call(cubed, x) + 1, fullgraph=True, backend="aot_eager")
    with torch.set_grad_enabled(records):
        result = compiled(x)
    assert result.equal(torch.tensor([2.0, 9.0]))
    assert result.requires_grad == records


def test_a_stored_result_depends_on_all_that_the_operators_module_says(tmp_path, monkeypatch):
    file = tmp_path / "study_of_operators.py"
    text = (
        "import torch\n"
        "from l2s.kernels.registration import registered\n"
        "@registered('doubled_in_a_test')\n"
        "def operator(x: torch.Tensor) -> torch.Tensor:\n"
        "    return 2 * x\n"
        "SLOPE = 2\n"
    )
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    operator = importlib.import_module("study_of_operators").operator
    before = fingerprint_of(lambda: operator)
    assert fingerprint_of(lambda: operator) == before
    file.write_text(text.replace("SLOPE = 2", "SLOPE = 3"))
    assert fingerprint_of(lambda: operator) != before
