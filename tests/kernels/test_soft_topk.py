"""The oracles of the soft top-k operator, on all implementations, and how it sits in PyTorch."""

import math

import numpy as np
import pytest
import torch
from l2s.kernels import buffers
from l2s.kernels.soft_topk import log_soft_topk, soft_topk
from l2s.kernels.soft_topk.operator import operator
from scipy.optimize import brentq, minimize
from scipy.special import entr, expit
from torch.autograd import gradcheck, gradgradcheck

from tests.kernels import soft_topk_cases

DTYPES = [torch.float32, torch.float64]
OPERATORS = [soft_topk, log_soft_topk]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_all_cases(name):
    if name == "cpu":
        pytest.importorskip("numba")
    assert not list(soft_topk_cases.failures(name))


@pytest.mark.usefixtures("implementation")
class TestAnswers:
    @pytest.mark.parametrize(("n", "k", "sharpness"), [(2, 1, 1.0), (30, 4, 3.0), (700, 650, 0.2)])
    def test_the_root_is_that_of_brentq(self, n, k, sharpness):
        scores = normal(n)

        def surplus(t):
            return expit(sharpness * (scores.numpy() + t)).sum() - k

        t = brentq(surplus, -1000, 1000, xtol=1e-15, rtol=1e-15)
        expected = torch.from_numpy(expit(sharpness * (scores.numpy() + t)))
        torch.testing.assert_close(
            soft_topk(scores, k, sharpness=sharpness), expected, rtol=1e-12, atol=1e-14
        )

    def test_it_solves_the_variational_problem(self):
        scores, k, sharpness = normal(6), 2, 1.7

        def negative(p):
            entropy = (entr(p) + entr(1 - p)).sum()
            return -(p @ scores.numpy() + entropy / sharpness)

        solution = minimize(
            negative,
            np.full(6, k / 6),
            bounds=[(1e-12, 1 - 1e-12)] * 6,
            constraints={"type": "eq", "fun": lambda p: p.sum() - k},
            method="SLSQP",
            options={"ftol": 1e-15},
        )
        found = soft_topk(scores, k, sharpness=sharpness)
        torch.testing.assert_close(found, torch.from_numpy(solution.x), rtol=0, atol=1e-6)

    @pytest.mark.parametrize("sharpness", [0.1, 1.0, 50.0])
    def test_symmetries(self, sharpness):
        scores, k = normal(3, 40), 7

        def p(s, k=k, a=sharpness):
            return soft_topk(s, k, sharpness=a)

        order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
        close = {"rtol": 1e-12, "atol": 1e-13}
        torch.testing.assert_close(p(scores).sum(dim=1), torch.full((3,), 7.0).double(), **close)
        torch.testing.assert_close(
            p(scores) + p(-scores, k=33), torch.ones(3, 40).double(), **close
        )
        torch.testing.assert_close(p(scores + 5), p(scores), **close)
        torch.testing.assert_close(p(4 * scores, a=sharpness / 4), p(scores), **close)
        torch.testing.assert_close(p(scores[:, order]), p(scores)[:, order], **close)
        assert (p(scores.sort(dim=1).values).diff(dim=1) >= 0).all()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_the_hard_limit(self, dtype):
        scores = normal(4, 300, dtype=dtype)
        gap = scores.topk(6).values.diff(dim=1)[:, -1].abs().min().item()
        hard = torch.zeros_like(scores).scatter_(1, scores.topk(5).indices, 1)
        torch.testing.assert_close(
            soft_topk(scores, 5, sharpness=90 / gap), hard, rtol=0, atol=1e-15
        )
        for sharpness in (1e9, 1e30, 1e300):
            assert soft_topk(scores, 5, sharpness=sharpness).equal(hard)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_the_soft_limit(self, dtype):
        scores = normal(4, 300, dtype=dtype)
        even = torch.full_like(scores, 0.05)
        for sharpness in (1e-9, 1e-30, 1e-300):
            torch.testing.assert_close(soft_topk(scores, 15, sharpness=sharpness), even)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("shift", [0.0, 1e6])
    def test_k_are_chosen_however_wide_the_gap(self, dtype, shift):
        scores = (normal(2000, 6) + shift).to(dtype)
        k = torch.randint(1, 6, (2000,), generator=torch.Generator().manual_seed(1))
        for sharpness in (1e3, 1e6, 1e12, 1e30):
            p = soft_topk(scores, k, sharpness=sharpness)
            torch.testing.assert_close(p.sum(dim=1), k.to(dtype))

    def test_hard_separated_scores_have_no_gradient(self):
        scores = torch.tensor([[1e4, 1e4 - 1, 0.0, -5e3]], requires_grad=True)
        p = soft_topk(scores, 2, sharpness=10)
        gradient = torch.autograd.grad(p, scores, normal(1, 4, dtype=torch.float32))[0]
        assert p.equal(torch.tensor([[1.0, 1, 0, 0]]))
        assert gradient.equal(torch.zeros(1, 4))

    def test_log_p_keeps_its_digits_where_p_has_none(self):
        # Far apart, the threshold lies where the tails on its two sides are equal: e^-(3 + t) =
        # e^(0 + t) + e^(0 + t) in units of 1 / sharpness.
        scores = torch.tensor([0.0, 3, 0], dtype=torch.float64, requires_grad=True)
        log_p = log_soft_topk(scores, 1, sharpness=1000)
        t = -1500 - math.log(2) / 2
        expected = torch.tensor([t, 0, t], dtype=torch.float64)
        torch.testing.assert_close(log_p, expected, rtol=1e-14, atol=1e-300)
        (gradient,) = torch.autograd.grad(log_p[0], scores)
        expected = torch.tensor([750.0, -500, -250], dtype=torch.float64)
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=0)

    def test_any_shape_and_dimension(self):
        scores, k = normal(2, 30, 3), torch.tensor([[1, 2, 3], [4, 5, 6]])
        expected = torch.stack(
            [
                torch.stack([soft_topk(scores[i, :, j], int(k[i, j])) for j in range(3)], dim=1)
                for i in range(2)
            ]
        )
        for dim in (1, -2):
            torch.testing.assert_close(soft_topk(scores, k, dim=dim), expected)
        strided = scores.transpose(1, 2)
        assert not strided.is_contiguous()
        torch.testing.assert_close(soft_topk(strided, k), expected.transpose(1, 2))
        every_second = normal(4, 60)[::2, ::2]
        torch.testing.assert_close(soft_topk(every_second, 3), soft_topk(every_second.clone(), 3))
        expanded = normal(1, 10).expand(3, 10).requires_grad_()
        soft_topk(expanded, torch.tensor([1, 2, 3], dtype=torch.int32))[2].sum().backward()
        assert soft_topk(normal(10), torch.tensor(4)).shape == (10,)

    def test_no_rows(self):
        scores = torch.zeros(0, 5, requires_grad=True)
        p = soft_topk(scores, 2)
        p.sum().backward()
        assert p.shape == scores.grad.shape == (0, 5)
        assert soft_topk(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.long)).shape == (
            3,
            0,
            5,
        )

    @pytest.mark.parametrize("function", OPERATORS)
    def test_bfloat16_is_computed_in_float32(self, function):
        scores = normal(3, 50).bfloat16().requires_grad_()
        wide = scores.detach().float().requires_grad_()
        result, expected = function(scores, 5), function(wide, 5)
        assert result.dtype == torch.bfloat16
        assert result.equal(expected.bfloat16())
        g = normal(3, 50).bfloat16()
        result.backward(g)
        expected.backward(g.float())
        assert scores.grad.equal(wide.grad.bfloat16())

    @pytest.mark.parametrize("function", OPERATORS)
    def test_gradients(self, function):
        def value(scores):
            return function(scores, torch.tensor([1, 4]), sharpness=1.5)

        scores = normal(2, 5).requires_grad_()
        assert gradcheck(value, scores)
        assert gradgradcheck(value, scores)

    def test_the_jacobian(self):
        scores = normal(9)
        jacobian = torch.autograd.functional.jacobian(lambda s: soft_topk(s, 4), scores)
        torch.testing.assert_close(jacobian, jacobian.T)
        torch.testing.assert_close(jacobian.sum(dim=1), torch.zeros(9).double())
        assert torch.linalg.eigvalsh(jacobian).min() > -1e-12


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_a_million_equal_scores(dtype, precision):
    scores = torch.full((1, 10**6), 0.3, dtype=dtype)
    p = soft_topk(scores, 5, sharpness=2)
    torch.testing.assert_close(p, torch.full_like(p, 5e-6), rtol=precision, atol=0)


