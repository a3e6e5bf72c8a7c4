"""Noise, the losses of the gate, and what is refused."""

import math

import pytest
import torch
from l2s.sparsity.moe_gating import (
    MixtureOfExperts,
    TopKGate,
    load_balancing_loss,
    router_z_loss,
)
from torch import nn

from tests.kernels.drawn import normal

TOKENS, DIM, EXPERTS = 30, 4, 5


def gate_of(**options):
    """A gate with drawn slopes, in float64."""
    generator = torch.Generator().manual_seed(0)
    return TopKGate(DIM, EXPERTS, 2, generator=generator, **options).double()


class TestNoise:
    def test_it_has_the_deviation_that_the_gate_says(self):
        gate, token = gate_of(noise=True), normal(1, DIM, seed=1)
        with torch.no_grad():
            gate.noise.copy_(normal(EXPERTS, DIM, seed=2))
        torch.manual_seed(0)
        logits = gate(token.expand(100_000, DIM)).logits
        expected = nn.functional.softplus(token @ gate.noise.T)[0]
        torch.testing.assert_close(logits.std(dim=0), expected, rtol=0.01, atol=0)
        mean = (token @ gate.slopes.T)[0]
        torch.testing.assert_close(logits.mean(dim=0), mean, rtol=0, atol=0.02)

    def test_it_is_gone_after_training(self):
        gate, inputs = gate_of(noise=True), normal(TOKENS, DIM, seed=1)
        assert not gate(inputs).logits.equal(gate(inputs).logits)
        gate.eval()
        assert gate(inputs).logits.equal(inputs @ gate.slopes.T)

    def test_choice_and_weights_are_those_of_the_noisy_scores(self):
        routing = gate_of(noise=True)(normal(TOKENS, DIM, seed=1))
        assert routing.experts.equal(routing.logits.topk(2).indices)
        expected = routing.logits.topk(2).values.softmax(dim=1)
        torch.testing.assert_close(routing.weights, expected)

    def test_its_scale_is_learned(self):
        gate = gate_of(noise=True)
        gate(normal(TOKENS, DIM, seed=1)).weights[:, 0].sum().backward()
        assert gate.noise.grad.abs().max() > 0


class TestBalance:
    def test_it_is_the_sum_of_its_formula(self):
        logits, chosen = normal(TOKENS, EXPERTS), normal(TOKENS, EXPERTS, seed=1).topk(2).indices
        expected = 0.0
        for expert in range(EXPERTS):
            share = sum(expert in row for row in chosen.tolist()) / (TOKENS * 2)
            mean = sum(float(row.softmax(0)[expert]) for row in logits) / TOKENS
            expected += EXPERTS * share * mean
        assert load_balancing_loss(logits, chosen).item() == pytest.approx(expected, rel=1e-12)

    def test_its_ends(self):
        even = torch.arange(TOKENS)[:, None] % EXPERTS
        assert load_balancing_loss(torch.zeros(TOKENS, EXPERTS), even).item() == pytest.approx(1)
        sure = torch.zeros(TOKENS, EXPERTS).index_fill(1, torch.tensor([2]), 50.0)
        one = torch.full((TOKENS, 1), 2)
        assert load_balancing_loss(sure, one).item() == pytest.approx(EXPERTS)

    def test_it_takes_from_the_busy(self):
        logits = torch.zeros(TOKENS, EXPERTS, requires_grad=True)
        load_balancing_loss(logits, torch.full((TOKENS, 1), 2)).backward()
        assert (logits.grad[:, 2] > 0).all()
        assert (logits.grad[:, [0, 1, 3, 4]] < 0).all()

    def test_training_on_it_spreads_the_tokens(self):
        generator = torch.Generator().manual_seed(0)
        layer = MixtureOfExperts(DIM, 2, experts=EXPERTS, k=1, balance=1.0, generator=generator)
        inputs = normal(500, DIM, seed=1, dtype=torch.float32) + 1
        optimizer = torch.optim.Adam(layer.gate.parameters(), lr=0.05)
        loads = []
        for _ in range(100):
            mixed = layer(inputs)
            loads.append(mixed.load.max().item())
            optimizer.zero_grad()
            mixed.loss.backward()
            optimizer.step()
        assert loads[0] > 200
        assert loads[-1] < 150  # an even share is 100


