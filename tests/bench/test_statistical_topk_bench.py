"""The benchmark of decoding compares models of equal weights, and decodes what they say."""

import pytest
import torch
from l2s.data import python_manual

from bench.sparsity import statistical_topk as bench


@pytest.fixture(scope="module", params=["dense", "sparse"])
def model(request):
    return bench.untrained(python_manual(), 36, is_sparse=request.param == "sparse")


def test_the_table_has_a_line_for_each_model():
    dense, sparse = bench.measure(scale=36, steps=2, repeats=1)
    assert (dense["how"], sparse["how"]) == ("dense", "sparse")
    assert dense["weights / million"] == sparse["weights / million"]
    assert dense["ratio"] == "1.00"
    assert float(sparse["active"].rstrip("%")) < 15


def test_training_lowers_the_loss():
    text = python_manual()
    unseen = text.test[:650].view(10, 65)
    model = bench.untrained(text, 36, is_sparse=True)

    def loss():
        with torch.no_grad():
            return bench.nats(model, unseen).item()

    before = loss()
    bench.trained(model, text, 20)
    assert loss() < before - 0.2


def test_decoding_says_what_the_model_says(model):
    text = python_manual().test[:20]
    with torch.no_grad():
        expected = model(text[None])[0]
    torch.testing.assert_close(bench.decoded(model, text), expected, rtol=1e-4, atol=1e-4)


def test_all_weights_are_read_but_those_of_silent_neurons(model):
    whole = bench.numbers_read(model, 1.0)
    assert whole == sum(w.numel() for n, w in model.named_parameters() if n != "embed.weight")
    saved = whole - bench.numbers_read(model, 0.0)
    ffn = model.blocks[0].ffn
    assert saved == bench.LAYERS * (ffn.keys.numel() + ffn.values.numel())