@pytest.mark.parametrize("function", OPERATORS)
def test_live_results_share_no_memory(function):
    """Memory that went back to the stock is used again, but never while a result lives on it."""
    buffers.clear()
    shape, k = (4, 40_000), 9
    scores = [normal(*shape, seed=seed).requires_grad_() for seed in range(2)]
    weights = [normal(*shape, seed=5 + seed) for seed in range(2)]

    def alone(number):
        value = function(scores[number], k)
        gradient = torch.autograd.grad(value, scores[number], weights[number])[0]
        return value.detach().clone(), gradient.clone()

    expected = [alone(number) for number in range(2)]
    values = [function(scores[number], k) for number in range(2)]
    gradients = [
        torch.autograd.grad(values[number], scores[number], weights[number], retain_graph=True)[0]
        for number in range(2)
    ]
    function(normal(*shape, seed=3).requires_grad_(), k).sum().backward()
    again = torch.autograd.grad(values[0], scores[0], weights[0])[0]
    torch.testing.assert_close(list(zip(values, gradients, strict=True)), expected, rtol=0, atol=0)
    assert again.equal(gradients[0])
    places = [tensor.untyped_storage().data_ptr() for tensor in [*values, *gradients, again]]
    assert len(set(places)) == 5


def test_threads_do_not_change_a_result(monkeypatch):
    scores, weights = normal(7, 40_000).requires_grad_(), normal(7, 40_000, seed=1)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        p = soft_topk(scores, 5)
        results.append((p.detach(), torch.autograd.grad(p, scores, weights)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("log", [False, True])
def test_pytorch_accepts_the_registration(log):
    scores = normal(3, 9).requires_grad_()
    torch.library.opcheck(operator, (scores, torch.tensor([1, 2, 8]), 2.0, log))


@pytest.mark.parametrize("function", OPERATORS)
def test_a_compiled_graph_holds_the_operator_whole(function):
    def loss(scores, weights):
        return (function(scores * 2, 3, sharpness=0.5, dim=0) * weights).sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for rows in (20, 35):
        scores, weights = normal(rows, 4).requires_grad_(), normal(rows, 4, seed=1)
        expected = torch.autograd.grad(loss(scores, weights), scores)[0]
        found = torch.autograd.grad(compiled(scores, weights), scores)[0]
        torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="`k` is 3"):
        compiled(normal(3, 4), normal(3, 4))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"k": 0}, ValueError, ["`k` is 0", "n - 1 = 3"]),
        ({"k": 4}, ValueError, ["`k` is 4", "n - 1 = 3"]),
        ({"k": -1}, ValueError, ["`k` is -1"]),
        ({"k": 2.0}, TypeError, ["`k`", "2.0"]),
        ({"k": torch.tensor([1, 5])}, ValueError, ["`k` is 1 to 5"]),
        ({"k": torch.tensor([1.0, 2.0])}, TypeError, ["`k`", "float32"]),
        ({"k": torch.tensor([1, 2, 3])}, ValueError, ["`k` has shape (3,)", "(2,)"]),
        ({"sharpness": 0.0}, ValueError, ["`sharpness` is 0.0"]),
        ({"sharpness": -1.0}, ValueError, ["`sharpness` is -1.0"]),
        ({"sharpness": math.inf}, ValueError, ["`sharpness` is inf"]),
        ({"sharpness": math.nan}, ValueError, ["`sharpness` is nan"]),
        ({"dim": 2}, ValueError, ["`dim` is 2", "(2, 4)"]),
        ({"scores": torch.tensor([[1, 2, 3]])}, TypeError, ["`scores`", "int64"]),
        ({"scores": torch.tensor(1.0)}, ValueError, ["`dim` is -1", "()"]),
        ({"scores": torch.zeros(2, 1)}, ValueError, ["`k` is 2", "1 scores"]),
        ({"scores": torch.tensor([[0.0, 1, math.nan]])}, ValueError, ["`scores`", "1 values"]),
        ({"scores": torch.tensor([[0.0, 1, math.inf]])}, ValueError, ["`scores`", "1 values"]),
        ({"scores": torch.tensor([[0.0, 1, -math.inf]])}, ValueError, ["`scores`", "1 values"]),
    ],
)
@pytest.mark.parametrize("function", OPERATORS)
@pytest.mark.usefixtures("implementation")
def test_bad_input_is_named(function, arguments, error, words):
    call = {"scores": normal(2, 4), "k": 2} | arguments
    with pytest.raises(error) as caught:
        function(call.pop("scores"), call.pop("k"), **call)
    for word in words:
        assert word in str(caught.value)
