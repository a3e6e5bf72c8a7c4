"""The oracles of the grouped product, on all implementations, and how it sits in PyTorch."""

import math

import pytest
import torch
from l2s.kernels import backends, buffers
from l2s.kernels.grouped_matmul import grouped_matmul
from l2s.kernels.grouped_matmul.operator import operator, outer
from torch.autograd import gradcheck, gradgradcheck

from tests.kernels import grouped_matmul_cases
from tests.kernels.drawn import normal

SIZES = torch.tensor([2, 0, 4, 1])


def drawn(dtype=torch.float64):
    """Rows and matrices that need gradients, in four groups of which one is empty."""
    return (
        normal(7, 3, dtype=dtype).requires_grad_(),
        normal(4, 3, 5, seed=1, dtype=dtype).requires_grad_(),
    )


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_all_cases(name):
    assert not list(grouped_matmul_cases.failures(name))


@pytest.mark.usefixtures("implementation")
class TestAnswers:
    def test_gradients_of_any_order(self):
        x, weights = drawn()
        assert gradcheck(lambda x, w: grouped_matmul(x, w, SIZES), (x, weights))
        assert gradgradcheck(lambda x, w: grouped_matmul(x, w, SIZES), (x, weights))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_gradients_are_those_of_a_product_for_each_row(self, dtype):
        x, weights = drawn(dtype)
        pull = normal(7, 5, seed=2, dtype=dtype)
        each = weights[torch.repeat_interleave(torch.arange(4), SIZES)]
        expected = torch.autograd.grad((x[:, None] @ each)[:, 0], (x, weights), pull)
        found = torch.autograd.grad(grouped_matmul(x, weights, SIZES), (x, weights), pull)
        assert [tensor.dtype for tensor in found] == [dtype, dtype]
        torch.testing.assert_close(found, expected)
        assert found[1][1].eq(0).all()  # nobody is in the second group

    def test_only_the_gradient_that_is_needed(self):
        x, weights = drawn()
        result = grouped_matmul(x.detach(), weights, SIZES)
        assert torch.autograd.grad(result.sum(), weights)[0].shape == (4, 3, 5)
        result = grouped_matmul(x, weights.detach(), SIZES)
        assert torch.autograd.grad(result.sum(), x)[0].shape == (7, 3)

    def test_nan_stays_in_its_row(self):
        x, weights = drawn()
        with torch.no_grad():
            x[3, 0] = math.nan
        wrong = grouped_matmul(x, weights, SIZES).isnan().all(dim=1)
        assert wrong.tolist() == [False] * 3 + [True] + [False] * 3

    @pytest.mark.parametrize("shape", [(0, 3, 5), (7, 0, 5), (7, 3, 0)])
    def test_empty(self, shape):
        rows, width, outputs = shape
        x = torch.ones(rows, width, requires_grad=True)
        weights = torch.ones(2, width, outputs, requires_grad=True)
        result = grouped_matmul(x, weights, torch.tensor([rows, 0]))
        result.sum().backward()
        assert result.shape == (rows, outputs)
        assert result.eq(0).all()
        assert x.grad.shape == x.shape
        assert weights.grad.eq(0).all()

    @pytest.mark.parametrize("kind", [torch.int16, torch.int32, torch.int64])
    def test_any_integers_are_sizes(self, kind):
        x, weights = drawn()
        expected = grouped_matmul(x, weights, SIZES)
        assert grouped_matmul(x, weights, SIZES.to(kind)).equal(expected)


def test_the_choice(monkeypatch):
    def chosen(device, numbers):
        return backends.backend("grouped_matmul", device, numbers).__name__.rpartition(".")[2]

    assert chosen("cpu", 1) == "cpu"
    assert chosen("mps", 1) == "reference"
    monkeypatch.setattr(backends, "_is_installed", lambda library: library == "torch")
    assert chosen("cpu", 1) == "cpu"  # it takes no numba
    assert chosen("cuda", 1) == "reference"


