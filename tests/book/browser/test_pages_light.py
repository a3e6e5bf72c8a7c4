"""Every page in light mode on a phone: quiet, typeset, not too wide, and open to everyone."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from book.tools.screenshots import TYPES
from tests.book.browser.visits import PAGES, faults, phone, pictured


@pytest.fixture
def page(browser):
    with phone(browser, "light") as page:
        yield page


@pytest.fixture(scope="module")
def axe():
    return Axe()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_fault_and_its_type_is_pictured(page, address, axe, name):
    assert not faults(page, address, name, axe)
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    if name in TYPES:
        pictured(page, name, "light")
