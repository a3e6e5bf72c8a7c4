"""Make the environment .venv: ``python3 book/tools/install.py`` (what `make book` does first).

Standard library only, and readable by any Python 3: a reader whose Python is too old gets one plain
sentence, not a syntax error.
"""

import os
import subprocess
import sys

import interpreters

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv")
QUIET = ["-qq", "--disable-pip-version-check", "--no-input"]
WHAT = ["-c", "constraints.txt", "-e", ".[book,test,teach,bench]"]


def main():
    """Make or update .venv, then leave the stamp that the Makefile looks for."""
    if sys.version_info < OLDEST:
        sys.exit(too_old(sys.version_info, interpreters.find(range(OLDEST[1], 16))))
    python = os.path.join(VENV, "Scripts" if os.name == "nt" else "bin", "python")
    if not os.path.exists(python):
        _run(
            [sys.executable, "-m", "venv", VENV],
            "Python could not make a virtual environment. On Debian and Ubuntu: "
            "apt install python3-venv, remove the folder .venv, and try again.",
        )
    print("Installing into .venv; the first time takes some minutes.", flush=True)
    _run(
        [python, "-m", "pip", "install", *QUIET, *WHAT],
        "The installation failed; pip's last lines above say why. `make doctor` looks at this "
        "machine, and book/setup.md lists common remedies.",
    )
    with open(os.path.join(VENV, ".installed"), "w") as stamp:
        stamp.write("made by book/tools/install.py\n")


def too_old(version, better):
    """Return the sentence for a Python that is too old, naming a better one where there is one."""
    needed, here = (".".join(map(str, pair[:2])) for pair in (OLDEST, version))
    remedy = (
        f"Use the newer one that is here: make book PYTHON={better}"
        if better
        else "Install a newer Python, then: make book PYTHON=/path/to/python3.12"
    )
    return f"This book needs Python {needed} or newer, and {sys.executable} is {here}. {remedy}"


def _run(command, remedy):
    """Run a command in the repository; end with the remedy where it fails."""
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit(remedy)


if __name__ == "__main__":
    main()
