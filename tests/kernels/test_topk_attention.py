"""The oracles of attention over few keys, on all implementations, and its place in PyTorch."""

import math

import pytest
import torch
from l2s.kernels.statistical_topk import statistical_topk_mask
from l2s.kernels.topk_attention import topk_attention, topk_attention_mask
from l2s.kernels.topk_attention.operator import operator
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import scaled_dot_product_attention

from tests.kernels import topk_attention_cases
from tests.kernels.drawn import normal


def drawn(queries=1, context=40, dim=6, outputs=4, heads=3, **options):
    """Query, keys and values of two batches."""
    return (
        normal(2, heads, queries, dim, seed=1, **options),
        normal(2, heads, context, dim, seed=2, **options),
        normal(2, heads, context, outputs, seed=3, **options),
    )


def cache(queries=1, context=40, part=3, heads=3):
    return normal(2, heads, queries, part, seed=4), normal(2, heads, context, part, seed=5)


BAD = torch.zeros(2, 3, 40, 6).double()
BAD[0, 1, 7, 2] = math.nan


@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_all_cases(name):
    if name == "cpu":
        pytest.importorskip("numba")
    assert not list(topk_attention_cases.failures(name))


@pytest.mark.usefixtures("implementation")
class TestAnswers:
    @pytest.mark.parametrize("is_causal", [False, True])
    def test_all_keys_are_attention_as_usual(self, is_causal):
        given = drawn(queries=40)
        expected = scaled_dot_product_attention(*given, is_causal=is_causal)
        for choice in ({"top_k": 40}, {"top_k": 10**6}, {"threshold": -1e9}):
            found = topk_attention(*given, **choice, is_causal=is_causal)
            torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("is_causal", [False, True])
    @pytest.mark.parametrize("choice", [{"top_k": 5}, {"threshold": 1.5}])
    def test_it_is_attention_with_a_mask(self, is_causal, choice):
        query, keys, values = drawn(queries=7)
        own = cache(queries=7)
        mask = topk_attention_mask(own[0] @ own[1].mT, **choice, is_causal=is_causal)
        expected = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        found = topk_attention(query, keys, values, **choice, predictor=own, is_causal=is_causal)
        torch.testing.assert_close(found, expected)

    def test_the_choice_is_that_of_statistical_topk(self):
        predicted = normal(3, 5, 200)
        assert topk_attention_mask(predicted, top_k=16).equal(statistical_topk_mask(predicted, 16))

    def test_the_first_dimensions_are_a_cache_in_place(self):
        query, keys, values = drawn(queries=2)
        own = (query[..., :3].contiguous(), keys[..., :3].contiguous())
        found = [
            topk_attention(query, keys, values, top_k=5, predictor=predictor)
            for predictor in (3, own)
        ]
        torch.testing.assert_close(*found)

    def test_spark_takes_the_other_dimensions_for_its_scores(self):
        query, keys, values = drawn(queries=2)
        found = topk_attention(query, keys, values, top_k=5, predictor=2, form="spark")
        expected = topk_attention(
            query[..., 2:],
            keys[..., 2:],
            values,
            top_k=5,
            predictor=(query[..., :2], keys[..., :2]),
            form="spark",
        )
        torch.testing.assert_close(found, expected)

    def test_a_key_that_enters_has_the_lowest_logit_and_still_a_weight(self):
        """Spark attention jumps there: by the share of a logit of 0 among the others."""
        scores = torch.tensor([0.0, 1.0, 2.0]).double()
        predictor = (torch.ones(1, 1, 1, 1).double(), scores.view(1, 1, 3, 1))
        query = torch.zeros(1, 1, 1, 2).double()  # softplus(0) = log 2

        def weights(threshold):
            return topk_attention(
                query,
                torch.zeros(1, 1, 3, 2).double(),
                torch.eye(3).double().view(1, 1, 3, 3),
                threshold=threshold,
                predictor=predictor,
                form="spark",
            ).flatten()

        share = 1 / (1 + 2 ** (2.0 - 1.0))  # exp(log 2 * (p - threshold))
        torch.testing.assert_close(weights(1 - 1e-12), torch.tensor([0, share, 1 - share]).double())
        torch.testing.assert_close(weights(1.0), torch.tensor([0, 0, 1]).double())

    @pytest.mark.parametrize("form", ["softmax", "spark"])
    @pytest.mark.parametrize("predictor", [None, 2, "cache"])
    @pytest.mark.parametrize("choice", [{"top_k": 4}, {"threshold": 0.5}])
    def test_gradients(self, form, predictor, choice):
        given = drawn(queries=3, context=9, dim=5, outputs=2, heads=1)
        own = cache(queries=3, context=9, heads=1) if predictor == "cache" else ()

        def value(query, keys, values, *own):
            return topk_attention(
                query,
                keys,
                values,
                **choice,
                predictor=own or predictor,
                form=form,
                is_causal=True,
            )

        leaves = [tensor.clone().requires_grad_() for tensor in (*given, *own)]
        assert gradcheck(value, leaves)
        assert gradgradcheck(value, leaves)

    def test_equal_scores_choose_all(self):
        query, keys, values = drawn(queries=2)
        own = (torch.ones(2, 3, 2, 1).double(), torch.full((2, 3, 40, 1), 0.1).double())
        found = topk_attention(query, keys, values, top_k=3, predictor=own)
        torch.testing.assert_close(found, scaled_dot_product_attention(query, keys, values))

    def test_a_threshold_out_of_reach_leaves_the_largest(self):
        query, keys, values = drawn()
        found = topk_attention(query, keys, values, threshold=1e9)
        best = (query @ keys.mT).argmax(dim=-1)[..., None]
        expected = values.gather(2, best.expand(*best.shape[:3], 4))
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("form", ["softmax", "spark"])
    def test_what_no_query_reads_may_be_anything(self, form):
        query, keys, values = drawn()
        own = cache()
        mask = topk_attention_mask(own[0] @ own[1].mT, top_k=5)[:, :, 0]

        def attend():
            leaves = [tensor.clone().requires_grad_() for tensor in (query, keys, values)]
            found = topk_attention(*leaves, top_k=5, predictor=own, form=form)
            return found, *torch.autograd.grad(found.sum(), leaves)

        expected = attend()
        keys[~mask], values[~mask] = math.nan, math.inf
        assert all(one.equal(other) for one, other in zip(attend(), expected, strict=True))

    @pytest.mark.parametrize("top_k", [30, 1990, 1999])
    def test_any_number_of_keys_is_the_choice_of_statistical_topk(self, top_k):
        query, keys, values = drawn(context=2000, dim=2, heads=1)
        mask = statistical_topk_mask(query @ keys.mT, top_k)
        expected = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        found = topk_attention(query, keys, values, top_k=top_k)
        torch.testing.assert_close(found, expected)
        assert topk_attention_mask(query @ keys.mT, top_k=top_k).equal(mask)

    def test_any_strides(self):
        given = drawn(queries=3)
        expected = topk_attention(*given, top_k=5)
        turned = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in given]
        assert not turned[1].is_contiguous()
        assert topk_attention(*turned, top_k=5).equal(expected)

    def test_no_queries(self):
        query, keys, values = drawn()
        assert topk_attention(query[:, :, :0], keys, values, top_k=5).shape == (2, 3, 0, 4)
        assert topk_attention(query[:0], keys[:0], values[:0], top_k=5).shape == (0, 3, 1, 4)

    @pytest.mark.parametrize("form", ["softmax", "spark"])
    def test_a_cache_in_bfloat16_is_one_of_rounded_numbers(self, form):
        given = [tensor.float().requires_grad_() for tensor in drawn(queries=2)]
        halves = [tensor.bfloat16().requires_grad_() for tensor in cache(queries=2)]
        wide = [tensor.detach().float().requires_grad_() for tensor in halves]
        found, expected = (
            topk_attention(*given, predictor=tuple(own), top_k=5, form=form)
            for own in (halves, wide)
        )
        torch.testing.assert_close(found, expected)
        if form == "spark":
            pulled, wished = (
                torch.autograd.grad(result.square().sum(), own)
                for result, own in ((found, halves), (expected, wide))
            )
            for one, other in zip(pulled, wished, strict=True):
                assert one.dtype == torch.bfloat16
                torch.testing.assert_close(one.float(), other, rtol=1e-2, atol=1e-4)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        given = [tensor.to(dtype).requires_grad_() for tensor in drawn(context=400)]
        wide = [tensor.detach().float().requires_grad_() for tensor in given]
        found, expected = (topk_attention(*leaves, top_k=20) for leaves in (given, wide))
        torch.testing.assert_close(found, expected.to(dtype))
        pulls = torch.autograd.grad(found.sum(), given), torch.autograd.grad(expected.sum(), wide)
        for one, other in zip(*pulls, strict=True):
            torch.testing.assert_close(one, other.to(dtype))


