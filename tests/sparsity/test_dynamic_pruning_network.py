"""The network under masks: all ones are dense, gradients are exactly 0, skipping is masking."""

import math

import pytest
import torch
import torch.nn.functional as F
from l2s.sparsity.dynamic_pruning import (
    ConvBlock,
    DynamicNetwork,
    MaskPredictor,
    conv_shapes,
    filter_response,
    mask_loss,
    mass_mask,
    network_flops,
    skip_block,
    skip_network,
)

from tests.sparsity.dynamic_pruning_cases import drawn, images_of, network_of


def dense(network, images):
    """The network in plain torch, without anything of the module but its layers."""
    maps = images
    for block in network.blocks:
        maps = F.relu(block.norm(block.conv(maps)))
        maps = maps if block.pool is None else block.pool(maps)
    return network.head(maps.mean((2, 3)))


@pytest.mark.parametrize("training", [True, False])
def test_all_ones_masks_are_the_dense_network(training):
    network, images = network_of().train(training), images_of(9)
    expected = dense(network, images)
    ones = [torch.ones(n, dtype=torch.bool) for n in (4, 6, 5)]
    for masks in ("all", ones, [None] * 3, [m.expand(9, -1) for m in ones]):
        assert network(images, masks).outputs.equal(expected)


def test_executed_masks_follow_the_source():
    network, images = network_of().eval(), images_of(20)
    for source in ("predicted", "target"):
        made = network(images, source)
        assert made.masks[0] is made.targets[0] is None
        assert (made.masks[1].sum(1) >= 1).all()
    assert network(images, "target").masks[1].equal(network(images, "target").targets[1])
    made = network(images)
    logits = network.blocks[1].predictor(network.blocks[0](images))
    expected = (logits > 0) | F.one_hot(logits.argmax(1), 6).bool()
    assert made.masks[1].equal(expected)
    assert network(images, "all").masks == (None, None, None)


def test_targets_come_from_the_layers_own_masked_input():
    network, images = network_of().eval(), images_of(20)
    made = network(images)
    first = network.blocks[0](images)
    second = network.blocks[1].maps(first)
    assert made.targets[1].equal(mass_mask(filter_response(second), 0.7))
    third = network.blocks[2].maps(second * made.masks[1][:, :, None, None])
    assert made.targets[2].equal(mass_mask(filter_response(third), 0.7))


def test_the_loss_sums_over_layers():
    network, images = network_of(positive_weight=2.0).eval(), images_of(20)
    made = network(images)
    maps, expected = images, 0.0
    for block, mask, target in zip(network.blocks, made.masks, made.targets, strict=True):
        if target is not None:
            expected = expected + mask_loss(block.predictor(maps), target, positive_weight=2.0)
        maps = block.maps(maps) * (1 if mask is None else mask[:, :, None, None])
        maps = block.pooled(maps)
    torch.testing.assert_close(made.loss, expected)
    assert network(images, "target").loss == 0


def test_balanced_weights_make_kept_and_dropped_count_the_same():
    network, images = network_of(positive_weight="balanced").eval(), images_of(20)
    plain = network_of().eval()
    share = [t.double().mean().item() for t in plain(images).targets[1:]]
    maps, expected = plain.blocks[0](images), 0.0
    made = plain(images)
    for place, q in zip((1, 2), share, strict=True):
        block = plain.blocks[place]
        weight = (1 - q) / q
        logits = block.predictor(maps)
        expected += mask_loss(logits, made.targets[place], positive_weight=weight)
        maps = block.maps(maps) * made.masks[place][:, :, None, None]
    torch.testing.assert_close(network(images).loss, expected)


