"""Two processes with half of the experts each are one process with all of them."""

import pytest
import torch

from tests.ranks import RANKS, results
from tests.sparsity import moe_layer_ranks as ranks

DROPLESS = [name for name, options in ranks.SETTINGS.items() if "capacity" not in options]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What both ranks stored."""
    return results(ranks.job, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", DROPLESS)
def test_two_processes_equal_one(found, name, dtype):
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0, "atol": 1e-11}
    whole = ranks.loss_and_gradients(ranks.layer_of(name, dtype), range(RANKS), dtype)
    parts = [rank[name, dtype] for rank in found]
    outputs = torch.cat([part["outputs"] for part in parts])
    torch.testing.assert_close(outputs, whole["outputs"], **close)
    mean = sum(part["loss"] for part in parts) / RANKS
    torch.testing.assert_close(mean, whole["loss"], **close)
    for part in parts:
        assert part["load"].equal(whole["load"])
    joined = {key: [part["gradients"][key] for part in parts] for key in whole["gradients"]}
    for key, expected in whole["gradients"].items():
        if key in ("w_in", "w_out"):  # each rank has those of its experts, complete
            gradient = torch.cat(joined[key])
        elif key == "inputs":  # each rank's own loss counts one part of the mean
            gradient = torch.cat(joined[key]) / RANKS
        else:  # to be averaged, as DistributedDataParallel does
            gradient = sum(joined[key]) / RANKS
        torch.testing.assert_close(gradient, expected, **close, msg=lambda m, key=key: key + m)


def test_capacity_is_that_of_each_rank(found):
    name, dtype = "crowded", torch.float64
    for rank, part in enumerate(found):
        own = ranks.loss_and_gradients(ranks.layer_of(name, dtype), [rank], dtype)
        torch.testing.assert_close(part[name, dtype]["outputs"], own["outputs"])
    dropped = [part[name, dtype]["dropped"] for part in found]
    assert dropped[0] == dropped[1] > 0.1


def test_a_rank_without_tokens_works_for_the_others(found):
    layer = ranks.layer_of("two", torch.float64)
    layer(ranks.inputs_of(0, torch.float64)[0]).outputs.square().sum().backward()
    gradient = torch.cat([rank["idle"] for rank in found]) * RANKS
    torch.testing.assert_close(gradient, layer.w_in.grad, rtol=0, atol=1e-11)


def test_all_ranks_raise_together(found):
    assert "`inputs` holds 1 values that are NaN or infinite, out of 60" in found[0]["nan"]
    assert "1 values that are NaN or infinite on other ranks" in found[1]["nan"]
    for rank in found:
        assert "`experts` is 3, but must be a multiple of the 2 ranks" in rank["uneven"]
