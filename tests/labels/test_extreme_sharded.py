"""Two processes with half of the labels each have the loss and gradients of one with all."""

import pytest
import torch
from l2s.labels.extreme_labels import decoupled_softmax, sharded_decoupled_softmax

from tests.labels import extreme_ranks as ranks
from tests.ranks import results


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What both ranks stored."""
    return results(ranks.job, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", ranks.LOSSES)
@pytest.mark.parametrize("form", ["mask", "lists"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_loss_and_gradients_are_those_of_one_process(found, dtype, name, form, reduction):
    queries, vectors, mask = ranks.problem(dtype)
    value, for_queries, for_vectors = ranks.loss_and_gradients(
        ranks.LOSSES[name][0], queries, vectors, mask, reduction=reduction
    )
    parts = [rank[dtype, name, form, reduction] for rank in found]
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0, "atol": 1e-11}
    for part in parts:
        torch.testing.assert_close(part[0], value, **close)
    torch.testing.assert_close(parts[0][1] + parts[1][1], for_queries, **close)
    torch.testing.assert_close(torch.cat([parts[0][2], parts[1][2]]), for_vectors, **close)


@pytest.mark.parametrize("name", ranks.LOSSES)
def test_a_few_numbers_a_row_cross_the_wire_however_many_labels(found, name):
    few, many = (found[0]["exchanged"][name, labels] for labels in (50, 5000))
    most = {"decoupled": 5}.get(name, 60) * ranks.ROWS + 2
    assert 0 < few <= most
    assert 0 < many <= most
    if name == "decoupled":
        assert few == many


def test_all_ranks_raise_together(found):
    assert "`scores` holds 1 values that are NaN or infinite" in found[0]["nan"]
    assert "1 values that are NaN or infinite on other ranks" in found[1]["nan"]
    for rank in found:
        assert "1 rows without a label, such as row 5" in rank["empty"]
        assert "`k` is 50, but must lie between 1 and 49" in rank["k"]


def test_a_row_without_a_positive_anywhere_is_ignored_on_request(found):
    queries, vectors, mask = ranks.problem(torch.float64)
    mask[5] = False
    expected = decoupled_softmax(queries @ vectors.T, mask, on_empty="ignore", reduction="none")
    assert expected[5] == 0
    for rank in found:
        torch.testing.assert_close(rank["ignored"], expected, rtol=0, atol=1e-12)


def test_without_a_process_group_the_error_says_so():
    with pytest.raises(ValueError, match="no process group.*init_process_group"):
        sharded_decoupled_softmax(torch.ones(2, 3), torch.tensor([[0], [1]]))
