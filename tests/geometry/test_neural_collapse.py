"""The closed-form minimum against a scan, an explicit minimiser, its derivatives and training."""

import math
import time

import numpy as np
import pytest
import torch
from l2s.geometry.neural_collapse import (
    class_output,
    class_prices,
    collapse_price,
    head_objective,
    linear_head_solution,
    metastable_price,
    train_free_features,
)
from l2s.maths import frame_distance, orthogonal_frame, simplex_etf

from tests.geometry.collapse_cases import schatten_loss

SIZES = [40, 20, 10, 5]
DECAY = 5e-4
TABLE = {  # measured once by another implementation, on these sizes and decays
    1: (0.00806002, [0.9941, 0.9916, 0.9881, 0.9832]),
    2: (0.00748301, [0.9968, 0.9949, 0.9919, 0.9871]),
    3: (0.00789246, [0.9976, 0.9960, 0.9933, 0.9887]),
    6: (0.01027630, [0.9984, 0.9971, 0.9948, 0.9905]),
}
CASES = [
    ([40, 20, 10, 5], 1, 5e-4, 5e-4),
    ([40, 20, 10, 5], 3, [1e-3, 3e-4, 2e-3], 5e-4),
    ([7, 7, 7], 2, [1e-2, 3e-3], 2e-2),
    ([30, 1], 6, 1e-3, 1e-4),
    ([12, 9, 5], 2, 0.02, 0.02),  # all have collapsed
    ([90, 9, 5], 2, 0.02, 0.02),  # two of three have
    ([20, 6], 2, 0.0537, 0.0537),  # the second is dead, but alive in a local minimum
]


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _decays(decays, depth):
    return [decays] * depth if np.ndim(decays) == 0 else decays


def _value(solution, parts, labels):
    weights, features, bias = parts
    return head_objective(
        weights,
        features,
        labels,
        weight_decays=list(solution.weight_decays),
        feature_decay=solution.feature_decay,
        bias=bias,
    )


def _labels(sizes):
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


@pytest.mark.parametrize("depth", TABLE)
def test_it_equals_a_table_of_another_implementation(depth):
    solution = linear_head_solution(SIZES, depth, DECAY, DECAY)
    loss, outputs = TABLE[depth]
    assert solution.loss == pytest.approx(loss, abs=5.1e-9)
    assert solution.outputs.tolist() == pytest.approx(outputs, abs=5.1e-5)


@pytest.mark.parametrize(("sizes", "depth", "decays", "feature_decay"), CASES)
@pytest.mark.parametrize("width", [None, 1, 2])
def test_the_loss_equals_a_scan_over_singular_values(sizes, depth, decays, feature_decay, width):
    solution = linear_head_solution(sizes, depth, decays, feature_decay, width=width)
    want = schatten_loss(sizes, depth, _decays(decays, depth), feature_decay, width=width)
    assert solution.loss <= want + 1e-15
    assert solution.loss == pytest.approx(want, abs=1e-8)


@pytest.mark.parametrize(("sizes", "depth", "decays", "feature_decay"), CASES)
@pytest.mark.parametrize("width", [None, 2])
def test_the_minimiser_has_the_loss_and_no_gradient(sizes, depth, decays, feature_decay, width):
    solution = linear_head_solution(sizes, depth, decays, feature_decay, width=width)
    weights, features, bias = solution.minimiser(4, generator=_generator(2))
    parts = [part.requires_grad_() for part in (*weights, features)]
    value = _value(solution, (weights, features, bias), _labels(sizes))
    assert value.item() == pytest.approx(solution.loss, rel=1e-12)
    if width is None:  # a dropped class could still lower the loss in a wider network
        for gradient in torch.autograd.grad(value, parts):
            assert gradient.abs().max() < 1e-13


@pytest.mark.parametrize(("classes", "depth"), [(2, 1), (4, 2), (5, 3)])
def test_with_a_bias_the_minimiser_is_a_simplex(classes, depth):
    sizes = [10] * classes
    solution = linear_head_solution(sizes, depth, DECAY, DECAY, bias=True)
    weights, features, bias = solution.minimiser(classes + 1, generator=_generator(2))
    parts = [part.requires_grad_() for part in (*weights, features, bias)]
    value = _value(solution, (weights, features, bias), _labels(sizes))
    assert value.item() == pytest.approx(solution.loss, rel=1e-12)
    for gradient in torch.autograd.grad(value, parts):
        assert gradient.abs().max() < 1e-13
    means = features.detach()[::10]
    assert frame_distance(means, simplex_etf(classes, classes, dtype=torch.float64)) < 1e-10
    torch.testing.assert_close(means @ means.T, solution.mean_gram)
    plain = linear_head_solution(sizes, depth, DECAY, DECAY)
    assert solution.outputs.tolist() == pytest.approx(plain.outputs[1:].tolist())
    assert solution.loss == pytest.approx(plain.loss * (classes - 1) / classes)


