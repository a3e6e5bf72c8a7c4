"""Masks and work: hand examples, brute force, scale invariance, monotone masses, counts by hand."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from l2s.sparsity.dynamic_pruning import (
    ConvBlock,
    ConvShape,
    DynamicNetwork,
    constant_logit,
    conv_flops,
    conv_shapes,
    filter_response,
    magnitude_mask,
    mask_loss,
    mass_mask,
    network_flops,
    predicted_flops,
    predictor_flops,
    random_mask,
    uniform_mask,
)
from torch import nn

from tests.sparsity.dynamic_pruning_cases import drawn, network_of

HAND = torch.tensor([[5.0, 3.0, 1.0, 1.0]])


def by_hand(row, mass, at_least):
    """The rule in plain Python, filter by filter."""
    total = sum(row)
    order = sorted(range(len(row)), key=lambda c: (-row[c], c))
    kept, running = set(order[:at_least]), 0.0
    for c in order:
        share = row[c] / total if total else 0.0
        running += share
        if (share > 1e-5) if mass == 1 else (share > 0 and running <= mass + 1e-5):
            kept.add(c)
    return [c in kept for c in range(len(row))]


class TestResponse:
    def test_it_is_the_peak_of_the_absolute_map(self):
        maps = torch.randn(3, 5, 4, 6, generator=drawn(0))
        found = filter_response(maps)
        for b, c in itertools.product(range(3), range(5)):
            assert found[b, c] == max(abs(v) for v in maps[b, c].flatten().tolist())

    def test_one_place_is_enough_and_no_sample_is_allowed(self):
        assert filter_response(torch.tensor([[[[-2.0]]]])).item() == 2
        assert filter_response(torch.zeros(0, 3, 2, 2)).shape == (0, 3)


class TestMassMask:
    @pytest.mark.parametrize(("mass", "kept"), [(0.8, 2), (0.81, 2), (0.9, 3), (0.5, 1), (1.0, 4)])
    def test_the_hand_example(self, mass, kept):
        assert mass_mask(HAND, mass).tolist() == [[True] * kept + [False] * (4 - kept)]

    @pytest.mark.parametrize(("mass", "kept"), [(0.49, 0), (0.5, 1), (0.4, 0)])
    def test_the_public_code_may_keep_nothing(self, mass, kept):
        assert mass_mask(HAND, mass, at_least=0).sum() == kept
        assert mass_mask(HAND, mass).sum() == 1

    @pytest.mark.parametrize("mass", [0.05, 0.3, 0.62, 0.8, 0.95, 1.0])
    @pytest.mark.parametrize("at_least", [0, 1, 3])
    def test_it_is_the_rule_filter_by_filter(self, mass, at_least):
        responses = torch.rand(50, 7, generator=drawn(1), dtype=torch.float64)
        responses[responses < 0.2] = 0
        responses[0], responses[1] = 0, 1
        found = mass_mask(responses, mass, at_least=at_least).tolist()
        assert found == [by_hand(row, mass, at_least) for row in responses.tolist()]

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.sampled_from([0, 1]))
    @settings(max_examples=60, deadline=None)
    def test_the_number_kept_never_falls_with_the_mass(self, row, at_least):
        responses = torch.tensor([row], dtype=torch.float64)
        kept = [
            int(mass_mask(responses, mass / 20, at_least=at_least).sum()) for mass in range(1, 21)
        ]
        assert kept == sorted(kept)

    @pytest.mark.parametrize("scale", [1e-20, 0.3, 7.0, 1e20])
    @pytest.mark.parametrize("mass", [0.5, 0.8, 1.0])
    def test_it_does_not_see_a_scale(self, scale, mass):
        maps = torch.rand(20, 9, 3, 3, generator=drawn(2), dtype=torch.float64)
        scales = scale * torch.rand(20, 1, 1, 1, generator=drawn(3), dtype=torch.float64)
        expected = mass_mask(filter_response(maps), mass)
        assert mass_mask(filter_response(maps * scales), mass).equal(expected)

    def test_kept_filters_respond_at_least_as_strongly_as_dropped_ones(self):
        responses = torch.rand(100, 12, generator=drawn(4))
        mask = mass_mask(responses, 0.7)
        weakest = responses.masked_fill(~mask, math.inf).amin(1)
        assert (weakest >= responses.masked_fill(mask, -math.inf).amax(1)).all()
        held = (responses * mask).sum(1) / responses.sum(1)
        assert (held <= 0.7 + 1e-4).all()  # the one that crosses is dropped

    def test_ties_go_to_the_lower_index(self):
        assert mass_mask(torch.ones(1, 4), 0.5).tolist() == [[True, True, False, False]]

    def test_an_input_without_response_keeps_what_it_must_and_nothing_is_nan(self):
        for mass in (0.5, 1.0):
            assert mass_mask(torch.zeros(2, 3), mass).sum(1).tolist() == [1, 1]
            assert not mass_mask(torch.zeros(2, 3), mass, at_least=0).any()

    def test_a_full_mass_drops_only_dead_filters(self):
        assert mass_mask(torch.tensor([[1.0, 0.0, 1e-6, 1e-3]]), 1.0).tolist() == [
            [True, False, False, True]
        ]

    def test_half_precision(self):
        responses = torch.rand(30, 64, generator=drawn(5)).half()
        assert mass_mask(responses, 0.8).equal(mass_mask(responses.double(), 0.8))


class TestOtherMasks:
    @pytest.mark.parametrize(("ratio", "kept"), [(0.0, 10), (0.3, 7), (0.35, 7), (0.7, 3)])
    def test_uniform_drops_the_floor(self, ratio, kept):
        responses = torch.rand(40, 10, generator=drawn(0)) + 0.1
        mask = uniform_mask(responses, ratio)
        assert mask.sum(1).tolist() == [kept] * 40
        expected = torch.zeros_like(mask).scatter(1, responses.topk(kept).indices, True)
        assert mask.equal(expected)

    def test_uniform_drops_the_dead_too(self):
        mask = uniform_mask(torch.tensor([[1.0, 0.0, 2.0, 0.0, 1e-6]]), 0.2)
        assert mask.tolist() == [[True, False, True, False, False]]
        assert uniform_mask(torch.zeros(1, 3), 0.2).sum() == 1
        assert uniform_mask(torch.zeros(1, 3), 0.2, at_least=0).sum() == 0

    def test_random_keeps_the_number_and_any_set_as_often(self):
        kept = torch.full((6000,), 2)
        mask = random_mask(kept, 4, generator=drawn(0))
        assert mask.sum(1).equal(kept)
        sets = (mask * torch.tensor([1, 2, 4, 8])).sum(1).bincount()
        count = sets[sets > 0]
        assert len(count) == math.comb(4, 2)
        assert (count - 1000).abs().max() < 5 * math.sqrt(6000 * 1 / 6 * 5 / 6)

    def test_random_goes_from_none_to_all(self):
        mask = random_mask(torch.tensor([0, 5, 3]), 5, generator=drawn(0))
        assert mask.sum(1).tolist() == [0, 5, 3]

    def test_magnitude_keeps_the_largest(self):
        weight = torch.randn(9, 4, 3, 3, generator=drawn(0))
        size = weight.abs().flatten(1).sum(1)
        for share, kept in ((1.0, 9), (0.5, 4), (0.34, 3), (0.01, 1)):
            mask = magnitude_mask(weight, share)
            assert mask.sum() == kept
            assert size[mask].min() >= size[~mask].max() if kept < 9 else mask.all()

    def test_magnitude_with_scales_is_that_of_the_folded_weight(self):
        weight = torch.randn(9, 4, 3, 3, generator=drawn(0))
        scale = torch.randn(9, generator=drawn(1))
        folded = weight * scale[:, None, None, None]
        assert magnitude_mask(weight, 0.4, scale=scale).equal(magnitude_mask(folded, 0.4))


class TestWork:
    @pytest.mark.parametrize("groups", [1, 2, 4])
    def test_masks_are_counted_as_loops_would(self, groups):
        shape = ConvShape(8, 12, 3, 5, 9, groups)
        into = torch.rand(6, 8, generator=drawn(0)) < 0.6
        out = torch.rand(6, 12, generator=drawn(1)) < 0.4
        found = conv_flops(shape, into, out)
        for b in range(6):
            pairs = sum(
                bool(into[b, i] and out[b, c])
                for i, c in itertools.product(range(8), range(12))
                if i // (8 // groups) == c // (12 // groups)
            )
            assert found[b] == 3 * 5 * 9 * pairs

    def test_no_mask_is_the_whole_convolution(self):
        assert conv_flops(ConvShape(8, 12, 3, 5, 9)).item() == 3 * 5 * 9 * 8 * 12
        assert conv_flops(ConvShape(8, 8, 3, 5, 9, 8)).item() == 3 * 5 * 9 * 8
        every = torch.ones(2, 8, dtype=torch.bool)
        assert conv_flops(ConvShape(8, 12, 3, 5, 9), every).tolist() == [12960.0] * 2

    def test_all_ones_masks_cost_the_hand_count(self):
        network = network_of()
        shapes = conv_shapes(network, 8, 8)
        by_hand = 8 * 8 * 9 * 1 * 4 + 4 * 4 * 9 * 4 * 6 + 4 * 4 * 9 * 6 * 5
        ones = [torch.ones(3, n, dtype=torch.bool) for n in (4, 6, 5)]
        assert network_flops(shapes, ones).tolist() == [by_hand] * 3
        assert network_flops(shapes, [None] * 3).item() == by_hand
        assert predicted_flops(shapes, [1.0, 1.0, 1.0]) == by_hand

    def test_both_masks_of_neighbours_count(self):
        shapes = conv_shapes(network_of(), 8, 8)
        masks = [torch.rand(7, n, generator=drawn(n)) < 0.5 for n in (4, 6, 5)]
        first, second, third = (m.sum(1) for m in masks)
        expected = 8 * 8 * 9 * first + 16 * 9 * (first * second + second * third)
        assert network_flops(shapes, masks).equal(expected.double())
        assert network_flops(shapes, [None, *masks[1:]]).equal(
            (8 * 8 * 9 * 4 + 16 * 9 * (4 * second + second * third)).double()
        )

    def test_the_prediction_is_off_by_the_covariance_of_neighbours(self):
        shapes = conv_shapes(network_of(), 8, 8)
        masks = [None, *(torch.rand(500, n, generator=drawn(n)) < 0.5 for n in (6, 5))]
        shares = [1.0, *(m.double().mean().item() for m in masks[1:])]
        second, third = (m.sum(1).double() for m in masks[1:])
        covariance = (second * third).mean() - second.mean() * third.mean()
        measured = network_flops(shapes, masks).mean()
        gap = measured.item() - predicted_flops(shapes, shares)
        assert math.isclose(gap, 16 * 9 * covariance.item(), rel_tol=1e-9)

    def test_one_mask_for_all_is_predicted_exactly(self):
        shapes = conv_shapes(network_of(), 8, 8)
        masks = [None, torch.arange(6) < 3, torch.arange(5) < 2]
        assert math.isclose(
            predicted_flops(shapes, [1.0, 0.5, 0.4]), network_flops(shapes, masks).item()
        )

    def test_heads_cost_their_weights(self):
        assert predictor_flops(network_of()) == 4 * 6 + 6 * 5
        assert predictor_flops(network_of(grid=2)) == 4 * (4 * 6 + 6 * 5)
        plain = DynamicNetwork([ConvBlock(1, 4)], classes=2, mass=0.5)
        assert predictor_flops(plain) == 0

    def test_shapes_follow_pools_and_groups(self):
        blocks = [ConvBlock(2, 4, kernel=5, groups=2, pool=nn.MaxPool2d(2)), ConvBlock(4, 3)]
        network = DynamicNetwork(blocks, classes=2, mass=0.5)
        assert conv_shapes(network, 9, 7) == (
            ConvShape(2, 4, 9, 7, 25, 2),
            ConvShape(4, 3, 4, 3, 9, 1),
        )


class TestLoss:
    def test_it_is_the_formula(self):
        logits = torch.randn(6, 4, generator=drawn(0), dtype=torch.float64)
        targets = torch.rand(6, 4, generator=drawn(1)) < 0.3
        p = logits.sigmoid()
        expected = -(3.0 * targets * p.log() + ~targets * (1 - p).log()).mean()
        torch.testing.assert_close(mask_loss(logits, targets, positive_weight=3.0), expected)

    @pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.9])
    @pytest.mark.parametrize("weight", [1.0, 4.0])
    def test_the_best_constant_is_where_the_gradient_vanishes(self, share, weight):
        targets = torch.arange(10)[:, None] < round(10 * share)
        z = torch.tensor(constant_logit(share, positive_weight=weight), dtype=torch.float64)
        z.requires_grad_()
        loss = mask_loss(z.expand(10, 1), targets, positive_weight=weight)
        (slope,) = torch.autograd.grad(loss, z)
        assert abs(slope) < 1e-12
        for other in (z - 0.01, z + 0.01):
            assert mask_loss(other.expand(10, 1), targets, positive_weight=weight) > loss

    def test_it_changes_sign_where_the_weighted_share_is_a_half(self):
        assert constant_logit(0.49) < 0 < constant_logit(0.51)
        assert (
            constant_logit(0.21, positive_weight=4.0)
            > 0
            > constant_logit(0.19, positive_weight=4.0)
        )


def test_work_is_counted_where_the_masks_are():
    shapes = (ConvShape(1, 4, 8, 8, 9), ConvShape(4, 2, 8, 8, 9))
    mask = torch.ones(3, 4, dtype=torch.bool, device="meta")
    assert network_flops(shapes, [mask, None]).device.type == "meta"
    assert conv_flops(shapes[0], None, mask).device.type == "meta"
