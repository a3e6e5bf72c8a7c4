"""What every test may use: the built site."""

import subprocess
import sys
from pathlib import Path

import filelock
import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE_SECONDS = (
    300  # of a test that may have to wait for the site: it builds for half of the usual limit
)


def pytest_collection_modifyitems(items):
    """What is not the test's fault: the wait for the site, and other work on the same machine.

    A browser, a clock and the memory of a process feel that work. Their tests are tried up to three
    times, and a run says how many it tried again; what is wrong fails each time.
    """
    for item in items:
        asked = getattr(item, "fixturenames", ())  # a notebook's cell has none
        if "browser" in asked or item.get_closest_marker("measures"):
            item.add_marker(pytest.mark.flaky(reruns=2))
        if "built_site" in asked and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SITE_SECONDS))


@pytest.fixture(scope="session")
def built_site(tmp_path_factory, request) -> Path:
    """The folder of the site's pages, built once a test run, whichever worker asks first."""
    shared = tmp_path_factory.getbasetemp()
    if hasattr(
        request.config, "workerinput"
    ):  # under xdist each worker has its own folder below the shared one
        shared = shared.parent
    verdict = shared / "site-build.txt"
    with filelock.FileLock(shared / "site-build.lock"):
        if not verdict.exists():
            build = subprocess.run(
                [sys.executable, "-m", "book.tools.build_site"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            verdict.write_text("" if build.returncode == 0 else build.stdout + build.stderr)
    if problem := verdict.read_text():
        pytest.fail(f"the site does not build:\n{problem[-4000:]}", pytrace=False)
    return ROOT / "_build" / "html"
