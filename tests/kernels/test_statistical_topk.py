"""The oracles of statistical top-k, on all implementations, and how it sits in PyTorch."""

import math

import pytest
import torch
from l2s.kernels import buffers
from l2s.kernels.statistical_topk import statistical_topk, statistical_topk_mask
from l2s.kernels.statistical_topk.operator import mask_operator, operator
from scipy import stats
from torch.autograd import gradcheck, gradgradcheck

from tests.kernels import statistical_topk_cases
from tests.kernels.drawn import normal

FUNCTIONS = [statistical_topk, statistical_topk_mask]


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_all_cases(name):
    if name == "cpu":
        pytest.importorskip("numba")
    assert not list(statistical_topk_cases.failures(name))


@pytest.mark.usefixtures("implementation")
class TestAnswers:
    @pytest.mark.parametrize("k", [1, 8, 50, 99])
    @pytest.mark.parametrize("correction", [0, 1])
    def test_the_threshold_is_the_quantile_of_a_fitted_normal(self, k, correction):
        x = 3 * normal(4, 100) + 2
        fitted = stats.norm(x.mean(dim=1), x.std(dim=1, correction=correction))
        threshold = torch.from_numpy(fitted.ppf(1 - k / 100))[:, None]
        torch.testing.assert_close(
            statistical_topk(x, k, correction=correction), (x - threshold).clamp(min=0)
        )

    def test_symmetries(self):
        x, k = normal(3, 40), 7
        y = statistical_topk(x, k)
        order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(statistical_topk(5 * x - 2, k), 5 * y)
        torch.testing.assert_close(statistical_topk(x[:, order], k), y[:, order])

    def test_those_kept_are_the_largest(self):
        x = normal(20, 300).exp()
        is_kept = statistical_topk_mask(x, 30)
        for row, kept in zip(x, is_kept, strict=True):
            largest = row.topk(int(kept.sum())).indices
            assert set(largest.tolist()) == set(kept.nonzero().flatten().tolist())
        assert is_kept.equal(statistical_topk(x, 30) > 0)
        assert statistical_topk(x, 30, hard=True).equal(torch.where(is_kept, x, 0))

    def test_half_of_them_are_above_the_mean(self):
        x = normal(5, 64)
        expected = (x - x.mean(dim=1, keepdim=True)).clamp(min=0)
        torch.testing.assert_close(statistical_topk(x, 32), expected)

    def test_all_of_them(self):
        x = normal(2, 5).requires_grad_()
        y = statistical_topk(x, 5)
        assert y.equal(x)
        assert torch.autograd.grad(y.sum(), x)[0].equal(torch.ones(2, 5).double())
        assert statistical_topk_mask(x, 5).all()
        assert statistical_topk(torch.ones(3, 1), 1).equal(torch.ones(3, 1))

    @pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-30])
    def test_equal_numbers_are_all_dropped(self, value):
        x = torch.full((2, 5000), value, requires_grad=True)
        y = statistical_topk(x, 10)
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        assert y.equal(torch.zeros(2, 5000))
        assert gradient.equal(torch.zeros(2, 5000))
        assert torch.autograd.grad(gradient.sum(), x)[0].equal(torch.zeros(2, 5000))
        assert not statistical_topk_mask(x, 4000).any()

    def test_a_large_mean_costs_no_digits_but_those_of_the_numbers(self):
        x = (normal(2, 10_000) + 1e5).float()
        torch.testing.assert_close(
            statistical_topk(x, 800), statistical_topk(x.double(), 800).float(), rtol=0, atol=0.008
        )

    def test_large_numbers(self):
        x = 1e30 * normal(2, 9000, dtype=torch.float32)
        expected = 1e30 * statistical_topk(x.double() / 1e30, 700)
        torch.testing.assert_close(statistical_topk(x, 700), expected.float(), rtol=1e-4, atol=1e24)

    @pytest.mark.parametrize("correction", [0, 1])
    @pytest.mark.parametrize("hard", [False, True])
    def test_gradients(self, correction, hard):
        def value(x):
            return statistical_topk(x, 3, correction=correction, hard=hard)

        x = normal(3, 8).requires_grad_()
        assert gradcheck(value, x)
        assert gradgradcheck(value, x)

    def test_any_shape_and_dimension(self):
        x = normal(2, 30, 3)
        expected = torch.stack(
            [
                torch.stack([statistical_topk(x[i, :, j], 4) for j in range(3)], dim=1)
                for i in range(2)
            ]
        )
        for dim in (1, -2):
            torch.testing.assert_close(statistical_topk(x, 4, dim=dim), expected)
            assert statistical_topk_mask(x, 4, dim=dim).equal(expected > 0)
        every_second = normal(4, 60)[::2, ::2]
        torch.testing.assert_close(
            statistical_topk(every_second, 3), statistical_topk(every_second.clone(), 3)
        )

    def test_no_rows(self):
        x = torch.zeros(3, 0, 5, requires_grad=True)
        y = statistical_topk(x, 2)
        y.sum().backward()
        assert y.shape == x.grad.shape == statistical_topk_mask(x, 2).shape == (3, 0, 5)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        x = normal(3, 5000).to(dtype).requires_grad_()
        wide = x.detach().float().requires_grad_()
        result, expected = statistical_topk(x, 400), statistical_topk(wide, 400)
        assert result.equal(expected.to(dtype))
        assert statistical_topk_mask(x, 400).equal(statistical_topk_mask(wide, 400))
        gradient = normal(3, 5000).to(dtype)
        result.backward(gradient)
        expected.backward(gradient.float())
        assert x.grad.equal(wide.grad.to(dtype))


