"""The oracles of the sparse feed-forward layer, on all implementations, and its use in PyTorch."""

import math

import pytest
import torch
from l2s.kernels.sparse_ffn import sparse_ffn
from l2s.kernels.sparse_ffn.operator import operator
from l2s.kernels.statistical_topk import statistical_topk
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import gelu

from tests.kernels import sparse_ffn_cases
from tests.kernels.drawn import normal
from tests.kernels.sparse_ffn_cases import as_lists, dense, inputs

ACTIVATIONS = list(sparse_ffn_cases.ACTIVATIONS)
SHAPE = (3, 5, 8, 4, 0.4)


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_all_cases(name):
    if name == "cpu":
        pytest.importorskip("numba")
    assert not list(sparse_ffn_cases.failures(name))


@pytest.mark.usefixtures("implementation")
class TestAnswers:
    def test_it_is_spark_ffn_that_skips_its_zeros(self):
        """The gates are exactly 0 for all but about k neurons: nothing is lost."""
        q, first, second, values = (
            normal(*shape, seed=seed)
            for seed, shape in enumerate([(4, 24), (90, 10), (90, 14), (90, 24)])
        )
        gates = gelu(statistical_topk(q[:, :10] @ first.T, 9))
        expected = (gates * (q[:, 10:] @ second.T)) @ values
        found = sparse_ffn(q[:, 10:], second, values, gates != 0, gates=gates, activation="linear")
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    @pytest.mark.parametrize("is_gated", [False, True])
    @pytest.mark.parametrize("listed", [False, True])
    def test_gradients_are_those_of_the_dense_layer(self, activation, is_gated, listed):
        x, keys, values, mask, gates = inputs(*SHAPE)
        leaves = [tensor.requires_grad_() for tensor in (x, keys, values, gates)]
        own = gates if is_gated else None
        expected = dense(x, keys, values, mask, own, activation)
        active, beside = as_lists(mask, gates) if listed else (mask, gates)
        found = sparse_ffn(
            x, keys, values, active, gates=beside if is_gated else None, activation=activation
        )
        torch.testing.assert_close(found, expected)
        used = leaves if is_gated else leaves[:3]
        pull = normal(3, 4, seed=5)
        torch.testing.assert_close(
            torch.autograd.grad(found, used, pull), torch.autograd.grad(expected, used, pull)
        )

    @pytest.mark.parametrize("activation", ["gelu", "linear"])
    @pytest.mark.parametrize("listed", [False, True])
    def test_gradcheck(self, activation, listed):
        x, keys, values, mask, gates = inputs(*SHAPE)
        active, gates = as_lists(mask, gates) if listed else (mask, gates)

        def value(x, keys, values, gates):
            return sparse_ffn(x, keys, values, active, gates=gates, activation=activation)

        leaves = [tensor.detach().requires_grad_() for tensor in (x, keys, values, gates)]
        assert gradcheck(value, leaves)
        assert gradgradcheck(value, leaves)

    def test_weights_of_neurons_that_are_not_active_are_not_looked_at(self):
        x, keys, values, mask, gates = inputs(*SHAPE)
        expected = sparse_ffn(x, keys, values, mask, gates=gates)
        unused = ~mask.any(dim=0)
        assert unused.any()
        keys[unused], values[unused], gates[~mask] = math.nan, math.inf, math.nan
        for active, own in ((mask, gates), as_lists(mask, gates)):
            assert sparse_ffn(x, keys, values, active, gates=own).equal(expected)

    def test_nan_stays_with_its_token(self):
        x, keys, values, _, _ = inputs(*SHAPE)
        x[1, 2] = math.nan
        y = sparse_ffn(x, keys, values, torch.ones(3, 8, dtype=torch.bool))
        assert y.isnan().all(dim=1).tolist() == [False, True, False]

    def test_any_strides(self):
        x, keys, values, mask, gates = inputs(*SHAPE)
        expected = sparse_ffn(x, keys, values, mask, gates=gates)
        turned = [tensor.T.contiguous().T for tensor in (x, keys, values, mask, gates)]
        assert not turned[1].is_contiguous()
        *tensors, gates = turned
        assert sparse_ffn(*tensors, gates=gates).equal(expected)

    def test_nothing(self):
        x, keys, values, mask, _ = inputs(*SHAPE)
        for active in (mask & False, torch.zeros(3, 0, dtype=torch.int32)):
            leaf = x.clone().requires_grad_()
            y = sparse_ffn(leaf, keys, values, active)
            y.sum().backward()
            assert y.equal(torch.zeros(3, 4).double())
            assert leaf.grad.equal(torch.zeros(3, 5).double())
        assert sparse_ffn(x[:0], keys, values, mask[:0]).shape == (0, 4)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_sums_in_float32(self, dtype):
        x, keys, values, mask, _ = (
            tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in inputs(*SHAPE)
        )
        expected = sparse_ffn(x.float(), keys.float(), values.float(), mask)
        torch.testing.assert_close(sparse_ffn(x, keys, values, mask), expected.to(dtype))


