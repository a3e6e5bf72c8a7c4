"""The mass of negatives and the decoupled loss: oracles, all implementations, use in PyTorch."""

import math

import pytest
import torch
from l2s.kernels import buffers
from l2s.kernels.negative_mass import decoupled_loss_rows, negative_log_mass
from l2s.kernels.negative_mass.operator import operator
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import cross_entropy

from bench.harness import peak_memory
from tests.kernels import negative_mass_cases
from tests.kernels.drawn import normal
from tests.kernels.negative_mass_cases import as_lists, by_loop

FUNCTIONS = [negative_log_mass, decoupled_loss_rows]


def some(rows, columns, seed=0):
    mask = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < 0.3
    mask[:, 0] = True
    return mask


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_all_cases(name):
    if name == "cpu":
        pytest.importorskip("numba")
    assert not list(negative_mass_cases.failures(name))


@pytest.mark.usefixtures("implementation")
class TestAnswers:
    def test_one_positive_is_cross_entropy(self):
        scores, target = normal(6, 30).requires_grad_(), torch.arange(6)
        ours = decoupled_loss_rows(scores, target[:, None])
        expected = cross_entropy(scores, target, reduction="none")
        torch.testing.assert_close(ours, expected, rtol=1e-14, atol=1e-15)
        gradients = [torch.autograd.grad(loss.sum(), scores)[0] for loss in (ours, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-13, atol=1e-15)

    def test_the_worked_example(self):
        scores = torch.tensor([[4.0, 0, 0, -10, -10]], requires_grad=True)
        loss = decoupled_loss_rows(scores, torch.tensor([[0, 1, 2]]))
        loss.sum().backward()
        assert loss.item() == pytest.approx(6.1e-5, rel=0.01)
        expected = torch.tensor([[-5.5e-7, -3.0e-5, -3.0e-5, 3.05e-5, 3.05e-5]])
        torch.testing.assert_close(scores.grad, expected, rtol=0.02, atol=0)

    def test_dominant_positives_hide_no_negative(self):
        # The mass of all is e^200; what is left of it after a subtraction would be rounding alone.
        scores = torch.tensor([[200.0, -1.0, 0.5]], requires_grad=True)
        mass = negative_log_mass(scores, torch.tensor([[0]]))
        mass.sum().backward()
        assert mass.item() == pytest.approx(math.log(math.exp(-1) + math.exp(0.5)), rel=1e-6)
        q = 1 / (1 + math.exp(-1.5))
        torch.testing.assert_close(scores.grad, torch.tensor([[0, 1 - q, q]]))

    def test_signs_and_sum_of_the_gradient(self):
        scores, mask = normal(5, 40).requires_grad_(), some(5, 40)
        (gradient,) = torch.autograd.grad(decoupled_loss_rows(scores, mask).sum(), scores)
        assert (gradient[mask] < 0).all()
        assert (gradient[~mask] > 0).all()
        assert gradient.sum(dim=1).abs().max() < 1e-15

    def test_only_positives(self):
        scores = normal(2, 4).requires_grad_()
        mask = torch.ones(2, 4, dtype=torch.bool)
        assert negative_log_mass(scores, mask).tolist() == [-math.inf] * 2
        loss = decoupled_loss_rows(scores, mask)
        loss.sum().backward()
        assert loss.tolist() == [0, 0]
        assert scores.grad.equal(torch.zeros(2, 4).double())

    def test_strides_and_rows(self):
        scores, mask = normal(40, 6).T, some(40, 6).T
        mask = mask.clone().t().contiguous().t()
        mask[:, 0] = True
        expected = by_loop(scores, mask)[1]
        torch.testing.assert_close(decoupled_loss_rows(scores, mask), expected)
        empty = torch.zeros(0, 7, requires_grad=True)
        decoupled_loss_rows(empty, torch.zeros(0, 3, dtype=torch.long)).sum().backward()
        assert empty.grad.shape == (0, 7)
        nothing_listed = torch.zeros(6, 0, dtype=torch.long)
        torch.testing.assert_close(
            negative_log_mass(scores, nothing_listed), scores.logsumexp(dim=1)
        )

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_bfloat16_is_computed_in_float32(self, function):
        scores, mask = normal(3, 50).bfloat16().requires_grad_(), some(3, 50)
        wide = scores.detach().float().requires_grad_()
        result, expected = function(scores, mask), function(wide, mask)
        assert result.equal(expected.bfloat16())
        result.sum().backward()
        expected.sum().backward()
        assert scores.grad.equal(wide.grad.bfloat16())

    @pytest.mark.parametrize("function", FUNCTIONS)
    @pytest.mark.parametrize("positives", [some(3, 5), as_lists(some(3, 5))], ids=["mask", "lists"])
    def test_gradients(self, function, positives):
        def value(scores):
            return function(scores, positives)

        scores = normal(3, 5).requires_grad_()
        assert gradcheck(value, scores)
        assert gradgradcheck(value, scores)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_live_results_share_no_memory(function):
    """Memory that went back to the stock is used again, but never while a result lives on it."""
    buffers.clear()
    scores = [normal(4, 40_000, seed=seed).requires_grad_() for seed in range(2)]
    masks = [some(4, 40_000, seed=seed) for seed in range(2)]

    def gradient(number):
        value = function(scores[number], masks[number])
        return torch.autograd.grad(value.sum(), scores[number])[0]

    expected = [gradient(number).clone() for number in range(2)]
    live = [gradient(number) for number in range(2)]
    third = gradient(0)
    torch.testing.assert_close(live, expected, rtol=0, atol=0)
    places = [tensor.untyped_storage().data_ptr() for tensor in [*live, third]]
    assert len(set(places)) == 3


@pytest.mark.measures
def test_memory_is_that_of_the_gradient():
    pytest.importorskip("numba")
    scores = normal(64, 200_000, dtype=torch.float32).requires_grad_()
    positives = torch.arange(64)[:, None]

    def run():
        scores.grad = None
        decoupled_loss_rows(scores, positives).sum().backward()

    run()
    peak = peak_memory(run)
    if math.isnan(peak):
        pytest.skip("peak memory can be read on Linux only")
    assert peak < 1.3 * 4 * scores.numel()


@pytest.mark.parametrize("positives", [some(3, 9), as_lists(some(3, 9))], ids=["mask", "lists"])
def test_pytorch_accepts_the_registration(positives):
    torch.library.opcheck(operator, (normal(3, 9).requires_grad_(), positives))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_compiled_graph_holds_the_operator_whole(function):
    def loss(scores, positives):
        return function(scores * 2, positives).sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for rows in (4, 6):
        scores, mask = normal(rows, 12).requires_grad_(), some(rows, 12)
        expected = torch.autograd.grad(loss(scores, mask), scores)[0]
        found = torch.autograd.grad(compiled(scores, mask), scores)[0]
        torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="column 1 twice"):
        compiled(normal(4, 12), torch.ones(4, 2, dtype=torch.long))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"positives": torch.ones(2, 4)}, TypeError, ["`positives`", "float32"]),
        ({"positives": torch.ones(2, 4, dtype=torch.int32)}, TypeError, ["`positives`", "int32"]),
        ({"positives": torch.ones(2, 3, dtype=torch.bool)}, ValueError, ["`positives`", "(2, 3)"]),
        ({"positives": torch.ones(3, 2).long()}, ValueError, ["`positives`", "(3, 2)"]),
        ({"positives": torch.tensor([[0], [4]])}, ValueError, ["`positives`", "0 to 4", "0 to 3"]),
        ({"positives": torch.tensor([[0, 1], [1, -2]])}, ValueError, ["`positives`", "-2"]),
        ({"positives": torch.tensor([[0, 1], [3, 3]])}, ValueError, ["Row 1", "column 3 twice"]),
        ({"scores": torch.zeros(2, 4).int()}, TypeError, ["`scores`", "int32"]),
        ({"scores": torch.zeros(8)}, ValueError, ["`scores`", "(8,)"]),
        ({"scores": torch.full((2, 4), math.nan)}, ValueError, ["`scores`", "8 values"]),
        ({"scores": torch.full((2, 4), math.inf)}, ValueError, ["`scores`", "8 values"]),
        ({"scores": torch.full((2, 4), -math.inf)}, ValueError, ["`scores`", "8 values"]),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.usefixtures("implementation")
def test_bad_input_is_named(function, arguments, error, words):
    call = {"scores": normal(2, 4), "positives": torch.tensor([[0], [1]])} | arguments
    with pytest.raises(error) as caught:
        function(call["scores"], call["positives"])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("positives", [torch.tensor([[0], [-1]]), torch.eye(2, 4) > 1])
def test_the_loss_needs_a_positive(positives):
    with pytest.raises(ValueError, match=r"Row . of `positives` has no positive"):
        decoupled_loss_rows(normal(2, 4), positives)