def test_live_results_share_no_memory():
    """Memory that went back to the stock is used again, but never while a result lives on it."""
    buffers.clear()
    sizes = torch.tensor([300, 0, 500])
    x = [normal(800, 64, seed=seed).requires_grad_() for seed in range(2)]
    weights = [normal(3, 64, 48, seed=3 + seed).requires_grad_() for seed in range(2)]
    pulls = [normal(800, 48, seed=6 + seed) for seed in range(2)]

    def result(number):
        return grouped_matmul(x[number], weights[number], sizes)

    def gradients(value, number):
        inputs = (x[number], weights[number])
        return torch.autograd.grad(value, inputs, pulls[number], retain_graph=True)

    def alone(number):
        value = result(number)
        return [tensor.detach().clone() for tensor in (value, *gradients(value, number))]

    expected = [alone(number) for number in range(2)]
    values = [result(number) for number in range(2)]
    found = [[values[number], *gradients(values[number], number)] for number in range(2)]
    grouped_matmul(normal(800, 64, seed=9).requires_grad_(), weights[0], sizes).sum().backward()
    again = gradients(values[0], 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(list(again), found[0][1:], rtol=0, atol=0)
    places = [tensor.untyped_storage().data_ptr() for tensor in [*found[0], *found[1], *again]]
    assert len(set(places)) == 8


def test_memory_is_used_again(monkeypatch):
    asked = []
    take = buffers.take
    monkeypatch.setattr(
        buffers, "take", lambda n, like: asked.append(take(n, like=like)) or asked[-1]
    )
    x, weights = drawn()
    buffers.clear()
    places = []
    for _ in range(3):
        grouped_matmul(x, weights, SIZES).sum().backward()
        x.grad = weights.grad = None
        places.append({tensor.data_ptr() for tensor in asked})
        asked.clear()
    assert places[1] == places[2]
    assert len(places[1]) == 3


@pytest.mark.parametrize("half", [operator, outer])
def test_pytorch_accepts_the_registration(half):
    x, weights = drawn()
    second = weights if half is operator else normal(7, 5, seed=4).requires_grad_()
    torch.library.opcheck(half, (x, second, SIZES))


def test_a_compiled_graph_holds_the_operator_whole():
    def loss(x, weights, sizes):
        return grouped_matmul(x * 2, weights, sizes).square().sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for rows in (20, 35):
        x, (_, weights) = normal(rows, 3).requires_grad_(), drawn()
        sizes = torch.tensor([rows - 6, 0, 5, 1])
        expected = torch.autograd.grad(loss(x, weights, sizes), (x, weights))
        found = torch.autograd.grad(compiled(x, weights, sizes), (x, weights))
        torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="`group_sizes`"):
        compiled(normal(8, 3), weights, sizes)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"group_sizes": torch.tensor([2, 0, 4, 2])}, ValueError, ["sum 8", "7 rows of `x`"]),
        ({"group_sizes": torch.tensor([3, -1, 4, 1])}, ValueError, ["smallest entry -1"]),
        ({"group_sizes": torch.tensor([2, 5])}, ValueError, ["`group_sizes`", "(2,)"]),
        ({"group_sizes": torch.tensor([2.0, 0, 4, 1])}, TypeError, ["`group_sizes`", "float32"]),
        ({"group_sizes": [2, 0, 4, 1]}, TypeError, ["`group_sizes`", "tensor"]),
        ({"x": torch.ones(7, 4).double()}, ValueError, ["`weights`", "(4, 3, 5)"]),
        ({"x": torch.ones(7, 3)}, TypeError, ["`x` is float32", "`weights` is float64"]),
        ({"x": torch.ones(7, 3, dtype=torch.long)}, TypeError, ["`x`", "int64"]),
        ({"x": torch.ones(7)}, ValueError, ["`x`", "(7,)"]),
        ({"weights": torch.ones(3, 5).double()}, ValueError, ["`weights`", "(3, 5)"]),
        ({"x": torch.ones(7, 3).double().to("meta")}, ValueError, ["meta", "`x`"]),
    ],
)
@pytest.mark.usefixtures("implementation")
def test_bad_input_is_named(arguments, error, words):
    x, weights = drawn()
    call = {"x": x, "weights": weights, "group_sizes": SIZES} | arguments
    with pytest.raises(error) as caught:
        grouped_matmul(**call)
    for word in words:
        assert word in str(caught.value)
