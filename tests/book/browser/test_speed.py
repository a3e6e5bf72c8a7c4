"""A page is light, is read before its formulas are set, and stays where it is when they are."""

import pytest
from playwright.sync_api import expect

from book.tools import layout
from book.tools.measure_site import VIEW, visit
from tests.book.browser.visits import CHAPTER, PHONE, typeset

KILOBYTES = 3000  # a chapter with all its pictures, nothing compressed
JUMP = 0.1  # the sum of all layout shifts
NOTATION = "book/notation"  # the page with the most formulas on its first screen
PICTURES = "**/_images/*"
DRAWN = """figure => [...figure.querySelectorAll('img')]
    .every(image => image.complete && image.naturalWidth > 0)"""
CHAPTERS = [page for page in layout.documents() if page.startswith("chapters/")]
# On a phone lines are short, so formulas move the most; `make measure` visits at a laptop's width.
VISITS = [*((page, PHONE) for page in (*CHAPTERS, NOTATION)), (CHAPTER, VIEW), (NOTATION, VIEW)]


@pytest.mark.parametrize(("page", "view"), VISITS, ids=[f"{p}-{v['width']}" for p, v in VISITS])
def test_a_page_is_light_and_does_not_jump(browser, address, page, view):
    found = visit(browser, f"{address}{page}.html", view)
    assert 0 < found.kilobytes < KILOBYTES
    assert found.layout_shift < JUMP
    assert 0 < found.first_content_ms < found.last_shift_ms + 60_000


def test_the_text_is_there_before_mathematics_is_set(tab, address):
    held = []
    tab.route("**/mathjax/startup.js", lambda route: held.append(route))
    tab.goto(f"{address}{CHAPTER}.html", wait_until="commit")
    first = tab.locator("article p").first
    expect(first).to_be_visible()
    tab.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    assert len(held) == 1
    assert tab.locator("mjx-container").count() == 0
    held[0].continue_()
    tab.locator("mjx-container").first.wait_for()


def test_pictures_far_below_are_fetched_when_the_reader_comes_near(tab, address):
    asked = []
    tab.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    tab.set_viewport_size(PHONE)
    tab.goto(f"{address}{CHAPTER}.html", wait_until="load")
    pictures = tab.locator("article figure img")
    last = pictures.last.get_attribute("src").rpartition("/")[2]
    assert pictures.count() > 5
    assert last not in asked
    with tab.expect_request(f"**/{last}"):
        tab.locator("article figure").last.scroll_into_view_if_needed()


def test_hidden_frames_wait_until_their_stepper_is_near(tab, address):
    asked = []
    tab.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    tab.goto(f"{address}{CHAPTER}.html", wait_until="load")
    stepper = tab.locator("figure.l2s-stepper").first
    frames = [
        src.rpartition("/")[2]
        for src in stepper.locator("img").evaluate_all("images => images.map(image => image.src)")
    ]
    assert not set(frames) & set(asked)
    stepper.scroll_into_view_if_needed()
    expect(stepper.locator("input")).to_be_visible()
    tab.wait_for_function(DRAWN, arg=stepper.element_handle())
    assert set(frames) <= set(asked)


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_slider_that_appears_moves_nothing(tab, address, page):
    held = []
    tab.route(PICTURES, lambda route: held.append(route))
    tab.set_viewport_size(PHONE)
    tab.goto(f"{address}{page}.html", wait_until="load")
    typeset(tab)  # formulas that grow would push the figure away again
    stepper = tab.locator("figure.l2s-stepper").first
    stepper.scroll_into_view_if_needed()
    expect(stepper.locator("input")).to_be_hidden()
    before = stepper.bounding_box()["height"]
    tab.route(PICTURES, lambda route: route.continue_())  # some may be asked for later than now
    for route in held:
        route.continue_()
    expect(stepper.locator("input")).to_be_visible()
    assert abs(stepper.bounding_box()["height"] - before) <= 1  # pixels are rounded
