"""What a reader does with a page, by mouse and by keyboard, from a server, a folder, and a file."""

import pytest
from playwright.sync_api import expect

from book.tools.chromium import listen, settle
from book.tools.serve import served
from tests.book.browser.visits import CHAPTER, PHONE, UNREADABLE, follow, typeset

PHRASE = "a pull that depends on strangers"
STEPPER = "figure.l2s-stepper"
DRAWN = """() => [...document.fonts]
    .some(font => font.family.startsWith('MJX') && font.status === 'loaded')"""


def search(tab, words):
    tab.locator(".search-button__button:visible").first.click()
    tab.keyboard.type(words)
    tab.keyboard.press("Enter")
    first = tab.locator("#search-results .search li a").first
    expect(first).to_be_visible()
    follow(tab, first)


def test_search_finds_a_phrase_and_leads_there(tab, address):
    tab.goto(f"{address}book/setup.html")
    search(tab, PHRASE)
    assert f"{CHAPTER}.html" in tab.url
    expect(tab.locator("article h2", has_text=PHRASE)).to_be_visible()


def test_search_finds_a_function_by_its_name(tab, address):
    tab.goto(f"{address}book/setup.html")
    search(tab, "info_nce")
    assert "book/api/labels/contrastive.html" in tab.url


def shown(stepper):
    """The picture that a stepper shows: its pixels, its alt text, and the value beside it."""
    image = stepper.locator("img:visible")
    expect(image).to_have_count(1)
    image.evaluate("image => image.decode()")
    return image.screenshot(), image.get_attribute("alt"), stepper.locator("output").inner_text()


def try_stepper(tab):
    """Move a stepper from its first frame to its last by keyboard; every picture is another."""
    stepper = tab.locator(STEPPER).first
    stepper.scroll_into_view_if_needed()
    slider = stepper.locator("input[type=range]")
    expect(slider).to_be_visible()
    slider.focus()
    tab.keyboard.press("Home")
    seen = [shown(stepper)]
    for _ in range(stepper.locator("img").count() - 1):
        tab.keyboard.press("ArrowRight")
        seen.append(shown(stepper))
        assert slider.get_attribute("aria-valuetext") == seen[-1][2]
    for part in zip(*seen, strict=True):
        assert len(set(part)) == len(seen)
    assert all(value in alt for _, alt, value in seen)


def test_a_stepper_moves_by_keyboard_and_each_frame_has_its_own_picture_and_words(tab, address):
    tab.goto(f"{address}{CHAPTER}.html")
    typeset(tab)
    try_stepper(tab)


def test_copy_buttons_copy(tab, context, address):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.goto(f"{address}{CHAPTER}.html")
    block = tab.locator("div.highlight", has=tab.locator("button.copybtn")).first
    block.hover()
    block.locator("button.copybtn").click()
    code = block.locator("pre").inner_text().strip()
    assert "profile =" in code
    tab.wait_for_function(  # the browser writes to its clipboard when it finds the time
        "code => navigator.clipboard.readText().then(text => text.trim() === code)", arg=code
    )


def test_dark_mode_is_chosen_and_stays_on_the_next_page(tab, address):
    ground = "getComputedStyle(document.body).backgroundColor"
    theme = "document.documentElement.dataset.theme"
    tab.goto(f"{address}book/setup.html")
    light = tab.evaluate(ground)
    for _ in range(3):  # automatic, light, dark
        tab.locator(".theme-switch-button:visible").first.click()
        if tab.evaluate(theme) == "dark":
            break
    dark = tab.evaluate(ground)
    assert dark != light
    follow(tab, tab.locator(".prev-next-area a.right-next"))
    assert "setup" not in tab.url
    assert (tab.evaluate(theme), tab.evaluate(ground)) == ("dark", dark)


SPOT = """() => {
    const one = document.activeElement, box = one.getBoundingClientRect();
    return {name: one.outerHTML.slice(0, 120), x: box.x - 5, y: box.y - 5,
            width: box.width + 10, height: box.height + 10};
}"""


def is_marked(tab):
    """Whether the element with the focus looks different without it; returns its HTML, too."""
    spot = tab.evaluate(SPOT)
    name = spot.pop("name")
    view = tab.viewport_size
    spot["width"] = min(spot["width"], view["width"] - spot["x"])
    spot["height"] = min(spot["height"], view["height"] - spot["y"])
    with_focus = tab.screenshot(clip=spot)
    tab.evaluate("window.l2sFocus = document.activeElement; window.l2sFocus.blur()")
    without = tab.screenshot(clip=spot)
    tab.evaluate("window.l2sFocus.focus()")
    return with_focus != without, name


