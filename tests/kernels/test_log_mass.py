"""The fast ways agree with the definition, reuse no live memory and keep theirs small."""

import math

import pytest
import torch
from l2s.kernels.log_mass import log_mass, log_mass_reference, unit_log_mass
from l2s.kernels.log_mass.operator import operator
from torch.nn.functional import normalize

from bench.harness import peak_memory

INF = math.inf


def unit(rows, dim=8, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, dim, generator=generator, dtype=dtype), dim=1)


def itself(rows):
    return torch.arange(rows)[:, None]


def itself_and_partner(rows):
    return torch.stack([torch.arange(rows), torch.arange(rows).roll(rows // 2)], dim=1)


def value_and_gradients(function, *inputs):
    """The value, and the gradients for a random mixture of its entries."""
    leaves = {id(tensor): tensor.detach().clone().requires_grad_() for tensor in inputs}
    arguments = [leaves[id(tensor)] for tensor in inputs]
    value = function(*arguments)
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(9)).to(value)
    return value.detach(), *torch.autograd.grad((value * weights).sum(), list(leaves.values()))


def test_the_definition_by_loops():
    a, c = unit(3, seed=1), unit(4, seed=2)
    excluded = torch.tensor([[0, 0], [1, 3], [2, 1]])
    for i, row in enumerate(log_mass_reference(a, c, excluded, temperature=0.3)):
        left = set(range(4)) - set(excluded[i].tolist())
        mass = sum(math.exp(float(a[i] @ c[j]) / 0.3) for j in left)
        assert row.item() == pytest.approx(math.log(mass), abs=1e-14)


# 134 rows exceed the size up to which the definition itself is used; 1100 hold several blocks.
@pytest.mark.parametrize(
    ("rows", "block_size"),
    [(rows, size) for rows in (6, 134) for size in (None, 1, 7, 64, 5000)]
    + [(1100, None), (1100, 64), (1100, 300)],
)
@pytest.mark.parametrize("bound", [INF, 10.1], ids=["unknown", "bounded"])
@pytest.mark.parametrize("excluded", [itself, itself_and_partner])
def test_anchors_among_themselves_agree_with_the_definition(rows, block_size, bound, excluded):
    z, columns = unit(rows), excluded(rows)
    fast = value_and_gradients(
        lambda z: log_mass(z, z, columns, temperature=0.1, bound=bound, block_size=block_size), z
    )
    slow = value_and_gradients(lambda z: log_mass_reference(z, z, columns, temperature=0.1), z)
    torch.testing.assert_close(fast, slow, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("block_size", [None, 7, 64, 5000])
@pytest.mark.parametrize("bound", [INF, 10.1], ids=["unknown", "bounded"])
def test_anchors_among_others_agree_with_the_definition(block_size, bound):
    a, c, columns = unit(131, seed=1), unit(203, seed=2), torch.randint(203, (131, 3))
    fast = value_and_gradients(
        lambda a, c: log_mass(a, c, columns, temperature=0.1, bound=bound, block_size=block_size),
        *(a, c),
    )
    slow = value_and_gradients(
        lambda a, c: log_mass_reference(a, c, columns, temperature=0.1), *(a, c)
    )
    torch.testing.assert_close(fast, slow, rtol=1e-11, atol=1e-12)


def test_several_columns_may_be_excluded_if_they_are_mutual():
    groups = torch.arange(135).view(-1, 3).repeat_interleave(3, dim=0)  # three that exclude another
    z = unit(135)
    fast = value_and_gradients(lambda z: log_mass(z, z, groups, temperature=0.2, bound=6), z)
    slow = value_and_gradients(lambda z: log_mass_reference(z, z, groups, temperature=0.2), z)
    torch.testing.assert_close(fast, slow, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("temperature", [1e-4, 0.01, 0.1, 100.0])
def test_float32_is_right_at_every_temperature(temperature):
    z = unit(140, dtype=torch.float32)
    columns = itself_and_partner(140)
    value, gradient = value_and_gradients(
        lambda z: log_mass(z, z, columns, temperature=temperature, bound=1.03 / temperature), z
    )
    exact, exact_gradient = value_and_gradients(
        lambda z: log_mass_reference(z, z, columns, temperature=temperature), z.double()
    )
    # A logit has an error of some units in its last place, which the gradient multiplies by tau.
    error = 4e-7 * max(1.0, 1 / temperature)
    torch.testing.assert_close(value.double(), exact, rtol=1e-6, atol=error)
    torch.testing.assert_close(
        gradient.double(), exact_gradient, rtol=1e-5 + error, atol=error / temperature * 0.3
    )


@pytest.mark.parametrize("candidates", [None, unit(6, 3, seed=1)], ids=["symmetric", "rectangular"])
@pytest.mark.parametrize("block_size", [2, 100])
@pytest.mark.parametrize("keep", [False, True])
def test_gradcheck_of_the_operator_itself(candidates, block_size, keep):
    def function(z, c):
        c = None if candidates is None else c
        return operator(z, c, itself_and_partner(6), 0.3, block_size, True, keep)[0]

    z = unit(6, 3).requires_grad_()
    c = unit(6, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(function, (z, c))
    assert torch.autograd.gradgradcheck(function, (z, c))


def test_one_tensor_in_both_roles_has_both_gradients_at_each_order():
    def function(z):
        return operator(z, z, itself(6), 0.3, 2, True, False)[0]

    z = unit(6, 3).requires_grad_()
    once = torch.autograd.grad(function(z).sum(), z)[0]
    differentiable = torch.autograd.grad(function(z).sum(), z, create_graph=True)[0]
    torch.testing.assert_close(differentiable.detach(), once)
    assert torch.autograd.gradcheck(function, z)
    assert torch.autograd.gradgradcheck(function, z)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_pytorch_accepts_the_registration(symmetric, keep):
    z, c = unit(6).requires_grad_(), None if symmetric else unit(9).requires_grad_()
    torch.library.opcheck(operator, (z, c, itself(6), 0.3, 4, True, keep))


def test_a_compiled_graph_holds_the_operator_whole():
    z, columns = unit(140), itself_and_partner(140)

    def loss(z):
        z = z * 1.0
        return unit_log_mass(z, z, columns, 0.1, None).sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        value_and_gradients(compiled, z), value_and_gradients(loss, z), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("rows", [20, 140])
def test_autocast_does_not_lower_the_precision(rows):
    z, columns = unit(rows, dtype=torch.float32), itself(rows)

    def mass(z):
        return log_mass(z, z, columns, temperature=0.1, bound=11)

    def mass_in_autocast(z):  # the backward pass runs outside, as PyTorch advises
        with torch.autocast("cpu", torch.bfloat16):
            return mass(z)

    torch.testing.assert_close(
        value_and_gradients(mass_in_autocast, z), value_and_gradients(mass, z), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("symmetric", [False, True])
def test_two_live_results_share_no_memory(symmetric):
    columns = itself_and_partner(140)

    def mass(seed):
        z = unit(140, seed=seed).requires_grad_()
        c = z if symmetric else unit(150, seed=seed + 5)
        return z, log_mass(z, c, columns, temperature=0.1, bound=11)

    def alone(seed):
        z, value = mass(seed)
        return value.detach().clone(), torch.autograd.grad(value.sum(), z)[0].clone()

    expected = alone(1), alone(2)
    (z1, first), (z2, second) = mass(1), mass(2)
    gradient1 = torch.autograd.grad(first.sum(), z1, retain_graph=True)[0]
    gradient2 = torch.autograd.grad(second.sum(), z2)[0]
    again = torch.autograd.grad(first.sum(), z1)[0]  # the kept blocks survived the first pass
    mass(3)[1].sum().backward()
    torch.testing.assert_close(((first, gradient1), (second, gradient2)), expected)
    torch.testing.assert_close(again, gradient1)


def test_nothing_is_kept_where_no_gradient_is_wanted():
    z = unit(140)
    with torch.no_grad():
        value = log_mass(z.requires_grad_(), z, itself(140), temperature=0.1)
    assert value.grad_fn is None
    only_candidates = unit(150).requires_grad_()
    log_mass(unit(140), only_candidates, itself(140), temperature=0.1).sum().backward()
    assert only_candidates.grad is not None


@pytest.mark.measures
def test_memory_grows_with_batch_times_block():
    def peak(rows):
        z = unit(rows, dim=16, dtype=torch.float32).requires_grad_()
        runs = [
            peak_memory(
                lambda: (
                    log_mass(
                        *(z, z, itself_and_partner(rows)), temperature=0.1, bound=11, block_size=128
                    )
                    .sum()
                    .backward()
                )
            )
            for _ in range(3)
        ]
        return min(runs)  # what the process takes beside it, in some of its calls, is not ours

    peak(512)  # loads the code
    small, large = peak(8192), peak(16_384)
    if math.isnan(large):
        pytest.skip("peak memory can be read on Linux only")
    # Two blocks of 128 x 16,384 numbers are 16 MiB, the whole matrix would be 1 GiB.
    assert large < 32 * 2**20
    assert large < 2.6 * small


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"temperature": 0.0}, ValueError, ["`temperature`", "0.0"]),
        ({"temperature": math.nan}, ValueError, ["`temperature`", "nan"]),
        ({"block_size": 0}, ValueError, ["`block_size`", "0"]),
        ({"block_size": 2.5}, TypeError, ["`block_size`", "2.5"]),
        (
            {"anchors": unit(4).bfloat16()},
            TypeError,
            ["`anchors`", "bfloat16", "float32 or float64"],
        ),
        ({"anchors": unit(4)[0]}, ValueError, ["`anchors`", "(8,)"]),
        ({"candidates": unit(5, dim=3)}, ValueError, ["`candidates`", "(5, 3)"]),
        ({"candidates": unit(5).float()}, TypeError, ["`candidates`", "float32"]),
        ({"excluded": itself(3)}, ValueError, ["`excluded`", "(3, 1)"]),
        ({"excluded": itself(4).double()}, TypeError, ["`excluded`", "float64"]),
        ({"excluded": itself(4) + 2}, ValueError, ["`excluded`", "2 to 5", "0 to 4"]),
        ({"excluded": itself(4) - 1}, ValueError, ["`excluded`", "-1 to 2"]),
        ({"excluded": torch.arange(5).repeat(4, 1)}, ValueError, ["`excluded`", "5 columns"]),
    ],
)
def test_bad_input_is_named(arguments, error, words):
    good = {"anchors": unit(4), "candidates": unit(5, seed=1), "excluded": itself(4)}
    call = good | {"temperature": 0.1} | arguments
    with pytest.raises(error) as caught:
        log_mass(call.pop("anchors"), call.pop("candidates"), call.pop("excluded"), **call)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "excluded", [itself(4).roll(1, 0), torch.tensor([[0, 1], [1, 2], [2, 0], [3, 3]])]
)
def test_exclusions_among_own_candidates_are_mutual(excluded):
    z = unit(4)
    with pytest.raises(ValueError, match="not mutual"):
        log_mass(z, z, excluded, temperature=0.1)
    assert log_mass(z, z.clone(), excluded, temperature=0.1).isfinite().all()
