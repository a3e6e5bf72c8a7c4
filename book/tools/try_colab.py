"""Try the chapters where Colab's own versions are installed: ``make test-colab``.

Makes .venv-colab on Python 3.13 with exactly the versions that Colab preinstalls, puts the wheel of
``l2s`` with its declared requirements on top, and fails if that moved a version, made `pip check`
complain of something new, or if a chapter does not run there. Where no Python 3.13 is found it says
so and ends with status 77: skipped, which is not passed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from book.tools import interpreters, layout

MINOR = 13
SKIPPED = 77
PREINSTALLED = layout.ROOT / "tests" / "colab" / "preinstalled.txt"
VENV = layout.ROOT / ".venv-colab"
PYTHON = VENV / "bin" / "python"
_BASE = VENV / "base.json"  # what Colab brings, written once the installation is complete
_QUIET = ["-qq", "--disable-pip-version-check", "--no-input"]

_EXECUTE = """
import sys, nbclient, nbformat, l2s
assert sys.prefix in l2s.__path__[0], f"l2s is not the wheel's: {l2s.__path__}"
path, folder = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
resources = {"metadata": {"path": folder}}
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
"""


def main() -> None:
    """Make the environment, install the wheel, and run every chapter."""
    base = _environment()
    complaints = _pip_check()
    _install_wheel()
    after = _versions()
    added = sorted(set(after) - set(base))
    print(f"Added by l2s: {', '.join(f'{name} {after[name]}' for name in added)}")
    problems = [*moved(base, after), *sorted(_pip_check() - complaints)]
    chapters = layout.chapters()
    problems += [] if chapters else ["there is no chapter to run"]
    problems += [problem for name in chapters if (problem := _run(name))]
    if problems:
        sys.exit("\n".join(["Not passed:", *problems]))
    print(f"Passed: {len(chapters)} chapters on Colab's versions, none of them moved.")


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """A sentence for each package of the first list whose version is not the same in the second."""
    return [
        f"{name} was {version} and is now {after.get(name, 'gone')}: an install must leave it alone"
        for name, version in before.items()
        if after.get(name) != version
    ]


def _environment() -> dict[str, str]:
    """Make .venv-colab, or put it back to what Colab brings; return its versions."""
    if _BASE.exists() and _BASE.stat().st_mtime > PREINSTALLED.stat().st_mtime:
        base = json.loads(_BASE.read_text(encoding="utf-8"))
        extra = sorted(set(_versions()) - set(base))
        if extra:
            _pip("uninstall", "--yes", *extra)
        if not moved(base, _versions()):
            return base
    interpreter = interpreters.find([MINOR])
    if interpreter is None:
        print(f"skipped: no Python 3.{MINOR} was found on this machine, so nothing was tried.")
        sys.exit(SKIPPED)
    print(f"Installing Colab's versions for {interpreter}: some minutes, gigabytes.", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", str(VENV)], check=True)
    _pip("install", "--requirement", str(PREINSTALLED))
    base = _versions()
    _BASE.write_text(json.dumps(base), encoding="utf-8")
    return base


def _install_wheel() -> None:
    """Build the wheel from a copy, since a build leaves files behind, and install it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(layout.ROOT / name, source)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(layout.ROOT / "lib", source / "lib", ignore=ignored)
        _pip("wheel", "--no-deps", "--wheel-dir", folder, str(source))
        _pip("install", *map(str, Path(folder).glob("*.whl")))


def _run(name: str) -> str:
    """Run a chapter in the environment; return what went wrong, or nothing."""
    path = layout.notebook(name)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["L2S_PROGRESS"] = "0"
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as elsewhere:  # the wheel has to suffice
        done = subprocess.run(
            [str(PYTHON), "-c", _EXECUTE, str(path), str(path.parent)],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    seconds = time.perf_counter() - started
    print(f"{seconds:7.1f} s  {name}: {'failed' if done.returncode else 'ran'}", flush=True)
    return f"{name} failed:\n{done.stderr[-3000:]}" if done.returncode else ""


def _pip(*arguments: str) -> None:
    command, *rest = arguments
    subprocess.run([str(PYTHON), "-m", "pip", command, *_QUIET, *rest], check=True)


def _pip_check() -> set[str]:
    """The lines in which pip complains; Colab's own list may not be free of them."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(done.stdout.splitlines()) if done.returncode else set()


def _versions() -> dict[str, str]:
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "list", "--format=json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {package["name"]: package["version"] for package in json.loads(listed)}


if __name__ == "__main__":
    main()
