"""The layer of experts against a loop over tokens, its gradients, and its memory."""

import itertools

import pytest
import torch
from l2s.kernels import buffers
from l2s.sparsity.moe_gating import Mixture, MixtureOfExperts, TopKGate, select, topk_log_gate
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.nn import functional as F

from tests.kernels.drawn import normal
from tests.sparsity.moe_layer_definition import by_token, places

DIM, HIDDEN, EXPERTS, TOKENS = 5, 7, 6, 23


def layer_of(k=2, dtype=torch.float64, experts=EXPERTS, seed=0, **options):
    """A small layer with a bias that is not zero, where it has one."""
    generator = torch.Generator().manual_seed(seed)
    layer = MixtureOfExperts(DIM, HIDDEN, experts=experts, k=k, generator=generator, **options)
    if layer.gate.biases is not None:
        torch.nn.init.normal_(layer.gate.biases, generator=generator)
    return layer.to(dtype)


def gradients(value, layer, inputs):
    """The gradients of a weighted sum of outputs, for the inputs and all parameters."""
    pull = normal(*value.shape, seed=9, dtype=value.dtype)
    return torch.autograd.grad(value, [inputs, *layer.parameters()], pull)


@pytest.mark.parametrize("k", [1, 2, EXPERTS])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
@pytest.mark.parametrize(
    ("softmax_over", "bias"), list(itertools.product(("kept", "all"), (False, True)))
)
def test_it_is_the_loop_over_tokens(k, activation, softmax_over, bias):
    layer = layer_of(k, activation=activation, softmax_over=softmax_over, bias=bias)
    inputs = normal(TOKENS, DIM, seed=1).requires_grad_()
    found, expected = layer(inputs).outputs, by_token(layer, inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        gradients(found, layer, inputs), gradients(expected, layer, inputs), rtol=0, atol=1e-11
    )


def test_it_is_the_loop_in_float32():
    layer = layer_of(dtype=torch.float32)
    inputs = normal(TOKENS, DIM, seed=1, dtype=torch.float32).requires_grad_()
    found, expected = layer(inputs).outputs, by_token(layer, inputs)
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * scale)
    for one, other in zip(*(gradients(v, layer, inputs) for v in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6 * other.abs().max().item())


def test_all_experts_are_a_dense_mixture():
    layer = layer_of(EXPERTS)
    inputs = normal(TOKENS, DIM, seed=1)
    each = F.relu(torch.einsum("td,edh->teh", inputs, layer.w_in))
    each = torch.einsum("teh,ehd->ted", each, layer.w_out)
    weights = (inputs @ layer.gate.slopes.T).softmax(dim=1)
    expected = (weights[:, :, None] * each).sum(dim=1)
    torch.testing.assert_close(layer(inputs).outputs, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, EXPERTS])
def test_its_gate_is_that_of_the_mixture(k):
    gate = layer_of(k, bias=True).gate
    inputs = normal(TOKENS, DIM, seed=1)
    unused = [[[0.0] * DIM] * EXPERTS, [0.0] * EXPERTS, [1.0] * EXPERTS]
    mixture = Mixture.of(gate.slopes.tolist(), gate.biases.tolist(), *unused)
    routing = gate(inputs)
    found = torch.zeros(TOKENS, EXPERTS).double().scatter(1, routing.experts, routing.weights)
    torch.testing.assert_close(found, topk_log_gate(inputs, mixture, k).exp(), rtol=0, atol=1e-14)
    assert found.bool().equal(select(inputs @ gate.slopes.T, k))


@pytest.mark.parametrize("capacity", [None, 0.7])
def test_gradients_of_any_order(capacity):
    layer = layer_of(capacity=capacity, activation="gelu", balance=0.3, z=0.2)
    names = [name for name, _ in layer.named_parameters()]
    inputs = normal(8, DIM, seed=1).requires_grad_()

    def value(inputs, *parameters):
        mixed = functional_call(layer, dict(zip(names, parameters, strict=True)), (inputs,))
        return mixed.outputs, mixed.loss

    assert gradcheck(value, (inputs, *layer.parameters()))
    assert gradgradcheck(value, (inputs, *layer.parameters()))