class TestGradients:
    def test_decoupled_heads_give_the_backbone_exactly_nothing(self):
        network = network_of()
        network(images_of(8)).loss.backward()
        assert all(p.grad is None or not p.grad.any() for p in network.backbone())
        assert all(p.grad.any() for p in network.predictors())

    def test_joint_heads_reach_earlier_layers(self):
        network = network_of(mode="joint")
        network(images_of(8)).loss.backward()
        assert network.blocks[0].conv.weight.grad.any()
        assert network.blocks[1].conv.weight.grad.any()
        assert network.head.weight.grad is None

    def test_the_task_gives_the_heads_exactly_nothing(self):
        for mode in ("decoupled", "joint"):
            network = network_of(mode=mode)
            F.cross_entropy(network(images_of(8)).outputs, torch.arange(8) % 3).backward()
            assert all(p.grad is None for p in network.predictors())
            assert network.blocks[0].conv.weight.grad.any()

    def test_a_filter_that_no_input_keeps_has_no_gradient(self):
        network = network_of()
        kept = torch.tensor([True, False, True, False, True, False])
        F.cross_entropy(
            network(images_of(8), [None, kept, None]).outputs, torch.arange(8) % 3
        ).backward()
        assert not network.blocks[1].conv.weight.grad[~kept].any()
        assert network.blocks[1].conv.weight.grad[kept].any()

    def test_parameters_are_split_without_rest(self):
        network = network_of()
        parts = [*network.backbone(), *network.predictors()]
        assert {id(p) for p in parts} == {id(p) for p in network.parameters()}
        assert len(parts) == len(list(network.parameters()))


class TestSkipping:
    @pytest.mark.parametrize("grid", [1, 2])
    @pytest.mark.parametrize("at_least", [0, 1])
    def test_it_is_masking(self, grid, at_least):
        network = network_of(grid=grid, at_least=at_least).double().eval()
        images = images_of(30).double()
        expected, found = network(images), skip_network(network, images)
        torch.testing.assert_close(found.outputs, expected.outputs, rtol=0, atol=1e-13)
        for one, other in zip(found.masks, expected.masks, strict=True):
            assert (one is None) == (other is None)
            assert one is None or one.equal(other)
        assert found.loss == 0
        assert found.targets == (None, None, None)

    def test_it_computes_what_is_counted_and_no_more(self, monkeypatch):
        network, images = network_of().eval(), images_of(30)
        done, true_conv = [], F.conv2d

        def counting(x, weight, *rest):
            made = true_conv(x, weight, *rest)
            done.append(made[:, 0].numel() * weight.numel() if weight.shape[-1] > 1 else 0)
            return made

        monkeypatch.setattr("l2s.sparsity.dynamic_pruning.skipping.F.conv2d", counting)
        made = skip_network(network, images)
        worked = sum(done)
        shapes = conv_shapes(network, 8, 8)
        assert worked == network_flops(shapes, made.masks).sum()
        assert 0 < worked < 30 * network_flops(shapes, [None] * 3)

    def test_any_masks(self):
        block, inputs = ConvBlock(6, 5).double().eval(), torch.randn(40, 6, 5, 4).double()
        block.norm.running_mean.normal_()
        block.norm.bias.data.normal_()
        into = torch.rand(40, 6, generator=drawn(0)) < 0.5
        kept = torch.rand(40, 5, generator=drawn(1)) < 0.5
        into[0], kept[1], into[2], kept[2] = False, False, False, False
        inputs = inputs * into[:, :, None, None]
        expected = block.maps(inputs) * kept[:, :, None, None]
        torch.testing.assert_close(skip_block(block, inputs, into, kept), expected)
        torch.testing.assert_close(skip_block(block, inputs, None, None), block(inputs))

    def test_no_sample(self):
        network = network_of().eval()
        for made in (network(images_of(0)), skip_network(network, images_of(0))):
            assert made.outputs.shape == (0, 3)
            assert made.loss == 0


class TestMatching:
    def test_a_batch_is_kept_as_its_targets_ask(self):
        network, images = network_of(match_shares=True, at_least=0), images_of(200)
        made = network(images)
        for mask, target in zip(made.masks[1:], made.targets[1:], strict=True):
            assert abs(mask.double().mean() - target.double().mean()) < 0.01

    def test_the_running_threshold_comes_to_the_batches_own(self):
        network, images = network_of(match_shares=True), images_of(200)
        for _ in range(80):
            network(images)
        network.eval()
        made = network(images)
        # Batch norm in evaluation has running numbers, near those of the batch but not the same.
        for mask, target in zip(made.masks[1:], made.targets[1:], strict=True):
            assert abs(mask.double().mean() - target.double().mean()) < 0.06
        offsets = [block.offset.clone() for block in network.blocks]
        network(images)
        assert all(b.offset.equal(o) for b, o in zip(network.blocks, offsets, strict=True))
        assert offsets[0] == 0
        assert all(o != 0 for o in offsets[1:])

    def test_offsets_are_saved(self):
        network = network_of(match_shares=True)
        network(images_of(50))
        other = network_of(seed=5, match_shares=True)
        other.load_state_dict(network.state_dict())
        assert other.eval()(images_of(9)).outputs.equal(network.eval()(images_of(9)).outputs)


