"""Every page in light mode on a phone: quiet, typeset, not too wide, and open to everyone."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from book.tools.screenshots import TYPES
from tests.book.browser.visits import CHAPTER, PAGES, faults, phone, pictured


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


def test_a_faint_word_of_code_is_a_fault_wherever_it_stands(page, address, axe):
    faint = "pre span.ow { color: #ccc !important; }"  # as in `a in b`: far from the first words
    page.add_init_script(
        f"""addEventListener('DOMContentLoaded', () => {{
            const style = document.createElement('style');
            style.textContent = '{faint}';
            document.head.append(style);
        }})"""
    )
    found = faults(page, address, CHAPTER, axe)
    assert any(fault.startswith("color-contrast") for fault in found)
    assert page.locator("pre span.ow").count() > 1  # all words are back
