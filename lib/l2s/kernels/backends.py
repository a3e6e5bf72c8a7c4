"""Which implementation of an operator runs: the fast one for the device, or the reference."""

import functools
import importlib
import importlib.util
from types import ModuleType

_NEEDS = {"cpu": "numba", "cuda": "triton"}
_FILES = {"cpu": "cpu", "cuda": "gpu"}


def backend(operator: str, device: str) -> ModuleType:
    """Return the module that implements an operator on a device.

    It is loaded at the operator's first call, and so is numba or Triton. Where these are missing,
    and on all other devices, it is the reference: slower, with the same results.

    Args:
        operator: The name of a package in ``l2s.kernels``.
        device: A device's type, such as "cpu" or "cuda".

    >>> backend("soft_topk", "mps").__name__
    'l2s.kernels.soft_topk.reference'
    """
    needed = _NEEDS.get(device)
    name = _FILES[device] if needed and _is_installed(needed) else "reference"
    return importlib.import_module(f"l2s.kernels.{operator}.{name}")


@functools.cache
def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
