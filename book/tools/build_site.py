"""Build the site into _build/html, warnings as errors: ``python -m book.tools.build_site``.

Every build starts from nothing. It takes seconds, because no notebook is run, and so the sitemap,
the ledger and the numbers of figures are always those of the files as they are.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The command of the package, run by this very interpreter (it has no ``python -m`` form).
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"

# Answers that stand between a reader and the one line she wants; errors and warnings still show.
QUIET = {
    "JUPYTER_PLATFORM_DIRS": "1",
    "MPLBACKEND": "agg",
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
}


def main() -> None:
    """Build, then print where to open the site, or leave with the reason and a non-zero status."""
    status = build(ROOT)
    if status:
        sys.exit(f"The site was not built (status {status}): the warnings above say what to mend.")
    print(f"The site is built. Open {(ROOT / '_build/html/index.html').as_uri()}")


def build(output: Path, source: Path = ROOT) -> int:
    """Build the site of ``source`` into ``output/_build/html`` and return the exit status."""
    for stale in ("html", "face", "figures", ".doctrees"):
        shutil.rmtree(output / "_build" / stale, ignore_errors=True)
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source)]
    options = ["-W", "-n", "--keep-going", "-q", "--path-output", str(output)]
    environment = os.environ | QUIET
    result = subprocess.run(
        command + options, cwd=source, env=environment, stdout=subprocess.PIPE, text=True
    )
    if result.returncode:
        print(result.stdout)
    return result.returncode


if __name__ == "__main__":
    main()
