import base64
import html
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from l2s import _page, plot
from matplotlib import pyplot as plt

from tests.plot.full import full_figure


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed, as (html, text)."""
    bundles = []
    monkeypatch.setattr(_page, "display", lambda *bundle: bundles.append(bundle))
    return bundles


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