def test_threads_do_not_change_a_result(monkeypatch):
    x, keys, values, mask, _ = inputs(2, 500, 700, 500, 0.5)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    results = [sparse_ffn(x, keys, values, mask) for _ in range(5)]
    assert all(each.equal(results[0]) for each in results)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    torch.testing.assert_close(sparse_ffn(x, keys, values, mask), results[0])


@pytest.mark.parametrize("listed", [False, True])
def test_pytorch_accepts_the_registration(listed):
    x, keys, values, mask, gates = inputs(*SHAPE)
    active, gates = as_lists(mask, gates) if listed else (mask, gates)
    leaves = [tensor.detach().requires_grad_() for tensor in (x, keys, values)]
    torch.library.opcheck(operator, (*leaves, active, gates.detach().requires_grad_(), "gelu"))
    torch.library.opcheck(operator, (*leaves, active, None, "relu"))


def test_a_compiled_graph_holds_the_operator_whole():
    _, keys, values, _, _ = inputs(*SHAPE)

    def loss(x, active):
        return sparse_ffn(x * 2, keys, values, active).square().sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for tokens in (4, 6):
        x = normal(tokens, 5).requires_grad_()
        active = normal(tokens, 8, seed=1) > 0
        expected = torch.autograd.grad(loss(x, active), x)[0]
        torch.testing.assert_close(torch.autograd.grad(compiled(x, active), x)[0], expected)
    with pytest.raises(ValueError, match="neuron 1 twice"):
        compiled(normal(4, 5), torch.ones(4, 2, dtype=torch.long))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"active": torch.ones(2, 4)}, TypeError, ["`active`", "float32"]),
        ({"active": torch.ones(2, 3, dtype=torch.bool)}, ValueError, ["`active`", "(2, 3)"]),
        ({"active": torch.ones(3, 2).long()}, ValueError, ["`active`", "(3, 2)"]),
        ({"active": torch.tensor([[0], [4]])}, ValueError, ["`active`", "0 to 4", "0 to 3"]),
        ({"active": torch.tensor([[0], [10**12]])}, ValueError, ["`active`", str(10**12)]),
        ({"active": torch.tensor([[0, 1], [1, -2]])}, ValueError, ["`active`", "-2"]),
        ({"active": torch.tensor([[0, 1], [3, 3]])}, ValueError, ["Row 1", "neuron 3 twice"]),
        ({"gates": torch.ones(2, 4).double()}, ValueError, ["`gates`", "(2, 4)", "(2, 1)"]),
        ({"gates": torch.ones(2, 1)}, TypeError, ["`gates`", "float32"]),
        ({"activation": "tanh"}, ValueError, ["`activation`", "'tanh'", "'gelu'"]),
        ({"x": normal(2, 5)}, ValueError, ["`keys`", "(4, 3)"]),
        ({"x": normal(2, 3, dtype=torch.float32)}, TypeError, ["`x` is float32", "`keys`"]),
        ({"values": normal(5, 2)}, ValueError, ["`values`", "(5, 2)"]),
        ({"x": torch.ones(2, 3, dtype=torch.long)}, TypeError, ["`x`", "int64"]),
    ],
)
@pytest.mark.usefixtures("implementation")
def test_bad_input_is_named(arguments, error, words):
    given = {
        "x": normal(2, 3),
        "keys": normal(4, 3),
        "values": normal(4, 2),
        "active": torch.tensor([[0], [1]]),
    }
    with pytest.raises(error) as caught:
        sparse_ffn(**(given | arguments))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ([0, 300_000], ["0 to 300000", "0 to 299999"]),
        ([10**12, 0], [str(10**12)]),
        ([0, -2], ["-2"]),
        ([3, 1, 3], ["Row 0", "neuron 3 twice"]),
    ],
)
@pytest.mark.usefixtures("implementation")
def test_a_bad_list_of_a_single_token_is_named(named, words):
    # So many that a mark behind the last one lies on a page of zeros, and is not set by chance.
    with pytest.raises(ValueError, match="`active`|neuron") as caught:
        sparse_ffn(normal(1, 3), normal(300_000, 3), normal(300_000, 2), torch.tensor([named]))
    for word in words:
        assert word in str(caught.value)
