import base64
import html
import os
import re
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from l2s import _page, plot
from l2s.plot.lines import _spaced
from l2s.plot.style import MARKERS
from matplotlib import pyplot as plt
from matplotlib.text import Text

GROUNDS = {"white": "#ffffff", "dark": "#14181e"}

# Machado, Oliveira and Fernandes (2009), complete loss of one cone, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}


def linear(color):
    coded = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(
        float(linear(color) @ [0.2126, 0.7152, 0.0722]) + 0.05 for color in (one, other)
    )
    return high / low


def lab(rgb):
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    ratio = to_xyz @ rgb / [0.95047, 1.0, 1.08883]
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def least_distance(colors, blindness):
    seen = [lab(np.clip(BLINDNESS[blindness] @ linear(color), 0, 1)) for color in colors]
    return min(float(np.linalg.norm(seen[i] - seen[j])) for i in range(len(seen)) for j in range(i))


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed, as (html, text)."""
    bundles = []
    monkeypatch.setattr(_page, "display", lambda *bundle: bundles.append(bundle))
    return bundles


# The palette


@pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)
@pytest.mark.parametrize("color", [*plot.PALETTE, plot.INK])
def test_every_colour_reads_on_both_grounds(color, ground):
    assert contrast(color, ground) >= 3


def test_ink_is_as_readable_as_a_grey_can_be_on_both_grounds():
    limit = contrast(*GROUNDS.values()) ** 0.5  # equal contrast on both: 4.22
    assert limit == pytest.approx(4.22, abs=0.01)
    for ground in GROUNDS.values():
        assert contrast(plot.INK, ground) == pytest.approx(limit, abs=0.1)


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_stay_apart_under_colour_blindness(blindness):
    assert least_distance(plot.PALETTE, blindness) >= 30


def test_the_simulation_sees_what_is_known_of_red_and_green():
    grey, red, green = "#808080", "#d62728", "#2ca02c"
    for matrix in BLINDNESS.values():
        np.testing.assert_allclose(matrix @ linear(grey), linear(grey), atol=1e-5)
    assert least_distance([red, green], "none") > 100
    assert least_distance([red, green], "deuteranopia") < 30


def test_lines_differ_by_marker_and_dash_too():
    _, axes = plot.figure()
    lines = [axes.plot([0, 1])[0] for _ in plot.PALETTE]
    assert [line.get_color() for line in lines] == list(plot.PALETTE)
    assert len({line.get_marker() for line in lines}) == len(lines)
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == len(lines)


# The style


def full_figure():
    picture, axes = plot.figure()
    for level, label in enumerate(("first", "second", "third")):
        axes.plot([1, 2, 3], [level, level + 0.01, level * 1.02], label=label)
    axes.set(xlabel="batch size", ylabel="loss (nats)", title="A title")
    axes.text(1.5, 1.5, "a text")
    axes.annotate("a note", (2, 1), xytext=(3, 3), textcoords="offset points")
    axes.legend(title="a legend")
    axes.axhline(0.5)
    picture.suptitle("above")
    plot.label_lines(axes)
    return picture, axes


def test_every_text_reads_on_a_phone_and_on_both_grounds():
    picture, _ = full_figure()
    picture.draw_without_rendering()
    phone = 390 - 2 * 16  # pixels between the margins
    texts = [text for text in picture.findobj(Text) if text.get_text()]
    assert len(texts) > 15
    for text in texts:
        assert text.get_fontsize() * phone / (5.5 * 72) >= 9, text
        color = mpl.colors.to_hex(text.get_color())
        assert all(contrast(color, ground) >= 3 for ground in GROUNDS.values()), text


def test_the_colour_bar_is_in_the_style():
    picture, axes = plot.figure()
    bar = picture.colorbar(axes.pcolormesh(np.arange(4.0).reshape(2, 2)), label="probability")
    picture.draw_without_rendering()
    texts = [*bar.ax.get_yticklabels(), bar.ax.yaxis.label]
    assert {text.get_color() for text in texts} == {plot.INK}


def test_nothing_global_changes(shown):
    before, open_before = dict(mpl.rcParams), plt.get_fignums()
    picture, _ = full_figure()
    plot.png(picture)
    plot.show(picture, alt="a", name="a", caption="a")
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == open_before


def test_the_readers_own_settings_do_not_leak_in():
    plain = plot.svg(full_figure()[0])
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "figure.dpi": 50}):
        assert plot.svg(full_figure()[0]) == plain


def test_pictures_have_no_grid_across():
    _, axes = plot.figure()
    axes.imshow(np.zeros((2, 2)))
    assert not any(line.get_visible() for line in axes.get_xgridlines())


def test_panels_share_axes_when_asked():
    picture, panels = plot.figure(rows=2, columns=3, sharex=True, sharey=True)
    assert panels.shape == (2, 3)
    panels[0, 0].set(xlim=(3, 4), ylim=(5, 6))
    assert panels[1, 2].get_xlim() == (3, 4)
    assert panels[1, 2].get_ylim() == (5, 6)
    assert picture.get_size_inches().tolist() == [5.5, 5.0]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"rows": 0}, ValueError, "`rows` is 0, but must be at least 1"),
        ({"columns": -1}, ValueError, "`columns` is -1"),
        ({"height": 0.0}, ValueError, "`height` is 0.0, but must be finite and above 0"),
        ({"width": float("nan")}, ValueError, "`width` is nan"),
        ({"rows": 1.5}, TypeError, "`rows` is 1.5 of type float"),
    ],
)
def test_figure_rejects(wrong, error, message):
    with pytest.raises(error, match=re.escape(message)):
        plot.figure(**wrong)


# Means with spread


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


# Images


DRAW = """
import hashlib
from l2s import plot
picture, axes = plot.figure()
plot.mean_spread(axes, [1, 2, 4], [[1, 3], [4, 8], [0, 1]], label="a")
plot.label_lines(axes)
digest = hashlib.sha256(plot.svg(picture).encode() + plot.png(picture)).hexdigest()
"""


def test_another_process_writes_the_same_bytes():
    here = {}
    exec(DRAW, here)
    there = subprocess.run(
        [sys.executable, "-c", DRAW + "print(digest)"],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert there.stdout.strip() == here["digest"]


def test_svg_is_small_well_formed_and_undated():
    text = plot.svg(full_figure()[0])
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    assert not re.search("metadata|<!--|matplotlib.org|<text", text)
    assert len(text) < 40_000
    targets = {element.get("id") for element in root.iter()}
    links = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert len(links) > 50
    assert {one or other for one, other in links} <= targets


def test_slimming_keeps_every_coordinate_to_a_hundredth(monkeypatch):
    picture, _ = full_figure()
    slim = plot.svg(picture)
    monkeypatch.setattr("l2s.plot.image._slim", lambda text: text)
    whole = plot.svg(picture)

    def places(text):
        return [
            [float(number) for number in re.findall(r"-?\d+\.?\d*", place)]
            for place in re.findall(r'\b[dxy]="([^"]*)"', text)
        ]

    assert len(slim) < 0.9 * len(whole)
    for short, long in zip(places(slim), places(whole), strict=True):
        np.testing.assert_allclose(short, long, atol=0.01)
    assert re.findall(r'transform="[^"]*"', slim) == re.findall(r'transform="[^"]*"', whole)


def test_a_figure_drawn_again_is_the_same():
    picture, _ = full_figure()
    assert plot.svg(picture) == plot.svg(picture)
    assert plot.png(picture) == plot.png(picture)


def test_png_is_transparent_and_unsigned():
    picture, axes = plot.figure()
    axes.set_axis_off()
    data = plot.png(picture)
    assert b"Software" not in data
    import io

    from PIL import Image  # comes with matplotlib

    pixels = np.asarray(Image.open(io.BytesIO(data)))
    assert pixels.shape == (round(3.4 * 160), round(5.5 * 160), 4)
    assert (pixels[..., 3] == 0).all()


@pytest.mark.parametrize(("format", "kind"), [("svg", "svg+xml"), ("png", "png")])
def test_show_writes_a_figure_that_carries_its_picture(shown, format, kind):
    picture, _ = plot.figure()
    wanted = plot.svg(picture).encode() if format == "svg" else plot.png(picture)
    plot.show(picture, alt='a "<b>"', name="fig-1", caption="x < y & z", format=format)
    ((markup, text),) = shown
    root = ElementTree.fromstring(re.sub("(<img[^>]*)>", r"\1/>", markup))
    assert text == 'a "<b>"'
    assert (root.tag, root.get("class"), root.get("id")) == ("figure", "l2s-figure", "fig-fig-1")
    image, caption = root
    assert caption.tag == "figcaption"
    assert caption.text == "x < y & z"
    assert image.get("alt") == 'a "<b>"'
    assert image.get("loading") == "lazy"
    assert (image.get("width"), image.get("height")) == ("572", "354")
    head, data = image.get("src").split(",")
    assert head == f"data:image/{kind};base64"
    assert base64.b64decode(data) == wanted


def test_show_closes_a_figure_of_pyplot(shown):
    picture = plt.figure()
    plot.show(picture, alt="a", name="a", caption="a")
    assert not plt.fignum_exists(picture.number)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alt": " "}, "`alt` is ' ', but must say something. Describe what is to be seen"),
        ({"caption": ""}, "`caption` is '', but must say something"),
        ({"name": "Fig 1"}, "`name` is 'Fig 1', but becomes an address on the page"),
        ({"name": "a--b"}, "`name` is 'a--b'"),
        ({"name": "a\n"}, "`name` is 'a\\n'"),
    ],
)
def test_show_rejects(shown, wrong, message):
    picture, _ = plot.figure()
    with pytest.raises(ValueError, match=re.escape(message)):
        plot.show(picture, **{"alt": "a", "name": "a", "caption": "a", **wrong})
    assert not shown


def test_show_is_silent_outside_a_notebook(capsys):
    picture, _ = plot.figure()
    plot.show(picture, alt="a", name="a", caption="a")
    assert capsys.readouterr() == ("", "")


def test_html_is_escaped():
    markup = _page.framed("", kind="k", name="n", caption="<script>")
    assert html.escape("<script>") in markup
