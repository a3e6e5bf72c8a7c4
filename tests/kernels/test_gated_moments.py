"""The sums of one pass: numba against the reference, and the reference against autograd."""

import importlib

import pytest
import torch
from l2s.kernels import gated_moments as package
from l2s.kernels.backends import backend
from l2s.kernels.gated_moments import gated_moments, reference
from l2s.sparsity.moe_gating import Mixture, log_likelihood
from torch.testing import assert_close

cpu = pytest.importorskip("l2s.kernels.gated_moments.cpu")
SIZES = [(1, 1, 1), (1, 3, 2), (2, 4, 3), (3, 5, 5), (2, 9, 1), (1, 70, 33)]
sizes = pytest.mark.parametrize(("dim", "experts", "k"), SIZES)


def drawn(rows, samples, fits, dim, experts, *, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    variances = 0.1 + torch.rand(fits, experts, generator=generator, dtype=torch.float64)
    gate, lines = normal(fits, experts, dim + 1), normal(fits, experts, dim + 1)
    return normal(rows, samples, dim), 3 * normal(rows, samples), gate, lines, variances


@sizes
def test_numba_against_the_reference(dim, experts, k):
    arguments = drawn(3, 5000, 5, dim, experts)
    row, count = torch.tensor([0, 2, 1, 1, 0]), torch.tensor([5000, 4097, 256, 17, 1])
    ours, expected = (way.moments(*arguments, k, row, count) for way in (cpu, reference))
    for part, wanted in zip(ours, expected, strict=True):
        assert_close(part, wanted, rtol=1e-11, atol=1e-9)


def test_ties_and_far_targets_on_both_ways():
    inputs, targets, gate, lines, variances = drawn(1, 300, 2, 2, 4)
    gate[:, :, :-1] = gate[:, :1, :-1]  # all scores are equal: the first two are chosen
    targets[0, :3] = torch.tensor([1e5, -1e5, 1e3])
    row, count = torch.zeros(2, dtype=torch.int64), torch.tensor([300, 300])
    ours, expected = (
        way.moments(inputs, targets, gate, lines, variances, 2, row, count)
        for way in (cpu, reference)
    )
    for part, wanted in zip(ours, expected, strict=True):
        assert_close(part, wanted, rtol=1e-11, atol=1e-9)
    assert ours.gram[:, 2:].abs().max() == 0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads):
    arguments, before = drawn(2, 50_000, 2, 1, 3), torch.get_num_threads()
    row, count = torch.tensor([0, 1]), torch.tensor([50_000, 30_000])
    one = cpu.moments(*arguments, 2, row, count)
    try:
        torch.set_num_threads(threads)
        other = cpu.moments(*arguments, 2, row, count)
    finally:
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(one, other, strict=True))


@sizes
def test_likelihood_and_gradients_against_autograd(dim, experts, k):
    x, y, gate, lines, variances = drawn(1, 400, 1, dim, experts, seed=1)
    moments = gated_moments(x, y, gate, lines, variances, k)
    parts = [t[0].clone().requires_grad_() for t in (gate, lines, variances)]
    mixture = Mixture(
        parts[0][:, :-1], parts[0][:, -1], parts[1][:, :-1], parts[1][:, -1], parts[2]
    )
    value = log_likelihood(x[0], y[0], mixture, k)
    for_gate, for_lines, for_variances = torch.autograd.grad(value, parts)
    assert_close(moments.log_likelihood[0], value.detach(), rtol=1e-12, atol=1e-9)
    assert_close(moments.gate_gradient[0], for_gate, rtol=1e-9, atol=1e-9)
    line, v = lines[0], variances[0]
    pull = moments.cross[0] - (moments.gram[0] @ line[..., None])[..., 0]
    assert_close(pull / v[:, None], for_lines, rtol=1e-8, atol=1e-8)
    squares = moments.power[0] - (line * (moments.cross[0] + pull)).sum(1)
    weight = moments.gram[0][:, -1, -1]
    assert_close(0.5 * (squares / v - weight) / v, for_variances, rtol=1e-7, atol=1e-7)


def test_gate_curvature_against_autograd():
    """With the responsibilities fixed, the Hessian of sum r log π is minus the curvature."""
    x, y, gate, lines, variances = drawn(1, 200, 1, 2, 4, seed=2)
    moments = gated_moments(x, y, gate, lines, variances, 3)
    wide = torch.cat([x[0], torch.ones(200, 1)], dim=1)
    chosen = torch.zeros(200, 4).scatter(1, (x[0] @ gate[0, :, :-1].T).topk(3).indices, 1.0) > 0

    def normaliser(free):
        return (wide @ free.T).masked_fill(~chosen, -torch.inf).logsumexp(1).sum()

    hessian = torch.autograd.functional.hessian(normaliser, gate[0])
    assert_close(moments.gate_curvature[0].permute(0, 2, 1, 3), hessian, rtol=1e-9, atol=1e-9)


def test_a_transposed_view_is_the_same_data():
    x, *others = drawn(2, 3000, 2, 3, 4)
    view = x.transpose(1, 2).contiguous().transpose(1, 2)
    row, count = torch.tensor([0, 1]), torch.tensor([3000, 3000])
    one, other = (cpu.moments(data, *others, 2, row, count) for data in (x, view))
    assert all(a.equal(b) for a, b in zip(one, other, strict=True))


def test_which_way_runs():
    assert backend("gated_moments", "cpu", 100) is reference
    assert backend("gated_moments", "cpu", 10**6) is importlib.import_module(
        f"{package.__name__}.cpu"
    )
    assert backend("gated_moments", "cuda", 10**6) is reference


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 0}, "`k` is 0"),
        ({"k": 4}, "`k` is 4"),
        ({"variances": torch.zeros(2, 3).double()}, "`variances` holds 0.0"),
        ({"variances": torch.full((2, 3), torch.nan).double()}, "`variances` holds"),
        ({"gate": torch.ones(2, 3, 3).double()}, "`gate` has 3 numbers|`lines` has shape"),
        ({"row": torch.tensor([0, 2])}, "`row` runs from 0 to 2"),
        ({"count": torch.tensor([0, 5])}, "`count` runs from 0 to 5"),
        ({"count": torch.tensor([1, 11])}, "`count` runs from 1 to 11"),
    ],
)
def test_bad_input_is_named(change, words):
    names = ("inputs", "targets", "gate", "lines", "variances")
    arguments = dict(zip(names, drawn(2, 10, 2, 1, 3), strict=True)) | {"k": 2} | change
    with pytest.raises(ValueError, match=words):
        gated_moments(**arguments)


def test_rows_must_be_named_where_fits_are_others():
    inputs, targets, *_ = drawn(1, 10, 1, 1, 3)
    _, _, gate, lines, variances = drawn(1, 10, 2, 1, 3)
    with pytest.raises(ValueError, match="2 fits and 1 rows of data"):
        gated_moments(inputs, targets, gate, lines, variances, 2)
    with pytest.raises(TypeError, match="`inputs` has dtype float32"):
        gated_moments(inputs.float(), targets, gate, lines, variances, 2)
