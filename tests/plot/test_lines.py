import re
import statistics

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from l2s import plot
from l2s.plot.lines import _spaced
from l2s.plot.style import MARKERS
from matplotlib.text import Text

SAMPLES = [[1.0, 3.0, 2.5], [4.0, 8.0, 6.5], [0.5, 0.25, 0.75]]


@pytest.mark.parametrize("spread", ["sd", "ci95"])
@pytest.mark.parametrize("bars", [False, True])
def test_mean_spread_draws_mean_and_half_width(spread, bars):
    _, axes = plot.figure()
    line = plot.mean_spread(axes, [1, 2, 4], SAMPLES, label="a", spread=spread, bars=bars)
    means = [statistics.fmean(row) for row in SAMPLES]
    np.testing.assert_allclose(line.get_ydata(), means)
    if bars:
        segments = axes.collections[0].get_segments()
        found = [tuple(sorted(segment[:, 1])) for segment in segments]
    else:
        corners = axes.collections[0].get_paths()[0].vertices
        found = [
            (min(ends), max(ends)) for x in (1, 2, 4) for ends in [corners[corners[:, 0] == x, 1]]
        ]
    for row, mean, (low, high) in zip(SAMPLES, means, found, strict=True):
        if spread == "sd":
            wanted = (mean - statistics.stdev(row), mean + statistics.stdev(row))
        else:
            error = scipy.stats.sem(row)
            wanted = scipy.stats.t.interval(0.95, len(row) - 1, loc=mean, scale=error)
        assert (low, high) == pytest.approx(wanted)


def test_a_colour_of_the_palette_brings_its_marker():
    _, axes = plot.figure()
    line = plot.mean_spread(axes, [1, 2, 4], SAMPLES, label="a", color=plot.PALETTE[3])
    assert (line.get_color(), line.get_marker()) == (plot.PALETTE[3], MARKERS[3])
    other = plot.mean_spread(axes, [1, 2, 4], SAMPLES, label="b", color="tab:red")
    assert other.get_color() == "tab:red"


def test_mean_spread_takes_tensors():
    _, axes = plot.figure()
    line = plot.mean_spread(axes, torch.arange(3), torch.tensor(SAMPLES), label="a")
    np.testing.assert_allclose(line.get_ydata(), np.mean(SAMPLES, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "samples", "message"),
    [
        ([1, 2], SAMPLES, "`x` has shape (2,) and `samples` (3, 3)"),
        ([1, 2, 4], [1.0, 2.0, 3.0], "`samples` (3,), but (points,) and (points, seeds)"),
        ([1, 2, 4], [[1.0], [2.0], [3.0]], "`samples` has 1 seeds, and one seed has no spread"),
        ([1, 2, 4], np.full((3, 2), np.nan), "`samples` holds 6 values that are NaN"),
        ([1, np.inf, 4], SAMPLES, "`x` holds 1 values that are NaN or infinite"),
        ([1, 2, 4], [[1.0], [2.0, 3.0], [4.0]], "`samples` is [[1.0], [2.0, 3.0], [4.0]], which"),
        (["small", "big"], SAMPLES, "`x` is ['small', 'big'], which is no array of numbers"),
        ([], np.zeros((0, 3)), "`x` is empty"),
    ],
)
def test_mean_spread_rejects(x, samples, message):
    _, axes = plot.figure()
    with pytest.raises(ValueError, match=re.escape(message)):
        plot.mean_spread(axes, x, samples, label="a")


def test_mean_spread_names_the_spreads_it_knows():
    _, axes = plot.figure()
    with pytest.raises(TypeError, match="`spread` is 'range'"):
        plot.mean_spread(axes, [1, 2, 4], SAMPLES, label="a", spread="range")


# Direct labels