def test_the_count_of_normal_numbers_and_its_variance():
    """About k are kept, with a variance below that of a threshold that is known (derived)."""
    n, rows, share = 1024, 4000, 0.08
    counts = statistical_topk_mask(normal(rows, n), round(share * n)).sum(dim=1).double()
    p = round(share * n) / n
    z = stats.norm.ppf(1 - p)
    variance = n * (p * (1 - p) - stats.norm.pdf(z) ** 2 * (1 + z**2 / 2))
    assert counts.mean().item() == pytest.approx(p * n, abs=4 * math.sqrt(variance / rows) + 0.15)
    assert counts.var().item() == pytest.approx(variance, rel=4 * math.sqrt(2 / rows))
    assert counts.var().item() < 0.6 * n * p * (1 - p)


def test_live_results_share_no_memory():
    """Memory that went back to the stock is used again, but never while a result lives on it."""
    buffers.clear()
    x = [normal(4, 40_000, seed=seed).requires_grad_() for seed in range(2)]

    def gradient(number):
        y = statistical_topk(x[number], 3000)
        return y, torch.autograd.grad(y.square().sum(), x[number])[0]

    expected = [tuple(each.clone() for each in gradient(number)) for number in range(2)]
    live = [gradient(number) for number in range(2)]
    third = gradient(0)
    torch.testing.assert_close(live, expected, rtol=0, atol=0)
    places = [one.untyped_storage().data_ptr() for pair in [*live, third] for one in pair]
    assert len(set(places)) == 6


@pytest.mark.parametrize("shape", [(7, 40_000), (1, 300_001)])
def test_threads_do_not_change_a_result(monkeypatch, shape):
    x, weights = normal(*shape).requires_grad_(), normal(*shape, seed=1)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        y = statistical_topk(x, 1000)
        results.append((y.detach(), torch.autograd.grad(y, x, weights)[0]))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("hard", [False, True])
def test_pytorch_accepts_the_registration(hard):
    torch.library.opcheck(operator, (normal(3, 9).requires_grad_(), 2, 1, hard))
    torch.library.opcheck(mask_operator, (normal(3, 9), 2, 1))


def test_a_compiled_graph_holds_the_operator_whole():
    def loss(x, weights):
        kept = statistical_topk_mask(x, 2, dim=0)
        return (statistical_topk(x * 2, 3, dim=0) * weights * kept).sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for rows in (20, 35):
        x, weights = normal(rows, 4).requires_grad_(), normal(rows, 4, seed=1)
        expected = torch.autograd.grad(loss(x, weights), x)[0]
        found = torch.autograd.grad(compiled(x, weights), x)[0]
        torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="`x` holds 1 values"):
        compiled(
            normal(5, 4).index_put(
                (torch.tensor(0), torch.tensor(0)), torch.tensor(math.nan).double()
            ),
            normal(5, 4),
        )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"k": 0}, ValueError, ["`k` is 0", "n = 4"]),
        ({"k": 5}, ValueError, ["`k` is 5", "n = 4"]),
        ({"k": -1}, ValueError, ["`k` is -1"]),
        ({"k": 2.0}, TypeError, ["`k`", "2.0"]),
        ({"correction": 2}, ValueError, ["`correction` is 2"]),
        ({"dim": 2}, ValueError, ["`dim` is 2", "(2, 4)"]),
        ({"x": torch.tensor([[1, 2, 3]])}, TypeError, ["`x`", "int64"]),
        ({"x": torch.tensor(1.0)}, ValueError, ["`dim` is -1", "()"]),
        ({"x": torch.zeros(2, 0)}, ValueError, ["`k` is 2", "n = 0"]),
        ({"x": torch.tensor([[0.0, 1, 2, math.nan]])}, ValueError, ["`x`", "1 values"]),
        ({"x": torch.tensor([[0.0, 1, 2, math.inf]])}, ValueError, ["`x`", "1 values"]),
        ({"x": torch.tensor([[0.0, 1, -math.inf]]).half()}, ValueError, ["`x`", "1 values"]),
        ({"x": torch.tensor([[math.inf, -math.inf, 0]])}, ValueError, ["`x`", "2 values"]),
        ({"x": torch.tensor([[math.nan, 1.0]]), "k": 2}, ValueError, ["`x`", "1 values"]),
    ],
)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.usefixtures("implementation")
def test_bad_input_is_named(function, arguments, error, words):
    call = {"x": normal(2, 4), "k": 2} | arguments
    with pytest.raises(error) as caught:
        function(call.pop("x"), call.pop("k"), **call)
    for word in words:
        assert word in str(caught.value)
