import re
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from l2s import _page, plot, widgets
from matplotlib import pyplot as plt
from playwright.sync_api import sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
TEXTS = {"label": "temperature τ", "alt": "A line", "name": "tau", "caption": "At three values."}


def drawn(level, **size):
    picture, axes = plot.figure(**size)
    axes.plot([0, 1], [0, level])
    axes.set(ylim=(0, 3))
    return picture


@pytest.fixture
def shown(monkeypatch):
    """What would be displayed, as (html, text)."""
    bundles = []
    monkeypatch.setattr(_page, "display", lambda *bundle: bundles.append(bundle))
    return bundles


def stepper(shown, **changes):
    """The HTML of a stepper with three frames, the second shown first."""
    plain = {
        "frames": [drawn(level) for level in (1, 2, 3)],
        "values": ["τ = 0.1", "τ = <0.2>", "τ = 0.3"],
        "start": 1,
    }
    widgets.stepper(**{**plain, **TEXTS, **changes})
    return shown.pop()[0]


# The markup


def test_each_frame_has_its_own_alt_text_and_only_the_start_is_seen(shown):
    figure = BeautifulSoup(stepper(shown), "html.parser").figure
    assert (figure["class"], figure["id"]) == (["l2s-stepper"], "fig-tau")
    images = figure.find_all("img")
    assert [image["alt"] for image in images] == [
        "A line (τ = 0.1)",
        "A line (τ = <0.2>)",
        "A line (τ = 0.3)",
    ]
    assert [image.has_attr("hidden") for image in images] == [True, False, True]
    assert len({image["src"] for image in images}) == 3
    control = figure.find("input")
    assert {name: control[name] for name in ("type", "min", "max", "value")} == {
        "type": "range",
        "min": "0",
        "max": "2",
        "value": "1",
    }
    assert control["id"] == "fig-tau-control"
    assert (figure.label["for"], figure.output["for"]) == ("fig-tau-control", ["fig-tau-control"])
    assert figure.label.text == "temperature τ"
    assert figure.output.text == control["aria-valuetext"] == "τ = <0.2>"
    assert figure.figcaption.text == "At three values."
    assert control.has_attr("hidden")  # until a script says that scripts run
    assert not figure.find_all("script")


def test_one_alt_text_a_frame_and_numbers_for_values(shown):
    markup = stepper(shown, values=[0.1, np.int64(2), 1e-4], alt=["one", "two", "three"])
    figure = BeautifulSoup(markup, "html.parser").figure
    assert [image["alt"] for image in figure.find_all("img")] == ["one", "two", "three"]
    assert [image["data-value"] for image in figure.find_all("img")] == ["0.1", "2", "0.0001"]


def test_the_text_beside_it_is_the_start_frames(shown):
    widgets.stepper([drawn(1), drawn(2)], values=["a", "b"], start=1, **TEXTS)
    assert shown[0][1] == "A line (b)"


def test_png_frames_keep_their_size(shown):
    frames = [plot.png(drawn(level, width=2, height=1)) for level in (1, 2)]
    widgets.stepper(frames, values=["a", "b"], **TEXTS)
    image = BeautifulSoup(shown[0][0], "html.parser").img
    assert (image["width"], image["height"]) == ("208", "104")
    assert image["src"].startswith("data:image/png;base64,")


def test_frames_of_pyplot_are_closed(shown):
    before = plt.get_fignums()
    frames = [plt.figure(), plt.figure()]
    widgets.stepper(frames, values=["a", "b"], **TEXTS)
    assert plt.get_fignums() == before


def test_a_heavy_stepper_is_refused_with_its_size(shown):
    heavy = plot.png(drawn(1)) + b"\0" * 300_000
    with pytest.raises(ValueError, match=r"takes 8\d\d kB for 2 frames, .* budget of 700 kB. Use"):
        widgets.stepper([heavy, heavy], values=["a", "b"], **TEXTS)
    assert not shown


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"values": ["a"]}, ValueError, "`values` has 1 entries for 3 frames. Pass one for each"),
        ({"values": ["a", "", "c"]}, ValueError, "`values` is '', but must say something"),
        ({"alt": ["a", "b"]}, ValueError, "`alt` has 2 entries for 3 frames"),
        ({"alt": " "}, ValueError, "`alt` is ' ', but must say something"),
        ({"label": ""}, ValueError, "`label` is '', but must say something"),
        ({"caption": ""}, ValueError, "`caption` is ''"),
        ({"name": "τ"}, ValueError, "`name` is 'τ', but becomes an address on the page"),
        ({"start": 3}, ValueError, "`start` is 3, but must lie between 0 and 2"),
        ({"start": -1}, ValueError, "`start` is -1"),
        ({"values": 3}, TypeError, "`values` is 3 of type int"),
        ({"values": ["a", None, "c"]}, TypeError, "`values` holds None, but must hold texts"),
        ({"alt": ["a", "b", 3]}, TypeError, "`alt` holds 3, but must hold texts"),
        ({"frames": [1, 2, 3]}, TypeError, "`frames` holds 1, which is neither a figure nor byte"),
    ],
)
def test_stepper_rejects(shown, changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        stepper(shown, **changes)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([drawn(1)], "`frames` is 1, but must be at least 2. Show a single picture"),
        ([drawn(1), drawn(1, height=2)], "`frames` have the sizes [(572, 208), (572, 354)]"),
        ([b"GIF89a", b"GIF89a"], "`frames` holds bytes that begin with b'GIF89a', which is no PNG"),
    ],
)
def test_frames_are_checked(shown, frames, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        widgets.stepper(frames, values=["a", "b"][: len(frames)], **TEXTS)


# In a real browser


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser, tmp_path, body, **context):
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>{body}')
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(10_000)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(path.as_uri())
    page.problems = problems
    return page


