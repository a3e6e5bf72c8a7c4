"""Frames against their definitions, and the distance to them against a search and invariances."""

import math

import pytest
import torch
from l2s.maths import align_frame, frame_distance, orthogonal_frame, simplex_etf
from scipy.linalg import orthogonal_procrustes


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=_generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("generator", [None, _generator(3)])
@pytest.mark.parametrize(("classes", "dim"), [(2, 1), (3, 2), (4, 3), (7, 12), (50, 49)])
def test_a_simplex_has_equal_lengths_and_the_widest_equal_angles(classes, dim, generator):
    frame = simplex_etf(classes, dim, length=1.5, generator=generator, dtype=torch.float64)
    gram = frame @ frame.T
    want = torch.full((classes, classes), -1 / (classes - 1), dtype=torch.float64)
    want.fill_diagonal_(1)
    torch.testing.assert_close(gram, 1.5**2 * want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(frame.sum(0), torch.zeros(dim).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("generator", [None, _generator(3)])
def test_an_orthogonal_frame_has_the_lengths_it_was_given(generator):
    lengths = [3.0, 0.0, 1.0, 0.5]
    frame = orthogonal_frame(4, 5, lengths=lengths, generator=generator, dtype=torch.float64)
    want = torch.diag(torch.tensor(lengths, dtype=torch.float64).square())
    torch.testing.assert_close(frame @ frame.T, want, rtol=1e-12, atol=1e-12)
    same = orthogonal_frame(4, 5, lengths=torch.tensor(lengths), dtype=torch.float64)
    torch.testing.assert_close(same @ same.T, want, rtol=1e-12, atol=1e-12)


def test_a_generator_turns_the_frame_evenly():
    """The mean of many random frames is 0, and each coordinate has the same share of the length."""
    generator = _generator()
    frames = torch.stack([simplex_etf(3, 4, generator=generator) for _ in range(4000)])
    assert frames.mean(0).abs().max() < 5 * 0.5 / math.sqrt(4000)
    torch.testing.assert_close(
        frames.square().mean(0), torch.full((3, 4), 1 / 4), rtol=0, atol=0.02
    )


def test_the_dtype_is_the_callers():
    assert simplex_etf(3, 2).dtype == torch.get_default_dtype()
    assert orthogonal_frame(3, 3, dtype=torch.float16).dtype == torch.float16


@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (5, 40)])
def test_the_distance_equals_scipys_rotation(shape):
    vectors, frame = _normal(*shape, seed=1), _normal(*shape, seed=2)
    rotation, total = orthogonal_procrustes(frame.numpy(), vectors.numpy())
    scale = total / frame.square().sum()
    want = (vectors - scale * frame @ torch.from_numpy(rotation)).norm() / vectors.norm()
    assert frame_distance(vectors, frame) == pytest.approx(float(want), rel=1e-10)
    near = align_frame(vectors, frame)
    torch.testing.assert_close((vectors - near).norm() / vectors.norm(), want, rtol=1e-10, atol=0)
    fixed = (vectors - frame @ torch.from_numpy(rotation)).norm() / vectors.norm()
    assert frame_distance(vectors, frame, rescale=False) == pytest.approx(float(fixed), rel=1e-10)


def test_no_rotation_or_scale_comes_nearer():
    vectors, frame = _normal(4, 3, seed=1), _normal(4, 3, seed=2)
    best, generator = frame_distance(vectors, frame), _generator(5)
    for _ in range(300):
        turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
        scale = 2 * torch.rand(1, generator=generator, dtype=torch.float64)
        assert (vectors - scale * frame @ turn).norm() / vectors.norm() >= best


def test_rotation_scale_and_further_dimensions_do_not_count():
    frame = simplex_etf(4, 3, dtype=torch.float64)
    turn = torch.linalg.qr(_normal(9, 9, seed=4)).Q[:3]
    assert frame_distance(7.0 * frame @ turn, frame) < 1e-12
    assert frame_distance(frame, 0.01 * frame @ turn) < 1e-12
    assert align_frame(frame @ turn, frame).shape == (4, 9)
    order = torch.tensor([2, 0, 3, 1])
    noisy = frame + 0.1 * _normal(4, 3, seed=6)
    assert frame_distance(noisy[order], frame[order]) == pytest.approx(
        frame_distance(noisy, frame), rel=1e-12
    )


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_distance_from_an_orthogonal_frame_to_a_simplex_is_known(classes):
    """Of K equal singular values the simplex lacks one: what remains is a share of 1 / K."""
    eye = torch.eye(classes, dtype=torch.float64)
    simplex = simplex_etf(classes, classes, dtype=torch.float64)
    assert frame_distance(eye, simplex) == pytest.approx(math.sqrt(1 / classes), rel=1e-12)
    assert frame_distance(eye - eye.mean(0), simplex) < 1e-12


def test_small_distances_are_not_lost_to_rounding():
    frame = simplex_etf(10, 9, dtype=torch.float64)
    noise = 1e-11 * _normal(10, 9, seed=8)
    assert 1e-12 < frame_distance(frame + noise, frame) < 1e-10


def test_align_frame_keeps_the_dtype_and_fits_a_wider_frame():
    aligned = align_frame(torch.eye(3), torch.eye(3, 7, dtype=torch.float64))
    assert aligned.dtype == torch.float32
    torch.testing.assert_close(aligned, torch.eye(3, 7), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: simplex_etf(1, 4), ValueError, "`classes` is 1"),
        (lambda: simplex_etf(5, 3), ValueError, "`dim` is 3, but must be at least 4"),
        (lambda: simplex_etf(3, 2, length=0.0), ValueError, "`length` is 0.0"),
        (lambda: simplex_etf(3, 2, dtype=torch.int64), TypeError, "floating"),
        (lambda: orthogonal_frame(0, 4), ValueError, "`classes` is 0"),
        (lambda: orthogonal_frame(4, 3), ValueError, "`dim` is 3, but must be at least 4"),
        (lambda: orthogonal_frame(2, 3, lengths=[1.0]), ValueError, "each of the 2 vectors"),
        (lambda: orthogonal_frame(2, 3, lengths=[1.0, -1.0]), ValueError, "at least 0"),
        (lambda: orthogonal_frame(2, 3, lengths=[0.0, 0.0]), ValueError, "one of them above"),
        (lambda: orthogonal_frame(2, 3, lengths=[1.0, math.nan]), ValueError, "`lengths` holds 1"),
        (lambda: frame_distance(torch.zeros(2, 3), torch.eye(2)), ValueError, "`vectors` are all"),
        (lambda: frame_distance(torch.eye(2), torch.zeros(2, 3)), ValueError, "`frame` are all"),
        (lambda: frame_distance(torch.eye(2) / 0, torch.eye(2)), ValueError, "NaN"),
        (lambda: frame_distance(torch.eye(2), torch.eye(3)), ValueError, "`frame` has shape"),
        (lambda: align_frame(torch.eye(2).int(), torch.eye(2)), TypeError, "`vectors`"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