def test_the_z_loss_is_its_formula_and_sees_a_shift():
    logits = normal(TOKENS, EXPERTS)
    expected = sum(math.log(float(row.exp().sum())) ** 2 for row in logits) / TOKENS
    assert router_z_loss(logits).item() == pytest.approx(expected, rel=1e-12)
    assert router_z_loss(logits + 5) > router_z_loss(logits)
    assert router_z_loss(logits.new_full((2, EXPERTS), -math.log(EXPERTS))).item() < 1e-30


def test_the_layer_adds_its_losses_with_their_factors():
    inputs = normal(TOKENS, DIM, seed=1)

    def loss(**factors):
        generator = torch.Generator().manual_seed(0)
        layer = MixtureOfExperts(DIM, 3, experts=EXPERTS, k=2, generator=generator, **factors)
        return layer.double()(inputs).loss

    routing = gate_of()(inputs)
    balance = load_balancing_loss(routing.logits, routing.experts)
    assert loss() == 0
    torch.testing.assert_close(loss(balance=0.5), 0.5 * balance)
    torch.testing.assert_close(loss(z=2.0), 2 * router_z_loss(routing.logits))
    both = 0.5 * balance + 2 * router_z_loss(routing.logits)
    torch.testing.assert_close(loss(balance=0.5, z=2.0), both)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"k": 0}, ValueError, ["`k` is 0", "number of experts, 5"]),
        ({"k": 6}, ValueError, ["`k` is 6", "number of experts, 5"]),
        ({"experts": 0}, ValueError, ["`experts` is 0"]),
        ({"dim": 0}, ValueError, ["`dim` is 0"]),
        ({"hidden": 0}, ValueError, ["`hidden` is 0"]),
        ({"activation": "tanh"}, ValueError, ["`activation` is 'tanh'", "'relu', 'gelu', 'silu'"]),
        ({"softmax_over": "some"}, ValueError, ["`softmax_over` is 'some'", "'kept', 'all'"]),
        ({"balance": -0.1}, ValueError, ["`balance` is -0.1"]),
        ({"z": math.nan}, ValueError, ["`z` is nan"]),
        ({"capacity": 0.0}, ValueError, ["`capacity` is 0.0"]),
        ({"capacity": math.inf}, ValueError, ["`capacity` is inf"]),
        ({"group": "all"}, ValueError, ["`group`", "init_process_group"]),
    ],
)
def test_a_layer_that_cannot_be_is_refused(arguments, error, words):
    sizes = {"dim": DIM, "hidden": 3, "experts": EXPERTS, "k": 2}
    with pytest.raises(error) as caught:
        MixtureOfExperts(**(sizes | arguments))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (torch.ones(3, DIM + 1), ValueError, ["`inputs` has shape (3, 5)", "4 numbers"]),
        (torch.ones(3, DIM).double(), TypeError, ["`inputs` is float64", "float32"]),
        (torch.ones(3, DIM, dtype=torch.long), TypeError, ["`inputs`", "int64"]),
        (torch.full((3, DIM), math.nan), ValueError, ["`inputs` holds 12 values"]),
        (torch.tensor([[0.0, math.inf, 0, 0]]), ValueError, ["`inputs` holds 1 values"]),
        (torch.full((3, DIM), 3e38), ValueError, ["`scores` holds"]),
        ([[1.0] * DIM], TypeError, ["`inputs`", "tensor"]),
    ],
)
def test_tokens_that_do_not_fit_are_refused(inputs, error, words):
    generator = torch.Generator().manual_seed(0)
    layer = MixtureOfExperts(DIM, 3, experts=EXPERTS, k=2, generator=generator)
    with torch.no_grad():
        layer.gate.slopes.fill_(2.0)
    with pytest.raises(error) as caught:
        layer(inputs)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("chosen", "error", "words"),
    [
        (torch.tensor([[0], [5]]), ValueError, ["`chosen`", "0 to 5", "0 to 4"]),
        (torch.tensor([[-1], [2]]), ValueError, ["`chosen`", "-1 to 2"]),
        (torch.tensor([[0]]), ValueError, ["`chosen` has shape (1, 1)"]),
        (torch.tensor([[0.0], [1.0]]), TypeError, ["`chosen`", "float32"]),
    ],
)
def test_choices_that_do_not_fit_are_refused(chosen, error, words):
    with pytest.raises(error) as caught:
        load_balancing_loss(torch.zeros(2, EXPERTS), chosen)
    for word in words:
        assert word in str(caught.value)
    for loss in (router_z_loss, lambda logits: load_balancing_loss(logits, chosen[:0].long())):
        with pytest.raises(ValueError, match=r"`len\(logits\)` is 0"):
            loss(torch.zeros(0, EXPERTS))
