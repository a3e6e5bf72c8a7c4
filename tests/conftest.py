"""What every test may use: the built site."""

import subprocess
import sys
from pathlib import Path

import filelock
import pytest

ROOT = Path(__file__).resolve().parents[1]


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