def test_the_first_stop_skips_to_the_text(tab, address):
    tab.goto(f"{address}{CHAPTER}.html")
    tab.keyboard.press("Tab")
    link = tab.locator("#pst-skip-link a")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**#main-content")
    tab.keyboard.press("Tab")
    tab.wait_for_function("document.querySelector('main').contains(document.activeElement)")


def test_the_focus_is_visible_at_every_stop(tab, address):
    tab.goto(f"{address}{CHAPTER}.html")
    tab.add_style_tag(content="* { transition: none !important } .tooltip { display: none }")
    unmarked = []
    for _ in range(16):
        tab.keyboard.press("Tab")
        marked, name = is_marked(tab)
        unmarked += [] if marked else [name]
    for place in (f"{STEPPER} input", "details.sd-dropdown summary", "article p a", "article pre"):
        target = tab.locator(place).first
        target.locator("xpath=..").scroll_into_view_if_needed()
        target.focus()
        marked, name = is_marked(tab)
        unmarked += [] if marked else [name]
    assert not unmarked


def test_answers_and_launch_buttons_open_by_keyboard(tab, address):
    tab.goto(f"{address}{CHAPTER}.html")
    answer = tab.locator("details.sd-dropdown").first
    assert answer.get_attribute("open") is None
    answer.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert answer.get_attribute("open") is not None
    tab.locator(".dropdown-launch-buttons > button").focus()
    tab.keyboard.press("Enter")
    colab = tab.locator(".dropdown-launch-buttons a[href*='colab']")
    expect(colab).to_be_visible()
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("document.activeElement.closest('.dropdown-menu') !== null")


def test_the_menu_of_a_phone_opens_by_keyboard_and_leads_on(tab, address):
    tab.set_viewport_size(PHONE)
    tab.goto(f"{address}{CHAPTER}.html")
    setup = tab.locator(":is(.bd-sidebar-primary, dialog) a[href$='book/setup.html']")
    expect(setup.first).not_to_be_in_viewport()
    tab.locator("button.primary-toggle").focus()
    tab.keyboard.press("Enter")
    link = setup.locator("visible=true").first
    expect(link).to_be_in_viewport()
    for _ in range(30):
        tab.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/book/setup.html")


def test_the_site_works_from_a_file(context, built_site):
    home = built_site.as_uri()
    tab = context.new_page()
    heard = listen(tab, home)
    tab.goto(f"{home}/{CHAPTER}.html")
    typeset(tab)
    assert tab.evaluate(UNREADABLE) == []
    assert tab.evaluate(DRAWN)
    try_stepper(tab)
    search(tab, PHRASE)
    assert f"{CHAPTER}.html" in tab.url
    assert not heard


@pytest.mark.parametrize("prefix", ["/", "/some/deep/path/"])
def test_the_site_works_from_any_path(context, built_site, prefix):
    with served(built_site, prefix) as address:
        tab = context.new_page()
        heard = listen(tab, address)
        tab.goto(address)
        tab.locator(".l2s-doors").wait_for()
        follow(tab, tab.locator(f".bd-sidebar-primary a[href*='{CHAPTER}.html']").first)
        settle(tab)
        assert tab.evaluate(UNREADABLE) == []
        assert tab.evaluate("[...document.images].every(each => each.naturalWidth > 0)")
        assert not heard


def test_without_scripts_a_page_reads_and_a_stepper_is_a_figure(browser, address):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}{CHAPTER}.html")
    expect(tab.locator("article h1").last).to_be_visible()
    stepper = tab.locator(STEPPER).first
    expect(stepper.locator("img:visible")).to_have_count(1)
    expect(stepper.locator("input")).to_be_hidden()
    expect(stepper.locator("figcaption")).to_be_visible()
    context.close()


def test_a_missing_page_is_answered_in_the_book_s_own_words(context, address):
    tab = context.new_page()
    answer = tab.goto(f"{address}nowhere/at/all.html")
    assert answer.status == 404
    expect(tab.locator("article h1").last).to_have_text("Page not found")
    tab.locator(".bd-sidebar-primary a[href$='book/setup.html']").first.click()
    expect(tab).to_have_title("Setup — Learning to Select")
