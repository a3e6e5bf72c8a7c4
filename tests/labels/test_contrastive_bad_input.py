"""Each misuse is an error that names the argument, its value and the remedy; none becomes NaN."""

import math

import pytest
import torch
from l2s.kernels.unit_rows import unit_rows
from l2s.labels.contrastive import (
    coupling,
    dcl,
    info_nce,
    nt_xent,
    supervised_contrastive,
    von_mises_fisher_weights,
)

FUNCTIONS = {
    "info_nce": (info_nce, "query", "key"),
    "nt_xent": (nt_xent, "view_a", "view_b"),
    "dcl": (dcl, "view_a", "view_b"),
    "coupling": (coupling, "view_a", "view_b"),
    "von_mises_fisher_weights": (von_mises_fisher_weights, "view_a", "view_b"),
}
OF_TEMPERATURE = [*list(FUNCTIONS.values())[:4], (supervised_contrastive, "features", "labels")]
both_views = pytest.mark.parametrize(
    ("function", "first", "second"), FUNCTIONS.values(), ids=FUNCTIONS
)
with_temperature = pytest.mark.parametrize(
    ("function", "first", "second"),
    OF_TEMPERATURE,
    ids=[case[0].__name__ for case in OF_TEMPERATURE],
)


def rows(batch=4, dim=3):
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(batch))


def inputs(function, batch=4):
    if function is supervised_contrastive:
        return rows(batch), torch.arange(batch) % 2
    return rows(batch), rows(batch).flip(0)


def refuses(error, words, function, *args, **options):
    with pytest.raises(error) as caught:
        function(*args, **options)
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) < 500


@both_views
@pytest.mark.parametrize("shape", [(4,), (4, 3, 2), ()])
def test_wrong_rank(function, first, second, shape):
    refuses(ValueError, [f"`{first}`", str(shape)], function, torch.ones(shape), rows())
    refuses(ValueError, [f"`{second}`", str(shape)], function, rows(), torch.ones(shape))


@both_views
@pytest.mark.parametrize("shape", [(5, 3), (4, 2)])
def test_views_of_unequal_shape(function, first, second, shape):
    words = [f"`{second}`", str(shape), f"{first} of shape (4, 3)"]
    refuses(ValueError, words, function, rows(), rows(*shape))


@both_views
@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_empty_input(function, first, second, shape):
    words = [f"`{first}`", str(shape), "empty"]
    refuses(ValueError, words, function, torch.ones(shape), torch.ones(shape))


@with_temperature
def test_a_batch_of_one(function, first, second):
    words = [f"`{first}.shape[0]` is 1", "no negative", "two"]
    refuses(ValueError, words, function, *inputs(function, 1))


@both_views
def test_integer_and_complex_tensors(function, first, second):
    refuses(TypeError, [f"`{first}`", "int64", ".float()"], function, rows().long(), rows())
    refuses(TypeError, [f"`{second}`", "int64", ".float()"], function, rows(), rows().long())
    refuses(TypeError, [f"`{first}`", "complex64"], function, rows() + 0j, rows())
    refuses(TypeError, [f"`{first}`", "list"], function, [[1.0]], rows())


@both_views
def test_mixed_dtypes_and_devices(function, first, second):
    words = [f"`{first}` is float32", f"`{second}` is float64", ".to("]
    refuses(TypeError, words, function, rows(), rows().double())
    words = [f"`{first}` is on cpu", f"`{second}` is on meta", ".to("]
    refuses(ValueError, words, function, rows(), rows().to("meta"))


@both_views
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_value_that_is_no_number(function, first, second, value, normalize):
    wrong = unit_rows(True, rows=rows())[0]
    good = wrong.clone()
    wrong[2, 1] = value
    words = ["1 values that are NaN or infinite", "out of 12"]
    refuses(ValueError, [f"`{first}`", *words], function, wrong, good, normalize=normalize)
    refuses(ValueError, [f"`{second}`", *words], function, good, wrong, normalize=normalize)


