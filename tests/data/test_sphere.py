"""The sphere world draws what it says, and its answer can be found."""

import math

import pytest
import torch
from l2s.data import sphere_world
from l2s.metrics import linear_r2


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


WORLD = sphere_world(generator=seeded())


def test_latents_are_uniform_on_the_sphere():
    latents = WORLD.latents(100_000, generator=seeded())
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(100_000))
    torch.testing.assert_close(latents.mean(0), torch.zeros(5), atol=0.01, rtol=0)
    torch.testing.assert_close(latents.T.cov(), torch.eye(5) / 5, atol=0.01, rtol=0)
    # One coordinate z of a uniform point on S^4 has density (3/4)(1 - z^2): E z^4 = 3/35.
    assert latents.pow(4).mean().item() == pytest.approx(3 / 35, rel=0.02)


def test_observation_is_the_stated_map():
    latents = WORLD.latents(4, generator=seeded())
    expected = [
        [
            sum(
                math.tanh(math.sqrt(5) * sum(float(z[k] * WORLD.inner[k, h]) for k in range(5)))
                * float(WORLD.outer[h, out])
                for h in range(20)
            )
            for out in range(20)
        ]
        for z in latents
    ]
    torch.testing.assert_close(WORLD.observe(latents), torch.tensor(expected))


def test_mixing_weights_have_the_stated_scale():
    world = sphere_world(generator=seeded(), latent_dim=100, observed_dim=400)
    assert world.inner.std().item() == pytest.approx(1.5 / 10, rel=0.02)
    assert world.outer.std().item() == pytest.approx(1.5 / 20, rel=0.02)


def test_a_pair_observes_nearby_latents():
    view_a, view_b, latents = WORLD.pairs(2000, noise=0.1, generator=seeded())
    torch.testing.assert_close(view_a, WORLD.observe(latents))
    # Undo the second observation: both maps are one to one.
    hidden = torch.linalg.solve(WORLD.outer.double().T, view_b.double().T).T.clamp(-1, 1)
    moved = torch.atanh(hidden) @ torch.linalg.pinv(WORLD.inner.double()) / math.sqrt(5)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(2000).double(), atol=0.02, rtol=0)
    # The move along the sphere has 4 entries of deviation .1, so the mean cosine is near 1 - .02.
    cosine = (moved * latents).sum(1).mean().item()
    assert cosine == pytest.approx(1 - 4 * 0.01 / 2, abs=0.002)


def test_without_noise_both_views_are_equal():
    view_a, view_b, _ = WORLD.pairs(7, noise=0, generator=seeded())
    torch.testing.assert_close(view_a, view_b)


def test_a_rotated_latent_is_a_perfect_answer_and_the_raw_observation_is_not():
    latents = WORLD.latents(1000, generator=seeded())
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=seeded())).Q

    def score(features):
        return linear_r2(features[:500], latents[:500], features[500:], latents[500:])

    assert score(latents @ rotation) == pytest.approx(1.0, abs=1e-6)
    assert 0.3 < score(WORLD.observe(latents)) < 0.999


def test_a_generator_decides_all_and_the_global_stream_is_untouched():
    before = torch.get_rng_state()
    again = sphere_world(generator=seeded())
    assert torch.equal(WORLD.inner, again.inner)
    assert torch.equal(WORLD.outer, again.outer)
    first, second, other = (WORLD.pairs(3, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.view_b, second.view_b)
    assert not torch.equal(first.view_b, other.view_b)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sphere_world(latent_dim=1), ValueError, "`latent_dim` is 1"),
        (lambda: sphere_world(latent_dim=5, observed_dim=4), ValueError, "`observed_dim` is 4"),
        (lambda: WORLD.latents(0), ValueError, "`samples` is 0"),
        (lambda: WORLD.pairs(-1), ValueError, "`samples` is -1"),
        (lambda: WORLD.pairs(3, noise=-0.1), ValueError, "`noise` is -0.1"),
        (lambda: WORLD.pairs(3, noise=math.nan), ValueError, "`noise` is nan"),
        (lambda: WORLD.observe(torch.ones(3, 4)), ValueError, r"\(3, 4\).*dimension 5"),
        (lambda: WORLD.observe(torch.ones(5)), ValueError, r"`latents` has shape \(5,\)"),
        (lambda: WORLD.observe(torch.ones(3, 5).long()), TypeError, "`latents`.*int64"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