def test_threads_do_not_change_a_result(monkeypatch):
    given = drawn(queries=2, context=30_000, dim=8)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(topk_attention(*given, top_k=100))
    assert results[0].equal(results[1])


@pytest.mark.parametrize("is_spark", [False, True])
def test_pytorch_accepts_the_registration(is_spark):
    given = [tensor.flatten(0, 1).requires_grad_() for tensor in (*drawn(), *cache())]
    torch.library.opcheck(operator, (*given, 3, 0, 5, 0.0, 0.4, False, is_spark))
    torch.library.opcheck(operator, (*given[:3], None, None, 2, 2, 5, 0.0, 0.4, True, is_spark))


def test_a_compiled_graph_holds_the_operator_whole():
    def loss(query, keys, values):
        attended = topk_attention(query * 2, keys, values, top_k=5, predictor=2, form="spark")
        return attended.square().sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=True)
    for context in (30, 45):
        query, keys, values = drawn(queries=2, context=context)
        leaf = query.requires_grad_()
        expected = torch.autograd.grad(loss(leaf, keys, values), leaf)[0]
        found = torch.autograd.grad(compiled(leaf, keys, values), leaf)[0]
        torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="`keys` holds 1 values"):
        compiled(drawn(queries=2)[0], BAD, drawn()[2])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"top_k": 0}, ValueError, ["`top_k` is 0"]),
        ({"top_k": 2.0}, TypeError, ["`top_k`", "2.0"]),
        ({"top_k": None}, ValueError, ["`top_k` is None and `threshold` is None"]),
        ({"threshold": 1.0}, ValueError, ["`top_k` is 5 and `threshold` is 1.0"]),
        ({"top_k": None, "threshold": math.nan}, ValueError, ["`threshold` is nan"]),
        ({"predictor": 0}, ValueError, ["`predictor` is 0", "1 and 5"]),
        ({"predictor": 6}, ValueError, ["`predictor` is 6"]),
        ({"predictor": cache(context=39)}, ValueError, ["`predictor[1]`", "(2, 3, 39, 3)"]),
        (
            {"predictor": tuple(t.float() for t in cache())},
            TypeError,
            ["`predictor[0]` is torch.float32", "torch.bfloat16"],
        ),
        ({"form": "relu"}, ValueError, ["`form` is 'relu'", "'spark'"]),
        ({"scale": 0.0}, ValueError, ["`scale` is 0.0"]),
        ({"keys": normal(2, 3, 40, 5)}, ValueError, ["`keys`", "(2, 3, 40, 5)"]),
        ({"values": normal(2, 3, 39, 4)}, ValueError, ["`values`", "(2, 3, 39, 4)"]),
        ({"values": normal(2, 3, 40, 4).float()}, TypeError, ["`values` is float32"]),
        ({"query": normal(2, 3, 41, 6), "is_causal": True}, ValueError, ["41 queries", "40 keys"]),
        ({"keys": normal(2, 3, 0, 6), "values": normal(2, 3, 0, 4)}, ValueError, ["empty context"]),
        ({"keys": BAD}, ValueError, ["`keys` holds 1 values"]),
        ({"query": normal(2, 3, 1, 6) * math.inf}, ValueError, ["`query` holds 36 values"]),
        ({"values": normal(2, 3, 40, 4) * math.nan}, ValueError, ["`values` holds 960 values"]),
    ],
)
@pytest.mark.usefixtures("implementation")
def test_bad_input_is_named(arguments, error, words):
    query, keys, values = drawn()
    given = {"query": query, "keys": keys, "values": values, "top_k": 5}
    with pytest.raises(error) as caught:
        topk_attention(**(given | arguments))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"top_k": 0}, "`top_k` is 0"),
        ({}, "`top_k` is None"),
        ({"predicted": torch.full((2, 3), math.inf), "top_k": 1}, "`predicted` holds 6 values"),
        ({"predicted": torch.ones(3, 2), "top_k": 1, "is_causal": True}, "3 queries"),
    ],
)
def test_bad_input_of_the_mask_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        topk_attention_mask(**({"predicted": torch.ones(2, 3)} | arguments))