def seen(page, name="tau"):
    """The alt texts of the frames that can be seen."""
    images = page.locator(f"#fig-{name} img").all()
    return [image.get_attribute("alt") for image in images if image.is_visible()]


def test_keys_move_the_picture_its_alt_text_and_the_value(browser, tmp_path, shown):
    other = stepper(shown, name="other", caption="Another.")
    page = opened(browser, tmp_path, stepper(shown) + other)
    assert seen(page) == ["A line (τ = <0.2>)"]
    page.get_by_label("temperature τ").first.focus()
    for key, value in (("ArrowRight", "τ = 0.3"), ("Home", "τ = 0.1"), ("ArrowUp", "τ = <0.2>")):
        before = page.locator("#fig-tau").screenshot()
        page.keyboard.press(key)
        assert seen(page) == [f"A line ({value})"]
        control = page.locator("#fig-tau input")
        assert control.get_attribute("aria-valuetext") == value
        assert page.locator("#fig-tau output").inner_text() == value
        assert page.locator("#fig-tau").screenshot() != before
    assert seen(page, "other") == ["A line (τ = <0.2>)"]
    assert not page.problems


def test_it_works_where_a_notebook_sets_it_as_inner_html(browser, tmp_path, shown):
    page = opened(browser, tmp_path, "<main></main>")
    page.evaluate("html => document.querySelector('main').innerHTML = html", stepper(shown))
    page.get_by_label("temperature τ").focus()
    page.keyboard.press("End")
    assert seen(page) == ["A line (τ = 0.3)"]


def test_without_scripts_the_start_frame_stands_alone(browser, tmp_path, shown):
    page = opened(browser, tmp_path, stepper(shown), java_script_enabled=False)
    assert seen(page) == ["A line (τ = <0.2>)"]
    assert page.locator("figcaption").is_visible()
    assert page.locator("output").inner_text() == "τ = <0.2>"
    assert not page.locator("input").is_visible()
    assert not page.locator("label").is_visible()


def test_a_notebook_that_is_not_trusted_shows_the_start_frame_alone(browser, tmp_path, shown):
    soup = BeautifulSoup(stepper(shown), "html.parser")
    soup.style.decompose()  # what JupyterLab's sanitizer takes away
    for tag in soup.find_all(True):
        for attribute in list(tag.attrs):
            if attribute.startswith(("on", "data-", "aria-")) or attribute == "loading":
                del tag[attribute]
    page = opened(browser, tmp_path, str(soup))
    assert seen(page) == ["A line (τ = <0.2>)"]
    assert not page.locator("input").is_visible()


def test_frames_below_the_fold_wait(browser, tmp_path, shown):
    page = opened(browser, tmp_path, '<div style="height:20000px"></div>' + stepper(shown))
    loading = "[...document.querySelectorAll('#fig-tau img')].map(e => e.loading)"
    assert page.evaluate(loading) == ["lazy"] * 3
    assert not page.locator("#fig-tau input").is_visible()
    page.locator("#fig-tau").scroll_into_view_if_needed()
    page.locator("#fig-tau input").wait_for(state="visible")
    assert page.evaluate(loading) == ["eager", "lazy", "eager"]


def test_the_page_does_not_jump(browser, tmp_path, shown):
    page = opened(browser, tmp_path, stepper(shown), viewport={"width": 390, "height": 800})
    heights = set()
    page.locator("input").focus()
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        heights.add(page.evaluate("document.documentElement.scrollHeight"))
    assert len(heights) == 1
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_print_leaves_the_slider_out(browser, tmp_path, shown):
    page = opened(browser, tmp_path, stepper(shown))
    page.locator("input").wait_for(state="visible")
    page.emulate_media(media="print")
    assert not page.locator("input").is_visible()
    assert seen(page) == ["A line (τ = <0.2>)"]


def test_axe_finds_nothing(browser, tmp_path, shown):
    page = opened(browser, tmp_path, f"<main><h1>t</h1>{stepper(shown)}</main>")
    page.locator("input").wait_for(state="visible")
    assert Axe().run(page).response["violations"] == []


# With a kernel


def test_live_hands_its_controls_to_interact(monkeypatch):
    calls = []
    monkeypatch.setattr(ipywidgets, "interact", lambda *a, **k: calls.append((a, k)) or "back")
    assert widgets.live(abs, function=(0, 1)) == "back"
    assert calls == [((abs,), {"function": (0, 1)})]


def test_live_rejects():
    with pytest.raises(ValueError, match="`controls` is empty. Name at least one"):
        widgets.live(abs)
    with pytest.raises(TypeError, match="`function` is 3, but must be callable"):
        widgets.live(3, tau=(0, 1))
