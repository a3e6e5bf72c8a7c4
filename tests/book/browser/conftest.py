"""A page or a context of the browser for each test; browser and server stand one folder up."""

import pytest
from playwright.sync_api import expect

from book.tools import chromium

expect.set_options(timeout=30_000)  # as long as any other wait: the machine may be busy


@pytest.fixture
def context(browser):
    """A reader's browser at the width of a laptop, with nothing remembered."""
    made = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    yield made
    made.close()


@pytest.fixture
def tab(context, address):
    """A page of it; the test fails if a page that it showed complained."""
    page = context.new_page()
    heard = chromium.listen(page, address)
    yield page
    assert not heard
