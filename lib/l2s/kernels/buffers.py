"""Memory that is used again instead of asked for again.

On a CPU a large fresh tensor costs more in page faults than the arithmetic that fills it. ``take``
hands out an uninitialised tensor from a small stock. The memory goes back to the stock when the
last tensor on it is gone, as its storage keeps it alive until then: no live tensor can share it.
"""

import queue
import threading
import weakref

import torch
from torch import Tensor

_LIMIT = 256 * 2**20  # bytes kept in stock at most
_stock: list[Tensor] = []
_lock = threading.Lock()
_returned: queue.SimpleQueue[Tensor] = queue.SimpleQueue()


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
        memory = torch.empty(size, dtype=torch.uint8)
    loan = memory.numpy()[:size]
    # torch.from_numpy keeps `loan` alive as long as the storage; then the memory comes back.
    weakref.finalize(loan, _give_back, memory).atexit = False
    return torch.from_numpy(loan).view(like.dtype)


def clear() -> None:
    """Hand the stock back to the system."""
    with _lock:
        _collect()
        _stock.clear()


def _from_stock(size: int) -> Tensor | None:
    """The smallest memory in stock that is large enough and not wastefully so."""
    with _lock:
        _collect()
        fitting = [memory for memory in _stock if size <= memory.numel() <= 2 * size]
        if not fitting:
            return None
        best = min(fitting, key=Tensor.numel)
        _stock[:] = [memory for memory in _stock if memory is not best]
        return best


def _give_back(memory: Tensor) -> None:
    # The garbage collector may call this anywhere, even while this thread holds the lock: the
    # queue takes memory at any moment, and whoever has the lock next sorts it in.
    _returned.put(memory)
    if _lock.acquire(blocking=False):
        try:
            _collect()
        finally:
            _lock.release()


def _collect() -> None:
    while not _returned.empty():
        _stock.append(_returned.get())
    while sum(map(Tensor.numel, _stock)) > _LIMIT:
        _stock.pop(0)  # the one that was unused longest
