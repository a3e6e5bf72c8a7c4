"""Find Python interpreters by running candidates: a name on the path may be a dead shim.

Standard library only, and readable by any Python 3, because it runs before anything is installed.
"""

import glob
import os
import subprocess

_SAY_VERSION = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"


def find(minors):
    """Return the first interpreter that runs and is Python 3.<one of minors>, or None."""
    for minor in minors:
        for candidate in _candidates(minor):
            found = _ask(candidate)
            if found is not None and found[0] == f"3.{minor}":
                return found[1]
    return None


def _candidates(minor):
    home = os.path.expanduser("~")
    patterns = [
        f".pyenv/versions/3.{minor}*/bin/python",
        f".local/share/uv/python/cpython-3.{minor}*/bin/python3",
        f"miniforge3/envs/*/bin/python3.{minor}",
    ]
    found = [
        path for pattern in patterns for path in sorted(glob.glob(os.path.join(home, pattern)))
    ]
    return [f"python3.{minor}", *found, "python3", f"/usr/bin/python3.{minor}"]


def _ask(candidate):
    """Return the candidate's (version, executable), or None where it does not run."""
    try:
        answer = subprocess.run(
            [candidate, "-c", _SAY_VERSION],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, executable = answer.stdout.decode().splitlines()[:2]
    return version, executable