@pytest.mark.parametrize("frozen", ["inputs", "gate.slopes", "w_in", "w_out"])
def test_what_is_frozen_gets_no_gradient_and_the_others_theirs(frozen):
    layer, inputs = layer_of(), normal(TOKENS, DIM, seed=1).requires_grad_()
    leaves = {"inputs": inputs, **dict(layer.named_parameters())}
    full = dict(zip(leaves, gradients(layer(inputs).outputs, layer, inputs), strict=True))
    leaves[frozen].requires_grad_(False)
    layer(inputs).outputs.backward(normal(TOKENS, DIM, seed=9))
    for name, leaf in leaves.items():
        if name == frozen:
            assert leaf.grad is None
        else:
            torch.testing.assert_close(leaf.grad, full[name], rtol=0, atol=1e-13)


class TestCapacity:
    @pytest.mark.parametrize("capacity", [0.3, 0.8, 1.0, 1.5])
    @pytest.mark.parametrize("k", [1, 2, 3])
    def test_places_go_to_first_choices_and_early_tokens(self, capacity, k):
        layer = layer_of(k, capacity=capacity)
        inputs = normal(TOKENS, DIM, seed=1).requires_grad_()
        most = -int(-capacity * TOKENS * k // EXPERTS)
        kept, taken = places(layer, inputs, most)
        found, expected = layer(inputs), by_token(layer, inputs, kept)
        assert found.load.tolist() == taken
        torch.testing.assert_close(found.dropped.item(), 1 - len(kept) / (TOKENS * k))
        torch.testing.assert_close(found.outputs, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(
            gradients(found.outputs, layer, inputs), gradients(expected, layer, inputs)
        )

    def test_enough_places_are_dropless(self):
        inputs = normal(TOKENS, DIM, seed=1)
        found, expected = layer_of(capacity=float(EXPERTS))(inputs), layer_of()(inputs)
        assert found.outputs.equal(expected.outputs)
        assert found.dropped == expected.dropped == 0

    def test_a_token_without_a_place_is_passed_over(self):
        layer = layer_of(1, capacity=0.1)  # one place an expert
        inputs = normal(1, DIM, seed=1).expand(4, DIM)
        mixed = layer(inputs)
        assert mixed.outputs[0].ne(0).any()
        assert mixed.outputs[1:].eq(0).all()
        assert mixed.dropped == 0.75

    def test_the_balance_loss_counts_choices_and_not_places(self):
        losses = [
            layer_of(capacity=capacity, balance=1.0)(normal(TOKENS, DIM, seed=1)).loss
            for capacity in (None, 0.3)
        ]
        assert losses[0].equal(losses[1])


def test_ties_go_to_the_lower_index():
    layer = layer_of(3)
    with torch.no_grad():
        layer.gate.slopes.copy_(torch.tensor([0.0, 1, 1, 0, 1, 1])[:, None].expand(EXPERTS, DIM))
    routing = layer.gate(torch.ones(40, DIM).double())
    assert routing.experts.equal(torch.tensor([1, 2, 4]).expand(40, 3))
    assert layer.gate(-torch.ones(40, DIM).double()).experts.equal(
        torch.tensor([0, 3, 1]).expand(40, 3)
    )
    layer.gate.slopes.data.zero_()
    inputs = normal(TOKENS, DIM, seed=1)
    torch.testing.assert_close(layer(inputs).outputs, by_token(layer, inputs))
    assert layer(inputs).load.tolist() == [TOKENS] * 3 + [0] * 3


def test_any_shape_no_token_and_no_work_for_some():
    layer, inputs = layer_of(), normal(4, 3, DIM, seed=1)
    mixed = layer(inputs)
    torch.testing.assert_close(mixed.outputs[2, 1], layer(inputs[2, 1]).outputs)
    assert mixed.load.sum() == 4 * 3 * 2
    empty = torch.zeros(0, DIM).double().requires_grad_()
    mixed = layer_of(balance=1.0, z=1.0)(empty)
    (mixed.outputs.sum() + mixed.loss).backward()
    assert mixed.outputs.shape == empty.grad.shape == (0, DIM)
    assert mixed.loss == mixed.dropped == 0


def test_bfloat16_is_near():
    layer, inputs = layer_of(), normal(TOKENS, DIM, seed=1).bfloat16()
    exact = layer.to(torch.bfloat16).to(torch.float64)
    expected = exact(inputs.double())
    found = layer.to(torch.bfloat16)(inputs)
    assert found.outputs.dtype == torch.bfloat16
    # Rounded scores may choose another expert where two are nearly equal: not for these tokens.
    torch.testing.assert_close(found.outputs.double(), expected.outputs, rtol=0.02, atol=0.05)
    found.outputs.sum().backward()


def test_under_autocast_the_gate_stays_exact():
    layer = layer_of(dtype=torch.float32, balance=0.1)
    inputs = normal(TOKENS, DIM, seed=1, dtype=torch.float32).requires_grad_()
    expected = layer(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(inputs)
        layer(inputs.bfloat16())  # as an earlier layer hands it over
    (found.outputs.float().square().mean() + found.loss).backward()
    assert found.outputs.dtype == torch.bfloat16
    assert found.loss.equal(expected.loss)
    assert found.load.equal(expected.load)
    torch.testing.assert_close(found.outputs.float(), expected.outputs, rtol=0.02, atol=0.03)
    assert all(parameter.grad.dtype == torch.float32 for parameter in layer.parameters())


def test_live_results_share_no_memory():
    """Memory that went back to the stock is used again, but never while a result lives on it."""
    buffers.clear()
    layers = [layer_of(seed=seed) for seed in range(2)]
    inputs = [normal(400, DIM, seed=3 + seed).requires_grad_() for seed in range(2)]

    def pulled(value, number, **options):
        leaves = [inputs[number], *layers[number].parameters()]
        return torch.autograd.grad(value, leaves, normal(400, DIM, seed=9), **options)

    def alone(number):
        value = layers[number](inputs[number]).outputs
        return [tensor.detach().clone() for tensor in (value, *pulled(value, number))]

    expected = [alone(number) for number in range(2)]
    values = [layers[number](inputs[number]).outputs for number in range(2)]
    found = [
        [values[number], *pulled(values[number], number, retain_graph=True)] for number in range(2)
    ]
    other = layer_of(seed=5)
    other(normal(400, DIM, seed=8).requires_grad_()).outputs.sum().backward()
    again = pulled(values[0], 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(list(again), found[0][1:], rtol=0, atol=0)
    live = [*found[0], *found[1], *again, *(p.grad for p in other.parameters())]
    assert len({tensor.untyped_storage().data_ptr() for tensor in live}) == len(live)


def test_training_uses_memory_again(monkeypatch):
    asked, take = [], buffers.take

    def counting(numel, *, like):
        asked.append(take(numel, like=like))
        return asked[-1]

    monkeypatch.setattr(buffers, "take", counting)
    layer, inputs, places = layer_of(), normal(400, DIM, seed=1).requires_grad_(), []
    buffers.clear()
    for _ in range(3):
        layer(inputs).outputs.sum().backward()
        layer.zero_grad(set_to_none=True)
        inputs.grad = None
        places.append({tensor.data_ptr() for tensor in asked})
        asked.clear()
    assert places[1] == places[2]


def test_accumulated_gradients_are_sums():
    layer, inputs = layer_of(), normal(TOKENS, DIM, seed=1)
    layer(inputs).outputs.sum().backward()
    once = [parameter.grad.clone() for parameter in layer.parameters()]
    layer(inputs).outputs.sum().backward()
    for parameter, single in zip(layer.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * single)


def test_a_compiled_layer_is_the_layer():
    layer = layer_of(balance=0.1, z=0.1)

    def loss(inputs):
        mixed = layer(inputs)
        return mixed.outputs.square().sum() + mixed.loss

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for tokens in (20, 35):
        inputs = normal(tokens, DIM, seed=1).requires_grad_()
        leaves = [inputs, *layer.parameters()]
        expected = torch.autograd.grad(loss(inputs), leaves)
        torch.testing.assert_close(torch.autograd.grad(compiled(inputs), leaves), expected)


def test_first_weights_follow_the_generator():
    same = [layer_of(seed=1).state_dict(), layer_of(seed=1).state_dict()]
    assert all(same[0][name].equal(same[1][name]) for name in same[0])
    wide = MixtureOfExperts(200, 300, experts=4, k=1, generator=torch.Generator().manual_seed(0))
    mixed = wide(normal(2000, 200, dtype=torch.float32))
    assert 0.9 < mixed.outputs.detach().std() < 1.1  # as large as what came in


def test_a_gate_alone_has_only_the_parameters_that_it_uses():
    names = [name for name, _ in TopKGate(3, 4, 2).named_parameters()]
    assert names == ["slopes"]
    names = [name for name, _ in TopKGate(3, 4, 2, bias=True, noise=True).named_parameters()]
    assert sorted(names) == ["biases", "noise", "slopes"]
