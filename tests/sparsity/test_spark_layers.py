"""Spark layers and the small model: definitions written out, decoding, causality."""

import pytest
import torch
from l2s.kernels.statistical_topk import statistical_topk
from l2s.sparsity.statistical_topk import (
    CausalAttention,
    CharacterModel,
    GatedFFN,
    SparkFFN,
)
from torch.nn import functional
from torch.testing import assert_close


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model(**sparse):
    torch.manual_seed(1)
    return CharacterModel(20, 32, 2, 2, 48, **sparse)


SPARSE = {"k": 5, "top_k": 4}


def test_the_gated_layer_is_its_formula_neuron_by_neuron():
    layer, x = GatedFFN(6, 9), normal(4, 6)
    expected = sum(
        functional.gelu(x @ layer.gate[i])[:, None] * (x @ layer.keys[i])[:, None] * layer.values[i]
        for i in range(9)
    )
    assert_close(layer(x), expected)


def test_the_spark_layer_is_its_formula_neuron_by_neuron():
    layer, x = SparkFFN(6, 30, 4, part=2), normal(4, 6)
    passed = functional.gelu(statistical_topk(x[:, :2] @ layer.gate.T, 4))
    expected = sum(
        passed[:, i : i + 1] * (x[:, 2:] @ layer.keys[i])[:, None] * layer.values[i]
        for i in range(30)
    )
    assert_close(layer(x), expected)


def test_decoding_reads_few_rows_and_says_the_same():
    layer, x = SparkFFN(32, 400, 20), normal(3, 32)
    active = (layer.gates(x) != 0).any(dim=0)
    assert active.float().mean() < 0.3
    expected = layer(x)
    with torch.no_grad():  # what is not active is never read
        layer.keys[~active], layer.values[~active] = torch.nan, torch.nan
        assert_close(layer.decode(x), expected)


def test_the_exact_layer_keeps_the_k_largest_scores():
    layer, x = SparkFFN(6, 30, 4, exact=True), normal(5, 6)
    gates, scores = layer.gates(x), x[:, :3] @ layer.gate.T
    largest = scores.topk(4).indices
    assert_close(gates.gather(1, largest), functional.gelu(scores.gather(1, largest)))
    assert ((gates != 0).sum(dim=1) == 4).all()


def test_sizes_are_equal_where_the_split_layer_is_half_as_wide_again():
    weights = [
        sum(each.numel() for each in layer.parameters())
        for layer in (GatedFFN(16, 40), SparkFFN(16, 60, 5), SparkFFN(16, 60, 5, part=3))
    ]
    assert weights == [3 * 16 * 40] * 3