@both_views
def test_a_zero_vector(function, first, second):
    wrong = rows()
    wrong[2] = 0
    words = ["Row 2", "zero vector", "Drop"]
    refuses(ValueError, [f"`{first}`", *words], function, wrong, rows())
    refuses(ValueError, [f"`{second}`", *words], function, rows(), wrong)


@both_views
def test_rows_that_are_not_normalised(function, first, second):
    wrong = torch.eye(4)
    wrong[3] *= 1.5
    words = [f"Row 3 of `{second}` has length 1.5", "normalize=True"]
    refuses(ValueError, words, function, torch.eye(4), wrong, normalize=False)
    unit = torch.eye(4) * 1.001  # as bfloat16 would round it
    assert function(unit, unit, normalize=False).isfinite().all()


@with_temperature
@pytest.mark.parametrize("temperature", [0, 0.0, -0.1, math.nan, 1e-31, -math.inf])
def test_a_temperature_that_is_not_positive(function, first, second, temperature):
    words = [f"`temperature` is {temperature!r}", "between", "Pass"]
    refuses(ValueError, words, function, *inputs(function), temperature=temperature)


@with_temperature
def test_a_temperature_of_another_type(function, first, second):
    for temperature in ("hot", None, torch.tensor(0.1)):
        refuses(TypeError, ["`temperature`"], function, *inputs(function), temperature=temperature)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan])
@pytest.mark.parametrize("function", [dcl, von_mises_fisher_weights])
def test_a_sigma_that_is_not_positive(function, sigma):
    refuses(ValueError, ["`sigma`", repr(sigma)], function, rows(), rows(), sigma=sigma)


@with_temperature
@pytest.mark.parametrize(
    ("block_size", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), ("8", TypeError)]
)
def test_a_block_size_that_is_no_positive_integer(function, first, second, block_size, error):
    words = ["`block_size`", str(block_size)]
    refuses(error, words, function, *inputs(function), block_size=block_size)


@pytest.mark.parametrize("function", [info_nce, nt_xent, dcl, supervised_contrastive])
def test_an_unknown_reduction(function):
    words = ["`reduction` is 'median'", "'mean', 'sum', 'none'"]
    refuses(ValueError, words, function, *inputs(function), reduction="median")


def test_an_unknown_weighting():
    words = ["`weighting` is 'vmf'", "'von_mises_fisher'"]
    refuses(ValueError, words, dcl, rows(), rows(), weighting="vmf")


@with_temperature
def test_gathering_without_a_process_group(function, first, second):
    words = ["`gather_negatives`", "init_process_group"]
    refuses(ValueError, words, function, *inputs(function), gather_negatives=True)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (torch.zeros(5, dtype=torch.long), ValueError, ["`labels`", "(5,)"]),
        (torch.zeros(4, 1, dtype=torch.long), ValueError, ["`labels`", "(4, 1)"]),
        (torch.zeros(4), TypeError, ["`labels`", "float32", ".long()"]),
        (torch.zeros(4, dtype=torch.bool), TypeError, ["`labels`", "bool"]),
        ([0, 0, 1, 1], TypeError, ["`labels`", "list"]),
        (torch.tensor([0, 0, 1, 2]), ValueError, ["`labels`", "2 labels", "such as 1", "'ignore'"]),
        (torch.zeros(4, dtype=torch.long, device="meta"), ValueError, ["`labels` is on meta"]),
    ],
)
def test_wrong_labels(labels, error, words):
    refuses(error, words, supervised_contrastive, rows(), labels)


def test_anchors_without_a_positive():
    alone = torch.arange(4)
    words = ["`labels`", "4 labels", "two views"]
    refuses(ValueError, words, supervised_contrastive, rows(), alone, no_positive="ignore")
    refuses(
        ValueError,
        ["`no_positive`", "'skip'"],
        supervised_contrastive,
        rows(),
        alone,
        no_positive="skip",
    )
    z = rows().requires_grad_()
    loss = supervised_contrastive(
        z, torch.tensor([0, 0, 1, 2]), no_positive="ignore", reduction="none"
    )
    assert loss[2:].tolist() == [0, 0]
    loss.sum().backward()
    assert z.grad.isfinite().all()
