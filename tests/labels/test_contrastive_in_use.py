"""The losses block by block, in low precision, beside peers, compiled and in training."""

import math

import pytest
import torch
from l2s.labels import contrastive
from l2s.labels.contrastive import coupling, dcl, info_nce, nt_xent, supervised_contrastive
from torch.nn import functional

from bench.peers import lightly_loss, metric_learning_losses
from tests.labels.contrastive_cases import close, every_loss, gradients, two_view_loss, views


@every_loss
@pytest.mark.parametrize("batch", [13, 101])  # one by the definition, one by the operator
@pytest.mark.parametrize("block_size", [1, 37, 64, 1000])
def test_block_by_block_is_the_whole_in_value_and_gradient(loss, batch, block_size):
    inputs = views(batch)
    close(
        gradients(lambda a, b: loss(a, b, block_size=block_size), *inputs),
        gradients(loss, *inputs),
        1e-9,
    )
    close(loss(*inputs, block_size=block_size), loss(*inputs))
    close(coupling(*inputs, block_size=block_size), coupling(*inputs))


# The stated tolerance: the work is done in float32, whose unit in the last place of a logit of 1e4
# is 1e-3; bfloat16 results are rounded once, by up to 2^-8.
@every_loss
@pytest.mark.parametrize("batch", [14, 91])
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-8), (torch.float64, 1e-12)]
)
@pytest.mark.parametrize("tau", [1e-4, 0.1])
def test_low_precision_is_right_for_logits_up_to_1e4(loss, batch, dtype, rtol, tau):
    a, b = views(batch, dtype=dtype)
    each = loss(a, b, temperature=tau, reduction="none")
    exact = loss(a.double(), b.double(), temperature=tau, reduction="none")
    assert each.dtype == dtype
    error = (1e-14 if dtype == torch.float64 else 1e-6) / tau
    torch.testing.assert_close(each.double(), exact, rtol=rtol, atol=error)
    # A logit's error is the relative error of its exponential, and so of the gradient.
    found = gradients(lambda a, b: loss(a, b, temperature=tau), a, b)
    for actual, exact in zip(found, exact_gradients(loss, a, b, tau), strict=True):
        assert actual.dtype == dtype
        atol = (rtol + 3 * error) * exact.abs().max().item()
        torch.testing.assert_close(actual.double(), exact, rtol=rtol, atol=atol)


def exact_gradients(loss, a, b, tau):
    return gradients(lambda a, b: loss(a, b, temperature=tau), a.double(), b.double())


def test_an_easy_pair_keeps_its_digits():
    """Where the loss is tiny, log(e^p + U) - p would be rounded to 0."""
    z = torch.eye(3)
    close(info_nce(z, z, temperature=0.025).item(), 2 * math.exp(-40), 1e-5, 0)


def test_lightly_has_the_same_dcl():
    lightly, inputs = lightly_loss(), views(9, dtype=torch.float64)
    for tau in (0.07, 0.5):
        theirs, ours = lightly.DCLLoss(tau), lambda a, b, t=tau: dcl(a, b, temperature=t)
        close(ours(*inputs), theirs(*inputs))
        close(gradients(ours, *inputs), gradients(theirs, *inputs))


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
def test_lightly_has_the_same_dclw_with_detached_weights():
    inputs, theirs = views(9), lightly_loss().DCLWLoss(0.1, sigma=0.4)

    def ours(a, b):
        return dcl(a, b, weighting="von_mises_fisher", sigma=0.4, detach_weights=True)

    close(ours(*inputs), theirs(*inputs))
    close(gradients(ours, *inputs), gradients(theirs, *inputs))


@pytest.mark.parametrize("batch", [9, 70])
def test_pytorch_metric_learning_has_the_same_nt_xent_and_supervised_loss(batch):
    peers, inputs = metric_learning_losses(), views(batch)
    item, kind = torch.arange(batch).repeat(2), torch.arange(batch).repeat(2) % 4
    pairs = [
        (nt_xent, lambda a, b: peers.SupConLoss(0.1)(torch.cat([a, b]), item)),
        (
            lambda a, b: supervised_contrastive(torch.cat([a, b]), kind),
            lambda a, b: peers.SupConLoss(0.1)(torch.cat([a, b]), kind),
        ),
    ]
    if batch < 10:  # it compares all pairs with all pairs
        pairs.append((nt_xent, lambda a, b: peers.NTXentLoss(0.1)(torch.cat([a, b]), item)))
    for ours, theirs in pairs:
        close(ours(*inputs), theirs(*inputs))
        close(gradients(ours, *inputs), gradients(theirs, *inputs), 1e-9)


# --- in use --------------------------------------------------------------------------------------


@every_loss
def test_a_compiled_loss_is_the_same(loss):
    inputs = views(80)
    compiled = torch.compile(lambda a, b: loss(a, b), backend="eager")
    close(compiled(*inputs), loss(*inputs))
    close(gradients(compiled, *inputs), gradients(loss, *inputs))


def test_the_coupling_carries_no_gradient():
    a, b = views()
    assert not coupling(a.requires_grad_(), b).requires_grad


@two_view_loss
def test_training_aligns_the_views(loss):
    a, b = (view.float().requires_grad_() for view in views(8, 7, noise=2))
    optimizer = torch.optim.Adam([a, b], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss(a, b, temperature=0.5).backward()
        optimizer.step()
    assert functional.cosine_similarity(a, b).mean() > 0.95


def test_everything_public_is_documented_in_the_order_of_the_chapter():
    names = [name for name, item in vars(contrastive).items() if hasattr(item, "__wrapped__")]
    public = [n for n in names if not n.startswith("_") and n not in ("gather_rows",)]
    assert public == [
        "info_nce",
        "nt_xent",
        "coupling",
        "dcl",
        "von_mises_fisher_weights",
        "supervised_contrastive",
    ]