class TestPredictor:
    def test_it_is_the_formula(self):
        for grid, softmax in ((1, False), (1, True), (2, True)):
            head = MaskPredictor(3, 5, grid=grid, softmax=softmax)
            x = torch.randn(7, 3, 4, 6, generator=drawn(0))
            cells = x.unfold(2, 4 // grid, 4 // grid).unfold(3, 6 // grid, 6 // grid).mean((4, 5))
            cells = cells.softmax(1) if softmax else cells
            expected = cells.flatten(1) @ head.weight.flatten(1).T + head.bias
            torch.testing.assert_close(head(x), expected)

    def test_first_weights_follow_the_generator(self):
        one, other = (MaskPredictor(3, 5, generator=drawn(4)) for _ in range(2))
        assert one.weight.equal(other.weight)
        assert one.weight.abs().max() <= 1 / math.sqrt(3)

    def test_it_learns_masks_that_its_input_tells(self):
        x = torch.rand(400, 4, 3, 3, generator=drawn(0))
        targets = x.mean((2, 3)) > 0.5
        head = MaskPredictor(4, 4, softmax=False, generator=drawn(1))
        adam = torch.optim.Adam(head.parameters(), lr=0.3)
        for _ in range(300):
            adam.zero_grad()
            mask_loss(head(x), targets).backward()
            adam.step()
        assert ((head(x) > 0) == targets).float().mean() > 0.97

    def test_a_head_that_sees_nothing_learns_the_constant(self):
        targets = torch.arange(10)[:, None] < torch.tensor([2, 7])
        head = MaskPredictor(1, 2, generator=drawn(1))  # softmax over one channel is always 1
        adam = torch.optim.Adam(head.parameters(), lr=0.1)
        for _ in range(500):
            adam.zero_grad()
            mask_loss(head(torch.randn(10, 1, 2, 2)), targets).backward()
            adam.step()
        expected = torch.tensor([math.log(2 / 8), math.log(7 / 3)]).expand(10, 2)
        torch.testing.assert_close(head(torch.randn(10, 1, 2, 2)), expected, atol=1e-3, rtol=0)


def test_at_least_keeps_the_best_logits():
    network = network_of(at_least=2).eval()
    logits = torch.tensor([[-3.0, -1.0, -2.0, -1.0, -9.0, -8.0]])
    assert network.blocks[1].mask(logits, 2).tolist() == [[False, True, False, True, False, False]]
    assert not network.blocks[1].mask(logits, 0).any()


def test_it_trains():
    images = images_of(60)
    labels = images.mean((1, 2, 3)).argsort().argsort() // 20
    network = network_of(match_shares=True, mass=0.9)
    adam = torch.optim.Adam(network.parameters(), lr=0.05)
    first = None
    for _ in range(120):
        adam.zero_grad()
        made = network(images)
        loss = F.cross_entropy(made.outputs, labels)
        (loss + made.loss).backward()
        adam.step()
        first = made.loss.item() if first is None else first
    assert loss < 0.5
    assert made.loss < 0.8 * first  # the heads learn, too
    for mask, target in zip(made.masks[1:], made.targets[1:], strict=True):
        assert not target.all()
        share = target.double().mean().item()
        assert abs(mask.double().mean().item() - share) < 0.1


def test_half_precision_matches_shares():
    network = network_of(match_shares=True).bfloat16()
    mask, target = (each[1] for each in network(images_of(40).bfloat16())[2:])
    assert abs(mask.double().mean() - target.double().mean()) < 0.1


def test_blocks_without_heads_have_no_targets():
    network = DynamicNetwork([ConvBlock(1, 4), ConvBlock(4, 3)], classes=2, mass=0.5).eval()
    made = network(images_of(5))
    assert made.masks == made.targets == (None, None)
    assert network.predictors() == []
    torch.testing.assert_close(skip_network(network, images_of(5)).outputs, made.outputs)
