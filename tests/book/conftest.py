"""What the tests of the site share: a browser, and the address of the built site."""

import pytest

from book.tools import chromium
from book.tools.serve import served


@pytest.fixture(scope="module")
def browser():
    """Chromium, which reaches this machine alone. One a file: a tool may then start its own."""
    if chromium.chromium_path() is None:
        pytest.skip(f"There is no Chromium here. {chromium.REMEDY}")
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="session")
def address(built_site):
    """Where the site is served: below a path, as its host does it."""
    with served(built_site) as address:
        yield address
