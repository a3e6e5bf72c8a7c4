"""The library of the book "Learning to Select".

One module a chapter (``l2s.labels.contrastive``), above floors that all chapters share:
``l2s.kernels``; ``l2s.train`` and ``l2s.sweep``; ``l2s.data``, ``l2s.metrics``, ``l2s.claims``
and ``l2s.widgets``; ``l2s.checks`` and ``l2s.plot``. An import only ever points down.

``import l2s`` is instant: a module is loaded when it is first asked for.
"""

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.1.0.dev0"

_MODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"l2s has no module {name!r}; it has {', '.join(sorted(_MODULES))}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
