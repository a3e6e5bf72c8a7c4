"""Memory that is used again instead of asked for again.

On a CPU a large fresh tensor costs more in page faults than the arithmetic that fills it. ``take``
hands out an uninitialised tensor from a small stock. The memory goes back to the stock when the
last tensor on it is gone, as its storage keeps it alive until then: no live tensor can share it.
"""

import math
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor

_LIMIT = 256 * 2**20  # bytes kept in stock at most
# Arrays of bytes under their identities, the one that was unused longest first. Threads and the
# garbage collector come in at any moment, and no lock keeps them out: a list of all values, a new
# entry and a `pop` are each one step.
_stock: dict[int, Any] = {}
# What was handed out: a reference that does not keep it alive, and the memory behind it.
_loans: dict[int, tuple[weakref.ref[Any], Any]] = {}


def take(numel: int, *, like: Tensor) -> Tensor:
    """Return an uninitialised vector of ``numel`` numbers with the dtype and device of ``like``.

    On other devices than the CPU it is a fresh tensor: their allocators keep a stock themselves.

    >>> take(3, like=torch.ones(1, dtype=torch.float64)).dtype
    torch.float64
    """
    size = numel * like.element_size()
    if not like.is_cpu or not 0 < size <= _LIMIT:
        return like.new_empty(numel)
    return torch.frombuffer(array((size,), np.dtype(np.uint8)), dtype=like.dtype)


def array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Return an uninitialised array, for compiled code to fill and ``torch.from_numpy`` to take.

    The array itself must outlive its views: their memory goes back to the stock without it.

    >>> array((2, 3), np.dtype(np.float32)).shape
    (2, 3)
    """
    size = math.prod(shape) * dtype.itemsize
    if not 0 < size <= _LIMIT:
        return np.empty(shape, dtype)
    memory = _from_stock(size)
    if memory is None:
        memory = torch.empty(size, dtype=torch.uint8).numpy()  # aligned as PyTorch has it
    loan = np.ndarray(shape, dtype, memory)
    # The storage of a tensor made from it keeps it alive. A view by numpy keeps `memory` alone.
    reference = weakref.ref(loan, _give_back)
    _loans[id(reference)] = reference, memory
    return loan


def clear() -> None:
    """Hand the stock back to the system."""
    _stock.clear()


def _from_stock(size: int) -> Any:
    """The smallest memory in stock that is large enough and not wastefully so, or None."""
    best = None
    for memory in list(_stock.values()):
        if size <= memory.size <= 2 * size and (best is None or memory.size < best.size):
            best = memory
    return None if best is None else _stock.pop(id(best), None)  # None: another thread was faster


def _give_back(reference: weakref.ref[Any]) -> None:
    memory = _loans.pop(id(reference))[1]
    _stock[id(memory)] = memory
    kept = 0
    for memory in reversed(list(_stock.values())):
        kept += memory.size
        if kept > _LIMIT:
            _stock.pop(id(memory), None)
