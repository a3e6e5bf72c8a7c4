"""Each misuse is an error that names the argument, its value and the remedy; none becomes NaN."""

import math

import pytest
import torch
from l2s.sparsity.dynamic_pruning import (
    ConvBlock,
    ConvShape,
    DynamicNetwork,
    MaskPredictor,
    constant_logit,
    conv_flops,
    conv_shapes,
    filter_response,
    magnitude_mask,
    mask_loss,
    mass_mask,
    network_flops,
    predicted_flops,
    random_mask,
    skip_block,
    skip_network,
    uniform_mask,
)

from tests.sparsity.dynamic_pruning_cases import images_of, network_of

ROW = torch.tensor([[2.0, 1.0]])
SHAPES = (ConvShape(1, 4, 8, 8, 9), ConvShape(4, 2, 8, 8, 9))
YES = torch.ones(3, 4, dtype=torch.bool)


def built(**options):
    settings = {"classes": 3, "mass": 0.5} | options
    return DynamicNetwork([ConvBlock(1, 4), ConvBlock(4, 2)], **settings)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: filter_response(torch.ones(2, 3, 4)), "`maps` has shape.*needs the axes"),
        (lambda: filter_response(torch.ones(2, 3, 0, 4)), "`maps` has shape.*no place"),
        (lambda: filter_response(torch.full((1, 1, 1, 1), math.nan)), "`maps` holds 1 values"),
        (lambda: mass_mask(ROW, 0.0), "`mass` is 0.0, but must be above 0"),
        (lambda: mass_mask(ROW, 1.5), "`mass` is 1.5.*at most 1"),
        (lambda: mass_mask(ROW, -1.0), "`mass` is -1.0"),
        (lambda: mass_mask(ROW, math.nan), "`mass` is nan"),
        (lambda: mass_mask(-ROW, 0.5), "`responses` holds -2.*filter_response"),
        (lambda: mass_mask(ROW / 0, 0.5), "`responses` holds 2 values"),
        (lambda: mass_mask(ROW[:, :0], 0.5), "`filters` is 0"),
        (lambda: mass_mask(ROW, 0.5, at_least=3), "`at_least` is 3.*filters, 2"),
        (lambda: mass_mask(ROW, 0.5, at_least=-1), "`at_least` is -1"),
        (lambda: mass_mask(ROW[0], 0.5), "`responses` has shape"),
        (lambda: uniform_mask(ROW, 1.0), "`ratio` is 1.0.*below 1"),
        (lambda: uniform_mask(ROW, -0.1), "`ratio` is -0.1"),
        (lambda: uniform_mask(-ROW, 0.1), "`responses` holds -2"),
        (lambda: random_mask(torch.tensor([3]), 2), "`kept` holds numbers from 3 to 3"),
        (lambda: random_mask(torch.tensor([-1]), 2), "`kept` holds numbers from -1"),
        (lambda: random_mask(torch.tensor([0]), 0), "`filters` is 0"),
        (lambda: magnitude_mask(torch.ones(2, 1, 3, 3), 0.0), "`share` is 0.0"),
        (lambda: magnitude_mask(torch.ones(2, 1, 3, 3), 1.1), "`share` is 1.1"),
        (lambda: magnitude_mask(torch.ones(0, 1, 3, 3), 0.5), r"`len\(weight\)` is 0"),
        (lambda: magnitude_mask(torch.ones(2, 1, 3, 3) / 0, 0.5), "`weight` holds 18"),
        (lambda: magnitude_mask(torch.ones(2, 1, 3, 3), 0.5, scale=torch.ones(3)), "`scale` has"),
        (lambda: mask_loss(ROW, torch.ones(1, 3).bool()), "`targets` has shape"),
        (lambda: mask_loss(ROW, ROW > 0, positive_weight=0.0), "`positive_weight` is 0.0"),
        (lambda: mask_loss(ROW[:0], ROW[:0] > 0), r"`logits.numel\(\)` is 0"),
        (lambda: constant_logit(0.0), "`share` is 0.0.*infinite"),
        (lambda: constant_logit(1.0), "`share` is 1.0"),
        (lambda: constant_logit(0.5, positive_weight=-1.0), "`positive_weight` is -1.0"),
        (lambda: conv_flops(ConvShape(4, 6, 2, 2, 9, 4)), "`shape.filters` is 6.*4 groups"),
        (lambda: conv_flops(ConvShape(6, 4, 2, 2, 9, 4)), "`shape.channels` is 6"),
        (lambda: conv_flops(ConvShape(4, 4, 0, 2, 9)), "`shape.height` is 0"),
        (lambda: conv_flops(SHAPES[0], None, YES[:, :3]), "`outputs` has shape.*4 of them"),
        (lambda: conv_flops(SHAPES[1], YES[:, :3], None), "`inputs` has shape.*4 of them"),
        (lambda: network_flops(SHAPES, [None]), "`masks` has 1 entries for 2"),
        (lambda: network_flops(SHAPES[::-1], [None, None]), r"`shapes\[1\]` has 1 channels"),
        (lambda: predicted_flops(SHAPES, [1.0]), "`shares` has 1 entries"),
        (lambda: predicted_flops(SHAPES, [1.0, 1.2]), r"`shares\[1\]` is 1.2"),
        (lambda: conv_shapes(network_of(), 0, 8), "`height` is 0"),
        (lambda: conv_shapes(network_of(), 8, 0), "`width` is 0"),
        (lambda: MaskPredictor(0, 2), "`channels` is 0"),
        (lambda: MaskPredictor(2, 0), "`filters` is 0"),
        (lambda: MaskPredictor(2, 2, grid=0), "`grid` is 0"),
        (lambda: MaskPredictor(2, 2)(torch.ones(1, 3, 4, 4)), "`inputs` has 3 channels.*takes 2"),
        (lambda: MaskPredictor(2, 2)(torch.ones(1, 2, 4)), "`inputs` has shape"),
        (
            lambda: MaskPredictor(2, 2)(torch.ones(1, 2, 0, 4)),
            r"`inputs.shape\[2:\].numel\(\)` is 0",
        ),
        (lambda: mask_loss(ROW / 0, ROW > 0), "`logits` holds 2 values"),
        (lambda: conv_shapes(network_of(), 1, 1), "`height` and `width` are 1 and 1"),
        (lambda: network_of()(images_of(2).repeat(1, 2, 1, 1)), "`images` has 2 channels"),
        (lambda: network_of()(images_of(2) / 0), "`images` holds"),
        (lambda: skip_network(network_of().eval(), images_of(2) / 0), "`images` holds"),
        (
            lambda: skip_network(network_of().eval(), images_of(2).repeat(1, 2, 1, 1)),
            "`images` has 2 channels",
        ),
        (
            lambda: skip_block(ConvBlock(2, 4).eval(), torch.ones(3, 3, 3, 3), None, None),
            "`inputs` has 3 channels, but the block takes 2",
        ),
        (lambda: ConvBlock(0, 2), "`channels` is 0"),
        (lambda: ConvBlock(2, 2, kernel=2), "`kernel` is 2, but must be odd"),
        (lambda: ConvBlock(4, 6, groups=4), "`filters` is 6, which 4 groups"),
        (lambda: ConvBlock(4, 6, predictor=MaskPredictor(4, 5)), "`predictor` maps 4.*to 5"),
        (lambda: DynamicNetwork([], classes=2, mass=0.5), r"`len\(blocks\)` is 0"),
        (lambda: built(mass=0.0), "`mass` is 0.0"),
        (lambda: built(classes=0), "`classes` is 0"),
        (lambda: built(mode="both"), "`mode` is 'both'.*'decoupled', 'joint'"),
        (lambda: built(at_least=3), "`at_least` is 3"),
        (lambda: built(positive_weight="even"), "`positive_weight` is 'even'"),
        (lambda: built(positive_weight=0.0), "`positive_weight` is 0.0"),
        (
            lambda: DynamicNetwork([ConvBlock(1, 4), ConvBlock(3, 2)], classes=2, mass=0.5),
            r"`blocks\[1\]` takes 3 channels, but the block before it has 4",
        ),
        (lambda: network_of()(images_of(2), "oracle"), "`masks` is 'oracle'"),
        (lambda: network_of()(images_of(2), [None]), "`masks` has 1 entries for 3"),
        (lambda: network_of()(images_of(2), [YES, None, None]), r"`masks\[0\]` has shape \(3, 4\)"),
        (lambda: network_of()(images_of(2)[0]), "`images` has shape"),
        (lambda: skip_network(network_of(), images_of(2)), "`block` is in training mode"),
        (
            lambda: skip_block(
                ConvBlock(2, 2, groups=2).eval(), torch.ones(1, 2, 3, 3), None, None
            ),
            "`block` has 2 groups",
        ),
        (
            lambda: skip_block(ConvBlock(2, 4).eval(), torch.ones(3, 2, 3, 3), None, YES[:, :3]),
            "`kept` has shape",
        ),
        (
            lambda: skip_block(ConvBlock(2, 4).eval(), torch.ones(3, 2, 3, 3), YES, None),
            "`into` has shape",
        ),
    ],
)
def test_errors_name_argument_value_and_remedy(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: network_flops(SHAPES, [YES.float(), None]), r"`masks\[0\]` has dtype"),
        (lambda: network_of()(images_of(2), [None, torch.ones(6), None]), r"`masks\[1\]` has dt"),
        (lambda: mass_mask(ROW.long(), 0.5), "`responses` has dtype"),
        (lambda: mass_mask([[1.0]], 0.5), "`responses` is"),
        (lambda: random_mask(torch.ones(2), 3), "`kept` has dtype"),
        (lambda: mask_loss(ROW, ROW), "`targets` has dtype"),
    ],
)
def test_wrong_types(call, words):
    with pytest.raises(TypeError, match=words):
        call()