@settings(max_examples=40, deadline=None)
@given(
    wanted=st.lists(st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=5),
    step=st.floats(1, 20),
)
def test_labels_move_as_little_as_possible(wanted, step):
    wanted = np.array(wanted)
    placed = _spaced(wanted, step, room=100)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= step - 1e-9).all()
    assert placed.min() >= -1e-9
    assert placed.max() <= 100 + 1e-9
    ordered = wanted[order]
    best = scipy.optimize.minimize(
        lambda heights: ((heights - ordered) ** 2).sum(),
        np.linspace(0, 100, len(wanted)),
        method="SLSQP",
        bounds=[(0, 100)] * len(wanted),
        constraints={"type": "ineq", "fun": lambda heights: np.diff(heights) - step},
    )
    assert ((placed - wanted) ** 2).sum() <= best.fun + 1e-4 * (1 + best.fun)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_labels_do_not_overlap_and_stay_inside_the_figure(scale):
    picture, axes = plot.figure()
    names = ["one", "a rather longer label", "three", "four", "five", "six"]
    for place, name in enumerate(names):
        axes.plot([1, 10], [1, 2 + place * 1e-3], label=name)
    axes.plot([1, 10], [5, 6])  # without a label
    axes.set(xlabel="x", ylabel="y", yscale=scale)
    plot.label_lines(axes)
    picture.draw_without_rendering()
    assert [text.get_text() for text in axes.texts] == names
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])
        assert box.x0 >= axes.get_window_extent().x1
        assert box.x1 <= picture.bbox.x1
    assert [box.y0 for box in boxes] == sorted(box.y0 for box in boxes)


def test_a_label_stands_at_the_height_of_its_lines_right_end():
    picture, axes = plot.figure()
    (line,) = axes.plot([4, 3, 1], [0.2, 0.9, 0.5], label="back to front")
    axes.set(ylim=(0, 1))
    plot.label_lines(axes)
    picture.draw_without_rendering()
    box = Text.get_window_extent(axes.texts[0])
    height = axes.transData.transform((4, 0.2))[1]
    assert (box.y0 + box.y1) / 2 == pytest.approx(height, abs=2)
    assert axes.texts[0].get_color() == line.get_color()


def test_a_label_stands_at_the_last_point_that_is_seen():
    picture, axes = plot.figure()
    axes.plot([1, 2, 3], [0.2, 0.4, 0.9], label="cut off")
    axes.set(xlim=(0, 2.5), ylim=(0, 1))
    plot.label_lines(axes)
    picture.draw_without_rendering()
    box = Text.get_window_extent(axes.texts[0])
    height = axes.transData.transform((2, 0.4))[1]
    assert (box.y0 + box.y1) / 2 == pytest.approx(height, abs=2)


def test_label_lines_rejects():
    _, axes = plot.figure()
    with pytest.raises(ValueError, match="`axes` has no labelled line. Draw with label="):
        plot.label_lines(axes)
    axes.plot([0, 1], [np.nan, np.nan], label="nothing")
    with pytest.raises(ValueError, match="The line 'nothing' has no finite point"):
        plot.label_lines(axes)
    with pytest.raises(ValueError, match="`gap` is 0.5"):
        plot.label_lines(axes, gap=0.5)
    _, crowded = plot.figure(height=1)
    for _ in range(12):
        crowded.plot([0, 1], label="many")
    with pytest.raises(ValueError, match="12 labels need .* Make the figure higher"):
        plot.label_lines(crowded)


def test_plain_log_writes_numbers_as_one_says_them():
    picture, axes = plot.figure()
    axes.plot([0.001, 1], [32, 8192])
    plot.plain_log(axes.xaxis, [0.001, 0.003, 1])
    plot.plain_log(axes.yaxis, [32, 8192, 100000])
    picture.draw_without_rendering()
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.001", "0.003", "1"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["32", "8192", "100000"]
    assert not len(axes.xaxis.get_minorticklocs())
    with pytest.raises(ValueError, match="`ticks` is 0"):
        plot.plain_log(axes.xaxis, [0, 1])
    with pytest.raises(ValueError, match="`ticks` is .'low'., which is no array of numbers"):
        plot.plain_log(axes.xaxis, ["low"])
