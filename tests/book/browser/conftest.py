"""One browser and one server for all tests of a worker; a page or a context for each test."""

import pytest

from book.tools import chromium
from book.tools.serve import served


@pytest.fixture(scope="session")
def browser():
    """Chromium, which reaches this machine alone."""
    if chromium.chromium_path() is None:
        pytest.skip(f"There is no Chromium here. {chromium.REMEDY}")
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="session")
def address(built_site):
    """Where the site is served: below a path, as its host does it."""
    with served(built_site) as address:
        yield address


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