def test_with_a_bias_it_equals_a_table_and_training():
    solution = linear_head_solution([10] * 4, 2, DECAY, DECAY, bias=True)
    assert solution.loss == pytest.approx(0.0048405056, abs=5e-11)
    gram = solution.mean_gram / solution.mean_gram.norm()
    assert gram[0, :2].tolist() == pytest.approx([0.433, -0.1443], abs=5e-5)
    run = train_free_features(
        [10] * 4, 2, DECAY, DECAY, bias=True, starts=1, generator=_generator()
    )
    assert run.loss == pytest.approx(solution.loss, rel=1e-9)
    torch.testing.assert_close(run.bias, torch.full((4,), 0.25).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(run.outputs[::10], solution.output_matrix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_hessian_at_the_minimiser_has_no_negative_eigenvalue(depth):
    sizes = [3, 2, 1]
    solution = linear_head_solution(sizes, depth, 0.01, 0.01)
    weights, features, _ = solution.minimiser(3, generator=_generator(1))
    shapes = [part.shape for part in (*weights, features)]
    point = torch.cat([part.flatten() for part in (*weights, features)])

    def objective(numbers):
        pieces = numbers.split([shape.numel() for shape in shapes])
        *parts, rows = [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]
        return _value(solution, (parts, rows, None), _labels(sizes))

    hessian = torch.autograd.functional.hessian(objective, point)
    assert torch.linalg.eigvalsh(hessian)[0] > -1e-12


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_training_reaches_it_and_the_geometry_is_the_predicted_one(depth):
    solution = linear_head_solution(SIZES, depth, DECAY, DECAY)
    run = train_free_features(SIZES, depth, DECAY, DECAY, dim=8, starts=1, generator=_generator())
    assert run.gradient < 1e-7
    assert run.loss == pytest.approx(solution.loss, rel=1e-9)
    torch.testing.assert_close(run.head @ run.head.T, solution.head_gram, rtol=1e-4, atol=1e-4)
    means = run.class_means
    torch.testing.assert_close(means @ means.T, solution.mean_gram, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(run.features, means[run.labels], rtol=0, atol=1e-5)  # NC1
    factor = solution.singular_values.square() + 75 * DECAY
    torch.testing.assert_close(run.head, factor[:, None] * means, rtol=0, atol=1e-4)  # NC3
    frame = orthogonal_frame(4, 4, lengths=solution.mean_lengths, dtype=torch.float64)
    assert frame_distance(means, frame, rescale=False) < 1e-4
    for weight, decay in zip(run.weights, solution.weight_decays, strict=True):
        energy = decay * torch.linalg.svdvals(weight)[:4].square()
        torch.testing.assert_close(energy, solution.layer_energies, rtol=1e-4, atol=1e-8)


def test_no_start_beats_it_anywhere():
    """Fifty starts, on both sides of thresholds: training may end above the theory, never below."""
    generator, above = _generator(), 0
    for depth, decay in [(1, 0.03), (2, 0.0152), (2, 0.0158), (3, 0.0119), (3, 0.0124)]:
        solution = linear_head_solution(SIZES, depth, decay, decay)
        run = train_free_features(
            SIZES, depth, decay, decay, dim=6, starts=10, scale=0.7, generator=generator
        )
        assert min(run.losses) > solution.loss - 1e-10
        above += sum(loss > solution.loss + 1e-6 for loss in run.losses)
        if depth == 1:  # no other minimum
            assert max(run.losses) == pytest.approx(solution.loss, abs=1e-9)
    assert above > 0


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_the_threshold_is_where_life_and_death_cost_the_same(depth):
    tau = collapse_price(depth)
    below, above = class_output(torch.tensor([tau - 1e-9, tau + 1e-9], dtype=torch.float64), depth)
    assert above == 0
    assert float(below) == pytest.approx((depth - 1) / depth, abs=1e-4)
    x = np.linspace(0, 4, 400_001)
    for price, lives in [(tau * 0.999, True), (tau * 1.001, False)]:
        g = 1 / (1 + x**depth) + price * x
        assert (x[g.argmin()] > 0) == lives
        assert (g.min() < 1 - 1e-12) == lives


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_a_living_class_is_a_local_minimum_up_to_the_metastable_price(depth):
    bound = metastable_price(depth)
    assert bound > collapse_price(depth)
    x = np.linspace(1e-6, 4, 2_000_001)
    rising = np.gradient(1 / (1 + x**depth), x)  # the slope of g is this plus the price
    assert -rising.min() == pytest.approx(bound, rel=1e-6)
    price = torch.tensor([bound * 0.999, bound * 1.001])
    living = class_output(price, depth, branch="living")
    assert living[1] == 0
    assert living[0] > (depth - 1) / (2 * depth)  # x^M above (M - 1) / (M + 1)
    assert class_output(price, depth).tolist() == [0, 0]


def test_depth_one_in_the_formulas_of_the_field():
    decay, feature_decay = 2e-3, 5e-4
    solution = linear_head_solution(SIZES, 1, decay, feature_decay)
    n, samples = torch.tensor(SIZES).double(), sum(SIZES)
    rows = (n * feature_decay / decay).sqrt() - samples * feature_decay
    means = (decay / (n * feature_decay)).sqrt() - samples * decay / n
    torch.testing.assert_close(solution.head_gram.diagonal(), rows)
    torch.testing.assert_close(solution.mean_gram.diagonal(), means)
    torch.testing.assert_close(solution.outputs, 1 - solution.prices.sqrt())


def test_limits_permutations_and_equal_sizes():
    assert linear_head_solution(SIZES, 3, 1e-9, 1e-9).outputs.min() > 1 - 1e-4
    dead = linear_head_solution(SIZES, 3, 1.0, 1.0)
    assert (dead.loss, dead.living.any().item()) == (0.5, False)
    one = linear_head_solution(SIZES, 3, [1e-3, 3e-4, 2e-3], DECAY)
    other = linear_head_solution(SIZES[::-1], 3, [2e-3, 1e-3, 3e-4], DECAY)
    assert one.loss == pytest.approx(other.loss, rel=1e-13)
    torch.testing.assert_close(one.outputs.flip(0), other.outputs, rtol=1e-13, atol=0)
    assert len(set(linear_head_solution([9, 9, 9], 2, 1e-3, 1e-3).outputs.tolist())) == 1
    assert class_prices(torch.tensor(SIZES), 2, 0.01, 0.01).tolist() == pytest.approx(
        [2 * 75 * math.sqrt(75 * 1e-6) / n for n in SIZES]
    )


def test_a_narrow_width_keeps_the_largest_classes():
    solution = linear_head_solution([5, 40, 10, 20], 1, DECAY, DECAY, width=2)
    assert solution.living.tolist() == [False, True, False, True]
    assert solution.loss == pytest.approx(0.1053796, abs=5e-8)
    assert solution.unique
    run = train_free_features(
        [5, 40, 10, 20], 1, DECAY, DECAY, dim=2, starts=3, generator=_generator()
    )
    assert run.loss == pytest.approx(solution.loss, rel=1e-8)


def test_ties_with_a_narrow_width_give_the_loss_and_one_of_many_minima():
    solution = linear_head_solution([10] * 4, 1, DECAY, DECAY, width=2)
    assert not solution.unique
    assert sorted(solution.outputs.tolist())[:2] == [0, 0]
    run = train_free_features([10] * 4, 1, DECAY, DECAY, dim=2, starts=3, generator=_generator())
    assert run.loss == pytest.approx(solution.loss, rel=1e-8)
    outputs = torch.linalg.svdvals(run.outputs[::10])
    torch.testing.assert_close(
        outputs, solution.outputs.sort(descending=True).values, rtol=0, atol=1e-5
    )
    assert not linear_head_solution([10] * 4, 1, DECAY, DECAY, width=2, bias=True).unique
    assert linear_head_solution([10] * 4, 1, DECAY, DECAY, width=3, bias=True).unique
    assert linear_head_solution([20, 10, 10], 1, DECAY, DECAY, width=1).unique
    assert linear_head_solution([9, 9], 2, 1.0, 1.0, width=1).unique  # all are dead anyway


def test_exactly_at_the_threshold_two_minima_share_the_loss():
    """Two equal classes of 8, depth 2: the price is 1/2 where λ^3 = 1 / 16^2 / 16 / 16."""
    decay = (0.5 * 8 / (2 * 16)) ** (2 / 3) / 16 ** (1 / 3)
    solution = linear_head_solution([8, 8], 2, decay, decay)
    assert solution.prices.tolist() == pytest.approx([0.5, 0.5], rel=1e-13)
    assert not solution.unique
    assert solution.loss == pytest.approx(0.5, rel=1e-12)


@pytest.mark.measures
def test_a_thousand_classes_take_no_time():
    sizes = list(range(1, 1001))
    linear_head_solution(sizes, 6, DECAY, DECAY)
    start = time.perf_counter()
    solution = linear_head_solution(sizes, 6, DECAY, DECAY)
    assert time.perf_counter() - start < 0.5  # usually below a thousandth
    assert solution.outputs.shape == (1000,)
    assert (solution.outputs.diff() >= 0).all()


@pytest.mark.parametrize("price", [1e-300, 1e-12, 1e-3, 0.3, 0.49999999, 0.5])
def test_roots_are_right_to_all_digits_over_the_whole_range(price):
    for depth in (2, 3, 7, 30):
        price = min(price, 0.999999 * collapse_price(depth))
        rho = class_output(torch.tensor([price], dtype=torch.float64), depth).item()
        if rho < 1:  # log x from ρ / (1 - ρ), where that has digits
            log_x = math.log(rho / (1 - rho)) / depth
            slope = depth * math.exp((depth - 1) * log_x) * (1 - rho) ** 2
            assert slope == pytest.approx(price, rel=1e-3 if 1 - rho < 1e-12 else 1e-6)
