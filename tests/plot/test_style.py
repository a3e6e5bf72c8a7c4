import re

import matplotlib as mpl
import numpy as np
import pytest
from l2s import plot
from matplotlib import pyplot as plt
from matplotlib.text import Text

from tests.plot.full import full_figure

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


def test_nothing_global_changes():
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
