"""Whose code is it: followed line by line (the reader's, and this library's), or by version."""

import functools
import importlib.metadata
import sys
import sysconfig
from types import ModuleType

_INSTALLED = tuple(
    {sysconfig.get_path(name) for name in ("purelib", "platlib")} | {"site-packages"}
)
# What the library's own numbers rest on, whether a function names it or not.
_ALWAYS = ("l2s", "torch", "numpy", "scipy", "sklearn")


def base_versions() -> str:
    """Name the versions of Python and of the libraries beneath every result."""
    python = f"python {sys.version_info.major}.{sys.version_info.minor}"
    return "; ".join([python, *(version(name) for name in _ALWAYS)])


def is_followed(module: str | None) -> bool:
    """Return whether a module's code is read, rather than trusted to its version."""
    if module is None:
        return False
    top = module.partition(".")[0]
    if top in ("__main__", "l2s"):
        return True
    if top in sys.stdlib_module_names:
        return False
    loaded = sys.modules.get(module) or sys.modules.get(top)
    file = getattr(loaded, "__file__", None)
    if file is None:  # a namespace package, or a module made by hand
        paths = list(getattr(loaded, "__path__", []))
        file = paths[0] if paths else ""
    installed = any(folder in file for folder in _INSTALLED)
    return not (installed and _has_version(top))


def version(module: str | None) -> str:
    """Name the library that a module belongs to, and its version."""
    top = (module or "builtins").partition(".")[0]
    if top in sys.stdlib_module_names:
        return "python"
    return f"{top} {_declared(top) or _installed(top) or 'unknown'}"


def _has_version(top: str) -> bool:
    return bool(_declared(top) or _installed(top))


def _declared(top: str) -> str | None:
    module: ModuleType | None = sys.modules.get(top)
    found = getattr(module, "__version__", None)
    return found if isinstance(found, str) else None


def _installed(top: str) -> str | None:
    names = _distributions().get(top)
    return importlib.metadata.version(names[0]) if names else None


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())
