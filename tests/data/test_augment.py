"""Each augmentation does what its strength says, measured on images with a known shape."""

import math
import time

import pytest
import torch
from l2s.data import two_view

OFF = {"shift": 0, "rotation": 0, "scaling": 0, "noise": 0, "occlusion": 0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def spot(height, width, right, down, *, samples=500, radius=2.0):
    """Images of a smooth round spot, ``right`` and ``down`` pixels from the centre."""
    y = torch.arange(height)[:, None] - (height - 1) / 2 - down
    x = torch.arange(width)[None, :] - (width - 1) / 2 - right
    image = torch.exp(-(x**2 + y**2) / (2 * radius**2))
    return image.expand(samples, 1, height, width).clone()


def centre(images):
    """Where the ink's centre of mass lies, (right, down) of the image's centre."""
    ink = images[:, 0]
    mass = ink.sum((1, 2))
    height, width = ink.shape[1:]
    x = torch.arange(width) - (width - 1) / 2
    y = torch.arange(height) - (height - 1) / 2
    right = (ink.sum(1) * x).sum(1) / mass
    down = (ink.sum(2) * y).sum(1) / mass
    return torch.stack([right, down], dim=1)


def only(images, *, seed=0, **strength):
    return two_view(images, **{**OFF, **strength}, generator=seeded(seed))


SHAPES = [(33, 33), (31, 47)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_shift_is_uniform_in_pixels_along_both_axes(height, width):
    views = only(spot(height, width, 2.0, -1.0), shift=5.0)
    for view in (views.view_a, views.view_b):
        moved = centre(view) - torch.tensor([2.0, -1.0])
        assert 4.8 < moved.abs().max() < 5.05
        torch.testing.assert_close(moved.mean(0), torch.zeros(2), atol=0.5, rtol=0)
        expected = torch.full((2,), 5.0 / math.sqrt(3))
        torch.testing.assert_close(moved.std(0), expected, atol=0.3, rtol=0)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_rotation_turns_about_the_centre_up_to_its_limit(height, width):
    view = only(spot(height, width, 7.0, 0.0), rotation=40.0).view_a
    right, down = centre(view).T
    torch.testing.assert_close(torch.hypot(right, down), torch.full((500,), 7.0), atol=0.1, rtol=0)
    angles = torch.rad2deg(torch.atan2(down, right))
    assert -40.5 < angles.min() < -38
    assert 38 < angles.max() < 40.5
    assert angles.std().item() == pytest.approx(40 / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_scaling_multiplies_distances_evenly_up_and_down(height, width):
    view = only(spot(height, width, 6.0, 0.0), scaling=0.5).view_a
    factors = centre(view).norm(dim=1) / 6.0
    assert 1 / 1.52 < factors.min() < 1 / 1.45
    assert 1.45 < factors.max() < 1.52
    assert factors.log().mean().item() == pytest.approx(0.0, abs=0.05)


def test_a_shift_comes_after_turning_and_scaling():
    """The image's centre lands where the shift alone says, whatever the turn and the scale."""
    view = only(spot(33, 33, 0.0, 0.0), shift=4.0, rotation=90.0, scaling=0.3).view_a
    assert 3.8 < centre(view).abs().max() < 4.05


def test_background_comes_in_from_outside():
    views = only(torch.ones(50, 1, 8, 8), shift=4.0)
    assert (views.view_a[:, :, 0].amin((1, 2)) == 0).any()
    assert views.view_a.min() == 0
    assert views.view_a.max() <= 1 + 1e-6


def test_occlusion_hides_one_square_at_every_place():
    view = only(torch.ones(4000, 2, 6, 7), occlusion=3).view_a
    hidden = view == 0
    assert (hidden.sum((2, 3)) == 9).all()
    assert torch.equal(hidden[:, 0], hidden[:, 1])  # the patch covers all channels
    corners = hidden[:, 0].flatten(1).float().argmax(1)
    places = {row * 7 + column for row in range(4) for column in range(5)}
    counts = corners.bincount(minlength=42)
    assert set(counts.nonzero().flatten().tolist()) == places
    assert (counts[sorted(places)] - 200).abs().max() < 5 * math.sqrt(200)
    squares = torch.nn.functional.max_pool2d(view, 3, stride=1)[:, 0] == 0
    assert (squares.sum((1, 2)) == 1).all()  # the nine pixels form one square
    assert (only(torch.ones(3, 1, 4, 4), occlusion=4).view_a == 0).all()


def test_noise_has_its_standard_deviation_and_is_not_clipped():
    views = only(torch.zeros(400, 1, 8, 8), noise=0.3)
    for view in (views.view_a, views.view_b):
        assert view.std().item() == pytest.approx(0.3, rel=0.03)
        assert view.min() < 0
    assert (
        abs(torch.corrcoef(torch.stack([v.flatten() for v in vars(views).values()]))[0, 1]) < 0.03
    )


def test_both_views_of_a_row_come_from_its_image():
    grey = torch.arange(1.0, 33.0)
    images = grey[:, None, None, None].expand(32, 1, 16, 16)
    views = two_view(images, noise=0, occlusion=0, generator=seeded())
    for view in (views.view_a, views.view_b):
        torch.testing.assert_close(view[:, 0, 8, 8], grey)  # the middle never leaves the image


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 1, 8, 8), (1, 3, 5, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept(shape, dtype):
    images = torch.rand(shape, dtype=dtype)
    before = images.clone()
    views = two_view(images)
    for view in (views.view_a, views.view_b):
        assert view.shape == images.shape
        assert view.dtype == dtype
    assert torch.equal(images, before)


def test_images_without_a_channel_axis_get_the_same_views():
    images = torch.rand(5, 8, 8, generator=seeded())
    flat, deep = (two_view(x, generator=seeded(1)) for x in (images, images[:, None]))
    assert torch.equal(flat.view_b, deep.view_b[:, 0])


def test_a_generator_decides_all_and_the_global_stream_is_untouched():
    images = torch.rand(5, 1, 8, 8)
    before = torch.get_rng_state()
    first, again, other = (two_view(images, generator=seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.view_a, again.view_a)
    assert torch.equal(first.view_b, again.view_b)
    assert not torch.equal(first.view_a, other.view_a)
    assert not torch.equal(first.view_a, first.view_b)
    assert torch.equal(before, torch.get_rng_state())


def test_a_large_batch_of_digits_is_fast():
    images = torch.rand(512, 1, 8, 8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(20):
            start = time.thread_time()  # a busy machine does not change it
            two_view(images)
            times.append(time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(times) < 0.008


GOOD = torch.rand(2, 1, 8, 8)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: two_view(torch.rand(8, 8)), ValueError, r"`images` has shape \(8, 8\)"),
        (lambda: two_view(GOOD.byte()), TypeError, r"`images` has dtype uint8.*float\(\)"),
        (lambda: two_view(GOOD[:0]), ValueError, "`images`.*empty"),
        (lambda: two_view(GOOD[:, :, :0]), ValueError, "`images`.*empty"),
        (lambda: two_view(GOOD * math.nan), ValueError, "`images` holds 128 values that are NaN"),
        (lambda: two_view(GOOD, shift=-1.0), ValueError, "`shift` is -1.0"),
        (lambda: two_view(GOOD, scaling=-0.1), ValueError, "`scaling` is -0.1"),
        (lambda: two_view(GOOD, noise=math.inf), ValueError, "`noise` is inf"),
        (lambda: two_view(GOOD, rotation=181), ValueError, "`rotation` is 181"),
        (lambda: two_view(GOOD, occlusion=9), ValueError, "`occlusion` is 9.*0 and 8"),
        (lambda: two_view(GOOD, occlusion=-1), ValueError, "`occlusion` is -1"),
        (lambda: two_view(GOOD, occlusion=1.5), TypeError, "`occlusion` is 1.5"),
        (lambda: two_view(GOOD.numpy()), TypeError, "`images`.*torch.as_tensor"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
