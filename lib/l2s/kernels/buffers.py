"""Memory that is used again instead of asked for again.

On a CPU a large fresh tensor costs more in page faults than the arithmetic that fills it. ``take``
hands out an uninitialised tensor from a small stock. The memory goes back to the stock when the
last tensor on it is gone, as its storage keeps it alive until then: no live tensor can share it.
"""

import queue
import threading
import weakref
from typing import Any

import torch
from torch import Tensor

_LIMIT = 256 * 2**20  # bytes kept in stock at most
_stock: list[Any] = []  # arrays of bytes, as are all below
_lock = threading.Lock()
_returned: queue.SimpleQueue[Any] = queue.SimpleQueue()
# What was handed out: a reference that does not keep it alive, and the memory behind it.
_loans: dict[int, tuple[weakref.ref[Any], Any]] = {}


def take(numel: int, *, like: Tensor) -> Tensor:
    """Return an uninitialised vector of ``numel`` numbers with the dtype and device of ``like``.

    On other devices than the CPU it is a fresh tensor: their allocators keep a stock themselves.

    >>> take(3, like=torch.ones(1, dtype=torch.float64)).dtype
    torch.float64
    """
    size = numel * like.element_size()
    if like.device.type != "cpu" or not 0 < size <= _LIMIT:
        return like.new_empty(numel)
    memory = _from_stock(size)
    if memory is None:
        memory = torch.empty(size, dtype=torch.uint8).numpy()
    loan = memory[:size]
    # torch.from_numpy keeps `loan` alive as long as the storage; then the memory comes back.
    reference = weakref.ref(loan, _give_back)
    _loans[id(reference)] = reference, memory
    return torch.from_numpy(loan).view(like.dtype)


def clear() -> None:
    """Hand the stock back to the system."""
    with _lock:
        _collect()
        _stock.clear()


def _from_stock(size: int) -> Any:
    """The smallest memory in stock that is large enough and not wastefully so, or None."""
    with _lock:
        _collect()
        best = None
        for place, memory in enumerate(_stock):
            if size <= memory.size <= 2 * size and (
                best is None or memory.size < _stock[best].size
            ):
                best = place
        return None if best is None else _stock.pop(best)


def _give_back(reference: weakref.ref[Any]) -> None:
    # The garbage collector may call this anywhere, even while this thread holds the lock: the
    # queue takes memory at any moment, and whoever has the lock next sorts it in.
    _returned.put(_loans.pop(id(reference))[1])
    if _lock.acquire(blocking=False):
        try:
            _collect()
        finally:
            _lock.release()


def _collect() -> None:
    while not _returned.empty():
        _stock.append(_returned.get())
    while sum(memory.size for memory in _stock) > _LIMIT:
        _stock.pop(0)  # the one that was unused longest
