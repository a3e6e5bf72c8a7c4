"""Whose code is it: followed line by line (the reader's, and this library's), or by version."""

import contextlib
import functools
import importlib.metadata
import os
import sys
import sysconfig
from pathlib import Path

import l2s

_INSTALLED = {"site-packages", "dist-packages"}
_STDLIB = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
# This library, and what its own numbers rest on, whether a function names them or not.
LIBRARIES = ("learning-to-select", "torch", "numpy", "scipy", "scikit-learn")


def base_versions() -> str:
    """Name the versions of Python, of this library, and of those beneath it."""
    python = f"python {sys.version_info.major}.{sys.version_info.minor}"
    beneath = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES[1:]]
    return "; ".join([python, f"l2s {l2s.__version__}", *beneath])


def is_followed(module: str | None) -> bool:
    """Return whether a module's code is read, rather than trusted to its version."""
    if module is None:  # made by exec
        return True
    top = module.partition(".")[0]
    if top in ("__main__", "l2s"):
        return module != "l2s.checks"  # it stops a run, but changes no result
    file = _file(module) or _file(top)
    if file is None:  # built in, or made by hand
        return top not in sys.stdlib_module_names
    return _is_own(file) or (_is_installed(file) and version(module) == _unknown(top))


def own_files() -> dict[str, int]:
    """Return the loaded source files that are not installed, each with the time of its change."""
    found = {}
    for module in list(sys.modules):
        file = _file(module)
        if file is not None and _is_own(file):
            with contextlib.suppress(OSError):
                found[file] = os.stat(file).st_mtime_ns
    return found


def version(module: str | None) -> str:
    """Name the library that a module belongs to, and its version."""
    top = (module or "builtins").partition(".")[0]
    found = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(found, str):
        return f"{top} {found}"
    if top in sys.stdlib_module_names:
        return "python"
    distributions = _distributions().get(top)
    if distributions:
        return f"{top} {importlib.metadata.version(distributions[0])}"
    return _unknown(top)


def _is_own(file: str) -> bool:
    return not _is_installed(file) and not file.startswith(_STDLIB)


def _is_installed(file: str) -> bool:
    return not _INSTALLED.isdisjoint(Path(file).parts)


def _file(module: str) -> str | None:
    names = getattr(sys.modules.get(module), "__dict__", {})  # asks no lazy module to load
    file = names.get("__file__")
    return file or next(iter(names.get("__path__", ())), None)  # a namespace package


def _unknown(top: str) -> str:
    return f"{top} of an unknown version"


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
