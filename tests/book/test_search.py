"""In a browser: the search finds phrases, functions and equations; copy buttons copy."""

from urllib.parse import quote

import pytest

from book.tools.chromium import listen

CHAPTER = "chapters/labels/contrastive.html"
API = "book/api/labels/contrastive.html"
HEIGHT = 900
# What a reader types, and a place that must be among the first so many results.
WANTED = [
    ("support vector machine", CHAPTER, 1),
    ("InfoNCE", f"{CHAPTER}#index-eq-contrastive-infonce", 1),
    ("coupling", f"{CHAPTER}#index-eq-contrastive-coupling", 1),
    ("coupling", f"{API}#l2s.labels.contrastive.coupling", 3),
    ("nt_xent", f"{API}#l2s.labels.contrastive.nt_xent", 1),
    ("log_mass", "book/api/kernels/log_mass.html#l2s.kernels.log_mass.log_mass", 2),
    ("decoupled loss", "book/glossary.html#term-decoupled-loss", 1),
    ("decoupled loss", CHAPTER, 2),
    ("dclw", f"{CHAPTER}#index-eq-contrastive-dclw", 1),
    ("the floor of DCL", f"{CHAPTER}#thm-contrastive-floor", 1),
    ("temperature", "book/glossary.html#term-temperature", 1),
]


@pytest.fixture(scope="module")
def shown(browser, address):
    """A context that may use the clipboard, and the address of the site."""
    context = browser.new_context(viewport={"width": 1280, "height": HEIGHT})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context, address
    context.close()


@pytest.fixture
def tab(shown):
    context, address = shown
    page = context.new_page()
    heard = listen(page, address)
    yield page
    page.close()
    assert not heard


@pytest.mark.parametrize(("query", "place", "rank"), WANTED)
def test_the_search_finds_it_and_leads_there(tab, shown, query, place, rank):
    address = shown[1]
    tab.goto(f"{address}search.html?q={quote(query)}")
    tab.wait_for_function("!document.querySelector('#search-results ul').matches(':empty')")
    tab.wait_for_load_state("networkidle")  # results arrive one by one
    links = tab.locator("#search-results ul.search > li > a").all()[:rank]
    found = [link.get_attribute("href").removeprefix(address) for link in links]
    assert place in found
    links[found.index(place)].click()
    tab.wait_for_url(f"**/{place}")
    if anchor := place.partition("#")[2]:
        top = tab.evaluate("id => document.getElementById(id).getBoundingClientRect().top", anchor)
        assert 0 <= top < HEIGHT


def test_the_search_field_of_a_page_leads_to_results(tab, shown):
    tab.goto(f"{shown[1]}book/glossary.html", wait_until="networkidle")
    tab.keyboard.press("Control+K")
    tab.wait_for_selector("#pst-search-dialog input:focus")
    tab.keyboard.type("nt_xent")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results ul.search > li")
    assert "q=nt_xent" in tab.url


@pytest.mark.parametrize(
    ("page", "name", "other"),  # the other row has the same ground when no row is meant
    [
        ("notation.html", "symbol-temperature", "symbol-mass"),
        ("glossary.html", "term-temperature", "term-view"),
    ],
)
def test_a_symbol_leads_to_its_row_and_a_word_to_its_definition(tab, shown, page, name, other):
    tab.goto(f"{shown[1]}{CHAPTER}", wait_until="load")
    tab.locator(f'article a[href$="{page}#{name}"]').first.click()
    tab.wait_for_url(f"**/book/{page}#{name}")
    box = tab.locator(f"#{name}").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < HEIGHT
    ground = "one => getComputedStyle(one.closest('td') ?? one).backgroundColor"
    plain, marked = (tab.locator(f"#{row}").evaluate(ground) for row in (other, name))
    assert marked != plain


def test_results_with_long_names_fit_a_phone(tab, shown):
    tab.set_viewport_size({"width": 390, "height": HEIGHT})
    tab.goto(f"{shown[1]}search.html?q=contrastive", wait_until="networkidle")
    assert tab.locator("#search-results ul.search > li > a").count() > 5
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("page", ["book/cite.html", CHAPTER])
def test_the_copy_button_of_an_entry_copies_the_entry(tab, shown, page):
    tab.goto(f"{shown[1]}{page}", wait_until="networkidle")
    if page == CHAPTER:
        tab.locator(".l2s-colophon summary").click()
    block = tab.locator(".highlight-bibtex", has_text="learning_to_select_contrastive")
    block.scroll_into_view_if_needed()
    block.hover()
    block.locator("button.copybtn").click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("@incollection{learning_to_select_contrastive,")
    assert copied.strip() == block.locator("pre").inner_text().strip()