def test_gradients_of_the_spark_layer_are_those_of_finite_differences():
    layer = SparkFFN(4, 12, 3).double()
    x = normal(2, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(layer, x)


def test_attention_to_all_is_softmax_attention():
    attention, x = CausalAttention(16, 2), normal(2, 7, 16)
    query, keys, values = attention.split(x)
    scores = query @ keys.mT / 8**0.5
    scores = scores.masked_fill(torch.ones(7, 7).triu(1).bool(), -torch.inf)
    expected = attention.merge(scores.softmax(-1) @ values)
    assert_close(attention(x), expected)


def test_spark_attention_is_its_formula():
    attention, x = CausalAttention(16, 2, top_k=3), normal(1, 9, 16)
    query, keys, values = attention.split(x)
    expected = torch.zeros_like(query)
    for head in range(2):
        for i in range(9):
            own, seen = query[0, head, i], keys[0, head, : i + 1]
            predicted = seen[:, :4] @ own[:4]
            theta = torch.zeros(())
            kept = torch.ones(i + 1, dtype=torch.bool)
            if i + 1 > 3:
                z = torch.distributions.Normal(0, 1).icdf(torch.tensor(1 - 3 / (i + 1)))
                theta = predicted.mean() + z * predicted.std()
                kept = (predicted > theta) | (predicted == predicted.max())
            height = (
                torch.where(predicted > theta, predicted - theta, 0) if i + 1 > 3 else predicted
            )
            logits = height * functional.softplus(seen[:, 4:] @ own[4:] / 2)
            weights = logits.masked_fill(~kept, -torch.inf).softmax(-1)
            expected[0, head, i] = weights @ values[0, head, : i + 1]
    assert_close(attention.attend(query, keys, values), expected)


def test_predicted_scores_are_products_over_the_root_of_r():
    attention, x = CausalAttention(24, 2, top_k=3, part=8), normal(2, 7, 24)
    query, keys, _ = attention.split(x)
    plain = attention.project(x).unflatten(-1, (3, 2, 12)).permute(2, 0, 3, 1, 4)
    # Of a token with itself, where both are rotated alike.
    products = plain[0] * plain[1]
    found = query * keys
    assert_close(found[..., :8].sum(-1), products[..., :8].sum(-1) / 8**0.5)
    assert_close(found[..., 8:].sum(-1), products[..., 8:].sum(-1))


@pytest.mark.parametrize("top_k", [None, 3])
def test_scores_depend_on_distances_alone(top_k):
    attention, x = CausalAttention(16, 2, top_k=top_k), normal(1, 6, 16)
    here, there = attention.split(x), attention.split(x, 11)
    part = attention.part
    for place in (slice(part), slice(part, None)) if top_k else (slice(None),):
        assert_close(
            here[0][..., place] @ here[1][..., place].mT,
            there[0][..., place] @ there[1][..., place].mT,
        )


@pytest.mark.parametrize("sparse", [{}, SPARSE, {**SPARSE, "exact": True}], ids=str)
def test_the_model_sees_nothing_of_what_comes(sparse):
    tokens = torch.randint(20, (2, 12), generator=torch.Generator().manual_seed(3))
    changed = tokens.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % 20
    one, other = model(**sparse)(tokens), model(**sparse)(changed)
    assert_close(one[:, :8], other[:, :8])
    assert (one[:, 8:] - other[:, 8:]).abs().max() > 1e-3


@pytest.mark.parametrize("sparse", [{}, SPARSE, {**SPARSE, "exact": True}], ids=str)
def test_decoding_one_by_one_equals_the_whole(sparse):
    tokens = torch.randint(20, (1, 12), generator=torch.Generator().manual_seed(4))
    made = model(**sparse)
    cache = made.cache(12)
    found = torch.cat([made.decode(tokens[:, i], cache) for i in range(12)])
    assert_close(found, made(tokens)[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="`cache` holds 12 tokens and is full"):
        made.decode(tokens[:, 0], cache)


def test_activity_counts_what_is_used():
    tokens = torch.randint(20, (3, 10), generator=torch.Generator().manual_seed(5))
    dense = model().activity(tokens)
    assert (dense["neurons"] == 1).all()
    assert dense["keys"][:, :, -1].eq(10).all()
    sparse = model(**SPARSE).activity(tokens)
    assert sparse["neurons"].shape == sparse["keys"].shape == (2, 3, 10)
    assert 0.03 < sparse["neurons"].mean() < 0.25  # 5 of 48 asked for
    assert sparse["keys"][:, :, 0].eq(1).all()
    assert sparse["keys"].max() < 8
    exact = model(**SPARSE, exact=True).activity(tokens)["neurons"]
    assert_close(exact, torch.full_like(exact, 5 / 48))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SparkFFN(8, 20, 0), "`k` is 0"),
        (lambda: SparkFFN(8, 20, 21), "`k` is 21"),
        (lambda: SparkFFN(8, 20, 5, part=8), "`part` is 8"),
        (lambda: SparkFFN(1, 20, 5), "`part` is 0"),
        (lambda: GatedFFN(0, 20), "`dim` is 0"),
        (lambda: GatedFFN(8, 0), "`width` is 0"),
        (lambda: CausalAttention(0, 1), "`dim` is 0"),
        (lambda: CausalAttention(16, 0), "`heads` is 0"),
        (lambda: CharacterModel(0, 16, 2, 1, 8), "`symbols` is 0"),
        (lambda: CharacterModel(9, 16, 2, 0, 8), "`layers` is 0"),
        (lambda: model().cache(0), "`room` is 0"),
        (lambda: CausalAttention(16, 3), "`heads` is 3"),
        (lambda: CausalAttention(24, 4), "`heads` is 4"),
        (lambda: CausalAttention(16, 2, top_k=3, part=3), "`part` is 3"),
        (lambda: CausalAttention(16, 2, top_k=3, part=8), "`part` is 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
