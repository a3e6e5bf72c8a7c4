"""Which implementation of an operator runs: the fast one for the device, or the reference.

A small input on a CPU takes the reference, too. The numba kernels are faster at every size, but a
process pays for them once: 1.8 s and 250 MiB to load them, or 7 s and 400 MiB to compile them where
no process has done it before. A call with its gradient takes, in microseconds (float32, one thread,
medians of runs in turns),

======= ===================== =====================
numbers soft top-k             mass of the negatives
------- --------------------- ---------------------
      - reference     numba   reference     numba
======= ========= =========== ========= ===========
   1024      1230         470       480         370
   4096      1640         510       520         390
  16384      3260         590       720         480
  65536     10200        1080      1420         790
 131072     24300        1590      2500        1170
======= ========= =========== ========= ===========

so that up to ``_SMALL`` numbers the kernels have earned their loading after 1500 calls, and not in
the examples and checks that small inputs are for.
"""

import functools
import importlib
import importlib.util
from types import ModuleType

_NEEDS = {"cpu": "numba", "cuda": "triton"}
_FILES = {"cpu": "cpu", "cuda": "gpu"}
_NEEDS_INSTEAD = {
    ("gated_moments", "cuda"): None,  # on other devices than the CPU its reference runs
    ("grouped_matmul", "cpu"): "torch",  # whose own products are fast
}
_SMALL = {
    "gated_moments": 1 << 14,
    "grouped_matmul": 0,
    "negative_mass": 1 << 16,
    "soft_topk": 1 << 12,
    "sparse_ffn": 1 << 16,
    "statistical_topk": 1 << 16,
    "topk_attention": 1 << 16,
}


def backend(operator: str, device: str, numbers: int) -> ModuleType:
    """Return the module that implements an operator on a device, for inputs of a size.

    It is loaded at the operator's first call, and so is numba or Triton. Where these are missing,
    on all other devices, and for small inputs on a CPU, it is the reference: the same results but
    for rounding.

    Args:
        operator: The name of a package in ``l2s.kernels``.
        device: A device's type, such as "cpu" or "cuda".
        numbers: How many numbers the operator's main input has.

    >>> backend("soft_topk", "mps", 10**6).__name__
    'l2s.kernels.soft_topk.reference'
    >>> backend("soft_topk", "cpu", 100).__name__
    'l2s.kernels.soft_topk.reference'
    """
    needed = _NEEDS_INSTEAD.get((operator, device), _NEEDS.get(device))
    is_small = device == "cpu" and numbers <= _SMALL[operator]
    name = _FILES[device] if needed and not is_small and _is_installed(needed) else "reference"
    return _load(f"l2s.kernels.{operator}.{name}")


_load = functools.cache(importlib.import_module)


@functools.cache
def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
