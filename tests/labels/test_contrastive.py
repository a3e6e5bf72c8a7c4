"""The losses are their equations, and keep the chapter's identities, limits and invariances."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from l2s.labels.contrastive import (
    coupling,
    dcl,
    info_nce,
    nt_xent,
    supervised_contrastive,
    von_mises_fisher_weights,
)
from torch.nn import functional

from tests.labels import contrastive_definitions as definitions
from tests.labels.contrastive_cases import (
    close,
    every_loss,
    gradients,
    seeded,
    two_view_loss,
    unit_views,
    views,
)

# --- the equations -------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.07, 1.0])
def test_each_value_is_its_equation_by_loops(tau):
    options = {"temperature": tau, "reduction": "none"}
    (a, b), (za, zb) = views(), unit_views()
    close(info_nce(a, b, **options), definitions.info_nce(za, zb, tau))
    close(nt_xent(a, b, **options), definitions.nt_xent(za, zb, tau))
    close(dcl(a, b, **options), definitions.dcl(za, zb, tau))
    close(
        dcl(a, b, weighting="von_mises_fisher", sigma=0.3, **options),
        definitions.dclw(za, zb, tau, 0.3),
    )
    close(von_mises_fisher_weights(a, b, sigma=0.3), definitions.weights(za, zb, 0.3))
    close(coupling(a, b, temperature=tau), definitions.coupling(za, zb, tau))


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 0], [5, 5, 5, 5, 5], [-3, 7, -3, 7, 9]])
def test_the_supervised_loss_is_its_equation_by_loops(labels):
    (z, _), (unit, _) = views(), unit_views()
    labels = torch.tensor(labels)
    options = {"temperature": 0.2, "no_positive": "ignore"}
    expected = definitions.supervised(unit, labels, 0.2)
    close(supervised_contrastive(z, labels, reduction="none", **options), expected)
    counted = expected[expected != 0]
    close(supervised_contrastive(z, labels, **options), counted.mean())
    close(supervised_contrastive(z, labels, reduction="sum", **options), counted.sum())


@every_loss
def test_reductions_are_pytorchs(loss):
    a, b = views(14)  # seven classes of four: no anchor is ignored
    each = loss(a, b, reduction="none")
    close(loss(a, b, reduction="mean"), each.mean())
    close(loss(a, b, reduction="sum"), each.sum())
    close(loss(a, b), each.mean())


@every_loss
def test_gradcheck(loss):
    assert torch.autograd.gradcheck(loss, [view.requires_grad_() for view in views(5, 3)])


@every_loss
@pytest.mark.parametrize("block_size", [None, 32])
def test_gradcheck_where_the_operator_works(loss, block_size):
    a, b = (view.requires_grad_() for view in views(131, 2))
    assert torch.autograd.gradcheck(
        lambda a, b: loss(a, b, block_size=block_size), (a, b), fast_mode=True
    )


# --- the chapter's identities --------------------------------------------------------------------


@pytest.mark.parametrize("batch", [2, 6, 90])
def test_infonce_is_the_softplus_of_dcl_and_the_coupling_its_sigmoid(batch):
    a, b = views(batch)
    decoupled = dcl(a, b, reduction="none")
    close(nt_xent(a, b, reduction="none"), torch.logaddexp(decoupled, torch.zeros(())), 1e-14)
    close(coupling(a, b), decoupled.sigmoid(), 1e-14)


def test_nt_xent_is_cross_entropy_among_the_other_views():
    za, zb = unit_views(6)
    z = torch.cat([za, zb])
    logits = (z @ z.T / 0.1).fill_diagonal_(-math.inf)
    partner = torch.arange(12).roll(6)
    close(nt_xent(za, zb), functional.cross_entropy(logits, partner), 1e-14, 1e-14)
    close(
        info_nce(za, zb), functional.cross_entropy(za @ zb.T / 0.1, torch.arange(6)), 1e-14, 1e-14
    )


@pytest.mark.parametrize("normalize", [True, False])
def test_an_anchors_gradients_are_q_times_those_of_dcl(normalize):
    inputs = unit_views(5)
    q = coupling(*inputs)
    for view, item in [(0, 0), (0, 3), (1, 2)]:

        def anchor(loss, view=view, item=item):
            options = {"reduction": "none", "normalize": normalize}
            return lambda a, b: loss(a, b, **options)[view, item]

        coupled, free = gradients(anchor(nt_xent), *inputs), gradients(anchor(dcl), *inputs)
        for of_infonce, of_dcl in zip(coupled, free, strict=True):
            close(of_infonce, q[view, item] * of_dcl)


def test_dcl_pulls_the_partner_along_the_anchor():
    a, b = unit_views(5)
    for_a, for_b = gradients(lambda a, b: dcl(a, b, reduction="none", normalize=False)[0, 2], a, b)
    shares = torch.cat([a @ a[2], b @ a[2]]).div(0.1).exp()
    shares[[2, 7]] = 0
    shares /= shares.sum()
    # As a partner z_2 of view b gets -z / tau; as nobody's negative nothing else.
    close(for_b[2], -a[2] / 0.1)
    close(for_b[3], shares[8] * a[2] / 0.1)
    close(for_a[3], shares[3] * a[2] / 0.1)
    close(for_a[2], (shares @ torch.cat([a, b]) - b[2]) / 0.1)


@pytest.mark.parametrize(("batch", "tau", "stated"), [(8, 0.5, 0.353343), (8, 0.1, -8.7895)])
def test_the_least_dcl_is_reached_on_the_simplex(batch, tau, stated):
    z = definitions.simplex(batch).requires_grad_()
    bound = math.log(2 * (batch - 1)) - batch / ((batch - 1) * tau)
    least = dcl(z, z, temperature=tau)
    assert least.item() == pytest.approx(bound, abs=1e-12)
    assert bound == pytest.approx(stated, abs=5e-5)
    assert torch.autograd.grad(least, z)[0].abs().max() < 1e-12


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(2, 9), dim=st.integers(1, 9), tau=st.floats(0.05, 5), seed=st.integers(0, 999)
)
def test_no_embedding_has_less_dcl_than_the_bound(batch, dim, tau, seed):
    a, b = views(batch, dim, seed=seed, noise=0.01)
    bound = math.log(2 * (batch - 1)) - batch / ((batch - 1) * tau)
    assert dcl(a, b, temperature=tau).item() >= bound - 1e-9


@pytest.mark.parametrize("batch", [64, 256, 1024])
def test_the_coupling_of_random_negatives_grows_with_the_batch(batch):
    """Negatives at random in 128 dimensions have logits near N(0, 1 / (128 tau^2))."""
    a = functional.normalize(torch.randn(batch, 128, generator=seeded(1)), dim=1)
    across = torch.randn(batch, 128, generator=seeded(2))
    across = functional.normalize(across - (across * a).sum(1, keepdim=True) * a, dim=1)
    q = coupling(a, 0.9 * a + math.sqrt(1 - 0.9**2) * across, temperature=0.1)
    mass = 2 * (batch - 1) * math.exp(0.5 * 100 / 128)
    assert q.mean().item() == pytest.approx(mass / (math.exp(9) + mass), rel=0.05)


# --- limits --------------------------------------------------------------------------------------


def test_one_negative_leaves_the_logistic_loss():
    za, zb = unit_views(2)
    wrong_minus_right = (za * zb.flip(0) - za * zb).sum(1) / 0.1
    close(info_nce(za, zb, reduction="none"), torch.log1p(wrong_minus_right.exp()))


def test_a_confident_mistake_is_not_rounded_to_its_margin():
    query = torch.eye(2, dtype=torch.float64)
    loss = info_nce(query, query.flip(0), temperature=1 / 21)
    assert loss.item() - 21 == pytest.approx(math.exp(-21), rel=1e-4)


@pytest.mark.parametrize("tau", [1e12, math.inf])
def test_at_infinite_temperature_all_candidates_are_alike(tau):
    a, b = views(6)
    for value, candidates in [(info_nce, 6), (nt_xent, 11), (dcl, 10)]:
        close(value(a, b, temperature=tau).item(), math.log(candidates), 1e-10)
    close(coupling(a, b, temperature=tau), torch.full((2, 6), 10 / 11, dtype=torch.float64), 1e-10)


def test_at_low_temperature_an_easy_pair_costs_nothing_and_a_hard_one_its_margin():
    z = torch.eye(4, dtype=torch.float64)
    assert info_nce(z, z, temperature=1e-4).item() == 0
    close(info_nce(z, z.roll(1, 0), temperature=1e-4).item(), 1e4)
    close(dcl(z, z, temperature=1e-4).item(), math.log(6) - 1e4)


def test_the_weights_of_dclw():
    a, b = views(9)
    close(von_mises_fisher_weights(a, b).mean().item(), 1.0)
    close(dcl(a, b, weighting="von_mises_fisher", sigma=1e12), dcl(a, b), 1e-9)
    close(dcl(a, a, weighting="von_mises_fisher"), dcl(a, a))  # all pairs alike
    one_aligned = torch.eye(32, dtype=torch.float64).roll(1, 0)
    one_aligned[0] = torch.eye(32)[0]
    assert von_mises_fisher_weights(torch.eye(32).double(), one_aligned)[0].item() == pytest.approx(
        -4.2, abs=0.05
    )


def test_detached_weights_are_constants():
    inputs = unit_views(6)
    w = von_mises_fisher_weights(*inputs)
    options = {"normalize": False}

    def constant(a, b):
        each = definitions.negative_masses(a, b, 0.1) - w * definitions.positives(a, b, 0.1)
        return each.mean()

    def dclw(detach):
        return gradients(
            lambda a, b: dcl(a, b, weighting="von_mises_fisher", detach_weights=detach, **options),
            *inputs,
        )

    close(dclw(True), gradients(constant, *inputs))
    assert not torch.allclose(dclw(False)[0], dclw(True)[0])


# --- invariances ---------------------------------------------------------------------------------


@every_loss
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), batch=st.integers(7, 12), dim=st.integers(1, 6))
def test_lengths_and_rotations_do_not_matter(loss, seed, batch, dim):
    a, b = views(batch, dim, seed=seed)
    value = loss(a, b)
    scale = torch.logspace(-100, 100, batch, dtype=torch.float64)[:, None]
    close(loss(a * scale, b * scale.flip(0)), value, 1e-9)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=seeded(seed)).double())[0]
    close(loss(a @ rotation, b @ rotation), value, 1e-9)


@every_loss
def test_lengths_at_the_edge_of_float32_do_not_matter(loss):
    a, b = views(7, dtype=torch.float32)
    close(loss(a * 1e-30, b * 1e30), loss(a, b), 1e-5, 1e-6)


@two_view_loss
@pytest.mark.parametrize("batch", [7, 80])
def test_order_of_items_and_of_views_does_not_matter(loss, batch):
    a, b = views(batch)
    order = torch.randperm(batch, generator=seeded())
    each = loss(a, b, reduction="none")
    close(loss(a[order], b[order], reduction="none"), each[:, order])
    close(loss(b, a, reduction="none"), each.flip(0))


def test_the_supervised_loss_knows_labels_by_equality_only():
    z, _ = views(8)
    labels = torch.tensor([0, 1, 0, 1, 2, 2, 0, 1])
    order = torch.randperm(8, generator=seeded())
    each = supervised_contrastive(z, labels, reduction="none")
    close(supervised_contrastive(z, 40 - 7 * labels, reduction="none"), each)
    close(supervised_contrastive(z[order], labels[order].short(), reduction="none"), each[order])


def test_with_two_views_an_item_as_labels_the_supervised_loss_is_nt_xent():
    a, b = views(9)
    labels = torch.arange(9).repeat(2)
    each = supervised_contrastive(torch.cat([a, b]), labels, reduction="none")
    close(each.view(2, 9), nt_xent(a, b, reduction="none"))
