"""Two processes that gather negatives have the loss and gradients of one on the whole batch."""

import pytest
import torch
from l2s.labels.contrastive import nt_xent

from tests.labels import contrastive_ranks as ranks
from tests.ranks import RANKS, results

# "few" takes the first items of each rank, which is another batch in one process.
NAMES = [name for name in ranks.LOSSES if name != "few"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What both ranks stored."""
    return results(ranks.job, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["float32", "float64"])
def whole(request):
    """One process on the whole batch."""
    a, b = ranks.items().to(request.param)
    return request.param, ranks.losses_and_gradients(ranks.encoder(request.param), a, b)


@pytest.mark.parametrize("name", NAMES)
def test_averaged_value_and_gradients_are_those_of_the_whole_batch(found, whole, name):
    dtype, expected = whole
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    value, gradients = expected[name]
    mean = sum(rank[dtype][name][0] for rank in found) / RANKS
    torch.testing.assert_close(mean, value, rtol=tolerance, atol=tolerance)
    for rank in found:  # DDP has averaged the gradients already
        torch.testing.assert_close(rank[dtype][name][1], gradients, rtol=1e-5, atol=tolerance)


def test_the_definition_of_small_batches_gathers_too(found):
    rows = torch.tensor([0, 1, 2, ranks.BATCH, ranks.BATCH + 1, ranks.BATCH + 2])
    a, b = ranks.items().double()
    model = ranks.encoder(torch.float64)
    za, zb = model(torch.cat([a, b])).chunk(2)
    value = ranks.LOSSES["dcl"](za[rows], zb[rows])
    value.backward()
    mean = sum(rank[torch.float64]["few"][0] for rank in found) / RANKS
    torch.testing.assert_close(mean, value.detach(), rtol=1e-12, atol=1e-12)
    gradients = [weight.grad for weight in model.parameters()]
    torch.testing.assert_close(found[0][torch.float64]["few"][1], gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["coupling", "each"])
def test_each_rank_returns_its_own_anchors(found, whole, name):
    dtype, expected = whole
    both = torch.cat([rank[dtype][name] for rank in found], dim=1)
    torch.testing.assert_close(both, expected[name], rtol=1e-4, atol=1e-6)


def test_one_item_a_rank_is_a_batch_of_two(found):
    a, b = ranks.items().double()[:, [0, ranks.BATCH]]
    mean = sum(rank["one"] for rank in found) / RANKS
    assert mean == pytest.approx(nt_xent(a, b).item(), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "words"),
    [("unequal", ["70", "69", "drop_last"]), ("alone", ["`labels`", "2 labels", "such as 0"])],
)
def test_every_rank_raises_the_same_clear_error(found, name, words):
    for rank in found:
        for word in words:
            assert word in rank[name]
